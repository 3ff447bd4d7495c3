//! What the kernel holds, all of one moment.
//!
//! The generation of the ruleset is read before and behind everything else, and the kernel says of each dump whether
//! it was interrupted; in either case everything is read again.

use std::sync::Arc;

use super::attributes::{Malformed, Message, Writer, attributes, find, u32_of};
use super::constants::*;
use super::elements::{element, sort};
use super::socket::{RequestError, Socket};
use super::table::{Chain, Set, Table, Tables};

/// Busy hosts change their rules some times a second; a reading takes milliseconds.
const ATTEMPTS: usize = 50;

/// The tables of a network namespace.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The number of the last change; the next one raises it.
    pub generation: u32,
    /// The table that was asked for, whole.
    pub own: Option<Table>,
    /// All others, without their sets unless these were asked for.
    pub others: Vec<Table>,
}

/// Which tables to read besides one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// None.
    Own,
    /// All of them, but for what is in their sets.
    All,
    /// All of them, with what is in the sets of those that packets for this host meet (`ip`, `ip6` and `inet`).
    Whole,
    /// The same, but for what is in one's own sets.
    WholeOthers,
    /// The chains and rules of all of them, and not even what is in one's own sets.
    Rules,
    /// The chains of all of them, one's own among them, with the rules of those alone that packets enter by themselves.
    Entrances,
}

/// The number of the last change.
///
/// # Errors
/// Where there is no nf_tables, or no right to ask.
pub fn generation(socket: &mut Socket) -> Result<u32, RequestError> {
    let mut number = None;
    let request = |sequence, flags| request(NFT_MSG_GETGEN, flags, NFPROTO_UNSPEC, sequence, |_| {});
    socket.ask(request, |message| {
        if message.kind & 0xff == NFT_MSG_NEWGEN {
            number = find(body(&message)?, NFTA_GEN_ID)?.map(u32_of).transpose()?;
        }
        Ok(())
    })?;
    Ok(number.ok_or(Malformed)?)
}

/// The generation behind one more change, as the kernel counts (nf_tables_commit): 0 is none.
#[must_use]
pub fn next(generation: u32) -> u32 {
    generation.wrapping_add(1).max(1)
}

/// Reads the `inet` table of a name, and others.
///
/// # Errors
/// Where the kernel refuses, or changes faster than it can be read.
pub fn read(socket: &mut Socket, name: &str, scope: Scope) -> Result<Kernel, RequestError> {
    for _ in 0..ATTEMPTS {
        match read_once(socket, name, scope) {
            Ok(kernel) if generation(socket)? == kernel.generation => return Ok(kernel),
            // A table or a set that is gone in the middle of it.
            Ok(_) | Err(RequestError::Interrupted | RequestError::Malformed(_)) => {}
            Err(RequestError::Refused(refusal)) if refusal.errno == nix::errno::Errno::ENOENT => {}
            Err(other) => return Err(other),
        }
    }
    Err(RequestError::Interrupted)
}

/// The generation, and the `inet` table of a name without its sets: enough to see whether it was replaced and what its
/// rules have counted, at no cost that grows with the members.
///
/// # Errors
/// As [`read`].
pub fn outline(socket: &mut Socket, name: &str) -> Result<(u32, Option<Table>), RequestError> {
    let generation = generation(socket)?;
    let mut tables = Tables::default();
    dump(socket, &mut tables, NFT_MSG_GETTABLE, NFPROTO_INET, |_| {})?;
    if tables.so_far().iter().any(|table| table.is(name)) {
        dump(socket, &mut tables, NFT_MSG_GETCHAIN, NFPROTO_INET, |_| {})?;
        dump(socket, &mut tables, NFT_MSG_GETRULE, NFPROTO_INET, |writer| writer.text(NFTA_RULE_TABLE, name))?;
    }
    Ok((generation, tables.finish().into_iter().find(|table| table.is(name))))
}

