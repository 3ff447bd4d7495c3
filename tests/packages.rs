//! Packages in every order of events: dpkg and rpm work on a root of their own (a Debian in an overlay that vanishes, see
//! `packages/root.rs`), in a network namespace with cables, a stranger and a peer. Takes root, and what
//! `make packages-for-tests` made.

// A test says what went wrong by ending.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code, reason = "this test needs a part of the lab")]
mod lab;

#[path = "packages/deb.rs"]
mod deb;
#[path = "packages/elsewhere.rs"]
mod elsewhere;
#[allow(dead_code, reason = "this test needs a part of it")]
#[path = "faults/hammer.rs"]
mod hammer;
#[path = "packages/hooks.rs"]
mod hooks;
#[path = "packages/linted.rs"]
mod linted;
#[path = "packages/root.rs"]
mod root;
#[path = "packages/rpm.rs"]
mod rpm;
#[path = "packages/systemd.rs"]
mod systemd;

/// Defines tests that have a root of their own, on a host of the lab.
#[macro_export]
macro_rules! in_a_root {
    ($($(#[$meta:meta])* fn $name:ident($root:ident) $body:block)*) => {$(
        $(#[$meta])*
        #[test]
        fn $name() {
            let name = concat!(module_path!(), "::", stringify!($name)).split_once("::").expect("a path").1;
            $crate::lab::netns::isolated(name, || {
                let $root = &$crate::root::Root::new();
                $body
            });
        }
    )*};
}
