//! What `report` and `matrix` say something of: the rules of a cluster file, of files, or of this host's kernel, judged.

use std::fs;
use std::path::{Path, PathBuf};
use std::slice;

use clap::Args;

use super::host::{live_site, nobody, own_links};
use super::input::{ConfigParser, DEFAULT_CONFIG, Input, all_node_findings, node_findings, site};
use super::output::{Undone, fail, print_findings, warn_unknown};
use super::proof::{explained, lies};
use super::ruleset_files::RulesetArguments;
use super::rulesets::Given;
use super::since::{Also, Read};
use super::today::Today;
use crate::cluster::{Cluster, Day, Site, expired};
use crate::compile::SetsMode;
use crate::diagnostic::{Plain, Sources, Texts};
use crate::host::identity::{Saved, nodes_of};
use crate::host::source_checks::source_checks;
use crate::host::whole::{Everything, surroundings};
use crate::outcome::Outcome;
use crate::prove::{self, Emitted, Text};
use crate::report::{Answered, Asked, Basis, Digested, Finding, Further, Review, SourceCheck};
use crate::verify::{Answer, matrix, whole};

/// Whose rules.
#[derive(Args)]
pub struct Judging {
    /// The cluster file, or a folder with one for each cluster of the host; `-` reads standard input. Without it
    /// /etc/ringfence/clusters.d, where that has cluster files and there is no /etc/ringfence/cluster.toml.
    #[arg(value_name = "CONFIG", default_value = DEFAULT_CONFIG, value_parser = ConfigParser)]
    pub config: PathBuf,
    /// Rules for this node alone; otherwise those that fit every node. May be given once for each cluster.
    #[arg(long, value_name = "NAME")]
    node: Vec<String>,
    #[command(flatten)]
    rulesets: RulesetArguments,
    /// All rules that this host has now. Needs root.
    #[arg(long, conflicts_with = "ruleset")]
    live: bool,
    #[command(flatten)]
    today: Today,
}

impl Judging {
    /// The same for a command that has its own arguments, on a day.
    pub fn of((config, node): (&Path, &[String]), rulesets: &RulesetArguments, live: bool, today: Option<Day>) -> Self {
        Self {
            config: config.to_owned(),
            node: node.to_vec(),
            rulesets: rulesets.clone(),
            live,
            today: Today::on(today),
        }
    }

    /// The day that last days are held against. Where a kernel is asked, that is now; otherwise the same input makes the same document on
    /// any day.
    fn day(&self) -> anyhow::Result<Option<Day>> {
        if self.live { self.today.day().map(Some) } else { self.today.given() }
    }

    /// The files that it names, and those in a folder of cluster files.
    pub fn inputs(&self) -> Vec<PathBuf> {
        let inside = fs::read_dir(&self.config).into_iter().flatten().flatten().map(|entry| entry.path());
        inside.chain([self.config.clone()]).chain(self.rulesets.files().cloned()).collect()
    }
}

/// What came of it, and how the command ends.
pub struct Judged {
    pub review: Review,
    pub outcome: Outcome,
    /// Every file that was read.
    pub read: Vec<PathBuf>,
}

/// Judges them; how it ends where there is nothing to judge, which was said then.
pub fn judge(judging: &Judging, as_json: bool) -> anyhow::Result<Result<Judged, Outcome>> {
    judge_also(judging, as_json, &Also::default())
}

/// The same with what else there is to tell.
pub fn judge_also(judging: &Judging, as_json: bool, also: &Also) -> anyhow::Result<Result<Judged, Outcome>> {
    let also = Some(also.read(judging.rulesets.include_from())?);
    let input = Input { config: judging.config.clone(), json: as_json };
    let further = |cluster: &Cluster| {
        if judging.live { node_findings(cluster, &judging.node) } else { all_node_findings(cluster, &judging.node) }
    };
    let today = judging.day()?;
    let late = |cluster: &Cluster| today.map(|day| expired(cluster, day)).unwrap_or_default();
    let further = |cluster: &Cluster| further(cluster).into_iter().chain(late(cluster)).collect();
    let Some((cluster, notes)) = input.load_with_findings(Undone::Nothing, further)? else {
        return Ok(Err(Outcome::Unusable));
    };
    if judging.live {
        return live(judging, &cluster, Beside { notes, today, also, ..Beside::default() });
    }
    let site = site(&cluster, &judging.node);
    let (given, rules) = if judging.rulesets.is_empty() {
        (made(&site)?, "compiled")
    } else {
        (judging.rulesets.read_for_document()?, "files")
    };
    let untrue = given.untrue(&site);
    print_findings(&untrue, &Sources::default(), as_json, Undone::Nothing)?;
    warn_unknown(&given.unknown);
    let said = untrue.iter().map(|finding| Plain::of(finding, &Sources::default()));
    let notes = notes.into_iter().chain(said).collect();
    let said_wrongly = untrue.iter().filter(|own| lies(slice::from_ref(own))).map(|own| own.message.clone()).collect();
    // Who believes a header that lies believes something else than the rules do.
    judged(&site, rules, given, Beside { notes, today, also, lies: said_wrongly, ..Beside::default() }).map(Ok)
}

