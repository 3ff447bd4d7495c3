//! The values of a field, cut into classes that no list in question can tell apart.
//!
//! The number of classes depends on how many *different* lists there are, not on their length: 100,000 peers are one class.

mod cuts;
mod holdings;

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use indexmap::{Equivalent, IndexSet};
use rustc_hash::FxBuildHasher;

use self::cuts::{Cuts, NO_LIST};
use self::holdings::Holdings;
use super::diagram::{Bounded, TooLarge};

/// So many lists may hold at one value, where nothing else is asked for.
pub(super) const DEEPEST: usize = 4_096;
/// So many numbers of lists, 8 bytes each, may name the classes of a field.
const LONGEST_NAMES: usize = 10_000_000;

/// A list of ranges, both ends included, ascending and disjoint.
pub type List<'a, T> = Cow<'a, [(T, T)]>;

/// The classes of a field whose values are numbers.
#[derive(Clone, Debug)]
pub struct Classes<'a, T: Clone> {
    /// The lowest value of each class.
    representatives: Vec<T>,
    /// Where each range of values begins and its class, ascending, without gaps.
    ranges: Vec<(T, u32)>,
    /// The lists, each once.
    lists: Lists<'a, T>,
    /// Which of them begins at an address of memory and has so many ranges: where a list of 100,000 is asked about that was given itself, it is
    /// found without going through it.
    places: HashMap<(usize, usize), u32, FxBuildHasher>,
    /// For each of them its classes, as ascending ranges of their numbers.
    labels: Vec<Vec<(u32, u32)>>,
    /// The class of all values that nobody asks about, where there are such: which lists have some of them is not known.
    unasked: Option<u32>,
}

type Lists<'a, T> = IndexSet<Whole<'a, T>, FxBuildHasher>;

/// A list as one of several: the same as another if all of it is, and looked for by some of its ranges, since a list of 100,000 is looked
/// for time and again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Whole<'a, T: Clone>(List<'a, T>);

/// The same of a list that is looked for.
struct Sought<'a, T>(&'a [(T, T)]);

impl<T: Clone + Hash> Hash for Whole<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Sought(&self.0).hash(state);
    }
}

impl<T: Hash> Hash for Sought<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        const SOME: usize = 256;
        self.0.len().hash(state);
        self.0.iter().step_by(self.0.len().div_ceil(SOME).max(1)).for_each(|range| range.hash(state));
    }
}

impl<T: Clone + PartialEq> Equivalent<Whole<'_, T>> for Sought<'_, T> {
    fn equivalent(&self, other: &Whole<'_, T>) -> bool {
        *self.0 == *other.0
    }
}

/// Where a list stands, and how long it is.
fn place<T>(list: &[T]) -> (usize, usize) {
    (list.as_ptr().addr(), list.len())
}

/// A number that a field can hold.
pub trait Value: Copy + Ord + Hash {
    /// The lowest.
    const LOWEST: Self;
    /// The highest.
    const HIGHEST: Self;
    /// The one above.
    fn above(self) -> Option<Self>;
    /// The one below.
    fn below(self) -> Option<Self>;
}

