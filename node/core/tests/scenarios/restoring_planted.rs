//! Restores that break a rule, and what comes of it.

use quorate_core::{Plant, Replica};

use crate::restoring::{after_a_hint, dots_given_twice};

#[test]
fn a_restored_node_that_goes_on_as_if_it_were_complete_keeps_what_was_replaced() {
    let trusting = |replica: &mut Replica| replica.plant(Plant::OldStorageTrusted);
    let held = after_a_hint(trusting);
    assert!(
        held.iter()
            .any(|values| values.contains(&"first".to_owned())),
        "{held:?}"
    );
}

#[test]
fn a_restored_node_that_goes_on_with_its_actor_gives_out_a_dot_twice() {
    let reusing = |replica: &mut Replica| replica.plant(Plant::ActorReused);
    assert!(!dots_given_twice(reusing).is_empty());
}
