//! Any bytes are a table or none; a table has a meaning or none, and can be changed into itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::dialect::netlink::{Extent, Table, lift, unread, update};
use ringfence::ir::Ruleset;
use ringfence::semantics::{Door, Packet, Rules};

fuzz_target!(|bytes: &[u8]| {
    let Ok(table) = Table::from_messages(bytes) else { return };
    let _ = unread(&table);
    for least in [Extent::Nothing, Extent::Rules, Extent::Whole] {
        let _ = update(Some(&table), Some(&table), least);
    }
    let Ok(Some(lifted)) = lift(&table) else { return };
    let ruleset = Ruleset { tables: vec![lifted.table], ..Ruleset::default() };
    let packet = Packet { port: 8087, ..Packet::plain("10.20.0.11".parse().expect("an address")) };
    for door in [Door::BeforeTranslation, Door::Prerouting, Door::Input] {
        let outcome = Rules::new(&ruleset).evaluate(door, &packet);
        assert!(outcome.may_pass || outcome.may_block, "{packet}");
    }
});
