//! Where in somebody else's chain what is admitted has to be let through: directly before what drops everything that is left.
//!
//! INVARIANT (last but one): a spot stands behind every rule that says something of its own about some addresses, ports, marks or
//! rates. Only what drops whatever has come that far is overruled: a rule without such tests, or the policy of the chain. So an
//! admin's or fail2ban's rule against one peer stays the stronger one.

use crate::ir::{
    Base, Chain, ChainKind, ConnectionStates, Hook, Leg, Match, PacketTypes, Policy, Rule, Statement, Table, Verdict,
    ours,
};

/// A place in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The chain.
    pub chain: String,
    /// Before which of its rules; their number stands for its end.
    pub at: usize,
    /// What is dropped there comes in on these interfaces; what leads away from there asks the same.
    pub on: Vec<Match>,
}

/// Where a table drops what has come to the end of its chains on a way.
#[must_use]
pub fn spots(table: &Table, leg: Leg) -> Vec<Spot> {
    spots_through(table, leg, None)
}

/// The same of those of its base chains from which packets come through a chain.
#[must_use]
pub fn spots_through(table: &Table, leg: Leg, chain: Option<&str>) -> Vec<Spot> {
    let hook = match leg {
        Leg::In => Hook::Input,
        Leg::Out => Hook::Output,
    };
    let is_there = |base: Base| base.hook == hook && base.kind == ChainKind::Filter;
    let comes_through = |base: &&Chain| chain.is_none_or(|chain| leads_to(table, &base.name, chain));
    let bases = table.chains.iter().filter(|chain| chain.base.is_some_and(is_there)).filter(comes_through);
    let mut walk = Walk { table, passed: Vec::new(), found: Vec::new() };
    for chain in bases {
        walk.passed.clear();
        walk.end(chain);
    }
    walk.found
}

/// Whether packets may come from one chain into another, or these are the same.
fn leads_to(table: &Table, from: &str, to: &str) -> bool {
    let mut seen: Vec<&str> = vec![from];
    let mut next = 0;
    while let Some(name) = seen.get(next).copied() {
        next += 1;
        let chain = table.chains.iter().find(|chain| chain.name == name);
        for rule in chain.into_iter().flat_map(|chain| &chain.rules) {
            if let Some(Verdict::Jump(other) | Verdict::Goto(other)) = &rule.verdict
                && !seen.contains(&other.as_str())
            {
                seen.push(other);
            }
        }
    }
    seen.contains(&to)
}

/// What becomes of what no rule of its own decides on.
#[derive(PartialEq, Eq)]
enum End {
    /// It is dropped, or passes, or nobody knows.
    Decided,
    /// It goes on where the chain was jumped to.
    GoesOn,
}

struct Walk<'a> {
    table: &'a Table,
    /// The chains on the way, against circles.
    passed: Vec<&'a str>,
    found: Vec<Spot>,
}

impl<'a> Walk<'a> {
    fn end(&mut self, chain: &'a Chain) -> End {
        if self.passed.contains(&chain.name.as_str()) {
            return End::Decided;
        }
        self.passed.push(&chain.name);
        for (at, rule) in chain.rules.iter().enumerate() {
            if !is_for_all(rule, chain.rules.get(at + 1..).unwrap_or_default(), self.table) {
                continue;
            }
            // What else a map decides on what it tells apart would be overruled.
            let parts = chain.rules.get(first_of(chain, at)..at).unwrap_or_default();
            let decides_more = rule.verdict.is_some() && parts.iter().any(|part| part.verdict != rule.verdict);
            if decides_more || rule.statements.iter().any(|one| matches!(one, Statement::Divert(_))) {
                return End::Decided;
            }
            let for_some = tests(rule) == Tests::Interface;
            match &rule.verdict {
                None => {}
                Some(Verdict::Jump(to)) if ours::is_open(to) => {}
                Some(Verdict::Drop | Verdict::Reject(_)) => self.add(spot_before(chain, at, rule)),
                Some(Verdict::Jump(to) | Verdict::Goto(to)) if drops_only(self.table, to, 0) => {
                    self.add(spot_before(chain, at, rule));
                }
                Some(Verdict::Return) => return self.fall_off(chain, at),
                Some(Verdict::Accept | Verdict::Unknown(_)) => return End::Decided,
                Some(Verdict::Jump(to)) => match self.called(to) {
                    End::GoesOn => {}
                    End::Decided => return End::Decided,
                },
                Some(Verdict::Goto(to)) => match self.called(to) {
                    End::GoesOn => return self.fall_off(chain, chain.rules.len()),
                    End::Decided => return End::Decided,
                },
            }
            let drops = matches!(rule.verdict, Some(Verdict::Drop | Verdict::Reject(_)))
                || matches!(&rule.verdict, Some(Verdict::Jump(to) | Verdict::Goto(to)) if drops_only(self.table, to, 0));
            if drops && !for_some {
                return End::Decided;
            }
        }
        self.fall_off(chain, chain.rules.len())
    }

