mod rabbitmq;

use super::*;
use crate::cluster::default_profile;
use crate::diagnostic::SourceFile;

fn read_all(files: &[(Kind, &str)]) -> (Settings, Vec<Code>) {
    let (mut sources, mut findings) = (Sources::default(), Findings::default());
    let mut add = |(kind, text): &(Kind, &str)| File {
        id: sources.add(SourceFile::new(kind.name().to_owned(), (*text).to_owned())),
        kind: *kind,
    };
    let files: Vec<File> = files.iter().map(&mut add).collect();
    let profile = crate::import::files::profile_of(&files).unwrap().unwrap_or(default_profile());
    let settings = read(profile, &files, &sources, &mut findings);
    (settings, findings.sorted().iter().map(|finding| finding.code).collect())
}

fn listeners(settings: &Settings, service: &str) -> Vec<String> {
    let own = settings.listeners.iter().filter(|listener| listener.service == service);
    own.map(|listener| format!("{}:{}", listener.bind, listener.port)).collect()
}

const API: (Kind, &str) = (Kind::AdvancedConfig, "[{riak_api, [{http, [{\"10.0.0.1\", 3}]}]}].");
const CORE: (Kind, &str) = (Kind::AdvancedConfig, "[{riak_core, [{http, [{\"10.0.0.1\", 2}]}]}].");
const CONF: (Kind, &str) = (Kind::RiakConf, "listener.http.a = 10.0.0.1:1\nnodename = a@10.0.0.1\n");

#[test]
fn the_newer_layout_beats_the_stronger_file() {
    assert_eq!(listeners(&read_all(&[CONF, API]).0, "http"), ["10.0.0.1:3"]);
    // riak.conf is made into `riak_api http`, which `riak_core http` does not override.
    assert_eq!(listeners(&read_all(&[CONF, CORE]).0, "http"), ["10.0.0.1:1"]);
    assert_eq!(read_all(&[CONF, CORE]).1, [Code::Overridden]);
}

#[test]
fn a_pair_of_the_newest_layout_adds_up_with_its_list_and_half_a_pair_is_none() {
    let pb = |settings: &str| {
        let text = format!("[{{riak_api, [{settings}]}}, {{riak_kv, [{{pb_ip, \"10.0.0.9\"}}, {{pb_port, 9}}]}}].");
        let (settings, codes) = read_all(&[(Kind::AppConfig, &text)]);
        (listeners(&settings, "protobuf"), codes)
    };
    let (list, ip, port) = ("{pb, [{\"10.0.0.1\", 1}]}", "{pb_ip, \"10.0.0.2\"}", "{pb_port, 2}");
    let found = |listeners: &[&str]| listeners.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let both = found(&["10.0.0.1:1", "10.0.0.2:2"]);
    assert_eq!(pb(&format!("{list}, {ip}, {port}")), (both, vec![Code::Overridden]));
    assert_eq!(pb(&format!("{ip}, {port}")), (found(&["10.0.0.2:2"]), vec![Code::Overridden]));
    // Riak 1.2 takes the other half from the older application.
    let halves = vec![Code::HalfPair, Code::Overridden];
    assert_eq!(pb(&format!("{list}, {port}")), (found(&["10.0.0.1:1", "10.0.0.9:2"]), halves));
    assert_eq!(pb(port), (found(&["10.0.0.9:2", "10.0.0.9:9"]), vec![Code::HalfPair]));
    assert_eq!(pb(ip), (found(&["10.0.0.2:9", "10.0.0.9:9"]), vec![Code::HalfPair]));
}

#[test]
fn halves_of_two_applications_are_a_listener_and_true_halves_are_none() {
    let pb = |api: &str, kv: &str| {
        let (settings, codes) =
            read_all(&[(Kind::AppConfig, &format!("[{{riak_api, [{api}]}}, {{riak_kv, [{kv}]}}]."))]);
        (listeners(&settings, "protobuf").join(" "), codes.len())
    };
    let (ip, port) = ("{pb_ip, \"10.0.0.2\"}", "{pb_port, 2}");
    assert_eq!(pb(ip, port), ("10.0.0.2:2".to_owned(), 1));
    assert_eq!(pb(port, ip), ("10.0.0.2:2".to_owned(), 1));
    assert_eq!(pb(port, port), (String::new(), 2));
    assert_eq!(pb("", ip), (String::new(), 1));
    assert_eq!(pb(&format!("{ip}, {port}"), port), ("10.0.0.2:2".to_owned(), 1));
}

