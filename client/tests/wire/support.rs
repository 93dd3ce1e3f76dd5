//! Nodes made up for tests: real QUIC and TLS, answers from a closure.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, RecvStream, SendStream};
use quorate_client::provision::{Authority, ClusterSpec, Issued, NewCluster, NodeSpec};
use quorate_client::{Builder, Client, ClusterMap, TlsPem};
use quorate_protocol::client::{ClientReply, ClientRequest, MapReply};
use quorate_protocol::codec;
use quorate_protocol::frame::{self, Header, Reader};
use quorate_protocol::hello::{ALPN_CLIENT, HELLO, Hello};
use quorate_protocol::limits::SMALL_BODY_BYTES_MAX;
use quorate_ring::{NodeId, PartitionCount};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::Mutex;

/// What a made-up node does with a request.
pub(crate) enum Act {
    /// Answers.
    Reply(Box<ClientReply>),
    /// Ends the connection.
    Hangup,
    /// Says nothing.
    Ignore,
}

impl Act {
    pub(crate) fn reply(reply: impl Into<ClientReply>) -> Self {
        Self::Reply(Box::new(reply.into()))
    }
}

type Answer = Arc<dyn Fn(NodeId, &Header, ClientRequest) -> Act + Send + Sync>;

/// A cluster of made-up nodes.
pub(crate) struct Fake {
    pub(crate) made: NewCluster,
    pub(crate) endpoints: Vec<(NodeId, Endpoint)>,
    /// Requests that arrived, other than for the map.
    pub(crate) requests: Arc<AtomicUsize>,
}

/// Ports that were free a moment ago.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let sockets: Vec<_> = (0..count)
        .map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap())
        .collect();
    sockets
        .iter()
        .map(|socket| socket.local_addr().unwrap().port())
        .collect()
}

pub(crate) fn spec(ports: &[u16]) -> ClusterSpec {
    let node = |(index, port): (usize, &u16)| -> NodeSpec {
        format!(
            "name=n{index},peer=127.0.0.1:{},client=127.0.0.1:{port}",
            1 + index
        )
        .parse()
        .unwrap()
    };
    ClusterSpec {
        name: "fake".to_owned(),
        partitions: PartitionCount::new(16).unwrap(),
        copies: 3,
        nodes: ports.iter().enumerate().map(node).collect(),
    }
}

impl Fake {
    /// Starts so many nodes, which answer by `answer`; the map they answer themselves.
    pub(crate) fn start(
        count: usize,
        answer: impl Fn(NodeId, &Header, ClientRequest) -> Act + Send + Sync + 'static,
    ) -> Self {
        let ports = free_ports(count);
        let made = spec(&ports).create().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let answer: Answer = Arc::new(answer);
        let map = Arc::new(made.map.clone());
        let endpoints = made.map.members.iter().map(|member| {
            let (_, issued) = made
                .nodes
                .iter()
                .find(|(name, _)| *name == member.name)
                .unwrap();
            let config = server_config(issued, &made.authority);
            let address = member.client_addresses[0].parse().unwrap();
            let endpoint = Endpoint::server(config, address).unwrap();
            tokio::spawn(serve(
                endpoint.clone(),
                member.id,
                Arc::clone(&map),
                Arc::clone(&answer),
                Arc::clone(&requests),
            ));
            (member.id, endpoint)
        });
        let endpoints = endpoints.collect();
        Self {
            made,
            endpoints,
            requests,
        }
    }

    pub(crate) fn seeds(&self) -> Vec<String> {
        self.made
            .map
            .members
            .iter()
            .map(|member| member.client_addresses[0].clone())
            .collect()
    }

    pub(crate) fn builder(&self) -> Builder {
        Client::builder()
            .seeds(self.seeds())
            .tls(self.tls())
            .deadline(Duration::from_secs(5))
    }

    pub(crate) fn tls(&self) -> TlsPem {
        pem(&self.made.authority, &self.made.admin)
    }

    pub(crate) async fn client(&self) -> Client {
        self.builder().connect().await.unwrap()
    }

