//! Ways to be this host: addresses and devices that rules may not know to be its own.

use crate::lab::attack::{Attack, Control, assault, control, hold};
use crate::lab::netns::{attempt, ip, not_possible, run, sysctl, until_local};
use crate::lab::rules::{GUARDED, Rules};
use crate::lab::server::Server;
use crate::lab::shapes::{VXLAN_FAR_END, VXLAN_ID, VXLAN_MAC, in_vxlan};
use crate::lab::wire::Wire;
use crate::lab::{HOST4, HOST6, HOSTS, Lab, mac_text, quiet_interface};
use std::net::{IpAddr, Ipv6Addr};

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Makes a device, or reports that this kernel has none of that kind.
fn device(what: &str, command: &str) -> bool {
    let words: Vec<&str> = std::iter::once("ip").chain(command.split_whitespace()).collect();
    match attempt(&words, "") {
        Ok(_) => true,
        Err(error) => {
            not_possible(what, &error);
            false
        }
    }
}

/// Puts `eth1` into a bridge that takes over the host's routes.
fn bridge(lab: &Lab, calls_netfilter: bool) -> bool {
    if !device("a bridge", "link add br0 type bridge") {
        return false;
    }
    if calls_netfilter {
        for family in ["iptables", "ip6tables"] {
            let key = format!("net.bridge.bridge-nf-call-{family}");
            if let Err(error) = crate::lab::netns::try_sysctl(&key, "1") {
                not_possible("br_netfilter", &error.to_string());
                return false;
            }
        }
    }
    let (host, gateway) = (mac_text(lab.cable("eth1").host), mac_text(lab.cable("eth1").here));
    quiet_interface("br0");
    ip(&format!(
        "link set br0 address {host}\n\
         link set eth1 master br0\n\
         link set br0 up\n\
         addr add {HOST4}/32 dev br0\n\
         addr add {HOST6}/128 dev br0 nodad\n\
         addr del {HOST4}/32 dev eth1\n\
         addr del {HOST6}/128 dev eth1\n\
         neigh add 198.18.0.254 lladdr {gateway} dev br0 nud permanent\n\
         neigh add fe80::fe lladdr {gateway} dev br0 nud permanent\n\
         route replace default via 198.18.0.254 dev br0 onlink\n\
         route del ::/0\n\
         route add ::/0 via fe80::fe dev br0\n"
    ));
    true
}

