//! Waiting for a change that may concern the guard.
//!
//! The kernel tells of every change of its routing and of nf_tables; of iptables-legacy it tells nothing. What is heard is
//! sorted by what it may mean, at a cost of microseconds, and is only a reason to look: [`Agenda`] says when.
//!
//! INVARIANT (lost is heard): where news were lost for want of room, everything may have happened.

mod agenda;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use agenda::Agenda;

use super::iptables::is_own_chain;
use super::routing;
use crate::dialect::netlink::{self, Malformed, Message, News, Protocol, Socket, What, messages};
use crate::ir::ours;

/// After so many datagrams somebody may want to do something about them.
const AT_ONCE: usize = 1000;
/// Numbers of families (NFPROTO_…).
const INET: u8 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// What a change may concern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Matter {
    /// What is this host's.
    Routing,
    /// Rules of others, which matter where they are to let through whom the guard admits.
    Rules,
    /// What of others the kernel's hooks lead into: a translation may come, which the guard has to know of.
    Hooks,
    /// The guard itself.
    Guard,
}

impl Matter {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Routing, Self::Rules, Self::Hooks, Self::Guard];
}

/// The kernel's news.
#[derive(Debug)]
pub struct Watch {
    routing: Socket,
    /// Not every kernel has nf_tables.
    tables: Option<Socket>,
}

impl Watch {
    /// Listens from now on.
    ///
    /// # Errors
    /// Where the kernel does not let it.
    pub fn start() -> io::Result<Self> {
        let tables = match Socket::subscribe(Protocol::Netfilter, netlink::GROUP) {
            Ok(socket) => Some(socket),
            Err(error) if is_unknown(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { routing: Socket::subscribe(Protocol::Route, routing::news::GROUPS)?, tables })
    }

    /// Waits no longer than that for news, and says what they may concern.
    ///
    /// # Errors
    /// Where the kernel is not heard any more.
    pub fn hear(&mut self, at_most: Duration) -> io::Result<BTreeSet<Matter>> {
        let mut wanted: Vec<PollFd<'_>> = [Some(&self.routing), self.tables.as_ref()]
            .into_iter()
            .flatten()
            .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
            .collect();
        // One more, so that what begins then has begun.
        let millis = at_most.as_millis().saturating_add(1).min(i32::MAX as u128) as i32;
        match poll(&mut wanted, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        drop(wanted);
        let mut heard = BTreeSet::new();
        take(&mut self.routing, &mut heard, |message| {
            Ok(routing::news::may_matter(message).then_some(Matter::Routing))
        })?;
        if let Some(tables) = &mut self.tables {
            take(tables, &mut heard, |message| Ok(netlink::news(message)?.as_ref().and_then(matter_of)))?;
        }
        Ok(heard)
    }
}

fn is_unknown(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT))
}

/// Takes what has come.
fn take(
    socket: &mut Socket,
    heard: &mut BTreeSet<Matter>,
    sort: impl Fn(&Message<'_>) -> Result<Option<Matter>, Malformed>,
) -> io::Result<()> {
    for _ in 0..AT_ONCE {
        let datagram = match socket.receive(false) {
            Ok(Some(datagram)) => datagram,
            Ok(None) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {
                heard.extend(Matter::ALL);
                continue;
            }
            Err(error) => return Err(error),
        };
        for message in messages(datagram) {
            match message.and_then(|message| sort(&message)) {
                Ok(matter) => heard.extend(matter),
                Err(Malformed) => heard.extend(Matter::ALL),
            }
        }
    }
    Ok(())
}

/// What news of nf_tables may concern.
fn matter_of(news: &News<'_>) -> Option<Matter> {
    if news.family == INET && news.table == ours::TABLE.as_bytes() {
        return Some(Matter::Guard);
    }
    match news.what {
        What::Table if is_of_iptables(news) => Some(Matter::Guard),
        What::Table => Some(Matter::Hooks),
        What::Chain(name, _) | What::Rule(name) if is_of_iptables(news) && is_guards(name) => Some(Matter::Guard),
        What::Chain(_, true) => Some(Matter::Hooks),
        What::Chain(..) | What::Rule(_) => Some(Matter::Rules),
        // Bans come and go, and maps of services; of sets only those of ours are to be there.
        What::Set(name) => is_ours(name).then_some(Matter::Rules),
        What::Other => None,
    }
}

/// Whether iptables has brought our chains into this table, if it has brought any.
fn is_of_iptables(news: &News<'_>) -> bool {
    [IPV4, IPV6].contains(&news.family) && [b"raw".as_slice(), b"mangle"].contains(&news.table)
}

/// Whether a chain there is ours, or leads into ours.
fn is_guards(name: &[u8]) -> bool {
    [b"PREROUTING".as_slice(), b"INPUT"].contains(&name) || std::str::from_utf8(name).is_ok_and(is_own_chain)
}

fn is_ours(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| ours::is_open(name) || ours::is_set(name))
}

#[cfg(test)]
mod tests;
