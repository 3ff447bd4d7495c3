//! firewalld: a policy and ipsets of our own, as files and as rules of the kernel.
//!
//! - The policy goes from any zone to this host and decides on nothing but what it accepts. Its priority is the last that there is:
//!   it stands behind the rules of every zone and of every other policy, and before the zone's own end, be that a reject or a
//!   drop. So whoever is denied by a rule of the admin stays denied.
//! - A policy has no place for an interface, so an opening for some interfaces is one for all here; the guard looks at them.
//! - What goes out is firewalld's to stop only where a policy of the admin says so, and then that policy comes first.
//!
//! INVARIANT (not ours of ipset): with firewalld's iptables back end its ipsets are sets of the kernel. Their names are none that
//! [`ours::is_set`](crate::ir::ours::is_set) takes for the guard's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sha2::{Digest, Sha256};

use crate::ir::{
    Addresses, ChainKind, Elements, Leg, Match, Opening, Policy, PortMatch, Rule, Ruleset, Table, Verdict,
};
use crate::net::{Cidr, PortRange};

/// The name of the policy.
pub const POLICY: &str = "ringfence";
/// What the names of the ipsets begin with.
pub const SET: &str = "open-ringfence-";
/// What stands in every file of ours, also after firewalld has written it anew, and then drops remarks.
pub const MARK: &str = "Made by ringfence, do not edit";

/// ipset takes names of up to 31 bytes.
const LONGEST_NAME: usize = 31;
/// How many hexadecimal digits of a digest stand in for the rest of a name.
const DIGEST: usize = 8;
/// ipset's own limit, unless told otherwise.
const USUAL_MOST: usize = 65_536;

/// A set of sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpSet {
    /// Its name.
    pub name: String,
    /// For whom.
    pub about: String,
    /// Networks of one family, sorted and disjoint; none that has the prefix 0, which ipset does not know.
    pub networks: Vec<Cidr>,
}

/// A rich rule: TCP from a set to a port or range is accepted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RichRule {
    /// The set's name.
    pub set: String,
    /// The ports.
    pub ports: PortRange,
}

impl RichRule {
    fn family(&self) -> &'static str {
        if self.set.ends_with('4') { "ipv4" } else { "ipv6" }
    }

    fn ports(&self) -> String {
        self.ports.to_string()
    }
}

/// As `firewall-cmd` takes and prints it.
impl fmt::Display for RichRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, set, ports) = (self.family(), &self.set, self.ports());
        write!(f, "rule family=\"{family}\" source ipset=\"{set}\" port port=\"{ports}\" protocol=\"tcp\" accept")
    }
}

/// What firewalld is to have of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The sets, by name.
    pub sets: Vec<IpSet>,
    /// The rules, in their order.
    pub rules: Vec<RichRule>,
}

impl Wanted {
    /// What lets these openings through.
    #[must_use]
    pub fn of(openings: &[Opening]) -> Self {
        let mut wanted = Self::default();
        for opening in openings.iter().filter(|one| one.leg == Leg::In && !one.networks.is_empty()) {
            let name = set_name(&opening.name, opening.is_ipv4());
            let halved = |network: &Cidr| match network.prefix_length() {
                0 => network.halves().to_vec(),
                _ => vec![*network],
            };
            let networks = opening.networks.iter().flat_map(halved).collect();
            wanted.rules.extend(opening.ports.ranges().iter().map(|&ports| RichRule { set: name.clone(), ports }));
            wanted.sets.push(IpSet { name, about: opening.about.clone(), networks });
        }
        wanted.sets.sort_by(|a, b| a.name.cmp(&b.name));
        wanted
    }

    /// The files, by their names below `/etc/firewalld`; none where nothing is to be let through.
    #[must_use]
    pub fn files(&self) -> Vec<(String, String)> {
        let mut files: Vec<(String, String)> =
            self.sets.iter().map(|set| (format!("ipsets/{}.xml", set.name), set.file())).collect();
        if !self.rules.is_empty() {
            files.push((format!("policies/{POLICY}.xml"), self.policy()));
        }
        files
    }

    fn policy(&self) -> String {
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
             <!-- {MARK}: change the cluster file and apply. -->\n\
             <policy target=\"CONTINUE\" priority=\"{LAST}\">\n  \
             <short>{POLICY}</short>\n  \
             <description>{MARK}: lets those whom ringfence admits reach their services.</description>\n  \
             <ingress-zone name=\"ANY\"/>\n  \
             <egress-zone name=\"HOST\"/>\n"
        );
        for rule in &self.rules {
            let (family, set, ports) = (rule.family(), &rule.set, rule.ports());
            text.push_str(&format!(
                "  <rule family=\"{family}\">\n    <source ipset=\"{set}\"/>\n    \
                 <port port=\"{ports}\" protocol=\"tcp\"/>\n    <accept/>\n  </rule>\n"
            ));
        }
        text.push_str("</policy>\n");
        text
    }
}

