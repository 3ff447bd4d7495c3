//! What a review says of rules, cluster files and places that are odd.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod document;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn ringfence(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringfence")).current_dir(folder).args(words).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A folder with the small cluster and its guard.
struct Here(tempfile::TempDir);

impl Here {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(root().join("tests/transcripts/small.toml"), folder.path().join("small.toml")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn guard(&self) -> String {
        out(&ringfence(self.0.path(), &["compile", "small.toml", "--format", "nft"]))
    }

    fn run(&self, words: &[&str]) -> Output {
        ringfence(self.0.path(), words)
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = self.run(&[&["report"], words, &["--format", "json"]].concat());
        document::of(&out(&output))
    }
}

/// The words of each cell of a row.
fn cells(review: &Value, kind: &str, family: &str) -> Vec<String> {
    let rows = review["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["kind"] == kind && row["family"] == family).unwrap();
    let of = |cell: &Value| format!("{} {}", cell["shown"].as_str().unwrap(), cell["found"].as_str().unwrap());
    row["cells"].as_array().unwrap().iter().map(of).collect()
}

/// A violated cell says what becomes of packets by all doors, not by the one at which the violation is.
#[test]
fn what_is_blocked_too_late_is_not_admitted() {
    let here = Here::new();
    let everything = "{ type filter hook prerouting priority";
    for (rules, others, client) in [
        // Behind the place where a translation could have moved it.
        (
            format!("table inet t {{ chain c {everything} -50; tcp dport 1-65535 drop; }} }}"),
            "blocked-elsewhere",
            "blocked",
        ),
        // At its place, but input is open.
        (
            format!("table inet t {{ chain c {everything} -300; meta l4proto tcp drop; }} }}"),
            "blocked-elsewhere",
            "blocked",
        ),
        (
            format!("table inet t {{ chain c {everything} -450; meta l4proto tcp drop; }} }}"),
            "blocked-elsewhere",
            "blocked",
        ),
    ] {
        here.write("r.nft", &rules);
        let review = here.json(&["small.toml", "--ruleset", "r.nft"]);
        assert_eq!(review["verdict"], "violated", "{rules}");
        assert_eq!(cells(&review, "others", "IPv4"), vec![format!("violated {others}"); 5], "{rules}");
        assert_eq!(cells(&review, "client", "IPv4")[3], format!("violated {client}"), "{rules}");
        let text = out(&here.run(&["matrix", "small.toml", "--ruleset", "r.nft"]));
        assert!(text.contains("VIOLATED: blocked elsewhere [1]"), "{text}");
        // The rule that is named is the one that blocks.
        assert!(text.contains("line 1: ") && text.contains(" drop"), "{text}");
    }
}

/// Where a packet may be led to another port or host before it is blocked, nobody says that it is. The other family is not touched by it.
#[test]
fn what_may_be_translated_is_not_said_to_be_blocked() {
    let here = Here::new();
    let late = here.guard().replace("hook prerouting priority -300", "hook prerouting priority 300");
    assert_ne!(late, here.guard());
    for to in ["redirect to :9999", "dnat to 10.9.9.9:80"] {
        let nat =
            format!("table ip n {{ chain p {{ type nat hook prerouting priority -100; tcp dport 8098 {to}\n}} }}\n");
        here.write("late.nft", &format!("{late}{nat}"));
        let review = here.json(&["small.toml", "--ruleset", "late.nft"]);
        for kind in ["private", "untrusted", "others"] {
            assert_eq!(cells(&review, kind, "IPv4")[3], "violated undecided", "{kind} {to}");
        }
        assert_eq!(cells(&review, "others", "IPv6"), vec!["violated blocked-elsewhere"; 5], "{to}");
        let dropped = "table ip i { chain c { type filter hook input priority 0; tcp dport 8098 drop\n} }\n";
        here.write("q.nft", &format!("{}{nat}{dropped}", here.guard()));
        let review = here.json(&["small.toml", "--ruleset", "q.nft"]);
        for kind in ["peers", "client"] {
            assert_eq!(cells(&review, kind, "IPv4")[3], "violated undecided", "{kind} {to}");
        }
        // What is dropped before is.
        let early = "table ip e { chain c { type filter hook prerouting priority -350; tcp dport 8098 drop\n} }\n";
        here.write("e.nft", &format!("{}{nat}{early}", here.guard()));
        let review = here.json(&["small.toml", "--ruleset", "e.nft"]);
        assert_eq!(cells(&review, "client", "IPv4")[3], "violated blocked", "{to}");
    }
}

/// Nothing is said to get in of which it is not known.
#[test]
fn mixed_is_what_is_known_of_both() {
    let here = Here::new();
    here.write(
        "r.nft",
        &format!(
            "{}table inet t {{ chain c {{ type filter hook input priority -300; ip saddr 10.20.1.0/24 tcp flags & (syn|ack) == syn drop\n\
             ip saddr 10.20.1.0/24 meta mark != 0x12345 drop\n}} }}\n",
            here.guard()
        ),
    );
    let review = here.json(&["small.toml", "--ruleset", "r.nft"]);
    assert_eq!(cells(&review, "client", "IPv4")[3], "violated some-blocked");
    let text = out(&here.run(&["report", "small.toml", "--ruleset", "r.nft"]));
    assert!(text.contains("VIOLATED: some blocked"), "{text}");
}

/// What is not known because of a translation is so by the rule that translates.
#[test]
fn a_translation_is_named_where_it_is_the_doubt() {
    let here = Here::new();
    here.write(
        "r.nft",
        &format!(
            "{}table ip t {{ chain c {{ type nat hook prerouting priority -100; tcp dport 8098 redirect to :4369\n}} }}\n",
            here.guard()
        ),
    );
    let review = here.json(&["small.toml", "--ruleset", "r.nft"]);
    let rows = review["rows"].as_array().unwrap();
    let undecided =
        rows.iter().flat_map(|row| row["cells"].as_array().unwrap()).filter(|cell| cell["shown"] == "undecided");
    let named: Vec<usize> = undecided.map(|cell| cell["rule"].as_u64().unwrap() as usize).collect();
    assert!(!named.is_empty());
    for rule in named {
        let text = review["deciding"][rule - 1]["text"].as_str().unwrap();
        assert_eq!(text, "tcp dport 8098 redirect to :4369");
    }
}

fn many(clients: usize, from: impl Fn(usize) -> String) -> String {
    let mut text =
        "[cluster]\nname = \"many\"\nnodes = [\"riak@10.20.0.11\"]\n[networks]\nprivate = [\"10.20.0.0/24\"]\n\
                    untrusted = [\"10.20.0.128/25\"]\n[services.distribution]\nports = \"6000-6009\"\n"
            .to_owned();
    for at in 0..clients {
        let service = if at % 2 == 0 { "http" } else { "protobuf" };
        let state = from(at);
        writeln!(text, "[[client]]\nname = \"c{at:05}\"\nfrom = [\"{state}\"]\nservices = [\"{service}\"]").unwrap();
    }
    text + "[services.protobuf]\nstate = \"open\"\n"
}

/// Of very many cells that are violated, the gravest have packets, and each group has one.
#[test]
fn strangers_have_packets_first() {
    let here = Here::new();
    here.write("many.toml", &many(2000, |at| format!("10.7.{}.{}", at / 250, at % 250 + 1)));
    here.write(
        "r.nft",
        "table inet t { chain c { type filter hook input priority 0; tcp dport 6000-6009 accept\n tcp dport 8000-9000 accept\n} }\n",
    );
    let review = here.json(&["many.toml", "--ruleset", "r.nft"]);
    let rows = review["rows"].as_array().unwrap();
    for row in rows.iter().filter(|row| row["kind"] != "client") {
        for cell in row["cells"].as_array().unwrap().iter().filter(|cell| cell["shown"] == "violated") {
            assert!(cell["packet"].is_string(), "{} {cell}", row["who"]);
        }
    }
    let clients: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "client").collect();
    assert_eq!(clients.len(), 2, "{clients:?}");
    for row in clients {
        assert_eq!(row["who"], "1000 clients who fare alike");
        assert!(row["cells"].as_array().unwrap().iter().any(|cell| cell["packet"].is_string()));
    }
}

/// Addresses are counted once, in a row as among rows.
#[test]
fn nobody_is_counted_twice() {
    let here = Here::new();
    here.write("many.toml", &many(70, |_| "10.9.0.0/16".to_owned()));
    let review = here.json(&["many.toml"]);
    let rows = review["rows"].as_array().unwrap();
    let clients: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "client").collect();
    assert!(clients.iter().all(|row| row["addresses"] == "65536"), "{clients:?}");
    here.write(
        "nested.toml",
        "[cluster]\nname = \"n\"\nnodes = [\"riak@10.20.0.11\"]\n[networks]\nprivate = [\"10.20.0.0/24\", \"10.20.0.64/26\"]\n\
         [services.distribution]\nports = \"6000-6009\"\n",
    );
    let review = here.json(&["nested.toml"]);
    let rows = review["rows"].as_array().unwrap();
    let of = |kind: &str| -> Vec<u64> {
        let own = rows.iter().filter(|row| row["kind"] == kind && row["family"] == "IPv4");
        own.map(|row| row["addresses"].as_str().unwrap().parse().unwrap()).collect()
    };
    assert_eq!((of("private"), of("peers"), of("others")), (vec![191, 64], vec![1], vec![(1 << 32) - 256]));
}

