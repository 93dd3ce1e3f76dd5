//! The object: all versions of one key that nobody superseded, and the context of those superseded.

use bytes::Bytes;
use quorate_protocol::limits::{CONTENT_TYPE_BYTES_MAX, META_BYTES_MAX, VALUE_BYTES_MAX};
use quorate_protocol::peer::{ENDLESS, PeerBody, PeerObject, PeerVersion};
use quorate_protocol::{ActorId, Dot, RequestId, client};

use super::error::CausalityError;
use super::{Clock, VersionVector};

/// Most versions of an object that is read from outside. Client writes are refused long before, but
/// repair must carry whatever many partitions accepted.
pub const SIBLINGS_HARD_MAX: usize = 10_000;

/// A value with what its writer said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The value.
    pub value: Bytes,
    /// Its content type; empty where none was given.
    pub content_type: String,
    /// User metadata, as the client gave it.
    pub meta: Vec<(String, Bytes)>,
}

/// How much of a version's value is at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// All of it.
    Whole(Content),
    /// The value lies in pieces elsewhere in the same storage.
    Chunked {
        /// Its content type.
        content_type: String,
        /// User metadata.
        meta: Vec<(String, Bytes)>,
        /// How many pieces there are, at least 1.
        pieces: u32,
    },
    /// Nothing: only the version's existence is known.
    Absent,
}

/// One version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The write that made it.
    pub dot: Dot,
    /// Hybrid time stamp of its coordinator: milliseconds since 1970 times 2^16, and a count.
    pub stamp: u64,
    /// When it ends to be visible, milliseconds since 1970; 0: never.
    pub expires_ms: u64,
    /// The request that made it.
    pub request: RequestId,
    /// Bytes of the value, also where the value is not at hand.
    pub size: u64,
    /// The value.
    pub body: Body,
}

/// A key's versions and their causal context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Ordered by dot; the context covers none of them.
    pub versions: Vec<Version>,
    /// What was superseded, as far as clocks do not yet tell it.
    pub context: VersionVector,
}

impl Object {
    /// The coordinator's own put (`new`) or delete (`None`) by a writer who had `seen` this much.
    /// Returns the dots of the versions that it displaces.
    ///
    /// The new version's dot is not covered by the context: it is not superseded.
    pub fn write(&mut self, seen: &VersionVector, new: Option<Version>) -> Vec<Dot> {
        let displaced: Vec<Dot> = self.dots().filter(|dot| seen.covers(*dot)).collect();
        self.versions.retain(|version| !seen.covers(version.dot));
        self.context.join(seen);
        if let Some(version) = new {
            debug_assert!(
                !self.context.covers(version.dot),
                "dot {} was issued before",
                version.dot
            );
            self.insert(version);
        }
        displaced
    }

    /// The dots of its versions, ascending.
    pub fn dots(&self) -> impl ExactSizeIterator<Item = Dot> + '_ {
        self.versions.iter().map(|version| version.dot)
    }

    /// Whether it holds this version.
    #[must_use]
    pub fn has(&self, dot: Dot) -> bool {
        self.version(dot).is_some()
    }

    /// The version of this dot.
    #[must_use]
    pub fn version(&self, dot: Dot) -> Option<&Version> {
        self.find(dot).ok().map(|at| &self.versions[at])
    }

    /// Whether there is nothing to store: neither a version nor a context.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty() && self.context.is_empty()
    }

    /// What a reader of this object has seen: its context and the dots of its versions.
    #[must_use]
    pub fn read_context(&self) -> VersionVector {
        let mut seen = self.context.clone();
        for dot in self.dots() {
            seen.insert(dot);
        }
        seen
    }

    /// Whether a member whose durable clock this is needs nothing of the context any more: it applied
    /// every write that the context covers, and every version beside it. A vnode may drop the context
    /// whole when this holds for all members and no log entry of the key is left at it.
    ///
    /// The versions count too: one of them may have come here without its own dot being settled, and
    /// would stand, bare of its context, at the next receiver beside what it superseded. The
    /// empty log guards against the same; in the model of `tests/convergence.rs` either alone holds.
    #[must_use]
    pub fn context_needless_for(&self, clock: &Clock) -> bool {
        clock.covers_context(&self.context) && self.dots().all(|dot| clock.contains(dot))
    }

    /// What a reader is shown at this time, milliseconds since 1970: the versions that have not expired.
    #[must_use]
    pub fn visible(mut self, at_ms: u64) -> Self {
        self.versions.retain(|version| !version.has_expired(at_ms));
        self
    }

    /// Whether a reader is shown anything at this time, milliseconds since 1970.
    #[must_use]
    pub fn is_visible(&self, at_ms: u64) -> bool {
        self.versions
            .iter()
            .any(|version| !version.has_expired(at_ms))
    }

    /// Bytes of all its values together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.versions
            .iter()
            .fold(0, |sum, version| sum.saturating_add(version.size))
    }

    /// As it travels to a peer; values that are not at hand whole are left out.
    #[must_use]
    pub fn to_peer(&self) -> PeerObject {
        PeerObject {
            versions: self.versions.iter().map(Version::to_peer).collect(),
            context: self.context.to_wire(),
        }
    }

    /// Reads what a peer sent.
    ///
    /// # Errors
    /// Versions not strictly ascending by dot, counters of 0, more than [`SIBLINGS_HARD_MAX`] versions,
    /// a value of another length than stated or over its limit, a malformed context, or one that
    /// covers a version beside it.
    pub fn from_peer(peer: PeerObject) -> Result<Self, CausalityError> {
        if peer.versions.len() > SIBLINGS_HARD_MAX {
            return Err(CausalityError::TooManySiblings {
                found: peer.versions.len(),
                max: SIBLINGS_HARD_MAX,
            });
        }
        let mut object = Self {
            versions: Vec::new(),
            context: VersionVector::from_wire(&peer.context)?,
        };
        for version in peer.versions {
            object.push(Version::from_peer(version)?)?;
        }
        Ok(object)
    }

    /// Appends a version, which must follow the last one in order.
    fn push(&mut self, version: Version) -> Result<(), CausalityError> {
        if self
            .versions
            .last()
            .is_some_and(|last| last.dot >= version.dot)
        {
            return Err(CausalityError::VersionOrder(version.dot));
        }
        if self.context.covers(version.dot) {
            return Err(CausalityError::CoveredVersion(version.dot));
        }
        self.versions.push(version);
        Ok(())
    }

    fn insert(&mut self, version: Version) {
        match self.find(version.dot) {
            Ok(at) => self.versions[at] = version,
            Err(at) => self.versions.insert(at, version),
        }
    }

    fn find(&self, dot: Dot) -> Result<usize, usize> {
        self.versions
            .binary_search_by_key(&dot, |version| version.dot)
    }
}

