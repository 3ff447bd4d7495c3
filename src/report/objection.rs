//! What speaks against a change on this host.

use serde::Serialize;

use crate::diagnostic::Code;
use crate::host::identity;

/// Something that would hurt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Objection {
    /// Its code, which `--allow` takes.
    pub code: &'static str,
    /// What would happen.
    pub message: String,
    /// Whether `apply` goes on all the same: it was asked to, or only warns while somebody is there to read it.
    pub allowed: bool,
}

impl Objection {
    /// Of what the host knows.
    #[must_use]
    pub fn of(objection: &identity::Objection, allowed: impl Fn(&str) -> bool) -> Self {
        let code = objection.word();
        Self { code, message: objection.message(), allowed: allowed(code) }
    }

    /// Of words that have a code.
    #[must_use]
    pub fn new(code: Code, message: String, allowed: bool) -> Self {
        Self { code: code.as_str(), message, allowed }
    }

    /// As a look ahead says it.
    #[must_use]
    pub fn ahead(&self) -> String {
        if self.allowed {
            format!("warning: {} (allowed)", self.message)
        } else {
            format!("warning: apply will refuse: {}", self.message)
        }
    }

    /// As a change that is asked for with this `command` says it.
    #[must_use]
    pub fn refusal(&self, command: &str) -> String {
        let Self { code, message, allowed } = self;
        if *allowed {
            format!("warning: {message} (allowed)")
        } else {
            format!("refused: {message}; `{command}--allow {code}` does it all the same")
        }
    }
}
