//! `ringfence import`: a cluster file from what Riak, RabbitMQ, or an inventory of Ansible, already knows.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use tempfile::NamedTempFile;

use super::files::{FILE_MODE, FOLDER_MODE};
use super::input::DEFAULT_CONFIG;
use super::output::{Undone, present, print_findings, say};
use crate::cluster::{self, Profile, default_profile, embedded_profile, embedded_profiles, profiles_with};
use crate::diagnostic::{Code, Diagnostic, Findings, Severity, SourceFile, Sources, Span, may_be_shown};
use crate::host::links::{is_of_guests, networks};
use crate::import::cluster_file::{Known, write};
use crate::import::files;
use crate::import::hosts::Hosts;
use crate::import::inventory::{self, Asked, Inventory};
use crate::import::membership::{self, Membership};
use crate::import::settings::{self, Settings};
use crate::net::parse_address;
use crate::outcome::Outcome;
use crate::report::{Body, Imported};

/// Write a cluster file from the own files and outputs of Riak or RabbitMQ, or from an inventory.
///
/// Of Riak it reads app.config, vm.args, riak.conf and advanced.config, and the output of `riak-admin member-status`, `cluster status`,
/// `cluster plan`, `ringready`, `status` or the JSON of /stats. Of RabbitMQ it reads rabbitmq.conf, conf.d, rabbitmq-env.conf,
/// advanced.config and the old rabbitmq.config, and the output of `rabbitmqctl cluster_status --formatter json`. Files are looked for in
/// the usual places unless they are named. Instead of all these it takes what `ansible-inventory --list` prints. What is proposed and not
/// known is marked with CONFIRM. Where something is missing or wrong, nothing is written.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    pub program: ProgramArguments,
    /// The program: `riak`, `rabbitmq`; otherwise its files and outputs tell, and where they do not, it is `riak`.
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// This node is about to join: admit it. May be given several times.
    #[arg(long, value_name = "NODE")]
    joining: Vec<String>,
    /// An address of a node whose name has none; several for several addresses.
    #[arg(long = "address", value_name = "NODE=ADDRESS", value_parser = node_address)]
    addresses: Vec<(String, IpAddr)>,
    /// Addresses of host names, for all that have none: a file in the form of /etc/hosts. Names are never looked up otherwise.
    #[arg(long = "addresses", value_name = "FILE")]
    hosts: Option<PathBuf>,
    #[command(flatten)]
    inventory: InventoryArguments,
    /// What the cluster is called in the rulesets; otherwise as its profile.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Nodes may have public addresses.
    #[arg(long)]
    allow_public: bool,
    /// Write to this file, which must not be there yet, instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print one document of JSON, with the cluster file in it, of a schema in /usr/share/ringfence/schemas.
    #[arg(long)]
    json: bool,
}

/// An inventory instead of files and outputs.
#[derive(Args)]
struct InventoryArguments {
    /// What `ansible-inventory --list` printed: the nodes and clients, with their addresses, and ports in variables that begin with
    /// `ringfence_`; `-` reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "membership"])]
    inventory: Option<PathBuf>,
    /// The group of the inventory that has the nodes.
    #[arg(long, value_name = "GROUP", default_value = "nodes", requires = "inventory")]
    node_group: String,
    /// The group that has the clients; `clients`, if there is one.
    #[arg(long, value_name = "GROUP", requires = "inventory")]
    client_group: Option<String>,
}

