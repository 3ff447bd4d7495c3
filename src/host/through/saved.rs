//! Files from which other programs load rules when the machine starts, where somebody saved what is ours with his own.
//!
//! What such a file brings back is as narrow as it was, and is put right as long as the guard is applied. Two things are not: after
//! `remove` it comes back all the same; and where it asks a set that is not there, nothing of the file is loaded, the rules of the
//! admin's among it (iptables-restore and ip6tables-restore, seen with 1.8.9, both variants).

use std::fs;
use std::path::{Path, PathBuf};

use crate::host::HostError;
use crate::host::iptables::{Tools, opened};
use crate::ir::ours;

/// What is loaded when the machine starts: by netfilter-persistent and its plugin for ipset (Debian), by iptables-services and
/// ipset-service (RHEL), and by nftables.service of both.
const FILES: [&str; 9] = [
    "etc/iptables/rules.v4",
    "etc/iptables/rules.v6",
    "etc/iptables/ipsets",
    "etc/sysconfig/iptables",
    "etc/sysconfig/ip6tables",
    "etc/sysconfig/ipset",
    "etc/sysconfig/nftables.conf",
    "etc/nftables.conf",
    "etc/nftables/main.nft",
];

/// What is ours in a file of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The file.
    pub path: PathBuf,
    /// Its first line with something of ours, from 1.
    pub line: usize,
    /// The sets of ours that it asks and does not make, in the order of their names.
    pub sets: Vec<String>,
}

impl std::fmt::Display for Saved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, line, sets } = self;
        let path = path.display();
        write!(f, "{path}, line {line}: rules of ringfence were saved there with others, and ")?;
        match sets.first() {
            Some(set) => write!(
                f,
                "ask ipsets that go with ringfence (`{set}`): without these nothing of that file is loaded when the machine starts"
            )?,
            None => f.write_str("the next start of the machine brings them back")?,
        }
        match self.save() {
            Some(command) => {
                write!(f, "; take them out, or save again now that they are gone from the kernel (`{command}`)")
            }
            // Who saved the whole of the kernel there wrote more than his own.
            None => f.write_str("; take them out there"),
        }
    }
}

impl Saved {
    /// The command that writes such a file, where there is one.
    fn save(&self) -> Option<&'static str> {
        match self.path.to_string_lossy() {
            path if path.contains("/etc/iptables/") => Some("netfilter-persistent save"),
            path if path.ends_with("/sysconfig/iptables") => Some("service iptables save"),
            path if path.ends_with("/sysconfig/ip6tables") => Some("service ip6tables save"),
            path if path.ends_with("/sysconfig/ipset") => Some("service ipset save"),
            _ => None,
        }
    }
}

/// Where something of ours is in such files. A file that cannot be read has nothing: nobody else loads it either.
#[must_use]
pub fn saved(root: &Path) -> Vec<Saved> {
    let read = |name: &&str| Some((root.join(name), fs::read(root.join(name)).ok()?));
    FILES.iter().filter_map(read).filter_map(|(path, bytes)| found(path, &String::from_utf8_lossy(&bytes))).collect()
}

fn found(path: PathBuf, text: &str) -> Option<Saved> {
    let lines = || text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#'));
    let line = lines().find(|(_, line)| words(line).any(is_ours) || has_our_table(line)).map(|(at, _)| at + 1)?;
    let mut sets: Vec<String> = lines().flat_map(|(_, line)| asked(line)).map(str::to_owned).collect();
    sets.sort_unstable();
    sets.dedup();
    Some(Saved { path, line, sets })
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| c.is_whitespace() || ":@\"{};,".contains(c)).filter(|word| !word.is_empty())
}

fn is_ours(word: &str) -> bool {
    ours::is_chain(word) || ours::is_open(word) || ours::is_set(word)
}

/// A table of nf_tables, in a listing or in a command.
fn has_our_table(line: &str) -> bool {
    let words: Vec<&str> = words(line).collect();
    words.windows(3).any(|three| three == ["table", "inet", ours::TABLE])
}

