//! `ringfence status`: whether the rules are in force.

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::thread;

use clap::Args;

use super::host::{
    BackendChoice, SiteArguments, StateArguments, exposed, live_site, own_links, own_nodes, where_rules_are,
};
use super::input::{Input, default_config, moved, node_findings};
use super::meant::{Meant, by_hand, meant, since};
use super::output::{Undone, present, print_findings, say, warn};
use super::today::Today;
use super::waiting::changes_of;
use super::ways::{in_use, sources, unknown_sources, warnings};
use super::{boot, metrics};
use crate::cluster::{self, Cluster, Site, Term};
use crate::diagnostic::{Severity, Sources};
use crate::dialect::netlink::RequestError;
use crate::diff::difference_on_host;
use crate::host::apply::{Host, stale};
use crate::host::around::Around;
use crate::host::early::Early;
use crate::host::identity::{Objection, objections};
use crate::host::judge::{Judgement, Standing, judge, judge_both_at_once};
use crate::host::known::Known;
use crate::host::links::Link;
use crate::host::pending::{self, Pending};
use crate::host::sources::Ends;
use crate::host::status::Seen;
use crate::host::through::known::at_start;
use crate::host::through::saved::saved;
use crate::host::{Backend, InForce, Prepared, deeds, iptables, left_behind, logged, nft, read, record, reserved};
use crate::net::Ports;
use crate::outcome::Outcome;
use crate::report::{Blocked, Body, Changes, Drift, How, LastApplied, Members, Names, Others, Status, Together};
use crate::verify::lets_on;

/// Say whether the rules of the cluster file are in force on this host.
///
/// That Erlang listens where no rule guards is not as wanted either.
#[derive(Args)]
pub struct Arguments {
    /// The cluster file, or the folder of several; otherwise what was applied last.
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Print it as one document of JSON, of a schema in /usr/share/ringfence/schemas.
    #[arg(long)]
    json: bool,
    /// Also write metrics in the text format of Prometheus, for the textfile collector of node_exporter.
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Read everything again, even if the kernel says that nothing has changed.
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    site: SiteArguments,
    #[command(flatten)]
    host: StateArguments,
    #[command(flatten)]
    today: Today,
}

impl Arguments {
    /// Whether a document is asked for.
    pub fn json(&self) -> bool {
        self.json
    }

    /// What was applied last, for whoever writes metrics only.
    fn of(host: &StateArguments) -> Self {
        let site = SiteArguments { node: Vec::new(), backend: BackendChoice::Auto };
        Self {
            config: None,
            json: false,
            metrics: None,
            full: false,
            site,
            host: host.clone(),
            today: Today::default(),
        }
    }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let found = look(arguments);
    let written =
        arguments.metrics.as_ref().map(|file| metrics::write(file, found.as_ref().ok().and_then(Option::as_ref)));
    let Some(document) = found? else { return Ok(Outcome::Unusable) };
    present(|| Body::Status(Box::new(document.clone())), || document.text())?;
    // Whoever asks wants to know it, whatever became of the file.
    written.transpose()?;
    Ok(match document.state {
        Standing::Enforced if !document.exposed.is_empty() || !document.objections.is_empty() => Outcome::No,
        Standing::Enforced if !document.erlang_seen => Outcome::Unusable,
        // Nothing brings them back, neither at the start of the machine nor later.
        Standing::Enforced if document.by_hand.is_some() => Outcome::Unconfirmed,
        Standing::Absent if document.is_hidden => Outcome::Undecided,
        standing => standing.outcome(),
    })
}

/// Writes the metrics of what was applied last.
///
/// # Errors
/// Where the file cannot be written. That nobody could look is in the file.
pub fn note_metrics(file: &Path, host: &StateArguments) -> anyhow::Result<()> {
    let found = look(&Arguments::of(host)).unwrap_or_else(|error| {
        say(&format!("warning: what is in force is not known: {error:#}"));
        None
    });
    metrics::write(file, found.as_ref())
}

