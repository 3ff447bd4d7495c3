//! Sets of points as decision diagrams over fields.
//!
//! A point has one label, a number, in each of a few fields. A [`Set`] of points is a node that looks at one field: runs of
//! neighbouring labels, each with the set of what the fields behind may be. Fields come in one order on every way, a field
//! that makes no difference has no node, and equal nodes are one node. So equal sets are equal numbers, and an operation is
//! done once for each pair of nodes, not once for each point.
//!
//! Source of the idea: decision diagrams with many-valued variables (Srinivasan, Kam, Malik, Brayton, 1990); over the fields
//! of packets: firewall decision diagrams (Gouda, Liu, 2004) and "A Decision Diagram for Network Verification" (NSDI 2025).
//!
//! INVARIANT (canonical): the runs of a node cover all labels of its field in ascending order; neighbours lead to different
//! sets; there are at least two; each leads to a node of a later field.
//! INVARIANT (bounded): whatever would take more steps or memory than allowed ends with [`TooLarge`] and never with a set.

mod assignment;
mod points;

use std::collections::HashMap;
use std::rc::Rc;

use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;
use thiserror::Error;

pub use assignment::Assignment;

/// A set of points. Its number means something to the [`Diagrams`] that it comes from, and to no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set(u32);

/// More steps or more memory than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the rules tell too many kinds of packets apart")]
pub struct TooLarge;

/// What an operation may come to.
pub type Bounded<T> = Result<T, TooLarge>;

/// The labels up to and with `last`, behind those of the run before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Run {
    last: u32,
    to: Set,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    field: u8,
    runs: Rc<[Run]>,
}

/// The runs of a node, or the one run of a set that says nothing of a field.
enum Runs {
    One([Run; 1]),
    Several(Rc<[Run]>),
}

impl std::ops::Deref for Runs {
    type Target = [Run];

    fn deref(&self) -> &[Run] {
        match self {
            Self::One(run) => run,
            Self::Several(runs) => runs,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// How much may be done.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Runs that are looked at, over all operations.
    pub steps: u64,
    /// Runs that are kept, 8 bytes each.
    pub runs: usize,
}

type Known = HashMap<(Operation, Set, Set), Set, FxBuildHasher>;

/// How many sets there were.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    nodes: usize,
    runs: usize,
}

/// All sets over one list of fields.
#[derive(Debug)]
pub struct Diagrams {
    /// How many labels each field has.
    sizes: Vec<u32>,
    nodes: IndexSet<Node, FxBuildHasher>,
    /// Results of operations, those of late, and those before.
    known: Known,
    before: Known,
    limits: Limits,
    steps: u64,
    /// How many steps there may be for now.
    allowed: u64,
    runs: usize,
}

/// Behind all fields.
const END: u8 = u8::MAX;
/// So many results are remembered before those before them are forgotten: 9 MB, twice.
const MOST_KNOWN: usize = 450_000;

impl Set {
    /// No point.
    pub const EMPTY: Self = Self(0);
    /// Every point.
    pub const ALL: Self = Self(1);

    /// Whether no point is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::EMPTY
    }
}

impl Diagrams {
    /// No sets yet but the empty one and all, over fields with so many labels each, at most 255 fields.
    #[must_use]
    pub fn new(sizes: Vec<u32>, limits: Limits) -> Self {
        let mut nodes: IndexSet<Node, FxBuildHasher> = IndexSet::default();
        // The two ends, which look at no field.
        nodes.insert(Node { field: END, runs: Rc::from([]) });
        nodes.insert(Node { field: END, runs: Rc::from([Run { last: 0, to: Set::EMPTY }]) });
        let (known, before) = (Known::default(), Known::default());
        Self { sizes, nodes, known, before, limits, steps: 0, allowed: limits.steps, runs: 0 }
    }

    /// How many labels a field has.
    #[must_use]
    pub fn size(&self, field: u8) -> u32 {
        self.sizes.get(usize::from(field)).copied().unwrap_or(1)
    }

    /// How much may be done.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How many steps were taken so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// From here on at most so many steps more, and never more than in all. Gives what was allowed before, for
    /// [`Self::allow_again`].
    pub fn allow(&mut self, more: u64) -> u64 {
        let allowed = self.steps.saturating_add(more).min(self.limits.steps);
        std::mem::replace(&mut self.allowed, allowed)
    }

    /// What was allowed before, not counting what was done since there were so many steps.
    pub fn allow_again(&mut self, before: u64, since: u64) {
        self.allowed = before.saturating_add(self.steps.saturating_sub(since)).min(self.limits.steps);
    }

