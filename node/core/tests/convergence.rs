//! Vnodes that exchange objects in any order, repeat them, lose them, crash and forget, held against
//! histories kept as sets.

mod model;

use std::collections::BTreeSet;

use model::{KEYS, LAST, Op, VNODES, World, op};
use proptest::prelude::*;
use quorate_core::causality::{Object, ReplyView, merge, merge_hints, merge_replies};
use quorate_protocol::Dot;

fn ops(length: usize) -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 1..length)
}

/// As long as no context is dropped, objects say everything, and say it exactly.
fn without_collection(length: usize) -> impl Strategy<Value = Vec<Op>> {
    ops(length).prop_map(|ops| {
        ops.into_iter()
            .filter(|op| !matches!(op, Op::Collect { .. } | Op::Quiet { .. }))
            .collect()
    })
}

fn run(ops: &[Op]) -> World {
    let mut world = World::new();
    ops.iter().for_each(|op| world.step(op));
    world
}

fn dots(object: &Object) -> Vec<Dot> {
    object.dots().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn an_object_holds_exactly_what_no_known_write_has_seen(ops in without_collection(60)) {
        let mut world = World::new();
        for op in &ops {
            world.step(op);
            for vnode in &world.vnodes {
                for key in 0..KEYS {
                    prop_assert_eq!(dots(&vnode.objects[key]), world.live(&vnode.known[key]));
                    prop_assert_eq!(&vnode.objects[key].context, &world.context(&vnode.known[key]));
                }
            }
        }
    }

    #[test]
    fn a_context_entry_claims_only_what_its_reader_knew(ops in without_collection(60)) {
        let world = run(&ops);
        for token in &world.tokens {
            for (dot, event) in world.events.iter().filter(|(_, event)| event.put && event.key == token.key) {
                prop_assert_eq!(token.seen.covers(*dot), token.exact.contains(dot), "{} {:?}", dot, event);
            }
        }
    }

    #[test]
    fn a_clock_and_an_object_never_deny_a_version_that_lives(ops in ops(80)) {
        let mut world = World::new();
        for op in &ops {
            world.step(op);
            for key in 0..KEYS {
                let live: BTreeSet<Dot> = world.live(&world.known_anywhere(key)).into_iter().collect();
                for vnode in &world.vnodes {
                    let denied = live.iter().find(|dot| vnode.clock.contains(**dot) && !vnode.objects[key].has(**dot));
                    prop_assert_eq!(denied, None);
                }
            }
        }
    }

    #[test]
    fn no_version_stands_beside_one_that_its_writer_had_seen(ops in ops(80)) {
        let mut world = World::new();
        for op in &ops {
            world.step(op);
            for object in world.vnodes.iter().flat_map(|vnode| &vnode.objects) {
                for dot in object.dots() {
                    let seen = &world.events[&dot].seen;
                    prop_assert!(object.dots().all(|other| !seen.contains(&other)), "{object:?}");
                    prop_assert!(!object.context.covers(dot), "{object:?}");
                }
            }
        }
    }

    #[test]
    fn after_healing_all_replicas_are_equal_and_right(ops in ops(80)) {
        let mut world = run(&ops);
        let expected: Vec<_> = (0..KEYS).map(|key| world.live(&world.known_anywhere(key))).collect();
        world.heal();
        for vnode in &world.vnodes {
            prop_assert_eq!(&vnode.clock, &world.vnodes[0].clock);
            for (object, expected) in vnode.objects.iter().zip(&expected) {
                prop_assert_eq!(&dots(object), expected);
            }
        }
    }

    #[test]
    fn at_rest_no_log_and_no_context_is_left(ops in ops(80)) {
        let mut world = run(&ops.into_iter().filter(|op| !matches!(op, Op::Crash { .. })).collect::<Vec<_>>());
        world.heal();
        (0..VNODES).for_each(|vnode| world.step(&Op::Sync { vnode }));
        (0..VNODES).for_each(|vnode| world.step(&Op::Collect { vnode }));
        for vnode in &world.vnodes {
            prop_assert!(vnode.log.is_empty());
            prop_assert!(vnode.objects.iter().all(|object| object.context.is_empty()));
        }
    }

    #[test]
    fn writes_that_follow_each_other_never_become_siblings(ops in ops(80), reads in any::<bool>()) {
        let mut world = World::new();
        for op in &ops {
            // One client: each of its writes has seen the one before it, by its reply or by a read.
            if let Op::Write { vnode, key, put, .. } = *op {
                world.write(vnode, key, Some(LAST), put);
                if reads {
                    world.step(&Op::Read { vnode, key });
                }
            } else if !matches!(op, Op::Read { .. } | Op::FallbackWrite { .. } | Op::Crash { .. }) {
                world.step(op);
            }
            let objects = world.vnodes.iter().flat_map(|vnode| &vnode.objects);
            prop_assert!(objects.map(|object| object.versions.len()).max() <= Some(1));
        }
    }

    #[test]
    fn merging_is_idempotent_commutative_and_associative(ops in ops(80), order in order()) {
        let world = run(&ops);
        for key in 0..KEYS {
            let states = State::all(&world, key);
            let pick = |at: usize| &states[order[at] % states.len()];
            let (a, b, c) = (pick(0), pick(1), pick(2));
            prop_assert_eq!(&a.join(a), a);
            prop_assert_eq!(a.join(b), b.join(a));
            prop_assert_eq!(a.join(b).join(c), a.join(&b.join(c)));
        }
    }

    #[test]
    fn replies_become_the_same_object_in_any_order(ops in ops(80), order in order()) {
        let world = run(&ops);
        for key in 0..KEYS {
            let states = State::all(&world, key);
            let views: Vec<ReplyView<'_>> = states.iter().map(State::reply).collect();
            let read = merge_replies(&views);
            let shuffled: Vec<ReplyView<'_>> = order.iter().filter_map(|at| views.get(*at)).copied().collect();
            prop_assert_eq!(&merge_replies(&shuffled), &read);
            // Reading all places and merging all places is the same.
            let merged = states.iter().skip(1).fold(states[0].clone(), |merged, state| merged.join(state));
            prop_assert_eq!(read, merged.object);
        }
    }
}

