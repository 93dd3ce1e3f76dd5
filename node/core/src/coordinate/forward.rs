//! Requests that another node must coordinate: passed on, at most twice, and their replies back.

use std::collections::BTreeMap;

use quorate_protocol::client::{ClientReply, ClientRequest};
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::peer::{Forward, Forwarded};
use quorate_ring::{Class, NodeId};

use crate::effects::{Note, Priority};
use crate::plant::Plant;
use crate::shared::{Asker, Cx, Principal};

/// Nodes a request may pass through before somebody has to carry it out.
pub(crate) const HOPS_MAX: u8 = 2;

/// One request that another node works on.
#[derive(Debug)]
struct Passed {
    asker: Asker,
    to: NodeId,
    deadline_us: u64,
}

/// The requests that this replica has passed on.
#[derive(Debug, Default)]
pub(crate) struct Forwards {
    ops: BTreeMap<u64, Passed>,
}

/// Who should carry out a write.
pub(crate) enum Coordinator {
    /// This node.
    Here,
    /// Another one.
    There(NodeId),
    /// Nobody that can be reached from here.
    Nobody,
}

impl Cx<'_> {
    /// Who should coordinate a write of this class, seen from here. A fallback may only where quorums
    /// are sloppy: its copy is a hint, which strict reads do not ask for.
    pub(crate) fn coordinator(&self, class: Class, sloppy: bool) -> Coordinator {
        let view = &self.s.view;
        let holds = self.s.writable && self.s.vnodes.contains_key(&class);
        let readers = view.readers(class);
        // A newcomer does not know yet what it would replace.
        if holds && readers.contains(&view.me) {
            return Coordinator::Here;
        }
        let usable = |node: &NodeId| *node != view.me && view.reaches(class, *node);
        if let Some(primary) = readers.into_iter().find(usable) {
            return Coordinator::There(primary);
        }
        if holds {
            return Coordinator::Here;
        }
        if !sloppy && !self.s.breaks(Plant::StrictFallback) {
            return Coordinator::Nobody;
        }
        let fallbacks = view.fallbacks(class);
        if self.s.writable && fallbacks.contains(&view.me) {
            return Coordinator::Here;
        }
        fallbacks
            .into_iter()
            .find(usable)
            .map_or(Coordinator::Nobody, Coordinator::There)
    }
}

impl Forwards {
    pub(crate) fn len(&self) -> usize {
        self.ops.len()
    }

    pub(crate) fn next_due(&self) -> Option<u64> {
        self.ops.values().map(|passed| passed.deadline_us).min()
    }

    pub(crate) fn pass_on(
        &mut self,
        cx: &mut Cx<'_>,
        (asker, principal, hops): (Asker, &Principal, u8),
        (class, to): (Class, NodeId),
        request: &ClientRequest,
        deadline_us: u64,
    ) {
        if hops >= HOPS_MAX {
            // The network may have repeated it on its way, and the copy may find a coordinator (seed 171).
            let error = WireError::new(
                ErrorCode::InDoubt,
                "the request went from node to node without finding one that can coordinate it, as views of the cluster differ at the moment; a copy of it may still find one: repeat it with the same request id to be sure",
            );
            return cx.s.reply(asker, error.retry_after(100));
        }
        let op = cx.s.new_op();
        let mut body = Vec::new();
        request.encode_body(&mut body);
        let message = Forward {
            op,
            partition: class.partition,
            principal: principal.to_string(),
            hops: hops + 1,
            opcode: request.opcode(),
            body: body.into(),
        };
        cx.s.note(Note::Forwarded);
        cx.s.send(
            to,
            message,
            cx.s.ms_until(deadline_us),
            Priority::Foreground,
        );
        self.ops.insert(
            op,
            Passed {
                asker,
                to,
                deadline_us,
            },
        );
    }

    pub(crate) fn on_reply(&mut self, cx: &mut Cx<'_>, from: NodeId, forwarded: &Forwarded) {
        if self
            .ops
            .get(&forwarded.op)
            .is_none_or(|passed| passed.to != from)
        {
            return;
        }
        let Some(passed) = self.ops.remove(&forwarded.op) else {
            return;
        };
        let reply =
            ClientReply::decode_body(forwarded.opcode, &forwarded.body).unwrap_or_else(|error| {
                WireError::new(
                    ErrorCode::InDoubt,
                    format!("the coordinator's reply is unreadable: {error}"),
                )
                .into()
            });
        cx.s.reply(passed.asker, reply);
    }

    pub(crate) fn on_peer_down(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        self.end(
            cx,
            |passed| passed.to == node,
            "the coordinator became unreachable while it worked on the request",
        );
    }

    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        let now_us = cx.s.now.mono_us;
        self.end(
            cx,
            |passed| passed.deadline_us <= now_us,
            "the deadline passed while another node worked on the request",
        );
    }

    fn end(&mut self, cx: &mut Cx<'_>, over: impl Fn(&Passed) -> bool, why: &str) {
        let ended: Vec<u64> = self
            .ops
            .iter()
            .filter(|(_, passed)| over(passed))
            .map(|(&op, _)| op)
            .collect();
        for op in ended {
            let Some(passed) = self.ops.remove(&op) else {
                continue;
            };
            let error = WireError::new(
                ErrorCode::InDoubt,
                format!(
                    "{why}: it may have been carried out or not; repeat it with the same request id to be sure"
                ),
            );
            // Another node can find out by the request id; a passed deadline is just reported.
            let error = error.naming([passed.to]).retry_after(10);
            cx.s.reply(passed.asker, error);
        }
    }

    pub(crate) fn forget_asker(&mut self, asker: Asker) {
        self.ops
            .values_mut()
            .filter(|passed| passed.asker == asker)
            .for_each(|passed| passed.asker = Asker::Nobody);
    }
}
