//! vm.args: the command line of the Erlang VM, spread over lines.
//!
//! Two programs read it, one after the other. `erlexec` splits the text into words (`words`) and takes out what is its own:
//! `-env NAME VALUE`, and what begins with `+`, each with a fixed number of words. What is left goes to `init`, for which a
//! word that begins with `-` is a flag, and all words up to the next flag are its values, whatever stood between them: in
//! `-kernel a 1 +Q 1024 b 2` the `b 2` belongs to `-kernel`. A negative number is a flag, too. (`erts/etc/common/erlexec.c`,
//! `erts/preloaded/src/init.erl`; <https://www.erlang.org/doc/man/erl.html>; tried with OTP 25.)

#[cfg(test)]
mod tests;
mod words;

use rustc_hash::FxHashMap;

use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};

/// A word and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Without quotes and escapes.
    pub text: String,
    /// Where it stands, with its quotes.
    pub span: Span,
}

/// A flag with the words behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// With its `-` or `+`.
    pub name: Word,
    /// Up to the next flag; behind `-extra`, all that follows.
    pub values: Vec<Word>,
}

/// A key of an application with its value, as in `-kernel KEY VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    /// The key without the quotes of an atom.
    pub key: &'a str,
    /// Where the key stands.
    pub key_span: Span,
    /// An Erlang term, as it is written.
    pub value: &'a Word,
}

/// Reads the flags in the order of the file.
pub fn parse(text: &str, file: FileId, findings: &mut Findings) -> Vec<Flag> {
    let mut command_line = CommandLine { flags: Vec::new(), current: None, stray: None };
    let mut words = words::split(text, file, findings).into_iter().peekable();
    while let Some(word) = words.next() {
        check_word(&word, findings);
        command_line.add(word, &mut words, findings);
    }
    command_line.report_stray(findings);
    for flag in &command_line.flags {
        check_flag(flag, findings);
        check_file(flag, findings);
    }
    command_line.flags
}

/// All flags of a name, which is given with its `-` or `+`. Of several `-name` or `-sname` the VM takes the first, and any
/// `-sname` beats every `-name` (seen on OTP 25); of those that begin with `+`, and of several `-env` of one variable, the last is in force.
pub fn all<'a>(flags: &'a [Flag], name: &str) -> impl DoubleEndedIterator<Item = &'a Flag> {
    flags.iter().filter(move |flag| flag.name.text == name)
}

/// What `-env NAME VALUE` puts into the environment of the VM, the last of each name.
pub fn environment<'a>(flags: &'a [Flag], name: &str) -> Option<&'a Word> {
    all(flags, "-env").rev().find_map(|flag| match flag.values.as_slice() {
        [variable, value] if variable.text == name => Some(value),
        _ => None,
    })
}

/// The settings of an application from all its flags, which add up, in the order of the file and each key once.
///
/// A key with two different values is a finding: which one is in force depends on whether app.config has the key (OTP 25:
/// with `-kernel a 1 -kernel a 2` it is 1 if not, and 2 if so; with `-kernel a 1 a 2` it is the other way round).
pub fn settings<'a>(flags: &'a [Flag], application: &str, findings: &mut Findings) -> Vec<Setting<'a>> {
    let name = format!("-{application}");
    let mut settings: Vec<Setting<'_>> = Vec::new();
    let mut places: FxHashMap<&str, usize> = FxHashMap::default();
    for flag in all(flags, &name) {
        for pair in flag.values.chunks(2) {
            let [word, rest @ ..] = pair else { continue };
            let Some(key) = atom(&word.text) else {
                let message = format!("`{}` is no key of `{name}`", word.text);
                let help = "write `KEY VALUE` behind the flag, and quotes around a value with blanks";
                findings.push(Diagnostic::new(Code::VmArgsSyntax, word.span, message).help(help));
                continue;
            };
            let [value] = rest else {
                findings.push(no_value(key, word.span));
                continue;
            };
            let setting = Setting { key, key_span: word.span, value };
            match places.get(key).and_then(|&index| settings.get(index)) {
                Some(earlier) if earlier.value.text != value.text => findings.push(twice(earlier, &setting)),
                Some(_) => {}
                None => {
                    places.insert(key, settings.len());
                    settings.push(setting);
                }
            }
        }
    }
    settings
}

