//! Classes of sources, as ascending ranges of their labels that do not overlap.

/// Some classes.
pub(super) type Labels = Vec<(u32, u32)>;

/// Whether there are any of both. `few` are looked up in `many`.
pub(super) fn meet(few: &[(u32, u32)], many: &[(u32, u32)]) -> bool {
    few.iter().any(|&(first, last)| {
        let at = many.partition_point(|&(_, end)| end < first);
        many.get(at).is_some_and(|&(start, _)| start <= last)
    })
}

/// Those of one that are none of the other's.
pub(super) fn without(one: &[(u32, u32)], other: &[(u32, u32)]) -> Labels {
    let mut left = Labels::new();
    let mut taken = other.iter().peekable();
    for &(first, last) in one {
        // What lies before this range lies before those behind it, too.
        while taken.next_if(|(_, end)| *end < first).is_some() {}
        let mut next = Some(first);
        let mut here = taken.clone();
        while let (Some(from), Some(&(start, end))) = (next, here.next_if(|(start, _)| *start <= last)) {
            if from < start {
                left.push((from, start - 1));
            }
            next = end.checked_add(1).map(|behind| behind.max(from)).filter(|behind| *behind <= last);
        }
        left.extend(next.map(|from| (from, last)));
    }
    left
}

/// Those of any.
pub(super) fn any<'l>(lists: impl IntoIterator<Item = &'l Labels>) -> Labels {
    let mut all: Labels = lists.into_iter().flatten().copied().collect();
    all.sort_unstable();
    let mut joined = Labels::new();
    for (first, last) in all {
        match joined.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(labels: &[(u32, u32)]) -> Vec<u32> {
        labels.iter().flat_map(|&(first, last)| first..=last).collect()
    }

    /// Every pair of sets of seven labels, against what is plainly so.
    #[test]
    fn ranges_are_as_the_labels_one_by_one() {
        let of = |bits: u32| any(&[(0..7).filter(|at| bits >> at & 1 == 1).map(|at| (at, at)).collect::<Labels>()]);
        for a in 0..128 {
            for b in 0..128 {
                let (one, other) = (of(a), of(b));
                assert_eq!(each(&without(&one, &other)), each(&of(a & !b)), "{a} {b}");
                assert_eq!(meet(&one, &other), a & b != 0, "{a} {b}");
                assert_eq!(any([&one, &other]), of(a | b), "{a} {b}");
            }
        }
        assert_eq!(without(&[(3, u32::MAX)], &[(5, u32::MAX)]), [(3, 4)]);
    }
}
