//! The three ways into the kernel, and what they share it with.

use super::netns::{attempt_anywhere, not_possible, run, sysctl};
use super::rules::Rules;
use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    Nft,
    IptablesLegacy,
    IptablesNft,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Nft => "nft",
            Backend::IptablesLegacy => "iptables-legacy",
            Backend::IptablesNft => "iptables-nft",
        })
    }
}

impl Backend {
    /// Whether this machine has what the back end needs; says so when it has not.
    pub fn is_here(self, test: &str) -> bool {
        let tools: &[&[&str]] = match self {
            Backend::Nft => &[&["nft", "--version"]],
            Backend::IptablesLegacy => &[&["iptables-legacy", "-V"], &["ip6tables-legacy", "-V"], &["ipset", "-v"]],
            Backend::IptablesNft => &[&["iptables-nft", "-V"], &["ip6tables-nft", "-V"], &["ipset", "-v"]],
        };
        for tool in tools {
            if let Err(error) = attempt_anywhere(tool, "") {
                not_possible(test, &error);
                return false;
            }
        }
        true
    }

    /// Whether the rules were compiled for this back end: some clusters ask for what only nft can do.
    pub fn is_meant_by(self, rules: &Rules) -> bool {
        match self {
            Backend::Nft => rules.has("nft"),
            Backend::IptablesLegacy | Backend::IptablesNft => rules.has("iptables"),
        }
    }

    /// Loads the rules into this thread's namespace the way the manual says, sysctl included.
    pub fn load(self, rules: &Rules) {
        match self {
            Backend::Nft => {
                run(&["nft", "-f", "-"], rules.text("nft"));
            }
            Backend::IptablesLegacy | Backend::IptablesNft => {
                run(&["ipset", "restore"], rules.text("ipset"));
                run(&[&self.tool("iptables", "-restore"), "-w", "--noflush"], rules.text("iptables"));
                run(&[&self.tool("ip6tables", "-restore"), "-w", "--noflush"], rules.text("ip6tables"));
            }
        }
        load_sysctl(rules.text("sysctl"));
    }

    /// What the guard itself consists of, without counters: the same after every load.
    pub fn own(self) -> String {
        match self {
            // -s leaves out counters and the elements that packets have added.
            Backend::Nft => run(&["nft", "-s", "list", "table", "inet", "ringfence"], ""),
            Backend::IptablesLegacy | Backend::IptablesNft => {
                let lines = self.saved();
                let mut own: Vec<&str> = lines.lines().filter(|line| line.contains("RINGFENCE")).collect();
                // Each load puts one more jump at the head of the two hooks: a file for iptables-restore cannot ask
                // whether a rule is there. More than one says the same as one.
                own.retain(|line| !line.ends_with(" -j RINGFENCE"));
                let sets = run(&["ipset", "save"], "");
                // Every set hashes with a secret of its own.
                let known = |line: &'_ str| line.split(" initval ").next().unwrap_or_default().to_owned();
                let mut sets: Vec<String> = sets.lines().filter(|line| line.contains("ringfence")).map(known).collect();
                sets.sort_unstable();
                format!("{}\n{}", own.join("\n"), sets.join("\n"))
            }
        }
    }

    /// How many packets rules with this comment have met, in all chains and both families.
    pub fn counted(self, comment: &str) -> u64 {
        let text = match self {
            Backend::Nft => run(&["nft", "list", "table", "inet", "ringfence"], ""),
            Backend::IptablesLegacy | Backend::IptablesNft => {
                let save = |tool| run(&[&self.tool(tool, "-save"), "-c"], "");
                save("iptables") + &save("ip6tables")
            }
        };
        let packets = text.lines().filter(|line| line.contains(comment)).map(|line| match self {
            Backend::Nft => line.split("counter packets ").nth(1).and_then(|rest| rest.split(' ').next()),
            Backend::IptablesLegacy | Backend::IptablesNft => {
                line.strip_prefix('[').and_then(|rest| rest.split(':').next())
            }
        });
        packets.map(|number| number.and_then(|number| number.parse::<u64>().ok()).expect("a counter")).sum()
    }

