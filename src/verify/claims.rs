//! What a cluster file wants to become of every packet. Source: DESIGN, "What the guard means".

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use super::Claim;
use crate::cluster::{Cluster, Node, Site, SitePart, Source, State};
use crate::ir::{Elements, TcpFlags};
use crate::net::{Cidr, Elsewhere, Interface, PortRange, Ports, Surroundings};
use crate::semantics::{Door, GOING_ON, OPENING, Packet, Question, Shape, TCP};

mod wanted;

/// The claims about a site.
pub struct Claims<'a> {
    protected: Ports,
    admitted: Vec<Admitted<'a>>,
    untrusted: Vec<Elements>,
    /// Of these nothing is claimed; a stranger in them shows more than one from anywhere.
    private: Vec<Elements>,
    elsewhere: Elsewhere,
    translates: bool,
    parts: Vec<SitePart<'a>>,
    /// Those of this host, or of every node: made when somebody first asks for them.
    addresses: OnceLock<Arc<Vec<IpAddr>>>,
    /// The same as lists; nothing where it is not said which nodes this host is.
    own: Vec<Elements>,
    /// Whether strangers are to pass, too: then nothing is to be blocked.
    lets_on: bool,
}

/// Some sources and the ports that they are admitted to.
pub struct Admitted<'a> {
    /// `peers`, or the client's name; where several clusters are guarded `peers of NAME`, and the client's with its cluster.
    pub who: &'a str,
    /// Whether these are the nodes of a cluster.
    pub is_peers: bool,
    /// Of which of the clusters, in the order of [`Site::parts`].
    pub part: usize,
    /// The ports.
    pub ports: Ports,
    /// The interfaces; `None` for any.
    pub interfaces: Option<Vec<Interface>>,
    /// The sources, for each family that has some.
    families: Vec<Elements>,
}

impl<'a> Claims<'a> {
    /// The claims about a site: of each cluster by what its own file says, and not by what the clusters are together, so that a mistake
    /// in putting them together cannot prove itself.
    #[must_use]
    pub fn of(site: &Site<'a>) -> Self {
        let parts = site.parts();
        let mut admitted: Vec<Admitted<'_>> =
            parts.iter().enumerate().flat_map(|(part, own)| admitted(part, own)).collect();
        for admitted in &mut admitted {
            let others = parts.iter().enumerate().filter(|(at, _)| *at != admitted.part).map(|(_, other)| other);
            if let Some(own) = parts.get(admitted.part) {
                admitted.ports =
                    others.fold(admitted.ports.clone(), |ports, other| ports.without(&contested(own, other)));
            }
        }
        let protected = parts.iter().flat_map(|part| part.protected().ranges().to_vec()).collect();
        let networks = |of: fn(&Cluster) -> &[Source]| -> Vec<Cidr> {
            parts.iter().flat_map(|part| of(part.cluster())).map(|source| source.network).collect()
        };
        Self {
            protected,
            admitted,
            untrusted: families(&networks(Cluster::untrusted)),
            private: families(&networks(Cluster::private)),
            elsewhere: site.elsewhere().clone(),
            translates: site.translates(),
            own: if site.is_of_nodes() {
                families(&addresses(parts).into_iter().map(Cidr::host).collect::<Vec<Cidr>>())
            } else {
                Vec::new()
            },
            parts: parts.to_vec(),
            addresses: OnceLock::new(),
            lets_on: false,
        }
    }

    /// The same where nobody is to be blocked: what isolation keeps out is not to be interfered with then.
    #[must_use]
    pub(super) fn letting_on(self) -> Self {
        Self { lets_on: true, ..self }
    }

