//! Reading a key.

use std::time::Duration;

use bytes::Bytes;
use quorate_protocol::client::{self as wire, ClientReply, ClientRequest, Got, ReplyInfo};
use quorate_protocol::map::ClusterMap;
use quorate_protocol::options::ReadOptions;
use quorate_protocol::{ErrorCode, WireError};

use crate::bucket::{self, Bucket};
use crate::client::unexpected;
use crate::context::Context;
use crate::dispatch::{Operation, Route};
use crate::error::Error;
use crate::profile::ToCount;
use crate::routing::Target;
use crate::value::{Value, check_key};

/// A read to be sent; made by [`Bucket::get`].
#[must_use = "a request does nothing until it is sent"]
pub struct Get {
    bucket: Bucket,
    key: Bytes,
    options: ReadOptions,
    deadline: Option<Duration>,
}

impl Get {
    pub(crate) fn new(bucket: Bucket, key: &[u8]) -> Self {
        let options = bucket.client.profile.read_options();
        Self {
            bucket,
            key: Bytes::copy_from_slice(key),
            options,
            deadline: None,
        }
    }

    /// Answers needed: a number from 1 to n, or a [`crate::Count`].
    pub fn r(mut self, count: impl ToCount) -> Self {
        self.options.r = Some(count.to_count());
        self
    }

    /// Answers of the key's own replicas needed.
    pub fn pr(mut self, count: impl ToCount) -> Self {
        self.options.pr = Some(count.to_count());
        self
    }

    /// Whether a stand-in's "nothing here" counts.
    pub const fn notfound_ok(mut self, yes: bool) -> Self {
        self.options.notfound_ok = Some(yes);
        self
    }

    /// Whether "not found" may be answered once more than half of n say so.
    pub const fn basic_quorum(mut self, yes: bool) -> Self {
        self.options.basic_quorum = Some(yes);
        self
    }

    /// Whether other nodes stand in for replicas that cannot be reached.
    pub const fn sloppy(mut self, yes: bool) -> Self {
        self.options.sloppy = Some(yes);
        self
    }

    /// Rather return what may be stale, marked so, than fail or wait.
    pub const fn stale_ok(mut self, yes: bool) -> Self {
        self.options.stale_ok = yes;
        self
    }

    /// Leaves the values out: sizes and metadata only.
    pub const fn head(mut self) -> Self {
        self.options.head = true;
        self
    }

    /// Asks for each replica's part and the reason of the result, in [`Read::info`].
    pub const fn explain(mut self) -> Self {
        self.options.explain = true;
        self
    }

    /// Time for this read, all tries included.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Replaces all options at once.
    pub const fn options(mut self, options: ReadOptions) -> Self {
        self.options = options;
        self
    }

    /// Sends it.
    ///
    /// # Errors
    /// See [`crate::Kind`]. A key that holds nothing is no error: see [`Read::is_found`].
    pub async fn send(self) -> Result<Read, Error> {
        check_key(&self.key)?;
        let client = &self.bucket.client;
        let deadline = client.profile.deadline_of(self.deadline)?;
        let reply = client.shared.run(&self, deadline).await?;
        let ClientReply::Got(got) = reply else {
            return Err(unexpected(&reply));
        };
        if let Some(session) = &self.bucket.session {
            session.saw(&got.info);
        }
        Ok(Read::from(got))
    }
}

impl Operation for Get {
    fn is_write(&self) -> bool {
        false
    }

    fn prepare(&self, map: &ClusterMap, _retry: bool) -> Result<(ClientRequest, Route), Error> {
        let bucket = bucket::find(map, &self.bucket.name)?;
        bucket.props.defaults.read(bucket.props.n, &self.options)?;
        let target = Target::of_key(map, bucket.id, bucket.props.n, &self.key);
        let session = self
            .bucket
            .session
            .as_ref()
            .and_then(|session| session.need(target.class));
        let get = wire::Get {
            bucket: bucket.id,
            key: self.key.clone(),
            options: self.options,
            session,
        };
        Ok((get.into(), self.bucket.client.route(target)))
    }
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct Read {
    /// The values: none if the key holds nothing, one as a rule, several (*siblings*) if it was
    /// written by clients that did not see each other's values.
    pub siblings: Vec<Value>,
    /// To be given to the write that replaces them. Present also where nothing was found.
    pub context: Context,
    /// Only stand-ins answered: none of the key's own replicas confirmed that this is the latest.
    pub fallbacks_only: bool,
    /// Returned under [`Get::stale_ok`] without enough current answers.
    pub maybe_stale: bool,
    /// How the answer came about.
    pub info: ReplyInfo,
}

impl From<Got> for Read {
    fn from(got: Got) -> Self {
        Self {
            siblings: got.siblings.into_iter().map(Value::from).collect(),
            context: Context::received(got.context),
            fallbacks_only: got.fallbacks_only,
            maybe_stale: got.maybe_stale,
            info: got.info,
        }
    }
}

impl Read {
    /// Whether the key holds anything.
    #[must_use]
    pub fn is_found(&self) -> bool {
        !self.siblings.is_empty()
    }

    /// The one value, or `None` if the key holds nothing.
    ///
    /// # Errors
    /// There are siblings: which of them counts is for the application to say, with
    /// [`Self::resolve`] or [`Bucket::update`].
    pub fn single(&self) -> Result<Option<&Value>, Error> {
        match self.siblings.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            several => Err(WireError::new(
                ErrorCode::Conflict,
                format!("the key has {} siblings: merge them and write the result with the context of this read", several.len()),
            )
            .into()),
        }
    }

    /// The one value after `merge` has made one out of siblings; `None` if the key holds nothing.
    ///
    /// Nothing is written: give the result and [`Self::context`] to [`Bucket::put`] for that.
    pub fn resolve(&self, merge: impl FnOnce(&[Value]) -> Bytes) -> Option<Bytes> {
        match self.siblings.as_slice() {
            [] => None,
            [one] => Some(one.data.clone()),
            several => Some(merge(several)),
        }
    }
}
