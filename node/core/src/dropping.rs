//! Dropped buckets: what was in them goes.
//!
//! # Who knows
//!
//! A bucket's id says which version of the map made it. So a node whose map is of that version or a later one, and does not
//! name the bucket, knows that it was dropped, however long it was away, and whatever old disk it has; who has
//! an earlier map knows that it does not know the bucket yet. No list of dropped buckets is kept.
//!
//! # What goes, and what stays
//!
//! From the moment at which a node takes the version that drops a bucket, it stores nothing of it: an object that a write,
//! hint, page or answer brings is left out, and its dots are entered into clock and log as those of any other. Coordinators
//! and clients are told that there is no such bucket; hints are acknowledged, so that nobody keeps them.
//! What is there already is removed in pages, within ticks: hints, notes of expiries, objects with their digest, pieces, ids of requests. What the clock has
//! seen it has seen: an object of a dropped bucket is one that every member knows to be superseded. Log entries stay
//! until all members have their dots, as they always do; the objects that go with them are empty by then.
//!
//! With the last bucket that keeps n copies all classes of that n end: records, vnodes, clocks and logs go too. A bucket of that
//! n made later begins with fresh ones, named by the version that made it, and removes what is left of the old ones first.
//!
//! Nothing of that needs a memory but one: up to which drop all is done. It is stored at the end; after a crash everything is looked
//! for once more.
//!
//! # Meanwhile
//!
//! Replicas get there in their own time, so their contents differ under equal clocks. Each says up to which drop it is through,
//! and digests are compared between those that are through up to the same. Who has not heard of a drop would take
//! an empty object for a deleted one, and answer reads by it: it does not listen to answers and pages of who has.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_protocol::versioned::MapVersion;
use quorate_ring::{BucketId, Class};

use crate::causality::Object;
use crate::effects::Note;
use crate::plant::Plant;
use crate::record::keys::{self, ChunkOwner, KeyRange};
use crate::record::{SweptRecord, decode_request, decode_swept, encode_swept};
use crate::shared::{Cx, Shared};
use crate::shelf::Place;
use crate::store::{Family, Store, StoreError};

/// Records removed, and places looked at, in one tick.
const RECORDS_PER_TICK: usize = 1024;
/// Records that one tick reads have no more bytes than that, the last one apart.
const BYTES_PER_TICK: usize = 4 * 1024 * 1024;

/// In which order families are gone through. A vnode's own record goes last: as long as anything is left of an ended
/// class, it says so after a restart.
const STAGES: [Family; 7] = [
    Family::Hints,
    Family::Expiry,
    Family::Objects,
    Family::Chunks,
    Family::Log,
    Family::Requests,
    Family::Vnodes,
];

/// What of dropped buckets is done.
#[derive(Debug)]
pub(crate) struct Dropped {
    /// The last drop of which nothing is left here; `None` while something may be.
    swept: Option<MapVersion>,
    /// The same as an earlier life stored it. The map may be older where its file was lost.
    stored: MapVersion,
    /// Classes that have ended, of which something may be left.
    ended: BTreeSet<Class>,
}

impl Default for Dropped {
    fn default() -> Self {
        Self {
            swept: None,
            stored: MapVersion::new(0),
            ended: BTreeSet::new(),
        }
    }
}

/// The removal, over all families.
#[derive(Debug, Default)]
pub(crate) struct Dropping {
    round: Option<Round>,
    /// The map has changed in this life.
    heard: bool,
}

/// One way through all families.
#[derive(Debug)]
struct Round {
    upto: MapVersion,
    stage: usize,
    from: Vec<u8>,
}

/// What is to be done with a record.
enum Verdict {
    /// It is removed.
    Goes,
    /// A range is removed that begins with it.
    GoesWith(KeyRange),
    /// Nothing before this key is looked at any more.
    SkipTo(Vec<u8>),
    /// It stays.
    Stays,
}

/// What a look at a family found.
#[derive(Default)]
struct Found {
    single: Vec<Vec<u8>>,
    ranges: Vec<KeyRange>,
    /// Where to go on; `None` at the end.
    next: Option<Vec<u8>>,
}

