//! Clusters of real processes on this machine, for tests that need nothing less.
//!
//! A [`Cluster`] is a temporary directory with everything that `quorate cluster create` and
//! `quorate-node init` make, and one process for each node. It is used in three steps: start it
//! ([`Cluster::start`]), hurt it ([`Cluster::kill`] and its sisters) while a [`Ledger`] notes what
//! the cluster has acknowledged, and at the end heal it and let the ledger check that nothing of
//! that is lost ([`Ledger::check`]).
//!
//! Processes end with the value that started them. A [`Watchdog`] ends them where the test process
//! itself dies without a word.

mod cluster;
mod damage;
mod error;
mod ground;
mod growth;
mod inspect;
mod ledger;
mod namespaces;
mod node;
mod ports;
mod programs;
mod provisioned;
mod settle;
mod shim;
mod tool;
mod watchdog;

pub use cluster::{Cluster, Index, Members};
pub use damage::{damage_tables, remove_table};
pub use error::Trouble;
pub use inspect::Inspection;
pub use ledger::Ledger;
pub use namespaces::Namespaces;
pub use node::{Ended, NodeProcess, Signal};
pub use ports::{Ports, free_ports};
pub use programs::Programs;
pub use provisioned::{Provisioned, Settings, write_pem};
pub use settle::until;
pub use shim::{Orders, Shim};
pub use tool::{Finished, Tool};
pub use watchdog::Watchdog;
