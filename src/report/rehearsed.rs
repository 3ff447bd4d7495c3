//! What a rehearsal has shown: a matrix of packets, and those of them about which the three answers do not agree.

mod text;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Digested, Reviewed};
use crate::cluster::Site;
use crate::rehearse::{self, Column, Fared, Rehearsal, Seen, fate_word};
use crate::verify;

/// What `ringfence rehearse` has to say.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Rehearsed {
    /// Whether what was observed, what the cluster file wants and what the rules compute to agree about every packet. `agree` means that
    /// they do, of the packets that were sent; it is no proof about others.
    pub verdict: Agreement,
    /// What `verify` finds of all packets by the same rules. Where that is not as it is to be, the command does not end with 0, whatever
    /// was seen of the packets that were sent.
    pub claims: Judged,
    /// The cluster, or several.
    pub cluster: String,
    /// The node whose rules these are; with several clusters one of each. `null` for rules that fit every node.
    pub node: Option<String>,
    /// Where the rules were: `nft` or `iptables`.
    pub backend: &'static str,
    /// The cluster files, with their digests.
    pub clusters: Vec<Reviewed>,
    /// The texts of the rules, with their digests.
    pub texts: Vec<Digested>,
    /// Whose rules these are.
    #[cfg_attr(test, schemars(extend("enum" = ["compiled", "files"])))]
    pub rules: &'static str,
    /// The kernel that they were rehearsed on, as it calls its version.
    pub kernel: String,
    /// Whether a user namespace was needed, because whoever ran it is not root.
    pub user_namespace: bool,
    /// Whether a copy of this host's other rules, interfaces and addresses was there, too. Then the claims are judged of all rules together.
    pub host: bool,
    /// What of the host could not be copied, in words; where there is something, the verdict is not `agree`.
    pub not_copied: Vec<String>,
    /// What rules name and no packet has, because it was too much, in words.
    pub not_tried: Vec<String>,
    /// How many addresses packets came from.
    pub sources: usize,
    /// How many peers and networks of clients the cluster file has.
    pub places: usize,
    /// At so many of them packets came from: fewer only of very many.
    pub places_tried: usize,
    /// All packets together.
    pub packets: Counts,
    /// Whether IPv6 was left out because this kernel has none.
    pub without_ipv6: bool,
    /// The services, and ports that are none's.
    pub services: Vec<Tried>,
    /// The sources.
    pub rows: Vec<Group>,
    /// Of each cell that has some the first packet about which the answers do not agree; of a hundred cells at most.
    pub disagreements: Vec<Disagreement>,
}

/// What is found of all claims about the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Judged {
    /// All are proved.
    Proved,
    /// One at least is violated.
    Violated,
    /// Violated as the cluster file wants it for now (`on-block = "log-only"`).
    OnPurpose,
    /// None is violated, and one at least is not proved.
    Undecided,
}

impl Judged {
    /// Of all findings the gravest.
    #[must_use]
    pub fn of<'f>(findings: impl Iterator<Item = &'f verify::Finding>) -> Self {
        let mut worst = Self::Proved;
        for finding in findings {
            worst = match (worst, finding) {
                (_, verify::Finding::Violated(_)) | (Self::Violated, _) => Self::Violated,
                (_, verify::Finding::Undecided(_) | verify::Finding::Unjudged(_)) | (Self::Undecided, _) => {
                    Self::Undecided
                }
                (_, verify::Finding::OnPurpose(_)) | (Self::OnPurpose, _) => Self::OnPurpose,
                (Self::Proved, verify::Finding::Proved) => Self::Proved,
            };
        }
        worst
    }
}

/// Whether three answers agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// About every packet that was sent.
    Agree,
    /// Not about one at least.
    Disagree,
    /// Nobody is kept out for now, as the cluster file wants it (`on-block = "log-only"`), and else they do.
    OnPurpose,
    /// None disagrees, but what the rules compute to cannot be said of one packet at least, or something of the host could not be copied.
    Undecided,
}

/// How packets fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Counts {
    /// So many were sent: once without any rules, and once with them.
    pub tried: usize,
    /// So many got through.
    pub through: usize,
    /// So many did the guard drop, by its counters.
    pub by_guard: usize,
    /// So many did other rules drop.
    pub by_others: usize,
    /// So many did rules drop of whom it is not told whose they are.
    pub by_rules: usize,
    /// So many does the kernel drop without any rules, too: of these nothing was observed.
    pub by_kernel: usize,
    /// So many are to get through by the cluster file.
    pub wanted: usize,
    /// So many get through for certain by what the rules compute to.
    pub computed: usize,
    /// Of so many that cannot be said.
    pub undecided: usize,
    /// About so many the answers do not agree.
    pub disagree: usize,
}

/// A service and its ports.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tried {
    /// Its name.
    pub name: String,
    /// Its ports, of which some are tried of very many.
    pub ports: Vec<String>,
}

