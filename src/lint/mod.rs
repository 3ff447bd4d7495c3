//! This host's Riak or RabbitMQ against the cluster file: what the rules assume, and what the program does.
//!
//! A rule can be proved and still guard the wrong port, or admit peers to a service that listens on loopback only. So the
//! settings are held against the cluster file, and so is what listens in fact: settings that were changed are in force
//! only after a restart, and what no setting explains listens all the same.
//!
//! Everything here is pure: the command reads the files and asks the kernel.

mod distribution;
mod epmd;
mod members;
mod replication;
mod services;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use crate::cluster::{Form, Key, Node, Service, Site, embedded_profile};
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};
use crate::host::listeners::Listening;
use crate::host::started::Started;
use crate::import::files::Kind;
use crate::import::membership::Membership;
use crate::import::settings::{Listener, Settings, Style};
use crate::net::Ports;

/// What there is to look at.
pub struct Subject<'a> {
    /// The cluster file, from this host.
    pub site: &'a Site<'a>,
    /// The settings of this host's node, where they could be read.
    pub settings: Option<&'a Settings>,
    /// The members, where an output was read.
    pub members: Option<&'a Membership>,
    /// What listens; `None` where the kernel did not tell.
    pub listening: Option<&'a [Listening]>,
    /// How epmd was started, or else this host's node.
    pub started: &'a Started,
    /// The ports that the kernel gives to outgoing connections.
    pub ephemeral: (u16, u16),
    /// Those of them that it does not give.
    pub reserved: &'a Ports,
}

/// Everything that does not fit. It is about one cluster: of several that are guarded together each is looked at by its own file.
pub fn lint(subject: &Subject<'_>, findings: &mut Findings) {
    if let Some(settings) = subject.settings {
        who(subject, settings, findings);
        services::settings(subject, settings, findings);
        epmd::settings(subject, settings, findings);
        replication::settings(subject, settings, findings);
        distribution::settings(subject, settings, findings);
    }
    if let Some(listening) = subject.listening {
        services::sockets(subject, listening, findings);
        distribution::sockets(subject, listening, findings);
    }
    members::families(subject, findings);
    if let Some(members) = subject.members {
        members::differences(subject, members, findings);
    }
}

/// Whether this host's node is one of the file at all.
fn who(subject: &Subject<'_>, settings: &Settings, findings: &mut Findings) {
    let Some(name) = settings.name.as_ref().filter(|name| name.value.contains('@')) else { return };
    let shown = name.value.escape_debug();
    match (subject.site.cluster().node(&name.value), subject.node()) {
        (None, _) => {
            let message =
                format!("this host's {} is called `{shown}`, and the cluster file has no such node", subject.title());
            let help =
                "add it to `nodes` on every node, or correct its name; a host that is not in the file is a stranger";
            findings.push(Diagnostic::new(Code::MissingMember, name.span, message).help(help));
        }
        (Some(_), Some(own)) if own.name() != name.value => {
            let message = format!(
                "this host's {} is called `{shown}`, and the rules here are those of `{}`",
                subject.title(),
                own.name()
            );
            let help = "say which node this host is with `--node`, here and to `ringfence apply`";
            findings.push(Diagnostic::new(Code::MissingMember, name.span, message).help(help));
        }
        (Some(_), _) => {}
    }
}

impl<'a> Subject<'a> {
    /// The address to which a service should be bound here, as a help says it.
    fn own_address(&self) -> String {
        let own = self.node().and_then(|node| node.addresses().next());
        own.map_or("ADDRESS".to_owned(), |(address, _)| address.to_string())
    }

    /// What the node is called, for the kernel's sockets.
    fn own_name(&self) -> Option<&str> {
        self.node().map(Node::name)
    }

