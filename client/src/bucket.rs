//! A bucket: a name for keys that share their promises.

use quorate_protocol::ErrorCode;
use quorate_protocol::map::{Bucket as Definition, ClusterMap};

use crate::client::Client;
use crate::error::{Error, Kind};
use crate::keys::Keys;
use crate::read::Get;
use crate::session::Session;
use crate::update::Update;
use crate::value::Value;
use crate::write::{Delete, Put};

/// A handle to a bucket, made by [`Client::bucket`] or [`Session::bucket`].
#[derive(Clone)]
pub struct Bucket {
    pub(crate) client: Client,
    pub(crate) name: String,
    pub(crate) session: Option<Session>,
}

impl Bucket {
    pub(crate) const fn new(client: Client, name: String, session: Option<Session>) -> Self {
        Self {
            client,
            name,
            session,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Get {
        Get::new(self.clone(), key.as_ref())
    }

    /// Writes a key. Give it the context of a read, or the value will stand beside what is there.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl Into<bytes::Bytes>) -> Put {
        Put::new(self.clone(), key.as_ref(), value.into())
    }

    /// Deletes a key: what the given context has seen, or else what is there when the cluster looks.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Delete {
        Delete::new(self.clone(), key.as_ref())
    }

    /// Reads a key, makes one value out of what is there, and writes that: see [`Update`].
    pub fn update<F>(&self, key: impl AsRef<[u8]>, merge: F) -> Update<F>
    where
        F: FnMut(&[Value]) -> bytes::Bytes,
    {
        Update::new(self.clone(), key.as_ref(), merge)
    }

    /// Lists the keys, a page at a time, in no order that means anything.
    #[must_use]
    pub fn keys(&self) -> Keys {
        Keys::new(self.clone())
    }

    /// The bucket's definition, from the map at hand or a fresh one.
    ///
    /// # Errors
    /// There is no such bucket, or no node could be asked.
    pub async fn definition(&self) -> Result<Definition, Error> {
        if let Ok(found) = find(&self.client.map(), &self.name) {
            return Ok(found.clone());
        }
        find(&*self.client.refresh_map().await?, &self.name).cloned()
    }
}

/// The bucket of that name in this map.
pub(crate) fn find<'map>(map: &'map ClusterMap, name: &str) -> Result<&'map Definition, Error> {
    Definition::check_name(name)?;
    map.bucket_named(name).ok_or_else(|| {
        let message = format!("there is no bucket named '{name}': create it, or check the name");
        Error::new(Kind::Fix, ErrorCode::NoSuchBucket, message)
    })
}
