//! Who brought in what was applied last, who confirmed it, and when.
//!
//! This stands beside the record and not in it: a set of files that says when it was written would never be the same as the one
//! before, and an apply that changes nothing would have something to write.
//!
//! INVARIANT (whose): a note counts for the very record that it was written for. A version that does not know of it replaces the
//! record and leaves the note, which then says nothing.

use std::fs;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::HostError;
use super::record::{self, Record};
use super::store::{Place, Store, checksum};
use super::time::utc;

const DEEDS: &str = "deeds";
/// What the kernel shows for a process that nobody logged in for (audit(8)).
const NOBODY: u32 = u32::MAX;

/// Somebody did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Deed {
    /// When, in UTC.
    pub at: String,
    /// The user who logged in, whatever became of that with sudo; where nobody did, the one that the process ran as.
    pub uid: u32,
}

impl Deed {
    /// This process, now.
    #[must_use]
    pub fn now() -> Self {
        let login = fs::read_to_string("/proc/self/loginuid").ok().and_then(|text| text.trim().parse().ok());
        let uid = login.filter(|uid| *uid != NOBODY).unwrap_or_else(|| nix::unistd::getuid().as_raw());
        Self { at: now(), uid }
    }
}

/// An allowance of the cluster file that a change made use of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Allowed {
    /// What would have been refused.
    pub code: String,
    /// How it was so, in words.
    pub message: String,
    /// Who made use of it first, and when.
    pub by: Deed,
}

impl Allowed {
    /// By this process, now.
    #[must_use]
    pub fn now(code: &str, message: &str) -> Self {
        Self { code: code.to_owned(), message: message.to_owned(), by: Deed::now() }
    }
}

/// What is noted of what was applied last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deeds {
    /// The SHA-256 of the record that this is about.
    of: String,
    /// Who applied it.
    pub applied: Option<Deed>,
    /// Who confirmed it; nobody where that was not asked for.
    pub confirmed: Option<Deed>,
    /// The allowances of the cluster file that were made use of; not noted by versions before.
    #[serde(default)]
    pub allowed: Vec<Allowed>,
}

impl Deeds {
    /// Notes who applied and who confirmed.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn note(
        store: &Store,
        record: &Record,
        applied: Option<Deed>,
        confirmed: Option<Deed>,
        allowed: &[Allowed],
    ) -> Result<(), HostError> {
        let allowed = allowed.to_vec();
        record::note_json(store, Place::State, DEEDS, &Self { of: name(record)?, applied, confirmed, allowed })
    }

    /// Notes allowances that were made use of, beside what is noted of this record. Of each the first use counts.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn allow(store: &Store, record: &Record, allowed: &[Allowed]) -> Result<(), HostError> {
        let noted = Self::of(store, record);
        let mut deeds = match noted {
            Some(noted) => noted,
            None => Self { of: name(record)?, applied: None, confirmed: None, allowed: Vec::new() },
        };
        let before = deeds.allowed.len();
        for one in allowed {
            if !deeds.allowed.iter().any(|own| (&own.code, &own.message) == (&one.code, &one.message)) {
                deeds.allowed.push(one.clone());
            }
        }
        if deeds.allowed.len() == before { Ok(()) } else { record::note_json(store, Place::State, DEEDS, &deeds) }
    }

    /// What is noted about this record. A note that cannot be read says nothing.
    #[must_use]
    pub fn of(store: &Store, record: &Record) -> Option<Self> {
        let deeds: Self = record::read_json(store, Place::State, DEEDS).ok()??;
        (deeds.of == name(record).ok()?).then_some(deeds)
    }
}

/// Takes the note away.
///
/// # Errors
/// Where it cannot be taken away.
pub fn forget(store: &Store) -> Result<(), HostError> {
    Ok(store.remove(Place::State, DEEDS)?)
}

/// The time, in UTC.
#[must_use]
pub fn now() -> String {
    utc(SystemTime::now())
}

fn name(record: &Record) -> Result<String, HostError> {
    Ok(checksum(&serde_json::to_vec(record).map_err(HostError::internal)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Backend;

    #[test]
    fn a_note_counts_for_its_own_record_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(Some(folder.path().to_owned()));
        let record = Record {
            version: "0.1.0".to_owned(),
            cluster: None,
            parts: Vec::new(),
            some: Vec::new(),
            node: None,
            backend: Backend::Nft,
            config: "/etc/ringfence/cluster.toml".into(),
            digest: "d".to_owned(),
            ports: "4369".to_owned(),
            root: "/".into(),
        };
        assert_eq!(Deeds::of(&store, &record), None);
        let deed = Deed { at: now(), uid: 7 };
        let allowed = |message| Allowed { code: "foreign-address".to_owned(), message, by: deed.clone() };
        let (first, second) = (allowed("one".to_owned()), allowed("two".to_owned()));
        Deeds::note(&store, &record, Some(deed.clone()), None, std::slice::from_ref(&first)).unwrap();
        let later = Allowed { by: Deed { at: "later".to_owned(), uid: 8 }, ..first.clone() };
        Deeds::allow(&store, &record, &[later, second.clone()]).unwrap();
        let noted = Deeds::of(&store, &record).unwrap();
        assert_eq!((noted.applied, noted.allowed), (Some(deed.clone()), vec![first, second]));
        let other = Record { digest: "e".to_owned(), ..record.clone() };
        assert_eq!(Deeds::of(&store, &other), None);
        forget(&store).unwrap();
        assert_eq!(Deeds::of(&store, &record), None);
    }
}
