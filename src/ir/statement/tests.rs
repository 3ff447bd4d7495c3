//! What each statement does, by hand.

use std::collections::BTreeSet;

use super::*;

/// One list for both, so that a new variant breaks the build here and then the test that nothing is missing.
macro_rules! kinds {
    ($of:ty, $kind:ident, $all:ident: $($pattern:pat => $name:literal,)+) => {
        fn $kind(one: &$of) -> &'static str {
            match one {
                $($pattern => $name,)+
            }
        }
        const $all: &[&str] = &[$($name),+];
    };
}

kinds! { Statement, kind, KINDS:
    Statement::Counter(_) => "counter",
    Statement::Log(_) => "log",
    Statement::Note => "note",
    Statement::Write { field: Field::Mark(_), constant: true } => "mark",
    Statement::Write { field: Field::Mark(_), constant: false } => "mark by a map",
    Statement::Write { field: Field::Priority, constant: true } => "priority",
    Statement::Write { field: Field::Priority, constant: false } => "priority by a map",
    Statement::Write { field: Field::Trace, constant: true } => "trace",
    Statement::Write { field: Field::Trace, constant: false } => "trace by a map",
    Statement::Write { field: Field::SecurityMark, constant: true } => "secmark",
    Statement::Write { field: Field::SecurityMark, constant: false } => "secmark by a map",
    Statement::Write { field: Field::Connection, constant: true } => "ct mark",
    Statement::Write { field: Field::Connection, constant: false } => "ct mark by a map",
    Statement::Write { field: Field::Header, constant: true } => "header",
    Statement::Write { field: Field::Header, constant: false } => "header by a map",
    Statement::Write { field: Field::TcpOption, constant: true } => "option",
    Statement::Write { field: Field::TcpOption, constant: false } => "option by a map",
    Statement::Write { field: Field::Other(_), constant: true } => "other",
    Statement::Write { field: Field::Other(_), constant: false } => "other by a map",
    Statement::NoTrack => "notrack",
    Statement::Track(Tracking::Expecting) => "helper",
    Statement::Track(Tracking::Detail) => "events",
    Statement::Track(Tracking::Zone) => "zone",
    Statement::Translate(Translation::Source, _) => "snat",
    Statement::Translate(Translation::Masquerade, _) => "masquerade",
    Statement::Translate(Translation::Destination, _) => "dnat",
    Statement::Translate(Translation::Redirect, _) => "redirect",
    Statement::Translate(Translation::Network, _) => "netmap",
    Statement::Update { .. } => "update",
    Statement::Copy => "dup",
    Statement::Divert(Diversion::Queue) => "queue",
    Statement::Divert(Diversion::Synproxy) => "synproxy",
    Statement::Divert(Diversion::TransparentProxy) => "tproxy",
    Statement::Divert(Diversion::FlowOffload) => "flow",
    Statement::Divert(Diversion::Device) => "fwd",
}

kinds! { Verdict, verdict_kind, VERDICTS:
    Verdict::Accept => "accept",
    Verdict::Drop => "drop",
    Verdict::Reject(Reject::TcpReset) => "reset",
    Verdict::Reject(Reject::Icmp) => "icmp",
    Verdict::Return => "return",
    Verdict::Jump(_) => "jump",
    Verdict::Goto(_) => "goto",
    Verdict::Unknown(_) => "unknown",
}

