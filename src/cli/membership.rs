//! `ringfence diff --membership`: what a membership change does to the rules, and in which order it keeps the cluster whole.
//!
//! A node that comes must be admitted everywhere before it joins, since joining begins with connections in both directions. A
//! node that goes hands over what it owns until it is gone, and is admitted until then. So a change is two steps, of which
//! the first only opens and the second only closes.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::import::read_output;
use super::input::{Input, node_findings, one_cluster, site};
use super::output::{Undone, present, print_findings};
use super::proof::compiled;
use crate::cluster::{Cluster, Node};
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Severity, SourceFile, Sources, Span};
use crate::diff::difference;
use crate::import::membership::{self, Member, Membership, State};
use crate::outcome::Outcome;
use crate::report::{Body, Changes, MembershipOrder, Mover, Names, Stage, Step};

pub fn run(input: &Input, output: &Path, joining: &[String], node: &[String]) -> anyhow::Result<Outcome> {
    let further = |cluster: &Cluster| {
        one_cluster(cluster, "`diff --membership`").into_iter().chain(node_findings(cluster, node)).collect()
    };
    let Some(cluster) = input.load(further)? else {
        return Ok(Outcome::Unusable);
    };
    let mut sources = cluster.sources().clone();
    let file = sources.add(read_output(output)?);
    let mut findings = Findings::default();
    let text = sources.get(file).map_or("", |file| &file.text);
    let mut members = membership::parse(text, file, &mut findings);
    if let Some(members) = &mut members {
        about_to_join(members, joining, &mut sources);
    }
    let sources = Arc::new(sources);
    let broken = findings.errors() > 0;
    print_findings(&findings.sorted(), &sources, input.json, Undone::Nothing)?;
    let Some(members) = members.filter(|_| !broken) else { return Ok(Outcome::Unusable) };
    if let Some(finding) = of_another_cluster(&cluster, &members, file) {
        print_findings(&[finding], &sources, input.json, Undone::Nothing)?;
        return Ok(Outcome::Unusable);
    }
    let change = Change::of(&cluster, &members);
    let Some((opened, closed)) = clusters(&cluster, &change, &sources, input.json)? else {
        return Ok(Outcome::Unusable);
    };
    let order = MembershipOrder {
        open_first: step(&cluster, &opened, node, change.movers_in(&sources))?,
        close_last: step(&opened, &closed, node, change.movers_out(&cluster))?,
        planned: change.planned,
    };
    present(|| Body::DiffMembership(Box::new(order.clone())), || order.text())?;
    let undecided = [&order.open_first, &order.close_last].iter().any(|step| step.meaning.undecided.is_some());
    Ok(match (undecided, order.is_empty()) {
        (true, _) => Outcome::Undecided,
        (false, true) => Outcome::Success,
        (false, false) => Outcome::No,
    })
}

/// Those that the command line names, as members that have asked to join.
fn about_to_join(members: &mut Membership, joining: &[String], sources: &mut Sources) {
    let file = sources.add(SourceFile::new("--joining".to_owned(), joining.join("\n")).with_shown(true));
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
                Some(State::Joining | State::Valid | State::Running | State::Down | State::Unstated) => return None,
                None if today.contains(node.name()) => "leaves by the plan",
                None => "no member",
            };
            Some((node.name(), why))
        });
        let (absent, going) = going.partition(|(name, _)| !today.contains(name));
        Self { going, absent, coming, planned: members.planned.is_some() }
    }

    fn movers_in(&self, sources: &Sources) -> Vec<Mover> {
        let place = |span: Span| match sources.get(span.file) {
            Some(file) => format!("{}:{}", file.base_name(), file.line(span.start)),
            None => String::new(),
        };
        let mover = |member: &&Member| {
            let (stage, why) = match member.state {
                State::Joining => (Stage::Joining, "joining"),
                State::Valid
                | State::Running
                | State::Leaving
                | State::Exiting
                | State::Down
                | State::Invalid
                | State::Unstated => (Stage::CutOff, "a member already, and blocked until then"),
            };
            Mover { name: member.name.clone(), place: place(member.span), why, stage }
        };
        self.coming.iter().map(mover).collect()
    }

    fn movers_out(&self, cluster: &Cluster) -> Vec<Mover> {
        let mover = |node: &Node| {
            let leaving = self.going.get(node.name()).map(|why| (Stage::Leaving, *why));
            let (stage, why) = leaving.or_else(|| Some((Stage::Absent, *self.absent.get(node.name())?)))?;
            Some(Mover { name: node.name().to_owned(), place: cluster.place(node.span()), why, stage })
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
    print_findings(&findings, sources, as_json, Undone::Nothing)?;
    let Some(opened) = opened else { return Ok(None) };
    let (closed, mut findings) =
        opened.with_nodes(&[], &change.going.keys().chain(change.absent.keys()).copied().collect(), sources);
    findings.retain(|finding| finding.severity() == Severity::Error);
    print_findings(&findings, sources, as_json, Undone::Nothing)?;
    Ok(closed.map(|closed| (opened, closed)))
}

fn step(old: &Cluster, new: &Cluster, node: &[String], nodes: Vec<Mover>) -> anyhow::Result<Step> {
    // A node that goes has no rules of its own any more; those that fit every node are shown then.
    let (_, old_rules) = compiled(&site(old, node))?;
    let (_, new_rules) = compiled(&site(new, node))?;
    let found = difference(&old_rules, &new_rules)?;
    Ok(Step { nodes, meaning: Changes::of(&found, Names { clusters: [Some(old), Some(new)] }) })
}
