//! Who listens on this host, in the network namespace of the calling thread: Erlang nodes, their port mapper, and others.
//!
//! What a node is called stands on the command line of its VM: erlexec puts there what vm.args says, too. A VM that takes its name only once
//! it runs, as RabbitMQ's does since 3.8, is known by where it listens.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::sockets::{Which, table};
use crate::cluster::AND;
use crate::dialect::netlink::RequestError;
use crate::net::Ports;

/// A program that may have sockets of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// An Erlang VM, and the name of its node, if it has one.
    Erlang(Option<String>),
    /// The Erlang port mapper.
    Epmd,
    /// systemd, which holds the socket of a service for it (systemd.socket(5)), as Debian's `epmd.socket` does.
    Systemd,
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

    /// Whether it is a socket of this node's VM, or of one of several's; of any VM's where no node is asked for.
    #[must_use]
    pub fn is_of(&self, node: Option<&str>) -> bool {
        match (&self.program, node) {
            (Program::Erlang(_), None) => true,
            (Program::Erlang(own), Some(nodes)) => {
                own.as_deref().is_some_and(|own| nodes.split(AND).any(|node| same_node(own, node)))
            }
            (Program::Epmd | Program::Systemd | Program::Other, _) => false,
        }
    }
}

/// What stands before the `@` decides: a node that runs under an old host name is still the one that is meant, and a short
/// name goes without the host.
fn same_node(own: &str, node: &str) -> bool {
    own.split('@').next() == node.split('@').next()
}

/// What could be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// All sockets that listen, sorted.
    pub sockets: Vec<Listening>,
    /// Erlang VMs whose sockets may not be looked at: that takes CAP_SYS_PTRACE (proc_pid_fd(5)). They may be among the
    /// sockets of nobody known.
    pub unreadable: Vec<u32>,
}

/// Who listens where. A VM without a name that listens on one of the guarded ports is taken for this node's, the first of several.
///
/// # Errors
/// Where the kernel does not tell.
pub fn listening(node: Option<&str>, guarded: &Ports) -> Result<Seen, RequestError> {
    let sockets = table(Which::Listening)?;
    let owners = owners(Path::new("/proc"));
    let mut found: Vec<Listening> = sockets
        .into_iter()
        .map(|socket| {
            let has = |owner: &&Owner| owner.inodes.as_ref().is_some_and(|inodes| inodes.contains(&socket.inode));
            // epmd has the socket that systemd made for it, too, and is not who decides where that listens.
            let rank = |owner: &&Owner| match owner.program {
                Program::Erlang(_) => 0,
                Program::Systemd => 1,
                Program::Epmd | Program::Other => 2,
            };
            let owner = owners.iter().filter(has).min_by_key(rank);
            Listening {
                local: socket.local,
                program: owner.map_or(Program::Other, |owner| owner.program.clone()),
                pid: owner.map_or(0, |owner| owner.pid),
            }
        })
        .collect();
    if let Some(first) = node.and_then(|nodes| nodes.split(AND).next()) {
        name(&mut found, first, guarded);
    }
    found.sort_by_key(|listening| (listening.local, listening.pid));
    found.dedup();
    let hidden = |owner: &&Owner| owner.inodes.is_none() && matches!(owner.program, Program::Erlang(_));
    Ok(Seen { sockets: found, unreadable: owners.iter().filter(hidden).map(|owner| owner.pid).collect() })
}

/// Gives the name of a node to all sockets of the VMs without one that listen where it is guarded.
fn name(found: &mut [Listening], node: &str, guarded: &Ports) {
    let is_nameless = |one: &Listening| one.program == Program::Erlang(None) && one.pid != 0;
    let own: Vec<u32> =
        found.iter().filter(|one| is_nameless(one) && guarded.has(one.local.port())).map(|one| one.pid).collect();
    for one in found.iter_mut().filter(|one| is_nameless(one) && own.contains(&one.pid)) {
        one.program = Program::Erlang(Some(node.to_owned()));
    }
}

impl Seen {
    /// Sockets of a node's VM that others reach and that are on none of these ports.
    pub fn outside<'a>(&'a self, protected: &'a Ports, node: Option<&'a str>) -> impl Iterator<Item = &'a Listening> {
        let own = self.sockets.iter().filter(move |one| one.is_of(node));
        own.filter(|one| !one.is_loopback() && !protected.has(one.local.port()))
    }
}

