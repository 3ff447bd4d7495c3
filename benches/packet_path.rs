//! What a packet pays for the guard: nanoseconds over an empty chain, beside a guard with connection tracking and beside
//! ipset with iptables-legacy. `cargo bench --bench packet_path`, as root.
//!
//! Each ruleset gets a network namespace of its own, all at the far ends of veth pairs whose near ends lie in one more
//! namespace. Raw frames written to a near end are received, filtered and dropped before the write returns, all on one
//! core, so the time of the write is the time of the packet. The namespaces live side by side and take turns every few
//! hundred packets: what disturbs the machine disturbs all of them, and the median of the differences *within a round* is
//! good to a few nanoseconds even on a busy machine. The column `noise`, a second empty chain, shows how good.
//!
//! Behind each ruleset a last chain drops and counts what got through. So no socket answers, and the count proves that
//! the guard did what it is measured for. It flatters the guard with connection tracking, whose new connections die
//! before they would be entered in its table.
//!
//! At last a list of 100,000 sources has ten of them changed by `apply`, several times, while peers and strangers send some 100,000
//! segments a second: of the peers' none may be lost, and of the strangers' none may arrive.
//!
//! No time is asserted: only ratios of one run mean anything, and only on a machine like the one that will filter.

#![allow(unsafe_code, reason = "raw frames and network namespaces have no safe interface in std")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench may stop"
)]

use std::ffi::CString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Error, Write as _};
use std::mem;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, ExitCode, Stdio};
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

/// Frames in one system call; as many different flows.
const BATCH: usize = 64;
/// Calls that are timed together, after one that warms the caches.
const CALLS: usize = 4;
/// Turns of every ruleset at every kind of packet.
const ROUNDS: usize = 300;
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const PUSH_ACK: u8 = 0x18;
/// Sequence numbers that both ends of the prepared sessions agree on.
const THEIRS: u32 = 1000;
const OURS: u32 = 5000;

/// One row of the table.
struct Kind {
    title: &'static str,
    source: fn(index: usize, sources: usize) -> Ipv4Addr,
    port: u16,
    flags: u8,
    /// Whether a guard lets it through.
    passes: bool,
    /// The most that ringfence may cost, as a part of what the guard with connection tracking costs.
    target: Option<f64>,
}

#[rustfmt::skip]
const KINDS: [Kind; 6] = [
    Kind { title: "unrelated data, port 443", source: customer, port: 443,  flags: PUSH_ACK, passes: true,  target: Some(0.25) },
    Kind { title: "data beside, port 8080",   source: customer, port: 8080, flags: PUSH_ACK, passes: true,  target: Some(0.25) },
    Kind { title: "unrelated SYN, port 25",   source: customer, port: 25,   flags: SYN,      passes: true,  target: Some(0.5) },
    Kind { title: "stranger's SYN, 8098",     source: customer, port: 8098, flags: SYN,      passes: false, target: Some(1.0 / 3.0) },
    Kind { title: "peer's SYN, 8098",         source: peer,     port: 8098, flags: SYN,      passes: true,  target: None },
    Kind { title: "peer's data, 8098",        source: peer,     port: 8098, flags: PUSH_ACK, passes: true,  target: None },
];

/// Anybody on the internet.
fn customer(index: usize, _sources: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, index as u8)
}

/// Peers from all over the list.
fn peer(index: usize, sources: usize) -> Ipv4Addr {
    nth_source(index * sources / BATCH)
}

fn nth_source(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 20, (index / 200) as u8, (index % 200) as u8 + 1)
}

