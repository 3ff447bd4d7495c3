//! What `nft -j` prints is read as what nft prints in its own words.
//!
//! `json/nft-*` has both of some rulesets, as four releases of nft list them; `json/constructs` has every example of
//! `docs/constructs.md`. The machine's own nft lists every golden ruleset both ways; that needs root, and
//! `RINGFENCE_SKIP_KERNEL=1` leaves it out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "generate/mod.rs"]
mod generate;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use generate::Random;
use ringfence::cluster::{self, Site};
use ringfence::dialect::nft;
use ringfence::ir::{Elements, Field, Foreign, Match, Rule, Ruleset, Statement, Verdict};
use ringfence::semantics::{Door, Packet, Rules};
use ringfence::verify::{Families, Finding, check};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/json")
}

/// The same without places, counts and the words of what is not understood, which JSON has in other words.
fn bare(mut ruleset: Ruleset) -> Ruleset {
    ruleset.unread.clear();
    for table in &mut ruleset.tables {
        for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
            *rule = Rule { place: None, ..rule.clone().without_counts() };
            for one in &mut rule.matches {
                match one {
                    Match::Unknown(text)
                    | Match::Foreign(Foreign::ExtensionHeader(text) | Foreign::Varies { text, .. }) => text.clear(),
                    _ => {}
                }
            }
            for one in &mut rule.statements {
                if let Statement::Write { field: Field::Other(text), .. } = one {
                    text.clear();
                }
            }
            if let Some(Verdict::Unknown(text)) = &mut rule.verdict {
                text.clear();
            }
        }
    }
    ruleset
}

