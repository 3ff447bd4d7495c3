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

/// Whether a table has something of ours.
#[must_use]
pub fn has_part(table: &super::Table) -> bool {
    table.name == TABLE || table.chains.iter().any(|chain| is_chain(&chain.name))
}