/// Where the program's files and outputs are.
#[derive(Args)]
pub struct ProgramArguments {
    /// The program's files, or a folder with them; may be given several times, also for several nodes. Otherwise the usual places are
    /// looked through.
    #[arg(long, value_name = "DIR|FILE")]
    from: Vec<PathBuf>,
    /// Further ones: `--from` may be given once with several behind it.
    #[arg(value_name = "DIR|FILE", hide = true, requires = "from")]
    further: Vec<PathBuf>,
    /// What `riak-admin` or `rabbitmqctl` printed; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    membership: Option<PathBuf>,
    /// Look for the usual places below this folder.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    files_root: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  riak-admin member-status | ringfence import --membership - -o /etc/ringfence/cluster.toml
  rabbitmqctl cluster_status --formatter json | ringfence import --membership - --addresses /etc/hosts -o cluster.toml
  ringfence import --from node1/ --from node2/ --from node3/ --membership status.txt
  ansible-inventory --list | ringfence import --inventory - --addresses /etc/hosts -o cluster.toml

Variables of an inventory, and where they count: rulesets/REFERENCE.md";

/// What was read.
pub struct Read {
    /// The program.
    pub profile: &'static Profile,
    pub settings: Vec<Settings>,
    pub members: Option<Membership>,
}

impl ProgramArguments {
    /// Reads all of it; `asked` is the program, where that is known. Without files in the usual places there are no settings, which is for
    /// the caller to judge.
    pub fn read(
        &self,
        asked: Option<&'static Profile>,
        sources: &mut Sources,
        findings: &mut Findings,
    ) -> anyhow::Result<Read> {
        let members = self.members(sources, findings)?;
        // All other outputs are Riak's, whose profile is the usual one.
        let of_output = |members: &Membership| match members.kind {
            Some(kind) => profiles_with(kind).next(),
            None => Some(default_profile()),
        };
        let by_output = members.as_ref().and_then(of_output);
        let known = asked.or(by_output);
        let all = embedded_profiles();
        let places: Vec<&Profile> = known.map_or_else(|| all.iter().collect(), |profile| vec![profile]);
        let paths = if self.from.is_empty() {
            match files::usual(&self.files_root, &places) {
                Ok(folder) => vec![folder],
                Err(several) if several.is_empty() => {
                    files::unreadable(&self.files_root, &places).into_iter().for_each(|finding| findings.push(finding));
                    Vec::new()
                }
                Err(several) => {
                    let shown: Vec<String> = several.iter().map(|folder| format!("`{}`", folder.display())).collect();
                    let message = format!("there are files of a cluster's program in {}", shown.join(" and "));
                    let help = "say which are in use: `--from FOLDER`";
                    findings.push(Diagnostic::placeless(Code::SeveralPlaces, message).help(help));
                    Vec::new()
                }
            }
        } else {
            self.from.iter().chain(&self.further).cloned().collect()
        };
        let nodes = files::read(&paths, sources, findings);
        let profile = one_program(&nodes, asked, known, findings);
        let settings = nodes.iter().map(|files| settings::read(profile, files, sources, findings)).collect();
        if let Some(other) = by_output.filter(|own| own.name != profile.name) {
            let message = format!("the output is {}'s, and the files are {}'s", other.title, profile.title);
            let help = "give files and outputs of one cluster, or say which program it is with `--profile`";
            findings.push(Diagnostic::placeless(Code::WrongCluster, message).help(help));
        }
        Ok(Read { profile, settings, members })
    }

    /// What the program printed, without any files.
    pub fn read_members(
        &self,
        profile: &'static Profile,
        sources: &mut Sources,
        findings: &mut Findings,
    ) -> anyhow::Result<Read> {
        Ok(Read { profile, settings: Vec::new(), members: self.members(sources, findings)? })
    }

    /// Whether files are named.
    #[must_use]
    pub fn names_files(&self) -> bool {
        !self.from.is_empty() || !self.further.is_empty()
    }

    fn members(&self, sources: &mut Sources, findings: &mut Findings) -> anyhow::Result<Option<Membership>> {
        let Some(path) = &self.membership else { return Ok(None) };
        let id = sources.add(read_output(path)?);
        let text = sources.get(id).map_or("", |file| &file.text);
        Ok(membership::parse(text, id, findings))
    }
}

/// The program of all files: that which they tell, else the one that is known, else the usual one.
fn one_program(
    nodes: &[Vec<files::File>],
    asked: Option<&'static Profile>,
    known: Option<&'static Profile>,
    findings: &mut Findings,
) -> &'static Profile {
    let all: Vec<files::File> = nodes.iter().flatten().copied().collect();
    match files::profile_of(&all) {
        Ok(Some(told)) => {
            let other = asked.filter(|asked| asked.name != told.name);
            if let (Some(file), Some(other)) = (all.first(), other) {
                let message = format!("these are files of {}, and not of {}", told.title, other.title);
                let finding = Diagnostic::new(Code::UnknownFile, Span::new(file.id, 0..0), message);
                findings.push(finding.help("name the files of the program, or say with `--profile` which it is"));
            }
            told
        }
        Ok(None) => known.unwrap_or_else(default_profile),
        Err([one, other]) => {
            let message = format!("this is a {}, and other files are of another program", one.kind.name());
            let finding = Diagnostic::new(Code::UnknownFile, Span::new(one.id, 0..0), message);
            let finding = finding.also(Span::new(other.id, 0..0), format!("a {}", other.kind.name()));
            findings.push(finding.help("import one cluster at a time: name the files of one program with `--from`"));
            known.unwrap_or_else(default_profile)
        }
    }
}

