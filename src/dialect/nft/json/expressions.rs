//! Expressions: what a rule looks at, and what it compares that with.

use serde_json::Value;

use super::super::read::fields::{OF_DIRECTION, SELECTORS};
use super::elements;
use super::words::{keyword, list, members, number, one_of, quoted, reference, single, value};

/// Fields that have bits, each with a name: a comparison of one with a single bit is another test with `==` than without.
const OF_BITS: [&str; 5] = ["flags", "state", "status", "label", "event"];

/// What of a packet's meta data has names for values, which stand in quotes.
const NAMED_META: [&str; 12] = [
    "iif", "oif", "sdif", "iifname", "oifname", "sdifname", "ibrname", "obrname", "iifkind", "oifkind", "hour", "time",
];

/// Operations on bits.
const OPERATIONS: [&str; 5] = ["&", "|", "^", "<<", ">>"];

/// What is known of a value by what it is compared with.
#[derive(Clone, Copy, Default)]
pub struct Like {
    /// It is the name of an interface, or another one that stands in quotes.
    named: bool,
}

/// `{"match": {"op": …, "left": …, "right": …}}`.
pub fn comparison(body: &Value) -> Option<String> {
    let body = members(body, &["op", "left", "right"])?;
    let (left, right) = (body.get("left")?, body.get("right")?);
    let computed = is_computed(left);
    let key = selector(left)?;
    // The name of an interface may begin like the name of a set, and JSON has the same string for both.
    let likes = likes(left);
    let doubtful = reference(right).is_some() && matches!(likes.as_slice(), [Like { named: true }]);
    if doubtful {
        return named_or_set(&key, body.get("op")?.as_str()?, right);
    }
    let looked_up = reference(right).is_some() || single(right).is_some_and(|(kind, _)| kind == "set");
    let operator = match body.get("op")?.as_str()? {
        "in" => "",
        // Whether something is there; the reader of texts knows no operator in between.
        "==" if right.is_boolean() => "",
        _ if right.is_boolean() => return None,
        "==" if !computed && (looked_up || !key.split([' ', '.']).any(|word| OF_BITS.contains(&word))) => "",
        operator @ ("==" | "!=" | "<" | ">" | "<=" | ">=" | "!") => operator,
        _ => return None,
    };
    let right = compared(right, &likes, computed)?;
    Some(if operator.is_empty() { format!("{key} {right}") } else { format!("{key} {operator} {right}") })
}

/// `iifname "@x"`: a test that is not understood.
fn named_or_set(key: &str, operator: &str, right: &Value) -> Option<String> {
    let right = quoted(right.as_str()?)?;
    match operator {
        "in" | "==" => Some(format!("{key} {right}")),
        "!=" => Some(format!("{key} != {right}")),
        _ => None,
    }
}

fn is_computed(expression: &Value) -> bool {
    single(expression).is_some_and(|(kind, _)| OPERATIONS.contains(&kind))
}

/// What stands on the right.
fn compared(right: &Value, likes: &[Like], computed: bool) -> Option<String> {
    let like = likes.first().copied().unwrap_or_default();
    if let Value::Array(values) = right {
        let values: Option<Vec<String>> = values.iter().map(|one| value(one, like.named)).collect();
        return Some(values?.join(if computed { " | " } else { "," })).filter(|text| !text.is_empty());
    }
    match single(right) {
        Some(("set", inner)) => elements::set(inner, likes),
        Some(("|", _)) => bits(right),
        Some((kind, _)) if !matches!(kind, "prefix" | "range" | "concat") => selector(right),
        _ => constant(right, likes),
    }
}

/// A constant: a value, a network, a range, several of them between dots, `@NAME`.
pub fn constant(expression: &Value, likes: &[Like]) -> Option<String> {
    if let Some(name) = reference(expression) {
        return Some(name.to_owned());
    }
    element(expression, likes)
}

/// The same where nothing can be named: within a set.
pub fn element(expression: &Value, likes: &[Like]) -> Option<String> {
    let like = likes.first().copied().unwrap_or_default();
    let Some((kind, inner)) = single(expression) else { return value(expression, like.named) };
    match kind {
        "prefix" => {
            let inner = members(inner, &["addr", "len"])?;
            let address = value(inner.get("addr")?, false).filter(|text| !text.contains('/'))?;
            Some(format!("{address}/{}", number(inner.get("len")?)?))
        }
        "range" => {
            let [first, last] = inner.as_array()?.as_slice() else { return None };
            let (first, last) = (value(first, like.named)?, value(last, like.named)?);
            let joined = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'));
            let dash = if joined(&first) && joined(&last) { "-" } else { " - " };
            Some(format!("{first}{dash}{last}"))
        }
        "concat" => {
            let parts = inner.as_array().filter(|parts| !parts.is_empty())?;
            let part = |(at, part): (usize, &Value)| element(part, likes.get(at..=at).unwrap_or_default());
            let parts: Option<Vec<String>> = parts.iter().enumerate().map(part).collect();
            Some(parts?.join(" . "))
        }
        "|" => bits(expression),
        _ => None,
    }
}

