//! Read, merge, write.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::bucket::Bucket;
use crate::error::Error;
use crate::value::Value;
use crate::write::Write;

/// How often the value is merged anew when others write at the same time.
const ROUNDS_MAX: u32 = 5;

/// A read, a merge and a write with the context of the read, repeated while siblings remain; made
/// by [`Bucket::update`].
///
/// `merge` gets the values that are there (none, one, or siblings) and returns the one that is to
/// replace them. It may be called more than once. Two clients that update at the same moment leave
/// two siblings, never a lost update; whoever notices merges again, and after a few rounds the rest
/// is left to the next reader.
///
/// ```no_run
/// # async fn example(client: quorate_client::Client) -> Result<(), quorate_client::Error> {
/// // A set of lines: the union of whatever is there, and one more.
/// let bucket = client.bucket("visitors");
/// bucket
///     .update("today", |siblings| {
///         let mut lines: std::collections::BTreeSet<&[u8]> =
///             siblings.iter().flat_map(|value| value.data.split(|&byte| byte == b'\n')).collect();
///         lines.insert(b"alice");
///         lines.into_iter().collect::<Vec<_>>().join(&b'\n').into()
///     })
///     .send()
///     .await?;
/// # Ok(()) }
/// ```
#[must_use = "a request does nothing until it is sent"]
pub struct Update<F> {
    bucket: Bucket,
    key: Bytes,
    merge: F,
    deadline: Option<Duration>,
}

impl<F: FnMut(&[Value]) -> Bytes> Update<F> {
    pub(crate) fn new(bucket: Bucket, key: &[u8], merge: F) -> Self {
        Self {
            bucket,
            key: Bytes::copy_from_slice(key),
            merge,
            deadline: None,
        }
    }

    /// Time for all rounds together.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Runs it. Where [`Write::siblings`] is above 1, somebody kept writing at the same time.
    ///
    /// # Errors
    /// The first read or write that fails. After [`crate::Kind::InDoubt`] the merged value may be
    /// there.
    pub async fn send(mut self) -> Result<Write, Error> {
        let time = self.bucket.client.profile.deadline_of(self.deadline)?;
        let end = Instant::now() + time;
        let mut write = self.round(time).await?;
        for _ in 1..ROUNDS_MAX {
            let left = end.saturating_duration_since(Instant::now());
            if write.siblings <= 1 || left < Duration::from_millis(1) {
                break;
            }
            write = self.round(left).await?;
        }
        Ok(write)
    }

    async fn round(&mut self, time: Duration) -> Result<Write, Error> {
        let started = Instant::now();
        let read = self.bucket.get(&self.key).deadline(time).send().await?;
        let merged = (self.merge)(&read.siblings);
        let left = time
            .saturating_sub(started.elapsed())
            .max(Duration::from_millis(1));
        let mut put = self
            .bucket
            .put(&self.key, merged)
            .context(read.context)
            .deadline(left);
        if let [one] = read.siblings.as_slice() {
            put = put.content_type(one.content_type.clone());
        }
        put.send().await
    }
}
