//! What hostile peers and clients do: messages made of chance, false answers to what was asked,
//! the replica's own words distorted, requests with forged contexts, links that flap, time.

use std::sync::Arc;

use bytes::Bytes;
use quorate_core::Input;
use quorate_protocol::client::ClientReply;
use quorate_protocol::limits::DEADLINE_MS_MAX;
use quorate_protocol::peer::{
    DotsAnswer, Forward, Forwarded, FoundRequest, HintsAck, PeerMessage, ReplicaAck,
    ReplicaKeyPage, ReplicaState, SealAnswer, SnapshotPage,
};
use quorate_ring::NodeId;

use super::super::Tally;
use super::super::draw::{Draw, Pool};
use super::super::messages;
use super::super::mutate::broken;
use super::super::source::Source;
use super::stage::{ME, NODES, Stage};

/// Node ids, buckets, classes and counters that mean something on the stage.
const NUMBERS: [u64; 9] = [0, 1, 2, 3, 4, 5, 6, 7, u64::MAX];
const STRINGS: [&[u8]; 4] = [b"a", b"b", b"key", b""];

/// What hostile senders know.
pub(super) struct Script {
    pool: Pool,
    seen: usize,
}

impl Script {
    pub(super) fn new() -> Self {
        Self {
            pool: Pool::new(&NUMBERS, &STRINGS),
            seen: 0,
        }
    }

    /// One act: at most one input.
    pub(super) fn act(
        &mut self,
        source: &mut Source<'_>,
        stage: &mut Stage,
    ) -> Result<Tally, String> {
        let fed = match source.below(16) {
            0..=5 => self.message(source, stage)?,
            6..=8 => self.false_answer(source, stage)?,
            9 | 10 => self.distorted(source, stage)?,
            11 | 12 => self.request(source, stage)?,
            13 => {
                stage.tick(source.pick([1_000, 60_000, 120_000, 600_000, 4_000_000]))?;
                true
            }
            14 => flap(source, stage)?,
            _ => leave(source, stage)?,
        };
        self.learn(stage);
        Ok(if fed { Tally::ACCEPTED } else { Tally::REFUSED })
    }

    fn message(&mut self, source: &mut Source<'_>, stage: &mut Stage) -> Result<bool, String> {
        let from = sender(source);
        let message = messages::peer(&mut Draw::new(source, &self.pool));
        match message {
            Some(message) => send(source, stage, from, message),
            None => Ok(false),
        }
    }

    /// An answer to something that was asked, right in its number and in nothing else.
    fn false_answer(&mut self, source: &mut Source<'_>, stage: &mut Stage) -> Result<bool, String> {
        let at = source.index(stage.sent.len());
        let Some((to, asked)) = stage.sent.get(at).cloned() else {
            return Ok(false);
        };
        let answer = answer_to(&asked, &mut Draw::new(source, &self.pool));
        let from = if source.below(4) > 0 {
            to
        } else {
            sender(source)
        };
        match answer {
            Some(answer) => send(source, stage, from, answer),
            None => Ok(false),
        }
    }

    /// What the replica itself said, sent back to it with some bytes changed.
    fn distorted(&mut self, source: &mut Source<'_>, stage: &mut Stage) -> Result<bool, String> {
        let at = source.index(stage.sent.len());
        let Some((to, said)) = stage.sent.get(at).cloned() else {
            return Ok(false);
        };
        let mut body = Vec::new();
        said.encode_body(&mut body);
        let changed = if source.below(3) == 0 {
            body
        } else {
            broken(body, &[], source)
        };
        match PeerMessage::decode_body(said.opcode(), &changed) {
            Ok(message) => send(source, stage, to, message),
            Err(_) => Ok(false),
        }
    }

    fn request(&mut self, source: &mut Source<'_>, stage: &mut Stage) -> Result<bool, String> {
        let Some(request) = messages::request(&mut Draw::new(source, &self.pool)) else {
            return Ok(false);
        };
        let mut body = Vec::new();
        request.encode_body(&mut body);
        let input = Input::Client {
            ticket: stage.new_ticket(),
            principal: Arc::from("mallory"),
            request,
            deadline_ms: source.pick([1, 50, 500, 5000, DEADLINE_MS_MAX]),
        };
        stage.feed(input, body.len())?;
        Ok(true)
    }

    /// Takes note of every long number that was said, and of every context.
    fn learn(&mut self, stage: &mut Stage) {
        let fresh = stage.sent.len().saturating_sub(self.seen).max(1);
        for (_, message) in stage.sent.iter().rev().take(fresh.min(4)) {
            let mut body = Vec::new();
            message.encode_body(&mut body);
            long_numbers(&body)
                .take(8)
                .for_each(|number| self.pool.learn(number));
        }
        self.seen = stage.sent.len();
        let reply = stage.last_reply();
        if let Some(ClientReply::Got(got)) = &reply {
            self.pool.learn_bytes(got.context.clone());
        }
        if let Some(ClientReply::Written(written)) = &reply {
            self.pool.learn_bytes(written.context.clone());
        }
    }
}

/// Every number of a message that takes eight bytes: actors, operations, stamps.
fn long_numbers(body: &[u8]) -> impl Iterator<Item = u64> + '_ {
    body.windows(9).filter_map(|window| match window {
        [0xcf, number @ ..] => Some(u64::from_be_bytes(number.try_into().ok()?)),
        _ => None,
    })
}

