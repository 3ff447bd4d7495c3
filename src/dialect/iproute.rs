//! What `ip rule`, `ip route show table all` and `ip addr` print (iproute2), one after the other in any order, for both families.
//!
//! Addresses come from `inet` lines and from routes of type `local`, routes from those of the table `main`. Other rules than the
//! three that every host has, and other tables than `main`, `local` and `default`, decide by more than the destination.
//!
//! INVARIANT (nothing is passed over): each line is one that `ip` prints, or a finding; and so is a command of which no line is
//! there. What is not known of a host must not be taken for what it does not have.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};
use crate::net::{Cidr, Interface, Refused, Surroundings, Turn, is_numbered};

const COMMANDS: &str = "the file is to hold what `ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; ip addr` print";
/// What else `ip route` writes in front of a destination.
const NO_WAY: [&str; 7] = ["broadcast", "multicast", "anycast", "unreachable", "blackhole", "prohibit", "throw"];
/// Those by which nothing is sent.
const REFUSING: [&str; 4] = ["unreachable", "blackhole", "prohibit", "throw"];

/// A line.
enum Line {
    /// Of `ip rule`: whether it is the first of a list, whether it is one that every host has, and whether it lets nothing pass.
    Rule { first: bool, usual: bool, table: Option<Behind>, refuses: bool },
    /// Of `ip addr`: the address.
    Address(IpAddr),
    /// Of `ip route`: an address or a network of this host.
    Local { host: Option<IpAddr>, network: Option<Refused> },
    /// Of `ip route`: a way by an interface.
    Route(Cidr, Interface),
    /// Of `ip route`: nothing is sent there.
    Refused(Refused),
    /// Of `ip route`: something else than the destination decides.
    Special,
    /// The first line of an interface in `ip addr`.
    Link(Link),
    /// It says nothing about where the host stands.
    Nothing,
}

/// An interface.
struct Link {
    name: Option<Interface>,
    /// Whether it stands on no other one.
    alone: bool,
    /// Which it is part of.
    master: Option<Interface>,
    vrf: bool,
    /// Its group, where that is said by its number, or is that of all.
    group: Option<u32>,
}

/// A table that every host has a rule for, behind that for `local`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Main,
    Default,
}

