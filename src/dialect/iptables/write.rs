//! IR → iptables-restore text.
//!
//! With `--noflush`, a chain declared in the file is emptied and filled anew, in one step for each table; chains that
//! are not declared stay as they are. So our own chains are declared, and the kernel's are only added to: in stanzas of
//! their own at the end, because iptables-restore can not add a jump only where it is missing.

use std::fmt;

use askama::Template;

use crate::ir::{Addresses, Family, Match, PortMatch, Rule, Ruleset, Table, TcpFlags, Verdict};

#[derive(Template)]
#[template(path = "iptables.txt")]
struct File<'a> {
    command: &'static str,
    header: &'a [String],
    sets: bool,
    tables: Vec<TableRow<'a>>,
}

struct TableRow<'a> {
    name: &'a str,
    chains: Vec<&'a str>,
    rules: Vec<String>,
    /// The shared chain and what is put into it.
    jumps: Vec<(&'a str, String)>,
}

/// The tables of one family as a file. `family` is `Ip` for iptables, `Ip6` for ip6tables.
pub fn write(ruleset: &Ruleset, family: Family) -> Result<String, fmt::Error> {
    let command = match family {
        Family::Ip | Family::Inet => "iptables",
        Family::Ip6 => "ip6tables",
    };
    let tables = ruleset.tables.iter().filter(|table| table.family == family).map(table_row).collect();
    let file = File { command, header: &ruleset.header, sets: !ruleset.sets.is_empty(), tables };
    let mut text = String::new();
    file.render_into(&mut text).map_err(|_| fmt::Error)?;
    Ok(text)
}

fn table_row(table: &Table) -> TableRow<'_> {
    let shared = |base: Option<crate::ir::Base>| base.is_some_and(|base| base.shared);
    let (doors, own): (Vec<_>, Vec<_>) = table.chains.iter().partition(|chain| shared(chain.base));
    let rules =
        own.iter().flat_map(|chain| chain.rules.iter().map(|rule| format!("-A {}{}", chain.name, rule_text(rule))));
    let jumps = doors.iter().flat_map(|chain| chain.rules.iter().map(|rule| (chain.name.as_str(), rule_text(rule))));
    TableRow {
        name: &table.name,
        chains: own.iter().map(|chain| chain.name.as_str()).collect(),
        rules: rules.collect(),
        jumps: jumps.collect(),
    }
}

/// A rule behind the name of its chain.
fn rule_text(rule: &Rule) -> String {
    let mut text: String = rule.matches.iter().map(match_text).collect();
    if let Some(comment) = &rule.comment {
        text.push_str(&format!(" -m comment --comment \"{comment}\""));
    }
    if let Some(prefix) = &rule.log {
        text.push_str(&format!(" -j LOG --log-prefix \"{prefix}\""));
    }
    text + &match &rule.verdict {
        None => String::new(),
        Some(Verdict::Drop) => " -j DROP".into(),
        // Refused in raw and mangle; the cluster file is refused before it comes to this.
        Some(Verdict::Reset) => " -j REJECT --reject-with tcp-reset".into(),
        Some(Verdict::Return) => " -j RETURN".into(),
        Some(Verdict::Jump(chain)) => format!(" -j {chain}"),
        Some(Verdict::Goto(chain)) => format!(" -g {chain}"),
    }
}

fn match_text(one: &Match) -> String {
    match one {
        Match::InInterface { names, negated } => {
            let not = if *negated { " !" } else { "" };
            names.iter().map(|name| format!("{not} -i {name}")).collect()
        }
        Match::Source(Addresses::Set(name)) => format!(" -m set --match-set {name} src"),
        Match::Source(Addresses::Network(network)) => format!(" -s {network}"),
        Match::Tcp { negated: false } => " -p tcp".into(),
        Match::Tcp { negated: true } => " ! -p tcp".into(),
        // Not the tcp match, which throws away every packet that is too short for a whole TCP header.
        Match::DestinationPort(PortMatch::Ports(ports)) => {
            let list: Vec<String> = ports.ranges().iter().map(|range| range.to_string().replace('-', ":")).collect();
            format!(" -p tcp -m multiport --dports {}", list.join(","))
        }
        Match::DestinationPort(PortMatch::Set(name)) => format!(" -p tcp -m set --match-set {name} dst"),
        Match::TcpFlags { mask, value } => format!(" -m tcp --tcp-flags {} {}", flags(*mask), flags(*value)),
        Match::DestinationLocal => " -m addrtype --dst-type LOCAL".into(),
        Match::FirstFragment => " -m frag --fragfirst".into(),
        Match::Limit { per_minute, burst } => format!(" -m limit --limit {per_minute}/minute --limit-burst {burst}"),
    }
}

fn flags(flags: TcpFlags) -> String {
    if flags.0 == 0 { "NONE".into() } else { flags.names().collect::<Vec<_>>().join(",").to_ascii_uppercase() }
}
