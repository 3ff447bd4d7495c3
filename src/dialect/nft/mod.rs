//! nft text, for `nft -f`.
//!
//! Writing: only grammar that nft 0.9.3 documents, one statement a line: nft 1.0.6 refuses a `}` right behind a rule.
//! Reading: whatever nft 0.9.3 and newer take or list.

mod additions;
pub mod json;
mod read;
mod words;
mod write;

pub use additions::{additions, rule_line};
pub use read::{clears_tables_of_iptables, is_listing, read};
pub use words::placed;
pub use write::{WriteError, write};
