//! The simulator: a whole cluster in one process under virtual time, everything decided by one seed.
//!
//! ```text
//! config    what the seed decides: cluster, buckets, network, faults
//! world     the queue of events; hands each to the node, client or link it concerns
//! planted   breaks single rules of the core on purpose and says which checker notices
//! node      drives the real replica and membership by the core's contract
//! disk      live and durable image of every family
//! network   delay, loss, duplication, cuts
//! event     what can happen, and in which order
//! mishaps   faults as they happen, and their end
//! faults    which fault comes next, and what it must spare
//! overrides what a minimised run changes of what its seed decides
//! command   the command line of `quorate-sim`
//! clients   closed-loop clients; workload says what they do
//! history   what clients did and saw: the oracle of most checkers
//! converge  what the quiet cluster looks like, from its disks
//! run       the phases: faults, healing, convergence, quiet; then the checkers
//! trace     the rolling hash by which two runs are compared
//! dice      the seed's random numbers
//! ```

pub mod clients;
pub mod command;
pub mod config;
pub mod converge;
pub mod dice;
pub mod disk;
mod event;
pub mod faults;
pub mod history;
mod mishaps;
pub mod network;
pub mod node;
pub mod overrides;
#[cfg(feature = "planted")]
pub mod planted;
pub mod run;
pub mod trace;
pub mod workload;
pub mod world;
