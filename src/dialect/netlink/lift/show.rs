//! What was not understood, in words close to those of `nft --debug=netlink`.

use std::fmt::{self, Display, Formatter, Write as _};

use super::super::attributes::attributes;
use super::super::constants::*;
use super::value::{Test, Value};

struct Bytes<'a>(&'a [u8]);

impl Display for Bytes<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// All that an expression is told, but for one attribute: two that are told something else are not the same.
pub fn raw(data: &[u8], except: Option<u16>) -> String {
    let mut text = String::new();
    for (kind, value) in attributes(data).map_while(Result::ok).filter(|(kind, _)| Some(*kind) != except) {
        // Writing to a String cannot fail.
        _ = write!(text, " {kind}:{}", Bytes(value));
    }
    text
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meta(key) => match *key {
                3 => f.write_str("meta mark"),
                NFT_META_IIF => f.write_str("meta iif"),
                NFT_META_IIFNAME => f.write_str("meta iifname"),
                NFT_META_OIF => f.write_str("meta oif"),
                NFT_META_OIFNAME => f.write_str("meta oifname"),
                NFT_META_PROTOCOL => f.write_str("meta protocol"),
                NFT_META_PKTTYPE => f.write_str("meta pkttype"),
                10 => f.write_str("meta skuid"),
                NFT_META_NFPROTO => f.write_str("meta nfproto"),
                NFT_META_L4PROTO => f.write_str("meta l4proto"),
                other => write!(f, "meta {other}"),
            },
            Self::Header { base, offset, length } => {
                let base = match *base {
                    NFT_PAYLOAD_NETWORK_HEADER => "network",
                    NFT_PAYLOAD_TRANSPORT_HEADER => "transport",
                    _ => "link",
                };
                write!(f, "{length} bytes at {offset} of the {base} header")
            }
            Self::FragmentOffset => f.write_str("frag frag-off"),
            Self::DestinationType { of_interface: false } => f.write_str("fib daddr type"),
            Self::DestinationType { of_interface: true } => f.write_str("fib daddr . iif type"),
            Self::SourceType => f.write_str("fib saddr type"),
            Self::ConnectionState => f.write_str("ct state"),
            Self::Connection(NFT_CT_DIRECTION) => f.write_str("ct direction"),
            Self::Connection(NFT_CT_STATUS) => f.write_str("ct status"),
            Self::Connection(NFT_CT_MARK) => f.write_str("ct mark"),
            Self::Connection(NFT_CT_PROTO_DST) => f.write_str("ct original proto-dst"),
            Self::Connection(other) => write!(f, "ct {other}"),
            Self::Masked(value, mask) => write!(f, "{value} & {}", Bytes(mask)),
            Self::Loaded { by, .. } => f.write_str(by),
            Self::InOrder(value) => write!(f, "{value}"),
            Self::Constant(_) => f.write_str("a number"),
            Self::Mapped { set, .. } => write!(f, "what map {set} says"),
            Self::WayBack { same_interface: true, .. } => f.write_str("fib saddr . iif oif"),
            Self::WayBack { same_interface: false, .. } => f.write_str("fib saddr oif"),
            Self::HeaderPresent(header) => write!(f, "exthdr {header}"),
            Self::Modified(value, changed) => write!(f, "{value} with other {}", Bytes(changed)),
            Self::Unknown(text) => f.write_str(text),
        }
    }
}

impl Display for Test<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let not = |negated: &bool| if *negated { "!= " } else { "" };
        match self {
            Self::Compare(operator, data) => {
                // NFT_CMP_… count from 0.
                let signs = ["==", "!=", "<", "<=", ">", ">="];
                let sign = usize::try_from(*operator).ok().and_then(|at| signs.get(at)).copied().unwrap_or("?");
                write!(f, "{sign} {}", Bytes(data))
            }
            Self::Range(negated, from, to) => write!(f, "{}{}-{}", not(negated), Bytes(from), Bytes(to)),
            Self::Lookup(negated, set) => write!(f, "{}@{set}", not(negated)),
        }
    }
}
