//! One version of the cluster map: everything that members decide together, as one value.
//!
//! A version is immutable and complete. It names its parent's digest, so versions form a chain, and it
//! says who decides the version after it ([`Voter`]). `quorate-core`'s register decides versions;
//! clients see the [`ClusterMap`] in it, never the rest.

mod going;
mod moves;
mod number;
mod past;
mod records;
mod recovery;
mod staged;
mod uses;

use std::collections::BTreeSet;
use std::fmt;

use quorate_ring::NodeId;
use serde::{Deserialize, Serialize};

pub use self::going::{Before, Going, GoingState};
pub use self::moves::{ClassRecord, ClassState, Place};
pub use self::number::{MapVersion, MapVersionError};
pub use self::past::{MapChange, PastVersion};
pub use self::recovery::Recovery;
pub use self::staged::{StagedChange, StagedError};
pub use self::uses::Use;
use crate::ids::{MapDigest, RequestId, StorageId};
use crate::limits::{
    CLASS_RECORDS_MAX, EXPELLED_MAX, PAST_VERSIONS_MAX, RECOVERIES_MAX, STAGED_MAX,
};
use crate::map::ClusterMap;

/// A version, named by its number and by what is in it. Orders by number first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MapName {
    /// Its number.
    pub version: MapVersion,
    /// The digest of its bytes.
    pub digest: MapDigest,
}

impl fmt::Display for MapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self.digest.to_string();
        write!(
            f,
            "{} ({})",
            self.version,
            digest.get(..8).unwrap_or(&digest)
        )
    }
}

impl fmt::Debug for MapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MapName({self})")
    }
}

/// A member that takes part in deciding the next version.
///
/// What it said before it lost its storage is nothing that it knows afterwards. So a voter is a node
/// *with its storage*: a wiped node is none until a version names its new storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voter {
    /// The member.
    pub node: NodeId,
    /// The storage that remembers what it promised. `None` only in the first version, which is made
    /// before the nodes have storages.
    pub storage: Option<StorageId>,
}

/// One version of the cluster map, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionedMap {
    /// Its number.
    pub version: MapVersion,
    /// The digest of the version before; none for the first.
    pub parent: Option<MapDigest>,
    /// What was changed, by whom.
    pub change: MapChange,
    /// The versions before this one, as many as are remembered, the youngest last.
    pub past: Vec<PastVersion>,
    /// Members, ring, buckets and format level: what clients and nodes work by.
    pub map: ClusterMap,
    /// Who decides the next version, ordered by node.
    pub voters: Vec<Voter>,
    /// Changes of the members that are staged and not committed, in the order they were staged.
    pub staged: Vec<StagedChange>,
    /// The classes whose placement is not simply that of the ring, ordered.
    #[serde(with = "records")]
    pub records: Vec<ClassRecord>,
    /// Members that the ring gives no place any more, and that are none once nothing names them; ordered by node.
    pub going: Vec<Going>,
    /// Nodes that were members and are none any more, whose copies were given up while they were not known to be gone;
    /// ordered. They never come back: they would bring what is deleted by now.
    pub expelled: Vec<NodeId>,
    /// Where the change of the ring began that is under way: what cancelling it leads back to. `None` where no
    /// class moves, or where they move back already.
    pub before: Option<Before>,
    /// The numbers of copies that buckets keep, each with the version since which some bucket does; ordered.
    pub uses: Vec<Use>,
    /// The last version that dropped a bucket; 0: none did.
    pub dropped: MapVersion,
    /// The generation of which actors are drawn now, from 1. It goes up when so many are retired that their clocks
    /// are worth folding.
    pub generation: u16,
    /// How its lineage came to be: one for each time that the cluster was recovered after a majority of its members
    /// was gone for good, the youngest last.
    pub recoveries: Vec<Recovery>,
}

impl VersionedMap {
    /// The first version of a cluster, as `cluster create` makes it: all members vote, and nobody's
    /// storage is known yet.
    #[must_use]
    pub fn first(map: ClusterMap, change: MapChange) -> Self {
        let voter = |node| Voter {
            node,
            storage: None,
        };
        let voters = map.members.iter().map(|member| voter(member.id)).collect();
        let uses = Use::follow(&[], &map, MapVersion::FIRST);
        Self {
            uses,
            dropped: MapVersion::new(0),
            version: MapVersion::FIRST,
            parent: None,
            change,
            past: Vec::new(),
            map,
            voters,
            staged: Vec::new(),
            records: Vec::new(),
            going: Vec::new(),
            expelled: Vec::new(),
            before: None,
            generation: 1,
            recoveries: Vec::new(),
        }
    }

