//! Why a change of the members is not made.

use quorate_protocol::limits::{EXPELLED_MAX, STAGED_MAX};
use quorate_protocol::versioned::StagedError;
use quorate_ring::{BucketId, StageError};

/// What is wrong with a change of the members, and what to do. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The cluster's first version is not complete.
    #[error("the cluster is not complete yet: start all of its members first")]
    NotFounded,
    /// The change cannot be read.
    #[error(transparent)]
    Unreadable(#[from] StagedError),
    /// The node is no member.
    #[error("{0} is no member: `cluster members` lists them")]
    NoMember(String),
    /// The node that is to come is a member.
    #[error("{0} is a member already: to let it come anew, let it leave first")]
    IsMember(String),
    /// The member is on its way out.
    #[error(
        "{0} is on its way out: wait until it is gone, cancel the change that sends it away, or remove it by force if it is lost"
    )]
    Goes(String),
    /// The member was removed by force before.
    #[error("{0} was removed by force already: forget it if it never comes back")]
    IsDead(String),
    /// What the node held was given up.
    #[error(
        "{0} was forgotten: what it holds may have been deleted since. Clear its data directory: it comes as another node then"
    )]
    Expelled(String),
    /// Two members would have one name.
    #[error("the name {0} is taken: choose another one")]
    NameTaken(String),
    /// A member that nobody can reach.
    #[error("{0} has no {1} address: nobody could reach it")]
    NoAddress(String, &'static str),
    /// A second change of the same member.
    #[error("a change of {0} is staged already: clear the staged changes first")]
    Staged(String),
    /// It changes nothing.
    #[error("{0} {1} already: nothing would change")]
    Unchanged(String, &'static str),
    /// Too much is staged.
    #[error("{STAGED_MAX} changes are staged, and no more can be: commit or clear them first")]
    TooMany,
    /// What is to be made at once would take something else along.
    #[error("other changes are staged: commit or clear them first, or stage this one beside them")]
    OthersStaged,
    /// Nothing is staged.
    #[error("no change is staged: stage one first")]
    NothingStaged,
    /// What was looked at is not what would be done.
    #[error("the cluster has changed since this plan was made: make it again")]
    OtherPlan,
    /// The members left cannot hold the data.
    #[error("the staged changes cannot be made: {0}")]
    Ring(#[from] StageError),
    /// It makes something worse.
    #[error("this makes the cluster worse, so it has to be forced: {0}")]
    NeedsForce(String),
    /// Data may be lost.
    #[error(
        "{classes} classes may have their last up-to-date copy on {node}: bring another of their nodes back first, or name {node} as one whose data may be lost"
    )]
    MayLose {
        /// The node.
        node: String,
        /// Of how many classes.
        classes: usize,
    },
    /// Nothing is under way, or it goes back already.
    #[error("no change of the ring is under way that could be cancelled")]
    NothingToCancel,
    /// The ring of before cannot be had again.
    #[error(
        "the change cannot be cancelled: {0} had places before and was removed by force; stage the changes that lead to where you want to be"
    )]
    CannotGoBack(String),
    /// The ring of before cannot be made.
    #[error("the ring of before cannot be made again: {0}")]
    NoRing(String),
    /// Too many are remembered.
    #[error("{EXPELLED_MAX} nodes were forgotten, and no more can be: {0} stays named as dead")]
    TooManyForgotten(String),
    /// No bucket has that id.
    #[error("no bucket has the id {0}: `bucket list` shows those that there are")]
    NoBucket(BucketId),
    /// The bucket was dropped before.
    #[error("the bucket with the id {0} was dropped already, with all that was in it")]
    Dropped(BucketId),
    /// Only the dead can be forgotten.
    #[error("{0} was not removed by force: do that first if it is lost for good")]
    NotDead(String),
}
