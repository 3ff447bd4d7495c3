//! `ringfence lint`: this host's Riak or RabbitMQ against the cluster file.

use std::fmt::Write as _;

use clap::Args;

use super::host::{StateArguments, own_links, own_nodes, site_of};
use super::import::{ProgramArguments, Read};
use super::input::{Input, node_findings, one_cluster};
use super::output::{Undone, present, print_findings, say};
use super::today::Today;
use super::ways;
use crate::cluster::{Cluster, Node, default_profile, embedded_profile, embedded_profiles};
use crate::diagnostic::{Code, Diagnostic, Findings, Plain, Severity, Sources, Span, render_text};
use crate::host::listeners::{Listening, Program, listening, runs};
use crate::host::reserved;
use crate::host::started::{Started, started};
use crate::import::settings::Settings;
use crate::lint::{Subject, lint};
use crate::net::Ports;
use crate::outcome::Outcome;
use crate::report::{Body, Clean, Linted, Reviewed};

/// Hold this host's Riak or RabbitMQ against the cluster file.
///
/// Looks at the program's own files, at what listens (root sees which process), and at the members if an output of riak-admin or
/// rabbitmqctl is given.
/// Findings differ from what is wanted, notes do not. What could not be read is something wrong with the input.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    program: ProgramArguments,
    /// The node that this host is. Otherwise the one of the last apply, else the one whose address this host has.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    #[command(flatten)]
    state: StateArguments,
    /// Look at the files only, not at what listens.
    #[arg(long)]
    no_sockets: bool,
    #[command(flatten)]
    today: Today,
}

const EXAMPLES: &str = "\
Examples:
  ringfence lint
  riak-admin member-status | ringfence lint --membership -
  rabbitmqctl cluster_status --formatter json | ringfence lint --membership -";

impl Arguments {
    /// Whether a document is asked for.
    pub fn json(&self) -> bool {
        self.input.json
    }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let asked = arguments.node.as_slice();
    let further =
        |cluster: &Cluster| one_cluster(cluster, "`lint`").into_iter().chain(node_findings(cluster, asked)).collect();
    let Some(cluster) = arguments.input.load(further)? else {
        return Ok(Outcome::Unusable);
    };
    let mut sources = cluster.sources().clone();
    let mut unreadable = Findings::default();
    let profile = embedded_profile(cluster.profile().0);
    let read_files = profile.filter(|profile| !profile.folders.is_empty());
    let read = match read_files {
        Some(_) => arguments.program.read(read_files, &mut sources, &mut unreadable)?,
        None => arguments.program.read_members(default_profile(), &mut sources, &mut unreadable)?,
    };
    let node = own(arguments, &cluster)?;
    // What could not be read would be taken for what is not set.
    let settings = match unreadable.errors() > 0 || read_files.is_none() {
        true => None,
        false => own_settings(&read, node, &mut unreadable),
    };
    let site = site_of(&cluster, node.as_ref().map(std::slice::from_ref));
    let protected = site.protected();
    let listening = if arguments.no_sockets { None } else { sockets(node, &protected, &mut unreadable) };
    let reserved = reserved::in_force()?;
    let subject = Subject {
        site: &site,
        settings,
        members: read.members.as_ref(),
        listening: listening.as_deref(),
        started: &started_by(listening.as_deref().unwrap_or_default(), node),
        ephemeral: reserved::given_out()?,
        reserved: &reserved,
    };
    let mut findings = Findings::default();
    if !arguments.no_sockets {
        ways::findings(&site, &own_links()?, &mut findings)?;
    }
    lint(&subject, &mut findings);
    if read_files.is_none() {
        findings_of_other_program(arguments, &cluster, &mut unreadable, &mut findings);
    }
    arguments.today.expired(&cluster)?.into_iter().for_each(|finding| findings.push(finding));
    let broken = unreadable.errors() > 0;
    let unreadable = unreadable.sorted();
    print_findings(&unreadable, &sources, arguments.input.json, Undone::Nothing)?;
    let findings = findings.sorted();
    // What was only half read is not clean either.
    let found = findings.iter().chain(&unreadable).any(|finding| finding.severity() != Severity::Note);
    let (looked_at, is_clean) = (clean(&subject, node), !found && !broken);
    let body = || {
        let found = findings.iter().map(|finding| Plain::of(finding, &sources)).collect();
        Body::Lint(Box::new(Linted {
            clean: is_clean,
            looked_at: looked_at.clone(),
            clusters: Reviewed::of(&site),
            found,
        }))
    };
    present(body, || text(&findings, &sources) + &if is_clean { looked_at.text() } else { String::new() })?;
    Ok(match (broken, found) {
        (true, _) => Outcome::Unusable,
        (false, true) => Outcome::No,
        (false, false) => Outcome::Success,
    })
}

