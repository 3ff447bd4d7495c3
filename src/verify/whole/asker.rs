//! Each question, asked of sets of packets.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::claims::{Admitted, Claims};
use super::super::judge::shown_packet;
use super::by::{admitting, blocking, doubted, leading, name_of};
use super::{Answer, Direction, Reached, Shown, Stage, Ways, Who, is_open};
use crate::cluster::{Cluster, Site, SitePart, SiteService};
use crate::ir::{ConnectionStates, Elements, TcpFlags};
use crate::net::{Cidr, Interface, Ports, Surroundings};
use crate::semantics::{
    Arrival, Bounded, Door, Fates, Field, Flow, Home, Leg, Locality, OPENING, Packet, Rules, Set, Shape, Space, TCP,
    TooLarge,
};

/// What is asked, and of whom.
pub(super) struct Asker<'c, 'r, 'a> {
    pub(super) claims: &'c Claims<'c>,
    /// Of each whom the file admits, in the same order.
    pub(super) sources: &'c [Sources],
    pub(super) site: &'c Site<'c>,
    pub(super) surroundings: &'c Surroundings,
    /// Those who are not asked about.
    pub(super) beside: &'c [Elements],
    pub(super) home: Home,
    pub(super) honest: Flow<'r, 'a>,
    /// The same for whoever sends what programs send: of these it is only asked what connection tracking sees.
    pub(super) senders: Flow<'r, 'a>,
    pub(super) strangers: Flow<'r, 'a>,
    pub(super) honest_rules: &'r Rules<'a>,
    pub(super) stranger_rules: &'r Rules<'a>,
    /// The part of the rules because of which nothing is certain.
    pub(super) unjudged: Option<String>,
    /// Another, because of which it is not certain that neighbours of IPv4 find each other.
    pub(super) arp: Option<String>,
    /// Of the question at hand: who is blocked for certain.
    pub(super) blocked: Set,
}

/// Of more nodes than this it is not told which are blocked.
const MOST_NAMED: usize = 1000;

/// The packets that a question is about.
#[derive(Clone, Copy)]
struct Asked {
    packets: Set,
    /// Those of whom it is not known on which interface they come in: one of those that are here, and the same each time.
    anywhere: Set,
}

/// Where somebody comes from who is admitted, whichever service is asked for.
pub(super) struct Sources {
    asked: Asked,
    /// Why answers to some of them may not be sent.
    refusal: OnceCell<Option<String>>,
}

impl Sources {
    pub(super) fn of(space: &mut Space<'_>, admitted: &Admitted<'_>, ways: &Ways<'_>) -> Bounded<Self> {
        let mut asked = Asked { packets: Set::EMPTY, anywhere: Set::EMPTY };
        for (interface, list) in ways {
            let from = space.source(list)?.ok_or(TooLarge)?;
            let loopback = Interface::loopback();
            let on = space.interface(|own| match (interface, &admitted.interfaces) {
                (Some(routed), _) => own == Some(routed),
                (None, Some(names)) => own.is_some_and(|own| names.contains(own)),
                (None, None) => own != Some(&loopback),
            })?;
            let own = space.sets.intersection(from, on)?;
            asked.packets = space.sets.union(asked.packets, own)?;
            if interface.is_none() {
                asked.anywhere = space.sets.union(asked.anywhere, own)?;
            }
        }
        Ok(Self { asked, refusal: OnceCell::new() })
    }

    fn refusal(&self, admitted: &Admitted<'_>, claims: &Claims<'_>, surroundings: &Surroundings) -> Option<String> {
        let find = || {
            // Where it is not said which node this is, they are those of all nodes.
            let own: OnceCell<HashSet<IpAddr>> = OnceCell::new();
            let own = || own.get_or_init(|| claims.addresses().iter().copied().collect());
            let is_own = |network: Cidr| network.is_host() && own().contains(&network.first());
            let refusal = |network| surroundings.refusal(network);
            let is_refused = |network| refusal(network).is_some();
            let lists = admitted.families();
            let v4 = lists.iter().flat_map(|list| surroundings.those(list.v4(), is_refused));
            let v6 = lists.iter().flat_map(|list| surroundings.those(list.v6(), is_refused));
            v4.chain(v6).find(|network| !is_own(*network)).and_then(refusal)
        };
        self.refusal.get_or_init(find).clone()
    }
}

