//! One link: everything that flows between two nodes over one connection.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendDatagramError};
use quorate_protocol::close::CloseCode;
use quorate_protocol::frame::Header;
use quorate_ring::NodeId;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::bounds::{DRAIN_WAIT, PEER_BULK_BYTES_MAX, PEER_SMALL_BYTES_MAX};
use super::super::close::{close, explain};
use super::super::error::SendRefused;
use super::super::events::{Lane, NetEvent, NetHandler};
use super::super::frames::{ReadFault, SmallFrames, read_datagram, read_large};
use super::super::queue::ByteQueue;
use super::super::send::{SMALL_FRAME_BYTES_MAX, split_frame, write_large, write_small};
use super::super::shared::{SessionGuard, Shared};
use super::establish::Established;

/// The sending side of a link, and what is known of it.
pub(crate) struct Link {
    pub(super) connection: Connection,
    pub(super) incarnation: u64,
    pub(super) dialled_as: Option<String>,
    small: Arc<ByteQueue>,
    bulk: Arc<ByteQueue>,
    closed_here: OnceLock<String>,
}

impl Link {
    fn new(shared: &Shared, established: &Established) -> Self {
        Self {
            connection: established.connection.clone(),
            incarnation: established.hello.incarnation,
            dialled_as: established.dialled_as.clone(),
            small: Arc::new(ByteQueue::new(PEER_SMALL_BYTES_MAX, &shared.total)),
            bulk: Arc::new(ByteQueue::new(PEER_BULK_BYTES_MAX, &shared.total)),
            closed_here: OnceLock::new(),
        }
    }

    pub(super) fn send(&self, lane: Lane, frames: Bytes) -> Result<(), SendRefused> {
        match lane {
            Lane::Datagram => self.send_datagram(frames),
            Lane::Small if frames.len() <= SMALL_FRAME_BYTES_MAX => self.small.push(frames),
            Lane::Small => each_frame(frames, |frame| {
                let queue = if frame.len() <= SMALL_FRAME_BYTES_MAX {
                    &self.small
                } else {
                    &self.bulk
                };
                queue.push(frame)
            }),
            Lane::Bulk => each_frame(frames, |frame| self.bulk.push(frame)),
        }
    }

    fn send_datagram(&self, frames: Bytes) -> Result<(), SendRefused> {
        match self.connection.send_datagram(frames.clone()) {
            // A lost connection loses datagrams; its end is reported by another way.
            Ok(()) | Err(SendDatagramError::ConnectionLost(_)) => Ok(()),
            Err(
                SendDatagramError::TooLarge
                | SendDatagramError::Disabled
                | SendDatagramError::UnsupportedByPeer,
            ) => self.send(Lane::Small, frames),
        }
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.small.bytes() + self.bulk.bytes()
    }

    pub(super) fn close(&self, code: CloseCode, reason: &str) {
        let _ = self.closed_here.set(format!("closed here: {reason}"));
        close(&self.connection, code, reason);
    }

    fn why_closed(&self, error: &ConnectionError) -> String {
        match (error, self.closed_here.get()) {
            (ConnectionError::LocallyClosed, Some(reason)) => reason.clone(),
            (error, _) => explain(error),
        }
    }
}

fn each_frame(
    mut frames: Bytes,
    mut push: impl FnMut(Bytes) -> Result<(), SendRefused>,
) -> Result<(), SendRefused> {
    while let Some(frame) = split_frame(&mut frames) {
        push(frame)?;
    }
    Ok(())
}

/// Puts a new link in force and serves it in a task of its own until it ends.
pub(super) fn start(shared: &Arc<Shared>, established: Established) {
    let link = Arc::new(Link::new(shared, &established));
    established.peer.take_over(&link);
    shared.tokio.spawn(run(
        Arc::clone(shared),
        SessionGuard::new(shared),
        link,
        established,
    ));
}

