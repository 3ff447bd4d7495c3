//! Changes between tables, and tables of arbitrary bytes.

use super::*;
use crate::dialect::netlink::constants::*;
use crate::dialect::netlink::elements::element;
use crate::dialect::netlink::{lift, messages};

fn set(name: &str, flags: u32, keys: &[(u16, bool)]) -> Set {
    let mut writer = Writer::default();
    keys.iter().for_each(|(key, ends)| element(&mut writer, &key.to_be_bytes(), *ends));
    let (key_type, key_length) = (key_type::INET_SERVICE, 2);
    Set { name: name.into(), flags, key_type, key_length, elements: writer.into_bytes().into(), ..Set::default() }
}

fn table(sets: Vec<Set>) -> Table {
    Table { family: NFPROTO_INET, name: "t".into(), sets, ..Table::default() }
}

fn extent(current: &Table, wanted: &Table) -> Extent {
    update(Some(current), Some(wanted), Extent::Nothing).unwrap().0
}

#[test]
fn elements_change_only_where_no_packet_can_tell() {
    let hosts = |name: &str, keys: &[u16]| set(name, 0, &keys.iter().map(|key| (*key, false)).collect::<Vec<_>>());
    let both = |one: &[u16], other: &[u16]| table(vec![hosts("a", one), hosts("b", other)]);
    let current = both(&[1, 2], &[3]);
    assert_eq!(extent(&current, &both(&[2, 1], &[3])), Extent::Nothing);
    assert_eq!(extent(&current, &both(&[1, 2, 4], &[3])), Extent::Elements);
    // Both change, but nothing moves; then 2 moves.
    assert_eq!(extent(&current, &both(&[1, 2, 4], &[3, 5])), Extent::Elements);
    assert_eq!(extent(&current, &both(&[1], &[2, 3])), Extent::Rules);
    // Ports and addresses at once.
    let mut mixed = current.clone();
    mixed.sets[1].key_type = key_type::IPV4_ADDR;
    let mut wanted = both(&[1], &[3, 5]);
    wanted.sets[1].key_type = key_type::IPV4_ADDR;
    assert_eq!(extent(&mixed, &wanted), Extent::Rules);
}

#[test]
fn ranges_come_and_go_whole() {
    let ranges = |keys: &[(u16, bool)]| table(vec![set("r", NFT_SET_INTERVAL, keys)]);
    let current = ranges(&[(0, true), (10, false), (20, true), (30, false)]);
    let all = units(&current.sets[0]).unwrap().unwrap();
    assert_eq!(all, [(&[0, 10][..], Some(&[0, 20][..])), (&[0, 30], None)]);
    assert_eq!(extent(&current, &ranges(&[(10, false), (20, true), (30, false)])), Extent::Nothing);
    assert_eq!(extent(&current, &ranges(&[(10, false), (20, true)])), Extent::Elements);
    // A range that only becomes longer is never to be missed in between.
    let longer = ranges(&[(10, false), (25, true), (30, false)]);
    let (extent, changes) = update(Some(&current), Some(&longer), Extent::Nothing).unwrap();
    assert_eq!((extent, changes.later.len()), (Extent::Rules, 2));
    let odd = ranges(&[(10, false), (20, false)]);
    assert!(units(&odd.sets[0]).unwrap().is_none());
}

#[test]
fn what_has_another_shape_is_made_anew() {
    let plain = table(Vec::new());
    let base = Base { kind: "filter".into(), hook: 1, ..Base::default() };
    let with = |base: Option<Base>, flags| {
        let chain = Chain { name: "c".into(), base, flags, ..Chain::default() };
        Table { chains: vec![chain], ..plain.clone() }
    };
    let usual = with(Some(base.clone()), 0);
    assert_eq!(extent(&plain, &usual), Extent::Whole);
    assert_eq!(extent(&usual, &with(None, 0)), Extent::Whole);
    assert_eq!(extent(&usual, &with(Some(Base { priority: 5, ..base.clone() }), 0)), Extent::Whole);
    assert_eq!(extent(&usual, &with(Some(Base { on_devices: true, ..base.clone() }), 0)), Extent::Whole);
    assert_eq!(extent(&with(Some(base.clone()), 4), &usual), Extent::Whole);
    assert_eq!(extent(&Table { uses: 9, ..usual.clone() }, &usual), Extent::Whole);
    assert_eq!(extent(&Table { flags: 1, ..usual.clone() }, &usual), Extent::Whole);
    assert_eq!(extent(&usual, &with(Some(Base { policy: 1, ..base }), 0)), Extent::Rules);
    assert_eq!(extent(&with(None, 0), &plain), Extent::Rules);
    assert_eq!(extent(&usual, &usual), Extent::Nothing);
}

/// Whatever the bytes are, nothing stops or goes on for ever.
fn take(bytes: &[u8]) -> bool {
    let _ = messages(bytes).count();
    let Ok(table) = Table::from_messages(bytes) else { return false };
    let _ = lift(&table);
    for least in [Extent::Nothing, Extent::Rules, Extent::Whole] {
        let _ = update(Some(&table), Some(&table), least);
    }
    true
}

#[test]
fn damaged_messages_are_refused_or_read() {
    let range = set("r", NFT_SET_INTERVAL, &[(10, false), (20, true)]);
    let whole = Table {
        chains: vec![Chain { name: "c".into(), ..Chain::default() }],
        ..table(vec![range, set("s", 0, &[(1, false), (2, false)])])
    };
    let (_, changes) = update(None, Some(&whole), Extent::Nothing).unwrap();
    let intact = changes.writer.bytes();
    assert!(take(intact));
    let (mut state, mut read) = (1_u64, 0);
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for _ in 0..20_000 {
        let mut bytes = intact.to_vec();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] ^= 1 << random(8),
                2 => bytes[at] = [0, 1, 4, 0xff][random(4)],
                _ => bytes.rotate_left(at & !3),
            }
        }
        read += usize::from(take(&bytes));
    }
    assert!(read > 1000, "only {read} were tables");
}
