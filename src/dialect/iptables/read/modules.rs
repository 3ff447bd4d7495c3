//! The match modules that are known here, and which options are theirs.

use crate::dialect::xtables::varying;
use crate::ir::Varying;

/// A match module that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `tcp`, and what is like it in having `--sport` and `--dport`.
    Transport,
    Multiport,
    AddressType,
    Fragment,
    Limit,
    /// `conntrack` and its forerunner `state`.
    State,
    Set,
    Comment,
    PacketType,
    /// `iprange`.
    Range,
    /// `mark` and `connmark`.
    Mark,
    /// `rpfilter`.
    WayBack,
    /// `rt`, `hbh` and `dst`: a header that is not there fails them, negated or not.
    ExtensionHeader,
    /// One that looks at what no packet says, whatever its options are.
    Varies(Varying),
}

impl Kind {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "tcp" | "udp" | "udplite" | "sctp" | "dccp" => Self::Transport,
            "multiport" => Self::Multiport,
            "addrtype" => Self::AddressType,
            "frag" => Self::Fragment,
            "limit" => Self::Limit,
            "conntrack" | "state" => Self::State,
            "set" => Self::Set,
            "comment" => Self::Comment,
            "pkttype" => Self::PacketType,
            "iprange" => Self::Range,
            "mark" | "connmark" => Self::Mark,
            "rpfilter" => Self::WayBack,
            "rt" | "hbh" | "dst" => Self::ExtensionHeader,
            other => Self::Varies(varying(other)?),
        })
    }
}

/// The module of an option, and how many values it takes.
pub(super) fn option(name: &str) -> Option<(Kind, usize)> {
    Some(match name {
        "--dport" | "--destination-port" | "--sport" | "--source-port" | "--tcp-option" => (Kind::Transport, 1),
        "--tcp-flags" => (Kind::Transport, 2),
        "--syn" => (Kind::Transport, 0),
        "--dports" | "--destination-ports" | "--sports" | "--source-ports" | "--ports" => (Kind::Multiport, 1),
        "--src-type" | "--dst-type" => (Kind::AddressType, 1),
        "--limit-iface-in" | "--limit-iface-out" => (Kind::AddressType, 0),
        "--fragid" | "--fraglen" => (Kind::Fragment, 1),
        "--fragres" | "--fragfirst" | "--fragmore" | "--fraglast" => (Kind::Fragment, 0),
        "--limit" | "--limit-burst" => (Kind::Limit, 1),
        "--ctstate" | "--state" | "--ctdir" | "--ctorigdstport" => (Kind::State, 1),
        "--ctstatus" | "--ctexpire" | "--ctorigsrc" | "--ctorigdst" | "--ctreplsrc" | "--ctrepldst"
        | "--ctorigsrcport" | "--ctreplsrcport" | "--ctrepldstport" => (Kind::State, 1),
        "--match-set" => (Kind::Set, 2),
        "--update-counters" | "--update-subcounters" => (Kind::Set, 0),
        "--comment" => (Kind::Comment, 1),
        "--pkt-type" => (Kind::PacketType, 1),
        "--src-range" | "--dst-range" => (Kind::Range, 1),
        "--mark" => (Kind::Mark, 1),
        "--loose" | "--validmark" | "--accept-local" | "--invert" => (Kind::WayBack, 0),
        "--rt-type" | "--rt-segsleft" | "--rt-len" | "--rt-0-addrs" | "--hbh-len" | "--hbh-opts" | "--dst-len"
        | "--dst-opts" => (Kind::ExtensionHeader, 1),
        "--rt-0-res" | "--rt-0-not-strict" => (Kind::ExtensionHeader, 0),
        _ => return None,
    })
}

/// How many values an option of an unknown module takes whatever they look like: those that are free text.
pub(super) fn text_values(option: &str) -> usize {
    const TEXT: [&str; 9] = [
        "--string",
        "--hex-string",
        "--u32",
        "--bytecode",
        "--name",
        "--log-prefix",
        "--nflog-prefix",
        "--ulog-prefix",
        "--path",
    ];
    usize::from(TEXT.contains(&option))
}
