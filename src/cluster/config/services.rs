//! Profiles, `[services]`, and the services that nodes and clients name.

use super::beside::Beside;
use crate::cluster::check::Unread;
use crate::cluster::keys::Key;
use crate::cluster::model::{DefaultBind, OfProgram, Service, ServiceId, State};
use crate::cluster::profile::{Profile, embedded_names, embedded_text, read_profile};
use crate::cluster::toml_reader::{Reader, TableReader, Text, Value, closest, printable};
use crate::diagnostic::{Code, Diagnostic, Findings, SourceFile};
use crate::net::Ports;

pub(super) fn load_profile(
    name: Text<'_>,
    beside: Beside<'_>,
    profile_file: &mut Option<SourceFile>,
    reader: &mut Reader<'_>,
) -> Option<Profile> {
    let mut findings = Findings::default();
    let profile = if name.text.contains('/') || name.text.ends_with(".toml") {
        let file = match beside.profile(name.text) {
            Ok(file) => file,
            Err(error) => {
                let message = format!("the profile `{}` cannot be read: {error}", printable(name.text));
                let help = "the path is relative to the folder of the cluster file";
                reader.push(Diagnostic::new(Code::UnknownProfile, name.span, message).help(help));
                return None;
            }
        };
        let profile = read_profile(&file.text, &mut findings);
        *profile_file = Some(file);
        profile
    } else if let Some(text) = embedded_text(name.text) {
        read_profile(text, &mut findings)
    } else {
        let message = format!("there is no profile `{}`", printable(name.text));
        let names: Vec<String> = embedded_names().map(|name| format!("`{name}`")).collect();
        let near = closest(&name.text.to_ascii_lowercase(), embedded_names());
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use {}, or the path of a profile of your own, ending in `.toml`", names.join(" or ")),
        };
        reader.push(Diagnostic::new(Code::UnknownProfile, name.span, message).help(help));
        return None;
    };
    for finding in findings.sorted() {
        reader.push(finding);
    }
    // What the cluster file leaves out is to be said there, not in the profile.
    let placeless = |service| Service { span: None, ..service };
    profile.map(|profile| Profile { services: profile.services.into_iter().map(placeless).collect(), ..profile })
}

/// The profile's services as the file changes them, then the file's own, all by name.
pub(super) fn read_services(
    top: &mut TableReader<'_>,
    profile: Option<&Profile>,
    unread: &mut Unread,
    reader: &mut Reader<'_>,
) -> Vec<Service> {
    let mut services = profile.map(|profile| profile.services.clone()).unwrap_or_default();
    let table = top.get("services").and_then(|value| reader.table(value, "[services]"));
    let entries = table.map(|table| table.entries(reader)).unwrap_or_default();
    let mut without_state: Vec<String> = Vec::new();
    for (name, value) in entries {
        // Without the profile a service cannot be told from one of the file's own.
        if profile.is_none() {
            continue;
        }
        let base = services.iter().position(|service| service.name == name.text);
        if base.is_none() && !require_own_keys(name, value, &services, reader) {
            unread.services = true;
        }
        let read = read_service(reader, name, value, base.and_then(|at| services.get(at)));
        let names_ports = value.get_ref().as_table().is_some_and(|t| t.contains_key("ports") || t.contains_key("port"));
        if let Some(service) = read.as_ref().filter(|service| names_ports && service.ports.is_empty()) {
            unread.ports.push(service.name.clone());
        }
        let names_state = value.get_ref().as_table().is_some_and(|table| table.contains_key("state"));
        if names_ports && !names_state {
            without_state.push(name.text.to_owned());
        }
        match (base.and_then(|at| services.get_mut(at)), read) {
            (Some(slot), Some(service)) => *slot = service,
            (None, Some(service)) => services.push(service),
            (_, None) => {}
        }
    }
    services.sort_by(|a, b| a.name.cmp(&b.name));
    let half_said = services.iter().enumerate().filter(|(_, service)| without_state.contains(&service.name));
    unread.ports_without_state = half_said.map(|(at, _)| ServiceId(at)).collect();
    services
}

