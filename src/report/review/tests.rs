//! What a review says, whoever wrote what it is made of, and however much that is.

use std::fmt::Write as _;
use std::path::Path;

use super::*;
use crate::cluster::{Cluster, Site, parse};
use crate::dialect;
use crate::ir::Ruleset;
use crate::outcome::Outcome;
use crate::prove;
use crate::report::{Body, Document, Form};
use crate::verify::{Families, matrix};

const START: &str = "[cluster]\nname = \"c\"\nnodes = [\"riak@10.0.0.1\", \"riak@10.0.0.2\"]\n[networks]\n\
    private = [\"10.0.0.0/24\"]\n[services.distribution]\nports = \"6000-6009\"\n";

fn cluster(file: &str, more: &str) -> Cluster {
    parse(file, format!("{START}{more}"), Path::new("")).cluster.unwrap()
}

fn basis(ruleset: &Ruleset) -> Basis<'_> {
    Basis {
        rules: "files",
        ruleset,
        families: Families::Both,
        texts: Vec::new(),
        unknown: Vec::new(),
        writers: Vec::new(),
        answers: Vec::new(),
        host: None,
        notes: Vec::new(),
        lies: Vec::new(),
        today: None,
        further: Further::default(),
    }
}

fn review(cluster: &Cluster, basis: Basis<'_>) -> Review {
    let site = Site::of_every_node(cluster);
    let (report, found) = matrix(basis.ruleset, &site, basis.families).unwrap();
    Review::of(&site, basis, &report, &found)
}

fn json(review: Review) -> String {
    Document::new(Form::Report, Outcome::No, Vec::new(), Some(Body::Report(Box::new(review)))).json().unwrap()
}

fn every_form(review: &Review) -> [(&'static str, String); 4] {
    [
        ("text", review.text()),
        ("markdown", review.markdown()),
        ("html", review.html().unwrap()),
        ("json", json(review.clone())),
    ]
}

/// Clients, each with an address of its own.
fn clients(count: u32) -> String {
    (0..count).fold("[services.protobuf]\nstate = \"open\"\n".to_owned(), |mut text, at| {
        let (high, low) = (at / 250, at % 250 + 1);
        let service = if at % 10 == 0 { "\"http\", \"protobuf\"" } else { "\"http\"" };
        let _ = writeln!(
            text,
            "[[client]]\nname = \"client-{at:05}\"\nfrom = [\"10.7.{high}.{low}\"]\nservices = [{service}]"
        );
        text
    })
}

const HOSTILE: &str =
    "</code><script>alert(1)</script><img src=x onerror=alert(1)>\"'`` | ]( javascript:x) *b* <!-- @everyone";

/// Markup, quotes, terminal escapes and marks that turn the direction around: from file names, rules and what is not understood.
#[test]
fn hostile_words_are_harmless_in_every_form() {
    let rule = "\u{1b}]0;x\u{7} \u{202e}desrever \u{200b}\u{9b}2J</td>";
    // Names that no reader takes are put there by hand.
    let text =
        "table inet filter { chain in { type filter hook input priority 0; policy accept;\ntcp dport 8098 accept\n} }";
    let mut ruleset = dialect::nft::read(text).unwrap().ruleset;
    for table in &mut ruleset.tables {
        table.name = format!("{HOSTILE}{rule}");
        for chain in &mut table.chains {
            chain.name = format!("{HOSTILE}{rule}");
            for rule in &mut chain.rules {
                let place = crate::ir::Place { line: 3, handle: None, text: format!("{HOSTILE}\n# {HOSTILE}\u{2066}") };
                rule.place = Some(place);
            }
        }
    }
    ruleset.unread.push(format!("{HOSTILE}{rule}"));
    let cluster = cluster("a\u{202e}<b>\u{1b}[2J|`.toml", "");
    let note = Plain {
        code: Some("a-code"),
        severity: "warning",
        message: format!("{HOSTILE}{rule}"),
        file: Some(format!("/x/{rule}<i>")),
        line: Some(3),
        help: None,
        base: None,
    };
    let basis = Basis {
        texts: vec![Digested::of(&format!("{HOSTILE}{rule}"), "")],
        unknown: vec![format!("{HOSTILE}{rule}")],
        writers: vec![format!("{HOSTILE}{rule}")],
        host: Some(Asked { name: words::plain(&format!("{HOSTILE}{rule}")), at: String::new(), uid: 0 }),
        notes: vec![note],
        ..basis(&ruleset)
    };
    let review = review(&cluster, basis);
    assert!(!review.deciding.is_empty() && review.verdict != Finding::Proved);
    for (form, text) in every_form(&review) {
        let hidden = text.chars().find(|c| *c != '\n' && is_hidden(*c));
        assert_eq!(hidden, None, "{form}");
        let marked = match form {
            // Nothing of it is markup there, or a quote that ends a string.
            "html" => ["<script", "<img", "<i>", "<b>", "</td>]", "onerror=alert(1)>\"", "<!-- "].as_slice(),
            _ => &[],
        };
        marked.iter().for_each(|mark| assert!(!text.contains(mark), "{form} has {mark}"));
        assert!(text.contains("alert(1)"), "{form} shows it all the same");
    }
    for line in review.markdown().lines().filter(|line| line.contains("alert(1)")) {
        assert!(outside_of_code(line).iter().all(|part| !part.contains(['<', '@', '*']) || *part == "<br>"), "{line}");
    }
    assert!(serde_json::from_str::<serde_json::Value>(&json(review)).is_ok());
}

/// What of a line of Markdown is not in code spans (CommonMark, 6.1).
fn outside_of_code(line: &str) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), line);
    while let Some(start) = rest.find('`') {
        let (before, behind) = rest.split_at(start);
        parts.push(before.trim_matches(|c: char| !"<@*".contains(c)));
        let count = behind.len() - behind.trim_start_matches('`').len();
        let inside = behind.split_at(count).1;
        let mut at = 0;
        let end = loop {
            let Some(next) = inside.get(at..).and_then(|left| left.find('`')).map(|next| at + next) else {
                break inside.len();
            };
            let run = inside.split_at(next).1;
            let length = run.len() - run.trim_start_matches('`').len();
            at = next + length;
            if length == count {
                break at;
            }
        };
        rest = inside.split_at(end).1;
    }
    parts.push(rest);
    parts.into_iter().filter(|part| !part.is_empty()).collect()
}