/// What there is to say; nothing where the cluster file that was asked for cannot be used, which is said.
fn look(arguments: &Arguments) -> anyhow::Result<Option<Status>> {
    let host = arguments.host.host();
    let may_be_nft = arguments.full && arguments.site.backend != BackendChoice::Iptables;
    let named = arguments.config.as_deref().filter(|_| may_be_nft);
    let early = named.and_then(Early::begin_whole);
    let kept = record::kept(&host.store, record::GOOD);
    let good = kept.as_ref().ok().and_then(|kept| kept.as_ref()).map(|kept| kept.record.clone());
    // What waits is what is meant to be in force.
    let waiting = pending::waiting(&host.store).ok().flatten().map(|pending| pending.record);
    let last = waiting.or(good);
    let known = last.clone();
    let config = arguments.config.clone().or_else(|| last.as_ref().map(|record| moved(record.config.clone())));
    let config = config.unwrap_or_else(default_config);
    let backend = match arguments.site.backend {
        BackendChoice::Auto => match last {
            Some(record) => record.backend,
            None => where_rules_are()?,
        },
        chosen => chosen.choose(&host)?,
    };
    // What is in force is not what is meant where files are in both places, and reading them says so.
    let input = Input { config: config.clone(), json: arguments.json };
    let quick = backend == Backend::Nft && !arguments.full && !input.is_of_both_places();
    // Who this host is must be known without another look at it.
    let node = match (arguments.site.node.as_slice(), &known) {
        ([name], _) => Some(Some(name.as_str())),
        // Of several clusters nothing was noted.
        ([_, _, ..], _) => None,
        ([], Some(record)) => Some(record.node.as_deref()),
        ([], None) => None,
    };
    let seen = node.filter(|_| quick).and_then(|node| Seen::still(&host, &config, node));
    let document = match seen {
        Some((seen, counters)) => {
            let mut document = Status::new(Standing::Enforced, backend, config, &counters, seen.masquerade);
            document.node = seen.node;
            document.others = Others { chains: seen.others, judged: true, ..Others::default() };
            document.unchanged_since = true;
            (document.digest, document.proved_at) = (seen.digest, seen.at);
            document.members = Some(Members { how: How::Derived, read_at: seen.full.at });
            document.warnings.extend(arguments.today.past(&seen.terms)?);
            let protected = record::ports(&seen.ports);
            about_ways(&mut document, Ok(seen.ends), &protected, &own_links()?);
            about_ports(&mut document, &protected);
            document
        }
        None => {
            // What was applied may be gone, and other rules of ours stand in the other way.
            let elsewhere = arguments.site.backend == BackendChoice::Auto && is_absent(backend) && left_behind(backend);
            match full(arguments, &host, &config, if elsewhere { backend.other() } else { backend }, early)? {
                Some(document) => document,
                None => return Ok(None),
            }
        }
    };
    let mut document = about_state(document, &host, kept.err().map(|error| error.to_string()));
    // The log is long, and has nothing to say where nobody was blocked.
    if document.blocked.values().any(|blocked| blocked.packets > 0) {
        document.logged = logged::most();
    }
    let by_hand = document.by_hand.is_some();
    let document = if document.state == Standing::Absent || by_hand {
        let gone = known.as_ref().map(|record| gone(record.node.as_deref(), &record.config, by_hand));
        Status { gone, ..document }
    } else {
        document
    };
    Ok(Some(Status { last_applied: LastApplied::now(&host.store), ..document }))
}

/// Whether nothing of ours is there, by the quickest look that tells.
fn is_absent(backend: Backend) -> bool {
    match backend {
        Backend::Nft => nft::glance().is_ok_and(|glance| glance.handle.is_none()),
        Backend::Iptables => read(backend).is_ok_and(|in_force| in_force.absent),
    }
}

/// That what was applied is there no more, while others of ours were loaded by hand, or none.
fn gone(node: Option<&str>, config: &Path, by_hand: bool) -> String {
    let (who, file, named) = (node.unwrap_or("every node"), config.display(), boot::named(config));
    if by_hand {
        return format!("what was applied for {who} from {file} is gone; `ringfence apply{named}` brings it back");
    }
    format!(
        "was applied for {who} from {file}, and is gone: nothing but other firewalls of this host keeps anybody out, and what they \
         drop is dropped for peers, too; `ringfence apply{named}` brings it back"
    )
}

/// That there are rules of ours, where they cannot be held against anything.
fn unjudged(place: &str) -> String {
    format!("ringfence's rules are IN FORCE, BUT NOT BY apply, in {place}; they cannot be judged")
}

