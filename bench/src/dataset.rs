//! One replica's objects in memory, as they would be sent to another one.
//!
//! For costs that need no cluster: sending everything, and finding differences by a hash tree. Objects
//! have the shape that the nodes give them, and are sent as nodes send them: in batches of the peer
//! protocol's answer to a question for missing writes.

use std::sync::Arc;

use bytes::Bytes;
use quorate_protocol::codec::DecodeError;
use quorate_protocol::frame::HEADER_BYTES;
use quorate_protocol::limits::{BATCH_BYTES, BATCH_ITEMS_MAX};
use quorate_protocol::peer::{
    DotsAnswer, PeerBody, PeerMessage, PeerObject, PeerVersion, SettledObject,
};
use quorate_protocol::{ActorId, Dot, RequestId};
use quorate_ring::{BucketId, Class, PartitionId};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::merkle::{Entry, Tree};
use crate::workload::Workload;

/// The first bucket of a cluster.
const BUCKET: BucketId = BucketId::new(1);
/// As long as the actors of real vnodes: 64 random bits.
const ACTOR: ActorId = ActorId::new(0x9d3f_51c2_77a1_0be5);
/// About today, in the nodes' unit: its length counts, not its value.
const STAMP: u64 = 1_800_000_000_000 << 16;
/// All objects travel under one class: a batch names it once.
const CLASS: Class = Class {
    n: 3,
    partition: PartitionId::new(7),
};

/// What was done last to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// This write put a value there.
    Put(u64),
    /// This write deleted it. A hash tree needs a marker of that: without one the side that still has
    /// the value looks like the one that knows more.
    Deleted(u64),
}

/// What is done to one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key's number.
    pub key: u64,
    /// What is done.
    pub last: Last,
}

/// The objects of a replica; their places are the numbers of their keys. There is none where the replica has
/// no copy of a key.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    objects: Vec<Option<Arc<SettledObject>>>,
}

impl Dataset {
    /// The objects of keys `0..`, each with what was done last to it, if it belongs to the replica.
    pub fn new(workload: &Workload, lasts: impl Iterator<Item = Option<Last>>) -> Self {
        let objects = (0..).zip(lasts);
        let objects = objects.map(|(key, last)| Some(Arc::new(object(workload, key, last?))));
        Self {
            objects: objects.collect(),
        }
    }

    /// The same replica after changes; those of keys that it has no copy of do not concern it.
    #[must_use]
    pub fn changed(&self, workload: &Workload, changes: &[Change]) -> Self {
        let mut objects = self.objects.clone();
        for &Change { key, last } in changes {
            let place = usize::try_from(key).unwrap_or(usize::MAX);
            if let Some(Some(slot)) = objects.get_mut(place) {
                *slot = Arc::new(object(workload, key, last));
            }
        }
        Self { objects }
    }

    /// Hashes every object and builds the tree.
    #[must_use]
    pub fn tree(&self, depth: u32) -> Tree {
        let entries = (0..).zip(&self.objects).filter_map(|(place, object)| {
            let object = object.as_ref()?;
            Some(Entry {
                key: xxh3_64(&object.key),
                content: content(object),
                place,
            })
        });
        Tree::build(entries.collect(), depth)
    }

    /// Sends everything: returns the bytes, frame headers included.
    ///
    /// # Errors
    /// What was written is not what is read: a defect of the protocol.
    pub fn send_all(&self) -> Result<u64, DecodeError> {
        send(self.objects.iter().flatten())
    }

    /// Sends the objects at these places.
    ///
    /// # Errors
    /// As [`Self::send_all`].
    pub fn send_some(&self, places: impl Iterator<Item = u32>) -> Result<u64, DecodeError> {
        send(places.filter_map(|place| self.objects.get(place as usize)?.as_ref()))
    }
}

fn object(workload: &Workload, key: u64, last: Last) -> SettledObject {
    let (write, body) = match last {
        Last::Put(write) => (write, Some(workload.value(key, write))),
        Last::Deleted(write) => (write, None),
    };
    // Long runs of writes have counters of this length.
    let dot = Dot::new(ACTOR, 1_000_000 + write);
    let version = |value: Vec<u8>| PeerVersion {
        dot,
        stamp: STAMP + key,
        expires_ms: 0,
        request: RequestId::new(ACTOR.get() ^ write, !key),
        size: value.len() as u64,
        body: Some(PeerBody {
            value: Bytes::from(value),
            ..PeerBody::default()
        }),
    };
    let versions: Vec<PeerVersion> = body.map(version).into_iter().collect();
    let context = if versions.is_empty() {
        vec![(dot.actor, dot.counter)]
    } else {
        Vec::new()
    };
    SettledObject {
        bucket: BUCKET,
        key: workload.key(key).into(),
        object: PeerObject { versions, context },
        settles: vec![dot],
        requests: Vec::new(),
    }
}

