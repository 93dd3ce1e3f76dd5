//! Frames: however the stream is cut, the same frames come out; what is no frame is refused early.

use bytes::Bytes;
use proptest::prelude::*;
use quorate_protocol::frame::{self, FrameError, HEADER_BYTES, Header, Reader};
use quorate_protocol::limits::FRAME_BODY_BYTES_MAX;

fn header() -> impl Strategy<Value = Header> {
    (any::<u16>(), any::<u8>(), any::<u32>(), any::<[u64; 3]>()).prop_map(
        |(opcode, priority, deadline_ms, [request, trace, ring])| Header {
            flags: 0,
            opcode,
            count: 1,
            priority,
            deadline_ms,
            request,
            trace,
            ring,
        },
    )
}

fn bytes_of(header: &Header, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(header, &mut out, |out| out.extend_from_slice(body));
    out
}

fn simple(opcode: u16) -> Header {
    Header {
        opcode,
        count: 1,
        ..Header::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_the_stream_is_cut_the_same_frames_come_out(
        frames in prop::collection::vec((header(), prop::collection::vec(any::<u8>(), 0..200)), 0..8),
        cuts in prop::collection::vec(1..120_usize, 1..40),
    ) {
        let stream: Vec<u8> = frames.iter().flat_map(|(header, body)| bytes_of(header, body)).collect();
        let mut reader = Reader::new(1000);
        let mut read = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            rest = after;
            reader.push(piece);
            while let Some(frame) = reader.next_frame().unwrap() {
                read.push(frame);
            }
        }
        let sent: Vec<(Header, Bytes)> = frames.into_iter().map(|(header, body)| (header, body.into())).collect();
        prop_assert_eq!(read, sent);
        prop_assert_eq!(reader.pending(), 0);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_yield_frames_of_the_allowed_size_only(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut reader = Reader::new(64);
        reader.push(&bytes);
        while let Ok(Some((header, body))) = reader.next_frame() {
            prop_assert!(body.len() <= 64 && header.count == 1 && header.flags == 0);
        }
        let _ = frame::peek(&bytes);
    }

    #[test]
    fn a_peek_says_what_the_reader_will_find(header in header(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = bytes_of(&header, &body);
        prop_assert_eq!(frame::peek(&bytes), Ok(Some((header, body.len()))));
        prop_assert_eq!(frame::peek(&bytes[..HEADER_BYTES - 1]), Ok(None));
    }
}

#[test]
fn a_length_over_the_limit_is_refused_by_its_four_bytes() {
    let mut reader = Reader::new(100);
    reader.push(&137_u32.to_be_bytes());
    assert_eq!(reader.next_frame(), Err(FrameError::Length(137, 136)));
    let mut reader = Reader::new(usize::MAX);
    reader.push(&u32::MAX.to_be_bytes());
    assert_eq!(
        reader.next_frame(),
        Err(FrameError::Length(u32::MAX, FRAME_BODY_BYTES_MAX + 36))
    );
}

#[test]
fn a_length_below_the_header_is_refused() {
    let mut reader = Reader::new(100);
    reader.push(&35_u32.to_be_bytes());
    assert_eq!(reader.next_frame(), Err(FrameError::Length(35, 136)));
}

#[test]
fn a_wrong_header_is_refused_before_its_body_came() {
    let whole = bytes_of(&simple(1), &[0; 50]);
    for (at, value, expected) in [
        (4, 2, FrameError::Version(2)),
        (
            5,
            1,
            FrameError::Reserved {
                flags: 1,
                count: 1,
                padding: 0,
            },
        ),
        (
            9,
            0,
            FrameError::Reserved {
                flags: 0,
                count: 0,
                padding: 0,
            },
        ),
        (
            11,
            9,
            FrameError::Reserved {
                flags: 0,
                count: 1,
                padding: 9,
            },
        ),
    ] {
        let mut bytes = whole.clone();
        bytes[at] = value;
        let mut reader = Reader::new(100);
        reader.push(&bytes[..HEADER_BYTES]);
        assert_eq!(reader.next_frame(), Err(expected));
        assert_eq!(frame::peek(&bytes), Err(expected));
    }
}

#[test]
fn a_frame_of_the_largest_size_passes_and_one_byte_more_does_not() {
    for (length, passes) in [(100, true), (101, false)] {
        let mut reader = Reader::new(100);
        reader.push(&bytes_of(&simple(7), &vec![1; length]));
        assert_eq!(reader.next_frame().is_ok(), passes);
    }
}

/// Layout 1, byte for byte. A new layout gets a new version number and a test of its own beside this one.
#[test]
fn the_layout_is_what_it_was_in_version_1() {
    let header = Header {
        flags: 0,
        opcode: 0x0102,
        count: 1,
        priority: 3,
        deadline_ms: 0x0a0b_0c0d,
        request: 0x1112_1314_1516_1718,
        trace: 0x2122_2324_2526_2728,
        ring: 0x3132_3334_3536_3738,
    };
    let hex: String = bytes_of(&header, b"body")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        hex,
        "00000028010001020001030\
         00a0b0c0d1112131415161718212223242526272831323334353637\
         38626f6479"
    );
}
