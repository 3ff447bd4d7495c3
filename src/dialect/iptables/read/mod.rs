//! iptables-save text, iptables-restore text, and what `iptables -S` lists → IR.
//!
//! Read as if `iptables-restore --noflush` had applied it where nothing was before: several stanzas of a table
//! accumulate, `:CHAIN -` makes or empties a chain, commands have their effect in their order. What iptables refuses, such
//! as a rule for a chain that is not there, is an error. What it takes and nobody here knows is kept as unknown.
//!
//! - The kernel's chains become shared base chains. One that lets everything pass and has no rules does nothing and is left
//!   out, so that a file and what is saved after loading it are the same.
//! - `-p tcp` goes into the tests that imply it; a test that holds for every packet (`-s 0.0.0.0/0`, `-i +`) is left out.
//! - iptables counts every rule, so every rule counts.
//! - Names that the IR does not take are escaped, see [`name`].
//!
//! INVARIANT (bounded): the work is linear in the text; insertions and deletions in the midst have a budget.

mod matches;
mod modules;
mod rule;
mod tables;
mod target;
mod values;
mod words;

#[cfg(test)]
mod tests;

use std::mem;

pub(in crate::dialect) use self::values::name;

use self::rule::Reading;
use self::tables::{TableDraft, table_of_policies};
use self::words::Word;
use crate::dialect::read::{DEEPEST_HERE, Read, ReadError, Unknown, check_jumps};
use crate::ir::{Counted, Family, Place, Policy, Rule, Ruleset, Statement, Table};

/// So many rules may be moved or looked at by insertions and deletions in the midst of chains.
const WORK: usize = 1 << 24;
/// So many bytes of text may be copied for lists of addresses, each of which becomes a rule with the whole line.
const COPIES: usize = 1 << 26;

/// Reads the text of one family: `Ip` for iptables, `Ip6` for ip6tables.
///
/// # Errors
/// If the text is no ruleset, is cut off, or says of itself that it is incomplete.
pub fn read(text: &str, family: Family) -> Result<Read, ReadError> {
    let family = if family == Family::Inet { Family::Ip } else { family };
    let mut reader = Reader {
        family,
        tables: Vec::new(),
        open: Open::Nothing,
        unknown: Vec::new(),
        partial: Vec::new(),
        reading: Reading::default(),
        work: WORK,
        copies: COPIES,
        counted: None,
    };
    let suspicious = has_control_characters(text);
    let mut words = Vec::new();
    let mut number: u32 = 0;
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        number = number.saturating_add(1);
        if suspicious && let Some(byte) = line.bytes().find(|&b| is_control(b)) {
            let what = if byte == b'\r' { "a carriage return" } else { "a control character" };
            return Err(ReadError::new(number, format!("{what}, which iptables-restore does not take")));
        }
        // Only `iptables -S` prints something without `*table`, policies first.
        if matches!(reader.open, Open::Nothing) && reader.tables.is_empty() && line.starts_with('-') {
            let policies = std::iter::once(line).chain(lines.clone()).take_while(|line| line.starts_with("-P "));
            let chains = policies.filter_map(|line| line.split(' ').nth(1)).collect::<Vec<_>>();
            let Some(name) = table_of_policies(&chains) else {
                return Err(ReadError::new(
                    number,
                    "no `*table` before this, and not a whole listing of `iptables -S`",
                ));
            };
            reader.tables.push(TableDraft::new(name));
            reader.open = Open::Listing { begun: false };
        }
        let message = |message| ReadError::new(number, message);
        reader.line(line, number, &mut words).map_err(message)?;
        if lines.peek().is_none() && matches!(reader.open, Open::Listing { .. }) && !line.is_empty() {
            return Err(ReadError::new(number, "the text ends in the midst of a line"));
        }
    }
    if let Open::Stanza { line, .. } = reader.open {
        return Err(ReadError::new(line, "this table has no COMMIT: the text is cut off"));
    }
    reader.finish()
}

/// Whether there is any; in pieces that the compiler can turn into a few instructions.
fn has_control_characters(text: &str) -> bool {
    let piece = |piece: &[u8]| piece.iter().fold(false, |found, &b| found | (is_control(b) & (b != b'\n')));
    text.as_bytes().chunks(4096).any(piece)
}

fn is_control(byte: u8) -> bool {
    (byte < b' ') & (byte != b'\t') | (byte == 0x7f)
}

/// What the next line belongs to.
enum Open {
    Nothing,
    /// A table from `*table` to `COMMIT`.
    Stanza {
        table: usize,
        line: u32,
    },
    /// The one table of `iptables -S`: its policies, then all else.
    Listing {
        begun: bool,
    },
}

struct Reader {
    family: Family,
    tables: Vec<TableDraft>,
    open: Open,
    unknown: Vec<Unknown>,
    /// What the text says of itself that makes it less than the whole.
    partial: Vec<String>,
    /// What the last line says, kept for its memory; and every set that rules change.
    reading: Reading,
    work: usize,
    copies: usize,
    /// What the rule of this line has met.
    counted: Option<Counted>,
}

