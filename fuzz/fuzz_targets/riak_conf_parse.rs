//! Any text has settings whose places hold them, each key once, and findings that can be shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::diagnostic::{FileId, Findings, SourceFile, Sources, Span, render_json, render_text};
use ringfence::import::riak_conf;

fuzz_target!(|text: &str| {
    let sources = Sources::new(SourceFile::new("riak.conf".into(), text.to_owned()));
    let mut findings = Findings::default();
    let entries = riak_conf::parse(text, FileId::CLUSTER, &mut findings);
    let mut keys: Vec<_> = entries.iter().map(|entry| &entry.key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), entries.len(), "a key twice");
    for entry in &entries {
        let written = piece(text, entry.value_span);
        assert!(written == entry.value || written.contains("$("), "{entry:?}");
        assert_eq!(piece(text, entry.key_span).replace("\\.", "."), entry.key.join("."));
        for span in &entry.replaces {
            assert!(span.end < entry.key_span.start);
            assert_eq!(piece(text, *span), piece(text, entry.key_span));
        }
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
