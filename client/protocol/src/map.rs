//! The cluster map: members, ring and buckets. Clients and nodes hold the same one.

use quorate_ring::{BucketId, NodeId, Ring, Weight, Zone};
use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, WireError};
use crate::ids::ClusterId;
use crate::limits::{BUCKET_NAME_BYTES_MAX, BUCKETS_MAX, MEMBERS_MAX};
use crate::options::QuorumDefaults;

/// The format level all members understand; raised when the last member was upgraded.
pub const FORMAT_LEVEL: u32 = 1;

/// One member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id, which its certificate names.
    pub id: NodeId,
    /// A name for people, unique in the cluster.
    pub name: String,
    /// Where peers reach it: `host:port`, in order of preference.
    pub peer_addresses: Vec<String>,
    /// Where clients reach it.
    pub client_addresses: Vec<String>,
    /// Its failure zone.
    pub zone: Zone,
    /// Its relative capacity.
    pub weight: Weight,
}

/// How concurrent writes to one key are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BucketMode {
    /// All concurrent values are kept and returned.
    Siblings,
    /// The value with the latest stamp is returned; causality still rules over stamps.
    Lww,
}

impl BucketMode {
    /// The name that tools read and print.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Siblings => "siblings",
            Self::Lww => "lww",
        }
    }
}

impl std::str::FromStr for BucketMode {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "siblings" => Ok(Self::Siblings),
            "lww" => Ok(Self::Lww),
            "strong" | "crdt" => Err(WireError::new(
                ErrorCode::NotSupported,
                format!(
                    "mode '{text}' is reserved and not offered by this version: use siblings or lww"
                ),
            )),
            other => Err(WireError::new(
                ErrorCode::Invalid,
                format!("'{other}' is not a bucket mode: use siblings or lww"),
            )),
        }
    }
}

impl Serialize for BucketMode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(match self {
            Self::Siblings => 0,
            Self::Lww => 1,
        })
    }
}

impl<'de> Deserialize<'de> for BucketMode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            0 => Ok(Self::Siblings),
            1 => Ok(Self::Lww),
            other => Err(serde::de::Error::custom(format!(
                "bucket mode {other} is of a later version"
            ))),
        }
    }
}

/// What a bucket promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketProps {
    /// Copies of each key. Cannot change.
    pub n: u8,
    /// How concurrent writes are shown. Cannot change.
    pub mode: BucketMode,
    /// Options where a request says nothing.
    pub defaults: QuorumDefaults,
}

/// One bucket. Data carries the id, never the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Drawn at random at creation.
    pub id: BucketId,
    /// Its name, unique in the cluster.
    pub name: String,
    /// Counts the changes of `props`, from 1.
    pub revision: u64,
    /// Its properties.
    pub props: BucketProps,
}

impl Bucket {
    /// Checks a bucket's name.
    ///
    /// # Errors
    /// `Invalid` when it is empty, too long, or holds a control character.
    pub fn check_name(name: &str) -> Result<(), WireError> {
        let wrong = if name.is_empty() {
            "is empty".to_owned()
        } else if name.len() > BUCKET_NAME_BYTES_MAX {
            format!(
                "has {} bytes, the most is {BUCKET_NAME_BYTES_MAX}",
                name.len()
            )
        } else if name.chars().any(char::is_control) {
            "holds a control character".to_owned()
        } else {
            return Ok(());
        };
        Err(WireError::new(
            ErrorCode::Invalid,
            format!("the bucket name {name:?} {wrong}"),
        ))
    }

    /// Checks name and properties against a cluster that keeps at most `copies` of a key.
    ///
    /// # Errors
    /// `Invalid`, saying which property cannot be kept.
    pub fn check(&self, copies: u8) -> Result<(), WireError> {
        Self::check_name(&self.name)?;
        let props = &self.props;
        if props.n == 0 || props.n > copies {
            return Err(WireError::new(
                ErrorCode::Invalid,
                format!(
                    "n={} cannot be kept: this cluster's ring places 1 to {copies} copies",
                    props.n
                ),
            ));
        }
        props.defaults.read(props.n, &Default::default())?;
        props.defaults.write(props.n, &Default::default())?;
        props.defaults.lifetime(None)?;
        Ok(())
    }
}

/// The cluster map, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterMap {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its name for people.
    pub name: String,
    /// See [`FORMAT_LEVEL`].
    pub format_level: u32,
    /// The members, ordered by id.
    pub members: Vec<Member>,
    /// Who holds what.
    pub ring: Ring,
    /// The buckets, ordered by name.
    pub buckets: Vec<Bucket>,
}

impl ClusterMap {
    /// The member of that id.
    #[must_use]
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// The bucket of that name.
    #[must_use]
    pub fn bucket_named(&self, name: &str) -> Option<&Bucket> {
        self.buckets.iter().find(|bucket| bucket.name == name)
    }

    /// The bucket of that id.
    #[must_use]
    pub fn bucket(&self, id: BucketId) -> Option<&Bucket> {
        self.buckets.iter().find(|bucket| bucket.id == id)
    }

    /// Checks what the types alone do not say: members are distinct, ordered and those of the
    /// ring; buckets are distinct, ordered and valid.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        if self.members.len() > MEMBERS_MAX || self.buckets.len() > BUCKETS_MAX {
            return Err(format!(
                "{} members and {} buckets are over the limit",
                self.members.len(),
                self.buckets.len()
            ));
        }
        if !self.members.is_sorted_by(|a, b| a.id < b.id) {
            return Err("members are not distinct and ordered by id".to_owned());
        }
        if let Some(placed) = self
            .ring
            .members()
            .iter()
            .find(|placed| self.member(placed.id).is_none())
        {
            return Err(format!(
                "the ring places data on {}, which is no member",
                placed.id
            ));
        }
        if !self.buckets.is_sorted_by(|a, b| a.name < b.name) {
            return Err("buckets are not distinct and ordered by name".to_owned());
        }
        self.buckets
            .iter()
            .try_for_each(|bucket| bucket.check(self.ring.copies()))
            .map_err(|error| error.message)
    }
}
