//! What an operator may set about the network.

use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use super::bounds::{
    CLIENT_IDLE, CONNECTION_WINDOW, DATAGRAM_BYTES_MAX, PEER_IDLE, PEER_KEEP_ALIVE, STREAM_WINDOW,
    STREAMS_MAX,
};
use super::error::NetError;

const MTU_MIN: u16 = 1200;
const MTU_MAX: u16 = 65_000;
/// The congestion window to start with, bytes (RFC 9002, 7.2).
const INITIAL_WINDOW_MIN: u64 = 14_720;
/// Packets that quinn hands to the system at once where the system cuts them up itself.
const SEGMENTS_AT_ONCE: usize = 10;
/// What the system takes at once. More would be dropped without a word.
const OFFLOAD_BYTES_MAX: usize = 65_000;

/// Settings of both ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetSettings {
    /// UDP payload that every path between nodes is known to carry, bytes, 1200 to 65,000. Clients
    /// start at 1200, as nothing is known of their paths.
    pub initial_mtu: u16,
    /// Largest UDP payload that is probed for, bytes; at or below `initial_mtu` nothing is probed
    /// for between nodes. On loopback 16,000 saves most of the work per byte.
    pub discover_mtu: u16,
    /// Client connections at once.
    pub clients_max: usize,
    /// Spreads the pauses of different nodes; any number.
    pub seed: u64,
}

impl Default for NetSettings {
    fn default() -> Self {
        Self {
            initial_mtu: MTU_MIN,
            discover_mtu: 1452,
            clients_max: 1024,
            seed: 0,
        }
    }
}

impl NetSettings {
    /// # Errors
    /// A setting is out of its range.
    pub(super) fn check(&self) -> Result<(), NetError> {
        for (name, mtu) in [
            ("initial_mtu", self.initial_mtu),
            ("discover_mtu", self.discover_mtu),
        ] {
            if !(MTU_MIN..=MTU_MAX).contains(&mtu) {
                return Err(NetError::Setting {
                    name,
                    value: mtu.into(),
                    range: "1200 to 65000 bytes",
                });
            }
        }
        if self.clients_max == 0 {
            return Err(NetError::Setting {
                name: "clients_max",
                value: 0,
                range: "1 or more",
            });
        }
        Ok(())
    }

    /// The largest UDP payload to expect.
    pub(super) fn payload_max(&self) -> u16 {
        self.initial_mtu.max(self.discover_mtu)
    }

    pub(super) fn peer_transport(&self) -> Arc<TransportConfig> {
        let mut transport = self.transport(PEER_IDLE, self.initial_mtu);
        transport
            .keep_alive_interval(Some(PEER_KEEP_ALIVE))
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(Some(DATAGRAM_BYTES_MAX))
            .datagram_send_buffer_size(DATAGRAM_BYTES_MAX);
        Arc::new(transport)
    }

    pub(super) fn client_transport(&self) -> Arc<TransportConfig> {
        let mut transport = self.transport(CLIENT_IDLE, MTU_MIN);
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
            .datagram_receive_buffer_size(None);
        Arc::new(transport)
    }

    fn transport(&self, idle: Duration, initial_mtu: u16) -> TransportConfig {
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
            .initial_mtu(initial_mtu)
            .mtu_discovery_config(self.discovery(initial_mtu))
            .congestion_controller_factory(self.congestion())
            .enable_segmentation_offload(
                usize::from(self.payload_max()) * SEGMENTS_AT_ONCE <= OFFLOAD_BYTES_MAX,
            );
        transport
    }

    /// The window must hold some packets from the start, or a connection with large ones never sends its first.
    fn congestion(&self) -> Arc<CubicConfig> {
        let mut cubic = CubicConfig::default();
        cubic.initial_window(
            u64::from(self.payload_max())
                .saturating_mul(10)
                .max(INITIAL_WINDOW_MIN),
        );
        Arc::new(cubic)
    }

    fn discovery(&self, initial_mtu: u16) -> Option<MtuDiscoveryConfig> {
        if self.payload_max() <= initial_mtu {
            return None;
        }
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(self.payload_max());
        Some(discovery)
    }
}
