//! Names of nodes.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// The name of a node: of a long list a piece of the text that it was read from, since 100,000 texts of their own are most of what a
/// large cluster takes in memory.
///
/// INVARIANT (size): texts are shorter than 4 GiB, as those of [`SourceFile`](crate::diagnostic::SourceFile) are.
#[derive(Clone)]
pub struct Name {
    text: Arc<String>,
    start: u32,
    end: u32,
}

impl Name {
    /// A text of its own.
    pub fn own(name: &str) -> Self {
        Self { start: 0, end: name.len() as u32, text: Arc::new(name.to_owned()) }
    }

    /// The piece of a text that says it.
    pub fn within(text: &Arc<String>, place: Range<usize>, name: &str) -> Self {
        match text.get(place.clone()) {
            Some(piece) if piece == name => {
                Self { text: Arc::clone(text), start: place.start as u32, end: place.end as u32 }
            }
            Some(_) | None => Self::own(name),
        }
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        self.text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_that_says_something_else_is_none() {
        let text = Arc::new("[\"a@10.0.0.1\", \"ü\"]".to_owned());
        let shared = |name: &Name| Arc::ptr_eq(&name.text, &text);
        let name = Name::within(&text, 2..12, "a@10.0.0.1");
        assert!(shared(&name) && &*name == "a@10.0.0.1" && format!("{name:?}") == "\"a@10.0.0.1\"");
        for (place, own) in
            [(2..11, "a@10.0.0.1"), (17..18, "ü"), (40..50, "b"), (Range { start: 12, end: 2 }, "c"), (0..0, "d")]
        {
            let name = Name::within(&text, place, own);
            assert!(!shared(&name) && &*name == own, "{own}");
        }
    }
}
