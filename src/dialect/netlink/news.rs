//! What nf_tables tell everybody who listens: a message for each thing that a transaction made or took away.
//!
//! They are many, of a set's elements above all, so no more is looked at than what thing it was and where.

use super::attributes::{Malformed, Message, attributes};
use super::constants::*;

/// The group of netlink that hears of nf_tables (NFNLGRP_NFTABLES), as a bit.
pub const GROUP: u32 = 1 << (7 - 1);

/// Something that came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News<'a> {
    /// NFPROTO_…
    pub family: u8,
    /// The table that it is in, or that it is.
    pub table: &'a [u8],
    /// What it is.
    pub what: What<'a>,
}

/// What came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// A table.
    Table,
    /// A chain, and whether a hook of the kernel leads into it. Of one that goes, not every kernel says that.
    Chain(&'a [u8], bool),
    /// A rule of a chain.
    Rule(&'a [u8]),
    /// A set, or elements of it.
    Set(&'a [u8]),
    /// Something else.
    Other,
}

/// What a message tells; `None` where it is no news of nf_tables, or the end of a transaction.
///
/// # Errors
/// Where it cannot be read.
pub fn news<'a>(message: &Message<'a>) -> Result<Option<News<'a>>, Malformed> {
    if message.kind >> 8 != NFNL_SUBSYS_NFTABLES {
        return Ok(None);
    }
    let kind = message.kind & 0xff;
    if kind == NFT_MSG_NEWGEN {
        return Ok(None);
    }
    let family = *message.payload.first().ok_or(Malformed)?;
    let (mut table, mut name, mut second, mut hook) = (None, None, None, false);
    for attribute in attributes(message.payload.get(4..).ok_or(Malformed)?) {
        let (number, value) = attribute?;
        // Everything that is in a table names it first.
        match number {
            NFTA_TABLE_NAME => table = Some(text(value)),
            NFTA_RULE_CHAIN => second = Some(text(value)),
            NFTA_CHAIN_NAME => name = Some(text(value)),
            NFTA_CHAIN_HOOK => hook = true,
            _ => {}
        }
    }
    let table = table.ok_or(Malformed)?;
    let what = match kind {
        NFT_MSG_NEWTABLE | NFT_MSG_DELTABLE => What::Table,
        NFT_MSG_NEWCHAIN | NFT_MSG_DELCHAIN => What::Chain(name.ok_or(Malformed)?, hook),
        NFT_MSG_NEWRULE | NFT_MSG_DELRULE => What::Rule(second.ok_or(Malformed)?),
        NFT_MSG_NEWSET | NFT_MSG_DELSET | NFT_MSG_NEWSETELEM | NFT_MSG_DELSETELEM => {
            What::Set(second.ok_or(Malformed)?)
        }
        _ => What::Other,
    };
    Ok(Some(News { family, table, what }))
}

/// A name without its end mark.
fn text(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::attributes::{Writer, messages};
    use super::super::read::message;
    use super::*;

    fn told(kind: u16, write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::default();
        message(&mut writer, kind, 0, NFPROTO_INET, 1, write);
        writer.into_bytes()
    }

    #[track_caller]
    fn read(bytes: &[u8]) -> Result<Option<News<'_>>, Malformed> {
        news(&messages(bytes).next().unwrap().unwrap())
    }

    #[test]
    fn what_the_kernel_tells() {
        let table = told(NFT_MSG_DELTABLE, |writer| writer.text(NFTA_TABLE_NAME, "t"));
        assert_eq!(read(&table), Ok(Some(News { family: NFPROTO_INET, table: b"t", what: What::Table })));
        let chain = told(NFT_MSG_NEWCHAIN, |writer| {
            writer.text(NFTA_CHAIN_TABLE, "t");
            writer.text(NFTA_CHAIN_NAME, "c");
            writer.nest(NFTA_CHAIN_HOOK, |_| {});
        });
        assert_eq!(read(&chain).unwrap().unwrap().what, What::Chain(b"c", true));
        let rule = told(NFT_MSG_DELRULE, |writer| {
            writer.text(NFTA_RULE_TABLE, "t");
            writer.text(NFTA_RULE_CHAIN, "c");
        });
        assert_eq!(read(&rule).unwrap().unwrap().what, What::Rule(b"c"));
        let element = told(NFT_MSG_NEWSETELEM, |writer| {
            writer.text(NFTA_SET_ELEM_LIST_TABLE, "t");
            writer.text(NFTA_SET_ELEM_LIST_SET, "s");
        });
        assert_eq!(read(&element).unwrap().unwrap().what, What::Set(b"s"));
        // A counter's or a flowtable's.
        let other = told(18, |writer| writer.text(NFTA_TABLE_NAME, "t"));
        assert_eq!(read(&other).unwrap().unwrap().what, What::Other);
    }

    #[test]
    fn what_is_no_news() {
        assert_eq!(read(&told(NFT_MSG_NEWGEN, |writer| writer.u32(NFTA_GEN_ID, 7))), Ok(None));
        assert_eq!(read(&told(NFT_MSG_DELRULE, |writer| writer.text(NFTA_RULE_TABLE, "t"))), Err(Malformed));
        assert_eq!(read(&told(NFT_MSG_DELTABLE, |_| {})), Err(Malformed));
    }
}
