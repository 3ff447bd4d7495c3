//! Where NAT leads packets, and whose they look like behind it.
//!
//! The first packet of a connection goes through the chains for NAT of its hook, in the order of their priorities, until a rule
//! translates it; all others of the connection fare as it did. [`Rules::translations`] says it for one packet and is the
//! specification; [`Flow::translations`] says it for sets.
//!
//! Only what may be is kept: a packet that stays for certain is in no other set, and the other way round.

use super::diagram::{Bounded, Set, TooLarge};
use super::evaluate::{Entry, Rules};
use super::flow::Flow;
use super::holds::{At, Holds, Tracked};
use super::packet::Packet;
use super::space::Space;
use super::stretch::Entrance;
use super::touched::Touched;
use super::view::View;
use crate::ir::statement::{Changes, Way};
use crate::ir::{
    Chain, ChainKind, Destined, Family, Hook, Match, Policy, Rule, Statement, Table, Translation, Verdict,
};

/// Chains jump no deeper than the kernel follows (NFT_JUMP_STACK_SIZE, linux/netfilter/nf_tables.h).
const DEEPEST: usize = 16;
/// So many rules are looked at, some seconds' worth.
const MOST_VISITS: usize = 4_000_000;
/// So many answers of chains are looked through for one that was given before.
const KEPT: usize = 64;

/// What a rule makes of a packet's destination, or of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Led<'a> {
    /// It is led there.
    To(Translation, &'a Destined),
    /// Nobody knows where, or whether it still is.
    Anywhere,
}

/// Packets that a rule may translate.
#[derive(Clone, Debug)]
pub struct Translated<'a, P> {
    /// The table.
    pub table: &'a Table,
    /// The chain.
    pub chain: &'a Chain,
    /// The rule.
    pub rule: &'a Rule,
    /// Where they are led.
    pub led: Led<'a>,
    /// Which packets.
    pub packets: P,
}

/// What becomes of packets at NAT. Each is in at least one of these.
#[derive(Clone, Debug)]
pub struct Translations<'a, P> {
    /// They may be translated.
    pub translated: Vec<Translated<'a, P>>,
    /// They may stay as they are.
    pub staying: P,
    /// They may be dropped.
    pub dropped: P,
}

/// How a chain may end for packets that come to it.
#[derive(Clone, Copy, Default)]
struct Ends<P> {
    accepted: P,
    dropped: P,
    returned: P,
}

