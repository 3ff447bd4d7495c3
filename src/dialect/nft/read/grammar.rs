//! Where a test ends that the IR has no word for.
//!
//! nft has no mark between a test and the statement behind it. Only where the grammar of a test is known here, a verdict
//! behind it may be taken for the rule's; otherwise everything up to the end of the rule is unknown, verdict included. A
//! word too much or too little would make a rule that nobody wrote.

use super::fields::{NO_VALUES, OF_DIRECTION, OF_EXTENSIONS, SELECTORS, SINGLE};
use super::lexer::{Kind, Token};
use super::words::Words;

/// Takes a whole test of an extension header.
pub fn extension_header(words: &mut Words<'_, '_>) -> bool {
    let mut rest = *words;
    let (first, second) = (rest.word(rest.at), rest.word(rest.at + 1));
    if !OF_EXTENSIONS.iter().any(|(own, keys)| *own == first && keys.contains(&second)) {
        return false;
    }
    rest.at += 2;
    take_any(&mut rest, &COMPARISONS);
    let known = value(&mut rest, &[]) && rest.value_ends();
    if known {
        *words = rest;
    }
    known
}

const COMPARISONS: [&str; 14] = ["==", "!=", "<", "<=", ">", ">=", "!", "eq", "ne", "lt", "le", "gt", "ge", "~"];
const BIT_OPERATIONS: [&str; 8] = ["&", "|", "^", "<<", ">>", "and", "or", "xor"];

/// Takes a test whose grammar is known, and nothing else; `false` and nothing taken if it is not.
pub fn test(words: &mut Words<'_, '_>) -> bool {
    let mut rest = *words;
    let first = rest.at;
    for known in [limit, quota, count, tcp_option, computed, fingerprint, match_of_iptables, comparison] {
        rest.at = first;
        if known(&mut rest) && rest.value_ends() {
            *words = rest;
            return true;
        }
    }
    false
}

/// `SELECTOR [. SELECTOR]… [OPERATOR] VALUE`.
fn comparison(words: &mut Words<'_, '_>) -> bool {
    loop {
        if !selector(words) {
            return false;
        }
        if !words.take_word(".") {
            break;
        }
    }
    // A message of ICMP and two states of a connection are called like statements.
    let named: &[&str] = match words.at.checked_sub(1).map_or("", |last| words.word(last)) {
        "type" => &["redirect"],
        "status" => &["snat", "dnat"],
        _ => &[],
    };
    // Bits are picked before they are compared: `mark & 0x1 == 0x1`.
    while take_any(words, &BIT_OPERATIONS) {
        if !operand(words, named) {
            return false;
        }
    }
    take_any(words, &COMPARISONS);
    value(words, named)
}

/// Takes what is compared, if it is known here what that can be.
pub fn selector(words: &mut Words<'_, '_>) -> bool {
    let first = words.word(words.at);
    if raw_payload(words) {
        return true;
    }
    if first == "fib" {
        return fib(words);
    }
    if first == "ct" && matches!(words.word(words.at + 1), "original" | "reply") {
        let at = words.at;
        words.at += 2;
        if OF_DIRECTION.iter().any(|texts| words.take_all(texts)) {
            return true;
        }
        words.at = at;
        return false;
    }
    let second = words.word(words.at + 1);
    if SELECTORS.iter().any(|(own, keys)| *own == first && keys.contains(&second)) {
        words.at += 2;
        return true;
    }
    // `ipsec in ip saddr` looks at what a packet came wrapped in, which is not the packet.
    let wrapped = first == "ipsec" && matches!(second, "in" | "out");
    let single = SINGLE.contains(&first) && !wrapped;
    words.at += usize::from(single);
    single
}

/// `@th,16,16`.
fn raw_payload(words: &mut Words<'_, '_>) -> bool {
    let at = words.at;
    let base = matches!(words.word(at), "@ll" | "@nh" | "@th" | "@ih");
    let number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    words.at += 1;
    let offset = base && words.take(",") && words.next().is_some_and(|token| number(token.text));
    if offset && words.take(",") && words.next().is_some_and(|token| number(token.text)) {
        return true;
    }
    words.at = at;
    false
}

/// `fib saddr . iif oif`.
fn fib(words: &mut Words<'_, '_>) -> bool {
    words.at += 1;
    loop {
        if !take_any(words, &["saddr", "daddr", "mark", "iif", "oif"]) {
            return false;
        }
        if !words.take_word(".") {
            break;
        }
    }
    take_any(words, &["type", "oifname", "oif", "check"])
}

