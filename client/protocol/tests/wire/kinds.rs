//! The table of all messages.

use std::fmt::Debug;

use quorate_protocol::client::{self, ClientReply, ClientRequest, MapReply, WholeMap};
use quorate_protocol::codec::{self, DecodeError};
use quorate_protocol::hello::{HELLO, Hello};
use quorate_protocol::map::{Bucket, ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::peer::{self, PeerMessage};
use quorate_protocol::versioned::VersionedMap;
use quorate_protocol::{ClusterId, WireError};
use quorate_ring::{NodeId, PartitionCount, Placed, Ring, Weight};

use crate::draw::Draw;

/// One of the enums that `messages!` makes, or the hello.
pub(crate) trait Wire: Debug + PartialEq + Clone + Sized {
    const NAME: &'static str;
    const OPCODES: &'static [(u16, &'static str)];
    fn opcode(&self) -> u16;
    fn encode(&self) -> Vec<u8>;
    fn decode(opcode: u16, body: &[u8]) -> Result<Self, DecodeError>;
}

macro_rules! wires {
    ($($name:literal $message:ty,)*) => {
        $(impl Wire for $message {
            const NAME: &'static str = $name;
            const OPCODES: &'static [(u16, &'static str)] = <$message>::OPCODES;

            fn opcode(&self) -> u16 {
                <$message>::opcode(self)
            }

            fn encode(&self) -> Vec<u8> {
                let mut out = Vec::new();
                self.encode_body(&mut out);
                out
            }

            fn decode(opcode: u16, body: &[u8]) -> Result<Self, DecodeError> {
                Self::decode_body(opcode, body)
            }
        })*
    };
}

wires! {
    "client" ClientRequest,
    "client" ClientReply,
    "peer" PeerMessage,
}

impl Wire for Hello {
    const NAME: &'static str = "hello";
    const OPCODES: &'static [(u16, &'static str)] = &[(HELLO, "Hello")];

    fn opcode(&self) -> u16 {
        HELLO
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        codec::encode(self, &mut out);
        out
    }

    fn decode(opcode: u16, body: &[u8]) -> Result<Self, DecodeError> {
        if opcode == HELLO {
            codec::decode(body)
        } else {
            Err(DecodeError::UnknownOpcode(opcode))
        }
    }
}

/// One message.
pub(crate) struct Kind<M> {
    pub(crate) opcode: u16,
    pub(crate) name: &'static str,
    make: fn(&mut Draw) -> Option<M>,
}

impl<M: Wire> Kind<M> {
    /// A message of this kind, the same for the same seed.
    pub(crate) fn draw(&self, seed: u64) -> M {
        let mut draw = Draw::new(seed);
        (0..10_000).find_map(|_| (self.make)(&mut draw)).unwrap()
    }
}

/// A wire with its table.
pub(crate) trait Kinds: Wire {
    fn makers() -> Vec<fn(&mut Draw) -> Option<Self>>;
}

macro_rules! makers {
    ($($message:ty { $($make:expr,)* })*) => {
        $(impl Kinds for $message {
            fn makers() -> Vec<fn(&mut Draw) -> Option<Self>> {
                vec![$(|draw| $make(draw).map(Into::into),)*]
            }
        })*
    };
}

makers! {
    ClientRequest {
        Draw::value::<client::Get>,
        Draw::value::<client::Put>,
        Draw::value::<client::Delete>,
        Draw::value::<client::Keys>,
        Draw::value::<client::GetMap>,
        Draw::value::<client::Ping>,
        Draw::value::<client::PutBucket>,
        Draw::value::<client::Status>,
        Draw::value::<client::Replicas>,
        Draw::value::<client::Backup>,
        Draw::value::<client::Scrub>,
        Draw::value::<client::MapHistory>,
        Draw::value::<client::ChangeRing>,
        Draw::value::<client::PlanRing>,
        Draw::value::<client::Moves>,
        Draw::value::<client::GetVersion>,
    }
    ClientReply {
        Draw::value::<WireError>,
        Draw::value::<client::Got>,
        Draw::value::<client::Written>,
        Draw::value::<client::KeyPage>,
        map_reply,
        Draw::value::<client::Pong>,
        Draw::value::<client::BucketStored>,
        Draw::value::<client::StatusReport>,
        Draw::value::<client::ReplicaPage>,
        Draw::value::<client::BackupReport>,
        Draw::value::<client::ScrubState>,
        Draw::value::<client::MapLog>,
        Draw::value::<client::RingChanged>,
        Draw::value::<client::RingPlan>,
        Draw::value::<client::MovesReport>,
        whole_map,
    }
    PeerMessage {
        Draw::value::<peer::ReplicaGet>,
        Draw::value::<peer::ReplicaState>,
        Draw::value::<peer::ReplicaPut>,
        Draw::value::<peer::ReplicaAck>,
        Draw::value::<peer::FindRequest>,
        Draw::value::<peer::FoundRequest>,
        Draw::value::<peer::ReplicaKeys>,
        Draw::value::<peer::ReplicaKeyPage>,
        Draw::value::<peer::Forward>,
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
    }
    Hello {
        Draw::value::<Hello>,
    }
}

/// All messages of a wire. Whoever adds one to the protocol and not to the table above is told here.
pub(crate) fn all_kinds<M: Kinds>() -> Vec<Kind<M>> {
    let mut kinds: Vec<Kind<M>> = Vec::new();
    for make in M::makers() {
        let mut draw = Draw::new(0);
        let opcode = (0..10_000).find_map(|_| make(&mut draw)).unwrap().opcode();
        let (_, name) = M::OPCODES
            .iter()
            .find(|(known, _)| *known == opcode)
            .unwrap();
        kinds.push(Kind { opcode, name, make });
    }
    for (opcode, name) in M::OPCODES {
        let makers = kinds.iter().filter(|kind| kind.opcode == *opcode).count();
        assert_eq!(
            makers, 1,
            "{name} needs one line in the table of tests/wire/kinds.rs"
        );
    }
    kinds
}

fn whole_map(draw: &mut Draw) -> Option<WholeMap> {
    let MapReply { map, node } = map_reply(draw)?;
    let version = Box::new(VersionedMap::created(map, draw.below(1 << 40)));
    Some(WholeMap { node, version })
}

/// Chance makes no ring; the claim does.
fn map_reply(draw: &mut Draw) -> Option<MapReply> {
    let members: Vec<Member> = (1..=1 + draw.below(5))
        .filter_map(|id| member(draw, id))
        .collect();
    let placed = |member: &Member| Placed {
        id: member.id,
        zone: member.zone.clone(),
        weight: Weight::default(),
    };
    let placed: Vec<Placed> = members.iter().map(placed).collect();
    let ring = Ring::first(PartitionCount::new(8).ok()?, 3, &placed).ok()?;
    let map = ClusterMap {
        cluster: draw.value::<ClusterId>()?,
        name: draw.value()?,
        format_level: FORMAT_LEVEL,
        members,
        ring,
        buckets: draw.value::<Vec<Bucket>>()?,
    };
    Some(MapReply {
        map,
        node: draw.value()?,
    })
}

fn member(draw: &mut Draw, id: u64) -> Option<Member> {
    draw.value().map(|member| Member {
        id: NodeId::new(id),
        ..member
    })
}
