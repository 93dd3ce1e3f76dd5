//! Which shard a peer's message belongs to.

use quorate_protocol::peer::{CatchUpAnswer, CatchUpAsk, Clocks, PeerMessage};
use quorate_ring::{Class, PartitionId};

/// Where a message goes.
#[derive(Debug)]
pub(super) enum Route {
    /// To one shard.
    Shard(u16),
    /// To the node's own machines.
    Hub,
    /// To several shards, each with its part; none of them empty.
    Parts(Vec<(u16, PeerMessage)>),
}

/// The shard that owns a partition.
pub(super) const fn shard_of(partition: PartitionId, shards: u16) -> u16 {
    partition.get() % shards
}

/// Finds the shard, or takes the message apart.
///
/// With one shard everything but the node's own messages goes to it whole.
pub(super) fn route(message: &mut PeerMessage, shards: u16) -> Route {
    if let Some(partition) = message.partition() {
        return Route::Shard(shard_of(partition, shards));
    }
    match message {
        PeerMessage::ReplicaState(answer) => by_operation(answer.op, shards),
        PeerMessage::ReplicaAck(answer) => by_operation(answer.op, shards),
        PeerMessage::FoundRequest(answer) => by_operation(answer.op, shards),
        PeerMessage::ReplicaKeyPage(answer) => by_operation(answer.op, shards),
        PeerMessage::Clocks(_)
        | PeerMessage::CatchUpAsk(_)
        | PeerMessage::CatchUpAnswer(_)
        | PeerMessage::Alive(_)
            if shards == 1 =>
        {
            Route::Shard(0)
        }
        PeerMessage::Clocks(Clocks { clocks }) => {
            let parts = split(std::mem::take(clocks), shards, |clock| clock.class);
            Route::Parts(
                parts
                    .map(|(shard, clocks)| (shard, Clocks { clocks }.into()))
                    .collect(),
            )
        }
        PeerMessage::CatchUpAsk(ask) => {
            let parts = split(std::mem::take(&mut ask.classes), shards, |class| *class);
            let part = |(shard, classes)| {
                (
                    shard,
                    CatchUpAsk {
                        classes,
                        ..ask.clone()
                    }
                    .into(),
                )
            };
            Route::Parts(parts.map(part).collect())
        }
        PeerMessage::CatchUpAnswer(answer) => {
            let parts = split(std::mem::take(&mut answer.entries), shards, |entry| {
                entry.class
            });
            let part = |(shard, entries)| {
                (
                    shard,
                    CatchUpAnswer {
                        entries,
                        ..answer.clone()
                    }
                    .into(),
                )
            };
            Route::Parts(parts.map(part).collect())
        }
        // Every replica keeps its own marks.
        PeerMessage::Alive(alive) => {
            Route::Parts((0..shards).map(|shard| (shard, (*alive).into())).collect())
        }
        PeerMessage::ReplicaGet(_)
        | PeerMessage::ReplicaPut(_)
        | PeerMessage::FindRequest(_)
        | PeerMessage::ReplicaKeys(_)
        | PeerMessage::Forward(_)
        | PeerMessage::Forwarded(_)
        | PeerMessage::DotsAsk(_)
        | PeerMessage::DotsAnswer(_)
        | PeerMessage::SnapshotAsk(_)
        | PeerMessage::SnapshotPage(_)
        | PeerMessage::Remembered(_)
        | PeerMessage::SealAsk(_)
        | PeerMessage::SealAnswer(_)
        | PeerMessage::Seal(_)
        | PeerMessage::Hints(_)
        | PeerMessage::HintsAck(_)
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
        | PeerMessage::MapNotForsaken(_) => Route::Hub,
    }
}

/// An answer goes to the replica whose number stands in the top 16 bits of its operation. A number
/// that no shard has is some other life's: any shard drops it.
const fn by_operation(op: u64, shards: u16) -> Route {
    let [high, low, ..] = op.to_be_bytes();
    Route::Shard(u16::from_be_bytes([high, low]) % shards)
}

fn split<T>(
    items: Vec<T>,
    shards: u16,
    class: impl Fn(&T) -> Class,
) -> impl Iterator<Item = (u16, Vec<T>)> {
    let mut parts: Vec<Vec<T>> = (0..shards).map(|_| Vec::new()).collect();
    for item in items {
        let shard = shard_of(class(&item).partition, shards);
        parts[usize::from(shard)].push(item);
    }
    (0..shards).zip(parts).filter(|(_, part)| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use quorate_protocol::MapDigest;
    use quorate_protocol::client::Role;
    use quorate_protocol::ids::LifeId;
    use quorate_protocol::peer::{Alive, AliveMark, MapAsk, ReplicaAck};
    use quorate_protocol::versioned::{MapName, MapVersion};

    use super::*;

    fn class(partition: u16) -> Class {
        Class {
            n: 3,
            partition: PartitionId::new(partition),
        }
    }

    #[test]
    fn a_question_about_many_classes_is_taken_apart_by_their_owners() {
        let classes = vec![class(0), class(1), class(3), class(4), class(6)];
        let marks = vec![AliveMark {
            shard: 0,
            life: LifeId::new(1),
            position: 2,
        }];
        let ask = |classes| CatchUpAsk {
            number: 7,
            classes,
            life: LifeId::new(2),
            marks: marks.clone(),
        };
        let mut message = ask(classes).into();
        let Route::Parts(parts) = route(&mut message, 3) else {
            unreachable!("it names classes of two shards")
        };
        let expected: Vec<(u16, PeerMessage)> = vec![
            (0, ask(vec![class(0), class(3), class(6)]).into()),
            (1, ask(vec![class(1), class(4)]).into()),
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn an_answer_goes_to_the_shard_that_asked() {
        let ack = |op| ReplicaAck {
            op,
            epoch: MapVersion::FIRST,
            role: Role::Primary,
            durable: false,
            overlooked: false,
            error: None,
        };
        assert!(matches!(
            route(&mut ack(2 << 48 | 5).into(), 4),
            Route::Shard(2)
        ));
        assert!(matches!(
            route(&mut ack(u64::MAX).into(), 4),
            Route::Shard(3)
        ));
    }

    #[test]
    fn a_mark_goes_to_every_shard() {
        let mark = AliveMark {
            shard: 1,
            life: LifeId::new(3),
            position: 4,
        };
        let mut message = Alive { shards: 2, mark }.into();
        let Route::Parts(parts) = route(&mut message, 3) else {
            unreachable!("every replica keeps marks of its own")
        };
        let shards: Vec<u16> = parts.iter().map(|(shard, _)| *shard).collect();
        assert_eq!(shards, [0, 1, 2]);
        assert!(parts.iter().all(|(_, part)| *part == message));
    }

    #[test]
    fn what_concerns_the_node_goes_to_the_hub() {
        let have = MapName {
            version: MapVersion::FIRST,
            digest: MapDigest::new(1, 2),
        };
        assert!(matches!(route(&mut MapAsk { have }.into(), 4), Route::Hub));
    }
}
