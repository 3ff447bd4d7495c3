//! What applying would change on this host, without touching anything.

use std::borrow::Cow;

use super::before::{before, cut_peers, running_nodes, unblocks};
use super::document;
use super::host::{SiteArguments, exposed, live_site, nobody, nodes_after, own_links};
use super::input::{Input, node_findings};
use super::output::{present, say};
use super::ways::{all_objections, warnings};
use crate::cluster::{Cluster, Site};
use crate::diagnostic::{Code, Severity};
use crate::diff::difference_on_host;
use crate::host::agreed::{Agreed, Looked};
use crate::host::apply::Host;
use crate::host::around::Around;
use crate::host::judge::{Judgement, Standing, judge_on};
use crate::host::links::Link;
use crate::host::plan::{foreign, plan};
use crate::host::record::Kept;
use crate::host::sessions::affected;
use crate::host::{Backend, Changed, HostError, InForce, Prepared, pending, place, read, read_again, record};
use crate::ir::Ruleset;
use crate::outcome::Outcome;
use crate::report::{
    Body, Changes, Effect, Member, Names, Objection, Others, Planned, Together, rules_difference, sessions_of,
};
use crate::verify::own_part;

/// What was found, and how it ends.
pub struct Ahead {
    pub planned: Planned,
    /// On what it would be agreed to, where that was asked for.
    pub agreed: Option<Agreed>,
    outcome: Outcome,
}

/// Who asks for it.
pub struct Asking<'a> {
    /// Whether `--allow` names an objection.
    pub allowed: &'a dyn Fn(&str) -> bool,
    /// Where what speaks against it is said: whoever applies right behind says it once more.
    pub say: &'a dyn Fn(&str),
    /// Whether somebody may agree to it for later.
    pub agrees: bool,
    /// Whether a change that waits is told of as well; whoever applies right behind refuses because of it, or replaces it.
    pub tells_of_waiting: bool,
}

/// `diff [CONFIG]` and `apply --dry-run`.
pub fn run(
    input: &Input,
    arguments: &SiteArguments,
    host: &Host,
    meaning_only: bool,
    allowed: impl Fn(&str) -> bool,
) -> anyhow::Result<Outcome> {
    let asking = Asking { allowed: &allowed, say: &say, agrees: false, tells_of_waiting: true };
    Ok(shown(input, arguments, host, meaning_only, &asking)?.map_or_else(|outcome| outcome, |(_, outcome)| outcome))
}

/// Shows what would change; what that is, and how it ends.
pub fn shown(
    input: &Input,
    arguments: &SiteArguments,
    host: &Host,
    meaning_only: bool,
    asking: &Asking<'_>,
) -> anyhow::Result<Result<(Ahead, Outcome), Outcome>> {
    let asked = &arguments.node;
    let Some(cluster) = input.load(|cluster| node_findings(cluster, asked))? else {
        return Ok(Err(Outcome::Unusable));
    };
    let found = match ahead(&cluster, arguments, host, asking)? {
        Ok(found) => found,
        Err(outcome) => return Ok(Err(outcome)),
    };
    let planned = &found.planned;
    present(|| Body::Diff(Box::new(planned.clone())), || planned.text(meaning_only))?;
    let outcome = found.outcome;
    Ok(Ok((found, outcome)))
}

