//! The kernel's own words: what `nft` loaded is read from the kernel as what it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod foreign;
#[path = "../generate/mod.rs"]
mod generate;
mod hosts;
mod ipsets;
#[path = "../lab/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod lab;
mod large;
mod race;
mod random;
mod refused;
mod statements;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::netns;
use ringfence::cluster::{self, Cluster, Site};
use ringfence::compile;
use ringfence::dialect::netlink::{Extent, Kernel, Protocol, Scope, Socket, Table, lift, lower, read, update, write};
use ringfence::dialect::nft;
use ringfence::ir;
use ringfence::net::Elsewhere;

fn golden() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let cases = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("out/ringfence.nft"));
    let mut cases: Vec<PathBuf> = cases.filter(|case| case.is_file()).collect();
    cases.sort();
    assert!(cases.len() >= 15, "only {} golden rulesets were found", cases.len());
    cases.push(on_a_host());
    cases
}

/// What apply makes on a host that translates, and that answers for more than its table `local` has.
fn on_a_host() -> PathBuf {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let cluster = cluster::load(&cases.join("dual-stack/cluster.toml")).unwrap().cluster.unwrap();
    let destination = |name: &str, network: &str| (name.parse().ok(), network.parse().unwrap());
    let elsewhere = Elsewhere::new([
        destination("", "10.20.7.0/24"),
        destination("", "fd20:7::/64"),
        destination("eth1", "10.20.0.11"),
        destination("eth1", "10.99.0.0/16"),
    ]);
    let site = Site::of_every_node(&cluster).answering_for(elsewhere).translating(true);
    let path = std::env::temp_dir().join(format!("ringfence-on-a-host-{}.nft", std::process::id()));
    fs::write(&path, nft::write(&compile::nft(&site)).unwrap()).unwrap();
    path
}

/// Without what says where and why, which the kernel does not keep.
fn bare(mut table: ir::Table) -> ir::Table {
    table.sets.iter_mut().for_each(|set| set.origins.clear());
    table.sets.sort_by(|a, b| a.name.cmp(&b.name));
    for chain in &mut table.chains {
        chain.remarks.clear();
        for rule in &mut chain.rules {
            *rule = ir::Rule { place: None, ..rule.clone().without_counts() };
            rule.matches.retain(|one| !matches!(one, ir::Match::Protocol { number: 6, negated: false }));
        }
    }
    table
}

