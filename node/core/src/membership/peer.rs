//! One peer as failure detection sees it.

use std::collections::VecDeque;

use quorate_protocol::peer::HeartbeatAck;
use quorate_ring::NodeId;

use super::skew::Estimator;
use super::timing::Stretched;
use crate::effects::Now;

/// Unanswered heartbeats that are remembered. Sent at the fast pace these last twice `down_after`.
const PROBES_MAX: usize = 32;
/// Lives of a peer that are remembered as ended, so that a late message of one is not taken for news.
const ENDED_MAX: usize = 4;

/// A heartbeat that was not answered yet, nor any later one.
#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u64,
    sent_us: u64,
    /// From when on the peer's silence counts: the sending, or later where this node itself was late.
    counts_from_us: u64,
}

/// What an answer from a peer meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// To nothing that was asked recently.
    Stale,
    /// By a peer that was up and still is.
    Still,
    /// By a peer that was down.
    Up,
    /// By another life of a peer that was up.
    Restarted,
}

#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) up: bool,
    pub(super) incarnation: Option<u64>,
    /// The last life that was heard before it had answered.
    met: Option<u64>,
    /// Lives that ended, the latest last, and when this node took them for ended, monotonic microseconds.
    ended: VecDeque<(u64, u64)>,
    /// In the order of sending.
    probes: VecDeque<Probe>,
    next_number: u64,
    pub(super) next_send_us: u64,
    last_sent_us: Option<u64>,
    unlinked_us: Option<u64>,
    pub(super) heard_us: u64,
    pub(super) answered_us: u64,
    pub(super) rtt_us: Option<u64>,
    pub(super) skew: Estimator,
    /// When the next difference of buckets may be reported.
    pub(super) tell_map_us: u64,
    /// Mixed into the spread of intervals.
    salt: u64,
}

impl Peer {
    pub(super) fn new(
        me: NodeId,
        id: NodeId,
        incarnation: u64,
        now: Now,
        timing: &Stretched,
    ) -> Self {
        let salt = mix(me.get() ^ mix(id.get()));
        Self {
            up: false,
            incarnation: None,
            met: None,
            ended: VecDeque::new(),
            probes: VecDeque::new(),
            // Starts elsewhere in each life of ours: no answer to an earlier one is taken for ours.
            next_number: mix(salt ^ incarnation),
            next_send_us: now.mono_us + mix(salt) % timing.fast_us,
            last_sent_us: None,
            unlinked_us: None,
            heard_us: now.mono_us,
            answered_us: now.mono_us,
            rtt_us: None,
            skew: Estimator::default(),
            tell_map_us: 0,
            salt,
        }
    }

    /// Notes that a heartbeat leaves now, plans the next one, and returns its number.
    pub(super) fn send(&mut self, now_us: u64, timing: &Stretched) -> u64 {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        self.forget_probes(now_us, timing);
        self.probes.push_back(Probe {
            number,
            sent_us: now_us,
            counts_from_us: now_us,
        });
        self.last_sent_us = Some(now_us);
        let pace = if self.is_suspect(now_us, timing) {
            timing.fast_us
        } else {
            timing.interval_us
        };
        // A tenth more or less, so that the nodes of a cluster do not fall into step.
        let spread = mix(self.salt ^ number) % (pace / 5);
        self.next_send_us = now_us + pace - pace / 10 + spread;
        number
    }

    /// Whether a heartbeat may leave out of turn: the last one is not just on its way.
    pub(super) fn may_send(&self, now_us: u64, timing: &Stretched) -> bool {
        self.last_sent_us
            .is_none_or(|sent| now_us >= sent + timing.fast_us)
    }

    fn forget_probes(&mut self, now_us: u64, timing: &Stretched) {
        if !self.up {
            let expired = |probe: &Probe| now_us > probe.counts_from_us + timing.down_after_us;
            while self.probes.front().is_some_and(expired) {
                self.probes.pop_front();
            }
        }
        if self.probes.len() == PROBES_MAX {
            // The oldest one is what the peer is judged by.
            self.probes.remove(1);
        }
    }

    /// Up, and a heartbeat is unanswered for longer than usual.
    fn is_suspect(&self, now_us: u64, timing: &Stretched) -> bool {
        let usual = timing.interval_us / 2 + 2 * self.rtt_us.unwrap_or(0);
        let patience = usual.min(timing.down_after_us / 2);
        self.up
            && self
                .probes
                .front()
                .is_some_and(|probe| now_us > probe.counts_from_us + patience)
    }

