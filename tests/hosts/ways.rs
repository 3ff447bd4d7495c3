//! Whole ways: our judgement of a line, there and back, by each packet alone and by sets of packets.

use ringfence::diagnostic::FileId;
use ringfence::dialect::iproute;
use ringfence::ir::{ConnectionStates, Ruleset, TcpFlags};
use ringfence::net::PortRange;
use ringfence::semantics::{Arrival, Flow, Home, OPENING, Outcome, Packet, Question, Rules, Space, merged};

use super::case::{Case, Direction, Line, Verdict};
use super::network::address_of;

/// What begins a connection, and what goes on with it.
const SEGMENTS: [(TcpFlags, ConnectionStates); 2] =
    [(TcpFlags::SYN, ConnectionStates::NEW), (TcpFlags(0x10), ConnectionStates::ESTABLISHED)];

/// Each line's outcome.
pub fn judged(case: &Case, ruleset: &Ruleset) -> Vec<Outcome> {
    let (surroundings, findings) = iproute::read(&case.routes, FileId::CLUSTER);
    assert!(findings.is_empty(), "{}: {findings:?}", case.name);
    let home = Home {
        addresses: surroundings.addresses.clone().into(),
        complete: surroundings.complete,
        unnumbered: surroundings.unnumbered.clone(),
    };
    let ruleset = merged(ruleset);
    let port = |port: u16| PortRange::single(port).into_iter().collect::<Vec<_>>();
    let question = Question {
        flags: vec![OPENING],
        leaving: true,
        ports: case.lines.iter().flat_map(|line| [port(line.port), port(line.program())]).collect(),
        surroundings: surroundings.clone(),
        ..Question::default()
    };
    let mut space = Space::new(&[&ruleset], &question).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let rules = Rules::of_honest(&ruleset).beside(&surroundings);
    let mut flow = Flow::new(&rules);
    let mut all = Vec::new();
    for line in &case.lines {
        let mut outcome = Outcome { may_pass: true, may_block: false };
        for (flags, state) in SEGMENTS {
            let to = address_of(case, &line.interface, line.peer);
            let packet = Packet {
                destination: to,
                interface: line.interface.parse().ok(),
                port: line.port,
                flags,
                state,
                ..Packet::plain(line.peer)
            };
            let arrival = Arrival::Any(port(line.program()).into_iter().collect());
            let (alone, fates) = match line.direction {
                Direction::Asked => {
                    (rules.asked(&packet, &home, &arrival), flow.asked(&mut space, to, &home, &arrival).unwrap())
                }
                Direction::Asking => (rules.asking(&packet, &home), flow.asking(&mut space, to, &home).unwrap()),
            };
            let found = Outcome {
                may_pass: space.has(fates.may_pass, &packet),
                may_block: space.has(fates.may_block, &packet),
            };
            assert_eq!(found, alone, "{}: `{}`: {packet}", case.name, line.text);
            outcome.may_pass &= alone.may_pass;
            outcome.may_block |= alone.may_block;
        }
        all.push(outcome);
    }
    all
}

/// Whether an outcome is not what the kernel does.
pub fn contradicts(line: &Line, outcome: Outcome) -> bool {
    match line.verdict {
        Verdict::Reaches => !outcome.may_pass,
        Verdict::Blocked => !outcome.may_block,
    }
}
