//! One host of an inventory.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;

use super::groups::{Variables, each_once};
use super::json::{Json, Kind};
use super::{Addresses, Asked, Client, Node};
use crate::cluster::{ForeignValue, Profile, Service, closest};
use crate::diagnostic::{Code, Diagnostic, Findings, Span};
use crate::net::{AddressClass, Cidr, Interface, Ports, parse_address};

const NAME: &str = "ringfence_name";
const ADDRESSES: &str = "ringfence_addresses";
const PORTS: &str = "ringfence_ports";
const INTERFACES: &str = "ringfence_interfaces";
const CLIENT_SERVICES: &str = "ringfence_services";
const ANSIBLE_HOST: &str = "ansible_host";
const OWN_NAME: &str = "its name in the inventory";
const ALL: [&str; 5] = [NAME, ADDRESSES, PORTS, INTERFACES, CLIENT_SERVICES];

/// A text and its place.
type Placed<'a> = (Cow<'a, str>, Span);

pub(super) struct Reader<'a> {
    pub variables: &'a Variables<'a>,
    pub asked: &'a Asked<'a>,
}

/// A host and its variables.
struct Host<'a> {
    name: &'a str,
    span: Span,
    own: Option<&'a HashMap<Cow<'a, str>, Json<'a>>>,
}

