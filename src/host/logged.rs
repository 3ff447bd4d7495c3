//! Who is blocked, as far as the kernel's log still tells: it holds what the rules write there where the cluster file has `log`, at most
//! so many lines a minute, and only until newer lines of whatever kind take their place.
//!
//! Our rules count by service and not by source: a set that rules fill changes without the kernel's generation, and would have to be read
//! as a whole each time.
//!
//! INVARIANT (the kernel's own): a line counts only where the kernel wrote it. Whoever may write to the log himself is told apart by the
//! facility, which the kernel keeps for itself (`Documentation/ABI/testing/dev-kmsg` of Linux).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;
use serde::Serialize;

use crate::compile::{LOG_PREFIX, STAGED_LOG_PREFIX};

/// Longer than any record of the kernel's log (`CONSOLE_EXT_LOG_MAX`).
const RECORD: usize = 8192;
/// So many records are read at most: more than fit into the largest log.
const RECORDS: usize = 1 << 20;
/// So many sources are told.
const TOLD: usize = 5;

/// A source of blocked segments, as the kernel's log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Logged {
    /// From where.
    pub source: IpAddr,
    /// How many lines there are of it.
    pub lines: u64,
    /// The ports that it asked for.
    pub ports: BTreeSet<u16>,
}

/// The sources with most lines, at most five; none where nothing was logged or the log cannot be read.
#[must_use]
pub fn most() -> Vec<Logged> {
    let mut options = OpenOptions::new();
    let Ok(mut log) = options.read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg") else { return Vec::new() };
    let mut record = vec![0; RECORD];
    let mut all = BTreeMap::new();
    for _ in 0..RECORDS {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(length) => count(&String::from_utf8_lossy(record.get(..length).unwrap_or_default()), &mut all),
            // What was to be read next has been overwritten: it goes on with the oldest that is there.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
            Err(_) => break,
        }
    }
    sorted(all)
}

fn sorted(all: BTreeMap<IpAddr, (u64, BTreeSet<u16>)>) -> Vec<Logged> {
    let mut all: Vec<Logged> =
        all.into_iter().map(|(source, (lines, ports))| Logged { source, lines, ports }).collect();
    all.sort_by_key(|one| (std::cmp::Reverse(one.lines), one.source));
    all.truncate(TOLD);
    all
}

/// Counts a record where it is one of ours: `6,1234,5678,-;ringfence: blocked IN=eth0 … SRC=203.0.113.9 … PROTO=TCP … DPT=8098 …`.
fn count(record: &str, all: &mut BTreeMap<IpAddr, (u64, BTreeSet<u16>)>) {
    let Some((head, text)) = record.split_once(';') else { return };
    let text = text.lines().next().unwrap_or_default();
    let Some(line) = [LOG_PREFIX, STAGED_LOG_PREFIX].into_iter().find_map(|prefix| text.strip_prefix(prefix)) else {
        return;
    };
    // Three bits of severity, and above them the facility: 0 is the kernel's.
    let priority = head.split(',').next().and_then(|number| number.parse::<u32>().ok());
    if priority.is_none_or(|number| number >> 3 != 0) {
        return;
    }
    // The first of each: an answer of ICMP tells behind its own head of the packet that it is about.
    let word = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key));
    let Some(source) = word("SRC=").and_then(|text| text.parse::<IpAddr>().ok()) else { return };
    let (lines, ports) = all.entry(source).or_default();
    *lines += 1;
    ports.extend(word("DPT=").and_then(|text| text.parse::<u16>().ok()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_counted_from_what_the_kernel_wrote() {
        let mut all = BTreeMap::new();
        let of = |priority: u32, prefix: &str, source: &str, port: u16| {
            format!(
                "{priority},817,93451,-;{prefix}IN=eth0 OUT= MAC=02:00 SRC={source} DST=10.20.0.11 LEN=60 PROTO=TCP SPT=44112 DPT={port} \
                 WINDOW=64240 RES=0x00 SYN URGP=0 \n SUBSYSTEM=net\n"
            )
        };
        for record in [
            of(4, "ringfence: blocked ", "203.0.113.9", 8098),
            of(4, "ringfence: blocked ", "203.0.113.9", 4369),
            of(4, "ringfence: would block ", "2001:0db8:0000:0000:0000:0000:0000:0001", 8099),
            // Not ours, not the kernel's, not a source.
            of(4, "ufw: blocked ", "198.51.100.7", 8098),
            of(12, "ringfence: blocked ", "198.51.100.8", 8098),
            of(4, "ringfence: blocked ", "nowhere", 8098),
            "6,1,2,-;".to_owned(),
            "ringfence: blocked SRC=198.51.100.9".to_owned(),
        ] {
            count(&record, &mut all);
        }
        let told: Vec<String> =
            sorted(all.clone()).iter().map(|one| format!("{} {} {:?}", one.source, one.lines, one.ports)).collect();
        assert_eq!(told, ["203.0.113.9 2 {4369, 8098}", "2001:db8::1 1 {8099}"]);
        for last in 0..20 {
            count(&of(4, "ringfence: blocked ", &format!("192.0.2.{last}"), 8098), &mut all);
        }
        assert_eq!(sorted(all).len(), TOLD);
    }
}
