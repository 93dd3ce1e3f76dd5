//! Who answers this node: failure detection, sans-I/O.
//!
//! Every node keeps a connection to every other one, and what routing wants to know is whether
//! *this* node can talk to *that* one: a partial cut is an everyday fault. So each node judges each of
//! its links by itself, by heartbeats and their answers, and asks nobody else (unlike SWIM, which agrees on
//! who is dead and so calls a node alive that only others can reach).
//!
//! * **Up** is a peer that answered a heartbeat: only a round trip proves both directions.
//!   Frames that come in prove nothing about those that go out.
//! * **Down** is a peer that left one heartbeat *and all later ones* unanswered for
//!   [`Timing::down_after_ms`]. Counting from the sending of a heartbeat rather than from the last
//!   answer means that no delay below `down_after` is ever taken for a death. After a missed
//!   answer heartbeats go out at a faster pace, so that losing some of them means nothing.
//! * **Time in which this node itself did not run is not counted against anybody**: a late tick
//!   moves all deadlines by its lateness, and a very late one ([`Timing::pause_ms`]) gives all peers
//!   their whole patience anew.
//! * A killed peer is seen after one interval and `down_after` at most: 1.5 s.
//!
//! The driver calls [`Membership::handle`] with what arrives and with a tick at
//! [`Membership::next_timer`], performs the effects in order, and sends heartbeats as datagrams: a
//! late one is worth less than the next one.

mod peer;
mod skew;
#[cfg(test)]
mod tests;
mod timing;

use std::collections::BTreeMap;

use quorate_protocol::peer::{Heartbeat, HeartbeatAck, PeerMessage};
use quorate_protocol::versioned::MapName;
use quorate_ring::NodeId;

use self::peer::{Answered, Peer};
pub use self::skew::Skew;
pub use self::timing::Timing;
use self::timing::{MAP_TOLD_EVERY_US, Stretched, TIMER_SLACK_US};
use crate::effects::Now;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberInput {
    /// A peer's heartbeat arrived.
    Heartbeat {
        /// Who sent it: proven by its certificate.
        from: NodeId,
        /// The heartbeat.
        hb: Heartbeat,
    },
    /// A peer's answer to a heartbeat arrived.
    Ack {
        /// Who sent it: proven by its certificate.
        from: NodeId,
        /// The answer.
        hb: HeartbeatAck,
    },
    /// Any other frame arrived from a peer.
    Heard(NodeId),
    /// There was no connection to this peer and now there is one.
    Linked(NodeId),
    /// The last connection to this peer was closed, or lost.
    Unlinked(NodeId),
    /// These are the members now (this node may be among them).
    Peers(Vec<NodeId>),
    /// The newest version of the cluster map that is durable here; travels in every heartbeat.
    Newest(MapName),
    /// A replica of this node began a new life from what is stored, under this new incarnation. Peers must
    /// ask anew what it has: it may know less than it told them.
    Reborn(u64),
    /// Time has passed.
    Tick,
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberEffect {
    /// Send a message to a peer.
    Send {
        /// The peer.
        to: NodeId,
        /// The message.
        message: PeerMessage,
    },
    /// The peer answers; it did not before.
    Up(NodeId),
    /// The peer answers no longer.
    Down(NodeId),
    /// The peer was up and answers with a new life of its process: it restarted without this node
    /// noticing the gap. It is up. Whatever was in flight to its former life is lost.
    Restarted(NodeId),
    /// The peer has another version of the cluster map than this node. Repeated about once a second.
    MapDiffers {
        /// The peer.
        peer: NodeId,
        /// What it has.
        newest: MapName,
    },
}

/// What this node knows of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// Whether it answers.
    pub up: bool,
    /// Since anything arrived from it (or since it became a member), milliseconds.
    pub silent_ms: u64,
    /// Since it last answered (or became a member), milliseconds. Much longer than `silent_ms`: it
    /// can reach this node and this node cannot reach it.
    pub unanswered_ms: u64,
    /// Smoothed round trip time, microseconds; `None` before the first answer.
    pub rtt_us: Option<u64>,
    /// How far its wall clock stands from this node's; `None` before the first answer.
    pub skew: Option<Skew>,
    /// Its process's life; `None` before the first answer.
    pub incarnation: Option<u64>,
}

