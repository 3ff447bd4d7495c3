//! A review as one file of HTML that needs nothing else: no script, no network, no font.
//!
//! INVARIANT (escaped): askama escapes every value, as the template's name ends with `.html`, and the template turns it off nowhere.

use askama::Template;

use super::grid::{GLOSSARY, reasons, result};
use super::picture::{Picture, Way};
use super::words::few;
use super::{Cell, Fate, Finding, Kind, Named, Review, Row, noted};

#[derive(Template)]
#[template(path = "review.html")]
struct Page<'a> {
    review: &'a Review,
    picture: Picture,
    glossary: &'static [(&'static str, &'static str)],
}

/// How a finding is told apart by more than its colour.
fn mark(finding: &Finding) -> &'static str {
    match *finding {
        Finding::Proved => "",
        Finding::Violated | Finding::OnPurpose => "✗ ",
        Finding::Undecided => "? ",
    }
}

/// The class of a cell: what it looks like.
fn look(cell: &Cell) -> &'static str {
    match (cell.shown, cell.found) {
        (Finding::Violated | Finding::OnPurpose, _) => "bad",
        (Finding::Undecided, _) => "open",
        (Finding::Proved, Fate::Admitted) => "in",
        (Finding::Proved, Fate::Mixed | Fate::SomeAdmitted | Fate::SomeBlocked) => "some",
        (Finding::Proved, Fate::Blocked | Fate::BlockedElsewhere | Fate::Undecided) => "out",
    }
}

fn verdict_look(finding: &Finding) -> &'static str {
    match *finding {
        Finding::Proved => "in",
        Finding::Violated | Finding::OnPurpose => "bad",
        Finding::Undecided => "open",
    }
}

/// The first few ports.
fn ports(ports: &[String]) -> String {
    few(ports, 4, 0)
}

/// The networks of a source.
fn networks(source: &Named) -> String {
    few(&source.networks, 4, source.more)
}

/// Whether a row has more to name than its own words do.
fn lists(row: &Row) -> bool {
    !row.sources.is_empty()
}

impl Review {
    /// All of it as HTML.
    ///
    /// # Errors
    /// Where the template fails, as it does for no review.
    pub fn html(&self) -> Result<String, askama::Error> {
        Page { review: self, picture: self.picture(), glossary: &GLOSSARY }.render()
    }
}
