//! That nothing was found.

use serde::Serialize;

use super::Reviewed;
use crate::diagnostic::Plain;

/// What was looked at where a look at this host's node found nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Clean {
    /// The node that this host is; where there is none, the rules that fit every node were looked at.
    pub node: Option<String>,
    /// Files of the node's settings.
    pub files: usize,
    /// Sockets that listen, if these were looked at.
    pub sockets: Option<usize>,
    /// Members, if an output that shows them was given.
    pub members: Option<usize>,
    /// Whether the node's Erlang runs here, as far as anybody looked.
    pub runs: bool,
}

/// What a look at this host's node found: the findings about what was read are those of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Linted {
    /// Whether nothing was found that is not as it should be, and all could be read.
    pub clean: bool,
    /// What was looked at.
    #[serde(flatten)]
    pub looked_at: Clean,
    /// The cluster file, with its digest.
    pub clusters: Vec<Reviewed>,
    /// What was found, errors included: what differs is no error of the run.
    pub found: Vec<Plain>,
}

impl Clean {
    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        let who = self.node.as_deref().unwrap_or("every node");
        let files = self.files;
        let sockets = self.sockets.map_or("no sockets".to_owned(), |count| format!("{count} listening sockets"));
        let members = self.members.map_or("no output with the members".to_owned(), |count| format!("{count} members"));
        let runs = if self.runs { "" } else { "; its Erlang does not run here" };
        format!(
            "nothing found for {who}: looked at {files} files of settings, {sockets}, {members}{runs}\n\
             whether the rules are in force: `ringfence status`\n"
        )
    }
}
