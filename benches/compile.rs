//! What compiling costs: wall time and memory of the whole process, beside ferm and beside a floor.
//! `cargo bench --bench compile`.
//!
//! Ringfence proves what it prints, and that is in its time. The floor is this program itself, started again to do only what no compiler can leave out: read one address a line,
//! sort, drop what comes twice, write one nft set. It knows no names, no places, no other networks. All three start from
//! a file and write a file, take turns, and are judged by their medians, so that a busy machine disturbs all alike.
//! Nothing is asserted: only ratios of one run mean anything.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench may stop"
)]

mod measure;

use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use measure::{CLUSTER, Cost, FERM, median, run, write_input};

const SIZES: [u32; 5] = [5, 100, 1_000, 10_000, 100_000];
/// At the largest size: how many times faster than ferm, how many times slower than the floor, how many megabytes.
const TARGET_FERM: f64 = 5.0;
const TARGET_FLOOR: f64 = 3.0;
const TARGET_MEGABYTES: f64 = 60.0;
const NODES: [u32; 2] = [1_000, 3_000];
const MEMBERS: [u32; 2] = [10_000, 100_000];

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "--floor") {
        return floor(Path::new(&arguments.next().expect("--floor FILE"))).unwrap();
    }
    let titles = ["sources", "ringfence", "ferm", "floor", "ferm/ringfence", "ringfence/floor"];
    println!("{:>8}{:>20}{:>20}{:>20}{:>16}{:>17}", titles[0], titles[1], titles[2], titles[3], titles[4], titles[5]);
    let mut reasons = Vec::new();
    for size in SIZES {
        let cost = measure(size, &mut reasons);
        let column = |cost: &Option<Cost>| {
            cost.map_or("-".to_owned(), |cost| format!("{:.1} ms {:.0} MB", cost.milliseconds, cost.megabytes))
        };
        print!("{size:>8}{:>20}{:>20}{:>20}", column(&cost[0]), column(&cost[1]), column(&cost[2]));
        let ratio = |above: Option<Cost>, below: Option<Cost>| {
            above
                .zip(below)
                .map_or("-".to_owned(), |(above, below)| format!("{:.1}", above.milliseconds / below.milliseconds))
        };
        println!("{:>16}{:>17}", ratio(cost[1], cost[0]), ratio(cost[0], cost[2]));
    }
    let largest = SIZES[SIZES.len() - 1];
    println!(
        "targets at {largest}: ferm/ringfence at least {TARGET_FERM}, ringfence/floor at most {TARGET_FLOOR}, at most {TARGET_MEGABYTES} MB"
    );
    reasons.dedup();
    for reason in reasons {
        println!("  {reason}");
    }
    println!("\n{:>8}{:>20}{:>20}{:>17}", "nodes", "compile --all", "floor", "ringfence/floor");
    for nodes in NODES {
        let [own, floor] = every_node(nodes);
        let column = |cost: Cost| format!("{:.0} ms {:.0} MB", cost.milliseconds, cost.megabytes);
        println!("{nodes:>8}{:>20}{:>20}{:>17.2}", column(own), column(floor), own.milliseconds / floor.milliseconds);
    }
    println!("targets: 1,000 nodes in at most 1000 ms, 3,000 in at most 6000 ms, at most 100 MB");
    println!("\n{:>8}{:>24}{:>20}{:>12}", "members", "", "", "to compile");
    for members in MEMBERS {
        let costs = membership(members);
        let (_, compile) = costs[0];
        for (name, cost) in costs {
            let (milliseconds, megabytes) = (cost.milliseconds, cost.megabytes);
            let ratio = milliseconds / compile.milliseconds;
            println!("{members:>8}{name:>24}{:>20}{ratio:>12.2}", format!("{milliseconds:.0} ms {megabytes:.0} MB"));
        }
    }
}

