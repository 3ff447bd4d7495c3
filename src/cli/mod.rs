//! The command line: read, call, print, exit code. One file for each command.
//!
//! Output goes to stdout, everything else to stderr. How a command ends is an [`Outcome`]; [`run`] alone makes an exit code of
//! it, and of an error.

mod apply;
mod before;
mod boot;
mod check;
mod compile;
mod confirm;
mod diff;
mod explain;
mod files;
mod generate;
mod hook;
mod host;
mod import;
mod lint;
mod live;
mod membership;
mod profiles;
mod proof;
mod remove;
mod rulesets;
mod status;
mod verify;
mod watch;
mod ways;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::cluster::{self, Cluster, Node, Site, closest};
use crate::diagnostic::{Code, Diagnostic, Severity, Sources, render_json, render_text};
use crate::host::HostError;
use crate::outcome::{Outcome, TABLE};
use crate::semantics::TooLarge;

/// Where the cluster file is unless the command line says otherwise.
const DEFAULT_CONFIG: &str = "/etc/ringfence/cluster.toml";

/// So many findings are rendered; nobody reads more, and a hundred thousand of them take half a minute.
const MOST_SHOWN: usize = 1000;

/// Host firewall rules for clusters of Riak and other Erlang programs.
///
/// From the members of a cluster and its private networks, ringfence makes rulesets that open the cluster's ports to its
/// members and named clients, and to nobody else.
#[derive(Parser)]
#[command(name = "ringfence", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Compile(compile::Arguments),
    Verify(verify::Arguments),
    Diff(diff::Arguments),
    Explain(explain::Arguments),
    Apply(apply::Arguments),
    Confirm(confirm::Confirm),
    Rollback(confirm::Rollback),
    Status(status::Arguments),
    Remove(remove::Arguments),
    Import(import::Arguments),
    Lint(lint::Arguments),
    Hook(hook::Arguments),
    Watch(watch::Arguments),
    #[command(hide = true)]
    Watchdog(confirm::Watchdog),
    Profiles(profiles::Arguments),
    #[command(hide = true)]
    Generate(generate::Arguments),
}

/// The cluster file, and how its findings are shown.
#[derive(Clone, clap::Args)]
struct Input {
    /// The cluster file; `-` reads standard input.
    #[arg(value_name = "CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Print findings as JSON, one a line, on standard error.
    #[arg(long)]
    json: bool,
}

