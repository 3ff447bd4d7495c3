//! Whole ways by hand: what becomes of a connection where chains mark, translate and judge what was translated. `p` passes, `b` is
//! blocked, `?` may do either; each packet alone and sets of packets have to say so.

use std::net::IpAddr;

use ringfence::ir::{
    Addresses, Base, Chain, ChainKind, ConnectionStates, Destined, Family, Field, Foreign, Hook, Marked, Marking,
    Match, Policy, Rule, Ruleset, Statement, Table, TcpFlags, Tracking, Translation, Verdict,
};
use ringfence::net::Cidr;
use ringfence::semantics::{Arrival, Fates, Flow, Home, OPENING, Outcome, Packet, Question, Rules, Space, TCP};

const AWAY: &str = "10.99.0.9";

fn mark(value: u32) -> Statement {
    Statement::Write { field: Field::Mark(Marking::exchanged(u32::MAX, value)), constant: true }
}

fn marked(value: u32) -> Match {
    Match::Foreign(Foreign::Mark { of: Marked::Packet, mask: u32::MAX, value, negated: false })
}

fn away() -> Statement {
    let away: IpAddr = AWAY.parse().unwrap();
    Statement::Translate(Translation::Destination, Destined::To { addresses: Some((away, away)), ports: None })
}

pub fn rule(matches: Vec<Match>, statement: Option<Statement>, verdict: Option<Verdict>) -> Rule {
    Rule { matches, statements: statement.into_iter().collect(), verdict, ..Rule::default() }
}

pub fn chain(kind: ChainKind, (hook, priority): (Hook, i32), rules: Vec<Rule>) -> Chain {
    let base = Base { kind, hook, priority, policy: Policy::Accept, shared: false };
    Chain { base: Some(base), ..Chain::named(&format!("{hook:?}{priority}{kind:?}"), rules) }
}

fn ruleset(chains: Vec<Chain>) -> Ruleset {
    // Connection tracking is there.
    let tracking = rule(vec![Match::DestinationTranslated], None, None);
    let chains = chains.into_iter().chain([Chain::named("tracking", vec![tracking])]).collect();
    let table = Table { family: Family::Inet, name: "t".into(), legacy: false, sets: Vec::new(), chains };
    Ruleset { tables: vec![table], ..Ruleset::default() }
}

fn home() -> Home {
    Home { addresses: vec!["10.20.0.1".parse().unwrap()].into(), complete: true, ..Home::default() }
}

fn opening(to: Option<IpAddr>) -> Packet {
    let from = Packet::plain("10.20.0.12".parse().unwrap());
    Packet { port: 8098, flags: OPENING.1, protocol: TCP, destination: to, ..from }
}

