//! All client connections, and the bounds on them together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use super::super::error::SendRefused;
use super::super::events::ClientKey;
use super::super::send::split_frame;
use super::replies::Client;

/// The connections by key.
#[derive(Default)]
pub(crate) struct Clients {
    all: RwLock<HashMap<ClientKey, Arc<Client>>>,
    next: AtomicU64,
    open: Arc<AtomicUsize>,
}

impl Clients {
    pub(super) fn next_key(&self) -> ClientKey {
        ClientKey(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The count of open requests of all clients.
    pub(super) const fn open(&self) -> &Arc<AtomicUsize> {
        &self.open
    }

    /// Adds a connection unless there are `max` already.
    pub(super) fn add(&self, client: &Arc<Client>, max: usize) -> bool {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= max {
            return false;
        }
        all.insert(client.key, Arc::clone(client));
        true
    }

    pub(super) fn remove(&self, key: ClientKey) {
        self.all
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&key);
    }

    pub(crate) fn reply(&self, key: ClientKey, mut frames: Bytes) -> Result<(), SendRefused> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let client = all.get(&key).cloned().ok_or(SendRefused::ClientGone(key))?;
        drop(all);
        while let Some(frame) = split_frame(&mut frames) {
            client.reply(frame);
        }
        Ok(())
    }

    /// Connections, and open requests of all of them.
    pub(crate) fn load(&self) -> (usize, usize) {
        let connections = self
            .all
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len();
        (connections, self.open.load(Ordering::Relaxed))
    }
}
