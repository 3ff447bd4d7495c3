//! `schemas/cluster.1.json`, by which an editor knows the keys of a cluster file, held against what the program takes.
//!
//! Whatever the program takes is valid; whatever is refused for a reason that a schema can tell is not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jsonschema::Validator;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn validator() -> Validator {
    let text = fs::read_to_string(root().join("schemas/cluster.1.json")).unwrap();
    jsonschema::draft7::new(&serde_json::from_str(&text).unwrap()).unwrap()
}

fn of_toml(text: &str) -> Value {
    toml::from_str(text).unwrap()
}

/// The cluster files of the tests and of the examples, but for those that are there because they are refused.
fn samples() -> Vec<PathBuf> {
    let files = |folder: &str| -> Vec<PathBuf> {
        fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let cases = files("tests/cases").into_iter().filter(|case| {
        let name = case.file_name().unwrap().to_str().unwrap();
        !name.starts_with("bad-") || name == "bad-node-argument"
    });
    let mut found: Vec<PathBuf> = cases.map(|case| case.join("cluster.toml")).filter(|file| file.exists()).collect();
    found.extend(
        files("rulesets/examples").into_iter().filter(|file| file.extension().is_some_and(|end| end == "toml")),
    );
    found.sort();
    found
}

fn ringfence(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringfence")).args(arguments).current_dir(root()).output().unwrap()
}

#[test]
fn every_sample_is_valid() {
    let (validator, samples) = (validator(), samples());
    assert!(samples.len() > 20, "{} samples", samples.len());
    for file in samples {
        let value = of_toml(&fs::read_to_string(&file).unwrap());
        let wrong: Vec<String> =
            validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", file.display());
    }
}

/// What `init` writes has the directive in its first line, and is valid.
#[test]
fn what_is_written_is_valid_and_names_the_schema() {
    let arguments =
        ["init", "--node", "riak@10.20.0.11", "--node", "riak@db2=10.20.0.12", "--client", "web:http=10.1.0.0/24"];
    let output = ringfence(&arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().next(), Some("#:schema /usr/share/ringfence/schemas/cluster.1.json"), "{text}");
    assert!(validator().is_valid(&of_toml(&text)), "{text}");
}

/// What cannot be used is not written, what is there stays, and nobody is asked without a terminal.
#[test]
fn init_writes_what_can_be_used_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.toml");
    let path = file.to_str().unwrap();
    for (more, code) in [
        (["--client", "web:htttp=10.1.0.0/24"], "unknown-service"),
        (["--client", "web:http=0.0.0.0/0"], "client-open-to-all"),
        (["--client", "web:protobuf=10.1.0.0/24"], "service-not-open"),
        (["--private", "10.9.0.0/24"], ""),
        (["--node", "riak@db2.example.com"], "host-name"),
    ] {
        let output = ringfence(&[&["init", "--node", "riak@10.20.0.11", "-o", path], more.as_slice()].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        if code.is_empty() {
            assert!(output.status.success() && file.exists(), "{said}");
            fs::remove_file(&file).unwrap();
        } else {
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(&format!("error[{code}]")) && !file.exists(), "{said}");
        }
    }
    fs::write(&file, "mine").unwrap();
    let output = ringfence(&["init", "--node", "riak@10.20.0.11", "-o", path]);
    assert_eq!((output.status.code(), fs::read_to_string(&file).unwrap().as_str()), (Some(2), "mine"));
    let output = ringfence(&["init"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("[no more]") && !said.contains("name of the cluster ["), "{said}");
}

#[test]
fn check_says_whether_a_file_can_be_used_and_prints_no_rules() {
    let output = ringfence(&["check", "rulesets/examples/mail-east.toml"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(0), 1), "{said}");
    let output = ringfence(&["check", "tests/cases/bad-keys/cluster.toml"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let said = String::from_utf8(ringfence(&["completions", shell]).stdout).unwrap();
        for name in ["compile", "check", "init", "completions", "apply"] {
            assert!(said.contains(name), "{shell}: {name}");
        }
    }
}

const GOOD: &str = "[cluster]\nname = \"x\"\nnodes = [\"riak@10.20.0.11\"]\n[networks]\nprivate = [\"10.20.0.0/24\"]\n\
                    [services.distribution]\nports = \"6000-6001\"\n[[client]]\nname = \"web\"\nfrom = [\"10.1.0.1\"]\nservices = [\"http\"]\n\
                    [guard]\nlog = true\n";

/// Each is one change of a good file; the program refuses it with this code, and so does the schema.
#[test]
fn what_a_schema_can_tell_is_refused_by_both() {
    let validator = validator();
    assert!(validator.is_valid(&of_toml(GOOD)));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.toml");
    let cases = [
        ("[guard]", "[gaurd]", "unknown-key"),
        ("log = true", "lgo = true", "unknown-key"),
        ("log = true", "log = \"yes\"", "wrong-type"),
        ("log = true", "on-block = \"rejct\"", "unknown-value"),
        ("log = true", "interfaces = []", "bad-interface"),
        ("log = true", "interfaces = \"eth0+\"", "bad-interface"),
        ("log = true", "interfaces = \"lo\"", "bad-interface"),
        ("log = true", "allow = \"cut-ssh\"", "never-allowed"),
        ("name = \"x\"", "name = \"x y\"", "bad-name"),
        ("name = \"x\"\n", "", "missing-key"),
        ("[\"riak@10.20.0.11\"]", "[\"riak@db1.example.com\"]", "host-name"),
        ("[\"riak@10.20.0.11\"]", "[\"riak@[fd20::13]\"]", "bad-address"),
        ("[\"riak@10.20.0.11\"]", "7", "wrong-type"),
        ("[\"10.20.0.0/24\"]", "[]", "missing-key"),
        ("[\"10.20.0.0/24\"]", "\"db1.example.com\"", "host-name"),
        ("\"6000-6001\"", "\"6000-\"", "bad-port"),
        ("\"6000-6001\"", "\"6000/udp\"", "bad-port"),
        ("\"6000-6001\"", "65536", "bad-port"),
        ("\"6000-6001\"", "[]", "missing-ports"),
        ("from = [\"10.1.0.1\"]\n", "", "missing-key"),
        ("from = [\"10.1.0.1\"]", "from = \"everywhere\"", "host-name"),
        ("services = [\"http\"]", "services = [\"http\"]\ngateway = 1", "wrong-type"),
        ("[[client]]", "[client]", "wrong-type"),
    ];
    for (from, to, code) in cases {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        assert!(!validator.is_valid(&of_toml(&text)), "valid: {to}");
        fs::write(&file, &text).unwrap();
        let output = ringfence(&["check", file.to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{to}: {said}");
        assert!(said.contains(&format!("error[{code}]")), "{to}: {said}");
    }
}

/// The editor's own program, where it is installed: `npm install -g @taplo/cli` or `cargo install taplo-cli`.
#[test]
#[ignore = "needs taplo"]
fn taplo_takes_the_samples_and_finds_what_is_wrong() {
    let schema = format!("file://{}", root().join("schemas/cluster.1.json").display());
    let lint = |file: &Path| Command::new("taplo").args(["lint", "--schema", &schema]).arg(file).output().unwrap();
    for file in samples() {
        let output = lint(&file);
        assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.toml");
    fs::write(&file, GOOD.replace("log = true", "on-block = \"rejct\"")).unwrap();
    assert!(!lint(&file).status.success());
    // By the directive alone.
    let directive = format!("#:schema {}\n", root().join("schemas/cluster.1.json").display());
    fs::write(&file, format!("{directive}{}", GOOD.replace("log = true", "lgo = true"))).unwrap();
    let output = Command::new("taplo").arg("lint").arg(&file).output().unwrap();
    assert!(!output.status.success());
    fs::write(&file, format!("{directive}{GOOD}")).unwrap();
    let output = Command::new("taplo").arg("lint").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
