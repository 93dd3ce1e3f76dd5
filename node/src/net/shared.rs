//! What all tasks of one network share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use quinn::{Connection, Endpoint};
use quorate_protocol::ClusterId;
use quorate_ring::NodeId;
use rustls_pki_types::CertificateDer;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::budget::Assembly;
use super::client::Clients;
use super::complaints::Complaints;
use super::endpoint::Port;
use super::events::NetHandler;
use super::peer::Peers;
use super::queue::Total;
use super::settings::NetSettings;
use crate::tls::{self, IdentityError, PeerIdentity, Tls};

pub(super) struct Shared {
    pub(super) node: NodeId,
    pub(super) cluster: ClusterId,
    pub(super) tls: Arc<Tls>,
    pub(super) settings: NetSettings,
    pub(super) handler: Arc<dyn NetHandler>,
    pub(super) peer_endpoint: Endpoint,
    pub(super) client_endpoint: Endpoint,
    pub(super) peers: Peers,
    pub(super) clients: Clients,
    pub(super) total: Arc<Total>,
    pub(super) assembly: Arc<Assembly>,
    pub(super) complaints: Complaints,
    pub(super) tokio: Handle,
    pub(super) stop: Stop,
    pub(super) sessions: Sessions,
}

impl Shared {
    pub(super) const fn endpoint(&self, port: Port) -> &Endpoint {
        match port {
            Port::Peer => &self.peer_endpoint,
            Port::Client => &self.client_endpoint,
        }
    }

    /// Waits until the node is to stop, and says why.
    pub(super) async fn stopping(&self) -> Arc<str> {
        loop {
            // Made before the look: whoever sets the reason after it wakes this one.
            let told = self.stop.told.notified();
            if let Some(reason) = self.stop.reason.get() {
                return Arc::clone(reason);
            }
            told.await;
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.reason.get().is_some()
    }
}

/// The word that the node stops. Unlike tokio's `watch`, which wakes who waits in a random order,
/// it reaches all in the order in which they began to wait.
#[derive(Debug, Default)]
pub(super) struct Stop {
    reason: OnceLock<Arc<str>>,
    told: Notify,
}

impl Stop {
    /// Tells everybody. The first reason stays.
    pub(super) fn tell(&self, reason: &str) {
        let _ = self.reason.set(Arc::from(reason));
        self.told.notify_waiters();
    }
}

/// Who is on the other side, by the certificate that TLS has verified.
pub(super) fn identity(connection: &Connection) -> Result<PeerIdentity, IdentityError> {
    let chain = connection
        .peer_identity()
        .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok())
        .ok_or(IdentityError::None)?;
    tls::of_chain(&chain)
}

/// Counts the connections that are being served, so that closing can wait for their end.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    count: AtomicUsize,
}

/// One of them, until it is dropped.
pub(super) struct SessionGuard {
    shared: Arc<Shared>,
}

impl SessionGuard {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        shared.sessions.count.fetch_add(1, Ordering::Relaxed);
        Self {
            shared: Arc::clone(shared),
        }
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.shared.sessions.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sessions {
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }
}
