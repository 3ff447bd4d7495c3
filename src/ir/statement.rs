//! What a rule does besides its tests and its verdict, and what that means for the packet.
//!
//! The dialects only give names to statements; [`Statement::effect`] and [`Verdict::effect`] alone say what each one does
//! to a packet's way and to other state. A statement that has no word here is no statement: what is not understood runs
//! to the end of its rule and becomes [`Verdict::Unknown`].
//!
//! The statements of a rule are done, in their order, when all its tests hold, and before its verdict. A reader that finds
//! one in front of a test makes two rules of it, see [`Effect::is_none`].

use std::net::IpAddr;

use super::Verdict;

/// Something that a rule does to a packet, to its connection or beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Counts packets and bytes. Holds what it had counted, where it was read.
    Counter(Option<Counted>),
    /// Writes the packet to a log, with this prefix.
    Log(String),
    /// Notes beside the packet that it was met (nft's `last`; iptables' `IDLETIMER`, `LED`, `RATEEST`).
    Note,
    /// Writes a field.
    Write {
        /// The field.
        field: Field,
        /// Whether every packet has the value that is written, and the field. Where it has not, the kernel leaves the rule.
        constant: bool,
    },
    /// Exempts the packet from connection tracking.
    NoTrack,
    /// Says how its connection is tracked.
    Track(Tracking),
    /// Translates the addresses and ports of its connection.
    Translate(Translation, Destined),
    /// Adds to a set, or takes from it.
    Update {
        /// The set's name.
        set: String,
    },
    /// Sends a copy somewhere (nft's `dup`, iptables' `TEE`).
    Copy,
    /// Hands the packet to somebody else.
    Divert(Diversion),
}

/// What a counter had counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a statement can write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// The packet's mark.
    Mark(Marking),
    /// Its queueing priority, or class.
    Priority,
    /// Whether its way is traced.
    Trace,
    /// Its security context.
    SecurityMark,
    /// The mark, the label or the security context of its connection.
    Connection,
    /// A field of the IP header that no test here looks at, and no router: DSCP, ECN, flow label.
    Header,
    /// An option of TCP that changes nothing but sizes: its maximum segment size.
    TcpOption,
    /// Anything else, with its text: an address, a port, the kind of packet.
    Other(String),
}

/// What becomes of a packet's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Marking {
    /// Some of its bits are kept, and then some turned round. What is not kept and turned round is set.
    Bits {
        /// Those that are kept.
        keep: u32,
        /// Those that are turned round.
        flip: u32,
    },
    /// It is not known what.
    Unknown,
}

impl Marking {
    /// The bits of a mask are exchanged for others, and these turned round that the mask does not have (xt_MARK).
    #[must_use]
    pub fn exchanged(mask: u32, value: u32) -> Self {
        Self::Bits { keep: !mask, flip: value }
    }
}

/// How a connection is to be tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// By a helper that may expect TCP connections, or with an expectation of one: what is expected is "related".
    Expecting,
    /// With events of its own, or by a helper that expects no TCP connection.
    Detail,
    /// In a zone of its own, or with timeouts of its own, which may be none: its packets may meet another connection, or none.
    Zone,
}

/// Which end of a connection is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translation {
    /// The source (`snat`).
    Source,
    /// The source, to the address of the interface it leaves by (`masquerade`).
    Masquerade,
    /// The destination (`dnat`).
    Destination,
    /// The destination, to this host (`redirect`).
    Redirect,
    /// A whole network, one to one (`NETMAP`).
    Network,
}

/// Where a translation leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destined {
    /// To one of these addresses and ports, both ends included; `None` leaves what is there. Of a range the kernel chooses any.
    To {
        /// Addresses of one family. To be redirected is to be sent to this host, whose address is not said.
        addresses: Option<(IpAddr, IpAddr)>,
        /// Ports.
        ports: Option<(u16, u16)>,
    },
    /// It is not known where.
    Unknown,
}

