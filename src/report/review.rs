//! The review document: from which somebody judges the rules without running anything.
//!
//! It says what is guarded and how that is known: the cluster, the digests of what was read and made, what came of each claim, the
//! *matrix* of who gets to which service, what the rules rest on, and what is not guarded. The matrix comes from
//! [`verify::matrix`](crate::verify::matrix()), so from the rules: beside what they do stands what the cluster file wants.
//!
//! - Nothing is judged here. What decides in a cell is looked up by leading one packet through the rules, as `explain` does: the one
//!   that shows why a cell is not proved, otherwise the first source's request for a connection. It is an example of a rule that
//!   decides; other sources of the same cell may meet others that say the same.
//! - The same input makes the same bytes: no time and no name of a machine, unless it is about what a kernel holds.
//!
//! INVARIANT (harmless): every string that comes from a file or a kernel goes through [`words::plain`], so that none of them
//! controls a terminal or turns the direction of writing around, in whatever form it is shown. Each form escapes its own markup.
//!
//! What was seen elsewhere ([`Rehearsal`], [`Linting`]) is taken from documents of this program, if they are about the same. What each rule is for
//! ([`Reasoned`]) is what [`diff`](crate::diff) finds without it.

mod beside;
mod decides;
mod earlier;
mod grid;
mod html;
mod made;
mod markdown;
mod picture;
mod read;
mod rows;
mod ruled;
mod sarif;
mod since;
mod text;
mod words;

use serde::Serialize;

use super::claims::{Claimed, Finding};
use super::whole::Answered;
use crate::diagnostic::Plain;

pub use beside::{Linting, Observed, Rehearsal};
pub use earlier::Earlier;
pub use made::{Basis, Further};
pub use read::NotRead;
pub use ruled::Reasoned;
pub use since::{Compared, Move, Since};
pub(super) use words::is_hidden;

/// What there is to review.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Review {
    /// The version of ringfence.
    pub version: &'static str,
    /// What came of all claims together, of the answers about a whole host, and of what headers say.
    pub verdict: Finding,
    /// Which rules were judged: those that the cluster file makes (`compiled`), those of `files`, or what the `kernel` holds.
    #[cfg_attr(test, schemars(extend("enum" = ["compiled", "files", "kernel"])))]
    pub rules: &'static str,
    /// The clusters that are guarded.
    pub clusters: Vec<Reviewed>,
    /// The texts of the rules, those that were judged or, of compiled ones, all that were made; of a kernel, one that stands for all rules
    /// as this version read them.
    pub texts: Vec<Digested>,
    /// The host whose rules these are, where a kernel was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Asked>,
    /// Whether nobody is blocked on purpose (`on-block = "log-only"`).
    pub staged: bool,
    /// The families that were judged.
    pub families: &'static [&'static str],
    /// What rehearsals have shown, where their documents were given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rehearsals: Vec<Rehearsal>,
    /// What `lint` found, where its documents were given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub linted: Vec<Linting>,
    /// What changed since rules of before, where these were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
    /// Each claim, and what came of it.
    pub claims: Vec<Claimed>,
    /// Who reaches what on the whole host, where a kernel was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answered>,
    /// The services that are guarded: the columns of the matrix.
    pub services: Vec<Guarded>,
    /// The rows of the matrix. A source that the file does not name is in exactly one of each family.
    pub rows: Vec<Row>,
    /// The rules that decide in the cells, which name them by their places here, from 1.
    pub deciding: Vec<Deciding>,
    /// Every rule with its reason, and what would change if it were not there; `null` where there are too many rules or addresses to ask that.
    pub reasoned: Option<Vec<Reasoned>>,
    /// How each interface of the host, where a kernel was asked, checks sources of IPv4 by the routes (`rp_filter`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_checks: Vec<SourceCheck>,
    /// The part of the rules because of which nothing is proved, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Clients of which the cluster file says why they are admitted, or until when: those past it first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// The day that last days are held against; nothing where none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub today: Option<String>,
    /// Services that are not guarded.
    pub unguarded: Vec<Unguarded>,
    /// Ports that have to be kept from this host's own connections (`net.ipv4.ip_local_reserved_ports`).
    pub reserved_ports: Vec<String>,
    /// What the cluster file allows that is refused otherwise.
    pub allowances: Vec<Allowed>,
    /// What the rules rest on, and what they do not cover.
    pub assumptions: Vec<String>,
    /// Parts of the rules that are not understood, taken for anything that they might do.
    pub not_understood: Vec<String>,
    /// Whose word is taken for what the kernel holds.
    pub taken_from: Vec<String>,
    /// What headers of the rules say of who is admitted, and what is not so: the rules are judged for themselves, but who believes the
    /// header is deceived.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lies: Vec<String>,
    /// What was found about the cluster file. The head of a document of JSON has it.
    #[serde(skip)]
    pub notes: Vec<Plain>,
}

/// A cluster that is guarded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reviewed {
    /// Its name.
    pub name: String,
    /// The node; `null` where the rules fit every node.
    pub node: Option<String>,
    /// The cluster file.
    pub file: String,
    /// SHA-256 of the cluster file with its profile and all that it includes.
    pub input: String,
    /// The profile and its version.
    pub profile: String,
}

