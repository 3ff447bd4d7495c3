//! Statements that lead a packet elsewhere, and end their rule.

use serde_json::{Map, Value};

use super::expressions::{element, selector};
use super::statements::unknown;
use super::words::{keyword, list, members, number, one_of, quoted, single, value};

/// `snat`, `dnat`, `masquerade`, `redirect`, `tproxy`, `queue`, `synproxy`.
pub fn statement(kind: &str, body: &Value) -> Option<String> {
    let none = Map::new();
    let body = match body {
        Value::Null => &none,
        Value::String(object) if kind == "synproxy" => return Some(format!("synproxy name {}", quoted(object)?)),
        other => other.as_object()?,
    };
    match kind {
        "queue" => queue(body),
        "synproxy" => synproxy(body),
        "tproxy" => translation(kind, body),
        _ => translation(kind, body)
            .map(|text| text + &flags(body).unwrap_or_else(|| format!(" {}", unknown(&body_of(body))))),
    }
}

fn body_of(body: &Map<String, Value>) -> Value {
    Value::Object(body.clone())
}

/// `dnat ip prefix to ADDRESS:PORT`.
fn translation(kind: &str, body: &Map<String, Value>) -> Option<String> {
    let known = ["addr", "family", "port", "flags", "type_flags"];
    if !body.keys().all(|key| known.contains(&key.as_str())) {
        return None;
    }
    let mut text = kind.to_owned();
    if let Some(family) = body.get("family") {
        text.push_str(&format!(" {}", one_of(family, &["ip", "ip6"])?));
    }
    for flag in body.get("type_flags").map(list).unwrap_or_default() {
        text.push_str(match flag.as_str()? {
            "prefix" => " prefix",
            "interval" => " interval",
            "concat" => " addr . port",
            _ => return None,
        });
    }
    let port = body.get("port").map(|port| target(port).map(|port| format!(":{port}")));
    match (body.get("addr").map(target), port) {
        (None, None) => Some(text),
        (None, Some(port)) => Some(format!("{text} to {}", port?)),
        (Some(address), None) => Some(format!("{text} to {}", address?)),
        (Some(address), Some(port)) => Some(format!("{text} to {}{}", bracketed(&address?), port?)),
    }
}

/// An address or a port, a range of them, or what a map says.
fn target(to: &Value) -> Option<String> {
    match single(to) {
        Some(("range" | "prefix" | "concat", _)) | None => element(to, &[]),
        Some(_) => selector(to),
    }
}

/// `[fd00::1]`, in front of a port.
fn bracketed(address: &str) -> String {
    if !address.contains(':') || address.contains(' ') {
        return address.to_owned();
    }
    address.split('-').map(|one| format!("[{one}]")).collect::<Vec<_>>().join("-")
}

fn flags(body: &Map<String, Value>) -> Option<String> {
    let flags = body.get("flags").map(list).unwrap_or_default();
    let known = ["random", "fully-random", "persistent", "netmap"];
    let flags: Option<Vec<&str>> = flags.iter().map(|flag| one_of(flag, &known)).collect();
    flags.map(|flags| if flags.is_empty() { String::new() } else { format!(" {}", flags.join(",")) })
}

fn queue(body: &Map<String, Value>) -> Option<String> {
    let body = body.keys().all(|key| matches!(key.as_str(), "num" | "flags")).then_some(body)?;
    let mut text = "queue".to_owned();
    if let Some(flags) = body.get("flags") {
        let flags: Option<Vec<&str>> = list(flags).iter().map(keyword).collect();
        text.push_str(&format!(" flags {}", flags?.join(",")));
    }
    if let Some(queue) = body.get("num") {
        text.push_str(&format!(" to {}", target(queue)?));
    }
    Some(text)
}

fn synproxy(body: &Map<String, Value>) -> Option<String> {
    let whole = body_of(body);
    let body = members(&whole, &["mss", "wscale", "flags"])?;
    let mut text = "synproxy".to_owned();
    for option in ["mss", "wscale"] {
        if let Some(size) = body.get(option) {
            text.push_str(&format!(" {option} {}", number(size)?));
        }
    }
    for flag in body.get("flags").map(list).unwrap_or_default() {
        text.push_str(&format!(" {}", value(flag, false)?));
    }
    Some(text)
}
