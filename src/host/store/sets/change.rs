//! What changes in a set, where that is little.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

use super::{Head, Texts, line};
use crate::host::store::check_name;

/// A change that is longer than this part of the texts is no less to write.
const PART: usize = 8;
/// Texts that have little in common are told apart in this time, or written whole.
const PATIENCE: Duration = Duration::from_millis(50);

/// What to keep of a base and what comes new.
#[derive(Debug, Serialize, Deserialize)]
pub struct Change {
    /// The SHA-256 of the base, without its first line.
    of: String,
    texts: Vec<Changed>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Changed {
    name: String,
    pieces: Vec<Piece>,
}

/// A part of a text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Piece {
    /// From one byte of what was there up to another; none before the end of the last such piece.
    Kept(usize, usize),
    /// So many bytes that are new.
    New(usize),
}

/// The file of a change; `None` where to write all is no more.
pub fn between(sum: &str, base: &Texts, texts: &[(&str, &[u8])]) -> Option<Vec<u8>> {
    let (mut new, mut changed) = (Vec::new(), Vec::with_capacity(texts.len()));
    let most = base.values().map(Vec::len).sum::<usize>() / PART;
    for (name, text) in texts {
        let old = base.get(*name).map(Vec::as_slice).unwrap_or_default();
        changed.push(Changed { name: (*name).to_owned(), pieces: pieces(old, text, &mut new, most)? });
    }
    let mut bytes = line(&Head::Change(Change { of: sum.to_owned(), texts: changed })).ok()?;
    bytes.append(&mut new);
    (bytes.len() <= most).then_some(bytes)
}

impl Change {
    /// Whether it is one of the file with this checksum.
    pub fn is_of(&self, sum: &str) -> bool {
        self.of == sum
    }

    /// The names of the texts.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(|text| text.name.as_str())
    }

    /// Whether it can be one that [`between`] made of these.
    pub fn fits(&self, base: &Texts, new: &[u8]) -> bool {
        let names: BTreeSet<&str> = self.names().collect();
        let mut rest = new;
        let all_fit = self.texts.iter().all(|text| {
            let fit = text.pieces(base, rest);
            fit.is_some_and(|(_, behind)| {
                rest = behind;
                check_name(&text.name).is_ok()
            })
        });
        all_fit && rest.is_empty() && names.len() == self.texts.len()
    }

    /// The pieces of a text, one after the other; `None` where there is no such text.
    pub fn text<'a>(&self, base: &'a Texts, mut new: &'a [u8], name: &str) -> Option<Vec<&'a [u8]>> {
        for text in &self.texts {
            let (pieces, behind) = text.pieces(base, new)?;
            if text.name == name {
                return Some(pieces);
            }
            new = behind;
        }
        None
    }
}

impl Changed {
    /// The pieces of the text, and what is new of the texts behind it.
    fn pieces<'a>(&self, base: &'a Texts, mut new: &'a [u8]) -> Option<(Vec<&'a [u8]>, &'a [u8])> {
        let old = base.get(&self.name).map(Vec::as_slice).unwrap_or_default();
        let (mut pieces, mut behind) = (Vec::with_capacity(self.pieces.len()), 0);
        for piece in &self.pieces {
            match piece {
                // In order, so that a few bytes do not make up a text without end.
                Piece::Kept(from, to) if *from >= behind => {
                    pieces.push(old.get(*from..*to)?);
                    behind = *to;
                }
                Piece::Kept(..) => return None,
                Piece::New(bytes) => {
                    let (own, rest) = new.split_at_checked(*bytes)?;
                    pieces.push(own);
                    new = rest;
                }
            }
        }
        Some((pieces, new))
    }
}

/// A text in pieces of the one before; what is new goes to the end of `new`. `None` where that gets too much.
fn pieces(old: &[u8], text: &[u8], new: &mut Vec<u8>, most: usize) -> Option<Vec<Piece>> {
    // Most of it is the same, and is not worth to be cut into lines.
    let begin = behind_line(old, same(old.iter(), text.iter()));
    let (left, right) = (old.get(begin..)?, text.get(begin..)?);
    let end = before_line(left, same(left.iter().rev(), right.iter().rev()));
    let (left, right) = (left.get(..left.len() - end)?, right.get(..right.len() - end)?);
    if right.len() > most && left.len() < right.len() / 2 {
        return None;
    }
    let (left, right) = (lines(left), lines(right));
    let length = |lines: &[&[u8]]| lines.iter().map(|line| line.len()).sum::<usize>();
    let (mut at, mut pieces) = (begin, Vec::new());
    if at > 0 {
        pieces.push(Piece::Kept(0, at));
    }
    for operation in capture_diff_slices_deadline(Algorithm::Myers, &left, &right, Some(Instant::now() + PATIENCE)) {
        let gone = length(left.get(operation.old_range())?);
        let own = right.get(operation.new_range())?;
        if matches!(operation, DiffOp::Equal { .. }) {
            pieces.push(Piece::Kept(at, at + gone));
        } else if !own.is_empty() {
            pieces.push(Piece::New(length(own)));
            own.iter().for_each(|line| new.extend_from_slice(line));
        }
        at += gone;
        if new.len() > most {
            return None;
        }
    }
    if at < old.len() {
        pieces.push(Piece::Kept(at, old.len()));
    }
    Some(pieces)
}

/// With how many bytes both begin.
fn same<'a>(one: impl Iterator<Item = &'a u8>, other: impl Iterator<Item = &'a u8>) -> usize {
    one.zip(other).take_while(|(one, other)| one == other).count()
}

/// The end of the last line that ends up to there.
fn behind_line(text: &[u8], at: usize) -> usize {
    text.get(..at).and_then(|begin| begin.iter().rposition(|byte| *byte == b'\n')).map_or(0, |end| end + 1)
}

/// How many of the last bytes begin with a line.
fn before_line(text: &[u8], bytes: usize) -> usize {
    let rest = text.len() - bytes;
    match rest.checked_sub(1).and_then(|last| text.get(last)) {
        None | Some(b'\n') => bytes,
        Some(_) => {
            text.get(rest..).and_then(|end| end.iter().position(|byte| *byte == b'\n')).map_or(0, |at| bytes - at - 1)
        }
    }
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}
