//! Any text is a ruleset or an error, and a ruleset can be judged.
//!
//! What can be written once more is the same to every packet that is tried.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::dialect::nft;
use ringfence::semantics::{Door, Packet, Rules};

const SOURCES: [&str; 3] = ["10.20.0.11", "203.0.113.7", "2001:db8::1"];
const DOORS: [Door; 3] = [Door::BeforeTranslation, Door::Prerouting, Door::Input];

fuzz_target!(|text: &str| {
    let Ok(read) = nft::read(text) else { return };
    let rules = Rules::new(&read.ruleset);
    let again = nft::write(&read.ruleset).ok().and_then(|text| nft::read(&text).ok());
    let again = again.as_ref().map(|again| Rules::new(&again.ruleset));
    for source in SOURCES {
        let packet = Packet { port: 8087, ..Packet::plain(source.parse().expect("an address")) };
        for door in DOORS {
            let outcome = rules.evaluate(door, &packet);
            assert!(outcome.may_pass || outcome.may_block, "{packet}");
            if let Some(again) = &again {
                assert_eq!(again.evaluate(door, &packet), outcome, "{packet} at {door:?}");
            }
        }
    }
});
