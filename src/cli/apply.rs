//! `ringfence apply`: brings the rules into force.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};

use super::before::{Before, before, cut_peers, is_in_force, running_nodes, unblocks};
use super::document;
use super::host::{
    BackendChoice, HostArguments, SiteArguments, applied_facts, duration, live_site, need_root, nobody, nodes_after,
    note, own_links,
};
use super::input::{Input, node_findings};
use super::output::{self, Undone, print, say};
use super::waiting::changes_to;
use super::ways::{all_objections, allowances, warnings};
use super::{boot, live, plan};
use crate::cluster::{AND, Cluster, Node, Site};
use crate::compile::admitted;
use crate::diagnostic::Severity;
use crate::host::agreed::{self, Agreed, Looked};
use crate::host::apply::{Applied, Host, Plan, apply};
use crate::host::early::Early;
use crate::host::ending::rollback;
use crate::host::identity;
use crate::host::links::Link;
use crate::host::place;
use crate::host::record::Kept;
use crate::host::store::Lock;
use crate::host::time::utc;
use crate::host::{Backend, Changed, HostError, Prepared, plan as host_plan, read, record};
use crate::outcome::Outcome;
use crate::report::{self, Apply, Body, Confirm, Effect, Form, Objection, Planned};

/// Bring the rules of a cluster file into force on this host.
///
/// Compiles and proves them, changes the kernel in one transaction, reads back what it holds and proves that. Where that is not
/// what was proved, what was in force before is brought back.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    site: SiteArguments,
    #[command(flatten)]
    host: HostArguments,
    /// Take the change back unless `ringfence confirm` comes within this time: 60s, 5m.
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "boot")]
    confirm_within: Option<Duration>,
    /// Where a change waits to be confirmed, take it back first. In between what was in force before it is in force.
    #[arg(long, conflicts_with_all = ["dry_run", "boot"])]
    replace_waiting: bool,
    /// Only show what would change, as `ringfence diff` does.
    #[arg(long, conflicts_with_all = ["confirm_within", "boot"])]
    dry_run: bool,
    /// Apply despite this objection; several with commas.
    #[arg(long, value_enum, value_name = "OBJECTION", value_delimiter = ',')]
    allow: Vec<Allowed>,
    /// Also end the sessions that this host opened to hosts that are no longer admitted.
    #[arg(long)]
    cut_outgoing: bool,
    /// For the start of the machine: where the cluster file cannot be used, fall back to what was applied last, else
    /// close the ports for everyone.
    #[arg(long, conflicts_with = "json")]
    boot: bool,
    /// Bring in what `ringfence diff --out PLAN` saw, and nothing else: its cluster file, for its node, and only while the file, what is
    /// in force, and what else decides about the protected ports are as they were then.
    #[arg(long, value_name = "PLAN", conflicts_with_all = ["config", "node", "backend", "dry_run", "boot"])]
    plan: Option<PathBuf>,
    /// On what the change was agreed to.
    #[arg(skip)]
    agreed: Option<Agreed>,
    /// Nobody is there to confirm, or to read a warning.
    #[arg(skip)]
    unattended: bool,
}

impl Arguments {
    /// What is asked for where nobody is there to ask for more.
    pub fn plain(input: Input, host: HostArguments) -> Self {
        let site = SiteArguments { node: Vec::new(), backend: BackendChoice::Auto };
        Self {
            input,
            site,
            host,
            confirm_within: None,
            replace_waiting: false,
            dry_run: false,
            allow: Vec::new(),
            cut_outgoing: false,
            boot: false,
            plan: None,
            agreed: None,
            unattended: true,
        }
    }

    /// The form of the document that is asked for, if one is.
    pub fn document(&self) -> Option<Form> {
        self.input.json.then_some(if self.dry_run { Form::Diff } else { Form::Apply })
    }

    /// What a plan says of what is to be applied.
    fn follow(&mut self, plan: agreed::Plan) {
        let agreed::Plan { config, node, backend, agreed, .. } = plan;
        self.input.config = config;
        let node = node.iter().flat_map(|names| names.split(AND)).map(str::to_owned).collect();
        self.site = SiteArguments { node, backend: BackendChoice::of(backend) };
        self.agreed = Some(agreed);
    }

    pub fn site(&self) -> &SiteArguments {
        &self.site
    }

