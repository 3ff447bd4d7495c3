//! rabbitmq-env.conf: variables of the shell, which RabbitMQ has `sh` read before it starts.
//!
//! Whatever the shell can do may stand there, and only assignments are read: `NAME=VALUE`, with or without `export`, with quotes of both
//! kinds. A value that the shell would compute is not known, and what is no assignment is a finding: it may set anything.

use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};

/// A variable and what it is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The name.
    pub name: String,
    /// The value without its quotes; where it is [unknown](Self::unknown), as it is written.
    pub value: String,
    /// Where the name stands.
    pub name_span: Span,
    /// Where the value stands, with its quotes.
    pub value_span: Span,
    /// Whether the shell would compute it.
    pub unknown: bool,
}

/// Reads the assignments in the order of the file; of one name the last counts.
pub fn parse(text: &str, file: FileId, findings: &mut Findings) -> Vec<Assignment> {
    let mut all = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let reader = &mut Line { text: line.trim_end(), at: 0, start, file };
        start += line.len();
        if let Some(bad) = reader.read(&mut all) {
            findings.push(bad);
        }
    }
    all
}

/// One line, and how far it is read.
struct Line<'a> {
    text: &'a str,
    at: usize,
    start: usize,
    file: FileId,
}

impl<'a> Line<'a> {
    /// Its assignments; what it is where it is anything else.
    fn read(&mut self, all: &mut Vec<Assignment>) -> Option<Diagnostic> {
        self.skip_blanks();
        let begins = self.at;
        if let Some(rest) = self.rest().strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])) {
            self.at = self.text.len() - rest.len();
        }
        loop {
            self.skip_blanks();
            let rest = self.rest();
            if rest.is_empty() || rest.starts_with('#') {
                return None;
            }
            let name = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            let behind = rest.get(name.len()..).unwrap_or_default();
            if !is_name || !behind.starts_with('=') {
                // `export NAME` gives a variable on that is set elsewhere.
                if is_name && begins != self.at && (behind.is_empty() || behind.starts_with([' ', '\t', ';'])) {
                    self.at += name.len();
                    continue;
                }
                return Some(self.not_read(begins));
            }
            let name_span = self.span(self.at, self.at + name.len());
            self.at += name.len() + 1;
            let from = self.at;
            let (value, unknown) = self.value();
            let value_span = self.span(from, self.at);
            let written = self.text.get(from..self.at).unwrap_or_default();
            let value = if unknown { written.to_owned() } else { value };
            all.push(Assignment { name: name.to_owned(), value, name_span, value_span, unknown });
        }
    }

    /// One word of the shell, and whether it is more than its letters.
    fn value(&mut self) -> (String, bool) {
        let (mut value, mut unknown, mut quote) = (String::new(), false, None);
        let rest = self.rest();
        let mut letters = rest.char_indices();
        let mut end = rest.len();
        while let Some((at, c)) = letters.next() {
            match (c, quote) {
                (' ' | '\t' | ';', None) => {
                    end = at;
                    break;
                }
                ('\'' | '"', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                ('$' | '`', None | Some('"')) | ('&' | '|' | '(' | ')' | '<' | '>' | '*' | '?' | '[' | '~', None) => {
                    unknown = true;
                }
                ('\\', None | Some('"')) => match letters.next() {
                    Some((_, next)) => value.push(next),
                    // It goes on in the next line.
                    None => unknown = true,
                },
                (c, _) => value.push(c),
            }
        }
        self.at += end;
        (value, unknown || quote.is_some())
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', ';']).len();
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn span(&self, from: usize, to: usize) -> Span {
        Span::new(self.file, self.start + from..self.start + to)
    }

    fn not_read(&self, from: usize) -> Diagnostic {
        let message = "this line is no assignment: what it does is not known, and it may set a port or the node's name";
        Diagnostic::new(Code::NotRead, self.span(from, self.text.len()), message)
            .help("if it does, write `NAME=VALUE` in its place, and read the result")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(String, String, bool)>, usize) {
        let mut findings = Findings::default();
        let all = parse(text, FileId::CLUSTER, &mut findings);
        for one in &all {
            assert_eq!(text[one.name_span.start as usize..one.name_span.end as usize], one.name);
        }
        let all = all.into_iter().map(|one| (one.name, one.value, one.unknown)).collect();
        (all, findings.sorted().len())
    }

    #[test]
    fn what_is_set() {
        let set = |text: &str| {
            let (all, findings) = read(text);
            assert_eq!(findings, 0, "{text}");
            all.iter()
                .map(|(name, value, unknown)| format!("{name}={value}{}", if *unknown { "?" } else { "" }))
                .collect::<Vec<_>>()
        };
        assert_eq!(set("# A=1\n\n  NODE_PORT=5673 # moved\r\n"), ["NODE_PORT=5673"]);
        assert_eq!(set("export A=1 B='x y'; C=\"a\\\"b\" D=\n"), ["A=1", "B=x y", "C=a\"b", "D="]);
        assert_eq!(set("export A\nA=a'b'\"c\"\\d"), ["A=abcd"]);
        assert_eq!(
            set("A=$X\nB=\"`id`\"\nC='$X'\nD=\"open\nE=a\\"),
            ["A=$X?", "B=\"`id`\"?", "C=$X", "D=\"open?", "E=a\\?"]
        );
        assert_eq!(set("A=$((1+1)) B=2"), ["A=$((1+1))?", "B=2"]);
    }

    /// Any text is read to its end, and every place is one of the text.
    #[test]
    fn any_text_ends() {
        const PIECES: [&str; 14] =
            ["A", "=", "'", "\"", "\\", "$", " ", "\n", "#", ";", "export ", "NODE_PORT=56", "é", "\r\n"];
        for seed in 0..3000 {
            let mut random = crate::import::random::Random(seed);
            let text: String = (0..random.below(24)).map(|_| PIECES[random.below(PIECES.len())]).collect();
            let mut findings = Findings::default();
            for one in parse(&text, FileId::CLUSTER, &mut findings) {
                assert!(text.get(one.value_span.start as usize..one.value_span.end as usize).is_some(), "{text:?}");
            }
        }
    }

    #[test]
    fn what_is_no_assignment_is_said() {
        for text in ["if true; then\n", ". /etc/more", "[ -f x ] && A=1", "A", "1A=2", "=x", "unset A"] {
            assert_eq!(read(text).1, 1, "{text}");
        }
        let (all, findings) = read("if [ -f x ]; then\n  A=1\nfi\n");
        assert_eq!((all.len(), findings), (1, 2));
    }
}
