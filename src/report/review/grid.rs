//! What the forms of a review say alike: the words of a row, of a cell, of a claim.

use super::words::{count, few};
use super::{Cell, Deciding, Fate, Linting, Observed, Reason, Reasoned, Rehearsal, Review, Row, Unguarded};
use crate::report::claims::{Because, Claimed, Finding, Ruled};

/// Cells of a row that are not proved and say the same, by the same rule.
pub(super) struct Open<'a> {
    row: &'a Row,
    services: Vec<&'a str>,
    /// The first of them.
    pub(super) cell: &'a Cell,
}

impl Open<'_> {
    /// Whose cells, and of which services.
    pub(super) fn place(&self) -> String {
        format!("{}, {}, at {}", self.row.label(), self.row.family, self.services.join(", "))
    }

    /// Strangers weigh most, then those of whom there are many: the order in which they are told where not all are.
    pub(super) fn weight(&self) -> u8 {
        self.row.kind.weight()
    }

    /// The first line of the cluster file that names them.
    pub(super) fn origin(&self) -> String {
        self.row.sources.first().map(|source| source.place.clone()).unwrap_or_default()
    }

    /// What decides where no rule does.
    pub(super) fn no_rule(&self) -> Option<&'static str> {
        (self.cell.packet.is_some() && self.cell.rule.is_none()).then_some("no rule has a say on it")
    }
}

/// A piece of a line.
pub(super) enum Piece {
    /// In this program's words.
    Own(String),
    /// In somebody else's: of a file or a kernel.
    Foreign(String),
}

/// A section: a short name, a title, and lines.
pub(super) type Section = (&'static str, &'static str, Vec<Vec<Piece>>);

impl Piece {
    /// Words of this program's.
    pub(super) fn own(words: impl Into<String>) -> Self {
        Self::Own(words.into())
    }

    /// Words of somebody else's.
    pub(super) fn foreign(words: &str) -> Self {
        Self::Foreign(words.to_owned())
    }

    /// The words, whosever they are.
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Own(words) | Self::Foreign(words) => words,
        }
    }

    /// Whether they are somebody else's.
    pub(super) fn is_foreign(&self) -> bool {
        match self {
            Self::Own(_) => false,
            Self::Foreign(_) => true,
        }
    }
}

impl Review {
    /// What was seen elsewhere and what each rule is for, as all forms have it.
    pub(super) fn further(&self) -> Vec<Section> {
        let own = |words: &str| vec![Piece::own(words)];
        let mut all: Vec<Section> = Vec::new();
        if !self.rehearsals.is_empty() {
            let lines = self.rehearsals.iter().flat_map(Rehearsal::lines);
            all.push(("rehearsed", "Rehearsed with real packets", lines.collect()));
        }
        if !self.linted.is_empty() {
            let lines = self.linted.iter().flat_map(Linting::lines);
            all.push(("lint", "Found on the hosts by lint", lines.collect()));
        }
        if !self.source_checks.is_empty() {
            let lines = self.source_checks.iter().map(|own| {
                vec![Piece::Own(format!("rp_filter {} on ", own.rp_filter)), Piece::foreign(&own.interface)]
            });
            let what = own(
                "strict: dropped unless answers to the source go out of the same interface (RFC 3704); loose: unless \
                there is any way to it; off: forged sources are taken for what they say. The kernel has no such check for IPv6",
            );
            all.push(("sources-checked", "How forged sources are checked", [what].into_iter().chain(lines).collect()));
        }
        let title = "Every rule, and what would change without it";
        let lines = match &self.reasoned {
            None => vec![own("there are too many rules or addresses to ask that of each")],
            Some(reasoned) => {
                let what = own(
                    "where nobody gains or loses, other rules say the same, or the rule counts, logs or spares work",
                );
                [what].into_iter().chain(reasoned.iter().map(Reasoned::line)).collect()
            }
        };
        all.push(("each-rule", title, lines));
        all
    }

    /// What it is about: the clusters, and the node.
    pub(super) fn title(&self) -> String {
        let names: Vec<&str> = self.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        let nodes: Option<Vec<&str>> = self.clusters.iter().map(|cluster| cluster.node.as_deref()).collect();
        let place = nodes.map_or_else(|| "every node".to_owned(), |nodes| nodes.join(", "));
        format!("{}, {place}", names.join(", "))
    }

