//! Who else gets in, and whether that is anybody at all.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use super::{Unread, range_of};
use crate::cluster::model::{Client, Cluster, ServiceId, Source};
use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::net::{AddressClass, Cidr, Networks, WIDEST_V4, WIDEST_V6};

/// Each by itself, and then all of them together.
pub(super) fn check(cluster: &Cluster, untrusted: &Networks, unread: &Unread, findings: &mut Findings) {
    for client in &cluster.clients {
        check_one(client, untrusted, unread, findings);
    }
    open_together(cluster, findings);
}

fn check_one(client: &Client, untrusted: &Networks, unread: &Unread, findings: &mut Findings) {
    let name = client.name();
    let nothing = match (client.from.is_empty(), client.services.is_empty()) {
        (true, _) => Some("comes from nowhere"),
        (false, true) => Some("is admitted to no service"),
        (false, false) => None,
    };
    if let Some(nothing) = nothing.filter(|_| !unread.clients) {
        let finding = Diagnostic::new(Code::UnusedClient, client.span, format!("the client `{name}` {nothing}"));
        findings.push(finding.help("remove it, or complete its `from` and `services`"));
    }
    let mut seen = HashMap::with_capacity_and_hasher(client.from.len(), FxBuildHasher);
    // The pieces of one range are one finding.
    let mut wide_at = None;
    for source in &client.from {
        let network = source.network;
        if let Some(first) = seen.insert(network, source.span) {
            let message = format!("the client `{name}` comes from {network} twice");
            let finding = Diagnostic::new(Code::DuplicateAddress, source.span, message);
            findings.push(finding.also(first, "here too").help("remove one"));
        }
        if untrusted.covers(network) {
            let message = format!("the client `{name}` comes from {network}, which is untrusted and always blocked");
            let help = "narrow the untrusted network, or correct the client's";
            findings.push(Diagnostic::new(Code::ClientInUntrusted, source.span, message).help(help));
        }
        let said = std::mem::replace(&mut wide_at, is_wide(network).then_some(source.span));
        if is_wide(network) && !client.allow_public && said != Some(source.span) {
            let pieces: Vec<Source> = client.from.iter().filter(|own| own.span == source.span).copied().collect();
            let shown = range_of(&pieces);
            let message = format!("the client `{name}` is open to {shown}: to the internet, or much of it");
            let help = "name the networks that it really comes from; if it has to be so, write `allow-public = true` \
                        in this `[[client]]`";
            findings.push(Diagnostic::new(Code::ClientOpenToAll, source.span, message).help(help));
        }
    }
}

/// What many networks come to is judged as one: all of IPv4 is the internet, however it is cut up. First each client by itself,
/// then all clients of a service, since nobody who reaches it asks in whose name.
fn open_together(cluster: &Cluster, findings: &mut Findings) {
    let single = |client: &&Client| !client.allow_public && !client.from.iter().any(|source| is_wide(source.network));
    let clients: Vec<&Client> = cluster.clients.iter().filter(single).collect();
    let mut said = false;
    for client in &clients {
        let networks: Networks = client.from.iter().map(|source| source.network).collect();
        if let Some(family) = wide_family(&networks) {
            said = true;
            let message = format!(
                "the networks of the client `{}` together are the internet, or much of it: {}",
                client.name(),
                how_much(&networks, family)
            );
            let at = client.from.first().map_or(client.span, |source| source.span);
            let finding = Diagnostic::new(Code::ClientOpenToAll, at, message);
            let help = "name the networks that it really comes from; if it has to be so, write `allow-public = true` in \
                        this `[[client]]`";
            findings.push(finding.help(help));
        }
    }
    if said {
        return;
    }
    for (index, service) in cluster.services.iter().enumerate() {
        let of = || clients.iter().filter(|client| client.services.contains(&ServiceId(index)));
        let networks: Networks = of().flat_map(|client| &client.from).map(|source| source.network).collect();
        if let Some((family, last)) = wide_family(&networks).zip(of().next_back()) {
            let message = format!(
                "the networks of the clients of `{}` together are the internet, or much of it: {}",
                service.name,
                how_much(&networks, family)
            );
            let finding = Diagnostic::new(Code::ClientOpenToAll, last.span, message);
            let help = "name the networks that they really come from; if it has to be so, write `allow-public = true` in the \
                        `[[client]]` that is meant for the internet";
            findings.push(finding.help(help));
            return;
        }
    }
}

/// A single network that nobody has as a whole.
fn is_wide(network: Cidr) -> bool {
    let widest = if network.is_ipv4() { WIDEST_V4 } else { WIDEST_V6 };
    let carries = || wide_family(&std::iter::once(network).collect()).is_some();
    network.class() == AddressClass::Public && (network.prefix_length() < widest || !network.is_ipv4() && carries())
}

/// The family of which there are more public addresses than in the widest network that a client may have.
fn wide_family(networks: &Networks) -> Option<&'static str> {
    if networks.public_v4() > 1 << (32 - WIDEST_V4) {
        Some("IPv4")
    } else if networks.public_v6() > 1 << (128 - WIDEST_V6) {
        Some("IPv6")
    } else {
        None
    }
}

fn how_much(networks: &Networks, family: &str) -> String {
    if family == "IPv4" {
        format!("{} public addresses", networks.public_v4())
    } else {
        format!("more than a /{WIDEST_V6} of public IPv6 addresses")
    }
}
