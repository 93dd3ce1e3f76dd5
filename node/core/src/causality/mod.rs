//! Who saw what: dots, contexts, clocks, objects, and how two copies of an object become one.
//!
//! Values only: no time, no messages, no storage. The method is that of Gonçalves, Almeida, Baquero
//! and Fonte ("Concise Server-Wide Causality Management for Eventually Consistent Data Stores", DAIS
//! 2015; "DottedDB", SRDS 2017), with actors that live as long as one life of a vnode and with
//! contexts that are never filled from a clock.
//!
//! # The words
//!
//! * A *dot* names one accepted write, a delete included: who accepted it and its how-manieth write
//!   it was. No dot is issued twice, and one dot names one value for ever.
//! * A *context* ([`VersionVector`]) belongs to one key. Its entry (a, m) says: every write of this
//!   key by actor a up to its mth is superseded, unless the object at hand holds it.
//! * An [`Object`] is the versions of one key that nobody superseded yet, and the context of all that
//!   was. A context covers none of the versions beside it. A delete leaves a context and no version.
//! * A [`Clock`] belongs to one vnode and has no gaps it does not know of: it holds exactly the dots
//!   that the vnode applied, of whatever keys.
//!
//! # The rules
//!
//! 1. *Write.* The coordinator drops from its own copy what the writer saw, joins what the writer saw
//!    into the context, and adds the new version under a new dot ([`Object::write`]). Writes that
//!    did not see each other stand side by side.
//! 2. *Merge.* A version that both sides hold stays. A version that one side lacks goes if that
//!    side's context covers it or that side has seen its dot: seen and not held means superseded.
//!    It stays otherwise. Contexts are joined ([`merge`]).
//! 3. *What a side has seen* is said exactly. A vnode's clock speaks for its own copy. A copy that
//!    travels is accompanied by the dots that it *settles*: the receiver enters these into its clock,
//!    after the merge and in the same batch, and never a dot that a context merely covers. A
//!    hint has no clock: the dots it settles stand in for one ([`merge_hints`]).
//! 4. *Absence proves nothing* but for a dot that is known to have been seen. So where the replies
//!    to a read differ, each replica that lacks a dot is asked whether it has seen it
//!    ([`differing`]) before the replies become one ([`merge_replies`]).
//!
//! By these rules merging is idempotent, commutative and associative, and two vnodes with equal
//! clocks hold equal objects, contexts aside. `tests/convergence.rs` holds them against a model that keeps whole
//! histories as sets.

mod clock;
mod digest;
mod error;
mod merge;
mod object;
mod replies;
mod runs;
mod version_vector;

pub use clock::{CLOCK_ACTORS_MAX, CLOCK_RUNS_MAX, Clock};
pub use digest::{DIGEST_BYTES, Digest};
pub use error::CausalityError;
pub use merge::{Merged, merge, merge_hints, merge_snapshot};
pub use object::{Body, Content, Object, SIBLINGS_HARD_MAX, Version, check_dots};
pub use replies::{ReplyView, differing, merge_replies};
pub use version_vector::{CONTEXT_ACTORS_MAX, VersionVector};