/// What a rule does besides its tests.
enum Act<'a> {
    Led(Led<'a>),
    Verdict(Option<&'a Verdict>),
}

/// What a rule does, and whether the kernel may leave it before; whether it may do anything on top.
fn act(rule: &Rule) -> (Act<'_>, bool, bool) {
    let (mut leaves, mut anything) = (false, false);
    for statement in rule.effective() {
        let effect = statement.effect();
        match statement {
            Statement::Translate(Translation::Network, _) => return (Act::Led(Led::Anywhere), leaves, anything),
            // The kernel takes destinations at prerouting and output alone, and sources at input and postrouting.
            Statement::Translate(kind, to) => return (Act::Led(Led::To(*kind, to)), leaves, anything),
            _ => {
                anything |= effect.way == Way::Anything || effect.changes == Changes::Everything;
                leaves |= effect.may_leave;
            }
        }
    }
    (Act::Verdict(rule.verdict.as_ref()), leaves, anything)
}

/// The chains for NAT at a hook, by priority; of those with one priority it is not known who is first.
fn groups<'r, 'a>(rules: &'r Rules<'a>, hook: Hook) -> impl Iterator<Item = Vec<&'r Entry<'a>>> {
    let mut all: Vec<&Entry<'a>> =
        rules.bases.iter().filter(|(.., base)| base.hook == hook && base.kind == ChainKind::Nat).collect();
    all.sort_by_key(|(.., base)| base.priority);
    let groups: Vec<Vec<&Entry<'a>>> =
        all.chunk_by(|one, other| one.3.priority == other.3.priority).map(<[_]>::to_vec).collect();
    groups.into_iter()
}

/// From where a chain for NAT is entered: connection tracking has seen the packet.
fn entrance(rules: &Rules<'_>, position: usize, hook: Hook) -> Entrance {
    let routed = rules.surroundings.is_some();
    let view = if matches!(hook, Hook::Output | Hook::Postrouting) { View::Asking } else { View::Asked };
    let (trust, translates_own) = (rules.trust, rules.translates_own);
    let at = At { tracked: Tracked::Yes, view, trust, routed, first_only: true, translates_own };
    Entrance { position, at_device: false, translates: true, at }
}

/// The specification.
impl<'a> Rules<'a> {
    /// Whether connection tracking is there for a family: chains for NAT alone do not load it, and without it no packet meets them
    /// (nf_nat_inet_fn; seen on Linux 6.18).
    fn tracks_for_certain(&self, ipv4: bool) -> bool {
        let [v4, v6] = self.defragments;
        if ipv4 { v4 } else { v6 }
    }

    /// Where a packet that begins a connection may be led at a hook, after what chains before did to it.
    pub(super) fn translations(&self, hook: Hook, packet: &Packet, touched: Touched) -> Translations<'a, bool> {
        let mut all = Translations { translated: Vec::new(), staying: touched.untracked, dropped: false };
        if touched.untracked && !touched.wavers {
            // What has no connection meets none of these chains.
            return all;
        }
        all.staying |= !self.tracks_for_certain(packet.source.is_ipv4());
        let mut arriving = true;
        for group in groups(self, hook) {
            let mut next = arriving;
            for &&(position, table, chain, base) in group.iter().filter(|entry| arriving && sees(entry.1, packet)) {
                let way = entrance(self, position, hook);
                let mut walk = Walk { rules: self, table, way, packet, touched, found: Vec::new() };
                let ends = walk.chain(chain, 0);
                all.translated.append(&mut walk.found);
                all.dropped |= ends.dropped || (ends.returned && base.policy == Policy::Drop);
                next &= ends.accepted || (ends.returned && base.policy == Policy::Accept);
            }
            arriving = next;
        }
        all.staying |= arriving;
        all
    }
}

fn sees(table: &Table, packet: &Packet) -> bool {
    match table.family {
        Family::Inet | Family::Netdev => true,
        Family::Ip => packet.source.is_ipv4(),
        Family::Ip6 => packet.source.is_ipv6(),
    }
}

/// One packet's way through a chain for NAT.
struct Walk<'r, 'a, 'p> {
    rules: &'r Rules<'a>,
    table: &'a Table,
    way: Entrance,
    packet: &'p Packet,
    touched: Touched,
    found: Vec<Translated<'a, bool>>,
}

impl<'a> Walk<'_, 'a, '_> {
    fn chain(&mut self, chain: &'a Chain, depth: usize) -> Ends<bool> {
        let mut ends = Ends::default();
        for rule in &chain.rules {
            let applies = self.applies(&rule.matches);
            ends.dropped |= rule.up_to_a_crowd().is_some_and(|tests| self.applies(tests) != Holds::No);
            if applies == Holds::No {
                continue;
            }
            let (act, leaves, anything) = act(rule);
            let mut goes_on = leaves || anything || applies == Holds::Unknown;
            if anything {
                self.lead(chain, rule, Led::Anywhere);
                (ends.accepted, ends.dropped) = (true, true);
            }
            match act {
                Act::Led(led) => self.lead(chain, rule, led),
                Act::Verdict(None) => goes_on = true,
                Act::Verdict(Some(Verdict::Accept)) => ends.accepted = true,
                Act::Verdict(Some(Verdict::Drop | Verdict::Reject(_))) => ends.dropped = true,
                Act::Verdict(Some(Verdict::Return)) => ends.returned = true,
                Act::Verdict(Some(Verdict::Unknown(_))) => {
                    self.lead(chain, rule, Led::Anywhere);
                    (ends.accepted, ends.dropped, goes_on) = (true, true, true);
                }
                Act::Verdict(Some(verdict @ (Verdict::Jump(name) | Verdict::Goto(name)))) => {
                    let below = self.target((chain, rule), name, depth);
                    ends.accepted |= below.accepted;
                    ends.dropped |= below.dropped;
                    if matches!(verdict, Verdict::Goto(_)) {
                        ends.returned |= below.returned;
                    } else {
                        goes_on |= below.returned;
                    }
                }
            }
            if !goes_on {
                return ends;
            }
        }
        Ends { returned: true, ..ends }
    }

