//! Checking a client's request against limits, the bucket, and the keyed token. What passes has
//! a type and is not checked again.

use bytes::Bytes;
use quorate_protocol::client::{self, Delete, Get, Put};
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::limits::{
    CONTENT_TYPE_BYTES_MAX, KEY_BYTES_MAX, META_BYTES_MAX, SESSION_DOTS_MAX, VALUE_BYTES_MAX,
};
use quorate_protocol::map::Bucket;
use quorate_ring::BucketId;

use super::{ReadAsk, WriteAsk};
use crate::causality::{Content, VersionVector};
use crate::plant::Plant;
use crate::shared::Shared;
use crate::shelf::Place;
use crate::token;

fn invalid(message: String) -> WireError {
    WireError::new(ErrorCode::Invalid, message)
}

fn too_large(what: &str, size: usize, most: usize) -> WireError {
    WireError::new(
        ErrorCode::TooLarge,
        format!("the {what} has {size} bytes, the most is {most}"),
    )
}

fn check_key(key: &[u8]) -> Result<(), WireError> {
    if key.is_empty() {
        return Err(invalid(
            "the key is empty: a key has 1 to 4096 bytes".to_owned(),
        ));
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(too_large("key", key.len(), KEY_BYTES_MAX));
    }
    Ok(())
}

fn check_content(content: client::Content) -> Result<Content, WireError> {
    let client::Content {
        value,
        content_type,
        meta,
    } = content;
    if value.len() > VALUE_BYTES_MAX {
        return Err(too_large("value", value.len(), VALUE_BYTES_MAX));
    }
    if content_type.len() > CONTENT_TYPE_BYTES_MAX {
        return Err(too_large(
            "content type",
            content_type.len(),
            CONTENT_TYPE_BYTES_MAX,
        ));
    }
    let meta_bytes: usize = meta
        .iter()
        .map(|(name, bytes)| name.len() + bytes.len())
        .sum();
    if meta_bytes > META_BYTES_MAX {
        return Err(too_large("user metadata", meta_bytes, META_BYTES_MAX));
    }
    if !meta.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(invalid(
            "user metadata must be ordered by name, and each name may appear once".to_owned(),
        ));
    }
    Ok(Content {
        value,
        content_type,
        meta,
    })
}

impl Shared {
    fn find_bucket(&self, id: BucketId) -> Result<&Bucket, WireError> {
        self.check_kept(id)?;
        self.view.bucket(id).ok_or_else(|| {
            WireError::new(
                ErrorCode::NoSuchBucket,
                format!(
                    "no bucket has the id {id} here: refresh the cluster map, or create the bucket"
                ),
            )
        })
    }

    /// Refuses what concerns a dropped bucket.
    pub(crate) fn check_kept(&self, id: BucketId) -> Result<(), WireError> {
        if self.view.has_dropped(id) {
            return Err(WireError::new(
                ErrorCode::NoSuchBucket,
                format!("the bucket with the id {id} was dropped with all that was in it"),
            ));
        }
        Ok(())
    }

    /// Where a key lives, checked.
    pub(crate) fn place(&self, bucket: BucketId, key: &Bytes) -> Result<Place, WireError> {
        check_key(key)?;
        let class = self.view.class_of(self.find_bucket(bucket)?, key);
        if !self.owns(class.partition) {
            return Err(invalid(format!(
                "partition {} is not handled here",
                class.partition
            )));
        }
        Ok(Place {
            class,
            bucket,
            key: key.clone(),
        })
    }

    /// Checks where a peer says that a key lies: a key under another class's name would be found by
    /// nobody, and counted for ever.
    pub(crate) fn check_peers_place(&self, place: &Place) -> Result<(), WireError> {
        check_key(&place.key)?;
        let partition = self.view.map().ring.partition_of(place.bucket, &place.key);
        // A bucket that is not known here yet has the n that the peer says.
        let bucket = self.view.bucket(place.bucket);
        let n = bucket.map_or(place.class.n, |bucket| bucket.props.n);
        if (n, partition) == (place.class.n, place.class.partition) {
            Ok(())
        } else {
            Err(WireError::new(
                ErrorCode::Protocol,
                format!(
                    "a key of partition {partition} with {n} copies was sent as one of {}: the sender is wrong about the ring or the bucket",
                    place.class
                ),
            ))
        }
    }

    pub(crate) fn check_get(&self, get: Get) -> Result<(Place, ReadAsk), WireError> {
        let place = self.place(get.bucket, &get.key)?;
        let bucket = self.find_bucket(get.bucket)?;
        if let Some(session) = &get.session
            && session.dots.len() + session.up_to.len() > SESSION_DOTS_MAX
        {
            return Err(invalid(format!(
                "a session names at most {SESSION_DOTS_MAX} positions"
            )));
        }
        let ask = ReadAsk {
            quorum: bucket.props.defaults.read(bucket.props.n, &get.options)?,
            mode: bucket.props.mode,
            session: get
                .session
                .filter(|need| !(need.dots.is_empty() && need.up_to.is_empty())),
            explain: get.options.explain,
            head: get.options.head,
            then_delete: None,
        };
        Ok((place, ask))
    }

    pub(crate) fn check_put(&self, put: Put) -> Result<(Place, WriteAsk), WireError> {
        let place = self.place(put.bucket, &put.key)?;
        let bucket = self.find_bucket(put.bucket)?;
        let ask = WriteAsk {
            content: Some(check_content(put.content)?),
            seen: match self.open_token(&place, put.context.as_ref())? {
                _ if self.breaks(Plant::ContextIgnored) => VersionVector::new(),
                seen => seen,
            },
            quorum: bucket.props.defaults.write(bucket.props.n, &put.options)?,
            mode: bucket.props.mode,
            ttl_ms: bucket.props.defaults.lifetime(put.ttl_ms)?,
            request: put.request,
            retry: put.retry,
            reads_first: false,
            explain: put.options.explain,
        };
        Ok((place, ask))
    }

    pub(crate) fn check_delete(&self, delete: Delete) -> Result<(Place, WriteAsk), WireError> {
        let place = self.place(delete.bucket, &delete.key)?;
        let bucket = self.find_bucket(delete.bucket)?;
        let ask = WriteAsk {
            content: None,
            ttl_ms: 0,
            seen: self.open_token(&place, delete.context.as_ref())?,
            quorum: bucket
                .props
                .defaults
                .write(bucket.props.n, &delete.options)?,
            mode: bucket.props.mode,
            request: delete.request,
            retry: delete.retry,
            reads_first: delete.context.as_ref().is_none_or(Bytes::is_empty),
            explain: delete.options.explain,
        };
        Ok((place, ask))
    }

    fn open_token(&self, place: &Place, bytes: Option<&Bytes>) -> Result<VersionVector, WireError> {
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
            return Ok(VersionVector::new());
        };
        token::open(
            &self.token_key,
            self.view.map().cluster,
            place.bucket,
            &place.key,
            bytes,
        )
        .map_err(|error| WireError::new(ErrorCode::BadContext, error.to_string()))
    }

    /// The token that lets a client write back over what it has seen.
    pub(crate) fn seal(&self, place: &Place, seen: &VersionVector) -> Bytes {
        token::seal(
            &self.token_key,
            self.view.map().cluster,
            place.bucket,
            &place.key,
            seen,
        )
    }
}
