//! The part of all rules that may have a say on whom a cluster file is about, in words that are the same as long as it means the same.
//!
//! The answers of [`whole`](super::whole()) say what comes of rules, and stay as they are where a rule leads to the same by another
//! way: a translation from another port to a protected one, say, behind which the guard stands. Whoever agreed to a change has seen
//! neither. So this is the slice of the rules that packets to and from the ports of the site may meet:
//!
//! - A rule is left out where one of its tests holds for no such packet: it is about other ports, about UDP, about addresses that
//!   neither this host nor anybody admitted has. Of what is not understood nothing is left out.
//! - Of the addresses and ports that a rule names, in itself or in a set, those are told that can be met.
//! - A rule that may turn a packet into another one is told whatever it asks, unless it is known to lead elsewhere.
//! - Handles, counters, logs, comments, and names of tables, chains and sets are left out; chains that routed packets meet alone, too.
//!
//! Who is not admitted is blocked by the guard, so a rule that only he may meet is left out but for such a one that translates; not so where
//! the file only logs.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

use super::whole::asked_of_all_peers;
use super::{Admitted, Claims};
use crate::cluster::Site;
use crate::ir::{
    Addresses, Chain, ChainKind, Destined, Diversion, Elements, Field, Foreign, Hook, Match, PortMatch, Rule, Ruleset,
    Statement, Table, Translation, Verdict,
};
use crate::net::{Cidr, PortRange, Ports, Surroundings};

/// The number of TCP (IANA protocol numbers).
const TCP: u8 = 6;
/// The ports that programs ask from (ip_local_port_range, as Linux has it), which [`whole`](super::whole()) takes for granted, too.
const EPHEMERAL: (u16, u16) = (32768, 60999);

/// What of these rules, which are somebody else's, may have a say on packets that a site is about: a line for each base chain, in the
/// order in which packets meet them.
#[must_use]
pub fn touching(ruleset: &Ruleset, site: &Site<'_>, surroundings: &Surroundings) -> Vec<String> {
    let concerned = Concerned::of(site, surroundings);
    let mut bases: Vec<(Hook, i32, usize, String)> = Vec::new();
    for table in &ruleset.tables {
        let chains = table.chains.iter().map(|chain| (chain.name.as_str(), chain)).collect();
        let mut slice = Slice { concerned: &concerned, ruleset, table, chains, nat: false, done: HashMap::new() };
        for chain in &table.chains {
            let Some(base) = chain.base.filter(|base| base.hook != Hook::Forward) else { continue };
            slice.begin(base.kind == ChainKind::Nat);
            let Told { text, .. } = slice.chain(chain);
            if text.is_empty() && base.policy == crate::ir::Policy::Accept {
                continue;
            }
            let head = format!("{:?} {:?} {} {:?}", table.family, base.kind, base.priority, base.policy);
            bases.push((base.hook, base.priority, bases.len(), format!("{:?} {head}\n{text}", base.hook)));
        }
    }
    bases.sort();
    // What stands for anything stands for it whoever asks.
    let unread = ruleset.unread.iter().chain(&ruleset.neighbours).map(|part| format!("unread {part}\n"));
    bases.into_iter().map(|(.., line)| line).chain(unread).collect()
}

