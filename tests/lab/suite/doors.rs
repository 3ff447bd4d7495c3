//! Every way in which an address can be this host's, with every way in which a port can be published under its own number.
//!
//! At input the guard sees the port as the socket does. A port that is translated before has to be judged at prerouting,
//! and there netfilter's tests know the addresses of the table `local` alone.

use std::net::IpAddr;

use crate::lab::attack::{Attack, Control, control, hold};
use crate::lab::backend::Backend;
use crate::lab::netns::{ip, run, sysctl};
use crate::lab::probe::Shot;
use crate::lab::rules::{CLUSTER, FREE, GUARDED, Rules};
use crate::lab::server::Server;
use crate::lab::{HOST4, HOST6, Lab, mac_text};
use ringfence::net::Elsewhere;

/// How the guarded port is published.
#[derive(Clone, Copy, Debug)]
enum Translation {
    No,
    Dnat,
    Redirect,
}

impl Translation {
    const ALL: [Self; 3] = [Self::No, Self::Dnat, Self::Redirect];

    /// Adds the rules; says on which port the program listens.
    fn set_up(self, backend: Backend) -> u16 {
        for (host, to) in [(HOST4, format!("{HOST4}:{FREE}")), (HOST6, format!("[{HOST6}]:{FREE}"))] {
            let target = match self {
                Self::No => return GUARDED,
                Self::Dnat => format!("DNAT --to-destination {to}"),
                Self::Redirect => format!("REDIRECT --to-ports {FREE}"),
            };
            backend.foreign_rule(host, &format!("-t nat -A PREROUTING -p tcp --dport {GUARDED} -j {target}"));
        }
        FREE
    }
}

/// Addresses that are this host's, and what of that the rules have to be told.
struct Addresses {
    way: &'static str,
    ends: [IpAddr; 2],
    told: &'static [(&'static str, &'static str)],
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// In a lab whose first interface is eth1.
fn addresses() -> Vec<Addresses> {
    ip("route add local 198.51.100.0/24 dev lo\nroute add local 2001:db8:51::/64 dev lo\n");
    for (table, end4, end6, from) in [
        ("77", "198.18.77.0/24", "2001:db8:77::/64", &[][..]),
        ("78", "198.18.78.1", "2001:db8:78::1", &["iif", "eth1"][..]),
    ] {
        for (family, end) in [("-4", end4), ("-6", end6)] {
            ip(&format!("route add local {end} dev lo table {table}\n"));
            run(&[&["ip", family, "rule", "add", "to", end, "lookup", table][..], from].concat(), "");
        }
    }
    vec![
        Addresses { way: "the main table", ends: [HOST4, HOST6], told: &[] },
        Addresses { way: "any-IP", ends: [address("198.51.100.7"), address("2001:db8:51::7")], told: &[] },
        Addresses {
            way: "another table",
            ends: [address("198.18.77.9"), address("2001:db8:77::9")],
            told: &[("", "198.18.77.0/24"), ("", "2001:db8:77::/64")],
        },
        Addresses {
            way: "another table for one interface",
            ends: [address("198.18.78.1"), address("2001:db8:78::1")],
            told: &[("eth1", "198.18.78.1"), ("eth1", "2001:db8:78::1")],
        },
    ]
}

fn view(addresses: &[Addresses]) -> Elsewhere {
    let told = addresses.iter().flat_map(|one| one.told);
    Elsewhere::new(told.map(|(name, network)| (name.parse().ok(), network.parse().expect("a network"))))
}

on_each_backend! {
    fn every_address_with_every_translation(backend) {
        for translation in Translation::ALL {
            let lab = Lab::new();
            let addresses = addresses();
            let _server = Server::start(translation.set_up(backend));
            let attacks: Vec<Attack> = addresses
                .iter()
                .flat_map(|one| {
                    // TCP answers from addresses of the table `local` alone, so that without translation it gets the
                    // segment and has no use for it.
                    let mute = matches!(translation, Translation::No) && !one.told.is_empty();
                    let control = if mute { Control::Delivered } else { Control::Banner };
                    one.ends.map(|end| Attack::new(format!("{}, {translation:?}", one.way), end).control(control))
                })
                .collect();
            control(&lab, &attacks);
            backend.load(&Rules::answering_for(CLUSTER, view(&addresses)));
            hold(&lab, &attacks);
        }
    }

    /// What is this host's on one interface may be somebody else's on another, and routed traffic is not the guard's.
    fn routed_elsewhere(backend) {
        let lab = Lab::with(&["eth1", "eth2", "eth3"]);
        sysctl("net.ipv4.ip_forward", "1");
        let far = mac_text(lab.cable("eth3").here);
        ip(&format!("route add 198.18.78.1 dev eth3\nneigh add 198.18.78.1 lladdr {far} dev eth3 nud permanent\n"));
        ip("route add local 198.18.78.1 dev lo table 78\nrule add iif eth1 to 198.18.78.1 lookup 78\n");
        let view = Elsewhere::new([("eth1".parse().ok(), "198.18.78.1".parse().expect("a network"))]);
        backend.load(&Rules::answering_for(CLUSTER, view));
        let shot = |via: &'static str| {
            let mut shot = Attack::new("", address("198.18.78.1")).shot_by_a_stranger(&lab);
            shot.via = via;
            shot
        };
        let shots: Vec<Shot<'_>> = vec![shot("eth2"), shot("eth1")];
        let outcomes = lab.fire(&shots);
        assert!(outcomes[0].forward.contains(&GUARDED), "routed on: {:?}", outcomes[0]);
        assert!(!outcomes[1].delivered() && outcomes[1].forward.is_empty(), "for this host: {:?}", outcomes[1]);
    }
}
