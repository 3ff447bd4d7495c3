//! Private networks, as far as they can be told from addresses: a proposal.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::nodes::Node;
use super::{Known, Row, quoted};
use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::net::{AddressClass, Cidr, WIDEST_V4, WIDEST_V6};

/// What a network is taken to be where no interface of this host tells: the commonest subnets of both families.
const PREFIX_V4: u8 = 24;
const PREFIX_V6: u8 = 64;

/// A network for every node: that of this host's interface which it lies in, else the usual subnet around it, and a public
/// address alone.
pub(super) fn propose(nodes: &[Node], known: &Known<'_>, findings: &mut Findings) -> Vec<Row> {
    let addresses = nodes.iter().flat_map(|node| &node.addresses);
    let mut chosen: BTreeMap<Cidr, String> =
        addresses.map(|address| network_of(Cidr::host(*address), *address, known)).collect();
    let of_interfaces: Vec<Cidr> =
        known.networks.iter().map(|(_, network)| *network).filter(|network| chosen.contains_key(network)).collect();
    chosen.retain(|network, _| !of_interfaces.iter().any(|other| other != network && other.contains(*network)));
    if !chosen.is_empty() {
        let shown: Vec<String> = chosen.keys().take(8).map(ToString::to_string).collect();
        let more = if chosen.len() > 8 { " and more" } else { "" };
        let message = format!("the private networks {}{more} are a proposal, not known", shown.join(", "));
        let help = "see `[networks]` in the file, and correct what is not your network";
        findings.push(Diagnostic::placeless(Code::ConfirmNetworks, message).help(help));
    }
    chosen.into_iter().map(|(network, comment)| Row { value: quoted(&network.to_string()), comment }).collect()
}

fn network_of(host: Cidr, address: IpAddr, known: &Known<'_>) -> (Cidr, String) {
    let fit = |network: &Cidr| {
        let widest = if address.is_ipv4() { WIDEST_V4 } else { WIDEST_V6 };
        network.contains(host) && network.prefix_length() >= widest && network.class() == AddressClass::Private
    };
    let narrowest =
        known.networks.iter().filter(|(_, network)| fit(network)).max_by_key(|(_, network)| network.prefix_length());
    if let Some((name, network)) = narrowest {
        return (*network, format!("CONFIRM: the network of {name} on this host"));
    }
    if host.class() == AddressClass::Public {
        return (host, "CONFIRM: a public address; is the network yours alone?".to_owned());
    }
    let prefix = if address.is_ipv4() { PREFIX_V4 } else { PREFIX_V6 };
    match Cidr::containing(address, prefix) {
        Some(network) => {
            let from = if known.inventory.is_some() { "the inventory" } else { "the node's name or settings" };
            (network, format!("CONFIRM: around {address}, from {from}"))
        }
        None => (host, format!("CONFIRM: {address} alone")),
    }
}
