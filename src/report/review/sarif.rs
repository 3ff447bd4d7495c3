//! A review as SARIF 2.1.0, for what gathers findings of many programs: each claim and each cell that is not proved, and each finding, at
//! its line of the cluster file. Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".
//!
//! Files are called as everywhere in the document, from the folder of the cluster file on. Where no line is known, a result stands at the
//! first one of the cluster file, since many readers show nothing that has no place.

use serde_json::{Value, json};

use super::grid::{Open, reasons, result};
use super::words::plain;
use super::{Fate, Finding, Review};
use crate::diagnostic::{Code, Plain};

/// The most results that are written; readers take no more (GitHub: 25,000, and shows the first 5,000).
const MOST: usize = 5000;

/// Where the schema is.
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Something that is told.
struct Told {
    rule: String,
    level: &'static str,
    message: String,
    /// Where, the first of these places first.
    places: Vec<(String, u32)>,
    related: Option<Value>,
    /// What it is about, from one run to the next.
    same: String,
}

/// A file and a line of it, of `clients.d/mail.toml:4`.
fn place(text: &str) -> Option<(String, u32)> {
    let (file, line) = text.rsplit_once(':')?;
    Some((file.to_owned(), line.parse().ok()?))
}

/// All of `a.toml:6; b.toml:6`, of what several clusters name.
fn places(text: &str) -> Vec<(String, u32)> {
    text.split("; ").filter_map(place).collect()
}

/// What is not to be read as markup: no link is made of it, and nothing is put in for a number (3.11.5, 3.11.6).
fn literal(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '[' | ']' | '\\' => all.extend(['\\', c]),
            '{' | '}' => all.extend([c, c]),
            _ => all.push(c),
        }
    }
    all
}

/// The gravest first: of more than are told, those are left out that weigh least.
fn weight(level: &str) -> u8 {
    match level {
        "error" => 0,
        "warning" => 1,
        _ => 2,
    }
}

/// The name of a file as a relative reference (RFC 3986, 4.2): what may not stand in it as its bytes' numbers.
fn uri(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let coded: String = name
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    // What begins with a slash would be a place on the reader's machine.
    coded.trim_start_matches('/').to_owned()
}

fn location(file: &str, line: u32) -> Value {
    json!({ "physicalLocation": { "artifactLocation": { "uri": uri(file) }, "region": { "startLine": line.max(1) } } })
}

fn level(finding: Finding) -> &'static str {
    match finding {
        Finding::Proved => "none",
        // The command ends the same for both, so that what looks at errors alone says no more.
        Finding::Violated | Finding::OnPurpose => "error",
        Finding::Undecided => "warning",
    }
}