    /// What was applied once in spite of a route is not refused for that route later on.
    pub fn where_routes_are_no_news(mut self, cluster: &Cluster, host: &Host) -> Self {
        let kept = record::kept(&host.store, record::GOOD).ok().flatten();
        if kept.is_some_and(|kept| kept.record.digest == cluster.digest()) {
            self.allow.push(Allowed::OtherSource);
        }
        self
    }

    /// Whether `--allow` names it.
    pub fn allows(&self, word: &str) -> bool {
        let names = self.allow.iter().filter_map(ValueEnum::to_possible_value);
        names.into_iter().any(|name| name.get_name() == word)
    }
}

const EXAMPLES: &str = "\
Examples:
  ringfence apply --dry-run                 show what would change
  ringfence apply --confirm-within 60s      apply; taken back after a minute without `ringfence confirm`
  ringfence apply --plan change.plan        what `ringfence diff --out change.plan` showed, or nothing";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Allowed {
    /// The SSH session that this runs in may be cut.
    CutSsh,
    /// This host may be no node of the file: it gets the rules that fit every node.
    NoNode,
    /// An interface of the cluster file may be missing.
    MissingInterface,
    /// The node's address may be on no interface of this host.
    ForeignAddress,
    /// The node's address may be on an interface on which peers are not admitted.
    OtherInterface,
    /// Peers or a client may be admitted on an interface and not on its VRF.
    VrfInterface,
    /// The rules in force may be those of another cluster, whose ports are then guarded no more.
    OtherCluster,
    /// Peers may not know this host by the address that it takes towards them.
    OtherSource,
    /// Strangers who are blocked may be let on: `on-block = "log-only"` takes the place of rules that block.
    Unblocks,
    /// It may stay uncertain whether the admitted get through this host's other firewalls.
    NotThrough,
}

pub fn run(mut arguments: Arguments) -> anyhow::Result<Outcome> {
    if let Some(path) = arguments.plan.take() {
        let plan = match plan::read(&path)? {
            Ok(plan) => plan,
            Err(outcome) => return Ok(outcome),
        };
        arguments.follow(plan);
    }
    run_on(&arguments)
}

fn run_on(arguments: &Arguments) -> anyhow::Result<Outcome> {
    if arguments.dry_run {
        let allowed = |word: &str| arguments.allows(word);
        return live::run(&arguments.input, &arguments.site, &arguments.host.host(), false, allowed);
    }
    anyhow::ensure!(
        arguments.input.config != Path::new("-"),
        "apply needs a file: it is read again at boot and by `ringfence status`"
    );
    need_root()?;
    let host = arguments.host.host();
    if arguments.boot {
        return boot::run(&arguments.input, &arguments.site, &arguments.host.wait, &host);
    }
    let asked = &arguments.site.node;
    let early = Early::begin(&host, &arguments.input.config);
    let Some(cluster) = arguments.input.load_to(Undone::Changed, |cluster| node_findings(cluster, asked))? else {
        return Ok(Outcome::Unusable);
    };
    let what = if arguments.confirm_within.is_some() { "ringfence apply --confirm-within" } else { "ringfence apply" };
    let lock = arguments.host.wait.lock(&host, what)?;
    let outcome = bring(arguments, &cluster, &host, lock, early);
    // The process is about to end.
    std::mem::forget(cluster);
    outcome
}