#[test]
fn the_pair_and_the_list_add_up_across_files() {
    let conf = (Kind::RiakConf, "listener.protobuf.a = 10.0.0.1:1\n");
    let advanced = (Kind::AdvancedConfig, "[{riak_api, [{pb_ip, \"10.0.0.2\"}, {pb_port, 2}]}].");
    let (settings, codes) = read_all(&[conf, advanced]);
    assert_eq!((listeners(&settings, "protobuf"), codes), (vec!["10.0.0.1:1".to_owned(), "10.0.0.2:2".into()], vec![]));
    let advanced = (Kind::AdvancedConfig, "[{riak_api, [{pb, [{\"10.0.0.2\", 2}]}]}].");
    let args = (Kind::VmArgs, "-riak_api pb_ip '\"10.0.0.3\"' pb_port 3");
    let (settings, codes) = read_all(&[conf, advanced, args]);
    assert_eq!(listeners(&settings, "protobuf"), ["10.0.0.2:2", "10.0.0.3:3"]);
    assert_eq!(codes, [Code::Overridden]);
}

#[test]
fn the_old_web_pair_counts_where_both_lists_of_its_application_are_empty() {
    let http = |core: &str, api: &str| {
        let pair = "{web_ip, \"10.0.0.1\"}, {web_port, 1}";
        let text = format!("[{{riak_core, [{pair}{core}]}}, {{riak_api, [{api}]}}].");
        let (settings, codes) = read_all(&[(Kind::AppConfig, &text)]);
        (listeners(&settings, "http").join(" "), codes.len())
    };
    let list = "[{\"10.0.0.2\", 2}]";
    assert_eq!(http(", {http, []}, {https, []}", ""), ("10.0.0.1:1".to_owned(), 0));
    assert_eq!(http(&format!(", {{http, {list}}}"), ""), ("10.0.0.2:2".to_owned(), 1));
    assert_eq!(http(&format!(", {{http, []}}, {{https, {list}}}"), ""), (String::new(), 1));
    assert_eq!(http(", {http, []}", "{http, []}"), (String::new(), 2));
}

#[test]
fn the_cluster_manager_of_riak_conf() {
    let conf = (Kind::RiakConf, "mdc.cluster_manager = 10.0.0.1:9081\n");
    assert_eq!(listeners(&read_all(&[conf]).0, "cluster-manager"), ["10.0.0.1:9081"]);
}

#[test]
fn half_a_pair_or_an_empty_list_switches_the_default_off() {
    for text in ["[{riak_core, [{web_port, 1}]}].", "[{riak_core, [{http, []}]}].", "[{riak_api, [{http, \"\"}]}]."] {
        assert!(listeners(&read_all(&[(Kind::AppConfig, text)]).0, "http").is_empty(), "{text}");
    }
    assert_eq!(listeners(&read_all(&[(Kind::AppConfig, "[].")]).0, "http"), ["127.0.0.1:8098"]);
}

#[test]
fn files_that_were_not_read_have_no_defaults() {
    let (settings, _) = read_all(&[(Kind::VmArgs, "-name a@10.0.0.1")]);
    assert!(settings.listeners.is_empty() && !settings.knows_listeners && settings.knows_flags);
    let (settings, _) = read_all(&[(Kind::AppConfig, "[].")]);
    assert_eq!(listeners(&settings, "handoff"), ["0.0.0.0:8099"]);
    assert!(settings.knows_listeners && !settings.knows_flags);
    let (settings, _) = read_all(&[CONF]);
    assert!(settings.knows_listeners && settings.knows_flags);
}

