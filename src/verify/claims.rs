//! What a cluster file wants to become of every packet. Source: DESIGN, "What the guard means".

use std::net::IpAddr;

use super::Claim;
use crate::cluster::{Node, Site, State};
use crate::ir::{Elements, TcpFlags};
use crate::net::{Cidr, Elsewhere, Interface, Networks, PortRange, Ports};
use crate::semantics::{Door, Packet, Question, Shape, TCP};

/// The claims about a site.
pub struct Claims<'a> {
    protected: Ports,
    admitted: Vec<Admitted<'a>>,
    untrusted: Networks,
    untrusted_list: Vec<Cidr>,
    elsewhere: Elsewhere,
    translates: bool,
    addresses: Vec<IpAddr>,
}

/// Some sources and the ports that they are admitted to.
pub struct Admitted<'a> {
    /// `peers`, or the client's name.
    pub who: &'a str,
    /// The ports.
    pub ports: Ports,
    /// The interfaces; `None` for any.
    pub interfaces: Option<Vec<Interface>>,
    sources: Networks,
    list: Vec<Cidr>,
}

impl<'a> Claims<'a> {
    /// The claims about a site.
    #[must_use]
    pub fn of(site: &Site<'a>) -> Self {
        let cluster = site.cluster();
        let nodes = cluster.nodes().iter().flat_map(Node::addresses).map(|&(address, _)| Cidr::host(address));
        let peer_ports = site.services().iter().filter(|s| s.service.state() == State::Open && s.service.peers());
        let ports = peer_ports.flat_map(|service| service.ports.ranges().iter().copied()).collect();
        let mut admitted =
            vec![Admitted::new("peers", ports, site.interfaces().map(<[Interface]>::to_vec), nodes.collect())];
        for client in cluster.clients() {
            let used = site.services().iter().filter(|service| client.services().contains(&service.id));
            let open = used.filter(|service| service.service.state() == State::Open);
            let ports = open.flat_map(|service| service.ports.ranges().iter().copied()).collect();
            let list = client.from().iter().map(|source| source.network).collect();
            admitted.push(Admitted::new(client.name(), ports, site.client_interfaces(client), list));
        }
        let here: Vec<&Node> = site.node().map_or_else(|| cluster.nodes().iter().collect(), |node| vec![node]);
        let addresses = here.iter().flat_map(|node| node.addresses()).map(|&(address, _)| address).collect();
        let untrusted_list: Vec<Cidr> = cluster.untrusted().iter().map(|source| source.network).collect();
        Self {
            protected: site.protected(),
            admitted,
            untrusted: untrusted_list.iter().copied().collect(),
            untrusted_list,
            elsewhere: site.elsewhere().clone(),
            translates: site.translates(),
            addresses,
        }
    }

    /// What, besides the rules, tells packets apart.
    #[must_use]
    pub fn question(&self) -> Question {
        let mut question = Question {
            ports: self.admitted.iter().map(|admitted| admitted.ports.ranges().to_vec()).collect(),
            interfaces: self.admitted.iter().flat_map(|admitted| admitted.interfaces.clone()).flatten().collect(),
            flags: vec![(TcpFlags::SYN.with(TcpFlags::ACK), TcpFlags::SYN)],
            sources: Vec::new(),
            elsewhere: self.elsewhere.clone(),
            translates: self.translates,
        };
        question.ports.push(self.protected.ranges().to_vec());
        // Port 0, of which nothing is claimed, must not speak for others.
        question.ports.push(PortRange::new(1, u16::MAX).into_iter().collect());
        question.interfaces.push(Interface::loopback());
        for list in self.admitted.iter().map(|admitted| &admitted.list).chain([&self.untrusted_list]) {
            let (v4, v6): (Vec<Cidr>, Vec<Cidr>) = list.iter().partition(|network| network.is_ipv4());
            question.sources.extend([Elements::of_networks(&v4), Elements::of_networks(&v6)]);
        }
        question
    }

