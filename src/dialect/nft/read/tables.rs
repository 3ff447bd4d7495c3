//! Tables, chains and rules as they stand in the text, before anything in a rule is understood.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};

use super::cursor::{Cursor, unclosed};
use super::lexer::{Kind, Token, hides_rule, join};
use super::names;
use super::sets::{RawMap, RawSet};
use crate::dialect::helpers;
use crate::dialect::read::{ReadError, Unknown};
use crate::ir::{ChainKind, Family, Hook, Policy, Tracking};

/// The address family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RawFamily {
    /// One that the IR knows.
    Known(Family),
    /// `arp` or `bridge`.
    Other(&'static str),
}

impl RawFamily {
    /// The family of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "inet" => Self::Known(Family::Inet),
            "ip" => Self::Known(Family::Ip),
            "ip6" => Self::Known(Family::Ip6),
            "arp" => Self::Other("arp"),
            "bridge" => Self::Other("bridge"),
            "netdev" => Self::Known(Family::Netdev),
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Known(Family::Inet) => "inet",
            Self::Known(Family::Ip) => "ip",
            Self::Known(Family::Ip6) => "ip6",
            Self::Known(Family::Netdev) => "netdev",
            Self::Other(name) => name,
        }
    }
}

/// A rule in the text.
#[derive(Debug)]
pub struct RawRule<'a> {
    /// The line, from 1.
    pub line: u32,
    /// Where it begins and ends, in bytes.
    pub span: (usize, usize),
    /// Its tokens.
    pub tokens: Vec<Token<'a>>,
}

/// What makes a chain a base chain.
#[derive(Debug)]
pub struct RawBase<'a> {
    /// What it is for.
    pub kind: ChainKind,
    /// The hook.
    pub hook: Hook,
    /// The priority.
    pub priority: i32,
    /// The devices that it is bound to; none for all.
    pub devices: Vec<&'a str>,
}

/// A chain in the text.
#[derive(Debug)]
pub struct RawChain<'a> {
    /// Its name.
    pub name: &'a str,
    /// The line in which it is first mentioned.
    pub line: u32,
    /// What makes it a base chain.
    pub base: Option<RawBase<'a>>,
    /// What the text says makes it a base chain.
    pub hooked: Option<String>,
    /// Its policy, where it is a base chain.
    pub policy: Policy,
    /// Its rules.
    pub rules: VecDeque<RawRule<'a>>,
}

/// A named set or map is read again in every rule that looks something up in it; of one table so many tokens are, in all.
const MOST_LOOKED_UP: usize = 1 << 21;

/// A table in the text. What was deleted leaves a gap.
#[derive(Debug)]
pub struct RawTable<'a> {
    /// Its family.
    pub family: RawFamily,
    /// Its name.
    pub name: &'a str,
    /// The line in which it is first mentioned.
    pub line: u32,
    /// Whether its chains are taken off their hooks.
    pub dormant: bool,
    /// Its sets.
    pub sets: Vec<Option<RawSet<'a>>>,
    /// Where its sets are.
    pub set_index: HashMap<&'a str, usize>,
    /// Its maps.
    pub maps: HashMap<&'a str, RawMap<'a>>,
    /// Its chains.
    pub chains: Vec<Option<RawChain<'a>>>,
    /// Where its chains are.
    pub chain_index: HashMap<&'a str, usize>,
    /// Its helpers of connection tracking, by name: how they track. Of several of one name, the kernel keeps the first; here none
    /// may be worse than what is kept.
    pub helpers: HashMap<&'a str, Tracking>,
    /// What stands in it and was not understood.
    pub unknown: Vec<Unknown>,
    /// How many tokens of named sets and maps may still be read for rules.
    left: Cell<usize>,
}

impl<'a> RawTable<'a> {
    /// An empty table.
    pub fn new(family: RawFamily, name: &'a str, line: u32) -> Self {
        Self {
            family,
            name,
            line,
            dormant: false,
            sets: Vec::new(),
            set_index: HashMap::new(),
            maps: HashMap::new(),
            chains: Vec::new(),
            chain_index: HashMap::new(),
            helpers: HashMap::new(),
            unknown: Vec::new(),
            left: Cell::new(MOST_LOOKED_UP),
        }
    }

