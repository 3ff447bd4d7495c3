//! A document of before, read again, and how those in it fare otherwise in another.
//!
//! Both sides are read from their JSON, the one of now as well, so that neither is told in other words.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::words::{few, plain};
use super::{Move, Review};

/// What is read again of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Earlier {
    pub(super) verdict: String,
    pub(super) clusters: Vec<Input>,
    pub(super) texts: Vec<Text>,
    pub(super) families: Vec<String>,
    pub(super) staged: bool,
    pub(super) services: Vec<Service>,
    rows: Vec<Row>,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) node: Option<String>,
    pub(super) input: String,
}

/// A text of rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Text {
    pub(super) name: String,
    pub(super) sha256: String,
}

/// A service that was guarded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) ports: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Row {
    kind: String,
    who: String,
    sources: Vec<Source>,
    more: usize,
    family: String,
    interfaces: Vec<String>,
    other_interfaces: bool,
    addresses: String,
    cells: Vec<Cell>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Source {
    name: String,
    networks: Vec<String>,
    more: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Cell {
    found: String,
    wanted: String,
    shown: String,
}

/// Why a text is no document of before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEarlier {
    /// It is no such document at all.
    #[error("is no document of `ringfence report`")]
    Other,
    /// It is one of another version.
    #[error("is a document of another version of `ringfence report`, which this program does not read")]
    Version,
    /// It is one that says only why there is none.
    #[error("says only why there was nothing to judge")]
    Empty,
}

/// Who, of which family, by which interfaces; and which of those of one name.
type Key = (String, String, String, usize);

/// How somebody fares.
struct Fares<'a> {
    who: String,
    networks: Vec<String>,
    more: usize,
    /// At each service.
    at: BTreeMap<&'a str, String>,
}

impl Earlier {
    /// Reads a document.
    ///
    /// # Errors
    /// Where it is none.
    pub fn read(text: &str) -> Result<Self, NotEarlier> {
        let document: serde_json::Value = serde_json::from_str(text).map_err(|_| NotEarlier::Other)?;
        let schema = document.get("schema").and_then(serde_json::Value::as_str).unwrap_or_default();
        let Some(version) = schema.strip_prefix("ringfence/report/") else { return Err(NotEarlier::Other) };
        if version != "1" {
            return Err(NotEarlier::Version);
        }
        if document.get("rows").is_none() {
            return Err(NotEarlier::Empty);
        }
        // What an older program of this version did not write is not there.
        serde_json::from_value(document).map_err(|_| NotEarlier::Version)
    }

    /// The same of a review that was just made.
    #[must_use]
    pub fn of(review: &Review) -> Self {
        let value = serde_json::to_value(review);
        // Every review is JSON, and has these fields.
        value.and_then(serde_json::from_value).unwrap_or_default()
    }

