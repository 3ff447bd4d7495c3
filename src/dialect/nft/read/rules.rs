//! The statements of a rule.
//!
//! Nothing gets lost: what is not understood becomes an unknown match where it can only be a test, else an unknown
//! verdict. Statements get the IR's names; what they do to a packet is not looked at here.

use super::draft::{Draft, Entry, Outcome, Part, is_tcp};
use super::expressions;
use super::grammar;
use super::lexer::{Kind, Token};
use super::nat;
use super::printable;
use super::selectors::{Alternatives, TCP, protocol};
use super::tables::{RawFamily, RawTable};
use super::varying::{varies, varying};
use super::words::Words;
use crate::ir::ours;
use crate::ir::{Counted, Destined, Diversion, Family, Match, Reject, Statement, Translation, Varying, Verdict};

/// What reads one rule.
pub struct RuleReader<'r, 'a> {
    /// The table that it stands in.
    pub table: &'r RawTable<'a>,
    /// Its words.
    pub words: Words<'r, 'a>,
    /// What was read of it.
    pub draft: Draft,
    /// Where its verdict stands.
    decided_at: Option<usize>,
    /// The sets in which it counts by sender.
    counted_in: Vec<String>,
}

/// Reads a rule.
pub fn read<'a>(table: &RawTable<'a>, tokens: &[Token<'a>]) -> Draft {
    let draft = Draft { parts: Vec::new(), statements: Vec::new(), outcome: Outcome::One(None), comment: None };
    let words = Words::new(tokens);
    let mut reader = RuleReader { table, words, draft, decided_at: None, counted_in: Vec::new() };
    // A verdict may be in such a word, as in `8098accept`; names of chains that iptables made begin with digits, too.
    let named = |at: usize| {
        at.checked_sub(1)
            .and_then(|at| tokens.get(at))
            .is_some_and(|before| before.is_word("jump") || before.is_word("goto"))
    };
    if tokens.iter().enumerate().any(|(at, token)| token.is_glued() && !named(at)) {
        reader.unknown_verdict(0);
    }
    while let Some(token) = reader.words.peek() {
        reader.statement(token);
    }
    // That the rule hangs on it is said where it stands.
    for set in std::mem::take(&mut reader.counted_in) {
        reader.does(Statement::Update { set });
    }
    reader.judge_inequalities();
    reader.doubt_next_header();
    reader.judge_families();
    reader.doubt_protocol();
    if has_hole(tokens) {
        reader.unknown_test("a test that nft did not print".to_owned(), Vec::new());
    }
    reader.draft
}

