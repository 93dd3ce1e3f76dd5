//! Where a hint is kept: what this node holds for primaries that could not be reached.
//!
//! A fallback has no vnode clock. For each class, primary stood in for, and key it keeps one
//! self-contained object with its full context and the exact dots that it settles. Reads are
//! answered from it, never from its absence.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};

use quorate_protocol::ids::{ActorId, Dot};
use quorate_ring::{Class, NodeId};

use crate::causality::{Object, Version, merge_hints};
use crate::effects::Note;
use crate::open::is_damaged;
use crate::plant::Plant;
use crate::record::keys::{self, ChunkOwner};
use crate::record::{HintRecord, decode_hint, encode_hint};
use crate::shared::{Cx, Shared};
use crate::shelf::{Arrival, Place, damaged};
use crate::store::{Family, Store, StoreError};

/// How many hints are kept, by target and class. The hints themselves are in storage.
#[derive(Debug, Default)]
pub(crate) struct HintShelf {
    /// Classes of targets of whose hints some had values in pieces.
    with_pieces: BTreeSet<(NodeId, Class)>,
    counts: BTreeMap<NodeId, BTreeMap<Class, u64>>,
    delivered: BTreeMap<NodeId, u64>,
}

impl HintShelf {
    /// Counts what storage holds; also says whether damage kept some of it from being counted.
    pub(crate) fn open(
        store: &dyn Store,
        owns: impl Fn(Class) -> bool,
    ) -> Result<(Self, bool), StoreError> {
        let mut shelf = Self::default();
        let scanned = store.scan(Family::Hints, &[], &[u8::MAX; 16], &mut |key, _| {
            if let Some((target, class, _, _)) = keys::parse_hint_key(key)
                && owns(class)
            {
                shelf.added(target, class);
            }
            ControlFlow::Continue(())
        });
        Ok((shelf, is_damaged(scanned)?))
    }

    fn added(&mut self, target: NodeId, class: Class) {
        *self
            .counts
            .entry(target)
            .or_default()
            .entry(class)
            .or_default() += 1;
    }

    fn delivered_one(&mut self, target: NodeId) {
        *self.delivered.entry(target).or_default() += 1;
    }

    /// One hint less. Returns whether it was the last one of its class and pieces of long values may be left.
    fn removed(&mut self, target: NodeId, class: Class) -> bool {
        let Some(classes) = self.counts.get_mut(&target) else {
            return false;
        };
        if let Some(count) = classes.get_mut(&class) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                classes.remove(&class);
                return self.with_pieces.remove(&(target, class));
            }
        }
        false
    }

    /// Whether nothing is kept for anybody.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.values().all(BTreeMap::is_empty)
    }

    /// Objects kept for a target.
    pub(crate) fn for_target(&self, target: NodeId) -> u64 {
        self.counts
            .get(&target)
            .map_or(0, |classes| classes.values().sum())
    }

    /// Objects of one class kept for a target.
    pub(crate) fn for_class(&self, target: NodeId, class: Class) -> u64 {
        self.counts
            .get(&target)
            .and_then(|classes| classes.get(&class))
            .copied()
            .unwrap_or(0)
    }

    /// Classes of which hints are kept for a target.
    pub(crate) fn classes(&self, target: NodeId) -> BTreeSet<Class> {
        self.counts
            .get(&target)
            .map(|classes| classes.keys().copied().collect())
            .unwrap_or_default()
    }

    /// Hints kept of classes after this one: class, target, how many objects.
    pub(crate) fn after(
        &self,
        after: Option<Class>,
    ) -> impl Iterator<Item = (Class, NodeId, u64)> + '_ {
        let from = (
            after.map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Unbounded,
        );
        let targets = self.counts.iter();
        targets.flat_map(move |(&target, classes)| {
            let classes = classes.range(from);
            classes.map(move |(&class, &count)| (class, target, count))
        })
    }

    /// Everybody for whom hints are kept.
    pub(crate) fn all_targets(&self) -> impl Iterator<Item = NodeId> + '_ {
        let kept = self.counts.iter();
        kept.filter(|(_, classes)| !classes.is_empty())
            .map(|(&target, _)| target)
    }

    /// Targets for which hints are kept of one class.
    pub(crate) fn targets(&self, class: Class) -> Vec<NodeId> {
        self.counts
            .iter()
            .filter(|(_, classes)| classes.contains_key(&class))
            .map(|(&target, _)| target)
            .collect()
    }

    /// Hints delivered and dropped since the replica was opened.
    pub(crate) fn delivered(&self, target: NodeId) -> u64 {
        self.delivered.get(&target).copied().unwrap_or(0)
    }
}

