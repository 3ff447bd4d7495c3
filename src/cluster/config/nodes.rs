//! `nodes` and `[[node]]`.

use std::net::IpAddr;

use super::addresses::read_node_address;
use super::services::{find_service, read_ports};
use crate::cluster::model::{Service, ServiceId};
use crate::cluster::node::{Node, OfNode, Says};
use crate::cluster::toml_reader::{Reader, TableReader, Text, printable};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::net::{PortRange, Ports, parse_address};

pub(super) fn read_nodes(
    top: &mut TableReader<'_>,
    cluster: Option<&mut TableReader<'_>>,
    services: &[Service],
    reader: &mut Reader<'_>,
) -> Vec<Node> {
    let mut nodes = Vec::new();
    if let Some(value) = cluster.and_then(|table| table.get("nodes"))
        && let Some(names) = reader.texts(value, "`nodes`")
    {
        nodes.reserve(names.count_of_all());
        nodes.extend(names.filter_map(|name| read_short_node(name, reader)));
    }
    if let Some(value) = top.get("node")
        && let Some(list) = reader.tables(value, "`node` (write `[[node]]`, with two brackets)")
    {
        for item in list {
            if let Some(table) = reader.table(item, "[[node]]") {
                let table = table.may_have(&["name", "addresses", "services", "interfaces"]);
                nodes.extend(read_long_node(table, services, reader));
            }
        }
    }
    number_ports(&mut nodes, services, reader);
    nodes
}

/// Some programs take the number at the end of a node's name for the distance of its ports from the usual ones (EMQX: `ekka_dist.erl`,
/// <https://github.com/emqx/ekka>: the digits before the `@`, modulo 60000).
fn number_ports(nodes: &mut [Node], services: &[Service], reader: &mut Reader<'_>) {
    const MODULO: u32 = 60_000;
    let numbered =
        || services.iter().enumerate().filter(|(_, service)| service.port_by_node_number && service.is_guarded());
    if numbered().next().is_none() {
        return;
    }
    for node in nodes {
        let name = node.name.split('@').next().unwrap_or_default();
        // What the name ends with.
        let digits = name.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        if digits.is_empty() {
            continue;
        }
        // Erlang's integers have no end, so that a number of any length has a remainder.
        let offset = digits.bytes().fold(0, |number, digit| (number * 10 + u32::from(digit - b'0')) % MODULO);
        let (mut ports, interfaces) = (node.own_ports().to_vec(), node.own_interfaces().map(Into::into));
        for (index, service) in numbered() {
            if ports.iter().any(|(id, _)| *id == ServiceId(index)) {
                continue;
            }
            let moved = |port: u16| u16::try_from(u32::from(port) + offset).ok();
            let moved = |range: &PortRange| PortRange::new(moved(range.first())?, moved(range.last())?);
            match service.ports.ranges().iter().map(moved).collect::<Option<Ports>>() {
                Some(own) => ports.push((ServiceId(index), own)),
                None => {
                    let message = format!("`{}` of `{}` would have a port above 65535", service.name, node.name());
                    let help = "the number at the end of the node's name is added to its ports; give it a smaller one";
                    reader.push(Diagnostic::new(Code::BadPort, node.span(), message).help(help));
                }
            }
        }
        *node = node.with_own(ports, interfaces);
    }
}

/// What stands behind the `@`, or the whole name where there is none.
pub(super) fn host_part(name: &str) -> &str {
    let at = name.bytes().rposition(|byte| byte == b'@');
    at.and_then(|at| name.get(at + 1..)).unwrap_or(name)
}

/// An IPv6 address in a node's name brings colons.
fn extra_characters(name: &str) -> &'static str {
    if parse_address(host_part(name)).is_ok_and(|address| address.is_ipv6()) { ":" } else { "" }
}

/// A node whose name has its address.
pub(in crate::cluster) fn read_short_node(name: Text<'_>, reader: &mut Reader<'_>) -> Option<Node> {
    let address = read_node_address(Text { text: host_part(name.text), span: name.span }, Some(name.text), reader);
    // What has been found to be no address needs no second finding about its characters.
    let address = address?;
    let named = reader.check_node_name(name, if address.is_ipv6() { ":" } else { "" });
    let node = Node { name: reader.node_name(name), says: Says::Address(address) };
    named.then_some(node)
}

fn read_long_node(mut table: TableReader<'_>, services: &[Service], reader: &mut Reader<'_>) -> Option<Node> {
    let value = table.require("name", reader, "give the node's name, `riak@10.20.0.11` for example");
    let name = value.and_then(|value| reader.text(value, "`name`"));
    let addresses: Vec<(IpAddr, Span)> = match (table.get("addresses"), name) {
        (Some(value), name) => {
            let listed = reader.texts(value, "`addresses`").map(Vec::from_iter);
            let none = listed.as_ref().is_some_and(Vec::is_empty);
            let texts = listed.unwrap_or_default();
            if none {
                let finding = Diagnostic::new(Code::BadAddress, reader.span(value), "`addresses` names no address");
                reader.push(finding.help("list the node's addresses, or leave the key out to use the one in its name"));
            }
            let read: Vec<_> =
                texts.iter().filter_map(|text| Some((read_node_address(*text, None, reader)?, text.span))).collect();
            if let Some(name) = name {
                check_own_address(name, &read, reader);
            }
            read
        }
        (None, Some(name)) => {
            let host = Text { text: host_part(name.text), span: name.span };
            read_node_address(host, Some(name.text), reader).map(|address| (address, name.span)).into_iter().collect()
        }
        (None, None) => Vec::new(),
    };
    let ports = read_node_ports(&mut table, services, reader);
    let interfaces = table.get("interfaces").and_then(|value| reader.interfaces(value, "`interfaces`"));
    table.finish(reader);
    let name = name.filter(|name| reader.check_node_name(*name, extra_characters(name.text)))?;
    let more = OfNode { addresses: addresses.into(), is_named: false, ports, interfaces };
    Some(Node { name: reader.node_name(name), says: Says::More(Box::new(more)) })
}

/// Erlang connects to the host part of the name: an address there that `addresses` lacks is most likely a slip.
fn check_own_address(name: Text<'_>, addresses: &[(IpAddr, Span)], reader: &mut Reader<'_>) {
    let Ok(own) = parse_address(host_part(name.text)) else { return };
    if let Some((_, span)) = addresses.first()
        && addresses.iter().all(|(address, _)| *address != own)
    {
        let message = format!("`addresses` lacks {own}, the address in the name `{}`", printable(name.text));
        let finding = Diagnostic::new(Code::AddressMismatch, *span, message).also(name.span, "nodes connect to this");
        reader.push(finding.help(format!("add `\"{own}\"`, unless the node really sends from other addresses only")));
    }
}

fn read_node_ports(
    table: &mut TableReader<'_>,
    services: &[Service],
    reader: &mut Reader<'_>,
) -> Vec<(ServiceId, Ports)> {
    let mut ports = Vec::new();
    let entries = table
        .get("services")
        .and_then(|value| reader.table(value, "`services` of a node"))
        .map(|table| table.entries(reader))
        .unwrap_or_default();
    for (name, value) in entries {
        let Some(id) = find_service(name, services, reader) else { continue };
        let Some(mut table) = reader.table(value, format!("`services.{}` of a node", name.text)) else { continue };
        if let Some(own) = read_ports(&mut table, reader, name.text) {
            ports.push((id, own));
        }
        table.finish(reader);
    }
    ports
}
