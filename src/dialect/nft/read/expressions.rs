//! Tests and verdict maps.

use super::flags::flags;
use super::joined::Key;
use super::lexer::{Kind, Token};
use super::maps::{has_range, overlap, verdict_map};
use super::marks;
use super::names;
use super::ports::{masked_block, with_protocol};
use super::rules::RuleReader;
use super::selectors::{Alternatives, Right, Selector, TCP, protocol};
use super::tables::{RawFamily, RawTable};
use super::words::{Words, elements};
use crate::dialect::marks::between;
use crate::ir::{Family, Foreign, Marked, Match, PacketTypes, PortBlock, TcpFlags, ours};

/// What nft takes for granted where a limit says nothing of a burst.
const DEFAULT_BURST: u32 = 5;

/// A set of several things at once makes at most so many alternatives.
const MOST_ELEMENTS: usize = 1 << 15;

/// How a value is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    /// Nothing is said: `tcp dport 22`.
    Implicit,
    Equal,
    NotEqual,
    /// `!`: none of these bits.
    None,
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// `[meta] pkttype [!=] TYPE`, or a list of them.
fn packet_type(words: &mut Words<'_, '_>) -> Option<Match> {
    if !words.take_all(&["meta", "pkttype"]) && !words.take_word("pkttype") {
        return None;
    }
    let negated = words.take("!=") || words.take_word("!=");
    words.take("==");
    let named = |token: &Token<'_>| {
        Some(token).filter(|token| token.kind == Kind::Word).and_then(|token| PacketTypes::named(token.text))
    };
    let types = match words.block() {
        None => named(words.next()?)?,
        Some(list) => {
            let types: Option<Vec<PacketTypes>> =
                elements(list).into_iter().map(|element| if let [one] = element { named(one) } else { None }).collect();
            types?.into_iter().reduce(PacketTypes::with)?
        }
    };
    words.value_ends().then_some(Match::PacketType { types, negated })
}

/// Reads the test or the verdict map that comes next; `None` if it is not understood.
pub fn test(reader: &mut RuleReader<'_, '_>, start: usize) -> Option<()> {
    // Of a key that the IR has no words for, any element may be found.
    if let Some(key) = Key::take(&mut reader.words).filter(Key::is_opaque)
        && reader.words.take_word("vmap")
    {
        verdict_map(reader, &key, start);
        return Some(());
    }
    reader.words.at = start;
    if reader.words.take_all(&["tcp", "flags"]) {
        let alternatives = flags(&mut reader.words).filter(|_| reader.words.value_ends())?;
        reader.known_test(alternatives, reader.words.text_since(start));
        return Some(());
    }
    if reader.words.take_all(&["@th", ",", "0", ",", "32", "&"]) {
        let block = masked(&mut reader.words)?;
        reader.known_test(vec![vec![Match::PortBlock(block)]], reader.words.text_since(start));
        return Some(());
    }
    if reader.words.take_all(&["@th", ",", "96", ",", "32", "&"]) {
        let bit = flag_bit(&mut reader.words)?;
        reader.known_test(vec![vec![bit]], reader.words.text_since(start));
        return Some(());
    }
    if let Some(one) = bit_field(reader) {
        reader.known_test(vec![vec![one]], reader.words.text_since(start));
        return Some(());
    }
    reader.words.at = start;
    if reader.words.take_all(&["ct", "direction", "original", "ct", "status", "dnat"]) && reader.words.value_ends() {
        reader.known_test(vec![vec![Match::DestinationTranslated]], reader.words.text_since(start));
        return Some(());
    }
    reader.words.at = start;
    if reader.words.take_all(&["ct", "original", "proto-dst"]) {
        let right = right(&mut reader.words).filter(|_| reader.words.value_ends())?;
        let text = reader.words.text_since(start);
        let alternatives = Selector::TcpPort.compare(reader.table, &right, false, &text)?;
        let original = |one: Match| match one {
            Match::DestinationPort { ports, negated: false } => Some(Match::OriginalPort(ports)),
            _ => None,
        };
        let alternatives: Option<Alternatives> =
            alternatives.into_iter().map(|all| all.into_iter().map(original).collect()).collect();
        reader.known_test(alternatives?, text);
        return Some(());
    }
    if let Some(one) = packet_type(&mut reader.words) {
        reader.known_test(vec![vec![one]], reader.words.text_since(start));
        return Some(());
    }
    reader.words.at = start;
    if let Some(one) = marks::special(&mut reader.words).filter(|one| !misprinted(reader.table, one)) {
        let family = match &one {
            Match::Foreign(Foreign::ExtensionHeader(_)) | Match::PerhapsDirectlyTcp => Some(Match::Family(Family::Ip6)),
            Match::Foreign(Foreign::LaterFragment { .. }) => Some(Match::Family(Family::Ip)),
            _ => None,
        };
        let test = family.into_iter().chain([one]).collect();
        reader.known_test(vec![test], reader.words.text_since(start));
        return Some(());
    }
    reader.words.at = start;
    if let Some(key) = Key::take_joined(&mut reader.words) {
        return joined(reader, &key, start);
    }
    reader.words.at = start;
    let selector = Selector::take(&mut reader.words)?;
    if reader.words.take_word("vmap") {
        verdict_map(reader, &Key::of(selector), start);
        return Some(());
    }
    if let Selector::Mark(of) = selector
        && let Some((mask, set)) = marks::masked(&mut reader.words)
    {
        return masked_mark(reader, of, (mask, set), start);
    }
    if let Selector::TcpPort | Selector::Port(_) = selector
        && reader.words.take("&")
    {
        let number = if selector == Selector::TcpPort { Some(TCP) } else { port_protocol(selector) };
        let block = masked(&mut reader.words)?;
        reader.known_test(vec![with_protocol(number, block)], reader.words.text_since(start));
        return Some(());
    }
    let operator = operator(&mut reader.words);
    let right = right(&mut reader.words)?;
    // nft from 1.1 on lists other bits as these, if their mask has a hole: 0x2fffe over both ports as `@th,16,16`. Sets it
    // lists as what they are.
    if reader.words.word(start) == "@th" && !matches!(right, Right::Set(_) | Right::Named(_)) {
        return None;
    }
    if let Selector::Mark(of) = selector
        && let Some((ends, negated)) = ends_of_mark(operator, &right)
    {
        let tests = between(of, ends, negated).filter(|_| reader.words.value_ends())?;
        reader.known_test(vec![tests], reader.words.text_since(start));
        return Some(());
    }
    let (right, negated) = comparison(selector, operator, right)?;
    if !reader.words.value_ends() {
        return None;
    }
    let text = reader.words.text_since(start);
    let alternatives = selector.compare(reader.table, &right, negated, &text)?;
    reader.known_test(alternatives, text);
    Some(())
}

