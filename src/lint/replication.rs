//! Replication between clusters: what it needs of this one that the cluster file may not give.
//!
//! Who fetches from this node stands in the settings of the other cluster. These settings often name the same hosts, as those from which
//! this node fetches: a host among these whose address no client has is a finding; where no host is named, a note says what is not known.

use std::net::IpAddr;

use super::Subject;

use super::services::is_used;
use crate::cluster::{Client, SiteService, State};
use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::import::cluster_file::replicated;
use crate::import::settings::{Bind, Settings};

/// Whether those who fetch from this node are admitted at all. Who they are the settings of the other cluster say, not these.
pub(super) fn settings(subject: &Subject<'_>, settings: &Settings, findings: &mut Findings) {
    let Some(service) = subject.site.services().iter().find(|own| own.service.name() == "protobuf") else { return };
    let clients = subject.site.cluster().clients();
    let admitted = clients.iter().any(|client| client.services().contains(&service.id));
    if admitted && is_used(subject, service) {
        return of_admitted(subject, settings, service, findings);
    }
    let state = match service.service.state() {
        State::Open => "no client is admitted to `protobuf`",
        State::Blocked => "`protobuf` is blocked for everyone",
        State::Unused => "the cluster file has `protobuf` as unused",
    };
    if let Some(finding) = replicated(settings, &service.ports, state) {
        findings.push(finding);
    }
}

/// Somebody is admitted; it may be somebody else.
fn of_admitted(subject: &Subject<'_>, settings: &Settings, service: &SiteService<'_>, findings: &mut Findings) {
    let Some(source) = &settings.replication.source else { return };
    // Over http it comes in by another port.
    let ways = subject.site.services().iter().filter(|own| ["protobuf", "http"].contains(&own.service.name()));
    let ways: Vec<_> = ways.map(|own| own.id).collect();
    let serves = |client: &&Client| ways.iter().any(|way| client.services().contains(way));
    let clients: Vec<&Client> = subject.site.cluster().clients().iter().filter(serves).collect();
    let has = |peer: &IpAddr| clients.iter().any(|client| client.from().iter().any(|from| from.network.has(*peer)));
    let peers = settings.replication.peers.iter();
    let peers: Vec<IpAddr> = peers
        .filter_map(|peer| match &peer.value {
            Bind::Address(address) => Some(*address),
            Bind::Name(_) => None,
        })
        .collect();
    if let Some(missing) = peers.iter().find(|peer| !has(peer)) {
        let state = format!("{missing}, which these settings name, is no client of it");
        replicated(settings, &service.ports, &state).into_iter().for_each(|finding| findings.push(finding));
        return;
    }
    if peers.is_empty() {
        let names: Vec<&str> = clients.iter().map(|client| client.name()).collect();
        let message = format!(
            "`{}` makes this node a source of next-generation replication; whether the other cluster is among the clients of `protobuf` and \
             `http` ({}) is not known from these files",
            source.name,
            names.join(", ")
        );
        let help = "all nodes of the other cluster have to be in the `from` of one of them";
        findings.push(Diagnostic::new(Code::ReplicationClients, source.span, message).help(help));
    }
}