/// Reads such a text. All of a host's addresses are known only where `ip addr` and the table `local` name the same ones, no route
/// takes another as its source, and none makes a whole network local.
#[must_use]
pub fn read(text: &str, file: FileId) -> (Surroundings, Vec<Diagnostic>) {
    let mut found = Surroundings::default();
    let mut findings = Findings::bounded();
    let (mut of_links, mut local, mut taken) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut lists, mut mains, mut defaults) = (0, 0, 0);
    let (mut networks, mut of_a_link) = (false, false);
    let (mut links, mut of_vrfs) = (Vec::new(), false);
    let mut numbered = Vec::new();
    let mut at = 0;
    for (raw, next) in text.lines().zip(text.lines().skip(1).chain([""])) {
        let (start, words): (usize, Vec<&str>) = (at, raw.split_whitespace().collect());
        at += raw.len() + text.get(at + raw.len()..).map_or(0, end_of_line);
        let indented = raw.starts_with([' ', '\t']);
        let Some(line) = line(&words, next.trim_start().starts_with("nexthop"), indented && of_a_link) else {
            let span = Span::new(file, start..start + raw.len());
            findings.push(not_of_ip(raw, span));
            continue;
        };
        taken.extend(words.windows(2).filter_map(|pair| if let ["src", own] = pair { host(own) } else { None }));
        of_a_link = matches!(line, Line::Link(_)) || indented && of_a_link;
        match line {
            Line::Rule { first, usual, table, refuses } => {
                lists += usize::from(first);
                mains += usize::from(table == Some(Behind::Main));
                defaults += usize::from(table == Some(Behind::Default));
                of_vrfs |= words.contains(&"[l3mdev-table]");
                found.by_policy |= !usual;
                found.rules_refuse |= refuses;
            }
            Line::Address(address) => {
                of_links.insert(address);
                // Below its interface, or behind its name on the same line.
                let name = words.get(1).filter(|_| words.first().is_some_and(|first| is_number(first)));
                let of = name.and_then(|name| interface(name.split('@').next()?));
                let of = of.or_else(|| links.last().and_then(|link: &Link| link.name.clone()));
                numbered.extend(of.map(|of| (of, address)));
            }
            Line::Local { host, network } => {
                networks |= network.is_some();
                found.refused.extend(network);
                local.extend(host);
            }
            Line::Route(to, by) => found.routes.push((to, by)),
            Line::Refused(refused) => found.refused.push(refused),
            Line::Special => found.by_policy = true,
            Line::Link(link) => links.push(link),
            Line::Nothing => {}
        }
    }
    stand(&mut found, &links);
    // `ip -o addr` names those alone that have an address.
    let by_route = found.routes.iter().map(|(_, by)| by).filter(|_| !numbered.is_empty());
    let names: BTreeSet<&Interface> = links.iter().filter_map(|link| link.name.as_ref()).chain(by_route).collect();
    let unnumbered = names.into_iter().flat_map(|name| unnumbered(name, &numbered)).collect();
    found.unnumbered = unnumbered;
    found.unnamed_vrfs = has_unnamed_vrfs(&links, of_vrfs);
    let six = of_links.iter().chain(&local).any(IpAddr::is_ipv6) || found.routes.iter().any(|(to, _)| !to.is_ipv4());
    // Something that is not what `ip` prints is not held against what is not in it, too.
    if findings.errors() == 0 {
        missing((lists, six), of_links.is_empty(), local.is_empty()).for_each(|one| findings.push(one));
    }
    // Without the rules it is not known whether there are others.
    found.by_policy |= lists == 0;
    // IPv6 has none for the table `default`.
    found.rules_refuse |= mains < lists || (lists > 0 && defaults == 0);
    let told = |all: &BTreeSet<IpAddr>| -> BTreeSet<IpAddr> {
        all.iter().filter(|own| !own.is_loopback() && !is_link_local(own)).copied().collect()
    };
    let all = told(&of_links);
    found.complete = !networks && !all.is_empty() && all == told(&local) && told(&taken).is_subset(&all);
    found.not_local = of_links.difference(&local).copied().collect();
    found.addresses = of_links.into_iter().chain(local).chain(taken).collect::<BTreeSet<_>>().into_iter().collect();
    let mut all = Findings::default();
    all.append(findings);
    (found, all.sorted())
}

/// Whether there may be VRFs that the list does not name. It may be one in part: `ip -4 addr` leaves out who has no address of IPv4, and
/// another command all but one.
fn has_unnamed_vrfs(links: &[Link], of_vrfs: bool) -> bool {
    let listed = |name: &Interface| links.iter().any(|own| own.name.as_ref() == Some(name));
    let masters = links.iter().filter_map(|own| own.master.as_ref());
    // Those that cannot be named may be masters, too.
    masters.clone().any(|master| !listed(master)) || (of_vrfs && !links.iter().any(|own| own.vrf))
}

/// The families of which an interface has no address.
fn unnumbered(name: &Interface, all: &[(Interface, IpAddr)]) -> Vec<(Interface, bool)> {
    let has = |ipv4: bool| all.iter().any(|(own, address)| own == name && is_numbered(address, ipv4));
    let missing = [true, false].into_iter().filter(|ipv4| *name != Interface::loopback() && !has(*ipv4));
    missing.map(|ipv4| (name.clone(), ipv4)).collect()
}

/// Which interfaces stand on no others, and which are VRFs or part of one.
fn stand(found: &mut Surroundings, links: &[Link]) {
    let masters: Vec<&Interface> = links.iter().filter_map(|own| own.master.as_ref()).collect();
    let vrfs: Vec<&Interface> = links.iter().filter(|own| own.vrf).filter_map(|own| own.name.as_ref()).collect();
    let of = |own: &Link| Some((own.name.clone(), own.group?));
    let groups = links.iter().map(of).collect::<Option<Vec<_>>>().filter(|all| !all.is_empty());
    found.groups = groups.map(|all| all.into_iter().filter_map(|(name, group)| Some((name?, group))).collect());
    for Link { name, alone, master, .. } in links {
        let Some(name) = name else { continue };
        if *alone && !masters.contains(&name) {
            found.plain.push(name.clone());
        }
        if vrfs.contains(&name) || master.as_ref().is_some_and(|master| vrfs.contains(&master)) {
            found.vrfs.push(name.clone());
        }
    }
}

