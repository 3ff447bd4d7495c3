//! `$(key)` in values of riak.conf.
//!
//! As cuttlefish does it: the first `$(`, up to the next `)`, names a key, with blanks around it or not; its value is
//! substituted itself and put in, and the result is looked at again. A `$(` without `)` stands for itself. There is no
//! recursion, since a chain of references may be as long as the file, and a bound on the work, since values of values may
//! double with each line.

use rustc_hash::FxHashMap;

use super::Entry;
use crate::diagnostic::{Code, Diagnostic, Findings};

/// How many bytes all substitutions of a file may move. A real file moves a few hundred.
const MOST_WORK: usize = 64 << 20;
/// How many keys of a circle are shown.
const SHOWN: usize = 8;

#[derive(Clone)]
enum State {
    Open,
    /// Something that it refers to is being looked at.
    Busy,
    Known(String),
    /// A finding has said why.
    Unknown,
}

pub(super) fn substitute(entries: &mut [Entry], findings: &mut Findings) {
    if !entries.iter().any(|entry| entry.value.contains("$(")) {
        return;
    }
    let mut run = Run::new(entries);
    for index in 0..entries.len() {
        run.resolve(index, findings);
    }
    let states = run.states;
    for (entry, state) in entries.iter_mut().zip(states) {
        match state {
            State::Known(value) => entry.value = value,
            State::Open | State::Busy | State::Unknown => entry.unknown = true,
        }
    }
}

struct Run<'a> {
    entries: &'a [Entry],
    keys: FxHashMap<&'a [String], usize>,
    states: Vec<State>,
    /// What is being looked at, each because of the one before it, with its value so far.
    stack: Vec<(usize, String)>,
    work: usize,
}

/// What came of one look at the value on top of the stack.
enum Step {
    Done,
    /// It refers to a key that was not looked at yet.
    Needs(usize),
    PutIn,
    Failed,
}

impl<'a> Run<'a> {
    fn new(entries: &'a [Entry]) -> Self {
        let keys = entries.iter().enumerate().map(|(index, entry)| (entry.key.as_slice(), index)).collect();
        Self { entries, keys, states: vec![State::Open; entries.len()], stack: Vec::new(), work: 0 }
    }

    fn set(&mut self, index: usize, state: State) {
        if let Some(place) = self.states.get_mut(index) {
            *place = state;
        }
    }

    fn begin(&mut self, index: usize) {
        let Some(entry) = self.entries.get(index) else { return };
        self.set(index, State::Busy);
        self.stack.push((index, entry.value.clone()));
    }

    fn resolve(&mut self, index: usize, findings: &mut Findings) {
        if matches!(self.states.get(index), Some(State::Open)) {
            self.begin(index);
        }
        while let Some((index, mut value)) = self.stack.pop() {
            match self.step(index, &mut value, findings) {
                Step::Done => self.set(index, State::Known(value)),
                Step::Failed => self.set(index, State::Unknown),
                Step::PutIn => self.stack.push((index, value)),
                Step::Needs(next) => {
                    self.stack.push((index, value));
                    self.begin(next);
                }
            }
        }
    }

    fn step(&mut self, index: usize, value: &mut String, findings: &mut Findings) -> Step {
        let Some(entry) = self.entries.get(index) else { return Step::Failed };
        if let Some(path) = file_value(&entry.value) {
            findings.push(not_read(entry, path));
            return Step::Failed;
        }
        let Some((start, end, name)) = first(value) else { return Step::Done };
        let Some(&next) = self.keys.get(tokens(name).as_slice()) else {
            findings.push(unknown_name(entry, name));
            return Step::Failed;
        };
        match self.states.get(next) {
            Some(State::Open) => Step::Needs(next),
            Some(State::Known(known)) => {
                self.work += value.len() + known.len();
                if self.work > MOST_WORK {
                    findings.push(too_large(entry));
                    return Step::Failed;
                }
                value.replace_range(start..end, known);
                Step::PutIn
            }
            Some(State::Busy) => {
                findings.push(self.circle(entry, next));
                Step::Failed
            }
            Some(State::Unknown) | None => Step::Failed,
        }
    }

    /// `entry` refers to `next`, which is being looked at because of it.
    fn circle(&self, entry: &Entry, next: usize) -> Diagnostic {
        let message = format!("the value of `{}` refers to itself, and the program refuses it", written(&entry.key));
        let finding = Diagnostic::new(Code::RiakConfSyntax, entry.value_span, message)
            .help("write a value in place of one of the `$(…)`");
        let from = self.stack.iter().position(|&(index, _)| index == next).unwrap_or(self.stack.len());
        let way = self.stack.iter().skip(from).take(SHOWN).filter_map(|&(index, _)| self.entries.get(index));
        way.fold(finding, |finding, entry| finding.also(entry.value_span, "by way of this"))
    }
}

/// The first `$(…)` of a value: its range, and what stands in it without the blanks.
fn first(value: &str) -> Option<(usize, usize, &str)> {
    let start = value.find("$(")?;
    let (_, behind) = value.split_at(start);
    let end = behind.find(')')?;
    let name = behind.get(2..end)?;
    Some((start, start + end + 1, name.trim_matches(' ')))
}

/// The key that a name stands for. Unlike in a key before a `=`, parts may be empty, except for the last.
fn tokens(name: &str) -> Vec<String> {
    let mut tokens = vec![String::new()];
    let mut characters = name.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '.' => tokens.push(String::new()),
            '\\' if characters.next_if_eq(&'.').is_some() => push(&mut tokens, '.'),
            _ => push(&mut tokens, c),
        }
    }
    tokens.pop_if(|last| last.is_empty());
    tokens
}

fn push(tokens: &mut [String], c: char) {
    if let Some(last) = tokens.last_mut() {
        last.push(c);
    }
}

/// `$(<FILE)` as a whole value stands for what is in the file, since Riak 3.
fn file_value(value: &str) -> Option<&str> {
    value.strip_prefix("$(<")?.strip_suffix(')').map(str::trim).filter(|path| !path.is_empty())
}

fn not_read(entry: &Entry, path: &str) -> Diagnostic {
    let message = format!("the value of `{}` is in `{path}`, which is not read", written(&entry.key));
    Diagnostic::new(Code::NotRead, entry.value_span, message)
        .help("if it is an address, a port or a name, write it here")
}

fn unknown_name(entry: &Entry, name: &str) -> Diagnostic {
    let message = format!("`$({name})` in the value of `{}` is no key of this file", written(&entry.key));
    let help = "if it is a default of the program, or a variable of its environment (since Riak 3), write its value here; \
                otherwise the program refuses the file";
    Diagnostic::new(Code::RiakConfValue, entry.value_span, message).help(help)
}

fn too_large(entry: &Entry) -> Diagnostic {
    let message = format!("the value of `{}` grows too large once its `$(…)` are replaced", written(&entry.key));
    Diagnostic::new(Code::RiakConfSyntax, entry.value_span, message).help("write values in place of some of the `$(…)`")
}

/// A key as it would stand in the file.
fn written(key: &[String]) -> String {
    let parts: Vec<String> = key.iter().map(|part| part.replace('.', "\\.")).collect();
    parts.join(".")
}
