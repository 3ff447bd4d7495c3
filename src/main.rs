//! The command `ringfence`.

mod memory;

use std::process::ExitCode;

fn main() -> ExitCode {
    memory::share_one_heap();
    ringfence::cli::run()
}
