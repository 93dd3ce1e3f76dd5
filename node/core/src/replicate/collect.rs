//! Collection: a dot-log entry goes when every member has its dot durably and its key needs no
//! context any more. Then the context is dropped whole, and of a deleted object nothing is left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_protocol::ids::{ActorId, Dot, RequestId, StorageId};
use quorate_protocol::limits::RETRY_WINDOW_MS;
use quorate_ring::Class;

use crate::causality::{Clock, Object, VersionVector};
use crate::effects::Note;
use crate::plant::Plant;
use crate::record::{decode_log, keys};
use crate::shared::Cx;
use crate::shelf::Place;
use crate::store::{Family, StoreError};
use crate::vnode::Vnode;

/// Log entries looked at in one tick, over all vnodes.
const ENTRIES_PER_TICK: usize = 1024;
/// Request ids forgotten in one tick.
const REQUESTS_PER_TICK: usize = 4096;

/// Where the collection of one vnode stands.
#[derive(Debug, Default)]
struct Progress {
    /// The storage whose log was gone through: another one has a log of its own.
    storage: Option<StorageId>,
    /// What every member had when the vnode was last gone through to the end.
    common: Clock,
    /// For each actor, up to which counter its entries were looked at.
    looked_at: BTreeMap<ActorId, u64>,
    /// Entries whose key was not ready: looked at again when more is common.
    deferred: BTreeSet<Dot>,
    /// Storage gave no answer somewhere: everything is looked at once more.
    unread: bool,
    /// What was known of all clocks when nothing was left to do.
    done: Option<(u64, u64)>,
}

/// Collection over all vnodes.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    progress: BTreeMap<Class, Progress>,
    /// Request ids by the monotonic time at which they may be forgotten.
    requests: VecDeque<(u64, Class, RequestId)>,
}

impl Collector {
    /// Request ids found in storage are kept for one more window.
    pub(crate) fn open(requests: Vec<(Class, RequestId)>, now_us: u64) -> Self {
        let due_us = now_us + RETRY_WINDOW_MS * 1000;
        let requests = requests
            .into_iter()
            .map(|(class, request)| (due_us, class, request))
            .collect();
        Self {
            progress: BTreeMap::new(),
            requests,
        }
    }

    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        self.forget_requests(cx);
        if !cx.s.writable {
            return;
        }
        let mut budget = ENTRIES_PER_TICK;
        let done = |vnode: &Vnode| {
            let done = self
                .progress
                .get(&vnode.class)
                .map(|progress| progress.done);
            done == Some(Some(vnode.knowledge()))
        };
        let classes: Vec<Class> =
            cx.s.vnodes
                .values()
                .filter(|vnode| vnode.log_entries > 0 && vnode.is_whole() && !done(vnode))
                .map(|vnode| vnode.class)
                .collect();
        for class in classes {
            if budget == 0 {
                return;
            }
            self.collect_class(cx, class, &mut budget);
        }
    }

    fn collect_class(&mut self, cx: &mut Cx<'_>, class: Class, budget: &mut usize) {
        let mut members = cx.s.view.counted(class);
        if cx.s.breaks(Plant::LogDroppedEarly) {
            members.clear();
        }
        // Who is in reach changes without a word of theirs.
        let by_reach = cx.s.breaks(Plant::MarkerDroppedWhileAway);
        if by_reach {
            members.retain(|&member| cx.s.view.is_reachable(member));
        }
        let Some(vnode) = cx.s.vnodes.get(&class) else {
            return;
        };
        let (storage, knowledge) = (Some(vnode.storage), vnode.knowledge());
        // Under-replicated classes have fewer members than n: those that are placed decide.
        let common = vnode.common(&members, cx.s.view.me);
        let progress = self.progress.entry(class).or_default();
        if progress.storage != storage {
            *progress = Progress {
                storage,
                ..Progress::default()
            };
        }
        let usable = common.map(|common| cx.s.settle(class, common));
        let unfinished = usable
            .as_ref()
            .filter(|usable| progress.common != usable.clock);
        let finished =
            unfinished.is_none_or(|usable| progress.collect(cx, class, &usable.clock, budget));
        let finished = finished && usable.is_none_or(|usable| usable.is_all);
        progress.done = (finished && !by_reach).then_some(knowledge);
    }

    fn forget_requests(&mut self, cx: &mut Cx<'_>) {
        let due_us = cx.s.now.mono_us + RETRY_WINDOW_MS * 1000;
        self.requests.extend(
            cx.s.fresh_requests
                .drain(..)
                .map(|(class, request)| (due_us, class, request)),
        );
        for _ in 0..REQUESTS_PER_TICK {
            let ripe = self
                .requests
                .front()
                .is_some_and(|&(due_us, _, _)| due_us <= cx.s.now.mono_us);
            let Some((_, class, request)) = ripe.then(|| self.requests.pop_front()).flatten()
            else {
                return;
            };
            cx.s.delete(Family::Requests, keys::request_key(class, request));
        }
    }
}

