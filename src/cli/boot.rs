//! `ringfence apply --boot`: at the start of the machine something must be in force in the end.
//!
//! - Nothing that cannot be read or written makes the rules less strict, or keeps them from coming into force.
//! - Rules that are in force and proved stay, whatever goes wrong behind them.
//! - Nobody may be there: whatever is not as it should be is said loudly, and with an exit code that is not 0.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::before::{Before, before, unblocks};
use super::host::{SiteArguments, WaitArguments, applied_text, live_site, note, own_links, own_nodes, site_of};
use super::input::{Input, default_config, places};
use super::output::{Undone, print, say};
use super::ways::{allowances, in_use, vrfs, warnings};
use crate::cluster::{self, Cluster};
use crate::host::apply::{Host, Plan, apply};
use crate::host::identity::objections;
use crate::host::links::Link;
use crate::host::record::Kept;
use crate::host::{Backend, HostError, Prepared, iptables, pending, read, record, reserved};
use crate::net::{PortRange, Ports};
use crate::outcome::Outcome;
use crate::report::Objection;

/// Other runs are waited for: nobody is there to try again.
const PATIENCE: Duration = Duration::from_secs(60);
/// RFC 4253.
const SSH: u16 = 22;

/// What the start of the machine brings in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Brought {
    /// What the cluster file says.
    Own,
    /// What was applied last.
    Last,
    /// Nothing but closed ports, of which the caller has all to say.
    Closed,
}

fn loud(words: &str) {
    say(&format!("warning: {words}"));
}

pub fn run(input: &Input, arguments: &SiteArguments, wait: &WaitArguments, host: &Host) -> anyhow::Result<Outcome> {
    let lock = wait.lock_within(host, "ringfence apply --boot", PATIENCE);
    // The kernel refuses what does not fit to what is there, so two at once do no harm.
    if let Err(error) = &lock {
        loud(&format!("going on without the lock: {error}"));
    }
    let backend = writable(arguments.backend.choose(host)?, Unread::Absent);
    run_locked(input, arguments, host, backend)
}

/// The same for a hook that holds the lock. In a machine that runs, what was applied last may be in force, and a hook in a sandbox not see it:
/// it goes another way only where that one is certainly gone, with its tools or with the kernel's part of it.
pub fn run_again(input: &Input, arguments: &SiteArguments, host: &Host) -> anyhow::Result<Outcome> {
    let backend = arguments.backend.choose(host)?;
    let applied = !matches!(record::kept(&host.store, record::GOOD), Ok(None));
    run_locked(input, arguments, host, writable(backend, if applied { Unread::There } else { Unread::Absent }))
}

fn run_locked(input: &Input, arguments: &SiteArguments, host: &Host, backend: Backend) -> anyhow::Result<Outcome> {
    if let Ok(Some(_)) = pending::waiting(&host.store)
        && read(backend).is_ok_and(|in_force| !in_force.absent)
    {
        loud("a change is waiting to be confirmed; nothing was changed");
        return Ok(Outcome::Unconfirmed);
    }
    // Addresses may not be there yet; then the name decides that was kept.
    let links = own_links().unwrap_or_default();
    let asked = arguments.node.as_slice();
    let (candidates, mut fine) = candidates(input, host, asked, &links);
    let has_node = |cluster: &Cluster| own_nodes(cluster, host, asked, &links).is_ok();
    let good_has_node = candidates.iter().any(|(cluster, own)| !own && has_node(cluster));
    for (cluster, own) in &candidates {
        if *own && good_has_node && !cluster.nodes().is_empty() && !has_node(cluster) {
            loud("this host is no node of the cluster file");
            fine = false;
            continue;
        }
        if !own {
            loud("falling back to what was applied last");
        }
        match bring(input, arguments, host, cluster, backend, &links, if *own { Brought::Own } else { Brought::Last }) {
            // Whatever else there is to say, what the file says is not in force.
            Ok(_) if !*own || !fine => return Ok(Outcome::FellBack),
            Ok(outcome) => return Ok(outcome),
            Err(error) => loud(&format!("{error:#}")),
        }
        fine = false;
    }
    close(input, arguments, host, backend)
}

/// What is made of rules that cannot be read.
#[derive(Clone, Copy)]
enum Unread {
    /// They are not there: at the start of the machine nothing is, and whatever can be brought in is better than open ports.
    Absent,
    /// They may be there.
    There,
}

