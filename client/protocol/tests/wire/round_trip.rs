//! Every message comes back as it was sent, and only from the bytes that were sent.

use crate::kinds::{Kinds, Wire, all_kinds};
use proptest::prelude::*;
use quorate_protocol::client::{ClientReply, ClientRequest};
use quorate_protocol::codec::DecodeError;
use quorate_protocol::hello::Hello;
use quorate_protocol::peer::PeerMessage;

fn round_trips<M: Kinds>(seed: u64) {
    for kind in all_kinds::<M>() {
        let message = kind.draw(seed);
        assert_eq!(message.opcode(), kind.opcode);
        let bytes = message.encode();
        assert_eq!(M::decode(kind.opcode, &bytes), Ok(message), "{}", kind.name);
    }
}

/// Cut anywhere, or with anything behind it, it is no message.
fn borders_hold<M: Kinds>(seed: u64, behind: u8) {
    for kind in all_kinds::<M>() {
        let mut bytes = kind.draw(seed).encode();
        for end in (0..bytes.len()).rev().take(600) {
            let cut = M::decode(kind.opcode, &bytes[..end]);
            assert!(
                matches!(cut, Err(DecodeError::Malformed(_))),
                "{} cut at {end}",
                kind.name
            );
        }
        bytes.push(behind);
        assert_eq!(
            M::decode(kind.opcode, &bytes),
            Err(DecodeError::Trailing),
            "{}",
            kind.name
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_arrives(seed: u64) {
        round_trips::<ClientRequest>(seed);
        round_trips::<ClientReply>(seed);
        round_trips::<PeerMessage>(seed);
        round_trips::<Hello>(seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parts_of_messages_and_more_than_messages_are_refused(seed: u64, behind: u8) {
        borders_hold::<ClientRequest>(seed, behind);
        borders_hold::<ClientReply>(seed, behind);
        borders_hold::<PeerMessage>(seed, behind);
        borders_hold::<Hello>(seed, behind);
    }
}

#[test]
fn no_opcode_is_given_twice_and_each_wire_keeps_to_its_range() {
    let requests = ClientRequest::OPCODES;
    let replies = ClientReply::OPCODES;
    let peer = PeerMessage::OPCODES;
    let mut all: Vec<u16> = requests
        .iter()
        .chain(replies)
        .chain(peer)
        .chain(Hello::OPCODES)
        .map(|(opcode, _)| *opcode)
        .collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), requests.len() + replies.len() + peer.len() + 1);
    assert!(
        requests
            .iter()
            .all(|(opcode, _)| matches!(opcode >> 8, 0x01 | 0x03))
    );
    assert!(peer.iter().all(|(opcode, _)| opcode >> 8 == 0x02));
    assert!(
        replies
            .iter()
            .all(|(opcode, _)| matches!(opcode >> 8, 0x80 | 0x81 | 0x83))
    );
}

#[test]
fn opcodes_of_other_wires_are_named_as_unknown() {
    let unknown = DecodeError::UnknownOpcode(0x0201);
    assert_eq!(ClientRequest::decode(0x0201, &[]), Err(unknown));
    assert_eq!(
        PeerMessage::decode(0x0101, &[]),
        Err(DecodeError::UnknownOpcode(0x0101))
    );
}
