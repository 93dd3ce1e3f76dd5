//! One vnode of the model: its copies and clock, and beside them the set of all that it knows.

use std::collections::BTreeMap;

use quorate_core::causality::{Clock, Object, merge};
use quorate_protocol::{ActorId, Dot};

use super::{Dots, KEYS, Key, Ship};

#[derive(Clone, Debug)]
pub(crate) struct Vnode {
    pub(crate) issuer: Issuer,
    pub(crate) clock: Clock,
    pub(crate) log: BTreeMap<Dot, Key>,
    pub(crate) objects: [Object; KEYS],
    pub(crate) known: [Dots; KEYS],
}

/// One actor and how much it wrote.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    actor: ActorId,
    minted: u64,
}

impl Issuer {
    /// A new actor, which never wrote.
    pub(crate) fn next(actors: &mut u64) -> Self {
        *actors += 1;
        // Scattered, so that the order of actors is not that of their births.
        Self {
            actor: ActorId::new(actors.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            minted: 0,
        }
    }

    pub(crate) fn mint(&mut self) -> Dot {
        self.minted += 1;
        Dot::new(self.actor, self.minted)
    }
}

impl Vnode {
    pub(crate) fn receive(&mut self, ship: &Ship) {
        let local = &self.objects[ship.key];
        let merged = merge(
            local,
            &|dot| self.clock.contains(dot),
            &ship.object,
            &ship.settles,
        );
        assert_eq!(merged.changed, merged.object != *local);
        self.objects[ship.key] = merged.object;
        self.known[ship.key].extend(&ship.known);
        self.settle(ship.key, &ship.settles);
    }

    pub(crate) fn settle(&mut self, key: Key, dots: &[Dot]) {
        for dot in dots {
            if self.clock.add(*dot) {
                self.log.insert(*dot, key);
            }
        }
    }

    /// The objects behind the dots that are here and not in `clock`.
    pub(crate) fn answer(&self, clock: &Clock) -> Vec<Ship> {
        let runs = clock.missing_from(&self.clock);
        let missing: Dots = runs
            .flat_map(|(actor, first, length)| {
                (first..first + length).map(move |at| Dot::new(actor, at))
            })
            .collect();
        let ship = |key: Key| Ship {
            key,
            object: self.objects[key].clone(),
            settles: missing
                .iter()
                .filter(|dot| self.log[dot] == key)
                .copied()
                .collect(),
            known: self.known[key].clone(),
        };
        (0..KEYS)
            .map(ship)
            .filter(|ship| !ship.settles.is_empty())
            .collect()
    }
}