    /// The verdict, and of what.
    #[must_use]
    pub fn verdict_text(&self) -> String {
        let of = match self.rules {
            "compiled" => "of the rules that the cluster file makes",
            "files" => "of the rules in these files",
            _ => "of all rules that the kernel of this host holds",
        };
        let so = match self.verdict {
            Finding::Proved => "PROVED: every claim holds for every packet",
            // The claims are about the rules, which may be good under a header that is not.
            Finding::Violated if self.only_lies() => {
                "VIOLATED: every claim holds, but a header contradicts the cluster file on who is admitted"
            }
            Finding::Violated if self.only_seen() => {
                "VIOLATED: what a kernel did with real packets is not what the rules compute to, or not what is wanted"
            }
            Finding::Violated => "VIOLATED: at least one claim does not hold",
            Finding::OnPurpose => "VIOLATED ON PURPOSE: nobody is blocked, as the cluster file wants it for now",
            Finding::Undecided => "UNDECIDED: at least one claim can be neither proved nor refuted",
        };
        let lie =
            if self.lies.is_empty() || self.only_lies() { "" } else { "; and a HEADER LIES about who is admitted" };
        let half = self.not_judged().map(|half| format!("; {half}")).unwrap_or_default();
        let seen = if self.seen_otherwise() && !self.only_seen() { "; and a REHEARSAL saw otherwise" } else { "" };
        format!("{so}, {of}{lie}{seen}{half}")
    }

    /// Whether a kernel did otherwise than the rules compute to, or than is wanted.
    fn seen_otherwise(&self) -> bool {
        self.rehearsals.iter().any(Rehearsal::disagrees)
    }

    /// Whether no claim is violated, and a rehearsal says otherwise.
    fn only_seen(&self) -> bool {
        self.seen_otherwise() && self.claims.iter().all(|claim| claim.result != Finding::Violated)
    }

    /// Whether all that is wrong is what a header says.
    fn only_lies(&self) -> bool {
        let proved = self.claims.iter().all(|claim| claim.result == Finding::Proved);
        !self.lies.is_empty() && !self.seen_otherwise() && proved && self.answers.iter().all(|answer| answer.good)
    }

    /// That half of the packets were not asked about: a file of iptables speaks of one family.
    pub(super) fn not_judged(&self) -> Option<&'static str> {
        match self.families {
            ["IPv4"] => Some("IPv6 is not in these files and was NOT judged"),
            ["IPv6"] => Some("IPv4 is not in these files and was NOT judged"),
            _ => None,
        }
    }

    /// Clients by why they are admitted and until when: the first few, and how many more there are.
    pub(super) fn reasons_shown(&self) -> (&[Reason], usize) {
        const SHOWN: usize = 1000;
        let shown = self.reasons.get(..SHOWN).unwrap_or(&self.reasons);
        (shown, self.reasons.len() - shown.len())
    }

    /// The sentence about last days of clients; empty where no client has one.
    pub(super) fn days_text(&self) -> Option<String> {
        let any = self.reasons.iter().any(|own| own.until.is_some());
        let past = self.reasons.iter().filter(|own| own.past == Some(true)).count();
        any.then(|| match &self.today {
            None => "no day was given (`--today`), so it is not said which of them are past".to_owned(),
            Some(today) => format!("on {today}, {past} of them past and still admitted: nothing closes by the clock"),
        })
    }

    /// How many cells are known in each way.
    pub(super) fn counts_text(&self) -> String {
        let words = ["proved", "violated", "violated on purpose", "undecided"];
        let all = self.counts().into_iter().zip(words).filter(|(count, _)| *count > 0);
        all.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
    }

    /// The cells that are not proved, in their order.
    pub(super) fn open(&self) -> Vec<Open<'_>> {
        self.rows.iter().flat_map(|row| row_open(row, self)).collect()
    }

    /// Whether isolation or reachability is not proved though every cell is: what shows it belongs to none of them.
    pub(super) fn shows_less_than_claims(&self) -> bool {
        let told = |claim: &&Claimed| matches!(claim.claim, "isolation" | "reachability");
        let open = self.claims.iter().filter(told).any(|claim| claim.result != Finding::Proved);
        open && self.open().is_empty()
    }
}

fn row_open<'a>(row: &'a Row, review: &'a Review) -> Vec<Open<'a>> {
    let mut all: Vec<Open<'a>> = Vec::new();
    for (cell, service) in row.cells.iter().zip(&review.services).filter(|(cell, _)| cell.shown != Finding::Proved) {
        let said = |cell: &Cell| (cell.found, cell.wanted, cell.shown, cell.rule, cell.packet.is_some());
        match all.iter_mut().find(|open| said(open.cell) == said(cell)) {
            Some(open) => open.services.push(&service.name),
            None => all.push(Open { row, services: vec![&service.name], cell }),
        }
    }
    all
}

impl Row {
    /// Who they are, and by which interfaces they come.
    pub(super) fn label(&self) -> String {
        let on = match (self.interfaces.is_empty(), self.other_interfaces) {
            (true, _) => String::new(),
            (false, false) => format!(" on {}", self.interfaces.join(", ")),
            (false, true) => format!(" on others than {}", self.interfaces.join(", ")),
        };
        format!("{}{on}", self.who)
    }

    /// How many addresses.
    pub(super) fn size(&self) -> String {
        count(&self.addresses)
    }

