//! Real kernel, real packets: what the rules do, and not what they say.
//!
//! Every test runs for nft, iptables-legacy and iptables-nft, in network namespaces of its own (see `lab`). They need root,
//! or user namespaces; without either they fail, and `RINGFENCE_SKIP_KERNEL=1` is the only way to leave them out. What this
//! kernel cannot do is printed as "not possible here".

// A test says what went wrong by ending.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod generate;
mod lab;

/// Defines one test per back end: `name::nft`, `name::iptables_legacy` and `name::iptables_nft`.
macro_rules! on_each_backend {
    ($($(#[$meta:meta])* fn $name:ident($backend:ident) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            use crate::lab::{backend::Backend, netns};

            fn body($backend: Backend) $body

            fn start(test: &str, backend: Backend) {
                // The harness names tests without the crate.
                let name = concat!(module_path!(), "::").split_once("::").expect("a path").1.to_owned() + test;
                let label = name.clone();
                netns::isolated(&name, move || {
                    if backend.is_here(&label) {
                        body(backend);
                    }
                });
            }

            #[test]
            fn nft() {
                start("nft", Backend::Nft);
            }

            #[test]
            fn iptables_legacy() {
                start("iptables_legacy", Backend::IptablesLegacy);
            }

            #[test]
            fn iptables_nft() {
                start("iptables_nft", Backend::IptablesNft);
            }
        }
    )*};
}

#[path = "lab/suite/addresses.rs"]
mod addresses;
#[path = "lab/suite/block.rs"]
mod block;
#[path = "lab/suite/cells.rs"]
mod cells;
#[path = "lab/suite/doors.rs"]
mod doors;
#[path = "lab/suite/golden.rs"]
mod golden;
#[path = "lab/suite/headers.rs"]
mod headers;
#[path = "lab/suite/matrix.rs"]
mod matrix;
#[path = "lab/suite/meaning.rs"]
mod meaning;
#[path = "lab/suite/rewrites.rs"]
mod rewrites;
#[path = "lab/suite/sessions.rs"]
mod sessions;
#[path = "lab/suite/transit.rs"]
mod transit;
