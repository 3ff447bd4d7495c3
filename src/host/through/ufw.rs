//! ufw: rules of our own.
//!
//! They are added and deleted by `ufw` itself, which keeps them in its files: there they are looked up, and in the kernel. Those of ours
//! stand behind the admin's that keep somebody out; where the admin adds such a one later, ours are added anew behind it.
//!
//! - What asks for the same as a rule of the admin's is left to that: ufw would make the two one, and ours would go with the admin's.
//! - `ufw reset` takes ours away as everything else; they are missed and added with the next run, in force with `ufw enable`.
//!
//! INVARIANT (any moment may be the last): deleted first, then added, each by one command that ufw does whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::program::{command, run};
use crate::dialect::ufw::{Allow, Entry, InForce, MOST, TooMany, brought, entries, rules};
use crate::host::HostError;
use crate::host::whole::Everything;
use crate::ir::{Leg, Opening};

const HELP: &str = "look at `ufw status verbose`";
const FLUSHED: &str = "ufw is enabled and its rules are not in the kernel: `ufw reload` first";

/// Whether it is installed.
#[must_use]
pub fn is_installed(root: &Path) -> bool {
    ["usr/sbin/ufw", "usr/bin/ufw"].iter().any(|path| root.join(path).exists())
}

/// Whether it is enabled, and its rules are in this network namespace.
#[must_use]
pub fn is_active() -> bool {
    is_enabled(Path::new("/")) && Everything::read().is_ok_and(|all| InForce::of(&all.ruleset).is_loaded())
}

fn is_enabled(root: &Path) -> bool {
    setting(&root.join("etc/ufw/ufw.conf"), "ENABLED").is_some_and(|value| value.eq_ignore_ascii_case("yes"))
}

/// A setting in a file of shell variables.
fn setting(path: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix('=')).next_back()?;
    Some(value.trim().trim_matches('"').trim_matches('\'').to_owned())
}

/// The commands that let these openings through, where what goes out is not ufw's to stop.
///
/// # Errors
/// Where an opening has too many sources.
pub fn written(openings: &[Opening]) -> Result<Vec<String>, HostError> {
    Ok(wanted(openings, false)?.iter().map(|rule| shown(&rule.to_add())).collect())
}

/// The same as a script, for whoever brings it in by hand.
///
/// # Errors
/// Where an opening has too many sources.
pub fn text(openings: &[Opening]) -> Result<String, HostError> {
    let commands = written(openings)?;
    Ok(commands.iter().map(|command| format!("{command}\n")).collect())
}

/// Whether there are rules of ours in its files.
#[must_use]
pub fn has_ours(root: &Path) -> bool {
    Plan::of(root, &[]).is_ok_and(|plan| !plan.delete.is_empty())
}

fn wanted(openings: &[Opening], with_outgoing: bool) -> Result<Vec<Allow>, HostError> {
    rules(openings, with_outgoing).map_err(|TooMany(name, count)| HostError::TooManySources { name, count, most: MOST })
}

fn shown(words: &[String]) -> String {
    command("ufw", &words.iter().map(String::as_str).collect::<Vec<_>>())
}

fn ufw(words: &[String]) -> Result<(), HostError> {
    run("ufw", &words.iter().map(String::as_str).collect::<Vec<_>>(), "", HELP).map(drop)
}

/// What is to be done so that exactly these openings are there: one line each, none where all is as it is to be.
///
/// # Errors
/// Where files or rules cannot be read, or an opening has too many sources.
pub fn planned(root: &Path, openings: &[Opening]) -> Result<Vec<String>, HostError> {
    let plan = Plan::of(root, openings)?;
    let mut lines: Vec<String> = plan.delete.iter().map(|rule| shown(&rule.to_delete())).collect();
    lines.extend(plan.add.iter().map(|rule| shown(&rule.to_add())));
    if !is_enabled(root) {
        if !lines.is_empty() {
            lines.push("ufw is not enabled: in force with `ufw enable`".to_owned());
        }
        return Ok(lines);
    }
    let all = Everything::read()?;
    let there = InForce::of(&all.ruleset);
    if !there.is_loaded() {
        if !lines.is_empty() {
            lines.push(FLUSHED.to_owned());
        }
    } else if lines.is_empty() && !plan.is_in_force(there) {
        lines.push("ufw reload".to_owned());
    }
    Ok(lines)
}

/// Brings exactly these openings, and takes away all others of ours. Says whether there was anything to do.
///
/// # Errors
/// Where `ufw` fails, or an opening has too many sources.
pub fn bring(root: &Path, openings: &[Opening]) -> Result<bool, HostError> {
    if root != Path::new("/") || !is_installed(root) {
        return Ok(false);
    }
    let plan = Plan::of(root, openings)?;
    let is_nothing = plan.delete.is_empty() && plan.add.is_empty();
    let is_enabled = is_enabled(root);
    if is_enabled {
        let all = Everything::read()?;
        let there = InForce::of(&all.ruleset);
        if is_nothing && (!there.is_loaded() || plan.is_in_force(there)) {
            return Ok(false);
        }
        if !there.is_loaded() {
            let first = plan.delete.iter().map(Allow::to_delete).chain(plan.add.iter().map(Allow::to_add)).next();
            let command = shown(&first.unwrap_or_default());
            return Err(HostError::Through { command, words: "it was not run".to_owned(), help: FLUSHED });
        }
    } else if is_nothing {
        return Ok(false);
    }
    for rule in &plan.delete {
        ufw(&rule.to_delete())?;
    }
    for rule in &plan.add {
        ufw(&rule.to_add())?;
    }
    if is_enabled {
        in_force(root, openings)?
    }
    Ok(true)
}

