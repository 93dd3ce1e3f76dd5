//! The versions that a move goes through, made by the real functions and numbered as they come up.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::moves::{
    Allowed, Complete, Heard, Next, Word, cancel, commit, next_version, stage,
};
use quorate_core::register::Version;
use quorate_protocol::versioned::{ClassState, MapVersion, StagedChange};
use quorate_ring::{Class, NodeId, PartitionId, Weight};

use super::state::{NODES, Nodes, State, Wrong};
use crate::world::{change, founded, id, member, standing, storage};

const CLASS: Class = Class {
    n: 3,
    partition: PartitionId::new(0),
};

/// A version, as far as the class goes.
#[derive(Clone, Debug)]
pub(super) struct Known {
    version: Version,
    pub(super) parent: Option<u8>,
    /// The class's epoch: versions of one epoch are one to replicas.
    pub(super) epoch: u64,
    pub(super) state: ClassState,
    pub(super) old: Nodes,
    pub(super) new: Nodes,
}

impl Known {
    /// All that have a place.
    pub(super) const fn places(&self) -> Nodes {
        self.old | self.new
    }

    /// Who is read.
    pub(super) const fn read(&self) -> Nodes {
        match self.state {
            ClassState::JointNew => self.new,
            ClassState::Stable | ClassState::JointOld => self.old,
        }
    }

    pub(super) const fn newcomers(&self) -> Nodes {
        self.new & !self.old
    }
}

/// The newest version, and what each node has done: which it works under, whether it claims, whether it has a copy.
type Done = (u8, [(u8, bool, bool); NODES]);

fn done(state: &State) -> Done {
    let of = |node: super::state::Node| (node.knows, node.claims, node.has);
    (state.decided, state.nodes.map(of))
}

/// All versions met so far.
pub(super) struct Versions {
    known: Vec<Known>,
    after: BTreeMap<Done, Option<u8>>,
    cancelled: BTreeMap<Done, Option<u8>>,
    wrong: Option<Wrong>,
}

impl Versions {
    /// The one in which the move is staged, and the one that begins it. Node 3 is to take the place of one of the others.
    pub(super) fn new(wrong: Option<Wrong>) -> (Self, [NodeId; NODES]) {
        let members = (1..=NODES as u64).map(|number| member(number, ""));
        let founded = founded(members.collect(), 1, &[3]);
        let holders = founded.map().map.ring.primaries(CLASS).to_vec();
        let stranger = (1..=NODES as u64)
            .map(id)
            .find(|node| !holders.contains(node));
        let ids = [holders[0], holders[1], holders[2], stranger.unwrap()];
        let mut versions = Self {
            known: Vec::new(),
            after: BTreeMap::new(),
            cancelled: BTreeMap::new(),
            wrong,
        };
        let all = Heard {
            running: ids
                .iter()
                .map(|&node| (node, Some(storage(node))))
                .collect(),
            ..Heard::default()
        };
        let drained = StagedChange::weight(ids[0], Weight::DRAINED);
        let staged = child(&founded, stage(founded.map(), drained).unwrap());
        let allowed = Allowed::default();
        let begun = child(&staged, commit(staged.map(), &allowed, &all).unwrap());
        versions.learn(staged, None, &ids);
        versions.learn(begun, Some(0), &ids);
        (versions, ids)
    }

    /// The states of all versions met.
    pub(super) fn states(&self) -> Vec<ClassState> {
        self.known.iter().map(|known| known.state).collect()
    }

    pub(super) fn get(&self, number: u8) -> &Known {
        &self.known[usize::from(number)]
    }

    /// A version and all before it.
    pub(super) fn up_to(&self, number: u8) -> impl Iterator<Item = &Known> {
        let before = |known: &&Known| known.parent.map(|parent| self.get(parent));
        std::iter::successors(Some(self.get(number)), before)
    }

