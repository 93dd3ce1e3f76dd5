//! Clocks and version vectors against plain sets of (actor, counter).

use std::collections::BTreeSet;

use proptest::prelude::*;
use quorate_core::causality::{CausalityError, Clock, VersionVector};
use quorate_protocol::peer::{ActorClock, ENDLESS, is_end};
use quorate_protocol::{ActorId, Dot};

type Dots = BTreeSet<Dot>;

const ACTORS: u64 = 4;
const COUNTERS: u64 = 24;

fn dot(actor: u64, counter: u64) -> Dot {
    Dot::new(actor_of(actor), counter)
}

/// The actor of that number, which is never the entry of those that are folded.
fn actor_of(number: u64) -> ActorId {
    ActorId::new(number + 1)
}

fn dots() -> impl Strategy<Value = Vec<Dot>> {
    prop::collection::vec(
        (0..ACTORS, 1..COUNTERS).prop_map(|(actor, counter)| dot(actor, counter)),
        0..70,
    )
}

fn clock(dots: impl IntoIterator<Item = Dot>) -> Clock {
    let mut clock = Clock::new();
    for dot in dots {
        clock.add(dot);
    }
    clock
}

fn set(dots: &[Dot]) -> Dots {
    dots.iter().copied().collect()
}

fn expand(runs: impl Iterator<Item = (ActorId, u64, u64)>) -> Vec<Dot> {
    runs.flat_map(|(actor, first, length)| {
        (first..first + length).map(move |counter| Dot::new(actor, counter))
    })
    .collect()
}

fn base(dots: &Dots, actor: u64) -> u64 {
    (1..)
        .take_while(|counter| dots.contains(&dot(actor, *counter)))
        .last()
        .unwrap_or(0)
}

proptest! {
    #[test]
    fn a_clock_is_the_set_of_the_dots_added(added in dots()) {
        let mut clock = Clock::new();
        let mut oracle = Dots::new();
        for dot in added {
            prop_assert_eq!(clock.add(dot), oracle.insert(dot));
        }
        for actor in 0..ACTORS {
            let last = oracle.iter().filter(|dot| dot.actor == actor_of(actor)).map(|dot| dot.counter).max();
            prop_assert_eq!(clock.base(actor_of(actor)), base(&oracle, actor));
            prop_assert_eq!(clock.last(actor_of(actor)), last.unwrap_or(0));
            for counter in 0..COUNTERS + 2 {
                prop_assert_eq!(clock.contains(dot(actor, counter)), oracle.contains(&dot(actor, counter)));
            }
        }
        let actors: BTreeSet<ActorId> = oracle.iter().map(|dot| dot.actor).collect();
        prop_assert_eq!(clock.actors().collect::<BTreeSet<_>>(), actors);
        prop_assert_eq!(clock.len_actors() == 0, clock.is_empty());
    }

    #[test]
    fn equal_sets_are_equal_clocks_whatever_the_order(added in dots().prop_shuffle(), other in Just(()).prop_flat_map(|()| dots())) {
        let sorted = clock(set(&added));
        prop_assert_eq!(&clock(added.iter().copied()), &sorted);
        prop_assert_eq!(clock(other.iter().copied()) == sorted, set(&other) == set(&added));
    }

    #[test]
    fn merging_intersecting_and_missing_are_those_of_sets(left in dots(), right in dots()) {
        let (a, b) = (set(&left), set(&right));
        let (left, right) = (clock(left), clock(right));
        let mut union = left.clone();
        union.merge(&right);
        prop_assert_eq!(union, clock(a.union(&b).copied()));
        prop_assert_eq!(left.intersect(&right), clock(a.intersection(&b).copied()));
        prop_assert_eq!(expand(left.missing_from(&right)), b.difference(&a).copied().collect::<Vec<_>>());
        prop_assert_eq!(left.count_missing_from(&right), b.difference(&a).count() as u64);
        prop_assert_eq!(left.covers(&right), b.is_subset(&a));
    }

    #[test]
    fn a_clock_comes_back_from_the_wire(added in dots()) {
        let clock = clock(added);
        prop_assert_eq!(Clock::from_wire(&clock.to_wire()), Ok(clock));
    }

    #[test]
    fn whatever_comes_from_the_wire_and_is_taken_is_in_the_only_form(
        entries in prop::collection::vec(
            (0..ACTORS, 0..4u64, prop::collection::vec((0..20u64, 0..4u64), 0..4)).prop_map(|(actor, base, runs)| ActorClock {
                actor: actor_of(actor), base, runs,
            }), 0..3),
    ) {
        if let Ok(clock) = Clock::from_wire(&entries) {
            prop_assert_eq!(clock.to_wire(), entries);
        }
    }

    #[test]
    fn a_context_is_covered_only_without_gaps(added in dots(), context in dots()) {
        let oracle = set(&added);
        let context: VersionVector = context.into_iter().collect();
        let covered = context.iter().all(|(actor, counter)| (1..=counter).all(|at| oracle.contains(&Dot::new(actor, at))));
        prop_assert_eq!(clock(added).covers_context(&context), covered);
    }

    #[test]
    fn a_version_vector_is_the_set_of_all_writes_up_to_its_counters(left in dots(), right in dots()) {
        let downward = |dots: &[Dot]| dots.iter().flat_map(|dot| (1..=dot.counter).map(|at| Dot::new(dot.actor, at))).collect::<Dots>();
        let (a, b) = (downward(&left), downward(&right));
        let mut vector: VersionVector = left.into_iter().collect();
        let other: VersionVector = right.into_iter().collect();
        prop_assert_eq!(vector.includes(&other), b.is_subset(&a));
        vector.join(&other);
        for actor in 0..ACTORS {
            for counter in 0..COUNTERS + 2 {
                let dot = dot(actor, counter);
                prop_assert_eq!(vector.covers(dot), a.contains(&dot) || b.contains(&dot));
            }
        }
        prop_assert_eq!(VersionVector::from_wire(&vector.to_wire()), Ok(vector));
    }
}

