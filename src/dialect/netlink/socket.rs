//! A netlink socket: one datagram out, datagrams in.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, connect, getsockopt, recv, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::attributes::{Malformed, Message, attributes, messages, text_of};
use super::constants::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS,
};

/// The kernel answers dumps in pieces of at most 32 KiB, and errors with a copy of no more than a header.
const RECEIVE: usize = 1 << 18;
/// Answers are there when `sendto` returns; a wait of this many seconds means that none will come.
const PATIENCE: i64 = 10;
/// What the kernel itself needs of the send buffer beside the data (net/netlink/af_netlink.c, netlink_sendmsg).
const OVERHEAD: usize = 64;
const HEADER: usize = 16;

/// Which part of the kernel to talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// nf_tables.
    Netfilter,
    /// The socket table.
    SockDiag,
    /// Interfaces, routes and routing rules.
    Route,
    /// Whatever has no part of its own.
    Generic,
}

/// A netlink socket in the network namespace of the calling thread.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The kernel said no.
    #[error(transparent)]
    Refused(Refusal),
    /// The kernel's tables changed while they were read: read again.
    #[error("the ruleset changed while it was read")]
    Interrupted,
    /// A request larger than the kernel lets this process send.
    #[error("the change is {needed} bytes long, and this process may send no more than {granted} at once: run it as root of the machine, or raise the sysctl net.core.wmem_max to {}; nothing was changed", needed / 2 + 1)]
    TooLong {
        /// Bytes.
        needed: usize,
        /// Bytes.
        granted: usize,
    },
    /// The socket failed.
    #[error("netlink: {0}")]
    Io(#[from] io::Error),
    /// The answer makes no sense.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// What the kernel says when it refuses a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub errno: Errno,
    /// Which message.
    pub sequence: u32,
    /// Where in it, in bytes from its beginning.
    pub offset: Option<u32>,
    /// The kernel's own words, where it has some.
    pub words: Option<String>,
}

impl std::error::Error for Refusal {}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the kernel refuses: {}", self.errno.desc())?;
        if let Some(words) = &self.words {
            write!(f, " ({words})")?;
        }
        Ok(())
    }
}

impl From<Errno> for RequestError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl Socket {
    /// Opens one.
    ///
    /// # Errors
    /// Where the kernel has no such protocol.
    pub fn open(wanted: Protocol) -> io::Result<Self> {
        Self::with_groups(wanted, 0)
    }

    /// Opens one that hears what changes: the protocol's groups, as bits.
    ///
    /// # Errors
    /// Where the kernel does not allow it.
    pub fn subscribe(wanted: Protocol, groups: u32) -> io::Result<Self> {
        Self::with_groups(wanted, groups)
    }

    fn with_groups(wanted: Protocol, groups: u32) -> io::Result<Self> {
        let protocol = match wanted {
            Protocol::Netfilter => SockProtocol::NetlinkNetFilter,
            Protocol::SockDiag => SockProtocol::NetlinkSockDiag,
            Protocol::Route => SockProtocol::NetlinkRoute,
            Protocol::Generic => SockProtocol::NetlinkGeneric,
        };
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        // To the kernel, so that nobody else's messages are taken for its answers.
        connect(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        let patience = TimeVal::new(PATIENCE, 0);
        setsockopt(&fd, sockopt::ReceiveTimeout, &patience)?;
        // Best effort, in this order: forced with rights over the machine, as far as allowed without.
        if setsockopt(&fd, sockopt::RcvBufForce, &(RECEIVE * 16)).is_err() {
            let _ = setsockopt(&fd, sockopt::RcvBuf, &(RECEIVE * 16));
        }
        // Without these, which old kernels lack, errors are longer and say less.
        super::options::extended_errors(&fd);
        if wanted == Protocol::Route {
            super::options::filtered_dumps(&fd);
        }
        Ok(Self { fd, sequence: 0, buffer: vec![0; RECEIVE] })
    }

    /// A number of its network namespace that no other has while the machine runs; `None` before Linux 5.14.
    #[must_use]
    pub fn namespace(&self) -> Option<u64> {
        super::options::namespace(&self.fd)
    }

    /// A number for a request.
    pub fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }

