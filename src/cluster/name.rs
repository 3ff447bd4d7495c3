//! Names of nodes.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::diagnostic::Span;

/// The name of a node and where it stands: of a long list a piece of the text that it was read from, since 100,000 texts of their own are
/// most of what a large cluster takes in memory.
#[derive(Clone)]
pub struct Name {
    text: Arc<String>,
    /// Where it stands, quotes included.
    pub span: Span,
    /// Whether it is what stands there in the text, and not all of the text.
    is_piece: bool,
}

impl Name {
    /// A text of its own.
    pub fn own(name: &str, span: Span) -> Self {
        Self { text: Arc::new(name.to_owned()), span, is_piece: false }
    }

    /// The piece of a text that says it between two quotes.
    pub fn within(text: &Arc<String>, span: Span, name: &str) -> Self {
        match text.get(between_quotes(span)) {
            Some(piece) if piece == name => Self { text: Arc::clone(text), span, is_piece: true },
            Some(_) | None => Self::own(name, span),
        }
    }
}

fn between_quotes(span: Span) -> Range<usize> {
    span.start as usize + 1..(span.end as usize).saturating_sub(1)
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        if self.is_piece { self.text.get(between_quotes(self.span)).unwrap_or_default() } else { &self.text }
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
    use crate::diagnostic::FileId;

    #[test]
    fn a_piece_that_says_something_else_is_none() {
        let text = Arc::new("[\"a@10.0.0.1\", \"ü\"]".to_owned());
        let shared = |name: &Name| Arc::ptr_eq(&name.text, &text);
        let span = |start, end| Span { file: FileId::CLUSTER, start, end };
        let name = Name::within(&text, span(1, 13), "a@10.0.0.1");
        assert!(shared(&name) && &*name == "a@10.0.0.1" && format!("{name:?}") == "\"a@10.0.0.1\"");
        for (place, own) in [
            (span(1, 12), "a@10.0.0.1"),
            (span(16, 19), "ü"),
            (span(39, 51), "b"),
            (span(11, 3), "c"),
            (span(0, 0), "d"),
        ] {
            let name = Name::within(&text, place, own);
            assert!(!shared(&name) && &*name == own && name.span == place, "{own}");
        }
    }
}
