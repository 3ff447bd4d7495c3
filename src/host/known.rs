//! What our sets hold, without reading all of it again.
//!
//! To read 100,000 members back costs more than all the rest of a change, and the kernel begins each of the pieces of such an answer by
//! walking through the set from its beginning. What it holds is known without that:
//!
//! - Whatever changes a set of ours is a transaction of nf_tables, and each raises the generation (nf_tables_commit). So the members
//!   that a complete look found are those of now, as long as the generation, the network namespace, the run of the machine and the
//!   table are the same ([`Known`]).
//! - A transaction of ours is bound to the generation at which its members were known, and the kernel refuses it at any other. Where the
//!   next generation is the one that follows, the sets hold what it made of them ([`Expected`]).
//! - What it changed is read back all the same: by its key, or where much of a set changed, or ranges did, that set as a whole.
//!
//! Rules, chains, and how sets are made are read every time: this is about members alone.
//!
//! INVARIANT (no other way): what may change members without a transaction, or is a kind of set that is not known here, is
//! read as a whole: sets with timeouts, that rules fill or empty, whose elements have expressions, maps; a table that belongs to a process, or
//! that hangs at a device, or that holds more than chains and sets. Our own rules have none of these, which the tests hold.
//!
//! INVARIANT (an hour): members are read as a whole at least each [`LONGEST`] seconds. That is also far less than the time in which 2³²
//! transactions could bring the same generation again.
//!
//! A note that cannot be used for whatever reason is none, and everything is read.

use serde::{Deserialize, Serialize};

use super::pending::uptime;
use super::rules::InForce;
use super::snapshot::Snapshot;
use super::store::{Place, Store};
use super::time::utc;
use super::{HostError, nft, place};
use crate::dialect::netlink::{Kernel, Set, Table, Touched, fills_sets, to_messages};

/// So many seconds a complete look serves.
pub const LONGEST: f64 = 3600.0;
const KNOWN: &str = "members";

/// When everything was read last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FullLook {
    /// In UTC.
    pub at: String,
    /// In seconds since the machine started; another clock may be set back.
    uptime: f64,
}

/// How it is known what our sets hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// All of it was read just now.
    Read(FullLook),
    /// Members are those of an earlier look, and of changes of ours since; the rest was read just now.
    Derived(FullLook),
}

impl FullLook {
    /// Just now.
    ///
    /// # Errors
    /// Where /proc is not there.
    pub fn now() -> Result<Self, HostError> {
        Ok(Self { at: utc(std::time::SystemTime::now()), uptime: uptime()? })
    }

    /// Whether it serves still.
    #[must_use]
    pub fn is_recent(&self) -> bool {
        uptime().is_ok_and(|now| (0.0..LONGEST).contains(&(now - self.uptime)))
    }
}

impl Look {
    /// When everything was read last.
    #[must_use]
    pub fn full(&self) -> &FullLook {
        match self {
            Self::Read(full) | Self::Derived(full) => full,
        }
    }

    /// Whether members were not read just now.
    #[must_use]
    pub fn is_derived(&self) -> bool {
        match self {
            Self::Read(_) => false,
            Self::Derived(_) => true,
        }
    }
}

/// Where and when the members of a note were those of the kernel.
#[derive(Serialize, Deserialize)]
struct Stamp {
    program: String,
    boot: String,
    /// The number that the kernel gives to one network namespace only; see `Socket::namespace`.
    namespace: u64,
    generation: u32,
    handle: u64,
    full: FullLook,
}

/// Members as they were at a generation.
#[derive(Debug)]
pub struct Known {
    /// That generation.
    pub generation: u32,
    /// Our table then.
    pub table: Table,
    /// When everything was read last.
    pub full: FullLook,
}

/// What a look is to find, if nobody else was at work.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The generation.
    pub generation: u32,
    /// The number of our table.
    pub handle: u64,
    /// In which sets something was changed, which is read back.
    pub touched: Vec<Touched>,
    /// When everything was read last.
    pub full: FullLook,
}

impl Known {
    /// What was noted in this network namespace in this run of the machine, where it serves still.
    #[must_use]
    pub fn load(store: &Store) -> Option<Self> {
        let bytes = store.read(Place::Volatile, KNOWN).ok()??;
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (stamp, table) = bytes.split_at_checked(end + 1)?;
        let stamp: Stamp = serde_json::from_slice(stamp).ok()?;
        let here = stamp.program == env!("CARGO_PKG_VERSION")
            && place::boot_id().is_ok_and(|boot| boot == stamp.boot)
            && nft::namespace() == Some(stamp.namespace)
            && stamp.full.is_recent();
        let table = here.then(|| Table::from_messages(table).ok()).flatten()?;
        Some(Self { generation: stamp.generation, table: Table { handle: stamp.handle, ..table }, full: stamp.full })
    }

