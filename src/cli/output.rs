//! What commands print: results to stdout, everything else to stderr.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use super::files::write_file;
use super::{document, journal};
use crate::diagnostic::{Code, Diagnostic, Severity, Sources, render_json, render_text};
use crate::ir::Ruleset;
use crate::outcome::Outcome;
use crate::report::Body;

/// So many findings are rendered; nobody reads more, and a hundred thousand of them take half a minute.
const MOST_SHOWN: usize = 1000;

/// What a command that found errors leaves undone. One that only looks has nothing to say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undone {
    Nothing,
    Written,
    Changed,
    /// Not this file, and something else in its place.
    Used,
}

impl Undone {
    fn words(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Written => "nothing was written",
            Self::Changed => "nothing was changed",
            Self::Used => "the file is not used",
        }
    }
}

/// Prints findings, and how many there are.
pub fn print_findings(findings: &[Diagnostic], sources: &Sources, as_json: bool, undone: Undone) -> anyhow::Result<()> {
    document::add(findings, sources);
    // A document has all of them; a line of JSON for each is what is asked for where there is none.
    let as_json = as_json && !document::is_wanted();
    let mut stderr = anstream::stderr().lock();
    let shown = if as_json { findings.len() } else { MOST_SHOWN };
    for finding in findings.iter().take(shown) {
        if as_json {
            writeln!(stderr, "{}", render_json(finding, sources))?;
        } else {
            writeln!(stderr, "{}\n", render_text(finding, sources, true))?;
        }
    }
    if let Some(more) = findings.len().checked_sub(shown).filter(|more| *more > 0) {
        writeln!(stderr, "... and {more} more; `--json` prints them all\n")?;
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity() == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let syntax = findings.iter().any(|finding| finding.code == Code::Syntax);
    let undone = undone.words();
    let ends = match (syntax, undone) {
        (true, "") => "; nothing else was checked".to_owned(),
        (true, undone) => format!("; nothing else was checked, {undone}"),
        (false, "") => String::new(),
        (false, undone) => format!("; {undone}"),
    };
    match (as_json, errors, warnings) {
        (true, ..) | (false, 0, 0) => {}
        (false, 0, _) => writeln!(stderr, "{}", plural(warnings, "warning"))?,
        (false, _, 0) => writeln!(stderr, "{}{ends}", plural(errors, "error"))?,
        (false, ..) if syntax => writeln!(stderr, "{}{ends}", plural(errors, "error"))?,
        (false, ..) => {
            let (errors, warnings) = (plural(errors, "error"), plural(warnings, "warning"));
            writeln!(stderr, "{errors} and {warnings}{ends}")?;
        }
    }
    Ok(())
}

/// Says what of a ruleset was not understood.
pub fn warn_unknown(unknown: &[String]) {
    const SHOWN: usize = 20;
    let mut stderr = anstream::stderr().lock();
    for text in unknown.iter().take(SHOWN) {
        // Nobody is left to read why nobody could be told.
        let _ = writeln!(stderr, "warning: not understood; assumed to be able to do anything: {text}");
    }
    if let Some(more) = unknown.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(stderr, "warning: ... and {more} more");
    }
    if unknown.iter().any(|text| text.contains(": include \"")) {
        let _ = writeln!(
            stderr,
            "help: `--include-from DIR` allows another folder for what files include; nft itself looks in /etc, and where `nft -I DIR` says"
        );
    }
}

/// Says on which rules it may hang where an answer stays open, because no packet says whether they apply.
pub fn warn_open(ruleset: &Ruleset) {
    const SHOWN: usize = 20;
    let open: Vec<String> = ruleset.varying().collect();
    let mut stderr = anstream::stderr().lock();
    for text in open.iter().take(SHOWN) {
        // Nobody is left to read why nobody could be told.
        let _ = writeln!(
            stderr,
            "warning: this may be undecided because of a rule that asks for more than a packet says: {text}"
        );
    }
    if let Some(more) = open.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(stderr, "warning: ... and {more} more such rules");
    }
}

/// Prints to stdout, unless there is a document, which stands there alone. A reader that has had enough is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    if document::is_wanted() {
        let _ = anstream::stderr().lock().write_all(text.as_bytes());
        return Ok(());
    }
    print_alone(text)
}

/// What a command has to say: as a document where one is wanted, otherwise as text.
pub fn present(body: impl FnOnce() -> Body, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    if document::is_wanted() {
        document::set(body());
        return Ok(());
    }
    print_alone(&text())
}

/// Says an error, which is one of the document, too.
pub fn fail(code: &'static str, words: String) {
    say(&format!("error: {words}"));
    document::add_error(code, words);
}

/// Prints the document of a run that ends like this, if it has one; or writes it into a file, unless there is nothing to say in it.
pub fn print_document(outcome: Outcome, file: Option<&Path>) -> anyhow::Result<()> {
    let Some(document) = document::end(outcome) else { return Ok(()) };
    match file.filter(|_| document.body.is_some()) {
        Some(file) => write_file(file, document.json()?),
        None => print_alone(&document.json()?),
    }
}

/// From here on the host is changed, and stays so, whether anybody can be told or not.
pub fn changed() {
    CHANGED.store(true, Ordering::Relaxed);
}

static CHANGED: AtomicBool = AtomicBool::new(false);

fn print_alone(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        // How the run ends is to say what became of the host.
        Err(error) if CHANGED.load(Ordering::Relaxed) => {
            say(&format!(
                "warning: cannot write to standard output: {error}; what was changed stays: see `ringfence status`"
            ));
            Ok(())
        }
        other => other.context("cannot write to standard output"),
    }
}

/// Warns of something, on stderr and in the document of a run that prints one.
pub fn warn(words: &str) {
    say(&format!("warning: {words}"));
    document::add_said(Severity::Warning, None, words.to_owned());
}

/// Says something to whoever reads stderr, or the journal. Nobody is left to read why nobody could be told.
pub fn say(words: &str) {
    if !journal::send(words) {
        let _ = writeln!(anstream::stderr(), "{words}");
    }
}

/// Says something as a line of a log, where several programs write. The journal knows whose it is.
pub fn log(words: &str) {
    if !journal::send(words) {
        say(&format!("ringfence: {words}"));
    }
}
