//! What the rules in force are held against where somebody looks at them, and how they came there.

use std::fs;
use std::io;
use std::path::Path;

use super::input::Input;
use super::output::{Undone, print_findings};
use super::{boot, document};
use crate::cluster::{Cluster, Loaded};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::host::apply::Host;
use crate::host::time::utc;
use crate::host::{InForce, pending, record};
use crate::report::LastApplied;

/// What the rules are held against.
pub enum Meant {
    /// The cluster file.
    File(Cluster),
    /// What was applied last, as the file cannot be used, and why it cannot.
    Last(Cluster, String),
    /// Closed ports, as the start of the machine found nothing that could be used, and why.
    Closed(Cluster, String),
}

/// What the rules are to be; nothing where there is no such thing, which was said then. A file that the command line names is no
/// other one: what holds of another is no answer about it.
///
/// `read` is the file.
pub fn meant(is_named: bool, host: &Host, input: &Input, read: io::Result<Loaded>) -> anyhow::Result<Option<Meant>> {
    // Who named it reads first what is wrong with it.
    if is_named {
        return Ok(input.load_read(read)?.map(Meant::File));
    }
    // What was applied last tells at least whether somebody else changed the rules.
    let last = record::kept(&host.store, record::GOOD).ok().flatten().and_then(|kept| kept.load().cluster);
    let instead = |why: String| {
        let closed = || boot::closed(&input.config, host).filter(|_| record::is_unkept(&host.store));
        match last {
            Some(cluster) => Some(Meant::Last(cluster, why)),
            None => closed().map(|cluster| Meant::Closed(cluster, why)),
        }
    };
    let file = input.config.display();
    match read {
        Ok(loaded) if !input.is_of_both_places() => {
            let is_error = |finding: &&Diagnostic| finding.severity() == Severity::Error;
            let errors = loaded.findings.iter().filter(is_error).count();
            match loaded.cluster.filter(|_| errors == 0) {
                Some(cluster) => {
                    print_findings(&loaded.findings, &loaded.sources, input.json, Undone::Nothing)?;
                    Ok(Some(Meant::File(cluster)))
                }
                None => {
                    let some = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
                    let shown = format!(
                        "`ringfence compile{}` shows {}",
                        boot::named(&input.config),
                        if errors == 1 { "it" } else { "them" }
                    );
                    if let Some(meant) = instead(format!("{file} has {some} ({shown})")) {
                        // Nobody reads sixty lines before the verdict; programs get them all.
                        document::add(&loaded.findings, &loaded.sources);
                        return Ok(Some(meant));
                    }
                    print_findings(&loaded.findings, &loaded.sources, input.json, Undone::Nothing)?;
                    Ok(None)
                }
            }
        }
        Err(error) if !input.is_of_both_places() => {
            let why = match error.kind() {
                io::ErrorKind::NotFound => format!("there is no cluster file {file}"),
                _ => format!("the cluster file {file} cannot be read: {error}"),
            };
            let Some(meant) = instead(why.clone()) else { return Ok(input.load(|_| Vec::new())?.map(Meant::File)) };
            document::add_error(Code::UnreadableFile.as_str(), why);
            Ok(Some(meant))
        }
        // Files in both places, which says so.
        _ => {
            let meant = instead(format!("there are cluster files in two places, and {file} is one of them"));
            Ok(input.load(|_| Vec::new())?.map(Meant::File).or(meant))
        }
    }
}

/// Where rules of ours are, if it was not `apply` that brought them there: nothing was ever applied, or in the other way into the kernel.
pub fn by_hand(host: &Host, in_force: &InForce) -> Option<String> {
    let waits = !matches!(pending::waiting(&host.store), Ok(None));
    if in_force.absent || waits || record::is_unkept(&host.store) {
        return None;
    }
    let applied = match record::kept(&host.store, record::GOOD) {
        Ok(None) => false,
        Ok(Some(kept)) => kept.record.backend == in_force.backend,
        // Who brought them is not known then, which is said.
        Err(_) => true,
    };
    (!applied).then(|| in_force.place())
}

/// That the file was changed after something was applied last, in words, if it was.
pub fn since(host: &Host, config: &Path) -> Option<String> {
    let changed = utc(fs::metadata(config).ok().filter(fs::Metadata::is_file)?.modified().ok()?);
    let applied = LastApplied::now(&host.store)?.applied?.at;
    (changed > applied)
        .then(|| format!("{} was changed at {changed}, after the last apply at {applied}", config.display()))
}
