//! What clients ask of a run's nodes, and what they are told.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use quorate_core::effects::{Input, Ticket};
use quorate_protocol::RequestId;
use quorate_protocol::client::{
    ClientReply, ClientRequest, Content, Delete, Get, Got, Put, Sibling,
};
use quorate_protocol::options::{Count, ReadOptions, WriteOptions};
use quorate_ring::NodeId;

use crate::map::BUCKET;
use crate::world::World;

const DEADLINE_MS: u32 = 1_500;

/// What a client waits for.
pub(crate) enum Asked {
    Read {
        key: u8,
        began: u64,
    },
    /// A read whose context the next write takes.
    ReadToWrite {
        key: u8,
        began: u64,
        delete: bool,
    },
    Write {
        number: u64,
    },
}

impl World {
    pub(crate) fn ask_something(&mut self) {
        let running = self.running();
        let Some(at) = self.dice.pick(&running) else {
            return;
        };
        let key = self.dice.small(self.weather.keys);
        let began = self.clock;
        match self.dice.below(10) {
            0..3 => self.write(at, key, BTreeSet::new(), None, false),
            3..7 => {
                let delete = self.dice.chance(30);
                self.read(at, key, Asked::ReadToWrite { key, began, delete }, 2);
            }
            _ => self.read(at, key, Asked::Read { key, began }, 2),
        }
    }

    /// A read that counts two answers.
    pub(crate) fn read_two(&mut self, at: NodeId) {
        let began = self.clock;
        self.read(at, 0, Asked::Read { key: 0, began }, 2);
    }

    /// A write of a new value.
    pub(crate) fn put(&mut self, at: NodeId) {
        self.write(at, 0, BTreeSet::new(), None, false);
    }

    /// A write over what is there.
    pub(crate) fn overwrite(&mut self, at: NodeId) {
        let (key, began, delete) = (0, self.clock, false);
        self.read(at, key, Asked::ReadToWrite { key, began, delete }, 2);
    }

    pub(crate) fn read_all(&mut self, at: NodeId, key: u8) {
        let began = self.clock;
        self.read(at, key, Asked::Read { key, began }, 3);
    }

    fn read(&mut self, at: NodeId, key: u8, asked: Asked, r: u8) {
        let get = Get {
            bucket: BUCKET,
            key: Bytes::copy_from_slice(&[key]),
            options: ReadOptions {
                r: Some(Count::Exactly(r)),
                sloppy: Some(!self.weather.strict),
                ..ReadOptions::default()
            },
            session: None,
        };
        self.begin(at, asked, get.into());
    }

    fn write(
        &mut self,
        at: NodeId,
        key: u8,
        saw: BTreeSet<u64>,
        context: Option<Bytes>,
        delete: bool,
    ) {
        self.tickets += 1;
        let number = self.tickets;
        let options = WriteOptions {
            w: Some(Count::Exactly(2)),
            sloppy: Some(!self.weather.strict),
            dw: self.weather.power.then_some(Count::Exactly(2)),
            ..WriteOptions::default()
        };
        let (bucket, key_bytes) = (BUCKET, Bytes::copy_from_slice(&[key]));
        let request = RequestId::new(9, number);
        self.history.begin(number, key, saw, delete);
        let request: ClientRequest = if delete {
            Delete {
                bucket,
                key: key_bytes,
                context,
                options,
                request,
                retry: false,
            }
            .into()
        } else {
            Put {
                bucket,
                key: key_bytes,
                content: Content {
                    value: Bytes::copy_from_slice(&number.to_be_bytes()),
                    ..Content::default()
                },
                context,
                options,
                request,
                retry: false,
                ttl_ms: None,
            }
            .into()
        };
        self.begin(at, Asked::Write { number }, request);
    }

    fn begin(&mut self, at: NodeId, asked: Asked, request: ClientRequest) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.asked.insert(ticket, asked);
        self.clock += 1;
        let input = Input::Client {
            ticket,
            principal: Arc::from("tester"),
            request,
            deadline_ms: DEADLINE_MS,
        };
        self.give(at, input);
    }

    pub(crate) fn replied(&mut self, at: NodeId, ticket: Ticket, reply: ClientReply) {
        self.clock += 1;
        let Some(asked) = self.asked.remove(&ticket) else {
            return;
        };
        match (asked, reply) {
            (Asked::Write { number }, ClientReply::Written(_)) => {
                self.answered += 1;
                self.history.acked(number, self.clock);
            }
            (Asked::Read { key, began }, ClientReply::Got(got)) => {
                self.answered += 1;
                self.judge(key, began, &shown(&got));
            }
            (Asked::ReadToWrite { key, began, delete }, ClientReply::Got(got)) => {
                let saw = shown(&got);
                self.judge(key, began, &saw);
                if delete && saw.is_empty() {
                    return;
                }
                self.write(at, key, saw, Some(got.context), delete);
            }
            (_, _) => {}
        }
    }

    fn judge(&mut self, key: u8, began: u64, shown: &BTreeSet<u64>) {
        if !self.weather.strict && !self.at_rest {
            return;
        }
        let wrong = self.history.judge(key, began, shown);
        self.wrongs.extend(wrong);
    }

    pub(crate) fn keys(&self) -> u8 {
        self.weather.keys
    }

    pub(crate) fn forget_clients(&mut self) {
        self.asked.clear();
    }

    pub(crate) fn waits(&self) -> bool {
        !self.asked.is_empty()
    }
}

fn shown(got: &Got) -> BTreeSet<u64> {
    let number =
        |sibling: &Sibling| u64::from_be_bytes(sibling.content.value.as_ref().try_into().unwrap());
    got.siblings.iter().map(number).collect()
}
