use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::cluster::config::Loaded;
use crate::cluster::{Site, load};
use crate::diagnostic::{Severity, render_text};

const RIAK: &str = "[cluster]\nname = \"riak\"\nprofile = \"riak\"\nnodes = [\"riak@10.0.0.1\", \"riak@10.0.0.2\"]\n\
    [networks]\nprivate = [\"10.0.0.0/24\"]\n[services.distribution]\nports = \"6000-6009\"\n\
    [[client]]\nname = \"web\"\nfrom = [\"10.1.0.0/24\"]\nservices = [\"http\"]\n";
const RABBIT: &str = "[cluster]\nname = \"rabbit\"\nprofile = \"rabbitmq\"\nnodes = [\"rabbit@10.0.0.1\", \"rabbit@10.0.0.3\"]\n\
    [networks]\nprivate = [\"10.0.0.0/24\"]\n\
    [[client]]\nname = \"web\"\nfrom = [\"10.2.0.0/24\"]\nservices = [\"amqp\"]\n[services.stream-replication]\nports = \"6010-6500\"\n";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
    folder
}

fn loaded(files: &[(&str, &str)]) -> Loaded {
    load(folder(files).path()).unwrap()
}

/// Codes and places of what is wrong with RIAK and RABBIT and something behind them.
fn errors(riak: &str, rabbit: &str) -> Vec<String> {
    let loaded = loaded(&[("riak.toml", riak), ("rabbit.toml", rabbit)]);
    let errors: Vec<&Diagnostic> =
        loaded.findings.iter().filter(|finding| finding.severity() == Severity::Error).collect();
    assert_eq!(errors.is_empty(), loaded.cluster.is_some());
    let place = |span: &Span| {
        let file = loaded.sources.get(span.file).unwrap();
        format!("{}:{}", file.base_name(), file.line(span.start))
    };
    let said = |finding: &&Diagnostic| {
        assert!(!render_text(finding, &loaded.sources, false).is_empty());
        let places: Vec<String> = finding.labels.iter().map(|label| place(&label.span)).collect();
        format!("{} {}", finding.code, places.join(" "))
    };
    errors.iter().map(said).collect()
}

#[test]
fn two_clusters_are_one_in_which_each_has_its_own() {
    let cluster =
        loaded(&[("riak.toml", RIAK), ("rabbit.toml", RABBIT), (".x.toml", "?"), ("old.toml~", "?")]).cluster.unwrap();
    assert_eq!(cluster.name(), "rabbit, riak");
    let services: Vec<(&str, bool)> =
        cluster.services().iter().filter(|own| own.is_guarded()).map(|own| (own.name(), own.peers())).collect();
    let expected = [
        ("amqp (rabbit)", false),
        ("amqps (rabbit)", false),
        ("distribution (rabbit)", true),
        ("distribution (riak)", true),
        ("epmd (rabbit, riak)", true),
        ("handoff (riak)", true),
        ("http (riak)", true),
        ("management (rabbit)", false),
        ("management-tls (rabbit)", false),
        ("mqtt (rabbit)", false),
        ("mqtts (rabbit)", false),
        ("prometheus (rabbit)", false),
        ("prometheus-tls (rabbit)", false),
        ("protobuf (riak)", false),
        ("stomp (rabbit)", false),
        ("stomps (rabbit)", false),
        ("stream (rabbit)", false),
        ("stream-replication (rabbit)", true),
        ("stream-tls (rabbit)", false),
        ("web-mqtt (rabbit)", false),
        ("web-mqtt-tls (rabbit)", false),
        ("web-stomp (rabbit)", false),
        ("web-stomp-tls (rabbit)", false),
    ];
    assert_eq!(services, expected);
    let shared: Vec<(&str, Vec<&str>)> = cluster.shared().iter().map(|(own, of)| (own.name(), of.clone())).collect();
    assert_eq!(shared, [("epmd (rabbit, riak)", vec!["rabbit", "riak"])]);
    // A client means the same service in the whole as in its part.
    for client in cluster.clients() {
        let names: Vec<&str> = client.services().iter().map(|id| cluster.service(*id).unwrap().name()).collect();
        let expected = if client.name() == "web (riak)" { "http (riak)" } else { "amqp (rabbit)" };
        assert_eq!(names, [expected], "{}", client.name());
    }
    let nodes = [cluster.node("riak@10.0.0.1").unwrap(), cluster.node("rabbit@10.0.0.1").unwrap()];
    let site = Site::of_nodes(&cluster, &nodes);
    assert_eq!(site.node_names().as_deref(), Some("rabbit@10.0.0.1, riak@10.0.0.1"));
    let ports = "1883, 4369, 5551-5552, 5671-5672, 6000-6500, 8087, 8098-8099, 8883, 15671-15676, 15691-15692, 25672, 61613-61614";
    assert_eq!(site.protected().to_string(), ports);
    // Of a host of which only half is known nothing is left out.
    assert_eq!(Site::of_nodes(&cluster, &nodes[..1]).node_names(), None);
}

