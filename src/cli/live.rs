//! What applying would change on this host, without touching anything.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::net::IpAddr;

use serde::Serialize;

use super::before::{before, cut_peers};
use super::diff::{Names, describe, json};
use super::host::{
    SiteArguments, StateArguments, exposed, exposed_text, live_site, nobody, node_after, not_judged, own_links,
    sessions,
};
use super::ways::{all_objections, warnings};
use super::{Input, Outcome, print};
use crate::cluster::{Cluster, Node, Site};
use crate::diagnostic::Span;
use crate::dialect::nft;
use crate::diff::difference_on_host;
use crate::host::apply::Host;
use crate::host::identity::Objection;
use crate::host::judge::{Judgement, Standing, judge_on};
use crate::host::links::Link;
use crate::host::plan::{Kind, Work, foreign, plan};
use crate::host::record::Kept;
use crate::host::sessions::{Sessions, affected};
use crate::host::sockets::Session;
use crate::host::{Backend, Changed, HostError, InForce, Prepared, pending, place, read, record};
use crate::ir::{Elements, Ruleset, Set};
use crate::net::{Cidr, Ports};
use crate::verify::own_part;

#[derive(Serialize)]
struct Document {
    node: Option<String>,
    /// What is in force is to the cluster file.
    state: Standing,
    backend: Backend,
    absent: bool,
    elements: Vec<Line>,
    meaning: super::diff::Json,
    /// The kinds of what applying would write; empty where it would write nothing.
    writes: Vec<Kind>,
    foreign_rules: Vec<String>,
    reserved_ports_added: String,
    cut: Vec<String>,
    outgoing: Vec<String>,
    not_judged: Vec<String>,
    exposed: Vec<String>,
}

/// A member of a set that comes or goes.
#[derive(Serialize)]
struct Line {
    set: String,
    added: bool,
    member: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<String>,
}

/// `diff [CONFIG]` and `apply --dry-run`.
pub fn run(
    input: &Input,
    arguments: &SiteArguments,
    host: &StateArguments,
    meaning_only: bool,
    allowed: impl Fn(&str) -> bool,
) -> anyhow::Result<Outcome> {
    let Some(cluster) = input.load(|_| Vec::new())? else { return Ok(Outcome::Unusable) };
    show(&cluster, input.json, arguments, &host.host(), meaning_only, allowed)
}

/// The same for a cluster file that was read.
pub fn show(
    cluster: &Cluster,
    as_json: bool,
    arguments: &SiteArguments,
    host: &Host,
    meaning_only: bool,
    allowed: impl Fn(&str) -> bool,
) -> anyhow::Result<Outcome> {
    let links = own_links()?;
    let kept = record::kept(&host.store, record::GOOD);
    let (site, refused) = match for_whom(cluster, arguments, host, &kept, &links, allowed)? {
        Ok(found) => found,
        Err(outcome) => return Ok(outcome),
    };
    let backend = arguments.backend.choose(host)?;
    let prepared = Prepared::new(&site, backend)?;
    let in_force = read(backend)?;
    let wanted = prepared.verified.ruleset();
    let work = plan(host, &site, &prepared, &in_force)?;
    let judgement = judge_on(host, &site, &in_force, &links)?;
    for warning in doubts(&judgement) {
        anstream::eprintln!("warning: {warning}");
    }
    // Rules of others in iptables stay where they are.
    let found = difference_on_host(&own_part(&in_force.ruleset), wanted, site.elsewhere())?;
    let foreign = if work.rules == Changed::Rules { foreign(host, &prepared, &in_force)? } else { Vec::new() };
    let kinds = work.kinds(!found.is_empty(), &foreign);
    let old = kept.ok().flatten().and_then(|kept| kept.load().cluster);
    let sessions = affected(&site, (!in_force.absent).then_some(&in_force.ruleset), &links)?;
    let lines = elements(&in_force.ruleset, wanted, old.as_ref(), cluster);
    let others: Vec<String> = in_force.others.iter().map(ToString::to_string).collect();
    let new = Some(cluster.clone());
    let names = Names { clusters: [&old, &new] };
    let (exposed, _) = exposed(&site.protected(), site.node().map(Node::name));
    if as_json {
        let document = Document {
            node: site.node().map(|node| node.name().to_owned()),
            state: judgement.standing,
            backend,
            absent: in_force.absent,
            elements: lines,
            meaning: json(&found, &names),
            writes: kinds,
            foreign_rules: foreign,
            reserved_ports_added: record::text(&work.reserve),
            cut: in_words(&sessions.cut),
            outgoing: in_words(&sessions.outgoing),
            not_judged: others,
            exposed,
        };
        print(&(serde_json::to_string_pretty(&document)? + "\n"))?;
    } else {
        let mut text = String::new();
        if in_force.absent {
            text.push_str("nothing of ringfence is in force on this host\n\n");
        }
        // Other comments alone are not written.
        if !meaning_only && work.rules != Changed::Nothing {
            text.push_str(&rules_text(&in_force, wanted));
            text.push_str(&elements_text(&lines));
        }
        text.push_str(&describe(&found, &names));
        text.push_str(&writes_text(&work, &kinds, &foreign));
        text.push_str(&sessions_text(&sessions));
        text.push_str(&not_judged(&others));
        text.push_str(&exposed_text(&exposed));
        print(&text)?;
    }
    Ok(match refused {
        Some(refused) => refused,
        None if work.is_nothing() => Outcome::Success,
        None => Outcome::No,
    })
}