/// Sources that are shown together.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Group {
    /// Whose they are.
    pub who: String,
    /// Of which family.
    pub family: &'static str,
    /// By which interface they came, where rules may hang on that.
    pub interface: Option<String>,
    /// The addresses that packets came from.
    pub from: Vec<IpAddr>,
    /// How their packets to each of the services fared.
    pub cells: Vec<Counts>,
}

/// A packet about which the answers do not agree.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Disagreement {
    /// Whose it is.
    pub who: String,
    /// For which service.
    pub service: String,
    /// The packet.
    pub packet: String,
    /// How it was sent.
    pub kind: &'static str,
    /// What became of it.
    #[cfg_attr(test, schemars(extend("enum" = ["through", "guard", "other-rules", "rules", "kernel"])))]
    pub observed: &'static str,
    /// What the cluster file wants.
    #[cfg_attr(test, schemars(extend("enum" = ["through", "blocked"])))]
    pub wanted: &'static str,
    /// What the rules compute to.
    #[cfg_attr(test, schemars(extend("enum" = ["through", "blocked", "undecided"])))]
    pub computed: &'static str,
}

impl Rehearsed {
    /// What was shown at a site. `compiled`: whether the rules are those that the cluster file makes.
    #[must_use]
    pub fn of(
        found: &Rehearsal,
        site: &Site<'_>,
        (compiled, texts): (bool, Vec<Digested>),
        claims: Judged,
        kernel: String,
    ) -> Self {
        let sum = found.sum();
        let not_copied = found.host.as_ref().map(|together| together.not_copied.clone()).unwrap_or_default();
        let undecided = sum.undecided + not_copied.len();
        let verdict = match (sum.wrong, sum.on_purpose, undecided) {
            (1.., _, _) => Agreement::Disagree,
            (0, 1.., _) => Agreement::OnPurpose,
            (0, 0, 1..) => Agreement::Undecided,
            (0, 0, 0) => Agreement::Agree,
        };
        Self {
            verdict,
            claims,
            cluster: site.cluster().name().to_owned(),
            node: site.node_names(),
            backend: found.backend.name(),
            clusters: Reviewed::of(site),
            texts,
            rules: if compiled { "compiled" } else { "files" },
            kernel,
            user_namespace: found.as_user,
            host: found.host.is_some(),
            not_copied,
            not_tried: found.not_tried.clone(),
            sources: found.sources,
            places: found.places.0,
            places_tried: found.places.1,
            packets: Counts::of(sum),
            without_ipv6: found.without_ipv6,
            services: found.columns.iter().map(Tried::of).collect(),
            rows: found.rows.iter().map(Group::of).collect(),
            disagreements: found.wrong.iter().map(|wrong| Disagreement::of(wrong, found)).collect(),
        }
    }
}

impl Counts {
    fn of(cell: rehearse::Cell) -> Self {
        Self {
            tried: cell.tried,
            through: cell.through,
            by_guard: cell.guard,
            by_others: cell.others,
            by_rules: cell.rules,
            by_kernel: cell.kernel,
            wanted: cell.wanted,
            computed: cell.computed,
            undecided: cell.undecided,
            disagree: cell.wrong,
        }
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            tried: self.tried + other.tried,
            through: self.through + other.through,
            by_guard: self.by_guard + other.by_guard,
            by_others: self.by_others + other.by_others,
            by_rules: self.by_rules + other.by_rules,
            by_kernel: self.by_kernel + other.by_kernel,
            wanted: self.wanted + other.wanted,
            computed: self.computed + other.computed,
            undecided: self.undecided + other.undecided,
            disagree: self.disagree + other.disagree,
        }
    }
}

impl Tried {
    fn of(column: &Column) -> Self {
        Self { name: column.name.clone(), ports: column.ports.iter().map(ToString::to_string).collect() }
    }
}

impl Group {
    fn of(fared: &Fared) -> Self {
        let Fared { row, from, cells } = fared;
        Self {
            who: row.who.words(),
            family: if row.ipv6 { "IPv6" } else { "IPv4" },
            interface: row.interface.clone(),
            from: from.iter().copied().collect(),
            cells: cells.iter().copied().map(Counts::of).collect(),
        }
    }
}

impl Disagreement {
    fn of(wrong: &rehearse::Wrong, found: &Rehearsal) -> Self {
        Self {
            who: found.rows.get(wrong.row).map(|fared| fared.row.who.words()).unwrap_or_default(),
            service: found.columns.get(wrong.column).map(|column| column.name.clone()).unwrap_or_default(),
            packet: wrong.packet.to_string(),
            kind: wrong.kind,
            observed: match wrong.seen {
                Seen::Through => "through",
                Seen::Guard => "guard",
                Seen::Others => "other-rules",
                Seen::Rules => "rules",
                Seen::Kernel => "kernel",
            },
            wanted: if wrong.wanted { "through" } else { "blocked" },
            computed: fate_word(wrong.computed),
        }
    }
}
