//! Random terms in many spellings, and what a careless hand makes of them.

use crate::generate::Random;

const ATOMS: [&str; 24] = [
    "a",
    "http",
    "riak_core",
    "true",
    "maybe",
    "else",
    "éÿ@x_1",
    "ß",
    "all",
    "undefined",
    "'a b'",
    "'fun'",
    "''",
    "'\\x{20ac}'",
    "'it\\'s'",
    "'riak@10.0.0.1'",
    "a@b",
    "x'y'",
    "'\n'",
    "'€'",
    "u",
    "'%'",
    "'{{'",
    "aZ9",
];
const NUMBERS: [&str; 22] = [
    "0",
    "1",
    "8098",
    "007",
    "16#ff",
    "2#1010",
    "36#Zz",
    "0016#f_F",
    "1_000",
    "1_6#1_0",
    "1.5",
    "1.0e10",
    "2.5E-3",
    "1_0.0_1e1_0",
    "1.0e-400",
    "4.9e-324",
    "123456789012345678901234567890",
    "$a",
    "$\\n",
    "$\\x{1F600}",
    "$ ",
    "$\\^a",
];
const TEXTS: [&str; 16] = [
    "\"\"",
    "\"a\"",
    "\"127.0.0.1\"",
    "\"\\n\\s\\d\\\"\\\\\"",
    "\"\\x41\\x{20AC}\"",
    "\"\\1\\12\\777\"",
    "\"é€😀\"",
    "\"a\nb\"",
    "\"%\"",
    "\"[\"",
    "\"\\^A\\^?\"",
    "\"\\q\\\n\"",
    "\"a.\n\"",
    "\"'\"",
    "\"\u{a0}\"",
    "\"\\e\\v\\f\\b\\r\\t\"",
];
const BLANKS: [&str; 12] = [
    " ",
    " ",
    " ",
    "\n",
    "\t",
    "\r\n",
    "\u{a0}",
    "\u{85}",
    " % comment\n",
    "%% {[\n",
    "\n%%\u{20ac}\"\n",
    "\u{1}\u{c}",
];
/// What a hand may put in a wrong place.
const TOKENS: [&str; 62] = [
    "{",
    "}",
    "[",
    "]",
    "<<",
    ">>",
    "(",
    ")",
    "#",
    "#{",
    ",",
    ",",
    "|",
    "=>",
    ":=",
    "=",
    ":",
    "::",
    "/",
    "-",
    "+",
    "--",
    "*",
    ".",
    ".",
    ". ",
    ".\n",
    "..",
    "...",
    "!",
    "?",
    ";",
    "->",
    "fun",
    "fun m:f/1",
    "and",
    "end",
    "X",
    "_",
    "_x",
    "@",
    "\"",
    "'",
    "$",
    "\\",
    "%",
    "×",
    "µ",
    "é",
    "1.",
    "1.2.3",
    "16#",
    "37#1",
    "1.0e",
    "a.b",
    "{127.0.0.1, 1}",
    "::1",
    "<%",
    "\u{fffe}",
    "“",
    "unit:8",
    "begin a end",
];
const CHARACTERS: [&str; 52] = [
    "{", "}", "[", "]", "<", ">", "(", ")", "#", ",", "|", "=", ":", "/", "-", "+", "*", ".", "_", "@", "\"", "'", "$",
    "\\", "%", "~", "`", "^", "&", "\0", "\u{7f}", "\u{80}", "\u{a0}", "\u{a1}", "×", "÷", "ÿ", "À", "€", "\u{ffff}",
    "\n", "\r", "\t", " ", "e", "x", "X", "0", "1", "7", "9", "f",
];