/// `a | b`, of names of bits or numbers, however they are bracketed.
fn bits(expression: &Value) -> Option<String> {
    let parts = match single(expression) {
        Some(("|", Value::Array(parts))) => parts,
        Some(_) => return None,
        None => return value(expression, false),
    };
    let parts: Option<Vec<String>> = parts.iter().map(bits).collect();
    parts.filter(|parts| !parts.is_empty()).map(|parts| parts.join(" | "))
}

/// What the values of a key look like, one for each part of it.
pub fn likes(key: &Value) -> Vec<Like> {
    let parts = match single(key) {
        Some(("concat", Value::Array(parts))) => parts.as_slice(),
        _ => std::slice::from_ref(key),
    };
    let like = |part: &Value| {
        let key =
            single(part).and_then(|(kind, inner)| Some((kind, inner.get("key").or_else(|| inner.get("result"))?)));
        let named = key.and_then(|(kind, key)| Some((kind, key.as_str()?))).is_some_and(|(kind, key)| match kind {
            "meta" => NAMED_META.contains(&key),
            "fib" => key == "oifname",
            "ct" => key == "helper",
            "socket" => key == "cgroupv2",
            kind => kind == "osf",
        });
        Like { named }
    };
    parts.iter().map(like).collect()
}

/// The same of the types of a set.
pub fn likes_of_types(types: &[Value]) -> Vec<Like> {
    let named = |one: &Value| matches!(one.as_str(), Some("ifname" | "iface_index" | "time" | "day" | "hour"));
    types.iter().map(|one| Like { named: named(one) }).collect()
}

/// Something of a packet, perhaps computed, or several things of it.
pub fn selector(expression: &Value) -> Option<String> {
    let (kind, inner) = single(expression)?;
    match kind {
        "payload" => payload(inner),
        "exthdr" | "tcp option" | "ip option" | "sctp chunk" | "dccp option" => header(kind, inner),
        "meta" => meta(inner),
        "ct" => connection(inner),
        "rt" => {
            let inner = members(inner, &["key", "family"])?;
            let family =
                inner.get("family").map_or(Some(String::new()), |family| Some(format!("{} ", keyword(family)?)))?;
            Some(format!("rt {family}{}", keyword(inner.get("key")?)?))
        }
        "fib" => fib(inner),
        "socket" => {
            let inner = members(inner, &["key", "level"])?;
            match (keyword(inner.get("key")?)?, inner.get("level")) {
                // nft 1.0.6 does not say of which level.
                ("cgroupv2", level) => Some(format!("socket cgroupv2 level {}", number(level?)?)),
                (key, None) => Some(format!("socket {key}")),
                (_, Some(_)) => None,
            }
        }
        "osf" => {
            let inner = members(inner, &["key", "ttl"])?;
            let ttl = inner.get("ttl").map_or(Some(String::new()), |ttl| Some(format!("ttl {} ", keyword(ttl)?)))?;
            let key = one_of(inner.get("key")?, &["name", "version"])?;
            Some(format!("osf {ttl}{key}"))
        }
        "numgen" | "jhash" | "symhash" => computed_number(kind, inner),
        "map" => map(inner, elements::map_data),
        "concat" => {
            let parts: Option<Vec<String>> = inner.as_array()?.iter().map(selector).collect();
            parts.filter(|parts| parts.len() > 1).map(|parts| parts.join(" . "))
        }
        operation if OPERATIONS.contains(&operation) => operation_on_bits(operation, inner),
        _ => None,
    }
}

/// `KEY map { … }`; `data` reads what it holds.
fn map(body: &Value, data: impl Fn(&Value, &[Like]) -> Option<String>) -> Option<String> {
    let body = members(body, &["key", "data"])?;
    let key = body.get("key")?;
    Some(format!("{} map {}", selector(key)?, data(body.get("data")?, &likes(key))?))
}

