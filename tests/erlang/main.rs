//! A real Erlang VM takes exactly the texts that the parser of terms takes, and finds the same terms in them.
//!
//! Needs `erl` (Debian: erlang-base). Everything comes out of a seed; one VM judges all texts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

#[path = "../generate/mod.rs"]
mod generate;
mod quirks;
mod spell;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use generate::Random;
use ringfence::diagnostic::{Code, FileId, Findings};
use ringfence::import::erlang::{Kind, Term, parse};

/// How many random texts are compared.
const TEXTS: usize = 8_000;
/// The VM hangs if it takes longer than this.
const LONGEST: Duration = Duration::from_secs(600);

/// What our parser says of a text.
#[derive(Clone, Debug, PartialEq)]
enum Ours {
    Terms(String),
    Refused(String),
    /// Refused for being a template, which may be valid.
    Template,
    /// Beyond a limit of ours, and perhaps of the VM's memory.
    Limit,
}

fn ours(text: &str) -> Ours {
    let mut findings = Findings::default();
    if let Some(terms) = parse(text, FileId::CLUSTER, &mut findings) {
        return Ours::Terms(dump_items(&terms));
    }
    let findings = findings.sorted();
    if findings.iter().any(|finding| finding.message.contains("which no setting needs")) {
        return Ours::Limit;
    }
    if findings.iter().any(|finding| finding.code == Code::Template) {
        return Ours::Template;
    }
    Ours::Refused(findings.iter().map(|finding| finding.message.clone()).collect::<Vec<_>>().join("; "))
}

fn codes(text: &str) -> String {
    text.chars().fold(String::new(), |mut codes, c| {
        write!(codes, "{},", u32::from(c)).unwrap();
        codes
    })
}

fn bits(bytes: &[u8], size: usize) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("<{size}:{hex}>")
}

fn dump_items(terms: &[Term]) -> String {
    format!("[{}]", terms.iter().map(|term| dump(term) + " ").collect::<String>())
}

/// The same form as `judge.erl` writes.
fn dump(term: &Term) -> String {
    match &term.kind {
        Kind::Atom(name) => format!("'{}'", codes(name)),
        Kind::Integer(digits) => digits.clone(),
        Kind::Float(value) => format!("f{:016x}", value.to_bits()),
        Kind::String(text) => format!("[{}]", codes(text).replace(',', " ")),
        Kind::Binary(bytes) => bits(bytes, bytes.len() * 8),
        Kind::Bitstring(bytes, used) => bits(bytes, bytes.len() * 8 - 8 + usize::from(*used)),
        Kind::Tuple(items) => format!("{{{}}}", items.iter().map(|item| dump(item) + " ").collect::<String>()),
        Kind::List(items, tail) => {
            let tail = tail.as_ref().map_or(String::new(), |tail| format!("|{}", dump(tail)));
            format!("[{}{tail}]", items.iter().map(|item| dump(item) + " ").collect::<String>())
        }
        Kind::Map(pairs) => {
            // To OTP 25, 0.0 and -0.0 are one key.
            let zero = |key: &str| key.replace("f8000000000000000", "f0000000000000000");
            let last: BTreeMap<String, String> = pairs
                .iter()
                .map(|(key, value)| (dump(key), dump(value)))
                .map(|(key, value)| (zero(&key), format!("{key}={value} ")))
                .collect();
            let mut pairs: Vec<String> = last.into_values().collect();
            pairs.sort();
            format!("#{}#", pairs.concat())
        }
        Kind::Fun(module, name, arity) => format!("F'{}''{}'{arity}", codes(module), codes(name)),
    }
}

/// What the VM says of each text: its terms, or none.
fn theirs(texts: &[String]) -> Vec<Option<String>> {
    let found = Command::new("erl").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(found.is_ok(), "erl is missing: packaging/setup.sh installs it");
    let folder = tempfile::tempdir().unwrap();
    for (number, text) in texts.iter().enumerate() {
        fs::write(folder.path().join(number.to_string()), text).unwrap();
    }
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/erlang/judge.erl");
    let compile =
        format!("{{ok, M, B}} = compile:file({:?}, [binary]), code:load_binary(M, \"\", B), M:main().", judge);
    let answers = folder.path().join("answers");
    let mut vm = Command::new("erl")
        // One scheduler: the processes of a consult only wait for each other.
        .args(["+S", "1", "-noinput", "-eval", &compile, "-extra"])
        .arg(folder.path())
        .arg(texts.len().to_string())
        .arg(&answers)
        .env("HOME", folder.path())
        .current_dir(folder.path())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = vm.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LONGEST {
            vm.kill().unwrap();
            panic!("the VM hangs");
        }
        thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "the VM failed");
    let answers = fs::read_to_string(answers).unwrap();
    let answers: Vec<_> = answers.lines().map(|line| (line != "refused").then(|| line.to_owned())).collect();
    assert_eq!(answers.len(), texts.len());
    answers
}

fn random_text(random: &mut Random) -> String {
    let mut tokens = spell::terms(random);
    match random.below(3) {
        0 => spell::write(random, &tokens),
        1 => {
            spell::misspell_tokens(random, &mut tokens);
            spell::write(random, &tokens)
        }
        _ => {
            let text = spell::write(random, &tokens);
            spell::misspell_characters(random, &text)
        }
    }
}

#[test]
fn the_vm_takes_the_same_texts_and_finds_the_same_terms() {
    let seed = std::env::var("RINGFENCE_SEED").ok().map_or(20_250_525, |seed| seed.parse().unwrap());
    let mut random = Random::new(seed);
    let generated = (0..TEXTS).map(|_| random_text(&mut random));
    let all: Vec<String> = quirks::TEXTS.iter().map(|text| (*text).to_owned()).chain(generated).collect();
    let judged: Vec<(String, Ours)> = all.iter().map(|text| (text.clone(), ours(text))).collect();
    let limits = judged.iter().filter(|(_, ours)| *ours == Ours::Limit).count();
    // These could take any amount of the VM's memory.
    let judged: Vec<_> = judged.into_iter().filter(|(_, ours)| *ours != Ours::Limit).collect();
    let texts: Vec<String> = judged.iter().map(|(text, _)| text.clone()).collect();
    let (mut taken, mut refused, mut templates) = (0, 0, 0);
    let mut wrong = Vec::new();
    for ((text, ours), theirs) in judged.iter().zip(theirs(&texts)) {
        match (ours, &theirs) {
            (Ours::Terms(ours), Some(theirs)) if ours == theirs => taken += 1,
            (Ours::Refused(_), None) => refused += 1,
            (Ours::Template, _) => templates += 1,
            _ => wrong.push(format!("{text:?}\n  ours:   {ours:?}\n  theirs: {theirs:?}\n")),
        }
    }
    println!("seed {seed}: {taken} taken, {refused} refused, {templates} templates, {limits} beyond limits");
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), texts.len(), wrong[..wrong.len().min(20)].concat());
    // The comparison would be empty if the generator made nothing of one kind.
    assert!(taken > TEXTS / 4 && refused > TEXTS / 4, "{taken} taken, {refused} refused");
    assert!((templates + limits) * 20 < TEXTS, "{templates} templates, {limits} beyond limits");
}
