//! What all commands share that work on this host.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::output::{say, warn};
use crate::cluster::{Cluster, Node, Site};
use crate::host::apply::{Applied, Host};
use crate::host::identity::{NotOneNode, Saved, nodes_of, on_this_host};
use crate::host::judge::Standing;
use crate::host::links::{Link, links};
use crate::host::listeners::{Program, listening};
use crate::host::record::Kept;
use crate::host::status::Seen;
use crate::host::store::{Lock, Store};
use crate::host::{Backend, HostError, left_behind, nft, place, read, record};
use crate::net::Ports;
use crate::outcome::Outcome;
use crate::report;

/// Of all spans of time on the command line, in seconds.
const LONGEST: u64 = 24 * 3600;
/// For a run that is at work, which takes some hundreds of milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Moves the state folder, for tests and images.
const STATE_DIR: &str = "RINGFENCE_STATE_DIR";

/// Where what is remembered is.
#[derive(Clone, Args)]
pub struct StateArguments {
    /// Keep state in this folder, and what is volatile in DIR/run, instead of /var/lib/ringfence and /run/ringfence; also
    /// RINGFENCE_STATE_DIR.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// Where things are on this host.
#[derive(Clone, Args)]
pub struct HostArguments {
    #[command(flatten)]
    state: StateArguments,
    /// Write other files (/etc/sysctl.d/60-ringfence.conf) below this folder.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    #[command(flatten)]
    pub wait: WaitArguments,
}

/// One run at a time changes something on a host.
#[derive(Clone, Args)]
pub struct WaitArguments {
    /// Wait at most so long for another run that is at work; 10 by default, 60 with `apply --boot`.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=LONGEST))]
    wait: Option<u64>,
}

/// Which rules, for whom.
#[derive(Args)]
pub struct SiteArguments {
    /// The node that this host is. Otherwise the one of the last apply, else the one whose address this host has. May be given once
    /// for each cluster.
    #[arg(long, value_name = "NAME")]
    pub node: Vec<String>,
    /// How rules get into the kernel; auto is that of the last apply, else nft if the kernel has nf_tables.
    #[arg(long, value_enum, value_name = "WAY", default_value = "auto")]
    pub backend: BackendChoice,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendChoice {
    Auto,
    Nft,
    Iptables,
}

impl StateArguments {
    /// Of a command that writes no other files.
    pub fn host(&self) -> Host {
        let state_dir = self.state_dir.clone().or_else(|| env::var_os(STATE_DIR).map(PathBuf::from));
        let state_dir = state_dir.map(|dir| record::absolute(&dir));
        Host { store: Store::new(state_dir.clone()), state_dir, root: "/".into() }
    }
}

impl HostArguments {
    /// Where the state is.
    pub fn state(&self) -> &StateArguments {
        &self.state
    }

    pub fn host(&self) -> Host {
        Host { root: self.root.clone(), ..self.state.host() }
    }

    /// The command that confirms a change that was made with these arguments.
    pub fn confirming(&self) -> String {
        let place = self.state.host().state_dir.map(|dir| format!(" --state-dir {}", for_a_shell(&dir)));
        format!("ringfence confirm{}", place.unwrap_or_default())
    }
}

/// A path as a word of a shell.
fn for_a_shell(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

impl WaitArguments {
    /// Takes the lock, to do `what`.
    pub fn lock(&self, host: &Host, what: &str) -> Result<Lock, HostError> {
        self.lock_within(host, what, PATIENCE)
    }

    /// The same for whoever waits longer unless something else is asked for.
    pub fn lock_within(&self, host: &Host, what: &str, patience: Duration) -> Result<Lock, HostError> {
        let patience = self.wait.map_or(patience, Duration::from_secs);
        Ok(host.store.lock_waiting(what, patience)?)
    }
}

impl BackendChoice {
    /// The choice of this one.
    pub fn of(backend: Backend) -> Self {
        match backend {
            Backend::Nft => Self::Nft,
            Backend::Iptables => Self::Iptables,
        }
    }

    /// `auto` stays with what was applied last: two ways at once would both judge.
    pub fn choose(self, host: &Host) -> Result<Backend, HostError> {
        match self {
            Self::Auto => match record::kept(&host.store, record::GOOD) {
                Ok(Some(kept)) => Ok(kept.record.backend),
                Ok(None) | Err(_) => Backend::of_this_host(),
            },
            Self::Nft => Ok(Backend::Nft),
            Self::Iptables => Ok(Backend::Iptables),
        }
    }
}

/// The way that `apply` would take, unless rules of ours are in the other one only.
pub fn where_rules_are() -> Result<Backend, HostError> {
    let own = Backend::of_this_host()?;
    let elsewhere = read(own).is_ok_and(|in_force| in_force.absent) && left_behind(own);
    Ok(if elsewhere { own.other() } else { own })
}

/// Says so before anything else is tried.
pub fn need_root() -> Result<(), HostError> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(HostError::NoRight) }
}

/// Why the network of this process cannot be changed.
pub fn no_right() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("this needs root (CAP_NET_ADMIN)".to_owned());
    }
    let refused = place::may_change_network() == Some(false) || matches!(nft::is_here(), Err(HostError::NoRight));
    refused.then(|| "this process may not change the network (CAP_NET_ADMIN), as in many containers".to_owned())
}

