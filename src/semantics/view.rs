//! Which of the four kinds of packets of a connection is judged.
//!
//! A packet is always told from this host's side: its source is the *other* host, its port the *service's*, and its interface
//! the one between the two. Where rules have to look for these depends on who asked whom, and on who sends.
//!
//! | view | sent by | the other host is | the service's port is | interface |
//! |---|---|---|---|---|
//! | asked | the other host, which opened the connection | the source | the destination port | it came in on |
//! | answering | this host, to it | the destination | the source port | it leaves by |
//! | asking | this host, which opened the connection | the destination | the destination port | it leaves by |
//! | answered | the other host, to it | the source | the source port | it came in on |

use crate::ir::Side;

/// A kind of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// Somebody asks this host for something, or goes on with it. Every packet that comes in can be looked at so.
    #[default]
    Asked,
    /// This host answers to somebody who asked.
    Answering,
    /// This host asks somebody for something, or goes on with it.
    Asking,
    /// Somebody answers to this host.
    Answered,
}

impl View {
    /// Whether this host sends.
    pub(super) fn leaves(self) -> bool {
        match self {
            Self::Answering | Self::Asking => true,
            Self::Asked | Self::Answered => false,
        }
    }

    /// Whether the service's port is the destination port.
    pub(super) fn to_service(self) -> bool {
        match self {
            Self::Asked | Self::Asking => true,
            Self::Answering | Self::Answered => false,
        }
    }

    /// Which interface the packet's is.
    pub(super) fn side(self) -> Side {
        if self.leaves() { Side::Out } else { Side::In }
    }
}