/// Whether a listing (nobody writes down what a counter has counted) has two blanks in the place of a test. nft 0.9.8 and
/// 1.0.6 print nothing for `-m frag` and `-m rt` without options.
fn has_hole(tokens: &[Token<'_>]) -> bool {
    let counted = tokens.windows(2).any(|pair| matches!(pair, [a, b] if a.is_word("counter") && b.is_word("packets")));
    counted && tokens.iter().any(|token| token.hole)
}

impl<'a> RuleReader<'_, 'a> {
    /// Reads one statement, and takes at least one token.
    fn statement(&mut self, token: &Token<'a>) {
        let start = self.words.at;
        self.words.at += 1;
        if token.is_word("comment") {
            self.draft.comment = self.words.next().map(|text| printable(text.text.chars()));
            return;
        }
        if let Some(decided_at) = self.decided_at {
            // nft takes nothing behind a verdict, and hides nothing there.
            if token.kind != Kind::Hidden {
                // Behind a map it does, and whoever is not in the map has left the rule.
                if matches!(self.draft.outcome, Outcome::Map(_)) {
                    self.header(decided_at);
                }
                self.unknown_verdict(decided_at);
            }
            return;
        }
        if token.kind != Kind::Word {
            return self.unknown_verdict(start);
        }
        match token.text {
            "accept" => self.decide(start, Some(Verdict::Accept)),
            "drop" => self.decide(start, Some(Verdict::Drop)),
            "return" => self.decide(start, Some(Verdict::Return)),
            "continue" => self.decide(start, None),
            "jump" | "goto" => match self.words.next().and_then(Token::name) {
                Some(chain) if token.text == "jump" => self.decide(start, Some(Verdict::Jump(chain.to_owned()))),
                Some(chain) => self.decide(start, Some(Verdict::Goto(chain.to_owned()))),
                None => self.unknown_verdict(start),
            },
            "reject" => self.reject(start),
            "snat" | "dnat" | "masquerade" | "redirect" if nat::translates(self, start) => {}
            "xt" if self.words.take_word("target") => self.unknown_verdict(start),
            "meter" if self.table.may_be_of_iptables() && self.counts_by_sender(start) => {}
            "limit" => self.limit(start),
            "quota" => self.test(start),
            _ => match self.named(token.text) {
                Some(statement) => self.does(statement),
                // A test, or something that is not understood.
                None => self.test(start),
            },
        }
    }

    /// So nft prints `-m hashlimit`, which drops what there is no room for; a meter of nft's own leaves the rule then.
    fn counts_by_sender(&mut self, start: usize) -> bool {
        let Some((set, _)) = grammar::meter(&mut self.words) else { return false };
        let text = self.words.text_since(start);
        self.known_test(vec![vec![Match::varies(Varying::RateOfEach, &text)]], text);
        // Of its key nothing is asked: what a packet lacks of it is counted as zero.
        self.counted_in.push(set.to_owned());
        true
    }

    pub fn does(&mut self, statement: Statement) {
        self.draft.statements.push((self.draft.parts.len(), statement));
    }

    /// The statement of this name, which was taken; nothing more is taken if it is none that is understood.
    fn named(&mut self, name: &str) -> Option<Statement> {
        let start = self.words.at;
        let found = match name {
            "counter" => Some(Statement::Counter(self.counter())),
            "log" => Some(Statement::Log(self.log())),
            "last" => self.last(),
            "notrack" => Some(Statement::NoTrack),
            "add" | "update" | "delete" => {
                let found = grammar::set_statement(&mut self.words);
                found.map(|(set, key)| {
                    self.key(key);
                    Statement::Update { set: set.to_owned() }
                })
            }
            "meter" => {
                let found = grammar::meter(&mut self.words);
                found.map(|(set, key)| {
                    self.key(key);
                    Statement::Update { set: set.to_owned() }
                })
            }
            "dup" if self.copies() => Some(Statement::Copy),
            "flow" if self.offloads() => Some(Statement::Divert(Diversion::FlowOffload)),
            name => return self.last_statement(name),
        };
        if found.is_none() {
            self.words.at = start;
        }
        found
    }

    /// What has to be there for a key of a set: nft asks for each header.
    fn key(&mut self, key: &[Token<'a>]) {
        let words = Words::new(key);
        let begins = |at: usize| at == 0 || words.word(at - 1) == ".";
        let implied: Vec<Match> =
            (0..key.len()).filter(|&at| begins(at)).flat_map(|at| expressions::implied(&words, at)).collect();
        if !implied.is_empty() {
            self.known_test(vec![implied], String::new());
        }
    }

    /// Statements behind which nothing counts: of these all that follows is part.
    fn last_statement(&mut self, name: &str) -> Option<Statement> {
        let statement = match name {
            "snat" => Statement::Translate(Translation::Source, Destined::Unknown),
            "masquerade" => Statement::Translate(Translation::Masquerade, Destined::Unknown),
            "dnat" => Statement::Translate(Translation::Destination, Destined::Unknown),
            "redirect" => Statement::Translate(Translation::Redirect, Destined::Unknown),
            "queue" => Statement::Divert(Diversion::Queue),
            "synproxy" => Statement::Divert(Diversion::Synproxy),
            "tproxy" => Statement::Divert(Diversion::TransparentProxy),
            "fwd" => Statement::Divert(Diversion::Device),
            _ => return None,
        };
        let start = self.words.at;
        self.words.skip_to_comment();
        // nft takes nothing behind it.
        let more = self.words.since(start).iter().any(|token| grammar::decides(token));
        if more {
            self.words.at = start;
            return None;
        }
        // What a map does not hold leaves the rule.
        if self.words.since(start).iter().any(|token| token.is_word("map")) {
            self.unknown_test(self.words.text_since(start), Vec::new());
        }
        self.decided_at = start.checked_sub(1);
        Some(statement)
    }

    /// `to ADDRESS [device NAME]`.
    fn copies(&mut self) -> bool {
        let value = |words: &mut Words<'_, 'a>| {
            words.next().is_some_and(|token| matches!(token.kind, Kind::Word | Kind::Quoted))
        };
        let to = self.words.take_word("to") && value(&mut self.words);
        to && (!self.words.take_word("device") || value(&mut self.words)) && self.words.value_ends()
    }

    /// `add @NAME` or `offload @NAME`.
    fn offloads(&mut self) -> bool {
        let verb = self.words.take_word("add") || self.words.take_word("offload");
        verb && self.words.next().is_some_and(|token| token.kind == Kind::Word && token.text.starts_with('@'))
    }

    /// `[used never | used TIME [ago]]`.
    fn last(&mut self) -> Option<Statement> {
        if self.words.take_word("used") {
            self.words.next().filter(|token| token.kind == Kind::Word)?;
            self.words.take_word("ago");
        }
        Some(Statement::Note)
    }

    /// In a table of IPv6 alone nft (0.9.8 to 1.1.7) lists `ip6 nexthdr tcp tcp dport 22` as `tcp dport 22`, which says more: TCP
    /// behind extension headers is TCP, too. Who wrote `meta l4proto` wrote it.
    fn doubt_next_header(&mut self) {
        let said = |part: &Part| part.text.starts_with("meta l4proto") || part.text.starts_with("l4proto");
        if self.table.family != RawFamily::Known(Family::Ip6) || self.draft.parts.iter().any(said) {
            return;
        }
        let by_map = match &self.draft.outcome {
            Outcome::Map(entries) => entries.iter().flat_map(|entry| &entry.alternatives).flatten().any(is_tcp),
            Outcome::One(_) => false,
        };
        if by_map || self.draft.parts.iter().any(Part::implies_tcp) {
            self.known_test(vec![vec![Match::PerhapsDirectlyTcp]], String::new());
        }
    }

    /// nft 0.9.8 lists `meta l4proto udp @th,0,32 & 0xfffe == 0x1fa2` as `@th,0,32 & 65534 == 8098`, which no segment of TCP
    /// is to escape; newer ones keep the protocol, and print such numbers with an `0x`. Our own table has no such tests.
    fn doubt_protocol(&mut self) {
        let ours = self.table.name == ours::TABLE && self.table.family == RawFamily::Known(Family::Inet);
        if ours || self.draft.parts.iter().any(Part::names_protocol) {
            return;
        }
        for part in self.draft.parts.iter_mut().filter(|part| part.is_old_mask()) {
            let text = part.text.clone();
            part.alternatives.iter_mut().for_each(|all| all.push(Match::Unknown(text.clone())));
        }
    }

    /// nft up to 1.0.6 joins neighbouring `!=` tests of a header into one comparison, so that "and" becomes "or", and lists
    /// them apart all the same; newer ones do not.
    fn judge_inequalities(&mut self) {
        for header in ["link", "network", "transport"] {
            let unequal = |part: &Part| part.unequal_header() == Some(header);
            if self.draft.parts.iter().filter(|part| unequal(part)).count() < 2 {
                continue;
            }
            for part in self.draft.parts.iter_mut().filter(|part| unequal(part)) {
                part.alternatives = vec![vec![Match::Unknown(part.text.clone())]];
            }
        }
    }

    /// nft takes no test of a header that no packet of the table has, but lists one: `-m ecn` of ip6tables as `ip ecn`.
    fn judge_families(&mut self) {
        let RawFamily::Known(own @ (Family::Ip | Family::Ip6)) = self.table.family else { return };
        let foreign =
            |one: &&mut Match| matches!(one, Match::Family(other @ (Family::Ip | Family::Ip6)) if *other != own);
        for part in &mut self.draft.parts {
            for one in part.alternatives.iter_mut().flatten().filter(foreign) {
                *one = Match::Unknown(part.text.clone());
            }
        }
    }

    /// Sets the verdict, which began at `start`.
    fn decide(&mut self, start: usize, verdict: Option<Verdict>) {
        self.decided_at = Some(start);
        self.draft.outcome = Outcome::One(verdict);
    }

    /// Everything from `start` on may decide, and is not understood.
    pub fn unknown_verdict(&mut self, start: usize) {
        self.words.skip_to_comment();
        self.decide(start, Some(Verdict::Unknown(self.words.text_since(start))));
    }

    /// Sets the verdict to what a map says; the statement began at `start`.
    pub fn decide_by_map(&mut self, start: usize, entries: Vec<Entry>) {
        self.decided_at = Some(start);
        self.draft.outcome = Outcome::Map(entries);
    }

    /// Ends the rule with a statement that began at `start`, and behind which nothing counts.
    pub fn end_with(&mut self, start: usize, statement: Statement) {
        self.does(statement);
        self.decided_at = Some(start);
    }

    /// Adds a test.
    pub fn known_test(&mut self, alternatives: Alternatives, text: String) {
        self.draft.parts.push(Part { alternatives, text });
    }

    /// Adds a test that is not understood, and what has to hold for it.
    pub fn unknown_test(&mut self, text: String, mut implied: Vec<Match>) {
        implied.push(Match::Unknown(text.clone()));
        self.draft.parts.push(Part { alternatives: vec![implied], text });
    }

    /// `[with tcp reset | with icmp … | with icmpv6 … | with icmpx …]`. nft puts the test that the notice makes sense at
    /// the beginning of the rule, unless another one says it already, and lists it or not.
    fn reject(&mut self, start: usize) {
        self.decide(start, Some(Verdict::Reject(Reject::Icmp)));
        if !self.words.take_word("with") {
            return;
        }
        if self.words.word(self.words.at) == "tcp" {
            // nft lists neither `meta nfproto ipv4` nor what says the same where it stands right before this (seen with 1.0.6): the rule may be
            // for one family alone.
            let both = matches!(self.table.family, RawFamily::Known(Family::Inet | Family::Netdev));
            let names_family = self.draft.parts.iter().any(Part::implies_family);
            if both && !names_family && self.draft.statements.is_empty() {
                let text = "`reject with tcp reset`, of which nft may have left out the family".to_owned();
                self.draft.parts.push(Part { alternatives: vec![vec![Match::Unknown(text.clone())]], text });
            }
            self.decide(start, Some(Verdict::Reject(Reject::TcpReset)));
        }
        let test = match (self.words.word(self.words.at), self.table.family) {
            ("tcp", _) if !self.draft.parts.iter().any(Part::implies_tcp) => protocol(TCP, false),
            ("icmp" | "icmpv6", _) if self.draft.parts.iter().any(Part::implies_family) => {
                return self.words.skip_to_comment();
            }
            ("icmp", RawFamily::Known(Family::Inet | Family::Netdev)) => Match::Family(Family::Ip),
            ("icmpv6", RawFamily::Known(Family::Inet | Family::Netdev)) => Match::Family(Family::Ip6),
            _ => return self.words.skip_to_comment(),
        };
        self.words.skip_to_comment();
        let text = self.words.text_since(start);
        // A listing does not say whether it stood in front of a statement or behind, so the statement is done in any case.
        let mut done = self.draft.statements.iter().filter(|(_, one)| !one.effect().is_none());
        let at = done.next_back().map_or(0, |(behind, _)| *behind);
        self.draft.parts.insert(at, Part { alternatives: vec![vec![test]], text });
        self.draft.statements.iter_mut().filter(|(behind, _)| *behind > at).for_each(|(behind, _)| *behind += 1);
    }

    /// `[packets N bytes N]` or `name NAME`.
    fn counter(&mut self) -> Option<Counted> {
        let (mut packets, mut bytes) = (None, None);
        loop {
            let value = self.words.word(self.words.at + 1).parse().ok();
            match self.words.word(self.words.at) {
                "packets" => packets = value,
                "bytes" => bytes = value,
                "name" => {}
                _ => break,
            }
            self.words.at += 2;
        }
        if self.words.peek().is_some_and(|token| token.kind == Kind::Quoted) {
            self.words.at += 1;
        }
        packets.zip(bytes).map(|(packets, bytes)| Counted { packets, bytes })
    }

    /// `[prefix TEXT] [level LEVEL] [group N] [snaplen N] [queue-threshold N] [flags …]`.
    fn log(&mut self) -> String {
        let mut prefix = String::new();
        loop {
            match self.words.word(self.words.at) {
                "prefix" => {
                    self.words.at += 1;
                    prefix = self.words.next().map(|text| printable(text.text.chars())).unwrap_or_default();
                }
                "level" | "group" | "snaplen" | "queue-threshold" => self.words.at += 2,
                "flags" => {
                    self.words.at += 1;
                    let what = self.words.next().map_or("", |token| token.text);
                    self.words.at += usize::from(matches!(what, "tcp" | "ip"));
                    while self.words.take(",") {
                        self.words.at += 1;
                    }
                }
                _ => break,
            }
        }
        prefix
    }

    /// `rate [until] N/UNIT [burst N packets]`.
    fn limit(&mut self, start: usize) {
        match expressions::limit(&mut self.words) {
            Some(test) => self.known_test(vec![vec![test]], self.words.text_since(start)),
            None => self.test(start),
        }
    }

    fn test(&mut self, start: usize) {
        // `xt match set` names a match.
        if let Some(set_at) = self.words.assignment(start).filter(|_| self.words.word(start) != "xt") {
            return self.assignment(start, set_at);
        }
        self.words.at = start;
        if expressions::test(self, start).is_some() {
            return;
        }
        let implied = expressions::implied(&self.words, start);
        self.words.at = start;
        if grammar::test(&mut self.words) {
            let text = self.words.text_since(start);
            return match varying(&self.words, start) {
                Some(on) => {
                    let test = varies(on, &text);
                    self.known_test(vec![with(implied, test)], text);
                }
                None => self.unknown_test(text, implied),
            };
        }
        // Where it ends is not known, and so neither is what the rule decides.
        if !implied.is_empty() {
            self.known_test(vec![implied], String::new());
        }
        self.unknown_verdict(start);
    }
}

fn with(mut tests: Vec<Match>, one: Match) -> Vec<Match> {
    tests.push(one);
    tests
}
