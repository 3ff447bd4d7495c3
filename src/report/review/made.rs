//! A review of what was judged: the facts in the words of the cluster file.

use sha2::{Digest as _, Sha256};

use super::decides::Decides;
use super::rows::{MOST_NAMED, rows};
use super::since::Compared;
use super::words::{clipped, is_hidden, plain};
use super::{
    Allowed, Asked, Digested, Guarded, Linting, Reason, Reasoned, Rehearsal, Review, Reviewed, SourceCheck, Unguarded,
};
use crate::cluster::{Allowance, Client, Cluster, Day, Node, Site, SitePart, State};
use crate::compile;
use crate::diagnostic::{Plain, Texts};
use crate::diff::without;
use crate::host::deeds::Deed;
use crate::ir::Ruleset;
use crate::net::Ports;
use crate::report::Names;
use crate::report::claims::{Because, Claimed, Finding, Proof, Ruled};
use crate::report::whole::Answered;
use crate::verify::{Families, Matrix, Report};

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
    /// The day that last days of clients are held against, where one was given.
    pub today: Option<Day>,
    /// What was seen elsewhere.
    pub further: Further,
}

/// What was seen elsewhere, and what is found about the host.
#[derive(Default)]
pub struct Further {
    /// What rehearsals have shown.
    pub rehearsals: Vec<Rehearsal>,
    /// What `lint` found.
    pub linted: Vec<Linting>,
    /// How interfaces check sources.
    pub source_checks: Vec<SourceCheck>,
}

impl Digested {
    /// A text by this name.
    #[must_use]
    pub fn of(name: &str, text: &str) -> Self {
        use std::fmt::Write as _;
        let digest = Sha256::digest(text.as_bytes());
        let sha256 = digest.iter().fold(String::new(), |mut all, byte| {
            // Writing to a String cannot fail.
            _ = write!(all, "{byte:02x}");
            all
        });
        Self { name: plain(name), sha256, text: None }
    }

    /// The same without the text.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { text: None, ..self }
    }

    /// The same with the text, if it is the one whose digest this is, and may stand in a document.
    #[must_use]
    pub fn with(self, text: &str) -> Self {
        let harmless = !text.contains(|c| is_hidden(c) && c != '\n' && c != '\t');
        let same = harmless && Self::of("", text).sha256 == self.sha256;
        Self { text: same.then(|| text.to_owned()), ..self }
    }

    /// The same, called by its name without the folder.
    #[must_use]
    pub fn without_folder(&self) -> Self {
        Self { name: self.name.rsplit('/').next().unwrap_or_default().to_owned(), ..self.clone() }
    }
}

impl SourceCheck {
    /// An interface by its name.
    #[must_use]
    pub fn of(interface: &str, rp_filter: &'static str) -> Self {
        Self { interface: plain(interface), rp_filter }
    }
}

impl Asked {
    /// A host by its name, asked now by the user who runs this.
    #[must_use]
    pub fn now(name: &str) -> Self {
        let Deed { at, uid } = Deed::now();
        Self { name: plain(name), at, uid }
    }
}

impl Reviewed {
    /// The clusters of a site.
    #[must_use]
    pub fn of(site: &Site<'_>) -> Vec<Self> {
        let texts = site.cluster().sources().of_each();
        let of = |(part, texts): (&SitePart<'_>, Texts<'_>)| {
            let (profile, version) = part.cluster().profile();
            Self {
                name: plain(part.cluster().name()),
                node: part.node().map(|node| plain(node.name())),
                file: plain(&texts.file.base_name()),
                input: part.cluster().digest().to_owned(),
                profile: plain(&format!("{profile}, version {version}")),
            }
        };
        site.parts().iter().zip(texts).map(of).collect()
    }
}