macro_rules! value {
    ($($number:ty),+) => {
        $(impl Value for $number {
            const LOWEST: Self = Self::MIN;
            const HIGHEST: Self = Self::MAX;
            fn above(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn below(self) -> Option<Self> {
                self.checked_sub(1)
            }
        })+
    };
}

value!(u16, u32, u128);

impl<'a, T: Value> Classes<'a, T> {
    /// Cuts all values at the ends of the ranges of all lists, and puts pieces into one class that lie in the same lists.
    ///
    /// Where only some values, ascending, are `asked` about, all others are one class, whatever lists they are in.
    ///
    /// # Errors
    /// Where more lists overlap than `deepest`, or than can be told apart.
    pub(super) fn new(
        lists: impl IntoIterator<Item = List<'a, T>>,
        deepest: usize,
        asked: Option<&[T]>,
    ) -> Bounded<Self> {
        // What a ruleset holds and what is asked about it are often the same; one list then speaks for both.
        let (mut all, mut places) = (Lists::default(), HashMap::default());
        for list in lists {
            // What is borrowed stands where it is as long as this does.
            let place = if let Cow::Borrowed(own) = &list { Some(place(own)) } else { None };
            if place.is_some_and(|place| places.contains_key(&place)) {
                continue;
            }
            let (number, _) = all.insert_full(Whole(list));
            places.extend(place.map(|place| (place, number as u32)));
        }
        let lists = all;
        // What is asked about has a number of its own, so that it is told from everything else.
        let count = lists.len() as u32 + u32::from(asked.is_some());
        let mut cuts = Cuts::of(&lists, asked, count.saturating_sub(1));
        let mut classes =
            Self { representatives: Vec::new(), ranges: Vec::new(), lists, places, labels: Vec::new(), unasked: None };
        let mut labels: Vec<Vec<(u32, u32)>> = vec![Vec::new(); count as usize];
        let mut holdings = Holdings::new();
        let mut holding = Holdings::NONE;
        // The class of each combination that has one: most pieces are of a combination that was there before.
        let mut class_of: Vec<Option<u32>> = Vec::new();
        // The ranges take the place of the cuts.
        let mut written = 0;
        let mut last = None;
        let mut next = cuts.next();
        while let Some((start, number)) = next {
            let mut here = Some(number);
            // Two ranges that touch end and begin here: the second cut takes the first one back.
            while let Some(number) = here {
                if number != NO_LIST {
                    holding = holdings.toggled(holding, number);
                }
                if holdings.length > LONGEST_NAMES {
                    return Err(TooLarge);
                }
                next = cuts.next();
                here = next.filter(|next| next.0 == start).map(|(_, number)| number);
            }
            let class = match class_of.get(holding as usize) {
                Some(Some(known)) => *known,
                Some(None) | None => {
                    let lists = holdings.of(holding);
                    if lists.len() > deepest {
                        return Err(TooLarge);
                    }
                    let class = classes.representatives.len() as u32;
                    classes.representatives.push(start);
                    for number in lists {
                        if let Some(ranges) = labels.get_mut(*number as usize) {
                            add(ranges, class);
                        }
                    }
                    class_of.resize(holdings.lists.len(), None);
                    if let Some(own) = class_of.get_mut(holding as usize) {
                        *own = Some(class);
                    }
                    class
                }
            };
            if last != Some(class)
                && let Some(own) = cuts.long.get_mut(written)
            {
                (*own, last) = ((start, class), Some(class));
                written += 1;
            }
        }
        cuts.long.truncate(written);
        (classes.ranges, classes.labels) = (cuts.long, labels);
        classes.unasked = class_of.first().copied().flatten().filter(|_| asked.is_some());
        Ok(classes)
    }

    /// The class of the values that nobody asks about, where there are such. A list's labels say nothing of it.
    #[must_use]
    pub fn unasked(&self) -> Option<u32> {
        self.unasked
    }

    /// How many classes.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.representatives.len() as u32
    }

    /// The lowest value of a class.
    #[must_use]
    pub fn representative(&self, class: u32) -> Option<T> {
        self.representatives.get(class as usize).copied()
    }

    /// The class of a value.
    #[must_use]
    pub fn class(&self, value: T) -> u32 {
        let at = self.ranges.partition_point(|&(first, _)| first <= value);
        at.checked_sub(1).and_then(|at| self.ranges.get(at)).map_or(0, |&(_, class)| class)
    }

    /// The values of classes, given as ascending ranges of their numbers: ascending ranges that do not touch.
    #[must_use]
    pub fn values(&self, labels: &[(u32, u32)]) -> Vec<(T, T)> {
        let wanted = |class: u32| {
            let at = labels.partition_point(|(_, last)| *last < class);
            labels.get(at).is_some_and(|(first, _)| *first <= class)
        };
        let mut joined: Vec<(T, T)> = Vec::new();
        for (first, last, _) in self.ranges().filter(|(.., class)| wanted(*class)) {
            match joined.last_mut() {
                Some(previous) if previous.1.above() == Some(first) => previous.1 = last,
                _ => joined.push((first, last)),
            }
        }
        joined
    }

    /// All values, as ranges with their class, ascending and without gaps.
    pub fn ranges(&self) -> impl Iterator<Item = (T, T, u32)> {
        let behind = self.ranges.iter().skip(1).map(|&(first, _)| first.below()).chain([None]);
        self.ranges.iter().zip(behind).map(|(&(first, class), last)| (first, last.unwrap_or(T::HIGHEST), class))
    }

    /// The classes of a list, as ascending ranges of their numbers; `None` if it is not one of those that cut the values.
    #[must_use]
    pub fn labels(&self, list: &[(T, T)]) -> Option<&[(u32, u32)]> {
        let number = self.places.get(&place(list)).map(|number| *number as usize);
        self.labels.get(number.or_else(|| self.lists.get_index_of(&Sought(list)))?).map(Vec::as_slice)
    }
}

