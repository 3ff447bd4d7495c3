//! All rules of this host, and where it stands in its networks, for the questions about the whole of it.
//!
//! What the kernel holds is read by netlink, with every set, and the sets of ipset where any rule asks one. iptables-legacy has no
//! such way: its tables are read as its own tool prints them, where any is loaded.
//!
//! INVARIANT (unread is not empty): what cannot be read stands in [`Ruleset::unread`] and is no lack of rules.

mod sets;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;

use self::sets::Asked;
use super::iptables;
use super::links::{Link, lo_is_loopback};
use super::nft;
use super::routing;
use super::rules::InForce;
use super::{HostError, known};
use crate::dialect::netlink::{self, Names, Protocol, RequestError, Scope, Socket, UNNAMED_IP_SET, lift_named};
use crate::ir::Ruleset;
use crate::net::{Interface, Surroundings, is_numbered};

/// All rules of this network namespace.
#[derive(Clone, Debug, Default)]
pub struct Everything {
    /// What they say.
    pub ruleset: Ruleset,
    /// What of them is not understood.
    pub unknown: Vec<String>,
    /// The tools whose word is taken for tables that the kernel does not tell of.
    pub writers: Vec<String>,
    /// The handles of the rules of each chain, for each of the first of the tables: those of nf_tables. What follows is
    /// iptables-legacy's.
    pub handles: Vec<BTreeMap<String, Vec<u64>>>,
}

/// Others change the rules some times a second at worst.
const ATTEMPTS: usize = 5;

impl Everything {
    /// Reads it.
    ///
    /// # Errors
    /// Where the kernel cannot be asked.
    pub fn read() -> Result<Self, HostError> {
        Self::knowing(None)
    }

