//! This host's Riak against the cluster file: what the rules assume, and what Riak does.
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

use crate::cluster::{Node, Service, Site};
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};
use crate::host::listeners::Listening;
use crate::host::started::Started;
use crate::import::membership::Membership;
use crate::import::settings::{Listener, Settings, Style};
use crate::net::Ports;

/// What there is to look at.
pub struct Subject<'a> {
    /// The cluster file, from this host.
    pub site: &'a Site<'a>,
    /// The settings of this host's Riak, where they could be read.
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

/// Whether this host's Riak is a node of the file at all.
fn who(subject: &Subject<'_>, settings: &Settings, findings: &mut Findings) {
    let Some(name) = settings.name.as_ref().filter(|name| name.value.contains('@')) else { return };
    let shown = name.value.escape_debug();
    match (subject.site.cluster().node(&name.value), subject.node()) {
        (None, _) => {
            let message = format!("this host's Riak is called `{shown}`, and the cluster file has no such node");
            let help = "add it to `nodes` on every node, or put its name right; what is not in the file is a stranger";
            findings.push(Diagnostic::new(Code::MissingMember, name.span, message).help(help));
        }
        (Some(_), Some(own)) if own.name() != name.value => {
            let message =
                format!("this host's Riak is called `{shown}`, and the rules here are those of `{}`", own.name());
            let help = "say which node this host is with `--node`, here and to `ringfence apply`";
            findings.push(Diagnostic::new(Code::MissingMember, name.span, message).help(help));
        }
        (Some(_), _) => {}
    }
}

impl<'a> Subject<'a> {
    /// The address to which a service should be bound here, as a help says it.
    fn own_address(&self) -> String {
        let own = self.node().and_then(|node| node.addresses().first());
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

    /// The key that moves a service, in a kind of file, as its profile has it.
    fn key_in(&self, kind: &str, service: &str) -> Option<&'a str> {
        self.service(service)?.key_in(kind)
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
            (None, Some(file)) => {
                Diagnostic::new(code, Span::new(file, 0..0), message).label("it is not set in Riak's files")
            }
            (None, None) => Diagnostic::placeless(code, message),
        }
    }

    /// How a listener's setting would look with another address.
    fn setting_like(&self, listener: &Listener, address: &str) -> String {
        match &listener.setting {
            Some((name, _)) if name.starts_with("listener.") => {
                format!("`{name} = {}` in riak.conf", with_port(address, listener.port))
            }
            Some((name, _)) if name.starts_with("riak_") && !name.ends_with("_port") => {
                let (application, key) = name.split_once(' ').unwrap_or((name, ""));
                let file = if self.settings.is_some_and(|settings| settings.style == Style::RiakConf) {
                    "advanced.config"
                } else {
                    "app.config"
                };
                let value = match key {
                    "cluster_mgr" => format!("{{\"{address}\", {}}}", listener.port),
                    _ => format!("[{{\"{address}\", {}}}]", listener.port),
                };
                format!("`{{{key}, {value}}}` here, under `{application}` in {file}")
            }
            _ => self.setting_of(listener.service, address, listener.port),
        }
    }

    /// Where Riak is told where a service listens: the setting's name, and how its value looks.
    fn setting_of(&self, service: &str, address: &str, port: u16) -> String {
        let conf = self.settings.is_none_or(|settings| settings.style == Style::RiakConf);
        match (service, conf) {
            ("http" | "https" | "protobuf", true) if self.key_in("riak-conf", service).is_some() => {
                let key = self.key_in("riak-conf", service).unwrap_or_default().replace('*', "internal");
                format!("`{key} = {}` in riak.conf", with_port(address, port))
            }
            ("handoff", true) => format!("`handoff.ip = {address}` in riak.conf"),
            ("http" | "https", false) => {
                format!(
                    "`{{riak_api, [{{{service}, [{{\"{address}\", {port}}}]}}]}}` in app.config (up to 1.4: riak_core)"
                )
            }
            ("protobuf", false) => format!("`{{riak_api, [{{pb, [{{\"{address}\", {port}}}]}}]}}` in app.config"),
            ("handoff", false) => format!("`{{riak_core, [{{handoff_ip, \"{address}\"}}]}}` in app.config"),
            ("cluster-manager", _) => {
                let file = if conf { "advanced.config" } else { "app.config" };
                format!("`{{riak_core, [{{cluster_mgr, {{\"{address}\", {port}}}}}]}}` in {file}")
            }
            ("epmd", conf) => epmd::environment(self, address, conf),
            ("distribution", true) => format!("`erlang.distribution.interface = {address}` in riak.conf"),
            ("distribution", false) => {
                format!("`-kernel inet_dist_use_interface '{}'` in vm.args", erlang_address(address))
            }
            _ => self.profile_setting(service),
        }
    }
}

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
