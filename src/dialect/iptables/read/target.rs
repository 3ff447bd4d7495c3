//! The target of a rule: its name and options → verdict or log.

use std::ops::Range;

use super::rule::{Draft, Reading};
use super::values;
use super::words::Word;
use crate::dialect::helpers;
use crate::dialect::xtables::target;
use crate::ir::{Destined, Family, Field, Marking, Match, Reject, Rule, Statement, Tracking, Translation, Verdict};

/// Whether iptables has a target of this name that is known here.
fn is_target(name: &str) -> bool {
    matches!(name, "CONNMARK" | "CT" | "SET") || target(name).is_some()
}

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
        let options: Vec<&[Word<'_>]> =
            target.options.iter().map(|words| self.words.get(words.clone()).unwrap_or_default()).collect();
        let aside = (!chain && !target.goto).then(|| statements(name, &options)).flatten();
        let mut takes_options = false;
        rule.verdict = match (name, aside) {
            ("ACCEPT", _) if !target.goto => Some(Verdict::Accept),
            ("DROP", _) if !target.goto => Some(Verdict::Drop),
            ("RETURN", _) if !target.goto => Some(Verdict::Return),
            _ if chain && target.goto => Some(Verdict::Goto(values::name(name))),
            ("REJECT", _) if !chain && !target.goto => Some(Verdict::Reject(reject(&options))),
            (_, Some(statements)) => {
                takes_options = name != "LOG";
                rule.statements.extend(statements);
                None
            }
            // A chain that is called as a target of iptables is: who knows which of them is meant?
            _ if chain && name != "REJECT" && !is_target(name) => Some(Verdict::Jump(values::name(name))),
            _ => {
                takes_options = true;
                let mut text = self.written(target.name - 1..target.name + 1);
                for words in &target.options {
                    text = format!("{text} {}", self.written(words.clone()));
                }
                reading.unknown.push(text.clone());
                Some(Verdict::Unknown(text))
            }
        };
        let log = name == "LOG" && rule.verdict.is_none();
        let reject = matches!(rule.verdict, Some(Verdict::Reject(_)));
        for words in target.options.into_iter().filter(|_| !takes_options) {
            let option = self.word(words.start).unwrap_or_default();
            match option {
                "--log-prefix" if log => {
                    let prefix = values::text(self.word(words.start + 1).unwrap_or_default());
                    rule.statements.retain(|one| !matches!(one, Statement::Log(_)));
                    rule.statements.push(Statement::Log(prefix));
                }
                _ if log && option.starts_with("--log-") => {}
                "--reject-with" if reject => {}
                _ => {
                    let text = self.written(words);
                    self.unknown.push(Match::Unknown(text));
                }
            }
        }
    }
}

