//! Clients that ask for buckets: what they ask for, when, and what they make of the answers.
//!
//! Several ask at nearly the same time, at different nodes, for the same, for different definitions of one name, for
//! other defaults of what exists, for what can never be, and repeat what got no answer elsewhere.

use std::collections::VecDeque;

use quorate_core::Ticket;
use quorate_protocol::RequestId;
use quorate_protocol::client::{ClientReply, PutBucket};
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::map::{Bucket, BucketMode, BucketProps, ClusterMap};
use quorate_protocol::options::{Count, QuorumDefaults};

use super::clients::{ClientEvent, ClientWant};
use super::counters::{Counter, Counters};
use super::dice::Dice;
use super::tries::is_worth_repeating;

/// A client waits so much longer than its deadline for a reply, microseconds.
const PATIENCE_US: u64 = 200_000;
/// Those who meet over a name come within this time, microseconds.
const MEETING_US: u64 = 40_000;

/// What the names of all buckets begin with that runs make. In the map they stand behind those that are
/// there from the start.
const MADE: &str = "made-";

/// Whether a bucket was made by the run.
#[must_use]
pub fn is_made(bucket: &Bucket) -> bool {
    bucket.name.starts_with(MADE)
}

/// What a seed decides about buckets.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What most clients ask for, by name.
    pub names: Vec<PutBucket>,
    /// When clients meet over a name, microseconds from the start, and its place in the list.
    pub meetings: Vec<(u64, usize)>,
    /// Clients that ask.
    pub askers: usize,
}

impl Plan {
    /// A plan for a cluster and a phase with faults of this length, microseconds. No bucket keeps less than
    /// `least` copies.
    #[must_use]
    pub fn draw(dice: &mut Dice, map: &ClusterMap, fault_us: u64, least: u8) -> Self {
        let names = 1 + dice.index(3);
        let names = (0..names).map(|number| wanted(dice, number, map.ring.copies(), least));
        let names: Vec<PutBucket> = names.collect();
        let meetings = dice.between(5, 10);
        // The first ones are early: what is made is to be used.
        let at = |dice: &mut Dice, number| match number {
            0 => (1_000_000 + dice.below(2_000_000), 0),
            _ => (dice.below(fault_us), dice.index(names.len())),
        };
        let mut meetings: Vec<(u64, usize)> =
            (0..meetings).map(|number| at(dice, number)).collect();
        meetings.sort_unstable();
        Self {
            names,
            meetings,
            askers: 2 + dice.index(3),
        }
    }
}

/// A definition: of another n than the default more often than not.
fn wanted(dice: &mut Dice, number: usize, copies: u8, least: u8) -> PutBucket {
    let least = least.min(copies);
    let n = least + u8::try_from(dice.below(u64::from(copies - least) + 1)).unwrap_or(0);
    let n = if n == 3 && dice.chance(500) {
        copies
    } else {
        n
    };
    PutBucket {
        name: format!("{MADE}{number}"),
        props: BucketProps {
            n,
            mode: if dice.chance(300) {
                BucketMode::Lww
            } else {
                BucketMode::Siblings
            },
            defaults: QuorumDefaults::default(),
        },
        request: RequestId::new(0, 0),
    }
}

/// What one request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Usual,
    OtherDefaults,
    OtherNature,
    Invalid,
    ChangeOfFirst,
}

impl Wish {
    fn draw(dice: &mut Dice) -> Self {
        match dice.below(100) {
            0..50 => Self::Usual,
            50..75 => Self::OtherDefaults,
            75..85 => Self::OtherNature,
            85..93 => Self::Invalid,
            _ => Self::ChangeOfFirst,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Usual => "ask for a bucket",
            Self::OtherDefaults => "ask for a bucket with other defaults",
            Self::OtherNature => "ask for a bucket with other n or mode",
            Self::Invalid => "ask for a bucket that cannot be",
            Self::ChangeOfFirst => "ask for another n or mode of a bucket in use",
        }
    }

