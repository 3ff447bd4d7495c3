//! By which program's means a table can be changed.

use crate::cluster::Through;
use crate::compile::OpeningShape;
use crate::dialect::firewalld::MAIN_OF_IPTABLES;
use crate::host::iptables::{Tools, Variant, Version, opened};
use crate::host::whole::Everything;
use crate::ir::{Chain, Family, Table, ours};

/// The table of iptables in which packets for this host are filtered.
const FILTER: &str = "filter";

/// Which programs' means reach a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Means {
    /// nft.
    Nft,
    /// iptables over nf_tables.
    IptablesNft,
    /// iptables over its own kernel interface.
    IptablesLegacy,
    /// Another program's, which would take away what is put there.
    Nobody,
}

impl Means {
    /// Whether a choice includes it.
    #[must_use]
    pub fn is_chosen(self, through: Through) -> bool {
        match (through, self) {
            (_, Self::Nobody) | (Through::None | Through::Firewalld | Through::Ufw, _) => false,
            (Through::Auto, _) => true,
            (Through::Nftables, own) => own == Self::Nft,
            (Through::Iptables, own) => matches!(own, Self::IptablesNft | Self::IptablesLegacy),
        }
    }

    /// In whose words.
    #[must_use]
    pub fn shape(self) -> OpeningShape {
        match self {
            Self::Nft => OpeningShape::Nft,
            Self::IptablesNft | Self::IptablesLegacy | Self::Nobody => OpeningShape::Iptables,
        }
    }
}

/// By what each table can be changed.
#[must_use]
pub fn means(everything: &Everything) -> Vec<Means> {
    let tools = Tools::find().ok();
    let nf_tables = everything.handles.len();
    let of = |(at, table): (usize, &Table)| {
        let is_filter = table.name == FILTER && !table.family.has_both();
        let version = if table.family == Family::Ip6 { Version::V6 } else { Version::V4 };
        let can = |variant| tools.as_ref().is_some_and(|tools| opened::can_change(tools, variant, version));
        match at < nf_tables {
            _ if managed_by(table).is_some() || ours::is_table(table) => Means::Nobody,
            true if is_filter && is_of_iptables(table) && can(Variant::Nft) => Means::IptablesNft,
            // iptables-save shows a rule of nft's among its own without what it does not know: loaded again, it is wider.
            true if is_of_iptables(table) => Means::Nobody,
            true => Means::Nft,
            false if is_filter => Means::IptablesLegacy,
            false => Means::Nobody,
        }
    };
    everything.ruleset.tables.iter().enumerate().map(of).collect()
}

/// Whether iptables over nf_tables takes a table for its own: by its family, its name and the names of its chains.
fn is_of_iptables(table: &Table) -> bool {
    let is_named = ["raw", "mangle", "nat", "filter", "security"].contains(&table.name.as_str());
    let has_usual = |chain: &Chain| ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"].contains(&chain.name.as_str());
    !table.family.has_both() && is_named && table.chains.iter().any(has_usual)
}

/// The program that a table belongs to, where it has a way of its own to be told.
#[must_use]
pub fn managed_by(table: &Table) -> Option<Through> {
    let of_ufw = |chain: &Chain| chain.name.starts_with("ufw-") || chain.name.starts_with("ufw6-");
    let of_firewalld = |chain: &Chain| chain.name == "INPUT_direct" || MAIN_OF_IPTABLES.contains(&chain.name.as_str());
    if is_firewallds(table) || table.chains.iter().any(of_firewalld) {
        return Some(Through::Firewalld);
    }
    table.chains.iter().any(of_ufw).then_some(Through::Ufw)
}

/// A table of nft that firewalld makes: beside its rules one while it loads them, and in panic mode (`firewalld_policy_drop`).
fn is_firewallds(table: &Table) -> bool {
    table.name.strip_prefix("firewalld").is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::nft;

    #[test]
    fn tables_of_iptables_are_known_by_their_names() {
        for (text, expected) in [
            ("table ip mangle {\n\tchain INPUT {\n\t\tdrop\n\t}\n}\n", true),
            ("table ip6 raw {\n\tchain PREROUTING {\n\t\tdrop\n\t}\n}\n", true),
            ("table ip filter {\n\tchain INPUT {\n\t\tdrop\n\t}\n}\n", true),
            ("table inet mangle {\n\tchain INPUT {\n\t\tdrop\n\t}\n}\n", false),
            ("table ip mangle {\n\tchain input {\n\t\tdrop\n\t}\n}\n", false),
        ] {
            let ruleset = nft::read(text).unwrap().ruleset;
            assert_eq!(is_of_iptables(&ruleset.tables[0]), expected, "{text}");
            let everything = Everything { ruleset, handles: vec![Default::default()], ..Everything::default() };
            let means = means(&everything);
            let is_filter = text.contains("filter");
            // Nothing of ours goes into the others, for which iptables-save has no words.
            assert_eq!(means[0] == Means::Nobody, expected && !is_filter, "{text}: {means:?}");
        }
    }

    #[test]
    fn tables_of_other_programs_are_theirs() {
        let of =
            |chain: &str| nft::read(&format!("table ip filter {{\n\tchain {chain} {{\n\t}}\n}}\n")).unwrap().ruleset;
        assert_eq!(managed_by(&of("ufw-user-input").tables[0]), Some(Through::Ufw));
        assert_eq!(managed_by(&of("INPUT_ZONES").tables[0]), Some(Through::Firewalld));
        assert_eq!(managed_by(&of("INPUT_POLICIES").tables[0]), Some(Through::Firewalld));
        for (name, expected) in [
            ("firewalld", Some(Through::Firewalld)),
            ("firewalld_policy_drop", Some(Through::Firewalld)),
            ("firewalling", None),
        ] {
            let text = format!("table inet {name} {{\n\tchain raw_output {{\n\t\tdrop\n\t}}\n}}\n");
            let ruleset = nft::read(&text).unwrap().ruleset;
            assert_eq!(managed_by(&ruleset.tables[0]), expected, "{name}");
            let everything = Everything { ruleset, handles: vec![Default::default()], ..Everything::default() };
            assert_eq!(means(&everything)[0] == Means::Nobody, expected.is_some(), "{name}");
        }
        assert_eq!(managed_by(&of("INPUT").tables[0]), None);
    }
}
