use super::*;
use crate::diagnostic::{SourceFile, Sources, render_text};
use crate::import::random::Random;

/// `key=value` of each entry, with what is special about it, and `line:code` of each finding.
fn read(text: &str) -> (Vec<String>, Vec<String>) {
    let (entries, findings) = parsed(text);
    let file = SourceFile::new("riak.conf".into(), text.into());
    let shown = |entry: &Entry| {
        let unknown = if entry.unknown { "?" } else { "" };
        let replaces: Vec<String> = entry.replaces.iter().map(|span| format!(" <{}", file.line(span.start))).collect();
        format!("{}={}{unknown}{}", entry.key.join("/"), entry.value, replaces.concat())
    };
    let found = |finding: &Diagnostic| format!("{}:{}", file.line(finding.labels[0].span.start), finding.code);
    (entries.iter().map(shown).collect(), findings.iter().map(found).collect())
}

fn parsed(text: &str) -> (Vec<Entry>, Vec<Diagnostic>) {
    let mut findings = Findings::default();
    let entries = parse(text, FileId::CLUSTER, &mut findings);
    (entries, findings.sorted())
}

fn entries(text: &str) -> Vec<String> {
    let (entries, findings) = read(text);
    assert_eq!(findings, [""; 0], "{text:?}");
    entries
}

/// What Debian's cuttlefish 3.1.0 makes of each text.
#[test]
fn takes_what_cuttlefish_takes() {
    for (text, expected) in [
        ("", ""),
        ("\n\r\n \t\n#\n  ## x\n   ", ""),
        ("a = b", "a=b"),
        ("\ta\t=\tb\t\n", "a=b"),
        ("a = b\r\n", "a=b"),
        ("a = b # c\n", "a=b"),
        ("a = b#c\n", "a=b"),
        ("a = x   # y # z\n", "a=x"),
        ("a = b\\#c\n", "a=b\\"),
        ("a = b  #", "a=b"),
        ("a=b=c", "a=b=c"),
        ("a==", "a=="),
        ("a = \"x # y\"\n", "a=\"x"),
        ("a = 'x'\n", "a='x'"),
        ("a = b c\n", "a=b c"),
        ("a = b\u{b}\n", "a=b\u{b}"),
        ("a = b\rc\n", "a=b\rc"),
        ("a = b \r\r\n", "a=b \r"),
        ("a = é\n", "a=é"),
        ("a\\.b.c = d\n", "a.b/c=d"),
        ("a-1._.0 = d\n", "a-1/_/0=d"),
        ("include = x\n", "include=x"),
        ("include.a = x\n", "include/a=x"),
    ] {
        assert_eq!(entries(text).join(";"), expected, "{text:?}");
    }
}

#[test]
fn a_line_that_is_neither_is_a_finding_and_the_rest_is_looked_at() {
    for line in [
        "bad line",
        "a =",
        "a = ",
        "a = #x",
        "a =#x",
        "a =  \t ",
        "a.=b",
        ".a=b",
        "a..b=c",
        "a b = c",
        "a\\b = c",
        "a\\ = c",
        "é=b",
        "\u{b}a = b",
        "include",
        "include  ",
        "include x y",
        "include conf\\d",
        "include conf.d\t",
        "[a]",
        "= b",
        "a\r=b",
        "// x",
        "% x",
        "\u{feff}a = b",
        "a: b",
    ] {
        let text = format!("first = 1\n {line}\nlast = 2\n{line}\r\n");
        let (entries, findings) = read(&text);
        assert_eq!(entries, ["first=1", "last=2"], "{line:?}");
        assert_eq!(findings, ["2:riak-conf-syntax", "4:riak-conf-syntax"], "{line:?}");
    }
    assert_eq!(read("a=b\n\r").1, ["2:riak-conf-syntax"]);
}