fn main() -> ExitCode {
    // SAFETY: geteuid has no conditions.
    if unsafe { libc::geteuid() } != 0 {
        println!("packet_path: not measured, network namespaces need root");
        return ExitCode::SUCCESS;
    }
    // Those who change and those who send have a core each.
    let fine = changes_under_load();
    stay_on_one_core();
    for sources in [10, 1000] {
        measure(sources);
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Sources of the list that changes; the first of them stay in it.
const MANY: usize = 100_000;
const CHANGED: usize = 10;
const CHANGES: usize = 10;
/// Segments a second, of both kinds together.
const RATE: f64 = 100_000.0;

/// Whether nobody lost anything, and nobody got in, while ten of many sources were changed again and again.
fn changes_under_load() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(path("root")).unwrap();
    for (name, first) in [("one.toml", 0), ("other.toml", CHANGED)] {
        let all = (0..MANY - CHANGED).chain(MANY + first..MANY + first + CHANGED).map(nth_of_many);
        fs::write(path(name), cluster_file(all)).unwrap();
    }
    let apply = |name: &str| {
        let (file, state, root) = (path(name), path("state"), path("root"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        command.args(["apply", &file, "--state-dir", &state, "--root", &root, "--allow", "no-node,foreign-address"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let wire = new_namespace();
    let lane = Lane::new("busy", &wire, 0, &|| {
        let output = apply("one.toml").output().map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::new())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    });
    let lane = match lane {
        Ok(lane) => lane,
        Err(error) => {
            println!("changes under load: not measured: {error}");
            return false;
        }
    };
    let of = |title| KINDS.iter().find(|kind| kind.title.starts_with(title)).unwrap();
    let (peers, strangers) = (Batch::new(of("peer's data"), MANY), Batch::new(of("stranger's"), MANY));
    let start = Instant::now();
    let mut sent = 0;
    for change in 0..CHANGES {
        enter(&lane.namespace);
        let mut child = apply(["other.toml", "one.toml"][change % 2]).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            peers.send(&lane);
            strangers.send(&lane);
            sent += BATCH as u64;
            let due = Duration::from_secs_f64((2 * sent) as f64 / RATE);
            thread::sleep(due.saturating_sub(start.elapsed()));
        }
        let output = child.wait_with_output().unwrap();
        // With 1 it says that the last chain lets nobody through.
        if output.status.code().is_none_or(|code| code > 1) {
            println!("changes under load: {}", String::from_utf8_lossy(&output.stderr));
            return false;
        }
    }
    let rate = (2 * sent) as f64 / start.elapsed().as_secs_f64();
    let through = lane.counted("customers");
    let lost = sent - (lane.counted("reached") - through);
    println!(
        "{CHANGES} changes of {CHANGED} in {MANY} sources, under {rate:.0} segments a second: of {sent} of peers {lost} were lost, of as many \
         of strangers {through} got in"
    );
    lost == 0 && through == 0
}

fn nth_of_many(index: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 20, 0, 0)) + index as u32)
}

fn measure(sources: usize) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("cluster.toml");
    fs::write(&config, cluster_file((0..sources).map(nth_source))).unwrap();
    let compile = |format: &str| {
        let config = config.to_str().unwrap();
        run(env!("CARGO_BIN_EXE_ringfence"), &["compile", config, "--format", format, "--sets", "always"], "")
    };
    let wire = new_namespace();
    let lane = |name, load: Load<'_>| {
        Lane::new(name, &wire, sources, load).map_err(|error| format!("{name} is not measured: {error}"))
    };
    let nft = |text: &str| run("nft", &["-f", "-"], text);
    let lanes = [
        lane("empty", &|| nft(EMPTY)),
        lane("noise", &|| nft(EMPTY)),
        lane("ringfence", &|| nft(&compile("nft")?)),
        lane("ct", &|| nft(&ct_guard(sources))),
        lane("ipset", &|| {
            run("ipset", &["restore"], &compile("ipset")?)?;
            run("iptables-legacy-restore", &["--noflush"], &compile("iptables")?)
        }),
    ];
    println!("\n{sources} sources: ns per packet with an empty chain, and what the others add to it");
    println!(
        "{:26}{:>9}{:>9}{:>11}{:>9}{:>9}{:>15}{:>9}",
        "", "empty", "noise", "ringfence", "ct", "ipset", "ringfence/ct", "target"
    );
    let mut wrong = Vec::new();
    for kind in &KINDS {
        let batch = Batch::new(kind, sources);
        wrong.extend(lanes.iter().flatten().filter_map(|lane| lane.misjudges(kind, &batch)));
        let cost = costs(&lanes, &batch);
        print!("{:26}", kind.title);
        for (cost, width) in cost.iter().zip([9, 9, 11, 9, 9]) {
            print!("{:>width$}", cost.map_or("-".to_owned(), |cost| format!("{cost:.0}")));
        }
        let ratio = cost[2].zip(cost[3]).map_or("-".to_owned(), |(ours, ct)| format!("{:.2}", ours / ct));
        println!("{ratio:>15}{:>9}", kind.target.map_or(String::new(), |target| format!("{target:.2}")));
    }
    for line in lanes.iter().filter_map(|lane| lane.as_ref().err()).chain(&wrong) {
        println!("  {line}");
    }
}

