//! What a plan says about two rings, and how staged changes become one.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::time::Duration;

use proptest::prelude::*;
use quorate_ring::{
    Change, ChangeError, ClaimError, Class, NodeId, Placed, Plan, PlanError, Rates, Ring, Shift,
    StageError, Staged, Warning, Weight,
};

use crate::common::{additions, first_ring, loads, member, members_in_zones, next_ring};

fn node(id: u64) -> NodeId {
    NodeId::new(id)
}

/// The changes to the members of a ring, for buckets of its largest n.
fn staged(ring: &Ring, changes: &[Change]) -> Staged {
    let staged = ring.stage(ring.members(), changes, &[ring.copies()], &[]);
    staged.expect("the changes can be made")
}

/// Whether a plan for one n says something that `is_it` recognises.
fn warns(plan: &Plan, is_it: impl Fn(&Warning) -> bool) -> bool {
    plan.warnings.iter().any(is_it)
}

#[test]
fn a_join_gives_the_newcomer_its_share_and_takes_nothing_from_anyone_else() {
    let members = [1, 2, 3, 4].map(|id| member(id, "", 100));
    let ring = first_ring(64, 3, &members);
    let Staged {
        ring: next, plan, ..
    } = staged(&ring, &[Change::Join(member(9, "", 100))]);
    let classes = &plan.classes[0];
    let newcomer = classes
        .nodes
        .iter()
        .find(|load| load.node == node(9))
        .unwrap();
    let share = newcomer.share.to_string();
    assert_eq!((newcomer.copies.before, share.as_str()), (0, "38.40"));
    assert!((38..=39).contains(&newcomer.copies.after));
    assert_eq!(plan.copies_moved(), u64::from(newcomer.receives));
    for class in &classes.moves {
        assert_eq!((class.gains.len(), class.losses.len()), (1, 1), "{class:?}");
        assert_eq!(class.gains[0].node, node(9));
    }
    assert_eq!(
        (plan.version, plan.parent, plan.digest),
        (next.version(), ring.digest(), next.digest())
    );
    assert_eq!(plan.warnings, []);
}

#[test]
fn sources_are_asked_for_equally_many_copies() {
    let ring = first_ring(256, 3, &members_in_zones(8, 1));
    let plan = staged(&ring, &[Change::Leave(node(3))]).plan;
    let sends: Vec<u32> = plan.classes[0]
        .nodes
        .iter()
        .map(|load| load.sends)
        .collect();
    assert_eq!(sends.iter().sum::<u32>(), 96);
    assert!(
        sends.iter().all(|sends| (11..=13).contains(sends)),
        "{sends:?}"
    );
}

#[test]
fn a_replacement_like_the_old_node_takes_over_exactly_its_partitions() {
    let ring = first_ring(64, 3, &members_in_zones(6, 3));
    let by = member(9, "z1", 100);
    let plan = staged(&ring, &[Change::Replace { node: node(1), by }]).plan;
    assert_eq!(plan.copies_moved(), u64::from(ring.load_of(node(1))));
    for class in &plan.classes[0].moves {
        assert_eq!(class.gains[0].node, node(9));
        assert_eq!(class.losses, [node(1)]);
    }
}

#[test]
fn several_changes_in_one_claim_move_less_than_one_after_the_other() {
    let ring = first_ring(64, 3, &members_in_zones(5, 1));
    let changes = [
        Change::Leave(node(1)),
        Change::Join(member(8, "z0", 100)),
        Change::Leave(node(2)),
        Change::Join(member(9, "z0", 100)),
    ];
    let together = staged(&ring, &changes).plan.copies_moved();
    let left = ring.load_of(node(1)) + ring.load_of(node(2));
    let one_by_one = changes.iter().fold((ring, 0), |(ring, moved), change| {
        let Staged { ring, plan, .. } = staged(&ring, std::slice::from_ref(change));
        (ring, moved + plan.copies_moved())
    });
    assert_eq!(together, u64::from(left), "what the two that left held");
    assert!(together < one_by_one.1, "{}", one_by_one.1);
}

