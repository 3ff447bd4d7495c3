//! What a ruleset says of itself, held against the cluster file.
//!
//! The claims are about rules, and a header is none: a ruleset may do all that a file wants and say in its header that somebody else is
//! admitted. Whoever reads headers then decides by a lie.

use std::collections::HashSet;

use crate::cluster::{Node, Site};
use crate::compile;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::ours::CHAIN;

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

/// A remark of a text: the number of its line, and what it says.
pub type Remark = (usize, String);

/// How a dialect writes remarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// Behind any `#` that does not stand in quotes, which may go on over lines, and in which nothing is escaped: nft.
    Anywhere,
    /// In lines that begin with it: what iptables and ipset restore.
    AtTheBeginning,
}

/// All remarks of a text whose first line has this number, wherever they stand: lines of their own, and behind what they are about. With
/// whatever else than a letter or a number a remark begins, such as `##` or `# |`, it reads as the same one.
pub fn remarks(text: &str, first: usize, hash: Hash) -> Vec<Remark> {
    let mut quoted = false;
    let numbered = text.lines().enumerate().map(|(at, line)| (at + first, line));
    let said = numbered.filter_map(|(at, line)| {
        let said = match hash {
            Hash::Anywhere => behind_hash(line, &mut quoted)?,
            Hash::AtTheBeginning => {
                line.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace()).strip_prefix('#')?
            }
        };
        Some((at, bare(said).to_owned()))
    });
    said.filter(|(_, said)| !said.is_empty()).collect()
}

/// What stands behind the first `#` of a line that is not in quotes, of which some may have begun before.
fn behind_hash<'l>(line: &'l str, quoted: &mut bool) -> Option<&'l str> {
    for (at, c) in line.char_indices() {
        match c {
            '#' if !*quoted => return line.get(at..),
            '"' => *quoted = !*quoted,
            _ => {}
        }
    }
    None
}

/// A remark from its first letter or number on.
fn bare(line: &str) -> &str {
    line.trim_start_matches(|c: char| !c.is_alphanumeric()).trim_end()
}

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

/// Whether a remark is one that the files of each tool have beside the header, or that a tool writes into what it saves or lists. Each is
/// known as a whole: behind the beginning of one anything might be said.
fn of_tools(line: &str) -> bool {
    const OWN: [&str; 14] = [
        "usr/sbin/nft -f",
        "Made if it is not there, so that it can be deleted and made anew in one transaction.",
        "For iptables-restore --noflush.",
        "For ip6tables-restore --noflush.",
        "For iptables-restore --noflush. Load the file for ipset first: ipset restore < ringfence.ipset",
        "For ip6tables-restore --noflush. Load the file for ipset first: ipset restore < ringfence.ipset",
        "Judges IPv4 only: load the file for the other family too. Its jumps must stand before whatever accepts in the",
        "Judges IPv6 only: load the file for the other family too. Its jumps must stand before whatever accepts in the",
        "chains PREROUTING of raw and INPUT of mangle: what was accepted there is never judged.",
        "The jumps. Each load of this file adds them once more, at the top; that changes no verdict. To add them only where",
        "they are missing, load the file without the lines below, and then run:",
        "For ipset restore.",
        "For ipset restore. The rules need no sets.",
        "new generation",
    ];
    OWN.contains(&line) || saved(line) || listed(line) || is_jump(line)
}

/// Whether a remark is one that iptables-save writes, such as `Generated by iptables-save v1.8.9 (nf_tables) on Sun Nov 29 22:41:18 2026`. Source: its
/// `iptables/iptables-save.c` and `xtables-save.c`.
#[must_use]
pub fn saved(line: &str) -> bool {
    let date = |date: &str| {
        let words: Vec<&str> = date.split_whitespace().collect();
        let [weekday, month, numbers @ ..] = words.as_slice() else { return false };
        let is_number = |own: &&str| own.len() <= 8 && own.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
        ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(weekday)
            && ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"].contains(month)
            && numbers.len() == 3
            && numbers.iter().all(is_number)
    };
    let writer = |own: &str| {
        let words: Vec<&str> = own.split(' ').collect();
        let [tool, version, which @ ..] = words.as_slice() else { return false };
        let tool = tool.strip_suffix("-save").unwrap_or_default();
        let family = tool.trim_end_matches("-nft").trim_end_matches("-legacy");
        let numbers = version.strip_prefix('v').unwrap_or_default();
        matches!(family, "iptables" | "ip6tables")
            && !numbers.is_empty()
            && numbers.len() <= 16
            && numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            && matches!(which, [] | ["(nf_tables)"] | ["(legacy)"])
    };
    // Without more it is how a text says of which family it is.
    if matches!(line, "Generated by iptables-save" | "Generated by ip6tables-save") {
        return true;
    }
    let generated = |own: &str| own.split_once(" on ").map_or_else(|| writer(own), |(own, on)| writer(own) && date(on));
    line.strip_prefix("Completed on ").is_some_and(date) || line.strip_prefix("Generated by ").is_some_and(generated)
}

