//! Where a translation leads to.

use std::net::IpAddr;

use super::super::constants::*;
use super::lookups::Part;
use super::program::{Program, first_byte};
use super::statements::Fields;
use super::value::Value;
use crate::ir::{Destined, Family, Match, Statement, Translation};

/// What a register of a translation holds.
enum Held {
    /// Bytes that the rule brings.
    Bytes(Vec<u8>),
    /// What a map says, from this byte on.
    Mapped(usize),
    Unknown,
}

/// Lowest and highest address, lowest and highest port.
const ENDS: usize = 4;

impl Program<'_> {
    /// `nat`, `redir` or `masq`; `None` where it is not even known which end is translated.
    pub(super) fn translate(&mut self, name: &str, fields: &Fields<'_>) -> Option<()> {
        let (kind, registers) = match name {
            "redir" => (Translation::Redirect, [0, 0, NFTA_REDIR_REG_PROTO_MIN, NFTA_REDIR_REG_PROTO_MAX]),
            "masq" => (Translation::Masquerade, [0, 0, NFTA_MASQ_REG_PROTO_MIN, NFTA_MASQ_REG_PROTO_MAX]),
            _ => {
                let kind = match fields.number(NFTA_NAT_TYPE)? {
                    NFT_NAT_SNAT => Translation::Source,
                    NFT_NAT_DNAT => Translation::Destination,
                    _ => return None,
                };
                let addresses = [NFTA_NAT_REG_ADDR_MIN, NFTA_NAT_REG_ADDR_MAX];
                let [a, b] = addresses;
                (kind, [a, b, NFTA_NAT_REG_PROTO_MIN, NFTA_NAT_REG_PROTO_MAX])
            }
        };
        let registers = registers.map(|kind| if kind == 0 { None } else { fields.number(kind) });
        let whole_networks = name == "nat" && fields.number(NFTA_NAT_FLAGS).unwrap_or(0) & NF_NAT_RANGE_NETMAP != 0;
        let family = if name == "nat" { fields.number(NFTA_NAT_FAMILY).and_then(one_family) } else { None };
        let ipv6 = family == Some(Family::Ip6);
        // In a table of both families, others go on with what stands behind (nft_nat_inet_eval).
        if let Some(family) = family.filter(|family| self.ip != Some(*family)) {
            if self.goes_on {
                return None;
            }
            self.push(Match::Family(family));
        }
        let held = registers.map(|register| register.map(|register| self.held(register)));
        let map = registers.iter().flatten().find_map(|register| self.mapped(*register));
        let statement = |value: &[u8]| {
            let bytes = held.each_ref().map(|held| match held {
                None => Some(None),
                Some(Held::Bytes(bytes)) => Some(Some(bytes.clone())),
                Some(Held::Mapped(at)) => value.get(*at..).map(|bytes| Some(bytes.to_vec())),
                Some(Held::Unknown) => None,
            });
            let to = destined(bytes, ipv6)?;
            (!whole_networks || is_one_network(&to)).then_some(Statement::Translate(kind, to))
        };
        let one_map =
            registers.iter().flatten().all(|register| self.mapped(*register).is_none_or(|own| Some(own) == map));
        match map {
            Some((key, set)) if one_map && !whole_networks => {
                if let Some(decided) = self.by_key((&key, &set), statement) {
                    registers.iter().flatten().for_each(|register| self.tested_map(*register));
                    self.decide(decided);
                    return Some(());
                }
            }
            // What is behind the prefix of a network stays: it is one of these addresses in any case.
            None => {
                if let Some(statement) = statement(&[]) {
                    self.doubt_loads();
                    self.ended = true;
                    self.does(statement);
                    return Some(());
                }
            }
            Some(_) => {}
        }
        // What is not there leaves the rule before.
        self.doubt_loads();
        self.ended = true;
        self.does(Statement::Translate(kind, Destined::Unknown));
        Some(())
    }

    fn held(&self, register: u32) -> Held {
        match self.around(register) {
            Some((at, Value::Constant(bytes))) => {
                bytes.get(at..).map_or(Held::Unknown, |bytes| Held::Bytes(bytes.to_vec()))
            }
            Some((at, Value::Mapped { .. })) => Held::Mapped(at),
            _ => Held::Unknown,
        }
    }

    fn mapped(&self, register: u32) -> Option<(Vec<Part>, String)> {
        match self.around(register) {
            Some((_, Value::Mapped { key, set })) => Some((key.clone(), set.clone())),
            _ => None,
        }
    }

    fn tested_map(&mut self, register: u32) {
        let first = first_byte(register);
        let around = |own: &&super::value::Register| own.first <= first && first - own.first < own.length;
        let at = self.registers.iter().find(around).map(|own| own.first);
        if let Some(at) = at {
            self.tested_at(at);
        }
    }

    /// The value around a register, and where in it the register begins.
    fn around(&self, register: u32) -> Option<(usize, &Value)> {
        let first = first_byte(register);
        let own = self.registers.iter().find(|own| own.first <= first && first - own.first < own.length)?;
        Some(((first - own.first) as usize, &own.value))
    }
}

