//! All rules of this host, and where it stands in its networks, for the questions about the whole of it.
//!
//! What the kernel holds is read by netlink, with every set. iptables-legacy has no such way: its tables are read as its own tool
//! prints them, where any is loaded.
//!
//! INVARIANT (unread is not empty): what cannot be read stands in [`Ruleset::unread`] and is no lack of rules.

use super::HostError;
use super::iptables;
use super::links::{Link, lo_is_loopback};
use super::nft;
use super::routing;
use crate::dialect::netlink::{self, Names, RequestError, Scope, lift_named};
use crate::ir::Ruleset;
use crate::net::Surroundings;

/// All rules of this network namespace.
#[derive(Clone, Debug, Default)]
pub struct Everything {
    /// What they say.
    pub ruleset: Ruleset,
    /// What of them is not understood.
    pub unknown: Vec<String>,
    /// The tools whose word is taken for tables that the kernel does not tell of.
    pub writers: Vec<String>,
}

impl Everything {
    /// Reads it.
    ///
    /// # Errors
    /// Where the kernel cannot be asked.
    pub fn read() -> Result<Self, HostError> {
        let mut all = Self::default();
        match nft::open() {
            Ok(mut socket) => {
                let kernel = netlink::read(&mut socket, nft::TABLE, Scope::Whole)?;
                let names = Names::read(&mut socket, kernel.own.iter().chain(&kernel.others))?;
                all.tables(&kernel, &names)?;
            }
            // A kernel without nf_tables has none of its rules.
            Err(HostError::NoNfTables) => {}
            Err(other) => return Err(other),
        }
        let found = iptables::every_legacy();
        all.ruleset.tables.extend(found.tables);
        all.ruleset.sets.extend(found.sets);
        all.ruleset.unread.extend(found.unread);
        all.unknown.extend(found.unknown);
        all.writers.extend(found.writers);
        all.ruleset.neighbours.extend(iptables::legacy_of_arp());
        if !lo_is_loopback() {
            all.ruleset.unread.push("lo is not the name of the loopback interface here".to_owned());
        }
        Ok(all)
    }

    fn tables(&mut self, kernel: &netlink::Kernel, names: &Names) -> Result<(), HostError> {
        for table in kernel.own.iter().chain(&kernel.others) {
            match lift_named(table, names).map_err(RequestError::from)? {
                Some(lifted) => {
                    self.ruleset.tables.push(lifted.table);
                    self.ruleset.unread.extend(lifted.unread);
                    self.unknown.extend(lifted.unknown);
                }
                None => {
                    self.ruleset.unread.extend(netlink::unread(table));
                    self.ruleset.neighbours.extend(netlink::about_neighbours(table));
                }
            }
        }
        Ok(())
    }
}

/// Where this host stands in its networks.
///
/// # Errors
/// Where the kernel does not tell.
pub fn surroundings(links: &[Link]) -> Result<Surroundings, HostError> {
    let (routes, by_policy) = routing::main_routes().map_err(HostError::Routing)?;
    let locals = routing::local_networks().map_err(HostError::Routing)?;
    let (hosts, networks): (Vec<_>, Vec<_>) = locals.into_iter().partition(|local| local.is_host());
    let of_links = links.iter().flat_map(|link| link.addresses.iter().copied());
    let mut addresses: Vec<_> = of_links.chain(hosts.iter().map(|local| local.first())).collect();
    addresses.sort_unstable();
    addresses.dedup();
    // Where a whole network is local, any address of it is this host's.
    let complete = networks.iter().all(|network| network.first().is_loopback());
    Ok(Surroundings { addresses, complete, routes, by_policy })
}
