//! Any text is a cluster or has findings, every finding can be shown, and a cluster compiles to what the writer takes.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use ringfence::cluster::{self, Site};
use ringfence::compile;
use ringfence::diagnostic::render_text;
use ringfence::dialect::nft;

fuzz_target!(|text: &str| {
    // A profile of one's own is a file, and what other files say must not matter here.
    if text.contains('/') && text.contains("profile") {
        return;
    }
    let loaded = cluster::parse("cluster.toml", text.to_owned(), Path::new("/nonexistent"));
    for finding in &loaded.findings {
        let _ = render_text(finding, &loaded.sources, false);
    }
    if let Some(cluster) = &loaded.cluster {
        let ruleset = compile::nft(&Site::of_every_node(cluster));
        nft::write(&ruleset).expect("what was compiled can be written");
    }
});
