//! The Erlang port mapper: where it listens, and where it is told to. Which remedy helps depends on how it was started.

use std::net::IpAddr;

use super::services::{is_public, is_used, narrower, undeclared};
use super::{Subject, with_port};
use crate::cluster::{SiteService, State};
use crate::diagnostic::{Code, Diagnostic, Findings, Span};
use crate::host::listeners::{Listening, Program};
use crate::host::started::Started;
use crate::import::settings::{Bind, Listener, Settings};
use crate::net::{PortRange, Ports};

/// What the settings say.
pub(super) fn settings(subject: &Subject<'_>, settings: &Settings, findings: &mut Findings) {
    let Some(service) = subject.site.services().iter().find(|service| service.service.name() == "epmd") else { return };
    if let Some(port) = &settings.epmd.port
        && !service.ports.has(port.value)
    {
        let listener = Listener {
            service: "epmd",
            bind: Bind::Name(String::new()),
            port: port.value,
            setting: Some((port.name.clone(), port.span)),
            bind_setting: None,
        };
        findings.push(undeclared(subject, service, &listener, &PortRange::single(port.value).into_iter().collect()));
    }
    // What runs counts; a setting that is not in force yet would speak of another epmd.
    let runs = subject.listening.is_some_and(|all| all.iter().any(|one| service.ports.has(one.local.port())));
    if runs || settings.epmd.not_started.is_some() || service.service.state() != State::Open {
        return;
    }
    match &settings.epmd.addresses {
        None => {
            let does = "listens on every interface unless ERL_EPMD_ADDRESS says otherwise where it starts";
            findings.push(epmd_everywhere(subject, None, does));
        }
        Some(addresses) if addresses.value.iter().all(Bind::is_loopback) => {
            let message = "`epmd` is open to the nodes, and is set to listen on loopback only";
            let help =
                format!("bind it to this node's address: {}", subject.setting_of("epmd", &subject.own_address(), 0));
            findings.push(Diagnostic::new(Code::LoopbackOnly, addresses.span, message).help(help));
        }
        Some(addresses) if addresses.value.iter().any(Bind::is_everywhere) => {
            findings.push(epmd_everywhere(subject, Some(addresses.span), "is set to listen on every interface"));
        }
        Some(addresses) => {
            let public = addresses.value.iter().find_map(|bind| match bind {
                Bind::Address(address) => Some(*address).filter(|address| is_public(*address)),
                Bind::Name(_) => None,
            });
            if let Some(public) = public {
                findings.push(epmd_in_public(subject, Some(addresses.span), public, "is set to listen"));
            }
        }
    }
}

fn epmd_everywhere(subject: &Subject<'_>, span: Option<Span>, does: &str) -> Diagnostic {
    let message = format!("`epmd` {does}; it tells every caller the names and ports of the nodes");
    let address = subject.own_address();
    let help = format!("bind it to this node's address and loopback: {}", subject.setting_of("epmd", &address, 0));
    subject.about(Code::EpmdEverywhere, span, message).help(help)
}

/// `does`: that it listens, or is to.
fn epmd_in_public(subject: &Subject<'_>, span: Option<Span>, public: IpAddr, does: &str) -> Diagnostic {
    let message = format!(
        "`epmd` {does} on a public address ({public}), and only the rules protect it; it tells every caller the names and ports of \
         the nodes"
    );
    let help = narrower(subject, Some(public), || subject.setting_of("epmd", &subject.own_address(), 0));
    subject.about(Code::WideListener, span, message).help(help)
}

