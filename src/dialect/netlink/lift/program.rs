//! A rule of the kernel → a rule of the IR.
//!
//! INVARIANT (loads): a load may end the rule, where a packet has not what is to be loaded. So a load is either followed by
//! a test that implies it, or it is itself an unknown test.

use std::fmt::Write as _;

use super::super::constants::*;
use super::super::expression::Expression;
use super::super::names::Names;
use super::super::table::{Helper, Rule};
use super::finish::{Alternatives, Decided};
use super::matches::{FRAGMENT, TCP};
use super::show::raw;
use super::statements::{self, Expressed, Fields};
use super::value::{LONGEST_VALUE, Register, Test, Value};
use super::{Sets, compat};
use crate::dialect::helpers;
use crate::ir::{self, Counted, Family, Foreign, Match, Reject, Statement, Varying, Verdict};

/// A rule that is followed.
pub struct Program<'a> {
    pub(super) sets: &'a Sets<'a>,
    /// Names for numbers.
    pub(super) names: Option<&'a Names>,
    /// The table's helpers of connection tracking.
    helpers: &'a [Helper],
    /// Whether this is the guard's own table, which calls the loopback interface by its number alone.
    pub(super) strict: bool,
    /// Whether it is met at devices, where no packet is known by its family.
    pub(super) at_devices: bool,
    pub(super) registers: Vec<Register>,
    /// What the tests so far say about every packet that passes them.
    pub(super) ip: Option<Family>,
    pub(super) tcp: bool,
    pub(super) rule: ir::Rule,
    pub(super) tests: Vec<Alternatives>,
    /// The statements, each behind so many of the tests.
    pub(super) done: Vec<(usize, Statement)>,
    /// Whether there is more behind what is looked at.
    pub(super) goes_on: bool,
    /// Whether a statement was met behind which nothing counts.
    pub(super) ended: bool,
    /// What a map decides, each by more tests.
    pub(super) decisions: Option<Vec<Decided>>,
}

impl<'a> Program<'a> {
    pub fn new(family: Family, sets: &'a Sets<'a>) -> Self {
        let at_devices = family == Family::Netdev;
        let ip = Some(family).filter(|family| !family.has_both());
        Self {
            sets,
            names: None,
            helpers: &[],
            strict: false,
            at_devices,
            registers: Vec::new(),
            ip,
            tcp: false,
            rule: ir::Rule::default(),
            tests: Vec::new(),
            done: Vec::new(),
            goes_on: false,
            ended: false,
            decisions: None,
        }
    }

    /// The same with names for numbers.
    pub fn named(self, names: &'a Names) -> Self {
        Self { names: Some(names), ..self }
    }

    /// The same in a table with these helpers.
    pub fn helped(self, helpers: &'a [Helper]) -> Self {
        Self { helpers, ..self }
    }

    /// The same for the guard's own table.
    pub fn strictly(self, strict: bool) -> Self {
        Self { strict, ..self }
    }

    /// The rules that the program stands for: several where a statement that means something to packets stands in front of
    /// a test.
    pub fn lift(mut self, rule: &Rule, program: &[Expression]) -> Vec<ir::Rule> {
        let mut rest = program;
        while let [one, behind @ ..] = rest {
            // Two comparisons of one value that mean one test of a range.
            let pair = match behind {
                [next, behind @ ..] => self.bounds(one, next).map(|tests| (tests, behind)),
                [] => None,
            };
            if let Some((tests, behind)) = pair {
                self.push_any(tests);
                rest = behind;
                continue;
            }
            rest = behind;
            self.goes_on = !rest.is_empty();
            self.step(one);
            if self.rule.verdict.is_some() || self.ended {
                // What is behind a verdict is never reached; behind one that is unknown it may be, and is no condition of it.
                break;
            }
        }
        self.forget(0, u32::MAX);
        if let Some(text) = rule.comment() {
            self.rule.comment = Some(fit(&text));
        }
        self.split()
    }

    pub(super) fn push(&mut self, one: Match) {
        // The kernel has to be told what a test on a header rests on; here the test implies it.
        self.learn(&one);
        self.tests.push(vec![vec![one]]);
    }

    /// What a test that holds says of a packet.
    pub(super) fn learn(&mut self, one: &Match) {
        match one {
            Match::Protocol { number: TCP, negated: false } => self.tcp = true,
            Match::Family(family) => self.ip = Some(*family),
            _ => {}
        }
    }

    /// A test that holds where one of the alternatives does.
    pub(super) fn push_any(&mut self, tests: Alternatives) {
        match tests.as_slice() {
            [all] => {
                for one in all.clone() {
                    self.push(one);
                }
            }
            _ => self.tests.push(tests),
        }
    }

