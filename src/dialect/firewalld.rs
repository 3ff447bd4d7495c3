//! firewalld: a policy and ipsets of our own, as files and as rules of the kernel.
//!
//! - The policy goes from any zone to this host and decides on nothing but what it accepts. Its priority is the last that there is:
//!   it stands behind the rules of every zone and of every other policy, and before the zone's own end, be that a reject or a
//!   drop. So whoever is denied by a rule of the admin stays denied.
//! - A policy has no place for an interface, so an opening for some interfaces is one for all here; the guard looks at them.
//! - What goes out is firewalld's to stop only where a policy of the admin says so, and then that policy comes first.
//!
//! INVARIANT (not ours of ipset): with firewalld's iptables back end its ipsets are sets of the kernel. Their names are none that
//! [`ours::is_set`](crate::ir::ours::is_set) takes for the guard's.

mod bans;
pub mod direct;
mod in_force;

use std::fmt;

pub use self::bans::Bans;
pub(super) use self::bans::networks;
pub use self::in_force::{InForce, MAIN_OF_IPTABLES};
use sha2::{Digest, Sha256};

use crate::ir::{Elements, Leg, Opening};
use crate::net::{Cidr, PortRange};

/// The name of the policy.
pub const POLICY: &str = "ringfence";
/// What the names of the ipsets begin with.
pub const SET: &str = "open-ringfence-";
/// What stands in every file of ours, also after firewalld has written it anew, and then drops remarks.
pub const MARK: &str = "Made by ringfence, do not edit";

/// ipset takes names of up to 31 bytes.
const LONGEST_NAME: usize = 31;
/// How many hexadecimal digits of a digest stand in for the rest of a name.
const DIGEST: usize = 8;
/// How many a set may get.
const LEAST_ROOM: usize = 1 << 20;

/// A set of sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpSet {
    /// Its name.
    pub name: String,
    /// For whom.
    pub about: String,
    /// Networks of one family, sorted and disjoint; none that has the prefix 0, which ipset does not know.
    pub networks: Vec<Cidr>,
}

/// A rich rule: TCP from a set to a port or range is accepted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RichRule {
    /// The set's name.
    pub set: String,
    /// The ports.
    pub ports: PortRange,
}

impl RichRule {
    fn family(&self) -> &'static str {
        if self.set.ends_with('4') { "ipv4" } else { "ipv6" }
    }

    fn ports(&self) -> String {
        self.ports.to_string()
    }
}

/// As `firewall-cmd` takes and prints it.
impl fmt::Display for RichRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, set, ports) = (self.family(), &self.set, self.ports());
        write!(f, "rule family=\"{family}\" source ipset=\"{set}\" port port=\"{ports}\" protocol=\"tcp\" accept")
    }
}

/// What firewalld is to have of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The sets, by name.
    pub sets: Vec<IpSet>,
    /// The rules, in their order.
    pub rules: Vec<RichRule>,
}

impl Wanted {
    /// What lets these openings through.
    #[must_use]
    pub fn of(openings: &[Opening]) -> Self {
        let mut wanted = Self::default();
        for opening in openings.iter().filter(|one| one.leg == Leg::In && !one.networks.is_empty()) {
            let name = set_name(&opening.name, opening.is_ipv4());
            let halved = |network: &Cidr| match network.prefix_length() {
                0 => network.halves().to_vec(),
                _ => vec![*network],
            };
            let networks = opening.networks.iter().flat_map(halved).collect();
            wanted.rules.extend(opening.ports.ranges().iter().map(|&ports| RichRule { set: name.clone(), ports }));
            wanted.sets.push(IpSet { name, about: opening.about.clone(), networks });
        }
        wanted.sets.sort_by(|a, b| a.name.cmp(&b.name));
        wanted
    }

    /// The files, by their names below `/etc/firewalld`; none where nothing is to be let through.
    #[must_use]
    pub fn files(&self) -> Vec<(String, String)> {
        let mut files: Vec<(String, String)> =
            self.sets.iter().map(|set| (format!("ipsets/{}.xml", set.name), set.file())).collect();
        if !self.rules.is_empty() {
            files.push((format!("policies/{POLICY}.xml"), self.policy()));
        }
        files
    }

    fn policy(&self) -> String {
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
             <!-- {MARK}: change the cluster file and apply. -->\n\
             <policy target=\"CONTINUE\" priority=\"{LAST}\">\n  \
             <short>{POLICY}</short>\n  \
             <description>{MARK}: lets those whom ringfence admits reach their services.</description>\n  \
             <ingress-zone name=\"ANY\"/>\n  \
             <egress-zone name=\"HOST\"/>\n"
        );
        for rule in &self.rules {
            let (family, set, ports) = (rule.family(), &rule.set, rule.ports());
            text.push_str(&format!(
                "  <rule family=\"{family}\">\n    <source ipset=\"{set}\"/>\n    \
                 <port port=\"{ports}\" protocol=\"tcp\"/>\n    <accept/>\n  </rule>\n"
            ));
        }
        text.push_str("</policy>\n");
        text
    }
}

/// The highest priority that firewalld takes: behind everybody else.
const LAST: i16 = i16::MAX;

