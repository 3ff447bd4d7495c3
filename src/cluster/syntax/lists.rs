//! Long lists of strings, which are most of a large cluster file.
//!
//! A document has a value for each of them, and these take more memory and more time than all that comes of them. So a list that
//! has nothing but plain strings in it is taken out before the text becomes a document: blanks stand in its place, so that everything
//! else stays where it is, and whoever reads the list reads the text ([`List::strings`]).
//!
//! INVARIANT (plain): what is between the brackets is, character by character, what TOML has there (<https://toml.io/en/v1.0.0>): strings of
//! one line in printable ASCII without escapes, commas, blanks, comments. Whatever is not is left to the parser. So nothing is accepted
//! that the parser would refuse.

use std::borrow::Cow;
use std::ops::Range;

use toml_parser::Source;
use toml_parser::lexer::TokenKind;

/// With fewer a list is no long one.
const LEAST: usize = 1000;
/// The keys whose lists are read as texts alone.
const KEYS: [&str; 4] = ["nodes", "from", "private", "untrusted"];

/// A text with blanks for its long lists.
#[derive(Debug)]
pub struct Shortened<'t> {
    /// As it was.
    pub whole: &'t str,
    /// With the blanks, as long as before.
    pub text: Cow<'t, str>,
    /// What stood in their places.
    pub lists: Vec<List<'t>>,
}

/// A list of plain strings.
#[derive(Clone, Copy, Debug)]
pub struct List<'t> {
    /// Where its bracket stands in the text.
    pub start: usize,
    /// What is between the brackets.
    inside: &'t str,
    count: usize,
}

impl<'t> Shortened<'t> {
    /// Takes the long lists out.
    pub fn new(text: &'t str) -> Self {
        Self::with_least(text, LEAST)
    }

    fn with_least(text: &'t str, least: usize) -> Self {
        let lists = long_lists(text, least);
        if lists.is_empty() {
            return Self { whole: text, text: text.into(), lists };
        }
        let mut short = String::with_capacity(text.len());
        for list in &lists {
            short.push_str(text.get(short.len()..=list.start).unwrap_or_default());
            short.push_str(&" ".repeat(list.inside.len()));
        }
        short.push_str(text.get(short.len()..).unwrap_or_default());
        Self { whole: text, text: short.into(), lists }
    }
}

impl<'t> List<'t> {
    /// How many there are.
    pub fn len(self) -> usize {
        self.count
    }

    /// Each string, and its place with the quotes in the text that the list was in.
    pub fn strings(self) -> impl Iterator<Item = (&'t str, Range<usize>)> + use<'t> {
        let mut scan = Scan { text: self.inside, at: 0 };
        let first = self.start + 1;
        std::iter::from_fn(move || {
            let Range { start, end } = scan.string()??;
            Some((scan.text.get(start + 1..end - 1)?, first + start..first + end))
        })
    }
}

/// The lists of plain strings that have so many.
fn long_lists(text: &str, least: usize) -> Vec<List<'_>> {
    let mut lists = Vec::new();
    // Each string has two quotes and a comma.
    if text.len() < least * 3 {
        return lists;
    }
    let mut begin = 0;
    while let Some(list) = next_list(text, begin, least) {
        // Behind the bracket that ends it.
        begin = list.start + list.inside.len() + 2;
        lists.push(list);
    }
    lists
}

fn next_list(text: &str, begin: usize, least: usize) -> Option<List<'_>> {
    // What came last, but for blanks: a key, and whether `=` is behind it.
    let (mut key, mut is_behind) = ("", false);
    for token in Source::new(text.get(begin..)?).lex() {
        let (start, end) = (begin + token.span().start(), begin + token.span().end());
        match token.kind() {
            TokenKind::Whitespace => {}
            TokenKind::Equals if !is_behind => is_behind = true,
            TokenKind::LeftSquareBracket if is_behind && KEYS.contains(&key) => {
                let mut scan = Scan { text: text.get(end..)?, at: 0 };
                if let Some((inside, count)) = scan.list(least) {
                    return Some(List { start, inside, count });
                }
                (key, is_behind) = ("", false);
            }
            TokenKind::Atom => (key, is_behind) = (text.get(start..end)?, false),
            _ => (key, is_behind) = ("", false),
        }
    }
    None
}

