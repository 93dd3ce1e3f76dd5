//! Writing and deleting a key.

use std::time::Duration;

use bytes::Bytes;
use quorate_protocol::client::{
    self as wire, ClientReply, ClientRequest, Content, ReplyInfo, Written,
};
use quorate_protocol::map::{Bucket as Definition, ClusterMap};
use quorate_protocol::options::{WriteOptions, ttl_ms};
use quorate_protocol::{Dot, RequestId};

use crate::bucket::{self, Bucket};
use crate::client::unexpected;
use crate::context::Context;
use crate::dispatch::{Operation, Route};
use crate::error::Error;
use crate::profile::ToCount;
use crate::routing::Target;
use crate::value::{check_content, check_key};

/// What puts and deletes have in common.
struct Change {
    bucket: Bucket,
    key: Bytes,
    context: Option<Context>,
    options: WriteOptions,
    deadline: Option<Duration>,
    request: RequestId,
    /// Whether somebody has sent this request before.
    again: bool,
}

impl Change {
    fn new(bucket: Bucket, key: &[u8]) -> Self {
        let options = bucket.client.profile.write_options();
        let request = bucket.client.shared.request_id();
        Self {
            bucket,
            key: Bytes::copy_from_slice(key),
            context: None,
            options,
            deadline: None,
            request,
            again: false,
        }
    }

    fn place<'map>(&self, map: &'map ClusterMap) -> Result<(&'map Definition, Route), Error> {
        let bucket = bucket::find(map, &self.bucket.name)?;
        bucket.props.defaults.write(bucket.props.n, &self.options)?;
        let target = Target::of_key(map, bucket.id, bucket.props.n, &self.key);
        Ok((bucket, self.bucket.client.route(target)))
    }

    fn token(&self) -> Option<Bytes> {
        self.context
            .as_ref()
            .map(|context| context.as_bytes().clone())
    }

    async fn send(&self, operation: &dyn Operation) -> Result<Write, Error> {
        check_key(&self.key)?;
        let client = &self.bucket.client;
        let deadline = client.profile.deadline_of(self.deadline)?;
        let reply = client.shared.run(operation, deadline).await?;
        let ClientReply::Written(written) = reply else {
            return Err(unexpected(&reply));
        };
        if let Some(session) = &self.bucket.session {
            session.wrote(&written);
        }
        Ok(Write::from(written))
    }
}

/// The settings that [`Put`] and [`Delete`] share.
macro_rules! change_settings {
    () => {
        /// The context of the read that this replaces.
        pub fn context(mut self, context: Context) -> Self {
            self.change.context = Some(context);
            self
        }

        /// Acknowledgements needed: a number from 1 to n, or a [`crate::Count`].
        pub fn w(mut self, count: impl ToCount) -> Self {
            self.change.options.w = Some(count.to_count());
            self
        }

        /// Acknowledgements of the key's own replicas needed.
        pub fn pw(mut self, count: impl ToCount) -> Self {
            self.change.options.pw = Some(count.to_count());
            self
        }

        /// Acknowledgements after a sync to disk needed, w at most.
        pub fn dw(mut self, count: impl ToCount) -> Self {
            self.change.options.dw = Some(count.to_count());
            self
        }

        /// Whether other nodes stand in for replicas that cannot be reached.
        pub fn sloppy(mut self, yes: bool) -> Self {
            self.change.options.sloppy = Some(yes);
            self
        }

        /// Asks for each replica's part, in [`Write::info`].
        pub fn explain(mut self) -> Self {
            self.change.options.explain = true;
            self
        }

        /// Time for this write, all tries included.
        pub fn deadline(mut self, deadline: Duration) -> Self {
            self.change.deadline = Some(deadline);
            self
        }

        /// Replaces all options at once.
        pub fn options(mut self, options: WriteOptions) -> Self {
            self.change.options = options;
            self
        }

        /// The id under which every try of this request is known.
        pub fn request_id(&self) -> RequestId {
            self.change.request
        }

        /// Makes this another try of a request sent before: give the same key, value and context.
        /// Within a minute of the first try it is applied once however many arrive, whichever
        /// nodes they go to, as long as one that holds the first can be reached. An error says
        /// nothing about the tries before this one.
        pub fn retry_of(mut self, first: RequestId) -> Self {
            self.change.request = first;
            self.change.again = true;
            self
        }
    };
}

/// A write to be sent; made by [`Bucket::put`].
#[must_use = "a request does nothing until it is sent"]
pub struct Put {
    change: Change,
    content: Content,
    lifetime: Lifetime,
}

