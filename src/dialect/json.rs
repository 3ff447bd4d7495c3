//! JSON: the IR itself, for other programs. Its shape is versioned by [`SCHEMA`].

use serde::{Serialize, Serializer};
use serde_json::Error;

use crate::ir::{Addresses, Chain, Elements, Match, PortMatch, Rule, Ruleset, SCHEMA, Set, SetKind, Table, Verdict};

/// The ruleset as one JSON document.
pub fn write(ruleset: &Ruleset) -> Result<String, Error> {
    let document =
        Document { schema: SCHEMA, header: &ruleset.header, tables: ruleset.tables.iter().map(table).collect() };
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    header: &'a [String],
    tables: Vec<TableView<'a>>,
}

#[derive(Serialize)]
struct TableView<'a> {
    family: crate::ir::Family,
    name: &'a str,
    sets: Vec<SetView<'a>>,
    chains: Vec<ChainView<'a>>,
}

#[derive(Serialize)]
struct SetView<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    key: &'static str,
    interval: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
    elements: ElementsView<'a>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    origins: &'a [String],
}

#[derive(Serialize)]
struct ChainView<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<BaseView>,
    rules: Vec<RuleView<'a>>,
}

#[derive(Serialize)]
struct BaseView {
    #[serde(rename = "type")]
    kind: &'static str,
    hook: crate::ir::Hook,
    priority: i32,
    policy: &'static str,
}

#[derive(Serialize)]
struct RuleView<'a> {
    #[serde(rename = "match")]
    matches: Vec<MatchView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a str>,
    counter: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<VerdictView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum MatchView<'a> {
    InInterface { names: Vec<&'a str>, negated: bool },
    SourceSet(&'a str),
    SourceNetwork(String),
    Tcp { negated: bool },
    DestinationPortSet(&'a str),
    DestinationPorts(Vec<String>),
    PortBlock { first: u16, last: u16 },
    NotDirectlyTcp,
    TcpFlags { mask: Vec<&'static str>, value: Vec<&'static str> },
    DestinationLocal,
    FirstFragment,
    Limit { per_minute: u32, burst: u32 },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum VerdictView<'a> {
    Drop,
    RejectWithTcpReset,
    Return,
    Jump(&'a str),
    Goto(&'a str),
}

fn table(table: &Table) -> TableView<'_> {
    TableView {
        family: table.family,
        name: &table.name,
        sets: table.sets.iter().map(set).collect(),
        chains: table.chains.iter().map(chain).collect(),
    }
}

fn set(set: &Set) -> SetView<'_> {
    let key = match set.elements {
        Elements::Ipv4(_) => "ipv4_addr",
        Elements::Ipv6(_) => "ipv6_addr",
        Elements::Ports(_) => "inet_service",
    };
    let (interval, size) = match set.kind {
        SetKind::Hash { size } => (false, Some(size)),
        SetKind::Interval => (true, None),
    };
    SetView { name: &set.name, key, interval, size, elements: ElementsView(&set.elements), origins: &set.origins }
}

fn chain(chain: &Chain) -> ChainView<'_> {
    let base =
        chain.base.map(|base| BaseView { kind: "filter", hook: base.hook, priority: base.priority, policy: "accept" });
    ChainView { name: &chain.name, base, rules: chain.rules.iter().map(rule).collect() }
}

fn rule(rule: &Rule) -> RuleView<'_> {
    RuleView {
        matches: rule.matches.iter().map(one_match).collect(),
        log: rule.log.as_deref(),
        counter: rule.counter,
        verdict: rule.verdict.as_ref().map(|verdict| match verdict {
            Verdict::Drop => VerdictView::Drop,
            Verdict::Reset => VerdictView::RejectWithTcpReset,
            Verdict::Return => VerdictView::Return,
            Verdict::Jump(chain) => VerdictView::Jump(chain),
            Verdict::Goto(chain) => VerdictView::Goto(chain),
        }),
        comment: rule.comment.as_deref(),
    }
}

fn one_match(one: &Match) -> MatchView<'_> {
    match one {
        Match::InInterface { names, negated } => MatchView::InInterface {
            names: names.iter().map(crate::net::Interface::as_str).collect(),
            negated: *negated,
        },
        Match::Source(Addresses::Set(name)) => MatchView::SourceSet(name),
        Match::Source(Addresses::Network(network)) => MatchView::SourceNetwork(network.to_string()),
        Match::Tcp { negated } => MatchView::Tcp { negated: *negated },
        Match::DestinationPort(PortMatch::Set(name)) => MatchView::DestinationPortSet(name),
        Match::DestinationPort(PortMatch::Ports(ports)) => {
            MatchView::DestinationPorts(ports.ranges().iter().map(ToString::to_string).collect())
        }
        Match::PortBlock(block) => MatchView::PortBlock { first: block.first, last: block.last() },
        Match::NotDirectlyTcp => MatchView::NotDirectlyTcp,
        Match::TcpFlags { mask, value } => {
            MatchView::TcpFlags { mask: mask.names().collect(), value: value.names().collect() }
        }
        Match::DestinationLocal => MatchView::DestinationLocal,
        Match::FirstFragment => MatchView::FirstFragment,
        Match::Limit { per_minute, burst } => MatchView::Limit { per_minute: *per_minute, burst: *burst },
    }
}

struct ElementsView<'a>(&'a Elements);

impl Serialize for ElementsView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Elements::Ports(list) => serializer.collect_seq(list.iter().map(ToString::to_string)),
            addresses => serializer.collect_seq(addresses.networks().iter().map(ToString::to_string)),
        }
    }
}
