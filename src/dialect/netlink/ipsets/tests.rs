//! Answers as the kernel gives them, and answers that it should not give.

use super::*;
use crate::dialect::netlink::attributes::messages;

/// What the kernel says of a set: type, revision, family, and attributes of its options.
type Header<'a> = (&'a str, u8, u8, &'a dyn Fn(&mut Writer));

/// A message with the name of a set, its header if this is its first, and elements.
fn message(name: &str, header: Option<Header<'_>>, elements: &[&dyn Fn(&mut Writer)]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.message(NFNL_SUBSYS_IPSET << 8 | IPSET_CMD_LIST, 2, 1, |writer| {
        writer.raw(&[NFPROTO_IPV4, 0, 0, 0]);
        writer.attribute(IPSET_ATTR_PROTOCOL, &[IPSET_PROTOCOL]);
        writer.text(IPSET_ATTR_SETNAME, name);
        if let Some((kind, revision, family, options)) = header {
            writer.text(IPSET_ATTR_TYPENAME, kind);
            writer.attribute(IPSET_ATTR_FAMILY, &[family]);
            writer.attribute(IPSET_ATTR_REVISION, &[revision]);
            writer.attribute(IPSET_ATTR_INDEX, &[0, 1]);
            writer.nest(IPSET_ATTR_DATA, options);
        }
        writer.nest(IPSET_ATTR_ADT, |writer| {
            elements.iter().for_each(|element| writer.nest(IPSET_ATTR_DATA, element));
        });
    });
    writer.into_bytes()
}

/// Options of a set with so many elements.
fn with(count: u32) -> impl Fn(&mut Writer) {
    move |writer| {
        writer.u32(IPSET_ATTR_HASHSIZE, 1024);
        writer.u32(IPSET_ATTR_MAXELEM, 65536);
        writer.u32(IPSET_ATTR_REFERENCES, 1);
        writer.u32(IPSET_ATTR_MEMSIZE, 200);
        writer.u32(IPSET_ATTR_ELEMENTS, count);
    }
}

fn v4(address: [u8; 4], prefix: Option<u8>) -> impl Fn(&mut Writer) {
    move |writer| {
        writer.nest(IPSET_ATTR_IP, |writer| {
            writer.attribute(IPSET_ATTR_IPADDR_IPV4 | NLA_F_NET_BYTEORDER, &address);
        });
        prefix.into_iter().for_each(|prefix| writer.attribute(IPSET_ATTR_CIDR, &[prefix]));
    }
}

fn read(parts: &[Vec<u8>]) -> Result<IpSets, Malformed> {
    let mut reading = Reading::default();
    for message in messages(&parts.concat()) {
        reading.take(&message?)?;
    }
    Ok(reading.finish())
}

/// What is not known of the set `a`, or its networks.
fn only(parts: &[Vec<u8>]) -> String {
    let found = read(parts).unwrap();
    let (set, doubt) = (found.sets.get("a").unwrap(), found.unknown.get("a"));
    assert_eq!(set.elements == Elements::Unknown, doubt.is_some());
    let (these, passing) = set.elements.lasting();
    let networks: Vec<String> = these.networks().iter().map(ToString::to_string).collect();
    let perhaps = if passing { "perhaps " } else { "" };
    doubt.map_or_else(|| format!("{perhaps}{}", networks.join(" ")), ToOwned::to_owned)
}

