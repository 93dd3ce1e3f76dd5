//! Ring changes: how a class moves from one set of nodes to another while it is read and written.
//!
//! The map says where each class stands ([`ClassRecord`](quorate_protocol::versioned::ClassRecord)); it goes from
//! *stable* to *joint-old* (old and new are written, old is read) to *joint-new* (new is read) to *stable* on the new
//! set. What a replica does about it:
//!
//! * `places.rs`: its vnodes follow the newest version it was given, whatever it missed between;
//! * `join.rs`: a newcomer is filled like a vnode whose disk is empty, and says that it is complete when it durably has
//!   what every old member had after the move began;
//! * `depart.rs`: a vnode that lost its place answers nobody any more. Members take from it what they lack, and it is
//!   deleted when all of them durably have all that it has;
//! * requests carry the class's epoch, see `coordinate/fence.rs`.
//!
//! What it has done stands in its [`Word`], told by [`Effect::Word`](crate::Effect::Word) when it is durable; by the words of
//! all members the [`keeper`](crate::keeper) makes the next version ([`next_version`]).
//! Operators stage changes of the members ([`stage`](fn@stage)), look at what they would do ([`plan`](fn@plan)), and [`commit`](fn@commit)
//! or [`cancel`](fn@cancel) them: each is a function from the present version to the [`Next`] one.

mod account;
mod all;
mod cancel;
mod class;
mod commit;
mod depart;
mod drop_bucket;
mod hand_over;
mod heard;
mod join;
mod next;
mod places;
mod plan;
mod progress;
mod recover;
mod refused;
mod stage;
mod voters;
mod word;

pub use self::account::said;
pub use self::all::Steps;
pub use self::cancel::{cancel, forget};
pub use self::commit::{Allowed, commit, commit_at_once};
pub(crate) use self::depart::Departures;
pub use self::drop_bucket::drop_bucket;
pub use self::heard::Heard;
pub(crate) use self::join::Joining;
pub use self::next::{Next, Step, next_version};
pub use self::plan::{Outlook, plan};
pub use self::progress::{Progress, progress};
pub use self::recover::recovered;
pub use self::refused::Refused;
pub use self::stage::{clear, stage};
pub use self::word::{Complete, Said, Word};
