//! Every bound of the network with its reason. Memory per connection and in total follows from these.

use std::time::Duration;

/// Small frames that may wait for one peer, bytes: some seconds of a busy link.
pub(super) const PEER_SMALL_BYTES_MAX: usize = 16 << 20;
/// Large frames that may wait for one peer, bytes. A single larger one is taken when none waits.
pub(super) const PEER_BULK_BYTES_MAX: usize = 64 << 20;
/// Small replies that may wait for one client before its requests are read no further, bytes.
pub(super) const CLIENT_SMALL_BYTES_PAUSE: usize = 1 << 20;
/// Small replies that may wait for one client, bytes: all open requests with the largest small reply.
pub(super) const CLIENT_SMALL_BYTES_MAX: usize =
    CLIENT_SMALL_BYTES_PAUSE + CLIENT_OPEN_MAX * (64 << 10);
/// Large replies that may wait for one client, bytes.
pub(super) const CLIENT_LARGE_BYTES_MAX: usize = 64 << 20;
/// Bytes that may wait in all queues of the node together.
pub(super) const TOTAL_BYTES_MAX: usize = 512 << 20;
/// Bytes of large frames that may be under assembly at once, announced lengths counted whole.
/// Above the largest frame, so that each gets its turn.
pub(super) const ASSEMBLY_BYTES_MAX: usize = 256 << 20;
/// Requests of one client that may be open at once.
pub(super) const CLIENT_OPEN_MAX: usize = 1024;
/// Requests of all clients that may be open at once.
pub(super) const TOTAL_OPEN_MAX: usize = 8192;
/// Large frames that one connection writes at once. With the window of a stream it bounds what they
/// can take of the connection's window: the rest stays free for small frames.
pub(super) const BULK_AT_ONCE: usize = 4;
/// Handshakes that one port works on at once.
pub(super) const HANDSHAKES_MAX: usize = 256;

/// Unread bytes of one stream.
pub(super) const STREAM_WINDOW: u32 = 1 << 20;
/// Unread bytes of one connection.
pub(super) const CONNECTION_WINDOW: u32 = 8 << 20;
/// Streams of each kind that the other side may have open at once.
pub(super) const STREAMS_MAX: u32 = 64;
/// Unread datagrams of one connection, bytes: heartbeats only.
pub(super) const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// From connecting to the end of the hello exchange.
pub(super) const HELLO_WAIT: Duration = Duration::from_secs(3);
/// One attempt on one address.
pub(super) const DIAL_WAIT: Duration = Duration::from_secs(2);
/// First pause between attempts on a peer.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause between attempts on a peer.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Pause before the next attempt on a peer by which this node is no member. Who lets it in dials it, or answers when it
/// knocks: the pause ends then.
pub(super) const DOOR_PAUSE: Duration = Duration::from_secs(5);
/// A link that ends sooner than this after it began counts as another failed attempt: a peer whose
/// links always break is not dialled more and more often.
pub(super) const LINK_STEADY: Duration = Duration::from_secs(5);
/// How long the node that is to be dialled waits before it knocks (again).
pub(super) const KNOCK_WAIT: Duration = Duration::from_millis(300);
/// A large frame without any progress for so long is given up.
pub(super) const STALL_WAIT: Duration = Duration::from_secs(30);
/// How long closing waits for open requests and for queues to empty.
pub(super) const DRAIN_WAIT: Duration = Duration::from_secs(3);
/// A peer's connection is dead after so long without a packet. Liveness is judged above, sooner.
pub(super) const PEER_IDLE: Duration = Duration::from_secs(3);
/// Packets on a link that is otherwise silent.
pub(super) const PEER_KEEP_ALIVE: Duration = Duration::from_secs(1);
/// A client's connection is dead after so long without a packet; clients keep theirs alive.
pub(super) const CLIENT_IDLE: Duration = Duration::from_secs(30);
/// How long a client should wait after `overloaded`, milliseconds.
pub(super) const RETRY_AFTER_MS: u32 = 100;
