//! A document of before, held against one that is made now: word for word, since a signature of it covers all that it says.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::Digested;
use super::read::{NotRead, document};
use super::words::plain;
use crate::cluster::Day;
use crate::host::time::seconds;

/// The most places that are named of what differs in one part.
const PLACES: usize = 3;
/// How many letters of a value are shown.
const LETTERS: usize = 80;

/// A document of before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier(Value);

impl Earlier {
    /// Reads a document.
    ///
    /// # Errors
    /// It is no such document, or contradicts itself.
    pub fn read(text: &str) -> Result<Self, NotRead> {
        document(text, "report", "rows").map(Self)
    }

    /// The day that it holds last days of clients against, where it has one.
    #[must_use]
    pub fn today(&self) -> Option<Day> {
        self.0.get("today")?.as_str()?.parse().ok()
    }

    /// The texts of the rules that it is about, each with its name.
    ///
    /// # Errors
    /// It has none of them, or not all, or one that its digest is not of.
    pub fn rules(&self) -> Result<Vec<(String, String)>, NotRead> {
        let of = |field: &'static str| move |text: &Value| text.get(field)?.as_str().map(str::to_owned);
        let texts = self.0.get("texts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let found: Vec<(String, String)> =
            texts.iter().filter_map(|text| Some((of("name")(text)?, of("text")(text)?))).collect();
        // Of rules that a cluster file makes all texts mean the same.
        let enough = if self.0.get("rules").is_some_and(|rules| rules == "compiled") { 1 } else { texts.len() };
        if found.is_empty() || found.len() < enough {
            return Err(NotRead::NoRules);
        }
        let is_own =
            |text: &Value| of("text")(text).is_none_or(|own| of("sha256")(text) == Some(Digested::of("", &own).sha256));
        match texts.iter().position(|text| !is_own(text)) {
            Some(at) => Err(NotRead::Field("report", format!("texts/{at}/sha256 is not the digest of the text"))),
            None => Ok(found),
        }
    }

    /// What of a document that was made now is not as in this one, in words: all of it counts, but for the time and the user of a look at a
    /// host.
    #[must_use]
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let (before, now) = (self.timeless(), now.timeless());
        let mut places = BTreeMap::new();
        differ(&before, &now, &mut Vec::new(), &mut places);
        places.iter().map(|(part, all)| format!("{}{}", about(part), shown(all))).collect()
    }

    fn timeless(&self) -> Value {
        let mut own = self.0.clone();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if let Some(host) = own.get_mut("host").and_then(Value::as_object_mut) {
            // That they were said is compared.
            for (field, value) in host {
                let is_one = match field.as_str() {
                    // Anything else than a time might say anything.
                    "at" => value.as_str().and_then(seconds).is_some_and(|at| at <= now),
                    "uid" => value.as_u64().is_some_and(|uid| u32::try_from(uid).is_ok()),
                    _ => false,
                };
                if is_one {
                    *value = Value::Null;
                }
            }
        }
        own
    }
}

