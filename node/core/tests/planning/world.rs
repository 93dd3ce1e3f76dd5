//! A cluster as far as ring changes see it: what each node has adopted, which copies it holds, what it has proven, and
//! what of that has been heard by who proposes the next version.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::moves::{Complete, Heard, Next, Progress, Word, next_version, progress};
use quorate_core::register::Version;
use quorate_protocol::ids::{ClusterId, RequestId, StorageId, VnodeId};
use quorate_protocol::map::{Bucket, BucketMode, BucketProps, ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::options::QuorumDefaults;
use quorate_protocol::versioned::{
    ClassRecord, ClassState, MapChange, MapVersion, Place, VersionedMap, Voter,
};
use quorate_ring::{BucketId, Class, NodeId, PartitionCount, Ring, Weight, Zone};

use crate::rules::{Rules, Truth};

/// What a node holds of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) vnode: VnodeId,
    pub(crate) departs: bool,
}

/// A node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    /// The version that it works under, durably.
    pub(crate) adopted: u64,
    pub(crate) up: bool,
    pub(crate) held: BTreeMap<Class, Held>,
    pub(crate) complete: BTreeSet<Complete>,
    /// What it works by.
    pub(crate) knows: Option<Version>,
}

pub(crate) struct World {
    pub(crate) version: Version,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) heard: Heard,
    pub(crate) rules: Rules,
    /// Wrong on purpose: what is heard is twisted, and what is proposed.
    pub(crate) lie: fn(&VersionedMap, &mut Heard),
    pub(crate) spoil: fn(&VersionedMap, &mut Next),
    pub(crate) versions: usize,
}

pub(crate) fn id(number: u64) -> NodeId {
    NodeId::new(number)
}

pub(crate) fn member(number: u64, zone: &str) -> Member {
    Member {
        id: id(number),
        name: format!("n{number}"),
        peer_addresses: vec![format!("127.0.0.1:{number}")],
        client_addresses: vec![format!("127.0.1.1:{number}")],
        zone: zone.parse::<Zone>().unwrap(),
        weight: Weight::default(),
    }
}

pub(crate) fn bucket(n: u8) -> Bucket {
    Bucket {
        id: BucketId::new(u64::from(n)),
        name: format!("b{n}"),
        revision: 1,
        props: BucketProps {
            n,
            mode: BucketMode::Siblings,
            defaults: QuorumDefaults::default(),
        },
    }
}

/// A founded cluster of these members, that many partitions, and buckets of these n.
pub(crate) fn founded(members: Vec<Member>, partitions: u32, copies: &[u8]) -> Version {
    let placed: Vec<_> = members.iter().map(Member::placed).collect();
    let partitions = PartitionCount::new(partitions).unwrap();
    let most = copies.iter().copied().max().unwrap();
    let map = ClusterMap {
        cluster: ClusterId::new(7, 7),
        name: "test".to_owned(),
        format_level: FORMAT_LEVEL,
        ring: Ring::first(partitions, most, &placed).unwrap(),
        members,
        buckets: copies.iter().map(|&n| bucket(n)).collect(),
    };
    let named = |voter: &Voter| Voter {
        node: voter.node,
        storage: Some(storage(voter.node)),
    };
    let first = VersionedMap::first(map, change("created"));
    let voters = first.voters.iter().map(named).collect();
    Version::seal(VersionedMap { voters, ..first }).unwrap()
}

pub(crate) fn storage(node: NodeId) -> StorageId {
    StorageId::new(node.get() + 1000)
}

pub(crate) fn change(what: &str) -> MapChange {
    MapChange {
        request: RequestId::new(1, 1),
        by: id(1),
        wall_ms: 0,
        what: what.to_owned(),
    }
}

/// Where a class stands by a version, with a record or without.
pub(crate) fn standing(version: &VersionedMap, class: Class) -> ClassRecord {
    let at = version
        .records
        .binary_search_by_key(&class, |record| record.class);
    if let Ok(at) = at {
        return version.records[at].clone();
    }
    let since = version.uses.iter().find(|one| one.n == class.n);
    let since = since.unwrap().since;
    let vnode = match since {
        MapVersion::FIRST => VnodeId::FOUNDING,
        later => VnodeId::new(later.get()),
    };
    let place = |&node: &NodeId| Place { node, vnode };
    ClassRecord {
        class,
        epoch: since,
        before: MapVersion::new(0),
        state: ClassState::Stable,
        old: version
            .map
            .ring
            .primaries(class)
            .iter()
            .map(place)
            .collect(),
        new: Vec::new(),
        dead: Vec::new(),
        departing: Vec::new(),
    }
}

/// All classes of a version.
pub(crate) fn classes(version: &VersionedMap) -> Vec<Class> {
    let copies: BTreeSet<u8> = version.map.buckets.iter().map(|b| b.props.n).collect();
    let partitions = || version.map.ring.partitions().partitions();
    let of = |n| partitions().map(move |partition| Class { n, partition });
    copies.into_iter().flat_map(of).collect()
}

impl World {
    /// Nobody has heard anything yet.
    pub(crate) fn idle(version: Version) -> Self {
        Self {
            nodes: BTreeMap::new(),
            heard: Heard::default(),
            rules: Rules::new(version.map()),
            lie: |_, _| {},
            spoil: |_, _| {},
            versions: 0,
            version,
        }
    }

