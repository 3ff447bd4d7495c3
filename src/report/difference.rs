//! What changes for somebody.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::Serialize;

use super::origin::Behind;
use crate::cluster::{Cluster, Site};
use crate::diff::{self, Difference};
use crate::ir::Elements;
use crate::net::Interface;
use crate::semantics::Door;

/// What changes from one ruleset to another, by meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Changes {
    /// Whether both mean the same.
    pub same: bool,
    /// New connections that get through now, or do no longer.
    pub changes: Vec<Change>,
    /// Packets of other kinds whose fate changes, and that no change above explains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Other>,
    /// A packet for which it cannot be said; where there is none, the part of the rules because of which it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undecided: Option<String>,
    /// A part of the rules that is not judged, and that may make a difference.
    #[serde(skip)]
    pub unjudged: Option<String>,
}

/// Some sources gain or lose some ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Change {
    /// `gains` or `loses`.
    #[cfg_attr(test, schemars(extend("enum" = ["gains", "loses"])))]
    pub change: &'static str,
    /// Where from: networks, or ranges that are none.
    pub sources: Vec<String>,
    /// To which ports.
    pub ports: Vec<String>,
    /// On which interfaces, of those that a rule names; empty for all there are.
    pub interfaces: Vec<String>,
    /// Whether also on interfaces that no rule names.
    pub other_interfaces: bool,
    /// A packet whose fate changes.
    pub witness: String,
    /// Who of the cluster file is behind it, and the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The ports by the names of the services that have them.
    #[serde(skip)]
    pub services: String,
    /// The sources in words, where nobody in the cluster file is behind it and they reach to both ends of the address space.
    #[serde(skip)]
    pub everyone: Option<String>,
}

/// Packets of other kinds whose fate changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Other {
    /// Where they are judged: `prerouting` or `input`.
    #[cfg_attr(test, schemars(extend("enum" = ["prerouting", "input"])))]
    pub at: &'static str,
    /// Which packets; of some only those like the witness.
    #[serde(flatten)]
    pub change: Change,
}

/// What the cluster files call things: the old one and the new one.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// Where there is one.
    pub clusters: [Option<&'a Cluster>; 2],
}

impl Names<'_> {
    /// The ports by the names of the services that have them, as far as these cover them.
    fn ports(&self, change: &diff::Change) -> String {
        for cluster in self.clusters.iter().flatten() {
            let site = Site::of_every_node(cluster);
            let guarded = site.services().iter().filter(|service| service.service.is_guarded());
            let inside: Vec<_> =
                guarded.filter(|service| service.ports.each().all(|port| change.ports.has(port))).collect();
            let count: u32 = inside.iter().map(|service| service.ports.count()).sum();
            if count == change.ports.count() && count > 0 {
                return inside.iter().map(|service| service.service.name()).collect::<Vec<_>>().join(", ");
            }
        }
        if change.ports.count() == u32::from(u16::MAX) {
            "every port".to_owned()
        } else {
            format!("port {}", change.ports)
        }
    }
}

impl Changes {
    /// What was found, in the words of these cluster files.
    #[must_use]
    pub fn of(found: &Difference, names: Names<'_>) -> Self {
        // Which line of a cluster file is behind a change: of the new one behind what is gained, of the old one behind what is lost.
        let [old, new] = names.clusters.map(|cluster| cluster.map(Behind::of));
        let cause = |change: &diff::Change| {
            let side = if change.gains { &new } else { &old };
            side.as_ref().and_then(|behind| behind.line(&change.sources, &change.ports))
        };
        let change = |change: &diff::Change| Change {
            everyone: everyone(&change.sources).filter(|_| cause(change).is_none()),
            change: if change.gains { "gains" } else { "loses" },
            sources: change.sources.iter().map(|&(first, last)| range(first, last)).collect(),
            ports: change.ports.ranges().iter().map(ToString::to_string).collect(),
            interfaces: change.interfaces.iter().map(Interface::to_string).collect(),
            other_interfaces: change.elsewhere,
            witness: change.witness.to_string(),
            cause: cause(change),
            services: names.ports(change),
        };
        Self {
            same: found.is_empty(),
            changes: found.changes.iter().map(change).collect(),
            others: found
                .others
                .iter()
                .map(|other| Other {
                    at: if other.door == Door::Input { "input" } else { "prerouting" },
                    change: change(&other.change),
                })
                .collect(),
            undecided: found
                .undecided
                .as_ref()
                .map(|(packet, _)| packet.to_string())
                .or_else(|| found.unjudged.clone()),
            unjudged: found.unjudged.clone(),
        }
    }

    /// That nobody gains or loses anything.
    #[must_use]
    pub fn none() -> Self {
        Self { same: true, changes: Vec::new(), others: Vec::new(), undecided: None, unjudged: None }
    }