impl<'a> Reader<'a> {
    fn host(&'a self, name: &'a str, span: Span, findings: &mut Findings) -> Host<'a> {
        let host = Host { name, span, own: self.variables.get(name) };
        host.misspelt(findings);
        host
    }

    pub(super) fn node(&'a self, name: &'a str, span: Span, findings: &mut Findings) -> Option<Node> {
        let host = self.host(name, span, findings);
        let named = host.called(node_name, findings);
        let given = named.as_ref().is_some_and(|(name, _)| (self.asked.given)(name));
        let addresses = (!given)
            .then(|| self.addresses(&host, &IP, findings).and_then(|found| self.usable(&host, found, findings)));
        let ports = host.ports(self.asked.profile, findings);
        let interfaces = host.interfaces(findings);
        let (named, named_span) = named?;
        // Where none are needed there are none; where they are wrong there is no node.
        let addresses = match addresses {
            Some(found) => Some(found?),
            None => None,
        };
        Some(Node { name: named, span: named_span, host: name.to_owned(), addresses, ports, interfaces })
    }

    pub(super) fn client(&'a self, name: &'a str, span: Span, findings: &mut Findings) -> Option<Client> {
        let host = self.host(name, span, findings);
        let named = host.called(client_name, findings);
        let from = self.addresses(&host, &NETWORK, findings);
        let services = host.texts(CLIENT_SERVICES, findings);
        if services.is_none() && host.get(CLIENT_SERVICES).is_none() {
            let message = format!("the client `{}` has no `{CLIENT_SERVICES}`", name.escape_debug());
            let help = format!("say what it may use, best in the variables of its group: `{CLIENT_SERVICES}: [http]`");
            findings.push(Diagnostic::new(Code::InventoryVariable, span, message).help(help));
        }
        let services = services?;
        let services_span = services.first().map_or(span, |(_, span)| *span);
        for (service, span) in services.iter().filter(|(service, _)| self.asked.profile.service(service).is_none()) {
            unknown_service(service, *span, self.asked.profile, findings);
        }
        let interfaces = host.interfaces(findings).map(|(list, _)| list);
        let (named, named_span) = named?;
        let services = services.into_iter().map(|(service, _)| service.into_owned()).collect();
        Some(Client { name: named, span: named_span, from: vec![from?], services, services_span, interfaces })
    }

    /// The addresses of the first source that has any: a variable of ours, Ansible's, the name in the inventory.
    fn addresses<T: PartialEq>(
        &self,
        host: &Host<'a>,
        form: &Form<T>,
        findings: &mut Findings,
    ) -> Option<Addresses<T>> {
        let (texts, what, certain) = if host.get(ADDRESSES).is_some() {
            (host.texts(ADDRESSES, findings)?, ADDRESSES, true)
        } else if host.get(ANSIBLE_HOST).is_some() {
            (vec![host.text(ANSIBLE_HOST, findings)?], ANSIBLE_HOST, false)
        } else {
            (vec![(Cow::Borrowed(host.name), host.span)], OWN_NAME, false)
        };
        if texts.is_empty() {
            let message = format!("`{what}` of `{}` names no address", host.name.escape_debug());
            let finding = Diagnostic::new(Code::MissingAddress, host.span, message);
            findings.push(finding.help("list its addresses, or take the variable away"));
            return None;
        }
        let mut found = Addresses { list: Vec::new(), span: host.span, what: what.to_owned(), certain };
        let before = findings.errors();
        for (at, (text, span)) in texts.iter().enumerate() {
            if at == 0 {
                found.span = *span;
            }
            for one in self.resolved(host, text, *span, form, &mut found, findings) {
                if !found.list.contains(&one) {
                    found.list.push(one);
                }
            }
        }
        (findings.errors() == before && !found.list.is_empty()).then_some(found)
    }

    /// What one text stands for.
    fn resolved<T>(
        &self,
        host: &Host<'a>,
        text: &str,
        span: Span,
        form: &Form<T>,
        found: &mut Addresses<T>,
        findings: &mut Findings,
    ) -> Vec<T> {
        let like_host = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_name = parse_address(text).is_err()
            && text.contains(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(like_host);
        if !is_name {
            return (form.read)(&ForeignValue { text, span }, findings).into_iter().collect();
        }
        match self.asked.hosts.and_then(|hosts| hosts.resolve(text, findings)) {
            Some(resolved) => {
                if found.list.is_empty() {
                    found.span = resolved.span;
                    found.what = format!("{}: {}", found.what, text.escape_debug());
                }
                resolved.addresses.into_iter().filter_map(form.of).collect()
            }
            None => {
                let shown = text.escape_debug();
                let message = if found.what == OWN_NAME {
                    format!("`{shown}` has neither `{ADDRESSES}` nor `{ANSIBLE_HOST}`, and its name is no address")
                } else {
                    format!("`{}` has no address: `{}` is the name `{shown}`", host.name.escape_debug(), found.what)
                };
                let help = match self.asked.hosts {
                    Some(_) => format!("add a line for `{shown}` to the file of `--addresses`, or write `{ADDRESSES}`"),
                    None => format!(
                        "write `{ADDRESSES}`, or name a file that has them all: `--addresses FILE`, in the form of /etc/hosts; \
                         names are never looked up, because rules must load without DNS"
                    ),
                };
                findings.push(Diagnostic::new(Code::MissingAddress, span, message).help(help));
                Vec::new()
            }
        }
    }

    /// What no node has towards others.
    fn usable(&self, host: &Host<'_>, found: Addresses<IpAddr>, findings: &mut Findings) -> Option<Addresses<IpAddr>> {
        let before = findings.errors();
        for address in &found.list {
            match Cidr::host(*address).class() {
                AddressClass::Public if !self.asked.allow_public => {
                    let message = format!("`{}` has the public address {address}", host.name.escape_debug());
                    let help = format!(
                        "if the network is yours alone, add `--allow-public`; if the node has a private address, write it into \
                         `{ADDRESSES}`"
                    );
                    findings.push(Diagnostic::new(Code::PublicNetwork, found.span, message).help(help));
                }
                AddressClass::Private | AddressClass::Public => {}
                AddressClass::Loopback
                | AddressClass::Unspecified
                | AddressClass::Multicast
                | AddressClass::LinkLocal
                | AddressClass::Ipv4Mapped => {
                    let text = address.to_string();
                    ForeignValue { text: &text, span: found.span }.address(findings);
                }
            }
        }
        (findings.errors() == before).then_some(found)
    }
}

