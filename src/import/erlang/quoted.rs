//! What stands between quotes or behind `$`, with its escapes.

use std::ops::Range;

use super::report::Report;

/// Erlang takes these for no characters, wherever they stand.
pub(super) const NON_CHARACTERS: [char; 2] = ['\u{fffe}', '\u{ffff}'];

pub(super) struct Quoted {
    pub value: String,
    /// The byte behind the closing quote.
    pub end: usize,
}

/// Reads from the opening quote at `start`. A quote that is never closed is a finding and takes the rest of the text;
/// a text before it that runs over several lines may be the cause.
pub(super) fn read(
    text: &str,
    start: usize,
    quote: char,
    long_text: Option<Range<usize>>,
    report: &mut Report<'_>,
) -> Quoted {
    let mut value = String::new();
    let mut at = start + quote.len_utf8();
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let Some(special) = rest.find(|c| c == quote || c == '\\' || NON_CHARACTERS.contains(&c)) else { break };
        value.push_str(rest.get(..special).unwrap_or_default());
        at += special;
        match text.get(at..).and_then(|rest| rest.chars().next()) {
            Some('\\') => match escape(text, at + 1) {
                Escape::Is(c, end) => {
                    value.push(c);
                    at = end;
                }
                Escape::Bad(end) => {
                    bad_escape(at, end, report);
                    at = end;
                }
                Escape::End => break,
            },
            Some(c) if c == quote => return Quoted { value, end: at + c.len_utf8() },
            Some(c) => {
                non_character(at, report);
                at += c.len_utf8();
            }
            None => break,
        }
    }
    let shown = report.excerpt(start..text.len().min(line_end(text, start)));
    let message = format!("`{shown}` opens with a quote that is never closed");
    let help = format!("close it with {quote}; until then the rest of the file cannot be checked");
    let cause = "this text runs over several lines: is its closing quote missing?";
    let related: Vec<_> = long_text.into_iter().map(|text| (text, cause)).collect();
    report.mistake_with(start..start + quote.len_utf8(), message, help, &related);
    report.cut = true;
    Quoted { value, end: text.len() }
}

/// Reads the character behind the `$` at `start`, and says where it ends.
pub(super) fn character(text: &str, start: usize, report: &mut Report<'_>) -> (Option<char>, usize) {
    let at = start + 1;
    match text.get(at..).and_then(|rest| rest.chars().next()) {
        Some('\\') => match escape(text, at + 1) {
            Escape::Is(c, end) => (Some(c), end),
            Escape::Bad(end) => {
                bad_escape(at, end, report);
                (None, end)
            }
            Escape::End => (missing_character(start, report), text.len()),
        },
        Some(c) if NON_CHARACTERS.contains(&c) => {
            non_character(at, report);
            (None, at + c.len_utf8())
        }
        Some(c) => (Some(c), at + c.len_utf8()),
        None => (missing_character(start, report), text.len()),
    }
}

fn missing_character(start: usize, report: &mut Report<'_>) -> Option<char> {
    report.mistake(start..start + 1, "there is no character behind `$`", "write it, as in $a, or delete the `$`");
    None
}

fn non_character(at: usize, report: &mut Report<'_>) {
    report.mistake(at..at + 3, "U+FFFE or U+FFFF, which are no characters", "delete it; Erlang accepts it nowhere");
}

fn bad_escape(start: usize, end: usize, report: &mut Report<'_>) {
    let shown = report.excerpt(start..end);
    let help = "write two hexadecimal digits, as in \\x4a, or any number of them in braces, as in \\x{20ac}, up to \
                10ffff; a backslash itself is \\\\";
    report.mistake(start..end, format!("`{shown}` is no character"), help);
}

fn line_end(text: &str, start: usize) -> usize {
    text.get(start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| start + length)
}

enum Escape {
    /// This character, up to this byte.
    Is(char, usize),
    /// None, up to this byte.
    Bad(usize),
    /// The text ends within.
    End,
}

/// The escape behind a backslash, from the byte `at` on
/// (<https://www.erlang.org/doc/reference_manual/data_types.html#escape-sequences>).
fn escape(text: &str, at: usize) -> Escape {
    let rest = text.get(at..).unwrap_or_default();
    let Some(first) = rest.chars().next() else { return Escape::End };
    let end = at + first.len_utf8();
    let is = |code: u32, end: usize| match char::from_u32(code) {
        Some(c) if !NON_CHARACTERS.contains(&c) => Escape::Is(c, end),
        Some(_) | None => Escape::Bad(end),
    };
    match first {
        '0'..='7' => {
            let digits = rest.bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
            is(u32::from_str_radix(rest.get(..digits).unwrap_or_default(), 8).unwrap_or(u32::MAX), at + digits)
        }
        'x' if rest.starts_with("x{") => {
            let start = at + 2;
            let inside = text.get(start..).unwrap_or_default();
            let digits = inside.bytes().take_while(u8::is_ascii_hexdigit).count();
            match inside.as_bytes().get(digits) {
                Some(b'}') => {
                    // Any number of zeros may lead.
                    let digits = inside.get(..digits).unwrap_or_default();
                    let end = start + digits.len() + 1;
                    is(u32::from_str_radix(digits, 16).unwrap_or(u32::MAX), end)
                }
                Some(_) => Escape::Bad(start + digits),
                None => Escape::End,
            }
        }
        'x' => match rest.get(1..3).map(|digits| (digits, digits.bytes().all(|byte| byte.is_ascii_hexdigit()))) {
            Some((digits, true)) => is(u32::from_str_radix(digits, 16).unwrap_or(u32::MAX), at + 3),
            Some(_) | None => Escape::Bad(end),
        },
        '^' => match rest.chars().nth(1) {
            Some(c) => is(u32::from(c) & 31, end + c.len_utf8()),
            None => Escape::End,
        },
        c if NON_CHARACTERS.contains(&c) => Escape::Bad(end),
        c => Escape::Is(named(c), end),
    }
}

/// What a letter means behind a backslash; all other characters mean themselves.
fn named(c: char) -> char {
    match c {
        'b' => '\u{8}',
        'd' => '\u{7f}',
        'e' => '\u{1b}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        's' => ' ',
        't' => '\t',
        'v' => '\u{b}',
        other => other,
    }
}
