//! Who this client is and whom it trusts: certificates, and how nodes are recognised.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quorate_protocol::hello::ALPN_CLIENT;
use quorate_protocol::names::CertificateName;
use quorate_ring::NodeId;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::error::Error;

/// The name to dial a node by whose id is not known yet. No certificate carries it.
pub(crate) const ANY_NODE: &str = "any-node.quorate";

/// The three files that a client needs, all PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate of the cluster's authority (`ca.pem`).
    pub ca: PathBuf,
    /// This client's certificate.
    pub cert: PathBuf,
    /// The private key that belongs to it.
    pub key: PathBuf,
}

/// The contents of the three files of [`TlsFiles`].
#[derive(Clone)]
pub struct TlsPem {
    /// The certificate of the cluster's authority.
    pub ca: String,
    /// This client's certificate.
    pub cert: String,
    /// The private key that belongs to it.
    pub key: String,
}

/// Where the certificates come from: [`TlsFiles`] or [`TlsPem`].
#[derive(Clone)]
pub enum Tls {
    /// Read when the client connects.
    Files(TlsFiles),
    /// At hand.
    Pem(TlsPem),
}

impl From<TlsFiles> for Tls {
    fn from(files: TlsFiles) -> Self {
        Self::Files(files)
    }
}

impl From<TlsPem> for Tls {
    fn from(pem: TlsPem) -> Self {
        Self::Pem(pem)
    }
}

impl Tls {
    /// The configuration of the QUIC endpoint.
    pub(crate) fn config(&self) -> Result<QuicClientConfig, Error> {
        match self {
            Self::Files(files) => {
                let named = |path: &Path| path.display().to_string();
                let names = [named(&files.ca), named(&files.cert), named(&files.key)];
                let pem = TlsPem {
                    ca: read(&files.ca)?,
                    cert: read(&files.cert)?,
                    key: read(&files.key)?,
                };
                config(&pem, &names)
            }
            Self::Pem(pem) => config(
                pem,
                &[
                    "the authority's certificate",
                    "the client certificate",
                    "the client's key",
                ]
                .map(String::from),
            ),
        }
    }
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path)
        .map_err(|error| Error::fix(format!("{}: {error}", path.display())))
}

fn config(pem: &TlsPem, [ca, cert, key]: &[String; 3]) -> Result<QuicClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    for der in certificates(&pem.ca, ca)? {
        roots
            .add(der)
            .map_err(|error| Error::fix(format!("{ca}: no usable authority: {error}")))?;
    }
    let chain = certificates(&pem.cert, cert)?;
    let private = PrivateKeyDer::from_pem_slice(pem.key.as_bytes())
        .map_err(|_| Error::fix(format!("{key}: no private key in PEM form")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let webpki =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| Error::fix(format!("{ca}: {error}")))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Error::fix(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NodeVerifier { webpki }))
        .with_client_auth_cert(chain, private)
        .map_err(|error| Error::fix(format!("{cert} and {key} do not belong together: {error}")))?;
    config.alpn_protocols = vec![ALPN_CLIENT.to_vec()];
    config.enable_sni = false;
    config.enable_early_data = false;
    QuicClientConfig::try_from(config).map_err(|error| Error::fix(error.to_string()))
}

fn certificates(pem: &str, name: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(Error::fix(format!("{name}: no certificate in PEM form"))),
    }
}

/// The node that a certificate speaks for.
pub(crate) fn node_in(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
    parsed
        .valid_dns_names()
        .find_map(|name| match CertificateName::parse(name) {
            CertificateName::Node(node) => Some(node),
            CertificateName::Cluster(_) | CertificateName::Client | CertificateName::Other => None,
        })
}

/// Takes certificates of the cluster's authority that name the node dialled, or any node where the
/// id is not known yet. Everything else about a certificate is the standard verifier's business.
#[derive(Debug)]
struct NodeVerifier {
    webpki: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let no_node = || rustls::Error::InvalidCertificate(CertificateError::NotValidForName);
        let verify = |name: &ServerName<'_>| {
            self.webpki
                .verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
        };
        if server_name.to_str() != ANY_NODE {
            return verify(server_name);
        }
        let node = node_in(end_entity).ok_or_else(no_node)?;
        let name = ServerName::try_from(quorate_protocol::names::node_name(node))
            .map_err(|_| no_node())?;
        verify(&name)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