impl Dropping {
    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        let upto = cx.s.view.version.dropped;
        if cx.s.dropped.swept.is_some() || upto < cx.s.dropped.stored || cx.s.is_behind() {
            self.round = None;
            return;
        }
        if !cx.s.writable {
            return;
        }
        if cx.s.breaks(Plant::DroppedForgotten) && !self.heard {
            return cx.s.all_swept(upto);
        }
        if self.round.as_ref().is_none_or(|round| round.upto != upto) {
            self.round = Some(Round::new(upto));
        }
        let mut budget = RECORDS_PER_TICK;
        while let Some(round) = &mut self.round
            && budget > 0
        {
            // What cannot be read now is tried again at the next tick.
            match round.go_on(cx, &mut budget) {
                Ok(true) => {
                    cx.s.all_swept(upto);
                    self.round = None;
                }
                Ok(false) => {}
                Err(_) => return,
            }
        }
    }

    /// The map has changed: a class that begins anew must not lose what it is given to what is left to do.
    pub(crate) fn on_map(&mut self) {
        self.heard = true;
        self.round = None;
    }
}

impl Round {
    const fn new(upto: MapVersion) -> Self {
        Self {
            upto,
            stage: 0,
            from: Vec::new(),
        }
    }

    /// One look and what follows. Returns whether that was the last one.
    fn go_on(&mut self, cx: &mut Cx<'_>, budget: &mut usize) -> Result<bool, StoreError> {
        let Some(&family) = STAGES.get(self.stage) else {
            return Ok(true);
        };
        let found = cx.look_for_dropped(family, &self.from, *budget)?;
        let removed = found.single.len() + found.ranges.len();
        *budget = budget.saturating_sub(removed.max(1));
        for key in found.single {
            cx.remove_dropped(family, key)?;
        }
        for range in found.ranges {
            cx.s.note(Note::DroppedRecord);
            cx.s.clear(family, range);
        }
        match found.next {
            Some(next) => self.from = next,
            None => {
                self.stage += 1;
                self.from.clear();
            }
        }
        Ok(self.stage == STAGES.len())
    }
}