/// Brings the rules of a cluster file that was read into force, or says why not. A look at the host may be under way.
pub fn bring(
    arguments: &Arguments,
    cluster: &Cluster,
    host: &Host,
    lock: Lock,
    early: Option<Early>,
) -> anyhow::Result<Outcome> {
    let links = own_links()?;
    let kept = record::kept(&host.store, record::GOOD);
    // Looked at under the same lock, so that both are about one state of the host.
    let planned = match planned(arguments, cluster, host)? {
        Ok(planned) => planned,
        Err(outcome) => return Ok(outcome),
    };
    if refused_for_what_was(arguments, cluster, before(&kept, cluster, &arguments.site.node, &links)) {
        return Ok(refusal(planned));
    }
    if refused(&said(arguments, cluster, unblocks(&kept, cluster).as_slice())) {
        return Ok(refusal(planned));
    }
    let nodes = match choose_nodes(arguments, cluster, &kept, &links)? {
        Ok(nodes) => nodes,
        Err(outcome) => {
            refusal(planned);
            return Ok(outcome);
        }
    };
    // What was applied is some megabytes, which nobody looks at any more.
    drop(kept);
    let site = live_site(cluster, nodes.as_deref())?;
    let prepare = || {
        let backend = arguments.site.backend.choose(host)?;
        Ok::<_, HostError>((backend, Prepared::without_texts(&site, backend)?))
    };
    let mut ready = None;
    // Before anything else speaks against it that was not there then; what counts is the look in the moment of the change.
    if let Some(agreed) = &arguments.agreed {
        let (backend, prepared) = ready.insert(prepare()?);
        let in_force = read(*backend)?;
        let work = host_plan::plan(host, &site, prepared, &in_force, &links, false)?;
        let links = links.as_slice();
        agreed.hold(&Looked { host, site: &site, prepared, in_force: &in_force, work: &work, links })?;
    }
    let objections = all_objections(&site, &links, place::ssh_session())?;
    let objections = said(arguments, cluster, &objections);
    if refused(&objections) {
        return Ok(refusal(planned));
    }
    for warning in warnings(&site.protected(), &links) {
        say(&warning.line());
    }
    let (backend, prepared) = ready.map_or_else(prepare, Ok)?;
    if let Some(cut) = cut_peers(host, &site, &links)
        && warned_or_refused(arguments, &cut)
    {
        return Ok(refusal(planned));
    }
    if let Some(running) = running_nodes(host, &site) {
        say(&format!("warning: {running}"));
    }
    let plan = Plan {
        site: &site,
        prepared: &prepared,
        config: &arguments.input.config,
        confirm_within: arguments.confirm_within,
        cut_outgoing: arguments.cut_outgoing,
        links: &links,
        keep: true,
        boot: false,
        allow_not_through: arguments.allow.contains(&Allowed::NotThrough),
        agreed: arguments.agreed.as_ref(),
        allowances: &allowances(&objections),
    };
    if arguments.replace_waiting {
        match rollback(host) {
            Ok(_) => say("the change that waited to be confirmed was taken back"),
            Err(HostError::NothingWaits) => {}
            Err(other) => return Err(other.into()),
        }
    }
    let applied = apply(host, &plan, early)?;
    output::changed();
    note(host, &site, &arguments.input.config, &applied);
    // Whoever reads slowly, or not at all, must not keep others from confirming or taking back.
    drop(lock);
    show(arguments, &site, planned, &applied, &applied_facts(&site, backend, &applied))?;
    if arguments.cut_outgoing && applied.changed == Changed::Nothing {
        say(
            "warning: `--cut-outgoing` ends sessions to hosts that the same change removes, and this run changed nothing: `ss -K dst ADDRESS` ends a session that an earlier change left",
        );
    }
    if arguments.confirm_within.is_some() && applied.pending.is_none() {
        print("nothing changed in the kernel, so nothing waits to be confirmed\n")?;
    }
    let outcome = match &applied.pending {
        Some(_) if applied.time_left.is_none() => Outcome::Unconfirmed,
        _ if applied.kept => applied.judgement.standing.outcome(),
        _ => Outcome::Unusable,
    };
    // The process is about to end.
    std::mem::forget((applied, prepared));
    Ok(outcome)
}

/// What would be written, where a document is to say it; or how it ends where that cannot be said.
fn planned(arguments: &Arguments, cluster: &Cluster, host: &Host) -> anyhow::Result<Result<Option<Planned>, Outcome>> {
    // Whoever is to confirm is to know what; what was before in iptables is not kept in a form that tells it behind.
    let waits = arguments.confirm_within.is_some() && arguments.site.backend.choose(host)? == Backend::Iptables;
    if !document::is_wanted() && !waits {
        return Ok(Ok(None));
    }
    // What speaks against it is said by whoever refuses it.
    let asking =
        live::Asking { allowed: &|word| arguments.allows(word), say: &|_| {}, agrees: false, tells_of_waiting: false };
    match live::ahead(cluster, &arguments.site, host, &asking) {
        Ok(found) => Ok(found.map(|ahead| Some(ahead.planned))),
        // Applying does not rest on it, and is not to depend on the form of what is said.
        Err(error) => {
            document::add_said(Severity::Warning, None, format!("what would change cannot be told: {error:#}"));
            Ok(Ok(None))
        }
    }
}

