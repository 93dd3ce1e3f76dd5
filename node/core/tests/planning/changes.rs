//! Single changes, version by version.

use quorate_core::moves::{Allowed, Refused, Step, cancel, commit, commit_at_once, forget, stage};
use quorate_protocol::limits::DEPARTING_MAX;
use quorate_protocol::versioned::{ClassState, GoingState, StagedChange};
use quorate_ring::{NodeId, Weight};

use crate::world::{World, classes, founded, id, member, standing, storage};

/// A cluster of so many nodes, that many partitions, n=3.
pub(crate) fn cluster(members: u64, partitions: u32) -> World {
    let members = (1..=members).map(|number| member(number, "")).collect();
    World::new(founded(members, partitions, &[3]))
}

impl World {
    pub(crate) fn stage(&mut self, change: StagedChange) {
        let next = stage(self.version.map(), change).unwrap();
        self.decide(next).unwrap();
    }

    pub(crate) fn commit_with(&mut self, allowed: &Allowed) -> Result<(), Refused> {
        let next = commit(self.version.map(), allowed, &self.heard)?;
        self.decide(next).unwrap();
        Ok(())
    }

    pub(crate) fn commit(&mut self) {
        self.commit_with(&Allowed::default()).unwrap();
    }

    fn member_ids(&self) -> Vec<u64> {
        let members = &self.version.map().map.members;
        members.iter().map(|member| member.id.get()).collect()
    }

    fn voter_ids(&self) -> Vec<u64> {
        let voters = &self.version.map().voters;
        voters.iter().map(|voter| voter.node.get()).collect()
    }

    fn states(&self) -> Vec<ClassState> {
        let map = self.version.map();
        let mut states: Vec<_> = classes(map)
            .into_iter()
            .map(|class| standing(map, class).state)
            .collect();
        states.sort_unstable();
        states.dedup();
        states
    }
}

#[test]
fn a_join_takes_four_records_and_then_its_old_copies_go() {
    let mut world = cluster(3, 8);
    world.stage(StagedChange::join(member(4, "")));
    world.commit();
    assert_eq!(world.states(), [ClassState::Stable, ClassState::JointOld]);
    assert_eq!(world.member_ids(), [1, 2, 3, 4], "it is a member at once");
    assert_eq!(
        world.voter_ids(),
        [1, 2, 3],
        "and votes when it is heard to run"
    );
    assert!(!world.step().unwrap(), "nobody has adopted it yet");
    let mut states = Vec::new();
    for _ in 0..4 {
        world.round();
        world.step().unwrap();
        states.push(world.states());
    }
    let (joint_new, stable) = (ClassState::JointNew, ClassState::Stable);
    assert_eq!(
        states,
        [
            vec![stable, joint_new],
            vec![stable],
            vec![stable],
            vec![stable]
        ]
    );
    assert_eq!(world.voter_ids(), [1, 2, 3, 4]);
    assert!(world.progress().is_over());
}

#[test]
fn the_number_of_versions_of_a_change_does_not_depend_on_the_number_of_partitions() {
    let versions = |partitions| {
        let mut world = cluster(5, partitions);
        world.stage(StagedChange::replace(id(2), member(6, "")));
        world.stage(StagedChange::join(member(7, "")));
        world.stage(StagedChange::leave(id(3)));
        world.commit();
        world.settle().unwrap()
    };
    let few = versions(8);
    assert!(few <= 5, "{few} versions after the commit");
    assert_eq!([versions(64), versions(1024)], [few, few]);
}

#[test]
fn a_cancelled_change_leads_back_to_where_everything_was() {
    for rounds in 0..3 {
        let mut world = cluster(4, 16);
        let before: Vec<_> = sets(&world);
        world.stage(StagedChange::replace(id(2), member(6, "")));
        let weight = Weight::new(300).unwrap();
        world.stage(StagedChange::weight(id(3), weight));
        world.commit();
        for _ in 0..rounds {
            world.round();
            assert!(world.step().unwrap());
        }
        let number = world.version.map().map.ring.version();
        let made = cancel(world.version.map(), &world.heard);
        if rounds == 2 {
            // All classes have moved: there is nothing to cancel.
            assert_eq!(made.unwrap_err(), Refused::NothingToCancel);
            continue;
        }
        world.decide(made.unwrap()).unwrap();
        assert!(world.version.map().map.ring.version() > number);
        world.settle().unwrap();
        assert_eq!(sets(&world), before, "cancelled after {rounds} rounds");
        assert_eq!(world.member_ids(), [1, 2, 3, 4]);
        let members = &world.version.map().map.members;
        assert!(
            members
                .iter()
                .all(|member| member.weight == Weight::default())
        );
    }
}

fn sets(world: &World) -> Vec<Vec<NodeId>> {
    let map = world.version.map();
    let set = |class| {
        let mut set: Vec<_> = standing(map, class)
            .old
            .iter()
            .map(|place| place.node)
            .collect();
        set.sort_unstable();
        set
    };
    classes(map).into_iter().map(set).collect()
}

