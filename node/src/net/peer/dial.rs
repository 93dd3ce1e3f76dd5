//! The task that keeps a link to one peer: dials it, or knocks until it dials.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, ConnectionError};
use quorate_protocol::close::CloseCode;
use quorate_protocol::names::node_name;
use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};

use super::super::bounds::{DIAL_WAIT, KNOCK_WAIT};
use super::super::close::explain;
use super::super::endpoint::client_config;
use super::super::shared::Shared;
use super::establish::{Established, establish};
use super::pause::Pause;
use super::{Peer, link};

/// Starts the task of a new peer. It ends when the peer leaves or the node stops.
pub(super) fn keep(shared: &Arc<Shared>, peer: Arc<Peer>) -> Arc<Peer> {
    let (task_shared, task_peer) = (Arc::clone(shared), Arc::clone(&peer));
    shared.tokio.spawn(async move {
        tokio::select! {
            () = keep_linked(&task_shared, &task_peer) => {}
            () = task_peer.gone.notified() => {}
            _ = task_shared.stopping() => {}
        }
    });
    peer
}

async fn keep_linked(shared: &Arc<Shared>, peer: &Arc<Peer>) {
    let dials = shared.node < peer.node;
    let mut pause =
        Pause::new(shared.settings.seed ^ shared.node.get() ^ peer.node.get().rotate_left(32));
    loop {
        peer.until_wants_link(true).await;
        if !dials {
            // The other side sees the same end of the link and dials: give it the time to.
            wait(peer, KNOCK_WAIT).await;
        }
        if peer.wants_link()
            && let Err(reason) = attempt(shared, peer, dials).await
            && peer.wants_link()
        {
            peer.failed(&reason);
        }
        if peer.wants_link() {
            wait(peer, pause.next()).await;
        } else {
            pause.reset();
        }
    }
}

/// Waits, until woken or linked.
async fn wait(peer: &Peer, pause: Duration) {
    tokio::select! {
        () = sleep(pause) => {}
        () = peer.wake.notified() => {}
        () = peer.until_wants_link(false) => {}
    }
}

async fn attempt(shared: &Arc<Shared>, peer: &Arc<Peer>, dials: bool) -> Result<(), String> {
    let mut reasons = Vec::new();
    for address in peer.addresses() {
        match connect(shared, peer, &address).await {
            Ok(mut established) if dials => {
                established.dialled_as = Some(address);
                link::start(shared, established);
                return Ok(());
            }
            Ok(established) => match knocked(&established.connection).await {
                Ok(()) => return Ok(()),
                Err(reason) => reasons.push(format!("{address}: {reason}")),
            },
            Err(reason) => reasons.push(format!("{address}: {reason}")),
        }
    }
    if reasons.is_empty() {
        reasons.push("no address is known".into());
    }
    Err(reasons.join("; "))
}

async fn connect(shared: &Shared, peer: &Peer, address: &str) -> Result<Established, String> {
    let mut reason = "the name has no address".to_owned();
    for socket_address in resolve(address).await? {
        match connect_to(shared, peer, socket_address).await {
            Ok(connection) => return establish(shared, connection, Some(peer.node)).await,
            Err(failure) => reason = failure,
        }
    }
    Err(reason)
}

async fn resolve(address: &str) -> Result<Vec<SocketAddr>, String> {
    let found = timeout(DIAL_WAIT, lookup_host(address))
        .await
        .map_err(|_| "the name server does not answer")?;
    Ok(found
        .map_err(|error| format!("cannot be resolved: {error}"))?
        .collect())
}

async fn connect_to(
    shared: &Shared,
    peer: &Peer,
    address: SocketAddr,
) -> Result<Connection, String> {
    let config = client_config(&shared.tls.current(), &shared.settings)
        .map_err(|error| error.to_string())?;
    let connecting = shared
        .peer_endpoint
        .connect_with(config, address, &node_name(peer.node))
        .map_err(|error| error.to_string())?;
    match timeout(DIAL_WAIT, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(explain(&error)),
        Err(_) => Err(format!("no answer within {} seconds", DIAL_WAIT.as_secs())),
    }
}

/// Waits for the other side's word that it dials.
async fn knocked(connection: &Connection) -> Result<(), String> {
    let error = timeout(DIAL_WAIT, connection.closed())
        .await
        .map_err(|_| "the other side does not dial back")?;
    if let ConnectionError::ApplicationClosed(close) = &error
        && close.error_code.into_inner() == CloseCode::Knock.number()
    {
        return Ok(());
    }
    Err(explain(&error))
}
