//! rabbitmq-env.conf: variables of the shell, which RabbitMQ has `sh` read before it starts.
//!
//! Whatever the shell can do may stand there, and only assignments are read: `NAME=VALUE`, with or without `export`, with quotes of both
//! kinds, over as many lines as the shell takes together. INVARIANT (certain): a value is known only where the shell is sure to set it, to
//! what is written: what it would compute, what stands in another command (`if`, `&&`, a function), and what has no end is not known. What
//! is no assignment is kept as unread: it may set anything.

#[cfg(test)]
mod tests;
mod word;

use crate::diagnostic::{FileId, Span};

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// It is set, to just this.
    Known,
    /// The shell computes it.
    Computed,
    /// A quote or a bracket in it is never closed.
    Open,
    /// It is set within another command, which may never come to it.
    Conditional,
}

/// A variable and what it is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The name.
    pub name: String,
    /// The value without its quotes; where it is [computed](Certainty::Computed) or has no end, as it is written.
    pub value: String,
    /// Where the name stands.
    pub name_span: Span,
    /// Where the value stands, with its quotes.
    pub value_span: Span,
    /// What is known of it.
    pub certainty: Certainty,
}

/// Commands that are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Where they stand.
    pub span: Span,
    /// How many lines they take.
    pub lines: usize,
}

/// What a file has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The assignments in the order of the file; of one name the last counts.
    pub assignments: Vec<Assignment>,
    /// What is no assignment.
    pub unread: Vec<Unread>,
}

/// Reads a file.
#[must_use]
pub fn parse(text: &str, file: FileId) -> Script {
    let mut reader = Reader {
        text,
        file,
        at: 0,
        script: Script::default(),
        open: Vec::new(),
        block: 0,
        command: Command::default(),
        list: 0,
        documents: Vec::new(),
    };
    reader.read();
    reader.script
}

/// What keeps commands together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    If,
    Loop,
    Case,
    Brace,
    Bracket,
}

/// What ends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Separator {
    /// The end of a line, or a semicolon.
    Plain,
    /// `&&` or `||`.
    Condition,
    /// What has the command run in a shell of its own, if it is run at all.
    Elsewhere,
}

/// The command that is being read.
#[derive(Debug, Default)]
struct Command {
    /// Where it begins, once it has a word.
    begins: Option<usize>,
    /// The first of its assignments.
    first: usize,
    /// `export`: names may stand alone.
    exports: bool,
    /// Whether a word is no assignment.
    other: bool,
    /// Whether the one before decides if it is run.
    depends: bool,
    /// Whether a `)` stands right before, behind which a function or a branch of `case` has its commands.
    behind_bracket: bool,
}

struct Reader<'a> {
    text: &'a str,
    file: FileId,
    at: usize,
    script: Script,
    /// What is not closed yet, and where the outermost began.
    open: Vec<Frame>,
    block: usize,
    command: Command,
    /// The first assignment of the commands that `&&` and `||` join.
    list: usize,
    /// Ends of texts that begin with the next line (`<<END`), and whether tabs may stand before them.
    documents: Vec<(String, bool)>,
}

