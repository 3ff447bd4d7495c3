//! What the kernel does with the lines of a host: its rules in a namespace, and real connections.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, getsockname, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::case::{Case, Direction, Line, Verdict};
use super::lab::netns::{attempt, run};
use super::lab::probe::{OBSERVER, observed};
use super::lab::server::Server;
use super::network::{Network, address_of, has_ipv6};

/// How long a connection is waited for that is to be blocked. Without a rule against it, it takes less than a millisecond.
const BLOCKED: Duration = Duration::from_millis(600);
/// The same for one that is to work: only a test that fails waits for it.
const REACHES: Duration = Duration::from_secs(5);

/// Who asks and for what when everybody is tried, beside those of the lines: neighbours of what rules name.
pub const OTHERS: [&str; 14] = [
    "10.20.0.10",
    "10.20.0.12",
    "10.20.0.13",
    "10.20.0.14",
    "10.20.0.49",
    "10.20.0.50",
    "10.20.0.66",
    "10.99.0.1",
    "192.0.2.7",
    "198.51.100.50",
    "203.0.113.9",
    "203.0.113.77",
    "2001:db8:1::99",
    "fd20::12",
];
const OTHER_PORTS: [u16; 16] =
    [1, 22, 80, 4368, 4369, 5999, 6000, 6009, 6010, 8080, 8087, 8097, 8098, 8099, 8100, 18098];
/// The first port from which they ask; each of them has its own.
const FIRST_PORT: u16 = 20000;

/// What became of a line.
pub struct Fate {
    pub verdict: Verdict,
    /// Whether the first segment came by all rules at the host's input.
    pub delivered: bool,
    /// Why it is no connection with whom it was meant for.
    pub said: String,
}

/// A connection attempt: the port that it came from, and whether the right program has answered.
struct Attempt {
    from: Option<SocketAddr>,
    result: Result<(), String>,
}

/// Loads the host and tries every line; without its rules, to see that nothing else stands in the way.
pub fn fates(case: &Case, with_rules: bool) -> Result<Vec<Fate>, String> {
    let network = Network::new(case);
    network.check_ways(case)?;
    if with_rules {
        load(case)?;
    }
    run(&["nft", "-f", "-"], OBSERVER);
    let asked = case.lines.iter().filter(|line| line.direction == Direction::Asked);
    let here: BTreeSet<u16> = asked.flat_map(|line| [line.port, line.program()]).collect();
    let _here: Vec<_> = here.iter().map(|port| Server::saying(("::", *port), &of_host(*port))).collect();
    let asking = case.lines.iter().filter(|line| line.direction == Direction::Asking);
    let there: BTreeSet<SocketAddr> = asking.map(|line| SocketAddr::new(line.peer, line.port)).collect();
    let _there: Vec<_> = network.far.enter(|| there.iter().map(|at| Server::saying(at, &of_peer(*at))).collect());
    let network = &network;
    let attempts: Vec<Attempt> = std::thread::scope(|scope| {
        // A thread begins in the namespace of the one that starts it.
        let threads: Vec<_> =
            case.lines.iter().map(|line| scope.spawn(move || attempted(case, network, line))).collect();
        threads.into_iter().map(|thread| thread.join().expect("an attempt ends")).collect()
    });
    let seen = observed();
    let fate = |attempt: Attempt| Fate {
        verdict: if attempt.result.is_ok() { Verdict::Reaches } else { Verdict::Blocked },
        delivered: seen.iter().any(|(set, from, _)| set.starts_with("input") && Some(*from) == attempt.from),
        said: attempt.result.err().unwrap_or_else(|| "it has an answer".to_owned()),
    };
    Ok(attempts.into_iter().map(fate).collect())
}

/// Tries what no line says: everybody's first segment, by every interface, to every port of the host's lines. Returns what was
/// tried and the port that it had at the host's input, if it came there.
pub fn swept(case: &Case, with_rules: bool) -> Result<Vec<(Line, Option<u16>)>, String> {
    let network = Network::new(case);
    if with_rules {
        load(case)?;
    }
    run(&["nft", "-f", "-"], OBSERVER);
    let tried = combinations(case, &network);
    network.far.enter(|| {
        for (line, from) in tried.iter().zip(FIRST_PORT..) {
            let to = to(case, line);
            let fd =
                far_socket(SocketAddr::new(line.peer, from), network.mark(&line.interface), SockFlag::SOCK_NONBLOCK);
            let started = connect(fd.as_raw_fd(), &SockaddrStorage::from(to));
            assert!(
                matches!(started, Err(Errno::EINPROGRESS | Errno::ECONNREFUSED)),
                "connecting to {to}: {started:?}"
            );
        }
    });
    let seen = settled();
    Ok(tried.into_iter().zip((FIRST_PORT..).map(|from| seen.get(&from).copied())).collect())
}

/// What came to the host's input, once nothing comes any more: the port that it had there, by the port that it came from.
fn settled() -> BTreeMap<u16, u16> {
    let mut before = 0;
    loop {
        std::thread::sleep(BLOCKED / 2);
        let seen = observed();
        if seen.len() == before {
            let input = seen.into_iter().filter(|(set, ..)| set.starts_with("input"));
            return input.map(|(_, from, port)| (from.port(), port)).collect();
        }
        before = seen.len();
    }
}

