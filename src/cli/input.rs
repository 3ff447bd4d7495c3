//! The cluster file that a command is about, the node, and the texts of other files.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{Arg, Command};

use super::output::{Undone, print_findings};
use crate::cluster::{self, Cluster, Loaded, Node, Site, closest};
use crate::diagnostic::{Code, Diagnostic, Plain, Severity, Sources, may_be_shown};

/// Where the cluster file is unless the command line says otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/ringfence/cluster.toml";

/// Where the cluster files are where there are several, which takes the place of that file.
pub const DEFAULT_FOLDER: &str = "/etc/ringfence/clusters.d";

/// Whether there are cluster files in the folder of several. One that is empty, or cannot be looked into, is as one that is not there
/// as long as there is the file; what is asked for by its name is read, and then an error.
fn has_several(folder: &Path) -> bool {
    cluster::cluster_files(folder).is_ok_and(|files| !files.is_empty())
}

/// Whether a file is there, be it a link that leads nowhere.
fn is_there(file: &Path) -> bool {
    fs::symlink_metadata(file).is_ok()
}

/// Which of the two is meant where nobody says so: the file, where it is there. Where both are, reading it is an error, see
/// [`both_places`].
pub fn default_config() -> PathBuf {
    of_default(Path::new(DEFAULT_CONFIG), Path::new(DEFAULT_FOLDER)).to_owned()
}

fn of_default<'a>(file: &'a Path, folder: &'a Path) -> &'a Path {
    if !is_there(file) && has_several(folder) { folder } else { file }
}

/// What was applied from one of the two places is looked for where it is now: a file that was moved into the folder is no other one.
pub fn moved(config: PathBuf) -> PathBuf {
    let default = [DEFAULT_CONFIG, DEFAULT_FOLDER].iter().any(|own| config == Path::new(own));
    if default { default_config() } else { config }
}

/// A cluster file, or a folder of them, as it is named on the command line. What is named is that and nothing else; what is not, is
/// where it is now.
#[derive(Clone)]
pub struct ConfigParser;

impl TypedValueParser for ConfigParser {
    type Value = PathBuf;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<PathBuf, clap::Error> {
        PathBufValueParser::new().parse_ref(command, argument, value)
    }

    fn parse_ref_(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
        source: ValueSource,
    ) -> Result<PathBuf, clap::Error> {
        let named = self.parse_ref(command, argument, value)?;
        Ok(if source == ValueSource::DefaultValue { default_config() } else { named })
    }
}

/// Why neither of two places is used: nobody knows which is meant, and either could be the one that is no longer.
fn both_places(config: &Path, file: &Path, folder: &Path) -> Option<Diagnostic> {
    // By whatever name it is called: a link, or a path from where somebody stands.
    let place = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let either = [file, folder].into_iter().any(|own| place(config) == place(own));
    (either && is_there(file) && has_several(folder)).then(|| {
        let message = format!("there are {} and cluster files in {}, and only one of the two is used", file.display(), folder.display());
        let help = format!(
            "move {} into {} under the name of its cluster, to guard it together with the others; or move the files of the folder away",
            file.display(),
            folder.display()
        );
        Diagnostic::placeless(Code::ClusterFolder, message).help(help)
    })
}

/// Where cluster files may be meant by a name: where both places have some, nobody knows which are.
pub fn places(config: &Path) -> Vec<PathBuf> {
    let (file, folder) = (Path::new(DEFAULT_CONFIG), Path::new(DEFAULT_FOLDER));
    match both_places(config, file, folder) {
        Some(_) => vec![file.to_owned(), folder.to_owned()],
        None => vec![config.to_owned()],
    }
}

/// What another file is mostly to be.
pub const RULESET: &str = "ruleset";