impl IpSet {
    fn file(&self) -> String {
        let family = if self.name.ends_with('4') { "inet" } else { "inet6" };
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
             <!-- {MARK}: change the cluster file and apply. -->\n\
             <ipset type=\"hash:net\">\n  \
             <short>{}</short>\n  \
             <description>{MARK}: {}.</description>\n  \
             <option name=\"family\" value=\"{family}\"/>\n",
            self.name,
            escaped(&self.about)
        );
        // Some kernels count both ends of every network. It costs nothing, and a set that is there gets no other room.
        let room = LEAST_ROOM.max((self.networks.len() * 2 + 2).next_power_of_two());
        text.push_str(&format!("  <option name=\"maxelem\" value=\"{room}\"/>\n"));
        for network in &self.networks {
            text.push_str(&format!("  <entry>{network}</entry>\n"));
        }
        text.push_str("</ipset>\n");
        text
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A name that ipset takes. Of one that is too long, the end is a digest of the whole.
fn set_name(name: &str, is_ipv4: bool) -> String {
    let family = if is_ipv4 { '4' } else { '6' };
    let room = LONGEST_NAME - SET.len() - 1;
    if name.len() <= room {
        return format!("{SET}{name}{family}");
    }
    let digest: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
    let short: String = name.chars().take(room - DIGEST).collect();
    let digest: String = digest.chars().take(DIGEST).collect();
    format!("{SET}{short}{digest}{family}")
}

/// Neighbouring ranges joined: how the kernel cuts them is its own affair.
pub(super) fn merged(elements: &Elements) -> Vec<(u128, u128)> {
    let list: Vec<(u128, u128)> = match elements {
        Elements::Ipv4(list) => list.iter().map(|&(a, b)| (a.into(), b.into())).collect(),
        Elements::Ipv6(list) => list.clone(),
        Elements::Ports(_) | Elements::Endpoints(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown => {
            Vec::new()
        }
    };
    let mut joined: Vec<(u128, u128)> = Vec::with_capacity(list.len());
    for (first, last) in list {
        match joined.last_mut() {
            Some(before) if before.1.checked_add(1) == Some(first) => before.1 = last,
            _ => joined.push((first, last)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::ours::is_set;
    use crate::net::{Ports, parse_address};

    fn opening(name: &str, networks: &[&str], ports: &[(u16, u16)]) -> Opening {
        let network = |text: &&str| {
            let (address, length) = text.split_once('/').unwrap();
            Cidr::containing(parse_address(address).unwrap(), length.parse().unwrap()).unwrap()
        };
        Opening {
            name: name.to_owned(),
            about: "peers: epmd & <http>".to_owned(),
            leg: Leg::In,
            networks: networks.iter().map(network).collect(),
            ports: ports.iter().map(|&(a, b)| PortRange::new(a, b).unwrap()).collect::<Ports>(),
            interfaces: None,
        }
    }

    #[test]
    fn a_set_for_each_opening_and_a_rule_for_each_range() {
        let peers = opening("peers", &["10.0.0.2/32", "10.0.1.0/24"], &[(4369, 4369), (8098, 8099)]);
        let files = Wanted::of(std::slice::from_ref(&peers)).files();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["ipsets/open-ringfence-peers4.xml", "policies/ringfence.xml"]);
        let set = &files[0].1;
        assert!(set.contains("peers: epmd &amp; &lt;http&gt;."), "{set}");
        assert!(set.ends_with("  <entry>10.0.0.2</entry>\n  <entry>10.0.1.0/24</entry>\n</ipset>\n"), "{set}");
        let policy = &files[1].1;
        assert_eq!(policy.matches("<source ipset=\"open-ringfence-peers4\"/>").count(), 2);
        assert!(policy.contains("<port port=\"8098-8099\" protocol=\"tcp\"/>"), "{policy}");
        assert!(files.iter().all(|(_, text)| text.matches(MARK).count() == 2), "a remark, and what firewalld keeps");
        let out = Opening { leg: Leg::Out, ..peers };
        assert!(Wanted::of(&[out]).files().is_empty());
    }

    #[test]
    fn everybody_is_two_halves_and_many_get_room() {
        let all = Wanted::of(&[opening("all", &["0.0.0.0/0"], &[(80, 80)])]);
        let networks: Vec<String> = all.sets[0].networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["0.0.0.0/1", "128.0.0.0/1"]);
        let mut many = all.sets[0].clone();
        many.networks = (0..40_000).map(|n: u32| Cidr::host(std::net::Ipv4Addr::from_bits(n * 2).into())).collect();
        assert!(many.file().contains("<option name=\"maxelem\" value=\"1048576\"/>"));
    }

    #[test]
    fn names_fit_and_are_not_those_of_the_guard() {
        let long = "prometheus-clients-eth0-eth1-eth2";
        let names = [set_name("http-clients", true), set_name(long, true), set_name(&format!("{long}3"), true)];
        assert_eq!(names[0], "open-ringfence-http-clients4");
        assert!(
            names[1] != names[2] && names.iter().all(|name| name.len() <= LONGEST_NAME && !is_set(name)),
            "{names:?}"
        );
    }
}