#[test]
fn nodes_that_are_lost_are_no_sources_and_the_last_copy_needs_force() {
    let ring = first_ring(64, 3, &members_in_zones(6, 1));
    let removed = [1, 2, 3].map(|id| Change::ForceRemove(node(id)));
    let one = staged(&ring, &removed[..1]).plan;
    let is_lost = |gone: u8, kept: u8| {
        move |warning: &Warning| {
            matches!(warning, Warning::CopiesLost { n: 3, lost, left, partitions }
                if (*lost, *left) == (gone, kept) && !partitions.is_empty())
        }
    };
    assert!(
        warns(&one, is_lost(1, 2)) && !one.needs_force(),
        "{:?}",
        one.warnings
    );
    let moved = one.classes.iter().flat_map(|classes| &classes.moves);
    for gain in moved.flat_map(|class| &class.gains) {
        assert!(gain.from.is_some_and(|from| from != node(1)), "{gain:?}");
    }
    let two = staged(&ring, &removed[..2]).plan;
    assert!(warns(&two, is_lost(2, 1)) && two.needs_force());
    let three = staged(&ring, &removed).plan;
    assert!(warns(&three, is_lost(3, 0)));
    let orphans = three.classes[0]
        .moves
        .iter()
        .filter(|class| class.losses.len() == 3);
    assert!(
        orphans
            .flat_map(|class| &class.gains)
            .all(|gain| gain.from.is_none())
    );
}

#[test]
fn losing_a_zone_or_a_copy_needs_force_and_growing_does_not() {
    let ring = first_ring(16, 3, &members_in_zones(3, 3));
    let shrunk = staged(&ring, &[Change::Leave(node(1))]);
    let copies = Shift {
        before: 3,
        after: 2,
    };
    assert_eq!(
        shrunk.plan.warnings,
        [Warning::UnderReplicated { n: 3, copies }]
    );
    assert!(shrunk.plan.needs_force());
    let grown = staged(&shrunk.ring, &[Change::Join(member(5, "z0", 100))]).plan;
    let zones = Shift {
        before: 2,
        after: 2,
    };
    assert_eq!(grown.warnings, [Warning::ZonesShared { n: 3, zones }]);
    assert!(!grown.needs_force());
    let moved = Change::Zone {
        node: node(1),
        zone: "z0".parse().unwrap(),
    };
    let crowded = staged(&ring, &[moved]).plan;
    assert!(crowded.needs_force());
    let shown: Vec<String> = crowded.warnings.iter().map(Warning::to_string).collect();
    assert_eq!(
        shown,
        ["n=3: copies share zones; each partition is in 2 zones (now 3)"]
    );
}

#[test]
fn members_that_cannot_have_what_their_weights_ask_for_are_named() {
    let members = [
        member(1, "", 1000),
        member(2, "", 100),
        member(3, "", 100),
        member(4, "", 1),
    ];
    let ring = first_ring(16, 2, &members[..3]);
    let plan = staged(&ring, &[Change::Join(members[3].clone())]).plan;
    let [
        Warning::Idle { members: idle, .. },
        Warning::Capped {
            members: capped, ..
        },
        Warning::Burdened {
            members: burdened, ..
        },
    ] = &plan.warnings[..]
    else {
        panic!("{:?}", plan.warnings)
    };
    assert_eq!(idle, &[node(4)]);
    let shown = |skew: &quorate_ring::Skew| {
        (
            skew.node,
            skew.by_weight.to_string(),
            skew.share.to_string(),
        )
    };
    assert_eq!(
        capped.iter().map(shown).collect::<Vec<_>>(),
        [(node(1), "26.64".to_owned(), "16".to_owned())]
    );
    assert_eq!(
        burdened.iter().map(shown).collect::<Vec<_>>(),
        [2, 3].map(|id| (node(id), "2.66".to_owned(), "7.96".to_owned()))
    );
}

#[test]
fn classes_that_keep_no_member_are_named() {
    let ring = first_ring(8, 2, &members_in_zones(2, 2));
    let changes = [
        Change::Replace {
            node: node(1),
            by: member(8, "z1", 100),
        },
        Change::Replace {
            node: node(2),
            by: member(9, "z0", 100),
        },
    ];
    let plan = staged(&ring, &changes).plan;
    let partitions = ring.partitions().partitions().collect();
    assert_eq!(plan.warnings, [Warning::NoneStays { n: 2, partitions }]);
}

