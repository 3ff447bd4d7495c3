use std::fmt::Write as _;

use serde_json::json;

use super::*;
use crate::cluster::default_profile;
use crate::import::random::Random;

fn read_with(text: &str, hosts: Option<&Hosts>) -> (Option<Inventory>, Vec<Code>) {
    let mut findings = Findings::default();
    let asked = Asked {
        profile: default_profile(),
        nodes: "nodes",
        clients: None,
        hosts,
        given: &|name| name == "given",
        allow_public: false,
    };
    let inventory = parse(text, FileId::CLUSTER, &asked, &mut findings);
    (inventory, findings.sorted().iter().map(|finding| finding.code).collect())
}

fn read(text: &str) -> (Option<Inventory>, Vec<Code>) {
    read_with(text, None)
}

/// An inventory whose only node has these variables.
fn one(variables: &serde_json::Value) -> (Option<Inventory>, Vec<Code>) {
    read(&json!({"_meta": {"hostvars": {"db1": variables}}, "nodes": {"hosts": ["db1"]}}).to_string())
}

fn codes(variables: &serde_json::Value) -> Vec<Code> {
    let (inventory, codes) = one(variables);
    assert_eq!(inventory.is_none(), !codes.is_empty(), "{variables} {codes:?}");
    codes
}

