//! Carrying out one request: route, connect, send, and try again where that is right.
//!
//! [`retry`] and [`crate::routing`] decide; this module does what they say, within one deadline.

mod budget;
mod maps;
mod retry;
mod round;
mod seeds;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quorate_protocol::client::{ClientReply, ClientRequest};
use quorate_protocol::map::ClusterMap;
use quorate_protocol::{ErrorCode, RequestId};
use quorate_ring::{NodeId, RingVersion};
use tokio::time::Instant;

use crate::error::{Error, Kind};
use crate::net::{CallError, Envelope, PATIENCE, Pool};
use crate::randomness::Randomness;
use crate::routing::{self, Reach, Target};
use budget::Budget;
use maps::Maps;
use retry::{Failure, Next, Place, Tries};
use round::Round;

/// How long a refresh of the map may take that no request waits for.
const REFRESH_TIME: Duration = Duration::from_secs(5);

/// Which nodes may answer a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Route {
    /// The replicas of a key, or whoever passes it on.
    Key(Target),
    /// Any node, beginning anywhere.
    Anybody,
    /// This node only.
    Node(NodeId),
}

/// Something to ask the cluster for.
pub(crate) trait Operation: Sync {
    /// Whether a lost answer leaves it open what happened.
    fn is_write(&self) -> bool;

    /// The request under this map, and where it goes.
    ///
    /// # Errors
    /// The request is wrong; `NoSuchBucket` makes the map be read anew first.
    fn prepare(&self, map: &ClusterMap, retry: bool) -> Result<(ClientRequest, Route), Error>;
}

/// What all handles of one client share.
pub(crate) struct Shared {
    pool: Arc<Pool>,
    maps: Maps,
    seeds: Vec<String>,
    budget: Mutex<Budget>,
    /// Request ids: a random half, and a counter that starts at random.
    origin: u64,
    counter: AtomicU64,
}

impl Shared {
    /// Connects to the first seed that answers with a map.
    pub(crate) async fn connect(
        pool: Pool,
        seeds: Vec<String>,
        deadline: Instant,
        randomness: &mut Randomness,
    ) -> Result<Arc<Self>, Error> {
        let (origin, counter) = (randomness.draw()?, AtomicU64::new(randomness.draw()?));
        let pool = Arc::new(pool);
        let map = seeds::map_of_any(&pool, &seeds, deadline).await?;
        let budget = Mutex::new(Budget::new(Instant::now()));
        Ok(Arc::new(Self {
            pool,
            maps: Maps::new(map),
            seeds,
            budget,
            origin,
            counter,
        }))
    }

    /// The cluster map in use.
    pub(crate) fn map(&self) -> Arc<ClusterMap> {
        self.maps.current()
    }

    /// A request id that was never used.
    pub(crate) fn request_id(&self) -> RequestId {
        RequestId::new(self.origin, self.counter.fetch_add(1, Ordering::Relaxed))
    }

    /// Names one request, over all its tries, in the logs of every node that works on it. Never 0.
    fn trace_id(&self) -> u64 {
        (self.random() ^ self.origin).max(1)
    }

