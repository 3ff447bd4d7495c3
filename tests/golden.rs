//! Golden cases: `tests/cases/NAME/cluster.toml` → every format, or the whole text of the findings.
//!
//! A case is a folder with
//! - `cluster.toml`, the input; or `clusters.d`, a folder with one for each of several clusters;
//! - `args`, further arguments, if it has any; without `--format` among them every format is made;
//! - `out/`, the files that must come of it; without that folder the run must fail with exit code 2;
//! - `stderr`, what is printed on standard error; without it, nothing must be.
//!
//! `RINGFENCE_BLESS=1` writes what came out instead of comparing. Read the difference before you commit it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ringfence::diagnostic::{Code, Severity};

const FORMATS: &str =
    "nft,iptables,ip6tables,ipset,sysctl,json,open-nft,open-iptables,open-ip6tables,open-ipset,firewalld";

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn bless() -> bool {
    std::env::var_os("RINGFENCE_BLESS").is_some()
}

fn run(case: &Path, output: &Path) -> Output {
    let args = fs::read_to_string(case.join("args")).unwrap_or_default();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    let config = if case.join("clusters.d").is_dir() { "clusters.d" } else { "cluster.toml" };
    command.current_dir(case).args(["compile", config, "--output"]).arg(output).args(args.split_whitespace());
    if !args.contains("--format") {
        command.args(["--format", FORMATS]);
    }
    command.output().unwrap()
}

fn files(folder: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect()
}

/// The first line that differs, which says more than two whole files.
fn difference(expected: &str, found: &str) -> String {
    let lines = expected.lines().map(Some).chain(std::iter::repeat(None));
    let other = found.lines().map(Some).chain(std::iter::repeat(None));
    let count = expected.lines().count().max(found.lines().count()) + 1;
    for (number, (old, new)) in lines.zip(other).take(count).enumerate() {
        if old != new {
            return format!("line {}:\n  expected {old:?}\n  found    {new:?}", number + 1);
        }
    }
    "the line ends differ".to_owned()
}

#[test]
fn every_case_gives_what_is_written() {
    let mut wrong = Vec::new();
    for case in cases() {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let scratch = tempfile::tempdir().unwrap();
        let result = run(&case, scratch.path());
        let stderr = String::from_utf8(result.stderr).unwrap();
        assert!(result.stdout.is_empty(), "{name}: nothing goes to standard output with --output");
        let found = files(scratch.path());
        if bless() {
            write_case(&case, &stderr, &found);
            continue;
        }
        let code = if case.join("out").is_dir() { 0 } else { 2 };
        if result.status.code() != Some(code) {
            wrong.push(format!("{name}: exit {:?} instead of {code}\n{stderr}", result.status.code()));
        }
        let expected = fs::read_to_string(case.join("stderr")).unwrap_or_default();
        if expected != stderr {
            wrong.push(format!("{name}: stderr, {}", difference(&expected, &stderr)));
        }
        let expected = files(&case.join("out"));
        if expected.keys().ne(found.keys()) {
            wrong.push(format!("{name}: files {:?} instead of {:?}", found.keys(), expected.keys()));
        }
        for (file, text) in &expected {
            if let Some(found) = found.get(file).filter(|found| *found != text) {
                wrong.push(format!("{name}: {file}, {}", difference(text, found)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n\nRINGFENCE_BLESS=1 writes what came out", wrong.join("\n"));
}

fn write_case(case: &Path, stderr: &str, found: &BTreeMap<String, String>) {
    let out = case.join("out");
    let _ = fs::remove_dir_all(&out);
    let _ = fs::remove_file(case.join("stderr"));
    if !found.is_empty() {
        fs::create_dir(&out).unwrap();
    }
    for (name, text) in found {
        fs::write(out.join(name), text).unwrap();
    }
    if !stderr.is_empty() {
        fs::write(case.join("stderr"), stderr).unwrap();
    }
}

#[test]
fn there_are_enough_cases_and_half_of_them_are_bad_input() {
    let all = cases();
    let bad = all.iter().filter(|case| !case.join("out").is_dir()).count();
    assert!(all.len() >= 25 && bad * 5 >= all.len() * 2, "{} cases, {bad} of bad input", all.len());
}

#[test]
fn every_code_is_shown_by_a_case_and_explained_in_the_reference() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let stderr = |folder: &str| -> Vec<PathBuf> {
        let cases = fs::read_dir(root.join("tests").join(folder)).unwrap();
        cases.map(|entry| entry.unwrap().path().join("stderr")).collect()
    };
    let paths = [stderr("cases"), stderr("import"), vec![root.join("tests/lint/lint.txt")]].concat();
    let texts: String = paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    let reference = fs::read_to_string(root.join("rulesets/REFERENCE.md")).unwrap();
    for code in Code::ALL {
        let shown = texts.contains(&format!("[{code}]"));
        let elsewhere = SHOWN_ELSEWHERE.contains(code) || ON_A_HOST.contains(code);
        assert_ne!(shown, elsewhere, "a case shows {code}: {shown}");
        let row = |line: &str| line.starts_with('|') && line.split('|').nth(1).unwrap().contains(&format!("`{code}`"));
        assert!(reference.lines().any(row), "the reference does not explain {code}");
        let (heading, _) = under_heading(&reference).find(|(_, line)| row(line)).unwrap();
        let severity = match code.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        assert_eq!(heading, severity, "the reference has {code} in the wrong table, or the table is broken");
    }
}

/// The rows of tables, each with what its table calls its first column.
fn under_heading(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut heading = "";
    let mut before = "";
    page.lines().filter_map(move |line| {
        let cells = line.split('|').nth(1).map(str::trim);
        // A row behind a line that is none is the heading of a table.
        if !before.starts_with('|') {
            heading = cells.unwrap_or_default();
        }
        before = line;
        line.starts_with('|').then_some((heading, line))
    })
}

/// Two codes whose input is too long for a file, shown below, two that take a running node (tests/lint.rs), and two of files that
/// only `verify` reads (tests/transcripts/routes.txt).
const SHOWN_ELSEWHERE: [Code; 11] = [
    Code::HeaderInput,
    Code::HeaderAdmits,
    Code::HeaderNode,
    Code::HeaderRests,
    Code::HeaderAdded,
    Code::TooManySources,
    Code::LongPortList,
    Code::OutsideRange,
    Code::OtherErlang,
    Code::RoutesSyntax,
    Code::MissingRoutes,
];

/// What concerns a live host and no file: tests/faults and tests/agreed.rs show what is refused, `host::ways`, `host::sources` and `host::tunnels` the rest.
const ON_A_HOST: [Code; 22] = [
    Code::PlanOutdated,
    Code::ForeignPlan,
    Code::BadPlan,
    Code::Unblocks,
    Code::Allowance,
    Code::NotThrough,
    Code::BesideRules,
    Code::LocalProxy,
    Code::RouteLocalnet,
    Code::OtherNamespace,
    Code::NotLooked,
    Code::CutSsh,
    Code::NoNode,
    Code::MissingInterface,
    Code::ForeignAddress,
    Code::OtherInterface,
    Code::VrfInterface,
    Code::OtherCluster,
    Code::CutPeer,
    Code::RunningNode,
    Code::OtherSource,
    Code::Encapsulation,
];

/// A code that is written into a message by hand is in no list, and so in no reference: `"the-code: what is wrong"`.
#[test]
fn no_message_has_a_code_of_its_own() {
    fn look(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, found);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            // What tests expect is no message.
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            found.extend(codes_in(text).into_iter().map(|code| format!("{}: {code}", path.display())));
        }
    }
    assert_eq!(codes_in("(\"{}: a\", \"other-source: b\", \"a note: c\", \"word: d\")"), ["other-source"]);
    let mut found = Vec::new();
    look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.is_empty(), "use `Code` for these:\n{}", found.join("\n"));
}

/// Words with dashes that a text literal begins with, before a colon.
fn codes_in(text: &str) -> Vec<&str> {
    let begins = text.split('"').filter_map(|part| part.split_once(": ").map(|(begin, _)| begin));
    let is_code =
        |word: &&str| word.contains('-') && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    begins.filter(is_code).collect()
}

fn compile_text(cluster: &str, format: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cluster.toml"), cluster).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    command.current_dir(folder.path()).args(["compile", "cluster.toml", "--format", format]).output().unwrap()
}

const BASE: &str = "[cluster]\nname = \"x\"\nnodes = [\"riak@10.0.0.1\"]\n[services.distribution]\nports = \"6000\"\n";

#[test]
fn networks_times_clients_is_bounded() {
    let private: String = (0..2000).map(|n| format!("\"10.{}.{}.0/24\",", n / 256, n % 256)).collect();
    let client = |n| format!("[[client]]\nname = \"c{n}\"\nfrom = \"private\"\nservices = [\"http\"]\n");
    let clients: String = (0..1001).map(client).collect();
    let result = compile_text(&format!("{BASE}[networks]\nprivate = [{private}]\n{clients}"), "nft");
    assert_eq!(result.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&result.stderr).contains("error[too-many-sources]"));
}

