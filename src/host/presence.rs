//! How a watchdog is known in its network namespace: by an abstract socket (unix(7)), whatever becomes of the folder.
//!
//! INVARIANT (owner): anybody may bind a name. One counts only where the kernel says that root, or this process's user,
//! listens there (unix(7), SO_PEERCRED).

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket, sockopt};
use nix::unistd::geteuid;

/// A watchdog clears its queue about five times a second; whoever fills queues of his own must not keep others waiting.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);
/// Callers that are let go at once.
const MOST_CALLERS: usize = 1024;

/// A name that is held until this is dropped.
#[derive(Debug)]
pub(super) struct Presence {
    listener: UnixListener,
}

impl Presence {
    /// Takes a name.
    pub(super) fn new(name: &str) -> io::Result<Self> {
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    /// Lets those go that asked who is here; a full queue would keep others from asking.
    pub(super) fn clear(&self) {
        (0..MOST_CALLERS).map_while(|_| self.listener.accept().ok()).for_each(drop);
    }
}

/// What stands behind the prefix in the names that root, or this process's user, has here.
pub(super) fn present(prefix: &str) -> Vec<String> {
    // Names of others may be anything.
    let sockets = fs::read("/proc/thread-self/net/unix").unwrap_or_default();
    let sockets = String::from_utf8_lossy(&sockets);
    let shown = format!("@{prefix}");
    let mut ids: Vec<&str> =
        sockets.lines().filter_map(|line| line.split_whitespace().last()?.strip_prefix(&shown)).collect();
    ids.sort_unstable();
    ids.dedup();
    let until = Instant::now() + PATIENCE;
    ids.into_iter().filter(|id| is_own(&format!("{prefix}{id}"), until)).map(str::to_owned).collect()
}

fn is_own(name: &str, until: Instant) -> bool {
    loop {
        match owner(name) {
            Ok(owner) => return owner == 0 || owner == geteuid().as_raw(),
            // The queue is full (unix(7)).
            Err(Errno::EAGAIN) if Instant::now() < until => thread::sleep(PAUSE),
            Err(_) => return false,
        }
    }
}

fn owner(name: &str) -> nix::Result<u32> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
    Ok(getsockopt(&socket, sockopt::PeerCredentials)?.uid())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_name_counts_for_as_long_as_it_is_held_however_many_ask() {
        let prefix = format!("ringfence-test-{}-", std::process::id());
        // One that is no text hides nobody.
        let mut foreign = prefix.clone().into_bytes();
        foreign.extend(b"\xff\xfe");
        let _foreign = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&foreign).unwrap()).unwrap();
        let presence = Presence::new(&format!("{prefix}7")).unwrap();
        for _ in 0..10_000 {
            assert_eq!(owner(&format!("{prefix}7")).unwrap(), geteuid().as_raw());
            presence.clear();
        }
        assert_eq!(present(&prefix), ["7"]);
        drop(presence);
        // A child that another test has just started holds a copy until it becomes its program.
        let gone = (0..200).any(|_| {
            thread::sleep(PAUSE);
            present(&prefix).is_empty()
        });
        assert!(gone);
    }

    #[test]
    fn a_name_of_somebody_else_does_not_count() {
        let prefix = format!("ringfence-foreign-{}-", std::process::id());
        let script = "use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, pack_sockaddr_un(\"\\0$ARGV[0]\")) or die; \
                      listen(S, 5); $| = 1; print \"ready\\n\"; <STDIN>";
        let mut command = Command::new("perl");
        command.args(["-e", script, &format!("{prefix}7")]).stdin(Stdio::piped()).stdout(Stdio::piped());
        if !geteuid().is_root() {
            return;
        }
        const NOBODY: u32 = 65534;
        let mut child = command.uid(NOBODY).gid(NOBODY).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        assert_eq!(owner(&format!("{prefix}7")), Ok(NOBODY));
        assert!(present(&prefix).is_empty());
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
