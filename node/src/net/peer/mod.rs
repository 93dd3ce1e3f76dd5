//! Links to peers: one per node, dialled, kept and replaced.

mod dial;
mod establish;
mod link;
mod pause;
mod table;

use std::sync::Arc;

use quinn::Connection;
use quorate_protocol::close::CloseCode;

pub(super) use table::{Peer, Peers};

use establish::{NoLink, establish};

use super::close::close;
use super::shared::Shared;

/// Serves a connection that came in on the peer port.
pub(super) async fn accepted(shared: &Arc<Shared>, connection: Connection) -> Result<(), String> {
    let established = match establish(shared, connection, None).await {
        Ok(established) => established,
        Err(NoLink::Failed(reason) | NoLink::NoMember(_, reason)) => return Err(reason),
        Err(NoLink::TurnedAway) => return Ok(()),
        // Who has come in by itself has no reason to ask to be dialled.
        Err(NoLink::Knocked) => return Err("the side that dialled wants to be dialled".into()),
    };
    if established.peer.node > shared.node {
        close(
            &established.connection,
            CloseCode::Knock,
            "the node with the smaller id dials: wait",
        );
        established.peer.knocked(established.hello.incarnation);
    } else {
        link::start(shared, established);
    }
    Ok(())
}
