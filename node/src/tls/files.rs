//! Reading the three PEM files.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::error::{FileRole, TlsError, TlsProblem};
use super::identity::PeerIdentity;
use super::{TlsFiles, check, configs};

/// Longest file that is read, bytes. Ours have a few hundred.
pub(super) const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// One reading of the three files, checked.
#[derive(Debug)]
pub struct Credentials {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) key: Arc<CertifiedKey>,
    pub(super) files: TlsFiles,
    identity: PeerIdentity,
    expires: String,
    secret: Secret,
}

/// Bytes that no log may show.
struct Secret([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Credentials {
    /// Reads and checks the files.
    pub(crate) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let authority = certificates(FileRole::Authority, &files.authority)?;
        let roots = check::authority(&files.authority, &authority)?;
        let chain = certificates(FileRole::Certificate, &files.certificate)?;
        let key = private_key(&files.key)?;
        let secret = blake3::derive_key(
            "quorate 2026 secrets of a node's QUIC endpoint",
            key.secret_der(),
        );
        let own = check::own(files, &roots, &chain)?;
        let key = CertifiedKey::from_der(chain, key, &configs::provider())
            .map_err(|error| key_error(files, &error))?;
        Ok(Self {
            roots,
            key: Arc::new(key),
            files: files.clone(),
            identity: own.identity,
            expires: own.expires,
            secret: Secret(secret),
        })
    }

    /// Whom the certificate names.
    #[must_use]
    pub const fn identity(&self) -> &PeerIdentity {
        &self.identity
    }

    /// When the certificate expires, for people.
    #[must_use]
    pub fn expires(&self) -> &str {
        &self.expires
    }

    /// A secret that stays the same as long as the key does.
    pub(crate) const fn endpoint_secret(&self) -> &[u8; 32] {
        &self.secret.0
    }
}

fn key_error(files: &TlsFiles, error: &rustls::Error) -> TlsError {
    let problem = if matches!(error, rustls::Error::InconsistentKeys(_)) {
        TlsProblem::OtherKey(files.certificate.clone())
    } else {
        TlsProblem::BadKey(error.to_string())
    };
    FileRole::Key.error(&files.key, problem)
}

fn certificates(role: FileRole, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let sections = sections(role, path)?;
    let found = kinds(&sections);
    let certificates: Vec<_> = sections
        .into_iter()
        .filter(|(kind, _)| *kind == SectionKind::Certificate)
        .map(|(_, der)| CertificateDer::from(der))
        .collect();
    if certificates.is_empty() {
        return Err(role.error(path, TlsProblem::NoCertificate(found)));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let sections = sections(FileRole::Key, path)?;
    let found = kinds(&sections);
    sections
        .into_iter()
        .find_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der))
        .ok_or_else(|| FileRole::Key.error(path, TlsProblem::NoKey(found)))
}

fn sections(role: FileRole, path: &Path) -> Result<Vec<(SectionKind, Vec<u8>)>, TlsError> {
    let unreadable = |error| role.error(path, TlsProblem::Unreadable(error));
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(role.error(path, TlsProblem::TooLong(bytes)));
    }
    let text = fs::read(path).map_err(unreadable)?;
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| role.error(path, TlsProblem::NotPem(error.to_string())))?;
    if sections.is_empty() {
        return Err(role.error(path, TlsProblem::NotPem("no section in it".into())));
    }
    Ok(sections)
}

fn kinds(sections: &[(SectionKind, Vec<u8>)]) -> String {
    let kinds: Vec<_> = sections
        .iter()
        .map(|(kind, _)| format!("{kind:?}"))
        .collect();
    kinds.join(", ")
}
