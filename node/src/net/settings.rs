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
/// Largest UDP payload with which the system cuts up many packets itself: quinn hands it ten at
/// once, it takes 64 KiB, and drops more without a word.
const OFFLOAD_MTU_MAX: u16 = 6_500;

/// Settings of both ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetSettings {
    /// UDP payload that every path between nodes is known to carry, bytes, 1200 to 65,000. Clients
    /// start at 1200, as nothing is known of their paths.
    pub initial_mtu: u16,
    /// Largest UDP payload that is probed for, bytes; at or below `initial_mtu` nothing is probed
    /// for between nodes. On loopback 6,500 saves most of the work per byte; beyond that the system
    /// cannot cut up packets itself, and little is won.
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
        let mut transport = transport(PEER_IDLE, self.initial_mtu, self.payload_max());
        transport
            .keep_alive_interval(Some(PEER_KEEP_ALIVE))
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(Some(DATAGRAM_BYTES_MAX))
            .datagram_send_buffer_size(DATAGRAM_BYTES_MAX);
        Arc::new(transport)
    }

    pub(super) fn client_transport(&self) -> Arc<TransportConfig> {
        let largest = self.payload_max().min(OFFLOAD_MTU_MAX);
        let mut transport = transport(CLIENT_IDLE, MTU_MIN, largest);
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
            .datagram_receive_buffer_size(None);
        Arc::new(transport)
    }
}

/// What both ports have in common, for packets of `initial_mtu` bytes that may grow to `largest`.
fn transport(idle: Duration, initial_mtu: u16, largest: u16) -> TransportConfig {
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
        .mtu_discovery_config(discovery(initial_mtu, largest))
        .congestion_controller_factory(congestion(largest))
        .enable_segmentation_offload(largest <= OFFLOAD_MTU_MAX);
    transport
}

/// The window must hold some packets from the start, or a connection with large ones never sends
/// its first.
fn congestion(largest: u16) -> Arc<CubicConfig> {
    let mut cubic = CubicConfig::default();
    cubic.initial_window((u64::from(largest) * 10).max(INITIAL_WINDOW_MIN));
    Arc::new(cubic)
}

fn discovery(initial_mtu: u16, largest: u16) -> Option<MtuDiscoveryConfig> {
    if largest <= initial_mtu {
        return None;
    }
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(largest);
    Some(discovery)
}
