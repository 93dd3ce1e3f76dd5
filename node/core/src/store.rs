//! What the core needs of storage: point reads, ordered scans, and one atomic batch per step.

use std::ops::ControlFlow;

use bytes::Bytes;

/// The kinds of records, each an ordered map of its own (a column family of the node's database).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Objects by class, bucket and key.
    Objects,
    /// Values over 64 KiB, cut into pieces, by class, bucket, key, dot and piece.
    Chunks,
    /// Hints by class, target, bucket and key.
    Hints,
    /// The dot log by class, actor and counter.
    Log,
    /// Vnode records: identity, clock checkpoint, actors.
    Vnodes,
    /// Request ids by class and id, for the retry window.
    Requests,
    /// When objects have versions that expire, by time, class, bucket and key.
    Expiry,
}

impl Family {
    /// All of them, in a fixed order.
    pub const ALL: [Self; 7] = [
        Self::Objects,
        Self::Chunks,
        Self::Hints,
        Self::Log,
        Self::Vnodes,
        Self::Requests,
        Self::Expiry,
    ];

    /// The stable name of the family's column family.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::Chunks => "chunks",
            Self::Hints => "hints",
            Self::Log => "log",
            Self::Vnodes => "vnodes",
            Self::Requests => "requests",
            Self::Expiry => "expiry",
        }
    }
}

/// Why storage gave no answer. Never to be taken for an absence.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// The bytes are there and fail their checksum. Where storage says so itself, it is opened again
    /// soon, goes on without what it cannot read, and has marked whose it was
    /// ([`crate::record::lost_marks`]).
    #[error("damaged data in {family}: {detail}")]
    Damaged {
        /// Where.
        family: &'static str,
        /// What storage or the record reader said.
        detail: String,
    },
    /// The device or the file system refused.
    #[error("storage failed: {0}")]
    Failed(String),
}

/// Is given each entry's key and value; breaks to end the scan.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Reads. Implemented by the driver over its database.
pub trait Store {
    /// The value under `key`, or `None` if there certainly is none.
    ///
    /// # Errors
    /// Anything that is not a certain answer.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Visits entries with `from <= key < to` in key order until the visitor breaks.
    ///
    /// # Errors
    /// Anything that keeps the scan from being complete; entries seen before it are good.
    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError>;

    /// As [`Self::scan`], for who reads everything once: it should come from the device, and drive nothing
    /// out of any cache.
    ///
    /// # Errors
    /// As [`Self::scan`].
    fn read_through(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.scan(family, from, to, visit)
    }

    /// From now on what is read comes from the device once more: damage there shows only to who reads it, and not
    /// while an earlier copy in a cache answers in its place.
    fn forget_cached(&self) {}
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Store `value` under `key`.
    Put {
        /// Where.
        family: Family,
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Bytes,
    },
    /// Remove `key`, if it is there.
    Delete {
        /// Where.
        family: Family,
        /// The key.
        key: Vec<u8>,
    },
    /// Remove everything with `from <= key < to`.
    Clear {
        /// Where.
        family: Family,
        /// The first key.
        from: Vec<u8>,
        /// The first key that stays.
        to: Vec<u8>,
    },
}

/// Counts the non-empty batches of one replica, from 1 at its opening.
pub type BatchSeq = u64;

/// Writes that take effect together or not at all, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The writes.
    pub writes: Vec<Write>,
}
