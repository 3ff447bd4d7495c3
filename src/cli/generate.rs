//! `ringfence generate`: man pages and completions, for packages.

mod manual;

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::files::write_files;
use crate::outcome::Outcome;

/// Write man pages and shell completions into a folder.
#[derive(Args)]
pub struct Arguments {
    /// The folder.
    folder: PathBuf,
}

/// Of all subcommands below one.
fn add_pages(name: &str, above: &clap::Command, pages: &mut Vec<(String, clap::Command)>) {
    for sub in above.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = format!("{name}-{}", sub.get_name());
        add_pages(&name, sub, pages);
        pages.push((name, sub.clone()));
    }
}

/// Of the command line as data.
pub fn run(arguments: &Arguments, command: &clap::Command) -> anyhow::Result<Outcome> {
    let mut files = Vec::new();
    // Building gives each subcommand its full name, `ringfence-compile`.
    let command = command.clone().disable_help_subcommand(true);
    let mut whole = command.clone();
    whole.build();
    let mut pages = vec![("ringfence".to_owned(), command.clone())];
    add_pages("ringfence", &whole, &mut pages);
    for (name, page) in pages {
        let mut text = Vec::new();
        clap_mangen::Man::new(page).render(&mut text)?;
        files.push((format!("{name}.1"), String::from_utf8(text)?));
    }
    files.push((manual::NAME.to_owned(), manual::page()?));
    for (shell, name) in [(Shell::Bash, "ringfence.bash"), (Shell::Zsh, "_ringfence"), (Shell::Fish, "ringfence.fish")]
    {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), "ringfence", &mut text);
        files.push((name.to_owned(), String::from_utf8(text)?));
    }
    let files: Vec<(&str, String)> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    write_files(&arguments.folder, &files)?;
    Ok(Outcome::Success)
}
