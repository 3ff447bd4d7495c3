//! What the kernel says, with and without settings that explain it.

use std::path::Path;

use super::*;
use crate::cluster::{Cluster, default_profile, parse};
use crate::diagnostic::{SourceFile, Sources};
use crate::host::listeners::Program;
use crate::import::files::{File, Kind};
use crate::import::settings;

const CLUSTER: &str = "[cluster]\nname = \"x\"\nnodes = [\"riak@10.20.0.11\", \"riak@10.20.0.12\"]\n[networks]\nprivate = \
                       [\"10.20.0.0/24\"]\n[services.distribution]\nports = \"6000-6009\"\n";
const NODE: &str = "riak@10.20.0.11";

fn cluster() -> Cluster {
    parse("cluster.toml", CLUSTER.to_owned(), Path::new("")).cluster.unwrap()
}

fn socket(local: &str, program: Program) -> Listening {
    Listening { local: local.parse().unwrap(), program, pid: 7 }
}

fn beam(local: &str) -> Listening {
    socket(local, Program::Erlang(Some(NODE.to_owned())))
}

/// The codes that are found, for the sockets of a host and its riak.conf.
fn found(listening: &[Listening], conf: Option<&str>) -> Vec<&'static str> {
    said(&cluster(), listening, conf, &Started::Unknown).iter().map(|finding| finding.code.as_str()).collect()
}

fn said(cluster: &Cluster, listening: &[Listening], conf: Option<&str>, started: &Started) -> Vec<Diagnostic> {
    let mut sources = Sources::default();
    let mut findings = Findings::default();
    let settings = conf.map(|text| {
        let id = sources.add(SourceFile::new("riak.conf".into(), text.to_owned()));
        settings::read(default_profile(), &[File { id, kind: Kind::RiakConf }], &sources, &mut findings)
    });
    assert!(findings.sorted().is_empty());
    let mut findings = Findings::default();
    let site = Site::of_node(cluster, cluster.node(NODE).unwrap());
    let subject = Subject {
        site: &site,
        settings: settings.as_ref(),
        members: None,
        listening: Some(listening),
        started,
        ephemeral: (32768, 60999),
        reserved: &Ports::default(),
    };
    lint(&subject, &mut findings);
    findings.sorted()
}

#[test]
fn a_host_as_it_should_be() {
    let epmd = |address: &str| socket(&format!("{address}:4369"), Program::Epmd);
    let sockets = [
        beam("10.20.0.11:8098"),
        beam("10.20.0.11:8099"),
        beam("127.0.0.1:8087"),
        beam("0.0.0.0:6000"),
        beam("127.0.0.1:9080"),
        epmd("10.20.0.11"),
        epmd("127.0.0.1"),
        socket("0.0.0.0:22", Program::Other),
    ];
    assert_eq!(found(&sockets, None), [""; 0]);
    assert_eq!(found(&[], None), [""; 0]);
}

#[test]
fn what_listens_where_nothing_is_guarded() {
    assert_eq!(found(&[beam("0.0.0.0:43210")], None), ["outside-range"]);
    assert_eq!(found(&[beam("[::]:43210")], None), ["outside-range"]);
    assert_eq!(found(&[beam("127.0.0.1:43210")], None), [""; 0]);
    // Another node on this host is not this cluster's, and short names are names, too.
    let other = |name: Option<&str>| socket("0.0.0.0:43210", Program::Erlang(name.map(str::to_owned)));
    assert_eq!(found(&[other(Some("rabbit@db1"))], None), ["other-erlang"]);
    assert_eq!(found(&[other(None)], None), ["other-erlang"]);
    assert_eq!(found(&[other(Some("riak@old.example.com"))], None), ["outside-range"]);
    assert_eq!(found(&[other(Some("riak"))], None), ["outside-range"]);
    // Solr is unused in the profile, and so nothing guards it.
    assert_eq!(found(&[socket("0.0.0.0:8093", Program::Other)], None), ["unguarded-listener"]);
    assert_eq!(found(&[socket("127.0.0.1:8093", Program::Other)], None), [""; 0]);
}