#[test]
fn one_file_of_a_folder_is_as_it_is_alone() {
    let folder = folder(&[("riak.toml", RIAK)]);
    let (one, alone) = (load(folder.path()).unwrap(), load(&folder.path().join("riak.toml")).unwrap());
    let (one, alone) = (one.cluster.unwrap(), alone.cluster.unwrap());
    assert_eq!((one.name(), one.digest(), one.is_joined()), (alone.name(), alone.digest(), false));
}

#[test]
fn what_two_files_cannot_both_say_is_said_with_both_lines() {
    let with = |text: &str, more: &str| format!("{text}{more}");
    assert_eq!(errors(RIAK, RABBIT), [""; 0]);
    assert_eq!(errors(&with(RIAK, "[guard]\nlog = true\n"), RABBIT), ["guard-conflict riak.toml:14 rabbit.toml:4"]);
    let (reject, drop) = ("[guard]\non-block = \"reject\"\n", "[guard]\non-block = \"drop\"\n");
    assert_eq!(errors(&with(RIAK, reject), &with(RABBIT, drop)), ["guard-conflict riak.toml:14 rabbit.toml:14"]);
    assert_eq!(errors(&with(RIAK, reject), &with(RABBIT, reject)), [""; 0]);
    let ufw = "[guard]\nopen-through = \"ufw\"\n";
    assert_eq!(errors(&with(RIAK, ufw), RABBIT), ["guard-conflict riak.toml:14 rabbit.toml:4"]);
    assert_eq!(
        errors(&RIAK.replace("name = \"riak\"", "name = \"rabbit\""), RABBIT),
        ["duplicate-name riak.toml:4 rabbit.toml:4"]
    );
    let same = RIAK.replace("riak@10.0.0.1", "rabbit@10.0.0.1");
    assert_eq!(errors(&same, RABBIT), ["duplicate-name riak.toml:4 rabbit.toml:4"]);
}

#[test]
fn a_source_that_the_other_file_distrusts_is_refused_unless_its_own_does_too() {
    let distrusting = |text: &str, network: &str| {
        text.replace(
            "private = [\"10.0.0.0/24\"]",
            &format!("private = [\"10.0.0.0/24\"]\nuntrusted = [\"{network}\"]"),
        )
    };
    // A client, a part of one, a node, and somebody of whom neither speaks.
    assert_eq!(errors(RIAK, &distrusting(RABBIT, "10.1.0.0/16")), ["untrusted-conflict riak.toml:11 rabbit.toml:7"]);
    assert_eq!(errors(RIAK, &distrusting(RABBIT, "10.1.0.128/25")), ["untrusted-conflict riak.toml:11 rabbit.toml:7"]);
    assert_eq!(errors(&distrusting(RIAK, "10.0.0.3/32"), RABBIT), ["untrusted-conflict rabbit.toml:4 riak.toml:7"]);
    assert_eq!(errors(RIAK, &distrusting(RABBIT, "10.9.0.0/16")), [""; 0]);
    let own = distrusting(RIAK, "10.1.0.128/25");
    assert_eq!(errors(&own, &distrusting(RABBIT, "10.1.0.128/25")), [""; 0]);
    assert_eq!(errors(&own, &distrusting(RABBIT, "10.1.0.0/25")), ["untrusted-conflict riak.toml:12 rabbit.toml:7"]);
}

#[test]
fn a_port_belongs_to_one_cluster_but_for_epmd() {
    let with = |more: &str| errors(RIAK, &format!("{RABBIT}{more}"));
    let one = |found: &[String], code: &str| found.len() == 1 && found[0].starts_with(code);
    let all = [
        // Open there, blocked here, and the other way round.
        "[services.stream]\nstate = \"blocked\"\npeers = false\nports = \"8098\"\n",
        "[services.stream]\nstate = \"open\"\npeers = true\nports = \"8087\"\n",
        "[services.epmd]\nstate = \"blocked\"\n",
        // Both open, under one name and for the same.
        "[services.http]\nstate = \"open\"\npeers = true\nports = \"8098\"\n",
        "[services.distribution]\nports = \"6009\"\n",
        // epmd is not the same where it has other ports, or is not for peers.
        "[services.epmd]\nports = \"4369-4370\"\n",
        "[services.epmd]\npeers = false\n",
        "[[node]]\nname = \"rabbit@10.0.0.4\"\nservices.epmd.ports = \"4369-4370\"\n",
        // On a node that is another host.
        "[[node]]\nname = \"rabbit@10.0.0.4\"\nservices.amqp.ports = \"6005\"\n",
    ];
    for more in all {
        let found = with(more);
        assert!(one(&found, "port-overlap "), "{more}: {found:?}");
    }
    assert_eq!(with("[services.stream]\nstate = \"unused\"\npeers = false\nports = \"8098\"\n"), [""; 0]);
    // What is closed for everybody may be so in both.
    assert_eq!(with("[services.protobuf]\nstate = \"blocked\"\npeers = false\nports = \"8087\"\n"), [""; 0]);
}