    /// The node of this host.
    fn node(&self) -> Option<&'a Node> {
        self.site.nodes().first().copied()
    }

    fn service(&self, name: &str) -> Option<&'a Service> {
        self.site.services().iter().map(|own| own.service).find(|own| own.name() == name)
    }

    /// What the program is called.
    fn title(&self) -> &'a str {
        let (name, _) = self.site.cluster().profile();
        let of_settings = self.settings.map(|settings| settings.profile.title.as_str());
        of_settings.or(embedded_profile(name).map(|profile| profile.title.as_str())).unwrap_or(name)
    }

    /// What moves it, in the words of its profile.
    fn profile_setting(&self, service: &str) -> String {
        let setting = self.service(service).and_then(Service::setting);
        setting.map_or_else(|| "the program's own settings".to_owned(), |setting| format!("see {setting}"))
    }

    /// A finding about a setting, or about the lack of one in Riak's files.
    fn about(&self, code: Code, setting: Option<Span>, message: String) -> Diagnostic {
        let file: Option<FileId> = self.settings.and_then(|settings| settings.files.first().copied());
        match (setting, file) {
            (Some(span), _) => Diagnostic::new(code, span, message),
            (None, Some(file)) => Diagnostic::new(code, Span::new(file, 0..0), message)
                .label(format!("it is not set in {}'s files", self.title())),
            (None, None) => Diagnostic::placeless(code, message),
        }
    }

    /// How a listener's setting would look with another address.
    fn setting_like(&self, listener: &Listener, address: &str) -> String {
        let keys = |kind: Kind| self.service(listener.service).map(|own| own.keys_in(kind.word())).unwrap_or_default();
        let Some((name, _)) = &listener.setting else {
            return self.setting_of(listener.service, address, listener.port);
        };
        let parts: Vec<&str> = name.split('.').collect();
        let lists = |key: &&Key| matches!(key.form(), Form::Listener | Form::PortOrListener);
        for kind in CONF {
            if let Some(key) = keys(kind).iter().filter(lists).find(|key| key.is(&parts)) {
                let (_, value) = key.value(address, listener.port, "");
                return format!("`{name} = {value}` in {}", kind.name());
            }
        }
        for kind in TERMS {
            if let Some(key) = keys(kind).iter().filter(lists).find(|key| key.key() == name) {
                let (application, own) = name.split_once(' ').unwrap_or((name, ""));
                let (_, value) = key.value(address, listener.port, "");
                return format!("`{{{own}, {value}}}` here, under `{application}` in {}", self.terms());
            }
        }
        // The address of the same group: the management of RabbitMQ has two.
        for kind in CONF {
            let is_own = |key: &&Key| {
                let group = key.key().rsplit_once('.').map(|(group, _)| group);
                key.has_address() && group.is_some() && group == name.rsplit_once('.').map(|(group, _)| group)
            };
            if let Some(key) = keys(kind).iter().find(is_own) {
                let (key, value) = key.value(address, listener.port, "internal");
                return format!("`{key} = {value}` in {}", kind.name());
            }
        }
        self.setting_of(listener.service, address, listener.port)
    }

    /// Where a node of this style has Erlang terms.
    fn terms(&self) -> &'static str {
        let kind = match self.settings.map(|settings| settings.style) {
            Some(Style::Conf) => Kind::AdvancedConfig,
            Some(Style::RabbitmqConfig) => Kind::RabbitmqConfig,
            Some(Style::AppConfig) | None => Kind::AppConfig,
        };
        kind.name()
    }

    /// Where the program is told where a service listens: the setting's name, and how its value looks.
    fn setting_of(&self, service: &str, address: &str, port: u16) -> String {
        let style = self.settings.map_or(Style::Conf, |settings| settings.style);
        match service {
            "epmd" => return epmd::environment(self, address, style != Style::AppConfig),
            "distribution" if style == Style::AppConfig => {
                return format!("`-kernel inet_dist_use_interface '{}'` in vm.args", erlang_address(address));
            }
            _ => {}
        }
        let keys = |kind: Kind| self.service(service).map(|own| own.keys_in(kind.word())).unwrap_or_default();
        // Beside rabbitmq.config the folder counts, and rabbitmq.conf does not.
        let files = if style == Style::RabbitmqConfig { [Kind::RabbitmqConfD; 2] } else { CONF };
        let in_conf = || {
            files.into_iter().find_map(|kind| {
                let key = keys(kind).iter().find(|key| key.has_address())?;
                let (key, value) = key.value(address, port, "internal");
                Some(format!("`{key} = {value}` in {}", kind.name()))
            })
        };
        let in_terms = || {
            TERMS.into_iter().find_map(|kind| {
                let mut all = keys(kind).iter().filter(|key| key.has_address());
                let key = all.next()?;
                let (path, value) = key.value(address, port, "");
                let (application, own) = path.split_once(' ')?;
                let value = if value.starts_with(['[', '{']) { value } else { format!("\"{value}\"") };
                let inner = match own.split_once('.') {
                    Some((list, own)) => format!("{{{list}, [{{{own}, {value}}}]}}"),
                    None => format!("{{{own}, {value}}}"),
                };
                let older = all.find(|other| other.form() == key.form()).and_then(|other| other.key().split_once(' '));
                let older = older
                    .map_or_else(String::new, |(application, _)| format!(" (in older releases: under {application})"));
                Some(format!("`{{{application}, [{inner}]}}` in {}{older}", self.terms()))
            })
        };
        let found = match style {
            Style::Conf => in_conf().or_else(in_terms),
            Style::RabbitmqConfig => in_terms().or_else(in_conf),
            Style::AppConfig => in_terms(),
        };
        found.unwrap_or_else(|| self.profile_setting(service))
    }
}

/// Files of keys and values.
const CONF: [Kind; 2] = [Kind::RiakConf, Kind::RabbitmqConf];
/// Files of Erlang terms.
const TERMS: [Kind; 2] = [Kind::AppConfig, Kind::AdvancedConfig];

/// A tuple of numbers (inet(3), `ip_address()`).
fn erlang_address(address: &str) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => {
            let groups = address.segments().map(|group| format!("16#{group:x}"));
            format!("{{{}}}", groups.join(","))
        }
        Ok(IpAddr::V4(_)) | Err(_) => format!("{{{}}}", address.replace('.', ",")),
    }
}

/// As riak.conf has it.
fn with_port(address: &str, port: u16) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => format!("[{address}]:{port}"),
        _ => format!("{address}:{port}"),
    }
}
