//! Clocks, contexts and objects as peers send them, well formed and not, and what is computed with them;
//! and the pieces of large values.

use bytes::Bytes;
use quorate_core::causality::{Body, Clock, Object, Version, VersionVector, merge, merge_hints};
use quorate_core::record;
use quorate_protocol::peer::{ActorClock, ENDLESS, PeerObject};
use quorate_protocol::{ActorId, Dot, RequestId, codec};

use super::draw::{Draw, Pool};
use super::source::Source;
use super::{Tally, Target, must, stored};

/// Two clocks.
pub(super) const CLOCK: Target = Target {
    name: "clock",
    about: "pairs of clocks, and what is computed with them",
    draw: draw_clocks,
    check: check_clocks,
    weight: 1,
};
/// Two contexts.
pub(super) const CONTEXT: Target = Target {
    name: "context",
    about: "pairs of contexts, and what is computed with them",
    draw: draw_contexts,
    check: check_contexts,
    weight: 1,
};
/// Two objects.
pub(super) const VERSIONS: Target = Target {
    name: "versions",
    about: "pairs of objects with the dots they settle, merged as vnodes and hints are",
    draw: draw_versions,
    check: check_versions,
    weight: 1,
};
/// A large value in pieces.
pub(super) const PIECE: Target = Target {
    name: "piece",
    about: "the pieces of large values: missing, of others, too many, too long",
    draw: draw_pieces,
    check: check_pieces,
    weight: 1,
};

fn write<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    codec::encode(value, &mut out);
    out
}

fn draw_clocks(source: &mut Source<'_>) -> Vec<u8> {
    let pool = Pool::new(&[1, 2, 3, 4, 5], &[]);
    let mut draw = Draw::new(source, &pool);
    let dots: (Vec<Dot>, Vec<Dot>) = (draw.some(), draw.some());
    let mut pair = (stored::clock(&mut draw), stored::clock(&mut draw));
    if draw.source.below(2) == 0 {
        for &dot in &dots.0 {
            pair.0.add(dot);
        }
        for &dot in &dots.1 {
            pair.1.add(dot);
        }
    }
    write(&(pair.0.to_wire(), pair.1.to_wire()))
}

fn check_clocks(input: &[u8]) -> Result<Tally, String> {
    type Wire = (Vec<ActorClock>, Vec<ActorClock>);
    let Ok((left, right)) = codec::decode::<Wire>(input) else {
        return Ok(Tally::REFUSED);
    };
    let (Ok(one), Ok(other)) = (Clock::from_wire(&left), Clock::from_wire(&right)) else {
        return Ok(Tally::REFUSED);
    };
    must(
        one.to_wire() == left && other.to_wire() == right,
        "a clock is written otherwise than it was read",
    )?;
    let both = one.intersect(&other);
    let mut all = one.clone();
    all.merge(&other);
    must(
        one.covers(&both) && other.covers(&both),
        "an intersection holds more than its sides",
    )?;
    must(
        all.covers(&one) && all.covers(&other),
        "a union lacks some of its sides",
    )?;
    must(
        Clock::from_wire(&all.to_wire()).as_ref() == Ok(&all)
            && Clock::from_wire(&both.to_wire()).as_ref() == Ok(&both),
        "a computed clock cannot be read back",
    )?;
    let missing = one.count_missing_from(&other);
    must(
        (missing == 0) == one.covers(&other),
        "a clock covers what it lacks",
    )?;
    add_at_the_edges(all)
}

/// One more dot beside each that is there, and the last there can be.
fn add_at_the_edges(mut clock: Clock) -> Result<Tally, String> {
    let actors: Vec<ActorId> = clock.actors().take(8).collect();
    for actor in actors {
        let (base, last) = (clock.base(actor), clock.last(actor));
        for counter in [
            base.wrapping_add(1),
            last.wrapping_add(1),
            u64::MAX,
            ENDLESS,
            ENDLESS - 1,
        ] {
            let dot = Dot::new(actor, counter);
            clock.add(dot);
            must(
                clock.contains(dot) == (1..ENDLESS).contains(&counter) || clock.is_closed(actor),
                "a dot was added and is not there, or names no write and is",
            )?;
        }
        must(
            clock.last(actor) == ENDLESS - 1 || clock.is_closed(actor),
            "the last dot is not the last",
        )?;
    }
    must(
        Clock::from_wire(&clock.to_wire()) == Ok(clock),
        "a clock with dots at the edges cannot be read back",
    )?;
    Ok(Tally::ACCEPTED)
}

fn draw_contexts(source: &mut Source<'_>) -> Vec<u8> {
    let pool = Pool::new(&[1, 2, 3, 4, 5], &[]);
    let mut draw = Draw::new(source, &pool);
    let mut context = || -> Vec<(ActorId, u64)> {
        let mut entries: Vec<(ActorId, u64)> = draw.some();
        entries.sort_unstable();
        entries.dedup_by_key(|entry| entry.0);
        entries
    };
    write(&(context(), context()))
}

