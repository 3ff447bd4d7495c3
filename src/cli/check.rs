//! `ringfence hook check`: what was applied last is in force, or is brought back.
//!
//! - What is kept is read under the lock: whatever an apply or a remove did meanwhile counts.
//! - While rules of ours are in force the cluster file is not looked at: what nobody applied stays so.
//! - Where none are and some should be, somebody took them away. Then something comes back in any case: what waits to be
//!   confirmed, else what was applied last, else what the start of the machine would bring in, which may be closed ports.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Context as _;

use super::boot;
use super::ends;
use super::host::{
    BackendChoice, HostArguments, SiteArguments, applied_text, live_site, no_right, note, own_links, where_rules_are,
};
use super::input::{Input, default_config, moved};
use super::journal;
use super::output::{self, log, print, say};
use super::ways::{all_objections, allowances, in_use};
use crate::cluster::{self, Cluster, Site};
use crate::diagnostic::Severity;
use crate::diff::difference_on_host;
use crate::host::apply::{Host, Plan, apply, stale};
use crate::host::bring_again;
use crate::host::deeds::Deeds;
use crate::host::identity::on_this_host;
use crate::host::judge::{Judgement, Standing, judge, judge_on};
use crate::host::known::Known;
use crate::host::pending::Pending;
use crate::host::plan::planned;
use crate::host::record::Kept;
use crate::host::store::{Place, Store};
use crate::host::{Backend, Changed, HostError, InForce, Prepared, nft, pending, read, read_again, record, reserved};
use crate::outcome::Outcome;
use crate::report::{Changes, Claimed, LETS_ON, Names, Others, claims_text};
use crate::verify::lets_on;

/// Whether nothing says that rules of ours were ever to be in force.
pub fn is_untouched(host: &Host) -> bool {
    matches!(record::kept(&host.store, record::GOOD), Ok(None))
        && matches!(record::kept(&host.store, record::CANDIDATE), Ok(None))
        && matches!(pending::waiting(&host.store), Ok(None))
        && !record::is_unkept(&host.store)
}

/// Whether rules of ours are seen in one of the two ways into the kernel.
pub fn in_force() -> bool {
    [Backend::Nft, Backend::Iptables].into_iter().any(|backend| read(backend).is_ok_and(|there| there.has_rules()))
}

/// What there is to say again and again while nothing is done: in each look only what the last one has not said.
#[derive(Default)]
pub struct Remark {
    before: BTreeMap<String, u64>,
    now: BTreeMap<String, u64>,
}

/// Where it is kept from one run of a unit to the next, up to the end of the machine's run.
const SAID: &str = "said";
/// So long, in seconds: a journal forgets, too.
const SAID_AGAIN: u64 = 24 * 60 * 60;

impl Remark {
    /// What the last run of a unit said; nothing where somebody reads it who has read nothing yet.
    pub fn of_last_run(store: &Store) -> Self {
        let said =
            if journal::is_read() { record::read_json(store, Place::Volatile, SAID).ok().flatten() } else { None };
        Self { before: BTreeMap::new(), now: said.unwrap_or_default() }
    }

    /// Another look begins.
    fn begin(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    /// Says it, unless the last look did, within a day.
    pub fn say(&mut self, words: String) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let before = self.before.get(&words).copied().filter(|before| now.saturating_sub(*before) < SAID_AGAIN);
        if before.is_none() {
            // Errors begin as everywhere.
            if words.starts_with("error: ") { say(&words) } else { log(&words) }
        }
        self.now.insert(words, before.unwrap_or(now));
    }

    /// For the next run. Where it cannot be kept, it is said once more.
    pub fn keep(&self, store: &Store) {
        let _ = if self.now.is_empty() {
            store.remove(Place::Volatile, SAID).map_err(HostError::from)
        } else {
            record::write_json(store, Place::Volatile, SAID, &self.now)
        };
    }
}

pub fn run(arguments: &HostArguments) -> anyhow::Result<Outcome> {
    let store = arguments.host().store;
    let mut remark = Remark::of_last_run(&store);
    let outcome = run_again(arguments, &mut remark).unwrap_or_else(|error| {
        remark.say(format!("error: {error:#}"));
        ends::of(&error)
    });
    remark.keep(&store);
    Ok(outcome)
}

/// The same for whoever looks often.
pub fn run_again(arguments: &HostArguments, remark: &mut Remark) -> anyhow::Result<Outcome> {
    let host = &arguments.host();
    remark.begin();
    if is_untouched(host) {
        return Ok(Outcome::Success);
    }
    if let Some(why) = no_right() {
        log(&format!("nothing was done: {why}"));
        return Ok(Outcome::Success);
    }
    let lock = arguments.wait.lock(host, "ringfence hook check")?;
    match look(host, remark) {
        Ok((text, outcome)) => {
            drop(lock);
            print(&text)?;
            Ok(outcome)
        }
        // Who cannot ask does not know that nothing is.
        Err(error) if nft::is_here().is_ok() && !in_force() => {
            remark.say(format!("DRIFTED: nothing of ringfence is in force: {error:#}"));
            let kept = record::kept(&host.store, record::GOOD).ok().flatten();
            let config = kept.map_or_else(default_config, |kept| moved(kept.record.config));
            let site = SiteArguments { node: Vec::new(), backend: BackendChoice::Auto };
            boot::run_again(&Input { config, json: false }, &site, host)
        }
        Err(error) => Err(error),
    }
}

