//! Texts of ipset with the sets that each must give, and texts that must be refused.

use std::fs;
use std::path::Path;

use super::read;
use crate::ir::{DeviceName, Elements, Endpoint, Endpoints, Set, SetKind};

/// Sets in one line each: name, kind, networks; `?` for unknown elements. And what is listed as unknown.
fn sets(text: &str) -> (Vec<String>, Vec<String>) {
    let (sets, unknown) = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let show = |set: &Set| {
        let kind = if set.kind == SetKind::Interval { "net" } else { "ip" };
        let elements = match set.elements.lasting() {
            (Elements::Unknown, _) => "?".to_owned(),
            (known, passing) => {
                let networks: Vec<String> = known.networks().iter().map(ToString::to_string).collect();
                format!("{}{}", if passing { "perhaps " } else { "" }, networks.join(" "))
            }
        };
        format!("{} {kind} {elements}", set.name)
    };
    (sets.iter().map(show).collect(), unknown.iter().map(|it| format!("{} {}", it.line, it.text)).collect())
}

fn one(text: &str) -> String {
    let (mut sets, unknown) = sets(&format!("create a {text}"));
    assert_eq!(unknown, [""; 0], "{text}");
    assert_eq!(sets.len(), 1);
    sets.remove(0)
}

#[test]
fn elements() {
    assert_eq!(one("hash:ip\nadd a 10.0.0.2\nadd a 10.0.0.1/32\nadd a 10.0.0.1 -exist\n"), "a ip 10.0.0.1 10.0.0.2");
    assert_eq!(one("hash:ip family inet\nadd a 10.0.0.1-10.0.0.3\n"), "a ip 10.0.0.1 10.0.0.2 10.0.0.3");
    assert_eq!(one("hash:ip\nadd a 10.0.3.1/31\n"), "a ip 10.0.3.0 10.0.3.1");
    assert_eq!(one("hash:net\nadd a 10.1.2.3/8\nadd a 10.1.0.0/16\nadd a 11.0.0.1\n"), "a net 10.0.0.0/8 11.0.0.1");
    assert_eq!(one("hash:net\nadd a 11.0.0.0-12.3.255.255\n"), "a net 11.0.0.0/8 12.0.0.0/14");
    assert_eq!(one("hash:net\nadd a 0.0.0.0/1\nadd a 128.0.0.0/1\n"), "a net 0.0.0.0/0");
    assert_eq!(one("hash:net family inet6\nadd a 8000::/1\nadd a ::/1\n"), "a net ::/0");
    assert_eq!(one("hash:net family inet6\nadd a fd00::1/64\nadd a fd01::1\n"), "a net fd00::/64 fd01::1");
    assert_eq!(one("hash:ip family inet6 hashsize 64\nadd a fd00::9/128\n"), "a ip fd00::9");
    let counted = "hash:ip counters comment\nadd a 10.0.0.1 packets 0 bytes 0 comment \"nomatch timeout \\ z\"\n";
    assert_eq!(one(counted), "a ip 10.0.0.1");
    assert_eq!(
        one("bitmap:ip range 10.0.0.0-10.0.0.255\nadd a 10.0.0.7\nadd a 10.0.0.1-10.0.0.2\n"),
        "a ip 10.0.0.1 10.0.0.2 10.0.0.7"
    );
    assert_eq!(one("hash:ip hashsize 1024 maxelem 65536 bucketsize 12 initval 0x1234\r\n  # a\n"), "a ip ");
}

/// A word is what it is by its place, with quotes or without, as `ipset restore` takes it.
#[test]
fn a_comment_is_no_option_and_an_option_is_none_for_being_quoted() {
    let commented = "hash:net comment\nadd a 203.0.113.0/24 comment nomatch\nadd a 10.0.0.0/8 comment timeout\n";
    assert_eq!(one(commented), "a net 10.0.0.0/8 203.0.113.0/24");
    let quoted = "hash:net\nadd a 10.20.0.12/31\nadd a 10.20.0.12 \"nomatch\"\n";
    assert_eq!(one(quoted), "a net 10.20.0.13");
    let text = "hash:ip comment\nadd a 10.0.0.1 comment \"\"\nadd a 10.0.0.2 comment \"a b\" -exist\n";
    assert_eq!(one(text), "a ip 10.0.0.1 10.0.0.2");
    let with =
        |words: &str| read(&format!("create a hash:net,iface comment\nadd a 10.20.0.12,eth {words}\n")).unwrap().0;
    assert_eq!(with("comment wildcard"), with(""));
    assert_ne!(with("comment wildcard"), with("wildcard"));
    // What ipset has no word for, or a word that is missing: the set is not known.
    for odd in ["nomtach", "comment", "packets", "\"nomatch", "no\"match\"", "comment \"a\"b"] {
        let (found, unknown) = sets(&format!("create a hash:net comment counters\nadd a 10.0.0.0/8 {odd}\n"));
        assert!(found == ["a net ?"] && unknown.len() == 1, "{odd}: {found:?} {unknown:?}");
    }
}

