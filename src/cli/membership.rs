//! `ringfence diff --membership`: what a membership change does to the rules, and in which order it keeps the cluster whole.
//!
//! A node that comes must be admitted everywhere before it joins, since joining begins with connections in both directions. A
//! node that goes hands over what it owns until it is gone, and is admitted until then. So a change is two steps, of which
//! the first only opens and the second only closes.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::diff::{Json, Names, compiled, describe, json};
use super::import::read_output;
use super::{Input, Outcome, print, print_findings};
use crate::cluster::{Cluster, Node};
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Severity, SourceFile, Sources, Span};
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

pub fn run(input: &Input, output: &Path, joining: &[String], node: Option<&str>) -> anyhow::Result<Outcome> {
    let Some(cluster) = input.load(|cluster| super::node_findings(cluster, node))? else {
        return Ok(Outcome::Unusable);
    };
    let (name, text) = read_output(output)?;
    let mut sources = cluster.sources().clone();
    let file = sources.add(SourceFile::new(name, text));
    let mut findings = Findings::default();
    let text = sources.get(file).map_or("", |file| &file.text);
    let mut members = membership::parse(text, file, &mut findings);
    if let Some(members) = &mut members {
        about_to_join(members, joining, &mut sources);
    }
    let sources = Arc::new(sources);
    let broken = findings.errors() > 0;
    print_findings(&findings.sorted(), &sources, input.json)?;
    let Some(members) = members.filter(|_| !broken) else { return Ok(Outcome::Unusable) };
    if let Some(finding) = of_another_cluster(&cluster, &members, file) {
        print_findings(&[finding], &sources, input.json)?;
        return Ok(Outcome::Unusable);
    }
    let change = Change::of(&cluster, &members);
    let Some((opened, closed)) = clusters(&cluster, &change, &sources, input.json)? else {
        return Ok(Outcome::Unusable);
    };
    let open = step(&cluster, &opened, node, change.movers_in(&sources))?;
    let close = step(&opened, &closed, node, change.movers_out(&cluster))?;
    let undecided = |step: &Step| step.found.undecided.is_some() || step.found.unjudged.is_some();
    let outcome = match (undecided(&open) || undecided(&close), change.is_empty()) {
        (true, _) => Outcome::Undecided,
        (false, true) => Outcome::Success,
        (false, false) => Outcome::No,
    };
    if input.json {
        let step = |step: Step| StepJson {
            meaning: json(&step.found, &Names { clusters: [&step.clusters[0], &step.clusters[1]] }),
            nodes: step.nodes,
        };
        let document = Document { open_first: step(open), close_last: step(close) };
        print(&(serde_json::to_string_pretty(&document)? + "\n"))?;
        return Ok(outcome);
    }
    print(&words(&change, &open, &close))?;
    Ok(outcome)
}

/// Those that the command line names, as members that have asked to join.
fn about_to_join(members: &mut Membership, joining: &[String], sources: &mut Sources) {
    let file = sources.add(SourceFile::new("--joining".to_owned(), joining.join("\n")));
    let mut start = 0;
    for name in joining {
        let span = Span::new(file, start..start + name.len());
        start += name.len() + 1;
        if members.today.iter().all(|member| member.name != *name) {
            let member = Member { name: name.clone(), state: State::Joining, span };
            members.planned.iter_mut().for_each(|planned| planned.push(member.clone()));
            members.today.push(member);
        }
    }
}

/// Following the order for it would cut every node off, and admit strangers.
fn of_another_cluster(cluster: &Cluster, members: &Membership, file: FileId) -> Option<Diagnostic> {
    if members.today.iter().any(|member| cluster.node(&member.name).is_some()) {
        return None;
    }
    let message = "none of these members is a node of the cluster file: is this the output of another cluster?";
    let help = "run `riak-admin member-status` on a node of this cluster";
    let first = members.today.first().map_or(Span::new(file, 0..0), |member| member.span);
    Some(Diagnostic::new(Code::WrongCluster, first, message).help(help))
}

