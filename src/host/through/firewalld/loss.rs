//! What a reload of firewalld would change, besides what is ours.
//!
//! Its files and what it runs with are told apart by its own listings. Bindings of interfaces are left out where NetworkManager keeps
//! them, and those of programs that bring them back after each reload.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::path::Path;
use std::time::Duration;

use super::{ETC, POLICY, SET, firewall_cmd};
use crate::dialect::firewalld::direct::{Direct, direct, has_own_chains, own_rules};
use crate::dialect::iptables::{beyond, rule_line};
use crate::host::HostError;
use crate::host::through::program::runs_by;
use crate::host::whole::Everything;
use crate::ir::{Family, Rule, Ruleset, Table, Verdict, ours, owner};

const NETWORK_MANAGER: &str = "/run/NetworkManager/NetworkManager.pid";

/// Refuses, where anything would change.
pub(super) fn refuse(root: &Path) -> Result<(), HostError> {
    let differences = differences(root)?;
    if differences.is_empty() { Ok(()) } else { Err(HostError::WouldBeLost(differences)) }
}

/// What would change, in words. firewalld sees a moment later that a file is gone, and until then cannot show what it names.
pub(super) fn differences(root: &Path) -> Result<Vec<String>, HostError> {
    const ATTEMPTS: usize = 4;
    const PAUSE: Duration = Duration::from_millis(250);
    let mut found = looked_at(root);
    for _ in 1..ATTEMPTS {
        if !matches!(found, Err(HostError::Through { .. })) {
            break;
        }
        std::thread::sleep(PAUSE);
        found = looked_at(root);
    }
    found
}

fn looked_at(root: &Path) -> Result<Vec<String>, HostError> {
    let has_direct = root.join(ETC).join("direct.xml").exists();
    let mut asked: Vec<Vec<&str>> = Vec::new();
    for what in ["--list-all-zones", "--list-all-policies", "--get-ipsets"] {
        asked.extend([vec![what], vec!["--permanent", what]]);
    }
    for what in DIRECT {
        asked.push(vec!["--direct", what]);
        if has_direct {
            asked.push(vec!["--permanent", "--direct", what]);
        }
    }
    let said = all(&asked)?;
    let answer = |words: &[&str]| {
        let found = asked.iter().zip(&said).find(|(asked, _)| *asked == words);
        found.map_or("", |(_, said)| said.as_str())
    };
    let mut found = Vec::new();
    let keeps_interfaces = runs_by(Path::new(NETWORK_MANAGER), "NetworkManager");
    for (what, list) in [("zone", "--list-all-zones"), ("policy", "--list-all-policies")] {
        let others = |words: &[&str]| {
            let mut blocks = blocks(answer(words), keeps_interfaces);
            if what == "policy" {
                blocks.remove(POLICY);
            }
            blocks
        };
        compare(what, &others(&[list]), &others(&["--permanent", list]), &mut found);
    }
    for what in DIRECT {
        let lines = |words: &[&str]| answer(words).lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let blocks = |lines| BTreeMap::from([(what.trim_start_matches("--get-all-").to_owned(), lines)]);
        compare(
            "direct",
            &blocks(lines(&["--direct", what])),
            &blocks(lines(&["--permanent", "--direct", what])),
            &mut found,
        );
    }
    let names = |words: &[&str]| -> BTreeSet<String> {
        answer(words).split_whitespace().filter(|name| !name.starts_with(SET)).map(str::to_owned).collect()
    };
    let [_, rules, passthroughs] = DIRECT.map(|what| answer(&["--direct", what]));
    // What is not understood of them leads to a flush all the same.
    let has_direct = DIRECT.iter().any(|what| !answer(&["--direct", what]).trim().is_empty());
    found.extend(flushed(&Everything::read()?.ruleset, &direct(rules, passthroughs), has_direct));
    sets(&names(&["--get-ipsets"]), &names(&["--permanent", "--get-ipsets"]), &mut found)?;
    Ok(found)
}

