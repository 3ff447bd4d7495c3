//! What is remembered between runs.
//!
//! ```text
//!  state     good        the cluster file, its profile, what it includes, and the digest of the ruleset that were last applied and not
//!                        taken back; of a folder of cluster files all of them in one text
//!            candidate   the same of an apply that waits to be confirmed
//!            reserved    the reserved ports that are there because of us
//!            rejected    the digest of a cluster file that was taken back, or is not confirmed yet
//!            deeds       who applied and who confirmed what is in `good`, and when
//!  volatile  pending     that an apply waits to be confirmed, until when, and what is to be brought back
//!            before      what was in force before it
//!            unkept      that the start of the machine brought rules into force that are not in `good`
//!            seen        what the last complete look at the kernel found, and how to tell that it still holds
//!            members     what the sets in the kernel held then, see [`super::known`]
//! ```
//!
//! What each promises to a machine that loses its power, and so waits for the disk:
//!
//! | what | promise | syncs |
//! |---|---|---|
//! | `good`, `candidate` | the next start brings in this or, where the run had not come so far, what was applied before | the text; its name |
//! | `reserved` | ports of ours are given back by whoever removes them, whatever happens in between | the text; its name |
//! | `rejected` | what nobody confirmed is not brought in by the next start | the text; its name |
//! | `deeds` | none: who it was is worth a note | none |
//! | `pending`, `before`, `unkept` | a watchdog finds what its own run wrote; the run of the machine ends with its power | those of any file |
//! | `seen`, `members` | none: without them everything is read | none |
//!
//! A change of members writes `good` and notes: two syncs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::store::{Place, ReadySet, Store, Stored, checksum_of};
use super::{Backend, HostError, deeds};
use crate::cluster::{self, AND, Cluster, Included, KeptFile, Loaded, Node, Site};
use crate::diagnostic::{FileId, SourceFile, Texts};
use crate::net::{PortRange, Ports};

/// Sets of files.
pub const GOOD: &str = "good";
/// One that waits.
pub const CANDIDATE: &str = "candidate";
const CLUSTER_FILE: &str = "cluster.toml";
const PROFILE_FILE: &str = "profile.toml";
/// What the cluster file includes: names and texts.
const INCLUDED_FILE: &str = "included.json";
const RECORD_FILE: &str = "record.json";
/// The SHA-256 of the ruleset, which the cluster file makes again; versions before kept the ruleset itself.
const RULES_FILE: &str = "rules.sha256";
/// In place of these three, where the cluster files are those of a folder: each with its profile and what it includes.
const CLUSTERS_FILE: &str = "clusters.json";
const RESERVED: &str = "reserved";
const REJECTED: &str = "rejected";
const UNKEPT: &str = "unkept";

/// What was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of this program.
    pub version: String,
    /// The name of the cluster, or the names of several that are guarded together; `None` where it was written before this was noted.
    #[serde(default)]
    pub cluster: Option<String>,
    /// The node that this host is, or one of each cluster; `None` for rules that fit every node.
    pub node: Option<String>,
    /// How the rules were brought in.
    pub backend: Backend,
    /// Where the cluster file was, or the folder of several.
    pub config: PathBuf,
    /// Of the cluster file, its profile and what it includes.
    pub digest: String,
    /// Of several clusters that are guarded together, the digest of each. They come to another host's or another day's files together with
    /// others, and are the same ones then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// Some of its nodes, by which a file of the same cluster is known without reading again what was applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub some: Vec<String>,
    /// The protected ports.
    pub ports: String,
    /// Below which folder files were written outside of the state folder.
    pub root: PathBuf,
}

/// What was applied, with all its files.
#[derive(Debug)]
pub struct Kept {
    /// About it.
    pub record: Record,
    files: Stored,
}

impl Record {
    /// The protected ports.
    #[must_use]
    pub fn ports(&self) -> Ports {
        ports(&self.ports)
    }

    /// The digests of what was applied: of all together, and of each cluster of several.
    pub fn digests(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.digest).chain(&self.parts).map(String::as_str)
    }

    /// The names of the clusters, where they were noted; several that were guarded together stand in the order of their files.
    #[must_use]
    pub fn clusters(&self) -> Option<Vec<&str>> {
        self.cluster.as_deref().map(|names| names.split(AND).collect())
    }

    /// The nodes that this host was, one of each cluster; `None` for rules that fit every node.
    #[must_use]
    pub fn nodes(&self) -> Option<Vec<&str>> {
        self.node.as_deref().map(|names| names.split(AND).collect())
    }

    /// The site that was applied; `None` where the cluster is not the one of this record, which then has not its nodes.
    #[must_use]
    pub fn site<'a>(&self, cluster: &'a Cluster) -> Option<Site<'a>> {
        let Some(names) = self.nodes() else { return Some(Site::of_every_node(cluster)) };
        let here: Vec<&Node> = names.iter().map(|name| cluster.node(name)).collect::<Option<_>>()?;
        let site = Site::of_nodes(cluster, &here);
        (site.node_names() == self.node).then_some(site)
    }
}