/// `{ … }`, `@NAME`, or values with `-`, `/`, `,`, `.` and bit operations between them.
fn value(words: &mut Words<'_, '_>, named: &[&str]) -> bool {
    if words.peek().is_some_and(|token| token.is("{")) {
        return words.block().is_some();
    }
    loop {
        if !operand(words, named) {
            return false;
        }
        let joined =
            words.take(",") || words.take(":") || take_any(words, &["-", "/", "."]) || take_any(words, &BIT_OPERATIONS);
        if joined {
            continue;
        }
        // `tcp flags & (fin | syn) == syn`: the mask came first.
        if !take_any(words, &COMPARISONS) {
            return true;
        }
    }
}

/// What is assigned: a value, or something of the packet with bit operations on it.
pub fn assigned(words: &mut Words<'_, '_>) -> bool {
    let mut rest = *words;
    if rest.take_all(&["rt", "mtu"]) || selector(&mut rest) {
        while take_any(&mut rest, &BIT_OPERATIONS) {
            if !operand(&mut rest, &[]) {
                return false;
            }
        }
        *words = rest;
        return true;
    }
    value(words, &[])
}

fn operand(words: &mut Words<'_, '_>, named: &[&str]) -> bool {
    let Some(token) = words.next() else { return false };
    match token.kind {
        Kind::Word => !NO_VALUES.contains(&token.text) || named.contains(&token.text),
        Kind::Quoted => true,
        Kind::Symbol if token.is("(") => in_parentheses(words),
        Kind::Symbol | Kind::Newline | Kind::Hidden | Kind::End => false,
    }
}

fn in_parentheses(words: &mut Words<'_, '_>) -> bool {
    while let Some(token) = words.next() {
        match token.kind {
            Kind::Symbol if token.is(")") => return true,
            Kind::Symbol if token.is("|") || token.is("&") || token.is("^") => {}
            Kind::Word if !NO_VALUES.contains(&token.text) => {}
            Kind::Word | Kind::Quoted | Kind::Symbol | Kind::Newline | Kind::Hidden | Kind::End => return false,
        }
    }
    false
}

fn take_any(words: &mut Words<'_, '_>, texts: &[&str]) -> bool {
    let found = words.peek().is_some_and(|token| token.kind != Kind::Quoted && texts.contains(&token.text));
    words.at += usize::from(found);
    found
}

/// Whether a word is a verdict wherever it stands.
pub fn decides(token: &Token<'_>) -> bool {
    token.kind == Kind::Word
        && matches!(token.text, "accept" | "drop" | "continue" | "return" | "jump" | "goto" | "reject")
}

fn is_number(token: &Token<'_>) -> bool {
    token.kind == Kind::Word && token.text.starts_with(|first: char| first.is_ascii_digit())
}

/// `limit rate [over | until] N/UNIT [burst N UNIT]`, the number with a unit of bytes perhaps, or `limit name NAME`.
fn limit(words: &mut Words<'_, '_>) -> bool {
    const UNITS: [&str; 5] = ["bytes", "kbytes", "mbytes", "gbytes", "packets"];
    let per = |text: &str| matches!(text, "second" | "minute" | "hour" | "day" | "week");
    if !words.take_word("limit") {
        return false;
    }
    if words.take_word("name") {
        return words.next().is_some_and(|token| token.name().is_some());
    }
    if !words.take_word("rate") {
        return false;
    }
    take_any(words, &["over", "until"]);
    let Some(rate) = words.next().filter(|token| is_number(token)) else { return false };
    // `10/second`, or `10 mbytes/second`.
    let plain = rate.text.split_once('/').is_some_and(|(_, unit)| per(unit));
    let of_bytes = !rate.text.contains('/')
        && words
            .next()
            .and_then(|token| token.text.split_once('/'))
            .is_some_and(|(size, time)| UNITS.contains(&size) && per(time));
    if !plain && !of_bytes {
        return false;
    }
    if words.take_word("burst") {
        if !words.next().is_some_and(is_number) {
            return false;
        }
        take_any(words, &UNITS);
    }
    true
}