/// Whether nft prints this for something else: `--ctstate NEW,DNAT` in a table of iptables as `ct status dnat`.
fn misprinted(table: &RawTable<'_>, one: &Match) -> bool {
    table.may_be_of_iptables() && matches!(one, Match::Foreign(Foreign::Translated { .. }))
}

/// `mark & MASK == VALUE`, or `mark | MASK == VALUE`, which no mark meets whose value lacks a bit that is set.
fn masked_mark(reader: &mut RuleReader<'_, '_>, of: Marked, (mask, set): (u32, u32), start: usize) -> Option<()> {
    let operator = operator(&mut reader.words);
    let right = right(&mut reader.words)?;
    let negated = match operator {
        Operator::Equal | Operator::Implicit => false,
        Operator::NotEqual => true,
        Operator::None | Operator::Below | Operator::AtMost | Operator::Above | Operator::AtLeast => return None,
    };
    if set != 0 || !reader.words.value_ends() {
        return None;
    }
    let alternatives = marks::alternatives(of, mask, &right, negated)?;
    reader.known_test(alternatives, reader.words.text_since(start));
    Some(())
}

/// A test of several things at once: one alternative for each element. That none of them fits the IR cannot say.
fn joined(reader: &mut RuleReader<'_, '_>, key: &Key<'_>, start: usize) -> Option<()> {
    if reader.words.take_word("vmap") {
        verdict_map(reader, key, start);
        return Some(());
    }
    // Each alternative may have the text of the key; the set may be long.
    let key_text = reader.words.text_since(start);
    let operator = operator(&mut reader.words);
    let right = right(&mut reader.words).filter(|_| reader.words.value_ends())?;
    if !matches!(operator, Operator::Implicit | Operator::Equal) || key.is_opaque() {
        return None;
    }
    let table = reader.table;
    let text = reader.words.text_since(start);
    let elements = match &right {
        Right::One(_) => return None,
        Right::Set(values) => values.clone(),
        Right::Named(name) => elements(table.look_up(table.find_set(name)?.tokens()?)?),
        Right::List(_) | Right::Ports(..) => return None,
    };
    let (mut alternatives, mut each, mut ranged) = (Vec::new(), Vec::new(), false);
    for element in elements {
        ranged |= has_range(element);
        let own = key.alternatives(table, element, &key_text)?;
        alternatives.extend(own.iter().cloned());
        each.push(own);
        if alternatives.len() > MOST_ELEMENTS {
            return None;
        }
    }
    if ranged && overlap(&each) {
        // The rule is met once, and not once for each.
        return None;
    }
    (!alternatives.is_empty()).then(|| reader.known_test(alternatives, text))
}

