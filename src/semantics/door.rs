//! Where on its way a packet is judged, and when the chains on that way have their turn.

use super::packet::{Packet, Shape};
use super::view::View;
use crate::ir::{Base, ChainKind, Hook};

/// Where a packet is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Door {
    /// At prerouting before destination NAT, which works at priority -100, and behind the place where connection tracking
    /// puts fragments together, -400: the port is as on the wire, and no fragment can bring it later.
    BeforeTranslation,
    /// At prerouting and before it, all of it. After destination NAT the port may be another; packets that some rule may translate are
    /// undecided here.
    Prerouting,
    /// At input: the port is as the socket sees it.
    Input,
    /// At prerouting and before it, as far as that comes before destination NAT: as on the wire.
    Wire,
    /// At prerouting behind destination NAT.
    Translated,
    /// Where this host's answers leave: at output and postrouting.
    AnswersLeave,
    /// Where this host's own requests leave, before source NAT, which works at priority 100.
    RequestsLeave,
    /// The same behind source NAT.
    RequestsTranslated,
    /// Where the answers to them arrive: before, at and behind prerouting, and at input.
    AnswersArrive,
}

/// The priority of destination NAT (NF_IP_PRI_NAT_DST, linux/netfilter_ipv4.h).
const DESTINATION_NAT: i32 = -100;
/// The priority of source NAT (NF_IP_PRI_NAT_SRC).
const SOURCE_NAT: i32 = 100;
/// The priority at which IPv4 and IPv6 are put together where connection tracking or NAT are loaded
/// (NF_IP_PRI_CONNTRACK_DEFRAG, linux/netfilter_ipv4.h).
pub(super) const DEFRAGMENTATION: i32 = -400;
/// The priority of connection tracking (NF_IP_PRI_CONNTRACK): before it, no packet has a connection.
pub(super) const TRACKING: i32 = -200;

impl Door {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::BeforeTranslation,
        Self::Prerouting,
        Self::Input,
        Self::Wire,
        Self::Translated,
        Self::AnswersLeave,
        Self::RequestsLeave,
        Self::RequestsTranslated,
        Self::AnswersArrive,
    ];

    /// Whether a packet can come here at all: only what is for this host comes to input, and there IPv4 has been put
    /// together from its fragments.
    #[must_use]
    pub fn sees(self, packet: &Packet) -> bool {
        match self {
            Self::BeforeTranslation
            | Self::Prerouting
            | Self::Wire
            | Self::AnswersLeave
            | Self::RequestsLeave
            | Self::RequestsTranslated => true,
            Self::Input | Self::Translated | Self::AnswersArrive => {
                packet.locality.is_local() && (packet.source.is_ipv6() || packet.shape == Shape::Whole)
            }
        }
    }

    /// Whether a chain comes before this door, so that what it does to a packet counts, but not what it decides.
    pub(super) fn follows(self, base: &Base) -> bool {
        let earlier = matches!(base.hook, Hook::Ingress | Hook::Prerouting);
        match self {
            Self::BeforeTranslation => {
                earlier && !self.has(base) && (base.hook == Hook::Ingress || base.priority < DESTINATION_NAT)
            }
            Self::Translated => earlier && (base.kind == ChainKind::Nat || is_before_translation(base)),
            Self::Prerouting | Self::Wire | Self::AnswersLeave | Self::RequestsLeave | Self::AnswersArrive => false,
            Self::Input => earlier,
            Self::RequestsTranslated => leaves(base) && !is_behind_source_nat(base),
        }
    }

    /// Whether a chain is part of it.
    pub(super) fn has(self, base: &Base) -> bool {
        match self {
            Self::BeforeTranslation => {
                let between = DEFRAGMENTATION < base.priority && base.priority < DESTINATION_NAT;
                base.hook == Hook::Prerouting && between && base.kind != ChainKind::Nat
            }
            Self::Prerouting => matches!(base.hook, Hook::Ingress | Hook::Prerouting),
            Self::Input => base.hook == Hook::Input,
            Self::Wire => matches!(base.hook, Hook::Ingress | Hook::Prerouting) && is_before_translation(base),
            Self::Translated => {
                base.hook == Hook::Prerouting && base.kind != ChainKind::Nat && !is_before_translation(base)
            }
            // Chains for NAT see only the first packet of a connection, see [`super::journey`].
            Self::AnswersLeave => leaves(base) && base.kind != ChainKind::Nat,
            Self::RequestsLeave => leaves(base) && base.kind != ChainKind::Nat && !is_behind_source_nat(base),
            Self::RequestsTranslated => is_behind_source_nat(base),
            Self::AnswersArrive => {
                let inward = matches!(base.hook, Hook::Ingress | Hook::Prerouting | Hook::Input);
                inward && base.kind != ChainKind::Nat
            }
        }
    }

    /// Whether packets come through a chain on their way through this door, though what it decides does not count: what it does to them
    /// does.
    pub(super) fn passes(self, base: &Base) -> bool {
        match self {
            // Where this host's requests are translated.
            Self::RequestsLeave => base.hook == Hook::Output && base.kind == ChainKind::Nat,
            Self::BeforeTranslation
            | Self::Prerouting
            | Self::Input
            | Self::Wire
            | Self::Translated
            | Self::AnswersLeave
            | Self::RequestsTranslated
            | Self::AnswersArrive => false,
        }
    }

    /// Which packets of a connection are judged here.
    #[must_use]
    pub fn view(self) -> View {
        match self {
            Self::BeforeTranslation | Self::Prerouting | Self::Input | Self::Wire | Self::Translated => View::Asked,
            Self::AnswersLeave => View::Answering,
            Self::RequestsLeave | Self::RequestsTranslated => View::Asking,
            Self::AnswersArrive => View::Answered,
        }
    }
}

