//! The node's storage: what the core reads, one atomic batch per step, and the fsync behind `dw`.
//!
//! Two implementations: [`rocks`] for production and [`memory`] for tests, held to the same
//! behaviour by `tests/storage.rs`.

pub mod memory;
#[cfg(feature = "rocksdb")]
pub mod rocks;

use std::path::Path;

use quorate_core::store::{Batch, Store, StoreError};

/// A database that several shards and the syncing thread share by reference.
///
/// Committed batches are replayed after a restart as a prefix of their commit order: a torn tail
/// may be lost as long as it was not synced, a batch is never half there, and none is skipped.
pub trait Storage: Store + Send + Sync + 'static {
    /// Writes a batch: whole, over all families, or not at all. Survives the end of the process
    /// once it returns; survives a power cut once a [`Self::sync`] that began later has returned.
    ///
    /// # Errors
    /// The batch was not written, or nobody can know: the writer's life ends.
    fn commit(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Makes everything committed before the call durable. Blocks; called from any thread.
    ///
    /// # Errors
    /// Nothing more than before is known to be durable. What the device lost cannot be known
    /// either, so the lives of all writers end.
    fn sync(&self) -> Result<(), StoreError>;

    /// Whether a read met damaged data that opening again would leave out: the lives of all writers
    /// end for it.
    fn is_damaged(&self) -> bool;

    /// How often damaged data was left out since the database was opened first. A life that began
    /// before that ends: what it believes to be there may be gone.
    fn gaps(&self) -> u64;

    /// Opens the database again after a failed commit or sync, or after it met damage. What was
    /// committed is there, what failed is not. What is damaged is left out, and marked as
    /// [`quorate_core::record::lost_marks`] says.
    ///
    /// # Errors
    /// Storage still fails: wait and try again.
    fn reopen(&self) -> Result<(), StoreError>;
}

/// Storage of which a copy can be had while it is used.
pub trait Checkpoint: Send + Sync {
    /// Makes a copy in the new directory `to`, on the same file system: everything that was committed when it
    /// began, a prefix of the commit order, the same over all families. Takes links where it can, and blocks.
    ///
    /// # Errors
    /// No whole copy was made; what there is of it is of no use.
    fn checkpoint(&self, to: &Path) -> Result<(), StoreError>;
}