fn port_protocol(selector: Selector) -> Option<u8> {
    match selector {
        Selector::Port(number) => number,
        _ => None,
    }
}

/// How nft 1.1 lists our masked tests: `@th,16,4 0x1`, a field of bits. Of a mask with a hole it lists another field, of at
/// least two bits; ours have no holes, and in tables of others such a field is not understood.
fn bit_field(reader: &mut RuleReader<'_, '_>) -> Option<Match> {
    let ours = reader.table.name == ours::TABLE && reader.table.family == RawFamily::Known(Family::Inet);
    let words = &mut reader.words;
    if !words.take_all(&["@th", ","]) {
        return None;
    }
    let offset = names::number(words.next()?.text)?;
    if !words.take(",") {
        return None;
    }
    let length = u8::try_from(names::number(words.next()?.text)?).ok()?;
    words.take("==");
    let value = names::number(words.next()?.text).filter(|_| words.value_ends())?;
    match (offset, length) {
        // The flags are the second byte behind the twelfth.
        (104..=111, 1) if value <= 1 => {
            let flag = TcpFlags(0x80 >> (offset - 104));
            Some(Match::FlagBit { flag, set: value == 1 })
        }
        (16, 1..=16) if ours && value < 1 << length => {
            let first = u16::try_from(value << (16 - length)).ok()?;
            Some(Match::PortBlock(PortBlock { first, bits: length }))
        }
        _ => None,
    }
}

/// `MASK == VALUE`, of the four bytes that have the TCP flags in the second: one flag, nothing else.
fn flag_bit(words: &mut Words<'_, '_>) -> Option<Match> {
    let mask = names::number(words.next()?.text)?;
    if !words.take("==") {
        return None;
    }
    let value = names::number(words.next()?.text)?;
    let flag = TcpFlags(u8::try_from(mask >> 16).ok()?);
    let alone = mask == u32::from(flag.0) << 16 && flag.0.is_power_of_two();
    let known = alone && (value == 0 || value == mask) && words.value_ends();
    known.then_some(Match::FlagBit { flag, set: value != 0 })
}

/// `MASK == VALUE`, of ports.
fn masked(words: &mut Words<'_, '_>) -> Option<PortBlock> {
    let mask = names::number(words.next()?.text)?;
    if !words.take("==") {
        return None;
    }
    let value = names::number(words.next()?.text)?;
    masked_block(mask, value).filter(|_| words.value_ends())
}

fn operator(words: &mut Words<'_, '_>) -> Operator {
    let operator = match words.peek() {
        Some(token) if token.kind != Kind::Quoted => match token.text {
            "==" | "eq" => Operator::Equal,
            "!=" | "ne" => Operator::NotEqual,
            "!" => Operator::None,
            "<" | "lt" => Operator::Below,
            "<=" | "le" => Operator::AtMost,
            ">" | "gt" => Operator::Above,
            ">=" | "ge" => Operator::AtLeast,
            _ => return Operator::Implicit,
        },
        _ => return Operator::Implicit,
    };
    words.at += 1;
    operator
}

/// What stands on the right of a comparison.
fn right<'r, 'a>(words: &mut Words<'r, 'a>) -> Option<Right<'r, 'a>> {
    if words.peek()?.is("{") {
        return words.block().map(|tokens| Right::Set(elements(tokens)));
    }
    let start = words.at;
    let first = words.next()?;
    if let Some(name) = first.text.strip_prefix('@').filter(|name| first.kind == Kind::Word && !name.is_empty()) {
        return Some(Right::Named(name));
    }
    first.name()?;
    if words.take_word("-") {
        words.next()?;
    }
    let value = words.since(start);
    if !words.peek().is_some_and(|token| token.is(",")) {
        return Some(Right::One(value));
    }
    let mut values = vec![value];
    while words.take(",") {
        let start = words.at;
        words.next()?;
        values.push(words.since(start));
    }
    Some(Right::List(values))
}

