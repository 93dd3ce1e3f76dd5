//! The receiver's side: a page becomes part of the vnode, and the last one ends the rebuilding.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::ids::Dot;
use quorate_protocol::limits::{BATCH_ITEMS_MAX, KEY_BYTES_MAX, RETRY_WINDOW_MS};
use quorate_protocol::peer::{PeerVersion, SnapshotEntry, SnapshotPage};
use quorate_ring::Class;

use super::sift::rest_of;
use super::spans::is_in;
use crate::causality::{Clock, Object, VersionVector, merge_snapshot};
use crate::effects::Note;
use crate::plant::Plant;
use crate::record::{KeyPlace, LogKind, RebuildStage, keys};
use crate::replicate::handoff::arrival;
use crate::shared::{Cx, Shared};
use crate::shelf::{Arrival, Place, grows, kind_of};
use crate::store::{Family, StoreError};

/// Keys of this vnode that one page may judge beside those that it brings; a longer range is cut.
const KEYS_PER_PAGE: usize = 2 * BATCH_ITEMS_MAX;

impl Cx<'_> {
    /// Takes a page of the sender that the vnode's state names. On an error the transfer stands where
    /// it stood.
    pub(super) fn take_page(
        &mut self,
        page: SnapshotPage,
        clock: &Clock,
    ) -> Result<(), StoreError> {
        let class = page.class;
        let vnode = self.s.vnodes.get(&class);
        let Some(state) = vnode.and_then(|vnode| vnode.rebuilding.clone()) else {
            return Ok(());
        };
        match state.stage {
            RebuildStage::Sifting { .. } | RebuildStage::Waiting => Ok(()),
            RebuildStage::Objects { after, .. } => {
                let stage = self.take_objects(page, clock, after.as_ref())?;
                self.s.reached(class, stage);
                Ok(())
            }
            RebuildStage::Log { .. } => {
                self.take_entries(class, &page.entries);
                match page.next {
                    Some(next) => self.s.reached(class, Reached::Dot(next.dot)),
                    None => {
                        let voids = Clock::from_wire(&page.voids).unwrap_or_default();
                        self.s.install(class, clock, &voids);
                    }
                }
                Ok(())
            }
        }
    }

    /// Judges every key of a page's range, those that only this vnode has included.
    fn take_objects(
        &mut self,
        page: SnapshotPage,
        clock: &Clock,
        after: Option<&KeyPlace>,
    ) -> Result<Reached, StoreError> {
        let class = page.class;
        let mut upto = page.next.and_then(|next| next.key);
        let (from, end) = rest_of(class, after);
        let to = upto
            .as_ref()
            .map_or(end, |upto| rest_of(class, Some(upto)).0);
        let own = self.keys_between(Family::Objects, (from, to), KEYS_PER_PAGE);
        let (own, all) = self.watch(class, own)?;
        let own: BTreeSet<KeyPlace> = own.iter().filter_map(|key| key_place(key)).collect();
        if !all {
            upto = own.last().cloned();
        }
        let in_range = |place: &KeyPlace| upto.as_ref().is_none_or(|upto| place <= upto);
        let mut arrivals: BTreeMap<KeyPlace, Arrival> = BTreeMap::new();
        for _ in &page.same {
            self.s.note(Note::HeldAlike);
        }
        for object in page.objects {
            let Ok((place, arrival)) = arrival(class, object) else {
                return Err(StoreError::Failed("a page that cannot be read".to_owned()));
            };
            arrivals.insert((place.bucket, place.key), arrival);
        }
        arrivals.retain(|place, _| in_range(place));
        let taken = arrivals.len() as u64;
        for (bucket, key) in own {
            if is_in(&page.same, &(bucket, key.clone())) {
                continue; // held alike
            }
            arrivals.entry((bucket, key)).or_insert_with(nothing);
        }
        for ((bucket, key), arrival) in arrivals {
            let place = Place { class, bucket, key };
            self.take_object(&place, &arrival, clock)?;
        }
        if let Some(state) = self
            .s
            .vnodes
            .get_mut(&class)
            .and_then(|vnode| vnode.rebuilding.as_mut())
        {
            state.objects += taken;
        }
        Ok(upto.map_or(Reached::AllKeys, Reached::Key))
    }

    /// Merges what the sender has of a key, or that it has nothing, into this vnode's copy. The sender
    /// had durably seen all of `clock` by then.
    fn take_object(
        &mut self,
        place: &Place,
        sent: &Arrival,
        clock: &Clock,
    ) -> Result<(), StoreError> {
        let loaded = self.load(place);
        let old = self.watch(place.class, loaded)?;
        let Some(vnode) = self.s.vnodes.get(&place.class) else {
            return Ok(());
        };
        let Some(state) = &vnode.rebuilding else {
            return Ok(());
        };
        let Some(source) = state.source() else {
            return Ok(());
        };
        let (lost, united, start) = (state.lost, state.united, source.clock.clone());
        let mut local = old.clone();
        let news = lost && says_more(&local, sent, clock);
        let touched = local.dots().any(|dot| vnode.clock.contains(dot))
            || vnode.has_deletes(place.bucket, &place.key);
        if lost && !news && !touched {
            // It tells the sender nothing, and no log entry would come to drop it.
            local.context = VersionVector::new();
        }
        let mut merged = merge_snapshot(
            &local,
            &|dot| !united && vnode.clock.contains(dot),
            &sent.object,
            &|dot| !united && (clock.contains(dot) || sent.settles.contains(&dot)),
        )
        .object;
        let mut entries: Vec<Dot> = sent.settles.clone();
        // What the start clock has needs an entry only while a context hangs on it.
        entries.retain(|&dot| !start.contains(dot) || !merged.context.is_empty());
        if lost {
            let unknown = |dot: &Dot| !clock.contains(*dot) && !sent.settles.contains(dot);
            entries.extend(merged.dots().filter(unknown));
        }
        let known = |dot: &Dot| vnode.clock.contains(*dot);
        let said_before = vnode.clock.covers_context(&sent.object.context);
        if !news && said_before && entries.iter().all(known) && !grows(&local, &merged) {
            merged.context = local.context; // no log entry would come to drop more
        }
        if merged != old {
            let expired = self.expired_elsewhere(place, &old, &merged)?;
            self.s.store_object(place, &old, &merged);
            self.log_as_deletes(place, expired);
        }
        for dot in entries {
            self.s.log_dot(place, dot, kind_of(&merged, dot), None);
        }
        if news && let Some(dot) = self.s.mint_dot(place.class, &merged) {
            self.s.log_dot(place, dot, LogKind::Delete, None);
        }
        Ok(())
    }

    /// Takes log entries of dots that the vnode will have at the end. All objects are here by now.
    fn take_entries(&mut self, class: Class, entries: &[SnapshotEntry]) {
        let vnode = self.s.vnodes.get(&class);
        let source = vnode.and_then(|vnode| vnode.rebuilding.as_ref()?.source());
        let Some(start) = source.map(|source| source.clock.clone()) else {
            return;
        };
        let wall_ms = self.s.now.wall_ms;
        let usable = |entry: &&SnapshotEntry| {
            (1..=KEY_BYTES_MAX).contains(&entry.key.len()) && start.contains(entry.dot)
        };
        for entry in entries.iter().filter(usable) {
            let place = Place {
                class,
                bucket: entry.bucket,
                key: entry.key.clone(),
            };
            let recent = wall_ms.saturating_sub(entry.at_ms) < RETRY_WINDOW_MS;
            let kind = if entry.delete {
                LogKind::Delete
            } else {
                LogKind::Merged
            };
            let request = entry.request.filter(|_| recent);
            self.s.log_dot(&place, entry.dot, kind, request);
        }
    }
}

