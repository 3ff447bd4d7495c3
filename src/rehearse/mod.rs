//! A rehearsal: rules in a real kernel, real packets from every kind of source, before any host has them.
//!
//! ```text
//!   namespace of everybody else            namespace of the host (this thread is in it)
//!   ┌────────────────────────────┐         ┌─────────────────────────────────────────┐
//!   │ raw sockets: any packet    │─ veth ──│ eth1, eth0, …                           │
//!   │ fence: loopback, no rules  │         │   the rules │ raw sockets behind them   │
//!   └────────────────────────────┘         └─────────────────────────────────────────┘
//! ```
//!
//! What it shows: for each packet that was sent, whether the kernel handed it to TCP. That is held against what the cluster file wants
//! ([`crate::verify::Claims`]) and against what the rules compute to ([`crate::semantics`]). The three come from three places, and have to
//! agree.
//!
//! INVARIANT (control): every packet is sent twice, first without any rules. One that does not arrive then was dropped by the kernel
//! itself, and shows nothing of the rules: it counts as the kernel's, and never as blocked. So that this is rare, the namespace has the
//! kernel's own opinions about sources switched off, see `link::quiet`.
//!
//! INVARIANT (loss): a packet that got lost is no packet that was blocked. What does not arrive is the guard's where its counters have as
//! many more; whatever is not accounted for is sent once more, and one that arrives then got through.
//!
//! Whatever only rules name, a port, flags, an interface, is sent, too, see `named`. A rehearsal with the host has all its rules but the
//! guard's there, see [`HostCopy`].
//!
//! What it does not show: that of packets which were not sent (that is what a proof is for); the host's own routes, settings and services;
//! what happens to connections that are open while rules change.

mod cables;
mod columns;
mod copy;
mod error;
pub mod frame;
mod further;
mod judge;
mod link;
mod load;
mod named;
mod plan;
mod room;
mod sources;
mod tally;
mod wire;

pub use columns::Column;
pub use copy::HostCopy;
pub use error::RehearseError;
pub use load::Rules;
pub use plan::Row;
pub use room::Room;
pub use sources::Who;
pub use tally::{Cell, Fared, Rehearsal, Seen, Together, Wrong};

use std::collections::VecDeque;

use crate::cluster::Site;
use crate::explain::Fate;
use crate::host::links::Link;
use crate::host::whole::Everything;
use crate::ir::Ruleset;
use crate::verify::Claims;
use judge::Judge;
use load::Counters;
use plan::Plan;
use tally::Answers;
use wire::{Sent, Wire};

/// So many looks are taken at who dropped what, where the guard's counters do not account for all. What they do not reach is not told.
const MOST_LOOKS: usize = 400;
/// The same where a look takes several programs.
const MOST_SLOW_LOOKS: usize = 100;

/// Sends packets to rules at a site. `ruleset` is what the rules mean, as far as they were read; `host` is what this host has besides, which
/// is then there, too, and what all mean together is read from the namespace's kernel; `told` hears how many of how many packets are done.
///
/// # Errors
/// Where the namespace, the rules or the packets cannot be had. Nothing outside of the room is touched in any case.
pub fn rehearse(
    room: &Room,
    site: &Site<'_>,
    rules: &Rules<'_>,
    ruleset: &Ruleset,
    host: Option<&HostCopy>,
    mut told: impl FnMut(usize, usize),
) -> Result<Rehearsal, RehearseError> {
    let links: &[Link] = host.map_or(&[], |host| &host.links);
    let named = host.map(|host| both(ruleset, &host.ruleset));
    let plan = plan::plan(site, named.as_ref().unwrap_or(ruleset), links, wire::has_ipv6());
    let places = plan.cables.places(&plan.own, links);
    let mut wire = Wire::new(room, &plan.cables.names, &plan.cables.silent, &places)?;
    let sent: Vec<Sent> = plan.shots.iter().map(|shot| shot.sent).collect();
    let (mut done, all) = (0, sent.len() * 2);
    let mut more = |count| {
        done += count;
        told(done, all);
    };
    let control = wire.send(&sent, &mut more)?;
    let mut not_copied = host.map(|host| host.load(room)).transpose()?;
    if let (Some(host), Some(not_copied), Rules::Files(files)) = (host, &mut not_copied, rules) {
        not_copied.extend(host.emptied_by(files.iter()));
    }
    load::load(room, rules)?;
    let together = match not_copied {
        Some(not_copied) => Some(Together { ruleset: Everything::read()?.ruleset, not_copied }),
        None => None,
    };
    let counters = Counters::find(rules)?;
    let before = counters.total()?;
    let arrived = wire.send(&sent, &mut more)?;
    let blocked = counters.total()?.zip(before).map(|(after, before)| after.saturating_sub(before));
    let mut seen: Vec<Seen> = std::iter::zip(&control, &arrived)
        .map(|two| match two {
            (_, true) => Seen::Through,
            (false, false) => Seen::Kernel,
            (true, false) => Seen::Guard,
        })
        .collect();
    let missing = seen.iter().filter(|seen| **seen == Seen::Guard).count() as u64;
    if blocked != Some(missing) {
        attribute(&mut wire, &plan, &counters, &mut seen)?;
    }
    let judge = Judge::new(Claims::of(site), together.as_ref().map_or(ruleset, |together| &together.ruleset));
    let answers = plan.shots.iter().zip(seen).map(|(shot, seen)| {
        let interface = plan.cables.names.get(shot.sent.cable).map_or("", String::as_str);
        Answers {
            seen,
            wanted: judge.wants(&shot.sent, interface),
            free: judge.may_be_dropped_by_others(&shot.sent),
            computed: judge.computed(&shot.sent, interface),
        }
    });
    let answers: Vec<Answers> = answers.collect();
    let found = tally::tally(plan, answers, site.cluster().guard().is_staged(), rules.backend(), room.as_user);
    Ok(Rehearsal { host: together, ..found })
}

