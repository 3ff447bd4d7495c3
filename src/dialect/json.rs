//! JSON: the IR itself, for other programs. Its shape is versioned by [`SCHEMA`].

use serde::{Serialize, Serializer};
use serde_json::Error;

use crate::ir::{
    Addresses, Chain, ConnectionStates, Elements, End, Foreign, Marked, Match, PacketTypes, PortMatch, Reject, Rule,
    Ruleset, SCHEMA, Set, SetKind, Side, Statement, Table, Verdict,
};

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
    kind: crate::ir::ChainKind,
    hook: crate::ir::Hook,
    priority: i32,
    policy: crate::ir::Policy,
}

#[derive(Serialize)]
struct RuleView<'a> {
    #[serde(rename = "match")]
    matches: Vec<MatchView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a str>,
    counter: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statements: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<VerdictView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum MatchView<'a> {
    InInterface { names: Vec<&'a str>, negated: bool },
    Source { addresses: AddressesView<'a>, negated: bool },
    Destination { addresses: AddressesView<'a>, negated: bool },
    Family(crate::ir::Family),
    Protocol { number: u8, negated: bool },
    ConnectionState { states: Vec<&'static str>, negated: bool },
    DestinationPort { ports: PortsView<'a>, negated: bool },
    PortBlock { first: u16, last: u16 },
    FlagBit { flag: Vec<&'static str>, set: bool },
    NotDirectlyTcp,
    PerhapsDirectlyTcp,
    TcpFlags { mask: Vec<&'static str>, value: Vec<&'static str> },
    DestinationTranslated,
    OriginalPort { ports: PortsView<'a> },
    DestinationLocal,
    DestinationOfInterface,
    PacketType { types: Vec<&'static str>, negated: bool },
    FirstFragment,
    Limit { per_minute: u32, burst: u32 },
    InterfaceName { side: &'static str, names: Vec<String>, negated: bool },
    Hung { devices: Vec<String> },
    SourcePort { ports: PortsView<'a>, negated: bool },
    Endpoint { set: &'a str, ends: Vec<&'static str>, negated: bool },
    Mark { of: &'static str, mask: u32, value: u32, negated: bool },
    Translated { end: &'static str, negated: bool },
    Direction { reply: bool },
    ExtensionHeader(&'a str),
    DestinationType { types: Vec<&'static str>, negated: bool },
    SourceType { types: Vec<&'static str>, negated: bool },
    LaterFragment { negated: bool },
    WayBack { same_interface: bool, missing: bool },
    InterfaceGroup { side: &'static str, group: u32, negated: bool },
    PartOfVrf { name: String, negated: bool },
    Varies { by: &'static str, text: &'a str },
    Unknown(&'a str),
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum AddressesView<'a> {
    Set(&'a str),
    These(ElementsView<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum PortsView<'a> {
    Set(&'a str),
    These(Vec<String>),
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum VerdictView<'a> {
    Accept,
    Unknown(&'a str),
    Drop,
    RejectWithTcpReset,
    Reject,
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
        Elements::Endpoints(_) => "endpoint",
        Elements::Dual(..) => "ipv4_addr or ipv6_addr",
        Elements::Passing(_) => "unknown",
        Elements::Unknown => "unknown",
    };
    let (interval, size) = match set.kind {
        SetKind::Hash { size } => (false, size),
        SetKind::Interval => (true, None),
    };
    SetView { name: &set.name, key, interval, size, elements: ElementsView(&set.elements), origins: &set.origins }
}

fn chain(chain: &Chain) -> ChainView<'_> {
    let base = chain.base.map(|base| BaseView {
        kind: base.kind,
        hook: base.hook,
        priority: base.priority,
        policy: base.policy,
    });
    ChainView { name: &chain.name, base, rules: chain.rules.iter().map(rule).collect() }
}

/// Whether a statement has no key of its own.
fn is_special(one: &Statement) -> bool {
    !matches!(one, Statement::Counter(_) | Statement::Log(_))
}

fn rule(rule: &Rule) -> RuleView<'_> {
    RuleView {
        matches: rule.matches.iter().map(one_match).collect(),
        log: rule.log(),
        counter: rule.counts(),
        statements: rule.statements.iter().filter(|one| is_special(one)).map(Statement::name).collect(),
        verdict: rule.verdict.as_ref().map(|verdict| match verdict {
            Verdict::Accept => VerdictView::Accept,
            Verdict::Unknown(text) => VerdictView::Unknown(text),
            Verdict::Drop => VerdictView::Drop,
            Verdict::Reject(Reject::TcpReset) => VerdictView::RejectWithTcpReset,
            Verdict::Reject(Reject::Icmp) => VerdictView::Reject,
            Verdict::Return => VerdictView::Return,
            Verdict::Jump(chain) => VerdictView::Jump(chain),
            Verdict::Goto(chain) => VerdictView::Goto(chain),
        }),
        comment: rule.comment.as_deref(),
    }
}

fn addresses(addresses: &Addresses) -> AddressesView<'_> {
    match addresses {
        Addresses::Set(name) => AddressesView::Set(name),
        Addresses::These(elements) => AddressesView::These(ElementsView(elements)),
    }
}

fn ports(ports: &PortMatch) -> PortsView<'_> {
    match ports {
        PortMatch::Set(name) => PortsView::Set(name),
        PortMatch::Ports(ports) => PortsView::These(ports.ranges().iter().map(ToString::to_string).collect()),
    }
}

fn states(states: ConnectionStates) -> Vec<&'static str> {
    ConnectionStates::ALL.iter().filter(|(state, _)| states.has(*state)).map(|(_, name)| *name).collect()
}

fn one_match(one: &Match) -> MatchView<'_> {
    match one {
        Match::InInterface { names, negated } => MatchView::InInterface {
            names: names.iter().map(crate::net::Interface::as_str).collect(),
            negated: *negated,
        },
        Match::Source { addresses: list, negated } => {
            MatchView::Source { addresses: addresses(list), negated: *negated }
        }
        Match::Destination { addresses: list, negated } => {
            MatchView::Destination { addresses: addresses(list), negated: *negated }
        }
        Match::Family(family) => MatchView::Family(*family),
        Match::Protocol { number, negated } => MatchView::Protocol { number: *number, negated: *negated },
        Match::ConnectionState { states: list, negated } => {
            MatchView::ConnectionState { states: states(*list), negated: *negated }
        }
        Match::DestinationPort { ports: list, negated } => {
            MatchView::DestinationPort { ports: ports(list), negated: *negated }
        }
        Match::PortBlock(block) => MatchView::PortBlock { first: block.first, last: block.last() },
        Match::FlagBit { flag, set } => MatchView::FlagBit { flag: flag.names().collect(), set: *set },
        Match::NotDirectlyTcp => MatchView::NotDirectlyTcp,
        Match::PerhapsDirectlyTcp => MatchView::PerhapsDirectlyTcp,
        Match::TcpFlags { mask, value } => {
            MatchView::TcpFlags { mask: mask.names().collect(), value: value.names().collect() }
        }
        Match::DestinationTranslated => MatchView::DestinationTranslated,
        Match::OriginalPort(list) => MatchView::OriginalPort { ports: ports(list) },
        Match::DestinationLocal => MatchView::DestinationLocal,
        Match::DestinationOfInterface => MatchView::DestinationOfInterface,
        Match::PacketType { types, negated } => MatchView::PacketType {
            types: PacketTypes::ALL.iter().filter(|(one, _)| types.has(*one)).map(|(_, name)| *name).collect(),
            negated: *negated,
        },
        Match::FirstFragment => MatchView::FirstFragment,
        Match::Limit { per_minute, burst } => MatchView::Limit { per_minute: *per_minute, burst: *burst },
        Match::Foreign(one) => foreign(one),
        Match::Unknown(text) => MatchView::Unknown(text),
    }
}

fn end_name(end: End) -> &'static str {
    match end {
        End::Source => "source",
        End::Destination => "destination",
    }
}

fn foreign(one: &Foreign) -> MatchView<'_> {
    match one {
        Foreign::Device { side, names, negated } => MatchView::InterfaceName {
            side: match side {
                Side::In => "in",
                Side::Out => "out",
            },
            names: names.iter().map(ToString::to_string).collect(),
            negated: *negated,
        },
        Foreign::Hung(names) => MatchView::Hung { devices: names.iter().map(ToString::to_string).collect() },
        Foreign::SourcePort { ports: list, negated } => MatchView::SourcePort { ports: ports(list), negated: *negated },
        Foreign::Endpoint { set, ends, negated } => {
            MatchView::Endpoint { set, ends: ends.iter().map(|end| end_name(*end)).collect(), negated: *negated }
        }
        Foreign::Mark { of, mask, value, negated } => MatchView::Mark {
            of: match of {
                Marked::Packet => "packet",
                Marked::Connection => "connection",
            },
            mask: *mask,
            value: *value,
            negated: *negated,
        },
        Foreign::Translated { end, negated } => MatchView::Translated { end: end_name(*end), negated: *negated },
        Foreign::Direction { reply } => MatchView::Direction { reply: *reply },
        Foreign::ExtensionHeader(text) => MatchView::ExtensionHeader(text),
        Foreign::DestinationType { types, negated } => {
            MatchView::DestinationType { types: types.names().collect(), negated: *negated }
        }
        Foreign::SourceType { types, negated } => {
            MatchView::SourceType { types: types.names().collect(), negated: *negated }
        }
        Foreign::LaterFragment { negated } => MatchView::LaterFragment { negated: *negated },
        Foreign::WayBack { same_interface, missing } => {
            MatchView::WayBack { same_interface: *same_interface, missing: *missing }
        }
        Foreign::Group { side, group, negated } => MatchView::InterfaceGroup {
            side: match side {
                Side::In => "in",
                Side::Out => "out",
            },
            group: *group,
            negated: *negated,
        },
        Foreign::PartOfVrf { name, negated } => MatchView::PartOfVrf { name: name.to_string(), negated: *negated },
        Foreign::Varies { on, text } => MatchView::Varies { by: on.words(), text },
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
