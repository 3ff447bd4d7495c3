//! Erlang terms as `file:consult/1` reads them.

use crate::diagnostic::{FileId, Findings, Span};

/// A term and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub span: Span,
}

/// What a term is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Quoted or not.
    Atom(String),
    /// Of any size, in decimal digits, perhaps with a minus.
    Integer(String),
    /// As Erlang keeps it.
    Float(f64),
    /// A list of characters that was written as a string.
    String(String),
    /// The bytes.
    Binary(Vec<u8>),
    /// `{…}`.
    Tuple(Vec<Term>),
    /// `[…]`; with a tail that is no list, `[…|…]`.
    List(Vec<Term>, Option<Box<Term>>),
    /// `#{…}`.
    Map(Vec<(Term, Term)>),
}

/// Reads all terms of a file, each ended by `.`; everything that is wrong is a finding, and then there are none.
pub fn parse(_text: &str, _file: FileId, _findings: &mut Findings) -> Option<Vec<Term>> {
    None
}
