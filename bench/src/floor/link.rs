//! Links between members: one connection for each pair, one stream each way, and one inbox for all of them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use quorate_protocol::names::node_name;
use quorate_ring::NodeId;
use tokio::sync::Notify;

use super::wire::{self, Frame, Kind};
use super::{Broken, MEMBERS};

/// Others have this much time to begin to listen.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(50);
/// Pieces of a stream taken at once.
const PIECES: usize = 32;

/// Who is dialled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) id: NodeId,
    pub(super) address: SocketAddr,
}

/// Whole frames that came together, and from whom.
pub(super) struct Came {
    pub(super) from: usize,
    bytes: Bytes,
}

impl Came {
    pub(super) fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || wire::take(&mut rest))
    }
}

/// What came on all links and was not taken yet.
#[derive(Default)]
struct Inbox {
    waiting: Mutex<Waiting>,
    ready: Notify,
}

#[derive(Default)]
struct Waiting {
    came: Vec<Came>,
    ended: Option<String>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All links of one member.
pub(super) struct Links {
    inbox: Arc<Inbox>,
    sends: [Option<SendStream>; MEMBERS],
    outs: [BytesMut; MEMBERS],
    /// Dropped, it closes all connections.
    _endpoint: Endpoint,
}

impl Links {
    /// Links member `me` with those that it dials and with as many as it is to wait for.
    pub(super) async fn join(
        endpoint: Endpoint,
        me: usize,
        dialled: &[Member],
        accepted: usize,
    ) -> Result<Self, Broken> {
        let inbox = Arc::default();
        let mut links = Self {
            inbox,
            sends: Default::default(),
            outs: Default::default(),
            _endpoint: endpoint.clone(),
        };
        for member in dialled {
            let connection = tokio::time::timeout(PATIENCE, dial(&endpoint, member)).await;
            let nobody = |_| Broken::Silent(member.address);
            links.add(me, connection.map_err(nobody)?).await?;
        }
        for _ in 0..accepted {
            let incoming = endpoint.accept().await;
            let incoming = incoming.ok_or_else(|| Broken::ended("the endpoint is closed"))?;
            let connection = incoming.await.map_err(Broken::ended)?;
            links.add(me, connection).await?;
        }
        Ok(links)
    }

    async fn add(&mut self, me: usize, connection: Connection) -> Result<(), Broken> {
        let mut send = connection.open_uni().await.map_err(Broken::ended)?;
        let mut hello = BytesMut::new();
        let id = u32::try_from(me).unwrap_or(u32::MAX);
        wire::write(&mut hello, Kind::Hello, id, &[], &[]);
        let mut theirs = vec![0; hello.len()];
        let sent = send.write_chunk(hello.freeze()).await;
        sent.map_err(Broken::ended)?;
        let mut receive = connection.accept_uni().await.map_err(Broken::ended)?;
        let came = receive.read_exact(&mut theirs).await;
        came.map_err(Broken::ended)?;
        let place = wire::take(&mut &theirs[..]).map(|frame| frame.id as usize);
        let place = place.filter(|place| *place < MEMBERS);
        let place = place.ok_or(Broken::Foreign)?;
        self.sends[place] = Some(send);
        tokio::spawn(read(Arc::clone(&self.inbox), place, receive));
        Ok(())
    }

    /// Where frames for a member are written. They leave with [`Self::flush`].
    pub(super) fn out(&mut self, member: usize) -> &mut BytesMut {
        &mut self.outs[member]
    }

    /// Sends everything written. So little is under way that no window is ever full: this does not wait for others.
    pub(super) async fn flush(&mut self) -> Result<(), Broken> {
        for (send, out) in self.sends.iter_mut().zip(&mut self.outs) {
            if let Some(send) = send.as_mut().filter(|_| !out.is_empty()) {
                let sent = send.write_chunk(out.split().freeze()).await;
                sent.map_err(Broken::ended)?;
            }
        }
        Ok(())
    }

    /// Waits for frames, and takes all. More gather by themselves while the last ones are written: to yield before, as the
    /// nodes do, was tried, and was never clearly cheaper.
    pub(super) async fn take(&self) -> Result<Vec<Came>, Broken> {
        loop {
            self.inbox.ready.notified().await;
            let mut waiting = self.inbox.lock();
            if let Some(why) = waiting.ended.take() {
                return Err(Broken::Ended(why));
            }
            if !waiting.came.is_empty() {
                return Ok(std::mem::take(&mut waiting.came));
            }
        }
    }
}

async fn dial(endpoint: &Endpoint, member: &Member) -> Connection {
    loop {
        if let Ok(connecting) = endpoint.connect(member.address, &node_name(member.id))
            && let Ok(connection) = connecting.await
        {
            return connection;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn read(inbox: Arc<Inbox>, from: usize, mut receive: RecvStream) {
    let mut partial = BytesMut::new();
    let mut pieces: [Bytes; PIECES] = Default::default();
    let why = loop {
        let count = match receive.read_chunks(&mut pieces).await {
            Ok(Some(count)) => count,
            Ok(None) => break "the stream is finished".to_owned(),
            Err(error) => break error.to_string(),
        };
        for piece in &mut pieces[..count] {
            partial.extend_from_slice(&std::mem::take(piece));
        }
        let whole = wire::whole(&partial);
        if whole > 0 {
            let bytes = partial.split_to(whole).freeze();
            inbox.lock().came.push(Came { from, bytes });
            inbox.ready.notify_one();
        }
    };
    inbox.lock().ended = Some(why);
    inbox.ready.notify_one();
}