impl Asker<'_, '_, '_> {
    /// Where the packets are for that are asked about: an address of this host, which may be one of a VRF.
    fn here(&self, space: &mut Space<'_>) -> Bounded<Set> {
        let vrfs = self.surroundings.has_vrfs();
        space.locality(|own| own == Locality::Local || (vrfs && own == Locality::Vrf))
    }

    /// Whole segments of TCP that were not translated yet.
    fn segments(space: &mut Space<'_>) -> Bounded<Set> {
        let (tcp, whole) = (space.protocol(TCP)?, space.shape(|shape| shape == Shape::Whole)?);
        let plain = space.is(Field::Original, 0)?;
        space.sets.each([tcp, whole, plain])
    }

    /// Segments to some ports, of those who are asked about.
    fn packets_of(&self, space: &mut Space<'_>, sources: &Sources, ports: &Ports) -> Bounded<Asked> {
        let Asked { packets, anywhere } = sources.asked;
        let ports = ports_of(space, ports)?;
        let segments = Self::segments(space)?;
        let refused = self.claims.untrusted(space)?;
        let all = space.sets.each([packets, ports, segments])?;
        let mut packets = space.sets.difference(all, refused)?;
        for list in self.beside {
            let known = space.source(list)?.ok_or(TooLarge)?;
            packets = space.sets.difference(packets, known)?;
        }
        Ok(Asked { packets, anywhere })
    }

    pub(super) fn admitted(
        &mut self,
        space: &mut Space<'_>,
        (admitted, sources): (&Admitted<'_>, &Sources),
        service: &SiteService<'_>,
    ) -> Bounded<Answer> {
        let Asked { packets, anywhere } = self.packets_of(space, sources, &service.ports)?;
        let here = self.here(space)?;
        let packets = space.sets.intersection(packets, here)?;
        // What a host sends to itself does not come in.
        let own = self.claims.own_addresses(space)?;
        let packets = space.sets.difference(packets, own)?;
        let honest = honest_segments(space)?;
        let packets = space.sets.intersection(packets, honest)?;
        let (usual, perhaps) = self.honest.plausible(space)?;
        let mut found = Reached::Yes;
        self.blocked = Set::EMPTY;
        for to in self.destinations(space) {
            let fates = self.honest.asked(space, to, &self.home, &Arrival::SamePort)?;
            let concerned = Asked { packets: self.concerned(space, packets, to)?, anywhere };
            let next = self.wanted(space, concerned, (usual, perhaps), fates, to, Direction::In)?;
            found = worse(found, next);
        }
        let found = self.between_neighbours(space, packets, found)?;
        let found = self.routed([(admitted, sources)], found);
        let mut answer = answer(who(self.site, admitted), Direction::In, service, found);
        if let Some(part) = self.site.parts().get(admitted.part).filter(|_| admitted.is_peers) {
            answer.whom = self.shut_out(space, part, &answer.reached)?;
        }
        Ok(answer)
    }

    /// This host's addresses, as far as rules tell them apart. Whom a file admits comes to the addresses in it.
    fn destinations(&self, space: &Space<'_>) -> Vec<Option<IpAddr>> {
        let known = space.told_apart(|| self.claims.addresses());
        if known.is_empty() { vec![None] } else { known.into_iter().map(|(_, address)| Some(address)).collect() }
    }

    fn concerned(&self, space: &mut Space<'_>, packets: Set, to: Option<IpAddr>) -> Bounded<Set> {
        match to {
            None => Ok(packets),
            Some(to) => {
                let family = space.family(to.is_ipv4())?;
                space.sets.intersection(packets, family)
            }
        }
    }

    /// Whether packets pass that are to.
    fn wanted(
        &mut self,
        space: &mut Space<'_>,
        Asked { packets, anywhere }: Asked,
        (usual, perhaps): (Set, Set),
        fates: Fates,
        to: Option<IpAddr>,
        direction: Direction,
    ) -> Bounded<Reached> {
        let blocked = space.sets.intersection(packets, fates.may_block)?;
        let certain = space.sets.intersection(blocked, usual)?;
        let certain = space.sets.difference(certain, fates.may_pass)?;
        // Of VRFs it is not known whether anybody comes by one.
        let local = space.locality(|own| own == Locality::Local)?;
        let certain = space.sets.intersection(certain, local)?;
        // Whoever may come in on another interface as well is only blocked where they are blocked on each.
        let passing = space.sets.each([packets, anywhere, usual, fates.may_pass])?;
        let passing = space.sets.without(passing, Field::Interface.number())?;
        let perhaps_there = space.sets.intersection(passing, anywhere)?;
        let certain = space.sets.difference(certain, perhaps_there)?;
        let led = self.honest.led_somewhere(space, direction == Direction::Out, to, &self.home)?;
        let staying = space.sets.difference(certain, led)?;
        self.blocked = space.sets.union(self.blocked, staying)?;
        if let Some(packet) = shown_packet(space, staying, to)? {
            return Ok(Reached::Blocked(self.shown(packet, direction, (true, true))));
        }
        if let Some(packet) = shown_packet(space, certain, to)? {
            return Ok(Reached::Led(self.shown_led(packet, direction)));
        }
        let plausible = space.sets.union(usual, perhaps)?;
        let doubted = space.sets.intersection(blocked, plausible)?;
        if let Some(packet) = shown_packet(space, doubted, to)? {
            return Ok(match self.honest.unwieldy(space) {
                Some(part) => Reached::Unjudged(part),
                None => Reached::Undecided(self.shown(packet, direction, (true, false))),
            });
        }
        Ok(self.unjudged.clone().map_or(Reached::Yes, Reached::Unjudged))
    }

    /// Whether anybody else gets in, by whatever port.
    pub(super) fn others(&mut self, space: &mut Space<'_>, service: &SiteService<'_>) -> Bounded<Answer> {
        let loopback = Interface::loopback();
        let outside = space.interface(|own| own != Some(&loopback))?;
        let segments = Self::segments(space)?;
        let mut admitted = Set::EMPTY;
        for one in self.claims.admitted().iter().filter(|one| is_open(service, one)) {
            let own = self.claims.sources(space, one)?;
            admitted = space.sets.union(admitted, own)?;
        }
        let strangers = space.sets.intersection(outside, segments)?;
        let strangers = space.sets.difference(strangers, admitted)?;
        let mut strangers = strangers;
        for list in not_from_outside() {
            let own = space.source(&list)?.ok_or(TooLarge)?;
            strangers = space.sets.difference(strangers, own)?;
        }
        let arrival = Arrival::Any(service.ports.clone());
        let opening = space.flags(|own| own.0 & OPENING.0.0 == OPENING.1.0)?;
        // What nobody expects is not related.
        let expected = self.stranger_rules.may_expect();
        let begins = space
            .states(|own| own != ConnectionStates::ESTABLISHED && (expected || own != ConnectionStates::RELATED))?;
        let strangers = space.sets.each([strangers, opening, begins])?;
        let (usual, _) = self.senders.plausible(space)?;
        let mut found = Reached::No;
        for to in self.all_destinations(space) {
            let fates = self.strangers.asked(space, to, &self.home, &arrival)?;
            let concerned = self.concerned(space, strangers, to)?;
            let passing = space.sets.intersection(concerned, fates.may_pass)?;
            let certain = space.sets.intersection(passing, usual)?;
            let certain = space.sets.difference(certain, fates.may_block)?;
            let next = if let Some(packet) = shown_packet(space, certain, to)? {
                Reached::Wrongly(self.shown(packet, Direction::In, (false, true)))
            } else if let Some(packet) = shown_packet(space, passing, to)? {
                match self.strangers.unwieldy(space) {
                    Some(part) => Reached::Unjudged(part),
                    None => Reached::Undecided(self.shown(packet, Direction::In, (false, false))),
                }
            } else {
                self.unjudged.clone().map_or(Reached::No, Reached::Unjudged)
            };
            found = worse(found, next);
        }
        Ok(answer(Who::Others, Direction::In, service, found))
    }

    /// Every address of this host that rules tell apart, and one that is none of these.
    fn all_destinations(&self, space: &Space<'_>) -> Vec<Option<IpAddr>> {
        let known = space.told_apart(|| &self.home.addresses);
        known.into_iter().map(|(_, address)| Some(address)).chain([None]).collect()
    }

    /// Whether this host reaches its peers' service, in one of the clusters.
    pub(super) fn out(
        &mut self,
        space: &mut Space<'_>,
        (at, part): (usize, &SitePart<'_>),
        service: &SiteService<'_>,
    ) -> Bounded<Answer> {
        let ports = part.ports_of_others(service);
        let all = self.claims.admitted().iter().zip(self.sources);
        let peers: Vec<(&Admitted<'_>, &Sources)> = all.filter(|(one, _)| one.is_peers && one.part == at).collect();
        let (mut packets, mut anywhere) = (Set::EMPTY, Set::EMPTY);
        for (_, sources) in &peers {
            let own = self.packets_of(space, sources, &ports)?;
            packets = space.sets.union(packets, own.packets)?;
            anywhere = space.sets.union(anywhere, own.anywhere)?;
        }
        let others = self.claims.own_addresses(space)?;
        let here = self.here(space)?;
        let packets = space.sets.intersection(packets, here)?;
        // Where it is not said which node this is, each of them is another's peer.
        let packets = if part.count_of_others() == 0 { packets } else { space.sets.difference(packets, others)? };
        let honest = honest_segments(space)?;
        let states = space.states(|own| own == ConnectionStates::NEW || own == ConnectionStates::ESTABLISHED)?;
        let usual = space.sets.intersection(honest, states)?;
        // Where rules keep packets from tracking, they may be in other states.
        let astray = self.honest.asking_astray(space)?;
        let perhaps = space.sets.intersection(honest, astray)?;
        let mut found = Reached::Yes;
        self.blocked = Set::EMPTY;
        for from in self.destinations(space) {
            let fates = self.honest.asking(space, from, &self.home)?;
            let concerned = Asked { packets: self.concerned(space, packets, from)?, anywhere };
            let next = self.wanted(space, concerned, (usual, perhaps), fates, from, Direction::Out)?;
            found = worse(found, next);
        }
        let found = self.between_neighbours(space, packets, found)?;
        let found = self.routed(peers, found);
        let mut answer = answer(peers_of(part.cluster()), Direction::Out, service, found);
        answer.ports = ports;
        answer.whom = self.shut_out(space, part, &answer.reached)?;
        Ok(answer)
    }

    /// The other nodes of a cluster of whom an address is blocked for certain, by name, if that is what was found.
    fn shut_out(&self, space: &mut Space<'_>, part: &SitePart<'_>, found: &Reached) -> Bounded<Vec<String>> {
        if !matches!(found, Reached::Blocked(_)) || part.count_of_others() > MOST_NAMED {
            return Ok(Vec::new());
        }
        let mut whom = Vec::new();
        for node in part.others() {
            for (address, _) in node.addresses() {
                let from = space.like_source(address)?;
                let own = space.sets.intersection(self.blocked, from)?;
                if own != Set::EMPTY {
                    whom.push(node.name().to_owned());
                    break;
                }
            }
        }
        Ok(whom)
    }

    /// What was found, unless the neighbours that packets go by cannot find each other: IPv4 asks by ARP, IPv6 by ICMPv6.
    fn between_neighbours(&self, space: &mut Space<'_>, packets: Set, found: Reached) -> Bounded<Reached> {
        if found != Reached::Yes {
            return Ok(found);
        }
        let mut why = None;
        for ipv4 in [true, false] {
            let family = space.family(ipv4)?;
            let own = space.sets.intersection(packets, family)?;
            let Some(packet) = space.witness(own)? else { continue };
            why = why.or_else(|| if ipv4 { self.arp.clone() } else { without_neighbours(self.honest_rules, &packet) });
        }
        Ok(why.map_or(Reached::Yes, Reached::Unjudged))
    }

    /// What was found, unless there is no way to some of those who are admitted, or this host has none of the addresses that they ask.
    fn routed<'s>(&self, whom: impl IntoIterator<Item = (&'s Admitted<'s>, &'s Sources)>, found: Reached) -> Reached {
        if found != Reached::Yes {
            return found;
        }
        let Surroundings { addresses, complete, not_local, .. } = self.surroundings;
        let missing = self
            .claims
            .addresses()
            .iter()
            .find(|own| not_local.contains(own) || (*complete && !addresses.contains(own)));
        let missing = missing.map(|own| match self.surroundings.has_vrfs() {
            true => format!("the address {own}, which is this host's in a VRF at most"),
            false => format!("the address {own}, which this host does not take for its own"),
        });
        let refused =
            || whom.into_iter().find_map(|(one, sources)| sources.refusal(one, self.claims, self.surroundings));
        missing.or_else(refused).map_or(Reached::Yes, Reached::Unjudged)
    }

    /// The packet, with what leads it elsewhere, or blocks it before.
    fn shown_led(&self, packet: Packet, direction: Direction) -> Shown {
        let legs = self.legs(self.honest_rules, &packet, direction);
        let by = blocking(&legs).filter(|by| by.stage == Stage::In).or_else(|| leading(&legs));
        Shown { packet, by }
    }

    fn legs<'l>(&self, rules: &Rules<'l>, packet: &Packet, direction: Direction) -> Vec<Leg<'l>> {
        match direction {
            Direction::In => rules.legs_asked(packet, &self.home),
            Direction::Out => rules.legs_asking(packet, &self.home),
        }
    }

    fn shown(&self, packet: Packet, direction: Direction, (wanted, certain): (bool, bool)) -> Shown {
        let legs = self.legs(if wanted { self.honest_rules } else { self.stranger_rules }, &packet, direction);
        let by = if certain { if wanted { blocking(&legs) } else { admitting(&legs) } } else { doubted(&legs) };
        Shown { packet, by }
    }
}

