//! Rules of iptables: how they are put into chains, loaded and read back.

use ringfence::dialect::{ipset, iptables, nft};
use ringfence::ir::{Family, Ruleset};

use super::Job;
use super::bench::{Bench, IPSETS, Seen, Spot};
use super::iptables_rules::ROWS;
use super::judge::Form;
use super::lab::netns::attempt;

struct Iptables {
    name: String,
    rule: String,
    variant: &'static str,
    ipv4: bool,
    spot: Spot,
    verdict: &'static str,
}

impl Iptables {
    fn table(&self) -> (&'static str, &'static str) {
        match self.spot {
            Spot::Input => ("filter", "INPUT"),
            Spot::Prerouting => ("mangle", "PREROUTING"),
            Spot::Raw => ("raw", "PREROUTING"),
        }
    }

    fn tool(&self, end: &str) -> String {
        format!("{}-{}{end}", if self.ipv4 { "iptables" } else { "ip6tables" }, self.variant)
    }

    fn read(&self, text: &str) -> Result<Ruleset, String> {
        let family = if self.ipv4 { Family::Ip } else { Family::Ip6 };
        let mut ruleset = iptables::read(text, family).map_err(|error| error.to_string())?.ruleset;
        ruleset.sets = ipset::read(IPSETS).map_err(|error| error.to_string())?.0;
        Ok(ruleset)
    }
}

impl Job for Iptables {
    fn name(&self) -> &str {
        &self.name
    }

    fn spot(&self) -> Spot {
        self.spot
    }

    fn tracked(&self) -> bool {
        const TRACKING: [&str; 8] = ["conntrack", "state", "conn", "helper", "socket", "cluster", "TRACK", "ctstate"];
        TRACKING.iter().any(|word| self.rule.contains(word))
    }

    fn strict(&self) -> bool {
        // `hotdrop` of ip6_packet_match and of many a match module, which iptables-nft has, too.
        true
    }

    fn text(&self) -> String {
        let (table, chain) = self.table();
        let verdict = self.verdict.to_uppercase();
        let policy = if self.verdict == "accept" { "DROP" } else { "ACCEPT" };
        let Iptables { rule, .. } = self;
        format!(
            "*{table}\n:{chain} {policy} [0:0]\n-A {chain} -i fence -j ACCEPT\n-A {chain} {rule} -j {verdict}\nCOMMIT\n"
        )
    }

    fn run(&self, bench: &mut Bench) -> Result<(Vec<Form>, Vec<Seen>), String> {
        let (table, chain) = self.table();
        let text = self.text();
        let mut forms: Vec<Form> = Vec::new();
        // Nothing stands in the way of sessions that are to be there before.
        attempt(&[&self.tool("-restore")], &format!("*{table}\n:{chain} ACCEPT [0:0]\nCOMMIT\n"))?;
        let result = bench.try_rules(&[self.ipv4], |_| {
            attempt(&[&self.tool("-restore")], &text)?;
            let save = attempt(&[&self.tool("-save"), "-t", table], "")?;
            let listed = attempt(&[&self.tool(""), "-t", table, "-S"], "")?;
            let form = |name, ruleset, printed| Form { name, ruleset, printed };
            forms.push(form("text", self.read(&text), None));
            forms.push(form("save", self.read(&save), Some(save)));
            forms.push(form("list", self.read(&listed), Some(restorable(table, &listed))));
            if self.variant == "nft" {
                let family = if self.ipv4 { "ip" } else { "ip6" };
                forms.push(form("bytecode", super::nft::bytecode(family, table), None));
                let listing = attempt(&["nft", "list", "table", family, table], "")?;
                let read = nft::read(&listing).map(|read| read.ruleset).map_err(|error| error.to_string());
                forms.push(form("listing by nft", read, Some(listing)));
            }
            Ok(())
        });
        attempt(&[&self.tool("-restore")], &format!("*{table}\n:{chain} ACCEPT [0:0]\nCOMMIT\n"))?;
        Ok((forms, result?))
    }

    fn run_printed(&self, bench: &mut Bench, form: &str, printed: &str) -> Result<Vec<Seen>, String> {
        let (table, chain) = self.table();
        let result = bench.try_rules(&[self.ipv4], |_| {
            if form != "listing by nft" {
                return attempt(&[&self.tool("-restore")], printed).map(|_| ());
            }
            let family = if self.ipv4 { "ip" } else { "ip6" };
            attempt(&["nft", "-f", "-"], &format!("delete table {family} {table}\n{printed}")).map(|_| ())
        });
        attempt(&[&self.tool("-restore")], &format!("*{table}\n:{chain} ACCEPT [0:0]\nCOMMIT\n"))?;
        result
    }
}

/// What `iptables -S` lists, as a table that can be loaded.
fn restorable(table: &str, listed: &str) -> String {
    let policy = |line: &str| line.strip_prefix("-P ").map(|rest| format!(":{rest} [0:0]"));
    let lines: Vec<String> = listed.lines().map(|line| policy(line).unwrap_or_else(|| line.to_owned())).collect();
    format!("*{table}\n{}\nCOMMIT\n", lines.join("\n"))
}

/// Every rule for every family that has it, in several chains, and behind another one.
pub fn jobs(variant: &'static str) -> Vec<Box<dyn Job>> {
    let mut jobs: Vec<Box<dyn Job>> = Vec::new();
    let ends = ["accept", "drop"];
    for ipv4 in [true, false] {
        let only = if ipv4 { "4" } else { "6" };
        let rows: Vec<&str> = ROWS
            .iter()
            .filter(|(families, _)| families.contains(only))
            .flat_map(|(_, rules)| rules.iter().copied())
            .collect();
        for (number, row) in rows.iter().enumerate() {
            let mut push = |rule: String, spot, verdict| {
                let name = format!("{} {rule}", if ipv4 { "-4" } else { "-6" });
                jobs.push(Box::new(Iptables { name, rule, variant, ipv4, spot, verdict }));
            };
            for verdict in ends {
                push((*row).to_owned(), Spot::Input, verdict);
            }
            let spot = if number % 4 == 0 { Spot::Raw } else { Spot::Prerouting };
            push((*row).to_owned(), spot, ends[number % 2]);
            // Only modules may come twice; what may not is refused, and counted as such.
            let other = rows[(number * 5 + 11) % rows.len()];
            let twice = |letter: &str| row.contains(letter) && other.contains(letter);
            if !["-s ", "-d ", "-i ", "-o ", "-p ", "-f"].iter().any(|letter| twice(letter)) {
                push(format!("{other} {row}"), Spot::Input, ends[number % 2]);
            }
        }
    }
    jobs
}