/// Loads ufw's files again where the kernel lacks what they say.
fn in_force(root: &Path, openings: &[Opening]) -> Result<(), HostError> {
    let is_there = || -> Result<Vec<String>, HostError> {
        let plan = Plan::of(root, openings)?;
        let all = Everything::read()?;
        let commands = plan.delete.iter().map(Allow::to_delete).chain(plan.add.iter().map(Allow::to_add));
        let mut missing: Vec<String> = commands.map(|words| shown(&words)).collect();
        if !plan.is_in_force(InForce::of(&all.ruleset)) {
            missing.push("the kernel's rules are not those of its files".to_owned());
        }
        Ok(missing)
    };
    if is_there()?.is_empty() {
        return Ok(());
    }
    ufw(&["reload".to_owned()])?;
    let missing = is_there()?;
    if missing.is_empty() { Ok(()) } else { Err(HostError::NotThrough { program: "ufw", missing }) }
}

/// One of ufw's two files.
struct File {
    is_ipv4: bool,
    text: String,
    entries: Vec<Entry>,
}

/// What is to be deleted and added, and what stays.
struct Plan {
    files: Vec<File>,
    /// Ours, as they are to be in the end.
    all: Vec<Allow>,
    delete: Vec<Allow>,
    add: Vec<Allow>,
}

impl Plan {
    fn of(root: &Path, openings: &[Opening]) -> Result<Self, HostError> {
        let defaults = root.join("etc/default/ufw");
        let stops_outgoing =
            setting(&defaults, "DEFAULT_OUTPUT_POLICY").is_some_and(|policy| !policy.eq_ignore_ascii_case("accept"));
        let wanted = wanted(openings, stops_outgoing)?;
        let has_ipv6 = setting(&defaults, "IPV6").is_none_or(|value| value.eq_ignore_ascii_case("yes"));
        if let Some(rule) = wanted.iter().find(|rule| !has_ipv6 && !rule.network.is_ipv4()) {
            return Err(HostError::Through {
                command: shown(&rule.to_add()),
                words: "ufw leaves IPv6 out here, and drops all of it".to_owned(),
                help: "write IPV6=yes in /etc/default/ufw, then `ufw reload`",
            });
        }
        let files = [("user.rules", true), ("user6.rules", false)]
            .into_iter()
            .map(|(name, is_ipv4)| file(root, name, is_ipv4))
            .collect::<Result<Vec<_>, _>>()?;
        let mut plan = Self { files, all: Vec::new(), delete: Vec::new(), add: Vec::new() };
        for file in &plan.files {
            let own = wanted.iter().filter(|rule| rule.network.is_ipv4() == file.is_ipv4);
            let kept = kept(&file.entries);
            let others: BTreeSet<&str> =
                file.entries.iter().filter(|entry| !entry.is_ours()).map(|entry| entry.key.as_str()).collect();
            let mut keys = BTreeSet::new();
            for rule in own.filter(|rule| !others.contains(rule.key().as_str())) {
                let key = rule.key();
                if !kept.contains(key.as_str()) {
                    plan.add.push(rule.clone());
                }
                plan.all.push(rule.clone());
                keys.insert(key);
            }
            let ours = file.entries.iter().filter(|entry| entry.is_ours());
            let goes = ours.filter(|entry| !kept.contains(entry.key.as_str()) || !keys.contains(&entry.key));
            plan.delete.extend(goes.filter_map(Entry::to_allow));
        }
        Ok(plan)
    }

    fn is_in_force(&self, there: InForce<'_>) -> bool {
        self.all.iter().all(|rule| there.has(rule))
            && self.files.iter().all(|file| brought(&file.text, file.is_ipv4) == there.count(file.is_ipv4))
    }
}

/// Ours that stand behind everything that keeps somebody out, the same way.
fn kept(entries: &[Entry]) -> BTreeSet<&str> {
    let way = |entry: &Entry| {
        let last = entry.key.rsplit(' ').next().unwrap_or_default();
        if last.starts_with("out") { Leg::Out } else { Leg::In }
    };
    let mut kept = BTreeSet::new();
    for entry in entries {
        if entry.is_ours() {
            kept.insert((way(entry), entry.key.as_str()));
        } else if entry.keeps_out() {
            kept.retain(|(leg, _)| *leg != way(entry));
        }
    }
    kept.into_iter().map(|(_, key)| key).collect()
}

fn file(root: &Path, name: &str, is_ipv4: bool) -> Result<File, HostError> {
    let path: PathBuf = root.join("etc/ufw").join(name);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(HostError::Place { what: "the rules in /etc/ufw", error }),
    };
    Ok(File { is_ipv4, entries: entries(&text), text })
}
