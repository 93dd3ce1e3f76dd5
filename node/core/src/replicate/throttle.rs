//! How fast copies travel: so many bytes a second at most, and less while that slows requests down.
//!
//! Every request of a few is timed from its arrival to its reply. When one of twenty takes longer than a bound, the rate
//! falls to two thirds; while it does not, it rises again by a thirty-second of the most, and never below that much: a
//! transfer ends however busy the node is. The bound is an operator's, or follows from what requests took while nothing
//! travelled: half as much again, and a little, since times differ by themselves. (Rising by steps and falling by parts is
//! how flows share a network: Chiu and Jain, 1989.)
//!
//! Both ends keep their own pace: the receiver asks for the next page when its own allows it, and no sooner than the sender
//! has said with the last one.

use std::collections::BTreeMap;

use quorate_protocol::client::{Moves, Pace};

use crate::effects::{Note, Ticket};
use crate::shared::Shared;

/// Fewer requests say nothing of one in twenty.
const SAMPLES_MIN: usize = 20;
/// More are not kept.
const SAMPLES_MAX: usize = 256;
/// The rate changes at most so often, microseconds.
const WINDOW_US: u64 = 250_000;
/// With too few requests in that time there are none to protect, microseconds.
const PATIENCE_US: u64 = 1_000_000;
/// What requests may take longer in any case, microseconds.
const SLACK_US: u64 = 2_000;
/// Rising from nothing to the most takes so many windows; a part of it is never denied.
const STEPS: u64 = 32;
/// A sender puts its receivers off by this at most, milliseconds: later they would take it for dead.
const PAUSE_MS_MAX: u64 = 1_500;

/// The pace of one replica's transfers.
#[derive(Debug)]
pub(crate) struct Throttle {
    most: u64,
    now: u64,
    paused: bool,
    /// What an operator said, microseconds; 0: as requests take by themselves.
    bound_us: u64,
    began: BTreeMap<Ticket, u64>,
    window: Vec<u64>,
    window_from_us: u64,
    /// Something travelled in this window.
    moved: bool,
    /// What one request of twenty took longer than in the last window; 0: too few.
    latency_us: u64,
    /// The same while nothing travelled, smoothed; 0: not known yet.
    quiet_us: u64,
    /// Until when what was handed out uses up the rate.
    served_until_us: u64,
}

impl Throttle {
    pub(crate) fn new(most: u64, bound_us: u64) -> Self {
        Self {
            most: most.max(1),
            now: most.max(1),
            paused: false,
            bound_us,
            began: BTreeMap::new(),
            window: Vec::new(),
            window_from_us: 0,
            moved: false,
            latency_us: 0,
            quiet_us: 0,
            served_until_us: 0,
        }
    }

    /// A client's request has come.
    pub(crate) fn began(&mut self, ticket: Ticket, now_us: u64) {
        if is_timed(ticket) {
            self.began.insert(ticket, now_us);
        }
    }

    /// It is answered.
    pub(crate) fn ended(&mut self, ticket: Ticket, now_us: u64) {
        if let Some(began_us) = self.began.remove(&ticket)
            && self.window.len() < SAMPLES_MAX
        {
            self.window.push(now_us.saturating_sub(began_us));
        }
    }

    /// Nobody waits for it any more.
    pub(crate) fn forget(&mut self, ticket: Ticket) {
        self.began.remove(&ticket);
    }

    /// Whether no newcomer is filled.
    pub(crate) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// How long nothing more is to be asked for after so many bytes have come, microseconds.
    pub(crate) fn took(&mut self, bytes: u64) -> u64 {
        self.moved |= bytes > 0;
        bytes.saturating_mul(1_000_000) / self.now
    }

    /// How long whoever was just handed so many bytes is to wait, milliseconds.
    pub(crate) fn handed_out(&mut self, bytes: u64, now_us: u64) -> u32 {
        let takes_us = self.took(bytes);
        self.served_until_us = self.served_until_us.max(now_us).saturating_add(takes_us);
        let pause_ms = (self.served_until_us - now_us) / 1000;
        u32::try_from(pause_ms.min(PAUSE_MS_MAX)).unwrap_or(u32::MAX)
    }

    fn pace(&self) -> Pace {
        Pace {
            paused: self.paused,
            most: self.most,
            now: self.now,
            latency_us: self.latency_us,
            bound_us: self.bound().unwrap_or(0),
        }
    }

    fn bound(&self) -> Option<u64> {
        match (self.bound_us, self.quiet_us) {
            (0, 0) => None,
            (0, quiet_us) => Some(quiet_us + quiet_us / 2 + SLACK_US),
            (bound_us, _) => Some(bound_us),
        }
    }

