use super::*;

/// Each assignment with what is known of it, and how many lines each unread piece takes.
fn read(text: &str) -> (Vec<String>, Vec<usize>) {
    let script = parse(text, FileId::CLUSTER);
    let shown = |one: &Assignment| {
        assert_eq!(text[one.name_span.start as usize..one.name_span.end as usize], one.name);
        let doubt = match one.certainty {
            Certainty::Known => "",
            Certainty::Computed => "$",
            Certainty::Open => "…",
            Certainty::Conditional => "?",
        };
        format!("{}={}{doubt}", one.name, one.value)
    };
    let assignments = script.assignments.iter().map(shown).collect();
    (assignments, script.unread.iter().map(|unread| unread.lines).collect())
}

#[test]
fn what_is_set() {
    let set = |text: &str| {
        let (all, unread) = read(text);
        assert!(unread.is_empty(), "{text}: {unread:?}");
        all
    };
    assert_eq!(set("# A=1\n\n  NODE_PORT=5673 # moved\r\n"), ["NODE_PORT=5673"]);
    assert_eq!(set("NODE_PORT=5673\r\nA=1\r"), ["NODE_PORT=5673", "A=1"]);
    assert_eq!(set("export A=1 B='x y'; C=\"a\\\"b\" D=\n"), ["A=1", "B=x y", "C=a\"b", "D="]);
    assert_eq!(set("export A\nA=a'b'\"c\"\\d"), ["A=abcd"]);
    assert_eq!(set("A=a#b;#c\nreadonly B=2"), ["A=a#b", "B=2"]);
    // Between double quotes a backslash is one, but before what it can take away.
    assert_eq!(set("A=\"a\\d\\$\\\\\""), ["A=a\\d$\\"]);
}

#[test]
fn a_value_may_go_on_in_the_next_line() {
    assert_eq!(read("A=\"x \\\n  y\"\nB=1"), (vec!["A=x   y".to_owned(), "B=1".to_owned()], vec![]));
    assert_eq!(read("A='x\ny'\nB=1\\\n2"), (vec!["A=x\ny".to_owned(), "B=12".to_owned()], vec![]));
    assert_eq!(read("A=1\\\r\n2\r\nexport \\\n B=2"), (vec!["A=12".to_owned(), "B=2".to_owned()], vec![]));
    // Without its end it is none.
    for open in ["A=\"x\nB=1\n", "A='x\nB=1\n", "A=$(x\nB=1\n", "A=`x\nB=1\n", "A=${x\nB=1\n", "A=1\\"] {
        let (all, _) = read(open);
        assert!(matches!(all.as_slice(), [one] if one.ends_with('…')), "{open}: {all:?}");
    }
}

#[test]
fn what_the_shell_computes_is_one_value() {
    for value in [
        "rabbit@$(hostname -f)",
        "\"rabbit@$(hostname -f)\"",
        "$((5672 + 8))",
        "\"$(echo \"a b\" ')')\"",
        "`hostname -f`",
        "\"`echo 'a b'`\"",
        "${X:-a b}",
        "$X",
        "~/x",
    ] {
        let (all, unread) = read(&format!("A={value} B=2\n"));
        assert_eq!((all, unread), (vec![format!("A={value}$"), "B=2".to_owned()], vec![]), "{value}");
    }
    assert_eq!(read("C='$X'").0, ["C=$X"]);
}

#[test]
fn what_another_command_may_never_come_to_is_conditional() {
    for (text, set, unread) in [
        ("if [ -f x ]; then A=1; fi\nB=2", "A=1? B=2", &[1][..]),
        ("if true\nthen\n  A=1\nelse A=2\nfi\nB=2", "A=1? A=2? B=2", &[5]),
        ("[ -f x ] && A=1\nB=2", "A=1? B=2", &[1]),
        ("test -f x ||\n  A=1\nB=2", "A=1? B=2", &[2]),
        ("A=1 && B=2", "A=1 B=2?", &[1]),
        ("! A=1\nB=2", "A=1? B=2", &[1]),
        ("A=1 | cat\nB=1 &\nC=1", "A=1? B=1? C=1", &[1, 1]),
        ("true | A=1", "A=1?", &[1]),
        ("C=1\nA=1 && true &\nB=1", "C=1 A=1? B=1", &[1]),
        ("A=1 echo x\nB=2", "A=1? B=2", &[1]),
        ("A=1 > x", "A=1?", &[1]),
        ("A=1 2> x B=2 3>&1", "A=1? B=2?", &[1]),
        ("C=1 export export A=1", "C=1? A=1?", &[1]),
        ("(A=1)\n{ A=2; }\nB=2", "A=1? A=2? B=2", &[1, 1]),
        ("f() {\n  A=1\n}\nB=2", "A=1? B=2", &[3]),
        ("for a in 1 2; do A=$a; done; B=2", "A=$a? B=2", &[1]),
        ("while x; do\n if y; then A=1; fi\ndone > f\nB=2", "A=1? B=2", &[3]),
        ("case $x in\n a|b) A=1;;\n (c) A=2;;\nesac\nB=2", "A=1? A=2? B=2", &[4]),
        ("cat <<END\nA=1\nEND\nB=2", "B=2", &[1]),
        ("cat <<-'E N'; A=2\nA=1\n\tE N\nB=2", "A=2 B=2", &[1]),
        ("if x; then A=1\nB=2\n", "A=1? B=2?", &[2]),
        ("A=(1 2)\nB=2", "A=? B=2", &[1]),
        ("fi\nA=1\n)\nB=2", "A=1 B=2", &[1, 1]),
    ] {
        let (all, found) = read(text);
        assert_eq!((all.join(" ").as_str(), found.as_slice()), (set, unread), "{text}");
    }
}

