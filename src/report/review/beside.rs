//! What was seen elsewhere and belongs beside the rules: packets of rehearsals, and what `lint` found on the hosts.
//!
//! Both come as documents of JSON that this program made before. They are believed as far as anybody's word is: the document names the
//! file and its digest. But they have to be about the same: a rehearsal about the same cluster file and the same text of rules, findings about
//! the same cluster file. What is about something else is refused.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::grid::Piece;
use super::read::{NotRead, document};
use super::words::{clipped, plain};
use super::{Digested, Reviewed, Row};
use crate::report::{Agreement, Counts, Judged};

/// The most packets that are shown of a rehearsal that does not agree.
const MOST_SHOWN: usize = 10;

/// A rehearsal, and what it has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Rehearsal {
    /// The file that it was read from.
    pub file: Digested,
    /// Where the rules were: `nft` or `iptables`.
    pub backend: String,
    /// The kernel.
    pub kernel: String,
    /// Whether what was observed, what is wanted and what is computed agree about every packet that was sent.
    pub verdict: Agreement,
    /// What `verify` found of all packets by the same rules.
    pub claims: Judged,
    /// All packets together.
    pub packets: Counts,
    /// Whether IPv6 was left out.
    pub without_ipv6: bool,
    /// How many peers and networks of clients there are.
    pub places: usize,
    /// At how many of these packets came from.
    pub places_tried: usize,
    /// Packets about which the answers do not agree, the first few.
    pub disagreements: Vec<String>,
    #[serde(skip)]
    seen: Vec<Group>,
    #[serde(skip)]
    services: Vec<String>,
}

/// What packets of rehearsals have shown of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Observed {
    /// How many were sent.
    pub tried: usize,
    /// How many got through.
    pub through: usize,
    /// How many the kernel drops without any rules, too: about these nothing was observed.
    pub by_kernel: usize,
    /// On how many the three answers disagree.
    pub disagree: usize,
}

/// What `lint` found on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Linting {
    /// The file that it was read from.
    pub file: Digested,
    /// The node of that host.
    pub node: Option<String>,
    /// Whether nothing was found and all could be read.
    pub clean: bool,
    /// What was found, the gravest first.
    pub found: Vec<Found>,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Found {
    /// How grave it is.
    pub severity: Severity,
    /// Its code.
    pub code: Option<String>,
    /// What it says, and where.
    pub message: String,
}

/// How grave a finding is: the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It has to be put right.
    Error,
    /// It may have to be.
    Warning,
    /// It is worth knowing.
    Note,
}

/// Sources of a rehearsal that are shown together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Group {
    family: String,
    interface: Option<String>,
    from: Vec<IpAddr>,
    cells: Vec<Counts>,
}

#[derive(Deserialize)]
struct Service {
    name: String,
}

#[derive(Deserialize)]
struct Text {
    sha256: String,
}

#[derive(Deserialize)]
struct Of {
    name: String,
    node: Option<String>,
    input: String,
}

#[derive(Deserialize)]
struct Disagreement {
    who: String,
    service: String,
    packet: String,
    observed: String,
    wanted: String,
}

/// The document of a rehearsal, as far as it is shown here.
#[derive(Deserialize)]
struct Rehearsed {
    verdict: Agreement,
    claims: Judged,
    backend: String,
    kernel: String,
    packets: Counts,
    without_ipv6: bool,
    host: bool,
    places: usize,
    places_tried: usize,
    clusters: Vec<Of>,
    texts: Vec<Text>,
    services: Vec<Service>,
    rows: Vec<Group>,
    disagreements: Vec<Disagreement>,
}

/// The document of `lint`, likewise.
#[derive(Deserialize)]
struct Linted {
    node: Option<String>,
    clean: bool,
    clusters: Vec<Of>,
    found: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    severity: Severity,
    code: Option<String>,
    message: String,
    file: Option<String>,
    line: Option<u32>,
}