    fn request(self, dice: &mut Dice, usual: &PutBucket, map: &ClusterMap) -> PutBucket {
        let mut request = usual.clone();
        match self {
            Self::Usual => {}
            Self::OtherDefaults => other_defaults(dice, &mut request.props.defaults),
            Self::OtherNature => other_nature(dice, &mut request.props, map.ring.copies()),
            Self::Invalid => spoil(dice, &mut request, map.ring.copies()),
            Self::ChangeOfFirst => {
                if let Some(first) = map.buckets.first() {
                    request.name.clone_from(&first.name);
                    request.props.clone_from(&first.props);
                }
                other_nature(dice, &mut request.props, map.ring.copies());
            }
        }
        request
    }
}

/// One of three other ways. Requests about keys in such buckets name all that varies here.
fn other_defaults(dice: &mut Dice, defaults: &mut QuorumDefaults) {
    match dice.below(3) {
        0 => defaults.r = Count::All,
        1 => (defaults.w, defaults.sloppy) = (Count::All, false),
        _ => (defaults.r, defaults.notfound_ok) = (Count::All, false),
    }
}

fn other_nature(dice: &mut Dice, props: &mut BucketProps, copies: u8) {
    if copies > 1 && dice.chance(500) {
        props.n = if props.n == copies {
            copies - 1
        } else {
            copies
        };
    } else {
        props.mode = match props.mode {
            BucketMode::Siblings => BucketMode::Lww,
            BucketMode::Lww => BucketMode::Siblings,
        };
    }
}

fn spoil(dice: &mut Dice, request: &mut PutBucket, copies: u8) {
    match dice.below(4) {
        0 => request.props.n = 0,
        1 => request.props.n = copies + 1,
        2 => request.props.defaults.r = Count::Exactly(request.props.n + 1),
        _ => request.name = "with a\ncontrol character".to_owned(),
    }
}

/// What an asker is lent for one call.
pub struct Lent<'a> {
    /// What happened, counted.
    pub counters: &'a mut Counters,
    /// The map that clients know.
    pub map: &'a ClusterMap,
    /// The nodes that are asked, by their places.
    pub nodes: &'a [usize],
    /// What most ask for.
    pub names: &'a [PutBucket],
    /// The last ticket given out.
    pub last_ticket: &'a mut u64,
    /// Faults are over.
    pub healed: bool,
    /// What it wants of the world.
    pub wants: Vec<ClientWant>,
    /// It was told of a bucket.
    pub told: Option<Bucket>,
}

#[derive(Clone, Debug)]
struct Current {
    request: PutBucket,
    node: usize,
    ticket: Ticket,
    attempts: u32,
    waiting_to_retry: bool,
}

/// One client that asks for buckets, one after the other.
#[derive(Clone, Debug)]
pub struct Asker {
    dice: Dice,
    /// The names of the meetings to come.
    names: VecDeque<usize>,
    current: Option<Current>,
}

impl Asker {
    /// Comes to all meetings of a plan. Returns also when, microseconds from the start.
    #[must_use]
    pub fn new(plan: &Plan, mut dice: Dice) -> (Self, Vec<u64>) {
        let times = plan
            .meetings
            .iter()
            .map(|(at_us, _)| at_us + dice.below(MEETING_US));
        let times = times.collect();
        let names = plan.meetings.iter().map(|(_, name)| *name).collect();
        let asker = Self {
            dice,
            names,
            current: None,
        };
        (asker, times)
    }

