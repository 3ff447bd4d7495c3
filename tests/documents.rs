//! Every command with `--json` prints one document, whatever happens, and it is as its schema in `schemas/` says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "lab/netns.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod netns;

mod document;
#[path = "document/host.rs"]
mod host;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use host::{CLUSTER, Host};
use netns::{isolated, run};
use serde_json::{Value, json};

/// A command in a folder of `tests`, its exit code, and the form of what it prints.
type Run = (&'static str, &'static str, i32, &'static str);

const ON_FILES: [Run; 29] = [
    ("transcripts", "diff old.toml new.toml", 1, "diff-files"),
    ("transcripts", "diff old.toml same.toml", 0, "diff-files"),
    ("transcripts", "diff old.toml nowhere.toml", 2, "diff-files"),
    ("transcripts", "diff members/cluster.toml --membership members/plan", 1, "diff-membership"),
    ("transcripts", "diff members/cluster.toml --membership members/other", 2, "diff-membership"),
    ("transcripts", "verify small.toml", 0, "verify"),
    ("transcripts", "verify small.toml --ruleset early-accept.nft", 1, "verify"),
    ("transcripts", "verify nowhere.toml", 2, "verify"),
    ("transcripts", "verify small.toml --ruleset nowhere.nft", 2, "verify"),
    ("transcripts", "verify small.toml --ruleset good-host-firewall.nft --routes broken.routes", 2, "verify-host"),
    ("transcripts", "explain old.toml --from 10.20.0.12 --port 8098", 3, "explain"),
    ("transcripts", "explain old.toml --from 10.20.0.12 --port 8098 --iif eth1", 0, "explain"),
    ("transcripts", "explain old.toml --from 10.20.0.12 --port nonsense", 2, "explain"),
    // As programs log peers of IPv4 that listen on `::`.
    ("transcripts", "explain old.toml --from ::ffff:10.20.0.12 --port 8098", 2, "explain"),
    ("transcripts", "report small.toml", 0, "report"),
    ("transcripts", "report small.toml --ruleset early-accept.nft", 1, "report"),
    ("transcripts", "report small.toml --ruleset nowhere.nft", 2, "report"),
    ("transcripts", "report nowhere.toml", 2, "report"),
    ("transcripts", "rehearse small.toml", 0, "rehearse"),
    ("transcripts", "rehearse small.toml --ruleset early-accept.nft", 1, "rehearse"),
    ("transcripts", "rehearse nowhere.toml", 2, "rehearse"),
    ("lint", "lint cluster.toml --no-sockets --node riak@10.20.0.11 --from wide", 1, "lint"),
    ("lint", "lint cluster.toml --no-sockets --node riak@10.20.0.11 --from nowhere", 2, "lint"),
    ("lint", "lint nowhere.toml", 2, "lint"),
    ("import/states", "import --from etc --membership stdin", 0, "import"),
    ("import/bad-ports", "import --from etc --membership stdin", 2, "import"),
    ("import/inventory", "import --inventory list.json --addresses hosts", 0, "import"),
    ("import/bad-inventory", "import --inventory list.json --addresses hosts", 2, "import"),
    ("import/states", "import --from etc --membership stdin -o cluster.toml", 2, "import"),
];

#[test]
fn what_looks_at_files_prints_one_document() {
    isolated("what_looks_at_files_prints_one_document", || {
        let _namespace = netns::Namespace::unshare();
        for (folder, line, code, form) in ON_FILES {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
            let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
                .current_dir(folder)
                .args(line.split(' '))
                .arg("--json")
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
            assert_eq!(output.status.code(), Some(code), "{line}: {out}{err}");
            let found = document::of(&out);
            assert_eq!(found["schema"], format!("ringfence/{form}/1"), "{line}");
            assert_eq!(found["exit"], code, "{line}");
            let errors = found["errors"].as_array().unwrap();
            assert_eq!(code == 2, !errors.is_empty(), "{line}: {out}");
            // Whoever sees only what goes wrong reads it there, too.
            for error in errors {
                let first = error["message"].as_str().unwrap().lines().next().unwrap();
                assert!(err.contains(first), "{line}: {error} is not in {err}");
            }
        }
    });
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_line() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["verify", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(CLUSTER.replace("\"http\"", "\"htpp\"").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let found = document::of(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(output.status.code(), Some(2));
    let error = &found["errors"][0];
    assert_eq!((&error["code"], &error["line"]), (&json!("unknown-service"), &json!(9)), "{found}");
    assert_eq!(error["help"], "did you mean `http`?");
}

/// What a schema does not name is not let through: a check that cannot fail shows nothing.
#[test]
fn a_document_of_another_shape_is_found() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .current_dir(folder)
        .args(["diff", "old.toml", "new.toml", "--json"])
        .output()
        .unwrap();
    let good = document::of(&String::from_utf8(output.stdout).unwrap());
    type Spoil = fn(&mut Value);
    let spoils: [Spoil; 7] = [
        |document| document["more"] = json!(1),
        |document| document["changes"][0]["more"] = json!(1),
        |document| document["exit"] = json!("1"),
        |document| document["outcome"] = json!("perhaps"),
        |document| document["changes"][0]["change"] = json!("keeps"),
        |document| _ = document["changes"][0].as_object_mut().unwrap().remove("witness"),
        // A head alone has errors.
        |document| _ = document.as_object_mut().unwrap().remove("changes"),
    ];
    for (at, spoil) in spoils.iter().enumerate() {
        let mut bad = good.clone();
        spoil(&mut bad);
        assert!(!document::faults(&bad).is_empty(), "{at}: {bad}");
    }
}

impl Host {
    fn apply(&self, more: &str, code: i32) -> Value {
        self.run(&format!("apply cluster.toml --root {}{more}", self.path("root").display()), code)
    }

    /// A look ahead and what comes of it, which are about the same.
    fn ahead_and_done(&self, more: &str) -> Value {
        let (dry_code, more) = if more == NOTHING { (0, "") } else { (1, more) };
        let dry = self.apply(" --dry-run", dry_code);
        assert_eq!(dry["schema"], "ringfence/diff/1");
        let done = self.apply(more, 0);
        for field in document::EFFECT {
            assert_eq!(dry[field], done[field], "{field}: {dry}\n{done}");
        }
        assert_eq!(dry["objections"], done["objections"]);
        assert_eq!(done["changed"], dry_code == 1, "{done}");
        if done["confirm"].is_null() {
            assert_eq!(self.run("diff cluster.toml", 0)["changed"], false);
        } else {
            assert_eq!(self.run("diff cluster.toml", 6)["errors"][0]["code"], "unconfirmed");
        }
        done
    }
}

const NOTHING: &str = "nothing";

#[test]
fn what_changes_a_host_prints_one_document() {
    isolated("what_changes_a_host_prints_one_document", || {
        let _namespace = netns::Namespace::unshare();
        let host = Host::new();
        let absent = host.run("status cluster.toml", 4);
        assert_eq!((&absent["state"], &absent["last_applied"]), (&json!("absent"), &Value::Null));

        let done = host.ahead_and_done("");
        assert_eq!((&done["rules"], &done["state"]), (&json!("rules"), &json!("enforced")));
        assert!(done["claims"].as_array().unwrap().iter().all(|claim| claim["result"] == "proved"), "{done}");
        assert!(done["reserved_ports_added"].as_str().unwrap().contains("6000-6009"), "{done}");
        assert_eq!(done["confirm"], Value::Null);
        host.ahead_and_done(NOTHING);
        host.write(&format!("# a remark\n{CLUSTER}"));
        host.ahead_and_done(NOTHING);

        host.write(&CLUSTER.replace("\"riak@10.20.0.12\"", "\"riak@10.20.0.12\", \"riak@10.20.0.13\""));
        let done = host.ahead_and_done("");
        assert_eq!((&done["rules"], &done["elements"][0]["member"]), (&json!("members"), &json!("10.20.0.13")));
        // What somebody else did, and only the reserved ports.
        run(&["nft", "insert", "rule", "inet", "ringfence", "admit", "tcp", "dport", "4369", "return"], "");
        assert_eq!(host.run("status cluster.toml", 1)["state"], "drifted");
        let done = host.ahead_and_done("");
        assert_eq!(done["foreign_rules"].as_array().unwrap().len(), 1, "{done}");
        netns::sysctl("net.ipv4.ip_local_reserved_ports", "\n");
        assert_eq!(host.ahead_and_done("")["writes"], json!(["reserved-ports"]));

        assert_eq!(host.run("remove", 0)["changed"], true);
        assert_eq!(host.run("remove", 0)["changed"], false);
    });
}

/// Asks arptables-legacy's table what it has, which makes it: as its tool does, which Debian has in a package of its own.
const ARP_TABLE: &str = "import ctypes, socket
own = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
info = ctypes.create_string_buffer(b'filter', 68)
length = ctypes.c_uint32(68)
libc = ctypes.CDLL(None, use_errno=True)
print(libc.getsockopt(own.fileno(), socket.IPPROTO_IP, 96, info, ctypes.byref(length)))
";

/// Nothing is read of its rules, and without ARP nobody of IPv4 reaches this host.
#[test]
fn a_table_of_arptables_is_not_passed_over() {
    isolated("a_table_of_arptables_is_not_passed_over", || {
        let _namespace = netns::Namespace::unshare();
        let host = Host::new();
        host.apply("", 0);
        assert_eq!(host.run("status cluster.toml", 0)["state"], "enforced");
        run(&["python3", "-c", ARP_TABLE], "");
        let names = fs::read_to_string("/proc/thread-self/net/arp_tables_names").unwrap_or_default();
        if names.is_empty() {
            return netns::not_possible("a table of arptables-legacy", "the kernel has none");
        }
        assert_eq!(host.run("status cluster.toml", 3)["state"], "undecided");
    });
}

/// A name that was mistyped is another file's.
#[test]
fn nothing_is_written_over_that_is_something_else() {
    isolated("nothing_is_written_over_that_is_something_else", || {
        let _namespace = netns::Namespace::unshare();
        let host = Host::new();
        host.run("diff cluster.toml --out cluster.toml", 2);
        host.apply("", 0);
        host.run("status cluster.toml --metrics cluster.toml", 2);
        assert_eq!(fs::read_to_string(host.path("cluster.toml")).unwrap(), CLUSTER);
        for _ in 0..2 {
            host.run("status cluster.toml --metrics own.prom", 0);
            host.run("diff cluster.toml --out own.plan", 0);
        }
    });
}

#[test]
fn who_confirmed_is_known_afterwards() {
    isolated("who_confirmed_is_known_afterwards", || {
        let _namespace = netns::Namespace::unshare();
        let host = Host::new();
        host.apply("", 0);
        let first = host.run("status cluster.toml", 0);
        let last = &first["last_applied"];
        assert_eq!(last["digest"], first["digest"]);
        assert_eq!((&last["confirmed"], &last["version"]), (&Value::Null, &json!(env!("CARGO_PKG_VERSION"))));
        assert!(last["applied"]["uid"].is_u64() && first["proved_at"].as_str().unwrap().ends_with('Z'), "{first}");
        // That it was seen before is no other answer.
        let again = host.run("status cluster.toml", 0);
        assert_eq!((&again["digest"], &again["proved_at"]), (&first["digest"], &first["proved_at"]));
        assert_eq!(again["unchanged_since"], true);

        host.write(&CLUSTER.replace("6000-6009", "6000-6019"));
        let done = host.ahead_and_done(" --confirm-within 60s");
        let confirm = &done["confirm"];
        assert!(confirm["command"].as_str().unwrap().starts_with("ringfence confirm"), "{done}");
        assert!((1.0..=60.0).contains(&confirm["seconds"].as_f64().unwrap()), "{done}");
        let refused = host.apply("", 6);
        assert_eq!((&refused["errors"][0]["code"], refused.get("changed")), (&json!("unconfirmed"), None));
        let confirmed = host.run("confirm", 0);
        assert_eq!(confirmed["changed"], true);
        host.ahead_and_done(NOTHING);
        let second = host.run("status cluster.toml", 0);
        assert_eq!(second["last_applied"], confirmed["last_applied"]);
        assert!(second["last_applied"]["confirmed"]["uid"].is_u64(), "{second}");
        assert_ne!(second["last_applied"]["rules_digest"], last["rules_digest"]);
        let none = host.run("confirm", 4);
        assert_eq!((&none["changed"], &none["errors"][0]["code"]), (&json!(false), &json!("absent")));

        host.write(CLUSTER);
        host.ahead_and_done(" --confirm-within 60s");
        let back = host.run("rollback", 0);
        assert_eq!((&back["changed"], &back["rules_in_force"]), (&json!(true), &json!(true)));
        assert_eq!(back["last_applied"], second["last_applied"]);
        assert_eq!(host.run("rollback", 4)["changed"], false);

        // A version that notes nothing of the kind has nothing to say about it.
        fs::remove_file(host.path("state/deeds")).unwrap();
        let status = host.run("status cluster.toml", 6);
        assert_eq!(status["last_applied"]["confirmed"], Value::Null);
        assert_ne!(status["digest"], status["last_applied"]["digest"]);
    });
}

#[test]
fn what_is_refused_or_wrong_is_a_document_as_well() {
    isolated("what_is_refused_or_wrong_is_a_document_as_well", || {
        let _namespace = netns::Namespace::unshare();
        let host = Host::new();
        host.write(&CLUSTER.replace("10.20.0.11", "10.20.0.31"));
        let dry = host.run("diff cluster.toml", 1);
        let refused = host.apply("", 1);
        assert_eq!(dry["objections"], refused["objections"]);
        assert_eq!((&refused["objections"][0]["code"], &refused["changed"]), (&json!("no-node"), &json!(false)));
        assert_eq!((&refused["objections"][0]["allowed"], refused.get("state")), (&json!(false), None));
        let allowed = host.apply(" --allow no-node", 0);
        assert_eq!((&allowed["objections"][0]["allowed"], &allowed["changed"]), (&json!(true), &json!(true)));
        host.run("explain cluster.toml --live --from 10.20.0.31 --port 8098", 0);
        assert_eq!(host.run("verify cluster.toml --live", 1)["errors"][0]["code"], "no-node");
        host.write(CLUSTER);
        host.run("apply cluster.toml --allow other-cluster,no-node --dry-run", 1);
        host.apply(" --allow other-cluster", 0);
        assert_eq!(host.run("verify cluster.toml --live", 0)["schema"], "ringfence/verify-host/1");

        let unknown = host.apply(" --node riak@10.20.0.99", 2);
        assert_eq!(unknown["errors"][0]["code"], "unknown-node");
        host.write(&CLUSTER.replace("\"plan\"", "plan"));
        for line in [
            "apply cluster.toml",
            "diff cluster.toml",
            "status cluster.toml",
            "explain cluster.toml --from ::1 --port 1",
        ] {
            let wrong = host.run(line, 2);
            assert_eq!(
                (&wrong["errors"][0]["code"], &wrong["errors"][0]["line"]),
                (&json!("syntax"), &json!(2)),
                "{line}"
            );
            assert_eq!(wrong.get("changed"), None);
        }
        // What was applied last is looked at, and what is wrong with the file is an error all the same.
        let status = host.run("status", 0);
        assert_eq!((&status["of_last_apply"], &status["errors"][0]["code"]), (&json!(true), &json!("syntax")));
    });
}

/// What the kernel holds is reviewed as what a file makes: the same cells, until somebody opens one.
#[test]
fn a_review_of_a_host_is_of_what_its_kernel_holds() {
    isolated("a_review_of_a_host_is_of_what_its_kernel_holds", || {
        let _namespace = netns::Namespace::unshare();
        let host = Host::new();
        let open = host.run("report cluster.toml --live", 1);
        assert_eq!((&open["verdict"], &open["rules"]), (&json!("violated"), &json!("kernel")));
        assert!(open["host"]["at"].as_str().unwrap().ends_with('Z'), "{open}");
        host.apply("", 0);
        let held = host.run("report cluster.toml --live", 0);
        let made = host.run("report cluster.toml --node riak@10.20.0.11", 0);
        assert_eq!((&held["verdict"], &held["texts"][0]["name"]), (&json!("proved"), &json!("rules of the kernel")));
        // It fits as long as the kernel holds the same, and no longer: not even where the claims and the cells are not touched.
        fs::write(host.path("held.json"), held.to_string()).unwrap();
        let fits = |code: i32| -> String {
            let (config, review) = (host.path("cluster.toml"), host.path("held.json"));
            let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
                .args(["verify", config.to_str().unwrap(), "--live", "--review", review.to_str().unwrap()])
                .env("RINGFENCE_STATE_DIR", host.path("state"))
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(code), "{text}{}", String::from_utf8_lossy(&output.stderr));
            text
        };
        let said = fits(0);
        assert!(said.starts_with("the report fits, as of 2") && said.contains(": PROVED"), "{said}");
        run(
            &["nft", "-f", "-"],
            "table inet other { chain c { type filter hook input priority 0; udp dport 53 drop; }; }\n",
        );
        assert!(fits(1).contains("other texts of rules"));
        run(&["nft", "delete", "table", "inet", "other"], "");
        assert!(fits(0).starts_with("the report fits, as of 2"));
        let told = |review: &Value| -> Vec<(Value, Value, Value)> {
            let rows = review["rows"].as_array().unwrap().iter();
            let cells = rows.flat_map(|row| row["cells"].as_array().unwrap());
            cells.map(|cell| (cell["found"].clone(), cell["wanted"].clone(), cell["shown"].clone())).collect()
        };
        assert_eq!(told(&held), told(&made));
        assert!(held["answers"].as_array().unwrap().iter().all(|answer| answer["good"] == true), "{held}");
        run(&["nft", "insert", "rule", "inet", "ringfence", "admit", "ip", "saddr", "192.0.2.0/24", "accept"], "");
        let spoiled = host.run("report cluster.toml --live", 1);
        for row in spoiled["rows"].as_array().unwrap() {
            let wrong = row["kind"] == "others" && row["family"] == "IPv4";
            assert!(
                row["cells"].as_array().unwrap().iter().all(|cell| (cell["shown"] == "violated") == wrong),
                "{row}"
            );
        }
    });
}
