//! Expressions that have no form of their own → what they do.
//!
//! Only names are given here; what a statement does to a packet is [`Statement::effect`]'s to say. What has no name may do
//! anything.

use super::super::attributes::{find, text_of, u32_of};
use super::super::constants::*;
use super::super::table::set_name;
use super::matches::native;
use super::value::Value;
use crate::ir::{Diversion, Family, Field, Marking, Reject, Statement, Tracking, Varying};

/// What an expression without a form of its own does.
pub enum Expressed<'a> {
    /// A statement.
    Does(Statement),
    /// Answers the sender, and drops.
    Rejects(Reject),
    /// May leave the rule; on what that hangs, where it is known.
    Tests(Option<Varying>),
    /// Puts something into this register, or leaves the rule.
    Loads(u32),
    /// May leave the rule, and changes registers.
    Unclear,
    /// May do anything.
    Decides(&'a str),
}

/// The attributes of an expression. What is not there, or is cut short, is `None`.
pub struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    /// A number in network order.
    pub fn number(&self, kind: u16) -> Option<u32> {
        find(self.0, kind).ok().flatten().and_then(|value| u32_of(value).ok())
    }

    /// The bytes within a nested NFTA_DATA_VALUE.
    pub fn value(&self, kind: u16) -> Option<&[u8]> {
        find(find(self.0, kind).ok().flatten()?, NFTA_DATA_VALUE).ok().flatten()
    }

    /// A number of one byte.
    pub fn byte(&self, kind: u16) -> Option<u8> {
        find(self.0, kind).ok().flatten().and_then(|value| value.first().copied())
    }

    /// Bytes as they stand there.
    pub fn bytes(&self, kind: u16) -> Option<&[u8]> {
        find(self.0, kind).ok().flatten()
    }

    /// Whether there is such an attribute.
    pub fn has(&self, kind: u16) -> bool {
        !matches!(find(self.0, kind), Ok(None))
    }

    pub fn text(&self, kind: u16) -> Option<String> {
        find(self.0, kind).ok().flatten().map(text_of)
    }

    /// The register that an expression puts something into.
    fn target(&self, name: &str) -> Option<u32> {
        match name {
            "meta" => self.number(NFTA_META_DREG),
            "payload" => self.number(NFTA_PAYLOAD_DREG),
            "exthdr" => self.number(NFTA_EXTHDR_DREG),
            "ct" => self.number(NFTA_CT_DREG),
            "fib" => self.number(NFTA_FIB_DREG),
            "byteorder" => self.number(NFTA_BYTEORDER_DREG),
            "numgen" => self.number(NFTA_NG_DREG),
            "hash" => self.number(NFTA_HASH_DREG),
            "socket" => self.number(NFTA_SOCKET_DREG),
            _ => None,
        }
    }

    /// A map that decides, and the register whose value is looked up in it.
    pub fn verdict_map(&self) -> Option<(u32, String)> {
        let decides = self.number(NFTA_LOOKUP_DREG) == Some(NFT_REG_VERDICT);
        let plain = self.number(NFTA_LOOKUP_FLAGS).unwrap_or(0) == 0;
        let name = self.text(NFTA_LOOKUP_SET).filter(|_| decides && plain)?;
        Some((self.number(NFTA_LOOKUP_SREG)?, set_name(&name, self.number(NFTA_LOOKUP_SET_ID))))
    }

    /// A map that says what another register then holds: the register that is looked up, that one, and the map.
    pub fn value_map(&self) -> Option<(u32, u32, String)> {
        let to = self.number(NFTA_LOOKUP_DREG).filter(|to| *to != NFT_REG_VERDICT)?;
        let name = self.text(NFTA_LOOKUP_SET).filter(|_| self.number(NFTA_LOOKUP_FLAGS).unwrap_or(0) == 0)?;
        Some((self.number(NFTA_LOOKUP_SREG)?, to, set_name(&name, self.number(NFTA_LOOKUP_SET_ID))))
    }

    /// The register whose value is looked up in a map.
    pub fn looked_up(&self, name: &str) -> Option<u32> {
        if name == "lookup" { self.number(NFTA_LOOKUP_SREG) } else { None }
    }

    /// The registers that a number is made of: the first, and how many bytes.
    pub fn hashed(&self, name: &str) -> Option<(u32, u32)> {
        if name == "hash" { self.number(NFTA_HASH_SREG).zip(self.number(NFTA_HASH_LEN)) } else { None }
    }

    /// The register that an expression which writes reads from.
    pub fn source(&self, name: &str) -> Option<u32> {
        match name {
            "meta" => self.number(NFTA_META_SREG),
            "ct" => self.number(NFTA_CT_SREG),
            "payload" => self.number(NFTA_PAYLOAD_SREG),
            "exthdr" => self.number(NFTA_EXTHDR_SREG),
            "dynset" => self.number(NFTA_DYNSET_SREG_KEY),
            _ => None,
        }
    }
}