/// A file that is kept: its name, and what is in it, which for a cluster file is its text itself.
pub type Written<'a> = (&'static str, Cow<'a, [u8]>);

/// The files that are kept of an apply, whose rules have this digest.
pub fn files<'a>(cluster: &'a Cluster, record: &Record, rules: &str) -> Vec<Written<'a>> {
    let mut files: Vec<Written<'a>> = vec![(RULES_FILE, rules.as_bytes().to_vec().into())];
    if cluster.is_joined() || is_of_folder(cluster, &record.config) {
        let all: Vec<KeptText> = cluster.sources().of_each().iter().map(KeptText::of).collect();
        files.extend(serde_json::to_vec_pretty(&all).ok().map(|bytes| (CLUSTERS_FILE, bytes.into())));
        files.extend(serde_json::to_vec_pretty(record).ok().map(|bytes| (RECORD_FILE, bytes.into())));
        return files;
    }
    let texts = [(FileId::CLUSTER, CLUSTER_FILE), (FileId::PROFILE, PROFILE_FILE)];
    for (id, name) in texts {
        files.extend(cluster.sources().get(id).map(|file| (name, file.text.as_bytes().into())));
    }
    let included: Vec<Included> = cluster.sources().included().map(included).collect();
    if !cluster.includes().is_empty() {
        files.extend(serde_json::to_vec_pretty(&included).ok().map(|bytes| (INCLUDED_FILE, bytes.into())));
    }
    files.extend(serde_json::to_vec_pretty(record).ok().map(|bytes| (RECORD_FILE, bytes.into())));
    files
}

/// The digest of each of several clusters; nothing for one.
#[must_use]
pub fn digests_of_parts(cluster: &Cluster) -> Vec<String> {
    let parts = if cluster.is_joined() { cluster.parts() } else { &[] };
    parts.iter().map(|part| part.digest().to_owned()).collect()
}

/// The first nodes of a cluster, for [`Record::some`]; nothing of several, which have some each.
#[must_use]
pub fn some_nodes(cluster: &Cluster) -> Vec<String> {
    const MANY: usize = 8;
    let nodes = if cluster.is_joined() { &[] } else { cluster.nodes() };
    nodes.iter().take(MANY).map(|node| node.name().to_owned()).collect()
}

/// Whether this is the folder of the cluster file, and not the file itself.
#[must_use]
pub fn is_of_folder(cluster: &Cluster, config: &Path) -> bool {
    let file = cluster.sources().get(FileId::CLUSTER).map(|file| absolute(Path::new(&file.name)));
    file.is_some_and(|file| file.parent() == Some(&absolute(config)))
}

/// A cluster file of a folder, as it is kept.
#[derive(Serialize, Deserialize)]
struct KeptText {
    name: String,
    text: String,
    profile: Option<String>,
    included: Vec<Included>,
}

impl KeptText {
    fn of(texts: &Texts<'_>) -> Self {
        Self {
            name: absolute(Path::new(&texts.file.name)).display().to_string(),
            text: texts.file.text.to_string(),
            profile: texts.profile.map(|file| file.text.to_string()),
            included: texts.included.iter().map(|file| included(file)).collect(),
        }
    }

    fn file(&self) -> KeptFile<'_> {
        let Self { name, text, profile, included } = self;
        KeptFile { name, text, profile: profile.as_deref(), included: Some(included) }
    }
}

fn included(file: &SourceFile) -> Included {
    Included { name: file.inside().unwrap_or_default().to_owned(), text: file.text.to_string(), shown: file.is_shown() }
}

/// Writes a set.
///
/// # Errors
/// As [`Store::write_set`].
pub fn keep(store: &Store, name: &str, files: &[Written<'_>]) -> Result<(), HostError> {
    put(store, prepare(store, name, files)?)
}

/// Writes a set that counts from [`put`] on; `None` where it is there already.
///
/// # Errors
/// As [`Store::prepare_set`].
pub fn prepare(store: &Store, name: &str, files: &[Written<'_>]) -> Result<Option<ReadySet>, HostError> {
    // A disk takes longer to write than all the rest takes.
    if is_kept(store, name, files) {
        return Ok(None);
    }
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_ref())).collect();
    Ok(Some(store.prepare_set(name, &files)?))
}

