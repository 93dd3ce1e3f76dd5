//! Deletes that found nothing: they leave no dot, and so nothing by which a repeated copy of the same request would be
//! recognised. Carried out once more, later, it would delete what was written since.
//!
//! So their coordinator remembers them in memory for as long as requests are repeated. Another coordinator does not
//! know of them: a retry that goes there is carried out as if the delete came later.

use std::collections::{BTreeMap, VecDeque};

use quorate_protocol::client::Written;
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::ids::RequestId;
use quorate_protocol::limits::RETRY_WINDOW_MS;

use super::get::{GetOp, Gets};
use crate::effects::Note;
use crate::plant::Plant;
use crate::shared::{Asker, Cx};
use crate::shelf::Place;

/// How many are remembered; beyond, the oldest are forgotten.
const KEPT_MAX: usize = 16 * 1024;

/// Deletes that found nothing, and how they were answered.
#[derive(Debug, Default)]
pub(crate) struct VoidDeletes {
    answers: BTreeMap<RequestId, (Place, Written)>,
    /// In the order in which they were answered, with the monotonic time, microseconds.
    order: VecDeque<(u64, RequestId)>,
}

impl VoidDeletes {
    pub(crate) fn keep(&mut self, request: RequestId, place: &Place, answer: Written, now_us: u64) {
        let due = |&mut (at_us, _): &mut (u64, RequestId)| at_us + RETRY_WINDOW_MS * 1000 <= now_us;
        while let Some((_, old)) = self.order.pop_front_if(due) {
            self.answers.remove(&old);
        }
        if self.order.len() >= KEPT_MAX
            && let Some((_, old)) = self.order.pop_front()
        {
            self.answers.remove(&old);
        }
        self.order.push_back((now_us, request));
        self.answers.insert(request, (place.clone(), answer));
    }

    /// How a request was answered that found nothing at this place.
    pub(crate) fn answer(&self, request: RequestId, place: &Place) -> Option<&Written> {
        let known = self.answers.get(&request)?;
        (known.0 == *place).then_some(&known.1)
    }
}

impl Gets {
    /// Whether the same delete was carried out and found nothing, or a copy of it that the network made is reading now
    /// what to delete. Whoever repeats the request takes the place of who asked first, who must delete nothing later.
    pub(super) fn is_repeated(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        place: &Place,
        request: RequestId,
    ) -> bool {
        if cx.s.breaks(Plant::RetryMintsAgain) {
            return false;
        }
        if let Some(answer) = cx.s.void_deletes.answer(request, place).cloned() {
            cx.s.note(Note::RetryRecognised);
            cx.s.reply(asker, answer);
            return true;
        }
        let same = |op: &GetOp| {
            let delete = op.ask.then_delete.as_ref();
            delete.is_some_and(|delete| delete.request == request) && op.place == *place
        };
        let under_way = self.ops.iter().find(|(_, op)| same(op));
        let Some((&id, op)) = under_way else {
            return false;
        };
        if op.asker == asker {
            return true;
        }
        if let Some(before) = self.take_out(id) {
            let error = WireError::new(
                ErrorCode::InDoubt,
                "the same request came once more while this one was under way, and is carried out in its place",
            );
            cx.s.reply(before.asker, error);
        }
        false
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use quorate_ring::{BucketId, Class, PartitionId};

    use super::*;

    fn place(key: &'static str) -> Place {
        let class = Class {
            n: 3,
            partition: PartitionId::new(1),
        };
        Place {
            class,
            bucket: BucketId::new(1),
            key: Bytes::from_static(key.as_bytes()),
        }
    }

    fn written() -> Written {
        Written {
            dot: None,
            context: Bytes::new(),
            siblings: 0,
            info: Default::default(),
        }
    }

    #[test]
    fn answers_are_kept_for_the_window_and_for_their_key_only() {
        let mut kept = VoidDeletes::default();
        let request = |number| RequestId::new(1, number);
        kept.keep(request(1), &place("a"), written(), 0);
        assert!(kept.answer(request(1), &place("a")).is_some());
        assert!(kept.answer(request(1), &place("b")).is_none());
        assert!(kept.answer(request(2), &place("a")).is_none());
        kept.keep(request(2), &place("a"), written(), RETRY_WINDOW_MS * 1000);
        assert!(kept.answer(request(1), &place("a")).is_none());
        assert!(kept.answer(request(2), &place("a")).is_some());
    }

    #[test]
    fn no_more_than_so_many_are_kept() {
        let mut kept = VoidDeletes::default();
        for number in 0..=KEPT_MAX as u64 {
            kept.keep(RequestId::new(1, number), &place("a"), written(), number);
        }
        assert_eq!((kept.answers.len(), kept.order.len()), (KEPT_MAX, KEPT_MAX));
        assert!(kept.answer(RequestId::new(1, 0), &place("a")).is_none());
    }
}
