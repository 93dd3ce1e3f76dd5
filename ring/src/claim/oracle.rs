//! The claim against a naive oracle: all lists of all partitions, for rings small enough.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::flow::{NOBODY, Problem};
use super::share::{Share, exact_shares};
use super::spread::Spread;
use super::{claim, search};
use crate::hash::PartitionCount;
use crate::ids::NodeId;
use crate::member::{Placed, Weight};
use crate::share::ExactShare;
use crate::zone_tree::ZoneTree;

/// All sets of `size` of the given members.
fn subsets(members: &[usize], size: usize) -> Vec<Vec<usize>> {
    let all = (0..1_u32 << members.len()).map(|bits| {
        let chosen = |at: &usize| bits & (1 << *at) != 0;
        (0..members.len())
            .filter(chosen)
            .map(|at| members[at])
            .collect::<Vec<_>>()
    });
    all.filter(|set| set.len() == size).collect()
}

/// How many of a set stand in each part of a zone, the largest number first. Parts are told apart
/// by their component at `depth`; who has none there stands in an unnamed part.
fn counts(set: &[usize], members: &[Placed], depth: usize) -> Vec<usize> {
    let parts = parts(set, members, depth);
    let mut counts: Vec<usize> = parts.values().map(Vec::len).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts
}

fn parts<'a>(
    set: &[usize],
    members: &'a [Placed],
    depth: usize,
) -> BTreeMap<Option<&'a str>, Vec<usize>> {
    let mut parts: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for &member in set {
        let part = members[member].zone.components().nth(depth);
        parts.entry(part).or_default().push(member);
    }
    parts
}

/// Whether a set of members in a zone is spread over its parts as evenly as any set of its size,
/// and so on within each part: the rule of `spread.rs` as it is stated, without water.
fn is_spread(set: &[usize], zone: &[usize], members: &[Placed], depth: usize) -> bool {
    let best = subsets(zone, set.len())
        .into_iter()
        .map(|other| counts(&other, members, depth))
        .min();
    if Some(counts(set, members, depth)) != best {
        return false;
    }
    let chosen = parts(set, members, depth);
    parts(zone, members, depth).iter().all(|(part, zone)| {
        let none = Vec::new();
        let set = chosen.get(part).unwrap_or(&none);
        part.is_none() || is_spread(set, zone, members, depth + 1)
    })
}

/// For all loads that any placement has: the fewest additions with which it has them.
fn all_placements(
    members: &[Placed],
    copies: usize,
    old: &[Vec<usize>],
) -> BTreeMap<Vec<usize>, usize> {
    let everyone: Vec<usize> = (0..members.len()).collect();
    let mut lists = subsets(&everyone, copies);
    lists.retain(|list| is_spread(list, &everyone, members, 0));
    let mut reached = BTreeMap::from([(vec![0; members.len()], 0)]);
    for old in old {
        let mut next: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        for (loads, additions) in &reached {
            for list in &lists {
                let mut loads = loads.clone();
                list.iter().for_each(|&member| loads[member] += 1);
                let new = list.iter().filter(|member| !old.contains(member)).count();
                let best = next.entry(loads).or_insert(usize::MAX);
                *best = (*best).min(additions + new);
            }
        }
        reached = next;
    }
    reached
}

/// Shares as whole numbers, and the number that stands for 1.
fn scaled(exact: &[ExactShare]) -> (Vec<i128>, i128) {
    let fractions = exact.iter().map(|share| share.as_fraction());
    // At most six denominators, each a sum of six weights up to 7.
    let one = fractions
        .clone()
        .fold(1, |one, (_, among)| one * i128::from(among));
    let scaled = fractions.map(|(copies, among)| i128::from(copies) * (one / i128::from(among)));
    (scaled.collect(), one)
}

/// Whether these shares are between the loads that placements have: no set of members has less than
/// it has in any of them, or more. (The loads of placements are the whole points of a polytope that
/// is described by just such bounds.)
fn are_among(shares: &[i128], one: i128, placements: &[&Vec<usize>]) -> bool {
    (0..1_u32 << shares.len()).all(|bits| {
        let chosen = |at: &usize| bits & (1 << *at) != 0;
        let set: Vec<usize> = (0..shares.len()).filter(chosen).collect();
        let share: i128 = set.iter().map(|&member| shares[member]).sum();
        let held =
            |loads: &&Vec<usize>| set.iter().map(|&member| loads[member] as i128 * one).sum();
        let held: BTreeSet<i128> = placements.iter().map(held).collect();
        held.first().is_some_and(|&least| least <= share) && held.last() >= Some(&share)
    })
}

/// Whether no step from these shares towards any placement makes the sum of share² / weight
/// smaller. The sum is convex: if no first step does, they are the fairest shares between the
/// placements.
fn are_fairest(shares: &[i128], one: i128, placements: &[&Vec<usize>], members: &[Placed]) -> bool {
    placements.iter().all(|loads| {
        let slope = |((&share, &load), member): ((&i128, &usize), &Placed)| {
            let weight = i128::from(member.weight.get());
            assert_eq!(42 % weight, 0, "weights in these tests divide 42");
            share * (42 / weight) * (load as i128 * one - share)
        };
        shares
            .iter()
            .zip(*loads)
            .zip(members)
            .map(slope)
            .sum::<i128>()
            >= 0
    })
}

