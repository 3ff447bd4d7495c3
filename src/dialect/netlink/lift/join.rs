//! Tests put together: several that are alternatives, or the opposite of one.

use super::finish::Alternatives;
use crate::ir::{AddressTypes, Addresses, Elements, Foreign, Match, PacketTypes};

/// The same with alternatives that one test can say.
pub fn joined(all: Alternatives) -> Alternatives {
    let mut found: Alternatives = Vec::with_capacity(all.len());
    for one in all {
        let mut one = one;
        if let [next] = one.as_mut_slice()
            && found
                .iter_mut()
                .any(|before| if let [before] = before.as_mut_slice() { join(before, next) } else { false })
        {
            continue;
        }
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

/// Takes `other` into `one`, if the two can be said at once.
fn join(one: &mut Match, other: &Match) -> bool {
    match (one, other) {
        (
            Match::ConnectionState { states, negated: false },
            Match::ConnectionState { states: more, negated: false },
        ) => *states = states.with(*more),
        (Match::PacketType { types, negated: false }, Match::PacketType { types: more, negated: false }) => {
            *types = PacketTypes(types.0 | more.0);
        }
        (
            Match::Foreign(Foreign::DestinationType { types, negated: false }),
            Match::Foreign(Foreign::DestinationType { types: more, negated: false }),
        ) => *types = types.with(*more),
        (
            Match::Foreign(Foreign::SourceType { types, negated: false }),
            Match::Foreign(Foreign::SourceType { types: more, negated: false }),
        ) => *types = types.with(*more),
        (one @ Match::DestinationLocal, Match::Foreign(Foreign::DestinationType { types, negated: false })) => {
            let types = types.with(AddressTypes::LOCAL);
            *one = Match::Foreign(Foreign::DestinationType { types, negated: false });
        }
        (Match::Foreign(Foreign::DestinationType { types, negated: false }), Match::DestinationLocal) => {
            *types = types.with(AddressTypes::LOCAL);
        }
        (Match::Unknown(_), Match::Unknown(_)) => {}
        _ => return false,
    }
    true
}

/// The opposite of a test, for packets that have what it looks at; `None` where the IR has no word for that.
pub fn turned(one: &Match) -> Option<Match> {
    let mut one = one.clone();
    match &mut one {
        Match::InInterface { negated, .. }
        | Match::ConnectionState { negated, .. }
        | Match::Protocol { negated, .. }
        | Match::PacketType { negated, .. }
        | Match::DestinationPort { negated, .. }
        | Match::Foreign(
            Foreign::Device { negated, .. }
            | Foreign::SourcePort { negated, .. }
            | Foreign::Mark { negated, .. }
            | Foreign::DestinationType { negated, .. }
            | Foreign::SourceType { negated, .. },
        ) => *negated = !*negated,
        Match::Source { addresses, negated } | Match::Destination { addresses, negated } => match addresses {
            Addresses::These(Elements::Ipv4(_) | Elements::Ipv6(_)) => *negated = !*negated,
            Addresses::Set(_) | Addresses::These(_) => return None,
        },
        Match::DestinationLocal => {
            one = Match::Foreign(Foreign::DestinationType { types: AddressTypes::LOCAL, negated: true });
        }
        _ => return None,
    }
    Some(one)
}
