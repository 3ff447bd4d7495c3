//! What is ours, by its name. Nobody else's chain or set is called like that; a table of this name and family is ours.

/// The name of our table of nf_tables. Its family is inet.
pub const TABLE: &str = "ringfence";

/// The chain that the kernel's chains of iptables jump to, and what the names of our other chains begin with.
pub const CHAIN: &str = "RINGFENCE";

/// What the names of our chains and sets among those of other firewalls begin with, which let through whom the guard admits.
/// They are no part of the guard.
pub const OPEN: &str = "open-ringfence";

/// Whether a chain, or a set, is of those that let through.
#[must_use]
pub fn is_open(name: &str) -> bool {
    name.strip_prefix(OPEN).is_some_and(|rest| rest.starts_with('-'))
}

/// Whether a chain of iptables is ours.
#[must_use]
pub fn is_chain(name: &str) -> bool {
    name.strip_prefix(CHAIN).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Whether a set of ipset is ours. A name that was too long has a `_`.
#[must_use]
pub fn is_set(name: &str) -> bool {
    name.strip_prefix(TABLE).is_some_and(|rest| rest.starts_with(['-', '_']))
}

/// Whether a chain of a table is ours among those of iptables: there are some in raw and mangle alone, and only our jumps lead to them. Whatever
/// else is called like that is somebody else's, and judges as its rules say.
#[must_use]
pub fn is_guard_chain(table: &super::Table, chain: &super::Chain) -> bool {
    has_guard_chains(table) && chain.base.is_none() && is_chain(&chain.name)
}

/// Whether a table is one of those in which iptables has chains of ours.
fn has_guard_chains(table: &super::Table) -> bool {
    matches!(table.family, super::Family::Ip | super::Family::Ip6) && matches!(table.name.as_str(), "raw" | "mangle")
}

/// Whether a table is the one that is ours as a whole.
#[must_use]
pub fn is_table(table: &super::Table) -> bool {
    table.family == super::Family::Inet && table.name == TABLE && !table.legacy
}

/// A table of iptables without our chains, and without the jumps to them.
pub fn take_guard_out(table: &mut super::Table) {
    use super::Verdict::{Goto, Jump};
    let own: Vec<String> =
        table.chains.iter().filter(|chain| is_guard_chain(table, chain)).map(|chain| chain.name.clone()).collect();
    table.chains.retain(|chain| !(chain.base.is_none() && own.contains(&chain.name)));
    let leads = |rule: &super::Rule| matches!(&rule.verdict, Some(Jump(to) | Goto(to)) if own.contains(to));
    table.chains.iter_mut().for_each(|chain| chain.rules.retain(|rule| !leads(rule)));
}

/// Whether a table has something of ours.
#[must_use]
pub fn has_part(table: &super::Table) -> bool {
    is_table(table) || table.chains.iter().any(|chain| is_guard_chain(table, chain))
}
