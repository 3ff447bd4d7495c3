//! What the terms are, and what is said about mistakes. Whether Erlang agrees is tested in `tests/erlang`.

use super::*;
use crate::diagnostic::{Diagnostic, SourceFile, Sources, render_text};

fn terms(text: &str) -> Vec<Term> {
    let mut findings = Findings::default();
    let terms = parse(text, FileId::CLUSTER, &mut findings);
    assert!(terms.is_some(), "{:#?}", findings.sorted());
    terms.unwrap()
}

fn term(text: &str) -> Term {
    let mut terms = terms(text);
    assert_eq!(terms.len(), 1, "{text}");
    terms.remove(0)
}

fn findings(text: &str) -> Vec<Diagnostic> {
    let mut findings = Findings::default();
    let terms = parse(text, FileId::CLUSTER, &mut findings);
    let findings = findings.sorted();
    assert_eq!(terms.is_none(), !findings.is_empty(), "{text}");
    let sources = Sources::new(SourceFile::new("app.config".into(), text.into()));
    for finding in &findings {
        assert!(render_text(finding, &sources, false).contains("app.config:"), "{finding:?}");
    }
    findings
}

/// The places and messages of the findings, `line:column message`.
fn said(text: &str) -> Vec<String> {
    let place = |at: usize| {
        let before = &text[..at];
        let line = before.rsplit('\n').next().unwrap_or(before);
        format!("{}:{}", before.matches('\n').count() + 1, line.chars().count() + 1)
    };
    let said = |finding: &Diagnostic| format!("{} {}", place(finding.labels[0].span.start as usize), finding.message);
    findings(text).iter().map(said).collect()
}

fn help(text: &str) -> String {
    let findings = findings(text);
    assert_eq!(findings.len(), 1, "{text}: {findings:#?}");
    findings[0].help.clone().unwrap()
}

#[test]
fn a_whole_app_config() {
    let text = "%% -*- mode: erlang -*-\r\n[\r\n {riak_core, [\r\n\t{http, [{\"127.0.0.1\", 8098}, {{10,0,0,1}, 16#1fa2}]},\r\n\
                \t%% {https, [{\"127.0.0.1\", 8069}]},\r\n\t{handoff_ip, <<\"10.0.0.1\">>}, legacy\r\n ]},\r\n \
                {'kernel', [{inet_dist_listen_min, 6_000}]}\r\n].\r\n";
    let file = term(text);
    let applications: Vec<_> = file.as_list().unwrap().iter().map(|pair| pair.as_pair().unwrap()).collect();
    let names: Vec<_> = applications.iter().map(|(name, _)| name.as_atom().unwrap()).collect();
    assert_eq!(names, ["riak_core", "kernel"]);
    let core = applications[0].1.as_list().unwrap();
    let http = core[0].as_pair().unwrap().1.as_list().unwrap();
    let (address, port) = http[0].as_pair().unwrap();
    assert_eq!((address.as_text().as_deref(), port.as_u16()), (Some("127.0.0.1"), Some(8098)));
    let (address, port) = http[1].as_pair().unwrap();
    let groups: Vec<_> = address.as_tuple().unwrap().iter().map(|group| group.as_u16().unwrap()).collect();
    assert_eq!((groups, port.as_u64()), (vec![10, 0, 0, 1], Some(8098)));
    assert_eq!(core[1].as_pair().unwrap().1.as_text().as_deref(), Some("10.0.0.1"));
    assert_eq!((core[2].as_atom(), core.len()), (Some("legacy"), 3));
    let place = core[0].span;
    assert!(text[place.start as usize..place.end as usize].starts_with("{http, ["));
    assert!(text[..place.end as usize].ends_with("}]}"));
}

#[test]
fn texts_in_all_their_forms() {
    for text in
        ["\"ab\".", "\"a\" \"b\".", "[97, 98].", "[$a, $b].", "[$a|\"b\"].", "<<\"ab\">>.", "<<97, 98>>.", "(\"ab\")."]
    {
        assert_eq!(term(text).as_text().as_deref(), Some("ab"), "{text}");
    }
    assert_eq!(term("[].").as_text().as_deref(), Some(""));
    assert_eq!(term("\"\".").as_list(), Some(&[][..]));
    for text in ["ab.", "[97|b].", "[-1].", "[16#d800].", "<<255>>.", "<<1:4>>.", "{97}."] {
        assert_eq!(term(text).as_text(), None, "{text}");
    }
}

