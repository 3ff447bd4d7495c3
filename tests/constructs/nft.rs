//! Rules of nft: how they are put into chains, loaded and read back.

use ringfence::dialect::netlink::{Protocol, Scope, Socket, lift, read};
use ringfence::dialect::nft;
use ringfence::ir::Ruleset;

use super::Job;
use super::bench::{Bench, Seen, Spot};
use super::generate::Random;
use super::judge::Form;
use super::lab::netns::attempt;
use super::nft_rules::ROWS;

/// How many chains of several rules are tried.
const CHAINS: usize = 600;

struct Nft {
    rule: String,
    /// What stands in the table besides.
    table: &'static str,
    family: &'static str,
    spot: Spot,
    verdict: &'static str,
}

/// A verdict stands for `V`, or behind the rule where it has none of its own.
fn with(rule: &str, verdict: &str) -> String {
    const DECIDING: [&str; 5] = ["\n", "to_other", "reject", "return", "queue"];
    let text = rule.replace(" V ", &format!(" {verdict} ")).replace(" V,", &format!(" {verdict},"));
    if text != rule || DECIDING.iter().any(|word| rule.contains(word)) { text } else { format!("{text} {verdict}") }
}

impl Job for Nft {
    fn name(&self) -> &str {
        &self.rule
    }

    fn spot(&self) -> Spot {
        self.spot
    }

    fn tracked(&self) -> bool {
        self.rule.contains("ct ") || self.table.contains("ct ")
    }

    fn strict(&self) -> bool {
        // Connections can only be counted where there is one (nft_connlimit_do_eval).
        self.rule.contains("ct count")
    }

    fn text(&self) -> String {
        let (hook, priority) = self.spot.hook();
        let Nft { rule, table, family, verdict, .. } = self;
        let policy = if *verdict == "accept" { "drop" } else { "accept" };
        let table = table.replace(" V\n", &format!(" {verdict}\n"));
        format!(
            "table {family} t {{\n{table}\n\tchain c {{\n\t\ttype filter hook {hook} priority {priority}; policy {policy};\n\
             \t\tiifname \"fence\" accept\n\t\t{}\n\t}}\n}}\n",
            with(rule, verdict)
        )
    }

    fn run(&self, bench: &mut Bench) -> Result<(Vec<Form>, Vec<Seen>), String> {
        let text = self.text();
        let mut forms: Vec<Form> = Vec::new();
        let seen = bench.try_rules(self.families(), |bench| {
            self.load(bench, &text)?;
            // Before any packet: what rules count and fill is to be what was loaded.
            let listing = attempt(&["nft", "list", "table", self.family, "t"], "")?;
            let read = |text: &str| nft::read(text).map(|read| read.ruleset).map_err(|error| error.to_string());
            forms.push(Form { name: "text", ruleset: read(&text), printed: None });
            forms.push(Form { name: "bytecode", ruleset: bytecode(self.family, "t"), printed: None });
            forms.push(Form { name: "listing", ruleset: read(&listing), printed: Some(listing) });
            Ok(())
        })?;
        Ok((forms, seen))
    }

    fn run_printed(&self, bench: &mut Bench, _form: &str, printed: &str) -> Result<Vec<Seen>, String> {
        bench.try_rules(self.families(), |bench| self.load(bench, printed))
    }
}

impl Nft {
    fn families(&self) -> &'static [bool] {
        match self.family {
            "ip" => &[true],
            "ip6" => &[false],
            _ => &[true, false],
        }
    }

    fn load(&self, bench: &mut Bench, text: &str) -> Result<(), String> {
        let old = bench.loaded.clone();
        let away = old.map(|family| format!("delete table {family} t\n")).unwrap_or_default();
        attempt(&["nft", "-f", "-"], &format!("{away}{text}"))?;
        bench.loaded = Some(self.family.to_owned());
        Ok(())
    }
}

/// What the kernel holds of a table.
pub fn bytecode(family: &str, name: &str) -> Result<Ruleset, String> {
    let number = match family {
        "ip" => 2,
        "ip6" => 10,
        _ => 1,
    };
    let mut socket = Socket::open(Protocol::Netfilter).map_err(|error| error.to_string())?;
    let kernel = read(&mut socket, name, Scope::Whole).map_err(|error| error.to_string())?;
    let mut tables = kernel.own.into_iter().chain(kernel.others);
    let table = tables.find(|table| table.name == name && table.family == number).ok_or("no such table")?;
    let lifted = lift(&table).map_err(|error| error.to_string())?.ok_or("no such family")?;
    Ok(Ruleset { tables: vec![lifted.table], unread: lifted.unread, ..Ruleset::default() })
}

/// Every rule in several chains, and behind another one.
pub fn jobs() -> Vec<Box<dyn Job>> {
    let rows: Vec<(&'static str, &'static str)> =
        ROWS.iter().flat_map(|(table, rules)| rules.iter().map(|rule| (*table, *rule))).collect();
    let plain: Vec<&str> =
        rows.iter().filter(|(table, rule)| table.is_empty() && !rule.contains(" V")).map(|(_, rule)| *rule).collect();
    let mut jobs: Vec<Box<dyn Job>> = Vec::new();
    let mut push = |rule: &str, table, family, spot, verdict| {
        jobs.push(Box::new(Nft { rule: rule.to_owned(), table, family, spot, verdict }));
    };
    let ends = ["accept", "drop"];
    for (number, (table, rule)) in rows.into_iter().enumerate() {
        for verdict in ends {
            push(rule, table, "inet", Spot::Input, verdict);
        }
        push(rule, table, "inet", Spot::Prerouting, ends[number % 2]);
        if rule.contains("ct ") || number % 5 == 0 {
            push(rule, table, "inet", Spot::Raw, ends[number / 2 % 2]);
        }
        let own = ["ip6 ", "ip ", "icmpv6 ", "icmp "].iter().find(|own| rule.starts_with(*own));
        if let Some(own) = own {
            let family = if own.contains('6') { "ip6" } else { "ip" };
            push(rule, table, family, Spot::Input, ends[number % 2]);
        }
        // Behind one that stands some way off in the list, so that all kinds come together.
        let other = plain[(number * 7 + 13) % plain.len()];
        if !rule.contains("vmap") {
            push(&format!("{other} {rule}"), table, "inet", Spot::Input, ends[number % 2]);
        }
    }
    // Several rules in one chain, each with a verdict of its own.
    let mut random = Random::new(7);
    for number in 0..CHAINS {
        let rule = |random: &mut Random| {
            let (rule, other) = (*random.pick(&plain), *random.pick(&plain));
            let rule = if random.chance(30) { format!("tcp dport 8098 {rule}") } else { rule.to_owned() };
            let rule = if random.chance(20) { format!("{other} {rule}") } else { rule };
            let verdict = *random.pick(&["accept", "drop", "accept", "drop", "counter"]);
            with(&rule, verdict)
        };
        let rules: Vec<String> = (0..3).map(|_| rule(&mut random)).collect();
        let spot = if random.chance(70) { Spot::Input } else { Spot::Prerouting };
        push(&rules.join("\n\t\t"), "", "inet", spot, ends[number % 2]);
    }
    jobs
}
