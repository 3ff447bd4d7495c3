//! Names for the numbers that rules have in the kernel: interfaces, and the sets of ipset.
//!
//! A number that has no name here any more stays one, and whatever asks for it unknown.

use std::collections::{BTreeMap, BTreeSet};

use super::attributes::{Malformed, Writer, find, text_of};
use super::constants::*;
use super::expression::Expression;
use super::socket::{RequestError, Socket};
use super::table::Table;
use crate::dialect::iptables::name as ir_name;
use crate::net::Interface;

/// What numbers stand for.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Interfaces by their index.
    pub devices: BTreeMap<u32, Interface>,
    /// Sets of ipset, by the names that the IR has for them.
    pub sets: BTreeMap<u16, String>,
}

impl Names {
    /// The names of what tables ask for. Take them right behind the tables: they are not of the same moment.
    ///
    /// # Errors
    /// Where the kernel cannot be asked.
    pub fn read<'t>(socket: &mut Socket, tables: impl IntoIterator<Item = &'t Table>) -> Result<Self, RequestError> {
        let mut names = Self::default();
        for device in &nix::net::if_::if_nameindex().map_err(std::io::Error::from)? {
            let parsed = device.name().to_str().ok().and_then(|name| name.parse().ok());
            names.devices.extend(parsed.map(|name| (device.index(), name)));
        }
        for number in numbers(tables)? {
            names.sets.extend(set_of(socket, number)?.map(|name| (number, ir_name(&name))));
        }
        Ok(names)
    }
}

/// The sets of ipset that rules look into or change.
fn numbers<'t>(tables: impl IntoIterator<Item = &'t Table>) -> Result<BTreeSet<u16>, Malformed> {
    let mut found = BTreeSet::new();
    for (_, rule) in tables.into_iter().flat_map(Table::rules) {
        let has = |text: &[u8]| rule.expressions.windows(text.len()).any(|window| window == text);
        if !has(b"set\0") && !has(b"SET\0") {
            continue;
        }
        for expression in rule.program()? {
            let Expression::Other { name, data } = expression else { continue };
            let (is_match, is_target) = (name == "match", name == "target");
            // Both kinds tell of themselves alike.
            let extension = find(&data, NFTA_MATCH_NAME)?.map(text_of);
            let info = find(&data, NFTA_MATCH_INFO)?.unwrap_or_default();
            let at = |at: usize| info.get(at..)?.first_chunk::<2>().map(|bytes| u16::from_ne_bytes(*bytes));
            match extension.as_deref() {
                Some("set") if is_match => found.extend(at(0)),
                Some("SET") if is_target => found.extend([0, 4, 8].into_iter().filter_map(at)),
                _ => {}
            }
        }
    }
    Ok(found)
}

/// The name of the set of a number; `None` where there is none, or where the kernel is too old to say.
fn set_of(socket: &mut Socket, number: u16) -> Result<Option<String>, RequestError> {
    let request = |sequence, flags| {
        let mut writer = Writer::default();
        writer.message(NFNL_SUBSYS_IPSET << 8 | IPSET_CMD_GET_BYINDEX, flags | NLM_F_REQUEST, sequence, |writer| {
            writer.raw(&[NFPROTO_UNSPEC, 0, 0, 0]);
            writer.attribute(IPSET_ATTR_PROTOCOL, &[IPSET_PROTOCOL]);
            writer.attribute(IPSET_ATTR_INDEX | NLA_F_NET_BYTEORDER, &number.to_be_bytes());
        });
        writer.into_bytes()
    };
    let mut name = None;
    let answer = socket.ask(request, |message| {
        let body = message.payload.get(4..).ok_or(Malformed)?;
        name = find(body, IPSET_ATTR_SETNAME)?.map(text_of).or(name.take());
        Ok(())
    });
    match answer {
        Ok(()) => Ok(name),
        Err(RequestError::Refused(_)) => Ok(None),
        Err(other) => Err(other),
    }
}