/// The other way where this one cannot be written and has nothing in force.
fn writable(backend: Backend, unread: Unread) -> Backend {
    let other = backend.other();
    let is_there = match (read(backend), unread) {
        (Ok(in_force), _) => !in_force.absent,
        (Err(HostError::NoNfTables | HostError::Iptables(iptables::Error::Missing { .. })), _)
        | (Err(_), Unread::Absent) => false,
        (Err(_), Unread::There) => true,
    };
    if backend.can_be_written() || !other.can_be_written() || is_there {
        return backend;
    }
    loud(&format!("{} cannot be written here; going on with {}", backend.name(), other.name()));
    other
}

/// Why a cluster file is not to be used where nobody asks for it.
pub fn unconfirmed(host: &Host, cluster: &Cluster) -> Option<String> {
    let good = record::kept(&host.store, record::GOOD).ok().flatten().map(|kept| kept.record);
    if good.as_ref().is_some_and(|good| good.digest == cluster.digest()) {
        return None;
    }
    match record::is_rejected(&host.store, cluster, good.as_ref()) {
        Ok(rejected) => rejected.then(|| {
            "the cluster file was applied once and not confirmed; it is not used before somebody applies it again"
                .to_owned()
        }),
        Err(error) => {
            good.is_some().then(|| format!("whether the cluster file was ever confirmed is not known: {error}"))
        }
    }
}

/// What may be used, the best first, and whether that is as it should be.
fn candidates(input: &Input, host: &Host, asked: &[String], links: &[Link]) -> (Vec<(Cluster, bool)>, bool) {
    let mut candidates = Vec::new();
    let kept = record::kept(&host.store, record::GOOD);
    match input.load_to(Undone::Used, |_| Vec::new()) {
        Ok(Some(cluster)) => match unconfirmed(host, &cluster)
            .or_else(|| of_another(&kept, &cluster, asked, links))
            .or_else(|| unblocks(&kept, &cluster).map(|one| one.message()))
        {
            Some(why) => loud(&why),
            None => candidates.push((cluster, true)),
        },
        Ok(None) => loud("the cluster file cannot be used; see above"),
        Err(error) => loud(&format!("{error:#}")),
    }
    let fine = !candidates.is_empty() && kept.is_ok();
    match kept {
        Ok(kept) => candidates.extend(kept.and_then(|kept| kept.load().cluster).map(|cluster| (cluster, false))),
        Err(error) => loud(&format!("what was applied last cannot be read: {error}")),
    }
    (candidates, fine)
}

/// Why a file gives way to what was applied last, where that can be used: nobody said that the ports of the other cluster are
/// to be guarded no more.
fn of_another(
    kept: &Result<Option<Kept>, HostError>,
    cluster: &Cluster,
    asked: &[String],
    links: &[Link],
) -> Option<String> {
    match before(kept, cluster, asked, links) {
        Before::Other(other) => kept.as_ref().ok()?.as_ref()?.load().cluster.map(|_| other.message()),
        Before::Same | Before::Unknown(_) => None,
    }
}

/// Brings the rules of a cluster into force.
fn bring(
    input: &Input,
    arguments: &SiteArguments,
    host: &Host,
    cluster: &Cluster,
    backend: Backend,
    links: &[Link],
    what: Brought,
) -> anyhow::Result<Outcome> {
    let asked = arguments.node.as_slice();
    let nobody = cluster.nodes().is_empty();
    let every_node = nobody
        || asked.is_empty()
            && record::kept(&host.store, record::GOOD).ok().flatten().is_some_and(|kept| kept.record.node.is_none());
    let nodes = match own_nodes(cluster, host, asked, links) {
        Ok(nodes) => Some(nodes),
        Err(_) if every_node => None,
        Err(error) => {
            loud(&format!("{}; the rules fit every node now", error.message(cluster)));
            None
        }
    };
    let proper = nodes.is_some() || every_node;
    // Without a look at the routing the rules are no worse than those of a file.
    let site = live_site(cluster, nodes.as_deref()).unwrap_or_else(|error| {
        loud(&error.to_string());
        site_of(cluster, nodes.as_deref())
    });
    // Interfaces and addresses may come later; nobody is there whose session could be cut.
    let of_vrfs = vrfs(&site).unwrap_or_default();
    let objections: Vec<_> = objections(&site, links, None).into_iter().chain(of_vrfs).collect();
    for objection in &objections {
        let objection = Objection::of(objection, cluster, |_| false);
        loud(&if objection.allowed { objection.allowance() } else { objection.message });
    }
    let allowances = allowances(&in_use(&site, &objections));
    for warning in warnings(&site.protected(), links) {
        loud(&warning.words);
    }
    let prepared = Prepared::new(&site, backend)?;
    let plan = Plan {
        site: &site,
        prepared: &prepared,
        config: &input.config,
        confirm_within: None,
        cut_outgoing: false,
        links,
        keep: what == Brought::Own && proper,
        boot: true,
        allow_not_through: true,
        agreed: None,
        allowances: &allowances,
    };
    let applied = apply(host, &plan, None)?;
    note(host, &site, &input.config, &applied);
    let kept = matches!(record::kept(&host.store, record::GOOD), Ok(Some(_)));
    if !kept && let Err(error) = record::note_unkept(&host.store) {
        loud(&format!("if another firewall takes these rules away, nothing brings them back: {error}"));
    }
    // What nobody reads is no reason to change what is in force.
    if what != Brought::Closed {
        let _ = print(&applied_text(&site, backend, &applied));
    }
    Ok(match (proper, applied.kept) {
        (false, _) => Outcome::FellBack,
        (true, false) => Outcome::Unusable,
        (true, true) => applied.judgement.standing.outcome(),
    })
}