/// For each lane the median of what it costs over the first; for the first, what it costs.
fn costs(lanes: &[Result<Lane, String>], batch: &Batch) -> Vec<Option<f64>> {
    let mut over_first = vec![Vec::with_capacity(ROUNDS); lanes.len()];
    for round in 0..ROUNDS {
        let mut times = vec![0.0; lanes.len()];
        for turn in 0..lanes.len() {
            // Nobody is always the first.
            let index = (round + turn) % lanes.len();
            if let Ok(lane) = &lanes[index] {
                batch.send(lane);
                let start = Instant::now();
                for _ in 0..CALLS {
                    batch.send(lane);
                }
                times[index] = start.elapsed().as_nanos() as f64 / (CALLS * BATCH) as f64;
            }
        }
        for (index, differences) in over_first.iter_mut().enumerate() {
            differences.push(if index == 0 { times[0] } else { times[index] - times[0] });
        }
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    };
    over_first.into_iter().zip(lanes).map(|(times, lane)| lane.is_ok().then(|| median(times))).collect()
}

const EMPTY: &str = "table inet empty { chain input { type filter hook input priority 0; policy accept; }; }";

/// Counts and drops whatever the ruleset under test lets through.
const LAST: &str = "table inet last {
    counter reached { }
    counter customers { }
    chain input {
        type filter hook input priority 1000; policy accept
        ip saddr 198.51.100.0/24 counter name customers
        counter name reached drop
    }
}";

/// The guard that most guides teach: what is established passes, then ports and sources are looked at. Single ports
/// rather than ranges, which would make it slower.
fn ct_guard(sources: usize) -> String {
    const PEER_PORTS: &str = "4369, 6000, 6001, 6002, 6003, 6004, 6005, 6006, 6007, 6008, 6009, 8098, 8099";
    let peers: Vec<String> = (0..sources).map(|index| nth_source(index).to_string()).collect();
    format!(
        "table inet ct_guard {{
            set peers {{ type ipv4_addr; size {}; elements = {{ {} }}; }}
            chain input {{
                type filter hook input priority 0; policy accept;
                ct state established,related accept
                iif lo accept
                tcp dport {{ {PEER_PORTS} }} ip saddr @peers accept
                tcp dport 8098 ip saddr 10.30.0.0/24 accept
                tcp dport {{ {PEER_PORTS}, 8087 }} counter drop
            }}
        }}",
        2 * sources,
        peers.join(", ")
    )
}

fn cluster_file(sources: impl Iterator<Item = Ipv4Addr>) -> String {
    let mut text = String::from("[cluster]\nname = \"bench\"\nnodes = [\n");
    for source in sources {
        writeln!(text, "  \"riak@{source}\",").unwrap();
    }
    text + "]\n[networks]\nprivate = [\"10.0.0.0/8\"]\nuntrusted = [\"10.99.0.0/25\"]\n\
        [services.distribution]\nports = \"6000-6009\"\n\
        [[client]]\nname = \"application\"\nfrom = [\"10.30.0.0/24\"]\nservices = [\"http\"]\n"
}