/// The sets of ours that a rule of iptables asks.
fn asked(line: &str) -> Vec<&str> {
    let words: Vec<&str> = words(line).collect();
    let sets = words.windows(2).filter(|pair| matches!(pair, ["--match-set", name] if is_ours(name)));
    sets.filter_map(|pair| pair.get(1).copied()).collect()
}

/// The sets that a file of ipset makes.
fn created(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let name = |line: &str| line.trim_start().strip_prefix("create ")?.split_whitespace().next().map(str::to_owned);
    text.lines().filter_map(name).collect()
}

/// Makes, empty, the sets of ours that such files ask, so that they can be loaded: nobody is in them until the guard is applied, or
/// ever, where it is gone. Gives their names.
///
/// # Errors
/// Where ipset is not there.
pub fn make_sets(root: &Path) -> Result<Vec<String>, HostError> {
    let mut saved = saved(root);
    // What such a file makes itself it makes as it was, and would not where it is there already.
    let makes: Vec<String> =
        FILES.iter().filter_map(|name| fs::read(root.join(name)).ok()).flat_map(|bytes| created(&bytes)).collect();
    saved.iter_mut().for_each(|one| one.sets.retain(|set| !makes.contains(set)));
    let mut made = Vec::new();
    if saved.iter().all(|one| one.sets.is_empty()) {
        return Ok(made);
    }
    let tools = Tools::find()?;
    for one in &saved {
        let is_v6 = one.path.file_name().is_some_and(|name| name == "rules.v6" || name == "ip6tables");
        for set in &one.sets {
            opened::make(&tools, set, if is_v6 { "inet6" } else { "inet" });
            made.push(set.clone());
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Option<(usize, Vec<String>)> {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let found = saved(root.path());
        assert!(found.len() < 2);
        found.into_iter().next().map(|one| (one.line, one.sets))
    }

    #[test]
    fn what_was_saved_is_found_by_its_names() {
        let text = "# ringfence-x\n*filter\n:INPUT DROP [0:0]\n:open-ringfence-in - [0:0]\n-A INPUT -j open-ringfence-in\n\
             -A open-ringfence-in -p tcp -m set --match-set open-ringfence-peers4 src -j ACCEPT\nCOMMIT\n";
        assert_eq!(of("etc/iptables/rules.v4", text), Some((4, vec!["open-ringfence-peers4".to_owned()])));
        let text = "*raw\n-A PREROUTING -j RINGFENCE\nCOMMIT\n";
        assert_eq!(of("etc/sysconfig/ip6tables", text), Some((2, vec![])));
        assert_eq!(of("etc/nftables.conf", "flush ruleset\ntable inet ringfence {\n}\n"), Some((2, vec![])));
        assert_eq!(of("etc/iptables/ipsets", "create ringfence-peers4 hash:net\n"), Some((1, vec![])));
    }

    #[test]
    fn each_file_is_saved_by_its_own_command() {
        for (path, command) in [
            ("/etc/iptables/rules.v4", Some("netfilter-persistent save")),
            ("/etc/sysconfig/ip6tables", Some("service ip6tables save")),
            ("/etc/nftables.conf", None),
            ("/etc/sysconfig/nftables.conf", None),
        ] {
            let said = Saved { path: path.into(), line: 2, sets: Vec::new() }.to_string();
            assert_eq!(said.contains("save again"), command.is_some(), "{said}");
            assert!(command.is_none_or(|command| said.contains(command)), "{said}");
        }
    }

    #[test]
    fn what_only_speaks_of_it_is_not() {
        let text =
            "*filter\n-A INPUT -m comment --comment \"ringfence: see the wiki\" -m set --match-set bans src -j DROP\n";
        assert_eq!(of("etc/iptables/rules.v4", text), None);
        assert_eq!(of("etc/nftables.conf", "# table inet ringfence\ntable inet filter { }\n"), None);
    }
}
