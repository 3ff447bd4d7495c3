//! Who gets to which service, by what the rules do: the claims of [`check`](super::check()), cell by cell.
//!
//! A cell is some sources of one family and one service. What the cluster file wants of it comes from the [`Claims`], what the rules do
//! from the same cases that the claims are judged by, and neither from the other: a ruleset that lets a stranger in shows it in the
//! stranger's cell. So a cell asks more than whether a connection can be opened: that it is *blocked* says that no segment of TCP from
//! any of its sources to any of the ports gets in, in any state and on any interface; that it is *admitted*, that every one does.
//!
//! Packets are told by their sources alone in the end: for each service, the classes of sources of which some packet is let in wrongly,
//! or kept out. A cell then asks whether it has sources of these. That costs no more for ten thousand clients than for one.
//!
//! - A source may be in several rows: of a client who is a peer, too.
//! - First fragments that hide their header, and connections that came to another port before a translation, count wherever the file
//!   wants somebody blocked. They say nothing of what it wants.
//!
//! INVARIANT (doubt): a cell is proved only where no case has a packet of it that may fare otherwise than the file wants, and where
//! nothing keeps the claims from being judged. Whatever cannot be told makes it undecided.

mod cells;
mod labels;
mod rows;

use std::borrow::Cow;
use std::net::IpAddr;

use super::judge::judged;
use super::{Claim, Claims, Families, Finding, Report, Witness, check, own_part, unjudged};
use crate::cluster::Site;
use crate::ir::Ruleset;
use crate::net::{Cidr, Interface};
use crate::semantics::{TooLarge, merged};

/// Who gets to which service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Peers and clients of each cluster, private and untrusted networks, everyone else; each family for itself.
    pub rows: Vec<Row>,
    /// The part of the rules because of which nothing is proved, where there is one.
    pub because: Option<String>,
}

/// Some sources, and how they fare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Who they are.
    pub who: Whose,
    /// Of which family.
    pub ipv4: bool,
    /// By which interfaces they come in.
    pub on: On,
    /// Their addresses, as ascending ranges that do not touch.
    pub sources: Vec<(IpAddr, IpAddr)>,
    /// For each service that is guarded, in the order of [`Site::services`].
    pub cells: Vec<Cell>,
}

/// Whose sources a row has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The nodes of a cluster, by its place in [`Site::parts`].
    Peers(usize),
    /// A client, by the place of its cluster and its own there.
    Client(usize, usize),
    /// Whoever is in a private network and neither node nor client, nor untrusted.
    Private(Cidr),
    /// Whoever is in an untrusted network.
    Untrusted(Cidr),
    /// Everybody who is in no other row.
    Others,
}

/// The interfaces of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum On {
    /// Any but the loopback interface.
    Any,
    /// One of these, on which the file admits them.
    These(Vec<Interface>),
    /// Any but these.
    AllBut(Vec<Interface>),
}

/// How sources fare at a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What the cluster file wants.
    pub wanted: Fare,
    /// What the rules do.
    pub found: Fare,
    /// How that is known.
    pub held: Held,
    /// A packet that shows why it is not proved; not for all of very many.
    pub witness: Option<Witness>,
}

/// What becomes of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fare {
    /// All of them get in.
    Admitted,
    /// None of them does.
    Blocked,
    /// None of them does, but not because of what blocks them where it has to: before a translation can move them, and at input.
    Elsewhere,
    /// Some certainly do, and some certainly do not.
    Mixed,
    /// Some certainly do; of the others it cannot be said.
    SomeAdmitted,
    /// Some certainly do not; of the others it cannot be said.
    SomeBlocked,
    /// It can be said of none.
    Undecided,
}

/// How what a cell says is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Held {
    /// It is as the file wants it, of every packet.
    Proved,
    /// It is not, of one packet at least.
    Violated,
    /// It is not, as the file wants it (`on-block = "log-only"`): what is to be kept out is counted and let on.
    OnPurpose,
    /// It cannot be said of one packet at least.
    Undecided,
}

/// Judges every claim about a site on a ruleset, and tells it cell by cell.
///
/// # Errors
/// Where the rules are too large to be judged.
pub fn matrix(ruleset: &Ruleset, site: &Site<'_>, families: Families) -> Result<(Report, Matrix), TooLarge> {
    let report = check(ruleset, site, families)?;
    let claims = Claims::of(site);
    let ruleset = merged(ruleset);
    let sources = rows::Sources::of(&claims, site);
    let mut question = claims.question();
    question.sources.extend(sources.lists().map(Cow::Borrowed));
    question.ports.extend(site.services().iter().map(|service| service.ports.ranges().to_vec()));
    let (mut rows, unwieldy) = judged(&ruleset, &own_part(&ruleset), (&claims, &question), |space, judge| {
        cells::rows(space, judge, (site, &sources, families))
    })?;
    let because = unjudged(&ruleset);
    for cell in rows.iter_mut().flat_map(|row| &mut row.cells) {
        if because.is_some() {
            cell.doubt();
        } else if cell.held == Held::Violated && cell.found_on_purpose(&report) {
            cell.held = Held::OnPurpose;
        }
    }
    Ok((report, Matrix { rows, because: because.or(unwieldy) }))
}

impl Cell {
    /// Takes back what is proved. A violation stands: what was read is enough for it; what becomes of packets in the end is not known.
    fn doubt(&mut self) {
        self.found = Fare::Undecided;
        if self.held != Held::Violated {
            self.held = Held::Undecided;
        }
    }

    /// Whether that nobody is blocked here is what the file wants for now.
    fn found_on_purpose(&self, report: &Report) -> bool {
        let isolation = report.findings().iter().find(|(claim, _)| *claim == Claim::Isolation);
        let on_purpose = matches!(isolation, Some((_, Finding::OnPurpose(_))));
        on_purpose && self.wanted == Fare::Blocked
    }
}
