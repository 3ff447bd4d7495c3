//! What rules ask for, wherever they stand.

use super::Rules;
use crate::ir::statement::Changes;
use crate::ir::{
    Destined, Family, Foreign, Marked, Match, Rule, Ruleset, Statement, Table, Tracking, Translation, Verdict,
};

/// Whether any rule asks for the state of the connection, be it one that packets from outside never meet.
pub(in super::super) fn asks_for_states(ruleset: &Ruleset) -> bool {
    let mut rules = ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    let by_state = |one: &Match| {
        let of_others = |one: &Foreign| {
            matches!(one, Foreign::Direction { .. } | Foreign::Translated { .. } | Foreign::Mark { .. })
        };
        matches!(one, Match::ConnectionState { .. }) || matches!(one, Match::Foreign(one) if of_others(one))
    };
    rules.any(|rule| rule.matches.iter().any(by_state))
}

/// Whether a rule of a table for this family needs connections: nf_tables and iptables have tracking loaded for it then
/// (nft_ct_get_init, nft_nat_init, conntrack_mt_check).
pub(super) fn asks_connections(table: &Table, ipv4: bool) -> bool {
    let other = if ipv4 { Family::Ip6 } else { Family::Ip };
    let test = |one: &Match| match one {
        Match::ConnectionState { .. } | Match::DestinationTranslated | Match::OriginalPort(_) => true,
        Match::Foreign(one) => {
            matches!(
                one,
                Foreign::Translated { .. } | Foreign::Direction { .. } | Foreign::Mark { of: Marked::Connection, .. }
            ) || matches!(one, Foreign::Varies { on, .. } if on.needs_connections())
        }
        _ => false,
    };
    // In a table of both families, what leads to addresses is for the family of these (nft_nat_init).
    let here = |rule: &Rule, one: &Statement| match one {
        Statement::Translate(Translation::Redirect | Translation::Masquerade, _) => true,
        Statement::Translate(_, Destined::To { addresses: Some((first, _)), .. }) => first.is_ipv4() == ipv4,
        Statement::Translate(..) => {
            let family = if ipv4 { Family::Ip } else { Family::Ip6 };
            table.family == family || rule.matches.contains(&Match::Family(family))
        }
        _ => false,
    };
    let asks = |rule: &Rule| rule.matches.iter().any(test) || rule.statements.iter().any(|one| here(rule, one));
    // Tables of devices take no such test (nf_ct_netns_get).
    table.family != other
        && table.family != Family::Netdev
        && table.chains.iter().flat_map(|chain| &chain.rules).any(asks)
}

impl Rules<'_> {
    /// Whether connection tracking may expect TCP connections, which are "related" then: where rules hand some to helpers that do, or
    /// say what is expected, or something besides the rules may.
    #[must_use]
    pub fn may_expect(&self) -> bool {
        let mut rules = self.ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
        let expects = |one: &Statement| {
            let effect = one.effect();
            matches!(one, Statement::Track(Tracking::Expecting)) || effect.changes == Changes::Everything
        };
        let unknown = |rule: &Rule| matches!(rule.verdict, Some(Verdict::Unknown(_)));
        let besides = !self.ruleset.unread.is_empty() || !self.ruleset.expecting.is_empty();
        besides || rules.any(|rule| unknown(rule) || rule.statements.iter().any(expects))
    }
}

pub(super) fn asks_for_marks(ruleset: &Ruleset) -> bool {
    let mut rules = ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    rules.any(|rule| rule.matches.iter().any(|one| matches!(one, Match::Foreign(Foreign::Mark { .. }))))
}
