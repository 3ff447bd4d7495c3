//! The machine: what is in force on it, and how that is changed.
//!
//! - [`Prepared`] are rules for one way into the kernel. Only [`Prepared::new`] makes them, and only from what was
//!   [`crate::verify::Verified`]; [`bring`] takes nothing else.
//! - [`apply`](mod@apply) is the sequence of steps, each of which may be the last; [`pending`] and [`watchdog`] take a change back that nobody
//!   confirms; [`record`], [`deeds`] and [`store`] remember; [`status`] looks.
//! - [`nft`] and [`iptables`] are the two ways into the kernel, behind [`read`], [`bring`] and [`Snapshot::restore`]. Where this
//!   program was built without libnftnl, `nft -f` goes the first of them, see `nft_file`.
//! - [`steps`] are what an apply changes, and how each is given back; [`mod@through`] are the other firewalls of the host.
//! - [`mod@plan`] is what applying would write; `diff` shows it and [`apply`](mod@apply) does it.
//! - [`agreed`] says on what somebody agreed to that, for a plan that is brought in later.
//! - [`watch`] waits for the kernel to say that something has changed.
//! - [`known`] is what need not be read again.
//! - [`mod@judge`] says what is in force to the cluster file, and is asked by everybody who wants to know.
//! - [`identity`] knows which node this host is and what speaks against a change, [`another`] and [`peers`] what speaks against it
//!   for what was there before; [`sessions`], [`sockets`], [`listeners`],
//!   [`links`], [`reserved`], [`place`] and [`mod@beside`] are what else there is to know about it.

pub mod agreed;
pub mod another;
pub mod apply;
pub mod around;
mod backend;
pub mod beside;
mod change;
pub mod deeds;
pub mod early;
pub mod ending;
mod error;
pub mod identity;
pub mod iptables;
pub mod judge;
pub mod known;
#[cfg(test)]
pub(crate) mod lab;
pub mod links;
pub mod listeners;
pub mod logged;
pub mod nft;
mod nft_file;
pub mod peers;
pub mod pending;
pub mod place;
pub mod plan;
mod port_filter;
mod presence;
pub mod record;
mod reserve;
pub mod reserved;
pub mod routing;
mod rules;
pub mod sessions;
mod snapshot;
pub mod sockets;
pub mod source_checks;
pub mod sources;
pub mod started;
pub mod status;
pub mod steps;
pub mod store;
pub mod through;
pub mod time;
pub mod translation;
pub mod tunnels;
pub mod watch;
pub mod watchdog;
pub mod ways;
pub mod whole;

pub use backend::Backend;
pub use change::bring_again;
pub use error::{HostError, Restored};
pub use known::Look;
pub use rules::{
    BaseChain, Brought, Changed, Counters, InForce, Prepared, bring, left_behind, read, read_again, read_behind,
};
pub use snapshot::Snapshot;
