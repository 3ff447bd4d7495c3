//! Matches of iptables → tests (linux/netfilter/xt_NAME.h, linux/netfilter_ipv4, linux/netfilter_ipv6).

use super::super::finish::Alternatives;
use super::super::matches::other_flags;
use super::super::ports;
use super::super::program::Program;
use super::Info;
use crate::ir::{
    AddressTypes, Addresses, ConnectionStates, Elements, End, Family, Foreign, Marked, Match, PacketTypes, PortBlock,
    PortMatch, TcpFlags, Varying,
};
use crate::net::PortRange;

/// All ports there are.
const EVERY: (u16, u16) = (0, u16::MAX);

/// The tests of a match, each a list of alternatives; `None` where nothing is known of it.
pub fn of(program: &Program<'_>, name: &str, revision: u32, info: Info<'_>) -> Option<Vec<Alternatives>> {
    let one = |found: Match| vec![vec![vec![found]]];
    match (name, revision) {
        ("tcp", 0) if program.tcp => tcp(info),
        ("udp" | "udplite", 0) => udp(info),
        ("multiport", 1) if program.tcp => multiport(info).map(one),
        ("addrtype", 0) => {
            let source = (info.u16(0)?, info.u32(4)? != 0);
            address_types(program.ip?, source, (info.u16(2)?, info.u32(8)? != 0), 0)
        }
        ("addrtype", 1) => {
            let flags = info.u32(4)?;
            let source = (info.u16(0)?, flags & 1 != 0);
            address_types(program.ip?, source, (info.u16(2)?, flags & 2 != 0), flags)
        }
        ("conntrack", 1..=3) => connection(revision, info),
        ("set", 1..=4) => set(program, revision, info).map(one),
        ("state", 0) => {
            let states = states(info.u32(0)?, 0x40)?;
            Some(one(Match::ConnectionState { states, negated: false }))
        }
        ("mark", 1) => mark(Marked::Packet, info).map(one),
        ("connmark", 1) => mark(Marked::Connection, info).map(one),
        ("limit", 0) => {
            info.bytes(0, 8)?;
            // The average and the burst; what is behind them counts by itself.
            let other = || Match::varies(Varying::Rate, &format!("-m limit {:?}", (info.u32(0), info.u32(4))));
            Some(one(limit(info).unwrap_or_else(other)))
        }
        ("pkttype", 0) => {
            let types = PacketTypes(1_u8.checked_shl(info.u32(0).filter(|kind| *kind < 4)?)?);
            Some(one(Match::PacketType { types, negated: info.u32(4)? != 0 }))
        }
        ("iprange", 1) => ranges(program.ip?, info),
        ("rpfilter", 0) => {
            // Loose, by the packet's mark, local sources as well, turned round.
            let flags = info.u8(0)?;
            let way = Foreign::WayBack { same_interface: flags & 1 == 0, missing: flags & 8 != 0 };
            (flags & !11 == 0).then(|| one(Match::Foreign(way)))
        }
        // What they say of the header is not known, but that there is one.
        ("rt" | "hbh" | "dst", 0) => {
            let header = Match::Foreign(Foreign::ExtensionHeader(format!("-m {name}")));
            Some(vec![vec![vec![header]], vec![vec![Match::Unknown(format!("-m {name}"))]]])
        }
        ("frag", 0) if program.ip == Some(Family::Ip6) => first_fragment(info).map(one),
        _ => None,
    }
}

/// Bits that say which tests are turned round.
fn bit(flags: u8, bit: u8) -> bool {
    flags >> bit & 1 == 1
}

/// struct xt_tcp: two ranges of ports, an option, flags and their mask, what is turned round.
fn tcp(info: Info<'_>) -> Option<Vec<Alternatives>> {
    let (sources, destinations) = ((info.u16(0)?, info.u16(2)?), (info.u16(4)?, info.u16(6)?));
    let (option, mask, value, turned) = (info.u8(8)?, info.u8(9)?, info.u8(10)?, info.u8(11)?);
    let (mut tests, mut flags) = (Vec::new(), None);
    if sources != EVERY || bit(turned, 0) {
        tests.push(ports::source(&[range(sources)?], bit(turned, 0)));
    }
    if destinations != EVERY || bit(turned, 1) {
        tests.push(ports::destination(&[range(destinations)?], bit(turned, 1)));
    }
    match (mask, value, bit(turned, 2)) {
        (0, 0, false) => {}
        (_, _, false) => tests.push(Match::TcpFlags { mask: TcpFlags(mask), value: TcpFlags(value) }),
        (1.., _, true) if value & !mask == 0 => flags = Some(other_flags(mask, value)),
        (_, _, true) => tests.push(Match::Unknown("-m tcp ! --tcp-flags".to_owned())),
    }
    if option != 0 || bit(turned, 3) {
        tests.push(Match::Unknown("-m tcp --tcp-option".to_owned()));
    }
    if tests.is_empty() && flags.is_none() {
        tests.push(ANY_PORT);
    }
    Some(tests.into_iter().map(|one| vec![vec![one]]).chain(flags).collect())
}

