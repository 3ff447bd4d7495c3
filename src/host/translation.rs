//! Whether something on this host translates destinations (DNAT, REDIRECT), in the network namespace of the calling thread.
//!
//! A connection then may come in by an address that is none of this host's, and to another port than it had on the wire,
//! and only connection tracking still knows. It is asked only where NAT has switched it on anyway.

use std::fs;
use std::io::ErrorKind;

use super::HostError;
use super::nft;
use crate::dialect::netlink::{self, Chain, Scope, Table};

/// Which tables of iptables-legacy are loaded here; there is no such file where the kernel has none.
const LEGACY: [&str; 2] = ["/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"];
/// NF_INET_PRE_ROUTING (linux/netfilter.h).
const PREROUTING: u32 = 0;

/// Whether a rule of either back end may translate the destination of what comes in.
///
/// # Errors
/// Where the kernel does not tell.
pub fn is_here() -> Result<bool, HostError> {
    if in_legacy()? {
        return Ok(true);
    }
    let mut socket = match nft::open() {
        Ok(socket) => socket,
        Err(HostError::NoNfTables) => return Ok(false),
        Err(error) => return Err(error),
    };
    let kernel = netlink::read(&mut socket, nft::TABLE, Scope::Entrances)?;
    Ok(kernel.others.iter().any(translates))
}

/// iptables-legacy's nat table translates nothing as long as it is not loaded. Whether it has rules is not looked at.
///
/// # Errors
/// Where /proc does not tell.
pub fn in_legacy() -> Result<bool, HostError> {
    for list in LEGACY {
        match fs::read_to_string(list) {
            Ok(names) if names.lines().any(|name| name == "nat") => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(HostError::NoRight),
            Err(error) => return Err(HostError::Place { what: "the tables of iptables-legacy", error }),
        }
    }
    Ok(false)
}

fn translates(table: &Table) -> bool {
    let at_prerouting =
        |chain: &Chain| chain.base.as_ref().is_some_and(|base| base.kind == "nat" && base.hook == PREROUTING);
    table.chains.iter().any(|chain| at_prerouting(chain) && !chain.rules.is_empty())
}