/// Any order of all places: three vnodes and at most as many hints.
fn order() -> impl Strategy<Value = Vec<usize>> {
    Just((0..2 * VNODES).collect()).prop_shuffle()
}

/// One place's copy of one key with the dots of it that the place has seen.
#[derive(Clone, Debug, PartialEq)]
struct State {
    object: Object,
    seen: Vec<Dot>,
}

impl State {
    fn all(world: &World, key: usize) -> Vec<Self> {
        let vnodes = world.vnodes.iter().map(|vnode| {
            let of_key = world
                .events
                .iter()
                .filter(|(_, event)| event.key == key)
                .map(|(dot, _)| *dot);
            Self::new(
                &vnode.objects[key],
                of_key.filter(|dot| vnode.clock.contains(*dot)),
            )
        });
        let hints = world
            .hints(key)
            .map(|hint| Self::new(&hint.object, hint.settles.iter().copied()));
        vnodes.chain(hints).collect()
    }

    fn new(object: &Object, seen: impl Iterator<Item = Dot>) -> Self {
        let seen: BTreeSet<Dot> = seen.collect();
        Self {
            object: object.clone(),
            seen: seen.into_iter().collect(),
        }
    }

    fn reply(&self) -> ReplyView<'_> {
        ReplyView {
            object: &self.object,
            seen: &self.seen,
        }
    }

    fn join(&self, other: &Self) -> Self {
        let object = merge(
            &self.object,
            &|dot| self.seen.contains(&dot),
            &other.object,
            &other.seen,
        )
        .object;
        let hints = merge_hints(&self.object, &self.seen, &other.object, &other.seen).object;
        assert_eq!(object, hints, "one rule for clocks and for settled dots");
        Self::new(&object, self.seen.iter().chain(&other.seen).copied())
    }
}
