//! What may leave only once a state is durable.

use std::collections::VecDeque;
use std::sync::Arc;

use quorate_protocol::map::ClusterMap;

use super::AgreementEffect;

/// Effects on their way out, and the numbers of the states that they rest on.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    /// Number of the newest state that was given out to be persisted.
    latest: u64,
    durable: u64,
    /// The state changed since `latest`.
    changed: bool,
    now: Vec<AgreementEffect>,
    /// In the order of their numbers.
    waiting: VecDeque<(u64, AgreementEffect)>,
}

impl Outbox {
    /// Notes a change of state in this call.
    pub(super) fn changed(&mut self) {
        self.changed = true;
    }

    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    /// Number of the state as it is now.
    pub(super) fn number(&self) -> u64 {
        self.latest + u64::from(self.changed)
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// Takes the driver's word; a number that was never given out says nothing.
    pub(super) fn persisted(&mut self, number: u64) {
        self.durable = self.durable.max(number.min(self.latest));
    }

    /// Leaves at the end of this call: rests on nothing, or promises nothing.
    pub(super) fn now(&mut self, effect: AgreementEffect) {
        self.now.push(effect);
    }

    /// Leaves when the state as it is now is durable.
    pub(super) fn once_durable(&mut self, effect: AgreementEffect) {
        self.waiting.push_back((self.number(), effect));
    }

    /// The map as it will be when all that waits has left.
    pub(super) fn announced<'a>(&'a self, current: &'a Arc<ClusterMap>) -> &'a Arc<ClusterMap> {
        let newest = self
            .waiting
            .iter()
            .rev()
            .find_map(|(_, effect)| map_of(effect));
        newest.unwrap_or(current)
    }

    /// The map's change leaves before whatever else rests on the present state.
    pub(super) fn announce(&mut self, map: Arc<ClusterMap>) {
        let number = self.number();
        let at = self
            .waiting
            .partition_point(|(waits_for, _)| *waits_for < number);
        self.waiting
            .insert(at, (number, AgreementEffect::MapChanged(map)));
    }

    /// Gives the state out to be persisted.
    pub(super) fn persist(&mut self, bytes: Vec<u8>) {
        self.latest = self.number();
        self.changed = false;
        self.now.push(AgreementEffect::Persist {
            number: self.latest,
            bytes,
        });
    }

    /// Lets out what may leave; returns the newest map among it.
    pub(super) fn flush(&mut self, effects: &mut Vec<AgreementEffect>) -> Option<Arc<ClusterMap>> {
        effects.append(&mut self.now);
        let ready = self
            .waiting
            .partition_point(|(number, _)| *number <= self.durable);
        let mut map = None;
        for (_, effect) in self.waiting.drain(..ready) {
            map = map_of(&effect).cloned().or(map);
            effects.push(effect);
        }
        map
    }
}

fn map_of(effect: &AgreementEffect) -> Option<&Arc<ClusterMap>> {
    if let AgreementEffect::MapChanged(map) = effect {
        Some(map)
    } else {
        None
    }
}
