//! How two rulesets differ as texts.

use std::fmt::Write as _;

use crate::dialect::nft::{self, WriteError};
use crate::host::{Backend, InForce};
use crate::ir::{Elements, Ruleset};

/// Two texts, by their names.
#[must_use]
pub fn texts_difference((from, to): (&str, &str), old: &str, new: &str) -> String {
    let mut text =
        similar::TextDiff::from_lines(old, new).unified_diff().context_radius(1).header(from, to).to_string();
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// The rules in force and those that are wanted as nft writes them, without the members of sets.
#[must_use]
pub fn rules_difference(in_force: &InForce, wanted: &Ruleset) -> String {
    if in_force.backend == Backend::Iptables {
        return String::new();
    }
    difference(&in_force.ruleset, &in_force.unknown, wanted)
}

fn difference(in_force: &Ruleset, unknown: &[String], wanted: &Ruleset) -> String {
    let shown = match (plain(in_force), plain(wanted)) {
        (Ok(old), Ok(new)) if unknown.is_empty() => return texts_difference(("in force", "wanted"), &old, &new),
        (old, new) => [old.err(), new.err()].into_iter().flatten().map(|error| error.to_string()),
    };
    let mut text =
        "the rules in force cannot be written as nft does, because these parts of them are not understood:\n"
            .to_owned();
    // Writing to a String cannot fail. What was read and has no words is one of these, too.
    let all = unknown.iter().cloned().chain(shown.filter(|_| unknown.is_empty()));
    all.for_each(|part| _ = writeln!(text, "  {part}"));
    text + "\n"
}

/// Rules alone: no remarks, and sets without their members.
fn plain(ruleset: &Ruleset) -> Result<String, WriteError> {
    let mut ruleset = ruleset.clone();
    ruleset.header.clear();
    for table in &mut ruleset.tables {
        table.sets.sort_by(|a, b| a.name.cmp(&b.name));
        for set in &mut table.sets {
            set.origins.clear();
            set.elements = match set.elements.lasting().0 {
                Elements::Ipv4(_) => Elements::Ipv4(Vec::new()),
                Elements::Ipv6(_) => Elements::Ipv6(Vec::new()),
                Elements::Ports(_)
                | Elements::Endpoints(_)
                | Elements::Dual(..)
                | Elements::Passing(_)
                | Elements::Unknown => Elements::Ports(Vec::new()),
            };
        }
        table.chains.iter_mut().for_each(|chain| chain.remarks.clear());
    }
    let text = nft::write(&ruleset)?;
    let shown = |line: &&str| !line.starts_with('#') && !line.starts_with("delete ") && !line.trim().is_empty();
    // The text makes the table first, and then what is in it.
    let text = text.replacen("\ntable inet ringfence\n", "\n", 1);
    let lines = text.lines().filter(shown).filter(|line| !["\t\telements = {", "\t\t}"].contains(line));
    Ok(lines.fold(String::new(), |text, line| text + line + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule that somebody put into our table by hand, and that nft's writer has no words for, takes nothing away from what is shown.
    #[test]
    fn what_cannot_be_written_is_no_empty_table() {
        let of = |rule: &str| {
            let text = format!("table inet ringfence {{\n\tchain c {{\n\t\t{rule}\n\t}}\n}}\n");
            nft::read(&text).unwrap().ruleset
        };
        let wanted = of("tcp dport 8098 drop");
        assert_eq!(difference(&wanted, &[], &wanted), "");
        for rule in ["limit rate over 5/second drop", "iifgroup 7 accept"] {
            let shown = difference(&of(rule), &[], &wanted);
            assert!(shown.starts_with("the rules in force cannot be written") && !shown.contains("+"), "{shown}");
            assert!(shown.lines().count() >= 2, "{shown}");
        }
        let known = ["`quota` in chain c of table ringfence".to_owned()];
        let shown = difference(&of("quota 5 bytes drop"), &known, &wanted);
        assert_eq!(shown.lines().nth(1), Some("  `quota` in chain c of table ringfence"), "{shown}");
    }
}