/// How far a page brought the transfer.
enum Reached {
    Key(KeyPlace),
    AllKeys,
    Dot(Option<Dot>),
}

impl Shared {
    fn reached(&mut self, class: Class, reached: Reached) {
        let Some(vnode) = self.vnodes.get_mut(&class) else {
            return;
        };
        let Some(state) = &mut vnode.rebuilding else {
            return;
        };
        let Some(source) = state.source().cloned() else {
            return;
        };
        state.stage = match reached {
            Reached::Key(key) => RebuildStage::Objects {
                source,
                after: Some(key),
            },
            Reached::AllKeys => RebuildStage::Log {
                source,
                after: None,
            },
            Reached::Dot(after) => RebuildStage::Log { source, after },
        };
        self.store_vnode(class);
    }

    /// The last page is here: the vnode has all that the sender durably had at the start.
    fn install(&mut self, class: Class, clock_at_end: &Clock, voids: &Clock) {
        let seq = self.step_seq();
        let at_end = self.breaks(Plant::SnapshotClockAtEnd);
        let Some(vnode) = self.vnodes.get_mut(&class) else {
            return;
        };
        let Some(state) = vnode.rebuilding.take() else {
            return;
        };
        let Some(source) = state.source() else {
            return;
        };
        let claimed = if at_end {
            clock_at_end.clone()
        } else {
            source.clock.clone()
        };
        vnode.clock.merge(&claimed);
        vnode.voids.merge(&voids.intersect(&claimed));
        vnode.forget_folded();
        self.folded = self.folded.max(vnode.clock.folded());
        vnode.note_cut(); // the sender's log may have been
        vnode.fill_from = None;
        vnode.filled = Some(claimed.clone());
        vnode.revision += 1;
        self.unsynced_clocks.push_back((seq, class, claimed));
        self.note(Note::Rebuilt);
        self.store_vnode(class);
    }
}