impl Progress {
    /// Goes through what may be dropped now. Returns whether that was done to the end.
    fn collect(
        &mut self,
        cx: &mut Cx<'_>,
        class: Class,
        common: &Clock,
        budget: &mut usize,
    ) -> bool {
        let before = *budget;
        let mut dropped = false;
        self.unread = false;
        let deferred: Vec<Dot> = self.deferred.iter().copied().take(*budget).collect();
        for dot in deferred {
            *budget -= 1;
            let key = keys::log_key(class, dot);
            let record = cx.get(Family::Log, &key);
            let record = cx.watch(class, record);
            self.unread |= record.is_err();
            let record = match record {
                Ok(Some(record)) => record,
                Ok(None) => {
                    self.deferred.remove(&dot); // cut
                    continue;
                }
                Err(_) => continue,
            };
            if self.collect_entry(cx, (class, dot), &record, common) {
                self.deferred.remove(&dot);
                dropped = true;
            }
        }
        self.looked_at.retain(|actor, _| !common.has_folded(*actor));
        let actors = std::iter::once(ActorId::FOLDED).chain(common.actors());
        for actor in actors.collect::<Vec<_>>() {
            dropped |= self.collect_actor(cx, class, actor, common, budget);
        }
        if dropped {
            cx.s.store_vnode(class);
        }
        let finished = !self.unread && (*budget > 0 || before == 0);
        if finished {
            self.common = common.clone();
        }
        finished
    }

    /// Goes through the log entries of one actor, or of all that are folded: a vnode that was filled again may have some.
    fn collect_actor(
        &mut self,
        cx: &mut Cx<'_>,
        class: Class,
        actor: ActorId,
        common: &Clock,
        budget: &mut usize,
    ) -> bool {
        let looked_at = self.looked_at.entry(actor).or_insert(0);
        let folded = actor == ActorId::FOLDED;
        let last = if folded {
            common.folded()
        } else {
            common.base(actor)
        };
        if last <= *looked_at || *budget == 0 {
            return false;
        }
        let range = if folded {
            keys::log_generations_range(class, last)
        } else {
            keys::log_run_range(class, actor, *looked_at + 1, last - *looked_at)
        };
        let mut entries: Vec<(Dot, Bytes)> = Vec::new();
        let limit = *budget;
        let scanned = cx.scan(Family::Log, range, |key, record| {
            if let Some((_, dot)) = keys::parse_log_key(key) {
                entries.push((dot, Bytes::copy_from_slice(record)));
            }
            if entries.len() >= limit {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if cx.watch(class, scanned).is_err() {
            self.unread = true;
            return false; // tried again at the next tick
        }
        *budget -= entries.len();
        let complete = entries.len() < limit;
        *looked_at = if complete {
            last
        } else if folded {
            *looked_at // those that went make room
        } else {
            entries.last().map_or(last, |(dot, _)| dot.counter)
        };
        let mut dropped = false;
        for (dot, record) in entries {
            if self.collect_entry(cx, (class, dot), &record, common) {
                dropped = true;
            } else {
                self.deferred.insert(dot);
            }
        }
        dropped
    }

    /// Drops one log entry, if its key is ready and can be read. Returns whether it went.
    fn collect_entry(
        &mut self,
        cx: &mut Cx<'_>,
        (class, dot): (Class, Dot),
        record: &Bytes,
        common: &Clock,
    ) -> bool {
        let collected = cx.collect_entry(class, dot, record, common);
        self.unread |= collected.is_err();
        collected.unwrap_or(false)
    }
}

impl Cx<'_> {
    /// Drops one log entry, if its key is ready. Returns whether it went.
    ///
    /// # Errors
    /// The key's object could not be read.
    fn collect_entry(
        &mut self,
        class: Class,
        dot: Dot,
        record: &Bytes,
        common: &Clock,
    ) -> Result<bool, StoreError> {
        let key = keys::log_key(class, dot);
        let Ok(entry) = decode_log(&key, record) else {
            self.s.mark_damaged(class);
            return Ok(false);
        };
        let place = Place {
            class,
            bucket: entry.bucket,
            key: entry.key,
        };
        let loaded = self.load(&place);
        let object = self.watch(class, loaded)?;
        if !self.drop_context(&place, object, common) {
            return Ok(false);
        }
        self.s.drop_log_entry(&place, dot);
        self.s.note(Note::LogDropped);
        Ok(true)
    }

    /// What may be dropped of a class now; `None` while a member has not said what it has.
    pub(crate) fn droppable(&mut self, class: Class) -> Option<Clock> {
        let members = self.s.view.counted(class);
        let vnode = self.s.vnodes.get(&class).filter(|vnode| vnode.is_whole())?;
        let common = vnode.common(&members, self.s.view.me)?;
        Some(self.s.settle(class, common).clock)
    }

    /// Drops a key's context if every member durably has all that it names, all versions, and all
    /// logged deletes of the key. Returns whether the key needs no log entry any more.
    pub(crate) fn drop_context(&mut self, place: &Place, object: Object, common: &Clock) -> bool {
        let deletes_known = self.s.breaks(Plant::ContextDroppedEarly)
            || self
                .s
                .vnodes
                .get(&place.class)
                .is_some_and(|vnode| vnode.deletes_are_in(common, place.bucket, &place.key));
        let settled = deletes_known && object.context_needless_for(common);
        if !settled {
            self.s.note_strangers(place.class, &object.context);
        }
        if settled && !object.context.is_empty() {
            let bare = Object {
                versions: object.versions.clone(),
                context: VersionVector::new(),
            };
            self.s.store_object(place, &object, &bare);
            self.s.note(if bare.is_empty() {
                Note::ObjectRemoved
            } else {
                Note::ContextDropped
            });
        }
        settled
    }
}
