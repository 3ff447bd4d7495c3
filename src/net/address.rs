//! One address or network, IPv4 or IPv6.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};
use thiserror::Error;

/// A network in canonical form: no bit is set behind the prefix. A single address has the full prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr(IpNet);

/// Why a text is no address or network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseAddressError {
    /// Not an address at all, a host name for example.
    #[error("not an IPv4 or IPv6 address")]
    NotAnAddress,
    /// A part begins with a zero; some programs read it as octal.
    #[error("a number with a leading zero, which some programs read as octal")]
    LeadingZero,
    /// An IPv6 zone such as `%eth0`.
    #[error("an address with a zone (`%…`), which has no meaning in a ruleset")]
    Zone,
    /// The text behind the `/` is no number from 0 to 32 or 128.
    #[error("the prefix length is not a number from 0 to {max}")]
    PrefixLength {
        /// 32 for IPv4, 128 for IPv6.
        max: u8,
    },
    /// Bits are set behind the prefix.
    #[error("bits are set behind the prefix of /{}", .network.prefix_length())]
    HostBits {
        /// The network that the address lies in.
        network: Cidr,
    },
}

/// What an address is for, as far as a firewall cares.
/// Source: the IANA special-purpose address registries (RFC 6890) and the RFCs named at each variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// RFC 1918, RFC 6598 (shared by carriers), RFC 4193.
    Private,
    /// 127.0.0.0/8, ::1.
    Loopback,
    /// 0.0.0.0/8, ::.
    Unspecified,
    /// 224.0.0.0/4, ff00::/8, and the limited broadcast address.
    Multicast,
    /// 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// ::ffff:0:0/96, and ::/96, which came before it: never on the wire (RFC 4291, 2.5.5).
    Ipv4Mapped,
    /// Anything else: reachable from the internet, or not assigned.
    Public,
}

const PRIVATE_V4: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// The first group and the length of the prefix.
const PRIVATE_V6: (u16, u8) = (0xfc00, 7);

/// Where [`AddressClass::Private`] is, as the lowest and highest address of each network.
pub(super) fn private_v4() -> impl Iterator<Item = (u32, u32)> {
    PRIVATE_V4.iter().map(|&(base, length)| (base.to_bits(), base.to_bits() | (u32::MAX >> length)))
}

/// The same for IPv6: RFC 4193.
pub(super) fn private_v6() -> impl Iterator<Item = (u128, u128)> {
    let base = u128::from(PRIVATE_V6.0) << 112;
    std::iter::once((base, base | (u128::MAX >> PRIVATE_V6.1)))
}

/// Reads one address. Exactly the canonical forms: no leading zero, no zone, no prefix.
pub fn parse_address(text: &str) -> Result<IpAddr, ParseAddressError> {
    text.parse().map_err(|_| explain_bad_address(text))
}

fn explain_bad_address(text: &str) -> ParseAddressError {
    if let Some((address, _zone)) = text.split_once('%')
        && address.parse::<Ipv6Addr>().is_ok()
    {
        return ParseAddressError::Zone;
    }
    let parts: Vec<&str> = text.split('.').collect();
    let decimal = |part: &&str| !part.is_empty() && part.len() <= 8 && part.bytes().all(|b| b.is_ascii_digit());
    if parts.len() == 4 && parts.iter().all(decimal) && parts.iter().any(|p| p.len() > 1 && p.starts_with('0')) {
        return ParseAddressError::LeadingZero;
    }
    ParseAddressError::NotAnAddress
}

