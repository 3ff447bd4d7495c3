//! The sets of ipset: what netlink says of them means what `ipset save` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use ringfence::dialect::ipset;
use ringfence::dialect::netlink::{IpSets, Protocol, Socket, ip_sets};
use ringfence::ir::{Elements, Set};

use super::generate::Random;
use super::lab::netns;

/// Sets, and how many of their elements are known; `None` where what is in them is not. Each line `create` or `add` of its own.
const SETS: [(&str, Option<usize>); 52] = [
    ("hash:ip\nadd 10.0.0.1\nadd 10.0.0.3\nadd 192.168.1.0/30", Some(6)),
    ("hash:ip family inet6\nadd fd00::1\nadd fd00::3", Some(2)),
    (
        "hash:ip counters comment skbinfo\nadd 10.0.0.1 comment \"nomatch timeout 5\" packets 3 bytes 9 skbmark 0x1",
        Some(1),
    ),
    ("hash:ip hashsize 64 maxelem 100\nadd 10.0.0.1-10.0.0.9", Some(9)),
    ("hash:ip", Some(0)),
    ("hash:ip family inet6", Some(0)),
    ("hash:ip timeout 500\nadd 10.0.0.1", Some(1)),
    ("hash:ip timeout 0\nadd 10.0.0.1 timeout 0", Some(1)),
    ("hash:ip forceadd\nadd 10.0.0.1", Some(1)),
    ("hash:ip netmask 24\nadd 10.0.0.1", Some(1)),
    ("hash:ip bitmask 255.255.0.255\nadd 10.0.0.1", None),
    ("hash:net\nadd 10.0.0.0/8\nadd 11.0.0.0-11.0.0.6\nadd 12.0.0.1", Some(5)),
    ("hash:net\nadd 0.0.0.0/1\nadd 128.0.0.0/1", Some(1)),
    ("hash:net family inet6\nadd fd00::/64\nadd fd01::1\nadd ::/1\nadd 8000::/1", Some(1)),
    ("hash:net family inet6 comment\nadd fd00::/64 comment x\nadd fd01::1", Some(2)),
    ("hash:net\nadd 10.0.0.0/8\nadd 10.2.0.0/16 nomatch", Some(2)),
    ("hash:net family inet6\nadd fd00::/64\nadd fd00::1 nomatch", Some(2)),
    ("hash:net timeout 90\nadd 10.0.0.0/8 timeout 80", Some(1)),
    ("hash:net counters\nadd 10.0.0.0/8 packets 7 bytes 9", Some(1)),
    ("bitmap:ip range 10.0.0.0/24\nadd 10.0.0.7\nadd 10.0.0.1-10.0.0.2", Some(3)),
    ("bitmap:ip range 10.0.0.0/16 netmask 24\nadd 10.0.1.0", Some(1)),
    ("bitmap:ip range 10.0.0.0/24 timeout 9\nadd 10.0.0.7", Some(1)),
    ("bitmap:ip range 10.0.0.0/24 comment counters\nadd 10.0.0.7 comment timeout", Some(1)),
    ("bitmap:ip,mac range 10.0.0.0/24\nadd 10.0.0.7,02:00:00:00:00:1A", Some(1)),
    ("bitmap:port range 0-1000\nadd 80\nadd 90-95", Some(2)),
    ("hash:ip,port\nadd 10.0.0.1,tcp:80\nadd 10.0.0.1,udp:53\nadd 10.0.0.1,icmp:ping", Some(1)),
    ("hash:ip,port counters\nadd 10.0.0.1,tcp:80\nadd 10.0.0.9,tcp:80\nadd 10.0.0.1,udp:53", Some(2)),
    ("hash:ip,port\nadd 10.0.0.1,7:80", None),
    ("hash:ip,port timeout 9\nadd 10.0.0.1,tcp:80", Some(1)),
    ("hash:net,port\nadd 10.0.0.0/8,tcp:53-55\nadd 10.2.0.0/16,sctp:53", Some(3)),
    ("hash:ip,port family inet6\nadd fd00::1,tcp:80-82", Some(3)),
    ("hash:ip,port,ip\nadd 10.0.0.1,sctp:80,10.0.0.2", Some(0)),
    ("hash:ip,port,net\nadd 10.0.0.1,80,10.0.0.0/8", Some(1)),
    ("hash:net,port\nadd 10.0.0.0/8,udp:53\nadd 10.2.0.0/16,udp:53 nomatch", Some(0)),
    ("hash:net,iface\nadd 10.0.0.0/8,eth0\nadd 0.0.0.0/0,physdev:eth1", None),
    ("list:set size 8\nadd s0\nadd s1", Some(8)),
    ("list:set size 8 timeout 900\nadd s4\nadd s0 timeout 20", Some(6)),
    ("list:set size 8\nadd s11\nadd s6", Some(5)),
    ("list:set size 8\nadd s0\nadd s25", None),
    ("list:set size 8", Some(0)),
    ("hash:ip,port,ip\nadd 10.0.0.1,tcp:80-81,10.0.0.2\nadd 10.0.0.3,tcp:80,10.0.0.2", Some(3)),
    ("hash:ip,port,ip family inet6 timeout 900\nadd fd00::1,tcp:80,fd00::2 timeout 9", Some(1)),
    ("hash:ip,port,net counters skbinfo\nadd 10.0.0.1,tcp:80,11.0.0.0/8 packets 1 skbprio 1:2", Some(1)),
    ("hash:ip,port,net\nadd 10.0.0.1,tcp:80,11.0.0.0/8\nadd 10.0.0.1,tcp:80,11.0.0.0/9 nomatch", Some(1)),
    ("hash:net,port\nadd 10.0.0.0/14,tcp:80\nadd 10.2.0.0/16,tcp:80 nomatch\nadd 10.3.0.0/16,tcp:81", Some(3)),
    ("hash:net,port,net\nadd 10.0.0.0/8,tcp:80,0.0.0.0/0\nadd 10.0.0.0/9,tcp:80,11.0.0.0/8", Some(2)),
    ("hash:net,net\nadd 10.0.0.0/8,11.0.0.0/8\nadd 10.0.0.0/9,11.0.0.0/9 nomatch", None),
    ("hash:net,iface\nadd 10.0.0.0/14,eth0\nadd 10.2.0.0/16,eth1\nadd 0.0.0.0/0,wg wildcard", Some(5)),
    ("hash:net,iface timeout 900\nadd 10.0.0.0/14,eth0 timeout 50\nadd 10.2.0.0/16,eth0 nomatch", Some(1)),
    ("bitmap:ip,mac range 10.0.0.0/24 counters\nadd 10.0.0.7\nadd 10.0.0.8,02:00:00:00:00:1B", Some(2)),
    ("hash:mac\nadd 02:00:00:00:00:1B", Some(1)),
    ("hash:ip,mark markmask 0xff\nadd 10.0.0.1,99", Some(1)),
];

