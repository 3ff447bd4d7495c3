//! Any text is a ruleset of iptables or an error, and a ruleset can be judged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::dialect::iptables;
use ringfence::ir::Family;
use ringfence::semantics::{Door, Packet, Rules};

fuzz_target!(|text: &str| {
    for (family, source) in [(Family::Ip, "10.20.0.11"), (Family::Ip6, "2001:db8::1")] {
        let Ok(read) = iptables::read(text, family) else { continue };
        let rules = Rules::new(&read.ruleset);
        let packet = Packet { port: 8087, ..Packet::plain(source.parse().expect("an address")) };
        for door in [Door::BeforeTranslation, Door::Prerouting, Door::Input] {
            let outcome = rules.evaluate(door, &packet);
            assert!(outcome.may_pass || outcome.may_block, "{packet}");
        }
    }
});