/// Takes a number that is higher than all so far.
fn add(ranges: &mut Vec<(u32, u32)>, class: u32) {
    match ranges.last_mut() {
        Some(previous) if previous.1 + 1 == class => previous.1 = class,
        _ => ranges.push((class, class)),
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::cuts::cut;
    use super::*;

    #[test]
    fn pieces_in_the_same_lists_are_one_class() {
        type List = [(u16, u16)];
        let a: &List = &[(10, 19), (30, 39), (40, 49)];
        let b: &List = &[(0, 9), (35, 65535)];
        let classes = Classes::new([a, b, a].map(Cow::Borrowed), DEEPEST, None).unwrap();
        for at in 0..=65535u16 {
            for other in [0, 9, 10, 19, 20, 29, 30, 34, 35, 49, 50, 65535] {
                let same = |list: &List| {
                    let has = |at: u16| list.iter().any(|r| (r.0..=r.1).contains(&at));
                    has(at) == has(other)
                };
                assert_eq!(classes.class(at) == classes.class(other), same(a) && same(b), "{at} {other}");
            }
            for list in [a, b] {
                let labels = classes.labels(list).unwrap();
                let has = labels.iter().any(|range| (range.0..=range.1).contains(&classes.class(at)));
                assert_eq!(has, list.iter().any(|range| (range.0..=range.1).contains(&at)), "{at}");
            }
        }
        assert_eq!(classes.count(), 4);
        assert_eq!(classes.ranges().next().map(|r| r.0), Some(0));
        assert_eq!(classes.ranges().last().map(|r| r.1), Some(65535));
        assert_eq!(classes.labels(&[(1, 2)]), None);
    }

    /// Whichever list is the longest, whoever owns them, and wherever they begin and end: at the ends of all values, at one place, or
    /// side by side.
    #[test]
    fn lists_of_all_kinds_are_told_apart_value_by_value() {
        // The same numbers each time (Knuth, MMIX).
        let mut state = 7_u64;
        let mut number = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..400 {
            let lists: Vec<Vec<(u16, u16)>> = (0..number(6))
                .map(|_| {
                    let mut ends: Vec<u16> = (0..number(9) * 2)
                        .map(|_| [number(40), 65_500 + number(36)][number(2) as usize] as u16)
                        .collect();
                    ends.sort_unstable();
                    ends.dedup();
                    ends.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
                })
                .collect();
            let given = lists.iter().flat_map(|list| [Cow::Borrowed(&list[..]), Cow::Owned(list.clone())]);
            let classes = Classes::new(given.chain(lists.iter().map(|list| Cow::Borrowed(&list[..]))), DEEPEST, None);
            let classes = classes.unwrap();
            let values = (0..=45).chain(65_495..=65_535);
            let has = |list: &[(u16, u16)], at| list.iter().any(|range| (range.0..=range.1).contains(&at));
            let within: Vec<Vec<bool>> =
                values.clone().map(|at| lists.iter().map(|list| has(list, at)).collect()).collect();
            for (at, own) in values.clone().zip(&within) {
                for (other, others) in values.clone().zip(&within) {
                    assert_eq!(classes.class(at) == classes.class(other), own == others, "{at} {other} {lists:?}");
                }
                for (list, is_in) in lists.iter().zip(own) {
                    for list in [&list[..], &list.clone()[..]] {
                        let labels = classes.labels(list).unwrap();
                        let found = labels.iter().any(|range| (range.0..=range.1).contains(&classes.class(at)));
                        assert_eq!(found, *is_in, "{at} {list:?}");
                    }
                }
            }
            let ends: Vec<_> = classes.ranges().collect();
            assert!(ends.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0 && pair[0].2 != pair[1].2), "{lists:?}");
            assert_eq!((ends[0].0, ends[ends.len() - 1].1), (0, 65_535));
            // Which combinations there are on the way decides what is too much.
            let each: Lists<'_, u16> = lists.iter().map(|list| Whole(Cow::Borrowed(&list[..]))).collect();
            let mut wanted = vec![(0, NO_LIST)];
            each.iter().enumerate().for_each(|(at, list)| cut(&mut wanted, list.0.iter().copied(), at as u32));
            wanted.sort_unstable();
            let mut cuts = Cuts::of(&each, None, 0);
            assert!(iter::from_fn(|| cuts.next()).eq(wanted), "{lists:?}");
        }
    }

    /// What is asked about falls into the same classes as if everything were, and nothing else is told from each other.
    #[test]
    fn only_what_is_asked_about_is_told_apart() {
        let lists: [&[(u16, u16)]; 4] = [&[(10, 19), (30, 39)], &[(0, 9), (35, 65535)], &[(7, 7)], &[]];
        let all = Classes::new(lists.map(Cow::Borrowed), DEEPEST, None).unwrap();
        for asked in [&[][..], &[0], &[7, 8, 9, 10], &[5, 12, 20, 35, 36, 65535], &[20]] {
            let some = Classes::new(lists.map(Cow::Borrowed), DEEPEST, Some(asked)).unwrap();
            let unasked = some.unasked().unwrap();
            for &one in asked {
                assert_ne!(some.class(one), unasked);
                for &other in asked {
                    assert_eq!(some.class(one) == some.class(other), all.class(one) == all.class(other));
                }
                for list in lists {
                    let labels = some.labels(list).unwrap();
                    let has = labels.iter().any(|range| (range.0..=range.1).contains(&some.class(one)));
                    assert_eq!(has, list.iter().any(|range| (range.0..=range.1).contains(&one)), "{one} {list:?}");
                }
            }
            let others = (0..=65535).filter(|own| !asked.contains(own));
            assert!(others.into_iter().all(|own| some.class(own) == unasked));
        }
        assert_eq!(all.unasked(), None);
    }

    #[test]
    fn everything_and_nothing() {
        let all: &[(u128, u128)] = &[(0, u128::MAX)];
        let none: &[(u128, u128)] = &[];
        let classes = Classes::new([all, none].map(Cow::Borrowed), DEEPEST, None).unwrap();
        assert!(classes.ranges().eq([(0, u128::MAX, 0)]));
        assert_eq!((classes.labels(all), classes.labels(none)), (Some(&[(0, 0)][..]), Some(&[][..])));
        assert!(Classes::<u32>::new([], DEEPEST, None).unwrap().ranges().eq([(0, u32::MAX, 0)]));
    }
}
