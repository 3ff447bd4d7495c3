use super::*;
use crate::ir::ours::is_set;
use crate::net::{Ports, parse_address};

fn opening(name: &str, networks: &[&str], ports: &[(u16, u16)]) -> Opening {
    let network = |text: &&str| {
        let (address, length) = text.split_once('/').unwrap();
        Cidr::containing(parse_address(address).unwrap(), length.parse().unwrap()).unwrap()
    };
    Opening {
        name: name.to_owned(),
        about: "peers: epmd & <http>".to_owned(),
        leg: Leg::In,
        networks: networks.iter().map(network).collect(),
        ports: ports.iter().map(|&(a, b)| PortRange::new(a, b).unwrap()).collect::<Ports>(),
        interfaces: None,
    }
}

#[test]
fn a_set_for_each_opening_and_a_rule_for_each_range() {
    let peers = opening("peers", &["10.0.0.2/32", "10.0.1.0/24"], &[(4369, 4369), (8098, 8099)]);
    let files = Wanted::of(std::slice::from_ref(&peers)).files();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ipsets/open-ringfence-peers4.xml", "policies/ringfence.xml"]);
    let set = &files[0].1;
    assert!(set.contains("peers: epmd &amp; &lt;http&gt;."), "{set}");
    assert!(set.ends_with("  <entry>10.0.0.2</entry>\n  <entry>10.0.1.0/24</entry>\n</ipset>\n"), "{set}");
    let policy = &files[1].1;
    assert_eq!(policy.matches("<source ipset=\"open-ringfence-peers4\"/>").count(), 2);
    assert!(policy.contains("<port port=\"8098-8099\" protocol=\"tcp\"/>"), "{policy}");
    assert!(files.iter().all(|(_, text)| text.matches(MARK).count() == 2), "a remark, and what firewalld keeps");
    let out = Opening { leg: Leg::Out, ..peers };
    assert!(Wanted::of(&[out]).files().is_empty());
}

/// With a zone for a source; and the policy behind the zones, or before them.
#[test]
fn the_chains_of_every_version_are_known() {
    let of = |chains: &str| {
        let allow = "chain filter_IN_policy_ringfence_allow {\n\t\tip saddr @open-ringfence-peers4 tcp dport 8098 accept\n\t}\n";
        let text = format!("table inet firewalld {{\n\t{allow}\t{chains}}}\n");
        InForce::of(&crate::dialect::nft::read(&text).unwrap().ruleset)
    };
    let base = "chain filter_INPUT {\n\t\ttype filter hook input priority filter + 10; policy accept;\n\t}\n";
    let (own, zone) = ("jump filter_IN_policy_ringfence\n", "jump filter_IN_public\n");
    let of_1 = |[pre, post]: [&str; 2]| {
        format!(
            "{base}\tchain filter_INPUT_POLICIES_pre {{\n\t\t{pre}\t}}\n\tchain filter_INPUT_ZONES {{\n\t\tgoto filter_IN_public\n\t}}\n\
             \tchain filter_INPUT_POLICIES_post {{\n\t\t{post}\t}}\n"
        )
    };
    let of_2_0 = |[first, second]: [&str; 2]| {
        format!(
            "{base}\tchain filter_INPUT_POLICIES {{\n\t\tip saddr 10.0.0.9 {first}\t\tip saddr 10.0.0.9 {second}\t\tip saddr 10.0.0.9 drop\n\
             \t\tjump filter_IN_policy_other\n\t\t{first}\t\t{second}\t\tjump filter_IN_policy_other\n\t\treject\n\t}}\n"
        )
    };
    let of_2_4 = |[first, second]: [&str; 2]| {
        format!(
            "{base}\tchain filter_INPUT_dispatch {{\n\t\tjump filter_IN_public_to_HOST\n\t}}\n\tchain filter_IN_public_to_HOST {{\n\
             \t\t{first}\t\t{second}\t\treject\n\t}}\n"
        )
    };
    for (behind, before, early) in [
        (of_1(["", own]), of_1([own, ""]), 1),
        (of_2_0([zone, own]), of_2_0([own, zone]), 2),
        (of_2_4([zone, own]), of_2_4([own, zone]), 1),
    ] {
        let there = of(&behind);
        assert!(there.is_loaded && there.policy && there.rules.len() == 1, "{there:?}");
        assert_eq!((there.strange, of(&before).strange), (0, early), "{behind}");
    }
    assert!(!of("").is_loaded);
}

#[test]
fn everybody_is_two_halves_and_many_get_room() {
    let all = Wanted::of(&[opening("all", &["0.0.0.0/0"], &[(80, 80)])]);
    let networks: Vec<String> = all.sets[0].networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["0.0.0.0/1", "128.0.0.0/1"]);
    let mut many = all.sets[0].clone();
    many.networks = (0..40_000).map(|n: u32| Cidr::host(std::net::Ipv4Addr::from_bits(n * 2).into())).collect();
    assert!(many.file().contains("<option name=\"maxelem\" value=\"131072\"/>"));
}

#[test]
fn names_fit_and_are_not_those_of_the_guard() {
    let long = "prometheus-clients-eth0-eth1-eth2";
    let names = [set_name("http-clients", true), set_name(long, true), set_name(&format!("{long}3"), true)];
    assert_eq!(names[0], "open-ringfence-http-clients4");
    assert!(names[1] != names[2] && names.iter().all(|name| name.len() <= LONGEST_NAME && !is_set(name)), "{names:?}");
}