#[test]
fn a_change_that_is_joint_new_in_part_goes_back_through_joint_old() {
    let mut world = cluster(3, 8);
    world.stage(StagedChange::replace(id(3), member(4, "")));
    world.commit();
    world.round();
    world.step().unwrap();
    assert_eq!(world.states(), [ClassState::JointNew]);
    world.round();
    let next = cancel(world.version.map(), &world.heard).unwrap();
    assert_eq!(next.steps.keys().collect::<Vec<_>>(), [&Step::ReadOld]);
    world.decide(next).unwrap();
    assert_eq!(world.states(), [ClassState::JointOld]);
    world.round();
    world.step().unwrap();
    assert_eq!(world.states(), [ClassState::Stable]);
}

#[test]
fn a_further_commit_gives_classes_under_way_other_newcomers_in_one_version() {
    let mut world = cluster(3, 8);
    world.stage(StagedChange::replace(id(3), member(4, "")));
    world.commit();
    world.round();
    world.stage(StagedChange::replace(id(4), member(5, "")));
    let made = commit(world.version.map(), &Allowed::default(), &world.heard).unwrap();
    assert_eq!(made.steps.get(&Step::Retarget), Some(&8));
    world.decide(made).unwrap();
    let map = world.version.map();
    let numbers: Vec<u64> = map
        .map
        .members
        .iter()
        .map(|member| member.id.get())
        .collect();
    assert_eq!(
        numbers,
        [1, 2, 3, 4, 5],
        "they hand over, or may be called back"
    );
    world.settle().unwrap();
    assert_eq!(world.member_ids(), [1, 2, 5]);
    assert_eq!(world.voter_ids(), [1, 2, 5]);
}

#[test]
fn a_dead_node_is_named_until_it_says_that_its_copies_are_gone_or_is_forgotten() {
    for returns in [true, false] {
        let mut world = cluster(4, 8);
        world.nodes.get_mut(&id(2)).unwrap().up = false;
        world.hear(id(2));
        world.stage(StagedChange::force_remove(id(2)));
        world.commit();
        assert_eq!(world.voter_ids(), [1, 3, 4], "it votes no more");
        world.settle().unwrap();
        assert_eq!(world.member_ids(), [1, 2, 3, 4]);
        assert!(world.progress().departing.contains_key(&id(2)));
        if returns {
            world.nodes.get_mut(&id(2)).unwrap().up = true;
        } else {
            let next = forget(world.version.map(), id(2)).unwrap();
            world.decide(next).unwrap();
        }
        world.settle().unwrap();
        assert_eq!(world.member_ids(), [1, 3, 4], "returns: {returns}");
    }
}

#[test]
fn who_leaves_may_be_lost_on_its_way() {
    let mut world = cluster(4, 8);
    world.stage(StagedChange::leave(id(2)));
    world.commit();
    world.round();
    world.nodes.get_mut(&id(2)).unwrap().up = false;
    world.hear(id(2));
    let ring = world.version.map().map.ring.version();
    world.stage(StagedChange::force_remove(id(2)));
    world.commit();
    let map = world.version.map();
    assert_eq!(
        map.map.ring.version(),
        ring,
        "it had no places to come anyway"
    );
    assert_eq!(map.going(id(2)).unwrap().state, GoingState::Dead);
    world.settle().unwrap();
    assert_eq!(world.states(), [ClassState::Stable]);
}

#[test]
fn places_stay_empty_until_members_come() {
    let mut world = cluster(1, 8);
    assert_eq!(sets(&world)[0].len(), 1);
    for number in 2..=4 {
        world.stage(StagedChange::join(member(number, "")));
        world.commit();
        world.settle().unwrap();
        assert_eq!(
            sets(&world)[0].len(),
            usize::try_from(number).unwrap().min(3)
        );
    }
    for number in [4, 3, 2] {
        world.stage(StagedChange::leave(id(number)));
        let allowed = Allowed {
            force: true,
            ..Allowed::default()
        };
        world.commit_with(&allowed).unwrap();
        world.settle().unwrap();
    }
    assert_eq!((sets(&world)[0].len(), world.voter_ids()), (1, vec![1]));
}

#[test]
fn a_member_that_holds_hints_stays_until_it_has_handed_them_over() {
    let mut world = cluster(4, 8);
    world.stage(StagedChange::leave(id(2)));
    world.commit();
    world.heard.hinting.insert(id(2));
    world.settle().unwrap();
    assert_eq!(world.member_ids(), [1, 2, 3, 4]);
    world.heard.hinting.clear();
    world.settle().unwrap();
    assert_eq!(world.member_ids(), [1, 3, 4]);
}

#[test]
fn a_voter_with_another_storage_is_named_with_it() {
    let mut world = cluster(3, 8);
    let fresh = storage(id(99));
    world.heard.running.insert(id(2), Some(fresh));
    assert!(world.step().unwrap());
    assert_eq!(
        world.version.map().voter(id(2)).unwrap().storage,
        Some(fresh)
    );
    assert!(!world.step().unwrap(), "and that is all");
}