/// Ranges of IPv4 and of IPv6 addresses, each sorted and disjoint.
struct Ranges {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// What the packets have that a site is about.
struct Concerned {
    /// Services of this host, and those of its peers that it asks.
    services: Ports,
    /// The same, and the ports that they are asked from.
    all: Ports,
    /// Ports that are guarded here.
    guarded: Ports,
    /// This host's addresses, where all of them are known.
    own: Option<Ranges>,
    /// These, and those of whom the file admits.
    addresses: Option<Ranges>,
}

impl Concerned {
    fn of(site: &Site<'_>, surroundings: &Surroundings) -> Self {
        let claims = Claims::of(site);
        let guarded = site.protected();
        let asked = asked_of_all_peers(site);
        let asked: Vec<PortRange> = asked.iter().flat_map(|ports| ports.ranges().to_vec()).collect();
        let services: Ports = guarded.ranges().iter().copied().chain(asked).collect();
        let ephemeral = PortRange::new(EPHEMERAL.0, EPHEMERAL.1);
        let all = services.ranges().iter().copied().chain(ephemeral).collect();
        let here = || surroundings.addresses.iter().chain(claims.addresses().iter()).copied().map(Cidr::host);
        let admitted = claims.admitted().iter().flat_map(Admitted::families).flat_map(Elements::networks);
        let own = surroundings.complete.then(|| Ranges::of(here()));
        // Where nobody is blocked, whom others block counts, whoever that is.
        let narrows = surroundings.complete && !site.cluster().guard().is_staged();
        let addresses = narrows.then(|| Ranges::of(here().chain(admitted)));
        Self { services, all, guarded, own, addresses }
    }
}

impl Ranges {
    fn of(networks: impl Iterator<Item = Cidr>) -> Self {
        let (v4, v6): (Vec<Cidr>, Vec<Cidr>) = networks.partition(|network| network.is_ipv4());
        let (v4, v6) = (Elements::of_networks(&v4), Elements::of_networks(&v6));
        Self {
            v4: if let Elements::Ipv4(list) = v4 { list } else { Vec::new() },
            v6: if let Elements::Ipv6(list) = v6 { list } else { Vec::new() },
        }
    }

    /// Those of some addresses that are in here; all of what is none, or not known.
    fn of_these(&self, these: &Elements) -> Elements {
        match these {
            Elements::Ipv4(list) => Elements::Ipv4(common(list, &self.v4)),
            Elements::Ipv6(list) => Elements::Ipv6(common(list, &self.v6)),
            Elements::Dual(v4, v6) => Elements::Dual(common(v4, &self.v4), common(v6, &self.v6)),
            Elements::Passing(these) => self.of_these(these).passing(),
            Elements::Ports(_) | Elements::Endpoints(_) | Elements::Unknown => these.clone(),
        }
    }

    fn overlaps(&self, (first, last): (IpAddr, IpAddr)) -> bool {
        match (first, last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => !common(&[(a.to_bits(), b.to_bits())], &self.v4).is_empty(),
            (IpAddr::V6(a), IpAddr::V6(b)) => !common(&[(a.to_bits(), b.to_bits())], &self.v6).is_empty(),
            _ => true,
        }
    }
}

/// What two lists of ranges have in common; both are sorted and disjoint.
fn common<T: Copy + Ord>(one: &[(T, T)], other: &[(T, T)]) -> Vec<(T, T)> {
    let (mut a, mut b, mut both) = (one.iter().peekable(), other.iter().peekable(), Vec::new());
    while let (Some(&&(from, to)), Some(&&(start, end))) = (a.peek(), b.peek()) {
        let (first, last) = (from.max(start), to.min(end));
        if first <= last {
            both.push((first, last));
        }
        _ = if to < end { a.next() } else { b.next() };
    }
    both
}

/// What there is to tell of rules.
#[derive(Clone, Default)]
struct Told {
    text: String,
    /// Whether packets that no site is about may become others here.
    turns: bool,
}

/// The chains of a table.
struct Slice<'a> {
    concerned: &'a Concerned,
    ruleset: &'a Ruleset,
    table: &'a Table,
    /// Those of the table, by name.
    chains: HashMap<&'a str, &'a Chain>,
    /// Whether only the first packet of a connection comes here: its destination port is that of a service.
    nat: bool,
    /// By name, with what there is to tell of each.
    done: HashMap<&'a str, Told>,
}

impl<'a> Slice<'a> {
    fn begin(&mut self, nat: bool) {
        if self.nat != nat {
            self.done.clear();
        }
        self.nat = nat;
    }

