//! Commands as whole processes: wall time and peak memory, medians of several runs.

#![allow(unsafe_code, reason = "the memory of a child that has ended is known to wait4 alone")]

#[allow(dead_code, reason = "not every bench has rulesets of others")]
pub mod rulesets;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::mem;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Median wall time and median peak memory.
#[derive(Clone, Copy)]
pub struct Cost {
    pub milliseconds: f64,
    pub megabytes: f64,
}

/// The medians of some costs.
pub fn median(costs: &[Cost]) -> Cost {
    let middle = |value: fn(&Cost) -> f64| {
        let mut values: Vec<f64> = costs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Cost { milliseconds: middle(|cost| cost.milliseconds), megabytes: middle(|cost| cost.megabytes) }
}

/// A cluster file: what comes before, around and behind the addresses.
pub const CLUSTER: [&str; 4] = ["[cluster]\nname = \"bench\"\nnodes = [\n", "  \"riak@", "\",\n", CLUSTER_END];
const CLUSTER_END: &str = "]\n[networks]\nprivate = [\"10.0.0.0/8\"]\n[services.distribution]\nports = \"6000-6009\"\n";
/// The same for ferm. Multiport, so that ferm need not write one rule for each port and source.
pub const FERM: [&str; 4] = [FERM_START, "  ", "\n", FERM_END];
const FERM_START: &str = "domain ip table filter chain INPUT proto tcp mod multiport {\n\
     destination-ports (4369 6000:6009 8098 8099) saddr (\n";
const FERM_END: &str = " ) ACCEPT;\n destination-ports (4369 6000:6009 8087 8098 8099) DROP;\n}\n";

/// Writes a file with an address on each line.
pub fn write_input(path: &Path, size: u32, [start, before, after, end]: [&str; 4]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(start.as_bytes())?;
    for index in 0..size {
        // All different and in no order: an odd factor only changes places among the 24 bits.
        let address =
            Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) | (index.wrapping_mul(0x9e37_79b1) & 0xff_ffff));
        write!(file, "{before}{address}{after}")?;
    }
    file.write_all(end.as_bytes())?;
    file.flush()
}

/// Runs a command to its end with its output in a file.
pub fn run(command: &mut Command, output: &Path) -> Result<Cost, String> {
    let output = File::create(output).map_err(|error| error.to_string())?;
    command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
    let start = Instant::now();
    let child = command.spawn().map_err(|error| error.to_string())?;
    let mut status = 0;
    // SAFETY: an all-zero rusage is valid, both places outlive the call, and nobody else waits for this child.
    let (waited, usage) = unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        (libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage), usage)
    };
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    if waited < 0 {
        return Err(io::Error::last_os_error().to_string());
    }
    // Exit code 1 is an answer: differs, blocked.
    if status == 3 << 8 {
        return Err("undecided".to_owned());
    }
    if status != 0 && status != 1 << 8 {
        return Err(format!("it ended with wait status {status:#x}"));
    }
    // Linux counts in KiB.
    Ok(Cost { milliseconds, megabytes: usage.ru_maxrss as f64 * 1024.0 / 1e6 })
}
