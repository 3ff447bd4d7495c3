//! Any cluster, written as each of Riak's formats and imported, is the same cluster.
//!
//! `model` draws a cluster, `write` writes the files of its nodes in the layouts of all versions (`terms` spells Erlang
//! terms), `members` writes the outputs that say who is in it. Everything comes out of a seed: what failed once, fails again,
//! and the message has the files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../generate/mod.rs"]
mod generate;
mod members;
mod model;
mod terms;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use ringfence::cluster::default_profile;
use ringfence::cluster::{self, Cluster, Site, State};
use ringfence::diagnostic::{Findings, SourceFile, Sources, render_text};
use ringfence::import::cluster_file::{self, Known};
use ringfence::import::files::{File, Kind};
use ringfence::import::membership;
use ringfence::import::settings;
use ringfence::net::Ports;

use generate::Random;
use model::{Model, Node, SERVICES};
use write::Layout;

const CLUSTERS: u64 = 400;

/// The texts of one run.
struct Written {
    /// By node.
    files: Vec<Vec<(Kind, String)>>,
    members: Option<String>,
}

fn written(model: &Model, layouts: &[Layout], random: &mut Random) -> Written {
    // Where all nodes have the same ports, one node's files say all.
    let alone = model.members_are_needed() || random.chance(60);
    let count = if alone && model.is_uniform() && random.chance(50) { 1 } else { model.nodes.len() };
    let files = model.nodes.iter().take(count).map(|node| write::node(node, *random.pick(layouts), random)).collect();
    let needed = alone || count < 2;
    Written { files, members: needed.then(|| members::write(model, random)) }
}

/// What comes out, or everything that was said instead.
fn import(written: &Written) -> Result<Cluster, String> {
    let (mut sources, mut findings) = (Sources::default(), Findings::default());
    let mut settings = Vec::new();
    for (number, node) in written.files.iter().enumerate() {
        let mut files: Vec<File> = Vec::new();
        for (kind, text) in node {
            let name = format!("node{number}/{}", kind.name());
            files.push(File { id: sources.add(SourceFile::new(name, text.clone())), kind: *kind });
        }
        files.sort_by_key(|file| file.kind);
        settings.push(settings::read(default_profile(), &files, &sources, &mut findings));
    }
    let members = written.members.as_ref().map(|text| {
        let id = sources.add(SourceFile::new("members".to_owned(), text.clone()));
        membership::parse(text, id, &mut findings)
    });
    let said = |findings: Findings, sources: &Sources| -> String {
        findings.sorted().iter().map(|finding| render_text(finding, sources, false) + "\n").collect()
    };
    if findings.errors() > 0 {
        return Err(said(findings, &sources));
    }
    let members = members.map(|members| members.unwrap().today);
    let known = Known {
        profile: default_profile(),
        listeners: &[],
        name: "any",
        settings: &settings,
        members: members.as_deref(),
        inventory: None,
        hosts: None,
        joining: &[],
        addresses: &BTreeMap::new(),
        networks: &[],
        allow_public: false,
        sources: &sources,
    };
    let Some(text) = cluster_file::write(&known, &mut findings) else { return Err(said(findings, &sources)) };
    let loaded = cluster::parse("cluster.toml", text.clone(), Path::new(""));
    let shown: String = loaded.findings.iter().map(|finding| render_text(finding, &loaded.sources, false)).collect();
    loaded.cluster.ok_or(format!("{text}\n{shown}"))
}

/// The first thing in which they differ.
fn difference(model: &Model, cluster: &Cluster) -> Option<String> {
    let wanted: BTreeSet<&str> = model.admitted().map(|node| node.name.as_str()).collect();
    let found: BTreeSet<&str> = cluster.nodes().iter().map(cluster::Node::name).collect();
    if wanted != found {
        return Some(format!("nodes {found:?} instead of {wanted:?}"));
    }
    model.admitted().find_map(|node| node_difference(model, node, cluster))
}

fn node_difference(model: &Model, node: &Node, cluster: &Cluster) -> Option<String> {
    let found = cluster.node(&node.name)?;
    let addresses: BTreeSet<IpAddr> = found.addresses().map(|(address, _)| address).collect();
    if addresses != node.addresses() {
        return Some(format!("{}: addresses {addresses:?} instead of {:?}", node.name, node.addresses()));
    }
    let site = Site::of_node(cluster, found);
    for name in SERVICES {
        let service = site.services().iter().find(|service| service.service.name() == name).unwrap();
        let wanted: Option<Ports> = node.ports(name);
        let state = model.state(name);
        if service.service.state() != state {
            return Some(format!("{name} is {:?} instead of {state:?}", service.service.state()));
        }
        if let Some(wanted) = wanted.filter(|wanted| *wanted != service.ports && state != State::Unused) {
            return Some(format!("{}: {name} has ports {} instead of {wanted}", node.name, service.ports));
        }
    }
    // A range that nobody has set is proposed: wide enough, and no other service's.
    let distribution = site.services().iter().find(|service| service.service.name() == "distribution").unwrap();
    let narrow = (distribution.ports.count() as usize) < model.admitted().count() && !model.has_range();
    narrow.then(|| format!("only {} are proposed", distribution.ports))
}

fn check(seed: u64, layouts: &[Layout]) {
    let mut random = Random::new(seed);
    let model = Model::random(layouts, &mut random);
    let written = written(&model, layouts, &mut random);
    let wrong = match import(&written) {
        Ok(cluster) => difference(&model, &cluster),
        Err(said) => Some(said),
    };
    if let Some(wrong) = wrong {
        let files: String = written
            .files
            .iter()
            .flatten()
            .map(|(kind, text)| format!("---- {}\n{text}\n", kind.name()))
            .chain(written.members.iter().map(|text| format!("---- members\n{text}\n")))
            .collect();
        panic!("seed {seed}, {layouts:?}: {wrong}\n{files}");
    }
}

#[test]
fn clusters_of_one_layout() {
    for (number, layout) in Layout::ALL.into_iter().enumerate() {
        for seed in 0..CLUSTERS / 8 {
            check(seed * 16 + number as u64, &[layout]);
        }
    }
}

#[test]
fn clusters_of_mixed_layouts() {
    for seed in 0..CLUSTERS {
        let mut layouts = Layout::ALL;
        terms::shuffle(&mut layouts, &mut Random::new(seed));
        check(1_000_000 + seed, &layouts[..2 + seed as usize % 2]);
    }
}
