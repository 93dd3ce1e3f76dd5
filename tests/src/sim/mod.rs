//! The simulator: a whole cluster in one process under virtual time, everything decided by one seed.
//!
//! ```text
//! config    what the seed decides: cluster, buckets, network, faults
//! world     the queue of events; hands each to the node, client or link it concerns
//! planted   breaks single rules of the core on purpose and says which checker notices
//! wiring    what nodes want done, and what reaches them
//! want      what a node asks of what surrounds it
//! node      a process by the core's contract: shards with the real replicas, hub with membership and the keeper of the map
//! placing   what a node tells of plans, moves and the map
//! route     which shard a message belongs to
//! disk      what a process sees, what survives a power cut, and what can go wrong with it
//! kept      what a node keeps of the cluster map, and what can go wrong with it
//! clock     a node's two clocks: drift and jumps
//! network   delay, loss, duplication, cuts, clogs
//! copies    who holds which acknowledged write, so that no fault takes the last copy
//! counters  what runs provoked
//! driven    a world that is driven from outside, step by step
//! event     what can happen, and in which order
//! mishaps   faults as they happen, and their end
//! fault     what a fault is
//! faults    which fault comes next, and what it must spare
//! minimise  a failing run made smaller
//! failure   a failing run told
//! story     what happened to one key
//! overrides what a minimised run changes of what its seed decides
//! batch     many runs over several threads, told in the order of their seeds
//! args      the options of `quorate-sim`
//! restoring backups of nodes, and nodes restored from them
//! returning the script of nodes that come back at the worst moment
//! command   the command line of `quorate-sim`
//! watch     what checkers are shown of a world
//! clients   closed-loop clients; workload says what they do
//! asking    clients that ask for buckets; founding is what becomes of it, dropping their end
//! agreeing  what a settled cluster must say of buckets
//! serving   how clients reach nodes
//! tries     what a client makes of an error, and of trying again
//! map       the cluster map that it draws
//! losses    which seeds destroy disks or cut dot logs
//! vanishing records that vanish without a sign, and when that is made good
//! operators changes of weights and zones, drains, a member that leaves and comes back
//! turnover  nodes that join, replace others, and are removed by force
//! removed   who was removed by force and has not heard of it
//! snipers   deaths at single messages of a change of the ring
//! converge  what the quiet cluster looks like, from its disks
//! run       the phases: faults, healing, convergence, quiet; then the checkers
//! trace     the rolling hash by which two runs are compared
//! dice      the seed's random numbers
//! ```

mod agreeing;
mod args;
pub mod asking;
pub mod batch;
pub mod clients;
pub mod clock;
pub mod command;
pub mod config;
pub mod converge;
pub mod copies;
pub mod counters;
pub mod dice;
pub mod disk;
pub mod driven;
mod dropping;
mod event;
pub mod failure;
pub mod fault;
mod fault_words;
pub mod faults;
pub mod founding;
pub mod hour;
mod hub;
mod image;
pub mod kept;
mod losses;
pub(crate) mod map;
pub mod minimise;
mod mishaps;
pub mod network;
pub mod node;
pub(crate) mod operators;
pub mod overrides;
mod placing;
#[cfg(feature = "planted")]
pub mod planted;
mod removed;
mod repairing;
pub mod restoring;
pub mod returning;
// The node's own: what it gets wrong is to be seen here.
#[path = "../../../node/src/driver/split.rs"]
mod route;
pub mod run;
mod serving;
mod shard;
pub mod snipers;
pub mod story;
pub mod trace;
mod tries;
pub mod turnover;
pub mod vanishing;
mod want;
mod watch;
mod wiring;
pub mod workload;
pub mod world;

pub use crate::history;
