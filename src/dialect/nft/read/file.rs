//! The commands of a file, carried out from top to bottom onto nothing.

use std::collections::HashMap;

use super::cursor::Cursor;
use super::lexer::{Kind, Token, join};
use super::tables::{RawFamily, RawTable, rule, skip_object};
use crate::dialect::read::{ReadError, Unknown};
use crate::ir::Family;

/// What a file leaves behind. What was deleted leaves a gap.
#[derive(Debug, Default)]
pub struct File<'a> {
    /// The tables.
    pub tables: Vec<Option<RawTable<'a>>>,
    index: HashMap<(RawFamily, &'a str), usize>,
    /// Commands that were not understood.
    pub unknown: Vec<Unknown>,
    /// Whether rules were taken away.
    flushed: bool,
}

/// What a command does to the object that it names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Add,
    Insert,
    Delete,
    Flush,
}

impl<'a> File<'a> {
    /// Carries out a text.
    pub fn read(text: &'a str) -> Result<Self, ReadError> {
        let mut file = Self::default();
        let mut cursor = Cursor::new(text);
        loop {
            let token = cursor.next_on_any_line()?;
            match (token.kind, token.text) {
                (Kind::End, _) => return Ok(file),
                (Kind::Symbol, ";") => {}
                (Kind::Word, word) => file.command(&mut cursor, token, word)?,
                (Kind::Quoted | Kind::Symbol | Kind::Newline | Kind::Hidden, _) => return Err(no_command(&token)),
            }
        }
    }

    fn command(&mut self, cursor: &mut Cursor<'a>, token: Token<'a>, word: &str) -> Result<(), ReadError> {
        let action = match word {
            "add" | "create" => Action::Add,
            "insert" => Action::Insert,
            "delete" | "destroy" => Action::Delete,
            "flush" => Action::Flush,
            "table" | "chain" | "rule" | "set" | "map" | "element" => {
                return self.object(cursor, Action::Add, token);
            }
            "define" | "redefine" => return cursor.define(),
            "undefine" => return cursor.undefine(),
            // Commands that show something and change nothing.
            "list" | "describe" | "monitor" => return cursor.statement().map(|_| ()),
            "include" => {
                let text = format!("include {}", join(&cursor.statement()?));
                self.unknown.push(Unknown { line: token.line, text });
                return Ok(());
            }
            "replace" | "rename" | "reset" => {
                return Err(ReadError::new(token.line, format!("`{word}` needs a ruleset that is there already")));
            }
            _ => return Err(no_command(&token)),
        };
        self.flushed |= matches!(action, Action::Delete | Action::Flush);
        let object = cursor.next()?;
        self.object(cursor, action, object)
    }

    fn object(&mut self, cursor: &mut Cursor<'a>, action: Action, object: Token<'a>) -> Result<(), ReadError> {
        match (object.kind, object.text) {
            (Kind::Word, "table") => self.table_command(cursor, action),
            (Kind::Word, "ruleset") if action == Action::Flush => {
                let family = cursor.statement()?.first().and_then(|token| RawFamily::named(token.text));
                for slot in &mut self.tables {
                    if slot.as_ref().is_some_and(|table| family.is_none_or(|family| table.family == family)) {
                        *slot = None;
                    }
                }
                Ok(())
            }
            (Kind::Word, "chain") => self.chain_command(cursor, action),
            (Kind::Word, "rule") => self.rule_command(cursor, action),
            (Kind::Word, "set" | "map") => self.set_command(cursor, action, object.text == "map"),
            (Kind::Word, "element") => self.element_command(cursor, action),
            (Kind::Word, "ct") => self.tracking_command(cursor, action),
            (
                Kind::Word,
                "flowtable" | "counter" | "counters" | "quota" | "quotas" | "limit" | "limits" | "secmark" | "synproxy",
            ) => skip_object(cursor),
            _ => Err(ReadError::new(object.line, format!("{} is nothing that nft knows", object.described()))),
        }
    }

