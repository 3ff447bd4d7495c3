//! What is in force as metrics, in the text format of Prometheus (exposition formats, text-based format 0.0.4), for the
//! textfile collector of node_exporter.
//!
//! States are one series each, 1 for the one that it is, so that none of them is missing when it comes: an alert on
//! `ringfence_state{state="enforced"} != 1` sees all others, `unknown` among them, which is where nobody could look. Rules that somebody
//! loaded by hand may be enforced, and nothing brings them back: `ringfence_applied != 1` sees these. How old the last
//! proof is: `time() - ringfence_last_proof_timestamp_seconds`. Whether anybody looks at all is node_exporter's
//! `node_textfile_mtime_seconds`.

use std::fmt::Write as _;

use super::status::Status;
use crate::host::judge::Standing;
use crate::host::time::seconds;

/// Nobody could look.
const UNKNOWN: &str = "unknown";

/// Every state, and what it is called.
const STATES: [(Option<Standing>, &str); 9] = [
    (Some(Standing::Enforced), "enforced"),
    (Some(Standing::NotApplied), "not-applied"),
    (Some(Standing::Staged), "staged"),
    (Some(Standing::Drifted), "drifted"),
    (Some(Standing::Shadowed), "shadowed"),
    (Some(Standing::Undecided), "undecided"),
    (Some(Standing::Absent), "absent"),
    (Some(Standing::Closed), "closed"),
    (None, UNKNOWN),
];

/// The metrics of what was found; of nothing, where nobody could look.
#[must_use]
pub fn metrics(status: Option<&Status>) -> String {
    let mut text = String::new();
    let name = match status {
        None => UNKNOWN,
        Some(status) => STATES.iter().find(|(own, _)| *own == Some(status.state)).map_or(UNKNOWN, |(_, name)| name),
    };
    let states = STATES.map(|(_, own)| (vec![("state", own)], u64::from(own == name).to_string()));
    family(&mut text, "state", "gauge", "Whether the rules of ringfence are in this state.", &states);
    let Some(status) = status else { return text };
    let one = |value: String| [(Vec::new(), value)];
    let info = vec![
        ("version", status.version),
        ("node", status.node.as_deref().unwrap_or_default()),
        ("backend", status.backend.name()),
        ("digest", status.digest.as_deref().unwrap_or_default()),
    ];
    family(
        &mut text,
        "info",
        "gauge",
        "The version, the node, and the SHA-256 of the cluster file.",
        &[(info, "1".to_owned())],
    );
    let about =
        "Whether this program brought in what is in force, and brings it back: not where it was loaded by hand.";
    family(&mut text, "applied", "gauge", about, &one(u64::from(status.applied).to_string()));
    let blocked = |of: fn(&super::status::Blocked) -> u64| -> Vec<Sample<'_>> {
        status
            .blocked
            .iter()
            .map(|(service, count)| (vec![("service", service.as_str())], of(count).to_string()))
            .collect()
    };
    // What only logs has blocked nothing.
    let (packets, bytes) = (blocked(|one| one.packets), blocked(|one| one.bytes));
    if status.lets_on {
        family(
            &mut text,
            "let_on_packets_total",
            "counter",
            "Packets that blocking rules would have blocked.",
            &packets,
        );
        family(&mut text, "let_on_bytes_total", "counter", "Bytes that blocking rules would have blocked.", &bytes);
    } else {
        family(&mut text, "blocked_packets_total", "counter", "Packets that were blocked.", &packets);
        family(&mut text, "blocked_bytes_total", "counter", "Bytes that were blocked.", &bytes);
    }
    let about = "Whether the cluster file can be used, as the next start of the machine needs it.";
    family(&mut text, "cluster_file_usable", "gauge", about, &one(u64::from(!status.of_last_apply).to_string()));
    if let Some(at) = status.proved_at.as_deref().and_then(seconds) {
        let about = "When the claims were proved last on what the kernel holds.";
        family(&mut text, "last_proof_timestamp_seconds", "gauge", about, &one(at.to_string()));
    }
    let waits = u64::from(status.pending_seconds.is_some());
    family(
        &mut text,
        "confirmation_pending",
        "gauge",
        "Whether a change waits to be confirmed.",
        &one(waits.to_string()),
    );
    if let Some(left) = status.pending_seconds {
        let about = "How long it waits before it is taken back.";
        family(&mut text, "confirmation_seconds_left", "gauge", about, &one(left.to_string()));
    }
    for (name, about, list) in [
        ("unguarded_listeners", "Ports that Erlang listens on beyond those that are guarded.", &status.exposed),
        ("objections", "What apply would refuse now.", &status.objections),
        ("warnings", "What makes the rules worth less than they say.", &status.warnings),
    ] {
        family(&mut text, name, "gauge", about, &one(list.len().to_string()));
    }
    text
}

