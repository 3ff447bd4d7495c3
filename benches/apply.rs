//! What the commands cost that work on a host, in a network namespace of their own, beside `nft -f` of the same rules.
//! `cargo bench --bench apply`. Nothing is asserted: only ratios of one run mean anything.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench may stop"
)]

mod measure;

use std::path::Path;
use std::process::Command;

use measure::{CLUSTER, Cost, FERM, median, run, write_input};
use nix::sched::{CloneFlags, unshare};

const SIZES: [u32; 3] = [1_000, 10_000, 100_000];
const NAMES: [&str; 7] = [
    "nft -f",
    "first apply",
    "apply of one node more",
    "apply of the same",
    "diff",
    "status, all read",
    "status, unchanged",
];
const ROUNDS: usize = 7;

fn main() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: run as root");
    // Written for ferm in other benches.
    let _ = FERM;
    for size in SIZES {
        println!("{size} sources");
        let costs = measure(size);
        for (name, cost) in NAMES.iter().zip(&costs) {
            let ratio = cost.milliseconds / costs[0].milliseconds;
            println!("{name:>24}: {:7.1} ms {:5.0} MB  {ratio:5.2} of nft -f", cost.milliseconds, cost.megabytes);
        }
    }
    println!("targets at 100000: first apply within 2.5 of nft -f; status of what did not change under 20 ms");
}

fn measure(size: u32) -> Vec<Cost> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_input(&path("old.toml"), size, CLUSTER).unwrap();
    write_input(&path("new.toml"), size + 1, CLUSTER).unwrap();
    let out = path("out");
    let ringfence = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        command.current_dir(folder.path()).args(arguments).args(["--state-dir", "state"]);
        cost(&mut command, &out)
    };
    let apply = |file| ringfence(&["apply", file, "--root", "root", "--allow", "no-node,foreign-address"]);
    let nft = |arguments: &[&str]| cost(Command::new("nft").current_dir(folder.path()).args(arguments), &out);
    cost(
        Command::new(env!("CARGO_BIN_EXE_ringfence")).current_dir(folder.path()).args(["compile", "old.toml"]),
        &path("old.nft"),
    );
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); NAMES.len()];
    for _ in 0..ROUNDS {
        nft(&["flush", "ruleset"]);
        costs[0].push(nft(&["-f", "old.nft"]));
        nft(&["flush", "ruleset"]);
        costs[1].push(apply("old.toml"));
        costs[2].push(apply("new.toml"));
        costs[3].push(apply("new.toml"));
        costs[4].push(ringfence(&["diff", "old.toml"]));
        costs[5].push(ringfence(&["status", "--full"]));
        costs[6].push(ringfence(&["status"]));
    }
    nft(&["flush", "ruleset"]);
    costs.iter().map(|costs| median(costs)).collect()
}

fn cost(command: &mut Command, out: &Path) -> Cost {
    run(command, out).unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