/// The highest priority that firewalld takes: behind everybody else.
const LAST: i16 = i16::MAX;

impl IpSet {
    fn file(&self) -> String {
        let family = if self.name.ends_with('4') { "inet" } else { "inet6" };
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
             <!-- {MARK}: change the cluster file and apply. -->\n\
             <ipset type=\"hash:net\">\n  \
             <short>{}</short>\n  \
             <description>{MARK}: {}.</description>\n  \
             <option name=\"family\" value=\"{family}\"/>\n",
            self.name,
            escaped(&self.about)
        );
        // Some kernels count both ends of every network.
        let room = self.networks.len() * 2 + 2;
        if room > USUAL_MOST {
            let room = room.next_power_of_two();
            text.push_str(&format!("  <option name=\"maxelem\" value=\"{room}\"/>\n"));
        }
        for network in &self.networks {
            text.push_str(&format!("  <entry>{network}</entry>\n"));
        }
        text.push_str("</ipset>\n");
        text
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A name that ipset takes. Of one that is too long, the end is a digest of the whole.
fn set_name(name: &str, is_ipv4: bool) -> String {
    let family = if is_ipv4 { '4' } else { '6' };
    let room = LONGEST_NAME - SET.len() - 1;
    if name.len() <= room {
        return format!("{SET}{name}{family}");
    }
    let digest: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
    let short: String = name.chars().take(room - DIGEST).collect();
    let digest: String = digest.chars().take(DIGEST).collect();
    format!("{SET}{short}{digest}{family}")
}

/// What the kernel holds of firewalld, as far as it is about us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// firewalld's own rules are there: nobody has flushed them.
    pub is_loaded: bool,
    /// Everything is dropped, because the admin said so.
    pub panic: bool,
    /// Our policy is there.
    pub policy: bool,
    /// Its rules.
    pub rules: BTreeSet<RichRule>,
    /// Rules in it that are none of ours, or by which it stands before the zones.
    pub strange: usize,
    /// Our sets.
    pub sets: BTreeMap<String, Elements>,
}

impl InForce {
    /// What stands in all rules of a host.
    #[must_use]
    pub fn of(ruleset: &Ruleset) -> Self {
        let mut found = Self::default();
        for table in &ruleset.tables {
            found.panic |= panics(table);
            for chain in &table.chains {
                found.is_loaded |= is_main(table, &chain.name);
                if chain.name.ends_with("INPUT_POLICIES_pre") {
                    let early = chain.rules.iter().filter(|rule| jumps_to_ours(rule));
                    found.strange += early.count();
                }
                found.strange += before_zones(&chain.rules);
                if ALLOW.contains(&chain.name.as_str()) {
                    found.policy = true;
                    for rule in &chain.rules {
                        match ours(rule) {
                            Some(rules) => found.rules.extend(rules),
                            None => found.strange += 1,
                        }
                    }
                }
            }
        }
        let tables = ruleset.tables.iter().flat_map(|table| &table.sets);
        let sets = tables.chain(&ruleset.sets).filter(|set| set.name.starts_with(SET));
        found.sets = sets.map(|set| (set.name.clone(), set.elements.clone())).collect();
        found
    }

    /// Whether firewalld works by iptables, and its sets are those of ipset.
    #[must_use]
    pub fn is_of_iptables(ruleset: &Ruleset) -> bool {
        let mut chains = ruleset.tables.iter().flat_map(|table| &table.chains);
        chains.any(|chain| MAIN_OF_IPTABLES.contains(&chain.name.as_str()))
    }

    /// Whether a set holds exactly these networks; `None` where there is no such set.
    #[must_use]
    pub fn set_is(&self, wanted: &IpSet) -> Option<bool> {
        self.sets.get(&wanted.name).map(|there| merged(there) == merged(&Elements::of_networks(&wanted.networks)))
    }

    /// Whether the rules are these and no others.
    #[must_use]
    pub fn has_rules_of(&self, wanted: &Wanted) -> bool {
        self.strange == 0 && self.rules.iter().eq(wanted.rules.iter().collect::<BTreeSet<_>>())
    }

