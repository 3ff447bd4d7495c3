//! Settings in riak.conf and rabbitmq.conf, which the same library reads.

use super::draft::{Draft, Layout, Rank, Source};
use super::keys::{Written, moved, take};
use super::values::{Found, sink_peers};
use super::{Setting, Slot};
use crate::cluster::Beside;
use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::import::files::Kind;
use crate::import::riak_conf::Entry;

const RANK: Rank = (Layout::Third, Source::Conf);

pub(super) fn read(kind: Kind, entries: &[Entry], draft: &mut Draft, findings: &mut Findings) {
    let profile = draft.profile;
    let named = |names: &std::collections::BTreeMap<String, String>, key: &[&str]| {
        names.get(kind.word()).is_some_and(|own| fits(own, key))
    };
    for entry in entries {
        let key: Vec<&str> = entry.key.iter().map(String::as_str).collect();
        let found = &mut Found { name: key.join("."), findings };
        let services = moved(profile, kind.word(), |own| own.is(&key));
        let (own_name, member) = (named(&profile.node_name, &key), named(&profile.node_names, &key));
        let other = profile.beside(kind.word(), |own| fits(own, &key));
        if services.is_empty() && other.is_none() && !own_name && !member {
            continue;
        }
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
        if let Some(what) = other {
            read_beside(what, draft, entry, found);
        }
        let setting = || Setting { value: entry.value.clone(), name: key.join("."), span: entry.value_span };
        if own_name {
            draft.name.add(RANK, setting());
        }
        if member {
            draft.peers.push(setting());
        }
        let written = Written { text: &entry.value, span: entry.value_span };
        take(draft, Source::Conf, services, written, found);
    }
}

/// Whether a key is this one, where a `*` stands for any one part.
fn fits(pattern: &str, key: &[&str]) -> bool {
    let mut parts = pattern.split('.');
    key.iter().all(|own| parts.next().is_some_and(|part| part == "*" || part == *own)) && parts.next().is_none()
}

/// Takes a setting that moves no service.
fn read_beside(what: Beside, draft: &mut Draft, entry: &Entry, found: &mut Found<'_>) {
    match what {
        Beside::ReplicationSource => {
            add(&mut draft.replication_source, entry, found, entry.value == "enabled");
        }
        // `all`, `bucket`, `type`, or none.
        Beside::FullSync => add(&mut draft.full_sync, entry, found, entry.value != "disabled"),
        Beside::ReplicationPeer => {
            draft.peer.0.extend(found.bind(&entry.value, entry.value_span).map(|bind| (RANK, bind)));
        }
        Beside::ReplicationSinks => add(&mut draft.sink_peers, entry, found, sink_peers(&entry.value)),
        Beside::Unguarded if entry.value == "on" => found.unguarded(entry.value_span),
        Beside::Unguarded => {}
        Beside::MaxPorts => {
            entry.value.parse().into_iter().for_each(|value| add(&mut draft.max_ports, entry, found, value));
        }
    }
}

fn add<T>(slot: &mut Slot<T>, entry: &Entry, found: &Found<'_>, value: T) {
    slot.add(RANK, Setting { value, name: found.name.clone(), span: entry.value_span });
}
