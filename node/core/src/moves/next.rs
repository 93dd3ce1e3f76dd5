//! The next version of the map: what may be done, given what all members have said.
//!
//! One version takes as many classes as possible a step further, so a change of the ring takes as many versions as one
//! class does, however many move. It is a function of the present version and of what was heard, so it does not matter
//! who computes it, nor whether several do: of their proposals one is decided.

use std::collections::BTreeSet;

use quorate_protocol::versioned::{
    ClassRecord, Going, GoingState, MapVersion, VersionedMap, Voter,
};
use quorate_ring::NodeId;

use super::account;
use super::all::{self, Steps};
use super::heard::{Heard, Index};
use super::voters::voters;
use crate::register::Draft;

/// What a version does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A class sets out: its nodes of the ring to come are written too.
    Begin,
    /// A class under way gets other newcomers.
    Retarget,
    /// A class under way waits no longer for an old node that was removed by force.
    Bury,
    /// All newcomers of a class are complete: the new set is read.
    ReadNew,
    /// All members of a class read the new set: the old one is not written any more.
    Settle,
    /// A class under way goes back: the old set is read again.
    ReadOld,
    /// A class stays where it was: its newcomers depart.
    Abandon,
    /// Copies without a place are gone.
    Forget,
    /// All classes stand where the ring wants them.
    Finish,
    /// A member that nothing names any more is none.
    Remove,
    /// Members vote that did not, or did with another storage, or vote no more.
    Vote,
}

/// A version that can be proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// What it says.
    pub draft: Draft,
    /// What it does.
    pub steps: Steps,
    /// The same for people, in a sentence.
    pub what: String,
}

/// The version after this one; `None` where nothing can be done yet.
///
/// A class goes on only when every node of both its sets, but those that are called dead, works under its present epoch:
/// so never more than two epochs are in use by nodes that count. A member goes when nothing names it and it holds nothing.
#[must_use]
pub fn next_version(version: &VersionedMap, heard: &Heard) -> Option<Next> {
    let index = Index::new(heard);
    let ring = &version.map.ring;
    let (records, mut steps) = all::advance(version, ring, &version.going, &index);
    let mut draft = Draft {
        records,
        ..version.into()
    };
    if all::is_finished(&draft.records, ring) && draft.before.take().is_some() {
        steps.insert(Step::Finish, 1);
    }
    let removed = remove(&mut draft, version, heard, &index);
    count(&mut steps, Step::Remove, removed.len());
    let votes = changed(&version.voters, &draft.voters);
    count(&mut steps, Step::Vote, votes);
    let what = account::of_steps(version, &steps, &removed);
    (!steps.is_empty()).then_some(Next { draft, steps, what })
}

fn count(steps: &mut Steps, step: Step, times: usize) {
    if times > 0 {
        steps.insert(step, times);
    }
}

/// Takes those out who go and hold nothing, and names who votes. Returns who was taken out.
fn remove(draft: &mut Draft, version: &VersionedMap, heard: &Heard, index: &Index) -> Vec<NodeId> {
    // Who goes may be called back as long as the change may be cancelled.
    let gone = match draft.before {
        None => gone(draft, version.dropped, index),
        Some(_) => BTreeSet::new(),
    };
    for without in [gone, BTreeSet::new()] {
        let (mut members, mut going) = (draft.map.members.clone(), draft.going.clone());
        members.retain(|member| !without.contains(&member.id));
        going.retain(|going| !without.contains(&going.node));
        if let Some(voters) = voters(version, &members, &going, heard) {
            let given_up = |going: &&Going| {
                going.state == GoingState::Forgotten && without.contains(&going.node)
            };
            let given_up = draft.going.iter().filter(given_up);
            draft.expelled.extend(given_up.map(|going| going.node));
            draft.expelled.sort_unstable();
            draft.expelled.dedup();
            (draft.map.members, draft.going, draft.voters) = (members, going, voters);
            return without.into_iter().collect();
        }
    }
    Vec::new()
}

/// Those who go and hold nothing: no record names them, and they have said under a version by which they take nothing
/// in, and after the last drop of a bucket, that nothing is left. Nobody waits for the word of a dead one.
fn gone(draft: &Draft, dropped: MapVersion, index: &Index) -> BTreeSet<NodeId> {
    let sets = |record: &ClassRecord| {
        let sets = [&record.old, &record.new, &record.departing];
        let places = sets.into_iter().flatten().map(|place| place.node);
        places.collect::<Vec<_>>()
    };
    let named: BTreeSet<NodeId> = draft.records.iter().flat_map(sets).collect();
    let is_gone = |going: &&Going| {
        let node = going.node;
        let since = going.since.max(dropped);
        let said = index.is_heard_under(node, since) && !index.is_busy(node);
        (going.is_dead() || said) && !named.contains(&node)
    };
    let gone = draft.going.iter().filter(is_gone);
    gone.map(|going| going.node).collect()
}

/// How many voters are others than before.
fn changed(before: &[Voter], after: &[Voter]) -> usize {
    let new = after.iter().filter(|voter| !before.contains(voter)).count();
    let stays = |voter: &&Voter| !after.iter().any(|other| other.node == voter.node);
    new + before.iter().filter(stays).count()
}
