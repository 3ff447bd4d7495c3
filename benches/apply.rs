//! What the commands cost that work on a host, in a network namespace of their own, beside `nft -f` of the same rules, a bare dump of
//! the same set, and the build of before [`BEFORE`]. `cargo bench --bench apply`, or `… -- 100000` for one size. Nothing is asserted: only
//! ratios of one run mean anything.
//!
//! The state is on a tmpfs, so that a disk does not speak for the program; what waits for the disk is counted instead.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench may stop"
)]

mod measure;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use measure::{CLUSTER, Cost, FERM, median, run, write_input};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use ringfence::dialect::netlink::{Protocol, RequestError, Socket, Writer};

/// The last commit that read every member of every set three times for each change. RINGFENCE_BEFORE names a binary of it, or it is
/// built.
const BEFORE: &str = "36c42eb";
const SIZES: [u32; 3] = [1_000, 10_000, 100_000];
const LARGEST: u32 = 1_000_000;
const ROUNDS: usize = 7;
/// What is measured, and its target at 100,000 sources.
const ROWS: [(&str, &str); 10] = [
    ("nft -f", ""),
    ("a bare dump", ""),
    ("compile", "3 of the floor, see the bench `compile`"),
    ("first apply", "0.85 of nft -f"),
    ("one more", "0.45 of nft -f, 30 MB"),
    ("one more after others", "0.8 of nft -f"),
    ("the same again", ""),
    ("diff, nothing changed", "0.4 of before, 30 MB"),
    ("status, all read", "1.3 of a bare dump"),
    ("status, unchanged", ""),
];

fn main() {
    if std::env::args_os().nth(1).is_some_and(|first| first == "--dump") {
        return dump().unwrap();
    }
    let before = before();
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces: run as root");
    let nothing: Option<&str> = None;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).expect("mounts of its own");
    // Written for ferm in other benches.
    let _ = FERM;
    be_a_node();
    let asked: Vec<u32> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    for size in SIZES.into_iter().chain([LARGEST]).filter(|size| asked.is_empty() || asked.contains(size)) {
        show(size, &measure(size, before.as_deref().filter(|_| size < LARGEST)));
    }
}

/// Gives this host the address of the second node, and its neighbours on a cable.
fn be_a_node() {
    for words in [
        "link set lo up",
        "link add eth0 type veth peer name eth1",
        "link set eth1 up",
        "link set eth0 up",
        "address add 10.55.121.177/8 dev eth0",
    ] {
        let status = Command::new("ip").args(words.split(' ')).status();
        assert!(status.is_ok_and(|status| status.success()), "ip {words}");
    }
}

/// The build of before.
fn before() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("RINGFENCE_BEFORE") {
        return Some(path.into());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("before");
    let binary = folder.join("target/release/ringfence");
    let git = |arguments: &[&str]| {
        let status = Command::new("git").current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).status();
        status.is_ok_and(|status| status.success())
    };
    let tree = folder.join("tree");
    if !binary.exists() {
        fs::create_dir_all(&folder).ok()?;
        let _ = git(&["worktree", "prune"]);
        if !tree.exists() && !git(&["worktree", "add", "--detach", tree.to_str()?, BEFORE]) {
            println!("without the build of {BEFORE}: there is no such commit here");
            return None;
        }
        let mut build = Command::new(env!("CARGO"));
        build.current_dir(&tree).args(["build", "--release", "--quiet", "--target-dir"]).arg(folder.join("target"));
        build.status().ok().filter(std::process::ExitStatus::success)?;
        let _ = git(&["worktree", "remove", "--force", tree.to_str()?]);
    }
    Some(binary)
}

/// For each row the costs of this build and of the one before.
type Measured = Vec<[Option<Cost>; 2]>;

fn show(size: u32, costs: &Measured) {
    println!("\n{size} sources{:>31}{:>12}{:>12}   target at 100000", "", "of nft -f", "of before");
    for ((name, target), [now, before]) in ROWS.iter().zip(costs) {
        let Some(now) = now else { continue };
        let of = |other: Option<Cost>| {
            other.map_or("-".to_owned(), |other| format!("{:.2}", now.milliseconds / other.milliseconds))
        };
        println!(
            "{name:>24}: {:7.1} ms {:4.0} MB{:>12}{:>12}   {target}",
            now.milliseconds,
            now.megabytes,
            of(costs[0][0]),
            of(*before)
        );
    }
}

