//! A member by its certificate that says whatever a test wants.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, SendStream, TokioRuntime};
use quorate_protocol::close::CloseCode;
use quorate_protocol::codec;
use quorate_protocol::frame::{Header, write};
use quorate_protocol::hello::{ALPN_PEER, HELLO, Hello, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN};
use quorate_protocol::names::node_name;
use quorate_ring::NodeId;
use tokio::time::timeout;

use super::certificates::{ALL, CLUSTER};
use super::cluster::{Cluster, peer_port};

const PATIENCE: Duration = Duration::from_secs(30);

/// Node 1, on the other side of a link to one real node.
pub(crate) struct Impostor {
    pub(crate) connection: Connection,
    pub(crate) small: SendStream,
}

impl Impostor {
    /// Links up with a node by the book.
    pub(crate) async fn link(cluster: &Cluster, node: NodeId) -> Self {
        let me = NodeId::new(1);
        let credentials = ALL.node(me).current();
        let crypto = QuicClientConfig::try_from(credentials.client_config(ALPN_PEER).unwrap());
        let config = ClientConfig::new(Arc::new(crypto.unwrap()));
        let address: SocketAddr = peer_port(me);
        let socket = cluster.ether.open(address);
        let runtime = Arc::new(TokioRuntime);
        let endpoint =
            Endpoint::new_with_abstract_socket(Default::default(), None, socket, runtime).unwrap();
        let connecting = endpoint.connect_with(config, peer_port(node), &node_name(node));
        let connection = timeout(PATIENCE, connecting.unwrap())
            .await
            .unwrap()
            .unwrap();
        let mut small = connection.open_uni().await.unwrap();
        small.write_chunk(hello(me)).await.unwrap();
        Self { connection, small }
    }

    /// How the other side ended the connection: its code and words.
    pub(crate) async fn end(&self) -> (CloseCode, String) {
        match timeout(PATIENCE, self.connection.closed()).await.unwrap() {
            ConnectionError::ApplicationClosed(close) => (
                CloseCode::from(close.error_code.into_inner()),
                String::from_utf8_lossy(&close.reason).into_owned(),
            ),
            other => panic!("the other side was to close: {other}"),
        }
    }
}

fn hello(me: NodeId) -> Bytes {
    let hello = Hello {
        version_min: PROTOCOL_VERSION_MIN,
        version_max: PROTOCOL_VERSION,
        capabilities: 0,
        build: "impostor".to_owned(),
        cluster: Some(CLUSTER),
        node: Some(me),
        ring: None,
        incarnation: 99,
        wall_ms: 1,
    };
    frame(HELLO, |body| codec::encode(&hello, body))
}

/// A frame with any body.
pub(crate) fn frame(opcode: u16, body: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let header = Header {
        opcode,
        count: 1,
        ..Header::default()
    };
    let mut out = Vec::new();
    write(&header, &mut out, body);
    Bytes::from(out)
}