    /// Where it stands, to come back to by [`Self::forget`].
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { nodes: self.nodes.len(), runs: self.runs }
    }

    /// Forgets all sets made since, so that they are made anew when they are needed. Whoever still holds one holds nothing.
    pub fn forget(&mut self, mark: &Mark) {
        self.nodes.truncate(mark.nodes);
        self.runs = mark.runs;
        self.known.clear();
        self.before.clear();
    }

    fn field(&self, set: Set) -> u8 {
        self.nodes.get_index(set.0 as usize).map_or(END, |node| node.field)
    }

    /// The runs of a set by a field that is not behind the set's own.
    fn runs(&self, set: Set, field: u8) -> Runs {
        match self.nodes.get_index(set.0 as usize) {
            Some(node) if node.field == field => Runs::Several(Rc::clone(&node.runs)),
            _ => Runs::One([Run { last: self.size(field).saturating_sub(1), to: set }]),
        }
    }

    /// Takes the next run; one that leads where the one before leads is the same run.
    fn push(runs: &mut Vec<Run>, last: u32, to: Set) {
        match runs.last_mut() {
            Some(before) if before.to == to => before.last = last,
            _ => runs.push(Run { last, to }),
        }
    }

    fn node(&mut self, field: u8, runs: Vec<Run>) -> Bounded<Set> {
        match runs.as_slice() {
            [] => return Ok(Set::EMPTY),
            [only] => return Ok(only.to),
            _ => {}
        }
        let length = runs.len();
        let (index, new) = self.nodes.insert_full(Node { field, runs: Rc::from(runs) });
        if new {
            self.runs += length;
        }
        if self.runs > self.limits.runs {
            return Err(TooLarge);
        }
        u32::try_from(index).map(Set).map_err(|_| TooLarge)
    }

    fn spend(&mut self, steps: usize) -> Bounded<()> {
        self.steps = self.steps.saturating_add(steps as u64);
        if self.steps > self.allowed { Err(TooLarge) } else { Ok(()) }
    }

    /// The points whose label in a field is in one of these ranges, which are ascending and disjoint.
    ///
    /// # Errors
    /// As all operations, where a limit is met.
    pub fn among(&mut self, field: u8, ranges: &[(u32, u32)]) -> Bounded<Set> {
        let highest = self.size(field).saturating_sub(1);
        let mut runs = Vec::with_capacity(ranges.len() * 2 + 1);
        let mut next = 0;
        for &(first, last) in ranges.iter().filter(|(first, _)| *first <= highest) {
            if first > next {
                Self::push(&mut runs, first - 1, Set::EMPTY);
            }
            let last = last.min(highest);
            Self::push(&mut runs, last, Set::ALL);
            next = last.saturating_add(1);
        }
        if next <= highest {
            Self::push(&mut runs, highest, Set::EMPTY);
        }
        self.spend(runs.len())?;
        self.node(field, runs)
    }

    /// The points of either.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn union(&mut self, a: Set, b: Set) -> Bounded<Set> {
        self.apply(Operation::Union, a, b)
    }

    /// The points of both.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn intersection(&mut self, a: Set, b: Set) -> Bounded<Set> {
        self.apply(Operation::Intersection, a, b)
    }

    /// The points of `a` that `b` has not.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn difference(&mut self, a: Set, b: Set) -> Bounded<Set> {
        self.apply(Operation::Difference, a, b)
    }

    /// The points that a set has not.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn complement(&mut self, a: Set) -> Bounded<Set> {
        self.apply(Operation::Difference, Set::ALL, a)
    }

    /// The points of any.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn any(&mut self, sets: impl IntoIterator<Item = Set>) -> Bounded<Set> {
        sets.into_iter().try_fold(Set::EMPTY, |all, one| self.union(all, one))
    }

    /// The points of all.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn each(&mut self, sets: impl IntoIterator<Item = Set>) -> Bounded<Set> {
        sets.into_iter().try_fold(Set::ALL, |all, one| self.intersection(all, one))
    }

    fn apply(&mut self, operation: Operation, a: Set, b: Set) -> Bounded<Set> {
        let (mut a, mut b) = (a, b);
        match operation {
            Operation::Union => match (a, b) {
                (Set::EMPTY, other) | (other, Set::EMPTY) => return Ok(other),
                (Set::ALL, _) | (_, Set::ALL) => return Ok(Set::ALL),
                _ if a == b => return Ok(a),
                _ => {}
            },
            Operation::Intersection => match (a, b) {
                (Set::EMPTY, _) | (_, Set::EMPTY) => return Ok(Set::EMPTY),
                (Set::ALL, other) | (other, Set::ALL) => return Ok(other),
                _ if a == b => return Ok(a),
                _ => {}
            },
            Operation::Difference => match (a, b) {
                (Set::EMPTY, _) | (_, Set::ALL) => return Ok(Set::EMPTY),
                (_, Set::EMPTY) => return Ok(a),
                _ if a == b => return Ok(Set::EMPTY),
                _ => {}
            },
        }
        if operation != Operation::Difference && b < a {
            (a, b) = (b, a);
        }
        let asked = (operation, a, b);
        if let Some(found) = self.known.get(&asked).or_else(|| self.before.get(&asked)) {
            return Ok(*found);
        }
        let field = self.field(a).min(self.field(b));
        let (one, other) = (self.runs(a, field), self.runs(b, field));
        self.spend(one.len() + other.len())?;
        let mut runs = Vec::with_capacity(one.len().max(other.len()));
        let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
        while let (Some(&&x), Some(&&y)) = (left.peek(), right.peek()) {
            let last = x.last.min(y.last);
            let to = self.apply(operation, x.to, y.to)?;
            Self::push(&mut runs, last, to);
            left.next_if(|run| run.last == last);
            right.next_if(|run| run.last == last);
        }
        let found = self.node(field, runs)?;
        if self.known.len() >= MOST_KNOWN {
            std::mem::swap(&mut self.known, &mut self.before);
            self.known.clear();
        }
        self.known.insert(asked, found);
        Ok(found)
    }
}

fn led_to(runs: &[Run], label: u32) -> Set {
    let at = runs.partition_point(|run| run.last < label);
    runs.get(at).map_or(Set::EMPTY, |run| run.to)
}

#[cfg(test)]
mod tests;
