//! Which numbers of copies buckets keep, and since when.
//!
//! All buckets that keep n copies share the classes of that n. When the last of them is dropped, these classes go with all
//! that was known of them; when a bucket of that n is made later they begin anew. The version that made it is their first
//! epoch and the id of their vnodes, so nothing that was said of the classes of before can be taken for
//! a word about those of now.

use std::collections::BTreeSet;

use quorate_ring::BucketId;
use serde::{Deserialize, Serialize};

use super::{MapVersion, VersionedMap};
use crate::ids::VnodeId;
use crate::map::ClusterMap;

/// A number of copies that some bucket keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The copies.
    pub n: u8,
    /// The version that made the first bucket of those that keep so many.
    pub since: MapVersion,
}

impl Use {
    /// The uses of a version with this map and number, after these.
    #[must_use]
    pub fn follow(before: &[Self], map: &ClusterMap, version: MapVersion) -> Vec<Self> {
        let copies: BTreeSet<u8> = map.buckets.iter().map(|bucket| bucket.props.n).collect();
        let known = |n| before.iter().find(|one| one.n == n).copied();
        let since = version;
        let of = |n| known(n).unwrap_or(Self { n, since });
        copies.into_iter().map(of).collect()
    }
}

impl VersionedMap {
    /// Since when buckets keep so many copies; `None` where none does.
    #[must_use]
    pub fn used_since(&self, n: u8) -> Option<MapVersion> {
        let at = self.uses.binary_search_by_key(&n, |one| one.n).ok()?;
        self.uses.get(at).map(|one| one.since)
    }

    /// The vnode of a place in a class that has never moved: the first of its use.
    #[must_use]
    pub fn first_vnode(&self, n: u8) -> VnodeId {
        match self.used_since(n) {
            Some(since) if since > MapVersion::FIRST => VnodeId::new(since.get()),
            Some(_) | None => VnodeId::FOUNDING,
        }
    }

    /// Whether a bucket was dropped, and is not merely unknown: this version is later than the one that made it.
    /// Numbers go on from one lineage to the next, so they compare across them; one made by a version that was lost in
    /// between counts as dropped, too.
    #[must_use]
    pub fn has_dropped(&self, bucket: BucketId) -> bool {
        bucket.born() <= self.version.count() && self.map.bucket(bucket).is_none()
    }

    pub(super) fn check_uses(&self) -> Result<(), String> {
        if !self.uses.is_sorted_by(|a, b| a.n < b.n) {
            return Err("numbers of copies are not distinct and ordered".to_owned());
        }
        if self.uses != Use::follow(&self.uses, &self.map, self.version) {
            return Err("the numbers of copies are not those of the buckets".to_owned());
        }
        let later = |version: MapVersion| version > self.version;
        if later(self.dropped) || self.uses.iter().any(|one| later(one.since)) {
            return Err("a bucket was dropped or made by a later version".to_owned());
        }
        let is_later = |id: BucketId| id.born() > self.version.count();
        match self.map.buckets.iter().find(|bucket| is_later(bucket.id)) {
            Some(bucket) => Err(format!("bucket {} is of a later version", bucket.id)),
            None => Ok(()),
        }
    }
}
