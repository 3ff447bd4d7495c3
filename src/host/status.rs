//! Whether the rules that are wanted are in force.
//!
//! A complete look reads everything of ours, and proves the claims on it. What it found stays true as long as the kernel
//! says that nothing changed: its generation, the handle of our table, the boot and the network namespace are the same,
//! and so are the files that the rules were made from. A digest that a table carries would say what was meant, and never
//! what is there.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::apply::Host;
use super::around::Around;
use super::known::FullLook;
use super::links::links;
use super::routing::Routing;
use super::rules::{Counters, InForce};
use super::sources::Ends;
use super::store::{Place, checksum};
use super::whole::surroundings;
use super::{HostError, deeds, iptables, nft, place, record, translation, ways};
use crate::cluster::{Cluster, Site, Term, Through, included_now};
use crate::diagnostic::{FileId, SourceFile};
use crate::net::{Elsewhere, Interface};

const SEEN: &str = "seen";

/// What a complete look found, and how to tell that it still holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    program: String,
    boot: String,
    namespace: u64,
    generation: u32,
    handle: u64,
    /// When everything was read last.
    pub full: FullLook,
    /// The files that the rules are made from, and their SHA-256.
    inputs: Vec<(PathBuf, String)>,
    /// What the cluster file includes, as it says so; and which files that were, behind its profile in `inputs`.
    #[serde(default)]
    includes: Vec<String>,
    #[serde(default)]
    included: Vec<PathBuf>,
    /// For which node.
    pub node: Option<String>,
    /// The protected ports.
    pub ports: String,
    /// What others have on the way, in words.
    pub others: Vec<String>,
    /// A rule of others that endangers replies.
    pub masquerade: Option<String>,
    /// What the host answered for by other routing tables, and whether iptables-legacy translated; nf_tables says by its
    /// generation that nothing changed.
    beside: String,
    /// The interfaces on which somebody is admitted, by name.
    admitted: Vec<Vec<String>>,
    /// The peers that are looked up.
    pub ends: Ends,
    /// The SHA-256 of what surrounded this host then.
    surroundings: String,
    /// When that was, in UTC; not noted by versions before.
    #[serde(default)]
    pub at: Option<String>,
    /// The SHA-256 of the cluster file, its profile and what it includes.
    #[serde(default)]
    pub digest: Option<String>,
    /// The last days of clients.
    #[serde(default)]
    pub terms: Vec<Term>,
}

impl Seen {
    /// Notes that what is in force was proved.
    ///
    /// # Errors
    /// Where the machine does not say what it is, or the note cannot be written.
    pub fn note(
        host: &Host,
        site: &Site<'_>,
        config: &Path,
        in_force: &InForce,
        around: &Around,
    ) -> Result<(), HostError> {
        // Files of other firewalls may change without the kernel's rules.
        // So may what the file allows, of which each look is to tell.
        let guard = site.cluster().guard();
        if guard.through() != Through::None || !guard.allow().is_empty() {
            return Ok(());
        }
        // Which files there are in a folder each look is to see.
        if site.cluster().is_joined() || record::is_of_folder(site.cluster(), config) {
            return Ok(());
        }
        let Some((generation, handle)) = in_force.version().filter(|_| around.is_settled()) else { return Ok(()) };
        // Where the kernel has no number for it that is never used again, each look is a whole one.
        let Some(namespace) = nft::namespace() else { return Ok(()) };
        let names = |list: Vec<Interface>| list.iter().map(|name| name.as_str().to_owned()).collect();
        let seen = Self {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            boot: boot()?,
            namespace,
            generation,
            handle,
            full: in_force.look.full().clone(),
            inputs: inputs(site.cluster(), config),
            includes: site.cluster().includes().to_vec(),
            included: included(site.cluster(), config),
            node: site.node_names(),
            ports: record::text(&site.protected()),
            others: in_force.others.iter().map(ToString::to_string).collect(),
            masquerade: in_force.masquerade.clone(),
            beside: beside(site.elsewhere())?,
            admitted: ways::admitted(site).into_iter().map(|(_, list)| names(list)).collect(),
            ends: Ends::of(site).map_err(HostError::Routing)?,
            surroundings: surrounded()?,
            at: Some(deeds::now()),
            digest: Some(site.cluster().digest().to_owned()),
            terms: Term::all(site.cluster()),
        };
        record::note_json(&host.store, Place::Volatile, SEEN, &seen)
    }

