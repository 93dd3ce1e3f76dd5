//! A version with the bytes that its digest is of.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use quorate_protocol::MapDigest;
use quorate_protocol::codec::{self, DecodeError};
use quorate_protocol::limits::PAST_VERSIONS_MAX;
use quorate_protocol::map::ClusterMap;
use quorate_protocol::versioned::{
    Before, ClassRecord, Going, MapChange, MapName, MapVersion, PastVersion, Recovery,
    StagedChange, Use, VersionedMap, Voter,
};
use quorate_ring::NodeId;

/// Why something is no version, or not the next one.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum VersionError {
    /// The bytes are none.
    #[error("a version of the cluster map cannot be read: {0}")]
    Bytes(String),
    /// The content contradicts itself.
    #[error("a version of the cluster map contradicts itself: {0}")]
    Contradiction(String),
    /// It does not follow the version that it should.
    #[error("this is not the version after {parent}: {why}")]
    NotNext {
        /// The version that it should follow.
        parent: MapName,
        /// What does not fit.
        why: &'static str,
    },
}

/// What a version says beside its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Members, ring, buckets and format level.
    pub map: ClusterMap,
    /// Who decides the version after it, all with their storages.
    pub voters: Vec<Voter>,
    /// Staged changes.
    pub staged: Vec<StagedChange>,
    /// The classes whose placement is not simply the ring's.
    pub records: Vec<ClassRecord>,
    /// Members on their way out.
    pub going: Vec<Going>,
    /// Nodes that never come back.
    pub expelled: Vec<NodeId>,
    /// Where the change of the ring began that is under way.
    pub before: Option<Before>,
    /// The generation of which actors are drawn.
    pub generation: u16,
}

impl From<&VersionedMap> for Draft {
    fn from(version: &VersionedMap) -> Self {
        let map = version.clone();
        Self {
            map: map.map,
            voters: map.voters,
            staged: map.staged,
            records: map.records,
            going: map.going,
            expelled: map.expelled,
            before: map.before,
            generation: map.generation,
        }
    }
}

/// One version, immutable and cheap to clone. Its bytes are kept as they were first written, so that
/// every node, of whatever build, has the same digest of it.
#[derive(Clone)]
pub struct Version(Arc<Sealed>);

struct Sealed {
    name: MapName,
    bytes: Bytes,
    map: Arc<VersionedMap>,
}

impl Version {
    /// Checks and seals a version.
    ///
    /// # Errors
    /// It contradicts itself, or is so large that nobody could read it.
    pub fn seal(map: VersionedMap) -> Result<Self, VersionError> {
        map.check().map_err(VersionError::Contradiction)?;
        let mut bytes = Vec::new();
        codec::encode(&map, &mut bytes);
        // What cannot be read must never be accepted by anybody: the map could not change any more.
        Self::parse(&bytes.into())
    }

    /// Reads what [`Self::bytes`] gave.
    ///
    /// # Errors
    /// The bytes are no version, or one that contradicts itself.
    pub fn parse(bytes: &Bytes) -> Result<Self, VersionError> {
        let map: VersionedMap = codec::decode(bytes)?;
        map.check().map_err(VersionError::Contradiction)?;
        Ok(Self::new(map, bytes.clone()))
    }