impl Cx<'_> {
    /// Records of dropped buckets from a key on, as many as the budget allows, up to where something may be skipped.
    fn look_for_dropped(
        &self,
        family: Family,
        from: &[u8],
        budget: usize,
    ) -> Result<Found, StoreError> {
        let mut found = Found::default();
        let (mut looked_at, mut bytes) = (0, 0);
        let range = (from.to_vec(), keys::everything().1);
        self.scan(family, range, |key, record| {
            looked_at += 1;
            bytes += record.len();
            match self.s.verdict(family, key, record) {
                Verdict::Goes => {
                    found.single.push(key.to_vec());
                }
                Verdict::GoesWith(range) => {
                    found.next = Some(range.1.clone());
                    found.ranges.push(range);
                    return ControlFlow::Break(());
                }
                Verdict::SkipTo(next) => {
                    found.next = Some(next);
                    return ControlFlow::Break(());
                }
                Verdict::Stays => {}
            }
            if looked_at >= budget || bytes >= BYTES_PER_TICK {
                found.next = Some([key, &[0]].concat());
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    fn remove_dropped(&mut self, family: Family, key: Vec<u8>) -> Result<(), StoreError> {
        self.s.note(Note::DroppedRecord);
        match (family, keys::parse_object_key(&key)) {
            (Family::Objects, Some((class, bucket, name))) if self.s.held(class).is_some() => {
                let name = Bytes::copy_from_slice(name);
                let place = Place {
                    class,
                    bucket,
                    key: name,
                };
                self.remove_object(&place)
            }
            (Family::Hints, _) => {
                if let Some((target, class, bucket, name)) = keys::parse_hint_key(&key) {
                    let name = Bytes::copy_from_slice(name);
                    let place = Place {
                        class,
                        bucket,
                        key: name,
                    };
                    self.lose_hint(target, &place);
                }
                Ok(())
            }
            (
                Family::Objects
                | Family::Chunks
                | Family::Log
                | Family::Vnodes
                | Family::Requests
                | Family::Expiry,
                _,
            ) => {
                self.s.delete(family, key);
                Ok(())
            }
        }
    }

    /// An object goes, and its vnode's digest says so. Of one that cannot be read the digest says nothing any more.
    fn remove_object(&mut self, place: &Place) -> Result<(), StoreError> {
        match self.load(place) {
            Ok(object) => self.s.store_object(place, &object, &Object::default()),
            Err(StoreError::Damaged { .. }) => {
                self.s.delete(Family::Objects, place.object_key());
                self.s.mark_damaged(place.class);
            }
            Err(error @ StoreError::Failed(_)) => return Err(error),
        }
        Ok(())
    }
}

impl Shared {
    /// Whether anything of a bucket is stored: nothing of one that was dropped.
    pub(crate) fn takes(&self, bucket: BucketId) -> bool {
        !self.view.has_dropped(bucket) || self.breaks(Plant::DroppedTaken)
    }

    /// Whether a sender knows of a drop of which this replica has not heard.
    pub(crate) fn is_ahead(&self, dropped: MapVersion) -> bool {
        dropped > self.view.version.dropped
    }

    /// Up to which drop nothing is left here.
    pub(crate) const fn swept(&self) -> Option<MapVersion> {
        self.dropped.swept
    }

    /// What is to be done with a record.
    fn verdict(&self, family: Family, key: &[u8], record: &[u8]) -> Verdict {
        match family {
            Family::Hints => match keys::parse_hint_key(key) {
                Some((target, class, ..)) if !self.owns(class.partition) => {
                    Verdict::SkipTo(keys::hint_class_range(target, class).1)
                }
                Some((_, _, bucket, _)) if self.view.has_dropped(bucket) => Verdict::Goes,
                Some((target, class, bucket, _)) => {
                    Verdict::SkipTo(keys::hint_bucket_range(target, class, bucket).1)
                }
                None => Verdict::Stays,
            },
            Family::Expiry => match keys::parse_expiry_key(key) {
                Some((_, class, bucket, _))
                    if self.owns(class.partition) && self.view.has_dropped(bucket) =>
                {
                    Verdict::Goes
                }
                Some(_) | None => Verdict::Stays,
            },
            Family::Objects => match keys::parse_object_key(key) {
                Some((class, ..)) if !self.owns(class.partition) => {
                    Verdict::SkipTo(keys::class_range(class).1)
                }
                Some((_, bucket, _)) if self.view.has_dropped(bucket) => Verdict::Goes,
                Some((class, bucket, _)) => Verdict::SkipTo(keys::object_range(class, bucket).1),
                None => Verdict::Stays,
            },
            Family::Chunks => match keys::parse_chunk_key(key) {
                Some((owner, class, bucket, ..)) => self.verdict_on_pieces(owner, class, bucket),
                None => Verdict::Stays,
            },
            Family::Log => match keys::class_of_key(key) {
                Some(class) if self.is_over(class) => Verdict::GoesWith(keys::log_range(class)),
                Some(class) => Verdict::SkipTo(keys::log_range(class).1),
                None => Verdict::Stays,
            },
            Family::Requests => {
                let class = keys::class_of_key(key);
                let dropped = || {
                    let request = decode_request(key, record);
                    request.is_ok_and(|request| self.view.has_dropped(request.bucket))
                };
                match class {
                    Some(class) if self.is_over(class) => {
                        Verdict::GoesWith(keys::request_range(class))
                    }
                    Some(class) if self.owns(class.partition) && dropped() => Verdict::Goes,
                    Some(_) | None => Verdict::Stays,
                }
            }
            Family::Vnodes => {
                let class = keys::parse_vnode_key(key)
                    .or_else(|| keys::parse_digest_key(key))
                    .or_else(|| keys::parse_lost_key(key));
                match class {
                    Some(class) if self.is_over(class) => Verdict::Goes,
                    Some(_) | None => Verdict::Stays,
                }
            }
        }
    }

    fn verdict_on_pieces(&self, owner: ChunkOwner, class: Class, bucket: BucketId) -> Verdict {
        if !self.owns(class.partition) {
            return Verdict::SkipTo(keys::chunk_class_range(owner, class).1);
        }
        let range = keys::chunk_bucket_range(owner, class, bucket);
        if self.view.has_dropped(bucket) {
            Verdict::GoesWith(range)
        } else {
            Verdict::SkipTo(range.1)
        }
    }

    /// Whether this node has vnodes that only later versions know: what seems to be of no class may be of one of those.
    fn is_behind(&self) -> bool {
        let mut vnodes = self.vnodes.values().chain(self.departing.values());
        vnodes.any(|vnode| self.view.is_later(vnode.id))
    }

    /// Whether a class of this replica has ended and not begun anew here.
    fn is_over(&self, class: Class) -> bool {
        let is_used = self.view.version.used_since(class.n).is_some();
        let over = !is_used || self.dropped.ended.contains(&class);
        over && self.owns(class.partition) && self.held(class).is_none()
    }

    /// What an earlier life has done is taken as done, if it was all that there is to do.
    pub(crate) fn load_swept(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let key = keys::swept_key(self.shard);
        let record = match store.get(Family::Vnodes, &key) {
            Ok(record) => record.and_then(|record| decode_swept(&key, &record).ok()),
            Err(StoreError::Damaged { .. }) => None,
            Err(error @ StoreError::Failed(_)) => return Err(error),
        };
        let record = record.filter(|record| record.shards == self.shards);
        let stored = record.map_or(MapVersion::new(0), |record| record.dropped);
        let upto = self.view.version.dropped;
        self.dropped.stored = stored;
        let all = stored == upto && self.dropped.ended.is_empty();
        self.dropped.swept = all.then_some(upto);
        self.tell_swept();
        Ok(())
    }

    /// The map has changed: there may be more to remove.
    pub(crate) fn look_for_drops(&mut self) {
        let upto = self.view.version.dropped;
        if self.dropped.swept == Some(upto) && self.dropped.ended.is_empty() {
            return;
        }
        self.dropped.swept = None;
        self.tell_swept();
    }

    fn tell_swept(&mut self) {
        let swept = self.dropped.swept;
        let vnodes = self.vnodes.values_mut().chain(self.departing.values_mut());
        for vnode in vnodes.filter(|vnode| vnode.swept != swept) {
            vnode.swept = swept;
            vnode.revision += 1;
        }
    }

    fn all_swept(&mut self, upto: MapVersion) {
        self.dropped.swept = Some(upto);
        self.dropped.stored = upto;
        self.dropped.ended.clear();
        let key = keys::swept_key(self.shard);
        let swept = SweptRecord {
            shards: self.shards,
            dropped: upto,
        };
        let record = encode_swept(&key, swept);
        self.put(Family::Vnodes, key, record);
        self.note(Note::Swept);
        self.tell_swept();
    }

    /// Vnodes of classes whose last bucket was dropped are none any more.
    pub(crate) fn end_classes(&mut self) {
        let vnodes = self.vnodes.values().chain(self.departing.values());
        let over = vnodes.filter(|vnode| self.view.has_ended(vnode.class, vnode.id));
        for class in over.map(|vnode| vnode.class).collect::<Vec<_>>() {
            self.vnodes.remove(&class);
            self.departing.remove(&class);
            self.piece_owners.remove(&class);
            self.fallback_actors.remove(&class);
            self.strange_actors.remove(&class);
            self.suspected.remove(&class);
            self.differing.retain(|(of, _), _| *of != class);
            self.taken.retain(|(of, _), _| *of != class);
            self.digests_changed.remove(&class);
            self.unsynced.retain(|&(_, of, _)| of != class);
            self.unsynced_clocks.retain(|&(_, of, _)| of != class);
            self.unsynced_settled.retain(|&(_, of, _)| of != class);
            self.unsynced_claims.retain(|&(_, of, _)| of != class);
            self.dropped.ended.insert(class);
            self.note(Note::ClassEnded);
        }
    }

    /// A class begins here that had ended before: nothing is left of it. Returns whether that is so.
    pub(crate) fn begin_class_anew(&mut self, class: Class) -> bool {
        let ended = self.dropped.ended.remove(&class);
        if ended {
            self.wipe(class);
        }
        ended
    }

    /// Removes all that a vnode has of a class.
    pub(crate) fn wipe(&mut self, class: Class) {
        self.clear(Family::Objects, keys::class_range(class));
        let pieces = keys::chunk_class_range(ChunkOwner::Vnode, class);
        self.clear(Family::Chunks, pieces);
        self.clear(Family::Log, keys::log_range(class));
        self.clear(Family::Requests, keys::request_range(class));
        let own = [
            keys::vnode_key(class),
            keys::digest_key(class),
            keys::lost_key(class),
        ];
        for key in own {
            self.delete(Family::Vnodes, key);
        }
    }
}