#[test]
fn a_set_may_span_messages() {
    let first = message("a", Some(("hash:net", 7, 2, &with(3))), &[&v4([10, 1, 2, 3], Some(8))]);
    let more = message("a", None, &[&v4([11, 0, 0, 1], Some(32)), &v4([12, 0, 0, 1], None)]);
    let of_two = |writer: &mut Writer| {
        writer.u32(IPSET_ATTR_SIZE, 8);
        writer.u32(IPSET_ATTR_ELEMENTS, 2);
    };
    let member = |name: &'static str| move |writer: &mut Writer| writer.text(IPSET_ATTR_NAME, name);
    let other = message("b", Some(("list:set", 3, 0, &of_two)), &[&member("a"), &member("c")]);
    let parts = [first.clone(), more.clone(), other.clone()];
    assert_eq!(only(&parts), "10.0.0.0/8 11.0.0.1 12.0.0.1");
    let found = read(&parts).unwrap();
    assert_eq!(found.unknown.get("b").unwrap(), "its set c");
    let six = |writer: &mut Writer| {
        let address = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        writer.nest(IPSET_ATTR_IP, |writer| {
            writer.attribute(IPSET_ATTR_IPADDR_IPV6 | NLA_F_NET_BYTEORDER, &address);
        });
        writer.attribute(IPSET_ATTR_CIDR, &[32]);
    };
    let known = read(&[parts.as_slice(), &[message("c", Some(("hash:net", 7, 10, &with(1))), &[&six])]].concat());
    let shown: Vec<String> = known.unwrap().sets["b"].elements.networks().iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.0/8", "11.0.0.1", "12.0.0.1", "2001:db8::/32"]);
    assert_eq!(found.lists, BTreeSet::from(["b".to_owned()]));
    // Less than the set is said to have.
    assert_eq!(only(&[first.clone(), other.clone()]), "members that are not listed");
    // Beginnings that are missing, or come twice.
    for wrong in [vec![more.clone()], vec![first.clone(), first.clone()], vec![first, other, more]] {
        assert_eq!(read(&wrong), Err(Malformed));
    }
    assert_eq!(read(&[]), Ok(IpSets::default()));
}

#[test]
fn what_is_not_known_of_a_set_is_said() {
    let one = v4([10, 0, 0, 1], None);
    let header = |kind: &str, revision, family, more: &dyn Fn(&mut Writer)| {
        let options = |writer: &mut Writer| {
            with(1)(writer);
            more(writer);
        };
        only(&[message("a", Some((kind, revision, family, &options)), &[&one])])
    };
    let flags = |flags: u32| move |writer: &mut Writer| writer.u32(IPSET_ATTR_CADT_FLAGS, flags);
    assert_eq!(header("hash:ip", 6, 2, &flags(8 | 16 | 64)), "10.0.0.1");
    assert_eq!(header("hash:ip", 6, 2, &flags(8 | 32)), "perhaps 10.0.0.1");
    assert_eq!(header("hash:ip", 6, 2, &flags(1 << 9)), "flags 0x200");
    assert_eq!(header("hash:ip", 7, 2, &|_| ()), "revision 7");
    assert_eq!(header("hash:net", 8, 2, &|_| ()), "revision 8");
    assert_eq!(header("bitmap:ip", 4, 2, &|_| ()), "revision 4");
    assert_eq!(header("hash:ip", 0, 2, &|_| ()), "10.0.0.1");
    assert_eq!(header("hash:ip", 6, 7, &|_| ()), "family");
    assert_eq!(header("hash:ip", 6, 10, &|_| ()), "10.0.0.1", "named, as the address does not fit");
    assert_eq!(header("hash:ip,port", 7, 2, &|_| ()), "10.0.0.1");
    assert_eq!(header("hash:ip", 6, 2, &|writer| writer.u32(IPSET_ATTR_TIMEOUT, 9)), "perhaps 10.0.0.1");
    assert_eq!(header("hash:ip", 6, 2, &|writer| writer.attribute(IPSET_ATTR_NETMASK, &[24])), "10.0.0.0/24");
    assert_eq!(header("hash:ip", 6, 2, &|writer| writer.attribute(IPSET_ATTR_NETMASK, &[33])), "netmask");
    assert_eq!(header("hash:net", 7, 2, &|writer| writer.attribute(IPSET_ATTR_NETMASK, &[24])), "netmask");
    assert_eq!(header("list:set", 4, 0, &|_| ()), "revision 4");
    assert_eq!(header("list:set", 3, 0, &|_| ()), "10.0.0.1", "no set");
    assert_eq!(header("bitmap:port", 3, 0, &|_| ()), "10.0.0.1", "no port");
    assert_eq!(header("hash:ip", 6, 2, &|writer| writer.attribute(IPSET_ATTR_BITMASK, &[0; 8])), "bitmask");
    assert_eq!(header("hash:ip", 6, 2, &|writer| writer.u32(40, 1)), "attribute 40");
}

