//! What every form of a rule means, what a file leaves behind, and that no text at all brings the reader down.

mod bounds;
mod files;
mod foreign;
mod helpers;
mod hidden;
mod rules;
mod varying;

use std::fs;
use std::path::{Path, PathBuf};

use super::read;
use crate::dialect::read::Read;
use crate::ir::{Addresses, ConnectionStates, Elements, Family, Match, PortBlock, PortMatch, TcpFlags, Verdict};
use crate::net::{Cidr, Interface, PortRange};

fn all(text: &str) -> Read {
    read(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The matches and the verdict of a rule.
type Decision = (Vec<Match>, Option<Verdict>);

/// What a rule is read as, in a table with some sets, and what of it was not understood.
fn rules_of(family: &str, rule: &str) -> (Vec<Decision>, Vec<String>) {
    let text = format!(
        "table {family} t {{
            set four {{ type ipv4_addr; flags interval; elements = {{ 10.0.0.0/8 }}
            }}
            set six {{ type ipv6_addr
            }}
            set ports {{ type inet_service; elements = {{ 22, 80 }}
            }}
            set names {{ type ifname; elements = {{ \"lo\", eth0 }}
            }}
            set moving {{ type ipv4_addr; flags dynamic,timeout; timeout 5m
            }}
            map fates {{ type inet_service : verdict; elements = {{ 22 : accept, 23 : jump other }}
            }}
            chain other {{
            }}
            chain c {{
                {rule}
            }}
        }}"
    );
    let read = all(&text);
    let chain = read.ruleset.tables[0].chains.iter().find(|chain| chain.name == "c").unwrap();
    let rules = chain.rules.iter().map(|rule| (rule.matches.clone(), rule.verdict.clone())).collect();
    let unknown = read.unknown.into_iter().map(|unknown| unknown.text).filter(|text| text != "set moving");
    (rules, unknown.collect())
}

fn golden_rulesets() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("out/ringfence.nft"));
    let mut files: Vec<PathBuf> = files.filter(|file| file.is_file()).collect();
    files.sort();
    files
}

/// Numbers below a bound, the same every time.
fn numbers() -> impl FnMut(usize) -> usize {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    }
}

fn forms(rule: &str) -> Vec<Vec<Match>> {
    let (rules, unknown) = rules_of("inet", &format!("{rule} accept"));
    assert_eq!(unknown, Vec::<String>::new(), "{rule}");
    rules
        .into_iter()
        .map(|(matches, verdict)| {
            assert_eq!(verdict, Some(Verdict::Accept), "{rule}");
            matches
        })
        .collect()
}

fn port(ranges: &[&str], negated: bool) -> Match {
    let ports = PortMatch::Ports(ranges.iter().map(|range| range.parse::<PortRange>().unwrap()).collect());
    Match::DestinationPort { ports, negated }
}

fn source(networks: &[&str], negated: bool) -> Match {
    let networks: Vec<Cidr> = networks.iter().map(|network| network.parse().unwrap()).collect();
    Match::Source { addresses: Addresses::These(Elements::of_networks(&networks)), negated }
}

fn source_set(name: &str, negated: bool) -> Match {
    Match::Source { addresses: Addresses::Set(name.into()), negated }
}

fn protocol(number: u8, negated: bool) -> Match {
    Match::Protocol { number, negated }
}

fn block(first: u16, bits: u8) -> Match {
    Match::PortBlock(PortBlock { first, bits })
}

fn tcp_flags(mask: u8, value: u8) -> Match {
    Match::TcpFlags { mask: TcpFlags(mask), value: TcpFlags(value) }
}

fn named_interface(name: &str) -> Option<Interface> {
    if name == "lo" { Some(Interface::loopback()) } else { name.parse().ok() }
}

fn interface(names: &[&str], negated: bool) -> Match {
    Match::InInterface { names: names.iter().map(|name| named_interface(name).unwrap()).collect(), negated }
}

fn states(bits: u8, negated: bool) -> Match {
    Match::ConnectionState { states: ConnectionStates(bits), negated }
}

fn unknown(text: &str) -> Match {
    Match::Unknown(text.into())
}

const V4: Match = Match::Family(Family::Ip);
const V6: Match = Match::Family(Family::Ip6);