    /// What was noted for a node, if it still holds, and what was counted since.
    #[must_use]
    pub fn still(host: &Host, config: &Path, node: Option<&str>) -> Option<(Self, Counters)> {
        let seen: Self = record::read_json(&host.store, Place::Volatile, SEEN).ok()??;
        // What is known is read again from time to time, whatever the kernel says.
        if !seen.full.is_recent() {
            return None;
        }
        let asked = node == seen.node.as_deref();
        let first = seen.inputs.first().is_some_and(|(path, _)| *path == record::absolute(config));
        if !asked || !first || seen.program != env!("CARGO_PKG_VERSION") {
            return None;
        }
        // Of iptables-legacy nobody says that something has changed.
        if boot().ok()? != seen.boot || nft::namespace()? != seen.namespace {
            return None;
        }
        if iptables::legacy_filters() || iptables::legacy_of_arp().is_some() {
            return None;
        }
        let nft::Glance { generation, handle, counters } = nft::glance().ok()?;
        if generation != seen.generation || handle != Some(seen.handle) {
            return None;
        }
        let routing = Routing::read().ok()?;
        if beside(&routing.elsewhere()).ok()? != seen.beside {
            return None;
        }
        // Interfaces come into a VRF without any change of rules.
        for names in &seen.admitted {
            let list = names.iter().map(|name| name.parse().ok()).collect::<Option<Vec<Interface>>>()?;
            if !ways::unlisted_vrfs(&[(String::new(), list)], &routing).is_empty() {
                return None;
            }
        }
        if !seen.ends.are_current().ok()? {
            return None;
        }
        if surrounded().ok()? != seen.surroundings {
            return None;
        }
        // A file more or less changes none of those that were read.
        if !seen.includes.is_empty() && included_now(&record::absolute(config), &seen.includes)? != seen.included {
            return None;
        }
        let same = seen.inputs.iter().all(|(path, digest)| digest_of(path).as_ref() == Some(digest));
        same.then(|| {
            let counters = counters.into_iter().map(|(comment, packets, bytes)| (comment, (packets, bytes))).collect();
            (seen, counters)
        })
    }
}

fn beside(elsewhere: &Elsewhere) -> Result<String, HostError> {
    Ok(format!("{elsewhere:?}, legacy NAT: {}", translation::in_legacy()?))
}

/// What surrounds this host now.
fn surrounded() -> Result<String, HostError> {
    let links = links().map_err(|error| HostError::Place { what: "the interfaces of this host", error })?;
    Ok(checksum(format!("{:?}", surroundings(&links)?).as_bytes()))
}

fn boot() -> Result<String, HostError> {
    place::boot_id().map_err(|error| HostError::Place { what: "the boot's identity", error })
}

/// Forgets what was seen.
///
/// # Errors
/// Where the note cannot be taken away.
pub fn forget(host: &Host) -> Result<(), HostError> {
    Ok(host.store.remove(Place::Volatile, SEEN)?)
}

/// The files, as they were read.
fn inputs(cluster: &Cluster, config: &Path) -> Vec<(PathBuf, String)> {
    let digest = |file: &SourceFile| checksum(file.text.as_bytes());
    let of = |id| cluster.sources().get(id);
    // Alone it is all that the cluster's digest is made of.
    let is_alone = of(FileId::PROFILE).is_none() && cluster.includes().is_empty() && !cluster.is_joined();
    let of_file = |file| if is_alone { cluster.digest().to_owned() } else { digest(file) };
    let file = of(FileId::CLUSTER).map(|file| (record::absolute(config), of_file(file)));
    let profile = of(FileId::PROFILE).map(|file| (record::absolute(Path::new(&file.name)), digest(file)));
    let included = included(cluster, config).into_iter().zip(cluster.sources().included().map(digest));
    file.into_iter().chain(profile).chain(included).collect()
}

/// Where that is what the cluster file includes.
fn included(cluster: &Cluster, config: &Path) -> Vec<PathBuf> {
    let config = record::absolute(config);
    let folder = config.parent().unwrap_or(Path::new(""));
    cluster.sources().included().filter_map(SourceFile::inside).map(|inside| folder.join(inside)).collect()
}

fn digest_of(path: &Path) -> Option<String> {
    fs::read(path).ok().map(|bytes| checksum(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Included, parse_kept};

    const CLUSTER: &str = "[cluster]\nname = \"c\"\nnodes = [\"a@10.0.0.1\"]\n[networks]\nprivate = [\"10.0.0.0/24\"]\n\
        [services.distribution]\nports = \"6000-6009\"\n";

    /// Each file has the digest of its own text, whatever the cluster's is made of.
    #[test]
    fn inputs_have_the_digests_of_their_texts() {
        let more = "[[node]]\nname = \"b@10.0.0.2\"\n";
        let included = [Included { name: "more.toml".to_owned(), text: more.to_owned(), shown: true }];
        let with = format!("include = [\"more.toml\"]\n{CLUSTER}");
        for (text, included) in [(CLUSTER, &[][..]), (&with, &included[..])] {
            let cluster = parse_kept("/etc/c.toml", text.to_owned(), None, Some(included)).cluster.unwrap();
            let found = inputs(&cluster, Path::new("/etc/c.toml"));
            let wanted = [("/etc/c.toml", text)].into_iter().chain(included.iter().map(|_| ("/etc/more.toml", more)));
            let wanted: Vec<(PathBuf, String)> =
                wanted.map(|(path, text)| (PathBuf::from(path), checksum(text.as_bytes()))).collect();
            assert_eq!(found, wanted);
        }
    }
}