#[test]
fn what_is_wrong_is_said_in_words() {
    for (text, message) in [
        ("listener.http.internal\n", "`listener.http.internal` is no `key = value`"),
        ("a.b = # x\n", "`a.b` has no value, and the program refuses the file"),
        ("handoff port = 8099\n", "`handoff port` is no key"),
        ("% x = y\n", "`%` begins no comment in this file"),
        ("\u{feff}a = b\n", "the file begins with a byte order mark, and the program refuses it"),
        ("a = b", ""),
        ("a = b  ", "the blanks behind `b` are part of the value, since the file does not end with a line end"),
        ("a = {{ip}}:1\n", "`{{ip}}:1` is a placeholder of a template, no value"),
        ("{% if x %}\n", "`{% if x %}` belongs to a template, not to a finished file"),
        ("include x y\n", "`include x y` includes nothing that could be read"),
        ("a = $(b)\n", "`$(b)` in the value of `a` is no key of this file"),
        ("a\\.b.c = $(a\\.b.c)\n", "the value of `a\\.b.c` refers to itself, and the program refuses it"),
        ("a = $(<pass.txt)\n", "the value of `a` is in `pass.txt`, which is not read"),
    ] {
        let found: Vec<String> = parsed(text).1.into_iter().map(|finding| finding.message).collect();
        assert_eq!(found.join("; "), message, "{text:?}");
    }
}

#[test]
fn the_last_of_duplicates_is_in_force_and_the_others_are_named() {
    assert_eq!(entries("a = 1\nb = 2\na = 3\n a = 4\nb.a = 5\n"), ["b=2", "a=4 <1 <3", "b/a=5"]);
    assert_eq!(entries("a\\.b = 1\na.b = 2\n"), ["a.b=1", "a/b=2"]);
    assert_eq!(entries("a = 1\nb = $(a)\na = 2\n"), ["b=2", "a=2 <1"]);
}

#[test]
fn includes_are_said_to_be_missing() {
    for line in ["include x", "includex", " include conf.d/*.conf # y", "include ../a-b_c/d.conf#y"] {
        let (entries, findings) = read(&format!("a = 1\n{line}\r\nb = 2\n"));
        assert_eq!(entries, ["a=1", "b=2"]);
        assert_eq!(findings, ["2:not-read"], "{line}");
    }
    assert!(parsed("include conf.d/*.conf\n").1[0].message.starts_with("`conf.d/*.conf` is included here"));
}

/// What Debian's cuttlefish 3.1.0 makes of each text.
#[test]
fn substitutes_as_cuttlefish_does() {
    for (text, expected) in [
        ("a = 1\nb = $(a)\n", "a=1;b=1"),
        ("a = 1\nb = x$(  a )y$(a)\n", "a=1;b=x1y1"),
        ("b = $(c)\nc = $(d)\nd = e\na = $(b)\n", "b=e;c=e;d=e;a=e"),
        ("x.y = 3\na = $(x.y)\nb = $(x.y.)\n", "x/y=3;a=3;b=3"),
        ("p = (q)\nq = 7\na = $$(p)\n", "p=(q);q=7;a=7"),
        ("a = 1)$(b)\nb=2\n", "a=1)2;b=2"),
        ("a = $(b\n", "a=$(b"),
        ("a = $ (b)\nb=1\n", "a=$ (b);b=1"),
        ("a = $(\nb = $(a)x)\nx = 5\n", "a=$(;b=5;x=5"),
    ] {
        assert_eq!(entries(text).join(";"), expected, "{text:?}");
    }
}

#[test]
fn what_cannot_be_known_is_marked_and_said_once() {
    for (text, expected, found) in [
        ("a = $(HOST):1\nb = $(a)\nc = 1\n", "a=$(HOST):1?;b=$(a)?;c=1", "1:riak-conf-value"),
        ("a = $(\tb)\nb = 1\n", "a=$(\tb)?;b=1", "1:riak-conf-value"),
        ("a = $(b$(c))\nc = 1\n", "a=$(b$(c))?;c=1", "1:riak-conf-value"),
        ("a = $()\n", "a=$()?", "1:riak-conf-value"),
        ("a = 1\nb = $(.a)\n", "a=1;b=$(.a)?", "2:riak-conf-value"),
        ("a = $(< f.txt )\nb = $(a)\n", "a=$(< f.txt )?;b=$(a)?", "1:not-read"),
        ("a = $(a)\n", "a=$(a)?", "1:riak-conf-syntax"),
        ("a = $(b)\nb = $(c)\nc = $(b)\n", "a=$(b)?;b=$(c)?;c=$(b)?", "3:riak-conf-syntax"),
    ] {
        let (entries, findings) = read(text);
        assert_eq!((entries.join(";").as_str(), findings.join(";").as_str()), (expected, found), "{text:?}");
    }
    let circle = &parsed("a = $(b)\nb = $(c)\nc = $(b)\n").1[0];
    assert_eq!(circle.labels.len(), 2, "c by way of b; a only leads there");
}

