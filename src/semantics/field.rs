//! The fields of a packet by which sets of packets are cut, in the order in which diagrams look at them.

/// A field. What few values tell apart comes first and lists of addresses last: most rules ask for a port and a source, so
/// that a node of ports leads to many small nodes of sources, and not the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// IPv4 or IPv6.
    Family,
    /// The interface that it came in on.
    Interface,
    /// How much of its headers can be seen.
    Shape,
    /// The transport protocol.
    Protocol,
    /// The TCP flags.
    Flags,
    /// The state of its connection.
    State,
    /// What its destination is to this host.
    Locality,
    /// The destination, where it is known.
    Destination,
    /// The destination port.
    Port,
    /// The port that it had on the wire, where its connection was translated. Has to follow [`Field::Port`], which moves here
    /// when a translation is taken back.
    Original,
    /// The source.
    Source,
}

impl Field {
    /// All of them, in their order.
    pub const ALL: [Self; 11] = [
        Self::Family,
        Self::Interface,
        Self::Shape,
        Self::Protocol,
        Self::Flags,
        Self::State,
        Self::Locality,
        Self::Destination,
        Self::Port,
        Self::Original,
        Self::Source,
    ];

    /// Its number in diagrams.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}