    fn new(map: VersionedMap, bytes: Bytes) -> Self {
        let [hash @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            *blake3::hash(&bytes).as_bytes();
        let name = MapName {
            version: map.version,
            digest: MapDigest::from_bytes(hash),
        };
        let map = Arc::new(map);
        Self(Arc::new(Sealed { name, bytes, map }))
    }

    /// Its number and digest.
    #[must_use]
    pub fn name(&self) -> MapName {
        self.0.name
    }

    /// Its bytes, for wire and disk.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// What it says.
    #[must_use]
    pub fn map(&self) -> &VersionedMap {
        &self.0.map
    }

    /// What it says, to be kept by whoever works by it.
    #[must_use]
    pub fn shared(&self) -> Arc<VersionedMap> {
        Arc::clone(&self.0.map)
    }

    /// What it says beside its place in the chain, as a start for the next one.
    #[must_use]
    pub fn draft(&self) -> Draft {
        self.map().into()
    }

    /// The version after this one.
    ///
    /// # Errors
    /// It would contradict itself, or be of another cluster.
    pub fn child(&self, change: MapChange, draft: Draft) -> Result<Self, VersionError> {
        let recoveries = self.map().recoveries.clone();
        let child = self.after(self.name().version.next(), change, draft, recoveries)?;
        child.check_follows(self)?;
        Ok(child)
    }

    /// The first version of the next lineage, made from this one, without these members.
    ///
    /// # Errors
    /// It would contradict itself, or the cluster was recovered too often.
    pub fn recovered(
        &self,
        change: MapChange,
        draft: Draft,
        gone: Vec<NodeId>,
    ) -> Result<Self, VersionError> {
        let version = self.name().version.in_next_lineage().next();
        let members = &self.map().map;
        let name = |&node: &NodeId| members.member(node).map(|member| member.name.clone());
        let names = gone.iter().map(|node| name(node).unwrap_or_default());
        let names = names.collect();
        let mut recoveries = self.map().recoveries.clone();
        recoveries.push(Recovery {
            version,
            after: self.name(),
            request: change.request,
            gone,
            names,
        });
        self.after(version, change, draft, recoveries)
    }

    fn after(
        &self,
        version: MapVersion,
        change: MapChange,
        draft: Draft,
        recoveries: Vec<Recovery>,
    ) -> Result<Self, VersionError> {
        let mut past = self.map().past.clone();
        past.push(self.line());
        let excess = past.len().saturating_sub(PAST_VERSIONS_MAX);
        past.drain(..excess);
        Self::seal(VersionedMap {
            version,
            uses: Use::follow(&self.map().uses, &draft.map, version),
            dropped: self.dropped_after(&draft.map, version),
            parent: Some(self.name().digest),
            change,
            past,
            map: draft.map,
            voters: draft.voters,
            staged: draft.staged,
            records: draft.records,
            going: draft.going,
            expelled: draft.expelled,
            before: draft.before,
            generation: draft.generation,
            recoveries,
        })
    }

    /// The last version that dropped a bucket, where the next one has this map and number.
    fn dropped_after(&self, next: &ClusterMap, version: MapVersion) -> MapVersion {
        let mut buckets = self.map().map.buckets.iter();
        if buckets.all(|bucket| next.bucket(bucket.id).is_some()) {
            self.map().dropped
        } else {
            version
        }
    }

    /// Checks that this is a possible version after `parent`.
    pub(super) fn check_follows(&self, parent: &Self) -> Result<(), VersionError> {
        let not_next = |why| {
            let parent = parent.name();
            Err(VersionError::NotNext { parent, why })
        };
        let name = parent.name();
        if name.version.next() == name.version || self.name().version != name.version.next() {
            not_next("its number is another one")
        } else if self.map().parent != Some(name.digest) {
            not_next("it was made from another one")
        } else if self.map().map.cluster != parent.map().map.cluster {
            not_next("it is of another cluster")
        } else {
            Ok(())
        }
    }

    /// Whether this may be the first version of the lineage after that one.
    pub(super) fn begins_after(&self, lineage: u16) -> bool {
        let version = self.name().version;
        let last = self.map().recoveries.last();
        last.is_some_and(|last| last.version == version) && version.lineage() == lineage + 1
    }

    /// Whether this version, which is later, remembers `earlier` as it is; `None` if it goes back
    /// less far.
    pub(super) fn remembers(&self, earlier: MapName) -> Option<bool> {
        let mut past = self.map().past.iter().map(|past| past.name);
        let same_number = past.find(|past| past.version == earlier.version)?;
        Some(same_number == earlier)
    }

    /// The log of versions, this one last.
    pub fn history(&self) -> impl Iterator<Item = PastVersion> + '_ {
        self.map().past.iter().cloned().chain([self.line()])
    }

    fn line(&self) -> PastVersion {
        PastVersion {
            name: self.name(),
            change: self.map().change.clone(),
        }
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.bytes() == other.bytes()
    }
}

impl Eq for Version {}

/// Short: a version may be hundreds of kilobytes long.
impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({})", self.name())
    }
}

impl From<DecodeError> for VersionError {
    fn from(error: DecodeError) -> Self {
        Self::Bytes(error.to_string())
    }
}
