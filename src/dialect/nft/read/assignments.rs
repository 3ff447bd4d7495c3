//! What a rule writes: `WHAT set VALUE`.

use super::expressions;
use super::grammar;
use super::lexer::{Kind, Token};
use super::names;
use super::rules::RuleReader;
use super::selectors::{TCP, protocol};
use crate::ir::{Field, Marking, Statement, Tracking};

impl RuleReader<'_, '_> {
    /// `WHAT set VALUE`.
    pub fn assignment(&mut self, start: usize, set_at: usize) {
        let (first, second) = (self.words.word(start), self.words.word(start + 1));
        let what = match (first, second) {
            ("meta", "mark") | ("mark", _) => Field::Mark(Marking::Unknown),
            ("meta", "priority") | ("priority", _) => Field::Priority,
            ("meta", "nftrace") | ("nftrace", _) => Field::Trace,
            ("meta", "secmark") => Field::SecurityMark,
            ("ct", "mark" | "label" | "secmark" | "event") => Field::Connection,
            ("ct", "helper" | "timeout" | "expectation" | "zone" | "original" | "reply") => {
                return self.track(start, set_at, second);
            }
            // Of others some are part of the protocol: a wrong timestamp ends a connection.
            ("tcp", "option") if self.words.word(start + 2) == "maxseg" => Field::TcpOption,
            ("ip" | "ip6", "dscp" | "ecn" | "flowlabel") => Field::Header,
            // Not `meta pkttype`: TCP takes only what is for this host.
            _ => Field::Other(self.words.text_since_until(start, set_at + 1)),
        };
        self.words.at = set_at + 1;
        if !grammar::assigned(&mut self.words) || !self.words.value_ends() {
            return self.unknown_verdict(start);
        }
        // nft asks for the header before it writes into it.
        self.header(start);
        let of_packet = matches!(what, Field::Header | Field::TcpOption | Field::Other(_));
        let constant = !of_packet && is_constant(self.words.since(set_at + 1));
        let what = match (what, self.words.since(set_at + 1)) {
            (Field::Mark(_), [value]) => {
                Field::Mark(names::number(value.text).map_or(Marking::Unknown, |own| Marking::exchanged(u32::MAX, own)))
            }
            (what, _) => what,
        };
        self.does(Statement::Write { field: what, constant });
    }

    /// Tests that nft puts in front of what begins at `start`: that its header is there.
    pub fn header(&mut self, start: usize) {
        let implied = match self.words.word(start) {
            "tcp" => vec![protocol(TCP, false)],
            _ => expressions::implied(&self.words, start),
        };
        if !implied.is_empty() {
            self.known_test(vec![implied], String::new());
        }
    }

    /// `ct helper set "ftp-standard"`, `ct original zone set 1`.
    fn track(&mut self, start: usize, set_at: usize, what: &str) {
        self.words.at = set_at + 1;
        if !grammar::assigned(&mut self.words) || !self.words.value_ends() {
            return self.unknown_verdict(start);
        }
        let helper = match self.words.since(set_at + 1) {
            [name] => name.name().and_then(|name| self.table.helpers.get(name)).copied(),
            _ => None,
        };
        let how = match what {
            // What is not in the table is in no place that was read.
            "helper" => helper.unwrap_or(Tracking::Expecting),
            "expectation" => Tracking::Expecting,
            // With one of no time it may be in no table by its next packet.
            _ => Tracking::Zone,
        };
        self.does(Statement::Track(how));
    }
}

/// Whether a value can be had of every packet. A connection's mark cannot: there may be no connection.
fn is_constant(value: &[Token<'_>]) -> bool {
    let constant = |token: &Token<'_>| match token.kind {
        Kind::Word => {
            token.text.starts_with(|first: char| first.is_ascii_digit())
                || matches!(token.text, "meta" | "mark" | "priority" | "and" | "or" | "xor")
        }
        Kind::Quoted => true,
        Kind::Symbol => !token.is("{"),
        Kind::Newline | Kind::Hidden | Kind::End => false,
    };
    value.len() == 1 || value.iter().all(constant)
}
