//! Addresses and ports in the spellings that Riak and Erlang take.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Bind, Setting};
use crate::diagnostic::{Code, Diagnostic, Findings, Span};
use crate::import::erlang::{Kind, Term};
use crate::net::{ParseAddressError, parse_address};

/// What is being read, and where its findings go.
pub(super) struct Found<'f> {
    /// The setting in the file's words.
    pub name: String,
    pub findings: &'f mut Findings,
}

impl Found<'_> {
    pub fn wrong(&mut self, span: Span, what: &str, help: &str) {
        let message = format!("`{}` is {what}", self.name);
        self.findings.push(Diagnostic::new(Code::BadSetting, span, message).help(help));
    }

    /// What opens a port that no service has.
    pub fn unguarded(&mut self, span: Span) {
        let message = format!("`{}` opens a port that is no service of the profile: nothing guards it", self.name);
        let help = "give it a service of your own in the cluster file: `[services.NAME]` with its `ports`, and `state = \"blocked\"` where nobody is \
                    to use it";
        self.findings.push(Diagnostic::new(Code::NotRead, span, message).help(help));
    }

    pub fn setting<T>(&self, value: T, span: Span) -> Setting<T> {
        Setting { value, name: self.name.clone(), span }
    }

    /// A text that says where to listen.
    pub fn bind(&mut self, text: &str, span: Span) -> Option<Setting<Bind>> {
        let shown = text.escape_debug();
        match parse_address(text) {
            Err(_) if text.is_empty() => self.wrong(span, "set to nothing", "write an address: `10.20.0.11`"),
            Ok(address) => return Some(self.setting(Bind::Address(address), span)),
            Err(ParseAddressError::LeadingZero) => {
                let what = format!("set to `{shown}`, and a leading zero means something else to some programs");
                self.wrong(span, &what, "write the numbers without leading zeros");
            }
            Err(ParseAddressError::Zone) => {
                self.wrong(span, &format!("set to `{shown}`, which has a zone"), "leave the zone out");
            }
            Err(_) if is_host_name(text) => return Some(self.setting(Bind::Name(text.to_owned()), span)),
            Err(_) => {
                let help = "an address looks like `10.20.0.11` or `fd20::11`; `0.0.0.0` stands for every interface";
                self.wrong(span, &format!("set to `{shown}`, which is no address"), help);
            }
        }
        None
    }

    /// A number that is a TCP port.
    pub fn port_number(&mut self, text: &str, span: Span) -> Option<Setting<u16>> {
        let digits = is_number(text);
        match text.trim_start_matches('0').parse::<u16>() {
            Ok(port) if digits => return Some(self.setting(port, span)),
            _ if digits && text.bytes().all(|byte| byte == b'0') => {
                let what = "set to port 0, which means any free port: no rule can know which";
                self.wrong(span, what, "give it a port of its own");
            }
            _ => {
                let what = format!("set to `{}`, which is no port", text.escape_debug());
                self.wrong(span, &what, "a port is a number from 1 to 65535");
            }
        }
        None
    }
}

/// The hosts in `host:port:protocol|queue:host:port:protocol|…` (`replrtq_sinkpeers` in `riak_kv.schema`). They only help to say whom
/// to admit, so anything else is left out.
pub(super) fn sink_peers(text: &str) -> Vec<Bind> {
    let host = |peer: &str| {
        let (rest, protocol) = peer.trim().rsplit_once(':')?;
        let (rest, port) = rest.rsplit_once(':')?;
        let is_peer = matches!(protocol, "pb" | "http") && port.parse::<u16>().is_ok();
        let behind_queue = rest.split_once(':').map_or(rest, |(_, host)| host);
        // Without a queue the whole rest may be an IPv6 address.
        let host = if parse_address(rest).is_ok() { rest } else { behind_queue };
        match parse_address(host) {
            Ok(address) if is_peer => Some(Bind::Address(address)),
            Err(_) if is_peer && is_host_name(host) => Some(Bind::Name(host.to_owned())),
            Ok(_) | Err(_) => None,
        }
    };
    let mut seen = HashSet::new();
    text.split('|').filter_map(host).filter(|found| seen.insert(found.clone())).collect()
}

