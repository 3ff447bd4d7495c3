//! `allow` in `[guard]`.

use super::super::guard::Allowance;
use super::super::toml_reader::{Reader, Text, Value, closest, printable};
use crate::diagnostic::{Code, Diagnostic, Span};

/// What only somebody who is there may decide, each time anew.
const NEVER: [Code; 7] = [
    Code::CutSsh,
    Code::NoNode,
    Code::OtherCluster,
    Code::VrfInterface,
    Code::NotThrough,
    Code::CutPeer,
    Code::Unblocks,
];

pub(super) fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Vec<(Allowance, Span)> {
    let mut all: Vec<(Allowance, Span)> = Vec::new();
    for text in reader.texts(value, "`allow`").unwrap_or_default() {
        let Some(allowance) = Allowance::of_word(text.text) else {
            reader.push(not_to_be_allowed(text));
            continue;
        };
        match all.iter().find(|(own, _)| *own == allowance) {
            Some((_, first)) => {
                let finding =
                    Diagnostic::new(Code::DuplicateName, text.span, format!("`{}` is allowed twice", text.text));
                let finding = finding.also(*first, "here for the first time").help("take one of them out");
                reader.push(finding);
            }
            None => all.push((allowance, text.span)),
        }
    }
    all
}

fn not_to_be_allowed(text: Text<'_>) -> Diagnostic {
    let shown = printable(text.text);
    let words: Vec<&str> = Allowance::WORDS.iter().map(|(word, _)| *word).collect();
    let Some(code) = NEVER.into_iter().find(|code| code.as_str() == text.text) else {
        let message = format!("`allow` cannot have `{shown}`");
        let help = match closest(text.text, words.iter().copied()) {
            Some(near) => format!("did you mean `\"{near}\"`?"),
            None => format!("it takes {}", words.join(", ")),
        };
        return Diagnostic::new(Code::UnknownValue, text.span, message).help(help);
    };
    let message = format!("`{shown}` is never allowed by a cluster file: only somebody who is there can decide that");
    let how = match code {
        Code::CutPeer => "`ringfence apply` by hand only warns of it".to_owned(),
        _ => format!("`ringfence apply --allow {code}` does it, each time anew"),
    };
    Diagnostic::new(Code::NeverAllowed, text.span, message)
        .help(format!("take it out; {how}. A file may allow {}", words.join(", ")))
}
