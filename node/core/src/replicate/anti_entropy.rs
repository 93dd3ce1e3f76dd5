//! Anti-entropy by clocks: tell peers what one has, ask for what they have and one lacks, answer
//! from the dot log. Its cost is proportional to what is missing.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_protocol::ids::{ActorId, Dot};
use quorate_protocol::limits::{BATCH_BYTES, BATCH_ITEMS_MAX};
use quorate_protocol::peer::{
    Clocks, DotsAnswer, DotsAsk, Remembered, SettledObject, VnodeClock, writes_in,
};
use quorate_ring::{BucketId, Class, NodeId};

use crate::causality::{CLOCK_ACTORS_MAX, Clock};
use crate::effects::{Note, Priority};
use crate::plant::Plant;
use crate::record::keys::{self, ChunkOwner};
use crate::record::{RebuildStage, decode_log};
use crate::replicate::handoff::arrival;
use crate::replicate::questions::Questions;
use crate::shared::{Cx, Shared};
use crate::shelf::{Place, damaged};
use crate::store::{Family, StoreError};
use crate::vnode::{PeerVnode, Vnode};

/// Questions under way at a time, over all classes: the budget that keeps repair in the background.
const QUESTIONS_MAX: usize = 16;

/// Clocks in one frame: with hundreds of actors each they still fit its bounds.
const CLOCKS_PER_FRAME: usize = 256;

/// Anti-entropy of one replica.
#[derive(Debug, Default)]
pub(crate) struct AntiEntropy {
    /// Revision of each vnode last told to each peer.
    told: BTreeMap<(NodeId, Class), u64>,
    told_us: u64,
    told_all_us: u64,
    questions: Questions,
    /// Who was asked last: the others come before it, so that one silent peer cannot keep a vnode from
    /// asking those that would answer.
    asked: BTreeMap<Class, NodeId>,
    /// Vnodes that lacked nothing, by what they and their peers knew then.
    complete: BTreeMap<Class, (u64, u64)>,
}

impl AntiEntropy {
    /// A peer answers (again): it is told everything, and what it was asked may be lost.
    pub(crate) fn on_peer_change(&mut self, node: NodeId) {
        self.told.retain(|(told, _), _| *told != node);
        self.questions.forget(node);
    }

    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        let now_us = cx.s.now.mono_us;
        self.questions.forget_late(cx.s.timing.resend_us, now_us);
        if self.told_us + cx.s.timing.clocks_us <= now_us {
            self.told_us = now_us;
            if self.told_all_us + cx.s.timing.clocks_again_us <= now_us {
                self.told_all_us = now_us;
                self.told.clear();
            }
            self.tell_clocks(cx);
        }
        self.ask_for_missing(cx);
    }

    fn tell_clocks(&mut self, cx: &mut Cx<'_>) {
        let life = cx.s.alive.life();
        let mut frames: BTreeMap<NodeId, Vec<VnodeClock>> = BTreeMap::new();
        for vnode in cx.s.vnodes.values() {
            for node in cx.s.listeners(vnode) {
                if node == cx.s.view.me || !cx.s.view.is_reachable(node) {
                    continue;
                }
                let told = self.told.insert((node, vnode.class), vnode.revision);
                if told != Some(vnode.revision) {
                    frames
                        .entry(node)
                        .or_default()
                        .push(vnode.to_wire(node, life));
                }
            }
        }
        cx.s.send_clocks(frames);
    }

    fn ask_for_missing(&mut self, cx: &mut Cx<'_>) {
        if !cx.s.writable {
            return; // what came could not be stored
        }
        let complete = |vnode: &&Vnode| self.complete.get(&vnode.class) == Some(&vnode.knowledge());
        let vnodes = cx.s.vnodes.values().filter(|vnode| !complete(vnode));
        let classes: Vec<Class> = vnodes.map(|vnode| vnode.class).collect();
        for class in classes {
            if self.questions.len() >= QUESTIONS_MAX {
                return;
            }
            if !self.questions.has(class) {
                self.ask_class(cx, class);
            }
        }
    }

    /// Asks one peer for writes that it has and this vnode lacks, if there are any old enough. Where no
    /// log has them any more, the vnode must be filled again.
    fn ask_class(&mut self, cx: &mut Cx<'_>, class: Class) {
        let Some(vnode) = cx.s.vnodes.get(&class) else {
            return;
        };
        if vnode
            .rebuilding
            .as_ref()
            .is_some_and(|state| state.stage != RebuildStage::Waiting)
        {
            return; // what is missing comes by pages
        }
        if cx.s.is_held_up(vnode) {
            return;
        }
        let catching_up = vnode.is_behind();
        let ripe = |peer: &PeerVnode| {
            catching_up || peer.at_us + cx.s.timing.missing_us <= cx.s.now.mono_us
        };
        let reachable = |node: &NodeId| cx.s.view.is_reachable(*node);
        let may_ask_the_gone = cx.s.knows_what_members_know(vnode);
        let last = self.asked.get(&class);
        let mut candidates: Vec<(NodeId, &PeerVnode)> = vnode
            .peers
            .iter()
            .filter(|(node, peer)| reachable(node) && ripe(peer))
            .filter(|(_, peer)| may_ask_the_gone || !peer.departing)
            .map(|(&node, peer)| (node, peer))
            .collect();
        let first = candidates.partition_point(|(node, _)| last.is_some_and(|last| node <= last));
        candidates.rotate_left(first);
        let question = candidates.into_iter().find_map(|(node, peer)| {
            let runs = bounded_runs(vnode.clock.missing_from(&peer.applied));
            (!runs.is_empty()).then_some((node, runs))
        });
        if question.is_none() && vnode.lacks_nothing() {
            self.complete.insert(class, vnode.knowledge());
        }
        if let Some((to, runs)) = question {
            let number = cx.s.new_op();
            self.asked.insert(class, to);
            let now_us = cx.s.now.mono_us;
            self.questions.add(class, to, number, now_us);
            cx.s.send(
                to,
                DotsAsk {
                    class,
                    number,
                    runs,
                },
                0,
                Priority::Background,
            );
        }
    }

    pub(crate) fn on_answer(&mut self, cx: &mut Cx<'_>, from: NodeId, answer: DotsAnswer) {
        let class = answer.class;
        if !cx.s.may_know(from, class) || cx.s.is_ahead(answer.dropped) {
            return; // only those are asked, late answers are as good as any
        }
        let now_us = cx.s.now.mono_us;
        let expected = self.questions.answered(class, from, answer.number, now_us);
        let progress = cx.take_dots(answer);
        cx.s.settle_all();
        // Without progress the next tick is soon enough: asking at once could go on for ever.
        if expected && progress && self.questions.len() < QUESTIONS_MAX {
            self.ask_class(cx, class);
        }
    }
}

