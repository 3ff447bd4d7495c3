//! iptables-restore text, for `iptables-restore --noflush` and `ip6tables-restore --noflush`, back ends legacy and nft.
//!
//! What is written is read back, and so is what `iptables-save` and `iptables -S` make of it.

mod beyond;
mod read;
mod write;

pub use beyond::beyond;
pub use read::read;
pub(super) use read::{name, shown};
pub use write::{WriteError, rule_line, write};
