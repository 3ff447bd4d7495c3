//! Single values as a cluster file has them, for other inputs that have them, too: judged alike, in the same words.

use std::net::IpAddr;

use super::config::{read_cidr, read_node_address};
use super::toml_reader::{Reader, Text};
use crate::diagnostic::{Findings, Span};
use crate::net::{Cidr, Interface, PortRange};

/// A value of another input than a cluster file.
pub struct ForeignValue<'a> {
    /// What it says.
    pub text: &'a str,
    /// Where.
    pub span: Span,
}

impl ForeignValue<'_> {
    fn read<T>(&self, findings: &mut Findings, read: impl FnOnce(Text<'_>, &mut Reader<'_>) -> T) -> T {
        read(Text { text: self.text, span: self.span }, &mut Reader::new(self.span.file, findings))
    }

    /// The address of a node.
    pub fn address(&self, findings: &mut Findings) -> Option<IpAddr> {
        self.read(findings, |text, reader| read_node_address(text, None, reader))
    }

    /// Where a client comes from.
    pub fn source(&self, findings: &mut Findings) -> Option<Cidr> {
        self.read(findings, read_cidr).map(|source| source.network)
    }

    /// A port or a range of them.
    pub fn ports(&self, what: &str, findings: &mut Findings) -> Option<PortRange> {
        self.read(findings, |text, reader| reader.port_text(text, what))
    }

    /// The name of an interface.
    pub fn interface(&self, findings: &mut Findings) -> Option<Interface> {
        self.read(findings, |text, reader| reader.interface(text))
    }

    /// The name of a client.
    pub fn client_name(&self, findings: &mut Findings) -> Option<String> {
        self.read(findings, |text, reader| reader.check_name(text, "a client", "")).then(|| self.text.to_owned())
    }

    /// The name of a node. It may end in an IPv6 address.
    pub fn node_name(&self, findings: &mut Findings) -> Option<String> {
        let host = self.text.rsplit_once('@').map_or(self.text, |(_, host)| host);
        let extra = if host.parse::<std::net::Ipv6Addr>().is_ok() { ":" } else { "" };
        self.read(findings, |text, reader| reader.check_node_name(text, extra)).then(|| self.text.to_owned())
    }
}
