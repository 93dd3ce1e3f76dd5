//! From a connection to a link: who is there, and the exchange of hellos.

use std::sync::Arc;

use quinn::{Connection, ConnectionError, SendStream};
use quorate_protocol::close::{CloseCode, no_member, no_member_by};
use quorate_protocol::hello::Hello;
use quorate_protocol::versioned::MapVersion;
use quorate_ring::NodeId;
use tokio::time::timeout;

use super::super::bounds::HELLO_WAIT;
use super::super::close::{close, explain};
use super::super::events::NetEvent;
use super::super::frames::SmallFrames;
use super::super::hello;
use super::super::shared::{Shared, identity};
use super::Peer;
use crate::tls::Person;

/// A connection with a peer that has said who it is.
pub(super) struct Established {
    pub(super) peer: Arc<Peer>,
    pub(super) connection: Connection,
    pub(super) hello: Hello,
    pub(super) send: SendStream,
    pub(super) frames: SmallFrames,
    /// The configured address that led here, if this side dialled.
    pub(super) dialled_as: Option<String>,
}

/// Why a connection did not become a link.
pub(super) enum NoLink {
    /// The other side dials back.
    Knocked,
    /// The other side says that this node is no member.
    NoMember(Option<MapVersion>, String),
    /// The other side is no member: it was told so, and so was who handles this network's events.
    TurnedAway,
    /// Anything else, for people.
    Failed(String),
}

impl NoLink {
    pub(super) fn of(error: &ConnectionError) -> Self {
        let ConnectionError::ApplicationClosed(close) = error else {
            return Self::Failed(explain(error));
        };
        match CloseCode::from(close.error_code.into_inner()) {
            CloseCode::Knock => Self::Knocked,
            CloseCode::NoMember => Self::NoMember(no_member_by(&close.reason), explain(error)),
            CloseCode::Done
            | CloseCode::Stopping
            | CloseCode::Identity
            | CloseCode::Hello
            | CloseCode::Malformed
            | CloseCode::Overloaded
            | CloseCode::Replaced
            | CloseCode::Unknown(_) => Self::Failed(explain(error)),
        }
    }
}

struct Refusal {
    code: CloseCode,
    reason: String,
}

fn refuse<T>(code: CloseCode, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        code,
        reason: reason.into(),
    })
}

/// Checks the other side and exchanges hellos; closes the connection if it is not to be served.
///
/// # Errors
/// Why not.
pub(super) async fn establish(
    shared: &Shared,
    connection: Connection,
    dialled: Option<NodeId>,
) -> Result<Established, NoLink> {
    let outcome = match timeout(HELLO_WAIT, exchange(shared, &connection, dialled)).await {
        Ok(outcome) => outcome,
        Err(_) => refuse(
            CloseCode::Hello,
            format!("no hello within {} seconds", HELLO_WAIT.as_secs()),
        ),
    };
    let refusal = match outcome {
        Ok(established) => return Ok(established),
        Err(refusal) => refusal,
    };
    // What the other side gave as its reason says more than the stream that broke by it.
    match connection.close_reason() {
        Some(error) if !matches!(error, ConnectionError::LocallyClosed) => Err(NoLink::of(&error)),
        Some(_) | None => {
            close(&connection, refusal.code, &refusal.reason);
            Err(if refusal.code == CloseCode::NoMember {
                NoLink::TurnedAway
            } else {
                NoLink::Failed(refusal.reason)
            })
        }
    }
}

async fn exchange(
    shared: &Shared,
    connection: &Connection,
    dialled: Option<NodeId>,
) -> Result<Established, Refusal> {
    let peer = known_peer(shared, connection, dialled)?;
    let ours = shared.handler.hello();
    let broken = |error: String| Refusal {
        code: CloseCode::Hello,
        reason: error,
    };
    let mut send = connection
        .open_uni()
        .await
        .map_err(|error| broken(explain(&error)))?;
    send.write_chunk(hello::frame(&ours, 0))
        .await
        .map_err(|error| broken(error.to_string()))?;
    let stream = connection
        .accept_uni()
        .await
        .map_err(|error| broken(explain(&error)))?;
    let mut frames = SmallFrames::new(stream);
    let (_, theirs) = hello::read(&mut frames)
        .await
        .map_err(|error| broken(error.to_string()))?;
    ours.negotiate(&theirs)
        .map_err(|error| broken(error.message))?;
    if theirs.node != Some(peer.node) {
        let said = theirs
            .node
            .map_or_else(|| "no node".into(), |node| format!("node {node}"));
        return refuse(
            CloseCode::Hello,
            format!("the hello names {said}, the certificate node {}", peer.node),
        );
    }
    if theirs.cluster != Some(shared.cluster) {
        return refuse(CloseCode::Hello, "the hello names no cluster");
    }
    Ok(Established {
        peer,
        connection: connection.clone(),
        hello: theirs,
        send,
        frames,
        dialled_as: None,
    })
}

fn known_peer(
    shared: &Shared,
    connection: &Connection,
    dialled: Option<NodeId>,
) -> Result<Arc<Peer>, Refusal> {
    let identity = match identity(connection) {
        Ok(identity) => identity,
        Err(error) => return refuse(CloseCode::Identity, error.to_string()),
    };
    let node = match identity.person {
        Person::Node(node) => node,
        Person::Client(principal) => {
            let reason =
                format!("this is the peer port, and '{principal}' a client: use the client port");
            return refuse(CloseCode::Identity, reason);
        }
    };
    if identity.cluster != shared.cluster {
        let (ours, theirs) = (shared.cluster, identity.cluster);
        return refuse(
            CloseCode::Identity,
            format!(
                "this is cluster {ours}, the other side belongs to cluster {theirs}: check the address"
            ),
        );
    }
    if dialled.is_some_and(|dialled| dialled != node) {
        return refuse(
            CloseCode::Identity,
            format!("node {node} answers at this address"),
        );
    }
    shared.peers.get(node).ok_or_else(|| {
        let _ = shared.handler.on_event(NetEvent::TurnedAway { node });
        let version = shared.handler.map_version();
        let mut words = format!("node {node} is no member that node {} knows", shared.node);
        if version.lineage() > 0 {
            words.push_str(
                "; a node that was called gone when the cluster was recovered never comes back",
            );
        }
        Refusal {
            code: CloseCode::NoMember,
            reason: no_member(version, &words),
        }
    })
}
