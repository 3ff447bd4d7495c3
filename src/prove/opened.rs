//! Openings as texts, each read back and judged alone: behind nothing but a policy that drops, whoever is admitted gets through and
//! nobody else does. So they are no wider than the guard where the guard is gone, and as wide as it where it is there.

use super::NotEmitted;
use crate::cluster::Site;
use crate::compile::{Opened, OpeningShape, opened, openings};
use crate::dialect::{self, ipset};
use crate::ir::{
    Base, Chain, ChainKind, ConnectionStates, Family, Hook, Leg, Match, Policy, Rule, Ruleset, Table, Verdict,
};
use crate::net::Surroundings;
use crate::verify::{Answer, whole};

/// The number of ICMPv6 (IANA protocol numbers).
const ICMP6: u8 = 58;
const BOTH: [Leg; 2] = [Leg::In, Leg::Out];

/// Text for `nft -f` that puts the chains into a table.
///
/// # Errors
/// Where it cannot be written, or does not do what it is to.
pub fn opened_nft(site: &Site<'_>, family: Family, table: &str) -> Result<String, NotEmitted> {
    let Opened { sets, chains } = opened(&openings(site), family, OpeningShape::Nft, &BOTH);
    let table = Table { family, name: table.to_owned(), legacy: false, sets, chains };
    let unwritable = |error: dialect::nft::WriteError| NotEmitted::Unwritable(error.to_string());
    let rule = |leg| dialect::nft::rule_line(&table, &Opened::jump(leg, &[])).map_err(unwritable);
    let place = format!("the table {} {}", family.name(), table.name);
    let mut text = String::from("#!/usr/sbin/nft -f\n");
    text.push_str(&remarks(site, &place, [rule(Leg::In)?, rule(Leg::Out)?]));
    text.push_str(&dialect::nft::additions(&table).map_err(unwritable)?);
    let mut read = dialect::nft::read(&format!("add table {} {}\n{text}", family.name(), table.name))?.ruleset;
    let other = match family {
        Family::Inet | Family::Netdev => None,
        Family::Ip => Some(Family::Ip6),
        Family::Ip6 => Some(Family::Ip),
    };
    read.tables.extend(other.map(|other| compiled(site, other)));
    judged(read, site)?;
    Ok(text)
}

/// Texts that put the chains into the table `filter`.
#[derive(Clone, Debug)]
pub struct OpenedIptables {
    /// For `ipset restore`, before the others; empty where there are few sources.
    pub ipset: String,
    /// For `iptables-restore --noflush`.
    pub v4: String,
    /// For `ip6tables-restore --noflush`.
    pub v6: String,
}

/// The same for iptables.
///
/// # Errors
/// Where it cannot be written, or does not do what it is to.
pub fn opened_iptables(site: &Site<'_>) -> Result<OpenedIptables, NotEmitted> {
    let mut all = Ruleset::default();
    for family in [Family::Ip, Family::Ip6] {
        let Opened { sets, chains } = opened(&openings(site), family, OpeningShape::Iptables, &BOTH);
        all.sets.extend(sets);
        all.tables.push(Table { family, name: "filter".to_owned(), legacy: false, sets: Vec::new(), chains });
    }
    let unwritable = |error: dialect::iptables::WriteError| NotEmitted::Unwritable(error.to_string());
    let lead = |leg, base| -> Result<String, NotEmitted> {
        Ok(format!("-A {base} {}", dialect::iptables::rule_line(&Opened::jump(leg, &[])).map_err(unwritable)?))
    };
    let remarks = remarks(site, "the table filter", [lead(Leg::In, "INPUT")?, lead(Leg::Out, "OUTPUT")?]);
    let text = |family| -> Result<String, NotEmitted> {
        let own = all.tables.iter().filter(|table| table.family == family);
        let chains: Vec<&Chain> = own.flat_map(|table| &table.chains).collect();
        let command = if family == Family::Ip { "iptables-restore" } else { "ip6tables-restore" };
        let mut text = format!(
            "# Load it with `{command} --noflush < FILE` only: without --noflush all that others have in the table filter goes.\n\
             {remarks}*filter\n"
        );
        chains.iter().for_each(|chain| text.push_str(&format!(":{} - [0:0]\n", chain.name)));
        for (chain, rule) in chains.iter().flat_map(|chain| chain.rules.iter().map(move |rule| (chain, rule))) {
            let rule = dialect::iptables::rule_line(rule).map_err(unwritable)?;
            text.push_str(&format!("-A {} {rule}\n", chain.name));
        }
        text.push_str("COMMIT\n");
        Ok(text)
    };
    let (v4, v6) = (text(Family::Ip)?, text(Family::Ip6)?);
    let ipset = match all.sets.is_empty() {
        true => String::new(),
        false => ipset::write(&all).map_err(|error| NotEmitted::Unwritable(error.to_string()))?,
    };
    let mut read = dialect::iptables::read(&v4, Family::Ip)?.ruleset;
    read.tables.extend(dialect::iptables::read(&v6, Family::Ip6)?.ruleset.tables);
    read.sets = ipset::read(&ipset)?.0;
    judged(read, site)?;
    Ok(OpenedIptables { ipset, v4, v6 })
}

