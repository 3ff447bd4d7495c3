//! What `iptables-nft-save` prints, held against the kernel's own rules.
//!
//! The tool leaves out what it does not know, and says nothing (seen: a rule that looks into a set of nf_tables loses that
//! test and keeps the rest; 1.8.7 prints rules of newer versions without their ports). So its text alone proves nothing. The
//! kernel tells by netlink how many rules there are, and what tests each is made of; the text has to have as many of each kind.
//! What each test compares with is taken from the text: the tool leaves tests out, it does not make up others. How it compares is not: the
//! tool prints every comparison as if it asked for the same value (seen with 1.8.9: `>=` reads like `==`), and leaves out masks of ports.
//!
//! INVARIANT (never more): a rule that has more tests in the kernel than in the text gets one that nobody knows; where not
//! even the rules are the same in number, the whole is not known.

use super::Version;
use crate::dialect::netlink::{Chain, Expression, Kernel, Rule, Table, find, text_of};
use crate::ir::{self, Match};

/// NFT_PAYLOAD_… of linux/netfilter/nf_tables.h.
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// NFTA_MATCH_NAME and NFTA_TARGET_NAME of linux/netfilter/nf_tables_compat.h.
const EXTENSION_NAME: u16 = 1;

/// NFT_CMP_… of the same.
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;
/// NFT_META_MARK.
const MARK: u32 = 3;
/// Where TCP has its flags.
const TCP_FLAGS: u32 = 13;

/// NFT_META_L4PROTO.
const PROTOCOL: u32 = 16;
/// Where IPv4 and IPv6 have the protocol, in one byte.
const PROTOCOL_AT: [u32; 2] = [9, 6];

const OF_META: [&str; 4] = ["-i", "-o", "--mark", "--pkt-type"];
const OF_NETWORK: [&str; 5] = ["-s", "-d", "-f", "--ttl-eq", "--dscp"];
/// One test of either kind.
const OF_PROTOCOL: [&str; 1] = ["-p"];
const OF_TRANSPORT: [&str; 8] =
    ["--sport", "--dport", "--tcp-flags", "--syn", "--tcp-option", "--icmp-type", "--icmpv6-type", "--type"];

/// Marks in what was read of one table what the kernel has besides, and says what is not known at all.
pub(super) fn compare(kernel: &Kernel, version: Version, printed: &mut ir::Table) -> Result<(), String> {
    // NFPROTO_IPV4 and NFPROTO_IPV6 (linux/netfilter.h).
    let family = match version {
        Version::V4 => 2,
        Version::V6 => 10,
    };
    let there = kernel.others.iter().find(|table| table.family == family && table.name == printed.name);
    let differs = |what: &str| {
        format!("{version}-nft-save shows the table {} other than the kernel has it: {what}", printed.name)
    };
    let Some(table) = there else {
        let empty = printed.chains.iter().all(|chain| chain.rules.is_empty());
        return if empty { Ok(()) } else { Err(differs("it is not there")) };
    };
    let shown = |chain: &&Chain| printed.chains.iter().any(|own| own.name == chain.name);
    if let Some(chain) = table.chains.iter().find(|chain| !chain.rules.is_empty() && !shown(chain)) {
        return Err(differs(&format!("the chain {} is missing", chain.name)));
    }
    let wrong = printed.chains.iter().find(|chain| rules_of(table, &chain.name).len() != chain.as_read().count());
    if let Some(chain) = wrong {
        return Err(differs(&format!("the chain {} has another number of rules", chain.name)));
    }
    for chain in &mut printed.chains {
        let name = chain.name.clone();
        for (there, rules) in rules_of(table, &name).iter().zip(chain.as_read_mut()) {
            let text = rules.first().and_then(|rule| rule.place.as_ref()).map_or("", |place| place.text.as_str());
            let Some(lost) = lost(there, text) else { continue };
            for rule in rules {
                rule.matches.push(Match::Unknown(format!("{lost}, which {version}-nft-save does not show")));
            }
        }
    }
    Ok(())
}

fn rules_of<'a>(table: &'a Table, chain: &str) -> &'a [Rule] {
    table.chains.iter().find(|there| there.name == chain).map_or(&[], |there| there.rules.as_slice())
}

/// What a rule does in the kernel and not in the text.
fn lost(rule: &Rule, text: &str) -> Option<String> {
    let Ok(program) = rule.program() else { return Some("something".to_owned()) };
    lost_of(&program, text)
}

