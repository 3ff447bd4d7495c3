//! The cluster file: TOML with places → model. What each key means stands in the reference page.
//!
//! Reading goes in two steps. Here every value is read for itself; what is unreadable is noted and left out. Then
//! [`super::check`] looks at the whole. Both steps always run, so that one run shows every finding.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};
use toml::Spanned;
use toml::de::DeTable;

use super::check::{self, Unread};
use super::guard::{Guard, OnBlock, Through};
use super::model::{Cluster, OfProgram, PEERS, Service, State};
use super::profile::{embedded_text, read_profile};
use super::syntax::{List, Shortened, parse_document};
use super::toml_reader::{Reader, TableReader, Text};
use crate::diagnostic::{Diagnostic, FileId, Findings, SourceFile, Sources, is_for_another, may_be_shown};
use crate::net::{PortRange, Ports};

mod addresses;
mod allowances;
mod beside;
mod include;
mod nodes;
mod services;
mod sources;

pub(super) use addresses::{read_cidr, read_node_address};
pub use include::{Included, included_now};
pub(super) use nodes::read_short_node;
pub(super) use services::{phrases, read_service};

use beside::{Beside, Identity, LARGEST_FILE, read_file, read_text};
use include::{Part, Pattern};
use nodes::read_nodes;
use services::{load_profile, read_services};
use sources::{Clients, read_networks};

/// The profile of a cluster file that names none.
pub const DEFAULT_PROFILE: &str = "riak";

/// What stands at the top of a cluster file.
const TABLES: [&str; 7] = ["include", "cluster", "networks", "node", "client", "services", "guard"];

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
pub(super) fn load_file(path: &Path) -> io::Result<Loaded> {
    if path == Path::new("-") {
        let text = read_text(io::stdin().lock(), LARGEST_FILE)?;
        return Ok(parse_with("standard input", text, true, Beside::Folder(Path::new(""), None)));
    }
    // What a shell makes of `<(…)` has a writer already.
    let has_writer = ["/dev/fd", "/proc"].iter().any(|folder| path.starts_with(folder));
    if !has_writer && fs::metadata(path)?.file_type().is_fifo() {
        return Err(io::Error::other(
            "it is a named pipe, which would be waited for, perhaps for ever: name a file, or `-` for standard input",
        ));
    }
    let file = File::open(path)?;
    let own = Identity::of(&file)?;
    let shown = may_be_shown(&file);
    let text = read_file(file, LARGEST_FILE)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(parse_with(&path.to_string_lossy(), text, shown, Beside::Folder(folder, Some(own))))
}

/// Reads the text of a cluster file. `folder` is where a profile given by path, and what the file includes, are looked for.
#[must_use]
pub fn parse(name: &str, text: String, folder: &Path) -> Loaded {
    parse_with(name, text, !is_for_another(), Beside::Folder(folder, None))
}

/// Reads the text of a cluster file again that was applied. A profile given by path has this text, and what it includes is this,
/// wherever they were; nothing is looked for. `included` is nothing where it is not known.
#[must_use]
pub fn parse_kept(name: &str, text: String, profile: Option<&str>, included: Option<&[Included]>) -> Loaded {
    let folder = Path::new(name).parent().unwrap_or(Path::new(""));
    parse_with(name, text, !is_for_another(), Beside::Kept(folder, profile, included))
}

fn parse_with(name: &str, text: String, shown: bool, beside: Beside<'_>) -> Loaded {
    let mut findings = Findings::default();
    let mut profile_file = None;
    let text = Arc::new(text);
    let short = Shortened::new(&text);
    let document = parse_document(&short, FileId::CLUSTER, &mut findings);
    let (includes, included, whole) = document.as_ref().map_or((Vec::new(), Vec::new(), false), |document| {
        includes(document, beside, &mut Reader::new(FileId::CLUSTER, &mut findings))
    });
    let texts = include::texts(&included);
    let documents = include::documents(&texts, &mut findings);
    let draft = document.as_ref().and_then(|document| {
        let lists = &short.lists;
        read_document((document, lists, &text), (&documents, whole), beside, &mut profile_file, &mut findings)
    });
    drop(documents);
    drop(texts);
    drop(document);
    drop(short);
    let digest = digest_of(&text, profile_file.as_ref(), &included);
    let mut sources = Sources::new(SourceFile::of_shared(name.to_owned(), text).with_shown(shown));
    if let Some(file) = profile_file {
        sources.add_profile(file);
    }
    sources.add_included(included);
    let sources = Arc::new(sources);
    let mut cluster = draft.filter(|_| findings.errors() == 0);
    if let Some(cluster) = &mut cluster {
        cluster.sources = Arc::clone(&sources);
        (cluster.digest, cluster.includes) = (digest, includes);
    }
    Loaded { cluster, findings: findings.sorted(), sources }
}

/// What a cluster file includes, as it says so; the files; and whether these are all.
fn includes(
    document: &Spanned<DeTable<'_>>,
    beside: Beside<'_>,
    reader: &mut Reader<'_>,
) -> (Vec<String>, Vec<SourceFile>, bool) {
    let mut top = reader.document(document).may_have(&TABLES);
    let (patterns, may_all) = include::patterns(top.get("include"), reader);
    let (files, whole) = beside.included(&patterns, reader);
    (patterns.iter().map(Pattern::written).collect(), files, may_all && whole)
}

