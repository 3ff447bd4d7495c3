//! What applying would do to a host.

use std::fmt::Write as _;

use serde::Serialize;

use super::effect::Effect;
use super::host::{exposed_text, sessions_text};
use super::members::members_text;
use super::objection::Objection;
use super::others::Others;
use super::together::Together;
use crate::host::judge::Standing;
use crate::host::plan::Kind;
use crate::host::{Backend, Changed};

/// What applying a cluster file would do to this host.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Planned {
    /// The node that this host is; where there is none, the rules fit every node.
    pub node: Option<String>,
    /// What is in force is to the cluster file.
    pub state: Standing,
    /// The way into the kernel.
    pub backend: Backend,
    /// Whether nothing of ringfence is in force.
    pub absent: bool,
    /// Whether all that is in force is in the other way into the kernel.
    #[serde(skip)]
    pub elsewhere: bool,
    /// What would be written.
    #[serde(flatten)]
    pub effect: Effect,
    /// Open sessions into protected ports that would be cut.
    pub cut: Vec<String>,
    /// Sessions that this host opened to hosts no longer admitted, which go on.
    pub outgoing: Vec<String>,
    /// What others have on the way, and what comes of it.
    pub others: Others,
    /// Whether that is of the host with what other firewalls are to let through.
    #[serde(skip)]
    pub with_openings: bool,
    /// Where the node's Erlang VM listens and no rule guards.
    pub exposed: Vec<String>,
    /// What speaks against it.
    pub objections: Vec<Objection>,
    /// Several clusters that are guarded together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub together: Option<Together>,
    /// How the texts of the rules differ, without the members of sets.
    #[serde(skip)]
    pub rules: String,
}

impl Planned {
    /// All of it, or the meaning only and not the texts.
    #[must_use]
    pub fn text(&self, meaning_only: bool) -> String {
        let mut text = String::new();
        if self.absent {
            text.push_str("nothing of ringfence is in force on this host\n\n");
        }
        if let Some(place) = self.effect.other_place.as_ref().filter(|_| self.elsewhere) {
            let here = self.backend.name();
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "ringfence's rules stand in {place}; `apply` brings them into {here} and takes those away\n"
            );
        }
        if !meaning_only && self.effect.extent != Changed::Nothing {
            text.push_str(&self.rules);
            text.push_str(&members_text(&self.effect.members));
        }
        let openings = !self.effect.openings.is_empty();
        match openings && self.effect.extent == Changed::Nothing {
            true => text.push_str("the guard stays as it is\n"),
            false => text.push_str(&self.effect.meaning.text_on_host(self.effect.changed)),
        }
        text.push_str(&self.writes_text());
        if !self.cut.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "open sessions into protected ports that are cut: {}", self.cut.len());
            text.push_str(&sessions_text(&self.cut));
        }
        if !self.outgoing.is_empty() {
            let count = self.outgoing.len();
            let _ = writeln!(text, "sessions that this host opened to hosts no longer admitted, which go on: {count}");
            text.push_str(&sessions_text(&self.outgoing));
        }
        text.push_str(&self.together.as_ref().map(Together::text).unwrap_or_default());
        if openings && !self.with_openings && !self.others.answers.is_empty() {
            text.push_str("the answers that follow are of this host as it is, before that is let through:\n");
        }
        text.push_str(&self.others.text());
        text.push_str(&exposed_text(&self.exposed));
        text
    }

    /// What is written besides what changes for somebody.
    fn writes_text(&self) -> String {
        let mut text = String::new();
        for kind in &self.effect.writes {
            // Writing to a String cannot fail.
            match kind {
                Kind::Meaning => {}
                Kind::Behaviour => {
                    let _ = writeln!(text, "what changes all the same: {}", kind.words());
                }
                Kind::OtherBackEnd => {
                    let place = self.effect.other_place.as_deref().unwrap_or("the other back end");
                    let _ = writeln!(text, "{}: {place}", kind.words());
                }
                Kind::Openings => {
                    let _ = writeln!(text, "{}:", kind.words());
                    self.effect.openings.iter().for_each(|line| _ = writeln!(text, "  {line}"));
                }
                Kind::ForeignRules => {
                    let _ = writeln!(text, "{}:", kind.words());
                    self.effect.foreign_rules.iter().for_each(|rule| _ = writeln!(text, "  {rule}"));
                }
                Kind::ReservedPorts => {
                    let lists = [
                        ("that are added", &self.effect.reserved_ports_added),
                        ("that are given back", &self.effect.reserved_ports_released),
                    ];
                    for (verb, ports) in lists.into_iter().filter(|(_, ports)| !ports.is_empty()) {
                        let _ = writeln!(text, "reserved ports {verb}: {ports}");
                    }
                    if self.effect.reserved_ports_file {
                        text.push_str("the file that reserves ports at the start of the machine is written\n");
                    }
                }
            }
        }
        text
    }
}