    /// The version that follows from what all nodes have done.
    pub(super) fn next(&mut self, state: &State, ids: &[NodeId; NODES]) -> Option<u8> {
        let key = done(state);
        if let Some(known) = self.after.get(&key) {
            return *known;
        }
        let heard = heard(&self.words(state, ids), ids);
        let version = self.get(state.decided).version.clone();
        let next = next_version(version.map(), &heard).map(|next| child(&version, next));
        let next = next.map(|next| self.without_joint_new(next, &heard));
        let number = next.map(|next| self.learn(next, Some(state.decided), ids));
        self.after.insert(key, number);
        number
    }

    /// The version in which the move is taken back.
    pub(super) fn cancel(&mut self, state: &State, ids: &[NodeId; NODES]) -> Option<u8> {
        let key = done(state);
        if let Some(known) = self.cancelled.get(&key) {
            return *known;
        }
        let heard = heard(&self.words(state, ids), ids);
        let version = self.get(state.decided).version.clone();
        let next = cancel(version.map(), &heard)
            .ok()
            .map(|next| child(&version, next));
        let number = next.map(|next| self.learn(next, Some(state.decided), ids));
        self.cancelled.insert(key, number);
        number
    }

    /// The rule that the new set is read before the old one is left, broken.
    fn without_joint_new(&self, next: Version, heard: &Heard) -> Version {
        let reads_new = standing(next.map(), CLASS).state == ClassState::JointNew;
        if self.wrong != Some(Wrong::NoJointNew) || !reads_new {
            return next;
        }
        let mut all = heard.clone();
        for word in all.words.values_mut() {
            word.version = next.map().version;
        }
        let after = next_version(next.map(), &all).unwrap();
        child(&next, after)
    }

    /// What all nodes would say.
    fn words(&self, state: &State, ids: &[NodeId; NODES]) -> Vec<Word> {
        let newest = self.get(state.decided);
        let word = |(at, node): (usize, &super::state::Node)| {
            let knows = self.get(node.knows);
            let place = standing(knows.version.map(), CLASS).place_of(ids[at]);
            let claim = place.filter(|_| node.claims && knows.state == ClassState::JointOld);
            let ignored = self.wrong == Some(Wrong::NoBarrier);
            let version = if ignored { newest } else { knows };
            let record = standing(newest.version.map(), CLASS);
            let departs = record.departing.iter().find(|place| place.node == ids[at]);
            let departs = departs.filter(|_| node.has && place.is_none());
            Word {
                version: version.version.map().version,
                complete: claim
                    .map(|place| Complete {
                        class: CLASS,
                        vnode: place.vnode,
                        epoch: MapVersion::new(knows.epoch),
                    })
                    .into_iter()
                    .collect(),
                departing: departs
                    .map(|place| (CLASS, place.vnode))
                    .into_iter()
                    .collect(),
            }
        };
        state.nodes.iter().enumerate().map(word).collect()
    }

    fn learn(&mut self, version: Version, parent: Option<u8>, ids: &[NodeId; NODES]) -> u8 {
        let same = |known: &Known| known.version.name() == version.name();
        if let Some(at) = self.known.iter().position(same) {
            return u8::try_from(at).unwrap();
        }
        let record = standing(version.map(), CLASS);
        let mask = |places: &[quorate_protocol::versioned::Place]| {
            let set: BTreeSet<NodeId> = places.iter().map(|place| place.node).collect();
            let bits = ids
                .iter()
                .enumerate()
                .filter(|(_, node)| set.contains(node));
            bits.fold(0, |mask, (at, _)| mask | 1 << at)
        };
        self.known.push(Known {
            parent,
            epoch: record.epoch.get(),
            state: record.state,
            old: mask(&record.old),
            new: mask(&record.new),
            version,
        });
        u8::try_from(self.known.len() - 1).unwrap()
    }
}

fn child(parent: &Version, next: Next) -> Version {
    parent.child(change(&next.what), next.draft).unwrap()
}

fn heard(words: &[Word], ids: &[NodeId; NODES]) -> Heard {
    Heard {
        words: ids.iter().copied().zip(words.iter().cloned()).collect(),
        running: ids
            .iter()
            .map(|&node| (node, Some(storage(node))))
            .collect(),
        ..Heard::default()
    }
}
