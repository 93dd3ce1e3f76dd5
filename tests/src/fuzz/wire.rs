//! What arrives on the two ports: frames in pieces, bodies of both wires, hellos.

use quorate_protocol::client::{ClientReply, ClientRequest};
use quorate_protocol::frame::{self, Header, Reader};
use quorate_protocol::hello::{self, Hello};
use quorate_protocol::map::ClusterMap;
use quorate_protocol::options::QuorumDefaults;
use quorate_protocol::peer::PeerMessage;
use quorate_protocol::{ClusterId, codec};
use quorate_ring::{Class, NodeId, PartitionId};

use super::draw::{Draw, Pool};
use super::source::Source;
use super::{Tally, Target, canonical, messages, must};

/// Frames in a byte stream that arrives in pieces: a byte that decides the pieces, then the stream.
pub(super) const FRAME: Target = Target {
    name: "frame",
    about: "streams of frames, whole and in pieces",
    draw: draw_stream,
    check: check_stream,
    weight: 1,
};
/// The first message of each connection.
pub(super) const HELLO: Target = Target {
    name: "hello",
    about: "hello bodies, and what two sides make of them",
    draw: |source| body(&Draw::new(source, &Pool::default()).value::<Hello>()),
    check: check_hello,
    weight: 1,
};
/// Opcode and body, as the client port and the client library read them.
pub(super) const CLIENT: Target = Target {
    name: "client",
    about: "bodies of the client wire, requests and replies",
    draw: draw_client,
    check: check_client,
    weight: 1,
};
/// Opcode and body, as the peer port reads them.
pub(super) const PEER: Target = Target {
    name: "peer",
    about: "bodies of the peer wire",
    draw: draw_peer,
    check: check_peer,
    weight: 1,
};

/// The limit under which streams are read here: small, so that inputs reach it.
const BODY_MAX: usize = 8 * 1024;

fn body<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    codec::encode(value, &mut out);
    out
}

fn draw_stream(source: &mut Source<'_>) -> Vec<u8> {
    let mut stream = vec![source.byte()];
    for _ in 0..=source.below(3) {
        let header = Header {
            flags: 0,
            opcode: source.pick([hello::HELLO, 0x0101, 0x0203, 0x8101, 0xffff]),
            count: 1,
            priority: source.byte(),
            deadline_ms: source.pick([0, 1, 55_000, u32::MAX]),
            request: source.bits(),
            trace: source.bits(),
            ring: source.below(9),
        };
        let length = source.index(90);
        let body = source.fill(length);
        frame::write(&header, &mut stream, |out| out.extend_from_slice(&body));
    }
    stream
}

/// What a reader makes of a stream: the frames, written again, and whether it ended in an error.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, bool) {
    let mut reader = Reader::new(BODY_MAX);
    let mut again = Vec::new();
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next_frame() {
                Ok(Some((header, body))) => {
                    frame::write(&header, &mut again, |out| out.extend_from_slice(&body));
                }
                Ok(None) => break,
                Err(_) => return (again, true),
            }
        }
    }
    (again, false)
}

fn check_stream(input: &[u8]) -> Result<Tally, String> {
    let Some((&pieces, stream)) = input.split_first() else {
        return Ok(Tally::REFUSED);
    };
    let peeked = frame::peek(stream);
    let whole = read(std::iter::once(stream));
    let in_pieces = read(stream.chunks(1 + usize::from(pieces) % 61));
    must(
        whole == in_pieces,
        "a stream in pieces was read otherwise than in one",
    )?;
    let (again, _) = whole;
    must(
        stream.starts_with(&again),
        "frames are written otherwise than they were read",
    )?;
    let begins = !again.is_empty();
    must(
        !begins || matches!(peeked, Ok(Some(_))),
        "a frame was read that a peek did not announce",
    )?;
    Ok(if begins {
        Tally::ACCEPTED
    } else {
        Tally::REFUSED
    })
}

fn check_hello(input: &[u8]) -> Result<Tally, String> {
    let decoded = codec::decode::<Hello>(input);
    if let Ok(theirs) = &decoded {
        let ours = Hello {
            version_min: hello::PROTOCOL_VERSION_MIN,
            version_max: hello::PROTOCOL_VERSION,
            capabilities: 0,
            build: String::new(),
            cluster: Some(ClusterId::new(1, 2)),
            node: Some(NodeId::new(1)),
            ring: None,
            incarnation: 1,
            wall_ms: 1,
        };
        let (here, there) = (ours.negotiate(theirs), theirs.negotiate(&ours));
        must(here.ok() == there.ok(), "two sides agreed on two versions")?;
    }
    canonical("a hello", decoded.map(|hello| body(&hello)), input)
}

