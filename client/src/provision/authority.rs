//! A cluster's certificate authority and the certificates it issues.

use std::time::{Duration, SystemTime};

use quorate_protocol::ClusterId;
use quorate_ring::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use quorate_protocol::names::{self, CertificateName, PRINCIPAL_BYTES_MAX};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a certificate could not be made or an authority not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The bytes are no authority of ours.
    #[error("this is no certificate authority of a Quorate cluster: {0}")]
    NotOurAuthority(String),
    /// A client's name cannot be a principal.
    #[error(
        "the client name {0:?} cannot be a principal: use 1 to {PRINCIPAL_BYTES_MAX} bytes without control characters, and no blank at either end"
    )]
    Principal(String),
    /// The certificate's last moment is not after its first.
    #[error("the certificate would end before it starts: give it a longer validity")]
    Validity,
    /// The certificate could not be encoded or signed.
    #[error("the certificate could not be made: {0}")]
    Encoding(#[from] rcgen::Error),
}

/// A certificate with its private key, both as PEM text.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub cert: String,
    /// Its private key, PKCS #8. Whoever reads it is the holder: keep it from others.
    pub key: String,
}

/// When a certificate is valid. Starts a day early by default, for clocks that lag.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    /// Its first moment.
    pub from: SystemTime,
    /// Its last moment.
    pub until: SystemTime,
}

impl Validity {
    /// From a day ago for `days` days from now.
    #[must_use]
    pub fn days(days: u32) -> Self {
        let now = SystemTime::now();
        Self {
            from: now - DAY,
            until: now + DAY * days,
        }
    }

    /// Ten years, for authorities.
    #[must_use]
    pub fn authority() -> Self {
        Self::days(3653)
    }

    /// Two years, for nodes and clients.
    #[must_use]
    pub fn leaf() -> Self {
        Self::days(731)
    }
}

/// A cluster's certificate authority: who holds it can add nodes and clients.
pub struct Authority {
    cluster: ClusterId,
    cert: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority for a cluster; `name` is for people.
    ///
    /// # Errors
    /// The validity is empty or the certificate cannot be encoded.
    pub fn create(
        cluster: ClusterId,
        name: &str,
        validity: Validity,
    ) -> Result<Self, ProvisionError> {
        let mut params = params(
            &format!("quorate authority of {name}"),
            &[names::cluster_name(cluster)],
            validity,
        )?;
        // Authorities of two clusters must not look alike: verifiers find them by their subject.
        params
            .distinguished_name
            .push(DnType::OrganizationalUnitName, names::cluster_name(cluster));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let cert = params.self_signed(&key)?.pem();
        Ok(Self {
            cluster,
            cert,
            issuer: Issuer::new(params, key),
        })
    }

    /// Reads an authority back from its certificate and private key, both PEM.
    ///
    /// # Errors
    /// Either is unreadable, they do not belong together, or the certificate is no authority of a
    /// Quorate cluster.
    pub fn from_pem(cert: &str, key: &str) -> Result<Self, ProvisionError> {
        let wrong = |what: &str| ProvisionError::NotOurAuthority(what.to_owned());
        let key = KeyPair::from_pem(key)
            .map_err(|_| wrong("its key file holds no private key in PEM form"))?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(cert.as_bytes())
            .map_err(|_| wrong("its certificate file holds no certificate in PEM form"))?;
        let (_, parsed) = X509Certificate::from_der(&pem.contents)
            .map_err(|error| wrong(&format!("its certificate cannot be read ({error})")))?;
        if !parsed.is_ca() {
            return Err(wrong("its certificate may not sign others"));
        }
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(wrong("its certificate and its key do not belong together"));
        }
        let cluster =
            cluster_of(&parsed).ok_or_else(|| wrong("its certificate names no cluster"))?;
        Ok(Self {
            cluster,
            cert: cert.to_owned(),
            issuer: Issuer::from_ca_cert_pem(cert, key)?,
        })
    }

    /// The cluster whose members it vouches for.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Its certificate and key.
    #[must_use]
    pub fn issued(&self) -> Issued {
        Issued {
            cert: self.cert.clone(),
            key: self.issuer.key().serialize_pem(),
        }
    }

    /// A node's certificate, for both of its ports.
    ///
    /// # Errors
    /// The validity is empty or the certificate cannot be encoded.
    pub fn node(&self, id: NodeId, validity: Validity) -> Result<Issued, ProvisionError> {
        let name = names::node_name(id);
        let usage = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.issue(&name.clone(), name, usage, validity)
    }

    /// A client's certificate. `principal` is the name under which nodes know the client.
    ///
    /// # Errors
    /// The principal is no such name, the validity is empty or the certificate cannot be encoded.
    pub fn client(&self, principal: &str, validity: Validity) -> Result<Issued, ProvisionError> {
        let length = principal.len();
        if length == 0
            || length > PRINCIPAL_BYTES_MAX
            || principal.trim() != principal
            || principal.chars().any(char::is_control)
        {
            return Err(ProvisionError::Principal(principal.to_owned()));
        }
        let usage = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(principal, names::CLIENT_NAME.to_owned(), usage, validity)
    }

    fn issue(
        &self,
        common_name: &str,
        dns_name: String,
        usage: Vec<ExtendedKeyUsagePurpose>,
        validity: Validity,
    ) -> Result<Issued, ProvisionError> {
        let mut params = params(
            common_name,
            &[dns_name, names::cluster_name(self.cluster)],
            validity,
        )?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usage;
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let cert = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued {
            cert,
            key: key.serialize_pem(),
        })
    }
}

