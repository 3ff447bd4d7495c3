//! The claims on compiled rulesets: proved on whole ones, violated on every broken one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use ringfence::cluster::{self, Cluster, Site};
use ringfence::compile::{self, SetsMode};
use ringfence::diff::difference_on_host;
use ringfence::ir::{
    Addresses, Base, Elements, Family, Hook, Match, Policy, PortBlock, PortMatch, Rule, Ruleset, TcpFlags, Verdict,
};
use ringfence::net::{Elsewhere, PortRange, Ports};
use ringfence::prove::{self, Text};
use ringfence::verify::{Claim, Families, Finding, Held, Report, check, matrix, proves_alike};

/// The cluster file of a case, or its folder of several.
fn config(case: &Path) -> PathBuf {
    let folder = case.join("clusters.d");
    if folder.is_dir() { folder } else { case.join("cluster.toml") }
}

/// Every golden case of good input, with the node that its arguments name.
fn cases() -> Vec<(String, Cluster, Option<String>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.join("out").is_dir());
    paths.sort();
    let case = |path: PathBuf| {
        let args = fs::read_to_string(path.join("args")).unwrap_or_default();
        let node = args.split_once("--node ").map(|(_, node)| node.trim().to_owned());
        let cluster = cluster::load(&config(&path)).unwrap().cluster.unwrap();
        (path.file_name().unwrap().to_string_lossy().into_owned(), cluster, node)
    };
    paths.into_iter().map(case).collect()
}

fn site<'a>(cluster: &'a Cluster, node: Option<&str>) -> Site<'a> {
    match node {
        Some(name) => Site::of_node(cluster, cluster.node(name).unwrap()),
        None => Site::of_every_node(cluster),
    }
}

/// The same on a host that translates, too.
fn translating<'a>(site: Site<'a>) -> Site<'a> {
    with_elsewhere(site).translating(true)
}

/// The same site on a host that answers for more than its table `local` holds.
fn with_elsewhere<'a>(site: Site<'a>) -> Site<'a> {
    let destination = |name: &str, network: &str| (name.parse().ok(), network.parse().unwrap());
    site.answering_for(Elsewhere::new([
        destination("", "10.20.7.0/24"),
        destination("eth1", "10.20.0.11"),
        destination("eth1", "fd20:7::/64"),
        destination("vrf-blue", "10.20.0.11"),
        destination("vrf-blue", "10.99.0.1"),
    ]))
}

/// A proof holds for another node only where the file says the same of both and no rule tells destinations apart.
#[test]
fn a_proof_is_shared_only_where_nothing_tells_the_nodes_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.toml");
    let nodes = [("one", ""), ("two", ""), ("ports", "services.http.ports = 18098"), ("on", "interfaces = [\"eth1\"]")];
    let nodes = nodes.iter().enumerate().map(|(at, (name, more))| {
        format!("[[node]]\nname = \"riak@{name}\"\naddresses = [\"10.20.0.{}\"]\n{more}\n", at + 1)
    });
    let start = "[cluster]\nname = \"c\"\n[networks]\nprivate = [\"10.20.0.0/16\"]\n[services.distribution]\nports = \"6000-6009\"\n";
    fs::write(&path, start.to_owned() + &nodes.collect::<String>()).unwrap();
    let cluster = cluster::load(&path).unwrap().cluster.unwrap();
    let of = |name: &str| Site::of_node(&cluster, cluster.node(&format!("riak@{name}")).unwrap());
    let rules = compile::nft(&of("one"));
    assert!(proves_alike(&rules, &of("one"), &of("two")));
    let made = [prove::nft(&of("one")).unwrap(), prove::iptables(&of("one"), SetsMode::Always).unwrap()];
    let alone = [prove::nft(&of("two")).unwrap(), prove::iptables(&of("two"), SetsMode::Always).unwrap()];
    for (at, text) in [(0, Text::Nft), (1, Text::Iptables), (1, Text::Ip6tables), (1, Text::Ipset)] {
        let shared = made[at].text_for(text, &of("one"), &of("two"));
        assert!(shared.is_some() && shared.as_deref() == alone[at].text(text), "{text:?}");
        assert_eq!(made[at].text_for(text, &of("one"), &of("ports")), None, "{text:?}");
    }
    for (one, other) in [("one", "ports"), ("one", "on"), ("on", "two")] {
        assert!(!proves_alike(&rules, &of(one), &of(other)), "{one}, {other}");
    }
    assert!(!proves_alike(&rules, &of("one"), &Site::of_every_node(&cluster).translating(true)));
    let elsewhere = with_elsewhere(of("one"));
    assert!(!proves_alike(&rules, &of("one"), &elsewhere));
    // The same sites, and rules that drop what is for the one: proved of nobody else.
    let mut drops = rules.clone();
    let addresses = Addresses::network("10.20.0.1".parse().unwrap());
    let matches = vec![Match::Destination { addresses, negated: true }];
    drops.tables[0].chains[0].rules.insert(0, Rule { matches, verdict: Some(Verdict::Drop), ..Rule::default() });
    assert!(!proves_alike(&drops, &of("one"), &of("two")));
    let mut unread = rules;
    unread.unread.push("what nobody read".to_owned());
    assert!(!proves_alike(&unread, &of("one"), &of("two")));
}