    /// Who of the file admits this source to this port on this interface; nobody if it is untrusted.
    #[must_use]
    pub fn admitting(&self, source: IpAddr, port: u16, interface: Option<&Interface>) -> Option<&Admitted<'a>> {
        let host = Cidr::host(source);
        if self.untrusted.covers(host) {
            return None;
        }
        self.admitted.iter().find(|admitted| {
            let on = admitted.interfaces.as_ref().is_none_or(|names| interface.is_some_and(|own| names.contains(own)));
            on && admitted.ports.has(port) && admitted.sources.covers(host)
        })
    }

    /// Whether the file admits this source to this port on any interface at all.
    #[must_use]
    pub fn admits_somewhere(&self, source: IpAddr, port: u16) -> bool {
        let host = Cidr::host(source);
        let admits = |admitted: &Admitted<'a>| admitted.ports.has(port) && admitted.sources.covers(host);
        !self.untrusted.covers(host) && self.admitted.iter().any(admits)
    }

    /// The addresses that the file has for this host; those of every node where it is not said which one that is.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Whether this host is known to translate destinations.
    #[must_use]
    pub fn translates(&self) -> bool {
        self.translates
    }

    /// Whether the guard covers the port.
    #[must_use]
    pub fn protects(&self, port: u16) -> bool {
        self.protected.has(port)
    }

    /// Whether a packet is wanted to pass a door, and by which claim; `None` where nothing is claimed.
    pub(super) fn wants(&self, door: Door, packet: &Packet) -> Option<(Claim, bool)> {
        let loopback = packet.interface.as_ref().is_some_and(|own| *own == Interface::loopback());
        if !door.sees(packet) {
            return None;
        }
        if loopback {
            return Some((Claim::NonInterference, true));
        }
        if let Some(original) = packet.original_port {
            // At prerouting it was a packet like any other.
            if door != Door::Input {
                return None;
            }
            let admits = |port| self.admitting(packet.source, port, packet.interface.as_ref()).is_some();
            // Both ports are asked for: the one on the wire, and the one that the socket has.
            let judged = [original, packet.port].into_iter().filter(|port| self.protects(*port));
            let all = judged.clone().all(admits);
            return match (judged.count(), all) {
                (_, false) => Some((Claim::Isolation, false)),
                (0, true) => Some((Claim::NonInterference, true)),
                (_, true) => Some((Claim::Reachability, true)),
            };
        }
        let announced = packet.shape == Shape::FirstAnnounced && packet.protocol == TCP;
        if announced || packet.shape == Shape::FirstHidden {
            // Dropped at prerouting, so that it never comes to input.
            return (door != Door::Input).then_some((Claim::Isolation, false));
        }
        let tcp = packet.protocol == TCP;
        if tcp && packet.shape == Shape::LaterMisread {
            // Worth nothing without the first fragment, which is judged. nft may take its data for a header.
            return None;
        }
        if tcp && packet.port == 0 {
            // Not a port (RFC 6335, 6): nothing listens there, and a fragment to it may be dropped as hidden.
            return None;
        }
        let syn_ack = TcpFlags::SYN.with(TcpFlags::ACK);
        let flags_visible = matches!(packet.shape, Shape::Whole | Shape::Extended | Shape::First);
        let port_visible = flags_visible || packet.shape == Shape::FirstShort;
        let new = flags_visible && packet.flags.0 & syn_ack.0 == TcpFlags::SYN.0;
        let judged = match door {
            Door::Input => tcp && port_visible && self.protects(packet.port),
            Door::BeforeTranslation | Door::Prerouting => {
                tcp && new && packet.locality.is_local() && self.protects(packet.port)
            }
        };
        if judged {
            return Some(match self.admitting(packet.source, packet.port, packet.interface.as_ref()) {
                Some(_) => (Claim::Reachability, true),
                None => (Claim::Isolation, false),
            });
        }
        Some(if tcp && flags_visible && !new { (Claim::OwnReplies, true) } else { (Claim::NonInterference, true) })
    }
}

impl<'a> Admitted<'a> {
    fn new(who: &'a str, ports: Ports, interfaces: Option<Vec<Interface>>, list: Vec<Cidr>) -> Self {
        Self { who, ports, interfaces, sources: list.iter().copied().collect(), list }
    }
}
