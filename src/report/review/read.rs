//! Documents of JSON that this program made before: of one form and version, and saying one thing.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Why a text is no document of a form that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// It is no such document at all.
    #[error("is no document of `ringfence {0}` in JSON")]
    Other(&'static str),
    /// It is one of another version.
    #[error("is a document of another version of `ringfence {0}`, which this program does not read")]
    Version(&'static str),
    /// It is a document that says only why there is no report.
    #[error("says only why there was nothing to tell")]
    Empty,
    /// It says a thing twice, and readers do not agree which of these counts.
    #[error("has a field twice, so that it says two things")]
    Twice,
    /// A field is not as this version writes it.
    #[error("is not as `ringfence {0}` writes it: {1}")]
    Field(&'static str, String),
    /// It is a report without its rules.
    #[error(
        "is a report that has not all of its rules in it (of a kernel, of files that include others or that may not be shown, or by an \
         earlier version): name the rules that it is about, or hold it against what is now by `verify --review`"
    )]
    NoRules,
    /// It is about something else.
    #[error("is about {0}")]
    Another(String),
}

/// JSON in which no object has a field twice.
struct Once(Value);

/// Reads a document of a form, which has a field whenever it has something to say.
pub(super) fn document(text: &str, form: &'static str, field: &str) -> Result<Value, NotRead> {
    let document: Value = serde_json::from_str(text).map_err(|_| NotRead::Other(form))?;
    let schema = document.get("schema").and_then(Value::as_str).unwrap_or_default();
    let version = schema.strip_prefix("ringfence/").and_then(|rest| rest.strip_prefix(form)?.strip_prefix('/'));
    match version {
        None => return Err(NotRead::Other(form)),
        Some("1") => {}
        Some(_) => return Err(NotRead::Version(form)),
    }
    if document.get(field).is_none() {
        return Err(NotRead::Empty);
    }
    serde_json::from_str::<Once>(text).map(|own| own.0).map_err(|_| NotRead::Twice)
}

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Once;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Once, E> {
        Ok(Once(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Once, E> {
        Ok(Once(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Once, E> {
        Ok(Once(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Once, E> {
        Ok(Once(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Once, E> {
        Ok(Once(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Once, E> {
        Ok(Once(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Once, A::Error> {
        let mut all = Vec::new();
        while let Some(Once(value)) = list.next_element()? {
            all.push(value);
        }
        Ok(Once(all.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Once, A::Error> {
        let mut all = serde_json::Map::new();
        while let Some((name, Once(value))) = fields.next_entry::<String, Once>()? {
            if all.insert(name, value).is_some() {
                return Err(A::Error::custom("a field is there twice"));
            }
        }
        Ok(Once(all.into()))
    }
}