#[test]
fn what_takes_the_place_of_what_cuttlefish_makes() {
    let app = (Kind::AppConfig, "[{riak_core, [{handoff_port, 7}]}].");
    let args = (Kind::VmArgs, "-name b@10.0.0.2");
    let name = |settings: &Settings| settings.name.as_ref().map(|name| name.value.clone());
    // Of riak.conf, the name alone is left beside an app.config, and all but the name beside a vm.args.
    let (settings, codes) = read_all(&[CONF, API, app]);
    assert_eq!((name(&settings).as_deref(), settings.style), (Some("a@10.0.0.1"), Style::AppConfig));
    assert_eq!(listeners(&settings, "http"), ["127.0.0.1:8098"]);
    assert_eq!(codes, [Code::IgnoredFile, Code::IgnoredFile]);
    let (settings, codes) = read_all(&[CONF, args]);
    assert_eq!((name(&settings).as_deref(), settings.style), (Some("b@10.0.0.2"), Style::Conf));
    assert_eq!((listeners(&settings, "http"), codes), (vec!["10.0.0.1:1".to_owned()], vec![Code::Overridden]));
    let (settings, codes) = read_all(&[CONF, app, args]);
    assert_eq!((name(&settings).as_deref(), codes), (Some("b@10.0.0.2"), vec![Code::IgnoredFile]));
    assert_eq!(listeners(&settings, "handoff"), ["0.0.0.0:7"]);
}

#[test]
fn what_a_range_comes_to() {
    let range = |args: &str, config: &str| {
        let config = format!("[{{kernel, [{config}]}}].");
        let files = [(Kind::AppConfig, config.as_str()), (Kind::VmArgs, args)];
        read_all(&files).0.distribution.range()
    };
    let ports = |first, last| Range::Ports([PortRange::new(first, last).unwrap()].into_iter().collect());
    assert_eq!(range("", ""), Range::Unset);
    assert_eq!(range("-kernel inet_dist_listen_min 10", ""), ports(10, 10));
    assert_eq!(range("-kernel inet_dist_listen_max 10", ""), Range::MaximumOnly);
    assert_eq!(range("-kernel inet_dist_listen_max 9", "{inet_dist_listen_min, 10}"), Range::Inverted);
    let both = "{inet_dist_listen_min, 1}, {inet_dist_listen_max, 20}";
    assert_eq!(range("-kernel inet_dist_listen_min 10", both), ports(10, 20));
    // The VM's limit of sockets and files is no range.
    assert_eq!(range("+Q 1024 -env ERL_MAX_PORTS 4096", ""), Range::Unset);
}

#[test]
fn an_address_has_many_spellings_and_some_that_are_none() {
    let http = |address: &str| {
        let text = format!("[{{riak_api, [{{http, [{{{address}, 1}}]}}]}}].");
        let (settings, codes) = read_all(&[(Kind::AppConfig, &text)]);
        if codes.is_empty() { listeners(&settings, "http").concat() } else { format!("{codes:?}") }
    };
    for (text, found) in [
        ("\"10.0.0.1\"", "10.0.0.1:1"),
        ("<<\"10.0.0.1\">>", "10.0.0.1:1"),
        ("'10.0.0.1'", "10.0.0.1:1"),
        ("{10,0,0,1}", "10.0.0.1:1"),
        ("{0,0,0,0,0,0,0,1}", "::1:1"),
        ("\"fd20::1\"", "fd20::1:1"),
        ("localhost", "localhost:1"),
        ("\"127.0.01\"", "[BadSetting]"),
        ("\"\"", "[BadSetting]"),
        ("{10,0,1}", "[BadSetting]"),
        ("{256,0,0,1}", "[BadSetting]"),
        ("{65536,0,0,0,0,0,0,1}", "[BadSetting]"),
        ("\"10.0.0.1:8098\"", "[BadSetting]"),
        ("10", "[BadSetting]"),
    ] {
        assert_eq!(http(text), found, "{text}");
    }
}

