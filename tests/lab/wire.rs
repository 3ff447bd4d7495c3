//! The other end of the host's cable: sends any frame, sees every answer.

use super::frame::{self, Seen};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind, recv, send, setsockopt,
    socket, sockopt::RcvBufForce,
};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

pub type Mac = [u8; 6];

/// Ends a wait in a test that has failed.
const PATIENCE_MS: u16 = 20_000;

/// A raw socket on the wire's end of a veth pair.
pub struct Wire {
    socket: OwnedFd,
    /// The host's interface and this end of the cable.
    pub host: Mac,
    pub here: Mac,
}

impl Wire {
    /// Opens the interface `name` of this thread's namespace.
    pub fn open(name: &str, host: Mac, here: Mac) -> Wire {
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_NONBLOCK, SockProtocol::EthAll)
            .expect("a packet socket");
        // Without the right to do so (in a user namespace) the usual buffer must do; batches are small enough for it.
        let _ = setsockopt(&socket, RcvBufForce, &(8 << 20));
        let index = nix::net::if_::if_nametoindex(name).expect("the wire's interface");
        bind(socket.as_raw_fd(), &link_address(index)).expect("binding to the interface");
        Wire { socket, host, here }
    }

    /// Sends an IP packet to the host.
    pub fn send(&self, packet: &[u8]) {
        self.send_frame(&frame::ethernet(self.host, self.here, packet));
    }

    /// Waits where the host has not yet taken as much of what was sent before as the socket may hold.
    pub fn send_frame(&self, frame: &[u8]) {
        let sent = loop {
            match send(self.socket.as_raw_fd(), frame, MsgFlags::empty()) {
                Err(Errno::EAGAIN) => {
                    let mut room = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
                    let found = poll(&mut room, PollTimeout::from(PATIENCE_MS)).expect("waiting for room");
                    assert_ne!(found, 0, "the host takes no frames");
                }
                sent => break sent.expect("sending a frame"),
            }
        };
        assert_eq!(sent, frame.len());
    }

    /// Everything that came from the host since the last call and is TCP.
    pub fn answers(&self) -> Vec<Seen> {
        let mut answers = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length) = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            let frame = &buffer[..length];
            // The socket also sees what sockets of this end send.
            if frame.get(6..12) != Some(&self.here) {
                answers.extend(frame::parse(frame));
            }
        }
        answers
    }
}

/// nix offers no constructor for the address of a packet socket.
#[allow(unsafe_code)]
fn link_address(index: u32) -> LinkAddr {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: index as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: `address` is a whole sockaddr_ll, the length is its size, and `from_raw` copies it.
    unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(size_of_val(&address) as libc::socklen_t)) }
        .expect("a link address")
}
