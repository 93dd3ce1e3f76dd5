//! Single objects: writes, what travels, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use quorate_core::causality::{
    Body, CausalityError, Content, Object, ReplyView, Version, VersionVector, differing, merge,
    merge_replies,
};
use quorate_protocol::peer::PeerObject;
use quorate_protocol::{ActorId, Dot, RequestId};

fn dot(actor: u64, counter: u64) -> Dot {
    Dot::new(ActorId::new(actor), counter)
}

fn version(dot: Dot) -> Version {
    let content = Content {
        value: dot.to_string().into(),
        ..Content::default()
    };
    let size = content.value.len() as u64;
    Version {
        dot,
        stamp: 1,
        expires_ms: 0,
        request: RequestId::new(1, dot.counter),
        size,
        body: Body::Whole(content),
    }
}

fn seen(dots: &[Dot]) -> VersionVector {
    dots.iter().copied().collect()
}

fn object(versions: &[Dot], context: &[Dot]) -> Object {
    Object {
        versions: versions.iter().copied().map(version).collect(),
        context: seen(context),
    }
}

fn absent(dot: Dot) -> Version {
    Version {
        body: Body::Absent,
        ..version(dot)
    }
}

fn never(_: Dot) -> bool {
    false
}

#[test]
fn a_blind_write_stands_beside_what_is_there() {
    let mut object = object(&[dot(1, 1)], &[]);
    assert_eq!(object.write(&seen(&[]), Some(version(dot(2, 1)))), []);
    assert_eq!(object.dots().collect::<Vec<_>>(), [dot(1, 1), dot(2, 1)]);
    assert!(object.context.is_empty());
}

#[test]
fn a_write_replaces_what_its_writer_saw_and_nothing_else() {
    let mut object = object(&[dot(1, 1), dot(2, 1)], &[]);
    assert_eq!(
        object.write(&seen(&[dot(1, 1)]), Some(version(dot(1, 2)))),
        [dot(1, 1)]
    );
    assert_eq!(object.dots().collect::<Vec<_>>(), [dot(1, 2), dot(2, 1)]);
    assert!(
        !object.context.covers(dot(1, 2)),
        "the new version is not superseded"
    );
    assert!(
        object.read_context().covers(dot(1, 2)),
        "who reads it has seen it"
    );
}

#[test]
fn a_delete_leaves_a_context_and_no_version() {
    let mut object = object(&[dot(1, 1)], &[]);
    let token = object.read_context();
    assert_eq!(object.write(&token, None), [dot(1, 1)]);
    assert!(object.versions.is_empty());
    assert!(!object.is_empty());
    let late = merge(
        &object,
        &never,
        &self::object(&[dot(1, 1)], &[]),
        &[dot(1, 1)],
    );
    assert_eq!((late.discarded, late.changed), (vec![dot(1, 1)], false));
}

#[test]
fn a_merge_without_news_changes_nothing() {
    let local = object(&[dot(1, 3)], &[dot(1, 2), dot(2, 2)]);
    let merged = merge(
        &local,
        &never,
        &object(&[dot(1, 2)], &[dot(2, 1)]),
        &[dot(1, 2)],
    );
    assert_eq!(merged.object, local);
    assert!(!merged.changed);
    assert_eq!(merged.discarded, [dot(1, 2)]);
}

#[test]
fn a_settled_dot_that_the_sender_does_not_hold_is_superseded() {
    let local = object(&[dot(1, 1)], &[]);
    let merged = merge(&local, &never, &Object::default(), &[dot(1, 1)]);
    assert_eq!((merged.displaced, merged.changed), (vec![dot(1, 1)], true));
    assert!(merged.object.is_empty());
}

#[test]
fn a_version_in_the_clock_and_not_in_the_object_stays_away() {
    let merged = merge(
        &Object::default(),
        &|other| other == dot(1, 1),
        &object(&[dot(1, 1), dot(1, 2)], &[]),
        &[],
    );
    assert_eq!(merged.object.dots().collect::<Vec<_>>(), [dot(1, 2)]);
    assert_eq!(merged.discarded, [dot(1, 1)]);
}

#[test]
fn a_value_that_is_missing_is_taken_and_one_that_is_here_is_kept() {
    let bare = Object {
        versions: vec![absent(dot(1, 1))],
        ..Object::default()
    };
    let full = object(&[dot(1, 1)], &[]);
    let filled = merge(&bare, &never, &full, &[]);
    assert_eq!((filled.object, filled.changed), (full.clone(), true));
    let kept = merge(&full, &never, &bare, &[]);
    assert_eq!((kept.object, kept.changed), (full.clone(), false));
    let views = [
        ReplyView {
            object: &bare,
            seen: &[],
        },
        ReplyView {
            object: &full,
            seen: &[],
        },
    ];
    assert_eq!(merge_replies(&views), full);
}

