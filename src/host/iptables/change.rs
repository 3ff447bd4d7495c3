//! From one snapshot to another.

use std::collections::HashSet;
use std::fmt::Write;
use std::thread;
use std::time::Duration;

use super::sets::{SetChanges, exchange, filled, free_mark, marked};
use super::snapshot::{OwnTable, Place, Snapshot, TABLES, is_builtin, sets_of};
use super::{Change, Error, Live, Tools, Variant, Version, needs, read};
use crate::verify::Verified;

/// The kernel lets go of the sets of deleted rules a little later.
const DESTROY_TRIES: usize = 30;
const DESTROY_PAUSE: Duration = Duration::from_millis(100);

/// Brings a proven ruleset into the kernel, in place of what `live` holds of ours.
///
/// # Errors
/// If a tool fails. What was there before is there again then, or the error says that it is not.
pub fn apply(tools: &Tools, live: &Live, verified: &Verified) -> Result<Change, Error> {
    let target = Snapshot::of_verified(verified, |version| tools.wanted(version))?;
    if !Transition::new(tools, live.snapshot(), &target).is_nothing() {
        needs::check(tools, &target)?;
    }
    bring(tools, live.snapshot(), &target)
}

/// What [`apply`] would do.
///
/// # Errors
/// If the ruleset is none for iptables.
pub fn planned(tools: &Tools, live: &Snapshot, verified: &Verified) -> Result<Change, Error> {
    let target = Snapshot::of_verified(verified, |version| tools.wanted(version))?;
    let transition = Transition::new(tools, live, &target);
    let mut change = transition.change();
    if !transition.is_nothing() && !change.rules {
        let mark = free_mark(live, &target).ok_or(Error::Leftovers)?;
        change.rules = exchange(live, &transition.sets, mark).is_none();
    }
    Ok(change)
}

/// Rules in our chains that none of these rulesets has, and jumps to them that are not where they are to be, in words.
///
/// # Errors
/// If a ruleset is none for iptables.
pub fn foreign(tools: &Tools, live: &Snapshot, known: &[&Verified]) -> Result<Vec<String>, Error> {
    let targets: Vec<Snapshot> = known
        .iter()
        .map(|verified| Snapshot::of_verified(verified, |version| tools.wanted(version)))
        .collect::<Result<_, _>>()?;
    let mut found = Vec::new();
    for Place { variant, version, tables } in &live.places {
        for table in tables {
            let wanted: Vec<OwnTable> =
                targets.iter().map(|target| target.table(*variant, *version, &table.name)).collect();
            let place = format!("{version}-{variant}, table {}", table.name);
            found.extend(table.beyond(&wanted, *version).into_iter().map(|rule| format!("{place}: {rule}")));
        }
    }
    if let Some(target) = targets.last() {
        found.extend(Transition::new(tools, live, target).change().moved);
    }
    Ok(found)
}

/// Brings back what of ours was there at the time of a snapshot, and nothing else of ours.
///
/// # Errors
/// If a tool fails. What was there before this call is there again then, or the error says that it is not.
pub fn restore(tools: &Tools, snapshot: &Snapshot) -> Result<Change, Error> {
    bring(tools, read(tools)?.snapshot(), snapshot)
}

/// Takes everything of ours away: jumps, chains and sets, of both families and both back ends.
///
/// # Errors
/// If a tool fails. What was there before is there again then, or the error says that it is not.
pub fn remove(tools: &Tools) -> Result<Change, Error> {
    restore(tools, &Snapshot::nothing())
}

fn bring(tools: &Tools, live: &Snapshot, target: &Snapshot) -> Result<Change, Error> {
    let first = match Transition::new(tools, live, target).run() {
        Err(error) => error,
        done => return done,
    };
    let back = read(tools).and_then(|now| Transition::new(tools, now.snapshot(), live).run());
    match back {
        Ok(_) => Err(first),
        Err(second) => Err(Error::NotRestored { first: Box::new(first), second: Box::new(second) }),
    }
}

/// A table that may have to change.
struct Step {
    variant: Variant,
    version: Version,
    there: OwnTable,
    wanted: OwnTable,
    differs: bool,
}

struct Transition<'a> {
    tools: &'a Tools,
    live: &'a Snapshot,
    target: &'a Snapshot,
    /// In the order of carrying out: tables that will have something of ours before those that will not.
    steps: Vec<Step>,
    sets: SetChanges<'a>,
}

