//! A node tells its word, while the map asks for something: whenever it changes, and every few seconds, since messages
//! get lost. It tells those who make the next version: the few members with the lowest ids that answer it. So a change of
//! the ring costs a few messages of each member, however many there are.

use std::collections::BTreeSet;

use quorate_protocol::ids::StorageId;
use quorate_protocol::limits::WORD_ITEMS_MAX;
use quorate_protocol::peer::{MapClaim, MapLeft, MapWord};
use quorate_protocol::versioned::{ClassRecord, ClassState};
use quorate_ring::NodeId;

use super::{Keeper, KeeperEffect};
use crate::effects::Now;
use crate::moves::Said;

/// How many members hear words, and make versions of them.
const HEARERS: usize = 3;
/// A word that changed is told after that time, with what changes meanwhile, microseconds.
const SOON_US: u64 = 50_000;
/// One that did not is told again after that time, microseconds.
const AGAIN_US: u64 = 2_000_000;

/// The word for the wire.
fn to_wire(storage: StorageId, said: Said) -> MapWord {
    let claims = said.word.complete.into_iter().map(|claim| MapClaim {
        class: claim.class,
        vnode: claim.vnode,
        epoch: claim.epoch,
    });
    let left = said.word.departing;
    let few = left.len() <= WORD_ITEMS_MAX;
    let left = left
        .into_iter()
        .map(|(class, vnode)| MapLeft { class, vnode });
    MapWord {
        storage,
        version: said.word.version,
        complete: claims.take(WORD_ITEMS_MAX).collect(),
        departing: few.then(|| left.collect()),
        hinting: said.hinting,
    }
}

impl Keeper {
    /// Whether the map asks for anything: then words are told, and versions made of them.
    pub(super) fn is_under_way(&self) -> bool {
        let version = self.register.newest().map();
        let votes = |node| version.voter(node).is_some() || version.going(node).is_some();
        let moves = |record: &ClassRecord| {
            record.state != ClassState::Stable || !record.departing.is_empty()
        };
        version.before.is_some()
            || !version.going.is_empty()
            || version.map.members.iter().any(|member| !votes(member.id))
            || version.records.iter().any(moves)
    }

    /// The members with the lowest ids that answer, this node among them.
    pub(super) fn hearers(&self) -> Vec<NodeId> {
        let members = self.register.newest().map().map.members.iter();
        let here = |node: &NodeId| *node == self.config.me || self.up.contains(node);
        let answer = members.map(|member| member.id).filter(here);
        answer.take(HEARERS).collect()
    }

    /// Something may be told that was not told: soon.
    pub(super) fn plan_to_tell(&mut self, now: Now) {
        let soon_us = now.mono_us.saturating_add(SOON_US);
        let at_us = self.words.tell_at_us.unwrap_or(u64::MAX).min(soon_us);
        self.words.tell_at_us = Some(at_us);
    }

    /// Tells what is to be told by now.
    pub(super) fn tell_word(&mut self, now: Now, effects: &mut Vec<KeeperEffect>) {
        if self
            .words
            .tell_at_us
            .is_none_or(|at_us| at_us > now.mono_us)
        {
            return;
        }
        self.words.tell_at_us = None;
        if !self.is_under_way() {
            self.words.told = None;
            return;
        }
        self.plan_to_go_on(now);
        self.words.tell_at_us = Some(now.mono_us.saturating_add(AGAIN_US));
        let Some(own) = self.words.own() else {
            return;
        };
        let me = self.config.me;
        let word = to_wire(self.config.storage, own);
        let hearers: BTreeSet<NodeId> = self.hearers().into_iter().filter(|&to| to != me).collect();
        if let Some((told, heard_by, at_us)) = &self.words.told {
            let again_us = at_us.saturating_add(AGAIN_US);
            if (told, heard_by) == (&word, &hearers) && again_us > now.mono_us {
                self.words.tell_at_us = Some(again_us);
                return;
            }
        }
        for &to in &hearers {
            let message = word.clone().into();
            effects.push(KeeperEffect::Send { to, message });
        }
        self.words.told = Some((word, hearers, now.mono_us));
    }
}
