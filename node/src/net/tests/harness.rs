//! Nodes that record what they are told, and connections made by hand.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream};
use quorate_protocol::ClusterId;
use quorate_protocol::client::ClientReply;
use quorate_protocol::frame::{Header, write};
use quorate_protocol::hello::{ALPN_CLIENT, Hello, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN};
use quorate_protocol::names::node_name;
use quorate_protocol::versioned::MapVersion;
use quorate_ring::NodeId;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::super::frames::{LargeFrame, SmallFrames};
use super::super::{
    ClientKey, NetEvent, NetHandle, NetHandler, NetParts, NetSettings, NoMessage, bind, budget,
    hello, start,
};
use crate::tls::testing::{Authority, CLUSTER, Signed};
use crate::tls::{Credentials, Tls};

/// Longer than anything here takes on a busy machine; waiting that long is a failure.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const fn id(number: u64) -> NodeId {
    NodeId::new(number)
}

pub(super) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

pub(super) fn hello_of(
    node: Option<NodeId>,
    cluster: Option<ClusterId>,
    incarnation: u64,
) -> Hello {
    Hello {
        version_min: PROTOCOL_VERSION_MIN,
        version_max: PROTOCOL_VERSION,
        capabilities: 0,
        build: "test".into(),
        cluster,
        node,
        ring: None,
        incarnation,
        wall_ms: 1,
    }
}

pub(super) struct Recorder {
    hello: Hello,
    events: mpsc::UnboundedSender<NetEvent>,
}

impl Recorder {
    /// One that nobody listens to.
    pub(super) fn deaf() -> Arc<Self> {
        Arc::new(Self {
            hello: hello_of(None, None, 0),
            events: mpsc::unbounded_channel().0,
        })
    }
}

impl NetHandler for Recorder {
    fn on_event(&self, event: NetEvent) -> Result<(), NoMessage> {
        // The test may have ended and dropped its end.
        let _ = self.events.send(event);
        Ok(())
    }

    fn hello(&self) -> Hello {
        self.hello.clone()
    }

    fn map_version(&self) -> MapVersion {
        MapVersion::FIRST
    }
}

/// A node and what it was told.
pub(super) struct Node {
    pub(super) net: NetHandle,
    pub(super) events: mpsc::UnboundedReceiver<NetEvent>,
}

pub(super) fn node(authority: &Authority, number: u64) -> Node {
    node_with(authority.tls(id(number)), 1, NetSettings::default(), (0, 0))
}

pub(super) fn node_with(
    tls: Tls,
    incarnation: u64,
    settings: NetSettings,
    ports: (u16, u16),
) -> Node {
    let (sender, events) = mpsc::unbounded_channel();
    let hello = hello_of(Some(tls.node()), Some(tls.cluster()), incarnation);
    let sockets = (
        bind(loopback(ports.0)).unwrap(),
        bind(loopback(ports.1)).unwrap(),
    );
    let handler = Arc::new(Recorder {
        hello,
        events: sender,
    });
    let net =
        start(NetParts::on_sockets(sockets, Arc::new(tls), settings, handler).unwrap()).unwrap();
    Node { net, events }
}

impl Node {
    pub(super) fn peer_address(&self) -> SocketAddr {
        self.net.peer_address().unwrap()
    }

    pub(super) fn peer_entry(&self, number: u64) -> (NodeId, Vec<String>) {
        (id(number), vec![self.peer_address().to_string()])
    }

    pub(super) async fn next(&mut self) -> NetEvent {
        timeout(PATIENCE, self.events.recv())
            .await
            .expect("an event")
            .unwrap()
    }

    /// The next frame of a peer; nothing else may come before it.
    pub(super) async fn peer_frame(&mut self) -> (NodeId, Header, Bytes) {
        match self.next().await {
            NetEvent::PeerFrame { from, header, body } => (from, header, body),
            other => panic!("a frame was expected: {other:?}"),
        }
    }

    pub(super) async fn client_frame(&mut self) -> (ClientKey, Header, Bytes) {
        match self.next().await {
            NetEvent::ClientFrame {
                client,
                header,
                body,
                ..
            } => (client, header, body),
            other => panic!("a request was expected: {other:?}"),
        }
    }

    pub(super) async fn peer_up(&mut self) -> (NodeId, Hello) {
        match self.next().await {
            NetEvent::PeerUp { node, hello } => (node, hello),
            other => panic!("a link was expected: {other:?}"),
        }
    }

