//! Memory for large frames that are being received: shared by all connections of the node.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::bounds::ASSEMBLY_BYTES_MAX;

const UNIT: usize = 1024;

/// The memory, counted in units of 1 KiB.
#[derive(Debug)]
pub(super) struct Assembly {
    units: Arc<Semaphore>,
}

/// A part of it, given back when dropped. `None`: the memory is gone with its node.
pub(super) struct Share {
    _units: Option<OwnedSemaphorePermit>,
}

impl Assembly {
    pub(super) fn new() -> Self {
        Self {
            units: Arc::new(Semaphore::new(ASSEMBLY_BYTES_MAX / UNIT)),
        }
    }

    /// Waits for room for a whole frame. First come, first served; a share is always granted whole,
    /// so frames never wait for each other's rest.
    pub(super) async fn wait(&self, bytes: usize) -> Share {
        Share {
            _units: Arc::clone(&self.units)
                .acquire_many_owned(units(bytes))
                .await
                .ok(),
        }
    }

    /// Room for a whole frame, if there is.
    pub(super) fn take(&self, bytes: usize) -> Option<Share> {
        Arc::clone(&self.units)
            .try_acquire_many_owned(units(bytes))
            .ok()
            .map(|permit| Share {
                _units: Some(permit),
            })
    }
}

fn units(bytes: usize) -> u32 {
    let all = ASSEMBLY_BYTES_MAX / UNIT;
    u32::try_from(bytes.div_ceil(UNIT).min(all)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use quorate_protocol::limits::FRAME_BODY_BYTES_MAX;

    use super::*;

    #[test]
    fn the_largest_frame_fits_and_shares_come_back() {
        let assembly = Assembly::new();
        let first = assembly.take(FRAME_BODY_BYTES_MAX);
        assert!(first.is_some());
        let second = assembly.take(ASSEMBLY_BYTES_MAX - FRAME_BODY_BYTES_MAX);
        assert!(second.is_some());
        assert!(assembly.take(1).is_none());
        drop(first);
        assert!(assembly.take(1).is_some());
    }
}
