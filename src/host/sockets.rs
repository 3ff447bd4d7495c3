//! The kernel's TCP sockets, by sock_diag(7), in the network namespace of the calling thread.
//!
//! A session is destroyed by its whole identity, the kernel's cookie included, so that no other socket is ever hit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use nix::libc;
use thiserror::Error;

use super::port_filter::to_ports;
use crate::dialect::netlink::{Malformed, Message, Protocol, RequestError, Socket, Writer};
use crate::net::Ports;

/// linux/inet_diag.h and linux/sock_diag.h.
const INET_DIAG_REQ_BYTECODE: u16 = 1;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
/// The bytes of `struct inet_diag_sockid` (linux/inet_diag.h): ports, addresses, interface, cookie.
const IDENTITY: usize = 48;
/// What comes before it in `struct inet_diag_msg`: family, state, timer, retransmissions.
const BEFORE: usize = 4;
/// Where `idiag_uid` and `idiag_inode` are: behind timer and queues.
const USER: usize = BEFORE + IDENTITY + 12;
const INODE: usize = USER + 4;
/// `idiag_timer` of what is kept of a closed connection (net/ipv4/inet_diag.c, inet_twsk_diag_fill): no socket any more.
const TIMER_TIME_WAIT: u8 = 3;
/// How often to read a table that changes meanwhile.
const ATTEMPTS: usize = 5;

/// A socket's place in the life of a connection. TIME_WAIT is missing on purpose: what is left of a connection then takes
/// no more data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Both ends are open.
    Established,
    /// This host asked for a connection.
    SynSent,
    /// Another host asked for a connection; nothing has been accepted yet.
    SynReceived,
    /// This host said that it has no more to send, and may still receive.
    FinWait1,
    /// The other end has acknowledged that.
    FinWait2,
    /// No connection.
    Closed,
    /// The other end said that it has no more to send; this host may still send.
    CloseWait,
    /// Both ends are closing.
    LastAck,
    /// Waits for connections.
    Listening,
    /// Both ends are closing.
    Closing,
}

/// Which sockets to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that wait for connections.
    Listening,
    /// Those with two ends, half-open ones (SYN_RECV) too.
    Connected,
    /// Both.
    All,
}

/// A TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// This host's end. An IPv4-mapped IPv6 address stands as IPv4 (RFC 4291, 2.5.5.2); a scope is not shown.
    pub local: SocketAddr,
    /// The other end; address and port are zero where the socket listens.
    pub remote: SocketAddr,
    /// Where in its life it is.
    pub state: State,
    /// The number under which /proc/PID/fd shows it (proc_pid_fd(5)); 0 where no process has it.
    pub inode: u32,
    /// Whose it is.
    pub user: u32,
    /// The socket's own family, which for a mapped address is not that of the address.
    family: u8,
    /// As the kernel gave it and wants it back.
    identity: [u8; IDENTITY],
}

/// Why a session was not destroyed.
#[derive(Debug, Error)]
pub enum DestroyError {
    /// The kernel was built without it.
    #[error(
        "this kernel cannot cut connections: it lacks CONFIG_INET_DIAG_DESTROY; restart the program that holds them"
    )]
    Unsupported,
    /// CAP_NET_ADMIN is missing.
    #[error("connections may only be cut by root: run it as root")]
    NotAllowed,
    /// Anything else.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl State {
    /// The number that the kernel has for it (include/net/tcp_states.h).
    const fn number(self) -> u8 {
        match self {
            Self::Established => 1,
            Self::SynSent => 2,
            Self::SynReceived => 3,
            Self::FinWait1 => 4,
            Self::FinWait2 => 5,
            Self::Closed => 7,
            Self::CloseWait => 8,
            Self::LastAck => 9,
            Self::Listening => 10,
            Self::Closing => 11,
        }
    }

    const ALL: [Self; 10] = [
        Self::Established,
        Self::SynSent,
        Self::SynReceived,
        Self::FinWait1,
        Self::FinWait2,
        Self::Closed,
        Self::CloseWait,
        Self::LastAck,
        Self::Listening,
        Self::Closing,
    ];
}