impl Cx<'_> {
    /// Keeps of a hint what can be read of it: versions whose values are gone are no longer settled.
    pub(crate) fn salvage_hint(&mut self, target: NodeId, place: &Place, hint: &HintRecord) {
        let mut kept = hint.clone();
        let readable = |version: &Version| {
            let mut alone = Object {
                versions: vec![version.clone()],
                ..Object::default()
            };
            let loaded = self.load_bodies(ChunkOwner::Hint(target), place, &mut alone, |_| true);
            !matches!(loaded, Err(StoreError::Damaged { .. }))
        };
        kept.object.versions.retain(readable);
        if kept.object.versions.len() == hint.object.versions.len() {
            return; // a failure that passes
        }
        let lost = |dot: &Dot| hint.object.has(*dot) && !kept.object.has(*dot);
        kept.settles.retain(|dot| !lost(dot));
        kept.requests.retain(|(_, dot)| !lost(dot));
        self.s.fallback_actors.remove(&place.class);
        self.s.note(Note::DamageFound);
        if kept.settles.is_empty() {
            self.lose_hint(target, place);
        } else {
            self.s.store_hint(target, place, &hint.object, &kept);
        }
    }

    /// Removes a hint that cannot be read.
    pub(crate) fn lose_hint(&mut self, target: NodeId, place: &Place) {
        let key = keys::hint_key(target, place.class, place.bucket, &place.key);
        self.s.delete(Family::Hints, key);
        self.s.hint_removed(target, place.class);
        self.s.fallback_actors.remove(&place.class);
    }

    /// The hint for one target and key, with long values still in their pieces.
    pub(crate) fn load_hint(
        &self,
        target: NodeId,
        place: &Place,
    ) -> Result<Option<HintRecord>, StoreError> {
        let key = keys::hint_key(target, place.class, place.bucket, &place.key);
        let Some(bytes) = self.get(Family::Hints, &key)? else {
            return Ok(None);
        };
        decode_hint(&key, &bytes)
            .map(Some)
            .map_err(|error| damaged(Family::Hints, &error))
    }

    /// All that this node holds of a key as a fallback, merged over the targets; `None` if it
    /// holds nothing.
    pub(crate) fn load_hints(
        &self,
        place: &Place,
        bodies: bool,
    ) -> Result<Option<HintRecord>, StoreError> {
        let mut all: Option<HintRecord> = None;
        for target in self.s.hints.targets(place.class) {
            let Some(mut hint) = self.load_hint(target, place)? else {
                continue;
            };
            if bodies {
                self.load_bodies(ChunkOwner::Hint(target), place, &mut hint.object, |_| true)?;
            }
            all = Some(match all {
                None => hint,
                Some(known) => joined(&known, &hint),
            });
        }
        Ok(all)
    }

    /// Keeps an arrival as a hint for `target`, merged into the hint that is there.
    pub(crate) fn keep_hint(
        &mut self,
        target: NodeId,
        place: &Place,
        arrival: Arrival,
    ) -> Result<(), StoreError> {
        if self.s.view.has_dropped(place.bucket) {
            return Ok(()); // there is nobody for whom it could be kept
        }
        let known = match self.load_hint(target, place) {
            Err(StoreError::Damaged { .. }) => {
                // What it held is on the other nodes that hold it; what arrives is whole.
                self.s.note(Note::DamageFound);
                self.lose_hint(target, place);
                None
            }
            read => read?,
        };
        let mut fresh = HintRecord {
            object: arrival.object,
            settles: arrival.settles,
            requests: arrival.requests,
            born_ring: self.s.view.map().ring.version(),
        };
        fresh.settles.sort_unstable();
        fresh.settles.dedup();
        let (old, merged) = match known {
            None => {
                self.s.hints.added(target, place.class);
                (Object::default(), fresh)
            }
            Some(known) => {
                let merged = joined(&known, &fresh);
                (known.object, merged)
            }
        };
        self.s.store_hint(target, place, &old, &merged);
        self.s.note(Note::HintStored);
        Ok(())
    }
}

/// Two hints of one key as one.
fn joined(one: &HintRecord, other: &HintRecord) -> HintRecord {
    let object = merge_hints(&one.object, &one.settles, &other.object, &other.settles).object;
    let settles: BTreeSet<Dot> = one.settles.iter().chain(&other.settles).copied().collect();
    let mut requests: Vec<_> = one
        .requests
        .iter()
        .chain(&other.requests)
        .copied()
        .collect();
    requests.sort_unstable();
    requests.dedup();
    HintRecord {
        object,
        settles: settles.into_iter().collect(),
        requests,
        born_ring: one.born_ring.min(other.born_ring),
    }
}

impl Shared {
    fn store_hint(&mut self, target: NodeId, place: &Place, old: &Object, hint: &HintRecord) {
        let key = keys::hint_key(target, place.class, place.bucket, &place.key);
        let (record, pieces) = encode_hint(&key, hint);
        if !pieces.is_empty() {
            self.hints.with_pieces.insert((target, place.class));
        }
        self.put_chunks(ChunkOwner::Hint(target), place, pieces);
        self.put(Family::Hints, key, record);
        self.delete_chunks(ChunkOwner::Hint(target), place, old, &hint.object);
    }

