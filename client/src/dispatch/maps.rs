//! The cluster map a client works by, and which of two maps is the newer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use quorate_protocol::map::ClusterMap;
use quorate_ring::RingVersion;

/// The map in use.
pub(crate) struct Maps {
    current: ArcSwap<ClusterMap>,
    /// Held while somebody reads the map anew, so that others wait for that one.
    pub(super) refreshing: tokio::sync::Mutex<()>,
    /// Whether a refresh in the background is under way.
    behind: AtomicBool,
}

impl Maps {
    pub(crate) fn new(map: ClusterMap) -> Self {
        Self {
            current: ArcSwap::from_pointee(map),
            refreshing: tokio::sync::Mutex::default(),
            behind: AtomicBool::new(false),
        }
    }

    /// The map, unchanging for as long as the caller holds it.
    pub(crate) fn current(&self) -> Arc<ClusterMap> {
        self.current.load_full()
    }

    /// Takes a map that a node gave, unless the one in use is newer.
    pub(crate) fn offer(&self, map: ClusterMap) {
        let map = Arc::new(map);
        self.current.rcu(|current| {
            if is_older(&map, current) {
                Arc::clone(current)
            } else {
                Arc::clone(&map)
            }
        });
    }

    /// Notes a ring version seen in a reply. True when the caller is the one to read the map anew.
    pub(super) fn falls_behind(&self, seen: RingVersion) -> bool {
        seen > self.current.load().ring.version() && !self.behind.swap(true, Ordering::Relaxed)
    }

    /// The refresh that [`Self::falls_behind`] asked for has ended.
    pub(super) fn caught_up(&self) {
        self.behind.store(false, Ordering::Relaxed);
    }
}

/// Buckets come and change between ring versions and never go.
fn is_older(map: &ClusterMap, than: &ClusterMap) -> bool {
    let age = |map: &ClusterMap| {
        let changes: u64 = map
            .buckets
            .iter()
            .map(|bucket| bucket.revision)
            .fold(0, u64::saturating_add);
        (map.ring.version(), map.buckets.len(), changes)
    };
    age(map) < age(than)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_map_is_never_replaced_by_an_older_one() {
        let (old, mut new) = (testing::map(3), testing::map(3));
        new.buckets[0].revision = 2;
        let maps = Maps::new(old.clone());
        maps.offer(new.clone());
        maps.offer(old);
        assert_eq!(*maps.current(), new);
    }

    #[test]
    fn one_reader_at_a_time_follows_a_newer_ring() {
        let maps = Maps::new(testing::map(3));
        assert!(!maps.falls_behind(RingVersion::new(1)));
        assert!(maps.falls_behind(RingVersion::new(2)));
        assert!(!maps.falls_behind(RingVersion::new(2)));
        maps.caught_up();
        assert!(maps.falls_behind(RingVersion::new(3)));
    }
}
