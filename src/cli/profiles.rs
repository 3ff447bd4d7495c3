//! `ringfence profiles`: what the embedded profiles say.

use std::fmt::Write as _;

use clap::Args;

use super::output::print;
use crate::cluster::{Profile, State, embedded_profiles};
use crate::outcome::Outcome;

/// List the embedded profiles and their services.
///
/// A cluster file chooses one with `profile = "NAME"`, or one of your own with `profile = "path/to/file.toml"`.
#[derive(Args)]
pub struct Arguments {
    /// Show only this profile.
    name: Option<String>,
    /// Print the file of the profile instead, to start one of your own from.
    #[arg(long, requires = "name")]
    toml: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let profiles = embedded_profiles();
    let wanted = |profile: &&Profile| arguments.name.as_ref().is_none_or(|name| profile.name == *name);
    let shown: Vec<&Profile> = profiles.iter().filter(wanted).collect();
    if let (Some(name), true) = (&arguments.name, shown.is_empty()) {
        let names: Vec<&str> = profiles.iter().map(|profile| profile.name.as_str()).collect();
        anyhow::bail!("there is no profile `{}`; there are: {}", name.escape_debug(), names.join(", "));
    }
    let texts: Vec<String> =
        shown.iter().map(|profile| if arguments.toml { profile.text.clone() } else { describe(profile) }).collect();
    print(&texts.join("\n"))?;
    Ok(Outcome::Success)
}

fn describe(profile: &Profile) -> String {
    let mut text = format!("{}, version {}: {}\n", profile.name, profile.version, profile.about);
    for service in &profile.services {
        let who = match (service.state(), service.peers()) {
            (State::Open, true) => "open to peers",
            (State::Open, false) => "open to named clients",
            (State::Blocked, _) => "blocked",
            (State::Unused, _) => "unused, not guarded",
        };
        let ports = if service.ports().is_empty() { "no default".to_owned() } else { service.ports().to_string() };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:16} {ports:11} {who}", service.name());
        for line in [service.why(), service.setting()].into_iter().flatten() {
            let _ = writeln!(text, "  {:16} {line}", "");
        }
    }
    text
}
