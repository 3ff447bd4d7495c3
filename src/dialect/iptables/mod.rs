//! iptables-restore text, for `iptables-restore --noflush` and `ip6tables-restore --noflush`, back ends legacy and nft.

mod write;

pub use write::{WriteError, write};
