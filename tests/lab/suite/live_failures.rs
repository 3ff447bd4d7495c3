//! What fails leaves everything as it was.

use super::*;
use std::os::unix::fs::PermissionsExt;

const ONE: [&str; 2] = ["10.20.0.11", "fd20::13"];
const TWO: [&str; 2] = ["10.20.0.12", "fd20::14"];

/// Tools of which one is a script.
fn with_script(variant: Variant, name: &str, script: &str) -> (tempfile::TempDir, Tools) {
    let folder = tempfile::tempdir().unwrap();
    // Both names, so that it does not matter which one is the usual back end.
    for name in [name.to_owned(), name.replace("-restore", &format!("-{variant}-restore"))] {
        let path = folder.path().join(&name);
        let real = run(&["sh", "-c", &format!("PATH=$PATH:/usr/sbin:/sbin command -v {name}")], "");
        fs::write(&path, format!("#!/bin/sh\n{script}\nexec {} \"$@\"\n", real.trim())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let tools = Tools::find_in(path.as_ref()).unwrap().for_variant(variant).unwrap();
    (folder, tools.with_lock_file("/proc/self/ns/net"))
}

const FAILS_TO_LOAD: &str =
    "case \" $* \" in *' --test '*|*' --version '*) ;; *) echo 'no luck today' >&2; exit 1;; esac";
const FAILS_TO_TEST: &str = "case \" $* \" in *' --test '*) echo 'no luck today' >&2; exit 1;; esac";

on_each_variant! {
    fn a_second_family_that_fails_leaves_the_first_as_it_was(host) {
        let one = Wanted::new(cluster(&ONE, ""), SetsMode::Always);
        let two = Wanted::new(cluster(&TWO, "untrusted = [\"10.20.0.128/25\"]"), SetsMode::Always);
        let rules_only = Wanted::new(cluster(&TWO, ""), SetsMode::Never);
        for script in [FAILS_TO_LOAD, FAILS_TO_TEST] {
            let _home = Namespace::unshare();
            plant_foreign();
            let others = foreign();
            let (_folder, tools) = with_script(host.variant, "ip6tables-restore", script);
            let broken = Host { variant: host.variant, tools };
            for wanted in [&one, &rules_only] {
                let error = broken.try_apply(wanted).unwrap_err().to_string();
                assert!(error.contains("no luck today") && !error.contains("brought back"), "{error}");
                assert!(host.read().is_absent(), "{}", host.own());
            }
            host.apply(&one);
            let before = host.own();
            for wanted in [&two, &rules_only] {
                let error = broken.try_apply(wanted).unwrap_err().to_string();
                assert!(error.contains("no luck today") && !error.contains("brought back"), "{error}");
                assert_eq!((before.as_str(), host.jumps()), (host.own().as_str(), 4));
                host.prove(&one);
            }
            assert_eq!(others, foreign());
        }
    }

    fn what_was_cut_short_is_cleared_up(host) {
        let _home = Namespace::unshare();
        let (one, two) = (cluster(&ONE, ""), cluster(&TWO, "untrusted = [\"10.20.0.128/25\"]"));
        let (one, two) = (Wanted::new(one, SetsMode::Always), Wanted::new(two, SetsMode::Always));
        host.apply(&one);
        let name = run(&["ipset", "list", "-n"], "").lines().next().unwrap().to_owned();
        // Filled aside, and not swapped; then with a rule that looks into it.
        run(&["ipset", "create", &format!("{name}+"), "hash:ip"], "");
        assert!(host.apply(&two).rules);
        run(&["ipset", "create", &format!("{name}+"), "hash:ip"], "");
        host.tool("iptables", &format!("-t raw -A RINGFENCE-ADMIT -m set --match-set {name}+ src -j RETURN"));
        assert!(host.apply(&one).rules);
        assert!(!run(&["ipset", "list", "-n"], "").contains('+'));
        // A set of ours that is of another kind now.
        host.remove();
        run(&["ipset", "create", &name, "hash:net,port"], "");
        assert!(!host.read().is_absent());
        host.apply(&two);
        host.remove();
        assert_eq!(run(&["ipset", "list", "-n"], ""), "");
    }

    fn a_table_that_cannot_be_shown_is_not_absent(host) {
        let _home = Namespace::unshare();
        run(&["nft", "-f", "-"], "table ip raw {\n chain odd {\n type filter hook prerouting priority -7\n }\n}\n");
        Host::away_from_home();
        let error = iptables::read(&host.tools).unwrap_err().to_string();
        assert!(error.contains("cannot be read, so nothing is known"), "{error}");
        assert!(iptables::remove(&host.tools).is_err());
    }

    fn a_set_that_others_use_is_left_and_said(host) {
        let _home = Namespace::unshare();
        host.apply(&Wanted::new(cluster(&ONE, ""), SetsMode::Always));
        let name = run(&["ipset", "list", "-n"], "").lines().next().unwrap().to_owned();
        host.tool("iptables", &format!("-I OUTPUT -m set --match-set {name} dst"));
        let change = host.remove();
        assert_eq!(change.leftovers.len(), 1, "{change:?}");
        assert_eq!(host.jumps(), 0);
    }
}

#[test]
fn a_damaged_snapshot_is_refused() {
    isolated("live_failures::a_damaged_snapshot_is_refused", || {
        if !Backend::IptablesNft.is_here("a damaged snapshot") {
            return;
        }
        let _home = Namespace::unshare();
        let host = Host::new(Variant::Nft);
        host.apply(&Wanted::new(cluster(&ONE, ""), SetsMode::Always));
        let bytes = String::from_utf8(host.read().snapshot().to_bytes().unwrap()).unwrap();
        let exchange = [
            ("\"schema\":1", "\"schema\":2"),
            ("\"RINGFENCE-BLOCK\"", "\"FOREIGN\""),
            ("\"-A RINGFENCE-BLOCK ", "\"-A INPUT "),
            ("\"-j RINGFENCE\"", "\"-j ACCEPT\""),
            ("\"-j RINGFENCE\"", "\"-j ACCEPT\\n-A INPUT -j RINGFENCE\""),
            ("\"mangle\"", "\"filter\""),
            ("\"ringfence-peers4\"", "\"peers4\""),
            ("\"10.20.0.11\"", "\"10.20.0.11\\nflush\""),
            ("{", "["),
        ];
        for (good, bad) in exchange {
            assert!(bytes.contains(good), "{good} is not in {bytes}");
            let error = Snapshot::from_bytes(bytes.replacen(good, bad, 1).as_bytes()).unwrap_err();
            assert!(
                error.to_string().starts_with("what was kept of the rules before cannot be used: "),
                "{bad}: {error}"
            );
        }
    });
}
