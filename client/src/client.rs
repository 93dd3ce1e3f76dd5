//! A handle to a cluster.

use std::sync::Arc;
use std::time::Duration;

use quorate_protocol::client::{
    ChangeRing, ClientReply, ClientRequest, GetVersion, MapHistory, MapLog, Moves, MovesReport,
    Ping, PlanRing, PutBucket, RingChange, RingChanged, RingPlan, Scrub, ScrubState, Status,
    StatusReport,
};
use quorate_protocol::map::{Bucket as BucketDefinition, BucketProps, ClusterMap};
use quorate_protocol::versioned::{MapVersion, VersionedMap};
use quorate_protocol::{ErrorCode, RequestId};
use quorate_ring::NodeId;
use tokio::time::Instant;

use crate::bucket::Bucket;
use crate::builder::Builder;
use crate::dispatch::{Operation, Route, Shared};
use crate::error::{Error, Kind};
use crate::profile::Profile;
use crate::routing::Target;
use crate::session::Session;

/// A handle to a cluster. Cheap to clone; clones share connections and the retry budget.
///
/// Connections end when the last clone is dropped; [`Client::close`] also waits until the nodes
/// have been told.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) profile: Profile,
    /// Where data requests go, whoever holds the key.
    pub(crate) through: Option<NodeId>,
}

/// The answer of [`Client::ping`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The node's build.
    pub build: String,
    /// From question to answer.
    pub time: Duration,
}

