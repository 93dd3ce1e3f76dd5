//! One version of the ring: an immutable, numbered, complete value.

use serde::{Deserialize, Serialize};

use crate::claim::{self, ClaimError, Claimed};
use crate::digest::{self, RingDigest};
use crate::hash::{PartitionCount, placement_hash};
use crate::ids::{BucketId, Class, NodeId, PartitionId, RingVersion};
use crate::member::Placed;
use crate::parts::RingParts;
use crate::preference::{PreferenceList, Rest};
use crate::share::ExactShare;
use crate::zone_tree::ZoneTree;

/// The most members a ring can have. Bounds the work of a claim and lets a place be 16 bits.
pub const MEMBERS_MAX: usize = 4096;

/// The most copies a bucket can ask for.
pub const COPIES_MAX: u8 = 7;

/// How many fallbacks a request considers beyond its n primaries.
pub const FALLBACKS_MAX: usize = 3;

/// One version of the ring.
///
/// For each partition it holds one ordered list of distinct members, min(copies, members) long. A
/// bucket of n copies uses the first n of the list. Never changes: a change of members makes the
/// next version ([`Ring::next`]), which names the digest of the one it was made from.
///
/// Encoded with serde as [`RingParts`]; reading an encoding checks all of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "RingParts", into = "RingParts")]
pub struct Ring {
    content: Content,
    digest: RingDigest,
    /// How many lists each member is in, in the order of the members.
    loads: Vec<u32>,
    zones: ZoneTree,
}

/// What a ring says; all else follows from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Content {
    pub(crate) version: RingVersion,
    pub(crate) parent: Option<RingDigest>,
    pub(crate) partitions: PartitionCount,
    /// 1 to [`COPIES_MAX`].
    pub(crate) copies: u8,
    /// 1 to [`MEMBERS_MAX`], in strictly ascending order of their ids, none of them drained.
    pub(crate) members: Vec<Placed>,
    /// The lists of all partitions, one after the other, each min(copies, members) long.
    pub(crate) places: Vec<NodeId>,
}

impl Ring {
    /// The first ring of a cluster: version 1, no parent.
    ///
    /// `copies` is the largest n a bucket may have, 1 to [`COPIES_MAX`]. The order of `members`
    /// does not matter. Those of weight 0 become no members of the ring.
    ///
    /// # Errors
    /// If `copies` or the number of members is out of bounds, a member is listed twice, or all of
    /// them are drained.
    pub fn first(
        partitions: PartitionCount,
        copies: u8,
        members: &[Placed],
    ) -> Result<Self, ClaimError> {
        let Claimed { members, places } = claim::claim(partitions, copies, members, &[])?;
        let version = RingVersion::FIRST;
        Ok(Self::from_content(Content {
            version,
            parent: None,
            partitions,
            copies,
            members,
            places,
        }))
    }

    /// The ring that follows this one when the members become `members`: one version higher, with
    /// this one's digest as its parent, and with as few (partition, node) additions as its balance
    /// allows. Those of weight 0 become no members of the ring.
    ///
    /// # Errors
    /// If the number of members is out of bounds, a member is listed twice, all of them are drained,
    /// or this ring has the largest version number there is.
    pub fn next(&self, members: &[Placed]) -> Result<Self, ClaimError> {
        let Content {
            version,
            partitions,
            copies,
            ref places,
            ..
        } = self.content;
        if version.next() == version {
            return Err(ClaimError::NoVersionLeft);
        }
        let Claimed { members, places } = claim::claim(partitions, copies, members, places)?;
        let (version, parent) = (version.next(), Some(self.digest));
        Ok(Self::from_content(Content {
            version,
            parent,
            partitions,
            copies,
            members,
            places,
        }))
    }

    /// The ring with this content, which satisfies what [`Content`] says.
    pub(crate) fn from_content(content: Content) -> Self {
        let zones = ZoneTree::new(&content.members);
        let mut loads = vec![0; content.members.len()];
        for node in &content.places {
            if let Ok(index) = content
                .members
                .binary_search_by_key(node, |member| member.id)
            {
                loads[index] += 1;
            }
        }
        let digest = digest::digest(&content);
        Self {
            content,
            digest,
            loads,
            zones,
        }
    }