/// All rules, for what they name.
fn both(ruleset: &Ruleset, host: &Ruleset) -> Ruleset {
    let tables = ruleset.tables.iter().chain(&host.tables).cloned().collect();
    let sets = ruleset.sets.iter().chain(&host.sets).cloned().collect();
    Ruleset { tables, sets, ..Ruleset::default() }
}

/// Finds out who dropped what: whatever is missing is sent once more, and the guard's counters are read around it; by halves, until each
/// is the guard's as a whole or not at all.
fn attribute(wire: &mut Wire, plan: &Plan, counters: &Counters, seen: &mut [Seen]) -> Result<(), RehearseError> {
    let mut missing: Vec<usize> = (0..plan.shots.len()).filter(|at| seen.get(*at) == Some(&Seen::Guard)).collect();
    // What is dropped by the same rule mostly stands together so, and takes few looks.
    missing.sort_by_key(|at| {
        plan.shots.get(*at).map(|shot| (shot.column, shot.sent.to.port(), shot.sent.cable, shot.row))
    });
    let most = match counters {
        Counters::None | Counters::Nft => MOST_LOOKS,
        Counters::Iptables(_) => MOST_SLOW_LOOKS,
    };
    let (mut groups, mut looks) = (VecDeque::from([missing]), 0);
    // The widest first: where there are too many to look at each, as much as can be is told.
    while let Some(group) = groups.pop_front().filter(|group| !group.is_empty()) {
        looks += 1;
        let again: Vec<Sent> = group.iter().filter_map(|at| Some(plan.shots.get(*at)?.sent)).collect();
        let before = counters.total()?;
        let arrived = wire.send(&again, |_| ())?;
        let blocked = counters.total()?.zip(before).map(|(after, before)| after.saturating_sub(before));
        let mut lost = Vec::new();
        for (at, arrived) in group.into_iter().zip(arrived) {
            match seen.get_mut(at) {
                Some(own) if arrived => *own = Seen::Through,
                Some(_) | None => lost.push(at),
            }
        }
        let by = match blocked {
            // Where nothing of ours is, nobody counts, and one look is enough for all.
            None | Some(0) => Seen::Others,
            // A packet in pieces counts for each that was dropped.
            Some(blocked) if blocked == lost.len() as u64 || lost.len() == 1 => Seen::Guard,
            Some(_) if looks < most && !lost.is_empty() => {
                let behind = lost.split_off(lost.len() / 2);
                groups.extend([lost, behind]);
                continue;
            }
            Some(_) => Seen::Rules,
        };
        for at in lost {
            seen.get_mut(at).into_iter().for_each(|own| *own = by);
        }
    }
    Ok(())
}

/// A computed verdict in a word.
#[must_use]
pub fn fate_word(fate: Fate) -> &'static str {
    match fate {
        Fate::Delivered => "through",
        Fate::Blocked => "blocked",
        Fate::Undecided => "undecided",
    }
}
