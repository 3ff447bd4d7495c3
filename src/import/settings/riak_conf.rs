//! Settings in riak.conf.

use super::values::{Found, sink_peers};
use super::{Bind, Draft, Layout, Setting, Slot, Source};
use crate::cluster::usual_service;
use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::import::SERVICES;
use crate::import::riak_conf::Entry;

const RANK: super::Rank = (Layout::Third, Source::RiakConf);

pub(super) fn read(entries: &[Entry], draft: &mut Draft, findings: &mut Findings) {
    for entry in entries {
        let key: Vec<&str> = entry.key.iter().map(String::as_str).collect();
        let found = &mut Found { name: key.join("."), findings };
        let Some(read) = reader(&key) else { continue };
        for span in &entry.replaces {
            let message = format!("`{}` is set here, and again further down", found.name);
            let finding = Diagnostic::new(Code::Overridden, *span, message);
            found.findings.push(finding.also(entry.value_span, "the last one counts"));
        }
        if entry.unknown {
            let message = format!("`{}` is set to `{}`, which cannot be known", found.name, entry.value.escape_debug());
            let help = "write the value itself, or read the file that it comes from, too";
            found.findings.push(Diagnostic::new(Code::BadSetting, entry.value_span, message).help(help));
            continue;
        }
        read(draft, entry, found);
    }
}

type Read = fn(&mut Draft, &Entry, &mut Found<'_>);

/// What is to be done with a setting; `None` for all that say nothing of where Riak listens.
fn reader(key: &[&str]) -> Option<Read> {
    if let Some(read) = service_of(key).and_then(of_service) {
        return Some(read);
    }
    let read: Read = match key {
        ["nodename"] => |draft, entry, found| {
            let setting = Setting { value: entry.value.clone(), name: found.name.clone(), span: entry.value_span };
            draft.name.add(RANK, setting);
        },
        ["handoff", "ip"] => |draft, entry, found| add_bind(&mut draft.handoff_ip, entry, found),
        ["search"] => read_search,
        ["erlang", "distribution", "port_range", "minimum"] => {
            |draft, entry, found| add_port(&mut draft.minimum, entry, found)
        }
        ["erlang", "distribution", "port_range", "maximum"] => {
            |draft, entry, found| add_port(&mut draft.maximum, entry, found)
        }
        ["erlang", "distribution", "interface"] => |draft, entry, found| add_bind(&mut draft.interface, entry, found),
        ["replrtq_enablesrc"] => |draft, entry, found| {
            add_choice(&mut draft.replication_source, entry, found, entry.value == "enabled");
        },
        // The scope of a full sync: `all`, `bucket`, `type`, or none.
        ["ttaaefs_scope"] => |draft, entry, found| {
            add_choice(&mut draft.full_sync, entry, found, entry.value != "disabled");
        },
        ["ttaaefs_peerip"] => |draft, entry, found| add_bind(&mut draft.peer, entry, found),
        ["replrtq_sinkpeers"] => |draft, entry, found| {
            let value = sink_peers(&entry.value);
            draft.sink_peers.add(RANK, Setting { value, name: found.name.clone(), span: entry.value_span });
        },
        ["erlang", "max_ports"] => |draft, entry, found| {
            if let Ok(value) = entry.value.parse() {
                draft.max_ports.add(RANK, Setting { value, name: found.name.clone(), span: entry.value_span });
            }
        },
        _ => return None,
    };
    Some(read)
}

/// The service that a key moves: the profile says.
fn service_of(key: &[&str]) -> Option<&'static str> {
    let fits = |pattern: &str| {
        let parts: Vec<&str> = pattern.split('.').collect();
        parts.len() == key.len() && parts.iter().zip(key).all(|(part, own)| *part == "*" || part == own)
    };
    let moved =
        |service: &&str| usual_service("riak", service).and_then(|own| own.key_in("riak-conf")).is_some_and(fits);
    SERVICES.iter().copied().find(moved)
}

/// How the key of a service is read: as an address and a port, or as a port alone.
fn of_service(service: &str) -> Option<Read> {
    let read: Read = match service {
        "http" => |draft, entry, found| add_listener(draft, "http", entry, found),
        "https" => |draft, entry, found| add_listener(draft, "https", entry, found),
        "protobuf" => |draft, entry, found| add_listener(draft, "protobuf", entry, found),
        "cluster-manager" => |draft, entry, found| add_listener(draft, "cluster-manager", entry, found),
        "handoff" => |draft, entry, found| add_port(&mut draft.handoff_port, entry, found),
        "solr" => |draft, entry, found| add_port(&mut draft.solr_port, entry, found),
        "solr-jmx" => |draft, entry, found| add_port(&mut draft.jmx_port, entry, found),
        _ => return None,
    };
    Some(read)
}

fn add_choice(slot: &mut Slot<bool>, entry: &Entry, found: &Found<'_>, value: bool) {
    slot.add(RANK, Setting { value, name: found.name.clone(), span: entry.value_span });
}

fn add_port(slot: &mut Slot<u16>, entry: &Entry, found: &mut Found<'_>) {
    slot.0.extend(found.port_number(&entry.value, entry.value_span).map(|port| (RANK, port)));
}

fn add_bind(slot: &mut Slot<Bind>, entry: &Entry, found: &mut Found<'_>) {
    slot.0.extend(found.bind(&entry.value, entry.value_span).map(|bind| (RANK, bind)));
}

/// `ADDRESS:PORT`; the port is behind the last colon, since IPv6 addresses have colons too.
fn add_listener(draft: &mut Draft, service: &'static str, entry: &Entry, found: &mut Found<'_>) {
    let span = entry.value_span;
    let Some((host, port)) = entry.value.rsplit_once(':').filter(|(_, port)| !port.is_empty()) else {
        let message = format!("`{}` is set to `{}`, which has no port", found.name, entry.value.escape_debug());
        let help = "write an address and a port: `10.20.0.11:8098`";
        found.findings.push(Diagnostic::new(Code::BadSetting, span, message).help(help));
        return;
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let (bind, port) = (found.bind(host, span), found.port_number(port, span));
    if let (Some(bind), Some(port)) = (bind, port) {
        let setting = Setting { value: Some((bind.value, port.value)), name: found.name.clone(), span };
        draft.listeners.entry(service).or_default().add(RANK, setting);
    }
}

fn read_search(draft: &mut Draft, entry: &Entry, found: &mut Found<'_>) {
    let value = match entry.value.as_str() {
        "on" => true,
        "off" => false,
        other => {
            let message = format!("`search` is set to `{}`", other.escape_debug());
            let finding = Diagnostic::new(Code::BadSetting, entry.value_span, message);
            found.findings.push(finding.help("write `on` or `off`"));
            return;
        }
    };
    draft.search.add(RANK, Setting { value, name: found.name.clone(), span: entry.value_span });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever key the profile says moves a service, something here reads it: another listener would be one that nobody sees.
    #[test]
    fn every_key_of_the_profile_is_read() {
        let keyed =
            |service: &&str| usual_service("riak", service).is_some_and(|own| own.key_in("riak-conf").is_some());
        let unread: Vec<&str> =
            SERVICES.iter().copied().filter(keyed).filter(|service| of_service(service).is_none()).collect();
        assert_eq!(unread, [] as [&str; 0]);
        assert!(SERVICES.iter().filter(|service| keyed(service)).count() >= 5);
    }
}
