//! The cluster map: one content for each number, and nothing that was decided is forgotten.
//!
//! * A version's number has one content, wherever and whenever it is the newest of a node or stands in the log of a
//!   later one, over all restarts and whatever disks forget.
//! * At a node that keeps its disk the newest version never goes back.
//! * From one version to a later one each bucket keeps its id, n and mode, and its revision does not go back.
//!   What is in a version was asked for by a client.
//! * A bucket goes where somebody asked for that, and no later bucket has its id.
//! * What a client is told of is in the newest version of the node that told it, and in the end it is there still, or
//!   what became of it by a later wish.
//! * In the end all nodes have the same newest version, and every version that was ever decided leads to it.
//!
//! Source: the argument at the head of `node/core/src/register/mod.rs`; members that agreed on different
//! configurations under one number after a disk was lost, in other stores.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::register::Version;
use quorate_protocol::MapDigest;
use quorate_protocol::client::PutBucket;
use quorate_protocol::map::{Bucket, BucketProps};
use quorate_protocol::versioned::{MapName, MapVersion};
use quorate_ring::{BucketId, NodeId};

use super::Violation;

/// The name of this invariant.
const NAME: &str = "map";

/// What is known of the map's versions, and what clients asked for and were told.
#[derive(Clone, Debug)]
pub struct Maps {
    /// The newest version of each node, as long as it keeps its disk.
    nodes: Vec<Option<Version>>,
    decided: BTreeMap<MapVersion, MapDigest>,
    /// All that clients asked for, by name.
    asked: BTreeMap<String, Vec<BucketProps>>,
    told: Vec<Bucket>,
    /// Buckets that somebody asked to drop.
    to_drop: BTreeSet<BucketId>,
    /// Buckets that are gone, with a version that lacks them.
    gone: BTreeMap<BucketId, MapVersion>,
    violations: Vec<Violation>,
}

impl Maps {
    /// Of so many nodes, which start with this version.
    #[must_use]
    pub fn new(nodes: usize, first: &Version) -> Self {
        let name = first.name();
        let buckets = &first.map().map.buckets;
        let asked = |bucket: &Bucket| (bucket.name.clone(), vec![bucket.props.clone()]);
        Self {
            nodes: vec![Some(first.clone()); nodes],
            decided: BTreeMap::from([(name.version, name.digest)]),
            asked: buckets.iter().map(asked).collect(),
            told: Vec::new(),
            to_drop: BTreeSet::new(),
            gone: BTreeMap::new(),
            violations: Vec::new(),
        }
    }

    /// A client asks for a bucket.
    pub fn asked(&mut self, request: &PutBucket) {
        let asked = self.asked.entry(request.name.clone()).or_default();
        if !asked.contains(&request.props) {
            asked.push(request.props.clone());
        }
    }

    /// Somebody asks for the end of a bucket.
    pub fn asked_to_drop(&mut self, bucket: BucketId) {
        self.to_drop.insert(bucket);
    }

    /// A client is told by a node that its request is granted.
    pub fn told(&mut self, node: usize, request: &PutBucket, bucket: &Bucket) {
        let newest = self.nodes[node].as_ref();
        let here = newest.and_then(|newest| newest.map().map.bucket_named(&bucket.name));
        if here != Some(bucket) {
            let what = format!("node {node} told a client of {bucket:?} and has {here:?}");
            self.found(what);
        }
        if request.name != bucket.name || (request.props.n, request.props.mode) != nature(bucket) {
            self.found(format!("{request:?} was answered with {bucket:?}"));
        }
        self.told.push(bucket.clone());
    }

    /// This version is the newest at a node now.
    pub fn in_force(&mut self, node: usize, version: &Version) {
        for past in version.history() {
            self.decided_as(past.name);
        }
        let before = self.nodes[node].replace(version.clone());
        match before {
            Some(before) if before.name() == version.name() => {}
            Some(before) if before.name().version > version.name().version => {
                let (old, new) = (before.name(), version.name());
                self.found(format!("node {node} had version {old}, and now {new}"));
            }
            Some(before) => self.follows(node, &before, version),
            None => {}
        }
        for bucket in &version.map().map.buckets {
            let gone = self.gone.get(&bucket.id);
            if gone.is_some_and(|gone| *gone < version.name().version) {
                self.found(format!("{bucket:?} has the id of one that was dropped"));
            }
            let asked = self.asked.get(&bucket.name);
            if !asked.is_some_and(|asked| asked.contains(&bucket.props)) {
                self.found(format!("nobody asked for {bucket:?}"));
            }
        }
    }

    /// Two versions of one number met.
    pub fn contradiction(&mut self, here: MapName, there: MapName) {
        self.found(format!("a node with version {here} met {there}"));
    }

