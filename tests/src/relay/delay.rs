//! Packets that are to leave later, in the order of their times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep_until};

/// Packets that one direction of one route may hold back; more are dropped, as a full router does.
const HELD_MAX: usize = 16 * 1024;

/// A packet and when and where it goes. Ordered by time, then by arrival.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Held {
    at: Instant,
    number: u64,
    to: Option<SocketAddr>,
    packet: Vec<u8>,
}

/// The way to a task that sends held packets over one socket.
#[derive(Debug)]
pub(super) struct DelayLine {
    sender: Sender<Held>,
    number: u64,
}

impl DelayLine {
    /// The line and the task to run beside it. Packets go to their address, or where the socket is
    /// connected to.
    pub(super) fn new(socket: Arc<UdpSocket>) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, receiver) = channel(HELD_MAX);
        (Self { sender, number: 0 }, run(socket, receiver))
    }

    /// Hands over a packet. False if too many wait already: it is dropped.
    pub(super) fn hold(&mut self, at: Instant, to: Option<SocketAddr>, packet: Vec<u8>) -> bool {
        self.number += 1;
        self.sender
            .try_send(Held {
                at,
                number: self.number,
                to,
                packet,
            })
            .is_ok()
    }
}

async fn run(socket: Arc<UdpSocket>, mut receiver: Receiver<Held>) {
    let mut waiting: BinaryHeap<Reverse<Held>> = BinaryHeap::new();
    loop {
        let next = waiting.peek().map(|Reverse(held)| held.at);
        tokio::select! {
            held = receiver.recv(), if waiting.len() < HELD_MAX => match held {
                Some(held) => waiting.push(Reverse(held)),
                None => return,
            },
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                if let Some(Reverse(held)) = waiting.pop() {
                    send(&socket, &held.packet, held.to).await;
                }
            }
        }
    }
}

/// Sends one packet. That the system refuses it is what networks do: the layers above repair it.
pub(super) async fn send(socket: &UdpSocket, packet: &[u8], to: Option<SocketAddr>) -> bool {
    let sent = match to {
        Some(to) => socket.send_to(packet, to).await,
        None => socket.send(packet).await,
    };
    sent.is_ok()
}
