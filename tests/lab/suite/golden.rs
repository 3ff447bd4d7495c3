//! Every golden ruleset, loaded twice between rules of somebody else.

use crate::lab::backend::{Backend, foreign, plant_foreign};
use crate::lab::netns::Namespace;
use crate::lab::rules::{Rules, golden};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;

on_each_backend! {
    fn cases(backend) {
        let mut loaded = 0;
        for case in golden() {
            let name = case.file_name().expect("a name").to_string_lossy().into_owned();
            let rules = Rules::read(&case.join("out"));
            if backend.is_meant_by(&rules) {
                load_twice(&name, &rules, backend);
                loaded += 1;
            }
        }
        assert!(loaded > 0, "no case is meant for {backend}");
    }

    fn usual_cluster(backend) {
        load_twice("the usual cluster", &Rules::usual(), backend);
    }
}

fn load_twice(name: &str, rules: &Rules, backend: Backend) {
    let _host = Namespace::unshare();
    plant_foreign();
    let before = foreign();
    backend.load(rules);
    let first = backend.own();
    assert!(!first.is_empty(), "{name}: nothing was loaded");
    let jumps = backend.jumps();
    assert_same(&before, &foreign(), &format!("{name}: somebody else's rules after loading"));
    reserved(name, rules);
    backend.load(rules);
    assert_same(&first, &backend.own(), &format!("{name}: the second load"));
    assert_same(&before, &foreign(), &format!("{name}: somebody else's rules after loading again"));
    match backend {
        Backend::Nft => assert_eq!(backend.jumps(), jumps, "{name}: hooks"),
        // One more jump per hook and load, see `Backend::own`.
        Backend::IptablesLegacy | Backend::IptablesNft => assert_eq!(backend.jumps(), 2 * jumps, "{name}: jumps"),
    }
}

/// The kernel has reserved exactly the ports of the sysctl file.
fn reserved(name: &str, rules: &Rules) {
    const KEY: &str = "net.ipv4.ip_local_reserved_ports";
    let line = rules.text("sysctl").lines().find(|line| line.trim_start().starts_with(KEY));
    let wanted = line.and_then(|line| line.split_once('=')).unwrap_or_else(|| panic!("{name}: no {KEY}")).1;
    let kernel = reserved_ports();
    let wanted = ports(wanted);
    assert!(!wanted.is_empty(), "{name}: no port is reserved");
    assert_eq!(ports(&kernel), wanted, "{name}: reserved ports");
}

/// In one call: this file ends after the first, and the standard library's first is for 32 bytes.
fn reserved_ports() -> String {
    let mut file = File::open("/proc/sys/net/ipv4/ip_local_reserved_ports").expect("a sysctl");
    let mut buffer = vec![0; 1 << 17];
    let length = file.read(&mut buffer).expect("reading a sysctl");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

fn ports(list: &str) -> BTreeSet<u16> {
    let number = |text: &str| text.trim().parse::<u16>().expect("a port");
    let items = list.trim().split(',').filter(|item| !item.trim().is_empty());
    items
        .flat_map(|item| match item.split_once('-') {
            Some((first, last)) => number(first)..=number(last),
            None => number(item)..=number(item),
        })
        .collect()
}

/// Shows what differs and not all the rest.
fn assert_same(before: &str, after: &str, what: &str) {
    if before == after {
        return;
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let gone = old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}"));
    let come = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}"));
    let changes: Vec<String> = gone.chain(come).collect();
    panic!(
        "{what} changed:\n{}",
        if changes.is_empty() { "the order of lines".to_owned() } else { changes.join("\n") }
    );
}