    /// How many times the hooks lead into the guard.
    pub fn jumps(self) -> usize {
        match self {
            Backend::Nft => self.own().matches(" hook ").count(),
            _ => self.saved().lines().filter(|line| line.ends_with(" -j RINGFENCE")).count(),
        }
    }

    /// A rule of the host's own, in the words of iptables; for nft, of iptables-nft, since these live in tables of nft.
    pub fn foreign_rule(self, like: std::net::IpAddr, rule: &str) {
        let command = self.tool(if like.is_ipv4() { "iptables" } else { "ip6tables" }, "");
        let mut words = vec![command.as_str(), "-w"];
        words.extend(rule.split_whitespace());
        run(&words, "");
    }

    fn saved(self) -> String {
        run(&[&self.tool("iptables", "-save")], "") + &run(&[&self.tool("ip6tables", "-save")], "")
    }

    fn tool(self, family: &str, action: &str) -> String {
        match self {
            Backend::IptablesLegacy => format!("{family}-legacy{action}"),
            Backend::IptablesNft | Backend::Nft => format!("{family}-nft{action}"),
        }
    }
}

/// Writes each `key = value` of a sysctl.d file.
fn load_sysctl(file: &str) {
    for line in file.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("no sysctl: {line}"));
        sysctl(key.trim(), value.trim());
    }
}

/// Fills every place that ringfence goes to, and some that it does not, with rules and sets of somebody else.
pub fn plant_foreign() {
    run(&["nft", "-f", "-"], FOREIGN_NFT);
    run(&["ipset", "restore"], FOREIGN_IPSET);
    for family in ["iptables", "ip6tables"] {
        for kind in ["legacy", "nft"] {
            run(&[&format!("{family}-{kind}-restore"), "-w"], FOREIGN_IPTABLES);
        }
    }
}

/// Everything in this namespace that is not ringfence's.
pub fn foreign() -> String {
    let mut listing = run(&["nft", "-s", "list", "table", "inet", "foreign"], "");
    listing += &run(&["nft", "-s", "list", "table", "ip", "foreign"], "");
    for family in ["iptables", "ip6tables"] {
        for kind in ["legacy", "nft"] {
            // Comments hold the time, brackets hold counters.
            let saved = run(&[&format!("{family}-{kind}-save")], "");
            for line in saved.lines().filter(|line| !line.starts_with('#') && !line.contains("RINGFENCE")) {
                let line = line.split(" [").next().unwrap_or(line);
                listing += &format!("{family}-{kind} {line}\n");
            }
        }
    }
    let sets = run(&["ipset", "save"], "");
    let mut sets: Vec<&str> = sets.lines().filter(|line| !line.contains("ringfence")).collect();
    sets.sort_unstable();
    listing + &sets.join("\n")
}

const FOREIGN_NFT: &str = "
table inet foreign {
  set hosts { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 }
  }
  chain prerouting { type filter hook prerouting priority -300; policy accept;
    ip saddr @hosts counter accept
  }
  chain input { type filter hook input priority -300; policy accept;
    tcp dport 8098 counter accept
  }
  chain admit {
    accept
  }
}
table ip foreign {
  chain RINGLEADER {
    counter
  }
}
";

const FOREIGN_IPSET: &str = "
create foreign hash:net family inet
add foreign 192.0.2.0/24
";

/// In the very tables and hooks that ringfence uses, before and behind its jump, and with names that look alike.
const FOREIGN_IPTABLES: &str = "
*raw
:FOREIGN - [0:0]
:RING - [0:0]
-A PREROUTING -p udp -j FOREIGN
-A PREROUTING -p tcp --dport 9999 -j RING
-A FOREIGN -j ACCEPT
COMMIT
*mangle
:FOREIGN - [0:0]
-A INPUT -p udp -j FOREIGN
-A FOREIGN -j RETURN
COMMIT
*filter
:FOREIGN - [0:0]
-A INPUT -p tcp --dport 22 -j ACCEPT
-A INPUT -j FOREIGN
COMMIT
";