#[test]
fn numbers_that_fit_and_others() {
    assert_eq!(term("65535.").as_u16(), Some(65535));
    assert_eq!(term("65536.").as_u16(), None);
    assert_eq!(term("-1.").as_u64(), None);
    assert_eq!(term("1.0.").as_u64(), None);
    assert_eq!(term("true.").as_bool(), Some(true));
    assert_eq!(term("maybe.").as_bool(), None);
    assert_eq!(term("18446744073709551616.").kind, Kind::Integer("18446744073709551616".into()));
    assert_eq!(term("-16#10000000000000000.").kind, Kind::Integer("-18446744073709551616".into()));
}

#[test]
fn several_terms_and_none() {
    assert_eq!(terms("a. b.\nc.% end").len(), 3);
    assert_eq!(terms(" % nothing\n").len(), 0);
    assert_eq!(term("<<1:3>>.").kind, Kind::Bitstring(vec![0x20], 3));
    assert_eq!(term("fun m:f/2.").kind, Kind::Fun("m".into(), "f".into(), 2));
    assert!(matches!(&term("[a|[b|c]].").kind, Kind::List(items, Some(_)) if items.len() == 2));
}

#[test]
fn unquoted_addresses_and_names() {
    let text = "[{http, [{127.0.0.1, 8098}, {::1, 8098}]},\n {node, riak@10.0.0.1}, {v, 1.4.2}].";
    let expected = [
        "1:11 the address `127.0.0.1` is not quoted",
        "1:30 the address `::1` is not quoted",
        "2:9 `riak@10.0.0.1` has a `.` in it and is not quoted",
        "2:29 `1.4.2` is no number",
    ];
    assert_eq!(said(text), expected);
    assert_eq!(help("{127.0.0.1, 8098}."), "put an address between double quotes: \"127.0.0.1\"");
    assert_eq!(said("{riak@db-1, 1}."), ["1:9 `-` within a name"]);
    assert_eq!(said("{dir, /var/lib/riak}."), ["1:7 `/` outside of quotes"]);
}

#[test]
fn foreign_comments_and_files() {
    assert_eq!(
        said("# one\n## two\n[{a, 1}, # three\n {b, 2}]."),
        ["1:1 `#` begins no comment in Erlang", "3:10 `#` begins no comment in Erlang"]
    );
    assert_eq!(help("# one\n[]."), "begin comments with `%`");
    assert_eq!(said("nodename = riak@10.0.0.1\nring_size = 64\n"), ["1:10 `=` stands in no term"]);
    assert_eq!(said("-name riak@10.0.0.1\n+K true\n"), ["1:1 `-` and a word begin no term"]);
    assert_eq!(said("\u{feff}[]."), ["1:1 the file begins with a byte order mark"]);
}

#[test]
fn commas() {
    assert_eq!(said("[{a,1} {b,2}]."), ["1:8 a comma is missing before `{`"]);
    assert_eq!(said("[{a,1},\n{b,2},\n]."), ["2:6 a comma stands before `]`"]);
    assert_eq!(said("[a,,b]."), ["1:4 there is no term before this comma"]);
    assert_eq!(said("{a,1},\n{b,2}."), ["1:6 write a comma between two terms"]);
    assert_eq!(said("{timeout, 10s}."), ["1:13 `s` directly behind a number"]);
}

#[test]
fn quotes() {
    assert_eq!(said("[{a, \"b},\n {c, \"10.0.0.1\"}]."), ["1:6 the closing quote of `\"b},` seems to be missing"]);
    assert_eq!(said("[{a, 'b}]."), ["1:6 `'b}].` opens with a quote that is never closed"]);
    assert_eq!(said("{a, “b c”, ‘d’}."), ["1:5 `“` is no quote to Erlang", "1:12 `‘` is no quote to Erlang"]);
    assert_eq!(said("\"\\xzz\"."), ["1:2 `\\x` is no character"]);
}

#[test]
fn brackets() {
    assert_eq!(said("[{a, [1, 2}]."), ["1:6 `[` is not closed before `}`"]);
    assert_eq!(said("[{a, 1}\n"), ["1:1 `[` is not closed before the end of the file"]);
    assert_eq!(said("[{a, 1}]].\n{b ]."), ["1:9 `]` closes nothing", "2:1 `{` is not closed before `]`"]);
    let commented = findings("[{a, 1},\n%% {b, [\n%% {c, 2},\n {d, 3}]}].");
    assert_eq!(commented[0].labels[1].text, "the brackets in these comments do not match");
}