/// Its header is looked for.
const ANY_PORT: Match = Match::PortBlock(PortBlock { first: 0, bits: 0 });

fn range(range: (u16, u16)) -> Option<(u16, u16)> {
    Some(range).filter(|(first, last)| first <= last)
}

/// struct xt_udp: the same without flags.
fn udp(info: Info<'_>) -> Option<Vec<Alternatives>> {
    let (sources, destinations) = ((info.u16(0)?, info.u16(2)?), (info.u16(4)?, info.u16(6)?));
    let turned = info.u8(8)?;
    let mut tests = Vec::new();
    if sources != EVERY || bit(turned, 0) {
        tests.push(vec![vec![Match::Unknown("-m udp --sport".to_owned())]]);
    }
    if destinations != EVERY || bit(turned, 1) {
        let blocks = ports::blocks(destinations.0, destinations.1).filter(|_| !bit(turned, 1));
        tests.push(blocks.unwrap_or_else(|| vec![vec![Match::Unknown("-m udp --dport".to_owned())]]));
    }
    if tests.is_empty() {
        tests.push(vec![vec![ANY_PORT]]);
    }
    Some(tests)
}

/// struct xt_multiport_v1: which ports, how many, up to 15, which of them begin a range, turned round.
fn multiport(info: Info<'_>) -> Option<Match> {
    let (of, count, turned) = (info.u8(0)?, info.u8(1)?, info.u8(47)? != 0);
    let (mut list, mut at) = (Vec::new(), 0);
    while at < usize::from(count.min(15)) {
        let first = info.u16(2 + 2 * at)?;
        let begins = info.u8(32 + at)? != 0;
        at += usize::from(begins);
        let last = if begins { info.u16(2 + 2 * at).filter(|_| at < 15)? } else { first };
        list.push(range((first, last))?);
        at += 1;
    }
    match of {
        0 if !list.is_empty() => Some(ports::source(&list, turned)),
        1 if !list.is_empty() => Some(ports::destination(&list, turned)),
        _ => None,
    }
}

/// struct xt_addrtype_info(_v1): kinds of addresses, a bit each, of the source and of the destination, and which of the two is
/// turned round. Of `flags` 4 and 8 are what the interface has to say.
fn address_types(
    family: Family,
    (source, source_turned): (u16, bool),
    (destination, turned): (u16, bool),
    flags: u32,
) -> Option<Vec<Alternatives>> {
    const LOCAL: u16 = 1 << 2;
    let mut tests = Vec::new();
    if source != 0 {
        let types = kinds_of_addresses(family, source).filter(|_| flags & 12 == 0)?;
        tests.push(Match::Foreign(Foreign::SourceType { types, negated: source_turned }));
    }
    match (destination, turned, flags & 12) {
        (0, ..) => {}
        (LOCAL, false, 4) => tests.push(Match::DestinationOfInterface),
        (LOCAL, false, 0) => tests.push(Match::DestinationLocal),
        (_, _, 0) => {
            let types = kinds_of_addresses(family, destination)?;
            tests.push(Match::Foreign(Foreign::DestinationType { types, negated: turned }));
        }
        _ => return None,
    }
    (!tests.is_empty()).then(|| tests.into_iter().map(|one| vec![vec![one]]).collect())
}