#[test]
fn flags_in_advanced_config_are_those_of_a_vm_args() {
    let flags = "{vm_args, [{'-name', \"b@10.0.0.2\"}, {'-kernel inet_dist_listen_min', \"7000\"},
        {'-env ERL_EPMD_PORT', 5000}, {\"-kernel inet_dist_listen_max\", '7010'}]}";
    let advanced = format!("[{flags}].");
    let (settings, codes) = read_all(&[CONF, (Kind::AdvancedConfig, &advanced)]);
    assert_eq!(settings.name.as_ref().unwrap().value, "b@10.0.0.2");
    let span = settings.name.unwrap().span;
    assert_eq!(&advanced[span.start as usize..span.end as usize], "{'-name', \"b@10.0.0.2\"}");
    assert_eq!(
        settings.distribution.range(),
        Range::Ports([PortRange::new(7000, 7010).unwrap()].into_iter().collect())
    );
    assert_eq!((settings.epmd.port.unwrap().value, codes), (5000, vec![Code::Overridden]));
    // Beside an app.config they are what is left; beside a vm.args nothing is.
    let files =
        [(Kind::AdvancedConfig, advanced.as_str()), (Kind::AppConfig, "[]."), (Kind::VmArgs, "-name a@10.0.0.1")];
    assert_eq!(read_all(&files[..2]).0.name.unwrap().value, "b@10.0.0.2");
    let (settings, codes) = read_all(&[files[0], files[2]]);
    assert_eq!((settings.name.unwrap().value.as_str(), codes), ("a@10.0.0.1", vec![Code::IgnoredFile]));
    // What cannot be read is said in its place.
    for (flag, code) in [
        ("{'-name', <<1>>}", Code::ErlangSyntax),
        ("{'-args_file', \"x\"}", Code::NotRead),
        ("{'-config', \"x\"}", Code::NotRead),
        ("{'-name', \"\"}", Code::VmArgsSyntax),
        ("'-name'", Code::ErlangSyntax),
    ] {
        let text = format!("[{{vm_args, [{flag}]}}].");
        assert_eq!(read_all(&[(Kind::AdvancedConfig, &text)]).1, [code], "{flag}");
    }
}

#[test]
fn the_first_short_name_else_the_first_name() {
    let name = |args: &str| {
        let (settings, codes) = read_all(&[(Kind::VmArgs, args)]);
        (settings.name.unwrap().value, codes.len())
    };
    assert_eq!(name("-name a@10.0.0.1 -name b@10.0.0.2"), ("a@10.0.0.1".to_owned(), 1));
    assert_eq!(name("-name a@10.0.0.1 -sname b@h -sname c@h"), ("b@h".to_owned(), 2));
}

#[test]
fn a_file_that_is_wrong_in_every_line_has_a_bounded_number_of_findings() {
    for (kind, line) in [(Kind::RiakConf, "a\n"), (Kind::VmArgs, "-kernel 1 2\n"), (Kind::RiakConf, "nodename = a@h\n")]
    {
        let codes = read_all(&[(kind, &line.repeat(1000))]).1;
        assert!((2..=202).contains(&codes.len()), "{line}: {}", codes.len());
    }
}

/// Seen on OTP 25: the flag takes the place of the range, and the setting is not known. Which release runs, the files do not say.
#[test]
fn a_port_without_epmd_stands_beside_the_range() {
    let port = |files: &[(Kind, &str)]| match read_all(files).0.distribution.range() {
        Range::Ports(ports) => ports.to_string(),
        other => format!("{other:?}"),
    };
    let both = (Kind::AppConfig, "[{kernel, [{inet_dist_listen_min, 6000}, {inet_dist_listen_max, 6009}]}].");
    let own = (Kind::AppConfig, "[{kernel, [{inet_dist_listen_min, 6000}, {erl_epmd_node_listen_port, 7001}]}].");
    assert_eq!(port(&[both]), "6000-6009");
    assert_eq!(port(&[own]), "6000, 7001");
    assert_eq!(port(&[own, (Kind::VmArgs, "-kernel erl_epmd_node_listen_port 7002")]), "6000, 7002");
    assert_eq!(port(&[both, (Kind::VmArgs, "-start_epmd false -erl_epmd_port 7003")]), "6000-6009, 7003");
    assert_eq!(port(&[own, (Kind::VmArgs, "-erl_epmd_port 7003")]), "6000, 7001, 7003");
    assert_eq!(port(&[both, (Kind::VmArgs, "-erl_epmd_port 6005")]), "6000-6009");
    // Another release takes any free port.
    assert_eq!(port(&[(Kind::VmArgs, "-erl_epmd_port 7003")]), "Unset");
    assert_eq!(port(&[(Kind::VmArgs, "-kernel erl_epmd_node_listen_port 7004")]), "Unset");
}

/// Seen on OTP 25: of two flags, two values, no number and 0 nothing is heeded.
#[test]
fn a_flag_that_erlang_does_not_heed_is_an_error() {
    for (flags, code) in [
        ("-erl_epmd_port 7001 -erl_epmd_port 7002", Code::VmArgsSyntax),
        ("-erl_epmd_port 7001 -erl_epmd_port 7001", Code::VmArgsSyntax),
        ("-erl_epmd_port 7001 7002", Code::VmArgsSyntax),
        ("-erl_epmd_port", Code::VmArgsSyntax),
        ("-erl_epmd_port 0", Code::BadSetting),
        ("-erl_epmd_port abc", Code::BadSetting),
    ] {
        let (settings, codes) = read_all(&[(Kind::VmArgs, &format!("{flags} -kernel inet_dist_listen_min 6000"))]);
        assert_eq!(codes, [code], "{flags}");
        assert_eq!(settings.distribution.fixed, [], "{flags}");
    }
}

#[test]
fn what_may_choose_another_port_is_said() {
    for (kind, text) in [
        (Kind::VmArgs, "-epmd_module my_epmd"),
        (Kind::VmArgs, "-kernel epmd_module my_epmd"),
        (Kind::AppConfig, "[{kernel, [{epmd_module, my_epmd}]}]."),
        (Kind::VmArgs, "-env ERL_FLAGS \"-erl_epmd_port 7001\""),
        (Kind::VmArgs, "-env ERL_ZFLAGS \"-erl_epmd_port 7001\""),
    ] {
        assert_eq!(read_all(&[(kind, text)]).1, [Code::NotRead], "{text}");
    }
}

#[test]
fn who_replicates_from_here_is_known_from_any_file() {
    let found = |files: &[(Kind, &str)]| {
        let replication = read_all(files).0.replication;
        let peers: Vec<String> = replication.peers.iter().map(|peer| peer.value.to_string()).collect();
        (replication.source.map(|source| source.name), peers.join(" "))
    };
    let conf = |text: &'static str| found(&[(Kind::RiakConf, text)]);
    assert_eq!(conf("replrtq_enablesrc = disabled\nttaaefs_scope = disabled\n"), (None, String::new()));
    assert_eq!(conf("replrtq_enablesrc = enabled\n").0.as_deref(), Some("replrtq_enablesrc"));
    let full = "ttaaefs_scope = all\nttaaefs_peerip = 10.9.0.1\nttaaefs_peerport = 8087\n";
    assert_eq!(conf(full), (Some("ttaaefs_scope".to_owned()), "10.9.0.1".to_owned()));
    let sinks = "replrtq_enablesink = enabled\nreplrtq_sinkpeers = 10.9.0.1:8087:pb|q:db2.example.com:8098:http|fd20::5:8087:pb|x|10.9.0.1:1:pb\n";
    assert_eq!(conf(sinks), (None, "10.9.0.1 db2.example.com fd20::5".to_owned()));
    let advanced = "[{riak_kv, [{replrtq_enablesrc, true}, {ttaaefs_peerip, \"10.9.0.2\"}]}].";
    let (source, peers) =
        found(&[(Kind::RiakConf, "replrtq_enablesrc = disabled\n"), (Kind::AdvancedConfig, advanced)]);
    assert_eq!((source.as_deref(), peers.as_str()), (Some("riak_kv replrtq_enablesrc"), "10.9.0.2"));
}