impl Rehearsal {
    /// Reads what `rehearse --json` printed, about these clusters and texts of rules. `all`: whether it has to be about each of the texts;
    /// otherwise they are several ways into the kernel, of which a rehearsal takes one.
    ///
    /// # Errors
    /// Where it is no such document, contradicts itself, or is about something else.
    pub fn read(
        (name, text): (&str, &str),
        clusters: &[Reviewed],
        (texts, all): (&[Digested], bool),
    ) -> Result<Self, NotRead> {
        const FORM: &str = "rehearse";
        let read: Rehearsed = of(document(text, FORM, "rows")?, FORM)?;
        about(&read.clusters, clusters, |one, own| one.node == own.node)?;
        let known = |text: &Text| texts.iter().any(|own| own.sha256 == text.sha256);
        let missing = |own: &Digested| !read.texts.iter().any(|text| text.sha256 == own.sha256);
        if read.texts.is_empty() || !read.texts.iter().all(known) || (all && texts.iter().any(missing)) {
            return Err(NotRead::Another("other rules: the digests of their texts are not those of these".to_owned()));
        }
        if read.host {
            return Err(NotRead::Another("a host's other rules, too: rehearse these without --with-host".to_owned()));
        }
        // The document may come from anybody, with any number in it.
        let mut cells = read.rows.iter().flat_map(|row| &row.cells);
        let disagree = cells.try_fold(0_usize, |all, cell| all.checked_add(cell.disagree));
        let fits = read.rows.iter().all(|row| row.cells.len() == read.services.len());
        let disagrees = disagree.is_some_and(|count| count > 0);
        if !fits || disagree != Some(read.packets.disagree) || disagrees != (read.verdict == Agreement::Disagree) {
            return Err(NotRead::Field(
                FORM,
                "its verdict, its packets and its cells do not fit each other".to_owned(),
            ));
        }
        let shown = |own: &Disagreement| {
            let Disagreement { who, service, packet, observed, wanted } = own;
            clipped(&format!("{who}, at {service}: {packet}: observed {observed}, wanted {wanted}"))
        };
        Ok(Self {
            file: Digested::of(name, text),
            backend: plain(&read.backend),
            kernel: plain(&read.kernel),
            verdict: read.verdict,
            claims: read.claims,
            packets: read.packets,
            without_ipv6: read.without_ipv6,
            places: read.places,
            places_tried: read.places_tried,
            disagreements: read.disagreements.iter().take(MOST_SHOWN).map(shown).collect(),
            seen: read.rows,
            services: read.services.into_iter().map(|own| own.name).collect(),
        })
    }

    /// What it has shown of the sources of a row at a service: of those groups that are in it as a whole.
    pub(super) fn of_cell(&self, row: &Row, ranges: &[(IpAddr, IpAddr)], service: &str) -> Observed {
        let inside = |address: &IpAddr| {
            ranges
                .iter()
                .any(|(first, last)| first.is_ipv4() == address.is_ipv4() && first <= address && address <= last)
        };
        let comes_so = |interface: &Option<String>| match interface {
            None => row.interfaces.is_empty(),
            Some(name) => row.interfaces.is_empty() || row.interfaces.contains(name) != row.other_interfaces,
        };
        let of_row = |group: &&Group| {
            group.family == row.family
                && comes_so(&group.interface)
                && !group.from.is_empty()
                && group.from.iter().all(inside)
        };
        let columns = || self.services.iter().enumerate().filter(|(_, name)| plain(name) == service);
        let cells =
            self.seen.iter().filter(of_row).flat_map(|group| columns().filter_map(|(at, _)| group.cells.get(at)));
        cells.map(Observed::of).fold(Observed::default(), Observed::and)
    }

    /// Whether it has seen something else than what the rules compute to or what is wanted.
    #[must_use]
    pub fn disagrees(&self) -> bool {
        match self.verdict {
            Agreement::Disagree => true,
            Agreement::Agree | Agreement::OnPurpose | Agreement::Undecided => false,
        }
    }

    /// What it came to.
    pub(super) fn lines(&self) -> Vec<Vec<Piece>> {
        let so = match self.verdict {
            Agreement::Agree => "AGREE: what was observed, wanted and computed is the same",
            Agreement::Disagree => "✗ DISAGREE: what was observed is not what is wanted or computed",
            Agreement::OnPurpose => "AGREE, but nobody is blocked, as the cluster file wants it for now",
            Agreement::Undecided => "none disagrees, but of some it cannot be computed what becomes of them",
        };
        let Counts { tried, through, by_kernel, .. } = self.packets;
        let kernel = if by_kernel > 0 {
            format!("; of {by_kernel} that the kernel drops anyway nothing was observed")
        } else {
            String::new()
        };
        let ipv6 = if self.without_ipv6 { "; WITHOUT IPv6" } else { "" };
        let places = format!("{} of {} peers and networks of clients tried", self.places_tried, self.places);
        let first = format!("{so}, of {tried} packets, {through} through; {places}{kernel}{ipv6}; rules of ");
        let mut head = vec![Piece::Own(first)];
        head.extend([Piece::foreign(&self.backend), Piece::own(", Linux "), Piece::foreign(&self.kernel)]);
        head.extend(from(&self.file));
        let wrong = self.disagreements.iter().map(|shown| vec![Piece::own("✗ "), Piece::foreign(shown)]);
        [head].into_iter().chain(wrong).collect()
    }
}