impl Which {
    fn mask(self) -> u32 {
        let asked = State::ALL.into_iter().filter(|state| match self {
            Self::Listening => *state == State::Listening,
            Self::Connected => !matches!(state, State::Listening | State::Closed),
            Self::All => *state != State::Closed,
        });
        asked.fold(0, |mask, state| mask | 1 << state.number())
    }
}

/// The sockets of both families, in the kernel's order.
///
/// The kernel does not stop for this: a connection that begins or ends meanwhile may be missing or there twice.
///
/// # Errors
/// Where the kernel does not tell; [`RequestError::Interrupted`] where the table would not hold still.
pub fn table(which: Which) -> Result<Vec<Session>, RequestError> {
    filtered(which, &[])
}

/// Those that are connected to one of these ports.
///
/// # Errors
/// As [`table`].
pub fn connected_to(ports: &Ports) -> Result<Vec<Session>, RequestError> {
    filtered(Which::Connected, &to_ports(ports))
}

fn filtered(which: Which, filter: &[u8]) -> Result<Vec<Session>, RequestError> {
    let mut socket = Socket::open(Protocol::SockDiag)?;
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        found.append(&mut of_family(&mut socket, family as u8, which, filter)?);
    }
    Ok(found)
}

fn of_family(socket: &mut Socket, family: u8, which: Which, filter: &[u8]) -> Result<Vec<Session>, RequestError> {
    let mut attempts = ATTEMPTS;
    loop {
        let mut found = Vec::new();
        let request = |sequence| {
            let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
            request(SOCK_DIAG_BY_FAMILY, flags, sequence, (family, which.mask()), &[0; IDENTITY], filter)
        };
        let answer = socket.dump(request, |message| {
            found.extend(session(&message)?);
            Ok::<_, RequestError>(())
        });
        attempts -= 1;
        match answer {
            Err(RequestError::Interrupted) if attempts > 0 => {}
            Err(error) => return Err(explained(error)),
            Ok(()) => return Ok(found),
        }
    }
}

/// Says what a bare number means here.
fn explained(error: RequestError) -> RequestError {
    match error {
        RequestError::Refused(mut refusal) if refusal.errno == Errno::ENOENT && refusal.words.is_none() => {
            refusal.words = Some("the kernel module tcp_diag is missing".to_owned());
            RequestError::Refused(refusal)
        }
        other => other,
    }
}

/// `struct inet_diag_req_v2` behind a header.
fn request(
    kind: u16,
    flags: u16,
    sequence: u32,
    (family, states): (u8, u32),
    identity: &[u8; IDENTITY],
    filter: &[u8],
) -> Vec<u8> {
    let mut writer = Writer::with_capacity(128);
    writer.message(kind, flags, sequence, |writer| {
        // No extensions are asked for; the last byte is unused.
        writer.raw(&[family, libc::IPPROTO_TCP as u8, 0, 0]);
        writer.raw(&states.to_ne_bytes());
        writer.raw(identity);
        if !filter.is_empty() {
            writer.attribute(INET_DIAG_REQ_BYTECODE, filter);
        }
    });
    writer.bytes().to_vec()
}

/// What a `struct inet_diag_msg` tells; `None` for what is no socket any more, and for states that this program does not
/// know, which it did not ask for.
fn session(message: &Message<'_>) -> Result<Option<Session>, Malformed> {
    if message.kind != SOCK_DIAG_BY_FAMILY {
        return Ok(None);
    }
    let [family, state, timer, _] = *message.payload.first_chunk::<BEFORE>().ok_or(Malformed)?;
    let identity: [u8; IDENTITY] = *message.payload.get(BEFORE..).and_then(<[u8]>::first_chunk).ok_or(Malformed)?;
    let user = message.payload.get(USER..).and_then(<[u8]>::first_chunk).ok_or(Malformed)?;
    let inode = message.payload.get(INODE..).and_then(<[u8]>::first_chunk).ok_or(Malformed)?;
    let Some(state) = State::ALL.into_iter().find(|known| known.number() == state) else { return Ok(None) };
    if timer == TIMER_TIME_WAIT {
        return Ok(None);
    }
    let [local_high, local_low, remote_high, remote_low, addresses @ ..] = identity;
    let local = address(family, addresses.first_chunk().ok_or(Malformed)?);
    let remote = address(family, addresses.get(16..).and_then(<[u8]>::first_chunk).ok_or(Malformed)?);
    let end = |address, port| SocketAddr::new(address, u16::from_be_bytes(port));
    Ok(Some(Session {
        local: end(local, [local_high, local_low]),
        remote: end(remote, [remote_high, remote_low]),
        state,
        inode: u32::from_ne_bytes(*inode),
        user: u32::from_ne_bytes(*user),
        family,
        identity,
    }))
}

