//! `ringfence diff --membership`: what a membership change does to the rules, and in which order it keeps the cluster whole.
//!
//! A node that comes must be admitted everywhere before it joins, since joining begins with connections in both directions. A
//! node that goes hands over what it owns until it is gone, and is admitted until then. So a change is two steps, of which
//! the first only opens and the second only closes.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::diff::{Json, Names, compiled, describe, json};
use super::import::read_output;
use super::{Input, Outcome, print, print_findings};
use crate::cluster::{Cluster, Node};
use crate::diagnostic::{Findings, Severity, SourceFile, Sources, Span};
use crate::diff::{Difference, difference};
use crate::import::membership::{self, Member, Membership, State};

/// One of the two steps.
struct Step {
    nodes: Vec<Mover>,
    found: Difference,
    clusters: [Option<Cluster>; 2],
}

#[derive(Serialize)]
struct Document {
    open_first: StepJson,
    close_last: StepJson,
}

/// Who comes or goes.
#[derive(Serialize)]
struct Mover {
    name: String,
    /// Where it is named.
    place: String,
    why: &'static str,
}

impl std::fmt::Display for Mover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {})", self.name, self.place, self.why)
    }
}

#[derive(Serialize)]
struct StepJson {
    nodes: Vec<Mover>,
    meaning: Json,
}

pub fn run(input: &Input, output: &Path, node: Option<&str>) -> anyhow::Result<Outcome> {
    let Some(cluster) = input.load(|cluster| super::node_findings(cluster, node))? else {
        return Ok(Outcome::BadInput);
    };
    let (name, text) = read_output(output)?;
    let mut sources = cluster.sources().clone();
    let file = sources.add(SourceFile::new(name, text));
    let mut findings = Findings::default();
    let text = sources.get(file).map_or("", |file| &file.text);
    let members = membership::parse(text, file, &mut findings);
    let sources = Arc::new(sources);
    let broken = findings.errors() > 0;
    print_findings(&findings.sorted(), &sources, input.json)?;
    let Some(members) = members.filter(|_| !broken) else { return Ok(Outcome::BadInput) };
    let change = Change::of(&cluster, &members);
    let Some((opened, closed)) = clusters(&cluster, &change, &sources, input.json)? else {
        return Ok(Outcome::BadInput);
    };
    let open = step(&cluster, &opened, node, change.movers_in(&sources))?;
    let close = step(&opened, &closed, node, change.movers_out(&cluster))?;
    if input.json {
        let step = |step: Step| StepJson {
            meaning: json(&step.found, &Names { clusters: [&step.clusters[0], &step.clusters[1]] }),
            nodes: step.nodes,
        };
        let document = Document { open_first: step(open), close_last: step(close) };
        print(&(serde_json::to_string_pretty(&document)? + "\n"))?;
        return Ok(if change.is_empty() { Outcome::Success } else { Outcome::No });
    }
    print(&words(&change, &open, &close))?;
    let undecided = |step: &Step| step.found.undecided.is_some() || step.found.unjudged.is_some();
    Ok(match (undecided(&open) || undecided(&close), change.is_empty()) {
        (true, _) => Outcome::BadInput,
        (false, true) => Outcome::Success,
        (false, false) => Outcome::No,
    })
}

/// Who comes and who goes.
struct Change<'a> {
    /// Not in the cluster file yet.
    coming: Vec<&'a Member>,
    /// In the cluster file, and not to stay.
    going: BTreeMap<&'a str, &'static str>,
    /// Of those that come, some are members already.
    cut_off: bool,
}

impl<'a> Change<'a> {
    fn of(cluster: &'a Cluster, members: &'a Membership) -> Self {
        let known: HashSet<&str> = cluster.nodes().iter().map(Node::name).collect();
        let admitted = |member: &&Member| member.state != State::Invalid;
        let mut seen = HashSet::new();
        let all = members.today.iter().chain(members.planned.iter().flatten());
        let coming: Vec<&Member> = all
            .filter(admitted)
            .filter(|member| !known.contains(member.name.as_str()) && seen.insert(member.name.as_str()))
            .collect();
        let later = members.planned.as_ref().unwrap_or(&members.today);
        let states: BTreeMap<&str, State> = later.iter().map(|member| (member.name.as_str(), member.state)).collect();
        let going = cluster.nodes().iter().filter_map(|node| {
            let why = match states.get(node.name()) {
                Some(State::Leaving) => "leaving",
                Some(State::Exiting) => "exiting",
                Some(State::Invalid) => "invalid",
                Some(State::Joining | State::Valid | State::Down | State::Unstated) => return None,
                None if members.planned.is_some() => "leaves by the plan",
                None => "no member; keep it if it is about to join",
            };
            Some((node.name(), why))
        });
        let today: HashSet<&str> = members.today.iter().filter(admitted).map(|member| member.name.as_str()).collect();
        let joined = |member: &&Member| member.state != State::Joining && today.contains(member.name.as_str());
        Self { going: going.collect(), cut_off: coming.iter().any(joined), coming }
    }

