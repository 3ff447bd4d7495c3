use super::*;
use crate::diagnostic::{SourceFile, Sources, render_text};
use crate::import::random::Random;

fn parsed(text: &str) -> (Vec<Flag>, Vec<Diagnostic>) {
    let mut findings = Findings::default();
    let flags = parse(text, FileId::CLUSTER, &mut findings);
    (flags, findings.sorted())
}

fn shown(flag: &Flag) -> String {
    let values: String = flag.values.iter().map(|word| format!("[{}]", word.text)).collect();
    format!("{}{values}", flag.name.text)
}

fn found(text: &str, findings: &[Diagnostic]) -> Vec<String> {
    let file = SourceFile::new("vm.args".into(), text.into());
    let found = |finding: &Diagnostic| format!("{}:{}", file.line(finding.labels[0].span.start), finding.code);
    findings.iter().map(found).collect()
}

fn read(text: &str) -> (String, String) {
    let (flags, findings) = parsed(text);
    (flags.iter().map(shown).collect::<Vec<_>>().join(" "), found(text, &findings).join(" "))
}

/// What `erl -args_file FILE -emu_args_exit` of OTP 25 prints for each text.
#[test]
fn words_are_split_as_erlexec_splits_them() {
    for (text, expected) in [
        ("", ""),
        ("\n \t\u{b}\u{c}\r\n## x\n#", ""),
        ("-name a@b # c\n-x y#z w\n", "-name[a@b] -x[y]"),
        ("-x \"a b\" 'c d' e\\\\ f\n", "-x[a b][c d][e\\][f]"),
        ("-x \"\" ''\n", "-x[][]"),
        ("-x \"a\\\"b c\n", "-x[a\\b][c]"),
        ("-x a\"b c\"d\n", "-x[ab cd]"),
        ("-x a \\# b \\ c\n", "-x[a][#][b][ c]"),
        ("-x '#a' \"#b\"\n", "-x[#a][#b]"),
        ("-x \"a\nb\"\n", "-x[a\nb]"),
        ("#a\r-name x\r\n-y z\r\n", "-y[z]"),
        ("-x 'a\"b' \"c'd\"", "-x[a\"b][c'd]"),
        ("\"-x\" \\-y é", "-x -y[é]"),
    ] {
        assert_eq!(read(text), (expected.to_owned(), String::new()), "{text:?}");
    }
}

/// What `erl -args_file FILE -emu_args_exit` of OTP 25 prints for each text, with the flags put back to their places.
#[test]
fn words_belong_to_flags_as_for_the_vm() {
    for (text, expected) in [
        ("-kernel a 1 +A 5 b 2\n", "-kernel[a][1][b][2] +A[5]"),
        ("-x\n-env A -B c\n", "-x[c] -env[A][-B]"),
        ("-x -1 +1\n", "-x -1 +1"),
        ("+K true -s x\n+zdbbl 32768 foo\n", "+K[true] -s[x][foo] +zdbbl[32768]"),
        ("-extra a -b +c\n-name x\n", "-extra[a][-b][+c][-name][x]"),
        ("-s\n+Qx 5\n", "-s[5] +Qx"),
        ("-s\n+c true x\n+c foo\n+B i x\n+Bd x\n+B x\n", "-s[x][foo][x][x][x] +c[true] +c +B[i] +Bd +B"),
        (
            "-s\n+IOt 4 x\n+S 4:4 y\n+SDcpu 5 z\n+hms 5 w\n+rg 4 v\n+pc unicode u\n+sbt db t\n+MBas aobf s\n+Mea min r\n",
            "-s[x][y][z][w][v][u][t][s][r] +IOt[4] +S[4:4] +SDcpu[5] +hms[5] +rg[4] +pc[unicode] +sbt[db] +MBas[aobf] +Mea[min]",
        ),
        (
            "-s\n+W w\n+e 256000\n+JPperf true q\n+d\n+l x\n+fnu x\n",
            "-s[q][x][x] +W[w] +e[256000] +JPperf[true] +d +l +fnu",
        ),
        ("+P -5\n-smp enable -heart\n-epmd -x\n", "+P[-5] -smp[enable] -heart -epmd[-x]"),
    ] {
        assert_eq!(read(text), (expected.to_owned(), String::new()), "{text:?}");
    }
}

