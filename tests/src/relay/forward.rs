//! One route at work: packets to the target, and answers back to whoever sent.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, interval};

use super::delay::{DelayLine, send};
use super::faults::Faults;
use super::lock;
use super::route::{Pair, Route};

/// Largest UDP packet.
const PACKET_BYTES_MAX: usize = 65_536;
/// What the system may hold while the relay is busy, bytes; it grants what its limits allow.
const SOCKET_BUFFER_BYTES: usize = 8 << 20;
/// Senders that one route remembers; the longest silent one is forgotten for a new one.
const SENDERS_MAX: usize = 256;
/// A sender that was silent for so long is forgotten.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// Opens a UDP socket with large buffers.
pub(super) async fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let open = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        // Wishes: with less than asked for, all works, and bursts are lost earlier.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    };
    open().map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// A sender's own socket towards the target.
struct Sender {
    socket: Arc<UdpSocket>,
    line: DelayLine,
    last: Instant,
    tasks: [AbortHandle; 2],
}

impl Drop for Sender {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Relays the packets of one route until it is aborted.
pub(super) async fn run(route: Route, socket: UdpSocket, faults: Arc<Mutex<Faults>>) {
    let listen = Arc::new(socket);
    let mut senders = Senders {
        route,
        listen: Arc::clone(&listen),
        faults,
        known: HashMap::new(),
        tasks: JoinSet::new(),
    };
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    let mut sweep = interval(SILENCE_MAX / 4);
    loop {
        tokio::select! {
            received = listen.recv_from(&mut buffer) => {
                // An error belongs to an earlier answer (a sender that is gone), not to this socket.
                if let Ok((bytes, from)) = received {
                    senders.forward(&mut buffer[..bytes], from).await;
                }
            }
            _ = sweep.tick() => senders.forget_silent(),
        }
    }
}

struct Senders {
    route: Route,
    listen: Arc<UdpSocket>,
    faults: Arc<Mutex<Faults>>,
    known: HashMap<SocketAddr, Sender>,
    tasks: JoinSet<()>,
}

impl Senders {
    async fn forward(&mut self, packet: &mut [u8], from: SocketAddr) {
        if !self.known.contains_key(&from) {
            let Ok(sender) = self.open(from).await else {
                lock(&self.faults).overflowed(self.route.pair);
                return;
            };
            self.make_room();
            self.known.insert(from, sender);
        }
        if let Some(sender) = self.known.get_mut(&from) {
            sender.last = Instant::now();
            pass(
                &self.faults,
                self.route.pair,
                &sender.socket,
                &mut sender.line,
                None,
                packet,
            )
            .await;
        }
    }

    async fn open(&mut self, from: SocketAddr) -> io::Result<Sender> {
        let any: IpAddr = match self.route.target {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = Arc::new(bind((any, 0).into()).await?);
        socket.connect(self.route.target).await?;
        let (line, sending) = DelayLine::new(Arc::clone(&socket));
        let answers = answer(
            self.route.pair.back(),
            Arc::clone(&socket),
            (Arc::clone(&self.listen), from),
            Arc::clone(&self.faults),
        );
        while self.tasks.try_join_next().is_some() {}
        let tasks = [self.tasks.spawn(sending), self.tasks.spawn(answers)];
        Ok(Sender {
            socket,
            line,
            last: Instant::now(),
            tasks,
        })
    }

    fn make_room(&mut self) {
        if self.known.len() < SENDERS_MAX {
            return;
        }
        let oldest = self
            .known
            .iter()
            .min_by_key(|(_, sender)| sender.last)
            .map(|(from, _)| *from);
        if let Some(from) = oldest {
            self.known.remove(&from);
        }
    }

    fn forget_silent(&mut self) {
        self.known
            .retain(|_, sender| sender.last.elapsed() < SILENCE_MAX);
    }
}

/// Brings answers back to the sender they are for.
async fn answer(
    pair: Pair,
    socket: Arc<UdpSocket>,
    (listen, to): (Arc<UdpSocket>, SocketAddr),
    faults: Arc<Mutex<Faults>>,
) {
    let (mut line, sending) = DelayLine::new(Arc::clone(&listen));
    let receiving = async {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        loop {
            // An error says that the target is not there now; it may come.
            if let Ok(bytes) = socket.recv(&mut buffer).await {
                pass(
                    &faults,
                    pair,
                    &listen,
                    &mut line,
                    Some(to),
                    &mut buffer[..bytes],
                )
                .await;
            }
        }
    };
    tokio::join!(receiving, sending);
}

/// Does to one packet what the faults of its direction ask for.
async fn pass(
    faults: &Mutex<Faults>,
    pair: Pair,
    socket: &UdpSocket,
    line: &mut DelayLine,
    to: Option<SocketAddr>,
    packet: &mut [u8],
) {
    let copies = lock(faults).decide(pair, packet.len());
    for copy in copies {
        if let Some(byte) = copy.damage.and_then(|at| packet.get_mut(at)) {
            *byte ^= 0x55;
        }
        let taken = if copy.delay.is_zero() {
            send(socket, packet, to).await
        } else {
            line.hold(Instant::now() + copy.delay, to, packet.to_vec())
        };
        if !taken {
            lock(faults).overflowed(pair);
        }
    }
}
