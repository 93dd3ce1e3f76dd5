//! Members on their way out, and where a change of the ring began.

use quorate_ring::{NodeId, Placed, Ring};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::MapVersion;
use crate::codec;

/// What a member that goes still does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GoingState {
    /// It hands over what it holds, and is a member until it holds nothing.
    HandsOver,
    /// It was removed by force: nobody waits for it. Its copies are named until it says that they are gone.
    Dead,
    /// An operator has given up what only it holds: its copies are not named any more.
    Forgotten,
}

impl Serialize for GoingState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(match self {
            Self::HandsOver => 0,
            Self::Dead => 1,
            Self::Forgotten => 2,
        })
    }
}

impl<'de> Deserialize<'de> for GoingState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            0 => Ok(Self::HandsOver),
            1 => Ok(Self::Dead),
            2 => Ok(Self::Forgotten),
            other => Err(serde::de::Error::custom(format!(
                "state {other} of a member that goes is of a later version"
            ))),
        }
    }
}

/// A member that the ring gives no place any more, and that is to be none once nothing names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Going {
    /// The member.
    pub node: NodeId,
    /// The version that sent it away: from there on it takes nothing in for others.
    pub since: MapVersion,
    /// What it still does.
    pub state: GoingState,
}

impl Going {
    /// Whether nobody waits for it.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state != GoingState::HandsOver
    }
}

/// Where a change that is not finished began: what cancelling it leads back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The ring when nothing moved. It travels as one byte string, whose parts are counted apart: two of the
    /// largest rings have more parts than one message may.
    #[serde(with = "as_bytes")]
    pub ring: Ring,
    /// The members that were to stay then, drained ones included, ordered by id.
    pub members: Vec<Placed>,
}

impl Before {
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.members.is_sorted_by(|a, b| a.id < b.id) {
            return Err("the members of before are not distinct and ordered by id".to_owned());
        }
        let known = |placed: &&Placed| {
            let found = self
                .members
                .binary_search_by_key(&placed.id, |member| member.id);
            found.is_err()
        };
        match self.ring.members().iter().find(known) {
            Some(placed) => Err(format!(
                "the ring of before places data on {}, which was no member",
                placed.id
            )),
            None => Ok(()),
        }
    }
}

/// A ring as a byte string.
mod as_bytes {
    use super::{Deserializer, Ring, Serializer, codec};
    use crate::versioned::records::ByteString;
    use serde::Deserialize;

    pub(super) fn serialize<S: Serializer>(ring: &Ring, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        codec::encode(ring, &mut bytes);
        serializer.serialize_bytes(&bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Ring, D::Error> {
        let ByteString(bytes) = ByteString::deserialize(deserializer)?;
        codec::decode(&bytes).map_err(serde::de::Error::custom)
    }
}
