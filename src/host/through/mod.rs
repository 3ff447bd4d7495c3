//! The other firewalls of a host, and how what is admitted is let through them, by their own means.
//!
//! - [`firewalld`] gets a policy and ipsets of our own, [`ufw`] gets rules of our own, and [`chains`] are the tables of nft and
//!   iptables that nobody else looks after: [`spots`] are the places in them, [`mod@place`] says which of these are needed.
//!   Nothing of the admin's is edited.
//! - What they are to let through are [`Opening`]s. [`Look`] says what is lacking, and brings it; [`Wanted::nothing`] takes back what
//!   was brought, and nothing else.
//!
//! INVARIANT (the guard stays the lock): openings come after the guard and go before it, and are never wider.
//!
//! INVARIANT (remembered first): before anything is opened it is written down that something may be, so that whoever takes it away
//! looks for it, however the run ended that opened it.

pub mod chains;
pub mod firewalld;
pub mod known;
pub mod means;
pub mod place;
mod program;
pub mod saved;
pub mod spots;
pub mod texts;
pub mod ufw;

use std::path::Path;

use self::chains::{Asked, Chains};
use super::HostError;
use super::store::{Place, Store};
use crate::cluster::{Site, Through};
use crate::compile::openings;
use crate::ir::Opening;
use crate::prove::openings_hold;
use crate::verify::Answer;

/// That something may be open because of us.
const OPENED: &str = "opened";

/// What is to be open, and by whose means.
#[derive(Clone, Debug)]
pub struct Wanted {
    through: Through,
    openings: Vec<Opening>,
}

impl Wanted {
    /// What a cluster file wants for a site.
    #[must_use]
    pub fn of(site: &Site<'_>) -> Self {
        match site.cluster().guard().through() {
            Through::None => Self::nothing(),
            through => Self { through, openings: openings(site) },
        }
    }

    /// Nothing at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self { through: Through::None, openings: Vec::new() }
    }

    /// Whether that is so.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.openings.is_empty()
    }

    fn for_firewalld(&self, root: &Path) -> &[Opening] {
        match self.through {
            Through::Firewalld => &self.openings,
            Through::Auto if firewalld::is_active() || firewalld::has_ours(root) => &self.openings,
            Through::None | Through::Auto | Through::Ufw | Through::Nftables | Through::Iptables => &[],
        }
    }

    fn for_ufw(&self, root: &Path) -> &[Opening] {
        match self.through {
            Through::Ufw => &self.openings,
            Through::Auto if ufw::is_active() || ufw::has_ours(root) => &self.openings,
            Through::None | Through::Auto | Through::Firewalld | Through::Nftables | Through::Iptables => &[],
        }
    }

    fn is_for_chains(&self) -> bool {
        matches!(self.through, Through::Auto | Through::Nftables | Through::Iptables)
    }
}

/// What is lacking, or too much.
#[derive(Default)]
pub struct Look {
    lines: Vec<String>,
    answers: Option<Vec<Answer>>,
}

impl Look {
    /// Looks; changes nothing.
    ///
    /// # Errors
    /// Where one of them cannot be asked.
    pub fn at(root: &Path, store: &Store, wanted: &Wanted, asked: &Asked<'_>) -> Result<Self, HostError> {
        if wanted.is_nothing() && !is_opened(store).unwrap_or(false) {
            return Ok(Self::default());
        }
        if is_stopped(root, wanted)? {
            return Ok(Self::default());
        }
        let mut lines = firewalld::planned(root, wanted.for_firewalld(root))?;
        lines.extend(ufw::planned(root, wanted.for_ufw(root), store)?);
        // What these let through is not there yet, and would be looked for in the chains.
        let mut answers = None;
        if (lines.is_empty() || !wanted.is_for_chains())
            && let Some(chains) = look_at_chains(wanted, asked)?
        {
            let known = lines.is_empty();
            lines.extend(chains.lines());
            answers = known.then(|| chains.into_answers());
        }
        Ok(Self { lines, answers })
    }