#[test]
fn elements_that_go_by_themselves() {
    assert_eq!(one("hash:ip timeout 5\nadd a 10.0.0.1\nadd a 10.0.0.2 timeout 0\n"), "a ip perhaps 10.0.0.1 10.0.0.2");
    assert_eq!(one("hash:ip forceadd\nadd a 10.0.0.1\n"), "a ip perhaps 10.0.0.1");
    // The exception may be gone, too.
    let text = "hash:net family inet timeout 5\nadd a 10.0.0.0/8 timeout 4\nadd a 10.1.0.0/16 timeout 3 nomatch\n";
    assert_eq!(one(text), "a net perhaps 10.0.0.0/8");
    let listed = sets("create a hash:ip timeout 5\nadd a 1.1.1.1\ncreate l list:set\nadd l a\n").0;
    assert_eq!(listed, ["a ip perhaps 1.1.1.1", "l net perhaps 1.1.1.1"]);
    let whole = "Name: a\nType: hash:ip\nHeader: family inet hashsize 1024 maxelem 65536 timeout 300\n\
                 Members:\n10.0.0.2 timeout 299\n";
    assert_eq!(sets(whole).0, ["a ip perhaps 10.0.0.2"]);
}

#[test]
fn an_address_stands_for_its_network() {
    assert_eq!(one("hash:ip netmask 24\nadd a 10.0.1.7\nadd a 10.0.2.0\n"), "a net 10.0.1.0/24 10.0.2.0/24");
    assert_eq!(one("bitmap:ip range 10.0.0.0/16 netmask 24\nadd a 10.0.1.0\n"), "a net 10.0.1.0/24");
    assert_eq!(one("hash:ip netmask 24\nadd a 10.0.1.7-10.0.3.1\n"), "a net 10.0.1.0/24 10.0.2.0/23");
    assert_eq!(one("hash:ip family inet6 netmask 64\nadd a fd00::9\n"), "a net fd00::/64");
}

#[test]
fn ports() {
    let (sets, unknown) = read("create a bitmap:port range 0-65535\nadd a 80\nadd a 90-91\nadd a 81\n").unwrap();
    assert!(unknown.is_empty(), "{unknown:?}");
    let range = |first, last| crate::net::PortRange::new(first, last).unwrap();
    assert_eq!(sets[0].elements, Elements::Ports(vec![range(80, 81), range(90, 91)]));
}

#[test]
fn addresses_with_ports() {
    let text = "create a hash:net,port family inet\nadd a 10.0.0.0/8,tcp:80\nadd a 10.0.0.9,udp:53\nadd a 11.0.0.1,tcp:80\n\
                add a 10.0.0.1,tcp:22\n";
    let (sets, unknown) = read(text).unwrap();
    assert!(unknown.is_empty(), "{unknown:?}");
    let v4 = |ranges: &[(u32, u32)]| Elements::ipv4(ranges.to_vec());
    let expected = Elements::Endpoints(Endpoints::with_ports([
        (22, v4(&[(0x0a00_0001, 0x0a00_0001)])),
        (80, v4(&[(0x0a00_0000, 0x0aff_ffff), (0x0b00_0001, 0x0b00_0001)])),
    ]));
    assert_eq!(sets[0].elements, expected);
}

/// The elements of a set of several parts, and whether they may be gone.
fn several(text: &str) -> (Endpoints, bool) {
    let (sets, unknown) = read(&format!("create a {text}")).unwrap();
    assert!(unknown.is_empty(), "{text}: {unknown:?}");
    match sets[0].elements.lasting() {
        (Elements::Endpoints(found), passing) => (found.clone(), passing),
        (other, _) => panic!("{text}: {other:?}"),
    }
}

