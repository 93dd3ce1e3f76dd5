//! The loop behind durability: one fsync for all batches that wait for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quorate_core::store::BatchSeq;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::storage::Storage;

use super::counters::{Counters, Event};
use super::inbox::{Control, Life, Outlet};

/// An unsynced batch waits this long at most for its fsync to begin.
const INTERVAL: Duration = Duration::from_millis(100);

/// What the shards tell the syncing loop.
#[derive(Debug)]
pub(super) struct SyncDesk {
    /// The last batch that each shard committed.
    committed: Mutex<Vec<(Life, BatchSeq)>>,
    dirty: Notify,
    urgent: Notify,
    stopping: AtomicBool,
}

impl SyncDesk {
    pub(super) fn new(shards: u16) -> Self {
        Self {
            committed: Mutex::new(vec![(Life::default(), 0); usize::from(shards)]),
            dirty: Notify::new(),
            urgent: Notify::new(),
            stopping: AtomicBool::new(false),
        }
    }

    /// A shard has committed a batch; `soon` where somebody waits for its fsync.
    pub(super) fn committed(&self, shard: u16, life: Life, seq: BatchSeq, soon: bool) {
        self.marks()[usize::from(shard)] = (life, seq);
        self.dirty.notify_one();
        if soon {
            self.urgent.notify_one();
        }
    }

    /// Ends the loop after one more sync.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.dirty.notify_one();
        self.urgent.notify_one();
    }

    fn marks(&self) -> std::sync::MutexGuard<'_, Vec<(Life, BatchSeq)>> {
        self.committed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Syncs while there is something to sync, and tells each shard how far it is durable.
///
/// Batches committed while a sync runs wait for the next one, which begins at once if any of them
/// asks for it: however many writers there are, they share an fsync.
pub(super) async fn run<S: Storage>(
    storage: Arc<S>,
    desk: Arc<SyncDesk>,
    shards: Vec<Outlet>,
    counters: Arc<Counters>,
) {
    // Shards may have committed before this loop ran for the first time: that is to be told too.
    let mut told = vec![(Life::default(), 0); shards.len()];
    let mut last = Instant::now();
    loop {
        desk.dirty.notified().await;
        tokio::select! {
            biased;
            () = desk.urgent.notified() => {}
            () = tokio::time::sleep_until(last + INTERVAL) => {}
        }
        let stopping = desk.stopping.load(Ordering::Relaxed);
        // The marks are taken before the sync: it covers all of them.
        let marks = desk.marks().clone();
        last = Instant::now();
        match storage.sync() {
            Ok(()) => {
                counters.event(Event::Sync);
                for (shard, mark) in shards
                    .iter()
                    .zip(&marks)
                    .zip(&told)
                    .filter(|((_, mark), told)| mark != told)
                    .map(|(pair, _)| pair)
                {
                    shard.tell(Control::Synced(mark.0, mark.1));
                }
                told = marks;
            }
            Err(error) => {
                tracing::error!(%error, "storage cannot be synced: replicas start again from what is stored");
                counters.event(Event::StorageFailure);
                for shard in &shards {
                    shard.tell(Control::SyncFailed(error.clone()));
                }
            }
        }
        if stopping {
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::driver::inbox::{Next, inbox};
    use crate::storage::memory::Memory;

    #[tokio::test]
    async fn a_batch_committed_before_the_loop_runs_is_told_as_synced_too() {
        let desk = Arc::new(SyncDesk::new(1));
        desk.committed(0, Life::default(), 1, true);
        let (outlet, mut shard) = inbox();
        let counters = Arc::new(Counters::default());
        let storage = Arc::new(Memory::new());
        let syncing = tokio::spawn(run(storage, Arc::clone(&desk), vec![outlet], counters));
        let told = tokio::time::timeout(Duration::from_secs(20), shard.next());
        let told = told.await.unwrap();
        assert!(matches!(told, Next::Control(Control::Synced(Life(0), 1))));
        desk.stop();
        syncing.await.unwrap();
    }
}
