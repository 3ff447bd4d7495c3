//! A review of what was judged: the facts in the words of the cluster file.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::decides::Decides;
use super::words::{clipped, plain};
use super::{Allowed, Asked, Cell, Digested, Fate, Guarded, Kind, Named, Review, Reviewed, Row, Unguarded};
use crate::cluster::{Allowance, Client, Cluster, Node, Site, SitePart, Source, State};
use crate::compile;
use crate::diagnostic::Plain;
use crate::host::deeds::Deed;
use crate::ir::Ruleset;
use crate::net::{Cidr, Interface, Ports};
use crate::report::claims::{Because, Claimed, Finding, Proof, Ruled};
use crate::report::whole::Answered;
use crate::verify::{self, Families, Held, Matrix, On, Report, Whose};

/// So many clients are rows of their own.
const APART: usize = 64;
/// So many sources are named in all rows together.
const MOST_NAMED: usize = 20_000;
/// So many networks of one source are named.
const MOST_NETWORKS: usize = 4;

/// What was judged beside the site.
pub struct Basis<'a> {
    /// `compiled`, `files` or `kernel`.
    pub rules: &'static str,
    /// The rules.
    pub ruleset: &'a Ruleset,
    /// The families that they speak of.
    pub families: Families,
    /// Their texts: name and digest.
    pub texts: Vec<Digested>,
    /// What of them is not understood.
    pub unknown: Vec<String>,
    /// Whose word is taken for what the kernel holds.
    pub writers: Vec<String>,
    /// The answers about a whole host, of one whose kernel was asked.
    pub answers: Vec<Answered>,
    /// That host.
    pub host: Option<Asked>,
    /// What was found about the cluster file.
    pub notes: Vec<Plain>,
    /// What headers of the rules say of who is admitted and is not so.
    pub lies: Vec<String>,
}

impl Digested {
    /// A text by the name of its file, without the folder, so that the same file gives the same anywhere.
    #[must_use]
    pub fn of(name: &str, text: &str) -> Self {
        use std::fmt::Write as _;
        let digest = Sha256::digest(text.as_bytes());
        let sha256 = digest.iter().fold(String::new(), |mut all, byte| {
            // Writing to a String cannot fail.
            _ = write!(all, "{byte:02x}");
            all
        });
        Self { name: plain(name.rsplit('/').next().unwrap_or(name)), sha256 }
    }
}

impl Asked {
    /// A host by its name, asked now by whoever runs this.
    #[must_use]
    pub fn now(name: &str) -> Self {
        let Deed { at, uid } = Deed::now();
        Self { name: plain(name), at, uid }
    }
}

impl Review {
    /// What there is to review of a site, on these rules.
    #[must_use]
    pub fn of(site: &Site<'_>, basis: Basis<'_>, report: &Report, matrix: &Matrix) -> Self {
        let Basis { rules, ruleset, families, texts, unknown, writers, answers, host, notes, lies } = basis;
        let proof = Proof::of(report, site, ruleset, families, &writers);
        let guarded = || site.services().iter().filter(|service| service.service.is_guarded());
        let staged = site.cluster().guard().is_staged();
        let addresses: Vec<_> = own_nodes(site).flat_map(Node::addresses).map(|(address, _)| *address).collect();
        let mut decides = Decides::of(ruleset, &addresses);
        let ports: Vec<u16> =
            guarded().map(|own| own.ports.ranges().first().map_or(0, |range| range.first())).collect();
        let mut rows: Vec<Row> = matrix.rows.iter().map(|row| told(site, row, &ports, &mut decides)).collect();
        put_together(&mut rows);
        name_no_more_than(MOST_NAMED, &mut rows);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            verdict: verdict(report, &answers, !lies.is_empty()),
            rules,
            clusters: clusters(site),
            texts,
            host,
            staged,
            families: proof.families,
            claims: proof.claims.into_iter().map(harmless).collect(),
            answers: answers.into_iter().map(harmless_answer).collect(),
            services: guarded()
                .map(|own| Guarded { name: plain(own.service.name()), ports: listed(&own.ports) })
                .collect(),
            rows,
            deciding: decides.all,
            because: matrix.because.as_deref().map(clipped),
            unguarded: unguarded(site),
            reserved_ports: listed(&site.protected()),
            allowances: allowances(site),
            assumptions: compile::assumptions(staged),
            not_understood: unknown.iter().map(|part| clipped(part)).collect(),
            taken_from: writers.iter().map(|writer| plain(writer)).collect(),
            lies: lies.iter().map(|lie| clipped(lie)).collect(),
            notes,
        }
    }
}

