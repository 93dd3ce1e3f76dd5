//! The order inside lists against a naive oracle: all ways to choose who is last, for few short lists.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::order::{Lists, Prefix};
use super::spread::Spread;
use super::stay::{Old, stay};
use super::tests::members;
use crate::zone_tree::ZoneTree;

const WEIGHTS: [u64; 5] = [1, 1, 2, 3, 7];

#[derive(Debug)]
struct Case {
    zones: Vec<&'static str>,
    weights: Vec<u64>,
    lists: Vec<Vec<usize>>,
    old: Vec<Vec<usize>>,
}

/// Up to six lists of two to four of six members, and others for them to come from.
fn cases() -> impl Strategy<Value = Case> {
    let zones = prop::collection::vec(prop::sample::select(&["", "a", "b", "b/1"][..]), 6);
    let weights = prop_oneof![
        Just(vec![1; 6]),
        prop::collection::vec(prop::sample::select(&WEIGHTS[..]), 6),
    ];
    let list = |len| prop::sample::subsequence((0..6).collect::<Vec<usize>>(), len).prop_shuffle();
    let lists = (2..=4_usize, 1..=6_usize).prop_flat_map(move |(len, count)| {
        let old = prop::collection::vec(list(3), count);
        (prop::collection::vec(list(len), count), old)
    });
    (zones, weights, lists).prop_map(|(zones, weights, (lists, old))| Case {
        zones,
        weights,
        lists,
        old,
    })
}

/// The sum that balance is measured by, times 42.
fn sum(case: &Case, loads: &[u64]) -> u64 {
    let square = |(load, weight): (&u64, &u64)| load * load * (42 / weight);
    loads.iter().zip(&case.weights).map(square).sum()
}

/// Counts the first places of one list into loads; returns the additions among them.
fn count(first: impl Iterator<Item = usize>, old: &[usize], loads: &mut [u64]) -> usize {
    let mut additions = 0;
    for member in first {
        loads[member] += 1;
        additions += usize::from(!old.contains(&member));
    }
    additions
}

/// The least sum, and the fewest additions with it, of all ways to put one of those who may
/// leave last in each list.
fn least(case: &Case, prefix: &Prefix<'_>) -> (u64, usize) {
    let mut reached = BTreeMap::from([(vec![0; 6], 0)]);
    for (index, (list, old)) in case.lists.iter().zip(&case.old).enumerate() {
        let old = &old[..prefix.last.min(old.len())];
        let mut next: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
        for (loads, additions) in &reached {
            let may_go = |member: &&usize| prefix.may_leave[**member].contains(&index);
            for leaver in list.iter().filter(may_go) {
                let mut loads = loads.clone();
                let first = list.iter().copied().filter(|member| member != leaver);
                let added = additions + count(first, old, &mut loads);
                let best = next.entry(loads).or_insert(usize::MAX);
                *best = added.min(*best);
            }
        }
        reached = next;
    }
    let measures = reached
        .iter()
        .map(|(loads, added)| (sum(case, loads), *added));
    measures.min().expect("somebody may leave every list")
}

fn measure(case: &Case, lists: &[Vec<usize>], last: usize) -> (u64, usize) {
    let mut loads = vec![0; 6];
    let added = lists.iter().zip(&case.old).map(|(list, old)| {
        count(
            list[..last].iter().copied(),
            &old[..last.min(old.len())],
            &mut loads,
        )
    });
    let added = added.sum();
    (sum(case, &loads), added)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_is_better_balanced_and_none_as_balanced_has_fewer_additions(case in cases()) {
        let len = case.lists[0].len();
        let last = len - 1;
        let zones = ZoneTree::new(&members(&case.zones));
        let spread = Spread::new(&zones, case.zones.len(), last);
        let mut lists = Lists { places: case.lists.concat(), len };
        let old = Old { places: &case.old.concat(), len: 3 };
        let mut prefix = Prefix::new(&mut lists, &spread, &case.weights, last);
        let least = least(&case, &prefix);
        prefix.balance();
        stay(&mut prefix, old);
        let ordered: Vec<Vec<usize>> = lists.places.chunks(len).map(<[usize]>::to_vec).collect();
        for (before, after) in case.lists.iter().zip(&ordered) {
            let sorted = |list: &[usize]| {
                let mut list = list.to_vec();
                list.sort_unstable();
                list
            };
            prop_assert_eq!(sorted(before), sorted(after));
        }
        prop_assert_eq!(measure(&case, &ordered, last), least);
    }
}
