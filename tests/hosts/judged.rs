//! What we ourselves make of a host's files and lines.

use ringfence::dialect::{self, Read};
use ringfence::ir::{ConnectionStates, Family, Ruleset, TcpFlags};
use ringfence::semantics::{Door, Outcome, Packet, Rules};

use super::case::{Case, Direction, Line};
use super::network::address_of;

/// All files of a host as one ruleset.
pub fn read(case: &Case) -> Ruleset {
    let mut whole = Ruleset::default();
    for (file, text) in case.rulesets() {
        let read = match *file {
            "ipset" => dialect::ipset::read(text)
                .map(|(sets, unknown)| Read { ruleset: Ruleset { sets, ..Ruleset::default() }, unknown }),
            "iptables" => dialect::iptables::read(text, Family::Ip),
            "ip6tables" => dialect::iptables::read(text, Family::Ip6),
            _ => dialect::nft::read(text),
        };
        let read = read.unwrap_or_else(|error| panic!("{}/{file}:{}: {}", case.name, error.line, error.message));
        whole.tables.extend(read.ruleset.tables);
        whole.sets.extend(read.ruleset.sets);
        whole.unread.extend(read.ruleset.unread);
    }
    whole
}

/// A segment of TCP that belongs to no connection, and what connection tracking takes it for.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub flags: u8,
    pub state: ConnectionStates,
}

/// What begins a connection.
pub const OPENING: Segment = Segment { flags: TcpFlags::SYN.0, state: ConnectionStates::NEW };

/// Our judgement of a line: whether a segment comes by all rules at the host's input, its first one for what the line says. Of
/// the way out and of answers nothing is judged here, so that of what this host asks nothing is said.
pub fn judged(case: &Case, rules: &Rules, line: &Line, segment: Segment) -> Option<Outcome> {
    match line.direction {
        Direction::Asking => None,
        Direction::Asked => {
            let wire = Packet {
                destination: address_of(case, &line.interface, line.peer),
                interface: line.interface.parse().ok(),
                port: line.port,
                flags: TcpFlags(segment.flags),
                state: segment.state,
                ..Packet::plain(line.peer)
            };
            let socket = match line.local {
                Some(local) => Packet { port: local, original_port: Some(line.port), ..wire.clone() },
                None => wire.clone(),
            };
            let before = rules.evaluate(Door::Prerouting, &wire);
            let input = rules.evaluate(Door::Input, &socket);
            Some(Outcome {
                may_pass: before.may_pass && input.may_pass,
                may_block: before.may_block || input.may_block,
            })
        }
    }
}

/// The rules of this thread's namespace as the kernel holds them, without what this test has added. `None` where netlink does
/// not tell of all of them.
#[cfg(feature = "kernel")]
pub fn bytecode(case: &Case) -> Option<Ruleset> {
    use ringfence::dialect::netlink::{Protocol, Scope, Socket, lift, read};

    if case.origin("iptables") == Some("legacy") {
        return None;
    }
    let mut socket = Socket::open(Protocol::Netfilter).expect("a netlink socket");
    let others = read(&mut socket, "observer", Scope::All).expect("the tables").others;
    let mut whole = Ruleset::default();
    for table in others {
        // Sets are read for a table of this family that is asked for by its name.
        let with_sets = read(&mut socket, &table.name, Scope::Own).expect("a table").own;
        let table = with_sets.filter(|own| own.family == table.family).unwrap_or(table);
        if let Some(lifted) = lift(&table).expect("a table that can be read") {
            whole.tables.push(lifted.table);
            whole.unread.extend(lifted.unread);
        }
    }
    Some(whole)
}

#[cfg(not(feature = "kernel"))]
pub fn bytecode(_: &Case) -> Option<Ruleset> {
    None
}