/// Sets of addresses, in which `ipset test` looks as a rule does.
const TESTED: [&str; 8] = [
    "hash:ip netmask 28\nadd 10.0.0.1\nadd 10.0.0.77",
    "hash:ip\nadd 10.0.0.1\nadd 10.0.0.64/28",
    "hash:ip timeout 900\nadd 10.0.0.1\nadd 10.0.0.3 timeout 0",
    "bitmap:ip range 10.0.0.0/24 netmask 29\nadd 10.0.0.8\nadd 10.0.0.130",
    "hash:net\nadd 10.0.0.0/25\nadd 10.0.0.16/28 nomatch\nadd 10.0.0.18/31",
    "hash:net timeout 900\nadd 10.0.0.0/25\nadd 10.0.0.16/28 nomatch\nadd 10.0.0.18/31",
    "hash:ip family inet6 netmask 124\nadd 2001:db8::11\nadd 2001:db8::45",
    "hash:net family inet6\nadd 2001:db8::/121\nadd 2001:db8::10/124 nomatch",
];

/// Whoever is in a set, as ipset says, is in it here, and nobody else is where elements do not go by themselves.
#[test]
fn ipset_finds_who_is_in_a_set() {
    netns::isolated("ipsets::ipset_finds_who_is_in_a_set", || {
        let _namespace = netns::Namespace::unshare();
        for (at, text) in TESTED.iter().enumerate() {
            let name = format!("s{at}");
            let create = format!("create {name} {}\n", text.replace("\nadd ", &format!("\nadd {name} ")));
            netns::run(&["ipset", "restore"], &create);
            let (set, passing) = {
                let elements = by_netlink().sets.remove(&name).unwrap().elements;
                let (these, passing) = elements.lasting();
                (these.clone(), passing)
            };
            let mut found = 0;
            for last in 0..=255_u8 {
                let address: IpAddr = match text.contains("inet6") {
                    true => Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(last)).into(),
                    false => Ipv4Addr::new(10, 0, 0, last).into(),
                };
                let there = netns::attempt(&["ipset", "test", &name, &address.to_string()], "").is_ok();
                found += usize::from(there);
                let same = if passing { set.has(address) || !there } else { set.has(address) == there };
                assert!(same, "{address} in {text}: {there}");
            }
            assert!(found > 1 && found < 200, "{found} in {text}");
        }
    });
}

