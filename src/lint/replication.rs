//! Replication between clusters: what it needs of this one that the cluster file may not give.

use super::Subject;
use super::services::is_used;
use crate::cluster::State;
use crate::diagnostic::Findings;
use crate::import::cluster_file::replicated;
use crate::import::settings::Settings;

/// Whether those who fetch from this node are admitted at all. Who they are the settings of the other cluster say, not these.
pub(super) fn settings(subject: &Subject<'_>, settings: &Settings, findings: &mut Findings) {
    let Some(service) = subject.site.services().iter().find(|own| own.service.name() == "protobuf") else { return };
    let clients = subject.site.cluster().clients();
    let admitted = clients.iter().any(|client| client.services().contains(&service.id));
    if admitted && is_used(subject, service) {
        return;
    }
    let state = match service.service.state() {
        State::Open => "no client is admitted to `protobuf`",
        State::Blocked => "`protobuf` is blocked for everyone",
        State::Unused => "`protobuf` is said to be unused",
    };
    if let Some(finding) = replicated(settings, &service.ports, state) {
        findings.push(finding);
    }
}
