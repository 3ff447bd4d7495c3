//! A host with the program on it: the lab's host is a node of the cluster, and everything that the program remembers or
//! writes is in a folder of the test's own.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::lab::frame::{RST, SYN, Segment, plain};
use super::lab::netns::{attempt, ip};
use super::lab::rules::GUARDED;
use super::lab::server::Server;
use super::lab::{HOST4, HOST6, Lab, PATIENCE};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ringfence");
/// In every cluster here.
pub const STAYS: [u8; 4] = [10, 20, 0, 12];
/// In `old.toml` only, and in the others only.
pub const LEAVES: [u8; 4] = [10, 20, 0, 14];
pub const COMES: [u8; 4] = [10, 20, 0, 15];
/// To the peers, from the address that they know.
pub const WAY: &str = "route replace 10.0.0.0/8 via 198.18.0.254 dev eth1 onlink src 10.20.0.1\n";
pub const STRANGER: [u8; 4] = [203, 0, 113, 9];

pub struct Machine {
    pub lab: Lab,
    folder: tempfile::TempDir,
    _server: Server,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            signal: output.status.signal(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    #[track_caller]
    pub fn ended(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    #[track_caller]
    pub fn says(self, words: &str) -> Ran {
        assert!(self.err.contains(words) || self.out.contains(words), "\"{words}\" is not said: {self:#?}");
        self
    }
}

/// A cluster of the host, the peer that stays, and others.
pub fn cluster(peers: &[&str], more: &str) -> String {
    let nodes: Vec<String> = peers.iter().map(|peer| format!("\"riak@{peer}\"")).collect();
    format!(
        "[cluster]\nname = \"lab\"\nprofile = \"riak\"\n\
         nodes = [\"riak@10.20.0.1\", \"riak@10.20.0.12\", \"riak@fd20::13\", {}]\n\
         [networks]\nprivate = [\"10.20.0.0/24\", \"fd20::/64\"]\n{more}\n",
        nodes.join(", ")
    )
}

pub const FEW_PORTS: &str = "[services.distribution]\nports = \"6000-6009\"";
const CLIENT: &str = "[[client]]\nname = \"web\"\nfrom = [\"10.20.1.0/24\"]\nservices = [\"http\"]";
pub const MORE_PORTS: &str = "[services.distribution]\nports = \"6000-6019\"";

impl Machine {
    pub fn new() -> Machine {
        let lab = Lab::new();
        ip(&format!("addr add 10.20.0.1/32 dev eth1\n{WAY}"));
        let server = Server::start(GUARDED);
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("root")).expect("the root");
        let machine = Machine { lab, folder, _server: server };
        machine.write("old.toml", &cluster(&["10.20.0.14"], FEW_PORTS));
        // Another member; other members and rules.
        machine.write("members.toml", &cluster(&["10.20.0.15"], FEW_PORTS));
        machine.write("rules.toml", &cluster(&["10.20.0.15"], &format!("{MORE_PORTS}\n{CLIENT}")));
        machine
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("making the folder");
        fs::write(path, text).expect("writing a file");
    }

    /// The program with these arguments; words that end in `.toml` are files of this machine.
    pub fn words(&self, arguments: &str) -> Vec<String> {
        let mut words: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        for word in words.iter_mut().filter(|word| word.ends_with(".toml")) {
            *word = self.path(word).display().to_string();
        }
        words.extend(["--state-dir".to_owned(), self.path("state").display().to_string()]);
        if ["apply", "remove", "watch"].contains(&words.first().map_or("", String::as_str)) {
            words.extend(["--root".to_owned(), self.path("root").display().to_string()]);
        }
        words
    }

    pub fn command(&self, program: &str, before: &[String], arguments: &str) -> Command {
        super::lab::netns::assert_away_from_home();
        let mut command = Command::new(program);
        command
            .args(before)
            .args(self.words(arguments))
            .env_remove("SSH_CONNECTION")
            .env_remove("RINGFENCE_STATE_DIR")
            .env("XTABLES_LOCKFILE", "/proc/self/ns/net")
            .stdin(Stdio::null());
        command
    }

    pub fn ringfence(&self, arguments: &str) -> Ran {
        self.command(PROGRAM, &[], arguments).output().expect("the program runs").into()
    }

    /// The same under strace(1), which then decides about its calls; `log` gets those that were asked for.
    pub fn strace(&self, options: &[&str], arguments: &str) -> Ran {
        self.start_strace(options, arguments).wait_with_output().expect("strace ends").into()
    }

    pub fn start_strace(&self, options: &[&str], arguments: &str) -> Child {
        // What an earlier run wrote is no answer about this one.
        let _ = fs::remove_file(self.path("strace"));
        let mut before: Vec<String> = ["-qq", "-o"].map(str::to_owned).to_vec();
        before.push(self.path("strace").display().to_string());
        before.extend(options.iter().map(|option| (*option).to_owned()));
        before.extend(["--".to_owned(), PROGRAM.to_owned()]);
        let mut command = self.command("strace", &before, arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("strace runs")
    }

    pub fn strace_log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("strace")).unwrap_or_default()).into_owned()
    }

    /// Whether the rules in force prove every claim of this file; the short look must not say anything else.
    #[track_caller]
    pub fn proves(&self, file: &str) -> bool {
        let quick = self.ringfence(&format!("status {file}"));
        let full = self.ringfence(&format!("status --full {file}"));
        // What is in force is another file's where it was applied last, and drifted where somebody changed it.
        assert!(matches!(full.code, Some(0 | 1 | 6)), "{full:#?}");
        assert_eq!(quick.code, full.code, "{quick:#?}\n{full:#?}");
        full.code == Some(0)
    }

    /// Which of these files the rules in force prove: exactly one, or a half state is in force.
    #[track_caller]
    pub fn in_force<'a>(&self, files: &[&'a str]) -> &'a str {
        let proved: Vec<&str> = files.iter().copied().filter(|file| self.proves(file)).collect();
        assert_eq!(proved.len(), 1, "{files:?}: {proved:?}\n{}", self.table());
        proved[0]
    }

    pub fn table(&self) -> String {
        attempt(&["nft", "-s", "list", "table", "inet", "ringfence"], "").unwrap_or_else(|error| error)
    }

    pub fn waits(&self) -> bool {
        self.path("state/run/pending").exists()
    }

    /// Returns when nothing waits any more: somebody else took the change back.
    #[track_caller]
    pub fn until_nothing_waits(&self) {
        // Whoever took it back holds the lock for a moment longer.
        let free = || fs::File::open(self.path("state/run/lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        eventually("the change is taken back", || !self.waits() && free());
    }

    /// Whether a connection from `from` is answered. Changes nothing in the kernel's tables.
    pub fn answers(&self, from: [u8; 4], port: u16) -> bool {
        self.answers_at(from, SocketAddr::new(HOST4, port))
    }

    /// The same at any address.
    pub fn answers_at(&self, from: [u8; 4], to: SocketAddr) -> bool {
        let from = SocketAddr::new(IpAddr::from(from), 10000 + self.lab.next());
        self.fire(&Segment::syn(from, to))
    }

    /// Whether anything at all comes back.
    fn fire(&self, segment: &Segment) -> bool {
        let cable = self.lab.cable("eth1");
        cable.answers();
        self.lab.in_order(|| {
            plain(segment).iter().for_each(|packet| cable.send(packet));
            self.lab.wait();
        });
        let answered = cable.answers().iter().any(|seen| seen.to == segment.from && seen.flags & SYN != 0);
        let end = Segment { flags: RST, seq: segment.seq.wrapping_add(1), ..segment.clone() };
        plain(&end).iter().for_each(|packet| cable.send(packet));
        answered
    }

    /// That peers are admitted and strangers are not, with packets.
    #[track_caller]
    pub fn guards(&self) {
        assert!(self.answers(STAYS, GUARDED), "the peer that stays is blocked\n{}", self.table());
        assert!(!self.answers(STRANGER, GUARDED), "a stranger gets through\n{}", self.table());
        assert!(self.answers_six("fd20::13"), "the peer of IPv6 is blocked\n{}", self.table());
        assert!(!self.answers_six("2001:db8:bad::9"), "a stranger of IPv6 gets through");
    }

    /// The same as [`Self::answers`] for the guarded port over IPv6.
    pub fn answers_six(&self, from: &str) -> bool {
        let from = SocketAddr::new(from.parse().expect("an address"), 10000 + self.lab.next());
        self.fire(&Segment::syn(from, SocketAddr::new(HOST6, GUARDED)))
    }
}

/// Waits for something that another process does.
#[track_caller]
pub fn eventually(what: &str, mut there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !there() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
