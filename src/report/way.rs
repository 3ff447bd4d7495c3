//! One packet's way through the rules.

use std::fmt::Write as _;

use serde::Serialize;

use crate::dialect::nft;
use crate::explain::{Explained, Fate, Passage};
use crate::ir::{Policy, Verdict};
use crate::net::Interface;
use crate::semantics::{Door, Outcome, Packet, Step};

/// A packet's way, and what becomes of it.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Way {
    /// Whether its port is one that is guarded.
    pub guarded: bool,
    /// The packet, in words.
    pub packet: String,
    /// In the end: `delivered`, `blocked` or `undecided`.
    #[cfg_attr(test, schemars(with = "String", extend("enum" = ["delivered", "blocked", "undecided"])))]
    pub fate: Fate,
    /// Door by door, as far as it comes.
    pub doors: Vec<AtDoor>,
    /// Whether it is for another host, so that what is behind is not judged.
    pub routed: bool,
    /// A part of the ruleset that keeps it from being certain.
    pub because: Option<String>,
    /// Who of the cluster file its source is, with the line.
    pub source: String,
    /// Why it comes in where it does, where nobody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrival: Option<String>,
    /// Interfaces on which it would be delivered, where it is blocked on this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub delivered_on: Vec<String>,
    /// Its source.
    #[serde(skip)]
    pub from: String,
    /// Its port.
    #[serde(skip)]
    pub port: u16,
}

/// What becomes of a packet by some rules.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Explanation {
    /// Whose rules these are: what the `kernel` holds now, what the `cluster-file` makes, or `files`.
    #[cfg_attr(test, schemars(extend("enum" = ["kernel", "cluster-file", "files"])))]
    pub rules: &'static str,
    /// In the end: `delivered`, `blocked` or `undecided`.
    #[cfg_attr(test, schemars(with = "String", extend("enum" = ["delivered", "blocked", "undecided"])))]
    pub fate: Fate,
    /// The packet, in words.
    pub packet: String,
    /// Where the fate hangs on the interface that it comes in on: each fate, and where it is that. Empty otherwise.
    pub by_interface: Vec<ByInterface>,
    /// The way, where it does not hang on that.
    pub way: Option<Way>,
}

/// A fate, and the interfaces that lead to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ByInterface {
    /// `delivered`, `blocked` or `undecided`.
    #[cfg_attr(test, schemars(with = "String", extend("enum" = ["delivered", "blocked", "undecided"])))]
    pub fate: Fate,
    /// By name.
    pub interfaces: Vec<String>,
    /// Whether also on interfaces that have no name here.
    pub any_other: bool,
}

/// What a packet meets at a door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AtDoor {
    /// `prerouting` or `input`.
    #[cfg_attr(test, schemars(extend("enum" = ["prerouting", "input", "output", "answers"])))]
    pub door: &'static str,
    /// The rules that apply, or may, and the ends of chains.
    pub steps: Vec<Met>,
    /// Whether it may pass.
    pub may_pass: bool,
    /// Whether it may be blocked.
    pub may_block: bool,
}

/// A rule that applies, or may; or the end of a base chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Met {
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// Whether it applies for certain.
    pub certain: bool,
    /// What it says; for the end of a chain, its policy.
    pub text: String,
}

impl Way {
    /// What was found of a packet whose source is this one.
    #[must_use]
    pub fn of(packet: &Packet, explained: &Explained<'_>, source: String, guarded: bool) -> Self {
        Self {
            guarded,
            packet: packet.to_string(),
            fate: explained.fate,
            doors: explained.passages.iter().map(AtDoor::of).collect(),
            routed: explained.is_routed,
            because: explained.uncertain.clone(),
            source,
            arrival: None,
            delivered_on: Vec::new(),
            from: packet.source.to_string(),
            port: packet.port,
        }
    }

    /// The same, with why it comes in where it does, and where else it would be delivered.
    #[must_use]
    pub fn arriving(self, arrival: Option<String>, delivered_on: Vec<String>) -> Self {
        Self { arrival, delivered_on, ..self }
    }

    /// The verdict, in the words of the cluster file.
    fn verdict(&self) -> String {
        let (from, port) = (&self.from, self.port);
        match (self.fate, self.guarded) {
            (Fate::Delivered, false) => {
                format!("NOT GUARDED: port {port} is of no service that is guarded, and no rule stands in the way")
            }
            (Fate::Delivered, true) => format!("PASSES: {from} is {}", self.source),
            (Fate::Blocked, false) => {
                format!("BLOCKED, and not by ringfence: port {port} is of no service that is guarded")
            }
            (Fate::Blocked, true) if !self.delivered_on.is_empty() => {
                format!(
                    "BLOCKED on this interface, and it would pass on {}: {from} is {}",
                    self.delivered_on.join(", "),
                    self.source
                )
            }
            (Fate::Blocked, true) => format!("BLOCKED: {from} is {}", self.source),
            (Fate::Undecided, false) => format!("UNDECIDED: port {port} is of no service that is guarded"),
            (Fate::Undecided, true) => format!("UNDECIDED: {from} is {}", self.source),
        }
    }

    /// Why it is so, in a line.
    fn why(&self) -> String {
        let why = match self.fate {
            Fate::Delivered => Some("no rule stands in the way".to_owned()),
            Fate::Blocked => self.doors.last().and_then(|door| door.steps.last()).map(Met::in_short),
            Fate::Undecided => self.because.as_ref().map(|part| format!("because of {part}")).or_else(|| {
                if self.routed {
                    return Some("it is for another host".to_owned());
                }
                self.doors.iter().flat_map(|door| &door.steps).find(|met| !met.certain).map(Met::in_short)
            }),
        };
        why.unwrap_or_else(|| fate_text(self.fate).to_owned())
    }