#[test]
fn what_the_vm_refuses_or_ignores_is_a_finding() {
    for (text, expected, codes) in [
        ("-env A\n", "-env[A]", "1:vm-args-syntax"),
        ("\n+Q\n", "+Q", "2:vm-args-syntax"),
        ("+sbwt\n-x\n", "+sbwt[-x]", "1:vm-args-syntax"),
        ("-name\n-sname a\n", "-name -sname[a]", "1:vm-args-syntax"),
        ("-name a b\n", "-name[a][b]", "1:vm-args-syntax"),
        ("-setcookie\n", "-setcookie", "1:vm-args-syntax"),
        ("+Bx\n+Bd\n-s '+sub y' z\n", "+Bx +Bd -s[z] +sub y", "1:vm-args-syntax"),
        (
            "-start_epmd maybe\n-start_epmd\n-start_epmd false\n",
            "-start_epmd[maybe] -start_epmd -start_epmd[false]",
            "1:vm-args-syntax 2:vm-args-syntax",
        ),
        ("foo bar\n-x\n", "-x", "1:vm-args-words"),
        ("-kernel a 1 -- b 2\n-x", "-kernel[a][1] -x", "1:vm-args-words"),
        ("-x \"a\n-y z\n", "-x[a\n-y z\n]", "1:vm-args-syntax"),
        ("-x a\n-y 'b", "-x[a] -y[b]", "2:vm-args-syntax"),
        ("-x a \\\n b", "-x[a][\n][b]", "1:vm-args-syntax"),
        ("-x a\\", "-x[a]", "1:vm-args-syntax"),
        ("-x a\0-name b", "-x[a]", "1:vm-args-syntax"),
        ("-x a\n-args_file /b\nc\n", "-x[a] -args_file[/b]", "2:not-read 3:vm-args-words"),
        ("-args_file", "-args_file", "1:vm-args-syntax"),
        ("-name {{node}}\n-setcookie <%=@c%>", "-name[{{node}}] -setcookie[<%=@c%>]", "1:template 2:template"),
        ("-x {{127,0,0,1},1}", "-x[{{127,0,0,1},1}]", ""),
    ] {
        assert_eq!(read(text), (expected.to_owned(), codes.to_owned()), "{text:?}");
    }
}

fn kernel(text: &str) -> (String, String) {
    let (flags, before) = parsed(text);
    assert!(before.is_empty(), "{before:?}");
    let mut findings = Findings::default();
    let shown = settings(&flags, "kernel", &mut findings)
        .iter()
        .map(|setting| format!("{}={}", setting.key, setting.value.text))
        .collect::<Vec<_>>();
    (shown.join(" "), found(text, &findings.sorted()).join(" "))
}

/// The pairs are those of `application:get_all_env(kernel)` in OTP 25.
#[test]
fn settings_of_an_application_add_up() {
    for (text, expected, codes) in [
        ("-kernel a 1 b 2\n-kernel c 3\n", "a=1 b=2 c=3", ""),
        ("-kernel a 1 +Q 1024 b 2\n", "a=1 b=2", ""),
        (
            "-kernel inet_dist_listen_min 6000\n  inet_dist_listen_max 6005\n-sasl x 1",
            "inet_dist_listen_min=6000 inet_dist_listen_max=6005",
            "",
        ),
        ("-kernel a \"[1,2]\" b {127,0,0,1}\n", "a=[1,2] b={127,0,0,1}", ""),
        ("-kernel \"'a'\" 1 b '\"x y\"'\n", "a=1 b=\"x y\"", ""),
        ("-kernel\n", "", ""),
        ("-kernel a 1\n-kernel \"'a'\" 1\n", "a=1", ""),
        ("-kernel a 1 b\n", "a=1", "1:vm-args-syntax"),
        ("-kernel a -1 b 2\n", "", "1:vm-args-syntax"),
        ("-kernel a 1\n-kernel a 2\n", "a=1", "2:vm-args-syntax"),
        ("-kernel a 1 a 2\n", "a=1", "1:vm-args-syntax"),
        ("-kernel a {127, 0, 0, 1}\n", "a={127,", "1:vm-args-syntax 1:vm-args-syntax"),
    ] {
        assert_eq!(kernel(text), (expected.to_owned(), codes.to_owned()), "{text:?}");
    }
}

