//! One client's connection from its hello to its end.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream};
use quorate_protocol::close::CloseCode;
use quorate_protocol::frame::Header;
use quorate_protocol::limits::CLIENT_BODY_BYTES_MAX;
use quorate_protocol::{ErrorCode, WireError};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::bounds::{DRAIN_WAIT, HELLO_WAIT};
use super::super::close::{close, explain, number};
use super::super::events::NetEvent;
use super::super::frames::{LargeFrame, ReadFault, SmallFrames};
use super::super::hello;
use super::super::send::{write_large, write_small};
use super::super::shared::{SessionGuard, Shared, identity};
use super::replies::{Client, overloaded};
use crate::tls::Person;

struct Refusal(CloseCode, String);

/// Serves a connection that came in on the client port.
pub(crate) async fn accepted(shared: &Arc<Shared>, connection: Connection) -> Result<(), String> {
    let outcome = match timeout(HELLO_WAIT, greet(shared, &connection)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Refusal(
            CloseCode::Hello,
            format!("no hello within {} seconds", HELLO_WAIT.as_secs()),
        )),
    };
    match outcome {
        Ok(session) => {
            shared.tokio.spawn(session.run(SessionGuard::new(shared)));
            Ok(())
        }
        Err(Refusal(code, reason)) => {
            let reason = connection
                .close_reason()
                .map_or(reason, |error| explain(&error));
            close(&connection, code, &reason);
            Err(reason)
        }
    }
}

async fn greet(shared: &Arc<Shared>, connection: &Connection) -> Result<Session, Refusal> {
    let principal = principal(shared, connection)?;
    let broken = |reason: String| Refusal(CloseCode::Hello, reason);
    let (mut send, receive) = connection
        .accept_bi()
        .await
        .map_err(|error| broken(explain(&error)))?;
    let mut frames = SmallFrames::new(receive);
    let (header, theirs) = hello::read(&mut frames)
        .await
        .map_err(|error| broken(error.to_string()))?;
    let ours = shared.handler.hello();
    ours.negotiate(&theirs)
        .map_err(|error| broken(error.message))?;
    let seat = Seat::take(shared, principal)?;
    send.write_chunk(hello::frame(&ours, header.request))
        .await
        .map_err(|error| broken(error.to_string()))?;
    Ok(Session {
        seat,
        connection: connection.clone(),
        frames,
        send,
    })
}

fn principal(shared: &Shared, connection: &Connection) -> Result<Arc<str>, Refusal> {
    let identity =
        identity(connection).map_err(|error| Refusal(CloseCode::Identity, error.to_string()))?;
    if identity.cluster != shared.cluster {
        let (ours, theirs) = (shared.cluster, identity.cluster);
        let reason = format!(
            "this is cluster {ours}, the certificate is valid in cluster {theirs}: check the address"
        );
        return Err(Refusal(CloseCode::Identity, reason));
    }
    match identity.person {
        Person::Client(principal) => Ok(principal),
        Person::Node(node) => {
            let reason = format!(
                "this is the client port, and the certificate that of node {node}: use a client's"
            );
            Err(Refusal(CloseCode::Identity, reason))
        }
    }
}

/// A client's place in the table, until it is dropped.
struct Seat {
    shared: Arc<Shared>,
    client: Arc<Client>,
}

