//! The kernel itself, by netlink.

mod attributes;
mod batch;
mod constants;
mod elements;
mod expression;
mod lift;
mod lower;
mod options;
mod read;
mod socket;
mod table;
mod update;
#[cfg(feature = "kernel")]
mod write;

pub use attributes::{Malformed, Message, Writer, attributes, find, messages, text_of, u32_of};
pub use batch::CommitError;
pub use expression::Expression;
pub use lift::{Lifted, lift};
pub use lower::{LoweredTable, NotWritable, lower};
pub use read::{Kernel, Scope, generation, read};
pub use socket::{Protocol, Refusal, RequestError, Socket};
pub use table::{Base, Chain, Rule, Set, Table, Tables};
pub use update::{Changes, Extent, update};
#[cfg(feature = "kernel")]
pub use write::write;
