//! What the rules of a whole host mean for a cluster: whether each admitted source really reaches each service and hears its
//! answers, whether this host reaches its peers, and whether anybody else gets in.
//!
//! The claims of [`check`](super::check) are about the guard, which has to hold whatever stands around it. The answers here are
//! about everything that stands in the rules: other tables, destination NAT, the way out. They rest on more:
//!
//! - those whom the file names behave as programs do (see [`Trust`](crate::semantics::Trust));
//! - a peer comes in on the interface that the way back to it leads out of, where the routes are known; otherwise on any.
//!
//! - nobody else is part of a connection: what has begun before these rules goes on by them, and is not asked about here. A connection that
//!   connection tracking expects ("related") is asked about where rules hand connections to helpers.
//!
//! - where some ICMPv6 passes, neighbour discovery does.
//!
//! INVARIANT (doubt): what is not understood widens what may be; "reaches" and "kept out" are only said of what is certain.

mod asker;
mod by;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::claims::{Admitted, Claims};
use crate::cluster::{Site, SitePart, SiteService, State};
use crate::ir::ours::{self, TABLE};
use crate::ir::{Elements, Ruleset};
use crate::net::{Cidr, Interface, Ports, Surroundings};
use crate::semantics::{Flow, Home, Packet, Question, Rules, Set, Space, TooLarge, merged, rewriting};
use asker::{Asker, Sources, not_from_outside};

/// Who is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The nodes of the cluster.
    Peers,
    /// The nodes of one of several clusters that are guarded together, by its name.
    PeersOf(String),
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
    /// This one does, for certain, and nobody is to be blocked (`on-block = "log-only"`).
    OnPurpose(Shown),
    /// This one does not, for certain, who is to.
    Blocked(Shown),
    /// This one is led elsewhere, for certain: whoever listens there decides whether that is the service.
    Led(Shown),
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
    /// Whether it is one of iptables-legacy.
    pub legacy: bool,
    /// The chain.
    pub chain: String,
    /// The rule; `None` is the policy of the chain.
    pub rule: Option<Named>,
}

/// How a rule is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// By its line in a text.
    Line(u32, String),
    /// By its handle, with its chain and table.
    Handle(String),
    /// By its remark, which may be empty.
    Remark(String),
}

impl By {
    /// Whether it is a part of the guard.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        // A table of iptables-legacy has more behind its name.
        let is_of_iptables =
            |own: &str| self.table.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
        let of_iptables = || ["ip raw", "ip mangle", "ip6 raw", "ip6 mangle"].into_iter().any(is_of_iptables);
        self.table == format!("inet {TABLE}") || (ours::is_chain(&self.chain) && of_iptables())
    }
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
    /// The peers that are blocked for certain, by name, where that is what came of it and there are not very many nodes.
    pub whom: Vec<String>,
}

impl Reached {
    /// Makes an answer that is certain one that is not.
    fn doubt(&mut self, why: &str) {
        match self {
            Self::Undecided(_) | Self::Unjudged(_) => {}
            Self::Yes | Self::No | Self::Wrongly(_) | Self::OnPurpose(_) | Self::Blocked(_) | Self::Led(_) => {
                *self = Self::Unjudged(why.to_owned());
            }
        }
    }
}

impl Answer {
    /// Whether it is as the cluster file wants it, for certain.
    #[must_use]
    pub fn is_good(&self) -> bool {
        match (&self.who, &self.reached) {
            (Who::Peers | Who::PeersOf(_) | Who::Client(_), Reached::Yes) | (Who::Others, Reached::No) => true,
            (_, Reached::Yes | Reached::No) => false,
            (
                _,
                Reached::Wrongly(_)
                | Reached::OnPurpose(_)
                | Reached::Blocked(_)
                | Reached::Led(_)
                | Reached::Undecided(_)
                | Reached::Unjudged(_),
            ) => false,
        }
    }