#[test]
fn an_estimate_is_bound_by_the_node_with_the_most_to_do() {
    let ring = first_ring(64, 3, &members_in_zones(3, 1));
    let plan = staged(&ring, &[Change::Join(member(9, "z0", 100))]).plan;
    let rate = |bytes| NonZeroU64::new(bytes).unwrap();
    let rates = Rates {
        send: rate(100),
        receive: rate(1000),
    };
    let size = |class: Class| 10 * (1 + u64::from(class.partition.get()));
    let estimate = plan.estimate(size, rates);
    let moved = plan.classes[0].moves.iter();
    let partitions: u64 = moved
        .map(|class| {
            size(Class {
                n: 3,
                partition: class.partition,
            })
        })
        .sum();
    assert_eq!(estimate.bytes, partitions);
    let sends: u64 = estimate.nodes.iter().map(|traffic| traffic.sends).sum();
    let newcomer = estimate.nodes.last().unwrap();
    assert_eq!(
        (newcomer.node, newcomer.receives, sends),
        (node(9), partitions, partitions)
    );
    let most = estimate
        .nodes
        .iter()
        .map(|traffic| traffic.sends)
        .max()
        .unwrap();
    assert_eq!(estimate.time, Duration::from_millis(most * 10));
    let faster = plan.estimate(
        size,
        Rates {
            send: rate(10_000),
            ..rates
        },
    );
    assert_eq!(faster.time, Duration::from_millis(partitions));
    assert_eq!(plan.estimate(|_| u64::MAX, rates).bytes, u64::MAX);
}

#[test]
fn a_plan_is_refused_for_rings_that_do_not_follow_each_other_and_for_other_copies() {
    let members = members_in_zones(5, 1);
    let ring = first_ring(16, 3, &members[..4]);
    let next = next_ring(&ring, &members);
    let error = Plan::new(&next, &next, &[3], &[]).unwrap_err();
    assert!(matches!(error, PlanError::NotNext { .. }));
    let other = next_ring(&first_ring(16, 3, &members[..3]), &members);
    assert!(Plan::new(&ring, &other, &[3], &[]).is_err());
    for n in [0, 4] {
        let error = Plan::new(&ring, &next, &[3, n], &[]).unwrap_err();
        assert_eq!(error, PlanError::Copies { n, copies: 3 });
    }
    let by_n: Vec<u8> = Plan::new(&ring, &next, &[3, 1, 3], &[])
        .unwrap()
        .classes
        .iter()
        .map(|classes| classes.n)
        .collect();
    assert_eq!(by_n, [1, 3]);
}

#[test]
fn staged_changes_that_leave_nobody_or_contradict_the_members_are_refused() {
    let ring = first_ring(16, 3, &members_in_zones(2, 1));
    let refused = |changes: &[Change]| {
        let staged = ring.stage(ring.members(), changes, &[3], &[]);
        staged.expect_err("the changes cannot be made")
    };
    let drain = |id| Change::Weight {
        node: node(id),
        weight: Weight::DRAINED,
    };
    assert_eq!(
        refused(&[drain(1), drain(2)]),
        StageError::Claim(ClaimError::AllDrained)
    );
    let leave = [1, 2].map(|id| Change::Leave(node(id)));
    assert_eq!(
        refused(&leave),
        StageError::Claim(ClaimError::MemberCount(0))
    );
    assert_eq!(
        refused(&[Change::Leave(node(7))]),
        StageError::Change(ChangeError::NoMember(node(7)))
    );
}

const ZONES: [&str; 5] = ["", "a", "a/1", "b", "c"];

/// Members with ids from 1, and changes among which each node occurs once.
fn cases() -> impl Strategy<Value = (Vec<Placed>, Vec<Change>)> {
    let kind = (0..6_u8, prop::sample::select(&ZONES[..]), 0..=300_u16);
    (
        prop::collection::vec((prop::sample::select(&ZONES[..]), 1..=300_u16), 1..=12),
        prop::collection::vec(kind, 0..=12),
    )
        .prop_map(|(members, kinds)| {
            let members: Vec<Placed> = (1..)
                .zip(members)
                .map(|(id, (zone, weight))| member(id, zone, weight))
                .collect();
            let changes = members
                .iter()
                .zip(kinds)
                .filter_map(|(old, (kind, zone, weight))| {
                    let (node, new) = (old.id, member(100 + old.id.get(), zone, weight));
                    Some(match kind {
                        0 => Change::Join(new),
                        1 => Change::Leave(node),
                        2 => Change::ForceRemove(node),
                        3 => Change::Replace { node, by: new },
                        4 => Change::Zone {
                            node,
                            zone: new.zone,
                        },
                        5 => Change::Weight {
                            node,
                            weight: new.weight,
                        },
                        _ => return None,
                    })
                });
            let changes = changes.collect();
            (members, changes)
        })
}

