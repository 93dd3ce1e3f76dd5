//! What a node tells operators and clients of the map: itself, what staged changes would do, and how far copies have come.

use quorate_core::Ticket;
use quorate_protocol::client::{ClientReply, ClientRequest, MapReply, Moves, MovesReport, Pace};
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_ring::NodeId;

use super::node::{Process, Want};

impl Process {
    /// Answers such a question at once. Returns whether it is one.
    pub(super) fn tell(
        &mut self,
        me: NodeId,
        ticket: Ticket,
        request: &ClientRequest,
        wants: &mut Vec<Want>,
    ) -> bool {
        let reply = if self.map.map.member(me).is_none() {
            // Its map would lead astray.
            WireError::new(ErrorCode::NoMember, "this node is no member of the cluster").into()
        } else {
            match request {
                ClientRequest::GetMap(_) => MapReply {
                    map: self.map.map.clone(),
                    node: me,
                }
                .into(),
                ClientRequest::PlanRing(_) => match self.keeper.plan() {
                    Ok(plan) => plan.into(),
                    Err(refused) => refused.into(),
                },
                ClientRequest::Moves(order) => self.moves(me, order),
                ClientRequest::Get(_)
                | ClientRequest::Put(_)
                | ClientRequest::Delete(_)
                | ClientRequest::Keys(_)
                | ClientRequest::PutBucket(_)
                | ClientRequest::ChangeRing(_)
                | ClientRequest::Ping(_)
                | ClientRequest::Status(_)
                | ClientRequest::Replicas(_)
                | ClientRequest::Backup(_)
                | ClientRequest::Scrub(_)
                | ClientRequest::MapHistory(_)
                | ClientRequest::GetVersion(_) => return false,
            }
        };
        wants.push(Want::Reply(ticket, Box::new(reply)));
        true
    }

    /// Every shard gets its part of the order, as in the node.
    fn moves(&mut self, node: NodeId, order: &Moves) -> ClientReply {
        let shards = self.shards.len().max(1) as u64;
        let part = Moves {
            bytes_per_s: order.bytes_per_s.map(|rate| rate.div_ceil(shards)),
            ..*order
        };
        let (mut pace, mut transfers) = (Pace::default(), Vec::new());
        for (of_shard, more) in self.shards.iter_mut().filter_map(|s| s.order_moves(&part)) {
            pace = pace.and(of_shard);
            transfers.extend(more);
        }
        transfers.sort_by_key(|transfer| (transfer.from.is_none(), transfer.class));
        MovesReport {
            node,
            pace,
            transfers,
            more: 0,
            ring: self.keeper.progress(),
        }
        .into()
    }
}
