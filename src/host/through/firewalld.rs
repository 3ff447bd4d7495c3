//! firewalld: a policy and ipsets of our own.
//!
//! What is to be in force stands in files of ours below `/etc/firewalld`, and is brought into the running firewalld by
//! `firewall-cmd`. Where it has the policy and the sets already, only what differs is changed at runtime; otherwise it loads its
//! files again, which is refused as long as that would change anything of the admin's.
//!
//! - What the running firewalld has is looked up in the kernel. It is what counts, and costs less than asking.
//! - firewalld that was flushed by somebody else (`nft flush ruleset`) blocks nobody, so nothing is to be opened; and told to load its
//!   files, it would fail and leave everything closed (seen with 1.3.3). Then only the files are written.
//!
//! INVARIANT (any moment may be the last): files first, then what is closed, then what is opened. Whatever was left undone, the next
//! run finds.

mod files;
mod loss;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::files::{Change, differing, left, write};
use super::program::run;
use crate::dialect::firewalld::{Bans, InForce, IpSet, POLICY, RichRule, SET, Wanted};
use crate::dialect::netlink::{Protocol, RequestError, Socket, ip_sets};
use crate::host::HostError;
use crate::host::whole::Everything;
use crate::ir::{Elements, Opening};
use crate::net::Cidr;

const FIREWALL_CMD: &str = "firewall-cmd";
/// Where its files are.
const ETC: &str = "etc/firewalld";
/// The folders in which ours are.
const FOLDERS: [&str; 2] = ["ipsets", "policies"];
/// As many single entries are changed one by one, which leaves no moment in which a set is empty.
const FEW: usize = 16;
/// How often, and how long after one another, it is looked whether what was loaded is there.
const LOOKS: usize = 10;
const PAUSE: Duration = Duration::from_millis(300);
/// What `firewall-cmd` says when it has had no answer for 25 s, as clients of D-Bus wait where nobody says otherwise. firewalld goes on
/// all the same; seen with 1.3.3 on a slow machine.
const NO_REPLY: &str = "Did not receive a reply";
/// So long it is waited for then.
const PATIENCE: Duration = Duration::from_secs(120);
const NOT_THERE: &str = "firewalld's own rules are not there (it does not run, or another program flushed them): in force when it starts (`systemctl restart firewalld`)";
const HELP: &str = "look at `firewall-cmd --state` and /var/log/firewalld";

/// Whether it is installed.
#[must_use]
pub fn is_installed(root: &Path) -> bool {
    ["usr/sbin/firewalld", "usr/bin/firewalld"].iter().any(|path| root.join(path).exists())
}

/// Whether it filters in this network namespace: its rules are there.
#[must_use]
pub fn is_active() -> bool {
    let root = Path::new("/");
    look(root).is_ok_and(|there| there.is_some())
}

/// That it drops everything, because the admin said `firewall-cmd --panic-on`.
pub const PANIC: &str = "firewalld is in panic mode: nothing gets through until `firewall-cmd --panic-off`";

/// Whether that is so. It is left so.
///
/// # Errors
/// Where the kernel's rules cannot be read.
pub fn panics(root: &Path) -> Result<bool, HostError> {
    Ok(look(root)?.is_some_and(|(there, _)| there.panic))
}

/// The files that let these openings through, with their paths.
#[must_use]
pub fn written(openings: &[Opening]) -> Vec<(PathBuf, String)> {
    let files = Wanted::of(openings).files().into_iter();
    files.map(|(name, text)| (Path::new("/").join(ETC).join(name), text)).collect()
}

/// The same for whoever brings it in by hand: each file behind its path.
#[must_use]
pub fn text(openings: &[Opening]) -> String {
    let files = written(openings);
    files.iter().map(|(path, text)| format!("<!-- {} -->\n{}\n", path.display(), text.trim_end())).collect()
}

/// Whether there are files of ours.
#[must_use]
pub fn has_ours(root: &Path) -> bool {
    FOLDERS.iter().any(|folder| !left(&root.join(ETC).join(folder)).is_empty())
}