/// The same by reading everything, which may have begun.
fn full(
    arguments: &Arguments,
    host: &Host,
    config: &Path,
    backend: Backend,
    early: Option<Early>,
) -> anyhow::Result<Option<Status>> {
    let input = Input { config: config.to_owned(), json: arguments.json };
    // Of 100,000 nodes the file takes as long to read as the kernel takes to tell what it holds.
    let is_nft = backend == Backend::Nft;
    let early = is_nft.then(|| early.or_else(|| Early::begin_whole(config))).flatten();
    let file = cluster::load(config);
    let in_force = early.and_then(Early::seen).map_or_else(|| read(backend), Ok)?;
    let by_hand = by_hand(host, &in_force);
    let guards_nothing = by_hand.as_ref().filter(|_| !in_force.guards());
    if in_force.absent || guards_nothing.is_some() {
        // Whatever the cluster file says, as long as it can be the one that is meant.
        if arguments.config.is_some() && input.load_read(file)?.is_none() {
            return Ok(None);
        }
        let mut document =
            Status::new(Standing::Absent, backend, config.to_owned(), &in_force.counters, in_force.masquerade.clone());
        document.others = Others::of(&in_force, &Around::Nothing);
        document.warnings.extend(saved(&host.root).iter().map(ToString::to_string));
        if let Some(place) = guards_nothing {
            let words = format!(
                "remains of ringfence, which guard nothing, are in {place}: `ringfence remove` takes them away"
            );
            document.warnings.push(words);
        }
        if left_behind(backend) {
            document.warnings.push(stale(backend));
        }
        let hidden = iptables::hidden_legacy();
        document.is_hidden = !hidden.is_empty();
        document
            .warnings
            .extend(hidden.iter().map(|words| format!("{words}; rules of ringfence may be in force there")));
        return Ok(Some(document));
    }
    let links = own_links()?;
    let (cluster, unusable) = match meant(arguments.config.is_some(), host, &input, file) {
        Ok(Some(Meant::File(cluster))) => match closed_meanwhile(host, config, &in_force, &links)? {
            Some(document) => return Ok(Some(document)),
            None => (cluster, None),
        },
        Ok(Some(Meant::Last(cluster, why))) => (cluster, Some(why)),
        Ok(Some(Meant::Closed(cluster, why))) => {
            return closed_host(host, &cluster, config, &in_force, &links, Some(&why));
        }
        Ok(None) => {
            // What is wrong with the file was said; that something is in force all the same is more.
            if let Some(place) = by_hand {
                warn(&unjudged(&place));
            }
            return Ok(None);
        }
        Err(error) => {
            return Err(match by_hand {
                Some(place) => anyhow::anyhow!("{}: {error:#}", unjudged(&place)),
                None => error,
            });
        }
    };
    // The process is about to end.
    let cluster = ManuallyDrop::new(cluster);
    let nodes = own_nodes(&cluster, host, &arguments.site.node, &links);
    let wrong = node_findings(&cluster, &arguments.site.node);
    if !wrong.is_empty() {
        print_findings(&wrong, &Sources::default(), arguments.json, Undone::Nothing)?;
        return Ok(None);
    }
    let nobody = nodes.as_ref().err().map(|error| error.message(&cluster));
    let site = live_site(&cluster, nodes.ok().as_deref())?;
    let judgement = judge_both_at_once(host, &site, &in_force, &links)?;
    let standing = judgement.standing;
    let past = arguments.today.past(&Term::all(&cluster))?;
    // A quick look does not see what stands in the other way into the kernel.
    let is_kept = standing == Standing::Enforced && !judgement.left_behind && unusable.is_none() && by_hand.is_none();
    let note = || {
        // A note that cannot be written only makes the next look slower.
        let _ = Seen::note(host, &site, config, &in_force, &judgement.around);
        Known::note(&host.store, &in_force);
    };
    let told = || -> anyhow::Result<Option<Status>> {
        let mut document =
            Status::new(standing, backend, config.to_owned(), &in_force.counters, in_force.masquerade.clone());
        document.state_once_confirmed = judgement.once_confirmed;
        document.node = site.node_names();
        let counted = |(who, &(packets, bytes)): (&String, &(u64, u64))| (who.clone(), Blocked { packets, bytes });
        document.admitted = in_force.admitted.iter().map(counted).collect();
        document.lets_on = lets_on(&in_force.ruleset);
        document.others = Others::of(&in_force, &judgement.around);
        document.other_firewalls = at_start(&host.root);
        document.warnings.extend(nobody);
        about_ways(&mut document, Ends::of(&site), &site.protected(), &links);
        about_allowances(&mut document, &site, &links);
        document.warnings.extend(past);
        document.of_last_apply = unusable.is_some();
        document.applied = by_hand.is_none();
        document.by_hand = by_hand;
        document.digest = Some(cluster.digest().to_owned());
        document.together = Together::of(&site);
        document.proved_at = judgement.report.is_proved().then(deeds::now);
        document.members = Some(Members::of(&in_force.look));
        document.unusable = unusable;
        document.drift = drift(&cluster, &site, backend, &in_force, &judgement)?;
        if judgement.left_behind {
            let until = if matches!(pending::waiting(&host.store), Ok(Some(_))) {
                "; `ringfence confirm` takes them away"
            } else {
                ""
            };
            let words = format!("{}{until}", stale(backend));
            match standing {
                Standing::Drifted | Standing::Shadowed | Standing::Undecided => document.drift.beside = Some(words),
                Standing::Enforced | Standing::Staged | Standing::NotApplied | Standing::Absent | Standing::Closed => {
                    document.warnings.push(words);
                }
            }
        }
        document.drift.since = since(host, config).filter(|_| document.drift.not_applied);
        if !matches!(standing, Standing::Enforced | Standing::Staged | Standing::NotApplied) {
            document.warnings.extend(in_force.unknown.iter().map(|part| format!("not understood: {part}")));
        }
        about_ports(&mut document, &site.protected());
        Ok(Some(document))
    };
    thread::scope(|scope| {
        // Of a long list that takes as long as all that is still to be looked at.
        let is_long = is_kept && in_force.is_long();
        let begun = is_long.then(|| thread::Builder::new().spawn_scoped(scope, note).ok()).flatten();
        if is_kept && begun.is_none() {
            note();
        }
        told()
    })
}

