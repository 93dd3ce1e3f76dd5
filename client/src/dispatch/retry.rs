//! What to do after a try that did not succeed: decisions only, no I/O.

use std::time::Duration;

use quorate_protocol::{ErrorCode, WireError};

use crate::error::{Error, Kind};

/// Most tries of one request that reach a node.
const TRIES_MAX: u32 = 6;
/// Most connections that one request may lose: each node's idle one after a restart of all, twice.
const LOST_MAX: u32 = 12;
/// Most other coordinators that are asked after one met no quorum: each node sees its own links only, and a cut
/// between some of them is an everyday fault.
const MISSED_MAX: u32 = 2;
/// Most times one request refreshes the cluster map.
const REFRESHES_MAX: u32 = 2;
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How a try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing was sent.
    Unreached(String),
    /// The connection ended while the answer was awaited.
    Lost(String),
    /// The deadline passed while the answer was awaited.
    TimedOut,
    /// The answer is not of the protocol.
    Malformed(String),
    /// The node refused, or failed.
    Answered(WireError),
}

/// Where the next try goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// To the node that was just tried.
    Same,
    /// To the next in order.
    Other,
    /// Wherever the cluster map, read anew, says.
    Refreshed,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing more: this is the request's end.
    End(Error),
    /// Try again.
    Again {
        /// Where.
        place: Place,
        /// After so long.
        pause: Duration,
        /// Whether the retry budget pays for it, and how the request ends if it cannot.
        paid: Option<Error>,
    },
}

impl Next {
    /// Another try at once and at no cost.
    const fn free(place: Place) -> Self {
        let pause = Duration::ZERO;
        Self::Again {
            place,
            pause,
            paid: None,
        }
    }
}

/// The tries of one request so far.
#[derive(Debug)]
pub(crate) struct Tries {
    write: bool,
    sent: u32,
    lost: u32,
    missed: u32,
    refreshes: u32,
    maybe_applied: bool,
    lost_here: bool,
}

impl Tries {
    pub(crate) const fn new(write: bool) -> Self {
        Self {
            write,
            sent: 0,
            lost: 0,
            missed: 0,
            refreshes: 0,
            maybe_applied: false,
            lost_here: false,
        }
    }

    /// Whether a try reached a node, or may have: the next one says that it is a retry.
    pub(crate) const fn is_retry(&self) -> bool {
        self.sent > 0
    }

    /// Whether an earlier try of this write may have been applied.
    pub(crate) const fn maybe_applied(&self) -> bool {
        self.maybe_applied
    }

    /// Whether the map may be read once more for this request's sake.
    pub(crate) const fn refresh(&mut self) -> bool {
        self.refreshes += 1;
        self.refreshes <= REFRESHES_MAX
    }

    /// Decides. `left` is what is left of the deadline; `random` is any number, for the jitter.
    pub(crate) fn after(&mut self, failure: Failure, left: Duration, random: u64) -> Next {
        if !matches!(failure, Failure::Unreached(_)) {
            self.sent += 1;
        }
        let lost_before = std::mem::take(&mut self.lost_here);
        match failure {
            Failure::Unreached(_) => Next::free(Place::Other),
            Failure::Lost(why) => {
                // The coordinator of a write remembers its id: it is asked once more before others.
                let same = self.write && !lost_before;
                self.lost_here = same;
                self.maybe_applied |= self.write;
                let place = if same { Place::Same } else { Place::Other };
                let message = format!("the connection was lost before the answer came: {why}");
                self.lost += 1;
                if self.lost >= LOST_MAX || left.is_zero() {
                    return Next::End(Error::unavailable(message));
                }
                // Tries and budget are for nodes that are up and short of breath. One that went
                // away is not burdened by what others are asked in its place.
                Next::free(place)
            }
            Failure::TimedOut => {
                self.maybe_applied |= self.write;
                let message = "no answer came within the deadline";
                Next::End(Error::new(
                    Kind::Retry,
                    ErrorCode::DeadlineExceeded,
                    message,
                ))
            }
            Failure::Malformed(why) => {
                self.maybe_applied |= self.write;
                let message = format!("the node's answer cannot be read: {why}");
                Next::End(Error::protocol(message))
            }
            Failure::Answered(wire) => self.after_answer(wire, left, random),
        }
    }

    /// Whether another coordinator is worth asking after one that met no quorum.
    const fn ask_another(&mut self) -> bool {
        self.missed += 1;
        self.missed <= MISSED_MAX
    }