#[test]
fn addresses_come_from_what_is_said_first() {
    let addresses = |variables| {
        let node = one(&variables).0.unwrap().nodes.remove(0).addresses.unwrap();
        (node.list.iter().map(ToString::to_string).collect::<Vec<_>>(), node.certain)
    };
    assert_eq!(addresses(json!({"ansible_host": "10.0.0.1"})), (vec!["10.0.0.1".into()], false));
    let both = json!({"ansible_host": "x.example.com", "ringfence_addresses": ["10.0.0.2", "fd00::2", "10.0.0.2"]});
    assert_eq!(addresses(both), (vec!["10.0.0.2".into(), "fd00::2".into()], true));
    let (inventory, _) = read(r#"{"_meta": {"hostvars": {}}, "nodes": {"hosts": ["10.0.0.3"]}}"#);
    assert_eq!(inventory.unwrap().nodes[0].addresses.as_ref().unwrap().list, ["10.0.0.3".parse::<IpAddr>().unwrap()]);
}

#[test]
fn nothing_is_guessed() {
    assert_eq!(codes(&json!({})), [Code::MissingAddress]);
    assert_eq!(codes(&json!({"ansible_host": "db1.example.com"})), [Code::MissingAddress]);
    assert_eq!(codes(&json!({"ansible_host": "{{ ip }}"})), [Code::Template]);
    assert_eq!(codes(&json!({"ansible_host": {"__ansible_vault": "$ANSIBLE_VAULT"}})), [Code::InventoryVariable]);
    assert_eq!(codes(&json!({"ansible_host": null})), [Code::InventoryVariable]);
    assert_eq!(codes(&json!({"ansible_host": "10.0.0.1", "ringfence_addresses": []})), [Code::MissingAddress]);
    assert_eq!(codes(&json!({"ansible_host": "127.0.0.1"})), [Code::UnusableAddress]);
    assert_eq!(codes(&json!({"ansible_host": "10.0.0.1/24"})), [Code::NetworkAsNode]);
    assert_eq!(codes(&json!({"ansible_host": "192.0.2.1"})), [Code::PublicNetwork]);
    assert_eq!(codes(&json!({"ansible_host": "10.0.0.1", "ringfence_port": {"http": 1}})), [Code::InventoryVariable]);
    assert_eq!(codes(&json!({"ansible_host": "10.0.0.1", "ringfence_version": "1"})), []);
    assert_eq!(codes(&json!({"ringfence_name": "given"})), []);
}

#[test]
fn names_have_addresses_by_a_file_only() {
    let mut findings = Findings::default();
    let hosts =
        Hosts::parse("10.0.0.1 a.example.com\nfd00::1 a.example.com\n127.0.1.1 db2\n", FileId::PROFILE, &mut findings);
    let text = |host: &str| {
        json!({"_meta": {"hostvars": {host: {"ansible_host": "a.example.com"}}}, "nodes": {"hosts": [host]}})
            .to_string()
    };
    let (inventory, codes) = read_with(&text("db1"), Some(&hosts));
    assert_eq!((inventory.unwrap().nodes[0].addresses.as_ref().unwrap().list.len(), codes), (2, Vec::new()));
    let without = r#"{"_meta": {"hostvars": {}}, "nodes": {"hosts": ["db2", "db3"]}}"#;
    // By place: the inventory first, then the file of addresses.
    assert_eq!(read_with(without, Some(&hosts)).1, [Code::MissingAddress, Code::UnusableAddress]);
}

#[test]
fn what_ansible_does_not_print_is_refused() {
    for text in [
        "",
        "[]",
        "{}",
        "{\"nodes\": {\"hosts\": [\"10.0.0.1\"]}}",
        r#"{"_meta": {"hostvars": []}, "nodes": {"hosts": ["10.0.0.1"]}}"#,
        r#"{"_meta": {"hostvars": {"10.0.0.1": []}}, "nodes": {"hosts": ["10.0.0.1"]}}"#,
        r#"{"_meta": {"hostvars": {}}, "nodes": ["10.0.0.1"]}"#,
        r#"{"_meta": {"hostvars": {}}, "nodes": {"hosts": "10.0.0.1"}}"#,
        r#"{"_meta": {"hostvars": {}}, "nodes": {"hosts": ["10.0.0.1", 7]}}"#,
        r#"{"_meta": {"hostvars": {}}, "nodes": {"hosts": ["10.0.0.1"], "host": []}}"#,
        r#"{"_meta": {"hostvars": {}}, "nodes": {"hosts": ["10.0.0.1"], "vars": {"ringfence_name": "x"}}}"#,
        r#"{"_meta": {"hostvars": {}}, "nodes": {"hosts": ["10.0.0.1"]}, "nodes": {"hosts": ["10.0.0.2"]}}"#,
        r#"{"_meta": {"hostvars": {}}, "nodes": {"hosts": ["10.0.0.1"]}} [WARNING]: x"#,
    ] {
        let (inventory, codes) = read(text);
        assert!(inventory.is_none() && codes.contains(&Code::InventorySyntax), "{text} {codes:?}");
    }
    for text in [r#"{"_meta": {"hostvars": {}}}"#, r#"{"_meta": {"hostvars": {}}, "nodes": {"children": ["east"]}}"#] {
        assert_eq!(read(text), (None, vec![Code::UnknownGroup]), "{text}");
    }
}

/// Groups of groups, some of them in a circle, in which each host is somewhere below `nodes` or not.
fn drawn(random: &mut Random) -> (serde_json::Value, Vec<String>) {
    let count = 1 + random.below(6);
    let names: Vec<String> =
        (0..count).map(|number| if number == 0 { "nodes".into() } else { format!("g{number}") }).collect();
    let mut groups = serde_json::Map::new();
    let mut children = vec![Vec::new(); count];
    let mut hosts = vec![Vec::new(); count];
    for group in 0..count {
        children[group] = (0..random.below(3)).map(|_| random.below(count)).collect();
        hosts[group] = (0..1 + random.below(4)).map(|_| format!("10.0.0.{}", 1 + random.below(40))).collect();
        let below: Vec<&String> = children[group].iter().map(|child: &usize| &names[*child]).collect();
        groups.insert(names[group].clone(), json!({"hosts": hosts[group], "children": below}));
    }
    let mut reached = vec![false; count];
    reached[0] = true;
    for _ in 0..count {
        for group in 0..count {
            if reached[group] {
                children[group].iter().for_each(|child| reached[*child] = true);
            }
        }
    }
    let mut expected: Vec<String> =
        (0..count).filter(|group| reached[*group]).flat_map(|group| hosts[group].clone()).collect();
    expected.sort();
    expected.dedup();
    groups.insert("_meta".into(), json!({"hostvars": {}}));
    (groups.into(), expected)
}

#[test]
fn whoever_is_below_the_group_is_a_node_and_nobody_else() {
    let mut random = Random(16);
    for _ in 0..500 {
        let (value, expected) = drawn(&mut random);
        let text = if random.below(2) == 0 { value.to_string() } else { serde_json::to_string_pretty(&value).unwrap() };
        let (inventory, codes) = read(&text);
        let mut found: Vec<String> = inventory.expect(&text).nodes.into_iter().map(|node| node.name).collect();
        found.sort();
        assert_eq!((found, codes), (expected, Vec::new()), "{text}");
    }
}

/// Whatever is cut or changed: an end, and nothing read without an error where a place lies outside of the text.
#[test]
fn broken_texts_end_with_a_finding_or_an_inventory() {
    let mut random = Random(17);
    let mut text = String::from("{\"_meta\": {\"hostvars\": {");
    for number in 1..5 {
        let _ = write!(
            text,
            "\"db{number}\": {{\"ansible_host\": \"10.0.0.{number}\", \"ringfence_ports\": {{\"distribution\": \"6000-6009\", \
             \"http\": [8098, \"80\\u0039\"]}}}},"
        );
    }
    text += "\"c\": {\"ringfence_services\": [\"http\"], \"ringfence_addresses\": \"10.1.0.0/24\"}}}, \
             \"nodes\": {\"hosts\": [\"db1\", \"db2\", \"db3\", \"db4\"]}, \"clients\": {\"hosts\": [\"c\"]}}";
    assert!(read(&text).0.is_some_and(|inventory| inventory.clients.len() == 1 && inventory.nodes.len() == 4));
    for _ in 0..3000 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes.truncate(at + 1),
                1 => bytes[at] = random.pick(b"{}[]\",:\\u0 d\xc3"),
                _ => _ = bytes.remove(at),
            }
            if bytes.is_empty() {
                break;
            }
        }
        let changed = String::from_utf8_lossy(&bytes).into_owned();
        let mut findings = Findings::default();
        let asked = Asked {
            profile: default_profile(),
            nodes: "nodes",
            clients: None,
            hosts: None,
            given: &|_| false,
            allow_public: false,
        };
        let inventory = parse(&changed, FileId::CLUSTER, &asked, &mut findings);
        assert_eq!(inventory.is_none(), findings.errors() > 0, "{changed}");
        for label in findings.sorted().iter().flat_map(|finding| &finding.labels) {
            assert!(changed.get(label.span.start as usize..label.span.end as usize).is_some(), "{changed}");
        }
    }
}
