//! How the guard behaves: the table `[guard]` of a cluster file.

use crate::diagnostic::{Code, Span};
use crate::net::Interface;

/// How the guard behaves.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    pub(super) interfaces: Option<Box<[Interface]>>,
    pub(super) on_block: OnBlock,
    pub(super) on_block_span: Option<Span>,
    pub(super) log: bool,
    pub(super) log_span: Option<Span>,
    pub(super) through: Through,
    pub(super) through_span: Option<Span>,
    pub(super) allow: Vec<(Allowance, Span)>,
}

/// What a cluster file may allow of what `apply` refuses otherwise, where nobody is there to say `--allow`: how a network has to be
/// where addresses are translated between hosts. What cuts somebody off, or leaves ports of another cluster open, is none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// The node's address is on no interface of the host.
    ForeignAddress,
    /// It is on one on which peers are not admitted.
    OtherInterface,
    /// The host takes another address towards its peers.
    OtherSource,
    /// An interface that the file names is not there.
    MissingInterface,
}

impl Allowance {
    /// Each, by the code of what it allows, which is its word in a cluster file.
    pub const WORDS: [(&'static str, Self); 4] = [
        (Code::ForeignAddress.as_str(), Self::ForeignAddress),
        (Code::OtherInterface.as_str(), Self::OtherInterface),
        (Code::OtherSource.as_str(), Self::OtherSource),
        (Code::MissingInterface.as_str(), Self::MissingInterface),
    ];

    /// The one of a word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(own, _)| *own == word).map(|(_, allowance)| *allowance)
    }
}

/// Through which other firewall of the host the admitted are let, besides the guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Through {
    /// None: what blocks them is said, and left as it is.
    #[default]
    None,
    /// Whichever is there.
    Auto,
    /// firewalld, by a policy and ipsets of our own.
    Firewalld,
    /// ufw, by rules of our own.
    Ufw,
    /// Tables of nft: before the final drop of the chain that drops.
    Nftables,
    /// Chains of iptables: likewise.
    Iptables,
}

impl Through {
    /// Each, by its word in a cluster file.
    pub const WORDS: [(&'static str, Self); 6] = [
        ("none", Self::None),
        ("auto", Self::Auto),
        ("firewalld", Self::Firewalld),
        ("ufw", Self::Ufw),
        ("nftables", Self::Nftables),
        ("iptables", Self::Iptables),
    ];

    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, own)| *own == self).map_or("none", |(word, _)| word)
    }
}

/// What happens to a segment that is blocked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBlock {
    /// It vanishes; the sender waits for its own time-out.
    #[default]
    Drop,
    /// The sender gets a TCP reset at once.
    Reject,
    /// It is logged, counted and let on, for whoever wants to see first what the rules would block. Nobody is kept out.
    LogOnly,
}

impl Guard {
    /// What happens to a blocked segment.
    #[must_use]
    pub fn on_block(&self) -> OnBlock {
        self.on_block
    }

    /// Whether nobody is blocked: what would be is logged and let on.
    #[must_use]
    pub fn is_staged(&self) -> bool {
        match self.on_block {
            OnBlock::LogOnly => true,
            OnBlock::Drop | OnBlock::Reject => false,
        }
    }

    /// Where the file says what happens to a blocked segment, if it does.
    #[must_use]
    pub fn on_block_span(&self) -> Option<Span> {
        self.on_block_span
    }

    /// Where the file asks for blocked segments to be rejected, if it does.
    #[must_use]
    pub fn reject_span(&self) -> Option<Span> {
        self.on_block_span.filter(|_| self.on_block == OnBlock::Reject)
    }

    /// Whether blocked segments are logged, at a limited rate.
    #[must_use]
    pub fn log(&self) -> bool {
        self.log
    }

    /// What is allowed that `apply` refuses otherwise, and where the file says so.
    #[must_use]
    pub fn allow(&self) -> &[(Allowance, Span)] {
        &self.allow
    }

    /// Through which other firewall of the host the admitted are let.
    #[must_use]
    pub fn through(&self) -> Through {
        self.through
    }
}