/// A claim that is not proved weighs more than all that are; so does an answer, and a header that lies.
fn verdict(report: &Report, answers: &[Answered], lies: bool) -> Finding {
    // Where nobody is blocked, it is meant that others get in.
    let meant = |answer: &Answered| report.is_staged() && answer.is_about_others();
    let bad = answers.iter().any(|answer| !answer.good && answer.is_certain() && !meant(answer));
    if report.is_violated() || bad || lies {
        Finding::Violated
    } else if answers.iter().any(|answer| !answer.is_certain()) {
        Finding::Undecided
    } else if report.is_staged() {
        Finding::OnPurpose
    } else if report.is_proved() {
        Finding::Proved
    } else {
        Finding::Undecided
    }
}

/// The nodes that the host is, or may be.
fn own_nodes<'a>(site: &'a Site<'_>) -> impl Iterator<Item = &'a Node> {
    let of = |part: &'a SitePart<'_>| part.node().map_or_else(|| part.others(), |node| vec![node]);
    site.parts().iter().flat_map(of)
}

fn clusters(site: &Site<'_>) -> Vec<Reviewed> {
    let texts = site.cluster().sources().of_each();
    let of = |(part, texts): (&SitePart<'_>, crate::diagnostic::Texts<'_>)| {
        let (profile, version) = part.cluster().profile();
        Reviewed {
            name: plain(part.cluster().name()),
            node: part.node().map(|node| plain(node.name())),
            file: plain(&texts.file.base_name()),
            input: part.cluster().digest().to_owned(),
            profile: plain(&format!("{profile}, version {version}")),
        }
    };
    site.parts().iter().zip(texts).map(of).collect()
}

fn listed(ports: &Ports) -> Vec<String> {
    ports.ranges().iter().map(ToString::to_string).collect()
}

/// Ports that are guarded for another service are not open because of this one.
fn unguarded(site: &Site<'_>) -> Vec<Unguarded> {
    let protected = site.protected();
    let unused = site.services().iter().filter(|own| own.service.state() == State::Unused);
    let of = |own: &crate::cluster::SiteService<'_>| Unguarded {
        name: plain(own.service.name()),
        ports: listed(&own.ports.without(&protected)),
        why: own.service.why().map(plain),
    };
    unused.map(of).collect()
}

fn allowances(site: &Site<'_>) -> Vec<Allowed> {
    let mut all = Vec::new();
    for cluster in site.parts().iter().map(SitePart::cluster) {
        for (allowance, span) in cluster.guard().allow() {
            let word = Allowance::WORDS.iter().find(|(_, own)| own == allowance).map_or("", |(word, _)| *word);
            all.push(Allowed { what: plain(word), place: plain(&cluster.place(*span)) });
        }
        if cluster.allow_public() {
            let place = cluster.private().first().map(|source| cluster.place(source.span));
            let what = "private networks in public address space (allow-public)".to_owned();
            all.push(Allowed { what, place: plain(&place.unwrap_or_default()) });
        }
        for client in cluster.clients().iter().filter(|client| client.allow_public()) {
            let what = plain(&format!("client {} from public address space (allow-public)", client.name()));
            all.push(Allowed { what, place: plain(&cluster.place(client.span())) });
        }
    }
    all
}

fn harmless(claimed: Claimed) -> Claimed {
    let because = claimed.because.map(|because| match because {
        Because::Witness(mut witness) => {
            witness.packet = plain(&witness.packet);
            if let Some(behind) = &mut witness.behind {
                behind.cluster = plain(&behind.cluster);
                behind.rule = harmless_rule(&behind.rule);
            }
            Because::Witness(witness)
        }
        Because::Part(part) => Because::Part(clipped(&part)),
        Because::Beside(why) => Because::Beside(clipped(&why)),
    });
    Claimed { because, assumption: claimed.assumption.as_deref().map(plain), ..claimed }
}