    /// A hint is removed. Pieces may have outlived records that were lost: they go with the last hint.
    fn hint_removed(&mut self, target: NodeId, class: Class) {
        if self.hints.removed(target, class) {
            let pieces = keys::chunk_class_range(ChunkOwner::Hint(target), class);
            self.clear(Family::Chunks, pieces);
        }
    }

    /// Removes pieces of hints of classes that have none (any more), and notes where others have some.
    pub(crate) fn open_hint_pieces(
        &mut self,
        store: &dyn Store,
        owns: impl Fn(Class) -> bool,
    ) -> Result<(), StoreError> {
        let (mut from, to) = keys::hint_chunks_range();
        loop {
            let mut found = None;
            let scanned = store.scan(Family::Chunks, &from, &to, &mut |key, _| {
                found = keys::parse_chunk_key(key).map(|(owner, class, ..)| (owner, class));
                ControlFlow::Break(())
            });
            is_damaged(scanned)?; // storage is opened again, and then all of this is
            let Some((owner @ ChunkOwner::Hint(target), class)) = found else {
                return Ok(());
            };
            let pieces = keys::chunk_class_range(owner, class);
            from.clone_from(&pieces.1);
            if !owns(class) {
                continue;
            }
            if self.hints.for_class(target, class) == 0 {
                self.clear(Family::Chunks, pieces);
            } else {
                self.hints.with_pieces.insert((target, class));
            }
        }
    }

    /// Drops a hint that its target has stored durably. What this node's fallback actor wrote may
    /// be forgotten with it, so that actor ends here: a later context entry of it would claim
    /// writes that nobody can name any more.
    pub(crate) fn drop_hint(&mut self, target: NodeId, place: &Place, hint: &Object) {
        self.delete(
            Family::Hints,
            keys::hint_key(target, place.class, place.bucket, &place.key),
        );
        self.delete_chunks(ChunkOwner::Hint(target), place, hint, &Object::default());
        self.hint_removed(target, place.class);
        self.hints.delivered_one(target);
        if !self.breaks(Plant::FallbackActorKept) {
            self.fallback_actors.remove(&place.class);
        }
        self.note(Note::HintDelivered);
    }

    /// A new actor, of the generation that the map names: those of earlier ones may be folded at any time. Who has lost its
    /// map goes by what it knows to be folded.
    fn draw_actor(&mut self) -> ActorId {
        let known = u16::try_from(self.folded.saturating_add(1)).unwrap_or(u16::MAX);
        let generation = self.view.version.generation.max(known);
        ActorId::drawn(generation, self.draw())
    }

    /// The next dot of this node as a fallback coordinator of a class, for a write into `object`, which
    /// settles these dots so far. An actor of which dots are known that it has not given out is
    /// somebody else's as well, and is given up.
    pub(crate) fn mint_fallback_dot(
        &mut self,
        class: Class,
        object: &Object,
        settles: &[Dot],
    ) -> Dot {
        let fresh = self.draw_actor();
        let given = self.fallback_actors.entry(class).or_insert((fresh, 0));
        let next = Dot::new(given.0, given.1 + 1);
        if given.0.generation() < fresh.generation()
            || object.context.covers(next)
            || object.has(next)
            || settles.contains(&next)
        {
            *given = (fresh, 0);
        }
        given.1 += 1;
        Dot::new(given.0, given.1)
    }

    /// The next dot of a vnode of this node, for a write into `object`. An actor of which dots are
    /// known that it has not given out is somebody else's as well, and is given up: a dot must
    /// never stand for two writes, nor be superseded before it is written.
    pub(crate) fn mint_dot(&mut self, class: Class, object: &Object) -> Option<Dot> {
        let fresh = self.draw_actor();
        let (me, ring) = (self.view.me, self.view.map().ring.version());
        let reused = self.breaks(Plant::ActorReused);
        let vnode = self.vnodes.get_mut(&class)?;
        if reused {
            let fixed = me.get() << 48 | u64::from(class.partition.get()) << 16;
            let actor = ActorId::drawn(1, fixed);
            vnode.actor = Some((actor, vnode.clock.last(actor)));
        }
        let given = vnode.actor.get_or_insert((fresh, 0));
        let next = Dot::new(given.0, given.1 + 1);
        let known = vnode.clock.contains(next) || object.context.covers(next) || object.has(next);
        let former = given.0.generation() < fresh.generation();
        if (known || former) && !reused {
            *given = (fresh, 0);
        }
        given.1 += 1;
        let dot = Dot::new(given.0, given.1);
        vnode.actors.entry(dot.actor).or_insert((me, ring));
        Some(dot)
    }
}