/// Whether a VM of this node is among the owners of some sockets.
#[must_use]
pub fn runs(sockets: &[Listening], node: Option<&str>) -> bool {
    sockets.iter().any(|one| one.is_of(node))
}

struct Owner {
    pid: u32,
    program: Program,
    /// `None` where they may not be looked at.
    inodes: Option<Vec<u32>>,
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
                "systemd" => Program::Systemd,
                _ => return None,
            };
            Some(Owner { pid, program, inodes: inodes(&path.join("fd")) })
        })
        .collect()
}

/// The sockets among a process's descriptors, by number; `None` where they may not be looked at.
pub(super) fn inodes(folder: &Path) -> Option<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).ok()? {
        match fs::read_link(entry.ok()?.path()) {
            Ok(link) => {
                let number = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']'));
                found.extend(number.and_then(|number| number.parse::<u32>().ok()));
            }
            // It was closed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
    }
    Some(found)
}

/// What stands behind the first `-sname`, else behind the first `-name` (seen on OTP 25). What stands behind `-extra` is the
/// program's own.
fn node_name(command_line: &[u8]) -> Option<String> {
    let words: Vec<&[u8]> = command_line.split(|byte| *byte == 0).take_while(|word| *word != b"-extra").collect();
    let value = |flag: &[u8]| words.windows(2).find(|pair| pair.first() == Some(&flag)).and_then(|pair| pair.last());
    value(b"-sname").or_else(|| value(b"-name")).map(|name| String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::host::lab::in_new_network;
    use crate::net::PortRange;

    #[test]
    fn the_name_of_a_node() {
        let line = b"/usr/bin/beam.smp\0--\0-root\0/x\0--\0-noinput\0-name\0riak@10.0.0.1\0-extra\0-name\0other\0";
        assert_eq!(node_name(line).as_deref(), Some("riak@10.0.0.1"));
        assert_eq!(node_name(b"/usr/bin/beam.smp\0-noinput\0-name"), None);
        assert_eq!(node_name(b"beam.smp\0-name\0a@b\0-name\0c@d").as_deref(), Some("a@b"));
        assert_eq!(node_name(b"beam.smp\0-name\0a@b\0-sname\0c").as_deref(), Some("c"));
        assert!(same_node("riak", "riak@db1") && same_node("riak@db1", "riak@db1"));
        assert!(
            same_node("riak@old", "riak@db1") && !same_node("ria", "riak@db1") && !same_node("db1@db1", "riak@db1")
        );
    }

    #[test]
    fn a_vm_without_a_name_is_the_node_that_listens_where_it_is_guarded() {
        let socket = |port: u16, pid, name: Option<&str>| Listening {
            local: ([0, 0, 0, 0], port).into(),
            program: Program::Erlang(name.map(str::to_owned)),
            pid,
        };
        let mut found =
            vec![socket(5672, 7, None), socket(7788, 7, None), socket(9100, 8, None), socket(5671, 9, Some("b@c"))];
        let guarded: Ports = [5671, 5672].into_iter().filter_map(PortRange::single).collect();
        name(&mut found, "rabbit@db1", &guarded);
        let seen = Seen { sockets: found, unreadable: Vec::new() };
        let outside: Vec<u16> = seen.outside(&guarded, Some("rabbit@db1")).map(|one| one.local.port()).collect();
        assert_eq!(outside, [7788]);
    }

    #[test]
    fn sockets_of_others_are_there_without_their_owner() {
        in_new_network(|| {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            let found = listening(None, &Ports::default()).unwrap();
            let expected = Listening { local: socket.local_addr().unwrap(), program: Program::Other, pid: 0 };
            assert_eq!(found.outside(&Ports::default(), None).count(), 0);
            assert_eq!(found.sockets, [expected]);
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
        assert_eq!((found[0].pid, found[0].inodes.clone()), (42, Some(vec![77])));
        assert_eq!(found[0].program, Program::Erlang(Some("riak".to_owned())));
        fs::remove_dir_all(own.join("fd")).unwrap();
        assert_eq!(owners(proc.path())[0].inodes, None);
    }
}