on_each_backend! {
    fn secondary_and_late(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        let add = |addresses: [&str; 2]| {
            ip(&format!("addr add {} dev eth1\naddr add {} dev eth1 nodad\n", addresses[0], addresses[1]));
        };
        add(["198.18.0.2/32", "2001:db8:ffff::2/128"]);
        let attacks = |way: &str, ends: [&str; 2]| ends.map(|end| Attack::new(way, address(end)));
        let secondary = attacks("a secondary address", ["198.18.0.2", "2001:db8:ffff::2"]);
        control(&lab, &secondary);
        backend.load(&Rules::usual());
        hold(&lab, &secondary);
        add(["198.18.0.3/32", "2001:db8:ffff::3/128"]);
        // Without rules there is no difference between the two, so the control above serves.
        hold(&lab, &attacks("an address that came after the rules", ["198.18.0.3", "2001:db8:ffff::3"]));
    }

    /// The host takes a whole network for itself.
    fn any_ip(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        ip("route add local 198.51.100.0/24 dev lo\nroute add local 2001:db8:51::/64 dev lo\n");
        let ends = ["198.51.100.1", "198.51.100.255", "2001:db8:51::", "2001:db8:51::ffff"].map(address);
        assault(&lab, backend, &ends.map(|end| Attack::new("any address of a local network", end)));
    }

    /// fib and addrtype look into the tables that everybody uses, and do not see this.
    fn local_by_another_table(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        // Once for everybody, and once for packets that come in on one interface only.
        for (table, end4, end6, from) in [
            ("77", "198.18.77.1", "2001:db8:77::1", &[][..]),
            ("78", "198.18.78.1", "2001:db8:78::1", &["iif", "eth1"][..]),
        ] {
            for (family, end) in [("-4", end4), ("-6", end6)] {
                ip(&format!("route add local {end} dev lo table {table}\n"));
                run(&[&["ip", family, "rule", "add", "to", end, "lookup", table][..], from].concat(), "");
            }
        }
        let ends = ["2001:db8:77::1", "198.18.77.1", "2001:db8:78::1", "198.18.78.1"].map(address);
        assault(&lab, backend, &ends.map(|end| Attack::new("local by another routing table", end).control(Control::Delivered)));
    }

    /// With `route_localnet` 127.0.0.0/8 is an address like any other, also from outside.
    fn loopback_addresses_from_outside(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        for interface in ["all", "eth1"] {
            sysctl(&format!("net.ipv4.conf.{interface}.route_localnet"), "1");
        }
        let mut attacks = ["127.0.0.1", "127.1.2.3"]
            .map(|end| Attack::new("a loopback address", address(end)).control(Control::Delivered))
            .into();
        let mut more: Vec<Attack> = vec![
            Attack::new("::1", address("::1")).control(Control::Unsure),
            Attack::new("from a loopback address", HOST4).source(address("127.0.0.1")).control(Control::Unsure).without_peer(),
            Attack::new("from ::1", HOST6).source(address("::1")).control(Control::Unsure).without_peer(),
            Attack::new("from the host's own address", HOST4).source(HOST4).control(Control::Unsure).without_peer(),
            Attack::new("from the host's own address", HOST6).source(HOST6).control(Control::Unsure).without_peer(),
        ];
        more.append(&mut attacks);
        sysctl("net.ipv4.conf.all.accept_local", "1");
        assault(&lab, backend, &more);
    }

    fn link_local(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        ip(&format!(
            "addr add 169.254.1.1/16 dev eth1\n\
             neigh add 169.254.9.9 lladdr {mac} dev eth1 nud permanent\n\
             neigh add fe80::bad lladdr {mac} dev eth1 nud permanent\n",
            mac = mac_text(lab.cable("eth1").here)
        ));
        // What the kernel makes of the interface's hardware address.
        let own: Ipv6Addr = "fe80::ff:fe00:101".parse().expect("an address");
        until_local(own);
        let own = IpAddr::from(own);
        let (far4, far6) = (address("169.254.9.9"), address("fe80::bad"));
        assault(
            &lab,
            backend,
            &[
                Attack::new("link-local to link-local", own).source(far6),
                Attack::new("link-local to global", HOST6).source(far6),
                Attack::new("global to link-local", own).control(Control::Delivered),
                Attack::new("link-local to link-local", address("169.254.1.1")).source(far4),
                Attack::new("link-local to global", HOST4).source(far4),
            ],
        );
    }

    /// No TCP comes of these, and none may begin to.
    fn many_and_nobody(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        ip("addr add 198.18.9.1/24 brd 198.18.9.255 dev eth1\naddr add 2001:db8:9::1/64 dev eth1 nodad\n");
        sysctl("net.ipv6.conf.all.forwarding", "1");
        let ends = ["198.18.9.255", "255.255.255.255", "224.0.0.1", "ff02::1", "2001:db8:9::"].map(address);
        let attack = |end| Attack::new(format!("to {end}"), end).control(Control::Unsure).without_peer();
        assault(&lab, backend, &ends.map(attack));
    }

    fn macvlan(backend) {
        let mut lab = Lab::new();
        let _server = Server::start(GUARDED);
        let mac = [2, 0, 0, 0, 0x66, 1];
        let command = format!("link add mv0 link eth1 address {} type macvlan mode bridge", mac_text(mac));
        if !device("macvlan", &command) {
            return;
        }
        quiet_interface("mv0");
        ip("link set mv0 up\naddr add 198.18.66.1/32 dev mv0\naddr add 2001:db8:66::1/128 dev mv0 nodad\n");
        let here = lab.cable("eth1").here;
        let cable = lab.wire.enter(|| Wire::open("w-eth1", mac, here));
        lab.add_cable("mv0", cable);
        let ends = ["198.18.66.1", "2001:db8:66::1"].map(address);
        assault(&lab, backend, &ends.map(|end| Attack::new("macvlan", end).via("mv0")));
    }

    fn inside_vxlan(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        let command = format!(
            "link add vx0 address {} type vxlan id {VXLAN_ID} dev eth1 dstport 4789 local {HOST4} remote {VXLAN_FAR_END}",
            mac_text(VXLAN_MAC)
        );
        if !device("VXLAN", &command) {
            return;
        }
        quiet_interface("vx0");
        ip("link set vx0 up\naddr add 198.18.88.1/32 dev vx0\naddr add 2001:db8:88::1/128 dev vx0 nodad\n");
        let ends = ["198.18.88.1", "2001:db8:88::1"].map(address);
        assault(&lab, backend, &ends.map(|end| Attack::new("inside VXLAN", end).shape(in_vxlan)));
    }

    fn behind_a_bridge(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        if bridge(&lab, false) {
            assault(&lab, backend, &HOSTS.map(|host| Attack::new("through a bridge", host)));
        }
    }

    fn behind_a_filtering_bridge(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        if bridge(&lab, true) {
            assault(&lab, backend, &HOSTS.map(|host| Attack::new("through a bridge that calls netfilter", host)));
        }
    }
}