/// `A & B`: of a field, and a mask behind it.
fn operation_on_bits(operation: &str, operands: &Value) -> Option<String> {
    let (first, rest) = operands.as_array()?.split_first()?;
    let mut text = selector(first)?;
    if rest.is_empty() {
        return None;
    }
    for operand in rest {
        let bits = match operand {
            Value::Array(values) => {
                let values: Option<Vec<String>> = values.iter().map(|one| value(one, false)).collect();
                values.filter(|values| !values.is_empty())?.join(" | ")
            }
            other => bits(other).or_else(|| selector(other).filter(|_| !is_computed(other)))?,
        };
        let bits = if bits.contains(" | ") { format!("({bits})") } else { bits };
        text = format!("{text} {operation} {bits}");
    }
    Some(text)
}

fn payload(body: &Value) -> Option<String> {
    if let Some(raw) = members(body, &["base", "offset", "len"]) {
        let base = one_of(raw.get("base")?, &["ll", "nh", "th", "ih"])?;
        return Some(format!("@{base},{},{}", number(raw.get("offset")?)?, number(raw.get("len")?)?));
    }
    let body = members(body, &["protocol", "field"])?;
    known_selector(body.get("protocol")?.as_str()?, body.get("field")?.as_str()?)
}

/// Two words that the reader of texts knows; others it does not tell from what may follow.
fn known_selector(first: &str, second: &str) -> Option<String> {
    let known = SELECTORS.iter().any(|(own, fields)| *own == first && fields.contains(&second));
    known.then(|| format!("{first} {second}"))
}

/// A header that need not be there, or a field of it.
fn header(kind: &str, body: &Value) -> Option<String> {
    let body = members(body, &["name", "field"])?;
    let name = keyword(body.get("name")?)?;
    let first = if kind == "exthdr" { String::new() } else { format!("{kind} ") };
    match body.get("field") {
        Some(field) => Some(format!("{first}{name} {}", keyword(field)?)),
        None if kind == "exthdr" => Some(format!("exthdr {name}")),
        None => Some(format!("{first}{name}")),
    }
}

fn meta(body: &Value) -> Option<String> {
    let key = members(body, &["key"])?.get("key")?.as_str()?;
    match key {
        "iif" | "oif" | "iifname" | "oifname" | "iifgroup" | "oifgroup" => Some(key.to_owned()),
        // As nft 1.0 and older name these two.
        "ibriport" | "ibridgename" | "obriport" | "obridgename" => None,
        _ => known_selector("meta", key).or_else(|| (key == "nftrace").then(|| format!("meta {key}"))),
    }
}

fn connection(body: &Value) -> Option<String> {
    let body = members(body, &["key", "dir", "family"])?;
    let key = body.get("key")?.as_str()?;
    let Some(direction) = body.get("dir") else {
        let settable = matches!(key, "event" | "secmark" | "timeout" | "expectation").then(|| format!("ct {key}"));
        return known_selector("ct", key).or(settable).filter(|_| body.get("family").is_none());
    };
    let direction = one_of(direction, &["original", "reply"])?;
    let key = match body.get("family") {
        Some(family) => format!("{} {key}", family.as_str()?),
        None => key.to_owned(),
    };
    let known = OF_DIRECTION.iter().any(|words| words.join(" ") == key);
    known.then(|| format!("ct {direction} {key}"))
}

fn fib(body: &Value) -> Option<String> {
    let body = members(body, &["result", "flags"])?;
    let result = one_of(body.get("result")?, &["type", "oif", "oifname", "check"])?;
    let flags = list(body.get("flags")?);
    let known = ["saddr", "daddr", "mark", "iif", "oif"];
    let flags: Option<Vec<&str>> = flags.iter().map(|flag| one_of(flag, &known)).collect();
    flags.filter(|flags| !flags.is_empty()).map(|flags| format!("fib {} {result}", flags.join(" . ")))
}

/// A number that is made of chance, or of the packet.
fn computed_number(kind: &str, body: &Value) -> Option<String> {
    let body = members(body, &["mode", "mod", "offset", "seed", "expr"])?;
    let mut text = match (kind, body.get("mode"), body.get("expr")) {
        ("numgen", Some(mode), None) => {
            format!("numgen {}", one_of(mode, &["inc", "random"])?)
        }
        ("jhash", None, Some(expression)) => format!("jhash {}", selector(expression)?),
        ("symhash", None, None) => "symhash".to_owned(),
        _ => return None,
    };
    text.push_str(&format!(" mod {}", number(body.get("mod")?)?));
    for option in ["seed", "offset"] {
        if let Some(value) = body.get(option) {
            match number(value)? {
                0 if option == "offset" => {}
                value => text.push_str(&format!(" {option} {value}")),
            }
        }
    }
    Some(text)
}
