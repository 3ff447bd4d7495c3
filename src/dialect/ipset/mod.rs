//! ipset text, for `ipset restore`; and what `ipset save` and `ipset list` make of it.

pub(in crate::dialect) mod content;
pub(in crate::dialect) mod element;
mod networks;
mod read;
pub(in crate::dialect) mod several;
mod write;

pub use read::{Saved, read, saved};
pub use write::{family, write};

#[cfg(test)]
mod tests;