impl<'a> Transition<'a> {
    fn new(tools: &'a Tools, live: &'a Snapshot, target: &'a Snapshot) -> Self {
        let mut steps = Vec::new();
        for variant in Variant::ALL {
            for version in Version::ALL {
                for name in TABLES {
                    let (there, wanted) = (live.table(variant, version, name), target.table(variant, version, name));
                    let same = there.says_the_same(&wanted, version) && jumps_are_right(&there, &wanted);
                    let differs = there.hides || !same;
                    steps.push(Step { variant, version, there, wanted, differs });
                }
            }
        }
        steps.sort_by_key(|step| step.wanted.is_empty());
        Self { tools, live, target, steps, sets: SetChanges::between(live, target) }
    }

    fn is_nothing(&self) -> bool {
        self.sets.is_nothing() && !self.steps.iter().any(|step| step.differs)
    }

    /// What it comes to, before anything is done.
    fn change(&self) -> Change {
        Change {
            rules: self.steps.iter().any(|step| step.differs),
            sets: self.sets.names(),
            moved: self.steps.iter().filter_map(moved).collect(),
            leftovers: Vec::new(),
        }
    }

    fn run(&self) -> Result<Change, Error> {
        let mut change = self.change();
        if self.is_nothing() {
            return Ok(change);
        }
        let mark = free_mark(self.live, self.target).ok_or(Error::Leftovers)?;
        let idle = self.sets.idle.iter().map(|name| (*name).to_owned()).collect();
        self.destroy(idle)?.into_iter().try_for_each(|(_, error)| Err(error))?;
        let scripts = if change.rules { None } else { exchange(self.live, &self.sets, mark) };
        match scripts {
            Some(scripts) => {
                self.make(self.sets.new.iter().map(|set| filled(&set.name, set)))?;
                scripts.iter().try_for_each(|script| self.tools.ipset(&["restore"], script).map(drop))?;
            }
            None => {
                change.rules = true;
                self.with_rules(mark)?;
            }
        }
        // The rules are in force by now: a set that somebody else uses is no reason to take them back.
        let aside = self.sets.used().map(|set| format!("{}{mark}", set.name)).filter(|_| change.rules);
        let over = aside.chain(self.sets.gone.iter().map(|name| (*name).to_owned())).collect();
        let left = self.destroy(over)?.into_iter();
        change.leftovers.extend(left.map(|(name, error)| format!("the set {name} is still there: {error}")));
        Ok(change)
    }

    /// Rules change, perhaps sets, too: the new rules first look into new sets, so that each table changes from all that was
    /// to all that is to be in one step; then these sets get their own names.
    fn with_rules(&self, mark: char) -> Result<(), Error> {
        let used: Vec<_> = self.sets.used().collect();
        let names: HashSet<&str> = used.iter().map(|set| set.name.as_str()).collect();
        let new = self.sets.new.iter().map(|set| filled(&set.name, set));
        let aside = used.iter().map(|set| filled(&format!("{}{mark}", set.name), set));
        self.make(new.chain(aside))?;
        let looks = |table: &OwnTable| {
            table
                .chains
                .iter()
                .flat_map(|chain| &chain.rules)
                .flat_map(|rule| sets_of(rule))
                .any(|set| names.contains(set))
        };
        let first = self.files(|step| step.differs || looks(&step.wanted), |rule| marked(rule, &names, mark), true);
        let second = self.files(|step| looks(&step.wanted), str::to_owned, false);
        for (variant, version, text) in &first {
            self.tools.test(*variant, *version, text)?;
        }
        for (variant, version, text) in &first {
            self.tools.restore(*variant, *version, text)?;
        }
        let old = names.iter().map(|name| (*name).to_owned()).collect();
        self.destroy(old)?.into_iter().try_for_each(|(_, error)| Err(error))?;
        self.make(used.iter().map(|set| filled(&set.name, set)))?;
        for (variant, version, text) in &second {
            self.tools.restore(*variant, *version, text)?;
        }
        Ok(())
    }

    /// Makes and fills sets.
    fn make(&self, scripts: impl Iterator<Item = String>) -> Result<(), Error> {
        let text: String = scripts.collect();
        if text.is_empty() { Ok(()) } else { self.tools.ipset(&["restore"], &text).map(drop) }
    }

