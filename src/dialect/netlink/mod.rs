//! The kernel itself, by netlink.
//!
//! ```text
//!  ir::Table ── lower ──▶ instructions ── write (libnftnl) ──▶ Table ─┐
//!                                                                     ├─ update ──▶ Changes ── commit ──▶ kernel
//!  ir::Table ◀── lift ─── instructions ◀──────────────────── Table ───┘◀──────────── read ───────────────────┘
//! ```
//!
//! - [`Table`] is a table as the kernel tells it, whole and with whatever nobody here understands, so that it can be given
//!   back as it was.
//! - [`lift`] says what it means, be it a table of others with its sets ([`Scope::Whole`]) or what iptables has brought there,
//!   with [`Names`] for what the kernel knows by number; [`lower`] and [`write()`] are the way from the IR. The one does not use what the other does:
//!   libnftnl writes, and what is read is read here.
//! - [`news()`] is what the kernel tells of a change that somebody makes.
//! - [`ip_sets`] reads the sets of ipset, which mean here what they mean in the text of `ipset save`.
//! - [`update`] finds the smallest change that is safe at every instant, and [`Changes::commit`] makes it, if nobody else
//!   changed anything in between.
//!
//! The only unsafe code of the library is here: calls of libnftnl, one socket option, and bpf(2). The program has its allocator besides
//! (`src/memory.rs`).

#![allow(clippy::wildcard_imports, reason = "the kernel's numbers go by the kernel's names")]

mod attributes;
mod batch;
pub mod bpf;
mod constants;
mod elements;
mod expression;
mod extension;
mod ipsets;
mod lift;
mod lower;
mod names;
mod news;
mod objects;
mod options;
mod read;
mod socket;
mod table;
mod update;
#[cfg(feature = "kernel")]
mod write;

pub use attributes::{Malformed, Message, Writer, attributes, find, messages, text_of, u32_of};
pub use batch::{CommitError, Missing};
pub use elements::pieces;
pub use expression::Expression;
pub use extension::{Kind, is_known};
pub use ipsets::{IpSets, ip_sets};
pub use lift::{Lifted, UNNAMED_IP_SET, about_neighbours, fills_sets, lift, lift_named, unread};
pub use lower::{LoweredTable, NotWritable, lower};
pub use names::Names;
pub use news::{GROUP, News, What, news};
pub use objects::objects;
pub use read::{Kernel, Scope, elements, generation, has, next, outline, read};
pub use socket::{Protocol, Refusal, RequestError, Socket};
pub use table::{Base, Chain, Rule, Set, Table, Tables};
pub use update::{Changes, Extent, Touched, extent, held, same_elements, to_messages, update};
#[cfg(feature = "kernel")]
pub use write::write;