fn kinds_of_addresses(family: Family, bits: u16) -> Option<AddressTypes> {
    const KINDS: [(u16, AddressTypes); 5] = [
        (1 << 1, AddressTypes::UNICAST),
        (1 << 2, AddressTypes::LOCAL),
        (1 << 3, AddressTypes::BROADCAST),
        (1 << 4, AddressTypes::ANYCAST),
        (1 << 5, AddressTypes::MULTICAST),
    ];
    let known = KINDS.iter().fold(0, |all, (bit, _)| all | bit);
    let types = KINDS.iter().filter(|(bit, _)| bits & bit != 0);
    let types = types.fold(AddressTypes::default(), |all, (_, one)| all.with(*one));
    // To IPv6 some kinds are classes of addresses, and all that are asked for have to fit (xt_addrtype.c, match_type6).
    let plain = family == Family::Ip || types == AddressTypes::LOCAL || types == AddressTypes::MULTICAST;
    (plain && bits & !known == 0).then_some(types)
}

/// Bits of connection tracking's states; `untracked` is the one of that state.
fn states(bits: u32, untracked: u32) -> Option<ConnectionStates> {
    let plain = bits & 15;
    let all = plain | untracked;
    let states = ConnectionStates(u8::try_from(plain).ok()?);
    let states = if bits & untracked != 0 { states.with(ConnectionStates::UNTRACKED) } else { states };
    (bits != 0 && bits & !all == 0).then_some(states)
}

/// struct xt_conntrack_mtinfo1 to 3: eight addresses and masks, when it runs out, the protocol, four ports, what is looked at,
/// what is turned round, states, status, and in the last one where ranges of ports end.
fn connection(revision: u32, info: Info<'_>) -> Option<Vec<Alternatives>> {
    const STATE: u16 = 1;
    const DIRECTION: u16 = 1 << 12;
    const ORIGINAL_PORT: u16 = 1 << 9;
    const ALIAS: u16 = 1 << 13;
    let (asked, turned) = (info.u16(146)? & !ALIAS, info.u16(148)?);
    let bits = if revision == 1 { u32::from(info.u8(150)?) } else { u32::from(info.u16(150)?) };
    // The rest of the structure has to be there, too.
    info.bytes(0, if revision == 3 { 162 } else { 152 })?;
    let one = |found: Match| vec![vec![found]];
    let unknown = || one(Match::varies(Varying::Connection, &format!("-m conntrack {:?}", info.0)));
    let state = || connection_states(revision, bits, turned & STATE != 0).unwrap_or_else(unknown);
    let reply = turned & DIRECTION != 0;
    Some(match asked {
        STATE => vec![state()],
        DIRECTION => vec![one(Match::Foreign(Foreign::Direction { reply }))],
        _ if asked == STATE | DIRECTION && bits == DNAT && turned & (STATE | DIRECTION) == 0 && revision > 1 => {
            vec![one(Match::DestinationTranslated)]
        }
        // Without a connection nothing behind the state is looked at.
        _ if asked & STATE != 0 => vec![state(), unknown()],
        ORIGINAL_PORT if turned & ORIGINAL_PORT == 0 => {
            let (first, last) =
                if revision == 3 { (info.u16(140)?, info.u16(156)?) } else { (info.port(140)?, info.port(140)?) };
            let ports = [PortRange::new(first, last)?].into_iter().collect();
            vec![one(Match::OriginalPort(PortMatch::Ports(ports)))]
        }
        _ => vec![unknown()],
    })
}

/// Not states, but asked for with them: the source, or the destination, of the connection was translated.
const SNAT: u32 = 0x40;
const DNAT: u32 = 0x80;

/// Any of these states, or one of the two translations; `None` where some are not known.
fn connection_states(revision: u32, bits: u32, negated: bool) -> Option<Alternatives> {
    if revision == 1 {
        let states = states(bits, 0)?;
        return Some(vec![vec![Match::ConnectionState { states, negated }]]);
    }
    let mut tests = Vec::new();
    let plain = bits & !(SNAT | DNAT);
    if plain != 0 {
        tests.push(Match::ConnectionState { states: states(plain, 0x100)?, negated });
    }
    for (bit, end) in [(SNAT, End::Source), (DNAT, End::Destination)] {
        if bits & bit != 0 {
            tests.push(Match::Foreign(Foreign::Translated { end, negated }));
        }
    }
    if tests.is_empty() {
        return None;
    }
    // Turned round, none of them may hold.
    Some(if negated { vec![tests] } else { tests.into_iter().map(|one| vec![one]).collect() })
}

/// IPSET_DIM_MAX.
const MOST_FIELDS: u8 = 6;