#[test]
fn every_file_says_what_is_wrong_with_it_and_one_is_enough_for_none() {
    let bad = RIAK.replace("10.0.0.2", "10.0.0.256");
    let found = errors(&bad, &RABBIT.replace("[networks]", "[networks]\nx = 1"));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].ends_with("rabbit.toml:6") && found[1].ends_with("riak.toml:4"), "{found:?}");
    // What the others have against each other is said all the same.
    let loaded =
        loaded(&[("a.toml", "?"), ("riak.toml", RIAK), ("rabbit.toml", &format!("{RABBIT}[guard]\nlog = true\n"))]);
    let codes: Vec<Code> = loaded.findings.iter().map(|finding| finding.code).collect();
    assert!(codes.contains(&Code::Syntax) && codes.contains(&Code::GuardConflict), "{codes:?}");
    assert!(loaded.cluster.is_none());
}

#[test]
fn a_folder_without_a_file_and_a_file_that_cannot_be_read_are_errors() {
    let only = |loaded: &Loaded| {
        assert!(loaded.cluster.is_none());
        loaded.findings.iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(only(&loaded(&[("riak.toml.bak", RIAK)])), [Code::ClusterFolder]);
    let folder = folder(&[("riak.toml", RIAK)]);
    fs::create_dir(folder.path().join("x.toml")).unwrap();
    assert_eq!(only(&load(folder.path()).unwrap()), [Code::UnreadableFile]);
    fs::remove_file(folder.path().join("riak.toml")).unwrap();
    assert_eq!(only(&load(folder.path()).unwrap()), [Code::UnreadableFile]);
    std::os::unix::fs::symlink("nowhere", folder.path().join("riak.toml")).unwrap();
    assert_eq!(only(&load(folder.path()).unwrap()), [Code::UnreadableFile; 2]);
    let many: Vec<(String, &str)> = (0..17).map(|number| (format!("{number}.toml"), RIAK)).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    assert_eq!(only(&loaded(&many)), [Code::ClusterFolder]);
    assert!(super::super::parse_kept_together(&[]).cluster.is_none());
}

#[test]
fn words_for_names_are_told_apart() {
    let words = |names: &[&str]| -> Vec<String> {
        let named = |name: &&str| {
            let text = RIAK.replace("name = \"riak\"", &format!("name = \"{name}\""));
            crate::cluster::parse("x.toml", text, Path::new("")).cluster.unwrap()
        };
        tags(&names.iter().map(named).collect::<Vec<_>>())
    };
    let long = "a".repeat(20);
    let names = ["riak", "riak@b", "riak.b", "RIAK", &long, &format!("{long}b"), "x"];
    let found = words(&names);
    assert_eq!(found[6], "x");
    let lower: std::collections::HashSet<String> = found.iter().map(|word| word.to_ascii_lowercase()).collect();
    assert!(lower.len() == names.len() && found.iter().all(|word| word.len() <= LONGEST_TAG), "{found:?}");
    // Whatever the files are called.
    let turned: Vec<&str> = names.iter().rev().copied().collect();
    assert_eq!(words(&turned).into_iter().rev().collect::<Vec<_>>(), found);
}

#[test]
fn names_of_services_fit_into_comments_and_are_told_apart() {
    let name = |at: usize| format!("{at:02}{}", "n".repeat(62));
    let longer = "s".repeat(64);
    let found = [of_owners(&longer, &[name(1)]), of_owners(&longer, &[name(2)])];
    assert!(found[0] != found[1] && found.iter().all(|own| own.len() <= LONGEST_SERVICE), "{found:?}");
}

/// What one file guards and another leaves alone is guarded, and said.
#[test]
fn a_port_that_one_file_leaves_alone_is_guarded_and_said() {
    let unused = format!("{RABBIT}[services.epmd]\nstate = \"unused\"\n");
    let loaded = loaded(&[("riak.toml", RIAK), ("rabbit.toml", &unused)]);
    let warned: Vec<&str> = loaded
        .findings
        .iter()
        .filter(|own| own.code == Code::UnguardedOverlap)
        .map(|own| own.message.as_str())
        .collect();
    assert_eq!(
        warned,
        [
            "port 4369 is guarded here for `epmd` of `riak`; hosts of `rabbit`, for which `epmd` is unused, do not get in there"
        ]
    );
    assert!(loaded.cluster.is_some());
}

#[test]
fn only_what_all_allow_is_allowed() {
    let allow = |text: &str, words: &str| format!("{text}[guard]\nallow = [{words}]\n");
    let (riak, rabbit) = (allow(RIAK, "\"foreign-address\", \"other-source\""), allow(RABBIT, "\"other-source\""));
    let cluster = loaded(&[("riak.toml", &riak), ("rabbit.toml", &rabbit)]).cluster.unwrap();
    assert_eq!(cluster.allowing("foreign-address"), None);
    assert_eq!(cluster.allowing("other-source").as_deref(), Some("rabbit.toml:14"));
}
