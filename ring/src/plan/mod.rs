//! What follows from one ring taking another's place: who receives what from whom.

mod classes;
mod estimate;
mod inspect;
mod warning;

use serde::{Deserialize, Serialize};

pub use self::classes::{ClassesPlan, Gain, Move, NodeLoad, Shift, ZoneLoad};
pub use self::estimate::{Estimate, Rates, Traffic};
pub use self::warning::{Skew, Warning};

use crate::bounded::at_most;
use crate::change::{Change, ChangeError};
use crate::claim::ClaimError;
use crate::digest::RingDigest;
use crate::ids::{NodeId, RingVersion};
use crate::member::Placed;
use crate::ring::{COPIES_MAX, MEMBERS_MAX, Ring};

/// Two rings name no more nodes than this together.
const NODES_MAX: usize = 2 * MEMBERS_MAX;
/// Each kind of warning comes once for each n, [`Warning::CopiesLost`] once more for each number of
/// copies lost.
const WARNINGS_MAX: usize = COPIES_MAX as usize * (7 + COPIES_MAX as usize);

/// A comparison of a ring with the one that is to follow it.
///
/// The same for the same rings, on every node. It says what moves, not how far a move has come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The number of the ring to come.
    pub version: RingVersion,
    /// The digest of the ring that is.
    pub parent: RingDigest,
    /// The digest of the ring to come.
    pub digest: RingDigest,
    /// What happens to the classes of each n in use, by n.
    #[serde(deserialize_with = "at_most::<_, _, { COPIES_MAX as usize }>")]
    pub classes: Vec<ClassesPlan>,
    /// What an operator should know before this plan is carried out.
    #[serde(deserialize_with = "at_most::<_, _, WARNINGS_MAX>")]
    pub warnings: Vec<Warning>,
}

/// Why there is no plan that leads from one ring to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The ring to come was not made from the ring that is.
    #[error(
        "ring version {next} was not made from version {version} as it is here: make the plan again"
    )]
    NotNext {
        /// The number of the ring that is.
        version: RingVersion,
        /// The number of the ring to come.
        next: RingVersion,
    },
    /// An n that the rings have no place for.
    #[error("no bucket has n={n}: the ring places 1 to {copies} copies")]
    Copies {
        /// What was asked for.
        n: u8,
        /// The largest n a bucket may have.
        copies: u8,
    },
}

/// Why staged changes give no plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// One of the changes cannot be made.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The members that are left cannot hold the data.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The plan was asked for something that rings do not have.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// What staged changes lead to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Staged {
    /// The members after the changes, drained ones included, in ascending order of their ids.
    pub members: Vec<Placed>,
    /// The ring to come.
    pub ring: Ring,
    /// What it takes to get there.
    pub plan: Plan,
}

impl Plan {
    /// Compares a ring with the one that is to follow, for buckets of these `copies` (each n once or
    /// several times, in any order).
    ///
    /// Nothing can be had from `lost` nodes: they are no sources of a move.
    ///
    /// # Errors
    /// If `next` was not made from `ring`, or an n is 0 or above [`Ring::copies`].
    pub fn new(
        ring: &Ring,
        next: &Ring,
        copies: &[u8],
        lost: &[NodeId],
    ) -> Result<Self, PlanError> {
        let same_shape = (ring.partitions(), ring.copies()) == (next.partitions(), next.copies());
        if next.parent() != Some(ring.digest()) || !same_shape {
            let (version, next) = (ring.version(), next.version());
            return Err(PlanError::NotNext { version, next });
        }
        let mut copies = copies.to_vec();
        copies.sort_unstable();
        copies.dedup();
        if let Some(&n) = copies.iter().find(|&&n| n == 0 || n > ring.copies()) {
            let copies = ring.copies();
            return Err(PlanError::Copies { n, copies });
        }
        let plans = copies
            .iter()
            .map(|&n| ClassesPlan::new(ring, next, n, lost));
        let classes: Vec<ClassesPlan> = plans.collect();
        let warnings = classes
            .iter()
            .flat_map(|classes| inspect::warnings(ring, next, classes, lost))
            .collect();
        Ok(Self {
            version: next.version(),
            parent: ring.digest(),
            digest: next.digest(),
            classes,
            warnings,
        })
    }

    /// How many copies of classes move in all.
    pub fn copies_moved(&self) -> u64 {
        let moves = self.classes.iter().flat_map(|classes| &classes.moves);
        moves.map(|class| class.gains.len() as u64).sum()
    }

    /// Whether some warning says that this makes things worse in a way that nobody wants by accident
    /// ([`Warning::needs_force`]).
    pub fn needs_force(&self) -> bool {
        self.warnings.iter().any(Warning::needs_force)
    }
}

impl Ring {
    /// Makes all changes to `members` in one claim, which leads to the ring after this one, and
    /// compares the two.
    ///
    /// `copies` and `lost` as in [`Plan::new`]; who is force-removed counts as lost too. The same
    /// for the same members in whatever order. The order of the changes matters only where one
    /// builds on another.
    ///
    /// # Errors
    /// If a change contradicts the members or another change, the members left cannot hold the data,
    /// or an n is out of bounds.
    pub fn stage(
        &self,
        members: &[Placed],
        changes: &[Change],
        copies: &[u8],
        lost: &[NodeId],
    ) -> Result<Staged, StageError> {
        let members = Change::apply_all(members, changes)?;
        let ring = self.next(&members)?;
        let removed = changes.iter().filter_map(Change::lost);
        let lost: Vec<NodeId> = lost.iter().copied().chain(removed).collect();
        let plan = Plan::new(self, &ring, copies, &lost)?;
        Ok(Staged {
            members,
            ring,
            plan,
        })
    }
}
