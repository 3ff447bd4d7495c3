//! An element of a set of ipset, from its attributes.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use super::byte;
use crate::dialect::ipset::content::{Range, v4_network, v6_network};
use crate::dialect::ipset::element::{device, told};
use crate::dialect::ipset::several::Tuple;
use crate::dialect::netlink::attributes::{Malformed, attributes, text_of, u32_of};
use crate::dialect::netlink::constants::*;

/// A port, with the number of its protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Port {
    pub port: Option<u16>,
    pub protocol: Option<u8>,
}

impl Port {
    /// The port where it is one of TCP; `Some(None)` where it is one of another protocol that is known.
    fn known(self) -> Option<Option<u16>> {
        let port = self.port?;
        match self.protocol? {
            6 => Some(Some(port)),
            // ICMP, UDP, ICMPv6, SCTP, UDPLite (IANA).
            1 | 17 | 58 | 132 | 136 => Some(None),
            _ => None,
        }
    }
}

/// What netlink says of an element.
#[derive(Debug, Default)]
pub(super) struct Element {
    address: Option<IpAddr>,
    prefix: Option<u8>,
    pub endpoint: Option<Port>,
    second: Option<IpAddr>,
    second_prefix: Option<u8>,
    interface: Option<String>,
    mac: Option<[u8; 6]>,
    mark: Option<u32>,
    /// The name of another set.
    pub set: Option<String>,
    /// Whether it has a time.
    pub passing: bool,
    /// Whether it is excepted from larger ones.
    pub excepted: bool,
    /// Whether the interface is any that begins so.
    wildcard: bool,
    /// Whether it is that of a bridge's port.
    bridged: bool,
    /// What more it has.
    pub doubt: Option<Cow<'static, str>>,
}

impl Element {
    pub fn of(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut element = Self::default();
        for attribute in attributes(bytes) {
            let (kind, value) = attribute?;
            match kind {
                IPSET_ATTR_IP => element.address = Some(address(value)?),
                IPSET_ATTR_CIDR => element.prefix = Some(byte(value)?),
                IPSET_ATTR_IP2 => element.second = Some(address(value)?),
                IPSET_ATTR_CIDR2 => element.second_prefix = Some(byte(value)?),
                IPSET_ATTR_PORT => {
                    let port = <[u8; 2]>::try_from(value).map_err(|_| Malformed)?;
                    element.endpoint.get_or_insert_default().port = Some(u16::from_be_bytes(port));
                }
                IPSET_ATTR_PROTO => element.endpoint.get_or_insert_default().protocol = Some(byte(value)?),
                IPSET_ATTR_IFACE => element.interface = Some(text_of(value)),
                IPSET_ATTR_ETHER => element.mac = Some(value.try_into().map_err(|_| Malformed)?),
                IPSET_ATTR_MARK => element.mark = Some(u32_of(value)?),
                IPSET_ATTR_BYTES | IPSET_ATTR_PACKETS | IPSET_ATTR_COMMENT | IPSET_ATTR_SKBMARK
                | IPSET_ATTR_SKBPRIO | IPSET_ATTR_SKBQUEUE | IPSET_ATTR_PAD => {}
                IPSET_ATTR_CADT_FLAGS => element.flags(u32_of(value)?),
                IPSET_ATTR_TIMEOUT => element.passing = true,
                IPSET_ATTR_NAME => element.set = Some(text_of(value)),
                other => element.doubt(format!("attribute {other}")),
            }
        }
        Ok(element)
    }

    fn doubt(&mut self, doubt: String) {
        self.doubt.get_or_insert(doubt.into());
    }

    fn flags(&mut self, flags: u32) {
        self.excepted |= flags & IPSET_FLAG_NOMATCH != 0;
        self.wildcard |= flags & IPSET_FLAG_IFACE_WILDCARD != 0;
        self.bridged |= flags & IPSET_FLAG_PHYSDEV != 0;
        let rest = flags & !(IPSET_FLAG_NOMATCH | IPSET_FLAG_IFACE_WILDCARD | IPSET_FLAG_PHYSDEV);
        if rest != 0 {
            self.doubt(format!("flags {rest:#x}"));
        }
    }

