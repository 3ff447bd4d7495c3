//! Documents of `--json`, held against their schemas.

#![allow(dead_code, reason = "not every suite needs all of it")]

use std::fs;
use std::path::Path;

use serde_json::Value;

/// What `diff` and `apply` say in the same words.
pub const EFFECT: [&str; 11] = [
    "changed",
    "writes",
    "rules",
    "elements",
    "meaning",
    "foreign_rules",
    "openings",
    "reserved_ports_added",
    "reserved_ports_released",
    "reserved_ports_file",
    "other_backend",
];

/// The one document that a run printed, which is as its schema says.
pub fn of(stdout: &str) -> Value {
    let document: Value = serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
    let wrong = faults(&document);
    assert!(wrong.is_empty(), "{}\n{stdout}", wrong.join("\n"));
    document
}

/// What of a document is not as its schema says.
pub fn faults(document: &Value) -> Vec<String> {
    let name = document["schema"].as_str().and_then(|name| name.strip_prefix("ringfence/")).unwrap_or("none");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{}.json", name.replace('/', ".")));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let validator = jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap();
    validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}
