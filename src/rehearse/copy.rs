//! This host's own rules and interfaces, for a rehearsal with them: read before the namespace is entered, and loaded in it.
//!
//! What the kernel holds is read as a whole ([`Everything`]), and each part of it is had once more as a text that the part's own tool loads.
//! In the namespace the kernel is asked again, and whatever is not the same there is told.
//!
//! INVARIANT (said): what of this host decides about packets that come in, and is not in the namespace, stands in
//! `Together::not_copied`, and then a rehearsal does not end as one that agrees. IPsec policies and BPF programs of cgroups are not looked
//! for: they only drop.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix::unistd::geteuid;

use super::RehearseError;
use super::load::with_tool;
use super::room::Room;
use crate::host::beside::{Fact, Found, Way, look};
use crate::host::iptables;
use crate::host::links::{Link, links};
use crate::host::whole::{Everything, surroundings};
use crate::ir::{Base, Family, Policy, Ruleset, Table, ours};
use crate::net::Ports;
use crate::prove::Text;

/// The tables that iptables has.
const OF_IPTABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];
/// What of connection tracking rules may hang on, which namespaces have each for themselves.
const SETTINGS: [&str; 4] = [
    "netfilter/nf_conntrack_tcp_loose",
    "netfilter/nf_conntrack_tcp_be_liberal",
    "netfilter/nf_conntrack_helper",
    "netfilter/nf_conntrack_tcp_ignore_invalid_rst",
];

/// A text, and the tool that loads it.
#[derive(Clone, Debug)]
struct Part {
    what: String,
    kind: Text,
    tool: String,
    text: String,
}

/// What this host has.
#[derive(Clone, Debug)]
pub struct HostCopy {
    /// Its interfaces.
    pub(super) links: Vec<Link>,
    /// All its rules but the guard's, as its kernel holds them.
    pub(super) ruleset: Ruleset,
    parts: Vec<Part>,
    settings: BTreeMap<&'static str, String>,
    left_out: Vec<String>,
}

impl HostCopy {
    /// Reads it, and changes nothing. Whoever calls it is not in a [`Room`] yet: afterwards it would read what is in there.
    ///
    /// # Errors
    /// Where one is not root, or the kernel does not tell.
    pub fn read() -> Result<Self, RehearseError> {
        if !geteuid().is_root() {
            return Err(RehearseError::NotRoot);
        }
        let links = links().map_err(|error| RehearseError::system("asking for this host's interfaces", error))?;
        let everything = Everything::read()?;
        let ruleset = without_ours(everything.ruleset);
        let settings = SETTINGS.into_iter().filter_map(|key| Some((key, setting(key)?))).collect();
        let mut copy = Self { links, ruleset, parts: Vec::new(), settings, left_out: Vec::new() };
        copy.left_out.extend(copy.ruleset.unread.iter().map(|what| format!("what is not understood: {what}")));
        copy.left_out.extend(copy.ruleset.neighbours.iter().map(|what| format!("rules for neighbours: {what}")));
        copy.left_out.extend(copy.ruleset.expecting.iter().map(|what| format!("connection tracking: {what}")));
        copy.sets();
        copy.tables();
        copy.routes();
        copy.beside();
        Ok(copy)
    }

    /// The sets of ipset but the guard's.
    fn sets(&mut self) {
        // The tool would load the module, which shows there.
        if self.ruleset.sets.is_empty() && !Path::new("/sys/module/ip_set").exists() {
            return;
        }
        match iptables::printed("ipset", &["save"]) {
            Ok(text) => {
                let theirs = |line: &&str| !line.split(' ').nth(1).is_some_and(ours::is_set);
                let text: String = text.lines().filter(theirs).flat_map(|line| [line, "\n"]).collect();
                if !text.trim().is_empty() {
                    self.part("the sets of ipset", (Text::Ipset, "ipset"), text);
                }
            }
            Err(iptables::Error::Missing { .. }) if self.ruleset.sets.is_empty() => {}
            Err(error) => self.left_out.push(format!("the sets of ipset: {error}")),
        }
    }

    fn tables(&mut self) {
        let tables: Vec<(String, Family, String, bool)> = self
            .ruleset
            .tables
            .iter()
            .map(|table| (called(table), table.family, table.name.clone(), table.legacy))
            .collect();
        for (what, family, name, legacy) in tables {
            if !legacy && !is_plain(&name) {
                self.left_out.push(format!("{what}: nft cannot be asked for a name like that"));
                continue;
            }
            let version = match family {
                Family::Ip => Some((Text::Iptables, "iptables")),
                Family::Ip6 => Some((Text::Ip6tables, "ip6tables")),
                Family::Inet | Family::Netdev => None,
            };
            let saved = version.filter(|_| legacy || OF_IPTABLES.contains(&name.as_str()));
            let done = saved.is_some_and(|(kind, program)| self.saved(&what, kind, program, &name, legacy));
            match (done, legacy) {
                (true, _) => {}
                (false, true) => self.left_out.push(format!("{what}: its tools do not show it")),
                (false, false) => self.listed(&what, family, &name),
            }
        }
    }