#[test]
fn nothing_changes_while_nobody_asks_for_it() {
    let mut world = cluster(5, 16);
    assert_eq!(world.settle(), Ok(0));
    world.nodes.get_mut(&id(3)).unwrap().up = false;
    world.hear(id(3));
    assert_eq!(world.settle(), Ok(0));
}

#[test]
fn members_go_only_when_the_others_can_decide_without_them() {
    let mut world = cluster(3, 8);
    world.stage(StagedChange::leave(id(3)));
    let forced = Allowed {
        force: true,
        ..Allowed::default()
    };
    world.commit_with(&forced).unwrap();
    for _ in 0..4 {
        world.round();
        world.heard.running.remove(&id(2));
        world.step().unwrap();
    }
    assert_eq!(
        world.member_ids(),
        [1, 2, 3],
        "one of the two that are left is not known to run"
    );
    world.settle().unwrap();
    assert_eq!(
        (world.member_ids(), world.voter_ids()),
        (vec![1, 2], vec![1, 2])
    );
}

#[test]
fn a_class_sets_out_only_if_all_its_copies_can_depart() {
    let mut world = cluster(3, 8);
    let mut most = 0;
    for number in 4..80 {
        let oldest = world.version.map().map.ring.members()[0].id;
        world.stage(StagedChange::replace(oldest, member(number, "")));
        world.commit();
        for _ in 0..4 {
            for node in world.ids() {
                world.adopt(node);
            }
            for node in world.ids() {
                world.claim(node);
                world.hear(node);
            }
            world.step().unwrap();
        }
        let records = &world.version.map().records;
        most = most.max(
            records
                .iter()
                .map(|record| record.departing.len())
                .max()
                .unwrap(),
        );
    }
    assert!(
        (DEPARTING_MAX - 10..=DEPARTING_MAX).contains(&most),
        "{most}"
    );
    let left = world.progress();
    let waits = left.behind + left.reading_old;
    assert!(waits > 0, "the ring has gone on without them: {left:?}");
    let taken = world.settle().unwrap();
    assert!(taken < 8, "{taken} versions");
    assert!(world.progress().is_over());
}

#[test]
fn a_node_that_was_forgotten_never_comes_back() {
    let mut world = cluster(4, 8);
    world.nodes.get_mut(&id(2)).unwrap().up = false;
    world.hear(id(2));
    world.stage(StagedChange::force_remove(id(2)));
    world.commit();
    let next = forget(world.version.map(), id(2)).unwrap();
    world.decide(next).unwrap();
    world.settle().unwrap();
    assert_eq!(world.version.map().expelled, [id(2)]);
    let again = stage(world.version.map(), StagedChange::join(member(2, "")));
    assert!(matches!(again.unwrap_err(), Refused::Expelled(_)));
}

#[test]
fn one_change_is_made_at_once_if_nothing_else_is_staged() {
    let mut world = cluster(3, 8);
    let join = || StagedChange::join(member(4, ""));
    let now = |world: &World| {
        let allowed = Allowed::default();
        commit_at_once(world.version.map(), join(), &allowed, &world.heard)
    };
    let next = now(&world).unwrap();
    assert!(
        next.what
            .starts_with("committed: n4 (0000000000000004) joins"),
        "{}",
        next.what
    );
    world.decide(next).unwrap();
    assert!(world.version.map().staged.is_empty());
    world.stage(StagedChange::weight(id(1), Weight::MAX));
    assert_eq!(now(&world).unwrap_err(), Refused::OthersStaged);
}

#[test]
fn a_newcomer_that_never_ran_holds_up_a_cancelled_change_until_it_is_removed_by_force() {
    let mut world = cluster(3, 8);
    world.stage(StagedChange::replace(id(3), member(4, "")));
    world.commit();
    world.nodes.get_mut(&id(4)).unwrap().up = false;
    world.settle().unwrap();
    assert_eq!(world.states(), [ClassState::JointOld]);
    assert_eq!(world.progress().awaited, [(id(4), 8)].into());
    let back = cancel(world.version.map(), &world.heard).unwrap();
    world.decide(back).unwrap();
    world.settle().unwrap();
    assert_eq!(
        world.states(),
        [ClassState::JointOld],
        "it may have adopted it"
    );
    world.stage(StagedChange::force_remove(id(4)));
    world.commit();
    world.settle().unwrap();
    assert_eq!(world.states(), [ClassState::Stable]);
    assert!(world.progress().awaited.is_empty());
    let next = forget(world.version.map(), id(4)).unwrap();
    world.decide(next).unwrap();
    world.settle().unwrap();
    assert_eq!(world.member_ids(), [1, 2, 3]);
}

#[test]
fn a_drained_member_hands_over_and_stays_one_that_votes() {
    let mut world = cluster(4, 8);
    world.stage(StagedChange::weight(id(2), Weight::DRAINED));
    world.commit();
    world.settle().unwrap();
    assert!(
        sets(&world)
            .iter()
            .all(|set| set.len() == 3 && !set.contains(&id(2)))
    );
    assert_eq!(
        (world.member_ids(), world.voter_ids()),
        (vec![1, 2, 3, 4], vec![1, 2, 3, 4])
    );
    assert!(world.progress().is_over() && world.version.map().going.is_empty());
}
