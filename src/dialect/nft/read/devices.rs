//! Interfaces that a rule compares.

use super::names;
use super::selectors::{Alternatives, MOST_NAMED, Right};
use super::tables::RawTable;
use super::values::Values;
use crate::ir::{DeviceName, Foreign, Match, Side};
use crate::net::Interface;

/// Names of interfaces of one side, or patterns of them.
pub fn interfaces(
    table: &RawTable<'_>,
    (side, by_index): (Side, bool),
    right: &Right<'_, '_>,
    negated: bool,
) -> Option<Alternatives> {
    let texts = match right {
        Right::Named(name) => match table.find_set(name)?.values().filter(|values| values.len() <= MOST_NAMED)? {
            Values::Interfaces(names) => names.clone(),
            Values::Ipv4(_) | Values::Ipv6(_) | Values::Ports(_) => return None,
        },
        Right::One(_) | Right::Set(_) | Right::List(_) | Right::Ports(..) => right.names()?,
    };
    let mut names: Vec<DeviceName> = texts.iter().map(|text| device(text, by_index)).collect::<Option<_>>()?;
    names.sort();
    names.dedup();
    let whole = |name: &DeviceName| match name {
        DeviceName::Is(name) => Some(name.clone()),
        DeviceName::Begins(_) => None,
    };
    let exact: Option<Vec<Interface>> = names.iter().map(whole).collect();
    Some(vec![vec![match exact {
        Some(names) if side == Side::In => Match::InInterface { names, negated },
        _ => Match::Foreign(Foreign::Device { side, names, negated }),
    }]])
}

/// An interface, or all that begin so. A star behind a backslash is one of the name.
pub fn device(text: &str, by_index: bool) -> Option<DeviceName> {
    match text {
        "lo" => return Some(DeviceName::Is(Interface::loopback())),
        // Loopback has this number in every namespace.
        "1" if by_index => return Some(DeviceName::Is(Interface::loopback())),
        number if by_index && names::number(number).is_some() => return None,
        _ => {}
    }
    match text.strip_suffix('*').filter(|_| !by_index) {
        Some(begin) => {
            let fit = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            let known = !begin.is_empty() && begin.len() <= Interface::LONGEST && begin.chars().all(fit);
            known.then(|| DeviceName::Begins(begin.to_owned()))
        }
        None => text.parse().ok().map(DeviceName::Is),
    }
}