/// The cluster file, and how its findings are shown.
#[derive(Clone, clap::Args)]
pub struct Input {
    /// The cluster file, or a folder with one for each cluster of the host; `-` reads standard input. Without it
    /// /etc/ringfence/clusters.d, where that has cluster files and there is no /etc/ringfence/cluster.toml.
    #[arg(value_name = "CONFIG", default_value = DEFAULT_CONFIG, value_parser = ConfigParser)]
    pub config: PathBuf,
    /// Print one document of JSON, of a schema in /usr/share/ringfence/schemas. `compile`, `check` and `hook` print findings as JSON, one a
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
        Ok(self.load_with_findings(undone, further)?.map(|(cluster, _)| cluster))
    }

    /// The same, with what was found: none of it is an error.
    pub fn load_with_findings(
        &self,
        undone: Undone,
        further: impl FnOnce(&Cluster) -> Vec<Diagnostic>,
    ) -> anyhow::Result<Option<(Cluster, Vec<Plain>)>> {
        self.take(|| cluster::load(&self.config), undone, further)
    }

    /// The same of what was read already.
    pub fn load_read(&self, read: io::Result<Loaded>) -> anyhow::Result<Option<Cluster>> {
        Ok(self.take(|| read, Undone::Nothing, |_| Vec::new())?.map(|(cluster, _)| cluster))
    }

    fn take(
        &self,
        read: impl FnOnce() -> io::Result<Loaded>,
        undone: Undone,
        further: impl FnOnce(&Cluster) -> Vec<Diagnostic>,
    ) -> anyhow::Result<Option<(Cluster, Vec<Plain>)>> {
        if let Some(both) = both_places(&self.config, Path::new(DEFAULT_CONFIG), Path::new(DEFAULT_FOLDER)) {
            print_findings(&[both], &Sources::default(), self.json, undone)?;
            return Ok(None);
        }
        let loaded = match read() {
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
        let plain = findings.iter().map(|finding| Plain::of(finding, &loaded.sources));
        Ok(loaded.cluster.filter(|_| !errors).map(|cluster| (cluster, plain.collect())))
    }

    /// Whether there are cluster files in both places, so that nobody knows which are meant.
    #[must_use]
    pub fn is_of_both_places(&self) -> bool {
        both_places(&self.config, Path::new(DEFAULT_CONFIG), Path::new(DEFAULT_FOLDER)).is_some()
    }

    fn unreadable(&self, error: &io::Error) -> anyhow::Error {
        let path = self.config.display();
        match error.kind() {
            io::ErrorKind::NotFound if self.config == Path::new(DEFAULT_CONFIG) => anyhow::anyhow!(
                "there is no cluster file {path}: `ringfence import` makes one of a running Riak, `ringfence init` a first one; or name another as argument (`-` reads standard input)"
            ),
            io::ErrorKind::NotFound => anyhow::anyhow!("there is no cluster file {path}"),
            io::ErrorKind::IsADirectory => anyhow::anyhow!("{path} is a folder; name the cluster file in it"),
            io::ErrorKind::InvalidData => anyhow::anyhow!("{path} is no text (UTF-8), so it is no cluster file"),
            _ => anyhow::anyhow!("cannot read the cluster file {path}: {error}"),
        }
    }
}

/// A listing of 100,000 rules takes some 20 MB.
const LARGEST_TEXT: u64 = 512 << 20;

/// The text of a file, and what it is to be; `-` is standard input.
pub fn read_text(path: &Path, what: &str) -> anyhow::Result<String> {
    Ok(read_text_shown(path, what)?.0)
}

/// The same, and whether it may be shown to whoever asked.
pub fn read_text_shown(path: &Path, what: &str) -> anyhow::Result<(String, bool)> {
    let name = path.display();
    let read = if path == Path::new("-") {
        limited(io::stdin().lock()).map(|text| (text, true))
    } else {
        File::open(path).and_then(|file| Ok((limited(&file)?, may_be_shown(&file))))
    };
    read.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!("there is no {what} {name}"),
        io::ErrorKind::IsADirectory => anyhow::anyhow!("{name} is a folder; name the {what} in it"),
        io::ErrorKind::InvalidData => anyhow::anyhow!("{name} is no text (UTF-8), so it is no {what}"),
        _ => anyhow::anyhow!("cannot read the {what} {name}: {error}"),
    })
}

/// All of a text that is not too long. What never ends, and is no text, is known by its beginning.
pub fn limited(reader: impl Read) -> io::Result<String> {
    limited_to(reader, LARGEST_TEXT)
}

fn limited_to(mut reader: impl Read, largest: u64) -> io::Result<String> {
    let mut text = String::new();
    let mut bytes = Vec::new();
    (&mut reader).take(4096.min(largest + 1)).read_to_end(&mut bytes)?;
    if bytes.contains(&0) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    bytes.as_slice().chain(reader.take((largest + 1).saturating_sub(bytes.len() as u64))).read_to_string(&mut text)?;
    if text.len() as u64 > largest {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", largest >> 20)));
    }
    Ok(text)
}

