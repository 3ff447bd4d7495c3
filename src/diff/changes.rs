//! Sets of packets as few products: sources, ports, interfaces.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::Change;
use crate::net::{Interface, PortRange, Ports};
use crate::semantics::{Bounded, Field, Packet, Set, Space};

type Range = (u32, u32);

/// Packets of some sources to some ports on some interfaces, as ranges of labels.
#[derive(Clone, Copy)]
struct Product {
    sources: Range,
    gains: bool,
    interfaces: Range,
    ports: Range,
}

/// Whether something is gained, and on which interfaces.
type Kind = (bool, Vec<u32>);
/// For one class of sources: the classes of ports that change in each way.
type Profile = BTreeMap<Kind, Labels>;

/// Ascending ranges of labels, which are ordered as the labels one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Labels(Vec<Range>);

impl Labels {
    /// Takes a range that is behind all others.
    fn push(&mut self, range: Range) {
        match self.0.last_mut() {
            Some(before) if before.1.saturating_add(1) == range.0 => before.1 = range.1,
            _ => self.0.push(range),
        }
    }

    fn each(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|&(first, last)| first..=last)
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.each().cmp(other.each())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What changes where these packets are gained and those lost, by source, port and interface. Classes of sources that change
/// alike are told as one.
pub(super) fn changes(space: &mut Space<'_>, gains: Set, losses: Set) -> Bounded<Vec<Change>> {
    let mut products = Vec::new();
    for (set, gains) in [(gains, true), (losses, false)] {
        let mut told = set;
        for field in Field::ALL {
            if !matches!(field, Field::Family | Field::Interface | Field::Port | Field::Source) {
                told = space.sets.without(told, field.number())?;
            }
        }
        space.sets.products(told, &mut |ranges| {
            let of = |field: Field| ranges.get(usize::from(field.number())).copied().unwrap_or_default();
            products.push(Product {
                sources: of(Field::Source),
                gains,
                interfaces: of(Field::Interface),
                ports: of(Field::Port),
            });
        })?;
    }
    let mut alike: BTreeMap<(bool, Profile), Vec<Range>> = BTreeMap::new();
    for (sources, profile) in by_sources(space, &products) {
        let ipv6 = space.is_ipv6(sources.0);
        alike.entry((ipv6, profile)).or_default().push(sources);
    }
    let mut all = Vec::new();
    for ((_, profile), labels) in alike {
        for ((gained, interfaces), ports) in profile {
            let set = if gained { gains } else { losses };
            all.extend(change(space, set, gained, (&labels, &interfaces, &ports.0))?);
        }
    }
    Ok(all)
}

/// The sources cut at the ends of all products, each piece with what changes for it.
fn by_sources(space: &Space<'_>, products: &[Product]) -> Vec<(Range, Profile)> {
    let mut pieces: Vec<(Range, Profile)> = Vec::new();
    for (sources, active) in swept(products, |product| product.sources) {
        let profile = profile(&active);
        let one_family = |before: &Range| space.is_ipv6(before.1) == space.is_ipv6(sources.0);
        match pieces.last_mut() {
            Some((before, own)) if before.1.saturating_add(1) == sources.0 && *own == profile && one_family(before) => {
                before.1 = sources.1;
            }
            _ => pieces.push((sources, profile)),
        }
    }
    pieces
}

fn profile(products: &[Product]) -> Profile {
    let mut profile = Profile::new();
    for (ports, active) in swept(products, |product| product.ports) {
        for gains in [false, true] {
            let on = active.iter().filter(|product| product.gains == gains);
            let mut on: Vec<u32> = on.flat_map(|product| product.interfaces.0..=product.interfaces.1).collect();
            on.sort_unstable();
            on.dedup();
            if on.is_empty() {
                continue;
            }
            profile.entry((gains, on)).or_default().push(ports);
        }
    }
    profile
}

/// The pieces into which the ranges cut each other, ascending, each with whose ranges it is in.
fn swept(products: &[Product], range: impl Fn(&Product) -> Range) -> Vec<(Range, Vec<Product>)> {
    let mut cuts: Vec<u32> = products.iter().flat_map(|one| [range(one).0, range(one).1.saturating_add(1)]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut beginning: Vec<&Product> = products.iter().collect();
    beginning.sort_by_key(|one| range(one).0);
    let mut beginning = beginning.into_iter().peekable();
    let mut active: Vec<Product> = Vec::new();
    let mut pieces = Vec::new();
    for pair in cuts.windows(2) {
        let [first, behind] = pair else { continue };
        active.retain(|one| range(one).1 >= *first);
        while let Some(one) = beginning.next_if(|one| range(one).0 == *first) {
            active.push(*one);
        }
        if !active.is_empty() {
            pieces.push(((*first, behind.saturating_sub(1)), active.clone()));
        }
    }
    pieces
}

/// The packets of a set with these labels of sources, interfaces and ports.
fn change(
    space: &mut Space<'_>,
    set: Set,
    gains: bool,
    (sources, interfaces, ports): (&[Range], &[u32], &[Range]),
) -> Bounded<Option<Change>> {
    let on: Vec<Range> = interfaces.iter().map(|label| (*label, *label)).collect();
    let mut concerned = set;
    for (field, labels) in [(Field::Source, sources), (Field::Interface, &on), (Field::Port, ports)] {
        let among = space.sets.among(field.number(), labels)?;
        concerned = space.sets.intersection(concerned, among)?;
    }
    let Some(witness) = space.witness(concerned)? else { return Ok(None) };
    let ranges = space.port_ranges(ports).into_iter();
    let ports: Ports = ranges.filter_map(|(first, last)| PortRange::new(first.max(1), last)).collect();
    // Port 0 is none: it comes as part of a range, or on its own in other protocols.
    let witness = match ports.ranges().first() {
        Some(range) if witness.port == 0 => Packet { port: range.first(), ..witness },
        _ => witness,
    };
    let names: Vec<Option<Interface>> =
        interfaces.iter().filter_map(|label| space.interfaces().get(*label as usize).cloned()).collect();
    // Loopback is hardly ever judged, so that a change on all others is a change on all.
    let judged = |interface: &&Option<Interface>| interface.as_ref() != Some(&Interface::loopback());
    let everywhere = names.iter().filter(judged).count() == space.interfaces().iter().filter(judged).count();
    let named = if everywhere { Vec::new() } else { names.iter().flatten().cloned().collect() };
    Ok(Some(Change {
        sources: space.source_ranges(sources),
        gains,
        ports,
        interfaces: named,
        elsewhere: everywhere || names.contains(&None),
        witness,
    }))
}