impl Client {
    /// Begins to connect.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), quorate_client::Error> {
    /// use quorate_client::{Client, TlsFiles};
    ///
    /// let client = Client::builder()
    ///     .seeds(["10.0.0.1:4200", "10.0.0.2:4200"])
    ///     .tls(TlsFiles { ca: "ca.pem".into(), cert: "admin.pem".into(), key: "admin.key".into() })
    ///     .connect()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) const fn new(shared: Arc<Shared>, profile: Profile) -> Self {
        Self {
            shared,
            profile,
            through: None,
        }
    }

    /// The same client with other defaults.
    #[must_use]
    pub fn with_profile(&self, profile: Profile) -> Self {
        Self {
            profile,
            ..self.clone()
        }
    }

    /// The same client, sending all reads and writes to one node, which passes on what it can't
    /// answer itself. For tests and for looking at one node: it knows no way around a dead one.
    #[must_use]
    pub fn through(&self, node: NodeId) -> Self {
        Self {
            through: Some(node),
            ..self.clone()
        }
    }

    /// Where a request for a key goes.
    pub(crate) fn route(&self, target: Target) -> Route {
        self.through.map_or(Route::Key(target), Route::Node)
    }

    /// A bucket by its name. Whether it exists is seen when the first request is sent.
    #[must_use]
    pub fn bucket(&self, name: impl Into<String>) -> Bucket {
        Bucket::new(self.clone(), name.into(), None)
    }

    /// A new session: its reads see its own writes, and never go back behind what it has read.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::new(self.clone())
    }

    /// The cluster map that requests are routed by right now.
    #[must_use]
    pub fn map(&self) -> Arc<ClusterMap> {
        self.shared.map()
    }

    /// Reads the cluster map anew.
    ///
    /// # Errors
    /// No node could be asked.
    pub async fn refresh_map(&self) -> Result<Arc<ClusterMap>, Error> {
        let deadline = Instant::now() + self.profile.deadline_of(None)?;
        self.shared.refresh(deadline).await?;
        Ok(self.map())
    }

    /// Creates a bucket, or changes the defaults of one; n and mode never change. Returns the
    /// bucket and whether this call made a difference: the same definition twice is fine.
    ///
    /// # Errors
    /// More than half of the cluster's voters must answer: those missing are named. A name that is taken by
    /// a bucket of other copies or mode is refused.
    pub async fn create_bucket(
        &self,
        name: &str,
        props: BucketProps,
    ) -> Result<(BucketDefinition, bool), Error> {
        BucketDefinition::check_name(name)?;
        let operation = Admin {
            request: PutBucket {
                name: name.to_owned(),
                props,
                request: self.request_id(),
            }
            .into(),
            route: Route::Anybody,
        };
        let reply = self.run(&operation).await?;
        let ClientReply::BucketStored(stored) = reply else {
            return Err(unexpected(&reply));
        };
        // If this fails the bucket is there all the same, and found when it is first used.
        let _ = self.refresh_map().await;
        Ok((stored.bucket, stored.changed))
    }

    /// Drops a bucket with all that is in it, on all nodes, those that are away included. Returns what it was. A bucket made
    /// later under its name is another one.
    ///
    /// # Errors
    /// More than half of the cluster's voters must answer: those missing are named. There is no such bucket.
    pub async fn drop_bucket(&self, name: &str) -> Result<BucketDefinition, Error> {
        let bucket = self.bucket(name).definition().await?;
        self.change_ring(RingChange::Drop(bucket.id)).await?;
        // If this fails the bucket is gone all the same, and whoever asks for it is told so.
        let _ = self.refresh_map().await;
        Ok(bucket)
    }

    /// Stages, commits or cancels changes of the members. Returns the version of the cluster map that did it, or a
    /// later one.
    ///
    /// # Errors
    /// More than half of the cluster's voters must answer: those missing are named. What does not fit the members, or a plan
    /// that is not the one that was looked at, is refused.
    pub async fn change_ring(&self, change: RingChange) -> Result<RingChanged, Error> {
        let request = ChangeRing::new(self.request_id(), change);
        let reply = self.ask(request.into(), Route::Anybody).await?;
        let ClientReply::RingChanged(changed) = reply else {
            return Err(unexpected(&reply));
        };
        Ok(changed)
    }

    /// What a commit of the staged changes would do.
    ///
    /// # Errors
    /// Nothing is staged, or it cannot be made.
    pub async fn plan_ring(&self) -> Result<RingPlan, Error> {
        let reply = self.ask(PlanRing::default().into(), Route::Anybody).await?;
        let ClientReply::RingPlan(plan) = reply else {
            return Err(unexpected(&reply));
        };
        Ok(plan)
    }

    /// The newest version of the cluster map at some node, whole: with what is staged, where classes stand, who goes.
    ///
    /// # Errors
    /// No node could be asked.
    pub async fn version(&self) -> Result<VersionedMap, Error> {
        let request = GetVersion::default();
        let reply = self.ask(request.into(), Route::Anybody).await?;
        let ClientReply::Version(whole) = reply else {
            return Err(unexpected(&reply));
        };
        whole.version.check().map_err(Error::protocol)?;
        Ok(*whole.version)
    }

    /// The versions of the cluster map that one node remembers, the youngest last.
    ///
    /// # Errors
    /// The node could not be asked.
    pub async fn map_history(&self, node: NodeId) -> Result<MapLog, Error> {
        let request = MapHistory {
            after: MapVersion::new(0),
        };
        let reply = self.ask(request.into(), Route::Node(node)).await?;
        let ClientReply::MapLog(log) = reply else {
            return Err(unexpected(&reply));
        };
        Ok(log)
    }

    /// One node's report on itself and its peers; with a line for each vnode if `vnodes`.
    ///
    /// # Errors
    /// The node could not be asked.
    pub async fn status(&self, node: NodeId, vnodes: bool) -> Result<StatusReport, Error> {
        let operation = Admin {
            request: Status { vnodes }.into(),
            route: Route::Node(node),
        };
        let reply = self.run(&operation).await?;
        let ClientReply::StatusReport(report) = reply else {
            return Err(unexpected(&reply));
        };
        Ok(report)
    }

    /// Gives one node an order about reading its stored data through.
    ///
    /// # Errors
    /// The node could not be asked, or did not reach all its vnodes: give the order again.
    pub async fn scrub(&self, node: NodeId, order: Scrub) -> Result<ScrubState, Error> {
        let operation = Admin {
            request: order.into(),
            route: Route::Node(node),
        };
        let reply = self.run(&operation).await?;
        let ClientReply::ScrubState(state) = reply else {
            return Err(unexpected(&reply));
        };
        Ok(state)
    }

    /// How copies travel to one node and from it; with an order, how they are to.
    ///
    /// # Errors
    /// The node could not be asked, or did not reach all its vnodes: give the order again.
    pub async fn moves(&self, node: NodeId, order: Moves) -> Result<MovesReport, Error> {
        let reply = self.ask(order.into(), Route::Node(node)).await?;
        let ClientReply::MovesReport(report) = reply else {
            return Err(unexpected(&reply));
        };
        Ok(report)
    }

    /// Asks one node for a sign of life.
    ///
    /// # Errors
    /// The node could not be asked.
    pub async fn ping(&self, node: NodeId) -> Result<Pong, Error> {
        let started = Instant::now();
        let nonce = self.shared.random();
        let operation = Admin {
            request: Ping { nonce }.into(),
            route: Route::Node(node),
        };
        let reply = self.run(&operation).await?;
        let ClientReply::Pong(pong) = reply else {
            return Err(unexpected(&reply));
        };
        if pong.nonce != nonce || pong.node != node {
            return Err(Error::protocol(
                "the node answered another ping than was sent",
            ));
        }
        Ok(Pong {
            build: pong.build,
            time: started.elapsed(),
        })
    }

    /// Ends all connections and waits, for a second at most, until the nodes have been told.
    pub async fn close(&self) {
        self.shared.close().await;
    }

    fn request_id(&self) -> RequestId {
        RequestId::new(self.random(), self.random())
    }

    /// A fresh random number.
    pub(crate) fn random(&self) -> u64 {
        self.shared.random()
    }

    /// Sends an administrative request.
    pub(crate) async fn ask(
        &self,
        request: ClientRequest,
        route: Route,
    ) -> Result<ClientReply, Error> {
        self.run(&Admin { request, route }).await
    }

    async fn run(&self, operation: &Admin) -> Result<ClientReply, Error> {
        self.shared
            .run(operation, self.profile.deadline_of(None)?)
            .await
    }
}

/// An administrative request: always the same, whatever the map.
struct Admin {
    request: ClientRequest,
    route: Route,
}

impl Operation for Admin {
    fn is_write(&self) -> bool {
        matches!(
            self.request,
            ClientRequest::PutBucket(_) | ClientRequest::ChangeRing(_)
        )
    }

    fn prepare(&self, map: &ClusterMap, _retry: bool) -> Result<(ClientRequest, Route), Error> {
        match self.route {
            Route::Node(node) if map.member(node).is_none() => Err(Error::new(
                Kind::Fix,
                ErrorCode::Invalid,
                format!("{node} is no member of this cluster"),
            )),
            Route::Node(_) | Route::Anybody | Route::Key(_) => {
                Ok((self.request.clone(), self.route))
            }
        }
    }
}

/// A reply that is of the protocol, to another question.
pub(crate) fn unexpected(reply: &ClientReply) -> Error {
    Error::protocol(format!(
        "the node answered something else than was asked ({})",
        reply.name()
    ))
}
