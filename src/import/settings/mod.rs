//! What the files of one node say about where it listens, whichever of Riak's formats they are in.
//!
//! A setting may stand in several files, and under several names of different versions. Each is taken with its rank, and the
//! highest counts; what it overrides is said, because an admin who changes the wrong one wonders.
//!
//! - vm.args beats app.config (erl(1): flags of the command line beat the configuration file), advanced.config beats riak.conf.
//! - `riak_api` beats `riak_core`, and a list of listeners beats a pair of address and port: the newer layout is in force,
//!   with the exceptions in `listeners`.
//! - app.config and vm.args take the place of what cuttlefish would make of riak.conf and advanced.config, each of its own
//!   part: with both, nothing is left of these two; beside app.config alone, only the node's name and the VM's flags are
//!   (`cuttlefish_escript.erl`, `generate/1`, <https://github.com/Kyorai/cuttlefish>).

mod advanced;
mod environment;
mod listeners;
mod riak_conf;
#[cfg(test)]
mod tests;
mod values;
mod vm_args;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::files::{File, Kind};
use super::{erlang, riak_conf as conf, vm_args as args};
use crate::cluster::{DefaultBind, usual_service};
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, SourceFile, Sources, Span};
use crate::net::{PortRange, Ports};

/// A value, what the file calls it, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// The setting in the file's own words: `listener.http.internal`, `riak_core handoff_port`.
    pub name: String,
    /// The value's place.
    pub span: Span,
}

/// What a socket is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bind {
    /// An address; an unspecified one stands for every interface.
    Address(IpAddr),
    /// A host name, which Riak looks up when it starts.
    Name(String),
}

/// A socket that Riak is set to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The service as the riak profile calls it.
    pub service: &'static str,
    /// Where it listens.
    pub bind: Bind,
    /// The port.
    pub port: u16,
    /// The setting of the port, else that of the address; `None` for Riak's own default.
    pub setting: Option<(String, Span)>,
    /// The setting of the address, where it has one.
    pub bind_setting: Option<(String, Span)>,
}

/// The range of ports from which Erlang takes its distribution port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// `inet_dist_listen_min`.
    pub minimum: Option<Setting<u16>>,
    /// `inet_dist_listen_max`.
    pub maximum: Option<Setting<u16>>,
    /// `inet_dist_use_interface`.
    pub interface: Option<Setting<Bind>>,
    /// `-erl_epmd_port`, and `erl_epmd_node_listen_port` of kernel: one port, known to all nodes without epmd. Whether it takes the place of
    /// the range, the release says: the flag does from OTP 23 on, the setting from OTP 27 on (on OTP 25 the setting is not known at all,
    /// as was seen there). Which release runs, no file says, so that both the port and the range may be in use.
    pub fixed: Vec<Setting<u16>>,
}

/// What a distribution range comes to. Source: kernel(6), inet_dist_listen_min: one port where only the minimum is given; any
/// port where only the maximum is (seen on OTP 25).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    /// These ports: the range, and a fixed port that some releases take in its place.
    Ports(Ports),
    /// Any port that is free, since nothing is set.
    Unset,
    /// Any port that is free, since only the maximum is set.
    MaximumOnly,
    /// None at all: the minimum is above the maximum, and the node does not start.
    Inverted,
}

/// The Erlang port mapper.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Epmd {
    /// `ERL_EPMD_PORT`.
    pub port: Option<Setting<u16>>,
    /// `ERL_EPMD_ADDRESS`, a list; loopback is always added.
    pub addresses: Option<Setting<Vec<Bind>>>,
    /// `-start_epmd false`.
    pub not_started: Option<Setting<()>>,
}

/// Next-generation replication between clusters (Riak KV 3.x; `riak_kv.schema` of <https://github.com/OpenRiak/riak_kv>). It has no
/// listener of its own: nodes of the other cluster come to the usual interfaces, unless told otherwise to protocol buffers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replication {
    /// What makes this node a source from which others fetch: `replrtq_enablesrc`, or a `ttaaefs_scope`, whose queue they consume.
    pub source: Option<Setting<()>>,
    /// Hosts of other clusters that its settings name: `ttaaefs_peerip`, `replrtq_sinkpeers`.
    pub peers: Vec<Setting<Bind>>,
}

