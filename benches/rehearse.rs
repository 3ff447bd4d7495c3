//! How long `ringfence rehearse` takes: three nodes are to take less than a second, a thousand sources less than five.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench stops at the first surprise")]

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

const RUNS: usize = 3;

fn cluster(nodes: usize, clients: usize) -> String {
    let names: Vec<String> = (0..nodes).map(|at| format!("\"riak@10.20.{}.{}\"", at / 250, at % 250 + 1)).collect();
    let mut text = format!(
        "[cluster]\nname = \"bench\"\nprofile = \"riak\"\nnodes = [{}]\n[networks]\nprivate = [\"10.20.0.0/16\"]\n\
         [services.distribution]\nports = \"6000-6009\"\n",
        names.join(", ")
    );
    for at in 0..clients {
        let network = format!("10.{}.{}.0/24", 30 + at / 250, at % 250);
        writeln!(text, "[[client]]\nname = \"c{at}\"\nfrom = [\"{network}\"]\nservices = [\"http\"]").unwrap();
    }
    text
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    for (what, nodes, clients, most) in [("three nodes", 3, 0, 1), ("1,000 sources", 100, 900, 5)] {
        let file = folder.path().join("cluster.toml");
        fs::write(&file, cluster(nodes, clients)).unwrap();
        for format in ["nft", "iptables"] {
            let one = || {
                let start = Instant::now();
                let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
                let output = command.arg("rehearse").arg(&file).args(["--format", format]).output().unwrap();
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
                let packets =
                    text.lines().find(|line| line.contains(" packets from ")).unwrap_or_default().trim().to_owned();
                (start.elapsed(), packets)
            };
            let Some((best, packets)) = (0..RUNS).map(|_| one()).min() else { continue };
            println!("rehearse, {what}, {format}: {} ms; {packets}", best.as_millis());
            assert!(best < Duration::from_secs(most), "{what} by {format} take {best:?}");
        }
    }
}