fn harmless_rule(rule: &Ruled) -> Ruled {
    match rule {
        Ruled::Policy { chain, table } => Ruled::Policy { chain: plain(chain), table: plain(table) },
        Ruled::Rule { line, text } => Ruled::Rule { line: *line, text: clipped(text) },
        Ruled::Nothing => Ruled::Nothing,
    }
}

fn harmless_answer(answer: Answered) -> Answered {
    Answered {
        who: plain(&answer.who),
        service: plain(&answer.service),
        packet: answer.packet.as_deref().map(plain),
        because: answer.because.as_deref().map(clipped),
        ..answer
    }
}

fn told(site: &Site<'_>, row: &verify::Row, ports: &[u16], decides: &mut Decides<'_>) -> Row {
    let cell = |(cell, port): (&verify::Cell, &u16)| Cell {
        found: Fate::of(cell.found),
        wanted: Fate::of(cell.wanted),
        shown: match cell.held {
            Held::Proved => Finding::Proved,
            Held::Violated => Finding::Violated,
            Held::OnPurpose => Finding::OnPurpose,
            Held::Undecided => Finding::Undecided,
        },
        rule: decides.number(row, cell, *port),
        packet: cell.witness.as_ref().map(|witness| plain(&witness.packet.to_string())),
    };
    let cells = row.cells.iter().zip(ports).map(cell).collect();
    let names = |list: &[Interface]| list.iter().map(|name| plain(name.as_str())).collect();
    let (interfaces, other_interfaces) = match &row.on {
        On::Any => (Vec::new(), false),
        On::These(list) => (names(list), false),
        On::AllBut(list) => (names(list), true),
    };
    let (kind, sources) = named(site, row);
    Row {
        kind,
        who: who(site, row),
        sources,
        more: 0,
        family: if row.ipv4 { "IPv4" } else { "IPv6" },
        interfaces,
        other_interfaces,
        addresses: addresses(&row.sources),
        cells,
    }
}

impl Fate {
    fn of(fare: verify::Fare) -> Self {
        match fare {
            verify::Fare::Admitted => Self::Admitted,
            verify::Fare::Blocked => Self::Blocked,
            verify::Fare::Mixed => Self::Mixed,
            verify::Fare::Undecided => Self::Undecided,
        }
    }
}

fn addresses(ranges: &[(std::net::IpAddr, std::net::IpAddr)]) -> String {
    use std::net::IpAddr;
    let count = |ends: &(IpAddr, IpAddr)| match ends {
        (IpAddr::V4(a), IpAddr::V4(b)) => Some(u128::from(b.to_bits().saturating_sub(a.to_bits())) + 1),
        (IpAddr::V6(a), IpAddr::V6(b)) => b.to_bits().saturating_sub(a.to_bits()).checked_add(1),
        _ => Some(0),
    };
    let all = ranges.iter().try_fold(0_u128, |all, ends| all.checked_add(count(ends)?));
    // All of IPv6 is one more than fits.
    all.map_or_else(|| "340282366920938463463374607431768211456".to_owned(), |all| all.to_string())
}

/// The same in a few words.
fn who(site: &Site<'_>, row: &verify::Row) -> String {
    let part = |at: usize| site.parts().get(at).map(SitePart::cluster);
    let words = match &row.who {
        Whose::Peers(at) => part(*at).map_or_else(|| "peers".to_owned(), |cluster| cluster.peers().to_owned()),
        Whose::Client(at, client) => {
            let client = part(*at).and_then(|cluster| cluster.clients().get(*client));
            client.map_or_else(|| "client".to_owned(), |client| format!("client {}", client.name()))
        }
        Whose::Private(network) => format!("others in private {network}"),
        Whose::Untrusted(network) => format!("untrusted {network}"),
        Whose::Others => "everyone else".to_owned(),
    };
    plain(&words)
}