    /// A table of iptables, by its tool. Not every table of these names is iptables' own.
    fn saved(&mut self, what: &str, kind: Text, program: &str, table: &str, legacy: bool) -> bool {
        let variant = if legacy { "legacy" } else { "nft" };
        // Distributions with one variant may have it under the plain name alone.
        for name in [format!("{program}-{variant}"), program.to_owned()] {
            // Asked for a table, the old tools make it where it is not there yet: the plain name is asked first which it is.
            let is_new = || {
                iptables::printed(&format!("{name}-save"), &["--version"])
                    .is_ok_and(|text| text.contains("(nf_tables)"))
            };
            if name == *program && is_new() == legacy {
                continue;
            }
            let Ok(text) = iptables::printed(&format!("{name}-save"), &["-t", table]) else { continue };
            let is_it = text.lines().any(|line| line == format!("*{table}")) && !text.contains("is incompatible");
            if is_it {
                let text = text.lines().filter(|line| !is_ours(line)).flat_map(|line| [line, "\n"]).collect();
                self.part(what, (kind, &format!("{name}-restore")), text);
                return true;
            }
        }
        false
    }

    /// A table of nf_tables, by nft.
    fn listed(&mut self, what: &str, family: Family, name: &str) {
        match iptables::printed("nft", &["-s", "list", "table", family.name(), name]) {
            Ok(text) if text.lines().any(|line| is_owned(line.trim())) => {
                self.left_out.push(format!("{what}: a program owns it, and it ends with that"));
            }
            Ok(text) => self.part(what, (Text::Nft, "nft"), text),
            Err(error) => self.left_out.push(format!("{what}: {error}")),
        }
    }

    fn part(&mut self, what: &str, (kind, tool): (Text, &str), text: String) {
        self.parts.push(Part { what: what.to_owned(), kind, tool: tool.to_owned(), text });
    }

    /// Routes are not copied; where they are more than the usual ones, that matters.
    fn routes(&mut self) {
        match surroundings(&self.links) {
            Ok(found) => {
                if found.has_vrfs() {
                    self.left_out.push("VRFs: what comes in by one meets rules twice".to_owned());
                }
                if found.by_policy || found.rules_refuse {
                    self.left_out.push("routing by policy (`ip rule`)".to_owned());
                }
                // Local, broadcast and multicast addresses are refused everywhere.
                if found.refused.iter().any(|refused| refused.in_part) {
                    self.left_out.push("routes that refuse or drop".to_owned());
                }
            }
            Err(error) => self.left_out.push(format!("routes: {error}")),
        }
    }

    /// What stands beside netfilter and drops packets, lets them in or turns them elsewhere is not copied.
    fn beside(&mut self) {
        let matters = |found: &Found| match found {
            Found::Xdp { .. }
            | Found::Filters { way: Way::In, .. }
            | Found::Ipvs { .. }
            | Found::SkLookup { .. }
            | Found::HookProgram { .. }
            | Found::HookFunction { .. }
            | Found::NotLooked { .. } => true,
            // Of packets that come in for this host nothing; of loopback's the namespace takes all; nft lists flowtables.
            Found::Filters { way: Way::Out, .. }
            | Found::Flowtable { .. }
            | Found::RouteLocalnet { .. }
            | Found::Proxy { .. }
            | Found::OtherNamespaces { .. } => false,
        };
        let facts = look(&Ports::default(), &self.links);
        self.left_out.extend(facts.iter().filter(|fact| matters(&fact.found)).map(Fact::message));
    }

    /// The tables of the host that a file of iptables has, too: restored without `--noflush`, as most programs do it, it would empty them first.
    pub(super) fn emptied_by<'r>(&'r self, files: impl Iterator<Item = &'r (Text, String)>) -> Vec<String> {
        let mut all = Vec::new();
        for (kind, text) in files {
            let family = match kind {
                Text::Iptables => Family::Ip,
                Text::Ip6tables => Family::Ip6,
                Text::Nft | Text::Ipset => continue,
            };
            let has = |table: &&Table| {
                table.family == family
                    && text.lines().any(|line| line.trim().strip_prefix('*') == Some(table.name.as_str()))
            };
            let own = self.ruleset.tables.iter().filter(has);
            all.extend(own.map(|table| {
                let what = format!("{} {}", table.family.name(), table.name);
                format!("table {what} as it is without `--noflush`: the files were loaded with it, and would empty that table otherwise")
            }));
        }
        all
    }

    /// Loads it in the room, and says what is not there.
    pub(super) fn load(&self, _room: &Room) -> Result<Vec<String>, RehearseError> {
        let mut left_out = self.left_out.clone();
        for (key, value) in &self.settings {
            super::room::setting(key, value);
        }
        for part in &self.parts {
            if let Err(error) = with_tool(part.kind, &part.tool, &part.text) {
                left_out.push(format!("{}: {error}", part.what));
            }
        }
        // Connection tracking may have come with the rules.
        for (key, value) in &self.settings {
            super::room::setting(key, value);
            if setting(key).as_ref() != Some(value) {
                left_out.push(format!("the setting net.{} = {value}", key.replace('/', ".")));
            }
        }
        let here = Everything::read()?.ruleset;
        left_out.extend(missing(&self.ruleset, &here, &left_out));
        Ok(left_out)
    }
}

