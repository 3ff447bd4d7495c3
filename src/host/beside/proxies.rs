//! Programs that others reach, and that are connected to a protected port from inside: haproxy, nginx, `ssh -L`, an
//! application.
//!
//! Only a connection that is open at the moment is seen, so a proxy at rest is not. What connects without listening, or listens
//! on loopback or a protected port only, is none.
//!
//! INVARIANT (a node is no proxy): the program that has the protected port itself is none, nor is an Erlang VM for asking the port
//! mapper, or for what else of Erlang's own has the same user.

use std::collections::BTreeSet;
use std::path::Path;

use super::processes::{Holder, holders};
use super::{Fact, Found, or_not_looked};
use crate::dialect::netlink::RequestError;
use crate::host::links::Link;
use crate::host::sockets::{Session, State, Which, connected_to, table};
use crate::net::Ports;

const REQUEST: &str = "SOCK_DIAG_BY_FAMILY";
const WHAT: &str = "local proxies";
/// The Erlang port mapper's.
const EPMD: u16 = 4369;

pub fn look(protected: &Ports, links: &[Link], facts: &mut Vec<Fact>) {
    if protected.is_empty() {
        return;
    }
    let Some(sockets) = or_not_looked(sockets(protected, links), WHAT, REQUEST, facts) else { return };
    let wanted = sockets.wanted();
    if sockets.inside.is_empty() || !sockets.reached.iter().any(|one| !protected.has(one.local.port())) {
        return;
    }
    let (holders, hidden) = holders(Path::new("/proc"), &wanted);
    facts.extend(sockets.proxies(&holders).into_iter().map(|found| Fact::new(found, REQUEST)));
    let held = |one: &Session| holders.iter().any(|holder| holder.inodes.contains(&one.inode));
    if hidden && !sockets.inside.iter().all(held) {
        let why = "some processes may not be looked at, which takes root with CAP_SYS_PTRACE";
        facts.push(Fact::not_looked(WHAT, why, "/proc/*/fd"));
    }
}

/// The sockets that matter.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    /// Connected to a protected port of this host's own addresses.
    pub inside: Vec<Session>,
    /// Waiting at a protected port.
    pub guarded: Vec<Session>,
    /// Waiting at any other port, where others reach it.
    pub reached: Vec<Session>,
}

fn sockets(protected: &Ports, links: &[Link]) -> Result<Sockets, RequestError> {
    let own: BTreeSet<_> = links.iter().flat_map(|link| &link.addresses).collect();
    let mut found = Sockets::default();
    for one in table(Which::Listening)? {
        if protected.has(one.local.port()) {
            found.guarded.push(one);
        } else if !one.local.ip().is_loopback() {
            found.reached.push(one);
        }
    }
    // The users of the node's own programs.
    let users: BTreeSet<u32> =
        found.guarded.iter().filter(|one| one.local.port() != EPMD).map(|one| one.user).collect();
    found.inside = connected_to(protected)?;
    found.inside.retain(|one| {
        let to = one.remote;
        one.state == State::Established
            && (to.ip().is_loopback() || own.contains(&to.ip()))
            // Every VM is registered with the port mapper.
            && !(to.port() == EPMD && users.contains(&one.user))
    });
    Ok(found)
}

impl Sockets {
    fn wanted(&self) -> BTreeSet<u32> {
        let all = self.inside.iter().chain(&self.guarded).chain(&self.reached);
        all.map(|one| one.inode).filter(|inode| *inode != 0).collect()
    }

    /// One finding for each program and port.
    pub(super) fn proxies(&self, holders: &[Holder]) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        for one in &self.inside {
            let has = |holder: &&Holder| holder.inodes.contains(&one.inode);
            for holder in holders.iter().filter(has) {
                if self.is_own(one, holder) {
                    continue;
                }
                let Some(listens) = self.listens(holder, holders) else { continue };
                let is_same = |other: &Found| match other {
                    Found::Proxy { program, to, .. } => *program == holder.name && *to == one.remote,
                    _ => false,
                };
                if !found.iter().any(is_same) {
                    let (program, pid) = (holder.name.clone(), holder.pid);
                    found.push(Found::Proxy { program, pid, listens: listens.local, to: one.remote });
                }
            }
        }
        found
    }

    /// Whether it is of the guarded program itself.
    fn is_own(&self, one: &Session, holder: &Holder) -> bool {
        let is_erlang = holder.name.starts_with("beam");
        let mut there = self.guarded.iter().filter(|other| other.local.port() == one.remote.port());
        there.any(|other| holder.inodes.contains(&other.inode) || is_erlang && other.user == one.user)
            || is_erlang && one.remote.port() == EPMD
            || holder.name == "epmd"
    }

    /// Where others reach this process, or another one of the same program: many have one that accepts and others that work.
    fn listens(&self, holder: &Holder, holders: &[Holder]) -> Option<&Session> {
        let program = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
        let same = holders.iter().filter(|other| program(&other.name) == program(&holder.name));
        let inodes: BTreeSet<u32> = same.flat_map(|other| other.inodes.iter().copied()).collect();
        self.reached.iter().find(|one| inodes.contains(&one.inode))
    }
}
