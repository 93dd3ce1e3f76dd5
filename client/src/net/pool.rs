//! Which nodes are connected, being dialled, or down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quorate_protocol::ClusterId;
use quorate_protocol::map::Member;
use quorate_ring::NodeId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::connection::Connection;
use super::dial::{DialError, Dialer};
use crate::routing::Reach;

/// How long to wait for a new connection while another node could be asked instead.
pub(crate) const PATIENCE: Duration = Duration::from_millis(300);
/// First pause before a node that could not be reached is dialled again; doubles up to the second.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// What is known of one node.
#[derive(Clone)]
enum State {
    /// Nothing yet, or a connection that ended.
    Idle,
    /// `hopeful`: nothing speaks against the node so far.
    Dialing {
        since: Instant,
        hopeful: bool,
    },
    Up(Arc<Connection>),
    Down {
        again_at: Instant,
        failures: u32,
        why: DialError,
    },
}

type Slot = Arc<watch::Sender<State>>;

/// The connections of one client.
pub(crate) struct Pool {
    dialer: Arc<Dialer>,
    slots: Mutex<BTreeMap<NodeId, Slot>>,
}

impl Pool {
    pub(crate) fn new(dialer: Dialer) -> Self {
        Self {
            dialer: Arc::new(dialer),
            slots: Mutex::default(),
        }
    }

    /// Dials an address of which the node is not known yet, and keeps the connection.
    pub(crate) async fn dial_seed(&self, address: &str) -> Result<Arc<Connection>, DialError> {
        let connection = self.dialer.dial(&[address.to_owned()], None, None).await?;
        self.slot(connection.node())
            .send_replace(State::Up(Arc::clone(&connection)));
        Ok(connection)
    }

    /// How a node can be reached right now. Starts to dial one that was down for long enough, so
    /// that it is there for a later request and this one need not wait for it.
    pub(crate) fn reach(&self, member: &Member, cluster: ClusterId) -> Reach {
        let slot = self.slot(member.id);
        let state = current(&slot);
        match state {
            State::Idle => Reach::Untried,
            // While the first requests wait together, none of them is sent somewhere worse.
            State::Dialing {
                since,
                hopeful: true,
            } if since.elapsed() < PATIENCE => Reach::Untried,
            State::Dialing { .. } => Reach::Dialing,
            State::Up(_) => Reach::Connected,
            State::Down { again_at, .. } => {
                if again_at <= Instant::now() {
                    self.start(&slot, member, cluster);
                }
                Reach::Down
            }
        }
    }

    /// A connection to a node: the one there is, or a new one, waited for until `until`. Dialling
    /// goes on after that.
    ///
    /// `force` dials also a node that failed a moment ago.
    pub(crate) async fn get(
        &self,
        member: &Member,
        cluster: ClusterId,
        until: Instant,
        force: bool,
    ) -> Result<Arc<Connection>, DialError> {
        let slot = self.slot(member.id);
        let mut seen = slot.subscribe();
        match current(&slot) {
            State::Up(connection) => return Ok(connection),
            State::Down { again_at, why, .. } if !force && again_at > Instant::now() => {
                return Err(why);
            }
            State::Idle | State::Down { .. } => self.start(&slot, member, cluster),
            State::Dialing { .. } => {}
        }
        let settled = seen.wait_for(|state| !matches!(state, State::Dialing { .. }));
        match tokio::time::timeout_at(until, settled)
            .await
            .map(|state| state.map(|state| state.clone()))
        {
            Ok(Ok(State::Up(connection))) => Ok(connection),
            Ok(Ok(State::Down { why, .. })) => Err(why),
            Ok(Ok(State::Idle | State::Dialing { .. }) | Err(_)) | Err(_) => Err(
                DialError::Unreachable(format!("{} does not answer yet", member.name)),
            ),
        }
    }

    /// Ends all connections, and waits a moment for the nodes to be told.
    pub(crate) async fn close(&self) {
        let slots: Vec<Slot> = self
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect();
        for slot in slots {
            if let State::Up(connection) = slot.send_replace(State::Idle) {
                connection.close();
            }
        }
        self.dialer.drain().await;
    }

    fn slot(&self, node: NodeId) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            slots
                .entry(node)
                .or_insert_with(|| Arc::new(watch::Sender::new(State::Idle))),
        )
    }

    fn start(&self, slot: &Slot, member: &Member, cluster: ClusterId) {
        let mut failures = 0;
        let started = slot.send_if_modified(|state| {
            failures = match state {
                State::Dialing { .. } => return false,
                State::Down { failures, .. } => *failures,
                State::Idle | State::Up(_) => 0,
            };
            *state = State::Dialing {
                since: Instant::now(),
                hopeful: failures == 0,
            };
            true
        });
        if started {
            let (dialer, slot, member) =
                (Arc::clone(&self.dialer), Arc::clone(slot), member.clone());
            tokio::spawn(async move {
                let dialled = dialer
                    .dial(&member.client_addresses, Some(member.id), Some(cluster))
                    .await;
                slot.send_replace(settled(dialled, failures, &member));
            });
        }
    }
}

/// What a slot says, an ended connection counting as none.
fn current(slot: &Slot) -> State {
    let state = slot.borrow().clone();
    match state {
        State::Up(connection) if connection.is_closed() => {
            slot.send_if_modified(|now| {
                let ended = matches!(now, State::Up(up) if up.is_closed());
                if ended {
                    *now = State::Idle;
                }
                ended
            });
            State::Idle
        }
        State::Idle | State::Dialing { .. } | State::Up(_) | State::Down { .. } => state,
    }
}

fn settled(dialled: Result<Arc<Connection>, DialError>, failures: u32, member: &Member) -> State {
    match dialled {
        Ok(connection) => State::Up(connection),
        Err(why) => {
            tracing::debug!(node = %member.name, %why, "not reachable");
            State::Down {
                again_at: Instant::now() + pause(failures),
                failures: failures.saturating_add(1),
                why,
            }
        }
    }
}

fn pause(failures: u32) -> Duration {
    (PAUSE_FIRST * 2u32.pow(failures.min(8))).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_bounded() {
        let pauses: Vec<u128> = [0, 1, 2, 4, 5, u32::MAX]
            .map(|failures| pause(failures).as_millis())
            .to_vec();
        assert_eq!(pauses, [500, 1000, 2000, 8000, 8000, 8000]);
    }
}