fn by_netlink() -> IpSets {
    ip_sets(&mut Socket::open(Protocol::Netfilter).unwrap()).unwrap()
}

/// What `ipset save` says: the sets by their names, and what of them is not known.
fn by_text() -> (BTreeMap<String, Set>, BTreeMap<String, String>) {
    let (sets, unknown) = ipset::read(&netns::run(&["ipset", "save"], "")).unwrap();
    let doubt = |text: &str| text.split_once(' ').map(|(name, why)| (name.to_owned(), why.to_owned())).unwrap();
    let sets = sets.into_iter().map(|set| (set.name.clone(), set)).collect();
    (sets, unknown.iter().map(|one| doubt(&one.text)).collect())
}

#[test]
fn the_kernel_says_what_the_text_says() {
    netns::isolated("ipsets::the_kernel_says_what_the_text_says", || {
        let _namespace = netns::Namespace::unshare();
        assert_eq!(by_netlink(), IpSets::default());
        let mut made = 0;
        for (at, (text, known)) in SETS.iter().enumerate() {
            let text = format!("create s{at} {}\n", text.replace("\nadd ", &format!("\nadd s{at} ")));
            if let Err(error) = netns::attempt(&["ipset", "restore"], &text) {
                netns::not_possible(&text, &error);
                let _ = netns::attempt(&["ipset", "destroy", &format!("s{at}")], "");
                continue;
            }
            made += 1;
            let found = by_netlink();
            let (set, name) = (found.sets.get(&format!("s{at}")).unwrap(), format!("s{at}"));
            assert_eq!(found.unknown.contains_key(&name), known.is_none(), "{text}{:?}", found.unknown);
            match known {
                Some(count) => assert_eq!(set.elements.len(), *count, "{text}"),
                None => assert_eq!(set.elements, Elements::Unknown, "{text}"),
            }
        }
        // Of `forceadd` ipset 7.17 says nothing, so that the text seems to know such a set.
        let forced = SETS.iter().position(|(text, _)| text.contains("forceadd")).unwrap();
        let _ = netns::attempt(&["ipset", "destroy", &format!("s{forced}")], "");
        let (sets, unknown) = by_text();
        let found = by_netlink();
        let with_ports = |set: &&Set| matches!(set.elements, Elements::Endpoints(_));
        assert!(found.sets.values().filter(with_ports).count() >= 12);
        let passing = |set: &&Set| matches!(set.elements, Elements::Passing(_));
        assert_eq!(found.sets.values().filter(passing).count(), 9);
        assert_eq!(found.sets, sets);
        assert_eq!(found.unknown.keys().collect::<Vec<_>>(), unknown.keys().collect::<Vec<_>>());
        for (name, why) in &found.unknown {
            // The kernel has its own order of the elements.
            let is_known = *why == unknown[name] || why.ends_with(" nomatch") || why.ends_with(" attribute 4");
            assert!(is_known, "{name}: {why}, {}", unknown[name]);
        }
        assert!(made >= 26, "only {made} sets could be made");
        assert_eq!(found.lists.into_iter().collect::<Vec<_>>(), ["s35", "s36", "s37", "s38", "s39"]);
    });
}

