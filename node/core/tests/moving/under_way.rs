//! Writes that are under way while their class moves on, as schedules.

use quorate_core::Plant;
use quorate_ring::NodeId;

use crate::directed::is_about_a_write;
use crate::script::Script;
use crate::wrong::Wrong;

#[test]
fn a_write_under_way_is_shipped_to_the_sets_of_the_next_epoch() {
    let acknowledged = |wrong: Option<Wrong>| {
        let mut script = Script::new(wrong, true);
        let (a, b, p, c) = (script.a, script.b, script.p, script.c);
        script.put(b, &[]);
        script.replace(a, c);
        script.adopt(&[a, b, p, c]);
        script.talk(0, &|_, _, _| true);
        script.world.history.acknowledged()
    };
    assert_eq!(acknowledged(None), 1);
    assert_eq!(acknowledged(Some(Wrong::Replica(Plant::NotShippedAnew))), 0);
}

#[test]
fn nobody_stands_in_for_members_that_only_have_not_heard_of_the_version() {
    let acknowledged = |wrong: Option<Wrong>| {
        let mut script = Script::new(wrong, false);
        let (a, b, p, c, f) = (script.a, script.b, script.p, script.c, script.f);
        let about_the_write = |_, _, name: &str| is_about_a_write(name);
        script.replace(a, c);
        script.adopt(&[p, c, f]);
        script.put(p, &[a, b, c]);
        script.talk(1_000, &about_the_write);
        let early = script.world.history.acknowledged();
        script.adopt(&[a, b]);
        script.talk(500, &about_the_write);
        (early, script.world.history.acknowledged())
    };
    assert_eq!(acknowledged(None), (0, 1));
    let stood_in = acknowledged(Some(Wrong::Replica(Plant::FencedStoodInFor)));
    assert_eq!(stood_in, (1, 1));
}

/// Found by scenario A02, seed 7 in wind: the refusal was of what had been shipped under the version before, and came when both
/// worked under the next one.
#[test]
fn nobody_stands_in_for_a_member_whose_refusal_comes_late() {
    let acknowledged = |wrong: Option<Wrong>| {
        let mut script = Script::new(wrong, false);
        let (a, b, p, c, f) = (script.a, script.b, script.p, script.c, script.f);
        let between = |one: NodeId, other: NodeId| {
            move |from, to, name: &str| {
                is_about_a_write(name) && [(one, other), (other, one)].contains(&(from, to))
            }
        };
        script.replace(a, c);
        script.adopt(&[a, b, c, f]);
        script.world.put(p);
        script.talk(0, &|_, to, name| name == "ReplicaPut" && to == b);
        script.adopt(&[p]);
        script.talk(0, &|_, to, name| name == "ReplicaAck" && to == p);
        script.talk(100, &between(p, f));
        let early = script.world.history.acknowledged();
        script.talk(100, &between(p, b));
        (early, script.world.history.acknowledged())
    };
    assert_eq!(acknowledged(None), (0, 1));
    let stood_in = acknowledged(Some(Wrong::Replica(Plant::FencedStoodInFor)));
    assert_eq!(stood_in, (1, 1));
}
