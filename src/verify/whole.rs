//! What the rules of a whole host mean for a cluster: whether each admitted source really reaches each service and hears its
//! answers, whether this host reaches its peers, and whether anybody else gets in.
//!
//! The claims of [`check`](super::check) are about the guard, which has to hold whatever stands around it. The answers here are
//! about everything that stands in the rules: other tables, destination NAT, the way out. They rest on more:
//!
//! - those whom the file names behave as programs do (see [`Trust`](crate::semantics::Trust));
//! - a peer comes in on the interface that the way back to it leads out of, where the routes are known; otherwise on any.
//!
//! - nobody else is part of a connection: what has begun before these rules, and what a helper of connection tracking expects
//!   ("related"), goes on by them, and is not asked about here.
//!
//! - where some ICMPv6 passes, neighbour discovery does.
//!
//! INVARIANT (doubt): what is not understood widens what may be; "reaches" and "kept out" are only said of what is certain.

use std::net::{IpAddr, Ipv6Addr};

use super::claims::{Admitted, Claims};
use super::judge::shown_packet;
use crate::cluster::{Node, Site, SiteService, State};
use crate::ir::{ConnectionStates, Elements, Rule, Ruleset, Table, TcpFlags};
use crate::net::{Cidr, Interface, Ports, Surroundings};
use crate::semantics::{
    Arrival, Bounded, Door, Fates, Field, Flow, Home, Leg, Locality, OPENING, Packet, Question, Rules, Set, Shape,
    Space, Step, TCP, TooLarge, merged, rewriting,
};

/// Who is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The nodes of the cluster.
    Peers,
    /// A client, by its name.
    Client(String),
    /// Everybody who is not admitted to the service.
    Others,
}

/// Who opens the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// They do, to a service of this host.
    In,
    /// This host does, to the same service of theirs.
    Out,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// All of them reach it, and hear its answers.
    Yes,
    /// None of them does.
    No,
    /// This one does, for certain, who is not to.
    Wrongly(Shown),
    /// This one does not, for certain, who is to.
    Blocked(Shown),
    /// It cannot be said of this one.
    Undecided(Shown),
    /// It cannot be said of anybody, because of this part of the rules.
    Unjudged(String),
}

/// A packet that shows it, and what decides on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The packet.
    pub packet: Packet,
    /// What decides; `None` where no rule does.
    pub by: Option<By>,
}

/// What decides on a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Where on the way.
    pub stage: Stage,
    /// The table's family and name.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The rule with its line, where it was read from a text; `None` is the policy of the chain.
    pub rule: Option<(Option<u32>, String)>,
}

/// Where on the way something decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// As packets come in.
    In,
    /// Where destinations are translated.
    Translation,
    /// As packets leave.
    Out,
}

/// A question about a service, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who.
    pub who: Who,
    /// Who asks whom.
    pub direction: Direction,
    /// The service's name.
    pub service: String,
    /// Its ports.
    pub ports: Ports,
    /// What came of it.
    pub reached: Reached,
}

impl Answer {
    /// Whether it is as the cluster file wants it, for certain.
    #[must_use]
    pub fn is_good(&self) -> bool {
        match (&self.who, &self.reached) {
            (Who::Peers | Who::Client(_), Reached::Yes) | (Who::Others, Reached::No) => true,
            (_, Reached::Yes | Reached::No) => false,
            (_, Reached::Wrongly(_) | Reached::Blocked(_) | Reached::Undecided(_) | Reached::Unjudged(_)) => false,
        }
    }

    /// Whether it is otherwise for certain.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        matches!(self.reached, Reached::Wrongly(_) | Reached::Blocked(_))
    }
}

/// What is asked, and of whom.
struct Asker<'c, 'r, 'a> {
    claims: &'c Claims<'c>,
    site: &'c Site<'c>,
    surroundings: &'c Surroundings,
    home: Home,
    honest: Flow<'r, 'a>,
    strangers: Flow<'r, 'a>,
    honest_rules: &'r Rules<'a>,
    stranger_rules: &'r Rules<'a>,
    /// The part of the rules because of which nothing is certain.
    unjudged: Option<String>,
    /// Another, because of which it is not certain that neighbours of IPv4 find each other.
    arp: Option<String>,
}