fn in_words(sessions: &[Session]) -> Vec<String> {
    sessions.iter().map(|session| format!("{} with {}", session.local, session.remote)).collect()
}

/// Whose rules they are, and how apply would end that refuses them; or how it ends where that cannot be said.
fn for_whom<'a>(
    cluster: &'a Cluster,
    arguments: &SiteArguments,
    host: &Host,
    kept: &Result<Option<Kept>, HostError>,
    links: &[Link],
    allowed: impl Fn(&str) -> bool,
) -> anyhow::Result<Result<(Site<'a>, Option<Outcome>), Outcome>> {
    let mut refused = refusal(host);
    // Whether apply will refuse, and says so.
    let refuses = |objection: &Objection| {
        let allowed = allowed(objection.word());
        if allowed {
            anstream::eprintln!("warning: {} (allowed)", objection.message());
        } else {
            anstream::eprintln!("warning: apply will refuse: {}", objection.message());
        }
        !allowed
    };
    if before(kept, cluster, arguments.node.as_deref(), links).objection().is_some_and(|one| refuses(&one)) {
        refused = refused.or(Some(Outcome::No));
    }
    let node = match node_after(cluster, kept, arguments.node.as_deref(), links) {
        Ok(node) => Some(node),
        Err(error) if arguments.node.is_some() => {
            anstream::eprintln!("refused: {}", error.message(cluster));
            return Ok(Err(nobody(&error)));
        }
        Err(error) => {
            let message = error.message(cluster);
            anstream::eprintln!("warning: {message}\nwarning: shown are the rules that fit every node");
            refused = refused.or_else(|| Some(nobody(&error)).filter(|_| !allowed("no-node")));
            None
        }
    };
    let site = live_site(cluster, node)?;
    for objection in &all_objections(&site, links, place::ssh_session())? {
        if refuses(objection) {
            refused = refused.or(Some(Outcome::No));
        }
    }
    for warning in warnings() {
        anstream::eprintln!("warning: {warning}");
    }
    if let Some(cut) = cut_peers(host, &site, links) {
        anstream::eprintln!("warning: {cut}");
    }
    Ok(Ok((site, refused)))
}

