//! Starting the network, and the handle by which the node uses it.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime};
use quorate_protocol::close::CloseCode;
use quorate_ring::NodeId;
use tokio::time::{sleep, timeout};

use super::accept::accept;
use super::bounds::DRAIN_WAIT;
use super::budget::Assembly;
use super::client::Clients;
use super::close::{number, reason_bytes};
use super::complaints::Complaints;
use super::endpoint::{self, Port};
use super::error::{NetError, SendRefused};
use super::events::{ClientKey, Lane, LinkState, NetHandler};
use super::peer::Peers;
use super::settings::NetSettings;
use super::shared::{Sessions, Shared, Stop};
use crate::sources::Sources;
use crate::tls::Tls;

/// What a network is made of. The sockets may be anything that carries datagrams.
pub struct NetParts {
    /// Where peers come in, and from where this node dials them.
    pub peer_socket: Arc<dyn AsyncUdpSocket>,
    /// Where clients come in.
    pub client_socket: Arc<dyn AsyncUdpSocket>,
    /// Time and tasks for QUIC.
    pub runtime: Arc<dyn Runtime>,
    /// The node's certificates; they say which node of which cluster this is.
    pub tls: Arc<Tls>,
    /// Settings.
    pub settings: NetSettings,
    /// Takes the events.
    pub handler: Arc<dyn NetHandler>,
    /// Randomness.
    pub sources: Sources,
}

impl NetParts {
    /// Parts on real sockets, as made by [`super::bind`]. Within a tokio runtime.
    ///
    /// # Errors
    /// A socket cannot be used with the runtime.
    pub fn on_sockets(
        (peer, client): (UdpSocket, UdpSocket),
        tls: Arc<Tls>,
        settings: NetSettings,
        handler: Arc<dyn NetHandler>,
    ) -> Result<Self, NetError> {
        Ok(Self {
            peer_socket: TokioRuntime
                .wrap_udp_socket(peer)
                .map_err(NetError::Socket)?,
            client_socket: TokioRuntime
                .wrap_udp_socket(client)
                .map_err(NetError::Socket)?,
            runtime: Arc::new(TokioRuntime),
            tls,
            settings,
            handler,
            sources: Sources::system(),
        })
    }
}

/// Starts both ports. Must be called within a tokio runtime, on which everything then runs.
///
/// # Errors
/// A setting is out of its range, or a socket or certificate can't be used.
pub fn start(parts: NetParts) -> Result<NetHandle, NetError> {
    parts.settings.check()?;
    let credentials = parts.tls.current();
    let open = |port, socket| {
        endpoint::open(
            port,
            socket,
            Arc::clone(&parts.runtime),
            &credentials,
            &parts.settings,
            &parts.sources,
        )
    };
    let shared = Arc::new(Shared {
        node: parts.tls.node(),
        cluster: parts.tls.cluster(),
        peer_endpoint: open(Port::Peer, Arc::clone(&parts.peer_socket))?,
        client_endpoint: open(Port::Client, Arc::clone(&parts.client_socket))?,
        tls: Arc::clone(&parts.tls),
        settings: parts.settings.clone(),
        handler: Arc::clone(&parts.handler),
        peers: Peers::default(),
        clients: Clients::default(),
        total: Arc::default(),
        assembly: Arc::new(Assembly::new()),
        complaints: Complaints::default(),
        tokio: tokio::runtime::Handle::current(),
        stop: Stop::default(),
        sessions: Sessions::default(),
    });
    for port in [Port::Peer, Port::Client] {
        shared.tokio.spawn(accept(Arc::clone(&shared), port));
    }
    Ok(NetHandle { shared })
}

/// The network as the node uses it; from any thread, without ever blocking.
#[derive(Clone)]
pub struct NetHandle {
    shared: Arc<Shared>,
}

impl NetHandle {
    /// Sends one or more whole frames, back to back, to a peer. Taken is not delivered: what waits
    /// is lost when the link breaks.
    ///
    /// # Errors
    /// No link, or too much waits already. Nothing was sent (of several frames on the bulk lane:
    /// none after the one refused).
    pub fn send_peer(&self, to: NodeId, lane: Lane, frames: Bytes) -> Result<(), SendRefused> {
        self.shared.peers.send(to, lane, frames)
    }

    /// Answers a client with one or more whole frames, back to back, one for each request.
    ///
    /// # Errors
    /// The client has gone.
    pub fn reply(&self, client: ClientKey, frames: Bytes) -> Result<(), SendRefused> {
        self.shared.clients.reply(client, frames)
    }

    /// Says who the peers are and where they listen (`host:port`, in order of preference). Links to
    /// others are closed. Who has no link is dialled at once, and so is who has one by an address
    /// that is not in the list any more: that link is replaced when the new one is up. This node
    /// itself is left out.
    pub fn set_peers(&self, peers: Vec<(NodeId, Vec<String>)>) {
        Peers::set(&self.shared, peers);
    }

    /// Reads the certificates again; connections made from now on use them.
    ///
    /// # Errors
    /// They cannot be used: those in force stay in force.
    pub fn reload_tls(&self) -> Result<(), NetError> {
        let shared = &self.shared;
        shared.tls.reload()?;
        let credentials = shared.tls.current();
        for port in [Port::Peer, Port::Client] {
            let config = endpoint::server_config(port, &credentials, &shared.settings)?;
            if !shared.is_stopping() {
                shared.endpoint(port).set_server_config(Some(config));
            }
        }
        Ok(())
    }

    /// How the link to each peer stands, ordered by id.
    #[must_use]
    pub fn links(&self) -> Vec<LinkState> {
        self.shared.peers.states()
    }

    /// Client connections and their open requests.
    #[must_use]
    pub fn client_load(&self) -> (usize, usize) {
        self.shared.clients.load()
    }

    /// Where the peer port listens.
    ///
    /// # Errors
    /// The socket does not know.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        self.shared.peer_endpoint.local_addr()
    }

    /// Where the client port listens.
    ///
    /// # Errors
    /// The socket does not know.
    pub fn client_address(&self) -> io::Result<SocketAddr> {
        self.shared.client_endpoint.local_addr()
    }

    /// Stops: takes no new connections, refuses new requests, waits a few seconds at most for open
    /// requests and for what is queued, and closes every connection with `reason`.
    pub async fn close(&self, reason: &str) {
        let shared = &self.shared;
        for port in [Port::Peer, Port::Client] {
            shared.endpoint(port).set_server_config(None);
        }
        shared.stop.tell(reason);
        let ended = async {
            while !shared.sessions.is_empty() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        // Sessions bound their own end; this is the bound on a session that hangs.
        let _ = timeout(DRAIN_WAIT + Duration::from_secs(1), ended).await;
        for port in [Port::Peer, Port::Client] {
            shared
                .endpoint(port)
                .close(number(CloseCode::Stopping), reason_bytes(reason));
        }
        let idle = async {
            shared.peer_endpoint.wait_idle().await;
            shared.client_endpoint.wait_idle().await;
        };
        let _ = timeout(Duration::from_millis(500), idle).await;
    }
}