const ZONES: [&str; 10] = ["", "", "a", "a/1", "a/2", "b", "b/1", "b/2", "c", "d"];
const WEIGHTS: [u16; 6] = [1, 1, 1, 2, 3, 7];

#[derive(Debug)]
struct Case {
    members: Vec<Placed>,
    copies: u8,
    /// Any lists, also such as no claim would make, of these members and of some that left.
    old: Vec<Vec<u64>>,
}

fn cases() -> impl Strategy<Value = Case> {
    let member = (
        prop::sample::select(&ZONES[..]),
        prop::sample::select(&WEIGHTS[..]),
    );
    let members = prop::collection::vec(member, 1..=6).prop_map(|members| {
        let placed = |(id, (zone, weight)): (u64, (&str, u16))| Placed {
            id: NodeId::new(id),
            zone: zone.parse().unwrap(),
            weight: Weight::new(weight).unwrap(),
        };
        (0..).zip(members).map(placed).collect()
    });
    let list = prop::sample::subsequence((0..8).collect::<Vec<u64>>(), 3).prop_shuffle();
    let old = prop_oneof![
        2 => (0..=3_u32).prop_flat_map(move |bits| prop::collection::vec(list.clone(), 1 << bits)),
        1 => (0..=3_u32).prop_map(|bits| vec![Vec::new(); 1 << bits]),
    ];
    (members, 1..=4_u8, old).prop_map(|(members, copies, old)| Case {
        members,
        copies,
        old,
    })
}

/// The old lists as [`claim`] takes them: all nodes, those that left included.
fn old_nodes(case: &Case) -> Vec<NodeId> {
    case.old
        .iter()
        .flatten()
        .map(|&id| NodeId::new(id))
        .collect()
}

fn shares_of(case: &Case, copies: usize) -> (Spread, Vec<ExactShare>) {
    let spread = Spread::new(&ZoneTree::new(&case.members), case.members.len(), copies);
    let weights: Vec<u64> = case
        .members
        .iter()
        .map(|m| u64::from(m.weight.get()))
        .collect();
    let shares = exact_shares(&spread, &weights, case.old.len());
    (spread, shares)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shares_are_the_fairest_and_no_placement_that_rounds_them_has_fewer_additions(
        case in cases()
    ) {
        let copies = case.members.len().min(usize::from(case.copies));
        let old: Vec<Vec<usize>> = case.old.iter()
            .map(|list| list.iter().map(|&id| usize::try_from(id).unwrap()).collect())
            .collect();
        let all = all_placements(&case.members, copies, &old);
        let placements: Vec<&Vec<usize>> = all.keys().collect();

        let (spread, exact) = shares_of(&case, copies);
        let (scaled, one) = scaled(&exact);
        prop_assert!(are_among(&scaled, one, &placements), "shares {:?}", exact);
        prop_assert!(are_fairest(&scaled, one, &placements, &case.members), "shares {:?}", exact);
        let shares: Vec<Share> = exact.into_iter().map(Share::from).collect();
        let within = |loads: &[usize]| {
            loads.iter().zip(&shares).all(|(load, s)| (s.least..=s.most).contains(load))
        };
        let fewest = all.iter().filter(|(loads, _)| within(loads)).map(|(_, &new)| new).min();

        let departed = |&member: &usize| if member < case.members.len() { member } else { NOBODY };
        let flat: Vec<usize> = old.iter().flatten().map(departed).collect();
        let problem = Problem {
            spread: &spread,
            shares: &shares,
            partitions: old.len(),
            copies,
            old: &flat,
            old_len: flat.len() / old.len(),
        };
        let places = search::solve(&problem);
        let additions = places.chunks(copies).zip(&old)
            .map(|(list, old)| list.iter().filter(|member| !old.contains(member)).count())
            .sum::<usize>();
        let mut loads = vec![0; case.members.len()];
        places.iter().for_each(|&member| loads[member] += 1);
        prop_assert!(within(&loads), "loads {:?} shares {:?}", loads, shares);
        prop_assert_eq!(Some(additions), fewest);
    }

    #[test]
    fn every_beginning_of_every_list_is_spread_as_evenly_as_any_choice_of_so_many(case in cases()) {
        let partitions = PartitionCount::new(u32::try_from(case.old.len()).unwrap()).unwrap();
        let claimed = claim(partitions, case.copies, &case.members, &old_nodes(&case)).unwrap();
        let everyone: Vec<usize> = (0..case.members.len()).collect();
        for list in claimed.places.chunks(everyone.len().min(usize::from(case.copies))) {
            let list: Vec<usize> =
                list.iter().map(|node| usize::try_from(node.get()).unwrap()).collect();
            prop_assert_eq!(list.iter().collect::<BTreeSet<_>>().len(), list.len());
            for beginning in (1..=list.len()).map(|len| &list[..len]) {
                prop_assert!(is_spread(beginning, &everyone, &case.members, 0), "{:?}", list);
            }
        }
    }
}
