//! From an address to a connection whose other side has said, and proven, who it is.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectionError, Endpoint, RecvStream, TransportConfig, VarInt};
use quorate_protocol::close::CloseCode;
use quorate_protocol::frame::{self, Header, Reader};
use quorate_protocol::hello::{HELLO, Hello, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN};
use quorate_protocol::limits::FRAME_BODY_BYTES_MAX;
use quorate_protocol::names::node_name;
use quorate_protocol::{ClusterId, codec};
use quorate_ring::NodeId;
use rustls_pki_types::CertificateDer;

use super::connection::{self, Connection};
use crate::error::Error;
use crate::tls::{self, ANY_NODE};

/// Time for one address, handshake and hello together.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);
/// Signs of life while nothing is asked, so that a node's end is noticed between requests.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT_MS: u32 = 15_000;
/// Most unread bytes of one reply, and of all together: room for replies of several large values.
const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// Large replies that a node may be sending us at the same time.
const LARGE_REPLIES_MAX: u32 = 256;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialError {
    /// Nobody answers there, for now.
    #[error("{0}")]
    Unreachable(String),
    /// Somebody answers, and it is not to be: wrong certificate, cluster or version.
    #[error("{0}")]
    Refused(String),
}

/// Makes connections.
pub(crate) struct Dialer {
    endpoint: Endpoint,
    config: ClientConfig,
    incarnation: u64,
}

impl Dialer {
    /// A dialer on `endpoint`. `incarnation` is what its hellos call this client: any number.
    pub(crate) fn new(endpoint: Endpoint, tls: QuicClientConfig, incarnation: u64) -> Self {
        let mut config = ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(transport()));
        Self {
            endpoint,
            config,
            incarnation,
        }
    }

    /// An endpoint on a socket of its own.
    pub(crate) fn open_endpoint() -> Result<Endpoint, Error> {
        let any = |address: SocketAddr| Endpoint::client(address);
        // A socket of the newer family reaches both, where the machine has it.
        any((Ipv6Addr::UNSPECIFIED, 0).into())
            .or_else(|_| any((Ipv4Addr::UNSPECIFIED, 0).into()))
            .map_err(|error| Error::unavailable(format!("no UDP socket can be opened: {error}")))
    }

    /// Tries the addresses in order. `node` is who must answer, if known; `cluster` likewise.
    pub(crate) async fn dial(
        &self,
        addresses: &[String],
        node: Option<NodeId>,
        cluster: Option<ClusterId>,
    ) -> Result<Arc<Connection>, DialError> {
        let mut last = DialError::Unreachable("it has no client address".to_owned());
        for address in addresses {
            let dialled =
                tokio::time::timeout(ADDRESS_TIMEOUT, self.dial_name(address, node, cluster)).await;
            last = match dialled {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => error,
                Err(_) => DialError::Unreachable(format!("{address} does not answer")),
            };
        }
        Err(last)
    }

    /// Waits until all ended connections have said so, for a second at most.
    pub(super) async fn drain(&self) {
        // Who was not told in time notices by itself.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.endpoint.wait_idle()).await;
    }

    async fn dial_name(
        &self,
        name: &str,
        node: Option<NodeId>,
        cluster: Option<ClusterId>,
    ) -> Result<Arc<Connection>, DialError> {
        let resolved = tokio::net::lookup_host(name).await.map_err(|error| {
            DialError::Unreachable(format!("{name} cannot be resolved: {error}"))
        })?;
        let mut last = DialError::Unreachable(format!("{name} has no address"));
        for address in resolved {
            match self.dial_address(address, node, cluster).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn dial_address(
        &self,
        address: SocketAddr,
        node: Option<NodeId>,
        cluster: Option<ClusterId>,
    ) -> Result<Arc<Connection>, DialError> {
        let server_name = node.map_or_else(|| ANY_NODE.to_owned(), node_name);
        let quic = self
            .endpoint
            .connect_with(self.config.clone(), address, &server_name)
            .map_err(|error| DialError::Unreachable(format!("{address}: {error}")))?
            .await
            .map_err(|error| describe(address, &error))?;
        let proven = proven_node(&quic)
            .ok_or_else(|| DialError::Refused(format!("{address} shows no node's certificate")))?;
        let ended = |error: ConnectionError| describe(address, &error);
        let (mut send, mut recv) = quic.open_bi().await.map_err(ended)?;
        let ours = self.hello(cluster);
        let written = send.write_chunk(hello_frame(&ours)).await;
        let mut reader = Reader::new(FRAME_BODY_BYTES_MAX);
        let read = match written {
            Ok(()) => read_hello(&mut recv, &mut reader).await,
            Err(error) => Err(error.to_string()),
        };
        let theirs = match (read, quic.close_reason()) {
            (Ok(theirs), _) => theirs,
            (Err(_), Some(reason)) => return Err(ended(reason)),
            (Err(problem), None) => {
                return Err(DialError::Refused(format!("{address}: {problem}")));
            }
        };
        accept(&ours, &theirs, proven).map_err(|problem| {
            connection::close(&quic, CloseCode::Hello, &problem);
            DialError::Refused(format!("{address}: {problem}"))
        })?;
        Ok(Connection::start(quic, proven, send, recv, reader))
    }

    fn hello(&self, cluster: Option<ClusterId>) -> Hello {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Hello {
            version_min: PROTOCOL_VERSION_MIN,
            version_max: PROTOCOL_VERSION,
            capabilities: 0,
            build: concat!("quorate-client ", env!("CARGO_PKG_VERSION")).to_owned(),
            cluster,
            node: None,
            ring: None,
            incarnation: self.incarnation,
            wall_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS).into()))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(CONNECTION_WINDOW_BYTES.into())
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(LARGE_REPLIES_MAX))
        .datagram_receive_buffer_size(None);
    transport
}

