//! One rule: its words → tests and target.
//!
//! Options are told apart by name, as getopt does it, because a target may stand before a match. An option that nobody here
//! knows takes the words up to the next one that looks like an option, and goes to the match or target that it stands
//! behind; so it makes that one unknown and nothing else.

use std::ops::Range;

use super::matches;
use super::modules::{self, Kind};
use super::target::{Target, is_decision, is_disguised_target, is_for_target};
use super::values;
use super::words::{Word, written};
use crate::ir::{self, Addresses, DeviceName, Family, Foreign, Match, Rule};

/// What the words of rules say.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The rules: several for lists of addresses, none for a line that is meant for the other family.
    pub rules: Vec<Rule>,
    /// How many of these, which follow each other, are one rule to iptables: it tells in one what takes several here.
    pub width: usize,
    /// What was not understood.
    pub unknown: Vec<String>,
}

/// Whether iptables-restore does nothing but this, and ends well (seen with 1.8.9). getopt takes beginnings of long names, too.
fn ends_program(name: &str) -> bool {
    let begins = |full: &str| name.len() > 2 && full.starts_with(name);
    matches!(name, "-V" | "-h") || begins("--version") || begins("--help")
}

/// Whether several short options, or one with its value, are one word.
fn has_letters(name: &str) -> bool {
    name.strip_prefix('-').is_some_and(|letters| letters.chars().nth(1).is_some() && !letters.starts_with('-'))
}

/// A match module that `-m` asked for, or that an option implies.
#[derive(Debug)]
pub(super) struct Module {
    /// What it is, if it is known.
    pub kind: Option<Kind>,
    /// The words `-m name`; empty if it is implied.
    pub words: Range<usize>,
}

/// An option of a match module.
#[derive(Debug)]
pub(super) struct Opt {
    /// The module's position.
    pub module: usize,
    /// Whether its name is known, and all its values are there.
    pub known: bool,
    /// Whether `!` stands before it.
    pub negated: bool,
    /// The words, with the `!`.
    pub words: Range<usize>,
}

/// The tests of `-s` or `-d`: several for a list of addresses, `None` for what holds for every packet.
#[derive(Debug, Default)]
struct Side {
    first: Option<Match>,
    more: Vec<Option<Match>>,
}

impl Side {
    fn each(&self) -> impl Iterator<Item = &Option<Match>> {
        std::iter::once(&self.first).chain(&self.more)
    }
}

/// A rule while it is read.
pub(super) struct Draft<'w, 'a> {
    pub words: &'w [Word<'a>],
    pub family: Family,
    pub modules: Vec<Module>,
    pub options: Vec<Opt>,
    /// Number, and whether it is negated.
    pub protocol: Option<(u8, bool)>,
    input: Option<Match>,
    output: Option<Match>,
    sources: Side,
    destinations: Side,
    /// Which of `-s -d -i -o -p -f` were there, a bit for each: none may come twice.
    seen: u32,
    pub target: Option<Target>,
    pub unknown: Vec<Match>,
    other_family: bool,
}

