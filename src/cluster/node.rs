//! A member of the cluster, and what the file says of it alone.

use std::net::IpAddr;

use super::model::{Service, ServiceId};
use super::name::Name;
use crate::diagnostic::Span;
use crate::net::{Interface, Ports};

/// A member of the cluster.
#[derive(Clone, Debug)]
pub struct Node {
    pub(super) name: Name,
    pub(super) says: Says,
}

/// What is said of a node. Most have one address, the one in their name, and 100,000 of these need no allocation each.
#[derive(Clone, Debug)]
pub(super) enum Says {
    /// The address in its name, and nothing else.
    Address(IpAddr),
    More(Box<OfNode>),
}

/// What few nodes say: several addresses, or how they differ from what the cluster file says of all.
#[derive(Clone, Debug)]
pub(super) struct OfNode {
    pub addresses: Box<[(IpAddr, Span)]>,
    /// Whether the one address is the one in its name.
    pub is_named: bool,
    pub ports: Vec<(ServiceId, Ports)>,
    pub interfaces: Option<Box<[Interface]>>,
}

impl Node {
    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its addresses and where each is named.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, Span)> + Clone + use<'_> {
        let (one, more) = match &self.says {
            Says::Address(address) => (Some((*address, self.span())), [].as_slice()),
            Says::More(of) => (None, &*of.addresses),
        };
        one.into_iter().chain(more.iter().copied())
    }

    /// Whether it has one of these addresses.
    #[must_use]
    pub fn has_any(&self, addresses: &[IpAddr]) -> bool {
        match &self.says {
            Says::Address(own) => addresses.contains(own),
            Says::More(of) => of.addresses.iter().any(|(own, _)| addresses.contains(own)),
        }
    }

    /// Whether the one address that is the one in its name.
    pub(super) fn is_named_by_address(&self) -> bool {
        match &self.says {
            Says::Address(_) => true,
            Says::More(of) => of.is_named,
        }
    }

    /// The services whose ports it gives itself.
    pub(super) fn own_ports(&self) -> &[(ServiceId, Ports)] {
        self.more().map(|of| of.ports.as_slice()).unwrap_or_default()
    }

    /// The interfaces on which it admits, where it says so itself.
    pub(super) fn own_interfaces(&self) -> Option<&[Interface]> {
        self.more()?.interfaces.as_deref()
    }

    fn more(&self) -> Option<&OfNode> {
        match &self.says {
            Says::Address(_) => None,
            Says::More(of) => Some(of),
        }
    }

    /// The same with other ports and interfaces of its own.
    pub(super) fn with_own(&self, ports: Vec<(ServiceId, Ports)>, interfaces: Option<Box<[Interface]>>) -> Self {
        let says = match &self.says {
            Says::Address(_) if ports.is_empty() && interfaces.is_none() => self.says.clone(),
            _ => {
                let addresses = self.addresses().collect();
                let is_named = self.is_named_by_address();
                Says::More(Box::new(OfNode { addresses, is_named, ports, interfaces }))
            }
        };
        Self { name: self.name.clone(), says }
    }

    /// Where it is named.
    #[must_use]
    pub fn span(&self) -> Span {
        self.name.span
    }

    /// The ports of a service on this node.
    #[must_use]
    pub fn ports<'a>(&'a self, id: ServiceId, service: &'a Service) -> &'a Ports {
        self.own_ports().iter().find(|(own, _)| *own == id).map_or(&service.ports, |(_, ports)| ports)
    }
}
