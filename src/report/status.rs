//! Whether the rules are in force.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::claims::{Claimed, claims_text};
use super::difference::Changes;
use super::host::exposed_text;
use super::kept::LastApplied;
use super::look::Members;
use super::objection::Objection;
use super::others::Others;
use super::together::Together;
use crate::host::deeds::Deed;
use crate::host::judge::{Judgement, Standing};
use crate::host::logged::Logged;
use crate::host::through::firewalld::PANIC;
use crate::host::{Backend, Counters};
use crate::net::{PortRange, Ports};

/// What rules do that only log.
pub const LETS_ON: &str = "nobody is blocked: strangers are logged and let on (`on-block = \"log-only\"`), and isolation is violated on purpose";

/// What there is to say of what is in force.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Status {
    /// What is in force is to the cluster file.
    pub state: Standing,
    /// What `state` will be once the change that waits is confirmed: ringfence's rules in the other way into the kernel stay until then, block
    /// whom they do not know, and are taken away by the confirmation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_once_confirmed: Option<Standing>,
    /// The node that this host is; where there is none, the rules fit every node.
    pub node: Option<String>,
    /// The way into the kernel.
    pub backend: Backend,
    /// The cluster file.
    pub config: PathBuf,
    /// Whether this is about what was applied last, as the cluster file cannot be used.
    pub of_last_apply: bool,
    /// Why that file cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
    /// Whether what is in force was brought in by this program, which brings it back once it is gone. Not where it was loaded by hand, or
    /// by an apply that did not come to its end: then `by_hand` says where, and `state` only what it does. Not where nothing is in force.
    pub applied: bool,
    /// Where the rules are, if `apply` did not bring them there: nothing brings them back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
    /// That the ports are closed for everyone, why, and the way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
    /// What was applied and is there no more, and how it comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
    /// Packets and bytes that were blocked, by service.
    pub blocked: BTreeMap<String, Blocked>,
    /// Packets and bytes of those who are admitted, by whom, where the rules count them: those of iptables do.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub admitted: BTreeMap<String, Blocked>,
    /// Of whom the kernel's log has most lines, where the cluster file has `log`: no more than that writes there and the log keeps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logged: Vec<Logged>,
    /// Whether none of these was: the rules in force log strangers and let them on.
    pub lets_on: bool,
    /// What differs, in words.
    #[serde(skip_serializing_if = "Drift::is_empty")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub drift: Drift,
    /// A change waits to be confirmed, for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_seconds: Option<f64>,
    /// Who applied it, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_by: Option<Deed>,
    /// What it changed, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_changes: Option<Changes>,
    /// Whether its time is up, and it is being taken back in this moment.
    #[serde(skip)]
    pub being_taken_back: bool,
    /// That the last change was taken back, when and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<String>,
    /// Whether it should have been, and not all of it could be: what nobody confirmed is in force in part.
    #[serde(skip)]
    pub not_taken_back: bool,
    /// Whether all protected ports are reserved.
    pub reserved_ports_in_force: bool,
    /// What the node's Erlang VM has open beyond the ports that are guarded.
    pub exposed: Vec<String>,
    /// Whether that could be found out.
    pub erlang_seen: bool,
    /// What `apply` would refuse now, in words.
    pub objections: Vec<String>,
    /// What `apply` would refuse if the cluster file did not allow it.
    pub allowances: Vec<Objection>,
    /// What makes the rules worth less than they say.
    pub warnings: Vec<String>,
    /// What is worth knowing beside it.
    pub notes: Vec<String>,
    /// What others have on the way, and what comes of it.
    pub others: Others,
    /// Programs that load rules of their own when the machine starts.
    pub other_firewalls: Vec<&'static str>,
    /// Whether there are tables of iptables-legacy that no installed tool shows: what is not seen may be in them.
    #[serde(skip)]
    pub is_hidden: bool,
    /// Whether this rests on an earlier complete look since which nothing changed.
    pub unchanged_since: bool,
    /// The version of this program.
    pub version: &'static str,
    /// The SHA-256 of the cluster file, its profile and what it includes that the rules are held against; `null` where there is none.
    pub digest: Option<String>,
    /// When the claims were proved last on what the kernel holds, in UTC: now, or in the look that this rests on; `null` where
    /// they are not proved.
    pub proved_at: Option<String>,
    /// How it is known what the sets in the kernel hold; `null` where there are none of ours.
    pub members: Option<Members>,
    /// What was applied last and not taken back.
    pub last_applied: Option<LastApplied>,
    /// Several clusters that are guarded together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub together: Option<Together>,
}

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Blocked {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Why the rules are not enforced. In JSON it is text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Drift {
    /// What was applied last is in force, and the file is another since.
    pub not_applied: bool,
    /// When the file was changed and when something was applied last, if the first came later, in words.
    pub since: Option<String>,
    /// Other rules of ours, in the other way into the kernel, in words.
    pub beside: Option<String>,
    /// The claims, on what the kernel holds.
    pub claims: Vec<Claimed>,
    /// Interfaces on which somebody is admitted who cannot come in on them, but for the first, which stands with the claims.
    pub vrfs: Vec<String>,
    /// What other firewalls of the host do not let through, or should no more.
    pub openings: Vec<String>,
    /// What the kernel's rules change from those that are wanted.
    pub changes: Option<Changes>,
}

impl Status {
    /// So much is known of what is in force without looking further: what was counted, and a rule that masquerades.
    #[must_use]
    pub fn new(
        state: Standing,
        backend: Backend,
        config: PathBuf,
        counters: &Counters,
        masquerade: Option<String>,
    ) -> Self {
        let blocked = counters.iter().filter_map(|(comment, &(packets, bytes))| {
            Some((comment.strip_prefix("isolation: ")?.to_owned(), Blocked { packets, bytes }))
        });
        let endangered = masquerade.map(|rule| {
            format!("{rule} masquerades: NAT may choose a protected port as a source, and replies to it are lost")
        });
        Self {
            state,
            state_once_confirmed: None,
            node: None,
            backend,
            config,
            of_last_apply: false,
            unusable: None,
            applied: state != Standing::Absent,
            by_hand: None,
            closed: None,
            gone: None,
            blocked: blocked.collect(),
            admitted: BTreeMap::new(),
            logged: Vec::new(),
            lets_on: false,
            drift: Drift::default(),
            pending_seconds: None,
            pending_by: None,
            pending_changes: None,
            being_taken_back: false,
            taken_back: None,
            not_taken_back: false,
            reserved_ports_in_force: state != Standing::Absent,
            exposed: Vec::new(),
            erlang_seen: true,
            objections: Vec::new(),
            allowances: Vec::new(),
            warnings: endangered.into_iter().collect(),
            notes: Vec::new(),
            others: Others::default(),
            other_firewalls: Vec::new(),
            is_hidden: false,
            unchanged_since: false,
            version: env!("CARGO_PKG_VERSION"),
            digest: None,
            proved_at: None,
            members: None,
            last_applied: None,
            together: None,
        }
    }

    /// All of it: the verdict first, then why and what to do, then the numbers.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.verdict();
        text.push_str(&self.what_it_is_about());
        text.push_str(&self.what_helps());
        text.push_str(&self.what_waits());
        text.push_str(&self.what_differs());
        text.push_str(&self.counted());
        text.push_str(&self.beside());
        text
    }

    /// One line: what is in force.
    fn verdict(&self) -> String {
        let who = self.node.as_deref().unwrap_or("every node");
        match (self.state, &self.closed) {
            (Standing::Absent, _) if self.is_hidden => {
                "UNDECIDED: nothing of ringfence is seen in force on this host, and not all is seen\n".to_owned()
            }
            (Standing::Absent, _) => "ABSENT: nothing of ringfence is in force on this host\n".to_owned(),
            (_, Some(closed)) => format!("{closed}\n"),
            (state, None) => {
                let (words, of) = (state.words(), self.config.display());
                let (how, place) = match &self.by_hand {
                    Some(place) => ("IN FORCE, BUT NOT BY apply: ", format!(", in {place}")),
                    None => ("", format!(" ({})", self.backend.name())),
                };
                match self.of_last_apply {
                    false if self.others.panic => format!("{how}{words} for {who}{place}, {of}; {PANIC}\n"),
                    false => format!("{how}{words} for {who}{place}, {of}\n"),
                    true => format!("{how}{words} for {who}{place}, as it was applied last\n"),
                }
            }
        }
    }

    /// How the rules came to be there, and what keeps the file from being used.
    fn what_it_is_about(&self) -> String {
        let mut text = String::new();
        if self.by_hand.is_some() {
            text.push_str(
                "they were loaded by hand, or an apply did not come to its end: nothing brings them back once they are gone; \
                 `ringfence apply` replaces them\n",
            );
        }
        if let Some(why) = self.unusable.as_ref().filter(|_| self.closed.is_none()) {
            let about = if self.of_last_apply { "; this status is about what was applied last" } else { "" };
            // Writing to a String cannot fail.
            let _ =
                writeln!(text, "warning: {why}{about}. Mend the file before the next apply or start of the machine");
        }
        text.push_str(&self.together.as_ref().map(Together::text).unwrap_or_default());
        if self.lets_on {
            let _ = writeln!(text, "{LETS_ON}");
        }
        self.gone.iter().for_each(|gone| _ = writeln!(text, "{gone}"));
        text
    }

    /// What to do where it is not as it should be.
    fn what_helps(&self) -> String {
        let mut text = String::new();
        if self.state == Standing::Undecided {
            let _ = writeln!(text, "{}", self.others.doubt());
        }
        if let Some(note) = self.taken_back.as_ref().filter(|_| self.not_taken_back) {
            let _ = writeln!(text, "{note}");
            text.push_str(
                "what nobody confirmed is in force in part: `ringfence hook check` tries again to take it back, `ringfence apply` keeps it\n",
            );
        } else if let (Standing::Drifted, None) = (self.state, &self.closed) {
            let first = if self.of_last_apply { "once the file is put right, " } else { "" };
            let _ = writeln!(
                text,
                "{first}`ringfence apply` brings in what the file says; `ringfence diff` shows what that changes"
            );
        }
        text
    }

    /// The change that waits to be confirmed.
    fn what_waits(&self) -> String {
        let mut text = match self.pending_seconds {
            Some(0.0) if self.being_taken_back => {
                "NOT CONFIRMED, and the time is up: it is being taken back now\n".to_owned()
            }
            Some(0.0) => {
                "NOT CONFIRMED, and the time is up: `ringfence rollback` takes it back, `ringfence confirm` keeps it\n"
                    .to_owned()
            }
            Some(seconds) => {
                let seconds = seconds.ceil();
                let by = self.pending_by.as_ref().map(|deed| format!("; applied at {} by user {}", deed.at, deed.uid));
                let by = by.unwrap_or_default();
                format!("NOT CONFIRMED: taken back in {seconds} seconds unless you run `ringfence confirm`{by}\n")
            }
            None => String::new(),
        };
        if let Some(changes) = self.pending_changes.as_ref().filter(|_| !self.being_taken_back) {
            text.push_str("what it changed:\n");
            changes.text_on_host(true).lines().for_each(|line| _ = writeln!(text, "  {line}"));
        }
        text
    }

    /// What is not as the file says, and what `apply` says about it.
    fn what_differs(&self) -> String {
        let mut text = exposed_text(&self.exposed);
        self.objections.iter().for_each(|objection| _ = writeln!(text, "{objection}"));
        self.allowances.iter().for_each(|one| _ = writeln!(text, "{}", one.allowance()));
        text.push_str(&self.drift.text());
        if let Some(note) = self.taken_back.as_ref().filter(|_| !self.not_taken_back) {
            let _ = writeln!(text, "{note}");
        }
        text
    }

    /// What the rules counted.
    fn counted(&self) -> String {
        let mut text = String::new();
        let verb = if self.lets_on { "let on:" } else { "blocked:" };
        for (service, Blocked { packets, bytes }) in &self.blocked {
            let _ = writeln!(text, "  {verb:8} {packets:>10} packets {bytes:>12} bytes  {service}");
        }
        for Logged { source, lines, ports } in &self.logged {
            let ports: Ports = ports.iter().filter_map(|port| PortRange::single(*port)).collect();
            let ports: Vec<String> = ports.ranges().iter().map(ToString::to_string).collect();
            let _ = writeln!(
                text,
                "  logged   {lines:>10} lines of the kernel's log from {source}, to {}",
                ports.join(",")
            );
        }
        for (who, Blocked { packets, bytes }) in &self.admitted {
            let _ = writeln!(text, "  admitted {packets:>10} packets {bytes:>12} bytes  {who}");
        }
        text
    }

    /// What is not of the rules themselves.
    fn beside(&self) -> String {
        let mut text = String::new();
        if self.state != Standing::Absent && self.reserved_ports_in_force {
            text.push_str("reserved ports are in force\n");
        }
        self.warnings.iter().for_each(|warning| _ = writeln!(text, "warning: {warning}"));
        self.notes.iter().for_each(|note| _ = writeln!(text, "note: {note}"));
        text.push_str(&self.others.text());
        if !self.other_firewalls.is_empty() {
            let _ = writeln!(
                text,
                "at the start of the machine these load rules of their own: {}",
                self.other_firewalls.join(", ")
            );
        }
        text
    }
}