/// Loads a ruleset into the namespace that this process is in.
type Load<'a> = &'a dyn Fn() -> Result<String, String>;

/// A ruleset in its namespace, and the wire that leads there.
struct Lane {
    name: &'static str,
    /// Whether anything is to be blocked here.
    guards: bool,
    namespace: File,
    wire: OwnedFd,
}

impl Lane {
    fn new(name: &'static str, wire: &File, sources: usize, load: Load<'_>) -> Result<Self, String> {
        let namespace = new_namespace();
        enter(wire);
        let far = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
        let add = ["link", "add", name, "type", "veth", "peer", "name", "host", "netns", &far];
        run("ip", &add, "")?;
        run("ip", &["link", "set", name, "arp", "off", "up"], "")?;
        let lane = Self { name, guards: !matches!(name, "empty" | "noise"), wire: packet_socket(name), namespace };
        enter(&lane.namespace);
        let setup = format!(
            "link set lo up\nlink set host address 02:00:00:00:00:01 arp off up\n\
             addr add {HOST}/32 dev host\nroute add default dev host\n"
        );
        run("ip", &["-batch", "-"], &setup)?;
        // The frames come from everywhere.
        for device in ["all", "host"] {
            fs::write(format!("/proc/sys/net/ipv4/conf/{device}/rp_filter"), "0").unwrap();
        }
        load()?;
        run("nft", &["-f", "-"], LAST)?;
        lane.open_sessions(sources);
        Ok(lane)
    }

    /// A segment from our side first: connection tracking takes it for a session that it missed the beginning of, and
    /// the data that follows for established.
    fn open_sessions(&self, sources: usize) {
        // Not UDP, but sending to an address is the same call for all, and std has it under this name only.
        let raw = UdpSocket::from(raw_socket(libc::AF_INET, libc::IPPROTO_RAW));
        for kind in KINDS.iter().filter(|kind| kind.flags != SYN) {
            for index in 0..BATCH {
                let them = (kind.source)(index, sources);
                let reply = packet((HOST, kind.port), (them, flow_port(kind, index)), (OURS, THEIRS), ACK, b"");
                raw.send_to(&reply, (them, 0)).unwrap();
            }
        }
    }

    fn reached(&self) -> u64 {
        self.counted("reached")
    }

    fn counted(&self, counter: &str) -> u64 {
        enter(&self.namespace);
        let text = run("nft", &["list", "counter", "inet", "last", counter], "").unwrap();
        let mut words = text.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).and_then(|count| count.parse().ok()).unwrap()
    }

    /// Says so if a packet of this kind does not meet the end that it should.
    fn misjudges(&self, kind: &Kind, batch: &Batch) -> Option<String> {
        let before = self.reached();
        batch.send(self);
        let reached = self.reached() - before;
        let expected = if kind.passes || !self.guards { BATCH as u64 } else { 0 };
        (reached != expected)
            .then(|| format!("{}: {reached} of {BATCH} got through {}, not {expected}", kind.title, self.name))
    }
}

/// Frames of one kind, ready to be sent again and again.
struct Batch {
    frames: Vec<Vec<u8>>,
}

impl Batch {
    fn new(kind: &Kind, sources: usize) -> Self {
        let payload: &[u8] = if kind.flags == SYN { b"" } else { b"GET / HTTP/1.1\r\n" };
        let frame = |index| {
            let from = ((kind.source)(index, sources), flow_port(kind, index));
            let acknowledged = if kind.flags == SYN { 0 } else { OURS };
            let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
            frame.extend(packet(from, (HOST, kind.port), (THEIRS, acknowledged), kind.flags, payload));
            frame
        };
        Self { frames: (0..BATCH).map(frame).collect() }
    }

