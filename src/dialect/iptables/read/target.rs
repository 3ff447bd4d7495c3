//! The target of a rule: its name and options → verdict or log.

use std::ops::Range;

use super::rule::{Draft, Reading};
use super::values;
use super::words::Word;
use crate::ir::{Match, Rule, Verdict};

/// Targets that do something to the packet, or beside it, and let it go on to the next rule.
const ASIDE: [&str; 26] = [
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CONNMARK",
    "CONNSECMARK",
    "CT",
    "DSCP",
    "ECN",
    "HL",
    "HMARK",
    "IDLETIMER",
    "LED",
    "LOG",
    "MARK",
    "NFLOG",
    "NOTRACK",
    "RATEEST",
    "SECMARK",
    "SET",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TRACE",
    "TTL",
    "ULOG",
];

/// Where a packet goes, or what is done to it.
#[derive(Debug)]
pub(super) struct Target {
    pub goto: bool,
    /// The word with its name.
    pub name: usize,
    /// Options behind it that no match knows.
    pub options: Vec<Range<usize>>,
}

impl Draft<'_, '_> {
    /// What the target says.
    pub fn judge(&mut self, rule: &mut Rule, reading: &mut Reading, is_chain: impl Fn(&str) -> bool) {
        let Some(target) = self.target.take() else { return };
        let name = self.word(target.name).unwrap_or_default();
        let chain = is_chain(name);
        let mut text = self.written(target.name - 1..target.name + 1);
        let mut takes_options = false;
        rule.verdict = match name {
            "ACCEPT" if !target.goto => Some(Verdict::Accept),
            "DROP" if !target.goto => Some(Verdict::Drop),
            "RETURN" if !target.goto => Some(Verdict::Return),
            _ if chain && target.goto => Some(Verdict::Goto(values::name(name))),
            "REJECT" if !chain && !target.goto => Some(Verdict::Reset),
            name if ASIDE.contains(&name) && !chain && !target.goto => {
                takes_options = name != "LOG";
                None
            }
            // A chain that is called as a target of iptables is: who knows which of them is meant?
            _ if chain && name != "REJECT" && !ASIDE.contains(&name) => Some(Verdict::Jump(values::name(name))),
            _ => {
                takes_options = true;
                for words in &target.options {
                    text = format!("{text} {}", self.written(words.clone()));
                }
                reading.unknown.push(text.clone());
                Some(Verdict::Unknown(text))
            }
        };
        if name == "SET" {
            let sets = target.options.iter().filter_map(|words| self.word(words.start + 1));
            reading.changed_sets.extend(sets.map(values::name));
        }
        let log = name == "LOG" && rule.verdict.is_none();
        let reject = rule.verdict == Some(Verdict::Reset);
        for words in target.options.into_iter().filter(|_| !takes_options) {
            let option = self.word(words.start).unwrap_or_default();
            match option {
                "--log-prefix" if log => {
                    rule.log = Some(values::text(self.word(words.start + 1).unwrap_or_default()));
                }
                _ if log && option.starts_with("--log-") => {}
                "--reject-with" if reject => {}
                _ => {
                    let text = self.written(words);
                    self.unknown.push(Match::Unknown(text));
                }
            }
        }
        if log {
            rule.log.get_or_insert_default();
        }
    }
}

/// Whether a target has no options.
pub(super) fn is_decision(word: Option<&Word<'_>>) -> bool {
    word.is_some_and(|word| matches!(word.text.as_ref(), "ACCEPT" | "DROP" | "RETURN"))
}

/// Whether an option is for a target, wherever it stands.
pub(super) fn is_for_target(option: &str) -> bool {
    ["--log-", "--nflog-", "--reject-with", "--add-set", "--del-set", "--map-set"]
        .iter()
        .any(|start| option.starts_with(start))
}

/// Spellings of `-j` that getopt takes for it, and iptables then refuses or resolves: too dangerous to call unknown,
/// because an unknown match has no verdict.
pub(super) fn is_disguised_target(name: &str) -> bool {
    let stem = name.split('=').next().unwrap_or_default();
    let abbreviated = |full: &str| stem.len() > 2 && full.starts_with(stem);
    abbreviated("--jump") || abbreviated("--goto") || name.starts_with("-j") || name.starts_with("-g")
}