    fn after_answer(&mut self, wire: WireError, left: Duration, random: u64) -> Next {
        let asked = Duration::from_millis(wire.retry_after_ms.unwrap_or(0).into());
        let pause = backoff(self.sent, random).max(asked);
        let asks_again = wire.retry_after_ms.is_some();
        let (code, error) = (wire.code, Error::answered(wire, self.write));
        match code {
            // The node that worked on it is gone or broken; another one finds out what happened.
            ErrorCode::InDoubt if asks_again => {
                self.maybe_applied |= self.write;
                self.again(Place::Other, pause, left, error)
            }
            ErrorCode::Stopping | ErrorCode::StorageFailed | ErrorCode::NoMember => {
                self.again(Place::Other, Duration::ZERO, left, error)
            }
            ErrorCode::Unavailable | ErrorCode::Overloaded => {
                self.again(Place::Other, pause, left, error)
            }
            ErrorCode::QuorumNotMet if self.ask_another() => {
                self.maybe_applied |= self.write;
                self.again(Place::Other, backoff(self.sent, random), left, error)
            }
            ErrorCode::StaleRing | ErrorCode::NoSuchBucket if self.refresh() => {
                Next::free(Place::Refreshed)
            }
            ErrorCode::StaleRing
            | ErrorCode::NoSuchBucket
            | ErrorCode::QuorumNotMet
            | ErrorCode::InDoubt
            | ErrorCode::DeadlineExceeded
            | ErrorCode::TooLarge
            | ErrorCode::BadContext
            | ErrorCode::NotAuthorised
            | ErrorCode::Invalid
            | ErrorCode::Protocol
            | ErrorCode::NotSupported
            | ErrorCode::Conflict
            | ErrorCode::ClockAhead
            | ErrorCode::Unknown(_) => Next::End(error),
        }
    }

    /// Another try that the budget pays for, unless there were enough or no time is left.
    fn again(&self, place: Place, pause: Duration, left: Duration, error: Error) -> Next {
        if self.sent - self.lost >= TRIES_MAX || pause >= left {
            return Next::End(error);
        }
        let paid = Some(error);
        Next::Again { place, pause, paid }
    }
}