/// What riak-admin or rabbitmqctl printed: where it came from and what it says.
pub fn read_output(path: &Path) -> anyhow::Result<SourceFile> {
    if path != Path::new("-") {
        let read = File::open(path).and_then(|file| {
            let shown = may_be_shown(&file);
            Ok((files::read_text(file, LARGEST_OUTPUT)?, shown))
        });
        let (text, shown) = read.with_context(|| format!("cannot read {}", path.display()))?;
        return Ok(SourceFile::new(path.to_string_lossy().into_owned(), text).with_shown(shown));
    }
    let text = files::read_text(io::stdin().lock(), LARGEST_OUTPUT).context("cannot read standard input")?;
    Ok(SourceFile::new("standard input".to_owned(), text).with_shown(true))
}

/// 100,000 members take about 6 MB.
const LARGEST_OUTPUT: u64 = 64 << 20;

impl Arguments {
    /// Whether a document is asked for.
    pub fn json(&self) -> bool {
        self.json
    }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    if let Some(path) = arguments.output.as_deref().filter(|path| path.exists()) {
        anyhow::bail!(
            "{} is there already, and is never overwritten: write to another file, and compare the two with `ringfence diff {0} OTHER`",
            path.display()
        );
    }
    let named = [&arguments.program.membership, &arguments.inventory.inventory, &arguments.hosts];
    let from_input = named.into_iter().flatten().filter(|path| path.as_path() == Path::new("-")).count();
    anyhow::ensure!(
        from_input < 2,
        "`-` stands for standard input, which can be only one of `--membership`, `--inventory` and `--addresses`; it is given for \
         {from_input} of them"
    );
    let (mut sources, mut findings) = (Sources::default(), Findings::default());
    let mut addresses: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for (name, address) in &arguments.addresses {
        addresses.entry(name.clone()).or_default().push(*address);
    }
    let asked = asked_profile(arguments)?;
    let hosts = read_hosts(arguments, &mut sources, &mut findings)?;
    let inventory = read_inventory(arguments, &addresses, hosts.as_ref(), &mut sources, &mut findings)?;
    let read = match &inventory {
        Some(_) => Read { profile: asked.unwrap_or_else(default_profile), settings: Vec::new(), members: None },
        None => arguments.program.read(asked, &mut sources, &mut findings)?,
    };
    let inventory = inventory.flatten();
    let broken = findings.errors() > 0;
    let mut networks = networks().context("cannot read this host's interfaces")?;
    // Other hosts have no part in these.
    networks.retain(|(interface, _)| !is_of_guests(interface));
    let known = Known {
        name: arguments.name.as_deref().unwrap_or(&read.profile.name),
        profile: read.profile,
        settings: &read.settings,
        members: read.members.as_ref().map(|members| members.today.as_slice()),
        listeners: read.members.as_ref().map(|members| members.listeners.as_slice()).unwrap_or_default(),
        inventory: inventory.as_ref(),
        hosts: hosts.as_ref(),
        joining: &arguments.joining,
        addresses: &addresses,
        networks: &networks,
        allow_public: arguments.allow_public,
        sources: &sources,
    };
    // What could not be read leaves things out, and a second finding about what is missing would be wrong.
    let text = if broken { None } else { write(&known, &mut findings) };
    let findings = findings.sorted();
    print_findings(&findings, &sources, arguments.json, Undone::Written)?;
    let Some(text) = text.filter(|_| findings.iter().all(|finding| finding.severity() != Severity::Error)) else {
        return Ok(Outcome::Unusable);
    };
    if !compiles(&text, arguments)? {
        return Ok(Outcome::Unusable);
    }
    if let Some(path) = &arguments.output {
        write_new(path, &text)?;
        say(&next_steps(path));
    }
    let written = arguments.output.clone();
    let body = || Body::Import(Box::new(Imported { changed: written.is_some(), written, text: text.clone() }));
    present(body, || if arguments.output.is_some() { String::new() } else { text.clone() })?;
    Ok(Outcome::Success)
}

