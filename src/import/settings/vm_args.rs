//! Settings in vm.args.

use super::values::Found;
use super::{Bind, Draft, Layout, Setting, Source, environment};
use crate::diagnostic::{Code, Diagnostic, Findings, Span};
use crate::import::erlang::{self, Kind};
use crate::import::vm_args::{Flag, Word};

const RANK: super::Rank = (Layout::Third, Source::VmArgs);

/// Applications whose settings are read.
const APPLICATIONS: [&str; 5] = ["kernel", "riak_core", "riak_api", "riak_kv", "yokozuna"];

pub(super) fn read(flags: &[Flag], draft: &mut Draft, findings: &mut Findings) {
    for flag in flags {
        let name = flag.name.text.as_str();
        let first = flag.values.first();
        let found = &mut Found { name: name.to_owned(), findings };
        match (name, first) {
            ("-name" | "-sname", Some(value)) => draft.name.add(RANK, setting(name, value, value.text.clone())),
            ("-env", _) => environment_variable(flag, draft, found),
            ("+Q", Some(value)) => max_ports(name, value, draft),
            ("-start_epmd", Some(value)) if value.text == "false" => {
                draft.not_started.add(RANK, setting(name, value, ()));
            }
            ("-erl_epmd_port", Some(value)) => {
                draft.fixed.0.extend(found.port_number(&value.text, value.span).map(|port| (RANK, port)));
            }
            _ => {
                let application = name.strip_prefix('-').unwrap_or_default();
                if APPLICATIONS.contains(&application) {
                    pairs(application, &flag.values, draft, findings);
                }
            }
        }
    }
}

fn setting<T>(name: &str, place: &Word, value: T) -> Setting<T> {
    Setting { value, name: name.to_owned(), span: place.span }
}

/// `-APPLICATION KEY VALUE …`; each value is an Erlang term.
fn pairs(application: &str, words: &[Word], draft: &mut Draft, findings: &mut Findings) {
    for pair in words.chunks(2) {
        let [key, value] = pair else { continue };
        let mut own = Findings::default();
        let text = format!("{}.", value.text);
        let terms = erlang::parse(&text, value.span.file, &mut own);
        let Some([term]) = terms.as_deref() else {
            let message = format!("`{}` of `-{application} {}` is no Erlang term", value.text.escape_debug(), key.text);
            let help = "write a number, an atom, or a term in quotes: `-kernel inet_dist_listen_min 6000`";
            findings.push(Diagnostic::new(Code::VmArgsSyntax, value.span, message).help(help));
            continue;
        };
        // Its own places are those of the text that was made for it.
        let term = moved(term, value.span);
        environment::read_one(application, &key.text, &term, Source::VmArgs, draft, findings);
    }
}

/// The same term at another place.
fn moved(term: &erlang::Term, span: Span) -> erlang::Term {
    let all = |terms: &[erlang::Term]| terms.iter().map(|term| moved(term, span)).collect();
    let kind = match &term.kind {
        Kind::Tuple(parts) => Kind::Tuple(all(parts)),
        Kind::List(items, tail) => Kind::List(all(items), tail.as_ref().map(|tail| Box::new(moved(tail, span)))),
        // No setting that is read here has a map in it.
        other => other.clone(),
    };
    erlang::Term { kind, span }
}

fn environment_variable(flag: &Flag, draft: &mut Draft, found: &mut Found<'_>) {
    let [name, value, ..] = flag.values.as_slice() else { return };
    found.name = format!("-env {}", name.text);
    match name.text.as_str() {
        "ERL_EPMD_PORT" => {
            draft.epmd_port.0.extend(found.port_number(&value.text, value.span).map(|port| (RANK, port)));
        }
        "ERL_EPMD_ADDRESS" => {
            // epmd(1): separated by commas.
            let list: Vec<_> = value.text.split(',').map(|one| found.bind(one.trim(), value.span)).collect();
            let list: Option<Vec<Bind>> = list.into_iter().map(|one| Some(one?.value)).collect();
            draft.epmd_addresses.0.extend(list.map(|list| (RANK, setting(&found.name, value, list))));
        }
        "ERL_MAX_PORTS" => max_ports(&found.name, value, draft),
        _ => {}
    }
}

fn max_ports(name: &str, value: &Word, draft: &mut Draft) {
    if let Ok(number) = value.text.parse() {
        draft.max_ports.add(RANK, setting(name, value, number));
    }
}
