//! IR → ipset text.
//!
//! A set is filled under another name and then swapped with the one in use, so that rules never see it half full.

use std::fmt;

use askama::Template;

use crate::ir::{Elements, Ruleset, Set, SetKind};

/// Every set may hold so many elements. One number for all, because `create -exist` refuses a set that is there with
/// another; memory is only taken for what is in it.
const ROOM: usize = 1 << 20;

#[derive(Template)]
#[template(path = "ipset.txt")]
struct File {
    sets: Vec<SetRow>,
}

struct SetRow {
    name: String,
    kind: String,
    hash_size: usize,
    elements: Vec<(String, Option<String>)>,
}

/// The sets of a ruleset as a file. Without sets it says so and changes nothing.
pub fn write(ruleset: &Ruleset) -> Result<String, fmt::Error> {
    if ruleset.unfit_text().is_some() {
        return Err(fmt::Error);
    }
    let file = File { sets: ruleset.sets.iter().map(set_row).collect() };
    let mut text = String::with_capacity(1024 + file.sets.iter().map(|set| set.elements.len() * 48).sum::<usize>());
    file.render_into(&mut text).map_err(|_| fmt::Error)?;
    Ok(text)
}

/// The family of a set, as ipset calls it.
#[must_use]
pub fn family(elements: &Elements) -> &'static str {
    match elements {
        Elements::Ipv6(_) => "inet6",
        Elements::Ipv4(_)
        | Elements::Ports(_)
        | Elements::Endpoints(_)
        | Elements::Dual(..)
        | Elements::Passing(_)
        | Elements::Unknown => "inet",
    }
}

fn set_row(set: &Set) -> SetRow {
    let kind = match set.kind {
        SetKind::Hash { .. } => "hash:ip",
        SetKind::Interval => "hash:net",
    };
    let family = family(&set.elements);
    let count = set.elements.len();
    let room = ROOM.max((count * 2).next_power_of_two());
    let origins = set.origins.iter().cloned().map(Some).chain(std::iter::repeat(None));
    // hash:net knows no /0: the writer's networks are halves then.
    let networks = set.elements.networks().into_iter().zip(origins).flat_map(|(network, origin)| {
        let parts = if network.prefix_length() == 0 { network.halves().to_vec() } else { vec![network] };
        parts.into_iter().map(move |part| (part.to_string(), origin.clone()))
    });
    SetRow {
        name: set.name.clone(),
        kind: format!("{kind} family {family} maxelem {room}"),
        hash_size: count.next_power_of_two().max(1024),
        elements: networks.collect(),
    }
}
