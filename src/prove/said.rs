//! What a ruleset says of itself, held against the cluster file.
//!
//! The claims are about rules, and a header is none: a ruleset may do all that a file wants and say in its header that somebody else is
//! admitted. Whoever reads headers then decides by a lie.

mod remarks;
mod tools;

use std::collections::HashSet;

use remarks::bare;
use tools::of_tools;

use crate::cluster::{Node, Site};
use crate::compile;
use crate::diagnostic::{Code, Diagnostic};

pub use remarks::{Hash, Remark, remarks};
pub use tools::saved;

/// What the lines begin with by which a header is one of this program.
const OURS: &str = "Made by ringfence ";
/// What the digest of a cluster file stands behind.
const INPUT: &str = "Input: sha256 ";
/// What the line begins with that says whose rules these are.
const ABOUT: &str = "Firewall rules of the cluster";
/// The first line about who is admitted, and the first behind these.
const ADMITTED: (&str, &str) = ("Admitted, over TCP:", "These rules block;");
/// What the first line about who is admitted begins with, in a header that is not quite one.
const ADMITTED_SO: &str = "Admitted";
/// What can be done.
const HELP: &str = "compile it again, or name the cluster file that it was made of";

/// What files that are taken together say in their remarks that is not so by the cluster file: of the node that a header names, or of every
/// node. Nothing where none of them has a header of this program, unless `ours`: the rules are this program's, and whatever is said beside
/// them is taken to be about them.
///
/// A header is held line by line against the one that this program would write. Of remarks elsewhere that are none of its own it is said only
/// that they are there.
#[must_use]
pub fn untrue(files: &[(String, Vec<Remark>)], ours: bool, site: &Site<'_>) -> Vec<Diagnostic> {
    let all = || files.iter().flat_map(|(_, said)| said);
    if !ours && !all().any(|(_, line)| is_of_header(line)) {
        return Vec::new();
    }
    let own = named(all(), site);
    let expected: Vec<String> =
        compile::header(&own).iter().map(|line| bare(line).to_owned()).filter(|line| !line.is_empty()).collect();
    let mut findings = Vec::new();
    let mut beside: Vec<(&str, &Remark)> = Vec::new();
    for (name, said) in files {
        let mut held = Held { name, expected: &expected, findings: Vec::new() };
        let mut rest = said.as_slice();
        while let Some(((_, line), behind)) = rest.split_first() {
            match begins(line, &expected) {
                Some(at) => rest = held.block(rest, at),
                None => {
                    beside.extend(rest.first().map(|remark| (name.as_str(), remark)));
                    rest = behind;
                }
            }
        }
        findings.extend(held.findings);
        findings.extend(other_node(name, said, &own, site));
    }
    findings.extend(added(&beside, &own));
    findings
}

fn is_of_header(line: &str) -> bool {
    [OURS, ABOUT, INPUT, ADMITTED.0].into_iter().any(|with| line.starts_with(with))
}

/// Where in a header a line stands by which one begins. The first line that it has may be gone, or be another.
fn begins(line: &str, expected: &[String]) -> Option<usize> {
    let with = [ABOUT, OURS, INPUT, ADMITTED_SO].into_iter().find(|with| line.starts_with(with))?;
    expected.iter().position(|own| own.starts_with(with))
}

/// A header that is held against what it has to be.
struct Held<'a> {
    name: &'a str,
    expected: &'a [String],
    findings: Vec<Diagnostic>,
}

impl Held<'_> {
    /// Compares lines with those from this one on, and gives back what stands behind them.
    fn block<'s>(&mut self, said: &'s [Remark], from: usize) -> &'s [Remark] {
        let first = said.first().map_or(1, |(at, _)| *at);
        (0..from).for_each(|at| self.lacks(first, at));
        let (mut rest, mut at) = (said, from);
        while let (Some(((number, line), behind)), Some(wanted)) = (rest.split_first(), self.expected.get(at)) {
            let follows = behind.first().map(|(_, line)| line);
            if same(line, wanted) {
                at += 1;
                rest = behind;
            } else if let Some(later) = self.expected.iter().skip(at).position(|own| same(line, own)) {
                (at..at + later).for_each(|at| self.lacks(*number, at));
                at += later;
            } else if follows.is_some_and(|own| same(own, wanted)) {
                // Something that this program does not say, among what it does.
                self.note(Code::HeaderAdmits, *number, line, "nothing");
                rest = behind;
            } else if is_of_header(line) && !begins_alike(line, wanted) {
                // Another header begins.
                break;
            } else {
                let code = match self.code(at) {
                    // Something else than what rules rest on may be anything, such as one more who is admitted.
                    Code::HeaderRests => Code::HeaderAdmits,
                    code => code,
                };
                self.note(code, *number, line, wanted);
                at += 1;
                rest = behind;
            }
        }
        if at < self.expected.len() {
            let taken = said.len() - rest.len();
            let last = said.get(taken.saturating_sub(1)).map_or(first, |(at, _)| *at);
            (at..self.expected.len()).for_each(|at| self.lacks(last, at));
        }
        rest
    }

    /// What kind of lie it is where a line of the header is another.
    fn code(&self, at: usize) -> Code {
        let place = |with: &str| self.expected.iter().position(|own| own.starts_with(with)).unwrap_or(usize::MAX);
        let line = self.expected.get(at).map_or("", String::as_str);
        if line.starts_with(ABOUT) {
            Code::HeaderNode
        } else if at >= place(ADMITTED.1) {
            Code::HeaderRests
        } else if at >= place(ADMITTED.0) || line.starts_with("SHARED: ") || line.starts_with("STAGED: ") {
            Code::HeaderAdmits
        } else {
            Code::HeaderInput
        }
    }

    fn lacks(&mut self, number: usize, at: usize) {
        let line = shown(self.expected.get(at).map_or("", String::as_str));
        let message = format!("{}:{number}: the header does not say `{line}`", self.name);
        self.add(Diagnostic::placeless(self.code(at), message).help(HELP));
    }

    fn note(&mut self, code: Code, number: usize, line: &str, instead: &str) {
        let name = self.name;
        let message = if line.starts_with(INPUT) && instead.starts_with(INPUT) {
            format!(
                "{name}:{number}: the header says that these rules were made of another input than this cluster file"
            )
        } else {
            let (line, instead) = (shown(line), shown(instead));
            format!("{name}:{number}: the header says `{line}`, and by the cluster file it is `{instead}`")
        };
        self.add(Diagnostic::placeless(code, message).help(HELP));
    }

    /// One of each kind is enough: whoever reads it compiles again.
    fn add(&mut self, finding: Diagnostic) {
        if !self.findings.iter().any(|own| own.code == finding.code) {
            self.findings.push(finding);
        }
    }
}

