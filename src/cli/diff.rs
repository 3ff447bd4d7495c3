//! `ringfence diff`: what changes from one ruleset or cluster file to another, or on this host.

use std::path::{Path, PathBuf};

use clap::Args;

use super::host::{SiteArguments, StateArguments};
use super::input::{ConfigParser, DEFAULT_CONFIG, Input, all_node_findings, site};
use super::output::{present, warn_open, warn_unknown};
use super::proof::compiled;
use super::rulesets::read_with_text;
use super::{live, membership, plan};
use crate::cluster::Cluster;
use crate::diff::{Difference, difference};
use crate::ir::Ruleset;
use crate::outcome::Outcome;
use crate::report::{Body, Changes, Form, Names, texts_difference};

/// Show what applying would change on this host, or what changes from one cluster file or ruleset to another.
///
/// With two files nothing of this host is looked at. Otherwise it ends as wanted exactly where `ringfence apply` would write
/// nothing.
#[derive(Args)]
pub struct Arguments {
    /// The cluster file to hold this host against, or the folder of several; with NEW, the old cluster file (`.toml`) or ruleset. A ruleset in several files:
    /// with commas between them.
    #[arg(value_name = "CONFIG|OLD", default_value = DEFAULT_CONFIG, value_parser = ConfigParser)]
    old: PathBuf,
    /// The new cluster file or ruleset.
    new: Option<PathBuf>,
    #[command(flatten)]
    site: SiteArguments,
    #[command(flatten)]
    host: StateArguments,
    /// Print the difference as one document of JSON, of a schema in /usr/share/ringfence/schemas.
    #[arg(long)]
    json: bool,
    /// Print the difference of the meaning only, not of the texts.
    #[arg(long)]
    meaning: bool,
    /// What a ruleset of nft includes may also be in this folder; otherwise only where the file itself is.
    #[arg(long, value_name = "DIR", requires = "new")]
    include_from: Vec<PathBuf>,
    /// What changes when the members that riak-admin printed into this file (`-`: standard input) are admitted instead of those
    /// of the cluster file, and in which order; `cluster plan` shows what will be.
    #[arg(long, value_name = "FILE", conflicts_with = "new")]
    membership: Option<PathBuf>,
    /// Also write a plan of the change into this file, for `ringfence apply --plan`: digests of what it was made of, and no rules.
    #[arg(long, value_name = "PLAN", conflicts_with_all = ["new", "membership"])]
    out: Option<PathBuf>,
    /// With --membership: this node is about to join. May be given several times.
    #[arg(long, value_name = "NODE", requires = "membership")]
    joining: Vec<String>,
}

struct Side {
    text: String,
    ruleset: Ruleset,
    cluster: Option<Cluster>,
}

impl Side {
    /// Whether the other has the same text, and all of it was read: then it means the same, whatever of it is not understood.
    fn is_to_the_letter(&self, other: &Self) -> bool {
        let includes = |part: &String| part.starts_with("include ");
        self.text == other.text && self.ruleset == other.ruleset && !self.ruleset.unread.iter().any(includes)
    }
}

impl Arguments {
    /// The form of the document that is asked for, if one is.
    pub fn document(&self) -> Option<Form> {
        self.json.then_some(match (&self.new, &self.membership) {
            (Some(_), _) => Form::DiffFiles,
            (None, Some(_)) => Form::DiffMembership,
            (None, None) => Form::Diff,
        })
    }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let Some(new_path) = &arguments.new else {
        let input = Input { config: arguments.old.clone(), json: arguments.json };
        if let Some(output) = &arguments.membership {
            return membership::run(&input, output, &arguments.joining, &arguments.site.node);
        }
        if let Some(out) = &arguments.out {
            return plan::write(&input, &arguments.site, &arguments.host.host(), arguments.meaning, out);
        }
        return live::run(&input, &arguments.site, &arguments.host.host(), arguments.meaning, |_| false);
    };
    let (Some(old), Some(new)) = (side(arguments, &arguments.old)?, side(arguments, new_path)?) else {
        return Ok(Outcome::Unusable);
    };
    let found =
        if old.is_to_the_letter(&new) { Difference::default() } else { difference(&old.ruleset, &new.ruleset)? };
    let names = Names { clusters: [old.cluster.as_ref(), new.cluster.as_ref()] };
    let changes = Changes::of(&found, names);
    let body = || Body::DiffFiles(Box::new(changes.clone()));
    present(body, || {
        let mut text = String::new();
        if !arguments.meaning {
            let (from, to) = (arguments.old.display().to_string(), new_path.display().to_string());
            text.push_str(&texts_difference((&from, &to), &old.text, &new.text));
        }
        text + &changes.text()
    })?;
    Ok(match (changes.undecided.is_some(), changes.same) {
        (true, _) => {
            warn_open(&old.ruleset);
            warn_open(&new.ruleset);
            Outcome::Undecided
        }
        (false, true) => Outcome::Success,
        (false, false) => Outcome::No,
    })
}

/// The files of a side: rules of one host may stand in several, as those of iptables of both families do.
fn files(named: &Path) -> Vec<PathBuf> {
    match named.to_str() {
        Some(list) if !named.exists() => list.split(',').filter(|name| !name.is_empty()).map(PathBuf::from).collect(),
        Some(_) | None => vec![named.to_owned()],
    }
}

fn side(arguments: &Arguments, path: &Path) -> anyhow::Result<Option<Side>> {
    let is_cluster_file = |path: &Path| path.extension().is_some_and(|extension| extension == "toml");
    let paths = files(path);
    let is_folder = path.is_dir();
    if !is_folder && (paths.len() > 1 || !is_cluster_file(path)) {
        anyhow::ensure!(
            !paths.iter().any(|path| is_cluster_file(path)),
            "{}: a cluster file is all of a side; only rulesets stand together, with commas between",
            path.display()
        );
        // Read once, so that both differences are of the same text.
        let (given, text) = read_with_text(paths.iter().map(PathBuf::as_path), &arguments.include_from)?;
        warn_unknown(&given.unknown);
        return Ok(Some(Side { text, ruleset: given.ruleset, cluster: None }));
    }
    let input = Input { config: path.to_owned(), json: arguments.json };
    let Some(cluster) = input.load(|cluster| all_node_findings(cluster, &arguments.site.node))? else {
        return Ok(None);
    };
    let (text, ruleset) = compiled(&site(&cluster, &arguments.site.node))?;
    Ok(Some(Side { text, ruleset, cluster: Some(cluster) }))
}