/// Serves a link, telling its beginning and its end.
async fn run(
    shared: Arc<Shared>,
    session: SessionGuard,
    link: Arc<Link>,
    established: Established,
) {
    let peer = Arc::clone(&established.peer);
    let turn = peer.turn.lock().await;
    if let Some(error) = link.connection.close_reason() {
        // Replaced or lost while the link before it was being ended: nobody has heard of it.
        peer.let_go(&link, &link.why_closed(&error));
        return;
    }
    tracing::info!(peer = %peer.node, address = %link.connection.remote_address(), "link up");
    tell(
        &shared,
        NetEvent::PeerUp {
            node: peer.node,
            hello: established.hello.clone(),
        },
    );
    let reason = serve(&shared, &link, established).await;
    peer.let_go(&link, &reason);
    tell(
        &shared,
        NetEvent::PeerLost {
            node: peer.node,
            reason,
        },
    );
    drop((turn, session));
}

/// Only frames can be found unreadable.
fn tell(shared: &Shared, event: NetEvent) {
    let _ = shared.handler.on_event(event);
}

/// Why serving ended.
enum End {
    Lost(ConnectionError),
    Fault(ReadFault),
    Stopping(Arc<str>),
    /// A task of the link panicked: a defect of ours.
    Broken,
}

async fn serve(shared: &Arc<Shared>, link: &Arc<Link>, established: Established) -> String {
    let connection = link.connection.clone();
    let mut writers = JoinSet::new();
    let (small, bulk) = (Arc::clone(&link.small), Arc::clone(&link.bulk));
    let (send, large) = (established.send, connection.clone());
    // How writing ends is of no interest: a broken stream or connection shows on the reading side.
    writers.spawn(async move { drop(write_small(&small, send).await) });
    writers.spawn(async move { drop(write_large(bulk, large).await) });

    let inbox = Inbox {
        from: established.peer.node,
        handler: Arc::clone(&shared.handler),
    };
    let mut readers = JoinSet::new();
    readers.spawn(inbox.clone().small(established.frames));
    readers.spawn(inbox.clone().datagrams(connection.clone()));
    let end = loop {
        tokio::select! {
            biased;
            reason = shared.stopping() => break End::Stopping(reason),
            Some(done) = readers.join_next() => match done {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => break End::Fault(fault),
                Err(_) => break End::Broken,
            },
            stream = connection.accept_uni() => match stream {
                Ok(stream) => drop(readers.spawn(inbox.clone().large(Arc::clone(shared), stream))),
                Err(error) => break End::Lost(error),
            },
        }
    };
    let reason = finish(link, end, &mut writers).await;
    readers.shutdown().await;
    writers.shutdown().await;
    reason
}

async fn finish(link: &Link, end: End, writers: &mut JoinSet<()>) -> String {
    match end {
        End::Lost(error) => link.why_closed(&error),
        End::Fault(fault) => match link.connection.close_reason() {
            Some(error) => link.why_closed(&error),
            None => {
                link.close(CloseCode::Malformed, &fault.to_string());
                format!("closed here: {fault}")
            }
        },
        End::Broken => {
            link.close(CloseCode::Done, "internal error");
            "internal error".into()
        }
        End::Stopping(reason) => {
            link.small.close();
            link.bulk.close();
            let _ = timeout(DRAIN_WAIT, async {
                while writers.join_next().await.is_some() {}
            })
            .await;
            link.close(CloseCode::Stopping, &reason);
            format!("closed here: {reason}")
        }
    }
}

/// The receiving side: hands frames on.
#[derive(Clone)]
struct Inbox {
    from: NodeId,
    handler: Arc<dyn NetHandler>,
}

impl Inbox {
    fn take(&self, (header, body): (Header, Bytes)) -> Result<(), ReadFault> {
        self.handler.on_event(NetEvent::PeerFrame {
            from: self.from,
            header,
            body,
        })?;
        Ok(())
    }

    async fn small(self, mut frames: SmallFrames) -> Result<(), ReadFault> {
        while let Some(frame) = frames.next().await? {
            self.take(frame)?;
        }
        Ok(())
    }

    async fn large(self, shared: Arc<Shared>, stream: RecvStream) -> Result<(), ReadFault> {
        match read_large(stream, &shared.assembly).await {
            Ok(Some(frame)) => self.take(frame)?,
            Ok(None) => {}
            // The sender gave this one message up.
            Err(ReadFault::Broken(ReadError::Reset(_))) => {}
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    async fn datagrams(self, connection: Connection) -> Result<(), ReadFault> {
        // Its end is the connection's end, which is seen elsewhere.
        while let Ok(datagram) = connection.read_datagram().await {
            for frame in read_datagram(&datagram)? {
                self.take(frame)?;
            }
        }
        Ok(())
    }
}