const DIRECT: [&str; 3] = ["--get-all-chains", "--get-all-rules", "--get-all-passthroughs"];

/// What firewalld flushes with its own where it works by iptables, be it for direct rules only, and does not bring back: rules of others,
/// a ban for example. Docker, libvirt and we bring ours back ourselves.
fn flushed(ruleset: &Ruleset, kept: &[Direct], has_direct: bool) -> Vec<String> {
    let of_iptables = |table: &&Table| {
        table.family != Family::Inet && ["filter", "mangle", "nat", "raw", "security"].contains(&table.name.as_str())
    };
    let tables: Vec<&Table> = ruleset.tables.iter().filter(of_iptables).collect();
    let works_by_iptables = tables.iter().any(|table| has_own_chains(table));
    if !works_by_iptables && !has_direct {
        return Vec::new();
    }
    let mut lost = Vec::new();
    for table in tables {
        for chain in table.chains.iter().filter(|chain| chain.base.is_some()) {
            let of_chain =
                |one: &&Direct| (one.family, &one.table, &one.chain) == (table.family, &table.name, &chain.name);
            let brought: Vec<Rule> = kept.iter().filter(of_chain).map(|one| one.rule.clone()).collect();
            let own = own_rules(&table.name, chain);
            let is_others = |(rule, own): &(&Rule, bool)| !(comes_back(table, rule) || (works_by_iptables && *own));
            let others: Vec<Rule> =
                chain.rules.iter().zip(own).filter(is_others).map(|(rule, _)| rule.clone()).collect();
            for rule in beyond(&others, &brought) {
                let place = || rule.place.as_ref().map(|place| place.text.clone()).unwrap_or_default();
                let words = rule_line(rule).unwrap_or_else(|_| place());
                lost.push(format!("`-t {} -A {} {words}`, which is none of firewalld's", table.name, chain.name));
            }
        }
    }
    lost
}

fn comes_back(table: &Table, rule: &Rule) -> bool {
    let Some(Verdict::Jump(chain) | Verdict::Goto(chain)) = &rule.verdict else { return false };
    let name = format!("{} {}", table.family.name(), table.name);
    ours::is_chain(chain) || ours::is_open(chain) || matches!(owner(&name, chain), Some("Docker" | "libvirt"))
}

/// Asks several things, as many at once as there are processors: each takes its time to start, and none is to run out of the time that
/// it has because of the others.
fn all(asked: &[Vec<&str>]) -> Result<Vec<String>, HostError> {
    let at_once = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut said = Vec::with_capacity(asked.len());
    for some in asked.chunks(at_once) {
        std::thread::scope(|scope| {
            let threads: Vec<_> = some.iter().map(|words| scope.spawn(|| firewall_cmd(words, ""))).collect();
            let lost = |_| Err(HostError::internal("a thread that asked firewalld did not end"));
            for thread in threads {
                said.push(thread.join().unwrap_or_else(lost)?);
            }
            Ok::<(), HostError>(())
        })?;
    }
    Ok(said)
}

type Blocks = BTreeMap<String, BTreeSet<String>>;

/// The listing of zones or policies: what each has, with its name before it.
fn blocks(text: &str, keeps_interfaces: bool) -> Blocks {
    let mut blocks = Blocks::new();
    let mut own = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if !line.starts_with(char::is_whitespace) {
            own = line.split_whitespace().next().unwrap_or_default().to_owned();
            blocks.entry(own.clone()).or_default();
            continue;
        }
        let (key, values) = match line.trim().split_once(':') {
            Some((key, values)) if !line.starts_with('\t') => (key, values),
            _ => ("", line.trim()),
        };
        let comes_back =
            key == "interfaces" && (keeps_interfaces || own.starts_with("docker") || own.starts_with("libvirt"));
        if comes_back {
            continue;
        }
        let block = blocks.entry(own.clone()).or_default();
        if key.is_empty() {
            block.insert(values.to_owned());
        } else {
            block.extend(values.split_whitespace().map(|value| format!("{key} {value}")));
        }
    }
    blocks
}

