//! The other firewalls of a host, and how what is admitted is let through them, by their own means.
//!
//! - [`firewalld`] gets a policy and ipsets of our own, [`ufw`] gets rules of our own. Nothing of the admin's is edited.
//! - What they need to let through are [`Opening`](crate::ir::Opening)s. Each of these modules says what it lacks of them
//!   (`planned`), brings that (`bring`), and takes back exactly what it brought (`bring` of none at all).
//!
//! INVARIANT (the guard stays the lock): openings come after the guard and go before it.

pub mod firewalld;
pub mod ufw;
