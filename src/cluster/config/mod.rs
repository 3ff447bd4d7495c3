//! The cluster file: TOML with places → model. What each key means stands in the reference page.
//!
//! Reading goes in two steps. Here every value is read for itself; what is unreadable is noted and left out. Then
//! [`super::check`] looks at the whole. Both steps always run, so that one run shows every finding.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use toml::Spanned;
use toml::de::DeTable;

use super::check::{self, Unread};
use super::model::{Cluster, Guard, OnBlock, Service, State, Through};
use super::profile::{embedded_text, read_profile};
use super::syntax::parse_document;
use super::toml_reader::{Reader, TableReader, Text};
use crate::diagnostic::{Diagnostic, FileId, Findings, SourceFile, Sources};
use crate::net::{PortRange, Ports};

mod addresses;
mod allowances;
mod nodes;
mod services;
mod sources;

pub(super) use nodes::read_short_node;
pub(super) use services::read_service;

use nodes::read_nodes;
use services::{load_profile, read_services};
use sources::{read_clients, read_networks};

/// 100,000 nodes in their longest form take about 20 MB.
const LARGEST_FILE: u64 = 256 << 20;

/// The profile of a cluster file that names none.
const DEFAULT_PROFILE: &str = "riak";

/// What came of a cluster file.
#[derive(Debug)]
pub struct Loaded {
    /// The cluster; absent if and only if there is an error among the findings.
    pub cluster: Option<Cluster>,
    /// Everything that was found, sorted by place.
    pub findings: Vec<Diagnostic>,
    /// The texts that the findings point into.
    pub sources: Arc<Sources>,
}

/// Reads a cluster file; `-` is standard input. Fails only if the file itself cannot be read.
pub fn load(path: &Path) -> io::Result<Loaded> {
    if path == Path::new("-") {
        let text = read_text(io::stdin().lock())?;
        return Ok(parse("standard input", text, Path::new("")));
    }
    let text = read_text(File::open(path)?)?;
    Ok(parse(&path.to_string_lossy(), text, path.parent().unwrap_or(Path::new(""))))
}

fn read_text(reader: impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    reader.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", LARGEST_FILE >> 20)));
    }
    Ok(text)
}

/// The file of a profile that is given by path: its name and what it says.
type ProfileFiles<'a> = dyn Fn(&str) -> io::Result<(String, String)> + 'a;

/// Reads the text of a cluster file. `folder` is where a profile given by path is looked for.
#[must_use]
pub fn parse(name: &str, text: String, folder: &Path) -> Loaded {
    parse_with(name, text, &|profile| {
        let path = folder.join(profile);
        Ok((path.to_string_lossy().into_owned(), read_text(File::open(&path)?)?))
    })
}

/// Reads the text of a cluster file. A profile given by path has this text, wherever it was.
#[must_use]
pub fn parse_with_profile(name: &str, text: String, profile: Option<&str>) -> Loaded {
    parse_with(name, text, &|path| {
        profile.map(|text| (path.to_owned(), text.to_owned())).ok_or_else(|| io::ErrorKind::NotFound.into())
    })
}

fn parse_with(name: &str, text: String, profiles: &ProfileFiles<'_>) -> Loaded {
    let mut findings = Findings::default();
    let mut profile_file = None;
    let draft = parse_document(&text, FileId::CLUSTER, &mut findings)
        .and_then(|document| read_document(&document, profiles, &mut profile_file, &mut findings));
    let mut digest = Sha256::new();
    digest.update(&text);
    let mut sources = Sources::new(SourceFile::new(name.to_owned(), text));
    if let Some(file) = profile_file {
        digest.update(&file.text);
        sources.add_profile(file);
    }
    let sources = Arc::new(sources);
    let mut cluster = draft.filter(|_| findings.errors() == 0);
    if let Some(cluster) = &mut cluster {
        cluster.sources = Arc::clone(&sources);
        for byte in digest.finalize() {
            // Writing to a String cannot fail.
            let _ = write!(cluster.digest, "{byte:02x}");
        }
    }
    Loaded { cluster, findings: findings.sorted(), sources }
}

