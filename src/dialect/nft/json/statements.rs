//! Statements: what a rule asks and does, one after the other.

use serde_json::Value;

use super::elements;
use super::expressions::{comparison, likes, selector};
use super::translations;
use super::words::{is_of_name, keyword, list, members, name, number, quoted, reference, remark, single, value};

/// An object is repeated only so far where it is not understood.
const LONGEST_SHOWN: usize = 200;

/// A statement in words. What is not known here becomes a word that the reader of texts does not know either: it may do
/// anything, and so may what stands behind it.
pub fn statement(one: &Value) -> String {
    known(one).unwrap_or_else(|| doubted(one))
}

/// `json "…"`: a statement that nobody knows, with what it says. The sets and maps that it names it may fill, which the reader
/// of texts sees by their names.
fn doubted(value: &Value) -> String {
    let mut text = unknown(value);
    let mut names = Vec::new();
    mentioned(value, &mut names);
    names.sort_unstable();
    names.dedup();
    for name in names {
        text.push_str(&format!(" add @{name}"));
    }
    text
}

/// `json "…"`: something that nobody knows, with what it says.
pub fn unknown(value: &Value) -> String {
    let text = value.to_string().replace('"', "'");
    let shown: String = text.chars().take(LONGEST_SHOWN).collect();
    format!("json {}", remark(&shown))
}

/// The names behind an `@`, and of meters, wherever they stand.
fn mentioned<'v>(value: &'v Value, names: &mut Vec<&'v str>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => {
            let behind = text.split('@').skip(1).map(|rest| {
                let end = rest.find(|c: char| !is_of_name(c)).unwrap_or(rest.len());
                rest.get(..end).unwrap_or_default()
            });
            names.extend(behind.filter(|name| !name.is_empty()));
        }
        Value::Array(list) => list.iter().for_each(|one| mentioned(one, names)),
        Value::Object(members) => {
            for (key, one) in members {
                let named =
                    one.as_str().filter(|name| key == "name" && !name.is_empty() && name.chars().all(is_of_name));
                names.extend(named);
                mentioned(one, names);
            }
        }
    }
}

fn known(one: &Value) -> Option<String> {
    let (kind, body) = single(one)?;
    if let Some(verdict) = verdict(one) {
        return Some(verdict);
    }
    match kind {
        "match" => comparison(body),
        "counter" | "limit" | "quota" | "last" | "ct count" => stateful(one),
        "mangle" => mangle(body),
        "log" => log(body),
        "reject" => reject(body),
        "notrack" => body.is_null().then(|| "notrack".to_owned()),
        "vmap" => {
            let body = members(body, &["key", "data"])?;
            let key = body.get("key")?;
            Some(format!("{} vmap {}", selector(key)?, elements::verdict_data(body.get("data")?, &likes(key))?))
        }
        "set" | "map" => update(kind, body),
        "meter" => meter(body),
        "ct helper" | "ct timeout" | "ct expectation" => Some(format!("{kind} set {}", quoted(body.as_str()?)?)),
        "flow" => {
            let body = members(body, &["op", "flowtable"])?;
            let adds = body.get("op")?.as_str()? == "add";
            reference(body.get("flowtable")?).filter(|_| adds).map(|table| format!("flow add {table}"))
        }
        "dup" | "fwd" => copy(kind, body),
        "snat" | "dnat" | "masquerade" | "redirect" | "tproxy" | "queue" | "synproxy" => {
            translations::statement(kind, body)
        }
        "xt" => extension(body),
        _ => None,
    }
}

/// What becomes of the packet.
pub fn verdict(one: &Value) -> Option<String> {
    let (kind, body) = single(one)?;
    match kind {
        "accept" | "drop" | "continue" | "return" => body.is_null().then(|| kind.to_owned()),
        "jump" | "goto" => {
            let target = members(body, &["target"])?.get("target")?.as_str()?;
            Some(format!("{kind} {}", name(target)?))
        }
        _ => None,
    }
}

