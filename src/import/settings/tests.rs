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

/// What RabbitMQ 3.10 listened on with these files, as `ss -ltn` said: AMQP, and the port or range of the distribution.
#[test]
fn rabbitmq_listens_where_its_files_say() {
    const CONF: Kind = Kind::RabbitmqConf;
    const ENV: Kind = Kind::RabbitmqEnv;
    const MORE: Kind = Kind::RabbitmqConfD;
    const TERMS: Kind = Kind::AdvancedConfig;
    let range = "distribution.listener.port_range.min = 6000\ndistribution.listener.port_range.max = 6003\n";
    let flags = "SERVER_ADDITIONAL_ERL_ARGS=\"-kernel inet_dist_listen_min 7000 inet_dist_listen_max 7005\"\n";
    let terms = "[{rabbit, [{tcp_listeners, [5684, {\"10.20.0.11\", 5685}]}]}, {kernel, [{inet_dist_listen_min, 6100}, \
                 {inet_dist_listen_max, 6105}]}].";
    /// Files, listeners of AMQP, and the distribution.
    type Case<'a> = (&'a [(Kind, &'a str)], &'a [&'a str], &'a str);
    let cases: [Case<'_>; 13] = [
        (&[(CONF, "")], &["0.0.0.0:5672"], "25672"),
        (&[(CONF, "listeners.tcp.default = 5673\n")], &["0.0.0.0:5673"], "25672"),
        (&[(CONF, range)], &["0.0.0.0:5672"], "6000-6003"),
        (&[(CONF, range), (ENV, "DIST_PORT=7100\n")], &["0.0.0.0:5672"], "6000-6003"),
        (
            &[(CONF, "listeners.tcp.default = 5690\n"), (ENV, "NODE_PORT=5680\nNODE_IP_ADDRESS=10.20.0.11\n")],
            &["0.0.0.0:5690"],
            "25680",
        ),
        (&[(ENV, "export NODE_PORT=5680\nNODE_IP_ADDRESS=10.20.0.11\n")], &["10.20.0.11:5680"], "25680"),
        (&[(ENV, "DIST_PORT=7100\nRABBITMQ_DIST_PORT=7200\nRABBITMQ_NODE_PORT=5681\n")], &["0.0.0.0:5681"], "7200"),
        (
            &[(CONF, "listeners.tcp.1 = 127.0.0.1:5672\nlisteners.tcp.2 = ::1:5673\nlisteners.tcp.3 = 5674\n")],
            &["127.0.0.1:5672", "::1:5673", "0.0.0.0:5674"],
            "25672",
        ),
        (
            &[
                (CONF, "listeners.tcp.default = 5673\n"),
                (MORE, "listeners.tcp.default = 5700\n"),
                (MORE, "listeners.tcp.other = 5701\n"),
            ],
            &["0.0.0.0:5700", "0.0.0.0:5701"],
            "25672",
        ),
        (&[(CONF, "listeners.tcp = none\nlisteners.tcp.default = 5673\n"), (ENV, "NODE_PORT=5680\n")], &[], "25680"),
        (&[(ENV, "NODE_PORT=5683\n"), (TERMS, terms)], &["0.0.0.0:5684", "10.20.0.11:5685"], "6100-6105"),
        // Only half of it is set: the other is that of RabbitMQ itself.
        (&[(CONF, "distribution.listener.port_range.min = 25670\n")], &["0.0.0.0:5672"], "25670-25672"),
        // The flags have no effect; a release before 3.8 would take them.
        (&[(ENV, flags), (CONF, "")], &["0.0.0.0:5672"], "7000-7005, 25672"),
    ];
    for (files, amqp, distribution) in cases {
        let (settings, _) = read_all(files);
        assert_eq!(
            (settings.profile.name.as_str(), listeners(&settings, "amqp")),
            ("rabbitmq", to_owned(amqp)),
            "{files:?}"
        );
        let Range::Ports(ports) = settings.distribution.range() else { panic!("{files:?}: {settings:?}") };
        assert_eq!(ports.to_string(), distribution, "{files:?}");
    }
    // The management listens on both of its ports, each on the address of its own group, and nothing else of the plugins is known to run.
    let (settings, codes) = read_all(&[(
        CONF,
        "management.tcp.port = 15700\nmanagement.listener.port = 15710\nmanagement.tcp.ip = 10.20.0.11\nstream.replication.port_range.max = 6100\n",
    )]);
    assert_eq!(listeners(&settings, "management"), ["10.20.0.11:15700", "0.0.0.0:15710"]);
    assert!(codes.is_empty() && settings.listeners.len() == 3, "{settings:?}");
    assert_eq!(settings.ranges[0].ports.to_string(), "6000-6100");
}

fn to_owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Each with its own address, and with the usual port where it has none.
#[test]
fn the_old_listener_of_the_management_is_one_of_its_own() {
    let conf = |text: &str| listeners(&read_all(&[(Kind::RabbitmqConf, text)]).0, "management");
    assert_eq!(
        conf("management.listener.port = 15999\nmanagement.tcp.ip = 10.0.0.1\n"),
        ["10.0.0.1:15672", "0.0.0.0:15999"]
    );
    assert_eq!(conf("management.listener.ip = 10.0.0.1\n"), ["10.0.0.1:15672"]);
    let terms = "[{rabbitmq_management, [{listener, [{port, 15999}]}]}].";
    let (settings, _) =
        read_all(&[(Kind::RabbitmqConf, "management.tcp.port = 15700\n"), (Kind::AdvancedConfig, terms)]);
    assert_eq!(listeners(&settings, "management"), ["0.0.0.0:15700", "0.0.0.0:15999"]);
}

/// What cannot be known is an error, and what is overridden is named.
#[test]
fn what_rabbitmq_cannot_be_known_to_do() {
    let codes = |kind: Kind, text: &str| read_all(&[(kind, text)]).1;
    let env = |text: &str| codes(Kind::RabbitmqEnv, text);
    assert_eq!(env("NODE_PORT=$((5672+8))\n"), [Code::BadSetting]);
    assert_eq!(env("NODE_PORT=60000\n"), [Code::BadSetting]);
    assert_eq!(env("NODE_PORT=x\n"), [Code::BadSetting]);
    assert_eq!(env("RABBITMQ_DIST_PORT=x\n"), [Code::BadSetting]);
    assert_eq!(env("LOGS=$HOME\nif true; then\nfi\n"), [Code::NotRead]);
    assert_eq!(env("NODE_PORT=1\nNODE_PORT=5673\n"), [Code::Overridden]);
    assert_eq!(env("CONFIG_FILE=/etc/other\n"), [Code::NotRead]);
    let flags = "\"-rabbit tcp_listeners [5999] -rabbitmq_management tcp_config [{port,15999}]\"\n";
    for variable in ["SERVER_ADDITIONAL_ERL_ARGS", "RABBITMQ_SERVER_START_ARGS"] {
        assert_eq!(env(&format!("{variable}={flags}")), [Code::NotRead, Code::NotRead], "{variable}");
    }
    let conf = |text: &str| codes(Kind::RabbitmqConf, text);
    assert_eq!(conf("listeners.tcp.default = any\n"), [Code::BadSetting]);
    assert_eq!(conf("management.tcp.ip = 10.20.0.300\n"), [Code::BadSetting]);
    assert_eq!(conf("stream.replication.port_range.min = 7000\n"), [Code::InvertedRange]);
    assert_eq!(conf("listeners.tcp.default = 1\nlisteners.tcp.default = 2\n"), [Code::Overridden]);
}

/// What only the shell knows is said once, whichever name it is of.
#[test]
fn what_the_shell_decides_is_not_taken_for_certain() {
    let env = |text: &str| {
        let (settings, codes) = read_all(&[(Kind::RabbitmqEnv, text)]);
        (settings.name.clone().map(|name| name.value), listeners(&settings, "amqp").join(" "), codes)
    };
    let usual = || "0.0.0.0:5672".to_owned();
    for text in [
        "NODENAME=rabbit@$(hostname -f)\n",
        "export NODENAME=\"rabbit@$(hostname -f)\"\n",
        "if true; then NODENAME=rabbit@a; fi\n",
        "[ -f x ] &&\n  NODENAME=rabbit@a\n",
        "NODENAME=\"rabbit@a\n",
        "LOGS='x\nNODENAME=rabbit@a\n",
    ] {
        assert_eq!(env(text), (None, usual(), vec![Code::BadSetting]), "{text}");
    }
    // One that is certain counts, whether before it or behind; before it nobody can know.
    let (name, _, codes) = env("if true; then NODENAME=rabbit@a; fi\nNODENAME=rabbit@b\n");
    assert_eq!((name.as_deref(), codes), (Some("rabbit@b"), vec![Code::NotRead, Code::Overridden]));
    let (name, _, codes) = env("NODENAME=rabbit@b\nif true; then NODENAME=rabbit@a; fi\n");
    assert_eq!((name, codes), (None, vec![Code::BadSetting]));
    // As the shell takes lines together.
    let (name, amqp, codes) = env("NODENAME=rabbit@\\\na\nNODE_PORT=56\\\r\n80\nLOGS=\"x\nNODE_PORT=1\"\n");
    assert_eq!((name.as_deref(), amqp.as_str(), codes), (Some("rabbit@a"), "0.0.0.0:5680", vec![]));
    let flags = "SERVER_START_ARGS=\"-kernel inet_dist_listen_min 7000 \\\n inet_dist_listen_max 7005\n-name x@y\"\n";
    let (settings, _) = read_all(&[(Kind::RabbitmqEnv, flags)]);
    assert_eq!(settings.distribution.unheeded[0].value.to_string(), "7000-7005");
    // A whole text is no port.
    assert_eq!(env("NODE_PORT='5672\n5673'\n").2, [Code::BadSetting]);
}

/// What stands in quotes is no port to Erlang nor to RabbitMQ. Riak Search has its ports so.
#[test]
fn a_port_in_quotes_is_said() {
    for text in [
        "[{rabbit, [{tcp_listeners, [\"5672\"]}]}].",
        "[{rabbit, [{tcp_listeners, \"5672\"}]}].",
        "[{rabbit, [{tcp_listeners, 5672}]}].",
        "[{rabbit, [{tcp_listeners, [{\"10.0.0.1\", \"5672\"}]}]}].",
        "[{rabbit, [{tcp_listeners, ['5672']}]}].",
        "[{rabbitmq_management, [{tcp_config, [{port, \"15672\"}]}]}].",
        "[{rabbitmq_management, [{tcp_config, 15672}]}].",
        "[{osiris, [{port_range, {\"6000\", 6500}}]}].",
        "[{kernel, [{inet_dist_listen_min, \"6000\"}]}].",
    ] {
        let files = [(Kind::RabbitmqConf, ""), (Kind::AdvancedConfig, text)];
        assert_eq!(read_all(&files).1, [Code::BadSetting], "{text}");
    }
    let riak = |text: &str| read_all(&[(Kind::AppConfig, text)]);
    assert_eq!(riak("[{kernel, [{inet_dist_listen_min, \"6000\"}]}].").1, [Code::BadSetting]);
    let (settings, codes) = riak("[{yokozuna, [{enabled, true}, {solr_port, \"8094\"}]}].");
    assert_eq!((listeners(&settings, "solr"), codes), (vec!["0.0.0.0:8094".to_owned()], vec![]));
}

/// Each port is of the setting that opens it.
#[test]
fn a_port_of_the_distribution_is_of_one_setting() {
    let read = |files: &[(Kind, &str)]| read_all(files).0.distribution;
    let text = "DIST_PORT=7000\nSERVER_ADDITIONAL_ERL_ARGS=\"-kernel inet_dist_listen_min 40000\"\n";
    let both = read(&[(Kind::RabbitmqEnv, text)]);
    let at = |distribution: &Distribution, port| distribution.opens(port).map(|span| span.start as usize);
    assert_eq!([7000, 40000, 25672].map(|port| at(&both, port)), [Some(10), text.find('"'), None]);
    let flags = text.split_once('\n').unwrap().1;
    let usual = read(&[(Kind::RabbitmqEnv, flags)]);
    assert_eq!([25672, 40000].map(|port| at(&usual, port)), [None, flags.find('"')]);
    let range = "-kernel inet_dist_listen_min 6000 inet_dist_listen_max 6009 -erl_epmd_port 7000";
    let fixed = read(&[(Kind::VmArgs, range)]);
    assert_eq!([6009, 7000, 6010].map(|port| at(&fixed, port)), [range.find("6000"), range.find("7000"), None]);
}

/// Where the old file is there, RabbitMQ reads neither rabbitmq.conf nor advanced.config; the folder conf.d counts still, and is weaker.
#[test]
fn the_old_file_of_rabbitmq_takes_the_place_of_two() {
    let old = "[{rabbit, [{tcp_listeners, [{\"10.20.0.11\", 5699}]}]}, {kernel, [{inet_dist_listen_min, 6100}, \
               {inet_dist_listen_max, 6105}]}].";
    let advanced = "[{rabbit, [{tcp_listeners, [5698]}, {ssl_listeners, [5697]}]}, {vm_args, [{'-name', \"x\"}]}].";
    let (settings, codes) = read_all(&[
        (Kind::RabbitmqConf, "listeners.tcp.default = 5673\nlisteners.ssl.default = 5696\n"),
        (Kind::RabbitmqConfD, "listeners.tcp.other = 5701\nmqtt.listeners.tcp.default = 1884\n"),
        (Kind::RabbitmqConfig, old),
        (Kind::AdvancedConfig, advanced),
    ]);
    assert_eq!((settings.profile.name.as_str(), settings.style), ("rabbitmq", Style::RabbitmqConfig));
    assert_eq!(listeners(&settings, "amqp"), ["10.20.0.11:5699"]);
    assert_eq!(listeners(&settings, "mqtt"), ["0.0.0.0:1884"]);
    assert!(listeners(&settings, "amqps").is_empty() && settings.name.is_none(), "{settings:?}");
    assert_eq!(codes.iter().filter(|code| **code == Code::IgnoredFile).count(), 2, "{codes:?}");
    // Alone it says, too, that what it does not set is as usual.
    let (settings, codes) = read_all(&[(Kind::RabbitmqConfig, "[{rabbit, []}].")]);
    assert_eq!((listeners(&settings, "amqp"), codes), (to_owned(&["0.0.0.0:5672"]), vec![]));
    // What cannot be read is an error, and never the rabbitmq.conf beside it.
    let (_, codes) = read_all(&[(Kind::RabbitmqConf, "listeners.tcp.default = 5673\n"), (Kind::RabbitmqConfig, "[{")]);
    assert!(codes.contains(&Code::ErlangSyntax), "{codes:?}");
}