    /// Returns whether it had to slow down.
    fn on_tick(&mut self, now_us: u64) -> bool {
        let since_us = now_us.saturating_sub(self.window_from_us);
        let enough = self.window.len() >= SAMPLES_MIN && since_us >= WINDOW_US;
        if !enough && since_us < PATIENCE_US {
            return false;
        }
        self.latency_us = if enough { self.high() } else { 0 };
        let moved = std::mem::take(&mut self.moved);
        if enough && !moved {
            self.quiet_us = match self.quiet_us {
                0 => self.latency_us,
                known => known - known / 8 + self.latency_us / 8,
            };
        }
        let slow = moved && self.bound().is_some_and(|bound| self.latency_us > bound);
        let step = (self.most / STEPS).max(1);
        self.now = if slow {
            (self.now / 3 * 2).max(step)
        } else {
            self.now.saturating_add(step).min(self.most)
        };
        self.window.clear();
        self.window_from_us = now_us;
        slow
    }

    /// What one request of twenty took longer than.
    fn high(&mut self) -> u64 {
        let at = self.window.len() * 19 / 20;
        *self.window.select_nth_unstable(at).1
    }
}

/// Timing all of them would cost more than it tells.
const fn is_timed(ticket: Ticket) -> bool {
    ticket.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61 == 0
}

impl Shared {
    pub(crate) fn on_throttle_tick(&mut self) {
        let now_us = self.now.mono_us;
        if self.throttle.on_tick(now_us) {
            self.note(Note::Throttled);
        }
    }

    /// Takes an operator's order. Returns the pace that holds from now on.
    pub(crate) fn order_pace(&mut self, order: &Moves) -> Pace {
        let throttle = &mut self.throttle;
        if let Some(paused) = order.pause {
            throttle.paused = paused;
        }
        if let Some(rate) = order.bytes_per_s {
            let configured = self.timing.handoff_bytes_per_s.max(1);
            throttle.most = if rate == 0 { configured } else { rate };
            throttle.now = throttle.most;
        }
        if let Some(bound_us) = order.latency_us {
            throttle.bound_us = match bound_us {
                0 => self.timing.handoff_latency_us,
                bound_us => bound_us,
            };
        }
        throttle.pace()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 32_000_000;

    /// A second of requests that take so long, while something travels or not.
    fn second(throttle: &mut Throttle, at_s: u64, took_us: u64, moves: bool) -> usize {
        let mut slowed = 0;
        for step in 0..10 {
            let now_us = at_s * 1_000_000 + step * 100_000;
            for number in 0..200 {
                let ticket = Ticket(at_s * 10_000 + step * 200 + number);
                throttle.began(ticket, now_us);
                throttle.ended(ticket, now_us + took_us);
            }
            throttle.took(u64::from(moves));
            slowed += usize::from(throttle.on_tick(now_us));
        }
        slowed
    }

    #[test]
    fn it_slows_down_while_requests_take_longer_than_they_do_by_themselves_and_not_before() {
        let mut throttle = Throttle::new(MOST, 0);
        for at_s in 1..5 {
            assert_eq!(second(&mut throttle, at_s, 4_000, false), 0);
        }
        assert_eq!(throttle.pace().bound_us, 8_000);
        assert_eq!(second(&mut throttle, 5, 7_000, true), 0);
        assert_eq!(throttle.pace().now, MOST);
        assert!(second(&mut throttle, 6, 9_000, true) > 1);
        assert!(throttle.pace().now < MOST / 2);
    }

    #[test]
    fn it_never_stops_and_is_fast_again_when_requests_are() {
        let mut throttle = Throttle::new(MOST, 5_000);
        for at_s in 1..30 {
            second(&mut throttle, at_s, 50_000, true);
        }
        assert_eq!(throttle.pace().now, MOST / STEPS);
        assert_eq!(throttle.took(1_000_000), 1_000_000);
        for at_s in 30..50 {
            second(&mut throttle, at_s, 4_000, true);
        }
        assert_eq!(throttle.pace().now, MOST);
    }

    #[test]
    fn slow_requests_are_no_reason_where_nothing_travels_nor_where_there_are_few() {
        let mut throttle = Throttle::new(MOST, 5_000);
        assert_eq!(second(&mut throttle, 1, 50_000, false), 0);
        throttle.took(1);
        throttle.began(Ticket(0), 2_000_000);
        throttle.ended(Ticket(0), 2_500_000);
        assert!(!throttle.on_tick(9_000_000));
        assert_eq!(throttle.pace().now, MOST);
    }

    #[test]
    fn a_sender_puts_all_its_receivers_off_together_and_none_for_too_long() {
        let mut throttle = Throttle::new(1_000_000, 0);
        assert_eq!(throttle.handed_out(100_000, 5_000_000), 100);
        assert_eq!(throttle.handed_out(100_000, 5_000_000), 200);
        assert_eq!(throttle.handed_out(100_000, 5_300_000), 100);
        assert_eq!(throttle.handed_out(100_000_000, 5_300_000), 1_500);
    }

    #[test]
    fn a_request_that_nobody_waits_for_is_not_timed() {
        let mut throttle = Throttle::new(MOST, 5_000);
        throttle.began(Ticket(0), 1);
        throttle.forget(Ticket(0));
        throttle.ended(Ticket(0), 9);
        assert!(throttle.began.is_empty() && throttle.window.is_empty());
    }
}
