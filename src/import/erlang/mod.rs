//! Erlang terms as `file:consult/1` reads them: app.config and advanced.config.
//!
//! ```text
//!  text ──lexer──▶ tokens ──parser──▶ terms ──template──▶ terms without placeholders
//!            │                 │
//!            └────report───────┴──▶ findings
//! ```
//!
//! INVARIANT (consult): what is taken here, Erlang/OTP 25 takes, with the same terms, and what it refuses is refused here
//! (<https://www.erlang.org/doc/man/file.html#consult-1>). A real Erlang VM judges this in `tests/erlang.rs`. Less is
//! taken in two cases only: a template with placeholders, which may well be valid Erlang (`{{web_port}}` is a tuple in a
//! tuple), and what exceeds the limits below, which no settings file comes near.
//!
//! Bit syntax and integers of any size say nothing of who listens where, and are read all the same: where such a term ends is not known
//! without, and a file with a mistake in one is a file with which the node does not start.
//!
//! INVARIANT (all or nothing): there are terms exactly when there are no findings. A term that was mended to go on
//! looking for mistakes never gets out.
//!
//! INVARIANT (linear): time and memory are bounded by the length of the text, and recursion by `DEEPEST`.
//!
//! The text is decoded already. Like Erlang, a byte order mark is refused here, and so are the two non-characters that
//! Erlang takes for none (U+FFFE and U+FFFF).

mod binary;
mod bits;
mod lexer;
mod mistakes;
mod natural;
mod numbers;
mod parser;
mod quoted;
mod report;
mod segments;
mod template;
mod term;
#[cfg(test)]
mod tests;

use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};

/// A longer text is no settings file.
const LONGEST_TEXT: usize = 16 << 20;
/// Brackets within brackets; app.config needs about ten.
const DEEPEST: usize = 200;
/// The longest integer, in characters. Longer ones would take more than linear time.
const LONGEST_INTEGER: usize = 1000;
/// What all binaries of a file may hold together, in bytes: a few characters can ask for any size.
const LARGEST_BINARIES: usize = 32 << 20;

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
    /// Of any size, in decimal digits, perhaps with a minus. A character such as `$a` is its number.
    Integer(String),
    /// As Erlang keeps it; always finite.
    Float(f64),
    /// A list of characters that was written as a string. To Erlang it is the list of their numbers; see
    /// [`Term::as_text`].
    String(String),
    /// The bytes.
    Binary(Vec<u8>),
    /// Bits that fill no whole number of bytes: the bytes, of which the last holds this many bits (1 to 7), highest first.
    Bitstring(Vec<u8>, u8),
    /// `{…}`.
    Tuple(Vec<Term>),
    /// `[…]`; with a tail that is no list, `[…|…]`.
    List(Vec<Term>, Option<Box<Term>>),
    /// `#{…}`: the pairs as they are written. Of equal keys Erlang keeps the last.
    Map(Vec<(Term, Term)>),
    /// `fun module:name/arity`.
    Fun(String, String, u8),
}

/// Reads all terms of a file, each ended by `.`; everything that is wrong is a finding, and then there are none.
pub fn parse(text: &str, file: FileId, findings: &mut Findings) -> Option<Vec<Term>> {
    if text.len() > LONGEST_TEXT {
        let message = format!("the file has {} bytes; a file of Erlang settings has a few thousand", text.len());
        let help = format!("give the settings file itself; at most {LONGEST_TEXT} bytes are read");
        findings.push(Diagnostic::new(Code::ErlangSyntax, Span::new(file, 0..0), message).help(help));
        return None;
    }
    let mut report = report::Report::new(text, file);
    let terms = parser::Parser::new(text, &mut report).file();
    template::look_for_placeholders(&terms, &mut report);
    let found = report.finish();
    let none = found.is_empty();
    found.into_iter().for_each(|finding| findings.push(finding));
    none.then_some(terms)
}
