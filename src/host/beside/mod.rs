//! What stands beside netfilter on this host, in the network namespace of the calling thread: parts of the kernel and programs
//! that let packets in, turn them elsewhere or drop them where no rule is asked.
//!
//! Nothing of it is judged. It is looked for and named, so that whoever reads "proved" knows what the word does not cover. FOU and
//! GUE are [`super::tunnels`], VRFs and what other routing tables make local [`super::routing`], rules that translate
//! [`super::translation`].
//!
//! INVARIANT (unseen is not absent): what cannot be looked for is a fact of its own, [`Found::NotLooked`], except where the kernel
//! is too old to have the thing at all.

mod devices;
mod filters;
mod hooks;
mod message;
mod processes;
mod proxies;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use nix::errno::Errno;

use crate::dialect::netlink::RequestError;
use crate::net::Ports;

use super::links::Link;

/// Of packets: into this host, or out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Before the rules.
    In,
    /// Behind them.
    Out,
}

/// The two families that a hook may be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// XDP programs.
    Xdp {
        /// The interfaces that have one.
        interfaces: Vec<String>,
    },
    /// Filters of tc, and programs at the same place (tcx).
    Filters {
        /// On which side of the rules.
        way: Way,
        /// Their kinds: bpf, flower, u32, …; tcx.
        kinds: Vec<String>,
        /// The interfaces that have them.
        interfaces: Vec<String>,
    },
    /// A flowtable of nf_tables.
    Flowtable {
        /// The name of its table.
        table: String,
        /// Its own.
        name: String,
        /// The interfaces that it is for.
        interfaces: Vec<String>,
    },
    /// Services of IPVS that take TCP.
    Ipvs {
        /// Addresses and ports, or marks.
        services: Vec<String>,
    },
    /// Addresses of 127.0.0.0/8 are taken from outside.
    RouteLocalnet {
        /// The interfaces; none stands for all of them.
        interfaces: Vec<String>,
    },
    /// BPF programs that choose the socket of a connection.
    SkLookup {
        /// How many.
        programs: u32,
    },
    /// A BPF program at a hook of netfilter.
    HookProgram {
        /// Of which packets.
        family: Family,
        /// The hook.
        hook: &'static str,
        /// Lower ones come first.
        priority: i32,
        /// Whether it surely is of this network namespace.
        here: bool,
    },
    /// A function at a hook that belongs to none of the tables that are read, and to nothing that is known to be harmless.
    HookFunction {
        /// The function.
        function: String,
        /// The kernel module, where it is one.
        module: Option<String>,
        /// The hooks, and of which packets.
        places: Vec<(&'static str, Family)>,
    },
    /// A program that others reach, and that is connected to a protected port from inside.
    Proxy {
        /// The program.
        program: String,
        /// Its process.
        pid: u32,
        /// Where others reach it.
        listens: SocketAddr,
        /// To what it is connected.
        to: SocketAddr,
    },
    /// Interfaces whose other end is in another network namespace.
    OtherNamespaces {
        /// The ends that are here.
        interfaces: Vec<String>,
    },
    /// Something could not be looked for.
    NotLooked {
        /// For what; several things may have one reason.
        what: Vec<&'static str>,
        /// Why not.
        why: String,
    },
}

/// What was found, and where it was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// What.
    pub found: Found,
    /// A file, or the request that the kernel answered.
    pub read_from: &'static str,
}

impl Fact {
    fn new(found: Found, read_from: &'static str) -> Self {
        Self { found, read_from }
    }

    fn not_looked(what: &'static str, why: impl Into<String>, read_from: &'static str) -> Self {
        Self::new(Found::NotLooked { what: vec![what], why: why.into() }, read_from)
    }
}

/// Looks for all of it, for a host with these protected ports and interfaces; sorted.
#[must_use]
pub fn look(protected: &Ports, links: &[Link]) -> Vec<Fact> {
    let mut facts = Vec::new();
    let devices = devices::look(&mut facts);
    filters::look(&devices, &mut facts);
    hooks::look(&mut facts);
    proxies::look(protected, links, &mut facts);
    facts.sort();
    one_for_each_reason(facts)
}

/// A container may lack the right to look for several things; that is one line.
fn one_for_each_reason(facts: Vec<Fact>) -> Vec<Fact> {
    let mut all: Vec<Fact> = Vec::with_capacity(facts.len());
    for fact in facts {
        let Found::NotLooked { what, why } = &fact.found else {
            all.push(fact);
            continue;
        };
        let same = all.iter_mut().find_map(|other| match &mut other.found {
            Found::NotLooked { what, why: reason } if reason == why => Some(what),
            _ => None,
        });
        match same {
            Some(known) => known.extend(what.iter().filter(|one| !known.contains(one)).copied().collect::<Vec<_>>()),
            None => all.push(fact),
        }
    }
    all
}

/// Why bpf(2) said no.
fn bpf_reason(errno: Errno) -> String {
    match errno {
        Errno::EPERM | Errno::EACCES => {
            "the kernel tells it to root of the machine only (CAP_NET_ADMIN and CAP_SYS_ADMIN)".to_owned()
        }
        other => other.desc().to_lowercase(),
    }
}

/// Hands over what a request gave, or notes that it gave nothing.
fn or_not_looked<T>(
    answer: Result<T, RequestError>,
    what: &'static str,
    read_from: &'static str,
    facts: &mut Vec<Fact>,
) -> Option<T> {
    match answer {
        Ok(value) => Some(value),
        Err(error) => {
            facts.push(Fact::not_looked(what, error.to_string(), read_from));
            None
        }
    }
}
