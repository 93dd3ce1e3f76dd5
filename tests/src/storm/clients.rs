//! Clients of the real library, each doing one thing at a time, and what they note of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quorate_client::{Bucket, Client, Context, Error, Kind as ErrorKind, Read, Write};
use quorate_protocol::map::Bucket as Definition;
use tokio::time::{MissedTickBehavior, interval};

use crate::history::{Key, Kind, Operation, Outcome, Shown, WriteId, value_of, write_of};
use crate::sim::dice::Dice;
use crate::sim::workload::{self, Wish};

use super::journal::Journal;

/// Keys that are in use at the same time: few enough that clients meet on them.
const WINDOW: u64 = 300;
/// Operations after which the window moves on by one key: about as many happen to each key.
const OPERATIONS_EACH: u64 = 80;
/// Operations after which a client begins a new session.
const SESSION_OPERATIONS: u32 = 3_000;
/// Contexts that a client remembers.
const CONTEXTS_MAX: usize = 200;
/// Requests without fallbacks, of a thousand.
const STRICT: u32 = 250;
/// Listings, of a thousand operations.
const LISTINGS: u32 = 1;
const DEADLINE: Duration = Duration::from_secs(3);

/// What all clients share.
pub(super) struct Field {
    start: Instant,
    stop: AtomicBool,
    done: AtomicU64,
    last_write: AtomicU64,
    buckets: Vec<Definition>,
    notes: Mutex<Notes>,
}

/// What clients noted.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) journal: Journal,
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) in_doubt: u64,
    pub(super) listings: u64,
    /// Microseconds of every operation that ended ok.
    pub(super) took_us: Vec<u32>,
    /// How often each error came.
    pub(super) errors: BTreeMap<&'static str, u64>,
}

impl Field {
    pub(super) fn new(buckets: Vec<Definition>) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            stop: AtomicBool::new(false),
            done: AtomicU64::new(0),
            last_write: AtomicU64::new(0),
            buckets,
            notes: Mutex::default(),
        })
    }

    /// No client begins anything new.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Operations so far.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        // Nobody panics while holding it.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn definition(&self, dice: &mut Dice) -> Option<&Definition> {
        let last = self.buckets.len().saturating_sub(1);
        self.buckets.get(if dice.chance(850) { 0 } else { last })
    }

    fn key(&self, definition: &Definition, dice: &mut Dice) -> Key {
        let number = self.done() / OPERATIONS_EACH + dice.below(WINDOW);
        Key {
            bucket: definition.id,
            number: u32::try_from(number).unwrap_or(u32::MAX),
        }
    }
}

/// One client, until it is told to stop.
pub(super) struct Worker {
    field: Arc<Field>,
    client: Client,
    number: u32,
    dice: Dice,
    session: Option<quorate_client::Session>,
    left: u32,
    /// The last context of each key, and the writes that it stands for.
    contexts: BTreeMap<Key, (Context, BTreeSet<WriteId>)>,
}

impl Worker {
    pub(super) fn new(field: Arc<Field>, client: Client, number: u32, seed: u64) -> Self {
        Self {
            field,
            client,
            number,
            dice: Dice::new(seed, &format!("client {number}")),
            session: None,
            left: 0,
            contexts: BTreeMap::new(),
        }
    }

    /// Does something every `period`; what could not be done in time is made up for.
    pub(super) async fn work(mut self, period: Duration) {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while !self.field.stop.load(Ordering::Relaxed) {
            ticks.tick().await;
            self.renew();
            let field = Arc::clone(&self.field);
            let Some(definition) = field.definition(&mut self.dice) else {
                return;
            };
            if self.dice.chance(LISTINGS) && self.dice.chance(100) {
                self.list(definition).await;
                continue;
            }
            let key = field.key(definition, &mut self.dice);
            let wish = workload::wish(&mut self.dice, key);
            self.wish(definition, key, wish).await;
        }
    }

    /// Every other client keeps a session, and begins a new one from time to time.
    fn renew(&mut self) {
        if self.left == 0 {
            self.left = SESSION_OPERATIONS;
            self.number += 1_000;
            self.session = self.number.is_multiple_of(2).then(|| self.client.session());
        }
        self.left -= 1;
        if self.contexts.len() > CONTEXTS_MAX {
            self.contexts.pop_first();
        }
    }

    fn bucket(&self, definition: &Definition) -> Bucket {
        let name = definition.name.clone();
        match &self.session {
            Some(session) => session.bucket(name),
            None => self.client.bucket(name),
        }
    }

    async fn wish(&mut self, definition: &Definition, key: Key, wish: Wish) {
        match wish {
            // Contexts are forged in the simulator, and listings have a chance of their own here.
            Wish::Read | Wish::PutForged | Wish::DeleteForged | Wish::List => {
                self.read(definition, key).await;
            }
            Wish::ReadThenPut | Wish::ReadThenDelete => {
                if self.read(definition, key).await {
                    let context = self.contexts.get(&key).cloned();
                    let delete = wish == Wish::ReadThenDelete;
                    self.write(definition, key, delete, context).await;
                }
            }
            Wish::PutOver | Wish::DeleteOver => {
                let context = self.contexts.get(&key).cloned();
                if wish == Wish::DeleteOver && context.is_none() {
                    self.read(definition, key).await;
                } else {
                    let delete = wish == Wish::DeleteOver;
                    self.write(definition, key, delete, context).await;
                }
            }
            Wish::PutBlind => self.write(definition, key, false, None).await,
            Wish::DeleteBlind => self.write(definition, key, true, None).await,
        }
    }

