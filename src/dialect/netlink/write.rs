//! The kernel's instructions → netlink messages, by libnftnl.
//!
//! libnftnl knows how objects and expressions are put into attributes; the reader beside this one does not use it, so
//! that a mistake of either would show. It does not check the lengths that it is given, so they are checked here:
//!
//! INVARIANT (lengths): data of an expression has at most 16 bytes, a name or text at most 127, a rule at most 64
//! expressions. No message then comes near the 64 KiB that libnftnl wants as room for one.

#![allow(unsafe_code, reason = "libnftnl is a C library")]

use std::ffi::{CString, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use nftnl::expr::Expression as NftnlExpression;
use nftnl::nftnl_sys as sys;
use nftnl::set::{Set as NftnlSet, SetKey};
use nftnl::{Chain, ChainType, Hook, MsgType, NlMsg, Policy, ProtoFamily, Rule, Table};

use super::attributes::Writer;
use super::constants::*;
use super::elements::{element, length_of, values};
use super::expression::Expression;
use super::lower::{Keys, LoweredChain, LoweredRule, LoweredSet, LoweredTable, NotWritable};
use super::table;
use crate::ir;

const LONGEST_DATA: usize = 16;
const LONGEST_TEXT: usize = 127;
const MOST_EXPRESSIONS: usize = 64;
/// What `nft` keeps with a set so that it can print its keys: in which byte order they are, big-endian or the host's
/// (libnftnl, NFTNL_UDATA_SET_KEYBYTEORDER).
const KEY_BYTE_ORDER: u8 = 0;
const HOST_ENDIAN: u32 = 1;
const BIG_ENDIAN: u32 = 2;

/// The table as the kernel has to be told it.
///
/// # Errors
/// Where something does not fit.
pub fn write(lowered: &LoweredTable) -> Result<table::Table, NotWritable> {
    let family = match lowered.family {
        NFPROTO_INET => ProtoFamily::Inet,
        NFPROTO_IPV4 => ProtoFamily::Ipv4,
        NFPROTO_IPV6 => ProtoFamily::Ipv6,
        other => return Err(NotWritable(format!("family {other}"))),
    };
    let table = Table::new(c_text(&lowered.name)?, family);
    let mut out = Messages::new();
    out.object(&table);
    for (number, set) in lowered.sets.iter().enumerate() {
        out.set(&table, set, number as u32 + 1)?;
    }
    // All chains before the first rule, which may jump to any.
    let names = lowered.chains.iter().map(|chain| c_text(&chain.name)).collect::<Result<Vec<_>, _>>()?;
    let mut chains = Vec::new();
    for (chain, name) in lowered.chains.iter().zip(&names) {
        let mut object = Chain::new(name, &table);
        set_base(&mut object, chain)?;
        out.object(&object);
        chains.push(object);
    }
    for (chain, object) in lowered.chains.iter().zip(&chains) {
        for rule in &chain.rules {
            out.object(&rule_of(object, rule, lowered)?);
        }
    }
    let table = table::Table::from_messages(out.writer.bytes());
    let mut table = table.map_err(|error| NotWritable(error.to_string()))?;
    if table.sets.len() != lowered.sets.len() {
        return Err(NotWritable("a set that is lost on the way".to_owned()));
    }
    // In the order in which they were written. Elements go straight to where they are kept: of 100,000 each copy takes its time.
    for (set, lowered) in table.sets.iter_mut().zip(&lowered.sets) {
        set.elements = Arc::new(list_of(&lowered.elements, lowered.key_length as usize));
    }
    Ok(table)
}

fn c_text(text: &str) -> Result<CString, NotWritable> {
    let fits = Some(text).filter(|text| text.len() <= LONGEST_TEXT).and_then(|text| CString::new(text).ok());
    fits.ok_or_else(|| NotWritable(format!("the text {text:?}")))
}

/// Messages, and the room in which libnftnl writes one.
struct Messages {
    writer: Writer,
    room: Vec<u64>,
}

impl Messages {
    fn new() -> Self {
        let bytes = nftnl::nft_nlmsg_maxsize() as usize;
        // Whole words, because a message header is aligned to four bytes.
        Self { writer: Writer::default(), room: vec![0; bytes.div_ceil(8)] }
    }

    fn object(&mut self, object: &impl NlMsg) {
        let room = self.room.as_mut_ptr();
        // SAFETY: the room has `nft_nlmsg_maxsize` bytes, which is what `write` asks for, and INVARIANT (lengths) keeps
        // every message of this module far below that. A message begins with its length in bytes.
        let bytes = unsafe {
            object.write(room.cast::<c_void>(), 1, MsgType::Add);
            let length = room.cast::<u32>().read() as usize;
            std::slice::from_raw_parts(room.cast::<u8>(), length.min(self.room.len() * 8))
        };
        self.writer.raw(bytes);
    }

    fn set(&mut self, table: &Table, set: &LoweredSet, id: u32) -> Result<(), NotWritable> {
        let name = if set.flags & NFT_SET_ANONYMOUS != 0 { c"__set%d".to_owned() } else { c_text(&set.name)? };
        match (set.key_type, set.key_length) {
            (key_type::IPV4_ADDR, 4) => self.keyed_set::<Ipv4>(table, set, &name, id),
            (key_type::IPV6_ADDR, 16) => self.keyed_set::<Ipv6>(table, set, &name, id),
            (key_type::INET_SERVICE, 2) => self.keyed_set::<Port>(table, set, &name, id),
            (key_type::IFNAME, 16) => self.keyed_set::<InterfaceName>(table, set, &name, id),
            (other, _) => return Err(NotWritable(format!("a set of type {other}"))),
        }
        Ok(())
    }

    fn keyed_set<K: SetKey>(&mut self, table: &Table, set: &LoweredSet, name: &std::ffi::CStr, id: u32) {
        let object = NftnlSet::<K>::new_named(name, id, table, table.get_family());
        let mut order = vec![KEY_BYTE_ORDER, 4];
        let host = set.key_type == key_type::IFNAME;
        order.extend_from_slice(&if host { HOST_ENDIAN } else { BIG_ENDIAN }.to_ne_bytes());
        let pointer = object.as_ptr().as_ptr();
        // SAFETY: the set is alive, and libnftnl copies the data of the length that it is given.
        unsafe {
            sys::nftnl_set_set_u32(pointer, sys::NFTNL_SET_FLAGS as u16, set.flags);
            if let Some(size) = set.size {
                sys::nftnl_set_set_u32(pointer, sys::NFTNL_SET_DESC_SIZE as u16, size);
            }
            sys::nftnl_set_set_data(
                pointer,
                sys::NFTNL_SET_USERDATA as u16,
                order.as_ptr().cast::<c_void>(),
                order.len() as u32,
            );
        }
        self.object(&object);
    }
}

macro_rules! set_keys {
    ($($name:ident = $number:expr, $length:expr;)+) => { $(
        struct $name;
        impl SetKey for $name {
            const TYPE: u32 = $number;
            const LEN: u32 = $length;
            // Elements are not written one by one.
            fn data(&self) -> Box<[u8]> {
                Box::default()
            }
        }
    )+ };
}
set_keys! {
    Ipv4 = key_type::IPV4_ADDR, 4;
    Ipv6 = key_type::IPV6_ADDR, 16;
    Port = key_type::INET_SERVICE, 2;
    InterfaceName = key_type::IFNAME, 16;
}

/// Elements as attributes: a list of 100,000 is written twenty times as fast as with one object for each.
fn list_of(keys: &Keys, length: usize) -> Vec<u8> {
    let list = keys.bytes.chunks_exact(length.max(1));
    if keys.ends.is_empty() {
        return values(length, list);
    }
    let all = || list.clone().zip(keys.ends.iter().copied());
    let mut writer = Writer::with_capacity(all().map(|(key, ends)| length_of(key, ends)).sum());
    all().for_each(|(key, ends)| element(&mut writer, key, ends));
    writer.into_bytes()
}

fn set_base(object: &mut Chain<'_>, chain: &LoweredChain) -> Result<(), NotWritable> {
    let Some(base) = chain.base else { return Ok(()) };
    object.set_hook(
        match base.hook {
            ir::Hook::Ingress | ir::Hook::Egress => {
                return Err(NotWritable(format!("the chain {} of a device", chain.name)));
            }
            ir::Hook::Prerouting => Hook::PreRouting,
            ir::Hook::Input => Hook::In,
            ir::Hook::Forward => Hook::Forward,
            ir::Hook::Output => Hook::Out,
            ir::Hook::Postrouting => Hook::PostRouting,
        },
        base.priority,
    );
    object.set_type(match base.kind {
        ir::ChainKind::Filter => ChainType::Filter,
        ir::ChainKind::Nat => ChainType::Nat,
        ir::ChainKind::Route => ChainType::Route,
    });
    object.set_policy(match base.policy {
        ir::Policy::Accept => Policy::Accept,
        ir::Policy::Drop => Policy::Drop,
    });
    Ok(())
}

fn rule_of<'a>(chain: &'a Chain<'a>, rule: &LoweredRule, table: &LoweredTable) -> Result<Rule<'a>, NotWritable> {
    if rule.program.len() > MOST_EXPRESSIONS {
        return Err(NotWritable("a rule of too many tests".into()));
    }
    let mut object = Rule::new(chain);
    for expression in &rule.program {
        object.add_expr(&Checked::new(expression, table)?);
    }
    if let Some(comment) = &rule.comment {
        object.set_comment(c_text(comment)?).map_err(|error| NotWritable(error.to_owned()))?;
    }
    Ok(object)
}

/// Values for an expression's attributes.
enum Field {
    U8(u8),
    U32(u32),
    U64(u64),
    Data(Vec<u8>),
    Text(CString),
}

/// An expression of which everything is known to fit.
struct Checked {
    name: &'static std::ffi::CStr,
    fields: Vec<(u32, Field)>,
}

impl NftnlExpression for Checked {
    fn to_expr(&self, _rule: &Rule<'_>) -> NonNull<sys::nftnl_expr> {
        // SAFETY: the name ends with a zero.
        let expression = unsafe { sys::nftnl_expr_alloc(self.name.as_ptr()) };
        let Some(expression) = NonNull::new(expression) else { std::process::abort() };
        let pointer = expression.as_ptr();
        for (attribute, field) in &self.fields {
            let attribute = *attribute as u16;
            // SAFETY: the expression is alive, its attributes have the types that `Checked::new` gives them, data has at
            // most 16 bytes (INVARIANT (lengths)) and is copied, as texts are.
            unsafe {
                match field {
                    Field::U8(value) => sys::nftnl_expr_set_u8(pointer, attribute, *value),
                    Field::U32(value) => sys::nftnl_expr_set_u32(pointer, attribute, *value),
                    Field::U64(value) => sys::nftnl_expr_set_u64(pointer, attribute, *value),
                    Field::Data(value) => {
                        sys::nftnl_expr_set(pointer, attribute, value.as_ptr().cast::<c_void>(), value.len() as u32);
                    }
                    Field::Text(value) => {
                        sys::nftnl_expr_set_str(pointer, attribute, value.as_ptr());
                    }
                }
            }
        }
        expression
    }
}

impl Checked {
    fn new(expression: &Expression, table: &LoweredTable) -> Result<Self, NotWritable> {
        use Field::{U8, U32, U64};
        let data = |bytes: &[u8]| match bytes.len() {
            0..=LONGEST_DATA => Ok(Field::Data(bytes.to_vec())),
            _ => Err(NotWritable("a comparison with too many bytes".into())),
        };
        let text = |text: &str| c_text(text).map(Field::Text);
        let (name, fields) = match expression {
            Expression::Meta { key, register } => {
                (c"meta", vec![(sys::NFTNL_EXPR_META_KEY, U32(*key)), (sys::NFTNL_EXPR_META_DREG, U32(*register))])
            }
            Expression::Payload { base, offset, length, register } => (
                c"payload",
                vec![
                    (sys::NFTNL_EXPR_PAYLOAD_BASE, U32(*base)),
                    (sys::NFTNL_EXPR_PAYLOAD_OFFSET, U32(*offset)),
                    (sys::NFTNL_EXPR_PAYLOAD_LEN, U32(*length)),
                    (sys::NFTNL_EXPR_PAYLOAD_DREG, U32(*register)),
                ],
            ),
            Expression::ExtensionHeader { header, offset, length, register } => (
                c"exthdr",
                vec![
                    (sys::NFTNL_EXPR_EXTHDR_OP, U32(NFT_EXTHDR_OP_IPV6)),
                    (sys::NFTNL_EXPR_EXTHDR_TYPE, U8(*header)),
                    (sys::NFTNL_EXPR_EXTHDR_OFFSET, U32(*offset)),
                    (sys::NFTNL_EXPR_EXTHDR_LEN, U32(*length)),
                    (sys::NFTNL_EXPR_EXTHDR_DREG, U32(*register)),
                ],
            ),
            Expression::DestinationType { of_interface, register } => (
                c"fib",
                vec![
                    (sys::NFTNL_EXPR_FIB_RESULT, U32(NFT_FIB_RESULT_ADDRTYPE)),
                    (sys::NFTNL_EXPR_FIB_FLAGS, U32(NFTA_FIB_F_DADDR | if *of_interface { NFTA_FIB_F_IIF } else { 0 })),
                    (sys::NFTNL_EXPR_FIB_DREG, U32(*register)),
                ],
            ),
            Expression::ConnectionState { register } => {
                (c"ct", vec![(sys::NFTNL_EXPR_CT_KEY, U32(NFT_CT_STATE)), (sys::NFTNL_EXPR_CT_DREG, U32(*register))])
            }
            Expression::Connection { key, register } => {
                let mut fields = vec![(sys::NFTNL_EXPR_CT_KEY, U32(*key)), (sys::NFTNL_EXPR_CT_DREG, U32(*register))];
                if *key == NFT_CT_PROTO_DST {
                    fields.push((sys::NFTNL_EXPR_CT_DIR, U8(0)));
                }
                (c"ct", fields)
            }
            Expression::Mask { register, mask } => (
                c"bitwise",
                vec![
                    (sys::NFTNL_EXPR_BITWISE_SREG, U32(*register)),
                    (sys::NFTNL_EXPR_BITWISE_DREG, U32(*register)),
                    (sys::NFTNL_EXPR_BITWISE_LEN, U32(mask.len() as u32)),
                    (sys::NFTNL_EXPR_BITWISE_MASK, data(mask)?),
                    (sys::NFTNL_EXPR_BITWISE_XOR, data(&vec![0; mask.len()])?),
                ],
            ),
            Expression::Compare { register, operator, data: bytes } => (
                c"cmp",
                vec![
                    (sys::NFTNL_EXPR_CMP_SREG, U32(*register)),
                    (sys::NFTNL_EXPR_CMP_OP, U32(*operator)),
                    (sys::NFTNL_EXPR_CMP_DATA, data(bytes)?),
                ],
            ),
            Expression::Range { register, negated, from, to } => (
                c"range",
                vec![
                    (sys::NFTNL_EXPR_RANGE_SREG, U32(*register)),
                    (sys::NFTNL_EXPR_RANGE_OP, U32(if *negated { NFT_RANGE_NEQ } else { NFT_RANGE_EQ })),
                    (sys::NFTNL_EXPR_RANGE_FROM_DATA, data(from)?),
                    (sys::NFTNL_EXPR_RANGE_TO_DATA, data(to)?),
                ],
            ),
            Expression::Lookup { register, set, negated } => {
                let number = table.sets.iter().position(|own| own.name == *set);
                let number = number.ok_or_else(|| NotWritable(format!("there is no set {set}")))?;
                let anonymous = table.sets.iter().any(|own| own.name == *set && own.flags & NFT_SET_ANONYMOUS != 0);
                let mut fields = vec![
                    (sys::NFTNL_EXPR_LOOKUP_SREG, U32(*register)),
                    (sys::NFTNL_EXPR_LOOKUP_SET, text(if anonymous { "__set%d" } else { set })?),
                    (sys::NFTNL_EXPR_LOOKUP_SET_ID, U32(number as u32 + 1)),
                ];
                if *negated {
                    fields.push((sys::NFTNL_EXPR_LOOKUP_FLAGS, U32(NFT_LOOKUP_F_INV)));
                }
                (c"lookup", fields)
            }
            Expression::Verdict { code, chain } => {
                let mut fields = vec![
                    (sys::NFTNL_EXPR_IMM_DREG, U32(NFT_REG_VERDICT)),
                    (sys::NFTNL_EXPR_IMM_VERDICT, U32(code.cast_unsigned())),
                ];
                if let Some(chain) = chain {
                    fields.push((sys::NFTNL_EXPR_IMM_CHAIN, text(chain)?));
                }
                (c"immediate", fields)
            }
            Expression::Counter { packets, bytes } => (
                c"counter",
                vec![(sys::NFTNL_EXPR_CTR_PACKETS, U64(*packets)), (sys::NFTNL_EXPR_CTR_BYTES, U64(*bytes))],
            ),
            Expression::Limit { rate, unit, burst } => (
                c"limit",
                vec![
                    (sys::NFTNL_EXPR_LIMIT_RATE, U64(*rate)),
                    (sys::NFTNL_EXPR_LIMIT_UNIT, U64(*unit)),
                    (sys::NFTNL_EXPR_LIMIT_BURST, U32(*burst)),
                ],
            ),
            Expression::Log { prefix } => (c"log", vec![(sys::NFTNL_EXPR_LOG_PREFIX, text(prefix)?)]),
            Expression::Reset => (
                c"reject",
                vec![(sys::NFTNL_EXPR_REJECT_TYPE, U32(NFT_REJECT_TCP_RST)), (sys::NFTNL_EXPR_REJECT_CODE, U8(0))],
            ),
            Expression::Other { name, .. } => return Err(NotWritable(name.clone())),
        };
        Ok(Self { name, fields })
    }
}