/// The program that is asked for, which has to be one whose files are read.
fn asked_profile(arguments: &Arguments) -> anyhow::Result<Option<&'static Profile>> {
    let Some(name) = &arguments.profile else { return Ok(None) };
    let found = embedded_profile(name).filter(|profile| !profile.folders.is_empty());
    let all = embedded_profiles();
    let names = all.iter().filter(|profile| !profile.folders.is_empty()).map(|profile| profile.name.as_str());
    anyhow::ensure!(
        found.is_some(),
        "`--profile {}`: files of that program cannot be read; those of {} can",
        name.escape_debug(),
        names.collect::<Vec<_>>().join(" and ")
    );
    Ok(found)
}

/// Addresses of names, where a file has them.
fn read_hosts(arguments: &Arguments, sources: &mut Sources, findings: &mut Findings) -> anyhow::Result<Option<Hosts>> {
    let Some(path) = &arguments.hosts else { return Ok(None) };
    let id = sources.add(read_output(path)?);
    let text = sources.get(id).map_or("", |file| &file.text);
    Ok(Some(Hosts::parse(text, id, findings)))
}

/// The inventory, where one is named; nothing in it where something is wrong with it, which was said then.
fn read_inventory(
    arguments: &Arguments,
    addresses: &BTreeMap<String, Vec<IpAddr>>,
    hosts: Option<&Hosts>,
    sources: &mut Sources,
    findings: &mut Findings,
) -> anyhow::Result<Option<Option<Inventory>>> {
    let own = &arguments.inventory;
    let Some(path) = &own.inventory else { return Ok(None) };
    let id = sources.add(read_output(path)?);
    let text = sources.get(id).map_or("", |file| &file.text);
    let asked = Asked {
        profile: asked_profile(arguments)?.unwrap_or_else(default_profile),
        nodes: &own.node_group,
        clients: own.client_group.as_deref(),
        hosts,
        given: &|name| addresses.contains_key(name),
        allow_public: arguments.allow_public,
    };
    Ok(Some(inventory::parse(text, id, &asked, findings)))
}

/// The result is a cluster file as any other, and judged as one.
fn compiles(text: &str, arguments: &Arguments) -> anyhow::Result<bool> {
    let name = arguments.output.as_ref().map_or("the new cluster file".to_owned(), |path| path.display().to_string());
    let loaded = cluster::parse(&name, text.to_owned(), Path::new(""));
    print_findings(&loaded.findings, &loaded.sources, arguments.json, Undone::Written)?;
    Ok(loaded.cluster.is_some())
}

/// Never over anything that is there, whenever it came there.
pub(super) fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        // Any other folder that is not there is most likely a slip.
        if !folder.exists() && Some(folder) == Path::new(DEFAULT_CONFIG).parent() {
            DirBuilder::new().mode(FOLDER_MODE).create(folder)?;
        }
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(Permissions::from_mode(FILE_MODE))?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        Ok(())
    };
    // The error's own text names a temporary file, which helps nobody.
    write().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            anyhow::anyhow!("cannot write {}: there is no folder {}", path.display(), folder.display())
        }
        io::ErrorKind::PermissionDenied => {
            anyhow::anyhow!("cannot write {}: permission denied; run it as root, or name another file", path.display())
        }
        kind => anyhow::anyhow!("cannot write {}: {kind}", path.display()),
    })
}

/// `NODE=ADDRESS`.
fn node_address(text: &str) -> Result<(String, IpAddr), String> {
    let (name, address) = text.split_once('=').ok_or("write NODE=ADDRESS: riak@db1=10.20.0.11")?;
    let address = parse_address(address).map_err(|error| format!("`{address}` is {error}"))?;
    Ok((name.to_owned(), address))
}

/// What to do with the file, as README has it; where it is in its usual place, no command has to be told which one it is.
pub(super) fn next_steps(path: &Path) -> String {
    let named = if path == Path::new(DEFAULT_CONFIG) { String::new() } else { format!(" {}", path.display()) };
    format!(
        "wrote {}: read it, then `ringfence diff{named}` and `ringfence apply --confirm-within 60s{named}`",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who was shut out could not take the first rules back.
    #[test]
    fn the_first_rules_are_to_be_confirmed() {
        let said = next_steps(Path::new(DEFAULT_CONFIG));
        assert!(said.ends_with("`ringfence diff` and `ringfence apply --confirm-within 60s`"), "{said}");
        let said = next_steps(Path::new("new.toml"));
        assert!(
            said.ends_with("`ringfence diff new.toml` and `ringfence apply --confirm-within 60s new.toml`"),
            "{said}"
        );
    }
}