/// Reads the words behind the name of the chain. What they say is added to `reading`.
pub(super) fn read(
    words: &[Word<'_>],
    family: Family,
    is_chain: impl Fn(&str) -> bool,
    reading: &mut Reading,
) -> Result<(), String> {
    let mut draft = Draft {
        words,
        family,
        modules: Vec::new(),
        options: Vec::new(),
        protocol: None,
        input: None,
        output: None,
        sources: Side::default(),
        destinations: Side::default(),
        seen: 0,
        target: None,
        unknown: Vec::new(),
        other_family: false,
    };
    let mut at = 0;
    while at < words.len() {
        at = draft.option(at)?;
    }
    if !draft.other_family {
        draft.finish(is_chain, reading);
    }
    Ok(())
}

impl Draft<'_, '_> {
    pub fn word(&self, at: usize) -> Option<&str> {
        self.words.get(at).map(|word| word.text.as_ref())
    }

    fn value(&self, at: usize, option: &str) -> Result<&str, String> {
        self.word(at).ok_or_else(|| format!("`{option}` lacks its value"))
    }

    /// The words of a range as they are written.
    pub fn written(&self, range: Range<usize>) -> String {
        written(self.words.get(range).unwrap_or_default())
    }

    /// Takes one option; says where the next one begins.
    fn option(&mut self, start: usize) -> Result<usize, String> {
        let negated = self.word(start) == Some("!");
        let at = if negated { start + 1 } else { start };
        let Some(name) = self.words.get(at).map(|word| word.text.clone()) else {
            return Err("`!` with nothing behind it".into());
        };
        let end = match name.as_ref() {
            "!" => return Err("`!` twice in a row".into()),
            "-s" | "--source" | "--src" => self.address(b's', start, at, negated)?,
            "-d" | "--destination" | "--dst" => self.address(b'd', start, at, negated)?,
            "-i" | "--in-interface" => self.interface(start, at, negated)?,
            "-p" | "--protocol" | "--proto" => self.protocol(start, at, negated)?,
            "-o" | "--out-interface" => self.out_interface(start, at, negated)?,
            "-f" | "--fragment" => self.fragment(start..at + 1, negated)?,
            _ if negated && matches!(name.as_ref(), "-m" | "--match" | "-j" | "--jump" | "-g" | "--goto" | "-c") => {
                return Err(format!("`{name}` cannot be negated"));
            }
            "-m" | "--match" => {
                let kind = Kind::named(self.value(at + 1, "-m")?);
                self.modules.push(Module { kind, words: at..at + 2 });
                at + 2
            }
            "-j" | "--jump" => self.target(at, false)?,
            "-g" | "--goto" => self.target(at, true)?,
            "-c" | "--set-counters" => at + 3,
            "-4" | "--ipv4" => {
                self.other_family |= self.family == Family::Ip6;
                at + 1
            }
            "-6" | "--ipv6" => {
                self.other_family |= self.family != Family::Ip6;
                at + 1
            }
            // getopt takes the letters one by one, and a target may be among them: `-vj ACCEPT`.
            name if has_letters(name) => {
                return Err(format!("`{name}`: write each option, and its value, as a word of its own"));
            }
            name if ends_program(name) => {
                return Err(format!(
                    "`{name}`: with this iptables-restore prints something and ends, and does nothing else"
                ));
            }
            name if is_disguised_target(name) => return Err(format!("`{name}`: write `-j TARGET` or `-g CHAIN`")),
            name => self.module_option(name, start, at, negated),
        };
        Ok(end.min(self.words.len()))
    }

    fn once(&mut self, letter: u8) -> Result<(), String> {
        let bit = 1 << (letter - b'a');
        if self.seen & bit != 0 {
            return Err(format!("`-{}` twice", char::from(letter)));
        }
        self.seen |= bit;
        Ok(())
    }

    /// A fragment that is not the first one.
    fn fragment(&mut self, words: Range<usize>, negated: bool) -> Result<usize, String> {
        self.once(b'f')?;
        let end = words.end;
        self.unknown.push(match self.family {
            Family::Ip => Match::Foreign(Foreign::LaterFragment { negated }),
            Family::Ip6 | Family::Inet | Family::Netdev => Match::Unknown(self.written(words)),
        });
        Ok(end)
    }

    fn address(&mut self, letter: u8, start: usize, at: usize, negated: bool) -> Result<usize, String> {
        self.once(letter)?;
        let list = self.value(at + 1, if letter == b's' { "-s" } else { "-d" })?;
        let test = |text: &str| {
            let network = values::network(text, self.family)?;
            if network.prefix_length() == 0 && !negated {
                // iptables-save leaves out what holds for every packet.
                return Some(None);
            }
            let addresses = Addresses::These(values::elements(network));
            Some(Some(match letter {
                b's' => Match::Source { addresses, negated },
                _ => Match::Destination { addresses, negated },
            }))
        };
        let side = match list.split_once(',') {
            None => test(list).map(|first| Side { first, more: Vec::new() }),
            Some(_) if negated => None,
            Some((first, more)) => test(first).and_then(|first| {
                let more = more.split(',').map(test).collect::<Option<Vec<_>>>()?;
                Some(Side { first, more })
            }),
        };
        let side = side.unwrap_or_else(|| {
            let first = Some(Match::Unknown(self.written(start..at + 2)));
            Side { first, more: Vec::new() }
        });
        if letter == b's' {
            self.sources = side;
        } else {
            self.destinations = side;
        }
        Ok(at + 2)
    }

    fn interface(&mut self, start: usize, at: usize, negated: bool) -> Result<usize, String> {
        self.once(b'i')?;
        let name = self.value(at + 1, "-i")?;
        if name != "+" || negated {
            self.input = Some(match values::device(name) {
                Some(DeviceName::Is(name)) => Match::InInterface { names: vec![name], negated },
                Some(name) => Match::Foreign(Foreign::Device { side: ir::Side::In, names: vec![name], negated }),
                None => Match::Unknown(self.written(start..at + 2)),
            });
        }
        Ok(at + 2)
    }

    fn out_interface(&mut self, start: usize, at: usize, negated: bool) -> Result<usize, String> {
        self.once(b'o')?;
        let name = self.value(at + 1, "-o")?;
        if name != "+" || negated {
            self.output = Some(match values::device(name) {
                Some(name) => Match::Foreign(Foreign::Device { side: ir::Side::Out, names: vec![name], negated }),
                None => Match::Unknown(self.written(start..at + 2)),
            });
        }
        Ok(at + 2)
    }

    fn protocol(&mut self, start: usize, at: usize, negated: bool) -> Result<usize, String> {
        self.once(b'p')?;
        match values::protocol(self.value(at + 1, "-p")?) {
            // Zero means every protocol.
            Some(0) if !negated => {}
            Some(number) if number != 0 => self.protocol = Some((number, negated)),
            _ => {
                let text = self.written(start..at + 2);
                self.unknown.push(Match::Unknown(text));
            }
        }
        Ok(at + 2)
    }

    fn target(&mut self, at: usize, goto: bool) -> Result<usize, String> {
        if self.target.is_some() {
            return Err("two targets in one rule".into());
        }
        self.value(at + 1, if goto { "-g" } else { "-j" })?;
        self.target = Some(Target { goto, name: at + 1, options: Vec::new() });
        Ok(at + 2)
    }

    fn module_option(&mut self, name: &str, start: usize, at: usize, negated: bool) -> usize {
        if let Some((kind, arity)) = modules::option(name)
            && let Some(module) = self.module_of(kind, name)
        {
            let end = at + 1 + arity;
            let known = end <= self.words.len();
            self.options.push(Opt { module, known, negated, words: start..end.min(self.words.len()) });
            return end;
        }
        let mut end = at + 1 + modules::text_values(name);
        while self.words.get(end).is_some_and(|word| !word.opens_option()) {
            end += 1;
        }
        let words = start..end.min(self.words.len());
        let last = self.modules.last().map_or(0, |module| module.words.end);
        match &mut self.target {
            Some(target)
                if !is_decision(self.words.get(target.name)) && (target.name >= last || is_for_target(name)) =>
            {
                target.options.push(words);
            }
            _ if !self.modules.is_empty() => {
                self.options.push(Opt { module: self.modules.len() - 1, known: false, negated, words });
            }
            _ => {
                let text = self.written(words);
                self.unknown.push(Match::Unknown(text));
            }
        }
        end
    }

    /// The module that an option belongs to. `--dport` needs no `-m`: the protocol has one.
    fn module_of(&mut self, kind: Kind, name: &str) -> Option<usize> {
        let port = matches!(name, "--dport" | "--destination-port" | "--sport" | "--source-port");
        let fits = |module: &Module| match module.kind {
            Some(Kind::Transport) if kind == Kind::Transport => true,
            // multiport takes these names too.
            Some(Kind::Multiport) if port => true,
            found => found == Some(kind),
        };
        let found = self.modules.iter().rposition(fits);
        if found.is_none() && kind == Kind::Transport {
            let end = self.modules.last().map_or(0, |module| module.words.end);
            self.modules.push(Module { kind: Some(kind), words: end..end });
            return Some(self.modules.len() - 1);
        }
        found
    }

    fn finish(mut self, is_chain: impl Fn(&str) -> bool, reading: &mut Reading) {
        let mut rule = Rule::default();
        self.judge(&mut rule, reading, is_chain);
        let mut tests = matches::tests(&self);
        rule.comment = values::joined(tests.comments);
        let tcp = |one: &Match| {
            matches!(
                one,
                Match::DestinationPort { .. } | Match::TcpFlags { .. } | Match::Foreign(Foreign::SourcePort { .. })
            )
        };
        let implied = self.protocol == Some((6, false))
            && (tests.matches.iter().any(tcp)
                || (!tests.either.is_empty() && tests.either.iter().all(|one| one.iter().any(tcp))));
        let protocol = self.protocol.filter(|_| !implied).map(|(number, negated)| Match::Protocol { number, negated });
        // iptables looks at addresses, interfaces and the protocol first, wherever they stand. Sets of sources join
        // them, as the writer has it, unless a test stands before them that remembers what it saw.
        let remembers = |one: &&Match| {
            matches!(one, Match::Limit { .. } | Match::Foreign(Foreign::Varies { .. }) | Match::Unknown(_))
        };
        let movable = tests.matches.iter().take_while(|one| !remembers(one));
        let movable = movable.count();
        let address = |one: &mut Match| matches!(one, Match::Source { .. } | Match::Destination { .. });
        let sets: Vec<Match> = tests.matches.extract_if(..movable, address).collect();
        let several = !self.sources.more.is_empty() || !self.destinations.more.is_empty();
        let addresses =
            if several { [None, None] } else { [self.sources.first.take(), self.destinations.first.take()] };
        let count = 4 + sets.len() + self.unknown.len() + tests.matches.len();
        let mut matches = Vec::with_capacity(count - addresses.iter().filter(|one| one.is_none()).count());
        matches.extend(self.input);
        matches.extend(self.output);
        let front = matches.len();
        matches.extend(addresses.into_iter().flatten());
        matches.extend(sets.into_iter().chain(protocol).chain(self.unknown).chain(tests.matches));
        // What of a rule for another protocol is not understood does not matter to TCP.
        let of_tcp = self.protocol.is_none_or(|(number, negated)| (number == 6) != negated);
        let not_known = |one: &Match| match one {
            Match::Unknown(text) if of_tcp => Some(text.clone()),
            _ => None,
        };
        reading.unknown.extend(matches.iter().filter_map(not_known));
        let either = if tests.either.is_empty() { vec![Vec::new()] } else { tests.either };
        reading.width = either.len();
        if !several && either.len() == 1 {
            matches.extend(either.into_iter().flatten());
            return reading.rules.push(Rule { matches, ..rule });
        }
        // One of the two may be no list and not understood.
        let firsts = [&self.sources.first, &self.destinations.first];
        reading.unknown.extend(firsts.into_iter().flatten().filter_map(not_known));
        let (before, behind) = matches.split_at(front);
        for source in self.sources.each() {
            for destination in self.destinations.each() {
                for one in &either {
                    let matches = before.iter().chain(source).chain(destination).chain(behind).chain(one).cloned();
                    reading.rules.push(Rule { matches: matches.collect(), ..rule.clone() });
                }
            }
        }
    }
}
