//! Waiting for a change of the routing that may concern the guard.
//!
//! The kernel tells of every change of an interface, a rule or a route. A host with a routing daemon changes thousands of
//! routes a second, so what cannot matter is passed over at once; what may matter is only a reason to look.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;

use super::kernel;
use crate::dialect::netlink::{Socket, messages};

/// The groups of rtnetlink(7), as bits: links, routes and rules of both families.
const GROUPS: u32 = 0x1 | 0x40 | 0x80 | 0x400 | 1 << 18;
/// A change is over when so long nothing more is heard of it …
const QUIET: Duration = Duration::from_millis(250);
/// … or after this time in any case.
const LONGEST: Duration = Duration::from_secs(2);

/// The kernel's news.
#[derive(Debug)]
pub struct Watch {
    socket: Socket,
}

impl Watch {
    /// Listens from now on.
    ///
    /// # Errors
    /// Where the kernel does not let it.
    pub fn start() -> io::Result<Self> {
        Ok(Self { socket: Socket::subscribe(GROUPS)? })
    }

    /// Returns when something has changed that may matter, and it is quiet again. Whether nothing was missed meanwhile: if
    /// so, start another one.
    pub fn wait(&mut self) -> bool {
        loop {
            match self.next(true) {
                Ok(Some(true)) => break,
                Ok(Some(false) | None) => {}
                Err(()) => return false,
            }
        }
        let start = Instant::now();
        loop {
            thread::sleep(QUIET);
            let mut more = false;
            loop {
                match self.next(false) {
                    Ok(Some(matters)) => more |= matters,
                    Ok(None) => break,
                    Err(()) => return false,
                }
            }
            if !more || start.elapsed() > LONGEST {
                return true;
            }
        }
    }

    /// Whether the next news may matter; `None` where there is none yet.
    fn next(&mut self, wait: bool) -> Result<Option<bool>, ()> {
        let datagram = match self.socket.receive(wait) {
            Ok(Some(datagram)) => datagram,
            Ok(None) => return Ok(None),
            // Nothing came in the time that an answer would be waited for.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(None),
            // News were lost for want of room, or the socket is of no more use.
            Err(_) => return Err(()),
        };
        let mut matters = false;
        for message in messages(datagram) {
            let Ok(message) = message else { return Ok(Some(true)) };
            matters |= match message.kind {
                libc::RTM_NEWROUTE | libc::RTM_DELROUTE => kernel::may_be_elsewhere(&message),
                _ => true,
            };
        }
        Ok(Some(matters))
    }
}