fn is_before_translation(base: &Base) -> bool {
    base.hook == Hook::Ingress || (base.kind != ChainKind::Nat && base.priority < DESTINATION_NAT)
}

fn leaves(base: &Base) -> bool {
    matches!(base.hook, Hook::Output | Hook::Postrouting | Hook::Egress)
}

/// Whether a chain has its turn before destinations are translated at output, or translates them.
pub(super) fn comes_to_output_nat(base: &Base) -> bool {
    base.hook == Hook::Output && (base.kind == ChainKind::Nat || base.priority <= DESTINATION_NAT)
}

/// Whether connection tracking may not have seen packets where a chain has its turn.
pub(super) fn comes_before_tracking(base: &Base) -> bool {
    match base.hook {
        Hook::Ingress => true,
        Hook::Prerouting | Hook::Output => base.priority <= TRACKING,
        Hook::Input | Hook::Forward | Hook::Postrouting | Hook::Egress => false,
    }
}

/// Whether packets may not have been put together from fragments where a chain has its turn.
pub(super) fn comes_before_reassembly(base: &Base) -> bool {
    base.hook == Hook::Ingress || (base.hook == Hook::Prerouting && base.priority <= DEFRAGMENTATION)
}

/// Whether a chain sees what source NAT has done. Those at its very priority may.
pub(super) fn is_behind_source_nat(base: &Base) -> bool {
    base.hook == Hook::Egress
        || (base.hook == Hook::Postrouting && base.kind != ChainKind::Nat && base.priority >= SOURCE_NAT)
}

/// Whether it is not known if a chain comes before destination NAT or behind it: on Linux 6.18 it came before it.
pub(super) fn is_amid_translation(base: &Base) -> bool {
    base.hook == Hook::Prerouting && base.kind != ChainKind::Nat && base.priority == DESTINATION_NAT
}

/// Whether a chain sees answers as they come in, before destination NAT puts back what source NAT has done. Those at its very
/// priority may.
pub(super) fn is_before_answers_are_put_back(base: &Base) -> bool {
    match base.hook {
        Hook::Ingress => true,
        Hook::Prerouting => base.kind != ChainKind::Nat && base.priority <= DESTINATION_NAT,
        Hook::Input | Hook::Forward | Hook::Output | Hook::Postrouting | Hook::Egress => false,
    }
}

/// When a chain has its turn. Those for NAT have it where the kernel translates, whatever their own priority, which only
/// counts among them (net/netfilter/nf_nat_core.c, nf_nat_register_fn; seen on Linux 6.18).
pub(super) fn turn(base: &Base) -> i32 {
    match (base.kind, base.hook) {
        (ChainKind::Nat, Hook::Prerouting | Hook::Output) => DESTINATION_NAT,
        (ChainKind::Nat, Hook::Ingress | Hook::Input | Hook::Forward | Hook::Postrouting | Hook::Egress) => SOURCE_NAT,
        (ChainKind::Filter | ChainKind::Route, _) => base.priority,
    }
}
