//! A rule of the kernel → a rule of the IR.
//!
//! INVARIANT (loads): a load may end the rule, where a packet has not what is to be loaded. So a load is either followed by
//! a test that implies it, or it is itself an unknown test.

use super::super::attributes::{find, u32_of};
use super::super::constants::*;
use super::super::expression::Expression;
use super::super::table::Rule;
use super::Sets;
use super::matches::{ASKING, FRAGMENT, TCP};
use crate::ir::{self, Addresses, Elements, Family, Match, Verdict};

/// What a register holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Meta(u32),
    Header { base: u32, offset: u32, length: u32 },
    FragmentOffset,
    DestinationType { of_interface: bool },
    ConnectionState,
    Connection(u32),
    Masked(Box<Value>, Vec<u8>),
    Unknown(String),
}

impl Value {
    /// Whether there are packets that have no such thing, and leave the rule where it is loaded.
    fn may_be_missing(&self) -> bool {
        match self {
            Self::Meta(NFT_META_IIF | NFT_META_IIFNAME | NFT_META_NFPROTO) => false,
            Self::Meta(_) | Self::Header { .. } | Self::FragmentOffset => true,
            Self::Masked(value, _) => value.may_be_missing(),
            // Loading the unknown counts as a test of its own.
            // Without a connection there is none of these.
            Self::Connection(_) => true,
            Self::DestinationType { .. } | Self::ConnectionState | Self::Unknown(_) => false,
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
}

impl<'a> Program<'a> {
    pub fn new(family: Family, sets: &'a Sets<'a>) -> Self {
        let ip = Some(family).filter(|family| *family != Family::Inet);
        Self { sets, registers: Vec::new(), ip, tcp: false, rule: ir::Rule::default() }
    }

    pub fn lift(mut self, rule: &Rule, program: &[Expression]) -> ir::Rule {
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
            if self.rule.verdict.is_some() {
                // What is behind a verdict is never reached; behind one that is unknown it may be, and is no condition of it.
                break;
            }
        }
        self.forget(0, u32::MAX);
        self.rule.comment = rule.comment().map(|text| fit(&text));
        self.elide();
        self.rule
    }

    /// Leaves out tests that others imply, as every text does.
    fn elide(&mut self) {
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
        let families: Vec<Family> = self.rule.matches.iter().filter_map(of_family).collect();
        let implies_tcp = |one: &Match| matches!(one, Match::DestinationPort { .. } | Match::TcpFlags { .. });
        let tcp = self.rule.matches.iter().any(implies_tcp);
        self.rule.matches.retain(|one| match one {
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
            Expression::Counter { .. } => self.rule.counter = true,
            Expression::Log { prefix } => self.rule.log = Some(fit(prefix)),
            Expression::Reset => self.rule.verdict = Some(Verdict::Reset),
            Expression::Verdict { code, chain } => self.rule.verdict = Some(verdict(*code, chain.as_deref())),
            Expression::Other { name, data } => self.other(name, data),
        }
    }

    /// What is not known may test, may change registers, may change the packet, and may decide.
    fn other(&mut self, name: &str, data: &[u8]) {
        let number = |kind| find(data, kind).ok().flatten().and_then(|value| u32_of(value).ok());
        // What has a place to write to, and none to read from, leaves the packet alone.
        let reads = |source| number(NFTA_META_DREG).is_some() && number(source).is_none();
        let effect = match name {
            "meta" if !reads(NFTA_META_SREG) => Effect::Decides("meta set"),
            "payload" if !reads(NFTA_PAYLOAD_SREG) => Effect::Decides("payload set"),
            "exthdr" if !reads(NFTA_EXTHDR_SREG) => Effect::Decides("exthdr set"),
            "ct" if !reads(NFTA_CT_SREG) => Effect::Decides("ct set"),
            "lookup" => match number(NFTA_LOOKUP_DREG) {
                None => Effect::Tests,
                Some(NFT_REG_VERDICT) => Effect::Decides("vmap"),
                Some(_) => Effect::Loads,
            },
            "meta" | "payload" | "exthdr" | "ct" | "fib" | "bitwise" | "byteorder" | "hash" | "numgen" | "osf"
            | "rt" | "socket" | "xfrm" | "tunnel" | "immediate" => Effect::Loads,
            "cmp" | "range" | "limit" | "quota" | "connlimit" | "match" => Effect::Tests,
            // Other objects than counters test, or do something to the packet.
            "objref" if number(NFTA_OBJREF_IMM_TYPE) == Some(NFT_OBJECT_COUNTER) => Effect::None,
            "log" | "last" => Effect::None,
            // Whatever the notice, the packet is gone.
            "reject" => return self.rule.verdict = Some(Verdict::Reset),
            "nat" => Effect::Decides("dnat or snat"),
            "masq" => Effect::Decides("masquerade"),
            "redir" => Effect::Decides("redirect"),
            other => Effect::Decides(other),
        };
        match effect {
            Effect::None => {}
            Effect::Tests => self.unknown(name.to_owned()),
            Effect::Loads => {
                self.registers.clear();
                self.unknown(name.to_owned());
            }
            Effect::Decides(text) => self.rule.verdict = Some(Verdict::Unknown(text.to_owned())),
        }
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

/// What an expression does that has no form of its own.
enum Effect<'a> {
    None,
    /// May leave the rule.
    Tests,
    /// May leave the rule, and changes registers.
    Loads,
    /// May do anything.
    Decides(&'a str),
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