/// Of other programs no files are read: what listens is all there is to look at, and without it there is nothing.
fn findings_of_other_program(
    arguments: &Arguments,
    cluster: &Cluster,
    unreadable: &mut Findings,
    findings: &mut Findings,
) {
    let (profile, _) = cluster.profile();
    let all = embedded_profiles();
    let read: Vec<&str> =
        all.iter().filter(|profile| !profile.folders.is_empty()).map(|profile| profile.title.as_str()).collect();
    let message =
        format!("the files of this host's `{profile}` are not read: only those of {} are", read.join(" and "));
    if arguments.no_sockets || arguments.program.names_files() {
        let help = "run it without `--from` and `--no-sockets`, which looks at what listens";
        unreadable.push(Diagnostic::placeless(Code::NoFiles, message).help(help));
    } else {
        let help = "what listens on this host was looked at, while it runs; compare its settings with the ports in the cluster file yourself";
        findings.push(Diagnostic::placeless(Code::SocketsOnly, message).help(help));
    }
}

/// The rules that fit every node are looked at where this host is none.
fn own<'a>(arguments: &Arguments, cluster: &'a Cluster) -> anyhow::Result<Option<&'a Node>> {
    let host = arguments.state.host();
    match own_nodes(cluster, &host, arguments.node.as_slice(), &own_links()?) {
        Ok(nodes) => Ok(nodes.first().copied()),
        Err(error) if arguments.node.is_some() => anyhow::bail!("{}", error.message(cluster)),
        Err(error) => {
            say(&format!("warning: {}", error.message(cluster)));
            Ok(None)
        }
    }
}

/// Of several nodes' files, those of this one.
fn own_settings<'a>(read: &'a Read, node: Option<&Node>, findings: &mut Findings) -> Option<&'a Settings> {
    let is_own = |settings: &&Settings| {
        let name = settings.name.as_ref().map(|name| name.value.as_str());
        node.is_some_and(|node| name == Some(node.name()))
    };
    let own: Vec<&Settings> = read.settings.iter().filter(is_own).collect();
    if let [one, other, ..] = own.as_slice() {
        let file = |settings: &Settings| settings.files.first().map(|file| Span::new(*file, 0..0));
        if let (Some(one), Some(other)) = (file(one), file(other)) {
            let finding =
                Diagnostic::new(Code::DuplicateName, other, "two sets of files say that they are this node's");
            findings.push(finding.also(one, "the other one").help("say which are in use: `--from FILE…`"));
        }
        return None;
    }
    let own = own.first().copied().or_else(|| read.settings.first().filter(|_| read.settings.len() == 1));
    if own.is_none() {
        let (message, help) = if read.settings.is_empty() {
            (
                format!("none of {}'s files was found", read.profile.title),
                "name the folder that they are in: `--from FOLDER`",
            )
        } else {
            (
                "none of these files is of this host's node".to_owned(),
                "name this node's files alone, or say which it is: `--node NAME`",
            )
        };
        findings.push(Diagnostic::placeless(Code::NoFiles, message).help(help));
    }
    own
}

/// What epmd was started by, or else this host's node, which starts it where it does not run.
fn started_by(listening: &[Listening], node: Option<&Node>) -> Started {
    let epmd = listening.iter().find(|one| one.program == Program::Epmd);
    let node = || listening.iter().find(|one| one.is_of(node.map(Node::name)));
    epmd.or_else(node).filter(|one| one.pid != 0).map_or(Started::Unknown, |one| started(one.pid))
}

fn sockets(node: Option<&Node>, guarded: &Ports, findings: &mut Findings) -> Option<Vec<Listening>> {
    match listening(node.map(Node::name), guarded) {
        Ok(seen) => {
            if let Some(pid) = seen.unreadable.first() {
                let message = format!("the kernel does not show this user what Erlang (process {pid}) listens on");
                let help = "run it as root (with CAP_SYS_PTRACE), or with `--no-sockets`";
                findings.push(Diagnostic::placeless(Code::UnreadableFile, message).help(help));
            }
            Some(seen.sockets)
        }
        Err(error) => {
            let message = format!("the kernel does not say what listens: {error}");
            findings.push(
                Diagnostic::placeless(Code::UnreadableFile, message).help("run it as root, or with `--no-sockets`"),
            );
            None
        }
    }
}

fn text(findings: &[Diagnostic], sources: &Sources) -> String {
    // Writing to a String cannot fail.
    findings.iter().fold(String::new(), |mut text, finding| {
        let _ = writeln!(text, "{}\n", render_text(finding, sources, false));
        text
    })
}

fn clean(subject: &Subject<'_>, node: Option<&Node>) -> Clean {
    let name = node.map(Node::name);
    Clean {
        node: name.map(str::to_owned),
        files: subject.settings.map_or(0, |settings| settings.files.len()),
        sockets: subject.listening.map(<[Listening]>::len),
        members: subject.members.map(|members| members.today.len()),
        runs: subject.listening.is_none_or(|listening| runs(listening, name)),
    }
}
