//! Which lists hold at a value.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

/// Which lists hold at a value, each combination once. Most cuts lead from one combination to another over and over again.
pub(super) struct Holdings {
    /// For each combination the numbers of the lists, ascending.
    pub(super) lists: Vec<Vec<u32>>,
    numbers: HashMap<Vec<u32>, u32, FxBuildHasher>,
    /// Where a list that begins or ends leads from a combination.
    ways: HashMap<(u32, u32), u32, FxBuildHasher>,
    /// The same of the last such steps, by the last bits of both numbers: 100,000 addresses lead to and fro between a few combinations.
    last: [(u32, u32, u32); LAST],
    /// How many numbers there are in all combinations.
    pub(super) length: usize,
}

/// So many steps are at hand; a power of 2.
const LAST: usize = 16;

impl Holdings {
    /// No list.
    pub(super) const NONE: u32 = 0;

    pub(super) fn new() -> Self {
        let numbers = [(Vec::new(), Self::NONE)].into_iter().collect();
        let last = [(u32::MAX, u32::MAX, Self::NONE); LAST];
        Self { lists: vec![Vec::new()], numbers, ways: HashMap::default(), last, length: 0 }
    }

    pub(super) fn of(&self, holding: u32) -> &[u32] {
        self.lists.get(holding as usize).map(Vec::as_slice).unwrap_or_default()
    }

    /// The combination with a list more, or less if it has it.
    pub(super) fn toggled(&mut self, holding: u32, number: u32) -> u32 {
        let at = (holding ^ number << 2) as usize % LAST;
        if let Some(&(own, list, next)) = self.last.get(at)
            && (own, list) == (holding, number)
        {
            return next;
        }
        let next = self.way(holding, number);
        if let Some(last) = self.last.get_mut(at) {
            *last = (holding, number, next);
        }
        next
    }

    fn way(&mut self, holding: u32, number: u32) -> u32 {
        if let Some(known) = self.ways.get(&(holding, number)) {
            return *known;
        }
        let mut lists = self.of(holding).to_vec();
        match lists.binary_search(&number) {
            Ok(at) => _ = lists.remove(at),
            Err(at) => lists.insert(at, number),
        }
        let next = self.numbers.get(&lists).copied().unwrap_or_else(|| {
            let next = self.lists.len() as u32;
            self.length += lists.len();
            self.numbers.insert(lists.clone(), next);
            self.lists.push(lists);
            next
        });
        self.ways.insert((holding, number), next);
        next
    }
}
