//! Elements of several parts, as sets of ipset have them.

use super::{DeviceName, Elements};

/// Elements of several parts: whatever fits one of the rows is among them.
///
/// A rule says for each part which end of the packet it is compared with; one that says so of fewer than there are finds nothing, and what
/// it says of more does not count (ip_set_test in the kernel; seen on Linux 6.18).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// What the parts are, in their order.
    pub parts: Vec<Part>,
    /// What fits.
    pub rows: Vec<Endpoint>,
}

/// What a part of an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Addresses.
    Address,
    /// A port, with its protocol.
    Port,
    /// The interface that the packet came in on, or leaves by.
    Interface,
    /// An address of the link layer, of which nothing is known here.
    Mac,
    /// Bits of the packet's mark.
    Mark,
}

/// Elements that are alike but for their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Addresses for each part that has such, all of one family.
    pub addresses: Vec<Elements>,
    /// The port of TCP.
    pub port: Option<u16>,
    /// The name of the interface.
    pub interface: Option<DeviceName>,
    /// What is not followed, as it stands in the set: MACs and marks, with the addresses that they are for. Two sets that differ in these
    /// are not the same.
    pub others: Vec<String>,
}

impl Endpoints {
    /// Addresses with ports of TCP, as `hash:ip,port` has them.
    #[must_use]
    pub fn with_ports(list: impl IntoIterator<Item = (u16, Elements)>) -> Self {
        let row = |(port, addresses)| Endpoint { addresses: vec![addresses], port: Some(port), ..Endpoint::default() };
        Self { parts: vec![Part::Address, Part::Port], rows: list.into_iter().map(row).collect() }
    }

    /// Whether one of the parts is such.
    #[must_use]
    pub fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// What is not followed: who fits a row but for that is perhaps among the elements.
    #[must_use]
    pub fn unseen(&self) -> Option<&'static str> {
        self.parts.iter().find_map(|part| match part {
            Part::Address | Part::Port | Part::Interface => None,
            Part::Mac => Some("the MAC address"),
            Part::Mark => Some("the mark"),
        })
    }

    /// All addresses, of whichever part.
    pub fn addresses(&self) -> impl Iterator<Item = &Elements> {
        self.rows.iter().flat_map(|row| &row.addresses)
    }

    /// All ports of TCP.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.rows.iter().filter_map(|row| row.port)
    }

    /// How many addresses, networks and others there are in the rows.
    #[must_use]
    pub fn len(&self) -> usize {
        let of = |row: &Endpoint| match row.others.len() {
            0 => row.addresses.iter().map(Elements::len).fold(1, usize::saturating_mul),
            others => others,
        };
        self.rows.iter().map(of).fold(0, usize::saturating_add)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}
