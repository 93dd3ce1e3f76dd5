//! The counterexamples to a store without one of the rules, each as a schedule: with the rules it holds, without the
//! one it is about it does not.

use quorate_core::Plant;
use quorate_ring::NodeId;

use crate::script::Script;
use crate::wrong::Wrong;

type Schedule = fn(&mut Script);

fn holds(strict: bool, schedule: Schedule, wrong: Option<Wrong>) -> Result<(), String> {
    holds_without(strict, schedule, wrong, None)
}

fn holds_without(
    strict: bool,
    schedule: Schedule,
    wrong: Option<Wrong>,
    besides: Option<Plant>,
) -> Result<(), String> {
    let mut script = Script::new(wrong, strict);
    besides
        .into_iter()
        .for_each(|plant| script.breaks_besides(plant));
    schedule(&mut script);
    script.end()
}

/// A schedule of strict quorums.
fn needs(wrong: Wrong, schedule: Schedule) {
    check(true, wrong, schedule);
}

/// One with fallbacks: only what is there in the end is judged.
fn needs_in_the_end(wrong: Wrong, schedule: Schedule) {
    check(false, wrong, schedule);
}

fn check(strict: bool, wrong: Wrong, schedule: Schedule) {
    assert_eq!(holds(strict, schedule, None), Ok(()));
    let found = holds(strict, schedule, Some(wrong));
    assert!(found.is_err(), "{wrong:?} changes nothing");
    eprintln!("{wrong:?}: {}", found.unwrap_err());
}

/// What two rules keep, each of them without the other.
fn is_kept_twice(strict: bool, wrong: Wrong, by: Plant, schedule: Schedule) {
    assert_eq!(holds(strict, schedule, None), Ok(()));
    assert_eq!(holds(strict, schedule, Some(wrong)), Ok(()));
    assert_eq!(holds_without(strict, schedule, None, Some(by)), Ok(()));
    let found = holds_without(strict, schedule, Some(wrong), Some(by));
    assert!(found.is_err(), "{wrong:?} and {by:?} change nothing");
    eprintln!("{wrong:?} and {by:?}: {}", found.unwrap_err());
}

/// C is to take the place of A. Everybody knows, and C is complete if it can be.
fn joint_new(script: &mut Script) {
    let (a, b, p, c) = (script.a, script.b, script.p, script.c);
    script.replace(a, c);
    script.adopt(&[a, b, p, c]);
    script.among(&[a, b, p, c, script.f], 2_000);
    script.go_on();
}

#[test]
fn rule_1_the_new_set_is_read_before_the_old_one_is_left() {
    needs(Wrong::NoJointNew, |script| {
        let (a, b, p, c) = (script.a, script.b, script.p, script.c);
        joint_new(script);
        script.adopt(&[c, p]);
        script.put(p, &[a, b, c]);
        script.read(a, &[b]);
    });
}

#[test]
fn rule_2_no_version_follows_before_the_last_one_is_adopted() {
    needs(Wrong::NoBarrier, |script| {
        let (a, b, p, c) = (script.a, script.b, script.p, script.c);
        joint_new(script);
        script.adopt(&[c, p]);
        script.go_on();
        script.adopt(&[c, p]);
        script.put(p, &[a, b, c]);
        script.read(a, &[b]);
    });
}

#[test]
fn rule_3_nobody_answers_a_read_of_another_epoch() {
    needs(Wrong::Replica(Plant::FenceOpen), |script| {
        let (a, b, p, c, f) = (script.a, script.b, script.p, script.c, script.f);
        script.replace(a, c);
        script.adopt(&[a, b, p, c, f]);
        script.among(&[a, b, p, c, script.f], 2_000);
        script.go_on();
        script.adopt(&[a, b, p, c]);
        script.go_on();
        script.adopt(&[c, p]);
        script.put(p, &[c]);
        script.read(f, &[a, b]);
    });
}

#[test]
fn rule_4_a_write_needs_a_quorum_in_each_set() {
    needs(Wrong::Replica(Plant::OneQuorumForBoth), |script| {
        let (a, b, p, c, f) = (script.a, script.b, script.p, script.c, script.f);
        script.replace(a, c);
        script.adopt(&[a, b, p, c, f]);
        script.among(&[a, b, p, c, script.f], 1_000);
        script.put(a, &[c]);
        script.read(f, &[b, p]);
    });
}