impl Version {
    /// Whether it expires some day. Replicas may still hold such a version or hold it no more under equal
    /// clocks, since each goes by its own time of day: a comparison of their contents leaves it out.
    #[must_use]
    pub const fn expires(&self) -> bool {
        self.expires_ms != 0
    }

    /// Whether its time has passed at this one, milliseconds since 1970.
    #[must_use]
    pub const fn has_expired(&self, at_ms: u64) -> bool {
        self.expires() && self.expires_ms <= at_ms
    }

    fn to_peer(&self) -> PeerVersion {
        let body = match &self.body {
            Body::Whole(content) => Some(content.clone().into()),
            Body::Chunked { .. } | Body::Absent => None,
        };
        PeerVersion {
            dot: self.dot,
            stamp: self.stamp,
            expires_ms: self.expires_ms,
            request: self.request,
            size: self.size,
            body,
        }
    }

    fn from_peer(peer: PeerVersion) -> Result<Self, CausalityError> {
        let dot = peer.dot;
        check_dots([&dot])?;
        check_limit(dot, "the value", peer.size, VALUE_BYTES_MAX)?;
        if let Some(body) = &peer.body {
            check_body(dot, peer.size, body)?;
        }
        Ok(Self {
            dot,
            stamp: peer.stamp,
            expires_ms: peer.expires_ms,
            request: peer.request,
            size: peer.size,
            body: peer
                .body
                .map_or(Body::Absent, |body| Body::Whole(body.into())),
        })
    }
}

/// Checks dots that a peer names beside an object.
///
/// # Errors
/// A counter of 0, or one from [`ENDLESS`] on: these name no write, and could not be read back once stored.
pub fn check_dots<'a>(dots: impl IntoIterator<Item = &'a Dot>) -> Result<(), CausalityError> {
    let nobody = |dot: &Dot| dot.actor == ActorId::FOLDED;
    let names_none = |dot: &&Dot| !(1..ENDLESS).contains(&dot.counter) || nobody(dot);
    match dots.into_iter().find(names_none) {
        Some(dot) if dot.counter == 0 => Err(CausalityError::ZeroCounter(dot.actor)),
        Some(dot) if nobody(dot) => Err(CausalityError::NobodysDot(*dot)),
        Some(dot) => Err(CausalityError::EndlessCounter(*dot)),
        None => Ok(()),
    }
}

fn check_body(dot: Dot, stated: u64, body: &PeerBody) -> Result<(), CausalityError> {
    let found = body.value.len() as u64;
    if found != stated {
        return Err(CausalityError::SizeMismatch { dot, stated, found });
    }
    // An entry counts for at least one byte, so that empty ones are bounded as well.
    let meta = body.meta.iter().fold(0, |sum, (name, value)| {
        sum + (name.len() + value.len()).max(1)
    });
    check_limit(
        dot,
        "the content type",
        body.content_type.len() as u64,
        CONTENT_TYPE_BYTES_MAX,
    )?;
    check_limit(dot, "the metadata", meta as u64, META_BYTES_MAX)
}

fn check_limit(dot: Dot, what: &'static str, found: u64, max: usize) -> Result<(), CausalityError> {
    let max = max as u64;
    if found <= max {
        Ok(())
    } else {
        Err(CausalityError::TooLarge {
            dot,
            what,
            found,
            max,
        })
    }
}

macro_rules! same_content {
    ($other:ty) => {
        impl From<$other> for Content {
            fn from(other: $other) -> Self {
                Self {
                    value: other.value,
                    content_type: other.content_type,
                    meta: other.meta,
                }
            }
        }

        impl From<Content> for $other {
            fn from(content: Content) -> Self {
                Self {
                    value: content.value,
                    content_type: content.content_type,
                    meta: content.meta,
                }
            }
        }
    };
}

same_content!(PeerBody);
same_content!(client::Content);
