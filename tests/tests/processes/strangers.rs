//! Who knocks at the peer port without being a member.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use quinn::crypto::rustls::QuicClientConfig;
use quorate_protocol::hello::ALPN_PEER;
use quorate_protocol::names::node_name;
use quorate_tests::process::{
    Cluster, Ledger, NodeProcess, Provisioned, Settings, Trouble, Watchdog, until,
};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::stage::{Outcome, Stage, shared};

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    shared!(
        stage,
        trials,
        a_client_certificate_on_the_peer_port_is_sent_to_the_client_port,
        a_node_of_another_cluster_is_refused_and_both_say_why,
    );
}

/// A QUIC configuration that speaks for the administrator on the peers' protocol.
fn as_admin(cluster: &Cluster) -> Result<quinn::ClientConfig, Box<dyn std::error::Error>> {
    let made = &cluster.files().made;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(
        made.authority.issued().cert.as_bytes(),
    )?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(made.admin.cert.as_bytes())?];
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(
            chain,
            PrivateKeyDer::from_pem_slice(made.admin.key.as_bytes())?,
        )?;
    tls.alpn_protocols = vec![ALPN_PEER.to_vec()];
    Ok(quinn::ClientConfig::new(Arc::new(
        QuicClientConfig::try_from(tls)?,
    )))
}

async fn a_client_certificate_on_the_peer_port_is_sent_to_the_client_port(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let port = SocketAddr::from(([127, 0, 0, 1], cluster.files().ports[0].peer));
    let name = node_name(cluster.id(0)?);
    let connection = endpoint
        .connect_with(as_admin(cluster)?, port, &name)?
        .await?;
    let end = tokio::time::timeout(Duration::from_secs(20), connection.closed()).await?;
    assert!(end.to_string().contains("use the client port"), "{end}");
    ledger
        .put(&cluster.bucket(), "stranger", "v", |put| put.w(3))
        .await?;
    Ok(())
}

async fn a_node_of_another_cluster_is_refused_and_both_say_why(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let dir = cluster.dir().join("another");
    let settings = Settings {
        nodes: 2,
        ..Settings::default()
    };
    let another = Provisioned::create(&dir, cluster.programs(), &settings)?;
    // It takes a node of this cluster for its only peer.
    let ours = format!("127.0.0.1:{}", cluster.files().ports[0].peer);
    another.write_node(0, &BTreeMap::from([(another.id(1)?, ours)]))?;
    let watchdog = Arc::new(Watchdog::start(
        &dir.join("processes"),
        &cluster.programs().node,
    )?);
    let mut stranger = NodeProcess::new(
        "stranger",
        &another.node_dir(0),
        cluster.programs(),
        watchdog,
    );
    stranger.spawn()?;
    stranger.ready().await?;
    for (what, theirs) in [("the stranger", true), ("our node", false)] {
        until(
            &format!("{what} says that it refuses"),
            Duration::from_secs(50),
            async || {
                let log = if theirs {
                    stranger.log_of_this_life()
                } else {
                    cluster.node(0).log_of_this_life()
                };
                let complaint = log
                    .lines()
                    .any(|line| line.contains("WARN") && line.contains("certificate"));
                Ok::<_, Trouble>(if complaint {
                    Ok(())
                } else {
                    Err("no warning about a certificate".to_owned())
                })
            },
        )
        .await?;
    }
    stranger.kill().await?;
    ledger
        .put(&cluster.bucket(), "another cluster", "v", |put| put.w(3))
        .await?;
    cluster.settled().await?;
    Ok(())
}
