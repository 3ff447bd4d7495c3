//! A picture of who gets to which service: sources at the left, the host's services at the right, a line for each way in.
//!
//! It says what the matrix says, and nothing else, so a reader who cannot see it misses nothing; its description has the same in words. What
//! differs is told by form and by words, and not by colour alone: each kind of source has an outline of its own, and each kind of line a
//! dash, a mark and a name below. Here is only where things stand; the template draws them, and escapes every name.

use super::words::few;
use super::{Cell, Fate, Finding, Kind, Review, Row};

/// The most clients with a box of their own, and the most private and untrusted networks; more are grouped by where they get in.
const MOST_APART: usize = 8;
/// The most boxes that are drawn: strangers first, then what is not proved.
const MOST_BOXES: usize = 40;
/// How many letters fit into a box, and into a service.
const LETTERS: usize = 44;
const SERVICE_LETTERS: usize = 26;
/// The left edge of the services, and the right one of the sources.
const SERVICES_AT: u32 = 700;
const SOURCES_TO: u32 = 350;
/// From one box to the next, and from one service to the next.
const BOX_STEP: u32 = 78;
const SERVICE_STEP: u32 = 58;
const TOP: u32 = 40;

/// All that is drawn.
pub(super) struct Picture {
    /// How high it is.
    pub height: u32,
    /// How high the host is.
    pub host: u32,
    /// Where the legend begins.
    pub legend: u32,
    /// Whose rules these are.
    pub place: String,
    pub boxes: Vec<Source>,
    pub services: Vec<Target>,
    pub lines: Vec<Line>,
    /// Rows that are not drawn.
    pub more: usize,
    /// The same in words.
    pub words: String,
}

/// Some sources.
pub(super) struct Source {
    /// The upper edge.
    pub y: u32,
    /// The outline.
    pub kind: Kind,
    pub title: String,
    pub detail: String,
    pub fate: String,
}

/// A service.
pub(super) struct Target {
    pub y: u32,
    pub name: String,
    pub ports: String,
}

/// A way in.
pub(super) struct Line {
    pub from: u32,
    pub to: u32,
    /// Where its mark stands.
    pub at: (u32, u32),
    pub way: Way,
}

/// What becomes of packets on a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// All get in, as the file wants it.
    In,
    /// Some do, as the file wants it.
    Part,
    /// It is not as the file wants it.
    Bad,
    /// It cannot be said.
    Open,
    /// Nobody does, as the file wants it.
    Out,
}

impl Way {
    fn of(cell: &Cell) -> Self {
        match (cell.shown, cell.found) {
            (Finding::Violated | Finding::OnPurpose, _) => Self::Bad,
            (Finding::Undecided, _) | (Finding::Proved, Fate::Undecided) => Self::Open,
            (Finding::Proved, Fate::Admitted) => Self::In,
            (Finding::Proved, Fate::Mixed | Fate::SomeAdmitted | Fate::SomeBlocked) => Self::Part,
            (Finding::Proved, Fate::Blocked | Fate::BlockedElsewhere) => Self::Out,
        }
    }

    /// The class of its line.
    pub(super) fn look(self) -> &'static str {
        match self {
            Self::In => "way-in",
            Self::Part => "way-part",
            Self::Bad => "way-bad",
            Self::Open => "way-open",
            Self::Out => "",
        }
    }

    /// What stands on it.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::In | Self::Out => "",
            Self::Part => "½",
            Self::Bad => "✗",
            Self::Open => "?",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::In => "admitted to",
            Self::Part => "in part admitted to",
            Self::Bad => "VIOLATED at",
            Self::Open => "UNDECIDED at",
            Self::Out => "blocked from",
        }
    }

    /// Each that has a line.
    pub(super) const DRAWN: [(Self, &'static str); 4] = [
        (Self::In, "admitted"),
        (Self::Part, "½ some of them"),
        (Self::Bad, "✗ not as the file wants it"),
        (Self::Open, "? not known"),
    ];
}

/// Rows that stand together.
struct Group<'a> {
    kind: Kind,
    ways: Vec<Way>,
    rows: Vec<&'a Row>,
}

/// No longer than fits, with a mark where something is left out.
fn clip(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
}

fn groups(rows: &[Row]) -> Vec<Group<'_>> {
    let many = |kind: Kind| match kind {
        Kind::Client | Kind::Private | Kind::Untrusted => {
            rows.iter().filter(|row| row.kind == kind).count() > MOST_APART
        }
        Kind::Peers | Kind::Others => false,
    };
    let many =
        [Kind::Client, Kind::Private, Kind::Untrusted].into_iter().filter(|kind| many(*kind)).collect::<Vec<Kind>>();
    let mut all: Vec<Group<'_>> = Vec::new();
    for row in rows {
        let ways: Vec<Way> = row.cells.iter().map(Way::of).collect();
        let together = many.contains(&row.kind);
        let with = |own: &&mut Group<'_>| {
            let same = own.rows.first().is_some_and(|first| first.label() == row.label());
            own.kind == row.kind && own.ways == ways && (together || same)
        };
        match all.iter_mut().find(with) {
            Some(known) => known.rows.push(row),
            None => all.push(Group { kind: row.kind, ways, rows: vec![row] }),
        }
    }
    all
}