/// Who gets the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diversion {
    /// A program, which may let it go on, changed or not, or drop it.
    Queue,
    /// The kernel's proxy for the beginning of connections, which opens another one to this host.
    Synproxy,
    /// A socket of this host, whatever address and port it has.
    TransparentProxy,
    /// The fast path of routed connections.
    FlowOffload,
    /// Another device.
    Device,
}

/// How a sender is told that its packet is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// By a TCP reset.
    TcpReset,
    /// By an ICMP message.
    Icmp,
}

/// Everything that whoever judges packets has to know of a statement or a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What becomes of the packet.
    pub way: Way,
    /// Whether the kernel may leave the rule here, so that what stands behind it is not done.
    pub may_leave: bool,
    /// What is not, from here on, as it was.
    pub changes: Changes,
}

/// What becomes of a packet at a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It goes on to what stands behind.
    On,
    /// It is done with this base chain.
    Accepted,
    /// It is gone.
    Dropped,
    /// It goes on, and a copy goes past every rule behind this one.
    Copied,
    /// It is done with this base chain or gone.
    Decided,
    /// It goes on, is done with this base chain, or is gone.
    Anything,
}

impl Way {
    /// Whether a base chain may be done with the packet.
    #[must_use]
    pub fn may_accept(self) -> bool {
        match self {
            Self::Accepted | Self::Decided | Self::Anything => true,
            Self::On | Self::Dropped | Self::Copied => false,
        }
    }

    /// Whether the packet may be gone.
    #[must_use]
    pub fn may_drop(self) -> bool {
        match self {
            Self::Dropped | Self::Decided | Self::Anything => true,
            Self::On | Self::Accepted | Self::Copied => false,
        }
    }

    /// Whether it may go on to what stands behind.
    #[must_use]
    pub fn may_go_on(self) -> bool {
        match self {
            Self::On | Self::Copied | Self::Anything => true,
            Self::Accepted | Self::Dropped | Self::Decided => false,
        }
    }
}

/// What a statement changes of what later rules look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changes {
    /// Nothing.
    Nothing,
    /// The packet's mark.
    Mark(Marking),
    /// The packet has no connection.
    Untracked,
    /// Where it has no connection yet, the packet counts as one that begins one.
    Unseen,
    /// The packet's connection may be another.
    Connection,
    /// Where its connection goes to; the port on the wire stays known to connection tracking.
    Destination,
    /// Where its connection comes from.
    Source,
    /// Anything at all.
    Everything,
}

impl Effect {
    const NONE: Self = Self { way: Way::On, may_leave: false, changes: Changes::Nothing };
    /// What may do anything.
    const ANY: Self = Self { way: Way::Anything, may_leave: true, changes: Changes::Everything };

    const fn of(way: Way) -> Self {
        Self { way, ..Self::NONE }
    }