#[test]
fn counter_zero_names_no_write() {
    let mut clock = Clock::new();
    assert!(!clock.add(dot(1, 0)));
    assert!(clock.is_empty());
    assert!(!clock.contains(dot(1, 0)));
    let mut vector = VersionVector::new();
    vector.insert(dot(1, 0));
    assert!(vector.is_empty());
    assert!(!vector.covers(dot(1, 0)));
}

#[test]
fn the_largest_counters_overflow_nothing() {
    let actor = ActorId::new(7);
    let entry = |base, runs: &[(u64, u64)]| {
        [ActorClock {
            actor,
            base,
            runs: runs.to_vec(),
        }]
    };
    let mut last = Clock::from_wire(&entry(0, &[(ENDLESS - 2, 1)])).unwrap();
    let all = Clock::from_wire(&entry(ENDLESS - 1, &[])).unwrap();
    assert!(last.add(Dot::new(actor, ENDLESS - 1)));
    for beyond in [ENDLESS, u64::MAX] {
        assert!(!last.add(Dot::new(actor, beyond)));
    }
    assert!(all.covers(&last));
    assert_eq!(
        last.missing_from(&all).collect::<Vec<_>>(),
        [(actor, 1, ENDLESS - 3)]
    );
    last.merge(&all);
    assert_eq!(last, all);
    assert!(!last.add(Dot::new(actor, 5)));
    assert_eq!(Clock::from_wire(&last.to_wire()), Ok(all.clone()));
    last.merge(&last.rest_of([actor]));
    assert!(last.is_complete(actor));
    assert_eq!(all.count_missing_from(&last), 1);
}

#[test]
fn malformed_clocks_are_refused_by_name() {
    let actor = ActorId::new(7);
    let read = |base, runs: &[(u64, u64)]| {
        Clock::from_wire(&[ActorClock {
            actor,
            base,
            runs: runs.to_vec(),
        }])
    };
    let bad = |first, length| {
        Err(CausalityError::BadRun {
            actor,
            first,
            length,
        })
    };
    assert_eq!(read(0, &[]), Err(CausalityError::EmptyActor(actor)));
    assert_eq!(read(3, &[(4, 1)]), bad(4, 1));
    assert_eq!(read(3, &[(0, 1)]), bad(0, 1));
    assert_eq!(read(0, &[(1, 5)]), bad(1, 5));
    assert_eq!(read(3, &[(6, 0)]), bad(6, 0));
    assert_eq!(read(3, &[(6, 2), (8, 1)]), bad(8, 1));
    assert_eq!(read(3, &[(6, u64::MAX)]), bad(6, u64::MAX));
    assert_eq!(read(ENDLESS - 1, &[(6, 1)]), bad(6, 1));
    assert_eq!(read(ENDLESS, &[]), bad(1, ENDLESS));
    assert_eq!(read(3, &[(ENDLESS + 1, 1)]), bad(ENDLESS + 1, 1));
    let end = (9, ENDLESS - 8);
    assert_eq!(read(3, &[end, (ENDLESS, 1)]), bad(ENDLESS, 1));
    assert!(read(8, &[end]).is_ok_and(|clock| clock.is_complete(actor)));
    let entry = ActorClock {
        actor,
        base: 1,
        runs: Vec::new(),
    };
    assert_eq!(
        Clock::from_wire(&[entry.clone(), entry]),
        Err(CausalityError::ActorOrder(actor))
    );
}

