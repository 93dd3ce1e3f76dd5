//! A relay for UDP between nodes that can be told to misbehave: to cut links, delay, lose, repeat,
//! damage and reorder packets. Without root, for local clusters and process tests.
//!
//! A [`Route`] listens at an address in the place of a node: what arrives there goes to that node,
//! from a socket of its own for every sender, so that answers find back. Every route is labelled
//! with the two nodes it joins; faults are kept per direction between two nodes and apply to all
//! routes that carry packets that way, whichever side dialled.
//!
//! The relay sees packets only: QUIC above it repairs what it loses, and no fault of the relay can
//! forge anything.

mod command;
mod control;
mod delay;
mod faults;
mod forward;
mod route;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;

pub use command::{Command, CommandError};
pub use control::{ControlError, ask, serve};
pub use faults::{LinkFaults, LinkStats};
pub use route::{Label, Pair, Route, RouteError};

use faults::Faults;

/// A running relay. Dropping it ends it.
pub struct Relay {
    faults: Arc<Mutex<Faults>>,
    addresses: BTreeMap<Pair, SocketAddr>,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// Listens on all routes and relays without faults. Faults drawn later depend on `seed` alone
    /// and on the order in which packets come.
    ///
    /// # Errors
    /// An address cannot be listened on; the error names it.
    pub async fn start(routes: Vec<Route>, seed: u64) -> io::Result<Self> {
        let faults = Arc::new(Mutex::new(Faults::new(
            seed,
            routes.iter().map(|route| route.pair),
        )));
        let (mut addresses, mut tasks) = (BTreeMap::new(), JoinSet::new());
        for route in routes {
            let socket = forward::bind(route.listen).await?;
            addresses.insert(route.pair, socket.local_addr()?);
            tasks.spawn(forward::run(route, socket, Arc::clone(&faults)));
        }
        Ok(Self {
            faults,
            addresses,
            _tasks: tasks,
        })
    }

    /// Where each route listens; of interest where port 0 was asked for.
    #[must_use]
    pub const fn addresses(&self) -> &BTreeMap<Pair, SocketAddr> {
        &self.addresses
    }

    /// Carries out one command and says what it did.
    ///
    /// # Errors
    /// It names a node that is on no route.
    pub fn apply(&self, command: &Command) -> Result<String, CommandError> {
        command.apply(&mut lock(&self.faults))
    }

    /// Drops every packet between the two nodes, both ways.
    pub fn cut(&self, one: Label, other: Label) {
        let mut faults = lock(&self.faults);
        for pair in [Pair::new(one, other), Pair::new(other, one)] {
            faults.change(pair, |link| link.cut = true);
        }
    }

    /// Drops every packet from one node to the other.
    pub fn cut_one_way(&self, from: Label, to: Label) {
        lock(&self.faults).change(Pair::new(from, to), |link| link.cut = true);
    }

    /// Replaces the faults of one direction.
    pub fn set(&self, pair: Pair, faults: LinkFaults) {
        lock(&self.faults).change(pair, |link| *link = faults);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        lock(&self.faults).heal();
    }

    /// What passed and what did not, for each direction.
    #[must_use]
    pub fn stats(&self) -> BTreeMap<Pair, LinkStats> {
        lock(&self.faults).stats()
    }
}

fn lock(faults: &Mutex<Faults>) -> MutexGuard<'_, Faults> {
    // Nothing in there can be left half changed.
    faults.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
