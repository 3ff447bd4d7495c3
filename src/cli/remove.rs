//! `ringfence remove`: takes away what apply brought.

use clap::Args;

use super::check::in_force;
use super::host::{HostArguments, need_root};
use super::output::{self, present, say, warn};
use crate::host::ending::{Removed, remove};
use crate::host::iptables::{self, Tools};
use crate::host::through::saved::saved;
use crate::host::{Backend, left_behind, nft};
use crate::outcome::Outcome;
use crate::report::{Body, Removal};

/// Take away the rules, the reserved ports and the state that `ringfence apply` brought, and nothing else.
///
/// The ports are then open as far as nothing else on this host blocks them.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    pub host: HostArguments,
    /// Print one document of JSON, of a schema in /usr/share/ringfence/schemas.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Whether a document is asked for.
    pub fn json(&self) -> bool {
        self.json
    }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    take_away(&arguments.host)
}

/// The same for hooks.
pub fn take_away(arguments: &HostArguments) -> anyhow::Result<Outcome> {
    need_root()?;
    let host = arguments.host();
    let lock = arguments.wait.lock(&host, "ringfence remove")?;
    let mut backends = Vec::new();
    if nft::is_here()? {
        backends.push(Backend::Nft);
    }
    match Tools::find() {
        Ok(_) => backends.push(Backend::Iptables),
        // Whether something of ours is there all the same, netlink says below.
        Err(iptables::Error::Missing { .. }) => {}
        Err(other) => return Err(other.into()),
    }
    let guarded = in_force();
    let removed = remove(&host, &backends).map_err(|error| match guarded && !in_force() {
        true => anyhow::Error::from(error).context(
            "the rules were taken away, and nothing of ringfence guards this host now; not all of the rest was",
        ),
        false => error.into(),
    })?;
    output::changed();
    drop(lock);
    let saved = saved(&host.root);
    let paths = saved.iter().map(|one| one.path.clone()).collect();
    let stays = left_behind(Backend::Nft);
    if stays {
        warn(
            "rules of ringfence stay in the tables raw and mangle of iptables, and block: its tools are missing or fail; \
             install iptables, and run `ringfence remove` again",
        );
    }
    // Of these netlink says nothing either.
    let hidden = iptables::hidden_legacy();
    for words in &hidden {
        warn(&format!(
            "{words}; rules of ringfence that an earlier apply brought there may still be in force: run `ringfence remove` again then"
        ));
    }
    let in_force = if stays { Some(true) } else { hidden.is_empty().then_some(false) };
    present(|| Body::Remove(Box::new(Removal::of(&removed, in_force, paths))), || text(&removed))?;
    removed.stays.iter().for_each(|stays| say(&format!("warning: {stays}")));
    saved.iter().for_each(|one| say(&format!("warning: {one}")));
    Ok(match in_force {
        Some(true) => Outcome::No,
        Some(false) => Outcome::Success,
        None => Outcome::Undecided,
    })
}

/// What was taken away, in words: rules that somebody flushed leave the rest behind.
fn text(removed: &Removed) -> String {
    let Removed { openings, stays: _, rules, reserved_ports, file, state } = *removed;
    let parts = [
        (openings, "what other firewalls let through for it"),
        (rules, "rules"),
        (reserved_ports, "reserved ports"),
        (file, "the file that reserves them at the start of the machine"),
        (state, "state"),
    ];
    let parts: Vec<&str> = parts.iter().filter(|(there, _)| *there).map(|(_, words)| *words).collect();
    let Some((last, first)) = parts.split_last() else { return "there was nothing to remove\n".to_owned() };
    let list = if first.is_empty() { (*last).to_owned() } else { format!("{} and {last}", first.join(", ")) };
    let before = if rules { "" } else { "there were no rules; " };
    // Peers had a way through what blocks them.
    let peers = if openings { ", and what other firewalls of this host drop they drop for peers again" } else { "" };
    format!("removed: {list}; {before}the ports are open as far as nothing else blocks them{peers}\n")
}
