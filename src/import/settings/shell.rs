//! Settings in rabbitmq-env.conf.
//!
//! Every variable may have the prefix of the program's own, and one with it prevails (seen on RabbitMQ 3.10). What the variables say is
//! weaker than rabbitmq.conf and advanced.config: `NODE_PORT` moves AMQP only where no listener is set, and the distribution, 20000 ports
//! above, unless a range is set there (seen on the same).

use std::collections::BTreeMap;

use super::draft::{Draft, Layout, Rank, Source};
use super::keys::{Written, moved, take};
use super::values::Found;
use super::{Setting, vm_args};
use crate::cluster::{Key, Profile, Service};
use crate::diagnostic::{Code, Diagnostic, Findings, Span};
use crate::import::files::Kind;
use crate::import::shell::{Assignment, Certainty, Script, Unread};
use crate::import::vm_args as args;

const RANK: Rank = (Layout::Third, Source::Environment);

/// Flags of the VM, in the order in which RabbitMQ's script hands them on.
const FLAGS: [&str; 3] = ["SERVER_ERL_ARGS", "SERVER_ADDITIONAL_ERL_ARGS", "SERVER_START_ARGS"];
/// Files that RabbitMQ reads in place of those beside this one.
const FILES: [&str; 4] = ["CONFIG_FILE", "CONFIG_FILES", "ADVANCED_CONFIG_FILE", "CONF_ENV_FILE"];

pub(super) fn read(script: &Script, draft: &mut Draft, findings: &mut Findings) {
    let all = script.assignments.as_slice();
    let strongest = strongest(all, draft.profile);
    let mut refused: Vec<Span> = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let name = plain(one, draft.profile);
        let use_of = Use::of(one, name, draft.profile);
        // Whatever it is the value of, it takes in all that follows.
        if !use_of.is_read() && one.certainty != Certainty::Open {
            continue;
        }
        let new = strongest.get(name).filter(|new| **new != at).and_then(|new| all.get(*new));
        if let Some(new) = new.filter(|_| one.certainty != Certainty::Open) {
            // What may not be set may leave this one in force.
            if new.certainty != Certainty::Conditional {
                let message = format!("`{}` is set here, and not in force", one.name);
                let finding = Diagnostic::new(Code::Overridden, one.value_span, message);
                findings.push(finding.also(new.value_span, format!("`{}` is what counts", new.name)));
            }
            continue;
        }
        if let Some(finding) = uncertain(one) {
            refused.push(one.name_span);
            findings.push(finding);
            continue;
        }
        // As if it were not there.
        if !one.value.is_empty() {
            take_one(one, use_of, draft, findings);
        }
    }
    // One mistake is named once.
    let named =
        |unread: &&Unread| refused.iter().any(|one| unread.span.start <= one.start && one.end <= unread.span.end);
    script.unread.iter().filter(|unread| !named(unread)).for_each(|unread| findings.push(not_read(unread)));
}

/// The name without the program's prefix.
fn plain<'a>(one: &'a Assignment, profile: &Profile) -> &'a str {
    let behind = one.name.split_once('_').filter(|(prefix, _)| prefix.eq_ignore_ascii_case(&profile.name));
    match behind {
        Some((prefix, name)) if prefix.bytes().all(|byte| byte.is_ascii_uppercase()) => name,
        _ => &one.name,
    }
}

/// Of each name the last with the prefix, else the last without.
fn strongest<'a>(all: &'a [Assignment], profile: &Profile) -> BTreeMap<&'a str, usize> {
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, one) in all.iter().enumerate() {
        let name = plain(one, profile);
        let has_prefix = |one: &Assignment| one.name != name;
        let old = found.get(name).and_then(|old| all.get(*old));
        if old.is_none_or(|old| has_prefix(one) || !has_prefix(old)) {
            found.insert(name, at);
        }
    }
    found
}

/// What a variable is read for.
struct Use {
    services: Vec<(&'static Service, &'static Key)>,
    own_name: bool,
    of_epmd: bool,
    flags: bool,
    of_vm: bool,
    file: bool,
}

impl Use {
    fn of(one: &Assignment, name: &str, profile: &'static Profile) -> Self {
        Self {
            services: moved(profile, Kind::RabbitmqEnv.word(), |own| own.key() == name),
            own_name: profile.node_name.get(Kind::RabbitmqEnv.word()).is_some_and(|own| own == name),
            of_epmd: matches!(one.name.as_str(), "ERL_EPMD_PORT" | "ERL_EPMD_ADDRESS"),
            flags: FLAGS.contains(&name),
            // Erlang's own (erl(1)), which it takes before and behind those of the program.
            of_vm: matches!(one.name.as_str(), "ERL_AFLAGS" | "ERL_FLAGS" | "ERL_ZFLAGS"),
            file: FILES.contains(&name),
        }
    }

    fn is_read(&self) -> bool {
        !self.services.is_empty() || self.own_name || self.of_epmd || self.flags || self.of_vm || self.file
    }
}