fn nothing() -> Arrival {
    Arrival {
        object: Object::default(),
        settles: Vec::new(),
        requests: Vec::new(),
    }
}

/// Whether the context of a copy from before supersedes anything of which the sender does not know it.
fn says_more(local: &Object, sent: &Arrival, clock: &Clock) -> bool {
    let displaces = sent.object.dots().any(|dot| local.context.covers(dot));
    displaces || !clock.covers_context(&local.context)
}

pub(super) fn key_place(storage_key: &[u8]) -> Option<KeyPlace> {
    let (_, bucket, key) = keys::parse_object_key(storage_key)?;
    Some((bucket, bytes::Bytes::copy_from_slice(key)))
}

pub(crate) fn page_bytes(page: &SnapshotPage) -> u64 {
    let versions = page
        .objects
        .iter()
        .flat_map(|object| &object.object.versions);
    // What came, not what the sender says of it.
    let came = |version: &PeerVersion| version.body.as_ref().map_or(0, |body| body.value.len());
    let values: usize = versions.map(|version| came(version) + 64).sum();
    (values + 64 * (page.objects.len() + page.entries.len())) as u64
}

#[cfg(test)]
mod tests {
    use quorate_protocol::ids::{ActorId, Dot, RequestId, StorageId};
    use quorate_protocol::peer::{PeerObject, SettledObject};
    use quorate_ring::{BucketId, PartitionId};

    use super::*;

    /// Found by malformed sequences of messages: two such claims overflowed, and one would have put
    /// the next page off for ever.
    #[test]
    fn a_page_counts_for_what_came_whatever_sizes_it_claims() {
        let version = |counter| PeerVersion {
            dot: Dot::new(ActorId::new(1), counter),
            stamp: 0,
            expires_ms: 0,
            request: RequestId::new(0, 0),
            size: u64::MAX,
            body: None,
        };
        let object = SettledObject {
            bucket: BucketId::new(1),
            key: Default::default(),
            object: PeerObject {
                versions: vec![version(1), version(2)],
                context: Vec::new(),
            },
            settles: Vec::new(),
            requests: Vec::new(),
        };
        let page = SnapshotPage {
            voids: Box::default(),
            same: Box::default(),
            class: Class {
                n: 3,
                partition: PartitionId::new(0),
            },
            number: 1,
            storage: StorageId::new(1),
            clock: Vec::new(),
            objects: vec![object],
            entries: Vec::new(),
            pause_ms: 0,
            next: None,
            dropped: quorate_protocol::versioned::MapVersion::new(0),
            error: None,
        };
        assert_eq!(page_bytes(&page), 3 * 64);
    }
}
