//! Requests that a shard's replica owes a reply.

use std::collections::BTreeMap;

use quorate_core::effects::Ticket;
use quorate_protocol::frame::Header;

use crate::net::ClientKey;

/// Who waits for a reply, and with what header it asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) client: ClientKey,
    pub(super) header: Header,
    /// Whether other nodes may have stored something for it already.
    pub(super) writes: bool,
}

/// The open requests of one shard.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    next: u64,
    open: BTreeMap<Ticket, Waiting>,
}

impl Tickets {
    /// Names a new request.
    pub(super) fn issue(&mut self, client: ClientKey, header: Header, writes: bool) -> Ticket {
        self.next += 1;
        let ticket = Ticket(self.next);
        let waiting = Waiting {
            client,
            header,
            writes,
        };
        self.open.insert(ticket, waiting);
        ticket
    }

    /// Ends a request; `None` if its client has gone.
    pub(super) fn close(&mut self, ticket: Ticket) -> Option<Waiting> {
        self.open.remove(&ticket)
    }

    /// Forgets all requests of a client that went away, and names them in the order of their coming.
    pub(super) fn forget(&mut self, client: ClientKey) -> Vec<Ticket> {
        let gone: Vec<Ticket> = self
            .open
            .iter()
            .filter(|(_, waiting)| waiting.client == client)
            .map(|(&ticket, _)| ticket)
            .collect();
        for ticket in &gone {
            self.open.remove(ticket);
        }
        gone
    }

    /// Ends all requests, in the order of their coming.
    pub(super) fn close_all(&mut self) -> impl Iterator<Item = Waiting> {
        std::mem::take(&mut self.open).into_values()
    }

    /// Open requests.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_went_away_is_owed_nothing() {
        let mut tickets = Tickets::default();
        let first = tickets.issue(ClientKey(1), Header::default(), false);
        let other = tickets.issue(ClientKey(2), Header::default(), false);
        let second = tickets.issue(ClientKey(1), Header::default(), false);
        assert_eq!(tickets.forget(ClientKey(1)), [first, second]);
        assert!(tickets.close(first).is_none());
        assert!(
            tickets
                .close(other)
                .is_some_and(|waiting| waiting.client == ClientKey(2))
        );
        assert_eq!(tickets.len(), 0);
    }
}
