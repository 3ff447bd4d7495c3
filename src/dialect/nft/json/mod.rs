//! nft's JSON → nft's text, which one reader understands.
//!
//! `nft -j list ruleset` prints one document (libnftables-json(5)): a list of objects, or of commands with objects in them.
//! Each becomes one line of what `nft list ruleset` prints, and [`read`](super::read()) reads those. So there is one place that
//! decides what a rule means, and this one can only translate.
//!
//! - INVARIANT (nothing lost): every member of every object is either put into words, or known to mean nothing to packets
//!   (handles). A statement of which something is not known becomes a word that the reader of texts does not know, and
//!   everything behind it is then unknown, too; of a set, that its elements come and go; of a chain, that its first rule is
//!   unknown. What cannot be said in this way is an error.
//! - INVARIANT (words): no string of the document is taken for more than one word (`words.rs`).
//! - Lines of the text are named by their objects, as the document may be one long line.
//! - What some versions of nft leave out of JSON, and not of text, is doubted in `gaps.rs`.

mod elements;
mod expressions;
mod gaps;
mod objects;
mod statements;
mod translations;
mod words;

use serde_json::Value;

use gaps::Doubts;

use crate::dialect::read::{Read, ReadError};
use crate::ir::Place;

/// The only schema there is.
const SCHEMA: u64 = 1;

/// A document as nft's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// The text.
    pub text: String,
    /// Which object each line of it is: `rule 4 of chain input of table inet filter`.
    pub names: Vec<String>,
    /// What the document does not say, and no text can: what is not read of the ruleset.
    pub unread: Vec<String>,
}

/// Whether a text is JSON rather than nft's own words: what nft prints is an object.
#[must_use]
pub fn is_json(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with('{')
}

/// Translates a document.
pub fn translate(document: &str) -> Result<Translated, ReadError> {
    let parsed: Value = serde_json::from_str(document.trim_start_matches('\u{feff}')).map_err(|error| {
        let line = u32::try_from(error.line()).unwrap_or(u32::MAX).max(1);
        ReadError::new(line, format!("this is no JSON: {}", what_is_wrong(&error)))
    })?;
    let wrong = |message: String| ReadError::new(1, message);
    let known = words::members(&parsed, &["nftables"]).and_then(|document| document.get("nftables"));
    let Some(Value::Array(objects)) = known else {
        return Err(wrong("this JSON is not what `nft -j list ruleset` prints: `{\"nftables\": […]}`".to_owned()));
    };
    let mut translated = Translated { text: String::new(), names: Vec::new(), unread: Vec::new() };
    let mut doubts = Doubts::default();
    for (at, object) in objects.iter().enumerate() {
        let found = match words::single(object) {
            Some(("metainfo", inner)) => {
                doubts.of_version(inner);
                check_schema(inner).map(|()| Vec::new())
            }
            Some((command, inner)) => objects::command(command, inner),
            None => Err("an object with one name is expected".to_owned()),
        };
        doubts.see(object);
        let lines = found.map_err(|message| wrong(format!("object {} of the list: {message}", at + 1)))?;
        for (line, name) in lines {
            translated.text.push_str(&line);
            translated.text.push('\n');
            translated.names.push(name);
        }
    }
    translated.unread = doubts.into_texts();
    Ok(translated)
}

fn check_schema(metainfo: &Value) -> Result<(), String> {
    match metainfo.get("json_schema_version").and_then(words::number) {
        None | Some(SCHEMA) => Ok(()),
        Some(other) => Err(format!("version {other} of nft's JSON is not known")),
    }
}

/// The library's words without the place, which stands in front.
fn what_is_wrong(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

/// Reads a document.
pub fn read(document: &str) -> Result<Read, ReadError> {
    let translated = translate(document)?;
    let mut read = super::read(&translated.text).map_err(|error| translated.renamed(&error))?;
    read.ruleset.unread.extend(translated.unread.iter().cloned());
    let rules = read.ruleset.tables.iter_mut().flat_map(|table| &mut table.chains).flat_map(|chain| &mut chain.rules);
    for place in rules.filter_map(|rule| rule.place.as_mut()) {
        *place = translated.place(place);
    }
    for unknown in &mut read.unknown {
        unknown.text = format!("{}: {}", translated.name(unknown.line), unknown.text);
        unknown.line = 0;
    }
    Ok(read)
}

impl Translated {
    /// What stands in a line of the text.
    #[must_use]
    pub fn name(&self, line: u32) -> &str {
        let at = usize::try_from(line).ok().and_then(|line| line.checked_sub(1));
        at.and_then(|at| self.names.get(at)).map_or("the document", String::as_str)
    }

    /// A place in the text by the name of what stands there.
    #[must_use]
    pub fn place(&self, place: &Place) -> Place {
        Place { line: 0, handle: None, text: format!("{}: {}", self.name(place.line), place.text) }
    }

    /// An error of the text, with the name of what stands there.
    fn renamed(&self, error: &ReadError) -> ReadError {
        ReadError { line: 1, message: format!("{}: {}", self.name(error.line), error.message) }
    }
}
