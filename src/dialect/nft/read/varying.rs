//! Tests of what no packet says: counts, chance, sockets, what connection tracking has noted.

use super::words::Words;
use crate::dialect::xtables;
use crate::ir::{Match, Varying};

/// On what a test or a key that begins here hangs, where no packet says so. Its grammar is looked at elsewhere.
pub fn varying(words: &Words<'_, '_>, start: usize) -> Option<Varying> {
    let (first, second) = (words.word(start), words.word(start + 1));
    Some(match (first, second) {
        ("limit", _) => Varying::Rate,
        ("quota", _) => Varying::Amount,
        ("ct", "count") => Varying::Connections,
        ("numgen" | "jhash" | "symhash", _) | ("meta", "random") => Varying::Chance,
        ("socket", _) => Varying::Socket,
        ("meta", "skuid" | "skgid") | ("skuid" | "skgid", _) => Varying::Owner,
        ("ct", "helper") => Varying::Helper,
        (
            "ct",
            "status" | "zone" | "expiration" | "label" | "bytes" | "packets" | "avgpkt" | "id" | "l3proto" | "protocol"
            | "original" | "reply",
        ) => Varying::Connection,
        ("ether" | "vlan" | "@ll", _) | ("meta", "iiftype" | "oiftype") | ("iiftype" | "oiftype", _) => Varying::Link,
        // nft does not say the options.
        ("xt", "match") => match xtables::varying(words.text_at(start + 2))? {
            Varying::Socket => Varying::SocketWithMark,
            on => on,
        },
        _ => return None,
    })
}

/// The test, without what counts by itself: how much of a quota is used.
pub fn varies(on: Varying, text: &str) -> Match {
    let lasting = match (on, text.split_once(" used ")) {
        (Varying::Amount, Some((lasting, _))) => lasting,
        _ => text,
    };
    Match::varies(on, lasting)
}
