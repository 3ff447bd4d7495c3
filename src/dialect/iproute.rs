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
mod tests;