    /// Step by step.
    #[must_use]
    pub fn text(&self, whose: &str) -> String {
        let mut text = format!("{}\n{whose}: {}\n{}\n", self.verdict(), self.why(), self.packet);
        self.arrival.iter().for_each(|why| _ = writeln!(text, "{why}"));
        for AtDoor { door, steps, may_pass, may_block } in &self.doors {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "at {door}:");
            if steps.is_empty() {
                text.push_str("  no chain\n");
            }
            for Met { table, chain, certain, text: said } in steps {
                let doubt = if *certain { "" } else { " (perhaps)" };
                let _ = writeln!(text, "  {table} {chain}{doubt}: {said}");
            }
            text.push_str(match (may_pass, may_block) {
                (true, false) => "  passes\n",
                (false, _) => "  blocked\n",
                (true, true) => "  may pass or be blocked, depending on a part that is not understood\n",
            });
        }
        if self.routed {
            text.push_str("not for this host: routed on, if at all; the chains for that are not judged\n");
        }
        if let Some(part) = &self.because {
            let _ = writeln!(text, "undecided, because of: {part}");
        }
        let _ = writeln!(text, "source: {}", self.source);
        text
    }
}

fn fate_text(fate: Fate) -> &'static str {
    match fate {
        Fate::Delivered => "delivered",
        Fate::Blocked => "blocked",
        Fate::Undecided => "undecided",
    }
}

impl Explanation {
    /// One way, which is that on every interface that it may come in on.
    #[must_use]
    pub fn one(rules: &'static str, way: Way) -> Self {
        Self { rules, fate: way.fate, packet: way.packet.clone(), by_interface: Vec::new(), way: Some(way) }
    }

    /// Several fates, of which one comes of the interface.
    #[must_use]
    pub fn several(rules: &'static str, packet: &Packet, fates: &[(Option<&Interface>, Fate)]) -> Self {
        let by_interface = by_interface(fates);
        Self { rules, fate: Fate::Undecided, packet: anywhere(packet), by_interface, way: None }
    }

    /// All of it; whose rules these are, in words.
    #[must_use]
    pub fn text(&self, whose: &str) -> String {
        if let Some(way) = &self.way {
            return way.text(whose);
        }
        let fates = self.by_interface.iter().map(|ByInterface { fate, interfaces, any_other }| {
            let other = any_other.then_some("any other interface");
            let on: Vec<&str> = interfaces.iter().map(String::as_str).chain(other).collect();
            let fate = match fate {
                Fate::Delivered => "PASSES",
                Fate::Blocked => "BLOCKED",
                Fate::Undecided => "UNDECIDED",
            };
            format!("{fate} on {}", on.join(", "))
        });
        let fates: Vec<String> = fates.collect();
        format!(
            "{}\n{whose}: it depends on the interface that it comes in on; `--iif` names one\n{}\n",
            fates.join("; "),
            self.packet
        )
    }
}

/// The packet without the interface, which is not known.
fn anywhere(packet: &Packet) -> String {
    packet.to_string().replace(", in on an interface that no rule names", "")
}

/// The fates, each with the interfaces that lead to it.
fn by_interface(fates: &[(Option<&Interface>, Fate)]) -> Vec<ByInterface> {
    let mut all = Vec::new();
    for fate in [Fate::Delivered, Fate::Blocked, Fate::Undecided] {
        let on: Vec<_> = fates.iter().filter(|(_, own)| *own == fate).map(|(interface, _)| *interface).collect();
        if !on.is_empty() {
            let interfaces = on.iter().flatten().map(|name| name.as_str().to_owned()).collect();
            all.push(ByInterface { fate, interfaces, any_other: on.contains(&None) });
        }
    }
    all
}

impl AtDoor {
    fn of(passage: &Passage<'_>) -> Self {
        let Outcome { may_pass, may_block } = passage.outcome;
        Self {
            door: match passage.door {
                Door::BeforeTranslation | Door::Prerouting | Door::Wire | Door::Translated => "prerouting",
                Door::Input => "input",
                Door::AnswersLeave | Door::RequestsLeave | Door::RequestsTranslated => "output",
                Door::AnswersArrive => "answers",
            },
            steps: passage.steps.iter().filter_map(Met::of).collect(),
            may_pass,
            may_block,
        }
    }
}

impl Met {
    fn in_short(&self) -> String {
        if self.text.starts_with("rule with handle ") {
            return format!("the {}", self.text);
        }
        format!("{}, in chain {} of table {}", self.text, self.chain, self.table)
    }

    fn of(step: &Step<'_>) -> Option<Self> {
        let said = |certain, text| {
            let table = step.table.title();
            Some(Self { table, chain: step.chain.name.clone(), certain, text })
        };
        let Some(rule) = step.rule else {
            let policy = if step.chain.base?.policy == Policy::Drop { "drop" } else { "accept" };
            return said(true, format!("end of the chain, policy {policy}"));
        };
        let text = match &rule.place {
            Some(place) => nft::placed(step.table, rule, place),
            None => rule.comment.clone().unwrap_or_else(|| verdict_text(rule.verdict.as_ref())),
        };
        said(step.certain, text)
    }
}

fn verdict_text(verdict: Option<&Verdict>) -> String {
    match verdict {
        None => "no verdict".into(),
        Some(Verdict::Accept) => "accept".into(),
        Some(Verdict::Drop) => "drop".into(),
        Some(Verdict::Reject(_)) => "reject".into(),
        Some(Verdict::Return) => "return".into(),
        Some(Verdict::Jump(chain)) => format!("jump {chain}"),
        Some(Verdict::Goto(chain)) => format!("goto {chain}"),
        Some(Verdict::Unknown(text)) => text.clone(),
    }
}
