//! The sections that every page of a command ends with, in the order that man-pages(7) has: EXIT STATUS, ENVIRONMENT, FILES, EXAMPLES.
//!
//! What a command reads and writes is told from its arguments, so that a page has what its command has. Examples are those of `--help`;
//! commands whose `--help` has none have theirs here.

use clap::Command;
use roff::{Roff, bold, italic, roman};

use super::codes;
use crate::cluster::embedded_profiles;
use crate::outcome::TABLE;

/// Examples by the name of the page, each with what it is for. `ringfence` alone has those of the first steps.
pub const EXAMPLES: [(&str, &[(&str, &str)]); 21] = [
    (
        "ringfence",
        &[
            ("ringfence init --node riak@10.20.0.11 -o /etc/ringfence/cluster.toml", "write a first cluster file"),
            ("ringfence check", "say whether it can be used, and do nothing else"),
            ("ringfence diff", "show what applying it would change"),
            (
                "ringfence apply --confirm-within 60s",
                "apply it; without ringfence confirm it is taken back after a minute",
            ),
            ("ringfence status", "say whether the rules in force are those of the file"),
        ],
    ),
    (
        "ringfence-check",
        &[
            ("ringfence check", "the cluster file of this host"),
            ("ringfence check cluster.toml --node riak@10.20.0.11", "another file, for one node"),
        ],
    ),
    (
        "ringfence-verify",
        &[
            ("ringfence verify --live", "prove what the kernel holds"),
            ("ringfence verify cluster.toml --ruleset ringfence.nft", "prove a ruleset that somebody wrote"),
        ],
    ),
    (
        "ringfence-diff",
        &[
            ("ringfence diff", "from what is in force to what the cluster file says"),
            ("ringfence diff old.toml new.toml", "from one cluster file to another"),
            ("ringfence diff --out change.plan", "the same, kept as a plan for ringfence apply --plan"),
        ],
    ),
    (
        "ringfence-explain",
        &[
            (
                "ringfence explain --from 10.20.0.12 --port 8098 --live",
                "the way of one packet through the rules in force",
            ),
            (
                "ringfence explain cluster.toml --from riak@10.20.0.12 --port http",
                "the same by names, through the rules of a file",
            ),
        ],
    ),
    (
        "ringfence-report",
        &[
            ("ringfence report -o review.html", "one document for a reviewer"),
            ("ringfence verify --review review.html", "say whether it still fits the cluster file"),
        ],
    ),
    ("ringfence-matrix", &[("ringfence matrix cluster.toml", "a table of who gets to which service")]),
    (
        "ringfence-rehearse",
        &[
            ("ringfence rehearse cluster.toml", "try the rules with packets, in network namespaces of their own"),
            ("ringfence rehearse cluster.toml --with-host", "the same beside a copy of this host's other rules"),
        ],
    ),
    ("ringfence-confirm", &[("ringfence confirm", "keep the change that waits; from a new session")]),
    ("ringfence-rollback", &[("ringfence rollback", "take the change that waits back now")]),
    (
        "ringfence-status",
        &[
            ("ringfence status", "what is in force, and whether it is what the file says"),
            ("ringfence status --full", "the same with all warnings and counters"),
            ("ringfence status --metrics /var/lib/prometheus/node-exporter/ringfence.prom", "for a monitoring system"),
        ],
    ),
    ("ringfence-remove", &[("ringfence remove", "take rules, reserved ports and state away")]),
    (
        "ringfence-hook",
        &[
            ("ringfence hook post-install", "from the script of a package"),
            ("ringfence hook post-install --require", "the same, and fail where nothing is guarded afterwards"),
        ],
    ),
    ("ringfence-hook-post-install", &[("ringfence hook post-install", "apply the cluster file after an installation")]),
    ("ringfence-hook-check", &[("ringfence hook check", "say whether the rules are in force, as the timer does")]),
    (
        "ringfence-hook-before-load",
        &[("ringfence hook before-load", "make ready what another firewall names before it loads")],
    ),
    ("ringfence-hook-pre-remove", &[("ringfence hook pre-remove", "before the program of a package is removed")]),
    ("ringfence-hook-purge", &[("ringfence hook purge", "take everything away with a package")]),
    ("ringfence-watch", &[("ringfence watch", "bring rules back that somebody else took away, until it is ended")]),
    (
        "ringfence-profiles",
        &[
            ("ringfence profiles", "all programs whose services are known"),
            ("ringfence profiles rabbitmq --toml", "one of them as a file to start from"),
        ],
    ),
    ("ringfence-completions", &[("ringfence completions bash", "for source <(ringfence completions bash)")]),
];