/// Which file an admin of this node changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// riak.conf.
    RiakConf,
    /// app.config and vm.args.
    AppConfig,
}

/// The settings of one node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The files that they come from.
    pub files: Vec<FileId>,
    /// Which of them to change.
    pub style: Style,
    /// The node's name.
    pub name: Option<Setting<String>>,
    /// Where it listens, by service and in the order of the files; protobuf, http and handoff by default, too, where a file was read that
    /// would say otherwise.
    pub listeners: Vec<Listener>,
    /// Its distribution range.
    pub distribution: Distribution,
    /// Its port mapper.
    pub epmd: Epmd,
    /// What other clusters fetch from it.
    pub replication: Replication,
    /// A limit of the VM's port objects, which is no range of TCP ports.
    pub max_ports: Option<Setting<u64>>,
    /// Whether a file was read that says where Riak's services listen. Without, none of them has a default here.
    pub knows_listeners: bool,
    /// Whether a file was read that has the VM's flags: its name, epmd's port, perhaps the range.
    pub knows_flags: bool,
}

impl Bind {
    /// Whether it is every interface.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        matches!(self, Self::Address(address) if address.is_unspecified())
    }

    /// Whether nobody but this host reaches it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            // RFC 6761, 6.3.
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

impl std::fmt::Display for Bind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Distribution {
    /// What it comes to. Without a range it is any free port, with a fixed port, too: a release that does not heed it takes one.
    #[must_use]
    pub fn range(&self) -> Range {
        let value = |setting: &Option<Setting<u16>>| setting.as_ref().map(|setting| setting.value);
        let (range, otherwise) = match (value(&self.minimum), value(&self.maximum)) {
            (Some(port), None) => (PortRange::single(port), Range::Unset),
            (Some(first), Some(last)) => (PortRange::new(first, last), Range::Inverted),
            (None, Some(_)) => (None, Range::MaximumOnly),
            (None, None) => (None, Range::Unset),
        };
        range.map_or(otherwise, |range| {
            Range::Ports(self.fixed_ports().ranges().iter().copied().chain([range]).collect())
        })
    }

    /// The ports that some releases take in place of the range.
    #[must_use]
    pub fn fixed_ports(&self) -> Ports {
        self.fixed.iter().filter_map(|setting| PortRange::single(setting.value)).collect()
    }

    /// Whether one release takes other ports than another.
    #[must_use]
    pub fn depends_on_release(&self) -> bool {
        !self.fixed.is_empty() && self.range() != Range::Ports(self.fixed_ports())
    }

    /// Every setting of it, a fixed port first.
    pub fn bounds(&self) -> impl Iterator<Item = &Setting<u16>> {
        self.fixed.iter().chain(&self.minimum).chain(&self.maximum)
    }

    /// Where the range is set, if it is.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.bounds().next().map(|setting| setting.span)
    }
}

/// How far a setting prevails: the layout first, then the file.
type Rank = (Layout, Source);

/// The layouts of Riak's versions, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layout {
    /// `riak_core web_ip`, `riak_kv pb_ip`.
    First,
    /// `riak_core http`.
    Second,
    /// `riak_api http`, `riak_api pb` and the pair beside it; what never moved.
    Third,
}

/// The files, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    RiakConf,
    Config,
    VmArgs,
}

