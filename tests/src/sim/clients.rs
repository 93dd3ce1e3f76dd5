//! Closed-loop clients: one operation at a time, retried with the same request id, at the same node or
//! another one, until it ends well or patience does.

mod replies;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_core::Ticket;
use quorate_protocol::client::{ClientReply, ClientRequest, SessionNeed};
use quorate_protocol::error::ErrorCode;
use quorate_protocol::ids::Dot;
use quorate_protocol::limits::{CHUNK_BYTES, SESSION_DOTS_MAX};
use quorate_protocol::map::{Bucket, ClusterMap};
use quorate_ring::Class;

use super::asking::is_made;
use super::counters::{Counter, Counters};
use super::dice::Dice;
use super::history::{History, Key, Kind, Operation, Outcome, WriteId};
use super::tries::as_retry;
use super::workload::{self, Wish};

/// A client waits so much longer than its deadline for a reply, microseconds.
const PATIENCE_US: u64 = 200_000;

/// What happens to a client.
#[derive(Clone, Debug)]
pub enum ClientEvent {
    /// Time for the next thing: an operation, or the next try.
    Go,
    /// A reply came.
    Reply(Ticket, Box<ClientReply>),
    /// The node ended while it had the request.
    Lost(Ticket),
    /// The node takes no connections.
    Refused(Ticket),
    /// Nothing came for too long.
    TimedOut(Ticket),
}

/// What a client wants of the world.
#[derive(Debug)]
pub enum ClientWant {
    /// Send a request to a node.
    Send {
        /// The node's place in the list.
        node: usize,
        /// The name of this try.
        ticket: Ticket,
        /// The operation's place in the history, if it is about a key.
        operation: Option<usize>,
        /// The request.
        request: Box<ClientRequest>,
        /// Its deadline, milliseconds.
        deadline_ms: u32,
    },
    /// Come back after this time, microseconds.
    After(u64, ClientEvent),
}

/// What clients share, lent for one call.
pub struct Shared<'a> {
    /// The time, microseconds.
    pub at_us: u64,
    /// The record of everything.
    pub history: &'a mut History,
    /// What happened, counted.
    pub counters: &'a mut Counters,
    /// The map.
    pub map: &'a ClusterMap,
    /// The nodes that are asked, by their places.
    pub nodes: &'a [usize],
    /// The last write id given out.
    pub last_write: &'a mut u64,
    /// The last ticket given out.
    pub last_ticket: &'a mut u64,
    /// Keys of each bucket.
    pub keys: u32,
    /// Operations without fallbacks, of a thousand.
    pub strict: u32,
    /// Puts whose values live for a limited time, of a thousand.
    pub expiring: u32,
    /// Whether every read asks who answered it.
    pub explain: bool,
    /// Mean pause between operations, microseconds.
    pub think_us: u64,
    /// Faults are over: clients are patient.
    pub healed: bool,
    /// What the client wants.
    pub wants: Vec<ClientWant>,
}

struct Current {
    /// Its place in the history.
    index: usize,
    key: Key,
    request: ClientRequest,
    then: Option<Wish>,
    node: usize,
    ticket: Ticket,
    attempts: u32,
    /// A try may have had an effect that nobody reported.
    in_doubt: bool,
    last_error: ErrorCode,
    waiting_to_retry: bool,
}

/// One client.
pub struct Client {
    id: u32,
    dice: Dice,
    /// For times to live: runs without any are as they were.
    lives: Dice,
    left: u32,
    current: Option<Current>,
    /// The last context of each key, and the writes that it stands for.
    contexts: BTreeMap<Key, (Bytes, BTreeSet<WriteId>)>,
    session: Option<BTreeMap<Class, BTreeSet<Dot>>>,
}

impl Client {
    /// A client with so many operations before it. Every other one keeps a session.
    #[must_use]
    pub fn new(id: u32, operations: u32, (dice, lives): (Dice, Dice)) -> Self {
        Self {
            id,
            dice,
            lives,
            left: operations,
            current: None,
            contexts: BTreeMap::new(),
            session: id.is_multiple_of(2).then(BTreeMap::new),
        }
    }

