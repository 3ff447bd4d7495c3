//! What proving, comparing and explaining cost: wall time and memory of whole processes, beside ferm, which only compiles.
//! `cargo bench --bench proof`. Nothing is asserted: only ratios of one run mean anything.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench may stop"
)]

mod measure;

use std::fs;
use std::path::Path;
use std::process::Command;

use measure::{CLUSTER, Cost, FERM, median, run, write_input};

const SIZES: [u32; 3] = [1_000, 10_000, 100_000];
const NAMES: [&str; 6] = ["compile", "verify", "diff", "explain", "verify, one rule each", "ferm"];

fn main() {
    print!("{:>8}", "sources");
    for name in NAMES {
        print!("{name:>24}");
    }
    println!();
    for size in SIZES {
        print!("{size:>8}");
        for cost in measure(size) {
            let text = match cost {
                Ok(cost) => format!("{:.1} ms {:.0} MB", cost.milliseconds, cost.megabytes),
                Err(reason) => format!("- ({reason})"),
            };
            print!("{text:>24}");
        }
        println!();
    }
    println!("target at 100000: compile, which proves what it prints, at least 3 times faster than ferm");
}

fn measure(size: u32) -> [Result<Cost, String>; 6] {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_input(&path("old.toml"), size, CLUSTER).unwrap();
    write_input(&path("ferm.conf"), size, FERM).unwrap();
    // One node less.
    write_input(&path("new.toml"), size - 1, CLUSTER).unwrap();
    let ringfence = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        command.current_dir(folder.path()).args(arguments);
        command
    };
    let compiled = |arguments: &[&str], name: &str| {
        run(&mut ringfence(arguments), &path(name)).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    };
    compiled(&["compile", "old.toml"], "old.nft");
    compiled(&["compile", "new.toml"], "new.nft");
    // As many rules as sources; a cluster of the largest size would not be run so.
    let plain = size <= 10_000;
    if plain {
        compiled(&["compile", "old.toml", "--format", "iptables", "--sets", "never"], "old.iptables");
    }
    let ferm = || {
        let mut ferm = Command::new("ferm");
        ferm.args(["--noexec", "--lines"]).arg(path("ferm.conf"));
        ferm
    };
    let commands = || {
        [
            ringfence(&["compile", "old.toml"]),
            ringfence(&["verify", "old.toml", "--ruleset", "old.nft"]),
            ringfence(&["diff", "old.nft", "new.nft", "--meaning"]),
            ringfence(&["explain", "old.toml", "--from", "192.0.2.1", "--port", "8098", "--ruleset", "old.nft"]),
            ringfence(&["verify", "old.toml", "--ruleset", if plain { "old.iptables" } else { "old.nft" }]),
            ferm(),
        ]
    };
    let rounds = 7;
    let mut costs: [Result<Vec<Cost>, String>; 6] = std::array::from_fn(|_| Ok(Vec::new()));
    // The first round only warms the caches.
    for round in 0..=rounds {
        for (mut command, costs) in commands().into_iter().zip(&mut costs) {
            let Ok(list) = costs else { continue };
            match run(&mut command, Path::new(&path("out"))) {
                Ok(cost) if round > 0 => list.push(cost),
                Ok(_) => {}
                Err(error) => *costs = Err(error),
            }
        }
    }
    if !plain {
        costs[4] = Err("not measured".into());
    }
    assert!(fs::metadata(path("old.nft")).unwrap().len() > 0);
    costs.map(|costs| costs.map(|costs| median(&costs)))
}