/// What the kernel says of its port.
pub(super) fn sockets(subject: &Subject<'_>, service: &SiteService<'_>, own: &[&Listening], findings: &mut Findings) {
    if own.iter().any(|one| one.program == Program::Systemd) {
        held_by_systemd(subject, service, own, findings);
    } else if own.iter().any(|one| one.is_everywhere()) {
        let set = subject.settings.and_then(|settings| settings.epmd.addresses.as_ref());
        match set.filter(|set| !set.value.iter().any(Bind::is_everywhere)) {
            Some(set) => {
                let message = "`epmd` listens on every interface: it was started before other addresses were set";
                let title = subject.title();
                let help = format!(
                    "stop {title}, end epmd with `epmd -kill`, and start {title}; the process that starts epmd needs the setting"
                );
                findings.push(Diagnostic::new(Code::EpmdEverywhere, set.span, message).help(help));
            }
            None => findings.push(epmd_everywhere(subject, set.map(|set| set.span), "listens on every interface")),
        }
    } else if let Some(public) = own.iter().map(|one| one.local.ip()).find(|address| is_public(*address)) {
        let set = subject.settings.and_then(|settings| settings.epmd.addresses.as_ref());
        findings.push(epmd_in_public(subject, set.map(|set| set.span), public, "listens"));
    } else if own.iter().all(|one| one.is_loopback()) && is_used(subject, service) {
        let by = match own.first().map(|one| &one.program) {
            Some(Program::Epmd) => "",
            _ => " (another program than epmd may have the port)",
        };
        let message = format!("`epmd` is open to the nodes, and listens on loopback only{by}");
        let help = format!("bind it to this node's address: {}", subject.setting_of("epmd", &subject.own_address(), 0));
        findings.push(Diagnostic::placeless(Code::LoopbackOnly, message).help(help));
    }
}

/// systemd made the socket and hands it to epmd, which then heeds neither ERL_EPMD_ADDRESS nor `-address` (epmd(1), `-systemd`).
fn held_by_systemd(subject: &Subject<'_>, service: &SiteService<'_>, own: &[&Listening], findings: &mut Findings) {
    let (code, does) = if own.iter().any(|one| one.is_everywhere()) {
        (Code::EpmdEverywhere, "listens on every interface")
    } else if own.iter().any(|one| is_public(one.local.ip())) {
        (Code::WideListener, "listens on a public address")
    } else if own.iter().all(|one| one.is_loopback()) && is_used(subject, service) {
        (Code::LoopbackOnly, "is open to the nodes, and listens on loopback only")
    } else {
        return;
    };
    let message = format!("`epmd` {does}: systemd holds its port (epmd.socket), so ERL_EPMD_ADDRESS has no effect");
    let address = subject.own_address();
    let ports: Ports = own.iter().filter_map(|one| PortRange::single(one.local.port())).collect();
    let streams: Vec<String> = ports
        .each()
        .flat_map(|port| [with_port(&address, port), with_port("127.0.0.1", port)])
        .map(|stream| format!("`ListenStream={stream}`"))
        .collect();
    // The first empties the list of the unit itself (systemd.socket(5)); the address may not be there yet when the machine starts.
    let help = format!(
        "run `systemctl edit epmd.socket` and write `[Socket]`, `ListenStream=`, {}, `FreeBind=yes`, each on a line of its own; \
         then stop this host's nodes, run `systemctl stop epmd.service` and `systemctl restart epmd.socket`, and start the nodes",
        streams.join(", ")
    );
    findings.push(Diagnostic::placeless(code, message).help(help));
}

/// Where epmd gets the address from that it is to listen on. `conf`: whether riak.conf is the file of this node's settings.
pub(super) fn environment(subject: &Subject<'_>, address: &str, conf: bool) -> String {
    let variable = format!("ERL_EPMD_ADDRESS={address}");
    match subject.started {
        Started::Unit(unit) => format!(
            "run `systemctl edit {unit}` and write `[Service]` and `Environment={variable}`, each on a line of its own; then stop \
             this host's nodes, end epmd with `epmd -kill`, and restart {unit}"
        ),
        Started::Container => format!(
            "make the container anew with `{variable}` in its environment (`--env`, or `env` of the pod): what is set on the host has \
             no effect in it"
        ),
        Started::Unknown if conf => {
            format!("`{variable}` in the environment in which epmd starts (a running epmd has to be restarted)")
        }
        Started::Unknown => {
            format!("`-env ERL_EPMD_ADDRESS {address}` in vm.args (a running epmd has to be restarted)")
        }
    }
}
