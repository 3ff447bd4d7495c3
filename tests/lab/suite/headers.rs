//! Headers and flags that a filter may read wrongly.

use crate::lab::attack::{Attack, Control, assault};
use crate::lab::frame::{ACK, CWR, ECE, FIN, PSH, RST, SYN, Segment, URG};
use crate::lab::netns::{Namespace, run, sysctl};
use crate::lab::probe::Shot;
use crate::lab::rules::{GUARDED, Rules};
use crate::lab::server::Server;
use crate::lab::shapes::*;
use crate::lab::{HOST4, HOST6, HOSTS, Lab};
use std::net::SocketAddr;

/// Makes the namespace track connections; the kernel then puts fragments together before any rule sees them.
fn track_connections() {
    run(
        &["nft", "-f", "-"],
        "table inet tracker {\n chain prerouting {\n type filter hook prerouting priority 0\n ct state new counter\n }\n}\n",
    );
}

/// A maximum segment size and padding: the SYN is long enough to be cut behind its ports and flags.
const LONG: [u8; 12] = [2, 4, 5, 0xb4, 1, 1, 1, 1, 1, 1, 1, 1];

fn attacks4() -> Vec<Attack> {
    let attack = |way, shape| Attack::new(way, HOST4).shape(shape);
    vec![
        // Nobody has a reason to send these, peers included, and iptables-legacy drops what ends before the TCP flags.
        attack("tiny first fragment", tiny_fragments).without_peer(),
        attack("tiny fragments, the last one first", tiny_fragments_reversed).without_peer(),
        attack("every fragment twice", fragments_repeated).without_peer(),
        attack("overlapping fragments", overlapping_fragments).control(Control::Unsure),
        attack("a first fragment that changes its mind", changed_mind).control(Control::Unsure),
        attack("record route", record_route),
        attack("ten words of padding before TCP", nothing_but_nops),
        attack("router alert", router_alert),
        attack("loose source route", source_route).control(Control::Unsure),
        attack("fragments with options", options_and_fragments).without_peer(),
    ]
}

fn attacks6() -> Vec<Attack> {
    let attack = |way, shape| Attack::new(way, HOST6).shape(shape).options(&LONG);
    vec![
        attack("hop-by-hop options", hop_by_hop),
        attack("long hop-by-hop and destination options", long_hop_by_hop),
        attack("twelve destination options", twelve_destination_options),
        attack("a finished routing header", finished_routing),
        attack("segment routing", segment_routing).control(Control::Unsure),
        attack("segment routing tunnel", segment_routing_tunnel).control(Control::Unsure),
        attack("atomic fragment", atomic_fragment),
        attack("atomic fragment with options", atomic_fragment_with_options),
        attack("two fragments", honest_fragments),
        attack("two fragments, the last one first", honest_fragments_reversed),
        attack("tiny first fragment", tiny_fragments6).control(Control::Unsure),
        attack("overlapping fragments", overlapping_fragments6).control(Control::Unsure),
        attack("fragments of fragments", hidden_twice).control(Control::Unsure),
    ]
}

/// First fragments that do not show what they carry. No peer has a reason to send one, and without connection tracking
/// nobody's gets through.
fn hidden_fragments() -> Vec<Attack> {
    let attack = |way, shape| Attack::new(way, HOST6).shape(shape).without_peer();
    vec![
        attack("TCP in the second fragment", hidden),
        attack("TCP in the second fragment, which comes first", hidden_reversed),
        attack("a first fragment of two headers", hidden_behind_two_headers),
        attack("a first fragment that announces TCP and ends", announced).control(Control::Unsure),
        attack("a first fragment of half a header", half_a_header).control(Control::Unsure),
        attack("TCP in the second fragment, behind hop-by-hop options", hidden_behind_hop_by_hop),
    ]
}

fn behind_routing() -> Attack {
    Attack::new("TCP in the second fragment, behind a routing header", HOST6)
        .shape(hidden_behind_routing)
        .without_peer()
}

fn allow_segment_routing() {
    for interface in ["all", "eth1"] {
        sysctl(&format!("net.ipv6.conf.{interface}.seg6_enabled"), "1");
    }
}

