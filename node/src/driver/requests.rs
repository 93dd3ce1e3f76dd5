//! What clients ask of the node itself rather than of its data.

use std::sync::Arc;

use quorate_core::effects::Now;
use quorate_core::keeper::{KeeperInput, MapRequest};
use quorate_protocol::client::{
    Backup, ChangeRing, ClientReply, MapHistory, Moves, PutBucket, Replicas, Scrub, Status,
};
use quorate_protocol::frame::Header;
use quorate_protocol::{ErrorCode, WireError};

use crate::backup::Desk;
use crate::net::ClientKey;
use crate::storage::Storage;

use super::hub::Hub;
use super::network::Network;
use super::{maps, outbox, scrub, standings, status, transfers};

/// What the hub is asked to do for clients.
#[derive(Debug)]
pub(super) enum NodeRequest {
    PutBucket(PutBucket),
    ChangeRing(ChangeRing),
    PlanRing,
    MapHistory(MapHistory),
    Status(Status),
    Replicas(Replicas),
    Backup(Backup),
    Scrub(Scrub),
    Moves(Moves),
}

impl<S: Storage, N: Network> Hub<S, N> {
    /// Answers a client, at once or when all shards have done their part.
    pub(super) fn request(
        &mut self,
        now: Now,
        client: ClientKey,
        header: Header,
        request: NodeRequest,
    ) {
        let node = self.context.node;
        match request {
            NodeRequest::PutBucket(request) => {
                self.change_map(now, client, header, MapRequest::Put(request));
            }
            NodeRequest::ChangeRing(request) => {
                self.change_map(now, client, header, MapRequest::Ring(request));
            }
            NodeRequest::PlanRing => self.tell_plan(now, client, &header),
            NodeRequest::MapHistory(request) => {
                let log = maps::log(node, self.keeper.register(), request);
                self.reply(client, &header, &log.into());
            }
            NodeRequest::Status(request) => self.report(now, client, header, request),
            NodeRequest::Replicas(request) => {
                let parts = standings::ask(&self.shards, request);
                let ring = self.placement.ring_version();
                self.reply_later(client, header, standings::gather(node, ring, parts));
            }
            NodeRequest::Backup(request) => {
                let desk = self.backups.clone();
                self.reply_later(client, header, backup(desk, request));
            }
            NodeRequest::Scrub(request) => {
                let parts = scrub::ask(&self.shards, &request);
                self.reply_later(client, header, scrub::gather(node, now.wall_ms, parts));
            }
            NodeRequest::Moves(request) => {
                let parts = transfers::ask(&self.shards, request);
                let ring = self.keeper.progress();
                self.reply_later(client, header, transfers::gather(node, ring, parts));
            }
        }
    }

    fn tell_plan(&self, now: Now, client: ClientKey, header: &Header) {
        let planned = self.keeper.plan().map(|mut plan| {
            let staged = &self.keeper.map().staged;
            self.door.warn(&mut plan, staged, now.mono_us);
            plan
        });
        let reply = planned.map_or_else(ClientReply::from, ClientReply::from);
        self.reply(client, header, &reply);
    }

    fn change_map(&mut self, now: Now, client: ClientKey, header: Header, request: MapRequest) {
        let ticket = self.tickets.issue(client, header, true);
        let deadline_ms = header.deadline_ms;
        let input = KeeperInput::Client {
            ticket,
            request,
            deadline_ms,
        };
        self.keep(now, input);
    }

    /// Asks all shards for their part, and answers when they have reported.
    fn report(&self, now: Now, client: ClientKey, header: Header, request: Status) {
        let mut base = status::base(&*self.context, &self.keeper, &self.membership, now);
        let closed = self.placement.closed();
        base.warnings.extend(closed.map(|why| why.to_string()));
        base.warnings.extend(self.contradictions.values().cloned());
        base.warnings.extend(self.warnings.iter().cloned());
        let parts = status::ask(&self.shards);
        let report = status::gather(base, parts, request.vnodes);
        self.reply_later(client, header, async move { report.await.into() });
    }

    fn reply_later(
        &self,
        client: ClientKey,
        header: Header,
        reply: impl Future<Output = ClientReply> + Send + 'static,
    ) {
        let (context, ring) = (Arc::clone(&self.context), self.placement.ring_version());
        tokio::spawn(async move {
            let reply = reply.await;
            outbox::reply_now(
                &context.network,
                &context.counters,
                ring,
                client,
                &header,
                &reply,
            );
        });
    }
}

/// Asks the desk on a thread that may block: it reads files.
async fn backup(desk: Option<Arc<Desk>>, request: Backup) -> ClientReply {
    let Some(desk) = desk else {
        let text = "this node keeps nothing on a disk: there is nothing to back up";
        return WireError::new(ErrorCode::NotSupported, text).into();
    };
    let answered = tokio::task::spawn_blocking(move || desk.answer(&request)).await;
    match answered {
        Ok(Ok(report)) => report.into(),
        Ok(Err(error)) => error.into(),
        Err(_) => {
            let text = "the node is stopping";
            WireError::new(ErrorCode::Stopping, text).into()
        }
    }
}
