//! `ringfence init`: a first cluster file, from what this host says of itself and from answers or flags.

use std::io::{self, BufRead, IsTerminal as _, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::import::{next_steps, write_new};
use super::output::{Undone, print, print_findings, say};
use crate::cluster::{self, Profile, embedded_profiles};
use crate::host::links::{is_of_guests, links, networks};
use crate::import::first::{First, FirstClient, FirstNode, write};
use crate::net::{AddressClass, Cidr, PortRange, parse_address};
use crate::outcome::Outcome;

/// Write a first cluster file.
///
/// With the nodes and clients that are named, and nobody else: what it writes is the strictest file that fits, and can be used as it is.
/// On a terminal it asks for what no option says; without one it never does. Where Riak's own files or outputs are at hand, `import`
/// knows more.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A node; may be given several times. One without an address in its name has it behind a `=`. Otherwise this host is the node.
    #[arg(long, value_name = "NODE[=ADDRESS]", value_parser = node)]
    node: Vec<FirstNode>,
    /// A private network that nodes lie in; may be given several times. Otherwise the narrowest of this host's that fits.
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    private: Vec<Cidr>,
    /// Somebody else who gets in, to which services and from where; may be given several times.
    #[arg(long, value_name = "NAME:SERVICE,…=NETWORK,…", value_parser = client)]
    client: Vec<FirstClient>,
    /// The ports of Erlang's distribution; otherwise one for each node and a spare are proposed where the profile has none.
    #[arg(long, value_name = "PORTS", value_parser = range)]
    distribution: Option<PortRange>,
    /// Which program it is a cluster of, see `ringfence profiles`.
    #[arg(long, value_name = "PROFILE", default_value = "riak")]
    profile: String,
    /// What the cluster is called in the rulesets; otherwise as its profile.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Write to this file, which must not be there yet, instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  ringfence init --node riak@10.20.0.11 --node riak@10.20.0.12 --client mail:http=10.20.1.0/24 -o /etc/ringfence/cluster.toml
  ringfence init --profile rabbitmq --node rabbit@mq1=10.20.0.21 --node rabbit@mq2=10.20.0.22";

/// What is asked for where nobody said it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answers {
    name: Option<String>,
    nodes: Vec<FirstNode>,
    clients: Vec<FirstClient>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    if let Some(path) = arguments.output.as_deref().filter(|path| path.exists()) {
        anyhow::bail!("{} is there already, and is never overwritten: name another file", path.display());
    }
    let profiles = embedded_profiles();
    let Some(profile) = profiles.iter().find(|profile| profile.name == arguments.profile) else {
        let names: Vec<&str> = profiles.iter().map(|profile| profile.name.as_str()).collect();
        anyhow::bail!("there is no profile `{}`; there are: {}", arguments.profile.escape_debug(), names.join(", "));
    };
    let (guests, networks): (Vec<_>, Vec<_>) = networks()
        .context("cannot read this host's interfaces")?
        .into_iter()
        .partition(|(interface, _)| is_of_guests(interface));
    if let Some(words) = left_out(&guests) {
        say(&words);
    }
    let own = if arguments.node.is_empty() { Some(this_host(profile)?) } else { None };
    let on_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    let answers = match &own {
        Some(own) if on_terminal => ask(own, profile, &mut io::stdin().lock(), &mut io::stderr())?,
        Some(_) | None => Answers::default(),
    };
    let nodes: Vec<FirstNode> = own.into_iter().chain(arguments.node.clone()).chain(answers.nodes).collect();
    let clients: Vec<FirstClient> = arguments.client.iter().cloned().chain(answers.clients).collect();
    let first = First {
        name: arguments.name.as_deref().or(answers.name.as_deref()).unwrap_or(&profile.name),
        profile,
        nodes: &nodes,
        private: &arguments.private,
        networks: &networks,
        clients: &clients,
        distribution: arguments.distribution,
    };
    let text = write(&first);
    let name = arguments.output.as_ref().map_or("the new cluster file".to_owned(), |path| path.display().to_string());
    let loaded = cluster::parse(&name, text.clone(), Path::new(""));
    print_findings(&loaded.findings, &loaded.sources, false, Undone::Written)?;
    if loaded.cluster.is_none() {
        return Ok(Outcome::Unusable);
    }
    match &arguments.output {
        Some(path) => {
            write_new(path, &text)?;
            say(&next_steps(path));
        }
        None => print(&text)?,
    }
    Ok(Outcome::Success)
}

/// That networks of containers and virtual machines are no networks of nodes. Those that other hosts have no part in by their addresses
/// alone are not worth a word.
fn left_out(guests: &[(String, Cidr)]) -> Option<String> {
    let private = guests.iter().filter(|(_, network)| network.class() == AddressClass::Private);
    let shown: Vec<String> = private.map(|(interface, network)| format!("{network} ({interface})")).collect();
    (!shown.is_empty()).then(|| {
        format!(
            "note: left out, since containers or virtual machines of this host alone are there: {}; `--node` and `--private` take them in",
            shown.join(", ")
        )
    })
}