/// What else is done with as many members: a file made of what riak-admin prints, held against it, and against another one.
fn membership(members: u32) -> Vec<(&'static str, Cost)> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_input(&path("old.toml"), members, CLUSTER).unwrap();
    write_input(&path("new.toml"), members + 1, CLUSTER).unwrap();
    let totals = format!(
        "-------------------------------------------------------------------------------\n\
         Valid:{members} / Leaving:0 / Exiting:0 / Joining:0 / Down:0\n"
    );
    let member_status = [
        "================================= Membership ==================================\n\
         Status     Ring    Pending    Node\n\
         -------------------------------------------------------------------------------\n",
        "valid       0.0%      --      'riak@",
        "'\n",
        &totals,
    ];
    write_input(&path("members"), members, member_status).unwrap();
    fs::create_dir(path("riak")).unwrap();
    fs::write(path("riak/riak.conf"), "nodename = riak@10.0.0.0\nlistener.http.internal = 127.0.0.1:8098\n").unwrap();
    fs::write(
        path("riak/vm.args"),
        "-name riak@10.0.0.0\n-kernel inet_dist_listen_min 6000\n-kernel inet_dist_listen_max 6009\n",
    )
    .unwrap();
    let commands: [(&str, &[&str]); 4] = [
        ("compile", &["compile", "new.toml"]),
        ("import", &["import", "--from", "riak", "--membership", "members"]),
        ("lint", &["lint", "old.toml", "--from", "riak", "--membership", "members"]),
        ("diff of two files", &["diff", "old.toml", "new.toml"]),
    ];
    let mut costs = commands.map(|_| Vec::new());
    for _ in 0..7 {
        for ((_, arguments), costs) in commands.iter().zip(&mut costs) {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
            costs.push(run(command.current_dir(folder.path()).args(*arguments), &path("out")).unwrap());
        }
    }
    commands.iter().zip(costs).map(|((name, _), costs)| (*name, median(&costs))).collect()
}

/// nft and sysctl for each node, in a folder that is not there yet; and the floor: the same files copied, on the disk when it ends.
fn every_node(nodes: u32) -> [Cost; 2] {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = |name: &str| folder.path().join(name);
    write_input(&path("cluster.toml"), nodes, CLUSTER).unwrap();
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        let mut ringfence = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        ringfence.arg("compile").arg(path("cluster.toml")).args(["--all", "-f", "nft,sysctl", "-o"]).arg(path("all"));
        let mut floor = Command::new("sh");
        floor.current_dir(folder.path()).args(["-c", "cp -r all copy && sync -f copy"]);
        for (command, costs) in [&mut ringfence, &mut floor].into_iter().zip(&mut costs) {
            costs.push(run(command, &path("out")).unwrap());
        }
        fs::remove_dir_all(path("all")).unwrap();
        fs::remove_dir_all(path("copy")).unwrap();
        Command::new("sync").arg("-f").arg(folder.path()).status().unwrap();
    }
    costs.map(|costs| median(&costs))
}

/// Ringfence, ferm, floor; those that could not be measured leave a reason.
fn measure(size: u32, reasons: &mut Vec<String>) -> [Option<Cost>; 3] {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // Written piece by piece: until it execs, a child counts the memory of this process as its own.
    write_input(&path("cluster.toml"), size, CLUSTER).unwrap();
    write_input(&path("ferm.conf"), size, FERM).unwrap();
    write_input(&path("list"), size, ["", "", "\n", ""]).unwrap();
    let this = std::env::current_exe().unwrap();
    let commands = || {
        let mut ringfence = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        ringfence.arg("compile").arg(path("cluster.toml"));
        let mut ferm = Command::new("ferm");
        ferm.args(["--noexec", "--lines"]).arg(path("ferm.conf"));
        let mut floor = Command::new(&this);
        floor.arg("--floor").arg(path("list"));
        [("ringfence", ringfence), ("ferm", ferm), ("floor", floor)]
    };
    let rounds = if size < 10_000 { 21 } else { 9 };
    let mut costs: [Result<Vec<Cost>, String>; 3] = [Ok(Vec::new()), Ok(Vec::new()), Ok(Vec::new())];
    // The first round only warms the caches.
    for round in 0..=rounds {
        for ((name, mut command), costs) in commands().into_iter().zip(&mut costs) {
            let Ok(list) = costs else { continue };
            match run(&mut command, &path("out")) {
                Ok(cost) if round > 0 => list.push(cost),
                Ok(_) => {}
                Err(error) => *costs = Err(format!("{name} is not measured: {error}")),
            }
        }
    }
    costs.map(|costs| costs.map_err(|reason| reasons.push(reason)).ok().map(|costs| median(&costs)))
}

/// The least that a compiler does, with what the standard library has for it.
fn floor(list: &Path) -> io::Result<()> {
    let text = fs::read_to_string(list)?;
    let mut addresses: Vec<Ipv4Addr> = text.lines().map(|line| line.parse().unwrap()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let mut output = String::with_capacity(addresses.len() * 20 + 500);
    let size = 2 * addresses.len();
    output += &format!("table inet floor {{\n\tset peers {{\n\t\ttype ipv4_addr\n\t\tsize {size}\n\t\telements = {{\n");
    for address in addresses {
        output += "\t\t\t";
        output += &address.to_string();
        output += ",\n";
    }
    output += "\t\t}\n\t}\n\tchain input {\n\t\ttype filter hook input priority 0; policy accept;\n";
    output += "\t\ttcp dport { 4369, 6000-6009, 8087, 8098, 8099 } ip saddr != @peers drop\n\t}\n}\n";
    io::stdout().write_all(output.as_bytes())
}
