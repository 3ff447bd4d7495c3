//! What registers hold, and what is asked of it.

use super::super::constants::*;
use super::lookups::Part;
use crate::ir::Varying;

/// What a register holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Meta(u32),
    Header {
        base: u32,
        offset: u32,
        length: u32,
    },
    FragmentOffset,
    DestinationType {
        of_interface: bool,
    },
    ConnectionState,
    Connection(u32),
    SourceType,
    /// Whether there is a way back to the source: 1 or 0 in one byte, or the number of an interface, 0 for none.
    WayBack {
        same_interface: bool,
        numbered: bool,
    },
    Masked(Box<Value>, Vec<u8>),
    /// Something that an expression loaded.
    Loaded {
        /// Its name.
        by: String,
        /// How it was asked, and of what it was made.
        how: String,
    },
    /// What a map says of these.
    Mapped {
        key: Vec<Part>,
        set: String,
    },
    /// Whether there is an IPv6 extension header of this number.
    HeaderPresent(u8),
    /// Known to every rule: bytes that the rule itself brings.
    Constant(Vec<u8>),
    /// Another value, of whose bits these may have been changed.
    Modified(Box<Value>, Vec<u8>),
    /// A number whose first byte stands first now.
    InOrder(Box<Value>),
    Unknown(String),
}

impl Value {
    /// Whether there are packets that have no such thing, and leave the rule where it is loaded.
    pub fn may_be_missing(&self) -> bool {
        match self {
            Self::Meta(
                NFT_META_IIF | NFT_META_IIFNAME | NFT_META_NFPROTO | NFT_META_MARK | NFT_META_PRIORITY
                | NFT_META_PROTOCOL,
            ) => false,
            Self::Meta(_) | Self::Header { .. } | Self::FragmentOffset => true,
            Self::Masked(value, _) | Self::Modified(value, _) | Self::InOrder(value) => value.may_be_missing(),
            // Without a connection there is none of these.
            Self::Connection(_)
            | Self::Loaded { .. }
            | Self::Mapped { .. }
            | Self::WayBack { .. }
            | Self::HeaderPresent(_) => true,
            // Loading the unknown counts as a test of its own.
            Self::DestinationType { .. }
            | Self::SourceType
            | Self::ConnectionState
            | Self::Constant(_)
            | Self::Unknown(_) => false,
        }
    }

    /// Whether it may be compared in another length than it is loaded in.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Meta(_) | Self::WayBack { .. } | Self::HeaderPresent(_) | Self::Loaded { .. })
    }

    /// How many bytes of its register count; `None` where that is for its load to say.
    pub fn width(&self) -> Option<u32> {
        match self {
            Self::Meta(NFT_META_L4PROTO | NFT_META_NFPROTO | NFT_META_PKTTYPE) | Self::Connection(NFT_CT_DIRECTION) => {
                Some(1)
            }
            Self::Meta(NFT_META_PROTOCOL) => Some(2),
            Self::Meta(_)
            | Self::Header { .. }
            | Self::FragmentOffset
            | Self::DestinationType { .. }
            | Self::SourceType
            | Self::ConnectionState
            | Self::Connection(_)
            | Self::WayBack { .. }
            | Self::HeaderPresent(_)
            | Self::Masked(..)
            | Self::Loaded { .. }
            | Self::Mapped { .. }
            | Self::Constant(_)
            | Self::Modified(..)
            | Self::InOrder(_)
            | Self::Unknown(_) => None,
        }
    }

    /// How it was loaded, where its name does not say that.
    pub fn how(&self) -> &str {
        match self {
            Self::Loaded { how, .. } => how,
            other => other.under().map_or("", Self::how),
        }
    }

    /// The value that this one was made of.
    fn under(&self) -> Option<&Self> {
        match self {
            Self::Masked(value, _) | Self::Modified(value, _) | Self::InOrder(value) => Some(value),
            Self::Meta(_)
            | Self::Header { .. }
            | Self::FragmentOffset
            | Self::DestinationType { .. }
            | Self::ConnectionState
            | Self::Connection(_)
            | Self::SourceType
            | Self::WayBack { .. }
            | Self::Mapped { .. }
            | Self::HeaderPresent(_)
            | Self::Loaded { .. }
            | Self::Constant(_)
            | Self::Unknown(_) => None,
        }
    }

    /// On what it hangs, where no packet says so.
    pub fn varying(&self) -> Option<Varying> {
        match self {
            Self::Meta(NFT_META_SKUID | NFT_META_SKGID) => Some(Varying::Owner),
            Self::Meta(NFT_META_PRANDOM) => Some(Varying::Chance),
            Self::Meta(NFT_META_IIFTYPE | NFT_META_OIFTYPE) => Some(Varying::Link),
            Self::Header { base: NFT_PAYLOAD_LL_HEADER, .. } => Some(Varying::Link),
            Self::Connection(NFT_CT_STATUS) => Some(Varying::Connection),
            Self::Loaded { by, .. } => match by.as_str() {
                "numgen" | "hash" => Some(Varying::Chance),
                "socket" => Some(Varying::Socket),
                HELPER => Some(Varying::Helper),
                NOTED => Some(Varying::Connection),
                _ => None,
            },
            other => other.under().and_then(Self::varying),
        }
    }
}

/// What is loaded of a connection: its helper, or something else that has no word here.
pub const HELPER: &str = "ct helper";
pub const NOTED: &str = "ct";

/// A test of a value.
#[derive(Clone, Debug)]
pub enum Test<'a> {
    Compare(u32, &'a [u8]),
    Range(bool, &'a [u8], &'a [u8]),
    Lookup(bool, &'a str),
}

/// No value is longer; what stands behind a shorter one is taken for gone.
pub const LONGEST_VALUE: u32 = 16;

/// Bytes that hold a value.
pub struct Register {
    pub first: u32,
    pub length: u32,
    pub value: Value,
    /// Whether a known test has followed.
    pub tested: bool,
}
