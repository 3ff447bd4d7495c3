//! What `--json` prints: one document for each run, of a form that has a name, a version and a schema.
//!
//! INVARIANT (one head): every document begins with the same fields, and what a command has to say stands beside them. Where it
//! could not say it, `errors` has why, and the head is all there is. The schemas in `schemas/` are made from these types, see
//! `schemas`; a field that goes or means something else makes another version, one that comes does not.

use serde::Serialize;

use super::review::is_hidden;
use super::{
    Apply, Changes, Confirmation, Explanation, Imported, Linted, MembershipOrder, Planned, Proof, Rehearsed, Removal,
    Review, Rollback, Status, Whole,
};
use crate::diagnostic::Plain;
use crate::outcome::Outcome;

/// Which document it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `apply`.
    Apply,
    /// `confirm`.
    Confirm,
    /// `diff` on this host, and `apply --dry-run`.
    Diff,
    /// `diff` of two files.
    DiffFiles,
    /// `diff --membership`.
    DiffMembership,
    /// `explain`.
    Explain,
    /// `import`.
    Import,
    /// `lint`.
    Lint,
    /// `rehearse`.
    Rehearse,
    /// `remove`.
    Remove,
    /// `report`.
    Report,
    /// `rollback`.
    Rollback,
    /// `status`.
    Status,
    /// `verify`.
    Verify,
    /// `verify --live` and `verify --routes`.
    VerifyHost,
}

impl Form {
    /// All of them, by their names.
    pub const ALL: [Self; 15] = [
        Self::Apply,
        Self::Confirm,
        Self::Diff,
        Self::DiffFiles,
        Self::DiffMembership,
        Self::Explain,
        Self::Import,
        Self::Lint,
        Self::Rehearse,
        Self::Remove,
        Self::Report,
        Self::Rollback,
        Self::Status,
        Self::Verify,
        Self::VerifyHost,
    ];

    /// What its documents say of themselves: the program, the form and its version.
    #[must_use]
    pub fn schema(self) -> &'static str {
        match self {
            Self::Apply => "ringfence/apply/1",
            Self::Confirm => "ringfence/confirm/1",
            Self::Diff => "ringfence/diff/1",
            Self::DiffFiles => "ringfence/diff-files/1",
            Self::DiffMembership => "ringfence/diff-membership/1",
            Self::Explain => "ringfence/explain/1",
            Self::Import => "ringfence/import/1",
            Self::Lint => "ringfence/lint/1",
            Self::Rehearse => "ringfence/rehearse/1",
            Self::Remove => "ringfence/remove/1",
            Self::Report => "ringfence/report/1",
            Self::Rollback => "ringfence/rollback/1",
            Self::Status => "ringfence/status/1",
            Self::Verify => "ringfence/verify/1",
            Self::VerifyHost => "ringfence/verify-host/1",
        }
    }
}

/// What a command has to say, behind the head that all documents have. Where it could not be said, there is only the head.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Document<T> {
    /// Which form this is, and its version.
    pub schema: &'static str,
    /// The exit code.
    pub exit: u8,
    /// What the exit code means, in a word.
    #[cfg_attr(test, schemars(extend("enum" = Outcome::ALL.map(Outcome::word))))]
    pub outcome: &'static str,
    /// Why the command could not do or say what was asked.
    pub errors: Vec<Plain>,
    /// What else was found about what was read.
    pub findings: Vec<Plain>,
    /// What the command has to say.
    #[serde(flatten)]
    pub body: Option<T>,
}

/// What the commands have to say.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Body {
    /// Of `apply`.
    Apply(Box<Apply>),
    /// Of `confirm`.
    Confirm(Box<Confirmation>),
    /// Of `diff` on this host.
    Diff(Box<Planned>),
    /// Of `diff` of two files.
    DiffFiles(Box<Changes>),
    /// Of `diff --membership`.
    DiffMembership(Box<MembershipOrder>),
    /// Of `explain`.
    Explain(Box<Explanation>),
    /// Of `import`.
    Import(Box<Imported>),
    /// Of `lint`.
    Lint(Box<Linted>),
    /// Of `rehearse`.
    Rehearse(Box<Rehearsed>),
    /// Of `remove`.
    Remove(Box<Removal>),
    /// Of `report`.
    Report(Box<Review>),
    /// Of `rollback`.
    Rollback(Box<Rollback>),
    /// Of `status`.
    Status(Box<Status>),
    /// Of `verify`.
    Verify(Box<Proof>),
    /// Of `verify --live` and `verify --routes`.
    VerifyHost(Box<Whole>),
}

impl Document<Body> {
    /// The document of a run that ends like this.
    #[must_use]
    pub fn new(form: Form, outcome: Outcome, told: Vec<Plain>, body: Option<Body>) -> Self {
        let (errors, findings) = told.into_iter().partition(Plain::is_error);
        Self { schema: form.schema(), exit: outcome.code(), outcome: outcome.word(), errors, findings, body }
    }

    /// As it is printed.
    ///
    /// # Errors
    /// Where it holds what JSON cannot say, as no document does.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        Ok(seen(serde_json::to_string_pretty(self)? + "\n"))
    }
}

/// The same JSON, in which nothing turns the direction of writing around or cannot be seen: such characters stand only in its strings,
/// where their numbers mean the same (RFC 8259, 7).
fn seen(json: String) -> String {
    let hides = |c: char| c != '\n' && is_hidden(c);
    if !json.contains(hides) {
        return json;
    }
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if hides(c) {
            let units = c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            shown.push_str(&units);
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::seen;

    #[test]
    fn json_hides_nothing_and_means_the_same() {
        let text = "a\u{202e}\u{9b}\u{e0041}\u{7f}é";
        let json = seen(serde_json::to_string(text).unwrap());
        assert_eq!(json, "\"a\\u202e\\u009b\\udb40\\udc41\\u007fé\"");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
