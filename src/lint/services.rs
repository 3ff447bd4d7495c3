//! Where the services listen, by their settings and by the kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Subject, epmd, with_port};
use crate::cluster::{Key, Node, SiteService, State};
use crate::diagnostic::{Code, Diagnostic, Findings, Span};
use crate::host::listeners::Listening;
use crate::import::cluster_file::ports_line;
use crate::import::files::Kind;
use crate::import::settings::{Bind, Listener, Settings};
use crate::net::{AddressClass, Cidr, PortRange, Ports};

/// What the settings say.
pub(super) fn settings(subject: &Subject<'_>, settings: &Settings, findings: &mut Findings) {
    for service in subject.site.services() {
        let name = service.service.name();
        let own: Vec<&Listener> = settings.listeners.iter().filter(|listener| listener.service == name).collect();
        if !own.is_empty() {
            listeners(subject, service, &own, findings);
        }
        for range in settings.ranges.iter().filter(|range| range.service == name) {
            let missing = range.ports.each().find(|port| !service.ports.has(*port));
            if let (Some(port), Some(setting)) = (missing, range.settings.first()) {
                let listener = Listener {
                    service: range.service,
                    bind: Bind::everywhere(),
                    port,
                    setting: Some(setting.clone()),
                    bind_setting: None,
                };
                findings.push(undeclared(subject, service, &listener, &range.ports));
            }
        }
    }
}

fn listeners(subject: &Subject<'_>, service: &SiteService<'_>, own: &[&Listener], findings: &mut Findings) {
    let name = service.service.name();
    if is_used(subject, service)
        && own.iter().all(|listener| listener.bind.is_loopback())
        && let Some(first) = own.first()
    {
        findings.push(loopback_only(subject, service, first));
    }
    for listener in own.iter().filter(|listener| !listener.bind.is_loopback()) {
        let state = service.service.state();
        let declared = service.ports.has(listener.port);
        if !declared && state != State::Unused {
            let all: Ports = own.iter().filter_map(|one| PortRange::single(one.port)).collect();
            findings.push(undeclared(subject, service, listener, &all));
        }
        match state {
            State::Open => findings_of_width(subject, name, listener, findings),
            State::Blocked => {
                let message = format!("`{name}` listens on {}, and is blocked for everyone", shown(listener));
                let help = format!(
                    "bind it to loopback, {}, or switch it off; or open it in the cluster file",
                    subject.setting_like(listener, "127.0.0.1")
                );
                findings.push(subject.about(Code::BlockedListener, bind_place(listener), message).help(help));
            }
            State::Unused => {
                let message = format!("`{name}` listens on {}, and is not guarded", shown(listener));
                let port = if declared { String::new() } else { format!(" and `port = {}`", listener.port) };
                let mut help = format!("write `state = \"blocked\"`{port} under `[services.{name}]`");
                // Some cannot be moved to another address.
                if can_move(service) {
                    help += &format!(", or bind it to loopback: {}", subject.setting_like(listener, "127.0.0.1"));
                }
                findings.push(subject.about(Code::UnguardedListener, bind_place(listener), message).help(help));
            }
        }
    }
}

/// Whether a setting moves it to another address.
fn can_move(service: &SiteService<'_>) -> bool {
    let kinds = Kind::ALL.into_iter().flat_map(|kind| service.service.keys_in(kind.word()));
    kinds.into_iter().any(Key::has_address)
}

/// Whether anybody is to reach it.
pub(super) fn is_used(subject: &Subject<'_>, service: &SiteService<'_>) -> bool {
    let client = || subject.site.cluster().clients().iter().any(|client| client.services().contains(&service.id));
    service.service.state() == State::Open && (service.service.peers() || client())
}

fn loopback_only(subject: &Subject<'_>, service: &SiteService<'_>, listener: &Listener) -> Diagnostic {
    let name = service.service.name();
    let by = if listener.setting.is_none() { " by default" } else { "" };
    let message = format!("`{name}` is open to others, and listens{by} on {} only", shown(listener));
    let setting = subject.setting_like(listener, &subject.own_address());
    let help = format!("bind it to this node's address: {setting}, and restart {}", subject.title());
    subject.about(Code::LoopbackOnly, bind_place(listener), message).help(help)
}

/// `all` are the ports that the service has by its settings.
pub(super) fn undeclared(
    subject: &Subject<'_>,
    service: &SiteService<'_>,
    listener: &Listener,
    all: &Ports,
) -> Diagnostic {
    let name = service.service.name();
    let declared = if service.ports.is_empty() { "no port".to_owned() } else { format!("port {}", service.ports) };
    let guarded = if subject.site.protected().has(listener.port) { "" } else { ", so this one is not guarded" };
    let message =
        format!("`{name}` listens on port {}, and the cluster file has {declared} for it{guarded}", listener.port);
    let line = ports_line(all);
    let own = subject.own_name().map_or_else(String::new, |node| {
        format!(", or, if only this node has it, `services.{name}.{line}` in the `[[node]]` of `{node}`")
    });
    let help = format!("write `{line}` under `[services.{name}]`{own}; or move the listener");
    let place = listener.setting.as_ref().map(|(_, span)| *span);
    subject.about(Code::UndeclaredPort, place, message).help(help)
}

