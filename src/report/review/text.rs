//! A review as plain text, for a terminal or a file.

use std::fmt::Write as _;

use super::grid::{GLOSSARY, Open, Piece, reasons, result};
use super::words::few;
use super::{Reason, Review, Row};

/// The most sources of a row that are named.
const NAMED: usize = 4;

/// The matrix alone; behind it the cells that are not proved.
impl Review {
    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("Review of {}\n{}\n\n", self.title(), self.verdict_text());
        self.identity(&mut text);
        if let Some(since) = &self.since {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\nCHANGED since {}", since.names());
            since.lines().iter().for_each(|(own, words)| _ = writeln!(text, "  {own}{words}"));
        }
        text.push_str("\nCLAIMS\n");
        for claim in &self.claims {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {:16} {}", claim.claim, result(&claim.result));
            for (name, value) in reasons(claim) {
                let _ = writeln!(text, "    {name}: {value}");
            }
        }
        if !self.answers.is_empty() {
            text.push_str("\nON THE WHOLE HOST, with all its rules\n");
            let all = super::super::Whole { answers: self.answers.clone() };
            all.text().lines().skip(1).for_each(|line| text.push_str(&format!("{line}\n")));
        }
        text.push_str("\nMATRIX: who gets to which service, by the rules\n");
        text.push_str(&self.matrix_text());
        self.rest(&mut text);
        text
    }

    fn identity(&self, text: &mut String) {
        for cluster in &self.clusters {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "cluster {}: {}, profile {}", cluster.name, cluster.file, cluster.profile);
            let _ = writeln!(text, "  input sha256 {}", cluster.input);
        }
        for digested in &self.texts {
            let _ = writeln!(text, "rules {}\n  sha256 {}", digested.name, digested.sha256);
        }
        if let Some(host) = &self.host {
            let _ = writeln!(text, "asked the kernel of {} at {} as user {}", host.name, host.at, host.uid);
        }
        let _ = writeln!(text, "families: {}", self.families.join(", "));
        let _ = writeln!(text, "made by ringfence {}", self.version);
    }

    /// The matrix, and below it what is not proved in it and the rules that decide.
    #[must_use]
    pub fn matrix_text(&self) -> String {
        let mut table =
            vec![[vec![String::new(); 3], self.services.iter().map(|own| own.name.clone()).collect()].concat()];
        table.push([vec![String::new(); 3], self.services.iter().map(|own| few(&own.ports, 2, 0)).collect()].concat());
        for row in &self.rows {
            let cells = row.cells.iter().map(|cell| format!("{} {}", cell.word(), cell.number()).trim_end().to_owned());
            table.push([row.label(), row.family.to_owned(), row.size()].into_iter().chain(cells).collect());
        }
        let mut text = columns(&table);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}", self.counts_text());
        self.not_judged().iter().for_each(|half| _ = writeln!(text, "  {half}"));
        self.lies.iter().for_each(|lie| _ = writeln!(text, "  VIOLATED, though not in a cell: {lie}"));
        if let Some(part) = &self.because {
            let _ = writeln!(text, "  nothing is certain because of: {part}");
        }
        for open in self.open().into_iter().filter(|open| open.cell.packet.is_some()) {
            let Open { cell, .. } = &open;
            let wanted = cell.wanted.word();
            let _ = writeln!(text, "\n  {}: {}, and the cluster file wants it {wanted}", open.place(), cell.word());
            cell.packet.iter().for_each(|packet| _ = writeln!(text, "    packet: {packet}"));
            let rule = cell.rule.and_then(|rule| self.deciding.get(rule.checked_sub(1)?));
            rule.iter().for_each(|rule| _ = writeln!(text, "    rule:   {}: {}", rule.place(), rule.text));
            open.no_rule().iter().for_each(|none| _ = writeln!(text, "    rule:   {none}"));
        }
        if self.shows_less_than_claims() {
            text.push_str(
                "  a claim above is not proved though every cell is: the packet that shows it belongs to no cell\n",
            );
        }
        if !self.deciding.is_empty() {
            text.push_str("\n  rules that decide, of the packet that is shown or of the first source's request:\n");
        }
        for (at, rule) in self.deciding.iter().enumerate() {
            let _ = writeln!(text, "  [{}] {}: {}", at + 1, rule.place(), rule.text);
        }
        text
    }

    fn rest(&self, text: &mut String) {
        text.push_str("\nSOURCES, and where the cluster file names them\n");
        self.rows.iter().filter(|row| !row.sources.is_empty()).for_each(|row| sources(text, row));
        let mut section = |title: &str, lines: Vec<String>| {
            if !lines.is_empty() {
                let _ = writeln!(text, "\n{title}");
                lines.iter().for_each(|line| _ = writeln!(text, "  - {line}"));
            }
        };
        section(
            "NOT GUARDED, because declared unused",
            self.unguarded
                .iter()
                .map(|own| match &own.why {
                    Some(why) => format!("{}: {why}", own.words()),
                    None => own.words(),
                })
                .collect(),
        );
        let (reasons, more) = self.reasons_shown();
        let words = |own: &Reason| {
            let term = own.term().map(|term| format!(", {term}")).unwrap_or_default();
            let why = own.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{} ({}){term}{why}", own.client, own.place)
        };
        let more = (more > 0).then(|| format!("and {more} more"));
        section(
            "WHY clients are admitted, and until when",
            self.days_text().into_iter().chain(reasons.iter().map(words)).chain(more).collect(),
        );
        section("NOT UNDERSTOOD in the rules, and assumed to be able to do anything", self.not_understood.clone());
        section(
            "ALLOWED by the cluster file",
            self.allowances.iter().map(|own| format!("{} ({})", own.what, own.place)).collect(),
        );
        section("FOUND about the cluster file", self.notes.iter().map(super::noted).collect());
        for (_, title, lines) in self.further() {
            section(&title.to_uppercase(), lines.iter().map(|line| line.iter().map(Piece::words).collect()).collect());
        }
        section("WHAT IT RESTS ON", self.assumptions.clone());
        let ports = format!("net.ipv4.ip_local_reserved_ports has {}", self.reserved_ports.join(","));
        section("FOR OWN CONNECTIONS", vec![ports]);
        section("TAKEN FROM", self.taken_from.clone());
        section("WORDS", GLOSSARY.iter().map(|(word, meaning)| format!("{word}: {meaning}")).collect());
    }
}

fn sources(text: &mut String, row: &Row) {
    let named: Vec<String> = row
        .sources
        .iter()
        .take(NAMED)
        .map(|source| format!("{} {} ({})", source.name, few(&source.networks, NAMED, source.more), source.place))
        .collect();
    let more = row.sources.len() - named.len() + row.more;
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {}, {}: {}", row.label(), row.family, few(&named, NAMED, more));
}

/// Cells under each other.
fn columns(table: &[Vec<String>]) -> String {
    let width =
        |at: usize| table.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..table.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for row in table {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| {
            // The number of addresses stands under those above it.
            if at == 2 { format!("{cell:>width$}") } else { format!("{cell:width$}") }
        });
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}
