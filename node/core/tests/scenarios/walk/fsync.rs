//! Fsyncs: at once, or after a time of choice.

use quorate_core::{BatchSeq, Effect, Input, When};
use quorate_ring::NodeId;

use super::Walk;

/// A step that is written and not fsynced, and what may not be seen before it is.
pub struct Unsynced {
    due_us: u64,
    seq: Option<BatchSeq>,
    effects: Vec<Effect>,
}

impl Walk {
    /// From now on every fsync takes so long.
    pub fn slow_fsyncs(&mut self, ms: u64) {
        self.fsync_us = ms * 1_000;
    }

    /// A step was written. Returns what is performed without waiting.
    pub(super) fn begin_fsync(
        &mut self,
        id: NodeId,
        seq: Option<BatchSeq>,
        effects: Vec<Effect>,
    ) -> Vec<Effect> {
        let node = self.nodes.get_mut(&id).unwrap();
        if self.fsync_us == 0 {
            node.inbox.extend(seq.map(Input::Synced));
            return effects;
        }
        let waits = |effect: &Effect| {
            matches!(
                effect,
                Effect::Word(_)
                    | Effect::Send {
                        when: When::Synced,
                        ..
                    }
            )
        };
        let (later, at_once): (Vec<_>, Vec<_>) = effects.into_iter().partition(waits);
        node.unsynced.push_back(Unsynced {
            due_us: self.now.mono_us + self.fsync_us,
            seq,
            effects: later,
        });
        at_once
    }

    /// Ends the fsyncs that are due.
    pub(super) fn end_fsyncs(&mut self) {
        let now_us = self.now.mono_us;
        for id in self.up().collect::<Vec<_>>() {
            let due = |first: &mut Unsynced| first.due_us <= now_us;
            while let Some(step) = self.nodes.get_mut(&id).unwrap().unsynced.pop_front_if(due) {
                step.seq
                    .into_iter()
                    .for_each(|seq| self.give(id, Input::Synced(seq)));
                step.effects
                    .into_iter()
                    .for_each(|effect| self.perform(id, effect));
            }
        }
    }
}
