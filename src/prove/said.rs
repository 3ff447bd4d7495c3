//! What a ruleset says of itself, held against the cluster file.
//!
//! The claims are about rules, and a header is none: a ruleset may do all that a file wants and say in its header that somebody else is
//! admitted. Whoever reads headers then decides by a lie.

use crate::cluster::{Node, Site};
use crate::compile;
use crate::diagnostic::{Code, Diagnostic};

/// What the lines begin with by which a header is one of this program.
const OURS: &str = "Made by ringfence ";
/// What the digest of a cluster file stands behind.
const INPUT: &str = "Input: sha256 ";
/// What the line begins with that says whose rules these are.
const ABOUT: &str = "Firewall rules of the cluster";
/// The first line about who is admitted, and the first behind these.
const ADMITTED: (&str, &str) = ("Admitted, over TCP:", "These rules block;");
/// What can be done.
const HELP: &str = "compile it again, or name the cluster file that it was made of";

/// A remark of a text: the number of its line, and what it says.
pub type Remark = (usize, String);

/// All remarks of a text whose first line has this number, wherever they stand.
pub fn remarks(text: &str, first: usize) -> impl Iterator<Item = Remark> {
    let numbered = text.lines().enumerate().map(move |(at, line)| (at + first, line));
    numbered.filter_map(|(at, line)| {
        let line = line.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
        let said = line.strip_prefix('#')?.trim();
        (!said.is_empty()).then(|| (at, said.to_owned()))
    })
}

/// What a text says in its remarks that is not so by the cluster file: of the node that it names, or of every node. Nothing where none of
/// them is of a header of this program.
#[must_use]
pub fn untrue(name: &str, said: &[Remark], site: &Site<'_>) -> Vec<Diagnostic> {
    let begins = |with: &str| said.iter().any(|(_, line)| line.starts_with(with));
    if ![OURS, ABOUT, ADMITTED.0].into_iter().any(begins) {
        return Vec::new();
    }
    let expected: Vec<Remark> = compile::header(&named(said, site))
        .iter()
        .enumerate()
        .map(|(at, line)| (at, line.trim().to_owned()))
        .filter(|(_, line)| !line.is_empty())
        .collect();
    let mut findings = Vec::new();
    findings.extend(about(name, said, &expected, site));
    findings.extend(input(name, said, &expected));
    let wanted: Vec<&Remark> = section(&expected);
    let blocks = starts(said, ADMITTED.0);
    if blocks.is_empty() {
        let at = said.last().map_or(1, |(at, _)| *at);
        findings.push(lacking(name, at, wanted.first().copied()));
    }
    findings.extend(blocks.into_iter().find_map(|block| differs(name, &section(block), &wanted)));
    findings.extend(rests(name, said, &expected));
    findings
}

/// Whose rules a header says that these are: every line of it, and the node, where one is asked about.
fn about(name: &str, said: &[Remark], expected: &[Remark], site: &Site<'_>) -> Option<Diagnostic> {
    let wanted = expected.iter().find(|(_, line)| line.starts_with(ABOUT)).map_or("", |(_, line)| line);
    let lines = || said.iter().filter(|(_, line)| line.starts_with(ABOUT));
    if let Some((at, line)) = lines().find(|(_, line)| line != wanted) {
        let (line, wanted) = (shown(line), shown(wanted));
        let message = format!("{name}:{at}: the header says `{line}`, and by the cluster file it is `{wanted}`");
        return Some(Diagnostic::placeless(Code::HeaderNode, message).help(HELP));
    }
    let asked = site.node_names().filter(|_| site.is_of_nodes())?;
    let own = named(said, site).node_names()?;
    let (at, _) = lines().next()?;
    let message =
        format!("{name}:{at}: the header says that these rules are for {own}, and they are judged for {asked}");
    (own != asked).then(|| Diagnostic::placeless(Code::HeaderNode, message).help("name the node that they are for"))
}

fn input(name: &str, said: &[Remark], expected: &[Remark]) -> Option<Diagnostic> {
    let digests = |lines: &[Remark]| -> Vec<String> {
        lines.iter().filter_map(|(_, line)| line.strip_prefix(INPUT)).map(str::to_owned).collect()
    };
    let (own, wanted) = (digests(said), digests(expected));
    // What is said twice is said.
    let same = own.chunks(wanted.len().max(1)).all(|chunk| chunk == wanted.as_slice());
    if same && (!own.is_empty() || !said.iter().any(|(_, line)| line.starts_with(OURS))) {
        return None;
    }
    let at = said.iter().find(|(_, line)| line.starts_with(INPUT)).map_or(1, |(at, _)| *at);
    let message =
        format!("{name}:{at}: the header says that these rules were made of another input than this cluster file");
    Some(Diagnostic::placeless(Code::HeaderInput, message).help(HELP))
}

