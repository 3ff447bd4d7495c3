//! Whatever a kernel tells, lifting it ends, and nothing breaks.

use super::*;
use crate::dialect::netlink::Rule;
use crate::dialect::netlink::attributes::Writer;

/// Numbers that only look random (SplitMix64: Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn bytes(&mut self, longest: u64) -> Vec<u8> {
        let length = self.below(longest + 1);
        (0..length).map(|_| if self.below(3) == 0 { 0 } else { self.below(256) as u8 }).collect()
    }

    /// Attributes of small numbers, as those of expressions are.
    fn attributes(&mut self) -> Vec<u8> {
        let mut writer = Writer::default();
        for _ in 0..self.below(8) {
            let kind = self.below(12) as u16;
            match self.below(6) {
                0..3 => writer.u32(kind, self.below(20) as u32),
                3 => {
                    writer.text(kind, ["s", "m", "tcp", "conntrack", "multiport", "DNAT", "CT"][self.below(7) as usize])
                }
                4 => {
                    let bytes = self.bytes(20);
                    writer.nest(kind, |writer| writer.attribute(NFTA_DATA_VALUE, &bytes));
                }
                _ => {
                    let bytes = self.bytes(180);
                    writer.attribute(kind, &bytes);
                }
            }
        }
        writer.into_bytes()
    }

    fn expression(&mut self) -> Vec<u8> {
        const NAMES: [&str; 22] = [
            "meta",
            "payload",
            "exthdr",
            "fib",
            "ct",
            "bitwise",
            "cmp",
            "range",
            "lookup",
            "immediate",
            "counter",
            "limit",
            "log",
            "reject",
            "nat",
            "redir",
            "masq",
            "match",
            "target",
            "dynset",
            "byteorder",
            "objref",
        ];
        let name = NAMES[self.below(NAMES.len() as u64) as usize];
        let data = self.attributes();
        let mut writer = Writer::default();
        writer.nest(NFTA_LIST_ELEM, |writer| {
            writer.text(NFTA_EXPR_NAME, name);
            writer.nest(NFTA_EXPR_DATA, |writer| writer.raw(&data));
        });
        writer.into_bytes()
    }

    fn set(&mut self, name: &str) -> Set {
        let mut elements = Writer::default();
        for _ in 0..self.below(6) {
            let one = self.attributes();
            elements.nest(NFTA_LIST_ELEM, |writer| writer.raw(&one));
        }
        let mut attributes = Writer::default();
        attributes.u32(NFTA_SET_DATA_LEN, self.below(40) as u32);
        Set {
            name: name.to_owned(),
            flags: self.below(512) as u32 & 0x18f,
            key_type: self.below(50) as u32,
            key_length: self.below(24) as u32,
            size: None,
            attributes: attributes.into_bytes(),
            elements: elements.into_bytes().into(),
        }
    }
}

#[test]
fn nothing_breaks_whatever_the_bytes() {
    let mut random = Random(14);
    let mut lifted = 0;
    for round in 0..20_000 {
        let expressions: Vec<Vec<u8>> = (0..random.below(9)).map(|_| random.expression()).collect();
        let mut expressions = expressions.concat();
        if round % 4 == 0 && !expressions.is_empty() {
            let at = random.below(expressions.len() as u64) as usize;
            expressions[at] = random.below(256) as u8;
        }
        let rules = vec![Rule { expressions, ..Rule::default() }];
        let family = [NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6][random.below(3) as usize];
        let chains = vec![Chain { name: "c".into(), rules, ..Chain::default() }];
        let sets = vec![random.set("s"), random.set("m")];
        let table = Table { family, name: "t".into(), sets, chains, ..Table::default() };
        lifted += usize::from(lift(&table).is_ok());
    }
    assert!(lifted > 3_000, "only {lifted} tables were well-formed");
}