    fn target(&mut self, (from, rule): (&'a Chain, &'a Rule), name: &str, depth: usize) -> Ends<bool> {
        match self.rules.names.get(self.way.position).and_then(|names| names.get(name)) {
            Some(chain) if depth < DEEPEST => self.chain(chain, depth + 1),
            Some(_) | None => {
                self.lead(from, rule, Led::Anywhere);
                Ends { accepted: true, dropped: true, returned: true }
            }
        }
    }

    fn lead(&mut self, chain: &'a Chain, rule: &'a Rule, led: Led<'a>) {
        self.found.push(Translated { table: self.table, chain, rule, led, packets: true });
    }

    fn applies(&self, tests: &[Match]) -> Holds {
        let mut all = Holds::Yes;
        for one in tests {
            match self.rules.holds(one, self.table, self.way, self.touched, self.packet) {
                Holds::No => return Holds::No,
                Holds::Unknown => all = Holds::Unknown,
                Holds::Yes => {}
            }
        }
        all
    }
}

/// Packets that a chain was asked about already, with how it ends for them.
type Asked = Vec<((usize, Set), Ends<Set>)>;

/// The packets' way through the chains for NAT of one table.
struct Walks<'a> {
    way: Entrance,
    table: &'a Table,
    touched: Touched,
    asked: Asked,
    visits: usize,
    found: Vec<Translated<'a, Set>>,
}