/// What nft writes into listings: handles, and whose tables it had better not touch.
fn listed(line: &str) -> bool {
    let handle = |line: &str| {
        line.strip_prefix("handle ").is_some_and(|own| !own.is_empty() && own.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let managed = || {
        let own = line.strip_prefix("Warning: table ")?.strip_suffix(" is managed by iptables-nft, do not touch!")?;
        let (family, name) = own.split_once(' ')?;
        Some(
            matches!(family, "ip" | "ip6" | "arp" | "bridge")
                && matches!(name, "filter" | "nat" | "mangle" | "raw" | "security" | "broute"),
        )
    };
    handle(line) || managed().unwrap_or(false)
}

/// A command that adds one of the jumps where it is missing.
fn is_jump(line: &str) -> bool {
    ["iptables", "ip6tables"].into_iter().any(|tool| {
        [("raw", "PREROUTING"), ("mangle", "INPUT")].into_iter().any(|(table, chain)| {
            let there = format!("{tool} -t {table} -C {chain} -j {CHAIN}");
            line == format!("{there} 2>/dev/null || {tool} -t {table} -I {chain} -j {CHAIN}")
        })
    })
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
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::{Cluster, parse};
    use crate::compile::SetsMode;
    use crate::prove::{Text, iptables, nft};

    const FILE: &str = "[cluster]\nname = \"c\"\nnodes = [\"riak@10.0.0.1\", \"riak@10.0.0.2\"]\n[networks]\n\
        private = [\"10.0.0.0/24\"]\n[services.distribution]\nports = \"6000-6009\"\n[[client]]\nname = \"web\"\n\
        from = [\"10.1.0.0/24\"]\nservices = [\"http\"]\n";

    fn cluster(text: &str) -> Cluster {
        parse("cluster.toml", text.to_owned(), Path::new("")).cluster.unwrap()
    }

    fn codes(text: &str, site: &Site<'_>) -> Vec<(Code, String)> {
        untrue(&[("r.nft".to_owned(), remarks(text, 1, Hash::Anywhere))], false, site)
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
            lie.replace("\n# ", "\n## "),
            lie.replace("\n# ", "\n# // "),
            lie.replace("\n# ", "\nflush ruleset # "),
            lie.replace("\n# ", "\n;# "),
            text.replace("# Admitted, over TCP:", "# Also admitted to http: everyone\n# Admitted, over TCP:"),
            text.replace("# Input: ", "# Also admitted to http: everyone\n# Input: "),
            text.replace("# Admitted, over TCP:", "# Admitted over TCP:"),
            format!("{text}\n# Admitted over TCP:\n#  http 8098 everyone\n"),
        ] {
            let found = codes(&lies, &site);
            assert!(found.iter().any(|(code, _)| *code == Code::HeaderAdmits), "{found:?} in {lies}");
        }
        // The same, told truly.
        for truth in [format!("flush ruleset\n{text}"), format!("\u{feff}{text}"), text.replace("\n# ", "\n #  ")] {
            assert_eq!(codes(&truth, &site), []);
        }
    }

    /// A remark that is none of this program's is told, and is no lie; those that it makes are not told, in no dialect.
    #[test]
    fn remarks_of_others_are_told() {
        let cluster = cluster(FILE);
        let site = Site::of_every_node(&cluster);
        let emitted = [nft(&site).unwrap(), iptables(&site, SetsMode::Always).unwrap()];
        let kinds = [Text::Nft, Text::Iptables, Text::Ip6tables, Text::Ipset];
        let texts: Vec<&str> = emitted.iter().flat_map(|one| kinds.iter().filter_map(|kind| one.text(*kind))).collect();
        assert_eq!(texts.len(), 4);
        let only = |text: &str| codes(text, &site).into_iter().map(|(code, _)| code).collect::<Vec<_>>();
        for text in texts {
            assert_eq!(codes(text, &site), []);
        }
        let text = emitted[0].text(Text::Nft).unwrap();
        for more in ["# a remark\n", "table inet x { } # to http: everyone\n"] {
            assert_eq!(only(&format!("{text}{more}")), [Code::HeaderAdded]);
        }
        // In quotes there is none.
        assert_eq!(only(&format!("{text}add rule inet x y comment \"no # remark\"\n")), []);
        assert_eq!(only(&text.replace("# riak@10.0.0.1, cluster.toml:3", "# everyone")), [Code::HeaderAdded]);
        // Whoever made it, and with what, is said as it is.
        assert_eq!(only(&text.replace("# Profile: riak", "# Profile: another")), [Code::HeaderInput]);
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(only(&text.replace(&format!("Made by ringfence {version}."), "Made by ringfence 0.0.9.")), []);
        let unmade: String =
            text.lines().filter(|line| !line.starts_with("# Made by")).map(|line| format!("{line}\n")).collect();
        assert_eq!(only(&unmade), [Code::HeaderInput]);
        let rests: String = unmade
            .lines()
            .filter(|line| !line.contains("is not an identity"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(only(&rests), [Code::HeaderInput, Code::HeaderRests]);
    }

    /// Nothing hides a remark, or makes one look like one of this program or of a tool.
    #[test]
    fn remarks_that_hide_are_told() {
        let cluster = cluster(FILE);
        let site = Site::of_every_node(&cluster);
        let emitted = nft(&site).unwrap();
        let text = emitted.text(Text::Nft).unwrap();
        let only = |text: &str| codes(text, &site).into_iter().map(|(code, _)| code).collect::<Vec<_>>();
        for more in [
            "# riak@10.0.0.1, and everyone may use http:8098",
            "# Completed on review: everyone is admitted to http",
            "# Generated by iptables-save: client evil is admitted too",
            "# Generated by iptables-save v1.8.9 (everyone is admitted) on Sun Nov 29 22:41:18 2026",
            "# iptables -t raw -C PREROUTING: everyone is admitted to http",
            "# Warning: table everyone is managed by iptables-nft, do not touch!",
            "add rule inet x y comment \"a\\\" # everyone is admitted\n",
            "add rule inet x y comment \"a\nb\" # everyone is admitted\n",
            "# | everyone is admitted",
        ] {
            assert_eq!(only(&format!("{text}{more}\n")), [Code::HeaderAdded], "{more}");
        }
        for of_a_tool in [
            "# Generated by iptables-save v1.8.9 (nf_tables) on Sun Nov 29 22:41:18 2026",
            "# Completed on Sun Nov 29 22:41:18 2026",
            "# Warning: table ip filter is managed by iptables-nft, do not touch!",
            "# handle 12",
        ] {
            assert_eq!(only(&format!("{text}{of_a_tool}\n")), [], "{of_a_tool}");
        }
        let made = format!("Made by ringfence {}.", env!("CARGO_PKG_VERSION"));
        assert_eq!(only(&text.replace(&made, "Made by ringfence everyone-is-admitted.")), [Code::HeaderInput]);
        // Another digest hides nothing else.
        let other = text.replace(cluster.digest(), &"0".repeat(64)) + "# everyone is admitted\n";
        assert_eq!(only(&other), [Code::HeaderInput, Code::HeaderAdded]);
        // Everything between two lines of the header is another list.
        let start = text.find("# Input").unwrap();
        let end = text.find("# These rules block").unwrap();
        let cut = format!("{}{}", &text[..start], &text[end..]);
        assert_eq!(only(&cut), [Code::HeaderInput, Code::HeaderAdmits]);
        let rests = text.replace("# - a source", "# - http 8098 is open to everyone;\n# - a source");
        assert_eq!(only(&rests), [Code::HeaderAdmits]);
    }

    /// What is said in another file is said about the same rules; of rules that are this program's any remark counts.
    #[test]
    fn remarks_of_all_files_count() {
        let cluster = cluster(FILE);
        let site = Site::of_every_node(&cluster);
        let emitted = nft(&site).unwrap();
        let of = |text: &str| remarks(text, 1, Hash::Anywhere);
        let own = ("a.nft".to_owned(), of(emitted.text(Text::Nft).unwrap()));
        let other = ("b.nft".to_owned(), of("# everyone is admitted\n"));
        let told = |files: &[_], ours| untrue(files, ours, &site).into_iter().map(|one| one.code).collect::<Vec<_>>();
        assert_eq!(told(&[own.clone(), other.clone()], true), [Code::HeaderAdded]);
        assert_eq!(told(std::slice::from_ref(&other), true), [Code::HeaderAdded]);
        assert_eq!(told(&[other], false), []);
        assert_eq!(told(&[own], true), []);
        // In files of iptables only whole lines are remarks.
        assert_eq!(
            remarks("-A x -m comment --comment \"a # b\"\n # c\n", 1, Hash::AtTheBeginning),
            [(2, "c".to_owned())]
        );
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
        assert_eq!(only(&rests, &of(1)), [Code::HeaderAdmits]);
    }
}
