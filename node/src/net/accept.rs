//! The doors: handshakes on both ports, bounded in number and time.

use std::sync::Arc;

use quinn::{Connection, Incoming};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bounds::{HANDSHAKES_MAX, HELLO_WAIT};
use super::close::explain;
use super::endpoint::Port;
use super::shared::Shared;
use super::{client, peer};

/// Accepts connections until the endpoint is closed.
pub(super) async fn accept(shared: Arc<Shared>, port: Port) {
    let endpoint = shared.endpoint(port).clone();
    let mut handshakes = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        while handshakes.try_join_next().is_some() {}
        if handshakes.len() >= HANDSHAKES_MAX {
            incoming.refuse();
            continue;
        }
        let shared = Arc::clone(&shared);
        handshakes.spawn(async move {
            let remote = incoming.remote_address();
            if let Err(reason) = serve(&shared, port, incoming).await {
                shared.complaints.refused(remote, &reason);
            }
        });
    }
}

async fn serve(shared: &Arc<Shared>, port: Port, incoming: Incoming) -> Result<(), String> {
    let connection = handshake(incoming).await?;
    match port {
        Port::Peer => peer::accepted(shared, connection).await,
        Port::Client => client::accepted(shared, connection).await,
    }
}

async fn handshake(incoming: Incoming) -> Result<Connection, String> {
    match timeout(HELLO_WAIT, incoming).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(explain(&error)),
        Err(_) => Err(format!(
            "no handshake within {} seconds",
            HELLO_WAIT.as_secs()
        )),
    }
}