impl Review {
    /// What there is to review of a site, on these rules.
    #[must_use]
    pub fn of(site: &Site<'_>, basis: Basis<'_>, report: &Report, matrix: &Matrix) -> Self {
        let Basis { rules, ruleset, families, texts, unknown, writers, answers, host, notes, lies, today, further } =
            basis;
        let Further { rehearsals, linted, source_checks } = further;
        let odd = rehearsals.iter().any(Rehearsal::disagrees);
        let proof = Proof::of(report, site, ruleset, families, &writers);
        let guarded = || site.services().iter().filter(|service| service.service.is_guarded());
        let staged = site.cluster().guard().is_staged();
        let addresses: Vec<_> = own_nodes(site).flat_map(Node::addresses).map(|(address, _)| address).collect();
        let mut decides = Decides::of(ruleset, &addresses);
        let ports: Vec<u16> =
            guarded().map(|own| own.ports.ranges().first().map_or(0, |range| range.first())).collect();
        let rows = rows(site, matrix, &ports, (&mut decides, &rehearsals));
        let names = Names { clusters: [None, Some(site.cluster())] };
        let compared = Compared::of(families);
        let without = without(ruleset, site.elsewhere());
        let reasoned = without.map(|all| all.iter().map(|own| Reasoned::of(own, names, compared)).collect());
        Self {
            version: env!("CARGO_PKG_VERSION"),
            verdict: verdict(report, &answers, !lies.is_empty() || odd),
            rules,
            clusters: Reviewed::of(site),
            texts,
            host,
            staged,
            families: proof.families,
            rehearsals,
            linted,
            since: None,
            claims: proof.claims.into_iter().map(harmless).collect(),
            answers: answers.into_iter().map(harmless_answer).collect(),
            services: guarded()
                .map(|own| Guarded { name: plain(own.service.name()), ports: listed(&own.ports) })
                .collect(),
            rows,
            deciding: decides.all,
            reasoned,
            source_checks,
            because: matrix.because.as_deref().map(clipped),
            reasons: reasons(site, today),
            today: today.map(|day| day.to_string()),
            unguarded: unguarded(site),
            reserved_ports: listed(&site.protected()),
            allowances: allowances(site),
            assumptions: assumptions(staged, proof.for_iptables),
            not_understood: unknown.iter().map(|part| clipped(part)).collect(),
            taken_from: writers.iter().map(|writer| plain(writer)).collect(),
            lies: lies.iter().map(|lie| clipped(lie)).collect(),
            notes,
        }
    }
}

/// A claim that is not proved weighs more than all that are; so does an answer, a header that lies, and a rehearsal that saw something
/// else.
fn verdict(report: &Report, answers: &[Answered], otherwise: bool) -> Finding {
    // Where nobody is blocked, it is meant that others get in.
    let meant = |answer: &Answered| report.is_staged() && answer.is_about_others();
    let bad = answers.iter().any(|answer| !answer.good && answer.is_certain() && !meant(answer));
    if report.is_violated() || bad || otherwise {
        Finding::Violated
    } else if report.is_staged() {
        Finding::OnPurpose
    } else if report.is_proved() && answers.iter().all(Answered::is_certain) {
        Finding::Proved
    } else {
        Finding::Undecided
    }
}

fn assumptions(staged: bool, for_iptables: bool) -> Vec<String> {
    let own = for_iptables
        .then(|| "The files for iptables are judged as loaded with --noflush, one after the other".to_owned());
    compile::assumptions(staged).into_iter().chain(own).collect()
}

/// The nodes that the host is, or may be.
fn own_nodes<'a>(site: &Site<'a>) -> impl Iterator<Item = &'a Node> {
    site.parts().iter().flat_map(SitePart::here)
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

/// Why clients are admitted, and until when. Who is past it comes first.
fn reasons(site: &Site<'_>, today: Option<Day>) -> Vec<Reason> {
    let of = |cluster: &Cluster, client: &Client| Reason {
        client: plain(client.name()),
        place: plain(&cluster.place(client.span())),
        why: client.why().map(plain),
        until: client.until().map(|day| day.to_string()),
        past: client.until().and_then(|until| Some(until < today?)),
    };
    let parts = site.parts().iter().map(SitePart::cluster);
    let all = parts.flat_map(|cluster| cluster.clients().iter().map(move |client| of(cluster, client)));
    let mut all: Vec<Reason> = all.filter(|own| own.why.is_some() || own.until.is_some()).collect();
    all.sort_by_key(|own| own.past != Some(true));
    all.truncate(MOST_NAMED);
    all
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
