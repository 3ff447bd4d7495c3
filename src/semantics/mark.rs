//! What is known of a packet's mark.
//!
//! Rules write single bits, or all of them, and ask for some. Of each bit it is known what it is, or not.
//!
//! INVARIANT (doubt): a bit that is not what it is said to be is never known. Where a rule may have written or not, or where a packet
//! may have left before, only what both have in common is known ([`Mark::or`]).
//!
//! INVARIANT (bounded): bits that no rule asks for are never known, and where rules write in too many ways, what was written is not.

use super::holds::Holds;
use crate::ir::statement::Marking;
use crate::ir::{Foreign, Marked, Match, Ruleset, Statement};

/// The bits that are known, and what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    known: u32,
    value: u32,
}

/// So many marks a packet may have by all ways through the rules; each is judged by itself.
const MOST: usize = 64;

impl Mark {
    pub(super) const UNKNOWN: Self = Self { known: 0, value: 0 };

    /// No bit is set.
    fn zero(bits: u32) -> Self {
        Self { known: bits, value: 0 }
    }

    /// After a rule wrote it.
    fn written(self, by: Marking) -> Self {
        match by {
            Marking::Bits { keep, flip } => {
                let known = self.known | !keep;
                Self { known, value: ((self.value & keep) ^ flip) & known }
            }
            Marking::Unknown => Self::UNKNOWN,
        }
    }

    /// Where a rule may have written it some time.
    fn doubted(self, by: Marking) -> Self {
        match by {
            Marking::Bits { keep, flip } => self.only(keep & !flip),
            Marking::Unknown => Self::UNKNOWN,
        }
    }

    fn only(self, bits: u32) -> Self {
        Self { known: self.known & bits, value: self.value & bits }
    }

    /// What both have in common.
    pub(super) fn or(self, other: Self) -> Self {
        self.only(other.known & !(self.value ^ other.value))
    }

    /// Whether the bits in `mask` are those of `value`.
    pub(super) fn holds(self, mask: u32, value: u32, negated: bool) -> Holds {
        let seen = self.known & mask;
        if value & !mask != 0 || (self.value ^ value) & seen != 0 {
            negated.into()
        } else if seen == mask {
            (!negated).into()
        } else {
            Holds::Unknown
        }
    }
}

/// What rules do with marks of packets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    /// The bits that some rule asks for.
    asked: u32,
    /// Whether what was written is known.
    followed: bool,
}

impl Marks {
    pub(super) fn of(ruleset: &Ruleset) -> Self {
        let rules = || ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
        let asked = rules().flat_map(|rule| &rule.matches).fold(0, |all, one| match one {
            Match::Foreign(Foreign::Mark { of: Marked::Packet, mask, .. }) => all | mask,
            _ => all,
        });
        let mut ways: Vec<Marking> = Vec::new();
        for by in rules().flat_map(|rule| &rule.statements).filter_map(Statement::marks) {
            let by = match by {
                Marking::Bits { keep, flip } => Marking::Bits { keep: keep | !asked, flip: flip & asked },
                Marking::Unknown => by,
            };
            if !ways.contains(&by) {
                ways.push(by);
            }
            if ways.len() > MOST {
                return Self { asked, followed: false };
            }
        }
        Self { asked, followed: Self::are_few(asked, &ways) }
    }

    /// Whether there are few marks that these ways of writing lead to.
    fn are_few(asked: u32, ways: &[Marking]) -> bool {
        let mut all = vec![Mark::zero(asked), Mark::UNKNOWN];
        let mut next = 0;
        while let Some(mark) = all.get(next).copied() {
            next += 1;
            for way in ways {
                let written = mark.written(*way).only(asked);
                if !all.contains(&written) {
                    all.push(written);
                }
            }
            if all.len() > MOST {
                return false;
            }
        }
        true
    }

    /// Whether what was written is known.
    pub(super) fn is_followed(self) -> bool {
        self.followed
    }

    /// That of a packet without one.
    pub(super) fn none(self) -> Mark {
        Mark::zero(self.asked)
    }

    /// After a rule wrote it. `certain` is whether it did, in its turn, for every packet that came so far.
    pub(super) fn written(self, mark: Mark, by: Marking, certain: bool) -> Mark {
        match certain && self.followed {
            true => mark.written(by).only(self.asked),
            false if self.followed => mark.doubted(by),
            false => Mark::UNKNOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u32 = u32::MAX;

    fn set(value: u32, mask: u32) -> Marking {
        Marking::Bits { keep: !mask, flip: value }
    }

    #[test]
    fn bits_are_known_or_not() {
        let marks = Marks { asked: 0xff, followed: true };
        let none = marks.none();
        for (mark, mask, value, expected) in [
            (none, 0xff, 0, Holds::Yes),
            (none, 0xff, 1, Holds::No),
            (none, ALL, 0, Holds::Unknown),
            (none, 0x0f, 0x10, Holds::No),
            (Mark::UNKNOWN, 0xff, 0, Holds::Unknown),
            (Mark::UNKNOWN, 0, 0, Holds::Yes),
            (marks.written(none, set(1, 1), true), 1, 1, Holds::Yes),
            (marks.written(none, set(1, 1), true), 3, 1, Holds::Yes),
            (marks.written(Mark::UNKNOWN, set(1, 1), true), 3, 1, Holds::Unknown),
            (marks.written(Mark::UNKNOWN, set(1, 1), true), 3, 2, Holds::No),
            // Bits are turned round where the mask does not have them.
            (marks.written(marks.written(none, set(1, 1), true), set(1, 0), true), 1, 0, Holds::Yes),
            (marks.written(none, set(1, 1), false), 1, 1, Holds::Unknown),
            (marks.written(none, set(1, 1), false), 2, 0, Holds::Yes),
            (marks.written(none, Marking::Unknown, true), 2, 0, Holds::Unknown),
        ] {
            assert_eq!(mark.holds(mask, value, false), expected, "{mark:?} & {mask:x} == {value:x}");
        }
        let (one, two) = (marks.written(none, set(1, 3), true), marks.written(none, set(2, 3), true));
        assert_eq!(one.or(two).holds(3, 1, true), Holds::Unknown);
        assert_eq!(one.or(two).holds(0xfc, 0, false), Holds::Yes);
        let lost = Marks { asked: 0xff, followed: false };
        assert_eq!(lost.written(none, set(1, 1), true), Mark::UNKNOWN);
    }

    #[test]
    fn ways_of_writing_are_bounded() {
        let single = |bits: u32| (0..bits).map(|bit| set(1 << bit, 1 << bit)).collect::<Vec<_>>();
        assert!(Marks::are_few(0xf, &single(4)));
        assert!(!Marks::are_few(ALL, &single(16)));
        let whole: Vec<Marking> = (0..60).map(|value| set(value, ALL)).collect();
        assert!(Marks::are_few(ALL, &whole));
    }
}