/// The same where the file was mended since, and nobody applied it.
fn closed_meanwhile(host: &Host, config: &Path, in_force: &InForce, links: &[Link]) -> anyhow::Result<Option<Status>> {
    if !record::is_unkept(&host.store) || !matches!(record::kept(&host.store, record::GOOD), Ok(None)) {
        return Ok(None);
    }
    let Some(closed) = boot::closed(config, host) else { return Ok(None) };
    let document = closed_host(host, &closed, config, in_force, links, None)?;
    Ok(document.filter(|document| document.state == Standing::Closed))
}

/// A host that fell back to closed ports when it started; or where something else is in force by now, of which nothing is known.
fn closed_host(
    host: &Host,
    cluster: &Cluster,
    config: &Path,
    in_force: &InForce,
    links: &[Link],
    why: Option<&str>,
) -> anyhow::Result<Option<Status>> {
    let site = live_site(cluster, None)?;
    // Others of ours beside it change nothing of that.
    let is_closed = judge(&site, in_force, links)?.standing.is_ours();
    // Whatever is in force, it is not what the file says.
    let standing = if is_closed { Standing::Closed } else { Standing::Drifted };
    let masquerade = in_force.masquerade.clone();
    let mut document = Status::new(standing, in_force.backend, config.to_owned(), &in_force.counters, masquerade);
    if is_closed {
        document.closed = Some(boot::closed_text(config, host, why, &site.protected()));
    } else {
        document.applied = false;
        document.unusable = why.map(str::to_owned);
        document.warnings.push(NOT_AS_CLOSED.to_owned());
    }
    if left_behind(in_force.backend) {
        document.warnings.push(stale(in_force.backend));
    }
    document.others = Others::of(in_force, &Around::Nothing);
    about_ports(&mut document, &site.protected());
    Ok(Some(document))
}

const NOT_AS_CLOSED: &str = "the start of the machine closed the ports, and somebody changed that since: what is in force was never applied, and cannot be judged";

