//! Expiry: versions that live for a limited time, and how they go.
//!
//! # One time for all
//!
//! A put's coordinator turns the time to live into an absolute time when it mints the put's dot. From then on
//! that time belongs to the version, as its stamp does: whoever ships, keeps, hands over or repairs
//! the version carries it as it is, and a retry finds the first try's.
//!
//! # The rules
//!
//! 1. *Not shown.* A coordinator does not show a version whose time has passed by its own clock. The context
//!    of its answer covers the version all the same, so that a put through it replaces that one too.
//! 2. *Removed.* A replica removes a version by itself once its own clock is past the version's time by
//!    as much as clocks may differ: by then no node shows it any more. Its dot stays in the vnode's
//!    clock, and "in the clock and not in the object" means "seen and superseded". So nobody mints a dot for
//!    it, nobody is told, and whatever copy arrives later is discarded.
//! 3. *Late.* A version that arrives for the first time when it would be removed is never stored; its dot
//!    enters clock and log like any other.
//! 4. *What it superseded.* Peers that lack the dot must still learn what the write replaced, and only the
//!    object's context tells them. So the log entry of a removed version becomes that of a delete: the
//!    context stays until every member has the dot (see `replicate/collect.rs`).
//!
//! Replicas whose clocks of the day differ hold different versions for a moment under equal vnode clocks. Whoever
//! compares contents leaves out all versions that expire at all ([`Version::expires`]).
//!
//! # Finding them
//!
//! A family of its own notes, for every object, the times at which versions of it expire, in the batch that
//! stores the object ([`Shared::note_expiries`]). It is ordered by time: a look at its beginning finds what is
//! due. Entries that lead nowhere (their object was unreadable, or went with its whole copy) are removed when their time has come.
//!
//! # Wrong clocks
//!
//! Nothing here can make replicas differ for good, whatever their clocks do: only *when* a version goes
//! depends on them. A clock that jumps ahead would throw values away before their time; so the clock of
//! rule 2 runs at most twice as fast as the monotonic one after the start ([`RemovalClock`]).

use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_protocol::ids::Dot;
use quorate_protocol::limits::CLOCK_AHEAD_MS_MAX;

use crate::causality::{Object, Version};
use crate::effects::{Note, Now};
use crate::plant::Plant;
use crate::record::{LogKind, decode_log, encode_log, keys};
use crate::shared::{Cx, Shared};
use crate::shelf::{Place, damaged};
use crate::store::{Family, StoreError};

/// Entries looked at in one tick.
const ENTRIES_PER_TICK: usize = 1024;
/// Between two looks at entries that could not be dealt with, microseconds.
const PATIENCE_US: u64 = 1_000_000;
/// Later than any time.
const NEVER_MS: u64 = u64::MAX;

/// The wall clock, as far as removing goes by it: after a jump ahead it catches up as fast as time passes, so that
/// a clock that is wrong for a minute costs values a minute of their lives at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RemovalClock {
    wall_ms: u64,
    mono_us: u64,
}

impl RemovalClock {
    pub(crate) const fn new(now: Now) -> Self {
        Self {
            wall_ms: now.wall_ms,
            mono_us: now.mono_us,
        }
    }

    fn read(self, now: Now) -> u64 {
        let passed_ms = now.mono_us.saturating_sub(self.mono_us) / 1000;
        let most_ms = self.wall_ms.saturating_add(2 * passed_ms);
        now.wall_ms.min(most_ms)
    }

    /// Takes what it shows now as known.
    fn advance(&mut self, now: Now) {
        *self = Self {
            wall_ms: self.read(now),
            mono_us: now.mono_us,
        };
    }
}

/// What of an index entry was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dealt {
    Done,
    /// Its object cannot be touched now.
    Later,
}

/// The removal of expired versions, over all vnodes.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    /// The earliest time that may be noted; at first nothing is known of it.
    due_ms: u64,
    /// The earliest time noted since the look under way began, which may have gone past it.
    fresh_ms: u64,
    /// How far the look under way has come.
    after: Option<Vec<u8>>,
    /// Something that it found has to wait.
    left: bool,
    not_before_us: u64,
}

