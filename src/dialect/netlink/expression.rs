//! What a rule is made of in the kernel: a small program over registers.
//!
//! Only what the dialect writes, or what it needs to understand a rule, has a form of its own; the rest keeps its name.

use super::attributes::{Malformed, attributes, find, text_of, u32_of, u64_of};
use super::constants::*;

/// One instruction. Registers are given by the kernel's numbers, values in network order unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Loads something about the packet that stands in no header, in the host's byte order.
    Meta {
        /// NFT_META_…
        key: u32,
        /// Where to.
        register: u32,
    },
    /// Loads bytes of a header; a packet without that header leaves the rule.
    Payload {
        /// NFT_PAYLOAD_…_HEADER
        base: u32,
        /// Bytes from the beginning of the header.
        offset: u32,
        /// Bytes.
        length: u32,
        /// Where to.
        register: u32,
    },
    /// Loads bytes of an IPv6 extension header.
    ExtensionHeader {
        /// The header's protocol number.
        header: u8,
        /// Bytes from its beginning.
        offset: u32,
        /// Bytes.
        length: u32,
        /// Where to.
        register: u32,
    },
    /// Loads the type of the destination address (RTN_…, linux/rtnetlink.h), in the host's byte order.
    DestinationType {
        /// Whether only addresses of the interface count that the packet came in on.
        of_interface: bool,
        /// Where to.
        register: u32,
    },
    /// Loads the state of the connection, in the host's byte order.
    ConnectionState {
        /// Where to.
        register: u32,
    },
    /// Loads something else of the connection: its direction (one byte), its status (in the host's byte order), or the
    /// destination port that it began with.
    Connection {
        /// NFT_CT_…
        key: u32,
        /// Where to.
        register: u32,
    },
    /// Keeps the bits of a mask.
    Mask {
        /// Where from and where to.
        register: u32,
        /// The mask.
        mask: Vec<u8>,
    },
    /// Leaves the rule unless the comparison holds.
    Compare {
        /// What is compared.
        register: u32,
        /// NFT_CMP_…
        operator: u32,
        /// With what.
        data: Vec<u8>,
    },
    /// Leaves the rule unless the value lies in a range, both ends included, or outside of it.
    Range {
        /// What is compared.
        register: u32,
        /// Turns the test round.
        negated: bool,
        /// The lowest.
        from: Vec<u8>,
        /// The highest.
        to: Vec<u8>,
    },
    /// Leaves the rule unless the value is in a set, or is not.
    Lookup {
        /// What is looked up.
        register: u32,
        /// The set's name; an anonymous one's, that [`super::Table`] gives it.
        set: String,
        /// Turns the test round.
        negated: bool,
    },
    /// Decides.
    Verdict {
        /// NF_… or NFT_…
        code: i32,
        /// The chain to go to.
        chain: Option<String>,
    },
    /// Counts.
    Counter {
        /// Packets so far.
        packets: u64,
        /// Bytes so far.
        bytes: u64,
    },
    /// Leaves the rule when there were too many packets.
    Limit {
        /// So many packets.
        rate: u64,
        /// In so many seconds.
        unit: u64,
        /// After so many that are free.
        burst: u32,
    },
    /// Writes to the kernel's log.
    Log {
        /// What each line begins with.
        prefix: String,
    },
    /// Answers with a TCP reset, and drops.
    Reset,
    /// Anything else.
    Other {
        /// The kernel's name for it.
        name: String,
        /// What it is told.
        data: Vec<u8>,
    },
}

impl Expression {
    /// The expressions of a rule, from the value of its NFTA_RULE_EXPRESSIONS.
    ///
    /// # Errors
    /// Where the bytes are no attributes.
    pub fn list(bytes: &[u8]) -> Result<Vec<Self>, Malformed> {
        attributes(bytes).map(|element| element.and_then(|(_, value)| Self::one(value))).collect()
    }

    fn one(element: &[u8]) -> Result<Self, Malformed> {
        let name = text_of(find(element, NFTA_EXPR_NAME)?.ok_or(Malformed)?);
        let data = find(element, NFTA_EXPR_DATA)?.unwrap_or_default();
        let fields = Fields(data);
        let known = match name.as_str() {
            "meta" => fields.meta(),
            "payload" => fields.payload(),
            "exthdr" => fields.extension_header(),
            "fib" => fields.fib(),
            "ct" => fields.connection(),
            "bitwise" => fields.bitwise(),
            "cmp" => fields.compare(),
            "range" => fields.range(),
            "lookup" => fields.lookup(),
            "immediate" => fields.immediate(),
            "counter" => fields.counter(),
            "limit" => fields.limit(),
            "log" => fields.log(),
            "reject" => fields.reject(),
            _ => Ok(None),
        }?;
        Ok(known.unwrap_or_else(|| Self::Other { name, data: data.to_vec() }))
    }

    /// The same without what time puts into it.
    #[must_use]
    pub fn without_counts(&self) -> Self {
        match self {
            Self::Counter { .. } => Self::Counter { packets: 0, bytes: 0 },
            other => other.clone(),
        }
    }
}