fn lost_of(program: &[Expression], text: &str) -> Option<String> {
    let words: Vec<&str> = text.split(' ').collect();
    let count = |of: &[&str]| words.iter().filter(|word| of.contains(word)).count();
    if let Some(how) = compares_otherwise(program, &words) {
        return Some(how.to_owned());
    }
    let (mut meta, mut network, mut transport, mut protocol) = (0, 0, 0, 0);
    for one in program {
        match one {
            Expression::Meta { key: PROTOCOL, .. } => protocol += 1,
            Expression::Payload { base: NETWORK_HEADER, offset, length: 1, .. } if PROTOCOL_AT.contains(offset) => {
                protocol += 1;
            }
            Expression::Meta { .. } => meta += 1,
            Expression::Payload { base: NETWORK_HEADER, .. } => network += 1,
            Expression::Payload { base: TRANSPORT_HEADER, .. } => transport += 1,
            Expression::Mask { .. }
            | Expression::Compare { .. }
            | Expression::Range { .. }
            | Expression::Verdict { .. }
            | Expression::Counter { .. } => {}
            Expression::Limit { .. } if count(&["limit"]) > 0 => {}
            Expression::Log { .. } if count(&["LOG", "NFLOG"]) > 0 => {}
            Expression::Other { name, data } if name == "match" || name == "target" => {
                let name = find(data, EXTENSION_NAME).ok().flatten().map(text_of).unwrap_or_default();
                let same = |other: &Expression| {
                    matches!(other, Expression::Other { data, .. }
                        if find(data, EXTENSION_NAME).ok().flatten().map(text_of).as_deref() == Some(name.as_str()))
                };
                let named =
                    words.windows(2).filter(|pair| matches!(pair, ["-m" | "-j", word] if *word == name)).count();
                if named < program.iter().filter(|other| same(other)).count() {
                    return Some(format!("the extension {name}"));
                }
            }
            Expression::Payload { .. } => return Some("a test of another header".to_owned()),
            Expression::Limit { .. } => return Some("a limit".to_owned()),
            Expression::Log { .. } => return Some("a line for the log".to_owned()),
            Expression::Lookup { .. } => return Some("a look into a set".to_owned()),
            Expression::ExtensionHeader { .. } => return Some("a test of an extension header".to_owned()),
            Expression::DestinationType { .. } => return Some("a look at the routes".to_owned()),
            Expression::ConnectionState { .. } | Expression::Connection { .. } => {
                return Some("a test of the connection".to_owned());
            }
            Expression::Reset => return Some("a reset".to_owned()),
            Expression::Other { name, .. } => return Some(format!("the expression {name}")),
        }
    }
    let more = [(meta, &OF_META[..]), (network, &OF_NETWORK), (transport, &OF_TRANSPORT), (protocol, &OF_PROTOCOL)];
    more.into_iter().find(|(there, of)| *there > count(of)).map(|(_, of)| format!("a test like {}", of.join(", ")))
}

