//! What the rules of a whole host mean for a cluster.

use std::fmt::Write as _;

use serde::Serialize;

use crate::ir::owner;
use crate::verify::{Answer, By, Direction, Named, Reached, Shown, Stage, Who};

/// The answers to every question about a site.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Whole {
    /// Each of them.
    pub answers: Vec<Answered>,
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Answered {
    /// `peers`, a client's name, or `others`.
    pub who: String,
    /// Whether this host is asked (`in`), or asks (`out`).
    #[cfg_attr(test, schemars(extend("enum" = ["in", "out"])))]
    pub direction: &'static str,
    /// The service's name.
    pub service: String,
    /// Its ports.
    pub ports: Vec<String>,
    /// `reaches`, `blocked`, `led-elsewhere` or `undecided`.
    #[cfg_attr(test, schemars(extend("enum" = ["reaches", "blocked", "led-elsewhere", "undecided"])))]
    pub result: &'static str,
    /// Whether it is as the cluster file wants it.
    pub good: bool,
    /// Whether rules of somebody else are why it is not, for certain.
    #[serde(skip)]
    pub shadow: bool,
    /// The peers that are blocked for certain, by name; of more than a thousand nodes none is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub whom: Vec<String>,
    /// The packet that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<String>,
    /// What decides, or keeps it from being decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// What stands before the name of one of several clusters. No client is called so: names have no spaces but before what is in brackets.
const PEERS_OF: &str = "peers of ";

impl Answered {
    /// An answer in words.
    #[must_use]
    pub fn of(answer: &Answer) -> Self {
        let (result, shown) = match &answer.reached {
            Reached::Yes => ("reaches", None),
            Reached::No => ("blocked", None),
            Reached::Wrongly(shown) | Reached::OnPurpose(shown) => ("reaches", Some(shown)),
            Reached::Blocked(shown) => ("blocked", Some(shown)),
            Reached::Led(shown) => ("led-elsewhere", Some(shown)),
            Reached::Undecided(shown) => ("undecided", Some(shown)),
            Reached::Unjudged(_) => ("undecided", None),
        };
        let part = if let Reached::Unjudged(part) = &answer.reached { Some(part.clone()) } else { None };
        Self {
            who: match &answer.who {
                Who::Peers => "peers".to_owned(),
                Who::PeersOf(name) => format!("{PEERS_OF}{name}"),
                Who::Client(name) => name.clone(),
                Who::Others => "others".to_owned(),
            },
            direction: match answer.direction {
                Direction::In => "in",
                Direction::Out => "out",
            },
            service: answer.service.clone(),
            ports: answer.ports.ranges().iter().map(ToString::to_string).collect(),
            result,
            good: answer.is_good(),
            shadow: answer.is_shadow(),
            whom: answer.whom.clone(),
            packet: shown.map(|shown| packet(shown, answer.direction)),
            because: part.or_else(|| shown.map(|shown| because(shown, result))),
        }
    }

    /// Whether the answer is certain, whatever it is.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.result != "undecided"
    }

    /// Whether it is about those who are not admitted.
    #[must_use]
    pub fn is_about_others(&self) -> bool {
        self.who == "others"
    }

    /// Answers, of which those are put into one that say the same of several services.
    #[must_use]
    pub fn alike(answers: &[Self]) -> Vec<Alike<'_>> {
        let mut all: Vec<Alike<'_>> = Vec::new();
        for answer in answers {
            let same = |one: &Self| {
                (&one.who, one.direction, one.result, &one.whom, &one.because)
                    == (&answer.who, answer.direction, answer.result, &answer.whom, &answer.because)
            };
            match all.iter_mut().find(|alike| same(alike.first)) {
                Some(alike) => alike.services.push(answer.asked()),
                None => all.push(Alike { first: answer, services: vec![answer.asked()] }),
            }
        }
        all
    }

    fn asked(&self) -> String {
        format!("{} ({})", self.service, self.ports.join(","))
    }

    fn question(&self, services: &str) -> String {
        if let Some(name) = self.who.strip_prefix(PEERS_OF) {
            return match self.direction {
                "out" => format!("this host reaches its peers of {name} at {services}"),
                _ => format!("peers of {name} reach {services}"),
            };
        }
        match (self.who.as_str(), self.direction) {
            ("others", _) => format!("nobody else reaches {services}"),
            (_, "out") => format!("this host reaches its peers' {services}"),
            ("peers", _) => format!("peers reach {services}"),
            (client, _) => format!("client {client} reaches {services}"),
        }
    }

    fn text(&self, services: &str) -> String {
        let word = match (self.good, self.is_certain()) {
            (true, _) => "yes",
            (false, false) => "UNDECIDED",
            (false, true) => "NO",
        };
        let mut text = format!("  {word:9} {}\n", self.question(services));
        let whom = (!self.whom.is_empty()).then(|| listed(&self.whom));
        for (name, value) in [("blocked", &whom), ("packet", &self.packet), ("because", &self.because)] {
            if let Some(value) = value {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "            {name}: {value}");
            }
        }
        text
    }
}

