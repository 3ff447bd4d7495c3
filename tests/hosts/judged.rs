//! What we ourselves make of a host's files and lines.

use ringfence::dialect::{self, Read};
use ringfence::ir::{Family, Ruleset, TcpFlags};
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

/// Our judgement of a line: whether its first segment comes by all rules at the host's input. Of the way out and of answers
/// nothing is judged here, so that of what this host asks nothing is said.
pub fn judged(case: &Case, ruleset: &Ruleset, line: &Line) -> Option<Outcome> {
    match line.direction {
        Direction::Asking => None,
        Direction::Asked => {
            let rules = Rules::new(ruleset);
            let wire = Packet {
                destination: address_of(case, &line.interface, line.peer),
                interface: line.interface.parse().ok(),
                port: line.port,
                flags: TcpFlags::SYN,
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
