//! Settings of Erlang applications: app.config, advanced.config, and pairs on the VM's command line.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Half;
use super::keys::moved;
use super::values::{
    Found, address, addresses_and_ports, boolean, port, port_or_text, ports_and_listeners, sink_peers,
};
use super::{Bind, Draft, Layout, Rank, Setting, Source, advanced};
use crate::cluster::{Beside, Form, Key, Profile, Service};
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};
use crate::import::erlang::{self, Term};
use crate::import::files::Kind;

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
            erlang::Kind::Tuple(parts) => match parts.as_slice() {
                [Term { kind: erlang::Kind::Atom(name), span }, Term { kind: erlang::Kind::List(pairs, None), .. }] => {
                    if let Some(first) = seen.insert(name.as_str(), *span) {
                        findings.push(twice(&format!("the application `{name}`"), *span, first));
                        continue;
                    }
                    // It is no application: `advanced` reads it.
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
        let erlang::Kind::Tuple(parts) = &pair.kind else {
            findings.push(not_a_setting(application, pair.span));
            continue;
        };
        let [Term { kind: erlang::Kind::Atom(key), span }, value] = parts.as_slice() else {
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
    let third = (Layout::Third, source);
    for (service, own) in keys_of(draft.profile, application, key) {
        take(draft, source, (service, own), term, found);
    }
    let full = format!("{application} {key}");
    if let Some(what) = KINDS.into_iter().find_map(|kind| draft.profile.beside(kind.word(), |own| own == full)) {
        read_beside(what, term, third, draft, found);
    }
    match (application, key) {
        ("kernel", "inet_dist_listen_min") => draft.minimum.0.extend(port(term, found).map(|port| (third, port))),
        ("kernel", "inet_dist_listen_max") => draft.maximum.0.extend(port(term, found).map(|port| (third, port))),
        ("kernel", "erl_epmd_node_listen_port") => {
            draft.node_port.0.extend(port(term, found).map(|port| (third, port)))
        }
        ("kernel", "epmd_module") => {
            let message = format!("`{}` names a module that may choose any port for the distribution", found.name);
            found.findings.push(Diagnostic::new(Code::NotRead, term.span, message).help(OWN_MODULE));
        }
        ("kernel", "inet_dist_listen_options") => {
            // `[{port, 7777}]` (seen on OTP 25).
            let pairs = term.as_list().unwrap_or_default().iter().filter_map(Term::as_pair);
            for (option, value) in pairs {
                let Some(option @ ("port" | "ip" | "ifaddr")) = option.as_atom() else { continue };
                let what =
                    format!("set to a list with `{option}`, and the distribution listens there, whatever else is set");
                let help =
                    "take it out, and set inet_dist_listen_min and inet_dist_listen_max, or inet_dist_use_interface";
                found.wrong(value.span, &what, help);
            }
        }
        ("kernel", "inet_dist_use_interface") => draft.interface.0.extend(address(term, found).map(|ip| (third, ip))),
        _ => {}
    }
}

/// Takes a setting that moves no service.
fn read_beside(what: Beside, term: &Term, rank: Rank, draft: &mut Draft, found: &mut Found<'_>) {
    match what {
        Beside::ReplicationSource => draft.replication_source.0.extend(boolean(term, found).map(|yes| (rank, yes))),
        Beside::FullSync => {
            if let Some(scope) = term.as_atom() {
                draft.full_sync.add(rank, found.setting(scope != "disabled", term.span));
            }
        }
        Beside::ReplicationPeer => draft.peer.0.extend(address(term, found).map(|ip| (rank, ip))),
        Beside::ReplicationSinks => {
            let value = term.as_text().map(|text| sink_peers(&text)).unwrap_or_default();
            draft.sink_peers.add(rank, found.setting(value, term.span));
        }
        Beside::Unguarded => {
            if boolean(term, found).is_some_and(|yes| yes.value) {
                found.unguarded(term.span);
            }
        }
        Beside::MaxPorts => {
            term.as_u64().into_iter().for_each(|value| draft.max_ports.add(rank, found.setting(value, term.span)));
        }
    }
}

/// The kinds of file whose keys are an application and one of its settings.
const KINDS: [Kind; 2] = [Kind::AppConfig, Kind::AdvancedConfig];

/// The applications that have settings which are read.
pub(super) fn applications(profile: &'static Profile) -> BTreeSet<&'static str> {
    let keys = KINDS.into_iter().flat_map(|kind| profile.keys_of(kind.word()));
    keys.filter_map(|key| Some(key.split_once(' ')?.0)).chain(["kernel"]).collect()
}

/// The services that a setting moves, by keys such as `riak_api http`; behind a dot stands a key of the list that the setting is.
fn keys_of(profile: &'static Profile, application: &str, key: &str) -> Vec<(&'static Service, &'static Key)> {
    let is = |own: &Key| {
        let (own_application, path) = own.key().split_once(' ').unwrap_or((own.key(), ""));
        own_application == application && path.split('.').next() == Some(key)
    };
    KINDS.into_iter().flat_map(|kind| moved(profile, kind.word(), is)).collect()
}

/// Takes the value of a setting that moves a service.
fn take(
    draft: &mut Draft,
    source: Source,
    (service, key): (&'static Service, &'static Key),
    whole: &Term,
    found: &mut Found<'_>,
) {
    let (application, path) = key.key().split_once(' ').unwrap_or((key.key(), ""));
    let term = match path.split_once('.') {
        None => whole,
        Some(_) if whole.as_list().is_none() => {
            // Each of its keys would say so.
            if matches!(key.form(), Form::Port(_)) {
                found.wrong(whole.span, "no list", "write `[{port, 15672}]`");
            }
            return;
        }
        Some((_, inside)) => {
            if key.is_sure() && source == Source::Config {
                draft.replaced.push(service.name());
            }
            match *of_list(whole, inside).as_slice() {
                [] => return,
                [term] => term,
                [.., last] => {
                    found.wrong(last.span, &format!("set to a list with `{inside}` twice"), "leave one of them");
                    return;
                }
            }
        }
    };
    let name = service.name();
    let is_list = |key: &&Key| matches!(key.form(), Form::Listener | Form::PortOrListener);
    let mut lists = KINDS.into_iter().flat_map(|kind| service.keys_in(kind.word())).filter(is_list);
    let in_halves = lists.clone().next().is_none();
    let rank = (Layout::Third, source);
    // Programs with an app.config make a number of what stands in quotes.
    let port = if draft.profile.has_file(Kind::AppConfig.word()) { port_or_text } else { port };
    match key.form() {
        Form::Listener | Form::PortOrListener => {
            // The first of them is the newest name.
            let layout = if lists.next() == Some(key) { Layout::Third } else { Layout::Second };
            let list = match key.form() {
                Form::PortOrListener => ports_and_listeners(term, found),
                _ => addresses_and_ports(term, found),
            };
            list.into_iter().for_each(|list| add_list(draft, name, (layout, source), list, (term.span, found)));
        }
        Form::Address => {
            let Some(ip) = address(term, found) else { return };
            match in_halves {
                true => draft.add_address(name, rank, ip),
                false => draft.pairs.entry((name, application)).or_default().0.add(rank, ip),
            }
        }
        Form::Port(_) => {
            let Some(port) = port(term, found) else { return };
            if !key.is_sure() {
                draft.unsure.push((name, port.span));
            }
            match in_halves || !key.is_sure() {
                true => draft.add_port(name, rank, port),
                false => draft.pairs.entry((name, application)).or_default().1.add(rank, port),
            }
        }
        Form::First => port(term, found).into_iter().for_each(|port| draft.add_end(name, Half::First, rank, port)),
        Form::Last => port(term, found).into_iter().for_each(|port| draft.add_end(name, Half::Last, rank, port)),
        Form::Range => match term.as_pair() {
            Some((first, last)) => {
                let ends = (port(first, found), port(last, found));
                if let (Some(first), Some(last)) = ends {
                    draft.add_end(name, Half::First, rank, first);
                    draft.add_end(name, Half::Last, rank, last);
                }
            }
            None => found.wrong(term.span, "no range", "write `{6000, 6500}`"),
        },
        Form::Nowhere => {}
        Form::Word(_) => {
            if let Some(yes) = boolean(term, found) {
                draft.switches.entry(name).or_default().add(rank, yes);
            }
        }
    }
}

/// The values of a key in a list of pairs. Of several programs take the first, and ranch the last (seen on RabbitMQ 3.10).
fn of_list<'t>(list: &'t Term, key: &str) -> Vec<&'t Term> {
    let pairs = list.as_list().unwrap_or_default().iter().filter_map(Term::as_pair);
    pairs.filter(|(own, _)| own.as_atom() == Some(key)).map(|(_, value)| value).collect()
}

/// An empty list is set to listen nowhere.
fn add_list(
    draft: &mut Draft,
    service: &'static str,
    rank: Rank,
    list: Vec<Setting<(Bind, u16)>>,
    (span, found): (Span, &Found<'_>),
) {
    let slot = draft.listeners.entry(service).or_default();
    if list.is_empty() {
        slot.add(rank, Setting { value: None, name: found.name.clone(), span });
    }
    for Setting { value, name, span } in list {
        slot.add(rank, Setting { value: Some(value), name, span });
    }
}
