//! Rules that real programs made, `tests/hosts/HOST/` and `hosts/HOST/` beside this file: what the kernel holds of them means
//! what their text means.
//!
//! The two readers may know unlike much of a rule, but what one is certain of the other never denies.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ringfence::dialect::netlink::{Kernel, Names, Protocol, Scope, Socket, ip_sets, lift_named, read, unread};
use ringfence::dialect::{ipset, iptables, nft};
use ringfence::ir::{Family, Ruleset, Set};
use ringfence::net::Interface;
use ringfence::semantics::{Door, Outcome, Rules};

use super::generate::{self, Points, Random};
use super::lab::{netns, versions};

/// Hosts of which the kernel's words say less than their text: here a chain is empty behind NAT at output, and what has been led
/// elsewhere meets it. Texts of iptables are read without chains that do nothing.
const VAGUER: [&str; 1] = ["bookworm-iptables-node-redirect"];

/// Packets for each host.
const PACKETS: usize = 4000;

fn hosts() -> Vec<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let folders = ["netlink/hosts", "hosts"].map(|folder| fs::read_dir(tests.join(folder)));
    let entries = folders.into_iter().flatten().flatten();
    let mut hosts: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    hosts.sort();
    hosts
}

fn part(host: &Path, name: &str) -> Option<String> {
    fs::read_to_string(host.join(name)).ok()
}

/// The interfaces that the host had, by `ip addr`.
fn interfaces(host: &Path) -> Vec<Interface> {
    let routes = part(host, "routes").unwrap_or_default();
    let names = routes.lines().filter_map(|line| {
        let (number, rest) = line.split_once(": ")?;
        number.parse::<u32>().ok()?;
        rest.split([':', '@']).next()?.parse().ok()
    });
    names.collect()
}

/// Loads what the host had, and says what its text means; what is not possible here is said.
fn load(host: &Path) -> Option<Ruleset> {
    let name = host.file_name().unwrap().to_string_lossy();
    netns::ip("link set lo up\n");
    for interface in interfaces(host) {
        netns::ip(&format!("link add {interface} type bridge\nlink set {interface} up\n"));
    }
    let sets = part(host, "ipset");
    if let Some(text) = &sets
        && let Err(error) = netns::attempt(&["ipset", "restore"], text)
    {
        netns::not_possible(&name, &error);
        return None;
    }
    let mut ruleset = Ruleset::default();
    for (file, family) in [("iptables", Family::Ip), ("ip6tables", Family::Ip6)] {
        let Some(text) = part(host, file) else { continue };
        if let Err(error) = netns::attempt(&[&format!("{file}-nft-restore")], &text) {
            netns::not_possible(&format!("{name}: {file}"), &error);
            return None;
        }
        ruleset.tables.extend(iptables::read(&text, family).unwrap().ruleset.tables);
    }
    ruleset.sets = sets.map(|text| ipset::read(&text).unwrap().0).unwrap_or_default();
    let Some(text) = part(host, "nft") else { return Some(ruleset) };
    // Up to nft 1.0.6 the priority has a name at prerouting alone.
    let known = text
        .replace("hook output priority dstnat + 10;", "hook output priority -90;")
        .replace("hook output priority dstnat;", "hook output priority -100;");
    match netns::attempt(&["nft", "-f", "-"], &known) {
        Ok(_) => {
            let read = nft::read(&text).unwrap().ruleset;
            ruleset.tables.extend(read.tables);
            ruleset.unread.extend(read.unread);
            Some(ruleset)
        }
        Err(error) => {
            netns::not_possible(&name, &error);
            None
        }
    }
}