/// Takes a value that is known and in force.
fn take_one(one: &Assignment, use_of: Use, draft: &mut Draft, findings: &mut Findings) {
    let found = &mut Found { name: one.name.clone(), findings };
    if use_of.own_name {
        let setting = Setting { value: one.value.clone(), name: one.name.clone(), span: one.value_span };
        draft.name.add(RANK, setting);
    } else if use_of.of_vm {
        let message = format!("the flags in `{}` are not read, nor a port or a range among them", one.name);
        let help = "set what they set in rabbitmq.conf or advanced.config, and take them away";
        found.findings.push(Diagnostic::new(Code::NotRead, one.value_span, message).help(help));
    } else if use_of.flags {
        read_flags(one, draft, found.findings);
    } else if use_of.file {
        let message =
            format!("`{}` is `{}`, and only files beside this one are read", one.name, one.value.escape_debug());
        let help = "if it is not among these, name its folder with `--from`, too";
        found.findings.push(Diagnostic::new(Code::NotRead, one.value_span, message).help(help));
    } else if use_of.of_epmd {
        let word = args::Word { text: one.value.clone(), span: one.value_span };
        vm_args::environment_variable(&one.name, &word, draft, found);
    }
    let written = Written { text: &one.value, span: one.value_span };
    take(draft, Source::Environment, use_of.services, written, found);
}

/// What keeps a value from being known, where something does.
fn uncertain(one: &Assignment) -> Option<Diagnostic> {
    let (name, value) = (one.name.as_str(), one.value.lines().next().unwrap_or_default().escape_debug());
    let (message, help) = match one.certainty {
        Certainty::Known => return None,
        Certainty::Computed => (
            format!("`{name}` is set to `{value}`, which only the shell can work out"),
            "write the value itself, and run this once more".to_owned(),
        ),
        Certainty::Open => (
            format!(
                "the value of `{name}` does not end: a quote or a bracket in it is never closed, so nothing behind it is read"
            ),
            "close it, and run this once more".to_owned(),
        ),
        Certainty::Conditional => (
            format!(
                "`{name}` is set as part of another command (`if`, `&&`, a function, …), so it is not known whether it is set"
            ),
            format!("write `{name}=VALUE` on a line of its own, or take it away, and run this once more"),
        ),
    };
    Some(Diagnostic::new(Code::BadSetting, one.value_span, message).help(help))
}

fn not_read(unread: &Unread) -> Diagnostic {
    let message = match unread.lines {
        1 => "this line is no plain assignment, so it is not read; it may set a port or the node's name".to_owned(),
        lines => format!(
            "these {lines} lines are no plain assignments, so they are not read; they may set a port or the node's name"
        ),
    };
    let help = "if so, write `NAME=VALUE` in their place, and run this once more";
    let help = if unread.lines == 1 { help.replace("their", "its") } else { help.to_owned() };
    Diagnostic::new(Code::NotRead, unread.span, message).help(help)
}

/// Flags as vm.args has them. Of a range among them RabbitMQ takes nothing, since it sets its own when it starts (seen on 3.10); releases
/// before 3.8 gave both to the VM. So such a range is one that another release may take.
fn read_flags(one: &Assignment, draft: &mut Draft, findings: &mut Findings) {
    let mut own = Findings::default();
    // The shell takes the end of a line for a blank.
    let mut flags = args::parse(&one.value.replace('\n', " "), one.value_span.file, &mut own);
    for word in flags.iter_mut().flat_map(|flag| std::iter::once(&mut flag.name).chain(&mut flag.values)) {
        word.span = one.value_span;
    }
    let mut inside = Draft::of(draft.profile);
    vm_args::read(&flags, &mut inside, &mut own);
    for mut finding in own.sorted() {
        finding.labels.iter_mut().for_each(|label| label.span = Span { ..one.value_span });
        findings.push(finding);
    }
    // Whether they count, rabbitmq.conf and the release say.
    let mut moved: Vec<&str> = Vec::new();
    let listeners = inside.listeners.values().flat_map(|slot| &slot.0).map(|(_, one)| one.name.as_str());
    let halves = inside.halves.values().flat_map(|(ips, ports)| {
        let ips = ips.0.iter().map(|(_, one)| one.name.as_str());
        ips.chain(ports.0.iter().map(|(_, one)| one.name.as_str()))
    });
    let ranges = inside.ends.values().flat_map(|(first, last)| first.0.iter().chain(&last.0));
    moved.extend(listeners.chain(halves).chain(ranges.map(|(_, one)| one.name.as_str())));
    moved.sort_unstable();
    moved.dedup();
    for name in moved {
        let message =
            format!("`{}` has the flag `{name}`, which is not read: what it opens may not be guarded", one.name);
        let help = "set it in rabbitmq.conf, and take the flag away";
        findings.push(Diagnostic::new(Code::NotRead, one.value_span, message).help(help));
    }
    let ends = [inside.minimum.last(findings), inside.maximum.last(findings)];
    let ends = ends.map(|end| end.map(|port| Setting { name: format!("{}: {}", one.name, port.name), ..port }));
    if ends.iter().any(Option::is_some) {
        draft.unheeded.push(ends);
    }
    draft.interface.0.extend(inside.interface.0);
    draft.fixed.0.extend(inside.fixed.0);
    draft.node_port.0.extend(inside.node_port.0);
    draft.epmd_port.0.extend(inside.epmd_port.0);
    draft.epmd_addresses.0.extend(inside.epmd_addresses.0);
    draft.not_started.0.extend(inside.not_started.0);
    draft.max_ports.0.extend(inside.max_ports.0);
}
