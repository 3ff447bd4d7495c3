//! Profiles: which services a program has, as data. Those in `rulesets/` are part of the binary.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::config::{DEFAULT_PROFILE, phrases, read_service};
use super::keys::Key;
use super::model::{Service, State};
use super::syntax::{Shortened, parse_document};
use super::toml_reader::{Reader, TableReader};
use crate::diagnostic::{FileId, Findings};

/// The services of a program and their defaults.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// The name by which a cluster file asks for it.
    pub name: String,
    /// Raised whenever the meaning of the profile changes.
    pub version: u32,
    /// What it covers, in a few words.
    pub about: String,
    /// What stands before the `@` in the names of its nodes unless somebody chose another.
    pub node: String,
    /// What the program is called in a sentence.
    pub title: String,
    /// The command that prints who is in the cluster, where an output of it can be read.
    pub membership: Option<String>,
    /// Where its files usually are. Without any, nothing here reads them.
    pub folders: Vec<String>,
    /// The key that names the node, by the kind of file.
    pub node_name: BTreeMap<String, String>,
    /// The key that names all nodes of the cluster, by the kind of file. A `*` stands for any one part.
    pub node_names: BTreeMap<String, String>,
    /// The keys of settings that move no service and are read all the same, by the kind of file.
    pub beside: BTreeMap<Beside, BTreeMap<String, String>>,
    /// Its services, by name.
    pub services: Vec<Service>,
    /// The file itself.
    pub text: String,
}

/// What a setting that moves no service says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Beside {
    /// Whether other clusters fetch from the node what is written to it.
    ReplicationSource,
    /// What is compared with another cluster, which then fetches from the node, too.
    FullSync,
    /// The node of another cluster with which it is compared.
    ReplicationPeer,
    /// The nodes of other clusters from which the node fetches.
    ReplicationSinks,
    /// A limit of the VM that is no range of TCP ports.
    MaxPorts,
    /// Whether a part of the program listens that the profile has no service for.
    Unguarded,
}

impl Beside {
    /// Each, with what a profile calls it.
    const ALL: [(Self, &'static str); 6] = [
        (Self::ReplicationSource, "replication-source"),
        (Self::FullSync, "full-sync"),
        (Self::ReplicationPeer, "replication-peer"),
        (Self::ReplicationSinks, "replication-sinks"),
        (Self::MaxPorts, "max-ports"),
        (Self::Unguarded, "unguarded"),
    ];
}

const EMBEDDED: [(&str, &str); 7] = [
    ("riak", include_str!("../../rulesets/riak.toml")),
    ("rabbitmq", include_str!("../../rulesets/rabbitmq.toml")),
    ("ejabberd", include_str!("../../rulesets/ejabberd.toml")),
    ("couchdb", include_str!("../../rulesets/couchdb.toml")),
    ("vernemq", include_str!("../../rulesets/vernemq.toml")),
    ("emqx", include_str!("../../rulesets/emqx.toml")),
    ("erlang", include_str!("../../rulesets/erlang.toml")),
];

/// The text of an embedded profile.
pub(super) fn embedded_text(name: &str) -> Option<&'static str> {
    EMBEDDED.iter().find(|(own, _)| *own == name).map(|(_, text)| *text)
}

/// The names of the embedded profiles.
pub(super) fn embedded_names() -> impl Iterator<Item = &'static str> {
    EMBEDDED.iter().map(|(name, _)| *name)
}

/// The profiles that are part of the binary.
#[must_use]
pub fn embedded_profiles() -> Vec<Profile> {
    embedded().to_vec()
}

/// Read once: what imports asks for the same services with every file.
fn embedded() -> &'static [Profile] {
    static READ: OnceLock<Vec<Profile>> = OnceLock::new();
    READ.get_or_init(|| EMBEDDED.iter().filter_map(|(_, text)| read_profile(text, &mut Findings::default())).collect())
}

/// An embedded profile by its name.
#[must_use]
pub fn embedded_profile(name: &str) -> Option<&'static Profile> {
    embedded().iter().find(|own| own.name == name)
}

/// That of a cluster file which names none.
#[must_use]
pub fn default_profile() -> &'static Profile {
    static NONE: OnceLock<Profile> = OnceLock::new();
    // INVARIANT (default): it is there, as a test has it.
    embedded_profile(DEFAULT_PROFILE).unwrap_or_else(|| NONE.get_or_init(Profile::default))
}

/// The embedded profiles whose programs have a kind of file, such as `riak-conf`.
pub fn profiles_with(kind: &str) -> impl Iterator<Item = &'static Profile> {
    embedded().iter().filter(move |profile| profile.has_file(kind))
}