/// What a plan says of one n, against both rings looked at naively.
fn assert_true(plan: &Plan, ring: &Ring, next: &Ring, lost: &BTreeSet<NodeId>) {
    for classes in &plan.classes {
        let n = classes.n;
        let gains = |class: &quorate_ring::Move| class.gains.len();
        assert_eq!(
            classes.moves.iter().map(gains).sum::<usize>(),
            additions(ring, next, n)
        );
        for class in &classes.moves {
            let id = Class {
                n,
                partition: class.partition,
            };
            let (old, new) = (ring.primaries(id), next.primaries(id));
            for gain in &class.gains {
                assert!(new.contains(&gain.node) && !old.contains(&gain.node));
                let may_send = |from: &NodeId| old.contains(from) && !lost.contains(from);
                assert_eq!(gain.from.is_some(), old.iter().any(may_send), "{gain:?}");
                assert!(gain.from.iter().all(may_send), "{gain:?}");
            }
            assert!(
                class
                    .losses
                    .iter()
                    .all(|node| old.contains(node) && !new.contains(node))
            );
            assert_eq!(
                old.len() + class.gains.len(),
                new.len() + class.losses.len()
            );
        }
        let (before, after) = (loads(ring, n), loads(next, n));
        let held = |loads: &std::collections::BTreeMap<NodeId, usize>, node| {
            let load = loads.get(&node).copied().unwrap_or(0);
            u32::try_from(load).expect("no ring has so many places")
        };
        for load in &classes.nodes {
            assert_eq!(load.copies.before, held(&before, load.node));
            assert_eq!(load.copies.after, held(&after, load.node));
        }
        let nodes: BTreeSet<NodeId> = classes.nodes.iter().map(|load| load.node).collect();
        assert_eq!(nodes, before.keys().chain(after.keys()).copied().collect());
        let sum = |of: fn(&Shift) -> u32| {
            let zones: u32 = classes.zones.iter().map(|zone| of(&zone.copies)).sum();
            let nodes: u32 = classes.nodes.iter().map(|load| of(&load.copies)).sum();
            (zones, nodes)
        };
        let ((zones, nodes), (zones_after, nodes_after)) = (sum(|s| s.before), sum(|s| s.after));
        assert_eq!((zones, zones_after), (nodes, nodes_after));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_says_what_both_rings_say_and_is_the_same_for_members_in_any_order(
        (members, changes) in cases(),
        copies in 1..=4_u8,
        bits in 0..=6_u32,
        rotated in 0..12_usize,
    ) {
        let ring = first_ring(1 << bits, copies, &members);
        let all: Vec<u8> = (1..=copies).collect();
        let mut turned = members.clone();
        turned.rotate_left(rotated % members.len());
        let staged = ring.stage(&members, &changes, &all, &[]);
        prop_assert_eq!(&staged, &ring.stage(&turned, &changes, &all, &[]));
        let Staged { ring: next, plan, members } = match staged {
            Ok(staged) => staged,
            Err(error) => {
                let nobody = [ClaimError::AllDrained, ClaimError::MemberCount(0)].map(StageError::Claim);
                prop_assert!(nobody.contains(&error), "{}", error);
                return Ok(());
            }
        };
        let lost: BTreeSet<NodeId> = changes.iter().filter_map(Change::lost).collect();
        assert_true(&plan, &ring, &next, &lost);
        let listed = |member: &&Placed| !member.weight.is_drained();
        prop_assert_eq!(next.members(), members.iter().filter(listed).cloned().collect::<Vec<_>>());
        let named = rmp_serde::to_vec_named(&plan).unwrap();
        prop_assert_eq!(&rmp_serde::from_slice::<Plan>(&named).unwrap(), &plan);
        let json = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Plan>(&json).unwrap(), &plan);
        prop_assert!(plan.warnings.iter().all(|warning| !warning.to_string().is_empty()));
    }

    #[test]
    fn without_changes_nothing_moves_and_nothing_needs_force(
        (members, _) in cases(), copies in 1..=4_u8, bits in 0..=6_u32,
    ) {
        let ring = first_ring(1 << bits, copies, &members);
        let all: Vec<u8> = (1..=copies).collect();
        let plan = ring.stage(&members, &[], &all, &[]).unwrap().plan;
        prop_assert_eq!(plan.copies_moved(), 0);
        prop_assert!(plan.classes.iter().all(|classes| classes.moves.is_empty()));
        prop_assert!(!plan.needs_force());
    }
}