    /// A node lost what it had stored, or a part of it.
    pub fn lost(&mut self, node: usize) {
        self.nodes[node] = None;
    }

    /// Whether a node has the newest version that any node ever had.
    #[must_use]
    pub fn knows_all(&self, node: usize) -> bool {
        let newest = self.nodes[node]
            .as_ref()
            .map(|newest| newest.name().version);
        newest >= self.decided.keys().next_back().copied()
    }

    /// The newest version at a node, as long as it keeps its disk.
    #[must_use]
    pub fn newest(&self, node: usize) -> Option<&Version> {
        self.nodes[node].as_ref()
    }

    /// All that clients asked for under a name.
    #[must_use]
    pub fn asked_for(&self, name: &str) -> &[BucketProps] {
        self.asked.get(name).map_or(&[], |asked| asked)
    }

    /// What was found since the last call.
    pub fn take_violations(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.violations)
    }

    /// What is wrong in the end, when everything is settled.
    #[must_use]
    pub fn at_the_end(&self) -> Vec<Violation> {
        let mut wrong = Vec::new();
        let known = self.nodes.iter().flatten();
        let newest = known.max_by_key(|version| version.name());
        // Ids are given out from 1. Who is a member no longer need not have heard of it.
        let is_member = |at: u64| {
            newest.is_none_or(|newest| newest.map().map.member(NodeId::new(at + 1)).is_some())
        };
        let names: BTreeSet<Option<MapName>> = (0..)
            .zip(&self.nodes)
            .filter(|(at, _)| is_member(*at))
            .map(|(_, newest)| newest.as_ref().map(Version::name))
            .collect();
        if names.len() > 1 {
            wrong.push(format!("nodes end with different versions: {names:?}"));
        }
        let Some(end) = newest else {
            return vec![Violation::general(
                NAME,
                "a node ends without a version".to_owned(),
            )];
        };
        let last = self.decided.keys().next_back();
        if last.is_some_and(|last| *last > end.name().version) {
            wrong.push(format!(
                "version {last:?} was decided, the end has {}",
                end.name()
            ));
        }
        let kept = |told: &&Bucket| {
            let mut buckets = end.map().map.buckets.iter();
            buckets.any(|bucket| *told == bucket || becomes(told, bucket))
        };
        let dropped =
            |told: &&Bucket| self.to_drop.contains(&told.id) && end.map().has_dropped(told.id);
        let lost = self.told.iter();
        let lost = lost.filter(|told| !kept(told) && !dropped(told));
        wrong.extend(lost.map(|told| format!("a client was told of {told:?}, the end lacks it")));
        let violation = |what| Violation::general(NAME, what);
        wrong.into_iter().map(violation).collect()
    }

    fn found(&mut self, what: String) {
        self.violations.push(Violation::general(NAME, what));
    }

    fn decided_as(&mut self, name: MapName) {
        let known = *self.decided.entry(name.version).or_insert(name.digest);
        if known != name.digest {
            let other = MapName {
                digest: known,
                ..name
            };
            self.found(format!("two contents of one version: {other} and {name}"));
        }
    }

    /// Judges what a later version made of the buckets of an earlier one.
    fn follows(&mut self, node: usize, before: &Version, after: &Version) {
        for old in &before.map().map.buckets {
            let mut buckets = after.map().map.buckets.iter();
            let fine = buckets.any(|new| new == old || becomes(old, new));
            let dropped = self.to_drop.contains(&old.id) && after.map().has_dropped(old.id);
            if dropped {
                let gone = self.gone.entry(old.id).or_insert(after.name().version);
                *gone = after.name().version.min(*gone);
            } else if !fine {
                let name = after.name();
                self.found(format!("node {node} had {old:?}, version {name} lacks it"));
            }
        }
    }
}

/// Whether a bucket can be what another one became.
fn becomes(old: &Bucket, new: &Bucket) -> bool {
    new.id == old.id
        && new.name == old.name
        && new.revision > old.revision
        && nature(new) == nature(old)
}

