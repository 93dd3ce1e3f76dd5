//! The dot log has a bound: while a member is away, every write leaves an entry for it, and it may be away for
//! ever.
//!
//! Beyond the bound the oldest entries go, whoever lacks their writes: of each actor the eighth part that was
//! logged first, until the rest fits. What the log does not answer is *gone* ([`super::anti_entropy`]), and a
//! member that lacks it is filled by pages, in which only what differs is handed over
//! ([`super::rebuild`]). Until then its absences count for nothing, as those of anybody who is behind.
//!
//! Contexts that hang on these entries are dropped by the scrub. None is needed for what is gone: who lacks that write
//! judges every key by the sender's whole clock.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_protocol::ids::{ActorId, Dot};
use quorate_ring::Class;

use crate::effects::Note;
use crate::plant::Plant;
use crate::record::{decode_log, keys};
use crate::shared::Cx;
use crate::shelf::Place;
use crate::store::{Family, StoreError};

/// Entries looked at in one tick.
const ENTRIES_PER_TICK: usize = 1024;
/// Of what an actor has in the log, this part goes at once.
const PART: u64 = 8;

/// Where cutting stands.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    /// Up to which counter each actor's entries were cut in this life.
    upto: BTreeMap<(Class, ActorId), u64>,
    /// The actor cut last: the others come before it.
    last: Option<(Class, ActorId)>,
}

impl Cutter {
    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        let most = cx.s.timing.log_bytes_max;
        let vnodes = cx.s.vnodes.values();
        let over = vnodes.filter(|vnode| vnode.log_bytes > most && vnode.is_whole());
        let over: Vec<Class> = over.map(|vnode| vnode.class).collect();
        if over.is_empty() || !cx.s.writable {
            return;
        }
        let mut budget = ENTRIES_PER_TICK;
        for class in over {
            self.cut(cx, class, most, &mut budget);
        }
    }

    fn cut(&mut self, cx: &mut Cx<'_>, class: Class, most: u64, budget: &mut usize) {
        let Some(vnode) = cx.s.vnodes.get(&class) else {
            return;
        };
        let after = self
            .last
            .filter(|(of, _)| *of == class)
            .map(|(_, actor)| actor);
        let actors: Vec<(ActorId, u64)> = vnode
            .clock
            .actors()
            .map(|actor| (actor, vnode.clock.last(actor)))
            .collect();
        let first = actors.partition_point(|(actor, _)| after.is_some_and(|after| *actor <= after));
        let before = *budget;
        for &(actor, last) in actors[first..].iter().chain(&actors[..first]) {
            let fits = |cx: &Cx<'_>| {
                let vnode = cx.s.vnodes.get(&class);
                vnode.is_none_or(|vnode| vnode.log_bytes <= most)
            };
            if *budget == 0 || fits(cx) {
                break;
            }
            self.last = Some((class, actor));
            self.cut_actor(cx, class, actor, last, budget);
        }
        if *budget < before {
            let forgets = cx.s.breaks(Plant::CutForgotten);
            if let Some(vnode) = cx.s.vnodes.get_mut(&class).filter(|_| !forgets) {
                vnode.note_cut();
            }
            cx.s.store_vnode(class);
        }
    }

    /// Cuts the first entries of one actor.
    fn cut_actor(
        &mut self,
        cx: &mut Cx<'_>,
        class: Class,
        actor: ActorId,
        last: u64,
        budget: &mut usize,
    ) {
        let upto = self.upto.entry((class, actor)).or_insert(0);
        let length = last.saturating_sub(*upto).div_ceil(PART);
        let range = keys::log_run_range(class, actor, *upto + 1, length);
        let cut = cx.cut_range(class, range, *budget);
        let Ok(looked_at) = cx.watch(class, cut) else {
            return; // tried again at the next tick
        };
        *upto = match looked_at.last() {
            Some(dot) if looked_at.len() == *budget => dot.counter,
            Some(_) | None => *upto + length,
        };
        *budget -= looked_at.len().clamp(1, *budget); // looking costs as well
    }
}

impl Cx<'_> {
    /// Drops the log entries of a range, at most `limit`; says which it came across.
    fn cut_range(
        &mut self,
        class: Class,
        range: keys::KeyRange,
        limit: usize,
    ) -> Result<Vec<Dot>, StoreError> {
        let mut found = Vec::new();
        self.scan(Family::Log, range, |key, record| {
            found.push((key.to_vec(), Bytes::copy_from_slice(record)));
            if found.len() >= limit {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        let mut looked_at = Vec::new();
        for (key, record) in found {
            let (Some((_, dot)), Ok(entry)) =
                (keys::parse_log_key(&key), decode_log(&key, &record))
            else {
                self.s.mark_damaged(class);
                break;
            };
            looked_at.push(dot);
            if self.get(Family::Log, &key)?.is_none() {
                continue; // collected in this step
            }
            let place = Place {
                class,
                bucket: entry.bucket,
                key: entry.key,
            };
            self.s.drop_log_entry(&place, dot);
            self.s.note(Note::LogCut);
        }
        Ok(looked_at)
    }
}
