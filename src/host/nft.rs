//! Our table of nf_tables: read, changed, given back.

use std::borrow::Cow;
use std::{io, mem};

use nix::errno::Errno;

use super::iptables::is_own_chain;
use super::known::{self, Expected, FullLook};
use super::{BaseChain, HostError};
use crate::dialect::netlink::{
    self, Chain, CommitError, Expression, Extent, Kernel, Protocol, RequestError, Scope, Set, Socket, Table, Touched,
    lift, update,
};
use crate::ir;

/// The name of our table, which is in the family `inet`.
pub use crate::ir::ours::TABLE;

/// Others change the rules some times a second at worst; each change of ours takes milliseconds.
const ATTEMPTS: usize = 50;

/// Our table as it is, and what else there is.
#[derive(Clone, Debug)]
pub struct Live {
    /// As the kernel tells it.
    pub kernel: Kernel,
    /// What our table means.
    pub ruleset: ir::Ruleset,
    /// What of it is not understood.
    pub unknown: Vec<String>,
}

/// Opens a way to the kernel's tables.
///
/// # Errors
/// Where the kernel has no nf_tables.
pub fn open() -> Result<Socket, HostError> {
    Socket::open(Protocol::Netfilter).map_err(not_opened)
}

/// Every kernel with a network has AF_NETLINK: who is told that there is no such family of addresses is kept from asking, by a sandbox
/// (`RestrictAddressFamilies=` of systemd), and nothing follows of what the kernel has. Without nfnetlink it is the protocol that is
/// missing (netlink(7), socket(2)).
fn not_opened(error: io::Error) -> HostError {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPROTONOSUPPORT) => HostError::NoNfTables,
        _ => HostError::Netlink(RequestError::Io(error)),
    }
}

/// Whether the kernel has what nf_tables and ipset are asked by (nfnetlink); where it does not say so, it has.
#[must_use]
pub fn can_be_asked() -> bool {
    !matches!(open(), Err(HostError::NoNfTables))
}

