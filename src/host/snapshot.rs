//! What was in force, to bring it back: as a value, and as bytes on a disk.

use super::nft::TABLE;
use super::rules::{Changed, changed};
use super::{Backend, HostError, iptables, nft};
use crate::dialect;
use crate::dialect::netlink::{Extent, RequestError, Scope, Table, to_messages, update};
use crate::ir::Ruleset;

/// What was in force, to bring it back.
#[derive(Clone, Debug)]
pub enum Snapshot {
    /// Our table, if there was one.
    Nft(Option<Box<Table>>),
    /// Our chains and sets.
    Iptables(iptables::Snapshot),
}

impl Snapshot {
    /// Nothing of ours.
    #[must_use]
    pub fn nothing(backend: Backend) -> Self {
        match backend {
            Backend::Nft => Self::Nft(None),
            Backend::Iptables => Self::Iptables(iptables::Snapshot::nothing()),
        }
    }

    /// Where it was taken.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match self {
            Self::Nft(_) => Backend::Nft,
            Self::Iptables(_) => Backend::Iptables,
        }
    }

    /// Whether there was nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        match self {
            Self::Nft(table) => table.is_none(),
            Self::Iptables(snapshot) => snapshot.is_nothing(),
        }
    }

    /// What it meant, as far as it is understood.
    #[must_use]
    pub fn ruleset(&self) -> Option<Ruleset> {
        let Self::Nft(Some(table)) = self else { return None };
        let lifted = dialect::netlink::lift(table).ok().flatten()?;
        Some(Ruleset { tables: vec![lifted.table], ..Ruleset::default() })
    }

    /// Makes what is in force what it was, and looks whether it is.
    ///
    /// # Errors
    /// Where the kernel refuses, or holds something else afterwards.
    pub fn restore(&self) -> Result<Changed, HostError> {
        match self {
            Self::Nft(table) => {
                let (extent, _) = nft::change(table.as_deref(), None, |_| Ok(()))?;
                let now = nft::read(Scope::Own)?;
                let (left, _) =
                    update(now.kernel.own.as_ref(), table.as_deref(), Extent::Nothing).map_err(RequestError::from)?;
                if left != Extent::Nothing {
                    return Err(HostError::NotRestored);
                }
                Ok(extent.into())
            }
            Self::Iptables(snapshot) => Ok(changed(&iptables::restore(&iptables::Tools::find()?, snapshot)?)),
        }
    }

    /// As bytes, for another process.
    ///
    /// # Errors
    /// Where it cannot be written down.
    pub fn to_bytes(&self) -> Result<Vec<u8>, HostError> {
        match self {
            Self::Nft(None) => Ok(Vec::new()),
            Self::Nft(Some(table)) => Ok(to_messages(table).map_err(RequestError::from)?),
            Self::Iptables(snapshot) => Ok(snapshot.to_bytes()?),
        }
    }

    /// From bytes that [`Self::to_bytes`] gave.
    ///
    /// # Errors
    /// Where they are something else.
    pub fn from_bytes(backend: Backend, bytes: &[u8]) -> Result<Self, HostError> {
        match backend {
            Backend::Nft if bytes.is_empty() => Ok(Self::Nft(None)),
            Backend::Nft => {
                let table = Table::from_messages(bytes).ok().filter(|table| table.name == TABLE && table.family == 1);
                table.map(|table| Self::Nft(Some(Box::new(table)))).ok_or(HostError::BadSnapshot)
            }
            Backend::Iptables => Ok(Self::Iptables(iptables::Snapshot::from_bytes(bytes)?)),
        }
    }
}
