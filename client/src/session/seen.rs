//! What a session has seen, bounded.

use std::collections::{BTreeMap, VecDeque};

use quorate_protocol::client::SessionNeed;
use quorate_protocol::limits::SESSION_DOTS_MAX;
use quorate_protocol::{ActorId, Dot};
use quorate_ring::Class;

/// Writes seen, per replication class.
///
/// An exact write is a dot in `order`. When there are too many, the oldest is folded: its actor's
/// bound in `up_to` rises to it, and the actor's other dots below are covered by that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Exact writes, the oldest first.
    order: VecDeque<(Class, Dot)>,
    /// All writes of an actor up to this one.
    up_to: BTreeMap<(Class, ActorId), u64>,
}

impl Seen {
    /// Adds exact writes of one class.
    pub(super) fn add(&mut self, class: Class, dots: &[Dot]) {
        for &dot in dots {
            if !self.covers(class, dot) {
                self.order.push_back((class, dot));
            }
        }
        self.fold(SESSION_DOTS_MAX);
    }

    /// Adds a bound: all writes of an actor up to `counter`.
    pub(super) fn add_up_to(&mut self, class: Class, actor: ActorId, counter: u64) {
        let bound = self.up_to.entry((class, actor)).or_default();
        *bound = (*bound).max(counter);
        let bound = *bound;
        self.order
            .retain(|(of, dot)| *of != class || dot.actor != actor || dot.counter > bound);
    }

    /// Adds everything that another session has seen.
    pub(super) fn merge(&mut self, other: Self) {
        for ((class, actor), counter) in other.up_to {
            self.add_up_to(class, actor, counter);
        }
        for (class, dot) in other.order {
            self.add(class, &[dot]);
        }
    }

    /// What a read of this class must know; `None` if nothing in particular.
    pub(super) fn need(&self, class: Class) -> Option<SessionNeed> {
        let dots: Vec<Dot> = self
            .order
            .iter()
            .filter(|(of, _)| *of == class)
            .map(|(_, dot)| *dot)
            .collect();
        let up_to: Vec<(ActorId, u64)> = self
            .bounds()
            .filter(|(of, ..)| *of == class)
            .map(|(_, actor, counter)| (actor, counter))
            .collect();
        (!dots.is_empty() || !up_to.is_empty()).then_some(SessionNeed { dots, up_to })
    }

    /// The exact writes, the oldest first.
    pub(super) fn exact(&self) -> impl Iterator<Item = (Class, Dot)> {
        self.order.iter().copied()
    }

    /// The bounds.
    pub(super) fn bounds(&self) -> impl Iterator<Item = (Class, ActorId, u64)> {
        self.up_to
            .iter()
            .map(|(&(class, actor), &counter)| (class, actor, counter))
    }

    fn covers(&self, class: Class, dot: Dot) -> bool {
        self.up_to
            .get(&(class, dot.actor))
            .is_some_and(|&bound| dot.counter <= bound)
            || self.order.contains(&(class, dot))
    }

    fn fold(&mut self, most: usize) {
        while self.order.len() > most {
            let Some((class, dot)) = self.order.pop_front() else {
                return;
            };
            self.add_up_to(class, dot.actor, dot.counter);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use quorate_ring::PartitionId;

    use super::*;

    const CLASS: Class = Class {
        n: 3,
        partition: PartitionId::new(1),
    };
    const OTHER: Class = Class {
        n: 3,
        partition: PartitionId::new(2),
    };

    fn dot(actor: u64, counter: u64) -> Dot {
        Dot::new(ActorId::new(actor), counter)
    }

    #[test]
    fn a_class_asks_for_its_own_writes_only() {
        let mut seen = Seen::default();
        seen.add(CLASS, &[dot(1, 1), dot(1, 1), dot(2, 7)]);
        assert_eq!(seen.need(CLASS).unwrap().dots, [dot(1, 1), dot(2, 7)]);
        assert_eq!(seen.need(OTHER), None);
    }

    #[test]
    fn the_memory_stays_bounded_and_forgets_nothing() {
        let mut seen = Seen::default();
        let all: Vec<Dot> = (1..=5000).map(|number| dot(number % 7, number)).collect();
        all.iter().for_each(|&dot| seen.add(CLASS, &[dot]));
        let need = seen.need(CLASS).unwrap();
        assert_eq!(need.dots.len(), SESSION_DOTS_MAX);
        assert_eq!(need.up_to.len(), 7);
        let covered = |dot: &Dot| {
            need.dots.contains(dot)
                || need
                    .up_to
                    .iter()
                    .any(|&(actor, bound)| actor == dot.actor && dot.counter <= bound)
        };
        assert!(all.iter().all(covered));
    }

    #[test]
    fn a_bound_takes_the_place_of_what_it_covers() {
        let mut seen = Seen::default();
        seen.add(CLASS, &[dot(1, 1), dot(1, 9), dot(2, 1)]);
        seen.add(OTHER, &[dot(1, 2)]);
        seen.add_up_to(CLASS, ActorId::new(1), 5);
        assert_eq!(seen.need(CLASS).unwrap().dots, [dot(1, 9), dot(2, 1)]);
        assert_eq!(seen.need(OTHER).unwrap().dots, [dot(1, 2)]);
        seen.add(CLASS, &[dot(1, 4)]);
        assert_eq!(seen.need(CLASS).unwrap().dots.len(), 2);
        seen.add_up_to(CLASS, ActorId::new(1), 3);
        assert_eq!(seen.need(CLASS).unwrap().up_to, [(ActorId::new(1), 5)]);
    }

    #[test]
    fn merged_sessions_have_seen_what_both_have() {
        let (mut one, mut two) = (Seen::default(), Seen::default());
        one.add(CLASS, &[dot(1, 1)]);
        two.add(CLASS, &[dot(1, 1), dot(1, 2)]);
        two.add_up_to(CLASS, ActorId::new(3), 4);
        one.merge(two);
        assert_eq!(
            one.need(CLASS).unwrap(),
            SessionNeed {
                dots: vec![dot(1, 1), dot(1, 2)],
                up_to: vec![(ActorId::new(3), 4)]
            }
        );
    }
}