/// Of a command that is about one cluster, and is given several.
pub fn one_cluster(cluster: &Cluster, what: &str) -> Vec<Diagnostic> {
    if !cluster.is_joined() {
        return Vec::new();
    }
    let message = format!("{what} looks at one cluster, and these are several: {}", cluster.name());
    vec![Diagnostic::placeless(Code::ClusterFolder, message).help("name the file of the one that is meant")]
}

/// What `--node` asks for.
pub fn site<'a>(cluster: &'a Cluster, nodes: &[String]) -> Site<'a> {
    let named: Vec<&Node> = nodes.iter().filter_map(|name| cluster.node(name)).collect();
    if named.is_empty() { Site::of_every_node(cluster) } else { Site::of_nodes(cluster, &named) }
}

/// What is wrong with `--node`, where nobody looks at this host for those that are not given: with one cluster's node goes one of each
/// other's.
pub fn all_node_findings(cluster: &Cluster, nodes: &[String]) -> Vec<Diagnostic> {
    let findings = node_findings(cluster, nodes);
    if !findings.is_empty() || nodes.is_empty() {
        return findings;
    }
    let lacks = |part: &&Cluster| !nodes.iter().any(|name| part.node(name).is_some());
    let missing = cluster.parts().iter().filter(lacks).map(|part| {
        let message = format!(
            "`--node` names no node of the cluster `{}`, which is guarded together with the others",
            part.name()
        );
        let help = "give `--node` once for each cluster, or not at all for rules that fit every node";
        Diagnostic::placeless(Code::NoNode, message).help(help)
    });
    missing.collect()
}

/// What is wrong with `--node`.
pub fn node_findings(cluster: &Cluster, nodes: &[String]) -> Vec<Diagnostic> {
    let mut findings: Vec<Diagnostic> = nodes.iter().flat_map(|name| unknown_node(cluster, name)).collect();
    for part in cluster.parts() {
        let own = nodes.iter().filter(|name| part.node(name).is_some()).collect::<BTreeSet<_>>();
        if own.len() > 1 {
            let names: Vec<&str> = own.into_iter().map(String::as_str).collect();
            let message =
                format!("`--node` names several nodes of the cluster `{}`: {}", part.name(), names.join(", "));
            findings.push(Diagnostic::placeless(Code::NoNode, message).help("a host is one of them"));
        }
    }
    findings
}

fn unknown_node(cluster: &Cluster, name: &str) -> Vec<Diagnostic> {
    const NAMED: usize = 10;
    if cluster.node(name).is_some() {
        return Vec::new();
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_is_refused() {
        let kind = |text: &[u8], largest| limited_to(text, largest).map_err(|error| error.kind());
        assert_eq!(kind(b"abc", 3), Ok("abc".to_owned()));
        assert_eq!(kind(b"abcd", 3), Err(io::ErrorKind::FileTooLarge));
        assert_eq!(kind(&[b'x'; 9000], 8999), Err(io::ErrorKind::FileTooLarge));
        assert_eq!(kind(&[b'x'; 9000], 9000).map(|text| text.len()), Ok(9000));
        assert_eq!(limited(io::repeat(0)).map_err(|error| error.kind()), Err(io::ErrorKind::InvalidData));
    }

    #[test]
    fn one_of_two_places_is_used_and_never_silently_of_both() {
        let folder = tempfile::tempdir().unwrap();
        let (file, several) = (folder.path().join("cluster.toml"), folder.path().join("clusters.d"));
        let chosen = || of_default(&file, &several).to_owned();
        let both = |config: &Path| both_places(config, &file, &several).map(|finding| finding.code);
        assert_eq!((chosen(), both(&file)), (file.clone(), None));
        fs::create_dir(&several).unwrap();
        fs::write(several.join("riak.toml.bak"), "").unwrap();
        assert_eq!((chosen(), both(&file)), (file.clone(), None));
        fs::write(several.join("riak.toml"), "").unwrap();
        assert_eq!((chosen(), both(&several)), (several.clone(), None));
        // A link that leads nowhere is a file that is not there any more.
        std::os::unix::fs::symlink("nowhere", &file).unwrap();
        assert_eq!((both(&several), both(&file)), (Some(Code::ClusterFolder), Some(Code::ClusterFolder)));
        assert_eq!(both(Path::new("other.toml")), None);
        // Another name of it is no other place.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&several, &link).unwrap();
        let dotted = folder.path().join("clusters.d/../clusters.d");
        assert_eq!((both(&link), both(&dotted)), (Some(Code::ClusterFolder), Some(Code::ClusterFolder)));
    }
}