    /// What, besides the rules, tells packets apart.
    #[must_use]
    pub fn question(&self) -> Question<'_> {
        let mut question = Question {
            ports: self.admitted.iter().map(|admitted| admitted.ports.ranges().to_vec()).collect(),
            interfaces: self.admitted.iter().flat_map(|admitted| admitted.interfaces.clone()).flatten().collect(),
            flags: vec![(TcpFlags::SYN.with(TcpFlags::ACK), TcpFlags::SYN), OPENING, GOING_ON],
            sources: Vec::new(),
            elsewhere: self.elsewhere.clone(),
            translates: self.translates,
            leaving: false,
            surroundings: Surroundings::default(),
            home: None,
        };
        question.ports.push(self.protected.ranges().to_vec());
        // Port 0, of which nothing is claimed, must not speak for others.
        question.ports.push(PortRange::new(1, u16::MAX).into_iter().collect());
        question.interfaces.push(Interface::loopback());
        let lists = self.admitted.iter().flat_map(|admitted| &admitted.families).chain(&self.untrusted);
        question.sources.extend(lists.chain(&self.private).chain(&self.own).map(Cow::Borrowed));
        question
    }

    /// Who of the file admits this source to this port on this interface; nobody if it is untrusted.
    #[must_use]
    pub fn admitting(&self, source: IpAddr, port: u16, interface: Option<&Interface>) -> Option<&Admitted<'a>> {
        if self.distrusts(source) {
            return None;
        }
        self.admitted.iter().find(|admitted| {
            let on = admitted.interfaces.as_ref().is_none_or(|names| interface.is_some_and(|own| names.contains(own)));
            on && admitted.ports.has(port) && admitted.has(source)
        })
    }

    /// Whether the file admits this source to this port on any interface at all.
    #[must_use]
    pub fn admits_somewhere(&self, source: IpAddr, port: u16) -> bool {
        let admits = |admitted: &Admitted<'a>| admitted.ports.has(port) && admitted.has(source);
        !self.distrusts(source) && self.admitted.iter().any(admits)
    }

    fn distrusts(&self, source: IpAddr) -> bool {
        self.untrusted.iter().any(|list| list.has(source))
    }

    /// Everybody whom the file admits somewhere.
    #[must_use]
    pub fn admitted(&self) -> &[Admitted<'a>] {
        &self.admitted
    }

    /// The addresses that the file has for this host; those of every node where it is not said which one that is.
    #[must_use]
    pub fn addresses(&self) -> &Arc<Vec<IpAddr>> {
        self.addresses.get_or_init(|| Arc::new(addresses(&self.parts)))
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

    /// Whether a packet is wanted to pass a door, and by which claim; `None` where nothing is claimed. This is the
    /// specification of [`Self::wanted`].
    #[must_use]
    pub fn wants(&self, door: Door, packet: &Packet) -> Option<(Claim, bool)> {
        let wanted = self.wants_guarded(door, packet);
        wanted.map(
            |(claim, passes)| if self.lets_on && !passes { (Claim::NonInterference, true) } else { (claim, passes) },
        )
    }

    fn wants_guarded(&self, door: Door, packet: &Packet) -> Option<(Claim, bool)> {
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
            // Nothing is claimed there.
            Door::Translated
            | Door::AnswersLeave
            | Door::RequestsLeave
            | Door::RequestsTranslated
            | Door::AnswersArrive => return None,
            Door::Input => tcp && port_visible && self.protects(packet.port),
            Door::BeforeTranslation | Door::Prerouting | Door::Wire => {
                tcp && new && packet.locality.is_local() && self.protects(packet.port)
            }
        };
        if judged {
            return Some(match self.admitting(packet.source, packet.port, packet.interface.as_ref()) {
                Some(_) => (Claim::Reachability, true),
                None => (Claim::Isolation, false),
            });
        }
        // A connection that only opens is of no use to anybody.
        let early = matches!(door, Door::BeforeTranslation | Door::Prerouting | Door::Wire);
        if early && tcp && flags_visible && goes_on(packet.flags) && packet.locality.is_local() {
            let admitted = || self.admitting(packet.source, packet.port, packet.interface.as_ref()).is_some();
            if self.protects(packet.port) && admitted() {
                return Some((Claim::Reachability, true));
            }
        }
        Some(if tcp && flags_visible && !new { (Claim::OwnReplies, true) } else { (Claim::NonInterference, true) })
    }
}

