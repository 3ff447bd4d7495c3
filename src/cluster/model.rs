//! The cluster in its own words: nodes, services, clients, networks.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::day::Day;
use super::guard::{Allowance, Guard};
use super::keys::Key;
use super::node::Node;
use crate::diagnostic::{Sources, Span};
use crate::net::{Cidr, Hosts, Interface, Ports};

/// A valid cluster. See the room's documentation for what that means.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(super) name: String,
    pub(super) profile: String,
    pub(super) profile_version: u32,
    /// SHA-256 of the cluster file, of its profile, where that is a file, and of all that it includes; in hexadecimal digits.
    pub(super) digest: String,
    pub(super) services: Vec<Service>,
    pub(super) nodes: Vec<Node>,
    /// Their addresses in order, made when somebody first asks for them; whoever changes the nodes takes them away.
    pub(super) hosts: OnceLock<Arc<Hosts>>,
    pub(super) clients: Vec<Client>,
    pub(super) private: Vec<Source>,
    pub(super) untrusted: Vec<Source>,
    pub(super) allow_public: bool,
    pub(super) guard: Guard,
    pub(super) includes: Vec<String>,
    pub(super) sources: Arc<Sources>,
    /// Where several clusters are guarded together: each as its own file has it. Its services and clients are called here as there.
    pub(super) parts: Vec<Self>,
    /// Where it is one of several: a word that fits into the names of sets and chains, and that none of the others has.
    pub(super) tag: Option<String>,
    /// How its nodes are called as those who are admitted.
    pub(super) peers: String,
}

/// How the nodes of a cluster are called that is guarded alone.
pub(super) const PEERS: &str = "peers";

/// What stands between the names of several clusters, or nodes, and in none of them.
pub const AND: &str = ", ";

/// Position of a service in [`Cluster::services`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub(super) usize);

/// Whether a service is guarded, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Guarded: admitted sources get in, nobody else.
    Open,
    /// Guarded: nobody but loopback.
    Blocked,
    /// Not guarded at all.
    Unused,
}

/// Where a service listens unless it is told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultBind {
    /// On every interface.
    Everywhere,
    /// On 127.0.0.1 or ::1.
    Loopback,
}

/// Something that listens on TCP ports of a node.
#[derive(Clone, Debug)]
pub struct Service {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) peers: bool,
    pub(super) ports: Ports,
    pub(super) one_port_per_node: bool,
    pub(super) setting: Option<String>,
    pub(super) program: OfProgram,
    pub(super) port_by_node_number: bool,
    pub(super) why: Option<String>,
    /// Where the cluster file speaks of it, if it does.
    pub(super) span: Option<Span>,
}

/// What only a profile says of a service: how its program has it.
#[derive(Clone, Debug, Default)]
pub(super) struct OfProgram {
    pub settings: BTreeMap<String, Vec<Key>>,
    pub bind: Option<DefaultBind>,
    pub by_default: bool,
    pub for_clients: bool,
    pub once_used: Option<State>,
}

/// Someone outside the cluster who may use some of its services.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) name: String,
    pub(super) from: Vec<Source>,
    pub(super) services: Vec<ServiceId>,
    pub(super) interfaces: Option<Box<[Interface]>>,
    pub(super) allow_public: bool,
    pub(super) gateway: bool,
    pub(super) why: Option<Box<str>>,
    pub(super) until: Option<Day>,
    pub(super) span: Span,
}

/// A network and where the cluster file names it.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The network.
    pub network: Cidr,
    /// Where it is named.
    pub span: Span,
}

impl Cluster {
    /// The cluster's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The profile's name and version.
    #[must_use]
    pub fn profile(&self) -> (&str, u32) {
        (&self.profile, self.profile_version)
    }

