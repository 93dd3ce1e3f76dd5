//! Rules of catching up, broken on purpose: each is missed by the walk that is there for it.

use quorate_core::{Note, Plant, Replica};

use crate::behind::{read_after_a_refusal, read_while_taken_for_dead};
use crate::catching_up::{
    read_after_two_came_and_went, read_after_two_were_alone, read_before_the_hints_came,
};
use crate::cutting::read_after_a_cut_delete;
use crate::denial::{read_what_one_denies, replace_what_is_shown, replace_what_was_written};
use crate::expiry::{read_after_a_successor_expired, read_after_a_successor_expired_elsewhere};
use crate::folding::{fold_beside_a_write_under_way, told_of_a_fold_too_early};
use crate::old_storage::read_after_a_hint_on_an_old_copy;
use crate::ranges::{comes_back, late_pages};
use crate::retries::{read_after_a_pause, retried_after_a_loss};
use crate::scrubbing::{false_alarms, less_held_by, vanished_and_overwritten};
use crate::sealing::{read_a_late_copy, read_what_a_damaged_member_kept, read_what_was_in_a_hint};

#[test]
fn not_counting_what_is_written_behind_a_scrub_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::ScrubIgnoresWrites);
    assert!(false_alarms(planted) > 0, "the rule makes no difference");
}

#[test]
fn leaving_what_a_range_lacks_at_that_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::RangeLossIgnored);
    assert!(!comes_back(planted), "the rule makes no difference");
}

#[test]
fn putting_back_what_a_peer_holds_that_has_not_seen_it_superseded_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::RangeProofIgnored);
    assert_eq!(late_pages(planted), 1, "the rule makes no difference");
}

#[test]
fn going_on_although_a_peer_holds_something_else_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::DifferenceIgnored);
    let (walk, _) = vanished_and_overwritten(planted);
    assert_eq!(
        walk.notes(Note::SilentLossFound),
        0,
        "the rule makes no difference"
    );
}

#[test]
fn taking_over_again_and_again_what_has_not_changed_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::TakenAgain);
    let (walk, ..) = less_held_by(2, planted);
    let (right, ..) = less_held_by(2, |_| {});
    let (often, once) = (
        walk.notes(Note::ReplicasDiffer),
        right.notes(Note::ReplicasDiffer),
    );
    assert!(
        often > once,
        "the rule makes no difference: {often}, {once}"
    );
}

#[test]
fn believing_who_denies_what_others_hold_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::DenialBelieved);
    let (_, shown) = read_what_one_denies(planted);
    assert!(
        shown.contains(&Vec::new()),
        "the rule makes no difference to a read"
    );
    let (shown, _) = replace_what_is_shown(planted);
    assert_eq!(shown, ["second"], "the rule makes no difference to a write");
}

#[test]
fn returning_a_context_in_spite_of_what_a_replica_holds_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::WriterNotTold);
    let end = replace_what_was_written(planted);
    assert_eq!(end, ["third"], "the rule makes no difference");
}

#[test]
fn proving_a_denial_wrong_without_what_was_cut_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::CutForgotten);
    let shown = read_after_a_cut_delete(planted);
    assert!(
        shown.contains(&vec!["deleted".to_owned()]),
        "the rule makes no difference"
    );
}

#[test]
fn trusting_an_incomplete_witness_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::TrustsAnIncompleteWitness);
    let (_, answer) = read_after_two_were_alone(planted);
    assert_eq!(answer.unwrap(), ["old"], "the rule makes no difference");
}

#[test]
fn forgetting_who_was_alive_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::ForgetsWhoWasAlive);
    let (_, answer) = read_after_two_came_and_went(planted);
    assert_eq!(answer.unwrap(), ["old"], "the rule makes no difference");
}

#[test]
fn becoming_current_without_the_hints_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::CurrentWithoutHints);
    let answer = read_before_the_hints_came(planted);
    assert_eq!(answer.unwrap(), ["old"], "the rule makes no difference");
}

#[test]
fn counting_on_a_replica_that_refused_a_write_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::RefusedAndCurrent);
    let (_, answer) = read_after_a_refusal(planted);
    assert_eq!(answer.unwrap(), ["old"], "the rule makes no difference");
}

#[test]
fn telling_one_that_is_taken_for_dead_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::ToldWhileTakenForDead);
    let (_, answer) = read_while_taken_for_dead(planted);
    assert_eq!(answer.unwrap(), ["old"], "the rule makes no difference");
}

#[test]
fn trusting_storage_that_went_back_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::OldStorageTrusted);
    let (_, held) = read_after_a_hint_on_an_old_copy(planted, true);
    assert_eq!(
        held,
        ["first", "second", "third"],
        "the rule makes no difference"
    );
}

#[test]
fn forgetting_what_an_expired_value_had_replaced_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::ExpiryForgetsContext);
    let (_, shown) = read_after_a_successor_expired(planted);
    assert_eq!(shown, ["replaced"], "the rule makes no difference");
}

#[test]
fn forgetting_what_a_value_had_replaced_that_expired_elsewhere_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::ExpiryForgetsContext);
    let shown = read_after_a_successor_expired_elsewhere(planted);
    assert_eq!(shown, ["replaced"], "the rule makes no difference");
}

/// What members hold where an acknowledged write was taken for lost.
fn without_it() -> Vec<[&'static str; 1]> {
    vec![["first"]; 3]
}

#[test]
fn sealing_without_the_hints_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::SealedWithoutHints);
    let held = read_what_was_in_a_hint(planted);
    assert_eq!(held, without_it(), "the rule makes no difference");
}

#[test]
fn sealing_by_the_word_of_an_incomplete_member_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::SealedWhileIncomplete);
    let held = read_what_a_damaged_member_kept(planted);
    assert_ne!(held, vec![["at one"]; 3], "the rule makes no difference");
}

#[test]
fn taking_late_copies_in_spite_of_the_promise_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::PromiseBroken);
    let (_, shown, removed) = read_a_late_copy(planted);
    assert!(shown && removed > 0, "the rule makes no difference");
}

#[test]
fn shipping_an_absence_as_the_first_try_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::RetryShipsAbsence);
    for settled in [false, true] {
        let shown = retried_after_a_loss(planted, settled);
        assert!(shown.is_empty(), "the rule makes no difference: {shown:?}");
    }
}

#[test]
fn folding_what_not_all_have_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::FoldedWhileOpen);
    let held = fold_beside_a_write_under_way(planted);
    assert_ne!(held, vec![["at one"]; 3], "the rule makes no difference");
}

#[test]
fn taking_a_fold_for_what_one_lacks_is_caught() {
    let held = told_of_a_fold_too_early(|replica| replica.plant(Plant::FoldTakenBlindly));
    assert_ne!(
        held,
        vec![["not at one"]; 3],
        "the rule makes no difference"
    );
}

#[test]
fn taking_a_try_that_waited_in_a_pause_for_new_is_caught() {
    let planted = |replica: &mut Replica| replica.plant(Plant::LateTryTrusted);
    let held = read_after_a_pause(planted);
    assert_eq!(held, ["first", "second"], "the rule makes no difference");
}
