//! A review as Markdown (GFM), for a merge request.
//!
//! INVARIANT (code): what comes from a file or a kernel stands in code spans, in which nothing is markup, a link or somebody's name.

use std::fmt::Write as _;

use super::grid::{GLOSSARY, Open, Piece, reasons, result};
use super::words::few;
use super::{Reason, Review};

/// The most sources of a row that are named.
const NAMED: usize = 4;

/// A text as code, behind as many backticks as it takes. In a table a pipe would end the cell, in code, too (GFM, 4.10).
fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let text = text.replace('|', "\\|");
    let pad = if text.starts_with('`') || text.ends_with('`') || text.trim() != text || text.trim().is_empty() {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

impl Review {
    /// All of it as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# Review of {}\n\n**{}**\n\n", code(&self.title()), self.verdict_text());
        self.identity_rows(&mut text);
        if let Some(since) = &self.since {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\n## Changed since {}\n", code(&since.names()));
            since.lines().iter().for_each(|(own, words)| _ = writeln!(text, "- {own}{}", code(words)));
        }
        text.push_str("\n## Claims\n\n| claim | | |\n|---|---|---|\n");
        for claim in &self.claims {
            let why: Vec<String> =
                reasons(claim).iter().map(|(name, value)| format!("{name}: {}", code(value))).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {} | {} | {} |", claim.claim, result(&claim.result), why.join("<br>"));
        }
        self.answered(&mut text);
        self.matrix_rows(&mut text);
        self.open_cells(&mut text);
        self.sections(&mut text);
        text
    }

    fn identity_rows(&self, text: &mut String) {
        text.push_str("| | |\n|---|---|\n");
        let mut row = |name: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {name} | {value} |");
        };
        for cluster in &self.clusters {
            row(
                "cluster",
                format!("{}, {}, profile {}", code(&cluster.name), code(&cluster.file), code(&cluster.profile)),
            );
            row("input", format!("sha256 {}", code(&cluster.input)));
        }
        for digested in &self.texts {
            row("rules", format!("{}, sha256 {}", code(&digested.name), code(&digested.sha256)));
        }
        if let Some(host) = &self.host {
            row("kernel asked", format!("{} at {} as user {}", code(&host.name), host.at, host.uid));
        }
        row("families", self.families.join(", "));
        row("ringfence", self.version.to_owned());
    }

    fn answered(&self, text: &mut String) {
        if self.answers.is_empty() {
            return;
        }
        text.push_str(
            "\n## The whole host\n\n| who | | service | | packet | because of |\n|---|---|---|---|---|---|\n",
        );
        for one in &self.answers {
            let good = if one.good { one.result.to_owned() } else { format!("**{}**", one.result.to_uppercase()) };
            let shown = |value: &Option<String>| value.as_deref().map(code).unwrap_or_default();
            let (packet, because) = (shown(&one.packet), shown(&one.because));
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {good} | {packet} | {because} |",
                code(&one.who),
                one.direction,
                code(&one.service)
            );
        }
    }

    fn matrix_rows(&self, text: &mut String) {
        text.push_str("\n## Who gets to which service, by the rules\n\n| who | | addresses |");
        let services = || self.services.iter();
        // Writing to a String cannot fail.
        services().for_each(|own| _ = write!(text, " {}<br>{} |", code(&own.name), few(&own.ports, NAMED, 0)));
        let _ = writeln!(text, " named in |\n|---|---|--:|{}---|", "---|".repeat(self.services.len()));
        for row in &self.rows {
            let _ = write!(text, "| {} | {} | {} |", code(&row.label()), row.family, row.size());
            for cell in &row.cells {
                let strong = if cell.shown == super::Finding::Proved { "" } else { "**" };
                let number = cell.number();
                let seen = cell.seen().map(|seen| format!("<br>rehearsed: {seen}")).unwrap_or_default();
                let _ = write!(text, " {strong}{}{strong} {number}{seen} |", cell.word());
            }
            let _ = writeln!(text, " {} |", code(&row.origin()));
        }
        let _ = writeln!(text, "\nCells: {}.", self.counts_text());
        for lie in &self.lies {
            let _ = writeln!(text, "**VIOLATED**, though not in a cell: {}\n", code(lie));
        }
        if let Some(part) = &self.because {
            let _ = writeln!(text, "Nothing is certain because of {}.", code(part));
        }
        if self.shows_less_than_claims() {
            text.push_str(
                "A claim above is not proved though every cell is: the packet that shows it belongs to no cell.\n",
            );
        }
    }

    fn open_cells(&self, text: &mut String) {
        let open: Vec<Open<'_>> = self.open().into_iter().filter(|open| open.cell.packet.is_some()).collect();
        if !open.is_empty() {
            text.push_str(
                "\n## Cells that are not proved\n\n| cells | rules | wanted | packet | rule |\n|---|---|---|---|---|\n",
            );
        }
        for open in open {
            let Open { cell, .. } = &open;
            let packet = cell.packet.as_deref().map(code).unwrap_or_default();
            let (found, wanted, number) = (cell.word(), cell.wanted.word(), cell.number());
            // Writing to a String cannot fail.
            let number = open.no_rule().map_or(number, str::to_owned);
            let _ = writeln!(text, "| {} | {found} | {wanted} | {packet} | {number} |", code(&open.place()));
        }
        text.push_str("\n## Rules that decide\n\nOf the packet that is shown, or of the first source's request for a connection.\n\n");
        text.push_str("| | where | rule |\n|---|---|---|\n");
        for (at, rule) in self.deciding.iter().enumerate() {
            let _ = writeln!(text, "| [{}] | {} | {} |", at + 1, code(&rule.place()), code(&rule.text));
        }
    }

    fn sections(&self, text: &mut String) {
        let mut section = |title: &str, lines: Vec<String>| {
            if !lines.is_empty() {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "\n## {title}\n");
                lines.iter().for_each(|line| _ = writeln!(text, "- {line}"));
            }
        };
        section(
            "Not guarded, because declared unused",
            self.unguarded
                .iter()
                .map(|own| match &own.why {
                    Some(why) => format!("{}: {}", code(&own.words()), code(why)),
                    None => code(&own.words()),
                })
                .collect(),
        );
        let (reasons, more) = self.reasons_shown();
        let words = |own: &Reason| {
            let term = own.term().map(|term| format!(", {term}")).unwrap_or_default();
            let why = own.why.as_ref().map(|why| format!(": {}", code(why))).unwrap_or_default();
            format!("{} ({}){term}{why}", code(&own.client), code(&own.place))
        };
        let more = (more > 0).then(|| format!("and {more} more"));
        section(
            "Why clients are admitted, and until when",
            self.days_text().into_iter().chain(reasons.iter().map(words)).chain(more).collect(),
        );
        section("Not understood in the rules", self.not_understood.iter().map(|part| code(part)).collect());
        section(
            "Allowed by the cluster file",
            self.allowances.iter().map(|own| format!("{} ({})", code(&own.what), code(&own.place))).collect(),
        );
        section("Found about the cluster file", self.notes.iter().map(|note| code(&super::noted(note))).collect());
        for (_, title, lines) in self.further() {
            let shown = |piece: &Piece| if piece.is_foreign() { code(piece.words()) } else { piece.words().to_owned() };
            section(title, lines.iter().map(|line| line.iter().map(shown).collect()).collect());
        }
        let ports = format!("`net.ipv4.ip_local_reserved_ports` has {}", self.reserved_ports.join(","));
        // These are sentences of this program.
        section("What it rests on", self.assumptions.iter().cloned().chain([ports]).collect());
        section("Taken from", self.taken_from.iter().map(|writer| code(writer)).collect());
        section("Words", GLOSSARY.iter().map(|(word, meaning)| format!("**{word}**: {meaning}")).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn code_stays_code() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`a"), "`` `a ``");
        assert_eq!(code("a|<b>*@all*"), "`a\\|<b>*@all*`");
        assert_eq!(code(" "), "`   `");
    }
}
