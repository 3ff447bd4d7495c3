//! A rule of the kernel → a rule of the IR.
//!
//! INVARIANT (loads): a load may end the rule, where a packet has not what is to be loaded. So a load is either followed by
//! a test that implies it, or it is itself an unknown test.

use super::super::constants::*;
use super::super::expression::Expression;
use super::super::table::Rule;
use super::Sets;
use super::matches::{ASKING, FRAGMENT, TCP};
use super::statements::{self, Expressed, Fields};
use super::values::{Decided, Values};
use crate::ir::{self, Addresses, Counted, Elements, Family, Field, Match, Reject, Statement, Verdict};

/// What a register holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Meta(u32),
    Header {
        base: u32,
        offset: u32,
        length: u32,
    },
    FragmentOffset,
    DestinationType {
        of_interface: bool,
    },
    ConnectionState,
    Connection(u32),
    Masked(Box<Value>, Vec<u8>),
    /// Something that an expression of this name loaded.
    Loaded(String),
    /// Known to every rule: a number that the rule itself brings.
    Constant,
    /// Another value, of whose bits these may have been changed.
    Modified(Box<Value>, Vec<u8>),
    Unknown(String),
}

impl Value {
    /// Whether there are packets that have no such thing, and leave the rule where it is loaded.
    pub(super) fn may_be_missing(&self) -> bool {
        match self {
            Self::Meta(NFT_META_IIF | NFT_META_IIFNAME | NFT_META_NFPROTO | NFT_META_MARK | NFT_META_PRIORITY) => false,
            Self::Meta(_) | Self::Header { .. } | Self::FragmentOffset => true,
            Self::Masked(value, _) | Self::Modified(value, _) => value.may_be_missing(),
            // Without a connection there is none of these.
            Self::Connection(_) | Self::Loaded(_) => true,
            // Loading the unknown counts as a test of its own.
            Self::DestinationType { .. } | Self::ConnectionState | Self::Constant | Self::Unknown(_) => false,
        }
    }
}

/// A test of a value.
#[derive(Clone, Debug)]
pub enum Test<'a> {
    Compare(u32, &'a [u8]),
    Range(bool, &'a [u8], &'a [u8]),
    Lookup(bool, &'a str),
}

/// No value is longer; what stands behind a shorter one is taken for gone.
const LONGEST_VALUE: u32 = 16;

/// Bytes that hold a value.
struct Register {
    first: u32,
    length: u32,
    value: Value,
    /// Whether a known test has followed.
    tested: bool,
}

/// A rule that is followed.
pub struct Program<'a> {
    pub(super) sets: &'a Sets<'a>,
    registers: Vec<Register>,
    /// What the tests so far say about every packet that passes them.
    pub(super) ip: Option<Family>,
    pub(super) tcp: bool,
    rule: ir::Rule,
    /// The statements, each behind so many of the tests.
    done: Vec<(usize, Statement)>,
    /// Whether a statement was met behind which nothing counts.
    ended: bool,
    /// What a map decides, each by one more test.
    decisions: Option<Vec<(Match, Option<Verdict>)>>,
}

impl<'a> Program<'a> {
    pub fn new(family: Family, sets: &'a Sets<'a>) -> Self {
        let ip = Some(family).filter(|family| *family != Family::Inet);
        Self {
            sets,
            registers: Vec::new(),
            ip,
            tcp: false,
            rule: ir::Rule::default(),
            done: Vec::new(),
            ended: false,
            decisions: None,
        }
    }

    /// The rules that the program stands for: several where a statement that means something to packets stands in front of
    /// a test.
    pub fn lift(mut self, rule: &Rule, program: &[Expression]) -> Vec<ir::Rule> {
        let mut rest = program;
        while let [one, behind @ ..] = rest {
            // Two comparisons of one value that mean one test of a range.
            let pair = match behind {
                [next, behind @ ..] => self.bounds(one, next).map(|test| (test, behind)),
                [] => None,
            };
            if let Some((one, behind)) = pair {
                self.push(one);
                rest = behind;
                continue;
            }
            rest = behind;
            self.step(one);
            if self.rule.verdict.is_some() || self.ended {
                // What is behind a verdict is never reached; behind one that is unknown it may be, and is no condition of it.
                break;
            }
        }
        self.forget(0, u32::MAX);
        self.rule.comment = rule.comment().map(|text| fit(&text));
        self.split()
    }

