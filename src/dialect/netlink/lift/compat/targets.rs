//! Targets of iptables → what they do (linux/netfilter/xt_NAME.h, linux/netfilter/nf_nat.h).

use std::net::IpAddr;

use super::super::super::constants::*;
use super::super::program::Program;
use super::Info;
use crate::dialect::helpers;
use crate::dialect::xtables::target;
use crate::ir::{Destined, Family, Field, Marking, Reject, Statement, Tracking, Translation, Verdict};

/// What a target does.
pub enum Does {
    Statements(Vec<Statement>),
    Decides(Verdict),
}

/// What a target of a name does.
pub fn of(program: &Program<'_>, name: &str, revision: u32, info: Info<'_>) -> Does {
    let family = program.ip;
    let statement = match name {
        "REJECT" => return Does::Decides(Verdict::Reject(reject(info, family))),
        "SET" => return Does::Statements(sets(program, revision, info)),
        "CT" => {
            return match track(info) {
                Some(found) => Does::Statements(found),
                None => Does::Decides(Verdict::Unknown("-j CT".to_owned())),
            };
        }
        "CONNMARK" => connection_mark(revision, info),
        "MARK" => Some(mark(revision, info)),
        "LOG" | "NFLOG" | "ULOG" => Some(Statement::Log(prefix(name, info))),
        other => match target(other) {
            Some(Statement::Translate(kind, _)) if kind != Translation::Network => {
                Some(Statement::Translate(kind, destined(name, revision, info, family)))
            }
            found => found,
        },
    };
    match statement {
        Some(statement) => Does::Statements(vec![statement]),
        None => Does::Decides(Verdict::Unknown(format!("-j {name}"))),
    }
}

/// struct ipt_reject_info and ip6t_reject_info: a number.
fn reject(info: Info<'_>, family: Option<Family>) -> Reject {
    let reset = if family == Some(Family::Ip6) { 6 } else { 7 };
    if info.u32(0) == Some(reset) { Reject::TcpReset } else { Reject::Icmp }
}

/// The level, flags and 30 bytes of text; NFLOG has 64 of them behind lengths and groups.
fn prefix(name: &str, info: Info<'_>) -> String {
    let text = match name {
        "LOG" => info.text(2, 30),
        "NFLOG" => info.text(12, 64),
        _ => None,
    };
    super::fit(&text.unwrap_or_default())
}

/// struct xt_ct_target_info: not to be tracked, or in a zone (whose number may be the mark, or of one direction), or with a
/// helper (16 bytes of text behind two masks of events), or with timeouts (32 bytes), which may be none at all.
fn track(info: Info<'_>) -> Option<Vec<Statement>> {
    let (flags, zone) = (info.u16(0)?, info.u16(2)?);
    if flags & 1 != 0 {
        return Some(vec![Statement::NoTrack]);
    }
    let how = match info.text(12, 16).as_deref() {
        Some("") => Tracking::Detail,
        Some(name) => helpers::tracking(name, None),
        None => Tracking::Expecting,
    };
    // Revision 0 has none, and nothing in this place.
    let timed = info.bytes(28, 1).is_some_and(|first| first != [0]);
    Some(helpers::tracked(how, (flags & 28, zone) != (0, 0) || timed))
}

/// struct xt_mark_tginfo2: a number and a mask.
fn mark(revision: u32, info: Info<'_>) -> Statement {
    let numbers = info.u32(0).zip(info.u32(4)).filter(|_| revision == 2);
    let how = numbers.map_or(Marking::Unknown, |(value, mask)| Marking::exchanged(mask, value));
    Statement::Write { field: Field::Mark(how), constant: true }
}

/// struct xt_connmark_tginfo1 and 2: three numbers, in the second how they are shifted, and whether the connection's mark is set, saved
/// from the packet's, or given to the packet.
fn connection_mark(revision: u32, info: Info<'_>) -> Option<Statement> {
    let mode = match revision {
        1 => 12,
        2 => 14,
        _ => return None,
    };
    let field = match info.u8(mode)? {
        0 | 1 => Field::Connection,
        2 => Field::Mark(Marking::Unknown),
        _ => return None,
    };
    Some(Statement::Write { field, constant: true })
}