    /// Whether it waits for nothing.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.current.is_none()
    }

    /// Takes an event; `Go` is a meeting, or the time for the next try.
    pub fn on_event(&mut self, lent: &mut Lent<'_>, event: ClientEvent) {
        let waits = |ticket: Ticket| {
            let current = self.current.as_ref();
            current.is_some_and(|current| current.ticket == ticket && !current.waiting_to_retry)
        };
        match event {
            ClientEvent::Go => match &self.current {
                Some(current) if current.waiting_to_retry => self.send(lent),
                Some(_) => {}
                None => self.begin(lent),
            },
            ClientEvent::Reply(ticket, reply) if waits(ticket) => self.on_reply(lent, *reply),
            ClientEvent::Lost(ticket)
            | ClientEvent::TimedOut(ticket)
            | ClientEvent::Refused(ticket)
                if waits(ticket) =>
            {
                self.on_error(lent, ErrorCode::InDoubt);
            }
            ClientEvent::Reply(..)
            | ClientEvent::Lost(_)
            | ClientEvent::TimedOut(_)
            | ClientEvent::Refused(_) => {} // of a try that was given up
        }
    }

    fn begin(&mut self, lent: &mut Lent<'_>) {
        let usual = self.names.pop_front().and_then(|name| lent.names.get(name));
        let Some(usual) = usual.filter(|_| !lent.healed) else {
            return;
        };
        let wish = Wish::draw(&mut self.dice);
        let mut request = wish.request(&mut self.dice, usual, lent.map);
        request.request = RequestId::new(self.dice.bits(), self.dice.bits());
        lent.counters.count(Counter::Operation(wish.name()));
        self.current = Some(Current {
            request,
            node: lent.nodes[self.dice.index(lent.nodes.len())],
            ticket: Ticket(0),
            attempts: 0,
            waiting_to_retry: false,
        });
        self.send(lent);
    }

    fn send(&mut self, lent: &mut Lent<'_>) {
        let Some(current) = &mut self.current else {
            return;
        };
        current.attempts += 1;
        current.waiting_to_retry = false;
        if current.attempts > 1 {
            current.node = lent.nodes[self.dice.index(lent.nodes.len())];
        }
        *lent.last_ticket += 1;
        current.ticket = Ticket(*lent.last_ticket);
        let deadline_ms = self.dice.between(100, 2_500);
        lent.wants.push(ClientWant::Send {
            node: current.node,
            ticket: current.ticket,
            operation: None,
            request: Box::new(current.request.clone().into()),
            deadline_ms: u32::try_from(deadline_ms).unwrap_or(1),
        });
        lent.wants.push(ClientWant::After(
            deadline_ms * 1000 + PATIENCE_US,
            ClientEvent::TimedOut(current.ticket),
        ));
    }

    fn on_reply(&mut self, lent: &mut Lent<'_>, reply: ClientReply) {
        match reply {
            ClientReply::BucketStored(stored) => {
                lent.told = Some(stored.bucket);
                self.current = None;
            }
            ClientReply::Failed(WireError { code, .. }) => self.on_error(lent, code),
            ClientReply::Got(_)
            | ClientReply::Written(_)
            | ClientReply::KeyPage(_)
            | ClientReply::Map(_)
            | ClientReply::Pong(_)
            | ClientReply::StatusReport(_)
            | ClientReply::ReplicaPage(_)
            | ClientReply::BackupReport(_)
            | ClientReply::ScrubState(_)
            | ClientReply::MapLog(_)
            | ClientReply::RingChanged(_)
            | ClientReply::RingPlan(_)
            | ClientReply::MovesReport(_)
            | ClientReply::Version(_) => self.on_error(lent, ErrorCode::Protocol),
        }
    }

    fn on_error(&mut self, lent: &mut Lent<'_>, code: ErrorCode) {
        let Some(current) = &mut self.current else {
            return;
        };
        let goes_on = current.attempts < 6 && !self.dice.chance(100) && !lent.healed;
        if is_worth_repeating(code) && goes_on {
            current.waiting_to_retry = true;
            let pause_us = self.dice.between(10_000, 1_000_000);
            lent.wants
                .push(ClientWant::After(pause_us, ClientEvent::Go));
        } else {
            self.current = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::config::Config;

    #[test]
    fn what_is_asked_for_is_valid_unless_it_is_meant_not_to_be() {
        let map = Config::draw(0).map;
        let mut dice = Dice::new(1, "asking");
        let copies = map.ring.copies();
        for _ in 0..300 {
            let plan = Plan::draw(&mut dice, &map, 60_000_000, 2);
            for usual in &plan.names {
                let wish = Wish::draw(&mut dice);
                let PutBucket { name, props, .. } = wish.request(&mut dice, usual, &map);
                let mut bucket = map.buckets[0].clone();
                (bucket.name, bucket.props) = (name, props);
                assert_eq!(
                    bucket.check(copies).is_err(),
                    wish == Wish::Invalid,
                    "{bucket:?}"
                );
                assert!(usual.props.n >= 2 && bucket.name >= map.buckets[0].name);
            }
        }
    }
}
