//! The elements of sets and maps, named or not.

use serde_json::Value;

use super::expressions::{Like, element};
use super::statements::{stateful, unknown, verdict};
use super::words::{list, members, number, reference, remark, single, value};

/// `{ A, B }`: what an anonymous set holds.
pub fn set(values: &Value, likes: &[Like]) -> Option<String> {
    let values: Option<Vec<String>> = list(values).iter().map(|one| key(one, likes, false)).collect();
    Some(format!("{{ {} }}", values?.join(", ")))
}

/// `{ A : B }` or `@NAME`: a map from keys to values.
pub fn map_data(data: &Value, likes: &[Like]) -> Option<String> {
    pairs(data, likes, |to| element(to, &[]))
}

/// `{ A : accept }` or `@NAME`: a map from keys to verdicts.
pub fn verdict_data(data: &Value, likes: &[Like]) -> Option<String> {
    pairs(data, likes, verdict)
}

fn pairs(data: &Value, likes: &[Like], to: impl Fn(&Value) -> Option<String>) -> Option<String> {
    if let Some(name) = reference(data) {
        return Some(name.to_owned());
    }
    let (kind, elements) = single(data)?;
    let elements = elements.as_array().filter(|_| kind == "set")?;
    let pairs: Option<Vec<String>> = elements.iter().map(|pair| one_pair(pair, likes, false, &to)).collect();
    Some(format!("{{ {} }}", pairs?.join(", ")))
}

fn one_pair(pair: &Value, likes: &[Like], counted: bool, to: impl Fn(&Value) -> Option<String>) -> Option<String> {
    let [from, value] = pair.as_array()?.as_slice() else { return None };
    Some(format!("{} : {}", key(from, likes, counted)?, to(value)?))
}

/// An element of a named map.
pub fn named_pair(pair: &Value, likes: &[Like], counted: bool) -> Option<String> {
    one_pair(pair, likes, counted, |to| verdict(to).or_else(|| element(to, &[])))
}

/// Of what an element has, JSON has the first only: behind a counter there may be a quota, which decides whether the element
/// is found. Unless the set says that each of its elements has a counter and no more (`counted`), it is not known.
const ONLY_ONE: &str = "what else the element may have";

/// A key, and what is said of it.
pub fn key(one: &Value, likes: &[Like], counted: bool) -> Option<String> {
    match (one, single(one)) {
        // Whatever is in no other element of a map.
        (Value::String(star), _) if star == "*" => Some("*".to_owned()),
        // Bits together.
        (Value::Array(bits), _) => {
            let bits: Option<Vec<String>> = bits.iter().map(|one| value(one, false)).collect();
            bits.filter(|bits| !bits.is_empty()).map(|bits| bits.join(" | "))
        }
        (_, Some(("elem", inner))) => {
            let text = wrapped(inner, |value| key(value, likes, counted))?;
            let counts = ["counter", "last"].iter().any(|name| inner.get(name).is_some());
            Some(if counts && !counted { format!("{text} limit {}", unknown(&Value::from(ONLY_ONE))) } else { text })
        }
        _ => element(one, likes),
    }
}

/// `{"val": …, "timeout": …, "counter": …}`, behind `elem`.
pub fn wrapped(body: &Value, inner: impl Fn(&Value) -> Option<String>) -> Option<String> {
    let body = body.as_object()?;
    let mut text = inner(body.get("val")?)?;
    for (option, value) in body {
        match option.as_str() {
            "val" | "comment" => {}
            "timeout" | "expires" => text.push_str(&format!(" {option} {}s", number(value)?)),
            "counter" | "last" | "limit" | "quota" | "ct count" => {
                let one = serde_json::json!({ option.as_str(): value });
                text.push_str(&format!(" {}", stateful(&one)?));
            }
            // Whether it is found depends on something: the reader of texts takes it like this.
            other => text.push_str(&format!(" limit {}", unknown(&serde_json::json!({ other: value })))),
        }
    }
    if let Some(comment) = body.get("comment") {
        text.push_str(&format!(" comment {}", remark(comment.as_str()?)));
    }
    Some(text)
}

/// The types of a set: `type ipv4_addr . inet_service`, or what is of the same types.
pub fn types(value: &Value, of: impl Fn(&Value) -> Option<String>) -> Option<(&'static str, String)> {
    if let Some(inner) = members(value, &["typeof"]).and_then(|map| map.get("typeof")) {
        return Some(("typeof", of(inner)?));
    }
    let fit = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let names: Option<Vec<&str>> = list(value).iter().map(|one| one.as_str().filter(fit)).collect();
    names.filter(|names| !names.is_empty()).map(|names| ("type", names.join(" . ")))
}
