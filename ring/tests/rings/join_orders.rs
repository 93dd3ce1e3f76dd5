//! Small clusters, exhaustively: every way in which nodes can come and go.
//!
//! Rings grown step by step once had two copies of a partition on one node where the ring closes
//! (`riak_core` issue 913: 16 partitions, five nodes joined at once). Here nothing wraps around,
//! and this is how we know.

use quorate_ring::{Placed, Ring};

use crate::common::{additions, assert_well_formed, first_ring, imbalance, members_in_zones};

/// All ways to add the given nodes in one or several steps; a step is a set of nodes.
fn ways(nodes: &[usize]) -> Vec<Vec<Vec<usize>>> {
    if nodes.is_empty() {
        return vec![Vec::new()];
    }
    let mut ways_found = Vec::new();
    for bits in 1..1_u32 << nodes.len() {
        let is_in = |at: usize| bits & (1 << at) != 0;
        let step: Vec<usize> = (0..nodes.len())
            .filter(|&at| is_in(at))
            .map(|at| nodes[at])
            .collect();
        let rest: Vec<usize> = (0..nodes.len())
            .filter(|&at| !is_in(at))
            .map(|at| nodes[at])
            .collect();
        for mut way in ways(&rest) {
            way.insert(0, step.clone());
            ways_found.push(way);
        }
    }
    ways_found
}

fn assert_balanced(ring: &Ring) {
    assert_well_formed(ring);
    for n in 1..=ring.copies() {
        assert!(
            imbalance(ring, n) <= 1,
            "{:?}",
            crate::common::loads(ring, n)
        );
    }
}

fn of(all: &[Placed], nodes: &[usize]) -> Vec<Placed> {
    nodes.iter().map(|&node| all[node].clone()).collect()
}

#[test]
fn every_order_of_joins_gives_distinct_nodes_and_equal_loads() {
    let all = members_in_zones(5, 1);
    for partitions in [1, 2, 4, 8, 16, 32] {
        for copies in 1..=3 {
            for way in ways(&[0, 1, 2, 3, 4]) {
                let mut present = way[0].clone();
                let mut ring = first_ring(partitions, copies, &of(&all, &present));
                assert_balanced(&ring);
                for step in &way[1..] {
                    present.extend(step);
                    let next = ring.next(&of(&all, &present)).unwrap();
                    assert_balanced(&next);
                    let joined = |node: &usize| next.load_of(all[*node].id) as usize;
                    assert_eq!(
                        additions(&ring, &next, copies),
                        step.iter()
                            .map(joined)
                            .sum::<usize>()
                            .max(missing(&ring, &next)),
                        "only newcomers and empty places are filled"
                    );
                    ring = next;
                }
            }
        }
    }
}

/// How many more places the lists of `new` have than those of `old`.
fn missing(old: &Ring, new: &Ring) -> usize {
    let places = |ring: &Ring| {
        crate::common::loads(ring, ring.copies())
            .values()
            .sum::<usize>()
    };
    places(new) - places(old)
}

#[test]
fn every_order_of_leaves_gives_distinct_nodes_and_equal_loads() {
    let all = members_in_zones(5, 1);
    for partitions in [1, 4, 16, 32] {
        for copies in 1..=3 {
            for way in ways(&[0, 1, 2, 3, 4]) {
                let mut present = vec![0, 1, 2, 3, 4];
                let mut ring = first_ring(partitions, copies, &all);
                // The last step would leave nobody.
                for step in &way[..way.len() - 1] {
                    present.retain(|node| !step.contains(node));
                    ring = ring.next(&of(&all, &present)).unwrap();
                    assert_balanced(&ring);
                }
            }
        }
    }
}

#[test]
fn a_ring_of_one_or_two_nodes_leaves_places_empty_and_fills_them_when_others_come() {
    let all = members_in_zones(3, 3);
    let one = first_ring(8, 3, &all[..1]);
    assert_eq!(
        (
            one.under_replicated(1).count(),
            one.under_replicated(2).count()
        ),
        (0, 8)
    );
    let two = one.next(&all[..2]).unwrap();
    assert_eq!(
        (
            two.under_replicated(2).count(),
            two.under_replicated(3).count()
        ),
        (0, 8)
    );
    assert_eq!(additions(&one, &two, 3), 8);
    let three = two.next(&all).unwrap();
    assert_eq!(three.under_replicated(3).count(), 0);
    assert_eq!(additions(&two, &three, 3), 8);
    assert_eq!(three.under_replicated(4).count(), 8);
}
