//! What goes wrong on a machine: the program is killed, the disk is full, rights are missing, others change the rules, nobody
//! confirms. The real binary works in network namespaces of the test's own (see `lab`), with all its files in a folder of
//! the test's own. Needs what `tests/kernel.rs` needs, and strace.

// A test says what went wrong by ending.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code, reason = "this test needs a part of the lab")]
mod lab;

#[path = "faults/before.rs"]
mod before;
#[path = "faults/beside.rs"]
mod beside;
#[path = "faults/hammer.rs"]
mod hammer;
#[path = "faults/instants.rs"]
mod instants;
#[path = "faults/kills.rs"]
mod kills;
#[path = "faults/known.rs"]
mod known;
#[path = "faults/lacking.rs"]
mod lacking;
#[path = "faults/machine.rs"]
mod machine;
#[path = "faults/reviewed.rs"]
mod reviewed;
#[path = "faults/routing.rs"]
mod routing;
#[path = "faults/slow.rs"]
mod slow;
#[path = "faults/trouble.rs"]
mod trouble;
#[path = "faults/waiting.rs"]
mod waiting;
#[path = "faults/window.rs"]
mod window;

/// Defines tests that have a machine of their own.
#[macro_export]
macro_rules! on_a_machine {
    ($($(#[$meta:meta])* fn $name:ident($machine:ident) $body:block)*) => {$(
        $(#[$meta])*
        #[test]
        fn $name() {
            let name = concat!(module_path!(), "::", stringify!($name)).split_once("::").expect("a path").1;
            $crate::lab::netns::isolated(name, || {
                let $machine = &$crate::machine::Machine::new();
                $body
            });
        }
    )*};
}