/// The attributes of one expression. Each function answers `None` where there is more to the expression than its form
/// here can hold.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn find(&self, kind: u16) -> Result<Option<&'a [u8]>, Malformed> {
        find(self.0, kind)
    }

    fn u32(&self, kind: u16) -> Result<Option<u32>, Malformed> {
        self.find(kind)?.map(u32_of).transpose()
    }

    fn u64(&self, kind: u16) -> Result<Option<u64>, Malformed> {
        self.find(kind)?.map(u64_of).transpose()
    }

    /// The value within a nested NFTA_DATA_VALUE.
    fn data(&self, kind: u16) -> Result<Option<Vec<u8>>, Malformed> {
        let Some(nested) = self.find(kind)? else { return Ok(None) };
        Ok(find(nested, NFTA_DATA_VALUE)?.map(<[u8]>::to_vec))
    }

    /// Whether there is nothing but these.
    fn only(&self, known: &[u16]) -> Result<bool, Malformed> {
        for attribute in attributes(self.0) {
            if !known.contains(&attribute?.0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn meta(&self) -> Result<Option<Expression>, Malformed> {
        let (key, register) = (self.u32(NFTA_META_KEY)?, self.u32(NFTA_META_DREG)?);
        Ok(key.zip(register).map(|(key, register)| Expression::Meta { key, register }))
    }

    fn payload(&self) -> Result<Option<Expression>, Malformed> {
        if self.find(NFTA_PAYLOAD_SREG)?.is_some() {
            return Ok(None);
        }
        let (base, offset) = (self.u32(NFTA_PAYLOAD_BASE)?, self.u32(NFTA_PAYLOAD_OFFSET)?);
        let (length, register) = (self.u32(NFTA_PAYLOAD_LEN)?, self.u32(NFTA_PAYLOAD_DREG)?);
        Ok(base.zip(offset).zip(length.zip(register)).map(|((base, offset), (length, register))| Expression::Payload {
            base,
            offset,
            length,
            register,
        }))
    }

    fn extension_header(&self) -> Result<Option<Expression>, Malformed> {
        let ipv6 = self.u32(NFTA_EXTHDR_OP)?.unwrap_or(NFT_EXTHDR_OP_IPV6) == NFT_EXTHDR_OP_IPV6;
        let plain = self.u32(NFTA_EXTHDR_FLAGS)?.unwrap_or(0) == 0 && self.find(NFTA_EXTHDR_SREG)?.is_none();
        let header = self.find(NFTA_EXTHDR_TYPE)?.and_then(|value| value.first().copied());
        let (offset, length) = (self.u32(NFTA_EXTHDR_OFFSET)?, self.u32(NFTA_EXTHDR_LEN)?);
        let (Some(header), Some(offset), Some(length), Some(register), true) =
            (header, offset, length, self.u32(NFTA_EXTHDR_DREG)?, ipv6 && plain)
        else {
            return Ok(None);
        };
        Ok(Some(Expression::ExtensionHeader { header, offset, length, register }))
    }

    fn fib(&self) -> Result<Option<Expression>, Malformed> {
        let of_interface = match self.u32(NFTA_FIB_FLAGS)? {
            Some(NFTA_FIB_F_DADDR) => false,
            Some(flags) if flags == NFTA_FIB_F_DADDR | NFTA_FIB_F_IIF => true,
            _ => return Ok(None),
        };
        let ours = self.u32(NFTA_FIB_RESULT)? == Some(NFT_FIB_RESULT_ADDRTYPE);
        let register = self.u32(NFTA_FIB_DREG)?.filter(|_| ours);
        Ok(register.map(|register| Expression::DestinationType { of_interface, register }))
    }

    fn connection(&self) -> Result<Option<Expression>, Malformed> {
        let plain = self.only(&[NFTA_CT_DREG, NFTA_CT_KEY])?;
        let original = self.find(NFTA_CT_DIRECTION)?.is_some_and(|direction| *direction == [0])
            && self.only(&[NFTA_CT_DREG, NFTA_CT_KEY, NFTA_CT_DIRECTION])?;
        let Some(register) = self.u32(NFTA_CT_DREG)? else { return Ok(None) };
        Ok(match self.u32(NFTA_CT_KEY)? {
            Some(NFT_CT_STATE) if plain => Some(Expression::ConnectionState { register }),
            Some(key @ (NFT_CT_DIRECTION | NFT_CT_STATUS)) if plain => Some(Expression::Connection { key, register }),
            Some(key @ NFT_CT_PROTO_DST) if original => Some(Expression::Connection { key, register }),
            _ => None,
        })
    }

    fn bitwise(&self) -> Result<Option<Expression>, Malformed> {
        // 0 is the operation with mask and xor; kernels before 5.6 have no other and do not name it.
        let masks = self.u32(NFTA_BITWISE_OP)?.unwrap_or(0) == 0;
        let known = [
            NFTA_BITWISE_SREG,
            NFTA_BITWISE_DREG,
            NFTA_BITWISE_LEN,
            NFTA_BITWISE_MASK,
            NFTA_BITWISE_XOR,
            NFTA_BITWISE_OP,
        ];
        let from = self.u32(NFTA_BITWISE_SREG)?;
        let same = from == self.u32(NFTA_BITWISE_DREG)?;
        let no_xor = self.data(NFTA_BITWISE_XOR)?.is_some_and(|xor| xor.iter().all(|byte| *byte == 0));
        let plain = masks && same && no_xor && self.only(&known)?;
        let length = self.u32(NFTA_BITWISE_LEN)?;
        let mask = self.data(NFTA_BITWISE_MASK)?.filter(|mask| length == Some(mask.len() as u32));
        Ok(from.zip(mask).filter(|_| plain).map(|(register, mask)| Expression::Mask { register, mask }))
    }

    fn compare(&self) -> Result<Option<Expression>, Malformed> {
        let (register, operator) = (self.u32(NFTA_CMP_SREG)?, self.u32(NFTA_CMP_OP)?);
        Ok(register
            .zip(operator)
            .zip(self.data(NFTA_CMP_DATA)?)
            .map(|((register, operator), data)| Expression::Compare { register, operator, data }))
    }

    fn range(&self) -> Result<Option<Expression>, Malformed> {
        let (register, operator) = (self.u32(NFTA_RANGE_SREG)?, self.u32(NFTA_RANGE_OP)?);
        let ends = self.data(NFTA_RANGE_FROM_DATA)?.zip(self.data(NFTA_RANGE_TO_DATA)?);
        let negated = match operator {
            Some(NFT_RANGE_EQ) => false,
            Some(NFT_RANGE_NEQ) => true,
            _ => return Ok(None),
        };
        Ok(register.zip(ends).map(|(register, (from, to))| Expression::Range { register, negated, from, to }))
    }

    fn lookup(&self) -> Result<Option<Expression>, Malformed> {
        if self.find(NFTA_LOOKUP_DREG)?.is_some() {
            return Ok(None);
        }
        let negated = match self.u32(NFTA_LOOKUP_FLAGS)?.unwrap_or(0) {
            0 => false,
            NFT_LOOKUP_F_INV => true,
            _ => return Ok(None),
        };
        let Some(name) = self.find(NFTA_LOOKUP_SET)? else { return Ok(None) };
        let set = super::table::set_name(&text_of(name), self.u32(NFTA_LOOKUP_SET_ID)?);
        Ok(self.u32(NFTA_LOOKUP_SREG)?.map(|register| Expression::Lookup { register, set, negated }))
    }

    fn immediate(&self) -> Result<Option<Expression>, Malformed> {
        let to_verdict = self.u32(NFTA_IMMEDIATE_DREG)? == Some(NFT_REG_VERDICT);
        let Some(data) = self.find(NFTA_IMMEDIATE_DATA)?.filter(|_| to_verdict) else { return Ok(None) };
        let Some(verdict) = find(data, NFTA_DATA_VERDICT)? else { return Ok(None) };
        let code = u32_of(find(verdict, NFTA_VERDICT_CODE)?.ok_or(Malformed)?)?.cast_signed();
        let chain = find(verdict, NFTA_VERDICT_CHAIN)?.map(text_of);
        Ok(Some(Expression::Verdict { code, chain }))
    }

    fn counter(&self) -> Result<Option<Expression>, Malformed> {
        let packets = self.u64(NFTA_COUNTER_PACKETS)?.unwrap_or(0);
        let bytes = self.u64(NFTA_COUNTER_BYTES)?.unwrap_or(0);
        Ok(Some(Expression::Counter { packets, bytes }))
    }

    fn limit(&self) -> Result<Option<Expression>, Malformed> {
        // Type 0 counts packets; flag 1 turns the limit round.
        let plain = self.u32(NFTA_LIMIT_TYPE)?.unwrap_or(0) == 0 && self.u32(NFTA_LIMIT_FLAGS)?.unwrap_or(0) == 0;
        let burst = self.u32(NFTA_LIMIT_BURST)?.unwrap_or(0);
        let rate = self.u64(NFTA_LIMIT_RATE)?.zip(self.u64(NFTA_LIMIT_UNIT)?).filter(|_| plain);
        Ok(rate.map(|(rate, unit)| Expression::Limit { rate, unit, burst }))
    }

    fn log(&self) -> Result<Option<Expression>, Malformed> {
        let prefix = self.find(NFTA_LOG_PREFIX)?.map(text_of).unwrap_or_default();
        let to_kernel = self.find(NFTA_LOG_GROUP)?.is_none();
        Ok(to_kernel.then_some(Expression::Log { prefix }))
    }

    fn reject(&self) -> Result<Option<Expression>, Malformed> {
        Ok((self.u32(NFTA_REJECT_TYPE)? == Some(NFT_REJECT_TCP_RST)).then_some(Expression::Reset))
    }
}