    fn is_empty(&self) -> bool {
        self.coming.is_empty() && self.going.is_empty()
    }

    fn movers_in(&self, sources: &Sources) -> Vec<Mover> {
        let place = |span: Span| match sources.get(span.file) {
            Some(file) => format!("{}:{}", file.base_name(), file.line(span.start)),
            None => String::new(),
        };
        let mover = |member: &&Member| {
            let why = if member.state == State::Joining { "joining" } else { "not in the cluster file" };
            Mover { name: member.name.clone(), place: place(member.span), why }
        };
        self.coming.iter().map(mover).collect()
    }

    fn movers_out(&self, cluster: &Cluster) -> Vec<Mover> {
        let mover = |node: &Node| {
            let why = self.going.get(node.name())?;
            Some(Mover { name: node.name().to_owned(), place: cluster.place(node.span()), why })
        };
        cluster.nodes().iter().filter_map(mover).collect()
    }
}

/// The cluster with all that come, and then without all that go.
fn clusters(
    cluster: &Cluster,
    change: &Change<'_>,
    sources: &Arc<Sources>,
    as_json: bool,
) -> anyhow::Result<Option<(Cluster, Cluster)>> {
    let coming: Vec<(&str, Span)> = change.coming.iter().map(|member| (member.name.as_str(), member.span)).collect();
    let (opened, findings) = cluster.with_nodes(&coming, &HashSet::new(), sources);
    print_findings(&findings, sources, as_json)?;
    let Some(opened) = opened else { return Ok(None) };
    let (closed, mut findings) = opened.with_nodes(&[], &change.going.keys().copied().collect(), sources);
    findings.retain(|finding| finding.severity() == Severity::Error);
    print_findings(&findings, sources, as_json)?;
    Ok(closed.map(|closed| (opened, closed)))
}

fn step(old: &Cluster, new: &Cluster, node: Option<&str>, nodes: Vec<Mover>) -> anyhow::Result<Step> {
    // A node that goes has no rules of its own any more; those that fit every node are shown then.
    let site = |cluster| super::site(cluster, node);
    let (_, old_rules) = compiled(&site(old))?;
    let (_, new_rules) = compiled(&site(new))?;
    let found = difference(&old_rules, &new_rules)?;
    Ok(Step { nodes, found, clusters: [Some(old.clone()), Some(new.clone())] })
}

fn words(change: &Change<'_>, open: &Step, close: &Step) -> String {
    if change.is_empty() {
        return "the cluster file has exactly these members: nothing is to be done\n".to_owned();
    }
    let meaning = |step: &Step| describe(&step.found, &Names { clusters: [&step.clusters[0], &step.clusters[1]] });
    let mut text = String::new();
    // Writing to a String cannot fail.
    if !change.coming.is_empty() {
        if change.cut_off {
            text.push_str(
                "ATTENTION: some of these are members already, and are blocked where the cluster file is in force\n",
            );
        }
        text.push_str("first, on every node, old and new: add to the cluster file and apply\n");
        open.nodes.iter().for_each(|node| _ = writeln!(text, "  + {node}"));
        let _ = writeln!(text, "\n{}", meaning(open));
        text.push_str("then let them join: `riak-admin cluster join`, `plan`, `commit`\n");
    }
    if !change.going.is_empty() {
        if !change.coming.is_empty() {
            text.push('\n');
        }
        let first = if change.coming.is_empty() { "first" } else { "then" };
        let _ = writeln!(text, "{first} let these leave, and wait until `riak-admin member-status` shows them no more");
        close.nodes.iter().for_each(|node| _ = writeln!(text, "  - {node}"));
        text.push_str("last, on every node that stays: take them out of the cluster file and apply\n");
        let _ = write!(text, "\n{}", meaning(close));
    }
    text
}