struct CommandLine {
    flags: Vec<Flag>,
    /// The flag that further words belong to.
    current: Option<usize>,
    /// Words that belong to no flag, from the first to the last, and the first.
    stray: Option<(Span, String)>,
}

type Words = std::iter::Peekable<std::vec::IntoIter<Word>>;

impl CommandLine {
    fn add(&mut self, word: Word, words: &mut Words, findings: &mut Findings) {
        if !word.text.starts_with(['-', '+']) {
            return self.value(word);
        }
        self.report_stray(findings);
        if word.text.starts_with('+') {
            return self.of_erlexec(word, words, findings);
        }
        match word.text.as_str() {
            "-env" | "-epmd" | "-args_file" => self.of_erlexec(word, words, findings),
            "-extra" => {
                self.flags.push(Flag { name: word, values: words.collect() });
            }
            // What follows is for programs, not for the VM.
            "--" => self.current = None,
            _ => {
                self.current = Some(self.flags.len());
                self.flags.push(Flag { name: word, values: Vec::new() });
            }
        }
    }

    fn value(&mut self, word: Word) {
        if let Some(flag) = self.current.and_then(|index| self.flags.get_mut(index)) {
            flag.values.push(word);
        } else if let Some((span, _)) = &mut self.stray {
            span.end = word.span.end;
        } else {
            self.stray = Some((word.span, word.text));
        }
    }

    /// A flag that takes a fixed number of words, whatever they are.
    fn of_erlexec(&mut self, name: Word, words: &mut Words, findings: &mut Findings) {
        let takes = takes(&name.text, words.peek());
        let values: Vec<Word> = words.take(takes.count).collect();
        let is_flag = |word: &Word| word.text.starts_with(['-', '+']);
        if values.len() < takes.count || (takes.no_flag && values.iter().any(is_flag)) {
            let message = format!("`{}` lacks what belongs to it, and the VM does not start", name.text);
            let help = match name.text.as_str() {
                "-env" => "write `-env NAME VALUE`".to_owned(),
                other => format!("write a value behind `{other}`, or take the flag away"),
            };
            findings.push(Diagnostic::new(Code::VmArgsSyntax, name.span, message).help(help));
        } else if name.text == "-args_file" {
            let path = values.first().map_or("", |path| path.text.as_str());
            let message = format!("the flags in `{path}` are not read, nor a name, a port or a range among them");
            let help = "write its lines in place of this flag and read the result";
            findings.push(Diagnostic::new(Code::NotRead, name.span, message).help(help));
            // erlexec ends each file with `--`.
            self.current = None;
        }
        self.flags.push(Flag { name, values });
    }

    fn report_stray(&mut self, findings: &mut Findings) {
        let Some((span, first)) = self.stray.take() else { return };
        let message = format!("`{first}` belongs to no flag, and the VM ignores it");
        let help = "a flag begins with `-` or `+`, and `--` ends its values";
        findings.push(Diagnostic::new(Code::VmArgsWords, span, message).help(help));
    }
}

/// How many words erlexec takes for a flag of its own.
struct Takes {
    count: usize,
    /// Whether it refuses a value that looks like a flag.
    no_flag: bool,
}

/// The letters behind `+M`, `+h`, `+r`, `+s` and `+z` differ from one version to the next; nearly all take a value.
fn takes(flag: &str, next: Option<&Word>) -> Takes {
    let next = next.map_or("", |word| word.text.as_str());
    let letters = flag.trim_start_matches('+');
    let (count, no_flag) = match letters {
        "-env" => (2, false),
        "-epmd" | "-args_file" => (1, false),
        "a" | "A" | "C" | "e" | "i" | "J" | "K" | "n" | "P" | "Q" | "R" | "t" | "T" | "W" => (1, false),
        "S" | "SP" | "SDcpu" | "SDPcpu" | "SDio" | "IOt" | "IOp" | "IOPt" | "IOPp" | "pc" | "JPperf" => (1, false),
        "B" => (usize::from(next.starts_with('i')), false),
        "c" => (usize::from(matches!(next, "true" | "false")), false),
        "h" => (1, true),
        _ if !letters.bytes().all(|byte| byte.is_ascii_alphabetic()) => (0, false),
        _ => (usize::from(letters.len() > 1 && letters.starts_with(['M', 'h', 'r', 's', 'z'])), true),
    };
    Takes { count, no_flag }
}

