//! What versions of nft leave out of their JSON, and have in their text.
//!
//! - 0.9.8 and 1.0.6 print the name of a table in the place of its flags, so that a firewall that sleeps (`flags dormant`) looks
//!   like one that is awake. From 1.1.3 on they are right; what lies between was not seen, and is doubted.
//! - 0.9.8 and 1.0.6 do not say which device an ingress chain of `inet` is for: then it may be any (`objects.rs`); nor that a set
//!   is dynamic, which matters where rules fill it, and those are there to be seen.
//! - Up to 1.1.3: of an element's statements, the first only. Taken so of all (`elements.rs`).
//! - All: whether a name that begins with `@` is an interface's or a set's (`expressions.rs`).
//! - All have numbers as decimal ones, which in a text are a sign of 0.9.8, which leaves out protocols: taken so of all.
//! - 1.0.6 has a rule that fills a map as a text, which is not understood; 0.9.8 breaks the document there, which is an error.

use serde_json::Value;

use super::words::{list, one_of, single};

/// The first version that prints the flags of a table, as far as was seen.
const PRINTS_FLAGS: (u32, u32, u32) = (1, 1, 3);

/// The flags that are known.
const FLAGS: [&str; 3] = ["dormant", "owner", "persist"];

/// What is doubted of a document.
#[derive(Debug, Default)]
pub struct Doubts {
    /// The version that printed it.
    version: Option<(u32, u32, u32)>,
    texts: Vec<String>,
}

impl Doubts {
    /// Takes the version from `metainfo`.
    pub fn of_version(&mut self, metainfo: &Value) {
        let text = metainfo.get("version").and_then(Value::as_str).unwrap_or_default();
        let mut numbers = text.split('.').map(|part| part.parse::<u32>().ok());
        let mut next = || numbers.next().flatten();
        self.version = match (next(), next(), next()) {
            (Some(major), Some(minor), patch) => Some((major, minor, patch.unwrap_or(0))),
            _ => None,
        };
    }

    /// Takes note of an object or a command.
    pub fn see(&mut self, object: &Value) {
        let found =
            single(object).and_then(|(kind, inner)| if kind == "table" { Some(inner) } else { table_of(inner) });
        let Some((table, flags)) = found.and_then(|table| Some((table, table.get("flags")?))) else { return };
        let prints = self.version.is_some_and(|version| version >= PRINTS_FLAGS);
        if prints && list(flags).iter().all(|flag| one_of(flag, &FLAGS).is_some()) {
            return;
        }
        let text = |key: &str| table.get(key).and_then(Value::as_str).unwrap_or_default();
        let name: String = format!("{} {}", text("family"), text("name")).chars().take(100).collect();
        let name = super::words::printable(&name);
        self.texts.push(format!("whether table {name} is dormant (this JSON has no flags that can be trusted)"));
    }

    /// What is not known, then.
    pub fn into_texts(self) -> Vec<String> {
        self.texts
    }
}

/// The table of a command.
fn table_of(inner: &Value) -> Option<&Value> {
    single(inner).filter(|(kind, _)| *kind == "table").map(|(_, table)| table)
}
