//! What an operator may set about the network.

use std::sync::Arc;
use std::time::Duration;

use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use super::bounds::{
    CLIENT_IDLE, CONNECTION_WINDOW, DATAGRAM_BYTES_MAX, PEER_IDLE, PEER_KEEP_ALIVE, STREAM_WINDOW, STREAMS_MAX,
};
use super::error::NetError;

const MTU_MIN: u16 = 1200;
const MTU_MAX: u16 = 65_000;

/// Settings of both ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetSettings {
    /// UDP payload that every path between the nodes and clients is known to carry, bytes, 1200 to 65,000.
    /// On loopback a large one saves most of the work per byte.
    pub initial_mtu: u16,
    /// Largest UDP payload that is probed for, bytes; at or below `initial_mtu`: none is.
    pub discover_mtu: u16,
    /// Client connections at once.
    pub clients_max: usize,
    /// Spreads the pauses of different nodes; any number.
    pub seed: u64,
}

impl Default for NetSettings {
    fn default() -> Self {
        Self { initial_mtu: MTU_MIN, discover_mtu: 1452, clients_max: 1024, seed: 0 }
    }
}

impl NetSettings {
    /// # Errors
    /// A setting is out of its range.
    pub(super) fn check(&self) -> Result<(), NetError> {
        for (name, mtu) in [("initial_mtu", self.initial_mtu), ("discover_mtu", self.discover_mtu)] {
            if !(MTU_MIN..=MTU_MAX).contains(&mtu) {
                return Err(NetError::Setting { name, value: mtu.into(), range: "1200 to 65000 bytes" });
            }
        }
        if self.clients_max == 0 {
            return Err(NetError::Setting { name: "clients_max", value: 0, range: "1 or more" });
        }
        Ok(())
    }

    /// The largest UDP payload to expect.
    pub(super) fn payload_max(&self) -> u16 {
        self.initial_mtu.max(self.discover_mtu)
    }

    pub(super) fn peer_transport(&self) -> Arc<TransportConfig> {
        let mut transport = self.transport(PEER_IDLE);
        transport
            .keep_alive_interval(Some(PEER_KEEP_ALIVE))
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(Some(DATAGRAM_BYTES_MAX))
            .datagram_send_buffer_size(DATAGRAM_BYTES_MAX);
        Arc::new(transport)
    }

    pub(super) fn client_transport(&self) -> Arc<TransportConfig> {
        let mut transport = self.transport(CLIENT_IDLE);
        transport.max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX)).datagram_receive_buffer_size(None);
        Arc::new(transport)
    }

    fn transport(&self, idle: Duration) -> TransportConfig {
        let mut transport = TransportConfig::default();
        // A wait of whole seconds always fits a QUIC time-out.
        transport.max_idle_timeout(IdleTimeout::try_from(idle).ok());
        transport
            .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
            .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
            .send_window(CONNECTION_WINDOW.into())
            .max_concurrent_uni_streams(VarInt::from_u32(STREAMS_MAX))
            // Nodes of a cluster are near: do not wait a third of a second for a lost first packet.
            .initial_rtt(Duration::from_millis(100))
            .initial_mtu(self.initial_mtu)
            .mtu_discovery_config(self.discovery())
            .enable_segmentation_offload(true);
        transport
    }

    fn discovery(&self) -> Option<MtuDiscoveryConfig> {
        if self.discover_mtu <= self.initial_mtu {
            return None;
        }
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(self.discover_mtu);
        Some(discovery)
    }
}
