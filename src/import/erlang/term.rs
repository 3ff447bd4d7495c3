//! Terms as settings want them.

use super::{Kind, Term};

impl Term {
    /// The name of an atom.
    #[must_use]
    pub fn as_atom(&self) -> Option<&str> {
        match &self.kind {
            Kind::Atom(name) => Some(name),
            _ => None,
        }
    }

    /// `true` or `false`.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.as_atom()? {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// An integer that is not negative and fits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match &self.kind {
            Kind::Integer(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// A number from 0 to 65535, as ports and the groups of addresses are.
    #[must_use]
    pub fn as_u16(&self) -> Option<u16> {
        self.as_u64()?.try_into().ok()
    }

    /// A text: a string, a list of characters (to Erlang the same), or a binary that is UTF-8. The empty list is the
    /// empty text.
    #[must_use]
    pub fn as_text(&self) -> Option<String> {
        match &self.kind {
            Kind::String(text) => Some(text.clone()),
            Kind::Binary(bytes) => String::from_utf8(bytes.clone()).ok(),
            Kind::List(items, None) => {
                let character = |item: &Self| item.as_u64()?.try_into().ok().and_then(char::from_u32);
                items.iter().map(character).collect()
            }
            _ => None,
        }
    }

    /// The elements of a tuple.
    #[must_use]
    pub fn as_tuple(&self) -> Option<&[Self]> {
        match &self.kind {
            Kind::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The two elements of a pair.
    #[must_use]
    pub fn as_pair(&self) -> Option<(&Self, &Self)> {
        match self.as_tuple()? {
            [first, second] => Some((first, second)),
            _ => None,
        }
    }

    /// The elements of a list that ends as lists do. A text that is not empty is none: see [`Term::as_text`].
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match &self.kind {
            Kind::List(items, None) => Some(items),
            Kind::String(text) if text.is_empty() => Some(&[]),
            _ => None,
        }
    }

    /// The settings in a list; none if this is no list.
    #[must_use]
    pub fn as_proplist(&self) -> Option<impl Iterator<Item = Property<'_>>> {
        self.as_list().map(properties)
    }
}

/// One setting of a property list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Property<'a> {
    /// Its name.
    pub key: &'a str,
    /// Its value; none for a bare atom, which means `true`.
    pub value: Option<&'a Term>,
    /// The whole of it, for its place.
    pub term: &'a Term,
}

/// The settings among these terms, in their order: `{name, value}`, or a bare `name` that means `true`. What is neither
/// is left out, as Erlang does (<https://www.erlang.org/doc/man/proplists.html>).
pub fn properties(terms: &[Term]) -> impl Iterator<Item = Property<'_>> {
    terms.iter().filter_map(|term| match term.as_pair() {
        Some((key, value)) => Some(Property { key: key.as_atom()?, value: Some(value), term }),
        None => Some(Property { key: term.as_atom()?, value: None, term }),
    })
}