/// What is to be done so that exactly these openings are there: one line each, none where all is as it is to be.
///
/// # Errors
/// Where files or rules cannot be read.
pub fn planned(root: &Path, openings: &[Opening]) -> Result<Vec<String>, HostError> {
    let there = look(root)?;
    let wanted = wanted(openings, there.as_ref())?;
    let differ = differing(root, &wanted)?;
    let mut lines: Vec<String> = differ.iter().map(Change::to_string).collect();
    match there {
        Some((there, _)) => {
            lines.extend(steps(&there, &wanted));
            if !there.behind.is_empty() && !wanted.rules.is_empty() {
                lines.push(HostError::Behind(there.behind.iter().cloned().collect()).to_string());
            }
            if there.panic && !lines.is_empty() {
                lines.push(PANIC.to_owned());
            }
        }
        None if lines.is_empty() => {}
        None => lines.push(NOT_THERE.to_owned()),
    }
    Ok(lines)
}

/// Brings exactly these openings, and takes away all others of ours. Says whether there was anything to do.
///
/// # Errors
/// Where a file cannot be written, `firewall-cmd` fails, or loading the files would change what is the admin's.
pub fn bring(root: &Path, openings: &[Opening]) -> Result<bool, HostError> {
    let before = look(root)?;
    let wanted = wanted(openings, before.as_ref())?;
    let Some((before, _)) = before else {
        return write(root, &wanted);
    };
    let before = nothing_behind(root, before, &wanted)?;
    let reloads = needs_reload(&before, &wanted);
    if reloads {
        loss::refuse(root)?;
    }
    let wrote = write(root, &wanted)?;
    if before.is(&wanted) {
        return Ok(wrote);
    }
    // Also before a reload, after which firewalld may put back what a set had at runtime (`FlushAllOnReload=no`).
    let mut there = changed(before, &wanted)?;
    if wanted.rules.is_empty() {
        return emptied(root, &there);
    }
    if !there.is(&wanted) {
        if !reloads {
            loss::refuse(root)?;
        }
        reload()?;
        there = changed(in_force()?, &wanted)?;
        // On a slow machine it was seen that the command had ended and not all was there.
        for _ in 0..LOOKS {
            if !needs_reload(&there, &wanted) {
                break;
            }
            std::thread::sleep(PAUSE);
            there = changed(in_force()?, &wanted)?;
        }
    }
    let there = nothing_behind(root, there, &wanted)?;
    if there.is(&wanted) {
        return Ok(true);
    }
    Err(HostError::NotThrough { program: "firewalld", missing: steps(&there, &wanted) })
}

/// The same for no openings at all, where also what is left empty goes if that is possible; and what of it stays.
///
/// # Errors
/// As [`bring`].
pub fn take_away(root: &Path) -> Result<(bool, Option<Stays>), HostError> {
    let nothing = Wanted::default();
    let is_empty = look(root)?.is_some_and(|(there, _)| there.is(&nothing) && there.has_remains());
    let mut brought = bring(root, &[])?;
    if let (true, Some((there, _))) = (is_empty, look(root)?) {
        emptied(root, &there)?;
    }
    let remains = look(root)?.map(|(there, _)| there).filter(InForce::has_remains);
    brought |= is_empty && remains.is_none();
    Ok((brought, remains.map(|there| Stays { policy: there.policy, sets: there.sets.into_keys().collect() })))
}

/// What of ours is left at runtime, empty: a reload would take it away, and something of the admin's with it, or firewalld would not take
/// its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stays {
    policy: bool,
    sets: Vec<String>,
}

impl std::fmt::Display for Stays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let policy = self.policy.then(|| format!("the policy `{POLICY}`"));
        let sets = (!self.sets.is_empty()).then(|| format!("the ipsets {}", self.sets.join(", ")));
        let parts: Vec<String> = policy.into_iter().chain(sets).collect();
        write!(
            f,
            "firewalld has {} still, empty, so that they let nobody through: a reload now would also lose what it has at runtime only, or \
             fail. They go with its next reload or restart; after `firewall-cmd --runtime-to-permanent`, which would write them into \
             /etc/firewalld, run `ringfence remove` once more",
            parts.join(" and ")
        )
    }
}

/// Closes again and refuses, where a policy that keeps somebody out would come too late.
fn nothing_behind(root: &Path, there: InForce, wanted: &Wanted) -> Result<InForce, HostError> {
    if there.behind.is_empty() || wanted.rules.is_empty() {
        return Ok(there);
    }
    let behind = there.behind.iter().cloned().collect();
    changed(there, &Wanted::default())?;
    // Otherwise the next reload of the admin's would open it again.
    write(root, &Wanted::default())?;
    Err(HostError::Behind(behind))
}

