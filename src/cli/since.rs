//! What a report is held against: rules of before.

use std::path::{Path, PathBuf};

use super::input::read_text;
use super::rulesets::{Given, read_rules_for_document};
use crate::cluster::Site;
use crate::diff::difference_on_host;
use crate::ir::Ruleset;
use crate::report::{Changes, Compared, Earlier, Names, NotEarlier, Review, Since};
use crate::verify::Families;

/// Rules that there were before.
pub struct Before(Given);

impl Before {
    /// Reads them; nothing where no file is named.
    ///
    /// # Errors
    /// Where a file is none of rules. A report of before is none: it has no rules in it, and what it says of them by names does not tell
    /// who gains.
    pub fn read(files: &[PathBuf], allowed: &[PathBuf]) -> anyhow::Result<Option<Self>> {
        if files.is_empty() {
            return Ok(None);
        }
        for file in files.iter().filter(|file| file.as_path() != Path::new("-")) {
            let text = read_text(file, "file to compare with")?;
            anyhow::ensure!(
                !text.trim_start().starts_with('{') || matches!(Earlier::read(&text), Err(NotEarlier::Other)),
                "{} is a report and has no rules to compare with: name the rules that it is about, or hold it against what is now by \
                 `verify --review`",
                file.display()
            );
        }
        Ok(Some(Self(read_rules_for_document(files.iter().map(PathBuf::as_path), allowed)?)))
    }

    /// Every file that was read.
    pub fn files(&self) -> &[PathBuf] {
        &self.0.files
    }

    /// What changed since, to these rules, which speak of these families.
    pub fn changes(&self, review: &Review, (ruleset, families): (&Ruleset, Families), site: &Site<'_>) -> Since {
        let names = Names { clusters: [None, Some(site.cluster())] };
        let texts = self.0.texts.clone();
        let both = |ipv4| speaks(self.0.families, ipv4) && speaks(families, ipv4);
        let compared = Compared { ipv4: both(true), ipv6: both(false) };
        match difference_on_host(&self.0.ruleset, ruleset, site.elsewhere()) {
            Ok(found) => Since::rules(&Changes::of(&found, names), texts, (compared, review)),
            Err(_) => Since::too_large(texts),
        }
    }
}

fn speaks(families: Families, ipv4: bool) -> bool {
    match families {
        Families::Both => true,
        Families::Ipv4 => ipv4,
        Families::Ipv6 => !ipv4,
    }
}