    /// The first version of a cluster that was made at that time, milliseconds since 1970. The same for
    /// every node that is given the same map and time.
    #[must_use]
    pub fn created(map: ClusterMap, wall_ms: u64) -> Self {
        let by = map
            .members
            .first()
            .map_or(NodeId::new(0), |member| member.id);
        let change = MapChange {
            request: RequestId::new(0, 0),
            by,
            wall_ms,
            what: "the cluster was created".to_owned(),
        };
        Self::first(map, change)
    }

    /// The voter of that node.
    #[must_use]
    pub fn voter(&self, node: NodeId) -> Option<&Voter> {
        self.voters.iter().find(|voter| voter.node == node)
    }

    /// How a member goes, if it does.
    #[must_use]
    pub fn going(&self, node: NodeId) -> Option<&Going> {
        let at = self.going.binary_search_by_key(&node, |going| going.node);
        at.ok().and_then(|at| self.going.get(at))
    }

    /// Whether every voter's storage is known.
    #[must_use]
    pub fn is_founded(&self) -> bool {
        self.voters.iter().all(|voter| voter.storage.is_some())
    }

    /// Checks what the types alone do not say, each part and their fit.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        self.map.check()?;
        self.check_bounds()?;
        self.check_chain()?;
        self.check_lineage()?;
        if self.generation == 0 {
            return Err("actors are of generation 1 at least".to_owned());
        }
        self.check_voters()?;
        self.change.check()?;
        if !self.records.is_sorted_by(|a, b| a.class < b.class) {
            return Err("class records are not distinct and ordered by class".to_owned());
        }
        self.records.iter().try_for_each(ClassRecord::check)?;
        self.check_records()?;
        self.check_uses()?;
        self.check_going()?;
        self.before.as_ref().map_or(Ok(()), Before::check)?;
        self.staged.iter().try_for_each(|staged| {
            let change = staged.change();
            change
                .map(drop)
                .map_err(|error: StagedError| error.to_string())
        })
    }

    /// Records name members, classes of the ring, and nothing of later versions.
    fn check_records(&self) -> Result<(), String> {
        let ring = &self.map.ring;
        let members: BTreeSet<NodeId> = self.map.members.iter().map(|member| member.id).collect();
        for record in &self.records {
            let class = record.class;
            let partition = u32::from(class.partition.get());
            if class.n == 0 || class.n > ring.copies() || partition >= ring.partitions().get() {
                return Err(format!("the ring has no class {class}"));
            }
            if self.used_since(class.n).is_none() {
                return Err(format!("no bucket has keys in class {class}"));
            }
            let sets = [&record.old, &record.new, &record.departing];
            let mut places = sets.into_iter().flatten();
            if let Some(place) = places.find(|place| !members.contains(&place.node)) {
                let node = place.node;
                return Err(format!("class {class} names {node}, which is no member"));
            }
            let mut places = record.old.iter().chain(&record.new);
            let later = places.any(|place| place.vnode.get() > self.version.get());
            if record.epoch > self.version || later {
                return Err(format!("class {class} is of a later version"));
            }
        }
        Ok(())
    }

    fn check_going(&self) -> Result<(), String> {
        if !self.going.is_sorted_by(|a, b| a.node < b.node) {
            return Err("members that go are not distinct and ordered by node".to_owned());
        }
        let ring = self.map.ring.members();
        for going in &self.going {
            let node = going.node;
            if self.map.member(node).is_none() {
                return Err(format!("{node} goes and is no member"));
            }
            if ring.binary_search_by_key(&node, |placed| placed.id).is_ok() {
                return Err(format!("{node} goes and has its places in the ring"));
            }
        }
        if !self.expelled.is_sorted_by(|a, b| a < b) {
            return Err("expelled nodes are not distinct and ordered".to_owned());
        }
        let mut members = self.map.members.iter().map(|member| member.id);
        match members.find(|node| self.expelled.binary_search(node).is_ok()) {
            Some(node) => Err(format!("{node} was expelled and is a member")),
            None => Ok(()),
        }
    }

    fn check_bounds(&self) -> Result<(), String> {
        let bounds = [
            ("past versions", self.past.len(), PAST_VERSIONS_MAX),
            ("staged changes", self.staged.len(), STAGED_MAX),
            ("class records", self.records.len(), CLASS_RECORDS_MAX),
            ("expelled nodes", self.expelled.len(), EXPELLED_MAX),
            ("recoveries", self.recoveries.len(), RECOVERIES_MAX),
        ];
        let over = bounds.iter().find(|(_, found, most)| found > most);
        over.map_or(Ok(()), |(what, found, most)| {
            Err(format!("{found} {what} are over the limit of {most}"))
        })
    }

    fn check_chain(&self) -> Result<(), String> {
        let first = self.version == MapVersion::FIRST;
        if self.version.get() == 0 || first != self.parent.is_none() {
            let version = self.version;
            return Err(format!("version {version} does not go with its parent"));
        }
        let consecutive = self
            .past
            .windows(2)
            .all(|pair| pair[1].name.version.follows(pair[0].name.version));
        let youngest = self.past.last().map(|past| past.name);
        let follows = youngest.map_or(first, |name| {
            self.version.follows(name.version) && Some(name.digest) == self.parent
        });
        if consecutive && follows {
            Ok(())
        } else {
            Err("the past versions do not lead to this one".to_owned())
        }
    }

    fn check_voters(&self) -> Result<(), String> {
        if !self.voters.is_sorted_by(|a, b| a.node < b.node) {
            return Err("voters are not distinct and ordered by node".to_owned());
        }
        if self.voters.is_empty() {
            return Err("nobody votes: no version could follow".to_owned());
        }
        let stranger = |voter: &&Voter| self.map.member(voter.node).is_none();
        if let Some(voter) = self.voters.iter().find(stranger) {
            return Err(format!("{} votes and is no member", voter.node));
        }
        let known = self.voters.iter().filter(|voter| voter.storage.is_some());
        match known.count() {
            0 if self.version == MapVersion::FIRST => Ok(()),
            all if all == self.voters.len() => Ok(()),
            _ => Err("some voter's storage is not known".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_ring::{PartitionCount, Placed, Ring, Weight, Zone};

    use super::*;
    use crate::ids::ClusterId;
    use crate::map::{FORMAT_LEVEL, Member};

    fn first() -> VersionedMap {
        let id = NodeId::new(7);
        let (zone, weight) = (Zone::default(), Weight::default());
        let placed = Placed {
            id,
            zone: zone.clone(),
            weight,
        };
        let map = ClusterMap {
            cluster: ClusterId::new(1, 2),
            name: "test".to_owned(),
            format_level: FORMAT_LEVEL,
            members: vec![Member {
                id,
                name: "n1".to_owned(),
                peer_addresses: Vec::new(),
                client_addresses: Vec::new(),
                zone,
                weight,
            }],
            ring: Ring::first(PartitionCount::new(8).unwrap(), 3, &[placed]).unwrap(),
            buckets: Vec::new(),
        };
        VersionedMap::first(map, change("created"))
    }

    fn change(what: &str) -> MapChange {
        MapChange {
            request: RequestId::new(1, 1),
            by: NodeId::new(7),
            wall_ms: 5,
            what: what.to_owned(),
        }
    }

    /// The version after the first, its voter's storage known.
    fn second() -> VersionedMap {
        let (first, digest) = (first(), MapDigest::new(3, 4));
        let mut voters = first.voters.clone();
        voters[0].storage = Some(StorageId::new(9));
        let name = MapName {
            version: first.version,
            digest,
        };
        VersionedMap {
            version: first.version.next(),
            parent: Some(digest),
            past: vec![PastVersion {
                name,
                change: first.change.clone(),
            }],
            voters,
            ..first
        }
    }

    type Spoil = fn(&mut VersionedMap);

    #[test]
    fn a_version_comes_back_from_its_bytes() {
        for version in [first(), second()] {
            assert_eq!(version.check(), Ok(()));
            let mut bytes = Vec::new();
            crate::codec::encode(&version, &mut bytes);
            assert_eq!(crate::codec::decode(&bytes), Ok(version));
        }
    }

    #[test]
    fn a_version_that_contradicts_itself_is_refused() {
        let wrong: [(&str, Spoil); 9] = [
            ("parent", |version| version.parent = None),
            ("parent", |version| version.version = MapVersion::FIRST),
            ("past", |version| version.past.clear()),
            ("past", |version| {
                version.past[0].name.version = MapVersion::new(5);
            }),
            ("storage", |version| version.voters[0].storage = None),
            ("nobody", |version| version.voters.clear()),
            ("no member", |version| {
                version.voters[0].node = NodeId::new(8);
            }),
            ("sentence", |version| version.change.what.clear()),
            ("control", |version| version.change.what = "a\nb".to_owned()),
        ];
        for (word, spoil) in wrong {
            let mut version = second();
            spoil(&mut version);
            let error = version.check().unwrap_err();
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}