/// How an address is read, and made of one.
struct Form<T> {
    read: fn(&ForeignValue<'_>, &mut Findings) -> Option<T>,
    of: fn(IpAddr) -> Option<T>,
}

const IP: Form<IpAddr> = Form { read: |value, findings| value.address(findings), of: Some };
const NETWORK: Form<Cidr> =
    Form { read: |value, findings| value.source(findings), of: |address| Some(Cidr::host(address)) };

fn unknown_service(name: &str, span: Span, profile: &Profile, findings: &mut Findings) {
    let message = format!("there is no service `{}`", name.escape_debug());
    let services: Vec<&str> = profile.services.iter().map(Service::name).collect();
    let help = match closest(name, services.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", services.join(", ")),
    };
    findings.push(Diagnostic::new(Code::UnknownService, span, message).help(help));
}

fn node_name(value: &ForeignValue<'_>, findings: &mut Findings) -> Option<String> {
    value.node_name(findings)
}

fn client_name(value: &ForeignValue<'_>, findings: &mut Findings) -> Option<String> {
    value.client_name(findings)
}

impl<'a> Host<'a> {
    fn get(&self, variable: &str) -> Option<Json<'a>> {
        self.own?.get(variable).copied()
    }

    /// A slip would otherwise be no variable at all.
    fn misspelt(&self, findings: &mut Findings) {
        let ours = |name: &&Cow<'a, str>| name.starts_with("ringfence_") && !ALL.contains(&name.as_ref());
        let names = self.own.into_iter().flat_map(HashMap::keys).filter(ours);
        let mut slips: Vec<(&str, &str)> = names.filter_map(|name| Some((name.as_ref(), close(name)?))).collect();
        slips.sort_unstable();
        for (name, near) in slips {
            let span = self.get(name).map_or(self.span, Json::span);
            let message =
                format!("`{}` of `{}` is no variable of ringfence", name.escape_debug(), self.name.escape_debug());
            let finding = Diagnostic::new(Code::InventoryVariable, span, message);
            findings.push(finding.help(format!("did you mean `{near}`?")));
        }
    }

    fn wrong(&self, variable: &str, value: Json<'_>, wanted: &str, findings: &mut Findings) {
        let message = format!("`{variable}` of `{}` is no {wanted}", self.name.escape_debug());
        let finding = Diagnostic::new(Code::InventoryVariable, value.span(), message);
        findings.push(finding.help("write it as it is: what is encrypted or of another kind cannot be used"));
    }

    /// Whether a text is one that Ansible makes when it runs.
    fn plain(&self, variable: &str, text: &str, span: Span, findings: &mut Findings) -> bool {
        let template = text.contains("{{") || text.contains("{%");
        if template {
            let message =
                format!("`{variable}` of `{}` is a template, and its value is not known", self.name.escape_debug());
            let help = "an inventory is printed as it is written; write the value itself";
            findings.push(Diagnostic::new(Code::Template, span, message).help(help));
        }
        !template
    }

