//! What a ruleset says of itself, held against the cluster file.
//!
//! The claims are about rules, and a header is none: a ruleset may do all that a file wants and say in its header that somebody else is
//! admitted. Whoever reads headers then decides by a lie.

use crate::cluster::{Node, Site};
use crate::compile;
use crate::diagnostic::{Code, Diagnostic};

/// The line by which a header is one of this program.
const OURS: &str = "Made by ringfence ";
/// What the digest of a cluster file stands behind.
const INPUT: &str = "Input: sha256 ";
/// The first line about who is admitted, and the first behind these.
const ADMITTED: (&str, &str) = ("Admitted, over TCP:", "These rules block;");

/// What a text says in its header that is not so by the cluster file: of the node that it names, or of every node. Nothing where it has
/// no header of this program.
#[must_use]
pub fn untrue(name: &str, text: &str, site: &Site<'_>) -> Vec<Diagnostic> {
    let said = header(text);
    if !said.iter().any(|(_, line)| line.starts_with(OURS)) {
        return Vec::new();
    }
    let expected = compile::header(&named(&said, site));
    let expected: Vec<(usize, &str)> = expected.iter().map(String::as_str).enumerate().collect();
    let help = "compile it again, or name the cluster file that it was made of";
    let mut findings = Vec::new();
    let digests = |lines: &[(usize, &str)]| -> Vec<String> {
        lines.iter().filter_map(|(_, line)| line.trim_start().strip_prefix(INPUT)).map(str::to_owned).collect()
    };
    if digests(&said) != digests(&expected) {
        let at = said.iter().find(|(_, line)| line.trim_start().starts_with(INPUT)).map_or(1, |(at, _)| *at);
        let message =
            format!("{name}:{at}: the header says that these rules were made of another input than this cluster file");
        findings.push(Diagnostic::placeless(Code::HeaderInput, message).help(help));
    }
    let (own, wanted) = (about_admission(&said), about_admission(&expected));
    let differ = |(at, (_, line)): &(usize, &(usize, &str))| wanted.get(*at).is_none_or(|(_, own)| own != line);
    let first = own.iter().enumerate().find(differ);
    let message = match first {
        Some((at, (number, line))) => {
            let instead = wanted.get(at).map_or("nothing", |(_, line)| line);
            format!(
                "{name}:{number}: the header says `{}`, and by the cluster file it is `{}`",
                shown(line),
                shown(instead)
            )
        }
        None if own.len() < wanted.len() => {
            let lacking = wanted.get(own.len()).map_or("", |(_, line)| line);
            let number = own.last().or(said.last()).map_or(1, |(number, _)| *number);
            format!("{name}:{number}: the header does not say `{}`", shown(lacking))
        }
        None => return findings,
    };
    findings.push(Diagnostic::placeless(Code::HeaderAdmits, message).help(help));
    findings
}

/// The remarks that a text begins with, with the numbers of their lines.
fn header(text: &str) -> Vec<(usize, &str)> {
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let remarks = numbered.take_while(|(_, line)| line.is_empty() || line.starts_with('#'));
    remarks.filter_map(|(at, line)| Some((at, line.strip_prefix("# ").or_else(|| line.strip_prefix('#'))?))).collect()
}

/// The lines about who is admitted and what is not guarded.
fn about_admission<'a>(lines: &[(usize, &'a str)]) -> Vec<(usize, &'a str)> {
    let (first, behind) = ADMITTED;
    let from = lines.iter().skip_while(|(_, line)| !line.starts_with(first));
    from.take_while(|(_, line)| !line.starts_with(behind)).filter(|(_, line)| !line.is_empty()).copied().collect()
}

/// The site that a header is about, by the nodes that it names.
fn named<'a>(said: &[(usize, &str)], site: &Site<'a>) -> Site<'a> {
    let cluster = site.cluster();
    let place = said.iter().find_map(|(_, line)| {
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
        untrue("r.nft", text, site).into_iter().map(|finding| (finding.code, finding.message)).collect()
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
}
