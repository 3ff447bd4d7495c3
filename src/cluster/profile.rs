//! Profiles: which services a program has, as data. Those in `rulesets/` are part of the binary.

use std::sync::OnceLock;

use super::config::read_service;
use super::model::Service;
use super::syntax::{Shortened, parse_document};
use super::toml_reader::Reader;
use crate::diagnostic::{FileId, Findings};

/// The services of a program and their defaults.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The name by which a cluster file asks for it.
    pub name: String,
    /// Raised whenever the meaning of the profile changes.
    pub version: u32,
    /// What it covers, in a few words.
    pub about: String,
    /// What stands before the `@` in the names of its nodes unless somebody chose another.
    pub node: String,
    /// Its services, by name.
    pub services: Vec<Service>,
    /// The file itself.
    pub text: String,
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

/// A service of an embedded profile as it is unless somebody changes it.
#[must_use]
pub fn usual_service(profile: &str, service: &str) -> Option<&'static Service> {
    let profile = embedded().iter().find(|own| own.name == profile)?;
    profile.services.iter().find(|own| own.name == service)
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
    let services = table.require("services", reader, "a profile names at least one service").and_then(|value| {
        let services = reader.table(value, "`services`")?;
        let entries = services.entries(reader);
        Some(
            entries.into_iter().filter_map(|(name, value)| read_service(reader, name, value, None)).collect::<Vec<_>>(),
        )
    });
    table.finish(reader);
    Some(Profile {
        node: node.or_else(|| name.clone()).unwrap_or_default(),
        name: name?,
        version: version?,
        about: about.unwrap_or_default(),
        services: services?,
        text: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_profiles_are_sound() {
        for (name, text) in EMBEDDED {
            let mut findings = Findings::default();
            let profile = read_profile(text, &mut findings);
            assert!(findings.sorted().is_empty(), "{name}");
            let profile = profile.unwrap();
            assert!(text.contains("\n# Source: "), "{name}");
            assert_eq!(profile.name, name);
            for service in &profile.services {
                assert!(service.setting.is_some() && service.why.is_some(), "{name}: {}", service.name);
                assert!(service.bind.is_some(), "{name}: {}", service.name);
            }
        }
    }
}
