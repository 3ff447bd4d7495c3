//! What `ip rule`, `ip route show table all` and `ip addr` print (iproute2), one after the other in any order, for both families.
//!
//! Addresses come from `inet` lines and from routes of type `local`, routes from those of the table `main`. Other rules than the
//! three that every host has, and other tables than `main`, `local` and `default`, decide by more than the destination.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::net::{Cidr, Interface, Surroundings};

/// Reads such a text. What is none of these lines says nothing here. All of a host's addresses are known only where `ip addr` and the
/// table `local` name the same ones, no route takes another as its source, and none makes a whole network local.
#[must_use]
pub fn read(text: &str) -> Surroundings {
    let mut found = Surroundings { by_policy: true, ..Surroundings::default() };
    let (mut of_links, mut local, mut taken) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut special, mut networks) = (false, false);
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        taken.extend(words.windows(2).filter_map(|pair| if let ["src", own] = pair { host(own) } else { None }));
        match words.as_slice() {
            ["inet" | "inet6", address, ..] => of_links.extend(host(address)),
            ["local", address, ..] => {
                networks |= address.contains('/') && !host(address).is_some_and(|own| own.is_loopback());
                local.extend(host(address));
            }
            [number, "from", rest @ ..] if number.ends_with(':') => {
                found.by_policy = false;
                special |= !matches!(rest, ["all", "lookup", "local" | "main" | "default"]);
            }
            [
                "broadcast" | "multicast" | "anycast" | "unreachable" | "blackhole" | "prohibit" | "throw" | "ff00::/8",
                ..,
            ] => {}
            [to, rest @ ..] => found.routes.extend(route(to, rest)),
            [] => {}
        }
    }
    found.by_policy |= special;
    let told = |all: &BTreeSet<IpAddr>| -> BTreeSet<IpAddr> {
        all.iter().filter(|own| !own.is_loopback() && !is_link_local(own)).copied().collect()
    };
    let all = told(&of_links);
    found.complete = !networks && !all.is_empty() && all == told(&local) && told(&taken).is_subset(&all);
    found.addresses = of_links.into_iter().chain(local).chain(taken).collect::<BTreeSet<_>>().into_iter().collect();
    found
}

/// Many interfaces may have the same one.
fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(own) => own.is_link_local(),
        IpAddr::V6(own) => own.is_unicast_link_local(),
    }
}

fn host(text: &str) -> Option<IpAddr> {
    text.split('/').next()?.parse().ok()
}

fn route(to: &str, words: &[&str]) -> Option<(Cidr, Interface)> {
    let after = |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1));
    if after("table").is_some_and(|table| !["main", "default"].contains(table)) {
        return None;
    }
    let interface = after("dev")?.parse().ok()?;
    let to = match (to, after("via")) {
        ("default", Some(via)) if via.contains(':') => "::/0",
        // `ip -6 route` prints a metric, `ip route` a metric only where one was given.
        ("default", None) if words.contains(&"pref") => "::/0",
        ("default", _) => "0.0.0.0/0",
        (to, _) => to,
    };
    let network = if to.contains('/') { to.parse().ok()? } else { Cidr::host(to.parse::<IpAddr>().ok()?) };
    Some((network, interface))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_commands_are_told_apart() {
        let text = "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n\
            default via 198.51.100.1 dev eth0 \n10.20.0.0/24 dev eth1 proto kernel scope link src 10.20.0.11 \n\
            192.0.2.7 via 10.20.0.1 dev eth1\nlocal 10.20.0.11 dev eth1 table local proto kernel scope host src 10.20.0.11 \n\
            broadcast 10.20.0.255 dev eth1 table local proto kernel scope link src 10.20.0.11 \n\
            2001:db8:1::/64 dev eth0 proto kernel metric 256 pref medium\n\
            default via fe80::1 dev eth0 metric 1024 pref medium\n10.9.0.0/24 dev eth2 table 7\n\
            2: eth1@if3: <BROADCAST,MULTICAST,UP> mtu 1500\n    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff\n\
            \x20   inet 10.20.0.11/24 scope global eth1\n    inet6 2001:db8:1::11/64 scope global\n";
        let found = read(text);
        let addresses: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.20.0.11", "2001:db8:1::11"]);
        assert!(!found.by_policy);
        // One of them stands in one place only: somebody has left out lines.
        assert!(!found.complete);
        let six = "local 2001:db8:1::11 dev eth0 table local proto kernel metric 0 pref medium\n";
        assert!(read(&format!("{text}{six}")).complete);
        let source = format!("{text}{six}default via 198.51.100.1 dev eth0 src 198.51.100.11\n");
        assert!(!read(&source).complete && read(&source).addresses.len() == 3);
        // Any address of it is this host's.
        assert!(!read(&format!("{text}{six}local 192.0.2.0/24 dev lo table local\n")).complete);
        assert!(read(&format!("{text}{six}local 127.0.0.0/8 dev lo table local\n")).complete);
        let routes: Vec<String> = found.routes.iter().map(|(to, by)| format!("{to} {by}")).collect();
        let expected = ["0.0.0.0/0 eth0", "10.20.0.0/24 eth1", "192.0.2.7 eth1", "2001:db8:1::/64 eth0", "::/0 eth0"];
        assert_eq!(routes, expected);
        for rule in ["100:\tfrom 10.9.0.0/24 lookup 7\n", "1000:\tfrom all lookup [l3mdev-table]\n"] {
            assert!(read(rule).by_policy, "{rule}");
        }
        // Without the rules it is not known whether there are others.
        assert!(read("10.20.0.0/24 dev eth1\n").by_policy);
    }
}