    /// All run, and work under the version.
    pub(crate) fn new(version: Version) -> Self {
        let mut world = Self::idle(version);
        world.meet_members();
        for node in world.ids() {
            world.adopt(node);
            world.hear(node);
        }
        world
    }

    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// Members that were none before are nodes now, and run.
    fn meet_members(&mut self) {
        for member in &self.version.map().map.members {
            let node = Node {
                up: true,
                ..Node::default()
            };
            self.nodes.entry(member.id).or_insert(node);
        }
    }

    /// A node works under the newest version from now on.
    pub(crate) fn adopt(&mut self, id: NodeId) {
        let (version, node) = (self.version.clone(), self.nodes.get_mut(&id).unwrap());
        if !node.up || node.adopted == version.map().version.get() {
            return;
        }
        node.adopted = version.map().version.get();
        let in_use = classes(version.map());
        // What it has of classes that ended goes at once.
        node.held.retain(|class, held| {
            in_use.contains(class) && held.vnode >= version.map().first_vnode(class.n)
        });
        for class in in_use {
            let place = standing(version.map(), class).place_of(id);
            match (place, node.held.get_mut(&class)) {
                (Some(place), _) => {
                    let held = Held {
                        vnode: place.vnode,
                        departs: false,
                    };
                    node.held.insert(class, held);
                }
                (None, Some(held)) => held.departs = true,
                (None, None) => {}
            }
        }
        let map = version.map();
        node.complete.retain(|claim| {
            let used = map.used_since(claim.class.n).is_some();
            used && standing(map, claim.class).epoch == claim.epoch
        });
        node.knows = Some(version);
    }

    /// A newcomer proves that it has it all, of the classes where it can.
    pub(crate) fn claim(&mut self, id: NodeId) {
        let node = &self.nodes[&id];
        let (true, Some(version)) = (node.up, &node.knows) else {
            return;
        };
        let ready = |record: &&ClassRecord| {
            let mut old = record
                .old
                .iter()
                .filter(|place| !record.is_dead(place.node));
            record.state == ClassState::JointOld
                && old.all(|place| self.nodes[&place.node].adopted >= record.epoch.get())
        };
        let records = version.map().records.iter().filter(ready);
        let claims = records.filter_map(|record| {
            let place = record.newcomers().find(|place| place.node == id)?;
            Some(Complete {
                class: record.class,
                vnode: place.vnode,
                epoch: record.epoch,
            })
        });
        let claims: Vec<Complete> = claims.collect();
        self.nodes.get_mut(&id).unwrap().complete.extend(claims);
    }

    /// A node deletes copies that depart.
    pub(crate) fn delete(&mut self, id: NodeId, mut which: impl FnMut() -> bool) {
        let node = self.nodes.get_mut(&id).unwrap();
        if node.up {
            node.held.retain(|_, held| !held.departs || !which());
        }
    }

    pub(crate) fn word(&self, id: NodeId) -> Word {
        let node = &self.nodes[&id];
        let departing = node.held.iter().filter(|(_, held)| held.departs);
        Word {
            version: MapVersion::new(node.adopted),
            complete: node.complete.iter().copied().collect(),
            departing: departing
                .map(|(&class, held)| (class, held.vnode))
                .collect(),
        }
    }

    /// Who proposes hears what a node has done, if it runs, or that it does not.
    pub(crate) fn hear(&mut self, id: NodeId) {
        if self.nodes[&id].up {
            self.heard.words.insert(id, self.word(id));
            self.heard.running.insert(id, Some(storage(id)));
        } else {
            self.heard.running.remove(&id);
        }
    }

    /// Proposes what follows from what was heard, if anything does. Returns whether there is a new version.
    pub(crate) fn step(&mut self) -> Result<bool, String> {
        let mut heard = self.heard.clone();
        (self.lie)(self.version.map(), &mut heard);
        match next_version(self.version.map(), &heard) {
            Some(next) => self.decide(next).map(|()| true),
            None => Ok(false),
        }
    }

    /// A version is decided, and held against the rules.
    pub(crate) fn decide(&mut self, mut next: Next) -> Result<(), String> {
        (self.spoil)(self.version.map(), &mut next);
        let child = self.version.child(change(&next.what), next.draft);
        let child = child.map_err(|error| format!("rule 1: {error}"))?;
        let truth = Truth {
            nodes: &self.nodes,
            heard: &self.heard,
        };
        self.rules.check(self.version.map(), child.map(), &truth)?;
        self.version = child;
        self.versions += 1;
        self.meet_members();
        Ok(())
    }

    /// A version is decided that nobody looks at.
    pub(crate) fn decide_unseen(&mut self, next: Next) {
        let child = self.version.child(change(&next.what), next.draft);
        self.version = child.unwrap();
        self.meet_members();
    }

    pub(crate) fn progress(&self) -> Progress {
        progress(self.version.map(), &self.heard)
    }

    /// Everybody who runs does what can be done, and all of it is heard.
    pub(crate) fn round(&mut self) {
        for node in self.ids() {
            self.adopt(node);
        }
        for node in self.ids() {
            self.claim(node);
            self.delete(node, || true);
            self.hear(node);
        }
    }

    /// Rounds and versions until nothing is left to do. Returns how many versions that took.
    pub(crate) fn settle(&mut self) -> Result<usize, String> {
        const VERSIONS_MAX: usize = 20;
        for taken in 0..VERSIONS_MAX {
            self.round();
            if !self.step()? {
                return Ok(taken);
            }
        }
        let left = self.progress();
        Err(format!(
            "end: {VERSIONS_MAX} versions and not finished: {left:?}"
        ))
    }
}
