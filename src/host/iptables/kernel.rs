//! What `iptables-nft-save` prints, held against the kernel's own rules.
//!
//! The tool leaves out what it does not know, and says nothing (seen: a rule that looks into a set of nf_tables loses that
//! test and keeps the rest; 1.8.7 prints rules of newer versions without their ports). So its text alone proves nothing. The
//! kernel tells by netlink how many rules there are, and what tests each is made of; the text has to have as many of each kind.
//! What each test compares with is taken from the text: the tool leaves tests out, it does not make up others.
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

const OF_META: [&str; 5] = ["-i", "-o", "-p", "--mark", "--pkt-type"];
const OF_NETWORK: [&str; 6] = ["-s", "-d", "-p", "-f", "--ttl-eq", "--dscp"];
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
    let words: Vec<&str> = text.split(' ').collect();
    let count = |of: &[&str]| words.iter().filter(|word| of.contains(word)).count();
    let (mut meta, mut network, mut transport) = (0, 0, 0);
    for one in &program {
        match one {
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
    let more = [(meta, &OF_META[..]), (network, &OF_NETWORK), (transport, &OF_TRANSPORT)];
    more.into_iter().find(|(there, of)| *there > count(of)).map(|(_, of)| format!("a test like {}", of.join(", ")))
}