#[test]
fn what_is_no_assignment_is_unread() {
    for text in [". /etc/more", "A", "1A=2", "=x", "unset A", "echo A=1", "export -p", "A+=1", "A-B=1", "then A"] {
        assert_eq!(read(text), (vec![], vec![1]), "{text}");
    }
}

/// Any text is read to its end, and every place is one of the text.
#[test]
fn any_text_ends() {
    const PIECES: [&str; 30] = [
        "A",
        "=",
        "'",
        "\"",
        "\\",
        "$",
        " ",
        "\n",
        "#",
        ";",
        "export ",
        "NODE_PORT=56",
        "é",
        "\r\n",
        "\r",
        "(",
        ")",
        "{",
        "}",
        "`",
        "if ",
        "then ",
        "fi",
        "case x in ",
        "esac",
        "<<",
        "&&",
        "|",
        "do\n",
        "done",
    ];
    for seed in 0..20_000 {
        let mut random = crate::import::random::Random(seed);
        let text: String = (0..random.below(24)).map(|_| PIECES[random.below(PIECES.len())]).collect();
        let script = parse(&text, FileId::CLUSTER);
        let spans = script.unread.iter().map(|one| one.span);
        for span in spans.chain(script.assignments.iter().flat_map(|one| [one.name_span, one.value_span])) {
            assert!(text.get(span.start as usize..span.end as usize).is_some(), "{text:?}");
        }
    }
}

/// Each letter is looked at a few times, however it is nested or wherever it stands.
#[test]
fn long_texts_are_read_in_one_go() {
    for text in ["$(", "(", "if ", "a;", "A=1 && ", "{ A=1;\n", "\"$(", "<<a;", "`"] {
        let script = parse(&text.repeat(200_000), FileId::CLUSTER);
        assert!(script.unread.len() <= 1, "{text}: {}", script.unread.len());
    }
}

/// What `sh` makes of a text, for `A` and `B`; `None` where it refuses it.
fn run_by_sh(folder: &std::path::Path, text: &str) -> Option<[Option<String>; 2]> {
    std::fs::write(folder.join("x"), text).unwrap();
    // A text that is refused ends the shell before it prints.
    let script = ". ./x >/dev/null\nprintf '<%s|%s>' \"${A-unset}\" \"${B-unset}\"";
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", script]).current_dir(folder).env_clear().env("PATH", "").stdin(std::process::Stdio::null());
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let (a, b) = printed.strip_prefix('<')?.strip_suffix('>')?.split_once('|')?;
    Some([a, b].map(|value| Some(value.to_owned()).filter(|value| value != "unset")))
}

/// An assignment within what may stand around it.
fn statement(random: &mut crate::import::random::Random, depth: usize) -> String {
    const VALUES: [&str; 12] = [
        "",
        "1",
        "2\\\n3",
        "'x y'",
        "'x\ny'",
        "\"a\\b\\\"c\"",
        "a\\ b",
        "$C",
        "\"$(: 'x\" y')\"",
        "`: 1 2`",
        "${C:-'a b'}",
        "a#b",
    ];
    const AROUND: [(&str, &str); 22] = [
        ("", ""),
        ("", ""),
        ("", " # x"),
        ("export ", ""),
        ("false && ", ""),
        ("false ||\n ", ""),
        ("", " && true"),
        ("", " | true"),
        ("", " &"),
        ("! ", ""),
        ("C=1 ", ""),
        ("", " :"),
        ("", " <x"),
        ("{ ", "; }"),
        ("(", ")"),
        ("f() { ", "; }"),
        ("if false; then ", "; fi"),
        ("if true\nthen\n", "\nelse :\nfi"),
        ("case 1 in 2) : ;; (1) ", ";; esac"),
        ("for C in; do ", "; done"),
        (": <<E\n", "\nE"),
        (": <<-'E F'; ", "\nA=9\n\tE F"),
    ];
    let inside = match depth {
        0 => format!("{}={}", ["A", "B"][random.below(2)], VALUES[random.below(VALUES.len())]),
        _ => statement(random, depth - 1),
    };
    let (before, behind) = AROUND[random.below(AROUND.len())];
    format!("{before}{inside}{behind}")
}

/// A value that is called known is the one that the shell has in the end, and what is not set anywhere is not set.
#[test]
fn what_is_known_is_what_sh_says() {
    const SEEDS: u64 = 600;
    let folder = tempfile::tempdir().unwrap();
    let (mut taken, mut known) = (0, 0);
    for seed in 0..SEEDS {
        let mut random = crate::import::random::Random(seed);
        let mut text = String::new();
        for _ in 0..=random.below(4) {
            let depth = random.below(3);
            text += &statement(&mut random, depth);
            text += ["\n", "\n", "; ", "\r\n", " "][random.below(5)];
        }
        if random.below(6) == 0 {
            text.remove(random.below(text.len()));
        }
        // `sh` takes the carriage return for part of the value; here it ends the line.
        let Some(values) = run_by_sh(folder.path(), &text.replace('\r', "")) else { continue };
        taken += 1;
        let script = parse(&text, FileId::CLUSTER);
        for (name, value) in ["A", "B"].into_iter().zip(values) {
            match script.assignments.iter().rfind(|one| one.name == name) {
                Some(one) if one.certainty == Certainty::Known => {
                    known += 1;
                    assert_eq!(value.as_deref(), Some(one.value.as_str()), "{name} in {text:?}");
                }
                Some(_) => {}
                None => assert_eq!(value, None, "{name} in {text:?}"),
            }
        }
    }
    assert!(taken > SEEDS / 3 && known > SEEDS / 20, "{taken} texts, {known} values");
}