    /// A line for each.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The answers of the whole host once all of it is there, where that is known before.
    #[must_use]
    pub fn into_parts(self) -> (Vec<String>, Option<Vec<Answer>>) {
        (self.lines, self.answers)
    }
}

fn look_at_chains(wanted: &Wanted, asked: &Asked<'_>) -> Result<Option<Chains>, HostError> {
    if !wanted.is_for_chains() && !Chains::are_there()? {
        return Ok(None);
    }
    Chains::look(wanted.through, &wanted.openings, asked).map(Some)
}

/// Whether somebody wants nothing to get through at all (`firewall-cmd --panic-on`): then nothing is opened, in no firewall, until he
/// wants it no more. What is open can always go.
fn is_stopped(root: &Path, wanted: &Wanted) -> Result<bool, HostError> {
    Ok(!wanted.is_nothing() && firewalld::panics(root)?)
}

/// Opens what is to be open and nothing else. Says whether there was anything to write.
///
/// # Errors
/// Where one of them refuses. What was brought until then is there, and is found by the next run.
pub fn bring(root: &Path, store: &Store, wanted: &Wanted, asked: &Asked<'_>) -> Result<bool, HostError> {
    if wanted.is_nothing() && !is_opened(store).unwrap_or(false) {
        return Ok(false);
    }
    if is_stopped(root, wanted)? {
        return Ok(false);
    }
    if !wanted.is_nothing() {
        openings_hold(asked.site)?;
        store.write(Place::State, OPENED, b"")?;
    }
    let brought = bring_each(root, store, wanted, asked);
    // A watchdog that did not wait for this run any more has taken the note away with what it found by then.
    if !wanted.is_nothing() && !is_opened(store).unwrap_or(false) {
        store.write(Place::State, OPENED, b"")?;
    }
    let brought = brought?;
    if wanted.is_nothing() {
        store.remove(Place::State, OPENED)?;
    }
    Ok(brought)
}

fn bring_each(root: &Path, store: &Store, wanted: &Wanted, asked: &Asked<'_>) -> Result<bool, HostError> {
    let mut brought = firewalld::bring(root, wanted.for_firewalld(root))?;
    brought |= ufw::bring(root, wanted.for_ufw(root), store)?;
    brought |= bring_chains(wanted, asked)?;
    Ok(brought)
}

/// iptables is told positions: where another program put a rule in between, what leads to ours stands at a wrong place, and is put
/// right.
fn bring_chains(wanted: &Wanted, asked: &Asked<'_>) -> Result<bool, HostError> {
    let mut brought = false;
    for _ in 0..chains::ATTEMPTS {
        let Some(chains) = look_at_chains(wanted, asked)? else { return Ok(brought) };
        if !chains.bring()? {
            return Ok(brought);
        }
        brought = true;
    }
    Err(HostError::Changing)
}

/// Takes all of ours away, whatever is remembered. Says whether there was any, and what stays all the same.
///
/// # Errors
/// Where one of them refuses. All are tried.
pub fn take_away(root: &Path, store: &Store) -> Result<(bool, Option<firewalld::Stays>), HostError> {
    let by_firewalld = firewalld::take_away(root);
    let by_ufw = ufw::bring(root, &[], store);
    let by_chains = chains::take_away();
    let (by_firewalld, stays) = by_firewalld?;
    let brought = by_firewalld | by_ufw? | by_chains?;
    store.remove(Place::State, OPENED)?;
    Ok((brought, stays))
}

/// Whether something may be open because of us. Who wants nothing open and cannot read it leaves what may be there: it is no wider than
/// a guard was, and the guard must not wait for it.
///
/// # Errors
/// Where the state cannot be read.
pub fn is_opened(store: &Store) -> Result<bool, HostError> {
    Ok(store.read(Place::State, OPENED)?.is_some())
}