    /// Reads it without the members of our sets, where these are those that were in force a moment ago and nothing was changed since.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_beside(in_force: &InForce) -> Result<Self, HostError> {
        Self::knowing(Some(in_force))
    }

    fn knowing(in_force: Option<&InForce>) -> Result<Self, HostError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut all = Self::default();
            let generation = all.of_nf_tables(in_force)?;
            all.of_legacy();
            if !lo_is_loopback() {
                all.ruleset.unread.push("lo is not the name of the loopback interface here".to_owned());
            }
            all.ruleset.expecting = expecting();
            let asked = Asked::by(&all.ruleset.tables);
            if asked.is_nothing() {
                return Ok(all);
            }
            all.of_ipset(&asked);
            // Whoever exchanges sets and rules together does not leave old sets to new rules.
            let is_still = generation.is_none_or(|before| changes().is_ok_and(|now| now == before));
            if is_still || tries >= ATTEMPTS {
                if !is_still {
                    all.ruleset.unread.push("the rules changed while they were read".to_owned());
                }
                return Ok(all);
            }
        }
    }

    /// The tables of nf_tables, and the number of their last change.
    fn of_nf_tables(&mut self, in_force: Option<&InForce>) -> Result<Option<u32>, HostError> {
        let mut socket = match nft::open() {
            Ok(socket) => socket,
            // A kernel without nf_tables has none of its rules.
            Err(HostError::NoNfTables) => return Ok(None),
            Err(other) => return Err(other),
        };
        let known = in_force.and_then(|in_force| Some((in_force.expected()?, in_force.table()?)));
        let of_others = known.map(|(expected, table)| {
            let mut kernel = netlink::read(&mut socket, nft::TABLE, Scope::WholeOthers)?;
            Ok::<_, RequestError>(known::fill(&mut kernel, &expected, table).then_some(kernel))
        });
        let kernel = match of_others.transpose()?.flatten() {
            Some(kernel) => kernel,
            None => netlink::read(&mut socket, nft::TABLE, Scope::Whole)?,
        };
        let names = Names::read(&mut socket, kernel.own.iter().chain(&kernel.others))?;
        self.tables(&kernel, &names)?;
        Ok(Some(kernel.generation))
    }

    fn of_legacy(&mut self) {
        let found = iptables::every_legacy();
        self.ruleset.tables.extend(found.tables);
        self.ruleset.unread.extend(found.unread);
        self.unknown.extend(found.unknown);
        self.writers.extend(found.writers);
        self.ruleset.neighbours.extend(iptables::legacy_of_arp());
    }

    /// The sets of ipset that are asked. Where they cannot be read, what asks them is as unknown as they are.
    fn of_ipset(&mut self, asked: &Asked) {
        let found = Socket::open(Protocol::Netfilter).map_err(RequestError::from);
        match found.and_then(|mut socket| netlink::ip_sets(&mut socket)) {
            Ok(found) => {
                let lists = found.lists.clone();
                let (sets, unknown) = asked.among(found);
                self.ruleset.sets.extend(sets);
                self.unknown.extend(unknown);
                let is_any = |name: &str| lists.contains(name) || name.starts_with(UNNAMED_IP_SET);
                if self.ruleset.forget_changed_through(is_any) {
                    self.unknown.push(
                        "ipset: rules change sets that a list of sets has, or through it, or one without a name"
                            .to_owned(),
                    );
                }
            }
            Err(error) => self.unknown.push(format!("ipset: {error}")),
        }
    }

    fn tables(&mut self, kernel: &netlink::Kernel, names: &Names) -> Result<(), HostError> {
        for table in kernel.own.iter().chain(&kernel.others) {
            match lift_named(table, names).map_err(RequestError::from)? {
                Some(lifted) => {
                    self.ruleset.neighbours.extend(lifted.table.about_arp());
                    self.ruleset.tables.push(lifted.table);
                    let handles = |chain: &netlink::Chain| chain.rules.iter().map(|rule| rule.handle).collect();
                    self.handles.push(table.chains.iter().map(|chain| (chain.name.clone(), handles(chain))).collect());
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

/// What besides the rules may have connection tracking expect TCP connections: helpers that connections get by their port (a setting
/// that Linux had up to 5.19), and helpers in user space, which may bear any name. Where the kernel has neither, neither file is there.
fn expecting() -> Vec<String> {
    const SETTING: &str = "/proc/sys/net/netfilter/nf_conntrack_helper";
    const IN_USER_SPACE: &str = "/sys/module/nfnetlink_cthelper";
    let is_off = |text: String| text.trim() == "0";
    let by_port = fs::exists(SETTING).unwrap_or(true) && !fs::read_to_string(SETTING).is_ok_and(is_off);
    let in_user_space = fs::exists(IN_USER_SPACE).unwrap_or(true);
    let by_port = by_port.then(|| "net.netfilter.nf_conntrack_helper is not 0".to_owned());
    by_port.into_iter().chain(in_user_space.then(|| "helpers in user space (nfnetlink_cthelper)".to_owned())).collect()
}

/// The number of the last change of nf_tables.
fn changes() -> Result<u32, HostError> {
    Ok(netlink::generation(&mut nft::open()?)?)
}

/// Where this host stands in its networks.
///
/// # Errors
/// Where the kernel does not tell.
pub fn surroundings(links: &[Link]) -> Result<Surroundings, HostError> {
    let ways = routing::ways().map_err(HostError::Routing)?;
    let (locals, all) = routing::local_networks().map_err(HostError::Routing)?;
    let (hosts, networks): (Vec<_>, Vec<_>) = locals.into_iter().partition(|local| local.is_host());
    let local: BTreeSet<IpAddr> = hosts.iter().map(|local| local.first()).collect();
    let of_links: BTreeSet<IpAddr> = links.iter().flat_map(|link| link.addresses.iter().copied()).collect();
    let has = |address: &IpAddr| local.contains(address) || networks.iter().any(|network| network.has(*address));
    let not_local = of_links.iter().filter(|address| !has(address)).copied().collect();
    let addresses = of_links.union(&local).copied().collect();
    // Where a whole network is local, any address of it is this host's.
    let complete = all && networks.iter().all(|network| network.first().is_loopback());
    let unnumbered = links.iter().flat_map(|link| {
        let name = link.name.parse::<Interface>().ok().filter(|_| link.name != "lo");
        let missing =
            [true, false].into_iter().filter(|ipv4| !link.addresses.iter().any(|own| is_numbered(own, *ipv4)));
        missing.filter_map(move |ipv4| Some((name.clone()?, ipv4)))
    });
    Ok(Surroundings { addresses, complete, not_local, unnumbered: unnumbered.collect(), ..ways })
}
