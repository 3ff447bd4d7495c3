//! The rules of others on a host, and what they make of what ours say.

use std::fmt::Write as _;

use serde::Serialize;

use super::whole::{Alike, Answered};
use crate::host::InForce;
use crate::host::around::Around;
use crate::host::through::firewalld::PANIC;

/// What others have on the way, and what comes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Others {
    /// Their base chains that packets for this host meet.
    pub chains: Vec<String>,
    /// Whether they were judged, together with ours.
    pub judged: bool,
    /// The answers that are not as the cluster file wants them, or not certain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answered>,
    /// The programs that made some of them, as far as names tell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<&'static str>,
    /// Whether both kinds of iptables filter here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub doubled: bool,
    /// Whether firewalld drops everything, as the admin wants it (`firewall-cmd --panic-on`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub panic: bool,
    /// What of the cluster file's would let those through who are shut out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Why they were not judged, where that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

impl Others {
    /// What came of looking at what is in force.
    #[must_use]
    pub fn of(in_force: &InForce, around: &Around) -> Self {
        let chains = in_force.others.iter().map(ToString::to_string).collect();
        Self { chains, ..Self::of_around(around) }
    }

    /// The same without their chains.
    #[must_use]
    pub fn of_around(around: &Around) -> Self {
        let others = Self::default();
        match around {
            Around::Nothing => others,
            Around::Answered { answers, programs, doubled, panic, .. } => {
                let (programs, doubled, panic) = (programs.clone(), *doubled, *panic);
                let wanting = answers.iter().filter(|answer| !answer.is_good());
                let remedy = around.remedy().map(|through| {
                    format!("`open-through = \"{}\"` under [guard] lets through whom a final drop keeps out, and nobody else", through.word())
                });
                Self {
                    judged: true,
                    answers: wanting.map(Answered::of).collect(),
                    remedy,
                    programs,
                    doubled,
                    panic,
                    ..others
                }
            }
            Around::Unjudged(why) => Self { because: Some(why.clone()), ..others },
        }
    }

    /// Those who are shut out for certain, or get in, and why, in a line each.
    #[must_use]
    pub fn shadows(&self) -> Vec<String> {
        let certain = self.answers.iter().filter(|answer| answer.shadow).cloned().collect::<Vec<_>>();
        let stopped = self.panic.then(|| PANIC.to_owned());
        stopped.into_iter().chain(Answered::alike(&certain).iter().map(Alike::line)).collect()
    }

    /// What they do for certain, in short.
    #[must_use]
    pub fn headline(&self) -> &'static str {
        if self.panic {
            return PANIC;
        }
        let is = |others| self.answers.iter().any(|answer| answer.shadow && answer.is_about_others() == others);
        match (is(false), is(true)) {
            (true, false) => "rules or routes of others shut out somebody whom the file admits",
            (false, true) => "rules or routes of others let strangers in",
            (true, true) | (false, false) => {
                "rules or routes of others shut out somebody whom the file admits, or let strangers in"
            }
        }
    }

    /// What is not certain because of them, in short.
    #[must_use]
    pub fn doubt(&self) -> &'static str {
        let is = |others| {
            self.answers.iter().any(|answer| !answer.good && !answer.is_certain() && answer.is_about_others() == others)
        };
        match (is(false), is(true)) {
            (true, false) => "it is not certain that everybody whom the file admits gets through",
            (true, true) | (false, _) => "rules of others are not understood",
        }
    }

    /// The same with what keeps it from being certain, where that is not told besides.
    #[must_use]
    pub fn doubt_and_why(&self) -> String {
        let open = |others| {
            self.answers
                .iter()
                .find(move |answer| !answer.is_certain() && !answer.good && answer.is_about_others() == others)
        };
        let because = open(true).or_else(|| open(false)).and_then(|answer| answer.because.as_ref());
        match because.or(self.because.as_ref()) {
            Some(why) => format!("{}: {why}", self.doubt()),
            None => self.doubt().to_owned(),
        }
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.answers.is_empty() {
            text.push_str("on the whole host, with all its rules:\n");
            Answered::alike(&self.answers).iter().for_each(|answer| text.push_str(&answer.text()));
        }
        self.remedy.iter().for_each(|remedy| _ = writeln!(text, "  {remedy}"));
        if self.chains.is_empty() {
            return text;
        }
        // Writing to a String cannot fail.
        let _ = match (self.judged, self.answers.is_empty(), &self.because) {
            (true, true, _) => writeln!(
                text,
                "judged with the rules of others: whoever is admitted gets through and back, and nobody else does; chains of theirs:"
            ),
            (true, false, _) => writeln!(text, "chains of theirs:"),
            (false, _, Some(why)) => {
                writeln!(text, "not judged, because {why}; these may block more, and let in what they rewrite:")
            }
            (false, _, None) => writeln!(text, "not judged; these may block more, and let in what they rewrite:"),
        };
        self.chains.iter().for_each(|chain| _ = writeln!(text, "  {chain}"));
        if !self.programs.is_empty() {
            let _ = writeln!(text, "some of them, or of what they lead to, by {}", self.programs.join(", "));
        }
        if self.doubled {
            text.push_str(
                "warning: iptables-nft and iptables-legacy both filter here, and each shows the rules of its own alone: what one lets \
                 through the other may drop\n",
            );
        }
        text
    }
}