#[test]
fn the_environment_and_the_flags_of_a_name() {
    let (flags, _) = parsed("-env A 1\n-env B 2\n-env A 3\n-sname x\n-sname y\n+Q 1\n+Q 2\n");
    let value = |name| environment(&flags, name).map(|word| word.text.as_str());
    assert_eq!([value("A"), value("B"), value("C")], [Some("3"), Some("2"), None]);
    assert_eq!(all(&flags, "-sname").next().map(shown).as_deref(), Some("-sname[x]"));
    assert_eq!(all(&flags, "+Q").next_back().map(shown).as_deref(), Some("+Q[2]"));
}

#[test]
fn places_are_exact() {
    let text = "é\n-kernel 'a b'c\"\"#\n stray";
    let (flags, findings) = parsed(text);
    let at = |span: Span| &text[span.start as usize..span.end as usize];
    assert_eq!(at(findings[0].labels[0].span), "é");
    assert_eq!((at(flags[0].name.span), at(flags[0].values[0].span)), ("-kernel", "'a b'c\"\""));
    let (_, findings) = parsed("a b\n c -x");
    assert_eq!(findings[0].labels[0].span, Span::new(FileId::CLUSTER, 0..6));
}

#[test]
fn a_finding_as_the_admin_sees_it() {
    let text = "-kernel inet_dist_listen_min 6000\n-kernel inet_dist_listen_min 7000\n";
    let sources = Sources::new(SourceFile::new("vm.args".into(), text.into()));
    let mut findings = Findings::default();
    settings(&parsed(text).0, "kernel", &mut findings);
    assert_eq!(
        render_text(&findings.sorted()[0], &sources, false),
        "error[vm-args-syntax]: `inet_dist_listen_min` is set twice, to `6000` and `7000`\n --> vm.args:2:9\n  |\n\
         2 | -kernel inet_dist_listen_min 7000\n  |         ^^^^^^^^^^^^^^^^^^^^\n  |\n ::: vm.args:1:9\n  |\n\
         1 | -kernel inet_dist_listen_min 6000\n  |         -------------------- set here first\n  |\n  \
         = help: take one of them away: which one the VM takes depends on what else is set"
    );
}

/// A word with quotes and backslashes in any of the ways that there are.
fn written(random: &mut Random, word: &str) -> String {
    let mut written = String::new();
    for c in word.chars() {
        let special = SPECIAL.contains(c);
        match (random.below(4), c) {
            (0, c) if c != '"' => written += &format!("\"{c}\""),
            (1, c) if c != '\'' => written += &format!("'{c}'"),
            (2, c) if !"\n\r".contains(c) => written += &format!("\\{c}"),
            (_, '\n' | '\r') => written += &format!("\"{c}\""),
            _ if special => written += &format!("\\{c}"),
            _ => written.push(c),
        }
    }
    if word.is_empty() { "''".to_owned() } else { written }
}

const SPECIAL: &str = " \t\n\r\u{b}\u{c}#'\"\\";

/// Any flags, written in any way, are read again.
#[test]
fn what_is_written_is_read() {
    for seed in 0..3000 {
        let mut random = Random(seed);
        let mut text = String::new();
        let mut expected = Vec::new();
        for _ in 0..random.below(6) {
            let alphabet = format!("ab1{{}}[]=+-é{SPECIAL}");
            let flag = format!("-{}", random.text("xyz_", 1, 4));
            let values: Vec<String> = (0..random.below(4))
                .map(|_| random.text(&alphabet, 0, 6))
                .filter(|value| !value.starts_with(['-', '+']))
                .collect();
            for word in std::iter::once(&flag).chain(&values) {
                text += &written(&mut random, word);
                text += random.pick(&[" ", "\n", "\t", "\r\n", " \u{b}\u{c}", "# it's \"\\\n"]);
            }
            expected.push((flag, values));
        }
        let (flags, findings) = parsed(&text);
        assert!(findings.iter().all(|finding| finding.code == Code::Template), "{findings:?}\n{text:?}");
        let texts = |words: &[Word]| words.iter().map(|word| word.text.clone()).collect::<Vec<_>>();
        let read: Vec<_> = flags.iter().map(|flag| (flag.name.text.clone(), texts(&flag.values))).collect();
        assert_eq!(read, expected, "{text:?}");
    }
}
