//! Sets and tables as the kernel has them.

use super::*;

#[test]
fn sets_hold_what_the_kernel_finds_in_them() {
    let ranges = |flags: u32, keys: &[(u16, bool)]| {
        let bytes: Vec<([u8; 2], bool)> = keys.iter().map(|(key, ends)| (key.to_be_bytes(), *ends)).collect();
        let keys: Vec<(&[u8], bool)> = bytes.iter().map(|(key, ends)| (&key[..], *ends)).collect();
        match raw_set("x", flags, key_type::INET_SERVICE, &keys).values().unwrap() {
            Values::Ports(list) => Some(list),
            _ => None,
        }
    };
    const RANGES: u32 = NFT_SET_INTERVAL;
    let usual = [(0, true), (80, false), (91, true), (443, false), (444, true)];
    assert_eq!(ranges(RANGES, &usual), Some(vec![(80, 90), (443, 443)]));
    let mut backwards = usual;
    backwards.reverse();
    assert_eq!(ranges(RANGES, &backwards), Some(vec![(80, 90), (443, 443)]));
    assert_eq!(ranges(RANGES, &[(60000, false)]), Some(vec![(60000, u16::MAX)]));
    assert_eq!(ranges(RANGES, &[(0, false), (0, true)]), Some(vec![(0, u16::MAX)]));
    assert_eq!(ranges(RANGES, &[(5, false), (9, false)]), Some(vec![(5, 8), (9, u16::MAX)]));
    assert_eq!(ranges(RANGES, &[(5, false), (9, true), (9, false), (12, true)]), Some(vec![(5, 8), (9, 11)]));
    assert_eq!(ranges(RANGES | NFT_SET_ANONYMOUS, &[(5, false), (9, true), (9, false), (12, true)]), None);
    assert_eq!(ranges(RANGES, &[]), Some(vec![]));
    assert_eq!(ranges(0, &[(9, false), (5, false)]), Some(vec![(5, 5), (9, 9)]));
    assert_eq!(ranges(0, &[(9, true)]), None);
    // Maps, timeouts, what rules add, concatenations, and flags that nobody knows.
    for flag in [8, 16, 32, 64, 128, 256, 1 << 20] {
        assert_eq!(ranges(flag, &[(9, false)]), None, "{flag}");
    }
    let timed = raw_set("x", 16, key_type::INET_SERVICE, &[(&9_u16.to_be_bytes(), false)]);
    assert!(matches!(timed.values().unwrap(), Values::Passing(these) if matches!(*these, Values::Ports(_))));
    // Port 0 is none of the IR's.
    let zero = raw_set("x", 0, key_type::INET_SERVICE, &[(&[0, 0], false)]);
    assert_eq!(zero.values().unwrap().into_elements(), Elements::Unknown);
}

#[test]
fn elements_with_more_than_a_key_are_unknown() {
    let with = |attribute: &dyn Fn(&mut Writer)| {
        let mut writer = Writer::default();
        writer.nest(NFTA_LIST_ELEM, |writer| {
            writer.nest(NFTA_SET_ELEM_KEY, |writer| writer.attribute(NFTA_DATA_VALUE, &[0, 80]));
            attribute(writer);
        });
        Set { elements: writer.into_bytes().into(), ..raw_set("x", 0, key_type::INET_SERVICE, &[(&[0, 80], false)]) }
    };
    assert!(with(&|_| ()).keys().unwrap().is_some());
    assert!(with(&|writer| writer.attribute(NFTA_SET_ELEM_USERDATA, b"x")).keys().unwrap().is_some());
    // The catch-all element; data, timeout, expiration, expressions, another end of the key.
    assert!(with(&|writer| writer.u32(NFTA_SET_ELEM_FLAGS, 2)).keys().unwrap().is_none());
    for kind in [2, 4, 5, 7, 9, 10, 11] {
        assert!(with(&|writer| writer.attribute(kind, b"xxxx")).keys().unwrap().is_none(), "{kind}");
    }
    let mut limited = with(&|_| ());
    let mut attributes = Writer::default();
    attributes.nest(NFTA_SET_EXPR, |_| ());
    limited.attributes = attributes.into_bytes();
    assert!(limited.keys().unwrap().is_none());
}

fn table(chains: Vec<Chain>) -> Table {
    Table { family: NFPROTO_INET, name: "t".into(), chains, ..Table::default() }
}

fn chain(name: &str, base: Option<Base>) -> Chain {
    Chain { name: name.into(), base, ..Chain::default() }
}

#[test]
fn where_packets_enter() {
    let ingress = Base {
        kind: "filter".into(),
        hook: 5,
        policy: NF_DROP,
        on_devices: true,
        devices: vec![Some("eth0".into()), Some("wlan*".into())],
        ..Base::default()
    };
    let lifted = lift(&table(vec![chain("c", Some(ingress.clone()))])).unwrap().unwrap();
    // Packets of other devices are spared it.
    let names = vec![DeviceName::Is("eth0".parse().unwrap()), DeviceName::Begins("wlan".into())];
    let [body, entry] = lifted.table.chains.as_slice() else { panic!() };
    let tests: Vec<_> = entry.rules.iter().map(|rule| (rule.matches.clone(), rule.verdict.clone())).collect();
    let hung = vec![Match::Foreign(Foreign::Hung(names))];
    assert_eq!(tests, [(hung.clone(), Some(Verdict::Jump(body.name.clone()))), (hung, Some(Verdict::Drop))]);
    assert_eq!(entry.base.map(|base| base.policy), Some(ir::Policy::Accept));
    let dormant = Table { flags: NFT_TABLE_F_DORMANT, ..table(vec![chain("c", Some(ingress.clone()))]) };
    assert_eq!(lift(&dormant).unwrap().unwrap().table.chains[0].base, None);
    let strange = Base { hook: 9, ..ingress.clone() };
    assert_eq!(lift(&table(vec![chain("c", Some(strange))])).unwrap().unwrap().unread.len(), 1);
    for (hook, expected) in [(0, ir::Hook::Ingress), (1, ir::Hook::Egress)] {
        // A device that cannot be told may be any.
        let own = Base { hook, devices: vec![None], ..ingress.clone() };
        let early = Table { family: NFPROTO_NETDEV, ..table(vec![chain("c", Some(own))]) };
        let lifted = lift(&early).unwrap().unwrap();
        let entry = &lifted.table.chains[1];
        assert_eq!((lifted.table.family, entry.base.map(|base| base.hook)), (Family::Netdev, Some(expected)));
        assert!(matches!(entry.rules[0].matches[0], Match::Unknown(_)) && lifted.unknown.len() == 1);
    }
    let bridge = Table { family: NFPROTO_BRIDGE, ..table(vec![chain("c", Some(ingress))]) };
    assert!(lift(&bridge).unwrap().is_none() && unread(&bridge).is_some());
}

#[test]
fn what_could_be_mistaken_for_another_is_no_table() {
    assert!(lift(&table(vec![chain("c", None), chain("c", None)])).is_err());
    let set = || raw_set("s", 0, key_type::IPV4_ADDR, &[]);
    assert!(lift(&Table { sets: vec![set(), set()], ..table(Vec::new()) }).is_err());
}
