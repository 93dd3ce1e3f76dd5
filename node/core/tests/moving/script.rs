//! A run in which every step is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_core::Plant;
use quorate_core::effects::Input;
use quorate_core::moves::Word;
use quorate_core::record::keys;
use quorate_protocol::ids::VnodeId;
use quorate_protocol::versioned::{ClassRecord, ClassState, Place, VersionedMap};
use quorate_ring::NodeId;

use crate::oracle::{self, CLASS, record_of};
use crate::world::{Weather, World};
use crate::wrong::Wrong;

/// Five nodes, one key. A, B and P are the members, C and F are not.
pub(crate) struct Script {
    pub(crate) world: World,
    wrong: Option<Wrong>,
    /// What nodes had said before they lost something.
    heard: BTreeMap<NodeId, Word>,
    pub(crate) a: NodeId,
    pub(crate) b: NodeId,
    pub(crate) p: NodeId,
    pub(crate) c: NodeId,
    pub(crate) f: NodeId,
}

impl Script {
    pub(crate) fn new(wrong: Option<Wrong>, strict: bool) -> Self {
        let weather = Weather {
            nodes: 5,
            spares: 0,
            keys: 1,
            steps: 0,
            loss: 0,
            power: false,
            crashes: false,
            strict,
            slow: true,
            moves: true,
        };
        let world = World::new(1, weather, wrong);
        let ring = &world.version.map.ring;
        let members = ring.primaries(CLASS).to_vec();
        let others: Vec<NodeId> = ring.fallbacks(CLASS).collect();
        Self {
            wrong,
            heard: BTreeMap::new(),
            a: members[0],
            b: members[1],
            p: members[2],
            c: others[0],
            f: others[1],
            world,
        }
    }

    /// A rule that replicas break from now on.
    pub(crate) fn breaks_besides(&mut self, plant: Plant) {
        self.world.besides = Some(plant);
        for node in self.world.nodes.values_mut() {
            if let Some(replica) = &mut node.replica {
                replica.plant(plant);
            }
        }
    }

    fn next(&mut self, change: impl FnOnce(&mut ClassRecord, VnodeId)) {
        let version = &self.world.version;
        let mut record = record_of(version);
        let number = version.version.next();
        change(&mut record, VnodeId::new(number.get()));
        record.before = record.epoch;
        record.epoch = number;
        self.world.version = Arc::new(VersionedMap {
            version: number,
            records: vec![record],
            ..VersionedMap::clone(version)
        });
    }

    /// The next version: this newcomer takes the place of a member.
    pub(crate) fn replace(&mut self, leaves: NodeId, comes: NodeId) {
        self.next(|record, vnode| {
            record.new = record.old.clone();
            let place = record
                .new
                .iter_mut()
                .find(|place| place.node == leaves)
                .unwrap();
            *place = Place { node: comes, vnode };
            record.state = ClassState::JointOld;
        });
    }

    /// The next version: two newcomers take the places of two members.
    pub(crate) fn replace_two(&mut self, leave: [NodeId; 2], come: [NodeId; 2]) {
        self.next(|record, vnode| {
            let newcomers: Vec<Place> = record.newcomers().collect();
            record.departing.extend(newcomers);
            record.new = record.old.clone();
            for (leaves, comes) in leave.into_iter().zip(come) {
                let place = record
                    .new
                    .iter_mut()
                    .find(|place| place.node == leaves)
                    .unwrap();
                *place = Place { node: comes, vnode };
            }
            record.state = ClassState::JointOld;
        });
    }

    /// The next version: another aim, before the newcomers are complete. What they are counts as reached if that is the bug.
    pub(crate) fn aim_again(&mut self, leave: [NodeId; 2], come: [NodeId; 2]) {
        if self.wrong != Some(Wrong::MovesOverlap) {
            return self.replace_two(leave, come);
        }
        self.next(|record, vnode| {
            let left = record
                .old
                .iter()
                .filter(|place| !record.new.contains(place));
            let left: Vec<Place> = left.copied().collect();
            record.departing.extend(left);
            record.old = std::mem::take(&mut record.new);
            record.new = record.old.clone();
            let leaves = record.new.len() - 1;
            record.new[leaves] = Place {
                node: leave[0],
                vnode,
            };
        });
    }

    /// The next version: the old set, and nothing else.
    pub(crate) fn cancel(&mut self) {
        self.next(|record, _| {
            let newcomers: Vec<Place> = record.newcomers().collect();
            record.departing.extend(newcomers);
            record.new.clear();
            record.state = ClassState::Stable;
        });
    }

    /// The next version: nobody waits for a node any more.
    pub(crate) fn call_dead(&mut self, node: NodeId) {
        self.next(|record, _| record.dead.push(node));
    }

    /// The next version: the old set is read again, or stays alone if that is the bug.
    pub(crate) fn back(&mut self) {
        if self.wrong == Some(Wrong::CancelledAtOnce) {
            return self.cancel();
        }
        self.next(|record, _| record.state = ClassState::JointOld);
    }

    /// What was ever heard counts, also of who has forgotten it.
    fn words(&self) -> BTreeMap<NodeId, Word> {
        let mut words = self.world.words();
        for (node, word) in &mut words {
            if let Some(heard) = self.heard.get(node) {
                word.version = word.version.max(heard.version);
            }
        }
        words
    }

    /// The next version, if there can be one. Returns whether there is.
    pub(crate) fn go_on(&mut self) -> bool {
        let next = oracle::go_on(&self.world.version, &self.words(), self.wrong);
        let any = next.is_some();
        self.world.decide(next);
        any
    }

    pub(crate) fn adopt(&mut self, nodes: &[NodeId]) {
        nodes.iter().for_each(|&node| self.world.adopt(node));
    }

