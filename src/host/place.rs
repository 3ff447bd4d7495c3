//! Where this process runs: which boot, which network namespace, under systemd or not, at the end of which SSH session.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::process;

/// What sshd(8) tells a session about its two ends.
const SSH_CONNECTION: &str = "SSH_CONNECTION";
/// A loop among parents is impossible unless processes end meanwhile and their numbers come back.
const MOST_PARENTS: usize = 64;

/// The two ends of an SSH session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// Where the user sits.
    pub client: SocketAddr,
    /// Where sshd took the session.
    pub server: SocketAddr,
}

/// A name for the time from one start of the machine to the next (random(4), boot_id).
///
/// # Errors
/// Where /proc is not there.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The machine's name for itself (machine-id(5)), which no start of it changes.
///
/// # Errors
/// Where it has none, as an image that was never started.
pub fn machine_id() -> io::Result<String> {
    let name = fs::read_to_string("/etc/machine-id")?.trim().to_owned();
    let is_name = name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_name.then_some(name).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "there is no name in it"))
}

/// Whether the calling thread is in the network namespace of process 1; `None` where that may not be read.
/// In a container process 1 is the container's.
#[must_use]
pub fn shares_network_with_init() -> Option<bool> {
    let of = |path| fs::metadata(path).ok().map(|ns| (ns.dev(), ns.ino()));
    Some(of("/proc/thread-self/ns/net")? == of("/proc/1/ns/net")?)
}

/// Whether the root folder is another one than that of process 1, as in an image that is being built: what is written
/// here is then for another machine, while the network is this one's.
///
/// # Errors
/// Which file does not tell, and why: without /proc, or where process 1 may not be looked at.
pub fn is_chroot() -> Result<bool, (&'static str, io::Error)> {
    let of = |path| fs::metadata(path).map(|root| (root.dev(), root.ino())).map_err(|error| (path, error));
    // Under its own name first: a folder that is called /proc need not be one.
    of("/proc/self/ns/net")?;
    Ok(of("/")? != of("/proc/1/root")?)
}

/// Whether this process may change the network of its namespaces (capabilities(7), CAP_NET_ADMIN); `None` where that is
/// not known.
#[must_use]
pub fn may_change_network() -> Option<bool> {
    const CAP_NET_ADMIN: u32 = 12;
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    Some(u64::from_str_radix(effective.trim(), 16).ok()? >> CAP_NET_ADMIN & 1 == 1)
}

/// Whether the machine was started by systemd (sd_booted(3)).
#[must_use]
pub fn systemd_is_init() -> bool {
    // sd_booted does not follow a link either.
    fs::symlink_metadata("/run/systemd/system").is_ok_and(|folder| folder.is_dir())
}

/// The SSH session that this process was started from. sudo(8) takes the variable away, so parents are asked too.
///
/// Good for a warning and for nothing else: whoever starts a process chooses its environment, and a terminal multiplexer
/// remembers the session that it was started from.
#[must_use]
pub fn ssh_session() -> Option<Ssh> {
    let own = std::env::var_os(SSH_CONNECTION).and_then(|value| read_connection(value.as_bytes()));
    own.or_else(|| session_above(process::id()))
}

/// The session that the nearest parent of a process knows of.
fn session_above(mut process: u32) -> Option<Ssh> {
    for _ in 0..MOST_PARENTS {
        process = parent(&fs::read(format!("/proc/{process}/stat")).ok()?).filter(|parent| *parent > 0)?;
        // A parent that may not be read may have one above it that may.
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        if let Some(session) = variable(&environment, SSH_CONNECTION).and_then(read_connection) {
            return Some(session);
        }
    }
    None
}

/// The parent in the text of /proc/PID/stat (proc_pid_stat(5)). The program's name is in brackets and may hold anything,
/// brackets too; the state and the parent come behind the last one.
fn parent(stat: &[u8]) -> Option<u32> {
    let behind = stat.rsplit(|byte| *byte == b')').next()?;
    str::from_utf8(behind).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// A variable's value in the bytes of /proc/PID/environ (proc_pid_environ(5)).
fn variable<'a>(environment: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut entries = environment.split(|byte| *byte == 0);
    entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The ends as sshd writes them (ssh(1), ENVIRONMENT): client address, client port, server address, server port.
fn read_connection(text: &[u8]) -> Option<Ssh> {
    let words: Vec<&str> = str::from_utf8(text).ok()?.split(' ').collect();
    let [client, client_port, server, server_port] = *words.as_slice() else { return None };
    let end = |address: &str, port: &str| {
        // A link-local address may have its interface behind it.
        let address: IpAddr = address.split('%').next()?.parse().ok()?;
        Some(SocketAddr::new(address.to_canonical(), port.parse().ok()?))
    };
    Some(Ssh { client: end(client, client_port)?, server: end(server, server_port)? })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use super::*;
    use crate::host::lab::in_new_network;

    #[test]
    fn reads_what_sshd_writes() {
        let read = |text: &str| read_connection(text.as_bytes()).map(|ssh| format!("{} {}", ssh.client, ssh.server));
        assert_eq!(read("10.0.0.9 50000 10.0.0.1 22").unwrap(), "10.0.0.9:50000 10.0.0.1:22");
        assert_eq!(read("fe80::2%eth0 5 fe80::1%eth0 22").unwrap(), "[fe80::2]:5 [fe80::1]:22");
        assert_eq!(read("::ffff:10.0.0.9 5 ::ffff:10.0.0.1 22").unwrap(), "10.0.0.9:5 10.0.0.1:22");
        for bad in ["", "UNKNOWN 65535 UNKNOWN 65535", "10.0.0.9 5 10.0.0.1", "10.0.0.9 5 10.0.0.1 22 x", "a b c d"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read_connection(b"10.0.0.9 5 10.0.0.1 2\xff"), None);
    }

    #[test]
    fn reads_parents_and_environments() {
        assert_eq!(parent(b"42 (bash) S 41 42 42 0"), Some(41));
        assert_eq!(parent(b"42 (a) R 7 (b) S 41 42 42 0\n"), Some(41));
        for bad in [&b""[..], b"42", b"42 (x) S", b"42 (x) S y"] {
            assert_eq!(parent(bad), None);
        }
        let environment = b"XSSH_CONNECTION=no\0SSH_CONNECTION=a=b\0SSH_CONNECTION=late\0";
        assert_eq!(variable(environment, SSH_CONNECTION), Some(&b"a=b"[..]));
        assert_eq!(variable(b"SSH_CONNECTIONS=x\0", SSH_CONNECTION), None);
        assert_eq!(variable(b"", SSH_CONNECTION), None);
    }

    #[test]
    fn knows_this_boot_and_this_namespace() {
        assert_eq!(boot_id().unwrap().len(), 36);
        // Where process 1 may not be read, as in some sandboxes, it stays unknown.
        assert_ne!(in_new_network(shares_network_with_init), Some(Some(true)));
    }

    #[test]
    fn a_session_is_found_above_a_process_that_lost_the_variable() {
        let script = "env -u SSH_CONNECTION sleep 60 & echo $!; read line; kill $!";
        let mut shell = process::Command::new("sh")
            .args(["-c", script])
            .env(SSH_CONNECTION, "192.0.2.7 50000 192.0.2.1 22")
            .stdin(process::Stdio::piped())
            .stdout(process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let session = session_above(line.trim().parse().unwrap());
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert_eq!(session.unwrap().client, "192.0.2.7:50000".parse().unwrap());
    }
}