/// What an expression does. `ip` is the family of the packets that come to it, if that is known; `value` says what a register
/// holds.
pub fn of<'n>(
    name: &'n str,
    fields: &Fields<'_>,
    ip: Option<Family>,
    value: impl Fn(u32, u32) -> Value,
) -> Expressed<'n> {
    // What has a place to write to, and none to read from, leaves the packet alone.
    let loads = |target| fields.source(name).is_none() && fields.number(target).is_some();
    let constant = || fields.source(name).is_some_and(|register| !value(register, 0).may_be_missing());
    let does = Expressed::Does;
    match name {
        "meta" if !loads(NFTA_META_DREG) => match meta(fields, constant(), &value) {
            Some(statement) => does(statement),
            None => Expressed::Decides("meta set"),
        },
        "ct" if !loads(NFTA_CT_DREG) => match connection(fields, constant()) {
            Some(statement) => does(statement),
            None => Expressed::Decides("ct set"),
        },
        "payload" if !loads(NFTA_PAYLOAD_DREG) => does(payload(fields, ip, value)),
        "exthdr" if !loads(NFTA_EXTHDR_DREG) => match fields.number(NFTA_EXTHDR_OP) {
            Some(NFT_EXTHDR_OP_TCPOPT) if fields.source(name).is_some() => {
                // TCPOPT_MAXSEG (net/tcp.h). A wrong timestamp ends a connection.
                let is_size = fields.byte(NFTA_EXTHDR_TYPE) == Some(2);
                let field = if is_size { Field::TcpOption } else { Field::Other("tcp option set".to_owned()) };
                does(Statement::Write { field, constant: false })
            }
            _ => Expressed::Decides("exthdr set"),
        },
        "lookup" => match fields.number(NFTA_LOOKUP_DREG) {
            None => Expressed::Tests(None),
            Some(NFT_REG_VERDICT) => Expressed::Decides("vmap"),
            Some(to) => Expressed::Loads(to),
        },
        "meta" | "payload" | "exthdr" | "ct" | "fib" | "bitwise" | "byteorder" | "hash" | "numgen" | "osf" | "rt"
        | "socket" | "xfrm" | "tunnel" | "immediate" => {
            fields.target(name).map_or(Expressed::Unclear, Expressed::Loads)
        }
        "limit" => Expressed::Tests(Some(Varying::Rate)),
        "quota" => Expressed::Tests(Some(Varying::Amount)),
        "connlimit" => Expressed::Tests(Some(Varying::Connections)),
        "cmp" | "range" | "match" => Expressed::Tests(None),
        "objref" => object(fields),
        "log" => does(Statement::Log(fields.text(NFTA_LOG_PREFIX).unwrap_or_default())),
        "last" => does(Statement::Note),
        "reject" => Expressed::Rejects(match fields.number(NFTA_REJECT_TYPE) {
            Some(NFT_REJECT_TCP_RST) => Reject::TcpReset,
            _ => Reject::Icmp,
        }),
        "notrack" => does(Statement::NoTrack),
        "dynset" => {
            let set = fields.text(NFTA_DYNSET_SET_NAME).unwrap_or_default();
            does(Statement::Update { set: set_name(&set, fields.number(NFTA_DYNSET_SET_ID)) })
        }
        // Those that are known are understood before.
        "nat" => Expressed::Decides("nat"),
        "dup" => does(Statement::Copy),
        "queue" => does(Statement::Divert(Diversion::Queue)),
        "synproxy" => does(Statement::Divert(Diversion::Synproxy)),
        "tproxy" => does(Statement::Divert(Diversion::TransparentProxy)),
        "flow_offload" => does(Statement::Divert(Diversion::FlowOffload)),
        "fwd" => does(Statement::Divert(Diversion::Device)),
        other => Expressed::Decides(other),
    }
}

fn meta(fields: &Fields<'_>, constant: bool, value: impl Fn(u32, u32) -> Value) -> Option<Statement> {
    let field = match fields.number(NFTA_META_KEY)? {
        NFT_META_MARK => Field::Mark(match value(fields.source("meta")?, 4) {
            Value::Constant(bytes) => native(&bytes).map_or(Marking::Unknown, |own| Marking::exchanged(u32::MAX, own)),
            _ => Marking::Unknown,
        }),
        NFT_META_PRIORITY => Field::Priority,
        NFT_META_NFTRACE => Field::Trace,
        NFT_META_SECMARK => Field::SecurityMark,
        key => {
            fields.source("meta")?;
            return Some(Statement::Write { field: Field::Other(format!("meta {key} set")), constant: false });
        }
    };
    fields.source("meta").map(|_| Statement::Write { field, constant })
}