/// After our last opening is closed: the empty policy and sets go where nothing of the admin's would change by it. Otherwise they
/// go with the next reload, and accept nobody until then.
fn emptied(root: &Path, there: &InForce) -> Result<bool, HostError> {
    let nothing = Wanted::default();
    // What cannot be looked at may not be loaded; that nobody is let through any more is true all the same.
    let is_harmless = loss::differences(root).is_ok_and(|found| found.is_empty()) && check().is_ok();
    if is_harmless {
        reload()?;
    } else if there.panic {
        // Nothing passes as long as it lasts; then an opening that stayed would be one.
        loss::refuse(root)?;
    }
    let there = if is_harmless { &changed(in_force()?, &nothing)? } else { there };
    if there.is(&nothing) {
        return Ok(true);
    }
    Err(HostError::NotThrough { program: "firewalld", missing: steps(there, &nothing) })
}

/// Only the root of this machine has a running firewalld.
fn is_ours(root: &Path) -> bool {
    root == Path::new("/")
}

/// What it has in force, and whom it keeps out; `None` where its rules are not there.
fn look(root: &Path) -> Result<Option<(InForce, Bans)>, HostError> {
    if !is_ours(root) || !is_installed(root) {
        return Ok(None);
    }
    everything().map(|found| Some(found).filter(|(there, _)| there.is_loaded))
}

/// What lets these openings through, except for whom firewalld keeps out by where he comes from.
fn wanted(openings: &[Opening], there: Option<&(InForce, Bans)>) -> Result<Wanted, HostError> {
    match there {
        Some((_, bans)) if !openings.is_empty() => match bans.unknown.first() {
            Some(zone) => Err(HostError::BannedOtherwise(zone.clone())),
            None => Ok(Wanted::of(&bans.cut(openings))),
        },
        _ => Ok(Wanted::of(openings)),
    }
}

fn in_force() -> Result<InForce, HostError> {
    everything().map(|(there, _)| there)
}

fn everything() -> Result<(InForce, Bans), HostError> {
    let mut ruleset = Everything::read()?.ruleset;
    if InForce::is_of_iptables(&ruleset) {
        // Also those that no rule asks at the moment.
        let all =
            Socket::open(Protocol::Netfilter).map_err(RequestError::from).and_then(|mut socket| ip_sets(&mut socket));
        ruleset.sets = all.map_err(HostError::from)?.sets.into_values().collect();
    }
    Ok((InForce::of(&ruleset), Bans::of(&ruleset)))
}

/// Policies and sets are made by a reload only; and a rule that is none of ours is known to nobody but the files.
fn needs_reload(there: &InForce, wanted: &Wanted) -> bool {
    !wanted.rules.is_empty()
        && (!there.policy || there.strange > 0 || wanted.sets.iter().any(|set| !there.sets.contains_key(&set.name)))
}

/// Whether firewalld would take its files. The one asks the firewalld that runs, the other works without one.
fn check() -> Result<(), HostError> {
    let by = if is_active() { FIREWALL_CMD } else { "firewall-offline-cmd" };
    run(by, &["--check-config"], "", HELP).map(drop)
}

/// With files that it does not take it would fail, and leave everything closed.
fn reload() -> Result<(), HostError> {
    check()?;
    match firewall_cmd(&["--reload"], "") {
        Err(HostError::Through { words, command, help }) if words.contains(NO_REPLY) => {
            if answers_again() {
                Ok(())
            } else {
                Err(HostError::Through { command, words, help })
            }
        }
        done => done.map(drop),
    }
}

/// Whether it is done with what its client has not waited for. What came of it is looked at in the kernel.
fn answers_again() -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if firewall_cmd(&["--state"], "").is_ok() {
            return true;
        }
        std::thread::sleep(PAUSE);
    }
    false
}

fn firewall_cmd(arguments: &[&str], input: &str) -> Result<String, HostError> {
    run(FIREWALL_CMD, arguments, input, HELP)
}

/// What is to be done at runtime, in words.
fn steps(there: &InForce, wanted: &Wanted) -> Vec<String> {
    if needs_reload(there, wanted) {
        return vec!["firewall-cmd --reload".to_owned()];
    }
    let mut lines = Vec::new();
    for (name, from, to) in set_changes(there, wanted) {
        for (count, what) in [(from.len(), "remove"), (to.len(), "add")] {
            if count > 0 {
                let entries = if count == 1 { "entry" } else { "entries" };
                lines.push(format!("firewall-cmd --ipset={name}: {what} {count} {entries}"));
            }
        }
    }
    let (from, to) = rule_changes(there, wanted);
    for (rules, what) in [(from, "remove"), (to, "add")] {
        lines.extend(rules.iter().map(|rule| format!("firewall-cmd --policy={POLICY} --{what}-rich-rule='{rule}'")));
    }
    lines
}

