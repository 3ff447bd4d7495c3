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
}