    /// Of what is in force to what the file says, where these are the changes from the second to the first: in words that do not say
    /// which way something changes, as nothing does.
    #[must_use]
    pub fn apart(&self) -> String {
        let mut text = String::new();
        for change in &self.changes {
            let says = if change.change == "gains" {
                "ADMITTED, though the file does not say so"
            } else {
                "NOT ADMITTED, though the file says so"
            };
            let who = change.cause.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{says}: {}{who}: {}{}", change.sources(), change.services, change.on());
            let _ = writeln!(text, "  for example: {}", change.witness);
        }
        for Other { at, change } in &self.others {
            let fate = if change.change == "gains" { "pass" } else { "are blocked" };
            let (sources, on) = (change.sources(), change.on());
            let _ = writeln!(
                text,
                "packets like the example, from {sources} to {}{on}, {fate} at {at}, unlike what the file says",
                change.services
            );
            let _ = writeln!(text, "  for example: {}", change.witness);
        }
        if let Some(part) = &self.unjudged {
            let _ = writeln!(text, "undecided, because of: {part}");
        } else if let Some(packet) = &self.undecided {
            let _ = writeln!(text, "undecided for some packets, for example {packet}");
        } else if self.changes.is_empty() && self.others.is_empty() {
            text.push_str("who is admitted is as the file says\n");
        }
        text
    }

    /// The same text about a host, where nothing is written unless `changed`: there are no two files of which both could mean the same.
    #[must_use]
    pub fn text_on_host(&self, changed: bool) -> String {
        let nothing =
            self.changes.is_empty() && self.others.is_empty() && self.undecided.is_none() && self.unjudged.is_none();
        match (nothing, changed) {
            (false, _) => self.text(),
            (true, true) => "nobody gains or loses anything\n".to_owned(),
            (true, false) => "no change: what is in force admits and blocks what the file says\n".to_owned(),
        }
    }

    /// Who gains and who loses what, each with an example.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for change in &self.changes {
            // Writing to a String cannot fail.
            let _ = write!(text, "{} {} {}{}", change.sources(), change.change, change.services, change.on());
            let _ = match &change.cause {
                Some(cause) => writeln!(text, " ({cause})"),
                None => writeln!(text),
            };
            let _ = writeln!(text, "  for example: {}", change.witness);
        }
        for Other { at, change } in &self.others {
            let fate = if change.change == "gains" { "pass now" } else { "are blocked now" };
            let (sources, on) = (change.sources(), change.on());
            let _ =
                writeln!(text, "packets like the example, from {sources} to {}{on}, {fate} at {at}", change.services);
            let _ = writeln!(text, "  for example: {}", change.witness);
        }
        if let Some(part) = &self.unjudged {
            let _ = writeln!(text, "undecided, because of: {part}");
            return text;
        }
        match (&self.undecided, self.changes.is_empty() && self.others.is_empty()) {
            (Some(packet), _) => {
                let _ = writeln!(text, "undecided for some packets, for example {packet}");
            }
            (None, true) => text.push_str("both mean the same\n"),
            (None, false) if self.others.is_empty() => text.push_str("nothing else changes\n"),
            (None, false) => {}
        }
        text
    }
}

impl Change {
    fn sources(&self) -> String {
        const NAMED: usize = 6;
        if let Some(everyone) = &self.everyone {
            return everyone.clone();
        }
        let shown: Vec<&str> = self.sources.iter().take(NAMED).map(String::as_str).collect();
        let more = match self.sources.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}{more}", shown.join(", "))
    }

    pub(super) fn on(&self) -> String {
        match (self.interfaces.is_empty(), self.other_interfaces) {
            (true, _) => String::new(),
            (false, false) => format!(" on {}", self.interfaces.join(", ")),
            (false, true) => format!(" on {} and others", self.interfaces.join(", ")),
        }
    }
}

/// In words, ascending ranges that begin with the lowest address of their family and end with the highest, whoever is left out in between.
fn everyone(sources: &[(IpAddr, IpAddr)]) -> Option<String> {
    let is_v4 = |(first, _): &&(IpAddr, IpAddr)| first.is_ipv4();
    let (v4, v6): (Vec<_>, Vec<_>) = sources.iter().partition(is_v4);
    let ends =
        [(&v4, IpAddr::from([0; 4]), IpAddr::from([0xff; 4])), (&v6, IpAddr::from([0; 16]), IpAddr::from([0xff; 16]))];
    let is_whole = |(ranges, lowest, highest): &(&Vec<&(IpAddr, IpAddr)>, IpAddr, IpAddr)| {
        ranges.is_empty()
            || ranges.first().is_some_and(|(first, _)| first == lowest)
                && ranges.last().is_some_and(|(_, last)| last == highest)
    };
    if sources.is_empty() || !ends.iter().all(is_whole) {
        return None;
    }
    let others = if v4.len() > 1 || v6.len() > 1 { " else" } else { "" };
    let family = match (v4.is_empty(), v6.is_empty()) {
        (false, true) => " (IPv4)",
        (true, _) => " (IPv6)",
        (false, false) => "",
    };
    Some(format!("everyone{others}{family}"))
}

fn range(first: IpAddr, last: IpAddr) -> String {
    let networks = match (first, last) {
        (IpAddr::V4(a), IpAddr::V4(b)) => Elements::ipv4(vec![(a.to_bits(), b.to_bits())]).networks(),
        (IpAddr::V6(a), IpAddr::V6(b)) => Elements::ipv6(vec![(a.to_bits(), b.to_bits())]).networks(),
        _ => Vec::new(),
    };
    match networks.as_slice() {
        [one] => one.to_string(),
        _ => format!("{first}-{last}"),
    }
}