    /// The number of this ring.
    pub fn version(&self) -> RingVersion {
        self.content.version
    }

    /// The digest of the ring this one was made from; none for the first.
    pub fn parent(&self) -> Option<RingDigest> {
        self.content.parent
    }

    /// The fingerprint of everything this ring says, the same whatever encoding it travelled in.
    pub fn digest(&self) -> RingDigest {
        self.digest
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> PartitionCount {
        self.content.partitions
    }

    /// The largest n a bucket may have.
    pub fn copies(&self) -> u8 {
        self.content.copies
    }

    /// The members in ascending order of their ids.
    pub fn members(&self) -> &[Placed] {
        &self.content.members
    }

    /// The partition a key lives in.
    pub fn partition_of(&self, bucket: BucketId, key: &[u8]) -> PartitionId {
        self.content
            .partitions
            .partition_of(placement_hash(bucket, key))
    }

    /// The members that hold a class, in order: the first n of the partition's list.
    ///
    /// Shorter than n if the cluster has fewer members or n is above [`Ring::copies`]; empty for a
    /// partition that this ring does not have.
    pub fn primaries(&self, class: Class) -> &[NodeId] {
        let list = self.list(class.partition);
        &list[..list.len().min(usize::from(class.n))]
    }

    /// All members that are no primaries of a class, in the order in which they stand in for them.
    ///
    /// Members and their order are the same for all n of a partition: the partition's list, then
    /// all others spread over zones. Computed on demand: every step beyond the list takes time in
    /// proportion to the number of members. Empty for a partition that this ring does not have.
    pub fn fallbacks(&self, class: Class) -> impl Iterator<Item = NodeId> {
        let list = self.list(class.partition);
        let listed = &list[self.primaries(class).len()..];
        let rest = (!list.is_empty()).then(|| Rest::new(self, &self.zones, class.partition, list));
        listed.iter().copied().chain(rest.into_iter().flatten())
    }

    /// The nodes a request of this class considers: its primaries and the first fallbacks, n +
    /// [`FALLBACKS_MAX`] nodes at most.
    ///
    /// Takes time in proportion to the number of members; where all primaries are reachable,
    /// [`Ring::primaries`] says enough at no cost.
    pub fn preference_list(&self, class: Class) -> PreferenceList {
        let primaries = self.primaries(class).to_vec();
        let fallbacks = self.fallbacks(class).take(FALLBACKS_MAX).collect();
        PreferenceList {
            primaries,
            fallbacks,
        }
    }

    /// The partitions in which a class of n copies has empty places because the cluster has too few
    /// members, or because n is above [`Ring::copies`].
    pub fn under_replicated(&self, n: u8) -> impl Iterator<Item = PartitionId> {
        let short = self.list_len() < usize::from(n);
        self.content.partitions.partitions().filter(move |_| short)
    }

    /// How many partitions list this node; 0 for one that is no member.
    pub fn load_of(&self, node: NodeId) -> u32 {
        let index = self
            .members()
            .binary_search_by_key(&node, |member| member.id);
        index.map_or(0, |index| self.loads[index])
    }

    /// How many partitions each member should have among its first n, exactly, in the order of the
    /// members: in proportion to weights, as far as distinct nodes and zones allow.
    ///
    /// In a ring that was claimed, a member's load is this for n = [`Ring::copies`], rounded down or
    /// up. For fewer copies, loads are as near to this as an order inside the lists can bring them.
    pub fn exact_shares(&self, n: u8) -> Vec<ExactShare> {
        claim::exact_shares(self.content.partitions, n, &self.content.members)
    }

    /// The lists of all partitions, one after the other.
    pub(crate) fn places(&self) -> &[NodeId] {
        &self.content.places
    }

    fn list_len(&self) -> usize {
        self.members().len().min(usize::from(self.content.copies))
    }

    fn list(&self, partition: PartitionId) -> &[NodeId] {
        let len = self.list_len();
        let start = usize::from(partition.get()) * len;
        self.content.places.get(start..start + len).unwrap_or(&[])
    }
}