/// Every statement: what it does by hand, whether the kernel may leave the rule there, what it changes, and whether what
/// stands behind it counts.
fn statements() -> Vec<(Statement, Way, bool, Changes, bool)> {
    use Changes::{Connection, Destination, Everything, Mark, Nothing, Source, Unseen, Untracked};
    let write = |field, constant| Statement::Write { field, constant };
    let other = || Field::Other("ip saddr set".into());
    let translate = |kind| Statement::Translate(kind, Destined::Unknown);
    let divert = Statement::Divert;
    vec![
        (Statement::Counter(None), Way::On, false, Nothing, false),
        (Statement::Log("x".into()), Way::On, false, Nothing, false),
        (Statement::Note, Way::On, false, Nothing, false),
        (write(Field::Mark(Marking::Unknown), true), Way::On, false, Mark(Marking::Unknown), false),
        (write(Field::Mark(Marking::Unknown), false), Way::On, true, Mark(Marking::Unknown), false),
        (write(Field::Priority, true), Way::On, false, Nothing, false),
        (write(Field::Priority, false), Way::On, true, Nothing, false),
        (write(Field::Trace, true), Way::On, false, Nothing, false),
        (write(Field::Trace, false), Way::On, true, Nothing, false),
        (write(Field::SecurityMark, true), Way::On, false, Nothing, false),
        (write(Field::SecurityMark, false), Way::On, true, Nothing, false),
        (write(Field::Connection, true), Way::On, false, Nothing, false),
        (write(Field::Connection, false), Way::On, true, Nothing, false),
        (write(Field::Header, true), Way::On, true, Nothing, false),
        (write(Field::Header, false), Way::On, true, Nothing, false),
        (write(Field::TcpOption, true), Way::On, true, Nothing, false),
        (write(Field::TcpOption, false), Way::On, true, Nothing, false),
        (write(other(), true), Way::Anything, true, Everything, false),
        (write(other(), false), Way::Anything, true, Everything, false),
        (Statement::NoTrack, Way::On, false, Untracked, false),
        (Statement::Track(Tracking::Expecting), Way::On, false, Unseen, false),
        (Statement::Track(Tracking::Detail), Way::On, false, Unseen, false),
        (Statement::Track(Tracking::Zone), Way::On, false, Connection, false),
        (translate(Translation::Source), Way::Accepted, false, Source, true),
        (translate(Translation::Masquerade), Way::Accepted, false, Source, true),
        (translate(Translation::Destination), Way::Decided, false, Destination, true),
        (translate(Translation::Redirect), Way::Decided, false, Destination, true),
        (translate(Translation::Network), Way::Decided, false, Destination, true),
        (Statement::Update { set: "s".into() }, Way::On, true, Nothing, false),
        (Statement::Copy, Way::Copied, true, Nothing, false),
        (divert(Diversion::FlowOffload), Way::On, true, Nothing, false),
        (divert(Diversion::Queue), Way::Anything, true, Everything, true),
        (divert(Diversion::Synproxy), Way::Anything, true, Everything, true),
        (divert(Diversion::TransparentProxy), Way::Anything, true, Everything, true),
        (divert(Diversion::Device), Way::Anything, true, Everything, true),
    ]
}

/// Every verdict in the same way.
fn verdicts() -> Vec<(Verdict, Way, bool, Changes)> {
    use Changes::{Everything, Nothing};
    vec![
        (Verdict::Accept, Way::Accepted, false, Nothing),
        (Verdict::Drop, Way::Dropped, false, Nothing),
        (Verdict::Reject(Reject::TcpReset), Way::Dropped, false, Nothing),
        (Verdict::Reject(Reject::Icmp), Way::Dropped, false, Nothing),
        (Verdict::Return, Way::On, false, Nothing),
        (Verdict::Jump("c".into()), Way::On, false, Nothing),
        (Verdict::Goto("c".into()), Way::On, false, Nothing),
        (Verdict::Unknown("x".into()), Way::Anything, true, Everything),
    ]
}

/// The tables are written by hand from what the kernel does, and not from the function: whatever arm of it answers
/// otherwise, in whatever part of its answer, is found.
#[test]
fn each_statement_does_what_the_kernel_does() {
    for (statement, way, may_leave, changes, last) in statements() {
        assert_eq!(statement.effect(), Effect { way, may_leave, changes }, "{statement:?}");
        assert_eq!(statement.is_last(), last, "{statement:?}");
        let set = matches!(statement, Statement::Update { .. });
        assert_eq!(statement.updates().is_some(), set, "{statement:?}");
        let none = way == Way::On && !may_leave && changes == Changes::Nothing;
        assert_eq!(statement.effect().is_none(), none, "{statement:?}");
    }
    for (verdict, way, may_leave, changes) in verdicts() {
        assert_eq!(verdict.effect(), Effect { way, may_leave, changes }, "{verdict:?}");
    }
}

#[test]
fn no_statement_is_missing_from_the_tables() {
    let all = |kinds: &[&'static str]| -> BTreeSet<&'static str> { kinds.iter().copied().collect() };
    let seen: Vec<&str> = statements().iter().map(|(statement, ..)| kind(statement)).collect();
    assert_eq!((all(&seen), seen.len()), (all(KINDS), KINDS.len()));
    let seen: Vec<&str> = verdicts().iter().map(|(verdict, ..)| verdict_kind(verdict)).collect();
    assert_eq!((all(&seen), seen.len()), (all(VERDICTS), VERDICTS.len()));
}
