//! What changed since rules or a document of before, by meaning.

use serde::Serialize;

use super::earlier::Earlier;
use super::words::{few, plain};
use super::{Digested, Review};
use crate::report::{Change, Changes};

/// So many changes are told.
const MOST: usize = 20_000;

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Since {
    /// Since what: `rules`, or a `report`, of which only what is named in both is known.
    #[cfg_attr(test, schemars(extend("enum" = ["rules", "report"])))]
    pub of: &'static str,
    /// The files.
    pub texts: Vec<Digested>,
    /// Whether nothing changed at all.
    pub same: bool,
    /// Who fares otherwise.
    pub moves: Vec<Move>,
    /// How many more there are than are named.
    pub more: usize,
    /// Services that were guarded and are no more.
    pub no_longer_guarded: Vec<String>,
    /// Services that are guarded now and were not.
    pub newly_guarded: Vec<String>,
    /// Why that may not be all, where it may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undecided: Option<String>,
}

/// Somebody who fares otherwise than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Move {
    /// Whether somebody gets in, or may, who did not; does no more; or something else changed.
    #[cfg_attr(test, schemars(extend("enum" = ["gains", "loses", "other"])))]
    pub change: &'static str,
    /// Who.
    pub who: String,
    /// What changed.
    pub what: String,
    /// The line of the cluster file behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// A packet that fares otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<String>,
}

/// Whether two ranges of ports have one in common.
fn meet(one: &str, other: &str) -> bool {
    let ends = |text: &str| -> Option<(u16, u16)> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    matches!((ends(one), ends(other)), (Some(one), Some(other)) if one.0 <= other.1 && other.0 <= one.1)
}

impl Since {
    /// Since rules that were in these files.
    #[must_use]
    pub fn rules(changes: &Changes, texts: Vec<Digested>, review: &Review) -> Self {
        let of = |change: &Change, kind: &str| Move {
            change: change.change,
            who: plain(&few(&change.sources, 6, 0)),
            what: plain(&format!("{kind}{}{}", change.services, change.on())),
            because: change.cause.as_deref().map(plain),
            packet: Some(plain(&change.witness)),
        };
        let own = changes.changes.iter().map(|change| of(change, ""));
        let others = changes.others.iter().map(|other| {
            let kind = format!("other packets at {}: ", other.at);
            of(&other.change, &kind)
        });
        let gained = |ports: &[String]| {
            let gains = changes.changes.iter().filter(|change| change.change == "gains");
            gains.flat_map(|change| &change.ports).any(|own| ports.iter().any(|port| meet(own, port)))
        };
        let open = review.unguarded.iter().filter(|own| gained(&own.ports)).map(|own| own.name.clone());
        Self {
            of: "rules",
            texts,
            same: changes.same,
            moves: own.chain(others).collect(),
            more: 0,
            no_longer_guarded: open.collect(),
            newly_guarded: Vec::new(),
            undecided: changes.undecided.as_deref().map(plain),
        }
        .cut()
    }

    /// Since rules that are too large to be compared.
    #[must_use]
    pub fn too_large(texts: Vec<Digested>) -> Self {
        let undecided = Some("the rules of before and of now are too large to be compared".to_owned());
        Self { undecided, same: false, ..Self::rules_alike(texts) }
    }

    fn rules_alike(texts: Vec<Digested>) -> Self {
        let (moves, names) = (Vec::new(), Vec::new);
        Self {
            of: "rules",
            texts,
            same: true,
            moves,
            more: 0,
            no_longer_guarded: names(),
            newly_guarded: names(),
            undecided: None,
        }
    }

    /// Since a document.
    #[must_use]
    pub fn report(before: &Earlier, text: Digested, review: &Review) -> Self {
        let now = Earlier::of(review);
        let (moves, undecided) = before.moves(&now);
        let lacking = |own: &Earlier, other: &Earlier| -> Vec<String> {
            let all = own.services.iter().filter(|one| !other.services.iter().any(|two| one.name == two.name));
            all.map(|own| plain(&format!("{} {}", own.name, own.ports.join(", ")))).collect()
        };
        let moved = |service: &&super::earlier::Service| {
            before.services.iter().any(|old| old.name == service.name && old.ports != service.ports)
        };
        let ports = now.services.iter().filter(moved).map(|own| Move {
            change: "other",
            who: plain(&own.name),
            what: plain(&format!("has other ports now: {}", own.ports.join(", "))),
            because: None,
            packet: None,
        });
        let moves: Vec<Move> = ports.chain(moves).collect();
        let (no_longer_guarded, newly_guarded) = (lacking(before, &now), lacking(&now, before));
        let same = moves.is_empty() && no_longer_guarded.is_empty() && newly_guarded.is_empty() && undecided.is_none();
        Self { of: "report", texts: vec![text], same, moves, more: 0, no_longer_guarded, newly_guarded, undecided }
            .cut()
    }

    fn cut(mut self) -> Self {
        self.more = self.moves.len().saturating_sub(MOST);
        self.moves.truncate(MOST);
        self
    }

    /// The files that it is since.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.texts.iter().map(|text| text.name.as_str()).collect();
        names.join(", ")
    }

    /// What changed, line by line: what is this program's, and what is somebody else's.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        const SHOWN: usize = 1000;
        let mut all: Vec<(&'static str, String)> = Vec::new();
        if self.same {
            all.push(("both mean the same", String::new()));
        }
        all.extend(self.no_longer_guarded.iter().map(|own| ("NO LONGER GUARDED: ", own.clone())));
        all.extend(self.newly_guarded.iter().map(|own| ("guarded now: ", own.clone())));
        for own in self.moves.iter().take(SHOWN) {
            let word = match own.change {
                "gains" => "GAINS: ",
                "loses" => "loses: ",
                _ => "other: ",
            };
            let because = own.because.as_ref().map(|because| format!(" ({because})")).unwrap_or_default();
            let packet = own.packet.as_ref().map(|packet| format!("; for example {packet}")).unwrap_or_default();
            all.push((word, format!("{}: {}{because}{packet}", own.who, own.what)));
        }
        let more = self.moves.len().saturating_sub(SHOWN) + self.more;
        if more > 0 {
            all.push(("and more changes: ", more.to_string()));
        }
        all.extend(self.undecided.iter().map(|why| ("UNDECIDED, that may not be all, because of: ", why.clone())));
        all
    }
}
