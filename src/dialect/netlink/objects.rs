//! What the named objects of tables say that rules hang on: quotas, limits, and whatever else may decide.
//!
//! INVARIANT (no mere counter): what an object has counted is no part of it, nor is what rules only count, note or mark with it.

use super::attributes::{Malformed, Message, attributes, find, text_of, u32_of};
use super::constants::*;
use super::read::request;
use super::socket::{RequestError, Socket};

/// The objects that rules refer to and that may have a say on packets, each with its table, its name and what it says; in one order.
///
/// # Errors
/// Where the kernel refuses, or makes no sense.
pub fn objects(socket: &mut Socket) -> Result<Vec<String>, RequestError> {
    let mut all = Vec::new();
    let flags = NLM_F_REQUEST | NLM_F_DUMP;
    socket.dump(
        |sequence| request(NFT_MSG_GETOBJ, flags, NFPROTO_UNSPEC, sequence, |_| {}),
        |message| {
            all.extend(told(&message)?);
            Ok::<(), RequestError>(())
        },
    )?;
    all.sort_unstable();
    Ok(all)
}

fn told(message: &Message<'_>) -> Result<Option<String>, Malformed> {
    let (family, body) = (message.payload.first().ok_or(Malformed)?, message.payload.get(4..).ok_or(Malformed)?);
    let of = |wanted| find(body, wanted)?.ok_or(Malformed);
    let kind = u32_of(of(NFTA_OBJ_TYPE)?)?;
    let is_used = find(body, NFTA_OBJ_USE)?.map(u32_of).transpose()? != Some(0);
    match kind {
        // These decide nothing, whatever they say.
        NFT_OBJECT_COUNTER | NFT_OBJECT_CT_TIMEOUT | NFT_OBJECT_SECMARK => return Ok(None),
        _ if !is_used => return Ok(None),
        _ => {}
    }
    let (table, name) = (text_of(of(NFTA_OBJ_TABLE)?), text_of(of(NFTA_OBJ_NAME)?));
    let mut says = Vec::new();
    for attribute in attributes(find(body, NFTA_OBJ_DATA)?.unwrap_or_default()) {
        match (kind, attribute?) {
            (NFT_OBJECT_QUOTA, (NFTA_QUOTA_CONSUMED, _)) => {}
            // Whether it is used up is told beside whether it is turned round.
            (NFT_OBJECT_QUOTA, (NFTA_QUOTA_FLAGS, flags)) => {
                says.push(format!("{NFTA_QUOTA_FLAGS} {}", u32_of(flags)? & NFT_QUOTA_F_INV));
            }
            (_, (attribute, value)) => says.push(format!("{attribute} {value:02x?}")),
        }
    }
    says.sort_unstable();
    Ok(Some(format!("object {family} {table} {kind} {name} {}", says.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::netlink::attributes::{Writer, messages};

    fn of(kind: u32, used: u32, data: &dyn Fn(&mut Writer)) -> Option<String> {
        let bytes = request(NFT_MSG_NEWOBJ, 0, NFPROTO_IPV4, 1, |writer| {
            writer.text(NFTA_OBJ_TABLE, "filter");
            writer.text(NFTA_OBJ_NAME, "x");
            writer.u32(NFTA_OBJ_TYPE, kind);
            writer.u32(NFTA_OBJ_USE, used);
            writer.nest(NFTA_OBJ_DATA, data);
        });
        told(&messages(&bytes).next().unwrap().unwrap()).unwrap()
    }

    #[test]
    fn what_is_counted_is_left_out() {
        let quota = |bytes: u8, consumed: u8, flags: u32| {
            of(NFT_OBJECT_QUOTA, 1, &|writer: &mut Writer| {
                writer.attribute(1, &[0, 0, 0, 0, 0, 0, 0, bytes]);
                writer.u32(NFTA_QUOTA_FLAGS, flags);
                writer.attribute(NFTA_QUOTA_CONSUMED, &[0, 0, 0, 0, 0, 0, 0, consumed]);
            })
        };
        assert_eq!(quota(9, 1, 1), quota(9, 8, 3));
        assert_ne!(quota(9, 1, 1), quota(8, 1, 1));
        assert_ne!(quota(9, 1, 1), quota(9, 1, 0));
        let plain = |kind, used| of(kind, used, &|writer: &mut Writer| writer.u32(1, 5));
        assert_eq!((plain(NFT_OBJECT_COUNTER, 1), plain(NFT_OBJECT_LIMIT, 0)), (None, None));
        assert!(plain(NFT_OBJECT_LIMIT, 1).is_some() && plain(77, 1).is_some(), "what is not known may decide");
    }
}
