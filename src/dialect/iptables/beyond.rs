//! What of a chain of the kernel's is in none of the texts that fill it.
//!
//! INVARIANT (doubt): a rule is taken for one of a text only where it is the same; of those of which a text and the kernel may show
//! the same in different ways, as many are.

use crate::ir::{Match, Rule, Verdict};

/// The rules of a chain that are not among those that were brought.
pub fn beyond<'a>(there: &'a [Rule], brought: &[Rule]) -> Vec<&'a Rule> {
    let mut strange = brought.iter().filter(|rule| !is_plain(rule)).count();
    let mut is_brought = |rule: &Rule| {
        if is_plain(rule) {
            return brought.iter().any(|own| (&own.matches, &own.verdict) == (&rule.matches, &rule.verdict));
        }
        let known = strange > 0;
        strange = strange.saturating_sub(1);
        known
    };
    there.iter().filter(|rule| !is_brought(rule)).collect()
}

/// Whether a text and the kernel always show it alike.
fn is_plain(rule: &Rule) -> bool {
    let plain = |one: &Match| {
        matches!(
            one,
            Match::Source { .. }
                | Match::Destination { .. }
                | Match::DestinationPort { .. }
                | Match::InInterface { .. }
                | Match::ConnectionState { .. }
                | Match::Family(_)
                | Match::Protocol { number: 6, .. }
        )
    };
    rule.matches.iter().all(plain) && !matches!(rule.verdict, Some(Verdict::Unknown(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::iptables::read;
    use crate::ir::Family;

    fn rules(lines: &str) -> Vec<Rule> {
        let text = format!("*filter\n:c - [0:0]\n{lines}COMMIT\n");
        read(&text, Family::Ip).unwrap().ruleset.tables.remove(0).chains.remove(0).rules
    }

    #[test]
    fn what_is_not_brought_is_found() {
        let ban = "-A c -s 10.0.0.9 -j DROP\n";
        let udp = "-A c -p udp --dport 53 -j ACCEPT\n";
        let brought = rules(&format!("-A c -s 10.0.0.8 -j DROP\n{udp}"));
        let count = |lines: &str| beyond(&rules(lines), &brought).len();
        assert_eq!(count(&format!("-A c -s 10.0.0.8 -j DROP\n{udp}")), 0);
        assert_eq!(count(&format!("{ban}-A c -s 10.0.0.8 -j DROP\n{udp}")), 1);
        assert_eq!(count(&format!("{udp}-A c -p udp --dport 54 -j DROP\n")), 1, "one of the two");
        assert_eq!(count(ban), 1, "although others are lacking");
    }
}
