//! JSON values → words of nft's text.
//!
//! INVARIANT (words): whatever a string holds, it becomes one word, or one text in quotes. It never ends a statement, opens a
//! bracket, or stands where a word of the grammar is due.

use serde_json::{Map, Value};

use crate::dialect::nft::read::fields::NO_VALUES;

/// Words beside those that begin a statement which mean something where a value may stand. A value of that name stands in quotes.
const GRAMMAR: [&str; 33] = [
    "map", "reject", "quota", "last", "ct", "meter", "add", "update", "delete", "flow", "synproxy", "and", "or", "xor",
    "not", "eq", "ne", "lt", "le", "gt", "ge", "to", "with", "name", "mod", "offset", "seed", "timeout", "expires",
    "elements", "rate", "over", "json",
];

/// Words that begin a statement and are values, too: of `ct status`, and of `icmp type`.
const VALUES_TOO: [&str; 3] = ["dnat", "snat", "redirect"];

fn means_something(text: &str) -> bool {
    GRAMMAR.contains(&text) || (NO_VALUES.contains(&text) && !VALUES_TOO.contains(&text))
}

/// The members of an object that has these, or some of them, and no others: a member that is not known might change what the
/// rest means.
pub fn members<'v>(value: &'v Value, known: &[&str]) -> Option<&'v Map<String, Value>> {
    value.as_object().filter(|map| map.keys().all(|key| known.contains(&key.as_str())))
}

/// A name or a value with a name, and what it holds, where it holds nothing else.
pub fn single(value: &Value) -> Option<(&str, &Value)> {
    let map = value.as_object().filter(|map| map.len() == 1)?;
    map.iter().next().map(|(key, value)| (key.as_str(), value))
}

/// A list, or what stands alone for a list of one.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

/// A keyword: letters, digits and dashes.
pub fn keyword(value: &Value) -> Option<&str> {
    flag(value).filter(|text| !means_something(text))
}

/// The name of a flag, which stands where nothing else can.
pub fn flag(value: &Value) -> Option<&str> {
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    value.as_str().filter(|text| !text.is_empty() && text.bytes().all(fit))
}

/// One of these words.
pub fn one_of<'v>(value: &'v Value, known: &[&str]) -> Option<&'v str> {
    value.as_str().filter(|text| known.contains(text))
}

/// A whole number, not below nothing.
pub fn number(value: &Value) -> Option<u64> {
    value.as_u64()
}

/// The name of a table, chain, set or object: as it is where it may stand so, else in quotes.
pub fn name(text: &str) -> Option<String> {
    if is_identifier(text) { Some(text.to_owned()) } else { quoted(text) }
}

/// Whether a name needs no quotes.
pub fn is_identifier(text: &str) -> bool {
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    begins && text.chars().all(is_of_name)
}

/// Whether a character may stand in a name without quotes.
pub fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')
}

/// `@NAME`, of a set or a map or a flow table.
pub fn reference(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| text.strip_prefix('@').is_some_and(is_identifier))
}

/// A text in quotes, if it can stand there.
pub fn quoted(text: &str) -> Option<String> {
    let fit = |c: char| !c.is_control() && c != '"';
    (!text.is_empty() && text.chars().all(fit)).then(|| format!("\"{text}\""))
}

/// Somebody's remark in quotes: what cannot stand there is replaced.
pub fn remark(text: &str) -> String {
    format!("\"{}\"", printable(text))
}

/// A text for an eye.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '"' | '\\') { '?' } else { c }).collect()
}

/// One value: a number, an address, a name.
pub fn value(value: &Value, named: bool) -> Option<String> {
    match value {
        Value::Number(number) => number.as_u64().map(|number| number.to_string()),
        // What is compared with either of these says whether something is there.
        Value::Bool(there) if !named => Some(if *there { "exists" } else { "missing" }.to_owned()),
        Value::String(text) if !named && is_plain(text) => Some(text.clone()),
        Value::String(text) => quoted(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether a value is one word without quotes: with one colon it would be three.
fn is_plain(text: &str) -> bool {
    let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == ':');
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b':');
    begins && text.bytes().all(fit) && text.bytes().filter(|byte| *byte == b':').count() != 1 && !means_something(text)
}
