//! Settings in vm.args.

use super::values::Found;
use super::{Bind, Draft, Layout, Rank, Setting, Source, environment, not_in_force};
use crate::diagnostic::{Code, Diagnostic, Findings, Span};
use crate::import::erlang::{self, Kind};
use crate::import::vm_args::{self as args, Flag, Word};

const RANK: Rank = (Layout::Third, Source::VmArgs);

pub(super) fn read(flags: &[Flag], draft: &mut Draft, findings: &mut Findings) {
    read_name(flags, draft, findings);
    for variable in ["ERL_EPMD_PORT", "ERL_EPMD_ADDRESS", "ERL_MAX_PORTS"] {
        if let Some(value) = args::environment(flags, variable) {
            environment_variable(variable, value, draft, &mut Found { name: format!("-env {variable}"), findings });
        }
    }
    for flag in flags {
        let name = flag.name.text.as_str();
        match (name, flag.values.first()) {
            ("+Q", Some(value)) => max_ports(name, value, draft),
            ("-start_epmd", Some(value)) if value.text == "false" => {
                draft.not_started.add(RANK, setting(name, value, ()));
            }
            ("-epmd_module", _) => {
                let message = "`-epmd_module` names a module that may choose any port for the distribution";
                let finding = Diagnostic::new(Code::NotRead, flag.name.span, message);
                findings.push(finding.help(environment::OWN_MODULE));
            }
            ("-env", Some(variable)) if variable.text.starts_with("ERL_") && variable.text.ends_with("FLAGS") => {
                let message = format!(
                    "the flags in `-env {}` are not read, nor a port or a range among them",
                    variable.text.escape_debug()
                );
                let help = "write them as lines of their own in place of this one, and read the result";
                findings.push(Diagnostic::new(Code::NotRead, variable.span, message).help(help));
            }
            _ => {}
        }
    }
    read_fixed(flags, draft, findings);
    for application in environment::applications(draft.profile) {
        for pair in args::settings(flags, application, findings) {
            read_pair(application, &pair, draft, findings);
        }
    }
}

/// Only one flag with one value counts; of all else Erlang takes nothing, and the range is in force (`erl_epmd.erl`,
/// `listen_port_please/2`: `{ok, [[Port]]}`; seen on OTP 25).
fn read_fixed(flags: &[Flag], draft: &mut Draft, findings: &mut Findings) {
    const FLAG: &str = "-erl_epmd_port";
    let all: Vec<&Flag> = args::all(flags, FLAG).collect();
    let Some(first) = all.first() else { return };
    match (all.as_slice(), first.values.as_slice()) {
        ([_], [value]) if !value.text.is_empty() && value.text.bytes().all(|byte| byte == b'0') => {
            let message =
                format!("`{FLAG} {}` has no effect: the distribution takes its port from the range", value.text);
            let finding = Diagnostic::new(Code::BadSetting, value.span, message);
            findings.push(finding.help("take it away, or give it a port from 1 to 65535"));
        }
        ([_], [value]) => {
            let found = &mut Found { name: FLAG.to_owned(), findings };
            draft.fixed.0.extend(found.port_number(&value.text, value.span).map(|port| (RANK, port)));
        }
        ([_], values) => {
            let what = if values.is_empty() { "no value" } else { "several values" };
            let message = format!("`{FLAG}` has {what}, so Erlang ignores it: the range is in force");
            let finding = Diagnostic::new(Code::VmArgsSyntax, first.name.span, message);
            findings.push(finding.help("write one port behind it, or take the flag away"));
        }
        ([.., last], _) => {
            let message = format!("`{FLAG}` is set twice, so Erlang ignores both: the range is in force");
            let finding = Diagnostic::new(Code::VmArgsSyntax, last.name.span, message);
            findings.push(
                finding.also(first.name.span, "set here, too").help("leave one of them, with one port behind it"),
            );
        }
        ([], _) => {}
    }
}

/// Of several names the VM takes the first, and any `-sname` before every `-name` (seen on OTP 25).
fn read_name(flags: &[Flag], draft: &mut Draft, findings: &mut Findings) {
    let names = args::all(flags, "-sname").chain(args::all(flags, "-name"));
    let mut names = names.filter_map(|flag| {
        let value = flag.values.first()?;
        Some(setting(&flag.name.text, value, value.text.clone()))
    });
    let Some(name) = names.next() else { return };
    for other in names {
        findings.push(not_in_force(&other, Some(&name)).help("leave one name, so that nobody takes another for it"));
    }
    draft.name.add(RANK, name);
}

fn setting<T>(name: &str, place: &Word, value: T) -> Setting<T> {
    Setting { value, name: name.to_owned(), span: place.span }
}

/// Each value is an Erlang term.
fn read_pair(application: &str, pair: &args::Setting<'_>, draft: &mut Draft, findings: &mut Findings) {
    let (key, value) = (pair.key, pair.value);
    let mut own = Findings::default();
    let terms = erlang::parse(&format!("{}.", value.text), value.span.file, &mut own);
    let Some([term]) = terms.as_deref() else {
        let message = format!("`{}` of `-{application} {key}` is no Erlang term", value.text.escape_debug());
        let help = "write a number, an atom, or a term in quotes: `6000`, or `\"{10,20,0,11}\"` for an address";
        findings.push(Diagnostic::new(Code::VmArgsSyntax, value.span, message).help(help));
        return;
    };
    // Its own places are those of the text that was made for it.
    environment::read_one(application, key, &moved(term, value.span), Source::VmArgs, draft, findings);
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

pub(super) fn environment_variable(name: &str, value: &Word, draft: &mut Draft, found: &mut Found<'_>) {
    match name {
        "ERL_EPMD_PORT" => {
            draft.epmd_port.0.extend(found.port_number(&value.text, value.span).map(|port| (RANK, port)));
        }
        "ERL_EPMD_ADDRESS" => {
            // epmd(1): separated by commas.
            let list: Vec<_> = value.text.split(',').map(|one| found.bind(one.trim(), value.span)).collect();
            let list: Option<Vec<Bind>> = list.into_iter().map(|one| Some(one?.value)).collect();
            draft.epmd_addresses.0.extend(list.map(|list| (RANK, setting(&found.name, value, list))));
        }
        _ => max_ports(&found.name, value, draft),
    }
}

fn max_ports(name: &str, value: &Word, draft: &mut Draft) {
    if let Ok(number) = value.text.parse() {
        draft.max_ports.add(RANK, setting(name, value, number));
    }
}
