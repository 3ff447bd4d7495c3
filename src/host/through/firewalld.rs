//! firewalld: a policy and ipsets of our own.
