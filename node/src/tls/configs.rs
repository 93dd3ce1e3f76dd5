//! What rustls is told: TLS 1.3, both sides show certificates, nothing is resumed.

use std::sync::Arc;

use rustls::client::{Resumption, VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::error::{FileRole, TlsError, TlsProblem};
use super::files::Credentials;

impl Credentials {
    /// For the side that accepts connections.
    ///
    /// # Errors
    /// rustls refuses what passed every check of ours.
    pub fn server_config(&self, alpn: &[u8]) -> Result<ServerConfig, TlsError> {
        let verifier =
            client_verifier(&self.roots).map_err(|error| self.refused(&error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| self.refused(&error.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.key))));
        config.alpn_protocols = vec![alpn.to_vec()];
        config.max_early_data_size = 0;
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(config)
    }

    /// For the side that dials. The name dialled must stand in the other side's certificate.
    ///
    /// # Errors
    /// rustls refuses what passed every check of ours.
    pub fn client_config(&self, alpn: &[u8]) -> Result<ClientConfig, TlsError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| self.refused(&error.to_string()))?
            .with_webpki_verifier(
                server_verifier(&self.roots).map_err(|error| self.refused(&error.to_string()))?,
            )
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.key))));
        config.alpn_protocols = vec![alpn.to_vec()];
        config.enable_early_data = false;
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn refused(&self, why: &str) -> TlsError {
        FileRole::Certificate.error(&self.files.certificate, TlsProblem::Refused(why.to_owned()))
    }
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(super) fn client_verifier(
    roots: &Arc<RootCertStore>,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider()).build()
}

pub(super) fn server_verifier(
    roots: &Arc<RootCertStore>,
) -> Result<Arc<WebPkiServerVerifier>, VerifierBuilderError> {
    WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider()).build()
}