/// Who comes and who goes.
struct Change<'a> {
    /// Not in the cluster file yet.
    coming: Vec<&'a Member>,
    /// In the cluster file, members, and not to stay.
    going: BTreeMap<&'a str, &'static str>,
    /// In the cluster file, and no members now.
    absent: BTreeMap<&'a str, &'static str>,
    /// Whether the change is planned already.
    planned: bool,
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
        let today: HashSet<&str> = members.today.iter().filter(admitted).map(|member| member.name.as_str()).collect();
        let later = members.planned.as_ref().unwrap_or(&members.today);
        let states: BTreeMap<&str, State> = later.iter().map(|member| (member.name.as_str(), member.state)).collect();
        let going = cluster.nodes().iter().filter_map(|node| {
            let why = match states.get(node.name()) {
                Some(State::Leaving) => "leaving",
                Some(State::Exiting) => "exiting",
                Some(State::Invalid) => "invalid",
                Some(State::Joining | State::Valid | State::Down | State::Unstated) => return None,
                None if today.contains(node.name()) => "leaves by the plan",
                None => "no member",
            };
            Some((node.name(), why))
        });
        let (absent, going) = going.partition(|(name, _)| !today.contains(name));
        Self { going, absent, coming, planned: members.planned.is_some() }
    }

    fn is_empty(&self) -> bool {
        self.coming.is_empty() && self.going.is_empty() && self.absent.is_empty()
    }

    /// Members that are not in the cluster file, and so are blocked wherever it is in force.
    fn is_cut_off(&self) -> bool {
        self.coming.iter().any(|member| member.state != State::Joining)
    }

    fn movers_in(&self, sources: &Sources) -> Vec<Mover> {
        let place = |span: Span| match sources.get(span.file) {
            Some(file) => format!("{}:{}", file.base_name(), file.line(span.start)),
            None => String::new(),
        };
        let mover = |member: &&Member| {
            let why =
                if member.state == State::Joining { "joining" } else { "a member already, and blocked until then" };
            Mover { name: member.name.clone(), place: place(member.span), why }
        };
        self.coming.iter().map(mover).collect()
    }

    fn movers_out(&self, cluster: &Cluster) -> Vec<Mover> {
        let mover = |node: &Node| {
            let why = self.going.get(node.name()).or_else(|| self.absent.get(node.name()))?;
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
    let (closed, mut findings) =
        opened.with_nodes(&[], &change.going.keys().chain(change.absent.keys()).copied().collect(), sources);
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
    let mut steps = Vec::new();
    let list = |sign: char, nodes: &mut dyn Iterator<Item = &Mover>| {
        nodes.fold(String::new(), |text, node| text + &format!("  {sign} {node}\n"))
    };
    if !change.coming.is_empty() {
        let nodes = list('+', &mut open.nodes.iter());
        let meaning = meaning(open);
        steps.push(format!("on every node, old and new: add to the cluster file and apply\n{nodes}\n{meaning}"));
    }
    let joins = change.coming.iter().any(|member| member.state == State::Joining);
    match (joins, change.planned && !change.going.is_empty()) {
        (true, _) if change.planned => steps.push("`riak-admin cluster commit`\n".to_owned()),
        (true, _) => steps.push("let them join: `riak-admin cluster join`, `plan`, `commit`\n".to_owned()),
        (false, true) => steps.push("`riak-admin cluster commit`\n".to_owned()),
        (false, false) => {}
    }
    let leave = |mover: &&Mover| change.going.contains_key(mover.name.as_str());
    if !change.going.is_empty() {
        let nodes = list('-', &mut close.nodes.iter().filter(leave));
        steps.push(format!("wait until `riak-admin member-status` shows these no more\n{nodes}"));
    }
    if !close.nodes.is_empty() {
        let mut step =
            "on every node that stays: take out of the cluster file what is no member any more, and apply\n".to_owned();
        let absent = list('-', &mut close.nodes.iter().filter(|mover| !leave(mover)));
        if !absent.is_empty() {
            step += &format!("no members now (leave them in if they are about to join):\n{absent}");
        }
        steps.push(format!("{step}\n{}", meaning(close)));
    }
    let numbered = steps.iter().enumerate().map(|(index, step)| format!("{}. {step}", index + 1));
    let attention = if change.is_cut_off() {
        "ATTENTION: members that are not in the cluster file are blocked wherever it is in force\n\n"
    } else {
        ""
    };
    attention.to_owned() + &numbered.collect::<Vec<_>>().join("\n")
}
