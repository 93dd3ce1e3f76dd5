//! Sockets and QUIC endpoints.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{
    AsyncUdpSocket, ClientConfig, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig,
    Runtime as _, ServerConfig, TokioRuntime,
};
use quorate_protocol::hello::{ALPN_CLIENT, ALPN_PEER};
use socket2::{Domain, Protocol, Socket, Type};

use super::bounds::HANDSHAKES_MAX;
use super::error::NetError;
use super::settings::NetSettings;
use crate::sources::Sources;
use crate::tls::{Credentials, Tls};

/// What the system may hold for a socket while this process is busy elsewhere, bytes.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Opens a UDP socket for one of the ports.
///
/// # Errors
/// The address is in use, is not this machine's, or may not be used.
pub fn bind(address: SocketAddr) -> Result<UdpSocket, NetError> {
    let open = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        // Both are wishes: the system may grant less, and all works with less.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(UdpSocket::from(socket))
    };
    open().map_err(|source| NetError::Bind { address, source })
}

/// An endpoint with the QUIC settings of the peer port, which dials with them as well, and none of what is spoken there: for
/// programs that measure what these settings cost by themselves. Within a tokio runtime.
///
/// # Errors
/// The socket or a certificate cannot be used, or a setting is out of its range.
pub fn bare_endpoint(
    socket: UdpSocket,
    tls: &Tls,
    settings: &NetSettings,
) -> Result<Endpoint, NetError> {
    settings.check()?;
    let socket = TokioRuntime
        .wrap_udp_socket(socket)
        .map_err(NetError::Socket)?;
    let (credentials, sources) = (tls.current(), Sources::system());
    let runtime = Arc::new(TokioRuntime);
    let mut endpoint = open(
        Port::Peer,
        socket,
        runtime,
        &credentials,
        settings,
        &sources,
    )?;
    endpoint.set_default_client_config(client_config(&credentials, settings)?);
    Ok(endpoint)
}

/// Which of the two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Peer,
    Client,
}

pub(super) fn open(
    port: Port,
    socket: Arc<dyn AsyncUdpSocket>,
    runtime: Arc<dyn quinn::Runtime>,
    credentials: &Credentials,
    settings: &NetSettings,
    sources: &Sources,
) -> Result<Endpoint, NetError> {
    let server = server_config(port, credentials, settings)?;
    let config = endpoint_config(credentials, settings, sources)?;
    Endpoint::new_with_abstract_socket(config, Some(server), socket, runtime)
        .map_err(NetError::Socket)
}

/// For accepted connections.
pub(super) fn server_config(
    port: Port,
    credentials: &Credentials,
    settings: &NetSettings,
) -> Result<ServerConfig, NetError> {
    let (alpn, transport) = match port {
        Port::Peer => (ALPN_PEER, settings.peer_transport()),
        Port::Client => (ALPN_CLIENT, settings.client_transport()),
    };
    let crypto = QuicServerConfig::try_from(credentials.server_config(alpn)?)
        .map_err(|error| NetError::NoSuite(error.to_string()))?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(transport)
        .max_incoming(HANDSHAKES_MAX)
        .migration(port == Port::Client);
    Ok(config)
}

/// For dialled connections, which always go to peers.
pub(super) fn client_config(
    credentials: &Credentials,
    settings: &NetSettings,
) -> Result<ClientConfig, NetError> {
    let crypto = QuicClientConfig::try_from(credentials.client_config(ALPN_PEER)?)
        .map_err(|error| NetError::NoSuite(error.to_string()))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(settings.peer_transport());
    Ok(config)
}

/// Reset tokens follow from the node's key: after a restart the node resets the connections of its
/// former life, so that the others notice at their next packet.
fn endpoint_config(
    credentials: &Credentials,
    settings: &NetSettings,
    sources: &Sources,
) -> Result<EndpointConfig, NetError> {
    let reset = blake3::derive_key("quorate 2026 reset tokens", credentials.endpoint_secret());
    let seed = sources.try_seed()?;
    let mut config = EndpointConfig::new(Arc::new(ResetKey(reset)));
    config.rng_seed(Some(sources.try_seed()?));
    config.cid_generator(move || Box::new(ConnectionIds { seed, count: 0 }));
    // Fails above 65,527 only, and the settings were checked.
    let _ = config.max_udp_payload_size(settings.payload_max().max(1472));
    Ok(config)
}

/// Connection ids that nobody else can tell apart. quinn's own generator would disown those of a
/// former life, and then no reset is sent for them.
struct ConnectionIds {
    seed: [u8; blake3::KEY_LEN],
    count: u64,
}

const CONNECTION_ID_BYTES: usize = 12;

impl ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.count += 1;
        let hash = blake3::keyed_hash(&self.seed, &self.count.to_be_bytes());
        ConnectionId::new(&hash.as_bytes()[..CONNECTION_ID_BYTES])
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

struct ResetKey([u8; 32]);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(blake3::keyed_hash(&self.0, data).as_bytes());
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let signature = <[u8; blake3::OUT_LEN]>::try_from(signature).map_err(|_| CryptoError)?;
        // Comparing blake3 hashes takes the same time wherever they differ.
        if blake3::keyed_hash(&self.0, data) == signature {
            Ok(())
        } else {
            Err(CryptoError)
        }
    }
}