/// Why it is not enforced.
fn drift(
    cluster: &Cluster,
    site: &Site<'_>,
    backend: Backend,
    in_force: &InForce,
    judgement: &Judgement,
) -> anyhow::Result<Drift> {
    let mut drift = Drift::of(judgement);
    // Where the rules are proved, others of ours are all there is.
    if judgement.standing == Standing::Drifted && !judgement.report.is_proved() {
        let prepared = Prepared::new(site, backend)?;
        let found = difference_on_host(prepared.verified.ruleset(), &in_force.ruleset, site.elsewhere())?;
        drift.changes = Some(Changes::of(&found, Names { clusters: [Some(cluster), Some(cluster)] }));
    }
    Ok(drift)
}

/// What makes what is in force worth less than it says.
fn about_ways(document: &mut Status, ends: Result<Ends, RequestError>, protected: &Ports, links: &[Link]) {
    match ends.and_then(|ends| sources(&ends, links)) {
        Ok(found) => document.objections = found.iter().map(Objection::message).collect(),
        Err(error) => document.warnings.push(unknown_sources(&error)),
    }
    for said in warnings(protected, links) {
        match said.severity {
            Severity::Error | Severity::Warning => document.warnings.push(said.words),
            Severity::Note => document.notes.push(said.words),
        }
    }
}

/// What the file allows and is so on this host.
fn about_allowances(document: &mut Status, site: &Site<'_>, links: &[Link]) {
    let mut all = objections(site, links, None);
    // What the kernel does not tell was said.
    all.extend(Ends::of(site).and_then(|ends| sources(&ends, links)).unwrap_or_default());
    document.allowances = in_use(site, &all);
    document.objections.retain(|message| !document.allowances.iter().any(|one| one.message == *message));
}

fn about_ports(document: &mut Status, protected: &Ports) {
    let (exposed, unknown) = exposed(protected, document.node.as_deref());
    document.exposed = exposed;
    document.erlang_seen = unknown.is_none();
    document.warnings.extend(unknown);
    let missing = match reserved::in_force() {
        Ok(in_force) => reserved::without(protected, &in_force),
        Err(error) => {
            document.warnings.push(error.to_string());
            protected.clone()
        }
    };
    document.reserved_ports_in_force = missing.is_empty();
    if !missing.is_empty() {
        document.warnings.push(format!(
            "{} are protected but not reserved: replies to this host's own connections may get lost",
            record::text(&missing)
        ));
    }
}

fn about_state(mut document: Status, host: &Host, unreadable: Option<String>) -> Status {
    document.warnings.extend(unreadable);
    match pending::waiting(&host.store) {
        Ok(waiting) => {
            let left = |pending: &Pending| pending.time_left().map_or(0.0, |time| time.as_secs_f64());
            let waiting = waiting.filter(|pending| !pending.confirmed);
            document.pending_seconds = waiting.as_ref().map(left);
            document.pending_by = waiting.as_ref().and_then(|pending| pending.applied_by.clone());
            document.pending_changes = waiting.as_ref().and_then(|pending| changes_of(host, pending));
            let failed = matches!(pending::taken_back(&host.store), Ok(Some(note)) if note.failed.is_some());
            document.being_taken_back =
                document.pending_seconds == Some(0.0) && pending::is_watched(&host.store) && !failed;
            if document.pending_seconds == Some(0.0) && !document.being_taken_back {
                let words =
                    "an unconfirmed change has timed out and was not taken back: its watchdog was stopped, or failed";
                document.warnings.push(words.to_owned());
            }
        }
        Err(error) => document.warnings.push(error.to_string()),
    }
    if let Ok(Some(note)) = pending::taken_back(&host.store) {
        // As long as it waits, and there is time, it is said that nobody has confirmed it.
        let is_over = note.failed.is_some() && document.pending_seconds.is_none_or(|left| left == 0.0);
        document.not_taken_back = is_over && document.pending_seconds.is_none();
        // What is in force may be what the file says, and is not what it is to be all the same.
        if is_over && matches!(document.state, Standing::Enforced | Standing::NotApplied) {
            document.state = Standing::Drifted;
        }
        document.taken_back = Some(match note.failed {
            None if note.asked => format!("a change was taken back at {}, by `ringfence rollback`", note.when),
            None => format!("a change was taken back at {}, because nobody confirmed it", note.when),
            Some(why) => format!("a change should have been taken back at {}, and that failed: {why}", note.when),
        });
    }
    document
}