    fn add(&mut self, spot: Spot) {
        if !self.found.contains(&spot) {
            self.found.push(spot);
        }
    }

    /// The end of a chain, or a return from it.
    fn fall_off(&mut self, chain: &Chain, at: usize) -> End {
        self.passed.pop();
        match chain.base {
            Some(base) => {
                if base.policy == Policy::Drop {
                    self.add(Spot { chain: chain.name.clone(), at: first_of(chain, at), on: Vec::new() });
                }
                End::Decided
            }
            None => End::GoesOn,
        }
    }

    /// A chain that others jump to for some packets only is not where all that is left arrives: what it drops for these must stay
    /// dropped.
    fn called(&mut self, name: &str) -> End {
        let Some(chain) = self.table.chains.iter().find(|chain| chain.name == *name) else { return End::Decided };
        let leads_here =
            |rule: &&Rule| matches!(&rule.verdict, Some(Verdict::Jump(to) | Verdict::Goto(to)) if to == name);
        let callers = self.table.chains.iter().flat_map(|chain| &chain.rules).filter(leads_here).count();
        let before = self.found.len();
        let end = self.end(chain);
        if callers > 1 {
            self.found.truncate(before);
        }
        end
    }
}

/// Before a rule that drops what is left, or what is left of an interface.
fn spot_before(chain: &Chain, at: usize, rule: &Rule) -> Spot {
    let on = rule.matches.iter().filter(|one| test(one) == Tests::Interface).cloned().collect();
    Spot { chain: chain.name.clone(), at: first_of(chain, at), on }
}

/// The first of the rules that one rule was read as: nothing can be put between them.
fn first_of(chain: &Chain, at: usize) -> usize {
    let place =
        |at: usize| chain.rules.get(at).and_then(|rule| rule.place.as_ref()).map(|place| (place.handle, place.line));
    let own = place(at);
    let mut first = at;
    while first > 0 && own.is_some() && place(first - 1) == own {
        first -= 1;
    }
    first
}

/// Whether a chain does nothing but drop, whatever comes, and says nothing of its own about anybody: how fast or in which way
/// somebody is refused is nothing of the kind.
fn drops_only(table: &Table, name: &str, depth: usize) -> bool {
    const DEEPEST: usize = 16;
    let Some(chain) = table.chains.iter().find(|chain| chain.name == *name) else { return false };
    let drops = |rule: &Rule| match &rule.verdict {
        Some(Verdict::Drop | Verdict::Reject(_)) => true,
        Some(Verdict::Jump(to) | Verdict::Goto(to)) => depth < DEEPEST && drops_only(table, to, depth + 1),
        None | Some(Verdict::Accept | Verdict::Return | Verdict::Unknown(_)) => false,
    };
    let says_nothing = |rule: &Rule| rule.verdict.is_none() || (drops(rule) && !singles_out(rule));
    chain.rules.iter().all(says_nothing) && chain.rules.iter().any(|rule| drops(rule) && tests(rule) == Tests::None)
}

/// Whether a rule makes no test in which two requests from outside differ, but for these.
#[must_use]
pub fn asks_only(rule: &Rule, on: &[Match]) -> bool {
    let more: Vec<&Match> = rule.matches.iter().filter(|one| test(one) != Tests::None).collect();
    more.len() == on.len() && more.iter().all(|one| on.contains(one))
}

/// Whether a rule is about some of those that ask for connections, and not about how fast or in which way they do.
fn singles_out(rule: &Rule) -> bool {
    let is_about_all = |one: &Match| {
        matches!(
            one,
            Match::Protocol { .. }
                | Match::Limit { .. }
                | Match::ConnectionState { .. }
                | Match::TcpFlags { .. }
                | Match::PacketType { .. }
        )
    };
    rule.matches.iter().any(|one| test(one) == Tests::Own && !is_about_all(one))
}

