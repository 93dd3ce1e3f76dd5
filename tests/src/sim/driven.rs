//! A world that is driven from outside, step by step: requests are sent one by one and awaited, and faults
//! begin and end when the driver says so. What it sends stands in the history like any client's.

use std::collections::BTreeSet;

use quorate_core::Ticket;
use quorate_protocol::client::ClientRequest;
use quorate_ring::RingVersion;

use super::clients::ClientEvent;
use super::config::NetworkPlan;
use super::event::Event;
use super::faults::Fault;
use super::history::{Key, Kind, Operation, Outcome};
use super::network::Link;
use super::serving::CLIENT_DELAY_US;
use super::snipers::Shot;
use super::world::{Waiting, World};

/// The number of the driver among the clients of a world.
pub(super) const DRIVER: usize = usize::MAX;
/// What ends only when the driver says so, microseconds: a year.
pub const UNTIL_TOLD_US: u64 = 365 * 24 * 3_600 * 1_000_000;

/// A request of the driver.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The client in the history.
    pub client: u32,
    /// The node that is asked.
    pub node: usize,
    /// The key.
    pub key: Key,
    /// What the history remembers of it.
    pub kind: Kind,
    /// The request.
    pub request: ClientRequest,
    /// Its deadline, milliseconds.
    pub deadline_ms: u32,
    /// The place in the history of the operation that this is a further try of.
    pub again: Option<usize>,
}

/// A request that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its name.
    pub ticket: Ticket,
    /// Its place in the history.
    pub operation: usize,
}

impl World<'_> {
    /// Sends a request.
    pub fn ask(&mut self, ask: Ask) -> Sent {
        let operation = ask.again.unwrap_or(self.history.operations.len());
        if ask.again.is_none() {
            self.history.operations.push(Operation {
                client: ask.client,
                key: ask.key,
                kind: ask.kind,
                invoked_us: self.at_us,
                completed_us: u64::MAX,
                outcome: Outcome::Pending,
                attempts: 0,
                shown: Vec::new(),
                dot: None,
                unsure: false,
                alone: false,
                only: None,
            });
        }
        self.history.operations[operation].attempts += 1;
        let ticket = self.new_ticket();
        let waiting = Waiting {
            client: DRIVER,
            operation: Some(operation),
        };
        self.waiting.insert(ticket, waiting);
        let event = Event::Request {
            node: ask.node,
            ticket,
            request: Box::new(ask.request),
            deadline_ms: ask.deadline_ms,
        };
        let delay_us = 1 + self.dice.below(CLIENT_DELAY_US);
        self.schedule(delay_us, event);
        Sent { ticket, operation }
    }

    /// Asks a node for something that is about no key, such as a change of the ring.
    pub fn call(&mut self, node: usize, request: ClientRequest, deadline_ms: u32) -> Ticket {
        let ticket = self.new_ticket();
        let waiting = Waiting {
            client: DRIVER,
            operation: None,
        };
        self.waiting.insert(ticket, waiting);
        let event = Event::Request {
            node,
            ticket,
            request: Box::new(request),
            deadline_ms,
        };
        let delay_us = 1 + self.dice.below(CLIENT_DELAY_US);
        self.schedule(delay_us, event);
        ticket
    }

    /// What became of it, once; `None` while nothing did.
    pub fn called(&mut self, ticket: Ticket) -> Option<ClientEvent> {
        self.driven.remove(&ticket).map(|(_, event)| event)
    }

    /// Nobody waits for it any more.
    pub fn hang_up(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
    }

    /// A node's machine is gone, with all that was on its disk.
    pub fn lose_machine(&mut self, node: usize) {
        self.bury(node);
    }

    /// The next shots of the walk, the last one first.
    pub fn aim(&mut self, shots: Vec<Shot>) {
        self.snipers.shots = shots;
    }

    /// The next shot is not fired.
    pub fn skip_shot(&mut self) {
        self.snipers.shots.pop();
    }

    /// How many shots have not been fired.
    #[must_use]
    pub fn shots_left(&self) -> usize {
        self.snipers.shots.len()
    }

    /// Links fare otherwise from now on.
    pub fn set_network(&mut self, plan: NetworkPlan) {
        self.network.set(plan);
    }

    /// What became of a request, once, and when; `None` while nothing did.
    pub fn answer(&mut self, sent: Sent) -> Option<(u64, ClientEvent)> {
        self.driven.remove(&sent.ticket)
    }

    /// The number of the ring in the header of its reply, once.
    pub fn ring_told(&mut self, sent: Sent) -> Option<RingVersion> {
        self.rings_told.remove(&sent.ticket)
    }

    /// Whether something became of a request.
    #[must_use]
    pub fn is_answered(&self, sent: Sent) -> bool {
        self.driven.contains_key(&sent.ticket)
    }

    /// Nobody waits for this request any more.
    pub fn give_up(&mut self, sent: Sent) {
        self.waiting.remove(&sent.ticket);
    }

    pub(super) fn take_driven(&mut self, event: ClientEvent) {
        let ticket = match &event {
            ClientEvent::Go => return,
            ClientEvent::Reply(ticket, _)
            | ClientEvent::Lost(ticket)
            | ClientEvent::Refused(ticket)
            | ClientEvent::TimedOut(ticket) => *ticket,
        };
        self.driven.insert(ticket, (self.at_us, event));
    }

    /// Lets a fault begin.
    pub fn begin_fault(&mut self, fault: Fault) {
        self.trace
            .say(self.at_us, || format!("the walk wants: {fault:?}"));
        self.provoke(fault);
    }

    /// Starts a process that does not run.
    pub fn begin_process(&mut self, node: usize) {
        if !self.nodes[node].is_running() {
            self.start(node);
        }
    }

    /// Lets a process go on that stands still.
    pub fn end_pause(&mut self, node: usize) {
        self.release(node);
    }

    /// Cuts links until [`Self::end_cut`].
    pub fn begin_cut(&mut self, links: BTreeSet<Link>) -> u64 {
        self.network.cut(links)
    }

    /// Ends a cut.
    pub fn end_cut(&mut self, cut: u64) {
        self.network.mend(cut);
    }

    /// Everything from and to a node takes so much longer from now on, microseconds.
    pub fn slow_down(&mut self, node: usize, more_us: u64) {
        self.network.slow(node, more_us);
    }
}