impl Observed {
    fn of(cell: &Counts) -> Self {
        Self { tried: cell.tried, through: cell.through, by_kernel: cell.by_kernel, disagree: cell.disagree }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            tried: self.tried.saturating_add(other.tried),
            through: self.through.saturating_add(other.through),
            by_kernel: self.by_kernel.saturating_add(other.by_kernel),
            disagree: self.disagree.saturating_add(other.disagree),
        }
    }

    /// In a few words; nothing where nothing was observed.
    pub(super) fn words(&self) -> Option<String> {
        let seen = self.tried.saturating_sub(self.by_kernel);
        let wrong = if self.disagree > 0 { format!(", ✗ {} otherwise", self.disagree) } else { String::new() };
        (seen > 0).then(|| format!("{} of {seen} through{wrong}", self.through))
    }
}

impl Linting {
    /// Reads what `lint --json` printed on a host, about these clusters.
    ///
    /// # Errors
    /// Where it is no such document, or is about another cluster file or node.
    pub fn read((name, text): (&str, &str), clusters: &[Reviewed]) -> Result<Self, NotRead> {
        const FORM: &str = "lint";
        let read: Linted = of(document(text, FORM, "found")?, FORM)?;
        let one_of_these = |one: &Of| clusters.iter().any(|own| (&own.name, &own.input) == (&one.name, &one.input));
        let fits = |own: &Reviewed| own.node.is_none() || own.node.as_deref() == read.node.as_deref();
        if read.clusters.is_empty() || !read.clusters.iter().all(one_of_these) {
            return Err(NotRead::Another("another cluster file".to_owned()));
        }
        if !clusters.iter().any(fits) {
            return Err(NotRead::Another("another node".to_owned()));
        }
        let mut found: Vec<Found> = read.found.into_iter().map(Line::told).collect();
        found.sort();
        Ok(Self { file: Digested::of(name, text), node: read.node.as_deref().map(plain), clean: read.clean, found })
    }

    /// What it found.
    pub(super) fn lines(&self) -> Vec<Vec<Piece>> {
        let so = if self.clean { "nothing found on " } else { "found on " };
        let node = self.node.as_deref().unwrap_or("a host that is not one of the nodes");
        let mut head = vec![Piece::own(so), Piece::foreign(node)];
        head.extend(from(&self.file));
        let told = |own: &Found| vec![Piece::Own(format!("{} ", own.severity.word())), Piece::foreign(&own.message)];
        [head].into_iter().chain(self.found.iter().map(told)).collect()
    }
}

/// From which file something is.
fn from(file: &Digested) -> [Piece; 5] {
    let [open, digest, close] = [", from ", " (sha256 ", ")"].map(Piece::own);
    [open, Piece::foreign(&file.name), digest, Piece::foreign(&file.sha256), close]
}

impl Line {
    fn told(self) -> Found {
        let place = self.file.map(|file| match self.line {
            Some(line) => format!(" ({file}:{line})"),
            None => format!(" ({file})"),
        });
        let code = self.code.as_deref().map(|code| format!("[{code}]: ")).unwrap_or_default();
        Found {
            severity: self.severity,
            message: plain(&format!("{code}{}{}", self.message, place.unwrap_or_default())),
            code: self.code.as_deref().map(plain),
        }
    }
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

fn of<T: for<'de> Deserialize<'de>>(document: serde_json::Value, form: &'static str) -> Result<T, NotRead> {
    serde_json::from_value(document).map_err(|error| NotRead::Field(form, plain(&error.to_string())))
}

/// Whether it is about these clusters, each by its digest.
fn about(read: &[Of], clusters: &[Reviewed], same_node: impl Fn(&Of, &Reviewed) -> bool) -> Result<(), NotRead> {
    let same = |(one, own): (&Of, &Reviewed)| plain(&one.name) == own.name && one.input == own.input;
    if read.len() != clusters.len() || !read.iter().zip(clusters).all(same) {
        return Err(NotRead::Another("another cluster file, or this one as it was before".to_owned()));
    }
    let nodes = read.iter().zip(clusters).all(|(one, own)| same_node(one, own));
    if nodes { Ok(()) } else { Err(NotRead::Another("another node".to_owned())) }
}
