use super::*;
use crate::cluster::default_profile;
use crate::diagnostic::SourceFile;
use crate::import::files::{File, Kind};
use crate::import::settings;

/// The cluster file of some nodes' riak.conf, and the codes of what was said.
fn write_all(confs: &[String], joining: &[&str], networks: &[(&str, &str)]) -> (String, Vec<Code>) {
    let (mut sources, mut findings) = (Sources::default(), Findings::default());
    let mut files = Vec::new();
    for (number, text) in confs.iter().enumerate() {
        let id = sources.add(SourceFile::new(format!("n{number}/riak.conf"), text.clone()));
        files.push([File { id, kind: Kind::RiakConf }]);
    }
    let settings: Vec<Settings> =
        files.iter().map(|files| settings::read(default_profile(), files, &sources, &mut findings)).collect();
    let joining: Vec<String> = joining.iter().map(|name| (*name).to_owned()).collect();
    let networks: Vec<(String, Cidr)> =
        networks.iter().map(|(name, network)| ((*name).to_owned(), network.parse().unwrap())).collect();
    let known = Known {
        profile: default_profile(),
        listeners: &[],
        name: "test",
        settings: &settings,
        members: None,
        inventory: None,
        hosts: None,
        joining: &joining,
        addresses: &BTreeMap::new(),
        networks: &networks,
        allow_public: false,
        sources: &sources,
    };
    let text = write(&known, &mut findings).unwrap_or_default();
    (text, findings.sorted().iter().map(|finding| finding.code).collect())
}

fn conf(host: u8, more: &str) -> String {
    format!("nodename = a@10.0.0.{host}\n{more}")
}

const RANGE: &str = "erlang.distribution.port_range.minimum = 6000\nerlang.distribution.port_range.maximum = 6009\n";

/// The lines behind a title, up to the next blank line.
fn part(text: &str, title: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|line| !line.starts_with(title)).skip(1);
    lines.take_while(|line| !line.is_empty()).map(|line| line.split(" # ").next().unwrap().to_owned()).collect()
}

#[test]
fn what_most_nodes_have_is_the_services_and_of_as_many_the_first() {
    let handoff = |port: u16| format!("handoff.port = {port}\n");
    let common = |ports: &[u16]| {
        let confs: Vec<String> = ports.iter().zip(1..).map(|(port, host)| conf(host, &handoff(*port))).collect();
        let (text, _) = write_all(&confs, &[], &[]);
        (part(&text, "[services.handoff]"), text.matches("services.handoff.ports").count())
    };
    assert_eq!(common(&[1000, 1001]), (vec!["ports = \"1000\"".to_owned()], 1));
    assert_eq!(common(&[1000, 1001, 1001]), (vec!["ports = \"1001\"".to_owned()], 1));
    assert_eq!(common(&[1000, 1001, 1002, 1001]), (vec!["ports = \"1001\"".to_owned()], 2));
    // As in the profile: nothing stands there.
    assert_eq!(common(&[8099, 8099]), (Vec::new(), 0));
}

#[test]
fn a_range_is_proposed_where_none_is_set_beside_all_that_is() {
    let proposed = |more: &str, joining: &[&str]| {
        let confs = [conf(1, more), conf(2, more)];
        let (text, codes) = write_all(&confs, joining, &[]);
        assert!(codes.contains(&Code::UnboundedDistribution), "{codes:?}");
        part(&text, "[services.distribution]").into_iter().find(|line| line.starts_with("ports")).unwrap()
    };
    // One for each node, and a spare.
    assert_eq!(proposed("", &[]), "ports = \"6000-6002\"");
    assert_eq!(proposed("", &["b@10.0.0.3"]), "ports = \"6000-6003\"");
    assert_eq!(proposed("handoff.port = 6001\n", &[]), "ports = \"6002-6004\"");
    assert_eq!(proposed("erlang.distribution.port_range.maximum = 6009\n", &[]), "ports = \"6000-6002\"");
}

#[test]
fn nothing_is_proposed_for_half_a_cluster() {
    let (text, codes) = write_all(&[conf(1, ""), "nodename = a@db2.example.com\n".to_owned()], &[], &[]);
    assert_eq!((text.as_str(), codes), ("", vec![Code::MissingAddress]));
}

#[test]
fn the_narrowest_network_of_this_host_is_proposed() {
    let confs = [conf(1, RANGE), conf(2, RANGE)];
    let networks = |networks: &[(&str, &str)]| part(&write_all(&confs, &[], networks).0, "private = [");
    let first = |networks: Vec<String>| networks[0].trim().to_owned();
    assert_eq!(first(networks(&[])), "\"10.0.0.0/24\",");
    assert_eq!(first(networks(&[("eth0", "10.0.0.0/8"), ("eth1", "10.0.0.0/28")])), "\"10.0.0.0/28\",");
    // Of no use: another network, one that is wider than any of somebody's, and a public one.
    let others = [("eth0", "192.168.0.0/24"), ("eth1", "8.0.0.0/6"), ("eth2", "0.0.0.0/0")];
    assert_eq!(first(networks(&others)), "\"10.0.0.0/24\",");
}

#[test]
fn nothing_of_somebody_elses_leaves_its_place() {
    assert_eq!(comment("a\nb\u{7f}\r\u{85}c"), "a?b???c");
    assert_eq!(quoted("a\"\\\n\u{7f}"), r#""a\"\\\u000a\u007f""#);
    let mut sources = Sources::default();
    let id = sources.add(SourceFile::new("/tmp/x\n[services.http]/a\nb.conf".into(), "1\n2\n".into()));
    assert_eq!(place(Span::new(id, 2..3), &sources), "x?[services.http]/a?b.conf:2");
}