/// The elements of one set, in the order of their keys where they are nothing more.
///
/// # Errors
/// Where the kernel refuses, or changes it meanwhile.
pub fn elements(socket: &mut Socket, table: &Table, set: &Set) -> Result<Arc<Vec<u8>>, RequestError> {
    let only = Set { elements: Arc::default(), ..set.clone() };
    let mut tables = Tables::of(Table { sets: vec![only], chains: Vec::new(), ..table.clone() });
    dump(socket, &mut tables, NFT_MSG_GETSETELEM, table.family, |writer| in_set(writer, table, &set.name))?;
    let mut sets = tables.finish_naming(|_| false).into_iter().flat_map(|table| table.sets);
    let mut set = sets.next().ok_or(Malformed)?;
    sort(&mut set)?;
    Ok(set.elements)
}

/// Whether a set has a key, which is no range.
///
/// # Errors
/// Where the kernel refuses for another reason than that it has not.
pub fn has(socket: &mut Socket, table: &Table, set: &str, key: &[u8]) -> Result<bool, RequestError> {
    let request = |sequence, flags| {
        request(NFT_MSG_GETSETELEM, flags, table.family, sequence, |writer| {
            in_set(writer, table, set);
            writer.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |writer| element(writer, key, false));
        })
    };
    let mut found = false;
    let asked = socket.ask(request, |message| {
        let list = find(body(&message)?, NFTA_SET_ELEM_LIST_ELEMENTS)?.unwrap_or_default();
        for one in attributes(list) {
            let own = find(find(one?.1, NFTA_SET_ELEM_KEY)?.unwrap_or_default(), NFTA_DATA_VALUE)?;
            found |= own == Some(key);
        }
        Ok(())
    });
    match asked {
        Ok(()) => Ok(found),
        Err(RequestError::Refused(refusal)) if refusal.errno == nix::errno::Errno::ENOENT => Ok(false),
        Err(other) => Err(other),
    }
}

fn in_set(writer: &mut Writer, table: &Table, set: &str) {
    writer.text(NFTA_SET_ELEM_LIST_TABLE, &table.name);
    writer.text(NFTA_SET_ELEM_LIST_SET, set);
}

fn read_once(socket: &mut Socket, name: &str, scope: Scope) -> Result<Kernel, RequestError> {
    let generation = generation(socket)?;
    let mut tables = Tables::default();
    dump(socket, &mut tables, NFT_MSG_GETTABLE, NFPROTO_UNSPEC, |_| {})?;
    let exists = tables.so_far().iter().any(|table| table.is(name));
    if matches!(scope, Scope::Whole | Scope::WholeOthers) {
        dump(socket, &mut tables, NFT_MSG_GETSET, NFPROTO_UNSPEC, |_| {})?;
        dump(socket, &mut tables, NFT_MSG_GETOBJ, NFPROTO_UNSPEC, |writer| {
            writer.u32(NFTA_OBJ_TYPE, NFT_OBJECT_CT_HELPER);
        })?;
        // What is not there is unknown to whoever looks for it.
        tables.keep_sets(|table, set| table.is(name) || (can_be_asked_for(&table.name) && can_be_asked_for(&set.name)));
    } else if exists && scope != Scope::Entrances {
        dump(socket, &mut tables, NFT_MSG_GETSET, NFPROTO_INET, |writer| writer.text(NFTA_SET_TABLE, name))?;
    }
    match scope {
        Scope::Own if exists => {
            dump(socket, &mut tables, NFT_MSG_GETCHAIN, NFPROTO_INET, |_| {})?;
            dump(socket, &mut tables, NFT_MSG_GETRULE, NFPROTO_INET, |writer| writer.text(NFTA_RULE_TABLE, name))?;
        }
        Scope::Own => {}
        Scope::All | Scope::Whole | Scope::WholeOthers | Scope::Rules => {
            dump(socket, &mut tables, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, |_| {})?;
            rules(socket, &mut tables, |_| true)?;
        }
        Scope::Entrances => {
            dump(socket, &mut tables, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, |_| {})?;
            rules(socket, &mut tables, |chain| chain.base.is_some())?;
        }
    }
    for (family, table, set) in filled_in(&tables, name, scope) {
        dump(socket, &mut tables, NFT_MSG_GETSETELEM, family, |writer| {
            writer.text(NFTA_SET_ELEM_LIST_TABLE, &table);
            writer.text(NFTA_SET_ELEM_LIST_SET, &set);
        })?;
    }
    // Nobody compares the tables of others, so the names of their anonymous sets may stay.
    let tables = tables.finish_naming(|table| table.is(name));
    let (mut own, others): (Vec<Table>, Vec<Table>) = tables.into_iter().partition(|table| table.is(name));
    for set in own.iter_mut().flat_map(|table| &mut table.sets) {
        sort(set)?;
    }
    Ok(Kernel { generation, own: own.pop(), others })
}

