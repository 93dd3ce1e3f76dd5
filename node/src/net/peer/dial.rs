//! The task that keeps a link to one peer: dials it, or knocks until it dials.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::Connection;
use quorate_protocol::names::node_name;
use tokio::net::lookup_host;
use tokio::time::{Instant, sleep, timeout};

use super::super::bounds::{DIAL_WAIT, DOOR_PAUSE, KNOCK_WAIT, LINK_STEADY, PAUSE_MIN};
use super::super::close::explain;
use super::super::endpoint::client_config;
use super::super::events::NetEvent;
use super::super::shared::Shared;
use super::establish::{Established, NoLink, establish};
use super::pause::Pause;
use super::{Peer, link};

/// Starts the task of a new peer. It ends when the peer leaves or the node stops.
pub(super) fn keep(shared: &Arc<Shared>, peer: Arc<Peer>) -> Arc<Peer> {
    let (task_shared, task_peer) = (Arc::clone(shared), Arc::clone(&peer));
    shared.tokio.spawn(async move {
        tokio::select! {
            biased;
            _ = task_shared.stopping() => {}
            () = task_peer.gone.notified() => {}
            () = keep_linked(&task_shared, &task_peer) => {}
        }
    });
    peer
}

async fn keep_linked(shared: &Arc<Shared>, peer: &Arc<Peer>) {
    let dials = shared.node < peer.node;
    let spread = shared.settings.seed ^ shared.node.get() ^ peer.node.get().rotate_left(32);
    let mut pause = Pause::new(spread);
    // Nobody knows of a node that has just started: it knocks at once.
    let mut patience = Duration::ZERO;
    loop {
        let mut refused = false;
        peer.until_wants_link(true).await;
        if !dials {
            wait(peer, patience).await;
        }
        if peer.wants_link() {
            tokio::select! {
                biased;
                outcome = attempt(shared, peer, dials) => refused = note(shared, peer, outcome),
                () = woken_meanwhile(peer) => continue,
            }
        }
        if !peer.wants_link() {
            let linked = Instant::now();
            peer.until_wants_link(true).await;
            // The other side sees the same end of the link and dials: it is given the time to.
            patience = KNOCK_WAIT;
            if linked.elapsed() >= LINK_STEADY {
                pause.reset();
                continue;
            }
        }
        let pause = if refused { DOOR_PAUSE } else { pause.next() };
        wait(peer, pause).await;
    }
}

/// An attempt that goes on while the peer comes up waits for its own packets to be repeated, later
/// and later: when the peer knocks, a new attempt is faster. Unless the old one has only begun, or
/// is just getting through.
async fn woken_meanwhile(peer: &Peer) {
    sleep(KNOCK_WAIT).await;
    peer.wake.notified().await;
    sleep(PAUSE_MIN).await;
}

/// Remembers why there is no link. Returns whether this node was refused as no member.
fn note(shared: &Shared, peer: &Peer, outcome: Result<(), NoLink>) -> bool {
    match outcome {
        Err(NoLink::NoMember(version, reason)) => {
            peer.failed(&reason);
            if let Some(version) = version {
                let node = peer.node;
                // Only frames can be of no use.
                let _ = shared
                    .handler
                    .on_event(NetEvent::RefusedBy { node, version });
            }
            true
        }
        Err(NoLink::Failed(reason)) => {
            if peer.wants_link() {
                peer.failed(&reason);
            }
            false
        }
        Ok(()) | Err(NoLink::Knocked | NoLink::TurnedAway) => false,
    }
}

/// Waits, until woken or linked.
async fn wait(peer: &Peer, pause: Duration) {
    tokio::select! {
        biased;
        () = peer.until_wants_link(false) => {}
        () = peer.wake.notified() => {}
        () = sleep(pause) => {}
    }
}

async fn attempt(shared: &Arc<Shared>, peer: &Arc<Peer>, dials: bool) -> Result<(), NoLink> {
    let mut reasons = Vec::new();
    for address in peer.addresses() {
        let outcome = match connect(shared, peer, &address).await {
            Ok(mut established) if dials => {
                established.dialled_as = Some(address);
                link::start(shared, established);
                return Ok(());
            }
            Ok(established) => knocked(&established.connection).await,
            Err(no_link) => no_link,
        };
        match outcome {
            NoLink::Knocked | NoLink::NoMember(..) | NoLink::TurnedAway => return Err(outcome),
            NoLink::Failed(reason) => reasons.push(format!("{address}: {reason}")),
        }
    }
    if reasons.is_empty() {
        reasons.push("no address is known".into());
    }
    Err(NoLink::Failed(reasons.join("; ")))
}

async fn connect(shared: &Shared, peer: &Peer, address: &str) -> Result<Established, NoLink> {
    let mut reason = "the name has no address".to_owned();
    for socket_address in resolve(address).await.map_err(NoLink::Failed)? {
        match connect_to(shared, peer, socket_address).await {
            Ok(connection) => return establish(shared, connection, Some(peer.node)).await,
            Err(failure) => reason = failure,
        }
    }
    Err(NoLink::Failed(reason))
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
async fn knocked(connection: &Connection) -> NoLink {
    match timeout(DIAL_WAIT, connection.closed()).await {
        Ok(error) => NoLink::of(&error),
        Err(_) => NoLink::Failed("the other side does not dial back".into()),
    }
}