/// Why apply would not even look at the file.
fn refusal(host: &Host) -> Option<Outcome> {
    let error = match pending::waiting(&host.store) {
        Ok(None) => return None,
        Ok(Some(pending)) if pending.confirmed => return None,
        Ok(Some(_)) => HostError::Waiting,
        Err(error) => error,
    };
    anstream::eprintln!("warning: apply will refuse: {error}");
    Some(error.outcome())
}

/// What of others applying does not mend.
fn doubts(judgement: &Judgement) -> Vec<String> {
    let words = judgement.standing.words();
    match judgement.standing {
        Standing::Shadowed if judgement.shadows.is_empty() => vec![format!("{words}: a rule of somebody else")],
        Standing::Shadowed => judgement.shadows.iter().map(|shadow| format!("{words}: {shadow}")).collect(),
        Standing::Undecided => vec![format!("{words}: rules of others are not understood, see `ringfence status`")],
        Standing::Enforced | Standing::NotApplied | Standing::Drifted | Standing::Absent => Vec::new(),
    }
}

/// What is written besides what changes for somebody.
fn writes_text(work: &Work, kinds: &[Kind], foreign: &[String]) -> String {
    let mut text = String::new();
    for kind in kinds {
        // Writing to a String cannot fail.
        let _ = match kind {
            Kind::Meaning => Ok(()),
            Kind::Behaviour | Kind::OtherBackEnd => writeln!(text, "what changes all the same: {}", kind.words()),
            Kind::ForeignRules => {
                foreign.iter().fold(writeln!(text, "{}:", kind.words()), |_, rule| writeln!(text, "  {rule}"))
            }
            Kind::ReservedPorts => {
                let lists = [("that are added", &work.reserve), ("that are given back", &work.release)];
                let some = lists.into_iter().filter(|(_, ports)| !ports.is_empty());
                some.for_each(|(verb, ports)| _ = writeln!(text, "reserved ports {verb}: {}", record::text(ports)));
                if work.file {
                    text.push_str("the file that reserves ports at the start of the machine is written\n");
                }
                Ok(())
            }
        };
    }
    text
}

/// The rules as nft writes them, without the members of sets.
fn rules_text(in_force: &InForce, wanted: &Ruleset) -> String {
    if in_force.backend == Backend::Iptables {
        return String::new();
    }
    if !in_force.unknown.is_empty() {
        let mut text = "the rules in force cannot be shown in nft's words; not understood in them:\n".to_owned();
        in_force.unknown.iter().for_each(|part| _ = writeln!(text, "  {part}"));
        return text + "\n";
    }
    let plain = |ruleset: &Ruleset| {
        let mut ruleset = ruleset.clone();
        ruleset.header.clear();
        for table in &mut ruleset.tables {
            table.sets.sort_by(|a, b| a.name.cmp(&b.name));
            for set in &mut table.sets {
                set.origins.clear();
                set.elements = match set.elements {
                    Elements::Ipv4(_) => Elements::Ipv4(Vec::new()),
                    Elements::Ipv6(_) => Elements::Ipv6(Vec::new()),
                    Elements::Ports(_) | Elements::Unknown => Elements::Ports(Vec::new()),
                };
            }
            table.chains.iter_mut().for_each(|chain| chain.remarks.clear());
        }
        let text = nft::write(&ruleset).unwrap_or_default();
        let shown = |line: &&str| !line.starts_with('#') && !line.starts_with("delete ") && !line.trim().is_empty();
        // The text makes the table first, and then what is in it.
        let text = text.replacen("\ntable inet ringfence\n", "\n", 1);
        let lines = text.lines().filter(shown).filter(|line| !["\t\telements = {", "\t\t}"].contains(line));
        lines.fold(String::new(), |text, line| text + line + "\n")
    };
    let (old, new) = (plain(&in_force.ruleset), plain(wanted));
    let mut text = similar::TextDiff::from_lines(&old, &new)
        .unified_diff()
        .context_radius(1)
        .header("in force", "wanted")
        .to_string();
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// The members that come and go, set by set.
fn elements(old: &Ruleset, new: &Ruleset, was: Option<&Cluster>, is: &Cluster) -> Vec<Line> {
    let sets = |ruleset: &'_ Ruleset| -> Vec<Set> {
        ruleset.tables.iter().flat_map(|table| &table.sets).chain(&ruleset.sets).cloned().collect()
    };
    let (old, new) = (sets(old), sets(new));
    let (was, is) = (was.map(Owners::new), Owners::new(is));
    let names: BTreeSet<&str> = old.iter().chain(&new).map(|set| set.name.as_str()).collect();
    let mut lines = Vec::new();
    for name in names {
        let members = |sets: &[Set]| sets.iter().find(|set| set.name == name).map(members).unwrap_or_default();
        let (before, after) = (members(&old), members(&new));
        for (members, others, added, owners) in
            [(&before, &after, false, was.as_ref()), (&after, &before, true, Some(&is))]
        {
            for member in members.difference(others) {
                let who = match member {
                    Member::Network(network) => owners.and_then(|owners| owners.of(*network)),
                    Member::Port(..) => None,
                };
                lines.push(Line { set: name.to_owned(), added, member: member.to_string(), who });
            }
        }
    }
    lines
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    Network(Cidr),
    Port(u16, u16),
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Port(first, last) if first == last => first.fmt(f),
            Self::Port(first, last) => write!(f, "{first}-{last}"),
        }
    }
}