impl<'a> Reader<'a> {
    fn read(&mut self) {
        loop {
            self.skip_blanks();
            let Some(next) = self.rest().chars().next() else { break };
            match next {
                '#' => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                '\n' => {
                    self.end(Separator::Plain);
                    self.at += 1;
                    self.skip_documents();
                }
                ';' => self.operator(";", Separator::Plain),
                '&' if self.rest().starts_with("&&") => self.operator("&&", Separator::Condition),
                '|' if self.rest().starts_with("||") => self.operator("||", Separator::Condition),
                '&' => {
                    self.operator("&", Separator::Elsewhere);
                    // It takes all that `&&` and `||` join.
                    self.doubt(self.list);
                    self.list = self.script.assignments.len();
                }
                '|' => {
                    self.operator("|", Separator::Elsewhere);
                    self.command.depends = true;
                }
                '(' => {
                    let begins = self.command.begins.unwrap_or(self.at);
                    self.operator("(", Separator::Elsewhere);
                    self.enter(Frame::Bracket, begins);
                }
                ')' => {
                    self.operator(")", Separator::Plain);
                    // Without the other bracket it ends a pattern of `case`.
                    if self.leave(Frame::Bracket) {
                        self.command.behind_bracket = true;
                    } else if self.open.last() != Some(&Frame::Case) {
                        self.other(self.at - 1);
                    }
                }
                '<' | '>' => self.redirection(),
                _ => self.word(),
            }
        }
        self.end(Separator::Plain);
        if !self.open.is_empty() {
            self.unread(self.block, self.text.trim_end().len());
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn span(&self, from: usize, to: usize) -> Span {
        Span::new(self.file, from..to)
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            // A backslash at the end of a line takes the next one into it.
            let blank = [" ", "\t", "\\\n", "\\\r\n", "\r"].into_iter().find(|blank| rest.starts_with(blank));
            match blank {
                Some("\r") if !rest.starts_with("\r\n") && rest.len() > 1 => return,
                Some(blank) => self.at += blank.len(),
                None => return,
            }
        }
    }

    fn operator(&mut self, sign: &str, separator: Separator) {
        self.end(separator);
        self.at += sign.len();
        self.command.depends |= separator == Separator::Condition;
    }

    /// A word that is no assignment.
    fn other(&mut self, from: usize) {
        self.command.begins.get_or_insert(from);
        self.command.other = true;
        self.command.behind_bracket = false;
    }

    fn enter(&mut self, frame: Frame, from: usize) {
        if self.open.is_empty() {
            self.block = from;
        }
        self.open.push(frame);
    }

    /// Whether it was open.
    fn leave(&mut self, frame: Frame) -> bool {
        let is_open = self.open.last() == Some(&frame);
        if is_open {
            self.open.pop();
            self.other(self.block);
        }
        is_open
    }

    /// Whether its file can be opened decides about the command.
    fn redirection(&mut self) {
        self.command.begins.get_or_insert(self.at);
        self.command.depends = true;
        let rest = self.rest();
        let here = rest.strip_prefix("<<").filter(|rest| !rest.starts_with('<'));
        let tabs = here.is_some_and(|here| here.starts_with('-'));
        self.at += match here {
            Some(_) => 2 + usize::from(tabs),
            None => rest.len() - rest.trim_start_matches(['<', '>', '&', '|']).len(),
        };
        self.skip_blanks();
        let word = word::read(self.text, self.at);
        self.at = word.end;
        if here.is_some() {
            self.documents.push((word.value, tabs));
        }
    }

    /// Leaves out the texts that belong to the commands of the line before.
    fn skip_documents(&mut self) {
        for (end, tabs) in std::mem::take(&mut self.documents) {
            while let Some(line) = self.rest().split_inclusive('\n').next() {
                self.at += line.len();
                let line = line.trim_end_matches(['\r', '\n']);
                let line = if tabs { line.trim_start_matches('\t') } else { line };
                if line == end {
                    break;
                }
            }
        }
    }

    fn word(&mut self) {
        let from = self.at;
        let word = word::read(self.text, from);
        // What no reader takes would be looked at for ever.
        self.at = word.end.max(from + self.rest().chars().next().map_or(1, char::len_utf8));
        let written = self.text.get(from..self.at).unwrap_or_default();
        // The number of what is redirected.
        if written.bytes().all(|byte| byte.is_ascii_digit()) && self.rest().starts_with(['<', '>']) {
            return;
        }
        let begins = self.command.begins.is_none() || self.command.behind_bracket;
        if begins && self.keyword(written, from) {
            return;
        }
        if matches!(written, "export" | "readonly") {
            // Behind other words it may be what they hand on.
            if !begins {
                self.other(from);
            }
            self.command.begins.get_or_insert(from);
            self.command.exports = true;
            return;
        }
        let name = name_of(written);
        let behind = written.get(name.len()..).unwrap_or_default();
        let may_be_set = !self.command.other || self.command.behind_bracket || self.command.exports;
        let is_name = behind.starts_with('=') || self.command.exports && behind.is_empty();
        if name.is_empty() || !may_be_set || !is_name {
            self.other(from);
            return;
        }
        self.command.begins.get_or_insert(from);
        // `export NAME` hands on a variable that is set elsewhere.
        if behind.is_empty() {
            return;
        }
        let value_at = from + name.len() + 1;
        let value = word::read(self.text, value_at);
        let written = self.text.get(value_at..value.end).unwrap_or_default();
        self.script.assignments.push(Assignment {
            name: name.to_owned(),
            value: if value.certainty == Certainty::Known { value.value } else { written.to_owned() },
            name_span: self.span(from, from + name.len()),
            value_span: self.span(value_at, value.end),
            certainty: value.certainty,
        });
    }

    /// A word that means something where a command begins: it opens or closes a frame, or stands between its parts.
    fn keyword(&mut self, word: &str, from: usize) -> bool {
        match word {
            "if" => self.enter(Frame::If, from),
            "while" | "until" => self.enter(Frame::Loop, from),
            "{" => self.enter(Frame::Brace, from),
            "for" | "case" => {
                self.enter(if word == "case" { Frame::Case } else { Frame::Loop }, from);
                self.other(from);
            }
            "then" | "elif" | "else" | "do" if !self.open.is_empty() => {}
            "!" => self.command.depends = true,
            "fi" => return self.leave(Frame::If),
            "done" => return self.leave(Frame::Loop),
            "esac" => return self.leave(Frame::Case),
            "}" => return self.leave(Frame::Brace),
            _ => return false,
        }
        true
    }

    /// What was read up to here is a command.
    fn end(&mut self, separator: Separator) {
        let Some(begins) = self.command.begins else { return };
        let next = Command { first: self.script.assignments.len(), ..Command::default() };
        let Command { first, other, depends, .. } = std::mem::replace(&mut self.command, next);
        if separator == Separator::Plain {
            self.list = self.script.assignments.len();
        }
        let is_certain = self.open.is_empty() && !other && !depends && separator != Separator::Elsewhere;
        if is_certain {
            return;
        }
        self.doubt(first);
        if self.open.is_empty() {
            self.unread(begins, self.at);
        }
    }

    /// From this one on it is not known whether they are set.
    fn doubt(&mut self, first: usize) {
        for one in self.script.assignments.iter_mut().skip(first) {
            one.certainty = match one.certainty {
                Certainty::Open => Certainty::Open,
                Certainty::Known | Certainty::Computed | Certainty::Conditional => Certainty::Conditional,
            };
        }
    }

    /// What stands on one line is one piece, and what `&&`, `||` or `|` goes on with in the next.
    fn unread(&mut self, from: usize, to: usize) {
        let between = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
        let is_one = |between: &str| !between.contains('\n') || matches!(between.trim(), "&&" | "||" | "|");
        let to = from + between(from, to).trim_end().len();
        match self.script.unread.last_mut() {
            Some(last) if is_one(between(last.span.end as usize, from)) => {
                let end = last.span.end as usize;
                last.lines += between(end, to).matches('\n').count();
                last.span = Span::new(self.file, last.span.start as usize..to.max(end));
            }
            _ => {
                let lines = between(from, to).matches('\n').count() + 1;
                self.script.unread.push(Unread { span: self.span(from, to), lines });
            }
        }
    }
}

/// The name at the beginning of a word; empty where there is none.
fn name_of(word: &str) -> &str {
    let end = word.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(word.len());
    let name = word.get(..end).unwrap_or_default();
    if name.starts_with(|c: char| c.is_ascii_digit()) { "" } else { name }
}
