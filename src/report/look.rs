//! How it is known what the sets in the kernel hold.

use serde::Serialize;

use crate::host::{Changed, Look};

/// How it is known what the sets in the kernel hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Members {
    /// Whether all of them were read just now.
    pub how: How,
    /// When all of them were read last, in UTC.
    pub read_at: String,
}

/// How members are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// All of them were read just now.
    Read,
    /// They are those that were read at that time, and what this program made of them since: the kernel's number of the last change says
    /// that nobody else changed anything. What a change did was read back.
    Derived,
}

impl Members {
    /// As a look found them.
    #[must_use]
    pub fn of(look: &Look) -> Self {
        let how = if look.is_derived() { How::Derived } else { How::Read };
        Self { how, read_at: look.full().at.clone() }
    }

    /// A line where they were not read just now, behind a change that came to this.
    #[must_use]
    pub fn text(&self, changed: Changed) -> String {
        match (self.how, changed) {
            (How::Read, _) => String::new(),
            (How::Derived, Changed::Nothing) => {
                format!(
                    "members as read at {}: the kernel says that nobody else changed anything since\n",
                    self.read_at
                )
            }
            (How::Derived, Changed::Members | Changed::Rules) => format!(
                "members as read at {}: the kernel says that nobody else changed anything since; what changed now was read back\n",
                self.read_at
            ),
        }
    }
}