/// What the operator does to the values; `None` where it makes no sense or has another sense.
fn comparison<'r, 'a>(selector: Selector, operator: Operator, right: Right<'r, 'a>) -> Option<(Right<'r, 'a>, bool)> {
    let ports = matches!(selector, Selector::TcpPort | Selector::Port(_) | Selector::SourcePort(_));
    let limit = || match &right {
        Right::One([port]) if ports => names::port(port.text),
        _ => None,
    };
    match operator {
        Operator::Implicit | Operator::None => {
            if operator == Operator::None && selector != Selector::State {
                return None;
            }
            // A state that stands alone is a bit to be set, as in a list.
            let right = match right {
                Right::One(value) if selector == Selector::State => Right::List(vec![value]),
                right => right,
            };
            Some((right, operator == Operator::None))
        }
        // A list is then compared as the sum of its bits.
        Operator::Equal | Operator::NotEqual if matches!(right, Right::List(_)) => None,
        Operator::Equal => Some((right, false)),
        Operator::NotEqual => Some((right, true)),
        Operator::Below => Some((Right::Ports(0, limit()?.checked_sub(1)?), false)),
        Operator::AtMost => Some((Right::Ports(0, limit()?), false)),
        Operator::Above => Some((Right::Ports(limit()?.checked_add(1)?, u16::MAX), false)),
        Operator::AtLeast => Some((Right::Ports(limit()?, u16::MAX), false)),
    }
}

/// Between which ends a mark has to be, or must not be, where it is not compared with single numbers. nft compares marks as numbers,
/// the first byte first (seen on Linux 6.18).
fn ends_of_mark(operator: Operator, right: &Right<'_, '_>) -> Option<((u32, u32), bool)> {
    let ends = match right {
        Right::One([first, dash, last]) if dash.is_word("-") => Some((first.text, last.text)),
        Right::One([one]) => one.name()?.split_once('-'),
        _ => return None,
    };
    if let Some((first, last)) = ends {
        let ends = (names::number(first)?, names::number(last)?);
        let negated = match operator {
            Operator::Implicit | Operator::Equal => false,
            Operator::NotEqual => true,
            Operator::None | Operator::Below | Operator::AtMost | Operator::Above | Operator::AtLeast => return None,
        };
        return (ends.0 <= ends.1).then_some((ends, negated));
    }
    let Right::One([one]) = right else { return None };
    let limit = names::number(one.text);
    let ends = match operator {
        Operator::Implicit | Operator::Equal | Operator::NotEqual | Operator::None => return None,
        Operator::Below => (0, limit?.checked_sub(1)?),
        Operator::AtMost => (0, limit?),
        Operator::Above => (limit?.checked_add(1)?, u32::MAX),
        Operator::AtLeast => (limit?, u32::MAX),
    };
    Some((ends, false))
}

/// What has to hold for a test that begins at `start` and is not understood.
pub fn implied(words: &Words<'_, '_>, start: usize) -> Vec<Match> {
    let mut again = *words;
    again.at = start;
    if let Some(key) = Key::take_joined(&mut again) {
        return key.implied();
    }
    again.at = start;
    if let Some(selector) = Selector::take(&mut again) {
        return selector.implied();
    }
    // An option is missing in UDP, too.
    let missing = words.word(start + 1) == "option" && words.word(start + 3) == "missing";
    if missing { Vec::new() } else { header(words.word(start)) }
}

/// What has to hold where a field of a header is looked at.
pub fn header(name: &str) -> Vec<Match> {
    match name {
        "ip" => vec![Match::Family(Family::Ip)],
        "ip6" | "frag" => vec![Match::Family(Family::Ip6)],
        "tcp" => vec![protocol(TCP, false)],
        "udp" => vec![protocol(17, false)],
        "icmp" => vec![protocol(1, false)],
        "icmpv6" => vec![protocol(58, false)],
        "sctp" => vec![protocol(132, false)],
        "udplite" => vec![protocol(136, false)],
        "dccp" => vec![protocol(33, false)],
        "igmp" => vec![protocol(2, false)],
        "esp" => vec![protocol(50, false)],
        "ah" => vec![protocol(51, false)],
        "comp" => vec![protocol(108, false)],
        "gre" => vec![protocol(47, false)],
        _ => Vec::new(),
    }
}

/// `rate [until] N/UNIT [burst N [packets]]`, where the IR can say it.
pub fn limit(words: &mut Words<'_, '_>) -> Option<Match> {
    if !words.take_word("rate") {
        return None;
    }
    words.take_word("until");
    let (count, unit) = words.next()?.text.split_once('/')?;
    let count = names::number(count)?;
    let per_minute = match unit {
        "second" => count.checked_mul(60)?,
        "minute" => count,
        "hour" => divided(count, 60)?,
        "day" => divided(count, 60 * 24)?,
        "week" => divided(count, 60 * 24 * 7)?,
        _ => return None,
    };
    let mut burst = DEFAULT_BURST;
    if words.take_word("burst") {
        burst = names::number(words.next()?.text)?;
        if !words.take_word("packets") && words.peek().is_some_and(|token| token.text.ends_with("bytes")) {
            return None;
        }
    }
    Some(Match::Limit { per_minute, burst })
}

fn divided(count: u32, by: u32) -> Option<u32> {
    count.is_multiple_of(by).then_some(count / by)
}
