//! A throwaway place for rules: a network namespace for the host, and one for everybody else.
//!
//! INVARIANT (away): whoever holds a [`Room`] is in a network namespace that this process has made, and everything that this thread
//! opens or starts is in it, too. The namespaces have no name, and end with the process. Only [`Room::enter`] makes one, and the program
//! calls it before it does anything else: a user namespace can only be made by a process of one thread (unshare(2)), and threads that
//! start later are where this one is.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{getegid, geteuid};

use super::RehearseError;

/// The namespace of this thread.
const OWN: &str = "/proc/thread-self/ns/net";

/// Both namespaces, while this thread is in the host's.
#[derive(Debug)]
pub struct Room {
    host: File,
    wire: File,
    /// Whether it took a user namespace, so that this process has no rights outside.
    pub as_user: bool,
}

impl Room {
    /// Leaves the network namespace of this machine for good.
    ///
    /// # Errors
    /// Where the system does not allow it.
    pub fn enter() -> Result<Self, RehearseError> {
        let before = fs::read_link(OWN).map_err(|error| RehearseError::system("reading /proc", error))?;
        let as_user = match unshare(CloneFlags::CLONE_NEWNET) {
            Ok(()) => false,
            Err(Errno::EPERM) => {
                own_users()?;
                true
            }
            Err(errno) => return Err(RehearseError::NoNamespace(errno)),
        };
        let wire = open()?;
        unshare(CloneFlags::CLONE_NEWNET).map_err(RehearseError::NoNamespace)?;
        let room = Self { host: open()?, wire, as_user };
        // Whatever else there is to go wrong, nothing is loaded where the machine's own rules are.
        let now = fs::read_link(OWN).map_err(|error| RehearseError::system("reading /proc", error))?;
        if now == before {
            return Err(RehearseError::NoNamespace(Errno::EINVAL));
        }
        Ok(room)
    }

    /// Does something where everybody else is.
    pub(super) fn outside<T>(&self, work: impl FnOnce() -> Result<T, RehearseError>) -> Result<T, RehearseError> {
        let go = |to: &File| {
            setns(to, CloneFlags::CLONE_NEWNET).map_err(|errno| RehearseError::system("changing the namespace", errno))
        };
        go(&self.wire)?;
        let done = work();
        go(&self.host)?;
        done
    }

    /// The number of the open file of the other namespace, for requests that name one.
    pub(super) fn wire_fd(&self) -> u32 {
        // An open file's number is not negative.
        self.wire.as_raw_fd().unsigned_abs()
    }
}

fn open() -> Result<File, RehearseError> {
    File::open(OWN).map_err(|error| RehearseError::system("opening a namespace", error))
}

/// A user namespace in which this user is root, with its network namespace. user_namespaces(7) has the order of the files.
fn own_users() -> Result<(), RehearseError> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(RehearseError::NoNamespace)?;
    let write = |file: &str, text: String| fs::write(format!("/proc/self/{file}"), text);
    let maps = || -> io::Result<()> {
        // Kernels before 3.19 have no such file, and need none.
        match write("setgroups", "deny".to_owned()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        write("uid_map", format!("0 {user} 1"))?;
        write("gid_map", format!("0 {group} 1"))
    };
    maps().map_err(RehearseError::NoRoot)
}

/// Writes a setting of this thread's namespace. One that cannot be written is left: what the kernel then does by itself is seen
/// without the rules, too.
pub(super) fn setting(key: &str, value: &str) {
    let _ = fs::write(format!("/proc/sys/net/{key}"), value);
}