    pub fn range(&self) -> Option<Range> {
        network(self.address?, self.prefix)
    }

    /// Whether it has more than an address, a port or a name.
    pub fn is_of_more(&self) -> bool {
        let second = self.second.is_some() || self.second_prefix.is_some();
        second || self.interface.is_some() || self.mac.is_some() || self.mark.is_some() || self.wildcard || self.bridged
    }

    /// The same as one of several parts; `None` where a part makes no sense.
    pub fn tuple(&self) -> Option<Tuple> {
        let alone = self.wildcard && self.interface.is_none();
        if self.set.is_some() || self.bridged || alone || (self.mac.is_some() && self.mark.is_some()) {
            return None;
        }
        let first = self.address.map(|address| network(address, self.prefix).ok_or(())).transpose().ok()?;
        let second = self.second.map(|address| network(address, self.second_prefix).ok_or(())).transpose().ok()?;
        let port = self.endpoint.map(|port| port.known().ok_or(())).transpose().ok()?;
        let interface = self.interface.as_ref().map(|name| device(name, self.wildcard).ok_or(())).transpose().ok()?;
        Some(Tuple { first, second, port, interface, other: self.other(first), excepted: self.excepted })
    }

    /// The MAC or the mark.
    fn other(&self, first: Option<Range>) -> Option<String> {
        if let Some(mark) = self.mark {
            return Some(told(first, &format!("{mark:#x}")));
        }
        let [a, b, c, d, e, f] = self.mac?;
        Some(told(first, &format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")))
    }
}

/// An address with those beside it.
fn network(address: IpAddr, prefix: Option<u8>) -> Option<Range> {
    let prefix = |longest: u8| prefix.or(Some(longest)).filter(|own| *own <= longest).map(u32::from);
    Some(match address {
        IpAddr::V4(own) => Range::V4(v4_network(own.to_bits(), prefix(32)?)),
        IpAddr::V6(own) => Range::V6(v6_network(own.to_bits(), prefix(128)?)),
    })
}

/// As `ipset save` has it.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, &self.set) {
            (Some(address), _) => write!(f, "{address}")?,
            (None, Some(set)) => write!(f, "{set}")?,
            (None, None) => f.write_str("a member without an address")?,
        }
        if let Some(prefix) = self.prefix.filter(|own| self.address.is_none_or(|address| *own != longest(address))) {
            write!(f, "/{prefix}")?;
        }
        if let Some(Port { port, protocol }) = self.endpoint {
            let shown = |number: Option<u16>| number.map_or("?".to_owned(), |number| number.to_string());
            write!(f, ",{}:{}", shown(protocol.map(u16::from)), shown(port))?;
        }
        if let Some(second) = self.second {
            write!(f, ",{second}")?;
        }
        if let Some(prefix) = self.second_prefix.filter(|own| self.second.is_none_or(|second| *own != longest(second)))
        {
            write!(f, "/{prefix}")?;
        }
        if let Some(name) = &self.interface {
            write!(f, ",{}{name}", if self.bridged { "physdev:" } else { "" })?;
        }
        if let Some(other) = self.other(None) {
            write!(f, ",{other}")?;
        }
        if self.wildcard {
            f.write_str(" wildcard")?;
        }
        if self.excepted {
            f.write_str(" nomatch")?;
        }
        if self.passing {
            f.write_str(" timeout")?;
        }
        self.doubt.iter().try_for_each(|doubt| write!(f, " {doubt}"))
    }
}

fn longest(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// An address inside of an attribute, by its family.
fn address(value: &[u8]) -> Result<IpAddr, Malformed> {
    let mut all = attributes(value);
    let found = match all.next().ok_or(Malformed)?? {
        (IPSET_ATTR_IPADDR_IPV4, own) => <[u8; 4]>::try_from(own).map(IpAddr::from),
        (IPSET_ATTR_IPADDR_IPV6, own) => <[u8; 16]>::try_from(own).map(IpAddr::from),
        _ => return Err(Malformed),
    };
    if all.next().is_some() {
        return Err(Malformed);
    }
    found.map_err(|_| Malformed)
}
