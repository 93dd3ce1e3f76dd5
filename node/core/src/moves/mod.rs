//! Ring changes: how a class moves from one set of nodes to another while it is read and written.
//!
//! The map says where each class stands ([`ClassRecord`](quorate_protocol::versioned::ClassRecord)); it goes from
//! *stable* to *joint-old* (old and new are written, old is read) to *joint-new* (new is read) to *stable* on the new
//! set. What a replica does about it:
//!
//! * [`places`]: its vnodes follow the newest version it was given, whatever it missed between;
//! * [`join`]: a newcomer is filled like a vnode whose disk is empty, and says that it is complete when it durably has
//!   what every old member had after the move began;
//! * [`depart`]: a vnode that lost its place answers nobody any more. Members take from it what they lack, and it is
//!   deleted when all of them durably have all that it has;
//! * requests carry the class's epoch, see [`crate::coordinate`]'s `fence`.
//!
//! What it has done stands in its [`Word`]; by the words of all members the next version is made ([`next_version`]).

mod depart;
mod join;
mod next;
mod places;
mod word;

pub(crate) use self::depart::Departures;
pub(crate) use self::join::Joining;
pub use self::next::{Step, next_version};
pub use self::word::{Complete, Word};
