//! What the kernel's routing tables say of addresses.

use super::matches::{RTN_LOCAL, native, unequal};
use super::value::Test;
use crate::ir::{AddressTypes, Foreign, Match};

/// Kinds of addresses (RTN_…) are numbers, in the host's byte order.
pub fn destination_type(of_interface: bool, test: &Test<'_>) -> Option<Match> {
    let Test::Compare(operator, data) = test else { return None };
    let (number, negated) = (native(data)?, unequal(*operator)?);
    match (number, of_interface, negated) {
        (RTN_LOCAL, true, false) => return Some(Match::DestinationOfInterface),
        (RTN_LOCAL, false, false) => return Some(Match::DestinationLocal),
        (_, true, _) => return None,
        _ => {}
    }
    Some(Match::Foreign(Foreign::DestinationType { types: kind(number)?, negated }))
}

pub fn source_type(test: &Test<'_>) -> Option<Match> {
    let Test::Compare(operator, data) = test else { return None };
    let (types, negated) = (kind(native(data)?)?, unequal(*operator)?);
    Some(Match::Foreign(Foreign::SourceType { types, negated }))
}

fn kind(number: u32) -> Option<AddressTypes> {
    Some(match number {
        1 => AddressTypes::UNICAST,
        RTN_LOCAL => AddressTypes::LOCAL,
        3 => AddressTypes::BROADCAST,
        4 => AddressTypes::ANYCAST,
        5 => AddressTypes::MULTICAST,
        _ => return None,
    })
}

/// The number of the interface that the way leads by is 0 where there is none; asked whether there is one, the answer is one
/// byte.
pub fn way_back((same_interface, numbered): (bool, bool), test: &Test<'_>) -> Option<Match> {
    let Test::Compare(operator, data) = test else { return None };
    let negated = unequal(*operator)?;
    let missing = match data {
        // The first byte of a number says nothing.
        [1] if !numbered => negated,
        [0] if !numbered => !negated,
        [0, 0, 0, 0] => !negated,
        _ => return None,
    };
    Some(Match::Foreign(Foreign::WayBack { same_interface, missing }))
}