/// SHA-256 of all that was read. TOML has no NUL (<https://toml.io>), which so tells where a text ends and another begins; without
/// included files it is that of versions before there were any.
fn digest_of(text: &str, profile: Option<&SourceFile>, included: &[SourceFile]) -> String {
    let mut digest = Sha256::new();
    digest.update(text);
    profile.into_iter().for_each(|file| digest.update(file.text.as_bytes()));
    for file in included {
        for part in ["\0", file.inside().unwrap_or_default(), "\0", &file.text] {
            digest.update(part);
        }
    }
    hexadecimal(&digest.finalize())
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
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
            program: OfProgram::default(),
            port_by_node_number: false,
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
        hosts: OnceLock::new(),
        clients: Vec::new(),
        private: Vec::new(),
        untrusted: Vec::new(),
        allow_public: false,
        guard: Guard::default(),
        includes: Vec::new(),
        sources: Arc::new(Sources::new(SourceFile::new(String::new(), String::new()))),
        parts: Vec::new(),
        tag: None,
        peers: PEERS.to_owned(),
    })
}

/// A document, the lists that are not in it, and the text of both.
type Document<'a> = (&'a Spanned<DeTable<'a>>, &'a [List<'a>], &'a Arc<String>);
/// Included files, as documents, and whether that is all of them.
type IncludedDocuments<'a> = (&'a [include::Document<'a>], bool);

fn read_document(
    (document, lists, text): Document<'_>,
    (included, whole): IncludedDocuments<'_>,
    beside: Beside<'_>,
    profile_file: &mut Option<SourceFile>,
    findings: &mut Findings,
) -> Option<Cluster> {
    let reader = &mut Reader::new(FileId::CLUSTER, findings).with_lists(lists, text);
    let mut top = reader.document(document).may_have(&TABLES);
    // Which was read before.
    top.get("include");
    let whole = whole && included.iter().all(|one| one.document.is_some());
    let mut parts: Vec<Part<'_>> = included.iter().filter_map(|one| include::part(one, reader)).collect();
    let cluster = top.require("cluster", reader, "every cluster file has `[cluster]` with a `name`");
    let cluster = cluster.and_then(|value| reader.table(value, "[cluster]"));
    let mut cluster = cluster.map(|table| table.may_have(&["name", "profile", "nodes"]));
    let span = cluster.as_ref().map_or(top.span, |table| table.span);
    let name = cluster.as_mut().and_then(|table| read_name(table, reader, "the cluster", ""));
    let profile = match cluster.as_mut().and_then(|table| table.get("profile")) {
        Some(value) => {
            reader.text(value, "`profile`").and_then(|name| load_profile(name, beside, profile_file, reader))
        }
        None => load_profile(Text { text: DEFAULT_PROFILE, span }, beside, profile_file, reader),
    };
    let mut unread = Unread::default();
    let services = read_services(&mut top, profile.as_ref(), &mut unread, reader);
    let (nodes, failed) = reader.fails(|reader| {
        let mut nodes = read_nodes(&mut top, cluster.as_mut(), &services, reader);
        for Part { file, lists, table } in &mut parts {
            nodes.extend(read_nodes(table, None, &services, &mut reader.in_file(*file, lists)));
        }
        nodes
    });
    unread.nodes = failed || !whole;
    unread.ports_without_state.extend(nodes.iter().flat_map(|node| node.own_ports().iter().map(|(id, _)| *id)));
    if let Some(table) = cluster {
        table.finish(reader);
    }
    let (networks, failed) = reader.fails(|reader| read_networks(&mut top, reader));
    unread.private = failed;
    let (clients, failed) = reader.fails(|reader| {
        let mut clients = Clients::new(&services, &networks.private);
        clients.read(&mut top, reader);
        for Part { file, lists, table } in &mut parts {
            clients.read(table, &mut reader.in_file(*file, lists));
        }
        clients.list
    });
    unread.clients = failed || !whole;
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
        hosts: OnceLock::new(),
        clients,
        private: networks.private,
        untrusted: networks.untrusted,
        allow_public: networks.allow_public,
        guard,
        includes: Vec::new(),
        sources: Arc::new(Sources::new(SourceFile::new(String::new(), String::new()))),
        parts: Vec::new(),
        tag: None,
        peers: PEERS.to_owned(),
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
    let log = table.get("log");
    guard.log_span = log.map(|value| reader.span(value));
    guard.log = log.and_then(|value| reader.boolean(value, "`log`")).unwrap_or(false);
    let through = table.get("open-through");
    guard.through_span = through.map(|value| reader.span(value));
    let through = through.and_then(|value| reader.word(value, "`open-through`", &Through::WORDS));
    guard.through = through.unwrap_or_default();
    guard.allow = table.get("allow").map(|value| allowances::read(value, reader)).unwrap_or_default();
    table.finish(reader);
    guard
}