#[test]
fn names_are_those_of_the_text() {
    netns::isolated("ipsets::names_are_those_of_the_text", || {
        let _namespace = netns::Namespace::unshare();
        for name in ["a.b", "a+", "a_x2b", "ringfence-peers", "a:b,c/d"] {
            netns::run(&["ipset", "create", name, "hash:ip"], "");
            netns::run(&["ipset", "add", name, "10.0.0.1"], "");
        }
        assert_eq!(by_netlink().sets, by_text().0);
        assert_eq!(by_netlink().unknown, BTreeMap::new());
    });
}

/// Elements of both families by the hundred thousand, which the kernel tells in many messages.
#[test]
fn large_sets_are_read_whole() {
    netns::isolated("ipsets::large_sets_are_read_whole", || {
        let _namespace = netns::Namespace::unshare();
        let mut text =
            "create v4 hash:ip maxelem 200000\ncreate v6 hash:net family inet6 maxelem 200000 comment\n".to_owned();
        for number in 0..100_000_u32 {
            writeln!(text, "add v4 10.{}.{}.{}", number >> 15, number >> 7 & 255, (number & 127) * 2).unwrap();
        }
        for number in 0..20_000_u32 {
            writeln!(text, "add v6 fd00:0:{number:x}::/49 comment \"member {number}\"").unwrap();
        }
        netns::run(&["ipset", "restore"], &text);
        let begin = Instant::now();
        let saved = netns::run(&["ipset", "save"], "");
        let saved_in = begin.elapsed();
        let (sets, unknown) = ipset::read(&saved).unwrap();
        let as_text = begin.elapsed();
        let begin = Instant::now();
        let found = by_netlink();
        println!("ipset save {saved_in:?}, with reading it {as_text:?}; by netlink, twice, {:?}", begin.elapsed());
        assert_eq!((unknown, found.unknown.len()), (Vec::new(), 0));
        assert_eq!(found.sets.into_values().collect::<Vec<_>>(), sets);
        assert_eq!(sets.iter().map(|set| set.elements.len()).collect::<Vec<_>>(), [100_000, 20_000]);
    });
}

/// Networks in networks, some of them excepted: what the kernel says of each address at an end of one.
#[test]
fn exceptions_are_what_the_kernel_makes_of_them() {
    netns::isolated("ipsets::exceptions_are_what_the_kernel_makes_of_them", || {
        let _namespace = netns::Namespace::unshare();
        let mut random = Random::new(41);
        for round in 0..12 {
            let (mut text, mut asked, mut had) = ("create s hash:net\n".to_owned(), BTreeSet::new(), BTreeSet::new());
            for _ in 0..random.below(14) + 2 {
                let prefix = 20 + random.below(13) as u32;
                let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
                let first = (0x0a00_0000 | random.below(1 << 12) as u32) & !host;
                if !had.insert((first, prefix)) {
                    continue;
                }
                let excepted = if random.chance(45) { " nomatch" } else { "" };
                writeln!(text, "add s {}/{prefix}{excepted}", Ipv4Addr::from(first)).unwrap();
                asked.extend([first - 1, first, first | host, (first | host) + 1]);
            }
            netns::run(&["ipset", "restore"], &text);
            let found = by_netlink();
            assert_eq!((&found.sets, found.unknown.len()), (&by_text().0, 0), "{round}: {text}");
            let Elements::Ipv4(ranges) = &found.sets["s"].elements else { panic!("{text}") };
            for address in asked {
                let ours = ranges.iter().any(|(first, last)| (*first..=*last).contains(&address));
                let address = Ipv4Addr::from(address).to_string();
                let theirs = netns::attempt(&["ipset", "test", "s", &address], "").is_ok();
                assert_eq!(ours, theirs, "{address} in\n{text}");
            }
            netns::run(&["ipset", "destroy"], "");
        }
    });
}

