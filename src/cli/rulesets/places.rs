//! Where in which file something stands that was read of several as one text.

use std::borrow::Cow;

use super::include::Part;

use crate::ir::{Place, Table, Verdict};

/// In place of a rule in a file that whoever asked may not read.
const HIDDEN: &str = "(not shown: the user who runs this may not read the file)";

/// Files put together, and which line of the whole is which line of which.
pub struct Files<'a> {
    /// The whole.
    pub text: Cow<'a, str>,
    /// Each part, and the first of its lines in the whole.
    starts: Vec<(&'a Part, u32)>,
}

impl<'a> Files<'a> {
    /// The files of one dialect, one after the other.
    pub fn of(parts: &[&'a Part]) -> Self {
        if let [part] = parts {
            return Self { text: Cow::Borrowed(part.text.as_str()), starts: vec![(*part, 1)] };
        }
        let mut text = String::new();
        let mut starts = Vec::new();
        let mut line = 1;
        for &part in parts.iter().filter(|part| !part.text.is_empty()) {
            starts.push((part, line));
            text.push_str(&part.text);
            if !part.text.ends_with('\n') {
                text.push('\n');
            }
            line += part.text.lines().count() as u32;
        }
        Self { text: Cow::Owned(text), starts }
    }

    /// The part that a line of the whole stands in, and which of its lines it is.
    fn part(&self, line: u32) -> Option<(&'a Part, u32)> {
        let start = self.starts.iter().rev().find(|(_, start)| *start <= line);
        start.map(|(part, start)| (*part, line - start))
    }

    /// The name of the file, and the line in it, or what stands there.
    pub fn place(&self, line: u32) -> (&'a str, Spot<'a>) {
        let Some((part, at)) = self.part(line) else { return ("", Spot::Line(line)) };
        let named = usize::try_from(at).ok().and_then(|at| part.names.get(at));
        (&part.name, named.map_or(Spot::Line(at + part.first), |name| Spot::Named(name)))
    }

    /// Whether the line may be shown to whoever asked. One that nobody knows the file of is shown only with all others.
    pub fn is_shown(&self, line: u32) -> bool {
        self.part(line).map_or_else(|| self.all_shown(), |(part, _)| part.shown)
    }

    /// Whether every line may be.
    pub fn all_shown(&self) -> bool {
        self.starts.iter().all(|(part, _)| part.shown)
    }

    /// The same table, with the places of its rules in their own files.
    pub fn placed(&self, mut table: Table) -> Table {
        let several = self.starts.len() > 1;
        let rules = table.chains.iter_mut().flat_map(|chain| &mut chain.rules);
        for rule in rules {
            let Some(place) = &mut rule.place else { continue };
            let shown = self.is_shown(place.line);
            let (name, spot) = self.place(place.line);
            let of = if several { format!("of {name}: ") } else { String::new() };
            *place = match spot {
                Spot::Line(line) if !shown => Place { line, handle: None, text: format!("{of}{HIDDEN}") },
                Spot::Line(line) => Place { line, handle: None, text: format!("{of}{}", place.text) },
                Spot::Named(object) if !shown => {
                    Place { line: 0, handle: None, text: format!("{of}{object}: {HIDDEN}") }
                }
                Spot::Named(object) => Place { line: 0, handle: None, text: format!("{of}{object}: {}", place.text) },
            };
            // What is not known of it is known by its place as well.
            if let Some(Verdict::Unknown(text)) = rule.verdict.as_mut().filter(|_| !shown) {
                *text = place.described();
            }
        }
        table
    }
}

/// Where something stands in a file.
pub enum Spot<'a> {
    /// A line, from 1.
    Line(u32),
    /// In JSON, which may be one long line.
    Named(&'a str),
}
