//! Where a translation leads to: `dnat to 10.0.0.1:80`, `redirect to :8080-8090`, `dnat ip to tcp dport map { … }`.
//!
//! What is not understood here is read as a translation that leads anywhere.

use std::net::IpAddr;

use super::draft::{Entry, Part};
use super::joined::Key;
use super::lexer::{Kind, Token};
use super::maps::{has_range, key_and_value, map_tokens, may_find_two};
use super::names;
use super::rules::RuleReader;
use super::tables::RawFamily;
use super::words::{Words, elements};
use crate::ir::{Destined, Family, Match, Statement, Translation};
use crate::net::Cidr;

/// Addresses and ports, or either of them.
#[derive(Clone, Copy, Default)]
struct Target {
    addresses: Option<(IpAddr, IpAddr)>,
    ports: Option<(u16, u16)>,
}

impl Target {
    fn destined(self) -> Destined {
        Destined::To { addresses: self.addresses, ports: self.ports }
    }

    /// The family of its addresses.
    fn family(self) -> Option<Family> {
        self.addresses.map(|(first, _)| if first.is_ipv4() { Family::Ip } else { Family::Ip6 })
    }
}

/// Reads a translation whose first word, at `start`, was taken; nothing more is taken if it is not understood.
pub fn translates(reader: &mut RuleReader<'_, '_>, start: usize) -> bool {
    let kind = match reader.words.word(start) {
        "snat" => Translation::Source,
        "dnat" => Translation::Destination,
        "masquerade" => Translation::Masquerade,
        "redirect" => Translation::Redirect,
        _ => return false,
    };
    let at = reader.words.at;
    let found = read(reader, kind, start);
    if found.is_none() {
        reader.words.at = at;
    }
    found.is_some()
}

fn read(reader: &mut RuleReader<'_, '_>, kind: Translation, start: usize) -> Option<()> {
    let addressed = matches!(kind, Translation::Source | Translation::Destination);
    let named = match reader.words.word(reader.words.at) {
        "ip" if addressed => Some(Family::Ip),
        "ip6" if addressed => Some(Family::Ip6),
        _ => None,
    };
    reader.words.at += usize::from(named.is_some());
    // nft up to 0.9.8 wants to know what the map has.
    if named.is_some() {
        reader.words.take_all(&["addr", ".", "port"]);
    }
    if addressed && reader.words.take_all(&["prefix", "to"]) {
        return network(reader, kind, named, start);
    }
    if !reader.words.take_word("to") {
        flags(&mut reader.words).filter(|()| !addressed)?;
        reader.end_with(start, Statement::Translate(kind, Target::default().destined()));
        return Some(());
    }
    let at = reader.words.at;
    if let Some(target) = target(&mut reader.words, addressed)
        && flags(&mut reader.words).is_some()
    {
        of_family(reader, named.or(target.family()), start);
        reader.end_with(start, Statement::Translate(kind, target.destined()));
        return Some(());
    }
    reader.words.at = at;
    by_map(reader, kind, named, start)
}

/// `prefix to NETWORK`: what is behind the prefix stays, and so it is one of these addresses.
fn network(reader: &mut RuleReader<'_, '_>, kind: Translation, named: Option<Family>, start: usize) -> Option<()> {
    let network: Cidr = reader.words.next()?.name().filter(|text| text.contains('/'))?.parse().ok()?;
    // JSON says it twice.
    if reader.words.take_word("netmap") {
        reader.words.take(",");
    }
    flags(&mut reader.words)?;
    let target = Target { addresses: Some((network.first(), network.last())), ports: None };
    of_family(reader, named.or(target.family()), start);
    reader.end_with(start, Statement::Translate(kind, target.destined()));
    Some(())
}

/// A rule of both families translates packets of the one that its addresses are of.
fn of_family(reader: &mut RuleReader<'_, '_>, family: Option<Family>, start: usize) {
    let both = reader.table.family == RawFamily::Known(Family::Inet);
    if let Some(family) = family.filter(|_| both && !reader.draft.parts.iter().any(Part::implies_family)) {
        reader.known_test(vec![vec![Match::Family(family)]], reader.words.text_since(start));
    }
}

