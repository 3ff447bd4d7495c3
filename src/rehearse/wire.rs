//! Sends packets from everywhere, and sees which of them the host takes.
//!
//! What is sent goes out by raw sockets that write IP's header themselves (raw(7), ipv6(7)), so that every source can be given. What
//! arrives is seen by raw sockets of the host, which get a copy of each segment where the kernel hands it to TCP: behind the last hook of
//! netfilter and after fragments were put together (net/ipv4/raw.c, net/ipv6/raw.c). They hang on no rule.
//!
//! INVARIANT (order): nothing waits for time to pass. Packets that one processor sends are taken in the order of sending, in whatever
//! namespace; so behind each batch a datagram goes over loopback where there are no rules, and when it has come, the batch has, too. This
//! thread stays on one processor for that.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recv, sendto, setsockopt, socket,
    sockopt,
};
use nix::unistd::Pid;

use super::RehearseError;
use super::frame::{self, Kind};
use super::link;
use super::room::Room;

/// So many segments are sent before the host's sockets are emptied: fewer than these hold, however small a user's buffers are.
const BATCH: usize = 64;
/// Ends a wait on a machine that is broken.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first packet of a family may have to wait until its address is there.
const SETTLING: Duration = Duration::from_secs(5);
const BUFFER: usize = 1 << 20;

/// A segment on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sent {
    /// From where.
    pub from: SocketAddr,
    /// To where.
    pub to: SocketAddr,
    /// By which cable.
    pub cable: usize,
    /// How.
    pub kind: Kind,
    /// With which flags.
    pub flags: u8,
}

/// Whether the kernel has IPv6 at all.
pub fn has_ipv6() -> bool {
    socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).is_ok()
}

/// All ways into the host, and its eyes.
pub struct Wire {
    /// For each cable a socket for IPv4, and one for IPv6 where the kernel has it.
    out: Vec<(OwnedFd, Option<OwnedFd>)>,
    seen: (OwnedFd, Option<OwnedFd>),
    fence: (UdpSocket, SocketAddr),
    /// The number of the next packet. None is given twice.
    next: u32,
}

impl Wire {
    /// Makes the host's interfaces and addresses. Packets come by those of `names`, and the first of them is the way back; those of `silent`
    /// are there for rules that name them.
    pub fn new(
        room: &Room,
        names: &[String],
        silent: &[String],
        addresses: &[(String, IpAddr)],
    ) -> Result<Self, RehearseError> {
        stay_on_one_processor()?;
        for which in ["all", "default", "lo"] {
            link::quiet(which);
        }
        link::up("lo")?;
        let fence = room.outside(|| {
            for which in ["all", "default", "lo"] {
                link::quiet(which);
            }
            link::up("lo")?;
            fence()
        })?;
        let failed = |errno: Errno| RehearseError::system("opening a raw socket", errno);
        let eye = |family| socket(family, SockType::Raw, FLAGS, SockProtocol::Tcp);
        let seen = (eye(AddressFamily::Inet).map_err(failed)?, eye(AddressFamily::Inet6).ok());
        for own in [Some(&seen.0), seen.1.as_ref()].into_iter().flatten() {
            // As far as it is allowed; a batch fits into what there is anyway.
            let _ = setsockopt(own, sockopt::RcvBuf, &BUFFER);
        }
        let mut out = Vec::new();
        for (number, name) in names.iter().enumerate() {
            link::cable(room, name, number)?;
            if number == 0 {
                link::default_route(name, true, 0)?;
                if seen.1.is_some() {
                    link::default_route(name, false, 0)?;
                }
            }
            out.push(room.outside(|| senders(number, seen.1.is_some()))?);
        }
        for (number, name) in (names.len()..).zip(silent) {
            link::cable(room, name, number)?;
        }
        let mut wire = Self { out, seen, fence, next: 1 };
        let ipv6 = wire.seen.1.is_some();
        let addresses = || addresses.iter().filter(|(_, own)| ipv6 || own.is_ipv4());
        for (name, address) in addresses() {
            link::address(name, *address)?;
        }
        for (_, address) in addresses() {
            for (number, name) in names.iter().enumerate() {
                wire.settle(number, name, *address)?;
            }
        }
        Ok(wire)
    }

    /// Sends each once, and says which of them arrived. `told` hears how many are done.
    pub fn send(&mut self, all: &[Sent], mut told: impl FnMut(usize)) -> Result<Vec<bool>, RehearseError> {
        let first = self.next;
        self.next = self.next.wrapping_add(all.len() as u32);
        let mut arrived = vec![false; all.len()];
        let mut numbers = (first..).zip(all);
        for batch in all.chunks(BATCH) {
            for (number, sent) in numbers.by_ref().take(batch.len()) {
                self.send_one(sent, number)?;
            }
            self.wait()?;
            self.look(|number| {
                let at = number.wrapping_sub(first) as usize;
                arrived.get_mut(at).into_iter().for_each(|own| *own = true);
            });
            told(batch.len());
        }
        Ok(arrived)
    }

