//! What changes from one ruleset to another, by meaning: who gains and who loses which ports.
//!
//! The two rulesets are judged on one [`Space`], in which neither can tell packets of one class apart. The exact sources
//! of a change are then the ranges of the classes that change, and nothing else.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

use crate::ir::{Base, Family, Hook, Policy, Rule, Ruleset, Statement, TcpFlags};
use crate::net::{Elsewhere, Interface, PortRange, Ports};
use crate::semantics::{
    Classes, Door, Locality, Outcome, Packet, Question, Rules, Shape, Space, TCP, TooManyClasses, Value, merged,
    rewriting,
};

/// What changes from an old ruleset to a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// New connections that get through now, or do no longer.
    pub changes: Vec<Change>,
    /// A packet of another kind whose fate changes, and whether it passes now, where no change above explains it.
    pub other: Option<(Packet, Door, bool)>,
    /// A packet for which something unknown stands in the way of saying.
    pub undecided: Option<(Packet, Door)>,
    /// A part of the rulesets that is not judged, and that may make a difference.
    pub unjudged: Option<String>,
}

/// Some sources gain or lose some ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where from: ranges of one family, both ends included, ascending, that do not touch.
    pub sources: Vec<(IpAddr, IpAddr)>,
    /// Whether they get in now; otherwise they do no longer.
    pub gains: bool,
    /// To which ports.
    pub ports: Ports,
    /// On which interfaces, of those that a rule names; empty for all there are.
    pub interfaces: Vec<Interface>,
    /// Whether also on interfaces that no rule names.
    pub elsewhere: bool,
    /// A packet whose fate changes.
    pub witness: Packet,
}

impl Difference {
    /// Whether the rulesets mean the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.other.is_none() && self.undecided.is_none() && self.unjudged.is_none()
    }
}

/// Whether something is gained, and on which interfaces.
type Kind = (bool, Vec<Option<Interface>>);
/// For one class of sources: the classes of ports that change in each way.
type Profile = BTreeMap<Kind, Vec<usize>>;

/// What changes from `old` to `new`.
///
/// # Errors
/// Where the rules tell more packets apart than can be gone through.
pub fn difference(old: &Ruleset, new: &Ruleset) -> Result<Difference, TooManyClasses> {
    difference_on_host(old, new, &Elsewhere::default())
}

/// The same on a host that answers for `elsewhere` besides what its table `local` holds.
///
/// # Errors
/// Where the rules tell more packets apart than can be gone through.
pub fn difference_on_host(old: &Ruleset, new: &Ruleset, elsewhere: &Elsewhere) -> Result<Difference, TooManyClasses> {
    if old == new {
        return Ok(Difference::default());
    }
    let (old, new) = (&merged(old), &merged(new));
    let question =
        Question { interfaces: vec![Interface::loopback()], elsewhere: elsewhere.clone(), ..Question::default() };
    let space = Space::new(&[old, new], &question)?;
    let mut difference = Difference { unjudged: unjudged(old, new), ..Difference::default() };
    let (old, new) = (Rules::new(old), Rules::new(new));
    let v4 = space.ipv4_sources();
    let v6 = space.ipv6_sources();
    connections(&space, v4, |bits| IpAddr::V4(Ipv4Addr::from_bits(bits)), (&old, &new), &mut difference);
    connections(&space, v6, |bits| IpAddr::V6(Ipv6Addr::from_bits(bits)), (&old, &new), &mut difference);
    others(&space, &old, &new, &mut difference);
    Ok(difference)
}

/// What differs where nothing is judged: on the way through this host and out of it, and in what could not be read.
fn unjudged(old: &Ruleset, new: &Ruleset) -> Option<String> {
    let unread = old.unread.first().or(new.unread.first()).cloned();
    let rewrites = || rewriting(old).or_else(|| rewriting(new));
    unread.or_else(rewrites).or_else(|| {
        let elsewhere = |ruleset: &Ruleset| -> Vec<(Family, Base, Vec<Rule>)> {
            let chains = ruleset.tables.iter().flat_map(|table| table.chains.iter().map(|chain| (table.family, chain)));
            let outgoing = chains.filter_map(|(family, chain)| Some((family, chain.base?, chain)));
            let outgoing =
                outgoing.filter(|(_, base, _)| matches!(base.hook, Hook::Forward | Hook::Output | Hook::Postrouting));
            // An empty chain that accepts does nothing.
            let outgoing = outgoing.filter(|(_, base, chain)| base.policy == Policy::Drop || !chain.rules.is_empty());
            outgoing.map(|(family, base, chain)| (family, base, chain.rules.iter().map(bare).collect())).collect()
        };
        let differs = elsewhere(old) != elsewhere(new);
        differs.then(|| "the chains for routed and outgoing packets are not the same, and are not judged".to_owned())
    })
}

/// A rule without where it stands and what it is called.
fn bare(rule: &Rule) -> Rule {
    let statements = rule
        .effective()
        .chain(rule.statements.iter().filter(|one| matches!(one, Statement::Log(_))))
        .cloned()
        .collect();
    Rule { comment: None, place: None, statements, ..rule.clone() }
}

/// A new connection to a port of this host.
fn connection(source: IpAddr, port: u16, interface: Option<&Interface>) -> Packet {
    Packet { port, interface: interface.cloned(), flags: TcpFlags::SYN, ..Packet::plain(source) }
}