/// What the kernel holds, and what of it is not understood.
fn live() -> (Ruleset, Vec<String>) {
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    let sets: Vec<Set> = ip_sets(&mut socket).unwrap().sets.into_values().collect();
    let Kernel { own, others, .. } = read(&mut socket, "ringfence", Scope::Whole).unwrap();
    let names = Names::read(&mut socket, own.iter().chain(&others)).unwrap();
    let (mut ruleset, mut unknown) = (Ruleset { sets, ..Ruleset::default() }, Vec::new());
    for table in own.iter().chain(&others) {
        ruleset.unread.extend(unread(table));
        if let Some(lifted) = lift_named(table, &names).unwrap() {
            ruleset.tables.push(lifted.table);
            ruleset.unread.extend(lifted.unread);
            unknown.extend(lifted.unknown);
        }
    }
    (ruleset, unknown)
}

fn contradict(one: Outcome, other: Outcome) -> bool {
    let agree = (one.may_pass && other.may_pass) || (one.may_block && other.may_block);
    !agree
}

fn is_certain(one: Outcome) -> bool {
    one.may_pass != one.may_block
}

/// How many judgements were certain by text and by bytecode.
fn compare(host: &Path, text: &Ruleset, bytes: &Ruleset) -> (usize, usize) {
    let mut scope = generate::Scope::wide();
    scope.interfaces.extend(interfaces(host));
    scope.v4 = (0x0a14_0000, 0x0a14_00ff);
    let points = Points::of(text);
    let mut random = Random::new(14);
    let mut certain = (0, 0);
    let mut vaguer = None;
    let rules = [Rules::new, Rules::of_honest].map(|make| (make(text), make(bytes)));
    for _ in 0..PACKETS {
        let packet = scope.packet(&mut random, &points);
        for door in Door::ALL.into_iter().filter(|door| door.sees(&packet)) {
            for (of_text, of_bytes) in &rules {
                let (one, other) = (of_text.evaluate(door, &packet), of_bytes.evaluate(door, &packet));
                let place = host.display();
                let say = |rules: &Rules<'_>| {
                    let steps = rules.trace(door, &packet).1;
                    steps
                        .iter()
                        .map(|step| format!("{} {:?} {}\n", step.chain.name, step.rule, step.certain))
                        .collect::<String>()
                };
                assert!(
                    !contradict(one, other),
                    "{place}: {door:?}: {packet}: text {one:?}, bytecode {other:?}\n{}\n{}",
                    say(of_text),
                    say(of_bytes)
                );
                if is_certain(one) && !is_certain(other) && vaguer.is_none() {
                    vaguer = Some(format!(
                        "{door:?}: {packet}: text {one:?}, bytecode {other:?}\n{}\n{}",
                        say(of_text),
                        say(of_bytes)
                    ));
                }
                certain.0 += usize::from(is_certain(one));
                certain.1 += usize::from(is_certain(other));
            }
        }
    }
    vaguer.into_iter().for_each(|packet| println!("{} is vaguer by bytecode: {packet}", host.display()));
    certain
}

#[test]
fn real_hosts_mean_the_same_in_text_and_in_the_kernel() {
    netns::isolated("hosts::real_hosts_mean_the_same_in_text_and_in_the_kernel", || {
        let mut seen: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for host in hosts() {
            let _namespace = netns::Namespace::unshare();
            let Some(text) = load(&host) else { continue };
            let (bytes, unknown) = live();
            let certain = compare(&host, &text, &bytes);
            let name = host.file_name().unwrap().to_string_lossy().into_owned();
            println!("{name}: certain by text {}, by bytecode {}", certain.0, certain.1);
            unknown.iter().for_each(|one| println!("  {one}"));
            seen.insert(name, certain);
        }
        // The kernel's own words are no vaguer than what is listed of them.
        let vague = seen.iter().filter(|(_, (text, bytes))| bytes < text);
        let vague: Vec<&str> = vague.map(|(name, _)| name.as_str()).collect();
        assert_eq!(vague, VAGUER, "{seen:?}");
        let silent: Vec<_> = seen.iter().filter(|(_, (_, bytes))| *bytes <= PACKETS).map(|(name, _)| name).collect();
        assert_eq!(silent, Vec::<&String>::new(), "hosts of which nearly nothing is certain");
        assert!(versions::nft() < (1, 0, 6) || seen.len() >= 42, "only {} hosts could be loaded", seen.len());
    });
}
