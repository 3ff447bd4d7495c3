//! What rtnetlink(7) tells: interfaces, rules and routes, in the network namespace of the calling thread.

use std::net::IpAddr;

use nix::libc;

use crate::dialect::netlink::{Malformed, Message, Protocol, RequestError, Socket, Writer, attributes};
use crate::net::{Cidr, Refused, Turn};

/// linux/if_link.h, linux/fib_rules.h and linux/rtnetlink.h.
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_GROUP: u16 = 27;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_VRF_TABLE: u16 = 1;
const FRA_DST: u16 = 1;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_PAD: u16 = 18;
const FRA_PROTOCOL: u16 = 21;
const FRA_L3MDEV: u16 = 19;
const FIB_RULE_INVERT: u32 = 2;
const FR_ACT_TO_TBL: u8 = 1;
const RTA_DST: u16 = 1;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;
const RTA_OIF: u16 = 4;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;
/// RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW.
const REFUSING: [u8; 4] = [6, 7, 8, 9];
/// Those that are local, broadcast, anycast or multicast.
const OF_ITSELF: [u8; 4] = [RTN_LOCAL, 3, 4, 5];
/// The metric of the route that IPv6 takes where there is none (IP6_RT_PRIO_KERN is lower).
const LAST_METRIC: u32 = u32::MAX;
const RTA_PRIORITY: u16 = 6;
const RTNH_F_DEAD: u32 = 1;
/// RT_TABLE_DEFAULT, RT_TABLE_MAIN and RT_TABLE_LOCAL.
const DEFAULT: u32 = 253;
const MAIN: u32 = 254;
const LOCAL: u32 = 255;
/// Where its table is in a route, if that is a small number.
const ROUTE_TABLE: usize = 4;
/// Where its type is in a route.
const ROUTE_TYPE: usize = 7;
/// The bytes of `struct ifinfomsg`, and of `struct fib_rule_hdr` and `struct rtmsg`.
const LINK_HEADER: usize = 16;
const ROUTE_HEADER: usize = 12;
/// How often to read what changes meanwhile.
const ATTEMPTS: usize = 5;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutedLink {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The number of the interface that it is part of.
    pub master: Option<u32>,
    /// The number of another that it stands on, or whose other end it is, in this namespace.
    pub link: Option<u32>,
    /// Where it is a VRF: its routing table.
    pub vrf_table: Option<u32>,
    /// The number of its group, where the kernel tells.
    pub group: Option<u32>,
}

#[cfg(test)]
impl RoutedLink {
    /// One that stands on no other.
    pub fn alone(index: u32, name: &str, master: Option<u32>, vrf_table: Option<u32>) -> Self {
        Self { index, name: name.into(), master, link: None, vrf_table, group: Some(0) }
    }
}

/// A rule that decides which routing table is asked. Of its conditions only the interface is known here; with more of
/// them it applies to fewer packets than it is taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingRule {
    /// Whether it is for IPv4.
    pub ipv4: bool,
    /// The table; `None` for that of the packet's VRF.
    pub table: Option<u32>,
    /// The interface that the packet has to come in on.
    pub from: Option<String>,
    /// Whether it drops packets itself, refuses them, jumps over rules, or passes routes over that are not the default route.
    pub refuses: bool,
    /// Whether it is the very first.
    pub is_first: bool,
    /// Whether it is for every packet.
    pub is_for_all: bool,
}

/// A route by which this host takes packets for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalRoute {
    /// The routing table.
    pub table: u32,
    /// The destinations.
    pub destination: Cidr,
}

/// The destinations of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The prefix.
    pub destination: Cidr,
    /// Whether it is a single address of this host.
    pub is_own: bool,
}

/// The interfaces.
pub fn links(socket: &mut Socket) -> Result<Vec<RoutedLink>, RequestError> {
    let mut header = [0; LINK_HEADER];
    header[0] = libc::AF_UNSPEC as u8;
    dump(socket, libc::RTM_GETLINK, &header, |message| Ok(link(message)?.into_iter().collect()))
}

/// The rules of both families.
pub fn rules(socket: &mut Socket) -> Result<Vec<RoutingRule>, RequestError> {
    both_families(socket, libc::RTM_GETRULE, 0, rule)
}

/// The local routes of both families, of every table. The kernel picks them (from 4.20 on), so that a million other routes
/// cost nothing.
pub fn local_routes(socket: &mut Socket) -> Result<Vec<LocalRoute>, RequestError> {
    both_families(socket, libc::RTM_GETROUTE, RTN_LOCAL, local_route)
}