fn compare(what: &str, runtime: &Blocks, permanent: &Blocks, found: &mut Vec<String>) {
    let nothing = BTreeSet::new();
    let names: BTreeSet<&String> = runtime.keys().chain(permanent.keys()).collect();
    for name in names {
        let (here, there) = (runtime.get(name), permanent.get(name));
        if here.is_none() && there.is_some() {
            found.push(format!("{what} {name} is in its files only"));
            continue;
        }
        if there.is_none() {
            found.push(format!("{what} {name} is at runtime only"));
            continue;
        }
        let (here, there) = (here.unwrap_or(&nothing), there.unwrap_or(&nothing));
        found.extend(here.difference(there).map(|one| format!("{what} {name}: `{one}` at runtime only")));
        found.extend(there.difference(here).map(|one| format!("{what} {name}: `{one}` in its files only")));
    }
}

fn sets(runtime: &BTreeSet<String>, permanent: &BTreeSet<String>, found: &mut Vec<String>) -> Result<(), HostError> {
    found.extend(runtime.difference(permanent).map(|name| format!("ipset {name} is at runtime only")));
    found.extend(permanent.difference(runtime).map(|name| format!("ipset {name} is in its files only")));
    let both: Vec<String> = runtime.intersection(permanent).map(|name| format!("--ipset={name}")).collect();
    let asked: Vec<Vec<&str>> = both
        .iter()
        .flat_map(|set| [vec![set.as_str(), "--get-entries"], vec!["--permanent", set.as_str(), "--get-entries"]])
        .collect();
    for (set, said) in both.iter().zip(all(&asked)?.chunks(2)) {
        let [here, there] = said else { continue };
        let entries = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
        let (here, there) = (entries(here), entries(there));
        let count = here.symmetric_difference(&there).count();
        if count > 0 {
            let name = set.trim_start_matches("--ipset=");
            found.push(format!("ipset {name}: {count} entries differ"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::iptables::read;

    const RUNTIME: &str = "\
public (active)
  target: default
  interfaces: eth0
  services: ssh http
  rich rules: 
\trule family=\"ipv4\" source address=\"192.0.2.1\" drop

ringfence (active)
  target: default
  rich rules: 
\trule family=\"ipv4\" source ipset=\"open-ringfence-peers4\" port port=\"8098\" protocol=\"tcp\" accept
";
    const PERMANENT: &str = "\
public
  target: default
  interfaces: 
  services: http ssh https
  rich rules: 

work
  target: default
";

    #[test]
    fn what_differs_is_named_and_a_zone_with_our_name_is_the_admins() {
        let mut found = Vec::new();
        compare("zone", &blocks(RUNTIME, true), &blocks(PERMANENT, true), &mut found);
        let expected = [
            "zone public: `rule family=\"ipv4\" source address=\"192.0.2.1\" drop` at runtime only",
            "zone public: `services https` in its files only",
            "zone ringfence is at runtime only",
            "zone work is in its files only",
        ];
        found.sort();
        assert_eq!(found, expected);
        found.clear();
        compare("zone", &blocks(RUNTIME, false), &blocks(RUNTIME, true), &mut found);
        assert_eq!(found, ["zone public: `interfaces eth0` at runtime only"]);
    }

    #[test]
    fn direct_rules_that_nobody_understands_lead_to_a_flush_all_the_same() {
        let text = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 192.0.2.9/32 -j DROP\nCOMMIT\n";
        let ruleset = read(text, Family::Ip).unwrap().ruleset;
        assert!(direct("eb filter INPUT 0 -j DROP\n", "").is_empty());
        assert_eq!(
            flushed(&ruleset, &[], true),
            ["`-t filter -A INPUT -s 192.0.2.9 -j DROP`, which is none of firewalld's"]
        );
        assert!(flushed(&ruleset, &[], false).is_empty());
    }
}