fn both(path: &Path) -> (Ruleset, Ruleset) {
    let read = |extension| fs::read_to_string(path.with_extension(extension)).unwrap();
    let text = nft::read(&read("nft")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let json = nft::json::read(&read("json")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (text.ruleset, json.ruleset)
}

fn recorded(version: &str, name: &str) -> (Ruleset, Ruleset) {
    both(&folder().join(format!("nft-{version}/{name}")))
}

/// Which rules are read differently, each as it stands.
fn different(text: &Ruleset, json: &Ruleset) -> Vec<String> {
    let (plain, bare_json) = (bare(text.clone()), bare(json.clone()));
    let mut found = Vec::new();
    for (at, (table, other)) in plain.tables.iter().zip(&bare_json.tables).enumerate() {
        for (set, other) in table.sets.iter().zip(&other.sets).filter(|(set, other)| set != other) {
            assert_eq!((&set.name, &other.elements), (&other.name, &Elements::Unknown), "a set may only be doubted");
            found.push(format!("set {}", set.name));
        }
        for (chain_at, (chain, other)) in table.chains.iter().zip(&other.chains).enumerate() {
            assert_eq!((&chain.name, chain.base), (&other.name, other.base));
            assert_eq!(chain.rules.len(), other.rules.len(), "chain {}", chain.name);
            for (rule_at, (rule, other)) in chain.rules.iter().zip(&other.rules).enumerate() {
                if rule != other {
                    found.push(text.tables[at].chains[chain_at].rules[rule_at].place.clone().unwrap().text);
                }
            }
        }
    }
    assert_eq!(plain.tables.len(), bare_json.tables.len());
    if found.is_empty() {
        assert_eq!(plain, bare_json);
    }
    found
}

#[test]
fn what_four_releases_list_is_the_same_in_both_forms() {
    let mut seen = 0;
    for version in ["0.9.8", "1.0.6", "1.1.3", "1.1.7"] {
        for entry in fs::read_dir(folder().join(format!("nft-{version}"))).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if path.extension().is_none_or(|extension| extension != "json") || name == "asleep" {
                continue;
            }
            let (text, json) = both(&path);
            let expected: &[&str] = match (name.as_str(), version) {
                // The same, and numbers that do not say which version prints them.
                ("exact", "1.0.6") => &["iifname @", "set ", "@th,0,32 & "],
                // Names of interfaces, or a set of that name.
                ("exact", _) => &["iifname @", "set "],
                // What else an element has besides a counter.
                ("gaps", "0.9.8") => &["set counted", "@counted"],
                _ => &[],
            };
            for one in different(&text, &json) {
                assert!(expected.iter().any(|begin| one.contains(begin)), "{name} of {version}: {one}");
            }
            assert_eq!(json.unread, [] as [String; 0], "{name} of {version}");
            seen += 1;
        }
    }
    assert!(seen > 25, "{seen}");
}

/// A sleeping table stops nothing. Up to nft 1.0.6 JSON has the table's name in the place of its flags.
#[test]
fn a_table_that_may_sleep_is_not_taken_for_one_that_is_awake() {
    for version in ["0.9.8", "1.0.6"] {
        let (text, json) = recorded(version, "asleep");
        assert!(text.tables[0].chains[0].base.is_none());
        assert!(json.tables[0].chains[0].base.is_some());
        assert!(json.unread[0].contains("whether table inet guard is dormant"), "{:?}", json.unread);
    }
    for version in ["1.1.3", "1.1.7"] {
        let (_, json) = recorded(version, "asleep");
        assert!(json.tables[0].chains[0].base.is_none());
        assert_eq!(json.unread, [] as [String; 0]);
    }
}

/// Our own rules are proved from JSON of every release; and nothing is once the table may sleep.
#[test]
fn what_json_says_is_proved_and_what_it_does_not_say_is_not() {
    let file = folder().join("../cases/dual-stack/cluster.toml");
    let cluster = cluster::load(&file).unwrap().cluster.unwrap();
    let results = |document: &str| -> Vec<bool> {
        let ruleset = nft::json::read(document).unwrap().ruleset;
        let report = check(&ruleset, &Site::of_every_node(&cluster), Families::Both).unwrap();
        report.findings().iter().map(|(_, finding)| matches!(finding, Finding::Proved)).collect()
    };
    for version in ["0.9.8", "1.0.6", "1.1.3", "1.1.7"] {
        let text = fs::read_to_string(folder().join(format!("nft-{version}/dual-stack.json"))).unwrap();
        assert!(results(&text).iter().all(|proved| *proved), "{version}");
        let table = r#""name": "ringfence", "handle""#;
        let flagged = text.replacen(table, &format!("\"flags\": \"ringfence\", {table}"), 1);
        assert!(flagged != text, "{version}");
        assert!(!results(&flagged).iter().any(|proved| *proved), "{version}");
    }
}

fn document(family: &str, expression: &str) -> String {
    let own = format!("\"family\": \"{family}\", \"table\": \"t\"");
    format!(
        "{{\"nftables\": [{{\"metainfo\": {{\"version\": \"1.1.7\", \"json_schema_version\": 1}}}}, \
         {{\"table\": {{\"family\": \"{family}\", \"name\": \"t\"}}}}, \
         {{\"set\": {{{own}, \"name\": \"four\", \"type\": \"ipv4_addr\", \"elem\": [\"10.0.0.1\"]}}}}, \
         {{\"set\": {{{own}, \"name\": \"names\", \"type\": \"ifname\", \"elem\": [\"lo\"]}}}}, \
         {{\"set\": {{{own}, \"name\": \"seen\", \"type\": \"ipv4_addr\", \"flags\": \"dynamic\"}}}}, \
         {{\"chain\": {{{own}, \"name\": \"c\", \"type\": \"filter\", \"hook\": \"input\", \"prio\": 0, \"policy\": \"drop\"}}}}, \
         {{\"rule\": {{{own}, \"chain\": \"c\", \"handle\": 5, \"expr\": {expression}}}}}]}}"
    )
}

fn rules_of(read: ringfence::dialect::Read) -> Vec<Rule> {
    let ruleset = bare(read.ruleset);
    ruleset.tables.into_iter().flat_map(|table| table.chains).flat_map(|chain| chain.rules).collect()
}

/// Every example of the page, in JSON and in words.
#[test]
fn every_construct_is_read_alike() {
    let examples = fs::read_to_string(folder().join("constructs")).unwrap();
    let page = fs::read_to_string(folder().join("../../docs/constructs.md")).unwrap();
    let page = page.split("## iptables").next().unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | ")).map(|(row, _)| row);
    let mut wrong = Vec::new();
    for example in rows.map(|row| row.replace("\\|", "|")) {
        let line = examples.lines().find_map(|line| line.strip_prefix(&format!("{example}\t")));
        let Some(expression) = line else {
            wrong.push(format!("{example} is not among the examples"));
            continue;
        };
        let text = format!(
            "table inet t {{\nset four {{ type ipv4_addr; elements = {{ 10.0.0.1 }} }}\nset seen {{ type ipv4_addr; flags dynamic \
             }}\nchain c {{\n{example}\n}}\n}}\n"
        );
        let (words, json) = (nft::read(&text).unwrap(), nft::json::read(&document("inet", expression)).unwrap());
        // nft sorts what is in a map.
        let sorted = |mut rules: Vec<Rule>| {
            rules.sort_by_key(|rule| format!("{rule:?}"));
            rules
        };
        let (words, json) = (sorted(rules_of(words)), sorted(rules_of(json)));
        if words != json {
            wrong.push(format!("{example}:\n  {words:?}\n  {json:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "{}", wrong.join("\n"));
}

/// What is not known may be anything, and is named.
#[test]
fn what_is_not_known_is_not_left_out() {
    for (expression, named) in [
        (r#"[{"novel": {"x": 1}}, {"accept": null}]"#, "novel"),
        (r#"[{"match": {"op": "==", "left": {"meta": {"key": "novel"}}, "right": 1}}, {"accept": null}]"#, "novel"),
        (r#"[{"match": {"op": "~", "left": {"meta": {"key": "mark"}}, "right": 1}}, {"accept": null}]"#, "'~'"),
        (
            r#"[{"match": {"op": "==", "left": {"meta": {"key": "mark", "more": 1}}, "right": 1}}, {"accept": null}]"#,
            "more",
        ),
        (r#"[{"accept": null, "counter": null}]"#, "accept"),
        (r#"["tcp dport 22", {"accept": null}]"#, "tcp dport 22"),
        (r#"[{"xt": null}, {"accept": null}]"#, "xt"),
        ("[]", "expr"),
        (r#"[{"limit": {"rate": 1, "per": "second", "novel": true}}, {"accept": null}]"#, "novel"),
        (
            r#"[{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr", "tunnel": "gre"}}, "right": "10.0.0.1"}}, {"accept": null}]"#,
            "tunnel",
        ),
    ] {
        let read = nft::json::read(&document("inet", expression)).unwrap();
        let rule = &read.ruleset.tables[0].chains[0].rules[0];
        assert!(matches!(rule.verdict, Some(Verdict::Unknown(_))), "{expression}: {rule:?}");
        assert_eq!(rule.matches, [], "{expression}");
        assert!(read.unknown.iter().any(|one| one.text.contains(named)), "{expression}: {:?}", read.unknown);
        assert!(rule.place.as_ref().unwrap().text.starts_with("rule with handle 5 of chain c of table inet t: "));
    }
}

/// No string is more than one word, whatever it holds.
#[test]
fn strings_do_not_break_out() {
    let evil = [
        "accept",
        "22 accept",
        "22; accept",
        "22 } accept",
        "22\naccept",
        "22\\\" accept",
        "$x",
        "# x",
        "a:b",
        "{ 22 }",
        "set",
        "or",
    ];
    for text in evil {
        let text = text.replace('\n', "\\n");
        for expression in [
            format!(
                r#"[{{"match": {{"op": "==", "left": {{"payload": {{"protocol": "tcp", "field": "dport"}}}}, "right": "{text}"}}}}]"#
            ),
            format!(
                r#"[{{"match": {{"op": "==", "left": {{"payload": {{"protocol": "tcp", "field": "{text}"}}}}, "right": 22}}}}]"#
            ),
            format!(
                r#"[{{"match": {{"op": "==", "left": {{"meta": {{"key": "iifname"}}}}, "right": {{"set": ["{text}"]}}}}}}]"#
            ),
            format!(r#"[{{"log": {{"prefix": "{text}"}}}}]"#),
            format!(r#"[{{"counter": "{text}"}}]"#),
        ] {
            let read = nft::json::read(&document("inet", &expression)).unwrap();
            let rules = &read.ruleset.tables[0].chains[0].rules;
            assert_eq!((read.ruleset.tables[0].chains.len(), rules.len()), (1, 1), "{expression}");
            let verdict = &rules[0].verdict;
            assert!(matches!(verdict, None | Some(Verdict::Unknown(_))), "{expression}: {verdict:?}");
        }
    }
}

/// JSON has one string for the interface `@names` and for the set `names`.
#[test]
fn an_interface_that_may_be_a_set() {
    let expression =
        r#"[{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "@names"}}, {"accept": null}]"#;
    let rules = rules_of(nft::json::read(&document("inet", expression)).unwrap());
    assert_eq!(rules[0].matches, [Match::Unknown(String::new())]);
    assert_eq!(rules[0].verdict, Some(Verdict::Accept));
}

/// A statement that is not understood may fill the sets that it names.
#[test]
fn a_set_that_an_unknown_statement_names_is_not_known() {
    let expression =
        r#"[{"set": {"op": "novel", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@four"}}]"#;
    for expression in [expression, r#"["update @four { ip saddr : meta mark }"]"#] {
        let read = nft::json::read(&document("inet", expression)).unwrap();
        assert_eq!(read.ruleset.tables[0].sets[0].elements, Elements::Unknown, "{expression}");
    }
    let read = nft::json::read(&document("inet", r#"[{"accept": null}]"#)).unwrap();
    assert_ne!(read.ruleset.tables[0].sets[0].elements, Elements::Unknown);
}

#[test]
fn commands_are_carried_out() {
    let table = r#"{"table": {"family": "inet", "name": "t"}}"#;
    let chain =
        r#"{"chain": {"family": "inet", "table": "t", "name": "c", "type": "filter", "hook": "input", "prio": 0}}"#;
    let rule = |verdict: &str| {
        format!(r#"{{"rule": {{"family": "inet", "table": "t", "chain": "c", "expr": [{{"{verdict}": null}}]}}}}"#)
    };
    let commands = |list: &[String]| nft::json::read(&format!("{{\"nftables\": [{}]}}", list.join(", ")));
    let add = |object: &str| format!("{{\"add\": {object}}}");
    let found = commands(&[
        add(table),
        add(chain),
        add(&rule("drop")),
        format!("{{\"flush\": {table}}}"),
        add(&rule("accept")),
        format!("{{\"insert\": {}}}", rule("return")),
    ])
    .unwrap();
    let verdicts: Vec<_> =
        found.ruleset.tables[0].chains[0].rules.iter().map(|rule| rule.verdict.clone().unwrap()).collect();
    assert_eq!(verdicts, [Verdict::Return, Verdict::Accept]);
    let flushed = commands(&[add(table), "{\"flush\": {\"ruleset\": null}}".to_owned()]).unwrap();
    assert_eq!(flushed.ruleset.tables.len(), 0);
    for (list, message) in [
        (vec![add(table), add(chain), format!("{{\"delete\": {}}}", rule("drop"))], "a rule goes by its handle"),
        (vec![format!("{{\"replace\": {}}}", rule("drop"))], "`replace` needs a ruleset that is there already"),
        (vec![add(table), add(&rule("drop"))], "there is no chain `c`"),
        (vec!["{\"novel\": {}}".to_owned()], "`novel` is nothing that is known of nft's JSON"),
        (vec!["5".to_owned()], "an object with one name is expected"),
    ] {
        let error = commands(&list).unwrap_err();
        assert!(error.message.contains(message), "{}", error.message);
    }
}

#[test]
fn what_is_no_ruleset_is_refused() {
    let deep = format!("{{\"nftables\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = format!(r#"[{}5{}]"#, r#"{"&": [{"meta": {"key": "mark"}}, "#.repeat(50), "]}".repeat(50));
    assert!(nft::json::read(&document("inet", &nested)).is_ok());
    for (text, message) in [
        ("{", "this is no JSON"),
        ("[]", "this JSON is not what `nft -j list ruleset` prints"),
        ("{\"nftables\": {}}", "this JSON is not what"),
        ("{\"nftables\": [], \"more\": 1}", "this JSON is not what"),
        ("{\"nftables\": [{\"metainfo\": {\"json_schema_version\": 2}}]}", "version 2 of nft's JSON is not known"),
        ("{\"nftables\": [{\"table\": {\"family\": \"novel\", \"name\": \"t\"}}]}", "`novel` is no family"),
        ("{\"nftables\": [{\"table\": {\"family\": \"ip\", \"name\": \"t\", \"novel\": 1}}]}", "a table with `novel`"),
        ("{\"nftables\": [{\"table\": {\"family\": \"ip\", \"name\": \"a\\\"b\"}}]}", "cannot be read"),
        (deep.as_str(), "recursion limit exceeded"),
    ] {
        let error = nft::json::read(text).unwrap_err();
        assert!(error.message.contains(message), "{}", error.message);
    }
}

/// Bytes of recorded documents, changed at random: a ruleset or an error, and a ruleset can be judged.
#[test]
fn changed_documents_are_read_or_refused() {
    let mut random = Random::new(7);
    let texts: Vec<String> = ["1.0.6/gaps", "1.1.7/gaps", "1.1.7/reject", "1.1.3/trixie-nftables-node-maps"]
        .iter()
        .map(|name| fs::read_to_string(folder().join(format!("nft-{name}.json"))).unwrap())
        .collect();
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        "null",
        "\"@x\"",
        "\"accept\"",
        "-1",
        "1e9",
        "true",
        "\\u0000",
        "{\"set\": 5}",
    ];
    let mut read = 0;
    for _ in 0..4000 {
        let mut bytes = texts[random.below(texts.len())].clone().into_bytes();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] = (random.below(96) + 32) as u8,
                1 => _ = bytes.splice(at..at, pieces[random.below(pieces.len())].bytes()),
                _ => _ = bytes.drain(at..(at + random.below(20)).min(bytes.len())),
            }
        }
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let Ok(found) = nft::json::read(&text) else { continue };
        let rules = Rules::new(&found.ruleset);
        let outcome =
            rules.evaluate(Door::Input, &Packet { port: 8098, ..Packet::plain("10.20.0.12".parse().unwrap()) });
        assert!(outcome.may_pass || outcome.may_block);
        read += 1;
    }
    assert!(read > 100, "{read}");
}

/// Whatever nft this machine has says the same in both forms.
#[test]
fn the_machines_own_nft_says_the_same_in_both_forms() {
    if std::env::var_os("RINGFENCE_SKIP_KERNEL").is_some() {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let cases = fs::read_dir(root.join("cases")).unwrap().map(|case| case.unwrap().path().join("out/ringfence.nft"));
    let hosts = fs::read_dir(root.join("hosts")).unwrap().map(|host| host.unwrap().path().join("nft"));
    let files: Vec<PathBuf> = cases.chain(hosts).filter(|file| file.is_file()).collect();
    let scratch = std::env::temp_dir().join(format!("ringfence-json-{}", std::process::id()));
    fs::create_dir_all(&scratch).unwrap();
    let mut seen = 0;
    for file in &files {
        let script = "ip link set lo up; nft -f \"$0\" 2>/dev/null || exit 9; nft list ruleset >\"$1.nft\"; nft -j list ruleset >\"$1.json\"";
        let status = Command::new("unshare")
            .args(["--net", "sh", "-c", script])
            .arg(file)
            .arg(scratch.join("both"))
            .status()
            .unwrap();
        // A newer nft may have listed it.
        if status.code() == Some(9) {
            continue;
        }
        assert!(status.success(), "{}", file.display());
        let (text, json) = both(&scratch.join("both"));
        let found = different(&text, &json);
        let expected = |one: &String| ["iifname @", "oifname @", "set "].iter().any(|begin| one.contains(begin));
        assert!(found.iter().all(expected), "{}: {found:?}", file.display());
        seen += 1;
    }
    fs::remove_dir_all(&scratch).unwrap();
    assert!(seen > 20, "{seen} of {}", files.len());
}