/// The same for sets.
impl<'a> Flow<'_, 'a> {
    /// Where those of `set` may be led at a hook. They have to be packets that begin connections, and `before` says what chains
    /// before did to them.
    ///
    /// # Errors
    /// Where a limit is met.
    pub(super) fn translations(
        &mut self,
        space: &mut Space<'_>,
        hook: Hook,
        set: Set,
        before: &[(Touched, Set)],
    ) -> Bounded<Translations<'a, Set>> {
        let mut all = Translations { translated: Vec::new(), staying: Set::EMPTY, dropped: Set::EMPTY };
        for &(touched, own) in before {
            let own = space.sets.intersection(own, set)?;
            if touched.untracked {
                all.staying = space.sets.union(all.staying, own)?;
                if !touched.wavers {
                    continue;
                }
            }
            for ipv4 in [true, false].into_iter().filter(|ipv4| !self.rules.tracks_for_certain(*ipv4)) {
                let family = space.family(ipv4)?;
                let unseen = space.sets.intersection(own, family)?;
                all.staying = space.sets.union(all.staying, unseen)?;
            }
            let mut arriving = own;
            for group in groups(self.rules, hook) {
                let mut next = arriving;
                for &&(position, table, chain, base) in &group {
                    let seen = match table.family {
                        Family::Inet | Family::Netdev => Set::ALL,
                        family => space.family(family == Family::Ip)?,
                    };
                    let own = space.sets.intersection(arriving, seen)?;
                    let way = entrance(self.rules, position, hook);
                    let mut walks = Walks { way, table, touched, asked: Vec::new(), visits: 0, found: Vec::new() };
                    let ends = self.walk(space, &mut walks, chain, own, 0)?;
                    all.translated.append(&mut walks.found);
                    let (accepted, dropped) = match base.policy {
                        Policy::Accept => (space.sets.union(ends.accepted, ends.returned)?, ends.dropped),
                        Policy::Drop => (ends.accepted, space.sets.union(ends.dropped, ends.returned)?),
                    };
                    all.dropped = space.sets.union(all.dropped, dropped)?;
                    let gone = space.sets.difference(own, accepted)?;
                    next = space.sets.difference(next, gone)?;
                }
                arriving = next;
            }
            all.staying = space.sets.union(all.staying, arriving)?;
        }
        Ok(all)
    }

    fn walk(
        &mut self,
        space: &mut Space<'_>,
        walks: &mut Walks<'a>,
        chain: &'a Chain,
        arriving: Set,
        depth: usize,
    ) -> Bounded<Ends<Set>> {
        let key = (std::ptr::from_ref(chain) as usize, arriving);
        if let Some((_, ends)) = walks.asked.iter().rev().take(KEPT).find(|(own, _)| *own == key) {
            return Ok(*ends);
        }
        let mut ends = Ends { accepted: Set::EMPTY, dropped: Set::EMPTY, returned: Set::EMPTY };
        let mut arriving = arriving;
        for rule in &chain.rules {
            if arriving.is_empty() {
                break;
            }
            walks.visits += 1;
            if walks.visits > MOST_VISITS {
                return Err(TooLarge);
            }
            let crowd = self.crowd(space, rule, walks.way, walks.touched)?;
            let crowd = space.sets.intersection(arriving, crowd)?;
            ends.dropped = space.sets.union(ends.dropped, crowd)?;
            let fits = self.fits(space, &rule.matches, walks.way, walks.touched)?;
            let hit = space.sets.intersection(arriving, fits.may)?;
            if hit.is_empty() {
                continue;
            }
            let (act, leaves, anything) = act(rule);
            let mut stopped = if leaves || anything { Set::EMPTY } else { fits.must };
            if anything {
                walks.lead((chain, rule), Led::Anywhere, hit);
                ends.either(space, hit)?;
            }
            match act {
                Act::Led(led) => walks.lead((chain, rule), led, hit),
                Act::Verdict(None) => stopped = Set::EMPTY,
                Act::Verdict(Some(Verdict::Accept)) => ends.accepted = space.sets.union(ends.accepted, hit)?,
                Act::Verdict(Some(Verdict::Drop | Verdict::Reject(_))) => {
                    ends.dropped = space.sets.union(ends.dropped, hit)?;
                }
                Act::Verdict(Some(Verdict::Return)) => ends.returned = space.sets.union(ends.returned, hit)?,
                Act::Verdict(Some(Verdict::Unknown(_))) => {
                    walks.lead((chain, rule), Led::Anywhere, hit);
                    ends.either(space, hit)?;
                    stopped = Set::EMPTY;
                }
                Act::Verdict(Some(verdict @ (Verdict::Jump(name) | Verdict::Goto(name)))) => {
                    let below = self.below(space, walks, (chain, rule, name), hit, depth)?;
                    ends.accepted = space.sets.union(ends.accepted, below.accepted)?;
                    ends.dropped = space.sets.union(ends.dropped, below.dropped)?;
                    if matches!(verdict, Verdict::Goto(_)) {
                        ends.returned = space.sets.union(ends.returned, below.returned)?;
                    } else {
                        stopped = space.sets.difference(stopped, below.returned)?;
                    }
                }
            }
            arriving = space.sets.difference(arriving, stopped)?;
        }
        ends.returned = space.sets.union(ends.returned, arriving)?;
        walks.asked.push((key, ends));
        Ok(ends)
    }

    fn below(
        &mut self,
        space: &mut Space<'_>,
        walks: &mut Walks<'a>,
        (from, rule, name): (&'a Chain, &'a Rule, &str),
        hit: Set,
        depth: usize,
    ) -> Bounded<Ends<Set>> {
        match self.rules.names.get(walks.way.position).and_then(|names| names.get(name)) {
            Some(chain) if depth < DEEPEST => self.walk(space, walks, chain, hit, depth + 1),
            Some(_) | None => {
                walks.lead((from, rule), Led::Anywhere, hit);
                Ok(Ends { accepted: hit, dropped: hit, returned: hit })
            }
        }
    }
}

impl<'a> Walks<'a> {
    fn lead(&mut self, (chain, rule): (&'a Chain, &'a Rule), led: Led<'a>, packets: Set) {
        self.found.push(Translated { table: self.table, chain, rule, led, packets });
    }
}

impl Ends<Set> {
    /// They may be accepted and may be dropped.
    fn either(&mut self, space: &mut Space<'_>, set: Set) -> Bounded<()> {
        self.accepted = space.sets.union(self.accepted, set)?;
        self.dropped = space.sets.union(self.dropped, set)?;
        Ok(())
    }
}