    /// Whether iptables-nft may have made it, whose rules nft prints in words of its own, and not always exactly.
    pub fn may_be_of_iptables(&self) -> bool {
        matches!(self.family, RawFamily::Known(Family::Ip | Family::Ip6))
            && matches!(self.name, "raw" | "mangle" | "nat" | "filter" | "security")
    }

    /// The same elements, unless too many have been read already.
    pub fn look_up<'t>(&self, tokens: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
        self.left.set(self.left.get().checked_sub(tokens.len())?);
        Some(tokens)
    }

    /// The set of a name, if it is there.
    pub fn find_set(&self, name: &str) -> Option<&RawSet<'a>> {
        self.sets.get(*self.set_index.get(name)?)?.as_ref()
    }

    /// What is in a set that a rule fills or empties is not known, whatever its declaration says: nft 0.9.8 never lists
    /// the flag for it.
    pub fn spoil_what_rules_fill(&mut self) {
        let rules = self.chains.iter().flatten().flat_map(|chain| &chain.rules);
        let filled: Vec<&str> = rules.flat_map(|rule| filled(&rule.tokens)).collect();
        for name in filled {
            if let Some(set) = self.find_set_mut(name) {
                set.spoil();
            }
            if let Some(map) = self.maps.get_mut(name) {
                map.tokens = None;
            }
        }
    }

    /// The chain of a name, if it is there.
    pub fn find_chain(&mut self, name: &str) -> Option<&mut RawChain<'a>> {
        self.chains.get_mut(*self.chain_index.get(name)?)?.as_mut()
    }

    /// The set of a name, if it is there.
    pub fn find_set_mut(&mut self, name: &str) -> Option<&mut RawSet<'a>> {
        self.sets.get_mut(*self.set_index.get(name)?)?.as_mut()
    }

    /// `set NAME { … }`; the bracket comes next.
    pub fn add_set(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ReadError> {
        let (name, line) = cursor.name("the name of a set")?;
        if !self.set_index.contains_key(name) {
            self.set_index.insert(name, self.sets.len());
            self.sets.push(Some(RawSet::new(name, line)));
        }
        open(cursor)?;
        self.find_set_mut(name).map_or(Ok(()), |set| set.block(cursor, line))
    }

    /// `map NAME { … }`; the bracket comes next.
    pub fn add_map(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ReadError> {
        let (name, line) = cursor.name("the name of a map")?;
        open(cursor)?;
        self.maps.entry(name).or_insert_with(RawMap::new).block(cursor, line)
    }

    /// `chain NAME`, with or without a block.
    pub fn add_chain(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ReadError> {
        let (name, line) = cursor.name("the name of a chain")?;
        if !self.chain_index.contains_key(name) {
            self.chain_index.insert(name, self.chains.len());
            let (rules, policy) = (VecDeque::new(), Policy::Accept);
            self.chains.push(Some(RawChain { name, line, base: None, hooked: None, policy, rules }));
        }
        if !cursor.take("{")? {
            return Ok(());
        }
        let family = self.family;
        cursor.enter();
        self.find_chain(name).map_or(Ok(()), |chain| chain.block(cursor, family, line))?;
        cursor.leave();
        Ok(())
    }

    /// `helper NAME { … }` behind `ct`; other objects are passed over.
    pub fn add_tracking(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ReadError> {
        if !cursor.peek()?.is_word("helper") {
            return skip_object(cursor);
        }
        cursor.next()?;
        self.add_helper(cursor)
    }

    /// `NAME { … }` of a helper.
    pub fn add_helper(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ReadError> {
        let (name, line) = cursor.name("the name of a helper")?;
        let how = helper(cursor, line)?;
        let known = self.helpers.entry(name).or_insert(how);
        if *known != how {
            *known = Tracking::Expecting;
        }
        Ok(())
    }

    /// What stands between the brackets of a table; the opening one was taken.
    pub fn block(&mut self, cursor: &mut Cursor<'a>, line: u32) -> Result<(), ReadError> {
        loop {
            let token = cursor.next_on_any_line()?;
            match (token.kind, token.text) {
                (Kind::Symbol, "}") => return Ok(()),
                (Kind::Symbol, ";") => {}
                (Kind::End, _) => return Err(unclosed(line)),
                (Kind::Word, "chain") => self.add_chain(cursor)?,
                (Kind::Word, "set") => self.add_set(cursor)?,
                (Kind::Word, "map") => self.add_map(cursor)?,
                (Kind::Word, "flags") => {
                    // One flag on a line of its own takes nothing from those of another.
                    self.dormant |= cursor.statement()?.iter().any(|flag| flag.is_word("dormant"));
                }
                (Kind::Word, "comment") => {
                    cursor.statement()?;
                }
                (Kind::Word, "define" | "redefine") => cursor.define()?,
                (Kind::Word, "undefine") => cursor.undefine()?,
                (Kind::Word, "include") => {
                    let text = format!("include {}", join(&cursor.statement()?));
                    self.unknown.push(Unknown { line: token.line, text });
                }
                (Kind::Word, "ct") => self.add_tracking(cursor)?,
                // None of these decides on a packet by itself.
                (Kind::Word, "flowtable" | "counter" | "quota" | "limit" | "secmark" | "synproxy" | "tunnel") => {
                    skip_object(cursor)?;
                }
                _ => {
                    let message = format!("{} does not belong in a table", token.described());
                    return Err(ReadError::new(token.line, message));
                }
            }
        }
    }
}

/// `{ type "NAME" protocol PROTOCOL; l3proto FAMILY; }`: how such a helper tracks. What else it says, or says twice, is not known.
fn helper(cursor: &mut Cursor<'_>, line: u32) -> Result<Tracking, ReadError> {
    if !cursor.take("{")? {
        return Ok(Tracking::Expecting);
    }
    let mut words = Vec::new();
    loop {
        let token = cursor.next()?;
        match token.kind {
            Kind::End => return Err(unclosed(line)),
            Kind::Symbol if token.is("}") => break,
            Kind::Symbol if token.is("{") => {
                cursor.skip_block(line)?;
                words.push("{");
            }
            Kind::Word if cursor.variable_command(&token)? => {}
            Kind::Word | Kind::Quoted => words.push(token.text),
            Kind::Symbol if token.is(";") => {}
            Kind::Symbol => words.push("?"),
            Kind::Newline | Kind::Hidden => {}
        }
    }
    let protocol = |word: &str| match word {
        "udp" => Some(helpers::UDP),
        _ => names::number(word).and_then(|number| u8::try_from(number).ok()),
    };
    Ok(match words.as_slice() {
        ["type", kind, "protocol", of] | ["type", kind, "protocol", of, "l3proto", _] => {
            protocol(of).map_or(Tracking::Expecting, |of| helpers::tracking(kind, Some(of)))
        }
        _ => Tracking::Expecting,
    })
}

/// The sets that a rule may fill or empty: `add @NAME {`, `set add … @NAME`, `meter NAME`.
fn filled<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    let changes = |token: &Token<'_>| ["add", "update", "delete", "meter"].iter().any(|word| token.is_word(word));
    if !tokens.iter().any(changes) {
        return Vec::new();
    }
    let named = tokens.iter().filter_map(|token| token.text.strip_prefix('@'));
    let meters = tokens.windows(2).filter_map(|pair| match pair {
        [meter, name] if meter.is_word("meter") => name.name(),
        _ => None,
    });
    named.chain(meters).collect()
}

fn open(cursor: &mut Cursor<'_>) -> Result<(), ReadError> {
    let token = cursor.next()?;
    if token.is("{") {
        return Ok(());
    }
    Err(ReadError::new(token.line, format!("expected `{{`, found {}", token.described())))
}

/// Passes over an object that was named: some words and perhaps a block.
pub fn skip_object(cursor: &mut Cursor<'_>) -> Result<(), ReadError> {
    loop {
        let token = cursor.peek()?;
        if token.ends_statement() {
            return Ok(());
        }
        cursor.next()?;
        if token.is("{") {
            return cursor.skip_block(token.line);
        }
    }
}

impl<'a> RawChain<'a> {
    fn block(&mut self, cursor: &mut Cursor<'a>, family: RawFamily, line: u32) -> Result<(), ReadError> {
        loop {
            let token = cursor.peek()?;
            match (token.kind, token.text) {
                (Kind::End, _) => return Err(unclosed(line)),
                (Kind::Hidden, comment) if hides_rule(comment.as_bytes()) => self.rules.push_back(rule(cursor)?),
                (Kind::Newline | Kind::Hidden, _) | (Kind::Symbol, ";") => {
                    cursor.next()?;
                }
                (Kind::Symbol, "}") => {
                    cursor.next()?;
                    return Ok(());
                }
                (Kind::Word, "type") => self.hook(&cursor.statement()?, family)?,
                (Kind::Word, "policy") => self.policy = policy(&cursor.statement()?)?,
                (Kind::Word, "flags") => {
                    cursor.statement()?;
                }
                (Kind::Word, "define" | "redefine") => {
                    cursor.next()?;
                    cursor.define()?;
                }
                (Kind::Word, "undefine") => {
                    cursor.next()?;
                    cursor.undefine()?;
                }
                _ => {
                    let rule = rule(cursor)?;
                    // The chain's own remark ends its line; nft 1.1.7 begins rules of iptables with theirs.
                    if !matches!(rule.tokens.as_slice(), [word, _] if word.is_word("comment")) {
                        self.rules.push_back(rule);
                    }
                }
            }
        }
    }

    /// `type KIND hook HOOK [device DEVICE | devices = { … }] priority PRIORITY`.
    fn hook(&mut self, tokens: &[Token<'a>], family: RawFamily) -> Result<(), ReadError> {
        self.hooked = Some(join(tokens));
        let RawFamily::Known(_) = family else { return Ok(()) };
        let line = tokens.first().map_or(self.line, |token| token.line);
        let wrong = |what: &str| ReadError::new(line, format!("chain `{}` has no {what} that is known", self.name));
        let after = |word: &str| {
            let at = tokens.iter().position(|token| token.is_word(word))?;
            tokens.get(at + 1..)
        };
        let kind = match after("type").and_then(<[_]>::first).map(|token| token.text) {
            Some("filter") => ChainKind::Filter,
            Some("nat") => ChainKind::Nat,
            Some("route") => ChainKind::Route,
            _ => return Err(wrong("type")),
        };
        let hook = match after("hook").and_then(<[_]>::first).map(|token| token.text) {
            Some("ingress") => Hook::Ingress,
            Some("prerouting") => Hook::Prerouting,
            Some("input") => Hook::Input,
            Some("forward") => Hook::Forward,
            Some("output") => Hook::Output,
            Some("postrouting") => Hook::Postrouting,
            Some("egress") if family == RawFamily::Known(Family::Netdev) => Hook::Egress,
            _ => return Err(wrong("hook")),
        };
        let priority: Option<String> = after("priority").map(|tokens| tokens.iter().map(|token| token.text).collect());
        let priority = priority.and_then(|text| names::priority(&text)).ok_or_else(|| wrong("priority"))?;
        let devices = after("device").or_else(|| after("devices")).unwrap_or_default();
        let devices = devices.iter().take_while(|token| !token.is_word("priority")).filter_map(Token::name).collect();
        self.base = Some(RawBase { kind, hook, priority, devices });
        Ok(())
    }
}

fn policy(tokens: &[Token<'_>]) -> Result<Policy, ReadError> {
    match tokens {
        [_, policy] if policy.is_word("accept") => Ok(Policy::Accept),
        [_, policy] if policy.is_word("drop") => Ok(Policy::Drop),
        _ => {
            let line = tokens.first().map_or(1, |token| token.line);
            Err(ReadError::new(line, format!("`{}` is neither `policy accept` nor `policy drop`", join(tokens))))
        }
    }
}

/// The rule that comes next.
pub fn rule<'a>(cursor: &mut Cursor<'a>) -> Result<RawRule<'a>, ReadError> {
    let first = cursor.peek()?;
    let tokens = cursor.rule()?;
    let end = tokens.iter().rfind(|token| token.kind != Kind::Hidden).map_or(first.end, |token| token.end);
    Ok(RawRule { line: first.line, span: (first.start, end), tokens })
}