    /// Everybody whom it names, and those who have no name.
    fn fares(&self) -> BTreeMap<Key, Fares<'_>> {
        let mut all = BTreeMap::new();
        for row in &self.rows {
            let on = match (row.interfaces.is_empty(), row.other_interfaces) {
                (true, _) => String::new(),
                (false, false) => format!(" on {}", row.interfaces.join(", ")),
                (false, true) => format!(" on others than {}", row.interfaces.join(", ")),
            };
            let at: BTreeMap<&str, String> = self
                .services
                .iter()
                .zip(&row.cells)
                .map(|(service, cell)| (service.name.as_str(), cell.word()))
                .collect();
            let nameless = Source { name: row.who.clone(), networks: Vec::new(), more: 0 };
            let is_named = matches!(row.kind.as_str(), "peers" | "client");
            let sources = if is_named { row.sources.as_slice() } else { std::slice::from_ref(&nameless) };
            for source in sources {
                let who = match row.kind.as_str() {
                    "peers" => format!("node {}{on}", source.name),
                    "client" => format!("client {}{on}", source.name),
                    _ => format!("{}{on}", source.name),
                };
                let mut key = (row.kind.clone(), who.clone(), row.family.clone(), 0);
                while all.contains_key(&key) {
                    key.3 += 1;
                }
                let fares = Fares { who, networks: source.networks.clone(), more: source.more, at: at.clone() };
                all.insert(key, fares);
            }
        }
        all
    }

    /// Whether some are counted and not named.
    fn is_cut(&self) -> bool {
        self.rows.iter().any(|row| row.more > 0)
    }

    /// Who fares otherwise in `new`, and why that is not all that can be said, where it is not.
    pub(super) fn moves(&self, new: &Self) -> (Vec<Move>, Option<String>) {
        let (before, now) = (self.fares(), new.fares());
        let mut moves = Vec::new();
        let mut open = (self.is_cut() || new.is_cut()).then(|| "not everybody is named in both documents".to_owned());
        for (key, own) in &now {
            let family = &key.2;
            match before.get(key) {
                Some(old) => {
                    moves.extend(between(old, own, family));
                    if (old.more > 0 || own.more > 0) && self.clusters != new.clusters {
                        open.get_or_insert_with(|| {
                            format!("not all networks of {} are named in both documents", own.who)
                        });
                    }
                }
                None => moves.push(alone(own, family, "is new", "gains")),
            }
        }
        let gone = before.iter().filter(|(key, _)| !now.contains_key(*key));
        moves.extend(gone.map(|(key, own)| alone(own, &key.2, "is no more", "loses")));
        (moves, open)
    }

    /// What of a document that was made now is not as in this one, in words. Rules of a kernel have no text, so that only what they do is
    /// compared.
    #[must_use]
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut all = Vec::new();
        let mut differ = |what: &str, same: bool| {
            if !same {
                all.push(what.to_owned());
            }
        };
        let inputs = |own: &Self| -> Vec<(String, String)> {
            own.clusters.iter().map(|cluster| (cluster.name.clone(), cluster.input.clone())).collect()
        };
        differ("it was made of another cluster file (profile and included files count)", inputs(self) == inputs(now));
        let nodes =
            |own: &Self| -> Option<Vec<String>> { own.clusters.iter().map(|cluster| cluster.node.clone()).collect() };
        // Rules for every node are also those of one.
        differ("it is about another node", nodes(self).zip(nodes(now)).is_none_or(|(one, other)| one == other));
        let sorted = |texts: &[Text]| {
            let mut all: Vec<String> = texts.iter().map(|text| text.sha256.clone()).collect();
            all.sort();
            all
        };
        let texts = self.texts.is_empty() || now.texts.is_empty() || sorted(&self.texts) == sorted(&now.texts);
        differ("it is about other texts of rules", texts);
        differ("it judges other families", self.families == now.families);
        differ("its verdict is another one", self.verdict == now.verdict && self.staged == now.staged);
        differ("other services are guarded, or other ports", self.services == now.services);
        differ(
            "its matrix is another one: who gets in, or what is wanted, or how that is known",
            self.rows == now.rows,
        );
        all
    }
}

impl Cell {
    fn word(&self) -> String {
        match self.shown.as_str() {
            "proved" => self.found.clone(),
            "violated" => format!("VIOLATED: {}", self.found),
            "violated-on-purpose" => format!("{} on purpose", self.found),
            _ => "undecided".to_owned(),
        }
    }
}

/// Whether somebody gets in by this word, or may.
fn gets_in(word: &str) -> bool {
    !matches!(word, "blocked" | "VIOLATED: blocked" | "VIOLATED: blocked-elsewhere")
}

fn named(fares: &Fares<'_>, family: &str) -> String {
    plain(&format!("{}, {family}", fares.who))
}

fn alone(own: &Fares<'_>, family: &str, so: &str, change: &'static str) -> Move {
    let services: Vec<String> =
        own.at.iter().filter(|(_, word)| gets_in(word)).map(|(name, word)| format!("{name} {word}")).collect();
    let admitted = if services.is_empty() { "nothing".to_owned() } else { services.join(", ") };
    let from = if own.networks.is_empty() { String::new() } else { format!(" ({})", few(&own.networks, 4, own.more)) };
    let change = if services.is_empty() { "other" } else { change };
    Move {
        change,
        who: named(own, family),
        what: plain(&format!("{so}{from}: {admitted}")),
        because: None,
        packet: None,
    }
}

fn between(old: &Fares<'_>, new: &Fares<'_>, family: &str) -> Vec<Move> {
    let mut alike: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (service, word) in &new.at {
        // What becomes of services that are guarded no more is said of all at once.
        if let Some(before) = old.at.get(service).filter(|before| *before != word) {
            alike.entry((before, word)).or_default().push(service);
        }
    }
    let moved = |((before, now), services): ((&str, &str), Vec<&str>)| Move {
        change: match (gets_in(before), gets_in(now)) {
            (false, true) => "gains",
            (true, false) => "loses",
            _ => "other",
        },
        who: named(new, family),
        what: plain(&format!("{}: {now}, and before {before}", services.join(", "))),
        because: None,
        packet: None,
    };
    let mut all: Vec<Move> = alike.into_iter().map(moved).collect();
    if old.networks != new.networks || old.more != new.more {
        let list = |fares: &Fares<'_>| few(&fares.networks, 4, fares.more);
        let what = plain(&format!("comes from {}, and before from {}", list(new), list(old)));
        all.push(Move { change: "other", who: named(new, family), what, because: None, packet: None });
    }
    all
}
