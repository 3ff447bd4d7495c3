//! What the answers for a whole host cost, beside the tools that only list its rules.
//! `cargo bench --bench hosts`; needs root, nft and iptables. Only ratios of one run mean anything; where one is above its
//! target, or so much memory is taken as must not be, the row says FAIL, and the exit code is 1.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "a bench may stop, and takes its part of what benches share"
)]

mod measure;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use measure::rulesets::kube_proxy;
use measure::{Cost, median, run};
use nix::sched::{CloneFlags, unshare};

const SMALL: &str = "[cluster]\nname = \"bench\"\nnodes = [\"riak@10.20.0.11\", \"riak@10.20.0.12\"]\n\
                     [networks]\nprivate = [\"10.0.0.0/8\"]\n[services.distribution]\nports = \"6000-6009\"\n";
const ROUNDS: usize = 5;
/// Ours by the listing, at most.
const TARGET: f64 = 3.0;
const RULES: u32 = 5_000;
const ELEMENTS: u32 = 100_000;
const SERVICES: u32 = 8_000;

/// What ours may take, at most, in MB.
const MEMORY: f64 = 300.0;

fn main() -> ExitCode {
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
        println!("not measured: no network namespace ({error})");
        return ExitCode::SUCCESS;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("small.toml"), SMALL).unwrap();
    sh(
        folder.path(),
        "ip link set lo up; ip link add eth1 type veth peer name far; ip addr add 10.20.0.11/24 dev eth1; \
         ip link set eth1 up; ip link set far up; \
         (ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; ip addr) > routes",
    );
    println!("{:44} {:>22} {:>22}  ratio (target)", "", "ringfence", "the listing");
    fs::write(path("host.nft"), host()).unwrap();
    sh(folder.path(), "nft -f host.nft");
    let mut fine = row(folder.path(), "5,000 rules, 100,000 elements: --live", &["--live"], "nft list ruleset");
    sh(folder.path(), "nft list ruleset > listed.nft");
    let saved = ["--ruleset", "listed.nft", "--routes", "routes"];
    fine &= row(folder.path(), "the same, saved", &saved, "nft list ruleset");
    sh(folder.path(), "nft flush ruleset");
    fs::write(path("kube.ipt"), kube_proxy(SERVICES)).unwrap();
    sh(folder.path(), "iptables-nft-restore kube.ipt");
    fine &= row(folder.path(), "kube-proxy, 8,000 services: --live", &["--live"], "iptables-nft-save");
    let saved = ["--ruleset", "kube.ipt", "--routes", "routes"];
    fine &= row(folder.path(), "the same, saved", &saved, "iptables-nft-save");
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A host's own firewall: sets of networks, and many rules for single addresses and ports.
fn host() -> String {
    let mut text = "table inet fw {\n set known {\n  type ipv4_addr; flags interval; elements = {\n".to_owned();
    for index in 0..ELEMENTS {
        let _ = writeln!(text, "   172.{}.{}.{}/31,", 16 + (index >> 15), (index >> 7) & 255, (index & 127) << 1);
    }
    text.push_str("  }\n }\n chain in {\n  type filter hook input priority 0; policy drop;\n");
    text.push_str("  iifname \"lo\" accept\n  ct state established,related accept\n  ip saddr @known drop\n");
    for index in 0..RULES {
        let _ = writeln!(text, "  ip saddr 192.168.{}.{} tcp dport {} accept", index >> 8, index & 255, 10_000 + index);
    }
    text.push_str("  ip saddr 10.20.0.12 tcp dport { 4369, 6000-6009, 8098, 8099 } accept\n }\n}\n");
    text
}

/// One row; false where it says FAIL.
fn row(folder: &Path, name: &str, arguments: &[&str], listing: &str) -> bool {
    let (mut ours, mut theirs): (Vec<Cost>, Vec<Cost>) = Default::default();
    for round in 0..=ROUNDS {
        let mut verify = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        verify.current_dir(folder).args(["verify", "small.toml", "--node", "riak@10.20.0.11"]).args(arguments);
        let mut words = listing.split(' ');
        let mut list = Command::new(words.next().unwrap());
        list.args(words);
        let pair = (run(&mut verify, &folder.join("out")), run(&mut list, &folder.join("out")));
        match pair {
            (Ok(_), Ok(_)) if round == 0 => {}
            (Ok(own), Ok(other)) => {
                ours.push(own);
                theirs.push(other);
            }
            (Err(error), _) | (_, Err(error)) => {
                println!("{name:44} FAIL: {error}");
                return false;
            }
        }
    }
    let shown = |cost: Cost| format!("{:.0} ms {:.0} MB", cost.milliseconds, cost.megabytes);
    let (ours, theirs) = (median(&ours), median(&theirs));
    let ratio = ours.milliseconds / theirs.milliseconds;
    let fine = ratio <= TARGET && ours.megabytes <= MEMORY;
    let shown_ratio = format!("{ratio:.2} ({TARGET}){}", if fine { "" } else { " FAIL" });
    println!("{name:44} {:>22} {:>22}  {shown_ratio}", shown(ours), shown(theirs));
    fine
}

fn sh(folder: &Path, script: &str) {
    let status = Command::new("sh").args(["-ec", script]).current_dir(folder).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{script}");
}