/// A host name has a letter that makes it no mistyped address (RFC 1123, 2.1).
fn is_host_name(text: &str) -> bool {
    let fit = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(fit) && last.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// A string, a binary or an atom.
fn text(term: &Term) -> Option<String> {
    term.as_text().or_else(|| term.as_atom().map(str::to_owned))
}

/// A string, or a tuple of four bytes or eight groups (inet(3), `ip_address()`).
pub(super) fn address(term: &Term, found: &mut Found<'_>) -> Option<Setting<Bind>> {
    if let Some(parts) = term.as_tuple() {
        let numbers: Option<Vec<u16>> = parts.iter().map(Term::as_u16).collect();
        let address = match numbers.as_deref() {
            Some(&[a, b, c, d]) => {
                let octets: Option<Vec<u8>> = [a, b, c, d].into_iter().map(|part| u8::try_from(part).ok()).collect();
                octets.and_then(|octets| <[u8; 4]>::try_from(octets).ok()).map(|octets| Ipv4Addr::from(octets).into())
            }
            Some(groups) => <[u16; 8]>::try_from(groups).ok().map(|groups| IpAddr::from(Ipv6Addr::from(groups))),
            None => None,
        };
        if address.is_none() {
            let help = "an address is `\"10.20.0.11\"`, `{10,20,0,11}`, or eight groups of IPv6";
            found.wrong(term.span, "a tuple that is no address", help);
        }
        return address.map(|address| found.setting(Bind::Address(address), term.span));
    }
    match text(term) {
        Some(text) => found.bind(&text, term.span),
        None => {
            found.wrong(term.span, "no address", "write it as a string: `\"10.20.0.11\"`");
            None
        }
    }
}

/// An integer. What stands in quotes is none to Erlang, which then takes any free port for its distribution (seen on OTP 25), nor to
/// RabbitMQ (`rabbit_networking.erl`, `tcp_listener_addresses/1`).
pub(super) fn port(term: &Term, found: &mut Found<'_>) -> Option<Setting<u16>> {
    if let Kind::Integer(digits) = &term.kind {
        return found.port_number(digits, term.span);
    }
    match text(term).filter(|text| is_number(text)) {
        Some(digits) => {
            let what = format!("set to {digits} in quotes, which is a text and no port");
            found.wrong(term.span, &what, &format!("write it without the quotes: `{digits}`"));
        }
        None => found.wrong(term.span, "no port", "a port is a number from 1 to 65535"),
    }
    None
}

/// The same, or a string of digits, as Riak Search has its ports.
pub(super) fn port_or_text(term: &Term, found: &mut Found<'_>) -> Option<Setting<u16>> {
    match text(term) {
        Some(digits) => found.port_number(&digits, term.span),
        None => port(term, found),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn boolean(term: &Term, found: &mut Found<'_>) -> Option<Setting<bool>> {
    if term.as_bool().is_none() {
        found.wrong(term.span, "neither `true` nor `false`", "write one of them");
    }
    term.as_bool().map(|yes| found.setting(yes, term.span))
}

/// `{"10.20.0.11", 8098}`, or a list of such; `None` where something in it could not be read.
pub(super) fn addresses_and_ports(term: &Term, found: &mut Found<'_>) -> Option<Vec<Setting<(Bind, u16)>>> {
    match term.as_list() {
        Some(items) => all(items, listener, found),
        None => listener(term, found).map(|pair| vec![pair]),
    }
}

fn listener(term: &Term, found: &mut Found<'_>) -> Option<Setting<(Bind, u16)>> {
    let Some((ip, number)) = term.as_pair() else {
        found.wrong(term.span, "no address and port", "write `{\"10.20.0.11\", 8098}`");
        return None;
    };
    let (ip, number) = (address(ip, found), port_or_text(number, found));
    Some(found.setting((ip?.value, number?.value), term.span))
}

/// `[5672, {"10.20.0.11", 5673}]`, as RabbitMQ has it, which takes nothing but a list. A third part of a pair is its family, and `"auto"`
/// every address (`rabbit_networking.erl`, `tcp_listener_addresses/1`, <https://github.com/rabbitmq/rabbitmq-server>).
pub(super) fn ports_and_listeners(term: &Term, found: &mut Found<'_>) -> Option<Vec<Setting<(Bind, u16)>>> {
    let one = |term: &Term, found: &mut Found<'_>| match term.as_tuple() {
        Some([ip, number]) if ip.as_text().as_deref() == Some("auto") => {
            port(number, found).map(|port| found.setting((Bind::everywhere(), port.value), term.span))
        }
        Some([ip, number, rest @ ..]) if rest.is_empty() || is_family(rest) => {
            let (ip, number) = (address(ip, found), port(number, found));
            Some(found.setting((ip?.value, number?.value), term.span))
        }
        _ => port(term, found).map(|port| found.setting((Bind::everywhere(), port.value), term.span)),
    };
    let Some(items) = term.as_list() else {
        found.wrong(term.span, "no list of ports", "write `[5672]`, or `[{\"10.20.0.11\", 5672}]`");
        return None;
    };
    all(items, one, found)
}

fn is_family(parts: &[Term]) -> bool {
    matches!(parts, [family] if matches!(family.as_atom(), Some("inet" | "inet6" | "auto")))
}

/// All of a list, or none: each says what is wrong with it.
fn all<T>(items: &[Term], one: impl Fn(&Term, &mut Found<'_>) -> Option<T>, found: &mut Found<'_>) -> Option<Vec<T>> {
    let read: Vec<_> = items.iter().map(|item| one(item, found)).collect();
    read.into_iter().collect()
}