/// Each row in words.
fn rows(text: &str) -> Vec<String> {
    let shown = |elements: &Elements| elements.networks().iter().map(ToString::to_string).collect::<Vec<_>>().join("+");
    let row = |row: &Endpoint| {
        let mut parts: Vec<String> = row.addresses.iter().map(shown).collect();
        parts.extend(row.port.map(|port| format!("port {port}")));
        parts.extend(row.interface.as_ref().map(ToString::to_string));
        parts.extend((!row.others.is_empty()).then(|| row.others.join("+")));
        parts.join(" ")
    };
    several(text).0.rows.iter().map(row).collect()
}

#[test]
fn elements_of_three_parts() {
    let text = "hash:ip,port,ip\nadd a 10.0.0.1,tcp:80,10.0.0.9\nadd a 10.0.0.2,tcp:80,10.0.0.9\nadd a 10.0.0.1,tcp:81,10.0.0.9\n\
                add a 10.0.0.1,udp:80,10.0.0.8\nadd a 10.0.0.3,tcp:80,10.0.0.8\n";
    assert_eq!(
        rows(text),
        ["10.0.0.3 10.0.0.8 port 80", "10.0.0.1+10.0.0.2 10.0.0.9 port 80", "10.0.0.1 10.0.0.9 port 81"]
    );
    let text = "hash:ip,port,net family inet6 counters\nadd a fd00::1,tcp:80,fd01::/64 packets 1 bytes 2\n\
                add a fd00::1,tcp:80,fd01::8/125 nomatch\n";
    let row = &rows(text)[0];
    assert!(row.starts_with("fd00::1 fd01::/125+fd01::10/124+fd01::20/123+"), "{row}");
    let text = "hash:net,port,net\nadd a 10.0.0.0/8,tcp:80,0.0.0.0/0\nadd a 10.0.0.0/15,tcp:80,11.0.0.0/8\n";
    assert_eq!(rows(text), ["10.0.0.0/8 0.0.0.0/0 port 80", "10.0.0.0/15 11.0.0.0/8 port 80"]);
    // What is excepted may be so no longer.
    let text = "hash:net,net timeout 5\nadd a 10.0.0.0/8,11.0.0.0/8 timeout 3\nadd a 10.0.0.0/9,11.0.0.0/9 timeout 3 nomatch\n";
    assert_eq!((rows(text), several(text).1), (vec!["10.0.0.0/8 11.0.0.0/8".to_owned()], true));
    assert_eq!(rows("hash:ip,port,ip\n"), [""; 0]);
}

#[test]
fn exceptions_with_ports() {
    let text = "hash:net,port\nadd a 10.0.0.0/14,tcp:80\nadd a 10.2.0.0/16,tcp:80 nomatch\nadd a 10.2.0.0/16,tcp:81\n\
                add a 10.3.0.0/16,udp:80 nomatch\nadd a 10.3.0.0/16,tcp:82 nomatch\n";
    assert_eq!(rows(text), ["10.0.0.0/15+10.3.0.0/16 port 80", "10.2.0.0/16 port 81"]);
}

#[test]
fn networks_of_interfaces() {
    let text = "hash:net,iface\nadd a 10.0.0.0/14,eth0\nadd a 10.2.0.0/16,eth1\nadd a 11.0.0.0/8,lo\n";
    // A smaller network of another interface ends the search for a larger one.
    assert_eq!(rows(text), ["10.0.0.0/15+10.3.0.0/16 eth0", "10.2.0.0/16 eth1", "11.0.0.0/8 lo"]);
    let text =
        "hash:net,iface\nadd a 0.0.0.0/0,eth wildcard\nadd a 10.0.0.0/8,eth nomatch wildcard\nadd a 10.0.0.0/8,wg0\n";
    let row = &rows(text)[1];
    assert!(row.starts_with("0.0.0.0/5+8.0.0.0/7+11.0.0.0/8+") && row.ends_with(" eth*"), "{row}");
    let text = "hash:net,iface\nadd a 10.0.0.0/8,eth0\nadd a 10.0.0.0/8,eth1\nadd a 10.0.0.0/9,eth1 nomatch\n";
    assert_eq!(rows(text), ["10.128.0.0/9 eth0", "10.128.0.0/9 eth1"]);
    let is = |text: &str| several(text).0.rows[0].interface.clone();
    assert_eq!(is("hash:net,iface\nadd a 10.0.0.0/8,e wildcard\n"), Some(DeviceName::Begins("e".into())));
}