fn nft(arguments: &[&str]) {
    let output = Command::new("nft").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What nft lists of the table, without counts.
fn list() -> String {
    let output = Command::new("nft").args(["-s", "list", "table", "inet", "ringfence"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn live() -> Kernel {
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    read(&mut socket, "ringfence", Scope::All).unwrap()
}

#[test]
fn what_nft_loads_is_read_as_its_text_is() {
    netns::isolated("what_nft_loads_is_read_as_its_text_is", || {
        for file in golden() {
            let _namespace = netns::Namespace::unshare();
            nft(&["-f", file.to_str().unwrap()]);
            let text = nft::read(&fs::read_to_string(&file).unwrap()).unwrap();
            let lifted = lift(&live().own.unwrap()).unwrap().unwrap();
            assert_eq!(lifted.unknown, Vec::<String>::new(), "{}", file.display());
            assert_eq!(bare(lifted.table), bare(text.ruleset.tables[0].clone()), "{}", file.display());
        }
    });
}

fn text_of(file: &Path) -> ir::Table {
    nft::read(&fs::read_to_string(file).unwrap()).unwrap().ruleset.tables.remove(0)
}

fn wanted(file: &Path) -> Table {
    write(&lower(&text_of(file)).unwrap()).unwrap()
}

/// A cluster's rules: for the kernel, and as they were compiled.
fn compiled(cluster: &Cluster) -> (Table, ir::Ruleset) {
    let ruleset = compile::nft(&Site::of_every_node(cluster));
    (write(&lower(&ruleset.tables[0]).unwrap()).unwrap(), ruleset)
}

fn cluster(text: &str) -> Cluster {
    let loaded = cluster::parse("cluster.toml", text.to_owned(), Path::new("/nonexistent"));
    loaded.cluster.unwrap_or_else(|| panic!("{:?}\n{text}", loaded.findings))
}

/// Brings the kernel from what it holds to `wanted`, in no smaller a change than `least`.
fn change(wanted: Option<&Table>, least: Extent) -> Extent {
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    let kernel = read(&mut socket, "ringfence", Scope::Own).unwrap();
    let (extent, changes) = update(kernel.own.as_ref(), wanted, least).unwrap();
    if !changes.is_empty() {
        changes.commit(&mut socket, kernel.generation).unwrap_or_else(|error| panic!("{error}"));
    }
    extent
}

/// The sets and chains of a listing. Sets of ranges are made before others, and nft lists them as they were made.
fn in_any_order(listing: &str) -> Vec<&str> {
    let body = listing.split_once('\n').map_or(listing, |(_, body)| body);
    let parts = body.trim_end_matches("}\n").split("\n\n").map(|part| part.trim_end_matches('\n'));
    // Chains stay in their order.
    let (mut sets, chains): (Vec<&str>, Vec<&str>) = parts.partition(|part| part.starts_with("\tset "));
    sets.sort_unstable();
    [sets, chains].concat()
}

#[test]
fn what_is_written_is_what_nft_would_have_loaded() {
    netns::isolated("what_is_written_is_what_nft_would_have_loaded", || {
        for file in golden() {
            let _namespace = netns::Namespace::unshare();
            assert_eq!(change(Some(&wanted(&file)), Extent::Nothing), Extent::Whole);
            let lifted = lift(&live().own.unwrap()).unwrap().unwrap();
            assert_eq!(lifted.unknown, Vec::<String>::new(), "{}", file.display());
            assert_eq!(bare(lifted.table), bare(text_of(&file)), "{}", file.display());
            // What nft lists of it is what nft lists of its own.
            let ours = list();
            nft(&["-f", file.to_str().unwrap()]);
            assert_eq!(in_any_order(&ours), in_any_order(&list()), "{}", file.display());
            // And nothing is left to do, whoever loaded it.
            assert!(change(Some(&wanted(&file)), Extent::Nothing) <= Extent::Rules, "{}", file.display());
            assert_eq!(change(Some(&wanted(&file)), Extent::Nothing), Extent::Nothing, "{}", file.display());
            // What was read can be given back as it was.
            let before = live().own.unwrap();
            change(None, Extent::Nothing);
            assert!(live().own.is_none());
            assert_eq!(change(Some(&before), Extent::Nothing), Extent::Whole);
            assert_eq!(list(), ours, "{}", file.display());
            assert_eq!(change(Some(&wanted(&file)), Extent::Rules), Extent::Rules, "{}", file.display());
            assert_eq!(list(), ours, "{}", file.display());
        }
    });
}

/// Linux 5.10 and 6.1 count both ends of each range (and nft 0.9.8 one more), 6.12 and newer the ranges, so a size that is
/// enough here is ENFILE at half elsewhere: sets of ranges have none.
#[test]
fn sets_of_ranges_have_no_size() {
    const INTERVAL: u32 = 4;
    let mut ranges = 0;
    for path in golden() {
        let text = fs::read_to_string(&path).unwrap();
        for block in text.split("\tset ").skip(1) {
            let head = block.split(['}', '=']).next().unwrap();
            assert!(!(head.contains("flags interval") && head.contains("size ")), "{}: {head}", path.display());
            assert!(head.contains("flags interval") || head.contains("size "), "{}: {head}", path.display());
        }
        for table in &nft::read(&text).unwrap().ruleset.tables {
            for set in write(&lower(table).unwrap()).unwrap().sets.iter().filter(|set| set.flags & INTERVAL != 0) {
                assert_eq!(set.size, None, "{}: {}", path.display(), set.name);
                ranges += 1;
            }
        }
    }
    assert!(ranges >= 4, "only {ranges} sets of ranges");
}