fn end_of_line(rest: &str) -> usize {
    if rest.starts_with("\r\n") { 2 } else { usize::from(!rest.is_empty()) }
}

/// What a line is: `None` where `ip` prints no such line. Several next hops of a route stand behind it, each in a line of its own.
fn line(words: &[&str], hops_follow: bool, of_a_link: bool) -> Option<Line> {
    Some(match words {
        [] => Line::Nothing,
        [number, "from" | "not", ..] if is_number(number) => {
            let usual = |table: &&str| ["local", "main", "default"].contains(table);
            let usual = matches!(words, [_, "from", "all", "lookup", table] if usual(table));
            let refuses = words
                .iter()
                .any(|word| ["blackhole", "unreachable", "prohibit", "goto", "nop", "suppress_ifgroup"].contains(word))
                || after(words, "suppress_prefixlength").is_some_and(|length| length != "0");
            let first = *number == "0:" && after(words, "lookup") == Some("local");
            let table = match words {
                [_, "from", "all", "lookup", "main"] => Some(Behind::Main),
                [_, "from", "all", "lookup", "default"] => Some(Behind::Default),
                _ => None,
            };
            Line::Rule { first, usual, table, refuses }
        }
        [number, name, flags, rest @ ..] if is_number(number) && flags.starts_with('<') => link(name, flags, rest),
        ["inet" | "inet6", address, ..] => Line::Address(host(address)?),
        // On one line, as `ip -o addr` prints them.
        [number, _, "inet" | "inet6", address, ..] if is_number(number) => Line::Address(host(address)?),
        ["local", address, rest @ ..] if rest.contains(&"dev") => {
            let to = destination(address, rest)?;
            let turn = turn(rest);
            let host = (to.is_host() && turn == Turn::First).then(|| to.first());
            let network = (host.is_none() && !to.first().is_loopback()).then_some(Refused { to, turn, in_part: false });
            Line::Local { host, network }
        }
        [kind, to, rest @ ..] if NO_WAY.contains(kind) => {
            let (to, in_part) = (destination(to, rest)?, REFUSING.contains(kind));
            // IPv6 has such a route for where there is none.
            if in_part && to.prefix_length() == 0 && after(rest, "metric") == Some("4294967295") {
                return Some(Line::Nothing);
            }
            Line::Refused(Refused { to, turn: turn(rest), in_part })
        }
        ["nexthop", "via" | "dev", ..] => Line::Special,
        ["valid_lft" | "altname" | "alias", _, ..] => Line::Nothing,
        [kind, ..] if kind.starts_with("link/") || kind.starts_with("prog/") => Line::Nothing,
        // Whatever else stands below an interface says nothing about where the host stands.
        _ if of_a_link => Line::Nothing,
        ["unicast", to, rest @ ..] | [to, rest @ ..] => route(to, rest, hops_follow)?,
    })
}

/// `2: eth0.7@eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 … master br0 …`. Behind `@` stands what it stands on, or the other end of
/// a cable; with `if` in front, where that is in another namespace.
fn link(name: &str, flags: &str, rest: &[&str]) -> Line {
    let (name, below) = name.trim_end_matches(':').split_once('@').unwrap_or((name.trim_end_matches(':'), "NONE"));
    let elsewhere = below.strip_prefix("if").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let has = |flag: &str| flags.trim_matches(['<', '>']).split(',').any(|own| own == flag);
    Line::Link(Link {
        name: interface(name),
        alone: elsewhere || below == "NONE",
        master: after(rest, "master").and_then(interface),
        // Bonds have ARP, and bridges are no masters by their flags.
        vrf: has("MASTER") && has("NOARP"),
        group: match after(rest, "group") {
            Some("default") => Some(0),
            // Names are this host's own (/etc/iproute2/group).
            other => other.and_then(|number| number.parse().ok()),
        },
    })
}