#[test]
fn final_dots() {
    assert_eq!(said("[{a, 1}]\n"), ["1:8 the last term does not end with `.`"]);
    assert_eq!(said("{a, 1}\n{b, 2}."), ["1:6 this term does not end with `.`, and another begins behind it"]);
    assert_eq!(said("[a]. “é"), ["1:6 `“` is no quote to Erlang", "1:7 `é` follows a term outside of all brackets"]);
    assert_eq!(said("[a]. ł"), ["1:6 `ł` is outside of quotes", "1:6 the last term does not end with `.`"]);
    assert_eq!(said("a. .b."), ["1:4 `.` ends no term here"]);
}

#[test]
fn what_only_programs_have() {
    let text = "[{a, f(1)}, {b, 1+2}, {c, X}, {d, and}, {e, #r{a=1}}, {f, fun f/1}, {g, True}, {h, <<1.0>>}].";
    let expected = [
        "1:7 `f(` calls a function",
        "1:18 `+` computes something, and a file of terms has finished values only",
        "1:27 `X` is a variable, and a file of terms has none",
        "1:35 `and` is a reserved word of Erlang",
        "1:45 `#` begins a map or a record here",
        "1:59 this function is no term",
        "1:73 `True` is a variable",
        "1:86 an integer is needed here",
    ];
    assert_eq!(said(text), expected);
}

#[test]
fn templates() {
    let placeholders = [
        ("[{port, {{port}}}].", "{{port}}"),
        ("[{port, {{ port | default(1) }}}].", "{{ port | default(1) }}"),
        ("[{port, {{ node.port }}}].", "{{ node.port }}"),
        ("[{ip, \"{{web_ip}}\"}].", "\"{{web_ip}}\""),
        ("[{port, <%= @port %>}].", "<%= @port %>"),
        ("[\n{% if x %}\n{a, 1}\n{% endif %}\n].", "{% endif %}"),
        ("[{port, @PORT@}].", "@PORT@"),
        ("[{port, ${PORT}}].", "${PORT}"),
    ];
    for (text, placeholder) in placeholders {
        let findings = findings(text);
        assert_eq!(findings.len(), 1, "{text}: {findings:#?}");
        assert_eq!(findings[0].code, Code::Template, "{text}");
        assert_eq!(findings[0].message, format!("`{placeholder}` is a placeholder of a template"));
    }
    // Valid Erlang and no placeholders.
    for text in ["{{a, b}}.", "{{1}}.", "{% comment\na}.", "[${, $}].", "\"{{}}\".", "\"<%\"."] {
        assert!(findings(text).is_empty(), "{text}");
    }
    // Wrong, and no placeholders either.
    assert_eq!(said("[{{{10,0,0,1}, 1} {{10,0,0,2}, 1}}]."), ["1:19 a comma is missing before `{`"]);
}

#[test]
fn depth_is_bounded_and_needs_little_stack() {
    let nested = |depth: usize| {
        ["[", "{1,", "(", "[a|", "#{a => "].map(|open| {
            let close = if open.starts_with('[') {
                "]"
            } else if open == "(" {
                ")"
            } else {
                "}"
            };
            format!("{}b{}.", open.repeat(depth), close.repeat(depth))
        })
    };
    let check = move || {
        for text in nested(DEEPEST) {
            assert!(findings(&text).is_empty(), "{}", &text[..20]);
        }
        for text in nested(DEEPEST + 1).into_iter().chain(nested(100_000)) {
            assert_eq!(findings(&text).len(), 1);
            assert!(findings(&text)[0].message.contains("200 brackets"));
        }
    };
    // A quarter of what the main thread has.
    std::thread::Builder::new().stack_size(2 << 20).spawn(check).unwrap().join().unwrap();
}

#[test]
fn sizes_are_bounded() {
    let limit = |text: &str| findings(text).iter().any(|finding| finding.message.contains("which no setting needs"));
    assert!(limit("<<1:4294967296>>."));
    assert!(limit("<<1:99999999999999999999999>>."));
    assert!(limit(&format!("[{}].", ["<<0:100000000>>"; 10].join(","))));
    assert!(!limit("<<0:100000000>>."));
    assert!(limit(&format!("{}.", "1".repeat(LONGEST_INTEGER + 1))));
    assert!(!limit(&format!("{}.", "1".repeat(LONGEST_INTEGER))));
    assert_eq!(findings(&" ".repeat(LONGEST_TEXT + 1)).len(), 1);
}

#[test]
fn a_flood_of_mistakes_ends() {
    for piece in
        [",", "{", "]", "a ", "“", "X,", ". ", "\"\\x\"", "#", "# a\n", "{{a}}", "<%", "1.2.3 ", "{% ", "->", "a.b "]
    {
        let found = findings(&format!("[{}", piece.repeat(100_000)));
        assert!(!found.is_empty() && found.len() <= 51, "{piece}: {}", found.len());
    }
}
