//! A host of this folder: its files, and the verdicts that were written beside them.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use super::network::Said;

/// Who opens the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Somebody outside, to a port of this host.
    Asked,
    /// This host, to a port of somebody else.
    Asking,
}

/// What becomes of a connection, handshake, data and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Reaches,
    Blocked,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Reaches => "reaches",
            Verdict::Blocked => "blocked",
        })
    }
}

/// `asked FROM INTERFACE PORT [-> LOCAL] : VERDICT` or `asking TO INTERFACE PORT : VERDICT`.
#[derive(Clone, Debug)]
pub struct Line {
    /// In the file, from 1.
    pub number: usize,
    pub text: String,
    pub direction: Direction,
    /// The other end.
    pub peer: IpAddr,
    pub interface: String,
    /// On the wire.
    pub port: u16,
    /// The port of the program, where it is translated.
    pub local: Option<u16>,
    pub verdict: Verdict,
}

impl Line {
    pub fn parse(number: usize, text: &str) -> Option<Line> {
        let (packet, verdict) = text.rsplit_once(" : ")?;
        let words: Vec<&str> = packet.split_whitespace().collect();
        let (direction, peer, interface, port, local) = match words[..] {
            ["asked", from, interface, port] => (Direction::Asked, from, interface, port, None),
            ["asked", from, interface, port, "->", local] => (Direction::Asked, from, interface, port, Some(local)),
            ["asking", to, interface, port] => (Direction::Asking, to, interface, port, None),
            _ => return None,
        };
        Some(Line {
            number,
            text: text.to_owned(),
            direction,
            peer: peer.parse().ok()?,
            interface: interface.to_owned(),
            port: port.parse().ok()?,
            local: local.map(str::parse).transpose().ok()?,
            verdict: match verdict.trim() {
                "reaches" => Verdict::Reaches,
                "blocked" => Verdict::Blocked,
                _ => return None,
            },
        })
    }

    /// One that no file has.
    pub fn asked(peer: IpAddr, interface: &str, port: u16) -> Line {
        let text = format!("asked {peer} {interface} {port}");
        let (direction, interface) = (Direction::Asked, interface.to_owned());
        Line { number: 0, text, direction, peer, interface, port, local: None, verdict: Verdict::Blocked }
    }

    /// The port of the program that is to be reached.
    pub fn program(&self) -> u16 {
        self.local.unwrap_or(self.port)
    }
}

/// One folder.
pub struct Case {
    pub name: String,
    pub lines: Vec<Line>,
    origin: String,
    said: Said,
    /// The same as it stands there.
    pub routes: String,
    /// Name and text, in the order in which they are to be loaded: rules name sets.
    rulesets: Vec<(&'static str, String)>,
}

impl Case {
    pub fn read(folder: &Path) -> Case {
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a folder's name").to_owned();
        let optional = |file: &str| std::fs::read_to_string(folder.join(file)).ok();
        let text = |file: &str| optional(file).unwrap_or_else(|| panic!("{name} has no file {file}"));
        let mut lines = Vec::new();
        for (at, line) in text("packets").lines().enumerate() {
            let said = line.split('#').next().unwrap_or_default().trim();
            if !said.is_empty() {
                let line = Line::parse(at + 1, said);
                lines.push(line.unwrap_or_else(|| panic!("{name}/packets:{}: not understood: {said}", at + 1)));
            }
        }
        let files = ["ipset", "iptables", "ip6tables", "nft"];
        let rulesets = files.into_iter().filter_map(|file| Some((file, optional(file)?))).collect();
        let (origin, routes) = (text("origin"), text("routes"));
        Case { name, lines, origin, said: Said::read(&routes), routes, rulesets }
    }

    /// One that is no folder: its name, its lines, what `ip` printed, the file and text of its rules; lines are tried in their order.
    #[allow(dead_code, reason = "only `tests/whole.rs` has such")]
    pub fn in_turn(name: &str, lines: Vec<Line>, routes: &str, rulesets: Vec<(&'static str, String)>) -> Case {
        let (name, origin, routes) = (name.to_owned(), "in turn: yes".to_owned(), routes.to_owned());
        Case { name, lines, origin, said: Said::read(&routes), routes, rulesets }
    }

    pub fn rulesets(&self) -> &[(&'static str, String)] {
        &self.rulesets
    }

    /// What the host's own `ip rule`, `ip route` and `ip addr` printed.
    pub fn said(&self) -> &Said {
        &self.said
    }

    /// A line `KEY: VALUE` of `origin`.
    pub fn origin(&self, key: &str) -> Option<&str> {
        self.origin.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
    }
}
