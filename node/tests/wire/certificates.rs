//! Certificates that are the same in every process: their lengths are part of every trace.

use std::sync::{Arc, LazyLock};

use quorate_client::TlsPem;
use quorate_node::tls::{Tls, TlsFiles};
use quorate_protocol::ClusterId;
use quorate_protocol::names::{CLIENT_NAME, cluster_name, node_name};
use quorate_ring::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519,
};
use rustls_pki_types::PrivatePkcs8KeyDer;

/// The cluster of all runs.
pub(crate) const CLUSTER: ClusterId = ClusterId::new(0xc1, 0xc2);
/// Nodes that have certificates: 1 to this.
const NODES: u8 = 5;
/// What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, 7).
const ED25519_PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// All certificates.
pub(crate) static ALL: LazyLock<Certificates> = LazyLock::new(Certificates::new);

/// The authority, and whom it vouches for.
pub(crate) struct Certificates {
    nodes: Vec<Arc<Tls>>,
    /// A client's.
    pub(crate) client: TlsPem,
}

impl Certificates {
    fn new() -> Self {
        let (issuer, ca) = authority();
        let client = client(&issuer, &ca);
        let nodes = (1..=NODES)
            .map(|number| Arc::new(node(number, &issuer, &ca)))
            .collect();
        Self { nodes, client }
    }

    /// A node's.
    pub(crate) fn node(&self, node: NodeId) -> Arc<Tls> {
        let at = usize::try_from(node.get()).unwrap() - 1;
        Arc::clone(&self.nodes[at])
    }
}

fn key(number: u8) -> KeyPair {
    let mut der = ED25519_PKCS8.to_vec();
    der.extend_from_slice(&[number; 32]);
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ED25519).unwrap()
}

fn authority() -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "authority of a test");
    let pem = params.self_signed(&key(100)).unwrap().pem();
    (Issuer::new(params, key(100)), pem)
}

fn sign(
    number: u8,
    name: &str,
    usages: Vec<ExtendedKeyUsagePurpose>,
    issuer: &Issuer<'static, KeyPair>,
) -> (String, String) {
    let names = vec![name.to_owned(), cluster_name(CLUSTER)];
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = usages;
    let key = key(number);
    (
        params.signed_by(&key, issuer).unwrap().pem(),
        key.serialize_pem(),
    )
}

fn node(number: u8, issuer: &Issuer<'static, KeyPair>, ca: &str) -> Tls {
    let usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let name = node_name(NodeId::new(number.into()));
    let (certificate, key) = sign(number, &name, usages, issuer);
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    Tls::load(TlsFiles {
        authority: write("ca.pem", ca),
        certificate: write("node.pem", &certificate),
        key: write("node.key", &key),
    })
    .unwrap()
}

fn client(issuer: &Issuer<'static, KeyPair>, ca: &str) -> TlsPem {
    let usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let (cert, key) = sign(101, CLIENT_NAME, usages, issuer);
    TlsPem {
        ca: ca.to_owned(),
        cert,
        key,
    }
}