    /// These may talk to each other about everything; time passes.
    pub(crate) fn among(&mut self, nodes: &[NodeId], ms: u64) {
        self.talk(ms, &|from, to, _| {
            nodes.contains(&from) && nodes.contains(&to)
        });
    }

    /// What is allowed arrives; time passes; only those sync who are asked to.
    pub(crate) fn talk(&mut self, ms: u64, allowed: &dyn Fn(NodeId, NodeId, &str) -> bool) {
        for _ in 0..ms.div_ceil(50) {
            self.turn(allowed);
            self.world.pass_unsynced(50);
        }
        self.turn(allowed);
    }

    fn turn(&mut self, allowed: &dyn Fn(NodeId, NodeId, &str) -> bool) {
        for _ in 0..20 {
            self.world.deliver(allowed);
            for id in self.world.running() {
                if self.world.nodes[&id].wants_sync {
                    self.world.sync(id);
                }
            }
        }
    }

    /// Everybody may talk but this one; time passes, and what is written is fsynced.
    pub(crate) fn among_all_but(&mut self, node: NodeId, ms: u64) {
        self.synced_talk(ms, &|from, to, _| from != node && to != node);
    }

    /// What is allowed arrives; time passes, and what is written is fsynced.
    pub(crate) fn synced_talk(&mut self, ms: u64, allowed: &dyn Fn(NodeId, NodeId, &str) -> bool) {
        for _ in 0..ms.div_ceil(100) {
            self.turn(allowed);
            self.world.pass(100, true);
        }
    }

    /// These talk to each other; time passes, and nobody fsyncs, whoever waits for it.
    pub(crate) fn without_syncs(&mut self, nodes: &[NodeId], ms: u64) {
        for _ in 0..ms.div_ceil(100) {
            for _ in 0..20 {
                self.world
                    .deliver(&|from, to, _| nodes.contains(&from) && nodes.contains(&to));
            }
            self.world.pass_unsynced(100);
        }
    }

    /// A write; only these get it.
    pub(crate) fn put(&mut self, at: NodeId, others: &[NodeId]) {
        self.world.put(at);
        let both = |from: NodeId, to: NodeId| {
            (from == at && others.contains(&to)) || (to == at && others.contains(&from))
        };
        let about = |name: &str| name == "ReplicaPut" || name == "ReplicaAck";
        self.world
            .deliver(&|from, to, name| both(from, to) && about(name));
        self.world.lose(&|_, _, name| name == "ReplicaPut");
    }

    /// A read; only these answer.
    pub(crate) fn read(&mut self, at: NodeId, others: &[NodeId]) {
        self.world
            .lose(&|_, _, name| name == "ReplicaGet" || name == "ReplicaState");
        self.world.read_two(at);
        let about = |name: &str| name == "ReplicaGet" || name == "ReplicaState";
        let one_of_them = |node: NodeId| node == at || others.contains(&node);
        self.world
            .deliver(&|from, to, name| about(name) && one_of_them(from) && one_of_them(to));
    }

    /// A node loses all that it has not fsynced, and comes back.
    pub(crate) fn lose_tail(&mut self, node: NodeId) {
        self.lose_tail_unseen_by(node, node);
    }

    /// The same, so fast that one of the others has not found it out yet.
    pub(crate) fn lose_tail_unseen_by(&mut self, node: NodeId, unseen_by: NodeId) {
        self.heard = self.words();
        self.world.nodes.get_mut(&node).unwrap().die_with(Some(0));
        for other in self.world.running() {
            if other != unseen_by {
                self.world.give(other, Input::PeerDown(node));
            }
        }
        self.world.lose(&|from, to, _| from == node || to == node);
        self.world.start_unseen_by(node, unseen_by);
    }

    /// A node finds that its record of the class is gone.
    pub(crate) fn lose_record(&mut self, node: NodeId) {
        self.lose_of_the_class(node, &[keys::vnode_key(CLASS)]);
    }

    /// A node finds that what it knew of the class is gone, all but the objects.
    pub(crate) fn lose_records(&mut self, node: NodeId) {
        self.lose_of_the_class(node, &[keys::vnode_key(CLASS), keys::digest_key(CLASS)]);
    }

    fn lose_of_the_class(&mut self, node: NodeId, records: &[Vec<u8>]) {
        self.world.die(node, false);
        let losing = self.world.nodes.get_mut(&node).unwrap();
        for record in records {
            losing.lose(quorate_core::Family::Vnodes, record);
        }
        self.world.start_unseen_by(node, node);
    }

    /// What a node holds of the class cannot be read any more.
    pub(crate) fn damage_objects(&mut self, node: NodeId) {
        self.world.die(node, false);
        self.world.nodes.get_mut(&node).unwrap().damage_objects();
        self.world.start_unseen_by(node, node);
    }

    /// Two nodes think that they cannot reach each other.
    pub(crate) fn part(&mut self, one: NodeId, other: NodeId) {
        self.world.give(one, Input::PeerDown(other));
        self.world.give(other, Input::PeerDown(one));
        self.world
            .lose(&|from, to, _| (from, to) == (one, other) || (from, to) == (other, one));
    }

    /// All of these find out that they reach each other.
    pub(crate) fn meet(&mut self, nodes: &[NodeId]) {
        for &one in nodes {
            for &other in nodes.iter().filter(|&&other| other != one) {
                self.world.give(one, Input::PeerUp(other));
            }
        }
    }

    /// Everything comes to an end. Says what is wrong, if anything is.
    pub(crate) fn end(mut self) -> Result<(), String> {
        if let Some(wrong) = self.world.wrongs.first() {
            return Err(wrong.clone());
        }
        let ids: Vec<NodeId> = self.world.nodes.keys().copied().collect();
        self.meet(&ids);
        self.world.end()
    }
}