fn check_contexts(input: &[u8]) -> Result<Tally, String> {
    type Wire = (Vec<(ActorId, u64)>, Vec<(ActorId, u64)>);
    let Ok((left, right)) = codec::decode::<Wire>(input) else {
        return Ok(Tally::REFUSED);
    };
    let (Ok(one), Ok(other)) = (
        VersionVector::from_wire(&left),
        VersionVector::from_wire(&right),
    ) else {
        return Ok(Tally::REFUSED);
    };
    must(
        one.to_wire() == left && other.to_wire() == right,
        "a context is written otherwise than it was read",
    )?;
    let mut both = one.clone();
    both.join(&other);
    must(
        both.includes(&one) && both.includes(&other),
        "joined contexts lack some of their sides",
    )?;
    must(
        VersionVector::from_wire(&both.to_wire()) == Ok(both),
        "joined contexts cannot be read back",
    )?;
    Ok(Tally::ACCEPTED)
}

type Settled = (PeerObject, Vec<Dot>);

fn draw_versions(source: &mut Source<'_>) -> Vec<u8> {
    let pool = Pool::new(&[1, 2, 3, 4, 5], &[]);
    let mut draw = Draw::new(source, &pool);
    let mut settled = || -> Settled {
        let object = stored::object(&mut draw);
        let mut settles: Vec<Dot> = object.dots().collect();
        settles.extend(draw.some::<Vec<Dot>>());
        (object.to_peer(), settles)
    };
    write(&(settled(), settled()))
}

fn check_versions(input: &[u8]) -> Result<Tally, String> {
    let Ok((left, right)) = codec::decode::<(Settled, Settled)>(input) else {
        return Ok(Tally::REFUSED);
    };
    let (sent, settles) = left;
    let (Ok(one), Ok(other)) = (Object::from_peer(sent.clone()), Object::from_peer(right.0)) else {
        return Ok(Tally::REFUSED);
    };
    must(
        one.to_peer() == sent,
        "an object is written otherwise than it was read",
    )?;
    let again = merge(&one, &|_| true, &one, &settles);
    must(!again.changed, "an object changed by merging with itself")?;
    let vnode = merge(&one, &|dot| settles.contains(&dot), &other, &right.1);
    let hint = merge_hints(&one, &settles, &other, &right.1);
    must(
        vnode.object == hint.object,
        "a vnode and a hint that saw the same merged to different objects",
    )?;
    survives_storage(&vnode.object)
}

/// Whatever a merge makes must be readable once it is stored.
fn survives_storage(object: &Object) -> Result<Tally, String> {
    let (bytes, pieces) = record::encode_object(b"key", object);
    match record::decode_object(b"key", &bytes) {
        Ok(read) => must(
            read == *object || !pieces.is_empty(),
            "a merged object is another one after it was stored",
        )?,
        Err(error) => return Err(format!("a merged object cannot be read back: {error}")),
    }
    Ok(Tally::ACCEPTED)
}

/// A byte: pieces that the version says; four: its size; then each piece's record behind a byte of length.
fn draw_pieces(source: &mut Source<'_>) -> Vec<u8> {
    let count = source.below(4);
    let mut records = Vec::new();
    let mut size = 0_u32;
    for _ in 0..count {
        let length = source.index(60);
        size += u32::try_from(length).unwrap_or(0);
        records.push(8 + u8::try_from(length).unwrap_or(0));
        records.extend_from_slice(&[record::FORMAT, 6, 0, 0, 0, 0, 0, 0]);
        records.extend(source.fill(length));
    }
    let mut input = vec![count.to_be_bytes()[7]];
    input.extend_from_slice(&size.to_be_bytes());
    input.extend(records);
    input
}

fn check_pieces(input: &[u8]) -> Result<Tally, String> {
    let Some(([pieces, size @ ..], mut rest)) = input.split_first_chunk::<5>() else {
        return Ok(Tally::REFUSED);
    };
    let dot = Dot::new(ActorId::new(7), 1);
    let mut records = Vec::new();
    while let Some((&length, behind)) = rest.split_first() {
        let (piece, behind) = behind.split_at(usize::from(length).min(behind.len()));
        let mut piece = piece.to_vec();
        let number = u32::try_from(records.len()).unwrap_or(0);
        let name = [
            &dot.actor.get().to_be_bytes()[..],
            &dot.counter.to_be_bytes(),
            &number.to_be_bytes(),
        ];
        stored::seal(&name.concat(), &mut piece);
        records.push(Bytes::from(piece));
        rest = behind;
    }
    let size = u64::from(u32::from_be_bytes(*size));
    let version = Version {
        dot,
        stamp: 1,
        expires_ms: 0,
        request: RequestId::new(0, 0),
        size,
        body: Body::Chunked {
            content_type: String::new(),
            meta: Vec::new(),
            pieces: u32::from(*pieces),
        },
    };
    match record::assemble(&version, &records) {
        Err(_) => Ok(Tally::REFUSED),
        Ok(content) => {
            must(
                content.value.len() as u64 == size && records.len() == usize::from(*pieces),
                "a value was put together from the wrong pieces",
            )?;
            Ok(Tally::ACCEPTED)
        }
    }
}