/// At most one batch of missing dots.
fn bounded_runs(missing: impl Iterator<Item = (ActorId, u64, u64)>) -> Vec<(ActorId, u64, u64)> {
    let mut left = BATCH_ITEMS_MAX as u64;
    let bounded = missing.map_while(|(actor, first, length)| {
        let take = writes_in(first, length).min(left);
        left -= take;
        (take > 0).then_some((actor, first, take))
    });
    bounded.collect()
}

impl Shared {
    /// Tells peers clocks, as many frames as they take.
    pub(crate) fn send_clocks(&mut self, told: BTreeMap<NodeId, Vec<VnodeClock>>) {
        for (node, clocks) in told {
            for part in clocks.chunks(CLOCKS_PER_FRAME) {
                let clocks = part.to_vec();
                self.send(node, Clocks { clocks }, 0, Priority::Background);
            }
        }
    }

    /// Who is told a vnode's clock: the other members, and copies that depart.
    fn listeners(&self, vnode: &Vnode) -> BTreeSet<NodeId> {
        let departing = vnode.peers.iter().filter(|(_, word)| word.departing);
        let members = self.view.members(vnode.class).into_iter();
        members.chain(departing.map(|(&node, _)| node)).collect()
    }

    /// Whether a node may have something of a class: a member, or one with a copy that departs.
    fn may_know(&self, node: NodeId, class: Class) -> bool {
        let departs = |vnode: &Vnode| vnode.peers.get(&node).is_some_and(|word| word.departing);
        self.is_member(node, class) || self.vnodes.get(&class).is_some_and(departs)
    }

    /// Whether a vnode has all that the other members are known to have. Only then is anything taken from a copy without
    /// a place: what superseded what it holds may have been written since, and where all members have that, no context says
    /// so any more. A vnode that has seen as much as they takes what it has not seen for what it is (seed 1031).
    pub(crate) fn knows_what_members_know(&self, vnode: &Vnode) -> bool {
        let counted = self.view.counted(vnode.class).into_iter();
        let mut others = counted.filter(|&node| node != self.view.me);
        let knows = |node: NodeId| {
            let peer = vnode.peers.get(&node).filter(|peer| !peer.departing);
            peer.is_some_and(|peer| vnode.clock.covers(&peer.applied))
        };
        others.all(knows) || self.breaks(Plant::FilledByTheGone)
    }

    /// Whether a clock is that of the vnode which the map gives its sender, or of one that departs.
    fn speaks_for(&self, from: NodeId, clock: &VnodeClock) -> bool {
        let place = self.view.vnode_of(clock.class, from);
        if clock.departing {
            // Once its node has a place again it is a late word, of a storage that is no more.
            return place.is_none() && self.view.map().member(from).is_some();
        }
        // Late word for the copy that departed before this vnode had a place.
        let misplaced = clock.for_departing && self.vnodes.contains_key(&clock.class);
        !misplaced && place == Some(clock.vnode)
    }

