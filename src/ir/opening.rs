//! What another firewall of a host is to let through, so that those whom the guard admits also reach the service.

use std::net::IpAddr;

use crate::net::{Cidr, Interface, Ports};

/// Requests for new TCP connections that are to pass: from these sources to these ports of this host, or from this host to these
/// ports of theirs.
///
/// INVARIANT (narrow): the networks are of one family, sorted and disjoint, never empty, and nobody is among them whom the guard
/// does not admit to every one of the ports on every one of the interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Lower-case letters, digits and `-`: `peers`, `http-clients`. Unique among those of a leg and family.
    pub name: String,
    /// For whom, in words: `peers: epmd, http`.
    pub about: String,
    /// Which way.
    pub leg: Leg,
    /// The other side.
    pub networks: Vec<Cidr>,
    /// The ports that are asked for.
    pub ports: Ports,
    /// Where it comes in, or goes out; `None` for any interface.
    pub interfaces: Option<Vec<Interface>>,
}

/// Which way requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leg {
    /// To this host.
    In,
    /// From this host to its peers.
    Out,
}

impl Opening {
    /// Whether it is about IPv4; about IPv6 otherwise.
    #[must_use]
    pub fn is_ipv4(&self) -> bool {
        self.networks.first().is_some_and(|network| network.is_ipv4())
    }

    /// Whether a source, or destination, is among the networks.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.has(address))
    }
}
