//! Brings rules into the namespace, and asks what the guard has counted there.
//!
//! What was proved goes the way that `apply` goes. Files go by the tools that they are for: rules of somebody else may hold what nobody
//! here understands, and are rehearsed all the same. Both take a [`Room`], which only a throwaway namespace has.

use std::env;
use std::io::{ErrorKind, Seek as _, Write as _};
use std::process::{Command, Stdio};

use super::RehearseError;
use super::room::Room;
use crate::host::{self, Backend, HostError, Prepared, iptables, nft};
use crate::prove::Text;

/// Every namespace has a lock of its own in this file: the usual one is the whole machine's, and only root's.
const LOCK: &str = "/proc/self/ns/net";
/// How much of what a tool says is told.
const LONGEST_WORDS: usize = 1000;

/// What is rehearsed.
#[derive(Debug)]
pub enum Rules<'a> {
    /// What was made of the cluster file and proved.
    Proved(&'a Prepared),
    /// Texts, each for its tool, in whatever order.
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
            for wanted in [Text::Ipset, Text::Nft, Text::Iptables, Text::Ip6tables] {
                for (_, text) in files.iter().filter(|(kind, _)| *kind == wanted) {
                    by_tool(wanted, text)?;
                }
            }
        }
    }
    Ok(())
}

fn tools() -> Result<iptables::Tools, RehearseError> {
    Ok(iptables::Tools::find()?.with_lock_file(LOCK))
}

fn by_tool(kind: Text, text: &str) -> Result<(), RehearseError> {
    let (tool, arguments, files, package): (_, &[&str], _, _) = match kind {
        Text::Nft => ("nft", &["-f", "-"], "files of nft", "nftables"),
        Text::Iptables => ("iptables-restore", &["--noflush", "-w"], "files of iptables", "iptables (or iptables-nft)"),
        Text::Ip6tables => {
            ("ip6tables-restore", &["--noflush", "-w"], "files of ip6tables", "iptables (or iptables-nft)")
        }
        Text::Ipset => ("ipset", &["restore"], "files of ipset", "ipset"),
    };
    let failed = |error| RehearseError::system("running a tool", error);
    let mut input = tempfile::tempfile().map_err(failed)?;
    input.write_all(text.as_bytes()).and_then(|()| input.rewind()).map_err(failed)?;
    let path = env::var("PATH").unwrap_or_default();
    let mut command = Command::new(tool);
    // Users' paths may lack the folders of root's programs.
    command
        .args(arguments)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("LC_ALL", "C")
        .env("XTABLES_LOCKFILE", LOCK);
    let output = match command.stdin(Stdio::from(input)).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(RehearseError::NoTool { tool, files, package });
        }
        other => other.map_err(failed)?,
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let words = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let shown = words.chars().filter(|c| !c.is_control()).take(LONGEST_WORDS).collect();
    Err(RehearseError::Refused { tool, words: shown })
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
