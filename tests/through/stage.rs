//! A machine of its own for one test: nothing that it writes outlives it, and nothing of it is the real machine's.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};
use ringfence::ir::{Leg, Opening};
use ringfence::net::{Cidr, PortRange, Ports};

use super::lab::netns::{Namespace, ip, not_possible, sysctl};

const INSIDE: &str = "RINGFENCE_THROUGH_INSIDE";
const SKIP: &str = "RINGFENCE_SKIP_KERNEL";
/// Milliseconds, longer than any answer takes that comes; whoever is dropped waits as long.
const ANSWER: i64 = 300;
const PATIENCE: Duration = Duration::from_secs(20);

/// The folder of which the test gets a copy, and those that are empty for it.
const COPIED: [&str; 1] = ["/etc"];
const EMPTY: [&str; 3] = ["/run", "/var/log", "/mnt"];

/// Runs a test on a machine of its own. `name` is its full name: it runs itself again in there.
pub fn alone(name: &str, test: impl FnOnce(Machine) + Send) {
    if std::env::var_os(SKIP).is_some_and(|value| value == "1") {
        return;
    }
    if std::env::var(INSIDE).is_ok_and(|inside| inside == name) {
        // On a thread of its own, so that this process's first thread stays in a namespace that nothing touches.
        let work = || {
            let _host = Namespace::unshare();
            test(Machine::new());
        };
        let ended = std::thread::scope(|scope| scope.spawn(work).join());
        return ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    // In a user namespace there is one user, and a bus needs another.
    let users = fs::read_to_string("/proc/self/uid_map").unwrap();
    if !nix::unistd::geteuid().is_root() || !users.trim_end().ends_with("4294967295") {
        return not_possible("the real firewalld and ufw", "it takes root");
    }
    let output = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, name)
        .stdin(Stdio::null())
        .output()
        .expect("unshare (util-linux) runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "in a namespace:\n{said}");
}

/// The other side of the cable, and who listens here.
pub struct Machine {
    wire: Namespace,
    _servers: Vec<TcpListener>,
    running: Vec<Child>,
}

/// A peer; a peer whom the admin denies; one who is nobody. Of each family.
pub const PEER: [&str; 2] = ["10.77.0.2", "fd77::2"];
pub const DENIED: [&str; 2] = ["10.77.0.3", "fd77::3"];
pub const STRANGER: [&str; 2] = ["10.77.0.9", "fd77::9"];
const HOST: [&str; 2] = ["10.77.0.1", "fd77::1"];

impl Machine {
    fn new() -> Self {
        let mut script = String::from("set -e\nmount --make-rprivate /\n");
        for folder in COPIED {
            script.push_str(&format!("mount -t tmpfs none /mnt\ncp -a {folder}/. /mnt/\nmount --move /mnt {folder}\n"));
        }
        for folder in EMPTY {
            script.push_str(&format!("mount -t tmpfs none {folder}\n"));
        }
        script.push_str("mkdir -p /run/dbus /run/lock\ndbus-daemon --system --fork --nopidfile\n");
        shell(&script);
        let wire = Namespace::unshare_aside();
        ip(&format!(
            "link set lo up\nlink add eth0 type veth peer name far netns {}\nlink set eth0 up\n\
             addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\n\
             route add default via 10.77.0.254\nroute add default via fd77::fe\n",
            wire.path(),
            HOST[0],
            HOST[1]
        ));
        wire.enter(|| {
            let mut script = String::from("link set lo up\nlink set far up\n");
            for who in [PEER, DENIED, STRANGER] {
                script.push_str(&format!("addr add {}/24 dev far\naddr add {}/64 dev far nodad\n", who[0], who[1]));
            }
            ip(&script);
        });
        sysctl("net.ipv6.conf.eth0.accept_dad", "0");
        let listen = |port: u16| TcpListener::bind(("::", port)).unwrap();
        let there = wire.enter(|| listen(8099));
        let servers = vec![listen(8098), listen(4369), listen(8099), there];
        let machine = Self { wire, _servers: servers, running: Vec::new() };
        // The kernel takes up to a second to see that the cable is plugged in.
        let end = Instant::now() + PATIENCE;
        while PEER.iter().chain(&STRANGER).any(|from| !machine.reaches(from, 8098)) {
            assert!(Instant::now() < end, "without any rules nobody gets through");
        }
        machine
    }

    /// Whether a connection from an address to a port of this machine comes about.
    pub fn reaches(&self, from: &str, port: u16) -> bool {
        let from: IpAddr = from.parse().unwrap();
        let host: IpAddr = HOST[usize::from(from.is_ipv6())].parse().unwrap();
        self.wire.enter(|| connects(SocketAddr::new(from, 0), SocketAddr::new(host, port)))
    }

    /// Whether a connection from this machine to a port of another one comes about.
    pub fn calls(&self, to: &str) -> bool {
        let to: IpAddr = to.parse().unwrap();
        let from: IpAddr = HOST[usize::from(to.is_ipv6())].parse().unwrap();
        connects(SocketAddr::new(from, 0), SocketAddr::new(to, 8099))
    }

    /// What is wrong, if peers do not reach both ports, or those who must not do. All are tried at once.
    pub fn wrong(&self) -> Vec<String> {
        let all = [(PEER, true), (DENIED, false), (STRANGER, false)];
        let tried = all.into_iter().flat_map(|(who, reaches)| who.map(|from| (from, reaches)));
        let tried: Vec<_> = tried.flat_map(|(from, reaches)| [8098, 4369].map(|port| (from, port, reaches))).collect();
        std::thread::scope(|scope| {
            let one = |(from, port, reaches)| {
                scope.spawn(move || {
                    (self.reaches(from, port) != reaches).then(|| format!("{from} to {port}: not {reaches}"))
                })
            };
            let threads: Vec<_> = tried.into_iter().map(one).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[track_caller]
    pub fn assert_through(&self, when: &str) {
        let wrong = self.wrong();
        assert!(wrong.is_empty(), "{when}: {wrong:?}");
    }

    /// The same where the cluster file names the peer alone.
    #[track_caller]
    pub fn assert_through_peers(&self, when: &str) {
        assert!(PEER.iter().all(|from| self.reaches(from, 8098)), "{when}");
        assert!(STRANGER.iter().all(|from| !self.reaches(from, 8098)), "{when}");
    }

    #[track_caller]
    pub fn assert_blocked(&self, when: &str) {
        for from in PEER.iter().chain(&STRANGER) {
            assert!(!self.reaches(from, 8098), "{when}: {from} is let through");
        }
    }

    pub fn start_firewalld(&mut self) {
        let log = fs::File::create("/run/firewalld.out").unwrap();
        let child = Command::new("firewalld")
            .args(["--nofork", "--nopid"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.running.push(child);
        let end = Instant::now() + PATIENCE;
        while tried("firewall-cmd --state").is_err() {
            assert!(Instant::now() < end, "{}", fs::read_to_string("/run/firewalld.out").unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn stop_firewalld(&mut self) {
        for mut child in self.running.drain(..) {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), nix::sys::signal::SIGTERM)
                .unwrap();
            child.wait().unwrap();
        }
    }
}

fn connects(from: SocketAddr, to: SocketAddr) -> bool {
    let family = if from.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(socket.as_raw_fd(), &SockaddrStorage::from(from)).unwrap();
    // Also how long it waits for an answer.
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::milliseconds(ANSWER)).unwrap();
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to)).is_ok()
}

/// What a shell prints, or says against it.
pub fn tried(script: &str) -> Result<String, String> {
    let output = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(format!("{script}\n{said}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

#[track_caller]
pub fn shell(script: &str) -> String {
    tried(script).unwrap_or_else(|error| panic!("{error}"))
}

/// Every file below a folder, with its mode and what is in it.
pub fn files(folder: &str) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            if path.is_dir() {
                found.insert(path.clone(), (mode, Vec::new()));
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.insert(path, (mode, bytes));
            }
        }
    }
    found
}

/// What differs between two such.
#[track_caller]
pub fn assert_same(before: &BTreeMap<PathBuf, (u32, Vec<u8>)>, after: &BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    let paths: Vec<&PathBuf> = before.keys().chain(after.keys()).collect();
    let differ: Vec<String> = paths
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| {
            let text = |files: &BTreeMap<PathBuf, (u32, Vec<u8>)>| {
                files.get(path).map(|(mode, bytes)| format!("{mode:o}\n{}", String::from_utf8_lossy(bytes)))
            };
            format!(
                "{}: {}\n---- is now\n{}",
                path.display(),
                text(before).unwrap_or_default(),
                text(after).unwrap_or_default()
            )
        })
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// An opening for these networks.
pub fn opening(name: &str, networks: &[&str], ports: &[(u16, u16)]) -> Opening {
    let mut networks: Vec<Cidr> = networks.iter().map(|text| network(text)).collect();
    networks.sort_unstable_by_key(|network| (network.first(), network.prefix_length()));
    Opening {
        name: name.to_owned(),
        about: format!("{name}: epmd, http"),
        leg: Leg::In,
        networks,
        ports: ports.iter().map(|&(a, b)| PortRange::new(a, b).unwrap()).collect::<Ports>(),
        interfaces: None,
    }
}

fn network(text: &str) -> Cidr {
    let (address, length) = text.split_once('/').unwrap_or((text, if text.contains(':') { "128" } else { "32" }));
    Cidr::containing(address.parse().unwrap(), length.parse().unwrap()).unwrap()
}

/// Peers of both families: those who are to reach, and one whom the admin denies.
pub fn openings() -> Vec<Opening> {
    [0, 1].map(|at| opening("peers", &[PEER[at], DENIED[at]], &[(4369, 4369), (8098, 8099)])).to_vec()
}

pub const ROOT: &str = "/";

pub fn root() -> &'static Path {
    Path::new(ROOT)
}
