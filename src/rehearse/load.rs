//! Brings rules into the namespace, and asks what the guard has counted there.
//!
//! What was proved goes the way that `apply` goes. Files go by the tools that they are for: rules of somebody else may hold what nobody
//! here understands, and are rehearsed all the same. Both take a [`Room`], which only a throwaway namespace has.

use super::RehearseError;
use super::room::Room;
use crate::host::{self, Backend, HostError, Prepared, iptables, nft};
use crate::prove::Text;

/// Every namespace has a lock of its own in this file: the usual one is the whole machine's, and only root's.
const LOCK: &str = "/proc/self/ns/net";

/// What is rehearsed.
#[derive(Debug)]
pub enum Rules<'a> {
    /// What was made of the cluster file and proved.
    Proved(&'a Prepared),
    /// Texts, each for its tool. They are loaded in this order, but for sets of ipset, which come first: rules ask them.
    Files(&'a [(Text, String)]),
}

impl Rules<'_> {
    /// Whether they go by iptables.
    #[must_use]
    pub fn backend(&self) -> Backend {
        let of_nft = |(kind, _): &(Text, String)| *kind == Text::Nft;
        match self {
            Self::Proved(prepared) => prepared.backend,
            Self::Files(files) if files.iter().any(of_nft) => Backend::Nft,
            Self::Files(_) => Backend::Iptables,
        }
    }
}

/// Loads them.
pub fn load(_room: &Room, rules: &Rules<'_>) -> Result<(), RehearseError> {
    match rules {
        Rules::Proved(prepared) => match prepared.backend {
            Backend::Nft => {
                let known = host::read(Backend::Nft)?;
                host::bring(prepared, &known, |_| Ok(()))?;
            }
            Backend::Iptables => {
                let tools = tools()?;
                iptables::apply(&tools, &iptables::read(&tools)?, &prepared.verified)?;
            }
        },
        Rules::Files(files) => {
            // Rules ask sets, which have to be there before them.
            let (sets, rules): (Vec<_>, Vec<_>) = files.iter().partition(|(kind, _)| *kind == Text::Ipset);
            for (kind, text) in sets.into_iter().chain(rules) {
                by_tool(*kind, text)?;
            }
        }
    }
    Ok(())
}

fn tools() -> Result<iptables::Tools, RehearseError> {
    Ok(iptables::Tools::find()?.with_lock_file(LOCK))
}

fn by_tool(kind: Text, text: &str) -> Result<(), RehearseError> {
    let tool = match kind {
        Text::Nft => "nft",
        Text::Iptables => "iptables-restore",
        Text::Ip6tables => "ip6tables-restore",
        Text::Ipset => "ipset",
    };
    with_tool(kind, tool, text)
}

/// Gives a text to a tool of its kind.
pub fn with_tool(kind: Text, tool: &str, text: &str) -> Result<(), RehearseError> {
    let (arguments, files): (&[&str], _) = match kind {
        Text::Nft => (&["-f", "-"], "files of nft"),
        Text::Iptables => (&["--noflush", "-w"], "files of iptables"),
        Text::Ip6tables => (&["--noflush", "-w"], "files of ip6tables"),
        Text::Ipset => (&["restore"], "files of ipset"),
    };
    let text = match kind {
        Text::Nft => without_comments(text),
        Text::Iptables | Text::Ip6tables | Text::Ipset => text.to_owned(),
    };
    if let Some(what) = reaching_out(kind, &text) {
        return Err(RehearseError::ReachesOut { tool: tool.to_owned(), what });
    }
    iptables::load(tool, arguments, &text, LOCK).map_err(|error| match error {
        iptables::Error::Missing { tool, package } => RehearseError::NoTool { tool, files, package },
        iptables::Error::Failed { tool, words } => RehearseError::Refused { tool, words },
        other => other.into(),
    })
}