    /// SHA-256 of the input in hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// All services, by name.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// One service.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.services.get(id.0)
    }

    /// All nodes, in the order of the file.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The addresses of all nodes.
    #[must_use]
    pub fn hosts(&self) -> &Hosts {
        let all = || self.nodes.iter().flat_map(Node::addresses).map(|(address, _)| address);
        self.hosts.get_or_init(|| Arc::new(all().collect()))
    }

    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| &*node.name == name)
    }

    /// All clients, in the order of the file.
    #[must_use]
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// The networks in which nodes may live.
    #[must_use]
    pub fn private(&self) -> &[Source] {
        &self.private
    }

    /// The networks that are always blocked.
    #[must_use]
    pub fn untrusted(&self) -> &[Source] {
        &self.untrusted
    }

    /// Whether the file allows private networks in public address space.
    #[must_use]
    pub fn allow_public(&self) -> bool {
        self.allow_public
    }

    /// How the guard behaves.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// What the file includes, as it says so: patterns of names below its folder.
    #[must_use]
    pub fn includes(&self) -> &[String] {
        &self.includes
    }

    /// The clusters that it stands for, each with a file of its own: several that are guarded together on one host, or itself alone.
    #[must_use]
    pub fn parts(&self) -> &[Self] {
        if self.parts.is_empty() { std::slice::from_ref(self) } else { &self.parts }
    }

    /// Whether several clusters are guarded together.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        !self.parts.is_empty()
    }

    /// A word for the names of sets and chains, where it is one of several.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// How its nodes are called as those who are admitted: `peers`, or `peers of NAME` where it is one of several.
    #[must_use]
    pub fn peers(&self) -> &str {
        &self.peers
    }

    /// The services that several of the clusters have in common, and which: their ports admit whom any of these admits.
    #[must_use]
    pub fn shared(&self) -> Vec<(&Service, Vec<&str>)> {
        let owners = |service: &Service| -> Vec<&str> {
            let has = |part: &&Self| part.services.iter().any(|own| own.name == service.name);
            self.parts.iter().filter(has).map(Self::name).collect()
        };
        let all = self.services.iter().map(|service| (service, owners(service)));
        all.filter(|(_, owners)| owners.len() > 1).collect()
    }

    /// The texts that the cluster was read from.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Where the file allows what this code refuses, as [`Self::place`]; `None` where it does not.
    #[must_use]
    pub fn allowing(&self, code: &str) -> Option<String> {
        let wanted = Allowance::of_word(code)?;
        self.guard.allow.iter().find(|(own, _)| *own == wanted).map(|(_, span)| self.place(*span))
    }

    /// A place as `cluster.toml:4`: the file's base name, so that the same file gives the same output anywhere; in what it includes
    /// as `clients.d/mail.toml:4`.
    #[must_use]
    pub fn place(&self, span: Span) -> String {
        let Some(file) = self.sources.get(span.file) else { return String::new() };
        format!("{}:{}", file.base_name(), file.line(span.start))
    }
}

impl Service {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name in its own cluster file: where several clusters are guarded, those that have the service stand behind it in brackets.
    #[must_use]
    pub fn plain_name(&self) -> &str {
        self.name.split_once(" (").map_or(&self.name, |(name, _)| name)
    }

    /// Open, blocked or unused.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether nodes are admitted to it.
    #[must_use]
    pub fn peers(&self) -> bool {
        self.peers
    }

    /// The ports of a node that does not say otherwise; may be empty only when unused.
    #[must_use]
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// The setting of the program that moves it.
    #[must_use]
    pub fn setting(&self) -> Option<&str> {
        self.setting.as_deref()
    }

    /// The lines that move it in a kind of file: of `riak-conf` for example `listener.http.* = IP:PORT`. Of several the first prevails.
    #[must_use]
    pub fn keys_in(&self, kind: &str) -> &[Key] {
        self.program.settings.get(kind).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether its program opens it where nothing is set.
    #[must_use]
    pub fn is_by_default(&self) -> bool {
        self.program.by_default
    }

    /// Whether its program opens it only where a setting switches it on.
    #[must_use]
    pub fn needs_switch(&self) -> bool {
        self.program.settings.values().flatten().any(Key::is_switch)
    }

    /// Whether programs other than the nodes have business there.
    #[must_use]
    pub fn is_for_clients(&self) -> bool {
        self.program.for_clients || !self.peers
    }

    /// What it is to be where a node listens there and the profile has it unused.
    #[must_use]
    pub fn once_used(&self) -> State {
        self.program.once_used.unwrap_or(State::Blocked)
    }

    /// Where it listens unless it is told otherwise, where the profile says so.
    #[must_use]
    pub fn default_bind(&self) -> Option<DefaultBind> {
        self.program.bind
    }

    /// One sentence on why it is in this state.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// Whether the guard covers it: open or blocked.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        match self.state {
            State::Open | State::Blocked => true,
            State::Unused => false,
        }
    }
}

impl Client {
    /// The client's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One sentence on why it is admitted.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// The last day on which it is wanted. It is admitted behind that, too.
    #[must_use]
    pub fn until(&self) -> Option<Day> {
        self.until
    }

    /// Where it comes from.
    #[must_use]
    pub fn from(&self) -> &[Source] {
        &self.from
    }

    /// What it may use.
    #[must_use]
    pub fn services(&self) -> &[ServiceId] {
        &self.services
    }

    /// The interfaces on which it is admitted, where the file says so for this client.
    #[must_use]
    pub fn interfaces(&self) -> Option<&[Interface]> {
        self.interfaces.as_deref()
    }

    /// Whether the file allows it to be open to the world.
    #[must_use]
    pub fn allow_public(&self) -> bool {
        self.allow_public
    }

    /// Whether its addresses are those of a gateway that translates: whoever is behind it comes from there, too.
    #[must_use]
    pub fn gateway(&self) -> bool {
        self.gateway
    }

    /// Where it is named.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }
}