    /// Whether it has nothing left to do.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.left == 0 && self.current.is_none()
    }

    /// Takes at most so many more operations.
    pub fn wind_down(&mut self, most: u32) {
        self.left = self.left.min(most);
    }

    /// Takes an event.
    pub fn on_event(&mut self, cx: &mut Shared<'_>, event: ClientEvent) {
        let is_current = |ticket: Ticket| {
            self.current
                .as_ref()
                .is_some_and(|current| current.ticket == ticket && !current.waiting_to_retry)
        };
        match event {
            ClientEvent::Go => match &mut self.current {
                Some(current) if current.waiting_to_retry => self.send(cx),
                Some(_) => {}
                None if self.left == 0 => {}
                None => self.begin(cx),
            },
            ClientEvent::Reply(ticket, reply) if is_current(ticket) => self.on_reply(cx, *reply),
            ClientEvent::Lost(ticket) | ClientEvent::TimedOut(ticket) if is_current(ticket) => {
                self.on_silence(cx, ErrorCode::InDoubt);
            }
            ClientEvent::Refused(ticket) if is_current(ticket) => {
                self.on_silence(cx, ErrorCode::Unavailable);
            }
            ClientEvent::Reply(..)
            | ClientEvent::Lost(_)
            | ClientEvent::TimedOut(_)
            | ClientEvent::Refused(_) => {} // of a try that was given up
        }
    }

    fn begin(&mut self, cx: &mut Shared<'_>) {
        self.left -= 1;
        let bucket = workload::bucket(&mut self.dice, cx.map);
        let Some(bucket) = bucket else {
            return;
        };
        if is_made(bucket) {
            let what = "a key in a bucket that the run made";
            cx.counters.count(Counter::Operation(what));
        }
        let number = u32::try_from(self.dice.below(u64::from(cx.keys))).unwrap_or(0);
        let key = Key {
            bucket: bucket.id,
            number,
        };
        let wish = workload::wish(&mut self.dice, key);
        self.start(cx, bucket, key, wish);
    }

    fn start(&mut self, cx: &mut Shared<'_>, bucket: &Bucket, key: Key, wish: Wish) {
        cx.counters.count(Counter::Operation(wish.name()));
        match wish {
            Wish::PutForged => self.start_forged(cx, bucket, key, false),
            Wish::DeleteForged => self.start_forged(cx, bucket, key, true),
            Wish::List => {
                let (kind, request) = workload::list(cx.map, bucket, key, cx.keys);
                self.record(cx, key, kind, request.into(), None);
            }
            Wish::Read => self.start_read(cx, bucket, key, None),
            Wish::ReadThenPut => self.start_read(cx, bucket, key, Some(Wish::PutOver)),
            Wish::ReadThenDelete => self.start_read(cx, bucket, key, Some(Wish::DeleteOver)),
            Wish::PutOver | Wish::DeleteOver => {
                let context = self.contexts.get(&key).cloned();
                let delete = wish == Wish::DeleteOver;
                if delete && context.is_none() {
                    self.start_read(cx, bucket, key, None);
                } else {
                    self.start_write(cx, bucket, key, delete, context);
                }
            }
            Wish::PutBlind => self.start_write(cx, bucket, key, false, None),
            Wish::DeleteBlind => self.start_write(cx, bucket, key, true, None),
        }
    }

    fn start_read(&mut self, cx: &mut Shared<'_>, bucket: &Bucket, key: Key, then: Option<Wish>) {
        let mut options = workload::read_options(&mut self.dice, key, bucket, cx.strict);
        options.explain |= cx.explain;
        let session = self.need(class_of(cx.map, bucket, key));
        let get = workload::get(key, options, session);
        let kind = workload::read_kind(&get, bucket);
        self.record(cx, key, kind, get.into(), then);
    }

    fn start_forged(&mut self, cx: &mut Shared<'_>, bucket: &Bucket, key: Key, delete: bool) {
        let token = |(token, _): &(Bytes, BTreeSet<WriteId>)| token.clone();
        let own = self.contexts.get(&key).map(token);
        let mut others = self.contexts.iter().filter(|(other, _)| **other != key);
        let foreign = others.next().map(|(_, context)| token(context));
        let forged = workload::forged(&mut self.dice, own.as_ref(), foreign.as_ref());
        cx.history.forged.insert(cx.history.operations.len());
        self.start_write(cx, bucket, key, delete, Some((forged, BTreeSet::new())));
    }

    fn start_write(
        &mut self,
        cx: &mut Shared<'_>,
        bucket: &Bucket,
        key: Key,
        delete: bool,
        context: Option<(Bytes, BTreeSet<WriteId>)>,
    ) {
        *cx.last_write += 1;
        let id = WriteId(*cx.last_write);
        let (token, seen) = context.unzip();
        let options = workload::write_options(&mut self.dice, key, bucket, cx.strict);
        let kind = workload::write_kind(id, delete, seen, &options, bucket);
        let request = if delete {
            workload::delete(key, id, token, options).into()
        } else {
            let size = workload::size(&mut self.dice);
            if size > CHUNK_BYTES {
                cx.counters.count(Counter::Operation("huge value"));
            }
            let mut put = workload::put(key, id, size, token, options);
            put.ttl_ms = self.time_to_live(cx, bucket, id);
            put.into()
        };
        self.record(cx, key, kind, request, None);
    }

    /// The time to live that a put names, if it names one.
    fn time_to_live(&mut self, cx: &mut Shared<'_>, bucket: &Bucket, id: WriteId) -> Option<u64> {
        let named = (cx.expiring > 0)
            .then(|| workload::ttl_ms(&mut self.lives, cx.expiring, cx.healed))
            .flatten();
        let defaults = &bucket.props.defaults;
        let ttl_ms = named.unwrap_or(defaults.ttl_ms);
        if ttl_ms > 0 {
            cx.history.lifetimes.insert(id, ttl_ms);
        }
        let what = match (named, defaults.ttl_ms) {
            (Some(0), 1..) => "put that lasts where the default is to expire",
            (Some(0), 0) | (None, 0) => return named,
            (None, _) => "put with its bucket's time to live",
            (Some(_), _) => "put with a time to live",
        };
        cx.counters.count(Counter::Operation(what));
        named
    }

    /// What this session has seen of a class, if it keeps one and it is not too much.
    fn need(&self, class: Class) -> Option<SessionNeed> {
        let dots = self.session.as_ref()?.get(&class)?;
        (dots.len() <= SESSION_DOTS_MAX).then(|| SessionNeed {
            dots: dots.iter().copied().collect(),
            up_to: Vec::new(),
        })
    }

    fn record(
        &mut self,
        cx: &mut Shared<'_>,
        key: Key,
        kind: Kind,
        request: ClientRequest,
        then: Option<Wish>,
    ) {
        let index = cx.history.operations.len();
        cx.history.operations.push(Operation {
            client: self.id,
            key,
            kind,
            invoked_us: cx.at_us,
            completed_us: u64::MAX,
            outcome: Outcome::Pending,
            attempts: 0,
            shown: Vec::new(),
            dot: None,
            unsure: false,
            alone: false,
            only: None,
        });
        self.current = Some(Current {
            index,
            key,
            request,
            then,
            node: cx.nodes[self.dice.index(cx.nodes.len())],
            ticket: Ticket(0),
            attempts: 0,
            in_doubt: false,
            last_error: ErrorCode::Unavailable,
            waiting_to_retry: false,
        });
        self.send(cx);
    }

    fn send(&mut self, cx: &mut Shared<'_>) {
        let Some(current) = &mut self.current else {
            return;
        };
        current.attempts += 1;
        current.waiting_to_retry = false;
        if current.attempts > 1 && self.dice.chance(500) {
            current.node = cx.nodes[self.dice.index(cx.nodes.len())];
            cx.counters
                .count(Counter::Operation("retry, maybe through another node"));
        }
        *cx.last_ticket += 1;
        current.ticket = Ticket(*cx.last_ticket);
        let request = if current.attempts > 1 {
            as_retry(&current.request)
        } else {
            current.request.clone()
        };
        let deadline_ms = if self.dice.chance(300) {
            self.dice.between(1_000, 3_000)
        } else {
            self.dice.between(100, 1_000)
        };
        cx.history.operations[current.index].attempts = current.attempts;
        if deadline_ms < 1_000 {
            cx.history.hasty.insert(current.index);
        }
        cx.wants.push(ClientWant::Send {
            node: current.node,
            ticket: current.ticket,
            operation: Some(current.index),
            request: Box::new(request),
            deadline_ms: u32::try_from(deadline_ms).unwrap_or(1),
        });
        cx.wants.push(ClientWant::After(
            deadline_ms * 1000 + PATIENCE_US,
            ClientEvent::TimedOut(current.ticket),
        ));
    }

    fn pause(&mut self, cx: &mut Shared<'_>) {
        let think_us = if cx.healed { 10_000 } else { cx.think_us };
        let pause_us = self.dice.exponential(think_us) + 1;
        cx.wants.push(ClientWant::After(pause_us, ClientEvent::Go));
    }
}

fn class_of(map: &ClusterMap, bucket: &Bucket, key: Key) -> Class {
    Class {
        n: bucket.props.n,
        partition: map.ring.partition_of(bucket.id, &key.bytes()),
    }
}
