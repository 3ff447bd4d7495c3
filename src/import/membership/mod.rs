//! Who is in the cluster, from what Riak prints: `riak-admin member-status`, `cluster status`, `cluster plan`, `ringready`,
//! `status`, and the JSON of `/stats`; since Riak 3, `riak admin …`. And from `rabbitmqctl cluster_status --formatter json`, which also
//! says where the running nodes listen.
//!
//! What an output is, is told from what stands in it, since it is pasted, piped through `ssh` or saved with prompts,
//! warnings and colours around it. But within a table every line counts: one that is not understood is a finding, and so
//! is a table whose end is missing or whose totals contradict its rows. A member that is left out would be cut off.
//!
//! A loop over the nodes puts several outputs into one text. All are read, and have to agree.
//!
//! - `rabbit` reads what RabbitMQ prints (seen on 3.10).
//! - `tables` reads member-status, `plan` adds up what `cluster plan` says, `boxes` reads `cluster status`, `lists` the
//!   rest. What Riak prints stands in `riak_core_console.erl` and `riak_core_cluster_cli.erl`
//!   (<https://github.com/basho/riak_core>).

mod boxes;
mod lists;
mod plan;
mod rabbit;
mod tables;
#[cfg(test)]
mod tests;

use rustc_hash::FxHashMap;

use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};

pub use rabbit::{KIND as RABBIT_KIND, NodeListener};

/// A member's way through the ring, and whether it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Has asked to join, owns nothing yet.
    Joining,
    /// A full member.
    Valid,
    /// Gives away what it owns.
    Leaving,
    /// Owns nothing any more, and is about to stop.
    Exiting,
    /// Marked as down; it may return.
    Down,
    /// Neither member nor about to be.
    Invalid,
    /// A member that runs; RabbitMQ has no other states.
    Running,
    /// A member, in an output that does not show its state.
    Unstated,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node's name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Where its name stands, without quotes.
    pub span: Span,
}

/// What an output says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// As it is, in the order of the output.
    pub today: Vec<Member>,
    /// As it will be when all staged changes are done: the last table of `cluster plan` without those who go. `None` where
    /// the output is no plan.
    pub planned: Option<Vec<Member>>,
    /// Where the nodes listen right now, where the output says so.
    pub listeners: Vec<NodeListener>,
    /// The kind of the output, by which profiles know it, where only one program prints it: `cluster-status`.
    pub kind: Option<&'static str>,
}

/// What to run instead.
const HELP: &str = "run `riak-admin member-status` (since Riak 3 `riak admin member-status`) on a node that is up, with the \
                    rights of Riak, and give all that it prints";

/// The same where it is not known which program it is.
const HELP_OF_ANY: &str = "run `riak-admin member-status` or `rabbitmqctl cluster_status --formatter json` on a node that is up, with \
                           the rights of the program, and give all that it prints";

/// Reads any of the outputs. What shows no members is a finding; with any finding that is an error there is no result.
pub fn parse(text: &str, file: FileId, findings: &mut Findings) -> Option<Membership> {
    let mut own = Findings::bounded();
    let cleaned = clean(text);
    let membership = Reader { text: &cleaned, file, findings: &mut own }.read();
    let is_whole = own.errors() == 0;
    findings.append(own);
    membership.filter(|_| is_whole)
}

/// What all formats share.
struct Reader<'a> {
    /// Without colours and carriage returns; every byte is in the place where it was.
    text: &'a str,
    file: FileId,
    findings: &'a mut Findings,
}

/// One of the outputs in a text.
struct Output {
    begins: Span,
    today: Vec<Member>,
    planned: Option<Vec<Member>>,
    listeners: Vec<NodeListener>,
    kind: Option<&'static str>,
}