/// What is known beside the rules.
#[derive(Default)]
struct Beside {
    notes: Vec<Plain>,
    lies: Vec<String>,
    answers: Vec<Answer>,
    host: Option<Asked>,
    today: Option<Day>,
    also: Option<Read>,
    source_checks: Vec<SourceCheck>,
}

/// The rules of a cluster file, as nft reads them, and the digests of every text that is made of it.
fn made(site: &Site<'_>) -> anyhow::Result<Given> {
    let emitted = prove::nft(site).map_err(|error| explained(error, site))?;
    let nft = emitted.text(Text::Nft).map(|text| Digested::of(Text::Nft.file_name(), text).with(text));
    let mut texts: Vec<Digested> = nft.into_iter().collect();
    if site.cluster().guard().reject_span().is_none() {
        let other = prove::iptables(site, SetsMode::Auto).map_err(|error| explained(error, site))?;
        texts.extend(digests(&other, &[Text::Iptables, Text::Ip6tables, Text::Ipset]));
    }
    Ok(Given { texts, ..Given::made(emitted.verified().ruleset().clone()) })
}

fn digests(emitted: &Emitted, wanted: &[Text]) -> Vec<Digested> {
    let of = |text: &Text| Some(Digested::of(text.file_name(), emitted.text(*text)?));
    wanted.iter().filter_map(of).collect()
}

/// All rules of this host, as they are now.
fn live(judging: &Judging, cluster: &Cluster, beside: Beside) -> anyhow::Result<Result<Judged, Outcome>> {
    let links = own_links()?;
    let nodes = match nodes_of(cluster, &judging.node, &Saved::default(), &links) {
        Ok(nodes) => nodes,
        Err(error) => {
            fail(error.code().as_str(), error.message(cluster));
            return Ok(Err(nobody(&error)));
        }
    };
    let site = live_site(cluster, Some(&nodes))?;
    let Everything { ruleset, unknown, writers, .. } = Everything::read()?;
    let given = Given { unknown, writers, ..Given::made(ruleset) };
    warn_unknown(&given.unknown);
    let answers = whole(&given.ruleset, &site, &surroundings(&links)?)?;
    // A kernel has no text of its rules; this stands for all of them, as they were read. What was counted is no part of them.
    let uncounted = given.ruleset.clone().uncounted();
    let texts = vec![Digested::of("rules of the kernel", &format!("{uncounted:#?}"))];
    let given = Given { texts, ..given };
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = Some(Asked::now(name.trim()));
    let checks = source_checks().into_iter().map(|(name, how)| SourceCheck::of(&name, how)).collect();
    judged(&site, "kernel", given, Beside { answers, host, source_checks: checks, ..beside }).map(Ok)
}

fn judged(site: &Site<'_>, rules: &'static str, given: Given, beside: Beside) -> anyhow::Result<Judged> {
    let Beside { notes, lies, answers, host, today, also, source_checks } = beside;
    let (report, matrix) = matrix(&given.ruleset, site, given.families)?;
    let Given { ruleset, families, unknown, writers, texts, files, .. } = given;
    let others = also.iter().flat_map(Read::files).cloned();
    let read = files.into_iter().chain(cluster_files(site)).chain(others).collect();
    let further = also.as_ref().map(|also| also.further(site, &texts, rules == "compiled")).transpose()?;
    let further = Further { source_checks, ..further.unwrap_or_default() };
    let answers = answers.iter().map(Answered::of).collect();
    let basis = Basis {
        rules,
        ruleset: &ruleset,
        families,
        texts,
        unknown,
        writers,
        answers,
        host,
        notes,
        lies,
        today,
        further,
    };
    let mut review = Review::of(site, basis, &report, &matrix);
    review.since = also.as_ref().and_then(|also| also.changes(&review, (&ruleset, families), site));
    let outcome = outcome(review.verdict);
    Ok(Judged { review, outcome, read })
}

/// The cluster files, with profiles and what they include.
fn cluster_files(site: &Site<'_>) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = Vec::new();
    for Texts { file, profile, included } in site.cluster().sources().of_each() {
        let files = profile.into_iter().chain(included).chain([file]);
        all.extend(files.map(|file| PathBuf::from(&file.name)));
    }
    all
}

/// As what the document says: of the claims, the answers, the headers and the rehearsals the worst.
fn outcome(verdict: Finding) -> Outcome {
    match verdict {
        Finding::Proved => Outcome::Success,
        Finding::Violated | Finding::OnPurpose => Outcome::No,
        Finding::Undecided => Outcome::Undecided,
    }
}
