//! firewalld's direct rules, and which rules of iptables are its own.
//!
//! Direct rules and passthroughs are rules of iptables that firewalld brings in as they are written. With the nftables back end they
//! stand in the kernel's chains themselves; with that of iptables direct rules have chains of their own (`INPUT_direct`).

use crate::dialect::iptables::read;
use crate::ir::{Chain, ConnectionStates, DeviceName, End, Family, Foreign, Match, Rule, Table, Verdict};
use crate::net::Interface;

/// A rule that firewalld keeps for a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Direct {
    /// IPv4 or IPv6.
    pub family: Family,
    /// The table's name.
    pub table: String,
    /// The chain's name.
    pub chain: String,
    /// The rule.
    pub rule: Rule,
}

/// The rules in what `firewall-cmd --direct --get-all-rules` and `--get-all-passthroughs` print; those that are not understood are left
/// out.
#[must_use]
pub fn direct(rules: &str, passthroughs: &str) -> Vec<Direct> {
    let of_rules = rules.lines().filter_map(|line| {
        let mut words = line.splitn(5, ' ');
        let (family, table, chain, _, rest) =
            (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        made(family, table, chain, rest)
    });
    let of_passthroughs = passthroughs.lines().filter_map(|line| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let table = match words.iter().position(|word| ["-t", "--table"].contains(word)) {
            Some(at) => words.drain(at..words.len().min(at + 2)).nth(1)?,
            None => "filter",
        };
        let at = words.iter().position(|word| ["-A", "--append", "-I", "--insert"].contains(word))?;
        let (family, chain) = (*words.first()?, *words.get(at + 1)?);
        let is_number = words.get(at + 2).is_some_and(|word| word.parse::<u32>().is_ok());
        let behind = words.get(at + 2 + usize::from(is_number)..)?;
        let rest = [words.get(1..at)?, behind].concat();
        made(family, table, chain, &rest.join(" "))
    });
    of_rules.chain(of_passthroughs).flatten().collect()
}

/// One line may be several rules.
fn made(family: &str, table: &str, chain: &str, rest: &str) -> Option<Vec<Direct>> {
    let family = match family {
        "ipv4" => Family::Ip,
        "ipv6" => Family::Ip6,
        _ => return None,
    };
    // What it may lead to, so that it can be read alone.
    let words: Vec<&str> = rest.split_whitespace().collect();
    let target = words.windows(2).find(|pair| matches!(pair, ["-j" | "-g" | "--jump" | "--goto", _]));
    let target = target.and_then(|pair| pair.get(1)).filter(|name| !name.bytes().all(|c| c.is_ascii_uppercase()));
    let declared = target.map(|name| format!(":{name} - [0:0]\n")).unwrap_or_default();
    let text = format!("*{table}\n:{chain} ACCEPT [0:0]\n{declared}-A {chain} {rest}\nCOMMIT\n");
    let read = read(&text, family).ok()?;
    let own = read.ruleset.tables.iter().flat_map(|table| &table.chains).find(|own| own.name == chain)?;
    let of = |rule: &Rule| Direct { family, table: table.to_owned(), chain: chain.to_owned(), rule: rule.clone() };
    Some(own.rules.iter().map(of).collect())
}

/// Whether firewalld's rules in a table of iptables stand in chains of its own.
#[must_use]
pub fn has_own_chains(table: &Table) -> bool {
    table.chains.iter().any(|chain| chain.name == "INPUT_direct")
}

