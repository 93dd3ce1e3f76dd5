//! Reading a page of this node's own keys, and holding a page of a peer's against them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_protocol::ids::Dot;
use quorate_protocol::peer::{PeerVersion, SnapshotPage};
use quorate_ring::Class;

use crate::causality::{Body, Clock, Object};
use crate::plant::Plant;
use crate::record::keys::{self, ChunkOwner};
use crate::record::{KeyPlace, decode_object};
use crate::replicate::handoff::arrival;
use crate::replicate::rebuild::range_of;
use crate::shared::Cx;
use crate::shelf::{Place, damaged};
use crate::store::{Family, StoreError};

/// A version that was lost here.
pub(super) type Lost = (KeyPlace, Dot);

/// Bytes after which a page of own keys ends.
const READ_BYTES: u64 = 256 * 1024;

/// What a page of own keys came to.
#[derive(Debug)]
pub(super) struct Read {
    /// How many keys.
    pub(super) keys: u64,
    /// Bytes of their values.
    pub(super) bytes: u64,
    /// Where the next page begins; `None` after the last one.
    pub(super) next: Option<KeyPlace>,
}

/// What a peer's page came to.
#[derive(Debug)]
pub(super) struct Judged {
    /// How many keys it named.
    pub(super) keys: u64,
    /// Versions that are on their way here.
    pub(super) behind: u64,
    /// Versions that were seen here, and of which nothing says what became of them.
    pub(super) doubted: BTreeSet<Lost>,
    /// Where the next page begins; `None` after the last one.
    pub(super) next: Option<KeyPlace>,
}

impl Cx<'_> {
    /// Reads keys of this node with all their values.
    ///
    /// # Errors
    /// Storage gave no answer, or damage was met: then the vnode is marked.
    pub(super) fn read_range(
        &mut self,
        class: Class,
        within: Option<&KeyPlace>,
        after: Option<&KeyPlace>,
    ) -> Result<Read, StoreError> {
        let range = range_of(class, within, after);
        let records = self.records_between(Family::Objects, range, READ_BYTES);
        let records = self.watch(class, records)?;
        if records.found.is_empty() && !records.all {
            return Err(StoreError::Failed(
                "all of it was removed just now".to_owned(),
            ));
        }
        let mut read = Read {
            keys: 0,
            bytes: 0,
            next: None,
        };
        for (key, record) in &records.found {
            let Some((_, bucket, name)) = keys::parse_object_key(key) else {
                continue;
            };
            let place = Place {
                class,
                bucket,
                key: Bytes::copy_from_slice(name),
            };
            let bytes = self.read_whole(&place, key, record);
            read.bytes += self.watch(class, bytes)?;
            read.keys += 1;
            read.next = Some((bucket, place.key));
            if read.bytes >= READ_BYTES {
                return Ok(read); // long values: the rest of the page comes later
            }
        }
        if records.all {
            read.next = None;
        }
        Ok(read)
    }

    fn read_whole(&self, place: &Place, key: &[u8], record: &Bytes) -> Result<u64, StoreError> {
        let mut object =
            decode_object(key, record).map_err(|error| damaged(Family::Objects, &error))?;
        self.load_bodies(ChunkOwner::Vnode, place, &mut object, |_| true)?;
        Ok(object.bytes() + place.key.len() as u64)
    }

    /// Holds what a peer says to have against what is here.
    ///
    /// # Errors
    /// As [`Self::read_range`].
    pub(super) fn judge_names(&mut self, page: &SnapshotPage) -> Result<Judged, StoreError> {
        let class = page.class;
        let next = page.next.as_ref().and_then(|next| next.key.clone());
        let mut judged = Judged {
            keys: page.objects.len() as u64,
            behind: 0,
            doubted: BTreeSet::new(),
            next,
        };
        let seen_there = Clock::from_wire(&page.clock)
            .map_err(|error| StoreError::Failed(format!("a page that cannot be read: {error}")))?;
        for object in &page.objects {
            if self.s.view.has_dropped(object.bucket) {
                continue;
            }
            let lasting: Vec<Dot> = object.object.versions.iter().filter_map(lasting).collect();
            let place = Place {
                class,
                bucket: object.bucket,
                key: object.key.clone(),
            };
            let loaded = self.load_apart(&place);
            let own = self.watch(class, loaded)?;
            let Some(vnode) = self.s.vnodes.get(&class) else {
                continue;
            };
            for dot in lasting {
                if !vnode.clock.contains(dot) {
                    judged.behind += 1;
                } else if !own.has(dot) && !own.context.covers(dot) && !vnode.voids.contains(dot) {
                    // Where a log was cut, its context may go before everybody has what superseded it.
                    let ground = vnode.ground(place.bucket, &place.key);
                    if seen_there.covers(&ground) || self.s.breaks(Plant::RangeProofIgnored) {
                        let place = (place.bucket, place.key.clone());
                        judged.doubted.insert((place, dot));
                    }
                }
            }
        }
        Ok(judged)
    }

    /// This node's copy of a key. What is read is not left in any cache: the next repair is to see what is stored then.
    fn load_apart(&self, place: &Place) -> Result<Object, StoreError> {
        let key = place.object_key();
        let next = [&key[..], &[0]].concat();
        let records = self.records_between(Family::Objects, (key.clone(), next), u64::MAX)?;
        match records.found.get(&key) {
            None => Ok(Object::default()),
            Some(record) => {
                decode_object(&key, record).map_err(|error| damaged(Family::Objects, &error))
            }
        }
    }

    /// Puts versions back that a peer's page has with their values. Returns how many.
    pub(super) fn put_back(&mut self, page: SnapshotPage, lost: &BTreeSet<Lost>) -> u64 {
        let class = page.class;
        let mut of_key: BTreeMap<&KeyPlace, BTreeSet<Dot>> = BTreeMap::new();
        for (place, dot) in lost {
            of_key.entry(place).or_default().insert(*dot);
        }
        let mut count = 0;
        for object in page.objects {
            let Some(dots) = of_key.get(&(object.bucket, object.key.clone())) else {
                continue;
            };
            // What cannot be read is no proof of anything.
            let Ok((place, arrival)) = arrival(class, object) else {
                continue;
            };
            let loaded = self.load(&place);
            let Ok(own) = self.watch(class, loaded) else {
                continue;
            };
            let whole = made_whole(&own, &arrival.object, dots);
            count += (whole.versions.len() - own.versions.len()) as u64;
            if whole != own {
                self.s.put_back(&place, &own, &whole);
            }
        }
        count
    }
}

/// An object with these versions of a peer's copy that it lacks.
fn made_whole(own: &Object, theirs: &Object, lost: &BTreeSet<Dot>) -> Object {
    let mut whole = own.clone();
    let missing = theirs.versions.iter().filter(|version| {
        let at_hand = !matches!(version.body, Body::Absent);
        at_hand && lost.contains(&version.dot) && !own.has(version.dot)
    });
    whole.versions.extend(missing.cloned());
    whole.versions.sort_by_key(|version| version.dot);
    let mut context = own.context.clone();
    context.join(&theirs.context);
    // A context that says more than this belongs to a write that is on its way here.
    if !whole.dots().any(|dot| context.covers(dot)) {
        whole.context = context;
    }
    whole
}

fn lasting(version: &PeerVersion) -> Option<Dot> {
    (version.expires_ms == 0).then_some(version.dot)
}