/// That it is refused, in the document as well.
fn refusal(planned: Option<Planned>) -> Outcome {
    if let Some(Planned { objections, .. }) = planned {
        let refused = Apply { effect: Effect::nothing(), objections, confirm: None, applied: None };
        document::set(Body::Apply(Box::new(refused)));
    }
    Outcome::No
}

/// What was done, in words or as a document.
fn show(
    arguments: &Arguments,
    site: &Site<'_>,
    planned: Option<Planned>,
    applied: &Applied,
    facts: &report::Applied,
) -> anyhow::Result<()> {
    if !document::is_wanted() {
        print(&facts.text())?;
        let Some(pending) = &applied.pending else { return Ok(()) };
        // The time to confirm goes by, so that nothing is asked that is known.
        let meaning = changes_to(&arguments.host.host(), pending, site, &applied.in_force.ruleset);
        let meaning = meaning.or(planned.map(|planned| planned.effect.meaning));
        let meaning = meaning.map(|meaning| meaning.text_on_host(true)).unwrap_or_default();
        let when = if applied.work.stale.is_some() {
            "once it is confirmed and ringfence's other rules are gone"
        } else {
            "now"
        };
        return print(&format!("{meaning}who gets through {when}:\n{}\n", admitted(site).join("\n")));
    }
    let confirm = applied.pending.is_some().then(|| Confirm {
        command: arguments.host.confirming(),
        seconds: applied.time_left.map(|time| time.as_secs_f64()),
        deadline: applied.time_left.map(|time| utc(SystemTime::now() + time)),
    });
    let (effect, objections) =
        planned.map_or_else(|| (Effect::nothing(), Vec::new()), |planned| (planned.effect, planned.objections));
    let effect = effect.done(&applied.work, applied.changed);
    document::set(Body::Apply(Box::new(Apply { effect, objections, confirm, applied: Some(facts.clone()) })));
    Ok(())
}

/// `None`: the rules that fit every node. An outcome: refused, and said so.
fn choose_nodes<'a>(
    arguments: &Arguments,
    cluster: &'a Cluster,
    kept: &Result<Option<Kept>, HostError>,
    links: &[Link],
) -> anyhow::Result<Result<Option<Vec<&'a Node>>, Outcome>> {
    match nodes_after(cluster, kept, &arguments.site.node, links) {
        Ok(nodes) => Ok(Ok(Some(nodes))),
        Err(_) if arguments.allow.contains(&Allowed::NoNode) && arguments.site.node.is_empty() => Ok(Ok(None)),
        Err(error) => {
            let how = match nobody(&error) {
                Outcome::No => "; `--allow no-node` applies the rules that fit every node",
                _ => "",
            };
            say(&format!("refused: {}: {}{how}\nnothing was changed", error.code(), error.message(cluster)));
            Ok(Err(nobody(&error)))
        }
    }
}

/// What speaks against it, as it is said.
fn said(arguments: &Arguments, cluster: &Cluster, objections: &[identity::Objection]) -> Vec<Objection> {
    // Who called may take no such argument.
    let command = if arguments.unattended { "ringfence apply " } else { "" };
    let all = objections.iter().map(|one| Objection::of(one, cluster, |word| arguments.allows(word)));
    all.inspect(|one| say(&one.refusal(command))).collect()
}

fn refused(objections: &[Objection]) -> bool {
    let refused = objections.iter().any(|one| !one.allowed);
    if refused {
        say("nothing was changed");
    }
    refused
}

/// The rules in force are of another cluster; or it is not known of which, which nobody but somebody who is there may decide.
fn refused_for_what_was(arguments: &Arguments, cluster: &Cluster, before: Before) -> bool {
    match before {
        Before::Unknown(why) if arguments.unattended && is_in_force() => warned_or_refused(arguments, &why),
        before => refused(&said(arguments, cluster, before.objection().as_slice())),
    }
}

/// Says what somebody who is there may decide about; whether that is a refusal.
fn warned_or_refused(arguments: &Arguments, words: &str) -> bool {
    say(&match arguments.unattended {
        true => format!("refused: {words}\nnothing was changed"),
        false => format!("warning: {words}"),
    });
    arguments.unattended
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Code;

    #[test]
    fn what_may_be_allowed_has_a_code() {
        for allowed in Allowed::value_variants() {
            let name = allowed.to_possible_value().unwrap().get_name().to_owned();
            assert!(Code::ALL.iter().any(|code| code.as_str() == name), "`{name}` is no code of a finding");
        }
    }
}