/// Notes every place where two values differ, by the part of the document that it is in.
fn differ(before: &Value, now: &Value, at: &mut Vec<String>, places: &mut BTreeMap<String, Vec<String>>) {
    if before == now {
        return;
    }
    let missing = Value::Null;
    let mut deeper = |name: String, one: Option<&Value>, other: Option<&Value>| {
        at.push(name);
        match (one, other) {
            (Some(one), Some(other)) => differ(one, other, at, places),
            _ => note(one.unwrap_or(&missing), other.unwrap_or(&missing), at, places),
        }
        at.pop();
    };
    match (before, now) {
        (Value::Object(one), Value::Object(other)) => {
            for (name, value) in one {
                if other.get(name) != Some(value) {
                    deeper(name.clone(), Some(value), other.get(name));
                }
            }
            for (name, value) in other.iter().filter(|(name, _)| !one.contains_key(*name)) {
                deeper(name.clone(), None, Some(value));
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            for place in 0..one.len().max(other.len()) {
                if one.get(place) != other.get(place) {
                    deeper(place.to_string(), one.get(place), other.get(place));
                }
            }
        }
        (
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            _,
        ) => {
            note(before, now, at, places);
        }
    }
}

fn note(before: &Value, now: &Value, at: &[String], places: &mut BTreeMap<String, Vec<String>>) {
    let (part, place) = at.split_first().map_or(("", String::new()), |(part, rest)| (part, rest.join("/")));
    let place = if place.is_empty() { String::new() } else { format!("at {place} ") };
    let known = places.entry(part.to_owned()).or_default();
    // Nobody reads the others; that there are some is told by one more.
    if known.len() <= PLACES {
        known.push(format!("{place}it has {}, and now it is {}", brief(before), brief(now)));
    }
}

fn brief(value: &Value) -> String {
    let text = plain(&value.to_string());
    if text.chars().count() <= LETTERS {
        return text;
    }
    text.chars().take(LETTERS).chain(['…']).collect()
}

fn shown(all: &[String]) -> String {
    let more = if all.len() > PLACES { "; and more" } else { "" };
    let some: Vec<&str> = all.iter().take(PLACES).map(String::as_str).collect();
    format!(": {}{more}", plain(&some.join("; ")))
}

/// What a part of a document is about.
fn about(part: &str) -> String {
    match part {
        "clusters" => {
            "it was made of another cluster file (profile and included files count), or is about another node"
                .to_owned()
        }
        "texts" => "it is about other texts of rules".to_owned(),
        "families" => "it judges other families".to_owned(),
        "verdict" | "staged" => "its verdict is another one".to_owned(),
        "services" => "other services are guarded, or other ports".to_owned(),
        "rows" => "its matrix is another one: who gets in, or what is wanted, or how that is known".to_owned(),
        "claims" | "answers" => "what came of its claims or answers is another".to_owned(),
        "since" => "it says what changed since other rules, which is not held".to_owned(),
        "version" => "it was made by another version of ringfence".to_owned(),
        part => format!("its `{}` is another", plain(part)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "\"schema\": \"ringfence/report/1\"";

    fn read(rest: &str) -> Result<Earlier, NotRead> {
        Earlier::read(&format!("{{{HEAD}, {rest}}}"))
    }

    #[test]
    fn what_says_two_things_is_none() {
        assert_eq!(read("\"rows\": [], \"verdict\": \"proved\", \"verdict\": \"violated\""), Err(NotRead::Twice));
        assert_eq!(read("\"rows\": [{\"a\": 1, \"a\": 1}]"), Err(NotRead::Twice));
        assert_eq!(read("\"errors\": []"), Err(NotRead::Empty));
        assert_eq!(Earlier::read("{}"), Err(NotRead::Other("report")));
    }

    #[test]
    fn all_but_the_time_counts() {
        let one =
            |host: &str, more: &str| read(&format!("\"rows\": [1, {{\"x\": [2]}}], \"host\": {host}{more}")).unwrap();
        let own = one("{\"name\": \"a\", \"at\": \"2026-01-02T03:04:05Z\", \"uid\": 0}", "");
        assert_eq!(
            own.differences(&one("{\"uid\": 7, \"name\": \"a\", \"at\": \"2026-02-02T03:04:05Z\"}", "")),
            [] as [String; 0]
        );
        for other in [
            one("{\"name\": \"b\", \"at\": \"2026-01-02T03:04:05Z\", \"uid\": 0}", ""),
            one("{\"name\": \"a\", \"uid\": 0}", ""),
            one("{\"name\": \"a\", \"at\": {\"say\": 1}, \"uid\": 0}", ""),
            one("{\"name\": \"a\", \"at\": \"2026-01-02T03:04:05Z, and evil is admitted\", \"uid\": 0}", ""),
            one("{\"name\": \"a\", \"at\": \"9026-01-02T03:04:05Z\", \"uid\": 0}", ""),
            one("{\"name\": \"a\", \"at\": \"2026-01-02T03:04:05Z\", \"uid\": 0}", ", \"new\": null"),
        ] {
            assert_eq!(own.differences(&other).len(), 1, "{other:?}");
            assert_eq!(other.differences(&own).len(), 1, "{other:?}");
        }
        let other = read(
            "\"rows\": [1, {\"x\": [3, 4]}], \"host\": {\"name\": \"a\", \"at\": \"2026-01-02T03:04:05Z\", \"uid\": 0}",
        )
        .unwrap();
        let said = own.differences(&other);
        assert!(
            said[0].contains("at 1/x/0 it has 2, and now it is 3; at 1/x/1 it has null, and now it is 4"),
            "{said:?}"
        );
    }
}