/// `quota [over | until] N UNIT [used N UNIT]`, or `quota name NAME`.
fn quota(words: &mut Words<'_, '_>) -> bool {
    if !words.take_word("quota") {
        return false;
    }
    if words.take_word("name") {
        return words.next().is_some_and(|token| token.name().is_some());
    }
    take_any(words, &["over", "until"]);
    amount(words) && (!words.take_word("used") || amount(words))
}

fn amount(words: &mut Words<'_, '_>) -> bool {
    words.next().is_some_and(is_number) && take_any(words, &["bytes", "kbytes", "mbytes", "gbytes"])
}

/// `tcp option NAME [FIELD] [OPERATOR] VALUE`; `exists` and `missing` are values, too.
fn tcp_option(words: &mut Words<'_, '_>) -> bool {
    const NAMES: [&str; 13] = [
        "eol",
        "nop",
        "maxseg",
        "window",
        "sack-perm",
        "sack-permitted",
        "sack",
        "sack0",
        "sack1",
        "sack2",
        "sack3",
        "timestamp",
        "mptcp",
    ];
    const FIELDS: [&str; 8] = ["kind", "length", "size", "count", "left", "right", "tsval", "tsecr"];
    if !words.take_all(&["tcp", "option"]) || !take_any(words, &NAMES) {
        return false;
    }
    if take_any(words, &["exists", "missing"]) {
        return true;
    }
    if !take_any(words, &FIELDS) {
        return false;
    }
    take_any(words, &COMPARISONS);
    value(words, &[])
}

/// A number that is made of chance, or of the packet, compared with something.
fn computed(words: &mut Words<'_, '_>) -> bool {
    if !number(words) {
        return false;
    }
    take_any(words, &COMPARISONS);
    value(words, &[])
}

/// `numgen random mod N [offset N]`, `jhash FIELD mod N [seed N] [offset N]`, `symhash mod N [offset N]`.
pub fn number(words: &mut Words<'_, '_>) -> bool {
    let begins = match words.next().map_or("", |token| token.text) {
        "numgen" => take_any(words, &["random", "inc"]),
        "symhash" => true,
        "jhash" => selector(words) && in_chain(words),
        _ => false,
    };
    if !begins || !words.take_word("mod") || !words.next().is_some_and(is_number) {
        return false;
    }
    while take_any(words, &["seed", "offset"]) {
        if !words.next().is_some_and(is_number) {
            return false;
        }
    }
    true
}

/// More selectors behind the first one.
fn in_chain(words: &mut Words<'_, '_>) -> bool {
    while words.take_word(".") {
        if !selector(words) {
            return false;
        }
    }
    true
}

/// `osf [ttl loose | ttl skip] name VALUE`, `socket cgroupv2 level N VALUE`.
fn fingerprint(words: &mut Words<'_, '_>) -> bool {
    let known = if words.take_word("osf") {
        (!words.take_word("ttl") || take_any(words, &["loose", "skip"])) && take_any(words, &["name", "version"])
    } else {
        words.take_all(&["socket", "cgroupv2", "level"]) && words.next().is_some_and(is_number)
    };
    take_any(words, &COMPARISONS);
    known && value(words, &[])
}

/// `xt match NAME`: all that nft says of a match that it cannot print.
fn match_of_iptables(words: &mut Words<'_, '_>) -> bool {
    words.take_all(&["xt", "match"]) && words.next().is_some_and(|token| token.name().is_some())
}

/// `ct count [over] N`.
fn count(words: &mut Words<'_, '_>) -> bool {
    if !words.take_all(&["ct", "count"]) {
        return false;
    }
    words.take_word("over");
    words.next().is_some_and(is_number)
}

/// Takes a set that a rule brings with it, behind its first word: `NAME [size N] { … }`.
pub fn meter<'r, 'a>(words: &mut Words<'r, 'a>) -> Option<(&'a str, &'r [Token<'a>])> {
    let mut rest = *words;
    let name = rest.next()?.name()?;
    if rest.take_word("size") {
        rest.next().filter(|size| is_number(size))?;
    }
    let key = rest.block()?;
    *words = rest;
    Some((name, key))
}

/// Takes what fills or empties a set, behind its first word, and says the set's name and what is added: `@NAME { … }`.
pub fn set_statement<'r, 'a>(words: &mut Words<'r, 'a>) -> Option<(&'a str, &'r [Token<'a>])> {
    let mut rest = *words;
    let name = rest.next().filter(|token| token.kind == Kind::Word)?.text.strip_prefix('@')?;
    let key = rest.block()?;
    *words = rest;
    Some((name, key))
}
