//! What a departing copy holds beside its clock is pushed.
//!
//! A copy that had lost something, or was given its place back and had not been filled again when it lost it, keeps
//! objects that its clock says nothing of: nobody would ask for them, and everybody covers what it says to have. So all of
//! its objects go to a member, as hints do, and count as handed over when that one has them durably; the others get
//! them by anti-entropy. What is superseded is known there and discarded.
//!
//! One that lost something answers no question, or a loss would be taken for a delete. When it has pushed what it can still
//! read it therefore takes back what it said to have: of the rest nobody can be given anything.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_protocol::ids::StorageId;
use quorate_protocol::limits::{BATCH_BYTES, BATCH_ITEMS_MAX};
use quorate_protocol::peer::{Hints, HintsAck, SettledObject};
use quorate_ring::{Class, NodeId};

use crate::effects::Priority;
use crate::record::{KeyPlace, keys};
use crate::replicate::rebuild::rest_of;
use crate::shared::Cx;
use crate::shelf::Place;
use crate::store::Family;

/// Objects on their way to a member.
#[derive(Debug)]
struct Sent {
    to: NodeId,
    number: u64,
    at_us: u64,
    last: Option<KeyPlace>,
}

/// How far one copy has been pushed.
#[derive(Debug)]
pub(super) struct Pushed {
    storage: StorageId,
    after: Option<KeyPlace>,
    sent: Option<Sent>,
    done: bool,
}

/// How far copies have been pushed.
pub(super) type Pushes = BTreeMap<Class, Pushed>;

/// Goes on with a copy. Returns whether all that it holds has been handed over.
pub(super) fn push(pushes: &mut Pushes, cx: &mut Cx<'_>, class: Class) -> bool {
    let Some(storage) = cx.s.departing.get(&class).map(|vnode| vnode.storage) else {
        return false;
    };
    let fresh = || Pushed {
        storage,
        after: None,
        sent: None,
        done: false,
    };
    let pushed = pushes.entry(class).or_insert_with(fresh);
    if pushed.storage != storage {
        *pushed = fresh();
    }
    let late = |sent: &mut Sent| sent.at_us + cx.s.timing.resend_us <= cx.s.now.mono_us;
    pushed.sent.take_if(late);
    if pushed.sent.is_none() && !pushed.done {
        pushed.send_next(cx, class);
    }
    if pushed.done
        && let Some(storage) = cx.s.take_back_what_it_said(class)
    {
        pushed.storage = storage;
    }
    pushed.done
}

/// A member has stored what it was sent, or has not.
pub(super) fn on_ack(pushes: &mut Pushes, cx: &mut Cx<'_>, from: NodeId, ack: &HintsAck) {
    let Some(pushed) = pushes.get_mut(&ack.class) else {
        return;
    };
    let answered = |sent: &mut Sent| (sent.to, sent.number) == (from, ack.number);
    let Some(sent) = pushed.sent.take_if(answered) else {
        return;
    };
    if ack.error.is_none() {
        pushed.after = sent.last;
        pushed.send_next(cx, ack.class);
    }
}

impl Pushed {
    fn send_next(&mut self, cx: &mut Cx<'_>, class: Class) {
        let mut members = cx.s.view.counted(class).into_iter();
        let Some(to) = members.find(|&node| cx.s.view.is_reachable(node)) else {
            return;
        };
        let Some((objects, last)) = cx.next_to_push(class, self.after.as_ref()) else {
            return; // it cannot be read now
        };
        if objects.is_empty() {
            self.done = true;
            return;
        }
        let number = cx.s.new_op();
        self.sent = Some(Sent {
            to,
            number,
            at_us: cx.s.now.mono_us,
            last,
        });
        let hints = Hints {
            class,
            number,
            objects,
        };
        cx.s.send(to, hints, 0, Priority::Background);
    }
}

impl Cx<'_> {
    /// The next objects of a copy and the last key among them; `None` where storage does not answer. What is unreadable is
    /// lost and left out.
    fn next_to_push(
        &self,
        class: Class,
        after: Option<&KeyPlace>,
    ) -> Option<(Vec<SettledObject>, Option<KeyPlace>)> {
        let (mut names, mut bytes): (Vec<KeyPlace>, usize) = (Vec::new(), 0);
        let scanned = self.scan(Family::Objects, rest_of(class, after), |key, record| {
            bytes += record.len();
            if let Some((_, bucket, name)) = keys::parse_object_key(key) {
                names.push((bucket, Bytes::copy_from_slice(name)));
            }
            if names.len() >= BATCH_ITEMS_MAX || bytes >= BATCH_BYTES {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if scanned.is_err() && names.is_empty() {
            return None;
        }
        let last = names.last().cloned();
        let place = |(bucket, key): KeyPlace| Place { class, bucket, key };
        let read = |name: KeyPlace| self.handed_over(place(name)).ok().flatten();
        let objects = names.into_iter().filter_map(read);
        Some((objects.collect(), last))
    }
}
