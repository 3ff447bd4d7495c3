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

/// What is noted of what was applied last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deeds {
    /// The SHA-256 of the record that this is about.
    of: String,
    /// Who applied it.
    pub applied: Option<Deed>,
    /// Who confirmed it; nobody where that was not asked for.
    pub confirmed: Option<Deed>,
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
    ) -> Result<(), HostError> {
        record::write_json(store, Place::State, DEEDS, &Self { of: name(record)?, applied, confirmed })
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
            node: None,
            backend: Backend::Nft,
            config: "/etc/ringfence/cluster.toml".into(),
            digest: "d".to_owned(),
            ports: "4369".to_owned(),
            root: "/".into(),
        };
        assert_eq!(Deeds::of(&store, &record), None);
        let deed = Deed { at: now(), uid: 7 };
        Deeds::note(&store, &record, Some(deed.clone()), None).unwrap();
        assert_eq!(Deeds::of(&store, &record).unwrap().applied, Some(deed));
        let other = Record { digest: "e".to_owned(), ..record.clone() };
        assert_eq!(Deeds::of(&store, &other), None);
        forget(&store).unwrap();
        assert_eq!(Deeds::of(&store, &record), None);
    }
}