    /// When the peer is to be declared down unless it answers; `None` for one that is down.
    pub(super) fn judge_us(&self, timing: &Stretched) -> Option<u64> {
        if !self.up {
            return None;
        }
        let silence = self
            .probes
            .front()
            .map(|probe| probe.counts_from_us + timing.down_after_us + 1);
        // Without a connection nothing can arrive: half the patience, for the time to reconnect.
        let unlinked = self.unlinked_us.map(|us| us + timing.down_after_us / 2 + 1);
        silence.into_iter().chain(unlinked).min()
    }

    /// This node did not run for `late_us`: that time is not counted against the peer.
    pub(super) fn excuse(&mut self, late_us: u64, now_us: u64) {
        for probe in &mut self.probes {
            probe.counts_from_us = (probe.counts_from_us + late_us).min(now_us);
        }
        self.unlinked_us = self.unlinked_us.map(|us| (us + late_us).min(now_us));
    }

    /// All patience anew: what was asked before says nothing any more.
    pub(super) fn fresh_grace(&mut self, now_us: u64) {
        self.probes.clear();
        self.unlinked_us = self.unlinked_us.map(|_| now_us);
    }

    /// A heartbeat of a life that has not answered yet: that its former life fell silent says nothing of
    /// this one. Once for each life, as one that can be heard and not reached is not there.
    pub(super) fn met(&mut self, incarnation: u64, now_us: u64) {
        let known = self.incarnation == Some(incarnation) || self.met == Some(incarnation);
        if !known {
            self.met = Some(incarnation);
            for probe in &mut self.probes {
                probe.counts_from_us = now_us;
            }
        }
    }

    pub(super) fn linked(&mut self, now_us: u64) {
        self.unlinked_us = None;
        // What was sent over the connection before this one may be lost.
        self.fresh_grace(now_us);
    }

    pub(super) fn unlinked(&mut self, now_us: u64) {
        self.unlinked_us.get_or_insert(now_us);
    }

    /// Whether a message names a life that this node knows to have ended.
    pub(super) fn is_ended(&self, incarnation: u64) -> bool {
        self.ended.iter().any(|&(known, _)| known == incarnation)
    }

    /// Whether a life was not taken for ended when it was asked something. If it answers what it was asked
    /// after that, then it goes on, and it was a late answer of an earlier one that seemed to end it.
    fn may_answer(&self, incarnation: u64, asked_us: u64) -> bool {
        let known = self.ended.iter().find(|&&(known, _)| known == incarnation);
        known.is_none_or(|&(_, ended_us)| asked_us > ended_us)
    }

    pub(super) fn answered(
        &mut self,
        now: Now,
        ack: &HeartbeatAck,
        timing: &Stretched,
    ) -> Answered {
        let Some(at) = self
            .probes
            .iter()
            .position(|probe| probe.number == ack.number)
        else {
            return Answered::Stale;
        };
        let probe = self.probes[at];
        if now.mono_us > probe.counts_from_us + timing.down_after_us
            || !self.may_answer(ack.incarnation, probe.sent_us)
        {
            return Answered::Stale;
        }
        self.probes.drain(..=at);
        self.answered_us = now.mono_us;
        self.unlinked_us = None;
        self.measure(now, probe.sent_us, ack.wall_ms);
        let restarted = self.live(ack.incarnation, now.mono_us);
        match (std::mem::replace(&mut self.up, true), restarted) {
            (false, _) => Answered::Up,
            (true, true) => Answered::Restarted,
            (true, false) => Answered::Still,
        }
    }

    /// Takes the life that answered for the current one; true if another one ended by it.
    fn live(&mut self, incarnation: u64, now_us: u64) -> bool {
        self.ended.retain(|&(known, _)| known != incarnation);
        let before = self.incarnation.replace(incarnation);
        let Some(ended) = before.filter(|&before| before != incarnation) else {
            return false;
        };
        if self.ended.len() == ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back((ended, now_us));
        self.skew = Estimator::default();
        true
    }

    fn measure(&mut self, now: Now, sent_us: u64, theirs_ms: u64) {
        let sample = now.mono_us.saturating_sub(sent_us);
        // The smoothing of TCP (RFC 6298): an eighth of each new sample.
        self.rtt_us = Some(self.rtt_us.map_or(sample, |rtt| rtt - rtt / 8 + sample / 8));
        self.skew.measure(theirs_ms, now.wall_ms, sample);
    }
}

/// Scatters a number over 64 bits: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
