//! Any text has terms or findings and never both; all places lie in the text, and every finding can be shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::diagnostic::{FileId, Findings, SourceFile, Sources, Span, render_json, render_text};
use ringfence::import::erlang::{Kind, Term, parse};

fn check(text: &str, span: Span) {
    assert!(text.get(span.start as usize..span.end as usize).is_some(), "{span:?} is no piece of the text");
}

fn check_term(text: &str, term: &Term) {
    check(text, term.span);
    let _ = (term.as_text(), term.as_u64(), term.as_bool());
    match &term.kind {
        Kind::Tuple(items) => items.iter().for_each(|item| check_term(text, item)),
        Kind::List(items, tail) => {
            items.iter().for_each(|item| check_term(text, item));
            tail.iter().for_each(|tail| check_term(text, tail));
        }
        Kind::Map(pairs) => pairs.iter().for_each(|(key, value)| {
            check_term(text, key);
            check_term(text, value);
        }),
        Kind::Float(value) => assert!(value.is_finite()),
        Kind::Integer(digits) => {
            let digits = digits.strip_prefix('-').unwrap_or(digits);
            assert!(!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
            assert!(digits == "0" || !digits.starts_with('0'));
        }
        Kind::Bitstring(bytes, used) => assert!((1..8).contains(used) && !bytes.is_empty()),
        Kind::Atom(_) | Kind::String(_) | Kind::Binary(_) | Kind::Fun(..) => {}
    }
}

fuzz_target!(|text: &str| {
    let sources = Sources::new(SourceFile::new("app.config".into(), text.to_owned()));
    let mut findings = Findings::default();
    let terms = parse(text, FileId::CLUSTER, &mut findings);
    let findings = findings.sorted();
    assert_eq!(terms.is_some(), findings.is_empty());
    for finding in &findings {
        finding.labels.iter().for_each(|label| check(text, label.span));
        assert!(finding.help.is_some());
        let _ = (render_text(finding, &sources, false), render_json(finding, &sources));
    }
    terms.iter().flatten().for_each(|term| check_term(text, term));
});