    /// Takes a peer's clocks.
    pub(crate) fn take_clocks(&mut self, from: NodeId, clocks: Clocks) {
        clocks
            .clocks
            .into_iter()
            .for_each(|clock| self.take_clock(from, clock));
    }

    pub(crate) fn take_clock(&mut self, from: NodeId, clock: VnodeClock) {
        if !self.speaks_for(from, &clock) {
            return; // late word of a vnode that is none any more
        }
        let now_us = self.now.mono_us;
        let (Ok(applied), Ok(durable)) = (
            Clock::from_wire(&clock.applied),
            Clock::from_wire(&clock.durable),
        ) else {
            return; // a malformed clock says nothing
        };
        let Some(vnode) = self.held_mut(clock.class) else {
            return;
        };
        if !vnode.meet_storage(from, clock.storage, now_us) {
            return; // late word of a storage that is no more
        }
        let known = vnode
            .peers
            .get(&from)
            .filter(|known| known.vnode == clock.vnode);
        let word = known.map(|known| known.remembered.as_ref().unwrap_or(&known.durable));
        let remembered = word.filter(|word| !durable.covers(word)).map(|word| {
            let mut word = word.clone();
            word.merge(&durable);
            word
        });
        let has_place = self.vnodes.contains_key(&clock.class);
        if let Some(word) = remembered.as_ref().filter(|_| has_place) {
            // Late by the network, or storage that dropped what it had confirmed: it can tell.
            let message = Remembered {
                class: clock.class,
                storage: clock.storage,
                durable: word.to_wire(),
            };
            self.note(Note::PeerBehindItsWord);
            self.send(from, message, 0, Priority::Background);
        }
        let Some(vnode) = self.held_mut(clock.class) else {
            return;
        };
        // Only actors of the clock that was told: a table cannot be grown by names alone.
        for &(actor, node, born) in &clock.actors {
            if applied.last(actor) > 0 && vnode.actors.len() < CLOCK_ACTORS_MAX {
                vnode.actors.entry(actor).or_insert((node, born));
            }
        }
        let told = PeerVnode {
            vnode: clock.vnode,
            epoch: clock.epoch,
            departing: clock.departing,
            storage: clock.storage,
            life: clock.life,
            applied,
            durable,
            remembered,
            digest: clock.digest,
            holds: clock.holds,
            swept: clock.swept,
            current: clock.current,
            at_us: now_us,
        };
        vnode.take_word(from, told);
        if clock.departing {
            return; // it hands over and is compared with nobody
        }
        self.hear_others_for_the_forgetful(clock.class, from);
        self.compare_digest(from, clock.class);
    }
}

impl Shared {
    /// What a peer once confirmed to have durably, if it asks for some of that now. It is not given to
    /// it: who asks late, by the network, has it meanwhile, and who lost it must be filled again.
    fn word_against(&self, from: NodeId, ask: &DotsAsk) -> Option<Remembered> {
        let known = self.vnodes.get(&ask.class)?.peers.get(&from)?;
        let word = known.remembered.as_ref().unwrap_or(&known.durable);
        let asked = ask.runs.iter().flat_map(|&(actor, first, length)| {
            (first..first.saturating_add(length)).map(move |counter| Dot::new(actor, counter))
        });
        let mut asked = asked.take(BATCH_ITEMS_MAX);
        asked.any(|dot| word.contains(dot)).then(|| Remembered {
            class: ask.class,
            storage: known.storage,
            durable: word.to_wire(),
        })
    }

    /// Whether some of what a peer asks for is void, or folded.
    fn asks_for_voids(&self, ask: &DotsAsk) -> bool {
        let Some(vnode) = self.vnodes.get(&ask.class) else {
            return false;
        };
        let mut firsts = ask.runs.iter();
        firsts.any(|&(actor, first, _)| {
            actor == ActorId::FOLDED || vnode.is_void(Dot::new(actor, first))
        })
    }

    /// A peer has dots that its log has no more: all members once had them durably. If this vnode lacks one,
    /// it lost more than can be asked for, and must be filled again.
    fn take_gone(&mut self, class: Class, gone: &[Dot]) {
        let lacks = |vnode: &Vnode| gone.iter().any(|&dot| !vnode.clock.contains(dot));
        if self.vnodes.get(&class).is_some_and(lacks) {
            self.begin_snapshot(class);
        }
    }
}