impl Review {
    /// All that is found, as SARIF.
    ///
    /// # Errors
    /// Where it holds what JSON cannot say, as no review does.
    pub fn sarif(&self) -> Result<String, serde_json::Error> {
        let mut told = self.told();
        told.sort_by_key(|one| weight(one.level));
        let more = told.len().saturating_sub(MOST);
        told.truncate(MOST);
        let file = self.clusters.first().map_or("cluster.toml", |cluster| &cluster.file);
        let mut rules: Vec<&str> = told.iter().map(|one| one.rule.as_str()).collect();
        rules.sort_unstable();
        rules.dedup();
        let described = |id: &&str| json!({ "id": id, "shortDescription": { "text": about(id) } });
        let results: Vec<Value> = told.iter().map(|one| one.result(file, &rules)).collect();
        let log = json!({
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": {
                    "name": "ringfence",
                    "semanticVersion": self.version,
                    "rules": rules.iter().map(described).collect::<Vec<Value>>(),
                } },
                "columnKind": "unicodeCodePoints",
                "results": results,
                "properties": {
                    "verdict": self.verdict_text(),
                    "resultsLeftOut": more,
                },
            }],
        });
        Ok(serde_json::to_string_pretty(&log)? + "\n")
    }

    /// All that is found: claims, then strangers, then those whom the file names, and what was noted.
    fn told(&self) -> Vec<Told> {
        let open_claims = self.claims.iter().filter(|claim| claim.result != Finding::Proved);
        let claims = open_claims.map(|claim| {
            let why: Vec<String> = reasons(claim).iter().map(|(name, value)| format!("{name}: {value}")).collect();
            Told {
                rule: format!("claim-{}", claim.claim.replace(' ', "-")),
                level: level(claim.result),
                message: format!("{}: {}; {}", claim.claim, result(&claim.result), why.join("; ")),
                places: Vec::new(),
                related: None,
                same: claim.claim.to_owned(),
            }
        });
        let mut cells = self.open();
        cells.sort_by_key(Open::weight);
        let answers = self.answers.iter().filter(|answer| !answer.good).map(|answer| {
            let because = answer.because.as_ref().map(|why| format!("; because of: {why}")).unwrap_or_default();
            let (who, service) = (&answer.who, &answer.service);
            Told {
                rule: "whole-host".to_owned(),
                level: if answer.is_certain() { "error" } else { "warning" },
                message: format!("{who} {} {service}: {}{because}", answer.direction, answer.result),
                places: Vec::new(),
                related: None,
                same: format!("{who} {} {service}", answer.direction),
            }
        });
        let cells = cells.iter().map(|open| self.cell(open));
        let told = claims.chain(cells).chain(answers).chain(self.rehearsed()).chain(self.changed());
        told.chain(self.notes.iter().map(noted)).collect()
    }

    /// Rehearsals that saw something else.
    fn rehearsed(&self) -> impl Iterator<Item = Told> {
        self.rehearsals.iter().filter(|own| own.disagrees()).map(|own| {
            let shown = own.disagreements.first().map(|shown| format!(": {shown}")).unwrap_or_default();
            Told {
                rule: "rehearsal".to_owned(),
                level: "error",
                message: format!("a kernel did otherwise with real packets ({}){shown}", own.file.name),
                places: Vec::new(),
                related: None,
                same: own.file.name.clone(),
            }
        })
    }

    /// Who gains since the rules of before, and what is guarded no more.
    fn changed(&self) -> impl Iterator<Item = Told> {
        let told = |rule: &str, level, message: String, because: Option<&String>| Told {
            rule: rule.to_owned(),
            level,
            same: message.clone(),
            message,
            places: because.and_then(|because| place(because.rsplit(", ").next()?)).into_iter().collect(),
            related: None,
        };
        self.since.iter().flat_map(move |since| {
            let open = since.no_longer_guarded.iter().map(move |own| {
                told("no-longer-guarded", "warning", format!("no longer guarded since {}: {own}", since.names()), None)
            });
            let gains = since.moves.iter().filter(|own| own.change == "gains").map(move |own| {
                // Whom the cluster file admits is what somebody wanted.
                let level = if own.because.is_some() { "note" } else { "warning" };
                let packet = own.packet.as_ref().map(|packet| format!("; for example {packet}")).unwrap_or_default();
                let message = format!("gains since {}: {}: {}{packet}", since.names(), own.who, own.what);
                told("gains", level, message, own.because.as_ref())
            });
            let doubt = since.undecided.iter().map(move |why| {
                told("since-undecided", "warning", format!("what changed may not be all, because of: {why}"), None)
            });
            open.chain(gains).chain(doubt)
        })
    }

    fn cell(&self, open: &Open<'_>) -> Told {
        let cell = open.cell;
        let packet = cell.packet.as_ref().map(|packet| format!("; for example {packet}")).unwrap_or_default();
        let rule = cell.rule.and_then(|rule| self.deciding.get(rule.checked_sub(1)?));
        let by = rule.map(|rule| format!("; by {}: {}", rule.place(), rule.text)).unwrap_or_default();
        // Of several files it is not said which a line is of.
        let text = if let [one] = self.texts.as_slice() { Some(&one.name) } else { None };
        let related = rule.and_then(|rule| {
            let mut related = location(text.filter(|_| self.rules == "files")?, rule.line?);
            related.as_object_mut()?.insert("message".to_owned(), json!({ "text": "the rule that decides" }));
            Some(related)
        });
        let admitted = matches!(cell.wanted, Fate::Admitted);
        Told {
            rule: if admitted { "cell-to-be-admitted" } else { "cell-to-be-blocked" }.to_owned(),
            level: level(cell.shown),
            message: format!(
                "{}: {}, and the cluster file wants it {}{packet}{by}",
                open.place(),
                cell.word(),
                cell.wanted.word()
            ),
            places: places(&open.origin()),
            related,
            same: open.place(),
        }
    }
}

