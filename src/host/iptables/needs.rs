//! What a ruleset needs of this machine, looked at before anything is changed.
//!
//! The tools and the kernel say little of what is missing (`iptables-restore: line 17 failed`), and some of it only in the
//! middle of a change. That would be taken back, but nobody could put it right.

use std::collections::BTreeSet;

use super::snapshot::Snapshot;
use super::{Error, Tools, Variant, Version};
use crate::dialect::netlink::{Kind, Protocol, Socket, is_known};
use crate::host::nft;

/// The first with `-w` in iptables-restore, with both variants, and with names for them.
const OLDEST: [u32; 2] = [1, 8];
/// Of Ubuntu 20.04; what is written here takes no newer one.
const OLDEST_NFT: [u32; 3] = [0, 9, 3];

/// Looks for the tools' versions, the tables and the extensions.
///
/// # Errors
/// Where something is missing.
pub(super) fn check(tools: &Tools, target: &Snapshot) -> Result<(), Error> {
    for place in target.places.iter().filter(|place| !place.is_empty()) {
        let (variant, version) = (place.variant, place.version);
        let said = tools.version(variant, version)?;
        if version_of(&said).is_some_and(|found| found < OLDEST.to_vec()) {
            return Err(Error::TooOld { tool: version.to_string(), said, oldest: "1.8" });
        }
        match variant {
            Variant::Legacy => legacy_tables(tools, version)?,
            Variant::Nft if has_nf_tables() => {}
            Variant::Nft => return Err(Error::NoNfTables),
        }
        let rules = place.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
        extensions(variant, version, &used(rules.map(String::as_str), variant))?;
    }
    Ok(())
}

/// The numbers of `iptables v1.8.9 (nf_tables)`, `nftables v1.0.6 (…)`.
fn version_of(said: &str) -> Option<Vec<u32>> {
    let word = said.split_whitespace().find_map(|word| word.strip_prefix('v').filter(|rest| rest.contains('.')))?;
    word.split('.').map(|part| part.parse().ok()).collect()
}

/// Whether `nft --version` says a version that does not take our text.
pub(super) fn nft_is_too_old(said: &str) -> bool {
    version_of(said).is_some_and(|found| found < OLDEST_NFT.to_vec())
}

/// Whether the kernel has nf_tables, or does not say.
pub(super) fn has_nf_tables() -> bool {
    !matches!(nft::is_here(), Ok(false))
}

/// Whether the kernel has the old tables: the tool makes them to look, as it would to fill them.
fn legacy_tables(tools: &Tools, version: Version) -> Result<(), Error> {
    for table in super::snapshot::TABLES {
        match tools.test(Variant::Legacy, version, &format!("*{table}\nCOMMIT\n")) {
            Err(Error::Failed { words, .. }) if says_no_table(&words) => {
                let module = match version {
                    Version::V4 => format!("iptable_{table}"),
                    Version::V6 => format!("ip6table_{table}"),
                };
                return Err(Error::NoTable { table: table.to_owned(), module });
            }
            other => other?,
        }
    }
    Ok(())
}

/// What a tool says where a module is missing that could not be asked for before, in words that name it.
pub(super) fn named(error: Error) -> Error {
    let Error::Failed { words, .. } = &error else { return error };
    let quoted = |rest: &str| rest.split('\'').next().unwrap_or_default().to_owned();
    if let Some((_, rest)) = words.split_once("Couldn't load match `") {
        let name = quoted(rest);
        return Error::NoExtension { module: module(&name), name };
    }
    if words.contains("RULE_APPEND failed (No such file or directory)") {
        let name = "iptables-nft's own rules".to_owned();
        return Error::NoExtension { name, module: "one of nft_compat, nft_counter, nft_limit, nft_log".to_owned() };
    }
    error
}

/// iptables-restore says it in one of two ways, by its version (seen: 1.8.7 and 1.8.9).
fn says_no_table(words: &str) -> bool {
    words.contains("Table does not exist") || words.contains("unable to initialize table")
}

