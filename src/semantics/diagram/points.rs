//! The points of a set, as far as somebody wants to see them.

use std::collections::HashSet;

use rustc_hash::FxBuildHasher;

use super::{Bounded, Diagrams, END, Set, led_to};

impl Diagrams {
    /// The labels that points of a set have in a field, as ascending ranges that do not touch.
    #[must_use]
    pub fn labels(&self, set: Set, field: u8) -> Vec<(u32, u32)> {
        let mut ranges = Vec::new();
        let mut seen = HashSet::<Set, FxBuildHasher>::default();
        let mut waiting = vec![set];
        while let Some(set) = waiting.pop() {
            let own = self.field(set);
            if set.is_empty() || !seen.insert(set) {
                continue;
            }
            if own > field {
                return vec![(0, self.size(field).saturating_sub(1))];
            }
            let mut first = 0;
            for run in self.runs(set, own).iter() {
                if own < field {
                    waiting.push(run.to);
                } else if !run.to.is_empty() {
                    ranges.push((first, run.last));
                }
                first = run.last.saturating_add(1);
            }
        }
        ranges.sort_unstable();
        let mut joined: Vec<(u32, u32)> = Vec::new();
        for (first, last) in ranges {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        joined
    }

    /// Whether a point, given as its labels in the order of the fields, is in a set.
    #[must_use]
    pub fn has(&self, set: Set, point: &[u32]) -> bool {
        let mut at = set;
        while at > Set::ALL {
            let Some(node) = self.nodes.get_index(at.0 as usize) else { return false };
            let label = point.get(usize::from(node.field)).copied().unwrap_or_default();
            at = led_to(&node.runs, label);
        }
        at == Set::ALL
    }

    /// Shows a set as products: for each field a range of labels. They are disjoint, and there may be very many.
    ///
    /// # Errors
    /// Where a limit is met.
    pub fn products(&mut self, set: Set, visit: &mut impl FnMut(&[(u32, u32)])) -> Bounded<()> {
        let mut ranges: Vec<(u32, u32)> = self.sizes.iter().map(|size| (0, size.saturating_sub(1))).collect();
        self.products_below(set, &mut ranges, visit)
    }

    fn products_below(
        &mut self,
        set: Set,
        ranges: &mut Vec<(u32, u32)>,
        visit: &mut impl FnMut(&[(u32, u32)]),
    ) -> Bounded<()> {
        let field = self.field(set);
        if field == END {
            if set == Set::ALL {
                visit(ranges);
            }
            return Ok(());
        }
        let runs = self.runs(set, field);
        self.spend(runs.len())?;
        let mut first = 0;
        for run in runs.iter().copied() {
            if let Some(range) = ranges.get_mut(usize::from(field)) {
                *range = (first, run.last);
            }
            self.products_below(run.to, ranges, visit)?;
            first = run.last.saturating_add(1);
        }
        if let Some(range) = ranges.get_mut(usize::from(field)) {
            *range = (0, self.sizes.get(usize::from(field)).map_or(0, |size| size.saturating_sub(1)));
        }
        Ok(())
    }
}