fn interface(name: &str) -> Option<Interface> {
    if name == "lo" { Some(Interface::loopback()) } else { name.parse().ok() }
}

/// When the table of a route is asked, which is `main` where none is said.
fn turn(words: &[&str]) -> Turn {
    match after(words, "table") {
        None | Some("main") => Turn::Main,
        Some("local") => Turn::First,
        Some(_) => Turn::ByRule,
    }
}

fn is_number(text: &str) -> bool {
    text.strip_suffix(':').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn not_of_ip(raw: &str, span: Span) -> Diagnostic {
    let finding =
        Diagnostic::new(Code::RoutesSyntax, span, "this is no line that `ip rule`, `ip route` or `ip addr` print");
    finding.help(match raw.trim_start().chars().next() {
        Some('[' | '{') => format!("leave out `-j`: {COMMANDS}"),
        _ if raw.contains(" UP ") || raw.contains(" UNKNOWN ") || raw.contains(" DOWN ") => {
            format!("leave out `-br`: {COMMANDS}")
        }
        _ => format!("take it out: {COMMANDS}"),
    })
}

/// The commands of which there is no line.
fn missing((lists, six): (usize, bool), no_address: bool, no_local: bool) -> impl Iterator<Item = Diagnostic> {
    let rules = match (lists, six) {
        (0, _) => Some("there are no rules, as `ip rule` and `ip -6 rule` print them"),
        (1, true) => Some("there are the rules of one family, and routes or addresses of both"),
        _ => None,
    };
    let addresses = no_address.then_some("there are no addresses, as `ip addr` prints them");
    let local = no_local.then_some("there is nothing of the table local, as `ip route show table all` prints it");
    [rules, local, addresses].into_iter().flatten().map(|message| {
        Diagnostic::placeless(Code::MissingRoutes, message)
            .help(format!("without it answers would be wrong: {COMMANDS}"))
    })
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

fn after<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)).copied()
}

fn destination(to: &str, words: &[&str]) -> Option<Cidr> {
    let to = match (to, after(words, "via")) {
        ("default", Some(via)) if via.contains(':') => "::/0",
        // `ip -6 route` prints a metric, `ip route` a metric only where one was given.
        ("default", None) if words.contains(&"pref") => "::/0",
        ("default", _) => "0.0.0.0/0",
        (to, _) => to,
    };
    if to.contains('/') { to.parse().ok() } else { Some(Cidr::host(to.parse::<IpAddr>().ok()?)) }
}

