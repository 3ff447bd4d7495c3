//! Placeholders of templates among terms that Erlang would take.

use super::report::Report;
use super::{Kind, Term};

/// A placeholder in a text: its two marks with a name or an expression between them.
const MARKS: [(&str, &str); 3] = [("{{", "}}"), ("<%", "%>"), ("{%", "%}")];

/// Makes a finding of each placeholder: `{{name}}`, which to Erlang is a tuple in a tuple, or a text with one.
pub(super) fn look_for_placeholders(terms: &[Term], report: &mut Report<'_>) {
    for term in terms {
        look_into(term, report);
    }
}

fn look_into(term: &Term, report: &mut Report<'_>) {
    let found = match &term.kind {
        Kind::Tuple(items) => is_placeholder(items),
        Kind::String(text) => has_mark(text),
        Kind::Binary(bytes) => std::str::from_utf8(bytes).is_ok_and(has_mark),
        Kind::Atom(name) => has_mark(name),
        Kind::Integer(_) | Kind::Float(_) | Kind::Bitstring(..) | Kind::List(..) | Kind::Map(_) | Kind::Fun(..) => {
            false
        }
    };
    if found {
        return report.placeholder(term.span.start as usize..term.span.end as usize);
    }
    match &term.kind {
        Kind::Tuple(items) => look_for_placeholders(items, report),
        Kind::List(items, tail) => {
            look_for_placeholders(items, report);
            tail.iter().for_each(|tail| look_into(tail, report));
        }
        Kind::Map(pairs) => {
            for (key, value) in pairs {
                look_into(key, report);
                look_into(value, report);
            }
        }
        Kind::Atom(_) | Kind::Integer(_) | Kind::Float(_) | Kind::String(_) | Kind::Binary(_) => {}
        Kind::Bitstring(..) | Kind::Fun(..) => {}
    }
}

fn is_placeholder(items: &[Term]) -> bool {
    let [Term { kind: Kind::Tuple(inner), .. }] = items else { return false };
    matches!(inner.as_slice(), [Term { kind: Kind::Atom(_), .. }])
}

fn has_mark(text: &str) -> bool {
    MARKS.iter().any(|(open, close)| {
        let inside = text.split_once(open).and_then(|(_, rest)| rest.split_once(close)).map(|(inside, _)| inside);
        inside.is_some_and(|inside| inside.chars().any(char::is_alphabetic))
    })
}
