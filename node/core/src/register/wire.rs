//! A register's messages among all messages between nodes.

use quorate_protocol::peer::PeerMessage;

use super::RegisterMessage;

impl From<RegisterMessage> for PeerMessage {
    fn from(message: RegisterMessage) -> Self {
        match message {
            RegisterMessage::Prepare(message) => Self::MapPrepare(message),
            RegisterMessage::Promise(message) => Self::MapPromise(message),
            RegisterMessage::Accept(message) => Self::MapAccept(message),
            RegisterMessage::Accepted(message) => Self::MapAccepted(message),
            RegisterMessage::Refused(message) => Self::MapRefused(message),
            RegisterMessage::Newest(message) => Self::MapNewest(message),
            RegisterMessage::Ask(message) => Self::MapAsk(message),
            RegisterMessage::Decided(message) => Self::MapDecided(message),
            RegisterMessage::Forsake(message) => Self::MapForsake(message),
            RegisterMessage::Forsaken(message) => Self::MapForsaken(message),
            RegisterMessage::Recover(message) => Self::MapRecover(message),
            RegisterMessage::Recovered(message) => Self::MapRecovered(message),
            RegisterMessage::NotForsaken(message) => Self::MapNotForsaken(message),
        }
    }
}

impl RegisterMessage {
    /// The register's part of the peer wire; any other message comes back as it was.
    ///
    /// # Errors
    /// It is none of the register's.
    pub fn from_peer(message: PeerMessage) -> Result<Self, Box<PeerMessage>> {
        Ok(match message {
            PeerMessage::MapPrepare(message) => Self::Prepare(message),
            PeerMessage::MapPromise(message) => Self::Promise(message),
            PeerMessage::MapAccept(message) => Self::Accept(message),
            PeerMessage::MapAccepted(message) => Self::Accepted(message),
            PeerMessage::MapRefused(message) => Self::Refused(message),
            PeerMessage::MapNewest(message) => Self::Newest(message),
            PeerMessage::MapAsk(message) => Self::Ask(message),
            PeerMessage::MapDecided(message) => Self::Decided(message),
            PeerMessage::MapForsake(message) => Self::Forsake(message),
            PeerMessage::MapForsaken(message) => Self::Forsaken(message),
            PeerMessage::MapRecover(message) => Self::Recover(message),
            PeerMessage::MapRecovered(message) => Self::Recovered(message),
            PeerMessage::MapNotForsaken(message) => Self::NotForsaken(message),
            other @ (PeerMessage::ReplicaGet(_)
            | PeerMessage::ReplicaState(_)
            | PeerMessage::ReplicaPut(_)
            | PeerMessage::ReplicaAck(_)
            | PeerMessage::FindRequest(_)
            | PeerMessage::FoundRequest(_)
            | PeerMessage::ReplicaKeys(_)
            | PeerMessage::ReplicaKeyPage(_)
            | PeerMessage::Forward(_)
            | PeerMessage::Forwarded(_)
            | PeerMessage::Clocks(_)
            | PeerMessage::DotsAsk(_)
            | PeerMessage::DotsAnswer(_)
            | PeerMessage::Hints(_)
            | PeerMessage::HintsAck(_)
            | PeerMessage::CatchUpAsk(_)
            | PeerMessage::CatchUpAnswer(_)
            | PeerMessage::Alive(_)
            | PeerMessage::SnapshotAsk(_)
            | PeerMessage::SnapshotPage(_)
            | PeerMessage::Remembered(_)
            | PeerMessage::SealAsk(_)
            | PeerMessage::SealAnswer(_)
            | PeerMessage::Seal(_)
            | PeerMessage::Heartbeat(_)
            | PeerMessage::HeartbeatAck(_)
            | PeerMessage::MapWord(_)) => return Err(Box::new(other)),
        })
    }
}