/// The same for a cluster file that was read; or how it ends where nothing can be shown.
pub fn ahead(
    cluster: &Cluster,
    arguments: &SiteArguments,
    host: &Host,
    asking: &Asking<'_>,
) -> anyhow::Result<Result<Ahead, Outcome>> {
    let links = own_links()?;
    let kept = record::kept(&host.store, record::GOOD);
    let ForWhom { site, objections, refused } = match for_whom(cluster, arguments, host, &kept, &links, asking)? {
        Ok(found) => found,
        Err(outcome) => return Ok(Err(outcome)),
    };
    let backend = arguments.backend.choose(host)?;
    let kept = kept.ok().flatten();
    // What was applied is not read again where it is what is to be.
    let same = kept.as_ref().is_some_and(|kept| kept.record.digest == cluster.digest());
    let kept = kept.filter(|_| !same);
    let prepared = Prepared::without_texts(&site, backend)?;
    let in_force = read_again(backend, &host.store)?;
    let wanted = prepared.verified.ruleset();
    let work = plan(host, &site, &prepared, &in_force, &links, false)?;
    let looked = || Looked { host, site: &site, prepared: &prepared, in_force: &in_force, work: &work, links: &links };
    let agreed = asking.agrees.then(|| Agreed::of(&looked())).transpose()?;
    let judgement = judge_on(host, &site, &in_force, &links)?;
    // What comes of the rules of others is asked for those that are wanted.
    let around = match backend {
        _ if work.answers.is_some() => Around::ahead(work.answers.clone().unwrap_or_default()),
        _ if in_force.alone => Around::of_routes(&site, &links, &in_force),
        Backend::Nft => Around::of(&site, &links, &in_force, Some(wanted)),
        Backend::Iptables => Around::of(&site, &links, &in_force, None),
    };
    for doubt in doubts(&in_force, &judgement) {
        (asking.say)(&format!("warning: {doubt}"));
    }
    // Where rules of ours are in the other way, they go, and whom they block gains something.
    let other = if work.stale.is_some() { read(backend.other()).ok() } else { None };
    let now = other.as_ref().filter(|_| in_force.absent).map_or(&in_force.ruleset, |other| &other.ruleset);
    // Rules of others in iptables stay where they are.
    let ours = other.as_ref().map_or_else(|| own_part(&in_force.ruleset), |other| both(&in_force, other));
    let found = difference_on_host(&ours, wanted, site.elsewhere())?;
    let foreign = if work.rules == Changed::Rules { foreign(host, &prepared, &in_force)? } else { Vec::new() };
    let read = kept.and_then(|kept| kept.load().cluster);
    let old = if same { Some(cluster) } else { read.as_ref() };
    let sessions = affected(&site, (!in_force.absent || other.is_some()).then_some(now), &links)?;
    let writes_rules = work.rules != Changed::Nothing;
    let members = Member::between(&in_force.ruleset, wanted, old, cluster);
    let meaning = Changes::of(&found, Names { clusters: [old, Some(cluster)] });
    let planned = Planned {
        node: site.node_names(),
        state: judgement.standing,
        backend,
        absent: in_force.absent && work.stale.is_none(),
        elsewhere: in_force.absent && work.stale.is_some(),
        effect: Effect::of(&work, work.rules, members, meaning, foreign),
        cut: sessions_of(&sessions.cut),
        outgoing: sessions_of(&sessions.outgoing),
        others: Others::of(&in_force, &around),
        with_openings: work.answers.is_some(),
        exposed: exposed(&site.protected(), site.node_names().as_deref()).0,
        objections,
        together: Together::of(&site),
        rules: if writes_rules { rules_difference(&in_force, wanted) } else { String::new() },
    };
    let outcome = match refused {
        Some(refused) => refused,
        None if work.is_nothing() => Outcome::Success,
        None => Outcome::No,
    };
    Ok(Ok(Ahead { planned, agreed, outcome }))
}

/// What is ours in both ways into the kernel, where each packet has to pass either.
fn both(one: &InForce, other: &InForce) -> Cow<'static, Ruleset> {
    let mut both = own_part(&one.ruleset).into_owned();
    let Ruleset { sets, tables, unread, .. } = own_part(&other.ruleset).into_owned();
    both.sets.extend(sets);
    both.tables.extend(tables);
    both.unread.extend(unread);
    Cow::Owned(both)
}

/// Whose rules they are.
struct ForWhom<'a> {
    site: Site<'a>,
    objections: Vec<Objection>,
    /// How apply would end that refuses them.
    refused: Option<Outcome>,
}