    /// See [`crate::ir::statement`].
    fn split(mut self) -> Vec<ir::Rule> {
        let mut rules = Vec::new();
        let mut tests = std::mem::take(&mut self.rule.matches);
        let mut done = std::mem::take(&mut self.done);
        let mut at = 0;
        while let Some((behind, statement)) = done.get(at) {
            let (behind, effect) = (*behind, statement.effect());
            if behind >= tests.len() || effect.is_none() {
                at += 1;
                continue;
            }
            let (_, statement) = done.remove(at);
            if effect.may_leave {
                tests.insert(behind, Match::Unknown(statement.name().to_owned()));
                done.iter_mut().filter(|(other, _)| *other > behind).for_each(|(other, _)| *other += 1);
            }
            let matches = tests.get(..behind).unwrap_or_default().to_vec();
            rules.push(ir::Rule { matches, statements: vec![statement], verdict: None, ..self.rule.clone() });
        }
        let statements = done.into_iter().map(|(_, statement)| statement).collect();
        let whole = ir::Rule { matches: tests, statements, ..self.rule.clone() };
        match self.decisions.take() {
            None => rules.push(whole),
            Some(decisions) => rules.extend(decisions.into_iter().map(|(test, verdict)| {
                let mut rule = ir::Rule { verdict, ..whole.clone() };
                rule.matches.push(test);
                rule
            })),
        }
        rules.iter_mut().for_each(|rule| self.elide(rule));
        rules
    }

    /// Leaves out tests that others imply, as every text does.
    fn elide(&self, rule: &mut ir::Rule) {
        let of_family = |one: &Match| match one {
            Match::Source { addresses, .. } | Match::Destination { addresses, .. } => {
                let elements = match addresses {
                    Addresses::These(elements) => elements.clone(),
                    Addresses::Set(name) => {
                        self.sets.get(name.as_str()).map_or(Elements::Unknown, |set| set.1.family())
                    }
                };
                match elements {
                    Elements::Ipv4(_) => Some(Family::Ip),
                    Elements::Ipv6(_) => Some(Family::Ip6),
                    Elements::Ports(_) | Elements::Unknown => None,
                }
            }
            Match::NotDirectlyTcp | Match::FirstFragment => Some(Family::Ip6),
            _ => None,
        };
        let families: Vec<Family> = rule.matches.iter().filter_map(of_family).collect();
        let implies_tcp = |one: &Match| matches!(one, Match::DestinationPort { .. } | Match::TcpFlags { .. });
        let tcp = rule.matches.iter().any(implies_tcp);
        rule.matches.retain(|one| match one {
            Match::Protocol { number: TCP, negated: false } => !tcp,
            Match::Family(family) => !families.contains(family),
            _ => true,
        });
    }

    fn push(&mut self, one: Match) {
        // The kernel has to be told what a test on a header rests on; here the test implies it.
        match &one {
            Match::Protocol { number: TCP, negated: false } => self.tcp = true,
            Match::Family(family) => self.ip = Some(*family),
            _ => {}
        }
        self.rule.matches.push(one);
    }

    fn step(&mut self, one: &Expression) {
        match one {
            Expression::Meta { key, register } => {
                let length = match *key {
                    NFT_META_IIF | NFT_META_NFPROTO | NFT_META_L4PROTO => 4,
                    // Names, and others of at most their length.
                    _ => 16,
                };
                self.load(*register, length, Value::Meta(*key));
            }
            Expression::Payload { base, offset, length, register } => {
                self.load(*register, *length, Value::Header { base: *base, offset: *offset, length: *length });
            }
            Expression::ExtensionHeader { header: FRAGMENT, offset: 2, length: 2, register } => {
                self.load(*register, 2, Value::FragmentOffset);
            }
            Expression::ExtensionHeader { header, offset, length, register } => {
                let text = format!("exthdr {header} {offset} {length}");
                self.unknown(text.clone());
                self.load(*register, *length, Value::Unknown(text));
            }
            Expression::DestinationType { of_interface, register } => {
                self.load(*register, 4, Value::DestinationType { of_interface: *of_interface });
            }
            Expression::Connection { key, register } => {
                let length = match *key {
                    NFT_CT_DIRECTION => 1,
                    NFT_CT_PROTO_DST => 2,
                    _ => 4,
                };
                self.load(*register, length, Value::Connection(*key));
            }
            Expression::ConnectionState { register } => self.load(*register, 4, Value::ConnectionState),
            Expression::Mask { register, mask } => {
                let length = mask.len() as u32;
                let value = self.value(*register, length);
                // A test of the masked value tests this one.
                self.tested(*register);
                self.load(*register, length, Value::Masked(Box::new(value), mask.clone()));
            }
            Expression::Compare { register, operator, data } => {
                self.test(*register, data.len() as u32, &Test::Compare(*operator, data));
            }
            Expression::Range { register, negated, from, to } => {
                self.test(*register, from.len() as u32, &Test::Range(*negated, from, to));
            }
            Expression::Lookup { register, set, negated } => {
                let length = self.sets.get(set.as_str()).map_or(0, |(set, _)| set.key_length);
                self.test(*register, length, &Test::Lookup(*negated, set));
            }
            Expression::Limit { rate, unit, burst } => {
                let per_minute = u32::try_from(*rate).ok().filter(|_| *unit == 60);
                match per_minute {
                    Some(per_minute) => self.push(Match::Limit { per_minute, burst: *burst }),
                    None => self.unknown(format!("limit {rate} each {unit} s")),
                }
            }
            Expression::Counter { packets, bytes } => {
                self.does(Statement::Counter(Some(Counted { packets: *packets, bytes: *bytes })));
            }
            Expression::Log { prefix } => self.does(Statement::Log(fit(prefix))),
            Expression::Reset => self.rule.verdict = Some(Verdict::Reject(Reject::TcpReset)),
            Expression::Verdict { code, chain } => self.rule.verdict = Some(verdict(*code, chain.as_deref())),
            Expression::Other { name, data } => self.other(name, data),
        }
    }