/// A text and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Digested {
    /// The file.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// The text itself, so that later rules can be compared with these: of those that a cluster file makes the one for nft, of files each
    /// that includes no other and has nothing in it that could deceive who reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A host that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// When.
    pub at: String,
    /// By which user.
    pub uid: u32,
}

/// How an interface checks sources of IPv4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SourceCheck {
    /// Its name.
    pub interface: String,
    /// `off`, `strict` (a packet is dropped unless answers to its source go out of the same interface, RFC 3704) or `loose` (unless there
    /// is any way to it).
    #[cfg_attr(test, schemars(extend("enum" = ["off", "strict", "loose"])))]
    pub rp_filter: &'static str,
}

/// A service that is guarded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Guarded {
    /// Its name.
    pub name: String,
    /// Its ports.
    pub ports: Vec<String>,
}

/// A service that is not guarded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Unguarded {
    /// Its name.
    pub name: String,
    /// The ports that it has, where any are known.
    pub ports: Vec<String>,
    /// Why, as the profile says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Why a client is admitted, and until when it is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reason {
    /// Its name.
    pub client: String,
    /// The line of the cluster file.
    pub place: String,
    /// Why, as the cluster file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its last day. It is admitted behind that, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Whether that is past; `null` where it has none, or no day was given.
    pub past: Option<bool>,
}

/// Something that the cluster file allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Allowed {
    /// What, by its word in the file, and of whom.
    pub what: String,
    /// The line of the cluster file.
    pub place: String,
}

/// A rule, or the policy of a chain, that decides in some cells.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Deciding {
    /// The family and name of its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// Its line in the text, from 1, where there is a text.
    pub line: Option<u32>,
    /// What it says.
    pub text: String,
}

/// Some sources of one family, and how they fare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Row {
    /// Who they are.
    pub kind: Kind,
    /// The same in words.
    pub who: String,
    /// Each of them by name. Clients stand together only where there are very many, and only those who fare alike.
    pub sources: Vec<Named>,
    /// How many more there are than are named.
    pub more: usize,
    /// `IPv4` or `IPv6`.
    #[cfg_attr(test, schemars(extend("enum" = ["IPv4", "IPv6"])))]
    pub family: &'static str,
    /// The interfaces that they come in on; empty for any.
    pub interfaces: Vec<String>,
    /// Whether it is any other interface than these.
    pub other_interfaces: bool,
    /// How many addresses, in decimal digits.
    pub addresses: String,
    /// How they fare at each of the services.
    pub cells: Vec<Cell>,
}

/// Whose sources these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The nodes of a cluster.
    Peers,
    /// Clients.
    Client,
    /// Everybody in a private network who is neither named otherwise nor untrusted.
    Private,
    /// Everybody in an untrusted network.
    Untrusted,
    /// Everybody else.
    Others,
}

impl Kind {
    /// Strangers weigh most: the order in which rows are told where not all are.
    fn weight(self) -> u8 {
        match self {
            Self::Others => 0,
            Self::Untrusted => 1,
            Self::Private => 2,
            Self::Peers => 3,
            Self::Client => 4,
        }
    }
}

/// A source, and where the cluster file names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its addresses and networks, the first few.
    pub networks: Vec<String>,
    /// How many more there are.
    pub more: usize,
    /// The line of the cluster file.
    pub place: String,
}

/// How sources fare at a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cell {
    /// What the rules do.
    pub found: Fate,
    /// What the cluster file wants.
    pub wanted: Fate,
    /// How it is known.
    pub shown: Finding,
    /// A rule that decides, by its place among `deciding`, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// A packet that shows why it is not proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<String>,
    /// What packets of rehearsals have shown of it, where any were of its sources alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rehearsed: Option<Observed>,
}

/// What becomes of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// All get in.
    Admitted,
    /// None gets in.
    Blocked,
    /// None gets in, but not because of what blocks them where it has to.
    BlockedElsewhere,
    /// Some certainly do, some certainly do not.
    Mixed,
    /// Some certainly do; of the others it cannot be said.
    SomeAdmitted,
    /// Some certainly do not; of the others it cannot be said.
    SomeBlocked,
    /// It can be said of none.
    Undecided,
}

impl Fate {
    /// The word.
    fn word(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Blocked => "blocked",
            Self::BlockedElsewhere => "blocked elsewhere",
            Self::SomeAdmitted => "some admitted",
            Self::SomeBlocked => "some blocked",
            Self::Mixed => "mixed",
            Self::Undecided => "undecided",
        }
    }
}

impl Review {
    /// How many cells are known in each way, in the order of [`Finding`]: proved, violated, violated on purpose, undecided.
    #[must_use]
    pub fn counts(&self) -> [usize; 4] {
        let all = || self.rows.iter().flat_map(|row| &row.cells);
        let of = |finding| all().filter(|cell| cell.shown == finding).count();
        [Finding::Proved, Finding::Violated, Finding::OnPurpose, Finding::Undecided].map(of)
    }
}

/// A finding in a line.
fn noted(note: &Plain) -> String {
    let code = note.code.map(|code| format!("[{code}]")).unwrap_or_default();
    // The same file gives the same document anywhere.
    let file = note.base_name();
    let place = file.map(|file| match note.line {
        Some(line) => format!(" ({file}:{line})"),
        None => format!(" ({file})"),
    });
    words::plain(&format!("{}{code}: {}{}", note.severity, note.message, place.unwrap_or_default()))
}

#[cfg(test)]
mod tests;