impl Reader {
    fn line<'a>(&mut self, line: &'a str, number: u32, words: &mut Vec<Word<'a>>) -> Result<(), String> {
        if line.starts_with('#') {
            return match line.contains("incompatible") && line.contains("use 'nft' tool") {
                true => Err(format!("iptables cannot show this table, nft can: {}", shown(line))),
                false => {
                    // iptables-nft-save and -S say so on standard output; the other tables stand in another text.
                    let partial = line.contains("tables present") && line.contains("legacy");
                    self.partial.extend(partial.then(|| line.trim_matches(['#', ' ']).to_owned()));
                    Ok(())
                }
            };
        }
        let trimmed = line.trim_matches([' ', '\t']);
        if trimmed.is_empty() {
            return Ok(());
        }
        match self.open {
            Open::Nothing => match line.strip_prefix('*') {
                Some(name) => self.open_stanza(name.trim_end_matches([' ', '\t']), number),
                None => Err(format!("not a line of iptables-save: {}", shown(trimmed))),
            },
            Open::Stanza { .. } if trimmed == "COMMIT" => {
                self.open = Open::Nothing;
                Ok(())
            }
            Open::Stanza { table, line: opened } => match line.split_at_checked(1) {
                Some((":", declaration)) => self.table(table)?.declare(declaration),
                Some(("*", _)) => Err(format!("the table of line {opened} has no COMMIT before this")),
                _ => self.command(table, trimmed, number, words),
            },
            Open::Listing { begun: true } if trimmed.starts_with("-P ") => {
                Err("policies again: these are the listings of several tables, and do not say of which".to_owned())
            }
            Open::Listing { begun } if trimmed.starts_with('-') => {
                self.open = Open::Listing { begun: begun || !trimmed.starts_with("-P ") };
                self.command(0, trimmed, number, words)
            }
            Open::Listing { .. } => Err(format!("not a line of `iptables -S`: {}", shown(trimmed))),
        }
    }

    fn open_stanza(&mut self, name: &str, line: u32) -> Result<(), String> {
        let table = match self.tables.iter().position(|table| table.name == name) {
            Some(table) => table,
            None => {
                let known = tables::TABLES.iter().find(|&&known| known == name);
                let known = known.ok_or_else(|| format!("iptables has no table {}", shown(name)))?;
                self.tables.push(TableDraft::new(known));
                self.tables.len() - 1
            }
        };
        self.open = Open::Stanza { table, line };
        Ok(())
    }

    fn table(&mut self, index: usize) -> Result<&mut TableDraft, String> {
        self.tables.get_mut(index).ok_or_else(|| "no table".to_owned())
    }

    fn command<'a>(
        &mut self,
        table: usize,
        line: &'a str,
        number: u32,
        words: &mut Vec<Word<'a>>,
    ) -> Result<(), String> {
        let (counted, line) = counters(line)?;
        self.counted = counted;
        words::split(line, words)?;
        let mut behind = words.iter();
        let command = behind.next().map_or("", |word| word.text.as_ref());
        let chain = behind.next().map(|word| word.text.as_ref());
        let rest = behind.as_slice();
        let named = chain.ok_or_else(|| format!("{} without a chain", shown(command)));
        let index = self.index_of(rest.first(), command)?;
        let rest = if index.is_some() { rest.get(1..).unwrap_or_default() } else { rest };
        match command {
            "-A" | "--append" => {
                let chain = self.table(table)?.chain_index(named?)?;
                self.read_rules(table, rest, line, number)?;
                let Self { tables, reading, .. } = self;
                let width = reading.width;
                tables.get_mut(table).into_iter().for_each(|table| table.append(chain, &mut reading.rules, width));
            }
            "-I" | "--insert" => {
                let chain = self.table(table)?.chain_index(named?)?;
                self.read_rules(table, rest, line, number)?;
                let (rules, width) = (mem::take(&mut self.reading.rules), self.reading.width);
                let work = self.table(table)?.insert(chain, index.unwrap_or(1), &rules, width)?;
                self.spend(work)?;
            }
            "-R" | "--replace" => {
                let chain = self.table(table)?.chain_index(named?)?;
                let index = index.ok_or("`-R` without a number")?;
                self.read_rules(table, rest, line, number)?;
                let (rules, width) = (mem::take(&mut self.reading.rules), self.reading.width);
                let work = self.table(table)?.replace(chain, index, &rules, width)?;
                self.spend(work)?;
            }
            "-D" | "--delete" => {
                let chain = self.table(table)?.chain_index(named?)?;
                let work = match index {
                    Some(index) => self.table(table)?.delete_at(chain, index)?,
                    None => {
                        let unknown = self.unknown.len();
                        self.read_rules(table, rest, line, number)?;
                        self.unknown.truncate(unknown);
                        let (rules, width) = (mem::take(&mut self.reading.rules), self.reading.width);
                        self.table(table)?.delete(chain, &rules, width)?
                    }
                };
                self.spend(work)?;
            }
            "-N" | "--new-chain" => self.table(table)?.create(named?)?,
            "-F" | "--flush" => self.table(table)?.flush(chain)?,
            "-X" | "--delete-chain" => self.table(table)?.remove(chain)?,
            "-P" | "--policy" => {
                let policy = rest.first().map_or("", |word| word.text.as_ref());
                self.table(table)?.set_policy(named?, policy)?;
            }
            // Counters. iptables-nft-restore takes back a policy of the same text with them (seen with 1.8.9).
            "-Z" | "--zero" if self.table(table)?.has_policy() => {
                let message = "iptables-nft-restore takes a policy back that this text sets, and iptables-legacy-restore does not: leave it away";
                return Err(format!("`{command}`: {message}"));
            }
            "-Z" | "--zero" => {}
            other => return Err(format!("not a command that is read here: {}", shown(other))),
        }
        Ok(())
    }

    /// The number behind the chain of a command that can have one.
    fn index_of(&self, word: Option<&Word<'_>>, command: &str) -> Result<Option<usize>, String> {
        let takes = matches!(command, "-I" | "--insert" | "-R" | "--replace" | "-D" | "--delete");
        let Some(word) = word.filter(|word| takes && word.raw.starts_with(|c: char| c.is_ascii_digit())) else {
            return Ok(None);
        };
        let number = values::number(&word.text).and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
        number.map(Some).ok_or_else(|| format!("no number of a rule: {}", shown(&word.text)))
    }

    fn spend(&mut self, work: usize) -> Result<(), String> {
        self.work =
            self.work.checked_sub(work).ok_or("too many insertions and deletions in the midst of long chains")?;
        Ok(())
    }

    /// Reads a rule, or several for a list of addresses, into `self.reading`.
    fn read_rules(&mut self, table: usize, words: &[Word<'_>], line: &str, number: u32) -> Result<(), String> {
        let Self { tables, reading, counted, .. } = self;
        let table = tables.get(table);
        let is_chain = |name: &str| table.is_some_and(|table| table.is_user_chain(name));
        reading.rules.clear();
        rule::read(words, self.family, is_chain, reading)?;
        self.unknown.extend(reading.unknown.drain(..).map(|text| Unknown { line: number, text }));
        if reading.rules.len() > 1 {
            let copied = reading.rules.len().saturating_mul(line.len() + size_of::<Rule>());
            self.copies = self.copies.checked_sub(copied).ok_or("lists of addresses make too many rules")?;
        }
        for rule in &mut reading.rules {
            rule.place = Some(Place { line: number, handle: None, text: line.to_owned() });
            // iptables counts every rule, before its target.
            rule.statements.insert(0, Statement::Counter(*counted));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Read, ReadError> {
        let family = self.family;
        let tables: Vec<Table> = self.tables.into_iter().filter_map(|table| table.finish(family)).collect();
        let mut ruleset = Ruleset { tables, unread: self.partial, ..Ruleset::default() };
        check_jumps(&ruleset, DEEPEST_HERE)?;
        for table in &mut ruleset.tables {
            tables::sort_chains(table);
        }
        self.unknown.sort_by_key(|unknown| unknown.line);
        Ok(Read { ruleset, unknown: self.unknown })
    }
}

/// `[packets:bytes]` at the beginning of a line, and what stands behind it.
fn counters(line: &str) -> Result<(Option<Counted>, &str), String> {
    let Some(inside) = line.strip_prefix('[') else { return Ok((None, line)) };
    let malformed = || format!("no `[packets:bytes]`: {}", shown(line));
    let (counters, rest) = inside.split_once(']').ok_or_else(malformed)?;
    let (packets, bytes) = counters.split_once(':').ok_or_else(malformed)?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(packets) || !digits(bytes) {
        return Err(malformed());
    }
    // More than a counter holds is no figure, but takes nothing from the rule.
    let counted = packets.parse().ok().zip(bytes.parse().ok()).map(|(packets, bytes)| Counted { packets, bytes });
    Ok((counted, rest.trim_start_matches([' ', '\t'])))
}

/// Foreign text in a message: short, and fit for a terminal.
pub(in crate::dialect) fn shown(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown = String::from("`");
    for c in text.chars().take(SHOWN) {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown.push_str(if text.chars().nth(SHOWN).is_some() { "…`" } else { "`" });
    shown
}

/// The policy of a base chain by its name.
fn policy(name: &str) -> Result<Policy, String> {
    match name {
        "ACCEPT" => Ok(Policy::Accept),
        "DROP" => Ok(Policy::Drop),
        other => Err(format!("no policy: {}", shown(other))),
    }
}
