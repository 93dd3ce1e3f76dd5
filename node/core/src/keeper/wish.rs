//! A change that somebody wants, and what it comes to with the newest version.

use quorate_protocol::RequestId;
use quorate_protocol::client::{ChangeRing, ClientReply};
use quorate_protocol::map::BucketProps;
use quorate_ring::NodeId;

use super::Keeper;
use crate::effects::Ticket;
use crate::register::Draft;

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A bucket of that name with these properties.
    Put(String, BucketProps),
    /// Members or their places changed.
    Ring(Box<ChangeRing>),
    /// This node's storage named.
    Name,
    /// The next generation of actors begun.
    Generation(u16),
    /// The change of the ring that is under way taken a step further.
    GoOn,
}

/// A wish.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) what: What,
    /// Who waits for it; nobody for what the node wants of itself.
    pub(super) waiter: Option<Ticket>,
    /// The same for every try.
    pub(super) request: RequestId,
    pub(super) deadline_us: u64,
    /// It is in the register's hands; otherwise it waits for another version.
    pub(super) proposed: bool,
}

/// What a wish comes to.
pub(super) enum Judged {
    /// It is so already, or can never be.
    Settled(Option<Box<ClientReply>>),
    /// This is to be the next version; and a sentence on what it changes.
    Next(String, Box<Draft>),
    /// The next lineage is to begin without these.
    Recover(Vec<NodeId>),
}

impl Judged {
    /// It is at its end with this answer.
    pub(super) fn answered(reply: impl Into<ClientReply>) -> Self {
        Self::Settled(Some(Box::new(reply.into())))
    }
}

impl Keeper {
    /// What a wish comes to with the newest version.
    pub(super) fn judge(&mut self, wish: &Wish) -> Judged {
        if self.is_made(wish.request) {
            return Judged::Settled(self.made(wish).map(Box::new));
        }
        let newest = self.register.newest().clone();
        match &wish.what {
            What::Put(name, props) => self.judge_put(&newest, name, props),
            What::Ring(asked) => self.judge_ring(asked),
            What::Name => self.judge_name(&newest),
            What::Generation(wanted) => Self::judge_generation(&newest, *wanted),
            What::GoOn => self.judge_going_on(),
        }
    }

    fn is_made(&self, request: RequestId) -> bool {
        let mut history = self.register.newest().history();
        history.any(|past| past.change.request == request)
    }

    /// What is said of a wish that was granted, now or in an earlier try.
    pub(super) fn made(&self, wish: &Wish) -> Option<ClientReply> {
        let newest = self.register.newest();
        match &wish.what {
            What::Put(name, _) => Some(Self::put_made(newest, name)),
            What::Ring(_) => Some(self.ring_changed()),
            What::Name | What::Generation(_) | What::GoOn => None,
        }
    }
}