    fn text(&self, variable: &str, findings: &mut Findings) -> Option<Placed<'a>> {
        let value = self.get(variable)?;
        match value.kind() {
            Kind::Text(text) => self.plain(variable, &text, value.span(), findings).then_some((text, value.span())),
            Kind::Object(_) | Kind::List(_) | Kind::Number(_) | Kind::Word => {
                self.wrong(variable, value, "text", findings);
                None
            }
        }
    }

    /// A list of texts, or a single one.
    fn texts(&self, variable: &str, findings: &mut Findings) -> Option<Vec<Placed<'a>>> {
        let value = self.get(variable)?;
        let items = match value.kind() {
            Kind::List(items) => items,
            Kind::Text(_) => vec![value],
            Kind::Object(_) | Kind::Number(_) | Kind::Word => {
                self.wrong(variable, value, "list of texts", findings);
                return None;
            }
        };
        let before = findings.errors();
        let mut texts = Vec::new();
        for item in items {
            match item.kind() {
                Kind::Text(text) if self.plain(variable, &text, item.span(), findings) => {
                    texts.push((text, item.span()))
                }
                Kind::Text(_) => {}
                Kind::Object(_) | Kind::List(_) | Kind::Number(_) | Kind::Word => {
                    self.wrong(variable, item, "text", findings);
                }
            }
        }
        (findings.errors() == before).then_some(texts)
    }

    /// What it is called in the cluster file.
    fn called(
        &self,
        read: fn(&ForeignValue<'_>, &mut Findings) -> Option<String>,
        findings: &mut Findings,
    ) -> Option<(String, Span)> {
        let (text, span) = match self.get(NAME) {
            Some(_) => self.text(NAME, findings)?,
            None => (Cow::Borrowed(self.name), self.span),
        };
        Some((read(&ForeignValue { text: &text, span }, findings)?, span))
    }

    fn interfaces(&self, findings: &mut Findings) -> Option<(Vec<Interface>, Span)> {
        let value = self.get(INTERFACES)?;
        let texts = self.texts(INTERFACES, findings)?;
        let read = |(text, span): &Placed<'_>| ForeignValue { text, span: *span }.interface(findings);
        let list: Option<Vec<Interface>> = texts.iter().map(read).collect();
        let list = list?;
        if list.is_empty() {
            let message = format!("`{INTERFACES}` of `{}` names no interface", self.name.escape_debug());
            let finding = Diagnostic::new(Code::BadInterface, value.span(), message);
            findings.push(finding.help("name at least one, or take the variable away to admit on any interface"));
            return None;
        }
        Some((list, value.span()))
    }

    /// The ports by service.
    fn ports(&self, profile: &'static Profile, findings: &mut Findings) -> Vec<(&'static str, Ports, Span)> {
        let Some(value) = self.get(PORTS) else { return Vec::new() };
        let Kind::Object(entries) = value.kind() else {
            self.wrong(PORTS, value, "table of ports by service", findings);
            return Vec::new();
        };
        let mut all = Vec::new();
        for (key, value) in each_once(entries, findings) {
            let Some(service) = profile.service(&key.text).map(Service::name) else {
                unknown_service(&key.text, key.span, profile, findings);
                continue;
            };
            let items = match value.kind() {
                Kind::List(items) => items,
                Kind::Text(_) | Kind::Number(_) => vec![value],
                Kind::Object(_) | Kind::Word => {
                    self.wrong(PORTS, value, "port, range, or list of them", findings);
                    continue;
                }
            };
            let what = format!("the ports of `{service}`");
            let before = findings.errors();
            let ranges: Ports = items
                .into_iter()
                .filter_map(|item| {
                    let text = match item.kind() {
                        Kind::Text(text) if !self.plain(PORTS, &text, item.span(), findings) => return None,
                        Kind::Text(text) => text,
                        Kind::Number(text) => Cow::Borrowed(text),
                        Kind::Object(_) | Kind::List(_) | Kind::Word => {
                            self.wrong(PORTS, item, "port or range", findings);
                            return None;
                        }
                    };
                    ForeignValue { text: &text, span: item.span() }.ports(&what, findings)
                })
                .collect();
            if ranges.is_empty() && findings.errors() == before {
                let finding = Diagnostic::new(Code::MissingPorts, value.span(), format!("{what} are an empty list"));
                findings.push(finding.help("name a port or a range such as `\"6000-6009\"`"));
            }
            if findings.errors() == before {
                all.push((service, ranges, value.span()));
            }
        }
        all
    }
}

/// The variable that is most likely meant. A role has variables of its own, of which none is as near as a slip.
fn close(name: &str) -> Option<&'static str> {
    ALL.into_iter().find(|own| {
        let length = name.len().abs_diff(own.len());
        length <= 2 && strsim::damerau_levenshtein(name, own) <= 2
    })
}
