//! What was found in the files, and which of it is in force.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::keys::DISTRIBUTION;
use super::{Bind, Distribution, Epmd, Replication, ServiceRange, Setting, Settings, Style, Unheeded, listeners};
use crate::cluster::{DefaultBind, Profile, Service};
use crate::diagnostic::{Code, Diagnostic, Findings, Span};
use crate::net::{PortRange, Ports};

/// How far a setting prevails: the layout first, then the file.
pub(super) type Rank = (Layout, Source);

/// The names of a setting: the older ones, and the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layout {
    /// `riak_core http`.
    Second,
    /// `riak_api http`; what never moved.
    Third,
}

/// The files, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// rabbitmq-env.conf.
    Environment,
    /// riak.conf and rabbitmq.conf.
    Conf,
    /// Erlang terms.
    Config,
    VmArgs,
}

/// An end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    First,
    Last,
}

/// All that was found for one setting, before it is decided which is in force.
#[derive(Clone, Debug)]
pub(super) struct Slot<T>(pub Vec<(Rank, Setting<T>)>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Slot<T> {
    pub fn add(&mut self, rank: Rank, setting: Setting<T>) {
        self.0.push((rank, setting));
    }

    /// Those of the highest rank; the others are noted as overridden.
    pub fn in_force(self, findings: &mut Findings) -> Vec<Setting<T>> {
        let Some(highest) = self.0.iter().map(|(rank, _)| *rank).max() else { return Vec::new() };
        let (kept, overridden): (Vec<_>, Vec<_>) = self.0.into_iter().partition(|(rank, _)| *rank == highest);
        let kept: Vec<Setting<T>> = kept.into_iter().map(|(_, setting)| setting).collect();
        for (_, old) in overridden {
            findings.push(not_in_force(&old, kept.last()));
        }
        kept
    }

    /// Leaves out what is not in force here nor in another slot, where it is noted. One setting may fill both.
    pub fn leave_out_overridden(&mut self, other: &Self) {
        let is_weak = |slot: &Self, rank: Rank| slot.0.iter().any(|(own, _)| *own > rank);
        let noted: Vec<Span> =
            other.0.iter().filter(|(rank, _)| is_weak(other, *rank)).map(|(_, setting)| setting.span).collect();
        let highest = self.0.iter().map(|(rank, _)| *rank).max();
        self.0.retain(|(rank, setting)| Some(*rank) == highest || !noted.contains(&setting.span));
    }

    /// Leaves out what a program derives from a setting of its environment where the file sets it itself: whoever set the one meant
    /// no other.
    pub fn leave_out_derived(&mut self) {
        if self.0.iter().any(|((layout, _), _)| *layout == Layout::Third) {
            self.0.retain(|(rank, _)| *rank != (Layout::Second, Source::Environment));
        }
    }

    /// The one that is in force: of one rank, the last.
    pub fn last(self, findings: &mut Findings) -> Option<Setting<T>> {
        self.in_force(findings).pop()
    }
}

/// Says that a setting is not in force, and which one is.
pub(super) fn not_in_force<T, U>(old: &Setting<T>, new: Option<&Setting<U>>) -> Diagnostic {
    let finding = Diagnostic::new(Code::Overridden, old.span, format!("`{}` is set here, and not in force", old.name));
    match new {
        Some(new) => finding.also(new.span, format!("`{}` is what counts", new.name)),
        None => finding,
    }
}

/// The service and the application of an address and a port that stand apart.
pub(super) type PairName = (&'static str, &'static str);

/// Everything that was found in the files.
pub(super) struct Draft {
    pub profile: &'static Profile,
    pub name: Slot<String>,
    pub peers: Vec<Setting<String>>,
    /// By service. `None`: set to listen nowhere.
    pub listeners: BTreeMap<&'static str, Slot<Option<(Bind, u16)>>>,
    /// Addresses and ports that stand apart and are a listener only together, by service and application.
    pub pairs: BTreeMap<PairName, (Slot<Bind>, Slot<u16>)>,
    /// Addresses and ports that stand apart, each with a default of its own, by service.
    pub halves: BTreeMap<&'static str, (Slot<Bind>, Slot<u16>)>,
    /// Ends of ranges, by service.
    pub ends: BTreeMap<&'static str, (Slot<u16>, Slot<u16>)>,
    /// What a service needs to listen at all, by service.
    pub switches: BTreeMap<&'static str, Slot<bool>>,
    pub minimum: Slot<u16>,
    pub maximum: Slot<u16>,
    /// Ends of a range of the distribution that this release does not take.
    pub unheeded: Vec<[Option<Setting<u16>>; 2]>,
    /// Ports that a service may have beside those that it has anyway, see [`Key::is_sure`](crate::cluster::Key::is_sure).
    pub unsure: Vec<(&'static str, Span)>,
    /// Services of which a file has a list of options: it takes the place of what weaker files say of any of them.
    pub replaced: Vec<&'static str>,
    pub interface: Slot<Bind>,
    pub fixed: Slot<u16>,
    pub node_port: Slot<u16>,
    pub epmd_port: Slot<u16>,
    pub epmd_addresses: Slot<Vec<Bind>>,
    pub not_started: Slot<()>,
    pub max_ports: Slot<u64>,
    pub replication_source: Slot<bool>,
    pub full_sync: Slot<bool>,
    pub peer: Slot<Bind>,
    pub sink_peers: Slot<Vec<Bind>>,
    pub knows_listeners: bool,
    pub knows_flags: bool,
}

impl Draft {
    pub fn of(profile: &'static Profile) -> Self {
        Self {
            profile,
            name: Slot::default(),
            peers: Vec::new(),
            listeners: BTreeMap::new(),
            pairs: BTreeMap::new(),
            halves: BTreeMap::new(),
            ends: BTreeMap::new(),
            switches: BTreeMap::new(),
            minimum: Slot::default(),
            maximum: Slot::default(),
            unheeded: Vec::new(),
            unsure: Vec::new(),
            replaced: Vec::new(),
            interface: Slot::default(),
            fixed: Slot::default(),
            node_port: Slot::default(),
            epmd_port: Slot::default(),
            epmd_addresses: Slot::default(),
            not_started: Slot::default(),
            max_ports: Slot::default(),
            replication_source: Slot::default(),
            full_sync: Slot::default(),
            peer: Slot::default(),
            sink_peers: Slot::default(),
            knows_listeners: false,
            knows_flags: false,
        }
    }

    pub fn add_port(&mut self, service: &'static str, rank: Rank, port: Setting<u16>) {
        if service == DISTRIBUTION {
            self.minimum.add(rank, port.clone());
            self.maximum.add(rank, port);
        } else {
            self.halves.entry(service).or_default().1.add(rank, port);
        }
    }

    pub fn add_address(&mut self, service: &'static str, rank: Rank, bind: Setting<Bind>) {
        if service == DISTRIBUTION {
            self.interface.add(rank, bind);
        } else {
            self.halves.entry(service).or_default().0.add(rank, bind);
        }
    }

    pub fn add_end(&mut self, service: &'static str, half: Half, rank: Rank, port: Setting<u16>) {
        let (first, last) = match service {
            DISTRIBUTION => (&mut self.minimum, &mut self.maximum),
            other => {
                let (first, last) = self.ends.entry(other).or_default();
                (first, last)
            }
        };
        match half {
            Half::First => first.add(rank, port),
            Half::Last => last.add(rank, port),
        }
    }

    pub fn resolve(mut self, findings: &mut Findings) -> Settings {
        let listeners = listeners::in_force(&mut self, findings);
        self.minimum.leave_out_derived();
        self.maximum.leave_out_derived();
        self.maximum.leave_out_overridden(&self.minimum);
        let ranges = self.ranges(findings);
        let sources = [self.replication_source.last(findings), self.full_sync.last(findings)];
        let source = sources.into_iter().flatten().find(|setting| setting.value);
        let peers = self.sink_peers.last(findings).into_iter().flat_map(|Setting { value, name, span }| {
            value.into_iter().map(move |value| Setting { value, name: name.clone(), span })
        });
        let replication = Replication {
            source: source.map(|Setting { name, span, .. }| Setting { value: (), name, span }),
            peers: self.peer.last(findings).into_iter().chain(peers).collect(),
        };
        let distribution = self.profile.service(DISTRIBUTION).map(Service::ports);
        let usual = distribution.and_then(|ports| ports.ranges().first().copied());
        Settings {
            profile: self.profile,
            files: Vec::new(),
            style: Style::AppConfig,
            name: self.name.last(findings),
            members: self.peers,
            listeners,
            ranges,
            distribution: Distribution {
                minimum: self.minimum.last(findings),
                maximum: self.maximum.last(findings),
                usual,
                interface: self.interface.last(findings),
                fixed: self.fixed.last(findings).into_iter().chain(self.node_port.last(findings)).collect(),
                unheeded: self.unheeded.into_iter().filter_map(unheeded).collect(),
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

    /// Of a range of which one end is set the other is as in the profile.
    fn ranges(&mut self, findings: &mut Findings) -> Vec<ServiceRange> {
        let mut ranges = Vec::new();
        for (service, (first, last)) in std::mem::take(&mut self.ends) {
            let (first, last) = (first.last(findings), last.last(findings));
            let usual = self.profile.service(service).and_then(|service| service.ports().ranges().first().copied());
            let set: Vec<(String, Span)> = place(&first).into_iter().chain(place(&last)).collect();
            let begin = first.as_ref().map(|port| port.value).or(usual.map(PortRange::first));
            let end = last.as_ref().map(|port| port.value).or(usual.map(PortRange::last));
            let (Some(begin), Some(end), Some((name, span))) = (begin, end, set.first()) else { continue };
            match PortRange::new(begin, end) {
                Some(range) => {
                    ranges.push(ServiceRange { service, ports: [range].into_iter().collect(), settings: set })
                }
                None => {
                    let message =
                        format!("with `{name}`, the range of `{service}` begins at {begin}, above its end, {end}");
                    let finding = Diagnostic::new(Code::InvertedRange, *span, message);
                    findings.push(finding.help("set both ends, the lower one first"));
                }
            }
        }
        ranges
    }
}

/// A range that another release takes: of one end alone that port.
fn unheeded(ends: [Option<Setting<u16>>; 2]) -> Option<Unheeded> {
    let [first, last] = ends;
    let (begin, end) = (first.as_ref().or(last.as_ref())?.value, last.as_ref().or(first.as_ref())?.value);
    let ports: Ports = PortRange::new(begin, end).into_iter().collect();
    first.or(last).map(|Setting { name, span, .. }| Setting { value: ports, name, span })
}

/// Where a service listens where nothing is set: the profile says.
pub(super) fn usual(service: &Service) -> Option<(Bind, u16)> {
    let address = match service.default_bind()? {
        DefaultBind::Everywhere => Ipv4Addr::UNSPECIFIED,
        DefaultBind::Loopback => Ipv4Addr::LOCALHOST,
    };
    Some((Bind::Address(IpAddr::V4(address)), service.ports().each().next()?))
}

pub(super) fn place<T>(setting: &Option<Setting<T>>) -> Option<(String, Span)> {
    setting.as_ref().map(|setting| (setting.name.clone(), setting.span))
}
