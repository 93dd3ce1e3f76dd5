//! A network in memory: datagram sockets between which packets are lost, late, doubled and cut off.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::dice::Dice;
use super::trace::Trace;

/// What a socket holds for a reader that is late, bytes; more is dropped, as by a real system.
const SOCKET_BYTES_MAX: usize = 4 << 20;

/// How packets fare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    /// Lost, of a thousand.
    pub(crate) loss: u64,
    /// Delivered twice, of a thousand.
    pub(crate) double: u64,
    /// On the way at least so long, milliseconds.
    pub(crate) delay_ms: u64,
    /// And up to so much longer, each packet for itself: this is what reorders.
    pub(crate) jitter_ms: u64,
}

/// The network.
#[derive(Clone, Debug)]
pub(crate) struct Ether {
    state: Arc<Mutex<State>>,
    sent: Arc<Notify>,
    trace: Trace,
}

#[derive(Debug)]
struct State {
    sockets: BTreeMap<SocketAddr, Arc<Mailbox>>,
    under_way: BTreeMap<(Instant, u64), Packet>,
    numbers: u64,
    dice: Dice,
    weather: Weather,
    /// From whom nothing reaches whom.
    cuts: BTreeSet<(IpAddr, IpAddr)>,
    packets: u64,
    lost: u64,
    doubled: u64,
}

#[derive(Clone, Debug)]
struct Packet {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Bytes,
}

#[derive(Debug, Default)]
struct Mailbox(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    packets: VecDeque<(SocketAddr, Bytes)>,
    bytes: usize,
    reader: Option<Waker>,
}

/// What the network did to packets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) packets: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
}

impl Ether {
    /// A network of its own, run by a task of the runtime that calls.
    pub(crate) fn new(seed: u64, trace: &Trace) -> Self {
        let ether = Self {
            state: Arc::new(Mutex::new(State {
                sockets: BTreeMap::new(),
                under_way: BTreeMap::new(),
                numbers: 0,
                dice: Dice::new(seed, 1),
                weather: Weather::default(),
                cuts: BTreeSet::new(),
                packets: 0,
                lost: 0,
                doubled: 0,
            })),
            sent: Arc::new(Notify::new()),
            trace: trace.clone(),
        };
        tokio::spawn(ether.clone().carry());
        ether
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// Nothing from one reaches the other any more; the way back is another cut.
    pub(crate) fn cut(&self, from: IpAddr, to: IpAddr) {
        self.state().cuts.insert((from, to));
    }

    /// Ends all cuts.
    pub(crate) fn heal(&self) {
        self.state().cuts.clear();
    }

    pub(crate) fn tally(&self) -> Tally {
        let state = self.state();
        Tally {
            packets: state.packets,
            lost: state.lost,
            doubled: state.doubled,
        }
    }

    /// Opens a socket. One that had the address before hears and says nothing any more.
    pub(crate) fn open(&self, address: SocketAddr) -> Arc<Socket> {
        let mailbox = Arc::new(Mailbox::default());
        self.state().sockets.insert(address, Arc::clone(&mailbox));
        Arc::new(Socket {
            ether: self.clone(),
            address,
            mailbox,
        })
    }

    /// Takes a socket off the network, as when its process is killed.
    pub(crate) fn unplug(&self, address: SocketAddr) {
        self.state().sockets.remove(&address);
    }

    fn send(&self, socket: &Socket, to: SocketAddr, bytes: &[u8]) {
        let mut state = self.state();
        let plugged = state
            .sockets
            .get(&socket.address)
            .is_some_and(|now| Arc::ptr_eq(now, &socket.mailbox));
        if !plugged {
            return;
        }
        state.packets += 1;
        let copies = state.copies();
        match copies {
            0 => state.lost += 1,
            2.. => state.doubled += 1,
            1 => {}
        }
        self.trace.note(format_args!(
            "{} > {to} {} bytes x{copies}",
            socket.address,
            bytes.len()
        ));
        let packet = Packet {
            from: socket.address,
            to,
            bytes: Bytes::copy_from_slice(bytes),
        };
        for _ in 0..copies {
            let at = Instant::now() + state.way();
            state.numbers += 1;
            let number = state.numbers;
            state.under_way.insert((at, number), packet.clone());
        }
        drop(state);
        self.sent.notify_one();
    }

    /// Hands packets over when their time has come.
    async fn carry(self) {
        loop {
            let next = self.state().under_way.keys().next().map(|(at, _)| *at);
            let Some(at) = next else {
                self.sent.notified().await;
                continue;
            };
            tokio::select! {
                biased;
                () = sleep_until(at) => self.deliver(),
                () = self.sent.notified() => {}
            }
        }
    }

    fn deliver(&self) {
        let now = Instant::now();
        loop {
            let mut state = self.state();
            match state.under_way.first_entry() {
                Some(first) if first.key().0 <= now => {
                    let packet = first.remove();
                    let cut = state.cuts.contains(&(packet.from.ip(), packet.to.ip()));
                    let mailbox = state.sockets.get(&packet.to).filter(|_| !cut).cloned();
                    drop(state);
                    let taken =
                        mailbox.is_some_and(|mailbox| mailbox.put(packet.from, &packet.bytes));
                    if !taken {
                        self.state().lost += 1;
                    }
                    self.trace.note(format_args!(
                        "{} < {} {} bytes{}",
                        packet.to,
                        packet.from,
                        packet.bytes.len(),
                        if taken { "" } else { " nowhere" }
                    ));
                }
                Some(_) | None => return,
            }
        }
    }
}

impl State {
    fn copies(&mut self) -> u32 {
        let Weather { loss, double, .. } = self.weather;
        if self.dice.chance(loss) {
            0
        } else if self.dice.chance(double) {
            2
        } else {
            1
        }
    }

    fn way(&mut self) -> Duration {
        let Weather {
            delay_ms,
            jitter_ms,
            ..
        } = self.weather;
        self.dice.ms(delay_ms, delay_ms + jitter_ms)
    }
}

impl Mailbox {
    fn put(&self, from: SocketAddr, bytes: &Bytes) -> bool {
        let mut waiting = self.0.lock().unwrap();
        if waiting.bytes + bytes.len() > SOCKET_BYTES_MAX {
            return false;
        }
        waiting.bytes += bytes.len();
        waiting.packets.push_back((from, bytes.clone()));
        if let Some(reader) = waiting.reader.take() {
            reader.wake();
        }
        true
    }
}

/// One datagram socket.
#[derive(Debug)]
pub(crate) struct Socket {
    ether: Ether,
    address: SocketAddr,
    mailbox: Arc<Mailbox>,
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.ether
            .send(self, transmit.destination, transmit.contents);
        Ok(())
    }

    fn poll_recv(
        &self,
        task: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut waiting = self.mailbox.0.lock().unwrap();
        let mut count = 0;
        while count < bufs.len().min(meta.len())
            && let Some((from, bytes)) = waiting.packets.pop_front()
        {
            waiting.bytes -= bytes.len();
            // A longer packet than the reader expects is cut off, as by a real system.
            let len = bytes.len().min(bufs[count].len());
            bufs[count][..len].copy_from_slice(&bytes[..len]);
            meta[count] = RecvMeta {
                addr: from,
                len,
                stride: len,
                ecn: None,
                dst_ip: None,
            };
            count += 1;
        }
        if count == 0 {
            waiting.reader = Some(task.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// There is always room to send.
#[derive(Debug)]
struct Writable;

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