/// Labels and a value.
type Sample<'a> = (Vec<(&'a str, &'a str)>, String);

/// One metric. Those without a sample are left out.
fn family(text: &mut String, name: &str, kind: &str, about: &str, samples: &[Sample<'_>]) {
    if samples.is_empty() {
        return;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP ringfence_{name} {about}\n# TYPE ringfence_{name} {kind}");
    for (labels, value) in samples {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(text, "ringfence_{name}{labels} {value}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::host::Backend;

    #[test]
    fn every_state_has_one_series_and_one_of_them_is_it() {
        // Whoever adds a state adds it here, and to the list.
        let all = [
            Standing::Enforced,
            Standing::NotApplied,
            Standing::Staged,
            Standing::Drifted,
            Standing::Shadowed,
            Standing::Undecided,
            Standing::Absent,
            Standing::Closed,
        ];
        for state in all {
            match state {
                Standing::Enforced
                | Standing::NotApplied
                | Standing::Staged
                | Standing::Drifted
                | Standing::Shadowed
                | Standing::Undecided
                | Standing::Absent
                | Standing::Closed => {}
            }
            let name = serde_json::to_value(state).unwrap().as_str().unwrap().to_owned();
            assert!(STATES.contains(&(Some(state), name.as_str())), "{name}");
            let text = metrics(Some(&status(state)));
            assert!(text.contains(&format!("ringfence_state{{state=\"{name}\"}} 1\n")), "{text}");
            assert_eq!(text.matches("ringfence_state{").count(), STATES.len());
            assert_eq!(
                text.lines().filter(|line| line.starts_with("ringfence_state{") && line.ends_with(" 1")).count(),
                1
            );
        }
        assert!(metrics(None).contains("ringfence_state{state=\"unknown\"} 1\n"));
    }

    fn status(state: Standing) -> Status {
        Status::new(state, Backend::Nft, "/c".into(), &BTreeMap::default(), None)
    }

    #[test]
    fn values_and_labels() {
        let counters = BTreeMap::from([("isolation: http".to_owned(), (3, 180))]);
        let status = Status {
            node: Some("riak@\"a\\b\"".to_owned()),
            pending_seconds: Some(41.5),
            proved_at: Some("2026-03-01T12:00:00Z".to_owned()),
            ..Status::new(Standing::Enforced, Backend::Nft, "/c".into(), &counters, None)
        };
        let text = metrics(Some(&status));
        for line in [
            "# TYPE ringfence_blocked_packets_total counter",
            "ringfence_blocked_packets_total{service=\"http\"} 3",
            "ringfence_blocked_bytes_total{service=\"http\"} 180",
            "ringfence_last_proof_timestamp_seconds 1772366400",
            "ringfence_confirmation_pending 1",
            "ringfence_confirmation_seconds_left 41.5",
            "ringfence_objections 0",
            "ringfence_applied 1",
        ] {
            assert!(text.lines().any(|own| own == line), "no {line:?} in\n{text}");
        }
        let by_hand = Status { applied: false, by_hand: Some("iptables".to_owned()), ..status.clone() };
        let by_hand = metrics(Some(&by_hand));
        assert!(by_hand.contains("ringfence_applied 0\n") && by_hand.contains("state=\"enforced\"} 1\n"), "{by_hand}");
        let staged = Status { lets_on: true, of_last_apply: true, ..status };
        let text_of_staged = metrics(Some(&staged));
        assert!(text_of_staged.contains("ringfence_let_on_packets_total{service=\"http\"} 3"), "{text_of_staged}");
        assert!(
            !text_of_staged.contains("blocked_packets") && text_of_staged.contains("ringfence_cluster_file_usable 0")
        );
        assert!(text.contains("node=\"riak@\\\"a\\\\b\\\"\""), "{text}");
    }
}
