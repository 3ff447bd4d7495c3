//! Addresses and networks, and what to say about those that are none.

use std::net::{IpAddr, Ipv4Addr};

use crate::cluster::model::Source;
use crate::cluster::toml_reader::{Reader, Text, printable};
use crate::diagnostic::{Code, Diagnostic};
use crate::net::{AddressClass, Cidr, ParseAddressError, parse_address};

/// The address of a node. `name` is the node's, where the address was taken from it.
pub(in crate::cluster) fn read_node_address(
    text: Text<'_>,
    name: Option<&str>,
    reader: &mut Reader<'_>,
) -> Option<IpAddr> {
    if name.is_none() && text.text.contains('/') {
        let message = format!("`{}` is a network, and a node has single addresses", printable(text.text));
        let help = "list the node's own addresses; networks belong under `[networks]` or to a `[[client]]`";
        reader.push(Diagnostic::new(Code::NetworkAsNode, text.span, message).help(help));
        return None;
    }
    let address = match parse_address(text.text) {
        Ok(address) => address,
        Err(error) => {
            push_address_error(text, &error, name, reader);
            return None;
        }
    };
    check_class(text, Cidr::host(address), reader).then_some(address)
}

/// A network, a single address, or a range of addresses, which is the fewest networks that make it up.
pub(in crate::cluster) fn read_sources(text: Text<'_>, reader: &mut Reader<'_>) -> Vec<Source> {
    let ends =
        text.text.split_once('-').map(|(first, last)| (first.trim_end_matches(' '), last.trim_start_matches(' ')));
    let Some((first, last)) =
        ends.and_then(|(first, last)| Some((parse_address(first).ok()?, parse_address(last).ok()?)))
    else {
        return read_cidr(text, reader).into_iter().collect();
    };
    let networks: Vec<Cidr> = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            Cidr::covering_v4(first.to_bits(), last.to_bits()).collect()
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            Cidr::covering_v6(first.to_bits(), last.to_bits()).collect()
        }
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
            let message = format!("`{}` is a range that begins above its end", printable(text.text));
            let finding = Diagnostic::new(Code::InvertedRange, text.span, message);
            reader.push(finding.help(format!("did you mean `{last}-{first}`?")));
            return Vec::new();
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            let message = format!("`{}` begins in one family of addresses and ends in the other", printable(text.text));
            let finding = Diagnostic::new(Code::BadAddress, text.span, message);
            reader.push(finding.help("give a range for each family: `10.20.0.5-10.20.0.9`"));
            return Vec::new();
        }
    };
    let usable = networks.iter().all(|network| check_class(text, *network, reader));
    let networks = if usable { networks } else { Vec::new() };
    networks.into_iter().map(|network| Source { network, span: text.span }).collect()
}

/// A network, or a single address.
pub(in crate::cluster) fn read_cidr(text: Text<'_>, reader: &mut Reader<'_>) -> Option<Source> {
    match text.text.parse::<Cidr>() {
        Ok(network) => check_class(text, network, reader).then_some(Source { network, span: text.span }),
        Err(error) => {
            push_address_error(text, &error, None, reader);
            None
        }
    }
}

