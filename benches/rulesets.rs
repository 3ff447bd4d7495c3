//! What proofs on everybody's rulesets cost: wall time and memory of whole processes, over rulesets of growing size.
//! `cargo bench --bench rulesets`. With an older binary in `RINGFENCE_BEFORE` it is run in turn with this one. Nothing is
//! asserted: only ratios of one run mean anything.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "a bench may stop, and takes its part of what benches share"
)]

mod measure;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use measure::rulesets::{
    deep, different_sources, every_port, forwarded, in_turn, interleaved, kube_proxy, many_chains, source_and_port,
};
use measure::{CLUSTER, Cost, median, run, write_input};

/// A cluster of two, so that the rulesets alone are what is large.
const SMALL: &str = "[cluster]\nname = \"bench\"\nnodes = [\"riak@10.20.0.11\", \"riak@10.20.0.12\"]\n\
                     [networks]\nprivate = [\"10.0.0.0/8\"]\n[services.distribution]\nports = \"6000-6009\"\n";
const ROUNDS: usize = 7;

struct Row {
    name: String,
    arguments: Vec<String>,
    target: &'static str,
}

/// Where the rulesets are to be made. A child's peak of memory counts what its parent held when it was made, so they are made
/// by a process of their own.
const MAKE: &str = "RINGFENCE_BENCH_MAKE";

fn main() {
    if let Some(folder) = std::env::var_os(MAKE) {
        rows(Path::new(env!("CARGO_BIN_EXE_ringfence")), Path::new(&folder), true);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let own = PathBuf::from(env!("CARGO_BIN_EXE_ringfence"));
    let before = std::env::var_os("RINGFENCE_BEFORE").map(PathBuf::from);
    fs::write(folder.path().join("small.toml"), SMALL).unwrap();
    let maker = Command::new(std::env::current_exe().unwrap()).env(MAKE, folder.path()).status().unwrap();
    assert!(maker.success());
    let rows = rows(&own, folder.path(), false);
    println!("{:44} {:>22} {:>22}  target", "", "this build", "RINGFENCE_BEFORE");
    for row in rows {
        let mut costs = [Vec::new(), Vec::new()];
        let mut refused = [None, None];
        for round in 0..=ROUNDS {
            for (at, binary) in [Some(&own), before.as_ref()].into_iter().enumerate() {
                let Some(binary) = binary else { continue };
                let mut command = Command::new(binary);
                command.current_dir(folder.path()).args(&row.arguments);
                match run(&mut command, &folder.path().join("out")) {
                    Ok(cost) if round > 0 => costs[at].push(cost),
                    Ok(_) => {}
                    Err(error) => refused[at] = Some(error),
                }
            }
        }
        let shown = |at: usize| match (&refused[at], costs[at].as_slice()) {
            (Some(error), _) => error.clone(),
            (None, []) => "-".to_owned(),
            (None, list) => {
                let Cost { milliseconds, megabytes } = median(list);
                format!("{milliseconds:.1} ms {megabytes:.0} MB")
            }
        };
        println!("{:44} {:>22} {:>22}  {}", row.name, shown(0), shown(1), row.target);
    }
}

/// All rows; `make` writes their files.
fn rows(own: &Path, folder: &Path, make: bool) -> Vec<Row> {
    let made = |arguments: &[&str], name: &str| {
        if make {
            run(Command::new(own).current_dir(folder).args(arguments), &folder.join(name)).unwrap();
        }
    };
    let mut rows = Vec::new();
    let mut verify = |name: &str, text: &dyn Fn() -> String, target: &'static str| {
        let file = format!("{}.rules", rows.len());
        if make {
            fs::write(folder.join(&file), text()).unwrap();
        }
        let arguments = ["verify", "small.toml", "--ruleset", &file].map(str::to_owned).to_vec();
        rows.push(Row { name: name.to_owned(), arguments, target });
    };
    verify("100 random source x port rules", &|| source_and_port(100), "10 ms");
    verify("1,000", &|| source_and_port(1_000), "100 ms");
    verify("10,000", &|| source_and_port(10_000), "1,500 ms, 300 MB");
    verify("20,000", &|| source_and_port(20_000), "near linear");
    verify("1,000 different sources, iptables", &|| different_sources(1_000), "100 ms");
    verify("20,000 rules for routed packets", &|| forwarded(20_000), "reading alone");
    made(&["compile", "small.toml", "--format", "iptables", "--sets", "never"], "guard.iptables");
    let guard = || fs::read_to_string(folder.join("guard.iptables")).unwrap();
    for (services, target) in [(2_000, ""), (8_000, "2,000 ms")] {
        let name = format!("kube-proxy, {services} services, beside the guard");
        verify(&name, &|| guard() + &kube_proxy(services), target);
    }
    verify("1,000 interleaved ranges", &|| interleaved(1_000), "an answer");
    verify("3,000 interleaved ranges", &|| interleaved(3_000), "an answer");
    verify("10,000 interleaved ranges", &|| interleaved(10_000), "or undecided");
    verify("every port, each with a source", &|| every_port(), "an answer");
    verify("15 deep, 8 jumps each", &|| deep(8), "an answer");
    verify("5,000 chains", &|| many_chains(5_000), "an answer");
    verify("10,000 sources and ports in turn", &|| in_turn(10_000), "or undecided");
    if make {
        write_input(&folder.join("old.toml"), 100_000, CLUSTER).unwrap();
        write_input(&folder.join("new.toml"), 99_999, CLUSTER).unwrap();
    }
    made(&["compile", "old.toml"], "old.nft");
    made(&["compile", "new.toml"], "new.nft");
    let large = [
        ("compile with proof, 100,000 sources", vec!["compile", "old.toml"], "0.7 of before"),
        ("verify, 100,000 sources", vec!["verify", "old.toml", "--ruleset", "old.nft"], ""),
        ("diff of 100,000 and 99,999 sources", vec!["diff", "old.nft", "new.nft", "--meaning"], "as before"),
    ];
    rows.extend(large.map(|(name, arguments, target)| Row {
        name: name.to_owned(),
        arguments: arguments.into_iter().map(str::to_owned).collect(),
        target,
    }));
    rows
}
