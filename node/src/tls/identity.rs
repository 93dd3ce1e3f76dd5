//! Who a certificate speaks for.

use std::sync::Arc;

use quorate_protocol::ClusterId;
use quorate_protocol::names::{CertificateName, PRINCIPAL_BYTES_MAX};
use quorate_ring::NodeId;
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Somebody with a certificate of the cluster's authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Who.
    pub person: Person,
    /// Of which cluster.
    pub cluster: ClusterId,
}

/// A node or a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Person {
    /// A node.
    Node(NodeId),
    /// A client, by the name it is known under.
    Client(Arc<str>),
}

/// Why a certificate names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No certificate was shown.
    #[error("no certificate was shown")]
    None,
    /// It cannot be read.
    #[error("the certificate is damaged: {0}")]
    Damaged(String),
    /// It has no name of ours.
    #[error("the certificate names neither a node nor a client of a Quorate cluster")]
    Nobody,
    /// It has several.
    #[error("the certificate names more than one node, client or cluster")]
    Several,
    /// It names a node or client, but no cluster.
    #[error("the certificate names no cluster")]
    NoCluster,
    /// A node's certificate that does not allow server authentication.
    #[error("the certificate names a node and does not allow server authentication")]
    NodeUsage,
    /// A client's certificate without a usable common name.
    #[error(
        "the client's certificate needs one common name of 1 to {PRINCIPAL_BYTES_MAX} printable bytes: its principal"
    )]
    Principal,
}

/// Reads who the first certificate of a chain speaks for. That the chain is valid was checked by TLS.
///
/// # Errors
/// It names nobody, or is ambiguous.
pub(crate) fn of_chain(chain: &[CertificateDer<'_>]) -> Result<PeerIdentity, IdentityError> {
    let first = chain.first().ok_or(IdentityError::None)?;
    let (_, certificate) = X509Certificate::from_der(first)
        .map_err(|error| IdentityError::Damaged(error.to_string()))?;
    of_certificate(&certificate)
}

pub(super) fn of_certificate(
    certificate: &X509Certificate<'_>,
) -> Result<PeerIdentity, IdentityError> {
    let names = Names::of(certificate)?;
    let person = match (names.node, names.client) {
        (Some(node), false) => Person::Node(node),
        (None, true) => Person::Client(principal(certificate)?),
        (Some(_), true) => return Err(IdentityError::Several),
        (None, false) => return Err(IdentityError::Nobody),
    };
    if matches!(person, Person::Node(_)) && !allows_server(certificate) {
        return Err(IdentityError::NodeUsage);
    }
    Ok(PeerIdentity {
        person,
        cluster: names.cluster.ok_or(IdentityError::NoCluster)?,
    })
}

#[derive(Default)]
struct Names {
    node: Option<NodeId>,
    cluster: Option<ClusterId>,
    client: bool,
}

impl Names {
    fn of(certificate: &X509Certificate<'_>) -> Result<Self, IdentityError> {
        let mut names = Self::default();
        let extension = certificate
            .subject_alternative_name()
            .map_err(|error| IdentityError::Damaged(error.to_string()))?;
        for name in extension
            .iter()
            .flat_map(|extension| &extension.value.general_names)
        {
            if let GeneralName::DNSName(name) = name {
                names.add(CertificateName::parse(name))?;
            }
        }
        Ok(names)
    }

    fn add(&mut self, name: CertificateName) -> Result<(), IdentityError> {
        let already = match name {
            CertificateName::Node(node) => self.node.replace(node).is_some(),
            CertificateName::Cluster(cluster) => self.cluster.replace(cluster).is_some(),
            CertificateName::Client => std::mem::replace(&mut self.client, true),
            CertificateName::Other => false,
        };
        if already {
            Err(IdentityError::Several)
        } else {
            Ok(())
        }
    }
}

fn principal(certificate: &X509Certificate<'_>) -> Result<Arc<str>, IdentityError> {
    let mut names = certificate.subject().iter_common_name();
    let (Some(name), None) = (names.next(), names.next()) else {
        return Err(IdentityError::Principal);
    };
    let name = name.as_str().map_err(|_| IdentityError::Principal)?;
    let printable = !name.chars().any(char::is_control);
    if name.is_empty() || name.len() > PRINCIPAL_BYTES_MAX || !printable {
        return Err(IdentityError::Principal);
    }
    Ok(Arc::from(name))
}

fn allows_server(certificate: &X509Certificate<'_>) -> bool {
    matches!(certificate.extended_key_usage(), Ok(Some(usage)) if usage.value.server_auth)
}
