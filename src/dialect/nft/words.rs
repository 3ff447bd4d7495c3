//! A rule for a reader, whatever is in it.

use super::write::{match_text, verdict_text};
use crate::ir::{
    AddressTypes, Addresses, DeviceName, End, Foreign, Marked, Match, Place, PortMatch, Reject, Rule, Side, Table,
    Verdict,
};

/// Where a rule stands, and, where the kernel gave it a number and no text, what it says. What no text of nft is written for here stands
/// in brackets.
#[must_use]
pub fn placed(table: &Table, rule: &Rule, place: &Place) -> String {
    let words = if place.line == 0 && place.handle.is_some() { words(table, rule) } else { String::new() };
    if words.is_empty() { place.described() } else { format!("{}: {words}", place.described()) }
}

fn words(table: &Table, rule: &Rule) -> String {
    let tests = rule.matches.iter().map(|one| match_text(table, one).unwrap_or_else(|_| format!("[{}]", named(one))));
    let mut parts: Vec<String> = tests.filter(|text| text != NOTHING).collect();
    parts.extend(rule.statements.iter().map(|one| one.name().to_owned()));
    let open = |text: &str| format!("[{text}]");
    parts.extend(rule.verdict.as_ref().map(|verdict| match verdict {
        Verdict::Reject(Reject::Icmp) => "reject".to_owned(),
        other => verdict_text(other).unwrap_or_else(|what| open(&what)),
    }));
    parts.extend(rule.comment.as_ref().map(|comment| format!("comment \"{comment}\"")));
    parts.join(" ")
}

/// What a chain says of all its rules.
const NOTHING: &str = "[]";

fn named(one: &Match) -> String {
    let not = |negated: bool| if negated { "not " } else { "" };
    let list = |names: &[DeviceName]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match one {
        Match::Source { addresses: Addresses::Set(name), negated } => format!("{}from set {name}", not(*negated)),
        Match::Destination { addresses: Addresses::Set(name), negated } => format!("{}to set {name}", not(*negated)),
        Match::Source { .. } | Match::Destination { .. } => "some addresses".to_owned(),
        Match::Unknown(text) => text.clone(),
        Match::Foreign(foreign) => match foreign {
            Foreign::Device { side: Side::In, names, negated } => format!("{}in by {}", not(*negated), list(names)),
            Foreign::Device { side: Side::Out, names, negated } => format!("{}out by {}", not(*negated), list(names)),
            Foreign::Hung(_) => String::new(),
            Foreign::SourcePort { ports: PortMatch::Ports(ports), negated } => {
                format!("{}from TCP ports {ports}", not(*negated))
            }
            Foreign::SourcePort { ports: PortMatch::Set(name), negated } => {
                format!("{}from TCP ports of set {name}", not(*negated))
            }
            Foreign::Endpoint { set, negated, .. } => format!("{}in set {set}", not(*negated)),
            Foreign::Mark { of, mask, value, negated } => {
                let of = match of {
                    Marked::Packet => "meta mark",
                    Marked::Connection => "ct mark",
                };
                format!("{of} & {mask:#x} {} {value:#x}", if *negated { "!=" } else { "==" })
            }
            Foreign::Translated { end: End::Source, negated } => format!("{}ct status snat", not(*negated)),
            Foreign::Translated { end: End::Destination, negated } => format!("{}ct status dnat", not(*negated)),
            Foreign::Direction { reply: true } => "ct direction reply".to_owned(),
            Foreign::Direction { reply: false } => "ct direction original".to_owned(),
            Foreign::ExtensionHeader(text) => text.clone(),
            Foreign::DestinationType { types, negated } => format!("{}to {}", not(*negated), kinds(*types)),
            Foreign::SourceType { types, negated } => format!("{}from {}", not(*negated), kinds(*types)),
            Foreign::LaterFragment { negated } => format!("{}a later fragment", not(*negated)),
            Foreign::WayBack { same_interface, missing } => {
                let by = if *same_interface { " by the same interface" } else { "" };
                format!("{} way back{by}", if *missing { "no" } else { "a" })
            }
            Foreign::Group { side: Side::In, group, negated } => format!("{}iifgroup {group}", not(*negated)),
            Foreign::Group { side: Side::Out, group, negated } => format!("{}oifgroup {group}", not(*negated)),
            Foreign::PartOfVrf { name, negated } => format!("{}sdifname {name}", not(*negated)),
            Foreign::Varies { on, .. } => on.words().to_owned(),
        },
        _ => "a test".to_owned(),
    }
}

fn kinds(types: AddressTypes) -> String {
    types.names().collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Elements, Family, Statement, Varying};

    #[test]
    fn a_rule_of_the_kernel_is_told_with_what_it_says() {
        let table =
            Table { family: Family::Ip, name: "filter".into(), legacy: false, sets: Vec::new(), chains: Vec::new() };
        let address = "10.9.0.6".parse().unwrap();
        let from = Match::Source { addresses: Addresses::network(address), negated: false };
        let text = "rule with handle 53 of chain INPUT of table ip filter".to_owned();
        let place = |handle| Place { line: 0, handle, text: text.clone() };
        let rule = Rule {
            matches: vec![
                Match::Foreign(Foreign::Hung(Vec::new())),
                from,
                Match::varies(Varying::Rate, "0a 0b"),
                Match::Unknown("bpf".into()),
                Match::Source { addresses: Addresses::Set("bans".into()), negated: true },
            ],
            statements: vec![Statement::Counter(None)],
            verdict: Some(Verdict::Drop),
            ..Rule::default()
        };
        assert_eq!(
            placed(&table, &rule, &place(Some(53))),
            format!(
                "{text}: ip saddr 10.9.0.6 [how many packets come in a time] [bpf] [not from set bans] counter drop"
            )
        );
        // What comes of a text says it there.
        assert_eq!(placed(&table, &rule, &place(None)), text);
        let nothing = Elements::Ipv4(Vec::new());
        let odd = Match::Destination { addresses: Addresses::These(nothing), negated: false };
        let rule = Rule { matches: vec![odd], verdict: Some(Verdict::Unknown("TARPIT".into())), ..Rule::default() };
        assert_eq!(placed(&table, &rule, &place(Some(1))), format!("{text}: ip daddr {{  }} [TARPIT]"));
    }
}
