//! vm.args: the command line of the Erlang VM, spread over lines.

use crate::diagnostic::{FileId, Findings, Span};

/// A word and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Without quotes and escapes.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// A flag with the words behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// With its `-` or `+`.
    pub name: Word,
    /// Up to the next flag.
    pub values: Vec<Word>,
}

/// Reads the flags in the order of the file.
pub fn parse(_text: &str, _file: FileId, _findings: &mut Findings) -> Vec<Flag> {
    Vec::new()
}