#[test]
fn values_that_double_and_chains_as_long_as_the_file_end() {
    let doubling: String = (1..60).map(|n| format!("k{n} = $(k{})$(k{})\n", n - 1, n - 1)).collect();
    let (entries, findings) = read(&format!("k0 = 1234567\n{doubling}"));
    assert_eq!(entries[10].len(), "k10=".len() + 7 * 1024);
    assert!(entries[59] == "k59=$(k58)$(k58)?" && findings.len() == 1, "{findings:?}");
    let chain: String = (0..100_000).map(|n| format!("k{n} = $(k{})\n", n + 1)).collect();
    let (entries, findings) = read(&format!("{chain}k100000 = end\n"));
    assert!(findings.is_empty() && entries.iter().all(|entry| entry.ends_with("=end")));
}

#[test]
fn places_are_exact() {
    let text = " # x\r\n\té = 1\n  a\\.b.c \t= v w\t# x\r\ninclude y\n";
    let (entries, findings) = parsed(text);
    let at = |span: Span| &text[span.start as usize..span.end as usize];
    assert_eq!((at(entries[0].key_span), at(entries[0].value_span)), ("a\\.b.c", "v w"));
    let found: Vec<&str> = findings.iter().map(|finding| at(finding.labels[0].span)).collect();
    assert_eq!(found, ["é = 1", "include y"]);
}

#[test]
fn a_finding_as_the_admin_sees_it() {
    let text = "nodename = riak@10.0.0.1\nlistener.http.internal 127.0.0.1:8098\n";
    let sources = Sources::new(SourceFile::new("riak.conf".into(), text.into()));
    let shown = render_text(&parsed(text).1[0], &sources, false);
    assert_eq!(
        shown,
        "error[riak-conf-syntax]: `listener.http.internal 127.0.0.1:8098` is no `key = value`\n --> riak.conf:2:1\n  |\n\
         2 | listener.http.internal 127.0.0.1:8098\n  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  |\n  \
         = help: write `key = value`, or a `#` before the line"
    );
}

/// Any settings, written with any blanks, comments and line ends, are read again.
#[test]
fn what_is_written_is_read() {
    for seed in 0..3000 {
        let mut random = Random(seed);
        let mut text = String::new();
        let mut expected = Vec::new();
        for number in 0..random.below(8) {
            let mut key: Vec<String> = (0..random.below(3)).map(|_| random.text("aZ0_-.", 1, 4)).collect();
            key.push(format!("k{number}"));
            let written: Vec<String> = key.iter().map(|part| part.replace('.', "\\.")).collect();
            let middle = random.text("ab 0:=\t\"'\\\r/é$({[.", 0, 12);
            let value = format!("{}{middle}{}", random.pick(&["x", "=", "\\", "é"]), random.pick(&["y", "\"", "0"]));
            let blanks: Vec<String> = (0..4).map(|_| random.text(" \t", 0, 3)).collect();
            let [before, left, right, behind] = blanks.as_slice() else { panic!("{blanks:?}") };
            let comment = random.pick(&["", "", "#", "# a = b"]);
            let end = random.pick(&["\n", "\r\n"]);
            text += &format!("{before}{}{left}={right}{value}{behind}{comment}{end}", written.join("."));
            text += random.pick(&["", "", "\n", "# c = d\r\n", " \t\n", "##\n"]);
            expected.push((key, value));
        }
        let (entries, findings) = parsed(&text);
        assert!(findings.is_empty(), "{findings:?}\n{text:?}");
        let read: Vec<_> = entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
        assert_eq!(read, expected, "{text:?}");
        for entry in &entries {
            assert_eq!(text[entry.value_span.start as usize..entry.value_span.end as usize], entry.value);
        }
    }
}
