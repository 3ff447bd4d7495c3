//! The first cluster file of somebody who has nothing to import: the nodes, their networks and the clients that are named, and
//! nothing that is not. What is proposed is marked with CONFIRM.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::cluster_file::{comment, free_range, lines_for, list, ports_line, quoted};
use crate::cluster::{DEFAULT_PROFILE, Profile};
use crate::net::{Cidr, PortRange, Ports};

/// A node that is to be admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstNode {
    /// Its name, as Erlang has it.
    pub name: String,
    /// Its address, where its name does not have it.
    pub address: Option<IpAddr>,
    /// How it is known.
    pub comment: String,
}

/// Somebody else who is to be admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstClient {
    /// Its name.
    pub name: String,
    /// What it may use.
    pub services: Vec<String>,
    /// Where it comes from, as a cluster file has it.
    pub from: Vec<String>,
}

/// What is known.
#[derive(Clone, Debug)]
pub struct First<'a> {
    /// What the cluster is to be called.
    pub name: &'a str,
    /// Which program it is of.
    pub profile: &'a Profile,
    /// Its nodes.
    pub nodes: &'a [FirstNode],
    /// Private networks that are given.
    pub private: &'a [Cidr],
    /// The networks that this host is in, by interface.
    pub networks: &'a [(String, Cidr)],
    /// Who else gets in.
    pub clients: &'a [FirstClient],
    /// The distribution ports, where they are given.
    pub distribution: Option<PortRange>,
}

/// The file. Whether it can be used is for the cluster's own reader to say.
#[must_use]
pub fn write(first: &First<'_>) -> String {
    let mut text = format!(
        "{}\n# The cluster file of ringfence, made by `ringfence init`. Read it, above all the lines with CONFIRM, before you apply it.\n\
         \n[cluster]\nname = {}\n",
        super::cluster_file::SCHEMA,
        quoted(first.name)
    );
    if first.profile.name != DEFAULT_PROFILE {
        push(&mut text, &format!("profile = {}", quoted(&first.profile.name)));
    }
    let (short, long): (Vec<&FirstNode>, Vec<&FirstNode>) = first.nodes.iter().partition(|node| node.address.is_none());
    if !short.is_empty() {
        push(&mut text, "nodes = [");
        for node in short {
            push(&mut text, &format!("    {},{}", quoted(&node.name), remark(&node.comment)));
        }
        push(&mut text, "]");
    }
    networks(first, &mut text);
    for node in long {
        let addresses = list(node.address.iter().map(ToString::to_string));
        push(&mut text, &format!("\n[[node]]\nname = {}{}", quoted(&node.name), remark(&node.comment)));
        push(&mut text, &format!("addresses = {addresses}"));
    }
    distribution(first, &mut text);
    for client in first.clients {
        let (from, services) = (list(client.from.iter().cloned()), list(client.services.iter().cloned()));
        push(
            &mut text,
            &format!("\n[[client]]\nname = {}\nfrom = {from}\nservices = {services}", quoted(&client.name)),
        );
    }
    if first.clients.is_empty() {
        push(&mut text, "\n# Nobody but the nodes is admitted to anything. For each client:\n# [[client]]");
        push(&mut text, "# name = \"web\"\n# from = [\"10.20.1.0/24\"]");
        push(&mut text, &format!("# services = {}", list([first.profile.for_example().to_owned()])));
    }
    text
}

/// Writing to a String cannot fail.
fn push(text: &mut String, line: &str) {
    let _ = writeln!(text, "{line}");
}

fn remark(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" # {}", comment(text)) }
}

/// The address of a node, in its name or beside it.
fn address_of(node: &FirstNode) -> Option<IpAddr> {
    node.address.or_else(|| node.name.rsplit_once('@').and_then(|(_, host)| crate::net::parse_address(host).ok()))
}

/// Each node has to lie in one of them. The narrowest network of this host that it is in, or else its address alone: to be in one admits
/// nobody, and the narrower they are, the sooner a wrong address is found.
fn networks(first: &First<'_>, text: &mut String) {
    let mut chosen: Vec<(Cidr, String)> =
        first.private.iter().map(|network| (*network, "as given by --private".to_owned())).collect();
    for node in first.nodes {
        let Some(address) = address_of(node) else { continue };
        if chosen.iter().any(|(network, _)| network.has(address)) {
            continue;
        }
        let own = first.networks.iter().filter(|(_, network)| network.has(address) && !network.is_host());
        let found = match own.max_by_key(|(_, network)| network.prefix_length()) {
            Some((interface, network)) => (*network, format!("CONFIRM: the network of {interface}")),
            None => (Cidr::host(address), "CONFIRM: this node alone, since its network is not known".to_owned()),
        };
        chosen.push(found);
    }
    push(text, "\n[networks]\n# Every node lies in one of these; being in one admits nobody.\nprivate = [");
    for (network, why) in chosen {
        push(text, &format!("    {},{}", quoted(&network.to_string()), remark(&why)));
    }
    push(text, "]");
}