/// The destinations of the routes of both families, of every table.
pub fn route_destinations(socket: &mut Socket) -> Result<Vec<Destination>, RequestError> {
    both_families(socket, libc::RTM_GETROUTE, 0, |message| {
        let Some(destination) = destination(message, libc::RTM_NEWROUTE, RTA_DST)? else { return Ok(None) };
        let is_own = destination.is_host() && message.payload.get(ROUTE_TYPE) == Some(&RTN_LOCAL);
        Ok(Some(Destination { destination, is_own }))
    })
}

/// A route that leads to others, or nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By the interface with this number, of the table `main`; `None` where something else decides.
    By(Cidr, Option<u32>),
    /// Nothing is sent there to others; of any table.
    Refused(Refused),
}

/// The routes that lead to others, of both families.
pub fn ways(socket: &mut Socket) -> Result<Vec<Way>, RequestError> {
    both_families(socket, libc::RTM_GETROUTE, 0, |message| {
        let Some(to) = destination(message, libc::RTM_NEWROUTE, RTA_DST)? else { return Ok(None) };
        let mut table = message.payload.get(ROUTE_TABLE).map_or(0, |own| u32::from(*own));
        let (mut by, mut last) = (None, false);
        for found in attributes(message.payload.get(ROUTE_HEADER..).ok_or(Malformed)?) {
            match found? {
                (RTA_OIF, value) => by = Some(number(value)?),
                (RTA_TABLE, value) => table = number(value)?,
                (RTA_PRIORITY, value) => last = number(value)? == LAST_METRIC,
                _ => {}
            }
        }
        let turn = match table {
            LOCAL => Turn::First,
            MAIN => Turn::Main,
            _ => Turn::ByRule,
        };
        Ok(match message.payload.get(ROUTE_TYPE) {
            // Every host has a rule that looks into the table `default` behind `main`.
            Some(&RTN_UNICAST) if table == DEFAULT || (table == MAIN && is_special(message)) => Some(Way::By(to, None)),
            Some(&RTN_UNICAST) => (table == MAIN).then_some(Way::By(to, by)),
            Some(kind) if REFUSING.contains(kind) && !(last && to.prefix_length() == 0) => {
                Some(Way::Refused(Refused { to, turn, in_part: true }))
            }
            // This host's addresses are known from elsewhere.
            Some(&RTN_LOCAL) if to.is_host() && turn == Turn::First => None,
            Some(kind) if OF_ITSELF.contains(kind) => Some(Way::Refused(Refused { to, turn, in_part: false })),
            _ => None,
        })
    })
}

/// Whether a route is for some sources or some types of service only, or its interface is dead.
fn is_special(message: &Message<'_>) -> bool {
    let Some([_, _, from_bits, service, _, _, _, _, flags @ ..]) = message.payload.first_chunk::<ROUTE_HEADER>() else {
        return true;
    };
    *from_bits != 0 || *service != 0 || u32::from_ne_bytes(*flags) & RTNH_F_DEAD != 0
}

/// The destinations that rules name.
pub fn rule_destinations(socket: &mut Socket) -> Result<Vec<Cidr>, RequestError> {
    both_families(socket, libc::RTM_GETRULE, 0, |message| destination(message, libc::RTM_NEWRULE, FRA_DST))
}