/// What a rule tells packets apart by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tests {
    /// Nothing that two requests for TCP connections from outside differ in.
    None,
    /// The interface as well.
    Interface,
    /// Something of its own.
    Own,
}

fn tests(rule: &Rule) -> Tests {
    rule.matches.iter().map(test).max().unwrap_or(Tests::None)
}

fn test(one: &Match) -> Tests {
    match one {
        Match::Protocol { number, negated } if (*number == 6) != *negated => Tests::None,
        Match::DestinationLocal => Tests::None,
        Match::ConnectionState { states, negated } if states.has(ConnectionStates::NEW) != *negated => Tests::None,
        Match::TcpFlags { mask, value } if value.0 & mask.0 == crate::ir::TcpFlags::SYN.0 & mask.0 => Tests::None,
        Match::PacketType { types, negated } if types.has(PacketTypes::HOST) != *negated => Tests::None,
        Match::InInterface { .. } => Tests::Interface,
        Match::Family(_)
        | Match::Protocol { .. }
        | Match::ConnectionState { .. }
        | Match::TcpFlags { .. }
        | Match::PacketType { .. }
        | Match::Source { .. }
        | Match::Destination { .. }
        | Match::DestinationPort { .. }
        | Match::PortBlock(_)
        | Match::FlagBit { .. }
        | Match::DestinationTranslated
        | Match::OriginalPort(_)
        | Match::DestinationOfInterface
        | Match::NotDirectlyTcp
        | Match::PerhapsDirectlyTcp
        | Match::FirstFragment
        | Match::Limit { .. }
        | Match::Foreign(_)
        | Match::Unknown(_) => Tests::Own,
    }
}

