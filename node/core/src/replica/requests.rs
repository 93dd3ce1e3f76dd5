//! Requests of clients, of this node's own and passed on by others: which machine takes them.

use std::sync::Arc;

use quorate_protocol::client::{ClientRequest, Keys};
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::limits::DEADLINE_MS_MAX;
use quorate_protocol::peer::Forward;
use quorate_ring::NodeId;

use super::Replica;
use crate::coordinate::forward::Coordinator;
use crate::coordinate::{Ask, Work, WriteAsk, read_first};
use crate::shared::{Asker, Cx, Principal};
use crate::shelf::Place;
use crate::store::Store;

/// What a router call works with: the machines apart from what they share.
pub(super) struct Request<'a> {
    pub(super) asker: Asker,
    pub(super) principal: &'a Principal,
    pub(super) hops: u8,
    pub(super) deadline_us: u64,
}

impl Replica {
    pub(super) fn on_request(
        &mut self,
        from: &Request<'_>,
        request: ClientRequest,
        store: &dyn Store,
    ) {
        let in_flight = self.requests_in_flight();
        if in_flight >= self.shared.timing.requests_max {
            let error = WireError::new(
                ErrorCode::Overloaded,
                format!(
                    "this node has {in_flight} requests under way and takes no more: nothing was done"
                ),
            );
            return self.shared.reply(from.asker, error.retry_after(100));
        }
        match request {
            ClientRequest::Get(get) => match self.shared.check_get(get) {
                Ok((place, ask)) => self.begin(from, place, Work::Read(ask), store),
                Err(error) => self.shared.reply(from.asker, error),
            },
            ClientRequest::Put(put) => match self.shared.check_put(put.clone()) {
                Ok((place, ask)) => {
                    self.begin_write(from, place, ask, &ClientRequest::Put(put), store)
                }
                Err(error) => self.shared.reply(from.asker, error),
            },
            ClientRequest::Delete(delete) => match self.shared.check_delete(delete.clone()) {
                Ok((place, ask)) => {
                    self.begin_write(from, place, ask, &ClientRequest::Delete(delete), store)
                }
                Err(error) => self.shared.reply(from.asker, error),
            },
            ClientRequest::Keys(keys) => self.begin_listing(from, keys, store),
            ClientRequest::GetMap(_)
            | ClientRequest::Ping(_)
            | ClientRequest::PutBucket(_)
            | ClientRequest::Status(_)
            | ClientRequest::Replicas(_)
            | ClientRequest::Backup(_)
            | ClientRequest::Scrub(_)
            | ClientRequest::MapHistory(_)
            | ClientRequest::ChangeRing(_)
            | ClientRequest::PlanRing(_)
            | ClientRequest::Moves(_)
            | ClientRequest::GetVersion(_) => {
                let error = WireError::new(
                    ErrorCode::Protocol,
                    "a request for the node reached a replica",
                );
                self.shared.reply(from.asker, error);
            }
        }
    }

    fn begin_listing(&mut self, from: &Request<'_>, keys: Keys, store: &dyn Store) {
        let cx = &mut Cx {
            s: &mut self.shared,
            store,
        };
        self.listings.start(cx, from.asker, keys, from.deadline_us);
    }

    fn begin(&mut self, from: &Request<'_>, place: Place, work: Work, store: &dyn Store) {
        self.carry_out(
            Ask {
                asker: from.asker,
                place,
                deadline_us: from.deadline_us,
                work,
            },
            store,
        );
    }

    fn begin_write(
        &mut self,
        from: &Request<'_>,
        place: Place,
        ask: WriteAsk,
        request: &ClientRequest,
        store: &dyn Store,
    ) {
        let cx = &mut Cx {
            s: &mut self.shared,
            store,
        };
        match cx.coordinator(place.class, ask.quorum.sloppy) {
            Coordinator::Here => {
                let work = if ask.reads_first && !ask.retry {
                    Work::Read(read_first(ask))
                } else {
                    Work::Write(ask)
                };
                self.begin(from, place, work, store);
            }
            Coordinator::There(node) => {
                let source = (from.asker, from.principal, from.hops);
                self.forwards
                    .pass_on(cx, source, (place.class, node), request, from.deadline_us);
            }
            Coordinator::Nobody => {
                let error = refusal(cx, &place, &ask);
                cx.s.reply(from.asker, error.retry_after(200));
            }
        }
    }

    pub(super) fn carry_out(&mut self, ask: Ask, store: &dyn Store) {
        let cx = &mut Cx {
            s: &mut self.shared,
            store,
        };
        match ask.work {
            Work::Read(read) => self
                .gets
                .start(cx, ask.asker, ask.place, read, ask.deadline_us),
            Work::Write(write) => self
                .puts
                .start(cx, ask.asker, ask.place, write, ask.deadline_us),
        }
    }

    pub(super) fn on_forward(
        &mut self,
        node: NodeId,
        forward: Forward,
        deadline_ms: u32,
        store: &dyn Store,
    ) {
        let now_us = self.shared.now.mono_us;
        if !self.copies.is_first(node, forward.op, now_us) {
            return;
        }
        let asker = Asker::Node {
            node,
            op: forward.op,
            partition: forward.partition,
        };
        let principal: Principal = Arc::from(forward.principal.as_str());
        // A peer's word for how long its client waits is bounded as a client's is.
        let deadline_ms = deadline_ms.clamp(1, DEADLINE_MS_MAX);
        let deadline_us = self.shared.now.mono_us + u64::from(deadline_ms) * 1000;
        let from = Request {
            asker,
            principal: &principal,
            hops: forward.hops,
            deadline_us,
        };
        match ClientRequest::decode_body(forward.opcode, &forward.body) {
            Ok(request) => self.on_request(&from, request, store),
            Err(error) => self.shared.reply(
                asker,
                WireError::new(ErrorCode::Protocol, error.to_string()),
            ),
        }
    }

    pub(super) fn forget(&mut self, asker: Asker) {
        self.gets.forget_asker(asker);
        self.puts.forget_asker(asker);
        self.listings.forget_asker(asker);
        self.forwards.forget_asker(asker);
    }
}

/// Why a write has no coordinator. A request that the network repeated may have been carried out before.
fn refusal(cx: &Cx<'_>, place: &Place, ask: &WriteAsk) -> WireError {
    let error = match cx.first_dot(place, ask.request) {
        Ok(None) => WireError::new(
            ErrorCode::Unavailable,
            "no primary of this key, and no fallback that may stand in, can be reached from this node: nothing was written",
        ),
        Ok(Some(_)) | Err(_) => WireError::new(
            ErrorCode::InDoubt,
            "this request may have been carried out before, and no primary of its key, nor a fallback that may stand in, can be reached now: repeat it with the same request id",
        ),
    };
    error.naming(cx.s.members(place.class))
}
