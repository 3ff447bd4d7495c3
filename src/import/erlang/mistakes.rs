//! The findings about common mistakes in files of Erlang terms.

use std::ops::Range;

use super::lexer::{Bracket, Token};
use super::parser::{GivenUp, Parser};
use super::{DEEPEST, Kind, Term};

fn opening(bracket: Bracket) -> &'static str {
    match bracket {
        Bracket::Round => "(",
        Bracket::Square => "[",
        Bracket::Curly => "{",
        Bracket::Binary => "<<",
    }
}

fn closing(bracket: Bracket) -> &'static str {
    match bracket {
        Bracket::Round => ")",
        Bracket::Square => "]",
        Bracket::Curly => "}",
        Bracket::Binary => ">>",
    }
}

/// A mistake with the places that may have led to it.
fn say(parser: &mut Parser<'_, '_>, place: Range<usize>, message: String, help: &str, more: &[(Range<usize>, &str)]) {
    let mut related = more.to_vec();
    if let Some(text) = parser.lexer.long_text.clone() {
        if text.end == place.start {
            return parser.lexer.no_closing_quote(text, place.start);
        }
        related.push((text, "this text runs over several lines: is its closing quote missing?"));
    }
    parser.lexer.report.mistake_with(place, message, help, &related);
}

fn shown(parser: &Parser<'_, '_>) -> String {
    match parser.token {
        Token::End => "the end of the file".to_owned(),
        Token::Dot => "the final `.`".to_owned(),
        _ => format!("`{}`", parser.lexer.report.excerpt(parser.place.clone())),
    }
}

/// A term ends without its `.`.
pub(super) fn no_dot(parser: &mut Parser<'_, '_>, term: &Term) {
    let end = parser.behind;
    let last = parser.lexer.slice(term.span.start as usize..end).chars().next_back();
    let last = end - last.map_or(0, char::len_utf8)..end;
    let (message, help) = match parser.token {
        Token::Comma => {
            let help = "end each term with `.`, or put `[` before the first and `].` behind the last";
            return say(parser, parser.place.clone(), "write a comma between two terms".to_owned(), help, &[]);
        }
        Token::End => ("the last term does not end with `.`", "write a `.` behind it"),
        _ => ("this term does not end with `.`, and another begins behind it", "write a `.` behind it"),
    };
    say(parser, last, message.to_owned(), help, &[]);
}

const COUNT: &str = "count the brackets in between: to comment out a part of a term, comment out its brackets and \
                     its comma, too";

fn brackets(parser: &mut Parser<'_, '_>, place: Range<usize>, message: String, mut related: Vec<(Range<usize>, &str)>) {
    if let Some(comment) = parser.lexer.odd_comment.clone() {
        related.push((comment, "the brackets in these comments do not match"));
    }
    say(parser, place, message, COUNT, &related);
}

pub(super) fn closes_nothing(parser: &mut Parser<'_, '_>) -> GivenUp {
    let message = format!("{} closes nothing", shown(parser));
    brackets(parser, parser.place.clone(), message, Vec::new());
    GivenUp
}

/// A bracket is open where something ends.
pub(super) fn not_closed(parser: &mut Parser<'_, '_>) -> GivenUp {
    let Some((bracket, place)) = parser.open.last().cloned() else { return closes_nothing(parser) };
    let ended = matches!(parser.token, Token::Dot | Token::End);
    let message = match parser.token {
        Token::Close(_) | Token::Dot | Token::End => {
            format!("`{}` is not closed before {}", opening(bracket), shown(parser))
        }
        _ => format!("{} stands where `{}` is closed with `{}`", shown(parser), opening(bracket), closing(bracket)),
    };
    let other = if ended { "here the term ends" } else { "here something else is closed" };
    brackets(parser, place, message, vec![(parser.place.clone(), other)]);
    GivenUp
}

/// Something ends where a term should be.
pub(super) fn no_term(parser: &mut Parser<'_, '_>) -> GivenUp {
    match parser.open.last() {
        Some(_) if matches!(parser.token, Token::Dot | Token::End) => not_closed(parser),
        Some((open, _)) if parser.token != Token::Close(*open) => not_closed(parser),
        None if matches!(parser.token, Token::Close(_)) => closes_nothing(parser),
        _ => {
            let message = format!("a term is missing before {}", shown(parser));
            say(parser, parser.place.clone(), message, "write the term, or delete what waits for it", &[]);
            GivenUp
        }
    }
}

pub(super) fn second_tail(parser: &mut Parser<'_, '_>) -> GivenUp {
    let help = "write one term behind `|`, and then `]`; separate the terms of a list with commas";
    say(parser, parser.place.clone(), "there is more than one term behind `|`".to_owned(), help, &[]);
    GivenUp
}

pub(super) fn too_deep(parser: &mut Parser<'_, '_>) -> GivenUp {
    let message = format!("more than {DEEPEST} brackets are open, which no setting needs");
    brackets(parser, parser.place.clone(), message, Vec::new());
    GivenUp
}

pub(super) fn comma_without_term(parser: &mut Parser<'_, '_>) {
    let message = "there is no term before this comma".to_owned();
    say(parser, parser.place.clone(), message, "delete the comma, or write the missing term", &[]);
}

pub(super) fn trailing_comma(parser: &mut Parser<'_, '_>, comma: Range<usize>) {
    let message = format!("a comma stands before {}", shown(parser));
    say(parser, comma, message, "delete this comma: none follows the last term", &[]);
}

