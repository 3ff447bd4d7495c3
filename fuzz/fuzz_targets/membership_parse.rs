//! Any text has members whose places hold their names, each once, or a finding; and findings can be shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::diagnostic::{FileId, Findings, SourceFile, Sources, Span, render_json, render_text};
use ringfence::import::membership;

fuzz_target!(|text: &str| {
    let sources = Sources::new(SourceFile::new("members".into(), text.to_owned()));
    let mut findings = Findings::default();
    match membership::parse(text, FileId::CLUSTER, &mut findings) {
        Some(membership) => {
            assert!(!membership.today.is_empty() && findings.errors() == 0);
            for members in [Some(&membership.today), membership.planned.as_ref()].into_iter().flatten() {
                let mut names: Vec<_> = members.iter().map(|member| &member.name).collect();
                names.sort();
                names.dedup();
                assert_eq!(names.len(), members.len(), "a member twice");
            }
            for member in membership.planned.iter().flatten().chain(&membership.today) {
                let place = piece(text, member.span);
                assert!(place == member.name || text.contains("\\"), "{member:?}");
            }
        }
        None => assert!(findings.errors() > 0, "no members, and no word about it"),
    }
    check_findings(findings, &sources, text);
});

fn check_findings(findings: Findings, sources: &Sources, text: &str) {
    for finding in findings.sorted() {
        for label in &finding.labels {
            piece(text, label.span);
        }
        let _ = render_text(&finding, sources, false);
        let _ = render_json(&finding, sources);
    }
}

/// What a place holds; it must be one.
fn piece(text: &str, span: Span) -> &str {
    &text[span.start as usize..span.end as usize]
}