/// How long a value is to live.
#[derive(Clone, Copy)]
enum Lifetime {
    /// As its bucket says.
    Default,
    For(Duration),
    Forever,
}

impl Lifetime {
    fn to_ms(self) -> Result<Option<u64>, Error> {
        Ok(match self {
            Self::Default => None,
            Self::For(ttl) => Some(ttl_ms(ttl)?),
            Self::Forever => Some(0),
        })
    }
}

impl Put {
    pub(crate) fn new(bucket: Bucket, key: &[u8], value: Bytes) -> Self {
        Self {
            change: Change::new(bucket, key),
            content: Content {
                value,
                ..Content::default()
            },
            lifetime: Lifetime::Default,
        }
    }

    change_settings!();

    /// What the value is, as in HTTP: `text/plain`.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content.content_type = content_type.into();
        self
    }

    /// Adds a named note to the value; a name given twice keeps the last. 4 KiB for all together.
    pub fn meta(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        let (name, value) = (name.into(), value.into());
        match self
            .content
            .meta
            .binary_search_by(|(known, _)| known.cmp(&name))
        {
            Ok(at) => self.content.meta[at].1 = value,
            Err(at) => self.content.meta.insert(at, (name, value)),
        }
        self
    }

    /// Lets the value expire so long after its coordinator has accepted it, 1 ms to 10 years: no read shows it
    /// any more from then on. Whoever repeats this put gets the first try's time.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.lifetime = Lifetime::For(ttl);
        self
    }

    /// Lets the value last, also where the bucket's values expire by default.
    pub fn lasting(mut self) -> Self {
        self.lifetime = Lifetime::Forever;
        self
    }

    /// Sends it.
    ///
    /// # Errors
    /// See [`crate::Kind`]: only [`crate::Kind::InDoubt`] leaves it open whether the value is
    /// there; after any other error it certainly is not.
    pub async fn send(self) -> Result<Write, Error> {
        check_content(&self.content)?;
        self.lifetime.to_ms()?;
        self.change.send(&self).await
    }
}

impl Operation for Put {
    fn is_write(&self) -> bool {
        true
    }

    fn prepare(&self, map: &ClusterMap, retry: bool) -> Result<(ClientRequest, Route), Error> {
        let (bucket, route) = self.change.place(map)?;
        let put = wire::Put {
            bucket: bucket.id,
            key: self.change.key.clone(),
            content: self.content.clone(),
            context: self.change.token(),
            options: self.change.options,
            request: self.change.request,
            retry: retry || self.change.again,
            ttl_ms: self.lifetime.to_ms()?,
        };
        Ok((put.into(), route))
    }
}

/// A delete to be sent; made by [`Bucket::delete`].
#[must_use = "a request does nothing until it is sent"]
pub struct Delete {
    change: Change,
}

impl Delete {
    pub(crate) fn new(bucket: Bucket, key: &[u8]) -> Self {
        Self {
            change: Change::new(bucket, key),
        }
    }

    change_settings!();

    /// Sends it.
    ///
    /// # Errors
    /// As [`Put::send`]. A key that holds nothing is no error.
    pub async fn send(self) -> Result<Write, Error> {
        self.change.send(&self).await
    }
}

impl Operation for Delete {
    fn is_write(&self) -> bool {
        true
    }

    fn prepare(&self, map: &ClusterMap, retry: bool) -> Result<(ClientRequest, Route), Error> {
        let (bucket, route) = self.change.place(map)?;
        let delete = wire::Delete {
            bucket: bucket.id,
            key: self.change.key.clone(),
            context: self.change.token(),
            options: self.change.options,
            request: self.change.request,
            retry: retry || self.change.again,
        };
        Ok((delete.into(), route))
    }
}

/// An acknowledged write or delete.
#[derive(Clone, Debug)]
pub struct Write {
    /// The write's identity; `None` after a delete that found nothing to delete.
    pub dot: Option<Dot>,
    /// For a next write that replaces this one. `None` if values that the writer has not seen stand
    /// beside it: read the key to get a context that covers them.
    pub context: Option<Context>,
    /// Values of the key at the coordinator after the write; more than 1 are siblings.
    pub siblings: u32,
    /// How the acknowledgement came about.
    pub info: ReplyInfo,
}

impl From<Written> for Write {
    fn from(written: Written) -> Self {
        Self {
            dot: written.dot,
            context: (!written.context.is_empty()).then(|| Context::received(written.context)),
            siblings: written.siblings,
            info: written.info,
        }
    }
}