impl Profile {
    /// One of its services, as it is unless somebody changes it.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|own| own.name == name)
    }

    /// A service that a client may use, for an example: one that is there without a setting, where there is one.
    #[must_use]
    pub fn for_example(&self) -> &str {
        let own = || self.services.iter().filter(|service| service.is_for_clients() && service.state() == State::Open);
        own().find(|service| service.is_by_default()).or(own().next()).map_or("NAME", Service::name)
    }

    /// Whether it says what stands in a kind of file.
    #[must_use]
    pub fn has_file(&self, kind: &str) -> bool {
        self.keys_of(kind).next().is_some()
    }

    /// What a key of a kind of file says where it moves no service.
    #[must_use]
    pub fn beside(&self, kind: &str, is: impl Fn(&str) -> bool) -> Option<Beside> {
        self.beside.iter().find(|(_, keys)| keys.get(kind).is_some_and(|key| is(key))).map(|(what, _)| *what)
    }

    /// The keys of a kind of file that it knows.
    pub fn keys_of(&self, kind: &str) -> impl Iterator<Item = &str> {
        let names = [&self.node_name, &self.node_names].into_iter().chain(self.beside.values());
        let names = names.filter_map(|names| names.get(kind));
        let services = self.services.iter().flat_map(|service| service.keys_in(kind)).map(Key::key);
        names.map(String::as_str).chain(services)
    }
}

/// Reads a profile. Returns one only if nothing is wrong with it.
pub(super) fn read_profile(text: &str, findings: &mut Findings) -> Option<Profile> {
    let mut own = Findings::default();
    let profile = read_document(text, &mut own);
    let broken = own.errors() > 0;
    for finding in own.sorted() {
        findings.push(finding);
    }
    profile.filter(|_| !broken)
}

fn read_document(text: &str, findings: &mut Findings) -> Option<Profile> {
    let short = Shortened::new(text);
    let document = parse_document(&short, FileId::PROFILE, findings)?;
    let reader = &mut Reader::new(FileId::PROFILE, findings);
    let mut table = reader.document(&document);
    let name = table
        .require("name", reader, "a profile says its own name")
        .and_then(|value| reader.text(value, "`name`"))
        .filter(|name| reader.check_name(*name, "a profile", ""))
        .map(|name| name.text.to_owned());
    let version = table
        .require("version", reader, "a number from 1, raised with every change of meaning")
        .and_then(|value| reader.number(value, "`version`"));
    let about = table.get("about").and_then(|value| reader.phrase(value, "`about`"));
    let node = table.get("node").and_then(|value| reader.text(value, "`node`"));
    let node = node.filter(|node| reader.check_name(*node, "a node", "")).map(|node| node.text.to_owned());
    let title = table.get("title").and_then(|value| reader.phrase(value, "`title`"));
    let membership = table.get("membership").and_then(|value| reader.phrase(value, "`membership`"));
    let folders = table.get("folders").map(|value| phrases(value, "a folder", reader));
    let node_name = by_file(&mut table, "node-name", reader);
    let node_names = by_file(&mut table, "node-names", reader);
    let beside = Beside::ALL.map(|(what, key)| (what, by_file(&mut table, key, reader)));
    let services = table.require("services", reader, "a profile names at least one service").and_then(|value| {
        let services = reader.table(value, "`services`")?;
        let entries = services.entries(reader);
        Some(
            entries.into_iter().filter_map(|(name, value)| read_service(reader, name, value, None)).collect::<Vec<_>>(),
        )
    });
    table.finish(reader);
    Some(Profile {
        title: title.or_else(|| name.clone()).unwrap_or_default(),
        membership,
        folders: folders.unwrap_or_default(),
        node_name,
        node_names,
        beside: beside.into_iter().filter(|(_, keys)| !keys.is_empty()).collect(),
        node: node.or_else(|| name.clone()).unwrap_or_default(),
        name: name?,
        version: version?,
        about: about.unwrap_or_default(),
        services: services?,
        text: text.to_owned(),
    })
}

/// A key for each kind of file that has one.
fn by_file(table: &mut TableReader<'_>, key: &'static str, reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let files = table.get(key).and_then(|value| reader.table(value, format!("`{key}`")));
    let entries = files.map(|files| files.entries(reader)).unwrap_or_default();
    entries.into_iter().filter_map(|(kind, value)| Some((kind.text.to_owned(), reader.phrase(value, key)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Form;

    #[test]
    fn embedded_profiles_are_sound() {
        assert_eq!(default_profile().name, DEFAULT_PROFILE);
        for (name, text) in EMBEDDED {
            let mut findings = Findings::default();
            let profile = read_profile(text, &mut findings);
            assert!(findings.sorted().is_empty(), "{name}");
            let profile = profile.unwrap();
            assert!(text.contains("\n# Source: "), "{name}");
            assert_eq!(profile.name, name);
            let kinds =
                ["riak-conf", "app-config", "rabbitmq-conf", "rabbitmq-env", "advanced-config", "cluster-status"];
            for key in profile.services.iter().flat_map(|service| kinds.iter().flat_map(|kind| service.keys_in(kind))) {
                // What is misspelt would be a word that switches it on.
                let Form::Word(word) = key.form() else { continue };
                assert!(["on", "true"].contains(&word.as_str()), "{name}: {key:?}");
            }
            for service in &profile.services {
                assert!(service.setting.is_some() && service.why.is_some(), "{name}: {}", service.name);
                assert!(service.default_bind().is_some(), "{name}: {}", service.name);
            }
        }
    }
}
