//! The two ways into the kernel, and which of them a host takes.

use serde::{Deserialize, Serialize};

use super::{HostError, iptables, nft};

/// A way into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// nf_tables.
    Nft,
    /// iptables and ipset.
    Iptables,
}

impl Backend {
    /// nf_tables if the kernel has it, unless only the tools of iptables are there to write with.
    ///
    /// # Errors
    /// Where the kernel cannot be asked.
    pub fn of_this_host() -> Result<Self, HostError> {
        let nft = nft::is_here()? && (has_writer() || !Self::Iptables.can_be_written());
        Ok(if nft { Self::Nft } else { Self::Iptables })
    }

    /// Whether there is what it takes to bring rules in.
    #[must_use]
    pub fn can_be_written(self) -> bool {
        match self {
            Self::Nft => nft::is_here().unwrap_or(false) && has_writer(),
            Self::Iptables => iptables::Tools::find().is_ok(),
        }
    }

    /// The other way.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Nft => Self::Iptables,
            Self::Iptables => Self::Nft,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Iptables => "iptables",
        }
    }
}

/// Without libnftnl it takes the program nft to write.
fn has_writer() -> bool {
    cfg!(feature = "kernel") || iptables::has_nft()
}