/// Whether a value is tested in another way than the text has it: by another operator, behind a mask, or not the value that was loaded.
fn compares_otherwise(program: &[Expression], words: &[&str]) -> Option<&'static str> {
    let count = |of: &[&str]| words.iter().filter(|word| of.contains(word)).count();
    let ports =
        words.windows(2).filter(|pair| matches!(pair, ["--sport" | "--dport", list] if list.contains(':'))).count();
    let (mut bounds, mut negations) = (0, 0);
    let mut loaded: Option<&Expression> = None;
    for one in program {
        let (register, is_of) = match one {
            Expression::Meta { .. } | Expression::Payload { .. } => {
                loaded = Some(one);
                continue;
            }
            Expression::Mask { register, .. } => {
                let is_masked = |own: &Expression| match own {
                    Expression::Meta { key, .. } => *key == MARK,
                    // Addresses, and of IPv4 the offset of a fragment and DSCP.
                    Expression::Payload { base: NETWORK_HEADER, length, offset, .. } => {
                        *length >= 4 || [1, 6].contains(offset)
                    }
                    Expression::Payload { base: TRANSPORT_HEADER, offset, .. } => *offset == TCP_FLAGS,
                    _ => false,
                };
                (register, loaded.is_some_and(is_masked))
            }
            Expression::Compare { register, operator, .. } => {
                negations += usize::from(*operator == NOT_EQUAL);
                bounds += usize::from([AT_MOST, AT_LEAST].contains(operator));
                (register, [EQUAL, NOT_EQUAL, AT_MOST, AT_LEAST].contains(operator))
            }
            Expression::Range { register, negated, .. } => {
                negations += usize::from(*negated);
                bounds += 2;
                (register, true)
            }
            _ => continue,
        };
        let same = loaded.is_some_and(|own| match own {
            Expression::Meta { register: own, .. } | Expression::Payload { register: own, .. } => own == register,
            _ => false,
        });
        if !same {
            return Some("a test of another value");
        }
        if !is_of {
            return Some("another comparison");
        }
    }
    if bounds > 2 * ports {
        return Some("a range");
    }
    // A fragment is told by an offset that is not 0.
    (negations > count(&["!", "-f"])).then_some("a negation")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_value_is_compared_is_held_against_the_text() {
        let meta = |key| Expression::Meta { key, register: 1 };
        let header = |base, offset, length| Expression::Payload { base, offset, length, register: 1 };
        let compare = |operator, data: &[u8]| Expression::Compare { register: 1, operator, data: data.to_vec() };
        let masked = |mask: &[u8]| Expression::Mask { register: 1, mask: mask.to_vec() };
        let (source, port, flags) =
            (header(NETWORK_HEADER, 12, 4), header(TRANSPORT_HEADER, 2, 2), header(TRANSPORT_HEADER, TCP_FLAGS, 1));
        let (peer, http) = ([10, 20, 0, 12], 8098_u16.to_be_bytes());
        let own = |text: &str, program: &[Expression]| {
            compares_otherwise(program, &text.split(' ').collect::<Vec<_>>()).is_none()
        };
        let one = "-A INPUT -s 10.20.0.12/32 -j ACCEPT";
        assert!(own(one, &[source.clone(), compare(EQUAL, &peer)]));
        assert!(own("-A INPUT ! -s 10.20.0.12/32 -j ACCEPT", &[source.clone(), compare(NOT_EQUAL, &peer)]));
        for operator in [NOT_EQUAL, 2, AT_MOST, 4, AT_LEAST] {
            assert!(!own(one, &[source.clone(), compare(operator, &peer)]), "{operator}");
        }
        let range = "-A INPUT -p tcp -m tcp --dport 6000:6009 -j ACCEPT";
        let bounds = [port.clone(), compare(AT_LEAST, &[23, 112]), compare(AT_MOST, &[23, 121])];
        assert!(own(range, &bounds));
        assert!(!own("-A INPUT -p tcp -m tcp --dport 6000 -j ACCEPT", &bounds));
        assert!(!own(range, &[&bounds[..], &[source.clone(), compare(AT_LEAST, &peer)]].concat()));
        let inside = Expression::Range { register: 1, negated: false, from: vec![23, 112], to: vec![23, 121] };
        assert!(own(range, &[port.clone(), inside.clone()]));
        assert!(!own(range, &[port.clone(), inside, source.clone(), compare(AT_LEAST, &peer)]));
        // The tool shows no mask of a port, nor of a protocol.
        assert!(!own(
            "-A INPUT -p tcp -m tcp --dport 8098",
            &[port.clone(), masked(&[0xff, 0]), compare(EQUAL, &http)]
        ));
        assert!(!own("-A INPUT -p tcp", &[meta(16), masked(&[2, 0, 0, 0]), compare(EQUAL, &[2])]));
        let syn = "-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN";
        assert!(own(syn, &[flags, masked(&[0x17]), compare(EQUAL, &[2])]));
        assert!(own(
            "-A INPUT -f",
            &[header(NETWORK_HEADER, 6, 2), masked(&[0x1f, 0xff]), compare(NOT_EQUAL, &[0, 0])]
        ));
        // A test that is printed for another, or not at all.
        let both = "-A RINGFENCE -s 10.20.0.12/32 -p tcp -j ACCEPT";
        let asked = [source.clone(), compare(EQUAL, &peer), meta(PROTOCOL), compare(EQUAL, &[6])];
        assert_eq!(lost_of(&asked, both), None);
        for more in [[source.clone(), compare(EQUAL, &[17; 4])], [header(NETWORK_HEADER, 9, 1), compare(EQUAL, &[17])]]
        {
            assert!(lost_of(&[&more[..], &asked].concat(), both).is_some());
        }
        // Another register holds something else.
        let other = Expression::Compare { register: 2, operator: EQUAL, data: peer.to_vec() };
        assert!(!own(one, &[source, other]));
    }
}