    fn chain(&mut self, chain: &'a Chain) -> Told {
        let mut told = Told::default();
        for rule in &chain.rules {
            let own = self.rule(rule);
            told.text.push_str(&own.text);
            told.turns |= own.turns;
        }
        told
    }

    /// The chain that a rule leads to, named by what there is to tell of it: a name may be another each time.
    fn target(&mut self, name: &str) -> Told {
        if let Some(done) = self.done.get(name) {
            return done.clone();
        }
        let Some(chain) = self.chains.get(name).copied() else {
            return Told { text: "nowhere".to_owned(), turns: true };
        };
        // The kernel lets nothing lead back to where it came from; a text may.
        self.done.insert(&chain.name, Told { text: "itself".to_owned(), turns: true });
        let Told { text, turns } = self.chain(chain);
        let text = if text.is_empty() { text } else { hexadecimal(&Sha256::digest(text.as_bytes())) };
        let told = Told { text, turns };
        self.done.insert(&chain.name, told.clone());
        told
    }

    /// A rule, or nothing where it has no say.
    fn rule(&mut self, rule: &'a Rule) -> Told {
        let mut turns = rule.statements.iter().any(|one| self.turns(one));
        let mut does: Vec<String> = rule.effective().map(|one| format!("{one:?}")).collect();
        // What its tests do is done whether the rest of them holds or not.
        let by_its_tests = rule.up_to_a_crowd().is_some() || rule.marks_by_a_test();
        if by_its_tests {
            does.push("what its tests do".to_owned());
        }
        match &rule.verdict {
            None => {}
            Some(verdict @ (Verdict::Jump(name) | Verdict::Goto(name))) => {
                let Told { text, turns: within } = self.target(name);
                turns |= within;
                let goes = matches!(verdict, Verdict::Goto(_));
                // Where there is nothing to tell, coming back from it is going on.
                if !text.is_empty() || goes {
                    does.push(format!("{} {text}", if goes { "goto" } else { "jump" }));
                }
            }
            Some(Verdict::Unknown(text)) => {
                turns = true;
                does.push(format!("unknown {text}"));
            }
            Some(verdict @ (Verdict::Accept | Verdict::Drop | Verdict::Reject(_) | Verdict::Return)) => {
                does.push(format!("{verdict:?}"));
            }
        }
        if does.is_empty() {
            return Told::default();
        }
        let translates = rule.statements.iter().any(leads_elsewhere);
        let mut text = String::new();
        for test in &rule.matches {
            let narrowed = if turns || by_its_tests { Some(self.whole(test)) } else { self.narrowed(test, translates) };
            match narrowed {
                // Writing to a String cannot fail.
                Some(test) => _ = write!(text, "{test}, "),
                None => return Told::default(),
            }
        }
        _ = writeln!(text, "{}", does.join(", "));
        Told { text, turns }
    }

    /// Whether a packet that the site is not about may become one that it is.
    fn turns(&self, statement: &Statement) -> bool {
        match statement {
            Statement::Translate(
                Translation::Destination | Translation::Redirect | Translation::Network,
                Destined::To { addresses, ports },
            ) => {
                let here = match (addresses, &self.concerned.own) {
                    (Some(range), Some(own)) => own.overlaps(*range),
                    (None, _) | (_, None) => true,
                };
                let range = ports.and_then(|(first, last)| PortRange::new(first, last));
                here && range.is_some_and(|range| {
                    self.concerned.guarded.intersection(&std::iter::once(range).collect()).is_some()
                })
            }
            Statement::Translate(Translation::Source | Translation::Masquerade, _) => false,
            Statement::Translate(_, Destined::Unknown)
            | Statement::Divert(Diversion::Queue | Diversion::Synproxy | Diversion::TransparentProxy)
            | Statement::Write { field: Field::Other(_), .. }
            | Statement::Copy => true,
            Statement::Divert(Diversion::FlowOffload | Diversion::Device)
            | Statement::Write {
                field:
                    Field::Mark(_)
                    | Field::Priority
                    | Field::Trace
                    | Field::SecurityMark
                    | Field::Connection
                    | Field::Header
                    | Field::TcpOption,
                ..
            }
            | Statement::Counter(_)
            | Statement::Log(_)
            | Statement::Note
            | Statement::NoTrack
            | Statement::Track(_)
            | Statement::Update { .. } => false,
        }
    }

