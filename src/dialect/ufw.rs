//! ufw: rules of our own, as its commands and as they stand in its files and in the kernel.
//!
//! - Ours are those that allow, with a remark that begins with `ringfence: `. ufw takes rules that ask for the same as one rule, so one
//!   that the admin has made, or has made his own by giving the command again, is the admin's.
//! - ufw asks one rule after the other. Ours stand behind everything of the admin's that keeps somebody out, so that a denied peer
//!   stays denied.
//!
//! INVARIANT (exact): sources are joined where together they are a network, and never made wider.

mod kernel;

use std::collections::{BTreeMap, BTreeSet};

pub use self::kernel::{Beyond, InForce};
use super::firewalld::{merged, networks};
use crate::ir::{Elements, Leg, Opening};
use crate::net::{Cidr, PortRange, Ports};

/// What the remarks of our rules begin with.
const MARK: &str = "ringfence: ";
/// The most sources of an opening: each is a rule, and each rule is run through.
pub const MOST: usize = 64;
/// The most ports of a rule; a range counts as two.
const PORTS: usize = 15;

/// A rule that allows TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    /// Which way.
    pub leg: Leg,
    /// The other side.
    pub network: Cidr,
    /// The ports.
    pub ports: Ports,
    /// Where it comes in.
    pub interface: Option<String>,
    /// For whom.
    pub about: String,
    /// Says that its source port may be any there is, so that ufw takes it for another rule than the same without: it stands in for
    /// that one while it is moved.
    pub stands_in: bool,
}

/// All ports from which TCP comes.
const ANY_PORT: &str = "1:65535";

/// An opening with more sources than rules can be made for: its name, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooMany(pub String, pub usize);

/// The rules that let these openings through, incoming ones or also outgoing ones.
///
/// # Errors
/// Where an opening has too many sources.
pub fn rules(openings: &[Opening], with_outgoing: bool) -> Result<Vec<Allow>, TooMany> {
    let mut rules = Vec::new();
    for opening in openings.iter().filter(|one| one.leg == Leg::In || with_outgoing) {
        // Joined where that is exact.
        let networks = networks(&merged(&Elements::of_networks(&opening.networks)), opening.is_ipv4());
        if networks.len() > MOST {
            return Err(TooMany(opening.name.clone(), networks.len()));
        }
        // ufw takes the network of all addresses of one family for all of both.
        let halved =
            |network: Cidr| if network.prefix_length() == 0 { network.halves().to_vec() } else { vec![network] };
        let interfaces = match &opening.interfaces {
            None => vec![None],
            Some(names) => names.iter().map(|name| Some(name.to_string())).collect(),
        };
        for network in networks.into_iter().flat_map(halved) {
            for ports in chunks(&opening.ports) {
                rules.extend(interfaces.iter().map(|interface| Allow {
                    leg: opening.leg,
                    network,
                    ports: ports.clone(),
                    interface: interface.clone(),
                    about: opening.name.clone(),
                    stands_in: false,
                }));
            }
        }
    }
    Ok(rules)
}

/// As many ports at once as a rule takes.
fn chunks(ports: &Ports) -> Vec<Ports> {
    let mut chunks: Vec<Vec<PortRange>> = Vec::new();
    let mut room = 0;
    for &range in ports.ranges() {
        let weight = if range.count() == 1 { 1 } else { 2 };
        if weight > room {
            chunks.push(Vec::new());
            room = PORTS;
        }
        room -= weight;
        if let Some(last) = chunks.last_mut() {
            last.push(range);
        }
    }
    chunks.into_iter().map(|ranges| ranges.into_iter().collect()).collect()
}

impl Allow {
    /// What stands behind `ufw` to add it.
    #[must_use]
    pub fn to_add(&self) -> Vec<String> {
        let mut words = self.words();
        words.extend(["comment".to_owned(), format!("{MARK}{}", self.about)]);
        words
    }

    /// What stands behind `ufw` to delete it.
    #[must_use]
    pub fn to_delete(&self) -> Vec<String> {
        ["--force", "delete"].map(str::to_owned).into_iter().chain(self.words()).collect()
    }

    /// The rule that lets the same through while this one is moved.
    #[must_use]
    pub fn stand_in(&self) -> Self {
        Self { stands_in: true, ..self.clone() }
    }

