//! Listing the keys of a bucket.

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_protocol::client::{self as wire, ClientReply, ClientRequest};
use quorate_protocol::limits::KEYS_PAGE_MAX;
use quorate_protocol::map::ClusterMap;
use quorate_ring::{Class, PartitionId};

use crate::bucket::{self, Bucket};
use crate::client::unexpected;
use crate::dispatch::{Operation, Route};
use crate::error::Error;
use crate::routing::Target;

/// A listing of a bucket's keys under way; made by [`Bucket::keys`].
///
/// It walks one partition after the other. A key that is there from beginning to end is listed
/// once; one that is written or deleted meanwhile may be listed or not. A partition that cannot be
/// asked is skipped and kept in [`Keys::unanswered`]: look there before taking the list for whole.
///
/// ```no_run
/// # async fn example(client: quorate_client::Client) -> Result<(), quorate_client::Error> {
/// let mut keys = client.bucket("default").keys();
/// while let Some(key) = keys.next().await? {
///     println!("{}", String::from_utf8_lossy(&key));
/// }
/// assert!(keys.unanswered().is_empty(), "some partitions are missing");
/// # Ok(()) }
/// ```
pub struct Keys {
    bucket: Bucket,
    /// The partitions still to be asked; `None` before the first question.
    left: Option<VecDeque<PartitionId>>,
    after: Option<Bytes>,
    page: VecDeque<Bytes>,
    unanswered: Vec<(PartitionId, Error)>,
}

impl Keys {
    pub(crate) const fn new(bucket: Bucket) -> Self {
        Self {
            bucket,
            left: None,
            after: None,
            page: VecDeque::new(),
            unanswered: Vec::new(),
        }
    }

    /// The next key, or `None` at the end.
    ///
    /// # Errors
    /// There is no such bucket, or no node could be asked for the map. A partition that fails is
    /// no error: see [`Keys::unanswered`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while self.page.is_empty() {
            if !self.fill().await? {
                return Ok(None);
            }
        }
        Ok(self.page.pop_front())
    }

    /// The keys at hand, after asking for more if there were none; `None` at the end.
    ///
    /// # Errors
    /// As [`Keys::next`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<Bytes>>, Error> {
        while self.page.is_empty() {
            if !self.fill().await? {
                return Ok(None);
            }
        }
        Ok(Some(self.page.drain(..).collect()))
    }

    /// The partitions that could not be asked so far, with the reason of each.
    #[must_use]
    pub fn unanswered(&self) -> &[(PartitionId, Error)] {
        &self.unanswered
    }

    /// Asks for one page. False when nothing is left to be asked.
    async fn fill(&mut self) -> Result<bool, Error> {
        if self.left.is_none() {
            self.bucket.definition().await?;
            self.left = Some(
                self.bucket
                    .client
                    .map()
                    .ring
                    .partitions()
                    .partitions()
                    .collect(),
            );
        }
        let Some(partition) = self.left.as_ref().and_then(|left| left.front().copied()) else {
            return Ok(false);
        };
        let asked = self.ask(partition).await;
        let more = match asked {
            Ok(page) => {
                self.after = page.keys.last().cloned();
                self.page.extend(page.keys);
                page.more && self.after.is_some()
            }
            Err(error) => {
                self.unanswered.push((partition, error));
                false
            }
        };
        if !more {
            self.after = None;
            self.left.as_mut().map(VecDeque::pop_front);
        }
        Ok(true)
    }

    async fn ask(&self, partition: PartitionId) -> Result<wire::KeyPage, Error> {
        let client = &self.bucket.client;
        let page = Page {
            bucket: &self.bucket.name,
            partition,
            after: self.after.clone(),
        };
        let deadline = client.profile.deadline_of(None)?;
        let reply = client.shared.run(&page, deadline).await?;
        let ClientReply::KeyPage(page) = reply else {
            return Err(unexpected(&reply));
        };
        Ok(page)
    }
}

struct Page<'a> {
    bucket: &'a str,
    partition: PartitionId,
    after: Option<Bytes>,
}

impl Operation for Page<'_> {
    fn is_write(&self) -> bool {
        false
    }

    fn prepare(&self, map: &ClusterMap, _retry: bool) -> Result<(ClientRequest, Route), Error> {
        let bucket = bucket::find(map, self.bucket)?;
        let class = Class {
            n: bucket.props.n,
            partition: self.partition,
        };
        let limit = u32::try_from(KEYS_PAGE_MAX).unwrap_or(u32::MAX);
        let keys = wire::Keys {
            bucket: bucket.id,
            partition: self.partition,
            after: self.after.clone(),
            limit,
        };
        Ok((
            keys.into(),
            Route::Key(Target {
                class,
                spread: self.partition.get().into(),
            }),
        ))
    }
}