/// Whether a rule is for whatever has come that far. One for an interface is where nothing behind it lets anything pass: that is how
/// the end of an old script looks.
fn is_for_all(rule: &Rule, behind: &[Rule], table: &Table) -> bool {
    let drops = |rule: &Rule| match &rule.verdict {
        None | Some(Verdict::Drop | Verdict::Reject(_)) => true,
        Some(Verdict::Jump(to) | Verdict::Goto(to)) => drops_only(table, to, 0),
        Some(Verdict::Accept | Verdict::Return | Verdict::Unknown(_)) => false,
    };
    match tests(rule) {
        Tests::None => true,
        Tests::Interface => drops(rule) && behind.iter().all(drops),
        Tests::Own => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{iptables, nft};
    use crate::ir::Family;

    fn of_nft(rules: &str, policy: &str) -> Vec<(String, usize)> {
        let text = format!(
            "table inet filter {{\n\tchain gone {{\n\t\tlog\n\t\tdrop\n\t}}\n\tchain own {{\n\t\tip saddr 192.0.2.0/24 \
             accept\n\t\tdrop\n\t}}\n\tchain input {{\n\t\ttype filter hook input priority 0; policy {policy};\n\
             {rules}\n\t}}\n}}\n"
        );
        let ruleset = nft::read(&text).unwrap().ruleset;
        spots(&ruleset.tables[0], Leg::In).into_iter().map(|spot| (spot.chain, spot.at)).collect()
    }

    #[test]
    fn it_is_before_the_final_drop_and_behind_all_that_says_something_of_its_own() {
        let established = "ct state established,related accept";
        for (policy, rules, expected) in [
            ("drop", established.to_owned(), Some(("input", 1))),
            ("accept", established.to_owned(), None),
            ("accept", format!("{established}\ndrop"), Some(("input", 1))),
            ("drop", format!("{established}\ncounter reject with icmpx admin-prohibited"), Some(("input", 1))),
            ("accept", format!("ip saddr 10.0.0.7 drop\n{established}\ntcp dport 8098 drop\ndrop"), Some(("input", 3))),
            ("accept", "ct state invalid drop\nct state new drop".to_owned(), Some(("input", 1))),
            ("accept", "jump gone".to_owned(), Some(("input", 0))),
            ("accept", "ip saddr 10.0.0.7 jump gone\ngoto gone".to_owned(), Some(("input", 1))),
            ("accept", "jump own".to_owned(), Some(("own", 1))),
            // What it drops of the one it must go on to drop.
            ("accept", "ip saddr 10.0.0.7 jump own\njump own".to_owned(), None),
            ("accept", "iifname \"eth0\" drop\ntcp dport 22 accept".to_owned(), None),
            ("accept", "tcp dport 22 accept\niifname \"eth0\" drop".to_owned(), Some(("input", 1))),
            ("accept", "limit rate 10/second accept\nmeta l4proto tcp drop".to_owned(), Some(("input", 1))),
            ("accept", "accept\ndrop".to_owned(), None),
            ("drop", "ip saddr 10.0.0.7 drop\nreturn\ntcp dport 22 accept".to_owned(), Some(("input", 1))),
            ("accept", "queue num 1\ndrop".to_owned(), None),
        ] {
            let expected: Vec<(String, usize)> = expected.into_iter().map(|(c, at)| (c.to_owned(), at)).collect();
            assert_eq!(of_nft(&rules, policy), expected, "{policy}: {rules}");
        }
    }

    #[test]
    fn what_drops_an_interface_or_a_family_is_no_end_for_others() {
        for (policy, rules, expected) in [
            (
                "drop",
                "meta nfproto ipv6 drop\nct state established accept\nip saddr 10.9.0.6 drop",
                Some(("input", 3, 0)),
            ),
            ("accept", "iifname \"eth1\" drop\nip saddr 10.9.0.6 drop", Some(("input", 0, 1))),
            ("accept", "iifname \"eth1\" drop\niifname \"eth2\" counter drop", Some(("input", 0, 1))),
            ("accept", "meta nfproto ipv4 drop", None),
            // One rule that was read as two.
            ("accept", "tcp dport 22 accept\nmeta l4proto { icmp, tcp } drop", Some(("input", 1, 0))),
            // Whoever is accepted, or dropped, by the rest of it.
            ("accept", "ct state vmap { invalid : accept, new : drop }", None),
            // Whoever has a rule of his own in the chain that drops the rest.
            ("accept", "jump bans", Some(("bans", 1, 0))),
            ("accept", "ip saddr 10.0.0.8 jump bans\njump bans", None),
            ("accept", "jump refused", Some(("input", 0, 0))),
        ] {
            let text = format!(
                "table inet filter {{\n\tchain bans {{\n\t\tip saddr 10.0.0.7 drop\n\t\tdrop\n\t}}\n\tchain refused {{\n\
                 \t\tmeta l4proto udp reject\n\t\tlimit rate 5/second reject\n\t\tdrop\n\t}}\n\tchain input {{\n\
                 \t\ttype filter hook input priority 0; policy {policy};\n{rules}\n\t}}\n}}\n"
            );
            let found = spots(&nft::read(&text).unwrap().ruleset.tables[0], Leg::In);
            let found: Vec<_> = found.iter().map(|spot| (spot.chain.as_str(), spot.at, spot.on.len())).collect();
            assert_eq!(found.first().copied(), expected, "{policy}: {rules}");
            assert_eq!(found.len(), expected.map_or(0, |_| 1 + usize::from(rules.contains("eth2"))), "{rules}");
        }
    }

    #[test]
    fn an_old_script_of_iptables_has_one() {
        let text = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:LOGDROP - [0:0]\n\
            -A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
            -A INPUT -s 10.0.0.7 -j LOGDROP\n-A INPUT -p tcp --dport 22 -j ACCEPT\n-A INPUT -j LOGDROP\n\
            -A LOGDROP -m limit --limit 5/min -j LOG\n-A LOGDROP -j DROP\nCOMMIT\n";
        let ruleset = iptables::read(text, Family::Ip).unwrap().ruleset;
        assert_eq!(spots(&ruleset.tables[0], Leg::In), [Spot { chain: "INPUT".to_owned(), at: 4, on: Vec::new() }]);
        // Counted by sender, what is logged may be dropped for want of room, as all the rest.
        let by_sender =
            text.replace("-m limit --limit 5/min", "-m hashlimit --hashlimit-upto 5/min --hashlimit-name x");
        assert_ne!(by_sender, text);
        let ruleset = iptables::read(&by_sender, Family::Ip).unwrap().ruleset;
        assert_eq!(spots(&ruleset.tables[0], Leg::In), [Spot { chain: "INPUT".to_owned(), at: 4, on: Vec::new() }]);
        assert_eq!(spots(&ruleset.tables[0], Leg::Out), []);
    }
}