/// Failure detection of one node.
#[derive(Clone, Debug)]
pub struct Membership {
    me: NodeId,
    incarnation: u64,
    newest: MapName,
    timing: Timing,
    stretched: Stretched,
    peers: BTreeMap<NodeId, Peer>,
    timer_us: u64,
}

impl Membership {
    /// Starts with all peers down and a first heartbeat for each within a tenth of a second.
    ///
    /// `incarnation` is drawn at random at the start of the process, and of each later life of its
    /// replicas, and says so in every message. `newest` is the version of the cluster map that is durable here.
    #[must_use]
    pub fn new(
        me: NodeId,
        incarnation: u64,
        newest: MapName,
        peers: impl Iterator<Item = NodeId>,
        timing: Timing,
        now: Now,
    ) -> Self {
        let mut membership = Self {
            me,
            incarnation,
            newest,
            timing,
            stretched: timing.stretched(0),
            peers: BTreeMap::new(),
            timer_us: u64::MAX,
        };
        membership.set_peers(now, peers.collect(), &mut Vec::new());
        membership
    }

    /// Takes one event and appends what follows from it.
    pub fn handle(&mut self, now: Now, input: MemberInput, effects: &mut Vec<MemberEffect>) {
        self.notice_lateness(now);
        match input {
            MemberInput::Heartbeat { from, hb } => self.heartbeat(now, from, &hb, effects),
            MemberInput::Ack { from, hb } => self.ack(now, from, &hb, effects),
            MemberInput::Heard(from) => self.heard(now, from),
            MemberInput::Linked(from) => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.linked(now.mono_us);
                    self.probe(now, from, effects);
                }
            }
            MemberInput::Unlinked(from) => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.unlinked(now.mono_us);
                    self.wake_by(from);
                }
            }
            MemberInput::Peers(peers) => self.set_peers(now, peers, effects),
            MemberInput::Newest(newest) => self.newest = newest,
            MemberInput::Reborn(incarnation) => self.incarnation = incarnation,
            MemberInput::Tick => self.tick(now, effects),
        }
    }

    /// When the next tick is wanted, on the clock of [`Now::mono_us`]; `u64::MAX`: never. Ticks that
    /// come late are noticed and excused.
    #[must_use]
    pub fn next_timer(&self) -> u64 {
        self.timer_us
    }

    /// Whether this peer answers this node.
    #[must_use]
    pub fn is_up(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.up)
    }

    /// The peers that answer, in order of their ids.
    pub fn up(&self) -> impl Iterator<Item = NodeId> {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.up)
            .map(|(&id, _)| id)
    }

    /// What is known of a peer; `None` for a node that is no member, and for this one.
    #[must_use]
    pub fn view(&self, now: Now, node: NodeId) -> Option<PeerView> {
        let since_ms = |us: u64| now.mono_us.saturating_sub(us) / 1000;
        self.peers.get(&node).map(|peer| PeerView {
            up: peer.up,
            silent_ms: since_ms(peer.heard_us),
            unanswered_ms: since_ms(peer.answered_us),
            rtt_us: peer.rtt_us,
            skew: peer.skew.best(),
            incarnation: peer.incarnation,
        })
    }

    fn set_peers(&mut self, now: Now, members: Vec<NodeId>, effects: &mut Vec<MemberEffect>) {
        let (me, incarnation) = (self.me, self.incarnation);
        let gone = self.peers.iter().filter(|(id, _)| !members.contains(id));
        let gone: Vec<(NodeId, bool)> = gone.map(|(&id, peer)| (id, peer.up)).collect();
        for (id, was_up) in gone {
            self.peers.remove(&id);
            if was_up {
                effects.push(MemberEffect::Down(id));
            }
        }
        let count = members.iter().filter(|&&id| id != me).count();
        self.stretched = self.timing.stretched(count);
        for id in members.into_iter().filter(|&id| id != me) {
            let new = || Peer::new(me, id, incarnation, now, &self.stretched);
            self.peers.entry(id).or_insert_with(new);
        }
        self.set_timer();
    }

    /// Time between the tick that was wanted and now is time in which this node did not run.
    fn notice_lateness(&mut self, now: Now) {
        let late_us = now.mono_us.saturating_sub(self.timer_us);
        if late_us <= TIMER_SLACK_US {
            return;
        }
        let paused = late_us > self.stretched.pause_us;
        for peer in self.peers.values_mut() {
            if paused {
                peer.fresh_grace(now.mono_us);
                peer.next_send_us = peer.next_send_us.min(now.mono_us);
            } else {
                peer.excuse(late_us, now.mono_us);
            }
        }
        self.timer_us = now.mono_us;
    }

    fn tick(&mut self, now: Now, effects: &mut Vec<MemberEffect>) {
        for (&id, peer) in &mut self.peers {
            if peer
                .judge_us(&self.stretched)
                .is_some_and(|us| us <= now.mono_us)
            {
                peer.up = false;
                effects.push(MemberEffect::Down(id));
            }
        }
        let due = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.next_send_us <= now.mono_us);
        for id in due.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.probe(now, id, effects);
        }
        self.set_timer();
    }

    fn heartbeat(
        &mut self,
        now: Now,
        from: NodeId,
        hb: &Heartbeat,
        effects: &mut Vec<MemberEffect>,
    ) {
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        if peer.is_ended(hb.incarnation) {
            return;
        }
        let ack = HeartbeatAck {
            number: hb.number,
            incarnation: self.incarnation,
            wall_ms: now.wall_ms,
            newest: self.newest,
        };
        effects.push(MemberEffect::Send {
            to: from,
            message: ack.into(),
        });
        // A stranger or another life of it: ask back rather than wait for the interval to pass.
        peer.met(hb.incarnation, now.mono_us);
        let news = !peer.up || peer.incarnation != Some(hb.incarnation);
        if news && peer.may_send(now.mono_us, &self.stretched) {
            self.probe(now, from, effects);
        }
        self.heard(now, from);
        self.compare_maps(now, from, hb.newest, effects);
    }

    fn ack(&mut self, now: Now, from: NodeId, hb: &HeartbeatAck, effects: &mut Vec<MemberEffect>) {
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        match peer.answered(now, hb, &self.stretched) {
            Answered::Stale => return,
            Answered::Still => {}
            Answered::Up => effects.push(MemberEffect::Up(from)),
            Answered::Restarted => effects.push(MemberEffect::Restarted(from)),
        }
        self.heard(now, from);
        self.compare_maps(now, from, hb.newest, effects);
    }

    fn heard(&mut self, now: Now, from: NodeId) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.heard_us = now.mono_us;
        }
    }

    fn compare_maps(
        &mut self,
        now: Now,
        from: NodeId,
        theirs: MapName,
        effects: &mut Vec<MemberEffect>,
    ) {
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        if theirs != self.newest && now.mono_us >= peer.tell_map_us {
            peer.tell_map_us = now.mono_us + MAP_TOLD_EVERY_US;
            let newest = theirs;
            effects.push(MemberEffect::MapDiffers { peer: from, newest });
        }
    }

    fn probe(&mut self, now: Now, to: NodeId, effects: &mut Vec<MemberEffect>) {
        let Some(peer) = self.peers.get_mut(&to) else {
            return;
        };
        let heartbeat = Heartbeat {
            number: peer.send(now.mono_us, &self.stretched),
            incarnation: self.incarnation,
            wall_ms: now.wall_ms,
            newest: self.newest,
        };
        effects.push(MemberEffect::Send {
            to,
            message: heartbeat.into(),
        });
        self.wake_by(to);
    }

    /// Makes sure that the timer is not later than what this peer needs. That it may be earlier is
    /// put right by the next tick: so only ticks look at all peers.
    fn wake_by(&mut self, id: NodeId) {
        if let Some(peer) = self.peers.get(&id) {
            self.timer_us = self.timer_us.min(wanted(peer, &self.stretched));
        }
    }

    fn set_timer(&mut self) {
        let wanted = self
            .peers
            .values()
            .map(|peer| wanted(peer, &self.stretched));
        self.timer_us = wanted.min().unwrap_or(u64::MAX);
    }
}

fn wanted(peer: &Peer, timing: &Stretched) -> u64 {
    peer.judge_us(timing)
        .unwrap_or(u64::MAX)
        .min(peer.next_send_us)
}
