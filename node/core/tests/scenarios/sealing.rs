//! Gaps that a dead life of a node left in its actor's writes, and how they are closed.

use quorate_core::{Family, Note, Replica};
use quorate_protocol::options::Count;
use quorate_ring::NodeId;

use crate::walk::{Disk, SIBLINGS, Walk, a_get, values};

const KEY: &str = "a key";

/// A cluster in which one primary is about to write what it will lose: its members, the one that
/// writes first, and what that one's disk had before.
struct Stage {
    walk: Walk,
    members: [NodeId; 3],
    before: Disk,
}

impl Stage {
    fn new(prepare: fn(&mut Replica)) -> Self {
        let walk = Walk::prepared(5, prepare);
        let mut members = walk.preference(SIBLINGS, KEY).primaries;
        members.sort_unstable();
        let mut stage = Self {
            before: Disk::default(),
            walk,
            members: members.try_into().unwrap(),
        };
        stage.put("first", 3);
        stage.walk.pass(15_000);
        stage.before = stage.walk.disk(stage.members[0]).clone();
        stage
    }

    /// A write by the first member's actor, over what was there.
    fn put(&mut self, value: &str, w: u8) {
        let mut put = self.walk.a_put(KEY, value);
        put.options.w = Some(Count::Exactly(w));
        if let Ok(got) = self.walk.get(self.members[0], a_get(KEY)) {
            put.context = Some(got.context);
        }
        self.walk.put(self.members[0], put).unwrap();
    }

    /// Puts do not reach these members.
    fn lose_puts_to(&mut self, members: &[NodeId]) {
        for &member in members {
            self.walk.lose("ReplicaPut", member, 0);
        }
    }

    /// The first member's power goes off: what it wrote since the beginning is lost there.
    fn cut_power(&mut self) {
        self.walk.kill(self.members[0]);
        *self.walk.disk_mut(self.members[0]) = self.before.clone();
        self.walk.pass(1_000);
        self.walk.start(self.members[0]);
    }

    /// What each member holds in the end.
    fn held(&mut self) -> Vec<Vec<String>> {
        self.walk.lose_nothing();
        self.walk.heal();
        self.walk.pass(30_000);
        let mut get = a_get(KEY);
        get.options.r = Some(Count::Exactly(1));
        let members = self.members.into_iter();
        members
            .map(|member| values(&self.walk.get(member, get.clone()).unwrap()))
            .collect()
    }

    fn assert_nothing_is_left(&self) {
        for id in (1..=5).map(NodeId::new) {
            assert_eq!(self.walk.disk(id).entries(Family::Log), 0, "{id}");
            assert_eq!(self.walk.disk(id).entries(Family::Hints), 0, "{id}");
            let vnodes = self.walk.status(id).vnodes;
            assert!(vnodes.iter().all(|vnode| vnode.current && vnode.lag == 0));
        }
    }
}

#[test]
fn a_gap_that_a_power_cut_left_is_closed_and_nothing_is_kept_behind_it() {
    let mut stage = Stage::new(|_| {});
    let [_, second, third] = stage.members;
    stage.lose_puts_to(&[second, third]);
    stage.put("lost", 1);
    stage.walk.lose_nothing();
    stage.put("kept", 2);
    stage.cut_power();
    assert_eq!(stage.held(), vec![["kept"]; 3]);
    assert!(stage.walk.notes(Note::Sealed) > 0);
    stage.assert_nothing_is_left();
}

#[test]
fn a_write_of_an_actor_of_which_nobody_has_anything_keeps_no_context_for_ever() {
    let mut stage = Stage::new(|_| {});
    let [first, second, third] = stage.members;
    stage.walk.kill(first);
    stage.walk.start(first); // with a new actor
    stage.walk.pass(3_000);
    stage.before = stage.walk.disk(first).clone();
    stage.lose_puts_to(&[second, third]);
    stage.put("lost", 1);
    let seen = stage.walk.get(first, r1(KEY)).unwrap();
    stage.walk.lose_nothing();
    stage.cut_power();
    stage.walk.pass(3_000);
    let mut put = stage.walk.a_put(KEY, "after it");
    put.context = Some(seen.context);
    stage.walk.put(second, put).unwrap();
    assert_eq!(stage.held(), vec![["after it"]; 3]);
    stage.assert_nothing_is_left();
}

fn r1(key: &str) -> quorate_protocol::client::Get {
    let mut get = a_get(key);
    get.options.r = Some(Count::Exactly(1));
    get
}

/// An acknowledged write whose only copy that is left is a hint that cannot be delivered yet.
pub(crate) fn read_what_was_in_a_hint(prepare: fn(&mut Replica)) -> Vec<Vec<String>> {
    let mut stage = Stage::new(prepare);
    let [first, second, third] = stage.members;
    stage.lose_puts_to(&[second, third]);
    for member in [first, second, third] {
        stage.walk.lose("Hints", member, 0);
    }
    stage.put("in a hint", 2);
    stage.cut_power();
    stage.walk.pass(10_000);
    stage.held()
}

#[test]
fn what_is_only_in_a_hint_is_not_taken_for_lost() {
    let held = read_what_was_in_a_hint(|_| {});
    assert_eq!(held, vec![["in a hint"]; 3]);
}

/// An acknowledged write that one member has, which has found damage and is filled again: its clock says nothing
/// of what it kept.
pub(crate) fn read_what_a_damaged_member_kept(prepare: fn(&mut Replica)) -> Vec<Vec<String>> {
    let mut stage = Stage::new(prepare);
    let third = stage.members[2];
    let others = || (1..=5).map(NodeId::new).filter(move |&node| node != third);
    stage.lose_puts_to(&others().collect::<Vec<_>>());
    stage.put("at one", 2);
    for node in others() {
        stage.walk.lose("Clocks", node, 0);
        stage.walk.lose("DotsAnswer", node, 0);
    }
    stage.walk.lose("SnapshotPage", third, 0);
    let log = stage.walk.disk(third).records(Family::Requests);
    let record = log.into_keys().next().unwrap();
    stage.walk.disk_mut(third).damage(Family::Requests, &record);
    stage.walk.kill(third);
    stage.walk.start(third);
    stage.cut_power();
    stage.walk.pass(10_000);
    stage.held()
}

#[test]
fn what_a_damaged_member_kept_is_not_taken_for_lost() {
    let held = read_what_a_damaged_member_kept(|_| {});
    assert_eq!(held, vec![["at one"]; 3]);
}

/// A copy of a lost write that arrives when members have said that nobody has it, and before they are told that it is void.
/// Says whether it was shown, and whether it had to be removed.
pub(crate) fn read_a_late_copy(prepare: fn(&mut Replica)) -> (Vec<Vec<String>>, bool, u64) {
    let mut stage = Stage::new(prepare);
    let [_, second, third] = stage.members;
    stage.lose_puts_to(&[second, third]);
    stage.put("late", 1);
    stage.cut_power();
    let last = second.max(third);
    stage.walk.lose("Seal", last, 0);
    stage.walk.pass(3_000);
    stage.walk.deliver_late("ReplicaPut", last);
    let got = stage.walk.get(last, r1(KEY)).unwrap();
    let shown = values(&got).contains(&"late".to_owned());
    let held = stage.held();
    (held, shown, stage.walk.notes(Note::LateCopyRemoved))
}

#[test]
fn a_late_copy_of_a_write_that_nobody_has_is_refused() {
    let (held, shown, removed) = read_a_late_copy(|_| {});
    assert_eq!((shown, removed), (false, 0));
    assert_eq!(held, vec![["first"]; 3]);
}
