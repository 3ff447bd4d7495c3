//! The members that Riak knows against those of the cluster file.

use std::collections::{BTreeMap, BTreeSet};

use super::Subject;
use crate::cluster::Node;
use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::import::membership::{Member, Membership, State};

/// Nodes of one side that the other lacks.
pub(super) fn differences(subject: &Subject<'_>, members: &Membership, findings: &mut Findings) {
    let cluster = subject.site.cluster();
    let known: BTreeSet<&str> = cluster.nodes().iter().map(Node::name).collect();
    let admitted: BTreeMap<&str, &Member> = members
        .today
        .iter()
        .filter(|member| member.state != State::Invalid)
        .map(|member| (member.name.as_str(), member))
        .collect();
    for member in admitted.values().filter(|member| !known.contains(member.name.as_str())) {
        let message = format!("`{}` is a member of the cluster, and the cluster file lacks it", member.name);
        let help = format!(
            "add `\"{}\"` to `nodes` and run `ringfence apply` on every node: until then its connections are blocked",
            member.name
        );
        findings.push(Diagnostic::new(Code::MissingMember, member.span, message).help(help));
    }
    for node in cluster.nodes().iter().filter(|node| !admitted.contains_key(node.name())) {
        let message = format!("`{}` is admitted, and is no member of the cluster", node.name());
        let help = "if it is about to join, leave it; otherwise take it out of the cluster file, and run `ringfence apply` on every node";
        findings.push(Diagnostic::new(Code::NotAMember, node.span(), message).help(help));
    }
}

/// Nodes that others reach over one family only, where some have both, or the other.
pub(super) fn families(subject: &Subject<'_>, findings: &mut Findings) {
    let nodes = subject.site.cluster().nodes();
    let has = |node: &Node, v4: bool| node.addresses().any(|(address, _)| address.is_ipv4() == v4);
    if !nodes.iter().any(|node| has(node, true)) || !nodes.iter().any(|node| has(node, false)) {
        return;
    }
    let both = nodes.iter().filter(|node| has(node, true) && has(node, false)).count();
    for node in nodes.iter().filter(|node| has(node, true) != has(node, false)) {
        let (one, other) = if has(node, true) { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
        let message = match both {
            0 => format!(
                "`{}` has only an {one} address, and others have only {other}: they cannot reach each other",
                node.name()
            ),
            _ => {
                format!("`{}` has only an {one} address, and others have both: from {other} it is blocked", node.name())
            }
        };
        let help = format!("add its {other} address to `addresses`, or make sure that it never connects over {other}");
        findings.push(Diagnostic::new(Code::OneFamily, node.span(), message).help(help));
    }
}