/// The remarks from each that begins so.
fn starts<'a>(lines: &'a [Remark], with: &str) -> Vec<&'a [Remark]> {
    let at = lines.iter().enumerate().filter(|(_, (_, line))| line.starts_with(with)).map(|(at, _)| at);
    at.filter_map(|at| lines.get(at..)).collect()
}

/// The lines about who is admitted and what is not guarded.
fn section(lines: &[Remark]) -> Vec<&Remark> {
    let from = lines.iter().skip_while(|(_, line)| !line.starts_with(ADMITTED.0));
    from.take_while(|(_, line)| !line.starts_with(ADMITTED.1)).collect()
}

/// The first line that is another than it has to be.
fn differs(name: &str, own: &[&Remark], wanted: &[&Remark]) -> Option<Diagnostic> {
    let differ = |(at, (_, line)): &(usize, &&Remark)| wanted.get(*at).is_none_or(|(_, own)| own != line);
    if let Some((at, (number, line))) = own.iter().enumerate().find(differ) {
        let instead = wanted.get(at).map_or("nothing", |(_, line)| line);
        let (line, instead) = (shown(line), shown(instead));
        let message = format!("{name}:{number}: the header says `{line}`, and by the cluster file it is `{instead}`");
        return Some(Diagnostic::placeless(Code::HeaderAdmits, message).help(HELP));
    }
    let at = own.last().map_or(1, |(at, _)| *at);
    (own.len() < wanted.len()).then(|| lacking(name, at, wanted.get(own.len()).copied()))
}

fn lacking(name: &str, at: usize, line: Option<&Remark>) -> Diagnostic {
    let line = shown(line.map_or("", |(_, line)| line));
    let message = format!("{name}:{at}: the header does not say `{line}`");
    Diagnostic::placeless(Code::HeaderAdmits, message).help(HELP)
}

/// What a header of this very version says that its rules rest on.
fn rests(name: &str, said: &[Remark], expected: &[Remark]) -> Option<Diagnostic> {
    let made = |lines: &[Remark]| lines.iter().find(|(_, line)| line.starts_with(OURS)).map(|(_, line)| line.clone());
    if made(said) != made(expected) {
        return None;
    }
    let wanted = starts(expected, ADMITTED.1).first().copied().unwrap_or_default();
    let first = starts(said, ADMITTED.1);
    let differ = first.iter().find_map(|own| own.iter().zip(wanted).find(|((_, own), (_, wanted))| own != wanted));
    let ((at, line), (_, wanted)) = differ?;
    let (line, wanted) = (shown(line), shown(wanted));
    let message =
        format!("{name}:{at}: the header says that the rules rest on `{line}`, where they rest on `{wanted}`");
    Some(Diagnostic::placeless(Code::HeaderRests, message).help(HELP))
}

