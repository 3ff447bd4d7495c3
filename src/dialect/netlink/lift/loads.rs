//! Expressions without a form of their own that put something into a register that is known. Each answers `None` where it is
//! another.

use super::super::constants::*;
use super::program::Program;
use super::show::raw;
use super::statements::Fields;
use super::value::{HELPER, LONGEST_VALUE, NOTED, Value};

impl Program<'_> {
    pub(super) fn immediate(&mut self, fields: &Fields<'_>) -> Option<()> {
        let register = fields.number(NFTA_IMMEDIATE_DREG)?;
        let value = fields.value(NFTA_IMMEDIATE_DATA).unwrap_or_default().to_vec();
        self.load(register, value.len() as u32, Value::Constant(value));
        Some(())
    }

    /// What kind of address the source is.
    pub(super) fn source_type(&mut self, fields: &Fields<'_>) -> Option<()> {
        let plain = fields.number(NFTA_FIB_FLAGS)? == NFTA_FIB_F_SADDR;
        if !plain || fields.number(NFTA_FIB_RESULT)? != NFT_FIB_RESULT_ADDRTYPE {
            return None;
        }
        self.load(fields.number(NFTA_FIB_DREG)?, 4, Value::SourceType);
        Some(())
    }

    /// Whether there is a way back to the source, be it asked by the interface's number.
    pub(super) fn way_back(&mut self, fields: &Fields<'_>) -> Option<()> {
        let flags = fields.number(NFTA_FIB_FLAGS)?;
        let plain = flags & !(NFTA_FIB_F_MARK | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT) == NFTA_FIB_F_SADDR;
        if !plain || fields.number(NFTA_FIB_RESULT)? != NFT_FIB_RESULT_OIF {
            return None;
        }
        let (same_interface, numbered) = (flags & NFTA_FIB_F_IIF != 0, flags & NFTA_FIB_F_PRESENT == 0);
        self.load(fields.number(NFTA_FIB_DREG)?, 4, Value::WayBack { same_interface, numbered });
        Some(())
    }

    pub(super) fn connection_mark(&mut self, fields: &Fields<'_>) -> Option<()> {
        let mark = fields.number(NFTA_CT_KEY)? == NFT_CT_MARK && !fields.has(NFTA_CT_DIRECTION);
        let register = fields.number(NFTA_CT_DREG).filter(|_| mark)?;
        self.load(register, 4, Value::Connection(NFT_CT_MARK));
        Some(())
    }

    /// What else connection tracking has noted of a connection.
    pub(super) fn noted(&mut self, fields: &Fields<'_>) -> Option<()> {
        let register = fields.number(NFTA_CT_DREG)?;
        let name = if fields.number(NFTA_CT_KEY)? == NFT_CT_HELPER { HELPER } else { NOTED };
        self.load(register, LONGEST_VALUE, Value::Loaded { by: name.to_owned(), how: raw(fields.0, None) });
        Some(())
    }

    /// A number is put into network order; `None` where that is not what the expression does.
    pub(super) fn in_order(&mut self, fields: &Fields<'_>) -> Option<()> {
        let (from, to) = (fields.number(NFTA_BYTEORDER_SREG)?, fields.number(NFTA_BYTEORDER_DREG)?);
        // Pieces of another size than the whole are put in order each by itself (nft_byteorder_eval).
        let (length, size) = (fields.number(NFTA_BYTEORDER_LEN)?, fields.number(NFTA_BYTEORDER_SIZE)?);
        let in_order = fields.number(NFTA_BYTEORDER_OP)? == NFT_BYTEORDER_HTON && length == 4 && size == 4;
        in_order.then_some(())?;
        let value = self.value(from, length);
        self.tested(from);
        self.load(to, length, Value::InOrder(Box::new(value)));
        Some(())
    }

    /// Whether an IPv6 packet has an extension header: 1 or 0, in one byte.
    pub(super) fn header_is_there(&mut self, fields: &Fields<'_>) -> Option<()> {
        let ipv6 = fields.number(NFTA_EXTHDR_OP).unwrap_or(NFT_EXTHDR_OP_IPV6) == NFT_EXTHDR_OP_IPV6;
        let present = fields.number(NFTA_EXTHDR_FLAGS)? == NFT_EXTHDR_F_PRESENT;
        let header = fields.byte(NFTA_EXTHDR_TYPE).filter(|_| ipv6 && present)?;
        self.load(fields.number(NFTA_EXTHDR_DREG)?, 4, Value::HeaderPresent(header));
        Some(())
    }

    /// Some bits of a register are kept, the others set to anything; `None` where that is not what the expression does.
    pub(super) fn modify(&mut self, fields: &Fields<'_>) -> Option<()> {
        let (from, to) = (fields.number(NFTA_BITWISE_SREG)?, fields.number(NFTA_BITWISE_DREG)?);
        let length = fields.number(NFTA_BITWISE_LEN)?;
        let value = self.value(from, length);
        let changed = match (fields.value(NFTA_BITWISE_MASK), fields.value(NFTA_BITWISE_XOR)) {
            (Some(mask), Some(xor)) if fields.number(NFTA_BITWISE_OP).unwrap_or(0) == 0 => {
                mask.iter().zip(xor).map(|(mask, xor)| !mask | xor).collect()
            }
            _ => vec![u8::MAX; length.min(64) as usize],
        };
        self.tested(from);
        self.load(to, length, Value::Modified(Box::new(value), changed));
        Some(())
    }
}