/// Runs the program on the arguments of the process.
#[must_use]
pub fn run() -> ExitCode {
    let matches = command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let ended = match arguments.command {
        Command::Compile(arguments) => compile::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Apply(arguments) => apply::run(&arguments),
        Command::Confirm(arguments) => confirm::run_confirm(&arguments),
        Command::Rollback(arguments) => confirm::run_rollback(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Remove(arguments) => remove::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Lint(arguments) => lint::run(&arguments),
        Command::Hook(arguments) => hook::run(&arguments),
        Command::Watch(arguments) => watch::run(&arguments),
        Command::Watchdog(arguments) => confirm::run_watchdog(&arguments),
        Command::Profiles(arguments) => profiles::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
    };
    let outcome = ended.unwrap_or_else(|error| {
        // Nobody is left to read why nobody could be told.
        let _ = writeln!(anstream::stderr(), "error: {error:#}");
        outcome_of(&error)
    });
    ExitCode::from(outcome.code())
}

/// How a command ends that could not do what was asked, whatever was said around the error. What has no kind of its own is
/// bad input, or a machine that does not do what it takes.
fn outcome_of(error: &anyhow::Error) -> Outcome {
    if let Some(error) = error.downcast_ref::<HostError>() {
        error.outcome()
    } else if error.is::<proof::NotProved>() {
        Outcome::No
    } else if error.is::<TooLarge>() {
        Outcome::Undecided
    } else {
        Outcome::Unusable
    }
}

/// The command line as data, also for man pages and completions. Every page ends with what the exit codes mean.
fn command() -> clap::Command {
    with_table(Arguments::command())
}

fn with_table(command: clap::Command) -> clap::Command {
    let after = command.get_after_help().map(ToString::to_string);
    let text = after.map_or_else(|| TABLE.to_owned(), |after| format!("{after}\n\n{TABLE}"));
    command.after_help(text).mut_subcommands(with_table)
}

impl Input {
    /// Reads the cluster, prints every finding, and returns it only if none of them is an error.
    fn load(&self, further: impl FnOnce(&Cluster) -> Vec<Diagnostic>) -> anyhow::Result<Option<Cluster>> {
        let loaded = cluster::load(&self.config).map_err(|error| self.unreadable(&error))?;
        let mut findings = loaded.findings;
        findings.extend(loaded.cluster.as_ref().map(further).unwrap_or_default());
        print_findings(&findings, &loaded.sources, self.json)?;
        let errors = findings.iter().any(|finding| finding.severity() == Severity::Error);
        Ok(loaded.cluster.filter(|_| !errors))
    }

    fn unreadable(&self, error: &io::Error) -> anyhow::Error {
        let path = self.config.display();
        match error.kind() {
            io::ErrorKind::NotFound if self.config == Path::new(DEFAULT_CONFIG) => anyhow::anyhow!(
                "there is no cluster file {path}: `ringfence import` makes one from what Riak knows; or name another one as argument (`-` reads standard input)"
            ),
            io::ErrorKind::NotFound => anyhow::anyhow!("there is no cluster file {path}"),
            io::ErrorKind::IsADirectory => anyhow::anyhow!("{path} is a folder; name the cluster file in it"),
            io::ErrorKind::InvalidData => anyhow::anyhow!("{path} is no text (UTF-8), so it is no cluster file"),
            _ => anyhow::anyhow!("cannot read the cluster file {path}: {error}"),
        }
    }
}

/// Prints findings, and how many there are.
fn print_findings(findings: &[Diagnostic], sources: &Sources, as_json: bool) -> anyhow::Result<()> {
    let mut stderr = anstream::stderr().lock();
    let shown = if as_json { findings.len() } else { MOST_SHOWN };
    for finding in findings.iter().take(shown) {
        if as_json {
            writeln!(stderr, "{}", render_json(finding, sources))?;
        } else {
            writeln!(stderr, "{}\n", render_text(finding, sources, true))?;
        }
    }
    if let Some(more) = findings.len().checked_sub(shown).filter(|more| *more > 0) {
        writeln!(stderr, "... and {more} more; `--json` prints them all\n")?;
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity() == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let syntax = findings.iter().any(|finding| finding.code == Code::Syntax);
    match (as_json, errors, warnings) {
        (true, ..) | (false, 0, 0) => {}
        (false, 0, _) => writeln!(stderr, "{}", plural(warnings, "warning"))?,
        (false, ..) if syntax => {
            writeln!(stderr, "{}; nothing else was checked, nothing was written", plural(errors, "error"))?;
        }
        (false, _, 0) => writeln!(stderr, "{}; nothing was written", plural(errors, "error"))?,
        (false, ..) => {
            let (errors, warnings) = (plural(errors, "error"), plural(warnings, "warning"));
            writeln!(stderr, "{errors} and {warnings}; nothing was written")?;
        }
    }
    Ok(())
}

/// What `--node` asks for.
fn site<'a>(cluster: &'a Cluster, node: Option<&str>) -> Site<'a> {
    match node.and_then(|name| cluster.node(name)) {
        Some(node) => Site::of_node(cluster, node),
        None => Site::of_every_node(cluster),
    }
}

/// What is wrong with `--node`.
fn node_findings(cluster: &Cluster, node: Option<&str>) -> Vec<Diagnostic> {
    const NAMED: usize = 10;
    let Some(name) = node.filter(|name| cluster.node(name).is_none()) else { return Vec::new() };
    let names: Vec<&str> = cluster.nodes().iter().take(NAMED).map(Node::name).collect();
    let more = match cluster.nodes().len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let help = match closest(name, cluster.nodes().iter().map(Node::name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the nodes are {}{more}", names.join(", ")),
    };
    let message = format!("the cluster has no node `{}`", name.escape_debug());
    vec![Diagnostic::placeless(Code::UnknownNode, message).help(help)]
}

/// Says what of a ruleset was not understood.
fn warn_unknown(unknown: &[String]) {
    const SHOWN: usize = 20;
    let mut stderr = anstream::stderr().lock();
    for text in unknown.iter().take(SHOWN) {
        // Nobody is left to read why nobody could be told.
        let _ = writeln!(stderr, "warning: not understood, so taken for anything it might do: {text}");
    }
    if let Some(more) = unknown.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(stderr, "warning: ... and {more} more");
    }
}

/// Prints to stdout. A reader that has had enough is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::host::judge::Standing;

    #[test]
    fn arguments_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn an_error_ends_with_its_code_whatever_is_said_around_it() {
        for (error, code) in [
            (HostError::NoRight, 2),
            (HostError::BadSnapshot, 2),
            (HostError::Lost, 3),
            (HostError::NothingWaits, 4),
            (HostError::Waiting, 6),
            (HostError::TakenBack, 6),
            (HostError::Mismatch(crate::host::Restored::Done), 7),
            (HostError::NotInForce(Standing::Absent), 4),
            (HostError::NotInForce(Standing::Drifted), 1),
        ] {
            let words = error.to_string();
            assert_eq!(outcome_of(&error.into()).code(), code, "{words}");
        }
        let around = Err::<(), _>(HostError::Waiting).context("while something was done").unwrap_err();
        assert_eq!(outcome_of(&around), Outcome::Unconfirmed);
        assert_eq!(outcome_of(&anyhow::anyhow!("there is no such file")), Outcome::Unusable);
        assert_eq!(outcome_of(&anyhow::Error::from(TooLarge)), Outcome::Undecided);
    }
}
