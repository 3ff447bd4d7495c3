//! What interfaces say of themselves: XDP, route_localnet, and whether the other end is in another network namespace.

use std::fs;

use nix::libc;

use super::{Fact, Found, or_not_looked};
use crate::dialect::netlink::{Malformed, Message, Protocol, RequestError, Socket, Writer, attributes, find, text_of};

/// linux/if_link.h, linux/rtnetlink.h and linux/ip.h.
const IFLA_IFNAME: u16 = 3;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_INET_CONF: u16 = 1;
/// Counters are wanted by nobody, and cost most.
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
/// IPV4_DEVCONF_ROUTE_LOCALNET; the array begins with the one that has number 1.
const ROUTE_LOCALNET: usize = 26;
/// The bytes of `struct ifinfomsg`, and where the number of the interface is in it.
const HEADER: usize = 16;
const INDEX: usize = 4;
const ALL_LOCALNET: &str = "/proc/sys/net/ipv4/conf/all/route_localnet";
const REQUEST: &str = "RTM_GETLINK";
pub const LOOPBACK: u32 = 1;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    xdp: bool,
    route_localnet: bool,
    elsewhere: bool,
}

/// The interfaces, none where they are not told.
pub fn look(facts: &mut Vec<Fact>) -> Vec<Device> {
    let Some(devices) = or_not_looked(read(), "XDP and what else interfaces have", REQUEST, facts) else {
        return Vec::new();
    };
    let with = |has: fn(&Device) -> bool| -> Vec<String> {
        devices.iter().filter(|device| has(device)).map(|device| device.name.clone()).collect()
    };
    let xdp = with(|device| device.xdp);
    if !xdp.is_empty() {
        facts.push(Fact::new(Found::Xdp { interfaces: xdp }, REQUEST));
    }
    let elsewhere = with(|device| device.elsewhere);
    if !elsewhere.is_empty() {
        facts.push(Fact::new(Found::OtherNamespaces { interfaces: elsewhere }, REQUEST));
    }
    // 127.0.0.0/8 is at home on loopback, whatever that says there.
    let localnet = with(|device| device.route_localnet && device.index != LOOPBACK);
    if fs::read(ALL_LOCALNET).is_ok_and(|value| value.starts_with(b"1")) {
        facts.push(Fact::new(Found::RouteLocalnet { interfaces: Vec::new() }, ALL_LOCALNET));
    } else if !localnet.is_empty() {
        facts.push(Fact::new(Found::RouteLocalnet { interfaces: localnet }, REQUEST));
    }
    devices
}

fn read() -> Result<Vec<Device>, RequestError> {
    let mut socket = Socket::open(Protocol::Route)?;
    let mut found = Vec::new();
    let request = |sequence| {
        let mut writer = Writer::with_capacity(64);
        writer.message(libc::RTM_GETLINK, (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16, sequence, |writer| {
            writer.raw(&[0; HEADER]);
            writer.attribute(IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
        });
        writer.into_bytes()
    };
    socket.dump(request, |message| {
        found.extend(device(&message)?);
        Ok::<_, RequestError>(())
    })?;
    found.sort_by(|one: &Device, other| one.name.cmp(&other.name));
    Ok(found)
}

pub(super) fn device(message: &Message<'_>) -> Result<Option<Device>, Malformed> {
    if message.kind != libc::RTM_NEWLINK {
        return Ok(None);
    }
    let index = message.payload.get(INDEX..).and_then(<[u8]>::first_chunk).ok_or(Malformed)?;
    let mut device = Device {
        index: u32::from_ne_bytes(*index),
        name: String::new(),
        xdp: false,
        route_localnet: false,
        elsewhere: false,
    };
    for attribute in attributes(message.payload.get(HEADER..).ok_or(Malformed)?) {
        match attribute? {
            (IFLA_IFNAME, value) => device.name = text_of(value),
            (IFLA_XDP, value) => device.xdp = find(value, IFLA_XDP_ATTACHED)?.is_some_and(|mode| mode != [0]),
            (IFLA_LINK_NETNSID, _) => device.elsewhere = true,
            (IFLA_AF_SPEC, value) => device.route_localnet = route_localnet(value)?,
            _ => {}
        }
    }
    Ok(Some(device))
}

fn route_localnet(families: &[u8]) -> Result<bool, Malformed> {
    let Some(ipv4) = find(families, libc::AF_INET as u16)? else { return Ok(false) };
    let Some(settings) = find(ipv4, IFLA_INET_CONF)? else { return Ok(false) };
    let own = settings.chunks_exact(4).nth(ROUTE_LOCALNET - 1);
    Ok(own.is_some_and(|value| value != [0; 4]))
}
