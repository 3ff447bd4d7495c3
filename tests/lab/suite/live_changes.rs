//! What is in force is what was asked for, and nothing of others changes.

use super::*;
use crate::lab::Lab;
use crate::lab::rules::GUARDED;

const THREE: [&str; 3] = ["10.20.0.11", "10.20.0.12", "fd20::13"];
const UNTRUSTED: &str = "untrusted = [\"10.20.0.128/25\"]";
const CLIENT: &str = "[[client]]\nname = \"web\"\nfrom = [\"10.20.1.0/24\", \"10.20.2.7\"]\nservices = [\"http\"]";

fn with_sets(peers: &[&str], more: &str) -> Wanted {
    Wanted::new(cluster(peers, more), SetsMode::Always)
}

on_each_variant! {
    fn every_golden_case_is_proved_between_rules_of_others(host) {
        let mut seen = 0;
        for case in golden().iter().filter(|case| case.join("out/ringfence.iptables").exists()) {
            let _home = Namespace::unshare();
            plant_foreign();
            let before = foreign();
            let wanted = Wanted::golden(case);
            assert!(host.read().is_absent());
            assert!(host.apply(&wanted).rules, "{}", case.display());
            assert_eq!(before, foreign(), "{}", case.display());
            let own = host.own();
            assert!(host.apply(&wanted).is_nothing(), "{}", case.display());
            assert_eq!((own, host.jumps()), (host.own(), 4), "{}", case.display());
            assert_eq!(host.read().variants(), [host.variant]);
            host.remove();
            assert!(host.read().is_absent(), "{}", case.display());
            assert_eq!(before, foreign(), "{}", case.display());
            seen += 1;
        }
        assert!(seen >= 15, "{seen}");
    }

    fn members_change_and_no_rule_does(host) {
        let lab = Lab::new();
        host.apply(&with_sets(&THREE, UNTRUSTED));
        for _ in 0..3 {
            let stranger = lab.stranger(lab::HOST4);
            assert!(!lab.knock(stranger, (lab::HOST4, GUARDED).into()).delivered());
        }
        let counted = |host: &Host| iptables::counters(&host.read())["isolation: http"];
        assert_eq!(counted(host).packets, 3);
        let bytes = counted(host).bytes;
        let more: Vec<String> = (20..120).map(|n| format!("10.20.0.{n}")).collect();
        let more: Vec<&str> = more.iter().map(String::as_str).chain(THREE).collect();
        for (peers, sets) in [(&more[..], 1), (&THREE[..], 1), (&["10.20.0.11", "10.20.0.99", "fd20::14"][..], 2)] {
            let wanted = with_sets(peers, UNTRUSTED);
            let change = host.apply(&wanted);
            assert_eq!((change.rules, change.sets.len()), (false, sets), "{change:?}");
            assert!(host.apply(&wanted).is_nothing());
            assert_eq!((counted(host).packets, counted(host).bytes), (3, bytes));
            assert!(!run(&["ipset", "list", "-n"], "").contains('+'));
        }
        // From one set to another, and who was untrusted is a peer.
        let wanted = with_sets(&["10.20.0.11", "10.20.0.130"], "untrusted = [\"10.20.0.12\"]");
        assert!(host.apply(&wanted).sets.len() >= 2);
    }

    fn the_structure_changes_there_and_back(host) {
        let _home = Namespace::unshare();
        plant_foreign();
        let others = foreign();
        let nothing = host.read().snapshot().clone();
        let shapes = [
            with_sets(&THREE, ""),
            with_sets(&["10.20.0.11", "10.20.0.50"], CLIENT),
            Wanted::new(cluster(&THREE, CLIENT), SetsMode::Never),
            with_sets(&["fd20::13", "10.20.0.12"], &format!("{UNTRUSTED}\n[guard]\nlog = true\n{CLIENT}")),
            Wanted::new(cluster(&["10.20.0.77"], "[guard]\ninterfaces = [\"eth1\"]"), SetsMode::Auto),
        ];
        for (number, one) in shapes.iter().enumerate() {
            host.restore(&nothing);
            host.apply(one);
            let (before, own) = (host.read().snapshot().clone(), host.own());
            for two in &shapes {
                host.apply(two);
                assert_eq!(host.jumps(), 4);
                host.restore(&before);
                assert_eq!((own.as_str(), host.jumps()), (host.own().as_str(), 4), "shape {number}");
                assert!(host.restore(&before).is_nothing(), "shape {number}");
                host.prove(one);
            }
        }
        host.restore(&nothing);
        assert!(host.read().is_absent() && host.jumps() == 0);
        assert_eq!(others, foreign());
        assert!(host.remove().is_nothing());
    }

    fn a_set_that_rules_fill_through_a_list_proves_nothing(host) {
        let _home = Namespace::unshare();
        let wanted = with_sets(&["10.20.0.11"], "");
        host.apply(&wanted);
        // A rule fills the list, and none asks it.
        let own = run(&["ipset", "list", "-n"], "").lines().find(|name| name.ends_with('4')).unwrap().to_owned();
        run(&["ipset", "create", "all", "list:set"], "");
        run(&["ipset", "add", "all", &own], "");
        assert!(host.is_proved(&wanted));
        host.tool("iptables", "-t raw -A PREROUTING -j SET --add-set all src");
        assert!(!host.is_proved(&wanted), "{own} may have anybody now");
    }

    fn a_set_of_ours_with_timeouts_is_made_anew(host) {
        let _home = Namespace::unshare();
        let wanted = with_sets(&["10.20.0.11", "10.20.0.12"], "");
        host.apply(&wanted);
        let own = run(&["ipset", "list", "-n"], "").lines().find(|name| name.ends_with('4')).unwrap().to_owned();
        let header = run(&["ipset", "save", &own], "").lines().next().unwrap().to_owned();
        let kind = header.split(' ').nth(2).unwrap().to_owned();
        run(&["ipset", "create", "timed", &kind, "timeout", "0"], "");
        run(&["ipset", "add", "timed", "10.20.0.99"], "");
        run(&["ipset", "swap", "timed", &own], "");
        assert!(!host.is_proved(&wanted));
        host.apply(&wanted);
    }

    fn a_jump_that_is_passed_by_moves_to_the_top(host) {
        let _home = Namespace::unshare();
        let wanted = with_sets(&THREE, "");
        host.apply(&wanted);
        host.tool("iptables", "-t raw -I PREROUTING -p udp -j LOG");
        assert!(host.apply(&wanted).is_nothing(), "a rule that decides nothing may stay");
        let before = host.saved("iptables");
        host.tool("iptables", "-t raw -I PREROUTING -p tcp --dport 8098 -j ACCEPT");
        assert!(!host.is_proved(&wanted));
        assert_eq!(host.read().complaints().len(), 1);
        let passed_by = host.read().snapshot().clone();
        let change = host.apply(&wanted);
        assert_eq!((change.moved.len(), change.sets.len()), (1, 0), "{change:?}");
        assert_eq!(host.jumps(), 4);
        // Back to where it was, behind both.
        host.restore(&passed_by);
        assert!(!host.is_proved(&wanted));
        host.tool("iptables", "-t raw -D PREROUTING -p tcp --dport 8098 -j ACCEPT");
        assert_eq!(before, host.saved("iptables"));
    }

    /// A rule that counts by sender is one rule, as is one that is read as several, and what stands behind keeps its place.
    fn a_jump_keeps_its_place_behind_rules_that_are_read_as_others(host) {
        let _home = Namespace::unshare();
        let wanted = with_sets(&THREE, "");
        host.apply(&wanted);
        let places = [("raw", "PREROUTING"), ("mangle", "INPUT")];
        for (table, chain) in places {
            let counted = "-p tcp -m hashlimit --hashlimit-above 1000/sec --hashlimit-mode srcip --hashlimit-name";
            host.tool("iptables", &format!("-t {table} -I {chain} {counted} {table}1 -j DROP"));
            // This is read as two rules.
            host.tool("iptables", &format!("-t {table} -I {chain} -p tcp -m tcp ! --tcp-flags SYN,ACK SYN -j LOG"));
            host.tool("iptables", &format!("-t {table} -A {chain} -s 10.77.0.0/16 -j ACCEPT"));
            host.tool("iptables", &format!("-t {table} -A {chain} {counted} {table}2 -j DROP"));
        }
        let saved = |host: &Host| {
            let saved = run(&[&format!("iptables-{}-save", host.variant)], "");
            let rules = saved.lines().filter(|line| places.iter().any(|(_, chain)| line.starts_with(&format!("-A {chain} "))));
            rules.map(str::to_owned).collect::<Vec<_>>()
        };
        let before = saved(host);
        assert!(before.iter().filter(|rule| rule.contains("RINGFENCE")).count() >= 2, "{before:?}");
        assert_eq!(before.iter().filter(|rule| rule.contains("hashlimit")).count(), 4, "{before:?}");
        // All of the kernel's rules are in the text, and what cannot pass it by may stay.
        assert_eq!(host.read().unknown, [""; 0]);
        assert_eq!(host.read().complaints(), [""; 0]);
        let kept = host.read().snapshot().clone();
        assert!(host.try_apply(&wanted).unwrap().is_nothing());
        host.remove();
        assert!(!saved(host).iter().any(|rule| rule.contains("RINGFENCE")));
        host.restore(&kept);
        assert_eq!(saved(host), before);
        // At the very end, too.
        for (table, chain) in places {
            host.tool("iptables", &format!("-t {table} -D {chain} -s 10.77.0.0/16 -j ACCEPT"));
            let counted = "-p tcp -m hashlimit --hashlimit-above 1000/sec --hashlimit-mode srcip --hashlimit-name";
            host.tool("iptables", &format!("-t {table} -D {chain} {counted} {table}2 -j DROP"));
        }
        let (before, kept) = (saved(host), host.read().snapshot().clone());
        host.remove();
        host.restore(&kept);
        assert_eq!(saved(host), before);
    }

    fn several_jumps_become_one(host) {
        let _home = Namespace::unshare();
        plant_foreign();
        let others = foreign();
        let wanted = with_sets(&THREE, CLIENT);
        host.apply(&wanted);
        for family in ["iptables", "ip6tables"] {
            host.tool(family, "-t raw -A PREROUTING -j RINGFENCE");
            host.tool(family, "-t mangle -I INPUT -j RINGFENCE");
            host.tool(family, "-t mangle -A FOREIGN -i eth7 -g RINGFENCE");
        }
        // In each family: too many of them in either table, and one of each behind somebody else's rule.
        assert_eq!(host.read().complaints().len(), 8);
        assert!(host.apply(&wanted).rules);
        assert_eq!(host.jumps(), 4);
        host.tool("iptables", "-t mangle -I FOREIGN -i eth7 -j RINGFENCE-ADMIT");
        let odd = host.read().snapshot().clone();
        host.remove();
        assert_eq!(others, foreign());
        host.restore(&odd);
        assert!(host.restore(&odd).is_nothing());
        host.remove();
        assert!(host.read().is_absent());
        assert_eq!(others, foreign());
    }

    fn the_other_back_end_is_cleared(host) {
        let _home = Namespace::unshare();
        plant_foreign();
        let others = foreign();
        let (old, new) = (with_sets(&THREE, CLIENT), with_sets(&["10.20.0.50", "fd20::13"], UNTRUSTED));
        let there = Host::new(other(host.variant));
        there.apply(&old);
        let before = host.read().snapshot().clone();
        host.apply(&new);
        assert_eq!(host.read().variants(), [host.variant]);
        assert_eq!((host.jumps(), there.jumps()), (4, 0));
        host.restore(&before);
        assert_eq!((host.jumps(), there.jumps()), (0, 4));
        host.prove(&old);
        host.remove();
        assert_eq!(others, foreign());
    }

    fn files_that_were_loaded_by_hand_are_taken_over(host) {
        let _home = Namespace::unshare();
        for _ in 0..2 {
            backend(host.variant).load(&lab::rules::Rules::usual());
        }
        assert_eq!(host.jumps(), 8);
        let change = host.apply(&Wanted::new(lab::rules::CLUSTER, SetsMode::Auto));
        assert!(change.rules && host.jumps() == 4);
    }

    fn looking_loads_nothing(host) {
        let _home = Namespace::unshare();
        assert!(host.read().is_absent());
        for names in ["/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"] {
            assert_eq!(fs::read_to_string(names).unwrap_or_default(), "");
        }
        assert_eq!(run(&["nft", "list", "ruleset"], ""), "");
        assert!(host.remove().is_nothing());
        assert_eq!(run(&["nft", "list", "ruleset"], ""), "");
    }
}
