//! The files of RabbitMQ.

use super::*;

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
    let advanced = |list: &str| {
        let text = format!("[{{rabbit, [{{tcp_listeners, [{list}]}}]}}].");
        let (settings, codes) = read_all(&[(Kind::RabbitmqConf, ""), (Kind::AdvancedConfig, &text)]);
        (listeners(&settings, "amqp").join(" "), codes)
    };
    let found = advanced("{\"auto\", 5680}, {\"10.0.0.1\", 5681, inet}, {\"fd20::1\", 5682, inet6}");
    assert_eq!(found, ("0.0.0.0:5680 10.0.0.1:5681 fd20::1:5682".to_owned(), vec![]));
    assert_eq!(advanced("{\"10.0.0.1\", 5681, udp}").1, [Code::BadSetting]);
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

/// What opens a port that the profile has no service for.
#[test]
fn what_listens_without_a_service_is_said() {
    for (kind, text, said) in [
        (Kind::RiakConf, "nodename = a@10.0.0.1\njmx = on\njmx.port = 41111\n", true),
        (Kind::RiakConf, "nodename = a@10.0.0.1\njmx = off\n", false),
        (Kind::AppConfig, "[{riak_jmx, [{enabled, true}, {port, 41110}]}].", true),
        (Kind::AppConfig, "[{riak_jmx, [{enabled, false}]}].", false),
    ] {
        let codes = read_all(&[(kind, text)]).1;
        assert_eq!(codes.contains(&Code::NotRead), said, "{text}: {codes:?}");
    }
}

/// `web_stomp.port` and options of sockets move a listener in some releases, and leave it where it is in others.
#[test]
fn what_not_every_release_heeds_is_guarded_beside_the_usual_port() {
    let read = |conf: &str, advanced: &str| {
        let files = [(Kind::RabbitmqConf, conf), (Kind::AdvancedConfig, advanced)];
        let (settings, codes) = read_all(&files);
        let of = |name: &str| listeners(&settings, name).join(" ");
        (of("web-stomp"), of("amqp"), codes)
    };
    let usual = "0.0.0.0:5672".to_owned();
    let moved = vec![Code::FixedPort];
    assert_eq!(
        read("web_stomp.port = 12345\n", "[]."),
        ("0.0.0.0:12345 0.0.0.0:15674".into(), usual.clone(), moved.clone())
    );
    let advanced = "[{rabbitmq_web_stomp, [{port, 12345}]}].";
    assert_eq!(read("", advanced), ("0.0.0.0:12345 0.0.0.0:15674".into(), usual.clone(), moved.clone()));
    // What is set for certain is all that there is besides.
    let both = read("web_stomp.port = 12345\nweb_stomp.tcp.port = 15680\n", "[].");
    assert!(both.0.contains("15680") && !both.0.contains("15674"), "{both:?}");
    let both = read("web_stomp.tcp.port = 15680\n", advanced);
    assert!(both.0.contains("15680") && both.0.contains("12345") && !both.0.contains("15674"), "{both:?}");
    // A list of options takes the place of what rabbitmq.conf has of it, whichever of them it names.
    for (advanced, ports) in [
        ("[{rabbitmq_management, [{tcp_config, [{backlog, 5}]}]}].", "0.0.0.0:15800 0.0.0.0:15672"),
        ("[{rabbitmq_management, [{tcp_config, [{port, 15900}]}]}].", "0.0.0.0:15900"),
        ("[{rabbitmq_mqtt, []}].", "0.0.0.0:15800"),
    ] {
        let files = [(Kind::RabbitmqConf, "management.tcp.port = 15800\n"), (Kind::AdvancedConfig, advanced)];
        assert_eq!(listeners(&read_all(&files).0, "management").join(" "), ports, "{advanced}");
    }
    let advanced = |text| read_all(&[(Kind::RabbitmqConf, ""), (Kind::AdvancedConfig, text)]);
    let tls = advanced("[{rabbit, [{ssl_listeners, [5671]}, {ssl_options, [{port, 7790}]}]}].");
    assert_eq!(listeners(&tls.0, "amqps").join(" "), "0.0.0.0:5671 0.0.0.0:7790");
    let twice = advanced("[{rabbitmq_management, [{tcp_config, [{port, 15672}, {port, 15999}]}]}].");
    assert!(twice.1.contains(&Code::BadSetting));
    let amqp = "0.0.0.0:7788 0.0.0.0:5672".to_owned();
    assert_eq!(read("tcp_listen_options.port = 7788\n", "[]."), (String::new(), amqp, moved));
}