/// What stands behind the options of a page, for the command of this name.
pub fn write(name: &str, command: &Command, page: &mut Roff) {
    exit_status(name, page);
    environment(command, page);
    files(command, page);
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let own = EXAMPLES.into_iter().find(|(page, _)| *page == name).map(|(_, own)| own).unwrap_or_default();
    page.control("SH", ["EXAMPLES"]);
    for (line, what) in own {
        entry(page, bold(*line), what);
    }
    for line in of_help(&after) {
        let (line, what) = line.split_once("    ").unwrap_or((line, ""));
        entry(page, bold(line), what.trim());
    }
}

fn exit_status(name: &str, page: &mut Roff) {
    page.control("SH", ["EXIT STATUS"]);
    let Some(own) = codes::of(name) else {
        for line in TABLE.lines().skip(1) {
            let (code, meaning) = line.trim().split_once(' ').unwrap_or((line, ""));
            entry(page, bold(code), meaning.trim());
        }
        return;
    };
    for (outcome, meaning) in own {
        entry(page, bold(outcome.code().to_string()), meaning);
    }
    page.control("PP", []);
    page.text([roman("A code means the same in every command: "), bold("ringfence"), roman("(1) has all of them.")]);
}

/// The examples in what `--help` ends with.
pub fn of_help(after: &str) -> impl Iterator<Item = &str> {
    let block = after.split_once("Examples:\n").map_or("", |(_, rest)| rest);
    block.lines().take_while(|line| line.starts_with("  ")).map(str::trim)
}

fn entry(page: &mut Roff, term: roff::Inline, what: &str) {
    page.control("TP", []);
    page.text([term]);
    page.text([roman(what)]);
}

fn has(command: &Command, name: &str) -> bool {
    command.get_arguments().any(|argument| argument.get_id().as_str() == name)
}

fn environment(command: &Command, page: &mut Roff) {
    let all = [
        (has(command, "state_dir"), "RINGFENCE_STATE_DIR", "the folder of --state-dir, where that is not given"),
        (
            has(command, "today"),
            "SOURCE_DATE_EPOCH",
            "the time, in seconds, that is taken for today where --today is not given",
        ),
        (
            has(command, "state_dir") && has(command, "allow"),
            "SSH_CONNECTION",
            "the session that this runs in, which must not be cut off (sshd sets it)",
        ),
        (has(command, "backend"), "XTABLES_LOCKFILE", "the lock of the tools of iptables, handed on to them"),
        (true, "SUDO_UID, PKEXEC_UID", "who asks: of a file that this user may not read no line is shown"),
    ];
    page.control("SH", ["ENVIRONMENT"]);
    for (_, name, what) in all.into_iter().filter(|(is_there, ..)| *is_there) {
        entry(page, bold(name), what);
    }
}

fn files(command: &Command, page: &mut Roff) {
    let config = ["config", "old"].iter().any(|name| has(command, name)) || command.has_subcommands();
    let state = has(command, "state_dir") || command.has_subcommands();
    let mut all: Vec<(&str, String)> = Vec::new();
    if config {
        all.push(("/etc/ringfence/cluster.toml", "the cluster file, ringfence.toml(5)".to_owned()));
        all.push(("/etc/ringfence/clusters.d/*.toml", "those of several clusters, in place of it".to_owned()));
    }
    if state {
        all.push(("/var/lib/ringfence", "what was applied, to be brought back at boot".to_owned()));
        all.push(("/run/ringfence", "the lock, and the change that waits to be confirmed".to_owned()));
    }
    if has(command, "root") {
        all.push(("/etc/sysctl.d/60-ringfence.conf", "the ports that outgoing connections do not get".to_owned()));
    }
    if has(command, "settings") {
        all.push(("/etc/default/ringfence", "what the units of the package do".to_owned()));
    }
    let profiles = embedded_profiles();
    if has(command, "from") && has(command, "membership") {
        let folders = profiles.iter().flat_map(|profile| profile.folders.iter().map(|folder| (folder, &profile.title)));
        all.extend(folders.map(|(folder, title)| (folder.as_str(), format!("the files of {title}"))));
    }
    if has(command, "json") {
        all.push(("/usr/share/ringfence/schemas", "what a document of --json has".to_owned()));
    }
    if all.is_empty() {
        all.push(("/usr/share/ringfence", "profiles, schemas and examples".to_owned()));
    }
    page.control("SH", ["FILES"]);
    for (path, what) in all {
        entry(page, italic(path), &what);
    }
}
