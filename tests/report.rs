//! `ringfence report` and `ringfence matrix`: documents word for word, what they cost, and that all forms say the same.
//!
//! `tests/report/NAME/` holds what comes of a command line in its file `args`, in each form. `RINGFENCE_BLESS=1` writes what came out
//! instead of comparing. Read the difference before you commit it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod document;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const FORMS: [(&str, &str); 5] =
    [("text", "txt"), ("markdown", "md"), ("json", "json"), ("html", "html"), ("sarif", "sarif")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn ringfence(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringfence")).current_dir(folder).args(words).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn held_against(path: &Path, found: &str) {
    if std::env::var_os("RINGFENCE_BLESS").is_some() {
        fs::write(path, found).unwrap();
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(written == found, "{} is not what came out; RINGFENCE_BLESS=1 writes it\n{found}", path.display());
}

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> =
        fs::read_dir(root().join("tests/report")).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    cases
}

#[test]
fn documents_are_what_is_written() {
    for case in cases() {
        let args = fs::read_to_string(case.join("args")).unwrap();
        let (code, args) = args.trim().split_once(' ').unwrap();
        let words: Vec<&str> = args.split_whitespace().collect();
        for (form, ending) in FORMS {
            let output = ringfence(&case, &[&["report"], words.as_slice(), &["--format", form]].concat());
            let found = out(&output);
            assert_eq!(output.status.code().map(|code| code.to_string()).as_deref(), Some(code), "{found}");
            if form == "json" {
                document::of(&found);
            }
            held_against(&case.join(format!("review.{ending}")), &found);
            // The same into a file, whose name says the form.
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join(format!("review.{ending}"));
            let mut command = [&["report"], words.as_slice(), &["-o"]].concat();
            let name = file.to_str().unwrap();
            command.push(name);
            let output = ringfence(&case, &command);
            assert_eq!((out(&output).as_str(), output.status.code().unwrap().to_string().as_str()), ("", code));
            assert_eq!(fs::read_to_string(&file).unwrap(), found, "{form}");
        }
        let matrix = ringfence(&case, &[&["matrix"], words.as_slice()].concat());
        assert_eq!(matrix.status.code().unwrap().to_string(), code);
        let text = fs::read_to_string(case.join("review.txt")).unwrap();
        assert!(text.contains(&out(&matrix)), "the matrix is the one of the document");
    }
}

/// The sample is what the program makes of the example.
#[test]
fn the_sample_is_up_to_date() {
    let folder = root().join("rulesets/examples");
    let output = ringfence(&folder, &["report", "mail-east.toml", "--format", "html"]);
    assert_eq!(output.status.code(), Some(0));
    held_against(&folder.join("mail-east.report.html"), &out(&output));
}

/// Every form has every cell, as JSON says it.
#[test]
fn every_form_says_the_same_of_every_cell() {
    for case in cases() {
        let read = |ending: &str| fs::read_to_string(case.join(format!("review.{ending}"))).unwrap();
        let json: serde_json::Value = serde_json::from_str(&read("json")).unwrap();
        let rows = json["rows"].as_array().unwrap();
        let (text, markdown, html) = (read("txt"), read("md"), read("html"));
        let in_text: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("MATRIX")).skip(3).collect();
        let table = |page: &str, from: &str, row: &str| -> Vec<String> {
            let behind = page.split_once(from).unwrap().1;
            behind.lines().filter(|line| line.starts_with(row)).take(rows.len()).map(str::to_owned).collect()
        };
        let in_markdown = table(markdown.split_once("## Who gets").unwrap().1, "|---|---|--:|", "| `");
        let in_html = table(html.split_once("id=\"matrix\"").unwrap().1, "<tbody>", "<tr><th");
        for (at, row) in rows.iter().enumerate() {
            let words: Vec<String> = row["cells"].as_array().unwrap().iter().map(word).collect();
            let joined = |line: &str, mark: &str| -> Vec<String> {
                let found = line.split(mark).map(str::trim).filter(|part| words.contains(&(*part).to_owned()));
                found.map(str::to_owned).collect()
            };
            let plain = |line: &str| line.replace(['[', ']'], "|").replace("  ", "|");
            assert_eq!(joined(&plain(in_text[at]), "|"), words, "{}", in_text[at]);
            assert_eq!(joined(&in_markdown[at].replace("**", "").replace('[', "|"), "|"), words, "{}", in_markdown[at]);
            let cells = in_html[at]
                .replace("✗ ", "")
                .replace("? ", "")
                .replace(", wanted", "<")
                .replace(" <a", "<")
                .replace('>', "<");
            assert_eq!(joined(&cells, "<"), words, "{}", in_html[at]);
        }
    }
}

