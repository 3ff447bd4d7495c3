//! What is heard of a real kernel's tables.

use super::super::lab::{in_new_network, run};
use super::*;

/// What is heard of what nft does.
fn heard(watch: &mut Watch, script: &str) -> Vec<Matter> {
    run("nft", &[script]);
    watch.hear(Duration::ZERO).unwrap().into_iter().collect()
}

#[test]
fn every_change_is_heard_as_what_it_may_concern() {
    in_new_network(|| {
        let mut watch = Watch::start().unwrap();
        let mut heard = |script: &str| heard(&mut watch, script);
        assert_eq!(
            heard("add table ip t { chain c { counter; }; set s { type ipv4_addr; }; }"),
            [Matter::Rules, Matter::Hooks]
        );
        assert_eq!(heard("add rule ip t c tcp dport 1 drop"), [Matter::Rules]);
        assert_eq!(heard("add element ip t s { 192.0.2.1 }"), []);
        assert_eq!(heard("add set ip t open-ringfence-peers { type ipv4_addr; }"), [Matter::Rules]);
        assert_eq!(heard("add counter ip t n"), []);
        assert_eq!(heard("add chain ip t pre { type nat hook prerouting priority -100; }"), [Matter::Hooks]);
        assert_eq!(heard("add table inet ringfence"), [Matter::Guard]);
        assert_eq!(heard("add chain inet ringfence x"), [Matter::Guard]);
        assert_eq!(heard("add table ip ringfence"), [Matter::Hooks]);
        assert_eq!(heard("delete table inet ringfence"), [Matter::Guard]);
        assert_eq!(
            heard("add table ip raw { chain PREROUTING { type filter hook prerouting priority -300; }; }"),
            [Matter::Guard]
        );
        assert_eq!(heard("add chain ip raw THEIRS { counter; }"), [Matter::Rules]);
        assert_eq!(heard("add chain ip raw RINGFENCE-ADMIT"), [Matter::Guard]);
        assert_eq!(heard("add rule ip raw PREROUTING counter"), [Matter::Guard]);
        assert!(heard("flush ruleset").contains(&Matter::Guard));
        assert_eq!(watch.hear(Duration::ZERO).unwrap(), BTreeSet::new());
    });
}

#[test]
fn lost_news_are_all_news() {
    in_new_network(|| {
        let mut watch = Watch::start().unwrap();
        let elements: String = (0..60000).map(|at| format!("10.0.{}.{},", at / 256, at % 256)).collect();
        let table = "add table ip t\nadd set ip t s { type ipv4_addr; }\n";
        let script = format!("{table}add element ip t s {{ {elements} }}\ndelete table ip t\n").repeat(4);
        let file = std::env::temp_dir().join(format!("ringfence-news-{}", std::process::id()));
        std::fs::write(&file, script).unwrap();
        run("nft", &["-f", &file.display().to_string()]);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(watch.hear(Duration::ZERO).unwrap(), BTreeSet::from(Matter::ALL));
    });
}