/// `KEY map { KEY : TARGET, … }`. Whoever is not in the map leaves the rule.
fn by_map(reader: &mut RuleReader<'_, '_>, kind: Translation, named: Option<Family>, start: usize) -> Option<()> {
    let addressed = matches!(kind, Translation::Source | Translation::Destination);
    let key = Key::take(&mut reader.words).filter(|key| !key.has_next_header())?;
    if !reader.words.take_word("map") {
        return None;
    }
    let text = reader.words.text_since(start);
    let tokens = map_tokens(reader)?;
    flags(&mut reader.words)?;
    let (mut entries, mut family, mut ranged) = (Vec::new(), named, false);
    for element in elements(tokens) {
        let (own, value) = key_and_value(element)?;
        ranged |= key.is_joined() && has_range(own);
        // What every other packet gets is not worked out.
        if matches!(own, [one] if one.is_word("*")) {
            return None;
        }
        let mut words = Words::new(value.get(1..)?);
        let target = target(&mut words, addressed).filter(|_| words.peek().is_none())?;
        family = family.or(target.family());
        let statement = Some(Statement::Translate(kind, target.destined()));
        let alternatives = key.alternatives(reader.table, own, &text)?;
        entries.push(Entry { alternatives, statement, verdict: None });
    }
    if ranged && may_find_two(&entries) {
        return None;
    }
    of_family(reader, family, start);
    reader.decide_by_map(start, entries);
    Some(())
}

/// `random`, `fully-random` and `persistent` say which of several; behind them the rule ends.
fn flags(words: &mut Words<'_, '_>) -> Option<()> {
    while ["random", "fully-random", "persistent"].iter().any(|flag| words.take_word(flag)) {
        words.take(",");
    }
    let ends = |token: &Token<'_>| token.is_word("comment") || token.kind == Kind::Hidden;
    words.peek().is_none_or(ends).then_some(())
}

/// `ADDRESSES[:PORTS]`, `ADDRESSES . PORTS`, or `:PORTS`; without the colon where there can be no addresses.
fn target(words: &mut Words<'_, '_>, addressed: bool) -> Option<Target> {
    if words.take(":") {
        return Some(Target { ports: Some(ports(words)?), ..Target::default() });
    }
    if !addressed {
        return Some(Target { ports: Some(ports(words)?), ..Target::default() });
    }
    let text = words.next()?.name()?;
    // `[fd00::1]:80` is one word, `10.0.0.1:80` is three.
    if let Some((inside, behind)) = text.strip_prefix('[').and_then(|text| text.rsplit_once(']')) {
        let addresses = Some(addresses(&inside.replace(['[', ']'], ""))?);
        return match behind.strip_prefix(':') {
            Some(text) => Some(Target { addresses, ports: Some(port_range(text)?) }),
            None if behind.is_empty() && words.take(":") => Some(Target { addresses, ports: Some(ports(words)?) }),
            None => behind.is_empty().then_some(Target { addresses, ports: None }),
        };
    }
    let mut own = addresses(text)?;
    if words.take_word("-") {
        own.1 = addresses(words.next()?.name()?)?.1;
        ordered(own)?;
    }
    let more = words.take(":") || words.take_word(".");
    let ports = if more { Some(ports(words)?) } else { None };
    Some(Target { addresses: Some(own), ports })
}

/// An address or a range of them. A network is not taken: nft takes one for a range, or for a prefix that is kept.
fn addresses(text: &str) -> Option<(IpAddr, IpAddr)> {
    if let Ok(one) = text.parse() {
        return Some((one, one));
    }
    let (first, last) = text.split_once('-')?;
    ordered((first.parse().ok()?, last.parse().ok()?))
}

fn ordered(ends: (IpAddr, IpAddr)) -> Option<(IpAddr, IpAddr)> {
    (ends.0.is_ipv4() == ends.1.is_ipv4() && ends.0 <= ends.1).then_some(ends)
}

fn ports(words: &mut Words<'_, '_>) -> Option<(u16, u16)> {
    let own = port_range(words.next()?.name()?)?;
    if words.take_word("-") {
        let last = port_range(words.next()?.name()?)?.1;
        return (own.0 <= last).then_some((own.0, last));
    }
    Some(own)
}

fn port_range(text: &str) -> Option<(u16, u16)> {
    if let Some(port) = names::port(text) {
        return Some((port, port));
    }
    let (first, last) = text.split_once('-')?;
    let (first, last) = (names::port(first)?, names::port(last)?);
    (first <= last).then_some((first, last))
}