/// The node that this host is, by its only address that may be a node's. Of several nobody knows which.
fn this_host(profile: &Profile) -> anyhow::Result<FirstNode> {
    let links = links().context("cannot read this host's interfaces")?;
    let found: Vec<(IpAddr, &str)> = links
        .iter()
        .filter(|link| !is_of_guests(&link.name))
        .flat_map(|link| link.addresses.iter().map(move |address| (*address, link.name.as_str())))
        .filter(|(address, _)| Cidr::host(*address).class() == AddressClass::Private)
        .collect();
    let name = |address: IpAddr| format!("{}@{address}", profile.node);
    if let [(address, interface)] = found.as_slice() {
        let comment = format!("CONFIRM: this host, on {interface}");
        return Ok(FirstNode { name: name(*address), address: None, comment });
    }
    let example = found.first().map_or_else(|| name(IpAddr::from([10, 20, 0, 11])), |(address, _)| name(*address));
    let shown: Vec<String> = found.iter().map(|(address, interface)| format!("{address} ({interface})")).collect();
    let which =
        if shown.is_empty() { "no private address".to_owned() } else { format!("the addresses {}", shown.join(", ")) };
    anyhow::bail!("this host has {which}: say which nodes there are, `--node {example}` for each; nothing was written")
}

/// Asks for what no option says. An empty answer takes what is proposed, or ends a list.
fn ask(
    own: &FirstNode,
    profile: &Profile,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> anyhow::Result<Answers> {
    let mut answers = Answers {
        name: line(&format!("name of the cluster [{}]", profile.name), input, output)?,
        ..Answers::default()
    };
    while let Some(text) = line(&format!("another node besides {} [no more]", own.name), input, output)? {
        match node(&text) {
            Ok(node) => answers.nodes.push(node),
            Err(error) => writeln!(output, "{error}")?,
        }
    }
    while let Some(text) = line("a client, as NAME:SERVICE=NETWORK [no more]", input, output)? {
        match client(&text) {
            Ok(client) => answers.clients.push(client),
            Err(error) => writeln!(output, "{error}")?,
        }
    }
    Ok(answers)
}

/// One answer; `None` for an empty one, and where no more come.
fn line(question: &str, input: &mut impl BufRead, output: &mut impl Write) -> anyhow::Result<Option<String>> {
    write!(output, "{question}: ")?;
    output.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty()))
}

fn node(text: &str) -> Result<FirstNode, String> {
    let (name, address) = match text.split_once('=') {
        Some((name, address)) => {
            let address = parse_address(address).map_err(|error| format!("`{}` is {error}", address.escape_debug()))?;
            (name, Some(address))
        }
        None => (text, None),
    };
    Ok(FirstNode { name: name.to_owned(), address, comment: String::new() })
}

fn network(text: &str) -> Result<Cidr, String> {
    text.parse().map_err(|error: crate::net::ParseAddressError| error.to_string())
}

fn range(text: &str) -> Result<PortRange, String> {
    text.parse().map_err(|error: crate::net::ParsePortError| error.to_string())
}

/// What stands in it is judged with the whole file.
fn client(text: &str) -> Result<FirstClient, String> {
    let parts = text.split_once('=').and_then(|(left, from)| Some((left.split_once(':')?, from)));
    let Some(((name, services), from)) = parts else {
        return Err(
            "write NAME:SERVICE=NETWORK, with commas between several: `web:http=10.20.1.0/24,10.20.2.5`".to_owned()
        );
    };
    let list = |text: &str| text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    Ok(FirstClient { name: name.to_owned(), services: list(services), from: list(from) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_guests_are_left_out_and_said() {
        let guests =
            ["docker0", "br-0123456789ab", "docker_gwbridge", "virbr0", "cni0", "cni-podman0", "veth12ab34c", "lxcbr0"];
        assert!(guests.into_iter().all(is_of_guests));
        // Bridges of the admin's own have such names.
        assert!(
            !["eth0", "br-lan", "br0", "br-ex", "docker", "virbridge", "bond0", "ens3"].into_iter().any(is_of_guests)
        );
        let network = |name: &str, text: &str| (name.to_owned(), text.parse().unwrap());
        let said = left_out(&[network("docker0", "172.17.0.0/16"), network("docker0", "fe80::/64")]).unwrap();
        assert!(said.contains(": 172.17.0.0/16 (docker0);"), "{said}");
        assert_eq!(left_out(&[network("veth1", "fe80::/64")]), None);
    }

    #[test]
    fn a_client_is_a_name_services_and_networks() {
        let found = client("web:http,https=10.20.1.0/24, fd20::5").unwrap();
        assert_eq!((found.name.as_str(), found.services.len()), ("web", 2));
        assert_eq!(found.from, ["10.20.1.0/24", "fd20::5"]);
        for bad in ["web", "web:http", "web=10.0.0.1"] {
            assert!(client(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn answers_are_taken_and_empty_ones_end() {
        let profile = embedded_profiles().into_iter().find(|profile| profile.name == "riak").unwrap();
        let own = FirstNode { name: "riak@10.0.0.1".into(), address: None, comment: String::new() };
        let mut said = Vec::new();
        let text = "mail\nriak@10.0.0.2\nriak@db3=nonsense\nriak@db3=10.0.0.3\n\nweb:http=10.1.0.0/24\n";
        let answers = ask(&own, &profile, &mut text.as_bytes(), &mut said).unwrap();
        let names: Vec<&str> = answers.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!((answers.name.as_deref(), names), (Some("mail"), vec!["riak@10.0.0.2", "riak@db3"]));
        assert_eq!(answers.clients.len(), 1);
        assert!(String::from_utf8(said).unwrap().contains("not an IPv4 or IPv6 address"));
        assert_eq!(ask(&own, &profile, &mut "".as_bytes(), &mut Vec::new()).unwrap(), Answers::default());
    }
}