    /// Whether it is otherwise for certain.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        matches!(self.reached, Reached::Wrongly(_) | Reached::OnPurpose(_) | Reached::Blocked(_) | Reached::Led(_))
    }

    /// Whether rules of somebody else shut out who is admitted, or let in who is not, for certain. Who is led elsewhere is not shut out:
    /// whoever listens there decides whether that is the service.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        match &self.reached {
            Reached::Wrongly(_) => true,
            Reached::Blocked(shown) => !shown.by.as_ref().is_some_and(By::is_ours),
            // Nobody's rules are why.
            Reached::OnPurpose(_) => false,
            Reached::Yes | Reached::No | Reached::Led(_) | Reached::Undecided(_) | Reached::Unjudged(_) => false,
        }
    }
}

/// Answers every question about a site on all rules of a host.
///
/// # Errors
/// Where the rules are too large to be judged.
pub fn whole(ruleset: &Ruleset, site: &Site<'_>, surroundings: &Surroundings) -> Result<Vec<Answer>, TooLarge> {
    whole_beside(ruleset, site, surroundings, &[])
}

/// The same, but of nobody who is admitted and among these: what becomes of them is known already, and would hide what becomes of
/// the rest.
///
/// # Errors
/// As [`whole`].
pub fn whole_beside(
    ruleset: &Ruleset,
    site: &Site<'_>,
    surroundings: &Surroundings,
    known: &[IpAddr],
) -> Result<Vec<Answer>, TooLarge> {
    let claims = Claims::of(site);
    let ruleset = merged(ruleset);
    let home = Home {
        addresses: if surroundings.addresses.is_empty() {
            Arc::clone(claims.addresses())
        } else {
            Arc::new(surroundings.addresses.clone())
        },
        complete: surroundings.complete,
        unnumbered: surroundings.unnumbered.clone(),
    };
    let (honest_rules, stranger_rules) =
        (Rules::of_honest(&ruleset).beside(surroundings), Rules::new(&ruleset).beside(surroundings));
    // Lists may be long, and many questions are asked of them.
    let ways: Vec<Ways<'_>> = claims.admitted().iter().map(|admitted| by_interface(admitted, surroundings)).collect();
    let mut question = question(&claims, site, surroundings, &ways);
    let of = |ipv4: bool| known.iter().filter(move |address| address.is_ipv4() == ipv4).copied().map(Cidr::host);
    let lists = [of(true).collect::<Vec<_>>(), of(false).collect()];
    let beside: Vec<Elements> =
        lists.iter().filter(|list| !list.is_empty()).map(|list| Elements::of_networks(list)).collect();
    question.sources.extend(beside.iter().map(Cow::Borrowed));
    let mut asked = home.clone();
    if !Arc::ptr_eq(&asked.addresses, claims.addresses()) {
        Arc::make_mut(&mut asked.addresses).extend_from_slice(claims.addresses());
    }
    question.home = Some(asked);
    let mut space = Space::new(&[&ruleset], &question)?;
    let named = claims.named(&mut space)?;
    let mut sources = Vec::new();
    for (admitted, ways) in claims.admitted().iter().zip(&ways) {
        sources.push(Sources::of(&mut space, admitted, ways)?);
    }
    let mut asker = Asker {
        claims: &claims,
        sources: &sources,
        site,
        surroundings,
        beside: &beside,
        home,
        honest: Flow::new(&honest_rules).only(named),
        senders: Flow::new(&honest_rules),
        strangers: Flow::new(&stranger_rules),
        honest_rules: &honest_rules,
        stranger_rules: &stranger_rules,
        arp: ruleset.neighbours.first().cloned(),
        blocked: Set::EMPTY,
        unjudged: ruleset.unread.first().cloned().or_else(|| rewriting(&ruleset)),
    };
    let mut answers = Vec::new();
    for (admitted, sources) in claims.admitted().iter().zip(&sources) {
        for service in site.services().iter().filter(|service| is_open(service, admitted)) {
            answers.push(asker.admitted(&mut space, (admitted, sources), service)?);
        }
    }
    for service in site.services().iter().filter(|service| service.service.is_guarded()) {
        answers.push(asker.others(&mut space, service)?);
    }
    for (at, part) in site.parts().iter().enumerate() {
        for service in part.services().iter().filter(|service| service.service.state() == State::Open) {
            if service.service.peers() && part.count_of_others() > 0 {
                answers.push(asker.out(&mut space, (at, part), service)?);
            }
        }
    }
    if site.cluster().guard().is_staged() {
        for answer in answers.iter_mut().filter(|answer| answer.who == Who::Others) {
            if let Reached::Wrongly(shown) = &answer.reached {
                answer.reached = Reached::OnPurpose(shown.clone());
            }
        }
    }
    if let Some(why) = honest_rules.tells_vrfs_apart(surroundings) {
        answers.iter_mut().for_each(|answer| answer.reached.doubt(&why));
    }
    Ok(answers)
}

