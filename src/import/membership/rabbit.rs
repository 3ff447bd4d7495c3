//! `rabbitmqctl cluster_status --formatter json`: the nodes on disk and in memory, those that run, and where these listen.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Member, Output, Reader, State};
use crate::diagnostic::Span;

/// A socket of a node that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeListener {
    /// The node's name.
    pub node: String,
    /// What it speaks there, in the program's own word: `amqp/ssl`.
    pub protocol: String,
    /// The port.
    pub port: u16,
    /// Where the protocol stands.
    pub span: Span,
}

/// What profiles call this output.
pub const KIND: &str = "cluster-status";

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow)]
    running_nodes: Vec<Name<'a>>,
    #[serde(borrow, default)]
    disk_nodes: Vec<Name<'a>>,
    #[serde(borrow, default)]
    ram_nodes: Vec<Name<'a>>,
    #[serde(borrow, default)]
    listeners: BTreeMap<Cow<'a, str>, Vec<Socket<'a>>>,
}

/// Borrowed wherever it has no escapes, so that its place is known.
#[derive(Deserialize, PartialEq, Eq)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Socket<'a> {
    #[serde(borrow)]
    protocol: Name<'a>,
    // Its `interface` is not always where it listens: for the plugins' it says every interface, whatever they are bound to (seen on 3.10).
    port: u16,
}

impl<'a> Reader<'a> {
    /// The object that begins with this line, and where it ends; `None` where it is none of RabbitMQ's.
    pub(super) fn rabbit(&mut self, line: &'a str, begins: Span) -> Option<(Output, usize)> {
        let text = self.behind(line.trim());
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Status<'_>>();
        let status = stream.next()?.ok()?;
        let end = self.text.len() - text.len() + stream.byte_offset();
        let mut names: Vec<&Name<'_>> = Vec::new();
        for name in status.disk_nodes.iter().chain(&status.ram_nodes).chain(&status.running_nodes) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let state = |name: &Name<'_>| if status.running_nodes.contains(name) { State::Running } else { State::Down };
        let today: Vec<Member> = names.into_iter().filter_map(|name| self.member(&name.0, state(name))).collect();
        let listener = |node: &Cow<'_, str>, socket: &Socket<'_>| NodeListener {
            node: node.to_string(),
            protocol: socket.protocol.0.to_string(),
            port: socket.port,
            span: self.span(&socket.protocol.0),
        };
        let all = status.listeners.iter().flat_map(|(node, sockets)| sockets.iter().map(move |socket| (node, socket)));
        let listeners = all.map(|(node, socket)| listener(node, socket)).collect();
        Some((Output { begins, today, planned: None, listeners, kind: Some(KIND) }, end))
    }
}
