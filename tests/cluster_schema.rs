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

/// Every key of a schema: the table that it is in, its name in there, and what there is to say of it.
fn every_key<'s>(schema: &'s Value, heading: &str, before: &str, all: &mut Vec<(String, String, &'s Value)>) {
    for (name, own) in schema["properties"].as_object().into_iter().flatten() {
        let inner = [
            (own, format!("[{name}]"), String::new()),
            (&own["items"], format!("[[{name}]]"), String::new()),
            (&own["additionalProperties"], format!("[{name}.NAME]"), format!("{before}{name}.NAME.")),
        ];
        let table = inner.into_iter().find(|(inner, ..)| inner["properties"].is_object());
        match table {
            Some((inner, own_heading, _)) if heading == "KEYS BEFORE ANY TABLE" => {
                every_key(inner, &own_heading, "", all)
            }
            table => {
                all.push((heading.to_owned(), format!("{before}{name}"), own));
                if let Some((inner, _, before)) = table {
                    every_key(inner, heading, &before, all);
                }
            }
        }
    }
}

/// The page has every key that the schema has, where it belongs, with its type, what it is by default, and an example that can be used.
#[test]
fn the_manual_has_every_key() {
    let folder = tempfile::tempdir().unwrap();
    assert!(ringfence(&["generate", folder.path().to_str().unwrap()]).status.success());
    let page = fs::read_to_string(folder.path().join("ringfence.toml.5")).unwrap().replace("\\-", "-");
    let text = fs::read_to_string(root().join("schemas/cluster.1.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let mut keys = Vec::new();
    every_key(&schema, "KEYS BEFORE ANY TABLE", "", &mut keys);
    assert!(keys.len() > 30, "{keys:?}");
    for (heading, name, own) in keys {
        let section = page.split(".SH ").find(|section| {
            section.starts_with(&format!("\"{heading}\"\n")) || section.starts_with(&format!("{heading}\n"))
        });
        let section = section.unwrap_or_else(|| panic!("no section {heading}: {page}"));
        let entry = section.split(".TP\n").find(|entry| entry.lines().next() == Some(&format!("\\fB{name}\\fR")));
        let entry = entry.unwrap_or_else(|| panic!("no {name} in {heading}: {section}"));
        for part in ["Type: ", "Example: "] {
            assert!(entry.contains(part), "{heading} {name} has no {part}: {entry}");
        }
        assert!(entry.contains("Default: ") || entry.contains("Required."), "{heading} {name}: {entry}");
        assert!(!own["description"].as_str().unwrap_or_default().is_empty(), "{heading} {name} has no description");
        // The first example is one: an editor takes it, too.
        let mut alone = own.clone();
        alone["definitions"] = schema["definitions"].clone();
        let example = &own["examples"][0];
        // What stands beside a reference does not count in this draft.
        let validator = jsonschema::draft7::new(&alone).unwrap();
        assert!(validator.is_valid(example), "{heading} {name}: {example}");
    }
    // As man(1) reads it.
    let shown = Command::new("man").args(["--warnings", "-l"]).arg(folder.path().join("ringfence.toml.5")).output();
    if let Ok(shown) = shown {
        let (out, err) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
        assert!(shown.status.success() && err.is_empty(), "{err}");
        assert!(out.contains("[[client]]") && out.contains("Example: on-block = \"reject\""), "{out}");
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