    fn words(&self) -> Vec<String> {
        let mut words = vec!["allow"];
        match (self.leg, &self.interface) {
            (Leg::In, None) => {}
            (Leg::In, Some(interface)) => words.extend(["in", "on", interface]),
            (Leg::Out, None) => words.push("out"),
            (Leg::Out, Some(interface)) => words.extend(["out", "on", interface]),
        }
        let (network, ports) = (self.network.to_string(), self.port_list());
        let (from, to) = match self.leg {
            Leg::In => (network.as_str(), "any"),
            Leg::Out => ("any", network.as_str()),
        };
        words.extend(["proto", "tcp", "from", from]);
        if self.stands_in {
            words.extend(["port", ANY_PORT]);
        }
        words.extend(["to", to, "port", &ports]);
        words.into_iter().map(str::to_owned).collect()
    }

    fn port_list(&self) -> String {
        let one = |range: &PortRange| range.to_string().replace('-', ":");
        self.ports.ranges().iter().map(one).collect::<Vec<_>>().join(",")
    }

    /// By what ufw tells it from others.
    #[must_use]
    pub fn key(&self) -> String {
        let any = if self.network.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        let network = self.network.to_string();
        let (way, to, from) = match self.leg {
            Leg::In => ("in", any, network.as_str()),
            Leg::Out => ("out", network.as_str(), any),
        };
        let on = self.interface.as_ref().map(|name| format!("_{name}")).unwrap_or_default();
        let source_ports = if self.stands_in { ANY_PORT } else { "any" };
        format!("tcp {} {to} {source_ports} {from} {way}{on}", sorted(&self.port_list()))
    }
}

/// The way, and the interface, of the last word of a rule; `None` for what passes through this host, and what is not known.
fn way_of(word: &str) -> Option<(Leg, Option<&str>)> {
    let (way, interface) = word.split_once('_').map_or((word, None), |(way, name)| (way, Some(name)));
    match way {
        "in" => Some((Leg::In, interface)),
        "out" => Some((Leg::Out, interface)),
        _ => None,
    }
}

fn network_of(text: &str) -> Option<Cidr> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: std::net::IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = if length.is_empty() { longest } else { length.parse().ok()? };
    Cidr::containing(address, length)
}

fn ports_of(list: &str) -> Option<Ports> {
    let one = |text: &str| {
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        PortRange::new(first.parse().ok()?, last.parse().ok()?)
    };
    list.split(',').map(one).collect()
}

fn sorted(ports: &str) -> String {
    let ports: BTreeSet<&str> = ports.split(',').collect();
    ports.into_iter().collect::<Vec<_>>().join(",")
}

/// A rule in ufw's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// By what ufw tells it from others.
    pub key: String,
    /// `allow`, `deny`, `reject` or `limit`, perhaps with what is logged.
    pub action: String,
    /// Its remark.
    pub comment: String,
}

impl Entry {
    /// Whether it is ours.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.action == "allow" && self.comment.starts_with(MARK)
    }

    /// Whether it is about what comes to this host, or goes from it, and keeps some of it from passing.
    #[must_use]
    pub fn keeps_out(&self) -> bool {
        !self.action.starts_with("allow") && !self.action.starts_with("route:")
    }

    /// The rule of ours that it is; `None` where it is nobody's that is made here.
    #[must_use]
    pub fn to_allow(&self) -> Option<Allow> {
        let words: Vec<&str> = self.key.split(' ').collect();
        let &["tcp", ports, to, source_ports, from, way] = words.as_slice() else { return None };
        let stands_in = match source_ports {
            "any" => false,
            ANY_PORT => true,
            _ => return None,
        };
        let (leg, interface) = way_of(way)?;
        let network = network_of(if leg == Leg::In { from } else { to })?;
        let about = self.comment.strip_prefix(MARK)?.to_owned();
        let interface = interface.map(str::to_owned);
        Some(Allow { leg, network, ports: ports_of(ports)?, interface, about, stands_in })
    }

    /// Whether it keeps out something that a rule of ours lets through, or may: what is not understood of it may.
    #[must_use]
    pub fn may_hit(&self, ours: &Allow) -> bool {
        if !self.keeps_out() {
            return false;
        }
        let words: Vec<&str> = self.key.split(' ').collect();
        // Behind the two ends may stand the names of profiles, which say the same.
        let [protocol, ports, to, _, from, .., way] = words.as_slice() else { return true };
        let is_of_tcp = ["tcp", "any"].contains(protocol);
        let is_other_protocol = ["udp", "ah", "esp", "gre", "ipv6", "igmp", "vrrp"].contains(protocol);
        let hits_ports = *ports == "any"
            || ports_of(ports).is_none_or(|own| {
                own.ranges().iter().any(|own| {
                    ours.ports.ranges().iter().any(|one| own.first() <= one.last() && one.first() <= own.last())
                })
            });
        let network = if ours.leg == Leg::In { from } else { to };
        let hits_network =
            network_of(network).is_none_or(|own| own.has(ours.network.first()) || ours.network.has(own.first()));
        let hits_way = way_of(way).is_none_or(|(leg, interface)| {
            leg == ours.leg
                && (interface.is_none() || ours.interface.is_none() || interface == ours.interface.as_deref())
        });
        (is_of_tcp || !is_other_protocol) && hits_ports && hits_network && hits_way
    }

    /// As `ufw status` would say it, more or less.
    #[must_use]
    pub fn described(&self) -> String {
        let words: Vec<&str> = self.key.split(' ').collect();
        let [protocol, ports, to, source_ports, from, .., way] = words.as_slice() else {
            return format!("{} {}", self.action, self.key);
        };
        let end = |address: &str, ports: &str| {
            let address = if ["0.0.0.0/0", "::/0"].contains(&address) { "any" } else { address };
            let ports = if ports == "any" { String::new() } else { format!(" port {ports}") };
            format!("{address}{ports}")
        };
        let protocol = if *protocol == "any" { String::new() } else { format!(" proto {protocol}") };
        let way = way.replace('_', " on ");
        format!("{} {way}{protocol} from {} to {}", self.action, end(from, source_ports), end(to, ports))
    }
}