    /// Any number: for jitter and for spreading, nothing that safety depends on.
    pub(crate) fn random(&self) -> u64 {
        // Consecutive numbers, scattered by one round of the SplitMix64 generator (Steele et al. 2014).
        let mut mixed = self
            .counter
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 31)
    }

    /// Ends all connections.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// Carries out one operation within `time`.
    pub(crate) async fn run(
        self: &Arc<Self>,
        operation: &dyn Operation,
        time: Duration,
    ) -> Result<ClientReply, Error> {
        self.lock_budget().earn();
        let mut tries = Tries::new(operation.is_write());
        let trace = self.trace_id();
        let ended = self
            .try_until_done(operation, Instant::now() + time, trace, &mut tries)
            .await;
        ended.map_err(|error| {
            let error = error.traced(trace);
            if tries.maybe_applied() {
                error.doubting()
            } else {
                error
            }
        })
    }

    async fn try_until_done(
        self: &Arc<Self>,
        operation: &dyn Operation,
        deadline: Instant,
        trace: u64,
        tries: &mut Tries,
    ) -> Result<ClientReply, Error> {
        let mut round = Round::default();
        let mut stay = None;
        loop {
            let map = self.map();
            let (request, route) = match operation.prepare(&map, tries.is_retry()) {
                Err(error) if error.code() == ErrorCode::NoSuchBucket && tries.refresh() => {
                    self.refresh(deadline).await?;
                    continue;
                }
                prepared => prepared?,
            };
            let order = self.order(&map, route);
            let Some(node) = stay.take().or_else(|| round.next(&order)) else {
                self.pause_round(&mut round, deadline, &map).await?;
                continue;
            };
            let envelope = Envelope {
                deadline,
                ring: map.ring.version(),
                trace,
            };
            let waits = round.has_more(&order, |node| self.reach(&map, node) != Reach::Down);
            let failure = match self
                .attempt(&map, node, &request, envelope, waits, round.is_forced())
                .await
            {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            round.failed(node, &failure);
            match tries.after(
                failure,
                deadline.saturating_duration_since(Instant::now()),
                self.random(),
            ) {
                Next::End(error) => return Err(named(error, node)),
                Next::Again { place, pause, paid } => {
                    self.pay(paid)?;
                    tokio::time::sleep(pause).await;
                    match place {
                        Place::Same => stay = Some(node),
                        Place::Other => {}
                        Place::Refreshed => {
                            self.refresh(deadline).await?;
                            round = Round::default();
                        }
                    }
                }
            }
        }
    }

    fn order(&self, map: &ClusterMap, route: Route) -> Vec<NodeId> {
        match route {
            Route::Key(target) => routing::order(map, target, |node| self.reach(map, node)),
            Route::Anybody => routing::anybody(map, self.random(), |node| self.reach(map, node)),
            Route::Node(node) => vec![node],
        }
    }

    fn reach(&self, map: &ClusterMap, node: NodeId) -> Reach {
        map.member(node)
            .map_or(Reach::Down, |member| self.pool.reach(member, map.cluster))
    }

    /// One try at one node. `waits` when another node could be asked instead of waiting long.
    async fn attempt(
        self: &Arc<Self>,
        map: &ClusterMap,
        node: NodeId,
        request: &ClientRequest,
        envelope: Envelope,
        waits: bool,
        force: bool,
    ) -> Result<ClientReply, Failure> {
        let member = map
            .member(node)
            .ok_or_else(|| Failure::Unreached(format!("{node} is no member")))?;
        let until = if waits {
            envelope.deadline.min(Instant::now() + PATIENCE)
        } else {
            envelope.deadline
        };
        let connection = self
            .pool
            .get(member, map.cluster, until, force)
            .await
            .map_err(|error| Failure::Unreached(error.to_string()))?;
        let answer = connection.call(request, envelope).await.map_err(failure)?;
        self.saw(answer.ring);
        if let ClientReply::Failed(wire) = answer.reply {
            return Err(Failure::Answered(wire));
        }
        Ok(answer.reply)
    }

    async fn pause_round(
        &self,
        round: &mut Round,
        deadline: Instant,
        map: &ClusterMap,
    ) -> Result<(), Error> {
        let pause = round.start_again(self.random());
        let left = deadline.saturating_duration_since(Instant::now());
        if left <= pause {
            let name = |node: NodeId| {
                map.member(node)
                    .map_or_else(|| node.to_string(), |member| member.name.clone())
            };
            return Err(round.end(name));
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn pay(&self, paid: Option<Error>) -> Result<(), Error> {
        match paid {
            Some(error) if !self.lock_budget().take(Instant::now()) => Err(error),
            Some(_) | None => Ok(()),
        }
    }

    fn lock_budget(&self) -> std::sync::MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reply named a ring version: a newer one than ours is fetched in the background.
    fn saw(self: &Arc<Self>, ring: RingVersion) {
        if self.maps.falls_behind(ring) {
            let shared = Arc::clone(self);
            tokio::spawn(async move {
                let refreshed = shared.refresh(Instant::now() + REFRESH_TIME).await;
                tracing::debug!(?refreshed, "a newer ring was seen");
                shared.maps.caught_up();
            });
        }
    }

    /// Reads the map anew. Who comes while another does waits for that one.
    pub(crate) async fn refresh(&self, deadline: Instant) -> Result<(), Error> {
        let Ok(_guard) = self.maps.refreshing.try_lock() else {
            let _other = self.maps.refreshing.lock().await;
            return Ok(());
        };
        let map = self.map();
        for node in self.order(&map, Route::Anybody) {
            let Some(member) = map.member(node) else {
                continue;
            };
            let patience = deadline.min(Instant::now() + PATIENCE);
            if let Ok(connection) = self.pool.get(member, map.cluster, patience, false).await
                && let Ok(map) = seeds::of_connection(&connection, deadline).await
            {
                self.maps.offer(map);
                return Ok(());
            }
        }
        // Every member may have moved since: the seeds may be names that point elsewhere now.
        let map = seeds::map_of_any(&self.pool, &self.seeds, deadline).await?;
        self.maps.offer(map);
        Ok(())
    }
}

fn failure(error: CallError) -> Failure {
    match error {
        CallError::NotSent => Failure::Unreached("the connection has just ended".to_owned()),
        CallError::Lost(why) => Failure::Lost(why),
        CallError::TimedOut => Failure::TimedOut,
        CallError::Malformed(why) => Failure::Malformed(why),
    }
}

fn named(error: Error, node: NodeId) -> Error {
    if error.nodes().is_empty() && error.kind() != Kind::Fix {
        error.naming([node])
    } else {
        error
    }
}
