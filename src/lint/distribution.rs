//! Erlang's distribution: the range that is set, the range that is guarded, and where the node listens in fact.

use super::Subject;
use crate::cluster::SiteService;
use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::host::listeners::{Listening, Program};
use crate::import::cluster_file::{by_release, inverted, unheeded, ways};
use crate::import::settings::{Distribution, Range, Setting, Settings};
use crate::net::{PortRange, Ports};

pub(super) fn settings(subject: &Subject<'_>, settings: &Settings, findings: &mut Findings) {
    let Some(service) = guarded(subject) else {
        let message = "Erlang's distribution is unused in the cluster file, and so is not guarded";
        let help = "anybody who reaches it and knows the cookie runs code in the node: write its `ports` under \
                    `[services.distribution]`, without `state = \"unused\"`";
        let unused = subject.site.services().iter().any(|service| service.service.name() == "distribution");
        if unused {
            findings.push(
                subject.about(Code::UnguardedListener, settings.distribution.span(), message.to_owned()).help(help),
            );
        }
        return;
    };
    let distribution = &settings.distribution;
    let place = distribution.span();
    let wanted = service.ports.ranges().first().copied();
    if let Some(interface) = distribution.interface.as_ref().filter(|interface| interface.value.is_loopback()) {
        let message = "`distribution` is open to the nodes, and listens on loopback only";
        let setting = subject.setting_of("distribution", &subject.own_address(), 0);
        let help = format!("bind it to this node's address: {setting}, and restart {}", subject.title());
        findings.push(Diagnostic::new(Code::LoopbackOnly, interface.span, message).help(help));
    }
    findings_of_release(subject, settings, findings);
    let set = match distribution.range() {
        Range::Ports(ports) => ports,
        Range::Unset => {
            let message =
                "Erlang's distribution listens on any free port, and only the range in the cluster file is guarded";
            findings.push(remedied(
                subject.about(Code::UnboundedDistribution, place, message.to_owned()),
                wanted,
                settings,
            ));
            return;
        }
        Range::MaximumOnly => {
            let message = "only the maximum is set, so Erlang's distribution listens on any free port";
            findings.push(remedied(
                subject.about(Code::UnboundedDistribution, place, message.to_owned()),
                wanted,
                settings,
            ));
            return;
        }
        Range::Inverted => {
            findings.push(inverted(distribution));
            return;
        }
    };
    if let (Some(Setting { value: only, .. }), None) = (&distribution.minimum, &distribution.maximum)
        && distribution.usual.is_none()
    {
        let message = format!(
            "only the minimum is set, so the node can use port {only} alone: while an old VM holds it, it does not start"
        );
        findings.push(remedied(subject.about(Code::MinimumOnly, place, message), wanted, settings));
    }
    if set != service.ports {
        let message =
            format!("{}'s distribution range is {set}, and the cluster file has {}", subject.title(), service.ports);
        // A port that is not guarded weighs more than one that nobody uses.
        let beyond = set.each().find(|port| !service.ports.has(*port)).and_then(|port| distribution.opens(port));
        let finding = subject.about(Code::RangeDiffers, beyond.or(place), message);
        let both = "write the same into both: `[services.distribution]` in the cluster file";
        let help = match wanted {
            Some(wanted) => {
                format!(
                    "{both}, or {}, and restart {}",
                    ways(wanted, settings.profile, Some(settings)),
                    subject.title()
                )
            }
            None => both.to_owned(),
        };
        findings.push(finding.help(help));
    }
    set.ranges().iter().for_each(|range| ephemeral(subject, *range, distribution, findings));
}

/// A port that only some releases take is to be guarded, whatever there is besides.
fn findings_of_release(subject: &Subject<'_>, settings: &Settings, findings: &mut Findings) {
    let distribution = &settings.distribution;
    by_release(distribution).into_iter().chain(unheeded(distribution)).for_each(|finding| findings.push(finding));
    let without_range = matches!(distribution.range(), Range::Unset | Range::MaximumOnly | Range::Inverted);
    for one in distribution.fixed.iter().filter(|_| without_range) {
        if guarded(subject).is_some_and(|service| !service.ports.has(one.value)) {
            let message =
                format!("`{}` is {}, and the cluster file does not have it for the distribution", one.name, one.value);
            let help = "write it into `ports` under `[services.distribution]` in the cluster file";
            findings.push(Diagnostic::new(Code::RangeDiffers, one.span, message).help(help));
        }
    }
}

/// A connection of this host's own may hold a port as its source, and then the node does not start.
fn ephemeral(subject: &Subject<'_>, range: PortRange, distribution: &Distribution, findings: &mut Findings) {
    let (first, last) = subject.ephemeral;
    let Some(common) = PortRange::new(first, last).and_then(|given| given.intersection(range)) else { return };
    let free = (common.first()..=common.last()).find(|port| !subject.reserved.has(*port));
    if let Some(port) = free {
        let message = format!(
            "the kernel gives port {port} of the distribution range to outgoing connections, and while one has it, {} may fail to \
             start",
            subject.title()
        );
        let help = "`ringfence apply` reserves the ports of the cluster file (net.ipv4.ip_local_reserved_ports)";
        findings.push(match distribution.opens(port) {
            Some(place) => Diagnostic::new(Code::EphemeralUnreserved, place, message).help(help),
            None => Diagnostic::placeless(Code::EphemeralUnreserved, message).help(help),
        });
    }
}