#[test]
fn macs_and_marks() {
    let text = "hash:ip,mac\nadd a 10.0.0.1,02:00:00:00:00:0A\nadd a 10.0.0.2,02:00:00:00:00:0b\n";
    assert_eq!(rows(text), ["10.0.0.1+10.0.0.2 10.0.0.1,02:00:00:00:00:0a+10.0.0.2,02:00:00:00:00:0b"]);
    assert_eq!(rows("bitmap:ip,mac range 10.0.0.0/24\nadd a 10.0.0.1\n"), ["10.0.0.1 10.0.0.1,"]);
    assert_eq!(rows("hash:mac\nadd a 02:00:00:00:00:0a\n"), ["02:00:00:00:00:0a"]);
    let text = "hash:ip,mark family inet markmask 0x000000ff\nadd a 10.0.0.1,0x00000063\nadd a 10.0.0.2,99\n";
    assert_eq!(rows(text), ["10.0.0.1+10.0.0.2 10.0.0.1,0x63/0x000000ff+10.0.0.2,0x63/0x000000ff"]);
    assert_eq!(several(text).0.unseen(), Some("the mark"));
}

#[test]
fn too_many_rows_are_unknown() {
    let text = (1..=257).map(|port| format!("add a 10.0.0.1,tcp:{port}\n")).collect::<String>();
    let (sets, unknown) = sets(&format!("create a hash:ip,port\n{text}"));
    assert_eq!((sets, unknown.len()), (vec!["a ip ?".to_owned()], 1), "{unknown:?}");
}

