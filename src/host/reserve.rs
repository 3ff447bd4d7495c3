//! The protected ports made reserved ones, now and for the next start of the machine, and given back.
//!
//! INVARIANT (ours): ports that others reserved stay so, and only those that are there because of us are ever given back.

use std::path::Path;

use super::reserved::{self, Setting};
use super::store::Store;
use super::{HostError, record};
use crate::net::Ports;

/// Makes exactly these of our ports reserved ones, and leaves those of others alone. What goes wrong is a warning: rules
/// without reserved ports are better than none.
pub(super) fn reserve(store: &Store, root: &Path, wanted: &Ports) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Err(error) = reserve_now(store, wanted) {
        warnings.push(format!(
            "the protected ports are not reserved, so replies to this host's own connections may get lost: {error}"
        ));
    }
    let others: Vec<Setting> = if wanted.is_empty() { Vec::new() } else { reserved::other_settings(root) };
    let ports = with_others(wanted, &others);
    for setting in &others {
        let place = format!("{}:{}", setting.path.display(), setting.line);
        warnings.push(match setting.after_ours {
            true => {
                format!(
                    "{place} also sets the reserved ports, and is read last at boot: add {} there",
                    record::text(wanted)
                )
            }
            false => format!(
                "{place} also sets the reserved ports; 60-ringfence.conf is read behind it, and contains both lists"
            ),
        });
    }
    if let Err(error) = reserved::write_file(root, &ports) {
        warnings.push(format!("the reserved ports are not kept for the next start of the machine: {error}"));
    }
    warnings
}

/// What our file is to say: at boot the last file counts, so ours also has what those before it say.
pub(super) fn for_boot(root: &Path, wanted: &Ports) -> Ports {
    let others = if wanted.is_empty() { Vec::new() } else { reserved::other_settings(root) };
    with_others(wanted, &others)
}

fn with_others(wanted: &Ports, others: &[Setting]) -> Ports {
    let ports = others.iter().filter_map(|setting| setting.ports.as_ref());
    ports.fold(wanted.clone(), |all, ports| reserved::union(&all, ports))
}

fn reserve_now(store: &Store, wanted: &Ports) -> Result<(), HostError> {
    let in_force = reserved::in_force()?;
    let ours = record::reserved(store)?;
    let of_others = reserved::without(&in_force, &ours);
    let new = reserved::without(wanted, &of_others);
    // First all that was and will be ours, so that nothing is left behind by a run that is killed.
    record::set_reserved(store, &reserved::union(&ours, &new))?;
    let target = reserved::union(&of_others, wanted);
    if target != in_force {
        reserved::set(&target)?;
    }
    record::set_reserved(store, &new)
}