impl Expiry {
    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        let now = cx.s.now;
        cx.s.removal.advance(now);
        let fresh_ms = std::mem::replace(&mut cx.s.fresh_expiry_ms, NEVER_MS);
        self.due_ms = self.due_ms.min(fresh_ms);
        // What this very step noted no scan sees yet.
        self.fresh_ms = match self.after {
            None => fresh_ms,
            Some(_) => self.fresh_ms.min(fresh_ms),
        };
        let upto_ms = cx.s.removed_upto_ms();
        if self.due_ms > upto_ms || !cx.s.writable || now.mono_us < self.not_before_us {
            return;
        }
        // What cannot be read now is tried again at the next tick.
        if let Ok((found, next_ms)) = self.look(cx, upto_ms) {
            for key in &found {
                self.left |= cx.deal_with(key, upto_ms) == Dealt::Later;
            }
            self.go_on(found, next_ms, now);
        }
    }

    /// The entries that are due, as many as one tick may deal with; and if that is all, the time of the next.
    fn look(&self, cx: &Cx<'_>, upto_ms: u64) -> Result<(Vec<Vec<u8>>, Option<u64>), StoreError> {
        let (mut from, to) = keys::expiry_range_from(0);
        if let Some(after) = &self.after {
            from = [after.as_slice(), &[0]].concat();
        }
        let (mut found, mut next_ms) = (Vec::new(), Some(NEVER_MS));
        cx.scan(Family::Expiry, (from, to), |key, _| {
            let due_ms = keys::parse_expiry_key(key).map_or(0, |(due_ms, ..)| due_ms);
            if due_ms > upto_ms {
                next_ms = Some(due_ms);
                return ControlFlow::Break(());
            }
            if found.len() == ENTRIES_PER_TICK {
                next_ms = None;
                return ControlFlow::Break(());
            }
            found.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
        Ok((found, next_ms))
    }

    fn go_on(&mut self, mut found: Vec<Vec<u8>>, next_ms: Option<u64>, now: Now) {
        let Some(next_ms) = next_ms else {
            self.after = found.pop();
            return;
        };
        self.after = None;
        self.due_ms = next_ms.min(self.fresh_ms);
        if std::mem::take(&mut self.left) {
            self.due_ms = 0;
            self.not_before_us = now.mono_us + PATIENCE_US;
        }
    }
}

impl Shared {
    /// The time by which a coordinator judges what to show: its hybrid clock, so that what it has once hidden
    /// stays hidden though its clock be set back a little.
    pub(crate) fn shown_at_ms(&self) -> u64 {
        let wall_ms = self.now.wall_ms;
        self.hybrid_ms()
            .clamp(wall_ms, wall_ms.saturating_add(CLOCK_AHEAD_MS_MAX))
    }

    /// Versions that expired up to then are removed here: no node shows them any more.
    pub(crate) fn removed_upto_ms(&self) -> u64 {
        self.removal
            .read(self.now)
            .saturating_sub(CLOCK_AHEAD_MS_MAX)
    }

    /// Notes when versions of an object expire, and forgets what was noted of versions that are gone.
    pub(crate) fn note_expiries(&mut self, place: &Place, old: &Object, new: &Object) {
        if !has_expiring(old) && !has_expiring(new) {
            return;
        }
        for expires_ms in expiries(old).filter(|&expires_ms| !expires_then(new, expires_ms)) {
            self.delete(Family::Expiry, entry_key(place, expires_ms));
        }
        for expires_ms in expiries(new) {
            if !expires_then(old, expires_ms) {
                self.note_expiry(place, expires_ms);
            }
        }
    }

    /// Notes all of an object, whatever was noted before: what had been may be lost.
    pub(crate) fn note_expiries_again(&mut self, place: &Place, object: &Object) {
        for expires_ms in expiries(object) {
            self.note_expiry(place, expires_ms);
        }
    }

    fn note_expiry(&mut self, place: &Place, expires_ms: u64) {
        if self.breaks(Plant::ExpiredStored) && expires_ms <= self.removed_upto_ms() {
            return;
        }
        self.fresh_expiry_ms = self.fresh_expiry_ms.min(expires_ms);
        self.put(Family::Expiry, entry_key(place, expires_ms), Bytes::new());
    }

    /// The planted bug of a receiver that counts times to live from now on.
    pub(crate) fn count_anew(&self, object: &mut Object) {
        for version in object
            .versions
            .iter_mut()
            .filter(|version| version.expires())
        {
            let ttl_ms = version.expires_ms.saturating_sub(version.stamp >> 16);
            version.expires_ms = self.now.wall_ms.saturating_add(ttl_ms);
        }
    }

    /// Leaves out what arrived too late (rule 3): versions that would be removed at once. Returns whether there were any.
    pub(crate) fn drop_late(&mut self, place: &Place, local: &Object, merged: &mut Object) -> bool {
        // What is being rebuilt is judged version by version; it is cleared when that is done.
        let vnode = self.vnodes.get(&place.class);
        if vnode.is_none_or(|vnode| vnode.rebuilding.is_some())
            || self.breaks(Plant::ExpiredStored)
            || !has_expiring(merged)
        {
            return false;
        }
        let upto_ms = self.removed_upto_ms();
        let before = merged.versions.len();
        merged
            .versions
            .retain(|version| !version.has_expired(upto_ms) || local.has(version.dot));
        let late = before - merged.versions.len();
        (0..late).for_each(|_| self.note(Note::ExpiredOnArrival));
        late > 0
    }
}

impl Cx<'_> {
    /// Removes what has expired of the object that an index entry names, and the entry.
    fn deal_with(&mut self, entry: &[u8], upto_ms: u64) -> Dealt {
        let Some((expires_ms, class, bucket, name)) = keys::parse_expiry_key(entry) else {
            self.s.delete(Family::Expiry, entry.to_vec());
            return Dealt::Done;
        };
        if !self.s.owns(class.partition) {
            return Dealt::Done; // another replica's of this node
        }
        let place = Place {
            class,
            bucket,
            key: Bytes::copy_from_slice(name),
        };
        if self.s.held(class).is_none() {
            // The copy departed and was deleted with its objects.
            self.s.delete(Family::Expiry, entry.to_vec());
            return Dealt::Done;
        }
        // A departing copy hands over what it has as it is.
        let vnode = self.s.vnodes.get(&class);
        if vnode.is_none_or(|vnode| vnode.rebuilding.is_some()) {
            return Dealt::Later;
        }
        let loaded = self.load(&place);
        let Ok(object) = self.watch(class, loaded) else {
            return Dealt::Later;
        };
        if !expires_then(&object, expires_ms) {
            self.s.delete(Family::Expiry, entry.to_vec());
        }
        match self.expire(&place, &object, upto_ms) {
            Ok(()) => Dealt::Done,
            Err(_) => Dealt::Later,
        }
    }

    /// Removes the versions whose time has passed (rules 2 and 4).
    ///
    /// # Errors
    /// The log could not be read: nothing was changed.
    fn expire(&mut self, place: &Place, old: &Object, upto_ms: u64) -> Result<(), StoreError> {
        let gone: Vec<Dot> = old
            .versions
            .iter()
            .filter(|version| version.has_expired(upto_ms))
            .map(|version| version.dot)
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        let entries: Vec<(Vec<u8>, Bytes)> = gone
            .iter()
            .filter_map(|&dot| self.as_delete(place, dot).transpose())
            .collect::<Result<_, _>>()?;
        let mut new = old.clone();
        new.versions.retain(|version| !version.has_expired(upto_ms));
        self.s.store_object(place, old, &new);
        self.log_as_deletes(place, entries);
        gone.iter().for_each(|_| self.s.note(Note::Expired));
        Ok(())
    }

    /// Log entries of versions that expire and are taken away by what a peer has, without a context that says why: there
    /// their time has passed, by a clock that is ahead. What they superseded must be kept in mind as long as a member
    /// lacks them, so they count as deletes from now on.
    ///
    /// # Errors
    /// The log could not be read.
    pub(crate) fn expired_elsewhere(
        &mut self,
        place: &Place,
        old: &Object,
        new: &Object,
    ) -> Result<Vec<(Vec<u8>, Bytes)>, StoreError> {
        let gone = |version: &&Version| {
            version.expires() && !new.has(version.dot) && !new.context.covers(version.dot)
        };
        let gone: Vec<Dot> = old
            .versions
            .iter()
            .filter(gone)
            .map(|gone| gone.dot)
            .collect();
        let entries = gone.into_iter();
        entries
            .filter_map(|dot| self.as_delete(place, dot).transpose())
            .collect()
    }

    /// Stores log entries as those of deletes.
    pub(crate) fn log_as_deletes(&mut self, place: &Place, entries: Vec<(Vec<u8>, Bytes)>) {
        for (key, record) in entries {
            let dot = keys::parse_log_key(&key).map(|(_, dot)| dot);
            if let (Some(dot), Some(vnode)) = (dot, self.s.vnodes.get_mut(&place.class)) {
                vnode.remember_delete(dot, place.bucket, place.key.clone());
            }
            self.s.put(Family::Log, key, record);
        }
    }

    /// The log entry of a version's dot as that of a delete, if there is one still that is not.
    fn as_delete(
        &mut self,
        place: &Place,
        dot: Dot,
    ) -> Result<Option<(Vec<u8>, Bytes)>, StoreError> {
        let key = keys::log_key(place.class, dot);
        let read = self.get(Family::Log, &key);
        let Some(record) = self.watch(place.class, read)? else {
            return Ok(None);
        };
        let decoded = decode_log(&key, &record).map_err(|error| damaged(Family::Log, &error));
        let mut entry = self.watch(place.class, decoded)?;
        if entry.kind == LogKind::Delete || self.s.breaks(Plant::ExpiryForgetsContext) {
            return Ok(None);
        }
        entry.kind = LogKind::Delete;
        let record = encode_log(&key, &entry);
        Ok(Some((key, record)))
    }
}

