//! The cluster file that a command is about, the node, and the texts of other files.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::output::{Undone, print_findings};
use crate::cluster::{self, Cluster, Node, Site, closest};
use crate::diagnostic::{Code, Diagnostic, Severity, Sources};

/// Where the cluster file is unless the command line says otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/ringfence/cluster.toml";

/// What another file is mostly to be.
pub const RULESET: &str = "ruleset";

/// The cluster file, and how its findings are shown.
#[derive(Clone, clap::Args)]
pub struct Input {
    /// The cluster file; `-` reads standard input.
    #[arg(value_name = "CONFIG", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Print one document of JSON, of a schema in /usr/share/ringfence/schemas. `compile` and `hook` print findings as JSON, one a
    /// line, on standard error.
    #[arg(long)]
    pub json: bool,
}

impl Input {
    /// Reads the cluster, prints every finding, and returns it only if none of them is an error.
    pub fn load(&self, further: impl FnOnce(&Cluster) -> Vec<Diagnostic>) -> anyhow::Result<Option<Cluster>> {
        self.load_to(Undone::Nothing, further)
    }

    /// The same for a command that does more than look.
    pub fn load_to(
        &self,
        undone: Undone,
        further: impl FnOnce(&Cluster) -> Vec<Diagnostic>,
    ) -> anyhow::Result<Option<Cluster>> {
        let loaded = match cluster::load(&self.config) {
            Ok(loaded) => loaded,
            // A finding like any other, for whoever reads findings.
            Err(error) if self.json => {
                let finding = Diagnostic::placeless(Code::UnreadableFile, self.unreadable(&error).to_string());
                print_findings(&[finding], &Sources::default(), true, undone)?;
                return Ok(None);
            }
            Err(error) => return Err(self.unreadable(&error)),
        };
        let mut findings = loaded.findings;
        findings.extend(loaded.cluster.as_ref().map(further).unwrap_or_default());
        print_findings(&findings, &loaded.sources, self.json, undone)?;
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

/// The text of a file, and what it is to be; `-` is standard input.
pub fn read_text(path: &Path, what: &str) -> anyhow::Result<String> {
    let name = path.display();
    let read = if path == Path::new("-") { io::read_to_string(io::stdin().lock()) } else { fs::read_to_string(path) };
    read.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!("there is no {what} {name}"),
        io::ErrorKind::IsADirectory => anyhow::anyhow!("{name} is a folder; name the {what} in it"),
        io::ErrorKind::InvalidData => anyhow::anyhow!("{name} is no text (UTF-8), so it is no {what}"),
        _ => anyhow::anyhow!("cannot read the {what} {name}: {error}"),
    })
}

/// What `--node` asks for.
pub fn site<'a>(cluster: &'a Cluster, node: Option<&str>) -> Site<'a> {
    match node.and_then(|name| cluster.node(name)) {
        Some(node) => Site::of_node(cluster, node),
        None => Site::of_every_node(cluster),
    }
}

/// What is wrong with `--node`.
pub fn node_findings(cluster: &Cluster, node: Option<&str>) -> Vec<Diagnostic> {
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
