//! The name of a network interface.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// An interface name that means itself in every dialect: no wildcard, no alias.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Interface(String);

/// Why a text is no interface name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseInterfaceError {
    /// Empty or longer than the kernel takes.
    #[error("an interface name has 1 to {} characters", Interface::LONGEST)]
    Length,
    /// A character outside `[A-Za-z0-9._-]`.
    #[error("`{0}` is not allowed; use letters, digits, `.`, `_` and `-`")]
    Character(char),
    /// `lo`, or a name made of dots.
    #[error("`{0}` cannot be admitted on")]
    Reserved(String),
}

impl Interface {
    /// The kernel's IFNAMSIZ without the end mark (linux/if.h).
    pub const LONGEST: usize = 15;

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The loopback interface. Every network namespace has it under this name with index 1.
    #[must_use]
    pub fn loopback() -> Self {
        Self("lo".to_owned())
    }
}

impl FromStr for Interface {
    type Err = ParseInterfaceError;

    fn from_str(text: &str) -> Result<Self, ParseInterfaceError> {
        if text.is_empty() || text.len() > Self::LONGEST {
            return Err(ParseInterfaceError::Length);
        }
        // `+` and `*` at the end are wildcards to iptables and nft, `:` an alias, `@` how `ip` prints a link.
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c))) {
            return Err(ParseInterfaceError::Character(bad));
        }
        if text == "lo" || text.starts_with('-') || text.bytes().all(|b| b == b'.') {
            return Err(ParseInterfaceError::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_names_and_nothing_else() {
        for good in ["eth1", "eth0.100", "br-3f2a", "wg0", "enp0s31f6", "a23456789012345"] {
            assert_eq!(good.parse::<Interface>().unwrap().as_str(), good);
        }
        for bad in ["", "a234567890123456", "eth+", "eth*", "eth0:1", "eth0@if3", "a b", "a\"b", "é", "lo", "..", "-i"]
        {
            assert!(bad.parse::<Interface>().is_err(), "{bad:?}");
        }
    }
}
