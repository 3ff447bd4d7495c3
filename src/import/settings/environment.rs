//! Settings of Erlang applications: app.config, advanced.config, and pairs on the VM's command line.

use std::collections::BTreeMap;

use super::values::{Found, address, addresses_and_ports, boolean, port, sink_peers};
use super::{Draft, Layout, PairName, Setting, Source, advanced};
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};
use crate::import::erlang::{Kind, Term};

/// Reads the one list of `{Application, [{Key, Value}]}` that a configuration file is (config(4)).
pub(super) fn read(terms: &[Term], file: FileId, draft: &mut Draft, findings: &mut Findings) {
    let [Some(applications)] = terms.iter().map(Term::as_list).collect::<Vec<_>>()[..] else {
        let span = terms.get(1).or(terms.first()).map_or(Span::new(file, 0..0), |term| term.span);
        let message = "a configuration file is one list `[…].`, and this is not";
        let help = "write `[ {riak_core, [ … ]}, … ].`, with one `.` at the end of the file";
        findings.push(Diagnostic::new(Code::ErlangSyntax, span, message).help(help));
        return;
    };
    let mut seen = BTreeMap::new();
    for application in applications {
        match &application.kind {
            Kind::Tuple(parts) => match parts.as_slice() {
                [Term { kind: Kind::Atom(name), span }, Term { kind: Kind::List(pairs, None), .. }] => {
                    if let Some(first) = seen.insert(name.as_str(), *span) {
                        findings.push(twice(&format!("the application `{name}`"), *span, first));
                        continue;
                    }
                    // It is none: `advanced` reads what stands there.
                    if name != advanced::KEY {
                        read_pairs(name, pairs, draft, findings);
                    }
                }
                _ => findings.push(not_an_application(application.span)),
            },
            _ => findings.push(not_an_application(application.span)),
        }
    }
}

fn not_an_application(span: Span) -> Diagnostic {
    let finding = Diagnostic::new(Code::ErlangSyntax, span, "this is not `{Application, [{Key, Value}, …]}`");
    finding.help("each entry names an application and lists its settings: `{riak_core, [{handoff_port, 8099}]}`")
}

/// Newer releases of Erlang refuse it (seen on OTP 25), and of older ones it is not known which of the two they take.
fn twice(what: &str, span: Span, first: Span) -> Diagnostic {
    let finding = Diagnostic::new(Code::ErlangSyntax, span, format!("{what} stands twice"));
    finding.also(first, "here too").help("join them, and keep one: newer releases of Erlang do not start with both")
}

fn read_pairs(application: &str, pairs: &[Term], draft: &mut Draft, findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for pair in pairs {
        let Kind::Tuple(parts) = &pair.kind else {
            findings.push(not_a_setting(application, pair.span));
            continue;
        };
        let [Term { kind: Kind::Atom(key), span }, value] = parts.as_slice() else {
            findings.push(not_a_setting(application, pair.span));
            continue;
        };
        match seen.insert(key.as_str(), *span) {
            Some(first) => findings.push(twice(&format!("`{application} {key}`"), *span, first)),
            None => read_one(application, key, value, Source::Config, draft, findings),
        }
    }
}

fn not_a_setting(application: &str, span: Span) -> Diagnostic {
    let message = format!("this is no setting of `{application}`: it is not `{{Key, Value}}`");
    Diagnostic::new(Code::ErlangSyntax, span, message).help("a setting is a name and a value: `{handoff_port, 8099}`")
}

/// What to do where a module takes the place of epmd's client (`erl_epmd.erl`, `listen_port_please/2`, of Erlang/OTP).
pub(super) const OWN_MODULE: &str = "see which port it answers to `listen_port_please`, and write that into the cluster file, under \
                                     `[services.distribution]`";