impl Cx<'_> {
    /// Answers a peer's question from log and objects.
    pub(crate) fn answer_dots(&mut self, from: NodeId, ask: DotsAsk) {
        let damaged = |vnode: &Vnode| vnode.damaged;
        if !self.s.is_member(from, ask.class) || self.s.held(ask.class).is_none_or(damaged) {
            return; // what is damaged would pass on a loss as a delete
        }
        let class = ask.class;
        if let Some(word) = self.s.word_against(from, &ask) {
            // It may have lost more than these: an object without its context would hide that for ever.
            return self.s.send(from, word, 0, Priority::Background);
        }
        if self.s.asks_for_voids(&ask) {
            self.s.tell_voids_to(from, class);
        }
        let collected = self.collect_dots(&ask);
        if let Ok((objects, gone)) = self.watch(class, collected) {
            if !gone.is_empty() {
                self.s.note(Note::DotGone);
            }
            let is_durable = self.are_durable(class, &objects);
            let answer = DotsAnswer {
                class,
                number: ask.number,
                objects,
                gone,
                dropped: self.s.view.version.dropped,
            };
            if is_durable {
                self.s.send(from, answer, 0, Priority::Background);
            } else {
                // A key that is written all the time is never durable at the moment somebody asks for it.
                self.s.send_synced(from, answer, Priority::Background);
            }
        }
    }

    /// Whether all that objects settle is fsynced here: what is passed on may not be lost here afterwards.
    fn are_durable(&self, class: Class, objects: &[SettledObject]) -> bool {
        let mut settled = objects.iter().flat_map(|object| &object.settles);
        let vnode = self.s.held(class);
        vnode.is_some_and(|vnode| settled.all(|&dot| vnode.durable.contains(dot)))
    }

    fn collect_dots(&self, ask: &DotsAsk) -> Result<(Vec<SettledObject>, Vec<Dot>), StoreError> {
        let mut by_key: BTreeMap<(BucketId, Bytes), SettledObject> = BTreeMap::new();
        let (mut gone, mut bytes, mut asked) = (Vec::new(), 0, 0);
        let dots = ask.runs.iter().flat_map(|&(actor, first, length)| {
            (first..first.saturating_add(length)).map(move |counter| Dot::new(actor, counter))
        });
        for dot in dots {
            asked += 1;
            if bytes >= BATCH_BYTES || asked > BATCH_ITEMS_MAX {
                break;
            }
            let Some(vnode) = self.s.held(ask.class) else {
                break;
            };
            if !vnode.durable.contains(dot) || vnode.is_void(dot) {
                continue; // passed on once it cannot be lost here; told by a seal
            }
            let key = keys::log_key(ask.class, dot);
            let Some(record) = self.get(Family::Log, &key)? else {
                gone.push(dot);
                continue;
            };
            let entry = decode_log(&key, &record).map_err(|error| damaged(Family::Log, &error))?;
            let slot = (entry.bucket, entry.key.clone());
            if !by_key.contains_key(&slot) {
                let object = self.settled_object(ask.class, entry.bucket, entry.key)?;
                bytes += object
                    .object
                    .versions
                    .iter()
                    .map(|version| usize::try_from(version.size).unwrap_or(0) + 64)
                    .sum::<usize>()
                    + 64;
                by_key.insert(slot.clone(), object);
            }
            if let Some(object) = by_key.get_mut(&slot) {
                object.settles.push(dot);
                object
                    .requests
                    .extend(entry.request.map(|request| (request, dot)));
            }
        }
        let finish = |mut object: SettledObject| {
            object.settles.sort_unstable();
            object.settles.dedup();
            object
        };
        Ok((by_key.into_values().map(finish).collect(), gone))
    }

    fn settled_object(
        &self,
        class: Class,
        bucket: BucketId,
        key: Bytes,
    ) -> Result<SettledObject, StoreError> {
        let place = Place { class, bucket, key };
        let mut object = self.load_proven(&place)?;
        self.load_bodies(ChunkOwner::Vnode, &place, &mut object, |_| true)?;
        let settles = object.dots().collect();
        Ok(SettledObject {
            bucket,
            key: place.key,
            object: object.to_peer(),
            settles,
            requests: Vec::new(),
        })
    }

    /// Merges what came. Returns whether anything of it was new.
    fn take_dots(&mut self, answer: DotsAnswer) -> bool {
        let class = answer.class;
        if !self.s.vnodes.contains_key(&class) || !self.s.writable {
            return false;
        }
        let mut progress = false;
        for object in answer.objects {
            let Ok((place, arrival)) = arrival(class, object) else {
                continue;
            };
            if self.s.check_peers_place(&place).is_err() {
                continue;
            }
            if self
                .apply(&place, arrival)
                .is_ok_and(|applied| applied.new_dots > 0)
            {
                self.s.note(Note::AntiEntropyFetched);
                progress = true;
            }
        }
        self.s.take_gone(class, &answer.gone);
        progress
    }
}
