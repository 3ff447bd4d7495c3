//! JSON whose values keep their places.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::diagnostic::{FileId, Span};

/// A text and a value in it.
#[derive(Clone, Copy)]
pub(super) struct Json<'a> {
    whole: &'a str,
    file: FileId,
    raw: &'a RawValue,
}

/// What a value is.
pub(super) enum Kind<'a> {
    Object(Vec<(Key<'a>, Json<'a>)>),
    List(Vec<Json<'a>>),
    Text(Cow<'a, str>),
    Number(&'a str),
    /// `null`, `true` or `false`.
    Word,
}

/// A key and its place.
pub(super) struct Key<'a> {
    pub text: Cow<'a, str>,
    pub span: Span,
}

/// Borrowed wherever it has no escapes.
#[derive(Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object with all its keys, also those that are there twice.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Own;
        impl<'de> Visitor<'de> for Own {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((Borrowed(key), value)) = map.next_entry::<Borrowed<'de>, &'de RawValue>()? {
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Own)
    }
}

impl<'a> Json<'a> {
    /// The value that a text is.
    pub(super) fn parse(whole: &'a str, file: FileId) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<&RawValue>(whole).map(|raw| Self { whole, file, raw })
    }

    /// Its place.
    pub(super) fn span(self) -> Span {
        self.place(self.raw.get()).unwrap_or(Span::new(self.file, 0..0))
    }

    /// The place of a part of the text; `None` for anything else, such as a text with escapes.
    fn place(self, part: &str) -> Option<Span> {
        let start = part.as_ptr().addr().checked_sub(self.whole.as_ptr().addr())?;
        let end = start.checked_add(part.len()).filter(|end| *end <= self.whole.len())?;
        Some(Span::new(self.file, start..end))
    }

    /// What it is; a word where a key or text in it is broken, which parsing the whole does not look at.
    pub(super) fn kind(self) -> Kind<'a> {
        let text = self.raw.get();
        let inner = |raw| Self { raw, ..self };
        let entry = |(key, raw): (Cow<'a, str>, &'a RawValue)| {
            let value = inner(raw);
            let span = self.place(&key).unwrap_or(value.span());
            (Key { text: key, span }, value)
        };
        let read = match text.as_bytes().first() {
            Some(b'{') => serde_json::from_str::<Entries<'a>>(text)
                .map(|entries| Kind::Object(entries.0.into_iter().map(entry).collect())),
            Some(b'[') => serde_json::from_str::<Vec<&'a RawValue>>(text)
                .map(|list| Kind::List(list.into_iter().map(inner).collect())),
            Some(b'"') => serde_json::from_str::<Borrowed<'a>>(text).map(|text| Kind::Text(text.0)),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number(text)),
            Some(_) | None => Ok(Kind::Word),
        };
        read.unwrap_or(Kind::Word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_places() {
        let text = "{ \"a\": [1, \"b\\n\"],\n \"a\": {\"c\": null} }";
        let json = Json::parse(text, FileId::CLUSTER).unwrap();
        let at = |span: Span| &text[span.start as usize..span.end as usize];
        let Kind::Object(entries) = json.kind() else { panic!("no object") };
        let [(first, list), (second, object)] = entries.as_slice() else { panic!("{}", entries.len()) };
        assert_eq!((at(first.span), at(second.span), second.span.start), ("a", "a", 21));
        assert_eq!((at(list.span()), at(object.span())), ("[1, \"b\\n\"]", "{\"c\": null}"));
        let Kind::List(items) = list.kind() else { panic!("no list") };
        assert!(matches!(items[0].kind(), Kind::Number("1")));
        assert!(matches!(items[1].kind(), Kind::Text(text) if text == "b\n"));
        let broken = Json::parse(r#"{"\ud800": 1}"#, FileId::CLUSTER);
        assert!(broken.is_err() || matches!(broken.unwrap().kind(), Kind::Word));
        assert!(
            Json::parse("{} x", FileId::CLUSTER).is_err() && Json::parse(&"[".repeat(1000), FileId::CLUSTER).is_err()
        );
    }
}