/// The site that a header is about, by the nodes that it names.
fn named<'a>(said: &[Remark], site: &Site<'a>) -> Site<'a> {
    let cluster = site.cluster();
    let place = said.iter().filter(|(_, line)| line.starts_with(ABOUT)).find_map(|(_, line)| {
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
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::{Cluster, parse};
    use crate::prove::{Text, nft};

    const FILE: &str = "[cluster]\nname = \"c\"\nnodes = [\"riak@10.0.0.1\", \"riak@10.0.0.2\"]\n[networks]\n\
        private = [\"10.0.0.0/24\"]\n[services.distribution]\nports = \"6000-6009\"\n[[client]]\nname = \"web\"\n\
        from = [\"10.1.0.0/24\"]\nservices = [\"http\"]\n";

    fn cluster(text: &str) -> Cluster {
        parse("cluster.toml", text.to_owned(), Path::new("")).cluster.unwrap()
    }

    fn codes(text: &str, site: &Site<'_>) -> Vec<(Code, String)> {
        untrue("r.nft", &remarks(text, 1).collect::<Vec<_>>(), site)
            .into_iter()
            .map(|finding| (finding.code, finding.message))
            .collect()
    }

    #[test]
    fn a_header_that_lies_is_found_with_its_line() {
        let cluster = cluster(FILE);
        let sites = [Site::of_every_node(&cluster), Site::of_node(&cluster, cluster.nodes().first().unwrap())];
        for (site, asked) in sites.iter().zip(sites.iter().rev()) {
            let emitted = nft(site).unwrap();
            let text = emitted.text(Text::Nft).unwrap();
            // Rules for every node are asked about for one of them, too.
            assert_eq!(codes(text, site), []);
            assert_eq!(codes(text, asked), []);
            let lie = text.replace("client web (10.1.0.0/24)", "client web (10.1.0.0/16)");
            let found = codes(&lie, site);
            let line = lie.lines().position(|line| line.contains("10.1.0.0/16")).unwrap() + 1;
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].0, Code::HeaderAdmits);
            assert!(
                found[0].1.starts_with(&format!("r.nft:{line}: the header says `client web (10.1.0.0/16)`")),
                "{found:?}"
            );
            // One who is not told, and a service that is said not to be guarded.
            let silent: String =
                text.lines().filter(|line| !line.contains("client web (")).map(|line| format!("{line}\n")).collect();
            assert_eq!(codes(&silent, site)[0].0, Code::HeaderAdmits);
            let more = text
                .replace("NOT guarded, because said to be unused: ", "NOT guarded, because said to be unused: epmd; ");
            assert_eq!(codes(&more, site)[0].0, Code::HeaderAdmits);
            let end: String = text
                .lines()
                .filter(|line| !line.contains("over IPv6 everyone"))
                .map(|line| format!("{line}\n"))
                .collect();
            assert_eq!(codes(&end, site)[0].0, Code::HeaderAdmits);
            let other = text.replace(cluster.digest(), &"0".repeat(64));
            assert_eq!(codes(&other, site).iter().map(|(code, _)| *code).collect::<Vec<_>>(), [Code::HeaderInput]);
            // What nobody says is no lie.
            let bare: String =
                text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
            assert_eq!(codes(&bare, site), []);
        }
    }

    #[test]
    fn another_file_is_another_input() {
        let (one, other) = (cluster(FILE), cluster(&format!("# a remark\n{FILE}")));
        let emitted = nft(&Site::of_every_node(&one)).unwrap();
        let found = codes(emitted.text(Text::Nft).unwrap(), &Site::of_every_node(&other));
        assert_eq!(found.iter().map(|(code, _)| *code).collect::<Vec<_>>(), [Code::HeaderInput]);
        let wider = cluster(&FILE.replace("10.1.0.0/24", "10.1.0.0/23"));
        let found = codes(emitted.text(Text::Nft).unwrap(), &Site::of_every_node(&wider));
        assert_eq!(found.iter().map(|(code, _)| *code).collect::<Vec<_>>(), [Code::HeaderInput, Code::HeaderAdmits]);
    }

    /// Wherever the lie stands, and however it is written.
    #[test]
    fn a_header_is_found_wherever_it_stands() {
        let cluster = cluster(FILE);
        let site = Site::of_every_node(&cluster);
        let emitted = nft(&site).unwrap();
        let text = emitted.text(Text::Nft).unwrap();
        let lie = text.replace("client web (10.1.0.0/24)", "client web (10.1.0.0/16)");
        let body: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        let block: String = lie
            .lines()
            .skip_while(|line| !line.starts_with("# Admitted"))
            .take_while(|line| !line.starts_with("# These rules"))
            .map(|line| format!("{line}\n"))
            .collect();
        let header: String =
            lie.lines().take_while(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        for lies in [
            format!("flush ruleset\n{lie}"),
            format!("\u{feff}{lie}"),
            lie.replace("\n# ", "\n #  "),
            lie.replace("\n# ", "\n#\t"),
            lie.replace("\n", "\r\n"),
            format!("{text}\n{block}"),
            format!("{body}\n{block}"),
            format!("{body}\n{header}"),
            lie.replace("Made by ringfence", "Made by hand"),
        ] {
            let found = codes(&lies, &site);
            assert!(found.iter().any(|(code, _)| *code == Code::HeaderAdmits), "{found:?} in {lies}");
        }
        // The same, told truly.
        for truth in [format!("flush ruleset\n{text}"), format!("\u{feff}{text}"), text.replace("\n# ", "\n #  ")] {
            assert_eq!(codes(&truth, &site), []);
        }
    }

    #[test]
    fn a_header_of_another_node_or_of_other_assumptions_is_told() {
        let cluster = cluster(FILE);
        let of = |at: usize| Site::of_node(&cluster, cluster.nodes().get(at).unwrap());
        let emitted = nft(&of(1)).unwrap();
        let text = emitted.text(Text::Nft).unwrap();
        let only =
            |text: &str, site: &Site<'_>| codes(text, site).into_iter().map(|(code, _)| code).collect::<Vec<_>>();
        assert_eq!(only(text, &of(1)), []);
        assert_eq!(only(text, &Site::of_every_node(&cluster)), []);
        assert_eq!(only(text, &of(0)), [Code::HeaderNode]);
        let other = text.replace("for the node riak@10.0.0.2", "for the node riak@10.0.0.9");
        assert_eq!(only(&other, &of(1)), [Code::HeaderNode]);
        let renamed = text.replace("the cluster c ", "the cluster d ");
        assert_eq!(only(&renamed, &of(1)), [Code::HeaderNode]);
        let rests = text.replace("# - a source address is not an identity", "# - a source address is an identity");
        assert_eq!(only(&rests, &of(1)), [Code::HeaderRests]);
    }
}