fn combinations(case: &Case, network: &Network) -> Vec<Line> {
    let peers: BTreeSet<IpAddr> = case.lines.iter().map(|line| line.peer).chain(OTHERS.map(parsed)).collect();
    let own = case.lines.iter().flat_map(|line| [line.port, line.program()]);
    let ports: BTreeSet<u16> = own.chain(OTHER_PORTS).collect();
    let mut lines = Vec::new();
    for interface in network.interfaces() {
        // A neighbour of IPv6 answers for its own cable alone.
        for peer in peers.iter().filter(|peer| peer.is_ipv4() || has_ipv6(case, interface)) {
            for port in &ports {
                lines.push(Line::asked(*peer, interface, *port));
            }
        }
    }
    lines
}

pub fn parsed(address: &str) -> IpAddr {
    address.parse().expect("an address")
}

/// What a line's packet from outside is sent to.
fn to(case: &Case, line: &Line) -> SocketAddr {
    let address = address_of(case, &line.interface, line.peer).expect("an address of the family");
    SocketAddr::new(address, line.port)
}

/// What this host's program on a port says first.
fn of_host(port: u16) -> Vec<u8> {
    format!("host {port}\n").into_bytes()
}

/// What somebody else's says.
fn of_peer(at: SocketAddr) -> Vec<u8> {
    format!("peer {at}\n").into_bytes()
}

fn load(case: &Case) -> Result<(), String> {
    // What the host's own tools were; `iptables` is whichever the machine prefers.
    let variant = case.origin("iptables").unwrap_or("nft");
    for (file, text) in case.rulesets() {
        let tool = format!("{file}-{variant}-restore");
        let (command, text): (&[&str], _) = match *file {
            "ipset" => (&["ipset", "restore"], text.clone()),
            "nft" => (&["nft", "-f", "-"], for_any_nft(text)),
            _ => (&[&tool, "-w"], text.clone()),
        };
        attempt(command, &text).map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(())
}

/// The same rules in words that older releases of nft know.
fn for_any_nft(text: &str) -> String {
    // An owner's tables would end with the process that loads them.
    let text = text.replace("\tflags owner,persist\n", "");
    // Up to 1.0.6 the priority has a name at prerouting alone.
    text.replace("hook output priority dstnat + 10;", "hook output priority -90;")
        .replace("hook output priority dstnat;", "hook output priority -100;")
}

fn attempted(case: &Case, network: &Network, line: &Line) -> Attempt {
    let patience = match line.verdict {
        Verdict::Reaches => REACHES,
        Verdict::Blocked => BLOCKED,
    };
    match line.direction {
        Direction::Asked => network.far.enter(|| {
            let mark = network.mark(&line.interface);
            ask(Some((line.peer, mark)), to(case, line), &of_host(line.program()), patience)
        }),
        Direction::Asking => {
            let to = SocketAddr::new(line.peer, line.port);
            ask(None, to, &of_peer(to), patience)
        }
    }
}

/// A whole conversation: the handshake, the first words of the other program, and what it repeats.
fn ask(from: Option<(IpAddr, u32)>, to: SocketAddr, expected: &[u8], patience: Duration) -> Attempt {
    let fd = match from {
        Some((address, mark)) => far_socket(SocketAddr::new(address, 0), mark, SockFlag::empty()),
        None => tcp_socket(to.ip(), SockFlag::empty()),
    };
    let timeout = TimeVal::milliseconds(patience.as_millis() as i64);
    setsockopt(&fd, sockopt::SendTimeout, &timeout).expect("a timeout");
    let own = from.and_then(|_| socket_address(&fd));
    let result = connect(fd.as_raw_fd(), &SockaddrStorage::from(to)).map_err(|error| match error {
        Errno::EINPROGRESS => "no answer".to_owned(),
        other => other.desc().to_owned(),
    });
    let result = result.and_then(|()| converse(TcpStream::from(fd), expected, patience));
    Attempt { from: own, result }
}

fn tcp_socket(like: IpAddr, flags: SockFlag) -> OwnedFd {
    let family = if like.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    socket(family, SockType::Stream, flags, None).expect("a socket")
}

/// A socket of somebody on the far side, which sends down one cable.
fn far_socket(from: SocketAddr, mark: u32, flags: SockFlag) -> OwnedFd {
    let fd = tcp_socket(from.ip(), flags);
    setsockopt(&fd, sockopt::Mark, &mark).expect("a mark");
    bind(fd.as_raw_fd(), &SockaddrStorage::from(from)).expect("an address of the far side");
    fd
}

fn converse(mut stream: TcpStream, expected: &[u8], patience: Duration) -> Result<(), String> {
    stream.set_read_timeout(Some(patience)).expect("a timeout");
    stream.write_all(b"and back\n").map_err(|error| error.to_string())?;
    let mut heard = Vec::new();
    let mut buffer = [0; 64];
    let whole = [expected, b"and back\n"].concat();
    while heard.len() < whole.len() {
        match stream.read(&mut buffer) {
            Ok(0) => return Err("the connection ends".to_owned()),
            Ok(length) => heard.extend_from_slice(&buffer[..length]),
            Err(error) => return Err(format!("connected, but {error}")),
        }
        if !whole.starts_with(&heard) {
            return Err(format!("another program answers: {}", String::from_utf8_lossy(&heard).trim()));
        }
    }
    Ok(())
}

fn socket_address(fd: &OwnedFd) -> Option<SocketAddr> {
    let address: SockaddrStorage = getsockname(fd.as_raw_fd()).ok()?;
    let four = address.as_sockaddr_in().map(|address| SocketAddr::from((address.ip(), address.port())));
    four.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::from((address.ip(), address.port()))))
}
