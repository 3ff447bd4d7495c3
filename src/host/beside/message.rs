//! What each fact means for the proof, in one line.

use std::fmt::Write as _;

use super::{Fact, Family, Found, Way};
use crate::diagnostic::Code;

/// How many names a line has at most.
const SHOWN: usize = 3;

impl Fact {
    /// Its stable name.
    #[must_use]
    pub fn code(&self) -> Code {
        match self.found {
            Found::Xdp { .. }
            | Found::Filters { .. }
            | Found::Flowtable { .. }
            | Found::Ipvs { .. }
            | Found::SkLookup { .. }
            | Found::HookProgram { .. }
            | Found::HookFunction { .. } => Code::BesideRules,
            Found::Proxy { .. } => Code::LocalProxy,
            Found::RouteLocalnet { .. } => Code::RouteLocalnet,
            Found::OtherNamespaces { .. } => Code::OtherNamespace,
            Found::NotLooked { .. } => Code::NotLooked,
        }
    }

    /// What it means.
    #[must_use]
    pub fn message(&self) -> String {
        match &self.found {
            Found::Xdp { interfaces } => format!(
                "XDP on {} sees packets before every rule and may change, drop or take them away; nothing here is said about it \
                 (`ip link show`)",
                names(interfaces)
            ),
            Found::Filters { way, kinds, interfaces } => filters(*way, kinds, interfaces),
            Found::Flowtable { table, name, interfaces } => format!(
                "flowtable {name} of table {table} on {}: a connection through this host that it has taken over meets no rule \
                 any more, also one to a port that is published from here (`nft list flowtables`)",
                names(interfaces)
            ),
            Found::Ipvs { services } => format!(
                "IPVS takes connections to {} and may lead them to a protected port behind all rules; where they end is not \
                 judged (`ipvsadm -Ln`)",
                names(services)
            ),
            Found::RouteLocalnet { interfaces } => format!(
                "route_localnet is on for {}: who is connected there reaches programs that listen on 127.0.0.1 only; the rules \
                 guard protected ports there as well, and no others",
                if interfaces.is_empty() { "all interfaces".to_owned() } else { names(interfaces) }
            ),
            Found::SkLookup { programs } => format!(
                "a BPF program chooses sockets for connections (sk_lookup, {programs} of them): it may hand one to another port \
                 to the program behind a protected one, which no rule sees (`bpftool net`)"
            ),
            Found::HookProgram { family, hook, priority, here } => format!(
                "a BPF program stands at netfilter's hook {hook} for {} (priority {priority}){}: it may drop packets of peers; \
                 nothing here is said about it (`bpftool link`)",
                family_name(*family),
                if *here { "" } else { ", here or in another network namespace" }
            ),
            Found::HookFunction { function, module, places } => format!(
                "{function}{} stands at netfilter's hooks {}, beside all tables; what it does to packets is not known here \
                 (`nft list hooks`)",
                module.as_ref().map(|module| format!(" (kernel module {module})")).unwrap_or_default(),
                names(
                    &places
                        .iter()
                        .map(|(hook, family)| format!("{hook} for {}", family_name(*family)))
                        .collect::<Vec<_>>()
                )
            ),
            Found::Proxy { program, pid, listens, to } => format!(
                "{program} (process {pid}) listens on {listens} and is connected to {to} from inside: whoever reaches it may be \
                 passed on, and the guard says nothing of loopback"
            ),
            Found::OtherNamespaces { interfaces } => format!(
                "{} to other network namespaces (containers): what listens there by itself is not judged, and what comes from \
                 there is a stranger's unless it is listed",
                leads(interfaces)
            ),
            Found::NotLooked { what, why } => format!("{} could not be looked for: {why}", what.join(", ")),
        }
    }
}

fn filters(way: Way, kinds: &[String], interfaces: &[String]) -> String {
    let (kinds, on) = (names(kinds), names(interfaces));
    match way {
        Way::In => format!(
            "tc ({kinds}) on {on} sees packets before every rule and may change, drop or redirect them; nothing here is said \
             about it (`tc filter show dev … ingress`)"
        ),
        Way::Out => format!(
            "tc ({kinds}) on {on} sees what leaves behind every rule and may change, drop or redirect it, answers to peers too; \
             nothing here is said about it (`tc filter show dev … egress`)"
        ),
    }
}

fn leads(interfaces: &[String]) -> String {
    format!("{} {}", names(interfaces), if interfaces.len() == 1 { "leads" } else { "lead" })
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

/// The first few, and how many more there are.
fn names(all: &[String]) -> String {
    let mut text = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if let Some(more) = all.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        // Writing to a String cannot fail.
        let _ = write!(text, " and {more} more");
    }
    text
}