    /// What is not known may test, may change registers, may change the packet, and may decide.
    fn other(&mut self, name: &str, data: &[u8]) {
        let fields = Fields(data);
        if name == "immediate"
            && let Some(register) = fields.number(NFTA_IMMEDIATE_DREG)
        {
            return self.load(register, fields.length(NFTA_IMMEDIATE_DATA), Value::Constant);
        }
        if name == "bitwise"
            && let Some(()) = self.modify(&fields)
        {
            return;
        }
        if name == "lookup" && self.decide_by_map(&fields).is_some() {
            return;
        }
        match statements::of(name, &fields, self.ip, |register, length| self.value(register, length)) {
            Expressed::Does(statement) => {
                if let Some(source) = fields.source(name) {
                    // That it may be missing is said by the statement.
                    self.tested(source);
                }
                // What is not TCP leaves the rule there (nft_exthdr_tcp_set_eval).
                if matches!(statement, Statement::Write { field: Field::TcpOption, .. }) && !self.tcp {
                    self.push(Match::Protocol { number: TCP, negated: false });
                }
                self.ended = statement.is_last();
                self.does(statement);
            }
            Expressed::Rejects(how) => self.rule.verdict = Some(Verdict::Reject(how)),
            Expressed::Tests => self.unknown(name.to_owned()),
            Expressed::Loads(to) => {
                if let Some(from) = fields.looked_up(name) {
                    self.tested(from);
                }
                self.load(to, LONGEST_VALUE, Value::Loaded(name.to_owned()));
            }
            Expressed::Unclear => {
                self.registers.clear();
                self.unknown(name.to_owned());
            }
            Expressed::Decides(text) => self.rule.verdict = Some(Verdict::Unknown(text.to_owned())),
        }
    }