fn rule_changes(there: &InForce, wanted: &Wanted) -> (Vec<RichRule>, Vec<RichRule>) {
    let wanted: BTreeSet<&RichRule> = wanted.rules.iter().collect();
    let from = there.rules.iter().filter(|rule| !wanted.contains(rule)).cloned().collect();
    let to = wanted.iter().filter(|rule| !there.rules.contains(**rule)).map(|rule| (*rule).clone()).collect();
    (from, to)
}

/// For each set that is there and not as it is to be: its name, what goes, and what comes.
fn set_changes(there: &InForce, wanted: &Wanted) -> Vec<(String, Vec<Cidr>, Vec<Cidr>)> {
    let mut changes = Vec::new();
    for (name, elements) in &there.sets {
        let own = wanted.sets.iter().find(|set| set.name == *name);
        if own.map_or(elements.networks().is_empty(), |own| there.set_is(own) == Some(true)) {
            continue;
        }
        let (from, to) = entries(elements, own);
        changes.push((name.clone(), from, to));
    }
    changes
}

/// What the kernel has cut otherwise than firewalld was told does not show here: see [`changed`].
fn entries(there: &Elements, wanted: Option<&IpSet>) -> (Vec<Cidr>, Vec<Cidr>) {
    let wanted: &[Cidr] = wanted.map_or(&[], |set| &set.networks);
    let there: BTreeSet<Cidr> = there.networks().into_iter().collect();
    let goal: BTreeSet<Cidr> = wanted.iter().copied().collect();
    (there.difference(&goal).copied().collect(), goal.difference(&there).copied().collect())
}

/// Changes at runtime what can be changed there: closes first. What is there then. In panic mode firewalld takes nothing but a
/// reload, after which it is in panic mode still.
fn changed(there: InForce, wanted: &Wanted) -> Result<InForce, HostError> {
    if there.panic {
        return Ok(there);
    }
    let sets = set_changes(&there, wanted);
    let (from, to) = rule_changes(&there, wanted);
    let usable = |rule: &&RichRule| there.policy && there.sets.contains_key(&rule.set);
    let to: Vec<&RichRule> = to.iter().filter(usable).collect();
    if sets.is_empty() && from.is_empty() && to.is_empty() {
        return Ok(there);
    }
    change_rules("remove", &from.iter().collect::<Vec<_>>())?;
    for (name, from, to) in &sets {
        let own = wanted.sets.iter().find(|set| set.name == *name);
        change_set(name, from, to, own.map_or(&[], |set| &set.networks))?;
    }
    change_rules("add", &to)?;
    in_force()
}

fn change_rules(what: &str, rules: &[&RichRule]) -> Result<(), HostError> {
    if rules.is_empty() {
        return Ok(());
    }
    let mut arguments = vec![format!("--policy={POLICY}")];
    arguments.extend(rules.iter().map(|rule| format!("--{what}-rich-rule={rule}")));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    firewall_cmd(&arguments, "").map(drop)
}

/// Makes a set's entries these, if need be by what firewalld believes to be in it: it takes away only what it has put there.
fn change_set(name: &str, from: &[Cidr], to: &[Cidr], wanted: &[Cidr]) -> Result<(), HostError> {
    let text = |networks: &[Cidr]| networks.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
    let (from, to) = (text(from), text(to));
    if change_entries(name, "remove", &from).and_then(|()| change_entries(name, "add", &to)).is_ok() {
        return Ok(());
    }
    let said = firewall_cmd(&[&format!("--ipset={name}"), "--get-entries"], "")?;
    let there: BTreeSet<String> = said.split_whitespace().map(str::to_owned).collect();
    let wanted = text(wanted);
    change_entries(name, "remove", &(&there - &wanted))?;
    change_entries(name, "add", &(&wanted - &there))
}

fn change_entries(name: &str, what: &str, entries: &BTreeSet<String>) -> Result<(), HostError> {
    if entries.is_empty() {
        return Ok(());
    }
    let set = format!("--ipset={name}");
    if entries.len() > FEW {
        let list: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
        return firewall_cmd(&[&set, &format!("--{what}-entries-from-file=/dev/stdin")], &list).map(drop);
    }
    let words: Vec<String> = entries.iter().map(|entry| format!("--{what}-entry={entry}")).collect();
    let words: Vec<&str> = std::iter::once(set.as_str()).chain(words.iter().map(String::as_str)).collect();
    firewall_cmd(&words, "").map(drop)
}