    /// A test as it is, with what is in its set.
    fn whole(&self, test: &Match) -> String {
        let set = test.set_name().and_then(|name| self.ruleset.set(self.table, name));
        set.map_or_else(|| format!("{test:?}"), |set| format!("{test:?} {:?}", set.elements))
    }

    /// A test as far as it tells packets apart that the site is about; nothing where it holds for none of them.
    fn narrowed(&self, test: &Match, translates: bool) -> Option<String> {
        let port = if self.nat { &self.concerned.services } else { &self.concerned.all };
        match test {
            Match::Protocol { number, negated } if (*number == TCP) == *negated => None,
            // An address that a translation leads away from need not be this host's.
            Match::Source { .. } | Match::Destination { .. } if translates => Some(self.whole(test)),
            Match::Source { addresses, negated } => self.addresses("from", addresses, *negated),
            Match::Destination { addresses, negated } => self.addresses("to", addresses, *negated),
            Match::DestinationPort { ports, negated } => self.ports("port", ports, *negated, port),
            Match::PortBlock(block) => {
                let block = PortRange::new(block.first & block.mask(), block.last());
                let some = block.map(|block| both(&std::iter::once(block).collect(), port));
                some.is_none_or(|some| !some.is_empty()).then(|| self.whole(test))
            }
            Match::OriginalPort(ports) => self.ports("original port", ports, false, &self.concerned.services),
            Match::Foreign(Foreign::SourcePort { ports, negated }) => {
                self.ports("source port", ports, *negated, &self.concerned.all)
            }
            _ => Some(self.whole(test)),
        }
    }

    fn addresses(&self, what: &str, addresses: &Addresses, negated: bool) -> Option<String> {
        let these = match addresses {
            Addresses::These(these) => these,
            Addresses::Set(name) => match self.ruleset.set(self.table, name) {
                Some(set) => &set.elements,
                None => &Elements::Unknown,
            },
        };
        let some = self.concerned.addresses.as_ref().map_or_else(|| these.clone(), |known| known.of_these(these));
        let none = match some.lasting().0 {
            Elements::Ipv4(list) => list.is_empty(),
            Elements::Ipv6(list) => list.is_empty(),
            Elements::Dual(v4, v6) => v4.is_empty() && v6.is_empty(),
            Elements::Ports(_) | Elements::Endpoints(_) | Elements::Passing(_) | Elements::Unknown => false,
        };
        (negated || !none).then(|| format!("{what} {negated} {some:?}"))
    }

    fn ports(&self, what: &str, ports: &PortMatch, negated: bool, concerned: &Ports) -> Option<String> {
        let these = match ports {
            PortMatch::Ports(ports) => Some(ports.clone()),
            PortMatch::Set(name) => {
                let list = self.ruleset.set(self.table, name).and_then(|set| set.elements.ports());
                list.map(|list| list.iter().copied().collect())
            }
        };
        let Some(these) = these else { return Some(format!("{what} {negated} unknown")) };
        let some = both(&these, concerned);
        (negated || !some.is_empty()).then(|| format!("{what} {negated} {:?}", some.ranges()))
    }
}

/// Whether a destination becomes another one. What gets another source is who it is about all the same.
fn leads_elsewhere(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Translate(Translation::Destination | Translation::Redirect | Translation::Network, _)
    )
}

fn both(one: &Ports, other: &Ports) -> Ports {
    one.without(&one.without(other))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}