fn measure(size: u32, before: Option<&Path>) -> Measured {
    let folder = tempfile::tempdir().unwrap();
    mount(Some("tmpfs"), folder.path(), Some("tmpfs"), MsFlags::empty(), Some("mode=0700")).unwrap();
    let path = |name: &str| folder.path().join(name);
    write_input(&path("old.toml"), size, CLUSTER).unwrap();
    write_input(&path("new.toml"), size + 1, CLUSTER).unwrap();
    let out = path("out");
    let cost = |command: &mut Command| {
        run(command.current_dir(folder.path()), &out).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    };
    let nft = |arguments: &[&str]| cost(Command::new("nft").args(arguments));
    let now = Path::new(env!("CARGO_BIN_EXE_ringfence"));
    run(Command::new(now).current_dir(folder.path()).args(["compile", "old.toml"]), &path("old.nft")).unwrap();
    let rounds = if size < LARGEST { ROUNDS } else { 3 };
    let mut all: Vec<[Vec<Cost>; 2]> = ROWS.iter().map(|_| [Vec::new(), Vec::new()]).collect();
    for _ in 0..rounds {
        nft(&["flush", "ruleset"]);
        all[0][0].push(nft(&["-f", "old.nft"]));
        // The kernel's own dump of such a set takes a time that grows with its square.
        if size < LARGEST {
            all[1][0].push(cost(Command::new(std::env::current_exe().unwrap()).arg("--dump")));
        }
        for (build, binary) in [Some(now), before].into_iter().enumerate() {
            let Some(binary) = binary else { continue };
            let state = if build == 0 { "now" } else { "before" };
            let ringfence =
                |arguments: &[&str]| cost(Command::new(binary).args(arguments).args(["--state-dir", state]));
            let apply = |file| ringfence(&["apply", file, "--root", "root"]);
            let mut note = |row: usize, cost: Cost| all[row][build].push(cost);
            note(2, cost(Command::new(binary).args(["compile", "new.toml"])));
            nft(&["flush", "ruleset"]);
            note(3, apply("old.toml"));
            note(4, apply("new.toml"));
            apply("old.toml");
            if size < LARGEST {
                nft(&["add", "table", "inet", "others"]);
                note(5, apply("new.toml"));
                note(6, apply("new.toml"));
                note(7, ringfence(&["diff", "new.toml"]));
                note(8, ringfence(&["status", "new.toml", "--full"]));
                note(9, ringfence(&["status", "new.toml"]));
            }
        }
    }
    syncs(size, folder.path(), now);
    nft(&["flush", "ruleset"]);
    let _ = nix::mount::umount(folder.path());
    all.iter().map(|builds| builds.each_ref().map(|costs| (!costs.is_empty()).then(|| median(costs)))).collect()
}

/// How often one more waits for the disk.
fn syncs(size: u32, folder: &Path, binary: &Path) {
    let strace = |file: &str| {
        let mut command = Command::new("strace");
        command.current_dir(folder).args([
            "-f",
            "-qq",
            "-e",
            "trace=fsync,fdatasync,sync_file_range,syncfs,sync",
            "-o",
            "strace",
        ]);
        command.arg(binary).args(["apply", file, "--state-dir", "now", "--root", "root"]);
        command.output().is_ok_and(|output| output.status.success())
    };
    if strace("old.toml") && strace("new.toml") {
        let log = fs::read_to_string(folder.join("strace")).unwrap_or_default();
        println!("\n{size} sources: one more waits for the disk {} times (target: 2)", log.lines().count());
    }
}

/// What reading the nodes' set costs at the least: each message of the kernel is received, and nothing is made of it.
fn dump() -> Result<(), RequestError> {
    // NFT_MSG_GETSETELEM of nf_tables, with NLM_F_REQUEST and NLM_F_DUMP; the table and the set (linux/netfilter/nf_tables.h).
    let request = |sequence| {
        let mut writer = Writer::default();
        writer.message(10 << 8 | 13, 0x301, sequence, |writer| {
            writer.raw(&[1, 0, 0, 0]);
            writer.text(1, "ringfence");
            writer.text(2, "peers4");
        });
        writer.into_bytes()
    };
    let mut bytes = 0;
    Socket::open(Protocol::Netfilter)?.dump(request, |message| {
        bytes += message.payload.len();
        Ok::<(), RequestError>(())
    })?;
    assert!(bytes > 1000, "the set is empty");
    Ok(())
}
