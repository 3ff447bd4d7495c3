//! What the tools of four Debian releases list of our own rules, `tests/listings/VERSION/CASE/`: every listing verifies as
//! proved, and all of one case mean the same. `tests/listings/record.sh` records them anew.
//!
//! - `nft.nft` is what `nft list ruleset` prints;
//! - `iptables-legacy.v4`, `.v6` and `iptables-nft.v4`, `.v6` are what the two variants of iptables-save and ip6tables-save
//!   print;
//! - `ipset.save` is what `ipset save` prints of the sets that these use.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use ringfence::cluster::{self, Cluster, Site};
use ringfence::dialect::{ipset, iptables, nft};
use ringfence::diff::difference;
use ringfence::ir::{Family, Match, PortBlock, Ruleset};
use ringfence::verify::{Families, Finding, check};

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.is_dir());
    all.sort();
    all
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// The whole of a listing, both families of iptables and the sets, under a name.
fn rulesets(folder: &Path) -> Vec<(String, Ruleset)> {
    let mut all = Vec::new();
    if let Ok(text) = fs::read_to_string(folder.join("nft.nft")) {
        all.push(("nft.nft".to_owned(), nft::read(&text).unwrap().ruleset));
    }
    for back in ["iptables-legacy", "iptables-nft"] {
        let Ok(v4) = fs::read_to_string(folder.join(format!("{back}.v4"))) else { continue };
        let v6 = fs::read_to_string(folder.join(format!("{back}.v6"))).unwrap();
        let mut ruleset = iptables::read(&v4, Family::Ip).unwrap().ruleset;
        ruleset.tables.extend(iptables::read(&v6, Family::Ip6).unwrap().ruleset.tables);
        if let Ok(sets) = fs::read_to_string(folder.join("ipset.save")) {
            ruleset.sets = ipset::read(&sets).unwrap().0;
        }
        all.push((back.to_owned(), ruleset));
    }
    all
}

fn case(name: &str) -> (Cluster, Option<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    let args = fs::read_to_string(folder.join("args")).unwrap_or_default();
    let node = args.split_once("--node ").map(|(_, node)| node.trim().to_owned());
    (cluster::load(&folder.join("cluster.toml")).unwrap().cluster.unwrap(), node)
}

#[test]
fn every_listing_is_proved_and_means_the_same() {
    let listings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/listings");
    let versions = folders(&listings);
    assert!(versions.len() >= 4, "{versions:?}");
    let mut judged = 0;
    for cases in folders(&versions[0]).iter().map(|folder| name(folder)) {
        let (cluster, node) = case(&cases);
        let site = match node.as_deref() {
            Some(node) => Site::of_node(&cluster, cluster.node(node).unwrap()),
            None => Site::of_every_node(&cluster),
        };
        let mut first: Option<Ruleset> = None;
        for version in &versions {
            for (file, ruleset) in rulesets(&version.join(&cases)) {
                let place = format!("{}/{cases}/{file}", name(version));
                for (claim, finding) in check(&ruleset, &site, Families::Both).unwrap().findings() {
                    assert_eq!(*finding, Finding::Proved, "{place}: {}", claim.name());
                }
                let one = first.get_or_insert_with(|| ruleset.clone());
                let found = difference(one, &ruleset).unwrap();
                assert!(found.is_empty(), "{place}: {found:?}");
                judged += 1;
            }
        }
    }
    assert!(judged > 150, "{judged} listings");
}

/// Of a mask with a hole nft 1.1 lists another test. Ours have none: what a block says is its highest bits.
#[test]
fn no_mask_of_ours_has_a_hole() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut blocks = 0;
    for file in folders(&cases).iter().map(|case| case.join("out/ringfence.nft")).filter(|file| file.is_file()) {
        let text = fs::read_to_string(&file).unwrap();
        for rule in nft::read(&text).unwrap().ruleset.tables.iter().flat_map(|t| &t.chains).flat_map(|c| &c.rules) {
            for one in &rule.matches {
                match one {
                    Match::PortBlock(PortBlock { first, bits }) => {
                        let mask = PortBlock { first: *first, bits: *bits }.mask();
                        assert_eq!(mask.leading_ones(), mask.count_ones(), "{}", file.display());
                        blocks += 1;
                    }
                    Match::FlagBit { flag, .. } => assert!(flag.0.is_power_of_two(), "{}", file.display()),
                    _ => {}
                }
            }
        }
        // Nor does a set of ranges have a size, which kernels before 6.12 count twice.
        for set in text.split("\tset ").skip(1) {
            let body = set.split("\n\t}").next().unwrap();
            assert!(!(body.contains("flags interval") && body.contains("size ")), "{}: {body}", file.display());
        }
    }
    assert!(blocks > 50, "{blocks} blocks");
}