/// Ten thousand clients are a few rows, each of them is named with his line, and the page is no larger than a browser likes.
#[test]
fn very_many_clients_stand_together_where_they_fare_alike() {
    let cluster = cluster("cluster.toml", &clients(10_000));
    let emitted = prove::nft(&Site::of_every_node(&cluster)).unwrap();
    let review = review(&cluster, basis(emitted.verified().ruleset()));
    let rows: Vec<&Row> = review.rows.iter().filter(|row| row.kind == Kind::Client).collect();
    let sizes: Vec<(usize, &str)> = rows.iter().map(|row| (row.sources.len(), row.addresses.as_str())).collect();
    assert_eq!(sizes, [(1_000, "1000"), (9_000, "9000")]);
    assert_eq!(rows.first().unwrap().who, "1000 clients who fare alike");
    let html = review.html().unwrap();
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
    for client in ["client-00000", "client-09999"] {
        let line =
            cluster.clients().iter().find(|own| own.name() == client).map(|own| cluster.place(own.span())).unwrap();
        let named = html.lines().find(|line| line.starts_with(&format!("<li>{client} "))).unwrap();
        assert!(named.contains(&line), "{named}");
    }
    assert_eq!(review.verdict, Finding::Proved);
    // Few stand alone.
    let few = self::cluster("cluster.toml", &clients(12));
    let emitted = prove::nft(&Site::of_every_node(&few)).unwrap();
    let rows = self::review(&few, basis(emitted.verified().ruleset())).rows;
    assert_eq!(rows.iter().filter(|row| row.kind == Kind::Client).count(), 12);
}

/// A violated cell is nobody else's: the one forgotten peer, and only where peers are to get in.
#[test]
fn what_is_violated_shows_where_it_is() {
    let cluster = cluster("cluster.toml", "");
    let site = Site::of_every_node(&cluster);
    let mut ruleset = prove::nft(&site).unwrap().verified().ruleset().clone();
    let sets = ruleset.tables.iter_mut().flat_map(|table| &mut table.sets).filter(|set| set.name == "peers4");
    sets.for_each(|set| set.elements = crate::ir::Elements::ipv4(vec![(0x0a00_0001, 0x0a00_0001)]));
    let review = review(&cluster, basis(&ruleset));
    assert_eq!((review.verdict, review.counts()[1] > 0), (Finding::Violated, true));
    for row in &review.rows {
        for (cell, service) in row.cells.iter().zip(&review.services) {
            let wrong = row.kind == Kind::Peers && service.name != "protobuf";
            assert_eq!(cell.shown == Finding::Violated, wrong, "{} at {}", row.who, service.name);
            assert_eq!(cell.found == Fate::Mixed, wrong);
            let packet = cell.packet.as_deref().unwrap_or_default();
            assert_eq!(packet.starts_with("tcp from 10.0.0.2 "), wrong, "{packet}");
        }
    }
    // What is proved of nothing is proved nowhere.
    ruleset.unread.push("an included file".to_owned());
    let doubted = self::review(&cluster, basis(&ruleset));
    assert!(doubted.rows.iter().flat_map(|row| &row.cells).all(|cell| cell.shown != Finding::Proved));
    assert_eq!(doubted.because.as_deref(), Some("an included file"));
}

/// Rules that only log let everybody in, as the file wants it, and are proved to keep nobody out.
#[test]
fn what_is_staged_is_violated_on_purpose() {
    let cluster = cluster("cluster.toml", "[guard]\non-block = \"log-only\"\n");
    let emitted = prove::nft(&Site::of_every_node(&cluster)).unwrap();
    let review = review(&cluster, basis(emitted.verified().ruleset()));
    assert_eq!((review.verdict, review.staged), (Finding::OnPurpose, true));
    let others = review.rows.iter().filter(|row| row.kind == Kind::Others).flat_map(|row| &row.cells);
    assert!(others.clone().all(|cell| cell.shown == Finding::OnPurpose && cell.found == Fate::Admitted));
    assert!(review.assumptions.first().unwrap().contains("block NOBODY"));
    // Where they are not the file's, nothing of it is on purpose.
    let open =
        dialect::nft::read("table inet t { chain c { type filter hook input priority 0; accept\n} }").unwrap().ruleset;
    let review = self::review(&cluster, basis(&open));
    assert_eq!(review.verdict, Finding::Violated);
    assert_eq!(review.counts()[2], 0);
}