/// What counts, and may ask what it has counted.
pub fn stateful(one: &Value) -> Option<String> {
    let (kind, body) = single(one)?;
    if let (Some(object), "counter" | "limit" | "quota") = (body.as_str(), kind) {
        return Some(format!("{kind} name {}", quoted(object)?));
    }
    match kind {
        "counter" if body.is_null() => Some("counter".to_owned()),
        "counter" => {
            let body = members(body, &["packets", "bytes"])?;
            Some(format!("counter packets {} bytes {}", number(body.get("packets")?)?, number(body.get("bytes")?)?))
        }
        "limit" => limit(body),
        "quota" => quota(body),
        "last" => (body.is_null() || members(body, &["used"]).is_some()).then(|| "last".to_owned()),
        "ct count" => {
            let body = members(body, &["val", "inv"])?;
            Some(format!("ct count {}{}", over(body.get("inv"))?, number(body.get("val")?)?))
        }
        _ => None,
    }
}

/// Whether a statement holds for what is above its limit.
fn over(inverse: Option<&Value>) -> Option<&'static str> {
    match inverse {
        None | Some(Value::Bool(false)) => Some(""),
        Some(Value::Bool(true)) => Some("over "),
        Some(_) => None,
    }
}

fn limit(body: &Value) -> Option<String> {
    let body = members(body, &["rate", "burst", "per", "inv", "rate_unit", "burst_unit"])?;
    let (over, rate) = (over(body.get("inv"))?, number(body.get("rate")?)?);
    let per = body.get("per")?.as_str()?;
    let per = Some(per).filter(|per| matches!(*per, "second" | "minute" | "hour" | "day" | "week"))?;
    let unit = |key: &str| match body.get(key) {
        None => Some("packets"),
        Some(unit) => unit.as_str().filter(|unit| is_unit(unit) || *unit == "packets"),
    };
    let rate = match unit("rate_unit")? {
        "packets" => format!("{rate}/{per}"),
        unit => format!("{rate} {unit}/{per}"),
    };
    match body.get("burst") {
        Some(burst) => Some(format!("limit rate {over}{rate} burst {} {}", number(burst)?, unit("burst_unit")?)),
        None => Some(format!("limit rate {over}{rate}")),
    }
}

fn is_unit(unit: &str) -> bool {
    matches!(unit, "bytes" | "kbytes" | "mbytes" | "gbytes")
}

fn quota(body: &Value) -> Option<String> {
    let body = members(body, &["val", "val_unit", "inv", "used", "used_unit"])?;
    let amount = |value: &str, unit: &str| {
        let unit = body.get(unit)?.as_str().filter(|unit| is_unit(unit))?;
        Some(format!("{} {unit}", number(body.get(value)?)?))
    };
    let used = match body.get("used") {
        Some(_) => format!(" used {}", amount("used", "used_unit")?),
        None => String::new(),
    };
    Some(format!("quota {}{}{used}", over(body.get("inv"))?, amount("val", "val_unit")?))
}

/// `WHAT set VALUE`.
fn mangle(body: &Value) -> Option<String> {
    let body = members(body, &["key", "value"])?;
    let (key, to) = (body.get("key")?, body.get("value")?);
    let to = match to {
        Value::Array(values) => {
            let values: Option<Vec<String>> = values.iter().map(|one| value(one, false)).collect();
            values.filter(|values| !values.is_empty())?.join(",")
        }
        Value::Object(_) => selector(to).or_else(|| super::expressions::element(to, &likes(key)))?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value(to, false)?,
    };
    Some(format!("{} set {to}", selector(key)?))
}

