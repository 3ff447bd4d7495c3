//! `ringfence completions`: for those who have no package that brings them.

use clap::Args;
use clap_complete::Shell;

use super::output::print;
use crate::outcome::Outcome;

/// Print what a shell needs to complete ringfence's arguments.
///
/// For bash: `source <(ringfence completions bash)`, or into /etc/bash_completion.d/ringfence for everyone.
#[derive(Args)]
pub struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Of the command line as data.
pub fn run(arguments: &Arguments, command: &clap::Command) -> anyhow::Result<Outcome> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut command.clone(), "ringfence", &mut text);
    print(&String::from_utf8(text)?)?;
    Ok(Outcome::Success)
}