/// A range for the profiles that have none, and what has to be set for it.
fn distribution(first: &First<'_>, text: &mut String) {
    let services = &first.profile.services;
    let Some(own) = services.iter().find(|service| service.name() == "distribution") else { return };
    let taken: Ports = services.iter().flat_map(|service| service.ports().ranges().iter().copied()).collect();
    // One for each node, and a spare for one that restarts.
    let width = u16::try_from(first.nodes.len() + 1).unwrap_or(u16::MAX).clamp(2, 1024);
    let proposed = || free_range(width, &taken).filter(|_| own.ports().is_empty());
    let Some(range) = first.distribution.or_else(proposed) else { return };
    push(text, "\n[services.distribution]");
    if first.distribution.is_none() {
        push(text, "# CONFIRM: proposed. Unless the nodes listen here, their distribution ports are not guarded:");
        // Of a program whose files are read the very lines are known.
        if !first.profile.folders.is_empty() {
            for lines in lines_for(range, first.profile, None) {
                push(text, &format!("# {}: {}", lines.place, lines.lines.join(" and ")));
            }
        } else if let Some(setting) = own.setting() {
            push(text, &format!("# {}", comment(setting)));
        }
    }
    push(text, &ports_line(&[range].into_iter().collect()));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::{embedded_profiles, parse};
    use crate::diagnostic::{Code, Diagnostic};

    fn node(name: &str, address: Option<&str>) -> FirstNode {
        FirstNode { name: name.to_owned(), address: address.map(|text| text.parse().unwrap()), comment: String::new() }
    }

    /// Of every profile the file compiles without a warning, admits the named and nobody else, and guards all that the profile does.
    #[test]
    fn it_can_be_used_and_is_the_strictest_that_fits() {
        let nodes = [
            node("riak@10.20.0.11", None),
            node("riak@db2.example.com", Some("10.20.0.12")),
            node("riak@10.30.0.1", None),
        ];
        let networks: Vec<(String, Cidr)> = [("eth1", "10.20.0.0/16"), ("eth0", "10.20.0.0/24")]
            .map(|(name, network)| (name.to_owned(), network.parse().unwrap()))
            .into();
        for profile in embedded_profiles() {
            let first = First {
                name: "mail",
                profile: &profile,
                nodes: &nodes,
                private: &[],
                networks: &networks,
                clients: &[],
                distribution: None,
            };
            let text = write(&first);
            let loaded = parse("cluster.toml", text.clone(), Path::new(""));
            // VerneMQ's own port is one that Linux gives to others, which is to be said.
            let wrong = |finding: &&Diagnostic| finding.code != Code::EphemeralOverlap;
            assert!(loaded.findings.iter().find(wrong).is_none(), "{}: {:?}\n{text}", profile.name, loaded.findings);
            let cluster = loaded.cluster.unwrap();
            let private: Vec<String> = cluster.private().iter().map(|source| source.network.to_string()).collect();
            assert_eq!(private, ["10.20.0.0/24", "10.30.0.1"]);
            assert_eq!((cluster.clients().len(), cluster.nodes().len()), (0, 3));
            for (service, usual) in cluster.services().iter().zip(&profile.services) {
                assert_eq!(service.state(), usual.state(), "{}", service.name());
            }
        }
    }

    #[test]
    fn what_is_given_is_taken() {
        let profile = embedded_profiles().into_iter().find(|profile| profile.name == "riak").unwrap();
        let client = FirstClient {
            name: "web".to_owned(),
            services: vec!["http".to_owned()],
            from: vec!["10.1.0.0/24".to_owned(), "10.2.0.1".to_owned()],
        };
        let first = First {
            name: "x",
            profile: &profile,
            nodes: &[node("riak@10.20.0.11", None)],
            private: &["10.20.0.0/28".parse().unwrap()],
            networks: &[("eth0".to_owned(), "10.20.0.0/24".parse().unwrap())],
            clients: &[client],
            distribution: PortRange::new(7000, 7003),
        };
        let cluster = parse("cluster.toml", write(&first), Path::new("")).cluster.unwrap();
        assert_eq!(cluster.private()[0].network.to_string(), "10.20.0.0/28");
        let ports = cluster.services().iter().find(|service| service.name() == "distribution").unwrap().ports();
        assert_eq!(ports.to_string(), "7000-7003");
        assert_eq!((cluster.clients()[0].name(), cluster.clients()[0].from().len()), ("web", 2));
    }
}
