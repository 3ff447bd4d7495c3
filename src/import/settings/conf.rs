//! Settings in riak.conf and rabbitmq.conf, which the same library reads.

use super::draft::{Draft, Layout, Rank, Source};
use super::keys::{Written, moved, take};
use super::values::{Found, sink_peers};
use super::{Setting, Slot};
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
        let other = reader(&key).filter(|_| kind == Kind::RiakConf);
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
        if let Some(read) = other {
            read(draft, entry, found);
        }
        let setting = || Setting { value: entry.value.clone(), name: key.join("."), span: entry.value_span };
        if own_name {
            draft.name.add(RANK, setting());
        }
        if member {
            draft.peers.push(setting());
        }
        let written = Written { text: &entry.value, span: entry.value_span };
        for (index, service) in services.into_iter().enumerate() {
            take(draft, Source::Conf, service, written, index == 0, found);
        }
    }
}

/// Whether a key is this one, where a `*` stands for any one part.
fn fits(pattern: &str, key: &[&str]) -> bool {
    let mut parts = pattern.split('.');
    key.iter().all(|own| parts.next().is_some_and(|part| part == "*" || part == *own)) && parts.next().is_none()
}

type Read = fn(&mut Draft, &Entry, &mut Found<'_>);

/// What is to be done with a setting of Riak's that moves no service.
fn reader(key: &[&str]) -> Option<Read> {
    let read: Read = match key {
        ["replrtq_enablesrc"] => |draft, entry, found| {
            add_choice(&mut draft.replication_source, entry, found, entry.value == "enabled");
        },
        // The scope of a full sync: `all`, `bucket`, `type`, or none.
        ["ttaaefs_scope"] => |draft, entry, found| {
            add_choice(&mut draft.full_sync, entry, found, entry.value != "disabled");
        },
        ["ttaaefs_peerip"] => |draft, entry, found| {
            draft.peer.0.extend(found.bind(&entry.value, entry.value_span).map(|bind| (RANK, bind)));
        },
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

fn add_choice(slot: &mut Slot<bool>, entry: &Entry, found: &Found<'_>, value: bool) {
    slot.add(RANK, Setting { value, name: found.name.clone(), span: entry.value_span });
}