/// More than is needed: every interface, or an address that the whole world may reach.
fn findings_of_width(subject: &Subject<'_>, name: &str, listener: &Listener, findings: &mut Findings) {
    let public = match listener.bind {
        Bind::Address(address) => Some(address).filter(|address| is_public(*address)),
        Bind::Name(_) => None,
    };
    if !listener.bind.is_everywhere() && public.is_none() {
        return;
    }
    let what = if public.is_some() { "a public address" } else { "every interface" };
    let by = if listener.setting.is_none() { " by default" } else { "" };
    let message = format!("`{name}` listens{by} on {what}, and only the rules protect it");
    let setting = || subject.setting_like(listener, &subject.own_address());
    let help = narrower(subject, public, setting);
    findings.push(subject.about(Code::WideListener, bind_place(listener), message).help(help));
}

/// Whether the internet may reach it.
pub(super) fn is_public(address: IpAddr) -> bool {
    Cidr::host(address).class() == AddressClass::Public
}

/// What helps against a listener that too many reach: `public` is the address that it has. A node may have no other.
pub(super) fn narrower(subject: &Subject<'_>, public: Option<IpAddr>, setting: impl FnOnce() -> String) -> String {
    let mut own = subject.node().into_iter().flat_map(Node::addresses);
    if own.any(|(address, _)| Some(address) == public) {
        return "this is the node's own address: give the nodes private ones if you can; otherwise see that the rules are always in \
                force, `ringfence status` says whether they are"
            .to_owned();
    }
    format!("bind it to this node's address: {}", setting())
}

/// A service that others are to reach, by its sockets that no setting explains.
fn wide(subject: &Subject<'_>, name: &str, own: &[&Listening], explained: &BTreeSet<u16>, findings: &mut Findings) {
    let is_wide = |one: &&&Listening| one.is_everywhere() || is_public(one.local.ip());
    let Some(first) = own.iter().filter(|one| !explained.contains(&one.local.port())).find(is_wide) else { return };
    let public = Some(first.local.ip()).filter(|address| is_public(*address));
    let what = if public.is_some() { "a public address" } else { "every interface" };
    let message = format!("`{name}` listens on {what} ({}), and only the rules protect it", first.local);
    let help = narrower(subject, public, || subject.setting_of(name, &subject.own_address(), first.local.port()));
    findings.push(Diagnostic::placeless(Code::WideListener, message).help(help));
}

/// What the kernel says. What the settings explain has been said.
pub(super) fn sockets(subject: &Subject<'_>, listening: &[Listening], findings: &mut Findings) {
    for service in subject.site.services() {
        let name = service.service.name();
        // The range of the distribution is looked at as a whole.
        if name == "distribution" {
            continue;
        }
        let own: Vec<&Listening> = listening.iter().filter(|one| service.ports.has(one.local.port())).collect();
        let Some(first) = own.first() else { continue };
        let explained = explained(subject, name);
        let beyond = own.iter().filter(|one| !one.is_loopback() && !explained.contains(&one.local.port()));
        let beyond: BTreeSet<String> = beyond.map(|one| one.local.to_string()).collect();
        match service.service.state() {
            State::Open if name == "epmd" => epmd::sockets(subject, service, &own, findings),
            State::Open if is_used(subject, service) && own.iter().all(|one| one.is_loopback()) => {
                if !set_to_loopback(subject, name) {
                    let message = format!("`{name}` is open to others, and listens on {} only", first.local);
                    let setting = subject.setting_of(name, &subject.own_address(), first.local.port());
                    let help = format!("bind it to this node's address: {setting}, and restart {}", subject.title());
                    findings.push(Diagnostic::placeless(Code::LoopbackOnly, message).help(help));
                }
            }
            State::Open => wide(subject, name, &own, &explained, findings),
            State::Blocked => {
                for local in beyond {
                    let message = format!("`{name}` listens on {local}, and is blocked for everyone");
                    let help = "switch it off or bind it to loopback; or open it in the cluster file";
                    findings.push(Diagnostic::placeless(Code::BlockedListener, message).help(help));
                }
            }
            State::Unused => {
                for local in beyond {
                    let message = format!("`{name}` listens on {local}, and is not guarded");
                    let help = format!("write `state = \"blocked\"` under `[services.{name}]`, or bind it to loopback");
                    findings.push(Diagnostic::placeless(Code::UnguardedListener, message).help(help));
                }
            }
        }
    }
}

/// The ports of a service's listeners that are set to be reached by others.
fn explained(subject: &Subject<'_>, service: &str) -> BTreeSet<u16> {
    let listeners = subject.settings.iter().flat_map(|settings| &settings.listeners);
    let own = listeners.filter(|listener| listener.service == service && !listener.bind.is_loopback());
    own.map(|listener| listener.port).collect()
}

fn set_to_loopback(subject: &Subject<'_>, service: &str) -> bool {
    let listeners = subject.settings.iter().flat_map(|settings| &settings.listeners);
    let mut own = listeners.filter(|listener| listener.service == service).peekable();
    own.peek().is_some() && own.all(|listener| listener.bind.is_loopback())
}

fn shown(listener: &Listener) -> String {
    match &listener.bind {
        bind if bind.is_everywhere() => format!("port {} of every interface", listener.port),
        bind => with_port(&bind.to_string(), listener.port),
    }
}

fn bind_place(listener: &Listener) -> Option<Span> {
    listener.bind_setting.as_ref().or(listener.setting.as_ref()).map(|(_, span)| *span)
}
