//! Words of a line, as iptables-restore cuts it up (xshared.c, `add_param_to_argv`).

use std::borrow::Cow;

/// What iptables-restore takes; a longer word is refused ("Parameter too long").
const LONGEST: usize = 1023;

/// A word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    /// What it means, without quotes and escapes.
    pub text: Cow<'a, str>,
    /// What is written.
    pub raw: &'a str,
}

impl Word<'_> {
    /// Whether it stands where an option can begin. iptables-save quotes a value that looks like an option.
    pub fn opens_option(&self) -> bool {
        (self.raw.starts_with('-') && self.raw.len() > 1) || self.raw == "!"
    }
}

/// Cuts a line into words. A quote opens anywhere; the closing one ends the word. A backslash means something inside of
/// quotes only.
pub(super) fn split<'a>(line: &'a str, words: &mut Vec<Word<'a>>) -> Result<(), &'static str> {
    words.clear();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return Ok(());
        }
        let end = rest.bytes().position(|b| matches!(b, b' ' | b'\t' | b'"')).unwrap_or(rest.len());
        let (plain, behind) = rest.split_at(end);
        let word = match behind.strip_prefix('"') {
            None => Word { text: Cow::Borrowed(plain), raw: plain },
            Some(inside) => {
                let (quoted, length) = unquote(inside).ok_or("a quote is not closed")?;
                let text = if plain.is_empty() { quoted } else { Cow::Owned(format!("{plain}{quoted}")) };
                Word { text, raw: rest.split_at(end + 1 + length).0 }
            }
        };
        if word.text.len() > LONGEST {
            return Err("a word is longer than the 1,023 bytes that iptables-restore takes");
        }
        rest = rest.split_at(word.raw.len()).1;
        words.push(word);
    }
}

/// The text up to the closing quote, and how many bytes it takes with that quote.
fn unquote(inside: &str) -> Option<(Cow<'_, str>, usize)> {
    let stop = inside.bytes().position(|b| matches!(b, b'"' | b'\\'))?;
    let (plain, behind) = inside.split_at(stop);
    if behind.starts_with('"') {
        return Some((Cow::Borrowed(plain), stop + 1));
    }
    let mut text = plain.to_owned();
    let mut escaped = false;
    for (at, c) in behind.char_indices() {
        match c {
            _ if escaped => {
                text.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((Cow::Owned(text), stop + at + 1)),
            _ => text.push(c),
        }
    }
    None
}

/// The words as they are written, with one blank between them.
pub(super) fn written(words: &[Word<'_>]) -> String {
    let mut text = String::with_capacity(words.iter().map(|word| word.raw.len() + 1).sum());
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word.raw);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        split(line, &mut words).unwrap();
        assert_eq!(written(&words).replace(' ', ""), line.replace([' ', '\t'], ""), "nothing is lost");
        words.into_iter().map(|word| word.text.into_owned()).collect()
    }

    #[test]
    fn cuts_as_iptables_restore_does() {
        assert_eq!(words("-A  INPUT\t-j DROP "), ["-A", "INPUT", "-j", "DROP"]);
        assert_eq!(words(r#"--comment "a \"b\" \\ c""#), ["--comment", r#"a "b" \ c"#]);
        assert_eq!(words(r#"--comment "it\'s""#), ["--comment", "it's"]);
        assert_eq!(words(r#"ab"c d"e "" f"#), ["abc d", "e", "", "f"]);
        assert_eq!(words(r"a\ b"), [r"a\", "b"]);
        assert_eq!(words("ü\"ñ\\é\"ï"), ["üñé", "ï"]);
        assert_eq!(words(""), [""; 0]);
    }

    #[test]
    fn refuses_what_iptables_restore_refuses() {
        let mut words = Vec::new();
        for bad in ["\"", "a \"b", r#""\"#, r#""a\""#] {
            assert_eq!(split(bad, &mut words), Err("a quote is not closed"), "{bad}");
        }
        let long = "x".repeat(1024);
        assert!(split(&long[1..], &mut words).is_ok());
        assert!(split(&long, &mut words).is_err());
    }
}