    /// Notes what is in force. It is no loss if that cannot be done.
    pub fn note(store: &Store, in_force: &InForce) {
        let noted =
            Self::bytes(in_force).map(|[stamp, table]| store.write_note(Place::Volatile, KNOWN, &[&stamp, &table]));
        if !matches!(noted, Some(Ok(()))) {
            let _ = store.remove(Place::Volatile, KNOWN);
        }
    }

    /// The stamp in its line, and the table.
    fn bytes(in_force: &InForce) -> Option<[Vec<u8>; 2]> {
        let (Snapshot::Nft(Some(table)), Some(generation)) = (in_force.snapshot(), in_force.generation) else {
            return None;
        };
        let stamp = Stamp {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            boot: place::boot_id().ok()?,
            namespace: nft::namespace()?,
            generation,
            handle: table.handle,
            full: in_force.look.full().clone(),
        };
        let mut bytes = serde_json::to_vec(&stamp).ok().filter(|_| is_steady(table))?;
        bytes.push(b'\n');
        Some([bytes, to_messages(table).ok()?])
    }

    /// What a look is to find where nothing was changed since.
    #[must_use]
    pub fn expected(&self) -> Expected {
        let Self { generation, table, full } = self;
        Expected { generation: *generation, handle: table.handle, touched: Vec::new(), full: full.clone() }
    }
}

/// Forgets what was noted.
///
/// # Errors
/// Where the note cannot be taken away.
pub fn forget(store: &Store) -> Result<(), HostError> {
    Ok(store.remove(Place::Volatile, KNOWN)?)
}

/// Gives the sets of our table, which were read without their members, the members of a table that is known. `false` where they may be
/// others.
pub(super) fn fill(kernel: &mut Kernel, expected: &Expected, known: &Table) -> bool {
    let Some(own) =
        kernel.own.as_mut().filter(|own| kernel.generation == expected.generation && own.handle == expected.handle)
    else {
        return false;
    };
    let alike = |own: &Set, other: &Set| {
        own.elements.is_empty()
            && (own.flags, own.key_type, own.key_length) == (other.flags, other.key_type, other.key_length)
    };
    let of = |set: &Set| known.set(&set.name).filter(|other| alike(set, other));
    if !is_steady(own) || own.sets.len() != known.sets.len() || !own.sets.iter().all(|set| of(set).is_some()) {
        return false;
    }
    for set in &mut own.sets {
        if let Some(known) = known.set(&set.name) {
            set.elements.clone_from(&known.elements);
        }
    }
    true
}

