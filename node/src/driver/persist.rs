//! Stores what the agreement must remember, one state after the other.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::identity::MapState;

use super::context::Map;
use super::hub::{HubEvent, HubOutlet};

/// Pause before a failed writing is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// The sending half.
#[derive(Clone, Debug)]
pub(super) struct Persister(mpsc::UnboundedSender<(u64, Vec<u8>)>);

impl Persister {
    /// Stores a state after all those given before it.
    pub(super) fn store(&self, number: u64, bytes: Vec<u8>) {
        let _ = self.0.send((number, bytes));
    }

    /// Starts storing to `file`, beside the map that the node began with.
    pub(super) fn start(file: PathBuf, map: Map, hub: HubOutlet) -> Self {
        let (states, waiting) = mpsc::unbounded_channel();
        tokio::spawn(run(file, map, hub, waiting));
        Self(states)
    }
}

async fn run(
    file: PathBuf,
    map: Map,
    hub: HubOutlet,
    mut waiting: mpsc::UnboundedReceiver<(u64, Vec<u8>)>,
) {
    while let Some(mut state) = waiting.recv().await {
        // The newest one holds all that the others hold.
        while let Ok(newer) = waiting.try_recv() {
            state = newer;
        }
        let (number, bytes) = state;
        let whole = MapState {
            map: map.as_ref().clone(),
            agreement: Some(bytes.into()),
        };
        let path = file.clone();
        // Writing and syncing take milliseconds: not on a thread that serves requests.
        let stored = tokio::task::spawn_blocking(move || store_until_done(&whole, &path)).await;
        if stored.is_err() {
            return;
        }
        hub.tell(HubEvent::Persisted(number));
    }
}

fn store_until_done(state: &MapState, path: &std::path::Path) {
    while let Err(error) = state.store(path) {
        tracing::error!(path = %path.display(), %error, "the cluster map cannot be written; trying again");
        std::thread::sleep(PAUSE);
    }
}
