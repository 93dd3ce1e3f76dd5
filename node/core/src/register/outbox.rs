//! What may leave only once a state is durable.

use std::collections::VecDeque;

use super::effects::RegisterEffect;

/// Effects on their way out, and the numbers of the states that they rest on.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    /// Number of the newest state that was given out to be persisted.
    latest: u64,
    durable: u64,
    /// The state changed since `latest`.
    changed: bool,
    now: Vec<RegisterEffect>,
    /// In the order of their numbers.
    waiting: VecDeque<(u64, RegisterEffect)>,
}

impl Outbox {
    /// Notes a change of the state.
    pub(super) fn changed(&mut self) {
        self.changed = true;
    }

    /// Takes the driver's word; a number that was never given out says nothing.
    pub(super) fn persisted(&mut self, number: u64) {
        self.durable = self.durable.max(number.min(self.latest));
    }

    /// Leaves at once: rests on nothing.
    pub(super) fn now(&mut self, effect: RegisterEffect) {
        self.now.push(effect);
    }

    /// Leaves when the state as it is now is durable.
    pub(super) fn once_durable(&mut self, effect: RegisterEffect) {
        let number = self.latest + u64::from(self.changed);
        self.waiting.push_back((number, effect));
    }

    /// The number under which the state is to be persisted, if it changed since the last time.
    pub(super) fn take_number(&mut self) -> Option<u64> {
        if !self.changed {
            return None;
        }
        self.changed = false;
        self.latest += 1;
        Some(self.latest)
    }

    /// What may leave, in order.
    pub(super) fn flush(&mut self) -> Vec<RegisterEffect> {
        let ready = self
            .waiting
            .partition_point(|(number, _)| *number <= self.durable);
        let mut effects = std::mem::take(&mut self.now);
        effects.extend(self.waiting.drain(..ready).map(|(_, effect)| effect));
        effects
    }
}