/// What there is to say, where nothing more is to be done, and how it ends.
fn look(host: &Host, remark: &mut Remark) -> anyhow::Result<(String, Outcome)> {
    if let Some(pending) = pending::waiting(&host.store)? {
        return look_at_waiting(host, &pending, remark);
    }
    let kept = record::kept(&host.store, record::GOOD).context("what was applied last cannot be read")?;
    match kept {
        Some(kept) => look_at_good(host, &kept, remark),
        None if record::is_unkept(&host.store) && !in_force() => {
            anyhow::bail!("somebody took away what the start of the machine brought in")
        }
        None if record::is_unkept(&host.store) => look_at_unkept(host, remark),
        None => Ok((String::new(), Outcome::Success)),
    }
}

/// What the start of the machine brought in was never applied by anybody: that is no state to leave a host in, and is said as long as
/// it lasts.
fn look_at_unkept(host: &Host, remark: &mut Remark) -> anyhow::Result<(String, Outcome)> {
    let config = default_config();
    // What can be used by now is only to be applied.
    let is_usable = cluster::load(&config).is_ok_and(|loaded| {
        loaded.cluster.is_some() && loaded.findings.iter().all(|one| one.severity() != Severity::Error)
    });
    let why = if config.exists() {
        format!("{} cannot be used", config.display())
    } else {
        format!("there is no cluster file {}", config.display())
    };
    let closed = match boot::closed(&config, host) {
        Some(cluster) => {
            let site = live_site(&cluster, None)?;
            let backend = where_rules_are()?;
            let links = own_links().unwrap_or_default();
            let judgement = judge(&site, &read(backend)?, &links)?;
            judgement
                .standing
                .is_ours()
                .then(|| boot::closed_text(&config, host, Some(why.as_str()).filter(|_| !is_usable), &site.protected()))
        }
        None => None,
    };
    remark.say(closed.unwrap_or_else(|| {
        "NOT APPLIED: what is in force was brought in by the start of the machine, and nobody ever applied it; `ringfence apply` does"
            .to_owned()
    }));
    Ok((String::new(), Outcome::FellBack))
}

fn look_at_waiting(host: &Host, pending: &Pending, remark: &mut Remark) -> anyhow::Result<(String, Outcome)> {
    if read(pending.backend)?.has_rules() {
        remark.say("a change is waiting to be confirmed; nothing was done".to_owned());
        return Ok((String::new(), Outcome::Success));
    }
    let kept = record::kept(&host.store, record::CANDIDATE)?.filter(|kept| kept.record == pending.record);
    let kept = kept.context("the change that waits to be confirmed cannot be read")?;
    let cluster = kept.load().cluster.context("the change that waits to be confirmed cannot be used")?;
    let site = site(&kept, &cluster)?;
    let links = own_links().unwrap_or_default();
    let judgement = bring_again(&Prepared::new(&site, pending.backend)?, &site, &links)?;
    log(
        "DRIFTED: nothing of ringfence was in force; the change that waits to be confirmed was brought back, and waits on",
    );
    Ok((claims_text(&Claimed::on_host(&judgement), "what the kernel holds"), ends(judgement.standing)))
}

/// What somebody applied to log only is what was applied last, and as it is wanted by whoever looks for that.
fn ends(standing: Standing) -> Outcome {
    match standing {
        Standing::Staged => Outcome::Success,
        Standing::Enforced
        | Standing::NotApplied
        | Standing::Drifted
        | Standing::Shadowed
        | Standing::Undecided
        | Standing::Absent
        | Standing::Closed => standing.outcome(),
    }
}

fn site<'a>(kept: &Kept, cluster: &'a Cluster) -> anyhow::Result<Site<'a>> {
    let site = kept.record.site(cluster).context("what was applied has not the node it was applied for")?;
    Ok(on_this_host(site)?)
}