/// The pause before try number `tries`: doubling, and between half of it and the whole by chance,
/// so that clients which failed together don't return together.
pub(crate) fn backoff(tries: u32, random: u64) -> Duration {
    let whole = (PAUSE_FIRST * 2u32.pow(tries.min(10))).min(PAUSE_MAX);
    let half = u64::try_from(whole.as_micros() / 2).unwrap_or(u64::MAX);
    Duration::from_micros(half + random % (half + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT: Duration = Duration::from_secs(5);

    fn lost() -> Failure {
        Failure::Lost("reset".to_owned())
    }

    fn answered(code: ErrorCode) -> Failure {
        Failure::Answered(WireError::new(code, "x"))
    }

    fn place(next: Next) -> Option<Place> {
        match next {
            Next::End(_) => None,
            Next::Again { place, .. } => Some(place),
        }
    }

    #[test]
    fn a_write_in_doubt_is_tried_elsewhere_where_the_node_says_that_this_helps() {
        let mut tries = Tries::new(true);
        let told = WireError::new(ErrorCode::InDoubt, "x").retry_after(1);
        let next = tries.after(Failure::Answered(told), LEFT, 0);
        assert_eq!(place(next), Some(Place::Other));
        assert!(tries.maybe_applied());
        assert_eq!(
            place(tries.after(answered(ErrorCode::InDoubt), LEFT, 0)),
            None
        );
    }

    #[test]
    fn lost_connections_have_a_bound_of_their_own_and_cost_no_tries() {
        let mut tries = Tries::new(false);
        for _ in 1..LOST_MAX {
            let next = tries.after(lost(), LEFT, 0);
            assert_eq!(next, Next::free(Place::Other));
        }
        let refused = tries.after(answered(ErrorCode::Overloaded), LEFT, 0);
        assert_eq!(place(refused), Some(Place::Other));
        assert_eq!(place(tries.after(lost(), LEFT, 0)), None);
    }

    #[test]
    fn a_lost_write_goes_to_its_coordinator_once_more_and_then_elsewhere() {
        let mut tries = Tries::new(true);
        assert!(!tries.is_retry());
        assert_eq!(place(tries.after(lost(), LEFT, 0)), Some(Place::Same));
        assert!(tries.is_retry() && tries.maybe_applied());
        assert_eq!(place(tries.after(lost(), LEFT, 0)), Some(Place::Other));
        assert_eq!(place(tries.after(lost(), LEFT, 0)), Some(Place::Same));
    }

    #[test]
    fn a_lost_read_goes_elsewhere_and_leaves_no_doubt() {
        let mut tries = Tries::new(false);
        assert_eq!(place(tries.after(lost(), LEFT, 0)), Some(Place::Other));
        assert!(!tries.maybe_applied());
    }

    #[test]
    fn what_was_not_sent_costs_nothing_and_is_no_retry() {
        let mut tries = Tries::new(true);
        let next = tries.after(Failure::Unreached("down".to_owned()), LEFT, 0);
        assert_eq!(
            next,
            Next::Again {
                place: Place::Other,
                pause: Duration::ZERO,
                paid: None
            }
        );
        assert!(!tries.is_retry() && !tries.maybe_applied());
    }

    #[test]
    fn a_refusal_leaves_no_doubt_about_the_write() {
        for code in [
            ErrorCode::Stopping,
            ErrorCode::Unavailable,
            ErrorCode::Overloaded,
            ErrorCode::StorageFailed,
        ] {
            let mut tries = Tries::new(true);
            assert_eq!(
                place(tries.after(answered(code), LEFT, 0)),
                Some(Place::Other),
                "{code:?}"
            );
            assert!(tries.is_retry() && !tries.maybe_applied());
        }
    }

    #[test]
    fn an_overloaded_node_is_left_alone_for_as_long_as_it_asks() {
        let wire = WireError::new(ErrorCode::Overloaded, "x").retry_after(700);
        let next = Tries::new(false).after(Failure::Answered(wire.clone()), LEFT, 0);
        assert!(matches!(next, Next::Again { pause, .. } if pause == Duration::from_millis(700)));
        let next = Tries::new(false).after(Failure::Answered(wire), Duration::from_millis(600), 0);
        assert!(
            matches!(next, Next::End(error) if error.retry_after() == Some(Duration::from_millis(700)))
        );
    }

    #[test]
    fn an_old_map_is_read_anew_twice_at_most() {
        let mut tries = Tries::new(false);
        assert_eq!(
            place(tries.after(answered(ErrorCode::NoSuchBucket), LEFT, 0)),
            Some(Place::Refreshed)
        );
        assert_eq!(
            place(tries.after(answered(ErrorCode::StaleRing), LEFT, 0)),
            Some(Place::Refreshed)
        );
        assert_eq!(
            place(tries.after(answered(ErrorCode::NoSuchBucket), LEFT, 0)),
            None
        );
    }

    #[test]
    fn other_coordinators_are_asked_after_a_missed_quorum_and_a_write_is_in_doubt() {
        for write in [false, true] {
            let mut tries = Tries::new(write);
            for _ in 0..MISSED_MAX {
                let missed = WireError::new(ErrorCode::QuorumNotMet, "x").retry_after(200);
                let next = tries.after(Failure::Answered(missed), LEFT, 0);
                assert!(
                    matches!(next, Next::Again { place: Place::Other, pause, paid: Some(_) } if pause < Duration::from_millis(100))
                );
                assert_eq!(tries.maybe_applied(), write);
            }
            let last = tries.after(answered(ErrorCode::QuorumNotMet), LEFT, 0);
            assert_eq!(place(last), None);
        }
    }

    #[test]
    fn wrong_requests_are_final() {
        for code in [
            ErrorCode::Invalid,
            ErrorCode::BadContext,
            ErrorCode::InDoubt,
        ] {
            assert_eq!(
                place(Tries::new(true).after(answered(code), LEFT, 0)),
                None,
                "{code:?}"
            );
        }
    }

    #[test]
    fn tries_are_bounded() {
        let mut tries = Tries::new(false);
        let made = (0..100)
            .take_while(|_| place(tries.after(answered(ErrorCode::Unavailable), LEFT, 0)).is_some())
            .count();
        assert_eq!(made, 5);
    }

    #[test]
    fn pauses_grow_and_are_jittered_within_their_half() {
        assert_eq!(backoff(0, 0), Duration::from_millis(10));
        for tries in 0..20 {
            let (low, high) = (backoff(tries, 0), backoff(tries, u64::MAX));
            assert!(low <= high && high <= PAUSE_MAX);
        }
        assert_eq!(backoff(20, 0), PAUSE_MAX / 2);
    }
}
