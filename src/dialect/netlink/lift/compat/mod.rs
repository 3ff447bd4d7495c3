//! Extensions of iptables inside nf_tables: what iptables-nft loads where nft has no word of its own
//! (linux/netfilter/nf_tables_compat.h). A name, a revision, and a C structure in this machine's layout.
//!
//! INVARIANT (layout): a structure is looked into only where its revision is known and all of it is there.

mod matches;
mod targets;
#[cfg(test)]
mod tests;

pub use targets::UNNAMED;

use super::super::constants::*;
use super::program::{Program, fit};
use super::show::raw;
use super::statements::Fields;
use crate::dialect::xtables::varying;
use crate::ir::{Match, Varying};

/// The bytes of a structure. Numbers are in this machine's byte order, unless said otherwise; what lies behind the end is
/// `None`.
#[derive(Clone, Copy)]
struct Info<'a>(&'a [u8]);

impl<'a> Info<'a> {
    fn bytes(self, at: usize, length: usize) -> Option<&'a [u8]> {
        self.0.get(at..at.checked_add(length)?)
    }

    fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.bytes(at, N)?.try_into().ok()
    }

    fn u8(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    fn u16(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_ne_bytes)
    }

    fn u32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_ne_bytes)
    }

    /// In network order.
    fn port(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_be_bytes)
    }

    /// A text that ends with a zero, or fills its place.
    fn text(self, at: usize, length: usize) -> Option<String> {
        self.bytes(at, length).map(super::super::attributes::text_of)
    }
}

/// The name of a set of ipset; `None` where it has none here, or where a set of the table has the same, for which it would be taken.
fn named_set<'p>(program: &'p Program<'_>, number: u16) -> Option<&'p str> {
    let name = program.names?.sets.get(&number)?.as_str();
    (!program.sets.contains_key(name)).then_some(name)
}

/// A match: its tests; always something.
pub(super) fn test(program: &mut Program<'_>, fields: &Fields<'_>) -> Option<()> {
    let name = fields.text(NFTA_MATCH_NAME)?;
    let (revision, info) = (fields.number(NFTA_MATCH_REV)?, Info(fields.bytes(NFTA_MATCH_INFO)?));
    if name == "comment" {
        program.rule.comment = info.text(0, info.0.len()).map(|text| fit(&text));
        return Some(());
    }
    match matches::of(program, &name, revision, info) {
        Some(tests) => tests.into_iter().for_each(|tests| program.push_any(tests)),
        None => match varying(&name) {
            Some(on) => {
                let on = if on == Varying::Socket { socket(revision, info) } else { on };
                program.push(Match::varies(on, &format!("-m {name}{}", raw(fields.0, None))));
            }
            None => program.unknown(format!("-m {name}")),
        },
    }
    Some(())
}

/// struct xt_socket_mtinfo1, 2 and 3: flags. `--restore-skmark` is a flag of revision 3 (XT_SOCKET_RESTORESKMARK); what is newer may do
/// as much.
fn socket(revision: u32, info: Info<'_>) -> Varying {
    const RESTORES_MARK: u8 = 4;
    match (revision, info.u8(0)) {
        (0..=2, _) => Varying::Socket,
        (3, Some(flags)) if flags & RESTORES_MARK == 0 => Varying::Socket,
        _ => Varying::SocketWithMark,
    }
}

/// A target: what it does; always something.
pub(super) fn target(program: &mut Program<'_>, fields: &Fields<'_>) -> Option<()> {
    let name = fields.text(NFTA_TARGET_NAME)?;
    let (revision, info) = (fields.number(NFTA_TARGET_REV)?, Info(fields.bytes(NFTA_TARGET_INFO)?));
    program.doubt_loads();
    match targets::of(program, &name, revision, info) {
        targets::Does::Statements(statements) => {
            program.ended = statements.iter().any(crate::ir::Statement::is_last);
            statements.into_iter().for_each(|statement| program.does(statement));
        }
        targets::Does::Decides(verdict) => program.rule.verdict = Some(verdict),
    }
    Some(())
}
