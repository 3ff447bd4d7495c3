//! What the files of one node say about where it listens, whichever of its program's formats they are in.
//!
//! A setting may stand in several files, and under several names of different versions. Each is taken with its rank, and the
//! highest counts; a note names what it overrides, because an admin who changes the wrong one wonders.
//!
//! - vm.args beats app.config (erl(1): flags of the command line beat the configuration file), advanced.config beats riak.conf.
//! - `riak_api` beats `riak_core`, and a list of listeners beats a pair of address and port: the newer layout is in force,
//!   with the exceptions in `listeners`.
//! - app.config and vm.args take the place of what cuttlefish would make of riak.conf and advanced.config, each of its own
//!   part: with both, nothing is left of these two; beside app.config alone, only the node's name and the VM's flags are
//!   (`cuttlefish_escript.erl`, `generate/1`, <https://github.com/Kyorai/cuttlefish>).
//! - Of RabbitMQ, advanced.config beats rabbitmq.conf, the files of conf.d beat it in the order of their names, and rabbitmq-env.conf is the
//!   weakest (seen on 3.10). Its old rabbitmq.config takes the place of both rabbitmq.conf and advanced.config, and conf.d counts still
//!   (`rabbit_prelaunch_conf.erl`, `setup/1` and `find_actual_main_config_file/1`).
//!
//! Which key moves which service is not known here: the profile of the program says (`keys`).

mod advanced;
mod conf;
mod draft;
mod environment;
mod keys;
mod listeners;
mod shell;
#[cfg(test)]
mod tests;
mod values;
mod vm_args;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::files::{File, Kind};
use super::{erlang, riak_conf as conf_file, shell as shell_file, vm_args as args};
use crate::cluster::Profile;
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, SourceFile, Sources, Span};
use crate::net::{PortRange, Ports};
use draft::{Draft, Layout, PairName, Rank, Slot, Source, not_in_force, place, usual};

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
    /// A host name, which the program looks up when it starts.
    Name(String),
}

/// A socket that the program is set to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The service as the profile calls it.
    pub service: &'static str,
    /// Where it listens.
    pub bind: Bind,
    /// The port.
    pub port: u16,
    /// The setting of the port, else that of the address; `None` for the program's own default.
    pub setting: Option<(String, Span)>,
    /// The setting of the address, where it has one.
    pub bind_setting: Option<(String, Span)>,
}

/// The range of ports that a service takes ports from, where it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRange {
    /// The service as the profile calls it.
    pub service: &'static str,
    /// All of them.
    pub ports: Ports,
    /// What sets the ends.
    pub settings: Vec<(String, Span)>,
}

/// A range of the distribution in a place that this release of the program does not heed, and another may.
pub type Unheeded = Setting<Ports>;

/// The range of ports from which Erlang takes its distribution port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// `inet_dist_listen_min`.
    pub minimum: Option<Setting<u16>>,
    /// `inet_dist_listen_max`.
    pub maximum: Option<Setting<u16>>,
    /// What an end is where it is not set, since the program sets it itself: of RabbitMQ, 25672.
    pub usual: Option<PortRange>,
    /// `inet_dist_use_interface`.
    pub interface: Option<Setting<Bind>>,
    /// `-erl_epmd_port`, and `erl_epmd_node_listen_port` of kernel: one port, known to all nodes without epmd. Whether it takes the place of
    /// the range, the release says: the flag does from OTP 23 on, the setting from OTP 27 on (on OTP 25 the setting is not known at all,
    /// as was seen there). Which release runs, no file says, so that both the port and the range may be in use.
    pub fixed: Vec<Setting<u16>>,
    /// Ranges of which it is not known whether they are in force; they are guarded, too.
    pub unheeded: Vec<Unheeded>,
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
    /// riak.conf, or rabbitmq.conf.
    Conf,
    /// app.config and vm.args.
    AppConfig,
    /// RabbitMQ's old rabbitmq.config: rabbitmq.conf and advanced.config are not read beside it.
    RabbitmqConfig,
}

