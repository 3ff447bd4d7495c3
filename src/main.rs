//! The command `ringfence`.

mod memory;

use std::process::ExitCode;

fn main() -> ExitCode {
    ringfence::cli::run()
}
