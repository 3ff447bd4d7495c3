//! What speaks against a change on this host.

use serde::Serialize;

use crate::cluster::Cluster;
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
    /// Where the cluster file allows it, if that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_by: Option<String>,
}

impl Objection {
    /// Of what the host knows. Whoever is there may allow it, and so may the cluster file.
    #[must_use]
    pub fn of(objection: &identity::Objection, cluster: &Cluster, allowed: impl Fn(&str) -> bool) -> Self {
        let code = objection.word();
        let allowed_by = cluster.allowing(code);
        Self { code, message: objection.message(), allowed: allowed_by.is_some() || allowed(code), allowed_by }
    }

    /// Of words that have a code.
    #[must_use]
    pub fn new(code: Code, message: String, allowed: bool) -> Self {
        Self { code: code.as_str(), message, allowed, allowed_by: None }
    }

    /// As a look ahead says it.
    #[must_use]
    pub fn ahead(&self) -> String {
        if self.allowed {
            format!("warning: {}", self.allowance())
        } else {
            format!("warning: apply will refuse: {}", self.message)
        }
    }

    /// As a change that is asked for with this `command` says it.
    #[must_use]
    pub fn refusal(&self, command: &str) -> String {
        let Self { code, message, allowed, .. } = self;
        if *allowed {
            format!("warning: {}", self.allowance())
        } else {
            format!("refused: {message}; `{command}--allow {code}` does it all the same")
        }
    }

    /// That it is allowed, and by whom.
    #[must_use]
    pub fn allowance(&self) -> String {
        match &self.allowed_by {
            Some(place) => format!("{} (allowed by {place})", self.message),
            None => format!("{} (allowed)", self.message),
        }
    }
}
