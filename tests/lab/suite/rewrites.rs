//! Packets that are addressed to another port, and rewritten on their way to a protected one.

use crate::lab::attack::{Attack, assault};
use crate::lab::netns::{run, sysctl};
use crate::lab::rules::{FREE, GUARDED};
use crate::lab::server::Server;
use crate::lab::{HOST4, HOST6, HOSTS, Lab};

fn through_free_port(way: &str, host: std::net::IpAddr) -> Attack {
    Attack::new(way, host).port(FREE)
}

on_each_backend! {
    fn redirect(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        for host in HOSTS {
            let rule = format!("-t nat -A PREROUTING -p tcp --dport {FREE} -j REDIRECT --to-ports {GUARDED}");
            backend.foreign_rule(host, &rule);
        }
        assault(&lab, backend, &HOSTS.map(|host| through_free_port("REDIRECT", host)));
    }

    fn dnat_to_own_address(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        for (host, to) in [(HOST4, format!("{HOST4}:{GUARDED}")), (HOST6, format!("[{HOST6}]:{GUARDED}"))] {
            backend.foreign_rule(host, &format!("-t nat -A PREROUTING -p tcp --dport {FREE} -j DNAT --to-destination {to}"));
        }
        assault(&lab, backend, &HOSTS.map(|host| through_free_port("DNAT to the host itself", host)));
    }

    /// Addressed to somebody else altogether.
    fn dnat_of_a_foreign_address(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        let ends = [("198.18.99.99", HOST4, format!("{HOST4}")), ("2001:db8:99::99", HOST6, format!("{HOST6}"))];
        for (end, like, to) in &ends {
            backend.foreign_rule(*like, &format!("-t nat -A PREROUTING -d {end} -p tcp -j DNAT --to-destination {to}"));
        }
        let attacks = ends.map(|(end, ..)| Attack::new("DNAT of a foreign address", end.parse().expect("an address")));
        assault(&lab, backend, &attacks);
    }

    fn dnat_to_loopback(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        for interface in ["all", "eth1"] {
            sysctl(&format!("net.ipv4.conf.{interface}.route_localnet"), "1");
        }
        let rule = format!("-t nat -A PREROUTING -p tcp --dport {FREE} -j DNAT --to-destination 127.0.0.1:{GUARDED}");
        backend.foreign_rule(HOST4, &rule);
        assault(&lab, backend, &[through_free_port("DNAT to 127.0.0.1", HOST4)]);
    }

    /// A port changed without connection tracking, after the guard's door at prerouting.
    fn stateless_rewrite(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        rewrite("prerouting", -200);
        assault(&lab, backend, &HOSTS.map(|host| through_free_port("a rewritten port", host)));
    }

    /// The same, before it.
    fn stateless_rewrite_before_the_guard(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        rewrite("prerouting", -350);
        assault(&lab, backend, &HOSTS.map(|host| through_free_port("a port rewritten early", host)));
    }

    /// The same, as late as a rule can be and before anything at `input`.
    fn stateless_rewrite_at_the_end_of_prerouting(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        rewrite("prerouting", 1000);
        assault(&lab, backend, &HOSTS.map(|host| through_free_port("a port rewritten late", host)));
    }
}

/// nft rules that change the port of every packet that comes, and change it back in the answers.
fn rewrite(hook: &str, priority: i32) {
    run(
        &["nft", "-f", "-"],
        &format!(
            "table inet rewriter {{
               chain {hook} {{
                 type filter hook {hook} priority {priority}
                 tcp dport {FREE} tcp dport set {GUARDED}
               }}
               chain output {{
                 type filter hook output priority 0
                 tcp sport {GUARDED} tcp sport set {FREE}
               }}
             }}\n"
        ),
    );
}
