//! A client that goes by the map that it has, and looks for another one only when the header of a reply names a newer ring, as
//! the client library does.

use quorate_protocol::client::{ClientReply, GetMap};
use quorate_protocol::map::ClusterMap;
use quorate_ring::{Class, NodeId, RingVersion};

use super::ask::Wrote;
use super::failure::{Failure, Refused};
use super::request::put;
use super::walk::Walk;
use crate::sim::history::Key;

/// A client with a map of its own.
#[derive(Clone, Debug)]
pub(super) struct OldClient {
    /// What it goes by.
    pub(super) map: ClusterMap,
    /// How often it asked for the map, and each time because a reply had told it to.
    pub(super) asked: usize,
    /// Tries at nodes that did not do what it wanted.
    pub(super) tried_again: usize,
}

impl OldClient {
    /// A client that has just connected.
    pub(super) fn new(walk: &Walk<'_>) -> Self {
        Self {
            map: walk.world.newest_map().map.clone(),
            asked: 0,
            tried_again: 0,
        }
    }

    /// The ring that it goes by.
    pub(super) fn ring(&self) -> RingVersion {
        self.map.ring.version()
    }

    /// What it would ask for a key, in order, by what it knows: the primaries, then everybody else.
    pub(super) fn order(&self, key: Key) -> Vec<NodeId> {
        let ring = &self.map.ring;
        let partition = ring.partition_of(key.bucket, &key.bytes());
        let class = Class { n: 3, partition };
        let mut order = ring.primaries(class).to_vec();
        let others = self.map.members.iter().map(|member| member.id);
        order.extend(others.filter(|id| !ring.primaries(class).contains(id)));
        order
    }

    /// Writes over a value, at one node after the other in its order. If the reply names a newer ring, it asks who replied for
    /// the map.
    pub(super) fn writes(
        &mut self,
        walk: &mut Walk<'_>,
        key: Key,
        over: &Wrote,
    ) -> Result<Wrote, Failure> {
        let mut request = put("by an old ring")
            .of(key)
            .over(over)
            .deadline_ms(2_000)
            .silently();
        let mut last = Refused::silence();
        let tries = if walk.is_calm() { 2 } else { 10 };
        for id in std::iter::repeat_n(self.order(key), tries).flatten() {
            let Some(place) = (0..walk.world.nodes.len()).find(|&place| walk.id(place) == id)
            else {
                continue;
            };
            if !walk.is_open(place) {
                continue;
            }
            let under_way = walk.send_to(&request, place);
            let result = walk.wait(&under_way);
            let told = walk.ring_told(&under_way);
            if told.is_some_and(|told| told > self.ring()) {
                self.refresh(walk, place);
            }
            match result.and_then(|reply| walk.wrote(&under_way, reply)) {
                Ok(wrote) => return Ok(wrote),
                Err(refused) => last = refused,
            }
            if let Some(first) = under_way.id {
                request = request.again(first);
            }
            self.tried_again += 1;
        }
        let what = "a write by an old ring".to_owned();
        Err(Failure::Refused {
            what,
            refused: last,
        })
    }

    fn refresh(&mut self, walk: &mut Walk<'_>, place: usize) {
        if let Ok(ClientReply::Map(reply)) = walk.call(place, GetMap { known: 0 }.into()) {
            self.map = reply.map;
            self.asked += 1;
        }
    }

    /// What it went through.
    pub(super) fn told(&self) -> String {
        format!(
            "a client with an old ring wrote to all of them: {} tries were made again, it took over the map {} times, by what replies said, and has ring {} now",
            self.tried_again,
            self.asked,
            self.ring().get()
        )
    }
}
