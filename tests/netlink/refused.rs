//! What the kernel refuses, and what is said about it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::errno::Errno;
use ringfence::dialect::netlink::{
    Changes, CommitError, Extent, Protocol, RequestError, Scope, Socket, Table, generation, lower, read, update, write,
};
use ringfence::ir;

use super::lab::{netns, versions};
use super::{change, list, live};

const INSIDE: &str = "RINGFENCE_NETLINK_INSIDE";

/// A table with one set of hosts.
fn hosts(count: u32, size: u32) -> Table {
    let first = u32::from_be_bytes([10, 0, 0, 1]);
    let elements = ir::Elements::ipv4((first..first + count).map(|one| (one, one)).collect());
    let kind = ir::SetKind::Hash { size: Some(size) };
    let set = ir::Set { name: "hosts".into(), kind, elements, origins: Vec::new() };
    let table = ir::Table {
        family: ir::Family::Inet,
        name: "ringfence".into(),
        legacy: false,
        sets: vec![set],
        chains: Vec::new(),
    };
    write(&lower(&table).unwrap()).unwrap()
}

fn changes(current: Option<&Table>, wanted: Option<&Table>) -> Changes {
    update(current, wanted, Extent::Nothing).unwrap().1
}

fn commit(changes: &Changes) -> Result<(), CommitError> {
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    let generation = generation(&mut socket).unwrap();
    changes.commit(&mut socket, generation)
}

#[test]
fn nothing_happens_when_somebody_else_was_faster() {
    netns::isolated("refused::nothing_happens_when_somebody_else_was_faster", || {
        let _namespace = netns::Namespace::unshare();
        let mut socket = Socket::open(Protocol::Netfilter).unwrap();
        let seen = read(&mut socket, "ringfence", Scope::Own).unwrap();
        assert!(seen.own.is_none());
        netns::run(&["nft", "-f", "-"], "table inet somebody { }\n");
        let changes = changes(None, Some(&hosts(3, 8)));
        let error = changes.commit(&mut socket, seen.generation).unwrap_err();
        assert!(matches!(error, CommitError::Changed), "{error}");
        assert!(live().own.is_none());
        // The socket is as good as before.
        let now = generation(&mut socket).unwrap();
        changes.commit(&mut socket, now).unwrap();
        assert!(live().own.is_some());
        assert!(matches!(changes.commit(&mut socket, now), Err(CommitError::Changed)));
    });
}

/// Linux 5.10 says of which message it refuses an element, and not which one that is.
fn element(which: &str) -> String {
    let names_elements = versions::kernel() >= (6, 1, 0);
    if !names_elements {
        netns::not_possible("the element that is refused", "this kernel names its set alone");
    }
    format!("{}the elements of set hosts", if names_elements { which } else { "" })
}

#[test]
fn a_set_that_is_too_small_is_replaced() {
    netns::isolated("refused::a_set_that_is_too_small_is_replaced", || {
        let _namespace = netns::Namespace::unshare();
        change(Some(&hosts(8, 8)), Extent::Nothing);
        let before = list();
        // What update never makes: more elements than the set takes.
        let mut roomy = hosts(8, 8);
        roomy.sets[0].size = None;
        let mut wanted = hosts(9, 16);
        wanted.sets[0].size = None;
        let error = commit(&changes(Some(&roomy), Some(&wanted))).unwrap_err();
        let CommitError::Refused { subject, refusal } = &error else { panic!("{error:?}") };
        assert_eq!(refusal.errno, Errno::ENFILE);
        assert_eq!(*subject, element("10.0.0.9 in "));
        assert_eq!(list(), before);
        assert_eq!(change(Some(&hosts(9, 12)), Extent::Nothing), Extent::Rules);
        assert_eq!(change(Some(&hosts(8, 8)), Extent::Nothing), Extent::Elements);
        assert_eq!(change(Some(&hosts(12, 15)), Extent::Nothing), Extent::Elements);
    });
}

#[test]
fn errors_name_what_they_are_about() {
    netns::isolated("refused::errors_name_what_they_are_about", || {
        let _namespace = netns::Namespace::unshare();
        let table = hosts(3, 8);
        change(Some(&table), Extent::Nothing);
        // An element that is not there; a set that is not there.
        let error = commit(&changes(Some(&hosts(4, 8)), Some(&table))).unwrap_err();
        assert!(error.to_string().ends_with(&format!("for {}", element("10.0.0.4 in "))), "{error}");
        let mut other = hosts(3, 8);
        other.sets[0].name = "others".into();
        let error = commit(&changes(Some(&other), Some(&table))).unwrap_err();
        assert!(error.to_string().ends_with("for the set others"), "{error}");
        let error = commit(&changes(None, Some(&Table { name: "x".repeat(4000), ..table }))).unwrap_err();
        assert!(error.to_string().contains("for the table xxx"), "{error}");
    });
}

/// Runs a test of this program once more, as `unshare` starts it; `word` is in its environment then.
fn again(name: &str, how: &[&str], word: &str) {
    let myself = std::env::current_exe().unwrap();
    let output = Command::new(how[0])
        .args(&how[1..])
        .arg(myself)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, word)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn without_rights_over_the_machine_a_change_may_be_too_long() {
    let name = "refused::without_rights_over_the_machine_a_change_may_be_too_long";
    let Ok(most) = std::env::var(INSIDE) else {
        // Linux 5.10 and 6.1 show it in the machine's own namespace alone, 6.12 in all.
        let most = std::fs::read_to_string("/proc/sys/net/core/wmem_max").unwrap();
        return again(name, &["unshare", "--user", "--map-root-user", "--net", "--"], most.trim());
    };
    // More bytes than twice what may be asked for, at 16 bytes for an element.
    let most: u32 = most.parse().unwrap();
    let count = 100_000 + most / 6;
    let error = commit(&changes(None, Some(&hosts(count, count)))).unwrap_err();
    let CommitError::Request(RequestError::TooLong { needed, granted }) = &error else { panic!("{error:?}") };
    assert!(*needed > 2_000_000 && *granted < *needed, "{error}");
    assert!(error.to_string().contains("net.core.wmem_max"), "{error}");
    assert!(live().own.is_none());
    change(Some(&hosts(1000, 1250)), Extent::Nothing);
    assert_eq!(change(Some(&hosts(1001, 1250)), Extent::Nothing), Extent::Elements);
    assert_eq!(live().own.unwrap().sets[0].elements.len(), hosts(1001, 1250).sets[0].elements.len());
}

#[test]
fn without_any_rights_the_kernel_says_so() {
    const NOBODY: u32 = 65534;
    let name = "refused::without_any_rights_the_kernel_says_so";
    if std::env::var_os(INSIDE).is_none() {
        let myself = std::env::current_exe().unwrap();
        let mut child = Command::new(myself);
        child.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(INSIDE, "1").current_dir("/");
        return match child.uid(NOBODY).gid(NOBODY).output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => netns::not_possible("giving up all rights", &error.to_string()),
        };
    }
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    let error = read(&mut socket, "ringfence", Scope::Own).unwrap_err();
    assert!(matches!(&error, RequestError::Refused(refusal) if refusal.errno == Errno::EPERM), "{error:?}");
    assert_eq!(error.to_string(), "the kernel refuses: Operation not permitted");
    let error = changes(None, Some(&hosts(3, 8))).commit(&mut socket, 1).unwrap_err();
    assert_eq!(error.to_string(), "the kernel refuses: Operation not permitted");
}
