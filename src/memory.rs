//! How memory is given out.
//!
//! All threads have one heap. With one for each, as glibc has it otherwise, what one of them gave back is nothing to the others, and a look
//! at 100,000 members took a fifth more memory.
//!
//! Where there is no more memory, the command ends as any other that cannot be done: with a line that says so and an exit code, in
//! place of an abort.
//!
//! Nothing is tidied up: that takes memory. So this is as if the process was killed in this moment, which every step of an apply is made
//! for (`host::apply`).
//!
//! It is unsafe code outside `dialect::netlink`, because nothing else in a stable Rust is told of this: `alloc::set_alloc_error_hook` is
//! not stable, and without either the standard library aborts. How many heaps there are only `mallopt` says (mallopt(3)): the environment would
//! have to say it before the program begins.

#![allow(unsafe_code, reason = "an allocator is unsafe by its interface, and so is what sets up glibc's")]

use std::alloc::{GlobalAlloc, Layout, System};

use nix::libc;

/// Has all threads share one heap. What may not be so is as it was.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no thread but this one runs, and nothing follows from the answer (mallopt(3), M_ARENA_MAX).
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// The system's allocator, which does not return where it has nothing to give.
struct Whole;

#[global_allocator]
static ALLOCATOR: Whole = Whole;

/// As the table of exit codes has it: something is wrong with the machine.
const UNUSABLE: i32 = 2;
const WORDS: &[u8] =
    b"error: there is not enough memory (`ulimit -v`, MemoryMax=); where a change was under way, `ringfence status` \
    says what is in force\n";

// SAFETY: all of it is done by `System`, which keeps to the contract; nothing is added but that a null is not passed on.
unsafe impl GlobalAlloc for Whole {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to the contract of `alloc`, which is the same.
        checked(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: what was allocated here was allocated by `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.realloc(pointer, layout, size) })
    }
}

fn checked(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() {
        exhausted();
    }
    pointer
}

#[cold]
fn exhausted() -> ! {
    // Not by `std::io::Stderr`, which this thread may have locked. What cannot be said is not.
    let _ = nix::unistd::write(std::io::stderr(), WORDS);
    // SAFETY: it does nothing but end the process; what would run at its end may allocate.
    unsafe { libc::_exit(UNUSABLE) }
}