    /// Destroys sets that our rules do not look into any more. Gives those that something else holds, and why.
    fn destroy(&self, mut names: Vec<String>) -> Result<Vec<(String, Error)>, Error> {
        // Together: each process that destroys something waits for all processors at its end.
        for _ in 0..DESTROY_TRIES {
            if names.is_empty() {
                return Ok(Vec::new());
            }
            let script: String = names.iter().map(|name| format!("destroy {name}\n")).collect();
            match self.tools.ipset(&["restore"], &script) {
                Ok(_) => return Ok(Vec::new()),
                Err(Error::Failed { .. }) => thread::sleep(DESTROY_PAUSE),
                Err(error) => return Err(error),
            }
            let there = self.tools.ipset(&["list", "-n"], "")?;
            let there: HashSet<&str> = there.lines().collect();
            names.retain(|name| there.contains(name.as_str()));
        }
        let one = |name: String| self.tools.ipset(&["destroy", &name], "").err().map(|error| (name, error));
        Ok(names.into_iter().filter_map(one).collect())
    }

    /// A file for each family and back end that has something to do.
    fn files(
        &self,
        which: impl Fn(&Step) -> bool,
        rule: impl Fn(&str) -> String,
        jumps: bool,
    ) -> Vec<(Variant, Version, String)> {
        let mut files: Vec<(Variant, Version, String)> = Vec::new();
        for step in self.steps.iter().filter(|step| which(step)) {
            let text = stanza(step, &rule, jumps);
            match files.iter_mut().find(|(variant, version, _)| (*variant, *version) == (step.variant, step.version)) {
                Some((.., file)) => file.push_str(&text),
                None => files.push((step.variant, step.version, text)),
            }
        }
        files
    }
}

/// Whether the jumps are where they are to be. Where it is only said that nothing may pass them by, they may stay behind
/// rules that do not.
fn jumps_are_right(there: &OwnTable, wanted: &OwnTable) -> bool {
    there.jumps.len() == wanted.jumps.len()
        && there.jumps.iter().zip(&wanted.jumps).all(|(is, shall)| {
            let placed = match shall.behind {
                None => !is.passed_by,
                Some(_) => is.behind == shall.behind,
            };
            is.chain == shall.chain && is.rule == shall.rule && placed
        })
}

/// What is said of a jump that others could pass by, and that is moved.
fn moved(step: &Step) -> Option<String> {
    let Step { variant, version, there, wanted, .. } = step;
    let jump = there.jumps.iter().find(|jump| jump.passed_by).filter(|_| !wanted.jumps.is_empty())?;
    (!jumps_are_right(there, wanted)).then(|| {
        format!(
            "{version}-{variant}, table {}: the jump in {} stood behind a rule that could pass it by",
            there.name, jump.chain
        )
    })
}

/// One table, all in one commit: our chains anew, the old jumps away, the new ones in, and the chains that are not wanted any
/// more away, which by then nothing leads to.
fn stanza(step: &Step, rule: impl Fn(&str) -> String, jumps: bool) -> String {
    let Step { there, wanted, .. } = step;
    let mut text = format!("*{}\n", wanted.name);
    // Writing to a String cannot fail.
    let gone: Vec<&str> = there
        .chains
        .iter()
        .map(|chain| chain.name.as_str())
        .filter(|name| wanted.chains.iter().all(|chain| chain.name != *name))
        .collect();
    for name in wanted.chains.iter().map(|chain| chain.name.as_str()).chain(gone.iter().copied().filter(|_| jumps)) {
        let _ = writeln!(text, ":{name} - [0:0]");
    }
    for line in wanted.chains.iter().flat_map(|chain| &chain.rules) {
        let _ = writeln!(text, "{}", rule(line));
    }
    if jumps {
        write_jumps(&mut text, there, wanted);
        for name in gone {
            let _ = writeln!(text, "-X {name}");
        }
    }
    text.push_str("COMMIT\n");
    text
}

fn write_jumps(text: &mut String, there: &OwnTable, wanted: &OwnTable) {
    if jumps_are_right(there, wanted) {
        return;
    }
    for jump in &there.jumps {
        let _ = writeln!(text, "-D {} {}", jump.chain, jump.rule);
    }
    let mut before: Vec<&str> = Vec::new();
    for jump in &wanted.jumps {
        let other = there.others.iter().find(|(chain, _)| *chain == jump.chain);
        // A chain of somebody else's that is gone cannot lead to us any more.
        if other.is_none() && !is_builtin(&jump.chain) {
            continue;
        }
        let rules = other.map_or(0, |(_, rules)| *rules);
        let own = before.iter().filter(|chain| **chain == jump.chain).count();
        let number = jump.behind.unwrap_or(0).min(rules) + own + 1;
        let _ = writeln!(text, "-I {} {number} {}", jump.chain, jump.rule);
        before.push(&jump.chain);
    }
}