#[test]
fn rule_4_a_read_takes_its_answers_from_one_set() {
    needs(Wrong::Replica(Plant::UnionRead), |script| {
        let (a, b, p, c, f) = (script.a, script.b, script.p, script.c, script.f);
        script.replace(a, c);
        script.adopt(&[a, b, p, c, f]);
        script.among(&[a, b, p, c, script.f], 2_000);
        script.put(b, &[p]);
        script.read(f, &[a, c]);
    });
}

#[test]
fn rule_5_a_newcomer_counts_only_clocks_of_its_epoch() {
    needs(Wrong::Replica(Plant::ClockOfBeforeTheFence), |script| {
        let (a, b, p, c) = (script.a, script.b, script.p, script.c);
        script.replace(a, c);
        script.adopt(&[c]);
        script.among(&[a, b, p, c, script.f], 1_000);
        script.put(a, &[b]);
        script.part(a, c);
        script.part(b, c);
        script.adopt(&[a, b, p]);
        script.talk(500, &|from, to, _| {
            (from, to) == (p, c) || (from, to) == (c, p)
        });
        script.go_on();
        script.adopt(&[a, b, p, c]);
        script.read(p, &[c]);
    });
}

#[test]
fn rule_2_a_version_is_on_disk_before_anything_is_answered_under_it() {
    needs(Wrong::AdoptedUnsynced, |script| {
        let (a, b, p, c) = (script.a, script.b, script.p, script.c);
        script.replace(a, c);
        script.adopt(&[a, b, p, c]);
        script.among(&[a, b, p, c, script.f], 1_000);
        script.lose_tail_unseen_by(a, c);
        script.lose_tail_unseen_by(b, c);
        script.among(&[a, b, p, script.f], 500);
        script.put(a, &[b]);
        script.go_on();
        script.adopt(&[a, b, p, c]);
        script.read(p, &[c]);
    });
}

#[test]
fn rule_5_answers_to_an_earlier_life_count_for_nothing() {
    needs(Wrong::Replica(Plant::AnswerOfAnEarlierLife), |script| {
        let (a, b, p, c) = (script.a, script.b, script.p, script.c);
        script.replace(a, c);
        script.adopt(&[a, b, p, c]);
        let held = move |to: NodeId, name: &str| to == c && name == "CatchUpAnswer";
        script.talk(500, &|_, to, name| !held(to, name));
        script.world.sync(c);
        script.put(b, &[a, c]);
        script.world.nodes.get_mut(&c).unwrap().die_with(Some(0));
        script.world.start_unseen_by(c, p);
        script.talk(0, &|_, to, name| held(to, name));
        script.talk(150, &|_, _, _| false);
        script.part(a, c);
        script.part(b, c);
        script.go_on();
        script.adopt(&[a, b, p, c]);
        script.read(p, &[c]);
    });
}

#[test]
fn rule_6_a_move_begins_from_a_set_that_is_complete() {
    is_kept_twice(
        true,
        Wrong::MovesOverlap,
        Plant::DepartingUnheard,
        |script| {
            let (a, b, p, c, f) = (script.a, script.b, script.p, script.c, script.f);
            script.put(a, &[b]);
            script.replace_two([a, b], [c, f]);
            script.adopt(&[a, b, p, c, f]);
            script.aim_again([a, b], [f, c]);
            script.adopt(&[a, b, p, c, f]);
            script.among(&[a, b, p, c, f], 1_000);
            script.read(p, &[c, f]);
        },
    );
}

/// A began a write before C's copy was read instead of its own, and goes on with it. These two acknowledge it.
fn written_by_one_that_leaves(script: &mut Script, acks: [NodeId; 2]) {
    let (a, b, p, c, f) = (script.a, script.b, script.p, script.c, script.f);
    script.replace(a, c);
    script.adopt(&[a, b, p, c, f]);
    script.among(&[a, b, p, c, f], 2_000);
    script.part(a, c);
    script.put(a, &[]);
    assert!(script.go_on(), "C is complete");
    script.adopt(&[a, b, p, c, f]);
    let acked = |node: NodeId| node == a || acks.contains(&node);
    script.talk(0, &|from, to, name| {
        acked(from) && acked(to) && is_about_a_write(name)
    });
}

pub(crate) fn is_about_a_write(name: &str) -> bool {
    name == "ReplicaPut" || name == "ReplicaAck"
}

