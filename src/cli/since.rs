//! What a report is held against: rules of before, or a report of before.

use std::path::{Path, PathBuf};

use super::input::read_text;
use super::rulesets::{Given, read_rules_for_document};
use crate::cluster::Site;
use crate::diff::difference_on_host;
use crate::ir::Ruleset;
use crate::report::{Changes, Digested, Earlier, Names, NotEarlier, Review, Since};

/// What there was before.
pub enum Before {
    /// Rules.
    Rules(Box<Given>),
    /// A document, with its name and digest.
    Report(Box<Earlier>, Digested),
}

impl Before {
    /// Reads it; nothing where no file is named.
    pub fn read(files: &[PathBuf], allowed: &[PathBuf]) -> anyhow::Result<Option<Self>> {
        if let [file] = files
            && let Some(found) = read_review(file)?
        {
            return Ok(Some(found));
        }
        if files.is_empty() {
            return Ok(None);
        }
        let given = read_rules_for_document(files.iter().map(PathBuf::as_path), allowed)?;
        Ok(Some(Self::Rules(Box::new(given))))
    }

    /// What changed since, to these rules.
    pub fn changes(&self, review: &Review, ruleset: &Ruleset, site: &Site<'_>) -> Since {
        match self {
            Self::Report(before, text) => Since::report(before, text.clone(), review),
            Self::Rules(given) => {
                let names = Names { clusters: [None, Some(site.cluster())] };
                match difference_on_host(&given.ruleset, ruleset, site.elsewhere()) {
                    Ok(found) => Since::rules(&Changes::of(&found, names), given.texts.clone(), review),
                    Err(_) => Since::too_large(given.texts.clone()),
                }
            }
        }
    }
}

/// A file as a document of before; nothing where it is none, and may be rules.
fn read_review(file: &Path) -> anyhow::Result<Option<Before>> {
    if file == Path::new("-") {
        return Ok(None);
    }
    let text = read_text(file, "file to compare with")?;
    match Earlier::read(&text) {
        Ok(found) => Ok(Some(Before::Report(Box::new(found), digested(file, &text)))),
        Err(NotEarlier::Other) => Ok(None),
        Err(error) => anyhow::bail!("{} {error}", file.display()),
    }
}

/// By its name without the folder.
fn digested(file: &Path, text: &str) -> Digested {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    Digested::of(&name, text)
}
