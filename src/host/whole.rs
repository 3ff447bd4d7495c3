//! All rules of this host, and where it stands in its networks, for the questions about the whole of it.
//!
//! What the kernel holds is read by netlink, with every set. iptables-legacy has no such way: its tables are read as its own tool
//! prints them, where any is loaded.
//!
//! [`Around`] is what comes of it for a site, wherever somebody else has rules: for a host that has ours alone, their claims say
//! all.
//!
//! INVARIANT (unread is not empty): what cannot be read stands in [`Ruleset::unread`] and is no lack of rules.

use super::HostError;
use super::iptables;
use super::links::{Link, lo_is_loopback};
use super::nft;
use super::routing;
use crate::cluster::Site;
use crate::dialect::netlink::{self, Names, RequestError, Scope, lift_named};
use crate::ir::{Family, Ruleset};
use crate::net::Surroundings;
use crate::semantics::TooLarge;
use crate::verify::{Answer, whole};

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

/// What the rules of others make of what ours say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Around {
    /// There are none, or it was not asked.
    Nothing,
    /// The answers of the whole host.
    Answered {
        /// Each of them.
        answers: Vec<Answer>,
        /// Whether they stay true as long as nf_tables and what surrounds this host are the same.
        lasting: bool,
    },
    /// Why they cannot be judged.
    Unjudged(String),
}

impl Around {
    /// What comes of all the rules of this host now; of `instead` in the place of ours, where that is given.
    #[must_use]
    pub fn of(site: &Site<'_>, links: &[Link], instead: Option<&Ruleset>) -> Self {
        let read = || Ok::<_, HostError>((Everything::read()?, surroundings(links)?));
        let (mut everything, surroundings) = match read() {
            Ok(read) => read,
            Err(error) => return Self::Unjudged(error.to_string()),
        };
        if let Some(instead) = instead {
            let tables = &mut everything.ruleset.tables;
            tables.retain(|table| table.family != Family::Inet || table.name != nft::TABLE);
            tables.extend(instead.tables.iter().cloned());
        }
        match whole(&everything.ruleset, site, &surroundings) {
            Ok(answers) => {
                // Nobody tells of changes of ipset and of iptables-legacy.
                let lasting = everything.ruleset.sets.is_empty() && everything.writers.is_empty();
                Self::Answered { answers, lasting }
            }
            Err(error @ TooLarge) => Self::Unjudged(error.to_string()),
        }
    }

    /// Those who are shut out for certain, or get in.
    pub fn shadows(&self) -> impl Iterator<Item = &Answer> {
        self.answers().iter().filter(|answer| answer.is_shadow())
    }

    /// Whether all of it is known to be as the cluster file wants it, and stays so as long as nf_tables and what surrounds this
    /// host are the same.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Answered { answers, lasting } => *lasting && answers.iter().all(Answer::is_good),
            Self::Unjudged(_) => false,
        }
    }

    /// The answers, where there are any.
    #[must_use]
    pub fn answers(&self) -> &[Answer] {
        match self {
            Self::Answered { answers, .. } => answers,
            Self::Nothing | Self::Unjudged(_) => &[],
        }
    }
}

/// Where this host stands in its networks.
///
/// # Errors
/// Where the kernel does not tell.
pub fn surroundings(links: &[Link]) -> Result<Surroundings, HostError> {
    let ways = routing::ways().map_err(HostError::Routing)?;
    let locals = routing::local_networks().map_err(HostError::Routing)?;
    let (hosts, networks): (Vec<_>, Vec<_>) = locals.into_iter().partition(|local| local.is_host());
    let of_links = links.iter().flat_map(|link| link.addresses.iter().copied());
    let mut addresses: Vec<_> = of_links.chain(hosts.iter().map(|local| local.first())).collect();
    addresses.sort_unstable();
    addresses.dedup();
    // Where a whole network is local, any address of it is this host's.
    let complete = networks.iter().all(|network| network.first().is_loopback());
    Ok(Surroundings { addresses, complete, ..ways })
}