/// A table, as it is told of.
fn called(table: &Table) -> String {
    format!("table {} {}", table.family.name(), table.title())
}

/// What of the host is not here as it is there, and not told yet.
fn missing(host: &Ruleset, here: &Ruleset, told: &[String]) -> Vec<String> {
    let same =
        |one: &&Table, other: &&Table| (one.family, &one.name, one.legacy) == (other.family, &other.name, other.legacy);
    let mut all = Vec::new();
    for table in &host.tables {
        let what = called(table);
        let own = plain(table);
        let is_nothing = own.chains.is_empty() && own.sets.is_empty();
        let is_same =
            is_nothing || here.tables.iter().find(|one| same(one, &table)).is_some_and(|one| plain(one) == own);
        if !is_same && !told.iter().any(|line| line.starts_with(&format!("{what}:"))) {
            all.push(format!("{what}: it is not the same in the namespace"));
        }
    }
    for set in &host.sets {
        let is_same = here.sets.iter().any(|own| own.name == set.name && own.elements == set.elements);
        if !is_same && !told.iter().any(|line| line.starts_with("the sets of ipset")) {
            all.push(format!("the set {} of ipset: it is not the same in the namespace", set.name));
        }
    }
    all
}

/// A table by what it does, wherever its rules were read and whatever they have met.
fn plain(table: &Table) -> Table {
    let mut table = table.clone();
    // iptables makes all chains of a table that it loads, and by and by those that it needs.
    let says_nothing = |base: &Base| base.policy == Policy::Accept;
    table.chains.retain(|chain| !(chain.rules.is_empty() && chain.base.as_ref().is_some_and(says_nothing)));
    for set in &mut table.sets {
        set.origins.clear();
    }
    for chain in &mut table.chains {
        for rule in &mut chain.rules {
            *rule = std::mem::take(rule).without_counts();
            rule.place = None;
        }
    }
    table.sets.sort_by(|one, other| one.name.cmp(&other.name));
    table.chains.sort_by(|one, other| one.name.cmp(&other.name));
    table
}

/// The rules without the guard's.
fn without_ours(mut ruleset: Ruleset) -> Ruleset {
    ruleset.tables.retain(|table| !ours::is_table(table));
    ruleset.tables.iter_mut().for_each(ours::take_guard_out);
    ruleset.sets.retain(|set| !ours::is_set(&set.name));
    ruleset
}

/// Whether a line of iptables-save is about a chain of the guard's, or jumps to one. What stands in quotes is somebody's remark.
fn is_ours(line: &str) -> bool {
    let plain: String = line.split('"').step_by(2).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let chain = words.first().and_then(|word| word.strip_prefix(':'));
    let named =
        words.windows(2).filter(|two| matches!(two, ["-A" | "-j" | "-g", _])).filter_map(|two| two.get(1).copied());
    chain.into_iter().chain(named).any(ours::is_chain)
}

/// A table that lives as long as who made it (`flags owner`).
fn is_owned(line: &str) -> bool {
    line.strip_prefix("flags ").is_some_and(|flags| flags.split([',', ' ', ';']).any(|flag| flag == "owner"))
}

/// nft puts its arguments together and reads them as its language: a name must not be more than a name.
fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn setting(key: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/sys/net/{key}")).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_guards_own_lines_are_left_out() {
        for line in
            [":RINGFENCE - [0:0]", "-A PREROUTING -j RINGFENCE", "-A RINGFENCE-b -j DROP", "-A INPUT -g RINGFENCE"]
        {
            assert!(is_ours(line), "{line}");
        }
        for line in
            [":INPUT ACCEPT [0:0]", "-A INPUT -m comment --comment \"-j RINGFENCE\" -j DROP", "-A INPUT -j RINGFENCER"]
        {
            assert!(!is_ours(line), "{line}");
        }
        assert!(is_owned("flags owner,persist;") && is_owned("flags dormant, owner") && !is_owned("flags dormant;"));
        assert!(is_plain("filter") && !is_plain("a; flush ruleset") && !is_plain("-f") && !is_plain(""));
    }
}