/// Whether a line says what it has to. Which version made the rules is its own business: what it says is compared all the same.
fn same(line: &str, wanted: &str) -> bool {
    let version = |text: &str| -> Option<String> {
        let (version, rest) = text.strip_prefix(OURS)?.split_once(' ')?;
        let mut numbers = version.strip_suffix('.')?.split('.');
        let is_one =
            numbers.all(|own| !own.is_empty() && own.len() <= 4 && own.bytes().all(|byte| byte.is_ascii_digit()));
        is_one.then(|| rest.to_owned())
    };
    line == wanted || version(line).is_some_and(|own| Some(own) == version(wanted))
}

fn begins_alike(line: &str, wanted: &str) -> bool {
    [OURS, ABOUT, INPUT, ADMITTED.0].into_iter().any(|with| line.starts_with(with) && wanted.starts_with(with))
}

/// That a header is about another node than is asked about.
fn other_node(name: &str, said: &[Remark], own: &Site<'_>, site: &Site<'_>) -> Option<Diagnostic> {
    let asked = site.node_names().filter(|_| site.is_of_nodes())?;
    let own = own.node_names()?;
    let (at, _) = said.iter().find(|(_, line)| line.starts_with(ABOUT))?;
    let message =
        format!("{name}:{at}: the header says that these rules are for {own}, and they are judged for {asked}");
    (own != asked).then(|| Diagnostic::placeless(Code::HeaderNode, message).help("name the node that they are for"))
}

/// A remark without the line of the cluster file that it is about, such as `riak@10.0.0.1, cluster.toml:3`.
fn placeless(line: &str) -> &str {
    let is_place = |place: &str| {
        let (file, line) = place.rsplit_once(':').unwrap_or_default();
        file.ends_with(".toml") && !file.contains(char::is_whitespace) && line.parse::<u32>().is_ok()
    };
    line.rsplit_once(", ").filter(|(_, place)| is_place(place)).map_or(line, |(what, _)| what)
}

/// That there are remarks beside a header that this program does not make.
fn added(beside: &[(&str, &Remark)], own: &Site<'_>) -> Option<Diagnostic> {
    let known = compile::remarks(own);
    // The same file may have been called otherwise, and stand in another folder.
    let known: HashSet<&str> = known.iter().map(|line| placeless(bare(line))).collect();
    let mut others = beside.iter().filter(|(_, (_, line))| !known.contains(placeless(line)) && !of_tools(line));
    let (name, (at, line)) = others.next()?;
    let more = match others.count() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let message = format!(
        "{name}:{at}: `{}` is no remark of this program{more}: what it says was held against nothing",
        shown(line)
    );
    Some(Diagnostic::placeless(Code::HeaderAdded, message).help("believe the rules, and what is said of them here"))
}

/// The site that a header is about, by the nodes that it names.
fn named<'a, 's>(mut said: impl Iterator<Item = &'s Remark>, site: &Site<'a>) -> Site<'a> {
    let cluster = site.cluster();
    let place = said.by_ref().filter(|(_, line)| line.starts_with(ABOUT)).find_map(|(_, line)| {
        let line = line.strip_suffix('.')?;
        line.split_once(" for the node ").or_else(|| line.split_once(" for the nodes "))
    });
    let nodes: Vec<&Node> = match place {
        Some((_, names)) => names.split(", ").filter_map(|name| cluster.node(name)).collect(),
        None => return Site::of_every_node(cluster),
    };
    Site::of_nodes(cluster, &nodes)
}

/// No longer than a line, and nothing that controls a terminal.
fn shown(line: &str) -> String {
    const LONGEST: usize = 120;
    line.trim().chars().take(LONGEST).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