/// Which rules of a chain of the kernel's are those that firewalld makes where it works by iptables. It is a closed list
/// (`build_default_rules` of its `ipXtables.py`, 0.9 to 2.4), by table and place: whatever is not on it is somebody else's.
#[must_use]
pub fn own_rules(table: &str, chain: &Chain) -> Vec<bool> {
    let (filters, looks_back) = (table == "filter", ["raw", "mangle"].contains(&table) && chain.name == "PREROUTING");
    // It rejects once, behind what leads to its own chains.
    let rejects = filters && ["INPUT", "FORWARD"].contains(&chain.name.as_str());
    let is_lead =
        |rule: &Rule| matches!(&rule.verdict, Some(Verdict::Jump(to)) if rule.matches.is_empty() && is_own_chain(to));
    let is_last_word = |rule: &Rule| matches!(rule.verdict, Some(Verdict::Reject(_))) && rule.matches.is_empty();
    let lead = chain.rules.iter().position(is_lead).filter(|_| rejects);
    let last = lead.and_then(|lead| chain.rules.iter().skip(lead).position(is_last_word).map(|at| lead + at));
    let is_own = |(at, rule): (usize, &Rule)| match &rule.verdict {
        Some(Verdict::Jump(_)) => is_lead(rule),
        Some(Verdict::Accept) if filters => is_accepted(rule),
        Some(Verdict::Accept) => looks_back && is_about_neighbours(rule),
        Some(Verdict::Drop) => match rule.matches.as_slice() {
            [Match::ConnectionState { states, negated: false }] => filters && *states == ConnectionStates::INVALID,
            [Match::Foreign(Foreign::WayBack { missing: true, .. })] => looks_back,
            _ => false,
        },
        Some(Verdict::Reject(_)) => last == Some(at),
        None => rule.log().is_some_and(|prefix| LOGS.iter().any(|own| prefix.starts_with(own))),
        Some(Verdict::Goto(_) | Verdict::Return | Verdict::Unknown(_)) => false,
    };
    chain.rules.iter().enumerate().map(is_own).collect()
}

/// Of a connection that goes on or is related, translated, or over loopback.
fn is_accepted(rule: &Rule) -> bool {
    match rule.matches.as_slice() {
        [Match::ConnectionState { states, negated: false }] => {
            states.0 & !(ConnectionStates::ESTABLISHED.0 | ConnectionStates::RELATED.0) == 0
        }
        [Match::DestinationTranslated] => true,
        // One rule for a state or a translation is read as two.
        [before @ .., Match::Foreign(Foreign::Translated { end: End::Destination, negated: false })] => {
            before.iter().all(|one| matches!(one, Match::ConnectionState { negated: true, .. }))
        }
        [Match::InInterface { names, negated: false }] => *names == [Interface::loopback()],
        [Match::Foreign(Foreign::Device { names, negated: false, .. })] => {
            *names == [DeviceName::Is(Interface::loopback())]
        }
        _ => false,
    }
}

/// Neighbour discovery, before what looks back: by its type alone.
fn is_about_neighbours(rule: &Rule) -> bool {
    matches!(
        rule.matches.as_slice(),
        [Match::Protocol { number: ICMPV6, negated: false } | Match::Unknown(_), rest @ ..]
            if rest.iter().all(|one| matches!(one, Match::Unknown(_)))
    )
}

const ICMPV6: u8 = 58;
/// What it logs with in these chains.
const LOGS: [&str; 3] = ["STATE_INVALID_DROP", "FINAL_REJECT", "rpfilter_DROP"];