    fn send_one(&self, sent: &Sent, number: u32) -> Result<(), RehearseError> {
        let Some((v4, v6)) = self.out.get(sent.cable) else { return Ok(()) };
        let Some(socket) = (if sent.to.is_ipv4() { Some(v4) } else { v6.as_ref() }) else { return Ok(()) };
        // A port would be taken for a protocol (net/ipv6/raw.c, rawv6_sendmsg).
        let to = SockaddrStorage::from(SocketAddr::new(sent.to.ip(), 0));
        for packet in frame::packets((sent.kind, sent.flags), sent.from, sent.to, number) {
            match sendto(socket.as_raw_fd(), &packet, &to, MsgFlags::empty()) {
                // What cannot even be sent does not arrive, which is seen without the rules, too.
                Ok(_) | Err(Errno::EINVAL | Errno::EADDRNOTAVAIL | Errno::ENETUNREACH | Errno::EHOSTUNREACH) => {}
                Err(errno) => return Err(RehearseError::system("sending a packet", errno)),
            }
        }
        Ok(())
    }

    /// Returns when the kernel has dealt with everything that was sent.
    fn wait(&self) -> Result<(), RehearseError> {
        let (socket, to) = &self.fence;
        let passed = socket.send_to(&[0], to).and_then(|_| socket.recv(&mut [0; 8]));
        passed.map(drop).map_err(|error| RehearseError::system("waiting for the kernel", error))
    }

    /// Hands out the number of everything that has arrived.
    fn look(&self, mut each: impl FnMut(u32)) {
        let mut buffer = [0; 2048];
        let (v4, v6) = &self.seen;
        let eyes = [(Some(v4), frame::number4 as fn(&[u8]) -> Option<u32>), (v6.as_ref(), frame::number6)];
        for (socket, number) in eyes {
            let Some(socket) = socket else { continue };
            while let Ok(length) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                buffer.get(..length).and_then(number).into_iter().for_each(&mut each);
            }
        }
    }

    /// Waits until an address of the host is reached by a cable. A worker of the kernel gives an IPv6 address its route some time
    /// after it was added.
    fn settle(&mut self, cable: usize, name: &str, to: IpAddr) -> Result<(), RehearseError> {
        // Documentation networks (RFC 5737, 3849), which the kernel treats as any other.
        let from: IpAddr = match to {
            IpAddr::V4(_) => Ipv4Addr::new(203, 0, 113, 77).into(),
            IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0x77).into(),
        };
        let (from, to) = (SocketAddr::new(from, 40_000), SocketAddr::new(to, 9));
        let start = Instant::now();
        while start.elapsed() < SETTLING {
            if self.send(&[Sent { from, to, cable, kind: Kind::Request, flags: frame::SYN }], |_| ())?.first()
                == Some(&true)
            {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
        }
        let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
        Err(RehearseError::Silent { family, interface: name.to_owned() })
    }
}

const FLAGS: SockFlag = SockFlag::SOCK_CLOEXEC.union(SockFlag::SOCK_NONBLOCK);

/// Sockets that send by one cable, with IP's header from us. IPv6 wants an address of its own to send from, whatever the header says.
fn senders(number: usize, ipv6: bool) -> Result<(OwnedFd, Option<OwnedFd>), RehearseError> {
    let name = link::far_end(number);
    let own = Ipv6Addr::new(0x2001, 0xdb8, 0xfffe, 0, 0, 0, 0, number as u16 + 1);
    link::default_route(&name, true, number)?;
    if ipv6 {
        link::address(&name, own.into())?;
        link::default_route(&name, false, number)?;
    }
    let open = |family| -> Result<OwnedFd, Errno> {
        let made = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw)?;
        setsockopt(&made, sockopt::BindToDevice, &name.clone().into())?;
        Ok(made)
    };
    let failed = |errno| RehearseError::system("opening a raw socket", errno);
    let v6 = ipv6.then(|| open(AddressFamily::Inet6)).transpose().map_err(failed)?;
    Ok((open(AddressFamily::Inet).map_err(failed)?, v6))
}

fn fence() -> Result<(UdpSocket, SocketAddr), RehearseError> {
    let made = || -> io::Result<(UdpSocket, SocketAddr)> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let own = socket.local_addr()?;
        Ok((socket, own))
    };
    made().map_err(|error| RehearseError::system("opening a socket", error))
}

fn stay_on_one_processor() -> Result<(), RehearseError> {
    let stay = || {
        let mut one = CpuSet::new();
        one.set(sched_getcpu()?)?;
        sched_setaffinity(Pid::from_raw(0), &one)
    };
    stay().map_err(|errno| RehearseError::system("staying on one processor", errno))
}
