//! How two rulesets differ as texts.

use std::fmt::Write as _;

use crate::dialect::nft;
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
    if !in_force.unknown.is_empty() {
        let mut text = "the rules in force cannot be shown in nft's words; not understood in them:\n".to_owned();
        // Writing to a String cannot fail.
        in_force.unknown.iter().for_each(|part| _ = writeln!(text, "  {part}"));
        return text + "\n";
    }
    texts_difference(("in force", "wanted"), &plain(&in_force.ruleset), &plain(wanted))
}

/// Rules alone: no remarks, and sets without their members.
fn plain(ruleset: &Ruleset) -> String {
    let mut ruleset = ruleset.clone();
    ruleset.header.clear();
    for table in &mut ruleset.tables {
        table.sets.sort_by(|a, b| a.name.cmp(&b.name));
        for set in &mut table.sets {
            set.origins.clear();
            set.elements = match set.elements {
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
    let text = nft::write(&ruleset).unwrap_or_default();
    let shown = |line: &&str| !line.starts_with('#') && !line.starts_with("delete ") && !line.trim().is_empty();
    // The text makes the table first, and then what is in it.
    let text = text.replacen("\ntable inet ringfence\n", "\n", 1);
    let lines = text.lines().filter(shown).filter(|line| !["\t\telements = {", "\t\t}"].contains(line));
    lines.fold(String::new(), |text, line| text + line + "\n")
}