/// Goes through what is behind the bracket of a list.
struct Scan<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scan<'t> {
    /// What is between the brackets, where it is plain and has so many strings; and how many.
    fn list(&mut self, least: usize) -> Option<(&'t str, usize)> {
        let mut count = 0;
        while self.string()?.is_some() {
            count += 1;
        }
        // An end without bracket is none.
        let is_whole = count >= least && self.byte() == Some(b']');
        Some((self.text.get(..self.at).filter(|_| is_whole)?, count))
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The place of the next string with its quotes, behind which the comma is gone over, too; inside `None` where there is none more.
    /// Outside where it is not plain.
    fn string(&mut self) -> Option<Option<Range<usize>>> {
        self.skip_blanks()?;
        let quote = match self.byte() {
            Some(quote @ (b'"' | b'\'')) => quote,
            Some(b']') | None => return Some(None),
            Some(_) => return None,
        };
        let start = self.at;
        let rest = self.text.as_bytes().get(start + 1..)?;
        let length = rest.iter().position(|byte| *byte == quote || !is_plain(*byte))?;
        self.at = start + 1 + length;
        // `""` begins a text of several lines where another one is behind it.
        let is_end = |at: usize| self.text.as_bytes().get(at) == Some(&quote);
        if !is_end(self.at) || (length == 0 && is_end(self.at + 1)) {
            return None;
        }
        self.at += 1;
        let end = self.at;
        self.skip_blanks()?;
        match self.byte() {
            Some(b',') => self.at += 1,
            Some(b']') | None => {}
            Some(_) => return None,
        }
        Some(Some(start..end))
    }

    /// Goes over blanks, ends of lines and comments; `None` where a comment is not plain.
    fn skip_blanks(&mut self) -> Option<()> {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\n') => self.at += 1,
                Some(b'\r') if self.text.as_bytes().get(self.at + 1) == Some(&b'\n') => self.at += 2,
                Some(b'#') => {
                    let rest = self.text.as_bytes().get(self.at..)?;
                    self.at += rest.iter().position(|byte| !matches!(byte, b'\t' | 0x20..=0x7e))?;
                    if !matches!(self.byte(), Some(b'\n' | b'\r')) {
                        return None;
                    }
                }
                _ => return Some(()),
            }
        }
    }
}

