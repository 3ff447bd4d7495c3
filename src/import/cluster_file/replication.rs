//! Replication between clusters comes in over a client's port.

use crate::diagnostic::{Code, Diagnostic};
use crate::import::settings::Settings;
use crate::net::Ports;

/// What is to be said where other clusters fetch from a node and the cluster file does not let them: `state` is what it says.
#[must_use]
pub fn replicated(settings: &Settings, ports: &Ports, state: &str) -> Option<Diagnostic> {
    let source = settings.replication.source.as_ref()?;
    let message = format!(
        "`{}` makes this node a source of next-generation replication: nodes of the other cluster connect to `protobuf` ({ports}) \
         here, unless their settings name http; {state}",
        source.name
    );
    const NAMED: usize = 6;
    let mut peers: Vec<String> = settings.replication.peers.iter().map(|peer| format!("\"{}\"", peer.value)).collect();
    peers.dedup();
    let known = if peers.is_empty() {
        "of all its nodes".to_owned()
    } else {
        let shown = peers.get(..NAMED.min(peers.len())).unwrap_or_default().join(", ");
        format!("of all its nodes (these settings name {shown})")
    };
    let help = format!(
        "write `state = \"open\"` under `[services.protobuf]`, and a `[[client]]` for the other cluster with `services = \
         [\"protobuf\"]` and the addresses {known} as `from`; over http the client needs `services = [\"http\"]` instead"
    );
    Some(Diagnostic::new(Code::BlockedReplication, source.span, message).help(help))
}
