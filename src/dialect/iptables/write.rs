//! IR → iptables-restore text.
//!
//! With `--noflush`, a chain declared in the file is emptied and filled anew, in one step for each table; chains that
//! are not declared stay as they are. So our own chains are declared, and the kernel's are only added to: in stanzas of
//! their own at the end, because iptables-restore can not add a jump only where it is missing.

use askama::Template;
use thiserror::Error;

use crate::ir::{Addresses, ConnectionStates, Family, Match, PortMatch, Rule, Ruleset, Table, TcpFlags, Verdict};

#[derive(Template)]
#[template(path = "iptables.txt")]
struct File<'a> {
    command: &'static str,
    family: &'static str,
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

/// Why a ruleset cannot be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The ruleset says something that iptables cannot say here.
    #[error("iptables has no way to say: {0}")]
    Inexpressible(&'static str),
    /// A text could leave its comment or its name.
    #[error("this text is not fit to be written into a ruleset: {0:?}")]
    Text(String),
    /// The template failed.
    #[error(transparent)]
    Template(#[from] askama::Error),
}

/// The tables of one family as a file. `family` is `Ip` for iptables, `Ip6` for ip6tables.
pub fn write(ruleset: &Ruleset, family: Family) -> Result<String, WriteError> {
    if let Some(text) = ruleset.unfit_text() {
        return Err(WriteError::Text(text.to_owned()));
    }
    let (command, name) = match family {
        Family::Ip | Family::Inet | Family::Netdev => ("iptables", "IPv4"),
        Family::Ip6 => ("ip6tables", "IPv6"),
    };
    let tables = ruleset.tables.iter().filter(|table| table.family == family);
    let tables = tables.map(table_row).collect::<Result<_, _>>()?;
    let file = File { command, family: name, header: &ruleset.header, sets: !ruleset.sets.is_empty(), tables };
    let mut text = String::new();
    file.render_into(&mut text)?;
    Ok(text)
}

/// A rule in one line, from behind the name of its chain.
///
/// # Errors
/// Where iptables cannot say it.
pub fn rule_line(rule: &Rule) -> Result<String, WriteError> {
    Ok(rule_text(rule)?.trim_start().to_owned())
}

fn table_row(table: &Table) -> Result<TableRow<'_>, WriteError> {
    let mut row = TableRow { name: &table.name, chains: Vec::new(), rules: Vec::new(), jumps: Vec::new() };
    for chain in &table.chains {
        let shared = chain.base.is_some_and(|base| base.shared);
        if !shared {
            row.chains.push(&chain.name);
        }
        for rule in &chain.rules {
            let text = rule_text(rule)?;
            if shared {
                row.jumps.push((&chain.name, text));
            } else {
                row.rules.push(format!("-A {}{text}", chain.name));
            }
        }
    }
    Ok(row)
}

/// A rule behind the name of its chain.
fn rule_text(rule: &Rule) -> Result<String, WriteError> {
    let mut text = String::new();
    // A test of ports names the protocol, and it must not be named twice.
    let named = |one: &Match| matches!(one, Match::DestinationPort { .. } | Match::Protocol { .. });
    if rule.matches.iter().any(|one| matches!(one, Match::TcpFlags { .. })) && !rule.matches.iter().any(named) {
        text.push_str(" -p tcp");
    }
    for one in &rule.matches {
        text.push_str(&match_text(one)?);
    }
    if let Some(comment) = &rule.comment {
        text.push_str(&format!(" -m comment --comment \"{comment}\""));
    }
    if rule.unwritable().is_some() {
        return Err(WriteError::Inexpressible("a statement other than a log"));
    }
    let target = match (rule.log(), &rule.verdict) {
        (Some(_), Some(_)) => return Err(WriteError::Inexpressible("log and decide in one rule")),
        (Some(prefix), None) => format!(" -j LOG --log-prefix \"{prefix}\""),
        (None, None) => String::new(),
        (None, Some(Verdict::Unknown(_))) => return Err(WriteError::Inexpressible("what was read and not understood")),
        (None, Some(Verdict::Accept)) => " -j ACCEPT".into(),
        (None, Some(Verdict::Drop)) => " -j DROP".into(),
        (None, Some(Verdict::Reject(_))) => {
            return Err(WriteError::Inexpressible("reject in the tables raw and mangle"));
        }
        (None, Some(Verdict::Return)) => " -j RETURN".into(),
        (None, Some(Verdict::Jump(chain))) => format!(" -j {chain}"),
        (None, Some(Verdict::Goto(chain))) => format!(" -g {chain}"),
    };
    Ok(text + &target)
}

