//! `[networks]` and `[[client]]`: where packets come from.

use super::addresses::read_sources;
use super::read_name;
use super::services::find_service;
use crate::cluster::model::{Client, Service, Source, State};
use crate::cluster::toml_reader::{Reader, TableReader, Text, Value};
use crate::diagnostic::{Code, Diagnostic};

/// A million client addresses are far beyond any firewall; a short file that multiplies networks by clients is not.
const MOST_SOURCES: usize = 2_000_000;

pub(super) struct ReadNetworks {
    pub private: Vec<Source>,
    pub untrusted: Vec<Source>,
    pub allow_public: bool,
}

pub(super) fn read_networks(top: &mut TableReader<'_>, reader: &mut Reader<'_>) -> ReadNetworks {
    let mut networks = ReadNetworks { private: Vec::new(), untrusted: Vec::new(), allow_public: false };
    let help = "name the networks that every node lies in: `[networks]` with `private = [\"10.20.0.0/24\"]`";
    let Some(value) = top.require("networks", reader, help) else { return networks };
    let Some(table) = reader.table(value, "[networks]") else { return networks };
    let mut table = table.may_have(&["private", "untrusted", "allow-public"]);
    if let Some(value) = table.require("private", reader, help) {
        networks.private = read_list(value, "private", reader);
        if reader.is_empty_list(value) {
            let message = "`private` names no network";
            reader.push(Diagnostic::new(Code::MissingKey, reader.span(value), message).help(help));
        }
    }
    if let Some(value) = table.get("untrusted") {
        networks.untrusted = read_list(value, "untrusted", reader);
    }
    let allow_public = table.get("allow-public").and_then(|value| reader.boolean(value, "`allow-public`"));
    networks.allow_public = allow_public.unwrap_or(false);
    table.finish(reader);
    networks
}

/// One list of networks. A range is up to some hundred of them, so that a short file can have very many.
fn read_list(value: &Value<'_>, key: &str, reader: &mut Reader<'_>) -> Vec<Source> {
    let mut list = Vec::new();
    for text in reader.texts(value, &format!("`{key}`")).unwrap_or_default() {
        list.extend(read_sources(text, reader));
        if list.len() > MOST_SOURCES {
            let message =
                format!("`{key}` has more than {MOST_SOURCES} networks in all, those of its ranges among them");
            let finding = Diagnostic::new(Code::TooManySources, text.span, message);
            reader.push(finding.help("name fewer or wider networks"));
            break;
        }
    }
    list
}

/// The clients of all parts of a cluster file.
pub(super) struct Clients<'a> {
    services: &'a [Service],
    private: &'a [Source],
    pub list: Vec<Client>,
    sources: usize,
}

impl<'a> Clients<'a> {
    pub fn new(services: &'a [Service], private: &'a [Source]) -> Self {
        Self { services, private, list: Vec::new(), sources: 0 }
    }

    /// Reads those of one part.
    pub fn read(&mut self, top: &mut TableReader<'_>, reader: &mut Reader<'_>) {
        let Some(value) = top.get("client") else { return };
        let Some(list) = reader.tables(value, "`client` (write `[[client]]`, with two brackets)") else { return };
        for item in list {
            let Some(table) = reader.table(item, "[[client]]") else { continue };
            let table =
                table.may_have(&["name", "from", "services", "interfaces", "allow-public", "gateway", "why", "until"]);
            let Some(client) = read_client(table, self.services, self.private, self.sources, reader) else { continue };
            self.sources += client.from.len();
            if self.sources > MOST_SOURCES {
                let message = format!("the clients have more than {MOST_SOURCES} sources in all");
                let help =
                    "`from = \"private\"` counts each private network for each client; name fewer or wider networks";
                reader.push(Diagnostic::new(Code::TooManySources, client.span, message).help(help));
                break;
            }
            self.list.push(client);
        }
    }
}

fn read_client(
    mut table: TableReader<'_>,
    services: &[Service],
    private: &[Source],
    sources: usize,
    reader: &mut Reader<'_>,
) -> Option<Client> {
    let span = table.span;
    let name = read_name(&mut table, reader, "a client", "");
    let name_span = table.get("name").map_or(span, |value| reader.span(value));
    let help = "say where it comes from: `from = [\"10.20.1.0/24\"]` or `from = \"private\"`";
    let mut from = Vec::new();
    if let Some(value) = table.require("from", reader, help) {
        let texts = reader.texts(value, "`from`").unwrap_or_default();
        for text in texts {
            if text.text == "private" {
                from.extend(private.iter().map(|source| Source { network: source.network, span: text.span }));
            } else {
                from.extend(read_sources(text, reader));
            }
            // Said for all clients together.
            if sources + from.len() > MOST_SOURCES {
                break;
            }
        }
    }
    let mut used = Vec::new();
    if let Some(value) = table.require("services", reader, "say what it may use: `services = [\"http\"]`") {
        for text in reader.texts(value, "`services`").unwrap_or_default() {
            if let Some(id) = find_service(text, services, reader)
                && client_may_use(text, services.get(id.0), reader)
                && !used.contains(&id)
            {
                used.push(id);
            }
        }
    }
    let interfaces = table.get("interfaces").and_then(|value| reader.interfaces(value, "`interfaces`"));
    let allow_public = table.get("allow-public").and_then(|value| reader.boolean(value, "`allow-public`"));
    let gateway = table.get("gateway").and_then(|value| reader.boolean(value, "`gateway`")).unwrap_or(false);
    let why = table.get("why").and_then(|value| reader.phrase(value, "`why`")).map(Into::into);
    let until = table.get("until").and_then(|value| reader.day(value, "`until`"));
    table.finish(reader);
    let allow_public = allow_public.unwrap_or(false);
    Some(Client { name: name?, from, services: used, interfaces, allow_public, gateway, why, until, span: name_span })
}

fn client_may_use(name: Text<'_>, service: Option<&Service>, reader: &mut Reader<'_>) -> bool {
    let state = match service.map(|service| service.state) {
        Some(State::Open) => return true,
        Some(State::Blocked) => "blocked",
        Some(State::Unused) => "unused",
        None => return false,
    };
    let message = format!("`{}` is {state}, so no client can be admitted to it", name.text);
    let help = format!("to open it, write `[services.{}]` with `state = \"open\"`", name.text);
    reader.push(Diagnostic::new(Code::ServiceNotOpen, name.span, message).help(help));
    false
}
