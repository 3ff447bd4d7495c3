//! Groups of an inventory, and the hosts in them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::json::{Json, Key, Kind};
use super::refuse;
use crate::cluster::closest;
use crate::diagnostic::{Code, Diagnostic, Findings, Span};

/// The variables of each host, as far as it has any.
pub(super) type Variables<'a> = HashMap<Cow<'a, str>, HashMap<Cow<'a, str>, Json<'a>>>;

/// What concerns us among the variables of a group, which are merged into those of the hosts where nothing was exported.
fn concerns(variable: &str) -> bool {
    variable == "ansible_host" || variable.starts_with("ringfence_")
}

#[derive(Default)]
struct Group<'a> {
    hosts: Vec<(Cow<'a, str>, Span)>,
    children: Vec<Cow<'a, str>>,
}

/// An inventory, taken apart.
pub(super) struct Groups<'a> {
    whole: Span,
    groups: HashMap<Cow<'a, str>, Group<'a>>,
    pub variables: Variables<'a>,
}

impl<'a> Groups<'a> {
    pub(super) fn read(whole: Span, entries: Vec<(Key<'a>, Json<'a>)>, findings: &mut Findings) -> Option<Self> {
        let mut variables = None;
        let mut groups = HashMap::new();
        for (name, value) in each_once(entries, findings) {
            let Kind::Object(entries) = value.kind() else {
                refuse(value.span(), format!("`{}` is no object", name.text.escape_debug()), findings);
                continue;
            };
            if name.text == "_meta" {
                variables = Some(read_variables(entries, findings));
            } else {
                let group = read_group(&name, entries, findings);
                groups.insert(name.text, group);
            }
        }
        let start = Span { end: whole.start.saturating_add(1), ..whole };
        let Some(variables) = variables else {
            refuse(start, "this has no `_meta` with the variables of the hosts", findings);
            return None;
        };
        Some(Self { whole: start, groups, variables })
    }

    /// The hosts of a group and of those below it, each once, with the place that names it first.
    pub(super) fn hosts(&self, name: &str, required: bool, findings: &mut Findings) -> Vec<(Cow<'a, str>, Span)> {
        if !self.groups.contains_key(name) {
            if required {
                self.unknown(name, findings);
            }
            return Vec::new();
        }
        let mut hosts: Vec<(Cow<'a, str>, Span)> = Vec::new();
        let mut seen = HashSet::new();
        let mut known: HashSet<&str> = HashSet::from([name]);
        let mut waiting = vec![name];
        while let Some(group) = waiting.pop() {
            // A group without hosts and groups is not printed.
            let Some(group) = self.groups.get(group) else { continue };
            hosts.extend(group.hosts.iter().filter(|(host, _)| seen.insert(host.clone())).cloned());
            for child in group.children.iter().rev() {
                if known.insert(child) {
                    waiting.push(child);
                }
            }
        }
        if hosts.is_empty() && required {
            let message = format!("the group `{}` has no hosts", name.escape_debug());
            findings.push(Diagnostic::new(Code::UnknownGroup, self.whole, message).help(super::HELP));
        }
        hosts
    }

    fn unknown(&self, name: &str, findings: &mut Findings) {
        const NAMED: usize = 12;
        let message = format!("the inventory has no group `{}`", name.escape_debug());
        let mut names: Vec<&str> = self.groups.keys().map(AsRef::as_ref).collect();
        names.sort_unstable();
        let help = match closest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{}`?", near.escape_debug()),
            None => {
                let more = if names.len() > NAMED { " and more" } else { "" };
                let named: Vec<String> = names.iter().take(NAMED).map(|name| name.escape_debug().to_string()).collect();
                format!("`--node-group` and `--client-group` say which to read; there are: {}{more}", named.join(", "))
            }
        };
        findings.push(Diagnostic::new(Code::UnknownGroup, self.whole, message).help(help));
    }
}

/// Of keys that are there twice it is not known which counts.
pub(super) fn each_once<'a>(
    entries: Vec<(Key<'a>, Json<'a>)>,
    findings: &mut Findings,
) -> impl Iterator<Item = (Key<'a>, Json<'a>)> + use<'a> {
    let mut places: HashMap<Cow<'a, str>, Span> = HashMap::new();
    for (key, _) in &entries {
        if let Some(first) = places.insert(key.text.clone(), key.span) {
            let message = format!("`{}` is there twice", key.text.escape_debug());
            let finding = Diagnostic::new(Code::InventorySyntax, key.span, message);
            findings.push(finding.also(first, "here first").help(super::HELP));
        }
    }
    entries.into_iter()
}

fn read_variables<'a>(entries: Vec<(Key<'a>, Json<'a>)>, findings: &mut Findings) -> Variables<'a> {
    let mut variables = HashMap::new();
    for (key, value) in each_once(entries, findings).filter(|(key, _)| key.text == "hostvars") {
        let Kind::Object(hosts) = value.kind() else {
            refuse(value.span(), format!("`{}` is no object", key.text), findings);
            continue;
        };
        for (host, value) in each_once(hosts, findings) {
            let Kind::Object(own) = value.kind() else {
                refuse(
                    value.span(),
                    format!("the variables of `{}` are no object", host.text.escape_debug()),
                    findings,
                );
                continue;
            };
            let own = each_once(own, findings).map(|(key, value)| (key.text, value)).collect();
            variables.insert(host.text, own);
        }
    }
    variables
}

fn read_group<'a>(name: &Key<'a>, entries: Vec<(Key<'a>, Json<'a>)>, findings: &mut Findings) -> Group<'a> {
    let mut group = Group::default();
    let shown = name.text.escape_debug();
    for (key, value) in each_once(entries, findings) {
        match &*key.text {
            "hosts" => group.hosts = texts(&key, value, &shown.to_string(), findings),
            "children" => {
                let children = texts(&key, value, &shown.to_string(), findings);
                group.children = children.into_iter().map(|(child, _)| child).collect();
            }
            "vars" => {
                let Kind::Object(own) = value.kind() else { continue };
                // Which of several groups' counts for a host only Ansible knows.
                if let Some((variable, _)) = own.iter().find(|(variable, _)| concerns(&variable.text)) {
                    let message = format!("the group `{shown}` has `{}` of its own", variable.text.escape_debug());
                    refuse(variable.span, message, findings);
                }
            }
            _ => refuse(key.span, format!("a group has no key `{}`", key.text.escape_debug()), findings),
        }
    }
    group
}

fn texts<'a>(key: &Key<'a>, value: Json<'a>, group: &str, findings: &mut Findings) -> Vec<(Cow<'a, str>, Span)> {
    let list = if let Kind::List(list) = value.kind() { Some(list) } else { None };
    let texts = list.and_then(|list| {
        let text = |item: &Json<'a>| if let Kind::Text(text) = item.kind() { Some((text, item.span())) } else { None };
        list.iter().map(text).collect()
    });
    texts.unwrap_or_else(|| {
        refuse(value.span(), format!("`{}` of the group `{group}` is no list of names", key.text), findings);
        Vec::new()
    })
}