    /// Whether no packet fares otherwise for it. Only such a statement may stand in front of a test.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

impl Statement {
    /// What it does. Sources: the kernel's `net/netfilter/nft_*.c` and `xt_*.c`, each statement's own file.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::Counter(_) | Self::Log(_) | Self::Note => Effect::NONE,
            Self::Write { field, constant } => match field {
                Field::Mark(how) => {
                    let how = if *constant { *how } else { Marking::Unknown };
                    Effect { may_leave: !constant, changes: Changes::Mark(how), ..Effect::NONE }
                }
                Field::Priority | Field::Trace | Field::SecurityMark | Field::Connection => {
                    Effect { may_leave: !constant, ..Effect::NONE }
                }
                // A packet without that header leaves the rule.
                Field::Header | Field::TcpOption => Effect { may_leave: true, ..Effect::NONE },
                Field::Other(_) => Effect::ANY,
            },
            Self::NoTrack => Effect { changes: Changes::Untracked, ..Effect::NONE },
            // Before connection tracking it hangs a template on the packet, whose state is "new" (xt_CT.c).
            Self::Track(Tracking::Expecting | Tracking::Detail) => Effect { changes: Changes::Unseen, ..Effect::NONE },
            Self::Track(Tracking::Zone) => Effect { changes: Changes::Connection, ..Effect::NONE },
            Self::Translate(Translation::Source | Translation::Masquerade, _) => {
                Effect { way: Way::Accepted, may_leave: false, changes: Changes::Source }
            }
            // As addressed, it comes to this host no longer.
            Self::Translate(Translation::Destination | Translation::Redirect | Translation::Network, _) => {
                Effect { way: Way::Decided, may_leave: false, changes: Changes::Destination }
            }
            // A full set ends the rule.
            Self::Update { .. } => Effect { may_leave: true, ..Effect::NONE },
            // The copy may come back by the loopback interface, if its way leads to this host.
            Self::Copy => Effect { way: Way::Copied, may_leave: true, changes: Changes::Nothing },
            Self::Divert(Diversion::FlowOffload) => Effect { may_leave: true, ..Effect::NONE },
            Self::Divert(Diversion::Queue | Diversion::Synproxy | Diversion::TransparentProxy | Diversion::Device) => {
                Effect::ANY
            }
        }
    }

    /// Whether nothing that stands behind it in its rule counts: the kernel or its tools take nothing there, or what the
    /// packet is then is open anyway.
    #[must_use]
    pub fn is_last(&self) -> bool {
        match self {
            Self::Divert(to) => *to != Diversion::FlowOffload,
            other => matches!(other, Self::Translate(..)),
        }
    }

    /// What it makes of a packet's mark.
    #[must_use]
    pub fn marks(&self) -> Option<Marking> {
        match self.effect().changes {
            Changes::Mark(how) => Some(how),
            Changes::Nothing
            | Changes::Untracked
            | Changes::Unseen
            | Changes::Connection
            | Changes::Destination
            | Changes::Source
            | Changes::Everything => None,
        }
    }

    /// The set that it fills or empties.
    #[must_use]
    pub fn updates(&self) -> Option<&str> {
        if let Self::Update { set } = self { Some(set) } else { None }
    }

    /// Its name, as nft has it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Counter(_) => "counter",
            Self::Log(_) => "log",
            Self::Note => "last",
            Self::Write { field, .. } => match field {
                Field::Mark(_) => "meta mark set",
                Field::Priority => "meta priority set",
                Field::Trace => "meta nftrace set",
                Field::SecurityMark => "meta secmark set",
                Field::Connection => "ct mark set",
                Field::Header => "ip dscp set",
                Field::TcpOption => "tcp option set",
                Field::Other(text) => text,
            },
            Self::NoTrack => "notrack",
            Self::Track(Tracking::Expecting | Tracking::Detail) => "ct helper set",
            Self::Track(Tracking::Zone) => "ct zone or ct timeout set",
            Self::Translate(Translation::Source, _) => "snat",
            Self::Translate(Translation::Masquerade, _) => "masquerade",
            Self::Translate(Translation::Destination, _) => "dnat",
            Self::Translate(Translation::Redirect, _) => "redirect",
            Self::Translate(Translation::Network, _) => "netmap",
            Self::Update { .. } => "update",
            Self::Copy => "dup",
            Self::Divert(Diversion::Queue) => "queue",
            Self::Divert(Diversion::Synproxy) => "synproxy",
            Self::Divert(Diversion::TransparentProxy) => "tproxy",
            Self::Divert(Diversion::FlowOffload) => "flow add",
            Self::Divert(Diversion::Device) => "fwd",
        }
    }
}

impl Verdict {
    /// Whether no packet that meets it meets what stands behind it in the chain.
    #[must_use]
    pub fn ends(&self) -> bool {
        match self {
            Self::Accept | Self::Drop | Self::Reject(_) | Self::Return | Self::Goto(_) => true,
            Self::Jump(_) | Self::Unknown(_) => false,
        }
    }

    /// What it does, apart from where a jump leads.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::Accept => Effect::of(Way::Accepted),
            Self::Drop | Self::Reject(Reject::TcpReset | Reject::Icmp) => Effect::of(Way::Dropped),
            Self::Return | Self::Jump(_) | Self::Goto(_) => Effect::NONE,
            Self::Unknown(_) => Effect::ANY,
        }
    }
}

#[cfg(test)]
mod tests;