    /// Sends bytes in one piece, or nothing of them.
    ///
    /// # Errors
    /// [`RequestError::TooLong`] where the send buffer may not be made large enough.
    pub fn send(&self, bytes: &[u8]) -> Result<(), RequestError> {
        let needed = bytes.len() + OVERHEAD;
        // The kernel doubles what it is given and hands back the double (socket(7), SO_SNDBUF).
        if getsockopt(&self.fd, sockopt::SndBuf)? < needed {
            let size = needed.next_multiple_of(1 << 16);
            if setsockopt(&self.fd, sockopt::SndBufForce, &size).is_err() {
                setsockopt(&self.fd, sockopt::SndBuf, &size)?;
            }
        }
        let granted = getsockopt(&self.fd, sockopt::SndBuf)?;
        if granted < needed {
            return Err(RequestError::TooLong { needed, granted });
        }
        let sent = sendto(self.fd.as_raw_fd(), bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        if sent != bytes.len() {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        Ok(())
    }

    /// The next datagram; `None` where none is waiting and `wait` is false.
    ///
    /// # Errors
    /// Where the socket fails, or answers were lost for want of room (ENOBUFS).
    pub fn receive(&mut self, wait: bool) -> io::Result<Option<&[u8]>> {
        let flags = if wait { MsgFlags::MSG_TRUNC } else { MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT };
        let length = loop {
            match recv(self.fd.as_raw_fd(), &mut self.buffer, flags) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if !wait => return Ok(None),
                Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                other => break other?,
            }
        };
        let datagram = self.buffer.get(..length);
        // With MSG_TRUNC the length is that of the whole datagram, so that nothing is cut unnoticed.
        datagram.map(Some).ok_or_else(|| io::Error::other("an answer is longer than the buffer"))
    }

    /// Asks for everything of a kind; `each` gets every message of the answer.
    ///
    /// # Errors
    /// [`RequestError::Interrupted`] where the answer is no picture of one moment.
    pub fn dump<E: From<RequestError>>(
        &mut self,
        request: impl FnOnce(u32) -> Vec<u8>,
        mut each: impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let sequence = self.next_sequence();
        self.send(&request(sequence))?;
        let mut interrupted = false;
        // What goes wrong is told at the end: until then the kernel takes no other request.
        let mut wrong = Ok(());
        loop {
            let datagram = self.receive(true).map_err(RequestError::from)?.unwrap_or_default();
            for message in messages(datagram) {
                let message = message.map_err(RequestError::from)?;
                if message.sequence != sequence {
                    continue;
                }
                interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
                match message.kind {
                    NLMSG_DONE if interrupted => return Err(RequestError::Interrupted.into()),
                    // A dump may end with an error of its own.
                    NLMSG_DONE => return wrong.and(done(&message).map_err(E::from)),
                    NLMSG_ERROR => match refusal(&message).map_err(RequestError::from)? {
                        Some(refused) => return Err(RequestError::Refused(refused).into()),
                        None => return Ok(()),
                    },
                    _ if wrong.is_ok() => wrong = each(message),
                    _ => {}
                }
            }
        }
    }

    /// Sends one request and waits until the kernel has dealt with it; `each` gets what it answers besides.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn ask(
        &mut self,
        request: impl FnOnce(u32, u16) -> Vec<u8>,
        mut each: impl FnMut(Message<'_>) -> Result<(), RequestError>,
    ) -> Result<(), RequestError> {
        let sequence = self.next_sequence();
        self.send(&request(sequence, NLM_F_REQUEST | NLM_F_ACK))?;
        loop {
            let datagram = self.receive(true)?.unwrap_or_default();
            for message in messages(datagram) {
                let message = message?;
                if message.sequence != sequence {
                    continue;
                }
                if message.kind != NLMSG_ERROR {
                    each(message)?;
                    continue;
                }
                return match refusal(&message)? {
                    Some(refused) => Err(RequestError::Refused(refused)),
                    None => Ok(()),
                };
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn done(message: &Message<'_>) -> Result<(), RequestError> {
    match message.payload.first_chunk().copied().map(i32::from_ne_bytes) {
        Some(code) if code < 0 => {
            let errno = Errno::from_raw(code.saturating_neg());
            Err(RequestError::Refused(Refusal { errno, sequence: message.sequence, offset: None, words: None }))
        }
        _ => Ok(()),
    }
}

/// What an NLMSG_ERROR says: `None` is an acknowledgement.
///
/// # Errors
/// Where it is cut short.
pub fn refusal(message: &Message<'_>) -> Result<Option<Refusal>, Malformed> {
    let code = i32::from_ne_bytes(*message.payload.first_chunk().ok_or(Malformed)?);
    if code == 0 {
        return Ok(None);
    }
    let echoed = message.payload.get(4..).ok_or(Malformed)?;
    let length = u32::from_ne_bytes(*echoed.first_chunk().ok_or(Malformed)?) as usize;
    let echo = if message.flags & NLM_F_CAPPED != 0 { HEADER } else { length.next_multiple_of(4) };
    let mut refusal = Refusal {
        errno: Errno::from_raw(code.saturating_neg()),
        sequence: message.sequence,
        offset: None,
        words: None,
    };
    if message.flags & NLM_F_ACK_TLVS != 0 {
        for attribute in attributes(echoed.get(echo..).unwrap_or_default()) {
            match attribute? {
                (NLMSGERR_ATTR_MSG, value) => refusal.words = Some(text_of(value)),
                (NLMSGERR_ATTR_OFFS, value) => {
                    refusal.offset = Some(u32::from_ne_bytes(value.try_into().map_err(|_| Malformed)?));
                }
                _ => {}
            }
        }
    }
    Ok(Some(refusal))
}