/// Whether a packet gets through both doors; `None` where that is unknown.
fn delivered(rules: &Rules<'_>, packet: &Packet) -> Option<bool> {
    let outcomes = [Door::Prerouting, Door::Input].map(|door| rules.evaluate(door, packet));
    if outcomes.iter().any(|outcome| !outcome.may_pass) {
        return Some(false);
    }
    outcomes.iter().all(|outcome| !outcome.may_block).then_some(true)
}

fn connections<T: Value>(
    space: &Space,
    classes: &Classes<T>,
    address: impl Fn(T) -> IpAddr,
    (old, new): (&Rules<'_>, &Rules<'_>),
    difference: &mut Difference,
) {
    // Classes that change alike are reported as one.
    let mut alike: BTreeMap<Profile, Vec<u32>> = BTreeMap::new();
    for (class, &bits) in classes.representatives().iter().enumerate() {
        let mut profile = Profile::new();
        for (number, &port) in space.ports().representatives().iter().enumerate() {
            let mut on: BTreeMap<bool, Vec<Option<Interface>>> = BTreeMap::new();
            for interface in space.interfaces() {
                let packet = connection(address(bits), port, interface.as_ref());
                match (delivered(old, &packet), delivered(new, &packet)) {
                    (Some(before), Some(after)) if before != after => {
                        on.entry(after).or_default().push(interface.clone())
                    }
                    (Some(_), Some(_)) => {}
                    _ => _ = difference.undecided.get_or_insert((packet, Door::Input)),
                }
            }
            for (gains, interfaces) in on {
                profile.entry((gains, interfaces)).or_default().push(number);
            }
        }
        if !profile.is_empty() {
            alike.entry(profile).or_default().push(class as u32);
        }
    }
    for (profile, members) in alike {
        let ranges = classes.ranges().iter().filter(|(_, _, class)| members.contains(class));
        let ranges = joined(ranges.map(|&(first, last, _)| (first, last)));
        let sources: Vec<_> = ranges.iter().map(|&(first, last)| (address(first), address(last))).collect();
        for ((gains, interfaces), ports) in profile {
            difference.changes.extend(change(space, &sources, gains, &interfaces, &ports));
        }
    }
}

/// Ranges that touch become one.
fn joined<T: Value>(ranges: impl Iterator<Item = (T, T)>) -> Vec<(T, T)> {
    let mut joined: Vec<(T, T)> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(previous) if previous.1.above() == Some(first) => previous.1 = last,
            _ => joined.push((first, last)),
        }
    }
    joined
}

fn change(
    space: &Space,
    sources: &[(IpAddr, IpAddr)],
    gains: bool,
    interfaces: &[Option<Interface>],
    port_classes: &[usize],
) -> Option<Change> {
    let (source, _) = *sources.first()?;
    let ranges = space.ports().ranges().iter().filter(|(_, _, class)| port_classes.contains(&(*class as usize)));
    let ports: Ports = ranges.filter_map(|&(first, last, _)| PortRange::new(first.max(1), last)).collect();
    let port = ports.ranges().first().map_or(0, |range| range.first());
    let witness = connection(source, port, interfaces.first().and_then(Option::as_ref));
    // Loopback is hardly ever judged, so that a change on all others is a change on all.
    let judged = |interface: &&Option<Interface>| interface.as_ref() != Some(&Interface::loopback());
    let everywhere = interfaces.iter().filter(judged).count() == space.interfaces().iter().filter(judged).count();
    let named = if everywhere { Vec::new() } else { interfaces.iter().flatten().cloned().collect() };
    Some(Change {
        sources: sources.to_vec(),
        gains,
        ports,
        interfaces: named,
        elsewhere: everywhere || interfaces.contains(&None),
        witness,
    })
}

/// Packets other than new connections. Segments of the same source, port and interface as a change above may follow it.
fn others(space: &Space, old: &Rules<'_>, new: &Rules<'_>, difference: &mut Difference) {
    space.visit(|packet| {
        let doors = [Door::BeforeTranslation, Door::Prerouting, Door::Input];
        for door in doors.into_iter().filter(|door| door.sees(packet)) {
            let (before, after) = (old.evaluate(door, packet), new.evaluate(door, packet));
            let certain = |outcome: Outcome| outcome.may_pass != outcome.may_block;
            // What becomes of these hangs on their data, in both rulesets.
            let doubted = packet.shape == Shape::LaterMisread && !(certain(before) && certain(after));
            if doubted || (before == after && certain(before)) {
                continue;
            }
            // Whether a test for local addresses sees those of a VRF depends on the kernel, for both rulesets alike.
            let by_kernel = matches!(packet.locality, Locality::Vrf | Locality::Elsewhere);
            if by_kernel && before == after {
                continue;
            }
            if !certain(before) || !certain(after) {
                // The same doubt on both sides is no difference that could be told.
                if difference.undecided.is_none() {
                    difference.undecided = Some((packet.clone(), door));
                }
                continue;
            }
            let opening = connection(packet.source, packet.port, packet.interface.as_ref());
            let (old_way, new_way) = (delivered(old, &opening), delivered(new, &opening));
            let reported = old_way != new_way && new_way == Some(after.may_pass);
            let follows = reported && packet.locality.is_local() && packet.protocol == TCP;
            if !follows && difference.other.is_none() {
                difference.other = Some((packet.clone(), door, after.may_pass));
            }
        }
        ControlFlow::<()>::Continue(())
    });
}