/// Answers every question about a site on all rules of a host.
///
/// # Errors
/// Where the rules are too large to be judged.
pub fn whole(ruleset: &Ruleset, site: &Site<'_>, surroundings: &Surroundings) -> Result<Vec<Answer>, TooLarge> {
    let claims = Claims::of(site);
    let ruleset = merged(ruleset);
    let question = question(&claims, site, surroundings);
    let mut space = Space::new(&[&ruleset], &question)?;
    let (honest_rules, stranger_rules) =
        (Rules::of_honest(&ruleset).beside(surroundings), Rules::new(&ruleset).beside(surroundings));
    let home = Home {
        addresses: if surroundings.addresses.is_empty() {
            claims.addresses().to_vec()
        } else {
            surroundings.addresses.clone()
        },
        complete: surroundings.complete,
    };
    let mut asker = Asker {
        claims: &claims,
        site,
        surroundings,
        home,
        honest: Flow::new(&honest_rules),
        strangers: Flow::new(&stranger_rules),
        honest_rules: &honest_rules,
        stranger_rules: &stranger_rules,
        arp: ruleset.neighbours.first().cloned(),
        unjudged: ruleset.unread.first().cloned().or_else(|| rewriting(&ruleset)),
    };
    let mut answers = Vec::new();
    for admitted in claims.admitted() {
        for service in site.services().iter().filter(|service| is_open(service, admitted)) {
            answers.push(asker.admitted(&mut space, admitted, service)?);
        }
    }
    for service in site.services().iter().filter(|service| service.service.is_guarded()) {
        answers.push(asker.others(&mut space, service)?);
    }
    for service in site.services().iter().filter(|service| service.service.state() == State::Open) {
        if service.service.peers() && !asker.peers().is_empty() {
            answers.push(asker.out(&mut space, service)?);
        }
    }
    Ok(answers)
}

fn is_open(service: &SiteService<'_>, admitted: &Admitted<'_>) -> bool {
    let first = service.ports.ranges().first().map(|range| range.first());
    service.service.state() == State::Open && first.is_some_and(|port| admitted.ports.has(port))
}

fn question(claims: &Claims<'_>, site: &Site<'_>, surroundings: &Surroundings) -> Question {
    let mut question = claims.question();
    question.leaving = true;
    question.surroundings = surroundings.clone();
    question.ports.extend(site.services().iter().map(|service| service.ports.ranges().to_vec()));
    question.ports.extend(site.services().iter().map(|service| asked_of_peers(site, service).ranges().to_vec()));
    for admitted in claims.admitted() {
        for (interface, list) in by_interface(admitted, surroundings) {
            question.interfaces.extend(interface);
            question.sources.push(list);
        }
    }
    question
}

/// The ports that a service has on other nodes.
fn asked_of_peers(site: &Site<'_>, service: &SiteService<'_>) -> Ports {
    let others = peers_of(site);
    let ports = others.iter().map(|node| node.ports(service.id, service.service));
    ports.flat_map(|ports| ports.ranges().iter().copied()).collect()
}

fn peers_of<'a>(site: &Site<'a>) -> Vec<&'a Node> {
    let own = site.node().map(Node::name);
    site.cluster().nodes().iter().filter(|node| Some(node.name()) != own).collect()
}

/// The sources of somebody who is admitted, by the interface that they come in on, where that is known.
fn by_interface(admitted: &Admitted<'_>, surroundings: &Surroundings) -> Vec<(Option<Interface>, Elements)> {
    let mut groups: Vec<(Option<Interface>, Vec<Cidr>)> = Vec::new();
    let routed = surroundings.is_known();
    for list in admitted.families() {
        if !routed {
            groups.push((None, list.networks()));
            continue;
        }
        let mut own: Vec<(Option<Interface>, Vec<Cidr>)> = Vec::new();
        for network in list.networks() {
            let interface = surroundings.towards(network).cloned();
            match own.iter_mut().find(|(known, _)| *known == interface) {
                Some((_, networks)) => networks.push(network),
                None => own.push((interface, vec![network])),
            }
        }
        groups.append(&mut own);
    }
    groups.into_iter().map(|(interface, networks)| (interface, Elements::of_networks(&networks))).collect()
}

