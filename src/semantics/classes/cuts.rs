//! Where lists begin and end to hold, in their order.

use super::{Lists, Value};

/// No list's number: all values begin with the lowest one, whether or not a list does.
pub(super) const NO_LIST: u32 = u32::MAX;

/// Where lists begin or end to hold, each with its number; gone through ascending, at one value by their numbers.
pub(super) struct Cuts<T> {
    /// Those of the longest list, ascending, behind as much room as there are others: so that as many ranges as cuts were gone through can
    /// be written in front of those that were not.
    pub(super) long: Vec<(T, u32)>,
    /// Those of all others, ascending.
    others: Vec<(T, u32)>,
    /// How many were gone through, of both.
    at: (usize, usize),
}

impl<T: Value> Cuts<T> {
    /// Those of lists; of lists of which only some values are asked about, where these do, and all of them under a number of their own.
    pub(super) fn of(lists: &Lists<'_, T>, asked: Option<&[T]>, own_number: u32) -> Self {
        let longest = lists.iter().enumerate().max_by_key(|(_, list)| list.0.len()).filter(|_| asked.is_none());
        let mut others = vec![(T::LOWEST, NO_LIST)];
        for (number, list) in lists.iter().enumerate().filter(|own| Some(own.0) != longest.map(|(number, _)| number)) {
            match asked {
                None => cut(&mut others, list.0.iter().copied(), number as u32),
                Some(asked) => {
                    let values = asked_in(&list.0, asked).into_iter();
                    cut(&mut others, values.map(|own| (own, own)), number as u32);
                }
            }
        }
        cut(&mut others, asked.unwrap_or_default().iter().map(|&own| (own, own)), own_number);
        // Each list is sorted, so this is a few sorted runs, which sort quickly.
        others.sort();
        let room = others.len();
        let mut long = Vec::with_capacity(room + longest.map_or(0, |(_, list)| list.0.len() * 2));
        long.resize(room, (T::LOWEST, NO_LIST));
        if let Some((number, list)) = longest {
            cut(&mut long, list.0.iter().copied(), number as u32);
        }
        Self { long, others, at: (room, 0) }
    }

    /// The lowest that was not gone through, which it is now.
    pub(super) fn next(&mut self) -> Option<(T, u32)> {
        match (self.long.get(self.at.0), self.others.get(self.at.1)) {
            (Some(&one), other) if other.is_none_or(|other| one < *other) => {
                self.at.0 += 1;
                Some(one)
            }
            (_, other) => {
                self.at.1 += 1;
                other.copied()
            }
        }
    }
}

/// Adds where a list begins and ends to hold.
pub(super) fn cut<T: Value>(cuts: &mut Vec<(T, u32)>, list: impl Iterator<Item = (T, T)>, number: u32) {
    for (first, last) in list {
        cuts.push((first, number));
        if let Some(behind) = last.above() {
            cuts.push((behind, number));
        }
    }
}

/// Those of some ascending values that a list has.
fn asked_in<T: Value>(list: &[(T, T)], asked: &[T]) -> Vec<T> {
    if list.len() < asked.len() {
        let within = |&(first, last): &(T, T)| {
            let (from, to) = (asked.partition_point(|own| *own < first), asked.partition_point(|own| *own <= last));
            asked.get(from..to).unwrap_or_default()
        };
        return list.iter().flat_map(within).copied().collect();
    }
    let is_in = |own: &&T| {
        let at = list.partition_point(|(_, last)| last < own);
        list.get(at).is_some_and(|(first, _)| first <= *own)
    };
    asked.iter().filter(is_in).copied().collect()
}
