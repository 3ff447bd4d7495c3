use std::fmt::Write as _;

use super::*;
use crate::diagnostic::{SourceFile, Sources, render_text};
use crate::import::random::Random;

fn parsed(text: &str) -> (Option<Membership>, Vec<Diagnostic>) {
    let mut findings = Findings::default();
    let membership = parse(text, FileId::CLUSTER, &mut findings);
    (membership, findings.sorted())
}

fn shown(members: &[Member]) -> String {
    let shown = |member: &Member| format!("{} {:?}", member.name, member.state).to_lowercase();
    members.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// The members of today, where there is no finding.
fn today(text: &str) -> String {
    let (membership, findings) = parsed(text);
    assert!(findings.is_empty(), "{findings:#?}\n{text}");
    let membership = membership.unwrap();
    assert_eq!(membership.planned, None);
    for member in &membership.today {
        assert_eq!(text[member.span.start as usize..member.span.end as usize], member.name);
    }
    shown(&membership.today)
}

fn messages(text: &str) -> String {
    let (membership, findings) = parsed(text);
    assert!(membership.is_none() && !findings.is_empty(), "{membership:#?}\n{text}");
    assert!(findings.iter().all(|finding| finding.help.is_some() && finding.code == Code::MembershipSyntax));
    findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>().join("; ")
}

fn table(rows: &str, totals: &str) -> String {
    let rule = "-".repeat(79);
    let header = format!("{} Membership {}\nStatus     Ring    Pending    Node", "=".repeat(33), "=".repeat(34));
    format!("{header}\n{rule}\n{rows}{rule}\n{totals}\n")
}

const OLD: &str = "leaving    32.8%      0.0%    'dev2@127.0.0.1'\nvalid      34.4%     50.0%    'dev1@127.0.0.1'\n\
                   valid      32.8%     50.0%    dev3@host\n";
const OLD_TOTALS: &str = "Valid:2 / Leaving:1 / Exiting:0 / Joining:0 / Down:0";

#[test]
fn member_status_of_all_versions() {
    let old = "dev2@127.0.0.1 leaving, dev1@127.0.0.1 valid, dev3@host valid";
    assert_eq!(today(&table(OLD, OLD_TOTALS)), old);
    assert_eq!(today(&table(OLD, OLD_TOTALS).replace('\n', "\r\n")), old);
    let noise =
        "\u{1b}[33mAttempting to restart script through sudo -H -u riak\u{1b}[0m\r\n$ riak-admin member-status\n";
    let coloured = table(OLD, OLD_TOTALS).replace("leaving ", "\u{1b}[1;31mleaving\u{1b}[0m ");
    assert_eq!(today(&format!("{noise}{coloured}\n(dev1@127.0.0.1)1> ")), old);
    let rows = "joining     0.0%      --      riak@10.0.0.1\nvalid     100.0%      --      riak@10.0.0.2 (rack a)\n\
                down        0.0%      --      riak@fd00::3\nexiting     0.0%      --      riak-default@10.0.0.4\n";
    let new = "riak@10.0.0.1 joining, riak@10.0.0.2 valid, riak@fd00::3 down, riak-default@10.0.0.4 exiting";
    assert_eq!(today(&table(rows, "Valid: 1 / Leaving: 0 / Exiting: 1 / Joining: 1 / Down: 1")), new);
    let legacy = "valid (legacy)  50.0%      --      'a@h-1'\n(legacy)   50.0%      --      'b@h-2'\n";
    assert_eq!(
        today(&table(legacy, "Valid:2 / Leaving:0 / Exiting:0 / Joining:0 / Down:0")),
        "a@h-1 valid, b@h-2 unstated"
    );
    let invalid = "invalid     0.0%      --      a@h\nvalid     100.0%      --      b@h\n";
    assert_eq!(
        today(&table(invalid, "Valid:1 / Leaving:0 / Exiting:0 / Joining:0 / Down:0")),
        "a@h invalid, b@h valid"
    );
    let twice = format!("{}\n{}", table(OLD, OLD_TOTALS), table(OLD, OLD_TOTALS));
    assert_eq!(today(&twice), old);
}

#[test]
fn nothing_in_a_table_is_dropped() {
    let changed = |from: &str, to: &str| messages(&table(OLD, OLD_TOTALS).replace(from, to));
    assert_eq!(changed("leaving  ", "departing"), "`departing` is no state of a member");
    assert_eq!(
        changed("leaving    32.8%", "leaving    a lot"),
        "`leaving    a lot      0.0%    'dev2@127.0.0.1'` is no row of a member"
    );
    assert_eq!(changed("'dev2@127.0.0.1'", ""), "`leaving    32.8%      0.0%` is no row of a member");
    assert_eq!(changed("'dev2@127.0.0.1'", "dev2"), "`dev2` is no name of a node");
    assert_eq!(changed("dev2@127.0.0.1'\n", "dev2@127.0.0.1\n"), "`'dev2@127.0.0.1` is no name of a node");
    assert_eq!(changed("dev2@127.0.0.1", "dev1@127.0.0.1"), "`dev1@127.0.0.1` is listed twice");
    assert_eq!(
        changed("dev3@host", "dev3@host x"),
        "`valid      32.8%     50.0%    dev3@host x` is no row of a member"
    );
    assert_eq!(
        changed("valid      32.8%     50.0%    dev3@host\n", ""),
        "the totals say 3 members, but the table lists 2"
    );
    assert_eq!(
        changed("Leaving:1 / Exiting:0", "Leaving:0 / Exiting:1"),
        "the totals of the states contradict the table"
    );
    assert_eq!(changed(OLD_TOTALS, ""), "the table has no line of totals");
    assert_eq!(changed(OLD_TOTALS, "Valid:2 / Gone:1"), "the table has no line of totals");
    let other = format!("{}{}", table(OLD, OLD_TOTALS), table(OLD, OLD_TOTALS).replace("dev3", "dev4"));
    assert_eq!(messages(&other), "this table contradicts the first one");
    assert_eq!(
        messages(&table("", "Valid:0 / Leaving:0 / Exiting:0 / Joining:0 / Down:0")),
        "the output shows no members"
    );
    let whole = table(OLD, OLD_TOTALS);
    for end in whole.find("Status").unwrap()..whole.find("Valid:2").unwrap() {
        messages(&whole[..end]);
    }
}

const BOX: &str = "---- Cluster Status ----\nRing ready: true\n\n\
                   +---------------------+-------+-------+-----+-------+\n\
                   |        node         |status | avail |ring |pending|\n\
                   +---------------------+-------+-------+-----+-------+\n\
                   |     riak@10.0.0.1   |joining|  up   |  0.0|  --   |\n\
                   |     riak@10.0.0.2   | down  | down! |  0.0|  --   |\n\
                   | (C) riak@10.0.0.3   | valid |  up   |100.0|  --   |\n\
                   +---------------------+-------+-------+-----+-------+\n\n\
                   Key: (C) = Claimant; availability marked with '!' is unexpected\n";

#[test]
fn cluster_status() {
    let expected = "riak@10.0.0.1 joining, riak@10.0.0.2 down, riak@10.0.0.3 valid";
    assert_eq!(today(BOX), expected);
    assert_eq!(today(&BOX.replace('\n', "\r\n")), expected);
    assert_eq!(today(&BOX.replace('|', "│").replace("+-", "┼─").replace("-+", "─┼").replace("---", "───")), expected);
    assert_eq!(
        today(&BOX.replace("|pending|", "|pending| location |").replace("  --   |", "  --   | rack 1 |")),
        expected
    );
    let changed = |from: &str, to: &str| messages(&BOX.replace(from, to));
    assert_eq!(changed("joining", "waiting"), "`waiting` is no state of a member");
    assert_eq!(changed("10.0.0.2 ", "10.0.0.1 "), "`riak@10.0.0.1` is listed twice");
    assert_eq!(changed("(C) riak@", "(C) riak "), "`riak 10.0.0.3` is no name of a node");
    assert_eq!(
        changed("riak@10.0.0.2   | down  | down! |  0.0|", "-2.example.com  |       |       |     |"),
        "`|     -2.example.com  |       |       |     |  --   |` goes on with the row above it, and names cannot be told apart"
    );
    let cut = BOX.find("+---------------------+-------+-------+-----+-------+\n\nKey").unwrap();
    assert_eq!(messages(&BOX[..cut]), "the table has no end: the output was cut");
}

fn plan(staged: &str, tables: &[String]) -> String {
    let rule = "-".repeat(79);
    let title = format!("{} Staged Changes {}", "=".repeat(31), "=".repeat(32));
    let mut text =
        format!("{title}\nAction         Details(s)\n{rule}\n{staged}{rule}\n\nNOTE: Applying these changes\n\n");
    for (index, table) in tables.iter().enumerate() {
        let marks = "#".repeat(79);
        write!(text, "{marks}\n    After cluster transition {}/{}\n{marks}\n\n{table}\n", index + 1, tables.len())
            .unwrap();
    }
    text
}

fn planned(text: &str) -> (String, String) {
    let (membership, findings) = parsed(text);
    assert!(findings.is_empty(), "{findings:#?}\n{text}");
    let membership = membership.unwrap();
    (shown(&membership.today), shown(&membership.planned.unwrap()))
}

#[test]
fn a_plan_shows_today_and_the_end() {
    let rows = "valid     100.0%     50.0%    'a@h.x'\nvalid       0.0%     50.0%    'b@h.x'\n";
    let join = table(rows, "Valid:2 / Leaving:0 / Exiting:0 / Joining:0 / Down:0");
    let expected = ("a@h.x valid, b@h.x joining".to_owned(), "a@h.x valid, b@h.x valid".to_owned());
    assert_eq!(planned(&plan("join           'b@h.x'\n", &[join])), expected);

    let first = "leaving    50.0%      0.0%    'a@h.x'\nvalid      50.0%     50.0%    'b@h.x'\nvalid       0.0%     50.0%    'c@h.x'\n";
    let totals = "Valid:2 / Leaving:1 / Exiting:0 / Joining:0 / Down:0";
    let last = first.replace("50.0%      0.0%", " 0.0%      --  ");
    let staged = "join           'c@h.x'\nreplace        'a@h.x' with 'c@h.x'\n";
    let (today, end) = planned(&plan(staged, &[table(first, totals), table(&last, totals)]));
    assert_eq!(today, "a@h.x unstated, b@h.x valid, c@h.x joining");
    assert_eq!(end, "b@h.x valid, c@h.x valid");
    let (_, end) = planned(&plan(
        "leave          'a@h.x'\nset-location   'b@h.x' to 'r 1'\nresize-ring    8 to 16 partitions\n",
        &[table(first, totals)],
    ));
    assert_eq!(end, "b@h.x valid, c@h.x valid");

    let rows = "valid     100.0%      --      'b@h.x'\n";
    let one = [table(rows, "Valid:1 / Leaving:0 / Exiting:0 / Joining:0 / Down:0")];
    let (today, end) = planned(&plan("force-remove   'a@h.x'\n", &one));
    assert_eq!((today.as_str(), end.as_str()), ("b@h.x valid, a@h.x unstated", "b@h.x valid"));
    let (today, _) = planned(&plan("join           'b@h.x'\nforce-replace  'a@h.x' with 'b@h.x'\n", &one));
    assert_eq!(today, "b@h.x joining, a@h.x unstated");
}

#[test]
fn a_plan_that_is_not_understood_is_a_finding() {
    let rows = table("valid     100.0%      --      'b@h.x'\n", "Valid:1 / Leaving:0 / Exiting:0 / Joining:0 / Down:0");
    let one = [rows];
    assert_eq!(
        messages(&plan("abduct         'a@h.x'\n", &one)),
        "`abduct         'a@h.x'` is no change that is known"
    );
    assert_eq!(messages(&plan("leave          'a'\n", &one)), "`a` is no name of a node");
    assert_eq!(messages(&plan("leave          'a@h'\n", &[])), "the plan shows no members");
    let whole = plan("leave          'a@h.x'\n", &one);
    let tables = &whole[whole.find("####").unwrap()..];
    assert_eq!(messages(tables), "the list of staged changes is missing from the plan");
    assert_eq!(
        messages("There are no staged changes\n"),
        "no members in this output, which says `There are no staged changes`"
    );
}

#[test]
fn lists_of_names() {
    let expected = "a@h unstated, b-1@10.0.0.2 unstated";
    for text in [
        "TRUE All nodes agree on the ring [a@h,'b-1@10.0.0.2']\n",
        "$ riak-admin ringready\r\nTRUE All nodes agree on the ring ['a@h',\r\n                                  'b-1@10.0.0.2']\r\n",
        "1-minute stats for 'a@h'\n----\nnodename : a@h\nring_members : ['a@h','b-1@10.0.0.2']\nconnected_nodes : ['c@h']\n",
        "ring_members : ['a@h',\n                'b-1@10.0.0.2']",
        "{\"nodename\":\"a@h\",\"connected_nodes\":[\"c@h\"],\"ring_members\":[\"a@h\",\"b-1@10.0.0.2\"],\"x\":{\"ring_members\":1}}",
        "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n{\r\n  \"ring_members\": [\r\n \"a@h\",\r\n \"b-1@10.0.0.2\"]\r\n}\r\n$ ",
    ] {
        assert_eq!(today(text), expected);
    }
    for (text, message) in [
        ("TRUE All nodes agree on the ring ['a@h',\n", "the list of members has no end: the output was cut"),
        ("TRUE All nodes agree on the ring []\n", "the output shows no members"),
        ("ring_members : [a@h,,b@h]\n", "`` is no name of a node"),
        ("ring_members : [a@h,b@h,a@h]\n", "`a@h` is listed twice"),
        ("{\"ring_members\":[\"a@h\",\"a@h\"]}", "`a@h` is listed twice"),
        ("{\"ring_members\":[\"a\\u0040h x\"]}", "`a@h x` is no name of a node"),
        (
            "{\"nodename\":\"a@h\"}",
            "the JSON has neither the `ring_members` of Riak nor the `running_nodes` of RabbitMQ",
        ),
        ("{\"ring_members\":[]}", "the output shows no members"),
        ("{\"ring_members\":[1]}", "this is no JSON: invalid type: integer `1`, expected a string at line 1 column 18"),
        ("{\"ring_members\":[\"a@h\"", "this is no JSON: EOF while parsing a list at line 1 column 22"),
    ] {
        assert_eq!(messages(text), message);
    }
}

#[test]
fn what_shows_no_members_says_so() {
    for (text, message) in [
        ("", "the output is empty"),
        (" \r\n\t", "the output is empty"),
        ("Node not responding to pings.\r\n", "no members in this output, which says `Node not responding to pings.`"),
        ("!!!!\nNode is not running!\n", "no members in this output, which says `Node is not running!`"),
        (
            "FALSE ['a@h'] down.  All nodes need to be up to check.\n",
            "no members in this output, which says `FALSE ['a@h'] down.  All nodes need to be up to check.`",
        ),
        (
            "FALSE Node a@h and b@h list different partition owners",
            "no members in this output, which says `FALSE Node a@h and b@h list different partition owners`",
        ),
        ("sh: riak-admin: not found", "no members in this output, which says `sh: riak-admin: not found`"),
        ("hello\nworld", "this is no output of Riak or RabbitMQ that shows members"),
    ] {
        assert_eq!(messages(text), message);
    }
}

#[test]
fn a_finding_as_the_admin_sees_it() {
    let text = "$ riak-admin member-status\nNode is not running!\n";
    let sources = Sources::new(SourceFile::new("members".into(), text.into()));
    assert_eq!(
        render_text(&parsed(text).1[0], &sources, false),
        "error[membership-syntax]: no members in this output, which says `Node is not running!`\n --> members:2:1\n  |\n\
         2 | Node is not running!\n  | ^^^^^^^^^^^^^^^^^^^^\n  |\n  = help: run `riak-admin member-status` or \
         `rabbitmqctl cluster_status --formatter json` on a node that is up, with the rights of the program, and give all that it prints"
    );
}

/// Any members, written in any of the forms, are read again; and any piece cut out of the middle of a line is no panic.
#[test]
fn what_is_printed_is_read() {
    for seed in 0..2000 {
        let mut random = Random(seed);
        let count = 1 + random.below(6);
        let states = [State::Joining, State::Valid, State::Leaving, State::Exiting, State::Down];
        let members: Vec<(String, State)> = (0..count)
            .map(|n| {
                (format!("{}{n}@{}", random.text("ab_-.0", 1, 5), random.text("x1.:-", 1, 12)), random.pick(&states))
            })
            .collect();
        let stated = random.below(2) == 0;
        let text = if stated { with_states(&mut random, &members) } else { without_states(&mut random, &members) };
        let expected: Vec<String> = members
            .iter()
            .map(|(name, state)| format!("{name} {:?}", if stated { *state } else { State::Unstated }).to_lowercase())
            .collect();
        assert_eq!(today(&text), expected.join(", "), "{text}");
        let (from, to) = (random.below(text.len() + 1), random.below(text.len() + 1));
        if let (Some(before), Some(behind)) = (text.get(..from.min(to)), text.get(from.max(to)..)) {
            parsed(&format!("{before}{behind}"));
        }
    }
}

fn with_states(random: &mut Random, members: &[(String, State)]) -> String {
    let word = |state: State| format!("{state:?}").to_lowercase();
    if random.below(2) == 0 {
        let quote = random.pick(&["'", ""]);
        let rows: String = members
            .iter()
            .map(|(name, state)| format!("{:<8}  {:>5.1}%      --      {quote}{name}{quote}\n", word(*state), 12.5))
            .collect();
        let count = |state: State| members.iter().filter(|member| member.1 == state).count();
        let states = [State::Valid, State::Leaving, State::Exiting, State::Joining, State::Down];
        let space = random.pick(&["", " "]);
        let totals: Vec<String> = states.iter().map(|&state| format!("{state:?}:{space}{}", count(state))).collect();
        return table(&rows, &totals.join(" / "));
    }
    let rule = "+------+-----+\n";
    let rows: String = members.iter().map(|(name, state)| format!("|     {name} | {} |\n", word(*state))).collect();
    format!("{rule}|  node  |status|\n{rule}{rows}{rule}")
}

fn without_states(random: &mut Random, members: &[(String, State)]) -> String {
    let quote = random.pick(&["'", ""]);
    let between = random.pick(&[",", ",\n     ", ", "]);
    let names: Vec<String> = members.iter().map(|(name, _)| format!("{quote}{name}{quote}")).collect();
    match random.below(3) {
        0 => format!("TRUE All nodes agree on the ring [{}]\n", names.join(between)),
        1 => format!("x : 1\nring_members : [{}]\ny : 2\n", names.join(between)),
        _ => {
            let names: Vec<String> = members.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            format!("{{\"a\":1,\"ring_members\":[{}]}}", names.join(between))
        }
    }
}

#[test]
fn a_hundred_thousand_members() {
    let rows: String = (0..100_000).map(|n| format!("valid       0.0%      --      riak@host-{n}\n")).collect();
    let whole = table(&rows, "Valid:100000 / Leaving:0 / Exiting:0 / Joining:0 / Down:0");
    assert_eq!(parsed(&whole).0.unwrap().today.len(), 100_000);
    let wrong = whole.replace("valid ", "vapid ");
    assert_eq!(parsed(&wrong).1.len(), 101);
    let same = whole.replace("host-9", "host-1");
    assert_eq!(parsed(&same).1.len(), 101);
}

#[test]
fn several_outputs_have_to_agree() {
    let list = |names: &[&str]| format!("TRUE All nodes agree on the ring [{}]\n", names.join(","));
    let json = |names: &[&str]| format!("{{\"ring_members\":[{}]}}", names.join(",").replace('\'', "\""));
    let cluster_status =
        |state: &str| format!("+---+\n|node|status|\n+---+\n|a@10.0.0.1|valid|\n|b@10.0.0.2|{state}|\n+---+\n");
    let (a, b, c) = ("'a@10.0.0.1'", "'b@10.0.0.2'", "'c@10.0.0.3'");
    let rows = format!("valid 50.0% -- {a}\nleaving 50.0% -- {b}\n");
    let status = table(&rows, "Valid:1 / Leaving:1 / Exiting:0 / Joining:0 / Down:0");
    let known = "a@10.0.0.1 valid, b@10.0.0.2 leaving";
    // Whichever is first, the states count.
    assert_eq!(today(&[list(&[b, a]), list(&[a, b])].concat()), "b@10.0.0.2 unstated, a@10.0.0.1 unstated");
    assert_eq!(today(&[list(&[b, a]), cluster_status("leaving")].concat()), known);
    assert_eq!(today(&[&status, "\n", &cluster_status("leaving"), &list(&[a, b]), &json(&[a, b])].concat()), known);
    assert!(!today(&[json(&[a, b]), json(&[b, a]), json(&[a, b])].concat()).is_empty());
    let differs = "this output contradicts those before it";
    for text in [
        [list(&[a, b]), list(&[a, b, c])].concat(),
        [list(&[a, b]), list(&[a, c])].concat(),
        [json(&[a, b]), json(&[a])].concat(),
        [json(&[a]), "\n\n".to_owned(), json(&[a, b]), "\n".to_owned()].concat(),
        [status.clone(), cluster_status("valid")].concat(),
        [cluster_status("valid"), "\n".to_owned(), cluster_status("leaving")].concat(),
        [list(&[a, b]), cluster_status("valid"), list(&[a])].concat(),
        [list(&[a, b]), status, "\n".to_owned(), cluster_status("valid")].concat(),
    ] {
        assert_eq!(messages(&text), differs, "{text}");
    }
    assert!(messages(&[list(&[a, b]), "{\"ring_members\":[\"a@10.0".to_owned()].concat()).contains("no JSON"));
}

/// The real output of a cluster of three, one of which is stopped (RabbitMQ 3.10).
#[test]
fn what_rabbitmq_prints() {
    let text = include_str!("../../../tests/import/rabbitmq-three-nodes/stdin");
    let (membership, findings) = parsed(text);
    assert!(findings.is_empty(), "{findings:#?}");
    let membership = membership.unwrap();
    assert_eq!(
        shown(&membership.today),
        "rabbit@10.20.0.11 running, rabbit@10.20.0.12 running, rabbit@10.20.0.13 down"
    );
    for member in &membership.today {
        assert_eq!(text[member.span.start as usize..member.span.end as usize], member.name);
    }
    let listeners: Vec<String> =
        membership.listeners.iter().map(|one| format!("{} {} {}", one.node, one.protocol, one.port)).collect();
    assert_eq!(
        listeners,
        [
            "rabbit@10.20.0.11 clustering 25672",
            "rabbit@10.20.0.11 amqp 5672",
            "rabbit@10.20.0.12 stomp 61613",
            "rabbit@10.20.0.12 clustering 25672",
            "rabbit@10.20.0.12 amqp 5677"
        ]
    );
    assert_eq!((membership.kind, membership.planned), (Some(RABBIT_KIND), None));
    // A piece of it is no output, and two that differ are none either.
    assert!(messages(&text[..text.len() / 2]).contains("no JSON"));
    let less = text.replace("\"rabbit@10.20.0.12\",\"rabbit@10.20.0.11\"]", "\"rabbit@10.20.0.11\"]");
    assert!(less != text && messages(&format!("{text}\n{less}")).contains("contradicts"));
    assert!(messages("{\"running_nodes\":[\"rabbit@a\",\"rabbit@a b\"]}").contains("no name of a node"));
    assert!(messages("{\"running_nodes\":[]}").contains("no members"));
}
