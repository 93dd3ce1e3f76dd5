//! The node's own machines, one of each for all shards: who answers, and which buckets there are.

use quorate_core::agreement::{AgreementEffect, AgreementInput};
use quorate_core::membership::{MemberEffect, MemberInput};
use quorate_core::{Input, Now};
use quorate_protocol::peer::PeerMessage;
use quorate_ring::NodeId;

use super::counters::Counter;
use super::disk::Disk;
use super::node::{Process, Want};
#[cfg(feature = "planted")]
use super::shard::Shard;

impl Process {
    /// Takes a peer's message that concerns the node as a whole.
    pub(super) fn hub_takes(
        &mut self,
        now: Now,
        from: NodeId,
        message: PeerMessage,
        disk: &Disk,
        wants: &mut Vec<Want>,
    ) {
        if let PeerMessage::Heartbeat(hb) = message {
            return self.member(now, MemberInput::Heartbeat { from, hb }, disk, wants);
        }
        if let PeerMessage::HeartbeatAck(hb) = message {
            return self.member(now, MemberInput::Ack { from, hb }, disk, wants);
        }
        self.member(now, MemberInput::Heard(from), disk, wants);
        self.agree(now, AgreementInput::Peer { from, message }, disk, wants);
    }

    /// Ticks what is due.
    pub(super) fn tick_hub(&mut self, now: Now, disk: &Disk, wants: &mut Vec<Want>) {
        if self.membership.next_timer() <= now.mono_us {
            self.member(now, MemberInput::Tick, disk, wants);
        }
        if self.agreement.next_timer() <= now.mono_us {
            self.agree(now, AgreementInput::Tick, disk, wants);
        }
    }

    /// Hands the membership something.
    pub(super) fn member(
        &mut self,
        now: Now,
        input: MemberInput,
        disk: &Disk,
        wants: &mut Vec<Want>,
    ) {
        // One word of a peer may lead to the next: whoever comes second makes a list of his own.
        let mut effects = std::mem::take(&mut self.spare);
        self.membership.handle(now, input, &mut effects);
        for effect in effects.drain(..) {
            match effect {
                MemberEffect::Send { to, message } => wants.push(Want::Send {
                    to,
                    message,
                    deadline_ms: 0,
                }),
                MemberEffect::Up(peer) => self.reachable(now, peer, true, disk, wants),
                MemberEffect::Down(peer) => self.reachable(now, peer, false, disk, wants),
                // The replicas tell by their view that it is another life.
                MemberEffect::Restarted(peer) => {
                    self.agree(now, AgreementInput::PeerDown(peer), disk, wants);
                    self.reachable(now, peer, true, disk, wants);
                }
                MemberEffect::BucketsDiffer(peer) => {
                    self.agree(now, AgreementInput::BucketsDiffer(peer), disk, wants);
                }
            }
        }
        self.spare = effects;
    }

    fn reachable(&mut self, now: Now, peer: NodeId, up: bool, disk: &Disk, wants: &mut Vec<Want>) {
        let told = |up| match up {
            true => Input::PeerUp(peer),
            false => Input::PeerDown(peer),
        };
        for shard in &mut self.shards {
            shard.tell(now, told(up), disk);
        }
        let input = if up {
            AgreementInput::PeerUp(peer)
        } else {
            AgreementInput::PeerDown(peer)
        };
        self.agree(now, input, disk, wants);
    }

    /// Hands the agreement on buckets something.
    pub(super) fn agree(
        &mut self,
        now: Now,
        input: AgreementInput,
        disk: &Disk,
        wants: &mut Vec<Want>,
    ) {
        let mut effects = Vec::new();
        self.agreement.handle(now, input, &mut effects);
        for effect in effects {
            match effect {
                AgreementEffect::Persist { number, bytes } => {
                    wants.push(Want::Persist(number, bytes));
                }
                AgreementEffect::Send { to, message } => wants.push(Want::Send {
                    to,
                    message,
                    deadline_ms: 0,
                }),
                AgreementEffect::Reply { ticket, reply } => {
                    self.hub_tickets.remove(&ticket);
                    wants.push(Want::Reply(ticket, Box::new(reply)));
                }
                AgreementEffect::MapChanged(map) => {
                    wants.push(Want::Count(Counter::World("buckets in force changed")));
                    for shard in &mut self.shards {
                        shard.tell(now, Input::Map(map.clone()), disk);
                    }
                    self.map = map;
                    wants.push(Want::InForce);
                    self.tell_digest(now, disk, wants);
                }
                AgreementEffect::Contradiction { kept, dropped } => {
                    wants.push(Want::Contradiction(Box::new((kept, dropped))));
                }
            }
        }
    }

    /// Breaks the rule that is broken in the replicas, should it be one of the agreement's.
    #[cfg(feature = "planted")]
    pub(super) fn plant_agreement(&mut self) {
        let replica = self.shards.first().and_then(Shard::replica);
        if let Some(plant) = replica.and_then(quorate_core::Replica::planted) {
            self.agreement.plant(plant);
        }
    }

    /// Tells the peers which buckets are in force here.
    pub(super) fn tell_digest(&mut self, now: Now, disk: &Disk, wants: &mut Vec<Want>) {
        let digest = self.agreement.digest();
        self.member(now, MemberInput::Buckets(digest), disk, wants);
    }
}
