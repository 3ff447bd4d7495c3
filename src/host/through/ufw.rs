//! ufw: rules of our own.
//!
//! They are added and deleted by `ufw` itself, which keeps them in its files: there they are looked up, and in the kernel. Those of ours
//! stand behind the admin's that keep somebody out; where the admin adds such a one later, ours are added anew behind it.
//!
//! - What asks for the same as a rule of the admin's is left to that: ufw would make the two one, and ours would go with the admin's.
//! - `ufw reset` takes ours away as everything else; they are missed and added with the next run, in force with `ufw enable`.
//!
//! - ufw loads all its users' rules when it deletes one. What somebody put into their chains by iptables, as a ban, would be gone: it is
//!   named, and nothing is done, until it is ufw's or away. As long as nothing of ours is to be deleted it is nobody's business.
//!
//! - ufw takes the same rule at another place for the one that is there. So while one of ours is moved another stands in for it, that is
//!   told from it by nothing that a packet could show.
//!
//! INVARIANT (any moment may be the last): deleted first, then added. It is written down before, so that the next run looks in the
//! kernel for what a run left there that did not end; what stood in for others is one of ours that is not wanted.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::program::{command, run, wait_for};
use crate::dialect::ufw::{Allow, Beyond, Entry, InForce, MOST, TooMany, brought, entries, rules};
use crate::host::HostError;
use crate::host::store::{Place, Store};
use crate::host::whole::Everything;
use crate::ir::Opening;

const HELP: &str = "look at `ufw status verbose`";
/// What `ufw` holds for as long as it runs. While it loads its rules, some are lacking that it is about to bring.
const LOCK: &str = "run/ufw.lock";
/// What its unit runs, which takes no lock, and takes ufw for started where it finds a chain of ufw's.
const INIT: &str = "ufw-init";
/// Stands in the state as long as ufw is changing something for us.
const CHANGING: &str = "ufw-changing";
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
pub fn planned(root: &Path, openings: &[Opening], store: &Store) -> Result<Vec<String>, HostError> {
    let was_cut = was_cut(store);
    let plan = Plan::of(root, openings)?;
    let mut lines = plan.behind.clone();
    lines.extend(plan.commands());
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
    } else if lines.is_empty() {
        lines.extend(plan.lacking(there).flat_map(|rule| [shown(&rule.to_delete()), shown(&rule.to_add())]));
        if lines.is_empty() && plan.has_leftovers(there, was_cut) {
            lines.push("ufw reload".to_owned());
        }
    }
    Ok(lines)
}

/// Brings exactly these openings, and takes away all others of ours. Says whether there was anything to do.
///
/// # Errors
/// Where `ufw` fails or would lose what is not in its files, or an opening has too many sources.
pub fn bring(root: &Path, openings: &[Opening], store: &Store) -> Result<bool, HostError> {
    if root != Path::new("/") || !is_installed(root) {
        return Ok(false);
    }
    wait_for(&root.join(LOCK), INIT);
    let was_cut = was_cut(store);
    let plan = Plan::of(root, openings)?;
    let is_nothing = plan.delete.is_empty() && plan.add.is_empty();
    if is_enabled(root) {
        let all = Everything::read()?;
        let there = InForce::of(&all.ruleset);
        let is_lacking =
            there.is_loaded() && (plan.lacking(there).next().is_some() || plan.has_leftovers(there, was_cut));
        if is_nothing && !is_lacking {
            if there.is_loaded() {
                store.remove(Place::State, CHANGING)?;
            }
            return Ok(false);
        }
        if !there.is_loaded() {
            let command = plan.commands().into_iter().next().unwrap_or_default();
            return Err(HostError::Through { command, words: "it was not run".to_owned(), help: FLUSHED });
        }
        if is_lacking || !plan.delete.is_empty() {
            plan.refuse_loss(there, was_cut)?;
        }
    } else if is_nothing {
        return Ok(false);
    }
    store.write(Place::State, CHANGING, b"")?;
    // Behind what the admin has put behind ours, so that nobody passes that meanwhile.
    let moved: Vec<Allow> = plan.delete.iter().filter(|rule| plan.moves(rule)).map(Allow::stand_in).collect();
    for rule in &moved {
        ufw(&rule.to_add())?;
    }
    for rule in &plan.delete {
        ufw(&rule.to_delete())?;
    }
    for rule in &plan.add {
        ufw(&rule.to_add())?;
    }
    for rule in &moved {
        ufw(&rule.to_delete())?;
    }
    if is_enabled(root) {
        in_force(root, openings, was_cut)?;
    }
    store.remove(Place::State, CHANGING)?;
    Ok(true)
}

/// Has ufw load what the kernel lacks of its files, or holds beyond them because of us.
fn in_force(root: &Path, openings: &[Opening], was_cut: bool) -> Result<(), HostError> {
    // Deleted and added again, ours make it load its users' rules, and leave alone what others put before and behind these.
    let plan = Plan::of(root, openings)?;
    let all = Everything::read()?;
    let lacking: Vec<Allow> = plan.lacking(InForce::of(&all.ruleset)).take(1).cloned().collect();
    for rule in &lacking {
        ufw(&rule.to_delete())?;
        ufw(&rule.to_add())?;
    }
    let missing = missing(root, openings, was_cut)?;
    if missing.is_empty() {
        return Ok(());
    }
    refuse_reload(root)?;
    ufw(&["reload".to_owned()])?;
    let missing = self::missing(root, openings, was_cut)?;
    if missing.is_empty() { Ok(()) } else { Err(HostError::NotThrough { program: "ufw", missing }) }
}