fn check_word(word: &Word, findings: &mut Findings) {
    let placeholder = |open: &str, shut: &str| {
        let inside = word.text.split_once(open).and_then(|(_, rest)| rest.split_once(shut));
        inside
            .is_some_and(|(inside, _)| inside.chars().all(|c| c.is_ascii_alphanumeric() || "_-. |=@[]'\"".contains(c)))
    };
    if placeholder("{{", "}}") || placeholder("<%", "%>") || placeholder("{%", "%}") {
        let message = format!("`{}` is a placeholder of a template, no value", word.text);
        let help = "give the vm.args that was made from the template, as it is on a node";
        findings.push(Diagnostic::new(Code::Template, word.span, message).help(help));
    }
}

fn check_flag(flag: &Flag, findings: &mut Findings) {
    let values = flag.values.len();
    let first = flag.values.first().map_or("", |word| word.text.as_str());
    let (is_right, help) = match flag.name.text.as_str() {
        "-name" | "-sname" => (values == 1, "write one name behind it, like `riak@10.0.0.1`"),
        "-setcookie" => (values > 0, "write the cookie behind it"),
        "-start_epmd" => (matches!(first, "true" | "false"), "write `true` or `false` behind it"),
        // The only one whose letters erlexec checks itself.
        name if name.starts_with("+B") => (
            matches!(name.as_bytes().get(2), None | Some(b'c' | b'd' | b'i')),
            "there are `+B`, `+Bc`, `+Bd` and `+Bi`",
        ),
        _ => return,
    };
    if !is_right {
        let message = match values {
            0 if flag.name.text.starts_with('-') => format!("`{}` has no value", flag.name.text),
            0 => format!("`{}` is no flag of the VM", flag.name.text),
            _ => format!("`{}` cannot take what is written behind it", flag.name.text),
        };
        findings.push(Diagnostic::new(Code::VmArgsSyntax, flag.name.span, message).help(help));
    }
}

/// Further configuration files, of which the last is the strongest (erl(1), `-config`).
fn check_file(flag: &Flag, findings: &mut Findings) {
    let name = flag.name.text.as_str();
    if !matches!(name, "-config" | "-configfd") {
        return;
    }
    let files: Vec<&str> = flag.values.iter().map(|word| word.text.as_str()).collect();
    let message =
        format!("what `{name} {}` takes in is not read here, and overrides app.config", files.join(" ").escape_debug());
    let help = "where it is no file that was read, write its settings into app.config in place of this flag, and read the \
                result";
    findings.push(Diagnostic::new(Code::NotRead, flag.name.span, message).help(help));
}

/// The text of an atom without its quotes.
fn atom(text: &str) -> Option<&str> {
    if let Some(quoted) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return (!quoted.contains(['\'', '\\'])).then_some(quoted);
    }
    let is_atom = text.starts_with(|c: char| c.is_lowercase())
        && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '@');
    is_atom.then_some(text)
}

fn no_value(key: &str, span: Span) -> Diagnostic {
    let message = format!("`{key}` has no value, so that the VM leaves it out");
    let help = "write its value behind it; one that begins with `-` would be a flag of its own";
    Diagnostic::new(Code::VmArgsSyntax, span, message).help(help)
}

fn twice(earlier: &Setting<'_>, later: &Setting<'_>) -> Diagnostic {
    let message = format!("`{}` is set twice, to `{}` and `{}`", later.key, earlier.value.text, later.value.text);
    Diagnostic::new(Code::VmArgsSyntax, later.key_span, message)
        .also(earlier.key_span, "set here first")
        .help("take one of them away: which one the VM takes depends on what else is set")
}