fn entry_key(place: &Place, expires_ms: u64) -> Vec<u8> {
    keys::expiry_key(expires_ms, place.class, place.bucket, &place.key)
}

fn has_expiring(object: &Object) -> bool {
    object.versions.iter().any(Version::expires)
}

fn expires_then(object: &Object, expires_ms: u64) -> bool {
    object
        .versions
        .iter()
        .any(|version| version.expires_ms == expires_ms)
}

/// The times at which versions of an object expire.
fn expiries(object: &Object) -> impl Iterator<Item = u64> {
    let versions = object.versions.iter();
    versions
        .filter(|version| version.expires())
        .map(|version| version.expires_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(mono_s: u64, wall_s: u64) -> Now {
        Now {
            mono_us: mono_s * 1_000_000,
            wall_ms: wall_s * 1000,
        }
    }

    #[test]
    fn a_clock_that_jumps_ahead_is_believed_no_faster_than_time_passes() {
        let mut clock = RemovalClock::new(at(10, 1_000));
        assert_eq!(clock.read(at(15, 1_005)), 1_005_000);
        clock.advance(at(15, 1_005));
        assert_eq!(clock.read(at(16, 9_000)), 1_007_000);
        clock.advance(at(16, 9_000));
        assert_eq!(clock.read(at(17, 9_001)), 1_009_000);
        clock.advance(at(17, 9_001));
        assert_eq!(clock.read(at(18, 1_008)), 1_008_000);
        clock.advance(at(18, 1_008));
        assert_eq!(clock.read(at(19, 1_009)), 1_009_000);
    }

    #[test]
    fn a_clock_that_is_set_back_is_believed_at_once() {
        let mut clock = RemovalClock::new(at(10, 1_000));
        assert_eq!(clock.read(at(11, 400)), 400_000);
        clock.advance(at(11, 400));
        assert_eq!(clock.read(at(12, 401)), 401_000);
    }
}