/// The same files give the same document, wherever they are; of one name they are told apart.
#[test]
fn no_folder_is_in_the_document() {
    let here = Here::new();
    let odd = "table inet x { chain c { type filter hook input priority 5; frobnicate 1 accept\n} }\n";
    for folder in ["one", "two/deep"] {
        here.write(&format!("{folder}/small.toml"), &fs::read_to_string(here.path("small.toml")).unwrap());
        here.write(&format!("{folder}/a/r.nft"), odd);
        let lying = here.guard().replace("app (10.20.1.0/24)", "app (10.20.0.0/16)");
        here.write(&format!("{folder}/r.nft"), &format!("include \"inc/*.nft\"\n{lying}"));
        here.write(&format!("{folder}/inc/r.nft"), odd);
    }
    for form in ["text", "markdown", "html", "json"] {
        let of = |folder: &str| {
            let name = |file: &str| here.path(folder).join(file).to_str().unwrap().to_owned();
            let (config, one, other) = (name("small.toml"), name("r.nft"), name("a/r.nft"));
            let looks = here.path(folder);
            let looks = ["--include-from", looks.to_str().unwrap()];
            let words = ["report", config.as_str(), "--format", form, looks[0], looks[1], "--ruleset", &one, &other];
            let output = here.run(&words);
            assert_eq!(output.status.code(), Some(1));
            out(&output)
        };
        let text = of("one");
        assert_eq!(text, of("two/deep"), "{form}");
        assert!(!text.contains("/one/") && !text.contains("deep"), "{text}");
        assert!(text.contains("r.nft (2)") && text.contains("r.nft (3)"), "{text}");
        assert!(!text.contains(here.0.path().to_str().unwrap()), "{text}");
    }
}