fn is_open(service: &SiteService<'_>, admitted: &Admitted<'_>) -> bool {
    let first = service.ports.ranges().first().map(|range| range.first());
    service.service.state() == State::Open && first.is_some_and(|port| admitted.ports.has(port))
}

fn question<'a>(
    claims: &'a Claims<'_>,
    site: &Site<'_>,
    surroundings: &Surroundings,
    ways: &'a [Ways<'_>],
) -> Question<'a> {
    let mut question = claims.question();
    question.leaving = true;
    question.surroundings = surroundings.clone();
    question.sources.extend(not_from_outside().into_iter().map(Cow::Owned));
    question.ports.extend(site.services().iter().map(|service| service.ports.ranges().to_vec()));
    question.ports.extend(asked_of_all_peers(site).into_iter().map(|ports| ports.ranges().to_vec()));
    for (interface, list) in ways.iter().flatten() {
        question.interfaces.extend(interface.clone());
        question.sources.push(Cow::Borrowed(list));
    }
    question
}

/// The ports that every service of every cluster has on its other nodes.
pub(super) fn asked_of_all_peers(site: &Site<'_>) -> Vec<Ports> {
    let of = |part: &SitePart<'_>| part.services().iter().map(|own| part.ports_of_others(own)).collect::<Vec<_>>();
    site.parts().iter().flat_map(of).collect()
}

/// Sources by the interface that they come in on, where that is known.
type Ways<'a> = Vec<(Option<Interface>, Cow<'a, Elements>)>;

/// The sources of somebody who is admitted.
fn by_interface<'a>(admitted: &'a Admitted<'_>, surroundings: &Surroundings) -> Ways<'a> {
    let mut groups = Ways::new();
    for list in admitted.families() {
        let towards = |network| surroundings.towards(network);
        let (v4, v6) = (|| surroundings.of_each(list.v4(), towards), || surroundings.of_each(list.v6(), towards));
        let mut all = v4().map(|(_, interface)| interface).chain(v6().map(|(_, interface)| interface));
        let first = all.next().flatten();
        // As it is mostly: 100,000 addresses are not copied for that.
        if all.all(|other| other == first) {
            groups.push((first.cloned(), Cow::Borrowed(list)));
            continue;
        }
        let mut own: Vec<(Option<&Interface>, Vec<Cidr>)> = Vec::new();
        let mut add = |interface, alike: &mut dyn Iterator<Item = Cidr>| match own
            .iter_mut()
            .find(|(known, _)| *known == interface)
        {
            Some((_, networks)) => networks.extend(alike),
            None => own.push((interface, alike.collect())),
        };
        v4().for_each(|(alike, interface)| add(interface, &mut alike.networks()));
        v6().for_each(|(alike, interface)| add(interface, &mut alike.networks()));
        let of = |(interface, networks): (Option<&Interface>, Vec<Cidr>)| {
            (interface.cloned(), Cow::Owned(Elements::of_networks(&networks)))
        };
        groups.extend(own.into_iter().map(of));
    }
    groups
}