/// An IPv4 address is in the first four bytes of the sixteen.
fn address(family: u8, bytes: &[u8; 16]) -> IpAddr {
    let [a, b, c, d, ..] = *bytes;
    if i32::from(family) == libc::AF_INET {
        return Ipv4Addr::new(a, b, c, d).into();
    }
    IpAddr::from(Ipv6Addr::from(*bytes)).to_canonical()
}

/// Ends a session at once: the program that holds it gets an error (ECONNABORTED), the other end a reset. That it is gone
/// already is fine.
///
/// # Errors
/// Without CAP_NET_ADMIN over the network namespace, or where the kernel cannot do it.
pub fn destroy(session: &Session) -> Result<(), DestroyError> {
    let mut socket = Socket::open(Protocol::SockDiag).map_err(RequestError::from)?;
    let Session { family, identity, .. } = session;
    let request = |sequence, flags| request(SOCK_DESTROY, flags, sequence, (*family, u32::MAX), identity, &[]);
    match socket.ask(request, |_| Ok(())) {
        Ok(()) => Ok(()),
        Err(RequestError::Refused(refusal)) => match refusal.errno {
            Errno::ENOENT => Ok(()),
            Errno::EOPNOTSUPP => Err(DestroyError::Unsupported),
            Errno::EPERM | Errno::EACCES => Err(DestroyError::NotAllowed),
            _ => Err(RequestError::Refused(refusal).into()),
        },
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::host::lab::in_new_network;
    use crate::net::PortRange;

    fn message(payload: &[u8]) -> Message<'_> {
        Message { kind: SOCK_DIAG_BY_FAMILY, flags: 0, sequence: 1, payload, whole: payload }
    }

    #[test]
    fn reads_a_message_of_the_kernel() {
        let mut bytes = vec![libc::AF_INET6 as u8, 1, 0, 0, 0x1f, 0xa2, 0x10, 0xe1];
        for last in [1, 2] {
            bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last]);
        }
        bytes.extend_from_slice(&[0; 32]);
        let read = session(&message(&bytes)).unwrap().unwrap();
        assert_eq!(read.local, "10.0.0.1:8098".parse().unwrap());
        assert_eq!(read.remote, "10.0.0.2:4321".parse().unwrap());
        assert_eq!((read.state, i32::from(read.family)), (State::Established, libc::AF_INET6));
        assert_eq!(session(&message(&bytes[..51])), Err(Malformed));
        bytes[2] = TIMER_TIME_WAIT;
        assert_eq!(session(&message(&bytes)), Ok(None));
        bytes[..3].copy_from_slice(&[libc::AF_INET6 as u8, 6, 0]);
        assert_eq!(session(&message(&bytes)), Ok(None));
    }

    #[test]
    fn listening_and_connected_are_told_apart() {
        assert_eq!(Which::Listening.mask(), 1 << 10);
        assert_eq!(Which::Connected.mask(), 0b1011_0011_1110);
        assert_eq!(Which::All.mask(), Which::Listening.mask() | Which::Connected.mask());
    }

    fn of(found: &[Session], local: SocketAddr) -> Vec<Session> {
        found.iter().copied().filter(|session| session.local == local).collect()
    }

    /// A connection from `client` to a listener on `bind`, seen at `server`; then one end is destroyed.
    fn cut(bind: &str, server: IpAddr, family: i32) {
        let listener = TcpListener::bind(bind).unwrap();
        let server = SocketAddr::new(server, listener.local_addr().unwrap().port());
        let mut client = TcpStream::connect(server).unwrap();
        let mut accepted = listener.accept().unwrap().0;
        let here = client.local_addr().unwrap();

        let listening = table(Which::Listening).unwrap();
        let own = listening.iter().find(|session| session.local.port() == server.port()).unwrap();
        assert_eq!((own.state, own.remote.port()), (State::Listening, 0));
        assert!(of(&listening, here).is_empty());

        let connected = table(Which::Connected).unwrap();
        let (ours, theirs) = (of(&connected, here), of(&connected, server));
        assert_eq!((ours.len(), theirs.len()), (1, 1), "{connected:?}");
        assert_eq!((ours[0].remote, theirs[0].remote), (server, here));
        assert_eq!((ours[0].state, theirs[0].state), (State::Established, State::Established));
        assert_eq!(i32::from(theirs[0].family), family);

        // The same ends with another cookie are another socket.
        let mut other = theirs[0];
        other.identity[IDENTITY - 1] ^= 1;
        destroy(&other).unwrap();
        assert_eq!(of(&table(Which::Connected).unwrap(), server).len(), 1);

        destroy(&theirs[0]).unwrap();
        assert!(of(&table(Which::All).unwrap(), server).iter().all(|session| session.state == State::Listening));
        assert_eq!(accepted.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        destroy(&theirs[0]).unwrap();
    }

    #[test]
    fn a_session_of_either_family_is_seen_and_cut() {
        in_new_network(|| {
            cut("127.0.0.1:0", "127.0.0.1".parse().unwrap(), libc::AF_INET);
            cut("[::1]:0", "::1".parse().unwrap(), libc::AF_INET6);
            // A listener for both families: an IPv4 peer shows as a mapped address in the table.
            cut("[::]:0", "127.0.0.1".parse().unwrap(), libc::AF_INET6);
            // A program that another test starts just now holds a copy of the listener for a moment.
            let begin = Instant::now();
            while !table(Which::All).unwrap().is_empty() {
                assert!(begin.elapsed() < Duration::from_secs(5));
                thread::sleep(Duration::from_millis(5));
            }
        });
    }

    #[test]
    fn the_kernel_picks_by_the_port_of_the_other_end() {
        in_new_network(|| {
            let listeners = ["127.0.0.1:8098", "[::1]:6005", "127.0.0.1:6010"].map(|at| TcpListener::bind(at).unwrap());
            let ends = listeners.each_ref().map(|one| one.local_addr().unwrap());
            let _held = listeners
                .each_ref()
                .map(|one| (TcpStream::connect(one.local_addr().unwrap()).unwrap(), one.accept().unwrap()));
            let ranges = [PortRange::new(6000, 6009), PortRange::single(8087), PortRange::single(8098)];
            let found = connected_to(&ranges.into_iter().flatten().collect()).unwrap();
            let mut to: Vec<SocketAddr> = found.iter().map(|one| one.remote).collect();
            to.sort_unstable();
            assert_eq!(to, [ends[0], ends[1]]);
        });
    }

    #[test]
    fn what_waits_out_its_time_is_left_out() {
        in_new_network(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let accepted = listener.accept().unwrap().0;
            // First half-closed, which is a session still, then closed.
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let begin = Instant::now();
            while table(Which::Connected).unwrap().iter().all(|session| session.state == State::Established) {
                assert!(begin.elapsed() < Duration::from_secs(5));
                thread::sleep(Duration::from_millis(5));
            }
            assert_eq!(table(Which::Connected).unwrap().len(), 2);
            drop((accepted, client));
            while !table(Which::Connected).unwrap().is_empty() {
                assert!(begin.elapsed() < Duration::from_secs(5));
                thread::sleep(Duration::from_millis(5));
            }
        });
    }

    #[test]
    fn an_answer_of_many_datagrams_is_read_whole() {
        const SESSIONS: usize = 250;
        in_new_network(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let to = listener.local_addr().unwrap();
            let held: Vec<_> =
                (0..SESSIONS).map(|_| (TcpStream::connect(to).unwrap(), listener.accept().unwrap())).collect();
            assert_eq!(of(&table(Which::Connected).unwrap(), to).len(), held.len());
        });
    }
}
