//! What an apply did to a host, and what became of it.

use std::fmt::Write as _;

use serde::Serialize;

use super::claims::{Claimed, claims_text};
use super::host::{exposed_text, sessions_of, sessions_text};
use super::look::Members;
use super::others::Others;
use super::status::LETS_ON;
use super::together::Together;
use crate::cluster::Site;
use crate::host::judge::{Judgement, Standing};
use crate::host::{Backend, Changed, apply};

/// On whose word it stands what is in force.
const KERNEL: &str = "what the kernel holds";

/// What an apply did.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Applied {
    /// The node that this host is; where there is none, the rules fit every node.
    pub node: Option<String>,
    /// The way into the kernel.
    pub backend: Backend,
    /// How much changed.
    #[serde(skip)]
    pub changed: Changed,
    /// What is in force now is to the cluster file.
    pub state: Standing,
    /// What `state` will be once the change that waits is confirmed: ringfence's rules in the other way into the kernel stay until then, block
    /// whom they do not know, and are taken away by the confirmation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_once_confirmed: Option<Standing>,
    /// Whether reserved ports were brought up to date.
    #[serde(skip)]
    pub reserved_ports: bool,
    /// Where other rules of ours were that were taken away; for people.
    #[serde(skip)]
    pub taken_away: Option<String>,
    /// Where they still are, until the change is confirmed.
    #[serde(skip)]
    pub to_be_taken_away: Option<String>,
    /// Whether what other firewalls let through was brought up to date; `false` where that was tried and they did not.
    #[serde(skip)]
    pub openings: Option<bool>,
    /// Whether it waits to be confirmed.
    #[serde(skip)]
    pub waits: Option<Waits>,
    /// The claims, on what the kernel holds.
    pub claims: Vec<Claimed>,
    /// How it is known what the sets in the kernel hold.
    pub members: Members,
    /// How many sessions were ended.
    pub ended: usize,
    /// Why some were not.
    pub not_ended: Option<String>,
    /// How many sessions into protected ports are blocked now.
    pub blocked: usize,
    /// Sessions that this host opened to hosts no longer admitted.
    pub outgoing: Vec<String>,
    /// What others have on the way, and what comes of it.
    pub others: Others,
    /// Where the node's Erlang VM listens and no rule guards.
    pub exposed: Vec<String>,
    /// Several clusters that are guarded together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub together: Option<Together>,
}

/// A change waits to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waits {
    /// For so long; `None` where the time was up when the change was done.
    pub seconds: Option<f64>,
    /// Whether sessions that this host opened are ended, too, once it is confirmed.
    pub cut_outgoing: bool,
}

/// What became of a change that was confirmed.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Confirmed {
    /// The node that this host is; where there is none, the rules fit every node.
    pub node: Option<String>,
    /// How many sessions were ended.
    pub ended: usize,
    /// What is in force is to what was confirmed.
    pub state: Standing,
    /// What keeps it from being certain, where it is undecided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// The claims, on what the kernel holds.
    pub claims: Vec<Claimed>,
}