/// The addresses of the nodes that the host is; where that is not said, of all.
fn addresses(parts: &[SitePart<'_>]) -> Vec<IpAddr> {
    let all = parts.iter().flat_map(SitePart::here).flat_map(Node::addresses).map(|(address, _)| address);
    let mut addresses = Vec::with_capacity(parts.iter().map(|part| part.here().count()).sum());
    // The nodes of several clusters have one host's.
    let mut seen = HashSet::new();
    addresses.extend(all.filter(|own| parts.len() == 1 || seen.insert(*own)));
    addresses
}

/// Shapes whose flags are there.
fn shows_flags(shape: Shape) -> bool {
    matches!(shape, Shape::Whole | Shape::Extended | Shape::First)
}

fn is_opening(flags: TcpFlags) -> bool {
    flags.0 & TcpFlags::SYN.with(TcpFlags::ACK).0 == TcpFlags::SYN.0
}

fn goes_on(flags: TcpFlags) -> bool {
    flags.0 & GOING_ON.0.0 == GOING_ON.1.0
}

/// The ports that two clusters guard and that are not one service for both, which only epmd is, open in both with the same ports: nobody is
/// admitted there. A file with such a port is refused; were it not, its rules would not be proved.
fn contested(one: &SitePart<'_>, other: &SitePart<'_>) -> Ports {
    let (guarded, theirs) = (one.protected(), other.protected());
    let both = guarded.without(&guarded.without(&theirs));
    let epmd = |part: &SitePart<'_>| -> Vec<Ports> {
        let is_epmd = |name: &str| name == "epmd" || name.starts_with("epmd (");
        let open =
            part.services().iter().filter(|own| own.service.state() == State::Open && is_epmd(own.service.name()));
        open.map(|own| own.ports.clone()).collect()
    };
    let theirs = epmd(other);
    epmd(one).iter().filter(|ports| theirs.contains(ports)).fold(both, |both, common| both.without(common))
}

/// Whom a cluster admits at a site.
fn admitted<'a>(at: usize, part: &SitePart<'a>) -> Vec<Admitted<'a>> {
    let cluster = part.cluster();
    let peer_ports = part.services().iter().filter(|s| s.service.state() == State::Open && s.service.peers());
    let ports = peer_ports.flat_map(|service| service.ports.ranges().iter().copied()).collect();
    let interfaces = part.interfaces().map(<[Interface]>::to_vec);
    let mut all = vec![Admitted {
        who: cluster.peers(),
        is_peers: true,
        part: at,
        ports,
        interfaces,
        families: Elements::of_hosts(part.hosts()).collect(),
    }];
    for client in cluster.clients() {
        let used = part.services().iter().filter(|service| client.services().contains(&service.id));
        let open = used.filter(|service| service.service.state() == State::Open);
        let ports = open.flat_map(|service| service.ports.ranges().iter().copied()).collect();
        let list: Vec<Cidr> = client.from().iter().map(|source| source.network).collect();
        all.push(Admitted {
            who: client.name(),
            is_peers: false,
            part: at,
            ports,
            interfaces: part.client_interfaces(client),
            families: families(&list),
        });
    }
    all
}

/// A list for each family that has some.
fn families(networks: &[Cidr]) -> Vec<Elements> {
    let (v4, v6): (Vec<Cidr>, Vec<Cidr>) = networks.iter().partition(|network| network.is_ipv4());
    [v4, v6].iter().filter(|list| !list.is_empty()).map(|list| Elements::of_networks(list)).collect()
}

impl<'a> Admitted<'a> {
    /// Its sources, a list for each family that has some.
    pub(super) fn families(&self) -> &[Elements] {
        &self.families
    }

    /// Its sources as networks.
    #[must_use]
    pub fn networks(&self) -> Vec<Cidr> {
        self.families.iter().flat_map(Elements::networks).collect()
    }

    /// Whether it has this source.
    #[must_use]
    pub fn has(&self, source: IpAddr) -> bool {
        self.families.iter().any(|list| list.has(source))
    }
}