    pub(super) async fn peer_lost(&mut self) -> String {
        match self.next().await {
            NetEvent::PeerLost { reason, .. } => reason,
            other => panic!("a loss was expected: {other:?}"),
        }
    }

    /// Waits until the last error of the only peer contains `words`.
    pub(super) async fn link_error(&self, words: &str) {
        let start = Instant::now();
        loop {
            let error = self.net.links()[0].last_error.clone().unwrap_or_default();
            if error.contains(words) {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "'{words}' was expected: '{error}'"
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Tells two nodes of each other and waits for the link.
pub(super) async fn join((one, a): (&mut Node, u64), (other, b): (&mut Node, u64)) {
    one.net.set_peers(vec![other.peer_entry(b)]);
    other.net.set_peers(vec![one.peer_entry(a)]);
    assert_eq!(one.peer_up().await.0, id(b));
    assert_eq!(other.peer_up().await.0, id(a));
}

pub(super) fn frame(opcode: u16, request: u64, body: &[u8]) -> Bytes {
    let mut out = Vec::new();
    let header = Header {
        opcode,
        request,
        count: 1,
        ..Header::default()
    };
    write(&header, &mut out, |out| out.extend_from_slice(body));
    Bytes::from(out)
}

/// Dials with any certificate, unchecked.
pub(super) fn dial_config(authority: &Authority, signed: &Signed, alpn: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()))
}

/// A connection to a port of node `number`, without hello.
pub(super) async fn dial(config: ClientConfig, address: SocketAddr, number: u64) -> Connection {
    let endpoint = Endpoint::client(loopback(0)).unwrap();
    let connecting = endpoint
        .connect_with(config, address, &node_name(id(number)))
        .unwrap();
    timeout(PATIENCE, connecting).await.unwrap().unwrap()
}

/// How a connection was ended by the other side, as the person in front of it would read it.
pub(super) async fn end_of(connection: &Connection) -> String {
    let error = timeout(PATIENCE, connection.closed()).await.unwrap();
    super::super::close::explain(&error)
}

/// A client that has said hello.
pub(super) struct TestClient {
    pub(super) connection: Connection,
    pub(super) send: SendStream,
    replies: SmallFrames,
}

impl TestClient {
    pub(super) async fn connect(authority: &Authority, node: &Node, number: u64) -> Self {
        let signed = authority.client("alice", CLUSTER);
        let directory = tempfile::tempdir().unwrap();
        let credentials = Credentials::read(&authority.write(directory.path(), &signed)).unwrap();
        let crypto =
            QuicClientConfig::try_from(credentials.client_config(ALPN_CLIENT).unwrap()).unwrap();
        let config = ClientConfig::new(Arc::new(crypto));
        let connection = dial(config, node.net.client_address().unwrap(), number).await;
        Self::greet(connection).await.unwrap()
    }

    pub(super) async fn greet(connection: Connection) -> Result<Self, String> {
        let (mut send, receive) = connection.open_bi().await.unwrap();
        let ours = hello_of(None, None, 9);
        send.write_chunk(hello::frame(&ours, 77))
            .await
            .map_err(|error| error.to_string())?;
        let mut replies = SmallFrames::new(receive);
        let (header, theirs) = timeout(PATIENCE, hello::read(&mut replies))
            .await
            .unwrap()
            .map_err(|error| error.to_string())?;
        assert_eq!((header.request, theirs.cluster), (77, Some(CLUSTER)));
        Ok(Self {
            connection,
            send,
            replies,
        })
    }

    pub(super) async fn ask(&mut self, request: u64, body: &[u8]) {
        self.send
            .write_chunk(frame(0x0101, request, body))
            .await
            .unwrap();
    }

    pub(super) async fn reply(&mut self) -> (Header, Bytes) {
        timeout(PATIENCE, self.replies.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    }

    pub(super) async fn failure(&mut self) -> (u64, quorate_protocol::WireError) {
        let (header, body) = self.reply().await;
        match ClientReply::decode_body(header.opcode, &body).unwrap() {
            ClientReply::Failed(error) => (header.request, error),
            other => panic!("a failure was expected: {other:?}"),
        }
    }
}

pub(super) async fn read_one(stream: RecvStream) -> (Header, Bytes) {
    let frame = LargeFrame::announced(stream).await.unwrap().unwrap();
    let share = budget::Assembly::new().take(frame.body_bytes).unwrap();
    (
        frame.header,
        timeout(PATIENCE, frame.body(share)).await.unwrap().unwrap(),
    )
}