    /// What a map of verdicts says of each of its keys; `None` where that is not all known. Whoever has none of them leaves the
    /// rule.
    fn decide_by_map(&mut self, fields: &Fields<'_>) -> Option<()> {
        let (register, name) = fields.verdict_map()?;
        let (set, values) = self.sets.get(name.as_str())?;
        if matches!(values, Values::Filled) {
            return None;
        }
        let value = self.value(register, set.key_length);
        let verdicts = set.verdicts().ok()??;
        let one = |(key, (code, chain)): &Decided<'_>| {
            let test = self.known(&value, &Test::Compare(NFT_CMP_EQ, key))?;
            let verdict = match verdict(*code, chain.as_deref()) {
                Verdict::Unknown(_) if *code == NFT_CONTINUE => None,
                Verdict::Unknown(_) => return None,
                known => Some(known),
            };
            Some((test, verdict))
        };
        let decisions = verdicts.iter().map(one).collect::<Option<Vec<_>>>()?;
        self.tested(register);
        self.decisions = Some(decisions);
        self.ended = true;
        Some(())
    }

    /// Some bits of a register are kept, the others set to anything; `None` where that is not what the expression does.
    fn modify(&mut self, fields: &Fields<'_>) -> Option<()> {
        let (from, to) = (fields.number(NFTA_BITWISE_SREG)?, fields.number(NFTA_BITWISE_DREG)?);
        let length = fields.number(NFTA_BITWISE_LEN)?;
        let value = self.value(from, length);
        let changed = match (fields.value(NFTA_BITWISE_MASK), fields.value(NFTA_BITWISE_XOR)) {
            (Some(mask), Some(xor)) if fields.number(NFTA_BITWISE_OP).unwrap_or(0) == 0 => {
                mask.iter().zip(xor).map(|(mask, xor)| !mask | xor).collect()
            }
            _ => vec![u8::MAX; length.min(64) as usize],
        };
        self.tested(from);
        self.load(to, length, Value::Modified(Box::new(value), changed));
        Some(())
    }

    fn does(&mut self, statement: Statement) {
        self.done.push((self.rule.matches.len(), statement));
    }

    /// Whether the test before asked for packets that go the way that their connection was asked for; takes it back, because
    /// the IR has one word for that and for a translated destination.
    fn is_asking(&mut self) -> bool {
        let found = self.rule.matches.last() == Some(&Match::Unknown(ASKING.to_owned()));
        if found {
            self.rule.matches.pop();
        }
        found
    }

    fn unknown(&mut self, text: String) {
        self.rule.matches.push(Match::Unknown(text));
    }

    fn load(&mut self, register: u32, length: u32, value: Value) {
        let first = first_byte(register);
        self.forget(first, length);
        self.registers.push(Register { first, length, value, tested: false });
    }

    /// What some bytes held is gone.
    fn forget(&mut self, first: u32, length: u32) {
        let (gone, kept) = std::mem::take(&mut self.registers).into_iter().partition(|own: &Register| {
            own.first < first.saturating_add(length) && first < own.first.saturating_add(own.length)
        });
        self.registers = kept;
        let gone: Vec<Register> = gone;
        for own in gone.iter().filter(|own| !own.tested && own.value.may_be_missing()) {
            self.unknown(format!("{} is there", own.value));
        }
    }

    /// A test that implies what the register holds.
    fn tested(&mut self, register: u32) {
        let first = first_byte(register);
        self.registers.iter_mut().filter(|own| own.first == first).for_each(|own| own.tested = true);
    }

    fn value(&self, register: u32, length: u32) -> Value {
        let first = first_byte(register);
        // What is no header comes with a length of its own, which its tests check: a number of one byte is loaded into
        // four, and compared as one.
        let fits = |own: &&Register| {
            own.first == first && (own.length == length || length == 0 || matches!(own.value, Value::Meta(_)))
        };
        let held = self.registers.iter().find(fits);
        held.map_or_else(|| Value::Unknown(format!("register {register}")), |own| own.value.clone())
    }

    /// A range of ports or addresses that is tested with its two ends, one after the other.
    fn bounds(&mut self, one: &Expression, next: &Expression) -> Option<Match> {
        let (
            Expression::Compare { register, operator: NFT_CMP_GTE, data: from },
            Expression::Compare { register: second, operator: NFT_CMP_LTE, data: to },
        ) = (one, next)
        else {
            return None;
        };
        if register != second {
            return None;
        }
        let value = self.value(*register, from.len() as u32);
        let known = self.known(&value, &Test::Range(false, from, to))?;
        self.tested(*register);
        Some(known)
    }

    fn test(&mut self, register: u32, length: u32, test: &Test<'_>) {
        let value = self.value(register, length);
        match self.known(&value, test) {
            Some(Match::DestinationTranslated) if !self.is_asking() => {
                self.tested(register);
                self.unknown(format!("{value} {test}"));
            }
            Some(one) => {
                self.tested(register);
                self.push(one);
            }
            None => {
                // Whoever lacks it leaves the rule, too; one doubt is enough.
                self.tested(register);
                self.unknown(format!("{value} {test}"));
            }
        }
    }
}

/// A text of the kernel's as the IR allows it: see its INVARIANT (text).
fn fit(text: &str) -> String {
    let printable = |c: char| if c.is_control() || "\"\\".contains(c) { '?' } else { c };
    let mut fit: String = text.chars().map(printable).collect();
    while fit.len() > ir::LONGEST_COMMENT {
        fit.pop();
    }
    fit
}

/// Registers 1 to 4 have 16 bytes, those from 8 on are the same in pieces of 4 (linux/netfilter/nf_tables.h).
fn first_byte(register: u32) -> u32 {
    match register {
        1..=4 => (register - 1) * 16,
        // Far more than there are, and no number that is too large.
        8.. => (register - 8).min(1 << 16) * 4,
        _ => u32::MAX / 2,
    }
}

fn verdict(code: i32, chain: Option<&str>) -> Verdict {
    match (code, chain) {
        (NF_ACCEPT, _) => Verdict::Accept,
        (NF_DROP, _) => Verdict::Drop,
        (NFT_RETURN, _) => Verdict::Return,
        (NFT_JUMP, Some(chain)) => Verdict::Jump(chain.to_owned()),
        (NFT_GOTO, Some(chain)) => Verdict::Goto(chain.to_owned()),
        // NFT_CONTINUE goes on.
        (other, _) => Verdict::Unknown(format!("verdict {other}")),
    }
}
