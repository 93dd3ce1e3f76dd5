//! Bytes of ill will: they are refused, without a panic, without much memory, and none is
//! taken for a message that it is not.

use crate::draw::Draw;
use crate::kinds::{Kinds, Wire, all_kinds};
use bytes::Bytes;
use proptest::prelude::*;
use quorate_protocol::client::{ClientReply, ClientRequest, Delete, GetMap, Role};
use quorate_protocol::codec::{self, DecodeError};
use quorate_protocol::hello::Hello;
use quorate_protocol::limits::{ITEMS_MAX, NESTING_MAX};
use quorate_protocol::map::BucketMode;
use quorate_protocol::options::Count;
use quorate_protocol::peer::PeerMessage;
use quorate_protocol::{Dot, map_file};
use serde::Deserialize;

/// Each message has one form: what is read is what would be written.
fn has_one_form<M: Wire>(opcode: u16, bytes: &[u8]) {
    if let Ok(message) = M::decode(opcode, bytes) {
        assert_eq!(message.encode(), bytes, "{message:?}");
    }
}

fn garbage<M: Kinds>(bytes: &[u8]) {
    M::OPCODES
        .iter()
        .for_each(|(opcode, _)| has_one_form::<M>(*opcode, bytes));
}

/// Breaks a message in one of the ways in which wires and writers break them.
fn broken(mut bytes: Vec<u8>, draw: &mut Draw) -> Vec<u8> {
    for _ in 0..=draw.below(3) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = draw.index(bytes.len());
        let byte = draw.byte();
        match draw.below(5) {
            0 => bytes[at] = byte,
            1 => bytes[at] ^= 1 << draw.below(8),
            2 => bytes.insert(at, byte),
            3 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn damage<M: Kinds>(seed: u64) {
    let mut draw = Draw::new(seed);
    for kind in all_kinds::<M>() {
        let bytes = broken(kind.draw(seed).encode(), &mut draw);
        has_one_form::<M>(kind.opcode, &bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_no_message_or_exactly_one(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        garbage::<ClientRequest>(&bytes);
        garbage::<ClientReply>(&bytes);
        garbage::<PeerMessage>(&bytes);
        garbage::<Hello>(&bytes);
        prop_assert!(map_file::decode(&bytes).is_err());
    }

    #[test]
    fn damaged_messages_are_refused_or_are_another_message_in_its_one_form(seed: u64) {
        damage::<ClientRequest>(seed);
        damage::<ClientReply>(seed);
        damage::<PeerMessage>(seed);
        damage::<Hello>(seed);
    }
}

fn reason<T: serde::de::DeserializeOwned + std::fmt::Debug>(bytes: &[u8]) -> String {
    match codec::decode::<T>(bytes) {
        Err(DecodeError::Malformed(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

const EARLY: &str = "it ends too early";

/// Nothing is reserved on a length's word: each of these would be gigabytes.
#[test]
fn huge_announced_lengths_are_refused_at_once() {
    assert_eq!(
        reason::<Vec<Dot>>(&[0xdd, 0xff, 0xff, 0xff, 0xff, 0x92]),
        EARLY
    );
    assert_eq!(reason::<Vec<Dot>>(&[0xdc, 0xff, 0xff, 0x92]), EARLY);
    assert_eq!(reason::<Bytes>(&[0xc6, 0xff, 0xff, 0xff, 0xff, 0]), EARLY);
    assert_eq!(reason::<Bytes>(&[0xc5, 0xff, 0xff, 0]), EARLY);
    assert_eq!(
        reason::<String>(&[0xdb, 0xff, 0xff, 0xff, 0xff, b'a']),
        EARLY
    );
    assert_eq!(reason::<Dot>(&[0xdd, 0xff, 0xff, 0xff, 0xff, 1]), EARLY);
}

/// One byte of an empty text is 24 in memory: the length of a frame alone is no bound.
#[test]
fn a_message_has_a_most_of_parts() {
    let list = |length: usize| {
        let mut bytes = vec![0xdd];
        bytes.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
        bytes.resize(bytes.len() + length, 0xa0);
        bytes
    };
    assert_eq!(
        codec::decode::<Vec<String>>(&list(ITEMS_MAX))
            .unwrap()
            .len(),
        ITEMS_MAX
    );
    assert!(reason::<Vec<String>>(&list(ITEMS_MAX + 1)).contains("parts"));
    let mut twice = vec![0x92];
    twice.extend_from_slice(&list(ITEMS_MAX / 2 + 1));
    twice.extend_from_slice(&list(ITEMS_MAX / 2 + 1));
    assert!(reason::<Vec<Vec<String>>>(&twice).contains("parts"));
}

#[derive(Debug, Deserialize)]
struct Nest(#[expect(dead_code, reason = "only its depth matters")] Vec<Nest>);

#[test]
fn nesting_bombs_are_refused() {
    let nested = |depth: usize| {
        let mut bytes = vec![0x91; depth - 1];
        bytes.push(0x90);
        bytes
    };
    assert!(codec::decode::<Nest>(&nested(NESTING_MAX)).is_ok());
    assert!(reason::<Nest>(&nested(NESTING_MAX + 1)).contains("nested"));
    assert!(reason::<Nest>(&nested(1_000_000)).contains("nested"));
}

#[test]
fn missing_and_additional_fields_are_refused() {
    assert!(codec::decode::<Dot>(&[0x92, 1, 2]).is_ok());
    assert_eq!(reason::<Dot>(&[0x91, 1]), "a list of 1 where 2 belong");
    assert_eq!(
        reason::<Dot>(&[0x93, 1, 2, 3]),
        "a list of 3 where 2 belong"
    );
    assert_eq!(
        reason::<(u8, u8)>(&[0x93, 1, 2, 3]),
        "a list of 3 where 2 belong"
    );
    assert_eq!(
        codec::decode::<GetMap>(&[0x91, 1, 1]),
        Err(DecodeError::Trailing)
    );
}

#[test]
fn maps_are_refused_so_no_field_comes_twice_or_unknown() {
    let named = |names: &[&str]| {
        let mut bytes = vec![0x80 | u8::try_from(names.len()).unwrap()];
        for name in names {
            bytes.push(0xa0 | u8::try_from(name.len()).unwrap());
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(1);
        }
        bytes
    };
    for names in [
        &["actor", "counter"][..],
        &["actor", "counter", "counter"],
        &["actor", "counter", "x"],
    ] {
        assert!(reason::<Dot>(&named(names)).contains("0x8"), "{names:?}");
    }
}

#[test]
fn one_type_is_not_taken_for_another() {
    let structure_as_bytes = [0xc4, 2, 1, 2];
    assert!(codec::decode::<Dot>(&structure_as_bytes).is_err());
    let bytes_as_text = [0xa2, b'h', b'i'];
    assert!(codec::decode::<Bytes>(&bytes_as_text).is_err());
    let bytes_as_list = [0x92, 1, 2];
    assert!(codec::decode::<Bytes>(&bytes_as_list).is_err());
    let text_as_bytes = [0xc4, 2, b'h', b'i'];
    assert!(codec::decode::<String>(&text_as_bytes).is_err());
    let wrong_text = [0xa2, 0xff, 0xfe];
    assert!(reason::<String>(&wrong_text).contains("UTF-8"));
    let (number_as_flag, flag_as_number, nothing) = ([1], [0xc3], [0xc0]);
    assert!(codec::decode::<bool>(&number_as_flag).is_err());
    assert!(codec::decode::<u64>(&flag_as_number).is_err());
    assert!(codec::decode::<u64>(&nothing).is_err());
    let (negative, fraction, extension) = ([0xff], [0xca, 0, 0, 0, 0], [0xd4, 1, 1]);
    assert!(codec::decode::<u64>(&negative).is_err());
    assert!(codec::decode::<u64>(&fraction).is_err());
    assert!(codec::decode::<u64>(&extension).is_err());
}

#[test]
fn long_forms_of_short_values_are_refused() {
    let long: [&[u8]; 5] = [
        &[0xcc, 0x7f],
        &[0xcd, 0, 0xff],
        &[0xce, 0, 0, 0xff, 0xff],
        &[0xcf, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0xcf, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
    ];
    for bytes in long {
        assert!(reason::<u64>(bytes).contains("shortest"), "{bytes:?}");
    }
    assert!(reason::<String>(&[0xd9, 1, b'a']).contains("shortest"));
    assert!(reason::<Bytes>(&[0xc5, 0, 1, b'a']).contains("shortest"));
    assert!(reason::<Vec<u8>>(&[0xdc, 0, 1, 1]).contains("shortest"));
}

#[test]
fn numbers_beyond_their_type_and_unknown_symbols_are_refused() {
    assert!(codec::decode::<u8>(&[0xcd, 1, 0]).is_err());
    assert!(codec::decode::<Role>(&[2]).is_err());
    assert!(codec::decode::<BucketMode>(&[2]).is_err());
    assert!(codec::decode::<Count>(&[0xcd, 1, 2]).is_err());
}

#[test]
fn a_count_of_zero_arrives_as_zero_and_is_refused_by_name() {
    for number in [0, 254, 255] {
        let mut bytes = Vec::new();
        codec::encode(&Count::Exactly(number), &mut bytes);
        let count: Count = codec::decode(&bytes).unwrap();
        assert_eq!(count, Count::Exactly(number));
        let error = count.resolve("r", 3).unwrap_err();
        assert!(
            error.message.starts_with(&format!("r={number} ")),
            "{error}"
        );
    }
}

#[test]
fn the_reason_says_what_stood_where() {
    let request = ClientRequest::from(Draw::new(1).value::<Delete>().unwrap());
    let mut bytes = request.encode();
    bytes[0] = 0xc0;
    assert_eq!(
        ClientRequest::decode(request.opcode(), &bytes),
        Err(DecodeError::Malformed(
            "marker 0xc0 where a list belongs".to_owned()
        ))
    );
}
