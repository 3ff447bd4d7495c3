//! Where a translation leads to.

use std::net::IpAddr;

use super::super::constants::*;
use super::lookups::Part;
use super::program::{Program, first_byte};
use super::statements::Fields;
use super::value::Value;
use crate::ir::{Destined, Statement, Translation};

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
        let ipv6 = fields.number(NFTA_NAT_FAMILY) == Some(NFPROTO_IPV6.into());
        let held = registers.map(|register| register.map(|register| self.held(register)));
        let map = registers.iter().flatten().find_map(|register| self.mapped(*register));
        let statement = |value: &[u8]| {
            let bytes = held.each_ref().map(|held| match held {
                None => Some(None),
                Some(Held::Bytes(bytes)) => Some(Some(bytes.clone())),
                Some(Held::Mapped(at)) => value.get(*at..).map(|bytes| Some(bytes.to_vec())),
                Some(Held::Unknown) => None,
            });
            Some(Statement::Translate(kind, destined(bytes, ipv6)?))
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