fn noted(note: &Plain) -> Told {
    let code = note.code.unwrap_or("note");
    let help = note.help.as_ref().map(|help| format!("; {}", plain(help))).unwrap_or_default();
    let file = note.base_name().map(|file| plain(&file));
    Told {
        rule: code.to_owned(),
        level: match note.severity {
            // Who believes a header that lies is deceived, and the command ends as for a violation.
            _ if code == Code::HeaderAdmits.as_str() => "error",
            "error" => "error",
            "warning" => "warning",
            _ => "note",
        },
        message: format!("{}{help}", plain(&note.message)),
        places: file.zip(note.line).into_iter().collect(),
        related: None,
        same: note.message.clone(),
    }
}

/// What a rule of this document is about.
fn about(id: &str) -> String {
    match id {
        "cell-to-be-admitted" => "Whom the cluster file admits to a service has to get in".to_owned(),
        "cell-to-be-blocked" => "Whom the cluster file does not admit to a service has to be blocked".to_owned(),
        "claim-isolation" => "Nobody gets to a guarded port whom the cluster file does not admit".to_owned(),
        "claim-reachability" => "Everybody gets to a service whom the cluster file admits".to_owned(),
        "claim-non-interference" => "Nothing else is blocked".to_owned(),
        "claim-own-replies" => "Answers to this host's own connections arrive".to_owned(),
        "rehearsal" => {
            "What a kernel does with real packets has to be what the rules compute to and what is wanted".to_owned()
        }
        "no-longer-guarded" => "A service that was guarded and is declared unused now".to_owned(),
        "gains" => "Who gets in who did not by the rules of before".to_owned(),
        "since-undecided" => "What changed since the rules of before cannot be said for certain".to_owned(),
        "whole-host" => "Who reaches whom on the whole host, with all its rules".to_owned(),
        code => format!("The finding `{code}`, as the reference explains it"),
    }
}

impl Told {
    fn result(&self, file: &str, rules: &[&str]) -> Value {
        let (own, line) = self.places.first().map_or((file, 1), |(file, line)| (file.as_str(), *line));
        let others = self.places.iter().skip(1).map(|(file, line)| location(file, *line));
        let related: Vec<Value> = others.chain(self.related.clone()).collect();
        let mut result = json!({
            "ruleId": self.rule,
            "ruleIndex": rules.binary_search(&self.rule.as_str()).unwrap_or_default(),
            "level": self.level,
            "message": { "text": literal(&self.message) },
            "locations": [location(own, line)],
            "partialFingerprints": { "ringfence/v1": super::Digested::of("", &format!("{} {}", self.rule, self.same)).sha256 },
        });
        if let Some(fields) = result.as_object_mut().filter(|_| !related.is_empty()) {
            fields.insert("relatedLocations".to_owned(), json!(related));
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_relative_references() {
        assert_eq!(uri("clients.d/mail.toml"), "clients.d/mail.toml");
        assert_eq!(uri("/a b#é?.toml"), "a%20b%23%C3%A9%3F.toml");
        assert_eq!(uri("c:x"), "c%3Ax");
        assert_eq!(place("clients.d/mail.toml:4"), Some(("clients.d/mail.toml".to_owned(), 4)));
        assert_eq!(place("x"), None);
        assert_eq!(places("a.toml:6; b.toml:7"), [("a.toml".to_owned(), 6), ("b.toml".to_owned(), 7)]);
        assert_eq!(literal("[a](https://x) {0} \\"), "\\[a\\](https://x) {{0}} \\\\");
    }
}
