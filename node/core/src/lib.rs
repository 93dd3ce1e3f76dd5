//! Quorate's replica, sans-I/O: everything that decides what is written, read, kept, repaired and
//! handed over, and nothing that touches a socket, a file, a clock or a thread.
//!
//! # The contract between the core and its driver
//!
//! A *driver* owns sockets, storage and time. The node is one driver, the simulator another. These
//! rules are all that either may rely on.
//!
//! 1. **One call, one event.** [`Replica::handle`] takes the time and one [`Input`]. It reads
//!    storage through the [`Store`] it is given, changes its own state, and collects writes and
//!    [`Effect`]s. It never blocks, never keeps the store, and never calls back.
//! 2. **A step is one batch.** After any number of `handle` calls the driver calls
//!    [`Replica::finish`] and gets a [`Step`]: one [`Batch`] and the effects. The batch is written
//!    as a whole or not at all, over all families, before any effect is performed.
//! 3. **Reads see the step's own writes.** Point reads within a step see what the step has
//!    collected so far (the core overlays it). Scans see only what earlier steps committed.
//! 4. **Effects are performed in order**, those marked [`When::Synced`] after the batch was fsynced,
//!    the others as soon as it was written. Between one pair of nodes, messages of one step leave in
//!    order; the network may still reorder, delay, repeat and lose them: the core bears it all.
//!    [`Effect::Word`] waits for durability too: it says what is done and kept.
//! 5. **Durability is told.** Each step with a non-empty batch has a [`BatchSeq`], growing by one. The driver
//!    reports with [`Input::Synced`] the highest number of which everything up to it is fsynced. It
//!    syncs at least every 100 ms while unsynced batches exist, and at once when a step says
//!    [`Step::sync_soon`].
//! 6. **A failed batch ends this life.** If a batch cannot be written, none of the step's effects
//!    may be performed and the replica is dropped; a new one is opened from storage. Nothing that
//!    was not written has been promised to anybody.
//! 7. **Opening.** [`Replica::open`] reads clocks and logs from storage. A replica opened twice on
//!    one storage at a time is a driver's bug: the node holds a lock on its directory.
//! 8. **Time.** [`Now`] carries a monotonic time and the wall clock. The core compares monotonic times only
//!    with each other; the wall clock feeds time stamps and nothing that safety depends on.
//!    [`Replica::next_timer`] says when [`Input::Tick`] is wanted; later is allowed, earlier harmless;
//!    after a tick it is always later than that tick.
//! 9. **Randomness** is drawn from the seed given at opening. Two replicas must never share a seed:
//!    actors are 64 bits of it. Everything else is deterministic: the same inputs in the same order give
//!    the same effects, byte for byte.
//! 10. **Bounded work.** Every call does work bounded by its input and by the constants in
//!     [`quorate_protocol::limits`]; background work (handoff, anti-entropy, log collection) is cut
//!     into ticks.
//! 11. **Dropping.** The driver may drop any message effect (a full queue, a dead link). It may not drop a
//!     reply to a client that is still there. It may repeat nothing.
//! 12. **Partitions.** One replica handles the partitions given to it; inputs for others are a driver's bug. A node
//!     may run several replicas over disjoint partitions on one storage. Messages that name no
//!     partition are answered to the replica whose number stands in the top 16 bits of their `op`.

mod alive;
pub mod causality;
mod census;
mod coordinate;
mod dropping;
pub mod effects;
mod expiry;
mod hints;
pub mod keeper;
pub mod membership;
pub mod moves;
mod open;
pub mod plant;
pub mod quorum;
pub mod record;
pub mod register;
mod replica;
mod replicate;
mod shared;
mod shelf;
mod status;
pub mod store;
pub mod timing;
pub mod token;
pub mod view;
mod vnode;

pub use census::{Census, ClockCount, FamilyCount, ObjectCount};
pub use effects::{Effect, Input, Note, Now, Priority, Step, Ticket, When};
pub use open::{OpenError, ReplicaConfig};
pub use plant::Plant;
pub use replica::Replica;
pub use replicate::digests::{digest_of_objects, stored_digest};
pub use replicate::scrub::ScrubOrdered;
pub use status::{ReplicaStandings, ReplicaStatus};
pub use store::{Batch, BatchSeq, Family, Store, StoreError, Write};
pub use timing::Timing;