/// Whether a name is as the kernel has it, and not made to be shown, see [`super::text_of`].
fn can_be_asked_for(name: &str) -> bool {
    !name.contains('\\')
}

/// From so many chains on each is asked for its rules: the kernel begins each datagram of a dump by counting all rules anew
/// that came before (nf_tables_dump_rules), which takes most of the time where there are tens of thousands.
const MANY_CHAINS: usize = 2000;

/// The rules of some chains; where there are few, also those of others.
fn rules(socket: &mut Socket, tables: &mut Tables, wanted: impl Fn(&Chain) -> bool) -> Result<(), RequestError> {
    let of = |table: &Table| {
        let chains = table.chains.iter().filter(|chain| wanted(chain));
        chains.map(|chain| (table.family, table.name.clone(), chain.name.clone())).collect::<Vec<_>>()
    };
    let count: usize = tables.so_far().iter().map(|table| table.chains.len()).sum();
    let named =
        |table: &Table| can_be_asked_for(&table.name) && table.chains.iter().all(|chain| can_be_asked_for(&chain.name));
    if count < MANY_CHAINS || !tables.so_far().iter().all(named) {
        return dump(socket, tables, NFT_MSG_GETRULE, NFPROTO_UNSPEC, |_| {});
    }
    let chains: Vec<(u8, String, String)> = tables.so_far().iter().flat_map(of).collect();
    for (family, table, chain) in chains {
        dump(socket, tables, NFT_MSG_GETRULE, family, |writer| {
            writer.text(NFTA_RULE_TABLE, &table);
            writer.text(NFTA_RULE_CHAIN, &chain);
        })?;
    }
    Ok(())
}

/// The sets whose elements are wanted: family, table and name.
fn filled_in(tables: &Tables, name: &str, scope: Scope) -> Vec<(u8, String, String)> {
    let is_met = |table: &Table| [NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6, NFPROTO_NETDEV].contains(&table.family);
    let wanted = |table: &&Table| match scope {
        Scope::Rules | Scope::Entrances => false,
        Scope::Own | Scope::All => table.is(name),
        Scope::Whole => is_met(table),
        Scope::WholeOthers => is_met(table) && !table.is(name),
    };
    let of = |table: &Table| {
        let sets = table.sets.iter().map(|set| (table.family, table.name.clone(), set.name.clone()));
        sets.collect::<Vec<_>>()
    };
    tables.so_far().iter().filter(wanted).flat_map(of).collect()
}

fn dump(
    socket: &mut Socket,
    tables: &mut Tables,
    kind: u16,
    family: u8,
    write: impl FnOnce(&mut Writer),
) -> Result<(), RequestError> {
    socket.dump(
        |sequence| request(kind, NLM_F_REQUEST | NLM_F_DUMP, family, sequence, write),
        |message| tables.take(&message).map_err(RequestError::from),
    )
}

impl Table {
    fn is(&self, name: &str) -> bool {
        self.family == NFPROTO_INET && self.name == name
    }
}

fn body<'a>(message: &Message<'a>) -> Result<&'a [u8], Malformed> {
    message.payload.get(4..).ok_or(Malformed)
}

pub(super) fn request(kind: u16, flags: u16, family: u8, sequence: u32, write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    message(&mut writer, kind, flags, family, sequence, write);
    writer.into_bytes()
}

/// A message to nf_tables: behind the header stand family, version 0 and a number that only batches use.
pub(super) fn message(
    writer: &mut Writer,
    kind: u16,
    flags: u16,
    family: u8,
    sequence: u32,
    write: impl FnOnce(&mut Writer),
) {
    writer.message(NFNL_SUBSYS_NFTABLES << 8 | kind, flags | NLM_F_REQUEST, sequence, |writer| {
        writer.raw(&[family, 0, 0, 0]);
        write(writer);
    });
}