fn assert_proved(name: &str, report: &Report) {
    for (claim, finding) in report.findings() {
        match finding {
            Finding::Proved => {}
            Finding::OnPurpose(_) if report.is_as_meant() && !report.is_proved() => {}
            Finding::Unjudged(part) => panic!("{name}: {}: because of {part}", claim.name()),
            Finding::Violated(witness) | Finding::OnPurpose(witness) | Finding::Undecided(witness) => {
                panic!("{name}: {}: {} at {:?}, wanted {}", claim.name(), witness.packet, witness.door, witness.wanted)
            }
        }
    }
}

#[test]
fn every_compiled_ruleset_is_proved() {
    for (name, cluster, node) in cases() {
        let site = site(&cluster, node.as_deref());
        for site in [site.clone(), with_elsewhere(site.clone()), translating(site)] {
            assert_proved(&name, &check(&compile::nft(&site), &site, Families::Both).unwrap());
            for mode in [SetsMode::Always, SetsMode::Never] {
                let ruleset = compile::iptables(&site, mode);
                assert_proved(&format!("{name}, iptables, {mode:?}"), &check(&ruleset, &site, Families::Both).unwrap());
            }
        }
    }
}

/// Rules that do not ask to which port a connection was made let it go on that was led elsewhere before they were there. Beside a text of
/// which a rule may lead a protected port elsewhere they are not proved, though it is not known that this host translates.
#[test]
fn rules_that_do_not_ask_for_the_first_port_are_not_proved_beside_a_text_that_leads_it_elsewhere() {
    let (_, cluster, _) = cases().into_iter().find(|(name, ..)| name == "mail-east").unwrap();
    let site = Site::of_every_node(&cluster);
    let nat = [
        ("tcp dport 80 redirect to :9000", true),
        ("udp dport 8098 redirect to :9000", true),
        ("tcp dport @web dnat to 10.20.0.9", true),
        ("tcp dport 8098 redirect to :9000", false),
        ("tcp dport { 80, 8099 } dnat to 10.20.0.9", false),
        ("tcp dport != 80 redirect to :9000", false),
        ("tcp dport @both redirect to :9000", false),
        ("ip daddr 10.20.0.1 dnat to 10.20.0.9", false),
        // A service's chain stands behind its port, a chain that nothing leads to behind none.
        ("tcp dport 443 jump service", true),
        ("tcp dport { 443, 8098 } jump service", false),
        ("iif lo jump service", true),
        ("accept", true),
        ("th dport 443 jump service", true),
        ("th dport 8098 jump service", false),
        // As kube-proxy has its services.
        ("ip daddr . meta l4proto . th dport vmap { 10.96.0.1 . tcp . 443 : goto service }", true),
        ("ip daddr . meta l4proto . th dport vmap { 10.20.0.1 . tcp . 8098 : goto service }", false),
    ];
    let makes: [fn(&Site<'_>) -> Ruleset; 2] = [compile::nft, |site| compile::iptables(site, SetsMode::Never)];
    for make in makes {
        let (compiled, deaf) = (make(&translating(site.clone())), make(&site));
        assert_ne!(compiled, deaf);
        for (rule, harmless) in nat {
            let text = format!(
                "table ip others {{\nset web {{ type inet_service; elements = {{ 80 }}; }}\nset both {{ type inet_service; elements = {{ 80, 8098 }}; }}\n\
                 chain service {{ meta l4proto tcp dnat to 10.20.0.9; }}\nchain out {{ type nat hook output priority -100; tcp dport 8098 dnat to 10.20.0.9; }}\n\
                 chain pre {{ type nat hook prerouting priority -100; {rule}; }}\n}}\n"
            );
            let others = ringfence::dialect::nft::read(&text).unwrap().ruleset;
            let beside = |own: &Ruleset| {
                let whole = edit(own, |ruleset| ruleset.tables.extend(others.tables.iter().cloned()));
                let report = check(&whole, &site, Families::Both).unwrap();
                report.findings().iter().find(|(claim, _)| *claim == Claim::Isolation).unwrap().1.clone()
            };
            assert_eq!(beside(&compiled), Finding::Proved, "{rule}");
            match beside(&deaf) {
                Finding::Proved | Finding::OnPurpose(_) => assert!(harmless, "{rule}"),
                Finding::Unjudged(why) => {
                    assert!(!harmless && why.contains("before these rules were there"), "{rule}: {why}")
                }
                other => panic!("{rule}: {other:?}"),
            }
        }
    }
}

/// Rules that only log are never proved to isolate, and rules that block are not what a file wants that only logs.
#[test]
fn what_only_logs_is_violated_on_purpose_and_what_blocks_is_a_difference() {
    let staged = cases().into_iter().find(|(name, ..)| name == "log-only").unwrap().1;
    let text = staged.sources().get(ringfence::diagnostic::FileId::CLUSTER).unwrap().text.replace("log-only", "drop");
    let blocking = cluster::parse("cluster.toml", text, Path::new("")).cluster.unwrap();
    let (quiet, loud) = (Site::of_every_node(&staged), Site::of_every_node(&blocking));
    let found = |report: &Report, wanted: Claim| {
        report.findings().iter().find(|(claim, _)| *claim == wanted).unwrap().1.clone()
    };
    for compiled in [|site: &Site<'_>| compile::nft(site), |site: &Site<'_>| compile::iptables(site, SetsMode::Auto)] {
        let (quiet_rules, loud_rules) = (compiled(&quiet), compiled(&loud));
        let report = check(&quiet_rules, &quiet, Families::Both).unwrap();
        assert!(report.is_as_meant() && report.is_staged() && !report.is_proved() && !report.is_violated());
        assert!(matches!(found(&report, Claim::Isolation), Finding::OnPurpose(_)));
        // The kernel blocks, and the file does not want it.
        let report = check(&loud_rules, &quiet, Families::Both).unwrap();
        assert!(report.is_violated() && !report.is_as_meant() && !report.is_staged());
        assert!(matches!(found(&report, Claim::NonInterference), Finding::Violated(_)));
        // The kernel does not block, and the file wants it.
        let report = check(&quiet_rules, &loud, Families::Both).unwrap();
        assert!(matches!(found(&report, Claim::Isolation), Finding::Violated(_)) && !report.is_as_meant());
        // What nobody counts is not on purpose.
        let report = check(&Ruleset::default(), &quiet, Families::Both).unwrap();
        assert!(matches!(found(&report, Claim::Isolation), Finding::Violated(_)) && !report.is_as_meant());
        // Nor where something is not understood.
        let unread = edit(&quiet_rules, |rules| rules.unread.push("an included file".to_owned()));
        let report = check(&unread, &quiet, Families::Both).unwrap();
        assert!(matches!(found(&report, Claim::Isolation), Finding::Violated(_)) && !report.is_as_meant());
    }
}

#[test]
fn an_empty_ruleset_isolates_nothing() {
    for (name, cluster, node) in cases() {
        let site = site(&cluster, node.as_deref());
        let report = check(&Ruleset::default(), &site, Families::Both).unwrap();
        assert!(report.is_violated(), "{name}");
    }
}

fn edit(ruleset: &Ruleset, mut change: impl FnMut(&mut Ruleset)) -> Ruleset {
    let mut broken = ruleset.clone();
    change(&mut broken);
    broken
}

/// Every ruleset that differs from a compiled one in one single way, with a name for the way.
fn mutations(ruleset: &Ruleset) -> Vec<(String, Ruleset)> {
    let mut all = Vec::new();
    for (t, table) in ruleset.tables.iter().enumerate() {
        for (c, chain) in table.chains.iter().enumerate() {
            let at = |what: &str| format!("{:?} {} {} {what}", table.family, table.name, chain.name);
            if let Some(base) = chain.base {
                for (name, priority) in [("late priority", 300), ("behind destination NAT", -99)] {
                    all.push((
                        at(name),
                        edit(ruleset, |r| {
                            r.tables[t].chains[c].base = Some(Base { priority, ..base });
                        }),
                    ));
                }
                let hook = if base.hook == Hook::Input { Hook::Forward } else { Hook::Output };
                all.push((
                    at("other hook"),
                    edit(ruleset, |r| r.tables[t].chains[c].base = Some(Base { hook, ..base })),
                ));
                if !base.shared {
                    let policy = Policy::Drop;
                    let drop = edit(ruleset, |r| r.tables[t].chains[c].base = Some(Base { policy, ..base }));
                    all.push((at("policy drop"), drop));
                }
            }
            // What somebody else drops in a chain that is shared is no mistake of ours.
            let shared = chain.base.is_some_and(|base| base.shared);
            let drop = (!shared).then_some(Verdict::Drop);
            for verdict in [Verdict::Accept, Verdict::Return].into_iter().chain(drop.clone()) {
                let first = Rule { verdict: Some(verdict.clone()), ..Rule::default() };
                all.push((
                    at(&format!("begins with {verdict:?}")),
                    edit(ruleset, |r| {
                        r.tables[t].chains[c].rules.insert(0, first.clone());
                    }),
                ));
            }
            for (n, rule) in chain.rules.iter().enumerate() {
                let at = |what: &str| at(&format!("rule {n} {what}"));
                all.push((at("removed"), edit(ruleset, |r| _ = r.tables[t].chains[c].rules.remove(n))));
                if n > 0 {
                    all.push((
                        at("swapped with the one before"),
                        edit(ruleset, |r| r.tables[t].chains[c].rules.swap(n, n - 1)),
                    ));
                }
                for verdict in [Verdict::Accept, Verdict::Return].into_iter().chain(drop.clone()) {
                    if rule.verdict.is_some() && rule.verdict.as_ref() != Some(&verdict) {
                        all.push((
                            at(&format!("becomes {verdict:?}")),
                            edit(ruleset, |r| {
                                r.tables[t].chains[c].rules[n].verdict = Some(verdict.clone());
                            }),
                        ));
                    }
                }
                for m in 0..rule.matches.len() {
                    let at = |what: &str| at(&format!("match {m} {what}"));
                    all.push((at("removed"), edit(ruleset, |r| _ = r.tables[t].chains[c].rules[n].matches.remove(m))));
                    for (what, other) in variations(&rule.matches[m]) {
                        all.push((
                            at(what),
                            edit(ruleset, |r| r.tables[t].chains[c].rules[n].matches[m] = other.clone()),
                        ));
                    }
                }
            }
        }
        for s in 0..table.sets.len() {
            for (what, elements) in element_variations(&table.sets[s].elements) {
                let name = format!("{:?} set {} {what}", table.family, table.sets[s].name);
                all.push((name, edit(ruleset, |r| r.tables[t].sets[s].elements = elements.clone())));
            }
        }
    }
    for s in 0..ruleset.sets.len() {
        for (what, elements) in element_variations(&ruleset.sets[s].elements) {
            let name = format!("ipset {} {what}", ruleset.sets[s].name);
            all.push((name, edit(ruleset, |r| r.sets[s].elements = elements.clone())));
        }
    }
    for family in [Family::Ip, Family::Ip6] {
        let forget = edit(ruleset, |r| r.tables.retain(|table| table.family != family));
        if forget.tables.len() < ruleset.tables.len() {
            all.push((format!("{family:?} forgotten"), forget));
        }
    }
    all
}

type List<T> = Vec<(T, T)>;

fn element_variations(elements: &Elements) -> Vec<(String, Elements)> {
    let mut all = Vec::new();
    match elements {
        Elements::Ipv4(list) => {
            for n in 0..list.len() {
                let edit = |change: &dyn Fn(&mut List<u32>)| {
                    let mut list = list.clone();
                    change(&mut list);
                    Elements::ipv4(list)
                };
                all.push((format!("element {n} dropped"), edit(&|list| _ = list.remove(n))));
                all.push((
                    format!("element {n} begins earlier"),
                    edit(&|list| list[n].0 = list[n].0.saturating_sub(1)),
                ));
                all.push((format!("element {n} ends later"), edit(&|list| list[n].1 = list[n].1.saturating_add(1))));
                all.push((
                    format!("element {n} widened to /8"),
                    edit(&|list| {
                        list[n] = (list[n].0 & 0xff00_0000, list[n].1 | 0x00ff_ffff);
                    }),
                ));
            }
        }
        Elements::Ipv6(list) => {
            for n in 0..list.len() {
                let edit = |change: &dyn Fn(&mut List<u128>)| {
                    let mut list = list.clone();
                    change(&mut list);
                    Elements::ipv6(list)
                };
                all.push((format!("element {n} dropped"), edit(&|list| _ = list.remove(n))));
                all.push((format!("element {n} ends later"), edit(&|list| list[n].1 = list[n].1.saturating_add(1))));
            }
        }
        Elements::Ports(list) => {
            // Some of a long list are as good as all.
            for n in (0..list.len()).filter(|n| *n < 3 || n + 3 > list.len()) {
                let mut without = list.clone();
                without.remove(n);
                all.push((format!("port {n} dropped"), Elements::Ports(without)));
                let mut shifted = list.clone();
                shifted[n] = PortRange::new(list[n].first() + 1, list[n].last() + 1).unwrap();
                let mut merged: Vec<PortRange> = shifted.into_iter().collect::<Ports>().ranges().to_vec();
                merged.dedup();
                all.push((format!("port {n} shifted"), Elements::Ports(merged)));
            }
        }
        Elements::Endpoints(_) | Elements::Dual(..) | Elements::Passing(_) | Elements::Unknown => {}
    }
    all
}

fn variations(one: &Match) -> Vec<(&'static str, Match)> {
    match one {
        Match::InInterface { names, negated } => {
            vec![("negated", Match::InInterface { names: names.clone(), negated: !negated })]
        }
        Match::Source { addresses, negated } => {
            let mut all = vec![("negated", Match::Source { addresses: addresses.clone(), negated: !negated })];
            if let Addresses::These(Elements::Ipv4(list)) = addresses {
                let wider = Elements::ipv4(list.iter().map(|(a, b)| (*a, b.saturating_add(1))).collect());
                all.push(("widened", Match::Source { addresses: Addresses::These(wider), negated: *negated }));
            }
            all
        }
        Match::DestinationPort { ports: PortMatch::Ports(ports), negated } => {
            let shifted =
                ports.ranges().iter().filter_map(|r| PortRange::new(r.first() + 1, r.last().saturating_add(1)));
            let shorter = ports.ranges().iter().filter_map(|r| PortRange::new(r.first(), r.last() - 1));
            let make = |ports: Ports| Match::DestinationPort { ports: PortMatch::Ports(ports), negated: *negated };
            vec![
                ("negated", Match::DestinationPort { ports: PortMatch::Ports(ports.clone()), negated: !negated }),
                ("shifted", make(shifted.collect())),
                ("shortened", make(shorter.collect())),
            ]
        }
        Match::PortBlock(block) => vec![
            ("narrower", Match::PortBlock(PortBlock { bits: (block.bits + 1).min(16), ..*block })),
            ("elsewhere", Match::PortBlock(PortBlock { first: block.first ^ 0x8000, ..*block })),
        ],
        Match::TcpFlags { mask, value } => vec![
            ("every flag looked at", Match::TcpFlags { mask: TcpFlags(0x17), value: *value }),
            ("other value", Match::TcpFlags { mask: *mask, value: *mask }),
        ],
        Match::Protocol { number, negated } => {
            vec![("negated", Match::Protocol { number: *number, negated: !negated })]
        }
        _ => Vec::new(),
    }
}

/// A mutant is caught if a claim is violated; if none is, its meaning must not have changed.
#[test]
fn every_single_mistake_is_caught_or_means_the_same() {
    let (mut caught, mut undecided, mut same) = (0, 0, 0);
    for (number, (name, cluster, node)) in cases().into_iter().enumerate() {
        let site = site(&cluster, node.as_deref());
        let site = match number % 4 {
            0 => with_elsewhere(site),
            1 if name.len() < 10 => site.translating(true),
            _ => site,
        };
        let mut rulesets = vec![compile::nft(&site), compile::iptables(&site, SetsMode::Always)];
        // Large ones only multiply the same mistakes.
        if name != "many-sources" {
            rulesets.push(compile::iptables(&site, SetsMode::Never));
        }
        for ruleset in rulesets {
            for (mutation, broken) in mutations(&ruleset) {
                let report = check(&broken, &site, Families::Both).unwrap();
                // Every seventh is enough to see that no cell says more than the report.
                if (caught + same) % 7 == 0 {
                    in_cells(&format!("{name}: {mutation}"), &broken, &site, &report);
                }
                if report.is_violated() {
                    caught += 1;
                    continue;
                }
                if !report.is_as_meant() {
                    // What a test for local addresses sees of a VRF depends on the kernel, and what another transport has in
                    // the place of a TCP flag on the packet; what connection tracking knows, on what it tracks.
                    let place = mutation.to_ascii_lowercase().replace('_', "-");
                    assert!(
                        ["to-this-host", "prerouting", "input rule 0", "mangle ringfence rule 0"]
                            .iter()
                            .any(|own| place.contains(own)),
                        "{name}: {mutation}"
                    );
                    undecided += 1;
                    continue;
                }
                let difference = difference_on_host(&ruleset, &broken, site.elsewhere()).unwrap();
                assert!(difference.is_empty(), "{name}: {mutation} was not caught: {difference:?}");
                same += 1;
            }
        }
    }
    assert!(caught > 10_000 && undecided < 2_000, "{caught} caught, {undecided} undecided, {same} of the same meaning");
}

/// A mistake that lets somebody in, or keeps somebody out, shows in a cell; where there is none, every cell is proved.
fn in_cells(name: &str, ruleset: &Ruleset, site: &Site<'_>, report: &Report) {
    let (again, cells) = matrix(ruleset, site, Families::Both).unwrap();
    assert_eq!(again.findings(), report.findings(), "{name}");
    let finding = |claim| report.findings().iter().find(|(own, _)| *own == claim).map(|(_, finding)| finding).unwrap();
    let (isolation, reachability) = (finding(Claim::Isolation), finding(Claim::Reachability));
    let held = |held| cells.rows.iter().flat_map(|row| &row.cells).any(|cell| cell.held == held);
    match (isolation, reachability) {
        (Finding::Violated(_), _) | (_, Finding::Violated(_)) => assert!(held(Held::Violated), "{name}"),
        (Finding::Proved, Finding::Proved) => {
            assert!(![Held::Violated, Held::OnPurpose, Held::Undecided].into_iter().any(held), "{name}");
        }
        (Finding::OnPurpose(_), _) => assert!(held(Held::OnPurpose) && !held(Held::Violated), "{name}"),
        (Finding::Undecided(_) | Finding::Unjudged(_), _) | (_, Finding::Undecided(_) | Finding::Unjudged(_)) => {
            assert!(held(Held::Undecided) && !held(Held::Violated), "{name}");
        }
        (Finding::Proved, Finding::OnPurpose(_)) => panic!("{name}: only isolation is ever so"),
    }
}

#[test]
fn nft_and_iptables_mean_the_same() {
    for (name, cluster, node) in cases() {
        let site = site(&cluster, node.as_deref());
        for site in [site.clone(), with_elsewhere(site.clone()), translating(site)] {
            let nft = compile::nft(&site);
            for mode in [SetsMode::Always, SetsMode::Never] {
                let found = difference_on_host(&nft, &compile::iptables(&site, mode), site.elsewhere()).unwrap();
                assert!(found.is_empty(), "{name}, {mode:?}: {found:?}");
            }
        }
    }
}

/// Rules for every node admit no less than those of each node, and isolate no less than their own claims say.
#[test]
fn rules_for_every_node_admit_what_each_node_admits() {
    for (name, cluster, _) in cases() {
        let every = Site::of_every_node(&cluster);
        for node in cluster.nodes().iter().take(4) {
            // Of several clusters a host is one of each.
            let others = cluster
                .parts()
                .iter()
                .filter_map(|part| if part.node(node.name()).is_some() { Some(node) } else { part.nodes().first() });
            let own = Site::of_nodes(&cluster, &others.collect::<Vec<_>>());
            assert!(own.is_of_nodes(), "{name}");
            let report = check(&compile::nft(&every), &own, Families::Both).unwrap();
            let reachability = report.findings().iter().find(|(claim, _)| *claim == Claim::Reachability).unwrap();
            assert_eq!(reachability.1, Finding::Proved, "{name}: {}", node.name());
        }
    }
}
