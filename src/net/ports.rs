//! TCP ports and ranges of them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A range of TCP ports, both ends included, never empty, never port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Sorted, disjoint ranges that do not touch: the one form in which a set of ports is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ports(Vec<PortRange>);

/// Why a text is no port or range.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParsePortError {
    /// Not a number from 1 to 65535.
    #[error("not a port from 1 to 65535, nor a range such as `6000-6009`")]
    NotAPort,
    /// The first port lies above the last.
    #[error("the range begins above its end")]
    Inverted {
        /// The range the other way round.
        meant: PortRange,
    },
}

impl PortRange {
    /// A range from `first` to `last`; `None` if it is empty or contains port 0.
    #[must_use]
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first >= 1 && first <= last).then_some(Self { first, last })
    }

    /// One port; `None` for port 0.
    #[must_use]
    pub fn single(port: u16) -> Option<Self> {
        Self::new(port, port)
    }

    /// The lowest port.
    #[must_use]
    pub fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    #[must_use]
    pub fn last(self) -> u16 {
        self.last
    }

    /// How many ports, 1 to 65535.
    #[must_use]
    pub fn count(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }

    /// The ports that both have.
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }
}

impl Ports {
    /// The ranges in ascending order.
    #[must_use]
    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }

    /// Every port in ascending order.
    pub fn each(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().flat_map(|range| range.first..=range.last)
    }

    /// Whether a port is among them.
    #[must_use]
    pub fn has(&self, port: u16) -> bool {
        let at = self.0.partition_point(|range| range.first <= port);
        at.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|range| port <= range.last)
    }

    /// How many ports.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.iter().map(|range| range.count()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These without those of another list.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.each().filter(|port| !other.has(*port)).filter_map(PortRange::single).collect()
    }

    /// The first range of ports that both have.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<PortRange> {
        self.0.iter().find_map(|&mine| other.0.iter().find_map(|&theirs| mine.intersection(theirs)))
    }
}

impl FromIterator<PortRange> for Ports {
    fn from_iter<I: IntoIterator<Item = PortRange>>(ranges: I) -> Self {
        let mut sorted: Vec<PortRange> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut merged: Vec<PortRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(previous) if u32::from(range.first) <= u32::from(previous.last) + 1 => {
                    previous.last = previous.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }
}

impl FromStr for PortRange {
    type Err = ParsePortError;

    fn from_str(text: &str) -> Result<Self, ParsePortError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
            text.parse().ok().filter(|_| digits).ok_or(ParsePortError::NotAPort)
        };
        let (first, last) = (port(first)?, port(last)?);
        match (Self::new(first, last), Self::new(last, first)) {
            (Some(range), _) => Ok(range),
            (None, Some(meant)) => Err(ParsePortError::Inverted { meant }),
            (None, None) => Err(ParsePortError::NotAPort),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            range.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> PortRange {
        text.parse().unwrap()
    }

    #[test]
    fn one_spelling_only() {
        for good in ["1", "65535", "6000-6009"] {
            assert_eq!(range(good).to_string(), good);
        }
        assert_eq!(range("80-80").to_string(), "80");
        for bad in ["", "0", "65536", "080", "+80", "80-", "-80", "1-2-3", "80 ", "0-5", "http"] {
            assert_eq!(bad.parse::<PortRange>(), Err(ParsePortError::NotAPort), "{bad:?}");
        }
        assert_eq!("9-5".parse::<PortRange>(), Err(ParsePortError::Inverted { meant: range("5-9") }));
    }

    #[test]
    fn a_set_of_ports_has_one_form() {
        let ports: Ports = ["8099", "8098", "1-5", "3-9", "65535", "10"].map(range).into_iter().collect();
        assert_eq!(ports.to_string(), "1-10, 8098-8099, 65535");
        assert_eq!(ports.count(), 13);
        assert_eq!(ports.each().count(), 13);
        let other: Ports = [range("9-20")].into_iter().collect();
        assert_eq!(ports.intersection(&other), Some(range("9-10")));
        assert_eq!(other.intersection(&[range("21")].into_iter().collect()), None);
    }
}
