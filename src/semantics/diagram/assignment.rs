//! Sets before and after a field is assigned.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use super::{Bounded, Diagrams, Run, Set, led_to};

/// What a field becomes.
#[derive(Clone, Copy, Debug)]
pub enum Assignment<'a> {
    /// One label.
    Constant(u32),
    /// Any label from the first to the second.
    Range(u32, u32),
    /// For each label another.
    Map(&'a [u32]),
}

/// Results for the nodes that were met already.
type Done = HashMap<Set, Set, FxBuildHasher>;

impl Diagrams {
    /// What is left of a set when a field is done with it: `change` makes of the runs of that field's node what is to stand
    /// there. A set without such a node has one run of all labels.
    fn at_field(
        &mut self,
        set: Set,
        field: u8,
        change: &mut impl FnMut(&mut Self, &[Run]) -> Bounded<Set>,
        done: &mut Done,
    ) -> Bounded<Set> {
        if let Some(found) = done.get(&set) {
            return Ok(*found);
        }
        let own = self.field(set);
        let runs = self.runs(set, own.min(field));
        self.spend(runs.len())?;
        let found = if own >= field {
            change(self, &runs)?
        } else {
            let mut changed = Vec::with_capacity(runs.len());
            for run in runs.iter() {
                let to = self.at_field(run.to, field, change, done)?;
                Self::push(&mut changed, run.last, to);
            }
            self.node(own, changed)?
        };
        done.insert(set, found);
        Ok(found)
    }

    /// The points that may come into `set` when a field is assigned.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn preimage(&mut self, set: Set, field: u8, assignment: Assignment<'_>) -> Bounded<Set> {
        let size = self.size(field);
        let mut change = |sets: &mut Self, runs: &[Run]| match assignment {
            Assignment::Constant(label) => Ok(led_to(runs, label)),
            Assignment::Range(first, last) => sets.any(within(runs, first, last)),
            Assignment::Map(map) => {
                let mut moved = Vec::new();
                for (label, &to) in (0..size).zip(map) {
                    Self::push(&mut moved, label, led_to(runs, to));
                }
                sets.node(field, moved)
            }
        };
        self.at_field(set, field, &mut change, &mut Done::default())
    }

    /// The points that those of `set` may become when a field is assigned.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn image(&mut self, set: Set, field: u8, assignment: Assignment<'_>) -> Bounded<Set> {
        let size = self.size(field);
        let mut change = |sets: &mut Self, runs: &[Run]| match assignment {
            Assignment::Constant(label) => sets.image_in_range(field, runs, (label, label)),
            Assignment::Range(first, last) => sets.image_in_range(field, runs, (first, last)),
            Assignment::Map(map) => {
                let mut all = Set::EMPTY;
                for (label, &to) in (0..size).zip(map) {
                    let at = sets.among(field, &[(to, to)])?;
                    let there = sets.intersection(at, led_to(runs, label))?;
                    all = sets.union(all, there)?;
                }
                Ok(all)
            }
        };
        self.at_field(set, field, &mut change, &mut Done::default())
    }

    fn image_in_range(&mut self, field: u8, runs: &[Run], range: (u32, u32)) -> Bounded<Set> {
        let anywhere = self.any(runs.iter().map(|run| run.to))?;
        let there = self.among(field, &[range])?;
        self.intersection(there, anywhere)
    }

    /// The points that have one in `set` with some label in a field.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn without(&mut self, set: Set, field: u8) -> Bounded<Set> {
        self.preimage(set, field, Assignment::Range(0, u32::MAX))
    }

    /// What `set` says of a field, said of the next one instead, `by` labels higher; no point below that is in it. The set says nothing of the next
    /// one.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn moved_to_next(&mut self, set: Set, field: u8, by: u32) -> Bounded<Set> {
        let next = field.saturating_add(1);
        let highest = self.size(next).saturating_sub(1);
        let mut change = |sets: &mut Self, runs: &[Run]| {
            let mut moved = Vec::with_capacity(runs.len() + 1);
            if by > 0 {
                Self::push(&mut moved, by - 1, Set::EMPTY);
            }
            for run in runs {
                Self::push(&mut moved, run.last.saturating_add(by).min(highest), run.to);
            }
            sets.node(next, moved)
        };
        self.at_field(set, field, &mut change, &mut Done::default())
    }
}

/// Where labels of a range lead.
fn within(runs: &[Run], first: u32, last: u32) -> impl Iterator<Item = Set> {
    let from = runs.partition_point(|run| run.last < first);
    let rest = runs.get(from..).unwrap_or_default();
    // A run reaches into the range if the one before it ends in front of the range's end.
    let to = rest.partition_point(|run| run.last < last);
    rest.iter().take(to.saturating_add(1)).map(|run| run.to)
}