/// Those that are drawn, in their order, and how many are not.
fn drawn(groups: Vec<Group<'_>>) -> (Vec<Group<'_>>, usize) {
    let more = groups.len().saturating_sub(MOST_BOXES);
    let mut all: Vec<(usize, Group<'_>)> = groups.into_iter().enumerate().collect();
    all.sort_by_key(|(at, group)| (group.weight(), *at));
    all.truncate(MOST_BOXES);
    all.sort_by_key(|(at, _)| *at);
    (all.into_iter().map(|(_, group)| group).collect(), more)
}

impl Group<'_> {
    /// The less, the sooner it is drawn.
    fn weight(&self) -> (u8, u8) {
        let open = self.ways.iter().any(|way| matches!(way, Way::Bad | Way::Open));
        let stranger = matches!(self.kind, Kind::Others | Kind::Untrusted);
        let first = match (open, stranger) {
            (true, true) => 0,
            (false, true) if self.kind == Kind::Others => 0,
            (true, false) => 1,
            (false, _) => 2,
        };
        (first, self.kind.weight())
    }

    fn title(&self) -> String {
        let mut labels: Vec<String> = Vec::new();
        for label in self.rows.iter().map(|row| row.label()) {
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        if labels.len() > 1 { format!("{} rows: {}", labels.len(), few(&labels, 3, 0)) } else { labels.concat() }
    }

    /// How many, and who.
    fn detail(&self) -> String {
        let mut sizes = String::new();
        for family in ["IPv4", "IPv6"] {
            let own: Vec<String> = self.rows.iter().filter(|row| row.family == family).map(|row| row.size()).collect();
            let size = match own.as_slice() {
                [] => continue,
                [one] => format!("{family}: {one}"),
                many => format!("{family}: {} rows", many.len()),
            };
            sizes = if sizes.is_empty() { size } else { format!("{sizes}, {size}") };
        }
        let names: Vec<String> = self
            .rows
            .first()
            .filter(|_| matches!(self.kind, Kind::Peers | Kind::Client))
            .map(|row| row.sources.iter().flat_map(|source| source.networks.iter().take(2).cloned()).take(4).collect())
            .unwrap_or_default();
        if names.is_empty() { sizes } else { format!("{sizes}; {}", few(&names, 2, 0)) }
    }

    /// Where they get in, or do not, in words.
    fn fate(&self, services: &[String]) -> String {
        let mut all: Vec<String> = Vec::new();
        for way in [Way::In, Way::Part, Way::Bad, Way::Open, Way::Out] {
            let own: Vec<&str> =
                self.ways.iter().zip(services).filter(|(own, _)| **own == way).map(|(_, name)| name.as_str()).collect();
            if own.len() == services.len() && !own.is_empty() {
                return format!("{} all services", way.word());
            }
            if !own.is_empty() {
                all.push(format!("{} {}", way.word(), own.join(", ")));
            }
        }
        all.join("; ")
    }
}

impl Review {
    /// The picture of it.
    pub(super) fn picture(&self) -> Picture {
        let names: Vec<String> = self.services.iter().map(|service| service.name.clone()).collect();
        let (drawn, more) = drawn(groups(&self.rows));
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX / 1000);
        let (left, right) = (count(drawn.len()) * BOX_STEP, count(names.len()) * SERVICE_STEP);
        let body = left.max(right + 30);
        // Services stand in the middle of the sources.
        let shift = (body - right) / 2;
        let target = |at: usize| TOP + shift + count(at) * SERVICE_STEP;
        let mut lines = Vec::new();
        for (at, group) in drawn.iter().enumerate() {
            let from = TOP + count(at) * BOX_STEP + 32;
            for (column, way) in group.ways.iter().enumerate().filter(|(_, way)| **way != Way::Out) {
                let to = target(column) + 22;
                // Nearer to the source, where lines of one service have not come together.
                let x = SOURCES_TO + (SERVICES_AT - SOURCES_TO) / 3 + count(column) * 14;
                let along = f64::from(x - SOURCES_TO) / f64::from(SERVICES_AT - SOURCES_TO);
                let y = f64::from(from) + (f64::from(to) - f64::from(from)) * along;
                lines.push(Line { from, to, at: (x, y.round() as u32), way: *way });
            }
        }
        // What is not as it has to be is drawn over the rest.
        lines.sort_by_key(|line| matches!(line.way, Way::Bad | Way::Open));
        let left_out = (more > 0).then(|| format!("{more} more are not drawn; they are in the matrix"));
        let words: Vec<String> =
            drawn.iter().map(|group| format!("{}: {}", group.title(), group.fate(&names))).chain(left_out).collect();
        let source = |(at, group): (usize, &Group<'_>)| Source {
            y: TOP + count(at) * BOX_STEP,
            kind: group.kind,
            title: clip(&group.title(), LETTERS),
            detail: clip(&group.detail(), LETTERS),
            fate: clip(&group.fate(&names), LETTERS),
        };
        let services = self.services.iter().enumerate().map(|(at, service)| Target {
            y: target(at),
            name: clip(&service.name, SERVICE_LETTERS),
            ports: clip(&few(&service.ports, 3, 0), SERVICE_LETTERS),
        });
        Picture {
            height: TOP + body + 70,
            host: body,
            legend: TOP + body + 20,
            place: clip(&self.title(), SERVICE_LETTERS),
            boxes: drawn.iter().enumerate().map(source).collect(),
            services: services.collect(),
            lines,
            more,
            words: words.join(". "),
        }
    }
}