#[test]
fn what_is_not_known_is_listed() {
    for (create, listed) in [
        ("hash:ip,port family inet6\nadd a fd00::/120,tcp:80\n", "2 a fd00::/120,tcp:80"),
        ("hash:ip,port family inet6\nadd a 10.0.0.1,tcp:80\n", "2 a 10.0.0.1,tcp:80"),
        ("hash:ip,port netmask 24\n", "1 a netmask"),
        ("hash:ip,port family inet\nadd a 10.0.0.1,80\n", "2 a 10.0.0.1,80"),
        ("hash:ip,port family inet\nadd a 10.0.0.1,tcp:http\n", "2 a 10.0.0.1,tcp:http"),
        ("hash:ip,port family inet\nadd a 10.0.0.0/24,tcp:80\n", "2 a 10.0.0.0/24,tcp:80"),
        ("hash:ip,port\nadd a 10.0.0.1,tcp:80 nomatch\n", "2 a 10.0.0.1,tcp:80 nomatch"),
        ("hash:ip,port,net\nadd a 10.0.0.0/8,tcp:80,10.0.0.0/8\n", "2 a 10.0.0.0/8,tcp:80,10.0.0.0/8"),
        ("hash:ip,port,net\nadd a 10.0.0.1,tcp:80\n", "2 a 10.0.0.1,tcp:80"),
        ("hash:ip,port,net\nadd a 10.0.0.1,tcp:80,0.0.0.0/0\n", "2 a 10.0.0.1,tcp:80,0.0.0.0/0"),
        ("hash:net,net\nadd a 10.0.0.0/8,fd00::/8\n", "2 a 10.0.0.0/8,fd00::/8"),
        ("hash:net,net\nadd a 10.0.0.0/8,11.0.0.0/8\nadd a 10.0.0.0/9,11.0.0.0/9 nomatch\n", "1 a nomatch"),
        ("hash:ip timeout 5 markmask 0xff\n", "1 a markmask"),
        ("hash:ip,mark\nadd a 10.0.0.1,0xg\n", "2 a 10.0.0.1,0xg"),
        ("bitmap:port range 0-100\nadd a 0\n", "2 a 0"),
        ("bitmap:port range 0-100\nadd a tcp:80\n", "2 a tcp:80"),
        ("bitmap:ip range 10.0.0.0/16 netmask 33\nadd a 10.0.1.0\n", "1 a netmask"),
        ("hash:ip bitmask 255.255.0.0\n", "1 a bitmask"),
        ("hash:ip\nadd a 10.0.0.1 timeout 5\n", "2 a 10.0.0.1 timeout 5"),
        ("bitmap:ip,mac range 10.0.0.0/16\nadd a 10.0.0.1,02:00:00:00:01\n", "2 a 10.0.0.1,02:00:00:00:01"),
        ("hash:mac\nadd a 02:00:00:00:00:0g\n", "2 a 02:00:00:00:00:0g"),
        ("hash:net,iface\nadd a 10.0.0.0/8\n", "2 a 10.0.0.0/8"),
        ("hash:net,iface\nadd a 10.0.0.0/8,physdev:eth0\n", "2 a 10.0.0.0/8,physdev:eth0"),
        ("hash:net,iface\nadd a 10.0.0.0/8,eth wildcard\nadd a 10.0.0.0/8,eth0\n", "1 a wildcard"),
        ("hash:ip,port,ip,net\n", "1 a hash:ip,port,ip,net"),
        ("list:set size 8\nadd a b\n", "1 a its set b"),
        ("hash:net\nadd a 0.0.0.0/0\n", "2 a 0.0.0.0/0"),
        ("hash:ip\nadd a 010.0.0.1\n", "2 a 010.0.0.1"),
        ("hash:ip\nadd a localhost\nadd a 10.0.0.1\n", "2 a localhost"),
        ("hash:ip\nadd a 10.0.0.9-10.0.0.1\n", "2 a 10.0.0.9-10.0.0.1"),
        ("hash:ip\nadd a 10.0.0.0/7\n", "2 a 10.0.0.0/7"),
        ("hash:ip\nadd a 0.0.0.0\n", "2 a 0.0.0.0"),
        ("hash:ip family inet6\nadd a fd00::/120\n", "2 a fd00::/120"),
        ("hash:ip family inet6\nadd a 10.0.0.1\n", "2 a 10.0.0.1"),
        ("hash:ip\nadd a 10.0.0.1\ndel a 10.0.0.1\n", "3 a del a 10.0.0.1"),
    ] {
        let (sets, unknown) = sets(&format!("create a {create}"));
        assert!(sets.len() == 1 && sets[0].ends_with(" ?"), "{create}: {sets:?}");
        assert_eq!(unknown, [listed], "{create}");
    }
    let listed = "create a hash:ip\nadd a 1.1.1.1\ncreate l list:set size 8\nadd l a\n";
    assert_eq!(sets(listed), (vec!["a ip 1.1.1.1".to_owned(), "l net 1.1.1.1".to_owned()], Vec::new()));
    for (more, doubt) in [
        ("rename a b\n", "3 l a set of it has another name now"),
        ("create b hash:mac\nadd l b before a\n", "3 l its set b"),
        ("create b bitmap:x\nadd l b before a\n", "3 l its set b"),
        ("create b list:set\nadd l b\n", "3 l its set b"),
        ("create b hash:ip,port\nadd l b\n", "3 l its set b"),
        ("add l nothing\n", "3 l its set nothing"),
        ("del l a\n", "5 l del l a"),
    ] {
        let (sets, unknown) = sets(&format!("{listed}{more}"));
        assert!(sets.contains(&"l net ?".to_owned()) && unknown.iter().any(|own| own == doubt), "{more}: {unknown:?}");
    }
    let excepted = "create a hash:net\nadd a 10.0.0.0/14\nadd a 10.2.0.0/16 nomatch\n";
    assert_eq!(sets(excepted), (vec!["a net 10.0.0.0/15 10.3.0.0/16".to_owned()], Vec::new()));
    let (sets, unknown) = sets(
        "create a hash:ip\nadd a nowhere\nflush a\nadd a 1.1.1.1\ncreate b hash:ip bitmask 255.0.0.0\ndestroy b\n",
    );
    assert_eq!((sets, unknown), (vec!["a ip 1.1.1.1".to_owned()], Vec::new()), "gone, and no more doubt");
}

