//! How a vnode that lost something is filled again: a peer hands over all its objects and its dot
//! log, page by page, asked for one at a time.

use bytes::Bytes;
use quorate_ring::{BucketId, Class};
use serde::{Deserialize, Serialize};

use super::{ActorClock, SettledObject};
use crate::error::WireError;
use crate::ids::{ContentDigest, Dot, RequestId, StorageId};
use crate::versioned::MapVersion;

/// Which page comes next: objects in key order first, the dot log afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPlace {
    /// All objects were handed over: log entries are wanted.
    pub log: bool,
    /// Objects after this bucket and key; `None`: from the first.
    pub key: Option<(BucketId, Bytes)>,
    /// Log entries after this dot; `None`: from the first.
    pub dot: Option<Dot>,
}

/// Some of the asker's keys, and what their records sum up to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotSpan {
    /// Its last key; it begins after the last key of the span before. `None`: all that follow.
    pub upto: Option<(BucketId, Bytes)>,
    /// Of storage keys and records as they are; `None`: to be handed over anyway.
    pub digest: Option<ContentDigest>,
}

/// Keys that both sides hold alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRange {
    /// After this key; `None`: from the first.
    pub after: Option<(BucketId, Bytes)>,
    /// Up to this key, it included; `None`: up to the last.
    pub upto: Option<(BucketId, Bytes)>,
}

/// What is wanted is to be compared: which versions there are of these keys. No log entries follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotNames {
    /// Keys of this bucket that begin so; `None`: all keys of the class.
    pub keys: Option<(BucketId, Bytes)>,
    /// With their values.
    pub values: bool,
}

/// Please hand over a page of what your vnode of this class has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotAsk {
    /// The class.
    pub class: Class,
    /// The asker's number for this question.
    pub number: u64,
    /// The asker's storage: whatever was known of another storage of that vnode is void.
    pub asker: StorageId,
    /// The storage from which the pages before came; `None` at the first.
    pub storage: Option<StorageId>,
    /// Only a current replica may answer.
    pub current: bool,
    /// What the asker's own keys from `place` on sum up to, in order; empty where it does not say. Then everything is
    /// handed over.
    pub spans: Vec<SnapshotSpan>,
    /// Objects to be compared, instead of all that is there to be stored.
    pub names: Option<Box<SnapshotNames>>,
    /// What is wanted.
    pub place: SnapshotPlace,
}

/// A dot-log entry that is handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotEntry {
    /// The dot.
    pub dot: Dot,
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Bytes,
    /// Whether the write was a delete.
    pub delete: bool,
    /// The request behind it, where known.
    pub request: Option<RequestId>,
    /// When it was applied, by the sender's wall clock, milliseconds since 1970.
    pub at_ms: u64,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPage {
    /// The class.
    pub class: Class,
    /// From the question.
    pub number: u64,
    /// The sender's storage.
    pub storage: StorageId,
    /// The sender's durable clock when it read this page.
    pub clock: Vec<ActorClock>,
    /// With the last page: dots of that clock that no write has.
    pub voids: Box<[ActorClock]>,
    /// Keys of this page that both sides hold alike: nothing of them is handed over.
    pub same: Box<[SnapshotRange]>,
    /// Objects by bucket and key, each with the dots that it settles for certain.
    pub objects: Vec<SettledObject>,
    /// Log entries by dot.
    pub entries: Vec<SnapshotEntry>,
    /// The receiver asks for the next page no sooner, milliseconds: the sender has other work as well.
    pub pause_ms: u32,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Box<SnapshotPlace>>,
    /// The last version that dropped a bucket, as the sender knows. Who knows an earlier one would take what is
    /// dropped for deleted, and does not listen.
    pub dropped: MapVersion,
    /// Why there is no page.
    pub error: Option<Box<WireError>>,
}

/// You said once that you have this durably. A vnode that does not have it any more has lost part of
/// its storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The class.
    pub class: Class,
    /// The receiver's storage that it was said of.
    pub storage: StorageId,
    /// What was said to be durable.
    pub durable: Vec<ActorClock>,
}