/// Found by the model: B's word is that of an earlier life, and P had not heard of the write when B asked it.
#[test]
fn rule_5_who_restarted_counts_only_what_members_say_under_its_epoch() {
    needs(Wrong::Replica(Plant::EarlierEpochHeard), |script| {
        let (a, b, p, c, f) = (script.a, script.b, script.p, script.c, script.f);
        written_by_one_that_leaves(script, [b, b]);
        script.lose_tail_unseen_by(b, a);
        let b_asks = move |from, to, _: &str| (from == b || to == b) && from != a && to != a;
        script.talk(200, &b_asks);
        script.call_dead(a);
        script.adopt(&[b, c]);
        script.part(a, b);
        script.talk(1_000, &b_asks);
        script.talk(0, &|from, to, name| {
            [a, p].contains(&from) && [a, p].contains(&to) && is_about_a_write(name)
        });
        assert_eq!(script.world.history.acknowledged(), 1);
        script.adopt(&[f]);
        script.read(f, &[b, c]);
    });
}

/// Found by the model: A has a place no more, and what was acknowledged.
#[test]
fn rule_7_who_restarted_waits_for_what_a_copy_without_a_place_has() {
    needs(Wrong::Replica(Plant::DepartingUnheard), |script| {
        let (a, b, p, c, f) = (script.a, script.b, script.p, script.c, script.f);
        written_by_one_that_leaves(script, [b, p]);
        assert_eq!(script.world.history.acknowledged(), 1);
        script.world.sync(a);
        script.part(a, b);
        script.part(a, p);
        script.lose_tail_unseen_by(b, a);
        script.lose_tail_unseen_by(p, a);
        script.part(a, b);
        script.part(a, p);
        assert!(
            script.go_on(),
            "all know of the version in which both sets are written"
        );
        script.adopt(&[a, b, c, p, f]);
        script.among(&[b, c, p, f], 1_000);
        script.read(f, &[b, c]);
    });
}

/// X is on C alone, which is a newcomer of a move that is cancelled.
fn only_the_cancelled_newcomer_has_it(script: &mut Script) {
    let (a, b, p, c) = (script.a, script.b, script.p, script.c);
    script.replace(a, c);
    script.adopt(&[a, b, p, c]);
    script.among(&[a, b, p, c, script.f], 1_000);
    script.part(c, a);
    script.part(c, p);
    script.put(b, &[a, c]);
    script.world.sync(c);
    script.part(c, b);
    script.lose_tail(a);
    script.lose_tail(b);
    script.part(c, a);
    script.part(c, b);
    script.cancel();
    script.adopt(&[a, b, p, c, script.f]);
}

#[test]
fn rule_7_a_copy_without_a_place_stays_until_all_members_have_what_it_has() {
    needs_in_the_end(Wrong::Replica(Plant::DeletedUncovered), |script| {
        only_the_cancelled_newcomer_has_it(script);
        script.talk(16_000, &|_, _, _| false);
    });
}

/// Found by reading: it begins with nothing in its clock, which everybody covers.
#[test]
fn rule_9_what_a_place_given_back_and_lost_again_holds_is_handed_over() {
    let regained_in_vain = |script: &mut Script| {
        let (a, b, p, c, f) = (script.a, script.b, script.p, script.c, script.f);
        only_the_cancelled_newcomer_has_it(script);
        script.replace(a, c);
        script.adopt(&[a, b, p, c, f]);
        script.talk(1_000, &|_, _, _| false);
        script.cancel();
        script.adopt(&[a, b, p, c, f]);
    };
    assert_eq!(holds(false, regained_in_vain, None), Ok(()));
}

/// A vnode that lost what it knew to be superseded must not learn from one that never knew.
#[test]
fn rule_7_a_copy_without_a_place_fills_no_member_that_lost_something() {
    needs_in_the_end(Wrong::Replica(Plant::FilledByTheGone), |script| {
        let (a, b, p, c, f) = (script.a, script.b, script.p, script.c, script.f);
        script.put(p, &[a, b]);
        script.replace(a, c);
        for _ in 0..2 {
            script.adopt(&[a, b, p, c, f]);
            script.synced_talk(40_000, &|_, _, _| true);
            assert!(script.go_on());
        }
        for node in [b, p, c, f] {
            script.part(a, node);
        }
        script.adopt(&[a, b, p, c, f]);
        script.world.overwrite(p);
        script.among_all_but(a, 40_000);
        script.lose_record(b);
        let both = [a, b];
        script.synced_talk(40_000, &|from, to, _| {
            both.contains(&from) && both.contains(&to)
        });
    });
}

/// Found by the simulator's seed 266: whoever opened that disk saw no copy, and nobody ever asked for what was in it.
#[test]
fn rule_7_a_copy_without_a_place_is_found_by_what_it_left_though_its_own_record_is_gone() {
    let record_lost = |script: &mut Script| {
        only_the_cancelled_newcomer_has_it(script);
        script.lose_record(script.c);
        let departing = &script.world.words()[&script.c].departing;
        assert_eq!(departing.len(), 1, "it is named as long as it is there");
    };
    assert_eq!(holds(false, record_lost, None), Ok(()));
}