/// struct xt_set_info_match_v1, v3 and v4: the set's number, how many of its fields, which of them are of the source and whether
/// it is turned round; newer ones, what counters have to be.
fn set(program: &Program<'_>, revision: u32, info: Info<'_>) -> Option<Match> {
    // Whether it counts says nothing of whom it holds for (IPSET_FLAG_SKIP_COUNTER_UPDATE, …_SUBCOUNTER_UPDATE).
    let counts = |flags: u32| flags & !(8 | 16) == 0;
    let (number, fields, flags) = (info.u16(0)?, info.u8(2)?, info.u8(3)?);
    let plain = match revision {
        1 | 2 => true,
        // A number of eight bytes stands elsewhere on smaller machines.
        3 if cfg!(target_pointer_width = "64") => info.u8(8)? == 0 && info.u8(24)? == 0 && counts(info.u32(40)?),
        4 => info.u8(16)? == 0 && info.u8(32)? == 0 && counts(info.u32(40)?),
        _ => false,
    };
    // Bit 0 turns the test round, and a bit for each field that is of the source follows.
    if !plain || !(1..=MOST_FIELDS).contains(&fields) || u16::from(flags) >> (fields + 1) != 0 {
        return None;
    }
    let set = super::named_set(program, number)?.to_owned();
    let negated = bit(flags, 0);
    let end = |field| if bit(flags, field) { End::Source } else { End::Destination };
    Some(match (1..=fields).map(end).collect::<Vec<End>>().as_slice() {
        [End::Source] => Match::Source { addresses: Addresses::Set(set), negated },
        [End::Destination] => Match::Destination { addresses: Addresses::Set(set), negated },
        ends => Match::Foreign(Foreign::Endpoint { set, ends: ends.to_vec(), negated }),
    })
}

/// struct xt_mark_mtinfo1, and the same of a connection.
fn mark(of: Marked, info: Info<'_>) -> Option<Match> {
    let (value, mask, negated) = (info.u32(0)?, info.u32(4)?, info.u8(8)? != 0);
    Some(Match::Foreign(Foreign::Mark { of, mask, value, negated }))
}

/// struct xt_rateinfo: how long a packet costs, in ten thousandths of a second, and how many are free.
fn limit(info: Info<'_>) -> Option<Match> {
    const MINUTE: u32 = 60 * 10_000;
    let (average, burst) = (info.u32(0)?, info.u32(4)?);
    let per_minute = MINUTE.checked_div(average).filter(|count| count * average == MINUTE)?;
    Some(Match::Limit { per_minute, burst })
}

/// struct xt_iprange_mtinfo: lowest and highest source, the same of the destination, each of 16 bytes, and what is asked.
fn ranges(family: Family, info: Info<'_>) -> Option<Vec<Alternatives>> {
    let flags = info.u8(64)?;
    let between = |at: usize| {
        Some(Addresses::These(match family {
            Family::Ip => {
                let ends = (u32::from_be_bytes(info.array(at)?), u32::from_be_bytes(info.array(at + 16)?));
                Elements::ipv4(vec![Some(ends).filter(|(first, last)| first <= last)?])
            }
            Family::Ip6 => {
                let ends = (u128::from_be_bytes(info.array(at)?), u128::from_be_bytes(info.array(at + 16)?));
                Elements::ipv6(vec![Some(ends).filter(|(first, last)| first <= last)?])
            }
            Family::Inet | Family::Netdev => return None,
        }))
    };
    let mut tests = Vec::new();
    if bit(flags, 0) {
        tests.push(Match::Source { addresses: between(0)?, negated: bit(flags, 4) });
    }
    if bit(flags, 1) {
        tests.push(Match::Destination { addresses: between(32)?, negated: bit(flags, 5) });
    }
    (!tests.is_empty()).then(|| tests.into_iter().map(|one| vec![vec![one]]).collect())
}

/// struct ip6t_frag: two numbers of fragments, a length, what is asked, what is turned round.
fn first_fragment(info: Info<'_>) -> Option<Match> {
    let (first, last) = (info.u32(0)?, info.u32(4)?);
    let (flags, turned) = (info.u8(12)?, info.u8(13)?);
    // Any number, and that it is the first one.
    let plain = flags & !1 == 8 && (first, last) == (0, u32::MAX) && turned == 0;
    plain.then_some(Match::FirstFragment)
}
