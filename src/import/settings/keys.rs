//! Which service a key moves, as the profile says, and what is read from its value.

use super::draft::{Draft, Half, Layout, Rank, Source};
use super::values::Found;
use super::{Bind, Setting};
use crate::cluster::{Form, Key, NOWHERE, Profile, Service};
use crate::diagnostic::{Code, Diagnostic, Findings, Span};

/// A text that stands behind a key.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub text: &'a str,
    pub span: Span,
}

/// The services that a key of a kind of file moves. `is`: whether it is this one.
pub(super) fn moved(
    profile: &'static Profile,
    kind: &str,
    is: impl Fn(&Key) -> bool,
) -> Vec<(&'static Service, &'static Key)> {
    let services = profile.services.iter();
    services
        .flat_map(|service| service.keys_in(kind).iter().map(move |key| (service, key)))
        .filter(|(_, key)| is(key))
        .collect()
}

/// Erlang's distribution, whose range is looked at as a whole.
pub(super) const DISTRIBUTION: &str = "distribution";

/// Takes the value of a key for each service that it moves. What is wrong with it is said once.
pub(super) fn take(
    draft: &mut Draft,
    source: Source,
    services: Vec<(&'static Service, &'static Key)>,
    written: Written<'_>,
    found: &mut Found<'_>,
) {
    let mut said: Vec<Diagnostic> = Vec::new();
    for one in services {
        let mut own = Findings::default();
        take_one(draft, source, one, written, &mut Found { name: found.name.clone(), findings: &mut own });
        for finding in own.sorted() {
            if said.iter().all(|other| other.message != finding.message) {
                said.push(finding);
            }
        }
    }
    said.into_iter().for_each(|finding| found.findings.push(finding));
}

fn take_one(
    draft: &mut Draft,
    source: Source,
    (service, key): (&'static Service, &'static Key),
    written: Written<'_>,
    found: &mut Found<'_>,
) {
    let rank: Rank = (Layout::Third, source);
    let (name, text, span) = (service.name(), written.text, written.span);
    match key.form() {
        Form::Listener => {
            if let Some(listener) = listener(written, found) {
                draft.listeners.entry(name).or_default().add(rank, found.setting(Some(listener), span));
            }
        }
        // RabbitMQ's word for no listener at all.
        Form::PortOrListener if text == NOWHERE => {
            draft.listeners.entry(name).or_default().add(rank, found.setting(None, span));
        }
        Form::PortOrListener => {
            let listener = match text.contains(':') {
                true => listener(written, found),
                false => found.port_number(text, span).map(|port| (Bind::everywhere(), port.value)),
            };
            if let Some(listener) = listener {
                draft.listeners.entry(name).or_default().add(rank, found.setting(Some(listener), span));
            }
        }
        Form::Port(below) => {
            let rank = if *below == 0 { rank } else { (Layout::Second, source) };
            let Some(port) = found.port_number(text, span) else { return };
            let Some(moved) = port.value.checked_add(*below) else {
                let message = format!(
                    "`{}` is set to {}, and `{name}` listens {below} above it: there is no port {}",
                    found.name,
                    port.value,
                    u32::from(port.value) + u32::from(*below)
                );
                let finding = Diagnostic::new(Code::BadSetting, span, message);
                found.findings.push(finding.help(format!("set it to at most {}", u16::MAX - below)));
                return;
            };
            if !key.is_sure() {
                draft.unsure.push((name, span));
            }
            draft.add_port(name, rank, Setting { value: moved, ..port });
        }
        Form::Address => {
            if let Some(bind) = found.bind(text, span) {
                draft.add_address(name, rank, bind);
            }
        }
        Form::First | Form::Last => {
            let half = if *key.form() == Form::First { Half::First } else { Half::Last };
            if let Some(port) = found.port_number(text, span) {
                draft.add_end(name, half, rank, port);
            }
        }
        Form::Range => found.wrong(span, "no range", "write it as an Erlang term"),
        Form::Nowhere => {
            if text == NOWHERE {
                draft.listeners.entry(name).or_default().add(rank, found.setting(None, span));
            }
        }
        Form::Word(word) => {
            if text != word && !["off", "false", "disabled"].contains(&text) {
                found.wrong(span, &format!("set to `{}`", text.escape_debug()), &format!("write `{word}` or `off`"));
                return;
            }
            draft.switches.entry(name).or_default().add(rank, found.setting(text == word, span));
        }
    }
}

/// `ADDRESS:PORT`; the port is behind the last colon, since IPv6 addresses have colons too.
fn listener(written: Written<'_>, found: &mut Found<'_>) -> Option<(Bind, u16)> {
    let span = written.span;
    let Some((host, port)) = written.text.rsplit_once(':').filter(|(_, port)| !port.is_empty()) else {
        let what = format!("set to `{}`, which has no port", written.text.escape_debug());
        found.wrong(span, &what, "write an address and a port: `10.20.0.11:8098`");
        return None;
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let (bind, port) = (found.bind(host, span), found.port_number(port, span));
    Some((bind?.value, port?.value))
}
