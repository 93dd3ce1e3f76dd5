//! The bytes of every message of protocol version 9, kept for good.
//!
//! `tests/fixtures/<wire>/<opcode>_<name>.txt` holds a message as text and its body in hexadecimal.
//! When this test fails, a message's bytes changed, and nodes and clients of the released version
//! can no longer be understood. Then do not touch the fixture, but:
//!
//! 1. raise `hello::PROTOCOL_VERSION`, and keep `PROTOCOL_VERSION_MIN` while such peers are to be spoken to;
//! 2. give the changed message a new opcode and a new type (opcodes are never used again), keep the
//!    old one for peers of the old version;
//! 3. run `QUORATE_WRITE_FIXTURES=1 cargo test -p quorate-protocol --test wire golden`, which writes the
//!    fixtures that are missing and never overwrites one.

use std::fs;
use std::path::PathBuf;

use crate::kinds::{Kind, Kinds, Wire, all_kinds};
use quorate_protocol::client::{ClientReply, ClientRequest};
use quorate_protocol::hello::Hello;
use quorate_protocol::peer::PeerMessage;

/// A fixture should say something, and still be read by a person.
const BODY_BYTES: std::ops::Range<usize> = 1..260;
const DRAWS: u64 = 300;

fn file<M: Wire>(kind: &Kind<M>) -> PathBuf {
    let name = format!("{:04x}_{}.txt", kind.opcode, kind.name);
    [
        env!("CARGO_MANIFEST_DIR"),
        "tests",
        "fixtures",
        M::NAME,
        &name,
    ]
    .iter()
    .collect()
}

fn text<M: Wire>(message: &M) -> String {
    let hex: Vec<String> = message
        .encode()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let lines: Vec<String> = hex.chunks(32).map(|line| line.concat()).collect();
    format!("{message:#?}\n\n{}\n", lines.join("\n"))
}

/// The body in the last paragraph of a fixture.
fn body(text: &str) -> Vec<u8> {
    let (_, hex) = text.trim_end().rsplit_once("\n\n").unwrap();
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}

/// Of some draws, the longest that still can be read.
fn telling<M: Kinds>(kind: &Kind<M>) -> M {
    let draws = (0..DRAWS).map(|seed| kind.draw(seed));
    let readable = draws.filter(|message| BODY_BYTES.contains(&message.encode().len()));
    readable
        .max_by_key(|message| message.encode().len())
        .unwrap()
}

fn check<M: Kinds>() {
    for kind in all_kinds::<M>() {
        let path = file(&kind);
        if !path.exists() && std::env::var_os("QUORATE_WRITE_FIXTURES").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text(&telling(&kind))).unwrap();
        }
        let fixture =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let message = M::decode(kind.opcode, &body(&fixture))
            .unwrap_or_else(|error| panic!("{} of version 3 cannot be read: {error}", kind.name));
        assert_eq!(
            text(&message),
            fixture,
            "{} is not what it was in version 3",
            kind.name
        );
    }
}

#[test]
fn messages_are_what_they_were_in_version_3() {
    check::<ClientRequest>();
    check::<ClientReply>();
    check::<PeerMessage>();
    check::<Hello>();
}

#[test]
fn no_fixture_is_left_without_a_message() {
    let known: Vec<PathBuf> = [
        all_kinds::<ClientRequest>()
            .iter()
            .map(file)
            .collect::<Vec<_>>(),
        all_kinds::<ClientReply>().iter().map(file).collect(),
        all_kinds::<PeerMessage>().iter().map(file).collect(),
        all_kinds::<Hello>().iter().map(file).collect(),
    ]
    .concat();
    for wire in ["client", "peer", "hello"] {
        let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", wire]
            .iter()
            .collect();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            assert!(
                known.contains(&path),
                "{} belongs to no message",
                path.display()
            );
        }
    }
}