/// The rules in `user.rules` or `user6.rules`, in their order.
#[must_use]
pub fn entries(text: &str) -> Vec<Entry> {
    text.lines().filter_map(|line| line.strip_prefix("### tuple ###")).filter_map(entry).collect()
}

fn entry(line: &str) -> Option<Entry> {
    let (rule, comment) = line.split_once(" comment=").unwrap_or((line, ""));
    let mut words: Vec<String> = rule.split_whitespace().map(str::to_owned).collect();
    let action = if words.is_empty() { return None } else { words.remove(0) };
    if let Some(ports) = words.get_mut(1) {
        *ports = sorted(ports);
    }
    Some(Entry { key: words.join(" "), action, comment: decoded(comment.trim()).unwrap_or_default() })
}

/// Remarks stand there as hexadecimal digits.
fn decoded(text: &str) -> Option<String> {
    let digits: Vec<u8> =
        text.bytes().map(|c| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let bytes = digits.chunks(2).map(|pair| match *pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

/// How many rules each chain gets from a file in the form of iptables-save, apart from those that lead to another chain of ufw's.
#[must_use]
pub fn brought(text: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let chains = text.lines().filter(|line| !line.contains(" -j ufw")).filter_map(|line| {
        let rest = line.trim_start().strip_prefix("-A ").or_else(|| line.trim_start().strip_prefix("-I "))?;
        rest.split_whitespace().next()
    });
    for chain in chains {
        *counts.entry(chain.to_owned()).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(networks: &[&str], ports: &[(u16, u16)], leg: Leg) -> Opening {
        let network = |text: &&str| {
            let (address, length) = text.split_once('/').unwrap();
            Cidr::containing(address.parse().unwrap(), length.parse().unwrap()).unwrap()
        };
        Opening {
            name: "peers".to_owned(),
            about: "peers: epmd".to_owned(),
            leg,
            networks: networks.iter().map(network).collect(),
            ports: ports.iter().map(|&(a, b)| PortRange::new(a, b).unwrap()).collect(),
            interfaces: None,
        }
    }

    #[test]
    fn a_rule_for_each_source_joined_where_that_is_exact() {
        let of =
            |networks: &[&str]| rules(&[opening(networks, &[(4369, 4369), (8098, 8099)], Leg::In)], false).unwrap();
        let two = of(&["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"]);
        let shown: Vec<String> = two.iter().map(|one| one.to_add().join(" ")).collect();
        assert_eq!(
            shown,
            [
                "allow proto tcp from 10.0.0.1 to any port 4369,8098:8099 comment ringfence: peers",
                "allow proto tcp from 10.0.0.2/31 to any port 4369,8098:8099 comment ringfence: peers"
            ]
        );
        assert_eq!(of(&["::/0"]).len(), 2);
        let many: Vec<String> = (0..200).map(|n| format!("10.0.0.{n}/32")).step_by(2).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(rules(&[opening(&many, &[(80, 80)], Leg::In)], false), Err(TooMany("peers".to_owned(), 100)));
    }

    #[test]
    fn fifteen_ports_a_rule_and_a_range_is_two() {
        let ports: Vec<(u16, u16)> = (1..=9).map(|n| (n * 10, n * 10 + 1)).collect();
        let all = rules(&[opening(&["10.0.0.1/32"], &ports, Leg::Out)], true).unwrap();
        assert_eq!(all.iter().map(|one| one.ports.ranges().len()).collect::<Vec<_>>(), [7, 2]);
        assert!(rules(&[opening(&["10.0.0.1/32"], &ports, Leg::Out)], false).unwrap().is_empty());
    }

    #[test]
    fn what_is_ours_in_the_file_is_told_by_its_remark_and_comes_back_as_the_same_rule() {
        let text = "\n### tuple ### allow tcp 4369,8098:8099 0.0.0.0/0 any 10.0.0.2 in_eth0 comment=72696e6766656e63653a207065657273\n\
                    -A ufw-user-input -i eth0 -p tcp -m multiport --dports 4369,8098:8099 -s 10.0.0.2 -j ACCEPT\n\n\
                    ### tuple ### deny tcp 8098 0.0.0.0/0 any 10.0.0.3 in comment=72696e6766656e63653a207065657273\n\
                    ### tuple ### allow any 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - in\n";
        let all = entries(text);
        assert_eq!(all.iter().map(Entry::is_ours).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(all.iter().map(Entry::keeps_out).collect::<Vec<_>>(), [false, true, false]);
        let own = all[0].to_allow().unwrap();
        assert_eq!(own.key(), all[0].key);
        assert_eq!(
            own.to_delete().join(" "),
            "--force delete allow in on eth0 proto tcp from 10.0.0.2 to any port 4369,8098:8099"
        );
        assert_eq!(brought(text), BTreeMap::from([("ufw-user-input".to_owned(), 1)]));
        let other = own.stand_in();
        assert!(other.key() != own.key() && other.to_add().join(" ").contains("from 10.0.0.2 port 1:65535 to any"));
        let written = Entry { key: other.key(), ..all[0].clone() };
        assert_eq!(written.to_allow(), Some(other));
    }

    #[test]
    fn only_what_may_hit_ours_is_in_its_way() {
        let ours =
            rules(&[opening(&["10.0.0.2/31"], &[(4369, 4369), (8098, 8099)], Leg::In)], false).unwrap().remove(0);
        let out = rules(&[opening(&["10.0.0.2/31"], &[(8098, 8099)], Leg::Out)], true).unwrap().remove(0);
        let on = |name: &str| Allow { interface: Some(name.to_owned()), ..ours.clone() };
        for (rule, hits) in [
            ("deny any any 0.0.0.0/0 any 0.0.0.0/0 in", true),
            ("deny tcp 25 0.0.0.0/0 any 0.0.0.0/0 in", false),
            ("deny tcp 22,8000:9000 0.0.0.0/0 any 0.0.0.0/0 in", true),
            ("deny udp 8098 0.0.0.0/0 any 0.0.0.0/0 in", false),
            ("reject any 8099 0.0.0.0/0 any 10.0.0.3 in", true),
            ("reject any any 0.0.0.0/0 any 10.0.0.4 in", false),
            ("limit_log-all tcp 8098 0.0.0.0/0 any 10.0.0.0/8 in_eth0", true),
            ("deny any any 0.0.0.0/0 any 0.0.0.0/0 out", false),
            // By the name of a profile, or not understood.
            ("deny tcp 8098 0.0.0.0/0 any 0.0.0.0/0 Riak - in", true),
            ("deny tcp 25 0.0.0.0/0 any 0.0.0.0/0 Postfix - in", false),
            ("deny tcp riak 0.0.0.0/0 any 10.0.0.0/255.0.0.0 in", true),
            ("deny quic 8098 0.0.0.0/0 any 0.0.0.0/0 in", true),
            ("deny", true),
            ("allow any any 0.0.0.0/0 any 0.0.0.0/0 in", false),
            ("route:deny any any 0.0.0.0/0 any 0.0.0.0/0 in", false),
        ] {
            let entry = entry(rule).unwrap();
            assert_eq!(entry.may_hit(&ours), hits, "{rule}");
        }
        let deny = entry(" deny any any 0.0.0.0/0 any 10.0.0.2 in_eth1").unwrap();
        assert!(deny.may_hit(&ours) && deny.may_hit(&on("eth1")) && !deny.may_hit(&on("eth0")));
        assert_eq!(deny.described(), "deny in on eth1 from 10.0.0.2 to any");
        let deny = entry(" deny tcp 8098 10.0.0.3 any 0.0.0.0/0 out").unwrap();
        assert!(deny.may_hit(&out) && !deny.may_hit(&ours));
        assert_eq!(deny.described(), "deny out proto tcp from any to 10.0.0.3 port 8098");
    }
}
