//! What each statement does to a packet's way, where it stands in front of a verdict, of another rule, and of another chain.
//!
//! The fates are written by hand from what the kernel does: `p` passes, `b` is blocked, `?` may do either. What changes a packet in
//! a way that tests behind it can see leaves all of these in doubt.

use ringfence::ir::{
    Addresses, Base, Chain, ChainKind, ConnectionStates, Destined, Diversion, Elements, Family, Field, Hook, Marking,
    Match, Policy, Reject, Rule, Ruleset, Set, SetKind, Statement, Table, TcpFlags, Tracking, Translation, Verdict,
};
use ringfence::semantics::{Door, Packet, Plausible, Rules};

use Policy::{Accept, Drop};

const RAW: (Hook, i32) = (Hook::Prerouting, -300);
const INPUT: (Hook, i32) = (Hook::Input, 0);
const LATE: (Hook, i32) = (Hook::Prerouting, 0);

fn rule(matches: &[Match], statement: Option<&Statement>, verdict: Option<Verdict>) -> Rule {
    Rule { matches: matches.to_vec(), statements: statement.cloned().into_iter().collect(), verdict, ..Rule::default() }
}

fn chain(name: &str, (hook, priority): (Hook, i32), policy: Policy, rules: Vec<Rule>) -> Chain {
    let base = Base { kind: ChainKind::Filter, hook, priority, policy, shared: false };
    Chain { base: Some(base), ..Chain::named(name, rules) }
}

/// These chains, and what they need.
fn ruleset(chains: Vec<Chain>) -> Ruleset {
    let elements = Elements::ipv4(vec![(0xc000_0201, 0xc000_0201)]);
    let set = Set { name: "s".into(), kind: SetKind::Hash { size: None }, elements, origins: Vec::new() };
    let passed = Chain::named("passed", vec![rule(&[], None, Some(Verdict::Accept))]);
    let returning = Chain::named("returning", vec![rule(&[], None, Some(Verdict::Return))]);
    let chains = [passed, returning].into_iter().chain(chains).collect();
    let table = Table { family: Family::Inet, name: "t".into(), legacy: false, sets: vec![set], chains };
    Ruleset { tables: vec![table], ..Ruleset::default() }
}

/// A new connection from a member of the set.
fn packet() -> Packet {
    Packet { port: 80, flags: TcpFlags::SYN, ..Packet::plain("192.0.2.1".parse().unwrap()) }
}

/// What becomes of it when it meets these chains.
fn fate(chains: Vec<Chain>) -> char {
    let ruleset = ruleset(chains);
    let rules = Rules::new(&ruleset);
    let both = [Door::Prerouting, Door::Input].map(|door| rules.evaluate(door, &packet()));
    match (both.iter().all(|one| one.may_pass), both.iter().any(|one| one.may_block)) {
        (true, false) => 'p',
        (false, _) => 'b',
        (true, true) => '?',
    }
}

/// Whether an honest peer's first packet may have such a state at input.
fn plausible(chains: Vec<Chain>, state: ConnectionStates) -> char {
    let ruleset = ruleset(chains);
    match Rules::new(&ruleset).is_plausible(&Packet { state, ..packet() }) {
        Plausible::Yes => 'y',
        Plausible::No => 'n',
        Plausible::Perhaps => '?',
    }
}

/// The fates of a packet that meets a statement.
fn fates(statement: &Statement) -> String {
    let state = |states| Match::ConnectionState { states, negated: false };
    let listed = Match::Source { addresses: Addresses::Set("s".into()), negated: false };
    let one = |matches: &[Match], verdict| rule(matches, None, Some(verdict));
    let done = |verdict| rule(&[], Some(statement), verdict);
    let before = chain("before", RAW, Accept, vec![done(None)]);
    let behind = |matches: &[Match], policy, verdict| {
        fate(vec![before.clone(), chain("late", LATE, policy, vec![one(matches, verdict)])])
    };
    let tracking = || {
        let new = one(&[state(ConnectionStates::NEW)], Verdict::Accept);
        vec![chain("before", RAW, Drop, vec![done(None), new])]
    };
    let input = |policy, rules| fate(vec![chain("in", INPUT, policy, rules)]);
    [
        // In front of a verdict.
        input(Drop, vec![done(Some(Verdict::Accept))]),
        input(Accept, vec![done(Some(Verdict::Drop))]),
        // In front of a rule.
        input(Drop, vec![done(None), one(&[], Verdict::Accept)]),
        input(Accept, vec![done(None), one(&[], Verdict::Drop)]),
        // In front of a chain that looks at nothing, at the connection, at the packet, and at a set.
        behind(&[], Accept, Verdict::Drop),
        behind(&[state(ConnectionStates::NEW)], Drop, Verdict::Accept),
        behind(&[state(ConnectionStates::UNTRACKED)], Drop, Verdict::Accept),
        behind(&[Match::Family(Family::Ip)], Drop, Verdict::Accept),
        behind(&[listed], Drop, Verdict::Accept),
        // In front of what looks at the connection before there is one, and whether there is one then.
        fate(tracking()),
        plausible(tracking(), ConnectionStates::NEW),
        plausible(tracking(), ConnectionStates::UNTRACKED),
    ]
    .into_iter()
    .collect()
}