/// All that was found for one setting, before it is decided which is in force.
#[derive(Clone, Debug)]
struct Slot<T>(Vec<(Rank, Setting<T>)>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Slot<T> {
    fn add(&mut self, rank: Rank, setting: Setting<T>) {
        self.0.push((rank, setting));
    }

    /// Those of the highest rank; the others are noted as overridden.
    fn in_force(self, findings: &mut Findings) -> Vec<Setting<T>> {
        let Some(highest) = self.0.iter().map(|(rank, _)| *rank).max() else { return Vec::new() };
        let (kept, overridden): (Vec<_>, Vec<_>) = self.0.into_iter().partition(|(rank, _)| *rank == highest);
        let kept: Vec<Setting<T>> = kept.into_iter().map(|(_, setting)| setting).collect();
        for (_, old) in overridden {
            findings.push(not_in_force(&old, kept.last()));
        }
        kept
    }

    /// The one that is in force: of one rank, the last.
    fn last(self, findings: &mut Findings) -> Option<Setting<T>> {
        self.in_force(findings).pop()
    }
}

/// Says that a setting is not in force, and which one is.
fn not_in_force<T, U>(old: &Setting<T>, new: Option<&Setting<U>>) -> Diagnostic {
    let finding = Diagnostic::new(Code::Overridden, old.span, format!("`{}` is set here, and not in force", old.name));
    match new {
        Some(new) => finding.also(new.span, format!("`{}` is what counts", new.name)),
        None => finding,
    }
}

/// The service and the application of an address and a port that stand apart.
type PairName = (&'static str, &'static str);

/// Everything that was found in the files.
#[derive(Default)]
struct Draft {
    name: Slot<String>,
    /// By service. `None`: said to listen nowhere.
    listeners: BTreeMap<&'static str, Slot<Option<(Bind, u16)>>>,
    /// Addresses and ports that stand apart, by service and application.
    pairs: BTreeMap<PairName, (Slot<Bind>, Slot<u16>)>,
    handoff_ip: Slot<Bind>,
    handoff_port: Slot<u16>,
    search: Slot<bool>,
    solr_port: Slot<u16>,
    jmx_port: Slot<u16>,
    minimum: Slot<u16>,
    maximum: Slot<u16>,
    interface: Slot<Bind>,
    fixed: Slot<u16>,
    node_port: Slot<u16>,
    epmd_port: Slot<u16>,
    epmd_addresses: Slot<Vec<Bind>>,
    not_started: Slot<()>,
    max_ports: Slot<u64>,
    replication_source: Slot<bool>,
    full_sync: Slot<bool>,
    peer: Slot<Bind>,
    sink_peers: Slot<Vec<Bind>>,
    knows_listeners: bool,
    knows_flags: bool,
}

/// Reads the files of one node.
pub fn read(files: &[File], sources: &Sources, findings: &mut Findings) -> Settings {
    let mut own = Findings::bounded();
    let settings = read_all(files, sources, &mut own);
    findings.append(own);
    settings
}

fn read_all(files: &[File], sources: &Sources, findings: &mut Findings) -> Settings {
    let has = |kind| files.iter().any(|file| file.kind == kind);
    let legacy = has(Kind::AppConfig) && has(Kind::VmArgs);
    let mut draft = Draft::default();
    for file in files {
        let Some(source) = sources.get(file.id) else { continue };
        let text = source.text.as_str();
        if let Some(message) = displaced(file.kind, legacy, has(Kind::AppConfig)) {
            let help = "remove the files that are not meant to be in force, and import once more";
            let message = format!("`{}` {message}", source.name);
            findings.push(Diagnostic::new(Code::IgnoredFile, Span::new(file.id, 0..0), message).help(help));
            if file.kind == Kind::RiakConf && !legacy {
                let mut flags = Draft::default();
                riak_conf::read(&conf::parse_in(folder_of(source), text, file.id, findings), &mut flags, findings);
                draft.name.0.extend(flags.name.0);
                draft.max_ports.0.extend(flags.max_ports.0);
            }
            if file.kind == Kind::AdvancedConfig
                && !legacy
                && let Some(terms) = erlang::parse(text, file.id, findings)
            {
                advanced::read(&terms, file.id, &mut draft, findings);
            }
            continue;
        }
        match file.kind {
            Kind::AppConfig | Kind::AdvancedConfig => {
                if let Some(terms) = erlang::parse(text, file.id, findings) {
                    environment::read(&terms, file.id, &mut draft, findings);
                    match (file.kind == Kind::AdvancedConfig, has(Kind::VmArgs)) {
                        (true, false) => advanced::read(&terms, file.id, &mut draft, findings),
                        (true, true) => advanced::ignore(&terms, findings),
                        (false, _) => {}
                    }
                }
            }
            Kind::RiakConf => {
                riak_conf::read(&conf::parse_in(folder_of(source), text, file.id, findings), &mut draft, findings)
            }
            Kind::VmArgs => vm_args::read(&args::parse(text, file.id, findings), &mut draft, findings),
        }
    }
    draft.knows_listeners = has(Kind::RiakConf) || has(Kind::AppConfig);
    draft.knows_flags = has(Kind::RiakConf) || has(Kind::VmArgs);
    let style = if !has(Kind::AppConfig) && has(Kind::RiakConf) { Style::RiakConf } else { Style::AppConfig };
    Settings { files: files.iter().map(|file| file.id).collect(), style, ..draft.resolve(findings) }
}

/// The folder from which riak.conf takes in others. A copy under another name has been taken out of its folder.
fn folder_of(source: &SourceFile) -> Option<&Path> {
    let path = Path::new(&source.name);
    let is_in_place = path.file_name().is_some_and(|name| name == Kind::RiakConf.name());
    path.parent().filter(|_| is_in_place)
}

/// What keeps a file from counting, where something does.
fn displaced(kind: Kind, legacy: bool, app_config: bool) -> Option<&'static str> {
    match kind {
        Kind::RiakConf | Kind::AdvancedConfig if legacy => {
            Some("is not in force, because there are app.config and vm.args")
        }
        Kind::AdvancedConfig if app_config => Some("gives no more than the VM's flags, because there is an app.config"),
        Kind::RiakConf if app_config => {
            Some("gives no more than the node's name and the VM's flags, because there is an app.config")
        }
        Kind::RiakConf | Kind::AdvancedConfig | Kind::AppConfig | Kind::VmArgs => None,
    }
}

