//! Elements of sets, and the messages that carry them.
//!
//! INVARIANT (pairs): the two ends of a range are never parted: a range whose end is missing goes up to the next one, or
//! to the highest value.

use super::attributes::{Malformed, Writer, attributes, find, u32_of};
use super::constants::*;

/// A list of elements is one attribute, whose length is a 16-bit number.
const LONGEST_LIST: usize = 65_000;

/// Writes an element.
pub fn element(writer: &mut Writer, key: &[u8], ends: bool) {
    writer.nest(NFTA_LIST_ELEM, |writer| {
        writer.nest(NFTA_SET_ELEM_KEY, |writer| writer.attribute(NFTA_DATA_VALUE, key));
        if ends {
            writer.u32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
        }
    });
}

/// Cuts a list of elements into pieces that each fit into one message.
///
/// # Errors
/// Where attributes are cut short.
pub fn pieces(list: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut cuts = vec![0];
    let (mut start, mut at, mut allowed) = (0, 0, 0);
    if list.len() > LONGEST_LIST {
        for one in attributes(list) {
            let (_, value) = one?;
            let ends = find(value, NFTA_SET_ELEM_FLAGS)?.map(u32_of).transpose()?;
            if ends != Some(NFT_SET_ELEM_INTERVAL_END) {
                allowed = at;
            }
            at += (4 + value.len()).next_multiple_of(4);
            if at - start > LONGEST_LIST {
                cuts.push(allowed);
                start = allowed;
            }
        }
    }
    cuts.push(list.len());
    let pieces = cuts.windows(2).filter_map(|pair| list.get(*pair.first()?..*pair.last()?));
    Ok(pieces.filter(|piece| !piece.is_empty()).collect())
}
