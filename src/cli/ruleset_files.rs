//! Rulesets in files, as every command that takes some has them on its command line.

use std::path::{Path, PathBuf};

use clap::Args;

use super::rulesets::{Given, read_rules, read_rules_for_document};

/// Rulesets in files.
#[derive(Args, Clone, Default)]
pub struct RulesetArguments {
    /// A ruleset: nft text, iptables-save text of either family, ipset text; may be given several times, and all are taken together.
    #[arg(long, value_name = "FILE")]
    ruleset: Vec<PathBuf>,
    /// Further rulesets: `--ruleset` may be given several times, and once with several files behind the cluster file.
    #[arg(value_name = "FILE", hide = true, requires = "ruleset")]
    further: Vec<PathBuf>,
    /// nft is told to look here for what files include (`nft -I DIR`), behind /etc. Included files may be read there then, and otherwise only
    /// where the file itself is.
    #[arg(long, value_name = "DIR", requires = "ruleset")]
    include_from: Vec<PathBuf>,
}

impl RulesetArguments {
    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.ruleset.is_empty()
    }

    /// The files, in their order.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.ruleset.iter().chain(&self.further)
    }

    /// The folders in which what they include may be.
    pub fn include_from(&self) -> &[PathBuf] {
        &self.include_from
    }

    /// Reads them.
    ///
    /// # Errors
    /// Where one cannot be read, or is no ruleset.
    pub fn read(&self) -> anyhow::Result<Given> {
        read_rules(self.paths(), &self.include_from)
    }

    /// The same for a document, in which files are called by their names without the folders.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn read_for_document(&self) -> anyhow::Result<Given> {
        read_rules_for_document(self.paths(), &self.include_from)
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files().map(PathBuf::as_path)
    }
}
