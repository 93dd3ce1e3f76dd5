//! Proposals that wait for their version.

use std::collections::BTreeMap;

use quorate_protocol::RequestId;
use quorate_protocol::versioned::MapName;

use super::version::Version;
use crate::effects::Ticket;

/// Most proposals that wait at one node: people and their tools make them.
pub(super) const WAITING_MAX: usize = 64;

/// Who waits, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) ticket: Ticket,
    pub(super) deadline_us: u64,
}

/// A version that somebody wants.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) version: Version,
    /// What the change was computed from.
    pub(super) base: MapName,
    /// Some voter may have accepted it.
    pub(super) offered: bool,
    waiters: Vec<Waiter>,
}

/// All proposals that wait, in the order of their request ids: which one goes first is of no concern, since one
/// at most wins.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(BTreeMap<RequestId, Wanted>);

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= WAITING_MAX
    }

    pub(super) fn has(&self, request: RequestId) -> bool {
        self.0.contains_key(&request)
    }

    /// Joins those who wait for the same request.
    pub(super) fn join(&mut self, request: RequestId, waiter: Waiter) {
        if let Some(wanted) = self.0.get_mut(&request) {
            wanted.waiters.push(waiter);
        }
    }

    pub(super) fn add(&mut self, version: Version, base: MapName, waiter: Waiter) {
        let request = version.map().change.request;
        let wanted = Wanted {
            version,
            base,
            offered: false,
            waiters: vec![waiter],
        };
        self.0.insert(request, wanted);
    }

    pub(super) fn first(&self) -> Option<&Version> {
        self.0.values().next().map(|wanted| &wanted.version)
    }

    pub(super) fn requests(&self) -> Vec<RequestId> {
        self.0.keys().copied().collect()
    }

    /// Voters are asked for a version of this request.
    pub(super) fn offered(&mut self, request: RequestId) {
        if let Some(wanted) = self.0.get_mut(&request) {
            wanted.offered = true;
        }
    }

    /// Ends all of them.
    pub(super) fn take_all(&mut self) -> Vec<(Wanted, Vec<Ticket>)> {
        let all = std::mem::take(&mut self.0);
        let tickets = |waiters: &[Waiter]| waiters.iter().map(|waiter| waiter.ticket).collect();
        all.into_values()
            .map(|wanted| {
                let tickets = tickets(&wanted.waiters);
                (wanted, tickets)
            })
            .collect()
    }

    /// Those whose time is over, and whether a voter may have accepted what they want. What nobody
    /// waits for any more is forgotten.
    pub(super) fn take_late(&mut self, now_us: u64) -> Vec<(Ticket, bool)> {
        let mut late = Vec::new();
        for wanted in self.0.values_mut() {
            let offered = wanted.offered;
            let over = |waiter: &Waiter| waiter.deadline_us <= now_us;
            let gone = wanted.waiters.iter().filter(|waiter| over(waiter));
            late.extend(gone.map(|waiter| (waiter.ticket, offered)));
            wanted.waiters.retain(|waiter| !over(waiter));
        }
        self.0.retain(|_, wanted| !wanted.waiters.is_empty());
        late
    }

    pub(super) fn next_deadline_us(&self) -> u64 {
        let waiters = self.0.values().flat_map(|wanted| &wanted.waiters);
        waiters
            .map(|waiter| waiter.deadline_us)
            .min()
            .unwrap_or(u64::MAX)
    }
}
