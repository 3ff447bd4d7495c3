//! Every operation against plain lists of points.

use std::collections::BTreeSet;

use super::*;

const SIZES: [u32; 4] = [2, 7, 5, 9];
const FREE: Limits = Limits { steps: u64::MAX, runs: usize::MAX };

type Point = [u32; 4];

/// Numbers that only look random (xorshift: Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as u32 % bound
    }
}

fn points() -> Vec<Point> {
    let mut all = Vec::new();
    for a in 0..SIZES[0] {
        for b in 0..SIZES[1] {
            for c in 0..SIZES[2] {
                all.extend((0..SIZES[3]).map(|d| [a, b, c, d]));
            }
        }
    }
    all
}

fn listed(sets: &Diagrams, set: Set) -> BTreeSet<Point> {
    points().into_iter().filter(|point| sets.has(set, point)).collect()
}

/// A few products of ranges, and the same as a list.
fn random_set(sets: &mut Diagrams, random: &mut Random) -> (Set, BTreeSet<Point>) {
    let (mut set, mut list) = (Set::EMPTY, BTreeSet::new());
    for _ in 0..=random.below(5) {
        let ranges: Vec<(u32, u32)> = SIZES
            .iter()
            .map(|size| {
                let (a, b) = (random.below(*size), random.below(*size));
                if random.below(3) == 0 { (0, size - 1) } else { (a.min(b), a.max(b)) }
            })
            .collect();
        let mut product = Set::ALL;
        for (field, range) in ranges.iter().enumerate() {
            let one = sets.among(field as u8, &[*range]).unwrap();
            product = sets.intersection(product, one).unwrap();
        }
        let within = |point: &Point| point.iter().zip(&ranges).all(|(own, range)| (range.0..=range.1).contains(own));
        let product_list: BTreeSet<Point> = points().into_iter().filter(within).collect();
        if random.below(4) == 0 {
            set = sets.difference(set, product).unwrap();
            list = list.difference(&product_list).copied().collect();
        } else {
            set = sets.union(set, product).unwrap();
            list = list.union(&product_list).copied().collect();
        }
    }
    (set, list)
}

#[test]
fn operations_are_those_of_sets() {
    let mut sets = Diagrams::new(SIZES.to_vec(), FREE);
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut by_list: std::collections::BTreeMap<BTreeSet<Point>, Set> = std::collections::BTreeMap::new();
    for round in 0..300 {
        let (a, x) = random_set(&mut sets, &mut random);
        let (b, y) = random_set(&mut sets, &mut random);
        assert_eq!(listed(&sets, a), x, "round {round}");
        let both = sets.intersection(a, b).unwrap();
        assert_eq!(listed(&sets, both), x.intersection(&y).copied().collect());
        let either = sets.union(a, b).unwrap();
        assert_eq!(listed(&sets, either), x.union(&y).copied().collect());
        let less = sets.difference(a, b).unwrap();
        assert_eq!(listed(&sets, less), x.difference(&y).copied().collect());
        let not = sets.complement(a).unwrap();
        assert_eq!(listed(&sets, not), points().into_iter().filter(|point| !x.contains(point)).collect());
        // Equal sets are one number, whatever way they came about.
        for (set, list) in [(a, x), (b, y)] {
            assert_eq!(*by_list.entry(list).or_insert(set), set, "round {round}");
        }
        let mut seen = BTreeSet::new();
        sets.products(a, &mut |ranges| {
            for point in points() {
                if point.iter().zip(ranges).all(|(own, range)| (range.0..=range.1).contains(own)) {
                    assert!(seen.insert(point), "products overlap");
                }
            }
        })
        .unwrap();
        assert_eq!(seen, listed(&sets, a));
        for field in 0..4_u8 {
            let labels: BTreeSet<u32> = listed(&sets, a).iter().map(|point| point[usize::from(field)]).collect();
            let found: BTreeSet<u32> = sets.labels(a, field).iter().flat_map(|range| range.0..=range.1).collect();
            assert_eq!(found, labels);
        }
    }
}

#[test]
fn images_and_preimages_are_those_of_the_assignment() {
    let mut sets = Diagrams::new(SIZES.to_vec(), FREE);
    let mut random = Random(0x0dd0_1234_5678_9abc);
    for round in 0..200 {
        let (set, list) = random_set(&mut sets, &mut random);
        for (field, size) in SIZES.into_iter().enumerate() {
            let (a, b) = (random.below(size), random.below(size));
            let map: Vec<u32> = (0..size).map(|_| random.below(size)).collect();
            let all = [Assignment::Constant(a), Assignment::Range(a.min(b), a.max(b)), Assignment::Map(&map)];
            for assignment in all {
                let becomes = |point: &Point| -> BTreeSet<Point> {
                    let labels = match assignment {
                        Assignment::Constant(label) => label..=label,
                        Assignment::Range(first, last) => first..=last,
                        Assignment::Map(map) => map[point[field] as usize]..=map[point[field] as usize],
                    };
                    let with = |label| {
                        let mut point = *point;
                        point[field] = label;
                        point
                    };
                    labels.map(with).collect()
                };
                let image = sets.image(set, field as u8, assignment).unwrap();
                let expected: BTreeSet<Point> = list.iter().flat_map(becomes).collect();
                assert_eq!(listed(&sets, image), expected, "round {round}: {assignment:?} of field {field}");
                let preimage = sets.preimage(set, field as u8, assignment).unwrap();
                let may = |point: &Point| !becomes(point).is_disjoint(&list);
                let expected: BTreeSet<Point> = points().into_iter().filter(may).collect();
                assert_eq!(listed(&sets, preimage), expected, "round {round}: {assignment:?} of field {field}");
            }
        }
    }
}

#[test]
fn a_field_moves_to_the_next() {
    let mut sets = Diagrams::new(vec![3, 4, 5, 2], FREE);
    let port = sets.among(1, &[(1, 2)]).unwrap();
    let other = sets.among(3, &[(1, 1)]).unwrap();
    let both = sets.intersection(port, other).unwrap();
    let moved = sets.moved_to_next(both, 1, 1).unwrap();
    let expected = sets.among(2, &[(2, 3)]).unwrap();
    let expected = sets.intersection(expected, other).unwrap();
    assert_eq!(moved, expected);
    // What says nothing of the field leaves out only the labels below.
    let moved = sets.moved_to_next(other, 1, 1).unwrap();
    let above = sets.among(2, &[(1, 4)]).unwrap();
    let expected = sets.intersection(above, other).unwrap();
    assert_eq!(moved, expected);
}

#[test]
fn what_is_too_large_ends_so() {
    let limits = Limits { steps: 50_000, runs: usize::MAX };
    let crowd = |limits| {
        let mut sets = Diagrams::new(vec![1000, 1000], limits);
        (0..500_u32).try_fold(Set::EMPTY, |all, at| {
            let a = sets.among(0, &[(at, at + 400)])?;
            let b = sets.among(1, &[(at * 2 % 900, at * 2 % 900 + 50)])?;
            let both = sets.intersection(a, b)?;
            sets.union(all, both)
        })
    };
    assert_eq!(crowd(limits), Err(TooLarge));
    assert_eq!(crowd(Limits { steps: u64::MAX, runs: 5_000 }), Err(TooLarge));
    assert!(crowd(FREE).is_ok());
}