/// One setting, wherever it stands.
pub(super) fn read_one(
    application: &str,
    key: &str,
    term: &Term,
    source: Source,
    draft: &mut Draft,
    findings: &mut Findings,
) {
    let dash = if source == Source::VmArgs { "-" } else { "" };
    let found = &mut Found { name: format!("{dash}{application} {key}"), findings };
    let (first, second, third) = ((Layout::First, source), (Layout::Second, source), (Layout::Third, source));
    match (application, key) {
        ("riak_core", "web_ip") => add_ip(draft, ("http", "riak_core"), first, term, found),
        ("riak_core", "web_port") => add_port(draft, ("http", "riak_core"), first, term, found),
        ("riak_kv", "pb_ip") => add_ip(draft, ("protobuf", "riak_kv"), first, term, found),
        ("riak_kv", "pb_port") => add_port(draft, ("protobuf", "riak_kv"), first, term, found),
        ("riak_api", "pb_ip") => add_ip(draft, ("protobuf", "riak_api"), third, term, found),
        ("riak_api", "pb_port") => add_port(draft, ("protobuf", "riak_api"), third, term, found),
        ("riak_core", "http") => add_list(draft, "http", second, term, found),
        ("riak_core", "https") => add_list(draft, "https", second, term, found),
        ("riak_api", "http") => add_list(draft, "http", third, term, found),
        ("riak_api", "https") => add_list(draft, "https", third, term, found),
        ("riak_api", "pb") => add_list(draft, "protobuf", third, term, found),
        ("riak_core", "cluster_mgr") => add_list(draft, "cluster-manager", third, term, found),
        ("riak_core", "handoff_ip") => draft.handoff_ip.0.extend(address(term, found).map(|ip| (third, ip))),
        ("riak_core", "handoff_port") => draft.handoff_port.0.extend(port(term, found).map(|port| (third, port))),
        ("yokozuna", "enabled") => draft.search.0.extend(boolean(term, found).map(|yes| (third, yes))),
        ("yokozuna", "solr_port") => draft.solr_port.0.extend(port(term, found).map(|port| (third, port))),
        ("yokozuna", "solr_jmx_port") => draft.jmx_port.0.extend(port(term, found).map(|port| (third, port))),
        ("kernel", "inet_dist_listen_min") => draft.minimum.0.extend(port(term, found).map(|port| (third, port))),
        ("kernel", "inet_dist_listen_max") => draft.maximum.0.extend(port(term, found).map(|port| (third, port))),
        ("kernel", "erl_epmd_node_listen_port") => {
            draft.node_port.0.extend(port(term, found).map(|port| (third, port)))
        }
        ("kernel", "epmd_module") => {
            let message = format!("`{}` names a module that may choose any port for the distribution", found.name);
            found.findings.push(Diagnostic::new(Code::NotRead, term.span, message).help(OWN_MODULE));
        }
        ("riak_kv", "replrtq_enablesrc") => {
            draft.replication_source.0.extend(boolean(term, found).map(|yes| (third, yes)));
        }
        ("riak_kv", "ttaaefs_scope") => {
            if let Some(scope) = term.as_atom() {
                let value = scope != "disabled";
                draft.full_sync.add(third, Setting { value, name: found.name.clone(), span: term.span });
            }
        }
        ("riak_kv", "ttaaefs_peerip") => draft.peer.0.extend(address(term, found).map(|ip| (third, ip))),
        ("riak_kv", "replrtq_sinkpeers") => {
            let value = term.as_text().map(|text| sink_peers(&text)).unwrap_or_default();
            draft.sink_peers.add(third, Setting { value, name: found.name.clone(), span: term.span });
        }
        ("kernel", "inet_dist_use_interface") => draft.interface.0.extend(address(term, found).map(|ip| (third, ip))),
        _ => {}
    }
}

fn add_ip(draft: &mut Draft, pair: PairName, rank: super::Rank, term: &Term, found: &mut Found<'_>) {
    draft.pairs.entry(pair).or_default().0.0.extend(address(term, found).map(|ip| (rank, ip)));
}

fn add_port(draft: &mut Draft, pair: PairName, rank: super::Rank, term: &Term, found: &mut Found<'_>) {
    draft.pairs.entry(pair).or_default().1.0.extend(port(term, found).map(|port| (rank, port)));
}

fn add_list(draft: &mut Draft, service: &'static str, rank: super::Rank, term: &Term, found: &mut Found<'_>) {
    let Some(list) = addresses_and_ports(term, found) else { return };
    let slot = draft.listeners.entry(service).or_default();
    if list.is_empty() {
        slot.add(rank, Setting { value: None, name: found.name.clone(), span: term.span });
    }
    for Setting { value, name, span } in list {
        slot.add(rank, Setting { value: Some(value), name, span });
    }
}
