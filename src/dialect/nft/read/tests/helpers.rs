//! Helpers of connection tracking.

use super::all;
use crate::ir::{Statement, Tracking};

/// How a rule tracks that hands connections to a helper of its table.
fn tracks(before: &str, objects: &str, name: &str) -> Vec<Statement> {
    let text = format!("{before}\ntable inet t {{\n{objects}\nchain c {{\nct helper set {name}\n}}\n}}\n");
    all(&text).ruleset.tables.last().unwrap().chains[0].rules[0].statements.clone()
}

#[test]
fn helpers_are_known_by_their_kind() {
    let expects = |before: &str, objects: &str, name: &str| match tracks(before, objects, name).as_slice() {
        [Statement::Track(Tracking::Expecting)] => true,
        [Statement::Track(Tracking::Detail)] => false,
        other => panic!("{objects}: {other:?}"),
    };
    for none in [
        "ct helper h {\ntype \"netbios-ns\" protocol udp\nl3proto ip\n}",
        "ct helper h { type \"tftp\" protocol udp; }",
        "ct helper \"h\" { type \"snmp\" protocol 17; l3proto inet; }",
        "ct helper h { type \"tftp\" protocol udp; }\nct helper g { type \"ftp\" protocol tcp; }",
        "ct helper h { type \"tftp\" protocol udp; }\nct helper h { type \"snmp\" protocol udp; }",
    ] {
        assert!(!expects("", none, "\"h\"") && !expects("", none, "h"), "{none}");
    }
    for some in [
        "",
        "ct helper g { type \"tftp\" protocol udp; }",
        "ct helper h { type \"ftp\" protocol tcp; }",
        "ct helper h { type \"netbios-ns\" protocol tcp; }",
        "ct helper h { type \"tftp-1069\" protocol udp; }",
        "ct helper h { type \"tftp\"; }",
        "ct helper h { type \"tftp\" protocol udp; type \"ftp\" protocol tcp; }",
        "ct helper h { type \"tftp\" protocol udp; { } }",
        // The kernel keeps one of the two.
        "ct helper h { type \"tftp\" protocol udp; }\nct helper h { type \"ftp\" protocol tcp; }",
        "ct helper h { type \"ftp\" protocol tcp; }\nct helper h { type \"tftp\" protocol udp; }",
        "ct timeout h { protocol udp; }",
    ] {
        assert!(expects("", some, "\"h\""), "{some}");
    }
    let tftp = "ct helper h { type \"tftp\" protocol udp; }";
    let before = "table inet t { }\nadd ct helper inet t h { type \"ftp\" protocol tcp; }";
    assert!(expects(before, tftp, "\"h\""), "what is there already stays");
    assert!(expects("table inet other { ct helper h { type \"tftp\" protocol udp; } }", "", "\"h\""));
    // What is looked up is not followed.
    let looked_up = tracks("", tftp, "udp dport map { 69 : \"h\" }");
    assert!(!looked_up.contains(&Statement::Track(Tracking::Detail)), "{looked_up:?}");
    let before = "table inet t { }\nadd ct helper inet t h { type \"tftp\" protocol udp; }";
    assert!(!expects(before, "", "\"h\""), "by a command");
    let variable = "define k = \"tftp\"";
    assert!(!expects(variable, "ct helper h { type $k protocol udp; }", "\"h\""));
}