    fn step(&mut self, one: &Expression) {
        match one {
            Expression::Meta { key, register } => {
                let length = match *key {
                    NFT_META_IIF | NFT_META_OIF | NFT_META_NFPROTO | NFT_META_L4PROTO | NFT_META_MARK
                    | NFT_META_PROTOCOL | NFT_META_PKTTYPE | NFT_META_IIFGROUP | NFT_META_OIFGROUP => 4,
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
                match *header {
                    // Hop-by-hop options, routing, destination options, mobility (IANA).
                    0 | 43 | 60 | 135 => self.push(Match::Foreign(Foreign::ExtensionHeader(text.clone()))),
                    _ => self.unknown(text.clone()),
                }
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
                self.look_up(*register, set, *negated);
            }
            Expression::Limit { rate, unit, burst } => match per_minute(*rate, *unit) {
                Some(per_minute) => self.push(Match::Limit { per_minute, burst: *burst }),
                None => {
                    let text = format!("limit rate {rate} each {unit} seconds, burst {burst}");
                    self.push(Match::varies(Varying::Rate, &text));
                }
            },
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
        let understood = match name {
            "immediate" => self.immediate(&fields),
            "bitwise" => self.modify(&fields),
            "byteorder" => self.in_order(&fields),
            "lookup" => self.decide_by_map(&fields).or_else(|| self.load_from_map(&fields)),
            "fib" => self.way_back(&fields).or_else(|| self.source_type(&fields)),
            "ct" => self.connection_mark(&fields).or_else(|| self.noted(&fields)),
            "exthdr" => self.header_is_there(&fields),
            "nat" | "redir" | "masq" => self.translate(name, &fields),
            "objref" => self.helper(&fields),
            "match" => compat::test(self, &fields),
            "target" => compat::target(self, &fields),
            _ => None,
        };
        if understood.is_some() {
            return;
        }
        match statements::of(name, &fields, self.ip, |register, length| self.value(register, length)) {
            Expressed::Does(statement) => {
                if let Some(source) = fields.source(name) {
                    // That it may be missing is said by the statement.
                    self.tested(source);
                }
                // What is not TCP leaves the rule there (nft_exthdr_tcp_set_eval).
                if name == "exthdr" && matches!(statement, Statement::Write { .. }) && !self.tcp {
                    self.push(Match::Protocol { number: TCP, negated: false });
                }
                self.ended = statement.is_last();
                if self.ended {
                    self.doubt_loads();
                }
                self.does(statement);
            }
            Expressed::Rejects(how) => self.rule.verdict = Some(Verdict::Reject(how)),
            Expressed::Tests(Some(on)) => {
                // How much of a quota is used counts by itself.
                let counted = (name == "quota").then_some(NFTA_QUOTA_CONSUMED);
                self.push(Match::varies(on, &format!("{name}{}", raw(data, counted))));
            }
            Expressed::Tests(None) => self.unknown(name.to_owned()),
            Expressed::Loads(to) => {
                if let Some(from) = fields.looked_up(name) {
                    self.tested(from);
                }
                let mut how = raw(data, None);
                if let Some((from, length)) = fields.hashed(name) {
                    let made_of = self.parts(from, length).unwrap_or_default();
                    // Writing to a String cannot fail.
                    made_of.iter().for_each(|part| _ = write!(how, " of {}{}", part.value, part.value.how()));
                    // What it is made of is there, or the number is not.
                    self.tested_all(from, length);
                }
                // It may write as far as registers go.
                self.forget(first_byte(to), u32::MAX);
                self.load(to, LONGEST_VALUE, Value::Loaded { by: name.to_owned(), how });
            }
            Expressed::Unclear => {
                self.registers.clear();
                self.unknown(name.to_owned());
            }
            Expressed::Decides(text) => self.rule.verdict = Some(Verdict::Unknown(text.to_owned())),
        }
    }

    /// Hands the connection to a helper that is known: one of the table, by its name.
    fn helper(&mut self, fields: &Fields<'_>) -> Option<()> {
        fields.number(NFTA_OBJREF_IMM_TYPE).filter(|kind| *kind == NFT_OBJECT_CT_HELPER)?;
        let name = fields.text(NFTA_OBJREF_IMM_NAME)?;
        let helper = self.helpers.iter().find(|helper| helper.name == name)?;
        // For which protocol it is has to be said: there is none for all.
        let how = helpers::tracking(&helper.kind, Some(helper.protocol?));
        self.does(Statement::Track(how));
        Some(())
    }

    /// Whoever lacks what was loaded before has left the rule before a statement that means something; and what was loaded before it may be
    /// another by the time that it is tested.
    pub(super) fn does(&mut self, statement: Statement) {
        let means_something = !statement.effect().is_none();
        if means_something {
            self.doubt_loads();
        }
        self.done.push((self.tests.len(), statement));
        if means_something {
            for own in self.registers.iter_mut().filter(|own| !matches!(own.value, Value::Constant(_))) {
                own.value = Value::Unknown(format!("{} before that", own.value));
            }
        }
    }

    /// Whether the test before asked for packets that go the way that their connection was asked for; takes it back, because
    /// the IR has one word for that and for a translated destination.
    fn is_asking(&mut self) -> bool {
        let asking = Match::Foreign(Foreign::Direction { reply: false });
        let found = self.tests.last().is_some_and(|last| *last == [[asking]]);
        if found {
            self.tests.pop();
        }
        found
    }

    pub(super) fn unknown(&mut self, text: String) {
        self.push(Match::Unknown(text));
    }

    pub(super) fn load(&mut self, register: u32, length: u32, value: Value) {
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

    /// Whoever lacks what a register holds has left the rule before what comes now.
    pub(super) fn doubt_loads(&mut self) {
        let mut texts = Vec::new();
        for own in self.registers.iter_mut().filter(|own| !own.tested && own.value.may_be_missing()) {
            own.tested = true;
            texts.push(format!("{} is there", own.value));
        }
        texts.into_iter().for_each(|text| self.unknown(text));
    }

    /// A test that implies what the register holds.
    pub(super) fn tested(&mut self, register: u32) {
        self.tested_at(first_byte(register));
    }

    pub(super) fn tested_at(&mut self, first: u32) {
        self.registers.iter_mut().filter(|own| own.first == first).for_each(|own| own.tested = true);
    }

    pub(super) fn value(&self, register: u32, length: u32) -> Value {
        let first = first_byte(register);
        // What is no header comes with a length of its own, which its tests check: a number of one byte is loaded into
        // four, and compared as one.
        let fits =
            |own: &&Register| own.first == first && (own.length == length || length == 0 || own.value.is_number());
        let held = self.registers.iter().find(fits);
        held.map_or_else(|| Value::Unknown(format!("register {register}")), |own| own.value.clone())
    }

    /// A range of ports or addresses that is tested with its two ends, one after the other.
    fn bounds(&mut self, one: &Expression, next: &Expression) -> Option<Alternatives> {
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
        let known = self.alternatives(&value, &Test::Range(false, from, to))?;
        self.tested(*register);
        Some(known)
    }

    fn test(&mut self, register: u32, length: u32, test: &Test<'_>) {
        let value = self.value(register, length);
        let found = self.alternatives(&value, test);
        // Whoever lacks the value leaves the rule, too; one doubt is enough.
        self.tested(register);
        match found {
            Some(found) if found == [[TRANSLATED]] && self.is_asking() => self.push(Match::DestinationTranslated),
            Some(found) => self.push_any(found),
            None => self.not_said(&value, test),
        }
    }

    /// A test without a word of its own.
    fn not_said(&mut self, value: &Value, test: &Test<'_>) {
        let Some(on) = value.varying() else { return self.unknown(format!("{value} {test}")) };
        let own = format!("{value}{} {test}", value.how());
        // What nft asks for by itself before it looks into such a header.
        if let Some([all]) = self.tests.last_mut().map(Vec::as_mut_slice)
            && let [Match::Foreign(Foreign::Varies { on: before, text })] = all.as_mut_slice()
            && *before == on
        {
            // Writing to a String cannot fail.
            _ = write!(text, ", {own}");
            return;
        }
        self.push(Match::varies(on, &own));
    }

    /// `value in set`.
    fn look_up(&mut self, register: u32, set: &str, negated: bool) {
        let length = self.sets.get(set).map_or(0, |(set, _)| set.key_length);
        let test = Test::Lookup(negated, set);
        let value = self.value(register, length);
        let known = self.known(&value, &test).map(|one| vec![vec![one]]);
        let fields = self.parts(register, length);
        let found = known.or_else(|| self.in_set(fields.as_deref()?, set, negated));
        self.tested_all(register, length);
        match found {
            Some(found) => self.push_any(found),
            None => self.not_said(&value, &test),
        }
    }
}

/// The destination of the packet's connection was translated.
const TRANSLATED: Match = Match::Foreign(Foreign::Translated { end: ir::End::Destination, negated: false });

/// A text of the kernel's as the IR allows it: see its INVARIANT (text).
pub(super) fn fit(text: &str) -> String {
    let printable = |c: char| if c.is_control() || "\"\\".contains(c) { '?' } else { c };
    let mut fit: String = text.chars().map(printable).collect();
    while fit.len() > ir::LONGEST_COMMENT {
        fit.pop();
    }
    fit
}

/// Packets a minute, where nothing is left over.
fn per_minute(rate: u64, unit: u64) -> Option<u32> {
    let count = match unit {
        1 => rate.checked_mul(60)?,
        60 => rate,
        // Hours, days and weeks.
        3600 | 86_400 | 604_800 => Some(rate / (unit / 60)).filter(|count| count * (unit / 60) == rate)?,
        _ => return None,
    };
    u32::try_from(count).ok()
}

/// Registers 1 to 4 have 16 bytes, those from 8 on are the same in pieces of 4 (linux/netfilter/nf_tables.h).
pub(super) fn first_byte(register: u32) -> u32 {
    match register {
        1..=4 => (register - 1) * 16,
        // Far more than there are, and no number that is too large.
        8.. => (register - 8).min(1 << 16) * 4,
        _ => u32::MAX / 2,
    }
}

pub(super) fn verdict(code: i32, chain: Option<&str>) -> Verdict {
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
