//! What is refused, in words that help.

use quorate_core::moves::{Allowed, Refused, cancel, clear, forget, plan, stage};
use quorate_protocol::map::Member;
use quorate_protocol::versioned::{StagedChange, VersionedMap};
use quorate_ring::{Weight, Zone};

use crate::changes::cluster;
use crate::world::{World, id, member};

fn refused(world: &World, change: StagedChange) -> Refused {
    stage(world.version.map(), change).unwrap_err()
}

#[test]
fn changes_that_contradict_the_members_are_refused_by_name() {
    let world = cluster(3, 8);
    let namesake = Member {
        name: "n2".to_owned(),
        ..member(9, "")
    };
    let nowhere = Member {
        peer_addresses: Vec::new(),
        ..member(9, "")
    };
    let cases = [
        (
            StagedChange::join(member(2, "")),
            "n2 (0000000000000002) is a member already",
        ),
        (StagedChange::leave(id(8)), "0000000000000008 is no member"),
        (
            StagedChange::force_remove(id(8)),
            "0000000000000008 is no member",
        ),
        (
            StagedChange::replace(id(1), member(2, "")),
            "n2 (0000000000000002) is a member already",
        ),
        (StagedChange::join(namesake), "the name n2 is taken"),
        (StagedChange::join(nowhere), "n9 has no peer address"),
        (
            StagedChange::zone(id(1), Zone::default()),
            "n1 (0000000000000001) is in that zone already",
        ),
        (
            StagedChange::weight(id(1), Weight::default()),
            "n1 (0000000000000001) has that weight already",
        ),
    ];
    for (change, words) in cases {
        let error = refused(&world, change).to_string();
        assert!(error.starts_with(words), "{error}");
    }
}

#[test]
fn one_member_has_one_staged_change_unless_they_are_zone_and_weight() {
    let mut world = cluster(3, 8);
    let zone: Zone = "z".parse().unwrap();
    world.stage(StagedChange::zone(id(1), zone.clone()));
    world.stage(StagedChange::weight(id(1), Weight::MAX));
    world.stage(StagedChange::replace(id(2), member(4, "")));
    let again = [
        StagedChange::zone(id(1), zone),
        StagedChange::leave(id(1)),
        StagedChange::leave(id(2)),
        StagedChange::force_remove(id(2)),
        StagedChange::join(member(4, "")),
        StagedChange::replace(id(3), member(4, "")),
    ];
    for change in again {
        let error = refused(&world, change.clone());
        assert!(matches!(error, Refused::Staged(_)), "{change:?}: {error}");
    }
    let namesake = Member {
        name: "n4".to_owned(),
        ..member(9, "")
    };
    let error = refused(&world, StagedChange::join(namesake));
    assert_eq!(error, Refused::NameTaken("n4".to_owned()));
    world.decide(clear(world.version.map()).unwrap()).unwrap();
    assert_eq!(
        clear(world.version.map()).unwrap_err(),
        Refused::NothingStaged
    );
}

#[test]
fn who_is_on_its_way_out_is_left_alone() {
    let mut world = cluster(4, 8);
    world.stage(StagedChange::leave(id(2)));
    world.commit();
    let changes = [
        StagedChange::leave(id(2)),
        StagedChange::join(member(2, "")),
        StagedChange::weight(id(2), Weight::MAX),
        StagedChange::replace(id(2), member(9, "")),
    ];
    for change in changes {
        assert!(matches!(refused(&world, change), Refused::Goes(_)));
    }
    let alive = forget(world.version.map(), id(2)).unwrap_err();
    assert!(matches!(alive, Refused::NotDead(_)));
    world.stage(StagedChange::force_remove(id(2)));
    world.commit();
    let dead = refused(&world, StagedChange::force_remove(id(2)));
    assert!(matches!(dead, Refused::IsDead(_)));
    let back = cancel(world.version.map(), &world.heard).unwrap_err();
    assert!(matches!(back, Refused::CannotGoBack(_)), "{back}");
}

#[test]
fn what_makes_the_cluster_worse_has_to_be_forced() {
    let mut world = cluster(3, 8);
    world.stage(StagedChange::leave(id(3)));
    let error = world.commit_with(&Allowed::default()).unwrap_err();
    assert!(error.to_string().contains("2 copies (now 3)"), "{error}");
    let forced = Allowed {
        force: true,
        ..Allowed::default()
    };
    assert_eq!(world.commit_with(&forced), Ok(()));
}

#[test]
fn the_last_copy_is_removed_only_if_its_node_is_named() {
    let mut world = cluster(3, 8);
    for gone in [2, 3] {
        world.nodes.get_mut(&id(gone)).unwrap().up = false;
        world.hear(id(gone));
    }
    world.stage(StagedChange::force_remove(id(1)));
    let outlook = plan(world.version.map(), &world.heard).unwrap();
    assert_eq!(
        outlook.losses.get(&id(1)),
        Some(&8),
        "no other is known to run"
    );
    let mut allowed = Allowed {
        force: true,
        ..Allowed::default()
    };
    let error = world.commit_with(&allowed).unwrap_err();
    assert!(
        matches!(error, Refused::MayLose { classes: 8, .. }),
        "{error}"
    );
    allowed.loss_of.insert(id(1));
    assert_eq!(world.commit_with(&allowed), Ok(()));
}

#[test]
fn only_the_plan_that_was_looked_at_is_committed() {
    let mut world = cluster(3, 8);
    world.stage(StagedChange::join(member(4, "")));
    let looked_at = plan(world.version.map(), &world.heard).unwrap().digest;
    world.stage(StagedChange::join(member(5, "")));
    let allowed = Allowed {
        plan: Some(looked_at),
        ..Allowed::default()
    };
    assert_eq!(world.commit_with(&allowed), Err(Refused::OtherPlan));
}

#[test]
fn without_members_or_changes_there_is_no_plan() {
    let mut world = cluster(1, 8);
    let nothing = plan(world.version.map(), &world.heard).unwrap_err();
    assert_eq!(nothing, Refused::NothingStaged);
    assert_eq!(
        cancel(world.version.map(), &world.heard).unwrap_err(),
        Refused::NothingToCancel
    );
    world.stage(StagedChange::leave(id(1)));
    let alone = plan(world.version.map(), &world.heard).unwrap_err();
    assert!(matches!(alone, Refused::Ring(_)), "{alone}");
}

#[test]
fn nothing_is_staged_before_the_cluster_is_complete() {
    let map = cluster(3, 8).version.map().map.clone();
    let first = VersionedMap::created(map, 5);
    let error = stage(&first, StagedChange::leave(id(1))).unwrap_err();
    assert_eq!(error, Refused::NotFounded);
}