/// Whether firewalld leads there from a chain of the kernel's.
fn is_own_chain(name: &str) -> bool {
    const HOOKS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
    const ENDS: [&str; 12] = [
        "_direct",
        "_ZONES",
        "_ZONES_SOURCE",
        "_ZONES_IFACES",
        "_POLICIES",
        "_POLICIES_pre",
        "_POLICIES_post",
        "_IN_ZONES",
        "_IN_ZONES_SOURCE",
        "_OUT_ZONES",
        "_OUT_ZONES_SOURCE",
        "_dispatch",
    ];
    let of_hook = HOOKS.iter().find_map(|hook| name.strip_prefix(hook));
    of_hook.is_some_and(|end| ENDS.contains(&end)) || name.starts_with("RFC3964_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::iptables::beyond;

    #[test]
    fn direct_rules_and_passthroughs_are_rules_of_iptables() {
        let found = direct(
            "ipv4 filter INPUT 0 -s 192.0.2.7 -j DROP\nipv6 raw PREROUTING 1 -j mine\neb filter INPUT 0 -j DROP\n",
            "ipv4 -I INPUT 1 -s 192.0.2.8 -j DROP\nipv4 -t mangle -A FORWARD -p tcp --dport 80 -j DROP\nipv4 -N mine\n",
        );
        let shown: Vec<String> =
            found.iter().map(|one| format!("{} {} {}", one.family.name(), one.table, one.chain)).collect();
        assert_eq!(shown, ["ip filter INPUT", "ip6 raw PREROUTING", "ip filter INPUT", "ip mangle FORWARD"]);
        let there = read(
            "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 192.0.2.8/32 -j DROP\n-A INPUT -s 192.0.2.9/32 -j DROP\nCOMMIT\n",
            Family::Ip,
        );
        let there = there.unwrap().ruleset.tables.remove(0).chains.remove(0).rules;
        let brought: Vec<Rule> = found.into_iter().map(|one| one.rule).collect();
        assert_eq!(beyond(&there, &brought), [&there[1]]);
    }

    /// The rules of a table of IPv6 that are taken for firewalld's, by their place in its only chain with a hook.
    fn own(table: &str, chain: &str, rules: &str) -> Vec<bool> {
        let rules: String = rules.lines().map(|rule| format!("-A {chain} {}\n", rule.trim())).collect();
        let text = format!(
            "*{table}\n:{chain} ACCEPT [0:0]\n:{chain}_direct - [0:0]\n:f2b - [0:0]\n:mine_direct - [0:0]\n{rules}COMMIT\n"
        );
        let chains = read(&text, Family::Ip6).unwrap().ruleset.tables.remove(0).chains;
        own_rules(table, chains.iter().find(|own| own.name == chain).unwrap())
    }

    #[test]
    fn its_own_rules_are_known() {
        // The first is read as two.
        let rules = "-m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT\n-i lo -j ACCEPT\n-j INPUT_direct\n\
             -m conntrack --ctstate INVALID -j DROP\n-j REJECT --reject-with icmp6-adm-prohibited";
        assert_eq!(own("filter", "INPUT", rules), [true; 6]);
        assert_eq!(own("filter", "OUTPUT", "-o lo -j ACCEPT\n-j OUTPUT_direct"), [true; 2]);
        let rules = "-p ipv6-icmp -m icmp6 --icmpv6-type 135 -j ACCEPT\n-m rpfilter --validmark --invert -j DROP";
        assert_eq!(own("mangle", "PREROUTING", rules), [true; 2]);
    }

    #[test]
    fn whatever_else_there_is_is_somebody_elses() {
        let rules = "-s fd00::9 -j DROP\n-i eth1 -j DROP\n-p tcp -j f2b\n-p tcp --dport 8098 -j DROP\n-p udp -j DROP\n\
             -p 47 -j ACCEPT\n-m set --match-set bans src -j DROP\n-m u32 --u32 0x0=0x0 -j DROP\n-m mark --mark 1 -j DROP\n\
             -m rpfilter --validmark --invert -j DROP\n-m conntrack --ctstate NEW -j DROP\n! -i lo -j ACCEPT\n\
             -m addrtype --dst-type LOCAL -j INPUT_direct\n-j mine_direct\n-j DROP\n-j REJECT\n-j LOG --log-prefix mine\n\
             -p ipv6-icmp -s fe80::/10 -j ACCEPT\n-p ipv6-icmp -j ACCEPT";
        assert_eq!(own("filter", "INPUT", rules), [false; 19]);
        assert_eq!(own("filter", "OUTPUT", "-j OUTPUT_direct\n-j REJECT"), [true, false], "it has no last word there");
        assert_eq!(own("filter", "INPUT", "-j REJECT\n-j INPUT_direct\n-j REJECT"), [false, true, true]);
        assert_eq!(
            own("raw", "OUTPUT", "-m conntrack --ctstate INVALID -j DROP\n-i lo -j ACCEPT")
                .iter()
                .filter(|own| **own)
                .count(),
            0
        );
    }
}
