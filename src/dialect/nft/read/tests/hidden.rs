//! What listings hide, and what of them is not taken for what it looks like.

use super::{port, rules_of, unknown};
use crate::ir::{Elements, Match, PortBlock, TcpFlags, Verdict};

/// nft 1.1.7 begins rules of iptables with their comments; a chain's own remark ends its line.
#[test]
fn a_comment_is_no_end_of_a_rule() {
    for (rule, expected) in [
        ("comment \"monitoring\" counter packets 0 bytes 0 accept", Some(Verdict::Accept)),
        ("tcp dport 22 comment \"x\" drop", Some(Verdict::Drop)),
        ("ip protocol tcp comment \"x\" counter packets 0 bytes 0 jump other", Some(Verdict::Jump("other".into()))),
    ] {
        let (rules, _) = rules_of("inet", rule);
        assert_eq!(rules.len(), 1, "{rule}");
        assert_eq!(rules[0].1, expected, "{rule}");
    }
    let (rules, _) = rules_of("inet", "comment \"what this chain is for\"");
    assert_eq!(rules, []);
    // Behind a verdict nothing is hidden.
    let (rules, listed) = rules_of("inet", "tcp dport 22 accept # for everybody");
    assert_eq!(rules, [(vec![port(&["22"], false)], Some(Verdict::Accept))]);
    assert_eq!(listed, Vec::<String>::new());
}

/// Whatever the declaration says: nft 0.9.8 never lists `flags dynamic`.
#[test]
fn a_set_that_a_rule_fills_holds_anything() {
    for filling in
        ["tcp dport 7 add @s { ip saddr }", "update @s { ip saddr }", "delete @s { ip saddr }", "set add ip saddr @s"]
    {
        let text = format!(
            "table ip t {{\n set s {{\n type ipv4_addr\n elements = {{ 10.0.0.1 }}\n }}\n\
             chain c {{\n {filling}\n ip saddr @s accept\n }}\n}}\n"
        );
        let read = super::super::read(&text).unwrap();
        assert_eq!(read.ruleset.tables[0].sets[0].elements, Elements::Unknown, "{filling}");
    }
}

/// nft 1.1 lists masked bytes as a field of bits: what we wrote, and of a mask with a hole something else.
#[test]
fn fields_of_bits() {
    let read = |table: &str, rule: &str| {
        let text = format!("table inet {table} {{\n\tchain c {{\n\t\t{rule} accept\n\t}}\n}}\n");
        super::super::read(&text).unwrap().ruleset.tables.remove(0).chains.remove(0).rules.remove(0).matches
    };
    let block = |first, bits| vec![Match::PortBlock(PortBlock { first, bits })];
    assert_eq!(read("ringfence", "@th,16,4 0x1"), block(0x1000, 4));
    assert_eq!(read("ringfence", "@th,16,15 0xfd1"), block(8098, 15));
    assert_eq!(read("ringfence", "@th,16,16 0x1111"), block(4369, 16));
    assert_eq!(read("other", "@th,16,4 0x1"), [unknown("@th,16,4 0x1")]);
    assert_eq!(read("ringfence", "@th,16,4 0x1f"), [unknown("@th,16,4 0x1f")]);
    assert_eq!(read("ringfence", "@th,110,2 0x1"), [unknown("@th,110,2 0x1")]);
    assert_eq!(read("other", "@th,107,1 0x0"), [Match::FlagBit { flag: TcpFlags::ACK, set: false }]);
    assert_eq!(read("other", "@th,110,1 0x1"), [Match::FlagBit { flag: TcpFlags::SYN, set: true }]);
    assert_eq!(read("other", "@th,107,1 != 0x1"), [unknown("@th,107,1 != 0x1")]);
}

/// nft 0.9.8 leaves out the protocol in front of a masked field, which then looks as if it were for TCP as well.
#[test]
fn a_mask_without_a_protocol_may_have_had_one() {
    let read = |table: &str, rule: &str| {
        let text = format!("table inet {table} {{\n\tchain c {{\n\t\t{rule} drop\n\t}}\n}}\n");
        super::super::read(&text).unwrap().ruleset.tables.remove(0).chains.remove(0).rules.remove(0).matches
    };
    let block = Match::PortBlock(PortBlock { first: 8098, bits: 15 });
    let decimal = "@th,0,32 & 65534 == 8098";
    assert_eq!(read("other", decimal), [block.clone(), unknown(decimal)]);
    let syn = "@th,96,32 & 131072 == 131072";
    assert_eq!(read("other", syn), [Match::FlagBit { flag: TcpFlags::SYN, set: true }, unknown(syn)]);
    // We write no protocol there, newer ones leave out none, and one that is there was not left out.
    assert_eq!(read("ringfence", decimal), std::slice::from_ref(&block));
    assert_eq!(read("other", "@th,0,32 & 0x0000fffe == 0x00001fa2"), std::slice::from_ref(&block));
    for tcp in ["meta l4proto tcp", "ip protocol tcp", "ip6 nexthdr tcp", "tcp sport 7"] {
        let found = read("other", &format!("{tcp} {decimal}"));
        assert!(found.contains(&block) && !found.contains(&unknown(decimal)), "{tcp}: {found:?}");
    }
}
