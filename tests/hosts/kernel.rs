//! What the kernel does with the lines of a host: its rules in a namespace, and real connections.

use std::collections::BTreeSet;
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
use super::network::{Network, address_of};

/// How long a connection is waited for that is to be blocked. Without a rule against it, it takes less than a millisecond.
const BLOCKED: Duration = Duration::from_millis(600);
/// The same for one that is to work: only a test that fails waits for it.
const REACHES: Duration = Duration::from_secs(5);

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
    let in_turn = || case.lines.iter().map(|line| attempted(case, network, line)).collect();
    let at_once = || {
        std::thread::scope(|scope| {
            // A thread begins in the namespace of the one that starts it.
            let threads: Vec<_> =
                case.lines.iter().map(|line| scope.spawn(move || attempted(case, network, line))).collect();
            threads.into_iter().map(|thread| thread.join().expect("an attempt ends")).collect()
        })
    };
    let attempts: Vec<Attempt> = if case.origin("in turn").is_some() { in_turn() } else { at_once() };
    let seen = observed();
    let fate = |attempt: Attempt| Fate {
        verdict: if attempt.result.is_ok() { Verdict::Reaches } else { Verdict::Blocked },
        delivered: seen.iter().any(|(set, from, _)| set.starts_with("input") && Some(*from) == attempt.from),
        said: attempt.result.err().unwrap_or_else(|| "it has an answer".to_owned()),
    };
    Ok(attempts.into_iter().map(fate).collect())
}

/// What a line's packet from outside is sent to.
pub fn to(case: &Case, line: &Line) -> SocketAddr {
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

pub fn load(case: &Case) -> Result<(), String> {
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

/// Whether a line's connection comes to be, just now.
pub fn connects(case: &Case, network: &Network, line: &Line) -> bool {
    attempted(case, network, line).result.is_ok()
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
        Some((address, mark)) => far_socket(address, mark),
        None => tcp_socket(to.ip()),
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

fn tcp_socket(like: IpAddr) -> OwnedFd {
    let family = if like.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    socket(family, SockType::Stream, SockFlag::empty(), None).expect("a socket")
}

/// A socket of somebody on the far side, which sends down one cable.
fn far_socket(from: IpAddr, mark: u32) -> OwnedFd {
    let fd = tcp_socket(from);
    setsockopt(&fd, sockopt::Mark, &mark).expect("a mark");
    bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0))).expect("an address of the far side");
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