fn hello_frame(hello: &Hello) -> Bytes {
    let mut out = Vec::new();
    let header = Header {
        opcode: HELLO,
        count: 1,
        ..Header::default()
    };
    frame::write(&header, &mut out, |body| codec::encode(hello, body));
    Bytes::from(out)
}

async fn read_hello(recv: &mut RecvStream, reader: &mut Reader) -> Result<Hello, String> {
    loop {
        if let Some((header, body)) = reader.next_frame().map_err(|error| error.to_string())? {
            if header.opcode != HELLO {
                return Err("it does not begin with a hello".to_owned());
            }
            return codec::decode(&body)
                .map_err(|error| format!("its hello cannot be read: {error}"));
        }
        match recv.read_chunk(usize::MAX, true).await {
            Ok(Some(chunk)) => reader.push(&chunk.bytes),
            Ok(None) => return Err("it says no hello".to_owned()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn accept(ours: &Hello, theirs: &Hello, proven: NodeId) -> Result<(), String> {
    ours.negotiate(theirs).map_err(|error| error.message)?;
    match theirs.node {
        Some(said) if said == proven => Ok(()),
        Some(said) => Err(format!(
            "it says to be node {said}, and its certificate says {proven}"
        )),
        None => Err("it does not say which node it is".to_owned()),
    }
}

fn proven_node(quic: &quinn::Connection) -> Option<NodeId> {
    let identity = quic
        .peer_identity()?
        .downcast::<Vec<CertificateDer<'static>>>()
        .ok()?;
    tls::node_in(identity.first()?)
}

fn describe(address: SocketAddr, error: &ConnectionError) -> DialError {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let code = CloseCode::from(close.error_code.into_inner());
            let reason = String::from_utf8_lossy(&close.reason);
            let words = format!("{address} closed the connection ({code}): {reason}");
            if code.is_passing() {
                DialError::Unreachable(words)
            } else {
                DialError::Refused(words)
            }
        }
        ConnectionError::TransportError(problem) if is_tls(problem.code) => {
            DialError::Refused(format!(
                "the certificate of {address} is not accepted: {}",
                hint(&problem.reason)
            ))
        }
        ConnectionError::ConnectionClosed(close) if is_tls(close.error_code) => {
            DialError::Refused(format!("{address} {}", alert(close.error_code)))
        }
        ConnectionError::TimedOut => DialError::Unreachable(format!("{address} does not answer")),
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::Reset
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => DialError::Unreachable(format!("{address}: {error}")),
    }
}

/// The verifier's words, and what they mean here where they are terse.
fn hint(reason: &str) -> String {
    let meaning = if reason.contains("UnknownIssuer") || reason.contains("BadSignature") {
        "it is of another authority, so of another cluster"
    } else if reason.contains("NotValidForName") {
        "another node, or no node, answers at this address"
    } else if reason.contains("Expired") || reason.contains("NotValidYet") {
        "it is not valid now, or this machine's clock is wrong"
    } else {
        return reason.to_owned();
    };
    format!("{meaning} ({reason})")
}

const TLS_ALERTS: u64 = 0x100;

/// Whether a code is one of TLS's alerts (RFC 9001, section 4.8).
fn is_tls(code: quinn::TransportErrorCode) -> bool {
    (TLS_ALERTS..TLS_ALERTS + 0x100).contains(&u64::from(code))
}

/// What the other side's alert means here (numbers: RFC 8446, section 6).
fn alert(code: quinn::TransportErrorCode) -> String {
    match u64::from(code).saturating_sub(TLS_ALERTS) {
        45 => "refuses this client's certificate: it is not valid now".to_owned(),
        48 => {
            "refuses this client's certificate: it is of another authority, so of another cluster"
                .to_owned()
        }
        42..=49 | 116 => format!(
            "refuses this client's certificate ({code}): use one of this cluster's authority"
        ),
        120 => "is no client port: name the port that the node's settings call listen_client"
            .to_owned(),
        other => format!("ended the handshake with TLS alert {other}"),
    }
}