    pub(crate) fn seen(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// One more server, with whatever certificate stands for the first node.
pub(crate) fn posing(fake: &Fake, id: NodeId) -> Endpoint {
    let config = server_config(&fake.made.nodes[0].1, &fake.made.authority);
    let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let map = Arc::new(fake.made.map.clone());
    tokio::spawn(serve(
        endpoint.clone(),
        id,
        map,
        Arc::new(|_, _: &Header, _| Act::Ignore),
        Arc::default(),
    ));
    endpoint
}

pub(crate) fn pem(authority: &Authority, issued: &Issued) -> TlsPem {
    TlsPem {
        ca: authority.issued().cert,
        cert: issued.cert.clone(),
        key: issued.key.clone(),
    }
}

fn server_config(issued: &Issued, authority: &Authority) -> quinn::ServerConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.issued().cert.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    );
    let chain = vec![CertificateDer::from_pem_slice(issued.cert.as_bytes()).unwrap()];
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(
            chain,
            PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![ALPN_CLIENT.to_vec()];
    quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config).unwrap()))
}

struct Node {
    id: NodeId,
    map: Arc<ClusterMap>,
    answer: Answer,
    requests: Arc<AtomicUsize>,
    quic: quinn::Connection,
    send: Mutex<SendStream>,
}

async fn serve(
    endpoint: Endpoint,
    id: NodeId,
    map: Arc<ClusterMap>,
    answer: Answer,
    requests: Arc<AtomicUsize>,
) {
    while let Some(incoming) = endpoint.accept().await {
        let (map, answer, requests) =
            (Arc::clone(&map), Arc::clone(&answer), Arc::clone(&requests));
        tokio::spawn(async move {
            let Ok(quic) = incoming.await else { return };
            let Ok((mut send, mut recv)) = quic.accept_bi().await else {
                return;
            };
            let mut reader = Reader::new(frame::HEADER_BYTES + SMALL_BODY_BYTES_MAX);
            let Some((header, body)) = next(&mut reader, &mut recv).await else {
                return;
            };
            assert_eq!(header.opcode, HELLO);
            let theirs: Hello = codec::decode(&body).unwrap();
            let ours = Hello {
                node: Some(id),
                cluster: Some(map.cluster),
                ring: Some(map.ring.version()),
                ..theirs
            };
            write(
                &mut send,
                &Header {
                    opcode: HELLO,
                    count: 1,
                    ..Header::default()
                },
                |out| codec::encode(&ours, out),
            )
            .await;
            let node = Arc::new(Node {
                id,
                map,
                answer,
                requests,
                quic,
                send: Mutex::new(send),
            });
            tokio::spawn(large(Arc::clone(&node)));
            while let Some((header, body)) = next(&mut reader, &mut recv).await {
                node.handle(header, body).await;
            }
        });
    }
}

async fn large(node: Arc<Node>) {
    while let Ok(mut recv) = node.quic.accept_uni().await {
        let mut reader = Reader::new(usize::MAX);
        if let Some((header, body)) = next(&mut reader, &mut recv).await {
            node.handle(header, body).await;
        }
    }
}

async fn next(reader: &mut Reader, recv: &mut RecvStream) -> Option<(Header, Bytes)> {
    loop {
        if let Some(frame) = reader.next_frame().expect("a frame of the client's") {
            return Some(frame);
        }
        reader.push(&recv.read_chunk(usize::MAX, true).await.ok()??.bytes);
    }
}

async fn write(send: &mut SendStream, header: &Header, body: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    frame::write(header, &mut out, body);
    // The client may be gone.
    let _ = send.write_all(&out).await;
}

impl Node {
    async fn handle(&self, header: Header, body: Bytes) {
        let request = ClientRequest::decode_body(header.opcode, &body).unwrap();
        let act = if let ClientRequest::GetMap(_) = request {
            Act::reply(MapReply {
                map: ClusterMap::clone(&self.map),
                node: self.id,
            })
        } else {
            self.requests.fetch_add(1, Ordering::SeqCst);
            (self.answer)(self.id, &header, request)
        };
        match act {
            Act::Reply(reply) => self.reply(header, *reply).await,
            Act::Hangup => self.quic.close(0u32.into(), b"hangup"),
            Act::Ignore => {}
        }
    }

    async fn reply(&self, header: Header, reply: ClientReply) {
        let header = Header {
            opcode: reply.opcode(),
            ring: self.map.ring.version().get(),
            ..header
        };
        let mut body = Vec::new();
        reply.encode_body(&mut body);
        if body.len() <= SMALL_BODY_BYTES_MAX {
            write(&mut *self.send.lock().await, &header, |out| {
                out.extend_from_slice(&body)
            })
            .await;
        } else if let Ok(mut send) = self.quic.open_uni().await {
            write(&mut send, &header, |out| out.extend_from_slice(&body)).await;
            let _ = send.finish();
            let _ = send.stopped().await;
        }
    }
}