fn missing(root: &Path, openings: &[Opening], was_cut: bool) -> Result<Vec<String>, HostError> {
    let plan = Plan::of(root, openings)?;
    let all = Everything::read()?;
    let there = InForce::of(&all.ruleset);
    let mut missing = plan.commands();
    missing.extend(plan.lacking(there).map(|rule| format!("the kernel lacks what `{}` made", shown(&rule.to_add()))));
    if plan.has_leftovers(there, was_cut) {
        missing.push("the kernel has rules of ringfence's that are not in ufw's files".to_owned());
    }
    Ok(missing)
}

/// The files of ufw's own rules, which it loads beside its users'.
const OWN: [&str; 4] = ["before.rules", "before6.rules", "after.rules", "after6.rules"];

/// Refuses, where a chain that ufw fills from these files has more rules than they bring.
fn refuse_reload(root: &Path) -> Result<(), HostError> {
    let all = Everything::read()?;
    let there = InForce::of(&all.ruleset);
    let mut lost = Vec::new();
    for name in OWN {
        let text = text_of(&root.join("etc/ufw").join(name))?;
        for (chain, count) in brought(&text).into_iter().filter(|(chain, _)| chain.starts_with("ufw")) {
            let more = there.count(&chain).saturating_sub(count);
            if more > 0 {
                lost.push(format!("chain {chain} has {more} more than /etc/ufw/{name} brings"));
            }
        }
    }
    if lost.is_empty() { Ok(()) } else { Err(HostError::LostByUfw(lost)) }
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
    /// Why some of them are moved, a line each.
    behind: Vec<String>,
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
        let mut plan = Self { files, all: Vec::new(), delete: Vec::new(), add: Vec::new(), behind: Vec::new() };
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
            let denies = file.entries.iter().enumerate().filter(|(at, deny)| {
                let before = file.entries.iter().take(*at).filter(|own| own.is_ours() && keys.contains(&own.key));
                before.into_iter().any(|own| comes_before(own, deny))
            });
            plan.behind.extend(denies.map(|(_, deny)| {
                format!("`ufw {}` stands behind what is let through, which is moved behind it", deny.described())
            }));
        }
        Ok(plan)
    }

    /// Whether a rule that goes comes back at another place.
    fn moves(&self, rule: &Allow) -> bool {
        self.add.iter().any(|other| other.key() == rule.key())
    }

    fn commands(&self) -> Vec<String> {
        let delete = self.delete.iter().map(|rule| shown(&rule.to_delete()));
        delete.chain(self.add.iter().map(|rule| shown(&rule.to_add()))).collect()
    }

    /// Those of ours in the files that the kernel lacks.
    fn lacking<'a>(&'a self, there: InForce<'a>) -> impl Iterator<Item = &'a Allow> {
        self.all.iter().filter(move |rule| !self.add.contains(rule) && !there.has(rule))
    }

    /// Whether a run that did not end left rules of ours in the kernel.
    fn has_leftovers(&self, there: InForce<'_>, was_cut: bool) -> bool {
        was_cut && self.beyond(there).any(|one| one.may_be_ours())
    }

    fn beyond<'a>(&self, there: InForce<'a>) -> impl Iterator<Item = Beyond<'a>> {
        self.files.iter().flat_map(move |file| there.beyond(&file.text, file.is_ipv4))
    }

    /// Refuses, where somebody else's rules would be lost.
    fn refuse_loss(&self, there: InForce<'_>, was_cut: bool) -> Result<(), HostError> {
        let lost = self.beyond(there).filter(|one| !(was_cut && one.may_be_ours()));
        let lost: Vec<String> = lost.map(|one| one.to_string()).collect();
        if lost.is_empty() { Ok(()) } else { Err(HostError::LostByUfw(lost)) }
    }
}

/// Whether a run may have ended between ufw's file and the kernel. Where that is not known, it may.
fn was_cut(store: &Store) -> bool {
    store.read(Place::State, CHANGING).map_or(true, |found| found.is_some())
}

/// Ours that stand behind everything that keeps out somebody whom they let through.
fn kept(entries: &[Entry]) -> BTreeSet<&str> {
    let ours = entries.iter().enumerate().filter(|(_, own)| own.is_ours());
    let stays = |(at, own): &(usize, &Entry)| !entries.iter().skip(at + 1).any(|deny| comes_before(own, deny));
    ours.filter(stays).map(|(_, own)| own.key.as_str()).collect()
}

/// Whether one of ours, where it stands before a rule of somebody else's, lets through what that may keep out.
fn comes_before(own: &Entry, deny: &Entry) -> bool {
    deny.keeps_out() && own.to_allow().is_none_or(|own| deny.may_hit(&own))
}

fn file(root: &Path, name: &str, is_ipv4: bool) -> Result<File, HostError> {
    let text = text_of(&root.join("etc/ufw").join(name))?;
    Ok(File { is_ipv4, entries: entries(&text), text })
}

fn text_of(path: &Path) -> Result<String, HostError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(HostError::Place { what: "the rules in /etc/ufw", error }),
    }
}
