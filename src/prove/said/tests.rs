//! Headers that lie, wherever and however they do it.

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
        let more =
            text.replace("NOT guarded, because declared unused: ", "NOT guarded, because declared unused: epmd; ");
        assert_eq!(codes(&more, site)[0].0, Code::HeaderAdmits);
        // An earlier build said the same in other words; more is a lie in these, too.
        let before = |text: &str| text.replace("because declared unused: ", "because said to be unused: ");
        assert_eq!(codes(&before(text), site), []);
        assert_eq!(codes(&before(&more), site)[0].0, Code::HeaderAdmits);
        let end: String =
            text.lines().filter(|line| !line.contains("over IPv6 everyone")).map(|line| format!("{line}\n")).collect();
        assert_eq!(codes(&end, site)[0].0, Code::HeaderAdmits);
        let other = text.replace(cluster.digest(), &"0".repeat(64));
        assert_eq!(codes(&other, site).iter().map(|(code, _)| *code).collect::<Vec<_>>(), [Code::HeaderInput]);
        // What nobody says is no lie.
        let bare: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
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
    let header: String = lie.lines().take_while(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
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
    let rests: String =
        unmade.lines().filter(|line| !line.contains("is not an identity")).map(|line| format!("{line}\n")).collect();
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
    assert_eq!(remarks("-A x -m comment --comment \"a # b\"\n # c\n", 1, Hash::AtTheBeginning), [(2, "c".to_owned())]);
}

#[test]
fn a_header_of_another_node_or_of_other_assumptions_is_told() {
    let cluster = cluster(FILE);
    let of = |at: usize| Site::of_node(&cluster, cluster.nodes().get(at).unwrap());
    let emitted = nft(&of(1)).unwrap();
    let text = emitted.text(Text::Nft).unwrap();
    let only = |text: &str, site: &Site<'_>| codes(text, site).into_iter().map(|(code, _)| code).collect::<Vec<_>>();
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