impl Output {
    /// One of Riak's.
    fn of_riak(begins: Span, today: Vec<Member>) -> Self {
        Self { begins, today, planned: None, listeners: Vec::new(), kind: None }
    }
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Option<Membership> {
        let before = self.findings.errors();
        let text = self.text;
        let lines: Vec<&str> = text.lines().collect();
        let mut outputs: Vec<Output> = Vec::new();
        if let Some(header) = lines.iter().find(|line| tables::is_header(line) || plan::is_header(line)) {
            let (today, planned) = self.tables(&lines)?;
            outputs.push(Output { planned, ..Output::of_riak(self.span(header.trim()), today) });
        }
        self.other_outputs(&lines, &mut outputs);
        // States say more than their absence.
        let states = |output: &Output| output.today.iter().any(|member| member.state != State::Unstated);
        let best = outputs.iter().position(states).unwrap_or(0);
        if outputs.is_empty() {
            if self.findings.errors() == before {
                self.no_members(&lines);
            }
            return None;
        }
        if self.findings.errors() == before {
            self.compare(&outputs);
        }
        let Output { today, planned, listeners, kind, .. } = outputs.swap_remove(best);
        if today.is_empty() && self.findings.errors() == before {
            self.refuse(self.whole(), "the output shows no members", HELP);
        }
        Some(Membership { today, planned, listeners, kind })
    }