/// Whose rules they are, or how it ends where that cannot be said.
fn for_whom<'a>(
    cluster: &'a Cluster,
    arguments: &SiteArguments,
    host: &Host,
    kept: &Result<Option<Kept>, HostError>,
    links: &[Link],
    asking: &Asking<'_>,
) -> anyhow::Result<Result<ForWhom<'a>, Outcome>> {
    let Asking { allowed, say: tell, .. } = asking;
    let mut refused = if asking.tells_of_waiting { refusal(host, tell) } else { None };
    let mut objections: Vec<Objection> = Vec::new();
    if let Some(other) = before(kept, cluster, &arguments.node, links).objection() {
        let other = Objection::of(&other, cluster, allowed);
        tell(&other.ahead());
        objections.push(other);
    }
    if let Some(unblocks) = unblocks(kept, cluster) {
        let unblocks = Objection::of(&unblocks, cluster, allowed);
        tell(&unblocks.ahead());
        objections.push(unblocks);
    }
    let nodes = match nodes_after(cluster, kept, &arguments.node, links) {
        Ok(nodes) => Some(nodes),
        Err(error) if !arguments.node.is_empty() => {
            say(&format!("refused: {}: {}", error.code(), error.message(cluster)));
            document::add_error(error.code().as_str(), error.message(cluster));
            return Ok(Err(nobody(&error)));
        }
        Err(error) => {
            let message = format!("{}: {}", Code::NoNode, error.message(cluster));
            let none = Objection::new(Code::NoNode, message, allowed(Code::NoNode.as_str()));
            tell(&format!("warning: {}", none.message));
            tell("warning: shown are the rules that fit every node");
            refused = refused.or_else(|| Some(nobody(&error)).filter(|_| !none.allowed));
            objections.push(none);
            None
        }
    };
    let site = live_site(cluster, nodes.as_deref())?;
    for objection in &all_objections(&site, links, place::ssh_session())? {
        let objection = Objection::of(objection, cluster, allowed);
        tell(&objection.ahead());
        objections.push(objection);
    }
    for warning in warnings(&site.protected(), links) {
        tell(&warning.line());
        document::add_said(warning.severity, warning.code.map(Code::as_str), warning.words);
    }
    if let Some(cut) = cut_peers(host, &site, links) {
        tell(&format!("warning: {cut}"));
        objections.push(Objection::new(Code::CutPeer, cut, true));
    }
    if let Some(running) = running_nodes(host, &site) {
        tell(&format!("warning: {running}"));
        document::add_said(Severity::Warning, Some(Code::RunningNode.as_str()), running);
    }
    let refused = refused.or_else(|| objections.iter().any(|one| !one.allowed).then_some(Outcome::No));
    Ok(Ok(ForWhom { site, objections, refused }))
}

/// Why apply would not even look at the file.
fn refusal(host: &Host, tell: &dyn Fn(&str)) -> Option<Outcome> {
    let error = match pending::waiting(&host.store) {
        Ok(None) => return None,
        Ok(Some(pending)) if pending.confirmed => return None,
        Ok(Some(_)) => HostError::Waiting,
        Err(error) => error,
    };
    let words = error.to_string();
    let words = format!("apply refuses now: {}", words.strip_suffix("; nothing was changed").unwrap_or(&words));
    tell(&format!("error: {words}"));
    document::add_error(error.code(), words);
    Some(error.outcome())
}

/// What of others applying does not mend, beside what is told of their rules.
fn doubts(in_force: &InForce, judgement: &Judgement) -> Vec<String> {
    let words = judgement.standing.words();
    match judgement.standing {
        Standing::Shadowed if !judgement.report.is_proved() => vec![format!("{words}: a rule of somebody else")],
        Standing::Shadowed => judgement.vrfs.iter().map(|vrf| format!("{words}: {vrf}")).collect(),
        Standing::Undecided => {
            let doubt = Others::of(in_force, &judgement.around).doubt_and_why();
            vec![format!("{words}: {doubt}, see `ringfence status`")]
        }
        Standing::Enforced
        | Standing::Staged
        | Standing::NotApplied
        | Standing::Drifted
        | Standing::Absent
        | Standing::Closed => Vec::new(),
    }
}
