//! Settings in rabbitmq-env.conf.
//!
//! Every variable may have the prefix of the program's own, and one with it prevails (seen on RabbitMQ 3.10). What the variables say is
//! weaker than rabbitmq.conf and advanced.config: `NODE_PORT` moves AMQP only where no listener is set, and the distribution, 20000 ports
//! above, unless a range is set there (seen on the same).

use super::draft::{Draft, Layout, Rank, Source};
use super::keys::{Written, moved, take};
use super::values::Found;
use super::{Setting, vm_args};
use crate::diagnostic::{Code, Diagnostic, Findings, Span};
use crate::import::files::Kind;
use crate::import::shell::Assignment;
use crate::import::vm_args as args;

const RANK: Rank = (Layout::Third, Source::Environment);

/// Flags of the VM, in the order in which RabbitMQ's script hands them on.
const FLAGS: [&str; 3] = ["SERVER_ERL_ARGS", "SERVER_ADDITIONAL_ERL_ARGS", "SERVER_START_ARGS"];
/// Files that RabbitMQ reads in place of those beside this one.
const FILES: [&str; 4] = ["CONFIG_FILE", "CONFIG_FILES", "ADVANCED_CONFIG_FILE", "CONF_ENV_FILE"];

pub(super) fn read(all: &[Assignment], draft: &mut Draft, findings: &mut Findings) {
    let profile = draft.profile;
    let prefix = format!("{}_", profile.name.to_uppercase());
    let plain = |one: &Assignment| one.name.strip_prefix(&prefix).unwrap_or(&one.name).to_owned();
    for (at, one) in all.iter().enumerate() {
        let name = plain(one);
        let services = moved(profile, Kind::RabbitmqEnv.word(), |own| own.key() == name);
        let own_name = profile.node_name.get(Kind::RabbitmqEnv.word()).is_some_and(|own| *own == name);
        let of_epmd = matches!(one.name.as_str(), "ERL_EPMD_PORT" | "ERL_EPMD_ADDRESS");
        let (flags, file) = (FLAGS.contains(&name.as_str()), FILES.contains(&name.as_str()));
        if services.is_empty() && !own_name && !of_epmd && !flags && !file {
            continue;
        }
        // The last of those with the prefix, else the last of those without.
        let has_prefix = |one: &Assignment| one.name.starts_with(&prefix);
        let same = || all.iter().enumerate().filter(|(_, other)| plain(other) == name);
        let strongest = same().max_by_key(|(at, other)| (has_prefix(other), *at));
        if let Some((_, new)) = strongest.filter(|(other, _)| *other != at) {
            let message = format!("`{}` is set here, and not in force", one.name);
            let finding = Diagnostic::new(Code::Overridden, one.value_span, message);
            findings.push(finding.also(new.value_span, format!("`{}` is what counts", new.name)));
            continue;
        }
        if one.unknown {
            let message = format!("`{}` is set to `{}`, which the shell computes", one.name, one.value.escape_debug());
            let help = "write the value itself, and read the result";
            findings.push(Diagnostic::new(Code::BadSetting, one.value_span, message).help(help));
            continue;
        }
        // As if it were not there.
        if one.value.is_empty() {
            continue;
        }
        let found = &mut Found { name: one.name.clone(), findings };
        if own_name {
            let setting = Setting { value: one.value.clone(), name: one.name.clone(), span: one.value_span };
            draft.name.add(RANK, setting);
        } else if flags {
            read_flags(one, draft, found.findings);
        } else if file {
            let message =
                format!("`{}` names other files than those beside this one, and these are not read", one.name);
            let help = "name the folder that they are in with `--from`, too, or put them where they usually are";
            found.findings.push(Diagnostic::new(Code::NotRead, one.value_span, message).help(help));
        } else if of_epmd {
            let word = args::Word { text: one.value.clone(), span: one.value_span };
            vm_args::environment_variable(&one.name, &word, draft, found);
        }
        for (index, service) in services.into_iter().enumerate() {
            let written = Written { text: &one.value, span: one.value_span };
            take(draft, Source::Environment, service, written, index == 0, found);
        }
    }
}

/// Flags as vm.args has them. Of a range among them RabbitMQ takes nothing, since it sets its own when it starts (seen on 3.10); releases
/// before 3.8 gave both to the VM. So such a range is one that another release may take.
fn read_flags(one: &Assignment, draft: &mut Draft, findings: &mut Findings) {
    let mut own = Findings::default();
    let mut flags = args::parse(&one.value, one.value_span.file, &mut own);
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
        let message = format!("`{}` has `{name}`, and what that opens is not guarded on its account", one.name);
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