/// A cluster without members: what a profile guards is closed for everybody but loopback. For a host of which nothing
/// better is known; services without ports in the profile cannot be guarded, and are unused here. `more` are ports that are
/// known to have been guarded.
#[must_use]
pub fn closed(profile: Option<&str>, more: &Ports) -> Option<Cluster> {
    let known = profile.and_then(embedded_text).or_else(|| embedded_text(DEFAULT_PROFILE))?;
    let profile = read_profile(known, &mut Findings::default())?;
    let mut services = profile.services;
    for service in &mut services {
        service.span = None;
        if service.ports.is_empty() {
            service.state = State::Unused;
        }
    }
    let guarded = |port: u16| services.iter().any(|service| service.is_guarded() && service.ports.has(port));
    let more: Ports = more.each().filter(|port| !guarded(*port)).filter_map(PortRange::single).collect();
    if !more.is_empty() {
        services.push(Service {
            name: "guarded-before".to_owned(),
            state: State::Blocked,
            peers: false,
            ports: more,
            one_port_per_node: false,
            setting: None,
            why: None,
            span: None,
        });
    }
    Some(Cluster {
        name: "unknown".to_owned(),
        profile: profile.name,
        profile_version: profile.version,
        digest: "none: the cluster file could not be read, and everything is closed".to_owned(),
        services,
        nodes: Vec::new(),
        clients: Vec::new(),
        private: Vec::new(),
        untrusted: Vec::new(),
        allow_public: false,
        guard: Guard::default(),
        sources: Arc::new(Sources::new(SourceFile::new(String::new(), String::new()))),
    })
}

fn read_document(
    document: &Spanned<DeTable<'_>>,
    profiles: &ProfileFiles<'_>,
    profile_file: &mut Option<SourceFile>,
    findings: &mut Findings,
) -> Option<Cluster> {
    let reader = &mut Reader::new(FileId::CLUSTER, findings);
    let mut top = reader.document(document);
    let cluster = top.require("cluster", reader, "every cluster file has `[cluster]` with a `name`");
    let mut cluster = cluster.and_then(|value| reader.table(value, "[cluster]"));
    let span = cluster.as_ref().map_or(top.span, |table| table.span);
    let name = cluster.as_mut().and_then(|table| read_name(table, reader, "the cluster", ""));
    let profile = match cluster.as_mut().and_then(|table| table.get("profile")) {
        Some(value) => {
            reader.text(value, "`profile`").and_then(|name| load_profile(name, profiles, profile_file, reader))
        }
        None => load_profile(Text { text: DEFAULT_PROFILE, span }, profiles, profile_file, reader),
    };
    let mut unread = Unread::default();
    let services = read_services(&mut top, profile.as_ref(), &mut unread, reader);
    let (nodes, failed) = reader.fails(|reader| read_nodes(&mut top, cluster.as_mut(), &services, reader));
    unread.nodes = failed;
    unread.ports_without_state.extend(nodes.iter().flat_map(|node| node.ports.iter().map(|(id, _)| *id)));
    if let Some(table) = cluster {
        table.finish(reader);
    }
    let (networks, failed) = reader.fails(|reader| read_networks(&mut top, reader));
    unread.private = failed;
    let (clients, failed) = reader.fails(|reader| read_clients(&mut top, &services, &networks.private, reader));
    unread.clients = failed;
    let guard = read_guard(&mut top, reader);
    top.finish(reader);
    // Without the services nothing that follows could be judged.
    let profile = profile?;
    let cluster = Cluster {
        name: name.unwrap_or_default(),
        profile: profile.name,
        profile_version: profile.version,
        digest: String::new(),
        services,
        nodes,
        clients,
        private: networks.private,
        untrusted: networks.untrusted,
        allow_public: networks.allow_public,
        guard,
        sources: Arc::new(Sources::new(SourceFile::new(String::new(), String::new()))),
    };
    check::check(&cluster, span, &unread, findings);
    Some(cluster)
}

fn read_name(table: &mut TableReader<'_>, reader: &mut Reader<'_>, what: &str, extra: &str) -> Option<String> {
    let value = table.require("name", reader, "give it a `name`")?;
    let name = reader.text(value, "`name`")?;
    reader.check_name(name, what, extra).then(|| name.text.to_owned())
}

fn read_guard(top: &mut TableReader<'_>, reader: &mut Reader<'_>) -> Guard {
    let mut guard = Guard::default();
    let Some(mut table) = top.get("guard").and_then(|value| reader.table(value, "[guard]")) else { return guard };
    guard.interfaces = table.get("interfaces").and_then(|value| reader.interfaces(value, "`interfaces`"));
    let words = [("drop", OnBlock::Drop), ("reject", OnBlock::Reject), ("log-only", OnBlock::LogOnly)];
    let value = table.get("on-block");
    guard.on_block_span = value.map(|value| reader.span(value));
    let on_block = value.and_then(|value| reader.word(value, "`on-block`", &words));
    guard.on_block = on_block.unwrap_or_default();
    guard.log = table.get("log").and_then(|value| reader.boolean(value, "`log`")).unwrap_or(false);
    let through = table.get("open-through").and_then(|value| reader.word(value, "`open-through`", &Through::WORDS));
    guard.through = through.unwrap_or_default();
    guard.allow = table.get("allow").map(|value| allowances::read(value, reader)).unwrap_or_default();
    table.finish(reader);
    guard
}