fn match_text(one: &Match) -> Result<String, WriteError> {
    Ok(match one {
        Match::InInterface { names, negated } => match names.as_slice() {
            [name] => format!("{} -i {name}", if *negated { " !" } else { "" }),
            _ => return Err(WriteError::Inexpressible("several interfaces in one rule")),
        },
        Match::Source { addresses, negated } => address_text("-s", "src", addresses, *negated)?,
        Match::Destination { addresses, negated } => address_text("-d", "dst", addresses, *negated)?,
        Match::Family(_) => return Err(WriteError::Inexpressible("the family of a packet")),
        Match::Protocol { number, negated } => {
            let name = if *number == 6 { "tcp".to_owned() } else { number.to_string() };
            format!("{} -p {name}", if *negated { " !" } else { "" })
        }
        Match::ConnectionState { states, negated } => {
            let names = ConnectionStates::ALL.iter().filter(|(state, _)| states.has(*state)).map(|(_, name)| *name);
            let names = names.collect::<Vec<_>>().join(",").to_ascii_uppercase();
            format!(" -m conntrack{} --ctstate {names}", if *negated { " !" } else { "" })
        }
        // Not the tcp match, which throws away every packet that is too short for a whole TCP header.
        Match::DestinationPort { ports: PortMatch::Ports(ports), negated } => {
            let list: Vec<String> = ports.ranges().iter().map(|range| range.to_string().replace('-', ":")).collect();
            format!(" -p tcp -m multiport{} --dports {}", if *negated { " !" } else { "" }, list.join(","))
        }
        Match::DestinationPort { ports: PortMatch::Set(_), .. } => {
            return Err(WriteError::Inexpressible("ports in a set"));
        }
        Match::PortBlock(_) => return Err(WriteError::Inexpressible("a block of ports")),
        Match::FlagBit { .. } => return Err(WriteError::Inexpressible("a single bit of a transport header")),
        Match::NotDirectlyTcp => return Err(WriteError::Inexpressible("the next header of IPv6")),
        Match::TcpFlags { mask, value } => format!(" -m tcp --tcp-flags {} {}", flags(*mask), flags(*value)),
        Match::DestinationTranslated => " -m conntrack --ctstate DNAT --ctdir ORIGINAL".into(),
        Match::OriginalPort(PortMatch::Ports(ports)) => match ports.ranges() {
            [one] => format!(" -m conntrack --ctorigdstport {}", one.to_string().replace('-', ":")),
            _ => return Err(WriteError::Inexpressible("several original ports in one rule")),
        },
        Match::OriginalPort(PortMatch::Set(_)) => return Err(WriteError::Inexpressible("ports in a set")),
        Match::DestinationLocal => " -m addrtype --dst-type LOCAL".into(),
        Match::PerhapsDirectlyTcp => return Err(WriteError::Inexpressible("a test that was perhaps lost")),
        Match::PacketType { .. } => return Err(WriteError::Inexpressible("the type of a packet")),
        Match::DestinationOfInterface => " -m addrtype --dst-type LOCAL --limit-iface-in".into(),
        Match::FirstFragment => " -m frag --fragfirst".into(),
        Match::Foreign(_) => return Err(WriteError::Inexpressible("a test of somebody else's rule")),
        Match::Unknown(_) => return Err(WriteError::Inexpressible("what was read and not understood")),
        Match::Limit { per_minute, burst } => format!(" -m limit --limit {per_minute}/minute --limit-burst {burst}"),
    })
}

fn address_text(option: &str, direction: &str, addresses: &Addresses, negated: bool) -> Result<String, WriteError> {
    let not = if negated { " !" } else { "" };
    match addresses {
        Addresses::Set(name) => Ok(format!(" -m set{not} --match-set {name} {direction}")),
        Addresses::These(elements) => match elements.networks().as_slice() {
            [network] => Ok(format!("{not} {option} {network}")),
            _ => Err(WriteError::Inexpressible("several networks in one rule")),
        },
    }
}

fn flags(flags: TcpFlags) -> String {
    if flags.0 == 0 { "NONE".into() } else { flags.names().collect::<Vec<_>>().join(",").to_ascii_uppercase() }
}
