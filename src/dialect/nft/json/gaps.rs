//! What versions of nft leave out of their JSON, and have in their text.
//!
//! - Up to 1.0.6 at least, whether a table is dormant, so that a firewall that is put to sleep looks like one that is awake; nor
//!   which device an ingress chain of `inet` is for, nor that a set is dynamic. From 1.1.3 on these are there. What lies between
//!   was not seen, and is doubted.
//! - All: of an element's statements, the first only (`elements.rs`); whether a name of an interface that begins with `@` is one,
//!   or a set (`expressions.rs`). nft 1.0.6 has maps that rules fill as a text, and 0.9.8 breaks the document there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::words::single;

/// The first version that says which tables are dormant, as far as was seen.
const SAYS_DORMANT: (u32, u32, u32) = (1, 1, 3);

/// What is doubted of a document.
#[derive(Debug, Default)]
pub struct Doubts {
    /// The version that printed it.
    version: Option<(u32, u32, u32)>,
    named: String,
    /// Tables with chains at hooks, of which nothing says whether they are dormant.
    tables: BTreeSet<String>,
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
        self.named = text.chars().take(20).map(|c| if c.is_control() { '?' } else { c }).collect();
    }

    /// Takes note of an object of a listing. A command says all that is to be done.
    pub fn see(&mut self, object: &Value) {
        let Some(("chain", chain)) = single(object) else { return };
        if chain.get("hook").is_none() || self.version.is_some_and(|version| version >= SAYS_DORMANT) {
            return;
        }
        let text = |key: &str| chain.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = format!("{} {}", text("family"), text("table"));
        self.tables.insert(name.chars().take(100).map(|c| if c.is_control() { '?' } else { c }).collect());
    }

    /// What is not known, then.
    pub fn into_texts(self) -> Vec<String> {
        let who = if self.named.is_empty() { "who wrote this JSON".to_owned() } else { format!("nft {}", self.named) };
        let text = |table: String| {
            format!(
                "whether table {table} is dormant, which {who} may not say in JSON: give what `nft list ruleset` prints"
            )
        };
        self.tables.into_iter().map(text).collect()
    }
}