fn with_opcode(opcode: u16, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = opcode.to_be_bytes().to_vec();
    write(&mut out);
    out
}

fn draw_client(source: &mut Source<'_>) -> Vec<u8> {
    let pool = Pool::default();
    let mut draw = Draw::new(source, &pool);
    if draw.source.below(2) == 0 {
        let request = (0..50).find_map(|_| messages::request(&mut draw));
        request.map(|request| with_opcode(request.opcode(), |out| request.encode_body(out)))
    } else {
        let reply = (0..50).find_map(|_| messages::reply(&mut draw));
        reply.map(|reply| with_opcode(reply.opcode(), |out| reply.encode_body(out)))
    }
    .unwrap_or_default()
}

fn draw_peer(source: &mut Source<'_>) -> Vec<u8> {
    let pool = Pool::default();
    let mut draw = Draw::new(source, &pool);
    (0..50)
        .find_map(|_| messages::peer(&mut draw))
        .map(|message| with_opcode(message.opcode(), |out| message.encode_body(out)))
        .unwrap_or_default()
}

fn split(input: &[u8]) -> Option<(u16, &[u8])> {
    let (opcode, body) = input.split_first_chunk()?;
    Some((u16::from_be_bytes(*opcode), body))
}

fn check_client(input: &[u8]) -> Result<Tally, String> {
    let Some((opcode, body)) = split(input) else {
        return Ok(Tally::REFUSED);
    };
    let request = ClientRequest::decode_body(opcode, body);
    if let Ok(request) = request {
        must(request.opcode() == opcode, "a request changed its opcode")?;
        resolve(&request);
        let mut again = Vec::new();
        request.encode_body(&mut again);
        return canonical::<()>("a request", Ok(again), body);
    }
    let reply = ClientReply::decode_body(opcode, body);
    if let Ok(ClientReply::Map(reply)) = &reply {
        look_up(&reply.map);
    }
    let written = reply.map(|reply| {
        let mut again = Vec::new();
        reply.encode_body(&mut again);
        again
    });
    canonical("a reply", written, body)
}

/// What a node does with options, whatever they say.
fn resolve(request: &ClientRequest) {
    let defaults = QuorumDefaults::default();
    for n in [0, 1, 3, 255] {
        match request {
            ClientRequest::Get(get) => drop(defaults.read(n, &get.options)),
            ClientRequest::Put(put) => drop(defaults.write(n, &put.options)),
            ClientRequest::Delete(delete) => drop(defaults.write(n, &delete.options)),
            ClientRequest::PutBucket(put) => {
                drop(put.props.defaults.read(n, &Default::default()));
                drop(put.props.defaults.write(n, &Default::default()));
            }
            ClientRequest::Keys(_)
            | ClientRequest::GetMap(_)
            | ClientRequest::Ping(_)
            | ClientRequest::Status(_)
            | ClientRequest::Replicas(_)
            | ClientRequest::Backup(_)
            | ClientRequest::Scrub(_)
            | ClientRequest::MapHistory(_)
            | ClientRequest::ChangeRing(_)
            | ClientRequest::PlanRing(_)
            | ClientRequest::Moves(_)
            | ClientRequest::GetVersion(_) => {}
        }
    }
}

/// What a client does with a map that a node sent, valid or not.
pub(super) fn look_up(map: &ClusterMap) {
    if map.check().is_err() {
        return;
    }
    let partition = map
        .ring
        .partition_of(quorate_ring::BucketId::new(7), b"some key");
    for n in [0, 1, 3, 255] {
        for partition in [partition, PartitionId::new(0), PartitionId::new(u16::MAX)] {
            let class = Class { n, partition };
            let known = map.ring.primaries(class).len() + map.ring.fallbacks(class).count();
            debug_assert!(known <= map.members.len());
        }
    }
}

fn check_peer(input: &[u8]) -> Result<Tally, String> {
    let Some((opcode, body)) = split(input) else {
        return Ok(Tally::REFUSED);
    };
    let decoded = PeerMessage::decode_body(opcode, body);
    if let Ok(message) = &decoded {
        must(message.opcode() == opcode, "a message changed its opcode")?;
    }
    let written = decoded.map(|message| {
        let mut again = Vec::new();
        message.encode_body(&mut again);
        again
    });
    canonical("a peer's message", written, body)
}