impl Seat {
    fn take(shared: &Arc<Shared>, principal: Arc<str>) -> Result<Self, Refusal> {
        let (key, max) = (shared.clients.next_key(), shared.settings.clients_max);
        let client = Arc::new(Client::new(
            key,
            principal,
            &shared.total,
            shared.clients.open(),
        ));
        if !shared.clients.add(&client, max) {
            let reason = format!("{max} clients are connected already: try another node, or later");
            return Err(Refusal(CloseCode::Overloaded, reason));
        }
        Ok(Self {
            shared: Arc::clone(shared),
            client,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.clients.remove(self.client.key);
    }
}

struct Session {
    seat: Seat,
    connection: Connection,
    frames: SmallFrames,
    send: SendStream,
}

/// Why serving ended.
enum End {
    Lost(ConnectionError),
    Fault(ReadFault),
    Stopping(Arc<str>),
    /// A task of the session panicked: a defect of ours.
    Broken,
}

impl Session {
    async fn run(self, session: SessionGuard) {
        let Self {
            seat,
            connection,
            frames,
            send,
        } = self;
        let client = Arc::clone(&seat.client);
        let (small, large, through) = (
            Arc::clone(&client.small),
            Arc::clone(&client.large),
            connection.clone(),
        );
        let mut writers = JoinSet::new();
        // How writing ends is of no interest: a broken stream or connection shows on the reading side.
        writers.spawn(async move { drop(write_small(&small, send).await) });
        writers.spawn(async move { drop(write_large(large, through).await) });
        let inbox = Inbox {
            shared: Arc::clone(&seat.shared),
            client: Arc::clone(&client),
        };
        let mut readers = JoinSet::new();
        readers.spawn(inbox.clone().small(frames));
        let end = serve(&inbox, &connection, &mut readers).await;
        finish(&client, &connection, end, &mut writers).await;
        readers.shutdown().await;
        writers.shutdown().await;
        let shared = Arc::clone(&seat.shared);
        drop(seat);
        // Only a peer's frames can be found unreadable: clients are answered.
        let _ = shared
            .handler
            .on_event(NetEvent::ClientLost { client: client.key });
        drop(session);
    }
}

async fn serve(
    inbox: &Inbox,
    connection: &Connection,
    readers: &mut JoinSet<Result<(), ReadFault>>,
) -> End {
    loop {
        tokio::select! {
            biased;
            reason = inbox.shared.stopping() => return End::Stopping(reason),
            Some(done) = readers.join_next() => match done {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => return End::Fault(fault),
                Err(_) => return End::Broken,
            },
            stream = connection.accept_bi() => match stream {
                // Nothing comes back on it: its sending half ends here.
                Ok((_, stream)) => drop(readers.spawn(inbox.clone().large(stream))),
                Err(error) => return End::Lost(error),
            },
            stream = connection.accept_uni() => match stream {
                Ok(stream) => drop(readers.spawn(inbox.clone().large(stream))),
                Err(error) => return End::Lost(error),
            },
        }
    }
}

async fn finish(client: &Client, connection: &Connection, end: End, writers: &mut JoinSet<()>) {
    match end {
        End::Lost(error) => {
            tracing::debug!(client = client.key.0, "client gone: {}", explain(&error))
        }
        End::Fault(fault) => {
            if connection.close_reason().is_none() {
                tracing::warn!(client = client.key.0, principal = %client.principal, "connection closed: {fault}");
                close(connection, CloseCode::Malformed, &fault.to_string());
            }
        }
        End::Broken => close(connection, CloseCode::Done, "internal error"),
        End::Stopping(reason) => {
            let drained = async {
                client.until_idle().await;
                client.small.close();
                client.large.close();
                while writers.join_next().await.is_some() {}
            };
            let _ = timeout(DRAIN_WAIT, drained).await;
            close(connection, CloseCode::Stopping, &reason);
        }
    }
}

/// The receiving side: admits requests and hands them on, or refuses them.
#[derive(Clone)]
struct Inbox {
    shared: Arc<Shared>,
    client: Arc<Client>,
}

impl Inbox {
    async fn small(self, mut frames: SmallFrames) -> Result<(), ReadFault> {
        while let Some((header, body)) = frames.next().await? {
            match self.admit() {
                Ok(()) => self.take(header, body),
                Err(error) => self.client.refuse(&header, &error),
            }
            self.client.until_reading().await;
        }
        Ok(())
    }

    async fn large(self, stream: RecvStream) -> Result<(), ReadFault> {
        match self.large_request(stream).await {
            // The client gave this one request up.
            Err(ReadFault::Broken(ReadError::Reset(_))) => Ok(()),
            outcome => outcome,
        }
    }

    async fn large_request(&self, stream: RecvStream) -> Result<(), ReadFault> {
        let Some(frame) = LargeFrame::announced(stream).await? else {
            return Ok(());
        };
        let header = frame.header;
        let bytes = frame.body_bytes;
        let share = self.fits(bytes).and_then(|()| {
            let share = self.shared.assembly.take(bytes);
            share.ok_or_else(|| {
                overloaded("too many bytes of large requests are on their way already")
            })
        });
        let share = match share {
            Ok(share) => share,
            Err(error) => {
                frame.refuse(number(CloseCode::Overloaded));
                self.client.refuse(&header, &error);
                return Ok(());
            }
        };
        let body = frame.body(share).await?;
        match self.admit() {
            Ok(()) => self.take(header, body),
            Err(error) => self.client.refuse(&header, &error),
        }
        Ok(())
    }

    fn fits(&self, body_bytes: usize) -> Result<(), WireError> {
        if body_bytes <= CLIENT_BODY_BYTES_MAX {
            return Ok(());
        }
        let message =
            format!("a request of {body_bytes} bytes; at most {CLIENT_BODY_BYTES_MAX} are taken");
        Err(WireError::new(ErrorCode::TooLarge, message))
    }

    fn admit(&self) -> Result<(), WireError> {
        if self.shared.is_stopping() {
            return Err(WireError::new(
                ErrorCode::Stopping,
                "this node is stopping: ask another one",
            ));
        }
        self.client.admit()
    }

    fn take(&self, header: Header, body: Bytes) {
        let (client, principal) = (self.client.key, Arc::clone(&self.client.principal));
        // What cannot be read is answered.
        let _ = self.shared.handler.on_event(NetEvent::ClientFrame {
            client,
            principal,
            header,
            body,
        });
    }
}