impl Applied {
    /// What was done for a site, and where its Erlang is exposed all the same.
    #[must_use]
    pub fn of(site: &Site<'_>, backend: Backend, applied: &apply::Applied, exposed: Vec<String>) -> Self {
        Self {
            node: site.node_names(),
            backend,
            changed: applied.changed,
            state: applied.judgement.standing,
            state_once_confirmed: applied.judgement.once_confirmed,
            reserved_ports: applied.work.about_ports(),
            taken_away: applied
                .work
                .stale
                .clone()
                .filter(|_| !applied.judgement.left_behind && applied.pending.is_none()),
            to_be_taken_away: applied.work.stale.clone().filter(|_| applied.pending.is_some()),
            openings: match applied.judgement.openings.is_empty() {
                true => Some(true).filter(|_| !applied.work.openings.is_empty()),
                false => Some(false),
            },
            waits: applied.pending.as_ref().map(|pending| Waits {
                seconds: applied.time_left.map(|time| time.as_secs_f64()),
                cut_outgoing: pending.cut_outgoing,
            }),
            claims: Claimed::on_host(&applied.judgement),
            members: Members::of(&applied.in_force.look),
            ended: applied.ended.count,
            not_ended: applied.ended.failed.clone(),
            blocked: applied.sessions.cut.len(),
            outgoing: sessions_of(&applied.sessions.outgoing),
            others: Others::of(&applied.in_force, &applied.judgement.around),
            exposed,
            together: Together::of(site),
        }
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let who = self.node.as_deref().unwrap_or("every node");
        let what = match self.changed {
            Changed::Nothing if self.taken_away.is_some() => "no other rule had to be changed",
            Changed::Nothing if self.openings.is_some() => "no rule of the guard had to be changed",
            Changed::Nothing => "nothing had to be changed",
            Changed::Members => "members of sets changed; rules and their counters were left as they are",
            Changed::Rules => "rules changed",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "in force for {who} ({}): {what}", self.backend.name());
        text.push_str(&self.together.as_ref().map(Together::text).unwrap_or_default());
        match self.state {
            Standing::Enforced | Standing::NotApplied | Standing::Drifted | Standing::Absent | Standing::Closed => {}
            Standing::Staged => {
                let _ = writeln!(text, "STAGED: {LETS_ON}");
            }
            Standing::Shadowed => {
                // What stays until it is confirmed shuts people out, whatever others do.
                let why = match &self.to_be_taken_away {
                    Some(_) => {
                        "ringfence's rules in the other back end shut out somebody whom the file admits, until you run `ringfence confirm`"
                    }
                    None => self.others.headline(),
                };
                let _ = writeln!(text, "SHADOWED: {why}");
            }
            Standing::Undecided => {
                let _ = writeln!(text, "UNDECIDED: {}", self.others.doubt());
            }
        }
        match self.openings {
            Some(true) => text.push_str("what other firewalls of this host let through was brought up to date\n"),
            Some(false) => {
                text.push_str(
                    "DRIFTED: what other firewalls of this host let through could not be brought up to date\n",
                );
            }
            None => {}
        }
        if let Some(place) = &self.taken_away {
            let _ = writeln!(text, "ringfence's rules in {place} were taken away");
        }
        if let Some(place) = &self.to_be_taken_away {
            let _ = writeln!(
                text,
                "ringfence's rules in {place} stay until you run `ringfence confirm`, and block members that they do not know"
            );
        }
        if self.reserved_ports {
            text.push_str("reserved ports were brought up to date\n");
        }
        match self.waits.map(|waits| waits.seconds) {
            Some(Some(seconds)) => {
                let seconds = seconds.ceil();
                let _ =
                    writeln!(text, "NOT CONFIRMED: taken back in {seconds} seconds unless you run `ringfence confirm`");
            }
            Some(None) => text.push_str("NOT CONFIRMED, and the time is up: the change is being taken back\n"),
            None => {}
        }
        text.push_str(&claims_text(&self.claims, KERNEL));
        text.push_str(&self.members.text(self.changed));
        text.push_str(&self.sessions());
        text.push_str(&self.others.text());
        text.push_str(&exposed_text(&self.exposed));
        text
    }

    fn sessions(&self) -> String {
        let mut text = String::new();
        if self.ended > 0 {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "sessions that were cut: {}", self.ended);
        }
        if let Some(why) = &self.not_ended {
            let _ = writeln!(text, "some sessions could not be cut, but get nothing through: {why}");
        }
        if self.waits.is_some() && self.blocked > 0 {
            let cut = self.blocked;
            let _ = writeln!(text, "open sessions that are blocked now, and are reset once you confirm: {cut}");
        }
        let left = self.outgoing.len();
        if left > 0 && self.ended < self.blocked + left {
            let how = match self.waits {
                Some(Waits { cut_outgoing: true, .. }) => "they are ended once you confirm",
                Some(_) => "`ringfence confirm --cut-outgoing` ends them",
                None => "--cut-outgoing with the change ends them, `ss -K dst ADDRESS` does afterwards",
            };
            let _ = writeln!(text, "this host opened sessions to hosts that are no longer admitted; {how}:");
            text.push_str(&sessions_text(&self.outgoing));
        }
        text
    }
}

impl Confirmed {
    /// What was confirmed for a node, with so many sessions ended.
    #[must_use]
    pub fn of(node: Option<String>, ended: usize, judgement: &Judgement) -> Self {
        let doubt =
            (judgement.standing == Standing::Undecided).then(|| Others::of_around(&judgement.around).doubt_and_why());
        Self { node, ended, state: judgement.standing, doubt, claims: Claimed::on_host(judgement) }
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        let who = self.node.as_deref().unwrap_or("every node");
        let cut = if self.ended > 0 { format!("; sessions that were cut: {}", self.ended) } else { String::new() };
        let mut text = format!("confirmed for {who}{cut}\n");
        if self.state != Standing::Enforced {
            let why = self.doubt.as_ref().map(|doubt| format!(": {doubt}")).unwrap_or_default();
            text += &format!("{} all the same{why}\n{}", self.state.words(), claims_text(&self.claims, KERNEL));
        }
        text
    }
}