fn log(body: &Value) -> Option<String> {
    if body.is_null() {
        return Some("log".to_owned());
    }
    let body = members(body, &["prefix", "group", "snaplen", "queue-threshold", "level", "flags"])?;
    let mut text = "log".to_owned();
    if let Some(prefix) = body.get("prefix") {
        text.push_str(&format!(" prefix {}", remark(prefix.as_str()?)));
    }
    for option in ["group", "snaplen", "queue-threshold"] {
        if let Some(value) = body.get(option) {
            text.push_str(&format!(" {option} {}", number(value)?));
        }
    }
    if let Some(level) = body.get("level") {
        text.push_str(&format!(" level {}", keyword(level)?));
    }
    if let Some(flags) = body.get("flags") {
        let known = ["tcp sequence", "tcp options", "ip options", "skuid", "ether", "all"];
        for flag in list(flags) {
            text.push_str(&format!(" flags {}", flag.as_str().filter(|flag| known.contains(flag))?));
        }
    }
    Some(text)
}

fn reject(body: &Value) -> Option<String> {
    if body.is_null() {
        return Some("reject".to_owned());
    }
    let body = members(body, &["type", "expr"])?;
    let Some(kind) = body.get("type") else { return body.is_empty().then(|| "reject".to_owned()) };
    let kind = kind.as_str().filter(|kind| matches!(*kind, "tcp reset" | "icmp" | "icmpv6" | "icmpx"))?;
    let notice = body.get("expr").map_or(Some(String::new()), |notice| Some(format!(" {}", value(notice, false)?)))?;
    Some(format!("reject with {kind}{notice}"))
}

/// `add @NAME { KEY timeout 1h limit rate … }`, and the same for maps.
fn update(kind: &str, body: &Value) -> Option<String> {
    let body = members(body, &["op", "elem", "set", "map", "data", "stmt"])?;
    let operation = body.get("op")?.as_str().filter(|one| matches!(*one, "add" | "update" | "delete"))?;
    let mut key = stored(body.get("elem")?)?;
    key.push_str(&counting(body.get("stmt"))?);
    if let Some(data) = body.get("data").filter(|_| kind == "map") {
        key.push_str(&format!(" : {}", selector(data).or_else(|| super::expressions::element(data, &[]))?));
    }
    Some(format!("{operation} {} {{ {key} }}", reference(body.get(kind)?)?))
}

/// What is put into a set: something of the packet, and for how long.
fn stored(key: &Value) -> Option<String> {
    match single(key) {
        Some(("elem", inner)) => elements::wrapped(inner, selector),
        _ => selector(key),
    }
}

/// What is done for each element.
fn counting(statements: Option<&Value>) -> Option<String> {
    let statements = statements.map(list).unwrap_or_default();
    let texts: Option<Vec<String>> = statements.iter().map(|one| Some(format!(" {}", stateful(one)?))).collect();
    texts.map(|texts| texts.concat())
}

/// `meter NAME size N { KEY limit rate … }`.
fn meter(body: &Value) -> Option<String> {
    let body = members(body, &["name", "key", "stmt", "size"])?;
    let size = body.get("size").map_or(Some(String::new()), |size| Some(format!(" size {}", number(size)?)))?;
    let (key, counted) = (stored(body.get("key")?)?, counting(body.get("stmt"))?);
    Some(format!("meter {}{size} {{ {key}{counted} }}", name(body.get("name")?.as_str()?)?))
}

/// `dup to ADDRESS device NAME`, `fwd to NAME`.
fn copy(kind: &str, body: &Value) -> Option<String> {
    let body = members(body, &["addr", "dev", "family"])?;
    let to = |to: &Value, named: bool| value(to, named).or_else(|| selector(to));
    match (body.get("addr"), body.get("dev")) {
        (Some(address), None) => Some(format!("{kind} to {}", to(address, false)?)),
        (Some(address), Some(device)) => {
            Some(format!("{kind} to {} device {}", to(address, false)?, to(device, true)?))
        }
        (None, Some(device)) => Some(format!("{kind} to {}", to(device, true)?)),
        (None, None) => None,
    }
}

/// What nft has of iptables' own extensions: their names.
fn extension(body: &Value) -> Option<String> {
    let body = members(body, &["type", "name"])?;
    let kind = body.get("type")?.as_str().filter(|kind| matches!(*kind, "match" | "target"))?;
    Some(format!("xt {kind} {}", quoted(body.get("name")?.as_str()?)?))
}
