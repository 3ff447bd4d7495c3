//! Where nodes listen right now, by the output of their program, beside what their files say.

use std::collections::BTreeSet;

use super::Known;
use super::on_node::{OnNode, origin};
use crate::cluster::{Profile, Service};
use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::import::membership::{NodeListener, RABBIT_KIND};
use crate::net::PortRange;

/// The listeners of a node that runs, by service.
fn service_of<'a>(listener: &NodeListener, profile: &'a Profile) -> Option<&'a Service> {
    let is = |service: &&Service| service.keys_in(RABBIT_KIND).iter().any(|key| key.key() == listener.protocol);
    profile.services.iter().find(is)
}

/// Ports on which a node listens right now and which its files do not have, or whose files were not read.
pub(super) fn add_listening(service: &Service, known: &Known<'_>, found: &mut Vec<OnNode>) {
    let own = known
        .listeners
        .iter()
        .filter(|listener| service_of(listener, known.profile).is_some_and(|other| other.name() == service.name()));
    let by_files = found.len();
    for listener in own {
        let Some(port) = PortRange::single(listener.port) else { continue };
        let origin = origin(&listener.protocol, listener.span, known);
        match found.iter_mut().find(|own| own.node.as_ref() == Some(&listener.node)) {
            Some(own) if own.ports.has(listener.port) => {}
            Some(own) => {
                own.ports = own.ports.ranges().iter().copied().chain([port]).collect();
                own.origin = together(&own.origin, &origin);
            }
            None => found.push(OnNode {
                ports: [port].into_iter().collect(),
                origin,
                node: Some(listener.node.clone()),
                file: Some(listener.span.file),
            }),
        }
    }
    // What a node listens on right now may be less than it may: of files that may be its own, and of those that fit, it has all ports.
    let (known, seen) = found.split_at_mut(by_files);
    for node in seen {
        for other in known.iter() {
            let fits = node.ports.each().all(|port| other.ports.has(port));
            if other.node.is_none() || fits {
                node.origin = if fits { other.origin.clone() } else { together(&node.origin, &other.origin) };
                node.ports = node.ports.ranges().iter().chain(other.ports.ranges()).copied().collect();
            }
        }
    }
}

/// Two places in one comment; what is as the program has it by default comes from none.
fn together(one: &str, other: &str) -> String {
    [one, other].into_iter().filter(|origin| !origin.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Sockets of nodes that are of no service, and so stay open to everyone, unless their port is guarded for another one.
pub(super) fn unknown_listeners(known: &Known<'_>, guarded: impl Fn(&str, u16) -> bool, findings: &mut Findings) {
    let mut seen: BTreeSet<(&str, u16)> = BTreeSet::new();
    let is_unknown = |listener: &&NodeListener| {
        service_of(listener, known.profile).is_none() && !guarded(&listener.node, listener.port)
    };
    for listener in known.listeners.iter().filter(is_unknown) {
        if !seen.insert((&listener.protocol, listener.port)) {
            continue;
        }
        let shown = listener.protocol.escape_debug();
        let message = format!(
            "`{}` listens on port {} (`{shown}`), which is no service of the profile: nothing guards it",
            listener.node.escape_debug(),
            listener.port
        );
        let help = format!(
            "add a service of your own to the cluster file, `[services.NAME]` with `ports = \"{}\"` and `peers = false`",
            listener.port
        );
        findings.push(Diagnostic::new(Code::UnknownListener, listener.span, message).help(help));
    }
}
