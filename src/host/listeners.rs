//! Who listens on this host, in the network namespace of the calling thread: Erlang nodes, their port mapper, and others.
//!
//! What a node is called stands on the command line of its VM: erlexec puts there what vm.args says, too.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::sockets::{Which, table};
use crate::dialect::netlink::RequestError;
use crate::net::Ports;

/// A program that may have sockets of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// An Erlang VM, and the name of its node, if it has one.
    Erlang(Option<String>),
    /// The Erlang port mapper.
    Epmd,
    /// Any other, or one that may not be looked at.
    Other,
}

/// A socket that waits for connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Where.
    pub local: SocketAddr,
    /// Whose it is.
    pub program: Program,
    /// The process; 0 where it is not known.
    pub pid: u32,
}

impl Listening {
    /// Whether nobody but this host reaches it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.local.ip().is_loopback()
    }

    /// Whether it is on every interface.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        self.local.ip().is_unspecified()
    }

    /// Whether it is a socket of this node's VM; of any VM's where no node is asked for.
    #[must_use]
    pub fn is_of(&self, node: Option<&str>) -> bool {
        match (&self.program, node) {
            (Program::Erlang(_), None) => true,
            (Program::Erlang(own), Some(node)) => own.as_deref().is_some_and(|own| same_node(own, node)),
            (Program::Epmd | Program::Other, _) => false,
        }
    }
}

/// A short name goes without the host.
fn same_node(own: &str, node: &str) -> bool {
    own == node || !own.contains('@') && node.split('@').next() == Some(own)
}

/// All sockets that listen, sorted.
///
/// # Errors
/// Where the kernel does not tell.
pub fn listening() -> Result<Vec<Listening>, RequestError> {
    let sockets = table(Which::Listening)?;
    let owners = owners(Path::new("/proc"));
    let mut found: Vec<Listening> = sockets
        .into_iter()
        .map(|socket| {
            let owner = owners.iter().find(|owner| owner.inodes.contains(&socket.inode));
            Listening {
                local: socket.local,
                program: owner.map_or(Program::Other, |owner| owner.program.clone()),
                pid: owner.map_or(0, |owner| owner.pid),
            }
        })
        .collect();
    found.sort_by_key(|listening| (listening.local, listening.pid));
    found.dedup();
    Ok(found)
}

/// Sockets of a node's VM that others reach and that are on none of these ports.
///
/// # Errors
/// Where the kernel does not tell.
pub fn outside(protected: &Ports, node: Option<&str>) -> Result<Vec<Listening>, RequestError> {
    let mut found = listening()?;
    found.retain(|one| one.is_of(node) && !one.is_loopback() && !protected.has(one.local.port()));
    Ok(found)
}

struct Owner {
    pid: u32,
    program: Program,
    inodes: Vec<u32>,
}

/// The processes that may be Erlang's. Only their descriptors are looked at: others have many, and are not asked for.
fn owners(proc: &Path) -> Vec<Owner> {
    let Ok(entries) = fs::read_dir(proc) else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let pid = path.file_name()?.to_str()?.parse().ok()?;
            let name = fs::read_to_string(path.join("comm")).ok()?;
            let program = match name.trim_end() {
                // beam, or beam.smp where the VM may use several processors.
                name if name.starts_with("beam") => Program::Erlang(node_name(&fs::read(path.join("cmdline")).ok()?)),
                "epmd" => Program::Epmd,
                _ => return None,
            };
            Some(Owner { pid, program, inodes: inodes(&path.join("fd")) })
        })
        .collect()
}

fn inodes(folder: &Path) -> Vec<u32> {
    let links = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect()
}

/// What stands behind the last `-name` or `-sname`, as erl(1) takes it. What stands behind `-extra` is the program's own.
fn node_name(command_line: &[u8]) -> Option<String> {
    let words: Vec<&[u8]> = command_line.split(|byte| *byte == 0).take_while(|word| *word != b"-extra").collect();
    let mut named = words.windows(2).filter(|pair| matches!(pair, [b"-name" | b"-sname", _]));
    named.next_back().and_then(|pair| pair.last()).map(|name| String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::host::lab::in_new_network;

    #[test]
    fn the_name_of_a_node() {
        let line = b"/usr/bin/beam.smp\0--\0-root\0/x\0--\0-noinput\0-name\0riak@10.0.0.1\0-extra\0-name\0other\0";
        assert_eq!(node_name(line).as_deref(), Some("riak@10.0.0.1"));
        assert_eq!(node_name(b"/usr/bin/beam.smp\0-noinput\0-name"), None);
        assert!(same_node("riak", "riak@db1") && same_node("riak@db1", "riak@db1"));
        assert!(!same_node("riak@db2", "riak@db1") && !same_node("ria", "riak@db1"));
    }

    #[test]
    fn sockets_of_others_are_there_without_their_owner() {
        in_new_network(|| {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            let found = listening().unwrap();
            let expected = Listening { local: socket.local_addr().unwrap(), program: Program::Other, pid: 0 };
            assert_eq!(found, [expected]);
            assert_eq!(outside(&Ports::default(), None).unwrap(), []);
        });
    }

    #[test]
    fn a_process_is_known_by_its_name_and_sockets() {
        let proc = tempfile::tempdir().unwrap();
        let own = proc.path().join("42");
        fs::create_dir_all(own.join("fd")).unwrap();
        fs::write(own.join("comm"), "beam.smp\n").unwrap();
        fs::write(own.join("cmdline"), b"beam.smp\0-sname\0riak\0").unwrap();
        std::os::unix::fs::symlink("socket:[77]", own.join("fd/3")).unwrap();
        std::os::unix::fs::symlink("/dev/null", own.join("fd/4")).unwrap();
        fs::create_dir_all(proc.path().join("43")).unwrap();
        fs::write(proc.path().join("43/comm"), "sshd\n").unwrap();
        let found = owners(proc.path());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].pid, found[0].inodes.as_slice()), (42, [77].as_slice()));
        assert_eq!(found[0].program, Program::Erlang(Some("riak".to_owned())));
    }
}