#[test]
fn what_listens_although_it_is_blocked() {
    assert_eq!(found(&[beam("10.20.0.11:8087")], None), ["blocked-listener"]);
}

#[test]
fn what_others_cannot_reach() {
    assert_eq!(found(&[beam("127.0.0.1:8098")], None), ["loopback-only"]);
    assert_eq!(found(&[beam("127.0.0.1:8098"), beam("10.20.0.11:8098")], None), [""; 0]);
    assert_eq!(found(&[beam("127.0.0.1:6000")], None), ["loopback-only"]);
    assert_eq!(found(&[socket("127.0.0.1:4369", Program::Epmd)], None), ["loopback-only"]);
    assert_eq!(found(&[socket("[::]:4369", Program::Epmd)], None), ["epmd-everywhere"]);
}

#[test]
fn what_the_settings_explain_is_said_once() {
    const CONF: &str = "nodename = riak@10.20.0.11\nlistener.http.a = 10.20.0.11:8198\nlistener.protobuf.a = \
                        10.20.0.11:8087\nhandoff.ip = 10.20.0.11\nerlang.distribution.port_range.minimum = \
                        6000\nerlang.distribution.port_range.maximum = 6009\n";
    let epmd = socket("10.20.0.11:4369", Program::Epmd);
    let sockets = [beam("10.20.0.11:8198"), beam("10.20.0.11:8087"), epmd];
    assert_eq!(found(&sockets, Some(CONF)), ["undeclared-port", "blocked-listener"]);
}

/// What helps depends on what started it (Debian's epmd.socket: systemd has the socket, and epmd's own variable does nothing).
#[test]
fn a_remedy_is_for_what_started_it() {
    let help = |program: Program, local: &str, started: Started| {
        let found = said(&cluster(), &[socket(local, program)], None, &started);
        let finding = found.iter().find(|finding| finding.message.contains("epmd")).unwrap();
        (finding.code.as_str(), finding.help.clone().unwrap())
    };
    let (code, text) = help(Program::Systemd, "[::]:4369", Started::Unknown);
    assert_eq!(code, "epmd-everywhere");
    for part in ["epmd.socket", "`ListenStream=`, `ListenStream=10.20.0.11:4369`, `ListenStream=127.0.0.1:4369`"] {
        assert!(text.contains(part) && !text.contains("ERL_EPMD_ADDRESS="), "{text}");
    }
    assert_eq!(help(Program::Systemd, "127.0.0.1:4369", Started::Unknown).0, "loopback-only");
    let (_, text) = help(Program::Epmd, "[::]:4369", Started::Unit("riak.service".to_owned()));
    assert!(
        text.contains("`systemctl edit riak.service`") && text.contains("Environment=ERL_EPMD_ADDRESS=10.20.0.11"),
        "{text}"
    );
    let (_, text) = help(Program::Epmd, "[::]:4369", Started::Container);
    assert!(text.contains("make the container anew"), "{text}");
    // Bound as it should be, whoever holds it.
    assert!(said(&cluster(), &[socket("10.20.0.11:4369", Program::Systemd)], None, &Started::Unknown).is_empty());
}