/// A member, a stranger, or this node itself.
fn sender(source: &mut Source<'_>) -> NodeId {
    match source.below(12) {
        0 => ME,
        1 => NodeId::new(99),
        other => NodeId::new(2 + other % (NODES - 1)),
    }
}

fn send(
    source: &mut Source<'_>,
    stage: &mut Stage,
    from: NodeId,
    message: PeerMessage,
) -> Result<bool, String> {
    if writes_honest(stage, &message) {
        return Ok(false);
    }
    let mut body = Vec::new();
    message.encode_body(&mut body);
    let input = Input::Peer {
        from,
        message,
        deadline_ms: source.pick([0, 1, 5000, u32::MAX]),
    };
    stage.feed(input, body.len())?;
    Ok(true)
}

/// Whether a message may rightly change the class whose keys are judged: any node may coordinate a
/// write, or keep hints.
fn writes_honest(stage: &Stage, message: &PeerMessage) -> bool {
    let honest = stage.honest;
    matches!(message, PeerMessage::ReplicaPut(put) if put.class == honest)
        || matches!(message, PeerMessage::Hints(hints) if hints.class == honest)
}

fn flap(source: &mut Source<'_>, stage: &mut Stage) -> Result<bool, String> {
    let node = NodeId::new(2 + source.below(NODES - 1));
    let input = if source.below(2) == 0 {
        Input::PeerDown(node)
    } else {
        Input::PeerUp(node)
    };
    stage.feed(input, 0)?;
    Ok(true)
}

fn leave(source: &mut Source<'_>, stage: &mut Stage) -> Result<bool, String> {
    let at = source.index(stage.open.len());
    match stage.open.iter().nth(at).copied() {
        Some(ticket) => {
            stage.feed(Input::ClientGone(ticket), 0)?;
            Ok(true)
        }
        None => Ok(false),
    }
}

fn answer_to(asked: &PeerMessage, draw: &mut Draw<'_, '_>) -> Option<PeerMessage> {
    Some(match asked {
        PeerMessage::ReplicaGet(get) => ReplicaState {
            op: get.op,
            epoch: get.epoch,
            ..draw.value()?
        }
        .into(),
        PeerMessage::ReplicaPut(put) => ReplicaAck {
            op: put.op,
            epoch: put.epoch,
            ..draw.value()?
        }
        .into(),
        PeerMessage::FindRequest(find) => FoundRequest {
            op: find.op,
            ..draw.value()?
        }
        .into(),
        PeerMessage::ReplicaKeys(ask) => ReplicaKeyPage {
            op: ask.op,
            ..draw.value()?
        }
        .into(),
        PeerMessage::DotsAsk(ask) => DotsAnswer {
            class: ask.class,
            number: ask.number,
            ..draw.value()?
        }
        .into(),
        PeerMessage::SnapshotAsk(ask) => SnapshotPage {
            class: ask.class,
            number: ask.number,
            ..draw.value()?
        }
        .into(),
        PeerMessage::SealAsk(ask) => SealAnswer {
            class: ask.class,
            number: ask.number,
            ..draw.value()?
        }
        .into(),
        PeerMessage::Hints(hints) => HintsAck {
            class: hints.class,
            number: hints.number,
            ..draw.value()?
        }
        .into(),
        PeerMessage::Forward(forward) => forwarded(forward, draw)?.into(),
        PeerMessage::ReplicaState(_)
        | PeerMessage::ReplicaAck(_)
        | PeerMessage::FoundRequest(_)
        | PeerMessage::ReplicaKeyPage(_)
        | PeerMessage::Forwarded(_)
        | PeerMessage::Clocks(_)
        | PeerMessage::DotsAnswer(_)
        | PeerMessage::HintsAck(_)
        | PeerMessage::SnapshotPage(_)
        | PeerMessage::Remembered(_)
        | PeerMessage::SealAnswer(_)
        | PeerMessage::Seal(_)
        | PeerMessage::CatchUpAsk(_)
        | PeerMessage::CatchUpAnswer(_)
        | PeerMessage::Alive(_)
        | PeerMessage::Heartbeat(_)
        | PeerMessage::HeartbeatAck(_)
        | PeerMessage::MapPrepare(_)
        | PeerMessage::MapPromise(_)
        | PeerMessage::MapAccept(_)
        | PeerMessage::MapAccepted(_)
        | PeerMessage::MapRefused(_)
        | PeerMessage::MapNewest(_)
        | PeerMessage::MapAsk(_)
        | PeerMessage::MapDecided(_)
        | PeerMessage::MapWord(_)
        | PeerMessage::MapForsake(_)
        | PeerMessage::MapForsaken(_)
        | PeerMessage::MapRecover(_)
        | PeerMessage::MapRecovered(_)
        | PeerMessage::MapNotForsaken(_) => return None,
    })
}

/// A reply of the client wire to a request that the replica passed on.
fn forwarded(forward: &Forward, draw: &mut Draw<'_, '_>) -> Option<Forwarded> {
    let mut reply: Forwarded = draw.value()?;
    reply.op = forward.op;
    reply.partition = forward.partition;
    if draw.source.below(3) > 0 {
        let said = messages::reply(draw)?;
        let mut body = Vec::new();
        said.encode_body(&mut body);
        reply.opcode = said.opcode();
        reply.body = Bytes::from(body);
    }
    Some(reply)
}
