//! `ringfence lint`: whole runs over files (`tests/lint/lint.txt` holds command lines behind `$`, each with all that it
//! prints and its exit code), and a real Erlang VM that was started from files that `ringfence import` reads.
//!
//! `RINGFENCE_BLESS=1` writes what came out instead of comparing. Read the difference before you commit it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "lab/netns.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod netns;

mod document;
mod transcript;

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use transcript::held_against;

fn run(folder: &Path, line: &str) -> String {
    let arguments = line.strip_prefix("$ ringfence ").unwrap_or_else(|| panic!("not a command line: {line}"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    let output = command.current_dir(folder).args(arguments.split_whitespace()).output().unwrap();
    let mut text = format!("{line}\n");
    let stdout = String::from_utf8(output.stdout).unwrap();
    if arguments.split_whitespace().any(|argument| argument == "--json") {
        document::of(&stdout);
    }
    text.push_str(&stdout);
    for line in String::from_utf8(output.stderr).unwrap().lines() {
        writeln!(text, "! {line}").unwrap();
    }
    writeln!(text, "[exit {}]\n", output.status.code().unwrap()).unwrap();
    text
}

/// In a network namespace of its own, whose reserved ports are known.
#[test]
fn every_run_prints_what_is_written() {
    netns::isolated("every_run_prints_what_is_written", || {
        let _namespace = netns::Namespace::unshare();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint");
        let path = folder.join("lint.txt");
        let written = fs::read_to_string(&path).unwrap();
        let commands: Vec<&str> = written.lines().filter(|line| line.starts_with("$ ")).collect();
        let found: String = commands.iter().map(|line| run(&folder, line)).collect();
        held_against(&path, &written, &found);
        assert!(commands.len() >= 15, "{} runs", commands.len());
    });
}

#[test]
fn what_the_page_shows_is_what_was_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("docs/membership.md")).unwrap();
    let block =
        readme.split("```\n").find(|block| block.starts_with("$ ringfence lint ")).expect("the block in the page");
    let transcript = fs::read_to_string(root.join("tests/lint/lint.txt")).unwrap();
    let mut rest = transcript.lines();
    for line in block.lines().filter(|line| *line != "…") {
        assert!(rest.any(|own| own == line), "the page shows, but no run printed in this order:\n{line}");
    }
}

/// A program that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; a node that hangs in its boot survives a polite request.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> Running {
    Running(
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts"),
    )
}

fn wait_for(address: &str) {
    let address: SocketAddr = address.parse().unwrap();
    let begin = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing listens on {address}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A host of a cluster whose only Riak is an Erlang VM with Riak's vm.args.
struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint");
        fs::create_dir(folder.path().join("etc")).unwrap();
        for name in ["app.config", "vm.args"] {
            fs::copy(files.join("clean").join(name), folder.path().join("etc").join(name)).unwrap();
        }
        fs::write(
            folder.path().join("status"),
            "TRUE All nodes agree on the ring ['riak@10.20.0.11','riak@10.20.0.12']\n",
        )
        .unwrap();
        netns::ip(
            "link set lo up\nlink add eth1 type veth peer name far\naddr add 10.20.0.11/24 dev eth1\nlink set eth1 up\n\
             link set far up\n",
        );
        Self { folder }
    }

    fn ringfence(&self, line: &str) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env("RINGFENCE_STATE_DIR", self.folder.path().join("state"))
            .env_remove("SSH_CONNECTION")
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (output.status.code(), text)
    }

    fn epmd(&self, address: Option<&str>) -> Running {
        let mut command = Command::new("epmd");
        if let Some(address) = address {
            command.args(["-address", address]);
        }
        let epmd = start(&mut command);
        wait_for("127.0.0.1:4369");
        epmd
    }

    /// The VM as Riak starts it, from its own files.
    fn node(&self, further: &[&str], port: u16) -> Running {
        let folder = self.folder.path();
        let etc = |name: &str| -> PathBuf { folder.join("etc").join(name) };
        let mut command = Command::new("erl");
        // Of a key that is given twice, the first counts here.
        command.args(["-noinput", "-start_epmd", "false"]).args(further).arg("-args_file").arg(etc("vm.args"));
        command.arg("-config").arg(etc("app.config")).env("HOME", folder).current_dir(folder);
        let node = start(&mut command);
        wait_for(&format!("10.20.0.11:{port}"));
        node
    }
}

#[test]
fn a_node_that_was_imported_listens_where_the_cluster_file_says() {
    netns::isolated("a_node_that_was_imported_listens_where_the_cluster_file_says", || {
        let _namespace = netns::Namespace::unshare();
        let host = Host::new();
        let (code, text) = host.ringfence("import --from etc --membership status -o cluster.toml");
        assert_eq!(code, Some(0), "{text}");
        let (code, text) = host.ringfence("apply cluster.toml --root root");
        assert_eq!(code, Some(0), "{text}");
        let lint = "lint cluster.toml --from etc --membership status";

        let epmd = host.epmd(Some("10.20.0.11"));
        let node = host.node(&[], 6000);
        let (code, text) = host.ringfence(lint);
        assert_eq!(code, Some(0), "{text}");
        assert!(text.starts_with("nothing found for riak@10.20.0.11"), "{text}");
        let (code, text) = host.ringfence("status");
        assert_eq!(code, Some(0), "{text}");

        // The files say one range, and the node listens in another.
        drop(node);
        let node = host.node(&["-kernel", "inet_dist_listen_min", "7000", "inet_dist_listen_max", "7009"], 7000);
        let (code, text) = host.ringfence(lint);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("error[outside-range]") && text.contains("0.0.0.0:7000"), "{text}");
        for full in ["status", "status --full"] {
            let (code, text) = host.ringfence(full);
            assert_eq!(code, Some(1), "{text}");
            assert!(
                text.contains("EXPOSED: Erlang (riak@10.20.0.11, process ") && text.contains("0.0.0.0:7000"),
                "{text}"
            );
        }

        // The files say another range than the cluster file, and the node does as they say.
        drop(node);
        let args = host.folder.path().join("etc/vm.args");
        let text = fs::read_to_string(&args).unwrap();
        fs::write(&args, text.replace("6000", "7000").replace("6009", "7009")).unwrap();
        let node = host.node(&[], 7000);
        let (code, text) = host.ringfence(lint);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("error[range-differs]") && text.contains("error[outside-range]"), "{text}");
        drop(node);

        drop(epmd);
        let _epmd = host.epmd(None);
        let (code, text) = host.ringfence(lint);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("warning[epmd-everywhere]"), "{text}");
    });
}