/// What programs send: what opens a connection, where it is new, and what goes on with one.
fn honest_segments(space: &mut Space<'_>) -> Bounded<Set> {
    /// ACK alone, with PSH, with FIN, and with both.
    const GOING_ON: [TcpFlags; 4] = [TcpFlags(0x10), TcpFlags(0x18), TcpFlags(0x11), TcpFlags(0x19)];
    let new = space.states(|own| own != ConnectionStates::ESTABLISHED && own != ConnectionStates::RELATED)?;
    // Where rules do not ask for states, all are one.
    let others = match space.tells_states_apart() {
        true => space.states(|own| own != ConnectionStates::NEW)?,
        false => Set::ALL,
    };
    let (opening, going_on) = (space.segments(&[TcpFlags::SYN])?, space.segments(&GOING_ON)?);
    let (opening, going_on) = (space.sets.intersection(opening, new)?, space.sets.intersection(going_on, others)?);
    space.sets.union(opening, going_on)
}

/// The chain that lets no ICMPv6 in, or none out, whether from and to this packet's source or a link-local address. What of
/// ICMPv6 passes where some does is not asked. Connection tracking leaves neighbour discovery alone (nf_conntrack_icmpv6_error).
fn without_neighbours(rules: &Rules<'_>, packet: &Packet) -> Option<String> {
    const ICMPV6: u8 = 58;
    let link_local = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    let sent = |source: IpAddr, locality: Locality| Packet {
        source,
        locality,
        interface: packet.interface.clone(),
        protocol: ICMPV6,
        state: ConnectionStates::UNTRACKED,
        ..Packet::plain(source)
    };
    let solicited = [packet.source, link_local]
        .into_iter()
        .flat_map(|source| [Locality::Local, Locality::Foreign].map(|locality| sent(source, locality)));
    let all: Vec<Packet> = solicited.collect();
    [Door::Wire, Door::Translated, Door::Input, Door::AnswersLeave].into_iter().find_map(|door| {
        let lost = all.iter().all(|own| !rules.evaluate(door, own).may_pass);
        let step = all.first().filter(|_| lost).and_then(|own| rules.trace(door, own).1.into_iter().last());
        step.map(|step| {
            let table = name_of(step.table);
            format!(
                "chain {} of table {table}, where no ICMPv6 passes, by which IPv6 finds its neighbours",
                step.chain.name
            )
        })
    })
}