/// What no set of ipset is called here, see `named_set`: it may be any of them. As names are escaped, this one is
/// nobody's.
pub const UNNAMED: &str = "ipset_x2d";

/// struct xt_set_info_target_v1 to v3: sets to add to, to take from, and (v3) to look into, each by its number.
fn sets(program: &Program<'_>, revision: u32, info: Info<'_>) -> Vec<Statement> {
    const NONE: u16 = u16::MAX;
    let unnamed = || {
        let mark = Statement::Write { field: Field::Mark(Marking::Unknown), constant: false };
        vec![Statement::Update { set: UNNAMED.to_owned() }, mark]
    };
    let places: &[usize] = match revision {
        1 | 2 => &[0, 4],
        3 => &[0, 4, 8],
        _ => return unnamed(),
    };
    let Some(numbers) = places.iter().map(|at| info.u16(*at)).collect::<Option<Vec<u16>>>() else { return unnamed() };
    let name = |number: u16| {
        let known = super::named_set(program, number).map(str::to_owned);
        known.unwrap_or_else(|| format!("{UNNAMED}{number}"))
    };
    // What the last has of the packet's mark may be given to it.
    let mapped = numbers.get(2).is_some_and(|number| *number != NONE);
    let write = mapped.then_some(Statement::Write { field: Field::Mark(Marking::Unknown), constant: false });
    let named = numbers.into_iter().filter(|number| *number != NONE);
    named.map(|number| Statement::Update { set: name(number) }).chain(write).collect()
}

/// Where a translation leads to: struct nf_nat_ipv4_multi_range_compat in the oldest form for IPv4, nf_nat_range and
/// nf_nat_range2 in all others.
fn destined(name: &str, revision: u32, info: Info<'_>, family: Option<Family>) -> Destined {
    let old = match (name, family, revision) {
        (_, Some(Family::Ip), 0) => Some(true),
        (_, Some(Family::Ip6), 0) | ("SNAT" | "DNAT", Some(Family::Ip | Family::Ip6), 1) => Some(false),
        ("DNAT", Some(Family::Ip | Family::Ip6), 2) => Some(false),
        _ => None,
    };
    let found = match old {
        Some(true) => one_range(info),
        Some(false) => address_range(info, family == Some(Family::Ip6)),
        None => None,
    };
    found.unwrap_or(Destined::Unknown)
}

fn of_flags(flags: u32, addresses: (IpAddr, IpAddr), ports: (u16, u16)) -> Option<Destined> {
    let addresses = Some(addresses).filter(|_| flags & NF_NAT_RANGE_MAP_IPS != 0);
    let ports = Some(ports).filter(|_| flags & NF_NAT_RANGE_PROTO_SPECIFIED != 0);
    let fine = addresses.is_none_or(|(first, last)| first <= last)
        && ports.is_none_or(|(first, last)| first <= last)
        && flags & NF_NAT_RANGE_NETMAP == 0;
    fine.then_some(Destined::To { addresses, ports })
}

/// How many ranges (always one), flags, lowest and highest address, lowest and highest port.
fn one_range(info: Info<'_>) -> Option<Destined> {
    let addresses = (IpAddr::from(info.array::<4>(8)?), IpAddr::from(info.array::<4>(12)?));
    let ports = (info.port(16)?, info.port(18)?);
    (info.u32(0)? == 1).then_some(())?;
    of_flags(info.u32(4)?, addresses, ports)
}

/// Flags, lowest and highest address of 16 bytes each, lowest and highest port.
fn address_range(info: Info<'_>, ipv6: bool) -> Option<Destined> {
    let address = |at: usize| -> Option<IpAddr> {
        if ipv6 { info.array::<16>(at).map(IpAddr::from) } else { info.array::<4>(at).map(IpAddr::from) }
    };
    of_flags(info.u32(0)?, (address(4)?, address(20)?), (info.port(36)?, info.port(38)?))
}