/// Nothing of a review hangs on when or where it is made.
#[test]
fn the_same_input_makes_the_same_bytes() {
    let make = || {
        let cluster = cluster("cluster.toml", &clients(70));
        let emitted = prove::nft(&Site::of_every_node(&cluster)).unwrap();
        every_form(&review(&cluster, basis(emitted.verified().ruleset())))
    };
    assert_eq!(make(), make());
}

/// A file of iptables speaks of one family, and nobody takes it for both.
#[test]
fn what_was_not_judged_is_said() {
    let cluster = cluster("cluster.toml", "");
    let emitted = prove::nft(&Site::of_every_node(&cluster)).unwrap();
    let review = review(&cluster, Basis { families: Families::Ipv4, ..basis(emitted.verified().ruleset()) });
    assert!(review.rows.iter().all(|row| row.family == "IPv4"));
    for (form, text) in every_form(&review) {
        assert_eq!(text.contains("IPv6 is not in these files and was NOT judged"), form != "json", "{form}");
    }
    assert!(review.matrix_text().contains("NOT judged"));
    assert_eq!(review.families, ["IPv4"]);
}

/// Rules that are good under a header that is not are no good rules: the verdict, the headline and the matrix know it.
#[test]
fn a_header_that_lies_is_in_the_verdict() {
    let cluster = cluster("cluster.toml", "");
    let emitted = prove::nft(&Site::of_every_node(&cluster)).unwrap();
    let lie = "r.nft:13: the header says `everybody`".to_owned();
    let lying = review(&cluster, Basis { lies: vec![lie.clone()], ..basis(emitted.verified().ruleset()) });
    assert_eq!((lying.verdict, lying.counts()[1]), (Finding::Violated, 0));
    assert!(lying.matrix_text().contains(&format!("VIOLATED, though not in a cell: {lie}")));
    for (form, text) in every_form(&lying) {
        assert!(!text.contains("PROVED: every claim"), "{form}");
        let said =
            if form == "json" { "\"verdict\": \"violated\"" } else { "VIOLATED: every claim holds, but a header" };
        assert!(text.contains(said) && text.contains("the header says"), "{form}: {text}");
    }
    let open =
        dialect::nft::read("table inet t { chain c { type filter hook input priority 0; accept\n} }").unwrap().ruleset;
    let both = review(&cluster, Basis { lies: vec![lie], ..basis(&open) });
    assert!(
        both.verdict_text().contains("at least one claim does not hold") && both.verdict_text().contains("HEADER LIES")
    );
}

/// Each rule stands there with what it keeps out or lets in, and a rule that does neither says so.
#[test]
fn each_rule_says_what_it_is_for() {
    let cluster = cluster("c.toml", "[[client]]\nname = \"web\"\nfrom = [\"10.1.0.0/24\"]\nservices = [\"http\"]\n");
    let site = Site::of_every_node(&cluster);
    let emitted = prove::nft(&site).unwrap();
    let review = review(&cluster, basis(emitted.verified().ruleset()));
    let reasoned = review.reasoned.as_ref().unwrap();
    let of = |part: &str| {
        let found = reasoned.iter().find(|own| own.rule.text.contains(part)).unwrap_or_else(|| panic!("{part}"));
        let told = found.without.iter().map(|own| format!("{} {}: {}", own.who, own.change, own.what));
        (told.collect::<Vec<_>>(), found.undecided.clone(), found.odd.clone())
    };
    assert_eq!(of("ip saddr 10.1.0.0/24 return").0, ["10.1.0.0/24 loses: http"]);
    let (all, ..) = of("goto block comment \"isolation: everyone else\"");
    assert!(all.iter().any(|own| own.starts_with("10.1.0.0/24 gains: ")), "{all:?}");
    assert!(all.iter().any(|own| own.contains("255.255.255.255 gains: ")), "{all:?}");
    // The last rule of its chain blocks all the same.
    assert_eq!(of("isolation: http").0, [] as [&str; 0]);
    let (_, _, odd) = of("@th,0,32 & 0x0000f000");
    assert!(odd.len() == 3 && odd[0].contains("by its bits"), "{odd:?}");
    // Not where it would take too long.
    let many = format!("{START}{}", clients(3000));
    let many = parse("c.toml", many, Path::new("")).cluster.unwrap();
    let emitted = prove::nft(&Site::of_every_node(&many)).unwrap();
    let review = self::review(&many, basis(emitted.verified().ruleset()));
    assert_eq!(review.reasoned, None);
    assert!(review.text().contains("too many rules or addresses to ask that"));
}