#[test]
fn whoever_replicates_from_here_is_to_be_admitted() {
    const CONF: &str = "nodename = riak@10.20.0.11\nlistener.http.a = 10.20.0.11:8098\nlistener.protobuf.a = 127.0.0.1:8087\nhandoff.ip = \
                        10.20.0.11\nerlang.distribution.port_range.minimum = 6000\nerlang.distribution.port_range.maximum = \
                        6009\nttaaefs_scope = all\nttaaefs_peerip = 10.9.0.1\n";
    let of = |cluster: &Cluster| {
        let found = said(cluster, &[], Some(CONF), &Started::Unknown);
        found.into_iter().filter(|finding| finding.code == Code::BlockedReplication).collect::<Vec<_>>()
    };
    let found = of(&cluster());
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert!(finding.message.contains("`protobuf` is blocked for everyone"), "{finding:?}");
    assert!(finding.help.as_ref().unwrap().contains("\"10.9.0.1\""), "{finding:?}");
    let open = format!(
        "{CLUSTER}[services.protobuf]\nstate = \"open\"\n[[client]]\nname = \"other\"\nfrom = \"10.9.0.0/24\"\nservices = [\"protobuf\"]\n"
    );
    assert!(of(&parse("cluster.toml", open.clone(), Path::new("")).cluster.unwrap()).is_empty());
    // A client that is somebody else is none of the other cluster.
    let other = parse("cluster.toml", open.replace("10.9.0.0/24", "10.8.0.0/24"), Path::new("")).cluster.unwrap();
    let found = of(&other);
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert!(finding.message.contains("10.9.0.1, which these settings name, is no client of it"), "{finding:?}");
    // Where no host of it is named, nobody can know.
    let conf = CONF.replace("ttaaefs_peerip = 10.9.0.1\n", "");
    let found = said(&other, &[], Some(&conf), &Started::Unknown);
    let note = found.iter().find(|finding| finding.code == Code::ReplicationClients);
    assert!(note.is_some_and(|finding| finding.message.contains("(other)")), "{found:?}");
}

/// Whoever reaches it over the internet is kept out by the rules alone.
#[test]
fn what_listens_in_public_is_said() {
    let epmd = |address: &str, by| socket(&format!("{address}:4369"), by);
    let of = |cluster: &Cluster, one: Listening, conf: Option<&str>| {
        let found = said(cluster, &[one], conf, &Started::Unknown);
        let wide = found.into_iter().filter(|finding| finding.code == Code::WideListener);
        wide.map(|finding| (finding.message, finding.help.unwrap_or_default())).collect::<Vec<_>>()
    };
    for by in [Program::Epmd, Program::Systemd] {
        let found = of(&cluster(), epmd("203.0.113.5", by.clone()), None);
        assert!(
            matches!(found.as_slice(), [(message, _)] if message.contains("`epmd`") && message.contains("public address")),
            "{found:?}"
        );
        assert!(of(&cluster(), epmd("10.20.0.11", by), None).is_empty());
    }
    // A service of the profile, whatever set it.
    let found = of(&cluster(), beam("0.0.0.0:8098"), None);
    assert!(found[0].0.contains("`http` listens on every interface (0.0.0.0:8098)"), "{found:?}");
    assert_eq!(of(&cluster(), beam("203.0.113.5:8098"), None).len(), 1);
    assert_eq!(of(&cluster(), beam("10.20.0.11:8098"), None), []);
    // What the settings explain is said once, by them.
    let conf = "nodename = riak@10.20.0.11\nlistener.http.a = 0.0.0.0:8098\nhandoff.ip = 10.20.0.11\n";
    let found = of(&cluster(), beam("0.0.0.0:8098"), Some(conf));
    assert_eq!(found.iter().filter(|(message, _)| message.contains("`http`")).count(), 1, "{found:?}");
    // Where it is the node's own address there is no other to bind it to.
    let public = CLUSTER
        .replace("10.20.0.11\"", "203.0.113.5\"")
        .replace("[\"10.20.0.0/24\"]", "[\"10.20.0.0/24\", \"203.0.113.0/24\"]\nallow-public = true");
    let public = parse("cluster.toml", public, Path::new("")).cluster.unwrap();
    let mut findings = Findings::default();
    let site = Site::of_node(&public, public.node("riak@203.0.113.5").unwrap());
    let listening = [epmd("203.0.113.5", Program::Epmd)];
    let subject = Subject {
        site: &site,
        settings: None,
        members: None,
        listening: Some(&listening),
        started: &Started::Unknown,
        ephemeral: (32768, 60999),
        reserved: &Ports::default(),
    };
    lint(&subject, &mut findings);
    let found = findings.sorted();
    assert!(found[0].help.as_ref().unwrap().contains("the node's own address"), "{found:?}");
}