/// The extensions that rules name. Some of them iptables-nft says in the words of nf_tables.
fn used<'a>(rules: impl Iterator<Item = &'a str>, variant: Variant) -> BTreeSet<(Kind, &'a str)> {
    let own_words: &[&str] = match variant {
        Variant::Legacy => &[],
        Variant::Nft => &["comment", "limit", "tcp", "udp", "mark"],
    };
    let mut found = BTreeSet::new();
    for rule in rules {
        let words: Vec<&str> = rule.split(' ').collect();
        for pair in words.windows(2) {
            match pair {
                ["-m", name] if !own_words.contains(name) => {
                    found.insert((Kind::Match, *name));
                }
                ["-j", name @ ("LOG" | "NFLOG" | "REJECT")] => {
                    found.insert((Kind::Target, *name));
                }
                _ => {}
            }
        }
    }
    found
}

/// Asks the kernel for each, where it can be asked.
fn extensions(variant: Variant, version: Version, used: &BTreeSet<(Kind, &str)>) -> Result<(), Error> {
    let run = |error: std::io::Error| Error::Run { tool: "the kernel's nft_compat".to_owned(), error };
    // Without nf_tables there are the old tables only, and the tool says what it can.
    let Ok(mut socket) = Socket::open(Protocol::Netfilter) else { return Ok(()) };
    // linux/netfilter.h
    let family = match version {
        Version::V4 => 2,
        Version::V6 => 10,
    };
    for (kind, name) in used {
        match is_known(&mut socket, family, *kind, name).map_err(|error| run(std::io::Error::other(error)))? {
            Some(true) => {}
            Some(false) => return Err(Error::NoExtension { name: (*name).to_owned(), module: module(name) }),
            None if variant == Variant::Nft => {
                let what = "iptables-nft's own rules".to_owned();
                return Err(Error::NoExtension { name: what, module: "nft_compat".to_owned() });
            }
            None => return Ok(()),
        }
    }
    Ok(())
}

fn module(name: &str) -> String {
    match name {
        "frag" => "ip6t_frag".to_owned(),
        "tcp" | "udp" => "xt_tcpudp".to_owned(),
        name => format!("xt_{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_tools_say_them() {
        let read = [
            "iptables v1.8.9 (nf_tables)",
            "iptables v1.4.21",
            "ip6tables v1.10.0 (legacy)",
            "nftables v0.9.3 (Topsy)",
            "?",
        ];
        let found = read.map(version_of);
        let known = [vec![1, 8, 9], vec![1, 4, 21], vec![1, 10, 0], vec![0, 9, 3]].map(Some);
        assert_eq!(found[..4], known);
        assert_eq!(found[4], None);
        assert!(nft_is_too_old("nftables v0.9.2 (Scram)") && !nft_is_too_old("nftables v0.9.3 (Topsy)"));
        assert!(!nft_is_too_old("nftables v1.0.2 (Lester Gooch)") && nft_is_too_old("nftables v0.8.2 (Joe Btfsplk)"));
    }

    #[test]
    fn a_module_that_only_the_tool_misses_is_named() {
        let failed =
            |words: &str| named(Error::Failed { tool: "iptables-restore".into(), words: words.into() }).to_string();
        let one =
            failed("iptables-restore v1.8.7 (nf_tables): Couldn't load match `comment':No such file or directory");
        assert!(one.contains("what it takes for `comment`: its module is xt_comment"), "{one}");
        let other = failed("line 20: RULE_APPEND failed (No such file or directory): rule in chain RINGFENCE");
        assert!(other.contains("nft_counter"), "{other}");
        assert_eq!(failed("no luck"), "iptables-restore failed: no luck");
    }

    #[test]
    fn extensions_are_those_that_the_rules_name() {
        let rules = [
            "-A RINGFENCE -p tcp -m multiport --dports 1,2 -m comment --comment \"x\" -j LOG --log-prefix \"a\"",
            "-A RINGFENCE -j DROP",
        ];
        let names =
            |variant| -> Vec<&str> { used(rules.into_iter(), variant).into_iter().map(|(_, name)| name).collect() };
        assert_eq!(names(Variant::Nft), ["multiport", "LOG"]);
        assert_eq!(names(Variant::Legacy), ["comment", "multiport", "LOG"]);
    }
}
