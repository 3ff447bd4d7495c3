//! Any text is a list of sets or an error, and the ranges of a set are sorted and disjoint.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::dialect::ipset;
use ringfence::ir::Elements;

fn is_sorted<T: Copy + Ord>(ranges: impl IntoIterator<Item = (T, T)>) -> bool {
    let ranges: Vec<(T, T)> = ranges.into_iter().collect();
    ranges.iter().all(|(first, last)| first <= last) && ranges.windows(2).all(|pair| pair[0].1 < pair[1].0)
}

fuzz_target!(|text: &str| {
    let Ok((sets, _)) = ipset::read(text) else { return };
    for set in sets {
        assert!(match &set.elements {
            Elements::Ipv4(list) => is_sorted(list.iter().copied()),
            Elements::Ipv6(list) => is_sorted(list.iter().copied()),
            Elements::Ports(list) => is_sorted(list.iter().map(|range| (range.first(), range.last()))),
            Elements::Unknown => true,
        });
    }
});