/// Neither is what a cluster file or a ruleset includes, and the mode of what is written over stays.
#[test]
fn what_is_read_is_not_written_over() {
    use std::os::unix::fs::PermissionsExt as _;
    let here = Here::new();
    here.write("top.nft", &format!("include \"{}\"\n{}", here.path("inc/x.nft").display(), here.guard()));
    here.write("inc/x.nft", "table inet x { }\n");
    let own = "include = [\"more/*.toml\"]\n[cluster]\nname = \"small\"\nnodes = [\"riak@10.20.0.11\"]\n[networks]\n\
               private = [\"10.20.0.0/24\"]\n[services.distribution]\nports = \"6000\"\n";
    here.write("own.toml", own);
    here.write("more/c.toml", "[[client]]\nname = \"app\"\nfrom = [\"10.20.1.0/24\"]\nservices = [\"http\"]\n");
    for (name, words) in [
        ("inc/x.nft", vec!["small.toml", "--ruleset", "top.nft"]),
        ("inc/x.nft", vec!["small.toml", "--since", "top.nft"]),
        ("more/c.toml", vec!["own.toml"]),
        ("own.toml", vec!["own.toml"]),
    ] {
        let before = fs::read_to_string(here.path(name)).unwrap();
        let output = here.run(&[&["report"], words.as_slice(), &["-o", name]].concat());
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("is one of the files that are read"), "{name}");
        assert_eq!(fs::read_to_string(here.path(name)).unwrap(), before);
    }
    here.write("out.txt", "");
    fs::set_permissions(here.path("out.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(here.run(&["report", "small.toml", "-o", "out.txt"]).status.code(), Some(0));
    assert_eq!(fs::metadata(here.path("out.txt")).unwrap().permissions().mode() & 0o777, 0o600);
}

fn result(sarif: &Value) -> Vec<(String, String, String)> {
    let run = &sarif["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let one = |result: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let place = &result["locations"][0]["physicalLocation"];
        let line = place["region"]["startLine"].as_u64().unwrap();
        assert!(line >= 1 && matches!(result["level"].as_str(), Some("error" | "warning" | "note")), "{result}");
        assert_eq!(rules[result["ruleIndex"].as_u64().unwrap() as usize]["id"], result["ruleId"]);
        assert!(!text(&result["message"]["text"]).is_empty());
        let uri = text(&place["artifactLocation"]["uri"]);
        assert!(uri.bytes().all(|byte| byte.is_ascii_graphic()) && !uri.starts_with('/'), "{uri}");
        (text(&result["ruleId"]), text(&result["level"]), format!("{uri}:{line}"))
    };
    run["results"].as_array().unwrap().iter().map(one).collect()
}

/// SARIF has findings, claims and cells at lines of the cluster file. Its schema is large and not ours: where a copy of it is named by
/// `RINGFENCE_SARIF_SCHEMA`, all of it is held against that.
#[test]
fn sarif_has_what_is_wrong_at_its_line() {
    let here = Here::new();
    here.write("r.nft", &here.guard().replace("ip saddr 10.20.1.0/24", "ip saddr 10.20.1.0/25"));
    fs::copy(root().join("tests/cases/client-terms/cluster.toml"), here.path("a b.toml")).unwrap();
    let sarif = |words: &[&str]| -> Value {
        let output = here.run(&[&["report"], words, &["--format", "sarif"]].concat());
        let found: Value = serde_json::from_str(&out(&output)).unwrap();
        if let Some(file) = std::env::var_os("RINGFENCE_SARIF_SCHEMA") {
            let schema: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
            let wrong: Vec<String> = jsonschema::validator_for(&schema)
                .unwrap()
                .iter_errors(&found)
                .map(|error| error.to_string())
                .collect();
            assert!(wrong.is_empty(), "{wrong:#?}");
        }
        assert_eq!((&found["version"], found["runs"].as_array().unwrap().len()), (&Value::from("2.1.0"), 1));
        found
    };
    let told = |rule: &str, level: &str, place: &str| (rule.to_owned(), level.to_owned(), place.to_owned());
    assert_eq!(result(&sarif(&["small.toml"])), []);
    assert_eq!(
        result(&sarif(&["small.toml", "--ruleset", "r.nft"])),
        [told("claim-reachability", "error", "small.toml:1"), told("cell-to-be-admitted", "error", "small.toml:10")]
    );
    let late = sarif(&["a b.toml", "--today", "2026-06-01"]);
    assert_eq!(result(&late), [told("client-expired", "warning", "a%20b.toml:9")]);
}

/// Of very many results those are told that weigh most, and no text of somebody else's is markup.
#[test]
fn sarif_tells_the_gravest_first() {
    let here = Here::new();
    let late = many(6000, |at| format!("10.7.{}.{}", at / 250, at % 250 + 1))
        .replace("[\"protobuf\"]", "[\"http\"]")
        .replace("services =", "until = \"2026-01-01\"\nservices =");
    here.write("late.toml", &late);
    here.write("open.nft", "table inet t { chain c { type filter hook input priority 0; accept comment \"[approved](https://example.org) {0}\"\n} }\n");
    let output =
        here.run(&["report", "late.toml", "--ruleset", "open.nft", "--today", "2026-06-01", "--format", "sarif"]);
    let sarif: Value = serde_json::from_str(&out(&output)).unwrap();
    let results = result(&sarif);
    assert_eq!(results.len(), 5000);
    let levels: Vec<&str> = results.iter().map(|(_, level, _)| level.as_str()).collect();
    let last = levels.iter().rposition(|level| *level == "error").unwrap();
    assert!(levels[..last].iter().all(|level| *level == "error"), "{last}");
    assert_eq!(results[0].0, "claim-isolation");
    let texts: Vec<&str> = sarif["runs"][0]["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["message"]["text"].as_str().unwrap())
        .collect();
    assert!(texts.iter().take(6).any(|text| text.starts_with("everyone else, IPv4")), "{:?}", &texts[..6]);
    assert!(texts.iter().any(|text| text.contains("\\[approved\\](https://example.org) {{0}}")), "{:?}", &texts[..6]);
    // A header that lies is no less than a violation.
    here.write("lie.nft", &here.guard().replace("app (10.20.1.0/24)", "app (10.20.0.0/16)"));
    let output = here.run(&["report", "small.toml", "--ruleset", "lie.nft", "--format", "sarif"]);
    let found = result(&serde_json::from_str(&out(&output)).unwrap());
    assert_eq!(found[0], ("header-admits".to_owned(), "error".to_owned(), "small.toml:1".to_owned()));
}

/// Of very many sources, strangers and whatever is not proved are drawn.
#[test]
fn the_picture_has_strangers_first() {
    let here = Here::new();
    let networks: Vec<String> = (0..51).map(|at| format!("\"10.{}.0.0/24\"", 30 + at)).collect();
    here.write(
        "priv.toml",
        &format!("[cluster]\nname = \"p\"\nnodes = [\"riak@10.30.0.11\"]\n[networks]\nprivate = [{}]\n[services.distribution]\nports = \"6000-6009\"\n", networks.join(", ")),
    );
    let mut open = "table inet t { chain c { type filter hook input priority 0;\n".to_owned();
    // Each network fares otherwise.
    for at in 0..51 {
        writeln!(
            open,
            "ip saddr 10.{}.0.0/24 tcp dport {{ {} }} drop",
            30 + at,
            (0..6)
                .filter(|bit| at >> bit & 1 == 1)
                .map(|bit| ["6000-6009", "4369", "8099", "8098", "8087", "1"][bit])
                .chain(["2"])
                .collect::<Vec<_>>()
                .join(", ")
        )
        .unwrap();
    }
    here.write("open.nft", &(open + "} }\n"));
    let page = out(&here.run(&["report", "priv.toml", "--ruleset", "open.nft", "--format", "html"]));
    let (_, svg) = page.split_once("<svg").unwrap();
    let (svg, _) = svg.split_once("</svg>").unwrap();
    assert!(svg.matches("everyone else: VIOLATED").count() >= 1, "{svg}");
    assert!(svg.contains(">everyone else<"), "{svg}");
}

/// The picture has a line for each way in that the matrix has, and says in words what it draws.
#[test]
fn the_picture_is_the_matrix() {
    let here = Here::new();
    here.write("early.nft", &fs::read_to_string(root().join("tests/transcripts/early-accept.nft")).unwrap());
    for words in [vec!["small.toml"], vec!["small.toml", "--ruleset", "early.nft"]] {
        let review = here.json(&words);
        let page = out(&here.run(&[&["report"], words.as_slice(), &["--format", "html"]].concat()));
        let (_, svg) = page.split_once("<svg").unwrap();
        let (svg, _) = svg.split_once("</svg>").unwrap();
        let cells = review["rows"].as_array().unwrap().iter().flat_map(|row| row["cells"].as_array().unwrap());
        let of = |shown: &str, found: &str| {
            cells.clone().filter(|cell| cell["shown"] == shown && cell["found"] == found).count()
        };
        // One more of each kind is in the legend.
        let drawn = |class: &str| svg.matches(&format!("class=\"{class}\"")).count() - 1;
        assert_eq!(drawn("way-in"), of("proved", "admitted"), "{svg}");
        assert_eq!(drawn("way-bad"), of("violated", "mixed"), "{svg}");
        assert!(
            svg.contains("<title ") && svg.contains("client app: admitted to http; blocked from distribution"),
            "{svg}"
        );
    }
}

/// A report fits as long as everything that it was made of is what it was.
#[test]
fn a_report_fits_what_it_was_made_of() {
    let here = Here::new();
    here.write("r.nft", &here.guard());
    here.run(&["report", "small.toml", "-o", "compiled.json"]);
    here.run(&["report", "small.toml", "--ruleset", "r.nft", "-o", "files.json"]);
    let held = |words: &[&str]| -> (Option<i32>, String) {
        let output = here.run(&[&["verify", "small.toml"], words].concat());
        (output.status.code(), out(&output))
    };
    assert_eq!(held(&["--review", "compiled.json"]).0, Some(0));
    assert_eq!(held(&["--ruleset", "r.nft", "--review", "files.json"]).0, Some(0));
    // Rules that do the same by another text, and rules that do not.
    here.write("r.nft", &format!("{}\n# a remark\n", here.guard()));
    let (code, text) = held(&["--ruleset", "r.nft", "--review", "files.json"]);
    assert_eq!(
        (code, text.contains("other texts of rules"), text.contains("its matrix")),
        (Some(1), true, false),
        "{text}"
    );
    here.write("r.nft", &here.guard().replace("ip saddr 10.20.1.0/24", "ip saddr 10.20.1.0/25"));
    let (code, text) = held(&["--ruleset", "r.nft", "--review", "files.json"]);
    assert_eq!((code, text.contains("its matrix"), text.contains("its verdict")), (Some(1), true, true), "{text}");
    let changed = fs::read_to_string(here.path("small.toml")).unwrap() + "\n# a remark\n";
    here.write("small.toml", &changed);
    let (code, text) = held(&["--review", "compiled.json"]);
    assert_eq!((code, text.contains("another cluster file")), (Some(1), true), "{text}");
    // A report of rules that are violated fits, and ends as they do.
    here.write("r.nft", "table inet t { }\n");
    here.run(&["report", "small.toml", "--ruleset", "r.nft", "-o", "bad.json"]);
    let (code, text) = held(&["--ruleset", "r.nft", "--review", "bad.json"]);
    assert_eq!((code, text.starts_with("the report fits: VIOLATED")), (Some(1), true), "{text}");
    assert_eq!(held(&["--review", "r.nft"]).0, Some(2));
}

/// Every word of a report counts: what a signature stands for is all of it.
#[test]
fn no_word_of_a_report_can_be_changed() {
    let here = Here::new();
    fs::copy(root().join("tests/cases/client-terms/cluster.toml"), here.path("terms.toml")).unwrap();
    let made = ["report", "terms.toml", "--today", "2026-06-01", "--format", "json"];
    let report: Value = serde_json::from_str(&out(&here.run(&made))).unwrap();
    let held = |report: &Value| -> (Option<i32>, String) {
        here.write("held.json", &report.to_string());
        let output = here.run(&["verify", "terms.toml", "--review", "held.json"]);
        (output.status.code(), out(&output))
    };
    // In other white space, and on another day: the day is the report's.
    assert_eq!(held(&report).0, Some(0), "{}", held(&report).1);
    let fields: Vec<String> = report.as_object().unwrap().keys().cloned().collect();
    assert!(fields.len() > 20, "{fields:?}");
    for field in fields.iter().filter(|field| field.as_str() != "schema") {
        let (mut gone, mut other) = (report.clone(), report.clone());
        gone.as_object_mut().unwrap().remove(field);
        other[field] = match &report[field] {
            Value::Array(all) if !all.is_empty() => Value::Array(Vec::new()),
            _ => Value::from("made up"),
        };
        for changed in [gone, other] {
            let (code, text) = held(&changed);
            // Without rows it is no report.
            let wanted = if field == "rows" && changed.get("rows").is_none() { 2 } else { 1 };
            assert_eq!((code, text.contains("DOES NOT FIT")), (Some(wanted), wanted == 1), "{field}: {text}");
        }
    }
    let mut more = report.clone();
    more["approved"] = Value::from("by nobody");
    assert_eq!(held(&more).0, Some(1));
    here.write("held.json", &report.to_string().replacen('{', "{\"verdict\": \"violated\", ", 1));
    let output = here.run(&["verify", "terms.toml", "--review", "held.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("has a field twice"));
}

fn moves(review: &Value) -> Vec<String> {
    let all = review["since"]["moves"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    all.map(|one| [&one["change"], &one["who"], &one["what"], &one["because"]].map(text).join(" | ")).collect()
}

/// What changed since rules is told by meaning.
#[test]
fn what_changed_since_before_is_told() {
    let here = Here::new();
    let old = fs::read_to_string(here.path("small.toml")).unwrap();
    here.write("old.nft", &here.guard());
    assert_eq!(here.json(&["small.toml", "--since", "old.nft"])["since"]["same"], true);
    let new = old.replace("10.20.1.0/24", "10.20.2.0/24").replace(
        "[services.distribution]",
        "[[client]]\nname = \"web\"\nfrom = [\"10.30.0.1\"]\nservices = [\"http\"]\n[services.handoff]\nstate = \"unused\"\n\
         [services.distribution]",
    );
    here.write("small.toml", &new);
    let review = here.json(&["small.toml", "--since", "old.nft"]);
    assert_eq!(review["since"]["no_longer_guarded"], serde_json::json!(["handoff"]));
    assert_eq!(review["since"]["same"], false);
    let found = moves(&review);
    let wanted = ["gains | 10.20.2.0/24, 10.30.0.1 | port 8098-8099 | -", "loses | 10.20.1.0/24 | http | -"];
    assert!(wanted.iter().all(|wanted| found.iter().any(|one| one.starts_with(wanted))), "{found:#?}");
    // Who gains is first, and of these whom the file does not name.
    let ranks: Vec<u8> =
        found.iter().map(|one| u8::from(one.starts_with("loses")) * 2 + u8::from(!one.ends_with("| -"))).collect();
    assert!(ranks.is_sorted() && found.first().unwrap().ends_with("| -"), "{found:#?}");
    for form in ["text", "markdown", "html"] {
        let text = out(&here.run(&["report", "small.toml", "--since", "old.nft", "--format", form]));
        for words in ["since", "NO LONGER GUARDED", "GAINS: ", "old.nft"] {
            assert!(text.contains(words), "{form}: {words}");
        }
    }
    // All sources are in the document of JSON, whose short form is for reading.
    let networks: Vec<String> = (0..30).map(|at| format!("\"10.{}.0.0/24\"", 40 + 2 * at)).collect();
    here.write("small.toml", &old.replace("\"10.20.1.0/24\"", &format!("\"10.20.1.0/24\", {}", networks.join(", "))));
    let review = here.json(&["small.toml", "--since", "old.nft"]);
    let first = &review["since"]["moves"][0];
    assert_eq!(first["sources"].as_array().unwrap().len(), 30, "{first}");
    assert!(first["who"].as_str().unwrap().contains("24 more"), "{first}");
}

/// A family that is not in the rules of before or of now is not compared, and that is said.
#[test]
fn a_family_that_is_not_given_is_no_change() {
    let here = Here::new();
    here.write("b.nft", &here.guard());
    here.write("b.iptables", &out(&here.run(&["compile", "small.toml", "--format", "iptables"])));
    here.write("open.iptables", "# Generated by iptables-save\n*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n");
    for words in [["--since", "b.iptables", "--ruleset", "b.nft"], ["--ruleset", "b.iptables", "--since", "b.nft"]] {
        let output = here.run(&[&["report", "small.toml", "--format", "json"], words.as_slice()].concat());
        let review = document::of(&out(&output));
        assert_eq!(moves(&review), [] as [String; 0], "{words:?}");
        assert_eq!(review["since"]["same"], false, "{words:?}");
        assert!(
            review["since"]["undecided"].as_str().unwrap().starts_with("no rules of IPv6 are in the files"),
            "{words:?}"
        );
    }
    let review = here.json(&["small.toml", "--ruleset", "open.iptables", "--since", "b.nft"]);
    let found = moves(&review);
    assert!(
        found.iter().any(|one| one.starts_with("gains")) && !found.iter().any(|one| one.contains("::")),
        "{found:?}"
    );
}

/// A report of JSON has the rules that it is about in it, where that can be.
#[test]
fn what_changed_since_a_report_is_told() {
    let here = Here::new();
    here.write("old.nft", &here.guard());
    here.write("old.ipt", &out(&here.run(&["compile", "small.toml", "--format", "iptables"])));
    here.write("old.ip6", &out(&here.run(&["compile", "small.toml", "--format", "ip6tables"])));
    here.run(&["report", "small.toml", "-o", "made.json"]);
    here.run(&["report", "small.toml", "--ruleset", "old.nft", "-o", "file.json"]);
    here.run(&["report", "small.toml", "--ruleset", "old.ipt", "--ruleset", "old.ip6", "-o", "two.json"]);
    let reports = ["made.json", "file.json", "two.json"];
    for report in reports {
        let review = here.json(&["small.toml", "--since", report]);
        assert_eq!(
            (&review["since"]["same"], review["since"]["texts"][0]["name"].as_str()),
            (&true.into(), Some(report))
        );
    }
    let old = fs::read_to_string(here.path("small.toml")).unwrap();
    here.write("small.toml", &old.replace("10.20.1.0/24", "10.20.2.0/24"));
    let by_rules = moves(&here.json(&["small.toml", "--since", "old.nft"]));
    assert!(by_rules.iter().any(|one| one.starts_with("gains | 10.20.2.0/24 | http")), "{by_rules:?}");
    for report in reports {
        assert_eq!(moves(&here.json(&["small.toml", "--since", report])), by_rules, "{report}");
    }
}

/// What a report says of rules by names does not tell who gains.
#[test]
fn a_report_without_all_of_its_rules_is_refused() {
    let here = Here::new();
    here.run(&["report", "small.toml", "-o", "old.json"]);
    let old = fs::read_to_string(here.path("old.json")).unwrap();
    here.write("next.json", &old.replace("ringfence/report/1", "ringfence/report/2"));
    here.write("half.json", "{\"schema\": \"ringfence/report/1\", \"errors\": []}");
    here.write("verify.json", &out(&here.run(&["verify", "small.toml", "--json"])));
    let mut report: Value = serde_json::from_str(&old).unwrap();
    let text = report["texts"][0]["text"].as_str().unwrap().to_owned();
    report["texts"][0]["text"] = text.replace("10.20.1.0/24", "0.0.0.0/0").into();
    here.write("other.json", &report.to_string());
    for text in report["texts"].as_array_mut().unwrap() {
        text.as_object_mut().unwrap().remove("text");
    }
    here.write("without.json", &report.to_string());
    // A file that includes another stands for more than its own text.
    here.write("rules/all.nft", &format!("include \"more.nft\"\n{}", here.guard()));
    here.write("rules/more.nft", "table inet more { chain c { type filter hook input priority 5; } }\n");
    let includes = ["--include-from", "rules", "--ruleset", "rules/all.nft", "-o", "includes.json"];
    here.run(&[["report", "small.toml"].as_slice(), &includes].concat());
    // Nor does one whose letters would deceive a reader stand in a document.
    here.write("odd.nft", &format!("# \u{202e}\n{}", here.guard()));
    here.run(&["report", "small.toml", "--ruleset", "odd.nft", "-o", "odd.json"]);
    assert!(!fs::read_to_string(here.path("odd.json")).unwrap().contains('\u{202e}'));
    for (file, said) in [
        ("next.json", "another version"),
        ("half.json", "says only why"),
        ("verify.json", ""),
        ("small.toml", ""),
        ("none.json", ""),
        ("other.json", "texts/0/sha256 is not the digest"),
        ("without.json", "has not all of its rules"),
        ("includes.json", "has not all of its rules"),
        ("odd.json", "has not all of its rules"),
    ] {
        let output = here.run(&["report", "small.toml", "--since", file]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{file}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(said), "{file}: {error}");
    }
    here.write("old.nft", &here.guard());
    let output = here.run(&["report", "small.toml", "--since", "old.json", "--since", "old.nft"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("name either a report or rules"));
    for file in ["next.json", "half.json", "verify.json", "small.toml", "none.json"] {
        assert_eq!(here.run(&["verify", "small.toml", "--review", file]).status.code(), Some(2), "{file}");
    }
}

/// Findings call included files as rows do: two of one name in two folders are two.
#[test]
fn findings_name_files_as_rows_do() {
    let here = Here::new();
    here.write(
        "own.toml",
        "include = [\"in/b/c.toml\", \"in/c.toml\"]\n[cluster]\nname = \"o\"\nnodes = [\"riak@10.20.0.11\"]\n[networks]\n\
         private = [\"10.20.0.0/24\"]\n[services.distribution]\nports = \"6000\"\n",
    );
    for (folder, name) in [("in", "one"), ("in/b", "two")] {
        let last = name.len() + folder.len();
        here.write(
            &format!("{folder}/c.toml"),
            &format!(
                "[[client]]\nname = \"{name}\"\nfrom = [\"10.30.0.{last}\"]\nservices = [\"http\"]\nuntil = \"2026-01-01\"\n"
            ),
        );
    }
    let review = here.json(&["own.toml", "--today", "2026-06-01"]);
    let findings = review["findings"].as_array().unwrap().iter();
    let mut files: Vec<&str> = findings.map(|one| one["file"].as_str().unwrap()).collect();
    files.sort_unstable();
    assert_eq!(files, ["in/b/c.toml", "in/c.toml"]);
}

/// Who has no last day does not fail because of a day.
#[test]
fn an_odd_day_is_no_matter_without_last_days() {
    let here = Here::new();
    fs::copy(root().join("tests/cases/client-terms/cluster.toml"), here.path("terms.toml")).unwrap();
    for (file, epoch, code) in [
        ("small.toml", "-1", 0),
        ("small.toml", "999999999999", 0),
        ("terms.toml", "-1", 2),
        ("terms.toml", "999999999999", 2),
        ("terms.toml", "", 0),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        command.current_dir(here.0.path()).args(["compile", file]).env("SOURCE_DATE_EPOCH", epoch);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{file} {epoch:?}: {output:?}");
    }
}

/// Why clients are admitted and until when is in every form. Without a day, the document does not hang on one.
#[test]
fn days_are_told_and_held_against_the_day_that_is_given() {
    let here = Here::new();
    fs::copy(root().join("tests/cases/client-terms/cluster.toml"), here.path("terms.toml")).unwrap();
    let day = |words: &[&str], epoch: Option<&str>| -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        command.current_dir(here.0.path()).args(["report", "terms.toml", "--format", "json"]).args(words);
        command.env_remove("SOURCE_DATE_EPOCH").envs(epoch.map(|epoch| ("SOURCE_DATE_EPOCH", epoch)));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let found: Value = serde_json::from_str(&out(&output)).unwrap();
        let past = found["reasons"].as_array().unwrap().iter().map(|one| one["past"].clone()).collect();
        let codes = found["findings"].as_array().unwrap().iter().map(|one| one["code"].clone()).collect();
        Value::Array(vec![found["today"].clone(), Value::Array(past), Value::Array(codes)])
    };
    let expired = serde_json::json!(["2026-06-01", [true, false], ["client-expired"]]);
    assert_eq!(day(&["--today", "2026-06-01"], None), expired);
    // 2026-06-01, 12:00.
    assert_eq!(day(&[], Some("1780315200")), expired);
    assert_eq!(
        day(&["--today", "2026-05-31"], Some("1780315200")),
        serde_json::json!(["2026-05-31", [false, false], []])
    );
    assert_eq!(day(&[], None), serde_json::json!([null, [null, null], []]));
    for form in ["text", "markdown", "html"] {
        let text = out(&here.run(&["report", "terms.toml", "--today", "2026-06-01", "--format", form]));
        for words in [
            "until 2026-05-31, which is PAST",
            "copies the buckets of 2025",
            "until 2026-06-01",
            "on 2026-06-01, 1 of them past",
        ] {
            assert!(text.contains(words), "{form}: {words}\n{text}");
        }
        let text = out(&here.run(&["report", "terms.toml", "--format", form]));
        assert!(text.contains("no day was given"), "{form}");
    }
    let bad = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .current_dir(here.0.path())
        .args(["compile", "terms.toml"])
        .env("SOURCE_DATE_EPOCH", "yesterday")
        .output()
        .unwrap();
    assert_eq!((bad.status.code(), bad.stdout.len()), (Some(2), 0));
}

/// A header lies wherever it stands.
#[test]
fn headers_of_included_files_and_of_other_nodes_are_judged() {
    let here = Here::new();
    here.write("inc/z.nft", &here.guard().replace("app (10.20.1.0/24)", "app (10.20.0.0/16)"));
    here.write("top.nft", "flush ruleset\ninclude \"inc/*.nft\"\n");
    let codes = |words: &[&str]| -> (i32, Vec<String>) {
        let output = here.run(&[&["verify", "small.toml", "--json"], words].concat());
        let found: Value = serde_json::from_str(&out(&output)).unwrap();
        let codes = found["findings"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap().to_owned());
        (output.status.code().unwrap(), codes.collect())
    };
    assert_eq!(codes(&["--include-from", ".", "--ruleset", "top.nft"]), (1, vec!["header-admits".to_owned()]));
    let other = here.run(&["compile", "small.toml", "--format", "nft", "--node", "riak@10.20.0.12"]);
    here.write("other.nft", &out(&other));
    let asked = ["--ruleset", "other.nft", "--node", "riak@10.20.0.11"];
    assert_eq!(codes(&asked), (0, vec!["header-node".to_owned()]));
}

/// A line of the cluster file is behind a gain only where all who gain, and all that they gain, are of it.
#[test]
fn nobody_hides_behind_a_client() {
    let here = Here::new();
    let guard = here.guard();
    here.write("old.nft", &guard);
    let with = |rule: &str| guard.replace("chain admit {\n", &format!("chain admit {{\n{rule}\n"));
    for (rule, wanted) in [
        // More addresses than the client has, from its first one on; then more ports than it has.
        ("ip saddr 10.20.1.0-10.99.255.255 tcp dport 8099 return", "gains | 10.20.1.0-10.99.255.255 | handoff | -"),
        ("ip saddr 10.20.1.0/24 tcp dport 8099 return", "gains | 10.20.1.0/24 | handoff | -"),
        ("ip saddr 10.20.1.0/24 tcp dport 22 return", ""),
    ] {
        here.write("new.nft", &with(rule));
        let found = moves(&here.json(&["small.toml", "--ruleset", "new.nft", "--since", "old.nft"]));
        assert_eq!(found.first().map(String::as_str).unwrap_or_default(), wanted, "{rule}");
    }
    here.write("shut.nft", &guard.replace("ip saddr 10.20.1.0/24 return", "ip saddr 10.20.1.0/25 return"));
    let found = moves(&here.json(&["small.toml", "--ruleset", "old.nft", "--since", "shut.nft"]));
    assert_eq!(found, ["gains | 10.20.1.128/25 | http | app, small.toml:11"]);
    // Nor are many single addresses told before one wide range.
    let singles: String =
        (0..1500).map(|at| format!("ip saddr 10.{}.{}.7 tcp dport 8098 return\n", 100 + at / 200, at % 200)).collect();
    here.write("new.nft", &with(&format!("{singles}ip saddr 172.16.0.0/12 tcp dport 8087 return")));
    let found = moves(&here.json(&["small.toml", "--ruleset", "new.nft", "--since", "old.nft"]));
    assert_eq!(found[0], "gains | 172.16.0.0/12 | protobuf | -");
}

/// Where connection tracking sees otherwise what it saw before, rules that ask for states see something else.
#[test]
fn what_is_tracked_otherwise_is_not_the_same() {
    let here = Here::new();
    let rules = |before: &str| {
        format!(
            "{}\ntable inet z {{\n{before}chain p {{ type filter hook input priority 0; ct state established,untracked accept\n\
             tcp dport 9999 drop\n}}\n}}\n",
            here.guard()
        )
    };
    let exempt = "chain r { type filter hook prerouting priority -350; tcp dport 9999 notrack\n}\n";
    here.write("old.nft", &rules(""));
    here.write("new.nft", &rules(exempt));
    let found = here.json(&["small.toml", "--ruleset", "new.nft", "--since", "old.nft"]);
    assert_eq!(found["since"]["same"], false);
    assert!(found["since"]["undecided"].as_str().unwrap().contains("port 9999"), "{}", found["since"]);
    here.write("also.nft", &rules(&exempt.replace("notrack", "counter notrack")));
    assert_eq!(here.json(&["small.toml", "--ruleset", "new.nft", "--since", "also.nft"])["since"]["same"], true);
}

/// What is read from standard input is not written over, nor is a cluster file added.
#[test]
fn a_report_does_not_go_where_something_is_read() {
    let here = Here::new();
    here.write("clusters/a.toml", &fs::read_to_string(here.path("small.toml")).unwrap());
    let before = fs::read_to_string(here.path("small.toml")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .current_dir(here.0.path())
        .args(["report", "-", "-o", "small.toml"])
        .stdin(fs::File::open(here.path("small.toml")).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read_to_string(here.path("small.toml")).unwrap(), before);
    for name in ["clusters/b.toml", "clusters/../clusters/b.toml"] {
        assert_eq!(here.run(&["report", "clusters", "-o", name]).status.code(), Some(2), "{name}");
        assert!(!here.path("clusters/b.toml").exists());
    }
    assert_eq!(here.run(&["report", "clusters", "-o", "clusters/b.md"]).status.code(), Some(0));
}

/// What lint found on hosts stands there by its weight, if it is about this cluster file.
#[test]
fn what_lint_found_is_told() {
    let here = Here::new();
    let digest = here.json(&["small.toml"])["clusters"][0]["input"].clone();
    let found = |severity: &str, message: &str| serde_json::json!({ "severity": severity, "code": "open-listener", "message": message, "file": "riak.conf", "line": 3, "help": null });
    let linted = |input: &Value| {
        serde_json::json!({
            "schema": "ringfence/lint/1", "exit": 1, "outcome": "no", "errors": [], "findings": [], "clean": false, "node": "riak@10.20.0.11",
            "files": 1, "sockets": 2, "members": null, "runs": true,
            "clusters": [{ "name": "small", "node": null, "file": "small.toml", "input": input, "profile": "riak, version 1" }],
            "found": [found("note", "a small thing"), found("error", "a grave thing\u{202e}")],
        })
        .to_string()
    };
    here.write("l.json", &linted(&digest));
    let review = here.json(&["small.toml", "--lint", "l.json"]);
    let told: Vec<&str> =
        review["linted"][0]["found"].as_array().unwrap().iter().map(|one| one["message"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        ["[open-listener]: a grave thing\\u{202e} (riak.conf:3)", "[open-listener]: a small thing (riak.conf:3)"]
    );
    for form in ["text", "markdown", "html"] {
        let text = out(&here.run(&["report", "small.toml", "--lint", "l.json", "--format", form]));
        assert!(text.contains("a grave thing") && text.contains("riak@10.20.0.11"), "{form}");
    }
    here.write("other.json", &linted(&"0".repeat(64).into()));
    here.write("verify.json", &out(&here.run(&["verify", "small.toml", "--json"])));
    for (file, words) in [
        ("other.json", "another cluster file"),
        ("verify.json", "is no document of"),
        ("small.toml", "is no document of"),
    ] {
        let output = here.run(&["report", "small.toml", "--lint", file]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{file}");
        assert!(String::from_utf8(output.stderr).unwrap().contains(words), "{file}");
    }
    // A report with it fits with it alone.
    here.run(&["report", "small.toml", "--lint", "l.json", "-o", "r.json"]);
    assert_eq!(here.run(&["verify", "small.toml", "--review", "r.json", "--lint", "l.json"]).status.code(), Some(0));
    assert_eq!(here.run(&["verify", "small.toml", "--review", "r.json"]).status.code(), Some(1));
    assert_eq!(here.run(&["verify", "small.toml", "--lint", "l.json"]).status.code(), Some(2));
}
