//! Stores what the register must remember, one state after the other.

use std::path::PathBuf;
use std::time::Duration;

use quorate_protocol::versioned::VersionedMap;
use tokio::sync::mpsc;

use crate::identity::MapState;

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

    /// Starts storing to `file`, beside the version that the directory was made with.
    pub(super) fn start(file: PathBuf, given: VersionedMap, hub: HubOutlet) -> Self {
        let (states, waiting) = mpsc::unbounded_channel();
        tokio::spawn(run(file, given, hub, waiting));
        Self(states)
    }
}

async fn run(
    file: PathBuf,
    given: VersionedMap,
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
            given: given.clone(),
            register: Some(bytes.into()),
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
