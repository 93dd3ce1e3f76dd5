//! What an operator should know before a plan is carried out.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::NODES_MAX;
use super::classes::Shift;
use crate::bounded::at_most;
use crate::hash::PartitionCount;
use crate::ids::{NodeId, PartitionId};
use crate::share::ExactShare;

const PARTITIONS_MAX: usize = PartitionCount::MAX.get() as usize;

/// Something an operator should know about a plan. All of them concern the classes of one n.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Warning {
    /// There are fewer members than copies: places stay empty.
    UnderReplicated {
        /// How many copies there should be.
        n: u8,
        /// How many there are.
        copies: Shift,
    },
    /// There are fewer zones than copies: copies share zones.
    ZonesShared {
        /// How many copies there are to be.
        n: u8,
        /// In how many zones, at least, every class has a copy.
        zones: Shift,
    },
    /// Nodes that can hand over nothing held copies. At `left` 0 the data is gone; a write that was
    /// acknowledged by no more than `lost` nodes may be.
    CopiesLost {
        /// How many copies there should be.
        n: u8,
        /// How many copies of each of these classes are lost.
        lost: u8,
        /// How many are left.
        left: u8,
        /// The partitions of the classes, in ascending order.
        #[serde(deserialize_with = "at_most::<_, _, PARTITIONS_MAX>")]
        partitions: Vec<PartitionId>,
    },
    /// All members of these classes, two or more, are replaced at once.
    NoneStays {
        /// How many copies there should be.
        n: u8,
        /// The partitions of the classes, in ascending order.
        #[serde(deserialize_with = "at_most::<_, _, PARTITIONS_MAX>")]
        partitions: Vec<PartitionId>,
    },
    /// Distinct nodes or zones keep these members from holding what their weights ask for.
    Capped {
        /// How many copies there are to be.
        n: u8,
        /// The members, by their ids.
        #[serde(deserialize_with = "at_most::<_, _, NODES_MAX>")]
        members: Vec<Skew>,
    },
    /// Because of others that are capped, or of zones that few members stand in, these members hold
    /// more than their weights ask for.
    Burdened {
        /// How many copies there are to be.
        n: u8,
        /// The members, by their ids.
        #[serde(deserialize_with = "at_most::<_, _, NODES_MAX>")]
        members: Vec<Skew>,
    },
    /// These members hold nothing, because there are more members than copies, or their weights are
    /// too small.
    Idle {
        /// How many copies there are to be.
        n: u8,
        /// The members, by their ids.
        #[serde(deserialize_with = "at_most::<_, _, NODES_MAX>")]
        members: Vec<NodeId>,
    },
}

/// A member whose weight asks for another load than it can have, by a partition or more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Skew {
    /// The member.
    pub node: NodeId,
    /// What it would hold if weights alone decided.
    pub by_weight: ExactShare,
    /// What it is to hold.
    pub share: ExactShare,
}

impl Warning {
    /// Whether carrying out the plan makes something worse that nobody wants by accident: fewer
    /// copies or fewer zones than before, or so many copies lost that a write acknowledged by a
    /// majority may be gone.
    pub fn needs_force(&self) -> bool {
        match self {
            Self::UnderReplicated { copies: shift, .. }
            | Self::ZonesShared { zones: shift, .. } => shift.after < shift.before,
            Self::CopiesLost { n, lost, left, .. } => *left == 0 || *lost > n / 2,
            Self::NoneStays { .. }
            | Self::Capped { .. }
            | Self::Burdened { .. }
            | Self::Idle { .. } => false,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnderReplicated { n, copies } => write!(
                f,
                "n={n}: {} copies (now {}), because there are no more members",
                copies.after, copies.before
            ),
            Self::ZonesShared { n, zones } => write!(
                f,
                "n={n}: copies share zones; each partition is in {} zones (now {})",
                zones.after, zones.before
            ),
            Self::CopiesLost {
                n,
                lost,
                left: 0,
                partitions,
            } => write!(
                f,
                "n={n}: all {lost} copies of {} partitions are lost",
                partitions.len()
            ),
            Self::CopiesLost {
                n,
                lost,
                left,
                partitions,
            } => write!(
                f,
                "n={n}: {} partitions lose {lost} copies and have {left} until others are made",
                partitions.len()
            ),
            Self::NoneStays { n, partitions } => write!(
                f,
                "n={n}: {} partitions have all their members replaced at once",
                partitions.len()
            ),
            Self::Capped { n, members } => write!(
                f,
                "n={n}: {} members cannot hold what their weights ask for; {}",
                members.len(),
                Examples(members)
            ),
            Self::Burdened { n, members } => write!(
                f,
                "n={n}: {} members hold more than their weights ask for; {}",
                members.len(),
                Examples(members)
            ),
            Self::Idle { n, members } => {
                write!(f, "n={n}: {} members hold no partition", members.len())
            }
        }
    }
}

/// The first of several, for people.
struct Examples<'a>(&'a [Skew]);

impl fmt::Display for Examples<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.first() {
            Some(Skew {
                node,
                by_weight,
                share,
            }) => {
                write!(
                    f,
                    "{node} for one: {share} partitions, by weight {by_weight}"
                )
            }
            None => Ok(()),
        }
    }
}