impl Drift {
    /// Why it is not enforced, as it was judged.
    #[must_use]
    pub fn of(judgement: &Judgement) -> Self {
        let claims = || Claimed::on_host(judgement);
        match judgement.standing {
            Standing::Enforced | Standing::Absent | Standing::Closed => Self::default(),
            Standing::Staged => Self { claims: claims(), ..Self::default() },
            Standing::NotApplied => Self { not_applied: true, ..Self::default() },
            Standing::Undecided | Standing::Drifted => {
                Self { claims: claims(), openings: judgement.openings.clone(), ..Self::default() }
            }
            Standing::Shadowed => {
                let vrfs = judgement.vrfs.iter().skip(1).cloned().collect();
                Self { claims: claims(), vrfs, ..Self::default() }
            }
        }
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.not_applied {
            let since =
                self.since.as_deref().unwrap_or("the cluster file is another than the one that was applied last");
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{since}; what is in force is what was applied: `ringfence diff` shows what the file changes, `ringfence apply` \
                 brings it in"
            );
        }
        self.beside.iter().for_each(|beside| _ = writeln!(text, "{beside}"));
        if !self.claims.is_empty() {
            text.push_str(&claims_text(&self.claims, "what the kernel holds"));
        }
        self.vrfs.iter().for_each(|vrf| _ = writeln!(text, "{vrf}"));
        text.push_str(&self.changes.as_ref().map(Changes::apart).unwrap_or_default());
        if !self.openings.is_empty() {
            text.push_str("what other firewalls of this host let through is not what the file wants:\n");
            self.openings.iter().for_each(|line| _ = writeln!(text, "  {line}"));
        }
        text
    }
}

impl From<Drift> for String {
    fn from(drift: Drift) -> Self {
        drift.text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_taken_back_takes_nobody() {
        let new = Status::new(Standing::Enforced, Backend::Nft, "c.toml".into(), &Counters::default(), None);
        let waits = Status { pending_seconds: Some(0.0), ..new };
        assert!(waits.text().contains("`ringfence rollback` takes it back"));
        let text = Status { being_taken_back: true, ..waits }.text();
        assert!(text.contains("is being taken back now") && !text.contains("rollback"), "{text}");
    }

    #[test]
    fn who_was_blocked_most_is_said() {
        let mut status = Status::new(Standing::Enforced, Backend::Nft, "c.toml".into(), &Counters::default(), None);
        assert!(!status.text().contains("logged"));
        let ports = [4369, 8098, 8099].into();
        status.logged.push(Logged { source: "203.0.113.9".parse().expect("an address"), lines: 12, ports });
        let line = "  logged           12 lines of the kernel's log from 203.0.113.9, to 4369,8098-8099\n";
        assert!(status.text().contains(line), "{}", status.text());
    }
}
