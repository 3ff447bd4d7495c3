//! `ringfence generate`: man pages and completions, for packages.

mod codes;
mod manual;
mod sections;

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;
use roff::Roff;

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

/// The page of a command: what clap knows of it, and what it does not.
fn man_page(name: &str, command: clap::Command) -> anyhow::Result<String> {
    let mut sections = Roff::new();
    sections::write(name, &command, &mut sections);
    let (subcommands, version) = (command.has_subcommands(), command.get_version().is_some());
    // What stands below one has no version of its own.
    let man = clap_mangen::Man::new(command).source(concat!("ringfence ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if subcommands {
        man.render_subcommands_section(&mut text)?;
    }
    text.extend(sections.render().into_bytes());
    if version {
        man.render_version_section(&mut text)?;
    }
    Ok(String::from_utf8(text)?)
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
        files.push((format!("{name}.1"), man_page(&name, page)?));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every page has them, in the order of man-pages(7), and every example in it is a command line that the program takes.
    #[test]
    fn every_page_says_how_it_ends_what_it_reads_and_how_it_is_used() {
        let command = super::super::command().disable_help_subcommand(true);
        let mut whole = command.clone();
        whole.build();
        let mut pages = vec![("ringfence".to_owned(), command.clone())];
        add_pages("ringfence", &whole, &mut pages);
        let mut examples: Vec<String> = Vec::new();
        for (name, page) in &pages {
            let text = man_page(name, page.clone()).unwrap();
            let title = text.lines().find(|line| line.starts_with(".TH ")).unwrap();
            assert!(title.contains(concat!("ringfence ", env!("CARGO_PKG_VERSION"))), "{name}: {title}");
            let sections: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
            let wanted = ["\"EXIT STATUS\"", "ENVIRONMENT", "FILES", "EXAMPLES"];
            let at = sections
                .iter()
                .position(|section| *section == wanted[0])
                .unwrap_or_else(|| panic!("{name}: {sections:?}"));
            assert_eq!(sections[at..at + 4], wanted, "{name}");
            for section in wanted {
                let body = text.split(&format!(".SH {section}\n")).nth(1).unwrap();
                assert!(body.starts_with(".TP\n"), "{name}: nothing in {section}");
            }
            let after = page.get_after_help().map(ToString::to_string).unwrap_or_default();
            examples.extend(sections::of_help(&after).map(str::to_owned));
        }
        for (name, own) in sections::EXAMPLES {
            assert!(pages.iter().any(|(page, _)| page == name), "there is no page {name}");
            examples.extend(own.iter().map(|(line, _)| (*line).to_owned()));
        }
        for example in examples {
            let line = example.split("    ").next().unwrap().split(" >").next().unwrap();
            let line = line.rsplit(" | ").next().unwrap();
            let parsed = command.clone().try_get_matches_from(line.split_whitespace());
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
    }
}
