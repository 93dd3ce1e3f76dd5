//! A few nodes under virtual time, with links that lose and delay.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use quorate_protocol::MapDigest;
use quorate_protocol::versioned::{MapName, MapVersion};

use crate::membership::*;

pub(super) const MS: u64 = 1000;
pub(super) const SECOND: u64 = 1000 * MS;

/// What a link does to a message sent at a time: `None` loses it, or so many microseconds of delay.
pub(super) type Link = Box<dyn FnMut(&mut Dice, NodeId, NodeId, u64) -> Option<u64>>;

/// Deterministic dice: SplitMix64.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: u64,
    order: u64,
}

pub(super) struct Node {
    pub(super) membership: Membership,
    /// Stopped processes neither tick nor receive; what arrives waits for them.
    pub(super) stopped_until: u64,
    pub(super) dead: bool,
    skew_ms: i64,
}

pub(super) struct Net {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    queue: BinaryHeap<Reverse<Due>>,
    events: BTreeMap<u64, (NodeId, NodeId, MemberInput)>,
    pub(super) now: u64,
    order: u64,
    pub(super) dice: Dice,
    pub(super) link: Link,
    /// Ticks come up to so much late.
    pub(super) tick_late: u64,
    pub(super) sent: u64,
    /// Who said what when.
    pub(super) seen: Vec<(u64, NodeId, MemberEffect)>,
}

pub(super) fn id(number: u64) -> NodeId {
    NodeId::new(number)
}

pub(super) fn version(number: u64) -> MapName {
    MapName {
        version: MapVersion::new(number),
        digest: MapDigest::new(number, 0),
    }
}

pub(super) fn wall(now: u64, skew_ms: i64) -> Now {
    Now {
        mono_us: now,
        wall_ms: (1_700_000_000_000 + now / 1000)
            .checked_add_signed(skew_ms)
            .unwrap(),
    }
}

impl Net {
    pub(super) fn new(nodes: u64, seed: u64) -> Self {
        let quick: Link = Box::new(|dice, _, _, _| Some(200 + dice.below(800)));
        let mut net = Self {
            nodes: BTreeMap::new(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            now: 0,
            order: 0,
            dice: Dice(seed),
            link: quick,
            tick_late: 2 * MS,
            sent: 0,
            seen: Vec::new(),
        };
        for number in 1..=nodes {
            net.start(number, nodes, 1000 + number, 0);
        }
        net
    }

    pub(super) fn start(&mut self, number: u64, nodes: u64, incarnation: u64, skew_ms: i64) {
        let peers = (1..=nodes).map(id);
        let membership = Membership::new(
            id(number),
            incarnation,
            version(1),
            peers,
            Timing::default(),
            wall(self.now, skew_ms),
        );
        let node = Node {
            membership,
            stopped_until: 0,
            dead: false,
            skew_ms,
        };
        self.nodes.insert(id(number), node);
        self.schedule_tick(id(number));
    }

    fn schedule(&mut self, at: u64, from: NodeId, to: NodeId, input: MemberInput) {
        self.order += 1;
        self.events.insert(self.order, (from, to, input));
        self.queue.push(Reverse(Due {
            at,
            order: self.order,
        }));
    }

    fn schedule_tick(&mut self, node: NodeId) {
        let late = self.dice.below(self.tick_late.max(1));
        let at = self.nodes[&node].membership.next_timer().max(self.now) + late;
        self.schedule(at, node, node, MemberInput::Tick);
    }

    pub(super) fn run_until(&mut self, end: u64) {
        while self.queue.peek().is_some_and(|Reverse(due)| due.at <= end) {
            let Some(Reverse(due)) = self.queue.pop() else {
                break;
            };
            self.now = due.at;
            let (from, to, input) = self.events.remove(&due.order).unwrap();
            let node = &self.nodes[&to];
            if node.dead {
                continue;
            }
            if node.stopped_until > self.now {
                let at = node.stopped_until + self.order % 50;
                self.schedule(at, from, to, input);
                continue;
            }
            self.give(to, input);
        }
        self.now = end;
    }

    pub(super) fn give(&mut self, to: NodeId, input: MemberInput) {
        let tick = input == MemberInput::Tick;
        let node = self.nodes.get_mut(&to).unwrap();
        let mut effects = Vec::new();
        node.membership
            .handle(wall(self.now, node.skew_ms), input, &mut effects);
        for effect in effects {
            match effect {
                MemberEffect::Send { to: peer, message } => self.send(to, peer, message),
                MemberEffect::Up(_)
                | MemberEffect::Down(_)
                | MemberEffect::Restarted(_)
                | MemberEffect::MapDiffers { .. } => self.seen.push((self.now, to, effect)),
            }
        }
        if tick {
            self.schedule_tick(to);
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: PeerMessage) {
        self.sent += 1;
        let Some(delay) = (self.link)(&mut self.dice, from, to, self.now) else {
            return;
        };
        let input = if let PeerMessage::Heartbeat(hb) = message {
            MemberInput::Heartbeat { from, hb }
        } else if let PeerMessage::HeartbeatAck(hb) = message {
            MemberInput::Ack { from, hb }
        } else {
            panic!("membership sent {}", message.name())
        };
        self.schedule(self.now + delay, from, to, input);
    }

    pub(super) fn all_up(&self) -> bool {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        let sees_all = |node: &Node| node.membership.up().count() == ids.len() - 1;
        self.nodes.values().all(sees_all)
    }

    pub(super) fn downs(&self) -> Vec<(u64, u64, u64)> {
        let down = |(at, who, effect): &(u64, NodeId, MemberEffect)| match effect {
            MemberEffect::Down(peer) => Some((*at, who.get(), peer.get())),
            MemberEffect::Up(_)
            | MemberEffect::Restarted(_)
            | MemberEffect::MapDiffers { .. }
            | MemberEffect::Send { .. } => None,
        };
        self.seen.iter().filter_map(down).collect()
    }
}