#[test]
fn malformed_contexts_are_refused_by_name() {
    let (low, high) = (ActorId::new(1), ActorId::new(2));
    assert_eq!(
        VersionVector::from_wire(&[(low, 0)]),
        Err(CausalityError::ZeroCounter(low))
    );
    assert_eq!(
        VersionVector::from_wire(&[(high, 1), (low, 1)]),
        Err(CausalityError::ActorOrder(low))
    );
    assert_eq!(
        VersionVector::from_wire(&[(low, 1), (low, 2)]),
        Err(CausalityError::ActorOrder(low))
    );
    let many: Vec<_> = (0..20_000).map(|actor| (actor_of(actor), 1)).collect();
    assert!(matches!(
        VersionVector::from_wire(&many),
        Err(CausalityError::TooManyActors { found: 20_000, .. })
    ));
}

/// Counters that are looked at one by one; what is beyond is alike.
const LIMIT: u64 = COUNTERS + 2;

/// Some dots, and for some actors from which counter on all belong to it.
fn closed() -> impl Strategy<Value = (Vec<Dot>, Vec<(u64, u64)>)> {
    let ends = prop::collection::btree_map(0..ACTORS, 1..COUNTERS, 0..3);
    (dots(), ends.prop_map(|ends| ends.into_iter().collect()))
}

fn closed_clock((dots, ends): &(Vec<Dot>, Vec<(u64, u64)>)) -> Clock {
    let mut clock = clock(dots.iter().copied());
    for &(actor, first) in ends {
        // All but what is before the end.
        let before: Vec<Dot> = (1..first).map(|at| dot(actor, at)).collect();
        clock.merge(&self::clock(before).rest_of([actor_of(actor)]));
    }
    clock
}

fn closed_set((dots, ends): &(Vec<Dot>, Vec<(u64, u64)>)) -> Dots {
    let mut all = set(dots);
    for &(actor, first) in ends {
        all.extend((first..=LIMIT).chain([ENDLESS]).map(|at| dot(actor, at)));
    }
    all
}

fn seen(clock: &Clock) -> Dots {
    let counters = || (1..=LIMIT).chain([ENDLESS]);
    let all = (0..ACTORS).flat_map(|actor| counters().map(move |at| dot(actor, at)));
    all.filter(|dot| clock.contains(*dot)).collect()
}

/// Of missing dots that have no end there is one to learn.
fn to_learn(missing: &Dots, ends: &[(u64, u64)]) -> u64 {
    let of_actor = |actor: u64| {
        let has = |at: u64| missing.contains(&dot(actor, at));
        let end = ends
            .iter()
            .find(|(of, _)| *of == actor)
            .map_or(LIMIT + 1, |end| end.1);
        let beyond = (end..=LIMIT).rev().take_while(|&at| has(at)).last();
        let first = beyond.filter(|_| has(ENDLESS)).unwrap_or(LIMIT + 1);
        (1..first).filter(|&at| has(at)).count() as u64 + u64::from(has(ENDLESS))
    };
    (0..ACTORS).map(of_actor).sum()
}

proptest! {
    #[test]
    fn closed_actors_are_sets_without_end(left in closed(), right in closed()) {
        let (a, b) = (closed_set(&left), closed_set(&right));
        let ends = right.1.clone();
        let (left, right) = (closed_clock(&left), closed_clock(&right));
        prop_assert_eq!(seen(&left), a.clone());
        let mut union = left.clone();
        union.merge(&right);
        let mut other_way = right.clone();
        other_way.merge(&left);
        prop_assert_eq!(&union, &other_way);
        prop_assert_eq!(seen(&union), a.union(&b).copied().collect::<Dots>());
        prop_assert_eq!(seen(&left.intersect(&right)), a.intersection(&b).copied().collect::<Dots>());
        let missing: Dots = b.difference(&a).copied().collect();
        prop_assert_eq!(left.count_missing_from(&right), to_learn(&missing, &ends));
        prop_assert_eq!(left.covers(&right), missing.is_empty());
        for clock in [left, right, union] {
            prop_assert_eq!(Clock::from_wire(&clock.to_wire()), Ok(clock));
        }
    }

    #[test]
    fn an_actor_with_its_rest_is_complete(some in closed(), added in dots()) {
        let clock = closed_clock(&some);
        let actors = || (0..ACTORS).map(actor_of);
        let rest = clock.rest_of(actors());
        prop_assert!(rest.covers(&clock.rest_of(actors())));
        let both = clock.intersect(&rest);
        prop_assert!(both.runs().all(|(_, first, length)| is_end(first, length)), "{both:?}");
        let mut whole = clock.clone();
        whole.merge(&rest);
        for actor in actors() {
            prop_assert!(whole.is_complete(actor) && whole.known_up_to(actor, u64::MAX));
            prop_assert_eq!(whole.last(actor), whole.base(actor));
            prop_assert!(clock.is_closed(actor) || clock.last(actor) == whole.last(actor));
        }
        // What comes late changes nothing any more, and nothing is told twice.
        prop_assert!(added.iter().all(|&dot| !whole.add(dot)));
    }
}