    /// `[FAMILY] NAME`. Without a family it is `ip`.
    fn table_name(cursor: &mut Cursor<'a>) -> Result<(RawFamily, &'a str, u32), ReadError> {
        let (first, line) = cursor.name("a family or the name of a table")?;
        if first == "handle" {
            return Err(ReadError::new(line, "a handle says nothing in a text"));
        }
        let Some(family) = RawFamily::named(first) else {
            return Ok((RawFamily::Known(Family::Ip), first, line));
        };
        let (name, line) = cursor.name("the name of a table")?;
        if name == "handle" {
            return Err(ReadError::new(line, "a handle says nothing in a text"));
        }
        Ok((family, name, line))
    }

    /// The table that comes next; it has to be there.
    fn table(&mut self, cursor: &mut Cursor<'a>) -> Result<&mut RawTable<'a>, ReadError> {
        let line = cursor.peek()?.line;
        let at = self.table_at(cursor)?;
        let missing = || ReadError::new(line, "there is no such table");
        self.tables.get_mut(at).and_then(Option::as_mut).ok_or_else(missing)
    }

    /// Where it is.
    fn table_at(&self, cursor: &mut Cursor<'a>) -> Result<usize, ReadError> {
        let (family, name, line) = Self::table_name(cursor)?;
        let found = self.index.get(&(family, name)).copied();
        let is_there = |at: &usize| self.tables.get(*at).is_some_and(Option::is_some);
        found
            .filter(is_there)
            .ok_or_else(|| ReadError::new(line, format!("there is no table `{} {name}`", family.name())))
    }

    fn table_command(&mut self, cursor: &mut Cursor<'a>, action: Action) -> Result<(), ReadError> {
        let (family, name, line) = Self::table_name(cursor)?;
        let at = self.index.get(&(family, name)).copied();
        let slot = at.and_then(|at| self.tables.get_mut(at)).filter(|slot| slot.is_some());
        match (action, slot) {
            (Action::Delete, slot) => {
                // That it is not there is no matter: the next line makes it.
                if let Some(slot) = slot {
                    *slot = None;
                }
                Ok(())
            }
            (Action::Flush, slot) => {
                for chain in slot.and_then(Option::as_mut).into_iter().flat_map(|table| table.chains.iter_mut()) {
                    chain.iter_mut().for_each(|chain| chain.rules.clear());
                }
                Ok(())
            }
            (Action::Add | Action::Insert, Some(Some(table))) => add_to_table(cursor, table, line),
            (Action::Add | Action::Insert, _) => {
                let mut table = RawTable::new(family, name, line);
                add_to_table(cursor, &mut table, line)?;
                self.index.insert((family, name), self.tables.len());
                self.tables.push(Some(table));
                Ok(())
            }
        }
    }

    fn chain_command(&mut self, cursor: &mut Cursor<'a>, action: Action) -> Result<(), ReadError> {
        let table = self.table(cursor)?;
        match action {
            Action::Add | Action::Insert => table.add_chain(cursor),
            Action::Delete => {
                let (name, _) = cursor.name("the name of a chain")?;
                if let Some(slot) = table.chain_index.remove(name).and_then(|at| table.chains.get_mut(at)) {
                    *slot = None;
                }
                skip_object(cursor)
            }
            Action::Flush => {
                let (name, _) = cursor.name("the name of a chain")?;
                if let Some(chain) = table.find_chain(name) {
                    chain.rules.clear();
                }
                Ok(())
            }
        }
    }

    fn rule_command(&mut self, cursor: &mut Cursor<'a>, action: Action) -> Result<(), ReadError> {
        let at = self.table_at(cursor)?;
        let Self { tables, flushed, .. } = self;
        let table = tables.get_mut(at).and_then(Option::as_mut);
        let (name, line) = cursor.name("the name of a chain")?;
        let Some(chain) = table.and_then(|table| table.find_chain(name)) else {
            return Err(ReadError::new(line, format!("there is no chain `{name}`")));
        };
        let position = cursor.peek()?;
        let mut index = None;
        if position.is_word("index") {
            cursor.next()?;
            let (number, line) = cursor.name("a number")?;
            if *flushed {
                let message = "nft counts rules that were flushed or deleted before this in the same file (seen with 1.0.6), so it is not \
                               certain where this one comes to stand: put them in their order instead";
                return Err(ReadError::new(line, message));
            }
            let number = super::names::number(number).and_then(|number| usize::try_from(number).ok());
            index = number.filter(|number| *number < chain.rules.len());
            if index.is_none() {
                return Err(ReadError::new(line, "there is no rule at that place"));
            }
        } else if position.is_word("handle") || position.is_word("position") {
            return Err(ReadError::new(position.line, "a handle says nothing in a text"));
        }
        if matches!(action, Action::Delete | Action::Flush) {
            return Err(ReadError::new(line, "a rule goes by its handle, which says nothing in a text"));
        }
        let rule = rule(cursor)?;
        match (action, index) {
            (Action::Insert, index) => chain.rules.insert(index.unwrap_or(0), rule),
            (_, Some(index)) => chain.rules.insert(index + 1, rule),
            (_, None) => chain.rules.push_back(rule),
        }
        Ok(())
    }

    fn set_command(&mut self, cursor: &mut Cursor<'a>, action: Action, map: bool) -> Result<(), ReadError> {
        let table = self.table(cursor)?;
        match action {
            Action::Add | Action::Insert if map => return table.add_map(cursor),
            Action::Add | Action::Insert => return table.add_set(cursor),
            Action::Delete | Action::Flush => {}
        }
        let (name, _) = cursor.name("the name of a set")?;
        match action {
            Action::Delete => {
                table.maps.remove(name);
                if let Some(slot) = table.set_index.remove(name).and_then(|at| table.sets.get_mut(at)) {
                    *slot = None;
                }
            }
            Action::Flush => {
                if let Some(map) = table.maps.get_mut(name) {
                    map.flush();
                }
                if let Some(set) = table.find_set_mut(name) {
                    set.flush();
                }
            }
            Action::Add | Action::Insert => {}
        }
        Ok(())
    }

    /// `ct helper TABLE NAME { … }`. One that is deleted is kept: what takes its name may be no worse.
    fn tracking_command(&mut self, cursor: &mut Cursor<'a>, action: Action) -> Result<(), ReadError> {
        let kind = cursor.peek()?;
        if !kind.is_word("helper") || !matches!(action, Action::Add | Action::Insert) {
            return skip_object(cursor);
        }
        cursor.next()?;
        self.table(cursor)?.add_helper(cursor)
    }

    fn element_command(&mut self, cursor: &mut Cursor<'a>, action: Action) -> Result<(), ReadError> {
        let table = self.table(cursor)?;
        let (name, line) = cursor.name("the name of a set")?;
        let missing = || ReadError::new(line, format!("there is no set `{name}`"));
        match action {
            Action::Add | Action::Insert => {
                if let Some(map) = table.maps.get_mut(name) {
                    return map.elements(cursor);
                }
                table.find_set_mut(name).ok_or_else(missing)?.elements(cursor)
            }
            Action::Delete | Action::Flush => {
                if let Some(map) = table.maps.get_mut(name) {
                    map.tokens = None;
                } else {
                    table.find_set_mut(name).ok_or_else(missing)?.spoil();
                }
                skip_object(cursor)
            }
        }
    }
}

fn add_to_table<'a>(cursor: &mut Cursor<'a>, table: &mut RawTable<'a>, line: u32) -> Result<(), ReadError> {
    // A table that is mentioned without the flag is awake.
    table.dormant = false;
    let next = cursor.peek()?;
    if next.is("{") {
        cursor.next()?;
        cursor.enter();
        table.block(cursor, line)?;
        cursor.leave();
        return Ok(());
    }
    if next.ends_statement() && !next.is("}") {
        return Ok(());
    }
    Err(ReadError::new(next.line, format!("expected `{{` or the end of the line, found {}", next.described())))
}

fn no_command(token: &Token<'_>) -> ReadError {
    if token.is("{") || token.is("[") {
        let message = "this is JSON, which `nft -j` prints, beside nft's own words: give each a file of its own";
        return ReadError::new(token.line, message);
    }
    ReadError::new(token.line, format!("{} is no command of nft", token.described()))
}
