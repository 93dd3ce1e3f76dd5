//! Between clients and nodes: what clients want done, and what becomes of it.

use quorate_core::Ticket;

use super::clients::{ClientEvent, ClientWant, Shared};
use super::driven::DRIVER;
use super::event::Event;
use super::world::{Waiting, World};

/// The way between a client and a node takes so long at most, microseconds.
pub(super) const CLIENT_DELAY_US: u64 = 1_000;

impl World<'_> {
    pub(super) fn tell(&mut self, ticket: Ticket, event: ClientEvent) {
        let Some(client) = self.waiting.remove(&ticket).map(|waiting| waiting.client) else {
            return;
        };
        let delay_us = 1 + self.dice.below(CLIENT_DELAY_US);
        self.schedule(delay_us, Event::Client(client, event));
    }

    pub(super) fn client(&mut self, client: usize, event: ClientEvent) {
        if client == DRIVER {
            return self.take_driven(event);
        }
        if client >= self.clients.len() {
            return self.asker(client, event);
        }
        let nodes = self.asked_nodes();
        let mut shared = Shared {
            at_us: self.at_us,
            history: &mut self.history,
            counters: &mut self.counters,
            map: &self.config.map,
            nodes: &nodes,
            last_write: &mut self.last_write,
            last_ticket: &mut self.last_ticket,
            keys: self.config.keys,
            strict: self.config.strict,
            expiring: self.config.expiring,
            explain: self.config.turnover.forced || self.config.turnover.majority_us.is_some(),
            think_us: self.config.think_us,
            healed: self.healed,
            wants: Vec::new(),
        };
        self.clients[client].on_event(&mut shared, event);
        let wants = shared.wants;
        self.grant_client(client, wants);
    }

    /// Does what a client wants.
    pub(super) fn grant_client(&mut self, client: usize, wants: Vec<ClientWant>) {
        for want in wants {
            match want {
                ClientWant::After(after_us, event) => {
                    self.schedule(after_us, Event::Client(client, event));
                }
                ClientWant::Send {
                    node,
                    ticket,
                    operation,
                    request,
                    deadline_ms,
                } => {
                    self.waiting.insert(ticket, Waiting { client, operation });
                    let delay_us = 1 + self.dice.below(CLIENT_DELAY_US);
                    let event = Event::Request {
                        node,
                        ticket,
                        request,
                        deadline_ms,
                    };
                    self.schedule(delay_us, event);
                }
            }
        }
    }
}