impl Asker<'_, '_, '_> {
    fn peers(&self) -> Vec<IpAddr> {
        peers_of(self.site).into_iter().flat_map(Node::addresses).map(|(address, _)| *address).collect()
    }

    /// Whole segments of TCP that were not translated yet.
    fn segments(space: &mut Space<'_>) -> Bounded<Set> {
        let (tcp, whole) = (space.protocol(TCP)?, space.shape(|shape| shape == Shape::Whole)?);
        let plain = space.is(Field::Original, 0)?;
        space.sets.each([tcp, whole, plain])
    }

    /// Those of an admitted source, by the interface that they come in on.
    fn packets_of(&self, space: &mut Space<'_>, admitted: &Admitted<'_>, ports: &Ports) -> Bounded<Set> {
        let mut all = Set::EMPTY;
        for (interface, list) in by_interface(admitted, self.surroundings) {
            let from = space.source(&list)?.ok_or(TooLarge)?;
            let loopback = Interface::loopback();
            let on = space.interface(|own| match (&interface, &admitted.interfaces) {
                (Some(routed), _) => own == Some(routed),
                (None, Some(names)) => own.is_some_and(|own| names.contains(own)),
                (None, None) => own != Some(&loopback),
            })?;
            let own = space.sets.intersection(from, on)?;
            all = space.sets.union(all, own)?;
        }
        let ports = ports_of(space, ports)?;
        let segments = Self::segments(space)?;
        let refused = self.claims.untrusted(space)?;
        let all = space.sets.each([all, ports, segments])?;
        space.sets.difference(all, refused)
    }

    fn admitted(
        &mut self,
        space: &mut Space<'_>,
        admitted: &Admitted<'_>,
        service: &SiteService<'_>,
    ) -> Bounded<Answer> {
        let packets = self.packets_of(space, admitted, &service.ports)?;
        let here = space.locality(|own| own == Locality::Local)?;
        let packets = space.sets.intersection(packets, here)?;
        // What a host sends to itself does not come in.
        let own = self.claims.own_addresses(space)?;
        let packets = space.sets.difference(packets, own)?;
        let honest = honest_segments(space)?;
        let packets = space.sets.intersection(packets, honest)?;
        let (usual, perhaps) = self.honest.plausible(space)?;
        let mut found = Reached::Yes;
        for to in self.destinations(space) {
            let fates = self.honest.asked(space, to, &self.home, &Arrival::SamePort)?;
            let concerned = self.concerned(space, packets, to)?;
            let next = self.wanted(space, concerned, (usual, perhaps), fates, to, Direction::In)?;
            found = worse(found, next);
        }
        let found = self.between_neighbours(space, packets, found)?;
        Ok(answer(who(admitted), Direction::In, service, found))
    }

    /// This host's addresses, as far as rules tell them apart. Whom a file admits comes to the addresses in it.
    fn destinations(&self, space: &Space<'_>) -> Vec<Option<IpAddr>> {
        let known = space.told_apart(self.claims.addresses());
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
        &self,
        space: &mut Space<'_>,
        packets: Set,
        (usual, perhaps): (Set, Set),
        fates: Fates,
        to: Option<IpAddr>,
        direction: Direction,
    ) -> Bounded<Reached> {
        let blocked = space.sets.intersection(packets, fates.may_block)?;
        let certain = space.sets.intersection(blocked, usual)?;
        let certain = space.sets.difference(certain, fates.may_pass)?;
        if let Some(packet) = shown_packet(space, certain, to)? {
            return Ok(Reached::Blocked(self.shown(packet, direction, (true, true))));
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
    fn others(&mut self, space: &mut Space<'_>, service: &SiteService<'_>) -> Bounded<Answer> {
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
        let arrival = Arrival::Any(service.ports.clone());
        let opening = space.flags(|own| own.0 & OPENING.0.0 == OPENING.1.0)?;
        let begins = space.states(|own| own != ConnectionStates::ESTABLISHED && own != ConnectionStates::RELATED)?;
        let strangers = space.sets.each([strangers, opening, begins])?;
        let (usual, _) = self.honest.plausible(space)?;
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
        let known = space.told_apart(&self.home.addresses);
        known.into_iter().map(|(_, address)| Some(address)).chain([None]).collect()
    }

    /// Whether this host reaches its peers' service.
    fn out(&mut self, space: &mut Space<'_>, service: &SiteService<'_>) -> Bounded<Answer> {
        let peers: Vec<Cidr> = self.peers().into_iter().map(Cidr::host).collect();
        let ports = asked_of_peers(self.site, service);
        let mut packets = Set::EMPTY;
        for admitted in self.claims.admitted().iter().filter(|one| one.who == "peers") {
            let own = self.packets_of(space, admitted, &ports)?;
            packets = space.sets.union(packets, own)?;
        }
        let others = self.claims.own_addresses(space)?;
        let here = space.locality(|own| own == Locality::Local)?;
        let packets = space.sets.intersection(packets, here)?;
        let packets = if peers.is_empty() { packets } else { space.sets.difference(packets, others)? };
        let honest = honest_segments(space)?;
        let states = space.states(|own| own == ConnectionStates::NEW || own == ConnectionStates::ESTABLISHED)?;
        let usual = space.sets.intersection(honest, states)?;
        // Where rules keep packets from tracking, they may be in other states.
        let perhaps = if self.honest_rules.keeps_track() { Set::EMPTY } else { honest };
        let mut found = Reached::Yes;
        for from in self.destinations(space) {
            let fates = self.honest.asking(space, from)?;
            let concerned = self.concerned(space, packets, from)?;
            let next = self.wanted(space, concerned, (usual, perhaps), fates, from, Direction::Out)?;
            found = worse(found, next);
        }
        let found = self.between_neighbours(space, packets, found)?;
        let mut answer = answer(Who::Peers, Direction::Out, service, found);
        answer.ports = ports;
        Ok(answer)
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

    fn shown(&self, packet: Packet, direction: Direction, (wanted, certain): (bool, bool)) -> Shown {
        let rules = if wanted { self.honest_rules } else { self.stranger_rules };
        let legs = match direction {
            Direction::In => rules.legs_asked(&packet, &self.home),
            Direction::Out => rules.legs_asking(&packet),
        };
        let by = if certain { if wanted { blocking(&legs) } else { admitting(&legs) } } else { doubted(&legs) };
        Shown { packet, by }
    }
}

/// What programs send: what opens a connection, where it is new, and what goes on with one.
fn honest_segments(space: &mut Space<'_>) -> Bounded<Set> {
    /// ACK alone, with PSH, and with FIN.
    const GOING_ON: [TcpFlags; 3] = [TcpFlags(0x10), TcpFlags(0x18), TcpFlags(0x11)];
    let new = space.states(|own| own != ConnectionStates::ESTABLISHED && own != ConnectionStates::RELATED)?;
    let others = space.states(|own| own != ConnectionStates::NEW)?;
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

/// The packets to some ports.
fn ports_of(space: &mut Space<'_>, ports: &Ports) -> Bounded<Set> {
    let list: Vec<(u16, u16)> = ports.ranges().iter().map(|range| (range.first(), range.last())).collect();
    space.port(&list)?.ok_or(TooLarge)
}

fn who(admitted: &Admitted<'_>) -> Who {
    if admitted.who == "peers" { Who::Peers } else { Who::Client(admitted.who.to_owned()) }
}

fn answer(who: Who, direction: Direction, service: &SiteService<'_>, reached: Reached) -> Answer {
    Answer { who, direction, service: service.service.name().to_owned(), ports: service.ports.clone(), reached }
}

/// Of two results the one that weighs more.
fn worse(one: Reached, other: Reached) -> Reached {
    let weight = |reached: &Reached| match reached {
        Reached::Yes | Reached::No => 0,
        Reached::Unjudged(_) => 1,
        Reached::Undecided(_) => 2,
        Reached::Wrongly(_) | Reached::Blocked(_) => 3,
    };
    if weight(&other) > weight(&one) { other } else { one }
}

/// What blocks a packet, or may: the last rule that has a say at the first leg on which it may be lost.
fn blocking(legs: &[Leg<'_>]) -> Option<By> {
    let leg = legs.iter().find(|leg| leg.outcome.may_block)?;
    by(leg)
}

/// What lets a packet in: the translation, where there is one, or the last rule that has a say at input.
fn admitting(legs: &[Leg<'_>]) -> Option<By> {
    let translated = legs.iter().find(|leg| leg.door.is_none());
    by(translated.or_else(|| legs.iter().find(|leg| leg.door == Some(Door::Input)))?)
}

/// What keeps a packet's way from being decided: the first rule that applies or not on a leg that is open.
fn doubted(legs: &[Leg<'_>]) -> Option<By> {
    let open = legs.iter().filter(|leg| leg.outcome.may_pass && leg.outcome.may_block);
    let found = open.clone().find_map(|leg| {
        let unsure = leg.steps.iter().find(|step| !step.certain && step.rule.is_some());
        unsure.map(|step| told(leg, step))
    });
    found.or_else(|| by(open.clone().next().or_else(|| legs.iter().find(|leg| leg.door.is_none()))?))
}

fn by(leg: &Leg<'_>) -> Option<By> {
    Some(told(leg, leg.steps.last()?))
}

fn told(leg: &Leg<'_>, step: &Step<'_>) -> By {
    let stage = match leg.door {
        None => Stage::Translation,
        Some(Door::AnswersLeave | Door::RequestsLeave) => Stage::Out,
        Some(_) => Stage::In,
    };
    let rule = step.rule.map(|rule| (rule.place.as_ref().map(|place| place.line), text_of(rule)));
    By { stage, table: name_of(step.table), chain: step.chain.name.clone(), rule }
}

fn text_of(rule: &Rule) -> String {
    let place = rule.place.as_ref().map(|place| place.text.clone());
    place.or_else(|| rule.comment.clone()).unwrap_or_default()
}

fn name_of(table: &Table) -> String {
    let family = match table.family {
        crate::ir::Family::Inet => "inet",
        crate::ir::Family::Ip => "ip",
        crate::ir::Family::Ip6 => "ip6",
    };
    format!("{family} {}", table.name)
}