on_each_backend! {
    fn ipv4(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        assault(&lab, backend, &attacks4());
    }

    fn ipv4_tracked(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        track_connections();
        assault(&lab, backend, &attacks4());
    }

    fn ipv6(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        allow_segment_routing();
        assault(&lab, backend, &attacks6());
    }

    fn ipv6_tracked(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        track_connections();
        allow_segment_routing();
        assault(&lab, backend, &attacks6());
    }

    /// A stranger shook hands and read the banner this way past rules that looked at ports alone.
    fn hidden_first_fragment(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        let mut attacks = hidden_fragments();
        attacks.push(behind_routing());
        assault(&lab, backend, &attacks);
    }

    fn hidden_first_fragment_tracked(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        track_connections();
        let mut attacks = hidden_fragments();
        // This kernel loses its way when it has put these together early.
        attacks.push(behind_routing().control(Control::Unsure));
        assault(&lab, backend, &attacks);
    }

    /// `--syn` of iptables does not match SYN with FIN; and what is no SYN at all must not come in either.
    fn odd_flags(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        let mut attacks = Vec::new();
        for host in HOSTS {
            for (way, flags) in [
                ("SYN", SYN),
                ("SYN and PSH", SYN | PSH),
                ("SYN and URG", SYN | URG),
                ("SYN with congestion flags", SYN | ECE | CWR),
            ] {
                attacks.push(Attack::new(way, host).flags(flags));
            }
            for (way, flags) in [
                ("SYN and FIN", SYN | FIN),
                ("SYN and RST", SYN | RST),
                ("SYN and ACK", SYN | ACK),
                ("no flag at all", 0),
                ("FIN, PSH and URG", FIN | PSH | URG),
                ("FIN", FIN),
                ("RST", RST),
                ("ACK", ACK),
                ("URG", URG),
                ("every flag", 0xff),
            ] {
                attacks.push(Attack::new(way, host).flags(flags).control(Control::Delivered));
            }
        }
        assault(&lab, backend, &attacks);
    }

    fn source_ports(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        let mut attacks = Vec::new();
        for host in HOSTS {
            for port in [GUARDED, 4369, 6000, 8099, 20, 22, 53, 80, 443, 1, 65535] {
                attacks.push(Attack::new(format!("source port {port}"), host).source_port(port));
            }
        }
        assault(&lab, backend, &attacks);
    }

    /// Data in the very first segment, taken without a cookie.
    fn fast_open(backend) {
        let lab = Lab::new();
        // Server side on, for every listening socket, no cookie asked for.
        sysctl("net.ipv4.tcp_fastopen", &(0x2 + 0x200 + 0x400).to_string());
        let _server = Server::start(GUARDED);
        let attack = |host| Attack::new("fast open", host).options(&[34, 2]).payload(b"GET / HTTP/1.0\r\n\r\n");
        for host in HOSTS {
            let mut segment = Segment::syn(lab.stranger(host), SocketAddr::new(host, GUARDED));
            segment.options = vec![34, 2];
            segment.payload = b"data".to_vec();
            let outcome = lab.fire_one(&Shot::plain(segment.clone()));
            let taken = outcome.accepted().map(|seen| seen.ack);
            assert_eq!(taken, Some(segment.seq + 5), "the control is to take the data with the SYN");
        }
        assault(&lab, backend, &HOSTS.map(attack));
    }

    fn multipath(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        let mut attacks = Vec::new();
        for host in HOSTS {
            attacks.push(Attack::new("MP_CAPABLE", host).options(&[30, 4, 0x01, 0x01]));
            attacks.push(Attack::new("MP_JOIN", host).options(&[30, 12, 0x10, 1, 1, 2, 3, 4, 5, 6, 7, 8]));
        }
        assault(&lab, backend, &attacks);
    }

    /// A verdict of somebody else's ends only his own chain.
    fn accepted_earlier_by_another_table(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        let mut chains = String::new();
        for hook in ["prerouting", "input"] {
            chains += &format!("chain {hook} {{\n type filter hook {hook} priority -400\n tcp dport {GUARDED} accept\n }}\n");
        }
        run(&["nft", "-f", "-"], &format!("table inet earlier {{\n{chains}}}\n"));
        for host in HOSTS {
            backend.foreign_rule(host, &format!("-t raw -I PREROUTING -p tcp --dport {GUARDED} -j ACCEPT"));
            backend.foreign_rule(host, &format!("-t mangle -I INPUT -p tcp --dport {GUARDED} -j ACCEPT"));
        }
        assault(&lab, backend, &HOSTS.map(|host| Attack::new("accepted earlier", host)));
    }

    /// Only whole TCP headers are let in from anybody, so a rule may ask an ipset for a port and be told nothing.
    fn no_ports_in_ipsets(backend) {
        let rules = Rules::usual();
        let sets = rules.text("ipset");
        assert!(!sets.contains("port"), "an ipset with ports in it does not see tiny fragments: {sets}");
        let _host = Namespace::unshare();
        backend.load(&rules);
    }
}
