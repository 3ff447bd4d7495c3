//! What else a report tells: what changed since rules of before, and what was seen elsewhere.

use std::path::{Path, PathBuf};

use clap::Args;

use super::input::read_text;
use super::rulesets::{Given, read_rules_for_document, read_rules_of_report};
use crate::cluster::Site;
use crate::diff::difference_on_host;
use crate::ir::Ruleset;
use crate::report::{
    Changes, Compared, Digested, Earlier, Further, Linting, Names, NotRead, Rehearsal, Review, Reviewed, Since,
};
use crate::verify::Families;

/// What else to tell.
#[derive(Args, Clone, Default)]
pub struct Also {
    /// Also tell what changed, by meaning, since the rules in this file, or since a report of JSON that has its rules in it. May be given
    /// several times, for rules.
    #[arg(long, value_name = "FILE")]
    since: Vec<PathBuf>,
    /// Also show what a rehearsal of these rules has shown: what `rehearse --json` printed. May be given several times.
    #[arg(long, value_name = "FILE", conflicts_with = "live")]
    rehearsal: Vec<PathBuf>,
    /// Also show what `lint --json` printed on a host. May be given several times.
    #[arg(long, value_name = "FILE")]
    lint: Vec<PathBuf>,
}

/// The same, read.
pub struct Read {
    before: Option<Before>,
    rehearsals: Vec<(PathBuf, String)>,
    lints: Vec<(PathBuf, String)>,
}

impl Also {
    /// Whether there is nothing else.
    pub fn is_empty(&self) -> bool {
        self.since.is_empty() && self.rehearsal.is_empty() && self.lint.is_empty()
    }

    /// The files that it names.
    pub fn inputs(&self) -> impl Iterator<Item = &PathBuf> {
        self.since.iter().chain(&self.rehearsal).chain(&self.lint)
    }

    /// Reads them.
    ///
    /// # Errors
    /// Where one cannot be read, or what is to be rules is none.
    pub fn read(&self, allowed: &[PathBuf]) -> anyhow::Result<Read> {
        let texts = |files: &[PathBuf], what| -> anyhow::Result<Vec<(PathBuf, String)>> {
            files.iter().map(|file| Ok((file.clone(), read_text(file, what)?))).collect()
        };
        Ok(Read {
            before: Before::read(&self.since, allowed)?,
            rehearsals: texts(&self.rehearsal, "rehearsal")?,
            lints: texts(&self.lint, "output of lint")?,
        })
    }
}

impl Read {
    /// Every file that was read.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let texts = self.rehearsals.iter().chain(&self.lints).map(|(file, _)| file);
        self.before.iter().flat_map(Before::files).chain(texts)
    }

    /// What of it was seen elsewhere, as far as it is about these clusters and texts of rules. `compiled`: whether these are several ways
    /// into the kernel, of which a rehearsal takes one.
    ///
    /// # Errors
    /// Where it is about something else, or no such document.
    pub fn further(&self, site: &Site<'_>, texts: &[Digested], compiled: bool) -> anyhow::Result<Further> {
        let clusters = Reviewed::of(site);
        let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let rehearsal = |(file, text): &(PathBuf, String)| {
            Rehearsal::read((&name(file), text), &clusters, (texts, !compiled)).map_err(|error| refused(file, &error))
        };
        let lint = |(file, text): &(PathBuf, String)| {
            Linting::read((&name(file), text), &clusters).map_err(|error| refused(file, &error))
        };
        Ok(Further {
            rehearsals: self.rehearsals.iter().map(rehearsal).collect::<anyhow::Result<_>>()?,
            linted: self.lints.iter().map(lint).collect::<anyhow::Result<_>>()?,
            source_checks: Vec::new(),
        })
    }

    /// What changed since rules of before, where some were given.
    pub fn changes(&self, review: &Review, now: (&Ruleset, Families), site: &Site<'_>) -> Option<Since> {
        self.before.as_ref().map(|before| before.changes(review, now, site))
    }
}

fn refused(file: &Path, error: &NotRead) -> anyhow::Error {
    anyhow::anyhow!("{} {error}", file.display())
}

/// Rules that there were before.
struct Before(Given);

impl Before {
    /// Reads them; nothing where no file is named.
    ///
    /// # Errors
    /// Where a file is none of rules, and no report with its rules in it: what a report says of rules by names does not tell who gains.
    fn read(files: &[PathBuf], allowed: &[PathBuf]) -> anyhow::Result<Option<Self>> {
        if files.is_empty() {
            return Ok(None);
        }
        for file in files.iter().filter(|file| file.as_path() != Path::new("-")) {
            let text = read_text(file, "file to compare with")?;
            if !text.trim_start().starts_with('{') {
                continue;
            }
            let rules = match Earlier::read(&text).and_then(|report| report.rules()) {
                Ok(rules) => rules,
                // What nft prints with `-j` begins so, too.
                Err(NotRead::Other(_)) => continue,
                Err(error) => return Err(refused(file, &error)),
            };
            anyhow::ensure!(
                files.len() == 1,
                "{} is a report, and other files are named beside it with `--since`: name either a report or rules",
                file.display()
            );
            return Ok(Some(Self(read_rules_of_report((file, &text), rules)?)));
        }
        Ok(Some(Self(read_rules_for_document(files.iter().map(PathBuf::as_path), allowed)?)))
    }

    /// Every file that was read.
    fn files(&self) -> &[PathBuf] {
        &self.0.files
    }

    /// What changed since, to these rules, which speak of these families.
    fn changes(&self, review: &Review, (ruleset, families): (&Ruleset, Families), site: &Site<'_>) -> Since {
        let names = Names { clusters: [None, Some(site.cluster())] };
        let texts: Vec<_> = self.0.texts.iter().cloned().map(Digested::alone).collect();
        let compared = Compared::of(self.0.families).and(Compared::of(families));
        match difference_on_host(&self.0.ruleset, ruleset, site.elsewhere()) {
            Ok(found) => Since::rules(&Changes::of(&found, names), texts, (compared, review)),
            Err(_) => Since::too_large(texts),
        }
    }
}
