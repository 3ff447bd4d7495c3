//! Settings in riak.conf.

use super::values::Found;
use super::{Draft, Layout, Setting, Source};
use crate::diagnostic::{Code, Diagnostic, Findings};
use crate::import::riak_conf::Entry;

const RANK: super::Rank = (Layout::Third, Source::RiakConf);

pub(super) fn read(entries: &[Entry], draft: &mut Draft, findings: &mut Findings) {
    for entry in entries {
        let key: Vec<&str> = entry.key.iter().map(String::as_str).collect();
        let found = &mut Found { name: key.join("."), findings };
        let (value, span) = (entry.value.as_str(), entry.value_span);
        match key.as_slice() {
            ["nodename"] => {
                draft.name.add(RANK, Setting { value: value.to_owned(), name: found.name.clone(), span });
            }
            ["listener", "http", _] => add_listener(draft, "http", entry, found),
            ["listener", "https", _] => add_listener(draft, "https", entry, found),
            ["listener", "protobuf", _] => add_listener(draft, "protobuf", entry, found),
            ["handoff", "ip"] => draft.handoff_ip.0.extend(found.bind(value, span).map(|ip| (RANK, ip))),
            ["handoff", "port"] => draft.handoff_port.0.extend(found.port_number(value, span).map(|port| (RANK, port))),
            ["search"] => read_search(draft, entry, found),
            ["search", "solr", "port"] => {
                draft.solr_port.0.extend(found.port_number(value, span).map(|port| (RANK, port)));
            }
            ["search", "solr", "jmx_port"] => {
                draft.jmx_port.0.extend(found.port_number(value, span).map(|port| (RANK, port)));
            }
            ["erlang", "distribution", "port_range", "minimum"] => {
                draft.minimum.0.extend(found.port_number(value, span).map(|port| (RANK, port)));
            }
            ["erlang", "distribution", "port_range", "maximum"] => {
                draft.maximum.0.extend(found.port_number(value, span).map(|port| (RANK, port)));
            }
            ["erlang", "distribution", "interface"] => {
                draft.interface.0.extend(found.bind(value, span).map(|ip| (RANK, ip)));
            }
            ["erlang", "max_ports"] => {
                if let Ok(number) = value.parse() {
                    draft.max_ports.add(RANK, Setting { value: number, name: found.name.clone(), span });
                }
            }
            _ => {}
        }
    }
}

/// `ADDRESS:PORT`; the port is behind the last colon, since IPv6 addresses have colons too.
fn add_listener(draft: &mut Draft, service: &'static str, entry: &Entry, found: &mut Found<'_>) {
    let span = entry.value_span;
    let Some((host, port)) = entry.value.rsplit_once(':') else {
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