#[test]
fn what_is_not_known_of_an_element_is_said() {
    let element = |more: &dyn Fn(&mut Writer)| {
        let own = |writer: &mut Writer| {
            v4([10, 2, 0, 0], Some(16))(writer);
            more(writer);
        };
        only(&[message("a", Some(("hash:net", 7, 2, &with(1))), &[&own])])
    };
    assert_eq!(element(&|writer| writer.text(IPSET_ATTR_COMMENT, "nomatch")), "10.2.0.0/16");
    assert_eq!(element(&|writer| writer.attribute(IPSET_ATTR_BYTES, &[0; 8])), "10.2.0.0/16");
    assert_eq!(element(&|writer| writer.u32(IPSET_ATTR_CADT_FLAGS, 4)), "", "an exception of nothing");
    assert_eq!(element(&|writer| writer.u32(IPSET_ATTR_CADT_FLAGS, 5)), "10.2.0.0/16 nomatch flags 0x1");
    assert_eq!(element(&|writer| writer.u32(IPSET_ATTR_TIMEOUT, 1)), "10.2.0.0/16 timeout");
    assert_eq!(element(&|writer| writer.attribute(IPSET_ATTR_IP_TO, &[0; 8])), "10.2.0.0/16 attribute 2");
    assert_eq!(element(&|writer| writer.attribute(IPSET_ATTR_CIDR, &[33])), "10.2.0.0/33");
    let bare = only(&[message("a", Some(("hash:net", 7, 2, &with(1))), &[&|_| ()])]);
    assert_eq!(bare, "a member without an address");
    let whole = only(&[message("a", Some(("hash:net", 7, 2, &with(1))), &[&v4([0; 4], Some(0))])]);
    assert_eq!(whole, "0.0.0.0/0", "which no hash:net takes");
}

