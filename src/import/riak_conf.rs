//! riak.conf, as cuttlefish reads it.

use crate::diagnostic::{FileId, Findings, Span};

/// A setting as it is in force: the last of its duplicates, with what it refers to put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Without escapes. A dot that was escaped is part of a segment.
    pub key: Vec<String>,
    /// What is set.
    pub value: String,
    /// Where the key stands.
    pub key_span: Span,
    /// Where the value stands.
    pub value_span: Span,
}

/// Reads the settings in the order of the file.
pub fn parse(_text: &str, _file: FileId, _findings: &mut Findings) -> Vec<Entry> {
    Vec::new()
}
