//! The one document that `--json` prints.
//!
//! A run has one document as it has one standard output. Whatever is found or goes wrong on the way is gathered here, and printed
//! once, when it is known how the command ends.
//!
//! INVARIANT (alone): with a document nothing else goes to standard output, see `output::print`.

use std::cell::RefCell;

use crate::diagnostic::{Diagnostic, Plain, Severity, Sources};
use crate::outcome::Outcome;
use crate::report::{Body, Document, Form};

/// What was gathered so far.
struct Gathered {
    form: Form,
    told: Vec<Plain>,
    body: Option<Body>,
}

thread_local! {
    static GATHERED: RefCell<Option<Gathered>> = const { RefCell::new(None) };
}

/// From here on, this is what the run prints.
pub fn begin(form: Form) {
    GATHERED.set(Some(Gathered { form, told: Vec::new(), body: None }));
}

/// Whether the run prints a document.
pub fn is_wanted() -> bool {
    GATHERED.with_borrow(Option::is_some)
}

/// What the command has to say.
pub fn set(body: Body) {
    with(|gathered| gathered.body = Some(body));
}

/// Findings about what was read.
pub fn add(findings: &[Diagnostic], sources: &Sources) {
    with(|gathered| gathered.told.extend(findings.iter().map(|finding| Plain::of(finding, sources))));
}

/// An error that is no finding.
pub fn add_error(code: &'static str, message: String) {
    add_said(Severity::Error, Some(code), message);
}

/// Something else that is said about the host.
pub fn add_said(severity: Severity, code: Option<&'static str>, message: String) {
    with(|gathered| gathered.told.push(Plain::new(severity, code, message)));
}

/// The document of a run that ends like this, if it prints one.
pub fn end(outcome: Outcome) -> Option<Document<Body>> {
    let Gathered { form, mut told, body } = GATHERED.take()?;
    if form == Form::Report {
        // The same input makes the same bytes, wherever it is.
        told.iter_mut().for_each(Plain::forget_folder);
    }
    Some(Document::new(form, outcome, told, body))
}

fn with(change: impl FnOnce(&mut Gathered)) {
    GATHERED.with_borrow_mut(|gathered| gathered.as_mut().map(change));
}