/// Types that this machine may not have: the same as their text.
#[test]
fn elements_of_several_parts_are_those_of_the_text() {
    let first = v4([10, 0, 0, 1], Some(8));
    let second = |writer: &mut Writer| {
        writer.nest(IPSET_ATTR_IP2, |writer| {
            writer.attribute(IPSET_ATTR_IPADDR_IPV4 | NLA_F_NET_BYTEORDER, &[11, 0, 0, 1])
        });
        writer.attribute(IPSET_ATTR_CIDR2, &[16]);
    };
    let port = |writer: &mut Writer| {
        writer.attribute(IPSET_ATTR_PORT | NLA_F_NET_BYTEORDER, &80_u16.to_be_bytes());
        writer.attribute(IPSET_ATTR_PROTO, &[6]);
    };
    let mac = |writer: &mut Writer| writer.attribute(IPSET_ATTR_ETHER, &[2, 0, 0, 0, 0, 0x1a]);
    let mark = |writer: &mut Writer| writer.u32(IPSET_ATTR_MARK | NLA_F_NET_BYTEORDER, 0x63);
    let named = |writer: &mut Writer| writer.text(IPSET_ATTR_IFACE, "eth");
    let flags = |flags: u32| move |writer: &mut Writer| writer.u32(IPSET_ATTR_CADT_FLAGS, flags);
    let (excepted, wildcard, bridged) = (flags(4), flags(128), flags(2));
    let single = v4([10, 0, 0, 1], None);
    type Parts<'p> = &'p [&'p dyn Fn(&mut Writer)];
    let cases: [(&str, u8, Parts<'_>, &str); 12] = [
        ("hash:net,port,net", 3, &[&first, &port, &second], "10.0.0.0/8,tcp:80,11.0.0.0/16"),
        ("hash:net,port,net", 3, &[&first, &port, &second, &excepted], "10.0.0.0/8,tcp:80,11.0.0.0/16 nomatch"),
        ("hash:ip,port,net", 8, &[&single, &port, &second], "10.0.0.1,tcp:80,11.0.0.0/16"),
        ("hash:ip,port,net", 8, &[&single, &port], "10.0.0.1,tcp:80"),
        ("hash:net,net", 4, &[&first, &second], "10.0.0.0/8,11.0.0.0/16"),
        ("hash:net,iface", 8, &[&first, &named], "10.0.0.0/8,eth"),
        ("hash:net,iface", 8, &[&first, &named, &wildcard], "10.0.0.0/8,eth wildcard"),
        ("hash:net,iface", 8, &[&first, &named, &bridged], "10.0.0.0/8,physdev:eth"),
        ("hash:ip,mac", 1, &[&single, &mac], "10.0.0.1,02:00:00:00:00:1A"),
        ("hash:mac", 1, &[&mac], "02:00:00:00:00:1A"),
        ("hash:ip,mark", 3, &[&single, &mark], "10.0.0.1,0x00000063"),
        ("hash:ip", 6, &[&single, &mac], "10.0.0.1,02:00:00:00:00:1A"),
    ];
    for (kind, revision, parts, text) in cases {
        let element = |writer: &mut Writer| parts.iter().for_each(|part| part(writer));
        let family = if kind == "hash:mac" { 0 } else { 2 };
        let found = read(&[message("a", Some((kind, revision, family, &with(1))), &[&element])]).unwrap();
        let (sets, unknown) = crate::dialect::ipset::read(&format!("create a {kind}\nadd a {text}\n")).unwrap();
        assert_eq!(found.sets["a"], sets[0], "{kind} {text}");
        assert_eq!(found.unknown.len(), unknown.len(), "{kind} {text}: {:?} {unknown:?}", found.unknown);
        let newer = read(&[message("a", Some((kind, revision + 2, family, &with(1))), &[&element])]).unwrap();
        assert_eq!(newer.sets["a"].elements, Elements::Unknown, "{kind}");
    }
}

#[test]
fn no_byte_brings_the_reader_down() {
    let parts = [
        message("a", Some(("hash:net", 7, 2, &with(2))), &[&v4([10, 0, 0, 0], Some(8))]),
        message("a", None, &[&v4([11, 0, 0, 1], Some(32))]),
    ];
    let whole = read(&parts).unwrap();
    let bytes = parts.concat();
    for at in 0..bytes.len() {
        if let Ok(found) = read(&[bytes[..at].to_vec()]) {
            assert!(found.sets.values().all(|set| set.elements == Elements::Unknown), "cut at {at}");
        }
        for byte in [0, 1, 2, 4, 8, 0x7f, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = byte;
            let _ = read(&[changed]);
        }
    }
    // Cut within its attributes, as if that were all.
    for part in &parts {
        for at in 16..part.len() {
            let mut cut = part[..at].to_vec();
            cut[..4].copy_from_slice(&u32::try_from(at).unwrap().to_ne_bytes());
            if let Ok(found) = read(&[cut]) {
                assert!(found.sets.values().all(|set| set.elements == Elements::Unknown), "ends at {at}");
            }
        }
    }
    assert_eq!(whole.unknown, BTreeMap::new());
}

#[test]
fn readings_that_differ_are_not_trusted() {
    let set = |name: &str, last: u8| message(name, Some(("hash:ip", 6, 2, &with(1))), &[&v4([10, 0, 0, last], None)]);
    let reading = |parts: &[Vec<u8>]| read(parts).map_err(RequestError::from);
    let mut answers = vec![reading(&[set("a", 1)]), reading(&[set("a", 2)]), reading(&[set("a", 2)])].into_iter();
    let found = settled(|| answers.next().unwrap()).unwrap();
    assert_eq!(found.sets.get("a").unwrap().elements, Elements::ipv4(vec![(0x0a00_0002, 0x0a00_0002)]));
    assert_eq!(answers.len(), 0);
    // Never alike: one set changes, one comes and goes, one stays.
    let mut count = 0;
    let found = settled(|| {
        count += 1;
        let mut parts = vec![set("a", count), set("b", 1)];
        parts.extend((count % 2 == 0).then(|| set("c", 1)));
        reading(&parts)
    });
    let found = found.unwrap();
    let names: Vec<&str> = found.unknown.keys().map(String::as_str).collect();
    assert_eq!((names, found.sets.len()), (vec!["a", "c"], 3));
    assert!(found.unknown.values().all(|why| why == CHANGED));
    assert!(matches!(settled(|| Err(Malformed.into())), Err(RequestError::Malformed(_))));
}