    /// Whether all is as it is to be. Of a policy that was emptied nothing is left that matters.
    #[must_use]
    pub fn is(&self, wanted: &Wanted) -> bool {
        let wanted_sets: BTreeSet<&str> = wanted.sets.iter().map(|set| set.name.as_str()).collect();
        let mut others = self.sets.iter().filter(|(name, _)| !wanted_sets.contains(name.as_str()));
        self.has_rules_of(wanted)
            && wanted.sets.iter().all(|set| self.set_is(set) == Some(true))
            && others.all(|(_, elements)| elements.networks().is_empty())
    }
}

/// Whether a chain is one that every packet for this host goes into: nftables has had its own from the beginning, iptables another one in
/// 1.x, from 2.0 on, and from 2.4 on.
fn is_main(table: &Table, chain: &str) -> bool {
    match table.name.as_str() {
        "firewalld" => chain == "filter_INPUT",
        _ => MAIN_OF_IPTABLES.contains(&chain),
    }
}

/// See [`is_main`].
pub const MAIN_OF_IPTABLES: [&str; 3] = ["INPUT_ZONES", "INPUT_POLICIES", "INPUT_dispatch"];

/// The chain of our policy that accepts, as the two back ends call it.
const ALLOW: [&str; 3] = ["filter_IN_policy_ringfence_allow", "filter_IN_ringfence_allow", "IN_ringfence_allow"];

/// Whether a rule leads into our policy.
fn jumps_to_ours(rule: &Rule) -> bool {
    match &rule.verdict {
        Some(Verdict::Jump(chain)) => ALLOW.iter().any(|own| own.strip_suffix("_allow") == Some(chain)),
        _ => false,
    }
}

/// From 2.0 on one chain leads to zones and policies, anew for each source and interface (from 2.4 on, one for each zone): how often ours
/// comes before the zone there.
/// Chains of policies have a name of their own, with nftables; with iptables nothing tells them from a zone's.
fn before_zones(rules: &[Rule]) -> usize {
    let is_zones = |rule: &Rule| match &rule.verdict {
        Some(Verdict::Jump(chain)) => !chain.starts_with("filter_IN_policy_"),
        _ => false,
    };
    let is_early = |(at, rule): &(usize, &Rule)| {
        let mut behind = rules.iter().skip(*at);
        jumps_to_ours(rule) && behind.any(|other| is_zones(other) && other.matches == rule.matches)
    };
    rules.iter().enumerate().filter(is_early).count()
}

/// Neighbouring ranges joined: how the kernel cuts them is its own affair.
pub(super) fn merged(elements: &Elements) -> Vec<(u128, u128)> {
    let list: Vec<(u128, u128)> = match elements {
        Elements::Ipv4(list) => list.iter().map(|&(a, b)| (a.into(), b.into())).collect(),
        Elements::Ipv6(list) => list.clone(),
        Elements::Ports(_) | Elements::Endpoints(_) | Elements::Unknown => Vec::new(),
    };
    let mut joined: Vec<(u128, u128)> = Vec::with_capacity(list.len());
    for (first, last) in list {
        match joined.last_mut() {
            Some(before) if before.1.checked_add(1) == Some(first) => before.1 = last,
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// What a rule of the kernel is in firewalld's words, if it is one of those that we ask for.
fn ours(rule: &Rule) -> Option<Vec<RichRule>> {
    let (mut from, mut to) = (None, None);
    for one in &rule.matches {
        match one {
            Match::Source { addresses: Addresses::Set(name), negated: false } if name.starts_with(SET) => {
                from = Some(name);
            }
            Match::DestinationPort { ports: PortMatch::Ports(ports), negated: false } => to = Some(ports),
            // Old versions ask for new connections, which is all that an opening is about.
            Match::Family(_)
            | Match::Protocol { negated: false, .. }
            | Match::ConnectionState { negated: false, .. } => {}
            _ => return None,
        }
    }
    let (from, to) = (from?, to?);
    let rules = to.ranges().iter().map(|&ports| RichRule { set: from.clone(), ports });
    (rule.verdict == Some(Verdict::Accept)).then(|| rules.collect())
}

/// Whether a table is what `firewall-cmd --panic-on` makes of it.
fn panics(table: &Table) -> bool {
    table.chains.iter().any(|chain| {
        let drops = chain.base.is_some_and(|base| base.kind == ChainKind::Filter && base.policy == Policy::Drop);
        let of_nft = table.name.starts_with("firewalld") && chain.name.starts_with("raw_");
        drops && (of_nft || (table.name == "raw" && chain.name == "PREROUTING"))
    })
}

#[cfg(test)]
mod tests;