#[test]
fn commands_have_their_effect() {
    let text = "create a hash:ip -exist\ncreate a hash:ip -exist\ncreate a+ hash:ip -exist\nadd a 1.1.1.1\nflush a+\n\
                add a+ 2.2.2.2\nswap a+ a\ndestroy a+\nCOMMIT\n";
    assert_eq!(sets(text).0, ["a ip 2.2.2.2"]);
    let text = "create a hash:ip\ncreate b hash:ip\nadd a 1.1.1.1\nadd b 2.2.2.2\nrename a c\nswap b c\nflush c\n\
                add c 3.3.3.3\nswap b b\n";
    assert_eq!(sets(text).0, ["c ip 3.3.3.3", "b ip 1.1.1.1"]);
    assert_eq!(sets("create a.b hash:ip\nflush\ndestroy\ncreate c+ hash:net\n").0, ["c_x2b net "]);
    assert_eq!(sets("-N a iphash\n-A a 1.1.1.1\n").0, ["a ip 1.1.1.1"]);
}

#[test]
fn listings() {
    let head = "Name: a\nType: hash:ip\nRevision: 6\nHeader: family inet hashsize 1024 maxelem 65536\n\
                Size in memory: 1200\nReferences: 1\nNumber of entries: 2\n";
    let whole = format!(
        "{head}Members:\n10.0.0.2\n10.0.0.1 packets 0 bytes 0\n\nName: b\nType: hash:net\n\
                         Header: family inet6\nMembers:\n"
    );
    assert_eq!(sets(&whole), (vec!["a ip 10.0.0.1 10.0.0.2".into(), "b net ".into()], vec![]));
    assert_eq!(sets(head), (vec!["a ip ?".into()], vec!["1 a members that are not listed".into()]));
    let short = sets(&format!("{head}Members:\n10.0.0.2\n"));
    assert_eq!(short, (vec!["a ip ?".into()], vec!["1 a members that are not listed".into()]));
    assert_eq!(sets(&head.replace(": 2", ": 0")), (vec!["a ip ".into()], vec![]));
    assert_eq!(read("Name: a\nType: hash:ip\n").unwrap_err().line, 1);
    assert_eq!(read(&format!("{head}Oddity: 1\n")).unwrap_err().line, 8);
}

#[test]
fn what_is_no_text_of_ipset_is_an_error() {
    for (text, line, message) in [
        ("<ipsets>\n", 1, "not a line of ipset: `<ipsets>`"),
        ("{}\n", 1, "not a line of ipset: `{}`"),
        ("\n*raw\n", 2, "not a line of ipset: `*raw`"),
        ("create a hash:ip\nadd a 10.0.0.1", 2, "the text ends in the midst of a line"),
        ("add a 10.0.0.1\n", 1, "there is no set `a`"),
        ("create a hash:ip\nadd a\n", 2, "`add` without an element"),
        ("create\n", 1, "`create` without a name"),
        ("create a hash:ip\ncreate a hash:ip\n", 2, "the set `a` is there already"),
        ("create a hash:ip\ncreate a hash:net -exist\n", 2, "the set `a` is there already"),
        ("create a hash:ip\ncreate b hash:net\nswap a b\n", 3, "`a` and `b` are of different types"),
        ("create a hash:ip\nswap a b\n", 2, "there is no set `b`"),
        ("create a hash:ip\ncreate b hash:ip\nrename a b\n", 3, "no new name for a set: `b`"),
        ("destroy a\n", 1, "there is no set `a`"),
        ("create a hash:ip\ndestroy a\nadd a 1.1.1.1\n", 3, "there is no set `a`"),
        ("create a hash:ip\n\0\n", 2, "a control character: `\\0`"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!((error.line, error.message.as_str()), (line, message), "{text:?}");
    }
    assert_eq!(read("").unwrap(), (Vec::new(), Vec::new()));
    assert_eq!(read("# nothing\n").unwrap(), (Vec::new(), Vec::new()));
}

#[test]
fn no_byte_brings_the_reader_down() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/sets-always/out/ringfence.ipset");
    let text = fs::read_to_string(path).unwrap();
    for at in (0..text.len()).filter(|&at| text.is_char_boundary(at)) {
        let _ = read(&text[..at]);
        for byte in [0, b'\n', b' ', b'"', b'-', b'/', b'0', b'9', b'+', b':', b'#', 0xc3] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = byte;
            let _ = read(&String::from_utf8_lossy(&bytes));
        }
    }
}