/// Found by the simulator's seed 1808: the digest was gone with the record, and the objects stayed for ever.
#[test]
fn rule_7_a_copy_without_a_place_is_found_by_its_objects_though_all_records_of_it_are_gone() {
    let records_lost = |script: &mut Script| {
        only_the_cancelled_newcomer_has_it(script);
        script.lose_records(script.c);
        let departing = &script.world.words()[&script.c].departing;
        assert_eq!(departing.len(), 1, "it is named as long as it is there");
    };
    assert_eq!(holds(false, records_lost, None), Ok(()));
}

/// Found by the simulator's seed 935: it answered nobody, and everybody lacked what it said to have.
#[test]
fn rule_7_a_copy_without_a_place_that_lost_what_it_had_keeps_nobody_waiting() {
    let mut script = Script::new(None, false);
    only_the_cancelled_newcomer_has_it(&mut script);
    let copies = |script: &Script| script.world.words()[&script.c].departing.len();
    assert_eq!(copies(&script), 1);
    let c = script.c;
    script.damage_objects(c);
    let (a, b, p, f) = (script.a, script.b, script.p, script.f);
    script.meet(&[a, b, p, c, f]);
    script.synced_talk(60_000, &|_, _, _| true);
    assert_eq!(copies(&script), 0);
}

#[test]
fn rule_7_it_stays_until_they_have_it_durably() {
    needs_in_the_end(Wrong::Replica(Plant::CoveredUnsynced), |script| {
        let (a, b, p, c) = (script.a, script.b, script.p, script.c);
        only_the_cancelled_newcomer_has_it(script);
        for node in [a, b, p] {
            script
                .world
                .give(node, quorate_core::effects::Input::PeerUp(c));
            script
                .world
                .give(c, quorate_core::effects::Input::PeerUp(node));
        }
        // They hear of each other again, which is synced, and nothing is handed over.
        script.synced_talk(5_000, &|_, _, name| name != "DotsAnswer");
        script.without_syncs(&[a, b, p, c], 40_000);
        [a, b, p]
            .into_iter()
            .for_each(|node| script.lose_tail(node));
    });
}

#[test]
fn rule_8_hints_for_a_node_that_has_left_go_to_a_member() {
    needs_in_the_end(Wrong::Replica(Plant::HintsOfTheGoneDropped), |script| {
        let (a, b, p, c, f) = (script.a, script.b, script.p, script.c, script.f);
        script.part(a, b);
        script.part(a, f);
        script.put(b, &[c, f]);
        let mut fallbacks = [c, f].into_iter();
        let keeper = fallbacks.find(|id| script.world.keeps_hints(*id)).unwrap();
        script.lose_tail(b);
        for node in [a, b, p, c, f] {
            if node != keeper {
                script.part(keeper, node);
            }
        }
        let comes = if keeper == c { f } else { c };
        script.meet(&[a, b, p, comes]);
        script.replace(a, comes);
        for _ in 0..4 {
            script.adopt(&[a, b, p, c, f]);
            script.among_all_but(keeper, 40_000);
            script.go_on();
        }
    });
}

#[test]
fn rule_11_no_actor_is_sealed_while_a_copy_departs() {
    let sealed = Wrong::Replica(Plant::SealedWhileDeparting);
    is_kept_twice(false, sealed, Plant::DepartingUnheard, |script| {
        let (a, b, p, c, f) = (script.a, script.b, script.p, script.c, script.f);
        script.put(b, &[a, p]);
        script.world.calm(1_000);
        only_the_cancelled_newcomer_has_it(script);
        for one in [a, b, p, f] {
            script
                .world
                .give(one, quorate_core::effects::Input::PeerUp(c));
            script
                .world
                .give(c, quorate_core::effects::Input::PeerUp(one));
        }
        let late = |name: &str| name == "Clocks" || name == "DotsAnswer";
        script.synced_talk(60_000, &|from, to, name| {
            (from != c && to != c) || !late(name)
        });
    });
}

#[test]
fn rule_6_a_move_whose_new_set_is_read_is_cancelled_in_two_steps() {
    needs(Wrong::CancelledAtOnce, |script| {
        let (a, b, p, c, f) = (script.a, script.b, script.p, script.c, script.f);
        joint_new(script);
        script.adopt(&[a, b, p, c, f]);
        script.back();
        script.adopt(&[a, b]);
        script.put(a, &[b]);
        script.read(f, &[c, p]);
    });
}