fn word(cell: &serde_json::Value) -> String {
    let found = cell["found"].as_str().unwrap();
    match cell["shown"].as_str().unwrap() {
        "proved" => found.to_owned(),
        "violated" => format!("VIOLATED: {found}"),
        "undecided" => "UNDECIDED".to_owned(),
        other => panic!("{other}"),
    }
}

/// HTML needs nothing else, and asks for nothing.
#[test]
fn a_page_is_one_file() {
    for case in cases() {
        let html = fs::read_to_string(case.join("review.html")).unwrap();
        for word in ["<script", " src=", "http://", "https://", "url(", "@import", "<link", "<iframe", "onclick"] {
            // The tips of arrows are in the page itself.
            assert!(!html.replace("url(#tip", "").contains(word), "{word}");
        }
        let targets = html.split("href=\"").skip(1).map(|part| part.split('"').next().unwrap());
        for target in targets {
            let id = target.strip_prefix('#').unwrap_or_else(|| panic!("{target} leads elsewhere"));
            assert!(html.contains(&format!("id=\"{id}\"")), "{target} leads nowhere");
        }
        assert_eq!(html.matches("<h1").count(), 1);
        assert_eq!(html.matches("<table").count(), html.matches("<thead><tr><th scope=\"col\"").count());
    }
}

/// What cannot be judged makes no document: nothing is written, and what is wrong is said.
#[test]
fn nothing_is_written_of_what_cannot_be_judged() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cluster.toml"), "[cluster]\n").unwrap();
    for name in ["review.html", "review.md", "review.txt", "review.json"] {
        let output = ringfence(folder.path(), &["report", "cluster.toml", "-o", name]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(!folder.path().join(name).exists(), "{name}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("error["), "{name}");
        if name.ends_with("json") {
            assert!(!document::of(&String::from_utf8(output.stdout).unwrap())["errors"].as_array().unwrap().is_empty());
        }
    }
}

/// The matrix of ten thousand clients is some lines, and the page some hundred kilobytes.
#[test]
fn a_large_cluster_makes_a_small_document() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cluster.toml"), large()).unwrap();
    let matrix = ringfence(folder.path(), &["matrix", "cluster.toml"]);
    assert_eq!(matrix.status.code(), Some(0));
    held_against(&root().join("tests/report-large.txt"), &out(&matrix));
    let html = ringfence(folder.path(), &["report", "cluster.toml", "--format", "html"]);
    assert!((500_000..2_000_000).contains(&html.stdout.len()), "{} bytes", html.stdout.len());
}

/// A hundred nodes and ten thousand clients.
fn large() -> String {
    let nodes: Vec<String> = (1..=100).map(|at| format!("\"riak@10.20.0.{at}\"")).collect();
    let mut text = format!(
        "[cluster]\nname = \"large\"\nnodes = [{}]\n[networks]\nprivate = [\"10.20.0.0/24\"]\n[services.distribution]\n\
         ports = \"6000-6199\"\n[services.protobuf]\nstate = \"open\"\n",
        nodes.join(", ")
    );
    for at in 0..10_000 {
        let services = if at % 4 == 0 { "\"http\", \"protobuf\"" } else { "\"http\"" };
        let (high, low) = (at / 250, at % 250 + 1);
        writeln!(
            text,
            "[[client]]\nname = \"client-{at:05}\"\nfrom = [\"10.7.{high}.{low}\"]\nservices = [{services}]"
        )
        .unwrap();
    }
    text
}

/// What is no document is not written over: a pipe, a link, the cluster file, a ruleset.
#[test]
fn only_documents_are_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::copy(root().join("tests/transcripts/small.toml"), path("small.toml")).unwrap();
    fs::write(path("r.nft"), "table inet t { }\n").unwrap();
    fs::write(path("old.txt"), "old\n").unwrap();
    std::os::unix::fs::symlink("old.txt", path("link")).unwrap();
    assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    let cluster_file = fs::read_to_string(path("small.toml")).unwrap();
    for name in ["small.toml", "./r.nft", "link", "pipe"] {
        for form in ["text", "json"] {
            let words = ["report", "small.toml", "--ruleset", "r.nft", "--format", form, "-o", name];
            assert_eq!(ringfence(folder.path(), &words).status.code(), Some(2), "{name}");
        }
    }
    assert_eq!(fs::read_to_string(path("small.toml")).unwrap(), cluster_file);
    assert_eq!(fs::read_to_string(path("r.nft")).unwrap(), "table inet t { }\n");
    assert_eq!(fs::read_to_string(path("old.txt")).unwrap(), "old\n");
    assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
    // A regular file is.
    let output = ringfence(folder.path(), &["report", "small.toml", "-o", "old.txt"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(fs::read_to_string(path("old.txt")).unwrap().starts_with("Review of"));
}