fn connection(fields: &Fields<'_>, constant: bool) -> Option<Statement> {
    fields.source("ct")?;
    match fields.number(NFTA_CT_KEY)? {
        NFT_CT_MARK | NFT_CT_SECMARK | NFT_CT_LABELS | NFT_CT_EVENTMASK => {
            Some(Statement::Write { field: Field::Connection, constant })
        }
        NFT_CT_ZONE => Some(Statement::Track(Tracking::Zone)),
        _ => None,
    }
}

/// A write to the packet: to a field that no test here looks at, if that is certain.
fn payload(fields: &Fields<'_>, ip: Option<Family>, value: impl Fn(u32, u32) -> Value) -> Statement {
    let field = harmless(fields, ip, value).unwrap_or_else(|| Field::Other("payload set".to_owned()));
    Statement::Write { field, constant: false }
}

fn harmless(fields: &Fields<'_>, ip: Option<Family>, value: impl Fn(u32, u32) -> Value) -> Option<Field> {
    let (base, offset) = (fields.number(NFTA_PAYLOAD_BASE)?, fields.number(NFTA_PAYLOAD_OFFSET)?);
    let (length, register) = (fields.number(NFTA_PAYLOAD_LEN)?, fields.number(NFTA_PAYLOAD_SREG)?);
    if base != NFT_PAYLOAD_NETWORK_HEADER {
        return None;
    }
    // Which bits of which bytes are written: all, unless they were read there before.
    let changed = match value(register, length) {
        Value::Modified(from, changed) if *from == (Value::Header { base, offset, length }) => changed,
        _ => vec![u8::MAX; length.min(64) as usize],
    };
    let bits = |at: u32| changed.get(at.checked_sub(offset)? as usize).copied();
    let written: Vec<(u32, u8)> = (offset..offset.saturating_add(length))
        .filter_map(|at| Some((at, bits(at)?)))
        .filter(|(_, bits)| *bits != 0)
        .collect();
    // Offset of iphdr.check (linux/ip.h).
    let (kind, at) = (fields.number(NFTA_PAYLOAD_CSUM_TYPE), fields.number(NFTA_PAYLOAD_CSUM_OFFSET));
    // That of TCP is wrong where it is made to follow what it is not made of.
    let alone = fields.number(NFTA_PAYLOAD_CSUM_FLAGS).unwrap_or_default() == 0;
    let summed = alone && kind == Some(NFT_PAYLOAD_CSUM_INET) && at == Some(10);
    let unsummed = alone && kind.unwrap_or_default() == 0;
    let harmless = |&(at, bits): &(u32, u8)| match (ip, at) {
        // The traffic class. Without another checksum nobody takes the packet.
        (Some(Family::Ip), 1) => summed,
        // Class and flow label behind the version.
        (Some(Family::Ip6), 0) => unsummed && bits & 0xf0 == 0,
        (Some(Family::Ip6), 1..=3) => unsummed,
        (Some(Family::Ip | Family::Ip6 | Family::Inet | Family::Netdev) | None, _) => false,
    };
    written.iter().all(harmless).then_some(Field::Header)
}

fn object<'n>(fields: &Fields<'_>) -> Expressed<'n> {
    match fields.number(NFTA_OBJREF_IMM_TYPE) {
        Some(NFT_OBJECT_COUNTER) => Expressed::Does(Statement::Counter(None)),
        Some(NFT_OBJECT_QUOTA) => Expressed::Tests(Some(Varying::Amount)),
        Some(NFT_OBJECT_LIMIT) => Expressed::Tests(Some(Varying::Rate)),
        Some(NFT_OBJECT_CONNLIMIT) => Expressed::Tests(Some(Varying::Connections)),
        // Those that are known not to are understood before.
        Some(NFT_OBJECT_CT_HELPER | NFT_OBJECT_CT_EXPECT) => Expressed::Does(Statement::Track(Tracking::Expecting)),
        // Which may be no time at all.
        Some(NFT_OBJECT_CT_TIMEOUT) => Expressed::Does(Statement::Track(Tracking::Zone)),
        Some(NFT_OBJECT_SECMARK) => Expressed::Does(Statement::Write { field: Field::SecurityMark, constant: true }),
        Some(NFT_OBJECT_SYNPROXY) => Expressed::Does(Statement::Divert(Diversion::Synproxy)),
        _ => Expressed::Decides("an object"),
    }
}