/// Answers that say the same of several services.
pub struct Alike<'a> {
    first: &'a Answered,
    services: Vec<String>,
}

impl Alike<'_> {
    /// Line by line.
    #[must_use]
    pub fn text(&self) -> String {
        self.first.text(&self.services.join(", "))
    }

    /// In one line.
    #[must_use]
    pub fn line(&self) -> String {
        let question = self.first.question(&self.services.join(", "));
        let because = self.first.because.as_ref().map_or_else(String::new, |because| format!(", because of {because}"));
        let whom = &self.first.whom;
        let whom = if whom.is_empty() { String::new() } else { format!(" ({} blocked)", listed(whom)) };
        format!("it is not so that {question}{whom}{because}")
    }
}

/// So many names stand in a line.
const MOST_LISTED: usize = 4;

fn listed(names: &[String]) -> String {
    let (first, rest) = names.split_at(names.len().min(MOST_LISTED));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    format!("{}{more}", first.join(", "))
}

/// The packet, told from whoever opens the connection.
fn packet(shown: &Shown, direction: Direction) -> String {
    let packet = &shown.packet;
    match direction {
        Direction::In => packet.to_string(),
        Direction::Out => {
            let by = packet.interface.as_ref().map_or_else(String::new, |name| format!(", out on {name}"));
            format!("tcp from this host to {} port {}{by}", packet.source, packet.port)
        }
    }
}

fn because(shown: &Shown, result: &str) -> String {
    match &shown.by {
        Some(by) => said(by),
        None if result == "undecided" => "in fragments, or with extension headers, it may get by".to_owned(),
        None => "no rule stands in the way".to_owned(),
    }
}

fn said(by: &By) -> String {
    let stage = match by.stage {
        Stage::In => "",
        Stage::Translation => "led elsewhere by ",
        Stage::Out => "on the way out: ",
    };
    let owner = owner(&by.table, &by.chain).map_or_else(String::new, |owner| format!(", made by {owner}"));
    let legacy = if by.legacy { " of iptables-legacy" } else { "" };
    let place = format!("chain {} of table {}{legacy}{owner}", by.chain, by.table);
    match &by.rule {
        Some(Named::Line(line, text)) => format!("{stage}line {line} in {place}: {text}"),
        Some(Named::Handle(text)) => format!("{stage}the {text}{owner}"),
        Some(Named::Remark(text)) if !text.is_empty() => format!("{stage}a rule in {place}: {text}"),
        Some(Named::Remark(_)) => format!("{stage}a rule in {place}"),
        None => format!("{stage}the policy of {place}"),
    }
}

impl Whole {
    /// The answers in words.
    #[must_use]
    pub fn of(answers: &[Answer]) -> Self {
        Self { answers: answers.iter().map(Answered::of).collect() }
    }

    /// Whether everything is as the cluster file wants it.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.answers.iter().all(|answer| answer.good)
    }

    /// Line by line; what is not as it should be with the packet and the rule.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from("on the whole host, with all its rules:\n");
        self.answers.iter().for_each(|answer| text.push_str(&answer.text(&answer.asked())));
        text.push_str(TAKEN_FOR_GRANTED);
        text
    }
}

/// What the answers rest on besides the rules.
const TAKEN_FOR_GRANTED: &str = "\
taken for granted: whom the file names asks from ports 32768 to 60999, without marks, by the interface that the way back to it
leads out of, and finds its neighbours where ICMPv6 passes at all; nobody else is part of a connection that had begun before,
and from other interfaces nothing comes with a loopback address, which Linux drops unless net.ipv4.conf.*.route_localnet is set.
What stands beside netfilter (XDP, tc, other namespaces) is not in rules.
";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::{self, Site};
    use crate::dialect::iptables;
    use crate::ir::Family;
    use crate::net::Surroundings;
    use crate::verify::whole;

    fn answered(rules: &str, legacy: bool) -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/mail-east/cluster.toml");
        let cluster = cluster::load(&file).unwrap().cluster.unwrap();
        let mut read = iptables::read(rules, Family::Ip).unwrap().ruleset;
        read.tables.iter_mut().for_each(|table| table.legacy = legacy);
        let site = Site::of_node(&cluster, &cluster.nodes()[0]);
        Whole::of(&whole(&read, &site, &Surroundings::default()).unwrap()).text()
    }

    /// Who of the peers is shut out, and in which of the two tables that have that name.
    #[test]
    fn who_is_shut_out_and_by_which_variant_is_told() {
        let rules = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 10.20.0.12/32 -j DROP\nCOMMIT\n";
        let (of_nft, legacy) = (answered(rules, false), answered(rules, true));
        assert!(of_nft.contains("            blocked: riak@10.20.0.12\n"), "{of_nft}");
        assert!(of_nft.contains("in chain INPUT of table ip filter: -A INPUT -s"), "{of_nft}");
        assert!(legacy.contains("in chain INPUT of table ip filter of iptables-legacy: -A INPUT -s"), "{legacy}");
    }
}