impl Cidr {
    /// The network of one address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self(IpNet::from(address))
    }

    /// The network with this prefix that `address` lies in; `None` if the prefix is longer than the address.
    #[must_use]
    pub fn containing(address: IpAddr, prefix_length: u8) -> Option<Self> {
        IpNet::new(address, prefix_length).ok().map(|net| Self(net.trunc()))
    }

    /// The fewest IPv4 networks that make up a range, both ends included.
    pub fn covering_v4(first: u32, last: u32) -> impl Iterator<Item = Self> {
        let (first, last) = (Ipv4Addr::from_bits(first), Ipv4Addr::from_bits(last));
        // As it is mostly.
        let one = (first == last).then(|| Ipv4Net::from(first));
        let several = one.is_none().then(|| Ipv4Subnets::new(first, last, 0));
        one.into_iter().chain(several.into_iter().flatten()).map(|net| Self(IpNet::V4(net)))
    }

    /// The fewest IPv6 networks that make up a range, both ends included.
    pub fn covering_v6(first: u128, last: u128) -> impl Iterator<Item = Self> {
        let (first, last) = (Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(last));
        // As it is mostly.
        let one = (first == last).then(|| Ipv6Net::from(first));
        let several = one.is_none().then(|| Ipv6Subnets::new(first, last, 0));
        one.into_iter().chain(several.into_iter().flatten()).map(|net| Self(IpNet::V6(net)))
    }

    /// 0 to 32 for IPv4, 0 to 128 for IPv6.
    #[must_use]
    pub fn prefix_length(self) -> u8 {
        self.0.prefix_len()
    }

    /// The lowest address.
    #[must_use]
    pub fn first(self) -> IpAddr {
        self.0.network()
    }

    /// The highest address.
    #[must_use]
    pub fn last(self) -> IpAddr {
        self.0.broadcast()
    }

    /// The two networks with a prefix one bit longer; of a single address, itself twice.
    #[must_use]
    pub fn halves(self) -> [Self; 2] {
        let half = |address| Self::containing(address, self.prefix_length() + 1).unwrap_or(self);
        [half(self.first()), half(self.last())]
    }

    /// Whether this is a single address.
    #[must_use]
    pub fn is_host(self) -> bool {
        self.0.prefix_len() == self.0.max_prefix_len()
    }

    /// Whether this is an IPv4 network.
    #[must_use]
    pub fn is_ipv4(self) -> bool {
        matches!(self.0, IpNet::V4(_))
    }

    /// Whether all of `other` lies in this network.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Whether an address lies in this network.
    #[must_use]
    pub fn has(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// What the whole network is for. A network that reaches beyond one class is `Public`, as its widest part is.
    #[must_use]
    pub fn class(self) -> AddressClass {
        match self.0 {
            IpNet::V4(net) => class_v4(net),
            IpNet::V6(net) => class_v6(net),
        }
    }
}

fn within_v4(net: Ipv4Net, base: Ipv4Addr, prefix_length: u8) -> bool {
    Ipv4Net::new(base, prefix_length).is_ok_and(|outer| outer.contains(&net))
}

fn within_v6(net: Ipv6Net, base: Ipv6Addr, prefix_length: u8) -> bool {
    Ipv6Net::new(base, prefix_length).is_ok_and(|outer| outer.contains(&net))
}

fn class_v4(net: Ipv4Net) -> AddressClass {
    if PRIVATE_V4.iter().any(|&(base, len)| within_v4(net, base, len)) {
        AddressClass::Private
    } else if within_v4(net, Ipv4Addr::new(127, 0, 0, 0), 8) {
        AddressClass::Loopback
    } else if within_v4(net, Ipv4Addr::UNSPECIFIED, 8) {
        AddressClass::Unspecified
    } else if within_v4(net, Ipv4Addr::new(224, 0, 0, 0), 4) || within_v4(net, Ipv4Addr::BROADCAST, 32) {
        AddressClass::Multicast
    } else if within_v4(net, Ipv4Addr::new(169, 254, 0, 0), 16) {
        AddressClass::LinkLocal
    } else {
        AddressClass::Public
    }
}

