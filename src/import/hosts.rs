//! Addresses of host names, from a file as hosts(5) describes it: `ADDRESS NAME…`, `#` begins a remark.
//!
//! Names are never looked up: such a file says what they mean, for all of them, and can be read again.
//! A name on several lines has several addresses. A mistake in a line is reported when one of its names is asked for, since such
//! files hold what belongs to other programs, too.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use crate::cluster::ForeignValue;
use crate::diagnostic::{Code, Diagnostic, FileId, Findings, Span};
use crate::net::parse_address;

/// What such a file says.
pub struct Hosts {
    lines: Vec<Line>,
    /// By name in lower case, the lines that have it.
    names: HashMap<String, Vec<usize>>,
    /// Lines that were found to be wrong already.
    said: RefCell<BTreeSet<usize>>,
}

struct Line {
    address: String,
    span: Span,
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Each once, in the order of the file.
    pub addresses: Vec<IpAddr>,
    /// The place of the first.
    pub span: Span,
}

impl Hosts {
    /// Reads a file. A line with an address and no name is a finding.
    pub fn parse(text: &str, file: FileId, findings: &mut Findings) -> Self {
        let mut own = Findings::bounded();
        let mut hosts = Self { lines: Vec::new(), names: HashMap::new(), said: RefCell::default() };
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let start = at;
            at += line.len();
            let content = line.split('#').next().unwrap_or_default();
            let mut words = content.split_whitespace();
            let Some(address) = words.next() else { continue };
            let begin = start + (content.len() - content.trim_start().len());
            let span = Span::new(file, begin..begin + address.len());
            let number = hosts.lines.len();
            let mut any = false;
            for name in words {
                any = true;
                let lines = hosts.names.entry(name.to_ascii_lowercase()).or_default();
                // A name may stand twice on a line.
                if lines.last() != Some(&number) {
                    lines.push(number);
                }
            }
            if !any {
                let message = format!("`{}` has no name behind it", address.escape_debug());
                let help = "a line is an address and the names that have it: `10.20.0.11 db1.example.com db1`";
                own.push(Diagnostic::new(Code::AddressesSyntax, span, message).help(help));
            }
            hosts.lines.push(Line { address: address.to_owned(), span });
        }
        findings.append(own);
        hosts
    }

    /// The addresses of a name, without those on loopback where it has others: Debian has a host's own name at 127.0.1.1, too. `None` where
    /// it has none. A text that is no address, or that no host can have, is a finding.
    pub fn resolve(&self, name: &str, findings: &mut Findings) -> Option<Resolved> {
        let lines = self.names.get(&name.to_ascii_lowercase())?;
        let mut found: Vec<(IpAddr, Span)> = Vec::new();
        let mut first = None;
        for number in lines {
            let Some(line) = self.lines.get(*number) else { continue };
            first.get_or_insert(line.span);
            match parse_address(&line.address) {
                Ok(address) if !found.iter().any(|(own, _)| *own == address) => found.push((address, line.span)),
                Ok(_) => {}
                // In the words that a cluster file gets.
                Err(_) if self.said.borrow_mut().insert(*number) => {
                    let mut own = Findings::default();
                    ForeignValue { text: &line.address, span: line.span }.address(&mut own);
                    own.sorted().into_iter().for_each(|finding| findings.push(finding));
                }
                Err(_) => {}
            }
        }
        if found.iter().any(|(address, _)| !address.is_loopback()) {
            found.retain(|(address, _)| !address.is_loopback());
        }
        let span = found.first().map(|(_, span)| *span).or(first)?;
        Some(Resolved { addresses: found.into_iter().map(|(address, _)| address).collect(), span })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str, name: &str) -> (Option<Vec<String>>, Vec<Code>) {
        let mut findings = Findings::default();
        let hosts = Hosts::parse(text, FileId::CLUSTER, &mut findings);
        let found = hosts.resolve(name, &mut findings);
        let found = found.map(|found| found.addresses.iter().map(ToString::to_string).collect());
        (found, findings.sorted().iter().map(|finding| finding.code).collect())
    }

    const TEXT: &str = "# all of them\n127.0.0.1\tlocalhost\n 10.20.0.11 db1.example.com DB1 # the first\r\n\
                        10.20.0.12 db2 db2\nfd20::11 db1\n10.20.0.11 db1\nfe80::1%lo0 mac\n";

    #[test]
    fn names_have_addresses_of_all_their_lines_each_once() {
        let some = |list: &[&str]| (Some(list.iter().map(|one| (*one).to_owned()).collect()), Vec::new());
        assert_eq!(resolved(TEXT, "db1"), some(&["10.20.0.11", "fd20::11"]));
        assert_eq!(resolved(TEXT, "Db1.Example.Com"), some(&["10.20.0.11"]));
        assert_eq!(resolved(TEXT, "db2"), some(&["10.20.0.12"]));
        assert_eq!(resolved(TEXT, "localhost"), some(&["127.0.0.1"]));
        assert_eq!(resolved(TEXT, "first"), (None, Vec::new()));
        assert_eq!(resolved("", "db1"), (None, Vec::new()));
        assert_eq!(resolved("127.0.1.1 db1\n10.20.0.11 db1\n", "db1"), some(&["10.20.0.11"]));
        assert_eq!(resolved("127.0.1.1 db1\n", "db1"), some(&["127.0.1.1"]));
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_where_it_matters() {
        assert_eq!(resolved(TEXT, "mac"), (Some(Vec::new()), vec![Code::BadAddress]));
        assert_eq!(resolved("010.0.0.1 a\n", "a"), (Some(Vec::new()), vec![Code::LeadingZero]));
        assert_eq!(resolved("a 10.0.0.1\n", "10.0.0.1"), (Some(Vec::new()), vec![Code::HostName]));
        assert_eq!(resolved("10.0.0.1\n", "a"), (None, vec![Code::AddressesSyntax]));
    }
}