/// What a target with these options does.
fn statements(name: &str, options: &[&[Word<'_>]]) -> Option<Vec<Statement>> {
    let named = |words: &[Word<'_>]| words.first().map(|word| word.text.to_string()).unwrap_or_default();
    let names: Vec<String> = options.iter().map(|words| named(words)).collect();
    match name {
        "CT" if names.iter().any(|name| name == "--notrack") => Some(vec![Statement::NoTrack]),
        "CT" => track(options),
        "DNAT" | "SNAT" | "REDIRECT" | "MASQUERADE" | "NETMAP" => {
            let kind = match target(name) {
                Some(Statement::Translate(kind, _)) => kind,
                _ => return None,
            };
            Some(vec![Statement::Translate(kind, destined(kind, options))])
        }
        "SET" => {
            let mapped = names.iter().any(|name| name == "--map-set");
            // What the set has of the packet's mark may be given to it.
            let write = mapped.then_some(Statement::Write { field: Field::Mark(Marking::Unknown), constant: false });
            Some(options.iter().filter_map(|words| changed_set(words)).chain(write).collect())
        }
        // It gives the connection's mark to the packet, or sets the connection's.
        "CONNMARK" => {
            let restores = names.iter().any(|name| name == "--restore-mark");
            let field = if restores { Field::Mark(Marking::Unknown) } else { Field::Connection };
            Some(vec![Statement::Write { field, constant: true }])
        }
        "MARK" => {
            let field = Field::Mark(marking(options).unwrap_or(Marking::Unknown));
            Some(vec![Statement::Write { field, constant: true }])
        }
        name => target(name).map(|one| vec![one]),
    }
}

/// What `-j CT` does to the tracking of a connection (libxt_CT.c): a zone does not keep it from having a helper, too. With timeouts of its
/// own, which may be none at all, it may be found as little as in another zone.
fn track(options: &[&[Word<'_>]]) -> Option<Vec<Statement>> {
    let mut zone = false;
    let mut how = Tracking::Detail;
    for words in options {
        match words {
            [name, helper] if name.text == "--helper" => how = helpers::tracking(&helper.text, None),
            [name, ..] if matches!(name.text.as_ref(), "--ctevents" | "--expevents") => {}
            [name, ..] if name.text.starts_with("--zone") || name.text == "--timeout" => zone = true,
            _ => return None,
        }
    }
    Some(helpers::tracked(how, zone))
}

/// What `-j MARK` makes of the mark (libxt_MARK.c).
fn marking(options: &[&[Word<'_>]]) -> Option<Marking> {
    let [[name, value]] = options else { return None };
    let masked = value.text.contains('/');
    let (value, mask) = values::mark(&value.text)?;
    match name.text.as_ref() {
        "--set-xmark" => Some(Marking::exchanged(mask, value)),
        "--set-mark" => Some(Marking::exchanged(mask | value, value)),
        "--or-mark" if !masked => Some(Marking::exchanged(value, value)),
        "--and-mark" if !masked => Some(Marking::exchanged(!value, 0)),
        "--xor-mark" if !masked => Some(Marking::exchanged(0, value)),
        _ => None,
    }
}

/// Where a translation leads to: anywhere, if it is said in a way that is not known.
fn destined(kind: Translation, options: &[&[Word<'_>]]) -> Destined {
    let mut found = None;
    for option in options {
        let name = option.first().map_or("", |word| word.text.as_ref());
        match (name, *option) {
            ("--random" | "--random-fully" | "--persistent", [_]) => {}
            ("--to-destination" | "--to-source" | "--to-ports" | "--to-port" | "--to", [_, value])
                if found.is_none() =>
            {
                found = Some(values_of(kind, name, &value.text));
            }
            _ => return Destined::Unknown,
        }
    }
    match (kind, found) {
        (_, Some(Some((addresses, ports)))) => Destined::To { addresses, ports },
        (Translation::Redirect | Translation::Masquerade, None) => Destined::To { addresses: None, ports: None },
        (_, Some(None) | None) => Destined::Unknown,
    }
}

fn values_of(kind: Translation, name: &str, text: &str) -> Option<values::Ends> {
    match (kind, name) {
        (Translation::Destination, "--to-destination") | (Translation::Source, "--to-source") => values::target(text),
        (Translation::Redirect | Translation::Masquerade, "--to-ports" | "--to-port") => {
            Some((None, Some(values::port_span(text)?)))
        }
        (Translation::Network, "--to") => {
            let family = if text.contains(':') { Family::Ip6 } else { Family::Ip };
            let network = values::network(text, family)?;
            Some((Some((network.first(), network.last())), None))
        }
        _ => None,
    }
}

/// What `--add-set NAME`, `--del-set NAME` or `--map-set NAME` changes.
fn changed_set(option: &[Word<'_>]) -> Option<Statement> {
    let [name, set, ..] = option else { return None };
    match name.text.as_ref() {
        // Looking into a set moves its counters and timeouts, by which others may look.
        "--add-set" | "--del-set" | "--map-set" => Some(Statement::Update { set: values::name(&set.text) }),
        _ => None,
    }
}

/// How `REJECT` with these options answers.
fn reject(options: &[&[Word<'_>]]) -> Reject {
    let reset = options
        .iter()
        .any(|words| matches!(words, [_, how, ..] if matches!(how.text.as_ref(), "tcp-reset" | "tcp-rst")));
    if reset { Reject::TcpReset } else { Reject::Icmp }
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
    abbreviated("--jump") || abbreviated("--goto")
}