/// Whether the kernel has nf_tables.
///
/// # Errors
/// Where it cannot be asked.
pub fn is_here() -> Result<bool, HostError> {
    match open().and_then(|mut socket| Ok(netlink::generation(&mut socket)?)) {
        Ok(_) => Ok(true),
        Err(HostError::NoNfTables) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Reads our table.
///
/// # Errors
/// Where the kernel cannot be asked, or changes faster than it can be read.
pub fn read(scope: Scope) -> Result<Live, HostError> {
    Live::of(netlink::read(&mut open()?, TABLE, scope)?)
}

/// Reads our table without the members of its sets, where these are expected to be those of `known`, and reads back what of them was
/// changed; `None` where they may be others.
///
/// # Errors
/// As [`read`].
pub fn read_expected(expected: &Expected, known: &Table) -> Result<Option<Live>, HostError> {
    let mut socket = open()?;
    let mut kernel = netlink::read(&mut socket, TABLE, Scope::Rules)?;
    if !known::fill(&mut kernel, expected, known) {
        return Ok(None);
    }
    let Some(own) = kernel.own.as_ref() else { return Ok(None) };
    for touched in &expected.touched {
        if !holds(&mut socket, own, touched)? {
            return Ok(None);
        }
    }
    if netlink::generation(&mut socket)? != kernel.generation {
        return Ok(None);
    }
    Live::of(kernel).map(Some)
}

/// Whether the kernel has in a set what a change was to make of it: read back by key, or as a whole.
fn holds(socket: &mut Socket, own: &Table, touched: &Touched) -> Result<bool, HostError> {
    let Some(set) = own.set(&touched.set) else { return Ok(false) };
    let Some(keys) = &touched.keys else {
        let read = Set { elements: netlink::elements(socket, own, set)?, ..set.clone() };
        return Ok(netlink::same_elements(&read, set).map_err(RequestError::from)?);
    };
    for (key, there) in keys {
        if netlink::has(socket, own, &set.name, key)? != *there {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A number of the network namespace that no other has while the machine runs, where the kernel gives one.
#[must_use]
pub fn namespace() -> Option<u64> {
    open().ok()?.namespace()
}

/// What one quick look shows.
#[derive(Clone, Debug, Default)]
pub struct Glance {
    /// The number of the last change.
    pub generation: u32,
    /// That of our table, if it is there.
    pub handle: Option<u64>,
    /// What its rules have counted: comment, packets, bytes.
    pub counters: Vec<(String, u64, u64)>,
}

/// The generation, the handle of our table, and what its rules have counted.
///
/// # Errors
/// Where the kernel cannot be asked.
pub fn glance() -> Result<Glance, HostError> {
    let (generation, table) = netlink::outline(&mut open()?, TABLE)?;
    let table = table.as_ref();
    Ok(Glance {
        generation,
        handle: table.map(|table| table.handle),
        counters: table.map(counters).unwrap_or_default(),
    })
}

impl Live {
    fn of(kernel: Kernel) -> Result<Self, HostError> {
        let lifted = kernel.own.as_ref().map(lift).transpose().map_err(RequestError::from)?.flatten();
        let Some(lifted) = lifted else {
            return Ok(Self { kernel, ruleset: ir::Ruleset::default(), unknown: Vec::new() });
        };
        let (tables, unread) = (vec![lifted.table], lifted.unread);
        Ok(Self { kernel, ruleset: ir::Ruleset { tables, unread, ..ir::Ruleset::default() }, unknown: lifted.unknown })
    }

    /// What the blocking rules have counted, by their comments.
    #[must_use]
    pub fn counters(&self) -> Vec<(String, u64, u64)> {
        self.kernel.own.as_ref().map(counters).unwrap_or_default()
    }

    /// The base chains of others that packets for this host meet.
    #[must_use]
    pub fn others(&self) -> Vec<BaseChain> {
        let mut chains: Vec<BaseChain> = self.kernel.others.iter().flat_map(base_chains).collect();
        chains.sort();
        chains
    }

    /// Whether tables of iptables-nft have chains of ours.
    #[must_use]
    pub fn has_own_chains(&self) -> bool {
        of_iptables(&self.kernel).any(has_own_chain)
    }

    /// Whether packets come into rules of ours there: a chain of somebody else leads to one of ours that has any.
    #[must_use]
    pub fn has_own_rules(&self) -> bool {
        of_iptables(&self.kernel).any(leads_to_ours)
    }

    /// A rule of others that masquerades outgoing packets: NAT then chooses their source ports itself.
    #[must_use]
    pub fn masquerade(&self) -> Option<String> {
        self.kernel.others.iter().find_map(masquerade)
    }
}

/// The tables in which iptables-nft has what is ours. A chain with such a name in a table of another name or family is somebody else's.
pub(in crate::host) fn of_iptables(kernel: &Kernel) -> impl Iterator<Item = &Table> {
    // NFPROTO_IPV4 and NFPROTO_IPV6 (linux/netfilter.h).
    let is_of_both = |table: &&Table| matches!(table.family, 2 | 10);
    kernel.others.iter().filter(is_of_both).filter(|table| matches!(table.name.as_str(), "raw" | "mangle"))
}

/// Whether a table has a chain of ours, whatever is in it.
pub(in crate::host) fn has_own_chain(table: &Table) -> bool {
    table.chains.iter().any(is_own)
}

/// Whether a chain of such a table is ours: the kernel comes to none of ours by itself.
fn is_own(chain: &Chain) -> bool {
    chain.base.is_none() && is_own_chain(&chain.name)
}

/// Whether a chain of somebody else leads to one of ours that has a rule. A rule that cannot be read may.
fn leads_to_ours(table: &Table) -> bool {
    let has_rules =
        |name: &str| table.chains.iter().any(|chain| is_own(chain) && chain.name == name && !chain.rules.is_empty());
    let leads = |program: &[Expression]| {
        program.iter().any(|one| {
            matches!(one, Expression::Verdict { chain: Some(chain), .. } if is_own_chain(chain) && has_rules(chain))
        })
    };
    let others = table.chains.iter().filter(|chain| !is_own(chain)).flat_map(|chain| &chain.rules);
    let unread = || table.chains.iter().any(|chain| is_own(chain) && !chain.rules.is_empty());
    others.into_iter().any(|rule| rule.program().map_or_else(|_| unread(), |program| leads(&program)))
}

/// What the blocking rules of a table have counted.
fn counters(table: &Table) -> Vec<(String, u64, u64)> {
    let counted = table.rules().filter_map(|(_, rule)| {
        let counter = rule.program().ok()?.into_iter().find_map(|one| match one {
            Expression::Counter { packets, bytes } => Some((packets, bytes)),
            _ => None,
        });
        let (packets, bytes) = counter?;
        Some((rule.comment()?.escape_debug().to_string(), packets, bytes))
    });
    counted.collect()
}

fn base_chains(table: &Table) -> Vec<BaseChain> {
    // NF_INET_… (linux/netfilter.h); bridges and devices have hooks of their own.
    let hook = |number| match (table.family, number) {
        (1 | 2 | 10, 0) => Some("prerouting"),
        (1 | 2 | 10, 1) => Some("input"),
        (1, 5) => Some("ingress"),
        (5, 0) => Some("ingress"),
        (7, 0) => Some("prerouting"),
        (7, 1) => Some("input"),
        _ => None,
    };
    let family = match table.family {
        1 => "inet",
        2 => "ip",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => return Vec::new(),
    };
    let chains = table.chains.iter().filter_map(|chain| {
        // One that is empty and accepts does nothing.
        let base = chain.base.as_ref().filter(|base| base.policy == 0 || !chain.rules.is_empty())?;
        Some(BaseChain {
            hook: hook(base.hook)?,
            priority: base.priority,
            name: format!("{family} {} {}", table.name.escape_debug(), chain.name.escape_debug()),
            drops: base.policy == 0,
            rules: chain.rules.len(),
        })
    });
    chains.collect()
}

fn masquerade(table: &Table) -> Option<String> {
    let (chain, _) = table.rules().find(|(_, rule)| {
        let program = rule.program().unwrap_or_default();
        program.iter().any(|one| match one {
            Expression::Other { name, data } if name == "target" => {
                let has = |word: &[u8]| data.windows(word.len()).any(|window| window == word);
                has(b"MASQUERADE\0") || has(b"SNAT\0")
            }
            Expression::Other { name, data } => name == "masq" || (name == "nat" && is_source_nat(data)),
            _ => false,
        })
    })?;
    Some(format!("chain {} of table {}", chain.name.escape_debug(), table.name.escape_debug()))
}

/// NFTA_NAT_TYPE is the first attribute, and source NAT its value 0 (linux/netfilter/nf_tables.h).
fn is_source_nat(data: &[u8]) -> bool {
    netlink::find(data, 1).ok().flatten().is_some_and(|kind| kind.iter().all(|byte| *byte == 0))
}

/// Our table at one moment.
#[derive(Clone, Debug)]
pub struct Moment<'a> {
    /// The number of the last change.
    pub generation: u32,
    /// The table, if there was one.
    pub table: Option<Cow<'a, Table>>,
    /// When everything was read last.
    pub full: FullLook,
}

/// Makes our table what is wanted, in one transaction. `known` is what was read before, which the kernel holds against
/// what there is; `before` gets what was there in the very moment before the change, and may still say no. What a look is to find behind
/// it is told where it is for certain: where no more than members changed, from `known`.
///
/// # Errors
/// Where nothing was changed; or [`HostError::Lost`], where reading again will tell.
pub fn change(
    wanted: Option<&Table>,
    mut known: Option<Moment<'_>>,
    mut before: impl FnMut(&Moment<'_>) -> Result<(), HostError>,
) -> Result<(Extent, Option<Expected>), HostError> {
    let mut socket = open()?;
    let mut least = Extent::Nothing;
    let mut partly = false;
    for _ in 0..ATTEMPTS {
        // What was read in between is not what the caller knows, and what it is to find is read as a whole then.
        let is_known = known.is_some();
        let now = match known.take() {
            Some(known) => known,
            None => {
                let full = FullLook::now()?;
                let kernel = netlink::read(&mut socket, TABLE, Scope::Own)?;
                Moment { generation: kernel.generation, table: kernel.own.map(Cow::Owned), full }
            }
        };
        if !partly {
            before(&now)?;
        }
        let (extent, mut changes) = update(now.table.as_deref(), wanted, least).map_err(RequestError::from)?;
        if changes.is_empty() {
            return Ok((extent, now.expected(now.generation, Vec::new()).filter(|_| is_known)));
        }
        match changes.commit(&mut socket, now.generation) {
            Ok(()) if extent == Extent::Elements => {
                let touched = mem::take(&mut changes.touched);
                let expected = now.expected(netlink::next(now.generation), touched);
                return Ok((extent, expected.filter(|_| is_known)));
            }
            Ok(()) => return Ok((extent, None)),
            Err(CommitError::Changed) => {}
            // What was there before was there before the first part.
            Err(CommitError::Partly(error)) if matches!(*error, CommitError::Changed) => partly = true,
            Err(CommitError::Partly(_)) => return Err(HostError::Lost),
            // What the kernel does not take in pieces, it may take whole.
            Err(CommitError::Refused { .. }) if extent == Extent::Elements => least = Extent::Rules,
            Err(_) if partly => return Err(HostError::Lost),
            Err(other) => return Err(other.into()),
        }
    }
    Err(if partly { HostError::Lost } else { CommitError::Changed.into() })
}

impl Moment<'_> {
    /// What a look at a generation is to find.
    fn expected(&self, generation: u32, touched: Vec<Touched>) -> Option<Expected> {
        let handle = self.table.as_ref()?.handle;
        Some(Expected { generation, handle, touched, full: self.full.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number that the kernel gives behind the greatest is 1: it leaves 0 out (nft_base_seq).
    #[test]
    fn a_look_behind_a_change_expects_the_number_that_follows() {
        let full = FullLook::now().unwrap();
        let moment = |generation, table| Moment { generation, table, full: full.clone() };
        let table = || Some(Cow::Owned(Table { handle: 5, ..Table::default() }));
        for (generation, next) in [(1, 2), (u32::MAX - 1, u32::MAX), (u32::MAX, 1)] {
            let own = moment(generation, table());
            let expected = own.expected(netlink::next(own.generation), Vec::new()).unwrap();
            assert_eq!((expected.generation, expected.handle), (next, 5));
        }
        assert!(moment(7, None).expected(8, Vec::new()).is_none());
    }

    #[test]
    fn who_may_not_ask_is_not_told_that_there_is_no_nf_tables() {
        let of = |errno: Errno| not_opened(io::Error::from_raw_os_error(errno as i32));
        assert!(matches!(of(Errno::EPROTONOSUPPORT), HostError::NoNfTables));
        for errno in [Errno::EAFNOSUPPORT, Errno::EPERM, Errno::EMFILE] {
            assert!(!matches!(of(errno), HostError::NoNfTables), "{errno}");
        }
    }
}