fn params(
    common_name: &str,
    dns_names: &[String],
    validity: Validity,
) -> Result<CertificateParams, ProvisionError> {
    if validity.until <= validity.from {
        return Err(ProvisionError::Validity);
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    for name in dns_names {
        params
            .subject_alt_names
            .push(SanType::DnsName(name.as_str().try_into()?));
    }
    params.not_before = validity.from.into();
    params.not_after = validity.until.into();
    Ok(params)
}

fn cluster_of(cert: &X509Certificate<'_>) -> Option<ClusterId> {
    let names = cert.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| {
        let GeneralName::DNSName(name) = name else {
            return None;
        };
        match CertificateName::parse(name) {
            CertificateName::Cluster(cluster) => Some(cluster),
            CertificateName::Node(_) | CertificateName::Client | CertificateName::Other => None,
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn authority() -> Authority {
        Authority::create(ClusterId::new(1, 2), "test", Validity::authority()).unwrap()
    }

    fn der(pem: &str) -> Vec<u8> {
        x509_parser::pem::parse_x509_pem(pem.as_bytes())
            .unwrap()
            .1
            .contents
    }

    fn dns_names(cert: &X509Certificate<'_>) -> Vec<String> {
        let names = cert.subject_alternative_name().unwrap().unwrap();
        names
            .value
            .general_names
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    const CLUSTER: &str = "DNSName(cluster-00000000000000010000000000000002.quorate)";

    #[test]
    fn the_authority_may_sign_leaves_and_nothing_deeper() {
        let issued = authority().issued();
        let der = der(&issued.cert);
        let (_, cert) = X509Certificate::from_der(&der).unwrap();
        let basic = cert.basic_constraints().unwrap().unwrap();
        assert!(basic.critical && basic.value.ca);
        assert_eq!(basic.value.path_len_constraint, Some(0));
        assert!(cert.key_usage().unwrap().unwrap().value.key_cert_sign());
        assert_eq!(dns_names(&cert), [CLUSTER]);
        assert_eq!(
            cert.subject().to_string(),
            "CN=quorate authority of test, OU=cluster-00000000000000010000000000000002.quorate"
        );
        cert.verify_signature(None).unwrap();
        let years = cert.validity().not_after.timestamp() - cert.validity().not_before.timestamp();
        assert_eq!(years / 86_400, 3654);
    }

    #[test]
    fn a_node_may_serve_and_ask_under_its_id() {
        let (authority, id) = (authority(), NodeId::new(0xbeef));
        let issued = authority.node(id, Validity::leaf()).unwrap();
        let (ca, leaf) = (der(&authority.issued().cert), der(&issued.cert));
        let (_, ca) = X509Certificate::from_der(&ca).unwrap();
        let (_, cert) = X509Certificate::from_der(&leaf).unwrap();
        let usage = cert.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && usage.client_auth && !usage.any);
        assert!(!cert.is_ca());
        assert_eq!(
            cert.subject().to_string(),
            "CN=node-000000000000beef.quorate"
        );
        assert_eq!(
            dns_names(&cert),
            ["DNSName(node-000000000000beef.quorate)", CLUSTER]
        );
        cert.verify_signature(Some(ca.public_key())).unwrap();
        assert_eq!(cert.issuer(), ca.subject());
    }

    #[test]
    fn a_client_may_only_ask() {
        let issued = authority()
            .client("Zoë of accounts", Validity::leaf())
            .unwrap();
        let der = der(&issued.cert);
        let (_, cert) = X509Certificate::from_der(&der).unwrap();
        let usage = cert.extended_key_usage().unwrap().unwrap().value;
        assert!(!usage.server_auth && usage.client_auth);
        assert_eq!(cert.subject().to_string(), "CN=Zoë of accounts");
        assert_eq!(dns_names(&cert), ["DNSName(client.quorate)", CLUSTER]);
    }

    #[test]
    fn an_authority_read_back_signs_for_the_same_cluster() {
        let first = authority();
        let files = first.issued();
        let again = Authority::from_pem(&files.cert, &files.key).unwrap();
        assert_eq!(again.cluster(), first.cluster());
        let (ca, leaf) = (
            der(&files.cert),
            der(&again.node(NodeId::new(1), Validity::leaf()).unwrap().cert),
        );
        let (_, ca) = X509Certificate::from_der(&ca).unwrap();
        let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
        leaf.verify_signature(Some(ca.public_key())).unwrap();
        assert_eq!(leaf.issuer(), ca.subject());
    }

    #[test]
    fn what_is_no_authority_is_refused_with_the_reason() {
        let (one, other) = (authority().issued(), authority().issued());
        let node = authority().node(NodeId::new(1), Validity::leaf()).unwrap();
        let reason =
            |cert: &str, key: &str| Authority::from_pem(cert, key).err().unwrap().to_string();
        assert!(reason(&one.cert, &other.key).ends_with("do not belong together"));
        assert!(reason(&node.cert, &node.key).ends_with("may not sign others"));
        assert!(reason("", &one.key).ends_with("no certificate in PEM form"));
        assert!(reason(&one.cert, "x").ends_with("no private key in PEM form"));
    }

    #[test]
    fn names_and_validities_that_cannot_be_are_refused() {
        for name in ["", " a", "a\n", &"x".repeat(65), &"ë".repeat(33)] {
            assert!(
                authority().client(name, Validity::leaf()).is_err(),
                "{name:?}"
            );
        }
        let now = SystemTime::now();
        let empty = Validity {
            from: now,
            until: now,
        };
        assert!(matches!(
            authority().client("a", empty),
            Err(ProvisionError::Validity)
        ));
    }
}