fn push_address_error(text: Text<'_>, error: &ParseAddressError, name: Option<&str>, reader: &mut Reader<'_>) {
    let shown = printable(text.text);
    let like_host = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let host = text.text.contains(|c: char| c.is_ascii_alphabetic()) && text.text.chars().all(like_host);
    let finding = match error {
        ParseAddressError::NotAnAddress if host => {
            let help = match name {
                Some(name) => format!(
                    "write `[[node]]` with `name = \"{}\"` and `addresses = [\"…\"]`; names are never looked up, because \
                     rules must load without DNS",
                    printable(name)
                ),
                None => "give the address; names are never looked up, because rules must load without DNS".to_owned(),
            };
            Diagnostic::new(Code::HostName, text.span, format!("`{shown}` is a host name, not an address")).help(help)
        }
        ParseAddressError::NotAnAddress => {
            let message = match name {
                Some(name) if shown.is_empty() => format!("`{}` has no address behind the `@`", printable(name)),
                _ => format!("`{shown}` is {error}"),
            };
            let bare = text.text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let help =
                match (bare.filter(|bare| parse_address(bare).is_ok()), name.and_then(|name| name.rsplit_once('@'))) {
                    (Some(bare), Some((name, _))) => format!("write it without brackets: `{}@{bare}`", printable(name)),
                    (Some(bare), None) => format!("write it without brackets: `{bare}`"),
                    (None, _) => address_help(text.text),
                };
            Diagnostic::new(Code::BadAddress, text.span, message).help(help)
        }
        ParseAddressError::LeadingZero => {
            let message = format!("`{shown}` has {error}");
            Diagnostic::new(Code::LeadingZero, text.span, message).help("write the numbers without leading zeros")
        }
        ParseAddressError::Zone => {
            Diagnostic::new(Code::BadAddress, text.span, format!("`{shown}` is {error}")).help("leave the zone out")
        }
        ParseAddressError::PrefixLength { .. } => {
            Diagnostic::new(Code::BadAddress, text.span, format!("`{shown}`: {error}")).help(prefix_help(text.text))
        }
        ParseAddressError::HostBits { network } => {
            let host = text.text.split('/').next().unwrap_or_default();
            let message = format!("`{shown}` is no network: {error}");
            let help = format!("did you mean the network `{network}` or the host `{host}`?");
            Diagnostic::new(Code::HostBits, text.span, message).help(help)
        }
    };
    reader.push(finding);
}

/// What the slip most likely is.
fn address_help(text: &str) -> String {
    let is_address = |text: &str| parse_address(text).is_ok();
    if let Some((host, _)) = text.rsplit_once(':').filter(|(host, _)| is_address(host)) {
        return format!("leave the port out, `{host}`: the services say which ports");
    }
    if text.split_once('-').is_some_and(|(first, _)| is_address(first)) {
        return "a range has an address on both sides, `10.20.0.5-10.20.0.9`, and only a client or a network may be one".to_owned();
    }
    if let Some((_, host)) = text.rsplit_once('@').filter(|(_, host)| is_address(host)) {
        return format!("did you mean `{host}`?");
    }
    "an address looks like `10.20.0.11` or `fd20::11`".to_owned()
}

fn prefix_help(text: &str) -> String {
    let mask = |text: &str| text.parse::<Ipv4Addr>().ok().map(Ipv4Addr::to_bits);
    if let Some((address, bits)) = text.split_once('/').and_then(|(address, text)| Some((address, mask(text)?)))
        && bits.leading_ones() + bits.trailing_zeros() == u32::BITS
    {
        return format!("did you mean `{address}/{}`?", bits.leading_ones());
    }
    "a network looks like `10.20.0.0/24` or `fd20::/64`".to_owned()
}

fn check_class(text: Text<'_>, network: Cidr, reader: &mut Reader<'_>) -> bool {
    let (what, help) = match network.class() {
        AddressClass::Private | AddressClass::Public => return true,
        AddressClass::Loopback => ("a loopback address", "loopback is always admitted and never comes from a network"),
        AddressClass::Unspecified => ("an unspecified address", "nothing is ever sent from it; give a real address"),
        AddressClass::Multicast => ("a multicast or broadcast address", "nothing is ever sent from it over TCP"),
        AddressClass::LinkLocal => (
            "a link-local address",
            "it may be anybody's on another link; give the node's address in a private network",
        ),
        AddressClass::Ipv4Mapped => ("an IPv4-mapped address", "it never appears in a packet; give the IPv4 address"),
    };
    let message = format!("`{}` is {what}", printable(text.text));
    reader.push(Diagnostic::new(Code::UnusableAddress, text.span, message).help(help));
    false
}
