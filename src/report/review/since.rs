//! What changed since rules of before, by meaning.

use std::net::IpAddr;

use serde::Serialize;

use super::words::{few, plain};
use super::{Digested, Review};
use crate::report::{Change, Changes};
use crate::verify::Families;

/// The most changes that are listed.
const MOST: usize = 20_000;

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Since {
    /// The files of these rules.
    pub texts: Vec<Digested>,
    /// Whether nothing changed at all.
    pub same: bool,
    /// Who fares otherwise: who gains first, and of these whom no line of the cluster file names.
    pub moves: Vec<Move>,
    /// How many more there are than are named.
    pub more: usize,
    /// Services that are declared unused, and whose ports somebody gains.
    pub no_longer_guarded: Vec<String>,
    /// Why that may not be all, where it may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undecided: Option<String>,
}

/// Somebody who fares otherwise than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Move {
    /// Whether somebody gets in who did not, or does no more.
    #[cfg_attr(test, schemars(extend("enum" = ["gains", "loses"])))]
    pub change: &'static str,
    /// Who, the first few.
    pub who: String,
    /// All of them: networks, or ranges that are none.
    pub sources: Vec<String>,
    /// What changed.
    pub what: String,
    /// The line of the cluster file behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// A packet that fares otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<String>,
}

/// Families of which both rules speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// IPv4.
    pub ipv4: bool,
    /// IPv6.
    pub ipv6: bool,
}

impl Compared {
    /// What rules of these families speak of.
    #[must_use]
    pub fn of(families: Families) -> Self {
        let (ipv4, ipv6) = match families {
            Families::Both => (true, true),
            Families::Ipv4 => (true, false),
            Families::Ipv6 => (false, true),
        };
        Self { ipv4, ipv6 }
    }

    /// Of what both speak.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { ipv4: self.ipv4 && other.ipv4, ipv6: self.ipv6 && other.ipv6 }
    }

    fn has(self, source: &str) -> bool {
        if source.contains(':') { self.ipv6 } else { self.ipv4 }
    }

    /// Why the others are not compared.
    fn lacks(self) -> Option<String> {
        let family = match (self.ipv4, self.ipv6) {
            (true, true) => return None,
            (true, false) => "IPv6",
            (false, true) => "IPv4",
            (false, false) => "any family",
        };
        Some(format!("no rules of {family} are in the files of before and of now both, so of it nothing is compared"))
    }
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
    pub fn rules(changes: &Changes, texts: Vec<Digested>, (compared, review): (Compared, &Review)) -> Self {
        let moves = moves(changes, compared);
        let gained = |ports: &[String]| {
            let of = |change: &&Change| change.change == "gains" && change.sources.iter().any(|own| compared.has(own));
            let gains = changes.changes.iter().filter(of);
            gains.flat_map(|change| &change.ports).any(|own| ports.iter().any(|port| meet(own, port)))
        };
        let open = review.unguarded.iter().filter(|own| gained(&own.ports)).map(|own| own.name.clone());
        let undecided = compared
            .lacks()
            .into_iter()
            .chain(changes.undecided.as_deref().map(plain))
            .reduce(|one, other| one + "; " + &other);
        Self {
            texts,
            same: moves.is_empty() && changes.undecided.is_none() && compared.lacks().is_none() && changes.same,
            moves,
            more: 0,
            no_longer_guarded: open.collect(),
            undecided,
        }
        .cut()
    }

    /// Since rules that are too large to be compared.
    #[must_use]
    pub fn too_large(texts: Vec<Digested>) -> Self {
        let undecided = Some("the rules of before and of now are too large to be compared".to_owned());
        Self { texts, same: false, moves: Vec::new(), more: 0, no_longer_guarded: Vec::new(), undecided }
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
        for own in self.moves.iter().take(SHOWN) {
            let word = if own.change == "loses" { "loses: " } else { "GAINS: " };
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

/// All changes as far as they are about families that are compared, those that weigh most first.
pub(super) fn moves(changes: &Changes, compared: Compared) -> Vec<Move> {
    let own = changes.changes.iter().filter_map(|change| moved(change, compared, ""));
    let others = changes.others.iter().filter_map(|other| {
        let kind = format!("other packets at {}: ", other.at);
        moved(&other.change, compared, &kind)
    });
    let mut moves: Vec<Move> = own.chain(others).collect();
    by_weight(&mut moves);
    moves
}

/// Who gains first, of these whom no line of the cluster file names, and of these whose ranges are many or wide: they are told where not all
/// are.
fn by_weight(moves: &mut [Move]) {
    moves.sort_by_cached_key(|own| {
        let single = |source: &String| source.parse::<IpAddr>().is_ok();
        let alone = own.sources.len() == 1 && own.sources.first().is_some_and(single);
        (own.change != "gains", own.because.is_some(), alone)
    });
}

/// A change as far as it is about families that are compared.
fn moved(change: &Change, compared: Compared, kind: &str) -> Option<Move> {
    let sources: Vec<String> = change.sources.iter().filter(|own| compared.has(own)).map(|own| plain(own)).collect();
    if sources.is_empty() {
        return None;
    }
    // The packet that is shown may be of the other family, and so is who is behind it.
    let whole = sources.len() == change.sources.len();
    Some(Move {
        change: change.change,
        who: plain(&few(&sources, 6, 0)),
        sources,
        what: plain(&format!("{kind}{}{}", change.services, change.on())),
        because: change.cause.as_deref().filter(|_| whole).map(plain),
        packet: whole.then(|| plain(&change.witness)),
    })
}