#[test]
fn a_closed_actor_is_complete_once_the_last_gap_is_filled() {
    let actor = actor_of(1);
    let rest = clock([dot(1, 1), dot(1, 3)]).rest_of([actor]);
    let mut late = clock([dot(1, 1)]);
    late.merge(&rest);
    assert!(late.is_closed(actor) && !late.is_complete(actor));
    assert!(!late.known_up_to(actor, 4));
    assert!(late.add(dot(1, 3)));
    assert!(late.is_complete(actor));
    assert_eq!((late.base(actor), late.last(actor)), (3, 3));
}

/// Dots of some actors in each of three generations.
fn dots_of_generations() -> impl Strategy<Value = Vec<Dot>> {
    let one = (1..=3_u16, 0..3_u64, 1..6_u64);
    let dot = one.prop_map(|(generation, number, counter)| {
        Dot::new(ActorId::drawn(generation, number << 16), counter)
    });
    prop::collection::vec(dot, 0..30)
}

/// A clock that has these and, of so many generations, everything.
fn folded(dots: &[Dot], generations: u64) -> Clock {
    let mut clock = clock(dots.iter().copied());
    clock.merge(&Clock::of_folded(generations));
    clock
}

fn all_dots_of_generations() -> Vec<Dot> {
    let actors = (1..=3_u16).flat_map(|generation| {
        (0..3_u64).map(move |number| ActorId::drawn(generation, number << 16))
    });
    let dots = actors.flat_map(|actor| (1..7).map(move |counter| Dot::new(actor, counter)));
    dots.collect()
}

proptest! {
    #[test]
    fn a_folded_clock_has_all_dots_of_its_generations_and_its_own(
        dots in dots_of_generations(), generations in 0..=3_u64,
    ) {
        let clock = folded(&dots, generations);
        for dot in all_dots_of_generations() {
            let over = dot.actor.generation() <= generations;
            prop_assert_eq!(clock.contains(dot), over || dots.contains(&dot));
            prop_assert_eq!(clock.has_folded(dot.actor), over);
            prop_assert!(!over || clock.known_up_to(dot.actor, u64::MAX));
            prop_assert!(!over || !clock.clone().add(dot));
        }
        prop_assert!(clock.actors().all(|actor| actor.generation() > generations));
        prop_assert_eq!(Clock::from_wire(&clock.to_wire()), Ok(clock));
    }

    #[test]
    fn folded_clocks_unite_meet_and_compare_as_sets(
        one in dots_of_generations(), of_one in 0..=3_u64,
        other in dots_of_generations(), of_other in 0..=3_u64,
    ) {
        let (left, right) = (folded(&one, of_one), folded(&other, of_other));
        let both = left.intersect(&right);
        let mut either = left.clone();
        either.merge(&right);
        let mut covers = of_one >= of_other;
        for dot in all_dots_of_generations() {
            let (here, there) = (left.contains(dot), right.contains(dot));
            prop_assert_eq!(both.contains(dot), here && there);
            prop_assert_eq!(either.contains(dot), here || there);
            covers &= here || !there;
        }
        prop_assert_eq!(left.covers(&right), covers);
        prop_assert_eq!(right.intersect(&left), both.clone());
        prop_assert!(left.covers(&both) && either.covers(&left) && either.covers(&right));
        let mut turned = right.clone();
        turned.merge(&left);
        prop_assert_eq!(turned, either);
        let missing = expand(left.missing_from(&right).filter(|(actor, ..)| *actor != ActorId::FOLDED));
        prop_assert!(missing.iter().all(|&dot| right.contains(dot) && !left.contains(dot)));
        prop_assert_eq!(Clock::from_wire(&both.to_wire()), Ok(both));
    }
}

#[test]
fn an_entry_for_folded_actors_that_is_none_is_refused() {
    let fold = |base, runs: Vec<(u64, u64)>| ActorClock {
        actor: ActorId::FOLDED,
        base,
        runs,
    };
    for bad in [
        fold(65_536, vec![]),
        fold(1, vec![(3, 1)]),
        fold(0, vec![(2, 1)]),
    ] {
        let error = Clock::from_wire(&[bad]).unwrap_err();
        assert_eq!(error, CausalityError::BadFold(ActorId::FOLDED));
    }
    let actor = ActorId::drawn(1, 99 << 16);
    let beside = ActorClock {
        actor,
        base: 1,
        runs: vec![],
    };
    let error = Clock::from_wire(&[fold(1, vec![]), beside]).unwrap_err();
    assert_eq!(error, CausalityError::BadFold(actor));
}