/// Addresses that no connection comes from but on the loopback interface: before the chains of input the kernel drops what has
/// one as its source (ip_route_input_slow, ip6_rcv_core); of 0.0.0.0/8 that is one address since Linux 5.3 (ipv4_is_zeronet). Sysctl `route_localnet` lets 127.0.0.0/8 in, and is looked for beside
/// the rules.
pub(super) fn not_from_outside() -> [Elements; 2] {
    const NONE: [(IpAddr, u8); 6] = [
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 32),
        (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
        (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4),
        (IpAddr::V4(Ipv4Addr::BROADCAST), 32),
        (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
    ];
    // A list is of one family.
    [true, false].map(|ipv4| {
        let own = NONE.iter().filter(|(first, _)| first.is_ipv4() == ipv4);
        let networks: Vec<Cidr> = own.filter_map(|(first, bits)| Cidr::containing(*first, *bits)).collect();
        Elements::of_networks(&networks)
    })
}

/// The packets to some ports.
fn ports_of(space: &mut Space<'_>, ports: &Ports) -> Bounded<Set> {
    let list: Vec<(u16, u16)> = ports.ranges().iter().map(|range| (range.first(), range.last())).collect();
    space.port(&list)?.ok_or(TooLarge)
}

fn who(site: &Site<'_>, admitted: &Admitted<'_>) -> Who {
    match site.parts().get(admitted.part).filter(|_| admitted.is_peers) {
        Some(part) => peers_of(part.cluster()),
        None => Who::Client(admitted.who.to_owned()),
    }
}

fn peers_of(cluster: &Cluster) -> Who {
    cluster.tag().map_or(Who::Peers, |_| Who::PeersOf(cluster.name().to_owned()))
}

fn answer(who: Who, direction: Direction, service: &SiteService<'_>, reached: Reached) -> Answer {
    let (service, ports) = (service.service.name().to_owned(), service.ports.clone());
    Answer { who, direction, service, ports, reached, whom: Vec::new() }
}

/// Of two results the one that weighs more.
fn worse(one: Reached, other: Reached) -> Reached {
    let weight = |reached: &Reached| match reached {
        Reached::Yes | Reached::No => 0,
        Reached::Unjudged(_) => 1,
        Reached::Undecided(_) => 2,
        Reached::Led(_) => 3,
        Reached::Wrongly(_) | Reached::OnPurpose(_) | Reached::Blocked(_) => 4,
    };
    if weight(&other) > weight(&one) { other } else { one }
}