fn content(object: &SettledObject) -> u64 {
    let mut hash = Xxh3::new();
    for dot in &object.settles {
        hash.update(&dot.actor.get().to_be_bytes());
        hash.update(&dot.counter.to_be_bytes());
    }
    for body in object
        .object
        .versions
        .iter()
        .filter_map(|version| version.body.as_ref())
    {
        hash.update(&body.value);
    }
    hash.digest()
}

/// Writes objects into batches and reads each batch as its receiver would.
fn send<'a>(objects: impl Iterator<Item = &'a Arc<SettledObject>>) -> Result<u64, DecodeError> {
    let (mut sent, mut batch, mut bytes, mut number) = (0, Vec::new(), 0, 0);
    let mut buffer = Vec::new();
    for object in objects {
        bytes += size(object);
        batch.push(SettledObject::clone(object));
        if batch.len() == BATCH_ITEMS_MAX || bytes >= BATCH_BYTES {
            number += 1;
            sent += send_batch(std::mem::take(&mut batch), number, &mut buffer)?;
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        sent += send_batch(batch, number + 1, &mut buffer)?;
    }
    Ok(sent)
}

fn size(object: &SettledObject) -> usize {
    let versions = object.object.versions.iter();
    let values = versions.filter_map(|version| version.body.as_ref());
    object.key.len() + values.map(|body| body.value.len()).sum::<usize>()
}

fn send_batch(
    objects: Vec<SettledObject>,
    number: u64,
    buffer: &mut Vec<u8>,
) -> Result<u64, DecodeError> {
    let message = PeerMessage::from(DotsAnswer {
        class: CLASS,
        number,
        objects,
        dropped: quorate_protocol::versioned::MapVersion::new(0),
        gone: Vec::new(),
    });
    buffer.clear();
    message.encode_body(buffer);
    drop(PeerMessage::decode_body(message.opcode(), buffer)?);
    Ok((HEADER_BYTES + buffer.len()) as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::merkle::exchange;

    const KEYS: u64 = 3_000;

    fn workload() -> Workload {
        Workload::new(7, 100)
    }

    fn fresh() -> Dataset {
        Dataset::new(&workload(), (0..KEYS).map(|_| Some(Last::Put(0))))
    }

    #[test]
    fn everything_costs_little_more_than_keys_values_and_one_dot() {
        let bytes = fresh().send_all().unwrap();
        let of_one = bytes / KEYS;
        let own = (workload().key(0).len() + 100) as u64;
        assert!((own + 16..own + 90).contains(&of_one), "{of_one} for {own}");
        assert_eq!(Dataset::default().send_all().unwrap(), 0);
    }

    #[test]
    fn a_tree_finds_the_changed_keys_deleted_ones_included() {
        let before = fresh();
        let changes = [
            (5, Last::Put(1)),
            (17, Last::Deleted(1)),
            (2_999, Last::Put(9)),
        ];
        let changes = changes.map(|(key, last)| Change { key, last });
        let after = before.changed(&workload(), &changes);
        let found = exchange(&before.tree(2), &after.tree(2));
        let mut places: Vec<_> = found
            .differences
            .iter()
            .map(|one| (one.mine, one.theirs))
            .collect();
        places.sort_unstable();
        assert_eq!(
            places,
            [5, 17, 2_999].map(|place| (Some(place), Some(place)))
        );
        let some = after
            .send_some(places.iter().filter_map(|place| place.1))
            .unwrap();
        assert!(some < after.send_all().unwrap() / 100);
    }

    #[test]
    fn keys_without_a_copy_are_neither_sent_nor_compared() {
        let held = |key: u64| key.is_multiple_of(2).then_some(Last::Put(0));
        let half = Dataset::new(&workload(), (0..KEYS).map(held));
        let (some, all) = (half.send_all().unwrap(), fresh().send_all().unwrap());
        assert!(some < all * 51 / 100, "{some} of {all}");
        let changes = [4, 5].map(|key| Change {
            key,
            last: Last::Put(1),
        });
        let after = half.changed(&workload(), &changes);
        let found = exchange(&half.tree(2), &after.tree(2));
        let places: Vec<_> = found.differences.iter().map(|one| one.theirs).collect();
        assert_eq!(places, [Some(4)]);
    }
}
