//! `{vm_args, [{'-name', "riak@10.0.0.11"}, {'-env ERL_EPMD_PORT', "5000"}]}` in advanced.config: flags of the VM.
//!
//! Cuttlefish lays them over those of riak.conf and writes all into the vm.args that it makes, a line for each: the key,
//! a blank, and a string as it is or any other term as Erlang prints it (`cuttlefish_vmargs.erl`, `stringify/1`,
//! <https://github.com/Kyorai/cuttlefish>). So they are read as lines of a vm.args, each in the place of its term.

use super::{Draft, vm_args};
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};
use crate::import::erlang::{Kind, Term};
use crate::import::vm_args as args;

/// What stands for an application in the file's list.
pub(super) const KEY: &str = "vm_args";

/// Reads the flags, where there are any.
pub(super) fn read(terms: &[Term], file: FileId, draft: &mut Draft, findings: &mut Findings) {
    let Some((_, flags)) = find(terms) else { return };
    let mut made = Made { text: String::new(), lines: Vec::new(), file };
    for flag in flags {
        match flag.as_pair().and_then(|(key, value)| Some(format!("{} {}\n", key_of(key)?, value_of(value)?))) {
            Some(line) => made.push(&line, flag.span),
            None => findings.push(not_a_flag(flag.span)),
        }
    }
    let mut own = Findings::default();
    let mut flags = args::parse(&made.text, file, &mut own);
    for word in flags.iter_mut().flat_map(|flag| std::iter::once(&mut flag.name).chain(&mut flag.values)) {
        word.span = made.place(word.span);
    }
    for mut finding in own.sorted() {
        finding.labels.iter_mut().for_each(|label| label.span = made.place(label.span));
        findings.push(finding);
    }
    vm_args::read(&flags, draft, findings);
}

/// Reports flags that have no effect here.
pub(super) fn ignore(terms: &[Term], findings: &mut Findings) {
    if let Some((span, _)) = find(terms) {
        let message = format!("`{KEY}` is not in force, because there is a vm.args");
        let finding = Diagnostic::new(Code::IgnoredFile, span, message);
        findings
            .push(finding.help("write its flags into vm.args, or remove the file that is not meant to be in force"));
    }
}

/// Mistakes in the list itself are reported where all applications are read.
fn find(terms: &[Term]) -> Option<(Span, &[Term])> {
    let applications = terms.first()?.as_list()?;
    applications.iter().find_map(|application| match application.as_pair()? {
        (key, flags) if key.as_atom() == Some(KEY) => Some((key.span, flags.as_list()?)),
        _ => None,
    })
}

fn key_of(key: &Term) -> Option<String> {
    match &key.kind {
        Kind::Atom(text) | Kind::String(text) => Some(text.clone()),
        Kind::Integer(_) | Kind::Float(_) | Kind::Binary(_) | Kind::Bitstring(..) => None,
        Kind::Tuple(_) | Kind::List(..) | Kind::Map(_) | Kind::Fun(..) => None,
    }
}

fn value_of(value: &Term) -> Option<String> {
    match &value.kind {
        // Quotes are no part of what the VM takes from them.
        Kind::Atom(name) if !name.contains(['\'', '\\']) => Some(format!("'{name}'")),
        Kind::Integer(text) | Kind::String(text) => Some(text.clone()),
        Kind::List(..) => value.as_text(),
        Kind::Atom(_) | Kind::Float(_) | Kind::Binary(_) | Kind::Bitstring(..) => None,
        Kind::Tuple(_) | Kind::Map(_) | Kind::Fun(..) => None,
    }
}

fn not_a_flag(span: Span) -> Diagnostic {
    let message = format!("this is no flag of `{KEY}`: it is not `{{Flag, Value}}` with a string, a number or an atom");
    Diagnostic::new(Code::ErlangSyntax, span, message)
        .help("write `{'-kernel inet_dist_listen_min', \"6000\"}`, or keep the flags in a vm.args")
}

/// Lines of a vm.args, and the terms that they come from.
struct Made {
    text: String,
    /// Where each ends, and its term.
    lines: Vec<(usize, Span)>,
    file: FileId,
}

impl Made {
    fn push(&mut self, line: &str, span: Span) {
        self.text.push_str(line);
        self.lines.push((self.text.len(), span));
    }

    fn place(&self, span: Span) -> Span {
        let index = self.lines.partition_point(|(end, _)| *end <= span.start as usize);
        self.lines.get(index).or(self.lines.last()).map_or(Span::new(self.file, 0..0), |(_, span)| *span)
    }
}