fn members(set: &Set) -> BTreeSet<Member> {
    match &set.elements {
        // A set may hold the ports of a range one by one.
        Elements::Ports(list) => {
            let ports: Ports = list.iter().copied().collect();
            ports.ranges().iter().map(|range| Member::Port(range.first(), range.last())).collect()
        }
        other => other.networks().into_iter().map(Member::Network).collect(),
    }
}

/// Who has an address, of many nodes and few clients.
struct Owners<'a> {
    cluster: &'a Cluster,
    nodes: HashMap<IpAddr, (&'a str, Span)>,
}

impl<'a> Owners<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let named = |node: &'a Node| node.addresses().iter().map(|&(address, span)| (address, (node.name(), span)));
        Self { cluster, nodes: cluster.nodes().iter().flat_map(named).collect() }
    }

    fn of(&self, network: Cidr) -> Option<String> {
        if let Some((name, span)) = self.nodes.get(&network.first()).filter(|_| network.is_host()) {
            return Some(format!("{name}, {}", self.cluster.place(*span)));
        }
        let clients = self
            .cluster
            .clients()
            .iter()
            .flat_map(|client| client.from().iter().map(move |source| (client.name(), source)));
        let sources = clients.chain(self.cluster.untrusted().iter().map(|source| ("untrusted", source)));
        let mut own = sources.filter(|(_, source)| source.network.contains(network));
        own.next().map(|(name, source)| format!("{name}, {}", self.cluster.place(source.span)))
    }
}

fn elements_text(lines: &[Line]) -> String {
    const SHOWN: usize = 100;
    let mut text = String::new();
    let mut last = "";
    for line in lines.iter().take(SHOWN) {
        if line.set != last {
            let _ = writeln!(text, "set {}", line.set);
            last = &line.set;
        }
        let sign = if line.added { '+' } else { '-' };
        let _ = match &line.who {
            Some(who) => writeln!(text, "  {sign} {} ({who})", line.member),
            None => writeln!(text, "  {sign} {}", line.member),
        };
    }
    if let Some(more) = lines.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "  ... and {more} more; --json prints them all");
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn sessions_text(found: &Sessions) -> String {
    let mut text = String::new();
    if !found.cut.is_empty() {
        let _ = writeln!(text, "open sessions into protected ports that are cut: {}", found.cut.len());
        text.push_str(&sessions(&found.cut));
    }
    if !found.outgoing.is_empty() {
        let count = found.outgoing.len();
        let _ = writeln!(text, "sessions that this host opened to hosts no longer admitted, which go on: {count}");
        text.push_str(&sessions(&found.outgoing));
    }
    text
}