    /// Whether there was an answer.
    async fn read(&mut self, definition: &Definition, key: Key) -> bool {
        let options = workload::read_options(&mut self.dice, key, definition, STRICT);
        let mut kind = workload::read_kind(&workload::get(key, options, None), definition);
        if let Kind::Get { session, .. } = &mut kind {
            *session = self.session.is_some();
        }
        let get = self.bucket(definition).get(key.bytes());
        let mut operation = self.begin(key, kind);
        let answer = get.options(options).deadline(DEADLINE).send().await;
        let found = answer.is_ok();
        match answer {
            Ok(read) => self.shown(&mut operation, read),
            Err(error) => self.failed(&mut operation, &error),
        }
        self.end(operation);
        found
    }

    fn shown(&mut self, operation: &mut Operation, read: Read) {
        operation.outcome = Outcome::Ok;
        operation.unsure = read.fallbacks_only || read.maybe_stale;
        for sibling in &read.siblings {
            match write_of(&sibling.data) {
                Ok(write) => operation.shown.push(Shown {
                    write,
                    dot: sibling.dot,
                }),
                Err(why) => self.field.notes().journal.add_damaged(operation.key, why),
            }
        }
        let seen = operation.shown.iter().map(|shown| shown.write).collect();
        self.contexts.insert(operation.key, (read.context, seen));
    }

    async fn write(
        &mut self,
        definition: &Definition,
        key: Key,
        delete: bool,
        context: Option<(Context, BTreeSet<WriteId>)>,
    ) {
        let id = WriteId(self.field.last_write.fetch_add(1, Ordering::Relaxed) + 1);
        let (token, seen) = context.unzip();
        let options = workload::write_options(&mut self.dice, key, definition, STRICT);
        let kind = workload::write_kind(id, delete, seen.clone(), &options, definition);
        let bucket = self.bucket(definition);
        let size = self.size();
        let mut operation = self.begin(key, kind);
        let answer = if delete {
            let delete = bucket.delete(key.bytes()).options(options);
            let delete = token
                .into_iter()
                .fold(delete, quorate_client::Delete::context);
            delete.deadline(DEADLINE).send().await
        } else {
            let put = bucket.put(key.bytes(), value_of(id, size)).options(options);
            let put = token.into_iter().fold(put, quorate_client::Put::context);
            put.deadline(DEADLINE).send().await
        };
        match answer {
            Ok(write) => self.written(&mut operation, id, seen, write),
            Err(error) => self.failed(&mut operation, &error),
        }
        self.end(operation);
    }

    fn written(
        &mut self,
        operation: &mut Operation,
        id: WriteId,
        seen: Option<BTreeSet<WriteId>>,
        write: Write,
    ) {
        operation.outcome = Outcome::Ok;
        operation.dot = write.dot;
        match write.context {
            Some(context) => {
                let mut seen = seen.unwrap_or_default();
                seen.insert(id);
                self.contexts.insert(operation.key, (context, seen));
            }
            // Versions that nobody here has seen stand beside it.
            None => drop(self.contexts.remove(&operation.key)),
        }
    }

    fn failed(&self, operation: &mut Operation, error: &Error) {
        operation.outcome = match error.kind() {
            ErrorKind::Retry | ErrorKind::Fix => Outcome::Failed(error.code()),
            ErrorKind::InDoubt | ErrorKind::GiveUp => Outcome::Unknown,
        };
        *self
            .field
            .notes()
            .errors
            .entry(error.code().name())
            .or_default() += 1;
    }

    /// Mostly few bytes, now and then a value that is stored in pieces.
    fn size(&mut self) -> usize {
        let size = if self.dice.chance(2) {
            self.dice.between(60_000, 150_000)
        } else {
            self.dice.between(8, 300)
        };
        usize::try_from(size).unwrap_or(8)
    }

    fn begin(&self, key: Key, kind: Kind) -> Operation {
        Operation {
            client: self.number,
            key,
            kind,
            invoked_us: self.field.now_us(),
            completed_us: u64::MAX,
            outcome: Outcome::Pending,
            // The library does not tell: judges are to expect that there were more than one.
            attempts: 2,
            shown: Vec::new(),
            dot: None,
            unsure: false,
            alone: false,
            only: None,
        }
    }

    fn end(&self, mut operation: Operation) {
        operation.completed_us = self.field.now_us();
        self.field.done.fetch_add(1, Ordering::Relaxed);
        let took_us = operation.completed_us - operation.invoked_us;
        let mut notes = self.field.notes();
        match operation.outcome {
            Outcome::Ok => {
                notes.ok += 1;
                notes
                    .took_us
                    .push(u32::try_from(took_us).unwrap_or(u32::MAX));
            }
            Outcome::Failed(_) => notes.failed += 1,
            Outcome::Unknown | Outcome::Pending => notes.in_doubt += 1,
        }
        notes.journal.add(&operation);
    }

    /// Lists a bucket; a name that nobody gave is an invention.
    async fn list(&self, definition: &Definition) {
        let mut keys = self.bucket(definition).keys();
        while let Ok(Some(key)) = keys.next().await {
            if Key::parse(definition.id, &key).is_none() {
                let key = String::from_utf8_lossy(&key).into_owned();
                let nobody = Key {
                    bucket: definition.id,
                    number: 0,
                };
                let why = format!("the key {key:?} was listed and never written");
                self.field.notes().journal.add_damaged(nobody, why);
            }
        }
        self.field.notes().listings += 1;
    }
}
