//! The node's own machines, one of each for all shards: who answers, and the cluster map.

use quorate_core::keeper::{KeeperEffect, KeeperInput};
use quorate_core::membership::{MemberEffect, MemberInput};
use quorate_core::{Input, Now, Plant};
use quorate_protocol::peer::PeerMessage;
use quorate_ring::NodeId;

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
        self.keep(now, KeeperInput::Peer { from, message }, disk, wants);
    }

    /// Ticks what is due.
    pub(super) fn tick_hub(&mut self, now: Now, disk: &Disk, wants: &mut Vec<Want>) {
        if self.membership.next_timer() <= now.mono_us {
            self.member(now, MemberInput::Tick, disk, wants);
        }
        if self.keeper.next_timer() <= now.mono_us {
            self.keep(now, KeeperInput::Tick, disk, wants);
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
                MemberEffect::Restarted(peer) => self.reachable(now, peer, true, disk, wants),
                MemberEffect::MapDiffers { peer, newest } => {
                    let input = KeeperInput::Differs { peer, newest };
                    self.keep(now, input, disk, wants);
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
            KeeperInput::PeerUp(peer)
        } else {
            KeeperInput::PeerDown(peer)
        };
        self.keep(now, input, disk, wants);
    }

    /// Hands the keeper of the map something.
    pub(super) fn keep(
        &mut self,
        now: Now,
        input: KeeperInput,
        disk: &Disk,
        wants: &mut Vec<Want>,
    ) {
        let mut effects = Vec::new();
        self.keeper.handle(now, input, &mut effects);
        for effect in effects {
            match effect {
                KeeperEffect::Persist { number, bytes } => {
                    wants.push(Want::Persist(number, bytes));
                }
                KeeperEffect::Send { to, message } => wants.push(Want::Send {
                    to,
                    message,
                    deadline_ms: 0,
                }),
                KeeperEffect::Reply { ticket, reply } => {
                    self.hub_tickets.remove(&ticket);
                    wants.push(Want::Reply(ticket, Box::new(reply)));
                }
                KeeperEffect::Changed(version) => {
                    for shard in &mut self.shards {
                        shard.tell(now, Input::Map(version.shared()), disk);
                    }
                    self.map = version.shared();
                    let newest = MemberInput::Newest(version.name());
                    let members = version.map().map.members.iter();
                    let members = members.map(|member| member.id);
                    let members = members.filter(|&node| version.map().admits(node)).collect();
                    wants.push(Want::InForce(Box::new(version)));
                    self.member(now, newest, disk, wants);
                    self.member(now, MemberInput::Peers(members), disk, wants);
                }
                KeeperEffect::Contradiction { here, there, .. } => {
                    wants.push(Want::Contradiction(here, there));
                }
                KeeperEffect::GivenUp { by, .. } => wants.push(Want::GivenUp(by)),
            }
        }
    }

    /// What replicas have said of ring changes reaches the keeper.
    pub(super) fn pass_words_on(&mut self, now: Now, disk: &Disk, wants: &mut Vec<Want>) {
        let shards = u16::try_from(self.shards.len()).unwrap_or(u16::MAX);
        let said = self.shards.iter_mut().zip(0..);
        let said = said.filter_map(|(shard, number)| Some((number, shard.said.take()?)));
        for (shard, said) in said.collect::<Vec<_>>() {
            let input = KeeperInput::Word {
                shard,
                shards,
                said,
            };
            self.keep(now, input, disk, wants);
        }
    }

    /// Whether it lets somebody in whom nobody may let in: whom it should turn away says the broken rule.
    pub(super) fn leaves_the_door_open(&self, rule: Plant) -> bool {
        #[cfg(feature = "planted")]
        {
            let mut replicas = self.shards.iter().filter_map(Shard::replica);
            replicas.any(|replica| replica.planted().contains(&rule))
        }
        #[cfg(not(feature = "planted"))]
        {
            let _ = rule;
            false
        }
    }

    /// Breaks what is broken in the replicas, should it be one of the map's rules.
    #[cfg(feature = "planted")]
    pub(super) fn plant_keeper(&mut self) {
        let replica = self.shards.first().and_then(Shard::replica);
        for &plant in replica.into_iter().flat_map(quorate_core::Replica::planted) {
            self.keeper.plant(plant);
        }
    }
}