fn pick(random: &mut Random, list: &[&'static str]) -> &'static str {
    list[random.below(list.len())]
}

/// The tokens of a few terms.
pub fn terms(random: &mut Random) -> Vec<String> {
    let mut tokens = Vec::new();
    for _ in 0..random.below(3) + usize::from(random.chance(95)) {
        term(random, 4, &mut tokens);
        tokens.push(format!(".{}", pick(random, &[" ", "\n", "\t", "\u{a0}", "% end\n"])));
    }
    if random.chance(20)
        && let Some(last) = tokens.last_mut()
    {
        *last = ".".to_owned();
    }
    tokens
}

fn push(tokens: &mut Vec<String>, token: &str) {
    tokens.push(token.to_owned());
}

fn number(random: &mut Random, tokens: &mut Vec<String>) {
    if random.chance(30) {
        push(tokens, pick(random, &["-", "+"]));
    }
    match random.below(6) {
        0 => tokens.push((random.bits() >> random.below(64)).to_string()),
        1 => tokens.push(format!("16#{:x}{:X}", random.bits() >> random.below(64), random.bits())),
        2 => tokens.push(format!("{:?}", (random.bits() >> 20) as f64 / 1000.0 + 0.001)),
        3 => tokens.push(format!("{}.{}e{}", random.below(10), random.bits(), random.below(640) as i32 - 330)),
        _ => push(tokens, pick(random, &NUMBERS)),
    }
}

fn term(random: &mut Random, depth: usize, tokens: &mut Vec<String>) {
    let kinds = if depth == 0 { 5 } else { 12 };
    match random.below(kinds) {
        0 | 1 => push(tokens, pick(random, &ATOMS)),
        2 => number(random, tokens),
        3 => (0..=random.below(2)).for_each(|_| push(tokens, pick(random, &TEXTS))),
        4 => push(tokens, pick(random, &["{}", "[]", "<<>>", "#{}", "fun m:f/1", "fun 'M' : f / 255"])),
        5 | 6 => sequence(random, "{", "}", tokens, |random, tokens| term(random, depth - 1, tokens)),
        7 => sequence(random, "[", "]", tokens, |random, tokens| term(random, depth - 1, tokens)),
        8 => {
            push(tokens, "[");
            term(random, depth - 1, tokens);
            push(tokens, "|");
            term(random, depth - 1, tokens);
            push(tokens, "]");
        }
        9 => sequence(random, "<<", ">>", tokens, segment),
        10 => {
            push(tokens, "#");
            sequence(random, "{", "}", tokens, |random, tokens| {
                term(random, depth.min(2) - 1, tokens);
                push(tokens, "=>");
                term(random, depth - 1, tokens);
            });
        }
        _ => {
            push(tokens, "(");
            term(random, depth - 1, tokens);
            push(tokens, ")");
        }
    }
}

fn sequence(
    random: &mut Random,
    open: &str,
    close: &str,
    tokens: &mut Vec<String>,
    mut element: impl FnMut(&mut Random, &mut Vec<String>),
) {
    push(tokens, open);
    for index in 0..random.below(4) {
        if index > 0 {
            push(tokens, ",");
        }
        element(random, tokens);
    }
    push(tokens, close);
}

/// Most segments are fit for their types, and some are not.
fn segment(random: &mut Random, tokens: &mut Vec<String>) {
    match random.below(6) {
        0 => push(tokens, pick(random, &TEXTS)),
        1 => ["(", "<<", "$a", ":", pick(random, &["3", "8", "13"]), ">>", ")"]
            .iter()
            .for_each(|token| push(tokens, token)),
        2 => push(tokens, pick(random, &["<<\"abc\">>", "<<1:4>>", "<<>>"])),
        _ => number(random, tokens),
    }
    if random.chance(40) {
        push(tokens, ":");
        push(
            tokens,
            pick(random, &["0", "1", "7", "8", "12", "16", "31", "32", "64", "100", "$\\b", "(8)", "(+16)", "all"]),
        );
    }
    if random.chance(50) {
        push(tokens, "/");
        for index in 0..=random.below(3) {
            if index > 0 {
                push(tokens, "-");
            }
            let types = [
                "integer",
                "float",
                "binary",
                "bytes",
                "bits",
                "bitstring",
                "utf8",
                "utf16",
                "utf32",
                "big",
                "little",
                "native",
                "signed",
                "unsigned",
                "unit:1",
                "unit:8",
                "unit:3",
                "unit : 256",
                "little",
                "integer",
                "float",
            ];
            push(tokens, pick(random, &types));
        }
    }
}

/// The tokens with as much white space as they need, or more.
pub fn write(random: &mut Random, tokens: &[String]) -> String {
    let mut text = String::new();
    for token in tokens {
        let apart = text.ends_with([',', '(', '[', '{']) || token.starts_with([',', ')', ']', '}', '.']);
        // `1.` before a digit would be another number, and `$` takes whatever follows.
        if (!apart && !text.is_empty()) || random.chance(15) {
            text.push_str(pick(random, &BLANKS));
        }
        text.push_str(token);
    }
    text
}

/// Changes a few tokens.
pub fn misspell_tokens(random: &mut Random, tokens: &mut Vec<String>) {
    for _ in 0..=random.below(2) {
        if tokens.is_empty() {
            push(tokens, pick(random, &TOKENS));
        }
        let at = random.below(tokens.len());
        match random.below(4) {
            0 => drop(tokens.remove(at)),
            1 => tokens.insert(at, pick(random, &TOKENS).to_owned()),
            2 => tokens[at] = pick(random, &TOKENS).to_owned(),
            _ => {
                let other = random.below(tokens.len());
                tokens.swap(at, other);
            }
        }
    }
}

/// Changes a few characters.
pub fn misspell_characters(random: &mut Random, text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(2) {
        let new = pick(random, &CHARACTERS).chars().next().unwrap_or(' ');
        let at = random.below(characters.len() + 1);
        match random.below(3) {
            0 if at < characters.len() => drop(characters.remove(at)),
            1 if at < characters.len() => characters[at] = new,
            _ => characters.insert(at, new),
        }
    }
    characters.into_iter().collect()
}