/// The headers of routes and of rules begin alike.
fn destination(message: &Message<'_>, kind: u16, attribute: u16) -> Result<Option<Cidr>, Malformed> {
    if message.kind != kind {
        return Ok(None);
    }
    let [family, bits, ..]: [u8; ROUTE_HEADER] = *message.payload.first_chunk().ok_or(Malformed)?;
    let ipv4 = i32::from(family) == libc::AF_INET;
    let mut first = if ipv4 { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    for found in attributes(message.payload.get(ROUTE_HEADER..).ok_or(Malformed)?) {
        match found? {
            (own, value) if own == attribute => first = address(value)?,
            _ => {}
        }
    }
    Cidr::containing(first, bits).ok_or(Malformed).map(Some)
}

fn both_families<T>(
    socket: &mut Socket,
    kind: u16,
    route_type: u8,
    read: fn(&Message<'_>) -> Result<Option<T>, Malformed>,
) -> Result<Vec<T>, RequestError> {
    let mut all = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut header = [0; ROUTE_HEADER];
        header[0] = family as u8;
        header[7] = route_type;
        all.append(&mut dump(socket, kind, &header, |message| Ok(read(message)?.into_iter().collect()))?);
    }
    Ok(all)
}

fn dump<T>(
    socket: &mut Socket,
    kind: u16,
    header: &[u8],
    read: impl Fn(&Message<'_>) -> Result<Vec<T>, Malformed>,
) -> Result<Vec<T>, RequestError> {
    let mut attempts = ATTEMPTS;
    loop {
        let mut found = Vec::new();
        let request = |sequence| {
            let mut writer = Writer::with_capacity(64);
            let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
            writer.message(kind, flags, sequence, |writer| writer.raw(header));
            writer.bytes().to_vec()
        };
        let answer = socket.dump(request, |message| {
            found.append(&mut read(&message)?);
            Ok::<_, RequestError>(())
        });
        attempts -= 1;
        match answer {
            Err(RequestError::Interrupted) if attempts > 0 => {}
            other => return other.map(|()| found),
        }
    }
}

fn link(message: &Message<'_>) -> Result<Option<RoutedLink>, Malformed> {
    if message.kind != libc::RTM_NEWLINK {
        return Ok(None);
    }
    let index = number(message.payload.get(4..8).ok_or(Malformed)?)?;
    let mut link = RoutedLink { index, name: String::new(), master: None, link: None, vrf_table: None, group: None };
    let (mut kind, mut far) = (String::new(), false);
    for attribute in attributes(message.payload.get(LINK_HEADER..).ok_or(Malformed)?) {
        match attribute? {
            (IFLA_IFNAME, value) => link.name = text(value),
            (IFLA_MASTER, value) => link.master = Some(number(value)?),
            (IFLA_LINK, value) => link.link = Some(number(value)?).filter(|other| ![0, index].contains(other)),
            (IFLA_LINK_NETNSID, _) => far = true,
            (IFLA_GROUP, value) => link.group = Some(number(value)?),
            (IFLA_LINKINFO, value) => {
                link.vrf_table = vrf_table(value)?;
                kind = kind_of(value)?;
            }
            _ => {}
        }
    }
    // The other end of a cable is nothing that it stands on.
    link.link = link.link.filter(|_| !far && kind != "veth");
    Ok(Some(link))
}

fn kind_of(information: &[u8]) -> Result<String, Malformed> {
    for attribute in attributes(information) {
        if let (IFLA_INFO_KIND, value) = attribute? {
            return Ok(text(value));
        }
    }
    Ok(String::new())
}

fn vrf_table(information: &[u8]) -> Result<Option<u32>, Malformed> {
    let mut is_vrf = false;
    let mut table = None;
    for attribute in attributes(information) {
        match attribute? {
            (IFLA_INFO_KIND, value) => is_vrf = text(value) == "vrf",
            // The kind stands first; of other kinds the data mean something else.
            (IFLA_INFO_DATA, value) if is_vrf => {
                for own in attributes(value) {
                    if let (IFLA_VRF_TABLE, value) = own? {
                        table = Some(number(value)?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(table.filter(|_| is_vrf))
}

fn rule(message: &Message<'_>) -> Result<Option<RoutingRule>, Malformed> {
    if message.kind != libc::RTM_NEWRULE {
        return Ok(None);
    }
    let header: [u8; ROUTE_HEADER] = *message.payload.first_chunk().ok_or(Malformed)?;
    let [family, to_bits, from_bits, service, table, _, _, action, ..] = header;
    let refuses = action != FR_ACT_TO_TBL;
    let inverted = number(message.payload.get(8..12).ok_or(Malformed)?)? & FIB_RULE_INVERT != 0;
    let mut rule = RoutingRule {
        ipv4: i32::from(family) == libc::AF_INET,
        table: Some(table.into()),
        from: None,
        refuses,
        is_first: true,
        is_for_all: !inverted && [to_bits, from_bits, service] == [0; 3],
    };
    let mut of_vrf = false;
    for attribute in attributes(message.payload.get(ROUTE_HEADER..).ok_or(Malformed)?) {
        match attribute? {
            (FRA_TABLE, value) => rule.table = Some(number(value)?),
            (FRA_IIFNAME, value) if !inverted => {
                rule.from = Some(text(value));
                rule.is_for_all = false;
            }
            (FRA_L3MDEV, [1, ..]) => of_vrf = true,
            (FRA_PRIORITY, value) => rule.is_first = number(value)? == 0,
            (FRA_PAD | FRA_PROTOCOL, _) => {}
            // Without one, it is -1.
            (FRA_SUPPRESS_IFGROUP, value) => rule.refuses |= number(value)? != u32::MAX,
            (FRA_SUPPRESS_PREFIXLEN, value) => match number(value)? {
                // Without one.
                u32::MAX => {}
                // Passes over the default routes of a table that another rule looks into as a whole, or nobody.
                0 => rule.is_for_all = false,
                _ => rule.refuses = true,
            },
            // Conditions that are not looked at.
            _ => rule.is_for_all = false,
        }
    }
    if of_vrf {
        rule.table = None;
    }
    Ok(Some(rule))
}

fn local_route(message: &Message<'_>) -> Result<Option<LocalRoute>, Malformed> {
    let header: [u8; ROUTE_HEADER] = *message.payload.first_chunk().ok_or(Malformed)?;
    let [family, bits, _, _, table, _, _, kind, ..] = header;
    if message.kind != libc::RTM_NEWROUTE || kind != RTN_LOCAL {
        return Ok(None);
    }
    let mut table = u32::from(table);
    let ipv4 = i32::from(family) == libc::AF_INET;
    let mut first = if ipv4 { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    for attribute in attributes(message.payload.get(ROUTE_HEADER..).ok_or(Malformed)?) {
        match attribute? {
            (RTA_TABLE, value) => table = number(value)?,
            (RTA_DST, value) => first = address(value)?,
            _ => {}
        }
    }
    let destination = Cidr::containing(first, bits).ok_or(Malformed)?;
    Ok(Some(LocalRoute { table, destination }))
}

/// Whether a change of a route may be one of what is local by another table than `local`.
pub fn may_be_elsewhere(message: &Message<'_>) -> bool {
    const TABLE_LOCAL: u32 = 255;
    if message.payload.get(ROUTE_TYPE).is_some_and(|kind| *kind != RTN_LOCAL) {
        return false;
    }
    let table = attributes(message.payload.get(ROUTE_HEADER..).unwrap_or_default())
        .filter_map(Result::ok)
        .find_map(|(kind, value)| (kind == RTA_TABLE).then(|| number(value).ok())?);
    table != Some(TABLE_LOCAL)
}

/// The address that this host takes for packets to `destination`, as `ip route get` tells; `None` where there is no way to
/// it.
pub fn source_towards(socket: &mut Socket, destination: IpAddr) -> Result<Option<IpAddr>, RequestError> {
    let mut source = None;
    let request = |sequence, flags| {
        let (family, octets): (i32, Vec<u8>) = match destination {
            IpAddr::V4(own) => (libc::AF_INET, own.octets().to_vec()),
            IpAddr::V6(own) => (libc::AF_INET6, own.octets().to_vec()),
        };
        let mut writer = Writer::with_capacity(64);
        writer.message(libc::RTM_GETROUTE, flags, sequence, |writer| {
            let mut header = [0; ROUTE_HEADER];
            header[0] = family as u8;
            header[1] = (octets.len() * 8) as u8;
            writer.raw(&header);
            writer.attribute(RTA_DST, &octets);
        });
        writer.bytes().to_vec()
    };
    let answer = socket.ask(request, |message| {
        if message.kind != libc::RTM_NEWROUTE {
            return Ok(());
        }
        for attribute in attributes(message.payload.get(ROUTE_HEADER..).ok_or(Malformed)?) {
            if let (RTA_PREFSRC, value) = attribute? {
                source = Some(address(value)?);
            }
        }
        Ok(())
    });
    match answer {
        Ok(()) => Ok(source),
        Err(RequestError::Refused(refusal)) if is_no_way(refusal.errno) => Ok(None),
        Err(error) => Err(error),
    }
}

/// No route, or one that says no.
fn is_no_way(errno: nix::errno::Errno) -> bool {
    use nix::errno::Errno;
    matches!(errno, Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EACCES | Errno::ESRCH)
}

/// A socket for all of these.
pub fn open() -> Result<Socket, RequestError> {
    Ok(Socket::open(Protocol::Route)?)
}

fn number(value: &[u8]) -> Result<u32, Malformed> {
    value.first_chunk().copied().map(u32::from_ne_bytes).ok_or(Malformed)
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

fn address(value: &[u8]) -> Result<IpAddr, Malformed> {
    match (<[u8; 4]>::try_from(value), <[u8; 16]>::try_from(value)) {
        (Ok(v4), _) => Ok(v4.into()),
        (_, Ok(v6)) => Ok(v6.into()),
        (Err(_), Err(_)) => Err(Malformed),
    }
}