/// The settings of one node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program.
    pub profile: &'static Profile,
    /// The files that they come from.
    pub files: Vec<FileId>,
    /// Which of them to change.
    pub style: Style,
    /// The node's name.
    pub name: Option<Setting<String>>,
    /// The nodes that it is to form a cluster with, where its files name them.
    pub members: Vec<Setting<String>>,
    /// Where it listens, by service and in the order of the files; those that the profile has by default, too, where a file was read that
    /// would say otherwise.
    pub listeners: Vec<Listener>,
    /// Services with a range of ports, where it is set.
    pub ranges: Vec<ServiceRange>,
    /// Its distribution range.
    pub distribution: Distribution,
    /// Its port mapper.
    pub epmd: Epmd,
    /// What other clusters fetch from it.
    pub replication: Replication,
    /// A limit of the VM's port objects, which is no range of TCP ports.
    pub max_ports: Option<Setting<u64>>,
    /// Whether a file was read that says where the services listen. Without, none of them has a default here.
    pub knows_listeners: bool,
    /// Whether a file was read that has the VM's flags: its name, epmd's port, perhaps the range.
    pub knows_flags: bool,
}

impl Bind {
    /// Every interface.
    #[must_use]
    pub fn everywhere() -> Self {
        Self::Address(Ipv4Addr::UNSPECIFIED.into())
    }

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
        let first = value(&self.minimum).or(self.usual.map(PortRange::first));
        let last = value(&self.maximum).or(self.usual.map(PortRange::last));
        let (range, otherwise) = match (first, last) {
            (Some(port), None) => (PortRange::single(port), Range::Unset),
            (Some(first), Some(last)) => (PortRange::new(first, last), Range::Inverted),
            (None, Some(_)) => (None, Range::MaximumOnly),
            (None, None) => (None, Range::Unset),
        };
        range.map_or(otherwise, |range| {
            let unheeded = self.unheeded.iter().flat_map(|one| one.value.ranges()).copied();
            Range::Ports(self.fixed_ports().ranges().iter().copied().chain([range]).chain(unheeded).collect())
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

    /// What has the distribution on this port, where a setting does.
    #[must_use]
    pub fn opens(&self, port: u16) -> Option<Span> {
        let fixed = self.fixed.iter().find(|one| one.value == port).map(|one| one.span);
        let unheeded = || self.unheeded.iter().find(|one| one.value.has(port)).map(|one| one.span);
        let end = |setting: &Option<Setting<u16>>, usual: Option<u16>| setting.as_ref().map(|one| one.value).or(usual);
        let first = end(&self.minimum, self.usual.map(PortRange::first));
        let last = end(&self.maximum, self.usual.map(PortRange::last)).or(first);
        let is_inside = first.zip(last).is_some_and(|(first, last)| (first..=last).contains(&port));
        // Of both ends the one that is set; without any, the program's own range is in force.
        let range = || self.minimum.iter().chain(&self.maximum).next().filter(|_| is_inside).map(|one| one.span);
        fixed.or_else(range).or_else(unheeded)
    }

    /// Where the range is set, if it is.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.bounds().next().map(|setting| setting.span)
    }
}

/// Reads the files of one node of a program.
pub fn read(profile: &'static Profile, files: &[File], sources: &Sources, findings: &mut Findings) -> Settings {
    let mut own = Findings::bounded();
    let settings = read_all(profile, files, sources, &mut own);
    findings.append(own);
    settings
}

fn read_all(profile: &'static Profile, files: &[File], sources: &Sources, findings: &mut Findings) -> Settings {
    let has = |kind| files.iter().any(|file| file.kind == kind);
    let legacy = has(Kind::AppConfig) && has(Kind::VmArgs);
    let mut draft = Draft::of(profile);
    let mut of_rabbit: Vec<conf_file::Entry> = Vec::new();
    for file in files {
        let Some(source) = sources.get(file.id) else { continue };
        let text = source.text.as_str();
        if let Some(message) = displaced(file.kind, legacy, has) {
            let help = "remove the files that are not meant to be in force, and import once more";
            let message = format!("`{}` {message}", source.name);
            findings.push(Diagnostic::new(Code::IgnoredFile, Span::new(file.id, 0..0), message).help(help));
            if file.kind == Kind::RiakConf && !legacy {
                let mut flags = Draft::of(profile);
                let entries = conf_file::parse_in(folder_of(source), text, file.id, findings);
                conf::read(file.kind, &entries, &mut flags, findings);
                draft.name.0.extend(flags.name.0);
                draft.max_ports.0.extend(flags.max_ports.0);
            }
            if file.kind == Kind::AdvancedConfig
                && !legacy
                && !has(Kind::RabbitmqConfig)
                && let Some(terms) = erlang::parse(text, file.id, findings)
            {
                advanced::read(&terms, file.id, &mut draft, findings);
            }
            continue;
        }
        match file.kind {
            Kind::AppConfig | Kind::AdvancedConfig | Kind::RabbitmqConfig => {
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
                let entries = conf_file::parse_in(folder_of(source), text, file.id, findings);
                conf::read(file.kind, &entries, &mut draft, findings);
            }
            Kind::RabbitmqConf | Kind::RabbitmqConfD => of_rabbit.extend(conf_file::parse(text, file.id, findings)),
            Kind::RabbitmqEnv => shell::read(&shell_file::parse(text, file.id), &mut draft, findings),
            Kind::VmArgs => vm_args::read(&args::parse(text, file.id, findings), &mut draft, findings),
        }
    }
    // They are one file to it, and what stands twice counts where it stands last.
    conf::read(Kind::RabbitmqConf, &conf_file::last_of_duplicates(of_rabbit), &mut draft, findings);
    draft.knows_listeners = files.iter().any(|file| has_listeners(file.kind));
    draft.knows_flags = files.iter().any(|file| has_flags(file.kind));
    let conf = has(Kind::RiakConf) || files.iter().any(|file| file.kind.is_of_rabbit());
    let style = match (has(Kind::AppConfig), has(Kind::RabbitmqConfig)) {
        (false, true) => Style::RabbitmqConfig,
        (false, false) if conf => Style::Conf,
        (true, _) | (false, false) => Style::AppConfig,
    };
    Settings { files: files.iter().map(|file| file.id).collect(), style, ..draft.resolve(findings) }
}

/// Whether a file says where services listen, or, where it does not, that they listen as usual.
fn has_listeners(kind: Kind) -> bool {
    match kind {
        Kind::RiakConf | Kind::AppConfig => true,
        Kind::RabbitmqConf | Kind::RabbitmqConfD | Kind::RabbitmqEnv | Kind::RabbitmqConfig => true,
        Kind::AdvancedConfig | Kind::VmArgs => false,
    }
}

/// The same of the node's name and the flags of its VM.
fn has_flags(kind: Kind) -> bool {
    match kind {
        Kind::RiakConf | Kind::VmArgs => true,
        Kind::RabbitmqConf | Kind::RabbitmqConfD | Kind::RabbitmqEnv | Kind::RabbitmqConfig => true,
        Kind::AppConfig | Kind::AdvancedConfig => false,
    }
}

/// The folder from which riak.conf takes in others. A copy under another name has been taken out of its folder.
fn folder_of(source: &SourceFile) -> Option<&Path> {
    let path = Path::new(&source.name);
    let is_in_place = path.file_name().is_some_and(|name| name == Kind::RiakConf.name());
    path.parent().filter(|_| is_in_place)
}

/// What keeps a file from counting, where something does.
fn displaced(kind: Kind, legacy: bool, has: impl Fn(Kind) -> bool) -> Option<&'static str> {
    let app_config = has(Kind::AppConfig);
    match kind {
        Kind::RabbitmqConf | Kind::AdvancedConfig if has(Kind::RabbitmqConfig) => {
            Some("is not in force, because there is a rabbitmq.config, which RabbitMQ reads in its place")
        }
        Kind::RiakConf | Kind::AdvancedConfig if legacy => {
            Some("is not in force, because there are app.config and vm.args")
        }
        Kind::AdvancedConfig if app_config => Some("gives no more than the VM's flags, because there is an app.config"),
        Kind::RiakConf if app_config => {
            Some("gives no more than the node's name and the VM's flags, because there is an app.config")
        }
        Kind::RiakConf | Kind::AdvancedConfig | Kind::AppConfig | Kind::VmArgs => None,
        Kind::RabbitmqConf | Kind::RabbitmqConfD | Kind::RabbitmqEnv | Kind::RabbitmqConfig => None,
    }
}
