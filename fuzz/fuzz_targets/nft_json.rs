//! Any text is a document or an error, and what a document says can be judged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::dialect::nft;
use ringfence::semantics::{Door, Packet, Rules};

fuzz_target!(|text: &str| {
    let Ok(read) = nft::json::read(text) else { return };
    let rules = Rules::new(&read.ruleset);
    let packet = Packet { port: 8087, ..Packet::plain("203.0.113.7".parse().expect("an address")) };
    for door in [Door::BeforeTranslation, Door::Prerouting, Door::Input] {
        let outcome = rules.evaluate(door, &packet);
        assert!(outcome.may_pass || outcome.may_block, "{packet}");
    }
});