/// The family that a translation is for, if it is for one.
fn one_family(number: u32) -> Option<Family> {
    match u8::try_from(number) {
        Ok(NFPROTO_IPV4) => Some(Family::Ip),
        Ok(NFPROTO_IPV6) => Some(Family::Ip6),
        _ => None,
    }
}

/// Whether the addresses are all of one network. The kernel takes those bits in which the two ends differ, be they one behind the other
/// or not, from the packet (nft_nat_setup_netmap).
fn is_one_network(to: &Destined) -> bool {
    let Destined::To { addresses: Some((first, last)), .. } = to else { return false };
    let bits = |address: &IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let (first, last) = (bits(first), bits(last));
    let differing = first ^ last;
    first & differing == 0 && differing & differing.wrapping_add(1) == 0
}

/// `None` where a value is not known, or has not the length that it has to have.
fn destined(bytes: [Option<Option<Vec<u8>>>; ENDS], ipv6: bool) -> Option<Destined> {
    let [address, last_address, port, last_port] = bytes;
    let (address, last_address, port, last_port) = (address?, last_address?, port?, last_port?);
    let address_of = |bytes: &[u8]| -> Option<IpAddr> {
        if ipv6 {
            Some(IpAddr::from(*bytes.first_chunk::<16>()?))
        } else {
            Some(IpAddr::from(*bytes.first_chunk::<4>()?))
        }
    };
    let port_of = |bytes: &[u8]| Some(u16::from_be_bytes(*bytes.first_chunk::<2>()?));
    let addresses = match address {
        None => None,
        Some(first) => {
            let (first, last) = (address_of(&first)?, address_of(last_address.as_deref().unwrap_or(&first))?);
            Some((first, last)).filter(|(first, last)| first <= last).map(Some)?
        }
    };
    let ports = match port {
        None => None,
        Some(first) => {
            let (first, last) = (port_of(&first)?, port_of(last_port.as_deref().unwrap_or(&first))?);
            Some((first, last)).filter(|(first, last)| first <= last).map(Some)?
        }
    };
    Some(Destined::To { addresses, ports })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Between the ends of a range that is no network, the kernel's bits lead elsewhere: 10.0.0.6 to 10.0.0.9 differ in four bits.
    #[test]
    fn only_a_network_is_mapped_into_itself() {
        for (first, last, expected) in [
            ("10.0.0.0", "10.0.0.255", true),
            ("10.0.0.7", "10.0.0.7", true),
            ("0.0.0.0", "255.255.255.255", true),
            ("fd00::", "fd00::ffff", true),
            ("10.0.0.6", "10.0.0.9", false),
            ("10.0.0.1", "10.0.0.255", false),
            ("10.0.0.0", "10.0.0.254", false),
            ("10.0.1.0", "10.0.2.255", false),
            ("fd00::1", "fd00::2", false),
        ] {
            let ends = (first.parse().unwrap(), last.parse().unwrap());
            let to = Destined::To { addresses: Some(ends), ports: None };
            assert_eq!(is_one_network(&to), expected, "{first}-{last}");
        }
        assert!(!is_one_network(&Destined::To { addresses: None, ports: None }));
    }
}