/// This host's interfaces.
pub fn own_links() -> anyhow::Result<Vec<Link>> {
    links().context("cannot read this host's interfaces")
}

/// The nodes that this host is, of each cluster one.
pub fn own_nodes<'a>(
    cluster: &'a Cluster,
    host: &Host,
    asked: &[String],
    links: &[Link],
) -> Result<Vec<&'a Node>, NotOneNode> {
    nodes_after(cluster, &record::kept(&host.store, record::GOOD), asked, links)
}

/// The same where what was applied last was read already: of a large cluster that takes its time.
pub fn nodes_after<'a>(
    cluster: &'a Cluster,
    kept: &Result<Option<Kept>, HostError>,
    asked: &[String],
    links: &[Link],
) -> Result<Vec<&'a Node>, NotOneNode> {
    let kept = kept.as_ref().unwrap_or_else(|error| {
        say(&format!("warning: what was applied last is not known: {error}"));
        &None
    });
    let saved = kept.as_ref().map(|kept| Saved::of(&kept.record)).unwrap_or_default();
    nodes_of(cluster, asked, &saved, links)
}

/// How it ends that this host is no node, or several: a name that nobody has is bad input.
pub fn nobody(error: &NotOneNode) -> Outcome {
    match error {
        NotOneNode::Unknown(_) => Outcome::Unusable,
        NotOneNode::Gone(_) | NotOneNode::None | NotOneNode::Several(_) => Outcome::No,
        NotOneNode::Of(_, error) => nobody(error),
    }
}

/// The site as this host has it, see [`on_this_host`].
pub fn live_site<'a>(cluster: &'a Cluster, nodes: Option<&[&'a Node]>) -> Result<Site<'a>, HostError> {
    on_this_host(site_of(cluster, nodes))
}

pub fn site_of<'a>(cluster: &'a Cluster, nodes: Option<&[&'a Node]>) -> Site<'a> {
    nodes.map_or_else(|| Site::of_every_node(cluster), |nodes| Site::of_nodes(cluster, nodes))
}

/// A span of time as people write it: 90, 90s, 5m, 1h.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("a number of seconds, or with a unit: 90s, 5m, 1h".to_owned()),
    };
    let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    match seconds {
        Some(seconds @ 1..=LONGEST) => Ok(Duration::from_secs(seconds)),
        _ => Err("from 1 second to 24 hours: 90s, 5m, 1h".to_owned()),
    }
}

/// Where the node's Erlang VM listens that no rule guards, in words; and why that is not known, if it is not.
pub fn exposed(protected: &Ports, node: Option<&str>) -> (Vec<String>, Option<String>) {
    let seen = match listening(node, protected) {
        Ok(seen) => seen,
        Err(error) => return (Vec::new(), Some(format!("what Erlang listens on is not known: {error}"))),
    };
    let found = seen.outside(protected, node).map(|one| match &one.program {
        Program::Erlang(Some(name)) => {
            format!("Erlang ({}, process {}) listens on {}", name.escape_debug(), one.pid, one.local)
        }
        Program::Erlang(None) | Program::Epmd | Program::Systemd | Program::Other => {
            format!("Erlang (process {}) listens on {}", one.pid, one.local)
        }
    });
    let hidden = seen.unreadable.first().map(|pid| {
        format!("what Erlang (process {pid}) listens on may not be looked at: that takes root with CAP_SYS_PTRACE")
    });
    (found.collect(), hidden)
}

/// Notes what was seen, and says what is not as it should be.
pub fn note(host: &Host, site: &Site<'_>, config: &Path, applied: &Applied) {
    // While somebody is to confirm, time is dear.
    let noted = if applied.judgement.standing == Standing::Enforced && applied.pending.is_none() {
        Seen::note(host, site, config, &applied.in_force, &applied.judgement.around)
    } else {
        Ok(())
    };
    // Without the note the next look takes longer.
    let _ = noted;
    for warning in &applied.warnings {
        warn(warning);
    }
}

/// What was done.
pub fn applied_facts(site: &Site<'_>, backend: Backend, applied: &Applied) -> report::Applied {
    let (exposed, _) = exposed(&site.protected(), site.node_names().as_deref());
    report::Applied::of(site, backend, applied, exposed)
}

/// The same in words.
pub fn applied_text(site: &Site<'_>, backend: Backend, applied: &Applied) -> String {
    applied_facts(site, backend, applied).text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        assert_eq!(for_a_shell(Path::new("/var/lib/ringfence")), "/var/lib/ringfence");
        assert_eq!(for_a_shell(Path::new("/a b/it's")), "'/a b/it'\\''s'");
        assert_eq!(for_a_shell(Path::new("$(x)")), "'$(x)'");
    }

    #[test]
    fn spans_of_time() {
        let seconds = |text| duration(text).ok().map(|time| time.as_secs());
        assert_eq!(["60", "60s", "5m", "1h", "24h"].map(seconds), [60, 60, 300, 3600, 86400].map(Some));
        assert_eq!(["", "0", "s", "25h", "1d", "-1", "1.5s", "99999999999999999999h"].map(seconds), [None; 8]);
    }
}