/// A text of nft with empty lines for those that are comments alone: a line that begins so is one, or inside of a text in quotes.
fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| if line.trim_start().starts_with('#') { "" } else { line });
    lines.fold(String::with_capacity(text.len()), |all, line| all + line + "\n")
}

/// What lets a tool read other files, or run other programs, than it was given: a file of rules may be anybody's, and the tool may be
/// root's. Files that are included stand in the text already, where they were found.
fn reaching_out(kind: Text, text: &str) -> Option<&'static str> {
    match kind {
        Text::Nft => {
            let mut rest = text.split("include");
            let mut before = rest.next().unwrap_or_default();
            for behind in rest {
                let is_word = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
                let blank = |c: char| c.is_ascii_whitespace() || c == '\\';
                if is_word && behind.trim_start_matches(blank).starts_with(['"', '\'']) {
                    return Some("an `include` of what is not beside it (see `--include-from`)");
                }
                before = behind;
            }
            None
        }
        Text::Iptables | Text::Ip6tables => {
            let mut words = text.split(|c: char| c.is_ascii_whitespace() || c == '"' || c == '\'');
            // Long options may be shortened; `--mode` is one of `statistic`.
            let runs = |word: &str| word.starts_with("-M") || (word.starts_with("--mo") && word != "--mode");
            words.any(runs).then_some("`--modprobe`, which names a program to run")
        }
        Text::Ipset => None,
    }
}

/// Where the guard counts what it blocks.
#[derive(Debug)]
pub enum Counters {
    /// There is none of ours.
    None,
    /// In our table.
    Nft,
    /// In our chains.
    Iptables(Box<iptables::Tools>),
}

impl Counters {
    /// Where they are, once the rules are loaded.
    pub fn find(rules: &Rules<'_>) -> Result<Self, RehearseError> {
        Ok(match rules.backend() {
            Backend::Nft if nft::glance()?.handle.is_some() => Self::Nft,
            Backend::Nft => Self::None,
            Backend::Iptables => {
                let tools = tools()?;
                if iptables::read(&tools)?.is_absent() { Self::None } else { Self::Iptables(Box::new(tools)) }
            }
        })
    }

    /// How many packets the guard has blocked so far; `None` where nothing of it is there.
    pub fn total(&self) -> Result<Option<u64>, HostError> {
        Ok(match self {
            Self::None => None,
            Self::Nft => Some(nft::glance()?.counters.iter().map(|(_, packets, _)| *packets).sum()),
            Self::Iptables(tools) => {
                let live = iptables::read(tools)?;
                Some(iptables::counters(&live).values().map(|counter| counter.packets).sum())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_out_is_not_loaded() {
        let out = |kind, text: &str| {
            let text = if matches!(kind, Text::Nft) { without_comments(text) } else { text.to_owned() };
            reaching_out(kind, &text).is_some()
        };
        for text in [
            "include \"/x\"",
            "table inet t {}; include\t\"/x\"",
            "include \\\n \"/x\"",
            "table inet t {\n\tinclude \"x\"\n}",
            "define a = \"b\n# c\"; include \"/x\"",
            "include '/x'",
        ] {
            // A line that begins as a comment is loaded as none, whatever it ends.
            let hidden = text.contains("# c");
            assert_eq!(out(Text::Nft, text), !hidden, "{text}");
        }
        for text in ["# include \"/x\"", "table inet include_x { comment \"include this\" }", "table inet include { }"]
        {
            assert!(!out(Text::Nft, text), "{text}");
        }
        for text in ["-A INPUT --modprobe=/x -j ACCEPT", "-A INPUT --mo /x", "-A INPUT -M /x", "-A INPUT \"--modp=/x\""]
        {
            assert!(out(Text::Iptables, text) && out(Text::Ip6tables, text), "{text}");
        }
        assert!(!out(Text::Iptables, "-A INPUT -m statistic --mode random --probability 0.5 -m mark --mark 1 -j DROP"));
    }
}