pub(super) fn no_comma(parser: &mut Parser<'_, '_>) {
    let joined = parser.behind == parser.place.start;
    let word = matches!(parser.token, Token::Atom(_) | Token::Variable(_) | Token::Integer(_));
    let before = parser.behind.checked_sub(1).map(|at| parser.lexer.slice(at..parser.behind));
    if joined && word && before.is_some_and(|before| before.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        let message = format!("{} directly behind a number", shown(parser));
        let help = "put a text between double quotes; a number has digits only, or a base as in 16#ff";
        return say(parser, parser.place.clone(), message, help, &[]);
    }
    let message = format!("a comma is missing before {}", shown(parser));
    say(parser, parser.place.clone(), message, "write a comma between the two terms", &[]);
}

pub(super) fn sign_without_number(parser: &mut Parser<'_, '_>, sign: Range<usize>) {
    let sign_text = parser.lexer.slice(sign.clone());
    if parser.open.is_empty()
        && sign.end == parser.place.start
        && matches!(parser.token, Token::Atom(_) | Token::Variable(_))
    {
        let message = format!("`{sign_text}` and a word begin no term");
        let help = "this looks like vm.args; app.config is [{name, value}, …].";
        say(parser, sign, message, help, &[]);
        parser.lexer.report.cut = true;
        return;
    }
    let message = format!("there is no number behind `{sign_text}`");
    let help = "a sign belongs to a number; put a text between double quotes, and a name with such characters between \
                single ones";
    say(parser, sign, message, help, &[]);
}

/// A variable or a reserved word in place of an atom.
pub(super) fn word(parser: &mut Parser<'_, '_>) {
    let word = parser.lexer.report.excerpt(parser.place.clone());
    let (message, help) = match &parser.token {
        Token::Variable("True" | "TRUE") => (format!("`{word}` is a variable"), "write `true`".to_owned()),
        Token::Variable("False" | "FALSE") => (format!("`{word}` is a variable"), "write `false`".to_owned()),
        Token::Variable(_) => {
            let help = format!(
                "names begin with a small letter or stand between single quotes: '{word}'; texts stand \
                                between double quotes: \"{word}\""
            );
            (format!("`{word}` is a variable, and a file of terms has none"), help)
        }
        _ => {
            (format!("`{word}` is a reserved word of Erlang"), format!("put the name between single quotes: '{word}'"))
        }
    };
    say(parser, parser.place.clone(), message, &help, &[]);
}

pub(super) fn hash(parser: &mut Parser<'_, '_>, hash: Range<usize>) {
    let message = "`#` begins a map or a record here".to_owned();
    let help = "a map is #{key => value}; there are no records in a file of terms; comments begin with `%`";
    say(parser, hash, message, help, &[]);
}

pub(super) fn no_arrow(parser: &mut Parser<'_, '_>) {
    let message = format!("{} stands where `=>` should be", shown(parser));
    say(parser, parser.place.clone(), message, "a map is #{key => value, key => value}", &[]);
}

pub(super) fn no_fun(parser: &mut Parser<'_, '_>, start: usize) {
    let help = "only `fun module:name/arity` is a term, with an arity up to 255";
    say(parser, start..start + 3, "this function is no term".to_owned(), help, &[]);
}

pub(super) fn segment(parser: &mut Parser<'_, '_>, start: usize, message: String) {
    let help = "a part of a binary is a number, a text or a binary, perhaps with :size and /type; a text between double \
                quotes serves mostly";
    say(parser, start..parser.behind, message, help, &[]);
}

/// Something that only expressions have, behind an element or in its place.
pub(super) fn no_element(parser: &mut Parser<'_, '_>, start: usize, element: Option<&Kind>) {
    let place = parser.place.clone();
    let token = shown(parser);
    let joined = place.start == parser.behind;
    let atom = matches!(element, Some(Kind::Atom(_)));
    let top = parser.open.is_empty();
    let settings = "this looks like riak.conf; in Erlang it would be {name, value}";
    let name = "put a name with other characters than letters, digits, `_` and `@` between single quotes, and a text \
                between double quotes";
    let (message, help) = match &parser.token {
        Token::Open(Bracket::Round) => (
            format!("`{}(` calls a function", parser.lexer.report.excerpt(start..parser.behind)),
            "write the value itself",
        ),
        Token::Other("=") if top && atom => ("`=` stands in no term".to_owned(), settings),
        Token::Minus | Token::Other("." | "@") if atom && joined => (format!("{token} within a name"), name),
        Token::Slash if joined || element.is_none() => {
            (format!("{token} outside of quotes"), "put paths and other texts between double quotes")
        }
        Token::Other(".") => (format!("{token} ends no term here"), "white space or a comment follows the final `.`"),
        Token::Bar => (format!("{token} stands in no tuple"), "separate the terms of a tuple with commas"),
        token_kind if starts_value(token_kind) => {
            (format!("{token} follows a term outside of all brackets"), "a file of settings is [{name, value}, …].")
        }
        Token::End => ("a term is missing".to_owned(), "write it"),
        _ => (
            format!("{token} computes something, and a file of terms has finished values only"),
            "write the value itself",
        ),
    };
    say(parser, place, message, help, &[]);
    // Another kind of file has nothing to be judged as terms.
    parser.lexer.report.cut |= help == settings;
}

fn starts_value(token: &Token<'_>) -> bool {
    matches!(
        token,
        Token::Atom(_)
            | Token::Integer(_)
            | Token::Character(_)
            | Token::Float(_)
            | Token::Text(_)
            | Token::Open(_)
            | Token::Variable(_)
            | Token::Wrong
            | Token::Hash
            | Token::Reserved(_)
    )
}