/// Whether a set is there that is just like this.
#[must_use]
pub fn is_kept(store: &Store, name: &str, files: &[Written<'_>]) -> bool {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_ref())).collect();
    store.read_set(name).ok().flatten().is_some_and(|there| there.is(&files))
}

/// Puts a set into its place.
///
/// # Errors
/// As [`Store::put_set`].
pub fn put(store: &Store, ready: Option<ReadySet>) -> Result<(), HostError> {
    Ok(ready.map_or(Ok(()), |ready| store.put_set(&ready))?)
}

/// Reads a set.
///
/// # Errors
/// Where it is not what was written.
pub fn kept(store: &Store, name: &str) -> Result<Option<Kept>, HostError> {
    let Some(files) = store.read_set(name)? else { return Ok(None) };
    let record = files.get(RECORD_FILE).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let record = record.ok_or(HostError::BadSnapshot)?;
    Ok(Some(Kept { record, files }))
}

/// Writes the set that waits so that it counts from [`put`] on.
///
/// # Errors
/// Where it cannot be read or written.
pub fn prepare_promotion(store: &Store) -> Result<Option<ReadySet>, HostError> {
    let Some(files) = store.read_set(CANDIDATE)? else { return Ok(None) };
    let texts = files.texts();
    let files: Vec<(&str, &[u8])> = texts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    Ok(Some(store.prepare_set(GOOD, &files)?))
}

impl Kept {
    /// The cluster, read again.
    #[must_use]
    pub fn load(&self) -> Loaded {
        let text = |name: &str| self.files.get(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if let Some(bytes) = self.files.get(CLUSTERS_FILE) {
            // One that cannot be read is none that can be used.
            let all: Vec<KeptText> = serde_json::from_slice(&bytes).unwrap_or_default();
            let all: Vec<KeptFile<'_>> = all.iter().map(KeptText::file).collect();
            return cluster::parse_kept_together(&all);
        }
        let name = self.record.config.display().to_string();
        let cluster = text(CLUSTER_FILE).unwrap_or_default();
        let included: Option<Vec<Included>> =
            self.files.get(INCLUDED_FILE).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        cluster::parse_kept(&name, cluster, text(PROFILE_FILE).as_deref(), included.as_deref())
    }

    /// The SHA-256 of the rules as they were written down.
    #[must_use]
    pub fn rules_digest(&self) -> String {
        if let Some(digest) = self.files.get(RULES_FILE) {
            return String::from_utf8_lossy(&digest).into_owned();
        }
        let other = [CLUSTER_FILE, PROFILE_FILE, INCLUDED_FILE, CLUSTERS_FILE, RECORD_FILE];
        let texts = self.files.texts();
        let rules = texts.iter().filter(|(name, _)| !other.contains(&name.as_str()));
        digest_of(rules.map(|(name, bytes)| (name.as_str(), bytes.as_slice())))
    }
}

/// The SHA-256 of a ruleset's files.
pub(super) fn rules_digest(ruleset: &[(&'static str, String)]) -> String {
    // In the order in which they would be listed.
    let rules: BTreeMap<&str, &[u8]> = ruleset.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    digest_of(rules.into_iter())
}

fn digest_of<'a>(texts: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let pieces = texts.flat_map(|(name, bytes)| {
        // Their names and ends tell two files from one.
        [Cow::Owned(format!("{name} {}\n", bytes.len()).into_bytes()), Cow::Borrowed(bytes)]
    });
    checksum_of(pieces)
}

/// The reserved ports that are there because of us.
///
/// # Errors
/// Where the file is not what was written.
pub fn reserved(store: &Store) -> Result<Ports, HostError> {
    let bytes = store.read(Place::State, RESERVED)?.unwrap_or_default();
    Ok(ports(String::from_utf8_lossy(&bytes).trim()))
}

/// Remembers them.
///
/// # Errors
/// Where the state cannot be written.
pub fn set_reserved(store: &Store, ports: &Ports) -> Result<(), HostError> {
    if reserved(store).is_ok_and(|there| there == *ports) {
        return Ok(());
    }
    if ports.is_empty() {
        return Ok(store.remove(Place::State, RESERVED)?);
    }
    Ok(store.write(Place::State, RESERVED, format!("{}\n", text(ports)).as_bytes())?)
}

/// Ports as they stand in a sysctl.
#[must_use]
pub fn text(ports: &Ports) -> String {
    ports.ranges().iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Ports as [`text`] writes them.
#[must_use]
pub fn ports(text: &str) -> Ports {
    text.split(',').filter_map(|range| range.trim().parse::<PortRange>().ok()).collect()
}

/// The digests of cluster files that must not be applied at boot.
///
/// # Errors
/// Where the file is not what was written.
fn rejected(store: &Store) -> Result<Vec<String>, HostError> {
    let bytes = store.read(Place::State, REJECTED)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

/// Whether a cluster, or one of several, must not be applied at boot, unless that one is part of what was confirmed last.
///
/// # Errors
/// Where the file is not what was written.
pub fn is_rejected(store: &Store, cluster: &Cluster, good: Option<&Record>) -> Result<bool, HostError> {
    let rejected = rejected(store)?;
    let is_good = |digest: &str| good.is_some_and(|good| good.digests().any(|own| own == digest));
    let mut digests = std::iter::once(cluster).chain(cluster.parts()).map(Cluster::digest);
    Ok(digests.any(|digest| !is_good(digest) && rejected.iter().any(|one| one == digest)))
}

/// Notes the digests of what was not confirmed, but for those that were confirmed with something else.
///
/// # Errors
/// Where the state cannot be written.
pub fn reject(store: &Store, record: &Record, good: Option<&Record>) -> Result<(), HostError> {
    let is_good = |digest: &str| good.is_some_and(|good| good.digests().any(|own| own == digest));
    let new: Vec<&str> = record.digests().filter(|digest| !is_good(digest)).collect();
    write_rejected(store, record, &new)
}

/// Forgets the digests of what is confirmed.
///
/// # Errors
/// Where the state cannot be written.
pub fn accept(store: &Store, record: &Record) -> Result<(), HostError> {
    write_rejected(store, record, &[])
}

/// Those that are written down, without those of a record, and with some.
fn write_rejected(store: &Store, record: &Record, new: &[&str]) -> Result<(), HostError> {
    const MOST: usize = 100;
    let mut all = rejected(store)?;
    let before = all.clone();
    let is_of_record = |digest: &String| record.digests().any(|own| own == digest);
    all.retain(|own| !is_of_record(own));
    all.extend(new.iter().map(|&digest| digest.to_owned()));
    let last = all.split_off(all.len().saturating_sub(MOST));
    match last.as_slice() {
        same if same == before.as_slice() => Ok(()),
        [] => Ok(store.remove(Place::State, REJECTED)?),
        some => Ok(store.write(Place::State, REJECTED, (some.join("\n") + "\n").as_bytes())?),
    }
}

/// Notes that rules are in force that nobody applied: what the start of the machine fell back to.
///
/// # Errors
/// Where it cannot be written.
pub fn note_unkept(store: &Store) -> Result<(), HostError> {
    Ok(store.write(Place::Volatile, UNKEPT, b"")?)
}

/// Whether the start of the machine brought in what nobody applied. A note that cannot be read is one.
#[must_use]
pub fn is_unkept(store: &Store) -> bool {
    !matches!(store.read(Place::Volatile, UNKEPT), Ok(None))
}

/// Whether anything is remembered that [`forget`] takes away. What cannot be read is there.
#[must_use]
pub fn is_there(store: &Store) -> bool {
    let folder = |name| !matches!(store.read_set(name), Ok(None));
    let file = |place, name| !matches!(store.read(place, name), Ok(None));
    folder(GOOD)
        || folder(CANDIDATE)
        || file(Place::Volatile, UNKEPT)
        || file(Place::State, RESERVED)
        || file(Place::State, REJECTED)
}

/// Takes everything away that lasts, and the note.
///
/// # Errors
/// Where something is not what was written.
pub fn forget(store: &Store) -> Result<(), HostError> {
    store.remove_set(GOOD)?;
    store.remove_set(CANDIDATE)?;
    deeds::forget(store)?;
    store.remove(Place::Volatile, UNKEPT)?;
    store.remove(Place::State, RESERVED)?;
    Ok(store.remove(Place::State, REJECTED)?)
}

/// A small file of JSON.
///
/// # Errors
/// Where it cannot be written.
pub fn write_json(store: &Store, place: Place, name: &str, value: &impl Serialize) -> Result<(), HostError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(HostError::internal)?;
    Ok(store.write(place, name, &bytes)?)
}

/// The same for a note, see [`Store::write_note`].
///
/// # Errors
/// Where it cannot be written.
pub fn note_json(store: &Store, place: Place, name: &str, value: &impl Serialize) -> Result<(), HostError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(HostError::internal)?;
    Ok(store.write_note(place, name, &[&bytes])?)
}

/// A small file of JSON, if it is there and of this form.
///
/// # Errors
/// Where it is not what was written.
pub fn read_json<T: DeserializeOwned>(store: &Store, place: Place, name: &str) -> Result<Option<T>, HostError> {
    let Some(bytes) = store.read(place, name)? else { return Ok(None) };
    Ok(serde_json::from_slice(&bytes).ok())
}

/// A path that means the same wherever it is read.
#[must_use]
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