fn route(to: &str, words: &[&str], hops_follow: bool) -> Option<Line> {
    let to = destination(to, words)?;
    let several = hops_follow || words.contains(&"nexthop");
    let device = after(words, "dev");
    if device.is_none() && !several {
        return None;
    }
    // Rules decide whether another table is looked at. Every host has one that looks into `default` behind `main`.
    match after(words, "table") {
        _ if to.first().is_multicast() => return Some(Line::Nothing),
        None | Some("main") => {}
        Some("default") => return Some(Line::Special),
        Some(_) => return Some(Line::Nothing),
    }
    // By several next hops, by the source, or by a name that no rule can have.
    Some(match device {
        Some("lo") if to.first().is_loopback() => Line::Nothing,
        Some("lo") => Line::Refused(Refused { to, turn: Turn::Main, in_part: true }),
        Some(device) if !several && !["from", "tos", "dead"].iter().any(|word| words.contains(word)) => {
            device.parse().map_or(Line::Special, |interface| Line::Route(to, interface))
        }
        _ => Line::Special,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Surroundings {
        super::read(text, FileId::CLUSTER).0
    }

    fn messages(text: &str) -> Vec<String> {
        let (_, findings) = super::read(text, FileId::CLUSTER);
        findings.iter().map(|one| format!("{} {}", one.code, one.message)).collect()
    }

    /// A list in part: `ip -4 addr` has no VRF that has no address of IPv4.
    #[test]
    fn a_vrf_that_is_not_listed_is_there_all_the_same() {
        let eth1 = "3: eth1: <BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue master vrf0 state UP group default\n";
        let vrf0 = "4: vrf0: <NOARP,MASTER,UP> mtu 65575 qdisc noqueue state UP group default\n";
        let eth0 = "2: eth0: <BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state UP group default\n";
        let by_rule = "1000:\tfrom all lookup [l3mdev-table]\n";
        for (text, unnamed, vrfs) in [
            (eth0.to_owned(), false, 0),
            (format!("{eth0}{eth1}"), true, 0),
            (format!("{eth0}{eth1}{vrf0}"), false, 2),
            (format!("{by_rule}{eth0}"), true, 0),
            (by_rule.to_owned(), true, 0),
            (format!("{by_rule}{eth0}{eth1}{vrf0}"), false, 2),
            (format!("{eth1}{}{vrf0}", eth1.replace("eth1", "eth2").replace("vrf0", "vrf1")), true, 2),
        ] {
            let found = read(&text);
            assert_eq!((found.unnamed_vrfs, found.vrfs.len()), (unnamed, vrfs), "{text}");
        }
    }

    #[test]
    fn what_lets_nothing_pass_is_taken_up() {
        let text = format!(
            "{RULES}32000:\tfrom all fwmark 0x7 prohibit\nblackhole 10.20.0.12 \nthrow 10.9.0.0/16 table 7\n\
            unreachable default dev lo metric 4294967295 error -101 pref medium\n"
        );
        let found = read(&text);
        let refused: Vec<String> = found.refused.iter().map(|own| format!("{} {:?}", own.to, own.turn)).collect();
        assert_eq!((refused.join(", ").as_str(), found.rules_refuse), ("10.20.0.12 Main, 10.9.0.0/16 ByRule", true));
        assert!(!read(RULES).rules_refuse);
        for rules in [
            RULES.replace("32766:\tfrom all lookup main\n", ""),
            RULES.replace("main\n", "main suppress_prefixlength 24\n"),
        ] {
            assert!(read(&rules).rules_refuse, "{rules}");
        }
        // As for WireGuard: another rule has the default route.
        let guarded = format!("{RULES}32764:\tfrom all lookup main suppress_prefixlength 0\n");
        assert!(!read(&guarded).rules_refuse && read(&guarded).by_policy);
        for (line, turn) in [
            ("local 10.20.0.0/24 dev lo table local proto kernel scope host\n", "First"),
            ("local 10.20.0.12 dev lo scope host\n", "Main"),
            ("local 10.20.0.12 dev lo table 77 scope host\n", "ByRule"),
            ("broadcast 10.20.0.12 dev eth1\n", "Main"),
            ("10.20.0.12 dev lo scope link\n", "Main"),
        ] {
            let refused = read(&format!("{RULES}{line}")).refused;
            assert_eq!(refused.iter().map(|own| format!("{:?}", own.turn)).collect::<String>(), turn, "{line}");
        }
    }

    const RULES: &str = "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n";
    const ADDRESS: &str = "2: eth1@if3: <BROADCAST,MULTICAST,UP> mtu 1500\n    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff\n\
        \x20   altname enp1s0\n    inet 10.20.0.11/24 scope global eth1\n       valid_lft forever preferred_lft forever\n\
        \x20   vf 0     link/ether 02:00:00:00:00:02 brd ff:ff:ff:ff:ff:ff\n";
    const LOCAL: &str = "local 10.20.0.11 dev eth1 table local proto kernel scope host src 10.20.0.11\n";

    /// Whatever is passed over would be taken for what the host does not have.
    #[test]
    fn what_ip_does_not_print_is_a_finding() {
        let good = format!("{RULES}10.20.0.0/24 dev eth1\n{LOCAL}{ADDRESS}");
        assert_eq!(messages(&good), [""; 0]);
        assert_eq!(messages(&good.replace('\n', "\r\n")), [""; 0]);
        for line in [
            "a text",
            "10.0.0.0/8",
            "[{\"ifindex\":1}]",
            "lo UNKNOWN 127.0.0.1/8",
            "local here",
            "inet x",
            "default",
            "broadcast",
            "broadcast x dev eth0",
            "10.0.0.300/24 dev eth0",
            "7:",
            "x: from all lookup main",
            "Error: ipv4: FIB table does not exist.",
        ] {
            let (_, findings) = super::read(&format!("{good}{line}\n{line}\n"), FileId::CLUSTER);
            assert_eq!(findings.len(), 2, "{line}: {findings:?}");
            let span = findings[0].labels[0].span;
            assert_eq!(findings[0].code, Code::RoutesSyntax);
            assert_eq!((span.start as usize, span.end as usize), (good.len(), good.len() + line.len()));
        }
    }

    #[test]
    fn what_is_missing_is_a_finding() {
        let all = |text: &str| messages(text).iter().map(|one| one.starts_with("missing-routes ")).collect::<Vec<_>>();
        assert_eq!(all(""), [true; 3]);
        assert_eq!(all("10.20.0.0/24 dev eth1\n"), [true; 3]);
        assert_eq!(all(&format!("{RULES}{ADDRESS}")), [true]);
        assert_eq!(all(&format!("{RULES}{LOCAL}")), [true]);
        assert_eq!(all(&format!("{LOCAL}{ADDRESS}")), [true]);
        let six = "2001:db8:1::/64 dev eth0 proto kernel metric 256 pref medium\n";
        assert_eq!(all(&format!("{RULES}{LOCAL}{ADDRESS}{six}")), [true]);
        assert_eq!(all(&format!("{RULES}{RULES}{LOCAL}{ADDRESS}{six}")), [true; 0]);
    }

    /// Which way is taken then is not known by the destination alone.
    #[test]
    fn what_decides_by_more_than_the_destination() {
        let good = format!("{RULES}10.20.0.0/24 dev eth1\n{LOCAL}{ADDRESS}");
        assert!(!read(&good).by_policy);
        for lines in [
            "32765:\tnot from all fwmark 0xca6c lookup 51820",
            "default proto static metric 100\n\tnexthop via 10.20.0.1 dev eth1 weight 1\n\tnexthop via 10.20.0.2 dev eth2 weight 1",
            "default proto static metric 100 \\\tnexthop via 10.20.0.1 dev eth1 weight 1\\\tnexthop via 10.20.0.2 dev eth2 weight 1",
            "default from 2001:db8::/64 via fe80::1 dev eth0 metric 1024 pref medium",
            "10.9.0.0/24 dev eth!0 scope link",
        ] {
            let text = format!("{RULES}{good}{lines}\n");
            assert!(messages(&text).is_empty() && read(&text).by_policy, "{lines} {:?}", messages(&text));
        }
        assert!(!read(&format!("{good}10.9.0.0/24 dev eth2 table 7\nblackhole 10.8.0.0/16\n")).by_policy);
    }

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

    #[test]
    fn interfaces_without_an_address_are_known() {
        let shown = |text: &str| {
            let all = read(text).unnumbered;
            let one = |(name, ipv4): &(Interface, bool)| format!("{} {}", name.as_str(), if *ipv4 { 4 } else { 6 });
            all.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let links = "1: lo: <LOOPBACK,UP> mtu 65536\n    inet 127.0.0.1/8 scope host lo\n    inet 10.20.0.11/32 scope global lo\n\
                     2: eth0: <UP> mtu 1500\n    inet 198.51.100.1/24 scope global eth0\n    inet6 2001:db8::1/64 scope global\n\
                     3: eth1: <UP> mtu 1500\n    inet6 fe80::1/64 scope link\n4: eth2: <UP> mtu 1500\n    inet 127.5.5.5/8 scope host eth2\n";
        assert_eq!(shown(links), "eth1 4, eth1 6, eth2 4, eth2 6");
        let alone = "10.20.0.0/24 dev eth1 scope link\n2: eth0    inet 198.51.100.1/24 scope global eth0\n\
                     2: eth0    inet6 2001:db8::1/64 scope global\n";
        assert_eq!(shown(alone), "eth1 4, eth1 6");
        // Without any address nothing is known of them.
        assert_eq!(shown("10.20.0.0/24 dev eth1 scope link\n"), "");
    }
}