/// A service that the profile does not know must say all of itself; a misspelt name is found this way.
fn require_own_keys(name: Text<'_>, value: &Value<'_>, services: &[Service], reader: &mut Reader<'_>) -> bool {
    let Some(table) = value.get_ref().as_table() else { return false };
    let has = |key: &str| table.contains_key(key);
    let mut missing = Vec::new();
    if !has("ports") && !has("port") {
        missing.push("`ports`");
    }
    if !has("peers") {
        missing.push("`peers`");
    }
    if missing.is_empty() {
        return true;
    }
    let message =
        format!("[services.{}] is not in the profile and lacks {}", printable(name.text), missing.join(" and "));
    let help = match closest(name.text, services.iter().map(|service| service.name.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "a service of your own needs `ports = \"9100\"` and `peers = true` or `false`".to_owned(),
    };
    reader.push(Diagnostic::new(Code::MissingKey, name.span, message).help(help));
    false
}

/// Reads `[services.NAME]` of a cluster file (with the profile's service as `base`, if it has one) or of a profile.
pub(in crate::cluster) fn read_service(
    reader: &mut Reader<'_>,
    name: Text<'_>,
    value: &Value<'_>,
    base: Option<&Service>,
) -> Option<Service> {
    let good = name.text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !good || name.text.len() > 32 || !name.text.starts_with(|c: char| c.is_ascii_lowercase()) {
        let message = format!("`{}` is no name for a service", printable(name.text));
        let help = "use up to 32 lower-case letters, digits and `-`, beginning with a letter";
        reader.push(Diagnostic::new(Code::BadName, name.span, message).help(help));
        return None;
    }
    let mut table = reader.table(value, format!("[services.{}]", name.text))?;
    let words = [("open", State::Open), ("blocked", State::Blocked), ("unused", State::Unused)];
    // What was misspelt shall not bring findings about what it would have been.
    let state = table.get("state").map(|value| reader.word(value, "`state`", &words).unwrap_or(State::Open));
    let named_peers = table.get("peers");
    let peers = named_peers.and_then(|value| reader.boolean(value, "`peers`"));
    let ports = read_ports(&mut table, reader, name.text);
    let one_port_per_node =
        table.get("one-port-per-node").and_then(|value| reader.boolean(value, "`one-port-per-node`"));
    let setting = table.get("setting").and_then(|value| reader.phrase(value, "`setting`"));
    let why = table.get("why").and_then(|value| reader.phrase(value, "`why`"));
    let of_base =
        || base.map_or((OfProgram::default(), false), |base| (base.program.clone(), base.port_by_node_number));
    let (program, numbered) = if reader.is_of_profile() { of_program(&mut table, reader) } else { of_base() };
    table.finish(reader);
    // Ports that the file names itself are where they are.
    let port_by_node_number = numbered && (reader.is_of_profile() || ports.is_none());
    Some(Service {
        name: name.text.to_owned(),
        state: state.or(base.map(|base| base.state)).unwrap_or(State::Open),
        peers: peers.or(base.map(|base| base.peers)).unwrap_or(false),
        ports: ports.or_else(|| base.map(|base| base.ports.clone())).unwrap_or_default(),
        one_port_per_node: one_port_per_node.or(base.map(|base| base.one_port_per_node)).unwrap_or(false),
        setting: setting.or_else(|| base.and_then(|base| base.setting.clone())),
        program,
        port_by_node_number,
        why: why.or_else(|| base.and_then(|base| base.why.clone())),
        span: Some(name.span),
    })
}

/// A phrase, or a list of them.
pub(in crate::cluster) fn phrases(value: &Value<'_>, what: &str, reader: &mut Reader<'_>) -> Vec<String> {
    match value.get_ref().as_array() {
        Some(list) => list.iter().filter_map(|item| reader.phrase(item, what)).collect(),
        None => reader.phrase(value, what).into_iter().collect(),
    }
}

/// What only a profile says of a service, and whether the node's number counts.
fn of_program(table: &mut TableReader<'_>, reader: &mut Reader<'_>) -> (OfProgram, bool) {
    let words = [("everywhere", DefaultBind::Everywhere), ("loopback", DefaultBind::Loopback)];
    let bind = table.get("bind").and_then(|value| reader.word(value, "`bind`", &words));
    let states = [("open", State::Open), ("blocked", State::Blocked)];
    let once_used = table.get("once-used").and_then(|value| reader.word(value, "`once-used`", &states));
    let mut yes = |key: &'static str, what: &str| {
        table.get(key).and_then(|value| reader.boolean(value, what)).unwrap_or_default()
    };
    let numbered = yes("port-by-node-number", "`port-by-node-number`");
    let by_default = yes("by-default", "`by-default`");
    let for_clients = yes("for-clients", "`for-clients`");
    let keys = table.get("settings").and_then(|value| reader.table(value, "`settings`"));
    let entries = keys.map(|keys| keys.entries(reader)).unwrap_or_default();
    let read = |(kind, value): (Text<'_>, &Value<'_>)| {
        Some((
            kind.text.to_owned(),
            phrases(value, "a key of `settings`", reader).iter().map(|text| Key::parse(text)).collect(),
        ))
    };
    let settings = entries.into_iter().filter_map(read).collect();
    (OfProgram { settings, bind, by_default, for_clients, once_used }, numbered)
}

/// `ports`, or `port` where there is but one.
pub(super) fn read_ports(table: &mut TableReader<'_>, reader: &mut Reader<'_>, service: &str) -> Option<Ports> {
    let ports = table.get("ports");
    let port = table.get("port");
    if let (Some(_), Some(port)) = (ports, port) {
        let message = format!("`{service}` has both `port` and `ports`");
        let finding = Diagnostic::new(Code::UnknownKey, reader.span(port), message);
        reader.push(finding.help("keep one of them; `ports` takes single ports too"));
    }
    ports.or(port).and_then(|value| reader.ports(value, &format!("the ports of `{service}`")))
}

pub(super) fn find_service(name: Text<'_>, services: &[Service], reader: &mut Reader<'_>) -> Option<ServiceId> {
    if let Some(index) = services.iter().position(|service| service.name == name.text) {
        return Some(ServiceId(index));
    }
    // The profile could not be read, which has been said.
    if services.is_empty() {
        return None;
    }
    let message = format!("there is no service `{}`", printable(name.text));
    let names = services.iter().map(|service| service.name.as_str());
    let help = match closest(name.text, names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            const NAMED: usize = 12;
            let list: Vec<&str> = names.take(NAMED).collect();
            let more = if services.len() > NAMED { " and more" } else { "" };
            let list = list.join(", ");
            format!("there are: {list}{more}; one of your own needs `[services.NAME]` with `ports` and `peers`")
        }
    };
    reader.push(Diagnostic::new(Code::UnknownService, name.span, message).help(help));
    None
}