/// An address, a port of TCP, another address and an interface, as the rows of a set see them.
type Asked = (u32, u16, u32, &'static str);

fn is_in(set: &Set, (first, port, second, interface): Asked) -> bool {
    let Elements::Endpoints(list) = &set.elements else { panic!("{set:?}") };
    list.rows.iter().any(|row| {
        let mut addresses = [first, second].map(|own| IpAddr::V4(own.into())).into_iter();
        row.addresses.iter().all(|own| own.has(addresses.next().unwrap()))
            && row.port.is_none_or(|own| own == port)
            && row.interface.as_ref().is_none_or(|own| own.fits(interface))
    })
}

/// Elements of several parts, some of them excepted: what the kernel says of each at an end of one.
#[test]
fn several_parts_are_what_the_kernel_makes_of_them() {
    const KINDS: [&str; 6] =
        ["hash:net,port", "hash:ip,port,ip", "hash:ip,port,net", "hash:net,iface", "hash:net,port,net", "hash:net,net"];
    const NAMES: [&str; 3] = ["eth0", "eth1", "wg0"];
    netns::isolated("ipsets::several_parts_are_what_the_kernel_makes_of_them", || {
        let _namespace = netns::Namespace::unshare();
        let mut random = Random::new(43);
        let (mut tried, mut there) = (0, 0);
        for round in 0..24 {
            let kind = KINDS[round % KINDS.len()];
            if netns::attempt(&["ipset", "create", "s", kind], "").is_err() {
                continue;
            }
            let first_is_network = kind.contains(":net");
            let (mut text, mut asked) = (String::new(), Vec::new());
            let mut had = BTreeSet::new();
            for _ in 0..random.below(10) + 3 {
                let network = |random: &mut Random, is_network: bool| {
                    let prefix = if is_network { 24 + random.below(9) as u32 } else { 32 };
                    let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
                    let first = (0x0a00_0000 | random.below(if is_network { 1 << 8 } else { 4 }) as u32) & !host;
                    let text = Ipv4Addr::from(first).to_string();
                    (first, first | host, if is_network { format!("{text}/{prefix}") } else { text })
                };
                let (a, b, first) = network(&mut random, first_is_network);
                let (c, d, second) = network(&mut random, kind.ends_with("net"));
                let (port, name) = (80 + random.below(2) as u16, *random.pick(&NAMES));
                let element = match kind {
                    "hash:net,port" => format!("{first},tcp:{port}"),
                    "hash:net,iface" => format!("{first},{name}"),
                    "hash:net,net" => format!("{first},{second}"),
                    _ => format!("{first},tcp:{port},{second}"),
                };
                if !had.insert(element.clone()) {
                    continue;
                }
                let is_pair = kind.matches("net").count() == 2;
                let excepted = kind.contains("net") && !is_pair && random.chance(35);
                writeln!(text, "add s {element}{}", if excepted { " nomatch" } else { "" }).unwrap();
                let ends = |a: u32, b: u32| [a - 1, a, b, b + 1];
                for one in ends(a, b) {
                    let other = *random.pick(&ends(c, d));
                    asked.push((one, 80 + random.below(2) as u16, other, *random.pick(&NAMES)));
                    asked.push((one, port, other, name));
                }
            }
            netns::run(&["ipset", "restore"], &text);
            let found = by_netlink();
            assert_eq!((&found.sets, found.unknown.len()), (&by_text().0, 0), "{round}: {text}{:?}", found.unknown);
            for of in asked {
                let (first, second) = (Ipv4Addr::from(of.0), Ipv4Addr::from(of.2));
                let element = match kind {
                    "hash:net,port" => format!("{first},tcp:{}", of.1),
                    "hash:net,iface" => format!("{first},{}", of.3),
                    "hash:net,net" => format!("{first},{second}"),
                    _ => format!("{first},tcp:{},{second}", of.1),
                };
                let theirs = netns::attempt(&["ipset", "test", "s", &element], "").is_ok();
                assert_eq!(is_in(&found.sets["s"], of), theirs, "{element} in\n{text}");
                (tried, there) = (tried + 1, there + usize::from(theirs));
            }
            netns::run(&["ipset", "destroy"], "");
        }
        assert!(tried > 500 && there * 10 > tried && there * 10 < tried * 9, "{there} of {tried}");
    });
}
