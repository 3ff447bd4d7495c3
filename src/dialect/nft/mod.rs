//! nft text, for `nft -f`.
//!
//! Only grammar that nft 0.9.3 documents, one statement a line: nft 1.0.6 refuses a `}` right behind a rule.

mod write;

pub use write::{WriteError, write};