/// Who is in a row.
fn named(site: &Site<'_>, row: &verify::Row) -> (Kind, Vec<Named>) {
    let of_family = |network: &Cidr| network.is_ipv4() == row.ipv4;
    let part = |at: usize| site.parts().get(at).map(SitePart::cluster);
    match &row.who {
        Whose::Peers(at) => (Kind::Peers, part(*at).map(|cluster| nodes(cluster, row.ipv4)).unwrap_or_default()),
        Whose::Client(at, client) => {
            let of = |cluster: &Cluster| {
                cluster.clients().get(*client).map(|client| named_client(cluster, client, of_family))
            };
            (Kind::Client, part(*at).and_then(of).into_iter().collect())
        }
        Whose::Private(network) => (Kind::Private, vec![named_network(site, *network, Cluster::private)]),
        Whose::Untrusted(network) => (Kind::Untrusted, vec![named_network(site, *network, Cluster::untrusted)]),
        Whose::Others => (Kind::Others, Vec::new()),
    }
}

fn nodes(cluster: &Cluster, ipv4: bool) -> Vec<Named> {
    let own = |node: &Node| {
        let list = node.addresses().iter().filter(|(address, _)| address.is_ipv4() == ipv4);
        let networks: Vec<String> = list.map(|(address, _)| address.to_string()).collect();
        let place = plain(&cluster.place(node.span()));
        (!networks.is_empty()).then(|| Named::of(node.name(), networks, place))
    };
    cluster.nodes().iter().filter_map(own).take(MOST_NAMED).collect()
}

fn named_client(cluster: &Cluster, client: &Client, of_family: impl Fn(&Cidr) -> bool) -> Named {
    let networks = client.from().iter().map(|source| source.network).filter(|network| of_family(network));
    Named::of(
        client.name(),
        networks.map(|network| network.to_string()).collect(),
        plain(&cluster.place(client.span())),
    )
}

fn named_network(site: &Site<'_>, network: Cidr, of: fn(&Cluster) -> &[Source]) -> Named {
    let places = site.parts().iter().filter_map(|part| {
        let own = of(part.cluster()).iter().find(|source| source.network == network)?;
        Some(part.cluster().place(own.span))
    });
    let places: Vec<String> = places.collect();
    Named::of(&network.to_string(), vec![network.to_string()], plain(&places.join("; ")))
}

impl Named {
    fn of(name: &str, mut networks: Vec<String>, place: String) -> Self {
        let more = networks.len().saturating_sub(MOST_NETWORKS);
        networks.truncate(MOST_NETWORKS);
        Self { name: plain(name), networks, more, place }
    }
}

/// Of very many clients those are put into one row that fare alike, by the same rules.
fn put_together(rows: &mut Vec<Row>) {
    let is_client = |row: &Row| row.kind == Kind::Client;
    if rows.iter().filter(|row| is_client(row)).count() <= APART {
        return;
    }
    type Alike = (&'static str, Vec<String>, bool, Vec<Cell>);
    let mut places: HashMap<Alike, usize> = HashMap::new();
    let mut together: Vec<Row> = Vec::new();
    for row in rows.drain(..) {
        // What is not proved shows a packet of its own each.
        if !is_client(&row) || row.cells.iter().any(|cell| cell.packet.is_some()) {
            together.push(row);
            continue;
        }
        let alike = (row.family, row.interfaces.clone(), row.other_interfaces, row.cells.clone());
        match places.get(&alike).and_then(|at| together.get_mut(*at)) {
            Some(known) => {
                known.addresses = sum(&known.addresses, &row.addresses);
                known.sources.extend(row.sources);
                known.who = format!("{} clients who fare alike", known.sources.len());
            }
            None => {
                places.insert(alike, together.len());
                together.push(row);
            }
        }
    }
    *rows = together;
}

fn sum(one: &str, other: &str) -> String {
    let number = |text: &str| text.parse::<u128>().unwrap_or(u128::MAX);
    number(one).saturating_add(number(other)).to_string()
}

fn name_no_more_than(most: usize, rows: &mut [Row]) {
    let mut left = most;
    for row in rows {
        let named = row.sources.len().min(left);
        row.more += row.sources.len() - named;
        row.sources.truncate(named);
        left -= named;
    }
}
