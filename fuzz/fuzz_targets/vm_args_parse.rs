//! Any text has flags whose words stand one behind the other, and findings that can be shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::diagnostic::{FileId, Findings, SourceFile, Sources, Span, render_json, render_text};
use ringfence::import::vm_args;

fuzz_target!(|text: &str| {
    let sources = Sources::new(SourceFile::new("vm.args".into(), text.to_owned()));
    let mut findings = Findings::default();
    let flags = vm_args::parse(text, FileId::CLUSTER, &mut findings);
    let mut end = 0;
    for flag in &flags {
        assert!(flag.name.span.start >= end && flag.name.text.starts_with(['-', '+']), "{flag:?}");
        end = flag.name.span.end;
        let mut end = end;
        for value in &flag.values {
            assert!(value.span.start >= end && !piece(text, value.span).is_empty(), "{flag:?}");
            end = value.span.end;
        }
    }
    for application in ["kernel", "riak_core"] {
        for setting in vm_args::settings(&flags, application, &mut findings) {
            piece(text, setting.key_span);
        }
    }
    let _ = vm_args::environment(&flags, "ERL_MAX_PORTS");
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