/// What the node's VM has open beyond the guarded ports.
pub(super) fn sockets(subject: &Subject<'_>, listening: &[Listening], findings: &mut Findings) {
    let protected = subject.site.protected();
    loopback_only(subject, listening, findings);
    other_nodes(subject, listening, &protected, findings);
    let own = listening.iter().filter(|one| one.is_of(subject.own_name()) && !one.is_loopback());
    for one in own.filter(|one| !protected.has(one.local.port())) {
        if explained(subject, one.local.port()) {
            continue;
        }
        let message = format!("no rule guards {1}, where Erlang (process {0}) listens", one.pid, one.local);
        let range = guarded(subject).and_then(|service| service.ports.ranges().first().copied());
        let finding = Diagnostic::placeless(Code::OutsideRange, message);
        let right = subject
            .settings
            .filter(|settings| {
                range.is_some_and(|range| settings.distribution.range() == Range::Ports([range].into_iter().collect()))
            })
            .filter(|settings| settings.distribution.fixed.is_empty());
        if let Some(settings) = right {
            let finding = match settings.distribution.span() {
                Some(span) => finding.at(span, "this is set"),
                None => finding,
            };
            let help = format!(
                "if this is its distribution, it was started before that was set: restart {}; if it is a service, give it ports in the \
                 cluster file",
                subject.title()
            );
            findings.push(finding.help(help));
            continue;
        }
        findings.push(match (range, subject.settings) {
            (Some(range), Some(settings)) => finding.help(format!(
                "if this is its distribution: {}; if it is a service, give it ports in the cluster file",
                ways(range, settings.profile, Some(settings))
            )),
            (Some(range), None) => finding.help(format!(
                "if this is its distribution, set inet_dist_listen_min and _max to {range} and restart the node; if it is a \
                 service, give it ports in the cluster file"
            )),
            (None, _) => finding.help("give the service ports in the cluster file"),
        });
    }
}

/// The node runs, and the others cannot reach it, although its settings do not say so.
fn loopback_only(subject: &Subject<'_>, listening: &[Listening], findings: &mut Findings) {
    let Some(service) = guarded(subject) else { return };
    let set = subject.settings.and_then(|settings| settings.distribution.interface.as_ref());
    let mut own =
        listening.iter().filter(|one| one.is_of(subject.own_name()) && service.ports.has(one.local.port())).peekable();
    let Some(first) = own.peek().copied() else { return };
    if own.all(Listening::is_loopback) && !set.is_some_and(|interface| interface.value.is_loopback()) {
        let message = format!("`distribution` is open to the nodes, and listens on {} only", first.local);
        let help = "the node was started with other settings than its files have: restart it";
        findings.push(Diagnostic::placeless(Code::LoopbackOnly, message).help(help));
    }
}

/// Another program's, or this node under a name that nobody knows: worth a look, and no fault.
fn other_nodes(subject: &Subject<'_>, listening: &[Listening], protected: &Ports, findings: &mut Findings) {
    for one in listening.iter().filter(|one| !one.is_loopback() && !protected.has(one.local.port())) {
        let Program::Erlang(name) = &one.program else { continue };
        if one.is_of(subject.own_name()) {
            continue;
        }
        let name = name.as_deref().unwrap_or("without a name").escape_debug();
        let message =
            format!("another Erlang node ({name}, process {}) listens on {}, which no rule guards", one.pid, one.local);
        let help = "if it belongs to another program, that program's own rules are to guard it";
        findings.push(Diagnostic::placeless(Code::OtherErlang, message).help(help));
    }
}

/// Whether a setting has been found to be outside already.
fn explained(subject: &Subject<'_>, port: u16) -> bool {
    let mut listeners = subject.settings.iter().flat_map(|settings| &settings.listeners);
    listeners.any(|listener| listener.port == port && !listener.bind.is_loopback())
}

fn guarded<'a>(subject: &'a Subject<'_>) -> Option<&'a SiteService<'a>> {
    let distribution = subject.site.services().iter().find(|service| service.service.name() == "distribution");
    distribution.filter(|service| service.service.is_guarded())
}

fn remedied(finding: Diagnostic, range: Option<PortRange>, settings: &Settings) -> Diagnostic {
    match range {
        Some(range) => {
            let title = &settings.profile.title;
            finding.help(format!("{}, and restart {title}", ways(range, settings.profile, Some(settings))))
        }
        None => finding.help("set inet_dist_listen_min and inet_dist_listen_max to the range in the cluster file"),
    }
}