#[test]
fn only_versions_that_nobody_knows_to_be_superseded_are_asked_about() {
    let holder = object(&[dot(1, 1), dot(1, 2), dot(2, 1)], &[]);
    let other = object(&[dot(1, 2)], &[dot(2, 1)]);
    let views = |seen: &'static [Dot]| {
        [
            ReplyView {
                object: &holder,
                seen: &[],
            },
            ReplyView {
                object: &other,
                seen,
            },
        ]
    };
    assert_eq!(differing(&views(&[])), [dot(1, 1)]);
    assert_eq!(
        merge_replies(&views(&[])).dots().collect::<Vec<_>>(),
        [dot(1, 1), dot(1, 2)]
    );
    const ONE: &[Dot] = &[Dot::new(ActorId::new(1), 1)];
    assert_eq!(differing(&views(ONE)), []);
    assert_eq!(
        merge_replies(&views(ONE)).dots().collect::<Vec<_>>(),
        [dot(1, 2)]
    );
}

#[test]
fn an_object_travels_and_comes_back() {
    let object = object(&[dot(1, 3), dot(2, 9)], &[dot(1, 2), dot(5, 5)]);
    assert_eq!(Object::from_peer(object.to_peer()), Ok(object.clone()));
    let pieces = Body::Chunked {
        content_type: "a/b".into(),
        meta: Vec::new(),
        pieces: 2,
    };
    let chunked = Object {
        versions: vec![Version {
            body: pieces,
            ..version(dot(1, 1))
        }],
        ..Object::default()
    };
    let bare = Object {
        versions: vec![absent(dot(1, 1))],
        ..Object::default()
    };
    assert_eq!(Object::from_peer(chunked.to_peer()), Ok(bare));
}

fn refused(change: impl FnOnce(&mut PeerObject)) -> CausalityError {
    let mut peer = object(&[dot(1, 3), dot(2, 9)], &[dot(1, 2)]).to_peer();
    change(&mut peer);
    Object::from_peer(peer).unwrap_err()
}

#[test]
fn objects_that_contradict_themselves_are_refused_by_name() {
    assert_eq!(
        refused(|peer| peer.versions.reverse()),
        CausalityError::VersionOrder(dot(1, 3))
    );
    assert_eq!(
        refused(|peer| peer.versions[1] = peer.versions[0].clone()),
        CausalityError::VersionOrder(dot(1, 3))
    );
    assert_eq!(
        refused(|peer| peer.context[0].1 = 3),
        CausalityError::CoveredVersion(dot(1, 3))
    );
    assert_eq!(
        refused(|peer| peer.context[0].1 = 0),
        CausalityError::ZeroCounter(ActorId::new(1))
    );
    assert_eq!(
        refused(|peer| peer.versions[0].dot.counter = 0),
        CausalityError::ZeroCounter(ActorId::new(1))
    );
    let size = refused(|peer| peer.versions[0].size = 4);
    assert!(
        matches!(size, CausalityError::SizeMismatch { stated: 4, .. }),
        "{size}"
    );
}

#[test]
fn what_is_over_a_limit_is_refused_by_name() {
    let what = |error: CausalityError| {
        let CausalityError::TooLarge { what, .. } = error else {
            panic!("{error}");
        };
        what
    };
    assert_eq!(
        what(refused(|peer| peer.versions[0].size = 1 << 40)),
        "the value"
    );
    let typed =
        refused(|peer| peer.versions[0].body.as_mut().unwrap().content_type = "x".repeat(256));
    assert_eq!(what(typed), "the content type");
    let meta = refused(|peer| {
        peer.versions[0].body.as_mut().unwrap().meta =
            vec![("n".into(), Bytes::from(vec![0; 4096]))]
    });
    assert_eq!(what(meta), "the metadata");
    let empty = refused(|peer| {
        peer.versions[0].body.as_mut().unwrap().meta = vec![Default::default(); 5000]
    });
    assert_eq!(what(empty), "the metadata");
    let many = refused(|peer| peer.versions = vec![peer.versions[0].clone(); 10_001]);
    assert!(matches!(
        many,
        CausalityError::TooManySiblings { found: 10_001, .. }
    ));
}

#[test]
fn contents_are_the_same_on_all_wires() {
    let content = Content {
        value: "v".into(),
        content_type: "t".into(),
        meta: vec![("n".into(), "m".into())],
    };
    let peer = quorate_protocol::peer::PeerBody::from(content.clone());
    let client = quorate_protocol::client::Content::from(content.clone());
    assert_eq!(
        (Content::from(peer), Content::from(client)),
        (content.clone(), content)
    );
}