/// A character that means itself in both kinds of strings.
fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use toml::de::{DeTable, DeValue};

    use super::*;

    /// The texts of the list behind `key =`, with their places, as the parser has them.
    fn parsed<'t>(document: &'t DeTable<'_>, key: &str) -> Vec<(&'t str, Range<usize>)> {
        let DeValue::Array(list) = document[key].get_ref() else { panic!("no list") };
        let text = |value: &'t toml::Spanned<DeValue<'_>>| (value.get_ref().as_str().unwrap(), value.span());
        list.iter().map(text).collect()
    }

    fn taken<'t>(short: &Shortened<'t>) -> Vec<Vec<(&'t str, Range<usize>)>> {
        short.lists.iter().map(|list| list.strings().collect()).collect()
    }

    #[test]
    fn what_is_taken_out_is_what_the_parser_would_have_read() {
        let text = "# nodes = [\"no\"]\nwhat = \"\"\"\nnodes = ['no']\n\"\"\"\n\
            nodes = [ \"a@b\" , 'c\"d',\r\n\t\"\", # one, \"two\"\n''\n , \"#]\",# \n]\nfrom=['x']#\n[other]\nnodes = 1\n";
        let short = Shortened::with_least(text, 1);
        let (whole, errors) = DeTable::parse_recoverable(text);
        assert!(errors.is_empty(), "{errors:?}");
        let lists = taken(&short);
        assert_eq!(lists, [parsed(whole.get_ref(), "nodes"), parsed(whole.get_ref(), "from")]);
        assert_eq!(lists[0].len(), 5);
        assert_eq!([short.lists[0].len(), short.lists[1].len()], [5, 1]);
        // Everything else is as it was, and where it was.
        let (rest, errors) = DeTable::parse_recoverable(&short.text);
        assert!(errors.is_empty() && short.text.len() == text.len());
        for (list, key) in short.lists.iter().zip(["nodes", "from"]) {
            assert_eq!(rest.get_ref()[key].span(), whole.get_ref()[key].span());
            assert_eq!(rest.get_ref()[key].span().start, list.start);
            assert!(parsed(rest.get_ref(), key).is_empty());
        }
        assert_eq!(rest.get_ref()["what"].get_ref().as_str(), whole.get_ref()["what"].get_ref().as_str());
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_parser() {
        for list in [
            "[]",
            "[1]",
            "[\"a\", 1]",
            "[\"a\\u0041\"]",
            "['a\\']",
            "[\"ä\"]",
            "[\"a\tb\"]",
            "[\"\"\"a\"\"\"]",
            "['''a''']",
            "[\"a\" \"b\"]",
            "[\"a\",,\"b\"]",
            "[,\"a\"]",
            "[[\"a\"]]",
            "[\"a\" # \u{7f}\n]",
            "[\"a\" # ä\n]",
            "[\"a\"\r]",
            "[\"a\nb\"]",
            "[\"a\"",
            "[\"a",
            "[\"a\" #",
            "[\"a\" # ]",
        ] {
            let text = format!("nodes = {list}");
            assert!(Shortened::with_least(&text, 1).lists.is_empty(), "{list}");
        }
        for key in ["node", "\"nodes\"", "nodes.from.ports", "nodes == ", "[[nodes]]\nnodes = 1, "] {
            let text = format!("{key} = ['a']");
            assert!(Shortened::with_least(&text, 1).lists.is_empty(), "{key}");
        }
        assert!(Shortened::new("nodes = [\"a\"]").lists.is_empty());
    }

    /// Whoever reads one of the lists gets the same, taken out or not: a comment that is not plain leaves a list to the parser.
    #[test]
    fn every_long_list_is_read_as_a_short_one() {
        let list = |of: &dyn Fn(usize) -> String, comment: &str| {
            let each: String = (0..LEAST + 5).map(|n| format!("  \"{}\",\n", of(n))).collect();
            format!("[ # {comment}\n{each}]")
        };
        let text = |comment: &str| {
            let nodes = list(&|n| format!("riak@10.1.{}.{}", n / 200, n % 200 + 1), comment);
            let from = list(&|n| format!("10.2.{}.{}", n / 200, n % 200 + 1), comment);
            let private = list(
                &|n| if n == 0 { "10.0.0.0/8".into() } else { format!("172.16.{}.{}", n / 200, n % 200) },
                comment,
            );
            let untrusted = list(&|n| format!("192.168.{}.{}", n / 200, n % 200 + 1), comment);
            format!(
                "[cluster]\nname = \"c\"\nnodes = {nodes}\n[networks]\nprivate = {private}\nuntrusted = {untrusted}\n\
                 [services.distribution]\nports = \"6000-7999\"\n[[client]]\nname = \"web\"\nservices = [\"http\"]\nfrom = {from}\n"
            )
        };
        let (plain, other) = (text("ab"), text("ä"));
        assert_eq!((Shortened::new(&plain).lists.len(), Shortened::new(&other).lists.len()), (4, 0));
        let read = |text: String| {
            let loaded = crate::cluster::parse("cluster.toml", text, std::path::Path::new(""));
            let findings = format!("{:?}", loaded.findings);
            let cluster = loaded.cluster.unwrap_or_else(|| panic!("{findings}"));
            let lists = [cluster.private(), cluster.untrusted()];
            assert_eq!(lists.map(<[_]>::len), [LEAST + 5; 2]);
            format!("{findings} {lists:?} {:?} {:?}", cluster.nodes(), cluster.clients())
        };
        assert_eq!(read(plain), read(other));
        // Strings where tables are wanted, and nothing where something is.
        let wrong =
            |text: &str| crate::cluster::parse("cluster.toml", text.to_owned(), std::path::Path::new("")).findings;
        let found = format!(
            "{:?}",
            wrong(&format!(
                "[cluster]\nname = \"c\"\n[networks]\nprivate = []\nnodes = {}",
                list(&|n| n.to_string(), "")
            ))
        );
        assert!(found.contains("names no network"), "{found}");
    }

    /// Texts of all kinds of pieces: nothing is taken that the parser would have refused or read otherwise.
    #[test]
    fn texts_at_random_are_read_as_the_parser_reads_them() {
        const PIECES: [&str; 18] = [
            "nodes", "from", " = ", "=", "[", "]", "\"a@b\"", "'c'", ",", ", ", "\n", "#x\n", "\"\"", "\"", "'", "\\",
            "{", "}",
        ];
        let mut seed: u32 = 7;
        let mut next = |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % below
        };
        let (mut taken_out, mut sound) = (0, 0);
        for _ in 0..200_000 {
            let list: String = (0..next(7)).map(|_| PIECES[4 + next(9)]).collect();
            let text: String = match next(2) {
                0 => (0..next(12)).map(|_| PIECES[next(PIECES.len())]).collect(),
                _ => format!("nodes = [{list}]\n{}", PIECES[next(PIECES.len())]),
            };
            let short = Shortened::with_least(&text, 1);
            let (whole, errors) = DeTable::parse_recoverable(&text);
            let (rest, of_rest) = DeTable::parse_recoverable(&short.text);
            assert_eq!(errors.is_empty(), of_rest.is_empty(), "{text}");
            taken_out += usize::from(!short.lists.is_empty());
            if errors.is_empty() && !short.lists.is_empty() {
                sound += 1;
                for list in &short.lists {
                    let key = ["nodes", "from"].into_iter().find(|key| {
                        let value = rest.get_ref().get(*key);
                        value.is_some_and(|value| value.span().start == list.start)
                    });
                    // One within another table is not looked for.
                    let Some(key) = key else { continue };
                    assert_eq!(list.strings().collect::<Vec<_>>(), parsed(whole.get_ref(), key), "{text}");
                }
            }
        }
        assert!(taken_out > 1000 && sound > 500, "{taken_out} {sound}");
    }
}