    fn send(&self, lane: &Lane) {
        let part = |frame: &Vec<u8>| libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
        let mut parts: Vec<libc::iovec> = self.frames.iter().map(part).collect();
        // SAFETY: all zero is a valid empty header; there is a part for each, and what they point to outlives the call.
        let sent = unsafe {
            let mut messages: [libc::mmsghdr; BATCH] = mem::zeroed();
            for (message, part) in messages.iter_mut().zip(&mut parts) {
                message.msg_hdr.msg_iov = part;
                message.msg_hdr.msg_iovlen = 1;
            }
            libc::sendmmsg(lane.wire.as_raw_fd(), messages.as_mut_ptr(), BATCH as u32, 0)
        };
        assert_eq!(sent, BATCH as i32, "sending: {}", Error::last_os_error());
    }
}

/// A new connection never looks like part of an old one.
fn flow_port(kind: &Kind, index: usize) -> u16 {
    (if kind.flags == SYN { 50_000 } else { 40_000 }) + index as u16
}

type End = (Ipv4Addr, u16);

/// An IPv4 packet with a TCP segment, checksums and all: connection tracking looks at them.
fn packet(from: End, to: End, (sequence, acknowledged): (u32, u32), flags: u8, data: &[u8]) -> Vec<u8> {
    let addresses = [from.0.octets(), to.0.octets()].concat();
    let mut tcp = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    tcp.extend([sequence.to_be_bytes(), acknowledged.to_be_bytes()].concat());
    tcp.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend(data);
    let pseudo = [&addresses[..], &[0, 6], &(tcp.len() as u16).to_be_bytes()].concat();
    let sum = checksum(&[&pseudo[..], &tcp].concat());
    tcp[16..18].copy_from_slice(&sum);
    let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0];
    ip.extend(addresses);
    ip[2..4].copy_from_slice(&(20 + tcp.len() as u16).to_be_bytes());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    ip.extend(tcp);
    ip
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    (!((folded & 0xffff) + (folded >> 16)) as u16).to_be_bytes()
}

/// Makes a network namespace and goes into it; it ends with the last process and handle in it.
fn new_namespace() -> File {
    // SAFETY: unshare has no conditions; this program has one thread.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "network namespace: {}", Error::last_os_error());
    File::open("/proc/self/ns/net").unwrap()
}

fn enter(namespace: &File) {
    // SAFETY: the descriptor is open for as long as the borrow.
    assert_eq!(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }, 0, "{}", Error::last_os_error());
}

/// Both the sender and, because a veth hands packets over on the spot, everything that it sets off.
fn stay_on_one_core() {
    // SAFETY: an all-zero set is empty and valid, and the size is its own.
    unsafe {
        let mut cores: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu() as usize, &mut cores);
        libc::sched_setaffinity(0, size_of_val(&cores), &cores);
    }
}

/// A socket whose writes become frames on this device, past any queue.
fn packet_socket(device: &str) -> OwnedFd {
    let device = CString::new(device).unwrap();
    let socket = raw_socket(libc::AF_PACKET, 0);
    // SAFETY: the structures are the ones that these calls take, with their sizes, and outlive them.
    unsafe {
        let mut address: libc::sockaddr_ll = mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = libc::if_nametoindex(device.as_ptr()) as i32;
        let bound = libc::bind(socket.as_raw_fd(), ptr::from_ref(&address).cast(), size_of_val(&address) as u32);
        assert_eq!(bound, 0, "{}", Error::last_os_error());
        let on: i32 = 1;
        let (value, size) = (ptr::from_ref(&on).cast(), size_of_val(&on) as u32);
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, value, size);
    }
    socket
}

fn raw_socket(family: i32, protocol: i32) -> OwnedFd {
    // SAFETY: a new descriptor, owned from here on; -1 stops the bench.
    unsafe {
        let socket = libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol);
        assert!(socket >= 0, "raw socket: {}", Error::last_os_error());
        OwnedFd::from_raw_fd(socket)
    }
}

/// Runs a program in the namespace that this process is in; its output, or what went wrong.
fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let piped = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = piped.map_err(|error| format!("{program}: {error}"))?;
    // A program that stops reading says why on its standard error.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {}", arguments.join(" "), said.lines().next().unwrap_or("failed")))
}