fn told(
    chains: Vec<Chain>,
    stranger: bool,
    to: Option<IpAddr>,
    alone: impl Fn(&Rules<'_>, &Packet) -> Outcome,
    sets: impl Fn(&mut Flow<'_, '_>, &mut Space<'_>) -> Fates,
) -> char {
    let ruleset = ruleset(chains);
    let rules = if stranger { Rules::new(&ruleset) } else { Rules::of_honest(&ruleset) };
    let packet = opening(to);
    let outcome = alone(&rules, &packet);
    let question = Question { leaving: true, translates: true, flags: vec![OPENING], ..Question::default() };
    let mut space = Space::new(&[&ruleset], &question).unwrap();
    let fates = sets(&mut Flow::new(&rules), &mut space);
    let found =
        Outcome { may_pass: space.has(fates.may_pass, &packet), may_block: space.has(fates.may_block, &packet) };
    assert_eq!(found, outcome, "{ruleset:#?}");
    match (outcome.may_pass, outcome.may_block) {
        (true, false) => 'p',
        (false, _) => 'b',
        (true, true) => '?',
    }
}

/// What becomes of what this host asks.
fn asking_at(home: &Home, chains: Vec<Chain>) -> char {
    let alone = |rules: &Rules<'_>, packet: &Packet| rules.asking(packet, home);
    told(chains, false, None, alone, |flow, space| flow.asking(space, None, home).unwrap())
}

fn asking(chains: Vec<Chain>) -> char {
    asking_at(&home(), chains)
}

/// What becomes of what comes to this host, at this address.
fn asked_by(stranger: bool, chains: Vec<Chain>, to: Option<&str>) -> char {
    let to = to.map(|to| to.parse().unwrap());
    let alone = |rules: &Rules<'_>, packet: &Packet| rules.asked(packet, &home(), &Arrival::SamePort);
    told(chains, stranger, to, alone, |flow, space| flow.asked(space, to, &home(), &Arrival::SamePort).unwrap())
}

fn asked(chains: Vec<Chain>, to: Option<&str>) -> char {
    asked_by(false, chains, to)
}

#[test]
fn what_chains_at_output_leave_is_seen_where_it_is_asked_for() {
    let (filter, route, nat) = (ChainKind::Filter, ChainKind::Route, ChainKind::Nat);
    let marks = || vec![rule(vec![], Some(mark(1)), None)];
    let drops = || vec![rule(vec![marked(1)], None, Some(Verdict::Drop))];
    let leads = || vec![rule(vec![marked(1)], Some(away()), None)];
    let late = (Hook::Postrouting, -150);
    let at = |priority| (Hook::Output, priority);
    for (what, chains, expected) in [
        ("marked before NAT", vec![chain(route, at(-150), marks()), chain(nat, at(-100), leads())], 'b'),
        ("marked behind NAT", vec![chain(filter, at(0), marks()), chain(nat, at(-100), leads())], 'p'),
        ("marked as it leaves", vec![chain(filter, late, marks()), chain(nat, at(-100), leads())], 'p'),
        // It is not known which of them is first.
        ("marked beside NAT", vec![chain(filter, at(-100), marks()), chain(nat, at(-100), leads())], '?'),
        // Whether it meets a chain for NAT is not certain, and of what a rule before leaves is not, either.
        ("marked by NAT", vec![chain(nat, at(-110), marks()), chain(nat, at(-90), leads())], '?'),
        ("marked by NAT, dropped", vec![chain(nat, at(-100), marks()), chain(filter, at(0), drops())], '?'),
        ("marked by NAT, dropped late", vec![chain(nat, at(-100), marks()), chain(filter, late, drops())], '?'),
        ("marked, dropped", vec![chain(route, at(-150), marks()), chain(filter, at(0), drops())], 'b'),
        ("marked, dropped late", vec![chain(filter, at(0), marks()), chain(filter, late, drops())], 'b'),
        (
            "redirected",
            vec![chain(nat, at(-100), vec![rule(vec![], Some(to(Translation::Redirect, None)), None)])],
            'b',
        ),
        ("nobody marks", vec![chain(nat, at(-100), leads()), chain(filter, late, drops())], 'p'),
    ] {
        assert_eq!(asking(chains), expected, "{what}");
    }
}

fn to(kind: Translation, address: Option<&str>) -> Statement {
    let address = address.map(|one| one.parse::<IpAddr>().unwrap());
    Statement::Translate(kind, Destined::To { addresses: address.map(|one| (one, one)), ports: None })
}

#[test]
fn whose_requests_look_like_is_known_or_not() {
    let source = |statement: Statement, tests: Vec<Match>| {
        chain(ChainKind::Nat, (Hook::Postrouting, 100), vec![rule(tests, Some(statement), None)])
    };
    let masquerade = || source(to(Translation::Masquerade, None), vec![]);
    let other = |tests| source(to(Translation::Source, Some("10.20.0.77")), tests);
    let filter = |priority, rules| chain(ChainKind::Filter, (Hook::Postrouting, priority), rules);
    let marks = |priority| filter(priority, vec![rule(vec![], Some(mark(1)), None)]);
    let accepts = || vec![rule(vec![], None, Some(Verdict::Accept))];
    let early = || chain(ChainKind::Filter, (Hook::Prerouting, -150), accepts());
    let ports = Destined::To { addresses: None, ports: Some((61_000, 65_535)) };
    let ports = Statement::Translate(Translation::Masquerade, ports);
    let (first, last) = ("10.20.0.1".parse().unwrap(), "10.20.0.2".parse().unwrap());
    let several = Destined::To { addresses: Some((first, last)), ports: None };
    let several = Statement::Translate(Translation::Source, several);
    for (what, chains, expected) in [
        // This host has one address of that family.
        ("masquerade", vec![masquerade()], 'p'),
        ("to another address", vec![other(vec![])], '?'),
        ("marked on the way out", vec![marks(-150), other(vec![marked(1)])], '?'),
        ("marked behind it", vec![marks(150), other(vec![marked(1)])], 'p'),
        ("masqueraded, and judged behind it", vec![masquerade(), filter(150, accepts())], '?'),
        ("masqueraded, and answers judged before", vec![masquerade(), early()], '?'),
        ("to ports that others choose", vec![source(ports, vec![])], '?'),
        ("to one of several addresses", vec![source(several, vec![])], '?'),
        ("masqueraded, and judged before", vec![masquerade(), filter(50, accepts())], 'p'),
    ] {
        assert_eq!(asking(chains), expected, "{what}");
    }
    // Which address it takes is not known.
    for home in [
        Home { complete: false, ..home() },
        Home { addresses: vec![first, last].into(), complete: true, ..Home::default() },
    ] {
        assert_eq!(asking_at(&home, vec![masquerade()]), '?', "{home:?}");
    }
}

#[test]
fn where_what_comes_in_is_led_is_known_or_not() {
    let (filter, nat) = (ChainKind::Filter, ChainKind::Nat);
    let leads = |address: Option<&str>| {
        chain(nat, (Hook::Prerouting, -100), vec![rule(vec![], Some(to(Translation::Destination, address)), None)])
    };
    let input = |tests: Vec<Match>| chain(filter, (Hook::Input, 0), vec![rule(tests, None, Some(Verdict::Drop))]);
    let at = |address: &str| {
        let addresses = Addresses::network(Cidr::host(address.parse().unwrap()));
        Match::Destination { addresses, negated: false }
    };
    let udp = Match::Protocol { number: 17, negated: false };
    let notrack =
        || chain(filter, (Hook::Prerouting, -300), vec![rule(vec![udp.clone()], Some(Statement::NoTrack), None)]);
    let (own, loopback) = ("10.20.0.1", "127.0.0.1");
    let range = Destined::To { addresses: Some((own.parse().unwrap(), "10.20.0.9".parse().unwrap())), ports: None };
    let range = rule(vec![], Some(Statement::Translate(Translation::Destination, range)), None);
    let untracked = chain(filter, (Hook::Prerouting, -300), vec![rule(vec![], Some(Statement::NoTrack), None)]);
    let source = rule(vec![], Some(to(Translation::Source, Some("10.20.0.77"))), None);
    let jumping = rule(vec![], None, Some(Verdict::Jump("below".into())));
    for (what, chains, address, expected) in [
        ("to one of several addresses", vec![chain(nat, (Hook::Prerouting, -100), vec![range])], Some(own), '?'),
        ("what is not tracked is led nowhere", vec![untracked, leads(Some(AWAY))], Some(own), 'p'),
        (
            "whose it is hangs on a chain below",
            vec![Chain::named("below", vec![source]), chain(nat, (Hook::Input, 100), vec![jumping])],
            Some(own),
            '?',
        ),
        ("to its address", vec![leads(Some(own)), input(vec![at("10.20.0.9")])], Some(own), 'p'),
        ("to its address, where that is dropped", vec![leads(Some(own)), input(vec![at(own)])], Some(own), 'b'),
        // What did more before met another destination.
        ("the same behind more", vec![notrack(), leads(Some(own)), input(vec![at(own)])], None, '?'),
        ("to somebody else", vec![leads(Some(AWAY))], Some(own), 'b'),
        // The kernel may let it in, or not (route_localnet).
        ("to loopback", vec![leads(Some(loopback))], Some(own), '?'),
        // Led to where it goes anyway, it does not count as translated.
        ("led where it goes", vec![leads(Some(own)), input(vec![Match::DestinationTranslated])], Some(own), '?'),
        ("led where it may go", vec![leads(Some(own)), input(vec![Match::DestinationTranslated])], None, '?'),
        (
            "led elsewhere here",
            vec![leads(Some(own)), input(vec![Match::DestinationTranslated])],
            Some("10.20.0.2"),
            'b',
        ),
    ] {
        assert_eq!(asked(chains, address), expected, "{what}");
    }
}

#[test]
fn in_which_state_answers_are_is_known_or_not() {
    let filter = ChainKind::Filter;
    let unknown = || Match::Unknown("x".into());
    let raw = |tests: Vec<Match>, statements: &[Statement]| {
        [Hook::Prerouting, Hook::Output].map(|hook| {
            let own = Rule { statements: statements.to_vec(), ..rule(tests.clone(), None, None) };
            chain(filter, (hook, -300), vec![own])
        })
    };
    let only = |state: ConnectionStates| {
        let accepts = rule(vec![Match::ConnectionState { states: state, negated: false }], None, Some(Verdict::Accept));
        chain(filter, (Hook::Output, 0), vec![accepts, rule(vec![], None, Some(Verdict::Drop))])
    };
    let (untracked, established) = (ConnectionStates::UNTRACKED, ConnectionStates::ESTABLISHED);
    let all = || raw(vec![], &[Statement::NoTrack]);
    let perhaps = || raw(vec![unknown()], &[Statement::NoTrack]);
    let zone = || raw(vec![], &[Statement::Track(Tracking::Zone), Statement::NoTrack]);
    for (what, stranger, raw, state, expected) in [
        ("none is tracked", false, all(), untracked, 'p'),
        ("none is tracked, of which none goes", false, all(), established, 'b'),
        ("some may be tracked", false, perhaps(), untracked, '?'),
        ("some may be tracked, of which none goes", false, perhaps(), established, '?'),
        ("of another connection", false, zone(), untracked, '?'),
        // It need not send what programs send.
        ("a stranger's", true, all(), established, '?'),
    ] {
        let chains = raw.into_iter().chain([only(state)]).collect();
        assert_eq!(asked_by(stranger, chains, None), expected, "{what}");
    }
}

#[test]
fn pieces_of_a_stranger_pass_what_comes_before_they_are_put_together() {
    // The first fragment of IPv4 has the ports, and need not have the flags.
    let begins = Match::TcpFlags { mask: TcpFlags::SYN, value: TcpFlags::SYN };
    let drops = |priority| {
        let rules = vec![rule(vec![begins.clone()], None, Some(Verdict::Drop))];
        chain(ChainKind::Filter, (Hook::Prerouting, priority), rules)
    };
    for (stranger, priority, expected) in [(true, -450, '?'), (true, -300, 'b'), (false, -450, 'b')] {
        assert_eq!(asked_by(stranger, vec![drops(priority)], None), expected, "{stranger} {priority}");
    }
}
