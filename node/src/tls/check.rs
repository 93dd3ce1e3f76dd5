//! The checks on one's own certificates, made before they are used: what the other side would
//! refuse is refused here, with the file's name.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use quorate_protocol::names::node_name;

use super::error::{FileRole, TlsError, TlsProblem};
use super::identity::{self, IdentityError, PeerIdentity, Person};
use super::{TlsFiles, configs};

/// What the own certificate says.
pub(super) struct Own {
    pub(super) identity: PeerIdentity,
    pub(super) expires: String,
}

/// Checks the authority's file and makes the store of those who may sign.
pub(super) fn authority(
    path: &Path,
    certificates: &[CertificateDer<'_>],
) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for der in certificates {
        let fail = |problem| FileRole::Authority.error(path, problem);
        let certificate = parse(der).map_err(fail)?;
        if !certificate.is_ca() {
            return Err(fail(TlsProblem::NotAnAuthority));
        }
        in_time(&certificate).map_err(fail)?;
        roots
            .add(der.clone().into_owned())
            .map_err(|error| fail(TlsProblem::Damaged(error.to_string())))?;
    }
    Ok(Arc::new(roots))
}

/// Checks the own chain as a server's and as a client's would be checked by the other side.
pub(super) fn own(
    files: &TlsFiles,
    roots: &Arc<RootCertStore>,
    chain: &[CertificateDer<'static>],
) -> Result<Own, TlsError> {
    let fail = |problem| FileRole::Certificate.error(&files.certificate, problem);
    for der in chain {
        in_time(&parse(der).map_err(fail)?).map_err(fail)?;
    }
    let Some((first, rest)) = chain.split_first() else {
        return Err(fail(TlsProblem::NoCertificate(String::new())));
    };
    let refused = |error| fail(refusal(files, &error));
    let now = UnixTime::now();
    configs::client_verifier(roots)
        .map_err(|error| fail(TlsProblem::Refused(error.to_string())))?
        .verify_client_cert(first, rest, now)
        .map_err(|error| refused((error, "client")))?;
    let certificate = parse(first).map_err(fail)?;
    let identity = identity::of_certificate(&certificate).map_err(|error| fail(naming(error)))?;
    if let Person::Node(node) = identity.person {
        let name = ServerName::try_from(node_name(node))
            .map_err(|error| fail(TlsProblem::Refused(error.to_string())))?;
        configs::server_verifier(roots)
            .map_err(|error| fail(TlsProblem::Refused(error.to_string())))?
            .verify_server_cert(first, rest, &name, &[], now)
            .map_err(|error| refused((error, "server")))?;
    }
    Ok(Own {
        identity,
        expires: certificate.validity().not_after.to_string(),
    })
}

fn naming(error: IdentityError) -> TlsProblem {
    if error == IdentityError::NodeUsage {
        TlsProblem::Usage("server")
    } else {
        error.into()
    }
}

fn refusal(files: &TlsFiles, (error, usage): &(rustls::Error, &'static str)) -> TlsProblem {
    use CertificateError::{BadSignature, InvalidPurpose, InvalidPurposeContext, UnknownIssuer};
    let rustls::Error::InvalidCertificate(error) = error else {
        return TlsProblem::Refused(error.to_string());
    };
    if matches!(error, UnknownIssuer | BadSignature) {
        return TlsProblem::OtherAuthority(files.authority.clone());
    }
    if matches!(error, InvalidPurpose | InvalidPurposeContext { .. }) {
        return TlsProblem::Usage(usage);
    }
    TlsProblem::Refused(error.to_string())
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, TlsProblem> {
    X509Certificate::from_der(der)
        .map(|(_, certificate)| certificate)
        .map_err(|error| TlsProblem::Damaged(error.to_string()))
}

fn in_time(certificate: &X509Certificate<'_>) -> Result<(), TlsProblem> {
    let (validity, now) = (certificate.validity(), ASN1Time::now());
    if now < validity.not_before {
        return Err(TlsProblem::NotYetValid(validity.not_before.to_string()));
    }
    if now > validity.not_after {
        return Err(TlsProblem::Expired(validity.not_after.to_string()));
    }
    Ok(())
}
