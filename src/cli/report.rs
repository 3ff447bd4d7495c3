//! `ringfence report`: one document from which somebody judges the rules without running anything; and `ringfence matrix`, its middle.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::files::write_file;
use super::judged::{Judged, Judging, judge, judge_also};
use super::output::{present, print};
use super::since::Also;
use crate::outcome::Outcome;
use crate::report::{Body, Form, Review};

/// Write one document from which a reviewer can judge the rules without running anything.
///
/// What is guarded and what is not, digests of what was read and made, each claim with its proof or the packet for which it does not hold,
/// and who gets to which service by the rules. It ends as `verify` does; with `--live`, the claims and the answers about the whole host
/// both count, and the worse of them.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    judging: Judging,
    #[command(flatten)]
    also: Also,
    /// The form of the document; otherwise what the name of `--output` ends with, or text.
    #[arg(long, value_enum, value_name = "FORM", conflicts_with = "json")]
    format: Option<Shape>,
    /// The same as `--format json`: one document of JSON, of a schema in /usr/share/ringfence/schemas.
    #[arg(long)]
    json: bool,
    /// Write it into this file, whole or not at all, instead of printing it.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Show who gets to which service, by the rules.
///
/// Peers, clients, private and untrusted networks and everyone else, and for each whether it is admitted or blocked, and how that is known.
/// It ends as `report` does.
#[derive(Args)]
pub struct Matrix {
    #[command(flatten)]
    judging: Judging,
}

/// The form of a document.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    Text,
    Markdown,
    Json,
    Html,
    /// Findings, and claims and cells that are not proved, at lines of the cluster file: SARIF 2.1.0.
    Sarif,
}

impl Arguments {
    /// The form of the document that is asked for, if it is one of JSON.
    pub fn document(&self) -> Option<Form> {
        (self.shape() == Shape::Json).then_some(Form::Report)
    }

    /// The file that it goes into.
    pub fn file(&self) -> Option<&Path> {
        self.output.as_deref()
    }

    fn shape(&self) -> Shape {
        let ends_with = self.output.as_ref().and_then(|file| file.extension()?.to_str());
        let named = match ends_with {
            Some("html" | "htm") => Some(Shape::Html),
            Some("md" | "markdown") => Some(Shape::Markdown),
            Some("json") => Some(Shape::Json),
            Some("sarif") => Some(Shape::Sarif),
            _ => None,
        };
        if self.json { Shape::Json } else { self.format.or(named).unwrap_or(Shape::Text) }
    }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    if let Some(file) = &arguments.output {
        beside_clusters(file, &arguments.judging.config)?;
        spare(
            file,
            &arguments.judging.inputs().into_iter().chain(arguments.also.inputs().cloned()).collect::<Vec<_>>(),
        )?;
    }
    let shape = arguments.shape();
    let Judged { review, outcome, read } = match judge_also(&arguments.judging, shape == Shape::Json, &arguments.also)?
    {
        Ok(judged) => judged,
        Err(outcome) => return Ok(outcome),
    };
    if let Some(file) = &arguments.output {
        spare(file, &read)?;
    }
    let text = match shape {
        // It is printed, or written, when it is known how the command ends.
        Shape::Json => {
            present(|| Body::Report(Box::new(review)), String::new)?;
            return Ok(outcome);
        }
        Shape::Text => review.text(),
        Shape::Markdown => review.markdown(),
        Shape::Html => review.html()?,
        Shape::Sarif => review.sarif()?,
    };
    match &arguments.output {
        Some(file) => write_file(file, text)?,
        None => print(&text)?,
    }
    Ok(outcome)
}

/// Refuses to write what would be taken for a cluster file.
fn beside_clusters(file: &Path, config: &Path) -> anyhow::Result<()> {
    let folder = file.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let same = folder.and_then(|folder| Some(fs::canonicalize(folder).ok()? == fs::canonicalize(config).ok()?));
    let taken = same.unwrap_or(false) && file.extension().is_some_and(|own| own == "toml");
    anyhow::ensure!(
        !taken,
        "{} would be one of the cluster files of {}: name another",
        file.display(),
        config.display()
    );
    Ok(())
}

/// Refuses to write over what is no document: whatever is there takes the name away from what was there before.
fn spare(file: &Path, inputs: &[PathBuf]) -> anyhow::Result<()> {
    let shown = file.display();
    // Without following it: a link would go, and what it leads to stay as it was.
    let Ok(there) = fs::symlink_metadata(file) else { return Ok(()) };
    anyhow::ensure!(
        there.is_file() || there.is_dir(),
        "{shown} is there and no regular file: name another, or print it"
    );
    let read =
        |path: &PathBuf| if path.as_path() == Path::new("-") { PathBuf::from("/dev/stdin") } else { path.clone() };
    let same =
        |path: &PathBuf| fs::metadata(read(path)).is_ok_and(|own| (own.dev(), own.ino()) == (there.dev(), there.ino()));
    anyhow::ensure!(!inputs.iter().any(same), "{shown} is one of the files that are read: name another");
    Ok(())
}

pub fn run_matrix(arguments: &Matrix) -> anyhow::Result<Outcome> {
    let Judged { review, outcome, .. } = match judge(&arguments.judging, false)? {
        Ok(judged) => judged,
        Err(outcome) => return Ok(outcome),
    };
    print(&Review::matrix_text(&review))?;
    Ok(outcome)
}
