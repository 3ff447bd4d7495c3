//! `ringfence verify`: proves that a ruleset does what a cluster file says.

use std::path::{Path, PathBuf};

use clap::Args;

use super::document;
use super::host::{live_site, nobody, own_links};
use super::input::{Input, all_node_findings, node_findings, read_text, read_text_shown, site};
use super::judged::{Judged, Judging, judge_also};
use super::output::{Undone, fail, present, print, print_findings, say, warn_open, warn_unknown};
use super::proof::{explained, lies};
use super::ruleset_files::RulesetArguments;
use super::rulesets::Given;
use super::since::Also;
use super::today::Today;
use super::ways::{in_use, sources, unknown_sources};
use crate::cluster::{Cluster, Site};
use crate::compile::SetsMode;
use crate::diagnostic::{Code, Diagnostic, FileId, SourceFile, Sources};
use crate::dialect::iproute;
use crate::host::identity::{Objection, Saved, nodes_of};
use crate::host::links::Link;
use crate::host::sources::Ends;
use crate::host::whole::{Everything, surroundings};
use crate::net::Surroundings;
use crate::outcome::Outcome;
use crate::prove;
use crate::report::{Body, Earlier, Form, Proof, Reason, Whole};
use crate::verify::{Answer, Direction, Reached, check, whole};

/// Prove that a ruleset does what a cluster file says, or show the packet for which it does not.
///
/// Without `--ruleset`, what `compile` makes is proved, for nft and iptables both.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    input: Input,
    /// Rules for this node alone; otherwise those that fit every node. May be given once for each cluster.
    #[arg(long, value_name = "NAME")]
    node: Vec<String>,
    #[command(flatten)]
    rulesets: RulesetArguments,
    /// All rules that this host has now, for the whole way there and back: who reaches whom, and which rule of whose is in the
    /// way. Needs root.
    #[arg(long, conflicts_with = "ruleset")]
    live: bool,
    /// The same of the rulesets given, which have to be all of their host's: with what `ip rule`, `ip route show table all` and `ip
    /// addr` print there, of both families, one after the other.
    #[arg(long, value_name = "FILE", requires = "ruleset", conflicts_with = "live")]
    routes: Option<PathBuf>,
    /// Whether a report of JSON (`report --format json`) still fits: one is made now, of what the cluster file makes, of the rulesets given,
    /// or, with --live, of what this host holds, and every word of both is compared, but for the time and the user. What the report told beside the rules is given again by --since,
    /// --rehearsal and --lint.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["routes", "json"])]
    review: Option<PathBuf>,
    #[command(flatten)]
    also: Also,
}

impl Arguments {
    /// The form of the document that is asked for, if one is.
    pub fn document(&self) -> Option<Form> {
        let whole = self.live || self.routes.is_some();
        self.input.json.then_some(if whole { Form::VerifyHost } else { Form::Verify })
    }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    if let Some(file) = &arguments.review {
        return fits(arguments, file);
    }
    anyhow::ensure!(
        arguments.also.is_empty(),
        "--since, --rehearsal and --lint belong to a report: give `--review FILE`, too"
    );
    let Some(cluster) = arguments.input.load(|cluster| findings(arguments, cluster))? else {
        return Ok(Outcome::Unusable);
    };
    if arguments.live {
        return live(arguments, &cluster);
    }
    let site = site(&cluster, &arguments.node);
    if arguments.rulesets.is_empty() && cluster.guard().reject_span().is_none() {
        prove::iptables(&site, SetsMode::Auto).map_err(|error| explained(error, &site))?;
    }
    let given = if arguments.rulesets.is_empty() {
        let emitted = prove::nft(&site).map_err(|error| explained(error, &site))?;
        Given::made(emitted.compiled().clone())
    } else {
        arguments.rulesets.read()?
    };
    // What cannot be used is not to stand behind a screen of warnings.
    let surroundings = arguments.routes.as_ref().map(|routes| read_routes(routes, arguments.input.json)).transpose()?;
    if matches!(surroundings, Some(None)) {
        return Ok(Outcome::Unusable);
    }
    let untrue = given.untrue(&site);
    print_findings(&untrue, &Sources::default(), arguments.input.json, Undone::Nothing)?;
    warn_unknown(&given.unknown);
    if let Some(surroundings) = surroundings.flatten() {
        return answered(&given, &site, &surroundings, None);
    }
    let report = check(&given.ruleset, &site, given.families)?;
    let proof = Proof::of(&report, &site, &given.ruleset, given.families, &given.writers);
    present(|| Body::Verify(Box::new(proof.clone())), || proof.text())?;
    let bad = report.is_violated() || report.is_staged() || lies(&untrue);
    Ok(match (report.is_proved() && !bad, bad) {
        (true, _) => Outcome::Success,
        (false, true) => Outcome::No,
        (false, false) => {
            warn_open(&given.ruleset);
            Outcome::Undecided
        }
    })
}