    /// All that are no tables of `member-status`, one behind the other. Those behind one that cannot be read are not looked
    /// at.
    fn other_outputs(&mut self, lines: &[&'a str], outputs: &mut Vec<Output>) {
        let before = self.findings.errors();
        let mut end = 0;
        for (index, line) in lines.iter().enumerate() {
            let mut rest = *line;
            loop {
                let begins = self.span(rest.trim());
                if (begins.start as usize) < end || self.findings.errors() > before {
                    break;
                }
                let of_riak = |(today, behind)| (Output::of_riak(begins, today), behind);
                let (output, behind) = if boxes::is_header(rest) {
                    of_riak(self.boxes(lines.get(index..).unwrap_or_default()))
                } else if lists::is_json(rest) {
                    match self.rabbit(rest, begins) {
                        Some(found) => found,
                        None => of_riak(self.json(rest)),
                    }
                } else if lists::is_list(rest) {
                    of_riak(self.list(rest))
                } else {
                    break;
                };
                outputs.push(output);
                end = behind;
                // `curl` ends its output without a line end.
                rest = self.text.get(end..).and_then(|text| text.lines().next()).unwrap_or_default();
                if !lists::is_json(rest) {
                    break;
                }
            }
        }
    }

    /// Outputs of several nodes, or of several times, have to say the same: which of them to believe is not known. They
    /// have the same members, each in the same state where the state is shown; an invalid one is no member.
    fn compare(&mut self, outputs: &[Output]) {
        let mut known: FxHashMap<&str, State> = FxHashMap::default();
        for (index, output) in outputs.iter().enumerate() {
            let members = || output.today.iter().filter(|member| member.state != State::Invalid);
            let mut is_alike = index == 0 || members().count() == known.len();
            for member in members() {
                let before = known.get(member.name.as_str()).copied();
                is_alike &= match before {
                    None => index == 0,
                    Some(state) => [state, member.state].contains(&State::Unstated) || state == member.state,
                };
                if before.is_none_or(|state| state == State::Unstated) {
                    known.insert(&member.name, member.state);
                }
            }
            if !is_alike {
                let message = "this output contradicts those before it";
                let finding = Diagnostic::new(Code::MembershipSyntax, output.begins, message);
                let finding = match outputs.first() {
                    Some(first) => finding.also(first.begins, "the first"),
                    None => finding,
                };
                self.findings.push(finding.help("find out why they differ, and give one output only, the latest"));
                return;
            }
        }
    }

    /// Where a part of the text stands.
    fn span(&self, part: &str) -> Span {
        let start = part.as_ptr().addr().wrapping_sub(self.text.as_ptr().addr());
        // What is no part of the text, such as a string of JSON with escapes, stands somewhere in it.
        let end = start.saturating_add(part.len());
        if end <= self.text.len() { Span::new(self.file, start..end) } else { self.whole() }
    }

    fn whole(&self) -> Span {
        let start = self.text.len() - self.text.trim_start().len();
        self.text
            .trim()
            .lines()
            .next()
            .map_or(Span::new(self.file, 0..0), |first| Span::new(self.file, start..start + first.trim_end().len()))
    }

    fn refuse(&mut self, span: Span, message: impl Into<String>, help: &str) {
        self.findings.push(Diagnostic::new(Code::MembershipSyntax, span, message).help(help));
    }

    /// A member, if its name can be one; with or without the quotes of an atom.
    fn member(&mut self, written: &str, state: State) -> Option<Member> {
        let quoted = written.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        let name = quoted.unwrap_or(written);
        let span = self.span(name);
        if !is_node_name(name) {
            self.refuse(
                span,
                format!("`{name}` is no name of a node"),
                "names are like `riak@10.0.0.1`; give the output as it was printed",
            );
            return None;
        }
        Some(Member { name: name.to_owned(), state, span })
    }

    /// Whether all are there once; the others are findings.
    fn check_twice(&mut self, members: &[Member]) {
        let mut places: FxHashMap<&str, Span> = FxHashMap::default();
        for member in members {
            if let Some(&first) = places.get(member.name.as_str()) {
                let message = format!("`{}` is listed twice", member.name);
                let finding = Diagnostic::new(Code::MembershipSyntax, member.span, message);
                self.findings.push(finding.also(first, "listed here first").help(HELP));
            } else {
                places.insert(&member.name, member.span);
            }
        }
    }

    /// Says why there are none.
    fn no_members(&mut self, lines: &[&str]) {
        const SAID: [&str; 14] = [
            "FALSE ",
            "not responding to pings",
            "not running",
            "did not respond",
            "not reachable",
            "nodedown",
            "RPC to ",
            "badrpc",
            "failed",
            "Cannot plan",
            "no staged changes",
            "not found",
            "unable to",
            "denied",
        ];
        let said = lines.iter().find(|line| SAID.iter().any(|said| line.contains(said))).map(|line| line.trim());
        match said {
            Some(line) => {
                let message = format!("no members in this output, which says `{line}`");
                self.refuse(self.span(line), message, HELP_OF_ANY);
            }
            None if self.text.trim().is_empty() => self.refuse(self.whole(), "the output is empty", HELP_OF_ANY),
            None => self.refuse(self.whole(), "this is no output of Riak or RabbitMQ that shows members", HELP_OF_ANY),
        }
    }
}

/// Erlang allows more in an atom, but a node could not be reached by such a name. The host may be an IPv6 address.
fn is_node_name(name: &str) -> bool {
    const LONGEST_ATOM: usize = 255;
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_of_host = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    name.len() <= LONGEST_ATOM
        && name.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && !host.is_empty() && name.chars().all(is_of_name) && host.chars().all(is_of_host)
        })
}

/// The state that a word of Riak's means.
fn state(word: &str) -> Option<State> {
    Some(match word {
        "joining" => State::Joining,
        "valid" => State::Valid,
        "leaving" => State::Leaving,
        "exiting" => State::Exiting,
        "down" => State::Down,
        "invalid" => State::Invalid,
        // Old versions say so in place of the state of a member whose version is older still.
        "(legacy)" => State::Unstated,
        _ => return None,
    })
}

/// Blanks in place of what a terminal makes colours of, byte for byte.
fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\u{1b}' => {
                cleaned.push(' ');
                if characters.next_if_eq(&'[').is_some() {
                    cleaned.push(' ');
                    while characters.next_if(|&c| matches!(c, ' '..='?')).is_some() {
                        cleaned.push(' ');
                    }
                    cleaned.extend(characters.next_if(|&c| matches!(c, '@'..='~')).map(|_| ' '));
                }
            }
            '\r' => cleaned.push(' '),
            '\u{feff}' => cleaned.push_str("   "),
            _ => cleaned.push(c),
        }
    }
    cleaned
}
