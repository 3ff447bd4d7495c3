//! What one file takes away of another that was named before it, where that hangs on which tool loads it and how.
//!
//! Files are read dialect by dialect, as if each tool had tables of its own and took nothing away. iptables-nft has its tables in nf_tables,
//! where a `flush ruleset` of nft empties them; and iptables-restore without `--noflush` empties each table that its file names. Whoever
//! judges such files in this order must not rest on what they make together.

use std::collections::BTreeSet;

use crate::dialect::nft;
use crate::prove::Text;

/// A file, and what it says with what it includes.
pub struct Loaded<'a> {
    pub name: &'a str,
    pub dialect: Text,
    pub parts: Vec<&'a str>,
}

/// Why it is not certain what is left of all files, in words for whoever named them.
pub fn doubts(sources: &[Loaded<'_>]) -> Vec<String> {
    let mut doubts = Vec::new();
    for (at, source) in sources.iter().enumerate() {
        let before = sources.get(..at).unwrap_or_default();
        match source.dialect {
            Text::Nft => {
                let clears = source.parts.iter().any(|part| nft::clears_tables_of_iptables(part));
                let of_iptables = before.iter().find(|own| is_of_iptables(own.dialect));
                doubts.extend(of_iptables.filter(|_| clears).map(|own| {
                    format!(
                        "{} takes away what iptables-nft has made of {}: where it is loaded first, name it first",
                        source.name, own.name
                    )
                }));
            }
            Text::Iptables | Text::Ip6tables if !keeps(source) => {
                let own = tables(source);
                if own.len() < stanzas(source).count() {
                    doubts.push(format!(
                        "{} names a table twice: loaded without --noflush the second time empties it first",
                        source.name
                    ));
                }
                let same = |other: &&Loaded<'_>| other.dialect == source.dialect;
                let again = before.iter().filter(same).find_map(|other| {
                    let table = tables(other).intersection(&own).next().copied()?;
                    Some((other, table.to_owned()))
                });
                doubts.extend(again.map(|(other, table)| {
                    format!(
                        "{} names the table {table}, and so does {}: loaded without --noflush it empties that table first; where it is loaded \
                         first, name it first",
                        source.name, other.name
                    )
                }));
            }
            Text::Iptables | Text::Ip6tables | Text::Ipset => {}
        }
    }
    doubts
}

fn is_of_iptables(dialect: Text) -> bool {
    matches!(dialect, Text::Iptables | Text::Ip6tables)
}

/// Whether a text says at its beginning that it is for `--noflush`.
fn keeps(source: &Loaded<'_>) -> bool {
    let first = source.parts.first().into_iter().flat_map(|part| part.lines().take(16));
    first.take_while(|line| line.starts_with('#')).any(|line| line.contains("-restore --noflush"))
}

fn tables<'a>(source: &Loaded<'a>) -> BTreeSet<&'a str> {
    stanzas(source).collect()
}

/// The name of each table, as often as the text names it.
fn stanzas<'a>(source: &Loaded<'a>) -> impl Iterator<Item = &'a str> {
    let lines = source.parts.iter().flat_map(|part| part.lines());
    lines.filter_map(|line| line.strip_prefix('*')).map(str::trim)
}
