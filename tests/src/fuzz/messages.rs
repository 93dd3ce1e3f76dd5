//! Every message of every wire, made of chance.

use quorate_protocol::client::{self, ClientReply, ClientRequest, MapReply, WholeMap};
use quorate_protocol::map::{Bucket, ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::peer::{self, PeerMessage};
use quorate_protocol::versioned::VersionedMap;
use quorate_protocol::{ClusterId, WireError};
use quorate_ring::{NodeId, PartitionCount, Placed, Ring, Weight};

use super::draw::Draw;

type Make<M> = fn(&mut Draw<'_, '_>) -> Option<M>;

macro_rules! makers {
    ($($(#[$doc:meta])* $name:ident: $message:ty = [$($make:expr,)*];)*) => {
        $($(#[$doc])* const $name: &[Make<$message>] = &[$(|draw| $make(draw).map(Into::into),)*];)*
    };
}

makers! {
    REQUESTS: ClientRequest = [
        Draw::value::<client::Get>,
        Draw::value::<client::Put>,
        Draw::value::<client::Delete>,
        Draw::value::<client::Keys>,
        Draw::value::<client::GetMap>,
        Draw::value::<client::Ping>,
        Draw::value::<client::PutBucket>,
        Draw::value::<client::Status>,
        Draw::value::<client::Replicas>,
        Draw::value::<client::Scrub>,
        Draw::value::<client::MapHistory>,
        Draw::value::<client::ChangeRing>,
        Draw::value::<client::PlanRing>,
        Draw::value::<client::Moves>,
        Draw::value::<client::GetVersion>,
        Draw::value::<client::Backup>,
    ];
    REPLIES: ClientReply = [
        Draw::value::<WireError>,
        Draw::value::<client::Got>,
        Draw::value::<client::Written>,
        Draw::value::<client::KeyPage>,
        map_reply,
        Draw::value::<client::Pong>,
        Draw::value::<client::BucketStored>,
        Draw::value::<client::StatusReport>,
        Draw::value::<client::ReplicaPage>,
        Draw::value::<client::ScrubState>,
        Draw::value::<client::MapLog>,
        Draw::value::<client::RingChanged>,
        Draw::value::<client::RingPlan>,
        Draw::value::<client::MovesReport>,
        whole_map,
        Draw::value::<client::BackupReport>,
    ];
    PEER: PeerMessage = [
        Draw::value::<peer::ReplicaGet>,
        Draw::value::<peer::ReplicaState>,
        Draw::value::<peer::ReplicaPut>,
        Draw::value::<peer::ReplicaAck>,
        Draw::value::<peer::FindRequest>,
        Draw::value::<peer::FoundRequest>,
        Draw::value::<peer::ReplicaKeys>,
        Draw::value::<peer::ReplicaKeyPage>,
        forward,
        Draw::value::<peer::Forwarded>,
        Draw::value::<peer::Clocks>,
        Draw::value::<peer::DotsAsk>,
        Draw::value::<peer::DotsAnswer>,
        Draw::value::<peer::Hints>,
        Draw::value::<peer::HintsAck>,
        Draw::value::<peer::CatchUpAsk>,
        Draw::value::<peer::CatchUpAnswer>,
        Draw::value::<peer::Alive>,
        Draw::value::<peer::SnapshotAsk>,
        Draw::value::<peer::SnapshotPage>,
        Draw::value::<peer::Remembered>,
        Draw::value::<peer::SealAsk>,
        Draw::value::<peer::SealAnswer>,
        Draw::value::<peer::Seal>,
        Draw::value::<peer::Heartbeat>,
        Draw::value::<peer::HeartbeatAck>,
        Draw::value::<peer::MapPrepare>,
        Draw::value::<peer::MapPromise>,
        Draw::value::<peer::MapAccept>,
        Draw::value::<peer::MapAccepted>,
        Draw::value::<peer::MapRefused>,
        Draw::value::<peer::MapNewest>,
        Draw::value::<peer::MapAsk>,
        Draw::value::<peer::MapDecided>,
        Draw::value::<peer::MapWord>,
        Draw::value::<peer::MapForsake>,
        Draw::value::<peer::MapForsaken>,
        Draw::value::<peer::MapRecover>,
        Draw::value::<peer::MapRecovered>,
        Draw::value::<peer::MapNotForsaken>,
    ];
}

/// A client's request.
pub(super) fn request(draw: &mut Draw<'_, '_>) -> Option<ClientRequest> {
    one_of(REQUESTS, draw)
}

/// A node's reply.
pub(super) fn reply(draw: &mut Draw<'_, '_>) -> Option<ClientReply> {
    one_of(REPLIES, draw)
}

/// A message between nodes.
pub(super) fn peer(draw: &mut Draw<'_, '_>) -> Option<PeerMessage> {
    one_of(PEER, draw)
}

fn one_of<M>(makers: &[Make<M>], draw: &mut Draw<'_, '_>) -> Option<M> {
    let at = draw.source.index(makers.len());
    makers.get(at).and_then(|make| make(draw))
}

/// A forwarded request that mostly holds one.
fn forward(draw: &mut Draw<'_, '_>) -> Option<peer::Forward> {
    let mut forward: peer::Forward = draw.value()?;
    if draw.source.below(4) > 0
        && let Some(request) = request(draw)
    {
        let mut body = Vec::new();
        request.encode_body(&mut body);
        forward.opcode = request.opcode();
        forward.body = body.into();
    }
    Some(forward)
}

/// Chance makes no ring; the claim does.
pub(super) fn map(draw: &mut Draw<'_, '_>) -> Option<ClusterMap> {
    let count = 1 + draw.source.below(5);
    let members: Vec<Member> = (1..=count).filter_map(|id| member(draw, id)).collect();
    let placed = |member: &Member| Placed {
        id: member.id,
        zone: member.zone.clone(),
        weight: Weight::default(),
    };
    let placed: Vec<Placed> = members.iter().map(placed).collect();
    let partitions = PartitionCount::new(draw.source.pick([8, 16])).ok()?;
    Some(ClusterMap {
        cluster: draw.value::<ClusterId>()?,
        name: draw.value()?,
        format_level: FORMAT_LEVEL,
        members,
        ring: Ring::first(partitions, draw.source.pick([1, 3, 5]), &placed).ok()?,
        buckets: draw.value::<Vec<Bucket>>()?,
    })
}

fn whole_map(draw: &mut Draw<'_, '_>) -> Option<WholeMap> {
    let version = Box::new(VersionedMap::created(map(draw)?, draw.value()?));
    let node = draw.value()?;
    Some(WholeMap { node, version })
}

fn map_reply(draw: &mut Draw<'_, '_>) -> Option<MapReply> {
    Some(MapReply {
        map: map(draw)?,
        node: draw.value()?,
    })
}

fn member(draw: &mut Draw<'_, '_>, id: u64) -> Option<Member> {
    draw.value().map(|member| Member {
        id: NodeId::new(id),
        ..member
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::draw::Pool;
    use super::super::source::Source;
    use super::*;

    fn met<M>(make: Make<M>, opcode: fn(&M) -> u16) -> BTreeSet<u16> {
        let (mut source, pool) = (Source::seed(1), Pool::default());
        let mut draw = Draw::new(&mut source, &pool);
        (0..4000)
            .filter_map(|_| make(&mut draw))
            .map(|message| opcode(&message))
            .collect()
    }

    fn all(opcodes: &[(u16, &str)]) -> BTreeSet<u16> {
        opcodes.iter().map(|(opcode, _)| *opcode).collect()
    }

    #[test]
    fn every_message_of_every_wire_is_drawn() {
        assert_eq!(
            met(request, ClientRequest::opcode),
            all(ClientRequest::OPCODES)
        );
        assert_eq!(met(reply, ClientReply::opcode), all(ClientReply::OPCODES));
        assert_eq!(met(peer, PeerMessage::opcode), all(PeerMessage::OPCODES));
    }
}
