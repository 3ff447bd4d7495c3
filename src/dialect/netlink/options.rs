//! Socket options that no library has yet.

#![allow(unsafe_code, reason = "socket options go through pointers")]

use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::libc;

/// Asks for errors that say where and why, and that do not repeat the whole request (netlink(7)). Linux 4.12 and newer
/// have both; without them errors are bare numbers.
pub fn extended_errors(socket: &OwnedFd) {
    switch_on(socket, libc::NETLINK_EXT_ACK);
    switch_on(socket, libc::NETLINK_CAP_ACK);
}

/// Lets the kernel pick what is asked for (Linux 4.20 and newer); otherwise it gives everything.
pub fn filtered_dumps(socket: &OwnedFd) {
    // NETLINK_GET_STRICT_CHK (linux/netlink.h).
    switch_on(socket, 12);
}

fn switch_on(socket: &OwnedFd, option: libc::c_int) {
    let on: libc::c_int = 1;
    // SAFETY: `on` outlives the call, and the length is its own.
    let _ = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
}

/// The number of the network namespace of a socket, which no other has had since the machine was started (SO_NETNS_COOKIE, Linux 5.14
/// and newer); `None` where the kernel gives none.
pub fn namespace(socket: &OwnedFd) -> Option<u64> {
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let mut cookie = 0_u64;
    let mut length = size_of_val(&cookie) as libc::socklen_t;
    // SAFETY: both places outlive the call, and the length is that of the first.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    (done == 0 && length as usize == size_of_val(&cookie)).then_some(cookie)
}