/// What is closed for everyone where nothing can be used: what the profile guards that the file names, or those of a folder, and what was
/// guarded before.
pub fn closed(config: &Path, host: &Host) -> Option<Cluster> {
    let of = |place: &Path| {
        if place.is_dir() { cluster::cluster_files(place).unwrap_or_default() } else { vec![place.to_owned()] }
    };
    let files: Vec<PathBuf> = places(config).iter().flat_map(|place| of(place)).collect();
    let mut named = files.iter().map(|file| profile_of(file));
    let first = named.next().flatten();
    // What nobody confirmed must not close more; nor must the way by which somebody could mend it be closed.
    let before = match record::kept(&host.store, record::CANDIDATE) {
        Ok(None) => record::reserved(&host.store).unwrap_or_default(),
        Ok(Some(_)) | Err(_) => Ports::default(),
    };
    let others = named.filter_map(|name| cluster::closed(name.as_deref(), &Ports::default()));
    let others: Vec<PortRange> = others.flat_map(|other| site_of(&other, None).protected().ranges().to_vec()).collect();
    let before: Ports = before.ranges().iter().copied().chain(others).collect();
    let before = reserved::without(&before, &PortRange::single(SSH).into_iter().collect());
    cluster::closed(first.as_deref(), &before)
}

/// The profile that a cluster file names, whatever else of it cannot be used.
fn profile_of(file: &Path) -> Option<String> {
    // A named pipe would be waited for.
    fs::metadata(file).ok().filter(fs::Metadata::is_file)?;
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("profile")?.trim().strip_prefix('='))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned())
}

/// That the ports are closed, because of what about the file, and the way out; no reason is left where the file can be used by now.
pub fn closed_text(config: &Path, host: &Host, why: Option<&str>, ports: &Ports) -> String {
    let last = match record::kept(&host.store, record::GOOD) {
        Ok(None) => "nothing was ever applied",
        Ok(Some(_)) | Err(_) => "what was applied last cannot be used, either",
    };
    let Some(why) = why else {
        return format!(
            "CLOSED: the start of the machine found no file that it could use, and {last}. {} are closed for everyone but loopback.\n\
             {} can be used by now: `ringfence apply{}` brings in what it says",
            record::text(ports),
            config.display(),
            named(config)
        );
    };
    format!(
        "CLOSED: {why}, and {last}. {} are closed for everyone but loopback; NOT guarded: other ports that the \
         file names.\nMend the file (`ringfence import` makes one), then run `ringfence apply{}`",
        record::text(ports),
        named(config)
    )
}

/// A file as the argument of a command, where it has to be named.
pub fn named(config: &Path) -> String {
    if config == default_config() { String::new() } else { format!(" {}", config.display()) }
}

/// The last resort.
fn close(input: &Input, arguments: &SiteArguments, host: &Host, backend: Backend) -> anyhow::Result<Outcome> {
    let cluster = closed(&input.config, host).ok_or_else(|| anyhow::anyhow!("no profile can be read"))?;
    let site = site_of(&cluster, None);
    let ports = site.protected();
    anyhow::ensure!(!ports.is_empty(), "the profile {} has no ports to close", cluster.profile().0);
    bring(input, arguments, host, &cluster, backend, &[], Brought::Closed)?;
    let why = format!("{} cannot be used (see above)", input.config.display());
    say(&closed_text(&input.config, host, Some(&why), &ports));
    Ok(Outcome::FellBack)
}