fn class_v6(net: Ipv6Net) -> AddressClass {
    let base = |first: u16| Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0);
    if within_v6(net, base(PRIVATE_V6.0), PRIVATE_V6.1) {
        AddressClass::Private
    } else if within_v6(net, Ipv6Addr::LOCALHOST, 128) {
        AddressClass::Loopback
    } else if within_v6(net, Ipv6Addr::UNSPECIFIED, 128) {
        AddressClass::Unspecified
    } else if within_v6(net, base(0xff00), 8) {
        AddressClass::Multicast
    } else if within_v6(net, base(0xfe80), 10) {
        AddressClass::LinkLocal
    } else if within_v6(net, Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96)
        || within_v6(net, Ipv6Addr::UNSPECIFIED, 96)
    {
        AddressClass::Ipv4Mapped
    } else {
        AddressClass::Public
    }
}

impl FromStr for Cidr {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        let Some((address, length)) = text.split_once('/') else {
            return parse_address(text).map(Self::host);
        };
        let address = parse_address(address)?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let canonical = length == "0" || !length.starts_with('0');
        let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
        let network = length
            .parse()
            .ok()
            .filter(|_| canonical && digits)
            .and_then(|length| Self::containing(address, length))
            .ok_or(ParseAddressError::PrefixLength { max })?;
        if network.first() == address { Ok(network) } else { Err(ParseAddressError::HostBits { network }) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_only() {
        for good in ["10.20.0.0/24", "10.20.0.1", "0.0.0.0/0", "::/0", "fd20::/64", "fd20::1"] {
            assert_eq!(good.parse::<Cidr>().unwrap().to_string(), good);
        }
        assert_eq!("10.20.0.1/32".parse::<Cidr>().unwrap().to_string(), "10.20.0.1");
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |text: &str| text.parse::<Cidr>().unwrap_err();
        assert_eq!(error("010.0.0.1"), ParseAddressError::LeadingZero);
        assert_eq!(error("10.0.0.08/24"), ParseAddressError::LeadingZero);
        assert_eq!(error("db1.example.com"), ParseAddressError::NotAnAddress);
        assert_eq!(error("10.0.0"), ParseAddressError::NotAnAddress);
        assert_eq!(error("10.0.0.256"), ParseAddressError::NotAnAddress);
        assert_eq!(error(""), ParseAddressError::NotAnAddress);
        assert_eq!(error("fe80::1%eth0"), ParseAddressError::Zone);
        for length in ["33", "", "024", "+24", "-1", "2 4", "999"] {
            assert_eq!(error(&format!("10.0.0.0/{length}")), ParseAddressError::PrefixLength { max: 32 }, "{length}");
        }
        assert_eq!(error("fd20::/129"), ParseAddressError::PrefixLength { max: 128 });
        assert_eq!(error("10.20.0.1/24"), ParseAddressError::HostBits { network: "10.20.0.0/24".parse().unwrap() });
    }

    #[test]
    fn classes_at_their_edges() {
        use AddressClass::*;
        for (text, class) in [
            ("10.0.0.0/8", Private),
            ("10.0.0.0/7", Public),
            ("172.31.255.255", Private),
            ("172.32.0.0", Public),
            ("192.168.0.0/16", Private),
            ("100.127.255.255", Private),
            ("100.128.0.0", Public),
            ("127.255.255.255", Loopback),
            ("0.0.0.1", Unspecified),
            ("0.0.0.0/0", Public),
            ("239.1.2.3", Multicast),
            ("255.255.255.255", Multicast),
            ("169.254.7.7", LinkLocal),
            ("fdff::/16", Private),
            ("fe00::", Public),
            ("::1", Loopback),
            ("::", Unspecified),
            ("febf::1", LinkLocal),
            ("ff02::1", Multicast),
            ("::ffff:10.0.0.1", Ipv4Mapped),
            ("::10.0.0.1", Ipv4Mapped),
            ("::/96", Ipv4Mapped),
            ("::/95", Public),
            ("2001:db8::/32", Public),
            ("::/0", Public),
        ] {
            assert_eq!(text.parse::<Cidr>().unwrap().class(), class, "{text}");
        }
    }
}