/// Whether nothing but a transaction changes what is in the sets of a table.
fn is_steady(table: &Table) -> bool {
    // NFT_TABLE_F_OWNER (linux/netfilter/nf_tables.h).
    const OWNED: u32 = 2;
    let on_devices = table.chains.iter().any(|chain| chain.base.as_ref().is_some_and(|base| base.on_devices));
    table.flags & OWNED == 0
        && !on_devices
        && !table.has_more()
        && !fills_sets(table)
        && table.sets.iter().all(|set| set.is_plain().unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::netlink::{Base, Chain, Rule, Writer};
    use crate::host::lab::in_new_network;

    fn table() -> Table {
        let set = Set { name: "peers4".into(), key_type: 7, key_length: 4, ..Set::default() };
        let base = Base { kind: "filter".into(), hook: 1, ..Base::default() };
        let chain = Chain { name: "input".into(), base: Some(base), rules: vec![Rule::default()], ..Chain::default() };
        Table {
            family: 1,
            name: "ringfence".into(),
            handle: 5,
            sets: vec![set],
            chains: vec![chain],
            uses: 2,
            ..Table::default()
        }
    }

    fn known() -> Table {
        let mut known = table();
        known.sets[0].elements = vec![1; 16].into();
        known
    }

    fn full() -> FullLook {
        FullLook { at: "2026-03-01T12:00:00Z".to_owned(), uptime: uptime().unwrap() }
    }

    fn fills(own: Table, generation: u32, known: &Table) -> bool {
        let mut kernel = Kernel { generation, own: Some(own), others: Vec::new() };
        let expected = Expected { generation: 9, handle: 5, touched: Vec::new(), full: full() };
        let filled = fill(&mut kernel, &expected, known);
        let there = kernel.own.is_some_and(|own| own.sets.iter().any(|set| !set.elements.is_empty()));
        assert_eq!(filled, there);
        filled
    }

    /// What may change without a transaction, or is another table, is read.
    #[test]
    fn only_what_cannot_have_changed_is_filled_in() {
        assert!(fills(table(), 9, &known()));
        assert!(!fills(table(), 10, &known()) && !fills(table(), 8, &known()));
        let with = |change: &dyn Fn(&mut Table)| {
            let mut own = table();
            change(&mut own);
            fills(own, 9, &known())
        };
        let dynset = |table: &mut Table| {
            let mut writer = Writer::default();
            writer.nest(1, |writer| {
                writer.text(1, "dynset");
                writer.nest(2, |writer| writer.text(1, "peers4"));
            });
            table.chains[0].rules[0].expressions = writer.into_bytes();
        };
        assert!(!with(&dynset));
        // NFT_SET_TIMEOUT, NFT_SET_EVAL, NFT_SET_MAP; another kind of set, another length of keys.
        for flags in [0x10, 0x20, 0x8, 0x4] {
            assert!(!with(&|table| table.sets[0].flags = flags), "{flags:#x}");
        }
        // NFTA_SET_TIMEOUT, NFTA_SET_EXPR.
        for attribute in [11, 17] {
            let attributes = [8, 0, attribute, 0, 0, 0, 0, 0].to_vec();
            assert!(!with(&|table| table.sets[0].attributes.clone_from(&attributes)), "{attribute}");
        }
        assert!(!with(&|table| table.sets[0].key_length = 16));
        assert!(!with(&|table| table.sets[0].name = "peers6".into()));
        assert!(!with(&|table| table.sets.push(Set { name: "more".into(), ..table.sets[0].clone() })));
        assert!(!with(&|table| table.sets.clear()));
        assert!(!with(&|table| table.handle = 6));
        // A process's own; something that is neither chain nor set.
        assert!(!with(&|table| table.flags = 2));
        assert!(!with(&|table| table.uses = 3));
        assert!(!with(&|table| table.chains[0].base.as_mut().unwrap().on_devices = true));
        let mut none = Kernel { generation: 9, own: None, others: Vec::new() };
        let expected = Expected { generation: 9, handle: 5, touched: Vec::new(), full: full() };
        assert!(!fill(&mut none, &expected, &known()));
    }

    /// What this program makes is read as a whole once, and known from then on, whatever the cluster file asks for.
    #[cfg(feature = "kernel")]
    #[test]
    fn our_own_rules_change_no_members() {
        use crate::cluster::{Site, parse};
        use crate::dialect::netlink::{lower, write};

        const CLUSTER: &str = "[cluster]\nname = \"c\"\nnodes = [\"a@10.0.0.1\", \"b@10.0.0.2\", \"c@fd00::3\"]\n\
            [services.distribution]\nports = \"6000-6009\"\n[[client]]\nname = \"web\"\nfrom = [\"10.1.0.0/24\", \"fd01::7\"]\n\
            services = [\"http\"]\n[networks]\nprivate = [\"10.0.0.0/24\", \"fd00::/64\"]\nuntrusted = [\"10.1.0.64/26\"]\n";
        let guards = [
            "",
            "[guard]\nlog = true\n",
            "[guard]\ninterfaces = [\"eth0\", \"eth1\"]\n",
            "[guard]\non-block = \"reject\"\n",
            "[guard]\nopen-through = \"auto\"\n",
        ];
        for guard in guards {
            let parsed = parse("cluster.toml", format!("{CLUSTER}{guard}"), std::path::Path::new(""));
            let cluster = parsed.cluster.unwrap_or_else(|| panic!("{guard}"));
            for site in [Site::of_every_node(&cluster), Site::of_node(&cluster, &cluster.nodes()[0])] {
                let ruleset = crate::compile::nft(&site);
                let table = write(&lower(&ruleset.tables[0]).unwrap()).unwrap();
                assert!(!table.sets.is_empty() && is_steady(&table), "{guard}");
            }
        }
    }

    #[test]
    fn an_hour_later_all_is_read() {
        assert!(full().is_recent());
        let before = |seconds: f64| FullLook { uptime: uptime().unwrap() - seconds, ..full() };
        assert!(before(LONGEST - 60.0).is_recent() && !before(LONGEST).is_recent());
        // Another run of the machine.
        assert!(!before(-60.0).is_recent());
    }

    #[test]
    fn no_two_namespaces_have_one_number() {
        let numbers: Vec<_> = (0..3).filter_map(|_| in_new_network(nft::namespace)).collect();
        for (at, number) in numbers.iter().enumerate() {
            assert!(number.is_none() || !numbers[..at].contains(number), "{numbers:?}");
        }
    }
}
