//! The kernel itself, by netlink.

mod attributes;
mod constants;
mod options;
mod socket;

pub use attributes::{Malformed, Message, Writer, attributes, find, messages, text_of, u32_of};
pub use socket::{Protocol, Refusal, RequestError, Socket};