/// The fates of a packet that meets a verdict.
fn verdict_fates(verdict: &Verdict) -> String {
    let state = Match::ConnectionState { states: ConnectionStates::NEW, negated: false };
    let input = |policy, rules| fate(vec![chain("in", INPUT, policy, rules)]);
    let behind = |matches: &[Match], policy, last| {
        let before = chain("before", RAW, Accept, vec![rule(&[], None, Some(verdict.clone()))]);
        fate(vec![before, chain("late", LATE, policy, vec![rule(matches, None, Some(last))])])
    };
    [
        // In front of a rule, and at the end of a chain.
        input(Drop, vec![rule(&[], None, Some(verdict.clone())), rule(&[], None, Some(Verdict::Accept))]),
        input(Accept, vec![rule(&[], None, Some(verdict.clone())), rule(&[], None, Some(Verdict::Drop))]),
        input(Drop, vec![rule(&[], None, Some(verdict.clone()))]),
        input(Accept, vec![rule(&[], None, Some(verdict.clone()))]),
        // In front of a chain.
        behind(&[], Accept, Verdict::Drop),
        behind(&[state], Drop, Verdict::Accept),
        behind(&[Match::Family(Family::Ip)], Drop, Verdict::Accept),
    ]
    .into_iter()
    .collect()
}

#[test]
fn what_a_statement_does_is_seen_behind_it() {
    let write = |field, constant| Statement::Write { field, constant };
    let translate = |kind| Statement::Translate(kind, Destined::Unknown);
    let divert = Statement::Divert;
    // In front of: a verdict, a rule, a chain (everything, new, untracked, its family, a set), a test before there is a connection;
    // and whether an honest peer's packet is new, or untracked.
    const NOTHING: &str = "pb pb bpbpp b yn";
    const MAY_LEAVE: &str = "?? pb bpbpp b yn";
    const SOURCE: &str = "pp pp ????? p yn";
    const ANYTHING: &str = "?? ?? ????? ? yn";
    for (statement, expected) in [
        (Statement::Counter(None), NOTHING),
        (Statement::Log("x".into()), NOTHING),
        (Statement::Note, NOTHING),
        (write(Field::Mark(Marking::Unknown), true), NOTHING),
        (write(Field::Priority, true), NOTHING),
        (write(Field::Trace, true), NOTHING),
        (write(Field::SecurityMark, true), NOTHING),
        (write(Field::Connection, true), NOTHING),
        (write(Field::Mark(Marking::Unknown), false), MAY_LEAVE),
        (write(Field::Priority, false), MAY_LEAVE),
        (write(Field::Trace, false), MAY_LEAVE),
        (write(Field::SecurityMark, false), MAY_LEAVE),
        (write(Field::Connection, false), MAY_LEAVE),
        (write(Field::Header, true), MAY_LEAVE),
        (write(Field::Header, false), MAY_LEAVE),
        (write(Field::TcpOption, true), MAY_LEAVE),
        (write(Field::TcpOption, false), MAY_LEAVE),
        (write(Field::Other("ip saddr set".into()), true), ANYTHING),
        (write(Field::Other("ip saddr set".into()), false), ANYTHING),
        (Statement::NoTrack, "pb pb bpbpp b yy"),
        (Statement::Track(Tracking::Expecting), "pb pb bpbpp ? yn"),
        (Statement::Track(Tracking::Detail), "pb pb bpbpp ? yn"),
        (Statement::Track(Tracking::Zone), "pb pb b??pp ? y?"),
        (translate(Translation::Source), SOURCE),
        (translate(Translation::Masquerade), SOURCE),
        (translate(Translation::Destination), ANYTHING),
        (translate(Translation::Redirect), ANYTHING),
        (translate(Translation::Network), ANYTHING),
        (Statement::Update { set: "s".into() }, "?? pb bpbp? b yn"),
        (Statement::Copy, "?? p? ?p?pp ? yn"),
        (divert(Diversion::FlowOffload), MAY_LEAVE),
        (divert(Diversion::Queue), ANYTHING),
        (divert(Diversion::Synproxy), ANYTHING),
        (divert(Diversion::TransparentProxy), ANYTHING),
        (divert(Diversion::Device), ANYTHING),
    ] {
        assert_eq!(fates(&statement), expected.replace(' ', ""), "{statement:?}");
    }
}

#[test]
fn what_a_verdict_does_is_seen_behind_it() {
    for (verdict, expected) in [
        (Verdict::Accept, "pp pp bpp"),
        (Verdict::Drop, "bb bb bbb"),
        (Verdict::Reject(Reject::TcpReset), "bb bb bbb"),
        (Verdict::Reject(Reject::Icmp), "bb bb bbb"),
        (Verdict::Return, "bp bp bpp"),
        (Verdict::Jump("passed".into()), "pp pp bpp"),
        (Verdict::Goto("passed".into()), "pp pp bpp"),
        (Verdict::Jump("returning".into()), "pb bp bpp"),
        (Verdict::Goto("returning".into()), "bp bp bpp"),
        (Verdict::Unknown("x".into()), "?? ?? ???"),
    ] {
        assert_eq!(verdict_fates(&verdict), expected.replace(' ', ""), "{verdict:?}");
    }
}
