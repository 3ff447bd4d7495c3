//! The command line: read, call, print, exit code. One file for each command; `input`, `host`, `output`, `proof`, `rulesets`
//! and `files` are what several of them do alike. What there is to say is a fact of [`crate::report`].
//!
//! INVARIANT (no circle): no file here uses one that uses it, and none uses this one; `tests/rooms.rs` keeps it so.
//!
//! Output goes to stdout, everything else to stderr. With `--json`, output is one [`crate::report::Document`], whatever happens. How a command ends is an [`Outcome`]; [`run`] alone makes an exit code of
//! it, and of an error.

mod apply;
mod before;
mod boot;
mod check;
mod compile;
mod completions;
mod confirm;
mod diff;
mod document;
mod ends;
mod explain;
mod files;
mod generate;
mod hook;
mod host;
mod import;
mod init;
mod input;
mod journal;
mod judged;
mod lint;
mod live;
mod meant;
mod membership;
mod metrics;
mod output;
mod plan;
mod profiles;
mod progress;
mod proof;
mod rehearse;
mod remove;
mod report;
mod ruleset_files;
mod rulesets;
mod since;
mod sound;
mod status;
mod today;
mod verify;
mod waiting;
mod watch;
mod ways;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::host::HostError;
use crate::outcome::{Outcome, TABLE};
use crate::report::Form;

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
    Check(sound::Arguments),
    Verify(verify::Arguments),
    Diff(diff::Arguments),
    Explain(explain::Arguments),
    Report(report::Arguments),
    Matrix(report::Matrix),
    Rehearse(rehearse::Arguments),
    Apply(apply::Arguments),
    Confirm(confirm::Confirm),
    Rollback(confirm::Rollback),
    Status(status::Arguments),
    Remove(remove::Arguments),
    Init(init::Arguments),
    Import(import::Arguments),
    Lint(lint::Arguments),
    Hook(hook::Arguments),
    Watch(watch::Arguments),
    #[command(hide = true)]
    Watchdog(confirm::Watchdog),
    Profiles(profiles::Arguments),
    Completions(completions::Arguments),
    #[command(hide = true)]
    Generate(generate::Arguments),
}

impl Command {
    /// The form of the document that is asked for, if one is.
    fn document(&self) -> Option<Form> {
        match self {
            Self::Verify(arguments) => arguments.document(),
            Self::Diff(arguments) => arguments.document(),
            Self::Explain(arguments) => arguments.json().then_some(Form::Explain),
            Self::Report(arguments) => arguments.document(),
            Self::Rehearse(arguments) => arguments.json().then_some(Form::Rehearse),
            Self::Apply(arguments) => arguments.document(),
            Self::Confirm(arguments) => arguments.json().then_some(Form::Confirm),
            Self::Rollback(arguments) => arguments.json().then_some(Form::Rollback),
            Self::Status(arguments) => arguments.json().then_some(Form::Status),
            Self::Remove(arguments) => arguments.json().then_some(Form::Remove),
            Self::Import(arguments) => arguments.json().then_some(Form::Import),
            Self::Lint(arguments) => arguments.json().then_some(Form::Lint),
            Self::Compile(_)
            | Self::Check(_)
            | Self::Init(_)
            | Self::Completions(_)
            | Self::Matrix(_)
            | Self::Hook(_)
            | Self::Watch(_)
            | Self::Watchdog(_)
            | Self::Profiles(_)
            | Self::Generate(_) => None,
        }
    }

    /// Whether it changes nothing anywhere, whatever happens.
    fn only_looks(&self) -> bool {
        match self {
            Self::Verify(_)
            | Self::Diff(_)
            | Self::Explain(_)
            | Self::Report(_)
            | Self::Matrix(_)
            | Self::Rehearse(_)
            | Self::Status(_)
            | Self::Lint(_)
            | Self::Check(_)
            | Self::Completions(_)
            | Self::Profiles(_) => true,
            Self::Compile(_)
            | Self::Apply(_)
            | Self::Confirm(_)
            | Self::Rollback(_)
            | Self::Remove(_)
            | Self::Import(_)
            | Self::Init(_)
            | Self::Hook(_)
            | Self::Watch(_)
            | Self::Watchdog(_)
            | Self::Generate(_) => false,
        }
    }
}

/// Runs the program on the arguments of the process.
#[must_use]
pub fn run() -> ExitCode {
    let matches = command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let only_looks = arguments.command.only_looks();
    if let Some(form) = arguments.command.document() {
        document::begin(form);
    }
    // The only document that may go into a file.
    let file = if let Command::Report(report) = &arguments.command { report.file().map(Path::to_owned) } else { None };
    let ended = match arguments.command {
        Command::Compile(arguments) => compile::run(&arguments),
        Command::Check(arguments) => sound::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments, &command()),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Matrix(arguments) => report::run_matrix(&arguments),
        Command::Rehearse(arguments) => rehearse::run(&arguments),
        Command::Apply(arguments) => apply::run(arguments),
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
        Command::Generate(arguments) => generate::run(&arguments, &command()),
    };
    let outcome = ended.unwrap_or_else(|error| {
        let words = format!("{error:#}");
        // Who changes nothing has nothing to say about it.
        let words = words.strip_suffix("; nothing was changed").filter(|_| only_looks).unwrap_or(&words);
        let outcome = ends::of(&error);
        let code = error.downcast_ref::<HostError>().map_or(outcome.word(), HostError::code);
        output::fail(code, words.to_owned());
        outcome
    });
    let printed = output::print_document(outcome, file.as_deref()).map(|()| outcome);
    ExitCode::from(
        printed
            .unwrap_or_else(|error| {
                output::say(&format!("error: {error:#}"));
                Outcome::Unusable
            })
            .code(),
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        command().debug_assert();
    }
}