fn look_at_good(host: &Host, kept: &Kept, remark: &mut Remark) -> anyhow::Result<(String, Outcome)> {
    let cluster = kept.load().cluster.context("what was applied last cannot be used")?;
    let site = site(kept, &cluster)?;
    let backend = kept.record.backend;
    let links = own_links().unwrap_or_default();
    let in_force = read_again(backend, &host.store)?;
    if !in_force.look.is_derived() {
        Known::note(&host.store, &in_force);
    }
    let judgement = judge_on(host, &site, &in_force, &links)?;
    let unreserved = reserved::without(&site.protected(), &reserved::in_force().unwrap_or_default());
    // Rules that do what the file says stay as they are, whoever wrote them.
    let enforced = matches!(judgement.standing, Standing::Enforced | Standing::Staged);
    if judgement.standing == Standing::Staged {
        remark.say(format!("{}: {LETS_ON}", judgement.standing.words()));
    }
    if enforced && unreserved.is_empty() {
        pending::note_taken_back(&host.store);
        return Ok((String::new(), Outcome::Success));
    }
    // To open ports is for somebody who is there, whatever was remembered of what was applied last.
    if cluster.guard().is_staged() && !in_force.absent && !lets_on(&in_force.ruleset) {
        remark.say(format!(
            "{}: what is in force blocks, and what was applied last only logs: nothing was done; `ringfence apply` decides",
            judgement.standing.words()
        ));
        return Ok((String::new(), Outcome::No));
    }
    let prepared = Prepared::new(&site, backend)?;
    // Where there is nothing to bring back, nothing is, and what there is to say is said.
    let nothing = || {
        let of_ours = !judgement.left_behind && judgement.openings.is_empty();
        Ok::<_, HostError>(of_ours && planned(&prepared, &in_force)? == Changed::Nothing)
    };
    if !enforced && unreserved.is_empty() && nothing()? {
        let words = judgement.standing.words();
        let others = Others::of(&in_force, &judgement.around);
        let mut shadows = others.shadows();
        if judgement.standing == Standing::Undecided {
            shadows.push(others.doubt_and_why());
        }
        let why = judgement.vrfs.iter().chain(&shadows).next();
        let why = why.map_or("`ringfence status` says why", String::as_str);
        remark.say(format!("{words}, and there is nothing to bring back: {why}"));
        return Ok((String::new(), judgement.standing.outcome()));
    }
    if enforced {
        log(&format!("reserved ports were missing: {}", record::text(&unreserved)));
    } else {
        say_drift(&in_force, &judgement, &prepared, &site);
    }
    // What cannot be looked at is no reason to leave ports open.
    let allowed = in_use(&site, &all_objections(&site, &links, None).unwrap_or_default());
    allowed.iter().for_each(|one| log(&one.allowance()));
    let allowances = allowances(&allowed);
    let plan = Plan {
        site: &site,
        prepared: &prepared,
        config: &kept.record.config,
        confirm_within: None,
        cut_outgoing: false,
        links: &links,
        keep: false,
        boot: false,
        allow_not_through: true,
        agreed: None,
        allowances: &allowances,
    };
    let applied = apply(host, &plan, None)?;
    output::changed();
    if applied.judgement.standing.is_ours() && applied.judgement.openings.is_empty() {
        pending::note_taken_back(&host.store);
    }
    // What is worth a note is no reason to have done nothing.
    let _ = Deeds::allow(&host.store, &kept.record, &allowances);
    note(host, &site, &kept.record.config, &applied);
    Ok((applied_text(&site, backend, &applied), ends(applied.judgement.standing)))
}

/// What was found, for the log.
fn say_drift(in_force: &InForce, judgement: &Judgement, prepared: &Prepared, site: &Site<'_>) {
    if in_force.absent {
        log("DRIFTED: nothing of ringfence was in force; what was applied last is brought back");
        return;
    }
    log(&format!("{}; what was applied last is brought back", judgement.standing.words()));
    if judgement.left_behind {
        say(&stale(in_force.backend));
    }
    for line in &judgement.openings {
        say(&format!("what other firewalls of this host let through: {line}"));
    }
    say(claims_text(&Claimed::on_host(judgement), "what the kernel held").trim_end());
    if let Ok(found) = difference_on_host(prepared.verified.ruleset(), &in_force.ruleset, site.elsewhere()) {
        let changes = Changes::of(&found, Names { clusters: [None, None] });
        if judgement.openings.is_empty() || !changes.same {
            say(changes.apart().trim_end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever looks each minute says it once, and again once it was otherwise meanwhile.
    #[test]
    fn each_look_says_what_the_last_one_has_not_said() {
        let mut remark = Remark::default();
        let mut look = |words: &[&str]| {
            remark.begin();
            let is_new = words.iter().map(|words| !remark.before.contains_key(*words)).collect::<Vec<_>>();
            words.iter().for_each(|words| remark.say((*words).to_owned()));
            is_new
        };
        assert_eq!(look(&["CLOSED", "STAGED"]), [true, true]);
        assert_eq!(look(&["CLOSED", "STAGED"]), [false, false]);
        assert_eq!(look(&["CLOSED", "SHADOWED"]), [false, true]);
        assert_eq!(look(&[]), [true; 0]);
        assert_eq!(look(&["CLOSED"]), [true]);
        // When it was said first stays, so that it is said again after a day.
        let day = SAID_AGAIN;
        remark.now.insert("CLOSED".to_owned(), 7);
        remark.begin();
        remark.say("CLOSED".to_owned());
        assert!(remark.now["CLOSED"] > day);
        let said = remark.now["CLOSED"];
        remark.begin();
        remark.say("CLOSED".to_owned());
        assert_eq!(remark.now["CLOSED"], said);
    }
}
