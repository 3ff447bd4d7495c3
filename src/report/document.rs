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

macro_rules! forms {
    ($($(#[$doc:meta])+ $variant:ident = $text:literal;)+) => {
        /// Which document it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Form { $($(#[$doc])+ $variant,)+ }

        impl Form {
            /// All of them, by their names.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant,)+];

            /// What its documents say of themselves: the program, the form and its version.
            #[must_use]
            pub fn schema(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

forms! {
    /// `apply`.
    Apply = "ringfence/apply/1";
    /// `confirm`.
    Confirm = "ringfence/confirm/1";
    /// `diff` on this host, and `apply --dry-run`.
    Diff = "ringfence/diff/1";
    /// `diff` of two files.
    DiffFiles = "ringfence/diff-files/1";
    /// `diff --membership`.
    DiffMembership = "ringfence/diff-membership/1";
    /// `explain`.
    Explain = "ringfence/explain/1";
    /// `import`.
    Import = "ringfence/import/1";
    /// `lint`.
    Lint = "ringfence/lint/1";
    /// `rehearse`.
    Rehearse = "ringfence/rehearse/1";
    /// `remove`.
    Remove = "ringfence/remove/1";
    /// `report`.
    Report = "ringfence/report/1";
    /// `rollback`.
    Rollback = "ringfence/rollback/1";
    /// `status`.
    Status = "ringfence/status/1";
    /// `verify`.
    Verify = "ringfence/verify/1";
    /// `verify --live` and `verify --routes`.
    VerifyHost = "ringfence/verify-host/1";
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
