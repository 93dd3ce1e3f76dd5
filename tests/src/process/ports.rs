//! UDP ports that nobody uses.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use super::Trouble;

/// Below the range from which systems draw ports for outgoing sockets: a client that starts while a
/// node is down must not be given that node's port.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// The two ports of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// For peers.
    pub peer: u16,
    /// For clients.
    pub client: u16,
}

/// Ports for `nodes` nodes, free at this moment and not given out before by this process.
///
/// # Errors
/// There are not that many.
pub fn free_ports(nodes: usize) -> Result<Vec<Ports>, Trouble> {
    (0..nodes)
        .map(|_| {
            Ok(Ports {
                peer: free_port()?,
                client: free_port()?,
            })
        })
        .collect()
}

fn free_port() -> Result<u16, Trouble> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test runs at the same time begin at different places.
    let start = u16::try_from(std::process::id() * 61 % u32::from(COUNT)).unwrap_or(0);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Trouble::Made(format!(
        "no UDP port from {FIRST} on is free"
    )))
}