impl Draft {
    fn resolve(mut self, findings: &mut Findings) -> Settings {
        let mut listeners = listeners::in_force(&mut self, findings);
        let (ip, port) = (self.handoff_ip.last(findings), self.handoff_port.last(findings));
        if (self.knows_listeners || ip.is_some() || port.is_some())
            && let Some((bind, usual)) = usual("handoff")
        {
            listeners.push(Listener {
                service: "handoff",
                setting: place(&port).or_else(|| place(&ip)),
                bind_setting: place(&ip),
                bind: ip.map_or(bind, |ip| ip.value),
                port: port.map_or(usual, |port| port.value),
            });
        }
        if let Some(search) = self.search.last(findings).filter(|search| search.value) {
            for (service, port) in [("solr", self.solr_port), ("solr-jmx", self.jmx_port)] {
                let Some((bind, usual)) = usual(service) else { continue };
                let port = port.last(findings);
                let setting = place(&port).or_else(|| Some((search.name.clone(), search.span)));
                let port = port.map_or(usual, |port| port.value);
                listeners.push(Listener { service, bind, port, setting, bind_setting: None });
            }
        }
        let sources = [self.replication_source.last(findings), self.full_sync.last(findings)];
        let source = sources.into_iter().flatten().find(|setting| setting.value);
        let peers = self.sink_peers.last(findings).into_iter().flat_map(|Setting { value, name, span }| {
            value.into_iter().map(move |value| Setting { value, name: name.clone(), span })
        });
        let replication = Replication {
            source: source.map(|Setting { name, span, .. }| Setting { value: (), name, span }),
            peers: self.peer.last(findings).into_iter().chain(peers).collect(),
        };
        Settings {
            files: Vec::new(),
            style: Style::AppConfig,
            name: self.name.last(findings),
            listeners,
            distribution: Distribution {
                minimum: self.minimum.last(findings),
                maximum: self.maximum.last(findings),
                interface: self.interface.last(findings),
                fixed: self.fixed.last(findings).into_iter().chain(self.node_port.last(findings)).collect(),
            },
            epmd: Epmd {
                port: self.epmd_port.last(findings),
                addresses: self.epmd_addresses.last(findings),
                not_started: self.not_started.last(findings),
            },
            replication,
            max_ports: self.max_ports.last(findings),
            knows_listeners: self.knows_listeners,
            knows_flags: self.knows_flags,
        }
    }
}

/// Where a service of Riak's listens where nothing is set: the profile says.
fn usual(service: &str) -> Option<(Bind, u16)> {
    let service = usual_service("riak", service)?;
    let address = match service.default_bind()? {
        DefaultBind::Everywhere => Ipv4Addr::UNSPECIFIED,
        DefaultBind::Loopback => Ipv4Addr::LOCALHOST,
    };
    let port = service.ports().each().next()?;
    Some((Bind::Address(IpAddr::V4(address)), port))
}

fn place<T>(setting: &Option<Setting<T>>) -> Option<(String, Span)> {
    setting.as_ref().map(|setting| (setting.name.clone(), setting.span))
}