/// Whether a report is what would be said now, word for word; it ends as that report would, or with 1 where it is not.
fn fits(arguments: &Arguments, file: &Path) -> anyhow::Result<Outcome> {
    let name = file.display();
    let read = |text: &str| Earlier::read(text).map_err(|error| anyhow::anyhow!("{name} {error}"));
    let before = read(&read_text(file, "report")?)?;
    // What is past is a matter of the day of which the report speaks.
    let judging =
        Judging::of((&arguments.input.config, &arguments.node), &arguments.rulesets, arguments.live, before.today());
    // Everything that a document would have, what was found included.
    document::begin(Form::Report);
    let judged = judge_also(&judging, true, &arguments.also);
    if let Ok(Ok(Judged { review, .. })) = &judged {
        document::set(Body::Report(Box::new(review.clone())));
    }
    let gathered = document::end(
        judged.as_ref().ok().and_then(|own| own.as_ref().ok()).map_or(Outcome::Unusable, |own| own.outcome),
    );
    let Judged { review, outcome, .. } = match judged? {
        Ok(judged) => judged,
        Err(outcome) => return Ok(outcome),
    };
    let now = gathered.map(|document| document.json()).transpose()?.unwrap_or_default();
    let differences = before.differences(&read(&now)?);
    if differences.is_empty() {
        let day = before.today().map(|day| format!(", as of {day}")).unwrap_or_default();
        print(&format!("the report fits{day}: {}\n", review.verdict_text()))?;
        let now = Today::default().day()?.to_string();
        // Days are written so that their order is that of the texts.
        let past = |own: &&Reason| own.until.as_ref().is_some_and(|until| *until < now);
        for own in review.reasons.iter().filter(past) {
            let until = own.until.as_deref().unwrap_or_default();
            say(&format!(
                "warning: {}: today is {now}, and client {} was to be admitted until {until} ({})",
                Code::ClientExpired,
                own.client,
                own.place
            ));
        }
        return Ok(outcome);
    }
    let lines: String = differences.iter().map(|what| format!("  - {what}\n")).collect();
    print(&format!("THE REPORT DOES NOT FIT:\n{lines}now: {}\n", review.verdict_text()))?;
    Ok(Outcome::No)
}

/// With a look at this host the nodes that are not named are found by their addresses.
fn findings(arguments: &Arguments, cluster: &Cluster) -> Vec<Diagnostic> {
    if arguments.live { node_findings(cluster, &arguments.node) } else { all_node_findings(cluster, &arguments.node) }
}

/// Where a host stands in its networks; nothing where the file does not say it.
fn read_routes(path: &Path, as_json: bool) -> anyhow::Result<Option<Surroundings>> {
    let (text, shown) = read_text_shown(path, "file of routes")?;
    let file = SourceFile::new(path.display().to_string(), text).with_shown(shown);
    let (surroundings, findings) = iproute::read(&file.text, FileId::CLUSTER);
    print_findings(&findings, &Sources::new(file), as_json, Undone::Nothing)?;
    Ok(findings.is_empty().then_some(surroundings))
}

/// All rules of this host, as they are now.
fn live(arguments: &Arguments, cluster: &Cluster) -> anyhow::Result<Outcome> {
    let links = own_links()?;
    let nodes = match nodes_of(cluster, &arguments.node, &Saved::default(), &links) {
        Ok(nodes) => nodes,
        Err(error) => {
            fail(error.code().as_str(), error.message(cluster));
            return Ok(nobody(&error));
        }
    };
    let site = live_site(cluster, Some(&nodes))?;
    let everything = Everything::read()?;
    let given = Given { unknown: everything.unknown, writers: everything.writers, ..Given::made(everything.ruleset) };
    warn_unknown(&given.unknown);
    answered(&given, &site, &surroundings(&links)?, other_source(&site, &links))
}

/// Why it is not known from which address this host asks its peers, in words: whatever rules say of its own, packets with another one may
/// fare otherwise. What the cluster file allows is as it is to be.
fn other_source(site: &Site<'_>, links: &[Link]) -> Option<String> {
    match Ends::of(site).and_then(|ends| sources(&ends, links)) {
        Ok(found) => {
            let allowed = in_use(site, &found);
            let is_allowed = |one: &Objection| allowed.iter().any(|own| own.message == one.message());
            found.iter().find(|one| !is_allowed(one)).map(Objection::message)
        }
        Err(error) => Some(unknown_sources(&error)),
    }
}

fn answered(
    given: &Given,
    site: &Site<'_>,
    surroundings: &Surroundings,
    other_source: Option<String>,
) -> anyhow::Result<Outcome> {
    let mut answers = whole(&given.ruleset, site, surroundings)?;
    if let Some(why) = other_source {
        let asking = answers.iter_mut().filter(|answer| answer.direction == Direction::Out);
        asking.filter(|answer| answer.reached == Reached::Yes).for_each(|answer| {
            answer.reached = Reached::Unjudged(why.clone());
        });
    }
    let found = Whole::of(&answers);
    present(|| Body::VerifyHost(Box::new(found.clone())), || found.text())?;
    Ok(if found.is_good() {
        Outcome::Success
    } else if answers.iter().any(Answer::is_bad) {
        Outcome::No
    } else {
        warn_open(&given.ruleset);
        Outcome::Undecided
    })
}