#[test]
fn a_sysctl_that_is_too_long_is_said_to_be() {
    let ports: String = (1000..4000).step_by(2).map(|port| format!("{port},")).collect();
    let service = format!("[services.odd]\npeers = true\nports = [{ports}]\n[networks]\nprivate = [\"10.0.0.0/8\"]\n");
    let result = compile_text(&format!("{BASE}{service}"), "sysctl");
    assert_eq!(result.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&result.stderr).contains("warning[long-port-list]"));
}

#[test]
fn the_name_of_the_file_cannot_leave_its_comment() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/mail-east/cluster.toml");
    let folder = tempfile::tempdir().unwrap();
    let name = "x\"\nreturn\n-I RINGFENCE-ADMIT -j RETURN\n#.toml";
    fs::copy(case, folder.path().join(name)).unwrap();
    for format in FORMATS.split(',') {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        let result =
            command.current_dir(folder.path()).args(["compile", name, "--sets=always", "-f", format]).output().unwrap();
        let text = String::from_utf8(result.stdout).unwrap();
        assert_eq!(result.status.code(), Some(0), "{format}");
        assert!(!text.lines().any(|line| line == "return" || line.starts_with("-I RINGFENCE")), "{format}: {text}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes_under_any_path() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/mail-east");
    let elsewhere = tempfile::tempdir().unwrap();
    fs::copy(case.join("cluster.toml"), elsewhere.path().join("cluster.toml")).unwrap();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&case, one.path());
    run(elsewhere.path(), two.path());
    assert!(!files(one.path()).is_empty());
    assert_eq!(files(one.path()), files(two.path()));
}

#[test]
fn man_pages_and_completions_name_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    assert!(command.arg("generate").arg(folder.path()).status().unwrap().success());
    let found = files(folder.path());
    for name in ["compile", "verify", "diff", "explain", "profiles"] {
        assert!(found[&format!("ringfence-{name}.1")].contains(".TH"), "{name}");
        for shell in ["ringfence.bash", "_ringfence", "ringfence.fish"] {
            assert!(found[shell].contains(name), "{shell} {name}");
        }
    }
    assert!(found["ringfence.1"].contains(".TH"));
}