/// The same judgement of what is put there by other means.
///
/// # Errors
/// Where it does not do what it is to.
pub fn openings_hold(site: &Site<'_>) -> Result<(), NotEmitted> {
    judged(Ruleset { tables: vec![compiled(site, Family::Inet)], ..Ruleset::default() }, site)
}

fn compiled(site: &Site<'_>, family: Family) -> Table {
    let Opened { sets, chains } = opened(&openings(site), family, OpeningShape::Nft, &BOTH);
    Table { family, name: "filter".to_owned(), legacy: false, sets, chains }
}

fn remarks(site: &Site<'_>, place: &str, [comes, goes]: [String; 2]) -> String {
    let (cluster, version) = (site.cluster().name(), env!("CARGO_PKG_VERSION"));
    format!(
        "# Lets through {place} whom the guard of the cluster {cluster} admits, and nobody else.\n\
         # Made by ringfence {version}. Do not edit: change the cluster file and compile again.\n\
         # Nothing leads to these chains yet. Right before the rule that drops the rest of what comes in, or last where the\n\
         # policy drops it, put\n\
         #   {comes}\n\
         # and where what goes out is dropped, too, right before the rule that does it, or last\n\
         #   {goes}\n"
    )
}

/// Judges the chains behind policies that drop.
fn judged(mut ruleset: Ruleset, site: &Site<'_>) -> Result<(), NotEmitted> {
    for table in &mut ruleset.tables {
        table.chains.push(dropping("INPUT", Hook::Input, Leg::In));
        table.chains.push(dropping("OUTPUT", Hook::Output, Leg::Out));
    }
    let answers = whole(&ruleset, site, &Surroundings::default())?;
    match answers.iter().find(|answer| !answer.is_good()) {
        None => Ok(()),
        Some(Answer { who, service, reached, .. }) => {
            Err(NotEmitted::NotOpened(format!("{service}, {who:?}: {reached:?}")))
        }
    }
}

/// A chain that lets what has begun go on, and neighbours find each other, and drops what ours do not let through.
fn dropping(name: &str, hook: Hook, leg: Leg) -> Chain {
    let base = Base { kind: ChainKind::Filter, hook, priority: 0, policy: Policy::Drop, shared: false };
    let states = ConnectionStates::ESTABLISHED;
    let begun = Match::ConnectionState { states, negated: false };
    let goes_on = Rule { matches: vec![begun], verdict: Some(Verdict::Accept), ..Rule::default() };
    let icmp6 = Match::Protocol { number: ICMP6, negated: false };
    let neighbours = Rule { matches: vec![icmp6], verdict: Some(Verdict::Accept), ..Rule::default() };
    Chain { base: Some(base), ..Chain::named(name, vec![goes_on, neighbours, Opened::jump(leg, &[])]) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::{Cluster, parse};

    fn cluster(more: &str) -> Cluster {
        let text = format!(
            "[cluster]\nname = \"c\"\nnodes = [\"a@10.0.0.1\", \"b@10.0.0.2\", \"c@fd00::3\"]\n\
             [services.distribution]\nports = \"6000-6009\"\n[[client]]\nname = \"web\"\n\
             from = [\"10.1.0.0/24\", \"fd01::/64\"]\nservices = [\"http\"]\n\
             [networks]\nprivate = [\"10.0.0.0/24\", \"fd00::/64\"]\nuntrusted = [\"10.1.0.64/26\"]\n{more}"
        );
        parse("cluster.toml", text, Path::new("")).cluster.unwrap()
    }

    #[test]
    fn every_text_lets_through_exactly_whom_the_file_admits() {
        let many: Vec<String> = (0..60).map(|n| format!("\"10.7.{n}.0/25\"")).collect();
        let many = format!("[[client]]\nname = \"many\"\nfrom = [{}]\nservices = [\"http\"]\n", many.join(", "));
        for more in [String::new(), many, "[guard]\ninterfaces = [\"eth0\", \"eth1\"]\n".to_owned()] {
            let cluster = cluster(&more);
            for site in [Site::of_every_node(&cluster), Site::of_node(&cluster, &cluster.nodes()[0])] {
                openings_hold(&site).unwrap();
                for family in [Family::Inet, Family::Ip, Family::Ip6] {
                    opened_nft(&site, family, "filter").unwrap();
                }
                let texts = opened_iptables(&site).unwrap();
                assert_eq!(texts.ipset.is_empty(), !more.contains("many"));
            }
        }
    }

    #[test]
    fn one_that_is_wider_or_narrower_is_not_written() {
        let cluster = cluster("");
        let site = Site::of_node(&cluster, &cluster.nodes()[0]);
        let changes: [fn(&mut Table); 4] = [
            |table| table.chains[0].rules.clear(),
            |table| _ = table.chains[0].rules[0].matches.remove(0),
            |table| _ = table.chains[0].rules[0].matches.pop(),
            |table| table.chains[1].rules.clear(),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut table = compiled(&site, Family::Inet);
            change(&mut table);
            let ruleset = Ruleset { tables: vec![table], ..Ruleset::default() };
            assert!(matches!(judged(ruleset, &site), Err(NotEmitted::NotOpened(_))), "change {number}");
        }
    }
}
