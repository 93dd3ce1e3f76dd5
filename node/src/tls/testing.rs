//! Certificates for tests, right ones and wrong ones.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use quorate_protocol::ClusterId;
use quorate_protocol::names::{CLIENT_NAME, cluster_name, node_name};
use quorate_ring::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519,
};

use super::{Tls, TlsFiles};

/// The cluster of most tests.
pub(crate) const CLUSTER: ClusterId = ClusterId::new(0xc1, 0xc2);

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate with its key, as PEM.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        change(&mut params);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub(crate) fn node(&self, node: NodeId, cluster: ClusterId) -> Signed {
        self.sign(node_params(node, cluster))
    }

    pub(crate) fn client(&self, principal: &str, cluster: ClusterId) -> Signed {
        let mut params =
            CertificateParams::new(vec![CLIENT_NAME.to_owned(), cluster_name(cluster)]).unwrap();
        params.distinguished_name.remove(DnType::CommonName);
        params
            .distinguished_name
            .push(DnType::CommonName, principal);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    pub(crate) fn sign(&self, params: CertificateParams) -> Signed {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed {
            certificate,
            key: key.serialize_pem(),
        }
    }

    /// The files of a signed certificate in `directory`.
    pub(crate) fn write(&self, directory: &Path, signed: &Signed) -> TlsFiles {
        let files = files_in(directory);
        fs::write(&files.authority, &self.pem).unwrap();
        fs::write(&files.certificate, &signed.certificate).unwrap();
        fs::write(&files.key, &signed.key).unwrap();
        files
    }

    /// A node of [`CLUSTER`] with its certificates in force.
    pub(crate) fn tls(&self, node: NodeId) -> Tls {
        let directory = tempfile::tempdir().unwrap();
        Tls::load(self.write(directory.path(), &self.node(node, CLUSTER))).unwrap()
    }
}

pub(crate) fn node_params(node: NodeId, cluster: ClusterId) -> CertificateParams {
    let mut params = CertificateParams::new(vec![node_name(node), cluster_name(cluster)]).unwrap();
    params.distinguished_name.remove(DnType::CommonName);
    params
        .distinguished_name
        .push(DnType::CommonName, node_name(node));
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params
}

pub(crate) fn files_in(directory: &Path) -> TlsFiles {
    TlsFiles {
        authority: directory.join("ca.pem"),
        certificate: directory.join("node.pem"),
        key: directory.join("node.key"),
    }
}