    /// Where the cluster file names them: the first few lines.
    pub(super) fn origin(&self) -> String {
        const NAMED: usize = 2;
        let mut places: Vec<String> = Vec::new();
        for place in self.sources.iter().map(|source| &source.place).filter(|place| !place.is_empty()) {
            if places.len() <= NAMED && !places.contains(place) {
                places.push(place.clone());
            }
        }
        let more = if places.len() > NAMED { " …" } else { "" };
        format!("{}{more}", few(places.get(..NAMED).unwrap_or(&places), NAMED, 0))
    }
}

impl Cell {
    /// What it says: the rules' doing where it is proved, otherwise how it is known before that.
    pub(super) fn word(&self) -> String {
        let found = self.found.word();
        match self.shown {
            Finding::Proved => found.to_owned(),
            Finding::Violated => format!("VIOLATED: {found}"),
            Finding::OnPurpose if matches!(self.found, Fate::Admitted | Fate::Mixed) => format!("{found} on purpose"),
            Finding::OnPurpose => format!("VIOLATED ON PURPOSE: {found}"),
            Finding::Undecided if self.found == Fate::Undecided => "UNDECIDED".to_owned(),
            Finding::Undecided => format!("UNDECIDED: {found}"),
        }
    }

    /// What rehearsals have shown of it.
    pub(super) fn seen(&self) -> Option<String> {
        self.rehearsed.as_ref().and_then(Observed::words)
    }

    /// The number of the rule that decides.
    pub(super) fn number(&self) -> String {
        self.rule.map(|rule| format!("[{rule}]")).unwrap_or_default()
    }
}

impl Deciding {
    /// Where it is.
    pub(super) fn place(&self) -> String {
        let line = self.line.map(|line| format!(", line {line}")).unwrap_or_default();
        format!("table {}, chain {}{line}", self.table, self.chain)
    }
}

impl Reason {
    /// Until when, in words.
    pub(super) fn term(&self) -> Option<String> {
        let until = self.until.as_ref()?;
        Some(if self.past == Some(true) { format!("until {until}, which is PAST") } else { format!("until {until}") })
    }
}

impl Unguarded {
    pub(super) fn words(&self) -> String {
        if self.ports.is_empty() { self.name.clone() } else { format!("{} {}", self.name, self.ports.join(", ")) }
    }
}

/// How a claim came out.
pub(super) fn result(finding: &Finding) -> &'static str {
    match finding {
        Finding::Proved => "proved",
        Finding::Violated => "VIOLATED",
        Finding::OnPurpose => "VIOLATED ON PURPOSE",
        Finding::Undecided => "UNDECIDED",
    }
}

/// Why a claim is not proved, each with its name; of one that is, what it rests on.
pub(super) fn reasons(claim: &Claimed) -> Vec<(&'static str, String)> {
    let rests = claim.assumption.iter().map(|text| ("rests on", text.trim_start_matches([',', ' ']).to_owned()));
    let because = match &claim.because {
        None => Vec::new(),
        Some(Because::Part(part) | Because::Beside(part)) => vec![("because of", part.clone())],
        Some(Because::Witness(witness)) => {
            let mut all = vec![("packet", witness.packet.clone())];
            if let Some(behind) = &witness.behind {
                let rule = match &behind.rule {
                    Ruled::Policy { chain, table } => {
                        format!("none; the policy of chain {chain} in table {table} is drop")
                    }
                    Ruled::Rule { line: 0, text } => text.clone(),
                    Ruled::Rule { line, text } => format!("line {line}: {text}"),
                    Ruled::Nothing => "none matches".to_owned(),
                };
                all.push(("rule", rule));
                all.push(("cluster file", behind.cluster.clone()));
            }
            all
        }
    };
    rests.chain(because).collect()
}

/// What words of the document mean.
pub(super) const GLOSSARY: [(&str, &str); 11] = [
    ("proved", "it holds for every packet that there can be, by the rules; no sample was taken"),
    (
        "violated",
        "there is a packet for which it does not hold: it passes a door that it must not, or is blocked at one that it must pass; what becomes \
         of packets by all doors stands behind it",
    ),
    ("undecided", "a part of the rules is not understood, and what it may do decides"),
    (
        "admitted",
        "every segment that an honest sender's connection has gets in from these sources to these ports, as far as the judged rules go",
    ),
    ("blocked", "none does, in whatever state its connection is"),
    (
        "blocked elsewhere",
        "none does as the rules are, but not because of what blocks them where it has to: at prerouting, before a translation can move them, \
         and at input again",
    ),
    (
        "mixed",
        "some certainly do and some certainly do not: some sources, or some kinds of packets; where it is violated, it may be undecided of others",
    ),
    ("some admitted, some blocked", "these certainly; of the others it cannot be said"),
    ("isolation", "nobody gets to a guarded port whom the cluster file does not admit"),
    ("reachability", "everybody does whom it admits"),
    ("non-interference, own replies", "nothing else is blocked, and answers to this host's own connections arrive"),
];