/// What never changes.
fn nature(bucket: &Bucket) -> (u8, quorate_protocol::map::BucketMode) {
    (bucket.props.n, bucket.props.mode)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use quorate_protocol::map::BucketMode;
    use quorate_protocol::options::Count;
    use quorate_protocol::versioned::{MapChange, VersionedMap};
    use quorate_protocol::{RequestId, StorageId};

    use super::*;
    use crate::sim::config::Config;
    use crate::sim::map::bucket;

    fn made(id: u64, revision: u64, n: u8) -> Bucket {
        let mut made = bucket(id, "made", n, BucketMode::Siblings);
        made.revision = revision;
        if revision > 1 {
            made.props.defaults.r = Count::All;
        }
        made
    }

    fn request(bucket: &Bucket) -> PutBucket {
        PutBucket {
            name: bucket.name.clone(),
            props: bucket.props.clone(),
            request: RequestId::new(0, 1),
        }
    }

    fn first() -> Version {
        let mut map = Config::draw(1).map;
        map.buckets.truncate(1);
        Version::seal(VersionedMap::created(map, 0)).unwrap()
    }

    /// The version after `parent`, with these buckets beside the first one.
    fn next(parent: &Version, made: &[Bucket]) -> Version {
        let mut draft = parent.draft();
        for voter in &mut draft.voters {
            voter.storage = Some(StorageId::new(1));
        }
        draft.map.buckets.truncate(1);
        draft.map.buckets.extend_from_slice(made);
        let change = MapChange {
            request: RequestId::new(1, made.first().map_or(0, |made| made.id.get())),
            by: NodeId::new(1),
            wall_ms: 0,
            what: "made".to_owned(),
        };
        parent.child(change, draft).unwrap()
    }

    fn story() -> Maps {
        let mut maps = Maps::new(2, &first());
        for asked in [made(5, 1, 1), made(5, 2, 1)] {
            maps.asked(&request(&asked));
        }
        maps
    }

    fn catches(maps: &mut Maps) -> bool {
        !maps.take_violations().is_empty()
    }

    #[test]
    fn what_goes_well_is_not_blamed() {
        let mut maps = story();
        let one = next(&first(), &[made(5, 1, 1)]);
        let two = next(&one, &[made(5, 2, 1)]);
        maps.in_force(0, &one);
        maps.told(0, &request(&made(5, 1, 1)), &made(5, 1, 1));
        assert!(maps.knows_all(0) && !maps.knows_all(1));
        maps.in_force(1, &two);
        maps.in_force(0, &two);
        assert_eq!(maps.take_violations(), []);
        assert_eq!(maps.at_the_end(), []);
    }

    #[test]
    fn two_contents_of_one_version_are_caught_also_in_the_log_of_a_later_one() {
        let (one, other) = (
            next(&first(), &[made(5, 1, 1)]),
            next(&first(), &[made(6, 1, 1)]),
        );
        let mut maps = story();
        maps.in_force(0, &one);
        let mut later = maps.clone();
        maps.in_force(1, &other);
        assert!(catches(&mut maps));
        later.in_force(1, &next(&other, &[made(6, 1, 1)]));
        assert!(catches(&mut later));
    }

    #[test]
    fn a_version_that_goes_back_is_caught_unless_the_disk_is_lost() {
        let one = next(&first(), &[made(5, 1, 1)]);
        let mut maps = story();
        maps.in_force(0, &one);
        let mut lost = maps.clone();
        maps.in_force(0, &first());
        assert!(catches(&mut maps));
        lost.lost(0);
        lost.in_force(0, &first());
        assert!(!catches(&mut lost) && !lost.at_the_end().is_empty());
    }

    #[test]
    fn a_bucket_that_goes_is_caught() {
        let one = next(&first(), &[made(5, 1, 1)]);
        let mut maps = story();
        maps.in_force(0, &one);
        maps.told(0, &request(&made(5, 1, 1)), &made(5, 1, 1));
        let gone = next(&one, &[]);
        maps.in_force(0, &gone);
        maps.in_force(1, &gone);
        assert!(catches(&mut maps) && !maps.at_the_end().is_empty());
    }

    #[test]
    fn another_id_in_the_place_of_a_bucket_and_an_older_revision_are_caught() {
        for other in [made(6, 2, 1), made(5, 1, 1)] {
            let one = next(&first(), &[made(5, 2, 1)]);
            let mut maps = story();
            maps.in_force(0, &one);
            maps.in_force(0, &next(&one, &[other]));
            assert!(catches(&mut maps));
        }
    }

    #[test]
    fn a_bucket_that_nobody_asked_for_is_caught() {
        let mut unasked = made(5, 1, 1);
        unasked.props.defaults.r = Count::Exactly(1);
        let mut maps = story();
        maps.in_force(0, &next(&first(), &[unasked]));
        assert!(catches(&mut maps));
    }

    #[test]
    fn an_answer_before_the_version_is_there_and_an_answer_to_something_else_are_caught() {
        let mut maps = story();
        maps.told(0, &request(&made(5, 1, 1)), &made(5, 1, 1));
        assert!(catches(&mut maps));
        let mut maps = story();
        maps.in_force(0, &next(&first(), &[made(5, 1, 1)]));
        maps.told(0, &request(&made(5, 1, 2)), &made(5, 1, 1));
        assert!(catches(&mut maps));
    }

    #[test]
    fn nodes_that_end_with_different_versions_are_caught() {
        let mut maps = story();
        maps.in_force(0, &next(&first(), &[made(5, 1, 1)]));
        assert!(!maps.at_the_end().is_empty());
    }
}
