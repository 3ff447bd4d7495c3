//! One word of the shell: what its quotes and backslashes come to, and where it ends.

use super::Certainty;

/// A word.
pub(super) struct Word {
    /// Behind its last letter.
    pub end: usize,
    /// Without its quotes, where it is known.
    pub value: String,
    /// Whether it is; never conditional.
    pub certainty: Certainty,
}

/// What ends a word unless it stands between quotes.
const ENDS: [char; 9] = [' ', '\t', '\n', ';', '&', '|', '(', ')', '<'];

/// Reads a word that begins here. Quotes nest in what is computed, so that what is open is kept as a list of what closes it.
pub(super) fn read(text: &str, from: usize) -> Word {
    let rest = text.get(from..).unwrap_or_default();
    let (mut value, mut computed, mut end) = (String::new(), false, rest.len());
    let mut open: Vec<char> = Vec::new();
    let mut letters = rest.char_indices().peekable();
    while let Some((at, c)) = letters.next() {
        let next = letters.peek().map(|(_, next)| *next);
        match (c, open.last().copied()) {
            (c, None) if ENDS.contains(&c) || c == '>' => {
                end = at;
                break;
            }
            ('\r', None) if matches!(next, None | Some('\n')) => {
                end = at;
                break;
            }
            (c, Some(closes)) if c == closes => {
                open.pop();
            }
            (c, Some('\'')) => value.push(c),
            ('\\', quote) => match letters.next().map(|(_, next)| next) {
                // It goes on in the next line.
                Some('\n') => {}
                Some('\r') if letters.next_if(|(_, next)| *next == '\n').is_some() => {}
                Some(next) if quote == Some('"') && !"$`\"\\".contains(next) => value.extend(['\\', next]),
                Some(next) => value.push(next),
                None => open.push('\\'),
            },
            ('$', _) => {
                computed = true;
                if let Some(opens) = next.filter(|next| matches!(next, '(' | '{')) {
                    letters.next();
                    open.push(if opens == '(' { ')' } else { '}' });
                }
            }
            ('`', _) => {
                computed = true;
                open.push('`');
            }
            ('(', Some(')')) => open.push(')'),
            ('"', _) => open.push('"'),
            ('\'', quote) if quote != Some('"') => open.push('\''),
            ('*' | '?' | '[' | '~', None) => {
                computed = true;
            }
            (c, _) => value.push(c),
        }
    }
    let certainty = match (open.is_empty(), computed) {
        (false, _) => Certainty::Open,
        (true, true) => Certainty::Computed,
        (true, false) => Certainty::Known,
    };
    Word { end: from + end, value, certainty }
}
