//! What others see of it: metrics for Prometheus, and entries in the journal.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use super::commands::{CONFIG, STATE, cluster, ringfence};
use super::stage::{alone, shell, tried};

const METRICS: &str = "/run/ringfence.prom";

fn metric(name: &str) -> Option<String> {
    let text = fs::read_to_string(METRICS).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
}

fn is_in(state: &str) -> bool {
    metric(&format!("ringfence_state{{state=\"{state}\"}}")).unwrap() == "1"
}

#[test]
fn metrics_say_what_status_says() {
    alone("observed::metrics_say_what_status_says", |machine| {
        cluster("none", false, "");
        let status = format!("status {CONFIG} --metrics {METRICS}");
        ringfence(&status).ended(4);
        assert!(is_in("absent") && metric("ringfence_last_proof_timestamp_seconds").is_none());
        ringfence(&format!("apply {CONFIG}")).ended(0);
        ringfence(&status).ended(0).says("enforced");
        assert!(is_in("enforced") && !is_in("absent"));
        assert_eq!(fs::metadata(METRICS).unwrap().mode() & 0o777, 0o644);
        let age = |at: String| shell("date +%s").trim().parse::<u64>().unwrap() - at.parse::<u64>().unwrap();
        assert!(metric("ringfence_last_proof_timestamp_seconds").map(age).unwrap() < 60);
        assert_eq!(metric("ringfence_confirmation_pending").unwrap(), "0");
        let blocked = "ringfence_blocked_packets_total{service=\"http\"}";
        let before: u64 = metric(blocked).unwrap().parse().unwrap();
        assert!(!machine.reaches("10.77.0.9", 8098));
        ringfence(&status).ended(0);
        assert!(metric(blocked).unwrap().parse::<u64>().unwrap() > before);

        // The same by the hook of the timer, and no older state stays where nobody can look.
        fs::write("/run/settings", format!("METRICS={METRICS}\n")).unwrap();
        fs::remove_file(METRICS).unwrap();
        ringfence("hook check --settings /run/settings").ended(0);
        assert!(is_in("enforced"));
        shell("nft delete table inet ringfence");
        ringfence("hook check --settings /run/settings").ended(0);
        assert!(is_in("enforced"), "it is brought back first");
        fs::write(CONFIG, "no cluster file\n").unwrap();
        ringfence(&status).ended(2);
        assert!(is_in("unknown") && metric("ringfence_info").is_none());
        assert!(tried("test $(ls /run | grep -c tmp) = 0").is_ok(), "nothing is left behind");
    });
}

/// What the journal gets, of a run whose stderr it is.
fn entries(arguments: &str) -> Vec<String> {
    fs::create_dir_all("/run/systemd/journal").unwrap();
    let path = "/run/systemd/journal/socket";
    let _ = fs::remove_file(path);
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let stderr = File::create("/run/stderr").unwrap();
    let known = stderr.metadata().unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(arguments.split(' '))
        .args(["--state-dir", STATE])
        .env("JOURNAL_STREAM", format!("{}:{}", known.dev(), known.ino()))
        .stdin(Stdio::null())
        .stderr(stderr)
        .status()
        .unwrap();
    assert!(status.code().is_some());
    assert_eq!(fs::read_to_string("/run/stderr").unwrap(), "", "all of it went to the journal");
    let mut bytes = vec![0; 1 << 16];
    let mut entries = Vec::new();
    while let Ok(count) = socket.recv(&mut bytes) {
        entries.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
    }
    entries
}

#[test]
fn the_journal_gets_priorities_and_fields() {
    alone("observed::the_journal_gets_priorities_and_fields", |_machine| {
        cluster("none", false, "");
        ringfence(&format!("apply {CONFIG}")).ended(0);
        shell("nft delete table inet ringfence");
        let found = entries("hook check");
        let drifted = found.iter().find(|entry| entry.contains("DRIFTED")).expect("it is said");
        // A field is its name, a length or `=`, and its value.
        for part in ["PRIORITY=4\n", "SYSLOG_IDENTIFIER", "ringfence", "RINGFENCE_STATE", "drifted"] {
            assert!(drifted.contains(part), "no {part:?} in {drifted:?}");
        }
        fs::write(CONFIG, fs::read_to_string(CONFIG).unwrap().replace("10.77.0.1", "10.77.0.55")).unwrap();
        let refused = entries(&format!("apply {CONFIG} --node riak@host"));
        let entry = refused.iter().find(|entry| entry.contains("foreign-address")).expect("it is refused");
        for part in ["PRIORITY=3\n", "RINGFENCE_CODE"] {
            assert!(entry.contains(part), "no {part:?} in {entry:?}");
        }
    });
}
